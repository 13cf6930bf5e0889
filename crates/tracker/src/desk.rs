//! Where both kinds of visitors are answered: the swarm table with its clock and its chance, and what was counted.

use proto::tracker::SwarmTable;
use proto::tracker::swarm_table::{Answer, Counts, Rules, Visit};
use proto::{Instant, Rng, Seed};
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use wire::InfoHash;
use wire::announce::AnnounceRequest;

/// Peers for a visitor who does not say how many: what clients ask for by custom (BEP 3).
const WANT_DEFAULT: u32 = 50;

/// The table and what it needs from the world.
pub(crate) struct Desk {
    table: SwarmTable,
    rng: Rng,
    began: std::time::Instant,
    keys: RandomState,
    /// Visits answered.
    pub(crate) announces: u64,
    /// Swarms told of.
    pub(crate) scrapes: u64,
}

impl Desk {
    /// A desk without visitors so far.
    pub(crate) fn new(rules: Rules) -> Desk {
        // Each `RandomState` has fresh keys of its own, which is all the chance a tracker needs.
        let seed = Seed(RandomState::new().hash_one("the swarm table"));
        Desk {
            table: SwarmTable::new(rules),
            rng: Rng::new(seed),
            began: std::time::Instant::now(),
            keys: RandomState::new(),
            announces: 0,
            scrapes: 0,
        }
    }

    /// A visit from this address.
    pub(crate) fn announce(&mut self, from: IpAddr, request: &AnnounceRequest, want_max: u32) -> Answer {
        self.announces += 1;
        let visit = Visit {
            info_hash: request.info_hash,
            peer: SocketAddr::new(from, request.port),
            event: request.event,
            left: request.left,
            want: request.want.unwrap_or(WANT_DEFAULT).min(want_max),
        };
        self.table.announce(self.now(), visit, &mut self.rng)
    }

    /// How a swarm stands.
    pub(crate) fn scrape(&mut self, info_hash: InfoHash) -> Counts {
        self.scrapes += 1;
        self.table.scrape(info_hash)
    }

    /// Forgets some of those that stayed away.
    pub(crate) fn sweep(&mut self) {
        let now = self.now();
        self.table.sweep(now);
    }

    /// Swarms and peers in the table.
    pub(crate) fn size(&self) -> (u64, u64) {
        (self.table.swarms() as u64, self.table.peers().into())
    }

    /// A number that only we can make: of this address, in this minute.
    pub(crate) fn token(&self, ip: IpAddr, minute: u64) -> u64 {
        self.keys.hash_one((ip, minute))
    }

    /// Minutes since we began.
    pub(crate) fn minute(&self) -> u64 {
        self.began.elapsed().as_secs() / 60
    }

    fn now(&self) -> Instant {
        Instant::from_micros(u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX))
    }
}
