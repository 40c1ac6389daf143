//! Asking tcpdump.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use capture_user::source::LinkType;
use tempfile::NamedTempFile;

use crate::frames::Raw;

/// What tcpdump says.
pub enum Answer {
    /// The frames that match, by their place in the file.
    Frames(Vec<usize>),
    /// The link layer has no such thing (VLAN tags, Ethernet addresses).
    NotHere,
}

/// A capture file of these frames; the seconds of each frame's timestamp are its place.
pub fn write(link: LinkType, frames: &[Raw]) -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a temporary file");
    let mut bytes = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 262_144, number(link)] {
        bytes.extend(word.to_le_bytes());
    }
    for (index, frame) in frames.iter().enumerate() {
        for word in [index, 0, frame.data.len(), frame.length as usize] {
            bytes.extend(u32::try_from(word).expect("a small number").to_le_bytes());
        }
        bytes.extend(&frame.data);
    }
    file.write_all(&bytes).expect("room for a capture");
    file
}

/// Which frames of a file made by [`write`] match.
pub fn ask(file: &NamedTempFile, expression: &str, optimised: bool) -> Answer {
    let input = File::open(file.path()).expect("the temporary file");
    let mut command = Command::new("tcpdump");
    if !optimised {
        command.arg("-O");
    }
    let output = command.args(["-r", "-", "-w", "-", expression]).stdin(input).output().expect("tcpdump");
    if output.status.success() {
        return Answer::Frames(parse(&output.stdout).1.iter().map(|(time, _)| *time as usize).collect());
    }
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    let not_here = ["supported only on", "no VLAN support", "not a broadcast link", "not supported on"];
    if complaint.contains("expression rejects all packets") {
        Answer::Frames(Vec::new())
    } else if not_here.iter().any(|words| complaint.contains(words)) {
        Answer::NotHere
    } else {
        panic!("`{expression}`: {complaint}");
    }
}

/// The link layer and frames of any capture that tcpdump reads.
pub fn read(path: &Path) -> (LinkType, Vec<Raw>) {
    let input = File::open(path).expect("a capture");
    let output = Command::new("tcpdump").args(["-r", "-", "-w", "-"]).stdin(input).stderr(Stdio::null()).output();
    let (link, frames) = parse(&output.expect("tcpdump").stdout);
    (link, frames.into_iter().map(|(_, raw)| raw).collect())
}

/// Reads what tcpdump writes: a classic capture in the byte order of this machine.
fn parse(bytes: &[u8]) -> (LinkType, Vec<(u32, Raw)>) {
    let word = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    let mut frames = Vec::new();
    let mut at = 24;
    while at < bytes.len() {
        let end = at + 16 + word(at + 8) as usize;
        frames.push((word(at), Raw { data: bytes[at + 16..end].to_vec(), length: word(at + 12) }));
        at = end;
    }
    (link(word(20)), frames)
}

fn number(link: LinkType) -> u32 {
    match link {
        LinkType::Null => 0,
        LinkType::Ethernet => 1,
        LinkType::RawIp => 101,
        LinkType::Loop => 108,
        LinkType::LinuxSll => 113,
        LinkType::LinuxSll2 => 276,
        LinkType::Other(number) => u32::from(number),
    }
}

fn link(number: u32) -> LinkType {
    match number {
        0 => LinkType::Null,
        1 => LinkType::Ethernet,
        101 | 228 | 229 => LinkType::RawIp,
        108 => LinkType::Loop,
        113 => LinkType::LinuxSll,
        276 => LinkType::LinuxSll2,
        other => LinkType::Other(u16::try_from(other).expect("a link type")),
    }
}
