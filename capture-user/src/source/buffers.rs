//! Frame buffers of the sources that must copy: recycled, and bounded in bytes.

/// The most memory that buffers of one source take together, in bytes; what one more frame needs may come on top.
const BUDGET: usize = 64 << 20;

/// Capacity a new buffer begins with: a full Ethernet frame, so that recycled buffers soon fit every frame.
const USUAL: usize = 2048;

/// Makes, lends and takes back frame buffers.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    free: Vec<Vec<u8>>,
    /// Capacity of all buffers, lent or free.
    held: usize,
}

impl Buffers {
    /// Whether another frame may be copied; not while as much memory as allowed is lent out.
    pub(super) fn ready(&self) -> bool {
        self.held < BUDGET || !self.free.is_empty()
    }

    /// A buffer that holds a copy of `bytes`.
    pub(super) fn copy(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut buffer = self.free.pop().unwrap_or_default();
        self.held -= buffer.capacity();
        buffer.clear();
        buffer.reserve(bytes.len().max(USUAL));
        buffer.extend_from_slice(bytes);
        self.held += buffer.capacity();
        buffer
    }

    /// Takes a buffer back.
    pub(super) fn give_back(&mut self, buffer: Vec<u8>) {
        if self.held > BUDGET {
            self.held -= buffer.capacity();
        } else {
            self.free.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_and_are_used_again() {
        let mut buffers = Buffers::default();
        let first = buffers.copy(&[1; 60]);
        let place = first.as_ptr();
        buffers.give_back(first);
        let second = buffers.copy(&[2; 1500]);
        assert_eq!(second.as_ptr(), place);
        assert_eq!(second, [2; 1500]);
    }

    #[test]
    fn memory_is_bounded_however_large_the_frames() {
        let mut buffers = Buffers::default();
        let frame = vec![0; 1 << 20];
        let mut lent = Vec::new();
        while buffers.ready() {
            lent.push(buffers.copy(&frame));
        }
        assert_eq!(lent.len(), 64);
        for buffer in lent.drain(..) {
            buffers.give_back(buffer);
        }
        for _ in 0..1000 {
            assert!(buffers.ready());
            lent.push(buffers.copy(&frame));
            lent.drain(..).for_each(|buffer| buffers.give_back(buffer));
        }
        assert!(buffers.held <= BUDGET + frame.len());
    }
}
