#![no_std]
#![no_main]
//! The sender of a benchmark: turns whatever frame it is run on into the next of a list, and sends that from an interface
//! or hands it to another XDP program, as if that had received it. Run on the kernel's own frames
//! (BPF_F_TEST_XDP_LIVE_FRAMES) it sends more than one processor receives, and costs no system call a frame.

use core::ptr;

use aya_ebpf::bindings::xdp_action::XDP_DROP;
use aya_ebpf::helpers::generated::{bpf_ktime_get_ns, bpf_redirect, bpf_xdp_adjust_tail, bpf_xdp_store_bytes};
use aya_ebpf::macros::{map, xdp};
use aya_ebpf::maps::{Array, ProgramArray};
use aya_ebpf::programs::XdpContext;
use capture_common::traffic::{BLOCK, Course, Place, SMALLEST};

/// Nanoseconds.
const SECOND: u64 = 1_000_000_000;

/// Frames that may follow one another at once: few beside the 256 that a veth pair has room for.
const BURST: u64 = 32;

/// The frames; as many blocks as user space says when it loads the program.
#[map]
static BLOCKS: Array<[u8; BLOCK]> = Array::with_max_entries(1, 0);

/// Where each of them lies, a [`Place`] each.
#[map]
static PLACES: Array<u64> = Array::with_max_entries(1, 0);

/// The one [`Course`].
#[map]
static COURSE: Array<Course> = Array::with_max_entries(1, 0);

/// How many frames there are; set when the program is loaded.
#[unsafe(no_mangle)]
static COUNT: u32 = 1;

/// Index of the interface to send from, or 0 for the program in [`RECEIVER`]; set when the program is loaded.
#[unsafe(no_mangle)]
static INTERFACE: u32 = 0;

/// The program that receives.
#[map]
static RECEIVER: ProgramArray = ProgramArray::with_max_entries(1, 0);

/// Sends one frame, if one is due. What cannot be sent is dropped, by this program or by the interface, whose counters say
/// so.
#[xdp(frags)]
pub fn traffic(ctx: XdpContext) -> u32 {
    match send(&ctx) {
        Some(action) => action,
        None => XDP_DROP,
    }
}

#[inline(always)]
fn send(ctx: &XdpContext) -> Option<u32> {
    // SAFETY: both are constants, but for what user space puts in their place before the program is loaded: the
    // compiler must not take them for what they are here.
    let (count, interface) =
        unsafe { (ptr::read_volatile(&raw const COUNT), ptr::read_volatile(&raw const INTERFACE)) };
    // SAFETY: the pointer is to the map's one entry. One processor sends; another would send some frames twice.
    let course = unsafe { &mut *COURSE.get_ptr_mut(0)? };
    if !is_due(course) {
        return None;
    }
    let next = course.sent.checked_rem(u64::from(count))?;
    course.sent += 1;
    let place = Place(*PLACES.get(next as u32)?);
    let (start, length) = (place.start(), place.length().max(SMALLEST as u32));
    // SAFETY: no place begins beyond the block.
    let frame = unsafe { BLOCKS.get_ptr(place.block())?.cast::<u8>().add(start as usize) };
    let now = (ctx.data_end() - ctx.data()) as i32;
    // SAFETY: the helper moves the frame's end, and no pointer into the frame is used after it.
    if now != length as i32 && unsafe { bpf_xdp_adjust_tail(ctx.ctx, length as i32 - now) } != 0 {
        return None;
    }
    // SAFETY: the block has `length` bytes from wherever a place begins; the helper checks the frame's end.
    if unsafe { bpf_xdp_store_bytes(ctx.ctx, 0, frame.cast_mut().cast(), length) } != 0 {
        return None;
    }
    if interface == 0 {
        // SAFETY: it comes back only where there is no such program.
        let _ = unsafe { RECEIVER.tail_call(ctx, 0) };
        return None;
    }
    // SAFETY: the helper notes where the frame goes.
    Some(unsafe { bpf_redirect(interface, 0) } as u32)
}

/// Whether the next frame's time has come. A sender that was held up does not catch up on all that it owes, which would
/// be a burst that no rate says anything of: it goes on as if it had begun later.
#[inline(always)]
fn is_due(course: &mut Course) -> bool {
    if course.sent >= course.until {
        return false;
    }
    if course.rate == 0 {
        return true;
    }
    // SAFETY: the helper reads a clock.
    let now = unsafe { bpf_ktime_get_ns() };
    let from_the_first = course.sent * SECOND / course.rate;
    if course.begun == 0 {
        course.begun = now.wrapping_sub(from_the_first);
    }
    let late = now.wrapping_sub(course.begun).wrapping_sub(from_the_first) as i64;
    let most = (BURST * SECOND / course.rate) as i64;
    if late > most {
        course.begun = course.begun.wrapping_add((late - most) as u64);
    }
    late >= 0
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}

/// As of the capturing program.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
