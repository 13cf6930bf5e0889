//! Where both kinds of visitors are answered: the swarm table with its clock, and what was counted.

use crate::server::Figures;
use proto::tracker::SwarmTable;
use proto::tracker::swarm_table::{Peers, Rules, Standing, Visit};
use proto::{Instant, Seed};
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use wire::InfoHash;
use wire::announce::AnnounceRequest;
use wire::tracker_udp::ScrapeCounts;

/// Peers for a visitor who does not say how many: what clients ask for by custom (BEP 3).
const WANT_DEFAULT: u32 = 50;

/// The table and what it needs from the world.
pub(crate) struct Desk {
    table: SwarmTable,
    peers: Peers,
    began: std::time::Instant,
    tally: Arc<Tally>,
}

/// What was done, for whoever asks from another thread: counted before the visitor hears of it.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    announces: AtomicU64,
    scrapes: AtomicU64,
    swarms: AtomicU64,
    peers: AtomicU64,
}

impl Tally {
    /// As it stands.
    pub(crate) fn figures(&self) -> Figures {
        let read = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        Figures {
            announces: read(&self.announces),
            scrapes: read(&self.scrapes),
            swarms: read(&self.swarms),
            peers: read(&self.peers),
        }
    }
}

impl Desk {
    /// A desk without visitors so far.
    pub(crate) fn new(rules: Rules, tally: Arc<Tally>) -> Desk {
        // Each `RandomState` has fresh keys of its own, which is all the chance a tracker needs.
        let seed = Seed(RandomState::new().hash_one("the swarm table"));
        Desk {
            table: SwarmTable::new(rules, seed),
            peers: Peers::new(),
            began: std::time::Instant::now(),
            tally,
        }
    }

    /// A visit from this address: how the swarm stands, and others in it.
    pub(crate) fn announce(
        &mut self,
        from: IpAddr,
        request: &AnnounceRequest,
        want_max: u32,
    ) -> (Standing, &Peers) {
        let visit = Visit {
            info_hash: request.info_hash,
            peer: SocketAddr::new(from, request.port),
            event: request.event,
            left: request.left,
            want: request.want.unwrap_or(WANT_DEFAULT).min(want_max),
        };
        let standing = self.table.announce(self.now(), &visit, &mut self.peers);
        self.tally.announces.fetch_add(1, Ordering::Relaxed);
        self.tell_size();
        (standing, &self.peers)
    }

    /// How a swarm stands.
    pub(crate) fn scrape(&mut self, info_hash: InfoHash) -> ScrapeCounts {
        self.tally.scrapes.fetch_add(1, Ordering::Relaxed);
        let counts = self.table.scrape(&info_hash).unwrap_or_default();
        ScrapeCounts { seeders: counts.complete, completed: counts.downloaded, leechers: counts.incomplete }
    }

    /// Forgets some of those that stayed away.
    pub(crate) fn sweep(&mut self) {
        let now = self.now();
        self.table.sweep(now);
        self.tell_size();
    }

    fn tell_size(&self) {
        self.tally.swarms.store(self.table.swarms().into(), Ordering::Relaxed);
        self.tally.peers.store(self.table.peers().into(), Ordering::Relaxed);
    }

    fn now(&self) -> Instant {
        Instant::from_micros(u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX))
    }
}
