//! All torrents of one loop. Routes inputs to the torrent they are about; decides nothing that a torrent can decide.

use crate::stats::{Demand, PeerStats, TorrentStats, TrackerStats};
use crate::{Config, Input, Instant, Outbox, Seed, TorrentId};
use std::sync::Arc;
use wire::Bitfield;

/// The machine that a driver runs.
pub struct Session {
    _config: Arc<Config>,
}

impl Session {
    /// A session without torrents.
    pub fn new(config: Arc<Config>, _seed: Seed, _now: Instant) -> Session {
        Session { _config: config }
    }

    /// One thing happened at `now`; everything to be done about it is appended to `out`.
    pub fn handle(&mut self, _now: Instant, _input: Input<'_>, _out: &mut Outbox) {}

    /// When to call `handle(now, Input::Wake, ..)` next.
    pub fn next_wake(&self) -> Option<Instant> {
        None
    }

    /// A torrent as it stands.
    pub fn torrent(&self, _torrent: TorrentId) -> Option<TorrentStats> {
        None
    }

    /// The pieces of a torrent that are verified.
    pub fn have(&self, _torrent: TorrentId) -> Option<&Bitfield> {
        None
    }

    /// The linked peers of a torrent.
    pub fn peers(&self, _torrent: TorrentId) -> Vec<PeerStats> {
        Vec::new()
    }

    /// The trackers of a torrent.
    pub fn trackers(&self, _torrent: TorrentId) -> Vec<TrackerStats> {
        Vec::new()
    }

    /// What this session could use.
    pub fn demand(&self) -> Demand {
        Demand::default()
    }
}
