//! One torrent in the user's hand: questions and wishes, answered by the loop.

use super::shared::Shared;
use crate::disk::spec::WantedFiles;
use crate::net::LinkedPeer;
use crate::net::inbox::{Ask, Asker};
use crate::reply::{Answer, Reply};
use proto::command::SeedGoal;
use proto::stats::{TorrentStats, TrackerStats, WebSeedStats};
use proto::{Command, Priority, TorrentId};
use std::net::SocketAddr;
use std::sync::Arc;
use wire::{Bitfield, InfoHash, Metainfo};

/// A torrent of a [`Client`](crate::Client). Cheap to clone; outlives the torrent harmlessly: wishes are then ignored, and
/// answers do not come.
///
/// What changes a setting also writes it to the state store, and so may take as long as a sync of its disk.
#[derive(Clone)]
pub struct TorrentHandle {
    id: TorrentId,
    info_hash: InfoHash,
    asker: Asker,
    shared: Arc<Shared>,
}

impl TorrentHandle {
    pub(super) fn new(
        id: TorrentId,
        info_hash: InfoHash,
        asker: Asker,
        shared: Arc<Shared>,
    ) -> TorrentHandle {
        TorrentHandle { id, info_hash, asker, shared }
    }

    /// Its name in events.
    pub fn id(&self) -> TorrentId {
        self.id
    }

    /// Its name in the world.
    pub fn info_hash(&self) -> InfoHash {
        self.info_hash
    }

    /// What it is; `None` until the metadata of a torrent that began with a magnet link has come
    /// (`Event::MetadataReceived`).
    pub fn metainfo(&self) -> Option<Arc<Metainfo>> {
        self.shared.metainfo(self.id)
    }

    /// How it stands.
    pub fn stats(&self) -> Reply<TorrentStats> {
        self.question(|answer| Ask::Stats(self.id, answer))
    }

    /// The linked peers.
    pub fn peers(&self) -> Reply<Vec<LinkedPeer>> {
        self.question(|answer| Ask::Peers(self.id, answer))
    }

    /// The trackers, all tiers in order.
    pub fn trackers(&self) -> Reply<Vec<TrackerStats>> {
        self.question(|answer| Ask::Trackers(self.id, answer))
    }

    /// The web seeds (BEP 19), as the torrent lists them.
    pub fn web_seeds(&self) -> Reply<Vec<WebSeedStats>> {
        self.question(|answer| Ask::WebSeeds(self.id, answer))
    }

    /// The verified pieces.
    pub fn have(&self) -> Reply<Bitfield> {
        self.question(|answer| Ask::Have(self.id, answer))
    }

    /// Stops all traffic; data and place are kept.
    pub fn pause(&self) {
        self.shared.change(self.id, |options| options.paused = true);
        self.command(Command::Pause(self.id));
    }

    /// Goes on after a pause or a failure.
    pub fn resume(&self) {
        self.shared.change(self.id, |options| options.paused = false);
        self.command(Command::Resume(self.id));
    }

    /// Leaves the swarm and forgets the torrent; its files stay. Ends in `Event::Removed`.
    pub fn remove(&self) {
        self.command(Command::Remove(self.id));
    }

    /// Checks all data on disk against the hashes.
    pub fn recheck(&self) {
        self.command(Command::Recheck(self.id));
    }

    /// Which files to fetch and how eagerly: one priority for each file. A list of another length is ignored, and
    /// so is any while it is not known which files there are.
    pub fn set_priorities(&self, priorities: &[Priority]) {
        let files = self.metainfo().map_or(0, |metainfo| metainfo.layout.files());
        if files == 0 || priorities.len() != files as usize {
            return;
        }
        self.shared.change(self.id, |options| options.priorities = priorities.into());
        let command = Command::SetPriorities(self.id, priorities.into());
        self.asker.ask(Ask::SetWanted(self.id, WantedFiles::from_priorities(priorities), command));
    }

    /// Fetches pieces in order, or rarest first.
    pub fn set_sequential(&self, sequential: bool) {
        self.shared.change(self.id, |options| options.sequential = sequential);
        self.command(Command::SetSequential(self.id, sequential));
    }

    /// When to stop seeding.
    pub fn set_seed_goal(&self, goal: SeedGoal) {
        self.shared.change(self.id, |options| options.seed_goal = goal);
        self.command(Command::SetSeedGoal(self.id, goal));
    }

    /// Peers that the user knows of.
    pub fn add_peers(&self, peers: Vec<SocketAddr>) {
        self.command(Command::AddPeers(self.id, peers));
    }

    /// Asks the trackers now, as far as they allow.
    pub fn reannounce(&self) {
        self.command(Command::Reannounce(self.id));
    }

    fn command(&self, command: Command) {
        self.asker.ask(Ask::Command(command));
    }

    fn question<T>(&self, ask: impl FnOnce(Answer<T>) -> Ask) -> Reply<T> {
        let (answer, reply) = Answer::pair();
        self.asker.ask(ask(answer));
        reply
    }
}

impl std::fmt::Debug for TorrentHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TorrentHandle({:?}, {})", self.id, self.info_hash)
    }
}
