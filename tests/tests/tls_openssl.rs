//! Handshakes of every version between OpenSSL's own client and server on the loopback interface, overheard by a relay
//! between them, must tell what both were asked to do.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use capture_user::dissect::app::{Conversation, Direction, Output, PROTOCOLS, Probe, Protocol, Segment, Step};
use capture_user::time::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::tool::{have, output};

const REQUEST: &[u8] = b"GET / HTTP/1.0\r\n\r\n";
/// OpenSSL refuses the versions before 1.2 unless asked.
const OLD: [&str; 2] = ["-cipher", "DEFAULT:@SECLEVEL=0"];

type Overheard = Arc<Mutex<Vec<(Direction, Vec<u8>)>>>;

/// A process that does not outlive its test.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A directory with a key and a certificate, or `None` where there is no OpenSSL.
fn identity() -> Option<TempDir> {
    if !have(&["openssl"]) {
        return None;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let subject = "/O=Padtap Example/CN=loop.padtap.example";
    let mut openssl = Command::new("openssl");
    openssl
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
        .args(["-subj", subject, "-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(&directory);
    output(&mut openssl);
    Some(directory)
}

/// Starts a server on a port of its own choice.
fn serve(directory: &Path, arguments: &[&str]) -> (Guard, SocketAddr) {
    let mut child = Command::new("openssl")
        .args(["s_server", "-accept", "127.0.0.1:0", "-cert", "cert.pem", "-key", "key.pem"])
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl runs");
    let mut output = BufReader::new(child.stdout.take().expect("it is piped"));
    let guard = Guard(child);
    let mut line = String::new();
    while output.read_line(&mut line).expect("text") > 0 {
        if let Some(address) = line.trim().strip_prefix("ACCEPT ") {
            let address = address.parse().expect("an address");
            std::thread::spawn(move || io::copy(&mut output, &mut io::sink()));
            return (guard, address);
        }
        line.clear();
    }
    panic!("the server does not start with {arguments:?}");
}

/// Runs a client until the server has answered and closed, or, over datagrams, until the handshake is over.
fn connect(directory: &Path, relay: SocketAddr, arguments: &[&str]) {
    let mut client = Command::new("openssl");
    client.args(["s_client", "-connect", &relay.to_string(), "-servername", "Loop.example"]).args(arguments);
    client.current_dir(directory).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut client = Guard(client.spawn().expect("openssl runs"));
    let mut input = client.0.stdin.take().expect("it is piped");
    input.write_all(REQUEST).expect("it reads");
    let mut output = client.0.stdout.take().expect("it is piped");
    if arguments.iter().any(|argument| argument.starts_with("-dtls")) {
        let lines = BufReader::new(output).lines().map_while(Result::ok);
        lines.take_while(|line| !line.contains("Verify return code")).for_each(drop);
    } else {
        output.read_to_end(&mut Vec::new()).expect("an answer");
        client.0.wait().expect("it ends");
    }
}

/// Passes one connection on to `server`.
fn relay_stream(server: SocketAddr) -> (SocketAddr, Overheard) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let overheard = Overheard::default();
    let heard = Arc::clone(&overheard);
    std::thread::spawn(move || -> io::Result<()> {
        let (client, _) = listener.accept()?;
        let server = TcpStream::connect(server)?;
        let (back, towards, also_heard) = (client.try_clone()?, server.try_clone()?, Arc::clone(&heard));
        std::thread::spawn(move || pass(server, back, Direction::In, &also_heard));
        pass(client, towards, Direction::Out, &heard)
    });
    (address, overheard)
}

fn pass(mut from: TcpStream, mut to: TcpStream, direction: Direction, heard: &Overheard) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        let count = from.read(&mut buffer).unwrap_or(0);
        if count == 0 {
            return to.shutdown(Shutdown::Write);
        }
        heard.lock().expect("no panic").push((direction, buffer[..count].to_vec()));
        to.write_all(&buffer[..count])?;
    }
}

/// Passes datagrams on to `server` until told to stop.
fn relay_datagrams(server: SocketAddr, stop: Arc<AtomicBool>) -> (SocketAddr, Overheard) {
    let front = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let back = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = front.local_addr().expect("an address");
    let overheard = Overheard::default();
    let heard = Arc::clone(&overheard);
    for socket in [&front, &back] {
        socket.set_read_timeout(Some(Duration::from_millis(2))).expect("a timeout");
    }
    std::thread::spawn(move || {
        let (mut client, mut buffer) = (None, [0; 4096]);
        while !stop.load(Ordering::Relaxed) {
            if let Ok((count, from)) = front.recv_from(&mut buffer) {
                client = Some(from);
                heard.lock().expect("no panic").push((Direction::Out, buffer[..count].to_vec()));
                let _ = back.send_to(&buffer[..count], server);
            }
            if let (Ok(count), Some(client)) = (back.recv(&mut buffer), client) {
                heard.lock().expect("no panic").push((Direction::In, buffer[..count].to_vec()));
                let _ = front.send_to(&buffer[..count], client);
            }
        }
    });
    (address, overheard)
}

/// What the protocol of this name makes of the payloads: its only record.
fn told(name: &str, server: SocketAddr, payloads: &[(Direction, Vec<u8>)]) -> Value {
    let protocol = PROTOCOLS.iter().find(|protocol| protocol.name == name).expect("a known protocol");
    let mut conversation = (protocol.open)();
    let mut out = Output::default();
    converse(protocol, conversation.as_mut(), server, payloads, &mut out);
    assert_eq!(out.label.app, Some(name));
    assert_eq!(out.label.host.as_deref(), Some("loop.example"));
    let [event] = &out.events[..] else { panic!("one record, not {:?}", out.events) };
    serde_json::to_value(&*event.facts).expect("facts serialise")
}

fn converse(
    protocol: &Protocol,
    conversation: &mut dyn Conversation,
    server: SocketAddr,
    payloads: &[(Direction, Vec<u8>)],
    out: &mut Output,
) {
    let client: SocketAddr = ([127, 0, 0, 1], 50_000).into();
    let stream = protocol.name == "tls";
    let mut waiting = [Vec::new(), Vec::new()];
    for (index, (direction, bytes)) in payloads.iter().enumerate() {
        let waiting = &mut waiting[direction.index()];
        waiting.extend_from_slice(bytes);
        let (source, destination) = if *direction == Direction::Out { (client, server) } else { (server, client) };
        let length = u32::try_from(waiting.len()).expect("short");
        let time = Timestamp::from_nanos(index as i64);
        let segment = Segment { time, direction: *direction, source, destination, stream, bytes: waiting, length };
        if index == 0 {
            assert_eq!((protocol.probe)(&segment), Probe::Yes);
        }
        match conversation.read(&segment, out) {
            Step::Consumed(count) => drop(waiting.drain(..if stream { count } else { waiting.len() })),
            Step::Done | Step::Reject => return,
        }
    }
    panic!("the handshake has no end in {payloads:02x?}");
}

/// One handshake with these arguments, and what is told of it.
fn handshake(directory: &Path, server: &[&str], client: &[&str]) -> Value {
    let (_server, address) = serve(directory, &[&["-www"], server].concat());
    handshake_with(directory, address, client)
}

fn handshake_with(directory: &Path, server: SocketAddr, client: &[&str]) -> Value {
    let (relay, overheard) = relay_stream(server);
    connect(directory, relay, &[&["-ign_eof"], client].concat());
    let payloads = std::mem::take(&mut *overheard.lock().expect("no panic"));
    told("tls", server, &payloads)
}

#[test]
fn versions_before_1_3_show_the_certificate() {
    let Some(directory) = identity() else { return };
    for (argument, version) in [("-tls1", "TLS 1.0"), ("-tls1_1", "TLS 1.1"), ("-tls1_2", "TLS 1.2")] {
        let client = [&[argument, "-alpn", "h2,http/1.1"][..], &OLD].concat();
        let facts = handshake(directory.path(), &[&["-alpn", "http/1.1"][..], &OLD].concat(), &client);
        assert_eq!(facts["version"], version);
        assert_eq!(facts["sni"], "Loop.example");
        assert_eq!(facts["alpn"], json!(["h2", "http/1.1"]));
        assert_eq!(facts["server_alpn"], "http/1.1");
        assert_eq!(facts["certs"][0]["subject"], "CN=loop.padtap.example,O=Padtap Example");
        assert_eq!(facts["resumed"], false);
    }
}

#[test]
fn sessions_are_seen_to_be_resumed() {
    let Some(directory) = identity() else { return };
    for arguments in [&["-tls1_2"][..], &["-tls1_2", "-no_ticket"], &["-tls1_3"]] {
        let (_server, address) = serve(directory.path(), &["-www"]);
        let keep = [arguments, &["-sess_out", "session.pem"]].concat();
        assert_eq!(handshake_with(directory.path(), address, &keep)["resumed"], false, "{arguments:?}");
        let resume = [arguments, &["-sess_in", "session.pem"]].concat();
        let facts = handshake_with(directory.path(), address, &resume);
        assert_eq!((&facts["resumed"], facts.get("certs")), (&json!(true), None), "{arguments:?}");
    }
}

#[test]
fn a_client_shows_its_certificate_when_asked() {
    let Some(directory) = identity() else { return };
    let client = ["-tls1_2", "-cert", "cert.pem", "-key", "key.pem"];
    let facts = handshake(directory.path(), &["-verify", "1"], &client);
    assert_eq!(facts["client_certs"][0]["sha256"], facts["certs"][0]["sha256"]);
    assert!(handshake(directory.path(), &["-verify", "1"], &["-tls1_2"]).get("client_certs").is_none());
}

/// A retry, taken for the server's answer, would say that nothing is resumed.
#[test]
fn a_retry_is_not_the_answer() {
    let Some(directory) = identity() else { return };
    let (_server, address) = serve(directory.path(), &["-www", "-groups", "P-384"]);
    let client = ["-tls1_3", "-groups", "X25519:P-384"];
    let keep = [&client[..], &["-sess_out", "session.pem"]].concat();
    assert_eq!(handshake_with(directory.path(), address, &keep)["resumed"], false);
    let facts = handshake_with(directory.path(), address, &[&client[..], &["-sess_in", "session.pem"]].concat());
    assert_eq!((&facts["version"], &facts["resumed"]), (&json!("TLS 1.3"), &json!(true)));
    assert_eq!(facts["cipher"], "TLS_AES_256_GCM_SHA384");
}

#[test]
fn datagrams_with_cookies_and_fragments() {
    let Some(directory) = identity() else { return };
    for (argument, version) in [("-dtls1", "DTLS 1.0"), ("-dtls1_2", "DTLS 1.2")] {
        let listen = [&[argument, "-listen", "-mtu", "256"][..], &OLD].concat();
        let (_server, address) = serve(directory.path(), &listen);
        let stop = Arc::new(AtomicBool::new(false));
        let (relay, overheard) = relay_datagrams(address, Arc::clone(&stop));
        connect(directory.path(), relay, &[&[argument, "-mtu", "256"][..], &OLD].concat());
        stop.store(true, Ordering::Relaxed);
        let payloads = std::mem::take(&mut *overheard.lock().expect("no panic"));
        let facts = told("dtls", address, &payloads);
        assert_eq!((&facts["version"], &facts["resumed"]), (&json!(version), &json!(false)));
        assert_eq!(facts["certs"][0]["subject"], "CN=loop.padtap.example,O=Padtap Example");
        assert!(payloads.len() > 8, "cookie and fragments: {} datagrams", payloads.len());
    }
}
