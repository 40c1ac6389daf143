//! Capture files of any bytes: read as a mapped file and as a pipe, which must agree on frames, interfaces and error.

#![no_main]

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use capture_user::source::{Frame, Received, Source, View, pcap};
use libfuzzer_sys::fuzz_target;
use rustix::fs::{MemfdFlags, memfd_create};

/// What a pipe holds without a reader.
const PIPE: usize = 60_000;

/// Number, time, length, interface and bytes of each frame, the interfaces, and the error without the file's name.
type Seen = (Vec<(u64, i64, u32, u32, Vec<u8>)>, String, Option<String>);

fuzz_target!(|bytes: &[u8]| {
    if bytes.is_empty() || bytes.len() > PIPE {
        return;
    }
    assert_eq!(read(mapped(bytes)), read(piped(bytes)));
});

fn mapped(bytes: &[u8]) -> OwnedFd {
    let file = memfd_create("capture", MemfdFlags::CLOEXEC).expect("a file in memory");
    let mut file = File::from(file);
    file.write_all(bytes).expect("room in memory");
    file.into()
}

fn piped(bytes: &[u8]) -> OwnedFd {
    let (output, mut input) = std::io::pipe().expect("a pipe");
    input.write_all(bytes).expect("room in the pipe");
    output.into()
}

fn read(file: OwnedFd) -> Seen {
    let path = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
    let mut source = pcap::open([path], |_| Some(0)).expect("an open file");
    let (view, mut tokens, mut scratch, mut frames) = (source.view(), Vec::new(), Vec::new(), Vec::new());
    let error = loop {
        let received = source.receive(16, Duration::ZERO, &mut tokens);
        for token in &tokens {
            let Frame { number, time, length, interface, data, .. } = view.frame(token, &mut scratch);
            frames.push((number, time.as_nanos(), length, interface, data.to_vec()));
        }
        source.recycle(&mut tokens);
        match received {
            Ok(Received::End) => break None,
            Ok(_) => {}
            Err(error) => break error.to_string().split_once(": ").map(|(_, what)| what.to_owned()),
        }
    };
    (frames, format!("{:?}", source.interfaces()), error)
}
