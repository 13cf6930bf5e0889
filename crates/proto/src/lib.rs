//! The machines that decide: which peer, which piece, when, how fast. Pure: handed the time and what happened, they append
//! what should be done. No socket, file, thread, lock, clock or entropy is within reach of this crate.
//!
//! Two types matter. [`Session`] is the machine; [`Outbox`] is where its wishes go. A driver (the engine, the simulator)
//! loops: feed an [`Input`], perform each [`Output`], sleep until [`Session::next_wake`].
//!
//! # Laws of the seam
//! * `handle` returns no error, and no input can make it panic.
//! * Same configuration, seed and inputs: same outputs, byte for byte.
//! * Whoever creates a thing names it; an answer that bears a stale id is ignored.
//! * Payload never enters: a block's bytes stay with the driver under a [`PayloadId`].
#![forbid(unsafe_code)]

pub mod address;
pub mod announce;
pub mod audit;
pub mod beacon;
pub mod block_set;
pub mod choker;
pub mod command;
pub mod config;
pub mod cutting;
pub mod cx;
pub mod dht;
pub mod door;
pub mod event;
pub mod extension;
mod hearing;
pub mod ids;
pub mod input;
pub mod lsd;
pub mod metadata;
pub mod misbehaviour;
pub mod output;
pub mod pairing;
pub mod peer;
pub mod pieces;
pub mod pool;
pub mod rate;
pub mod resume;
pub mod rng;
mod seldom;
pub mod session;
pub mod share;
pub mod sorted;
pub mod stats;
mod tight;
pub mod time;
pub mod timers;
pub mod torrent;
pub mod trace;
pub mod tracker;

pub use block_set::BlockSet;
pub use command::{AddMagnet, AddTorrent, Command, Lease, Priority};
pub use config::Config;
pub use event::Event;
pub use ids::{
    AnnounceId, Attempt, DialId, Epoch, FetchId, LinkId, PayloadId, PeerKey, ScrapeId, SendToken, TorrentId,
};
pub use input::{DiskError, DiskErrorKind, Input};
pub use misbehaviour::PeerMisbehaved;
pub use output::{DialHints, Outbox, Output};
pub use resume::ResumeRecord;
pub use rng::{Rng, Seed};
pub use session::Session;
pub use time::{Duration, Instant};
