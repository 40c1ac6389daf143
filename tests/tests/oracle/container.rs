//! What the file itself says: frames, interfaces, times.

use serde_json::Value;

use super::capture::Capture;
use tests::facts::{Counts, Facts, tell_counts};

pub fn ours(capture: &Capture, expected: &Value) -> Facts {
    let packets: Vec<&Value> = capture.of_kind("packet").collect();
    let mut facts = Facts::from([
        ("packets".to_owned(), packets.len().to_string()),
        ("bytes".to_owned(), packets.iter().filter_map(|packet| packet["length"].as_u64()).sum::<u64>().to_string()),
    ]);
    // tshark's first and last are the earliest and the latest; both texts sort as the times do.
    let times = || packets.iter().filter_map(|packet| packet["ts"].as_str());
    for (name, time) in [("first", times().min()), ("last", times().max())] {
        facts.insert(name.to_owned(), time.unwrap_or_default().to_owned());
    }
    let several = expected["tshark"]["container"]["packets_per_interface"].as_object();
    if several.is_some_and(|interfaces| !interfaces.is_empty()) {
        let mut interfaces = Counts::default();
        for frame in &capture.frames {
            interfaces.add(frame.interface.to_string(), 1);
        }
        interfaces.tell("packets of interface", &mut facts);
    }
    facts
}

pub fn theirs(expected: &Value) -> Facts {
    let container = &expected["tshark"]["container"];
    let mut facts = Facts::from([
        ("packets".to_owned(), container["packets"].to_string()),
        ("bytes".to_owned(), container["data_bytes"].to_string()),
        ("first".to_owned(), rfc3339(&container["first_epoch"])),
        ("last".to_owned(), rfc3339(&container["last_epoch"])),
    ]);
    tell_counts(&container["packets_per_interface"], "packets of interface", &mut facts);
    facts
}

/// Seconds since 1970, as the text that records have.
fn rfc3339(epoch: &Value) -> String {
    let text = epoch.as_str().map_or_else(|| epoch.to_string(), str::to_owned);
    let (seconds, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let nanos: i64 = format!("{fraction:0<9}").parse().expect("nanoseconds");
    let seconds: i64 = seconds.parse().expect("seconds");
    let time = capture_user::time::Timestamp::from_nanos(seconds * 1_000_000_000 + nanos);
    let json = serde_json::to_value(time).expect("a time is JSON");
    json.as_str().unwrap_or_default().to_owned()
}
