//! Options of the benchmarks.

use std::num::NonZero;
use std::path::PathBuf;

use capture_user::record::Kinds;
use clap::{Args, Subcommand, ValueEnum};

use super::CpuList;

/// Measure on this machine.
#[derive(Debug, Subcommand)]
pub enum Bench {
    /// Read capture files through the engine, from memory, and say how fast each stage is.
    ///
    /// Each stage is measured by passes that go so far and no further; a stage's figure is what it adds, in processor
    /// time. The passes follow one another in turn, and the medians of all turns are shown.
    Dissect(BenchDissect),
    /// Read capture files through the engine and each output of records in turn, and say what it takes and costs.
    Sinks(BenchSinks),
    /// Capture frames that padtap injects itself, in a network namespace of its own; needs root.
    ///
    /// The kernel runs frames through the XDP program as if they had just come in (BPF_PROG_TEST_RUN with live frames);
    /// or, where they are too large for that, they are sent through a packet socket from the other end of the pair.
    Live(BenchLive),
    /// Send a capture file's frames from one end of a veth pair, by the kernel itself; needs root.
    ///
    /// It costs neither a system call nor a socket buffer a frame. The other end must be ready for XDP, or nothing
    /// arrives: a program is attached there, or `ethtool -K IF gro on` was said.
    Send(BenchSend),
}

/// Measure dissection.
#[derive(Debug, Args)]
pub struct BenchDissect {
    /// Capture files: pcap or pcapng; plain ones are mapped.
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Measure the engine with one worker, two, and so on up to this many; 0 dissects on the thread that reads.
    #[arg(long, value_name = "N", value_parser = workers)]
    pub workers: Option<usize>,
    /// Measure so often.
    #[arg(long, value_name = "R", default_value = "5")]
    pub repeat: NonZero<usize>,
    /// Only the passes that end with this stage.
    #[arg(long, value_enum)]
    pub stage: Option<BenchStage>,
    /// Write the records to this file, as NDJSON; without it they are made and dropped.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Make records of these kinds alone, as with `padtap read --kinds`.
    #[arg(long, value_name = "KIND,…")]
    pub kinds: Option<Kinds>,
    /// Processors: the reading thread's, then the workers'.
    #[arg(long, value_name = "CPUS")]
    pub pin: Option<CpuList>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Measure outputs.
#[derive(Debug, Args)]
pub struct BenchSinks {
    /// Capture files: pcap or pcapng.
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Measure so often.
    #[arg(long, value_name = "R", default_value = "5")]
    pub repeat: NonZero<usize>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// How far a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BenchStage {
    /// Found in the file, and its shard known.
    Read,
    /// Its headers walked, and known whether it is a copy.
    Dissect,
    /// Counted in its flow. What is just one more packet of a flow is not read as closely as for `dissect`, so that this
    /// may add less than nothing.
    Flow,
    /// Its payload read, the timeline, conclusions, records.
    Classify,
    /// Records handed over and written; threads and latency histograms.
    Emit,
}

impl BenchStage {
    /// All of them, in order.
    pub const ALL: [Self; 5] = [Self::Read, Self::Dissect, Self::Flow, Self::Classify, Self::Emit];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Dissect => "dissect",
            Self::Flow => "flow",
            Self::Classify => "classify",
            Self::Emit => "emit",
        }
    }
}

fn workers(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|count| *count <= 256).ok_or_else(|| format!("`{text}` is not a number up to 256"))
}

/// Measure a live capture.
#[derive(Debug, Args)]
pub struct BenchLive {
    /// Frames to inject.
    #[arg(long, value_name = "N", default_value = "1000000")]
    pub frames: NonZero<u64>,
    /// Bytes of a frame, without its check sequence: 60 to 9014.
    #[arg(long, value_name = "BYTES", default_value = "64", value_parser = clap::value_parser!(u32).range(60..=9014))]
    pub size: u32,
    /// Flows among which the frames are spread.
    #[arg(long, value_name = "N", default_value = "1")]
    pub flows: NonZero<u32>,
    /// Frames offered per second; without it, as many as can be.
    #[arg(long, value_name = "PPS")]
    pub rate: Option<NonZero<u64>>,
    /// Worker threads; 0 dissects on the receive thread.
    #[arg(long, value_name = "N", default_value = "0")]
    pub workers: usize,
    /// Slots of the receive ring; a power of two.
    #[arg(long, value_name = "N", default_value = "8192")]
    pub ring: NonZero<u32>,
    /// What to do with the frames.
    #[arg(long, value_enum, default_value_t)]
    pub mode: BenchMode,
    /// How frames are injected.
    #[arg(long, value_enum, default_value_t)]
    pub inject: Inject,
    /// Processors: the first injects, the others receive and work.
    #[arg(long, value_name = "CPUS")]
    pub pin: Option<CpuList>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
    /// Pause of a worker after each batch, in microseconds: makes it too slow, to test what overload does.
    #[arg(long, value_name = "US", hide = true)]
    pub stall_worker_us: Option<u64>,
}

/// Send a file's frames.
#[derive(Debug, Args)]
pub struct BenchSend {
    /// Capture file: pcap or pcapng. Times in it are not heeded.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Interface to send from: an end of a veth pair.
    #[arg(short, long, value_name = "IF")]
    pub interface: String,
    /// Frames to send, beginning again at the file's end; without it, each once.
    #[arg(long, value_name = "N")]
    pub frames: Option<NonZero<u64>>,
    /// Frames sent per second; without it, as many as can be.
    #[arg(long, value_name = "PPS")]
    pub rate: Option<NonZero<u64>>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// What a live benchmark does with frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum BenchMode {
    /// Take them from the ring and give them back.
    Discard,
    /// The whole engine.
    #[default]
    Dissect,
}

/// How a live benchmark injects frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Inject {
    /// In the kernel, straight into the XDP program, where the frame's size allows.
    #[default]
    Auto,
    /// In the kernel, straight into the XDP program.
    Kernel,
    /// Sent by the kernel from the other end of the pair.
    Cable,
    /// Sent through a packet socket from the other end of the pair.
    Packet,
}
