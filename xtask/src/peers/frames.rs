//! The frames of a capture, whatever its format, as padtap writes them.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use serde::Deserialize;

use crate::run;

/// One frame.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    /// Nanoseconds since the epoch.
    pub time: i64,
    /// Bytes it had on the wire.
    pub length: u32,
    /// What was captured of it.
    pub bytes: Vec<u8>,
}

/// What a `packet` record tells of a frame.
#[derive(Deserialize)]
struct Told {
    #[serde(default)]
    layers: Vec<String>,
    #[serde(default)]
    encap: Vec<String>,
}

/// The frames that Ethernet carried and no tunnel, for not every peer looks into those.
pub fn plain(padtap: &Path, capture: &Path) -> anyhow::Result<Vec<Frame>> {
    let directory = tempfile::tempdir()?;
    let written = directory.path().join("all.pcapng");
    let mut command = Command::new(padtap);
    command.args(["read", "--quiet", "--packets", "--json", "--kinds", "packet", "-w"]).arg(&written).arg(capture);
    let (records, _) = run::output(&mut command)?;
    let frames = frames(&std::fs::read(&written)?).context("padtap wrote blocks that are cut short")?;
    let told: Vec<Told> = records.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    ensure!(told.len() == frames.len(), "{}: {} records of {} frames", capture.display(), told.len(), frames.len());
    let is_plain = |told: &Told| told.encap.is_empty() && told.layers.first().is_some_and(|layer| layer == "eth");
    Ok(frames.into_iter().zip(told).filter(|(_, told)| is_plain(told)).map(|(frame, _)| frame).collect())
}

/// The enhanced packet blocks of a pcapng file in little endian whose times are nanoseconds.
fn frames(mut file: &[u8]) -> Option<Vec<Frame>> {
    const ENHANCED_PACKET: u32 = 6;
    let word = |block: &[u8], at: usize| Some(u32::from_le_bytes(*block.get(at..)?.first_chunk()?));
    let mut frames = Vec::new();
    while !file.is_empty() {
        let (block, rest) = file.split_at_checked(word(file, 4)?.max(12) as usize)?;
        if word(block, 0)? == ENHANCED_PACKET {
            let captured = word(block, 20)? as usize;
            frames.push(Frame {
                time: (i64::from(word(block, 12)?) << 32) | i64::from(word(block, 16)?),
                length: word(block, 24)?,
                bytes: block.get(28..28 + captured)?.to_vec(),
            });
        }
        file = rest;
    }
    Some(frames)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_packets_are_frames_and_others_are_passed() {
        let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>();
        let other = words(&[0x0a0d_0d0a, 16, 0x1a2b_3c4d, 16]);
        let packet = words(&[6, 36, 0, 1, 2, 3, 60, 0x0009_0807, 36]);
        let frame = Frame { time: (1 << 32) + 2, length: 60, bytes: vec![7, 8, 9] };
        assert_eq!(frames(&[other, packet.clone()].concat()), Some(vec![frame]));
        assert_eq!(frames(&packet[..30]), None);
    }
}
