//! What the targets share: how an input is read, and how what came out is checked.

pub mod check;
pub mod clock;
pub mod engine;
pub mod frames;
pub mod script;
