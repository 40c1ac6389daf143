//! Fresh networks from what clouds publish.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Error, FILES};

/// Amazon's ip-ranges.json, as far as it is used.
#[derive(Deserialize)]
struct IpRanges {
    #[serde(rename = "createDate")]
    created: String,
    prefixes: Vec<Prefix>,
    #[serde(default)]
    ipv6_prefixes: Vec<Prefix>,
}

#[derive(Deserialize)]
struct Prefix {
    #[serde(alias = "ipv6_prefix")]
    ip_prefix: String,
    region: String,
    service: String,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refreshed {
    /// The table.
    pub path: PathBuf,
    /// When Amazon made the list: its own words.
    pub snapshot: String,
    /// Regions.
    pub regions: usize,
    /// Prefixes.
    pub prefixes: usize,
}

/// Prefixes of one region.
#[derive(Default)]
struct Region {
    v4: Vec<String>,
    v6: Vec<String>,
}

/// Writes EC2's networks into a folder's table of networks, from a downloaded
/// <https://ip-ranges.amazonaws.com/ip-ranges.json>. A prefix is listed under several services; those of EC2 are where
/// game servers can be.
///
/// # Errors
/// A list that cannot be read or that has no EC2 in it; a table that cannot be written. An earlier table written by
/// this is replaced; one written by hand is an error.
pub fn aws(list: &Path, folder: &Path) -> Result<Refreshed, Error> {
    let path = folder.join(FILES[2]);
    if fs::read_to_string(&path).is_ok_and(|text| !text.starts_with(MARK)) {
        let what = "was not written by `padtap knowledge refresh`: use another folder, or move it away";
        return Err(Error::Tables { path, what });
    }
    let failed = |path: &Path, error| Error::Io { path: path.to_owned(), error };
    let text = fs::read_to_string(list).map_err(|error| failed(list, error))?;
    let ranges: IpRanges = serde_json::from_str(&text).map_err(|error| Error::Entry {
        path: list.to_owned(),
        line: error.line(),
        message: format!("not a list of Amazon's address ranges: {error}"),
    })?;
    let regions = by_region(&ranges);
    if regions.is_empty() {
        return Err(Error::Entry { path: list.to_owned(), line: 1, message: "it has no prefix of EC2".into() });
    }
    write_whole(&path, &table(&ranges.created, &regions)).map_err(|error| failed(&path, error))?;
    let prefixes = regions.values().map(|region| region.v4.len() + region.v6.len()).sum();
    Ok(Refreshed { path, snapshot: ranges.created.clone(), regions: regions.len(), prefixes })
}

const MARK: &str = "# Written by `padtap knowledge refresh`";

fn by_region(ranges: &IpRanges) -> BTreeMap<&str, Region> {
    let mut regions: BTreeMap<&str, Region> = BTreeMap::new();
    for prefix in ranges.prefixes.iter().filter(|prefix| prefix.service == "EC2") {
        regions.entry(&prefix.region).or_default().v4.push(prefix.ip_prefix.clone());
    }
    for prefix in ranges.ipv6_prefixes.iter().filter(|prefix| prefix.service == "EC2") {
        regions.entry(&prefix.region).or_default().v6.push(prefix.ip_prefix.clone());
    }
    regions
}

fn table(created: &str, regions: &BTreeMap<&str, Region>) -> String {
    let mut text = format!("{MARK} from ip-ranges.json of {created}.\n");
    for (region, Region { v4, v6 }) in regions {
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "\n[[network]]\nid = \"aws-ec2\"\nowner = \"Amazon EC2\"\nkind = \"cloud\"\nregion = {region:?}\n\
             snapshot = {created:?}\nv4 = {v4:?}\nv6 = {v6:?}\nconfidence = \"documented\"\n\
             src = [\"https://ip-ranges.amazonaws.com/ip-ranges.json\"]\n"
        );
    }
    text
}

/// Writes a file that others see whole or not at all.
fn write_whole(path: &Path, text: &str) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    std::io::Write::write_all(&mut file, text.as_bytes())?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::knowledge::{Knowledge, Mode};

    const LIST: &str = r#"{"syncToken": "1", "createDate": "2026-08-22-21-17-05", "prefixes": [
        {"ip_prefix": "198.51.100.0/24", "region": "eu-central-1", "service": "EC2", "network_border_group": "x"},
        {"ip_prefix": "203.0.113.0/24", "region": "eu-central-1", "service": "S3", "network_border_group": "x"}],
        "ipv6_prefixes": [{"ipv6_prefix": "2001:db8::/32", "region": "us-east-1", "service": "EC2"}]}"#;

    #[test]
    fn a_refreshed_table_is_used() {
        let folder = tempfile::tempdir().expect("a folder");
        let (list, tables) = (folder.path().join("ip-ranges.json"), folder.path().join("tables"));
        fs::write(&list, LIST).expect("a list");
        for _ in 0..2 {
            let done = aws(&list, &tables).expect("refreshed");
            assert_eq!((&*done.snapshot, done.regions, done.prefixes), ("2026-08-22-21-17-05", 2, 2));
        }
        let knowledge = Knowledge::load(&tables, Mode::Extend).expect("valid");
        let region = |address: &str| {
            let (network, _) = knowledge.networks.find(address.parse().expect("an address"))?;
            network.region.clone()
        };
        assert_eq!(region("198.51.100.7").as_deref(), Some("eu-central-1"));
        assert_eq!(region("2001:db8::7").as_deref(), Some("us-east-1"));
        assert_eq!(region("203.0.113.1"), None);
    }

    #[test]
    fn what_is_not_such_a_list_changes_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let list = folder.path().join("list.json");
        for (text, part) in
            [("{", "list.json:1: "), ("{}", "createDate"), (r#"{"createDate":"x","prefixes":[]}"#, "EC2")]
        {
            fs::write(&list, text).expect("a list");
            let error = aws(&list, folder.path()).expect_err("no list").to_string();
            assert!(error.contains(part), "{error}");
        }
        assert!(!folder.path().join("networks.toml").exists());
        fs::write(folder.path().join("networks.toml"), "[[network]]\n").expect("a table");
        fs::write(&list, LIST).expect("a list");
        assert!(aws(&list, folder.path()).expect_err("somebody's own").to_string().contains("not written by"));
    }
}
