//! What the integration tests share.

pub mod capture_file;
pub mod frame;
pub mod netns;
pub mod padtap;
pub mod tool;
