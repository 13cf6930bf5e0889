//! Our visits to the trackers of one torrent: which tracker, when, and what is said. Not the visit itself, which is the
//! driver's, and not the peers that come back, which are the torrent's.
//!
//! Invariants: at most one visit is under way; a tracker that asks to be left alone (minimum interval, BEP 31) is left
//! alone, but for events; every tracker that was told `Started` is told `Stopped`, if it still answers. A tracker is asked for
//! its counts (a scrape) after an announce that it answered and at no other time, at most once in its interval, one tracker at a
//! time. BEP: 3, 12, 15, 21, 31, 48

mod tier;

use crate::input::{AnnounceFailure, AnnounceReply};
use crate::output::{Announce, AnnounceEvent, Scrape};
use crate::stats::{SwarmCounts, TrackerStats};
use crate::{AnnounceId, Duration, Instant, Rng, ScrapeId, TorrentId};
pub use tier::{
    BACK_OFF_MAX, BACK_OFF_MIN, EVENT_GAP, HURRY_INTERVAL, INTERVAL_MAX, INTERVAL_MIN, SCRAPE_FAILURES_MAX,
};
use tier::{Entry, Hurry, Standing, Tier, Told};
use wire::tracker_udp::ScrapeCounts;

/// A driver that does not answer within this time is taken to have failed; its own time-out is shorter.
pub const VISIT_TIME_MAX: Duration = Duration::from_secs(60);
/// All goodbyes together take at most this long: nobody wants to wait for a tracker when quitting.
pub const STOP_TIME_MAX: Duration = Duration::from_secs(2);
/// Trackers of one torrent that we keep; the rest of a longer list is ignored. Real lists have up to some 200.
pub const TRACKERS_MAX: usize = 500;

/// Decides about all tracker visits of one torrent.
///
/// Call [`Announcer::poll`] after every other method that takes `now`, and when [`Announcer::next_wake`] says, until it
/// returns `None`.
#[derive(Clone, Debug)]
pub struct Announcer {
    torrent: TorrentId,
    tiers: Vec<Tier>,
    /// Tells trackers that we are the same client after a change of address.
    key: u32,
    phase: Phase,
    visit: Option<Visit>,
    scraping: Scraping,
    /// Counts visits, scrapes among them.
    sequence: u32,
    hunger: Hunger,
    /// We have everything: trackers that were told otherwise want to hear of it.
    complete: bool,
}

/// What the torrent has to say for itself in a visit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Figures {
    /// Payload bytes sent since `Started`.
    pub uploaded: u64,
    /// Payload bytes received since `Started`.
    pub downloaded: u64,
    /// Bytes that we lack, wanted or not; 0 makes us a seed in the tracker's eyes.
    pub left: u64,
    /// How many peers we would like.
    pub want: u32,
    /// All that is wanted is here, but not all there is (BEP 21).
    pub partial_seed: bool,
}

/// How much we need more peers than we know.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Hunger {
    /// We know enough.
    #[default]
    Fed,
    /// Everybody we know is linked, or about to be.
    Few,
    /// Nobody is linked, and all whom we know came to nothing: the tracker may have named only those that have left.
    Alone,
}

/// What [`Announcer::poll`] wants.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Make this visit.
    Visit(Box<Announce>),
    /// Ask this tracker for its counts.
    Scrape(Scrape),
    /// The driver never answered; to be told to the user as any other failure.
    TimedOut(Failed),
}

/// A tracker answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answered {
    /// Index among the torrent's trackers, all tiers in order.
    pub tracker: u16,
    /// Its words, with the peers.
    pub reply: AnnounceReply,
}

/// A visit came to nothing, or the tracker said no.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failed {
    /// Index among the torrent's trackers, all tiers in order.
    pub tracker: u16,
    /// Text of the tracker or of the driver; a stranger's.
    pub why: Box<str>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Not taking part.
    Idle,
    Running,
    /// Saying goodbye, until then at the latest.
    Stopping(Instant),
}

/// The visit that is under way.
#[derive(Clone, Copy, Debug)]
struct Visit {
    sequence: u32,
    tier: usize,
    position: usize,
    /// What the tracker believes once this visit is answered.
    tells: Told,
    deadline: Instant,
}

/// A tracker's counts, on the way to be asked for. Beside the visits: nothing waits for them, so nothing is lost with them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Scraping {
    No,
    /// This tracker answered an announce just now, and may be asked.
    Due {
        tracker: u16,
    },
    UnderWay {
        sequence: u32,
        tracker: u16,
        deadline: Instant,
    },
}

/// Whom to visit.
enum Turn {
    /// This one, now.
    Now(usize, usize),
    /// Nobody before this time; `None` is never.
    Wait(Option<Instant>),
}

impl Announcer {
    /// The announcer of a torrent with these tiers of tracker URLs (BEP 12). Idle until [`Announcer::start`].
    pub fn new(torrent: TorrentId, trackers: &[Vec<String>], rng: &mut Rng) -> Announcer {
        let mut index = 0;
        let mut tiers = Vec::new();
        for urls in trackers {
            let room = TRACKERS_MAX - usize::from(index);
            let mut entries = Vec::with_capacity(urls.len().min(room));
            for url in urls.iter().take(room) {
                entries.push(Entry::new(index, url.as_str().into()));
                index += 1;
            }
            tiers.push(Tier::new(entries, rng));
        }
        let key = rng.next_u32();
        let (phase, visit, scraping) = (Phase::Idle, None, Scraping::No);
        Announcer {
            torrent,
            tiers,
            key,
            phase,
            visit,
            scraping,
            sequence: 0,
            hunger: Hunger::Fed,
            complete: false,
        }
    }

    /// The torrent takes part from now on: trackers are told `Started`.
    pub fn start(&mut self) {
        if self.phase != Phase::Running {
            self.give_up_visit();
            self.phase = Phase::Running;
        }
    }

    /// Whether we have every piece, wanted or not. Trackers that were told otherwise are told `Completed`, once each;
    /// who starts complete never says so (BEP 3).
    pub fn set_complete(&mut self, complete: bool) {
        self.complete = complete;
    }

    /// How much we need peers: of few, visits come as often as trackers allow; of none, so at first, and then at waits that double.
    pub fn set_hunger(&mut self, hunger: Hunger) {
        self.hunger = hunger;
    }

    /// As it was told last.
    pub fn hunger(&self) -> Hunger {
        self.hunger
    }

    /// The user wants to ask now: as soon as trackers allow.
    pub fn reannounce(&mut self) {
        self.tiers.iter_mut().flat_map(|tier| &mut tier.entries).for_each(Entry::hasten);
    }

    /// The torrent no longer takes part: trackers that know us are told `Stopped`, after `Completed` if that is news to them,
    /// within [`STOP_TIME_MAX`]. A visit under way is given up; its answer will be ignored.
    pub fn stop(&mut self, now: Instant) {
        if self.phase != Phase::Running {
            return;
        }
        self.give_up_visit();
        self.scraping = Scraping::No;
        for entry in self.tiers.iter_mut().flat_map(|tier| &mut tier.entries) {
            if entry.standing != Standing::Good {
                entry.told = Told::Nothing;
            }
        }
        self.phase = Phase::Stopping(now + STOP_TIME_MAX);
    }

    /// Whether nothing is under way or to be said any more, after [`Announcer::stop`].
    pub fn is_idle(&self) -> bool {
        self.phase == Phase::Idle
    }

    /// The next thing to do at `now`, if any; at most one visit is under way at a time.
    pub fn poll(&mut self, now: Instant, figures: &Figures, rng: &mut Rng) -> Option<Step> {
        if let Phase::Stopping(deadline) = self.phase
            && now >= deadline
        {
            self.quit();
        }
        if let Scraping::Due { tracker } = self.scraping {
            return self.scrape(now, tracker).map(Step::Scrape);
        }
        if let Some(visit) = self.visit {
            if now < visit.deadline {
                return None;
            }
            self.visit = None;
            let silence = AnnounceFailure::Unreachable("no answer in time".into());
            return self.failed(now, visit, silence, rng).map(Step::TimedOut);
        }
        match self.phase {
            Phase::Idle => None,
            Phase::Running => match self.turn(now) {
                Turn::Now(tier, position) => self.visit(now, tier, position, figures),
                Turn::Wait(_) => None,
            },
            Phase::Stopping(_) => match self.next_goodbye() {
                Some((tier, position)) => self.visit(now, tier, position, &Figures { want: 0, ..*figures }),
                None => {
                    self.quit();
                    None
                }
            },
        }
    }

    /// A visit ended. `None` if it is not the one under way, or nobody needs to know: we have left.
    pub fn answered(
        &mut self,
        now: Instant,
        announce: AnnounceId,
        outcome: Result<AnnounceReply, AnnounceFailure>,
        rng: &mut Rng,
    ) -> Option<Result<Answered, Failed>> {
        let visit = self.visit.take_if(|visit| visit.sequence == announce.sequence)?;
        match outcome {
            Ok(reply) => self.succeeded(now, visit, reply).map(Ok),
            Err(failure) => self.failed(now, visit, failure, rng).map(Err),
        }
    }

    /// A scrape ended; nothing happens if it is not the one under way.
    pub fn scraped(&mut self, scrape: ScrapeId, outcome: &Result<ScrapeCounts, AnnounceFailure>) {
        let Scraping::UnderWay { sequence, tracker, .. } = self.scraping else { return };
        if sequence == scrape.sequence {
            self.scraping = Scraping::No;
            let mut entries = self.tiers.iter_mut().flat_map(|tier| &mut tier.entries);
            if let Some(entry) = entries.find(|entry| entry.index == tracker) {
                entry.scraped(outcome);
            }
        }
    }

    /// When to call [`Announcer::poll`] next. Looks at trackers up to the first that works, so in practice at one.
    pub fn next_wake(&self) -> Option<Instant> {
        let visit = self.visit.map(|visit| visit.deadline);
        match self.phase {
            Phase::Idle => None,
            Phase::Stopping(deadline) => visit.map_or(Some(Instant::ZERO), |visit| Some(visit.min(deadline))),
            Phase::Running if visit.is_some() => visit,
            Phase::Running => match self.turn(Instant::ZERO) {
                Turn::Now(..) => Some(Instant::ZERO),
                Turn::Wait(wake) => wake,
            },
        }
    }

    /// Seeds besides us, as the trackers that know us count.
    pub fn other_seeds(&self) -> u32 {
        let entries = self.tiers.iter().flat_map(|tier| &tier.entries);
        let others =
            |entry: &Entry| Some(entry.swarm?.seeds.saturating_sub(u32::from(entry.told == Told::Complete)));
        entries.filter_map(others).max().unwrap_or_default()
    }

    /// The swarm as the tracker counts it that knows of the most peers.
    pub fn swarm(&self) -> Option<SwarmCounts> {
        let entries = self.tiers.iter().flat_map(|tier| &tier.entries);
        entries.filter_map(|entry| entry.swarm).max_by_key(|swarm| swarm.seeds.saturating_add(swarm.leechers))
    }

    /// The trackers as they stand, in the torrent's own order.
    pub fn stats(&self, now: Instant) -> Vec<TrackerStats> {
        let mut rows = Vec::new();
        for (tier_index, tier) in self.tiers.iter().enumerate() {
            for (position, entry) in tier.entries.iter().enumerate() {
                let visited = self.visit.is_some_and(|v| v.tier == tier_index && v.position == position);
                let due = entry.due(self.hurry(entry)).filter(|_| !visited && self.phase == Phase::Running);
                let failure = match &entry.standing {
                    Standing::Good => None,
                    Standing::Failing(_, why) | Standing::Gone(why) => Some(why.clone()),
                };
                let next = due.map(|due| due - now);
                let tier = tier_index as u16;
                let row = TrackerStats { url: entry.url.clone(), tier, failure, swarm: entry.swarm, next };
                rows.push((entry.index, row));
            }
        }
        rows.sort_by_key(|(index, _)| *index);
        rows.into_iter().map(|(_, row)| row).collect()
    }

    /// The answer will be ignored, but the tracker may have heard us all the same.
    fn give_up_visit(&mut self) {
        if let Some(visit) = self.visit.take()
            && let Some(entry) = self.entry_mut(visit.tier, visit.position)
        {
            entry.told = visit.tells;
        }
    }

    fn entry_mut(&mut self, tier: usize, position: usize) -> Option<&mut Entry> {
        self.tiers.get_mut(tier)?.entries.get_mut(position)
    }

    fn hurry(&self, entry: &Entry) -> Hurry {
        match entry.told {
            Told::Nothing => Hurry::Event,
            Told::Lacking if self.complete => Hurry::Event,
            Told::Lacking | Told::Complete => Hurry::Of(self.hunger),
        }
    }

    /// BEP 12: from the first tier on, the first tracker that works; one that fails is passed over until its back-off
    /// ends, and one that works but is not due yet hides all that come after it.
    fn turn(&self, now: Instant) -> Turn {
        let mut wake: Option<Instant> = None;
        for (tier, entries) in self.tiers.iter().map(|tier| &tier.entries).enumerate() {
            for (position, entry) in entries.iter().enumerate() {
                let Some(due) = entry.due(self.hurry(entry)) else { continue };
                if due <= now {
                    return Turn::Now(tier, position);
                }
                wake = Some(wake.map_or(due, |wake| wake.min(due)));
                if entry.standing == Standing::Good {
                    return Turn::Wait(wake);
                }
            }
        }
        Turn::Wait(wake)
    }

    fn next_goodbye(&self) -> Option<(usize, usize)> {
        self.tiers.iter().enumerate().find_map(|(index, tier)| {
            let position = tier.entries.iter().position(|entry| entry.told != Told::Nothing)?;
            Some((index, position))
        })
    }

    fn visit(&mut self, now: Instant, tier: usize, position: usize, figures: &Figures) -> Option<Step> {
        let stopping = matches!(self.phase, Phase::Stopping(_));
        let (announce, key) = (AnnounceId { torrent: self.torrent, sequence: self.sequence }, self.key);
        let (complete, hunger) = (self.complete, self.hunger);
        let entry = self.entry_mut(tier, position)?;
        let (event, tells) = match entry.told {
            // Also in the first of two goodbyes: whoever counts finished downloads is not to miss one for our hurry.
            Told::Lacking if complete => (AnnounceEvent::Completed, Told::Complete),
            _ if stopping => (AnnounceEvent::Stopped, Told::Nothing),
            Told::Nothing if complete => (AnnounceEvent::Started, Told::Complete),
            Told::Nothing => (AnnounceEvent::Started, Told::Lacking),
            Told::Lacking | Told::Complete if figures.partial_seed => (AnnounceEvent::Paused, entry.told),
            Told::Lacking | Told::Complete => (AnnounceEvent::None, entry.told),
        };
        if tells == entry.told {
            entry.asked(hunger);
        }
        let step = Step::Visit(Box::new(Announce {
            announce,
            tracker: entry.index,
            url: entry.url.clone(),
            event,
            uploaded: figures.uploaded,
            downloaded: figures.downloaded,
            left: figures.left,
            want: figures.want,
            key,
            tracker_id: entry.tracker_id.clone(),
        }));
        let deadline = now + VISIT_TIME_MAX;
        self.visit = Some(Visit { sequence: self.sequence, tier, position, tells, deadline });
        self.sequence = self.sequence.wrapping_add(1);
        Some(step)
    }

    fn scrape(&mut self, now: Instant, tracker: u16) -> Option<Scrape> {
        self.scraping = Scraping::No;
        let entry = self.tiers.iter().flat_map(|tier| &tier.entries).find(|entry| entry.index == tracker)?;
        let scrape = ScrapeId { torrent: self.torrent, sequence: self.sequence };
        let scrape = Scrape { scrape, tracker, url: entry.url.clone() };
        let deadline = now + VISIT_TIME_MAX;
        self.scraping = Scraping::UnderWay { sequence: self.sequence, tracker, deadline };
        self.sequence = self.sequence.wrapping_add(1);
        Some(scrape)
    }

    fn succeeded(&mut self, now: Instant, visit: Visit, reply: AnnounceReply) -> Option<Answered> {
        let running = self.phase == Phase::Running;
        let unanswered = matches!(self.scraping, Scraping::UnderWay { deadline, .. } if deadline > now);
        let tier = self.tiers.get_mut(visit.tier)?;
        let entry = tier.entries.get_mut(visit.position)?;
        entry.answered(now, &reply);
        entry.told = visit.tells;
        let tracker = entry.index;
        if running && !unanswered && entry.take_turn_to_scrape(now) {
            self.scraping = Scraping::Due { tracker };
        }
        tier.promote(visit.position);
        running.then_some(Answered { tracker, reply })
    }

    fn failed(
        &mut self,
        now: Instant,
        visit: Visit,
        failure: AnnounceFailure,
        rng: &mut Rng,
    ) -> Option<Failed> {
        let running = self.phase == Phase::Running;
        let entry = self.entry_mut(visit.tier, visit.position)?;
        if !running {
            entry.told = Told::Nothing;
            return None;
        }
        entry.failed(now, &failure, rng);
        let (AnnounceFailure::Refused { reason: why, .. }
        | AnnounceFailure::Unreachable(why)
        | AnnounceFailure::Forbidden(why)) = failure;
        Some(Failed { tracker: entry.index, why })
    }

    /// We have left, whoever heard it.
    fn quit(&mut self) {
        self.phase = Phase::Idle;
        self.visit = None;
        for entry in self.tiers.iter_mut().flat_map(|tier| &mut tier.entries) {
            entry.told = Told::Nothing;
        }
    }
}

#[cfg(test)]
mod tests;
