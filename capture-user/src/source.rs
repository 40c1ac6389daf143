//! Where frames come from: files, AF_PACKET, AF_XDP, behind one trait.
//!
//! A source hands out *tokens*: each owns one frame until it is given back with [`Source::recycle`], so a frame can
//! cross to a worker without being copied and its buffer still returns to the thread that owns it. Whoever holds a
//! token reads its bytes through a [`View`], a cheap handle every worker has its own clone of.

mod buffers;
pub mod packet;
pub mod pcap;
pub mod policy;
pub mod replayed;
pub mod route;
pub mod xdp;

use std::ops::{Add, Sub};
use std::time::Duration;

use crate::time::Timestamp;
use schemars::JsonSchema;

/// One frame as a source delivers it.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Position in the source, from 1.
    pub number: u64,
    /// When it was on the wire.
    pub time: Timestamp,
    /// Bytes on the wire, without the frame check sequence.
    pub length: u32,
    /// What the bytes begin with.
    pub link: LinkType,
    /// The interface it came in by: its index in the source's [`Interface`] list.
    pub interface: u32,
    /// The bytes that were captured: `length` of them, or fewer where the frame was snapped.
    pub data: &'a [u8],
}

/// What the first byte of a frame belongs to; the numbers are the LINKTYPE values of the pcap registry
/// (<https://www.tcpdump.org/linktypes.html>).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LinkType {
    /// LINKTYPE_NULL (0): BSD loopback, an address family in the host order of whoever captured.
    Null,
    /// LINKTYPE_ETHERNET (1).
    Ethernet,
    /// LINKTYPE_RAW (101), also IPV4 (228) and IPV6 (229): an IP header.
    RawIp,
    /// LINKTYPE_LOOP (108): OpenBSD loopback, an address family in network order.
    Loop,
    /// LINKTYPE_LINUX_SLL (113): Linux "cooked" capture.
    LinuxSll,
    /// LINKTYPE_LINUX_SLL2 (276): Linux "cooked" capture, version 2.
    LinuxSll2,
    /// A link layer padtap does not read; the frames are counted and no more.
    Other(u16),
}

/// One interface a source captured on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name, where one is known.
    pub name: Option<String>,
    /// The link layer of its frames.
    pub link: LinkType,
    /// The most bytes it kept of a frame; 0 where there was no limit.
    pub snap_length: u32,
}

/// What one call of [`Source::receive`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// At least one frame was appended.
    Frames,
    /// Nothing came within the time given; there may be more later.
    Nothing,
    /// Nothing will ever come again: the end of the file.
    End,
}

/// A supply of frames, owned by the one thread that polls it.
pub trait Source {
    /// Owns one frame until it is recycled.
    type Token: Send;
    /// Reads the frame a token owns.
    type View: View<Token = Self::Token>;

    /// A handle with which a worker reads tokens.
    fn view(&self) -> Self::View;

    /// Whether frames come whether or not anybody waits (an interface), so that what cannot be taken is lost and
    /// counted. A file is not live: its reader waits instead.
    fn is_live(&self) -> bool;

    /// The present moment by the clock of the frames; `None` where they are not of the present (a file).
    fn now(&self) -> Option<Timestamp> {
        None
    }

    /// Appends at most `max` frames to `tokens`, waiting up to `timeout` for the first.
    ///
    /// # Errors
    /// What stopped the source for good; every frame before the damage has been handed out.
    fn receive(&mut self, max: usize, timeout: Duration, tokens: &mut Vec<Self::Token>) -> Result<Received, Error>;

    /// Takes back frames that nobody needs any more.
    fn recycle(&mut self, tokens: &mut Vec<Self::Token>);

    /// The interfaces frames came from so far.
    fn interfaces(&self) -> Vec<Interface>;

    /// Where the frames went before they reached [`Source::receive`], since the source was opened.
    fn tally(&mut self) -> Tally;
}

/// Reads the bytes of tokens. Each worker owns a clone; making one costs at most a reference count.
pub trait View: Clone + Send {
    /// The tokens it reads.
    type Token;

    /// The shard key of a frame: equal for all frames of one console, whatever their direction.
    fn shard(&self, token: &Self::Token) -> u32;

    /// When the kernel stamped the frame, on CLOCK_MONOTONIC in nanoseconds; `None` where there was no stamp.
    fn stamped(&self, token: &Self::Token) -> Option<u64>;

    /// The frame of a token. `scratch` serves to join a frame that lies in pieces; it is reused from call to call.
    fn frame<'a>(&'a self, token: &'a Self::Token, scratch: &'a mut Vec<u8>) -> Frame<'a>;
}

/// Where frames went before they were delivered: the source's part of the ledger, in frames.
/// `seen = passed + filtered + shunted + redirected + redirect_errors` and
/// `redirected = delivered + rx_dropped + rx_ring_full`, once nothing is in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, JsonSchema)]
pub struct Tally {
    /// Frames the interface (or the file) brought.
    pub seen: u64,
    /// Given on to the kernel's own stack, unseen by padtap.
    pub passed: u64,
    /// Dropped because no filter asked for them.
    pub filtered: u64,
    /// Dropped, and counted per flow, because the flow is shunted.
    pub shunted: u64,
    /// Sent towards a socket.
    pub redirected: u64,
    /// Meant for a socket that was not there.
    pub redirect_errors: u64,
    /// Lost for want of a free buffer, or too large for one.
    pub rx_dropped: u64,
    /// Lost because the receive ring was full.
    pub rx_ring_full: u64,
    /// Taken from the receive ring (or the file): what [`Source::receive`] handed out, and bad descriptors.
    pub delivered: u64,
    /// Taken, but not readable: descriptors that point outside the buffers, frames without their metadata.
    pub bad_descriptors: u64,
}

impl Tally {
    fn combine(&self, other: &Self, by: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            seen: by(self.seen, other.seen),
            passed: by(self.passed, other.passed),
            filtered: by(self.filtered, other.filtered),
            shunted: by(self.shunted, other.shunted),
            redirected: by(self.redirected, other.redirected),
            redirect_errors: by(self.redirect_errors, other.redirect_errors),
            rx_dropped: by(self.rx_dropped, other.rx_dropped),
            rx_ring_full: by(self.rx_ring_full, other.rx_ring_full),
            delivered: by(self.delivered, other.delivered),
            bad_descriptors: by(self.bad_descriptors, other.bad_descriptors),
        }
    }
}

/// This tally and another's together.
impl Add for Tally {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        self.combine(&other, u64::wrapping_add)
    }
}

/// What came to this tally since it was `earlier`.
impl Sub for Tally {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        self.combine(&earlier, u64::wrapping_sub)
    }
}

/// Why a source cannot go on, in one line that says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading failed.
    #[error("{name}: {source}")]
    Io {
        /// The file or interface.
        name: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not what it says it is, from this byte on.
    #[error("{name}: {reason} at byte {offset}; the {frames} frames before it were read")]
    Damaged {
        /// The file.
        name: String,
        /// Where, in bytes from the start of the (uncompressed) file.
        offset: u64,
        /// Frames handed out before it.
        frames: u64,
        /// What is wrong there.
        reason: String,
    },
    /// The file is of no kind padtap reads.
    #[error("{name}: {reason}")]
    Unsupported {
        /// The file or interface.
        name: String,
        /// What was found and what is understood.
        reason: String,
    },
    /// The interface went down or away.
    #[error("{name}: {reason}")]
    Gone {
        /// The interface.
        name: String,
        /// What happened and what to do.
        reason: String,
    },
}
