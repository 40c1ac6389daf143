//! Captures out: pcapng (draft-ietf-opsawg-pcapng), for Wireshark, tshark, tcpdump and `padtap read`.
//!
//! Two halves. Workers copy frames into [`Block`]s, large buffers of ready-made Enhanced Packet Blocks, through a
//! [`Filler`]; that is the only copy. One thread owns the [`Writer`] and takes full blocks in the order in which they
//! were handed in ([`Drain::run`]). Blocks go round: their number is fixed, so a slow disk costs counted packets on a
//! live capture, a wait when the source is a file, and memory never. Several workers' packets are in order worker by
//! worker, not across workers; `reordercap` sorts such a file.
//!
//! A file is written under a temporary name beside its own and renamed when it is complete, which it is also after an
//! error and after a rotation. Times are nanoseconds, numbers little-endian.
//!
//! For people there are [`comments`] on packets, names of addresses, and files of one console, match or flow ([`Only`]).

mod block;
pub mod comments;
mod encode;
mod limits;
mod only;
mod pool;
mod writer;

pub use self::block::{Block, Note};
pub use self::comments::Comments;
pub use self::encode::{Description, Statistics};
pub use self::limits::{Limits, LimitsError};
pub use self::only::{Ends, Only, OnlyError, Played, Selection};
pub use self::pool::{Drain, Drained, Ending, Filler, pool};
pub use self::writer::{Config, Error, Progress, Summary, Writer};

#[cfg(test)]
mod tests;
