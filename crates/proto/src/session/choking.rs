//! Rounds of the choker over all torrents of the session: when they are held, and what follows from the verdict.

use super::Session;
use crate::timers::Timer;
use crate::{Duration, Instant, Outbox, TorrentId};

/// A round is held at most this often when somebody new is interested: nobody waits ten seconds for a first block, and nobody gains
/// by saying it again and again.
const ROUND_INTERVAL_MIN: Duration = Duration::from_secs(1);

/// When rounds were held.
#[derive(Debug)]
pub(super) struct Choking {
    last: Option<Instant>,
    rounds: u32,
}

impl Choking {
    /// No round yet.
    pub(super) fn new() -> Choking {
        Choking { last: None, rounds: 0 }
    }

    /// When the next round may be held at the earliest.
    pub(super) fn soonest(&self, now: Instant) -> Instant {
        self.last.map_or(now, |last| (last + ROUND_INTERVAL_MIN).max(now))
    }
}

impl Session {
    /// Holds a round in every torrent that somebody wants something of. Torrents share the slots evenly; what does not divide
    /// goes to each in turn, so that with more torrents than slots nobody is left out for ever.
    pub(super) fn choke_round(&mut self, out: &mut Outbox) {
        let wanted = self.torrents.iter().filter(|(_, entry)| entry.torrent.wants_round());
        let wanted: Vec<TorrentId> = wanted.map(|(&id, _)| id).collect();
        let count = u32::try_from(wanted.len()).unwrap_or(u32::MAX).max(1);
        let slots = self.pool.lease.unchoke_slots;
        for (at, &id) in wanted.iter().enumerate() {
            let place = (at as u32).wrapping_add(self.choking.rounds) % count;
            let share = slots / count + u32::from(place < slots % count);
            self.with(id, out, |torrent, cx| torrent.choke_round(cx, share));
        }
        self.choking.last = Some(self.now);
        self.choking.rounds = self.choking.rounds.wrapping_add(1);
        let next = (!wanted.is_empty()).then(|| self.now + self.config.choke_interval);
        self.timers.set_or_clear(Timer::Choke, next);
    }
}
