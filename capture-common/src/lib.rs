#![no_std]
//! The contract between padtap's XDP program and its user side.
