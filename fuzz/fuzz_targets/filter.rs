//! A filter expression and, behind a line's end, a frame: whatever compiles can be run and negated, no frame matches
//! both ways, and what the kernel would select for it leaves out no well-formed frame that matches.

#![no_main]

use capture_common::config::mac_key;
use capture_user::dissect::dissect;
use capture_user::filter::{Cover, Filter};
use capture_user::source::policy::ConsoleFilter;
use capture_user::source::policy::rule::Console;
use capture_user::source::{Frame, LinkType, route::route};
use capture_user::time::Timestamp;
use libfuzzer_sys::fuzz_target;
use padtap_fuzz::frames::link;

fuzz_target!(|input: &[u8]| {
    let mut parts = input.splitn(2, |byte| *byte == b'\n');
    let (Some(expression), rest) = (parts.next(), parts.next().unwrap_or_default()) else { return };
    let expression = String::from_utf8_lossy(expression);
    let filter = match Filter::parse(&expression) {
        Ok(filter) => filter,
        Err(error) => {
            assert!(error.position <= expression.chars().count() + 1, "{error}");
            return;
        }
    };
    let (first, data) = rest.split_first().unwrap_or((&0, &[]));
    let length = u32::try_from(data.len()).expect("a short frame");
    let frame = Frame { number: 1, time: Timestamp::default(), length, link: link(*first), interface: 0, data };
    let matches = filter.matches(&frame);
    if let Ok(negated) = Filter::parse(&format!("not ({expression})")) {
        assert!(!(matches && negated.matches(&frame)), "both {expression} and its negation");
    }
    if let Some(cover) = filter.console_rules()
        && matches
        && frame.link == LinkType::Ethernet
        && is_well_formed(&frame)
    {
        assert!(route(&frame, &console_filter(cover)).is_some(), "{expression} is not covered by {cover:?}");
    }
});

/// Whether all of it can be read, and says what it is where a filter looks for it.
fn is_well_formed(frame: &Frame<'_>) -> bool {
    let packet = dissect(frame);
    packet.stopped.is_none() && packet.encap.is_empty() && packet.macs.is_some()
}

/// The console filter that the XDP program is given for it.
fn console_filter(cover: &Cover) -> ConsoleFilter {
    let mut filter = ConsoleFilter::new();
    for mac in &cover.macs {
        let number = mac.0.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        filter.add_console(Console::Mac(mac_key(number, 48))).expect("room");
    }
    for (address, bits) in &cover.prefixes {
        filter.add_console(format!("{address}/{bits}").parse().expect("a prefix")).expect("room");
    }
    filter
}
