//! Many searches in one world, and what they came to.

use super::{DhtWorld, KNOCK_EVERY, Searched, Siege, tables};
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use proto::{Duration, Rng, Seed};
use wire::InfoHash;
use wire::node_id::NodeId;

/// Searches that are under way at once: few enough that they do not compete for answers.
const AT_ONCE: usize = 50;

/// What searches came to. Each: one node announces a torrent, another that never heard of it looks for it.
#[derive(Clone, Debug, Default)]
pub struct Trial {
    /// How many there were.
    pub searches: u32,
    /// The part of them that found who had announced.
    pub found: f64,
    /// False peers that a search was told of beside, in the mean.
    pub false_peers: f64,
    /// Nodes that believe attackers in what their own address is.
    pub fooled: usize,
    /// How long a search took until nobody was left to ask: the middle one.
    pub took: Duration,
    /// And the slowest of twenty.
    pub took_p95: Duration,
    /// How long until the first peer was found: the middle one.
    pub first: Duration,
    /// Answers that led to the nearest node, in the mean.
    pub hops: f64,
    /// Nodes asked, in the mean.
    pub asked: f64,
    /// Nodes that kept an announce, in the mean.
    pub stored: f64,
    /// Bytes that all nodes together sent, for a search and its announce.
    pub bytes: f64,
}

/// How long a world lives before it is attacked: nodes learn from walks how many there are.
const BEFORE: Duration = Duration::from_secs(30 * 60);

/// How long attackers knock before anybody searches.
const KNOCKING: Duration = Duration::from_secs(20 * 60);

/// Targets that are besieged at the same time.
const SIEGES: usize = 5;

/// Searches for as many torrents, in groups.
pub fn run(world: &mut DhtWorld, searches: u32) -> Trial {
    let targets: Vec<InfoHash> = {
        let mut rng = Rng::new(Seed(world.settings.seed ^ 0x7a26_e75c));
        (0..searches).map(|_| InfoHash(tables::random_id(&mut rng).0)).collect()
    };
    let mut all = Results::default();
    for group in targets.chunks(AT_ONCE) {
        all.take(world, group, group.len());
    }
    all.sum_up(world)
}

/// Searches for as many torrents among attackers anywhere, who knock for a while before.
pub fn run_attacked(world: &mut DhtWorld, searches: u32) -> Trial {
    world.run(BEFORE);
    knock(world, &[]);
    run(world, searches)
}

/// So many searches for each of a few torrents, whose neighbourhoods are besieged before anybody announces them.
pub fn run_besieged(world: &mut DhtWorld, targets: u32, searches_each: u32) -> Trial {
    world.run(BEFORE);
    let mut rng = Rng::new(Seed(world.settings.seed ^ 0x51e6_e000));
    let targets: Vec<InfoHash> = (0..targets).map(|_| InfoHash(tables::random_id(&mut rng).0)).collect();
    let mut all = Results::default();
    for group in targets.chunks(SIEGES) {
        let sieges: Vec<Siege> = group.iter().map(|target| world.besiege(NodeId::from(*target))).collect();
        knock(world, &sieges);
        for target in group {
            all.take(world, &[*target], searches_each as usize);
        }
        sieges.iter().for_each(|siege| world.relieve(siege));
    }
    all.sum_up(world)
}

fn knock(world: &mut DhtWorld, sieges: &[Siege]) {
    for _ in 0..KNOCKING.as_secs() / KNOCK_EVERY.as_secs() {
        world.knock(sieges);
        world.run(KNOCK_EVERY);
    }
}

#[derive(Default)]
struct Results {
    found: u32,
    finds: Vec<Searched>,
    false_peers: usize,
    stored: u32,
    announces: u32,
    bytes: u64,
}

impl Results {
    /// One announce of each torrent, then so many searches, dealt among the torrents.
    fn take(&mut self, world: &mut DhtWorld, torrents: &[InfoHash], searches: usize) {
        let before = world.sent.1;
        let anybody = |world: &mut DhtWorld| {
            let nodes = world.nodes();
            world.rng.below(nodes)
        };
        let mut announced = Vec::new();
        for info_hash in torrents {
            // One of both families, where there are two: every third.
            let node = anybody(world) / 3 * 3;
            let addresses: Vec<IpAddr> = world.addresses(node).map(|address| address.ip()).collect();
            announced.push((addresses, world.announce(node, *info_hash)));
        }
        let names: Vec<_> = announced.iter().map(|(_, name)| *name).collect();
        world.wait_for(&names);
        for name in &names {
            self.stored += world.searched(*name).report.as_ref().map_or(0, |report| report.stored);
        }
        self.announces += names.len() as u32;
        let mut finds = Vec::new();
        for n in 0..searches {
            let at = n % torrents.len();
            let node = anybody(world);
            finds.push((at, world.find(node, torrents[at])));
        }
        let names: Vec<_> = finds.iter().map(|(_, name)| *name).collect();
        world.wait_for(&names);
        for (expected, name) in finds {
            let searched = world.searched(name).clone();
            let is = |peer: &SocketAddr| announced[expected].0.contains(&peer.ip());
            self.false_peers += searched.peers.iter().filter(|peer| DhtWorld::is_false(peer)).count();
            self.found += u32::from(searched.peers.iter().any(is));
            self.finds.push(searched);
        }
        self.bytes += world.sent.1 - before;
    }

    fn sum_up(self, world: &DhtWorld) -> Trial {
        let count = self.finds.len().max(1) as f64;
        let reports = || self.finds.iter().filter_map(|searched| searched.report.as_ref());
        let mut took: Vec<Duration> = reports().map(|report| report.took).collect();
        let mut first: Vec<Duration> = self.finds.iter().filter_map(|searched| searched.first).collect();
        took.sort_unstable();
        first.sort_unstable();
        let at = |all: &[Duration], percent: usize| {
            all.get(all.len() * percent / 100).copied().unwrap_or_default()
        };
        Trial {
            searches: self.finds.len() as u32,
            found: f64::from(self.found) / count,
            false_peers: self.false_peers as f64 / count,
            fooled: world.fooled(),
            took: at(&took, 50),
            took_p95: at(&took, 95),
            first: at(&first, 50),
            hops: reports().map(|report| f64::from(report.hops)).sum::<f64>() / count,
            asked: reports().map(|report| f64::from(report.asked)).sum::<f64>() / count,
            stored: f64::from(self.stored) / f64::from(self.announces.max(1)),
            bytes: self.bytes as f64 / count,
        }
    }
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} searches: {:.2} % found ({:.0} false peers beside; {} nodes fooled), {:.2} s (95 %: {:.2} s), first peer after {:.2} s, {:.2} hops, {:.1} asked, {:.1} stored, {:.0} bytes of all",
            self.searches,
            self.found * 100.0,
            self.false_peers,
            self.fooled,
            self.took.as_secs_f64(),
            self.took_p95.as_secs_f64(),
            self.first.as_secs_f64(),
            self.hops,
            self.asked,
            self.stored,
            self.bytes
        )
    }
}
