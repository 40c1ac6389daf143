//! The AF_XDP source.

pub mod ring;
pub mod umem;
