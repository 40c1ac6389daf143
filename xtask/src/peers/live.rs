//! Live, over a pair of virtual interfaces: rates that rise until something is lost.
//!
//! The receiving end is in a network namespace of its own. The kernel sends (`padtap bench send`), from one processor; its
//! receive path and the tool share another: NAPI of the receiving interface runs in a thread that is pinned there, for
//! without that it would run on the sender's processor, and the sender would be measured. The thread goes before the
//! tool, as interrupts do where there is a NIC. What was lost is what was sent and did not come out of the tool, whatever
//! the tool says of drops.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::offline::Peer;
use crate::run;

/// What the page says before the table.
pub const HEADING: &str = "\n## Live, at rising rates\n\nA pair of virtual interfaces: the sender (`padtap bench send`) \
on one processor, the kernel's receive path (NAPI in a thread, before all else) and the tool together on another. Frames \
are those of the interleaved file, but for those over 2,047 bytes. Lost is what was sent and did not come out of the \
tool, in the median of three runs; without loss is what lost no more than one frame in 5,000, for the pair itself loses a \
few when either side is held up.\n";

/// The work's size in bytes: little, because the sender's frames go through the cache that both processors share.
pub const SIZE: u64 = 5_000_000;

const SPACE: &str = "padtap-peers";
const NEAR: &str = "ptp-near";
const FAR: &str = "ptp-far";
/// How long frames are sent at each rate, in seconds.
const LENGTH: f64 = 2.0;
/// How often each tool is asked to take each rate; the run with the median of what was lost counts.
const TIMES: usize = 3;
/// Rates to try, in packets a second.
const RATES: &[f64] = &[100e3, 150e3, 200e3, 300e3, 400e3, 500e3, 600e3, 700e3, 800e3, 900e3];
/// A tool that has lost more than this share is not asked for more.
const HOPELESS: f64 = 0.2;
/// What may be missing without its being called loss: the pair has room for 256 frames, and a sender that is held up for
/// a moment and a receive path that is may meet.
const NONE: f64 = 2e-4;

/// One rate.
pub struct Run {
    pub wanted: f64,
    pub sent: u64,
    pub received: u64,
    /// What the sender came to, in packets a second.
    pub rate: f64,
}

impl Run {
    /// The share of frames that did not come out.
    fn lost(&self) -> f64 {
        self.sent.saturating_sub(self.received) as f64 / self.sent.max(1) as f64
    }

    fn is_hopeless(&self) -> bool {
        self.lost() > HOPELESS
    }
}

/// The run of several in which the median was lost.
fn median(mut runs: Vec<Run>) -> Option<Run> {
    runs.sort_by(|one, other| one.lost().total_cmp(&other.lost()));
    let middle = runs.len() / 2;
    runs.into_iter().nth(middle)
}

/// What a tool held.
pub struct Held {
    pub name: &'static str,
    pub command: String,
    pub runs: Vec<Run>,
}

impl Held {
    /// The highest rate at which nothing was lost, nor at any below.
    pub fn lossless(&self) -> f64 {
        let without = |run: &&Run| run.lost() <= NONE;
        self.runs.iter().take_while(without).map(|run| run.rate).fold(0.0, f64::max)
    }
}

/// How a tool captures from the interface, and how it tells what it got.
struct Live {
    name: &'static str,
    program: &'static str,
    arguments: &'static [&'static str],
    received: fn(&Path) -> anyhow::Result<u64>,
}

const LIVE: &[Live] = &[
    Live {
        name: "padtap capture",
        program: "padtap",
        // Frames that wait have 64 MiB, as dumpcap and tcpdump have.
        arguments: &[
            "capture",
            "-i",
            NEAR,
            "--workers",
            "0",
            "--ring",
            "32768",
            "--quiet",
            "--kinds",
            "flow,stats",
            "--output",
            "{out}",
        ],
        received: from_records,
    },
    Live {
        name: "dumpcap",
        program: "dumpcap",
        arguments: &["-q", "-i", NEAR, "-B", "64", "-w", "{out}"],
        received: from_file,
    },
    Live {
        name: "tcpdump -w",
        program: "tcpdump",
        arguments: &["-i", NEAR, "-B", "65536", "-w", "{out}"],
        received: from_file,
    },
    Live { name: "ndpiReader", program: "ndpiReader", arguments: &["-i", NEAR, "-C", "{out}"], received: from_report },
];

/// Measures every tool at rising rates, one rate after the other, all tools in turn at each.
pub fn measure(peers: &[Peer<'_>], file: &Path, cpu: usize, until: Instant) -> anyhow::Result<Vec<Held>> {
    let sender = usize::from(cpu == 0);
    let program = |name: &str| {
        let peer = peers.iter().find(|peer| peer.tool.program == name);
        peer.map_or_else(|| name.into(), |peer| peer.program.clone())
    };
    let lab = Lab::new(cpu, program("padtap"))?;
    let mut held: Vec<(&Live, Held)> = LIVE.iter().filter_map(|live| Some((live, start(live)?))).collect();
    for wanted in RATES {
        let mut tried: Vec<Vec<Run>> = held.iter().map(|_| Vec::new()).collect();
        for _ in 0..TIMES {
            for ((live, held), runs) in held.iter().zip(&mut tried) {
                if held.runs.last().is_some_and(Run::is_hopeless) || Instant::now() >= until {
                    continue;
                }
                let run = lab.once(live, &program(live.program), file, *wanted, (sender, cpu));
                runs.push(run.context(live.name)?);
            }
        }
        for ((_, held), runs) in held.iter_mut().zip(tried) {
            held.runs.extend(median(runs));
        }
    }
    Ok(held.into_iter().map(|(_, held)| held).collect())
}

fn start(live: &'static Live) -> Option<Held> {
    let is_there = live.program == "padtap" || crate::debian::has(live.program);
    let command = format!("{} {}", live.program, live.arguments.join(" ").replace("{out}", "DIR/out"));
    is_there.then(|| Held { name: live.name, command, runs: Vec::new() })
}

/// What `padtap bench send` says.
#[derive(serde::Deserialize)]
struct Sent {
    sent: u64,
    /// Frames in each second.
    rate: f64,
}

/// A namespace with one end of a pair; both go when it does.
struct Lab {
    cpu: usize,
    padtap: PathBuf,
}

impl Drop for Lab {
    fn drop(&mut self) {
        // What is not there need not go.
        let _ = Command::new("ip").args(["netns", "del", SPACE]).stderr(Stdio::null()).status();
        let _ = Command::new("ip").args(["link", "del", FAR]).stderr(Stdio::null()).status();
    }
}

impl Lab {
    fn new(cpu: usize, padtap: PathBuf) -> anyhow::Result<Self> {
        let lab = Self { cpu, padtap };
        let ip =
            |line: &str| run::output(Command::new("ip").args(line.split(' '))).context("the laboratory needs root");
        ip(&format!("netns add {SPACE}"))?;
        ip(&format!(
            "link add {FAR} mtu 9000 numrxqueues 1 numtxqueues 1 type veth peer name {NEAR} mtu 9000 numrxqueues 1 numtxqueues 1 netns {SPACE}"
        ))?;
        ip(&format!("link set {FAR} up"))?;
        lab.inside(&["ip", "link", "set", NEAR, "up"])?;
        // Neighbour discovery would be counted as traffic.
        lab.inside(&["sysctl", "-q", "-w", &format!("net.ipv6.conf.{NEAR}.disable_ipv6=1")])?;
        std::fs::write(format!("/proc/sys/net/ipv6/conf/{FAR}/disable_ipv6"), "1")?;
        // NAPI exists on a veth once frames may be put together, or a program is attached. Frames of which none may be
        // larger than a byte are not put together all the same: every tool shall see those that were sent.
        lab.inside(&["ethtool", "-K", NEAR, "gro", "on"])?;
        lab.inside(&["ip", "link", "set", NEAR, "gro_max_size", "1"])?;
        Ok(lab)
    }

    fn inside(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", SPACE]).args(arguments);
        Ok(run::output(&mut command)?.0)
    }

    /// Lets the receive path run in a thread on its processor, at most once in 100 us, as a NIC moderates its interrupts. It
    /// is asked before each run: a program that is attached makes other threads.
    fn thread_napi(&self) -> anyhow::Result<()> {
        for (file, value) in [("napi_defer_hard_irqs", "2"), ("gro_flush_timeout", "100000"), ("threaded", "1")] {
            // `ip netns exec` shows the namespace's own /sys.
            self.inside(&["sh", "-c", &format!("echo {value} > /sys/class/net/{NEAR}/{file}")])?;
        }
        sleep(Duration::from_millis(100));
        for process in std::fs::read_dir("/proc")?.flatten() {
            let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            if name.starts_with(&format!("napi/{NEAR}")) {
                let id = process.file_name().to_string_lossy().into_owned();
                run::output(Command::new("taskset").args(["-p", "-c", &self.cpu.to_string(), &id]))?;
                run::output(Command::new("chrt").args(["--fifo", "-p", "1", &id]))?;
            }
        }
        Ok(())
    }

    fn once(
        &self,
        live: &Live,
        program: &PathBuf,
        file: &Path,
        wanted: f64,
        (sender, cpu): (usize, usize),
    ) -> anyhow::Result<Run> {
        let directory = tempfile::tempdir()?;
        let out = directory.path().join("out");
        let mut command = Command::new("ip");
        command.args(["netns", "exec", SPACE, "taskset", "-c", &cpu.to_string()]).arg(program);
        command.args(live.arguments.iter().map(|argument| argument.replace("{out}", &out.display().to_string())));
        let stdout = std::fs::File::create(directory.path().join("stdout"))?;
        let mut tool = command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::null()).spawn()?;
        // Until it captures; all of them take less.
        sleep(Duration::from_millis(1_500));
        self.thread_napi()?;
        let mut send = Command::new("taskset");
        send.args(["-c", &sender.to_string()]).arg(&self.padtap).args(["bench", "send", "--json", "-i", FAR]);
        send.args(["--rate", &format!("{wanted:.0}"), "--frames", &format!("{:.0}", wanted * LENGTH)]).arg(file);
        let sent = run::output(&mut send).and_then(|(said, _)| Ok(serde_json::from_str::<Sent>(&said)?));
        sleep(Duration::from_millis(1_000));
        end(&mut tool)?;
        let Sent { sent, rate } = sent?;
        let received = (live.received)(directory.path())?;
        Ok(Run { wanted, sent, received, rate })
    }
}

/// Ends a tool as a user does, and waits for it to write what it has.
fn end(tool: &mut Child) -> anyhow::Result<()> {
    run::output(Command::new("kill").args(["-INT", &tool.id().to_string()]))?;
    let begun = Instant::now();
    while tool.try_wait()?.is_none() {
        ensure!(begun.elapsed() < Duration::from_secs(20), "does not end");
        sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// The last record: padtap's account.
fn from_records(directory: &Path) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(directory.join("out"))?;
    let stats: serde_json::Value = serde_json::from_str(text.lines().next_back().context("no record")?)?;
    stats.pointer("/ledger/dissected").and_then(serde_json::Value::as_u64).context("no account in the last record")
}

/// Packets of a capture file.
fn from_file(directory: &Path) -> anyhow::Result<u64> {
    let (said, _) = run::output(Command::new("capinfos").args(["-T", "-M", "-r", "-c"]).arg(directory.join("out")))?;
    said.split_whitespace().next_back().and_then(|count| count.parse().ok()).context("capinfos said no count")
}

/// ndpiReader's total: `IP packets: 9 of 10 packets total`.
fn from_report(directory: &Path) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(directory.join("stdout"))?;
    let total = text.lines().find_map(|line| line.trim().strip_prefix("IP packets:")?.split_once(" of "));
    total.and_then(|(_, of)| of.split_whitespace().next()?.parse().ok()).context("ndpiReader said no total")
}
