//! What the integration tests share.

pub mod frame;
pub mod netns;
