//! Local service discovery: which of our torrents are named to the network when, and what is made of what others name.
//!
//! Knows no socket: the driver sends what is announced to both groups over every interface, and hands in what it hears. What
//! always holds: at most [`BURST`] datagrams at once and one a second after that, however many torrents there are and whatever
//! is heard; a torrent is announced at most once in [`REST`]; whoever is heard is a peer only of torrents that we have. The
//! session names no private torrent, so none is known here. BEP: 14, 27. Threats: D9, G5

#[cfg(test)]
mod tests;

use crate::hearing::Hearing;
use crate::{Duration, Instant, Rng, Seed, TorrentId};
use core::net::SocketAddr;
use std::collections::{BTreeMap, BTreeSet};
use wire::InfoHash;
use wire::lsd::{HASHES_PER_DATAGRAM, Search};

/// How often a torrent is announced (BEP 14); spread by a tenth to either side, so that torrents do not march in step.
pub const INTERVAL: Duration = Duration::from_secs(5 * 60);
/// A datagram may be lost, and a switch may have just woken up: what is new is said again after these.
const REPEATS: [Duration; 2] = [Duration::from_secs(3), Duration::from_secs(10)];
/// Datagrams that may leave at once: a few torrents that are added by hand wait for nothing.
pub const BURST: u32 = 3;
/// Between datagrams after that. With 25 torrents in each, 7,500 torrents are announced every five minutes, more of them less often.
pub const PACE: Duration = Duration::from_secs(1);
/// A torrent that was announced this short ago is not announced again, whoever asks: by that, two that answer each other stop.
pub const REST: Duration = Duration::from_millis(2500);
/// What is new waits this long, so that many that are added together share datagrams; likewise whatever is due so soon goes along.
const GATHER: Duration = Duration::from_millis(100);
/// Whoever answers waits this long at most: all that have the torrent answer, and not all at once.
const ANSWER_SPREAD: Duration = Duration::from_millis(800);
/// What is due this soon fills a datagram that leaves anyway.
const AHEAD: Duration = Duration::from_secs(60);
/// Ports of one source that are believed: so many clients on one machine, no more.
const PORTS_MAX: usize = 64;
/// Torrents that are looked through to fill a datagram.
const LOOKED_AT_MAX: usize = 4 * HASHES_PER_DATAGRAM;

/// What can happen.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// The time that `next_wake` asked for has come, or any other.
    Wake,
    /// This torrent wants to be found, from now on; if it was wanted before, it is announced soon.
    Find {
        /// Its name across the seam.
        torrent: TorrentId,
        /// Its name in the world.
        info_hash: InfoHash,
    },
    /// It no longer does.
    Stop {
        /// Its name across the seam.
        torrent: TorrentId,
        /// Its name in the world.
        info_hash: InfoHash,
    },
    /// A datagram was heard; a stranger's words.
    Heard {
        /// Who sent it, as the kernel says.
        from: SocketAddr,
        /// What it says.
        search: &'a Search,
    },
    /// There are other interfaces or addresses than before: whoever is there now has not heard of us.
    NetworkChanged,
}

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Say this to both groups, over every interface. The driver adds the port.
    Announce {
        /// At most [`HASHES_PER_DATAGRAM`].
        info_hashes: Vec<InfoHash>,
    },
    /// Somebody takes part in a torrent of ours.
    Found {
        /// Which.
        torrent: TorrentId,
        /// Where it says that it listens.
        peer: SocketAddr,
    },
}

/// The machine.
#[derive(Debug)]
pub struct Lsd {
    rng: Rng,
    cookie: Box<str>,
    torrents: BTreeMap<InfoHash, Row>,
    /// When each is announced next; one entry for each torrent.
    queue: BTreeSet<(Instant, InfoHash)>,
    /// When the pace would be kept by one datagram a second: as far ahead as datagrams left early.
    paid_until: Instant,
    hearing: Hearing,
}

/// A torrent that wants to be found.
#[derive(Clone, Copy, Debug)]
struct Row {
    torrent: TorrentId,
    due: Instant,
    said: Option<Instant>,
    /// How often it was announced since it was new.
    times: usize,
}

impl Lsd {
    /// Nothing to announce.
    pub fn new(seed: Seed, now: Instant) -> Lsd {
        let mut rng = Rng::new(seed);
        Lsd {
            cookie: format!("{:08x}", rng.next_u32()).into(),
            rng,
            torrents: BTreeMap::new(),
            queue: BTreeSet::new(),
            paid_until: now,
            hearing: Hearing::new(PORTS_MAX, now),
        }
    }

    /// By which we know our own words; eight hexadecimal digits.
    pub fn cookie(&self) -> &str {
        &self.cookie
    }

    /// One thing happened at `now`; everything to be done about it is appended to `out`.
    pub fn handle(&mut self, now: Instant, input: Input<'_>, out: &mut Vec<Output>) {
        match input {
            Input::Wake => {}
            Input::Find { torrent, info_hash } => self.find(now, torrent, info_hash),
            Input::Stop { torrent, info_hash } => {
                let row = self.torrents.get(&info_hash).filter(|row| row.torrent == torrent).copied();
                if let Some(row) = row {
                    self.torrents.remove(&info_hash);
                    self.queue.remove(&(row.due, info_hash));
                }
            }
            Input::Heard { from, search } => self.hear(now, from, search, out),
            Input::NetworkChanged => self.begin_again(now),
        }
        self.announce(now, out);
    }

    /// When to call `handle(now, Input::Wake, ..)` next.
    pub fn next_wake(&self) -> Option<Instant> {
        let &(due, _) = self.queue.first()?;
        Some(due.max(self.may_send_at()))
    }

    fn find(&mut self, now: Instant, torrent: TorrentId, info_hash: InfoHash) {
        match self.torrents.get_mut(&info_hash) {
            Some(row) => {
                row.torrent = torrent;
                self.announce_soon(now, info_hash, now + GATHER);
            }
            None => {
                let due = now + GATHER;
                self.torrents.insert(info_hash, Row { torrent, due, said: None, times: 0 });
                self.queue.insert((due, info_hash));
            }
        }
    }

    fn hear(&mut self, now: Instant, from: SocketAddr, search: &Search, out: &mut Vec<Output>) {
        if search.cookie.as_ref() == Some(&self.cookie) {
            return;
        }
        let mut peer = from;
        peer.set_port(search.port);
        if !self.hearing.believes(now, peer) {
            return;
        }
        let answer = now + self.chance(ANSWER_SPREAD);
        for &info_hash in &search.info_hashes {
            let Some(row) = self.torrents.get(&info_hash) else { continue };
            out.push(Output::Found { torrent: row.torrent, peer });
            // So that each finds the other, whichever of them can be reached.
            self.announce_soon(now, info_hash, answer);
        }
    }

    /// Announces a torrent at that time, unless it has just been announced: whoever asks now has heard that.
    fn announce_soon(&mut self, now: Instant, info_hash: InfoHash, at: Instant) {
        let Some(row) = self.torrents.get(&info_hash) else { return };
        let rested = row.said.is_none_or(|said| said + REST <= now);
        if rested && row.due > at {
            self.put_off(info_hash, at);
        }
    }

    /// Everything is announced as if it were new.
    fn begin_again(&mut self, now: Instant) {
        for row in self.torrents.values_mut() {
            let rested = row.said.map_or(now, |said| said + REST);
            (row.due, row.times) = (rested.max(now + GATHER), 0);
        }
        self.queue = self.torrents.iter().map(|(&info_hash, row)| (row.due, info_hash)).collect();
    }

    fn announce(&mut self, now: Instant, out: &mut Vec<Output>) {
        while self.queue.first().is_some_and(|&(due, _)| due <= now) && self.may_send_at() <= now {
            let info_hashes = self.next_datagram(now);
            self.paid_until = self.paid_until.max(now) + PACE;
            // With so many that the pace is what holds them up, nothing is said twice.
            let late = self.queue.iter().nth(info_hashes.len()).is_some_and(|&(due, _)| due <= now + GATHER);
            for &info_hash in &info_hashes {
                self.said(now, info_hash, late);
            }
            out.push(Output::Announce { info_hashes });
        }
    }

    /// What is due, and what soon will be.
    fn next_datagram(&self, now: Instant) -> Vec<InfoHash> {
        let (due, ahead): (Vec<_>, Vec<_>) = self
            .queue
            .range(..=(now + AHEAD, InfoHash([0xff; 20])))
            .take(LOOKED_AT_MAX)
            .map(|&(due, info_hash)| (due <= now + GATHER, info_hash))
            .partition(|&(due, _)| due);
        // What is new is repeated in its own time.
        let settled = |hash: &InfoHash| self.torrents.get(hash).is_some_and(|row| row.times > REPEATS.len());
        let ahead = ahead.into_iter().map(|(_, hash)| hash).filter(settled);
        due.into_iter().map(|(_, hash)| hash).chain(ahead).take(HASHES_PER_DATAGRAM).collect()
    }

    /// A torrent was announced: when is it next?
    fn said(&mut self, now: Instant, info_hash: InfoHash, late: bool) {
        let tenth = INTERVAL / 10;
        let regular = INTERVAL - tenth + self.chance(2 * tenth);
        let Some(row) = self.torrents.get_mut(&info_hash) else { return };
        let repeat = REPEATS.get(row.times).filter(|_| !late);
        row.times = if late { REPEATS.len() + 1 } else { row.times.saturating_add(1) };
        row.said = Some(now);
        self.put_off(info_hash, now + repeat.copied().unwrap_or(regular));
    }

    fn put_off(&mut self, info_hash: InfoHash, due: Instant) {
        if let Some(row) = self.torrents.get_mut(&info_hash) {
            self.queue.remove(&(row.due, info_hash));
            self.queue.insert((due, info_hash));
            row.due = due;
        }
    }

    fn may_send_at(&self) -> Instant {
        let ahead = PACE * (BURST - 1);
        Instant::from_micros(self.paid_until.since(Instant::ZERO + ahead).as_micros() as u64)
    }

    /// Some part of a span.
    fn chance(&mut self, span: Duration) -> Duration {
        Duration::from_micros(self.rng.below(span.as_micros() as u32).into())
    }
}
