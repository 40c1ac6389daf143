//! The AF_XDP source.

mod clock;
pub mod link;
mod receive;
pub mod ring;
pub mod socket;
pub mod umem;
