//! What the integration tests share.

pub mod allocator;
pub mod bench;
pub mod engine;
pub mod facts;
pub mod fixtures;
pub mod frame;
pub mod netns;
pub mod talk;
