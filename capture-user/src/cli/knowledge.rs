//! Options about the tables that devices, services and networks are known by.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// Which tables to know consoles, services and networks by.
#[derive(Clone, Debug, Default, Args)]
pub struct Tables {
    /// A folder with tables of one's own, on top of those built in: see docs/knowledge.md.
    #[arg(long = "knowledge", value_name = "DIR")]
    pub folder: Option<PathBuf>,
    /// Use the tables of that folder alone.
    #[arg(long, requires = "folder")]
    pub knowledge_only: bool,
}

/// List devices.
#[derive(Debug, Args)]
pub struct Devices {
    /// The capture files; `-` is standard input.
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Tables of one's own.
    #[command(flatten)]
    pub knowledge: Tables,
    /// Print one JSON object a line.
    #[arg(long)]
    pub json: bool,
}

/// Learn signatures.
#[derive(Debug, Args)]
pub struct Learn {
    /// The capture files; `-` is standard input.
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// From when on the game was played: seconds from the first packet, or a time (RFC 3339).
    #[arg(long, value_name = "T")]
    pub from: String,
    /// Until when.
    #[arg(long, value_name = "T")]
    pub to: String,
    /// Who played: MAC, OUI, address or prefix. May be given often.
    #[arg(long, value_name = "WHO")]
    pub console: Vec<String>,
    /// What to call the game.
    #[arg(long, value_name = "NAME", default_value = "my-game")]
    pub service: String,
    /// Tables of one's own: what they explain is left out.
    #[command(flatten)]
    pub knowledge: Tables,
}

/// Tables.
#[derive(Debug, Subcommand)]
pub enum Knowledge {
    /// Check the tables of a folder, as --knowledge would read them.
    Check {
        /// The folder.
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// List what is known: by default the tables' sizes, or one table's entries.
    List {
        /// Tables of one's own.
        #[command(flatten)]
        knowledge: Tables,
        /// Which table to list.
        #[arg(value_enum)]
        table: Option<Table>,
    },
    /// Write what is known in another program's form.
    Export {
        /// Write a plug-in for Wireshark, padtap.lua, into this folder: it labels packets with the same signatures.
        #[arg(long, value_name = "DIR")]
        wireshark: PathBuf,
        /// Tables of one's own.
        #[command(flatten)]
        knowledge: Tables,
    },
    /// Write a table of networks from what a cloud publishes, for --knowledge.
    Refresh {
        /// Amazon's ip-ranges.json, as downloaded from Amazon.
        #[arg(long, value_name = "FILE")]
        aws: PathBuf,
        /// The folder to write networks.toml into.
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
}

/// A table of what is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Table {
    /// Servers by name.
    Hosts,
    /// Owners of addresses.
    Networks,
    /// What ports are used for.
    Ports,
    /// What payloads mean.
    Signatures,
}
