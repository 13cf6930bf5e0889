//! The disk's side of the engine: files, part stores, hashing, durability. Decides nothing about pieces or peers.
//!
//! `job` is what the loops say to it and hear from it; `pool` does it on threads of its own; `storage` is one torrent's files,
//! `lent` one that is read out of somebody's files, `backing` either.

mod backing;
mod buffers;
#[cfg(test)]
mod fixture;
mod handles;
pub(crate) mod job;
mod lent;
pub(crate) mod names;
pub(crate) mod pool;
pub(crate) mod spec;
mod step;
mod storage;
mod trouble;

pub(crate) use pool::{Disk, DiskConfig};
