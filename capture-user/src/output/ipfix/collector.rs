//! Where a collector is, as the command line says it.

use std::fmt;
use std::str::FromStr;

/// The port that IANA gave to IPFIX over UDP and TCP.
const PORT: u16 = 4739;

/// A collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector {
    /// How messages get there.
    pub transport: Transport,
    /// Its name or address; IPv6 without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// How messages get to a collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Datagrams, which may be lost (RFC 7011, section 10.3).
    Udp,
    /// A connection (RFC 7011, section 10.4).
    Tcp,
}

/// A text that names no collector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}`: expected udp:HOST:PORT or tcp:HOST:PORT, with an IPv6 address in brackets; without a port it is 4739")]
pub struct CollectorError(String);

impl FromStr for Collector {
    type Err = CollectorError;

    fn from_str(text: &str) -> Result<Self, CollectorError> {
        parse(text).ok_or_else(|| CollectorError(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<Collector> {
    let (transport, place) = text.split_once(':')?;
    let transport = match transport {
        "udp" => Transport::Udp,
        "tcp" => Transport::Tcp,
        _ => return None,
    };
    let (host, port) = match place.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']')?,
        None => place.find(':').map_or((place, ""), |colon| place.split_at(colon)),
    };
    let port = match port {
        "" => PORT,
        port => port.strip_prefix(':')?.parse().ok().filter(|&port| port > 0)?,
    };
    (!host.is_empty()).then(|| Collector { transport, host: host.to_owned(), port })
}

impl fmt::Display for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { transport, host, port } = self;
        let transport = match transport {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
        };
        if host.contains(':') {
            write!(f, "{transport}:[{host}]:{port}")
        } else {
            write!(f, "{transport}:{host}:{port}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collectors_are_named_by_transport_host_and_port() {
        for (text, printed) in [
            ("udp:127.0.0.1:9995", "udp:127.0.0.1:9995"),
            ("tcp:flows.example", "tcp:flows.example:4739"),
            ("udp:[::1]:2055", "udp:[::1]:2055"),
            ("tcp:[2001:db8::1]", "tcp:[2001:db8::1]:4739"),
        ] {
            assert_eq!(text.parse::<Collector>().map(|collector| collector.to_string()).as_deref(), Ok(printed));
        }
    }

    #[test]
    fn anything_else_is_quoted() {
        let wrong = [
            "",
            "udp",
            "udp:",
            "sctp:a:1",
            "127.0.0.1:9995",
            "udp:a:0",
            "udp:a:65536",
            "udp:::1:5",
            "udp:[::1",
            "udp:[::1]5",
        ];
        for text in wrong {
            let error = text.parse::<Collector>().expect_err(text);
            assert!(error.to_string().starts_with(&format!("`{text}`")), "{error}");
        }
    }
}
