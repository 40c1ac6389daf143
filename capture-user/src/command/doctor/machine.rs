//! What the machine can do.

use std::fs;

use capture_user::source::xdp::program::{Program, Statistics};
use rustix::process::{Resource, getrlimit};
use rustix::thread::{CapabilitySet, capabilities};

use super::Finding;

/// Bytes of memory that one queue shares with the kernel at the default sizes.
const PER_QUEUE: u64 = 64 << 20;

/// Looks at kernel, rights, memory and clock.
pub fn examine() -> Vec<Finding> {
    vec![kernel(), rights(), program(), jit(), memory_lock(), huge_pages(), processors(), clock()]
}

fn kernel() -> Finding {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    match version {
        (..=5, ..=17) | (..=4, _) => {
            Finding::bad("kernel", release, "frames over several buffers need Linux 6.6, the program 5.18: upgrade")
        }
        (6, ..=5) | (5, _) => {
            Finding::fair("kernel", release, "frames over a page need Linux 6.6; shorter ones are captured")
        }
        _ => Finding::good("kernel", release),
    }
}

fn rights() -> Finding {
    let needed = [
        (CapabilitySet::NET_ADMIN, "CAP_NET_ADMIN"),
        (CapabilitySet::NET_RAW, "CAP_NET_RAW"),
        (CapabilitySet::BPF, "CAP_BPF"),
    ];
    let held = capabilities(None).map(|sets| sets.effective).unwrap_or(CapabilitySet::empty());
    let missing: Vec<_> = needed.iter().filter(|(right, _)| !held.contains(*right)).map(|(_, name)| *name).collect();
    if missing.is_empty() {
        Finding::good("rights", "CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF")
    } else {
        let advice = "run as root, or: setcap cap_net_admin,cap_net_raw,cap_bpf,cap_ipc_lock+ep PADTAP";
        Finding::bad("rights", format!("without {}", missing.join(", ")), advice)
    }
}

fn program() -> Finding {
    match Program::load(false).and_then(|program| program.statistics()) {
        Ok(Statistics { instructions, machine_code, .. }) => {
            let found = format!("loads: {instructions} instructions, {machine_code} bytes of machine code");
            Finding::good("XDP program", found)
        }
        Err(error) => {
            Finding::bad("XDP program", error.to_string(), "see the lines above; without XDP: --backend af-packet")
        }
    }
}

fn jit() -> Finding {
    match read("/proc/sys/net/core/bpf_jit_enable").as_deref() {
        Some("0") => Finding::fair("BPF compiler", "off", "sysctl net.core.bpf_jit_enable=1"),
        Some(_) => Finding::good("BPF compiler", "on"),
        None => Finding::fair("BPF compiler", "unknown", "is /proc mounted?"),
    }
}

fn memory_lock() -> Finding {
    let limit = getrlimit(Resource::Memlock).current;
    let held = capabilities(None).map(|sets| sets.effective).unwrap_or(CapabilitySet::empty());
    let what = "locked memory";
    match limit {
        None => Finding::good(what, "no limit"),
        Some(_) if held.contains(CapabilitySet::IPC_LOCK) => Finding::good(what, "no limit, with CAP_IPC_LOCK"),
        Some(bytes) if bytes >= PER_QUEUE => Finding::good(what, format!("{} MiB", bytes >> 20)),
        Some(bytes) => {
            let need = PER_QUEUE >> 20;
            Finding::bad(
                what,
                format!("{} MiB, each queue takes {need}", bytes >> 20),
                "grant CAP_IPC_LOCK, or raise `ulimit -l`",
            )
        }
    }
}

fn huge_pages() -> Finding {
    let pages = read("/proc/sys/vm/nr_hugepages").and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    if pages * (2 << 20) >= PER_QUEUE {
        Finding::good("huge pages", format!("{pages}"))
    } else {
        let advice = format!("sysctl vm.nr_hugepages={} for each queue: fewer TLB misses", PER_QUEUE >> 21);
        Finding::fair("huge pages", format!("{pages}"), advice)
    }
}

fn processors() -> Finding {
    match std::thread::available_parallelism().map_or(1, |count| count.get()) {
        1 => Finding::fair("processors", "1", "receive thread and worker share it: --workers 0 saves the hand-over"),
        count => Finding::good("processors", count.to_string()),
    }
}

/// Per-packet latencies are read from the time stamp counter; another clock source hints that the kernel distrusts it.
fn clock() -> Finding {
    match read("/sys/devices/system/clocksource/clocksource0/current_clocksource") {
        Some(source) if source == "tsc" || source == "kvm-clock" || source == "arch_sys_counter" => {
            Finding::good("clock", source)
        }
        Some(source) => {
            Finding::fair("clock", source, "a slow clock makes each reading expensive: boot with tsc=reliable")
        }
        None => Finding::fair("clock", "unknown", "is /sys mounted?"),
    }
}

fn read(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}
