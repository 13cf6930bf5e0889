//! What a client, its handles and its loop share: who listens to events, which torrents there are, and the state store.
//!
//! No lock here is held while anything is waited for, but for the store's own, which no network thread takes.

use super::AddError;
use super::place::Place;
use crate::events::EventHub;
use crate::state::{State, TorrentOptions};
use proto::TorrentId;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wire::{InfoHash, Metainfo};

/// What they share.
pub(crate) struct Shared {
    /// Who is told what happens.
    pub(crate) events: EventHub,
    /// What survives a restart.
    pub(crate) state: Arc<State>,
    registry: Mutex<Registry>,
}

/// Which torrents there are, by name of the seam and by info-hash.
#[derive(Default)]
struct Registry {
    slots: Vec<(u32, Option<Known>)>,
    by_hash: BTreeMap<InfoHash, TorrentId>,
}

/// What the client itself remembers of a torrent.
#[derive(Clone)]
pub(crate) struct Known {
    /// What it is, and where its files go.
    pub(crate) place: Place,
    /// What the user set.
    pub(crate) options: TorrentOptions,
}

impl Known {
    fn metainfo(&self) -> &Arc<Metainfo> {
        self.place.metainfo()
    }
}

impl Shared {
    /// Nothing yet.
    pub(crate) fn new(state: Arc<State>) -> Shared {
        Shared { events: EventHub::default(), state, registry: Mutex::default() }
    }

    /// Gives a torrent its name; an error if this client has it already, or another one with the same files.
    pub(crate) fn enter(&self, known: Known) -> Result<TorrentId, AddError> {
        let mut registry = self.registry();
        let info_hash = known.metainfo().info_hash;
        if registry.by_hash.contains_key(&info_hash) {
            return Err(AddError::Known(info_hash));
        }
        for (_, first) in &registry.slots {
            first.as_ref().map_or(Ok(()), |first| known.place.keep_apart(&first.place))?;
        }
        let slot = registry.slots.iter().position(|(_, known)| known.is_none()).unwrap_or_else(|| {
            registry.slots.push((0, None));
            registry.slots.len() - 1
        });
        let (generation, place) = &mut registry.slots[slot];
        *place = Some(known);
        let id = TorrentId { slot: slot as u32, generation: *generation };
        registry.by_hash.insert(info_hash, id);
        Ok(id)
    }

    /// Whether this client has it.
    pub(crate) fn has(&self, info_hash: InfoHash) -> bool {
        self.registry().by_hash.contains_key(&info_hash)
    }

    /// A torrent is gone; its name is never used again.
    pub(crate) fn removed(&self, torrent: TorrentId) -> Option<Known> {
        let mut registry = self.registry();
        let (generation, place) = registry.slots.get_mut(torrent.slot as usize)?;
        let known = if *generation == torrent.generation { place.take()? } else { return None };
        *generation = generation.wrapping_add(1);
        registry.by_hash.remove(&known.metainfo().info_hash);
        Some(known)
    }

    /// All torrents.
    pub(crate) fn torrents(&self) -> Vec<(TorrentId, Arc<Metainfo>)> {
        let registry = self.registry();
        let named = registry.slots.iter().enumerate().filter_map(|(slot, (generation, known))| {
            let id = TorrentId { slot: slot as u32, generation: *generation };
            Some((id, Arc::clone(known.as_ref()?.metainfo())))
        });
        named.collect()
    }

    /// Changes what the user set, and remembers it.
    pub(crate) fn change(&self, torrent: TorrentId, change: impl FnOnce(&mut TorrentOptions)) {
        let changed = {
            let mut registry = self.registry();
            let known = match registry.slots.get_mut(torrent.slot as usize) {
                Some((generation, Some(known))) if *generation == torrent.generation => known,
                Some(_) | None => return,
            };
            change(&mut known.options);
            known.clone()
        };
        if let Err(error) = self.state.set_options(changed.metainfo().info_hash, &changed.options) {
            tracing::warn!(%error, "a setting holds until the client stops, but is not remembered");
        }
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
