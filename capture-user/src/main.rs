//! padtap
fn main() {}
