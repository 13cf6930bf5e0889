//! Torrents that are lent: seeded out of files as they lie, for as long as the client runs.

use super::{AddError, Client, TorrentHandle};
use crate::client::place::Place;
use crate::client::shared::Known;
use crate::disk::spec::{ContentSpec, LentSpec, Misfit, WantedFiles};
use crate::hashing::HashRange;
use crate::net::inbox::Ask;
use crate::net::torrents::Entry;
use crate::state::TorrentOptions;
use proto::{Command, ResumeRecord};
use std::net::SocketAddr;
use std::sync::Arc;
use wire::{Bitfield, Metainfo};

impl Client {
    /// Seeds a torrent whose pieces were hashed just now ([`hash_ranges`](crate::hashing::hash_ranges)) out of these ranges, one for
    /// each of its files, wherever they lie. Nothing is ever written there and nothing is checked again. Several torrents may be lent
    /// out of one file.
    ///
    /// Nothing of it is remembered: it is gone when the client ends. A file that is not as it was (its length and its times
    /// tell) is not read any more: the torrent stops with a `DiskErrorKind::Changed`, as soon as somebody asks for a byte
    /// of it. No link in the paths is followed.
    ///
    /// # Errors
    /// When the bytes are no torrent, the ranges are not its files, it is already here, it is known as one of another swarm, or
    /// the state cannot be read.
    pub fn lend(
        &self,
        torrent: &[u8],
        ranges: Vec<HashRange>,
        peers: Vec<SocketAddr>,
    ) -> Result<TorrentHandle, AddError> {
        let metainfo = Arc::new(Metainfo::parse(torrent)?);
        let (info_hash, pieces) = (metainfo.info_hash, metainfo.layout.pieces());
        let spec =
            LentSpec::new(Arc::clone(&metainfo), ranges).map_err(|misfit| refused(misfit, &metainfo))?;
        self.is_ours(info_hash)?;
        self.keep_secret(metainfo.trackers.iter().flatten().chain(&metainfo.web_seeds))?;
        let place = Some(Place::lent(Arc::clone(&metainfo)));
        let id = self.shared.enter(Known { info_hash, place, options: TorrentOptions::default() })?;
        let all = ResumeRecord { have: Bitfield::full(pieces), open: Vec::new(), uploaded: 0, downloaded: 0 };
        let add = TorrentOptions::default().add(id, metainfo, Some(all), peers);
        let entry = Entry {
            info_hash,
            spec: Some(ContentSpec::Lent(Arc::new(spec))),
            pending: None,
            wanted: WantedFiles::default(),
            claim: None,
        };
        self.asker.ask(Ask::Add(Box::new(Command::Add(Box::new(add))), id, Box::new(entry)));
        Ok(self.handle(id, info_hash))
    }
}

fn refused(misfit: Misfit, metainfo: &Metainfo) -> AddError {
    match misfit {
        Misfit::Count(given) => AddError::Ranges { given, files: metainfo.layout.files() as usize },
        Misfit::File(file) => AddError::Misplaced(file),
    }
}
