//! The peers of one swarm that have addresses of one family. A handful lies in the swarm's own record, some more in one array, many in
//! hashed sets.
//!
//! Invariants: in the record and in the array seeds lie before leechers; of many, seeds and leechers are sets of their own. So either
//! kind is drawn from without a search. What is allocated, and how many peers there are, is in the books.

use super::Counts;
use super::buckets::{self, Buckets, Item};
use super::clock::Stamp;
use super::draw::{self, Wish};
use super::entry::{Entry, V4, V6};
use super::keyed::Key;
use super::means::Means;
use super::peers::Peers;
use super::rows::{Heap, Rows};
use super::snapshot::Part;

/// Longest array: 1 KiB of IPv4, which a processor compares in some 50 ns.
const ARRAY_MAX: usize = 128;
/// When many became few again. Well below [`ARRAY_MAX`], so that a swarm does not go back and forth.
const MANY_MIN: u32 = 64;

impl Item for V4 {
    const FILL: u32 = 40;

    #[inline]
    fn hash(&self, key: Key) -> u64 {
        Entry::hash(self, key)
    }

    #[inline]
    fn look(&self) -> u64 {
        self.seen().0.into()
    }
}

impl Item for V6 {
    const FILL: u32 = 40;

    #[inline]
    fn hash(&self, key: Key) -> u64 {
        Entry::hash(self, key)
    }

    #[inline]
    fn look(&self) -> u64 {
        self.seen().0.into()
    }
}

/// Peers of one family.
#[derive(Clone, Debug)]
pub(super) enum Family<E: Entry> {
    /// In the record itself.
    Few { len: u8, seeds: u8, peers: E::Few },
    /// In one array.
    Array { seeds: u16, peers: Rows<E> },
    /// In hashed sets.
    Many(Box<Many<E>>),
}

/// Many peers.
#[derive(Clone, Debug)]
pub(super) struct Many<E> {
    seeds: Buckets<E>,
    leechers: Buckets<E>,
}

/// Who is told of others.
pub(super) struct Asker<'a, E> {
    pub(super) peer: &'a E,
    /// It wants to download, so seeds are of use to it.
    pub(super) seeks: bool,
    /// It is among those that are kept.
    pub(super) inside: bool,
}

/// What a peer was before it announced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Before {
    Unknown,
    Leecher,
    Seed,
}

impl Before {
    fn known(seed: bool) -> Before {
        if seed { Before::Seed } else { Before::Leecher }
    }
}

/// Where the sweep is within a family: buckets still to go, if there are so many.
pub(super) type Place = u32;
/// Where it begins.
pub(super) const START: Place = Place::MAX;

impl<E: Entry + Item> Family<E> {
    /// Nobody.
    pub(super) const NOBODY: Family<E> = Family::Few { len: 0, seeds: 0, peers: E::NOBODY };

    /// How many seeds and leechers there are.
    pub(super) fn counts(&self) -> Counts {
        let (complete, incomplete) = match self {
            Family::Few { len, seeds, .. } => (u32::from(*seeds), u32::from(len - seeds)),
            Family::Array { seeds, peers } => (u32::from(*seeds), peers.len() as u32 - u32::from(*seeds)),
            Family::Many(many) => (many.seeds.len(), many.leechers.len()),
        };
        Counts { complete, incomplete, downloaded: 0 }
    }

    /// Whether nobody is there.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn len(&self) -> u32 {
        let counts = self.counts();
        counts.complete + counts.incomplete
    }

    /// When a peer was last heard of, if it is known.
    pub(super) fn seen(&self, peer: &E, means: &Means) -> Option<Stamp> {
        let among = |peers: &[E]| find(peers, peer).and_then(|at| peers.get(at)).map(E::seen);
        match self {
            Family::Few { len, peers, .. } => among(&peers.as_ref()[..usize::from(*len)]),
            Family::Array { peers, .. } => among(peers.as_slice()),
            Family::Many(many) => {
                let hash = Entry::hash(peer, means.key);
                [&many.leechers, &many.seeds].into_iter().find_map(|set| {
                    let (bucket, at) = set.find(hash, |known| known.is(peer))?;
                    set.bucket(bucket).get(at).map(E::seen)
                })
            }
        }
    }

    /// The next few that a walk comes to, which has passed so much: all, unless they are many.
    pub(super) fn stretch(&self, passed: u64, is_first: bool) -> Part<'_, E> {
        let whole = |(seeds, leechers)| Part { peers: [seeds, leechers], next: None };
        match self {
            Family::Few { len, seeds, peers } => {
                whole(peers.as_ref()[..usize::from(*len)].split_at(usize::from(*seeds)))
            }
            Family::Array { seeds, peers } => whole(peers.as_slice().split_at(usize::from(*seeds))),
            Family::Many(many) => Part::of_sets([&many.seeds, &many.leechers], passed, is_first),
        }
    }

    /// Looks where a peer of this hash would be.
    #[inline]
    pub(super) fn look_for(&self, hash: u64) -> u64 {
        match self {
            Family::Few { .. } => 0,
            Family::Array { peers, .. } => buckets::look_at(peers.as_slice()),
            Family::Many(many) => many.seeds.look_for(hash) ^ many.leechers.look_for(hash),
        }
    }

    /// Keeps a peer, if it is known or there is room. Says what it was, if it is kept.
    pub(super) fn put(&mut self, peer: E, seed: bool, means: &mut Means) -> Option<Before> {
        match self {
            Family::Few { len, seeds, peers } => {
                let all = peers.as_mut();
                if let Some(at) = find(&all[..usize::from(*len)], &peer) {
                    let before = Before::known(at < usize::from(*seeds));
                    all[at] = peer;
                    *seeds = turn(all, usize::from(*seeds), at, seed) as u8;
                    return Some(before);
                } else if !means.books.admit(&peer) {
                    return None;
                } else if usize::from(*len) < all.len() {
                    all[usize::from(*len)] = peer;
                    *len += 1;
                    *seeds = turn(all, usize::from(*seeds), usize::from(*len) - 1, seed) as u8;
                } else {
                    let peers = Rows::of(all, &mut means.heap);
                    *self = Family::Array { seeds: u16::from(*seeds), peers };
                    self.add(peer, seed, means);
                }
            }
            Family::Array { seeds, peers } => {
                if let Some(at) = find(peers.as_slice(), &peer) {
                    let all = peers.as_mut_slice();
                    let before = Before::known(at < usize::from(*seeds));
                    all[at] = peer;
                    *seeds = turn(all, usize::from(*seeds), at, seed) as u16;
                    return Some(before);
                } else if !means.books.admit(&peer) {
                    return None;
                } else {
                    self.add(peer, seed, means);
                }
            }
            Family::Many(many) => return many.put(peer, seed, means),
        }
        Some(Before::Unknown)
    }

    /// Adds a peer that is not there to the array, which may then be too long for one.
    fn add(&mut self, peer: E, seed: bool, means: &mut Means) {
        let Family::Array { seeds, peers } = self else { return };
        peers.push(peer, &mut means.heap);
        let last = peers.len() - 1;
        *seeds = turn(peers.as_mut_slice(), usize::from(*seeds), last, seed) as u16;
        if peers.len() > ARRAY_MAX {
            let (first, rest) = peers.as_slice().split_at(usize::from(*seeds));
            let many = Box::new(Many::of(first, rest, means));
            let heap = &mut means.heap;
            heap.take::<Many<E>>(1);
            core::mem::take(peers).free(heap);
            *self = Family::Many(many);
        }
    }

    /// Forgets a peer, if it is there.
    pub(super) fn remove(&mut self, peer: &E, means: &mut Means) {
        match self {
            Family::Few { len, seeds, peers } => {
                let all = peers.as_mut();
                let Some(at) = find(&all[..usize::from(*len)], peer) else { return };
                let (left, hole) = leave(all, usize::from(*seeds), at);
                *seeds = left as u8;
                *len -= 1;
                all.swap(hole, usize::from(*len));
            }
            Family::Array { seeds, peers } => {
                let Some(at) = find(peers.as_slice(), peer) else { return };
                let (left, hole) = leave(peers.as_mut_slice(), usize::from(*seeds), at);
                *seeds = left as u16;
                peers.swap_remove(hole);
            }
            Family::Many(many) => {
                if !many.remove(peer, means) {
                    return;
                }
            }
        }
        means.books.forget(peer);
        self.settle(means);
    }

    /// Names others than the asker; seeds only to who seeks something.
    pub(super) fn pick(&mut self, asker: Asker<'_, E>, want: u32, means: &mut Means, peers: &mut Peers) {
        let Asker { peer, seeks, inside } = asker;
        let counts = self.counts();
        let seeds = if seeks { counts.complete } else { 0 };
        let leechers = counts.incomplete.saturating_sub(u32::from(seeks && inside));
        let (from_seeds, from_leechers) = draw::shares(want, seeds, leechers, means);
        let mut wish = Wish { asker: peer, want: from_seeds };
        let first = match self {
            Family::Few { peers: few, len, seeds } => {
                let all = &mut few.as_mut()[..usize::from(*len)];
                from_array(all, usize::from(*seeds), from_leechers, wish, means, peers)
            }
            Family::Array { seeds, peers: array } => {
                from_array(array.as_mut_slice(), usize::from(*seeds), from_leechers, wish, means, peers)
            }
            Family::Many(many) => {
                draw::from_buckets(&mut many.seeds, &mut wish, means, peers);
                let first = peers.len();
                wish.want = from_leechers;
                draw::from_buckets(&mut many.leechers, &mut wish, means, peers);
                first
            }
        };
        peers.mix(first, &mut means.rng);
    }

    /// Forgets who stayed away, from `place` on, as far as `budget` goes. Says where to go on, if this is not the end.
    pub(super) fn sweep(&mut self, place: Place, budget: &mut u32, means: &mut Means) -> Option<Place> {
        let before = self.len();
        let mut next = None;
        match self {
            Family::Few { len, seeds, peers } => {
                let (left, kept) =
                    retain_fresh(&mut peers.as_mut()[..usize::from(*len)], usize::from(*seeds), means);
                (*seeds, *len) = (left as u8, kept as u8);
            }
            Family::Array { seeds, peers } => {
                let (left, kept) = retain_fresh(peers.as_mut_slice(), usize::from(*seeds), means);
                *seeds = left as u16;
                while peers.len() > kept {
                    peers.swap_remove(kept);
                }
            }
            Family::Many(many) => next = many.sweep(place, budget, means),
        }
        if next.is_none() && !matches!(self, Family::Many(_)) {
            *budget = budget.saturating_sub(before);
        }
        if self.len() < before {
            self.settle(means);
        }
        next
    }

    /// Takes the smallest form that fits, after peers have left.
    fn settle(&mut self, means: &mut Means) {
        let heap = &mut means.heap;
        if let Family::Many(many) = self
            && many.seeds.len() + many.leechers.len() < MANY_MIN
        {
            let mut peers = Rows::default();
            for set in [&many.seeds, &many.leechers] {
                (0..set.buckets())
                    .for_each(|bucket| set.bucket(bucket).iter().for_each(|peer| peers.push(*peer, heap)));
            }
            let seeds = many.seeds.len() as u16;
            let Family::Many(many) = core::mem::replace(self, Family::Array { seeds, peers }) else { return };
            many.free(heap);
        }
        if let Family::Array { seeds, peers } = self {
            peers.settle(heap);
            let mut few = E::NOBODY;
            let room = few.as_mut();
            // One less than fit, so that a swarm does not go back and forth.
            if peers.len() < room.len().max(2) && peers.len() <= room.len() {
                room[..peers.len()].copy_from_slice(peers.as_slice());
                let (len, seeds) = (peers.len() as u8, *seeds as u8);
                core::mem::take(peers).free(heap);
                *self = Family::Few { len, seeds, peers: few };
            }
        }
    }

    /// What is allocated, counted anew: for tests.
    #[cfg(test)]
    pub(super) fn heap(&self) -> u64 {
        match self {
            Family::Few { .. } => 0,
            Family::Array { peers, .. } => peers.heap().bytes(),
            Family::Many(many) => {
                let mut heap = Heap::default();
                heap.take::<Many<E>>(1);
                heap.bytes() + many.seeds.heap() + many.leechers.heap()
            }
        }
    }
}

impl<E: Entry + Item> Many<E> {
    fn of(seeds: &[E], leechers: &[E], means: &mut Means) -> Many<E> {
        let (key, heap) = (means.key, &mut means.heap);
        let mut many = Many { seeds: Buckets::new(heap), leechers: Buckets::new(heap) };
        seeds.iter().for_each(|seed| many.seeds.insert(*seed, key, heap));
        leechers.iter().for_each(|leecher| many.leechers.insert(*leecher, key, heap));
        many
    }

    fn put(&mut self, peer: E, seed: bool, means: &mut Means) -> Option<Before> {
        let hash = Entry::hash(&peer, means.key);
        let (mine, other) =
            if seed { (&mut self.seeds, &mut self.leechers) } else { (&mut self.leechers, &mut self.seeds) };
        if let Some((bucket, at)) = mine.find(hash, |known| known.is(&peer)) {
            mine.bucket_mut(bucket)[at].touch(peer.seen());
            return Some(Before::known(seed));
        }
        let before = match other.find(hash, |known| known.is(&peer)) {
            Some(found) => {
                other.remove(found, &mut means.heap);
                Before::known(!seed)
            }
            None if !means.books.admit(&peer) => return None,
            None => Before::Unknown,
        };
        mine.insert(peer, means.key, &mut means.heap);
        Some(before)
    }

    fn remove(&mut self, peer: &E, means: &mut Means) -> bool {
        let hash = Entry::hash(peer, means.key);
        for set in [&mut self.leechers, &mut self.seeds] {
            if let Some(found) = set.find(hash, |known| known.is(peer)) {
                set.remove(found, &mut means.heap);
                return true;
            }
        }
        false
    }

    /// From the last bucket to the first: when buckets are merged, what was in the last goes to one that is still to come.
    fn sweep(&mut self, mut place: Place, budget: &mut u32, means: &mut Means) -> Option<Place> {
        let clock = means.clock;
        loop {
            place = place.min(self.seeds.buckets() + self.leechers.buckets());
            if place == 0 {
                return None;
            }
            if *budget == 0 {
                return Some(place);
            }
            place -= 1;
            let (set, bucket) = match place.checked_sub(self.seeds.buckets()) {
                None => (&mut self.seeds, place),
                Some(bucket) => (&mut self.leechers, bucket),
            };
            *budget = budget.saturating_sub(set.bucket(bucket).len() as u32 + 1);
            let books = &mut means.books;
            set.retain(bucket, &mut means.heap, |peer| {
                let stays = clock.is_fresh(peer.seen());
                if !stays {
                    books.forget(peer);
                }
                stays
            });
        }
    }

    fn free(self, heap: &mut Heap) {
        self.seeds.free(heap);
        self.leechers.free(heap);
        heap.give::<Many<E>>(1);
    }
}

fn find<E: Entry>(peers: &[E], peer: &E) -> Option<usize> {
    peers.iter().position(|known| known.is(peer))
}

/// Puts the peer at this place among the seeds or the leechers; says how many seeds there are then.
fn turn<E>(peers: &mut [E], seeds: usize, at: usize, seed: bool) -> usize {
    match (at < seeds, seed) {
        (true, true) | (false, false) => seeds,
        (false, true) => {
            peers.swap(at, seeds);
            seeds + 1
        }
        (true, false) => {
            peers.swap(at, seeds - 1);
            seeds - 1
        }
    }
}

/// The peer at this place is to go: says how many seeds there are without it, and where it lies now, which is behind them.
fn leave<E>(peers: &mut [E], seeds: usize, at: usize) -> (usize, usize) {
    if at < seeds {
        peers.swap(at, seeds - 1);
        (seeds - 1, seeds - 1)
    } else {
        (seeds, at)
    }
}

/// Moves who is fresh to the front, seeds first; says how many seeds and how many in all are left.
fn retain_fresh<E: Entry>(peers: &mut [E], mut seeds: usize, means: &mut Means) -> (usize, usize) {
    let (mut at, mut len) = (0, peers.len());
    while at < len {
        if means.clock.is_fresh(peers[at].seen()) {
            at += 1;
            continue;
        }
        means.books.forget(&peers[at]);
        let (left, hole) = leave(&mut peers[..len], seeds, at);
        seeds = left;
        len -= 1;
        peers.swap(hole, len);
    }
    (seeds, len)
}

/// Draws from an array whose first `seeds` are seeds: as many of them as the wish says, then `from_leechers` of the rest. Says how many
/// seeds it named.
fn from_array<E: Entry>(
    all: &mut [E],
    seeds: usize,
    from_leechers: u32,
    mut wish: Wish<'_, E>,
    means: &mut Means,
    peers: &mut Peers,
) -> usize {
    let (seeds, leechers) = all.split_at_mut(seeds);
    draw::from_slice(seeds, &mut wish, means, peers);
    let first = peers.len();
    wish.want = from_leechers;
    draw::from_slice(leechers, &mut wish, means, peers);
    first
}
