//! How many peers have each piece, and the pieces nobody has begun, ordered by that count. Counts; chooses nothing but what
//! "rarest that this peer has" means.
//!
//! Costs: one have is a swap between neighbouring buckets, O(1). A seed is one addition to `base`, whatever the size. A peer that
//! comes or goes costs one swap for each piece it has, or for each piece it lacks, whichever are fewer. Nothing is rebuilt, but that
//! after thousands of seeds `base` is counted into the pieces.
//!
//! Invariant: `base + counts[p]` is the number of peers that have `p`. `base` may be negative: a peer counted piece by piece that
//! leaves as a seed takes one from `base`, and the sum stays right. In each order, pieces lie in buckets of equal count,
//! rarest last, and `positions` says where.

mod audit;

use super::RemotePieces;
use super::narrow::{NONE, Narrow};
use crate::{Priority, Rng};
use wire::{Bitfield, PieceIndex};

/// Pieces looked at in rarest-first order before a peer's own set is searched instead. With a peer that has one piece in ten this
/// fails once in a thousand picks.
const PROBES_MAX: u32 = 64;

/// Candidates compared when a peer's own set is searched.
const CANDIDATES_MAX: u32 = 8;

/// How far `base` may be from 0 before it is counted into the pieces: so counts of at most 10,000 peers fit two bytes.
const BASE_MAX: i32 = 16_000;

/// Peers per piece, and the orders of pieces that can be begun.
#[derive(Clone, Debug)]
pub struct Availability {
    base: i32,
    counts: Box<[i16]>,
    /// Where each piece stands in its order, if it is in one.
    positions: Narrow,
    /// By eagerness: high, normal, low.
    orders: [RarityOrder; 3],
    /// Grows when a piece can be begun again, so that a search that found nothing need not be repeated before.
    epoch: u32,
}

/// Pieces of one priority that can be begun, by key, which is the count negated: the rarest lie last, for there a piece leaves without
/// moving others, and the rarest are what is begun.
#[derive(Clone, Debug, Default)]
struct RarityOrder {
    pieces: Narrow,
    /// Where each bucket starts; the first is 0. Bucket `k` holds the pieces with key `floor + k`.
    starts: Vec<u32>,
    floor: i32,
    /// The same pieces as a set, for searching together with a peer's own.
    set: Bitfield,
    /// No bit of `set` lies in a word below this one.
    low: usize,
}

/// What a search through a peer's own set remembers, one per peer: where to go on, and that there was nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Search {
    word: Option<u32>,
    /// In which epoch there was nothing, by class; [`NEVER`] if there may be something.
    barren_since: [u32; 3],
}

/// No epoch.
const NEVER: u32 = 0;

impl Search {
    /// The peer has a new piece: there may be something after all.
    pub fn refresh(&mut self) {
        self.barren_since = [NEVER; 3];
    }
}

/// Which end of the order to begin at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taste {
    /// For most peers: what may be lost first.
    Rarest,
    /// For slow peers: a rare piece would be stuck with them for long.
    Commonest,
    /// Before we have anything to give: any piece, soon.
    Random,
    /// In order of the content.
    First,
}

impl Availability {
    /// No peers, and no piece that can be begun yet.
    pub fn new(total: u32) -> Availability {
        Availability {
            base: 0,
            counts: vec![0; total as usize].into(),
            positions: Narrow::blank(total),
            orders: Default::default(),
            epoch: NEVER + 1,
        }
    }

    /// How many peers have this piece.
    pub fn of(&self, piece: PieceIndex) -> u32 {
        let count = self.counts.get(piece.as_usize()).copied().unwrap_or_default();
        u32::try_from(self.base + i32::from(count)).unwrap_or(0)
    }

    /// A peer with these pieces came.
    pub fn peer_joined(&mut self, pieces: &RemotePieces, priority_of: impl Fn(PieceIndex) -> Priority) {
        let total = self.counts.len() as u32;
        if pieces.count(total) <= total / 2 {
            pieces.each(total, |piece| self.raise(piece, priority_of(piece)));
        } else {
            self.base += 1;
            pieces.each_lacking(total, |piece| self.lower(piece, priority_of(piece)));
            self.keep_base_small();
        }
    }

    /// A peer with these pieces went.
    pub fn peer_left(&mut self, pieces: &RemotePieces, priority_of: impl Fn(PieceIndex) -> Priority) {
        let total = self.counts.len() as u32;
        if pieces.count(total) <= total / 2 {
            pieces.each(total, |piece| self.lower(piece, priority_of(piece)));
        } else {
            self.base -= 1;
            pieces.each_lacking(total, |piece| self.raise(piece, priority_of(piece)));
            self.keep_base_small();
        }
    }

    /// Peers that came as seeds and leave piece by piece, or the other way round, let `base` drift: once in 16,000 of them all
    /// pieces are counted anew.
    fn keep_base_small(&mut self) {
        if self.base.abs() < BASE_MAX {
            return;
        }
        let base = core::mem::take(&mut self.base);
        for count in &mut self.counts {
            *count = count.saturating_add(base as i16);
        }
        for order in &mut self.orders {
            order.floor -= base;
        }
    }

    /// One more peer has this piece.
    pub fn raise(&mut self, piece: PieceIndex, priority: Priority) {
        let Some(count) = self.counts.get_mut(piece.as_usize()) else { return };
        let before = *count;
        *count = before.saturating_add(1);
        if let (true, Some(order)) = (self.contains(piece), class(priority)) {
            self.orders[order].lower(piece, -i32::from(before), &mut self.positions);
        }
    }

    /// One peer fewer has this piece.
    pub fn lower(&mut self, piece: PieceIndex, priority: Priority) {
        let Some(count) = self.counts.get_mut(piece.as_usize()) else { return };
        let before = *count;
        *count = before.saturating_sub(1);
        if let (true, Some(order)) = (self.contains(piece), class(priority)) {
            self.orders[order].raise(piece, -i32::from(before), &mut self.positions);
        }
    }

    /// The piece can be begun now. Skipped pieces cannot. Costs one move per rarer bucket.
    pub fn insert(&mut self, piece: PieceIndex, priority: Priority) {
        if let (false, Some(order)) = (self.contains(piece), class(priority)) {
            let total = self.counts.len() as u32;
            self.orders[order].insert(
                piece,
                -i32::from(self.counts[piece.as_usize()]),
                total,
                &mut self.positions,
            );
            self.epoch = self.epoch.wrapping_add(1).max(NEVER + 1);
        }
    }

    /// The piece was begun, or is no longer wanted. `priority` is the one it was inserted with. Costs one move per rarer bucket.
    pub fn remove(&mut self, piece: PieceIndex, priority: Priority) {
        if let (true, Some(order)) = (self.contains(piece), class(priority)) {
            self.orders[order].remove(piece, -i32::from(self.counts[piece.as_usize()]), &mut self.positions);
        }
    }

    /// Whether the piece can be begun.
    pub fn contains(&self, piece: PieceIndex) -> bool {
        self.positions.get(piece.as_usize()).is_some()
    }

    /// How many pieces can be begun.
    pub fn len(&self) -> usize {
        self.orders.iter().map(|order| order.pieces.len()).sum()
    }

    /// Whether no piece can be begun.
    pub fn is_empty(&self) -> bool {
        self.orders.iter().all(|order| order.pieces.is_empty())
    }

    /// A piece for a peer to begin, of those it has: the most eagerly wanted class first, then by taste, then by lot.
    ///
    /// At most [`PROBES_MAX`] pieces of each class are looked at in order. A peer that has none of those is searched for by its own set,
    /// word by word from where its last search ended, at most one round; a round without success is not repeated before a piece becomes
    /// free or the peer gains one.
    pub fn choose(
        &self,
        theirs: &RemotePieces,
        taste: Taste,
        search: &mut Search,
        rng: &mut Rng,
    ) -> Option<PieceIndex> {
        if let RemotePieces::Sparse(list) = theirs {
            return self.choose_of(list, taste, rng);
        }
        (0..self.orders.len()).find_map(|class| {
            let order = &self.orders[class];
            if order.pieces.is_empty() || search.barren_since[class] == self.epoch {
                return None;
            }
            let probed = match taste {
                Taste::Rarest => order.probe_buckets((0..order.starts.len()).rev(), theirs, rng),
                Taste::Commonest => order.probe_buckets(0..order.starts.len(), theirs, rng),
                Taste::Random => order.probe(0, order.pieces.len(), theirs, &mut { PROBES_MAX }, rng),
                Taste::First => None,
            };
            probed.or_else(|| self.search(class, theirs, taste, search, rng))
        })
    }

    /// A piece of a short list, by the same rules. Walks the list once.
    fn choose_of(&self, list: &[PieceIndex], taste: Taste, rng: &mut Rng) -> Option<PieceIndex> {
        let free = list.iter().copied().filter(|&piece| self.contains(piece));
        let class_of = |piece: PieceIndex| self.orders.iter().position(|order| order.set.has(piece));
        free.map(|piece| {
            let rank = match taste {
                Taste::Rarest => i64::from(self.counts[piece.as_usize()]),
                Taste::Commonest => -i64::from(self.counts[piece.as_usize()]),
                Taste::Random => 0,
                Taste::First => i64::from(piece.0),
            };
            ((class_of(piece), rank, rng.next_u32()), piece)
        })
        .min_by_key(|&(key, _)| key)
        .map(|(_, piece)| piece)
    }

    /// The best of the first few pieces that the peer's set and a class have in common.
    fn search(
        &self,
        class: usize,
        theirs: &RemotePieces,
        taste: Taste,
        search: &mut Search,
        rng: &mut Rng,
    ) -> Option<PieceIndex> {
        let ours = self.orders[class].set.words();
        let from = match taste {
            Taste::First => self.orders[class].low,
            Taste::Rarest | Taste::Commonest | Taste::Random => {
                *search.word.get_or_insert_with(|| rng.below(ours.len() as u32)) as usize
            }
        };
        let mut best: Option<(i64, PieceIndex)> = None;
        let mut seen = 0;
        for step in 0..ours.len() {
            let at = (from + step) % ours.len();
            let mut common = ours[at] & their_word(theirs, at);
            while common != 0 {
                let bit = common.leading_zeros();
                common &= !(1 << (63 - bit));
                let piece = PieceIndex(at as u32 * 64 + bit);
                let count = i64::from(self.counts[piece.as_usize()]);
                let rank = if taste == Taste::Commonest { -count } else { count };
                if taste == Taste::First {
                    return Some(piece);
                }
                if best.is_none_or(|(least, _)| rank < least) {
                    best = Some((rank, piece));
                }
                seen += 1;
            }
            if seen >= CANDIDATES_MAX {
                search.word = Some(at as u32);
                break;
            }
        }
        if best.is_none() {
            search.barren_since[class] = self.epoch;
        }
        best.map(|(_, piece)| piece)
    }
}

fn their_word(theirs: &RemotePieces, at: usize) -> u64 {
    match theirs {
        RemotePieces::None => 0,
        RemotePieces::All => u64::MAX,
        // Lists are walked, not searched by words.
        RemotePieces::Sparse(_) => 0,
        RemotePieces::Words(words) => words.bits().words().get(at).copied().unwrap_or(0),
    }
}

/// Index of the order for a priority.
fn class(priority: Priority) -> Option<usize> {
    match priority {
        Priority::Skip => None,
        Priority::High => Some(0),
        Priority::Normal => Some(1),
        Priority::Low => Some(2),
    }
}

impl RarityOrder {
    fn bucket(&self, key: i32) -> usize {
        (key - self.floor) as usize
    }

    fn end(&self, bucket: usize) -> usize {
        self.starts.get(bucket + 1).map_or(self.pieces.len(), |&start| start as usize)
    }

    fn piece(&self, at: usize) -> PieceIndex {
        PieceIndex(self.pieces.at(at))
    }

    fn put(&mut self, at: usize, piece: PieceIndex, positions: &mut Narrow) {
        self.pieces.set(at, piece.0);
        positions.set(piece.as_usize(), at as u32);
    }

    fn swap(&mut self, a: usize, b: usize, positions: &mut Narrow) {
        let (piece_a, piece_b) = (self.piece(a), self.piece(b));
        self.put(a, piece_b, positions);
        self.put(b, piece_a, positions);
    }

    /// Makes sure that there is a bucket for this key.
    fn reach(&mut self, key: i32) {
        if self.starts.is_empty() {
            self.floor = key;
            self.starts.push(0);
        }
        while key < self.floor {
            self.starts.insert(0, 0);
            self.floor -= 1;
        }
        while self.bucket(key) >= self.starts.len() {
            self.starts.push(self.pieces.len() as u32);
        }
    }

    /// Forgets empty buckets at both ends, so that their number is bounded by the spread of counts.
    fn trim(&mut self) {
        while self.starts.len() > 1 && self.starts.last() == Some(&(self.pieces.len() as u32)) {
            self.starts.pop();
        }
        while self.starts.len() > 1 && self.starts[1] == 0 {
            self.starts.remove(0);
            self.floor += 1;
        }
    }

    fn insert(&mut self, piece: PieceIndex, key: i32, total: u32, positions: &mut Narrow) {
        if self.set.len() != total {
            (self.set, self.pieces) = (Bitfield::new(total), Narrow::below(total));
        }
        self.set.insert(piece);
        self.low = self.low.min(piece.as_usize() / 64);
        self.reach(key);
        let mut hole = self.pieces.len();
        self.pieces.push(piece.0);
        for bucket in (self.bucket(key) + 1..self.starts.len()).rev() {
            let start = self.starts[bucket] as usize;
            if start != hole {
                self.put(hole, self.piece(start), positions);
            }
            self.starts[bucket] += 1;
            hole = start;
        }
        self.put(hole, piece, positions);
    }

    fn remove(&mut self, piece: PieceIndex, key: i32, positions: &mut Narrow) {
        self.set.remove(piece);
        let words = self.set.words();
        while self.low < words.len() && words[self.low] == 0 {
            self.low += 1;
        }
        let mut hole = positions.at(piece.as_usize()) as usize;
        for bucket in self.bucket(key)..self.starts.len() {
            let last = self.end(bucket) - 1;
            if last != hole {
                self.put(hole, self.piece(last), positions);
            }
            hole = last;
            if let Some(next) = self.starts.get_mut(bucket + 1) {
                *next -= 1;
            }
        }
        self.pieces.pop();
        positions.set(piece.as_usize(), NONE);
        self.trim();
    }

    fn raise(&mut self, piece: PieceIndex, key: i32, positions: &mut Narrow) {
        self.reach(key + 1);
        let bucket = self.bucket(key);
        let last = self.end(bucket) - 1;
        self.swap(positions.at(piece.as_usize()) as usize, last, positions);
        self.starts[bucket + 1] -= 1;
        self.trim();
    }

    fn lower(&mut self, piece: PieceIndex, key: i32, positions: &mut Narrow) {
        self.reach(key - 1);
        let bucket = self.bucket(key);
        let first = self.starts[bucket] as usize;
        self.swap(positions.at(piece.as_usize()) as usize, first, positions);
        self.starts[bucket] += 1;
        self.trim();
    }

    /// Bucket by bucket in the given order, beginning anywhere inside each.
    fn probe_buckets(
        &self,
        mut buckets: impl Iterator<Item = usize>,
        theirs: &RemotePieces,
        rng: &mut Rng,
    ) -> Option<PieceIndex> {
        let mut probes = PROBES_MAX;
        buckets.find_map(|bucket| {
            self.probe(self.starts[bucket] as usize, self.end(bucket), theirs, &mut probes, rng)
        })
    }

    fn probe(
        &self,
        start: usize,
        end: usize,
        theirs: &RemotePieces,
        probes: &mut u32,
        rng: &mut Rng,
    ) -> Option<PieceIndex> {
        let len = end - start;
        if len == 0 {
            return None;
        }
        let offset = rng.index(len);
        for step in 0..len {
            *probes = probes.checked_sub(1)?;
            let piece = self.piece(start + (offset + step) % len);
            if theirs.has(piece) {
                return Some(piece);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
