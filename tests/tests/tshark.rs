//! The project's own captures, read by the whole engine, against what the tshark that is installed says of them.

use std::path::Path;
use std::process::Command;

use capture_user::dissect::app::People;
use tests::engine::Run;
use tests::facts::{self, Counts, Facts, items, sent_and_answered, text};
use tests::fixtures::{captures, name};
use tests::tool::have;

const FIELDS: [&str; 12] = [
    "ip.src",
    "ip.dst",
    "ip.len",
    "udp.srcport",
    "udp.dstport",
    "tcp.srcport",
    "tcp.dstport",
    "dns.flags.response",
    "dns.qry.name",
    "sip.Method",
    "sip.Status-Code",
    "sip.Call-ID",
];
const TLS_FIELDS: [&str; 2] = ["tls.handshake.extensions_server_name", "tls.handshake.ja3"];

/// tshark's answer, or `None` where it is not installed.
fn ask(capture: &Path) -> Option<String> {
    if !have(&["tshark"]) {
        return None;
    }
    let fields = FIELDS.iter().chain(&TLS_FIELDS).flat_map(|field| ["-e", field]);
    let output = Command::new("tshark")
        .args(["-n", "-T", "fields", "-z", "rtp,streams"])
        .args(fields)
        .arg("-r")
        .arg(capture)
        .output()
        .expect("tshark runs");
    // It complains of frames that were cut off, and goes on.
    assert!(!output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// One RTP stream: packets with duplicates, lost as tshark counts, jitter in milliseconds (mean, greatest).
#[derive(Debug)]
struct Stream {
    ssrc: u64,
    packets: u64,
    lost: i64,
    jitter: [f64; 2],
}

/// A line of tshark's table: `… 0x2DBCA0AE g711U 829 1 (0.1%) …`, and behind the share three gaps and three jitters.
fn stream(line: &str) -> Option<Stream> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let ssrc = words.iter().find_map(|word| word.strip_prefix("0x"))?;
    let share = words.iter().position(|word| word.starts_with('('))?;
    let number = |place: usize| words.get(place)?.parse::<f64>().ok();
    Some(Stream {
        ssrc: u64::from_str_radix(ssrc, 16).ok()?,
        packets: number(share.checked_sub(2)?)? as u64,
        lost: number(share.checked_sub(1)?)? as i64,
        jitter: [number(share + 5)?, number(share + 6)?],
    })
}

fn theirs(answer: &str, whole: bool) -> (Facts, Vec<Stream>) {
    let (table, lines): (Vec<&str>, Vec<&str>) = answer.lines().partition(|line| !line.contains('\t'));
    let (mut packets, mut bytes, mut messages) = (Counts::default(), Counts::default(), Counts::default());
    for line in lines {
        let column: Vec<&str> = line.split('\t').collect();
        let [from, to, length, udp_from, udp_to, tcp_from, tcp_to, response, query, method, status, call, sni, ja3] =
            column[..]
        else {
            panic!("{line:?}");
        };
        let (protocol, ports) =
            if tcp_from.is_empty() { ("udp", (udp_from, udp_to)) } else { ("tcp", (tcp_from, tcp_to)) };
        if !ports.0.is_empty() {
            let way = format!("{protocol} {from} {} to {to} {}", ports.0, ports.1);
            packets.add(way.clone(), 1);
            bytes.add(way, length.parse().expect("a length"));
        }
        if !whole {
            continue;
        }
        let kind = if matches!(response, "1" | "True") { "answer about" } else { "question about" };
        messages.add(format!("{kind} {query}"), u64::from(!query.is_empty()));
        messages.add(format!("SIP {method}{status} of {call}"), u64::from(!call.is_empty()));
        messages.add(format!("hello for {sni}, JA3 {ja3}"), u64::from(!ja3.is_empty()));
    }
    let mut facts = Facts::new();
    packets.tell("packets", &mut facts);
    bytes.tell("IP bytes", &mut facts);
    messages.tell("messages:", &mut facts);
    (facts, table.into_iter().filter_map(stream).collect())
}

fn ours(run: &Run, whole: bool) -> Facts {
    let (mut packets, mut bytes, mut messages) = (Counts::default(), Counts::default(), Counts::default());
    for flow in run.of_kind("flow").filter(|flow| matches!(text(flow, "proto"), "udp" | "tcp")) {
        let end = |side: &str| format!("{} {}", text(flow, &format!("{side}_ip")), flow[format!("{side}_port")]);
        for (from, to, way) in [("src", "dst", "out"), ("dst", "src", "in")] {
            let way_name = format!("{} {} to {}", text(flow, "proto"), end(from), end(to));
            let count = |what: &str| flow[format!("{what}_{way}")].as_u64().unwrap_or_default();
            packets.add(way_name.clone(), count("packets"));
            bytes.add(way_name, count("bytes"));
        }
    }
    if whole {
        for exchange in run.of_kind("dns") {
            let (sent, answered) = sent_and_answered(exchange, exchange.get("rcode").is_some());
            messages.add(format!("question about {}", text(exchange, "query")), sent);
            messages.add(format!("answer about {}", text(exchange, "query")), answered);
        }
        for message in run.of_kind("sip") {
            let status = message["status"].as_u64().map(|status| status.to_string()).unwrap_or_default();
            let start = format!("{}{status}", text(message, "method"));
            messages.add(format!("SIP {start} of {}", text(message, "call_id")), 1);
        }
        for handshake in run.of_kind("tls") {
            messages.add(format!("hello for {}, JA3 {}", text(handshake, "sni"), text(handshake, "ja3")), 1);
        }
    }
    let mut facts = Facts::new();
    packets.tell("packets", &mut facts);
    bytes.tell("IP bytes", &mut facts);
    messages.tell("messages:", &mut facts);
    facts
}

/// tshark counts duplicates as received, and so as less lost, and rounds to a microsecond.
fn check_stream(file: &str, stream: &Stream, run: &Run) {
    let found = run.of_kind("rtp").find(|record| record["ssrc"] == stream.ssrc);
    let found = found.unwrap_or_else(|| panic!("{file}: no record of {stream:?}"));
    let count = |name: &str| found[name].as_u64().unwrap_or_default();
    let duplicates = count("duplicates");
    assert_eq!(count("packets") + duplicates, stream.packets, "{file}: {stream:?} {found}");
    assert_eq!(count("lost") as i64 - duplicates as i64, stream.lost, "{file}: {stream:?} {found}");
    for (name, theirs) in ["mean", "max"].into_iter().zip(stream.jitter) {
        // It knows no clock of a codec that it has no name for.
        let ours = found["jitter_ms"][name].as_f64().filter(|_| theirs > 0.0);
        let close = ours.is_none_or(|ours| (ours - theirs).abs() <= (theirs * 0.01).max(0.05));
        assert!(close, "{file}: {name} jitter: {stream:?} {found}");
    }
}

#[test]
fn tshark_says_the_same() {
    let (mut found, mut compared, mut streams) = (Vec::new(), 0, 0);
    for (path, truth) in captures() {
        // tshark does not know copies that a mirror makes: it has twice of everything.
        if truth.get("mirror_duplicates").is_some() {
            continue;
        }
        let Some(answer) = ask(&path) else { return };
        // Of messages that were cut off, each tool keeps another part.
        let whole = truth.get("snap_length").is_none();
        let run = Run::of(&path, 0, People::SHOWN);
        let (theirs, table) = theirs(&answer, whole);
        found.extend(facts::differences(&name(&path), &ours(&run, whole), &theirs));
        compared += theirs.len();
        streams += table.len();
        table.iter().for_each(|stream| check_stream(&name(&path), stream, &run));
        let announced = items(&truth, "rtp").filter(|stream| stream["bound_by"] == "sdp").count();
        assert!(table.len() >= announced, "{}: {} of {announced} streams", name(&path), table.len());
    }
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
    eprintln!("{compared} facts and {streams} RTP streams compared");
    assert!(compared > 500 && streams > 10, "tshark said only {compared} things of {streams} streams");
}

#[test]
fn the_streams_of_its_table_are_read() {
    let line = " 40.000566 87.980715 192.0.2.1 12000 192.0.2.2 24680 0x2DBCA0AE g711U 829 1 (0.1%) 1.0 20.0 40.0 0.1 2.5 7.5 X";
    let Some(Stream { ssrc, packets, lost, jitter }) = stream(line) else { panic!("{line}") };
    assert_eq!((ssrc, packets, lost, jitter), (0x2dbc_a0ae, 829, 1, [2.5, 7.5]));
    assert!(stream("===== RTP Streams =====").is_none());
}
