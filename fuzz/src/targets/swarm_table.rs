//! A tracker's table beside a naive one, through any story of visits and time: whoever is named is there, fresh, somebody else, of use and
//! named once; as many are named as are wanted, if there are; counts lie between who is fresh and who ever came; bounds hold; a peer is
//! kept where there is plenty of room; and a table that everybody has left is empty.

use crate::script::Script;
use proto::tracker::SwarmTable;
use proto::tracker::swarm_table::{Kept, Peers, Rules, Visit, WANT_MAX};
use proto::{Duration, Instant, Seed};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use wire::InfoHash;
use wire::announce::AnnounceEvent;

/// Longest story, in visits: enough for swarms that are hashed, and for several of them.
const VISITS_MAX: usize = 2_000;
/// Up to here a swarm is drawn from as a whole, so that a short answer has no excuse.
const SMALL: usize = 128;

struct World {
    table: SwarmTable,
    rules: Rules,
    /// Second by second.
    now: u64,
    /// Who came to each swarm and has not left: whether it is a seed, and when it last came.
    swarms: BTreeMap<InfoHash, BTreeMap<SocketAddr, (bool, u64)>>,
    peers: Peers,
    visits: usize,
}

/// One input.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let rules = Rules {
        interval: Duration::from_secs([2, 60, 1800, 20_000][script.below(4)]),
        min_interval: Duration::from_secs(1),
        peers_max: [1, 50, 100_000][script.below(3)],
        swarms_max: [1, 3, 100_000][script.below(3)],
    };
    let table = SwarmTable::new(rules, Seed(script.byte().into()));
    let mut world = World { table, rules, now: 0, swarms: BTreeMap::new(), peers: Peers::new(), visits: 0 };
    while !script.is_over() && world.visits < VISITS_MAX {
        match script.below(8) {
            0 => world.now += u64::from(script.byte()),
            1 => world.now += u64::from(script.byte()) * u64::from(script.byte()),
            2 => world.table.sweep(world.instant()),
            3 => crowd(&mut world, &mut script),
            _ => {
                let visit = visit(&mut script);
                come(&mut world, visit);
            }
        }
    }
    // All stay away. The table is looked at often enough that nobody is forgotten wholesale.
    let step = rules.interval.as_secs() / 2 + 10;
    for _ in 0..20 {
        world.now += step;
        (0..3).for_each(|_| world.table.sweep(world.instant()));
    }
    let mut sweeps = 0;
    while world.table.swarms() > 0 && sweeps < 2 * VISITS_MAX {
        world.table.sweep(world.instant());
        sweeps += 1;
    }
    assert_eq!((world.table.peers(), world.table.swarms()), (0, 0));
}

/// Many peers come, or leave, one after another.
fn crowd(world: &mut World, script: &mut Script<'_>) {
    let (first, count) = (visit(script), script.byte());
    for n in 0..u16::from(count) {
        let mut visit = first;
        visit.peer.set_port(visit.peer.port().wrapping_add(n));
        visit.left = if n.is_multiple_of(7) { 1 - first.left } else { first.left };
        come(world, visit);
    }
}

fn visit(script: &mut Script<'_>) -> Visit {
    use AnnounceEvent::{Completed, None, Paused, Started, Stopped};
    let host = script.byte();
    let ip = match host % 4 {
        0 => Ipv6Addr::from(0x2001_0db8_u128 << 96 | u128::from(host / 64) << 80 | u128::from(host)).into(),
        1 => Ipv4Addr::new(192, 168, 0, host).into(),
        _ => Ipv4Addr::new(11, 0, host / 64, host).into(),
    };
    Visit {
        info_hash: InfoHash([script.below(6) as u8; 20]),
        peer: SocketAddr::new(ip, u16::from(script.byte()) * 256),
        event: [None, Started, Completed, Stopped, Paused, None, None, Stopped][script.below(8)],
        left: u64::from(script.flag()),
        want: [0, 1, 3, 50, 200, u32::MAX][script.below(6)],
    }
}

fn come(world: &mut World, visit: Visit) {
    world.visits += 1;
    let roomy = world.has_plenty(&visit);
    let standing = world.table.announce(world.instant(), &visit, &mut world.peers);
    let stays = visit.event != AnnounceEvent::Stopped && visit.peer.port() != 0;
    let swarm = world.swarms.entry(visit.info_hash).or_default();
    match standing.kept {
        Kept::Known => {
            assert!(stays);
            swarm.insert(visit.peer, (visit.left == 0, world.now));
        }
        Kept::Left => {
            assert_eq!(visit.event, AnnounceEvent::Stopped);
            swarm.remove(&visit.peer);
        }
        Kept::Unreachable => assert_eq!(visit.peer.port(), 0),
        Kept::NoRoom => assert!(stays && !roomy),
    }
    world.check_answer(&visit, standing.kept);
    let swarm = &world.swarms[&visit.info_hash];
    for (seeds, count) in [(true, standing.counts.complete), (false, standing.counts.incomplete)] {
        let of_kind = || swarm.values().filter(|(seed, _)| *seed == seeds);
        let fresh = of_kind().filter(|(_, seen)| world.is_fresh(*seen)).count();
        // A swarm that is not there has no counts, whoever was refused.
        assert!((fresh..=of_kind().count()).contains(&(count as usize)), "{count} {fresh}");
    }
    let scraped = world.table.scrape(&visit.info_hash);
    assert!(scraped.is_none_or(|counts| counts == standing.counts));
    assert!(world.table.peers() <= world.rules.peers_max && world.table.swarms() <= world.rules.swarms_max);
}

impl World {
    fn instant(&self) -> Instant {
        Instant::from_micros(self.now * 1_000_000)
    }

    fn is_fresh(&self, seen: u64) -> bool {
        // For long intervals the table's clock is coarse: what is on the edge may be either.
        self.now - seen <= self.rules.interval.as_secs() * 2 + 30
    }

    /// Whether there is more room than all that is kept, so that no network can have had its share.
    fn has_plenty(&self, visit: &Visit) -> bool {
        let kept = self.table.peers();
        let swarms = if self.table.scrape(&visit.info_hash).is_some() {
            u32::MAX
        } else {
            self.rules.swarms_max - self.table.swarms()
        };
        kept < (self.rules.peers_max - kept).min(swarms)
    }

    fn check_answer(&self, visit: &Visit, kept: Kept) {
        let answer: Vec<SocketAddr> = self.peers.iter().collect();
        assert_eq!(answer.len(), self.peers.len());
        if matches!(kept, Kept::Left | Kept::Unreachable) {
            return assert!(answer.is_empty());
        }
        let swarm = &self.swarms[&visit.info_hash];
        let seeks = visit.left > 0 && visit.event != AnnounceEvent::Paused;
        let of_use = |peer: &SocketAddr, seed: bool| {
            *peer != visit.peer && peer.is_ipv4() == visit.peer.is_ipv4() && (seeks || !seed)
        };
        for peer in &answer {
            let (seed, seen) = swarm[peer];
            // Up to four seconds coarse for the longest interval here.
            let stale = self.rules.interval.as_secs() * 2 + 60 + 4;
            assert!(of_use(peer, seed) && self.now - seen < stale, "{peer}");
        }
        assert_eq!(answer.iter().collect::<BTreeSet<_>>().len(), answer.len());
        let want = visit.want.min(WANT_MAX) as usize;
        assert!(answer.len() <= want);
        // Those that are stale take part in the draw until they are forgotten, so only where there are none is the number certain.
        if swarm.values().all(|(_, seen)| self.is_fresh(*seen)) {
            let others = swarm.iter().filter(|(peer, (seed, _))| of_use(peer, *seed)).count();
            let least = if swarm.len() <= SMALL { want.min(others) } else { want.min(others) / 2 };
            assert!(answer.len() >= least, "{} of {others}, {want} wanted", answer.len());
        }
    }
}
