//! What all torrents of a session draw from together: upload and download rates, send credit, memory. Holds; decides only
//! whether there is enough.
//!
//! What always holds: without a lease nothing is limited but memory, links and slots; what was spent is never forgotten (an
//! overdraft is paid off before anything is spent again); blocks that left for the sockets and are not known to be gone are
//! worth at most [`UPLINK_QUEUE`] of the uplink's measured rate, but one block.

use crate::rate::{Bucket, Meter};
use crate::{Duration, Instant, Lease, LinkId, PeerKey, TorrentId};
use std::collections::VecDeque;
use wire::Block;

/// How long the blocks of all links together may take to leave: what a request of our own waits at most behind them.
pub const UPLINK_QUEUE: Duration = Duration::from_millis(200);
/// If nothing leaves for this long, one more block may, over another link: perhaps only the link is slow, not our uplink.
pub const PROBE_AFTER: Duration = Duration::from_millis(250);
/// What may be spent at once after a pause, as time at the leased rate. Short, so that neighbours' traffic is not pushed aside.
pub const BURST: Duration = Duration::from_millis(100);
/// A lease for tests and drivers that limit nothing: slots and links as most clients have them, 64 MiB of buffers.
pub const LEASE_DEFAULT: Lease =
    Lease { up: None, down: None, unchoke_slots: 8, links: 200, buffer: 64 * 1024 * 1024 };
/// How often the uplink's rate is measured anew.
const MEASURE_EVERY: Duration = Duration::from_millis(100);
/// A silence after which measuring begins afresh: the uplink was idle, not slow.
const IDLE_AFTER: Duration = Duration::from_millis(10);

/// A session's means.
#[derive(Debug)]
pub struct Pool {
    /// Our share of the limits that span loops.
    pub lease: Lease,
    /// Bytes we may send.
    pub up: Bucket,
    /// Bytes we may receive.
    pub down: Bucket,
    /// Blocks on their way out.
    pub uplink: Uplink,
    /// Bytes that payload takes in memory or may come to take: open pieces whole, and pieces being written.
    pub buffered: u64,
    /// Payload that came and left, all torrents together.
    pub down_meter: Meter,
    /// The same, out.
    pub up_meter: Meter,
    /// Links of all torrents.
    pub links: u32,
    /// Links that are not read because `down` is spent.
    pub unread: Vec<LinkId>,
    /// The port under which peers reach us, if the driver said.
    pub listening: Option<u16>,
    /// The choker should meet soon: somebody became interested, or a slot fell free.
    pub choke_soon: bool,
    /// Room for the blocks of one fill, kept so that no call allocates.
    pub blocks: Vec<Block>,
    /// Room for the peers of one cancel, likewise.
    pub others: Vec<PeerKey>,
}

impl Pool {
    /// Under this lease.
    pub fn new(lease: Lease, now: Instant) -> Pool {
        Pool {
            lease,
            up: Bucket::new(lease.up, burst(lease.up), now),
            down: Bucket::new(lease.down, burst(lease.down), now),
            uplink: Uplink::default(),
            buffered: 0,
            down_meter: Meter::default(),
            up_meter: Meter::default(),
            links: 0,
            unread: Vec::new(),
            listening: None,
            choke_soon: false,
            blocks: Vec::new(),
            others: Vec::new(),
        }
    }

    /// A new lease.
    pub fn set_lease(&mut self, now: Instant, lease: Lease) {
        self.lease = lease;
        self.up.set(lease.up, burst(lease.up), now);
        self.down.set(lease.down, burst(lease.down), now);
    }

    /// Whether more payload is in memory than leased. A torrent reserves whole pieces in `buffered`, so only when that
    /// is over is what it really takes counted.
    pub fn over_budget(&self, reserved: u64, really: impl Fn() -> u64) -> bool {
        self.buffered > self.lease.buffer
            && (self.buffered.saturating_sub(reserved)).saturating_add(really()) > self.lease.buffer
    }

    /// What one torrent may reserve, of which it has reserved this much already.
    pub fn budget_of(&self, reserved: u64) -> u64 {
        self.lease.buffer.saturating_sub(self.buffered.saturating_sub(reserved))
    }

    /// Whether asking for more would only fill memory: the disk does not keep up.
    pub fn is_swamped(&self) -> bool {
        self.buffered > self.lease.buffer.saturating_mul(2)
    }
}

/// What may be spent at once: but one block, so that a slow lease can move at all.
fn burst(rate: Option<u64>) -> u64 {
    let worth = rate.unwrap_or(0) / 1000 * BURST.as_millis() as u64;
    worth.max(u64::from(wire::layout::BLOCK_LEN))
}

/// The blocks of all links on their way out, and who is next.
#[derive(Debug, Default)]
pub struct Uplink {
    /// Peers with blocks to be sent and credit to send them, in turn.
    ring: VecDeque<(TorrentId, PeerKey)>,
    /// Bytes that were handed to the driver and have not left.
    in_flight: u64,
    /// The best rate of late, bytes per second.
    capacity: u64,
    /// Since when the current measurement runs, and what left since.
    measured_from: Instant,
    measured: u64,
    /// When a block was last handed over, or left.
    moved: Instant,
}

impl Uplink {
    /// This peer has something to send.
    pub fn enlist(&mut self, torrent: TorrentId, peer: PeerKey) {
        self.ring.push_back((torrent, peer));
    }

    /// Whose turn it is; it leaves the ring.
    pub fn take_turn(&mut self) -> Option<(TorrentId, PeerKey)> {
        self.ring.pop_front()
    }

    /// It is still this peer's turn.
    pub fn put_back(&mut self, torrent: TorrentId, peer: PeerKey) {
        self.ring.push_front((torrent, peer));
    }

    /// Whether nobody waits.
    pub fn is_idle(&self) -> bool {
        self.ring.is_empty()
    }

    /// Bytes that were handed to the driver and have not left.
    pub fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// The best rate of late, bytes per second; 0 before anything was measured.
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Whether a block of this length may be handed over: always, if it is alone.
    pub fn has_room(&self, now: Instant, leased: Option<u64>, bytes: u32) -> bool {
        let rate = self.capacity.min(leased.unwrap_or(u64::MAX));
        let most = rate / 1000 * UPLINK_QUEUE.as_millis() as u64;
        let after = self.in_flight + u64::from(bytes);
        self.in_flight == 0 || after <= most || self.moved + PROBE_AFTER <= now
    }

    /// When a stalled uplink may be probed with one more block.
    pub fn probe_at(&self) -> Instant {
        self.moved + PROBE_AFTER
    }

    /// A block was handed over.
    pub fn sending(&mut self, now: Instant, bytes: u32) {
        if self.in_flight == 0 && now.since(self.moved) > IDLE_AFTER {
            (self.measured_from, self.measured) = (now, 0);
        }
        self.in_flight += u64::from(bytes);
        self.moved = now;
    }

    /// A block left, or never will.
    pub fn done(&mut self, now: Instant, bytes: u32, left: bool) {
        self.in_flight = self.in_flight.saturating_sub(u64::from(bytes));
        self.moved = now;
        self.measured += if left { u64::from(bytes) } else { 0 };
        let span = now.since(self.measured_from);
        if span >= MEASURE_EVERY {
            let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
            let rate = self.measured.saturating_mul(1_000_000) / micros;
            // Forgotten slowly: a slow peer's turn says little about the uplink.
            self.capacity = rate.max(self.capacity - self.capacity / 16);
            (self.measured_from, self.measured) = (now, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: u64) -> Instant {
        Instant::from_micros(micros)
    }

    #[test]
    fn a_slow_uplink_holds_one_block_and_a_fast_one_200_ms() {
        let mut slow = Uplink::default();
        let mut now = 0;
        for _ in 0..20 {
            assert!(slow.has_room(at(now), None, 16_384));
            slow.sending(at(now), 16_384);
            assert!(!slow.has_room(at(now), None, 16_384));
            now += 131_072; // 1 Mbit/s
            slow.done(at(now), 16_384, true);
        }
        assert!((110_000..=135_000).contains(&slow.capacity()), "{}", slow.capacity());
        let mut fast = Uplink::default();
        for _ in 0..1000 {
            fast.sending(at(now), 16_384);
            now += 1000;
            fast.done(at(now), 16_384, true);
        }
        let mut blocks = 0;
        while fast.has_room(at(now), None, 16_384) {
            fast.sending(at(now), 16_384);
            blocks += 1;
        }
        assert!((150..=210).contains(&blocks), "{blocks} blocks at 16 MB/s");
    }
}
