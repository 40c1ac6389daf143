//! AF_XDP: the program in the driver that picks frames, and the rings that bring them here.

mod clock;
pub mod link;
pub mod program;
mod receive;
pub mod ring;
pub mod socket;
pub mod umem;
