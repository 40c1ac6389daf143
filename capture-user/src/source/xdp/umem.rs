//! The memory frames arrive in: chunks that are either free, lent to the kernel, or owned by a frame.
//!
//! ```text
//!          lend               accept             reclaim
//!   free --------> kernel --------------> frame --------> free
//!     ^              |  descriptor unusable
//!     +--------------+
//! ```
//! [`Pool`] belongs to the thread that receives and is the only one to move chunks between the three. A frame's chunks
//! are a [`Chunks`], which is neither `Copy` nor `Clone`: using a chunk after it went back does not compile. [`Umem`] is
//! the memory itself, shared with every worker that reads.
//!
//! # Why reading is sound
//! The kernel writes only to chunks whose address went into the fill ring and has not come back. Addresses come from
//! [`Pool::lend`] alone, which takes them off the free list and notes the loan; [`Pool::accept`] believes a descriptor
//! only if its chunk is noted as lent, and strikes the note. So a chunk that a `Chunks` names is not in the kernel's
//! hands, and cannot get there again before [`Pool::reclaim`] consumes the `Chunks`, which it cannot do while a slice
//! borrowed from it is alive. No Rust reference to the memory exists but those slices, and nobody writes through any.
#![allow(unsafe_code, reason = "frames are read where the kernel wrote them")]

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use memmap2::{Advice, MmapOptions, MmapRaw};
use rustix::net::xdp::XdpDesc;

use super::ring::Memory;
use crate::cache;

/// The most chunks one frame may lie in: 9216 B and VLAN tags in chunks of 2 KiB, of which 1792 B hold data.
pub const MAX_CHUNKS: usize = 6;

/// The memory, registered with one socket.
pub struct Umem {
    memory: Box<dyn Memory>,
    chunk_size: u32,
    chunks: u32,
    /// Tells the chunks of one UMEM from those of another.
    id: u32,
    /// Whether huge pages back it.
    huge: bool,
}

impl Umem {
    /// Maps `chunks` chunks of `chunk_size` bytes (a power of two), on huge pages when `huge` is asked for and there
    /// are enough, else on normal ones.
    ///
    /// # Errors
    /// What mmap says, or that the memory would be larger than 4 GiB.
    pub fn map(chunks: u32, chunk_size: u32, huge: bool) -> io::Result<(Arc<Self>, Pool)> {
        let len = u64::from(chunks) * u64::from(chunk_size);
        let Ok(len) = u32::try_from(len).map(|len| len as usize) else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{len} bytes of frame memory: 4 GiB is the limit"),
            ));
        };
        let (memory, huge) = map_pages(len, huge)?;
        Ok(Self::new(Box::new(memory), chunks, chunk_size, huge))
    }

    /// Divides `memory` into `chunks` chunks, all free.
    ///
    /// # Panics
    /// When the chunks are no power of two in size or do not fit the memory, or the memory exceeds 4 GiB.
    pub(super) fn new(memory: Box<dyn Memory>, chunks: u32, chunk_size: u32, huge: bool) -> (Arc<Self>, Pool) {
        static NEXT_ID: AtomicU32 = AtomicU32::new(0);
        assert!(chunk_size.is_power_of_two(), "chunks of {chunk_size} bytes");
        let len = chunks.checked_mul(chunk_size).expect("at most 4 GiB");
        assert!(len as usize <= memory.size(), "{chunks} chunks do not fit {} bytes", memory.size());
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let umem = Arc::new(Self { memory, chunk_size, chunks, id, huge });
        let pool =
            Pool { umem: Arc::clone(&umem), free: (0..chunks).rev().collect(), lent: Bits::new(chunks), lent_count: 0 };
        (umem, pool)
    }

    /// Where it is, for registration.
    pub fn base(&self) -> *mut u8 {
        self.memory.base().as_ptr()
    }

    /// Bytes in all its chunks.
    pub fn size(&self) -> u64 {
        u64::from(self.chunks) * u64::from(self.chunk_size)
    }

    /// Bytes in one chunk.
    pub fn chunk_size(&self) -> u32 {
        self.chunk_size
    }

    /// Whether huge pages back it.
    pub fn is_huge(&self) -> bool {
        self.huge
    }

    /// The pieces of a frame in order; one, unless the frame is larger than a chunk.
    ///
    /// # Panics
    /// When the chunks are not from this UMEM.
    pub fn pieces<'a>(&'a self, chunks: &'a Chunks) -> impl Iterator<Item = &'a [u8]> {
        assert_eq!(chunks.umem, self.id, "a frame is read in its own memory");
        chunks.parts().map(|(address, length)| {
            // SAFETY: `accept` checked that the piece lies in one chunk of this UMEM (whose id it carries), and the
            // module's introduction says why nobody writes to that chunk while `chunks` is borrowed.
            unsafe { std::slice::from_raw_parts(self.base().add(address as usize), usize::from(length)) }
        })
    }

    /// Asks the processor to bring the beginning of a piece, and what is before it, into its cache: a word of advice, for
    /// any address.
    #[inline]
    pub fn prefetch(&self, descriptor: &XdpDesc) {
        let place = self.base().wrapping_add(descriptor.addr as usize).cast_const();
        cache::prefetch_line(place);
        cache::prefetch_line(place.wrapping_sub(cache::LINE));
    }

    /// The `N` bytes just before a frame, if they lie in the frame's first chunk.
    ///
    /// # Panics
    /// When the chunks are not from this UMEM.
    pub fn before<'a, const N: usize>(&'a self, chunks: &'a Chunks) -> Option<&'a [u8; N]> {
        let place = self.place_before(chunks)?;
        // SAFETY: as in `pieces`: bytes of the frame's first chunk; `[u8; N]` has no alignment.
        Some(unsafe { &*place })
    }

    /// Where the `N` bytes are that lie before a frame, in the frame's first chunk.
    fn place_before<const N: usize>(&self, chunks: &Chunks) -> Option<*mut [u8; N]> {
        assert_eq!(chunks.umem, self.id, "a frame is read in its own memory");
        let (address, _) = chunks.parts().next()?;
        let in_chunk = (address & (self.chunk_size - 1)) as usize;
        // SAFETY: `accept` checked that `address` is in this UMEM; `N` bytes earlier is still the same chunk of it.
        (N <= in_chunk).then(|| unsafe { self.base().add(address as usize - N) }.cast())
    }
}

#[cfg(test)]
impl Umem {
    /// What the kernel does with a chunk it was lent; tests pass no other addresses.
    pub(super) fn write_as_kernel(&self, address: u64, data: &[u8]) {
        assert!(address + data.len() as u64 <= self.size());
        // SAFETY: inside the memory, and in a chunk that was lent, so that no frame owns it.
        unsafe { self.base().add(address as usize).copy_from(data.as_ptr(), data.len()) };
    }
}

fn map_pages(len: usize, huge: bool) -> io::Result<(MmapRaw, bool)> {
    const HUGE_PAGE: usize = 1 << 21;
    if huge && let Ok(memory) = MmapOptions::new().len(len.next_multiple_of(HUGE_PAGE)).huge(Some(21)).map_anon() {
        return Ok((memory.into(), true));
    }
    let memory = MmapOptions::new().len(len).map_anon()?;
    // Frames are taken all over this memory: with small pages the processor would look up the page of nearly every one.
    // Where the kernel makes no large ones of its own accord, they are small.
    let _ = memory.advise(Advice::HugePage);
    // Before Linux 5.14 the pages come when the memory is registered.
    let _ = memory.advise(Advice::PopulateWrite);
    Ok((memory.into(), false))
}

/// The chunks that hold one frame. Whoever has it may read them and nobody writes to them.
#[derive(Debug)]
#[must_use = "chunks that are not reclaimed are lost to their queue"]
pub struct Chunks {
    /// Where each piece begins, from the start of the UMEM.
    addresses: [u32; MAX_CHUNKS],
    /// Bytes of each piece.
    lengths: [u16; MAX_CHUNKS],
    umem: u32,
    count: u8,
}

impl Chunks {
    fn parts(&self) -> impl Iterator<Item = (u32, u16)> {
        self.addresses.iter().copied().zip(self.lengths.iter().copied()).take(usize::from(self.count))
    }
}

/// Why a descriptor's chunk did not become part of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It points outside the UMEM, or to a chunk the kernel was not lent: nothing of ours to take back.
    Foreign,
    /// It is ours again, but the piece does not fit in it, or the frame has too many already.
    Unusable,
}

/// Where every chunk is.
pub struct Pool {
    umem: Arc<Umem>,
    free: Vec<u32>,
    lent: Bits,
    lent_count: u32,
}

impl Pool {
    /// The memory whose chunks these are.
    pub fn umem(&self) -> &Arc<Umem> {
        &self.umem
    }

    /// No chunks yet: what [`Pool::accept`] adds to.
    pub fn empty(&self) -> Chunks {
        Chunks { addresses: [0; MAX_CHUNKS], lengths: [0; MAX_CHUNKS], umem: self.umem.id, count: 0 }
    }

    /// Lends a free chunk to the kernel: its address for the fill ring.
    pub fn lend(&mut self) -> Option<u64> {
        let index = self.free.pop()?;
        self.lent.set(index);
        self.lent_count += 1;
        Some(u64::from(index) * u64::from(self.umem.chunk_size))
    }

    /// Adds to `frame` the piece that the kernel's descriptor names.
    ///
    /// # Errors
    /// The descriptor makes no sense; `frame` is as it was, and the chunk is free again if it was lent at all.
    pub fn accept(&mut self, descriptor: &XdpDesc, frame: &mut Chunks) -> Result<(), Refused> {
        let address = u32::try_from(descriptor.addr).map_err(|_| Refused::Foreign)?;
        let index = address / self.umem.chunk_size;
        if !self.lent.take(index) {
            return Err(Refused::Foreign);
        }
        self.lent_count -= 1;
        let room = self.umem.chunk_size - address % self.umem.chunk_size;
        let length = u16::try_from(descriptor.len).ok().filter(|&length| u32::from(length) <= room);
        let place = usize::from(frame.count);
        let (Some(length), true) = (length, place < MAX_CHUNKS) else {
            self.free.push(index);
            return Err(Refused::Unusable);
        };
        frame.addresses[place] = address;
        frame.lengths[place] = length;
        frame.count += 1;
        Ok(())
    }

    /// The `N` bytes just before a frame, to write to, if they lie in the frame's first chunk.
    ///
    /// # Panics
    /// When the chunks are not from this pool's UMEM.
    pub fn before_mut<'a, const N: usize>(&'a mut self, chunks: &'a mut Chunks) -> Option<&'a mut [u8; N]> {
        let place = self.umem.place_before(chunks)?;
        // SAFETY: the same bytes as in `before`, and `chunks` is borrowed exclusively: nobody else reads them now.
        Some(unsafe { &mut *place })
    }

    /// Takes a frame's chunks back.
    ///
    /// # Panics
    /// When they are from another UMEM: that would hand the kernel memory that somebody reads.
    pub fn reclaim(&mut self, frame: Chunks) {
        assert_eq!(frame.umem, self.umem.id, "a frame returns to its own memory");
        self.free.extend(frame.parts().map(|(address, _)| address / self.umem.chunk_size));
        debug_assert!(
            self.free.len() + self.lent_count as usize <= self.umem.chunks as usize,
            "a chunk came back twice"
        );
    }

    /// Chunks that may be lent.
    pub fn free(&self) -> u32 {
        self.free.len() as u32
    }

    /// Chunks that frames own.
    pub fn outstanding(&self) -> u32 {
        self.umem.chunks - self.lent_count - self.free()
    }
}

/// One bit a chunk.
struct Bits(Box<[u64]>);

impl Bits {
    fn new(count: u32) -> Self {
        Self(vec![0; count.div_ceil(64) as usize].into())
    }

    fn set(&mut self, index: u32) {
        self.0[(index / 64) as usize] |= 1 << (index % 64);
    }

    /// Clears a bit and says whether it was set; false for one that is not there.
    fn take(&mut self, index: u32) -> bool {
        let Some(word) = self.0.get_mut((index / 64) as usize) else { return false };
        let mask = 1 << (index % 64);
        let was = *word & mask != 0;
        *word &= !mask;
        was
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rustix::net::xdp::XdpDescOptions;

    use super::super::ring::mock::Heap;
    use super::*;

    const CHUNK: u32 = 2048;

    fn umem(chunks: u32) -> (Arc<Umem>, Pool) {
        Umem::new(Box::new(Heap::new((chunks * CHUNK) as usize)), chunks, CHUNK, false)
    }

    fn length(frame: &Chunks) -> u32 {
        frame.parts().map(|(_, length)| u32::from(length)).sum()
    }

    fn descriptor(addr: u64, len: u32) -> XdpDesc {
        XdpDesc { addr, len, options: XdpDescOptions::empty() }
    }

    #[test]
    fn a_frame_in_pieces_is_read_where_the_kernel_wrote_it() {
        let (umem, mut pool) = umem(4);
        let mut frame = pool.empty();
        for text in [b"first".as_slice(), b"second"] {
            let address = pool.lend().unwrap() + 256;
            umem.write_as_kernel(address - 4, b"meta");
            umem.write_as_kernel(address, text);
            pool.accept(&descriptor(address, text.len() as u32), &mut frame).unwrap();
        }
        assert_eq!(umem.pieces(&frame).collect::<Vec<_>>(), [b"first".as_slice(), b"second"]);
        assert_eq!(umem.before::<4>(&frame), Some(b"meta"));
        assert_eq!(umem.before::<257>(&frame), None);
        *pool.before_mut::<4>(&mut frame).unwrap() = *b"done";
        assert_eq!(umem.before::<4>(&frame), Some(b"done"));
        assert_eq!((length(&frame), pool.outstanding(), pool.lent_count), (11, 2, 0));
        pool.reclaim(frame);
        assert_eq!(pool.outstanding(), 0);
    }

    #[test]
    fn a_descriptor_of_nothing_lent_takes_nothing() {
        let (_, mut pool) = umem(4);
        let lent = pool.lend().unwrap();
        let mut frame = pool.empty();
        for addr in [lent + u64::from(CHUNK), u64::from(4 * CHUNK), u64::from(u32::MAX), 1 << 32, u64::MAX] {
            assert_eq!(pool.accept(&descriptor(addr, 60), &mut frame), Err(Refused::Foreign), "{addr}");
        }
        assert_eq!((pool.lent_count, pool.outstanding(), length(&frame)), (1, 0, 0));
        pool.accept(&descriptor(lent, 60), &mut frame).unwrap();
        assert_eq!(pool.accept(&descriptor(lent, 60), &mut frame), Err(Refused::Foreign), "delivered twice");
        pool.reclaim(frame);
    }

    #[test]
    fn a_piece_that_leaves_its_chunk_frees_the_chunk() {
        let (_, mut pool) = umem(1);
        let mut frame = pool.empty();
        for len in [CHUNK - 255, CHUNK + 1, u32::MAX, 65536 + 60] {
            let addr = pool.lend().unwrap() + 256;
            assert_eq!(pool.accept(&descriptor(addr, len), &mut frame), Err(Refused::Unusable), "{len}");
            assert_eq!((pool.lent_count, pool.outstanding()), (0, 0));
        }
        let addr = pool.lend().unwrap() + 256;
        pool.accept(&descriptor(addr, CHUNK - 256), &mut frame).unwrap();
        pool.reclaim(frame);
    }

    #[test]
    fn a_frame_takes_so_many_chunks_and_no_more() {
        let (_, mut pool) = umem(8);
        let mut frame = pool.empty();
        for place in 0..8 {
            let addr = pool.lend().unwrap();
            let expected = if place < MAX_CHUNKS { Ok(()) } else { Err(Refused::Unusable) };
            assert_eq!(pool.accept(&descriptor(addr, 10), &mut frame), expected);
        }
        assert_eq!(pool.outstanding(), MAX_CHUNKS as u32);
        pool.reclaim(frame);
        assert_eq!(pool.outstanding(), 0);
    }

    #[test]
    #[should_panic(expected = "own memory")]
    fn another_umem_does_not_take_it() {
        let ((_, mine), (_, mut other)) = (umem(1), umem(1));
        other.reclaim(mine.empty());
    }

    #[test]
    #[cfg_attr(miri, ignore = "maps memory")]
    fn mapped_memory_is_page_aligned_and_bounded() {
        let (umem, pool) = Umem::map(8, 4096, true).unwrap();
        assert_eq!(umem.base().align_offset(4096), 0);
        assert_eq!(pool.free.len(), 8);
        assert!(Umem::map(1 << 20, 4096, false).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: if cfg!(miri) { 8 } else { 512 },
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        /// Whatever the kernel says, no chunk is in two places, none is lost but those it never returns, and reading
        /// what was accepted stays inside the memory (Miri).
        #[test]
        fn no_chunk_is_ever_in_two_places(
            steps in prop::collection::vec((0_u8..4, 0_u64..10 * 2048, 0_u32..2200), 1..80),
        ) {
            const CHUNKS: u32 = 8;
            let (umem, mut pool) = umem(CHUNKS);
            let mut lent = std::collections::BTreeSet::new();
            let mut frames: Vec<Chunks> = Vec::new();
            for (step, addr, len) in steps {
                match step {
                    0 => lent.extend(pool.lend()),
                    1 => if let Some(frame) = frames.pop() { pool.reclaim(frame) },
                    _ => {
                        let mut frame = if step == 2 { pool.empty() } else { frames.pop().unwrap_or(pool.empty()) };
                        let start = addr / u64::from(CHUNK) * u64::from(CHUNK);
                        let fits = addr - start + u64::from(len) <= u64::from(CHUNK) && usize::from(frame.count) < MAX_CHUNKS;
                        let expected = match (lent.remove(&start), fits) {
                            (false, _) => Err(Refused::Foreign),
                            (true, false) => Err(Refused::Unusable),
                            (true, true) => Ok(()),
                        };
                        prop_assert_eq!(pool.accept(&descriptor(addr, len), &mut frame), expected);
                        frames.push(frame);
                    }
                }
                let owned: u32 = frames.iter().map(|frame| u32::from(frame.count)).sum();
                prop_assert_eq!((pool.lent_count as usize, pool.outstanding()), (lent.len(), owned));
                let mut places: Vec<u32> = frames.iter().flat_map(Chunks::parts).map(|(a, _)| a / CHUNK).collect();
                places.extend(lent.iter().map(|&a| a as u32 / CHUNK));
                places.extend(&pool.free);
                places.sort_unstable();
                prop_assert_eq!(places, (0..CHUNKS).collect::<Vec<_>>());
                for frame in &frames {
                    prop_assert_eq!(umem.pieces(frame).map(<[u8]>::len).sum::<usize>(), length(frame) as usize);
                }
            }
        }
    }
}
