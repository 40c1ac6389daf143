//! DHCP, STUN, HTTP, SSDP.

use serde_json::Value;

use super::capture::Capture;
use tests::facts::{Counts, Facts, items, joined, sent_and_answered, tell_counts, text};

const DHCP_TYPES: [&str; 9] = ["", "discover", "offer", "request", "decline", "ack", "nak", "release", "inform"];

/// STUN's and TURN's methods by number (RFC 8489 section 18.2, RFC 8656 section 19).
const STUN_METHODS: [&str; 10] =
    ["", "Binding", "", "Allocate", "Refresh", "", "Send", "Data", "CreatePermission", "Channel-Bind"];

/// Fields of `http` records, and what `expected.json` calls the lists of their values.
const HTTP: [(&str, &str); 4] =
    [("method", "methods"), ("host", "hosts"), ("user_agent", "user_agents"), ("status", "status")];

pub fn ours(capture: &Capture, _: &Value) -> Facts {
    let mut facts = Facts::new();
    let dhcp = capture.of_kind("dhcp").filter(|record| record["version"] == 4);
    for (number, record) in dhcp.enumerate() {
        let of = |name: &str| text(record, name).to_owned();
        let your = record["your_ip"].as_str().unwrap_or("0.0.0.0").to_owned();
        tell_dhcp(
            number,
            [
                ("type", of("type")),
                ("client", of("client_mac")),
                ("host name", of("hostname")),
                ("vendor class", of("vendor_class")),
                ("parameters", joined(items(record, "parameter_list"))),
                ("address", your),
                // The end mark is no option and padtap does not list it.
                ("options", joined(items(record, "option_order")) + ",0"),
                ("router", joined(items(record, "routers"))),
                ("name server", joined(items(record, "dns_servers"))),
            ],
            &mut facts,
        );
    }
    let mut types = Counts::default();
    capture.of_kind("stun").for_each(|record| stun(record, &mut types));
    types.tell("STUN messages", &mut facts);
    for (field, list) in HTTP {
        let mut counts = Counts::default();
        for record in capture.of_kind("http").filter(|record| record.get(field).is_some()) {
            counts.add(joined([&record[field]]), 1);
        }
        counts.tell(&format!("HTTP {list}"), &mut facts);
    }
    let mut searches = Counts::default();
    capture.of_kind("ssdp").for_each(|record| searches.add(text(record, "method"), 1));
    searches.tell("SSDP", &mut facts);
    facts
}

pub fn theirs(expected: &Value) -> Facts {
    let tshark = &expected["tshark"];
    let mut facts = Facts::new();
    for (number, message) in items(tshark, "dhcp").enumerate() {
        let of = |name: &str| text(message, name).to_owned();
        let kind = of("msg_type").parse::<usize>().ok().and_then(|kind| DHCP_TYPES.get(kind));
        tell_dhcp(
            number,
            [
                ("type", kind.copied().unwrap_or_default().to_owned()),
                // A client identifier made of the address is listed beside it.
                ("client", of("chaddr").split(',').next().unwrap_or_default().to_owned()),
                ("host name", of("hostname")),
                ("vendor class", of("vendor_class")),
                ("parameters", of("prl")),
                ("address", of("yiaddr")),
                ("options", of("option_order")),
                ("router", of("router")),
                ("name server", of("dns")),
            ],
            &mut facts,
        );
    }
    tell_counts(&tshark["stun"]["types"], "STUN messages", &mut facts);
    for (_, list) in HTTP {
        tell_counts(&tshark["http"][list], &format!("HTTP {list}"), &mut facts);
    }
    tell_counts(&tshark["ssdp"]["methods"], "SSDP", &mut facts);
    facts
}

fn tell_dhcp(number: usize, message: [(&str, String); 9], facts: &mut Facts) {
    for (what, value) in message {
        facts.insert(format!("{what} of DHCP message {}", number + 1), value);
    }
}

/// The messages that one record stands for, by type: method and class (RFC 8489 section 5).
fn stun(record: &Value, types: &mut Counts) {
    let Some(method) = STUN_METHODS.iter().position(|name| *name == text(record, "type")) else { return };
    let mut add = |class: usize, times| types.add(format!("0x{:04x}", method | class), times);
    let result = text(record, "result");
    if result == "indication" {
        return add(0x010, record["messages"].as_u64().unwrap_or(0));
    }
    let (requests, answers) = sent_and_answered(record, result != "unanswered");
    add(0x000, requests);
    add(if result == "error" { 0x110 } else { 0x100 }, answers);
}
