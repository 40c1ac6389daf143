//! padtap chores
fn main() {}
