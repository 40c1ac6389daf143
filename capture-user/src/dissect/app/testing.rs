//! What the tests of every protocol do: feed payloads, collect what was said, and mistreat the samples.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::LazyLock;

use jsonschema::Validator;
use proptest::prelude::*;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Conversation, Direction, Event, Output, Probe, Protocol, Segment, Step};
use crate::record::schema;
use crate::time::Timestamp;

const CLIENT: &str = "192.168.1.40:50000";
const SERVER: &str = "203.0.113.10:0";

/// A payload on the first port of `protocol`, one second after the epoch plus `index` times 20 ms.
pub(crate) fn segment<'a>(protocol: &Protocol, index: usize, direction: Direction, bytes: &'a [u8]) -> Segment<'a> {
    let client: SocketAddr = CLIENT.parse().expect("a constant address");
    let mut server: SocketAddr = SERVER.parse().expect("a constant address");
    server.set_port(protocol.ports.first().copied().unwrap_or(40_000));
    let (source, destination) = if direction == Direction::Out { (client, server) } else { (server, client) };
    Segment {
        time: Timestamp::from_nanos(1_000_000_000 + index as i64 * 20_000_000),
        direction,
        source,
        destination,
        stream: protocol.over == super::Over::Tcp,
        bytes,
        length: u32::try_from(bytes.len()).expect("a short payload"),
    }
}

/// Feeds payloads to a new conversation, ends it, and returns all it said. Of a stream, what was not consumed is
/// offered again in front of the next payload of its direction.
pub(crate) fn converse(protocol: &Protocol, payloads: &[(Direction, &[u8])]) -> Output {
    let mut out = Output::default();
    let mut conversation = (protocol.open)();
    feed(conversation.as_mut(), protocol, payloads, &mut out);
    conversation.end(Timestamp::from_nanos(100_000_000_000), &mut out);
    out.events.iter().for_each(|event| validate(protocol, event));
    out
}

/// Whatever a conversation says, its protocol declares the kind, and the kind's schema describes the facts.
fn validate(protocol: &Protocol, event: &Event) {
    static SCHEMAS: LazyLock<BTreeMap<&str, Validator>> = LazyLock::new(|| {
        let close = |mut schema: Value| {
            schema["unevaluatedProperties"] = false.into();
            jsonschema::validator_for(&schema).expect("a schema")
        };
        schema::kinds().into_iter().map(|(kind, facts)| (kind, close(facts))).collect()
    });
    let Event { kind, .. } = event;
    assert!(protocol.kinds.iter().any(|declared| declared.name == *kind), "{protocol:?} does not declare {kind}");
    let facts = json(event);
    SCHEMAS[kind]
        .validate(&facts)
        .unwrap_or_else(|error| panic!("{kind}: {error} at {}: {facts}", error.instance_path()));
}

fn feed(conversation: &mut dyn Conversation, protocol: &Protocol, payloads: &[(Direction, &[u8])], out: &mut Output) {
    let mut kept = [Vec::new(), Vec::new()];
    for (index, (direction, bytes)) in payloads.iter().enumerate() {
        let waiting = &mut kept[direction.index()];
        waiting.extend_from_slice(bytes);
        let segment = segment(protocol, index, *direction, waiting);
        let stream = segment.stream;
        match conversation.read(&segment, out) {
            Step::Consumed(count) => {
                assert!(count <= waiting.len(), "{}: consumed {count} of {} bytes", protocol.name, waiting.len());
                waiting.drain(..if stream { count } else { waiting.len() });
            }
            Step::Done | Step::Reject => return,
        }
    }
}

/// What the probe says of one payload of the client.
pub(crate) fn probe(protocol: &Protocol, bytes: &[u8]) -> Probe {
    (protocol.probe)(&segment(protocol, 0, Direction::Out, bytes))
}

/// The fields of an event as JSON.
pub(crate) fn json(event: &Event) -> Value {
    serde_json::to_value(&*event.facts).expect("facts serialise")
}

/// Every truncated prefix of each payload, and random damage to all of them, in both directions: nothing may panic,
/// whatever it says.
pub(crate) fn mistreat(protocol: &'static Protocol, payloads: &[(Direction, &[u8])]) {
    if let Some(folder) = std::env::var_os("PADTAP_SEEDS") {
        save(folder.as_ref(), protocol, payloads);
    }
    for cut in 0..payloads.len() {
        for end in 0..=payloads[cut].1.len() {
            let mut shortened = payloads[..=cut].to_vec();
            shortened[cut].1 = &payloads[cut].1[..end];
            converse(protocol, &shortened);
            exercise(protocol, shortened[cut].1);
        }
    }
    let owned: Vec<(Direction, Vec<u8>)> = payloads.iter().map(|(way, bytes)| (*way, bytes.to_vec())).collect();
    let damage = proptest::collection::vec((0..owned.len(), any::<prop::sample::Index>(), any::<u8>()), 1..8);
    proptest!(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) }, |(damage in damage)| {
        let mut damaged = owned.clone();
        for (which, place, value) in damage {
            let bytes = &mut damaged[which].1;
            if !bytes.is_empty() {
                let at = place.index(bytes.len());
                bytes[at] = value;
            }
        }
        let borrowed: Vec<(Direction, &[u8])> = damaged.iter().map(|(way, bytes)| (*way, bytes.as_slice())).collect();
        converse(protocol, &borrowed);
        for (_, bytes) in &borrowed {
            exercise(protocol, bytes);
        }
    });
}

/// Writes payloads as a seed for fuzzing: each behind its flags, the time since the one before and its length, as
/// `fuzz/src/script.rs` reads them.
fn save(folder: &Path, protocol: &Protocol, payloads: &[(Direction, &[u8])]) {
    /// Units of 4 ms.
    const STEP: u8 = 5;
    let mut seed = Vec::new();
    for (direction, bytes) in payloads {
        let stream = u8::from(segment(protocol, 0, *direction, &[]).stream);
        let length = u16::try_from(bytes.len()).expect("a short payload");
        seed.extend([direction.index() as u8 | stream << 1, STEP]);
        seed.extend(length.to_be_bytes());
        seed.extend_from_slice(bytes);
    }
    let folder = folder.join(protocol.name);
    let name = Sha256::digest(&seed).iter().take(4).map(|byte| format!("{byte:02x}")).collect::<String>();
    fs::create_dir_all(&folder).and_then(|()| fs::write(folder.join(name), seed)).expect("a writable folder");
}

fn exercise(protocol: &Protocol, bytes: &[u8]) {
    for direction in [Direction::Out, Direction::In] {
        (protocol.probe)(&segment(protocol, 0, direction, bytes));
    }
    (protocol.summary)(bytes, &mut String::new());
}

/// What has no seeds is not fuzzed.
#[test]
fn every_protocol_has_seeds() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds/conversation");
    for protocol in super::PROTOCOLS {
        let found = fs::read_dir(seeds.join(protocol.name)).map(Iterator::count).unwrap_or(0);
        assert!(found > 0, "{} has no seeds: docs/fuzzing.md says how to make them", protocol.name);
    }
}
