//! Proposals as a table of signatures, with comments that say what they rest on.

use std::fmt::Write as _;

use super::Proposal;

/// The table; `service` is what the user calls the game.
pub fn write(proposals: &[Proposal], service: &str) -> String {
    let mut text = String::new();
    for (proposal, number) in proposals.iter().zip(1_u32..) {
        let _ = write_one(&mut text, proposal, service, number);
    }
    text
}

fn write_one(text: &mut String, proposal: &Proposal, service: &str, number: u32) -> std::fmt::Result {
    let Proposal { transport, up, opens, pattern, servers, payloads, rate } = proposal;
    let (fixed, telling) = pattern.strength();
    let (direction, way) = match up {
        Some(true) => ("up", "from the console"),
        Some(false) => ("down", "to the console"),
        None => ("any", "both ways"),
    };
    let what = if *opens { "first payloads" } else { "payloads" };
    let list: Vec<_> = servers.iter().take(4).map(ToString::to_string).collect();
    let more = if servers.len() > 4 { ", …" } else { "" };
    let (shortest, longest) = pattern.lengths;
    let bytes_long = if shortest == longest { shortest.to_string() } else { format!("{shortest} to {longest}") };
    let server = format!("server {}{more}", list.join(", "));
    writeln!(text, "\n# {payloads} {what} {way}, {bytes_long} bytes; {server}.")?;
    if let Some(rate) = rate {
        writeln!(text, "# About {rate:.1} a second in the span.")?;
    }
    writeln!(text, "# {fixed} bytes were the same in at least 97 of 100, {telling} of them neither 00 nor ff.")?;
    match servers.len() {
        1 => writeln!(
            text,
            "# Seen with one server: bytes may be that session's own. Learn from another session to be sure."
        )?,
        more => writeln!(text, "# Seen with {more} servers: what was one session's own has been left out.")?,
    }
    writeln!(text, "[[signature]]\nid = {}", quoted(&format!("{service}-{number}")))?;
    let name = format!("{service}: {}", if *opens { "opening of a flow" } else { "payloads of a flow" });
    writeln!(text, "name = {}\ntransport = \"{transport}\"\ndirection = \"{direction}\"", quoted(&name))?;
    match *opens && shortest == longest {
        true => writeln!(text, "length = \"{shortest}\"")?,
        false => writeln!(text, "length = \"{}-\"", pattern.head.len().max(shortest as usize * 3 / 4))?,
    }
    writeln!(text, "bytes = [{}]", bytes(&pattern.head, &pattern.tail).join(", "))?;
    writeln!(text, "service = {}", quoted(service))?;
    if proposal.ticks() {
        writeln!(text, "role = \"game\"")?;
    }
    let risk = match telling {
        0..=2 => "high",
        3 => "medium",
        4..=7 => "low",
        _ => "very-low",
    };
    let confidence = if servers.len() > 1 { "observed" } else { "inferred" };
    writeln!(text, "risk = \"{risk}\"\nconfidence = \"{confidence}\"\nsrc = [\"padtap learn\"]")
}

/// Runs of fixed bytes, each with its place. Short gaps are bridged by any byte.
fn bytes(head: &[Option<u8>], tail: &[Option<u8>]) -> Vec<String> {
    let mut found = Vec::new();
    let forward: Vec<_> = head.to_vec();
    let backward: Vec<_> = tail.iter().rev().copied().collect();
    for (places, offset) in [(forward, 0), (backward, -(tail.len() as isize))] {
        let mut place = 0;
        while let Some(start) = places.iter().skip(place).position(Option::is_some).map(|skipped| skipped + place) {
            let gap = places
                .iter()
                .skip(start)
                .collect::<Vec<_>>()
                .windows(4)
                .position(|four| four.iter().all(|byte| byte.is_none()));
            let end = gap.map_or(places.len(), |gap| start + gap);
            let run = places.get(start..end).unwrap_or_default();
            let used = run.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
            let hex =
                run.iter().take(used).map(|byte| byte.map_or_else(|| "??".to_owned(), |byte| format!("{byte:02x}")));
            found.push(format!("{{ at = {}, hex = \"{}\" }}", start as isize + offset, hex.collect::<String>()));
            place = end;
        }
    }
    found
}

/// A string of TOML's.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_bytes_have_their_places() {
        let head = [None, Some(1), None, Some(0xff), None, None, None, None, Some(7)];
        assert_eq!(
            bytes(&head, &[Some(9), None, Some(8)]),
            ["{ at = 1, hex = \"01??ff\" }", "{ at = 8, hex = \"07\" }", "{ at = -3, hex = \"08??09\" }",]
        );
    }
}
