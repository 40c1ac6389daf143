//! padtap: from a console's frames to what the console is doing.

pub mod dissect;
pub mod reassembly;
pub mod source;
pub mod time;
