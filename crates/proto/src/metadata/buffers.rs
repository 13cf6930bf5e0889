//! Which pieces of which claimed size have come, and from whom. The bytes are the driver's; here is one bit for each.
//!
//! Invariants: a size has an entry only once a piece of it came or it failed; at most [`BUFFERED_SIZES_MAX`] sizes hold
//! pieces, together at most [`BUFFERED_BYTES_MAX`].

use super::Giver;
use std::collections::{BTreeMap, BTreeSet};
use wire::metadata::{METADATA_PIECE_LEN, METADATA_SIZE_MAX, metadata_pieces};

/// Sizes of which pieces are held at once: one that is fetched, and a few that stalled and may go on.
pub const BUFFERED_SIZES_MAX: usize = 4;
/// Bytes of metadata that a torrent holds at once, all sizes together: two of the largest.
pub const BUFFERED_BYTES_MAX: u64 = 2 * METADATA_SIZE_MAX as u64;
/// Sizes whose failures are remembered: liars can claim more, but then each costs them a whole.
const FAILURES_MAX: usize = 64;

/// What has come of each size.
#[derive(Clone, Debug, Default)]
pub(super) struct Buffers {
    held: BTreeMap<u32, Held>,
    failures: BTreeMap<u32, u32>,
    /// To be thrown away by the driver.
    discarded: Vec<u32>,
}

/// The pieces of one size.
#[derive(Clone, Debug, Default)]
struct Held {
    pieces: BTreeSet<u32>,
    givers: BTreeSet<Giver>,
    /// No piece below this one is missing.
    whole_to: u32,
}

impl Buffers {
    /// Takes a piece in; says whether it is new and there is room. All of the `current` size has its room, whatever comes of
    /// others: late answers would else take it, and what is fetched would be thrown away and asked for again for ever.
    pub(super) fn put(&mut self, size: u32, piece: u32, from: Giver, current: Option<u32>) -> bool {
        let reserved = current.filter(|&current| current != size);
        let others = self.held.keys().filter(|&&other| Some(other) != reserved && other != size).count();
        let kept_free = reserved.map_or(0, |current| metadata_pieces(current) - self.count(current));
        let pieces = u64::from(self.held()) + u64::from(kept_free) + 1;
        let full = pieces * u64::from(METADATA_PIECE_LEN) > BUFFERED_BYTES_MAX;
        let crowded = others + usize::from(reserved.is_some()) >= BUFFERED_SIZES_MAX;
        if full || crowded {
            return false;
        }
        let held = self.held.entry(size).or_default();
        let new = held.pieces.insert(piece);
        if new {
            held.givers.insert(from);
            while held.pieces.contains(&held.whole_to) {
                held.whole_to += 1;
            }
        }
        new
    }

    /// How many pieces of this size are here.
    pub(super) fn count(&self, size: u32) -> u32 {
        self.held.get(&size).map_or(0, |held| held.pieces.len() as u32)
    }

    /// How many pieces are here in all.
    pub(super) fn held(&self) -> u32 {
        self.held.values().map(|held| held.pieces.len() as u32).sum()
    }

    /// The pieces of this size that have not come, in order.
    pub(super) fn missing(&self, size: u32) -> impl Iterator<Item = u32> + '_ {
        let held = self.held.get(&size);
        let from = held.map_or(0, |held| held.whole_to);
        let here = move |piece: &u32| held.is_some_and(|held| held.pieces.contains(piece));
        (from..metadata_pieces(size)).filter(move |piece| !here(piece))
    }

    /// How often all of this size was there and wrong.
    pub(super) fn failures(&self, size: u32) -> u32 {
        self.failures.get(&size).copied().unwrap_or(0)
    }

    /// All of this size was there and wrong; says who gave it.
    pub(super) fn failed(&mut self, size: u32) -> Vec<Giver> {
        let held = self.held.remove(&size);
        self.discarded.push(size);
        if self.failures.len() >= FAILURES_MAX && !self.failures.contains_key(&size) {
            self.failures.pop_first();
        }
        let count = self.failures.entry(size).or_default();
        *count = count.saturating_add(1);
        held.map(|held| held.givers.into_iter().collect()).unwrap_or_default()
    }

    /// Begins anew with this size.
    pub(super) fn clear(&mut self, size: u32) {
        if self.held.remove(&size).is_some() {
            self.discarded.push(size);
        }
    }

    /// Sees to it that all of this size can be held: others give way, those of which least is there first.
    pub(super) fn make_room(&mut self, size: u32) {
        loop {
            let others = self.held.iter().filter(|&(&other, _)| other != size);
            let theirs: u64 = others.clone().map(|(_, held)| held.pieces.len() as u64).sum();
            let wanted = (theirs + u64::from(metadata_pieces(size))) * u64::from(METADATA_PIECE_LEN);
            let fits = wanted <= BUFFERED_BYTES_MAX && others.clone().count() < BUFFERED_SIZES_MAX;
            let least = others.min_by_key(|(_, held)| held.pieces.len()).map(|(&other, _)| other);
            match least {
                Some(other) if !fits => self.clear(other),
                Some(_) | None => return,
            }
        }
    }

    /// The sizes of which pieces are here.
    pub(super) fn sizes(&self) -> impl Iterator<Item = u32> + '_ {
        self.held.keys().copied()
    }

    /// Sizes that the driver may throw away.
    pub(super) fn take_discarded(&mut self) -> Vec<u32> {
        core::mem::take(&mut self.discarded)
    }
}
