//! What comes out: records and captures, one format a file.

pub mod pcapng;
