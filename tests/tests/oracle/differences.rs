//! The differences that are left, each with its reason. `docs/differences.md` shows the same table.

use tests::facts::{ABSENT, Found};

/// One difference that is known and explained.
pub struct Difference {
    pub file: &'static str,
    pub fact: &'static str,
    pub ours: &'static str,
    pub theirs: &'static str,
    pub reason: &'static str,
}

impl Difference {
    /// Whether a difference that was found is this one.
    pub fn is(&self, found: &Found) -> bool {
        (self.file, self.fact) == (found.file.as_str(), found.fact.as_str())
            && (self.ours, self.theirs) == (found.ours.as_str(), found.theirs.as_str())
    }
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { file, fact, ours, theirs, reason } = self;
        write!(f, "{file}: {fact}: ours {ours}, theirs {theirs} ({reason})")
    }
}

/// The rows of the table in the documentation.
pub fn rows() -> String {
    let row = |difference: &Difference| {
        let Difference { file, fact, ours, theirs, reason } = difference;
        let value = |text: &str| if text == ABSENT { "nothing".to_owned() } else { format!("`{text}`") };
        format!("| {file} | `{fact}` | {} | {} | {reason} |\n", value(ours), value(theirs))
    };
    TABLE.iter().map(row).collect()
}

const NAMES: &str = "`expected.json` lists at most 12 names of a certificate; tshark shows all 40 \
     of this one (`-T fields -e x509ce.dNSName`).";
const NOT_RTP: &str = "No RTP: tshark's heuristic takes any payload whose first two bits are 10, and \
     counts as streams groups of 1 to 6 packets, with a loss of -200 % or a jitter \
     of minutes. nDPI calls the flow EpicGames.";
const DTLS_CERTIFICATES: &str = "`expected.json` lists no certificates of DTLS, but tshark has them: its field \
     `dtls.handshake.certificate` has bytes with the same SHA-256.";
const NO_SNI: &str = "The hello has no server name: tshark finds none either, and JA4 then has the \
     letter `i`. nDPI writes `d` for every hello of DTLS.";
const ALPN: &str = "The hello offers `http/1.1` alone. JA4 takes the first and the last character, \
     `h1`, as FoxIO's own `ja4.py` prints of this hello; nDPI 4.11 takes the first \
     two.";
const ONE_PACKET: &str = "The only packet of this source, with payload type 63, which no profile assigns \
     (RFC 3551 section 6): it shows nothing that random bytes do not.";
const COPIES: &str = "The capture has the packets of one side twice, some 0.1 ms apart, with the \
     same IP identification, TTL and sequence number: copies that a mirror makes. \
     padtap counts them in the ledger (`duplicates`) and not in flows; tshark calls \
     them retransmissions.";
const CONTENT_LENGTH: &str = "`Content-Length: 272` ends the body before its `m=` line, and what is beyond \
     is to be discarded (RFC 3261 section 18.3). tshark finds no media either; \
     Suricata reads on to the end of the datagram.";
const CONTENT_LENGTH_ADDRESS: &str = "`Content-Length: 272` ends the body before its first `m=` line; padtap tells \
     an address with the media that use it, so there is none. tshark finds no media \
     either.";
const POINTERS: &str = "Every name is a pointer forward. padtap calls the message malformed and stops; \
     tshark reads on to the end of the datagram, 10,518 questions of 6 bytes, and \
     prints each name as too long.";
const HOLES: &str = "tshark joins a body before it dissects the response, and three bodies have \
     holes. With `-o http.desegment_body:FALSE` it, too, finds 15.";

/// Every difference that is left, by file and fact.
pub const TABLE: &[Difference] = &[
    Difference {
        file: "ja4-latest.pcapng",
        fact: "number of names in certificate 8bcad153",
        ours: "40",
        theirs: "12",
        reason: NAMES,
    },
    Difference {
        file: "ndpi-epicgames.pcapng",
        fact: "RTP 18.157.15.184 15011 to 192.168.12.156 47446 74040000",
        ours: "-",
        theirs: "3 packets, -2 lost, jitter 136897.420 ms (at most 180588.087)",
        reason: NOT_RTP,
    },
    Difference {
        file: "ndpi-epicgames.pcapng",
        fact: "RTP 18.157.15.184 15011 to 192.168.12.156 47446 74040008",
        ours: "-",
        theirs: "3 packets, -2 lost, jitter 0.000 ms (at most 0.000)",
        reason: NOT_RTP,
    },
    Difference {
        file: "ndpi-epicgames.pcapng",
        fact: "RTP 192.168.12.156 47446 to 18.157.15.184 15011 25df2f31",
        ours: "-",
        theirs: "1 packets, 0 lost, jitter unknown",
        reason: NOT_RTP,
    },
    Difference {
        file: "ndpi-epicgames.pcapng",
        fact: "RTP 192.168.12.156 47446 to 18.157.15.184 15011 74040000",
        ours: "-",
        theirs: "6 packets, 11 lost, jitter 257261.051 ms (at most 411174.877)",
        reason: NOT_RTP,
    },
    Difference {
        file: "ndpi-geforcenow.pcapng",
        fact: "JA4 of port 52441 by nDPI",
        ours: "dd2i110700_c45550529adf_d9dd6182da81",
        theirs: "dd2d110700_c45550529adf_d9dd6182da81",
        reason: NO_SNI,
    },
    Difference {
        file: "ndpi-geforcenow.pcapng",
        fact: "JA4 of port 57490 by nDPI",
        ours: "t13d1516h1_8daaf6152771_e5627efa2ab1",
        theirs: "t13d1516ht_8daaf6152771_e5627efa2ab1",
        reason: ALPN,
    },
    Difference {
        file: "ndpi-geforcenow.pcapng",
        fact: "RTP 80.84.167.206 18452 to 192.168.1.245 52441 00000001",
        ours: "-",
        theirs: "1 packets, 0 lost, jitter unknown",
        reason: ONE_PACKET,
    },
    Difference {
        file: "ndpi-geforcenow.pcapng",
        fact: "certificate 19c32718",
        ours: "CN=WebRTC; by CN=WebRTC; valid 2023-05-20T12:24:31 to 2023-06-20T12:24:31",
        theirs: "-",
        reason: DTLS_CERTIFICATES,
    },
    Difference {
        file: "ndpi-geforcenow.pcapng",
        fact: "certificate 4594c0e0",
        ours: "CN=NVIDIA GameStream; by CN=NVIDIA GameStream; valid 2022-05-21T12:24:31 to 2024-05-20T12:24:31",
        theirs: "-",
        reason: DTLS_CERTIFICATES,
    },
    Difference {
        file: "ndpi-geforcenow.pcapng",
        fact: "certificates of 192.168.1.245 52441",
        ours: "19c327189b9b72e7d553432837a5c5a44578de3b85835e731586490e108ed1b8",
        theirs: "-",
        reason: DTLS_CERTIFICATES,
    },
    Difference {
        file: "ndpi-geforcenow.pcapng",
        fact: "certificates of 80.84.167.206 18452",
        ours: "4594c0e02b7908f1d811fec4c470cde974da8db0530c756a74e2f3a9a06ff29e",
        theirs: "-",
        reason: DTLS_CERTIFICATES,
    },
    Difference {
        file: "ndpi-roblox.pcapng",
        fact: "JA4 of port 39034 by nDPI",
        ours: "t13d3113h1_e8f1e7e78f70_1b3407e2c936",
        theirs: "t13d3113ht_e8f1e7e78f70_1b3407e2c936",
        reason: ALPN,
    },
    Difference {
        file: "ndpi-stun-dtls-rtp.pcapng",
        fact: "JA4 of port 37967 by nDPI",
        ours: "dd2i110700_c45550529adf_d9dd6182da81",
        theirs: "dd2d110700_c45550529adf_d9dd6182da81",
        reason: NO_SNI,
    },
    Difference {
        file: "ndpi-stun-dtls-rtp.pcapng",
        fact: "certificate b1425559",
        ours: "CN=hangouts; by CN=hangouts; valid 2022-11-30T17:35:18 to 2023-12-01T17:35:18",
        theirs: "-",
        reason: DTLS_CERTIFICATES,
    },
    Difference {
        file: "ndpi-stun-dtls-rtp.pcapng",
        fact: "certificate ecdf5a4d",
        ours: "CN=WebRTC; by CN=WebRTC; valid 2022-12-01T14:05:25 to 2023-01-01T14:05:25",
        theirs: "-",
        reason: DTLS_CERTIFICATES,
    },
    Difference {
        file: "ndpi-stun-dtls-rtp.pcapng",
        fact: "certificates of 142.250.82.76 19305",
        ours: "b142555973d4d28f05cf59875bf4f879a0b0f7ce249537ae0f9ab831d92dd5ce",
        theirs: "-",
        reason: DTLS_CERTIFICATES,
    },
    Difference {
        file: "ndpi-stun-dtls-rtp.pcapng",
        fact: "certificates of 192.168.12.156 37967",
        ours: "ecdf5a4d287aa50639ac62bbc2ee88117a82c12cb85f44adfc48bbc0de5daa6a",
        theirs: "-",
        reason: DTLS_CERTIFICATES,
    },
    Difference {
        file: "ndpi-wow.pcap",
        fact: "packets in flow records of tcp 12.129.222.53 80 192.168.178.20 39309",
        ours: "6 and 9",
        theirs: "6 and 18",
        reason: COPIES,
    },
    Difference {
        file: "ndpi-wow.pcap",
        fact: "packets in flow records of tcp 12.129.228.152 3724 192.168.178.20 39593",
        ours: "5 and 4",
        theirs: "5 and 8",
        reason: COPIES,
    },
    Difference {
        file: "ndpi-wow.pcap",
        fact: "packets in flow records of tcp 12.129.228.153 3724 192.168.178.20 39329",
        ours: "6 and 5",
        theirs: "6 and 10",
        reason: COPIES,
    },
    Difference {
        file: "ndpi-wow.pcap",
        fact: "packets in flow records of tcp 12.129.228.153 3724 192.168.178.20 39364",
        ours: "5 and 7",
        theirs: "5 and 13",
        reason: COPIES,
    },
    Difference {
        file: "ndpi-wow.pcap",
        fact: "packets in flow records of tcp 192.168.178.20 39312 24.105.29.21 80",
        ours: "9 and 6",
        theirs: "18 and 6",
        reason: COPIES,
    },
    Difference {
        file: "suricata-sip-sdp.pcap",
        fact: "SDP address IN IP4 192.168.1.2",
        ours: "-",
        theirs: "2",
        reason: CONTENT_LENGTH_ADDRESS,
    },
    Difference {
        file: "suricata-sip-sdp.pcap",
        fact: "SDP media by Suricata",
        ours: "-",
        theirs: "audio 30000 RTP/AVP 0 8 97 2 3",
        reason: CONTENT_LENGTH,
    },
    Difference {
        file: "tcpdump-dns-fwdptr.pcap",
        fact: "dns messages about <Name too long>",
        ours: "-",
        theirs: "10518",
        reason: POINTERS,
    },
    Difference { file: "zeek-erspan1-mixed.pcap", fact: "HTTP status 200", ours: "15", theirs: "12", reason: HOLES },
];
