//! What the integration tests share.

pub mod allocator;
pub mod bench;
pub mod capture_file;
pub mod disk;
pub mod engine;
pub mod facts;
pub mod fixtures;
pub mod frame;
pub mod netns;
pub mod nfdump;
pub mod padtap;
pub mod pypi;
pub mod replay;
pub mod suricata;
pub mod talk;
pub mod tool;
