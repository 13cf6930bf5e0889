//! What all torrents of a session draw from together: upload and download rates, send credit, memory. Holds; decides only
//! whether there is enough.
//!
//! What always holds: without a lease nothing is limited but memory, links and slots; what was spent is never forgotten (an
//! overdraft is paid off before anything is spent again); blocks that left for the sockets, are not known to be gone and do not
//! wait for a slow peer are worth at most [`UPLINK_QUEUE`] of the uplink's measured rate, but one block.

use crate::rate::{Bucket, Meter};
use crate::{Duration, FetchId, Instant, Lease, LinkId, PeerKey, TorrentId};
use std::collections::VecDeque;
use wire::Block;

/// How long the blocks of all links together may take to leave: what a request of our own waits at most behind them.
pub const UPLINK_QUEUE: Duration = Duration::from_millis(200);
/// If nothing leaves for this long, one more block may, over another link: perhaps only the link is slow, not our uplink. The
/// next such probe waits twice as long, until one has left.
pub const PROBE_AFTER: Duration = Duration::from_millis(250);
/// Probes wait for no longer than 16 times that, four seconds.
const PROBE_DOUBLINGS_MAX: u32 = 4;
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
    /// A torrent was refused memory since all of them were last looked at.
    pub short: bool,
    /// And some was set free since.
    pub freed: bool,
    /// Links of all torrents.
    pub links: u32,
    /// Links and fetches that are not read because `down` is spent.
    pub unread: Vec<Reader>,
    /// The port under which peers reach us, if the driver said.
    pub listening: Option<u16>,
    /// The port of our node of the DHT, if the driver runs one.
    pub dht: Option<u16>,
    /// The choker should meet soon: somebody became interested, or a slot fell free.
    pub choke_soon: bool,
    /// Room for the blocks of one fill, kept so that no call allocates.
    pub blocks: Vec<Block>,
    /// Room for the peers of one cancel, likewise.
    pub others: Vec<PeerKey>,
}

/// Where payload is read from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reader {
    /// A peer.
    Link(LinkId),
    /// A web seed.
    Fetch(FetchId),
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
            short: false,
            freed: false,
            down_meter: Meter::default(),
            up_meter: Meter::default(),
            links: 0,
            unread: Vec::new(),
            listening: None,
            dht: None,
            choke_soon: false,
            blocks: Vec::new(),
            others: Vec::new(),
        }
    }

    /// A new lease.
    pub fn set_lease(&mut self, now: Instant, lease: Lease) {
        self.freed |= self.short && lease.buffer > self.lease.buffer;
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
    out: InFlight,
    /// The best rate of late, bytes per second.
    capacity: u64,
    /// Since when the current measurement runs, and what left since.
    measured_from: Instant,
    measured: u64,
    /// When a block was last handed over, or left.
    moved: Instant,
    /// The block that is about to be handed over is a probe.
    probing: bool,
    /// When the last probe was handed over, and how many since one left.
    probed: Instant,
    probes: u32,
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
        self.out.total()
    }

    /// The best rate of late, bytes per second; 0 before anything was measured.
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Whether a block of this length may be handed over: always, if it is alone but for blocks that wait for a slow peer.
    pub fn has_room(&mut self, now: Instant, leased: Option<u64>, bytes: u32) -> bool {
        self.out.roll(now);
        let rate = self.capacity.min(leased.unwrap_or(u64::MAX));
        let most = rate / 1000 * UPLINK_QUEUE.as_millis() as u64;
        let queued = self.out.queued();
        let fits = queued == 0 || queued + u64::from(bytes) <= most;
        self.probing = !fits && self.probe_at() <= now;
        fits || self.probing
    }

    /// When a stalled uplink may be probed with one more block.
    pub fn probe_at(&self) -> Instant {
        self.moved + PROBE_AFTER * (1 << self.probes.min(PROBE_DOUBLINGS_MAX))
    }

    /// A block was handed over.
    pub fn sending(&mut self, now: Instant, bytes: u32) {
        if self.out.queued() == 0 && now.since(self.moved) > IDLE_AFTER {
            (self.measured_from, self.measured) = (now, 0);
        }
        self.out.add(now, bytes);
        self.moved = now;
        if core::mem::take(&mut self.probing) {
            (self.probed, self.probes) = (now, self.probes + 1);
        }
    }

    /// A block that was handed over at `since` left, or never will.
    pub fn done(&mut self, now: Instant, since: Instant, bytes: u32, left: bool) {
        self.out.remove(now, since, bytes, left);
        self.moved = now;
        if since >= self.probed {
            self.probes = 0;
        }
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

/// Bytes on their way out by when they were handed over, in spans of [`PROBE_AFTER`].
///
/// A block that is out for longer than a whole span, and that one of a later span has overtaken, waits for its own peer and not
/// for our uplink: it does not keep others from sending. Where nothing overtakes, the uplink itself is slow, and all count.
#[derive(Clone, Copy, Debug, Default)]
struct InFlight {
    /// When the present span began; the one before is as long as any.
    began: Instant,
    /// Bytes handed over in the present span, in the one before, and earlier. Links' credit keeps them far below 4 GiB.
    fresh: u32,
    older: u32,
    oldest: u32,
    /// Whether a block left that was handed over in the present span, and in the one before.
    fresh_left: bool,
    older_left: bool,
}

impl InFlight {
    fn total(&self) -> u64 {
        u64::from(self.fresh) + u64::from(self.older) + u64::from(self.oldest)
    }

    /// What the uplink has yet to carry, as far as can be told.
    fn queued(&self) -> u64 {
        match self.fresh_left || self.older_left {
            true => u64::from(self.fresh) + u64::from(self.older),
            false => self.total(),
        }
    }

    fn roll(&mut self, now: Instant) {
        let lasts = now.since(self.began);
        if lasts < PROBE_AFTER {
            return;
        }
        self.oldest = self.oldest.saturating_add(self.older);
        if lasts < PROBE_AFTER * 2 {
            self.began += PROBE_AFTER;
            (self.older, self.older_left) = (self.fresh, self.fresh_left);
        } else {
            self.oldest = self.oldest.saturating_add(self.fresh);
            self.began = now;
            (self.older, self.older_left) = (0, false);
        }
        (self.fresh, self.fresh_left) = (0, false);
    }

    fn add(&mut self, now: Instant, bytes: u32) {
        self.roll(now);
        self.fresh = self.fresh.saturating_add(bytes);
    }

    fn remove(&mut self, now: Instant, since: Instant, bytes: u32, left: bool) {
        self.roll(now);
        let span = if since >= self.began {
            self.fresh_left |= left;
            &mut self.fresh
        } else if since + PROBE_AFTER >= self.began {
            self.older_left |= left;
            &mut self.older
        } else {
            &mut self.oldest
        };
        *span = span.saturating_sub(bytes);
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
            let since = at(now);
            now += 131_072; // 1 Mbit/s
            slow.done(at(now), since, 16_384, true);
        }
        assert!((110_000..=135_000).contains(&slow.capacity()), "{}", slow.capacity());
        let mut fast = Uplink::default();
        for _ in 0..1000 {
            fast.sending(at(now), 16_384);
            let since = at(now);
            now += 1000;
            fast.done(at(now), since, 16_384, true);
        }
        let mut blocks = 0;
        while fast.has_room(at(now), None, 16_384) {
            fast.sending(at(now), 16_384);
            blocks += 1;
        }
        assert!((150..=210).contains(&blocks), "{blocks} blocks at 16 MB/s");
    }
    #[test]
    fn an_uplink_that_is_slow_itself_lets_no_more_out_because_blocks_are_old() {
        let mut uplink = Uplink::default();
        let mut out: VecDeque<Instant> = VecDeque::new();
        let mut longest = 0;
        // A block takes 600 ms; whoever may send does.
        for millis in 0..60_000_u64 {
            let now = at(millis * 1000);
            if millis % 600 == 599
                && let Some(since) = out.pop_front()
            {
                uplink.done(now, since, 16_384, true);
            }
            if uplink.has_room(now, None, 16_384) {
                uplink.sending(now, 16_384);
                out.push_back(now);
            }
            longest = longest.max(out.len());
        }
        assert!(longest <= 4, "{longest} blocks queue behind each other");
    }

    #[test]
    fn spans_forget_nothing_and_count_nothing_twice() {
        let mut rng = crate::Rng::new(crate::Seed(5));
        let (mut flight, mut out, mut now) = (InFlight::default(), Vec::new(), 1_000_000);
        for _ in 0..20_000 {
            now += u64::from(rng.below(200_000));
            if rng.below(2) == 0 {
                flight.add(at(now), 16_384);
                out.push(at(now));
            } else if !out.is_empty() {
                let since = out.swap_remove(rng.index(out.len()));
                flight.remove(at(now), since, 16_384, rng.below(2) == 0);
            }
            assert_eq!(flight.total(), out.len() as u64 * 16_384);
        }
        for since in out {
            flight.remove(at(now), since, 16_384, true);
        }
        assert_eq!((flight.fresh, flight.older, flight.oldest), (0, 0, 0));
    }
}
