//! padtap: from a console's frames to what the console is doing.

pub mod output;
pub mod source;
pub mod time;
