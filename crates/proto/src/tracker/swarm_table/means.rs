//! What the parts of a table act with: clock, chance, key and books. One of each per table, handed down by reference.

use super::clock::Clock;
use super::keyed::Key;
use super::rows::Heap;
use crate::{Rng, Seed};

/// Time, chance, key, books.
#[derive(Clone, Debug)]
pub(super) struct Means {
    pub(super) clock: Clock,
    pub(super) rng: Rng,
    pub(super) key: Key,
    pub(super) books: Books,
}

/// How much is kept, and how much may be.
#[derive(Clone, Debug)]
pub(super) struct Books {
    /// Peers in all swarms.
    pub(super) peers: u32,
    pub(super) peers_max: u32,
    /// Bytes allocated for swarms and peers.
    pub(super) heap: Heap,
}

impl Means {
    pub(super) fn new(clock: Clock, peers_max: u32, seed: Seed) -> Means {
        let key = Key::new(&mut Rng::new(seed));
        // Answers show what was drawn, and this generator can be wound back: so it does not come from where the key does.
        let rng = Rng::new(Seed(key.hash([seed.0])));
        Means { clock, rng, key, books: Books { peers: 0, peers_max, heap: Heap::default() } }
    }
}

impl Books {
    /// A peer would like to be kept that was not. Says whether there is room, and then counts it.
    pub(super) fn admit(&mut self) -> bool {
        let room = self.has_room();
        self.peers += u32::from(room);
        room
    }

    /// Whether one more peer may be kept.
    pub(super) fn has_room(&self) -> bool {
        self.peers < self.peers_max
    }

    /// Everything is given back at once.
    pub(super) fn clear(&mut self) {
        (self.peers, self.heap) = (0, Heap::default());
    }

    /// A peer is no longer kept.
    pub(super) fn forget(&mut self) {
        self.peers = self.peers.saturating_sub(1);
    }
}
