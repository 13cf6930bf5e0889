//! Torrents that begin with a magnet link: what is remembered of the link until the metadata has come from peers, and what is
//! made of that then.
//!
//! Invariant: metadata is in the state store before the session hears of it, so that a restart needs no peer for it.
//! BEP: 9, 53

use super::Entrance;
use super::place::Place;
use super::shared::Shared;
use crate::Allocation;
use crate::disk::spec::WantedFiles;
use proto::input::MetadataFailure;
use proto::{Priority, TorrentId};
use sha1::{Digest, Sha1};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use wire::{InfoHash, Magnet, Metainfo};

/// Says which files are wanted, as soon as it is known which there are: one priority for each, or none if all are.
#[derive(Clone)]
pub struct ChooseFiles(Arc<Choose>);

type Choose = dyn Fn(&Metainfo) -> Result<Vec<Priority>, String> + Send + Sync;

impl ChooseFiles {
    /// Asks this function. Its error, a text for the user, stops the torrent.
    pub fn by(
        choose: impl Fn(&Metainfo) -> Result<Vec<Priority>, String> + Send + Sync + 'static,
    ) -> ChooseFiles {
        ChooseFiles(Arc::new(choose))
    }
}

impl fmt::Debug for ChooseFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChooseFiles")
    }
}

/// What is to be done when the metadata comes.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    /// The link.
    pub(crate) magnet: Magnet,
    /// Which files, if the link's own selection is not to decide.
    pub(crate) choose: Option<ChooseFiles>,
    /// Where the files go.
    pub(crate) root: PathBuf,
    /// How room for them is made.
    pub(crate) allocation: Allocation,
}

/// A torrent whose metadata has come.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) metainfo: Arc<Metainfo>,
    pub(crate) priorities: Box<[Priority]>,
    pub(crate) wanted: WantedFiles,
}

/// Looks at what peers sent, and remembers it if it is what the link named.
pub(crate) fn learn(
    shared: &Shared,
    torrent: TorrentId,
    info_hash: InfoHash,
    pending: &Pending,
    info: &[u8],
) -> Result<Known, MetadataFailure> {
    if Sha1::digest(info).as_slice() != info_hash.0 {
        return Err(MetadataFailure::WrongHash);
    }
    let unusable = |why: String| MetadataFailure::Unusable(why.into());
    let mut metainfo = Metainfo::from_info(info).map_err(|error| unusable(error.to_string()))?;
    metainfo.trackers = pending.magnet.trackers.iter().map(|url| vec![url.clone()]).collect();
    metainfo.web_seeds.clone_from(&pending.magnet.web_seeds);
    let metainfo = Arc::new(metainfo);
    let priorities = pending.priorities(&metainfo).map_err(unusable)?;
    let place = Place::new(Arc::clone(&metainfo), &pending.root);
    let entrance = Entrance::open(shared).map_err(|error| unusable(error.to_string()))?;
    let apart = entrance.others.iter().try_for_each(|other| place.keep_apart(other));
    apart.map_err(|error| unusable(error.to_string()))?;
    shared.learnt(torrent, place, &priorities).map_err(|error| unusable(error.to_string()))?;
    if let Err(error) = shared.state.set_metainfo(info_hash, &metainfo.to_torrent(), &priorities) {
        tracing::warn!(%error, "the metadata is not remembered: after a restart it is fetched again");
    }
    let wanted = WantedFiles::from_priorities(&priorities);
    Ok(Known { metainfo, priorities, wanted })
}

impl Pending {
    /// One per file; empty means all.
    pub(super) fn priorities(&self, metainfo: &Metainfo) -> Result<Box<[Priority]>, String> {
        let files = metainfo.layout.files() as usize;
        if let Some(ChooseFiles(choose)) = &self.choose {
            let chosen = choose(metainfo)?;
            return match chosen.len() {
                given if given == 0 || given == files => Ok(chosen.into()),
                given => Err(format!("{given} priorities for {files} files")),
            };
        }
        let Some(selection) = &self.magnet.selection else { return Ok(Box::default()) };
        let priority = |file| if selection.has(file) { Priority::Normal } else { Priority::Skip };
        let chosen: Box<[Priority]> = metainfo.layout.file_indices().map(priority).collect();
        if chosen.iter().all(|&priority| priority == Priority::Skip) {
            tracing::warn!("the link selects no file that the torrent has: all are wanted");
            return Ok(Box::default());
        }
        Ok(chosen)
    }
}
