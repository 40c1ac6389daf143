//! The capture file of a run over files that can be read again: written when all is known, with comments on packets,
//! the names of addresses before them, and if so asked only one console's, match's or flow's.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::sync::Arc;

use capture_user::dissect::{Dissector, Settings};
use capture_user::ledger::Ledger;
use capture_user::output::pcapng::{
    Block, Comments, Description, Error, Limits, Note, Only, Progress, Selection, Writer,
};
use capture_user::pipeline::Control;
use capture_user::source::{Frame, Interface};

use super::super::Usage;
use super::super::signals::Signals;
use super::outputs;
use crate::cli;

/// Hands out the frames of a run once more, with the interfaces known so far, until it is told to stop.
pub type Replay<'a> = Box<dyn Fn(Each<'_>) -> anyhow::Result<()> + 'a>;

/// Takes one frame.
pub type Each<'a> = &'a mut dyn FnMut(&Frame<'_>, &dyn Fn() -> Vec<Interface>) -> ControlFlow<()>;

/// A file that is opened before the run and written after it.
pub struct Rewrite<'a> {
    writer: Writer,
    replay: Replay<'a>,
    only: Option<Only>,
    settings: Settings,
}

/// What a run found out.
pub struct Found {
    /// What is said of packets.
    pub comments: Comments,
    /// Names of addresses.
    pub names: BTreeMap<IpAddr, Arc<str>>,
    /// Frames that it took.
    pub frames: u64,
}

impl Found {
    /// What a run's threads have published at their end.
    pub fn by(control: &Control) -> Self {
        Self { comments: control.take_comments(), names: control.take_names(), frames: control.frames() }
    }
}

impl<'a> Rewrite<'a> {
    /// Opens the file, where frames are to be written and can be handed out twice. A run that ends when its file is full
    /// cannot: it would have told of frames that the file will not have.
    ///
    /// # Errors
    /// What the file's opening says; [`Usage`] where a choice needs two readings and there can be but one.
    pub fn open(
        options: &cli::Output,
        stop: Limits,
        settings: Settings,
        replay: Option<Replay<'a>>,
    ) -> anyhow::Result<Option<Self>> {
        let ends_when_full = Limits { packets: None, ..stop } != Limits::default();
        let replay = replay.filter(|_| !ends_when_full || options.only.is_some());
        let Some(replay) = replay.filter(|_| options.write.is_some()) else {
            return match &options.only {
                Some(_) => Err(Usage(ONLY_FROM_FILES.to_owned()).into()),
                None => Ok(None),
            };
        };
        let writer = outputs::writer(options, Vec::new(), stop)?;
        Ok(writer.map(|writer| Self { writer, replay, only: options.only.clone(), settings }))
    }

    /// What is to hear the run's records.
    pub fn comments(&self) -> Comments {
        Comments::new(self.only.clone())
    }

    /// Writes the file. Returns whether it could not take all because it was full.
    ///
    /// # Errors
    /// What went wrong with it; [`Usage`] where what alone is wanted was not found.
    pub fn finish(self, found: Found, signals: &Signals, ledger: &mut Ledger) -> anyhow::Result<bool> {
        let Self { mut writer, replay, only, settings } = self;
        let Found { mut comments, names, frames } = found;
        let selection = match Selection::of(only.as_ref(), &comments) {
            Ok(selection) => selection,
            Err(error) => {
                writer.discard();
                return Err(Usage::new(error).into());
            }
        };
        let asked_before = signals.stop();
        let mut outcome = writer.keep_names(names.iter().map(|(address, name)| (*address, &**name)));
        let mut pass = Pass { writer: &mut writer, block: Block::new(outputs::BLOCK), taken: 0, done: false };
        let mut dissector = Dissector::new(&settings);
        let mut left = frames;
        if outcome.is_ok() && left > 0 {
            replay(&mut |frame, interfaces| {
                let packet = dissector.dissect(frame);
                if selection.wants(&packet, frame.time) {
                    outcome = pass.write(frame, comments.take(&packet, frame.time), interfaces);
                }
                left -= 1;
                let over = left == 0 || pass.done || (signals.stop() && !asked_before);
                if over || outcome.is_err() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
        }
        let outcome = outcome.and_then(|()| pass.flush());
        ledger.frames_to_write = pass.taken;
        ledger.frames_written = writer.summary().packets;
        ledger.write_drops = ledger.frames_to_write - ledger.frames_written;
        if comments.left_out() > 0 {
            eprintln!("padtap: {} comments are left out: too many for one file", comments.left_out());
        }
        match outcome {
            Err(error @ Error::Full { .. }) => {
                eprintln!("padtap: {error}");
                Ok(true)
            }
            Err(error) => Err(error.into()),
            Ok(()) => Ok(writer.finish().map(|_| false)?),
        }
    }
}

const ONLY_FROM_FILES: &str = "--only picks from capture files, which are read twice for it: write them first and pick with \
                               `padtap read FILE -w OUT --only …`; one console alone is --console";

/// The second reading.
struct Pass<'a> {
    writer: &'a mut Writer,
    block: Block,
    taken: u64,
    /// A limit of the file is reached.
    done: bool,
}

impl Pass<'_> {
    fn write(
        &mut self,
        frame: &Frame<'_>,
        comment: Option<String>,
        interfaces: &dyn Fn() -> Vec<Interface>,
    ) -> Result<(), Error> {
        if self.writer.interfaces() <= frame.interface as usize {
            let known = interfaces().into_iter().skip(self.writer.interfaces());
            known.for_each(|interface| self.writer.describe(described(interface)));
        }
        let note = Note { comment: comment.as_deref(), drops: None };
        if !self.block.push(frame, note) {
            self.flush()?;
            self.block.push(frame, note);
        }
        self.taken += 1;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        let progress = self.writer.write(&self.block);
        self.block.clear();
        self.done |= progress? == Progress::Done;
        Ok(())
    }
}

/// An interface of the file that is read, as the file that is written describes it.
fn described(interface: Interface) -> Description {
    let Interface { name, link, snap_length } = interface;
    Description { name, snap_length, ..Description::bare(link) }
}
