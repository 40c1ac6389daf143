//! One run with every output: each has the same flows and the same match.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tests::nfdump::collect;
use tests::padtap::{of_kind, records, run};
use tests::pypi::python;
use tests::tool::{have, output, tshark};

/// Flows and matches.
type Counts = (usize, usize);

fn counts(records: &[Value]) -> Counts {
    (of_kind(records, "flow").count(), of_kind(records, "match").count())
}

/// Rows of the tables of these kinds, as pyarrow reads them.
fn tables(python: &Path, folder: &Path) -> [Counts; 2] {
    const PROGRAM: &str = "import sys, pyarrow.ipc as ipc, pyarrow.parquet as pq
folder = sys.argv[1]
print(*[pq.read_table(f'{folder}/parquet/kind={kind}').num_rows for kind in ('flow', 'match')])
print(*[ipc.open_stream(f'{folder}/arrow/{kind}.arrows').read_all().num_rows for kind in ('flow', 'match')])";
    let text = output(Command::new(python).args(["-c", PROGRAM]).arg(folder));
    let numbers: Vec<usize> = text.split_whitespace().map(|number| number.parse().expect("a number")).collect();
    let [a, b, c, d] = numbers[..] else { panic!("{text}") };
    [(a, b), (c, d)]
}

/// The records in a spool's batches, without the two lines before them.
fn spooled(folder: &Path) -> Vec<Value> {
    let batches = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let batches = batches.filter(|path| path.extension().is_some_and(|extension| extension == "batch"));
    let texts = batches.map(|path| fs::read_to_string(path).expect("text"));
    texts
        .flat_map(|text| text.lines().skip(2).map(str::to_owned).collect::<Vec<_>>())
        .map(|line| serde_json::from_str(&line).expect("JSON"))
        .collect()
}

/// The flows that come of a capture file when it is read again, and the matches that its comments tell of.
fn commented(file: &Path) -> Counts {
    let again = run(["read".as_ref(), "-q".as_ref(), "--json".as_ref(), file.as_os_str()]).expect(0).records();
    let comments: Vec<String> = tshark(file, &["frame.comment"]).into_iter().flatten().collect();
    (counts(&again).0, comments.iter().flat_map(|comment| comment.matches("padtap: match from")).count())
}

#[test]
fn every_output_has_the_same_flows_and_matches() {
    let Some(python) = python(&["pyarrow"]) else { return };
    if !have(&["nfcapd", "nfdump", "tshark", "zstd"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary directory");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (flows, said, outcome) = collect(|port| {
        let to = format!("udp:127.0.0.1:{port}");
        let (ndjson, zst, eve) = (path("all.ndjson"), path("all.ndjson.zst"), format!("eve={}", path("eve.json")));
        let (parquet, arrow, spool, frames) = (path("parquet"), path("arrow"), path("spool"), path("all.pcapng"));
        run([
            "demo",
            "--offline",
            "--json",
            "-o",
            &ndjson,
            "-o",
            &zst,
            "-o",
            &eve,
            "--parquet",
            &parquet,
            "--arrow",
            &arrow,
            "--spool",
            &spool,
            "--ipfix",
            &to,
            "-w",
            &frames,
            "--metrics",
            "127.0.0.1:0",
        ])
        .expect(0)
    });
    let told = outcome.records();
    let expected = counts(&told);
    assert_eq!(expected.1, 1, "the match of the session");
    assert!(expected.0 > 10, "{expected:?}");
    assert_eq!(outcome.ledger().of_name("sink_drops"), 0);

    let read = |name: &str| fs::read(path(name)).expect("an output");
    let unpacked = output(Command::new("zstd").arg("-dc").arg(path("all.ndjson.zst")));
    let eve = records(&read("eve.json"));
    let events = eve.iter().filter(|event| event["event_type"] == "flow").count();
    let [parquet, arrow] = tables(&python, folder.path());
    let outputs: BTreeMap<&str, Counts> = BTreeMap::from([
        ("-o all.ndjson", counts(&records(&read("all.ndjson")))),
        ("-o all.ndjson.zst", counts(&records(unpacked.as_bytes()))),
        // Suricata knows no matches, and a collector of flows none either.
        ("-o eve=eve.json", (events, expected.1)),
        ("--ipfix", (flows.len(), expected.1)),
        ("--parquet", parquet),
        ("--arrow", arrow),
        ("--spool", counts(&spooled(&folder.path().join("spool")))),
    ]);
    for (name, counts) in outputs {
        assert_eq!(counts, expected, "{name}: {said}");
    }
    assert_eq!(commented(&folder.path().join("all.pcapng")), expected, "-w");
}
