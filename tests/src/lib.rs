//! What the integration tests share.

pub mod allocator;
pub mod bench;
pub mod frame;
pub mod netns;
pub mod talk;
