//! All torrents of one loop. Routes inputs to the torrent they are about; decides nothing that a torrent can decide.
//!
//! What is left to decide here spans torrents: whose block leaves next, who is unchoked, when everything has been saved.
//! What always holds: an input about a torrent or link that is not here changes nothing, but a payload is always answered.

mod audit;
mod choking;

use crate::cx::Cx;
use crate::event::StageName;
use crate::input::LinkUp;
use crate::pool::{LEASE_DEFAULT, Pool, Reader};
use crate::sorted::Sorted;
use crate::stats::{Demand, PeerStats, TorrentStats, TrackerStats, WebSeedStats};
use crate::timers::{Timer, Timers};
use crate::torrent::metadata::ParkedPiece;
use crate::torrent::{Torrent, Turn};
use crate::{Command, Config, Event, Input, Instant, LinkId, Outbox, Output, PeerKey, Rng, Seed, TorrentId};
use std::sync::Arc;
use wire::Bitfield;

/// The machine that a driver runs.
#[derive(Debug)]
pub struct Session {
    config: Arc<Config>,
    rng: Rng,
    timers: Timers,
    pool: Pool,
    torrents: Sorted<TorrentId, Box<Entry>>,
    links: Sorted<LinkId, (TorrentId, PeerKey)>,
    choking: choking::Choking,
    now: Instant,
    shutdown: Shutdown,
}

/// A torrent and its own chance.
#[derive(Debug)]
struct Entry {
    torrent: Torrent,
    rng: Rng,
    turn: choking::Turn,
}

/// How far a shutdown has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Shutdown {
    No,
    Saving,
    Done,
}

impl Session {
    /// A session without torrents.
    pub fn new(config: Arc<Config>, seed: Seed, now: Instant) -> Session {
        Session {
            config,
            rng: Rng::new(seed),
            timers: Timers::new(),
            pool: Pool::new(LEASE_DEFAULT, now),
            torrents: Sorted::new(),
            links: Sorted::new(),
            choking: choking::Choking::new(),
            now,
            shutdown: Shutdown::No,
        }
    }

    /// One thing happened at `now`; everything to be done about it is appended to `out`.
    pub fn handle(&mut self, now: Instant, input: Input<'_>, out: &mut Outbox) {
        self.now = self.now.max(now);
        self.route(input, out);
        self.send_blocks(out);
        self.after(out);
    }

    /// When to call `handle(now, Input::Wake, ..)` next.
    pub fn next_wake(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// A torrent as it stands.
    pub fn torrent(&self, torrent: TorrentId) -> Option<TorrentStats> {
        self.torrents.get(torrent).map(|entry| entry.torrent.stats(self.now))
    }

    /// The pieces of a torrent that are verified.
    pub fn have(&self, torrent: TorrentId) -> Option<&Bitfield> {
        self.torrents.get(torrent).map(|entry| entry.torrent.have())
    }

    /// The linked peers of a torrent.
    pub fn peers(&self, torrent: TorrentId) -> Vec<PeerStats> {
        self.torrents.get(torrent).map(|entry| entry.torrent.peer_stats(self.now)).unwrap_or_default()
    }

    /// The trackers of a torrent.
    pub fn trackers(&self, torrent: TorrentId) -> Vec<TrackerStats> {
        self.torrents.get(torrent).map(|entry| entry.torrent.tracker_stats(self.now)).unwrap_or_default()
    }

    /// The web seeds of a torrent.
    pub fn web_seeds(&self, torrent: TorrentId) -> Vec<WebSeedStats> {
        self.torrents.get(torrent).map(|entry| entry.torrent.web_seed_stats(self.now)).unwrap_or_default()
    }

    /// The torrents, in the order of their ids.
    pub fn torrents(&self) -> impl Iterator<Item = TorrentId> + '_ {
        self.torrents.keys()
    }

    /// What this session could use.
    pub fn demand(&self) -> Demand {
        let (up, down) = (self.pool.up_meter.rate(self.now), self.pool.down_meter.rate(self.now));
        let mut demand = Demand {
            up: up + DEMAND_MIN,
            down: down + DEMAND_MIN,
            links: self.pool.links,
            buffered: self.pool.buffered,
            ..Demand::default()
        };
        // Twice what moves, while more waits to: so a share grows as quickly as it is used.
        if !self.pool.uplink.is_idle() || self.pool.uplink.in_flight() > 0 {
            demand.up += up;
        }
        for entry in self.torrents.values() {
            demand.interested += entry.torrent.interested();
            match entry.torrent.stage() {
                StageName::Downloading | StageName::FetchingMetadata => {
                    demand.links_wanted += self.config.links_per_torrent;
                    demand.down += down.max(DEMAND_MIN);
                }
                StageName::Seeding => demand.links_wanted += self.config.links_per_torrent,
                StageName::Opening | StageName::Checking | StageName::Paused | StageName::Failed => {}
            }
        }
        demand.links_wanted = demand.links_wanted.saturating_sub(demand.links);
        demand
    }

    fn route(&mut self, input: Input<'_>, out: &mut Outbox) {
        match input {
            Input::Wake => self.wake(out),
            Input::Command(command) => self.command(command, out),

            Input::LinkUp(up) => self.link_up(&up, out),
            Input::DialFailed { dial, why } => {
                self.with(dial.torrent, out, |torrent, cx| torrent.on_dial_failed(cx, dial, why));
            }
            Input::LinkDown { link, why } => {
                if let Some((torrent, key)) = self.links.remove(link) {
                    self.with(torrent, out, |torrent, cx| torrent.on_link_down(cx, key, why));
                }
            }
            Input::Message { link, message } => {
                self.with_peer(link, out, |torrent, cx, key| torrent.on_message(cx, key, message));
            }
            Input::Haves { link, pieces } => {
                self.with_peer(link, out, |torrent, cx, key| torrent.on_haves(cx, key, pieces));
            }
            Input::Block { link, block, payload } => {
                let known =
                    self.with_peer(link, out, |torrent, cx, key| torrent.on_block(cx, key, block, payload));
                if known.is_none() {
                    out.push(Output::Drop { payload });
                }
            }
            Input::MetadataPiece { link, piece, total, len, payload } => {
                let came = ParkedPiece { piece, total, len, payload };
                let known =
                    self.with_peer(link, out, |torrent, cx, key| torrent.on_metadata_piece(cx, key, came));
                if known.is_none() {
                    out.push(Output::Drop { payload });
                }
            }
            Input::MetadataReady { torrent, metainfo, priorities } => {
                self.with(torrent, out, |torrent, cx| torrent.on_metadata_ready(cx, metainfo, &priorities));
            }
            Input::MetadataFailed { torrent, size, why } => {
                self.with(torrent, out, |torrent, cx| torrent.on_metadata_failed(cx, size, why));
            }
            Input::Progress { link, bytes } => {
                self.with_peer(link, out, |torrent, cx, key| torrent.on_progress(cx, key, bytes));
            }
            Input::Overhead { link, received, sent } => {
                self.with_peer(link, out, |torrent, cx, key| torrent.on_overhead(cx, key, received, sent));
            }
            Input::Sent { token } => {
                self.with_peer(token.link, out, |torrent, cx, key| torrent.on_sent(cx, key, token));
            }
            Input::Unsent { token, why } => {
                self.with_peer(token.link, out, |torrent, cx, key| torrent.on_unsent(cx, key, token, why));
            }

            Input::Opened { torrent, found } => {
                self.with(torrent, out, |torrent, cx| torrent.on_opened(cx, found));
            }
            Input::CheckProgress { torrent, pieces } => {
                self.with(torrent, out, |torrent, _| torrent.on_check_progress(pieces));
            }
            Input::Checked { torrent, good } => {
                self.with(torrent, out, |torrent, cx| torrent.on_checked(cx, &good));
            }
            Input::Verified { torrent, piece, attempt, good, digests } => {
                self.with(torrent, out, |torrent, cx| {
                    torrent.on_verified(cx, piece, attempt, good, digests.as_deref());
                });
            }
            Input::Written { torrent, piece, attempt } => {
                self.with(torrent, out, |torrent, cx| torrent.on_written(cx, piece, attempt));
            }
            Input::Spilled { torrent, piece, attempt, digests } => {
                self.with(torrent, out, |torrent, cx| {
                    torrent.on_spilled(cx, piece, attempt, digests.as_deref());
                });
            }
            Input::Synced { torrent, epoch } => {
                self.with(torrent, out, |torrent, cx| torrent.on_synced(cx, epoch));
            }
            Input::SyncFailed { torrent, epoch, error } => {
                self.with(torrent, out, |torrent, cx| torrent.on_sync_failed(cx, epoch, error));
            }
            Input::Committed { torrent, epoch } => {
                self.with(torrent, out, |torrent, cx| torrent.on_committed(cx, epoch));
            }
            Input::StorageFailed { torrent, operation, error } => {
                self.with(torrent, out, |torrent, cx| torrent.on_storage_failed(cx, operation, error));
            }
            Input::Closed { torrent } => {
                self.with(torrent, out, |torrent, cx| torrent.on_closed(cx));
            }

            Input::Announced { announce, outcome } => {
                self.with(announce.torrent, out, |torrent, cx| torrent.on_announced(cx, announce, outcome));
            }
            Input::Scraped { scrape, outcome } => {
                self.with(scrape.torrent, out, |torrent, cx| torrent.on_scraped(cx, scrape, &outcome));
            }
            Input::Fetched { fetch, block, payload } => {
                let known = self
                    .with(fetch.torrent, out, |torrent, cx| torrent.on_fetched(cx, fetch, block, payload));
                if known.is_none() {
                    out.push(Output::Drop { payload });
                }
            }
            Input::FetchEnded { fetch, outcome } => {
                self.with(fetch.torrent, out, |torrent, cx| torrent.on_fetch_ended(cx, fetch, outcome));
            }
            Input::FoundPeers { torrent, source, peers } => {
                self.with(torrent, out, |torrent, cx| torrent.on_found_peers(cx, source, peers));
            }
        }
    }

    fn command(&mut self, command: Command, out: &mut Outbox) {
        match command {
            Command::Add(add) => {
                self.enter(add.torrent, out, |config, rng| Some(Torrent::new(config, rng, *add)));
            }
            Command::AddMagnet(add) => {
                self.enter(add.torrent, out, |config, rng| Torrent::fetching(config, rng, *add));
            }
            Command::Pause(id) => self.on(id, out, Torrent::pause),
            Command::Resume(id) => self.on(id, out, Torrent::resume),
            Command::Remove(id) => self.on(id, out, Torrent::remove),
            Command::Recheck(id) => self.on(id, out, Torrent::recheck),
            Command::SetPriorities(id, files) => {
                self.with(id, out, |torrent, cx| torrent.set_priorities(cx, &files));
            }
            Command::SetSequential(id, sequential) => {
                self.with(id, out, |torrent, _| torrent.set_sequential(sequential));
            }
            Command::AddPeers(id, peers) => {
                self.with(id, out, |torrent, cx| {
                    torrent.on_found_peers(cx, crate::input::PeerSource::User, &peers);
                });
            }
            Command::Reannounce(id) => self.on(id, out, Torrent::reannounce),
            Command::SetSeedGoal(id, goal) => {
                self.with(id, out, |torrent, cx| torrent.set_seed_goal(cx, goal));
            }
            Command::Lease(lease) => self.pool.set_lease(self.now, lease),
            Command::Listening(port) => self.pool.listening = Some(port),
            Command::DhtPort(port) => self.pool.dht = port,
            Command::Shutdown => {
                if self.shutdown == Shutdown::No {
                    self.shutdown = Shutdown::Saving;
                    for id in self.torrents.keys().collect::<Vec<_>>() {
                        self.with(id, out, Torrent::pause);
                    }
                }
            }
        }
    }

    /// Takes a torrent in. Whoever creates a thing names it: a name that is taken is the driver's mistake, and the older one stays.
    fn enter(
        &mut self,
        id: TorrentId,
        out: &mut Outbox,
        make: impl FnOnce(&Config, &mut Rng) -> Option<Torrent>,
    ) {
        if self.torrents.has(id) || self.shutdown != Shutdown::No {
            return;
        }
        let mut rng = self.rng.fork();
        if let Some(torrent) = make(&self.config, &mut rng) {
            self.torrents.insert(id, Box::new(Entry { torrent, rng, turn: choking::Turn::default() }));
            self.with(id, out, Torrent::settle);
        }
    }

    fn wake(&mut self, out: &mut Outbox) {
        // What is armed anew while this runs waits for the next wake, so that no mistake can spin here.
        let due: Vec<Timer> = core::iter::from_fn(|| self.timers.pop_due(self.now)).collect();
        for timer in due {
            match timer {
                Timer::Choke => self.choke_round(out),
                // Looked at after every input.
                Timer::Upload => {}
                Timer::Download => self.read_on(out),
                Timer::Memory => self.ask_again(out),
                Timer::Torrent(id, timer) => self.on(id, out, |torrent, cx| torrent.on_timer(cx, timer)),
                Timer::Peer(id, key) => self.on(id, out, |torrent, cx| torrent.on_peer_timer(cx, key)),
            }
        }
    }

    fn link_up(&mut self, up: &LinkUp, out: &mut Outbox) {
        if self.links.has(up.link) {
            return;
        }
        match self.with(up.torrent, out, |torrent, cx| torrent.on_link_up(cx, up)) {
            Some(Some(key)) => {
                self.links.insert(up.link, (up.torrent, key));
            }
            Some(None) => {}
            None => {
                let why = crate::output::CloseReason::TorrentStopped;
                out.push(Output::Close { link: up.link, why });
            }
        }
    }

    /// Hands blocks to the driver while allowance, credit and requests last: a few bytes for everybody in turn.
    fn send_blocks(&mut self, out: &mut Outbox) {
        while !self.pool.uplink.is_idle() {
            if self.pool.up.available(self.now) == 0 {
                let at = self.pool.up.ready_at(self.now, 1);
                return self.timers.set(Timer::Upload, at.max(self.now + MOMENT));
            }
            let Some((id, key)) = self.pool.uplink.take_turn() else { return };
            match self.with(id, out, |torrent, cx| torrent.send_next(cx, key)) {
                Some(Turn::Again) => self.pool.uplink.put_back(id, key),
                Some(Turn::Next) => self.pool.uplink.enlist(id, key),
                Some(Turn::Full) => {
                    self.pool.uplink.put_back(id, key);
                    return self
                        .timers
                        .set(Timer::Upload, self.pool.uplink.probe_at().max(self.now + MOMENT));
                }
                Some(Turn::Done) | None => {}
            }
        }
        self.timers.clear(Timer::Upload);
    }

    /// Lets links be read again, longest waiting first: as many as there is allowance for, since each may bring far more than its
    /// part. Were all of them read at once, the debt would shut all of them for minutes.
    fn read_on(&mut self, out: &mut Outbox) {
        let available = self.pool.down.available(self.now);
        let most = usize::try_from(available.div_ceil(READ_AT_ONCE)).unwrap_or(usize::MAX);
        let count = most.min(self.pool.unread.len());
        for reader in self.pool.unread.drain(..count).collect::<Vec<_>>() {
            match reader {
                Reader::Link(link) => {
                    out.push(Output::ResumeReading { link });
                    self.with_peer(link, out, |torrent, cx, key| torrent.on_read_again(cx, key));
                }
                Reader::Fetch(fetch) => out.push(Output::ResumeFetch { fetch }),
            }
        }
    }

    /// There is memory again: torrents that were refused some ask for more, beginning anywhere, so that none is always last.
    fn ask_again(&mut self, out: &mut Outbox) {
        self.pool.short = false;
        let waiting = self.torrents.iter().filter(|(_, entry)| entry.torrent.waits_for_memory());
        let mut waiting: Vec<TorrentId> = waiting.map(|(id, _)| id).collect();
        let first = self.rng.index(waiting.len());
        waiting.rotate_left(first);
        for id in waiting {
            self.on(id, out, Torrent::on_memory);
        }
    }

    /// What spans torrents, after every input.
    fn after(&mut self, out: &mut Outbox) {
        if core::mem::take(&mut self.pool.freed) {
            self.timers.set_no_later(Timer::Memory, self.now + MEMORY_PACE);
        }
        if core::mem::take(&mut self.pool.choke_soon) {
            let at = self.choking.soonest(self.now);
            self.timers.set_no_later(Timer::Choke, at);
        }
        if !self.pool.unread.is_empty() {
            let ready = self.pool.down.ready_at(self.now, READ_AT_ONCE);
            match ready > self.now {
                true => self.timers.set(Timer::Download, ready.max(self.now + MOMENT)),
                false => self.timers.set_no_later(Timer::Download, self.now + MOMENT),
            }
        }
        if self.shutdown == Shutdown::Saving && self.torrents.values().all(|entry| entry.torrent.is_settled())
        {
            self.shutdown = Shutdown::Done;
            out.push(Output::Event(Event::Stopped));
        }
    }

    /// Lets a torrent act, if it is here; a torrent that is gone afterwards is forgotten.
    fn with<T>(
        &mut self,
        id: TorrentId,
        out: &mut Outbox,
        act: impl FnOnce(&mut Torrent, &mut Cx<'_>) -> T,
    ) -> Option<T> {
        let Entry { torrent, rng, turn: _ } = &mut **self.torrents.get_mut(id)?;
        let mut cx = Cx {
            now: self.now,
            rng,
            config: &self.config,
            timers: &mut self.timers,
            pool: &mut self.pool,
            out,
        };
        let result = act(torrent, &mut cx);
        // Pieces are opened and given up in many ways: what they reserve is counted after all of them.
        torrent.account(&mut cx);
        if torrent.is_gone() {
            self.forget(id, out);
        }
        Some(result)
    }

    /// The same, for what reports nothing.
    fn on(&mut self, id: TorrentId, out: &mut Outbox, act: impl FnOnce(&mut Torrent, &mut Cx<'_>)) {
        self.with(id, out, act);
    }

    /// The same for the peer behind a link.
    fn with_peer<T>(
        &mut self,
        link: LinkId,
        out: &mut Outbox,
        act: impl FnOnce(&mut Torrent, &mut Cx<'_>, PeerKey) -> T,
    ) -> Option<T> {
        let &(torrent, key) = self.links.get(link)?;
        self.with(torrent, out, |torrent, cx| act(torrent, cx, key))
    }

    fn forget(&mut self, id: TorrentId, out: &mut Outbox) {
        self.torrents.remove(id);
        self.timers.forget_torrent(id);
        self.links.retain(|_, &(torrent, _)| torrent != id);
        out.push(Output::Event(Event::Removed(id)));
    }
}

/// No timer of the pool goes off sooner than this after now: a pace, not a precision.
const MOMENT: crate::Duration = crate::Duration::from_millis(1);
/// Torrents that were refused memory are looked for this often at most, while some is set free all the time.
const MEMORY_PACE: crate::Duration = crate::Duration::from_millis(50);
/// What a session asks for although nothing moves, bytes per second: so that something can begin.
const DEMAND_MIN: u64 = 64 * 1024;
/// Links are read again when this much may be: a block, so that reading does not start and stop for bytes.
const READ_AT_ONCE: u64 = 16 * 1024;

#[cfg(test)]
mod tests;
