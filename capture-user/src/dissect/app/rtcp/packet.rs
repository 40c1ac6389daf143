//! Compound packets: headers that follow each other to the exact end of the payload (RFC 3550 appendix A.2).
//!
//! ```text
//! |V=2|P|   RC    |      PT       |  length in 32-bit words - 1   |
//! |                         SSRC of sender                        |
//! ```

use crate::dissect::app::rtp::is_rtcp_type;

pub(super) const SENDER_REPORT: u8 = 200;
pub(super) const RECEIVER_REPORT: u8 = 201;
pub(super) const SOURCE_DESCRIPTION: u8 = 202;
pub(super) const BYE: u8 = 203;
pub(super) const APP: u8 = 204;
pub(super) const EXTENDED_REPORT: u8 = 207;

/// Packets read of one compound.
const MAX_PACKETS: usize = 16;
/// What SRTCP puts behind a compound packet at least: its index and an authentication tag (RFC 3711 section 3.4).
const SRTCP_TRAILER: usize = 4 + 10;
/// The item of a source description that names its source for good.
pub(super) const CNAME: u8 = 1;
/// The item that names the program.
pub(super) const TOOL: u8 = 6;

/// A payload that is one compound packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Compound<'a> {
    bytes: &'a [u8],
    /// The packets do not fill the payload exactly, as an SRTCP trailer makes it: only the first eight bytes are clear.
    pub encrypted: bool,
    /// Bytes behind the last packet that could be read.
    trailer: usize,
}

/// One packet of a compound.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'a> {
    pub kind: u8,
    /// Report blocks, sources or a subtype: the low five bits of the first byte.
    pub count: u8,
    /// What follows the first four bytes, without padding.
    pub body: &'a [u8],
}

impl<'a> Compound<'a> {
    /// None if the payload does not begin with an RTCP packet.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (first, mut rest) = split(bytes)?;
        if first.body.len() < 4 && first.kind != BYE {
            return None;
        }
        while let Some((_, after)) = split(rest) {
            rest = after;
        }
        Some(Self { bytes, encrypted: !rest.is_empty(), trailer: rest.len() })
    }

    /// Its packets in order; of an encrypted one the first alone.
    pub fn packets(&self) -> impl Iterator<Item = Packet<'a>> + use<'a> {
        let mut rest = self.bytes;
        let limit = if self.encrypted { 1 } else { MAX_PACKETS };
        std::iter::from_fn(move || {
            let (packet, after) = split(rest)?;
            rest = after;
            Some(packet)
        })
        .take(limit)
    }

    /// Whether a sender or receiver report stands first, and is long enough for the blocks it announces.
    pub fn begins_with_report(&self) -> bool {
        self.packets().next().is_some_and(|packet| match packet.kind {
            SENDER_REPORT => packet.body.len() >= 24 + 24 * usize::from(packet.count),
            RECEIVER_REPORT => packet.body.len() >= 4 + 24 * usize::from(packet.count),
            _ => false,
        })
    }

    /// Whether it is encrypted and has room for the trailer that this takes.
    pub fn may_be_srtcp(&self) -> bool {
        self.trailer >= SRTCP_TRAILER
    }

    /// Whether it names its source.
    pub fn has_cname(&self) -> bool {
        self.packets().any(|packet| packet.kind == SOURCE_DESCRIPTION && packet.item(CNAME).is_some())
    }
}

/// The first packet of `bytes`, and what follows it.
fn split(bytes: &[u8]) -> Option<(Packet<'_>, &[u8])> {
    let (&[flags, kind, l0, l1], _) = bytes.split_first_chunk::<4>()?;
    if flags >> 6 != 2 || !is_rtcp_type(kind) {
        return None;
    }
    let (packet, after) = bytes.split_at_checked(4 + 4 * usize::from(u16::from_be_bytes([l0, l1])))?;
    let body = packet.get(4..)?;
    let padding = if flags & 0x20 == 0 { 0 } else { usize::from(*body.last()?) };
    let body = body.get(..body.len().checked_sub(padding)?)?;
    Some((Packet { kind, count: flags & 0x1f, body }, after))
}

impl<'a> Packet<'a> {
    /// Its abbreviation in records.
    pub fn name(&self) -> &'static str {
        match self.kind {
            192 => "FIR",
            193 => "NACK",
            195 => "IJ",
            SENDER_REPORT => "SR",
            RECEIVER_REPORT => "RR",
            SOURCE_DESCRIPTION => "SDES",
            BYE => "BYE",
            APP => "APP",
            205 => "RTPFB",
            206 => "PSFB",
            EXTENDED_REPORT => "XR",
            208 => "AVB",
            209 => "RSI",
            210 => "TOKEN",
            _ => "other",
        }
    }

    /// Its name in packet lists.
    pub fn title(&self) -> &'static str {
        match self.kind {
            SENDER_REPORT => "Sender Report",
            RECEIVER_REPORT => "Receiver Report",
            SOURCE_DESCRIPTION => "Source description",
            BYE => "Goodbye",
            APP => "Application specific",
            205 => "Generic RTP Feedback",
            206 => "Payload-specific Feedback",
            EXTENDED_REPORT => "Extended report (RFC 3611)",
            _ => self.name(),
        }
    }

    /// The source that sent it (of a source description, its first).
    pub fn ssrc(&self) -> Option<u32> {
        self.body.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
    }

    /// Of a sender report: what the sender says of its stream.
    pub fn sender_info(&self) -> Option<SenderInfo> {
        if self.kind != SENDER_REPORT {
            return None;
        }
        let info = self.body.get(4..)?.first_chunk::<20>()?;
        Some(SenderInfo {
            ntp: u64::from_be_bytes(*info.first_chunk()?),
            packets: word(info, 12)?,
            bytes: word(info, 16)?,
        })
    }

    /// Of a sender or receiver report: the blocks that are whole.
    pub fn report_blocks(&self) -> impl Iterator<Item = ReportBlock> + use<'a> {
        let start = if self.kind == SENDER_REPORT { 24 } else { 4 };
        let blocks = self.body.get(start..).unwrap_or_default();
        blocks.chunks_exact(24).take(usize::from(self.count)).filter_map(ReportBlock::parse)
    }

    /// Of a source description: the value of the first item of this type of its first source.
    pub fn item(&self, wanted: u8) -> Option<&'a [u8]> {
        let mut rest = self.body.get(4..)?;
        while let [kind, length, after @ ..] = rest
            && *kind != 0
        {
            let (value, next) = after.split_at_checked(usize::from(*length))?;
            if *kind == wanted {
                return Some(value);
            }
            rest = next;
        }
        None
    }

    /// Of a BYE: why, where it says so.
    pub fn bye_reason(&self) -> Option<&'a [u8]> {
        let [length, text @ ..] = self.body.get(4 * usize::from(self.count)..)? else { return None };
        text.get(..usize::from(*length)).filter(|reason| !reason.is_empty())
    }
}

/// The big-endian word at `offset`.
pub(super) fn word(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes.get(offset..)?.first_chunk().map(|word| u32::from_be_bytes(*word))
}

/// What a sender says of its own stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct SenderInfo {
    /// Its clock in NTP format, 32 bits of seconds and 32 of fraction.
    pub ntp: u64,
    pub packets: u32,
    /// Payload bytes, without headers and padding.
    pub bytes: u32,
}

impl SenderInfo {
    /// The middle 32 bits: what an answer refers to.
    pub const fn ntp_middle(self) -> u32 {
        (self.ntp >> 16) as u32
    }
}

/// What one end reports of a stream it receives (section 6.4.1).
#[derive(Clone, Copy, Debug)]
pub(super) struct ReportBlock {
    pub ssrc: u32,
    /// Of 256, since the previous report.
    pub fraction_lost: u8,
    /// Negative where duplicates outnumber losses.
    pub cumulative_lost: i32,
    pub highest_sequence: u32,
    /// In units of the stream's clock.
    pub jitter: u32,
    /// The middle of the NTP time of the latest sender report, 0 where none came.
    pub last_report: u32,
    /// Since that report came, in units of 1/65536 s.
    pub delay: u32,
}

impl ReportBlock {
    fn parse(block: &[u8]) -> Option<Self> {
        let loss = word(block, 4)?;
        Some(Self {
            ssrc: word(block, 0)?,
            fraction_lost: (loss >> 24) as u8,
            cumulative_lost: (loss << 8).cast_signed() >> 8,
            highest_sequence: word(block, 8)?,
            jitter: word(block, 12)?,
            last_report: word(block, 16)?,
            delay: word(block, 20)?,
        })
    }
}
