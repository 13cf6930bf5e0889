//! Torrents that begin with a magnet link: what is remembered of the link until the metadata has come from peers, and what is
//! made of that then.
//!
//! Invariant: metadata is in the state store before the session hears of it, so that a restart needs no peer for it.
//! BEP: 9, 53

use super::asking::{CheckRoom, ChooseFiles, Prospect};
use super::place::Place;
use super::shared::Shared;
use super::{AddError, Entrance};
use crate::Allocation;
use crate::disk::spec::WantedFiles;
use proto::input::{MetadataFailure, Refusal};
use proto::{Priority, TorrentId};
use sha1::{Digest, Sha1};
use std::path::PathBuf;
use std::sync::Arc;
use wire::magnet::{MAGNET_PEERS_MAX, MAGNET_TRACKERS_MAX, MAGNET_WEB_SEEDS_MAX};
use wire::metainfo::{TRACKERS_MAX, WEB_SEEDS_MAX};
use wire::{InfoHash, Magnet, Metainfo};

/// What is to be done when the metadata comes.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    /// The link.
    pub(crate) magnet: Magnet,
    /// Which files, if the link's own selection is not to decide.
    pub(crate) choose: Option<ChooseFiles>,
    /// Whether there is room, if anybody wants to be asked.
    pub(crate) room: Option<CheckRoom>,
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
    let mut metainfo =
        Metainfo::from_info(info).map_err(|error| MetadataFailure::Unusable(error.to_string().into()))?;
    metainfo.trackers = pending.magnet.trackers.iter().map(|url| vec![url.clone()]).collect();
    metainfo.web_seeds.clone_from(&pending.magnet.web_seeds);
    let metainfo = Arc::new(metainfo);
    let priorities = pending.priorities(&metainfo).map_err(|why| refused(&AddError::Choice(why)))?;
    let entrance = Entrance::open(shared).map_err(|error| refused(&error))?;
    let place = Place::new(Arc::clone(&metainfo), &pending.root, &[]);
    let apart = entrance.others.iter().try_for_each(|other| place.keep_apart(other));
    apart.map_err(|error| refused(&error))?;
    if let Some(room) = &pending.room {
        // Nothing of it was ever fetched, so no record says what is there.
        let (root, have) = (&*pending.root, None);
        let asked = room.ask(Prospect { metainfo: &metainfo, priorities: &priorities, root, have });
        asked.map_err(|why| refused(&AddError::Room(why)))?;
    }
    shared.learnt(torrent, place, &priorities).map_err(|error| refused(&error))?;
    if let Err(error) = shared.state.set_metainfo(info_hash, &metainfo.to_torrent(), &priorities) {
        tracing::warn!(%error, "the metadata is not remembered: after a restart it is fetched again");
    }
    let wanted = WantedFiles::from_priorities(&priorities);
    Ok(Known { metainfo, priorities, wanted })
}

/// Why a torrent that is sound does not begin: as it would have been said if all had been known from the start.
fn refused(error: &AddError) -> MetadataFailure {
    let refusal = match error {
        AddError::Choice(_) | AddError::Priorities { .. } => Refusal::Choice,
        AddError::SamePlace { .. } => Refusal::Place,
        AddError::Room(_) => Refusal::Room,
        AddError::WouldTell(_)
        | AddError::WouldLookUp(_)
        | AddError::Secret(_)
        | AddError::NotSecret(_)
        | AddError::State(_)
        | AddError::Stopped
        | AddError::Known(_)
        | AddError::Misplaced(_)
        | AddError::Ranges { .. }
        | AddError::Metainfo(_) => Refusal::State,
    };
    MetadataFailure::Refused { refusal, why: error.to_string().into() }
}

/// Adds what a link says to what an earlier run knows of the torrent: trackers that are new, each a tier of its own behind the
/// others, and web seeds. A private torrent keeps to the trackers that it has (BEP 27), if it has any: a stranger's link must
/// not show its peers to others. Says whether anything was new.
pub(super) fn merge(metainfo: &mut Metainfo, magnet: &Magnet) -> bool {
    if metainfo.private && !metainfo.trackers.is_empty() {
        return false;
    }
    let mut known: Vec<&str> = metainfo.trackers.iter().flatten().map(String::as_str).collect();
    let mut added: Vec<Vec<String>> = Vec::new();
    for url in &magnet.trackers {
        if known.len() < TRACKERS_MAX && !known.contains(&url.as_str()) {
            known.push(url);
            added.push(vec![url.clone()]);
        }
    }
    let before = metainfo.web_seeds.len();
    for url in &magnet.web_seeds {
        if metainfo.web_seeds.len() < WEB_SEEDS_MAX && !metainfo.web_seeds.contains(url) {
            metainfo.web_seeds.push(url.clone());
        }
    }
    let new = !added.is_empty() || metainfo.web_seeds.len() > before;
    metainfo.trackers.extend(added);
    new
}

/// Adds where an earlier link said that the torrent is to be found, behind what this one says.
pub(super) fn merge_links(magnet: &mut Magnet, earlier: Magnet) {
    fn put<T: PartialEq>(to: &mut Vec<T>, from: Vec<T>, max: usize) {
        for new in from {
            if to.len() < max && !to.contains(&new) {
                to.push(new);
            }
        }
    }
    put(&mut magnet.trackers, earlier.trackers, MAGNET_TRACKERS_MAX);
    put(&mut magnet.web_seeds, earlier.web_seeds, MAGNET_WEB_SEEDS_MAX);
    put(&mut magnet.peers, earlier.peers, MAGNET_PEERS_MAX);
    if magnet.name.is_none() {
        magnet.name = earlier.name;
    }
    if magnet.publisher.is_none() {
        magnet.publisher = earlier.publisher;
    }
}

impl Pending {
    /// One per file; empty means all.
    pub(super) fn priorities(&self, metainfo: &Metainfo) -> Result<Box<[Priority]>, String> {
        let files = metainfo.layout.files() as usize;
        if let Some(choose) = &self.choose {
            let chosen = choose.ask(metainfo)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use wire::item::PublicKey;
    use wire::magnet::{PeerHint, Publisher};
    use wire::metainfo::MetainfoBuilder;

    const URL: fn(usize) -> String = |number| format!("http://{number}.example/announce");

    fn known(trackers: usize, web_seeds: usize, private: bool) -> Metainfo {
        let builder = MetainfoBuilder::single("a", 1, 16_384).private(private);
        let builder = builder.trackers((0..trackers).map(|number| vec![URL(number)]).collect());
        builder.web_seeds((0..web_seeds).map(URL).collect()).build(&[[1; 20]]).unwrap().1
    }

    fn link(to: &Metainfo, urls: core::ops::Range<usize>) -> Magnet {
        let urls: Vec<String> = urls.map(URL).collect();
        Magnet { trackers: urls.clone(), web_seeds: urls, ..Magnet::new(to.info_hash) }
    }

    #[test]
    fn a_link_adds_each_new_address_once_and_never_more_than_the_bounds() {
        // Trackers and web seeds before, those of the link, and how many there are then.
        for (before, urls, trackers, seeds, new) in [
            (0, 0..3, 3, 3, true),
            (2, 0..2, 2, 2, false),
            (2, 1..4, 4, 4, true),
            (0, 0..0, 0, 0, false),
            (WEB_SEEDS_MAX, 50..150, 150, WEB_SEEDS_MAX, true),
        ] {
            let mut metainfo = known(before, before, false);
            let magnet = link(&metainfo, urls.clone());
            assert_eq!(merge(&mut metainfo, &magnet), new, "{before} and {urls:?}");
            let flat: Vec<&String> = metainfo.trackers.iter().flatten().collect();
            assert_eq!((flat.len(), metainfo.web_seeds.len()), (trackers, seeds), "{before} and {urls:?}");
            assert_eq!(flat, (0..trackers).map(URL).collect::<Vec<_>>().iter().collect::<Vec<_>>());
            let again = Metainfo::parse_stored(&metainfo.to_torrent()).unwrap();
            assert_eq!((&again.trackers, &again.web_seeds), (&metainfo.trackers, &metainfo.web_seeds));
        }
        let mut full = known(TRACKERS_MAX - 1, 0, false);
        let magnet = link(&full, TRACKERS_MAX..TRACKERS_MAX + 5);
        assert!(merge(&mut full, &magnet) && full.trackers.len() == TRACKERS_MAX);
    }

    #[test]
    fn a_private_torrent_keeps_to_the_trackers_it_has() {
        let mut private = known(1, 0, true);
        let magnet = link(&private, 0..3);
        assert!(!merge(&mut private, &magnet));
        assert_eq!((private.trackers.len(), private.web_seeds.len()), (1, 0));
        let mut lost = known(0, 0, true);
        assert!(merge(&mut lost, &magnet), "one without any has no other way to its peers");
        assert_eq!(lost.trackers.len(), 3);
    }

    #[test]
    fn what_an_earlier_link_said_comes_behind_what_this_one_says() {
        let metainfo = known(0, 0, false);
        let hint = |last: u8| PeerHint::Address(([192, 0, 2, last], 6881).into());
        let publisher = |first| Publisher { key: PublicKey([first; 32]), salt: Box::default() };
        let mut earlier = Magnet { peers: vec![hint(1), hint(2)], ..link(&metainfo, 0..3) };
        earlier.publisher = Some(publisher(1));
        let mut magnet = Magnet { peers: vec![hint(2), hint(3)], ..link(&metainfo, 2..5) };
        merge_links(&mut magnet, earlier.clone());
        assert_eq!(magnet.publisher, earlier.publisher, "who publishes it is not forgotten");
        let newer = Some(publisher(2));
        let mut other = Magnet { publisher: newer.clone(), ..magnet.clone() };
        merge_links(&mut other, earlier);
        assert_eq!(other.publisher, newer);
        assert_eq!(magnet.trackers, [2, 3, 4, 0, 1].map(URL));
        assert_eq!(magnet.web_seeds, [2, 3, 4, 0, 1].map(URL));
        assert_eq!(magnet.peers, [hint(2), hint(3), hint(1)]);
    }
}
