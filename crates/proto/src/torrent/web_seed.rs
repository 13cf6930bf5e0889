//! The web seeds of a torrent: which of them may be asked now, for how much, and when one that failed may be asked again.
//!
//! A table and its rules; what is asked for is the picker's, and effects are `fetching`'s. Always: a web seed has at most
//! [`FETCHES_PER_SEED_MAX`] ranges under way and all together at most [`FETCHES_MAX`]; a dropped one is never asked again; bytes
//! that are under way belong to one fetch. Threats: C14. BEP: 19

use crate::input::{FetchFailure, FetchFault};
use crate::pieces::RemotePieces;
use crate::rate::Meter;
use crate::stats::{WebSeedState, WebSeedStats};
use crate::{Duration, FetchId, Instant, PeerKey, TorrentId};
use core::ops::Range;
use std::sync::Arc;
use wire::Layout;
use wire::metainfo::WEB_SEEDS_MAX;

/// Ranges of one web seed at once: while one comes, the next is on its way to be asked for, so that a round trip costs nothing.
pub const FETCHES_PER_SEED_MAX: u32 = 2;

/// Ranges of all web seeds of a torrent at once: four servers.
pub const FETCHES_MAX: usize = 8;

/// Longest range: long enough that a round trip of 100 ms is a hundredth of it at 1 Gbit/s, and an eighth of the memory that
/// payload usually may take.
pub const RUN_BYTES_MAX: u64 = 16 << 20;

/// First range of a web seed, before its speed is known.
pub const RUN_BYTES_FIRST: u64 = 1 << 20;

/// Otherwise a range is what the web seed gives in this time, so that pieces are not kept from faster sources for long.
const RUN_SECONDS: u64 = 4;

/// While there are peers, a range is at most this part of what is lacking: they should find something, too.
const RUN_SHARE: u64 = 4;

/// Wrong pieces after which a web seed is dropped.
pub const BAD_PIECES_MAX: u8 = 3;

/// Fetches in a row that came to nothing through the server's own doing, after which it is dropped.
pub const FAULTS_MAX: u32 = 5;

/// Fetches in a row that ended because the server does not have a file, after which it is dropped: who lacks so many files one
/// after another has moved them all, and asking for each of a hundred thousand would be a flood.
pub const ABSENT_IN_A_ROW_MAX: u32 = 20;

/// When a web seed that failed is asked again at first; then after twice as long each time.
pub const RETRY_AFTER: Duration = Duration::from_secs(5);

/// And at the latest.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(600);

/// When a server that is busy and does not say for how long is asked again.
const BUSY_FOR: Duration = Duration::from_secs(30);

/// The longest that a server may tell us to wait.
const BUSY_FOR_MAX: Duration = Duration::from_secs(3600);

/// All of them.
#[derive(Debug)]
pub struct WebSeeds {
    seeds: Vec<WebSeed>,
    under_way: Vec<UnderWay>,
    sequence: u32,
}

#[derive(Debug)]
struct WebSeed {
    url: Arc<str>,
    /// What it has: everything, unless it said otherwise.
    pieces: RemotePieces,
    down: Meter,
    fetching: u32,
    /// Fetches in a row that came to nothing.
    failures: u32,
    /// Those of them that were the server's own doing.
    faults: u32,
    /// Those of them that ended at a file that it does not have.
    absent: u32,
    pieces_bad: u8,
    /// Not asked before this; never, if it is dropped.
    not_before: Option<Instant>,
    failure: Option<Box<str>>,
}

/// A range on its way.
#[derive(Clone, Debug)]
pub struct UnderWay {
    /// Its name.
    pub fetch: FetchId,
    /// Which web seed.
    pub seed: u8,
    /// What is still to come.
    pub rest: Range<u64>,
    /// Blocks of it that nobody else gave us meanwhile.
    awaited: u32,
    /// Something came.
    fruitful: bool,
}

impl UnderWay {
    /// The web seed as a source of blocks.
    pub fn source(&self) -> PeerKey {
        PeerKey::of_web_seed(self.seed)
    }
}

/// What a failure means for a web seed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is asked again later, or at once.
    Kept,
    /// It is not asked again.
    Dropped,
}

impl WebSeeds {
    /// Those that a torrent names.
    pub fn new(urls: &[String]) -> WebSeeds {
        let seeds = urls.iter().take(WEB_SEEDS_MAX).map(|url| WebSeed {
            url: url.as_str().into(),
            pieces: RemotePieces::All,
            down: Meter::default(),
            fetching: 0,
            failures: 0,
            faults: 0,
            absent: 0,
            pieces_bad: 0,
            not_before: Some(Instant::ZERO),
            failure: None,
        });
        WebSeeds { seeds: seeds.collect(), under_way: Vec::new(), sequence: 0 }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.seeds.is_empty()
    }

    /// Those that may be asked now, the least busy first, then the fastest.
    pub fn ready(&self, now: Instant) -> Vec<u8> {
        if self.under_way.len() >= FETCHES_MAX {
            return Vec::new();
        }
        let may = |seed: &WebSeed| {
            seed.fetching < FETCHES_PER_SEED_MAX && seed.not_before.is_some_and(|at| at <= now)
        };
        let mut ready: Vec<u8> =
            (0..).zip(&self.seeds).filter(|(_, seed)| may(seed)).map(|(at, _)| at).collect();
        ready.sort_by_key(|&at| {
            let seed = &self.seeds[usize::from(at)];
            (seed.fetching, core::cmp::Reverse(seed.down.rate(now)), at)
        });
        ready
    }

    /// When the next one that failed may be asked again.
    pub fn next_ready(&self, now: Instant) -> Option<Instant> {
        self.seeds.iter().filter_map(|seed| seed.not_before).filter(|&at| at > now).min()
    }

    /// What a web seed has.
    pub fn pieces(&self, seed: u8) -> &RemotePieces {
        self.seeds.get(usize::from(seed)).map_or(&RemotePieces::None, |seed| &seed.pieces)
    }

    /// How much to ask a web seed for at once, of so much that is lacking.
    pub fn run_bytes(&self, seed: u8, now: Instant, lacking: u64, alone: bool) -> u64 {
        let rate = self.seeds.get(usize::from(seed)).map_or(0, |seed| seed.down.rate(now));
        let share = if alone { u64::MAX } else { lacking / RUN_SHARE };
        rate.saturating_mul(RUN_SECONDS).clamp(RUN_BYTES_FIRST, RUN_BYTES_MAX).min(share)
    }

    /// A range is asked for: its name, and the web seed's URL.
    pub fn begin(
        &mut self,
        torrent: TorrentId,
        seed: u8,
        range: Range<u64>,
        blocks: u32,
    ) -> (FetchId, Arc<str>) {
        self.sequence = self.sequence.wrapping_add(1);
        let fetch = FetchId { torrent, sequence: self.sequence };
        let entry = &mut self.seeds[usize::from(seed)];
        entry.fetching += 1;
        self.under_way.push(UnderWay { fetch, seed, rest: range, awaited: blocks, fruitful: false });
        (fetch, Arc::clone(&entry.url))
    }

    /// A fetch that is under way.
    pub fn get(&self, fetch: FetchId) -> Option<&UnderWay> {
        self.under_way.iter().find(|under| under.fetch == fetch)
    }

    /// A block of a fetch came, up to this place of the content; `new` if nobody else gave it before. Says whether nothing that
    /// is still to come is of use.
    pub fn came(&mut self, now: Instant, fetch: FetchId, up_to: u64, bytes: u32, new: bool) -> bool {
        let Some(under) = self.under_way.iter_mut().find(|under| under.fetch == fetch) else { return false };
        under.rest.start = up_to.clamp(under.rest.start, under.rest.end);
        under.awaited = under.awaited.saturating_sub(u32::from(new));
        under.fruitful = true;
        if let Some(seed) = self.seeds.get_mut(usize::from(under.seed)) {
            seed.down.add(now, u64::from(bytes));
        }
        under.awaited == 0 && !under.rest.is_empty()
    }

    /// Somebody else gave us the block at this place of the content. Says which fetch has nothing more to give for that reason.
    pub fn beaten(&mut self, seed: u8, at: u64) -> Option<FetchId> {
        let of_seed = |under: &&mut UnderWay| under.seed == seed && under.rest.contains(&at);
        let under = self.under_way.iter_mut().find(of_seed)?;
        under.awaited = under.awaited.saturating_sub(1);
        (under.awaited == 0).then_some(under.fetch)
    }

    /// A fetch is over, or not wanted any more.
    pub fn end(&mut self, fetch: FetchId) -> Option<UnderWay> {
        let at = self.under_way.iter().position(|under| under.fetch == fetch)?;
        let under = self.under_way.swap_remove(at);
        if let Some(seed) = self.seeds.get_mut(usize::from(under.seed)) {
            seed.fetching -= 1;
        }
        Some(under)
    }

    /// The fetches under way of one web seed, or of all.
    pub fn fetches_of(&self, seed: Option<u8>) -> Vec<FetchId> {
        let of = |under: &&UnderWay| seed.is_none_or(|seed| seed == under.seed);
        self.under_way.iter().filter(of).map(|under| under.fetch).collect()
    }

    /// A fetch gave all that it was asked for.
    pub fn succeeded(&mut self, seed: u8) {
        if let Some(seed) = self.seeds.get_mut(usize::from(seed)) {
            (seed.failures, seed.faults, seed.absent, seed.failure) = (0, 0, 0, None);
        }
    }

    /// A fetch did not give all that it was asked for.
    pub fn failed(
        &mut self,
        now: Instant,
        under: &UnderWay,
        failure: &FetchFailure,
        layout: &Layout,
    ) -> Verdict {
        let Some(seed) = self.seeds.get_mut(usize::from(under.seed)) else { return Verdict::Kept };
        let before = if under.fruitful { 0 } else { seed.failures };
        let back_off_from = |before: u32| RETRY_AFTER.saturating_mul(1 << before.min(7)).min(RETRY_AFTER_MAX);
        let back_off = back_off_from(before);
        let (wait, fault) = match failure.fault {
            FetchFault::Cancelled => return Verdict::Kept,
            FetchFault::Unreachable => (back_off, false),
            FetchFault::Busy(wait) => (wait.unwrap_or(BUSY_FOR.max(back_off)).min(BUSY_FOR_MAX), false),
            FetchFault::Absent(file) => {
                seed.lacks(file, layout);
                seed.absent = if under.fruitful { 1 } else { seed.absent + 1 };
                // One file is soon missing somewhere, and the others are to be had at once.
                (before.checked_sub(1).map_or(Duration::ZERO, back_off_from), false)
            }
            FetchFault::Refused | FetchFault::Nonsense => (back_off, true),
            FetchFault::Forbidden => (back_off, true),
        };
        seed.failure = Some(failure.detail.clone());
        seed.failures = before + 1;
        seed.faults = if fault { seed.faults + 1 } else { seed.faults };
        let hopeless = failure.fault == FetchFault::Forbidden || seed.pieces == RemotePieces::None;
        if hopeless || seed.faults >= FAULTS_MAX || seed.absent >= ABSENT_IN_A_ROW_MAX {
            seed.not_before = None;
            return Verdict::Dropped;
        }
        // One that failed while another of its fetches goes on does not delay that one; a later word never shortens a wait.
        seed.not_before = seed.not_before.map(|at| at.max(now + wait));
        Verdict::Kept
    }

    /// A piece of a web seed was wrong.
    pub fn spoiled(&mut self, seed: u8) -> Verdict {
        let Some(seed) = self.seeds.get_mut(usize::from(seed)) else { return Verdict::Kept };
        seed.pieces_bad = seed.pieces_bad.saturating_add(1);
        if seed.pieces_bad < BAD_PIECES_MAX || seed.not_before.is_none() {
            return Verdict::Kept;
        }
        seed.not_before = None;
        seed.failure = Some(format!("{BAD_PIECES_MAX} pieces from it were wrong").into());
        Verdict::Dropped
    }

    /// Why a web seed failed last.
    pub fn failure(&self, seed: u8) -> Box<str> {
        self.seeds.get(usize::from(seed)).and_then(|seed| seed.failure.clone()).unwrap_or_default()
    }

    /// How many are being fetched from, and how fast all of them are together.
    pub fn totals(&self, now: Instant) -> (u32, u64) {
        let fetching = self.seeds.iter().filter(|seed| seed.fetching > 0).count();
        (fetching as u32, self.seeds.iter().map(|seed| seed.down.rate(now)).sum())
    }

    /// The figures of each.
    pub fn stats(&self, now: Instant) -> Vec<WebSeedStats> {
        let state = |seed: &WebSeed| match seed.not_before {
            None => WebSeedState::Dropped,
            Some(_) if seed.fetching > 0 => WebSeedState::Fetching,
            Some(at) if at > now => WebSeedState::Waiting(at.since(now)),
            Some(_) => WebSeedState::Idle,
        };
        let of = |seed: &WebSeed| WebSeedStats {
            url: Arc::clone(&seed.url),
            state: state(seed),
            downloaded: seed.down.total(),
            rate_down: seed.down.rate(now),
            pieces_bad: seed.pieces_bad,
            failure: seed.failure.clone(),
        };
        self.seeds.iter().map(of).collect()
    }
}

impl WebSeed {
    /// It does not have this file. O(pieces of the file), but for the first file, O(pieces / 64).
    fn lacks(&mut self, file: u32, layout: &Layout) {
        if let Some(file) = layout.file(file) {
            self.pieces.remove(layout.pieces_of(file), layout.pieces());
        }
    }
}
