//! The story's words.

use std::collections::BTreeMap;
use std::io::{self, Write};

use jiff::Timestamp;
use serde_json::Value;

use crate::output::text::{Printable, Style};

/// Roles of flows that are no part of it: how any host finds its way.
const ASIDE: [&str; 4] = ["address", "name-service", "discovery", "time"];
/// Where what belongs to a line of the timeline begins.
const INDENT: &str = "                     ";
/// Longest line.
const WIDTH: usize = 110;

/// Tells it.
pub fn tell(out: &mut impl Write, style: Style, records: &[Value]) -> io::Result<()> {
    let first = records.iter().filter_map(|record| moment(&record["start"]).or_else(|| moment(&record["ts"]))).min();
    let mut teller = Teller { out, style, first: first.unwrap_or(Timestamp::UNIX_EPOCH), records };
    let devices: BTreeMap<&str, &Value> = {
        let mut told: Vec<_> = teller.of("device").collect();
        told.sort_by_key(|device| text(device, "ts"));
        told.into_iter().map(|device| (text(device, "mac"), device)).collect()
    };
    let consoles: Vec<_> = devices.values().filter(|device| text(device, "family") != "other").collect();
    if consoles.is_empty() {
        writeln!(teller.out, "No console showed itself.")?;
    }
    for console in consoles {
        teller.console(console)?;
    }
    Ok(())
}

struct Teller<'a, W: Write> {
    out: &'a mut W,
    style: Style,
    first: Timestamp,
    records: &'a [Value],
}

impl<'a, W: Write> Teller<'a, W> {
    fn of(&self, kind: &str) -> impl Iterator<Item = &'a Value> + use<'a, W> {
        let kind = kind.to_owned();
        self.records.iter().filter(move |record| text(record, "kind") == kind)
    }

    /// The records of a kind about one console, in the order of time.
    fn about(&self, kind: &str, device: &'a Value) -> Vec<&'a Value> {
        let mut found: Vec<_> = self.of(kind).filter(|record| record["device"] == device["mac"]).collect();
        found.sort_by_key(|record| (moment(&record["start"]), moment(&record["ts"])));
        found
    }

    fn heading(&mut self, words: &str) -> io::Result<()> {
        let Style { kind, reset, .. } = self.style;
        writeln!(self.out, "\n{kind}{words}{reset}")
    }

    /// Words of lesser weight, on as many lines as they need.
    fn aside(&mut self, indent: &str, words: &str) -> io::Result<()> {
        let Style { dim, reset, .. } = self.style;
        let mut rest = words;
        while !rest.is_empty() {
            let (line, more) = cut(rest, WIDTH - indent.len());
            writeln!(self.out, "{indent}{dim}{}{reset}", Printable(line))?;
            rest = more;
        }
        Ok(())
    }

    fn console(&mut self, device: &'a Value) -> io::Result<()> {
        let Style { kind, reset, .. } = self.style;
        let family = match text(device, "family") {
            "playstation" => "PlayStation",
            "xbox" => "Xbox",
            "nintendo" => "Nintendo",
            _ => "Steam Deck",
        };
        let model = device["model"].as_str().map(|model| format!(" ({model})")).unwrap_or_default();
        let (mac, confidence) = (text(device, "mac"), number(device, "confidence"));
        writeln!(self.out, "{kind}{family}{model}{reset}  {mac}  {}  {confidence:.2}", list(&device["ips"], ", "))?;
        self.aside("  ", &list(&device["why"], "; "))?;
        self.heading("What it did")?;
        let matches = self.about("match", device);
        for phase in self.about("phase", device) {
            self.phase(phase)?;
            for played in matches.iter().filter(|_| text(phase, "phase") == "in_match") {
                if played["start"] == phase["start"] {
                    self.played(played)?;
                }
            }
        }
        self.voice(device)?;
        self.servers(device)
    }

    fn phase(&mut self, phase: &Value) -> io::Result<()> {
        let Style { kind, reset, .. } = self.style;
        let (start, end) = (self.at(&phase["start"]), self.at(&phase["end"]));
        let name = text(phase, "phase").replace('_', " ");
        write!(self.out, "  {start:>7} – {end:>7}  {kind}{name}{reset}")?;
        match text(phase, "phase") {
            "in_match" => writeln!(self.out),
            _ => {
                writeln!(self.out)?;
                self.aside(INDENT, &self.timed(&list(&phase["why"], "; ")))
            }
        }
    }

    fn played(&mut self, played: &Value) -> io::Result<()> {
        let network = played["server_network"].as_str().map(|owner| format!(" ({owner})")).unwrap_or_default();
        let server = format!("{}:{}", text(played, "server_ip"), played["server_port"]);
        writeln!(self.out, "{INDENT}server  {server}{network}, confidence {:.2}", number(played, "confidence"))?;
        let probed = played["probed"].as_array().into_iter().flatten();
        let probed: Vec<_> =
            probed.map(|probe| format!("{} in {:.0} ms", text(probe, "ip"), number(probe, "rtt_ms"))).collect();
        if !probed.is_empty() {
            writeln!(self.out, "{INDENT}probed  {}", probed.join(", "))?;
        }
        for way in ["up", "down"] {
            let facts = &played[way];
            let ticks = match facts["tick_hz"].as_f64() {
                Some(hz) => format!("{hz:.1} ticks a second"),
                None => format!("{:.1} packets a second without a beat", number(facts, "pps")),
            };
            let gap = |quantile| number(&facts["gap_ms"], quantile);
            let gaps = format!("gaps {:.1} ms, 99 % {:.1}, longest {:.1}", gap("p50"), gap("p99"), gap("max"));
            writeln!(
                self.out,
                "{INDENT}{way:<6}  {ticks}; {gaps}; {} kB",
                played[way]["bytes"].as_u64().unwrap_or(0) / 1000
            )?;
        }
        for stall in played["stalls"].as_array().into_iter().flatten() {
            let who = if text(stall, "direction") == "up" { "the console" } else { "the server" };
            let (at, length) = (self.at(&stall["start"]), number(stall, "duration_ms"));
            writeln!(self.out, "{INDENT}stall   {who} fell silent at {at} for {length:.0} ms")?;
        }
        for voice in played["voice_quality"].as_array().into_iter().flatten() {
            let (way, packets) = (text(voice, "direction"), &voice["packets"]);
            let lost = format!("{} lost ({:.2} %)", voice["lost"], number(voice, "lost_percent"));
            let stream = self.of("rtp").find(|stream| stream["ssrc"] == voice["ssrc"]);
            let jitter = stream.map(|stream| format!(", jitter {:.1} ms", number(&stream["jitter_ms"], "mean")));
            writeln!(self.out, "{INDENT}voice   {way}, {packets} packets, {lost}{}", jitter.unwrap_or_default())?;
        }
        if let Some(host) = played["result_host"].as_str() {
            writeln!(self.out, "{INDENT}result  sent to {}", Printable(host))?;
        }
        for reason in played["why"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            self.aside(INDENT, &format!("because {}", self.timed(reason)))?;
        }
        Ok(())
    }

    fn voice(&mut self, device: &'a Value) -> io::Result<()> {
        let (kept, streams) = (self.about("sip_keepalive", device), self.about("rtp", device));
        if kept.is_empty() && streams.is_empty() {
            return Ok(());
        }
        self.heading("Its voice")?;
        for flow in kept {
            writeln!(
                self.out,
                "  SIP with {}:{}, {} messages",
                text(flow, "dst_ip"),
                flow["dst_port"],
                flow["messages"]
            )?;
            for (end, sender) in [("client", "the console"), ("server", "the server")] {
                let sent = &flow[end];
                let Some(bytes) = sent["bytes"].as_str() else { continue };
                let period =
                    sent["period_s"].as_f64().map(|period| format!(", every {period:.1} s")).unwrap_or_default();
                writeln!(self.out, "    {} from {sender}, {} times{period}", spaced(bytes), sent["count"])?;
            }
            for reason in flow["why"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                self.aside("      ", reason)?;
            }
            self.aside(
                "      ",
                "so a voice client is registered, and reachable through the router: nothing here asks for a match",
            )?;
        }
        for stream in streams {
            let who = if text(stream, "direction") == "out" { "spoken" } else { "heard" };
            let codec = stream["codec"].as_str().unwrap_or("an unknown codec");
            let counts = format!("{} packets, {} lost", stream["packets"], stream["lost"]);
            let (start, end) = (self.at(&stream["start"]), self.at(&stream["end"]));
            let bound =
                if text(stream, "bound_by") == "sdp" { "announced by that SIP" } else { "told by its own consistency" };
            writeln!(
                self.out,
                "  RTP with {}:{}, {codec}, {who} {start} – {end}: {counts}",
                text(stream, "dst_ip"),
                stream["dst_port"]
            )?;
            self.aside("      ", bound)?;
        }
        Ok(())
    }

    fn servers(&mut self, device: &'a Value) -> io::Result<()> {
        self.heading("Whom it talked to")?;
        let mut before = String::new();
        for flow in self.about("flow", device) {
            let role = flow["role"].as_str().unwrap_or("unknown");
            if ASIDE.contains(&role) {
                continue;
            }
            let address = format!("{}:{}", text(flow, "dst_ip"), flow["dst_port"]);
            let server = match flow["host"].as_str() {
                Some(host) => format!("{host} ({address})"),
                None => address,
            };
            let network = flow["network"].as_str().map(|owner| format!(", {owner}")).unwrap_or_default();
            let service = flow["service"].as_str().map(|service| format!("{service}: ")).unwrap_or_default();
            let start = self.at(&flow["start"]);
            let confidence = number(flow, "confidence");
            writeln!(
                self.out,
                "  {start:>7}  {role:<16} {confidence:.2}  {}",
                Printable(&format!("{service}{server}{network}"))
            )?;
            let why = list(&flow["why"], "; ");
            if why != before {
                self.aside("                                  ", &why)?;
            }
            before = why;
        }
        Ok(())
    }

    /// A time, as minutes and seconds since the beginning.
    fn at(&self, time: &Value) -> String {
        moment(time).map_or_else(|| "?".to_owned(), |time| self.since(time))
    }

    fn since(&self, time: Timestamp) -> String {
        let millis = (time.as_millisecond() - self.first.as_millisecond()).max(0);
        format!("{}:{:02}.{}", millis / 60_000, millis / 1000 % 60, millis / 100 % 10)
    }

    /// Words, with the times in them since the beginning.
    fn timed(&self, words: &str) -> String {
        let word = |word: &str| {
            let end = word.trim_end_matches([',', ';', '.']);
            let time = end.parse::<Timestamp>().ok().map(|time| self.since(time));
            time.map_or_else(|| word.to_owned(), |time| time + word.get(end.len()..).unwrap_or_default())
        };
        words.split(' ').map(word).collect::<Vec<_>>().join(" ")
    }
}

/// As many words as fit, and the rest.
fn cut(words: &str, width: usize) -> (&str, &str) {
    let fits = words.char_indices().nth(width).map_or(words.len(), |(place, _)| place);
    if fits == words.len() {
        return (words, "");
    }
    let end = words.get(..fits).and_then(|start| start.rfind(' ')).unwrap_or(fits);
    let (line, rest) = words.split_at(end);
    (line, rest.trim_start())
}

fn moment(time: &Value) -> Option<Timestamp> {
    time.as_str()?.parse().ok()
}

fn text<'a>(record: &'a Value, field: &str) -> &'a str {
    record[field].as_str().unwrap_or_default()
}

fn number(record: &Value, field: &str) -> f64 {
    record[field].as_f64().unwrap_or_default()
}

fn list(items: &Value, between: &str) -> String {
    items.as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(between)
}

/// Hexadecimal digits, two by two.
fn spaced(digits: &str) -> String {
    let pairs = digits.as_bytes().chunks(2).map(|pair| String::from_utf8_lossy(pair));
    pairs.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_between_words() {
        assert_eq!(cut("one two three", 8), ("one two", "three"));
        assert_eq!(cut("one two", 8), ("one two", ""));
        assert_eq!(cut("äöüäöüäöü", 4), ("äöüä", "öüäöü"));
        assert_eq!(spaced("6a614b00"), "6a 61 4b 00");
    }

    #[test]
    fn a_capture_without_consoles_has_no_story() {
        let mut out = Vec::new();
        tell(&mut out, Style::PLAIN, &[]).expect("memory takes everything");
        assert_eq!(String::from_utf8_lossy(&out), "No console showed itself.\n");
    }
}
