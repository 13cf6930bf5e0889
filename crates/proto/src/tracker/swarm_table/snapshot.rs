//! A table as bytes and back, so that a restart forgets nobody: written in slices while the table goes on being used, and restored into a
//! table that may have other rules. No file is opened here, and no wall clock read.
//!
//! ```text
//! snapshot = slice*                                       one after the other, as they were written
//! slice    = 0 version:u8 shift:u8 elapsed record*        times are in units of 2^shift seconds; elapsed since the walk began
//! record   = 4 | 6 info_hash:[20] downloaded seeds leechers peer{seeds} peer{leechers}
//! peer     = address:[4 or 16] port:u16be age:u16be       age: since it was last heard of, when its slice was written
//! ```
//! Numbers without a width are LEB128 varints. A swarm may have any number of records.
//!
//! Invariants: who was in the table when a walk began, and stayed until it ended, is in its snapshot, perhaps several times; no call
//! takes long, however large the table or a swarm; a slice means the same without those before it. Whatever is read, nothing panics, the
//! table's bounds hold, and what is newer in the table already stays; so restoring twice is restoring once.

use super::SwarmTable;
use super::buckets::{Buckets, HASHES, Item};
use super::clock::{Clock, Stamp};
use super::entry::{Entry, V4, V6};
use super::family::Family;
use super::means::Means;
use super::shelf::Swarm;
use crate::{Duration, Instant};
use core::fmt;
use wire::InfoHash;
use wire::compact::{V4_LEN, V6_LEN};

/// The version that this build writes, and the only one it reads.
const VERSION: u8 = 1;
/// What things begin with.
const HEAD: u8 = 0;
const PEERS_V4: u8 = 4;
const PEERS_V6: u8 = 6;
/// Largest unit that makes sense: eighteen hours.
const SHIFT_MAX: u8 = 16;

/// How far a walk through a table has come.
///
/// From the last swarm to the first: when a swarm goes, the last takes its place, and so nobody gets from what is still to come to what
/// is past. Large swarms are gone through by what [`Buckets::stretch`] says, seeds and leechers side by side, since one becomes the other.
#[derive(Clone, Debug)]
pub struct Walk {
    /// When it began, in the clock's units.
    began: u64,
    /// Swarms still to come.
    to_go: u32,
    inside: Option<Inside>,
}

/// Where in a swarm the next call goes on.
#[derive(Clone, Copy, Debug)]
struct Inside {
    info_hash: InfoHash,
    v6: bool,
    passed: u64,
}

/// Whether a walk has come to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// There is more to come.
    More,
    /// The snapshot is whole.
    Done,
}

/// What became of those who were in a snapshot. Who is in it several times may be counted several times.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Restored {
    /// They are in the table now.
    pub peers: u64,
    /// They have stayed away for too long by now.
    pub stale: u64,
    /// There was no room for them, or they cannot be peers.
    pub left_out: u64,
}

/// Why bytes are no snapshot, or no more of one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SnapshotError {
    /// It ends in the middle of something.
    Truncated,
    /// Written by another version; this is its number.
    Version(u8),
    /// At this byte stands what nobody wrote.
    Malformed(usize),
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SnapshotError::Truncated => write!(f, "it ends too early"),
            SnapshotError::Version(version) => {
                write!(f, "it has version {version}; this build reads version {VERSION}")
            }
            SnapshotError::Malformed(at) => write!(f, "byte {at} makes no sense"),
        }
    }
}

impl core::error::Error for SnapshotError {}

impl SwarmTable {
    /// Begins a walk through all that is in the table now.
    pub fn begin_snapshot(&mut self, now: Instant) -> Walk {
        self.forget_stale(now, 0);
        Walk { began: self.means.clock.units(), to_go: self.shelf.len(), inside: None }
    }

    /// Appends the next slice: some `budget` peers and swarms, one bucket more at most. In between the table may be used as ever.
    pub fn snapshot(&mut self, now: Instant, walk: &mut Walk, budget: u32, out: &mut Vec<u8>) -> Progress {
        self.forget_stale(now, 0);
        let clock = &self.means.clock;
        out.extend_from_slice(&[HEAD, VERSION, clock.shift() as u8]);
        put_number(clock.units().saturating_sub(walk.began), out);
        // What went on in between may have moved some from the rest of a bucket that was passed to another.
        let (mut left, mut is_first) = (budget, true);
        walk.to_go = walk.to_go.min(self.shelf.len());
        while let Some(place) = walk.to_go.checked_sub(1) {
            if left == 0 {
                return Progress::More;
            }
            let swarm = self.shelf.get(place);
            let (info_hash, downloaded) = (swarm.info_hash, swarm.downloaded);
            let (v6, passed) = match walk.inside.take() {
                Some(inside) if inside.info_hash == info_hash => (inside.v6, inside.passed),
                // That one has gone, or has gone to where it is still to come.
                Some(_) | None => (false, 0),
            };
            let (looked_at, next) = match (v6, &swarm.v6) {
                (false, _) => {
                    let part = swarm.v4.stretch(passed, is_first);
                    (put_record(PEERS_V4, info_hash, downloaded, part.peers, clock, out), part.next)
                }
                (true, Some(v6)) => {
                    let part = v6.stretch(passed, is_first);
                    (put_record(PEERS_V6, info_hash, downloaded, part.peers, clock, out), part.next)
                }
                (true, None) => (0, None),
            };
            walk.inside = match next {
                Some(passed) => Some(Inside { info_hash, v6, passed }),
                None if !v6 && swarm.v6.is_some() => Some(Inside { info_hash, v6: true, passed: 0 }),
                None => None,
            };
            if walk.inside.is_none() {
                walk.to_go = place;
            }
            // A swarm costs something, too.
            left = left.saturating_sub(looked_at.saturating_add(1));
            is_first = false;
        }
        Progress::Done
    }

    /// Takes in what is in one slice, or in several: of those swarms that `is_ours`. `since` is how long ago, by now, the walk began that
    /// wrote it.
    ///
    /// # Errors
    /// When it is no snapshot. What came before that byte was taken in.
    pub fn restore(
        &mut self,
        now: Instant,
        slices: &[u8],
        since: Duration,
        is_ours: impl Fn(&InfoHash) -> bool,
    ) -> Result<Restored, SnapshotError> {
        self.forget_stale(now, 0);
        let mut restored = Restored::default();
        let mut source = Source { all: slices, at: 0 };
        let mut ages = None;
        while let Some(tag) = source.tag() {
            let begins = source.at - 1;
            match (tag, &ages) {
                (HEAD, _) => ages = Some(Ages::read(&mut source, since)?),
                (PEERS_V4, Some(ages)) => self.take_in::<V4>(&mut source, ages, &is_ours, &mut restored)?,
                (PEERS_V6, Some(ages)) => self.take_in::<V6>(&mut source, ages, &is_ours, &mut restored)?,
                (_, _) => return Err(SnapshotError::Malformed(begins)),
            }
        }
        Ok(restored)
    }

    fn take_in<E: Packed>(
        &mut self,
        source: &mut Source<'_>,
        ages: &Ages,
        is_ours: impl Fn(&InfoHash) -> bool,
        restored: &mut Restored,
    ) -> Result<(), SnapshotError> {
        let record = Record::read(source, E::LEN)?;
        if !is_ours(&record.info_hash) {
            return Ok(());
        }
        let mut fresh = Vec::new();
        for (number, packed) in record.peers.chunks_exact(E::LEN).enumerate() {
            let (address, age) = packed.split_at(E::LEN - 2);
            let Some(seen) = ages.stamp(age, &self.means.clock) else {
                restored.stale += 1;
                continue;
            };
            match E::unpack(address, seen) {
                Some(peer) => fresh.push((peer, number < record.seeds)),
                None => restored.left_out += 1,
            }
        }
        let swarms = self.rules.swarms_max.saturating_sub(self.shelf.len());
        let place = match self.shelf.find(&record.info_hash, self.means.key) {
            Some(place) => place,
            None if fresh.iter().any(|(peer, _)| self.means.books.has_room(peer, swarms)) => {
                self.shelf.insert(record.info_hash, &mut self.means)
            }
            None => {
                restored.left_out += fresh.len() as u64;
                return Ok(());
            }
        };
        let (swarm, means) = (self.shelf.get_mut(place), &mut self.means);
        swarm.downloaded = swarm.downloaded.max(record.downloaded);
        let family = E::family(swarm, means);
        for (peer, seed) in fresh {
            let newer = family.seen(&peer, means).is_some_and(|known| {
                let clock = &means.clock;
                clock.is_fresh(known) && clock.age(known) <= clock.age(peer.seen())
            });
            match newer || family.put(peer, seed, means).is_some() {
                true => restored.peers += 1,
                false => restored.left_out += 1,
            }
        }
        swarm.settle(&mut means.heap);
        if swarm.is_empty() {
            self.shelf.remove(place, means);
        }
        Ok(())
    }
}

/// Peers of a family, a part at a time.
pub(super) struct Part<'a, E> {
    /// Seeds, and leechers.
    pub(super) peers: [&'a [E]; 2],
    /// How much of the family is passed with them; nothing if that is all.
    pub(super) next: Option<u64>,
}

impl<'a, E: Entry + Item> Part<'a, E> {
    /// What comes in two sets behind what was passed: a bucket of either. The walk goes on where the first of both ends, and of the other
    /// nothing is looked at again, unless things may have changed since (`is_first`).
    pub(super) fn of_sets(sets: [&'a Buckets<E>; 2], passed: u64, is_first: bool) -> Part<'a, E> {
        let stretches = sets.map(|set| set.stretch(passed));
        let mut peers: [&[E]; 2] = [&[], &[]];
        for ((peers, set), stretch) in peers.iter_mut().zip(sets).zip(&stretches) {
            if is_first || stretch.begins == passed {
                *peers = set.bucket(stretch.bucket);
            }
        }
        let ends = stretches.iter().map(|stretch| stretch.ends).min().unwrap_or(u64::MAX);
        Part { peers, next: (ends < HASHES).then_some(ends) }
    }
}

/// Appends those who are fresh; says how many were looked at.
fn put_record<E: Entry>(
    tag: u8,
    info_hash: InfoHash,
    downloaded: u32,
    peers: [&[E]; 2],
    clock: &Clock,
    out: &mut Vec<u8>,
) -> u32 {
    let fresh = |peers: &'_ [E]| peers.iter().filter(|peer| clock.is_fresh(peer.seen())).count() as u64;
    let [seeds, leechers] = peers.map(fresh);
    if seeds + leechers > 0 {
        out.push(tag);
        out.extend_from_slice(&info_hash.0);
        [downloaded.into(), seeds, leechers].into_iter().for_each(|number| put_number(number, out));
        for peer in peers.into_iter().flatten().filter(|peer| clock.is_fresh(peer.seen())) {
            let mut packed = [0; V6_LEN];
            let len = peer.write(&mut packed);
            out.extend_from_slice(packed.get(..len).unwrap_or_default());
            out.extend_from_slice(&clock.age(peer.seen()).to_be_bytes());
        }
    }
    peers.iter().map(|peers| peers.len() as u32).sum()
}

fn put_number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// A peer as a snapshot has it.
trait Packed: Entry + Item {
    /// Bytes: address, port, age.
    const LEN: usize;
    /// The peer with this address and port, if it can be one.
    fn unpack(packed: &[u8], seen: Stamp) -> Option<Self>;
    /// Where in a swarm it belongs.
    fn family<'a>(swarm: &'a mut Swarm, means: &mut Means) -> &'a mut Family<Self>;
}

impl Packed for V4 {
    const LEN: usize = V4_LEN + 2;

    fn unpack(packed: &[u8], seen: Stamp) -> Option<V4> {
        V4::read(packed, seen)
    }

    fn family<'a>(swarm: &'a mut Swarm, _: &mut Means) -> &'a mut Family<V4> {
        &mut swarm.v4
    }
}

impl Packed for V6 {
    const LEN: usize = V6_LEN + 2;

    fn unpack(packed: &[u8], seen: Stamp) -> Option<V6> {
        V6::read(packed, seen)
    }

    fn family<'a>(swarm: &'a mut Swarm, means: &mut Means) -> &'a mut Family<V6> {
        swarm.v6_mut(&mut means.heap)
    }
}

/// What the ages of a slice mean now.
struct Ages {
    /// Seconds since the slice was written.
    since: u64,
    shift: u8,
}

impl Ages {
    /// Reads what follows the tag of a head.
    fn read(source: &mut Source<'_>, since: Duration) -> Result<Ages, SnapshotError> {
        let [version, shift] = *source.array()?;
        if version != VERSION {
            return Err(SnapshotError::Version(version));
        }
        if shift > SHIFT_MAX {
            return Err(SnapshotError::Malformed(source.at - 1));
        }
        let elapsed = source.number()?.saturating_mul(1 << shift);
        Ok(Ages { since: since.as_secs().saturating_sub(elapsed), shift })
    }

    /// When somebody of this age was heard of; nothing if that is too long ago.
    fn stamp(&self, age: &[u8], clock: &Clock) -> Option<Stamp> {
        let age = age.iter().fold(0, |age, byte| age << 8 | u64::from(*byte));
        clock.seen_before(self.since.saturating_add(age << self.shift))
    }
}

/// Peers of a swarm, still packed.
struct Record<'a> {
    info_hash: InfoHash,
    downloaded: u32,
    /// The first so many are.
    seeds: usize,
    peers: &'a [u8],
}

impl<'a> Record<'a> {
    /// Reads what follows the tag.
    fn read(source: &mut Source<'a>, peer_len: usize) -> Result<Record<'a>, SnapshotError> {
        let info_hash = InfoHash(*source.array()?);
        let mut number = || source.number().map(|number| usize::try_from(number).unwrap_or(usize::MAX));
        let [downloaded, seeds, leechers] = [number()?, number()?, number()?];
        let len = seeds.saturating_add(leechers).saturating_mul(peer_len);
        let downloaded = u32::try_from(downloaded).unwrap_or(u32::MAX);
        Ok(Record { info_hash, downloaded, seeds, peers: source.take(len)? })
    }
}

/// Bytes that are read from the front.
struct Source<'a> {
    all: &'a [u8],
    at: usize,
}

impl<'a> Source<'a> {
    /// The next byte, if this is not the end.
    fn tag(&mut self) -> Option<u8> {
        let tag = self.all.get(self.at)?;
        self.at += 1;
        Some(*tag)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], SnapshotError> {
        let end = self.at.saturating_add(len);
        let taken = self.all.get(self.at..end).ok_or(SnapshotError::Truncated)?;
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], SnapshotError> {
        self.take(N)?.as_array().ok_or(SnapshotError::Truncated)
    }

    fn number(&mut self) -> Result<u64, SnapshotError> {
        let mut number = 0;
        for shift in (0..63).step_by(7) {
            let byte = self.tag().ok_or(SnapshotError::Truncated)?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(SnapshotError::Malformed(self.at - 1))
    }
}
