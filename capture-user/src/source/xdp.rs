//! The AF_XDP source.

pub mod link;
pub mod ring;
pub mod socket;
pub mod umem;
