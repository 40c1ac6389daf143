//! Frames of files on their way to workers and back.

use std::sync::Arc;

use super::map::Mapping;
use crate::source::{self, Frame, LinkType};
use crate::time::Timestamp;

/// A frame of a file, until it is recycled.
#[derive(Debug)]
pub struct Token {
    pub(super) facts: Facts,
    pub(super) place: Place,
}

/// What is known of a frame apart from its bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub(super) number: u64,
    pub(super) time: Timestamp,
    pub(super) length: u32,
    pub(super) interface: u32,
    pub(super) link: LinkType,
    pub(super) shard: u32,
}

/// Where a frame's bytes are.
#[derive(Debug)]
pub(super) enum Place {
    /// In a mapping, which every view holds.
    Mapped { file: u32, captured: u32, offset: u64 },
    /// Copied out of a stream.
    Owned(Vec<u8>),
}

/// Reads the bytes of [`Token`]s.
#[derive(Clone)]
pub struct View {
    pub(super) maps: Arc<[Mapping]>,
}

impl View {
    fn mapped(&self, file: u32, captured: u32, offset: u64) -> &[u8] {
        let bytes = self.maps.get(file as usize).map_or(&[][..], Mapping::bytes);
        bytes.get(offset as usize..).and_then(|rest| rest.get(..captured as usize)).unwrap_or_default()
    }
}

impl source::View for View {
    type Token = Token;

    fn shard(&self, token: &Token) -> u32 {
        token.facts.shard
    }

    fn stamped(&self, _: &Token) -> Option<u64> {
        None
    }

    #[inline]
    fn frame<'a>(&'a self, token: &'a Token, _: &'a mut Vec<u8>) -> Frame<'a> {
        let Facts { number, time, length, interface, link, .. } = token.facts;
        let data = match &token.place {
            Place::Mapped { file, captured, offset } => self.mapped(*file, *captured, *offset),
            Place::Owned(bytes) => bytes,
        };
        Frame { number, time, length, link, interface, data }
    }
}
