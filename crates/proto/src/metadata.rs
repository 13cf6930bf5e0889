//! Fetching the metadata of a torrent of which only the hash is known: which peer is asked for which piece, which of the sizes
//! that peers claim is believed first, and who lied.
//!
//! Not the bytes, which stay with the driver, and not the serving of metadata to others. Peers are keys.
//! Invariants: nothing is reserved for a size that was only claimed: a piece takes memory when it has come; peers that claim
//! another size than the one that is fetched wait; nobody is blamed for a whole that several gave. BEP: 9. Threats: A6, C6

mod buffers;

#[cfg(test)]
mod tests;

use crate::{Duration, Instant, PeerKey, PeerMisbehaved, Rng};
use buffers::Buffers;
pub use buffers::{BUFFERED_BYTES_MAX, BUFFERED_SIZES_MAX};
use core::net::SocketAddr;
use std::collections::{BTreeMap, BTreeSet};
use wire::metadata::{METADATA_SIZE_MAX, metadata_piece_len, metadata_pieces};

/// Requests that one peer has at a time: 64 KiB, enough for a round trip, and few to repeat when it goes.
pub const REQUESTS_PER_PEER_MAX: usize = 4;
/// A request that has no answer for this long goes to another peer too.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a peer rests that let a request run out of time; doubles each time.
pub const REST_MIN: Duration = Duration::from_secs(5);
/// Longest such rest.
pub const REST_MAX: Duration = Duration::from_secs(120);
/// How long a peer rests that said no: it may have the metadata soon itself, or be asked too much.
pub const REST_AFTER_REJECT: Duration = Duration::from_secs(15);
/// Requests to one peer whose answers are not waited for any more, and remembered in case they come: what was called off twice.
pub const LATE_MAX: usize = 4 * REQUESTS_PER_PEER_MAX;
/// How long a size is kept to at first while others are claimed too; twice as long each time its turn comes again, so that slow
/// peers come to an end, and liars who answer slowly cost no more than half of the time each.
pub const TURN_MIN: Duration = Duration::from_secs(30);
/// Sizes whose turns are counted although nobody claims them any more; beyond it there is one for each link at most.
const TURNS_MAX: usize = 64;
/// Near the end a piece is asked of so many peers at once.
const COPIES_MAX: usize = 2;

/// Decides what to ask whom for, until the metadata is whole and right.
#[derive(Clone, Debug, Default)]
pub struct MetadataFetch {
    sources: BTreeMap<PeerKey, Source>,
    buffers: Buffers,
    /// The size that is being fetched.
    current: Option<u32>,
    /// Since when.
    chosen_at: Option<Instant>,
    /// How often each size had its turn without coming to an end.
    turns: BTreeMap<u32, u32>,
    /// After a whole of several peers was wrong: the only one that is asked now.
    alone: Option<PeerKey>,
    /// All pieces of this size are with the driver, which looks at them.
    assembling: Option<u32>,
}

/// A peer that says it has the metadata.
#[derive(Clone, Debug)]
struct Source {
    host: SocketAddr,
    size: u32,
    asked: Vec<Asked>,
    rests_until: Instant,
    strikes: u32,
}

/// One request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Asked {
    piece: u32,
    at: Instant,
    /// Its time is over, but an answer is welcome.
    late: bool,
}

/// What a piece that came was to us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Keep it: a piece of metadata of this size.
    Keep {
        /// Which of the claimed sizes.
        size: u32,
    },
    /// We have it, or no longer want it.
    Unwanted,
    /// We never asked this peer for it.
    Unasked,
    /// It cannot be a piece of what the peer said it has.
    Wrong(PeerMisbehaved),
}

/// Who gave the pieces of a whole.
pub type Giver = (PeerKey, SocketAddr);

impl MetadataFetch {
    /// Nobody is known to have it.
    pub fn new() -> MetadataFetch {
        MetadataFetch::default()
    }

    /// A peer says how large the metadata is. Nobody has nothing, and what is larger than we take is never asked for; but
    /// who said so is remembered, for it is a lie if another size turns out to be right.
    pub fn offered(&mut self, now: Instant, peer: PeerKey, host: SocketAddr, size: u32) {
        let fresh = Source { host, size, asked: Vec::new(), rests_until: now, strikes: 0 };
        match self.sources.get_mut(&peer) {
            Some(source) if source.size == size => {}
            Some(source) => *source = fresh,
            None => drop(self.sources.insert(peer, fresh)),
        }
    }

    /// A peer has gone.
    pub fn left(&mut self, peer: PeerKey) {
        self.sources.remove(&peer);
    }

    /// How far the size that is being fetched has come: bytes that are here, and all.
    pub fn progress(&self) -> Option<(u32, u32)> {
        let size = self.assembling.or(self.current)?;
        let pieces = u64::from(self.buffers.count(size));
        let bytes = (pieces * u64::from(wire::metadata::METADATA_PIECE_LEN)).min(u64::from(size));
        Some((u32::try_from(bytes).unwrap_or(size), size))
    }

    /// How many peers say they have it.
    pub fn sources(&self) -> usize {
        self.sources.len()
    }

    /// How many pieces the driver holds.
    pub fn held(&self) -> u32 {
        self.buffers.held()
    }

    /// A piece came.
    pub fn received(
        &mut self,
        now: Instant,
        peer: PeerKey,
        piece: u32,
        total: Option<u32>,
        len: u32,
    ) -> Verdict {
        let Some(source) = self.sources.get_mut(&peer) else { return Verdict::Unasked };
        let Some(at) = source.asked.iter().position(|asked| asked.piece == piece) else {
            return Verdict::Unasked;
        };
        source.asked.remove(at);
        let (size, host) = (source.size, source.host);
        if metadata_piece_len(size, piece) != Some(len) || total.is_some_and(|total| total != size) {
            return Verdict::Wrong(PeerMisbehaved::MetadataMalformed);
        }
        // Asked for twice, since the first request was called off: the second answer is late in any case.
        source.asked.iter_mut().filter(|asked| asked.piece == piece).for_each(|asked| asked.late = true);
        (source.strikes, source.rests_until) = (0, now);
        // After a whole that was wrong one peer alone is to blame for the next: what others were asked for before does not count.
        let of_another = self.current == Some(size) && self.alone.is_some_and(|only| only != peer);
        let unwanted = self.assembling.is_some() || of_another;
        if unwanted || !self.buffers.put(size, piece, (peer, host), self.current) {
            return Verdict::Unwanted;
        }
        if self.buffers.count(size) == metadata_pieces(size) {
            self.assembling = Some(size);
        }
        Verdict::Keep { size }
    }

    /// The size of which the last piece has just come.
    pub fn whole(&self) -> Option<u32> {
        self.assembling
    }

    /// A peer will not send a piece. Whether we asked for it, says the answer.
    pub fn rejected(&mut self, now: Instant, peer: PeerKey, piece: u32) -> bool {
        let Some(source) = self.sources.get_mut(&peer) else { return false };
        let Some(at) = source.asked.iter().position(|asked| asked.piece == piece) else { return false };
        source.asked.remove(at);
        source.rests_until = source.rests_until.max(now + REST_AFTER_REJECT);
        true
    }

    /// The whole was wrong. Whoever gave all of it alone is to blame; of several, one is asked for all of it next. The blame is
    /// beyond doubt, so the caller bans by address, as for spoiled blocks: other clients behind that address are lost to this
    /// torrent too, which is less than what a liar would cost that only need draw another port or peer id.
    pub fn failed(&mut self, size: u32) -> Option<Giver> {
        if self.assembling != Some(size) {
            return None;
        }
        (self.assembling, self.current, self.alone) = (None, None, None);
        let givers = self.buffers.failed(size);
        self.call_off(size);
        match givers.as_slice() {
            [liar] => Some(*liar),
            _ => None,
        }
    }

    /// The whole was right: who claimed another size lied, and is banned (threat A6). There is no honest way to do so: the size
    /// is that of the bytes which the info-hash names.
    pub fn accepted(&self, size: u32) -> Vec<PeerKey> {
        self.sources.iter().filter(|(_, source)| source.size != size).map(|(&peer, _)| peer).collect()
    }

    /// How many answers of a peer may still be on their way.
    pub fn on_their_way(&self, peer: PeerKey) -> u32 {
        self.sources.get(&peer).map_or(0, |source| source.asked.len() as u32)
    }

    /// The sizes of which the driver holds pieces that are of no use any more.
    pub fn take_discarded(&mut self) -> Vec<u32> {
        self.buffers.take_discarded()
    }

    /// All sizes of which the driver may hold pieces: for when it is over.
    pub fn sizes_held(&self) -> Vec<u32> {
        self.buffers.sizes().collect()
    }

    /// What to ask whom for now.
    pub fn poll(&mut self, now: Instant, rng: &mut Rng) -> Vec<(PeerKey, u32)> {
        self.expire(now);
        if self.assembling.is_some() {
            return Vec::new();
        }
        let Some(size) = self.choose(now, rng) else { return Vec::new() };
        let mut under_way: BTreeMap<u32, usize> = BTreeMap::new();
        let same = self.sources.values().filter(|source| source.size == size);
        for asked in same.flat_map(Source::waiting) {
            *under_way.entry(asked.piece).or_default() += 1;
        }
        let mut asks = Vec::new();
        // One each in turn, so that the first peer does not get all there is to ask for.
        for _ in 0..REQUESTS_PER_PEER_MAX {
            let awake: Vec<PeerKey> = self.awake(now, size).collect();
            for peer in awake {
                let Some(source) = self.sources.get(&peer) else { continue };
                let has_room = source.waiting().count() < REQUESTS_PER_PEER_MAX;
                let piece = has_room.then(|| self.next_piece(size, source, &under_way)).flatten();
                let (Some(piece), Some(source)) = (piece, self.sources.get_mut(&peer)) else { continue };
                source.asked.push(Asked { piece, at: now, late: false });
                *under_way.entry(piece).or_default() += 1;
                asks.push((peer, piece));
            }
        }
        asks
    }

    /// When to poll again, if nothing happens before.
    pub fn next_wake(&self, now: Instant) -> Option<Instant> {
        let asked = |source: &Source| source.waiting().map(|asked| asked.at + REQUEST_TIMEOUT).min();
        let rest = |source: &Source| (source.rests_until > now).then_some(source.rests_until);
        let waiting = self.sources.values().filter(|source| is_possible(source.size));
        // Who is at work wakes us by its time-out; who rests, by its rest.
        waiting.filter_map(|source| asked(source).or_else(|| rest(source))).min()
    }

    fn expire(&mut self, now: Instant) {
        for source in self.sources.values_mut() {
            let mut over = false;
            for asked in source.asked.iter_mut().filter(|asked| !asked.late) {
                if asked.at + REQUEST_TIMEOUT <= now {
                    (asked.late, over) = (true, true);
                }
            }
            if over {
                let rest = REST_MIN.saturating_mul(1 << source.strikes.min(10)).min(REST_MAX);
                source.strikes = source.strikes.saturating_add(1);
                source.rests_until = now + rest;
            }
            let late = source.asked.iter().filter(|asked| asked.late).count();
            let mut surplus = late.saturating_sub(LATE_MAX);
            source.asked.retain(|asked| {
                let goes = asked.late && surplus > 0;
                surplus -= usize::from(goes);
                !goes
            });
        }
    }

    /// The size to fetch: the one at hand while somebody serves it and its turn lasts; else the one that failed least and had the
    /// fewest turns, and of those the one that most peers claim.
    fn choose(&mut self, now: Instant, rng: &mut Rng) -> Option<u32> {
        self.end_turn(now);
        let at_hand = self.current.filter(|&size| self.chosen_at.is_some() && self.is_served(now, size));
        let chosen = match at_hand {
            Some(size) => size,
            None => {
                let mut votes: BTreeMap<u32, u32> = BTreeMap::new();
                let possible = self.sources.values().filter(|source| is_possible(source.size));
                possible.for_each(|source| *votes.entry(source.size).or_default() += 1);
                let served = votes.into_iter().filter(|&(size, _)| self.is_served(now, size));
                let order = |size: u32, votes: u32| {
                    let vain = self.buffers.failures(size).saturating_add(self.turns_of(size));
                    (vain, u32::MAX - votes, size)
                };
                served.min_by_key(|&(size, votes)| order(size, votes))?.0
            }
        };
        self.chosen_at.get_or_insert(now);
        if self.current != Some(chosen) {
            (self.current, self.chosen_at, self.alone) = (Some(chosen), Some(now), None);
            self.buffers.make_room(chosen);
        }
        if self.buffers.failures(chosen) > 0 {
            self.choose_one(now, chosen, rng);
        }
        Some(chosen)
    }

    /// Whoever gives slowly and wrongly must not keep others waiting for hours: when its time is over, a size waits behind the others.
    fn end_turn(&mut self, now: Instant) {
        let (Some(size), Some(since)) = (self.current, self.chosen_at) else { return };
        let span = TURN_MIN.saturating_mul(1 << self.turns_of(size).min(10));
        if now.since(since) < span {
            return;
        }
        if self.turns.len() >= TURNS_MAX {
            // Of sizes that are still claimed none is forgotten: it would have its turn before others that never had one.
            let claimed: BTreeSet<u32> = self.sources.values().map(|source| source.size).collect();
            self.turns.retain(|size, _| claimed.contains(size));
        }
        let turns = self.turns.entry(size).or_default();
        *turns = turns.saturating_add(1);
        // One peer that was alone with its size had its time too.
        (self.chosen_at, self.alone) = (None, None);
    }

    fn turns_of(&self, size: u32) -> u32 {
        self.turns.get(&size).copied().unwrap_or(0)
    }

    /// Keeps to one peer, and begins anew when that is another one.
    fn choose_one(&mut self, now: Instant, size: u32, rng: &mut Rng) {
        let awake = |source: &Source| source.size == size && source.rests_until <= now;
        if self.alone.is_some_and(|peer| self.sources.get(&peer).is_some_and(awake)) {
            return;
        }
        let all: Vec<PeerKey> =
            self.sources.iter().filter(|(_, source)| awake(source)).map(|(&peer, _)| peer).collect();
        self.alone = all.get(rng.index(all.len())).copied();
        self.buffers.clear(size);
        self.call_off(size);
    }

    /// Nothing is waited for any more, but answers are on their way, and nobody is to be blamed for them.
    fn call_off(&mut self, size: u32) {
        let sources = self.sources.values_mut().filter(|source| source.size == size);
        sources.flat_map(|source| &mut source.asked).for_each(|asked| asked.late = true);
    }

    /// Whether somebody who claims this size may be asked now, or is at work.
    fn is_served(&self, now: Instant, size: u32) -> bool {
        let serves = |source: &Source| source.rests_until <= now || source.waiting().next().is_some();
        self.sources.values().any(|source| source.size == size && serves(source))
    }

    fn awake(&self, now: Instant, size: u32) -> impl Iterator<Item = PeerKey> + '_ {
        let alone = self.alone;
        self.sources.iter().filter_map(move |(&peer, source)| {
            let may = alone.is_none_or(|only| only == peer);
            (may && source.size == size && source.rests_until <= now).then_some(peer)
        })
    }

    /// The first piece that nobody is asked for, or one that another peer takes its time with.
    fn next_piece(&self, size: u32, source: &Source, under_way: &BTreeMap<u32, usize>) -> Option<u32> {
        let mut copy = None;
        for piece in self.buffers.missing(size) {
            match under_way.get(&piece).copied().unwrap_or(0) {
                0 => return Some(piece),
                count if count < COPIES_MAX && copy.is_none() => {
                    copy = source.waiting().all(|asked| asked.piece != piece).then_some(piece);
                }
                _ => {}
            }
        }
        copy
    }
}

impl Source {
    /// Requests whose time is not over.
    fn waiting(&self) -> impl Iterator<Item = &Asked> {
        self.asked.iter().filter(|asked| !asked.late)
    }
}

/// Whether metadata of this size is fetched at all.
fn is_possible(size: u32) -> bool {
    (1..=METADATA_SIZE_MAX).contains(&size)
}
