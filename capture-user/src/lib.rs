//! padtap: from a console's frames to what the console is doing.

mod cache;
pub mod classify;
pub mod dissect;
pub mod filter;
pub mod flow;
mod index;
mod json;
pub mod knowledge;
pub mod latency;
pub mod learn;
pub mod ledger;
pub mod limits;
pub mod names;
pub mod output;
pub mod pipeline;
pub mod reassembly;
pub mod record;
pub mod shard;
pub mod shunt;
pub mod source;
pub mod time;
pub mod timeline;
