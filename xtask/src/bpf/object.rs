//! What a BPF object says to the kernel: the parts that must be equal for two objects to be the same program.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::{Context as _, Result};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, RelocationTarget, SectionKind};

/// Sections with their bytes and relocations, and the named things in them.
///
/// Names that the compiler made up for constants (`anon.…`) and the order of symbols are left out: they differ between
/// machines and the kernel never sees them.
#[derive(Debug, PartialEq, Eq)]
pub struct Contents {
    sections: BTreeMap<String, Section>,
    /// Name of a function, map or global: its section, offset and size.
    symbols: BTreeMap<String, (String, u64, u64)>,
}

#[derive(Debug, PartialEq, Eq)]
struct Section {
    bytes: Vec<u8>,
    /// Offset, and the section and offset in it that it refers to.
    relocations: Vec<(u64, String, u64)>,
}

impl Contents {
    /// Reads an ELF object.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let file = object::File::parse(bytes).context("not an ELF object")?;
        let mut sections = BTreeMap::new();
        for section in file.sections() {
            if matches!(section.kind(), SectionKind::Metadata | SectionKind::Unknown | SectionKind::Note) {
                continue;
            }
            let mut relocations = Vec::new();
            for (offset, relocation) in section.relocations() {
                let RelocationTarget::Symbol(index) = relocation.target() else { continue };
                let symbol = file.symbol_by_index(index)?;
                relocations.push((offset, section_name(&file, &symbol)?, symbol.address()));
            }
            sections.insert(section.name()?.to_owned(), Section { bytes: section.data()?.to_vec(), relocations });
        }
        let mut symbols = BTreeMap::new();
        for symbol in file.symbols().filter(|symbol| symbol.section_index().is_some()) {
            let name = symbol.name()?;
            if !name.is_empty() && !name.starts_with("anon.") && !name.starts_with(".L") {
                symbols.insert(name.to_owned(), (section_name(&file, &symbol)?, symbol.address(), symbol.size()));
            }
        }
        Ok(Self { sections, symbols })
    }

    /// What differs, a line each.
    pub fn differences(&self, built: &Self) -> Vec<String> {
        let mut differences = Vec::new();
        let names: BTreeSet<&String> = self.sections.keys().chain(built.sections.keys()).collect();
        for name in names {
            match (self.sections.get(name), built.sections.get(name)) {
                (Some(committed), Some(built)) => differences.extend(committed.difference(built, name)),
                (Some(_), None) => differences.push(format!("section {name}: only in the committed object")),
                _ => differences.push(format!("section {name}: only in the object just built")),
            }
        }
        let names: BTreeSet<&String> = self.symbols.keys().chain(built.symbols.keys()).collect();
        for name in names.into_iter().filter(|name| self.symbols.get(*name) != built.symbols.get(*name)) {
            differences.push(format!("{name}: missing in one, or elsewhere, or of another size"));
        }
        differences
    }

    /// Instructions of all functions.
    fn instructions(&self) -> usize {
        let code = self.sections.iter().filter(|(name, _)| *name == ".text" || name.starts_with("xdp"));
        code.map(|(_, section)| section.bytes.len() / INSTRUCTION).sum()
    }
}

const INSTRUCTION: usize = 8;

impl Section {
    fn difference(&self, built: &Self, name: &str) -> Option<String> {
        if self.bytes != built.bytes {
            let at = self.bytes.iter().zip(&built.bytes).take_while(|(a, b)| a == b).count();
            let (committed, built) = (self.bytes.len(), built.bytes.len());
            return Some(format!(
                "section {name}: {committed} bytes committed, {built} built, first difference at byte {at} \
                 (instruction {}, where it is code)",
                at / INSTRUCTION
            ));
        }
        (self.relocations != built.relocations).then(|| format!("section {name}: other relocations"))
    }
}

impl fmt::Display for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let maps = self.symbols.values().filter(|(section, ..)| section == "maps").count();
        write!(f, "{} instructions, {maps} maps", self.instructions())
    }
}

fn section_name(file: &object::File<'_>, symbol: &object::Symbol<'_, '_>) -> Result<String> {
    match symbol.section_index() {
        Some(index) => Ok(file.section_by_index(index)?.name()?.to_owned()),
        None => Ok(symbol.name()?.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static COMMITTED: &[u8] = include_bytes!("../../../capture-user/bpf/padtap.bpf.o");

    fn contents() -> Contents {
        Contents::read(COMMITTED).unwrap()
    }

    #[test]
    fn the_committed_object_is_read() {
        let contents = contents();
        assert!(contents.sections.contains_key("xdp.frags") && contents.sections.contains_key("maps"));
        assert!(contents.symbols.contains_key("XSKS") && contents.symbols.contains_key("padtap"));
        assert!(!contents.sections["xdp.frags"].relocations.is_empty());
        assert_eq!(contents.differences(&contents), [""; 0]);
    }

    #[test]
    fn one_instruction_one_map_or_one_relocation_is_a_difference() {
        let mut other = contents();
        other.sections.get_mut("xdp.frags").unwrap().bytes[80] ^= 1;
        assert!(contents().differences(&other)[0].contains("instruction 10"));
        let mut other = contents();
        other.sections.get_mut("maps").unwrap().bytes[8] ^= 1;
        assert!(contents().differences(&other)[0].contains("section maps"));
        let mut other = contents();
        other.sections.get_mut("xdp.frags").unwrap().relocations[0].2 += 28;
        assert!(contents().differences(&other)[0].contains("other relocations"));
        let mut other = contents();
        other.symbols.remove("XSKS");
        assert!(contents().differences(&other)[0].starts_with("XSKS"));
    }
}
