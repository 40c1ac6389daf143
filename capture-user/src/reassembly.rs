//! Putting together what the network took apart: IP fragments ([`fragments`]) and TCP segments ([`stream`]).
//!
//! Both keep pieces that cannot be used yet in `pieces`, within a [`Budget`] that no input can exceed. Of bytes that
//! arrive twice the first ones stay. `docs/reassembly.md` has the policies and their reasons.

mod budget;
pub mod fragments;
mod pieces;
pub mod stream;

pub use budget::Budget;
