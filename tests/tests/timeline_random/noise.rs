//! What is no match: voice, video, downloads, tunnels, menus.

use tests::talk::end;

use super::chance::Chance;
use super::session::Session;

/// An RTP header (RFC 3550, section 5.1).
fn rtp(kind: u8, number: u32, timestamp: u32, ssrc: u32) -> [u8; 12] {
    let [a, b] = (number as u16).to_be_bytes();
    let [c, d, e, f] = timestamp.to_be_bytes();
    let [g, h, i, j] = ssrc.to_be_bytes();
    [0x80, kind, a, b, c, d, e, f, g, h, i, j]
}

/// A call over RTP in talk spurts; the console's source.
pub fn voice(session: &mut Session, chance: &mut Chance, address: u32, from: f64, length: f64) -> u32 {
    let ports = [chance.whole(10_000, 32_000) as u16, chance.whole(10_000, 60_000) as u16];
    let flow = session.flow(end(address, ports[0]), end(0xc000_0200 | chance.whole(1, 250) as u32, ports[1]));
    let ssrcs = [chance.word() as u32, chance.word() as u32];
    for (up, ssrc) in [(true, ssrcs[0]), (false, ssrcs[1])] {
        let (mut at, mut number) = (from, chance.word() as u32 & 0x3fff);
        while at < from + length {
            let spurt = at + chance.between(1.0, 7.0);
            let mut marker = 0x80;
            while at < spurt.min(from + length) {
                let timestamp = ((at - from) * 48_000.0) as u32;
                let jitter = if up { 0.0003 } else { 0.002 } * chance.unit();
                session.send_with(flow, at + jitter, up, 92.0, &rtp(marker | 115, number, timestamp, ssrc));
                (at, number, marker) = (at + 0.02, number + 1, 0);
            }
            at += chance.between(0.4, 4.0);
        }
    }
    ssrcs[0]
}

/// Talk without a game; when it is over.
pub fn party(session: &mut Session, chance: &mut Chance, address: u32, now: f64) -> f64 {
    let length = chance.between(15.0, 40.0);
    if chance.happens(0.5) {
        voice(session, chance, address, now, length);
    } else {
        secret_voice(session, chance, address, now, length);
    }
    now + length + 5.0
}

/// A call of which only the rhythm shows what it is.
fn secret_voice(session: &mut Session, chance: &mut Chance, address: u32, now: f64, length: f64) {
    let flow = session.flow(end(address, 9_308), end(0xc000_0200 | chance.whole(1, 250) as u32, 3_479));
    for up in [true, false] {
        let mut at = now;
        while at < now + length {
            let spurt = at + chance.between(1.0, 9.0);
            while at < spurt.min(now + length) {
                session.send(flow, at + 0.001 * chance.unit(), up, 110.0 + 10.0 * chance.normal());
                at += 0.02;
            }
            at += chance.between(0.4, 4.0);
        }
    }
}

/// A menu: a keep-alive, and a few requests when somebody presses a button; when it is over.
pub fn menu(session: &mut Session, chance: &mut Chance, address: u32, now: f64) -> f64 {
    let flow = session.flow(end(address, 50_001), end(0xc000_0209, 3_478));
    let length = chance.between(20.0, 60.0);
    let mut at = now;
    while at < now + length {
        for _ in 0..chance.whole(1, 6) {
            session.send(flow, at, true, chance.between(30.0, 300.0));
            session.send(flow, at + 0.03, false, chance.between(30.0, 900.0));
            at += chance.between(0.02, 0.4);
        }
        at += chance.between(0.5, 5.0);
    }
    now + length
}

/// What a computer on the same mirror does.
pub fn computer(session: &mut Session, chance: &mut Chance, address: u32, length: f64) {
    for _ in 0..chance.whole(1, 3) {
        let from = chance.between(0.0, length * 0.8);
        let span = chance.between(10.0, 16.0);
        match chance.whole(0, 4) {
            0 => download(session, chance, address, from, span.min(12.0)),
            1 => video(session, chance, address, from, span),
            2 => tunnel(session, chance, address, from, span),
            3 => conference(session, chance, address, from, span),
            _ => {
                voice(session, chance, address, from, span);
            }
        }
    }
}

fn server(chance: &mut Chance) -> u32 {
    0xc612_0000 | chance.whole(1, 0xffff) as u32
}

fn client(chance: &mut Chance) -> u16 {
    chance.whole(49_152, 65_535) as u16
}

/// Full packets down, in bursts; acknowledgements up.
fn download(session: &mut Session, chance: &mut Chance, address: u32, from: f64, length: f64) {
    let flow = session.flow(end(address, client(chance)), end(server(chance), 443));
    let mut at = from;
    while at < from + length {
        for packet in 0..chance.whole(2, 12) {
            let sent = at + 0.0002 * packet as f64;
            session.send(flow, sent, false, 1_250.0);
            if packet % 2 == 1 {
                session.send(flow, sent + 0.0001, true, 33.0);
            }
        }
        at += 0.04 * chance.exponential();
    }
}

/// Pieces of a film: a second of full packets, a pause.
fn video(session: &mut Session, chance: &mut Chance, address: u32, from: f64, length: f64) {
    let flow = session.flow(end(address, client(chance)), end(server(chance), 443));
    let mut at = from;
    while at < from + length {
        session.send(flow, at, true, 70.0);
        for _ in 0..chance.whole(100, 200) {
            at += 0.004 * chance.exponential();
            session.send(flow, at, false, 1_250.0);
            if chance.happens(0.3) {
                session.send(flow, at + 0.0005, true, 33.0);
            }
        }
        at += chance.between(1.0, 4.0);
    }
}

/// A private network: packets of all sizes, at random.
fn tunnel(session: &mut Session, chance: &mut Chance, address: u32, from: f64, length: f64) {
    let flow = session.flow(end(address, client(chance)), end(server(chance), 51_820));
    let rate = chance.between(15.0, 120.0);
    for up in [true, false] {
        let mut at = from;
        while at < from + length {
            at += chance.exponential() / rate;
            session.send(flow, at, up, chance.between(60.0, 1_300.0));
        }
    }
}

/// Pictures sixty times a second, both ways.
fn conference(session: &mut Session, chance: &mut Chance, address: u32, from: f64, length: f64) {
    let flow = session.flow(end(address, client(chance)), end(server(chance), 3_480));
    for up in [true, false] {
        let ssrc = chance.word() as u32;
        for number in 0..(length * 60.0) as u32 {
            let at = from + f64::from(number) / 60.0 + 0.002 * chance.unit();
            let marker = if number % 3 == 2 { 0x80 } else { 0 };
            let head = rtp(marker | 96, number, number / 3 * 4_500, ssrc);
            session.send_with(flow, at, up, if marker > 0 { 500.0 } else { 1_100.0 }, &head);
        }
    }
}
