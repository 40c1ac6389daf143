#![no_std]
//! The contract between padtap's XDP program and its user side.
//!
//! Both sides compile this crate: the program that the kernel runs, and the engine that reads what the program sent.
//! So it holds only what they must agree on. [`config`] is what user space writes into the maps, [`counters`] what it
//! reads from them, [`meta`] what precedes each frame in a ring, and [`steer`] is the one function that says of a frame
//! whether it is wanted, by what class, and which shard owns it. [`traffic`] is for benchmarks alone.
//!
//! All values are in the byte order of the machine unless a name says otherwise: kernel and user side share one.

#[cfg(test)]
extern crate std;

pub mod config;
pub mod counters;
pub mod meta;
pub mod steer;
pub mod traffic;
