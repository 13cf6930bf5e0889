//! One tier of a torrent's trackers, and what we remember of each: when it may be visited, and what it was told.
//!
//! Knows nothing of the other tiers; `announce` walks them. Invariant: a tracker that answered is the first of its tier,
//! and no tracker's `soft` time lies before its `hard` one.
//! BEP: 3, 12, 31, 48

use super::Hunger;
use crate::input::{AnnounceFailure, AnnounceReply};
use crate::stats::SwarmCounts;
use crate::{Duration, Instant, Rng};
use std::sync::Arc;
use wire::tracker_http::scrape::can_be_scraped;
use wire::tracker_udp::ScrapeCounts;

/// The least time between regular visits, whatever the tracker says: a bad tracker must not make us hammer it.
pub const INTERVAL_MIN: Duration = Duration::from_secs(60);
/// The most: a tracker that says "in a year" would otherwise lose us for good.
pub const INTERVAL_MAX: Duration = Duration::from_secs(24 * 3600);
/// Where a tracker names no minimum interval, this much is kept between visits that are not regular.
pub const HURRY_INTERVAL: Duration = Duration::from_secs(5 * 60);
/// Time between an answer and the next event (`Started`, `Completed`), which may come earlier than the minimum interval.
pub const EVENT_GAP: Duration = Duration::from_secs(5);
/// First wait after a failure; doubles with each further one.
pub const BACK_OFF_MIN: Duration = Duration::from_secs(5);
/// Longest wait after a failure, jitter included.
pub const BACK_OFF_MAX: Duration = Duration::from_secs(30 * 60);

/// Whoever is alone and asks in vain waits twice as long each time, at most so often: from a minute that is eleven hours, and the
/// regular interval is shorter than that.
const DOUBLINGS_MAX: u8 = 9;

/// A tracker that did not tell its counts so many times in a row is not asked for them any more: most that do not are none
/// that would.
pub const SCRAPE_FAILURES_MAX: u8 = 3;

/// Trackers that stand in for one another.
#[derive(Clone, Debug)]
pub(super) struct Tier {
    /// In the order in which they are tried.
    pub(super) entries: Vec<Entry>,
}

/// One tracker as we know it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Its place in the torrent's own list, all tiers in order.
    pub(super) index: u16,
    pub(super) url: Arc<str>,
    pub(super) told: Told,
    pub(super) standing: Standing,
    /// What to send back with the next visit.
    pub(super) tracker_id: Option<Box<str>>,
    /// How many take part, if it said.
    pub(super) swarm: Option<SwarmCounts>,
    scrape: Scraping,
    /// When the last visit ended.
    last: Option<Instant>,
    /// No visit before this, but for events: the tracker's wish.
    hard: Instant,
    /// That wish, from the last answer on.
    least: Duration,
    /// How often in a row it was asked because we were alone, up to [`DOUBLINGS_MAX`].
    in_vain: u8,
    /// The next regular visit.
    soft: Instant,
}

/// Whether a tracker is asked for its counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Scraping {
    /// Not before this; it failed so many times in a row.
    From(Instant, u8),
    /// Never: there is no way to ask it, or it does not answer that.
    Never,
}

/// What a tracker believes about us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Told {
    /// It does not know us.
    Nothing,
    /// We take part and lack something.
    Lacking,
    /// We have everything.
    Complete,
}

/// What we believe about a tracker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    /// It answered, or was never asked.
    Good,
    /// It failed this many times in a row, the last time for this reason.
    Failing(u32, Box<str>),
    /// It is never asked again: it said so (BEP 31), or we do not go there.
    Gone(Box<str>),
}

/// Why a visit may come earlier than the regular one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Hurry {
    /// We need peers, so much.
    Of(Hunger),
    /// There is an event to tell.
    Event,
}

impl Tier {
    /// A tier in random order (BEP 12: shuffled once, when first read).
    pub(super) fn new(mut entries: Vec<Entry>, rng: &mut Rng) -> Tier {
        rng.shuffle(&mut entries);
        Tier { entries }
    }

    /// The entry at `position` answered: it is tried first from now on (BEP 12).
    pub(super) fn promote(&mut self, position: usize) {
        if let Some(head) = self.entries.get_mut(..=position) {
            head.rotate_right(1);
        }
    }
}

impl Entry {
    pub(super) fn new(index: u16, url: Arc<str>) -> Entry {
        let scrape = match can_be_scraped(&url) {
            true => Scraping::From(Instant::ZERO, 0),
            false => Scraping::Never,
        };
        Entry {
            index,
            url,
            told: Told::Nothing,
            standing: Standing::Good,
            tracker_id: None,
            swarm: None,
            scrape,
            last: None,
            hard: Instant::ZERO,
            least: Duration::ZERO,
            in_vain: 0,
            soft: Instant::ZERO,
        }
    }

    /// When the next visit may start; `None` is never.
    pub(super) fn due(&self, hurry: Hurry) -> Option<Instant> {
        match (&self.standing, hurry) {
            (Standing::Gone(_), _) => None,
            // An event does not shorten a back-off: the tracker would not hear it anyway.
            (Standing::Failing(..), _) | (Standing::Good, Hurry::Of(Hunger::Fed)) => Some(self.soft),
            (Standing::Good, Hurry::Of(Hunger::Few)) => Some(self.hard),
            (Standing::Good, Hurry::Of(Hunger::Alone)) => {
                Some((self.hard + self.least * ((1 << self.in_vain) - 1)).min(self.soft))
            }
            (Standing::Good, Hurry::Event) => Some(self.last.map_or(Instant::ZERO, |last| last + EVENT_GAP)),
        }
    }

    /// The next regular visit is due as soon as the tracker's wish allows.
    pub(super) fn hasten(&mut self) {
        self.soft = self.hard;
    }

    /// A visit begins that tells of no event.
    pub(super) fn asked(&mut self, hunger: Hunger) {
        self.in_vain = match hunger {
            Hunger::Alone => (self.in_vain + 1).min(DOUBLINGS_MAX),
            Hunger::Fed | Hunger::Few => 0,
        };
    }

    /// A visit was answered.
    pub(super) fn answered(&mut self, now: Instant, reply: &AnnounceReply) {
        let interval = reply.interval.clamp(INTERVAL_MIN, INTERVAL_MAX);
        let least = match reply.min_interval {
            Some(least) => least.clamp(INTERVAL_MIN, INTERVAL_MAX),
            None => HURRY_INTERVAL.min(interval),
        };
        self.standing = Standing::Good;
        self.last = Some(now);
        (self.hard, self.least) = (now + least, least);
        self.soft = now + interval.max(least);
        // A tracker that leaves its id out means the one it gave before (BEP 3 practice).
        if reply.tracker_id.is_some() {
            self.tracker_id.clone_from(&reply.tracker_id);
        }
        if let (Some(complete), Some(incomplete)) = (reply.complete, reply.incomplete) {
            let downloads = self.swarm.and_then(|swarm| swarm.downloads);
            self.swarm = Some(SwarmCounts { seeds: complete, leechers: incomplete, downloads });
        }
    }

    /// Whether its counts may be asked for, now that it answered; if so, that is not said again in this interval.
    pub(super) fn take_turn_to_scrape(&mut self, now: Instant) -> bool {
        let Scraping::From(due, failures) = self.scrape else { return false };
        if due > now {
            return false;
        }
        self.scrape = Scraping::From(self.soft, failures);
        true
    }

    /// It was asked for its counts.
    pub(super) fn scraped(&mut self, outcome: &Result<ScrapeCounts, AnnounceFailure>) {
        let Scraping::From(due, failures) = self.scrape else { return };
        self.scrape = match outcome {
            Ok(_) => Scraping::From(due, 0),
            Err(AnnounceFailure::Unreachable(_)) if failures + 1 < SCRAPE_FAILURES_MAX => {
                Scraping::From(due, failures + 1)
            }
            Err(_) => Scraping::Never,
        };
        if let Ok(ScrapeCounts { seeders, completed, leechers }) = *outcome {
            self.swarm = Some(SwarmCounts { seeds: seeders, leechers, downloads: Some(completed) });
        }
    }

    /// A visit came to nothing.
    pub(super) fn failed(&mut self, now: Instant, failure: &AnnounceFailure, rng: &mut Rng) {
        let times = match self.standing {
            Standing::Failing(times, _) => times.saturating_add(1),
            Standing::Good | Standing::Gone(_) => 1,
        };
        self.last = Some(now);
        let (why, wish) = match failure {
            AnnounceFailure::Forbidden(why) => return self.standing = Standing::Gone(why.clone()),
            AnnounceFailure::Refused { reason, retry: Some(None) } => {
                return self.standing = Standing::Gone(reason.clone());
            }
            AnnounceFailure::Refused { reason, retry: Some(wish) } => (reason, *wish),
            AnnounceFailure::Refused { reason, retry: None } => (reason, None),
            AnnounceFailure::Unreachable(why) => (why, None),
        };
        self.standing = Standing::Failing(times, why.clone());
        let (least, wait) = match wish {
            Some(wish) => {
                let wish = wish.clamp(INTERVAL_MIN, INTERVAL_MAX);
                (wish, wish)
            }
            None => (BACK_OFF_MIN, back_off(times, rng)),
        };
        self.hard = now + least;
        self.soft = now + wait;
    }
}

/// 5 s, 10 s, 20 s .. 24 min, each stretched by up to a quarter, so that clients whose tracker comes back do not all
/// fall upon it in one second.
fn back_off(times: u32, rng: &mut Rng) -> Duration {
    let doubled = BACK_OFF_MIN.saturating_mul(1 << times.saturating_sub(1).min(16));
    let base = doubled.min(BACK_OFF_MAX * 4 / 5);
    base + base * rng.below(1_000) / 4_000
}
