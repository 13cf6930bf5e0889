//! What the user wants, as the driver hands it in.

use crate::{Duration, ResumeRecord, TorrentId};
use core::net::SocketAddr;
use std::sync::Arc;
use wire::{InfoHash, Metainfo};

/// A wish of the user, or of the driver on the user's behalf.
#[derive(Clone, Debug)]
pub enum Command {
    /// Take part in a torrent.
    Add(Box<AddTorrent>),
    /// Take part in a torrent of which only the hash is known: its metadata comes from peers first (BEP 9).
    AddMagnet(Box<AddMagnet>),
    /// Stop all traffic of it, keep its data and place.
    Pause(TorrentId),
    /// Go on after a pause or a failure.
    Resume(TorrentId),
    /// Leave: say goodbye to trackers and peers, make everything durable. Ends in `Event::Removed`.
    Remove(TorrentId),
    /// Check all data against the hashes, as it lies on disk.
    Recheck(TorrentId),
    /// Which files to fetch and how eagerly; one per file of the layout.
    SetPriorities(TorrentId, Box<[Priority]>),
    /// Fetch pieces in order.
    SetSequential(TorrentId, bool),
    /// Peers the user names.
    AddPeers(TorrentId, Vec<SocketAddr>),
    /// Ask the trackers now, as far as their minimum interval allows.
    Reannounce(TorrentId),
    /// When to stop seeding.
    SetSeedGoal(TorrentId, SeedGoal),
    /// This loop's share of the limits that span loops.
    Lease(Lease),
    /// The address family and port under which peers reach us, for announces; the driver knows its sockets.
    Listening(u16),
    /// The port of our node of the DHT (BEP 5), told to peers that have one too; nothing if there is none.
    DhtPort(Option<u16>),
    /// The machine is about to stop: pause everything, tell trackers, make everything durable. Ends in `Event::Stopped`.
    Shutdown,
}

/// A torrent to take part in.
#[derive(Clone, Debug)]
pub struct AddTorrent {
    /// Its name across the seam.
    pub torrent: TorrentId,
    /// What it is.
    pub metainfo: Arc<Metainfo>,
    /// What an earlier run made durable.
    pub resume: Option<ResumeRecord>,
    /// One per file; empty means all `Normal`.
    pub priorities: Box<[Priority]>,
    /// Fetch pieces in order.
    pub sequential: bool,
    /// Do not start by itself.
    pub paused: bool,
    /// Peers the user names.
    pub peers: Vec<SocketAddr>,
    /// When to stop seeding.
    pub seed_goal: SeedGoal,
}

/// A torrent to take part in whose metadata is still to be fetched.
#[derive(Clone, Debug)]
pub struct AddMagnet {
    /// Its name across the seam.
    pub torrent: TorrentId,
    /// What is known of it.
    pub info_hash: InfoHash,
    /// Announce URLs, best first.
    pub trackers: Vec<String>,
    /// Fetch pieces in order, once there are any.
    pub sequential: bool,
    /// Do not start by itself.
    pub paused: bool,
    /// Peers that the user or the link names.
    pub peers: Vec<SocketAddr>,
    /// When to stop seeding.
    pub seed_goal: SeedGoal,
}

/// How eagerly a file is fetched.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Priority {
    /// Not at all.
    Skip,
    /// After everything else.
    Low,
    /// As it comes.
    #[default]
    Normal,
    /// Before everything else.
    High,
}

/// When a finished torrent stops by itself: at whichever comes first; never, if both are absent.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct SeedGoal {
    /// Sent over the size of the wanted content, in thousandths.
    pub ratio_permille: Option<u32>,
    /// Time since completion.
    pub time: Option<Duration>,
}

/// One loop's share of what all loops together may use. Dealt by [`crate::share`] a few times a second.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lease {
    /// Bytes per second out; `None` is without limit.
    pub up: Option<u64>,
    /// Bytes per second in; `None` is without limit.
    pub down: Option<u64>,
    /// Peers unchoked at once, all torrents together.
    pub unchoke_slots: u32,
    /// Links at once, all torrents together.
    pub links: u32,
    /// Bytes of unwritten payload at once: open pieces and pieces being written.
    pub buffer: u64,
}
