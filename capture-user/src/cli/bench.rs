//! Options of the benchmarks.

use std::num::NonZero;

use clap::{Args, Subcommand, ValueEnum};

use super::CpuList;

/// Measure on this machine.
#[derive(Debug, Subcommand)]
pub enum Bench {
    /// Capture frames that padtap injects itself, in a network namespace of its own; needs root.
    ///
    /// The kernel runs frames through the XDP program as if they had just come in (BPF_PROG_TEST_RUN with live
    /// frames), or, for frames over a page and with --inject packet, they are sent from the other end of the pair.
    Live(BenchLive),
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
    /// Through a packet socket on the other end of the pair.
    Packet,
}
