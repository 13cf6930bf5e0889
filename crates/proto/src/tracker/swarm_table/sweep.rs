//! Forgetting who stayed away: the whole table is gone through four times an interval, a few peers with each visit, so that
//! no visit takes long and nobody is kept much longer than is right.

use super::clock::Clock;
use super::family::{Place, START};
use super::means::Means;
use super::shelf::Shelf;
use crate::{Duration, Instant};

/// Rounds per interval.
const ROUNDS: u32 = 4;
/// Shortest and longest round. The longest is far below what a stamp can tell ([`Clock`]).
const ROUND_MIN: Duration = Duration::from_secs(10);
const ROUND_MAX: Duration = Duration::from_secs(900);
/// Most peers and swarms looked at in one visit: some 0.1 ms.
const BUDGET_MAX: u64 = 16_384;

/// Where the sweep is.
#[derive(Clone, Debug)]
pub(super) struct Sweep {
    round: Duration,
    /// Until when what is due has been looked at.
    until: Instant,
    swarm: u32,
    /// Within the swarm: the family, and where in it.
    v6: bool,
    place: Place,
    /// When the round began, in the clock's units.
    began: u64,
}

impl Sweep {
    pub(super) fn new(interval: Duration) -> Sweep {
        let round = (interval / ROUNDS).clamp(ROUND_MIN, ROUND_MAX);
        Sweep { round, until: Instant::ZERO, swarm: 0, v6: false, place: START, began: 0 }
    }

    /// How many peers and swarms of `all` are due to be looked at by `now`. What is told is taken as done.
    pub(super) fn due(&mut self, now: Instant, all: u64, clock: &Clock) -> u32 {
        if clock.is_urgent(self.began) {
            // Hardly anybody comes, so whoever does can wait for all of it.
            return u32::MAX;
        }
        let passed = now.since(self.until).as_micros();
        let due = passed.saturating_mul(all.into()) / self.round.as_micros();
        if due > 0 {
            self.until = now;
        }
        due.min(BUDGET_MAX.into()) as u32
    }

    /// Looks at the next peers and swarms, as many as `budget` says, but each at most once.
    pub(super) fn go_on(&mut self, mut budget: u32, shelf: &mut Shelf, means: &mut Means) {
        while budget > 0 {
            if self.swarm >= shelf.len() {
                *self = Sweep { swarm: 0, v6: false, place: START, began: means.clock.units(), ..*self };
                return;
            }
            // A swarm costs something, too.
            budget -= 1;
            let swarm = shelf.get_mut(self.swarm);
            let next = match (&mut swarm.v6, self.v6) {
                (Some(v6), true) => v6.sweep(self.place, &mut budget, means),
                (None, true) => None,
                (_, false) => swarm.v4.sweep(self.place, &mut budget, means),
            };
            self.place = next.unwrap_or(START);
            if next.is_some() {
                continue;
            }
            if !self.v6 && swarm.v6.is_some() {
                self.v6 = true;
                continue;
            }
            self.v6 = false;
            swarm.settle(&mut means.heap);
            if swarm.is_empty() {
                // Another takes its place and is looked at next.
                shelf.remove(self.swarm, means);
            } else {
                self.swarm += 1;
            }
        }
    }
}
