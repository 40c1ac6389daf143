//! padtap as Wireshark sees it: an interface that is listed, asked, and captured from.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::Signal;
use tempfile::TempDir;
use tests::capture_file;
use tests::frame::Frame;
use tests::netns::{Cable, NEAR, may_run_live, send, with_cable};
use tests::padtap::{Running, binary, finish, padtap};
use tests::tool::{have, output, wait_until};

/// A folder with the launcher in it.
fn installed() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let outcome = finish(padtap(["extcap", "install", "--dir"]).arg(folder.path())).expect(0);
    let launcher = folder.path().join("padtap");
    assert_eq!(outcome.text().trim(), launcher.to_str().expect("a path"));
    (folder, launcher)
}

fn call(launcher: &Path, arguments: &str) -> String {
    output(Command::new(launcher).args(arguments.split_whitespace()))
}

#[test]
fn the_launcher_comes_and_goes() {
    let (folder, launcher) = installed();
    assert_eq!(fs::metadata(&launcher).expect("it is there").permissions().mode() & 0o111, 0o111);
    let again = |command: &str| finish(padtap(["extcap", command, "--dir"]).arg(folder.path()));
    again("install").expect(0);
    again("uninstall").expect(0);
    assert!(!launcher.exists());
    assert!(again("uninstall").expect(1).stderr.contains("no launcher of padtap"));
    fs::write(&launcher, "something else").expect("a file");
    for command in ["install", "uninstall"] {
        assert!(again(command).expect(1).stderr.contains(launcher.to_str().expect("a path")));
    }
    assert_eq!(fs::read(&launcher).expect("a file"), b"something else");
}

/// The values between braces, such as `{number=1}`.
fn value<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let start = line.find(&format!("{{{key}="))? + key.len() + 2;
    line.get(start..)?.split('}').next()
}

#[test]
fn it_answers_as_the_protocol_asks() {
    let (_folder, launcher) = installed();
    let listed = call(&launcher, "--extcap-interfaces --extcap-version=4.0");
    assert!(listed.starts_with("extcap {version="), "{listed}");
    for line in listed.lines().skip(1) {
        let (name, shown) = (value(line, "value"), value(line, "display"));
        assert!(line.starts_with("interface ") && name.is_some_and(|name| name.starts_with("padtap-")), "{line}");
        assert!(shown.is_some_and(|shown| !shown.is_empty()) && !line.contains("{value=padtap-lo}"), "{line}");
    }
    let links = call(&launcher, "--extcap-dlts --extcap-interface padtap-eth9");
    assert_eq!(links, "dlt {number=1}{name=EN10MB}{display=Ethernet}\n");
    let dialog = call(&launcher, "--extcap-config --extcap-interface padtap-eth9");
    let options: Vec<_> = dialog.lines().filter_map(|line| value(line, "call")).collect();
    assert_eq!(options, ["--console", "--no-discovery", "--snaplen", "--backend", "--attach"]);
    for line in dialog.lines().filter(|line| line.starts_with("value ")) {
        let option = options[value(line, "arg").expect("whose").parse::<usize>().expect("a number")];
        // Every choice of the dialog is one that the command knows.
        let choice = value(line, "value").expect("a value");
        call(&launcher, &format!("--extcap-dlts --extcap-interface padtap-eth9 {option} {choice}"));
    }
    let check = |filter: &str| {
        let command = ["--extcap-interface", "padtap-eth9", "--extcap-capture-filter", filter];
        output(Command::new(&launcher).args(command))
    };
    assert_eq!(check("udp port 3074 and host 192.168.1.40"), "");
    let complaint = check("ip proto 17 or decnet host 1.2");
    assert!(complaint.contains("decnet") || complaint.contains("proto"), "{complaint}");
    for wrong in ["", "--capture --extcap-interface padtap-eth9", "--capture --extcap-interface eth9 --fifo /tmp/x"] {
        finish(Command::new(&launcher).args(wrong.split_whitespace())).expect(2);
    }
}

/// A command that sees this folder where Wireshark's own extcap folder is, in a mount namespace of its own. (Who is root
/// cannot name another folder to Wireshark.)
fn with_folder(folder: &Path, program: &str) -> Command {
    let folders = output(Command::new("tshark").args(["-G", "folders"]));
    let global = folders.lines().find_map(|line| line.strip_prefix("Extcap path:")).expect("a folder").trim();
    let script = format!("mount --bind '{}' '{global}' && exec {program} \"$@\"", folder.display());
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script, program]);
    command
}

fn link() -> String {
    output(Command::new("ip").args(["link", "show", NEAR]))
}

fn wait_until_attached() {
    wait_until("the XDP program", || link().contains("xdp"));
}

fn wait_until_detached() {
    wait_until("nothing attached", || !link().contains("xdp"));
}

fn frames() -> Vec<Vec<u8>> {
    let frame = |number: usize| {
        let frame = Frame::ethernet("bc:60:a7:00:00:40", "02:00:00:00:00:01").ipv4("192.168.1.40", "198.51.100.7");
        let port = if number.is_multiple_of(3) { 5000 } else { 3074 };
        frame.udp(1024 + number as u16, port).payload(number * 37 % 1400).build()
    };
    (0..60).map(frame).collect()
}

#[test]
fn tshark_lists_it_and_captures_through_xdp_byte_for_byte() {
    if !may_run_live() || !have(&["tshark", "unshare", "ip"]) {
        return;
    }
    let (folder, _) = installed();
    let written = folder.path().join("out.pcapng");
    with_cable(Cable::default(), || {
        let listed = output(with_folder(folder.path(), "tshark").arg("-D"));
        assert!(listed.contains(&format!("padtap-{NEAR} (padtap on {NEAR})")), "{listed}");
        let links = finish(with_folder(folder.path(), "tshark").args(["-L", "-i", &format!("padtap-{NEAR}")]));
        assert!(links.text().contains("EN10MB (Ethernet)"), "{links:?}");

        let mut tshark = with_folder(folder.path(), "tshark");
        tshark.args(["-i", &format!("padtap-{NEAR}"), "-f", "udp port 3074", "-c", "40", "-w"]).arg(&written);
        let mut tshark = Running::start(&mut tshark);
        wait_until_attached();
        send(&frames());
        wait_until("tshark's end", || !tshark.is_running());
        tshark.end().expect(0);
        wait_until_detached();
    });
    let wanted: Vec<_> = frames().into_iter().enumerate().filter(|(number, _)| number % 3 != 0).collect();
    let captured: Vec<_> = capture_file::read(&written).into_iter().map(|packet| packet.data).collect();
    assert_eq!(captured.len(), 40);
    assert!(captured.iter().eq(wanted.iter().map(|(_, frame)| frame)), "other bytes");
}

#[test]
fn without_a_folder_named_it_goes_where_wireshark_looks() {
    if !may_run_live() || !have(&["tshark", "unshare"]) {
        return;
    }
    // Neither the folder of all users nor a personal one is the machine's own.
    let folder = tempfile::tempdir().expect("a temporary directory");
    let with = |program: &str, arguments: &[&str]| {
        finish(with_folder(folder.path(), program).args(arguments).env("HOME", folder.path())).expect(0)
    };
    let padtap = binary().to_str().expect("a path");
    with_cable(Cable::default(), || {
        let listed = || with("tshark", &["-D"]).text().contains(&format!("padtap-{NEAR} "));
        with(padtap, &["extcap", "install"]);
        assert!(listed());
        with(padtap, &["extcap", "uninstall"]);
        assert!(!listed());
    });
}

#[test]
fn control_c_ends_it() {
    if !may_run_live() || !have(&["tshark", "unshare", "ip"]) {
        return;
    }
    let (folder, _) = installed();
    with_cable(Cable::default(), || {
        let mut tshark = with_folder(folder.path(), "tshark");
        tshark.args(["-l", "-n", "-i", &format!("padtap-{NEAR}")]);
        let tshark = Running::start(&mut tshark);
        wait_until_attached();
        send(&frames());
        tshark.wait_for_lines(60);
        tshark.signal(Signal::INT);
        let outcome = tshark.end().expect(0);
        assert!(outcome.stderr.contains("60 packets captured"), "{}", outcome.stderr);
        wait_until_detached();
    });
}

/// The launcher, capturing into a pipe of the test's own.
fn capturing(launcher: &Path, fifo: &Path, options: &[&str]) -> Running {
    rustix::fs::mknodat(rustix::fs::CWD, fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("a pipe");
    let mut command = Command::new(launcher);
    command.args(["--capture", "--extcap-interface", &format!("padtap-{NEAR}"), "--fifo"]).arg(fifo).args(options);
    Running::start(command.stdin(Stdio::null()))
}

#[test]
fn a_reader_that_leaves_ends_it_also_in_silence() {
    if !may_run_live() || !have(&["ip"]) {
        return;
    }
    let (folder, launcher) = installed();
    with_cable(Cable::default(), || {
        for backend in ["xdp", "af-packet"] {
            let fifo = folder.path().join(backend);
            let padtap = capturing(&launcher, &fifo, &["--backend", backend]);
            let mut reader = File::open(&fifo).expect("it opens the other end");
            let mut header = [0; 28];
            reader.read_exact(&mut header).expect("a section");
            assert_eq!(header[..4], [0x0a, 0x0d, 0x0d, 0x0a]);
            drop(reader);
            let outcome = padtap.end().expect(0);
            assert_eq!(outcome.stderr, "");
            assert!(!link().contains("xdp"), "{}", link());
        }
    });
}

#[test]
fn the_options_of_the_dialog_are_heeded() {
    if !may_run_live() || !have(&["ip"]) {
        return;
    }
    let (folder, launcher) = installed();
    let fifo = folder.path().join("fifo");
    let stranger = Frame::ethernet("02:00:00:00:00:09", "02:00:00:00:00:01").ipv4("192.168.1.9", "198.51.100.7");
    let stranger = stranger.udp(9, 3074).payload(9).build();
    with_cable(Cable::default(), || {
        let options = ["--console", "bc:60:a7, 10.0.0.0/8", "--snaplen", "60", "--no-discovery", "--attach", "generic"];
        let padtap = capturing(&launcher, &fifo, &options);
        let reader = File::open(&fifo).expect("it opens the other end");
        wait_until_attached();
        assert!(link().contains("xdpgeneric"), "{}", link());
        send(&[vec![stranger.clone()], frames()].concat());
        let bytes = read_packets(reader, 60);
        let packets = capture_file::parse(&bytes);
        let cut: Vec<_> = frames().into_iter().map(|frame| frame[..frame.len().min(60)].to_vec()).collect();
        assert!(packets.iter().map(|packet| &packet.data).eq(&cut), "{packets:?}");
        assert_eq!(padtap.interrupt().expect(0).stderr, "");
        wait_until_detached();
    });
}

/// The blocks of a pipe until so many packets have come.
fn read_packets(mut pipe: File, count: usize) -> Vec<u8> {
    let (mut bytes, mut packets) = (Vec::new(), 0);
    while packets < count {
        let mut head = [0; 8];
        pipe.read_exact(&mut head).expect("a block");
        let [kind, length] = [&head[..4], &head[4..]].map(|word| u32::from_le_bytes(word.try_into().expect("four")));
        let start = bytes.len();
        bytes.extend(head);
        bytes.resize(start + length as usize, 0);
        pipe.read_exact(&mut bytes[start + 8..]).expect("the rest of it");
        packets += usize::from(kind == 6);
    }
    bytes
}

#[test]
fn a_filter_that_is_none_stops_it_before_it_begins() {
    if !may_run_live() {
        return;
    }
    let (folder, launcher) = installed();
    with_cable(Cable::default(), || {
        let padtap = capturing(&launcher, &folder.path().join("fifo"), &["--extcap-capture-filter", "decnet src 1.2"]);
        let outcome = padtap.end().expect(2);
        assert!(outcome.stderr.contains("decnet"), "{}", outcome.stderr);
    });
}
