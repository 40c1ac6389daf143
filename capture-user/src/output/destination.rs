//! Where records may go, and in which format, in the words of `-o`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// The format of an output of records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    #[default]
    Ndjson,
    /// Suricata's EVE.
    Eve,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 2] = [Self::Ndjson, Self::Eve];

    /// What it is called in options.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Eve => "eve",
        }
    }
}

/// An output of records: `[FORMAT=]DEST`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// `None`: the format of all outputs that name none.
    pub format: Option<Format>,
    /// Where it goes.
    pub destination: Destination,
}

/// Where records go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Standard output: `-`.
    Stdout,
    /// A file, a pipe, a device.
    File(PathBuf),
    /// A unix stream socket that somebody listens on: `unix:PATH`.
    Unix(PathBuf),
    /// A unix datagram socket that somebody has bound: `unixgram:PATH`.
    Unixgram(PathBuf),
    /// A TCP port that somebody listens on: `tcp:HOST:PORT`.
    Tcp {
        /// A name or an address.
        host: String,
        /// The port.
        port: u16,
    },
}

/// A destination that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DestinationError {
    /// Nothing is named.
    #[error("a destination is missing: a file, -, unix:PATH, unixgram:PATH or tcp:HOST:PORT")]
    Empty,
    /// There is no such format.
    #[error("`{0}` is no format: {formats}; a file of that name is ./{0}=…", formats = formats())]
    Format(String),
    /// There is no such kind of destination.
    #[error(
        "`{0}:` is no kind of destination: unix:PATH, unixgram:PATH, tcp:HOST:PORT; a file of that name is ./{0}:…"
    )]
    Scheme(String),
    /// The address is none.
    #[error("`{0}`: expected tcp:HOST:PORT, like tcp:127.0.0.1:9000 or tcp:[::1]:9000")]
    Address(String),
}

fn formats() -> String {
    Format::ALL.map(Format::name).join(", ")
}

impl FromStr for Target {
    type Err = DestinationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match word_before(text, '=') {
            Some((name, rest)) => {
                let format = Format::ALL.into_iter().find(|format| format.name() == name);
                let format = format.ok_or_else(|| DestinationError::Format(name.to_owned()))?;
                Ok(Self { format: Some(format), destination: rest.parse()? })
            }
            None => Ok(Self { format: None, destination: text.parse()? }),
        }
    }
}

impl FromStr for Destination {
    type Err = DestinationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match (text, word_before(text, ':')) {
            ("", _) | (_, Some((_, ""))) => Err(DestinationError::Empty),
            ("-", _) => Ok(Self::Stdout),
            (_, Some(("unix", path))) => Ok(Self::Unix(path.into())),
            (_, Some(("unixgram", path))) => Ok(Self::Unixgram(path.into())),
            (_, Some(("tcp", address))) => tcp(address).ok_or_else(|| DestinationError::Address(text.to_owned())),
            (_, Some((scheme, _))) => Err(DestinationError::Scheme(scheme.to_owned())),
            (path, None) => Ok(Self::File(path.into())),
        }
    }
}

/// A word of lower-case letters before a mark, and what follows it.
fn word_before(text: &str, mark: char) -> Option<(&str, &str)> {
    let (word, rest) = text.split_once(mark)?;
    let is_word = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
    is_word.then_some((word, rest))
}

fn tcp(address: &str) -> Option<Destination> {
    let (host, port) = address.rsplit_once(':')?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    // Without brackets nobody can tell where an IPv6 address ends and the port begins.
    let host = bare.or(Some(host).filter(|host| !host.contains(':')))?;
    let port = port.parse().ok().filter(|&port| port > 0)?;
    (!host.is_empty()).then(|| Destination::Tcp { host: host.to_owned(), port })
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str("standard output"),
            Self::File(path) => path.display().fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Unixgram(path) => write!(f, "unixgram:{}", path.display()),
            Self::Tcp { host, port } if host.contains(':') => write!(f, "tcp:[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "tcp:{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_destination_reads_back_as_it_is_shown() {
        for text in
            ["out.ndjson", "./a=b", "unix:/run/records.sock", "unixgram:sock", "tcp:log.example:514", "tcp:[::1]:9"]
        {
            let destination: Destination = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(destination.to_string(), text);
        }
        assert_eq!("-".parse(), Ok(Destination::Stdout));
        assert_eq!("tcp:[::1]:9".parse(), Ok(Destination::Tcp { host: "::1".into(), port: 9 }));
        assert_eq!("day-12:30.ndjson".parse(), Ok(Destination::File("day-12:30.ndjson".into())));
    }

    #[test]
    fn a_format_stands_before_it() {
        let target: Target = "ndjson=tcp:localhost:9000".parse().expect("both are known");
        assert_eq!(
            (target.format, target.destination.to_string().as_str()),
            (Some(Format::Ndjson), "tcp:localhost:9000")
        );
        assert_eq!(
            "A=b.ndjson".parse(),
            Ok(Target { format: None, destination: Destination::File("A=b.ndjson".into()) })
        );
    }

    #[test]
    fn what_is_wrong_is_quoted() {
        let wrong = |text: &str| text.parse::<Target>().expect_err(text).to_string();
        assert!(wrong("ndjsn=x").starts_with("`ndjsn` is no format: ndjson"), "{}", wrong("ndjsn=x"));
        assert!(wrong("udp:127.0.0.1:9").starts_with("`udp:` is no kind of destination: unix:PATH"));
        for text in ["tcp:localhost", "tcp::9", "tcp:::1:9", "tcp:h:0", "tcp:h:65536", "tcp:h:", "tcp:[]:1"] {
            assert!(wrong(text).starts_with(&format!("`{text}`: expected tcp:HOST:PORT")), "{}", wrong(text));
        }
        for text in ["", "ndjson=", "unix:", "unixgram:", "tcp:"] {
            assert!(wrong(text).starts_with("a destination is missing"), "{text}: {}", wrong(text));
        }
    }
}
