//! Capture files against others: files that others wrote, and others that read ours.

mod foreign;
mod full;
mod people;
mod tools;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use capture_user::output::pcapng::{Block, Config, Description, Note, Writer};
use capture_user::source::{Frame, Interface, LinkType, Received, Source, View, pcap};
use capture_user::time::Timestamp;
use tests::tool::{have, interface_statistics, output, tshark, tshark_with};

/// A frame that owns its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Owned {
    time: Timestamp,
    length: u32,
    link: LinkType,
    interface: u32,
    data: Vec<u8>,
}

impl Owned {
    fn frame(&self) -> Frame<'_> {
        let &Self { time, length, link, interface, ref data } = self;
        Frame { number: 0, time, length, link, interface, data }
    }
}

/// All frames and interfaces of a file.
fn read(path: &Path) -> Result<(Vec<Owned>, Vec<Interface>)> {
    let mut source = pcap::open([path], |_| Some(0))?;
    let (view, mut tokens, mut scratch, mut frames) = (source.view(), Vec::new(), Vec::new(), Vec::new());
    while source.receive(64, Duration::from_secs(1), &mut tokens)? != Received::End {
        for token in &tokens {
            let Frame { time, length, link, interface, data, .. } = view.frame(token, &mut scratch);
            frames.push(Owned { time, length, link, interface, data: data.to_vec() });
        }
        source.recycle(&mut tokens);
    }
    Ok((frames, source.interfaces()))
}

/// Writes frames of interfaces to a file and reads it back: it must be the same.
fn write(path: &Path, frames: &[Owned], interfaces: &[Interface]) -> Result<()> {
    let described = interfaces.iter().map(|interface| Description {
        snap_length: interface.snap_length,
        name: interface.name.clone(),
        ..Description::bare(interface.link)
    });
    let config = Config { path: Some(path.to_owned()), interfaces: described.collect(), ..Config::default() };
    let mut writer = Writer::create(config)?;
    let mut block = Block::new(16 << 10);
    for frame in frames {
        if !block.push(&frame.frame(), Note::default()) {
            writer.write(&block)?;
            block.clear();
            block.push(&frame.frame(), Note::default());
        }
    }
    writer.write(&block)?;
    writer.finish()?;
    let (again, described) = read(path)?;
    ensure!(again == frames && described == interfaces, "{} came back as something else", path.display());
    Ok(())
}

/// Seconds with up to nine decimals, as nanoseconds.
fn nanos(text: &str) -> Result<i64> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fraction: i64 = format!("{fraction:0<9}").parse().with_context(|| format!("time {text}"))?;
    Ok(seconds.parse::<i64>()? * 1_000_000_000 + fraction)
}

/// What capinfos says: packets, earliest and latest time.
fn capinfos(path: &Path) -> Result<(u64, i64, i64)> {
    let table = output(Command::new("capinfos").args(["-T", "-r", "-m", "-S", "-c", "-a", "-e"]).arg(path));
    let fields: Vec<_> = table.trim().rsplitn(4, ',').collect();
    let [last, first, count, _] = fields[..] else { bail!("capinfos says {table:?}") };
    Ok((count.parse()?, nanos(first)?, nanos(last)?))
}

fn scratch(name: &str) -> Result<(tempfile::TempDir, PathBuf)> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join(name);
    Ok((directory, path))
}
