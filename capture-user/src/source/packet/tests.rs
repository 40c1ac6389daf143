//! Against the real kernel, on loopback; the veth pair is in the integration tests.

use super::*;
use crate::source::View as _;

#[test]
fn an_interface_that_is_not_there_is_named() {
    let Err(error) = PacketSource::open("padtap-none", |_| Some(0)) else { panic!("opened") };
    assert!(error.to_string().starts_with("padtap-none: no such interface"), "{error}");
}

#[test]
fn tokens_carry_their_frames() {
    let token =
        Token { number: 3, time: Timestamp::from_nanos(9), link: LinkType::Ethernet, shard: 7, bytes: vec![1, 2] };
    let mut scratch = Vec::new();
    let frame = View.frame(&token, &mut scratch);
    assert_eq!((frame.number, frame.time, frame.length, frame.data), (3, Timestamp::from_nanos(9), 2, &[1, 2][..]));
    assert_eq!((View.shard(&token), View.stamped(&token)), (7, None));
}
