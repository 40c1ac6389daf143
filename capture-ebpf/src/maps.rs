//! The maps: what user space tells the program and what the program tells user space.

use core::arch::asm;

use aya_ebpf::macros::map;
use aya_ebpf::maps::lpm_trie::{Key, LpmTrie};
use aya_ebpf::maps::{Array, HashMap, LruHashMap, PerCpuArray, XskMap};
use capture_common::config::{
    Address, Config, Direction, FlowCount, FlowKey, MAX_MACS, MAX_PREFIXES, MAX_QUEUES, MAX_SHUNTED, PORT_WORDS,
};
use capture_common::counters::Counters;
use capture_common::steer::Policy;

/// While one filter replaces another, the tables hold both.
const ROOM: u32 = 2;

/// The one [`Config`].
#[map]
pub static CONFIG: Array<Config> = Array::with_max_entries(1, 0);

/// Console MACs and OUIs, as `mac_key` makes them.
#[map]
static MACS: HashMap<u64, u8> = HashMap::with_max_entries(ROOM * MAX_MACS, 0);

/// IPv4 prefixes in network order, with `prefix` bits.
#[map]
static PREFIXES_4: LpmTrie<u32, u32> = LpmTrie::with_max_entries(ROOM * MAX_PREFIXES, 0);

/// IPv6 prefixes in network order, with `prefix` bits.
#[map]
static PREFIXES_6: LpmTrie<[u64; 2], u32> = LpmTrie::with_max_entries(ROOM * MAX_PREFIXES, 0);

/// One bit for each excluded port, UDP before TCP.
#[map]
static PORTS: Array<u64> = Array::with_max_entries(PORT_WORDS, 0);

/// Shunted flows and what was dropped of them.
#[map]
static SHUNTED: HashMap<FlowKey, FlowCount> = HashMap::with_max_entries(MAX_SHUNTED, 0);

/// The sockets, by queue.
#[map]
pub static XSKS: XskMap = XskMap::with_max_entries(MAX_QUEUES, 0);

/// The counters, one set a CPU.
#[map]
pub static COUNTERS: PerCpuArray<Counters> = PerCpuArray::with_max_entries(1, 0);

/// Console MACs that an event was sent of already; used only while events are on.
#[map]
pub static ANNOUNCED: LruHashMap<u64, u8> = LruHashMap::with_max_entries(1024, 0);

/// The policy that lies in the maps.
pub struct Maps<'a> {
    pub config: &'a Config,
}

impl Policy for Maps<'_> {
    #[inline(always)]
    fn config(&self) -> &Config {
        self.config
    }

    #[inline(always)]
    fn has_mac(&self, key: u64) -> bool {
        MACS.get_ptr(key).is_some()
    }

    #[inline(always)]
    fn prefix_v4(&self, address: u32) -> u32 {
        PREFIXES_4.get(Key::new(32, address.to_be())).copied().unwrap_or(0)
    }

    #[inline(always)]
    fn prefix_v6(&self, address: Address) -> u32 {
        PREFIXES_6.get(Key::new(128, [address.high.to_be(), address.low.to_be()])).copied().unwrap_or(0)
    }

    #[inline(always)]
    fn excludes_port(&self, tcp: bool, port: u16) -> bool {
        let word = port as u32 / 64 + if tcp { PORT_WORDS / 2 } else { 0 };
        PORTS.get(word).is_some_and(|bits| bits >> (port % 64) & 1 != 0)
    }

    #[inline(always)]
    fn shunt(&self, flow: &FlowKey, direction: Direction, bytes: u32, ip_bytes: u32) -> bool {
        let Some(count) = SHUNTED.get_ptr_mut(flow) else {
            return false;
        };
        // SAFETY: a value of the map stays valid while the program runs, and all that write to it add atomically. The
        // fields are chosen by a branch, not an index, because the verifier wants constant offsets into a value.
        unsafe {
            match direction {
                Direction::Up => {
                    add(&raw mut (*count).packets[0], 1);
                    add(&raw mut (*count).bytes[0], bytes);
                    add(&raw mut (*count).ip_bytes[0], ip_bytes);
                }
                Direction::Down => {
                    add(&raw mut (*count).packets[1], 1);
                    add(&raw mut (*count).bytes[1], bytes);
                    add(&raw mut (*count).ip_bytes[1], ip_bytes);
                }
            }
        }
        true
    }
}

/// Adds to a number that other CPUs may be adding to.
///
/// # Safety
/// `total` is valid and aligned.
#[inline(always)]
unsafe fn add(total: *mut u64, more: u32) {
    // By hand, because Rust has no atomic arithmetic on a target that (up to its version 2) cannot compare and swap.
    // SAFETY: what the caller promised; the instruction touches nothing else.
    unsafe { asm!("lock *(u64 *)({total} + 0) += {more}", total = in(reg) total, more = in(reg) more as u64) };
}
