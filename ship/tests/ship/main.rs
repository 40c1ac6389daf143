//! The shipper between a real padtap and a real nats-server, any of which may be killed.

mod broker;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tests::padtap::{Outcome, Running, finish, padtap};
use tests::tool::{have, output, wait_until};

use self::broker::{Broker, Message};

const SESSION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/ps4-overwatch-2016/profile-a.pcap.gz");

/// A spool, and beside it all records that went into it.
struct Sensor(TempDir);

impl Sensor {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    fn spool(&self) -> PathBuf {
        self.0.path().join("spool")
    }

    /// Reads the session into the spool: some twenty batches.
    fn read(&self, run: u32, options: &[&str]) -> Outcome {
        let mut command = padtap(["read", "-q", "--packets", "--spool"]);
        command.arg(self.spool()).arg("-o").arg(self.0.path().join(format!("{run}.ndjson")));
        finish(command.args(options).arg(SESSION)).expect(0)
    }

    /// The records of all runs, sorted.
    fn records(&self) -> Vec<String> {
        let files = fs::read_dir(self.0.path()).expect("a folder").map(|entry| entry.expect("an entry").path());
        let files = files.filter(|path| path.extension().is_some_and(|kind| kind == "ndjson"));
        let text: String = files.map(|path| fs::read_to_string(path).expect("records")).collect();
        sorted(text.lines().map(str::to_owned).collect())
    }

    fn waiting(&self) -> usize {
        let names = fs::read_dir(self.spool()).expect("a spool").map(|entry| entry.expect("an entry").path());
        names.filter(|path| path.extension().is_some_and(|kind| kind == "batch")).count()
    }
}

fn sorted(mut records: Vec<String>) -> Vec<String> {
    records.sort();
    records
}

fn shipper(arguments: &[String]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_padtap-ship"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// A shipper in the background that makes the stream.
fn ship(broker: &Broker, spool: &Path) -> Running {
    Running::start(shipper(&broker.arguments(spool)).arg("--create"))
}

/// Ships what there is.
fn drain(broker: &Broker, spool: &Path) -> Outcome {
    finish(shipper(&broker.arguments(spool)).args(["--create", "--drain"])).expect(0)
}

/// The records of messages, sorted; every message is there once.
fn arrived(messages: &[Message]) -> Vec<String> {
    let ids: BTreeSet<&str> = messages.iter().map(|message| message.id.as_str()).collect();
    assert_eq!(ids.len(), messages.len(), "a message came twice");
    sorted(messages.iter().flat_map(|message| message.records.clone()).collect())
}

/// The numbers of messages, which are all of one numbering, in order.
fn sequences(messages: &[Message]) -> Vec<u64> {
    let parts = messages.iter().map(|message| message.id.rsplit_once(':').expect("sensor:boot:sequence"));
    let (boots, mut numbers): (BTreeSet<&str>, Vec<u64>) =
        parts.map(|(boot, sequence)| (boot, sequence.parse::<u64>().expect("a number"))).unzip();
    assert_eq!(boots.len(), 1, "{boots:?}");
    numbers.sort_unstable();
    numbers
}

#[test]
fn every_record_arrives_once_whoever_is_killed() {
    let Some(mut broker) = Broker::start(&[]) else { return };
    let sensor = Sensor::new();
    sensor.read(0, &[]);
    let spool = sensor.spool();
    thread::scope(|scope| {
        let feeder = scope.spawn(|| (1..6).for_each(|run| drop(sensor.read(run, &[]))));
        for goal in [5, 30] {
            let killed = ship(&broker, &spool);
            wait_until("batches", || broker.count() >= goal);
            drop(killed);
        }
        let mut shipper = ship(&broker, &spool);
        wait_until("more batches", || broker.count() >= 50);
        broker.kill();
        shipper.wait_to_hear("trying again", &[]);
        broker.run();
        feeder.join().expect("every run is read");
        wait_until("an empty spool", || sensor.waiting() == 0);
        shipper.signal(Signal::TERM);
        let ended = shipper.end().expect(0);
        let said: Vec<&str> = ended.stderr.lines().collect();
        assert!(said.len() <= 8, "a line for each change, and none in between: {said:?}");
        assert!(said.last().is_some_and(|line| line.ends_with("; 0 wait")), "{said:?}");
    });
    let messages = broker.messages();
    let records = sensor.records();
    assert_eq!(sequences(&messages), (1..=messages.len() as u64).collect::<Vec<_>>());
    assert!(arrived(&messages) == records, "{} of {} records", arrived(&messages).len(), records.len());
}

#[test]
fn a_full_stream_is_waited_for() {
    let Some(broker) = Broker::start(&[]) else { return };
    let sensor = Sensor::new();
    sensor.read(0, &[]);
    broker.limit(1 << 20);
    let mut shipper = ship(&broker, &sensor.spool());
    shipper.wait_to_hear("maximum bytes exceeded", &[]);
    assert!(shipper.is_running() && sensor.waiting() > 0);
    broker.limit(1 << 30);
    wait_until("an empty spool", || sensor.waiting() == 0);
    let ended = shipper.interrupt().expect(0);
    assert!(ended.stderr.contains("shipping from"), "{}", ended.stderr);
    assert!(arrived(&broker.messages()) == sensor.records());
}

#[test]
fn beyond_the_spools_limit_the_oldest_go_and_are_counted() {
    let Some(mut broker) = Broker::absent(&[]) else { return };
    let sensor = Sensor::new();
    let mut shipper = Running::start(&mut {
        fs::create_dir(sensor.spool()).expect("a folder");
        let mut command = self::shipper(&broker.arguments(&sensor.spool()));
        command.arg("--create");
        command
    });
    shipper.wait_to_hear("trying again", &[]);
    (0..2).for_each(|run| drop(sensor.read(run, &["--spool-limit", "1M"])));
    broker.run();
    wait_until("an empty spool", || sensor.waiting() == 0);
    shipper.interrupt().expect(0);
    let messages = broker.messages();
    let (gaps, records): (Vec<String>, Vec<String>) =
        arrived(&messages).into_iter().partition(|record| record.starts_with("{\"kind\":\"gap\""));
    let gaps: Vec<Value> = gaps.iter().map(|gap| serde_json::from_str(gap).expect("JSON")).collect();
    let lost: u64 = gaps.iter().map(|gap| gap["records"].as_u64().expect("a count")).sum();
    let made = sensor.records();
    assert!(
        lost > 0 && records.len() as u64 + lost == made.len() as u64,
        "{} + {lost} of {}",
        records.len(),
        made.len()
    );
    let made: BTreeSet<String> = made.into_iter().collect();
    assert!(records.iter().all(|record| made.contains(record)));
    let last = gaps.iter().map(|gap| gap["last_sequence"].as_u64().expect("a number")).max();
    assert_eq!(last.map(|last| last + 1), sequences(&messages).first().copied());
}

#[test]
fn a_killed_padtap_leaves_whole_batches_and_goes_on_behind_them() {
    let Some(broker) = Broker::start(&[]) else { return };
    let sensor = Sensor::new();
    let mut command = padtap(["read", "-q", "--packets", "--spool"]);
    let mut running = Running::start(command.arg(sensor.spool()).arg("-").stdin(Stdio::piped()));
    let mut pipe = running.take_stdin();
    let session = fs::read(SESSION).expect("a fixture");
    std::io::Write::write_all(&mut pipe, &session).expect("it reads");
    wait_until("batches", || sensor.spool().is_dir() && sensor.waiting() >= 10);
    drop(running);
    let before = sensor.waiting() as u64;
    drain(&broker, &sensor.spool());
    let killed = arrived(&broker.messages()).len();
    sensor.read(0, &[]);
    drain(&broker, &sensor.spool());
    let messages = broker.messages();
    assert_eq!(sequences(&messages), (1..=messages.len() as u64).collect::<Vec<_>>());
    assert!(messages.len() as u64 > before);
    assert_eq!(arrived(&messages).len(), killed + sensor.records().len());
}

#[test]
fn what_cannot_work_is_said_and_ends() {
    let Some(broker) = Broker::start(&["--user", "sensor", "--pass", "s@cret"]) else { return };
    let spool = tempfile::tempdir().expect("a temporary directory");
    let with = |user: &str| {
        let url = broker.url().replace("//", &format!("//{user}@"));
        let mut arguments = broker.arguments(spool.path());
        arguments[3] = url;
        arguments
    };
    let refused = finish(&mut shipper(&with("sensor:wrong"))).expect(1);
    assert!(refused.stderr.contains("refuses the credentials"), "{}", refused.stderr);
    assert!(!refused.stderr.contains("wrong"), "{}", refused.stderr);
    let missing = finish(&mut shipper(&with("sensor:s%40cret"))).expect(1);
    assert!(missing.stderr.contains("there is no stream PADTAP") && missing.stderr.contains("--create"));
    finish(shipper(&with("sensor:s%40cret")).args(["--create", "--drain"])).expect(0);

    let mut nowhere = with("sensor:s%40cret");
    nowhere[1] = "/nowhere".to_owned();
    let missing = finish(&mut shipper(&nowhere)).expect(1);
    assert!(missing.stderr.contains("/nowhere"), "{}", missing.stderr);
    let missing = finish(shipper(&with("sensor:s%40cret")).args(["--creds", "/nowhere.creds"])).expect(1);
    assert!(missing.stderr.contains("/nowhere.creds"), "{}", missing.stderr);
    // padtap finds the shipper where both are built.
    let usage = finish(padtap(["ship", "--subject", "a.*"]).env("PATH", "")).expect(2);
    assert!(usage.stderr.contains("--subject"), "{}", usage.stderr);
}

#[test]
fn batches_travel_encrypted() {
    if !have(&["openssl", "nats-server"]) {
        return;
    }
    let keys = tempfile::tempdir().expect("a temporary directory");
    let [key, certificate] = ["key.pem", "cert.pem"].map(|name| keys.path().join(name).display().to_string());
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]);
    openssl.args([
        "-subj",
        "/CN=broker",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-addext",
        "basicConstraints=CA:FALSE",
    ]);
    output(openssl.args(["-keyout", &key, "-out", &certificate]));
    let Some(broker) = Broker::start(&["--tls", "--tlscert", &certificate, "--tlskey", &key]) else { return };
    let sensor = Sensor::new();
    sensor.read(0, &[]);
    let mut arguments = broker.arguments(&sensor.spool());
    arguments[3] = arguments[3].replace("nats://", "tls://");
    let outcome = finish(shipper(&arguments).args(["--create", "--drain", "--ca", &certificate])).expect(0);
    assert!(outcome.stderr.ends_with("; 0 wait\n"), "{}", outcome.stderr);
    assert_eq!(sensor.waiting(), 0);
}
