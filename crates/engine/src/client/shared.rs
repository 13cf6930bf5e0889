//! What a client, its handles and its loop share: who listens to events, which torrents there are, and the state store.
//!
//! No lock here is held while anything is waited for, but for the store's own, which no network thread takes.

use super::AddError;
use super::place::Place;
use crate::events::EventHub;
use crate::state::{State, TorrentOptions};
use proto::{Priority, TorrentId};
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
    /// Its name in the world.
    pub(crate) info_hash: InfoHash,
    /// What it is, and where its files go, as soon as that is here.
    pub(crate) place: Option<Place>,
    /// What the user set.
    pub(crate) options: TorrentOptions,
}

impl Known {
    fn metainfo(&self) -> Option<&Arc<Metainfo>> {
        self.place.as_ref().map(Place::metainfo)
    }

    /// An error if this place and that of the torrent which was here first have a file in common.
    fn keep_apart(&self, place: &Place) -> Result<(), AddError> {
        self.place.as_ref().map_or(Ok(()), |first| place.keep_apart(first))
    }
}

impl Registry {
    /// An error if a torrent of ours has a file there.
    fn keep_apart(&self, place: &Place) -> Result<(), AddError> {
        self.slots
            .iter()
            .filter_map(|(_, known)| known.as_ref())
            .try_for_each(|known| known.keep_apart(place))
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
        let info_hash = known.info_hash;
        if registry.by_hash.contains_key(&info_hash) {
            return Err(AddError::Known(info_hash));
        }
        if let Some(place) = &known.place {
            registry.keep_apart(place)?;
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
        registry.by_hash.remove(&known.info_hash);
        Some(known)
    }

    /// All torrents.
    pub(crate) fn torrents(&self) -> Vec<(TorrentId, InfoHash)> {
        let registry = self.registry();
        let named = registry.slots.iter().enumerate().filter_map(|(slot, (generation, known))| {
            let id = TorrentId { slot: slot as u32, generation: *generation };
            Some((id, known.as_ref()?.info_hash))
        });
        named.collect()
    }

    /// Changes what the user set, and remembers it, unless the torrent is lent and nothing of it is remembered.
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
        if changed.place.as_ref().is_some_and(Place::is_lent) {
            return;
        }
        if let Err(error) = self.state.set_options(changed.info_hash, &changed.options) {
            tracing::warn!(%error, "a setting holds until the client stops, but is not remembered");
        }
    }

    /// What a torrent is, if that is known.
    pub(crate) fn metainfo(&self, torrent: TorrentId) -> Option<Arc<Metainfo>> {
        let registry = self.registry();
        let (generation, known) = registry.slots.get(torrent.slot as usize)?;
        let known = known.as_ref().filter(|_| *generation == torrent.generation)?;
        known.metainfo().map(Arc::clone)
    }

    /// A torrent's metadata has come: where its files go is known now. An error if another torrent has a file there.
    pub(crate) fn learnt(
        &self,
        torrent: TorrentId,
        place: Place,
        priorities: &[Priority],
    ) -> Result<(), AddError> {
        let mut registry = self.registry();
        registry.keep_apart(&place)?;
        match registry.slots.get_mut(torrent.slot as usize) {
            Some((generation, Some(known))) if *generation == torrent.generation => {
                known.place = Some(place);
                known.options.priorities = priorities.into();
                Ok(())
            }
            // It was removed meanwhile; nobody hears of this.
            Some(_) | None => Err(AddError::Stopped),
        }
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
