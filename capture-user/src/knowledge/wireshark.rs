//! Signatures as a plug-in of Wireshark's: the same labels there.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use super::signature::Length;
use super::{Error, Knowledge, Signature};

/// The plug-in, but for its tables.
const PLUGIN: &str = include_str!("wireshark/plugin.lua");
/// Where they belong.
const TABLES: &str = "--TABLES--";
/// The plug-in's file.
const NAME: &str = "padtap.lua";

/// Writes the plug-in into a folder, which is made where it is missing; gives its path.
///
/// # Errors
/// When it cannot be written.
pub fn export(knowledge: &Knowledge, folder: &Path) -> Result<PathBuf, Error> {
    let path = folder.join(NAME);
    let text = PLUGIN.replacen(TABLES, &tables(knowledge), 1);
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(&path, text));
    written.map_err(|error| Error::Io { path: path.clone(), error })?;
    Ok(path)
}

fn tables(knowledge: &Knowledge) -> String {
    let mut text = String::from("local SIGNATURES = {\n");
    let mut networks: Vec<&str> = Vec::new();
    for signature in knowledge.signatures.iter() {
        let _ = writeln!(text, "    {},", entry(signature));
        networks.extend(signature.network.iter().flatten().map(|id| &**id));
    }
    networks.sort_unstable();
    networks.dedup();
    text.push_str("}\n\n-- Prefixes of the networks that signatures ask for.\nlocal NETWORKS = {\n");
    for id in networks {
        let prefixes = knowledge.networks.prefixes_of(id);
        let _ = writeln!(text, "    [{}] = {{ {} }},", quoted(id), list(prefixes.iter().map(|prefix| quoted(prefix))));
    }
    text.push('}');
    text
}

fn entry(signature: &Signature) -> String {
    let mut fields = vec![
        format!("id = {}", quoted(&signature.id)),
        format!("name = {}", quoted(&signature.name)),
        format!("transport = {}", quoted(&signature.transport.to_string())),
        format!("direction = {}", quoted(signature.direction.name())),
    ];
    fields.extend(signature.service.as_ref().map(|service| format!("service = {}", quoted(service))));
    fields.extend(signature.role.map(|role| format!("role = {}", quoted(&role.to_string()))));
    fields.extend(signature.ports.as_ref().map(|ports| {
        let ranges = ports.iter().map(|range| format!("{{ {}, {} }}", range.0.start(), range.0.end()));
        format!("ports = {{ {} }}", list(ranges))
    }));
    fields.extend(signature.length.map(|length| format!("length = {}", range(length))));
    fields.extend(signature.servers.map(|servers| format!("servers = {servers}")));
    fields.extend(
        signature.network.as_ref().map(|ids| format!("network = {{ {} }}", list(ids.iter().map(|id| quoted(id))))),
    );
    let patterns = signature.patterns(0).into_iter().map(|pattern| {
        let bytes = pattern.bytes.iter().map(|bytes| {
            let values = bytes.hex.0.iter().map(|byte| byte.map_or(-1, i16::from).to_string());
            format!("{{ at = {}, {} }}", bytes.at, list(values))
        });
        let (direction, length) = (quoted(pattern.way.name()), range(pattern.length));
        format!("{{ direction = {direction}, length = {length}, bytes = {{ {} }} }}", list(bytes))
    });
    fields.push(format!("patterns = {{ {} }}", list(patterns)));
    fields.push(format!("text = {{ {} }}", list(signature.text.iter().map(|text| quoted(text)))));
    format!("{{ {} }}", fields.join(", "))
}

fn range(Length(first, last): Length) -> String {
    format!("{{ {first}, {last} }}")
}

fn list(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}

/// A string of Lua's; whatever is not plain is escaped.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if !matches!(byte, b'"' | b'\\') => quoted.push(char::from(byte)),
            _ => {
                let _ = write!(quoted, "\\{byte:03}");
            }
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_cannot_leave_their_quotes() {
        assert_eq!(quoted("a\"]] os.execute() \\\né"), "\"a\\034]] os.execute() \\092\\010\\195\\169\"");
    }

    #[test]
    fn every_signature_is_in_the_tables() {
        let knowledge = Knowledge::embedded();
        let tables = tables(&knowledge);
        assert!(knowledge.signatures.iter().all(|signature| tables.contains(&quoted(&signature.id))));
        assert!(tables.contains("{ at = 0, 106, 97, 75, 0 }") && tables.contains("137.221."), "{tables}");
        assert_eq!(PLUGIN.matches(TABLES).count(), 1);
    }
}
