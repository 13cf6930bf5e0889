//! What a client's torrents have sent and received, all together, without asking each of a thousand that rest: only those that have
//! links are looked at, and once more those whose last link has gone.

use crate::{Event, TorrentHandle, TorrentId, TorrentStats};
use std::collections::BTreeMap;

/// What is known of one torrent.
struct Metered {
    handle: TorrentHandle,
    links: u32,
    /// Something may have changed since it was asked last.
    stale: bool,
    last: Figures,
}

/// Figures of one torrent, or of all together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Figures {
    /// Payload bytes received.
    pub(super) received: u64,
    /// Payload bytes sent.
    pub(super) sent: u64,
    /// Payload bytes per second in.
    pub(super) rate_down: u64,
    /// Payload bytes per second out.
    pub(super) rate_up: u64,
    /// Bytes that are here, verified.
    pub(super) has: u64,
    /// Links of the torrent that has the most.
    pub(super) peers: u32,
}

/// The torrents of a client.
#[derive(Default)]
pub(super) struct Meter {
    torrents: BTreeMap<TorrentId, Metered>,
}

impl Meter {
    /// One more torrent.
    pub(super) fn add(&mut self, handle: TorrentHandle) {
        let metered = Metered { links: 0, stale: true, last: Figures::default(), handle };
        self.torrents.insert(metered.handle.id(), metered);
    }

    /// One less. What it has sent and received is no longer counted.
    pub(super) fn remove(&mut self, torrent: TorrentId) {
        self.torrents.remove(&torrent);
    }

    /// Something happened.
    pub(super) fn note(&mut self, event: &Event) {
        let (torrent, links): (_, fn(u32) -> u32) = match *event {
            Event::PeerJoined(torrent, ..) => (torrent, |links| links + 1),
            Event::PeerLeft(torrent, ..) => (torrent, |links| links.saturating_sub(1)),
            Event::Stage(torrent, _) | Event::Durable(torrent) => (torrent, |links| links),
            _ => return,
        };
        if let Some(metered) = self.torrents.get_mut(&torrent) {
            (metered.links, metered.stale) = (links(metered.links), true);
        }
    }

    /// Asks those that may have changed, and adds up all.
    pub(super) async fn read(&mut self) -> Figures {
        let mut asked = Vec::new();
        for metered in self.torrents.values_mut() {
            if metered.links > 0 || metered.stale {
                metered.stale = false;
                let stats = metered.handle.stats();
                asked.push((metered, stats));
            }
        }
        for (metered, stats) in asked {
            metered.last = match stats.await {
                Ok(stats) => Figures::of(&stats),
                // It has left: what it sent counts, and it sends nothing any more.
                Err(_) => Figures { rate_down: 0, rate_up: 0, peers: 0, ..metered.last },
            };
        }
        self.torrents.values().fold(Figures::default(), |all, metered| all.and(metered.last))
    }
}

impl Figures {
    fn of(stats: &TorrentStats) -> Figures {
        Figures {
            received: stats.downloaded,
            sent: stats.uploaded,
            rate_down: stats.rate_down,
            rate_up: stats.rate_up,
            has: stats.wanted_have,
            peers: stats.peers,
        }
    }

    fn and(self, other: Figures) -> Figures {
        Figures {
            received: self.received.saturating_add(other.received),
            sent: self.sent.saturating_add(other.sent),
            rate_down: self.rate_down.saturating_add(other.rate_down),
            rate_up: self.rate_up.saturating_add(other.rate_up),
            has: self.has.saturating_add(other.has),
            peers: self.peers.max(other.peers),
        }
    }
}
