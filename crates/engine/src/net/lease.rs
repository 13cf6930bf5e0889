//! This loop's share of the limits, dealt a few times a second. With one loop it is all there is; the deal is the same.

use proto::share::{Divider, Limits};
use proto::stats::Demand;
use proto::{Duration, Instant, Lease};

/// How often limits are dealt.
const DEAL_INTERVAL: Duration = Duration::from_millis(250);

/// The divider, and what it last said.
#[derive(Debug)]
pub(crate) struct Leases {
    divider: Divider,
    next: Instant,
    last: Option<(Lease, u32)>,
}

impl Leases {
    /// Limits that are dealt at the first chance.
    pub(crate) fn new(limits: Limits) -> Leases {
        Leases { divider: Divider::new(limits), next: Instant::ZERO, last: None }
    }

    /// Other limits, dealt at the next chance.
    pub(crate) fn set(&mut self, limits: Limits) {
        self.divider.set_limits(limits);
        self.next = Instant::ZERO;
    }

    /// When the next deal is due.
    pub(crate) fn next_wake(&self) -> Instant {
        self.next
    }

    /// The session's lease and the door's dials per second, if it is time and they changed.
    pub(crate) fn deal(&mut self, now: Instant, demand: impl FnOnce() -> Demand) -> Option<(Lease, u32)> {
        if now < self.next {
            return None;
        }
        self.next = now + DEAL_INTERVAL;
        let deal = *self.divider.deal(&[demand()]).first()?;
        let deal = (deal.lease, deal.dials);
        (self.last.replace(deal) != Some(deal)).then_some(deal)
    }
}
