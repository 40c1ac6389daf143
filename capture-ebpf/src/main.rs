#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]
//! padtap's XDP program: [`steer`]s each frame and acts on the answer.

mod maps;
mod packet;

use core::mem::size_of;

use aya_ebpf::bindings::xdp_action::{XDP_ABORTED, XDP_DROP, XDP_PASS};
use aya_ebpf::helpers::generated::{bpf_ktime_get_ns, bpf_xdp_adjust_meta, bpf_xdp_adjust_tail};
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use aya_log_ebpf::debug;
use aya_log_ebpf::macro_support::{Level, level_enabled};
use capture_common::config::{Class, Config, flag};
use capture_common::counters::{Counter, Counters};
use capture_common::meta::Meta;
use capture_common::steer::{self, Cause, Packet as _, Steered, Verdict, steer};

use crate::maps::{ANNOUNCED, CONFIG, COUNTERS, Maps, XSKS};
use crate::packet::Linear;

/// One frame: one verdict, one cause or class, all counted.
#[xdp(frags)]
pub fn padtap(ctx: XdpContext) -> u32 {
    // Both arrays have their one entry from the start; the verifier wants the question.
    let (Some(config), Some(counters)) = (CONFIG.get(0), COUNTERS.get_ptr_mut(0)) else {
        return XDP_ABORTED;
    };
    // SAFETY: the entry is this CPU's own, and no other program run interrupts this one on it.
    let counters = unsafe { &mut *counters };

    let frame = Linear::new(&ctx, config);
    let length = frame.length();
    let steered = steer(&frame, &Maps { config });
    counters.add(Counter::Seen, length);
    if steered.flags & steer::flag::MALFORMED != 0 {
        counters.add(Counter::Malformed, length);
    }
    announce(&ctx, &frame, &steered);

    match steered.verdict {
        Verdict::Capture(class) => capture(&ctx, config, counters, &steered, class, length),
        Verdict::Shunt => {
            counters.add(Counter::Shunted, length);
            XDP_DROP
        }
        Verdict::Ignore(cause) => ignore(config, counters, cause, length),
    }
}

/// Metadata before the frame, the frame cut to its class's snap length, then off to the socket of its queue.
#[inline(always)]
fn capture(
    ctx: &XdpContext,
    config: &Config,
    counters: &mut Counters,
    steered: &Steered,
    class: Class,
    length: u32,
) -> u32 {
    counters.add(class.counter(), length);
    if write_meta(ctx, steered, class, length) {
        snap(ctx, counters, length, steered.keep(config.snap(class)));
    } else {
        // Without metadata nobody would know the original length, so such a frame stays whole.
        counters.add(Counter::NoMeta, length);
    }
    match XSKS.redirect(ctx.rx_queue_index(), XDP_DROP as u64) {
        Ok(action) => {
            counters.add(Counter::Redirected, length);
            action
        }
        Err(action) => {
            counters.add(Counter::RedirectErrors, length);
            action
        }
    }
}

#[inline(always)]
fn ignore(config: &Config, counters: &mut Counters, cause: Cause, length: u32) -> u32 {
    counters.add(cause.counter(), length);
    if config.has(flag::PASS_UNMATCHED) {
        counters.add(Counter::Passed, length);
        XDP_PASS
    } else {
        counters.add(Counter::Filtered, length);
        XDP_DROP
    }
}

/// Whether there was room for it. Moves the frame's bounds.
#[inline(always)]
fn write_meta(ctx: &XdpContext, steered: &Steered, class: Class, length: u32) -> bool {
    // SAFETY: the helper changes nothing but the context's bounds.
    if unsafe { bpf_xdp_adjust_meta(ctx.ctx, -(size_of::<Meta>() as i32)) } != 0 {
        return false;
    }
    let start = ctx.metadata();
    if start + size_of::<Meta>() > ctx.metadata_end() {
        return false;
    }
    // SAFETY: the helper reads a clock.
    let time = unsafe { bpf_ktime_get_ns() };
    // SAFETY: the 32 bytes lie between data_meta and data. BPF itself has no alignment faults: where the machine below
    // has them, the verifier refuses the store.
    unsafe { (start as *mut Meta).write(steered.meta(class, time, length)) };
    true
}

/// Cuts the frame after `keep` bytes. Of a scattered frame the kernel frees the pieces from the last one on.
#[inline(always)]
fn snap(ctx: &XdpContext, counters: &mut Counters, length: u32, keep: u32) {
    if length <= keep {
        return;
    }
    // SAFETY: the helper changes nothing but the frame's end, and none of its bytes is read after this.
    if unsafe { bpf_xdp_adjust_tail(ctx.ctx, -((length - keep) as i32)) } == 0 {
        counters.add(Counter::Snapped, length);
    } else {
        counters.add(Counter::SnapErrors, length);
    }
}

/// Events, pruned by the verifier unless the loader turned them on.
#[inline(always)]
fn announce(ctx: &XdpContext, frame: &Linear, steered: &Steered) {
    if !level_enabled(Level::Debug) {
        return;
    }
    let Some(macs) = frame.words::<6>(0) else {
        return;
    };
    if steered.flags & steer::flag::MALFORMED != 0 {
        debug!(ctx, "malformed headers after {} of {} bytes from {:mac}", steered.end, frame.length(), sender(&macs));
    }
    if steered.flags & steer::flag::FROM_CONSOLE != 0 {
        let key = (macs[3] as u64) << 32 | (macs[4] as u64) << 16 | macs[5] as u64;
        if ANNOUNCED.get_ptr(key).is_none() && ANNOUNCED.insert(key, 1, 0).is_ok() {
            debug!(ctx, "first frame of console {:mac}, shard {:x}", sender(&macs), steered.shard);
        }
    }
}

/// The sender's MAC as bytes.
#[inline(always)]
fn sender(macs: &[u16; 6]) -> [u8; 6] {
    let ([a, b], [c, d], [e, f]) = (macs[3].to_be_bytes(), macs[4].to_be_bytes(), macs[5].to_be_bytes());
    [a, b, c, d, e, f]
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}

/// Some helpers, the clock among them by custom, are for GPL-compatible programs.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
