//! MPLS label stacks (RFC 3032) and what they carry.
//!
//! Nothing in the stack says what follows it: that is known to the label's two ends only. Like other observers, this
//! one goes by the first four bits, which routers too look at when they balance load (RFC 4928): 4 and 6 are IP, 0 is
//! the control word of a pseudowire that carries Ethernet (RFC 4448), 1 an associated channel (RFC 4385), anything
//! else the destination address of an Ethernet frame without control word.

use super::{Cursor, Layer, Next, Packet, Stopped, link};

/// The generic associated channel label (RFC 5586): control traffic follows, no packet.
const ASSOCIATED_CHANNEL_LABEL: u32 = 13;

pub(super) fn read<'a>(packet: &mut Packet<'a>, cursor: &mut Cursor<'a>) -> Result<Next, Stopped> {
    // Each turn takes four bytes, so the frame's end bounds the stack.
    let label = loop {
        let entry = u32::from_be_bytes(*cursor.take::<4>(Layer::Mpls)?);
        let bottom = entry & 0x100 != 0;
        if bottom {
            break entry >> 12;
        }
    };
    packet.enter(Layer::Mpls);
    if label == ASSOCIATED_CHANNEL_LABEL {
        return Ok(Next::End);
    }
    match cursor.rest().first().map(|byte| byte >> 4) {
        Some(4 | 6) => {
            packet.tunnel("mpls", Some(label));
            Ok(Next::Ip)
        }
        Some(0) => {
            cursor.take::<4>(Layer::Mpls)?;
            pseudowire(label, packet, cursor)
        }
        Some(1) | None => Ok(Next::End),
        Some(_) => pseudowire(label, packet, cursor),
    }
}

fn pseudowire<'a>(label: u32, packet: &mut Packet<'a>, cursor: &mut Cursor<'a>) -> Result<Next, Stopped> {
    packet.tunnel("mpls", Some(label));
    link::ethernet(packet, cursor)
}

#[cfg(test)]
mod tests {
    use crate::dissect::samples::*;
    use crate::dissect::{Layer, Mac};

    fn entry(label: u32, bottom: bool) -> [u8; 4] {
        (label << 12 | u32::from(bottom) << 8 | 64).to_be_bytes()
    }

    #[test]
    fn a_stack_of_labels_before_ip() {
        let bytes = ethernet(0x8847, &join(&[&entry(1000, false), &entry(16, false), &entry(77, true), &game()]));
        let packet = whole(&bytes);
        assert_eq!(layers(&packet), "eth:mpls:ip:udp");
        assert_game(&packet);
        assert_eq!(packet.encap.as_slice(), ["mpls"]);
        assert_eq!(packet.tunnel_id, Some(77));
        assert_eq!(packet.macs, Some((Mac(CONSOLE_MAC), Mac(ROUTER_MAC))));
    }

    #[test]
    fn a_pseudowire_with_and_without_control_word() {
        let inner = ethernet(0x8100, &vlan(7, 0x0800, &game()));
        for control in [&[0, 0, 0, 0][..], &[][..]] {
            // Without a control word, the first four bits are those of the router's address.
            let mut inner = inner.clone();
            inner[0] = if control.is_empty() { 0x22 } else { inner[0] };
            let bytes = outer_ethernet(0x8848, &join(&[&entry(88, true), control, &inner]));
            let packet = whole(&bytes);
            assert_eq!(layers(&packet), "eth:mpls:eth:vlan:ip:udp");
            assert_game(&packet);
            assert_eq!(packet.macs.map(|macs| macs.0), Some(Mac(CONSOLE_MAC)));
            assert_eq!(packet.vlan.as_slice(), [7]);
        }
    }

    #[test]
    fn associated_channels_are_payload() {
        for (label, first) in [(88, 0x10), (13, 0x45)] {
            let bytes = ethernet(0x8847, &join(&[&entry(label, true), &[first, 0, 0, 7, 1, 2]]));
            let packet = whole(&bytes);
            assert_eq!(packet.payload, [first, 0, 0, 7, 1, 2]);
            assert!(packet.encap.is_empty());
        }
    }

    #[test]
    fn a_stack_without_bottom_stops() {
        let bytes = ethernet(0x8847, &entry(5, false).repeat(300));
        assert_eq!(stopped(&bytes).layer, Layer::Mpls);
    }
}
