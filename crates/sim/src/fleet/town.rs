//! What all nodes of a fleet have in common: the tracker, what goes wrong, and who may go because the rest has everything.
//!
//! Done between windows by one pair of hands, in the order of `(time, node)`. The tracker is `proto`'s swarm table behind a wire of
//! fixed length, and may be dead; an answer is there after a round trip, and not before the next window.

use super::node::{Node, Own, TORRENT};
use super::shard::{Scene, Shard, Visit};
use crate::fault::{Fault, Healing};
use crate::node::{Leaves, addr_of};
use crate::swarm::{Swarm, Unfit};
use core::time::Duration;
use proto::input::{AnnounceFailure, AnnounceReply};
use proto::output::Announce;
use proto::tracker::SwarmTable;
use proto::tracker::swarm_table::{self, Peers, Rules};
use proto::{Input, Instant, Seed};
use wire::Bitfield;
use wire::tracker_udp::ScrapeCounts;

/// There and back.
const ROUND_TRIP: Duration = Duration::from_millis(80);
/// How long it takes to give up on a dead tracker.
const TIMEOUT: Duration = Duration::from_secs(15);
/// How often it is looked who may go.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What is nobody's.
pub(super) struct Town {
    tracker: SwarmTable,
    named_max: u32,
    /// The tracker is dead until then, if it is.
    dead_until: Instant,
    peers: Peers,
    /// In order of time, the next one last.
    faults: Vec<(Instant, Fault)>,
    /// Nodes that go as soon as the rest has everything.
    guards: Vec<u32>,
    look_at: Instant,
}

impl Town {
    pub(super) fn new(swarm: &Swarm, nodes: &[Node]) -> Result<Town, Unfit> {
        let minutes = |count: u64| Duration::from_secs(60 * count);
        let rules = Rules { interval: minutes(15), min_interval: minutes(1), ..Rules::default() };
        let guards = nodes.iter().filter(|node| node.member.leaves == Leaves::WhenSpread);
        let mut town = Town {
            tracker: SwarmTable::new(rules, Seed(swarm.seed ^ 0x7261_636b)),
            named_max: swarm.named_max,
            dead_until: Instant::ZERO,
            peers: Peers::new(),
            faults: Vec::new(),
            guards: guards.map(|node| node.index).collect(),
            look_at: Instant::ZERO,
        };
        for (at, fault) in &swarm.faults {
            town.plan(*at, fault.clone())?;
        }
        Ok(town)
    }

    /// Something is to go wrong at a set time.
    ///
    /// # Errors
    /// If it cannot, where there are no disks and no clocks.
    pub(super) fn plan(&mut self, at: Instant, fault: Fault) -> Result<(), Unfit> {
        match fault {
            Fault::Leave { .. }
            | Fault::Crash { .. }
            | Fault::TrackerDies { .. }
            | Fault::Heals(Healing::Tracker) => {}
            Fault::CutOff { .. }
            | Fault::Split { .. }
            | Fault::BreakLink { .. }
            | Fault::BreakSome { .. }
            | Fault::DiskPauses { .. }
            | Fault::ClockLeaps { .. }
            | Fault::DiskFull { .. }
            | Fault::SyncFails { .. }
            | Fault::ReadFails { .. }
            | Fault::DiskVanishes { .. }
            | Fault::BitRot { .. }
            | Fault::Touch { .. }
            | Fault::Heals(Healing::Network { .. } | Healing::Disk { .. }) => return Err(Unfit::Fault),
        }
        let place = self.faults.partition_point(|&(other, _)| other > at);
        self.faults.insert(place, (at, fault));
        Ok(())
    }

    /// What goes wrong in the window that ends then.
    pub(super) fn befall(&mut self, scene: &Scene, shards: &mut [Shard], end: Instant) {
        while let Some((at, fault)) = self.faults.pop_if(|(at, _)| *at < end) {
            match fault {
                Fault::Leave { node } => plan(scene, shards, node, at, Own::Leave),
                Fault::Crash { node, back_after, how: _ } => {
                    plan(scene, shards, node, at, Own::Crash(back_after));
                }
                Fault::TrackerDies { lasts } => {
                    self.dead_until = lasts.map_or(Instant::FAR, |lasts| at + lasts);
                }
                Fault::Heals(_) => self.dead_until = at,
                _ => {}
            }
        }
    }

    /// When something goes wrong next, or somebody has to be looked at.
    pub(super) fn due(&self) -> Instant {
        let fault = self.faults.last().map_or(Instant::FAR, |&(at, _)| at);
        if self.guards.is_empty() { fault } else { fault.min(self.look_at) }
    }

    /// Answers who asked in the window that ends now.
    pub(super) fn answer(&mut self, scene: &Scene, shards: &mut [Shard], end: Instant) {
        let mut visits: Vec<_> = shards.iter_mut().flat_map(|shard| shard.visits.drain(..)).collect();
        // Those of one node at one time are in its own order.
        visits.sort_by_key(|&(at, node, _)| (at, node));
        for (at, node, visit) in visits {
            let dead = at < self.dead_until;
            let input = match visit {
                Visit::Announce(announce) => {
                    let outcome =
                        if dead { Err(unreachable()) } else { Ok(self.announce(scene, node, at, &announce)) };
                    Input::Announced { announce: announce.announce, outcome }
                }
                Visit::Scrape(scrape) => {
                    let counts = self.tracker.scrape(&scene.metainfo.info_hash).unwrap_or_default();
                    let (seeders, leechers) = (counts.complete, counts.incomplete);
                    let counts = ScrapeCounts { seeders, completed: counts.downloaded, leechers };
                    Input::Scraped { scrape, outcome: if dead { Err(unreachable()) } else { Ok(counts) } }
                }
            };
            let after = if dead { TIMEOUT } else { ROUND_TRIP };
            plan(scene, shards, node, (at + after).max(end), Own::Tell(Box::new(input)));
        }
    }

    fn announce(&mut self, scene: &Scene, node: u32, at: Instant, announce: &Announce) -> AnnounceReply {
        let visit = swarm_table::Visit {
            info_hash: scene.metainfo.info_hash,
            peer: addr_of(node),
            event: announce.event,
            left: announce.left,
            want: announce.want.min(self.named_max),
        };
        let standing = self.tracker.announce(at, &visit, &mut self.peers);
        AnnounceReply {
            interval: standing.interval,
            min_interval: Some(standing.min_interval),
            peers: self.peers.iter().collect(),
            complete: Some(standing.counts.complete),
            incomplete: Some(standing.counts.incomplete),
            tracker_id: None,
            external_ip: None,
            warning: None,
        }
    }

    /// Lets those go who stayed only until the others together have every piece.
    pub(super) fn look(&mut self, scene: &Scene, shards: &mut [Shard], now: Instant) {
        if self.guards.is_empty() || now < self.look_at {
            return;
        }
        self.look_at = now + LOOK_EVERY;
        let pieces = scene.metainfo.layout.pieces();
        self.guards.retain(|&guard| {
            let mut union = Bitfield::new(pieces);
            let others = shards.iter().flat_map(|shard| &shard.nodes).filter(|node| node.index != guard);
            for have in others.filter_map(|node| node.session.as_ref()?.have(TORRENT)) {
                have.iter().for_each(|piece| {
                    union.insert(piece);
                });
            }
            if union.is_full() {
                plan(scene, shards, guard, now, Own::Leave);
            }
            !union.is_full()
        });
    }
}

fn plan(scene: &Scene, shards: &mut [Shard], node: u32, at: Instant, own: Own) {
    if let Some(shard) = shards.get_mut((node / scene.per_shard) as usize)
        && ((node - shard.first) as usize) < shard.nodes.len()
    {
        shard.plan(node, at, own);
    }
}

fn unreachable() -> AnnounceFailure {
    AnnounceFailure::Unreachable("timed out".into())
}
