//! Encapsulation and fragments.

use serde_json::Value;

use super::capture::Capture;
use tests::facts::{Counts, Facts, items, joined, tell_counts};

pub fn ours(capture: &Capture, _: &Value) -> Facts {
    let (mut vlans, mut networks, mut keys, mut fragments) =
        (Counts::default(), Counts::default(), Counts::default(), Counts::default());
    let mut facts = Facts::new();
    for packet in capture.of_kind("packet") {
        for id in items(packet, "vlan") {
            vlans.add(id.to_string(), 1);
        }
    }
    for frame in &capture.frames {
        match frame.tunnel {
            Some(("vxlan", network)) => networks.add(network.to_string(), 1),
            Some(("gre", key)) => keys.add(format!("0x{key:08x}"), 1),
            _ => {}
        }
        if let Some(version) = frame.fragment_of {
            fragments.add(format!("IPv{version}"), 1);
        }
        if let Some((count, length)) = frame.whole {
            facts.insert(format!("datagram whole in frame {}", frame.number), format!("{count}, {length} bytes"));
        }
    }
    vlans.tell("packets of VLAN", &mut facts);
    networks.tell("packets of VXLAN network", &mut facts);
    keys.tell("packets with GRE key", &mut facts);
    fragments.tell("fragments of", &mut facts);
    facts
}

pub fn theirs(expected: &Value) -> Facts {
    let mut facts = Facts::new();
    let encapsulation = &expected["tshark"]["encapsulation"];
    tell_counts(&encapsulation["vlan_ids"], "packets of VLAN", &mut facts);
    tell_counts(&encapsulation["vxlan_vni"], "packets of VXLAN network", &mut facts);
    tell_counts(&encapsulation["gre_key"], "packets with GRE key", &mut facts);
    let fragments = &expected["tshark"]["fragments"];
    for version in [4, 6] {
        let pieces = fragments[format!("ipv{version}_fragment_frames")].as_u64().unwrap_or(0);
        if pieces > 0 {
            facts.insert(format!("fragments of IPv{version}"), pieces.to_string());
        }
        for whole in items(fragments, &format!("ipv{version}_reassembled")) {
            let field = |name: &str| joined([&whole[name]]);
            let value = format!("{}, {} bytes", field("count"), field("len"));
            facts.insert(format!("datagram whole in frame {}", field("frame")), value);
        }
    }
    facts
}
