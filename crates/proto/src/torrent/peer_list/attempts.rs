//! Who was dialled on a stranger's word within the last hour, so that nobody can make us knock at a victim's door again
//! and again, however often gossip names it and we forget it. Threat: C10
//!
//! Invariant: an address is in here at most once; when the table is full nobody more is dialled on a stranger's word.

use crate::{Duration, Instant};
use core::net::SocketAddr;
use std::collections::{BTreeMap, BTreeSet};

/// An address that never shook hands with us is tried on gossip at most once in this time.
pub const ATTEMPT_INTERVAL: Duration = Duration::from_secs(3600);
/// Attempts remembered. With the interval this also bounds how many strangers' addresses a torrent tries in an hour.
pub const ATTEMPTS_MAX: usize = 3_000;

/// The attempts of the last hour.
#[derive(Clone, Debug, Default)]
pub(super) struct Attempts {
    /// When each was made.
    made: BTreeMap<SocketAddr, Instant>,
    /// The same in the order of time.
    order: BTreeSet<(Instant, SocketAddr)>,
}

impl Attempts {
    /// Records an attempt, or says when it may be made.
    pub(super) fn try_now(&mut self, now: Instant, remote: SocketAddr) -> Result<(), Instant> {
        self.forget_old(now);
        if let Some(&made) = self.made.get(&remote) {
            return Err(made + ATTEMPT_INTERVAL);
        }
        if self.order.len() >= ATTEMPTS_MAX {
            let oldest = self.order.first().map_or(now, |(made, _)| *made);
            return Err(oldest + ATTEMPT_INTERVAL);
        }
        self.made.insert(remote, now);
        self.order.insert((now, remote));
        Ok(())
    }

    /// The attempt was not made after all.
    pub(super) fn withdraw(&mut self, remote: SocketAddr) {
        if let Some(made) = self.made.remove(&remote) {
            self.order.remove(&(made, remote));
        }
    }

    fn forget_old(&mut self, now: Instant) {
        while let Some(&(made, remote)) = self.order.first()
            && now.since(made) >= ATTEMPT_INTERVAL
        {
            self.order.pop_first();
            self.made.remove(&remote);
        }
    }
}
