//! Options of the Wireshark extcap interface.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Attach, Backend};

/// Wireshark's interfaces.
#[derive(Debug, Subcommand)]
pub enum Extcap {
    /// Make Wireshark and tshark list padtap's interfaces.
    ///
    /// It puts a launcher into the folder that they look for extcap programs in. They run it as the user who runs them,
    /// who must be allowed to capture: root, or `setcap cap_bpf,cap_perfmon,cap_net_admin,cap_net_raw,cap_ipc_lock+ep padtap`.
    Install(Folder),
    /// Take the launcher away.
    Uninstall(Folder),
    /// Answer Wireshark.
    #[command(hide = true)]
    Run(Box<Call>),
}

/// Where the launcher is.
#[derive(Debug, Args)]
pub struct Folder {
    /// The extcap folder [default: what `tshark -G folders` says, the personal one if there is one].
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// What Wireshark calls an extcap program with.
#[derive(Debug, Default, Args)]
pub struct Call {
    /// List interfaces.
    #[arg(long)]
    pub extcap_interfaces: bool,
    /// The version of Wireshark.
    #[arg(long)]
    pub extcap_version: Option<String>,
    /// List the link layers of an interface.
    #[arg(long)]
    pub extcap_dlts: bool,
    /// List the options of an interface.
    #[arg(long)]
    pub extcap_config: bool,
    /// The interface.
    #[arg(long)]
    pub extcap_interface: Option<String>,
    /// The capture filter. Without --capture it is only checked.
    #[arg(long)]
    pub extcap_capture_filter: Option<String>,
    /// Capture.
    #[arg(long, requires_all = ["extcap_interface", "fifo"])]
    pub capture: bool,
    /// Where to.
    #[arg(long)]
    pub fifo: Option<PathBuf>,
    /// Consoles, as capture has them, with commas or spaces between.
    #[arg(long, value_delimiter = ',')]
    pub console: Vec<String>,
    /// Leave out what is not the consoles' own.
    #[arg(long)]
    pub no_discovery: bool,
    /// Most bytes kept of a frame.
    #[arg(long, default_value = "0")]
    pub snaplen: u32,
    /// How frames are taken.
    #[arg(long, value_enum, default_value_t)]
    pub backend: Backend,
    /// Where the XDP program runs.
    #[arg(long, value_enum, default_value_t)]
    pub attach: Attach,
}
