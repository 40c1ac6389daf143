//! What padtap knows of consoles, services and networks: data, not code.
//!
//! The tables are files in `knowledge/`, built into the program; a user's folder [extends or replaces](Mode) them. Each
//! table is read and checked once, and compiled into what answers its question quickly. Every entry has a source and a
//! confidence; docs/knowledge.md describes the files.

mod device;
mod error;
mod file;
mod host;
mod network;
mod oui;
mod port;
mod prefixes;
pub mod refresh;
mod signature;
mod texts;
mod vocabulary;
pub mod wireshark;

use std::path::Path;
use std::sync::{Arc, LazyLock};

pub use device::{Agent, Dhcp, Fingerprints, HostType, Syn, SynOption, SynShape};
pub use error::Error;
pub use host::{HostRule, Hosts, Match};
pub use network::{Network, NetworkKind, Networks, prefix_of};
pub use oui::{Ouis, Vendor};
pub use port::{PortFinding, PortRule, Ports};
pub use signature::{MOST_SHOWN, ProtocolRule, Risk, Sighting, Signature, Signatures};
pub use vocabulary::{Confidence, Family, Role, Strength, Transport};

use self::file::Text;

/// Everything that is known.
#[derive(Debug)]
pub struct Knowledge {
    /// Who built a network adapter.
    pub ouis: Ouis,
    /// What servers are for, by name.
    pub hosts: Hosts,
    /// Who owns an address.
    pub networks: Networks,
    /// What ports are used for.
    pub ports: Ports,
    /// What payloads and protocols mean.
    pub signatures: Signatures,
    /// How devices show what they are.
    pub devices: Fingerprints,
}

/// What a user's tables do to those built in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// They come on top; an entry for the same thing wins over one built in.
    #[default]
    Extend,
    /// They come instead: what is built in is not used at all.
    Replace,
}

/// The files of a knowledge folder, in the order of [`Knowledge`]'s fields.
pub const FILES: [&str; 6] = ["oui.csv", "hosts.toml", "networks.toml", "ports.toml", "signatures.toml", "dhcp.toml"];

const EMBEDDED: [&str; 6] = [
    include_str!("../knowledge/oui.csv"),
    include_str!("../knowledge/hosts.toml"),
    include_str!("../knowledge/networks.toml"),
    include_str!("../knowledge/ports.toml"),
    include_str!("../knowledge/signatures.toml"),
    include_str!("../knowledge/dhcp.toml"),
];

static BUILT_IN: LazyLock<Arc<Knowledge>> = LazyLock::new(|| {
    let knowledge = Knowledge::from_texts(&embedded());
    Arc::new(knowledge.unwrap_or_else(|error| panic!("the tables built into padtap are tested: {error}")))
});

impl Knowledge {
    /// What is built in.
    pub fn embedded() -> Arc<Self> {
        BUILT_IN.clone()
    }

    /// What a user's folder says, together with what is built in or instead of it. The folder may have any of [`FILES`].
    ///
    /// # Errors
    /// A folder with none of them or that cannot be read; the first entry that is wrong, with its file and line.
    pub fn load(folder: &Path, mode: Mode) -> Result<Self, Error> {
        let mut texts = match mode {
            Mode::Extend => embedded(),
            Mode::Replace => Vec::new(),
        };
        let own = file::read(folder, &FILES)?;
        texts.extend(own);
        Self::from_texts(&texts)
    }

    fn from_texts(texts: &[Text]) -> Result<Self, Error> {
        let of = |table: &'static str| texts.iter().filter(move |text| text.table == table);
        let [oui, hosts, networks, ports, signatures, dhcp] = FILES;
        Ok(Self {
            ouis: Ouis::from_texts(of(oui))?,
            hosts: Hosts::from_texts(of(hosts))?,
            networks: Networks::from_texts(of(networks))?,
            ports: Ports::from_texts(of(ports))?,
            signatures: Signatures::from_texts(of(signatures))?,
            devices: Fingerprints::from_texts(of(dhcp))?,
        })
    }
}

/// The tables built in, as text.
fn embedded() -> Vec<Text> {
    let text = |(table, text): (&'static str, &str)| Text { table, path: table.into(), text: text.to_owned() };
    FILES.into_iter().zip(EMBEDDED).map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every entry of the TOML tables: file, place, and its fields.
    fn entries() -> Vec<(&'static str, String, toml::Table)> {
        let mut entries = Vec::new();
        for (file, text) in FILES.into_iter().zip(EMBEDDED).filter(|(file, _)| file.ends_with(".toml")) {
            let table: toml::Table = text.parse().expect("TOML");
            for (kind, rows) in table {
                for (place, row) in rows.as_array().expect("a list of entries").iter().enumerate() {
                    let row = row.as_table().expect("an entry").clone();
                    entries.push((file, format!("{kind} {place}"), row));
                }
            }
        }
        entries
    }

    fn sources() -> Vec<&'static str> {
        let sources = include_str!("../knowledge/sources.md");
        sources.lines().filter_map(|line| line.strip_prefix("| ")?.split_whitespace().next()).collect()
    }

    #[test]
    fn every_entry_has_a_confidence_and_a_source_that_is_listed() {
        let (known, entries) = (sources(), entries());
        assert!(entries.len() > 200, "{}", entries.len());
        for (file, place, entry) in entries {
            assert!(entry.get("confidence").is_some_and(toml::Value::is_str), "{file}: {place}: no confidence");
            let sources = entry.get("src").and_then(toml::Value::as_array).map(Vec::as_slice).unwrap_or_default();
            assert!(!sources.is_empty(), "{file}: {place}: no source");
            for source in sources {
                let source = source.as_str().expect("a key");
                assert!(known.contains(&source), "{file}: {place}: {source} is not in sources.md");
            }
        }
        for line in EMBEDDED[0].lines().filter(|line| !line.starts_with('#')).skip(1) {
            let fields: Vec<_> = oui::fields(line).collect();
            let [_, _, vendor, _, _, confidence, sources, _] = &fields[..] else { panic!("{line}") };
            assert!(!vendor.is_empty() && !confidence.is_empty() && !sources.is_empty(), "{line}");
            for source in sources.split(' ') {
                assert!(known.contains(&source), "oui.csv: {line}: {source} is not in sources.md");
            }
        }
    }

    #[test]
    fn what_is_built_in_can_be_read() {
        let knowledge = Knowledge::embedded();
        assert!(knowledge.hosts.len() > 100 && knowledge.ouis.len() > 500 && knowledge.networks.len() > 5);
    }

    /// Loads a folder with one file.
    fn load(file: &str, text: &str, mode: Mode) -> Result<Knowledge, Error> {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join(file), text).expect("a file");
        Knowledge::load(folder.path(), mode)
    }

    #[test]
    fn a_folder_extends_or_replaces() {
        let text = "[[host]]\nmatch = \"suffix\"\nname = \"battle.net\"\nservice = \"mine\"\nrole = \"web\"\n";
        let service = |knowledge: &Knowledge, name| knowledge.hosts.find(name).map(|rule| rule.service.to_string());
        let extended = load("hosts.toml", text, Mode::Extend).expect("valid");
        assert_eq!(service(&extended, "x.battle.net").as_deref(), Some("mine"));
        assert_eq!(service(&extended, "x.playstation.net").as_deref(), Some("psn"));
        let replaced = load("hosts.toml", text, Mode::Replace).expect("valid");
        assert_eq!(service(&replaced, "x.battle.net").as_deref(), Some("mine"));
        assert_eq!(service(&replaced, "x.playstation.net"), None);
        assert!(replaced.networks.is_empty());
    }

    #[track_caller]
    fn check_error(file: &str, text: &str, line: usize, parts: &[&str]) {
        let error = load(file, text, Mode::Extend).expect_err("a bad table").to_string();
        assert!(error.contains(&format!("{file}:{line}: ")), "{error}");
        for part in parts {
            assert!(error.contains(part), "{part:?} is not in: {error}");
        }
    }

    #[test]
    fn errors_name_file_and_line_and_what_is_allowed() {
        let host = "[[host]]\nmatch = \"exact\"\nname = \"a.example\"\nservice = \"a\"\n";
        check_error("hosts.toml", &format!("{host}role = \"loggin\"\n"), 5, &["loggin", "login", "voice-media"]);
        check_error("hosts.toml", &format!("{host}rank = 3\n"), 5, &["rank", "confidence"]);
        check_error("hosts.toml", &format!("{host}\n{host}name = 3\n"), 10, &["duplicate key"]);
        check_error("hosts.toml", &host.replace("a.example", "a b"), 3, &["a b", "letters"]);
        check_error("hosts.toml", &host.replace("a.example", "*.example"), 3, &["glob"]);
        check_error("hosts.toml", &host.replace("exact", "prefix"), 2, &["suffix", "glob"]);
        let network = "[[network]]\nid = \"x\"\nowner = \"X\"\nkind = \"own\"\n";
        check_error("networks.toml", &format!("{network}v4 = [\"10.0.0.0/8\", \"10.0.0.1/8\"]"), 5, &["10.0.0.0/8"]);
        check_error("networks.toml", &format!("{network}v4 = [\"fe80::/10\"]"), 5, &["IPv4"]);
        check_error("networks.toml", &network.replace("\"own\"", "\"hired\""), 4, &["own", "cloud"]);
        let port = "[[port]]\ntransport = \"udp\"\n";
        check_error("ports.toml", &format!("{port}ports = [\"9-8\"]"), 3, &["9-8"]);
        check_error("ports.toml", &format!("{port}ports = [\"70000\"]"), 3, &["65535"]);
        let signature = "[[signature]]\nid = \"x\"\nname = \"X\"\ntransport = \"udp\"\nrisk = \"low\"\n";
        check_error("signatures.toml", &format!("{signature}bytes = [{{ at = 0, hex = \"0g\" }}]"), 6, &["0g", "??"]);
        check_error("signatures.toml", &format!("{signature}length = \"x\""), 6, &["12-44"]);
        check_error("signatures.toml", signature, 1, &["bytes", "text"]);
        check_error("dhcp.toml", "[[dhcp]]\nfamily = \"atari\"\n", 2, &["playstation", "steam_deck"]);
        let oui = "prefix,bits,vendor,family,model,confidence,sources,generations\n";
        check_error("oui.csv", &format!("{oui}00:11:2,24,X,,,observed,S01,\n"), 2, &["00:11:2"]);
        check_error("oui.csv", &format!("{oui}00:11:22,25,X,,,observed,S01,\n"), 2, &["24, 28 or 36"]);
        check_error("oui.csv", &format!("{oui}00:11:22,24,X,atari,,observed,S01,\n"), 2, &["playstation"]);
        check_error("oui.csv", "00:11:22,24,X\n", 1, &["prefix,bits,vendor"]);
    }

    #[test]
    fn a_folder_without_tables_is_a_mistake() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = Knowledge::load(folder.path(), Mode::Extend).expect_err("nothing in it").to_string();
        assert!(error.contains("hosts.toml"), "{error}");
        std::fs::write(folder.path().join("host.toml"), "").expect("a file");
        let error = Knowledge::load(folder.path(), Mode::Extend).expect_err("no such table").to_string();
        assert!(error.contains("host.toml") && error.contains("hosts.toml"), "{error}");
    }
}
