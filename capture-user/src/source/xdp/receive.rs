//! From descriptors to frames: what happens between two rings, with no kernel in sight.

use std::mem;
use std::sync::Arc;

use capture_common::meta::Meta;
use rustix::net::xdp::{XdpDesc, XdpDescOptions};

use super::clock::Clock;
use super::socket::Rings;
use super::umem::{Chunks, Pool, Umem};
use crate::source::{Frame, LinkType, View};
use crate::time::Timestamp;

/// One frame in the memory of the queue it came by. It goes back through [`Source::recycle`](crate::source::Source) of
/// that queue's source; one that is dropped instead leaves its chunks out of use for the rest of the capture.
#[derive(Debug)]
#[must_use = "a frame that is not recycled is lost to its queue"]
pub struct FrameToken {
    number: u64,
    time: Timestamp,
    chunks: Chunks,
    shard: u32,
}

/// A token crosses to a worker and back by value: one cache line.
const _: () = assert!(size_of::<FrameToken>() <= 64);

/// The rings and chunks of one queue.
pub(super) struct Receiver {
    rings: Rings,
    frames: Assembly,
    /// Descriptors that are taken together, so that the beginnings of all their frames are on their way into the cache
    /// before the first is read.
    taken: Vec<XdpDesc>,
}

impl Receiver {
    pub(super) fn new(rings: Rings, pool: Pool, clock: Clock) -> Self {
        let partial = pool.empty();
        let frames = Assembly { pool, partial, broken: false, clock, taken: 0, handed_out: 0 };
        Self { rings, frames, taken: Vec::new() }
    }

    /// Lends every free chunk that the fill ring has room for.
    pub(super) fn refill(&mut self) {
        let pool = &mut self.frames.pool;
        self.rings.fill.produce(pool.free(), || pool.lend());
    }

    /// Whether the kernel waits to be told of new chunks.
    pub(super) fn needs_wakeup(&self) -> bool {
        self.rings.fill.needs_wakeup()
    }

    /// Whether nothing has come.
    pub(super) fn is_empty(&mut self) -> bool {
        self.rings.rx.is_empty()
    }

    /// Appends the frames that have come, `max` at most, and says how many; 0 only when the ring is empty.
    pub(super) fn take(&mut self, max: u32, tokens: &mut Vec<FrameToken>) -> usize {
        let before = tokens.len();
        let Self { rings, frames, taken } = self;
        // A frame takes one descriptor or more, so `max` descriptors are at most `max` frames, but maybe none.
        while tokens.len() == before {
            let umem = frames.pool.umem();
            let come = rings.rx.consume(max, |piece| {
                umem.prefetch(&piece);
                taken.push(piece);
            });
            if come == 0 {
                break;
            }
            tokens.extend(taken.drain(..).filter_map(|piece| frames.add(&piece)));
        }
        tokens.len() - before
    }

    /// Takes frames back.
    pub(super) fn recycle(&mut self, tokens: &mut Vec<FrameToken>) {
        for token in tokens.drain(..) {
            self.frames.pool.reclaim(token.chunks);
        }
    }

    /// Frames the kernel delivered, readable or not.
    pub(super) fn delivered(&self) -> u64 {
        self.frames.taken
    }

    /// Frames among them that could not be read.
    pub(super) fn bad(&self) -> u64 {
        self.frames.taken - self.frames.handed_out
    }

    /// Chunks that are neither free nor lent to the kernel.
    pub(super) fn outstanding(&self) -> u32 {
        self.frames.pool.outstanding()
    }

    /// A handle to read tokens with.
    pub(super) fn view(&self) -> XdpView {
        XdpView { umem: Arc::clone(self.frames.pool.umem()) }
    }
}

/// Puts frames together from their pieces.
struct Assembly {
    pool: Pool,
    /// The pieces of the frame that is not complete yet.
    partial: Chunks,
    /// One of its pieces was refused.
    broken: bool,
    clock: Clock,
    taken: u64,
    handed_out: u64,
}

impl Assembly {
    /// Adds a piece; yields the frame if it is complete and sound.
    fn add(&mut self, piece: &XdpDesc) -> Option<FrameToken> {
        self.broken |= self.pool.accept(piece, &mut self.partial).is_err();
        if piece.options.contains(XdpDescOptions::XDP_PKT_CONTD) {
            return None;
        }
        let mut chunks = mem::replace(&mut self.partial, self.pool.empty());
        let broken = mem::take(&mut self.broken);
        self.taken += 1;
        let Some(meta) = (!broken).then(|| self.stamp(&mut chunks)).flatten() else {
            self.pool.reclaim(chunks);
            return None;
        };
        self.handed_out += 1;
        Some(FrameToken { number: self.handed_out, time: self.clock.wall(meta.time), chunks, shard: meta.shard })
    }

    /// Reads the metadata before the frame and cancels its magic, as one cancels a stamp: the chunk's next frame must
    /// not be taken for stamped when the program did not stamp it. [`XdpView::meta`] knows.
    fn stamp(&mut self, chunks: &mut Chunks) -> Option<Meta> {
        let before = self.pool.before_mut::<{ Meta::SIZE }>(chunks)?;
        let meta = Meta::read(before)?;
        Meta::clear(before);
        Some(meta)
    }
}

/// Reads tokens of one queue. A clone costs a reference count.
#[derive(Clone)]
pub struct XdpView {
    umem: Arc<Umem>,
}

impl XdpView {
    /// What the XDP program wrote in front of a frame. `None` never happens for a token of this queue.
    pub fn meta(&self, token: &FrameToken) -> Option<Meta> {
        let mut bytes = *self.umem.before::<{ Meta::SIZE }>(&token.chunks)?;
        bytes[..4].copy_from_slice(&Meta::MAGIC.to_ne_bytes());
        Meta::read(&bytes)
    }
}

impl View for XdpView {
    type Token = FrameToken;

    fn shard(&self, token: &FrameToken) -> u32 {
        token.shard
    }

    fn stamped(&self, token: &FrameToken) -> Option<u64> {
        self.meta(token).map(|meta| meta.time)
    }

    fn frame<'a>(&'a self, token: &'a FrameToken, scratch: &'a mut Vec<u8>) -> Frame<'a> {
        let mut pieces = self.umem.pieces(&token.chunks);
        let first = pieces.next().unwrap_or_default();
        let data = match pieces.next() {
            None => first,
            Some(second) => {
                scratch.clear();
                scratch.extend_from_slice(first);
                scratch.extend_from_slice(second);
                pieces.for_each(|piece| scratch.extend_from_slice(piece));
                scratch
            }
        };
        let length = self.meta(token).map_or(0, |meta| meta.length).max(data.len() as u32);
        Frame { number: token.number, time: token.time, length, link: LinkType::Ethernet, interface: 0, data }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::ring::mock::{Heap, ring};
    use super::super::ring::{Consumer, Producer};
    use super::super::umem::MAX_CHUNKS;
    use super::*;

    const CHUNK: u32 = 2048;
    const HEADROOM: u64 = 256;
    const ROOM: usize = (CHUNK as u64 - HEADROOM) as usize;

    /// The kernel's side: takes chunks from the fill ring, writes frames, describes them.
    struct Kernel {
        umem: Arc<Umem>,
        fill: Consumer<u64>,
        rx: Producer<XdpDesc>,
        chunks: Vec<u64>,
        sent: u64,
    }

    impl Kernel {
        /// Delivers a frame if there are chunks and slots for all of it.
        fn deliver(&mut self, meta: Option<Meta>, data: &[u8]) -> bool {
            self.fill.consume(u32::MAX, |address| self.chunks.push(address));
            let pieces: Vec<&[u8]> = data.chunks(ROOM).collect();
            if self.chunks.len() < pieces.len() {
                return false;
            }
            let used = self.chunks.split_off(self.chunks.len() - pieces.len());
            let mut descriptors = Vec::new();
            for (place, (piece, chunk)) in pieces.iter().zip(&used).enumerate() {
                let address = chunk + HEADROOM;
                if let (0, Some(meta)) = (place, meta) {
                    self.write(address - Meta::SIZE as u64, &meta.to_bytes());
                }
                self.write(address, piece);
                let more = place + 1 < pieces.len();
                let options = if more { XdpDescOptions::XDP_PKT_CONTD } else { XdpDescOptions::empty() };
                descriptors.push(XdpDesc { addr: address, len: piece.len() as u32, options });
            }
            let mut left = descriptors.into_iter();
            assert_eq!(self.rx.produce(u32::MAX, || left.next()) as usize, pieces.len(), "the mock's RX ring is large");
            self.sent += 1;
            true
        }

        fn write(&self, address: u64, data: &[u8]) {
            self.umem.write_as_kernel(address, data);
        }
    }

    fn queue(chunks: u32) -> (Kernel, Receiver) {
        let memory = Box::new(Heap::new((chunks * CHUNK) as usize));
        let (umem, pool) = Umem::new(memory, chunks, CHUNK, false);
        let (fill, kernel_fill) = ring(16, u32::MAX - 3);
        let (kernel_rx, rx) = ring(64, u32::MAX - 5);
        let kernel = Kernel { umem, fill: kernel_fill, rx: kernel_rx, chunks: Vec::new(), sent: 0 };
        (kernel, Receiver::new(Rings { fill, rx }, pool, Clock::fixed(1_000)))
    }

    fn meta(number: u64, length: usize) -> Meta {
        Meta {
            magic: Meta::MAGIC,
            version: Meta::VERSION,
            class: 1,
            flags: 0,
            time: number,
            length: length as u32,
            shard: number as u32 ^ 0xabcd,
            flow: 0,
            transport: 34,
            network: 14,
            protocol: 17,
        }
    }

    fn pattern(seed: u64, length: usize) -> Vec<u8> {
        (0..length).map(|place| (place as u64 * 31 + seed * 7) as u8).collect()
    }

    #[test]
    fn a_frame_arrives_with_time_shard_and_length() {
        let (mut kernel, mut receiver) = queue(4);
        receiver.refill();
        assert!(kernel.deliver(Some(Meta { length: 1400, ..meta(77, 60) }), &pattern(1, 60)));
        let (mut tokens, mut scratch) = (Vec::new(), Vec::new());
        assert_eq!(receiver.take(64, &mut tokens), 1);
        let view = receiver.view();
        let frame = view.frame(&tokens[0], &mut scratch);
        assert_eq!((frame.number, frame.time.as_nanos(), frame.length), (1, 1_077, 1400));
        assert_eq!(frame.data, pattern(1, 60));
        assert_eq!((view.stamped(&tokens[0]), view.shard(&tokens[0])), (Some(77), 77 ^ 0xabcd));
        receiver.recycle(&mut tokens);
        assert_eq!(receiver.outstanding(), 0);
    }

    #[test]
    fn a_frame_in_pieces_is_joined() {
        let (mut kernel, mut receiver) = queue(8);
        receiver.refill();
        for length in [ROOM, ROOM + 1, 9014] {
            assert!(kernel.deliver(Some(meta(1, length)), &pattern(2, length)));
            let (mut tokens, mut scratch) = (Vec::new(), Vec::new());
            assert_eq!(receiver.take(1, &mut tokens), 1, "one frame, whatever its descriptors");
            assert_eq!(receiver.view().frame(&tokens[0], &mut scratch).data, pattern(2, length));
            receiver.recycle(&mut tokens);
            receiver.refill();
        }
        assert_eq!((receiver.delivered(), receiver.bad(), receiver.outstanding()), (3, 0, 0));
    }

    #[test]
    fn a_frame_of_too_many_pieces_is_counted_and_its_chunks_come_back() {
        let (mut kernel, mut receiver) = queue(10);
        receiver.refill();
        let mut tokens = Vec::new();
        assert!(kernel.deliver(Some(meta(1, 0)), &pattern(1, ROOM * (MAX_CHUNKS + 2))));
        assert!(kernel.deliver(Some(meta(2, 60)), &pattern(1, 60)));
        assert_eq!(receiver.take(64, &mut tokens), 1);
        assert_eq!((receiver.delivered(), receiver.bad(), receiver.outstanding()), (2, 1, 1));
        receiver.recycle(&mut tokens);
        receiver.refill();
        assert!(kernel.deliver(Some(meta(3, 0)), &pattern(1, ROOM * MAX_CHUNKS)), "no chunk was lost");
    }

    #[test]
    fn a_frame_without_stamp_is_bad_even_where_an_old_stamp_lies() {
        let (mut kernel, mut receiver) = queue(1);
        let mut tokens = Vec::new();
        receiver.refill();
        assert!(kernel.deliver(Some(meta(1, 60)), &pattern(1, 60)));
        assert_eq!(receiver.take(64, &mut tokens), 1);
        receiver.recycle(&mut tokens);
        receiver.refill();
        assert!(kernel.deliver(None, &pattern(1, 60)));
        assert_eq!(receiver.take(64, &mut tokens), 0);
        assert_eq!((receiver.delivered(), receiver.bad(), receiver.outstanding()), (2, 1, 0));
    }

    #[test]
    fn a_descriptor_of_foreign_memory_spoils_only_its_frame() {
        let (mut kernel, mut receiver) = queue(4);
        receiver.refill();
        let wild = XdpDesc { addr: u64::MAX, len: 60, options: XdpDescOptions::empty() };
        kernel.rx.produce(1, || Some(wild));
        assert!(kernel.deliver(Some(meta(1, 60)), &pattern(1, 60)));
        let mut tokens = Vec::new();
        assert_eq!(receiver.take(64, &mut tokens), 1);
        assert_eq!((receiver.delivered(), receiver.bad(), receiver.outstanding()), (2, 1, 1));
        receiver.recycle(&mut tokens);
    }

    #[test]
    fn a_worker_reads_while_the_queue_goes_on() {
        let rounds = if cfg!(miri) { 20 } else { 2_000 };
        let (mut kernel, mut receiver) = queue(8);
        let (to_worker, from_queue) = std::sync::mpsc::sync_channel::<FrameToken>(4);
        let (to_queue, from_worker) = std::sync::mpsc::channel::<FrameToken>();
        let view = receiver.view();
        let worker = std::thread::spawn(move || {
            let mut scratch = Vec::new();
            for token in from_queue {
                let frame = view.frame(&token, &mut scratch);
                assert_eq!(frame.data, pattern(frame.length.into(), frame.data.len()));
                to_queue.send(token).unwrap();
            }
        });
        let (mut tokens, mut sent) = (Vec::new(), 0);
        while sent < rounds {
            receiver.refill();
            let length = 60 + sent % 2000;
            if kernel.deliver(Some(meta(sent, length as usize)), &pattern(length, length as usize)) {
                sent += 1;
            }
            receiver.take(64, &mut tokens);
            tokens.drain(..).for_each(|token| to_worker.send(token).unwrap());
            tokens.extend(from_worker.try_iter());
            receiver.recycle(&mut tokens);
        }
        drop(to_worker);
        worker.join().unwrap();
        tokens.extend(from_worker.try_iter());
        receiver.recycle(&mut tokens);
        assert_eq!((receiver.delivered(), receiver.bad(), receiver.outstanding()), (rounds, 0, 0));
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: if cfg!(miri) { 4 } else { 256 },
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        /// In any order of delivery, taking and recycling: every frame arrives once, in order, byte for byte.
        #[test]
        fn every_delivered_frame_arrives_once(
            steps in prop::collection::vec((0_u8..4, 1_usize..9300, 1_u32..70), 1..60),
        ) {
            let (mut kernel, mut receiver) = queue(12);
            let view = receiver.view();
            let mut expected = std::collections::VecDeque::new();
            let (mut held, mut scratch, mut arrived) = (Vec::new(), Vec::new(), 0);
            for (step, length, max) in steps {
                receiver.refill();
                match step {
                    0 | 1 => {
                        let data = pattern(kernel.sent, length);
                        if kernel.deliver(Some(meta(kernel.sent, length)), &data) {
                            expected.push_back(data);
                        }
                    }
                    2 => {
                        let from = held.len();
                        let count = receiver.take(max, &mut held);
                        prop_assert!(count <= max as usize && (count > 0 || expected.is_empty()));
                        for token in &held[from..] {
                            arrived += 1;
                            let frame = view.frame(token, &mut scratch);
                            prop_assert_eq!(frame.number, arrived);
                            let sent = expected.pop_front();
                            prop_assert_eq!(Some(frame.data), sent.as_deref());
                        }
                    }
                    _ => receiver.recycle(&mut held),
                }
            }
            receiver.take(u32::MAX, &mut held);
            receiver.recycle(&mut held);
            prop_assert_eq!((receiver.delivered(), receiver.bad(), receiver.outstanding()), (kernel.sent, 0, 0));
        }
    }
}
