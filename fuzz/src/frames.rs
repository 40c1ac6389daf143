//! Inputs that are a sequence of frames. The first byte chooses the link layer; each frame has four bytes before it:
//! its length in network order, how much longer it was on the wire, and the time since the one before.

use std::iter;

use capture_user::source::{Frame, LinkType};
use capture_user::time::Timestamp;

use crate::clock;

/// The frames of an input.
pub fn frames(input: &[u8]) -> impl Iterator<Item = Frame<'_>> {
    let (first, mut rest) = input.split_first().unwrap_or((&0, &[]));
    let link = link(*first);
    let (mut time, mut number) = (Timestamp::default(), 0);
    iter::from_fn(move || {
        let ([high, low, snapped, step], following) = rest.split_first_chunk::<4>()?;
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(following.len());
        let (data, following) = following.split_at(length);
        rest = following;
        number += 1;
        time = clock::after(time, *step);
        let length = u32::try_from(length).expect("a short frame") + u32::from(*snapped);
        Some(Frame { number, time, length, link, interface: 0, data })
    })
}

/// The link layer a byte stands for.
pub fn link(byte: u8) -> LinkType {
    match byte % 6 {
        0 => LinkType::Ethernet,
        1 => LinkType::RawIp,
        2 => LinkType::Null,
        3 => LinkType::LinuxSll,
        4 => LinkType::LinuxSll2,
        _ => LinkType::Loop,
    }
}
