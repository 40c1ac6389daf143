//! Frames that the kernel itself sends, as fast as it can: the sender of benchmarks. It costs no system call a frame and
//! no socket buffer, so that one processor sends more than another receives.

use std::num::NonZero;
use std::os::fd::AsFd as _;

use aya::maps::{Array, MapData, ProgramArray};
use aya::programs::{ProgramError, TestRun as _, TestRunAttrs, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader, Pod};
use capture_common::traffic::{BLOCK, Course, LARGEST, Place, SMALLEST};

use super::attach::XdpLink;
use super::tables::{Plain, take};
use super::{Error, Mode, Program};

/// The compiled program, as `cargo xtask bpf` builds it from `capture-ebpf`.
static OBJECT: &[u8] = aya::include_bytes_aligned!("../../../../bpf/traffic.bpf.o");
const NAME: &str = "traffic";
const COURSE: &str = "COURSE";

/// Frames that the kernel takes from memory at once; more than that it gives to the interface in pieces anyway.
const AT_ONCE: u32 = 64;

/// Runs of the program in one system call: about a tenth of a second's. Each call has memory of its own, which stays until
/// its last frame was received.
const RUNS: u64 = 1 << 19;

/// Runs in a second when no frame is due, about: most are such where a rate is kept.
const IDLE_RUNS: u64 = 10_000_000;

/// A list of frames, and the program that sends them again and again.
pub struct Traffic {
    ebpf: Ebpf,
    course: Array<MapData, Plain<Course>>,
    /// What the frames are said to have come in by: the interface, where they go straight into its program.
    received_by: u32,
    /// The way into that program, which the kernel closes when this goes.
    receiver: ProgramArray<MapData>,
    /// The kernel calls attached programs directly. For the run of one that is not, it arranges for that and waits until
    /// every processor has heard of it, some 20 ms.
    _attached: XdpLink,
}

impl Traffic {
    /// To send these frames in their order, over and over, from an interface (an index) that itself receives nothing and
    /// whose peer is ready for XDP. Each has between [`SMALLEST`] and [`LARGEST`] bytes.
    ///
    /// # Errors
    /// Where there is no frame, or one of another size, and where the kernel refuses: see [`Error`].
    pub fn from_interface(interface: u32, frames: &[Vec<u8>]) -> Result<Self, Error> {
        Self::load(interface, interface, frames)
    }

    /// The same, straight into a program, as if the interface that it is attached to (`receiver`) had received them on its
    /// first queue. `idle` is any interface that receives nothing.
    ///
    /// # Errors
    /// As of [`Traffic::from_interface`].
    pub fn into_program(program: &mut Program, receiver: u32, idle: u32, frames: &[Vec<u8>]) -> Result<Self, Error> {
        let mut traffic = Self::load(0, idle, frames)?;
        let program = super::xdp(&mut program.ebpf)?.fd().map_err(|error| Error::load(&error))?;
        traffic.receiver.set(0, program, 0).map_err(|error| Error::map("RECEIVER", &error))?;
        traffic.received_by = receiver;
        Ok(traffic)
    }

    fn load(interface: u32, idle: u32, frames: &[Vec<u8>]) -> Result<Self, Error> {
        let count = u32::try_from(frames.len()).ok().filter(|count| *count > 0).ok_or(Error::Frames(frames.len()))?;
        let (places, blocks) = lay(frames)?;
        let mut ebpf = EbpfLoader::new()
            .map_max_entries("PLACES", count)
            .map_max_entries("BLOCKS", blocks.len() as u32)
            .override_global("COUNT", &count, true)
            .override_global("INTERFACE", &interface, true)
            .load(OBJECT)
            .map_err(|error| Error::load(&error))?;
        let program = program(&mut ebpf)?;
        program.load().map_err(|error| Error::load(&error))?;
        let descriptor = program.fd().map_err(|error| Error::load(&error))?;
        let attached = XdpLink::create(descriptor.as_fd(), idle, Mode::Generic).map_err(Error::attach)?;
        // The program holds its maps by now.
        fill(&mut ebpf, "PLACES", places.iter().map(|place| &place.0))?;
        fill(&mut ebpf, "BLOCKS", blocks.iter().map(|block| &**block))?;
        let (course, receiver) = (take(&mut ebpf, COURSE)?, take(&mut ebpf, "RECEIVER")?);
        Ok(Self { ebpf, course, received_by: 0, receiver, _attached: attached })
    }

    /// Sends `frames` frames, `rate` in each second or as many as can be. What an interface does not take is in its
    /// counters.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn send(&mut self, frames: u64, rate: Option<NonZero<u64>>) -> Result<(), Error> {
        let sent = self.course()?.sent;
        let course = Course { sent, until: sent + frames, rate: rate.map_or(0, NonZero::get), begun: 0 };
        self.course.set(0, Plain(course), 0).map_err(|error| Error::map(COURSE, &error))?;
        loop {
            let Course { sent, until, .. } = self.course()?;
            let left = until - sent;
            let runs = rate.map_or(left, |rate| left * IDLE_RUNS / rate).clamp(1, RUNS);
            if sent == until {
                return Ok(());
            }
            // The kernel ends the runs early when a signal waits for this thread.
            match self.run(runs as u32) {
                Err(error) if self.course()?.sent == sent => return Err(error),
                _ => {}
            }
        }
    }

    fn course(&self) -> Result<Course, Error> {
        self.course.get(&0, 0).map(|course| course.0).map_err(|error| Error::map(COURSE, &error))
    }

    fn run(&mut self, repeat: u32) -> Result<(), Error> {
        let frame = [0; 64];
        let context = super::context(frame.len(), self.received_by, 0);
        let options = TestRunOptions {
            data_in: Some(&frame),
            ctx_in: (self.received_by != 0).then_some(context.as_flattened()),
            repeat,
            attrs: TestRunAttrs::new().xdp_live_frames(AT_ONCE),
            ..TestRunOptions::new()
        };
        program(&mut self.ebpf)?.test_run(options).map(drop).map_err(|error| Error::run(&error))
    }
}

type Block = Box<[u8; BLOCK]>;

/// One behind another, none across two blocks.
fn lay(frames: &[Vec<u8>]) -> Result<(Vec<Place>, Vec<Block>), Error> {
    let (mut places, mut blocks, mut end) = (Vec::with_capacity(frames.len()), Vec::new(), BLOCK);
    for frame in frames {
        if !(SMALLEST..=LARGEST).contains(&frame.len()) {
            return Err(Error::Size(frame.len()));
        }
        if end + LARGEST > BLOCK {
            blocks.push(Box::new([0; BLOCK]));
            end = 0;
        }
        if let Some(room) = blocks.last_mut().and_then(|block| block.get_mut(end..end + frame.len())) {
            room.copy_from_slice(frame);
        }
        places.push(Place::new(blocks.len() as u32 - 1, end as u16, frame.len() as u16));
        end += frame.len();
    }
    Ok((places, blocks))
}

fn fill<'a, T: Pod>(ebpf: &mut Ebpf, name: &'static str, entries: impl Iterator<Item = &'a T>) -> Result<(), Error> {
    let mut map: Array<MapData, T> = take(ebpf, name)?;
    for (place, entry) in (0..).zip(entries) {
        map.set(place, *entry, 0).map_err(|error| Error::map(name, &error))?;
    }
    Ok(())
}

fn program(ebpf: &mut Ebpf) -> Result<&mut Xdp, Error> {
    let program = ebpf.program_mut(NAME).ok_or(Error::Object("the program is missing"))?;
    program.try_into().map_err(|_: ProgramError| Error::Object("the program is none of XDP"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_frame_lies_whole_where_its_place_says() {
        let frames: Vec<Vec<u8>> = (0..500_usize).map(|n| vec![n as u8; SMALLEST + n * 37 % (LARGEST - 13)]).collect();
        let (places, blocks) = lay(&frames).unwrap();
        assert!(blocks.len() > 3);
        for (frame, place) in frames.iter().zip(places) {
            let start = place.start() as usize;
            assert_eq!(blocks[place.block() as usize][start..start + place.length() as usize], frame[..]);
        }
    }

    #[test]
    fn what_is_no_frame_or_too_large_is_refused() {
        for (length, fits) in [(SMALLEST - 1, false), (SMALLEST, true), (LARGEST, true), (LARGEST + 1, false)] {
            assert_eq!(lay(&[vec![0; length]]).is_ok(), fits, "{length}");
        }
    }
}
