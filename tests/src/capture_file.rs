//! Capture files, read and written independently of the engine: pcap, and pcapng as far as padtap writes it.

use std::path::{Path, PathBuf};

/// A packet of a capture file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// When, in nanoseconds since 1970.
    pub nanos: u64,
    /// Bytes on the wire.
    pub length: u32,
    /// The bytes that were captured.
    pub data: Vec<u8>,
}

/// Writes a classic pcap file of Ethernet frames, in microseconds: the first at `first` (in microseconds since 1970),
/// the others a millisecond apart.
///
/// # Panics
/// When it cannot be written.
pub fn write_pcap(path: &Path, frames: &[Vec<u8>]) {
    std::fs::write(path, pcap(frames)).expect("a writable directory");
}

/// The bytes of [`write_pcap`]'s file.
pub fn pcap(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 262_144, 1].map(u32::to_le_bytes).as_flattened().to_vec();
    for (frame, millis) in frames.iter().zip(0_u32..) {
        let length = frame.len() as u32;
        let (second, micros) = (1_700_000_000 + millis / 1000, millis % 1000 * 1000 + 7);
        bytes.extend([second, micros, length, length].map(u32::to_le_bytes).as_flattened());
        bytes.extend(frame);
    }
    bytes
}

/// The packets of a file.
///
/// # Panics
/// When it is not wholly what it says.
#[track_caller]
pub fn read(path: &Path) -> Vec<Packet> {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    parse(&bytes)
}

/// The packets of a file's bytes.
///
/// # Panics
/// When they are not wholly what they say.
#[track_caller]
pub fn parse(bytes: &[u8]) -> Vec<Packet> {
    match number(bytes, 0) {
        0xa1b2_c3d4 => parse_pcap(&bytes[24..], 1000),
        0xa1b2_3c4d => parse_pcap(&bytes[24..], 1),
        0x0a0d_0d0a => parse_pcapng(bytes),
        other => panic!("not a capture file of this machine: {other:#x}"),
    }
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn parse_pcap(mut bytes: &[u8], unit: u64) -> Vec<Packet> {
    let mut packets = Vec::new();
    while !bytes.is_empty() {
        let [second, fraction, captured, length] = [0, 4, 8, 12].map(|at| number(bytes, at));
        let nanos = u64::from(second) * 1_000_000_000 + u64::from(fraction) * unit;
        let end = 16 + captured as usize;
        packets.push(Packet { nanos, length, data: bytes[16..end].to_vec() });
        bytes = &bytes[end..];
    }
    packets
}

/// Sections in this machine's byte order; the resolution of each interface from its option, else microseconds.
fn parse_pcapng(mut bytes: &[u8]) -> Vec<Packet> {
    let (mut packets, mut units) = (Vec::new(), Vec::new());
    while !bytes.is_empty() {
        let total = number(bytes, 4) as usize;
        assert!(total.is_multiple_of(4) && number(bytes, total - 4) as usize == total, "a whole block");
        match number(bytes, 0) {
            0x0a0d_0d0a => units.clear(),
            1 => units.push(unit(&bytes[16..total - 4])),
            6 => {
                let [interface, high, low, captured, length] = [8, 12, 16, 20, 24].map(|at| number(bytes, at));
                let nanos = (u64::from(high) << 32 | u64::from(low)) * units[interface as usize];
                packets.push(Packet { nanos, length, data: bytes[28..28 + captured as usize].to_vec() });
            }
            _ => {}
        }
        bytes = &bytes[total..];
    }
    packets
}

/// Nanoseconds of a tick, from the options of an Interface Description Block.
fn unit(mut options: &[u8]) -> u64 {
    while options.len() >= 4 {
        let (code, length) = (number(options, 0) & 0xffff, (number(options, 0) >> 16) as usize);
        if code == 9 {
            return 10_u64.pow(9 - u32::from(options[4]));
        }
        options = &options[4 + length.next_multiple_of(4)..];
    }
    1000
}

/// The captures that nobody here wrote, in the directory that PADTAP_PCAPS names; none without it, which is said.
pub fn foreign() -> Vec<PathBuf> {
    let Some(directory) = std::env::var_os("PADTAP_PCAPS") else {
        eprintln!("SKIPPED: no foreign captures (PADTAP_PCAPS names no directory)");
        return Vec::new();
    };
    let entries = std::fs::read_dir(&directory).expect("PADTAP_PCAPS is a directory").flatten();
    let is_capture = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "pcap" || kind == "pcapng");
    let mut files: Vec<_> = entries.map(|entry| entry.path()).filter(is_capture).collect();
    files.sort();
    assert!(!files.is_empty(), "PADTAP_PCAPS has captures");
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let frames = vec![vec![1; 60], vec![2; 1514], Vec::new()];
        let packets = parse(&pcap(&frames));
        assert_eq!(packets.iter().map(|packet| packet.data.clone()).collect::<Vec<_>>(), frames);
        let nanos: Vec<_> = packets.iter().map(|packet| packet.nanos).collect();
        assert_eq!(nanos, [0, 1, 2].map(|milli| 1_700_000_000_000_007_000 + milli * 1_000_000));
    }
}
