//! Whom on the local network we listen to, and how much: so that neither one machine nor many names can flood us. Threats: D9
//!
//! Knows who speaks, not what is said. Invariants: at most [`SOURCES_MAX`] sources are remembered, each with so many ports as were allowed; of one no more than
//! [`SOURCE_RATE`] datagrams a second are believed, of all together [`RATE`], but for bursts.

use crate::rate::Bucket;
use crate::{Duration, Instant};
use core::net::{IpAddr, SocketAddr};
use std::collections::BTreeMap;

/// Datagrams a second that are looked at, from all sources: a hundred clients that say something once a second.
const RATE: u64 = 100;
/// And at once: a large network that wakes up together.
const BURST: u64 = 500;
/// Datagrams a second from one source: several clients may live on one machine.
const SOURCE_RATE: u64 = 5;
/// And at once: clients that put one torrent in each datagram begin with many.
const SOURCE_BURST: u64 = 100;
/// Sources that are remembered; then the one that was silent for longest is forgotten.
const SOURCES_MAX: usize = 256;
/// A source that was silent for so long is new again, with all its ports: two intervals.
const FORGET_AFTER: Duration = Duration::from_secs(10 * 60);

/// Who was heard lately.
#[derive(Debug)]
pub(crate) struct Hearing {
    /// Ports of one source.
    ports_max: usize,
    all: Bucket,
    sources: BTreeMap<IpAddr, Source>,
}

#[derive(Debug)]
struct Source {
    bucket: Bucket,
    ports: Vec<u16>,
    heard: Instant,
}

impl Hearing {
    /// Nobody yet. On one machine at most `ports_max` programs are believed in.
    pub(crate) fn new(ports_max: usize, now: Instant) -> Hearing {
        Hearing { ports_max, all: Bucket::new(Some(RATE), BURST, now), sources: BTreeMap::new() }
    }

    /// Whether this word is believed: that a peer listens at this address.
    pub(crate) fn believes(&mut self, now: Instant, peer: SocketAddr) -> bool {
        if self.all.available(now) == 0 {
            return false;
        }
        self.all.charge(now, 1);
        self.make_room(peer.ip());
        let source = self.sources.entry(peer.ip()).or_insert_with(|| Source::new(now));
        if now.since(source.heard) >= FORGET_AFTER {
            *source = Source::new(now);
        }
        source.heard = now;
        let may = source.bucket.available(now) > 0 && source.knows(peer.port(), self.ports_max);
        if may {
            source.bucket.charge(now, 1);
        }
        may
    }

    fn make_room(&mut self, newcomer: IpAddr) {
        if self.sources.len() < SOURCES_MAX || self.sources.contains_key(&newcomer) {
            return;
        }
        let oldest = self.sources.iter().min_by_key(|(_, source)| source.heard).map(|(&ip, _)| ip);
        if let Some(oldest) = oldest {
            self.sources.remove(&oldest);
        }
    }

    #[cfg(test)]
    pub(crate) fn sources(&self) -> usize {
        self.sources.len()
    }
}

impl Source {
    fn new(now: Instant) -> Source {
        Source { bucket: Bucket::new(Some(SOURCE_RATE), SOURCE_BURST, now), ports: Vec::new(), heard: now }
    }

    /// Whether this port is known, or one more may be.
    fn knows(&mut self, port: u16, ports_max: usize) -> bool {
        if !self.ports.contains(&port) {
            if self.ports.len() >= ports_max {
                return false;
            }
            self.ports.push(port);
        }
        true
    }
}
