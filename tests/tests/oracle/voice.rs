//! SIP, SDP, RTP, RTCP.

use std::collections::BTreeMap;

use serde_json::Value;

use super::capture::Capture;
use tests::facts::{Counts, Facts, items, tell_counts, text};

pub fn ours(capture: &Capture, expected: &Value) -> Facts {
    let mut facts = Facts::new();
    sip(capture, &mut facts);
    rtp(capture, expected, &mut facts);
    let mut types = Counts::default();
    for record in capture.of_kind("rtcp") {
        // tshark, too, reads the first packet of an encrypted compound, and no further.
        for kind in items(record, "types") {
            types.add(kind.as_str().unwrap_or_default(), 1);
        }
    }
    types.tell("RTCP packets", &mut facts);
    facts
}

pub fn theirs(expected: &Value) -> Facts {
    let mut facts = Facts::new();
    let sip = &expected["tshark"]["sip"];
    for (list, kind) in [
        ("requests", "SIP requests"),
        ("responses", "SIP responses"),
        ("call_ids", "SIP messages of call"),
        ("user_agents", "SIP messages of agent"),
        ("sdp_media", "SDP media"),
        ("sdp_connection", "SDP address"),
    ] {
        tell_counts(&sip[list], kind, &mut facts);
    }
    for stream in streams(expected) {
        tell_stream(&stream, &mut facts);
    }
    for (code, count) in expected["tshark"]["rtcp"]["packet_types"].as_object().into_iter().flatten() {
        let known = [("200", "SR"), ("201", "RR"), ("202", "SDES"), ("203", "BYE"), ("204", "APP"), ("207", "XR")];
        let name = known.iter().find(|(known, _)| known == code).map_or(code.as_str(), |(_, name)| name);
        facts.insert(format!("RTCP packets {name}"), count.to_string());
    }
    facts
}

fn sip(capture: &Capture, facts: &mut Facts) {
    let mut counts: BTreeMap<&str, Counts> = BTreeMap::new();
    for record in capture.of_kind("sip") {
        let mut count = |kind, what: String| {
            if !what.is_empty() {
                counts.entry(kind).or_default().add(what, 1);
            }
        };
        count("SIP requests", text(record, "method").to_owned());
        count("SIP responses", record["status"].as_u64().map(|status| status.to_string()).unwrap_or_default());
        count("SIP messages of call", text(record, "call_id").to_owned());
        count("SIP messages of agent", text(record, "user_agent").to_owned());
        for media in items(&record["sdp"], "media") {
            let formats: Vec<String> = items(media, "formats").map(|format| format["pt"].to_string()).collect();
            let formats = formats.join("  ");
            count(
                "SDP media",
                format!("{} {} {} {formats}", text(media, "kind"), media["port"], text(media, "profile")),
            );
            count("SDP address", format!("IN IP4 {}", text(media, "address")));
        }
    }
    for (kind, counts) in counts {
        counts.tell(kind, facts);
    }
}

/// One stream, as either side tells of it.
struct Stream {
    name: String,
    packets: String,
    lost: String,
    /// Mean and greatest, in milliseconds; none where the clock is unknown.
    jitter: Option<[f64; 2]>,
}

fn tell_stream(stream: &Stream, facts: &mut Facts) {
    let Stream { name, packets, lost, jitter } = stream;
    let jitter = jitter.map_or("unknown".to_owned(), |[mean, max]| format!("{mean:.3} ms (at most {max:.3})"));
    facts.insert(format!("RTP {name}"), format!("{packets} packets, {lost} lost, jitter {jitter}"));
}

/// tshark's, which prints a jitter of 0 where it does not know the payload type's clock.
fn streams(expected: &Value) -> Vec<Stream> {
    let stream = |stream: &Value| {
        let ssrc = text(stream, "ssrc").trim_start_matches("0x");
        let known = !["RTPType-", "Unassigned"].iter().any(|name| text(stream, "payload").starts_with(name));
        let jitter = |name: &str| stream[name].as_f64().unwrap_or_default();
        Stream {
            name: format!(
                "{} {} to {} {} {ssrc}",
                text(stream, "src"),
                stream["sport"],
                text(stream, "dst"),
                stream["dport"]
            ),
            packets: stream["packets"].to_string(),
            lost: stream["lost"].to_string(),
            jitter: known.then(|| [jitter("mean_jitter_ms"), jitter("max_jitter_ms")]),
        }
    };
    items(&expected["tshark"], "rtp_streams_with_heuristic").map(stream).collect()
}

fn rtp(capture: &Capture, expected: &Value, facts: &mut Facts) {
    let theirs = streams(expected);
    for record in capture.of_kind("rtp") {
        let end = |side: &str| format!("{} {}", text(record, &format!("{side}_ip")), record[format!("{side}_port")]);
        let (from, to) = if record["direction"] == "in" { ("dst", "src") } else { ("src", "dst") };
        let name = format!("{} to {} {:08x}", end(from), end(to), record["ssrc"].as_u64().unwrap_or_default());
        let jitter = record.get("jitter_ms");
        let mut jitter = jitter.map(|both| ["mean", "max"].map(|name| both[name].as_f64().unwrap_or_default()));
        // 1 % or 0.05 ms: tshark rounds, and counts its mean over other packets.
        let theirs = theirs.iter().find(|stream| stream.name == name).and_then(|stream| stream.jitter);
        if let (Some(ours), Some(theirs)) = (jitter, theirs)
            && ours.iter().zip(theirs).all(|(ours, theirs)| (ours - theirs).abs() <= (theirs * 0.01).max(0.05))
        {
            jitter = Some(theirs);
        }
        let (packets, lost) = (record["packets"].to_string(), record["lost"].to_string());
        tell_stream(&Stream { name, packets, lost, jitter }, facts);
    }
}
