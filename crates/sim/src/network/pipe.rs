//! One direction of a connection, and one of an access link: what has left, what is owed, what can be dealt.
//!
//! The arithmetic of `network`, without its tables. A rate is bytes per second, which is also millionths of a byte per
//! microsecond; so what has yet to leave is counted in millionths.

use super::{Parcel, PipeId, micros};
use crate::content::Tag;
use crate::happening::Happening;
use crate::queue::EventQueue;
use core::time::Duration;
use proto::{Instant, SendToken};
use std::collections::VecDeque;
use wire::Block;

/// How often the receiver of a slow block hears of the part that is here.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);

#[derive(Default)]
pub(super) struct Pipe {
    pub(super) control: VecDeque<Control>,
    pub(super) blocks: VecDeque<Outgoing>,
    /// Millionths of bytes of the block in service that have yet to leave; 0 if none is in service.
    pub(super) remaining: u64,
    pub(super) rate: u64,
    pub(super) since: Instant,
    pub(super) rate_until: Instant,
    pub(super) stamp: u32,
    pub(super) listed: bool,
    pub(super) last_arrival: Instant,
    pub(super) told: u32,
    pub(super) told_at: Instant,
}

pub(super) struct Control {
    pub(super) parcel: Parcel,
    pub(super) bytes: u32,
    pub(super) since: Instant,
}

pub(super) struct Outgoing {
    pub(super) token: SendToken,
    pub(super) block: Block,
    /// What it reads as, once it is read.
    pub(super) tag: Option<Tag>,
}

/// One direction of an access link.
#[derive(Clone, Copy, Default)]
pub(super) struct Lane {
    /// Millionths of bytes that control messages took and the flows have not yet paid for.
    pub(super) debt: u64,
    pub(super) settled: Instant,
}

impl Pipe {
    /// Counts what has left since the last look.
    pub(super) fn settle(&mut self, now: Instant) {
        // At least a trace is left: the block ends by its own event, not here.
        let gone = self.rate * micros(now.since(self.since));
        self.remaining = self.remaining.saturating_sub(gone).max(u64::from(self.remaining > 0));
        self.since = now;
    }

    /// Says when the block in service will have left, if that is within this quantum.
    pub(super) fn expect(&mut self, id: PipeId, sender: u32, queue: &mut EventQueue<Happening>) {
        if self.rate == 0 {
            return;
        }
        let left = self.since + Duration::from_micros(self.remaining.div_ceil(self.rate));
        if left <= self.rate_until {
            queue.push(left, sender, Happening::BlockLeft { pipe: id, stamp: self.stamp });
        }
    }

    /// Bytes of the block in service that its receiver should hear of now.
    pub(super) fn news(&mut self, now: Instant) -> Option<u32> {
        let block = self.blocks.front()?.block;
        if now.since(self.told_at) < PROGRESS_EVERY {
            return None;
        }
        let gone = block.len.saturating_sub((self.remaining / 1_000_000) as u32);
        let bytes = gone.saturating_sub(self.told);
        (self.told, self.told_at) = (gone.max(self.told), now);
        (bytes > 0).then_some(bytes)
    }
}

impl Lane {
    /// Bytes per second that flows may take in the quantum that begins now.
    pub(super) fn deal(&mut self, capacity: u64, now: Instant, quantum: u64) -> u64 {
        let idle = micros(now.since(self.settled)).saturating_sub(quantum);
        self.settled = now;
        self.debt = self.debt.saturating_sub(capacity * idle);
        let (whole, debt) = (capacity * quantum, self.debt);
        self.debt = debt.saturating_sub(whole);
        (whole - debt.min(whole)) / quantum
    }
}
