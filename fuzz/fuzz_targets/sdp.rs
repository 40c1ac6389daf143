//! Session descriptions of any bytes, as the body of an INVITE: a call's announcements stay few, and its record short.

#![no_main]

use capture_user::dissect::app::Output;
use libfuzzer_sys::fuzz_target;
use padtap_fuzz::check;
use padtap_fuzz::script::{named, only};

fuzz_target!(|body: &[u8]| {
    let head = format!(
        "INVITE sip:bob@192.0.2.9 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nFrom: <sip:a@192.0.2.1>;tag=1\r\n\
         To: <sip:bob@192.0.2.9>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let (sip, mut out) = (named("sip"), Output::default());
    let message = [head.as_bytes(), body].concat();
    let segment = only(sip, false, &message);
    (sip.open)().read(&segment, &mut out);
    (sip.summary)(&message, &mut String::new());
    assert!(out.expectations.len() <= 64, "{} announcements", out.expectations.len());
    assert_eq!(out.events.len(), 1);
    let said = check::events(out.events.drain(..));
    assert!(said <= 256 * 1024, "a record of {said} bytes");
    for announced in out.expectations {
        (announced.open)();
    }
});
