//! The frames of a benchmark: UDP over IPv4 over Ethernet, a flow each.

use etherparse::PacketBuilder;

const CONSOLE: [u8; 6] = [0xbc, 0x60, 0xa7, 0x00, 0x00, 0x40];
const GATEWAY: [u8; 6] = [0x02, 0x00, 0x00, 0x00, 0x00, 0x01];
/// Bytes of the three headers.
const HEADERS: usize = 14 + 20 + 8;

/// A frame of `size` bytes that belongs to flow number `flow`: each has another server and client port.
pub fn frame(size: u32, flow: u32) -> Vec<u8> {
    let [_, a, b, c] = flow.to_be_bytes();
    let port = 1024 + (flow % 60_000) as u16;
    let builder =
        PacketBuilder::ethernet2(CONSOLE, GATEWAY).ipv4([192, 168, 1, 40], [10, a, b, c], 64).udp(port, 40_000);
    let payload = vec![0x5a; (size as usize).saturating_sub(HEADERS)];
    let mut frame = Vec::with_capacity(size as usize);
    // It fails for payloads over 64 KiB only, and those are no frames.
    let _ = builder.write(&mut frame, &payload);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_have_the_size_and_the_flow_asked_for() {
        let frames: std::collections::HashSet<_> = (0..100_000).step_by(7).map(|flow| frame(64, flow)).collect();
        assert_eq!(frames.len(), 100_000_usize.div_ceil(7));
        for size in [60, 64, 300, 1514, 9014] {
            assert_eq!(frame(size, 3).len(), size as usize);
        }
    }
}
