//! The tools that are compared, and what each is asked to do with a file.

use std::path::Path;
use std::process::Command;

/// A tool.
pub struct Tool {
    /// Its name in tables.
    pub name: &'static str,
    /// The program, and the Debian package that it comes from; none: it is padtap.
    pub program: &'static str,
    pub package: Option<&'static str>,
    /// How it is asked for its version.
    pub version: &'static [&'static str],
    /// Its arguments: `{file}` is the work, `{out}` a file to write.
    pub offline: &'static [&'static str],
    /// Where what it did is read, and how.
    pub count: Count,
    /// Whether it takes far longer than the others, and so is given only the beginning of the work.
    pub slow: bool,
}

/// How to tell what a tool has done.
#[derive(Clone, Copy)]
pub enum Count {
    /// padtap's records, in `{out}`.
    Records,
    /// One line each in `{out}`, but for the first.
    CsvFlows,
    /// One line a packet on standard output.
    Lines,
    /// A capture file, in `{out}`.
    Frames,
}

/// All of them, padtap first.
pub const TOOLS: &[Tool] = &[
    Tool {
        name: "padtap read",
        program: "padtap",
        package: None,
        version: &["--version"],
        offline: &["read", "--workers", "0", "--quiet", "--output", "{out}", "{file}"],
        count: Count::Records,
        slow: false,
    },
    Tool {
        name: "padtap read --kinds flow",
        program: "padtap",
        package: None,
        version: &["--version"],
        offline: &["read", "--workers", "0", "--quiet", "--kinds", "flow,stats", "--output", "{out}", "{file}"],
        count: Count::Records,
        slow: false,
    },
    Tool {
        name: "ndpiReader",
        program: "ndpiReader",
        package: Some("libndpi-bin"),
        version: &["-h"],
        offline: &["-q", "-i", "{file}", "-C", "{out}"],
        count: Count::CsvFlows,
        slow: false,
    },
    Tool {
        name: "tcpdump -w",
        program: "tcpdump",
        package: Some("tcpdump"),
        version: &["--version"],
        offline: &["-r", "{file}", "-w", "{out}"],
        count: Count::Frames,
        slow: false,
    },
    Tool {
        name: "tshark -T fields",
        program: "tshark",
        package: Some("tshark"),
        version: &["--version"],
        offline: &[
            "-n",
            "-r",
            "{file}",
            "-T",
            "fields",
            "-e",
            "frame.number",
            "-e",
            "ip.src",
            "-e",
            "ip.dst",
            "-e",
            "_ws.col.Protocol",
        ],
        count: Count::Lines,
        slow: true,
    },
];

/// The second of them once more, as another build of it does it.
pub const TUNED: &Tool = &Tool { name: "padtap read --kinds flow, tuned", ..TOOLS[1] };

impl Tool {
    /// The arguments for a file, with what is written under `directory`.
    pub fn arguments(&self, file: &Path, directory: &Path) -> Vec<String> {
        let out = directory.join("out");
        let text = |path: &Path| path.display().to_string();
        let fill = |argument: &&str| match *argument {
            "{file}" => text(file),
            "{out}" => text(&out),
            other => other.to_owned(),
        };
        self.offline.iter().map(fill).collect()
    }

    /// The first line of what it says of its version that has a digit.
    pub fn version(&self, program: &Path) -> String {
        let Ok(output) = Command::new(program).args(self.version).output() else { return "not there".to_owned() };
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        let line = said.lines().find(|line| line.contains(|letter: char| letter.is_ascii_digit()));
        line.unwrap_or("unknown").trim().trim_end_matches('.').to_owned()
    }

    /// What it did, in words, from what it left in `directory` and on standard output.
    pub fn done(&self, directory: &Path, stdout: u64) -> String {
        let text = |name: &str| std::fs::read_to_string(directory.join(name)).unwrap_or_default();
        match self.count {
            Count::Records => {
                let records = text("out");
                let flows = records.lines().filter(|line| line.contains("\"kind\":\"flow\"")).count();
                let stats =
                    records.lines().next_back().and_then(|line| serde_json::from_str::<serde_json::Value>(line).ok());
                let frames =
                    stats.and_then(|stats| stats.pointer("/ledger/dissected").and_then(serde_json::Value::as_u64));
                format!("{} packets, {flows} flows, {} records", frames.unwrap_or(0), records.lines().count())
            }
            Count::CsvFlows => format!("{} flows", text("out").lines().count().saturating_sub(1)),
            Count::Lines => format!("{stdout} packets"),
            Count::Frames => {
                let bytes = std::fs::metadata(directory.join("out")).map_or(0, |metadata| metadata.len());
                format!("{bytes} bytes")
            }
        }
    }
}
