//! What Wireshark's users see of a capture that padtap has read: comments, names, and a part of the whole.

use std::collections::BTreeMap;

use serde_json::Value;
use tests::fixtures::captures;
use tests::padtap::{self, Outcome, of_kind, padtap};

use super::*;

/// A capture of a match, and what is true of it.
fn session(file: &str) -> (PathBuf, Value) {
    let is_it = |(path, _): &(PathBuf, Value)| path.ends_with(Path::new("ps4-overwatch-2016").join(file));
    captures().into_iter().find(is_it).expect("the fixture is there")
}

fn padtap_read(file: &Path, options: &[&str], written: &Path) -> Outcome {
    padtap::finish(padtap(["read", "-q", "--json"]).args(options).arg("-w").arg(written).arg(file))
}

/// A packet with a comment, as tshark sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Commented {
    nanos: i64,
    ends: [String; 2],
    comment: String,
}

fn comments(file: &Path) -> Result<Vec<Commented>> {
    let fields = ["frame.time_epoch", "ip.src", "ip.dst", "frame.comment"];
    let commented = |row: Vec<String>| {
        let Ok([time, source, destination, comment]) = <[String; 4]>::try_from(row) else { bail!("other fields") };
        Ok(Commented { nanos: nanos(&time)?, ends: [source, destination], comment })
    };
    tshark_with(&["-n", "-Y", "frame.comment"], file, &fields).into_iter().map(commented).collect()
}

/// A time of a record or of the truth.
fn time(value: &Value) -> i64 {
    let text = value.as_str().expect("a time");
    let time: jiff::Timestamp = text.parse().expect("RFC 3339");
    i64::try_from(time.as_nanosecond()).expect("a time of this century")
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// Where in a file the first block of a kind is; counted in blocks.
fn first(file: &Path, kind: u32) -> Option<usize> {
    let bytes = std::fs::read(file).expect("the file is there");
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    let starts = std::iter::successors(Some(0), |at| Some(at + word(at + 4) as usize));
    starts.take_while(|at| *at < bytes.len()).position(|at| word(at) == kind)
}

#[test]
fn what_is_true_stands_at_its_packets() -> Result<()> {
    if !have(&["tshark", "capinfos"]) {
        return Ok(());
    }
    for file in ["profile-a.pcap.gz", "profile-b.pcapng.gz", "vlan.pcap.gz"] {
        let (path, truth) = session(file);
        let (_directory, written) = scratch("out.pcapng")?;
        let outcome = padtap_read(&path, &[], &written).expect(0);
        ensure!(capinfos(&written)?.0 == truth["frames"].as_u64().context("frames")?, "{file}: frames");
        ensure!(outcome.ledger().of_name("frames_written") == capinfos(&written)?.0, "{file}: the account");
        let found = comments(&written)?;
        let at = |nanos: i64, words: &str| {
            let there = found.iter().filter(|found| found.nanos == nanos && found.comment.contains(words));
            there.cloned().collect::<Vec<_>>()
        };
        let records = outcome.records();
        for flow in of_kind(&records, "flow").filter(|flow| flow.get("role").is_some()) {
            let there = at(time(&flow["start"]), &format!("{} (", text(flow, "role")));
            let its = there.iter().any(|there| there.ends == [text(flow, "src_ip"), text(flow, "dst_ip")]);
            ensure!(its, "{file}: no comment on {flow}");
        }
        let matches = truth["matches"].as_array().context("matches")?;
        ensure!(of_kind(&records, "match").count() == matches.len(), "{file}: matches");
        for (played, truth) in of_kind(&records, "match").zip(matches) {
            ensure!((time(&played["start"]) - time(&truth["start"])).abs() < 200_000_000, "{file}: {played}");
            let server = format!("with {}:{}", text(truth, "server_ip"), truth["server_port"]);
            ensure!(!at(time(&played["start"]), &server).is_empty(), "{file}: the beginning of {played}");
            ensure!(!at(time(&played["end"]), "the match ends here").is_empty(), "{file}: the end of {played}");
        }
        let stalls = of_kind(&records, "match").flat_map(|played| played["stalls"].as_array().expect("stalls"));
        for stall in stalls {
            ensure!(!at(time(&stall["start"]), "stall").is_empty(), "{file}: {stall}");
        }
        for phase in of_kind(&records, "phase").filter(|phase| phase["phase"] != "in_match") {
            ensure!(!at(time(&phase["start"]), text(phase, "phase")).is_empty(), "{file}: {phase}");
        }
        ensure!(!matches.is_empty(), "{file}: no match");
    }
    Ok(())
}

#[test]
fn names_stand_before_the_packets_that_have_them() -> Result<()> {
    if !have(&["tshark"]) {
        return Ok(());
    }
    let (path, truth) = session("profile-a.pcap.gz");
    let (directory, written) = scratch("out.pcapng")?;
    padtap_read(&path, &[], &written).expect(0);
    ensure!(first(&written, 4).is_some_and(|names| Some(names) < first(&written, 6)), "the order of blocks");
    let shown = tshark_with(&["-N", "n"], &written, &["ip.dst", "ip.dst_host"]);
    let shown: BTreeMap<_, _> = shown.iter().map(|row| (row[0].as_str(), row[1].as_str())).collect();
    let named = truth["flows"].as_array().context("flows")?.iter().filter(|flow| flow.get("host").is_some());
    let mut count = 0;
    for flow in named {
        ensure!(shown.get(text(flow, "dst_ip")) == Some(&text(flow, "host")), "{flow}: {shown:?}");
        count += 1;
    }
    ensure!(count >= 3, "{count} names");

    // Every file of a ring has them.
    let ring = directory.path().join("ring.pcapng");
    padtap_read(&path, &["-b", "packets:2000"], &ring).expect(0);
    let files = std::fs::read_dir(directory.path())?.map(|entry| entry.map(|entry| entry.path()));
    let files: Vec<_> = files.collect::<Result<Vec<_>, _>>()?.into_iter().filter(|path| *path != written).collect();
    ensure!(files.len() == 4, "{files:?}");
    for file in files {
        ensure!(first(&file, 4).is_some_and(|names| Some(names) < first(&file, 6)), "{}", file.display());
    }
    Ok(())
}

#[test]
fn eight_workers_comment_as_one_does() -> Result<()> {
    if !have(&["tshark"]) {
        return Ok(());
    }
    let (path, _) = session("profile-a.pcap.gz");
    let (directory, one) = scratch("one.pcapng")?;
    let eight = directory.path().join("eight.pcapng");
    padtap_read(&path, &[], &one).expect(0);
    padtap_read(&path, &["--workers", "8"], &eight).expect(0);
    ensure!(std::fs::read(one)? == std::fs::read(eight)?, "the files differ");
    Ok(())
}

#[test]
fn one_console_one_match_one_flow() -> Result<()> {
    if !have(&["tshark"]) {
        return Ok(());
    }
    let (path, truth) = session("profile-a.pcap.gz");
    let (directory, written) = scratch("out.pcapng")?;
    let records = padtap_read(&path, &[], &written).expect(0).records();
    let played = of_kind(&records, "match").next().context("a match")?;
    let ending = of_kind(&records, "phase").find(|phase| phase["phase"] == "ending").context("its ending")?;
    let game = of_kind(&records, "flow").find(|flow| flow["role"] == "game").context("its flow")?;
    let chosen = |filter: &str| tshark_with(&["-n", "-Y", filter], &path, &["frame.time_epoch"]).concat();
    let seconds = |nanos: i64| format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000);
    let (from, to) = (seconds(time(&played["search_start"])), seconds(time(&ending["end"])));
    let console = text(&truth["devices"][0], "mac").to_owned();
    let (server, port) = (text(game, "dst_ip"), &game["dst_port"]);
    let of_match = format!("ip.addr == 192.168.1.40 && frame.time_epoch >= {from} && frame.time_epoch <= {to}");
    let choices = [
        (format!("console={console}"), format!("eth.addr == {console}")),
        ("match=1".to_owned(), of_match.clone()),
        (format!("match={}", &text(played, "start")[..19]), of_match),
        (format!("flow={}", text(game, "community_id")), format!("ip.addr == {server} && udp.port == {port}")),
    ];
    for (only, filter) in choices {
        let part = directory.path().join("part.pcapng");
        let outcome = padtap_read(&path, &["--only", &only], &part).expect(0);
        let times = tshark(&part, &["frame.time_epoch"]).concat();
        let expected = chosen(&filter);
        ensure!(times == expected, "{only}: {} frames, and {} with {filter}", times.len(), expected.len());
        ensure!(outcome.ledger().of_name("frames_written") == times.len() as u64, "{only}: the account");
        ensure!(outcome.records().len() == records.len(), "{only}: records are those of the whole");
        ensure!(!comments(&part)?.is_empty(), "{only}: no comments");
        std::fs::remove_file(part)?;
    }
    Ok(())
}

#[test]
fn a_choice_that_is_none_leaves_everything_as_it_was() -> Result<()> {
    let (path, _) = session("profile-a.pcap.gz");
    let (_directory, written) = scratch("out.pcapng")?;
    std::fs::write(&written, "what was there before")?;
    for (only, words) in [
        ("match=7", "1 began 2016-09-10T19:00:38.024679000Z"),
        ("flow=1:BwcHBwcHBwcHBwcHBwcHBwcHBwc=", "there is no flow"),
        ("flow=6:BwcH", "expected a Community ID"),
        ("console=ps4", "expected a MAC"),
        ("server=1.2.3.4", "expected console=MAC"),
    ] {
        let outcome = padtap_read(&path, &["--only", only], &written).expect(2);
        ensure!(outcome.stderr.contains(words), "{only}: {}", outcome.stderr);
        ensure!(std::fs::read(&written)? == b"what was there before", "{only}");
    }
    for arguments in [&["capture", "-i", "lo"][..], &["read", "-"]] {
        let command = padtap(arguments).args(["--only", "match=1", "-w"]).arg(&written).output()?;
        let said = String::from_utf8(command.stderr)?;
        ensure!(command.status.code() == Some(2) && said.contains("--only"), "{arguments:?}: {said}");
    }
    Ok(())
}

#[test]
fn what_comes_once_is_written_with_what_is_known_by_then() -> Result<()> {
    if !have(&["tshark"]) {
        return Ok(());
    }
    let (path, _) = session("profile-a.pcap.gz");
    let (_directory, written) = scratch("out.pcapng")?;
    let mut padtap = padtap(["read", "-q", "-w"]);
    padtap.arg(&written).arg("-").stdin(std::fs::File::open(&path)?);
    padtap::finish(&mut padtap).expect(0);
    let found = comments(&written)?;
    let with = |words: &str| found.iter().filter(|found| found.comment.contains(words)).count();
    ensure!(with("voice-signalling (") == 1 && with("battlenet login (") == 1, "labels of flows: {found:?}");
    ensure!(with("searching from") >= 1 && with("joining from") == 1, "phases: {found:?}");
    ensure!(with("match from 2016-09-10T19:00:38.024679000Z to 2016-09-10T19:01:37.991869000Z") == 1, "{found:?}");
    ensure!(first(&written, 4) > first(&written, 6), "names are known at the end");
    Ok(())
}
