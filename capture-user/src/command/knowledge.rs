//! `padtap knowledge`: the tables that devices, services and networks are known by.

use std::io::{self, Write};
use std::sync::Arc;

use capture_user::knowledge::{FILES, Knowledge, Mode, refresh, wireshark};

use super::{Outcome, Usage};
use crate::cli::{self, Table, Tables};

/// The knowledge that the command line asks for.
///
/// # Errors
/// The first entry that is wrong, as a mistake of usage.
pub fn load(tables: &Tables) -> anyhow::Result<Arc<Knowledge>> {
    let Some(folder) = &tables.folder else { return Ok(Knowledge::embedded()) };
    let mode = if tables.knowledge_only { Mode::Replace } else { Mode::Extend };
    Ok(Arc::new(Knowledge::load(folder, mode).map_err(Usage::new)?))
}

/// Runs one of the commands.
///
/// # Errors
/// A table that is wrong, or cannot be read or written.
pub fn run(command: &cli::Knowledge) -> anyhow::Result<Outcome> {
    let mut out = io::stdout().lock();
    match command {
        cli::Knowledge::Check { folder } => {
            let own = Knowledge::load(folder, Mode::Replace).map_err(Usage::new)?;
            Knowledge::load(folder, Mode::Extend).map_err(Usage::new)?;
            writeln!(out, "{}: good", folder.display())?;
            sizes(&mut out, &own)?;
        }
        cli::Knowledge::List { knowledge, table } => list(&mut out, &*load(knowledge)?, *table)?,
        cli::Knowledge::Export { wireshark: folder, knowledge } => {
            let knowledge = load(knowledge)?;
            let path = wireshark::export(&knowledge, folder)?;
            let (path, signatures) = (path.display(), knowledge.signatures.iter().count());
            writeln!(out, "{path}: {signatures} signatures; try `tshark -X lua_script:{path} -Y padtap -r FILE`")?;
        }
        cli::Knowledge::Refresh { aws, folder } => {
            let done = refresh::aws(aws, folder)?;
            let refresh::Refreshed { path, snapshot, regions, prefixes } = done;
            let path = path.display();
            writeln!(out, "{path}: Amazon EC2 as of {snapshot}, {prefixes} prefixes in {regions} regions")?;
        }
    }
    Ok(Outcome::default())
}

fn sizes(out: &mut impl Write, knowledge: &Knowledge) -> io::Result<()> {
    let Knowledge { ouis, hosts, networks, ports, signatures, devices } = knowledge;
    let sizes = [ouis.len(), hosts.len(), networks.len(), ports.len(), signatures.len(), devices.len()];
    for (file, entries) in FILES.into_iter().zip(sizes).filter(|(_, entries)| *entries > 0) {
        writeln!(out, "{entries:6} {file}")?;
    }
    Ok(())
}

fn list(out: &mut impl Write, knowledge: &Knowledge, table: Option<Table>) -> io::Result<()> {
    match table {
        None => sizes(out, knowledge),
        Some(Table::Hosts) => knowledge.hosts.iter().try_for_each(|rule| {
            let role = rule.role.map(|role| role.to_string()).unwrap_or_default();
            let (name, service, confidence) = (&rule.name, &rule.service, rule.confidence);
            writeln!(out, "{name}\t{service}\t{role}\t{confidence}\t{}", rule.sources.join(","))
        }),
        Some(Table::Networks) => knowledge.networks.iter().try_for_each(|network| {
            let (region, snapshot) = (network.region.as_deref(), network.snapshot.as_deref());
            let (id, owner, prefixes) = (&network.id, &network.owner, network.prefixes);
            let (region, snapshot) = (region.unwrap_or("-"), snapshot.unwrap_or("-"));
            let (confidence, sources) = (network.confidence, network.sources.join(","));
            writeln!(out, "{id}\t{owner}\t{region}\t{prefixes} prefixes\tas of {snapshot}\t{confidence}\t{sources}")
        }),
        Some(Table::Ports) => knowledge.ports.iter().try_for_each(|(ports, service, role, confidence, sources)| {
            let role = role.map(|role| role.to_string()).unwrap_or_default();
            writeln!(out, "{ports}\t{}\t{role}\t{confidence}\t{}", service.unwrap_or("-"), sources.join(","))
        }),
        Some(Table::Signatures) => knowledge.signatures.iter().try_for_each(|signature| {
            let role = signature.role.map(|role| role.to_string()).unwrap_or_default();
            let (id, name, sources) = (&signature.id, &signature.name, signature.src.join(","));
            writeln!(out, "{id}\t{name}\t{role}\t{}\t{sources}", signature.confidence)
        }),
    }
}
