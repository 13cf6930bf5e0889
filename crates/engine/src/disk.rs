//! The disk's side of the engine: files, part stores, hashing, durability. Decides nothing about pieces or peers.
//!
//! `job` is what the loops say to it and hear from it; `spec` is what it must know of a torrent.

pub(crate) mod job;
pub(crate) mod spec;
