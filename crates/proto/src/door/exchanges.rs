//! Whose turn it is to exchange keys: incoming encrypted handshakes, so many per second and in the order of their coming, so
//! that strangers cannot spend our processor. Computes nothing itself.
//!
//! Invariant: who waits is pending and waits once, so at most [`super::PENDING_MAX`] wait. Threats: C5

use super::{Crypto, PendingId};
use crate::{Duration, Instant};
use std::collections::VecDeque;

/// Key exchanges begun for strangers per second. One costs about 0.2 ms (`cargo bench -p gannet-wire --bench mse`), so all
/// together at most 2 % of one core, and one of a private link as much; libtorrent dials 30 peers a second, and few meet us at the same time.
pub const EXCHANGES_PER_SECOND_MAX: u32 = 100;

/// Exchanges that may begin at once after a pause: a swarm that has just heard of us.
const BURST_MAX: u32 = 25;

const SPACING: Duration = Duration::from_micros(1_000_000 / EXCHANGES_PER_SECOND_MAX as u64);

/// Who waits, and when the next may go on.
#[derive(Clone, Debug, Default)]
pub(super) struct Exchanges {
    waiting: VecDeque<(PendingId, Crypto)>,
    /// When all that went on so far would have, at an even pace.
    spent_until: Instant,
}

impl Exchanges {
    /// Puts one at the end.
    pub(super) fn wait(&mut self, id: PendingId, crypto: Crypto) {
        self.waiting.push_back((id, crypto));
    }

    /// Somebody is no longer pending. Of those who wait there are few (see the invariant).
    pub(super) fn forget(&mut self, id: PendingId) {
        self.waiting.retain(|(waiting, _)| *waiting != id);
    }

    /// The next whose turn it is.
    pub(super) fn next(&mut self, now: Instant) -> Option<(PendingId, Crypto)> {
        if self.next_turn()? > now {
            return None;
        }
        self.spent_until = self.spent_until.max(now) + SPACING;
        self.waiting.pop_front()
    }

    /// When the next may go on; `None` if nobody waits.
    pub(super) fn next_turn(&self) -> Option<Instant> {
        let credit = SPACING * (BURST_MAX - 1);
        let behind = self.spent_until.as_micros().saturating_sub(credit.as_micros() as u64);
        (!self.waiting.is_empty()).then_some(Instant::from_micros(behind))
    }

    /// How many wait.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}
