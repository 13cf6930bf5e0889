//! The world's tracker: proto's swarm table behind a wire of fixed length. It may be dead.

use crate::world::World;
use core::time::Duration;
use proto::Instant;
use proto::input::{AnnounceFailure, AnnounceReply};
use proto::output::{Announce, Scrape};
use proto::tracker::SwarmTable;
use proto::tracker::swarm_table::{Peers, Rules, Visit};
use proto::{Input, Seed};
use wire::tracker_udp::ScrapeCounts;

/// Where torrents of this world announce.
pub const TRACKER_URL: &str = "udp://tracker.example:6969/announce";
/// There and back.
const ROUND_TRIP: Duration = Duration::from_millis(80);
/// How long it takes to give up on a dead one.
const TIMEOUT: Duration = Duration::from_secs(15);

pub(crate) struct SimTracker {
    pub(crate) table: SwarmTable,
    pub(crate) alive: bool,
    /// How many peers it names in one answer at most.
    pub(crate) named_max: u32,
}

impl SimTracker {
    pub(crate) fn new(seed: u64, named_max: u32) -> SimTracker {
        let minutes = |count: u64| Duration::from_secs(60 * count);
        let rules = Rules { interval: minutes(15), min_interval: minutes(1), ..Rules::default() };
        SimTracker { table: SwarmTable::new(rules, Seed(seed ^ 0x7261_636b)), alive: true, named_max }
    }

    /// Somebody who is no session makes itself known.
    pub(crate) fn register(&mut self, now: Instant, visit: Visit) {
        self.table.announce(now, &visit, &mut Peers::new());
    }
}

impl World {
    /// A node's announce goes to the tracker, and its answer comes back.
    pub(crate) fn announce(&mut self, node: u32, announce: &Announce) {
        let outcome = self.visit(node, announce);
        let after = if self.tracker.alive { ROUND_TRIP } else { TIMEOUT };
        self.tell_at(self.now + after, node, Input::Announced { announce: announce.announce, outcome });
    }

    /// A node's question for counts goes to the tracker, and its answer comes back.
    pub(crate) fn scrape(&mut self, node: u32, scrape: &Scrape) {
        let (after, outcome) = match self.tracker.alive {
            true => {
                let info_hash = self.contents[scrape.scrape.torrent.slot as usize].metainfo().info_hash;
                let counts = self.tracker.table.scrape(&info_hash).unwrap_or_default();
                let (seeders, leechers) = (counts.complete, counts.incomplete);
                (ROUND_TRIP, Ok(ScrapeCounts { seeders, completed: counts.downloaded, leechers }))
            }
            false => (TIMEOUT, Err(AnnounceFailure::Unreachable("timed out".into()))),
        };
        self.tell_at(self.now + after, node, Input::Scraped { scrape: scrape.scrape, outcome });
    }

    fn visit(&mut self, node: u32, announce: &Announce) -> Result<AnnounceReply, AnnounceFailure> {
        if !self.tracker.alive {
            return Err(AnnounceFailure::Unreachable("timed out".into()));
        }
        let torrent = announce.announce.torrent.slot as usize;
        let visit = Visit {
            info_hash: self.contents[torrent].metainfo().info_hash,
            peer: self.nodes[node as usize].addr(),
            event: announce.event,
            left: announce.left,
            want: announce.want.min(self.tracker.named_max),
        };
        let now: Instant = self.now;
        let mut peers = Peers::new();
        let standing = self.tracker.table.announce(now, &visit, &mut peers);
        Ok(AnnounceReply {
            interval: standing.interval,
            min_interval: Some(standing.min_interval),
            peers: peers.iter().collect(),
            complete: Some(standing.counts.complete),
            incomplete: Some(standing.counts.incomplete),
            tracker_id: None,
            external_ip: None,
            warning: None,
        })
    }
}
