//! Flows that have long begun: what most packets of a mirror port belong to.

use std::path::Path;

use etherparse::PacketBuilder;

use super::work::Writer;

/// Flows in a file.
const FLOWS: u32 = 100;
/// From one packet of a flow to its next, in microseconds: 60 Hz each way.
const TICK: u64 = 8_333;

/// What the flows are over.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A game's ticks, of no protocol that is known.
    Udp,
    /// A stream of no protocol that is known, in order.
    Tcp,
}

/// Writes a capture file of flows with `length` packets each, both ways in turn; the number of frames.
pub fn write(path: &Path, kind: Kind, length: u32) -> anyhow::Result<u64> {
    let mut file = Writer::create(path)?;
    let mut frame = Vec::new();
    let mut sent = vec![[1_000_u32, 5_000_000]; FLOWS as usize];
    for tick in 0..length {
        for flow in 0..FLOWS {
            let up = tick % 2 == 0;
            // Not two payloads are alike, and none looks like a protocol.
            let number = u64::from(tick) << 32 | u64::from(flow);
            let word = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let payload = (word | 0xf0).to_le_bytes().repeat(11);
            frame.clear();
            build(&mut frame, kind, flow, up, &payload, &mut sent[flow as usize])?;
            let time = u64::from(tick) * TICK + u64::from(flow) * TICK / u64::from(FLOWS);
            file.put(time, frame.len() as u32, &frame)?;
        }
    }
    file.finish()?;
    Ok(u64::from(length) * u64::from(FLOWS))
}

fn build(
    frame: &mut Vec<u8>,
    kind: Kind,
    flow: u32,
    up: bool,
    payload: &[u8],
    sent: &mut [u32; 2],
) -> anyhow::Result<()> {
    let [.., host] = flow.to_be_bytes();
    let ends = [([2, 0, 0, 0, 1, host], [10, 9, 0, host], 50_000), ([2, 0, 0, 0, 0, 1], [203, 0, 113, host], 26_503)];
    let [from, to] = if up { ends } else { [ends[1], ends[0]] };
    let builder = PacketBuilder::ethernet2(from.0, to.0).ipv4(from.1, to.1, 60);
    let way = usize::from(!up);
    match kind {
        Kind::Udp => builder.udp(from.2, to.2).write(frame, payload)?,
        Kind::Tcp => {
            builder.tcp(from.2, to.2, sent[way], 8_192).ack(sent[1 - way]).write(frame, payload)?;
            sent[way] = sent[way].wrapping_add(payload.len() as u32);
        }
    }
    Ok(())
}
