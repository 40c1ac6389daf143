//! `padtap extcap`: interfaces for Wireshark, by its extcap protocol (doc/extcap.adoc of Wireshark).
//!
//! Wireshark runs every program in its extcap folder: to list interfaces, their link layers and the options for their
//! dialog, to check a capture filter, and to capture into a pipe. The launcher there calls `padtap extcap run`.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, anyhow};
use capture_user::filter::Filter;
use pnet::datalink;

use super::{Outcome, Usage, capture};
use crate::cli::{self, Cli, Extcap};

/// What the names of padtap's interfaces begin with.
const PREFIX: &str = "padtap-";

/// Does what is asked for.
///
/// # Errors
/// A folder that cannot be found or written to; what a capture says.
pub fn run(command: &Extcap) -> anyhow::Result<Outcome> {
    match command {
        Extcap::Install(folder) => install(&launcher(folder)?)?,
        Extcap::Uninstall(folder) => uninstall(&launcher(folder)?)?,
        Extcap::Run(call) => return answer(call),
    }
    Ok(Outcome::default())
}

/// Where the launcher is, or will be.
fn launcher(folder: &cli::Folder) -> anyhow::Result<PathBuf> {
    let folder = match &folder.dir {
        Some(dir) => dir.clone(),
        None => wiresharks_folder().or_else(usual_folder).ok_or_else(|| Usage(NO_FOLDER.into()))?,
    };
    Ok(folder.join("padtap"))
}

const NO_FOLDER: &str = "neither tshark nor a home folder says where extcap programs are: name the folder with --dir";

/// The folder that the Wireshark of this machine looks in: the user's own, which it has from 4.2 on, or that of all.
fn wiresharks_folder() -> Option<PathBuf> {
    let output = Command::new("tshark").args(["-G", "folders"]).output().ok()?;
    folder_in(&String::from_utf8_lossy(&output.stdout))
}

fn folder_in(folders: &str) -> Option<PathBuf> {
    let named = |name: &str| {
        folders.lines().find_map(|line| line.split_once(':').filter(|(key, _)| key.trim().eq_ignore_ascii_case(name)))
    };
    let (_, path) = named("Personal Extcap path").or_else(|| named("Extcap path"))?;
    Some(path.trim().into()).filter(|path: &PathBuf| path.is_absolute())
}

fn usual_folder() -> Option<PathBuf> {
    std::env::var_os("HOME").map(|home| Path::new(&home).join(".local/lib/wireshark/extcap"))
}

fn install(launcher: &Path) -> anyhow::Result<()> {
    let program = std::env::current_exe().context("padtap's own path")?;
    let program = program.to_str().context("padtap's own path is no text")?;
    let script = format!("#!/bin/sh\n# {MARK}\nexec '{}' extcap run \"$@\"\n", program.replace('\'', r"'\''"));
    if launcher.exists() && !is_ours(launcher) {
        return Err(anyhow!("{}: something else has that name; it is left alone", launcher.display()));
    }
    let place = || -> io::Result<()> {
        std::fs::create_dir_all(launcher.parent().unwrap_or(Path::new(".")))?;
        std::fs::write(launcher, &script)?;
        std::fs::set_permissions(launcher, Permissions::from_mode(0o755))
    };
    place().with_context(|| hint(launcher))?;
    println!("{}", launcher.display());
    Ok(())
}

/// By what a launcher is known again.
const MARK: &str = "Wireshark's way to padtap; put here by `padtap extcap install`.";

fn is_ours(launcher: &Path) -> bool {
    std::fs::read_to_string(launcher).is_ok_and(|script| script.contains(MARK))
}

fn uninstall(launcher: &Path) -> anyhow::Result<()> {
    if !is_ours(launcher) {
        return Err(anyhow!("{}: no launcher of padtap is there", launcher.display()));
    }
    std::fs::remove_file(launcher).with_context(|| hint(launcher))
}

fn hint(launcher: &Path) -> String {
    format!("{} (root may write to the folder of all users; --dir names another)", launcher.display())
}

/// Answers one call of Wireshark's.
fn answer(call: &cli::Call) -> anyhow::Result<Outcome> {
    if call.capture {
        return start(call);
    }
    let said = match () {
        () if call.extcap_interfaces => interfaces(),
        () if call.extcap_dlts => "dlt {number=1}{name=EN10MB}{display=Ethernet}\n".to_owned(),
        () if call.extcap_config => OPTIONS.to_owned(),
        () if call.extcap_capture_filter.is_some() => complaint(call),
        () => {
            return Err(Usage("extcap: --extcap-interfaces, --extcap-dlts, --extcap-config or --capture".into()).into());
        }
    };
    print!("{said}");
    Ok(Outcome::default())
}

/// One for every Ethernet interface.
fn interfaces() -> String {
    let mut said = format!("extcap {{version={}}}{{display=padtap}}\n", env!("CARGO_PKG_VERSION"));
    let ethernet = |interface: &datalink::NetworkInterface| interface.mac.is_some() && !interface.is_loopback();
    for interface in datalink::interfaces().into_iter().filter(ethernet) {
        let name = interface.name;
        said += &format!("interface {{value={PREFIX}{name}}}{{display=padtap on {name}}}\n");
    }
    said
}

/// The dialog. What is called here, [`cli::Call`] understands.
const OPTIONS: &str = "\
arg {number=0}{call=--console}{display=Consoles}{type=string}\
{tooltip=MAC, OUI (bc:60:a7), address, prefix, or auto; several with commas between. Empty: every frame}{group=Consoles}
arg {number=1}{call=--no-discovery}{display=Leave out discovery}{type=boolflag}{default=false}\
{tooltip=Leave out what is not the consoles' own: DHCP, ARP, mDNS, SSDP}{group=Consoles}
arg {number=2}{call=--snaplen}{display=Snapshot length}{type=unsigned}{range=0,262144}{default=0}\
{tooltip=Most bytes kept of a frame; 0 keeps all}{group=Capture}
arg {number=3}{call=--backend}{display=Capture with}{type=selector}{default=xdp}{group=Capture}
value {arg=3}{value=xdp}{display=XDP and AF_XDP}{default=true}
value {arg=3}{value=af-packet}{display=A packet socket}
arg {number=4}{call=--attach}{display=XDP program}{type=selector}{default=auto}{group=Capture}
value {arg=4}{value=auto}{display=In the driver if it can}{default=true}
value {arg=4}{value=native}{display=In the driver or not at all}
value {arg=4}{value=generic}{display=In the kernel's stack}
";

/// What is wrong with the filter: Wireshark takes any output for an error.
fn complaint(call: &cli::Call) -> String {
    let expression = call.extcap_capture_filter.as_deref().unwrap_or_default().trim();
    let wrong = |error| format!("{error}\n");
    if expression.is_empty() { String::new() } else { Filter::parse(expression).err().map(wrong).unwrap_or_default() }
}

/// Captures: the same as the command that a user would write.
fn start(call: &cli::Call) -> anyhow::Result<Outcome> {
    let options = Cli::capture(arguments(call)?).map_err(|error| Usage(error.to_string()))?;
    capture::run(&options)
}

fn arguments(call: &cli::Call) -> anyhow::Result<Vec<String>> {
    let named = call.extcap_interface.as_deref().unwrap_or_default();
    let interface =
        named.strip_prefix(PREFIX).ok_or_else(|| Usage(format!("`{named}` is no interface of padtap's")))?;
    let fifo = call.fifo.as_ref().and_then(|fifo| fifo.to_str()).context("--fifo is no text")?;
    let mut arguments = vec![format!("--interface={interface}"), "--quiet".into(), format!("--write={fifo}")];
    arguments.push(format!("--snaplen={}", call.snaplen));
    arguments.push(format!("--backend={}", cli::name_of(call.backend)));
    arguments.push(format!("--attach={}", cli::name_of(call.attach)));
    let consoles = call.console.iter().flat_map(|list| list.split_whitespace());
    arguments.extend(consoles.map(|console| format!("--console={console}")));
    arguments.extend(call.no_discovery.then(|| "--no-discovery".into()));
    let expression = call.extcap_capture_filter.as_deref().unwrap_or_default().trim();
    arguments.extend((!expression.is_empty()).then(|| format!("--filter={expression}")));
    Ok(arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_own_folder_comes_first() {
        let old = "Temp:                \t/tmp\nPersonal Plugins:    \t/home/u/.local/lib\nExtcap path:         \t/usr/lib/extcap\n";
        assert_eq!(folder_in(old), Some("/usr/lib/extcap".into()));
        let new = "Extcap path:\t/usr/lib/extcap\nPersonal Extcap path:\t/home/u/.local/lib/wireshark/extcap\n";
        assert_eq!(folder_in(new), Some("/home/u/.local/lib/wireshark/extcap".into()));
        assert_eq!(folder_in("Temp: /tmp\n"), None);
    }

    #[test]
    fn a_dialog_becomes_a_command() {
        let call = cli::Call {
            extcap_interface: Some("padtap-eth1".into()),
            fifo: Some("/tmp/fifo".into()),
            console: vec!["bc:60:a7 192.168.1.40".into(), "".into()],
            extcap_capture_filter: Some(" udp port 3074 ".into()),
            no_discovery: true,
            ..cli::Call::default()
        };
        let options = Cli::capture(arguments(&call).expect("a call")).expect("a command");
        assert_eq!((options.interface.as_str(), options.filter.console.len()), ("eth1", 2));
        assert_eq!(options.filter.expression.as_deref(), Some("udp port 3074"));
        assert_eq!(options.output.write.as_deref(), Some(Path::new("/tmp/fifo")));
        assert!(options.filter.no_discovery && options.output.quiet);
        assert!(arguments(&cli::Call { extcap_interface: Some("eth1".into()), ..call }).is_err());
    }

    #[test]
    fn filters_are_checked_as_wireshark_expects() {
        let call = |filter: &str| cli::Call { extcap_capture_filter: Some(filter.into()), ..cli::Call::default() };
        assert_eq!(complaint(&call("udp port 53")), "");
        assert_eq!(complaint(&call("")), "");
        assert!(complaint(&call("ip[0] & 0xf != 5")).contains("ip["), "{}", complaint(&call("ip[0] & 0xf != 5")));
    }
}
