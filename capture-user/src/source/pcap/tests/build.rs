//! Capture files, byte by byte.

/// A file in the making, in one byte order.
#[derive(Clone, Default)]
pub(crate) struct Bytes {
    pub(crate) big: bool,
    pub(crate) bytes: Vec<u8>,
}

impl Bytes {
    pub(crate) fn new(big: bool) -> Self {
        Self { big, bytes: Vec::new() }
    }

    pub(crate) fn u16(mut self, value: u16) -> Self {
        self.bytes.extend(if self.big { value.to_be_bytes() } else { value.to_le_bytes() });
        self
    }

    pub(crate) fn u32(mut self, value: u32) -> Self {
        self.bytes.extend(if self.big { value.to_be_bytes() } else { value.to_le_bytes() });
        self
    }

    pub(crate) fn u64(mut self, value: u64) -> Self {
        self.bytes.extend(if self.big { value.to_be_bytes() } else { value.to_le_bytes() });
        self
    }

    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend(bytes);
        self
    }

    fn padded(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend(bytes);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self
    }

    /// A classic file's header.
    pub(crate) fn classic(self, magic: u32, snap_length: u32, network: u32) -> Self {
        self.u32(magic).u16(2).u16(4).u32(0).u32(0).u32(snap_length).u32(network)
    }

    /// A classic record.
    pub(crate) fn record(self, seconds: u32, fraction: u32, length: u32, data: &[u8]) -> Self {
        self.u32(seconds).u32(fraction).u32(data.len() as u32).u32(length).raw(data)
    }

    /// A block around a body that is made in the same byte order.
    pub(crate) fn block(self, kind: u32, body: impl FnOnce(Bytes) -> Bytes) -> Self {
        let body = body(Bytes::new(self.big)).bytes;
        let total = 12 + body.len().next_multiple_of(4) as u32;
        self.u32(kind).u32(total).padded(&body).u32(total)
    }

    pub(crate) fn section(mut self, big: bool) -> Self {
        self.big = big;
        self.block(0x0a0d_0d0a, |body| body.u32(0x1a2b_3c4d).u16(1).u16(0).u64(u64::MAX))
    }

    pub(crate) fn interface(self, link: u16, snap_length: u32, options: impl FnOnce(Bytes) -> Bytes) -> Self {
        self.block(1, |body| options(body.u16(link).u16(0).u32(snap_length)))
    }

    pub(crate) fn option(self, code: u16, value: &[u8]) -> Self {
        self.u16(code).u16(value.len() as u16).padded(value)
    }

    pub(crate) fn enhanced(self, interface: u32, ticks: u64, length: u32, data: &[u8]) -> Self {
        self.block(6, |body| {
            let body = body.u32(interface).u32((ticks >> 32) as u32).u32(ticks as u32);
            body.u32(data.len() as u32).u32(length).padded(data)
        })
    }
}

/// Data of a length, told apart by its first byte.
pub(crate) fn data(first: u8, length: usize) -> Vec<u8> {
    (0..length).map(|at| first.wrapping_add(at as u8)).collect()
}
