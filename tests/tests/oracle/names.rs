//! DNS, mDNS and LLMNR: messages, names, answers' codes.
//!
//! tshark lists frames and padtap exchanges: a record is one query, its repetitions (`retries`) and, where there is a
//! code, the answer. An answer whose question was not captured has no `rtt_ms`.

use serde_json::Value;

use super::capture::Capture;
use tests::facts::{Counts, Facts, items, sent_and_answered, tell_counts, text};

const SERVICES: [&str; 3] = ["dns", "mdns", "llmnr"];

const CODES: [&str; 6] = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"];

pub fn ours(capture: &Capture, _: &Value) -> Facts {
    let mut facts = Facts::new();
    for service in SERVICES {
        let (mut queries, mut responses) = (0, 0);
        let (mut names, mut codes) = (Counts::default(), Counts::default());
        for record in capture.of_kind("dns").filter(|record| record["transport"] == service) {
            let (sent, answered) = sent_and_answered(record, record.get("rcode").is_some());
            (queries, responses) = (queries + sent, responses + answered);
            let more = items(record, "more_questions").filter_map(Value::as_str);
            let more = more.filter_map(|question| question.split_once(' ')).map(|(_, name)| name);
            for name in record["query"].as_str().into_iter().chain(more) {
                names.add(name, sent + answered);
            }
            let code = text(record, "rcode");
            let number = CODES.iter().position(|name| *name == code).map(|number| number.to_string());
            codes.add(number.unwrap_or(code.trim_start_matches("RCODE").to_owned()), answered);
        }
        tell(service, queries, responses, &mut facts);
        names.tell(&format!("{service} messages about"), &mut facts);
        codes.tell(&format!("{service} answers with code"), &mut facts);
    }
    facts
}

pub fn theirs(expected: &Value) -> Facts {
    let mut facts = Facts::new();
    for service in SERVICES {
        let seen = &expected["tshark"][service];
        let count = |name: &str| seen[name].as_u64().unwrap_or(0);
        tell(service, count("queries"), count("responses"), &mut facts);
        tell_counts(&seen["question_names"], &format!("{service} messages about"), &mut facts);
        tell_counts(&seen["rcodes"], &format!("{service} answers with code"), &mut facts);
    }
    facts
}

fn tell(service: &str, queries: u64, responses: u64, facts: &mut Facts) {
    if queries + responses > 0 {
        facts.insert(format!("{service} queries"), queries.to_string());
        facts.insert(format!("{service} responses"), responses.to_string());
    }
}
