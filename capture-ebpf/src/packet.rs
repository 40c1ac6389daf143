//! The frame as the program sees it.

use aya_ebpf::{EbpfContext as _, helpers::generated::bpf_xdp_get_buff_len, programs::XdpContext};
use capture_common::config::Config;
use capture_common::steer::Packet;

/// The first piece of a frame: all of it, unless it is scattered.
pub struct Linear {
    start: usize,
    end: usize,
    length: u32,
    zero: u64,
}

impl Linear {
    /// Valid until the next helper that moves the frame's bounds.
    #[inline(always)]
    pub fn new(ctx: &XdpContext, config: &Config) -> Self {
        // SAFETY: the helper only reads the context that the kernel gave us.
        let length = unsafe { bpf_xdp_get_buff_len(ctx.as_ptr().cast()) };
        Self { start: ctx.data(), end: ctx.data_end(), length: length as u32, zero: config.zero as u64 }
    }
}

impl Packet for Linear {
    #[inline(always)]
    fn length(&self) -> u32 {
        self.length
    }

    #[inline(always)]
    fn words<const N: usize>(&self, offset: usize) -> Option<[u16; N]> {
        let at = self.start + offset;
        if at + 2 * N > self.end {
            return None;
        }
        // SAFETY: `start..end` is packet memory and the words end before `end`. `start` is even: drivers align the
        // Ethernet header to 2 bytes at least, and where they must not be trusted with it the verifier itself refuses
        // unaligned loads.
        let mut words = unsafe { (at as *const [u16; N]).read() };
        for word in &mut words {
            *word = u16::from_be(*word);
        }
        Some(words)
    }

    /// The verifier knows nothing of a number from a map.
    #[inline(always)]
    fn forget(&self, value: u64) -> u64 {
        value ^ self.zero
    }
}
