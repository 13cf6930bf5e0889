//! What the driver itself must know of each torrent: what it is and where it goes.

use crate::client::magnet::Pending;
use crate::disk::spec::{ContentSpec, WantedFiles};
use crate::state::Claim;
use proto::TorrentId;
use std::collections::HashMap;
use std::sync::Arc;
use wire::{InfoHash, Layout, Metainfo, mse};

/// One torrent of this loop.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Its name in the world.
    pub(crate) info_hash: InfoHash,
    /// Where it goes, and its metainfo, as soon as that is here.
    pub(crate) spec: Option<ContentSpec>,
    /// What is to be done when it comes.
    pub(crate) pending: Option<Arc<Pending>>,
    /// Which files may be created.
    pub(crate) wanted: WantedFiles,
    /// No other process runs it while we hold this. What is lent needs none, for nothing of it is remembered.
    pub(crate) claim: Option<Claim>,
}

impl Entry {
    /// What it is, if that is known.
    pub(crate) fn metainfo(&self) -> Option<&Metainfo> {
        self.spec.as_ref().map(|spec| &**spec.metainfo())
    }
}

/// All torrents of one loop.
#[derive(Debug, Default)]
pub(crate) struct Torrents {
    entries: HashMap<TorrentId, Entry>,
    by_hash: HashMap<InfoHash, TorrentId>,
    /// What stands for each info-hash in encrypted handshakes.
    by_mse_key: HashMap<[u8; 20], InfoHash>,
}

impl Torrents {
    /// Takes a torrent in.
    pub(crate) fn add(&mut self, torrent: TorrentId, entry: Entry) {
        let info_hash = entry.info_hash;
        self.by_hash.insert(info_hash, torrent);
        self.by_mse_key.insert(mse::torrent_key(&info_hash), info_hash);
        self.entries.insert(torrent, entry);
    }

    /// Takes a torrent out.
    pub(crate) fn remove(&mut self, torrent: TorrentId) -> Option<Entry> {
        let entry = self.entries.remove(&torrent)?;
        let info_hash = entry.info_hash;
        self.by_hash.remove(&info_hash);
        self.by_mse_key.remove(&mse::torrent_key(&info_hash));
        Some(entry)
    }

    /// The torrent of this name.
    pub(crate) fn get(&self, torrent: TorrentId) -> Option<&Entry> {
        self.entries.get(&torrent)
    }

    /// The torrent of this name, to be changed.
    pub(crate) fn get_mut(&mut self, torrent: TorrentId) -> Option<&mut Entry> {
        self.entries.get_mut(&torrent)
    }

    /// The torrent that a peer's handshake names.
    pub(crate) fn by_hash(&self, info_hash: InfoHash) -> Option<TorrentId> {
        self.by_hash.get(&info_hash).copied()
    }

    /// The info-hash that a peer's encrypted handshake stands for.
    pub(crate) fn by_mse_key(&self, key: &[u8; 20]) -> Option<InfoHash> {
        self.by_mse_key.get(key).copied()
    }

    /// The names of all.
    pub(crate) fn ids(&self) -> impl Iterator<Item = TorrentId> + '_ {
        self.entries.keys().copied()
    }

    /// Its pieces and blocks, if they are known.
    pub(crate) fn layout(&self, torrent: TorrentId) -> Option<&Layout> {
        Some(&self.entries.get(&torrent)?.metainfo()?.layout)
    }
}
