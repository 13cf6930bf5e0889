//! What the parts of a table act with: clock, chance, key and books. One of each per table, handed down by reference.

use super::clock::Clock;
use super::entry::Entry;
use super::keyed::Key;
use super::networks::Networks;
use super::rows::Heap;
use crate::{Rng, Seed};

/// Time, chance, key, books.
#[derive(Clone, Debug)]
pub(super) struct Means {
    pub(super) clock: Clock,
    pub(super) rng: Rng,
    pub(super) key: Key,
    pub(super) books: Books,
    /// Bytes allocated for swarms and peers.
    pub(super) heap: Heap,
}

/// Which peers are kept, and how many may be.
#[derive(Clone, Debug)]
pub(super) struct Books {
    peers: u32,
    peers_max: u32,
    networks: Networks,
    key: Key,
}

impl Means {
    pub(super) fn new(clock: Clock, peers_max: u32, seed: Seed) -> Means {
        let key = Key::new(&mut Rng::new(seed));
        // Answers show what was drawn, and this generator can be wound back: so it does not come from where the key does.
        let rng = Rng::new(Seed(key.hash([seed.0])));
        let books = Books { peers: 0, peers_max, networks: Networks::new(), key };
        let heap = books.networks.heap();
        Means { clock, rng, key, books, heap }
    }

    /// Nobody is kept, and nothing is allocated for them any more.
    pub(super) fn clear(&mut self) {
        self.books.peers = 0;
        self.books.networks.clear();
        self.heap = self.books.networks.heap();
    }
}

impl Books {
    /// Peers in all swarms.
    pub(super) fn peers(&self) -> u32 {
        self.peers
    }

    /// Whether there is room for one more peer of this network, if there is room for `swarms` more swarms and it needs one.
    ///
    /// A network may have as much as is free (a dynamic threshold, as switches share their buffers by): far from full that is
    /// everything; one network alone gets half of all, n networks that all want everything get one part in n + 1 each, and there is
    /// always such a part left for the next. What is kept stays kept.
    pub(super) fn has_room(&self, peer: &impl Entry, swarms: u32) -> bool {
        let free = self.peers_max.saturating_sub(self.peers).min(swarms);
        free > 0 && peer.network().is_none_or(|network| self.networks.count(network, self.key) < free)
    }

    /// A peer would like to be kept that was not. Says whether there is room, and then counts it.
    pub(super) fn admit(&mut self, peer: &impl Entry) -> bool {
        let room = self.has_room(peer, u32::MAX);
        if room {
            self.peers += 1;
            if let Some(network) = peer.network() {
                self.networks.add(network, self.key);
            }
        }
        room
    }

    /// A peer is no longer kept.
    pub(super) fn forget(&mut self, peer: &impl Entry) {
        self.peers = self.peers.saturating_sub(1);
        if let Some(network) = peer.network() {
            self.networks.remove(network, self.key);
        }
    }

    /// What the counts of networks add up to, in each row: for tests.
    #[cfg(test)]
    pub(super) fn of_networks(&self) -> [u32; 2] {
        self.networks.sums()
    }
}
