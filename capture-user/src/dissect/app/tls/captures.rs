//! Real handshakes, from the captures that `PADTAP_PCAPS` names a directory of, against what other tools say of them.
//! Without that variable these tests skip. Streams are put in order here as simply as those captures allow.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::dissect::app::{
    Conversation, Direction, Output, Over, Probe, Protocol, Segment, Step, dtls, quic, testing, tls,
};
use crate::dissect::{Transport, dissect};
use crate::source::{Frame, Received, Source, View, pcap};
use crate::time::Timestamp;

/// One flow: a conversation from the first payload that looks like it on, and the bytes of a stream in their order.
#[derive(Default)]
struct Flow {
    client: Option<SocketAddr>,
    conversation: Option<Box<dyn Conversation>>,
    finished: bool,
    next: [Option<u32>; 2],
    waiting: [Vec<u8>; 2],
    early: Vec<(Direction, u32, Vec<u8>)>,
    out: Output,
}

impl Flow {
    fn stream(&mut self, protocol: &Protocol, segment: Segment<'_>, sequence: u32) {
        if segment.bytes.is_empty() {
            return;
        }
        self.early.push((segment.direction, sequence, segment.bytes.to_vec()));
        while let Some(at) = self.early.iter().position(|(way, sequence, _)| {
            self.next[way.index()].is_none_or(|next| sequence.wrapping_sub(next) as i32 <= 0)
        }) {
            let (direction, sequence, bytes) = self.early.remove(at);
            let next = self.next[direction.index()].unwrap_or(sequence);
            let Some(new) = bytes.get(next.wrapping_sub(sequence) as usize..) else { continue };
            self.next[direction.index()] = Some(next.wrapping_add(new.len() as u32));
            self.waiting[direction.index()].extend_from_slice(new);
            let waiting = std::mem::take(&mut self.waiting[direction.index()]);
            let consumed = self.datagram(protocol, Segment { direction, bytes: &waiting, ..segment });
            self.waiting[direction.index()] = waiting[consumed..].to_vec();
        }
    }

    fn datagram(&mut self, protocol: &Protocol, segment: Segment<'_>) -> usize {
        if self.finished || segment.bytes.is_empty() {
            return 0;
        }
        if self.conversation.is_none() && (protocol.probe)(&segment) == Probe::Yes {
            self.conversation = Some((protocol.open)());
        }
        let Some(conversation) = &mut self.conversation else { return 0 };
        match conversation.read(&segment, &mut self.out) {
            Step::Consumed(count) => count,
            Step::Done | Step::Reject => {
                self.finished = true;
                0
            }
        }
    }
}

/// Every record of `protocol` in a capture, with the client's port.
fn records(name: &str, protocol: &Protocol) -> Option<Vec<(u16, Value)>> {
    let Some(directory) = std::env::var_os("PADTAP_PCAPS") else {
        eprintln!("skipped: PADTAP_PCAPS does not say where {name} is");
        return None;
    };
    let mut file = pcap::open([PathBuf::from(directory).join(name)], |_| Some(0)).expect("the capture is there");
    let (view, mut tokens, mut scratch) = (file.view(), Vec::new(), Vec::new());
    let mut flows: HashMap<(SocketAddr, SocketAddr), Flow> = HashMap::new();
    while file.receive(64, Duration::ZERO, &mut tokens).expect("the capture is whole") != Received::End {
        tokens.iter().for_each(|token| read_frame(&view.frame(token, &mut scratch), protocol, &mut flows));
        file.recycle(&mut tokens);
        tokens.clear();
    }
    let mut found = Vec::new();
    for (_, mut flow) in flows {
        if let Some(mut conversation) = flow.conversation.take() {
            conversation.end(Timestamp::from_nanos(0), &mut flow.out);
        }
        let port = flow.client.map_or(0, |client| client.port());
        found.extend(flow.out.events.iter().map(|event| (port, testing::json(event))));
    }
    found.sort_by_key(|(port, _)| *port);
    Some(found)
}

fn read_frame(frame: &Frame<'_>, protocol: &Protocol, flows: &mut HashMap<(SocketAddr, SocketAddr), Flow>) {
    let packet = dissect(frame);
    let (Some((from, to)), Some((from_port, to_port))) = (packet.addresses(), packet.ports()) else { return };
    let (source, destination) = (SocketAddr::new(from, from_port), SocketAddr::new(to, to_port));
    let flow = flows.entry((source.min(destination), source.max(destination))).or_default();
    let direction = if *flow.client.get_or_insert(source) == source { Direction::Out } else { Direction::In };
    let stream = matches!(packet.transport, Transport::Tcp(_));
    let (bytes, length) = (packet.payload, packet.payload_length);
    let segment = Segment { time: frame.time, direction, source, destination, stream, bytes, length };
    match (packet.transport, protocol.over) {
        (Transport::Tcp(tcp), Over::Tcp) => flow.stream(protocol, segment, tcp.sequence),
        (Transport::Udp(_), Over::Udp) => {
            flow.datagram(protocol, segment);
        }
        _ => {}
    }
}

/// The records must be these: of each the client's port, and fields with their values.
fn check(name: &str, protocol: &Protocol, expected: &[(u16, &[(&str, &str)])]) {
    let Some(found) = records(name, protocol) else { return };
    let ports: Vec<u16> = found.iter().map(|(port, _)| *port).collect();
    assert_eq!(ports, expected.iter().map(|(port, _)| *port).collect::<Vec<_>>(), "{name}: {found:#?}");
    for ((port, facts), (_, fields)) in found.iter().zip(expected) {
        for (pointer, value) in *fields {
            let actual = facts.pointer(pointer).unwrap_or(&Value::Null);
            let shown = actual.as_str().map_or_else(|| actual.to_string(), str::to_owned);
            assert_eq!(shown, *value, "{name}, port {port}, {pointer}");
        }
    }
}

#[test]
fn desktop_traffic() {
    let smartscreen = "8bcad15328dc5bdfb0ed4c760b79d9fea4015124e37b38cdbeba57ff49b3764d";
    let chrome = "t13d1516h2_8daaf6152771_e5627efa2ab1";
    check(
        "ja4-latest.pcapng",
        &tls::PROTOCOL,
        &[
            (
                52936,
                &[
                    ("/sni", "pdx-col.eum-appdynamics.com"),
                    ("/version", "TLS 1.2"),
                    ("/cipher", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
                    ("/alpn", r#"["h2","http/1.1"]"#),
                    ("/server_alpn", "h2"),
                    ("/ja3", "8883b2acda8ceb1a4f416c16d9b6c42f"),
                    ("/ja4", chrome),
                    ("/resumed", "false"),
                    (
                        "/certs/0/subject",
                        "CN=*.eum-appdynamics.com,O=AppDynamics LLC,L=San Francisco,ST=California,C=US",
                    ),
                    ("/certs/0/issuer", "CN=DigiCert Global G2 TLS RSA SHA256 2020 CA1,O=DigiCert Inc,C=US"),
                    ("/certs/0/issuer_org", "DigiCert Inc"),
                    ("/certs/0/not_before", "2023-06-14T00:00:00Z"),
                    ("/certs/0/not_after", "2024-07-14T23:59:59Z"),
                    ("/certs/1/sha256", "c8025f9fc65fdfc95b3ca8cc7867b9a587b5277973957917463fc813d0b625a9"),
                ],
            ),
            (
                52937,
                &[
                    ("/sni", "discovery.cem.cloud.us"),
                    ("/ja3", "a0e9f5d64349fb13191bc781f81f42e1"),
                    ("/ja4", "t12d190800_d83cc789557e_7af1ed941c26"),
                    (
                        "/certs/0/subject",
                        r"CN=*.cem.cloud.us,O=Citrix Systems\, Inc.,L=Fort Lauderdale,ST=Florida,C=US",
                    ),
                ],
            ),
            (
                52938,
                &[
                    ("/sni", "app.slack.com"),
                    ("/version", "TLS 1.3"),
                    ("/cipher", "TLS_AES_128_GCM_SHA256"),
                    ("/ja3", "d81fcba3f82df97ae9971d938da5caa6"),
                    ("/ja4", "t13d1516h2_8daaf6152771_9b887d9acb53"),
                    ("/resumed", "true"),
                    ("/certs", "null"),
                ],
            ),
            (
                52940,
                &[("/certs/0/sha256", smartscreen), ("/ja3", "2adc50eda4c71832c5aa9062850e0180"), ("/ja4", chrome)],
            ),
            (
                52941,
                &[("/certs/0/sha256", smartscreen), ("/ja3", "ce7b86965aaa85032ad3da178bf354d9"), ("/ja4", chrome)],
            ),
        ],
    );
}

#[test]
fn a_client_with_a_certificate() {
    check(
        "zeek-tls12-client-cert.pcap",
        &tls::PROTOCOL,
        &[(
            49480,
            &[
                ("/sni", "certauth.idrix.fr"),
                ("/cipher", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"),
                ("/server_alpn", "http/1.1"),
                ("/ja3", "579ccef312d18482fc42e2b822ca2430"),
                ("/ja4", "t13d1715h2_5b57614c22b0_3d5424432f57"),
                ("/certs/0/sha256", "4983a8a16d7e3954eceffda10e1a198388b334f71ba311acd99f89984739297e"),
                ("/certs/0/san", r#"["certauth.idrix.fr"]"#),
                ("/certs/2/issuer", "CN=DST Root CA X3,O=Digital Signature Trust Co."),
                ("/client_certs/0/subject", "CN=johanna@corelight.com"),
                ("/client_certs/0/issuer_org", "Actalis S.p.A."),
                ("/client_certs/1/sha256", "bb4d3ee661e5029409db6740b9951494a7f22a7bc0fdc1a1900c07a4781f1419"),
                (
                    "/client_certs/1/issuer",
                    "CN=Actalis Authentication Root CA,O=Actalis S.p.A./03358520967,L=Milan,C=IT",
                ),
            ],
        )],
    );
}

#[test]
fn a_hello_split_over_segments() {
    check(
        "arkime-tls-split-ch.pcap",
        &tls::PROTOCOL,
        &[(
            49927,
            &[
                ("/sni", "clients2.google.com"),
                ("/version", "TLS 1.3"),
                ("/ja3", "35708a08e7be9f7aa5bce7f2d5c1cecb"),
                ("/ja4", "t13d1516h2_8daaf6152771_02713d6af862"),
                ("/resumed", "false"),
            ],
        )],
    );
}

#[test]
fn games_and_voice() {
    check(
        "ndpi-roblox.pcapng",
        &tls::PROTOCOL,
        &[(39034, &[("/sni", "assetgame.roblox.com"), ("/ja4", "t13d3113h1_e8f1e7e78f70_1b3407e2c936")])],
    );
    check(
        "ndpi-discord-voice.pcap",
        &tls::PROTOCOL,
        &[(
            42834,
            &[
                ("/ja3", "6f5e62edfa5933b1332ddf8b9fb3ef9d"),
                ("/ja4", "t12d1209h2_d34a8e72043a_b39be8c56a14"),
                ("/certs/0/san", r#"["discord.com","sni.cloudflaressl.com","*.discord.com"]"#),
                ("/certs/0/issuer_org", "Cloudflare, Inc."),
            ],
        )],
    );
    check(
        "ndpi-geforcenow.pcapng",
        &tls::PROTOCOL,
        &[(
            57490,
            &[
                ("/ja3", "021c7413ddeb0d58973451b0e3b19eca"),
                ("/ja4", "t13d1516h1_8daaf6152771_e5627efa2ab1"),
                (
                    "/certs/0/subject",
                    "CN=prod.cloudmatchbeta.nvidiagrid.net,O=NVIDIA Corporation,L=Santa Clara,ST=California,C=US",
                ),
            ],
        )],
    );
}

/// The JA3 is what nDPI computes. Its JA4 says `d` although these hellos have no server name.
#[test]
fn media_flows() {
    let fingerprints = [
        ("/ja3", "c14667d7da3e6f7a7ab5519ef78c2452"),
        ("/ja4", "dd2i110700_c45550529adf_d9dd6182da81"),
        ("/version", "DTLS 1.2"),
    ];
    let names = [("/certs/0/subject", "CN=NVIDIA GameStream"), ("/client_certs/0/subject", "CN=WebRTC")];
    check("ndpi-geforcenow.pcapng", &dtls::PROTOCOL, &[(52441, &[&fingerprints[..], &names].concat())]);
    let names = [("/certs/0/subject", "CN=hangouts"), ("/client_certs/0/subject", "CN=WebRTC")];
    check("ndpi-stun-dtls-rtp.pcapng", &dtls::PROTOCOL, &[(37967, &[&fingerprints[..], &names].concat())]);
}

#[test]
fn connections_whose_hello_is_in_pieces() {
    check(
        "suricata-quic-frag.pcap",
        &quic::PROTOCOL,
        &[(
            42586,
            &[
                ("/version", "1"),
                ("/sni", "token.services.mozilla.com"),
                ("/alpn", r#"["h3"]"#),
                ("/ja3", "2d95fd459df0b3bba123e69b002b3f92"),
                ("/ja4", "q13d0314h3_55b375c5d22e_61e396c58b1f"),
            ],
        )],
    );
    check(
        "zeek-quic-chromium.pcap",
        &quic::PROTOCOL,
        &[(
            53727,
            &[
                ("/sni", "api.cirrus-ci.com"),
                ("/ja3", "526bdfecc3fb6cf46540d7ff70e88cec"),
                ("/ja4", "q13d0311h3_55b375c5d22e_3512bcbbc9ec"),
            ],
        )],
    );
}

/// Captures in which none of the three protocols is spoken.
#[test]
fn others_are_left_alone() {
    for name in [
        "ndpi-wow.pcap",
        "ndpi-source_engine.pcap",
        "ndpi-epicgames.pcapng",
        "sipp-g711a-rtp.pcap",
        "wireshark-sip.pcapng",
        "pcpp-dns-packets.pcap",
    ] {
        for protocol in [&tls::PROTOCOL, &dtls::PROTOCOL, &quic::PROTOCOL] {
            check(name, protocol, &[]);
        }
    }
}
