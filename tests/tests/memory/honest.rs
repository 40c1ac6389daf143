//! A console that does what consoles do, while somebody else floods: a named game flow, a call with voice, and TLS
//! connections whose hellos come in two segments.

use std::net::{Ipv4Addr, SocketAddrV4};

use capture_user::record::Record;
use serde_json::Value;
use tests::bench::Bench;
use tests::talk::{Message, flags};

const CONSOLE: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 40);
const RESOLVER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 168, 1, 1), 53);
const GAME: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 7), 3724);
const SIP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 9), 5060);
const VOICE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 10), 30_000);
const SHOP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 8), 443);
/// Every so many ticks a TLS connection begins.
const CONNECTS: u32 = 10;

/// The console, and the records of its traffic.
#[derive(Default)]
pub struct Honest {
    ticks: u32,
    id: u16,
    told: Vec<Value>,
}

impl Honest {
    /// Asks for the game server's name and calls the voice server.
    pub fn begin(&mut self, bench: &mut Bench) {
        let (asking, calling) = (at(50_000), at(5_060));
        self.say(bench, asking, RESOLVER, &dns(false));
        self.say(bench, RESOLVER, asking, &dns(true));
        self.say(bench, calling, SIP, &sip("INVITE sip:channel@voice.example SIP/2.0", at(40_000)));
        self.say(bench, SIP, calling, &sip("SIP/2.0 200 OK", VOICE));
    }

    /// A fiftieth of a second: a packet of the game and one of voice each way, and sometimes a connection.
    pub fn tick(&mut self, bench: &mut Bench) {
        let (game, voice) = (at(50_001), at(40_000));
        self.say(bench, game, GAME, &[0x3a; 80]);
        self.say(bench, GAME, game, &[0x37; 120]);
        let rtp = |ssrc: u32| {
            let head = [[0x80, 115], (self.ticks as u16).to_be_bytes()].concat();
            [&head[..], &(self.ticks * 640).to_be_bytes(), &ssrc.to_be_bytes(), &[0x11; 80]].concat()
        };
        let (out, inward) = (rtp(1), rtp(2));
        self.say(bench, voice, VOICE, &out);
        self.say(bench, VOICE, voice, &inward);
        if self.ticks.is_multiple_of(CONNECTS) {
            self.connect(bench);
        }
        self.ticks += 1;
        bench.wait(20_000_000);
    }

    fn connect(&mut self, bench: &mut Bench) {
        let here = at(20_000 + (self.ticks / CONNECTS) as u16);
        let hello = hello(&shop(self.ticks));
        let (first, second) = hello.split_at(40);
        let end = 101 + hello.len() as u32;
        bench.tcp(self.message(here, SHOP, &[]), 100, 0, flags::SYN);
        bench.tcp(self.message(SHOP, here, &[]), 500, 101, flags::SYN | flags::ACK);
        bench.tcp(self.message(here, SHOP, first), 101, 501, flags::ACK);
        bench.tcp(self.message(here, SHOP, second), 141, 501, flags::ACK);
        bench.tcp(self.message(here, SHOP, &[]), end, 501, flags::ACK | flags::FIN);
        bench.tcp(self.message(SHOP, here, &[]), 501, end + 1, flags::ACK | flags::FIN);
    }

    fn say(&mut self, bench: &mut Bench, from: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) {
        bench.udp(self.message(from, to, payload));
    }

    fn message<'a>(&mut self, from: SocketAddrV4, to: SocketAddrV4, payload: &'a [u8]) -> Message<'a> {
        self.id = self.id.wrapping_add(1);
        Message { from, to, id: self.id, payload }
    }

    /// Takes the records of the console's traffic and drops the others.
    pub fn hear(&mut self, records: &mut Vec<Record>) {
        for record in records.drain(..).filter(|record| record.subject.src_ip == Some(CONSOLE.into())) {
            let mut value = serde_json::to_value(&record.facts).expect("it serialises");
            value["kind"] = record.kind.into();
            value["dst_port"] = record.subject.dst_port.into();
            self.told.push(value);
        }
    }

    /// Asserts that everything the console did was told as if nobody had flooded.
    ///
    /// # Panics
    /// If it was not.
    pub fn check(&self) {
        let of = |kind: &str| self.told.iter().filter(|value| value["kind"] == kind).collect::<Vec<_>>();
        let flows = of("flow");
        let games: Vec<_> = flows.iter().filter(|flow| flow["dst_port"] == GAME.port()).collect();
        let [game] = &games[..] else { panic!("one flow of the game, not {games:?}") };
        assert_eq!((&game["packets_out"], &game["packets_in"]), (&self.ticks.into(), &self.ticks.into()));
        assert_eq!((&game["host"], &game["host_from"]), (&"game.example".into(), &"dns".into()));
        assert_eq!(of("sip").len(), 2);
        let streams = of("rtp");
        assert_eq!(streams.len(), 2, "{streams:?}");
        for stream in streams {
            assert_eq!((&stream["packets"], &stream["lost"]), (&self.ticks.into(), &0.into()));
            assert_eq!((&stream["bound_by"], &stream["call_id"]), (&"sdp".into(), &"call-1".into()));
            assert_eq!(stream["codec"], "G7221");
        }
        let told: Vec<_> = of("tls").iter().filter_map(|tls| tls["sni"].as_str().map(str::to_owned)).collect();
        let shops: Vec<_> = (0..self.ticks).filter(|tick| tick.is_multiple_of(CONNECTS)).map(shop).collect();
        assert_eq!(told, shops);
    }
}

fn at(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(CONSOLE, port)
}

fn shop(tick: u32) -> String {
    format!("shop{tick}.example")
}

fn dns(answered: bool) -> Vec<u8> {
    let flags = if answered { [0x81, 0x80] } else { [1, 0] };
    let mut message = [&[0, 9][..], &flags, &[0, 1, 0, u8::from(answered), 0, 0, 0, 0]].concat();
    message.extend(b"\x04game\x07example\0\0\x01\0\x01");
    if answered {
        message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        message.extend(GAME.ip().octets());
    }
    message
}

fn sip(start: &str, media: SocketAddrV4) -> Vec<u8> {
    let (ip, port) = (media.ip(), media.port());
    let sdp = format!(
        "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP 115\r\na=rtpmap:115 G7221/32000\r\n"
    );
    let length = sdp.len();
    format!(
        "{start}\r\nVia: SIP/2.0/UDP 192.168.1.40:5060;branch=z9hG4bK1\r\nCall-ID: call-1\r\nCSeq: 1 INVITE\r\n\
        Content-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n{sdp}"
    )
    .into_bytes()
}

/// A ClientHello that asks for `name`, in one record.
pub fn hello(name: &str) -> Vec<u8> {
    let u16 = |value: usize| (value as u16).to_be_bytes();
    let n = name.len();
    let server_name = [&[0, 0][..], &u16(n + 5), &u16(n + 3), &[0], &u16(n), name.as_bytes()].concat();
    let body = [&[3, 3][..], &[7; 32], &[0, 0, 2, 0x13, 1, 1, 0], &u16(server_name.len()), &server_name].concat();
    let message = [&[1, 0][..], &u16(body.len()), &body].concat();
    [&[22, 3, 1][..], &u16(message.len()), &message].concat()
}
