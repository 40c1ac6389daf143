//! AF_XDP: the program in the driver that picks frames, and the rings that bring them here.

pub mod program;
