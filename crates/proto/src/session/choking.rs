//! Rounds of the choker over all torrents of the session: when they are held, how the slots are divided, and what follows from
//! the verdicts.
//!
//! What always holds: no torrent gets more slots than peers want something of it, and none that could use one more has a slot
//! less than another, but one; with more torrents than slots each has its turn.

use super::Session;
use crate::timers::Timer;
use crate::{Duration, Instant, Outbox, TorrentId};

/// A round is held at most this often in the long run when somebody new is interested: nobody waits ten seconds for a first block, and
/// nobody gains by saying it again and again.
const ROUND_INTERVAL_MIN: Duration = Duration::from_secs(1);
/// After a rest, some follow one another as soon as this: when a torrent starts its peers come one by one, and each would wait
/// a second for its first block while the uplink stands idle.
const ROUND_GAP_MIN: Duration = Duration::from_millis(100);
/// So many.
const ROUNDS_IN_A_ROW: u32 = 8;

/// Where slots do not divide evenly, a torrent keeps the odd one at least this long: three rounds, as an optimistic unchoke,
/// so that peers get to fetch something.
const TURN_MIN: Duration = Duration::from_secs(30);

/// When rounds were held.
#[derive(Debug)]
pub(super) struct Choking {
    last: Option<Instant>,
    /// When all of them would have been held, one each [`ROUND_INTERVAL_MIN`].
    paid: Instant,
}

impl Choking {
    /// No round yet.
    pub(super) fn new() -> Choking {
        Choking { last: None, paid: Instant::ZERO }
    }

    /// When the next round may be held at the earliest.
    pub(super) fn soonest(&self, now: Instant) -> Instant {
        let Some(last) = self.last else { return now };
        let ahead = self.paid.since(last + ROUND_INTERVAL_MIN * (ROUNDS_IN_A_ROW - 1));
        (last + ROUND_GAP_MIN + ahead).max(now)
    }

    /// One is held.
    fn hold(&mut self, now: Instant) {
        self.last = Some(now);
        self.paid = self.paid.max(now) + ROUND_INTERVAL_MIN;
    }
}

/// A torrent's turn with the odd slots: since when it has one, or waits for one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Turn {
    has: bool,
    since: Instant,
}

/// A torrent with something to decide, and what it gets.
#[derive(Clone, Copy, Debug)]
struct Row {
    torrent: TorrentId,
    interested: u32,
    turn: Turn,
    share: u32,
}

impl Session {
    /// Holds a round in every torrent that somebody wants something of, or no longer does.
    pub(super) fn choke_round(&mut self, out: &mut Outbox) {
        let wanted = self.torrents.iter().filter(|(_, entry)| entry.torrent.wants_round());
        let row = |torrent, entry: &super::Entry| Row {
            torrent,
            interested: entry.torrent.interested(),
            turn: entry.turn,
            share: 0,
        };
        let mut rows: Vec<Row> = wanted.map(|(torrent, entry)| row(torrent, entry)).collect();
        divide(self.now, self.pool.lease.unchoke_slots, &mut rows);
        for row in &rows {
            if let Some(entry) = self.torrents.get_mut(row.torrent) {
                entry.turn = row.turn;
            }
            self.with(row.torrent, out, |torrent, cx| torrent.choke_round(cx, row.share));
        }
        self.choking.hold(self.now);
        let next = (!rows.is_empty()).then(|| self.now + self.config.choke_interval);
        self.timers.set_or_clear(Timer::Choke, next);
    }
}

/// To each as many slots as peers want something of it; where there are fewer, evenly. The odd ones go to whoever waits longest.
fn divide(now: Instant, slots: u32, rows: &mut [Row]) {
    let (level, odd) = level(slots, rows.iter().map(|row| row.interested).collect());
    let place = |row: &Row| {
        let order = match row.turn {
            Turn { has: true, since } if now.since(since) < TURN_MIN => 0,
            Turn { has: false, .. } => 1,
            Turn { has: true, .. } => 2,
        };
        (row.interested <= level, order, row.turn.since, row.torrent)
    };
    rows.sort_by_key(place);
    for (at, row) in rows.iter_mut().enumerate() {
        let gets_odd = row.interested > level && at < odd as usize;
        row.share = row.interested.min(level) + u32::from(gets_odd);
        if row.turn.has != gets_odd {
            row.turn = Turn { has: gets_odd, since: now };
        }
    }
}

/// How many slots each torrent may have at most so that all get by, and how many are left over for some with one more wish.
fn level(slots: u32, mut wishes: Vec<u32>) -> (u32, u32) {
    wishes.sort_unstable();
    let (mut left, mut torrents) = (slots, u32::try_from(wishes.len()).unwrap_or(u32::MAX));
    for wish in wishes {
        if wish > left / torrents {
            return (left / torrents, left % torrents);
        }
        left -= wish;
        torrents -= 1;
    }
    (u32::MAX, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(wishes: &[u32]) -> Vec<Row> {
        let row = |(slot, &interested): (u32, &u32)| Row {
            torrent: TorrentId { slot, generation: 0 },
            interested,
            turn: Turn::default(),
            share: 0,
        };
        (0..).zip(wishes).map(row).collect()
    }

    #[test]
    fn nobody_gets_more_than_it_can_use_and_what_others_leave_is_shared() {
        let table: [(u32, &[u32], &[u32]); 7] = [
            (8, &[0, 20], &[0, 8]),
            (8, &[1, 20], &[1, 7]),
            (8, &[20, 20], &[4, 4]),
            (8, &[1, 2, 20, 20], &[1, 2, 3, 2]),
            (8, &[3, 3], &[3, 3]),
            (2, &[5, 5, 5], &[1, 1, 0]),
            (0, &[5], &[0]),
        ];
        for (slots, wishes, shares) in table {
            let mut rows = rows(wishes);
            divide(Instant::from_micros(1), slots, &mut rows);
            rows.sort_by_key(|row| row.torrent);
            let found: Vec<u32> = rows.iter().map(|row| row.share).collect();
            assert_eq!(found, shares, "{slots} slots for {wishes:?}");
        }
    }

    #[test]
    fn with_more_torrents_than_slots_each_has_its_turn_and_keeps_it_for_a_while() {
        for (torrents, slots) in [(5_u32, 1_u32), (7, 3), (40, 4)] {
            let mut rows = rows(&vec![2; torrents as usize]);
            let (mut waits, mut held) = (vec![0; torrents as usize], vec![0; torrents as usize]);
            // A round a second: somebody is always new.
            for second in 1..1000_u64 {
                divide(Instant::from_micros(second * 1_000_000), slots, &mut rows);
                assert_eq!(rows.iter().map(|row| row.share).sum::<u32>(), slots);
                for row in &rows {
                    let at = row.torrent.slot as usize;
                    let had = held[at];
                    held[at] = if row.share > 0 { had + 1 } else { 0 };
                    assert!(held[at] > 0 || had == 0 || had >= 30, "{torrents}, {slots}: only {had} s");
                    waits[at] = if row.share > 0 { 0 } else { waits[at] + 1 };
                    assert!(
                        waits[at] <= 31 * torrents.div_ceil(slots),
                        "{torrents}, {slots}: waits too long"
                    );
                }
            }
        }
    }
}
