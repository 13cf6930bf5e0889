//! The scenarios by name, each a function of a seed: what the tests run and the `replay` example shows again.

use crate::disk::{Crash, DiskModel};
use crate::fault::Fault;
use crate::network::Access;
use crate::node::{Holds, Leaves, Nature, NodeSpec};
use crate::scenario::Scenario;
use core::time::Duration;
use proto::{Instant, Lease, Rng, Seed};
use wire::{Bitfield, PieceIndex};

/// A scenario by name.
pub type Entry = (&'static str, fn(u64) -> Scenario);

/// All scenarios.
pub const CATALOGUE: &[Entry] = &[
    ("flash_crowd", flash_crowd),
    ("shaped_swarm", shaped_swarm),
    ("seed_leaves", seed_leaves),
    ("corrupting_peer", corrupting_peer),
    ("choke_rounds", choke_rounds),
    ("slow_uplink", slow_uplink),
    ("resume", resume),
    ("broken_links", broken_links),
    ("disk_full", disk_full),
    ("sync_fails", sync_fails),
    ("vanished_disk", vanished_disk),
    ("tracker_dies", tracker_dies),
    ("dht_carries_on", dht_carries_on),
    ("come_and_go", come_and_go),
    ("power_losses", power_losses),
    ("touched_files", touched_files),
    ("small_buffer", small_buffer),
    ("slow_syncs", slow_syncs),
    ("stalling_seed", stalling_seed),
    ("as_bytes", as_bytes),
    ("bit_rot", bit_rot),
    ("split", split),
    ("chain", chain),
    ("private_chain", private_chain),
    ("matrix", matrix),
    ("weather_calm", crate::weather::calm),
    ("weather_links", crate::weather::links),
    ("weather_nat", crate::weather::nat),
    ("weather_disks", crate::weather::disks),
    ("weather_clocks", crate::weather::clocks),
    ("weather_all", crate::weather::all),
    ("magnets", crate::magnets::magnets),
    ("metadata_liars", crate::magnets::metadata_liars),
    ("magnets_alone", crate::magnets::magnets_alone),
    ("large_metadata", crate::magnets::large_metadata),
    ("hostile_swarm", crate::hostile::swarm::attacked),
    ("peaceful_swarm", crate::hostile::swarm::alone),
];

/// The scenario of this name.
pub fn by_name(name: &str) -> Option<fn(u64) -> Scenario> {
    CATALOGUE.iter().find(|entry| entry.0 == name).map(|entry| entry.1)
}

const MIB: u64 = 1 << 20;
const KIB: u32 = 1 << 10;

/// 100 Mbit/s down, 20 Mbit/s up.
const CABLE: Access = Access::new(2_500_000, 12_500_000);

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// One seed, thirty leechers who come at once.
pub fn flash_crowd(seed: u64) -> Scenario {
    Scenario::new("flash_crowd", seed)
        .content(24 * MIB, 256 * KIB)
        .node(NodeSpec::seed(CABLE))
        .nodes(30, NodeSpec::leecher(CABLE))
        .within(secs(300))
}

/// The swarm in which other clients were measured: one seed, ten leechers, 64 MiB, 20 Mbit/s up, 100 Mbit/s down.
pub fn shaped_swarm(seed: u64) -> Scenario {
    Scenario::new("shaped_swarm", seed)
        .content(64 * MIB, 256 * KIB)
        .node(NodeSpec::seed(CABLE))
        .nodes(10, NodeSpec::leecher(CABLE))
        .within(secs(300))
}

/// The seed goes as soon as the others together have every piece.
pub fn seed_leaves(seed: u64) -> Scenario {
    Scenario::new("seed_leaves", seed)
        .content(8 * MIB, 128 * KIB)
        .node(NodeSpec { leaves: Leaves::WhenSpread, ..NodeSpec::seed(CABLE) })
        .nodes(8, NodeSpec::leecher(CABLE))
        .within(secs(300))
}

/// One of two seeds spoils a tenth of its blocks.
pub fn corrupting_peer(seed: u64) -> Scenario {
    let corrupts = Nature::Corrupts { permille: 100 };
    Scenario::new("corrupting_peer", seed)
        .content(4 * MIB, 128 * KIB)
        .node(NodeSpec::seed(CABLE))
        .node(NodeSpec { nature: corrupts, ..NodeSpec::seed(CABLE) })
        .nodes(5, NodeSpec::leecher(CABLE))
        .within(secs(600))
}

/// A fair seed; four who give much, four who give little, two who give nothing.
pub fn choke_rounds(seed: u64) -> Scenario {
    let down = 4_000_000;
    let nothing = Lease { unchoke_slots: 0, ..NodeSpec::lease() };
    Scenario::new("choke_rounds", seed)
        .content(96 * MIB, 512 * KIB)
        .node(NodeSpec::seed(Access::new(1_500_000, down)))
        .nodes(4, NodeSpec::leecher(Access::new(1_000_000, down)))
        .nodes(4, NodeSpec::leecher(Access::new(100_000, down)))
        .nodes(2, NodeSpec { lease: nothing, ..NodeSpec::leecher(Access::new(1_000_000, down)) })
        .each(|_, spec| spec.lease.unchoke_slots = spec.lease.unchoke_slots.min(3))
        .within(secs(1200))
}

/// A leecher with half the content and 1 Mbit/s up, which four others drain while it fetches the rest from a seed.
pub fn slow_uplink(seed: u64) -> Scenario {
    let fast = Access::new(400_000, 12_500_000);
    let mut half = Bitfield::new(256);
    for piece in 0..128 {
        half.insert(PieceIndex(piece));
    }
    let slow = Access::new(125_000, 1_250_000);
    Scenario::new("slow_uplink", seed)
        .content(32 * MIB, 128 * KIB)
        .node(NodeSpec { holds: Holds::Pieces(half), ..NodeSpec::leecher(slow) })
        .node(NodeSpec::seed(fast))
        .nodes(4, NodeSpec::leecher(fast))
        .within(secs(600))
}

/// One seed, one leecher, slow enough that blocks are spilled: the story that crash points are set into.
pub fn resume(seed: u64) -> Scenario {
    Scenario::new("resume", seed)
        .content(3 * MIB, 256 * KIB)
        .node(NodeSpec::seed(Access::new(150_000, 1_000_000)))
        .node(NodeSpec::leecher(Access::new(100_000, 1_000_000)))
        .within(secs(900))
}

/// Links break all the time, and nodes are cut off for a while.
pub fn broken_links(seed: u64) -> Scenario {
    let mut rng = Rng::new(Seed(seed));
    let mut scenario = Scenario::new("broken_links", seed)
        .content(8 * MIB, 128 * KIB)
        .nodes(2, NodeSpec::seed(CABLE))
        .nodes(6, NodeSpec::leecher(Access::new(300_000, 2_000_000)))
        .within(secs(1200));
    for second in 1..20 {
        let (node, nth) = (rng.below(8), rng.below(8));
        scenario = scenario.fault(second, Fault::BreakLink { node, nth });
    }
    scenario.fault(7, Fault::CutOff { node: 3, lasts: secs(20) })
}

/// A leecher's disk fills up and is emptied a minute later.
pub fn disk_full(seed: u64) -> Scenario {
    Scenario::new("disk_full", seed)
        .content(8 * MIB, 128 * KIB)
        .node(NodeSpec::seed(Access::new(500_000, 1_000_000)))
        .nodes(2, NodeSpec::leecher(CABLE))
        .fault(5, Fault::DiskFull { node: 1, lasts: secs(60) })
        .within(secs(900))
}

/// A leecher's syncs fail for a while, and then its power goes.
pub fn sync_fails(seed: u64) -> Scenario {
    let crash = Fault::Crash { node: 1, how: Crash::PowerLoss, back_after: Some(secs(5)) };
    Scenario::new("sync_fails", seed)
        .content(8 * MIB, 128 * KIB)
        .node(NodeSpec::seed(Access::new(500_000, 1_000_000)))
        .nodes(2, NodeSpec::leecher(CABLE))
        .fault(5, Fault::SyncFails { node: 1, lasts: secs(10) })
        .fault(40, crash)
        .within(secs(900))
}

/// A leecher's folder is gone for a while.
pub fn vanished_disk(seed: u64) -> Scenario {
    Scenario::new("vanished_disk", seed)
        .content(8 * MIB, 128 * KIB)
        .node(NodeSpec::seed(Access::new(500_000, 1_000_000)))
        .nodes(2, NodeSpec::leecher(CABLE))
        .fault(5, Fault::DiskVanishes { node: 1, lasts: secs(30) })
        .within(secs(900))
}

/// The tracker dies when everybody has been there once, and a latecomer has only its own two addresses.
pub fn tracker_dies(seed: u64) -> Scenario {
    let late =
        NodeSpec { joins: Instant::from_micros(15_000_000), knows: vec![0, 1], ..NodeSpec::leecher(CABLE) };
    Scenario::new("tracker_dies", seed)
        .content(8 * MIB, 128 * KIB)
        .node(NodeSpec::seed(Access::new(500_000, 1_000_000)))
        .nodes(4, NodeSpec::leecher(CABLE))
        .node(late)
        .fault(5, Fault::TrackerDies { lasts: None })
        .within(secs(600))
}

/// The tracker dies when a small part is there, in a swarm that takes part in the DHT; two who know the hash alone, and one node of the DHT
/// that has nothing to do with the torrent, come afterwards.
pub fn dht_carries_on(seed: u64) -> Scenario {
    let newcomer = |seconds: u64| NodeSpec {
        joins: Instant::from_micros(seconds * 1_000_000),
        dht: Some(vec![0]),
        ..NodeSpec::magnet(CABLE)
    };
    let joined = |spec: NodeSpec| NodeSpec { dht: Some(vec![0]), ..spec };
    let bystander = NodeSpec { dht: Some(Vec::new()), ..NodeSpec::puppet(CABLE) };
    Scenario::new("dht_carries_on", seed)
        .content(32 * MIB, 128 * KIB)
        .node(bystander)
        .node(joined(NodeSpec::seed(Access::new(500_000, 1_000_000))))
        .nodes(6, joined(NodeSpec::leecher(CABLE)))
        .node(newcomer(20))
        .node(newcomer(60))
        .fault(5, Fault::TrackerDies { lasts: None })
        .within(secs(900))
}

/// Leechers come one after the other, and leave soon after they have everything.
pub fn come_and_go(seed: u64) -> Scenario {
    let leaves = Leaves::AfterFinish(secs(5));
    Scenario::new("come_and_go", seed)
        .content(4 * MIB, 128 * KIB)
        .node(NodeSpec::seed(CABLE))
        .nodes(12, NodeSpec { leaves, ..NodeSpec::leecher(CABLE) })
        .each(|index, spec| spec.joins = Instant::from_micros(u64::from(index) * 3_000_000))
        .within(secs(900))
}

/// Leechers lose power and come back, again and again.
pub fn power_losses(seed: u64) -> Scenario {
    let mut rng = Rng::new(Seed(seed));
    let mut scenario = Scenario::new("power_losses", seed)
        .content(8 * MIB, 256 * KIB)
        .node(NodeSpec::seed(Access::new(500_000, 1_000_000)))
        .nodes(3, NodeSpec::leecher(Access::new(300_000, 1_000_000)))
        .within(secs(1800));
    for round in 0..6 {
        let at = Instant::from_micros(u64::from(4_000_000 + round * 6_000_000 + rng.below(6_000_000)));
        let how = if rng.below(2) == 0 { Crash::Kill } else { Crash::PowerLoss };
        let crash = Fault::Crash { node: 1 + rng.below(3), how, back_after: Some(secs(2)) };
        scenario = scenario.fault_at(at, crash);
    }
    scenario
}

/// Somebody touches a leecher's files while it is off: what is there is checked before it is trusted.
pub fn touched_files(seed: u64) -> Scenario {
    let crash = Fault::Crash { node: 1, how: Crash::Kill, back_after: Some(secs(4)) };
    Scenario::new("touched_files", seed)
        .content(8 * MIB, 128 * KIB)
        .node(NodeSpec::seed(Access::new(500_000, 1_000_000)))
        .nodes(2, NodeSpec::leecher(CABLE))
        .fault(8, crash)
        .fault(10, Fault::Touch { node: 1 })
        .within(secs(600))
}

/// Memory for two pieces, a slow disk and a fast link: the disk decides.
pub fn small_buffer(seed: u64) -> Scenario {
    let lease = Lease { buffer: u64::from(512 * KIB), ..NodeSpec::lease() };
    let disk = DiskModel::SPINNING;
    Scenario::new("small_buffer", seed)
        .content(8 * MIB, 256 * KIB)
        .node(NodeSpec::seed(CABLE))
        .nodes(3, NodeSpec { lease, disk, ..NodeSpec::leecher(CABLE) })
        .within(secs(600))
}

/// Syncs and commits take up to a second each, and the leecher that waits for them is slow enough that blocks are spilled.
pub fn slow_syncs(seed: u64) -> Scenario {
    let disk = DiskModel { sync: Duration::from_millis(500), ..DiskModel::SPINNING };
    Scenario::new("slow_syncs", seed)
        .content(3 * MIB, 256 * KIB)
        .node(NodeSpec::seed(Access::new(150_000, 1_000_000)))
        .node(NodeSpec { disk, ..NodeSpec::leecher(Access::new(100_000, 1_000_000)) })
        .within(secs(900))
}

/// One of two seeds takes every request and answers none.
pub fn stalling_seed(seed: u64) -> Scenario {
    Scenario::new("stalling_seed", seed)
        .content(4 * MIB, 128 * KIB)
        .node(NodeSpec::seed(Access::new(500_000, 1_000_000)))
        .node(NodeSpec { nature: Nature::Stalls, ..NodeSpec::seed(CABLE) })
        .nodes(3, NodeSpec::leecher(CABLE))
        .within(secs(600))
}

/// One of two seeds has a disk with rotten blocks: it serves wrong bytes in good faith.
pub fn bit_rot(seed: u64) -> Scenario {
    let rot = |piece| Fault::BitRot { node: 1, piece: PieceIndex(piece), block: 3 };
    Scenario::new("bit_rot", seed)
        .content(4 * MIB, 128 * KIB)
        .nodes(2, NodeSpec::seed(Access::new(500_000, 1_000_000)))
        .nodes(3, NodeSpec::leecher(CABLE))
        .fault(0, rot(4))
        .fault(0, rot(17))
        .within(secs(600))
}

/// Half the leechers are apart from the seed and the others for a while, with what they have by then.
pub fn split(seed: u64) -> Scenario {
    Scenario::new("split", seed)
        .content(8 * MIB, 128 * KIB)
        .node(NodeSpec::seed(Access::new(500_000, 1_000_000)))
        .nodes(6, NodeSpec::leecher(CABLE))
        .fault(5, Fault::Split { nodes: vec![4, 5, 6], lasts: secs(60) })
        .within(secs(900))
}

/// Every message goes through the codec; one peer does not speak the fast extension.
pub fn as_bytes(seed: u64) -> Scenario {
    Scenario::new("as_bytes", seed)
        .content(4 * MIB, 128 * KIB)
        .node(NodeSpec::seed(CABLE))
        .nodes(3, NodeSpec::leecher(CABLE))
        .node(NodeSpec { fast: false, ..NodeSpec::leecher(CABLE) })
        .byte_true()
        .within(secs(300))
}

/// A small world of chance: sizes, links, leases, natures, faults.
pub fn matrix(seed: u64) -> Scenario {
    let mut rng = Rng::new(Seed(seed ^ 0x6d61_7472));
    let piece_len = (16 * KIB) << rng.below(5);
    let total = u64::from(1 + rng.below(2 << 20)) + MIB / 4;
    let access = |rng: &mut Rng| {
        let up = 50_000 << rng.below(6);
        let latency = Duration::from_millis(u64::from(5 + rng.below(100)));
        Access::new(up, up * u64::from(1 + rng.below(8))).latency(latency)
    };
    let (seeds, leechers) = (1 + rng.below(2), 1 + rng.below(6));
    let mut scenario = Scenario::new("matrix", seed).content(total, piece_len).within(secs(3600));
    for _ in 0..seeds {
        let holds = if rng.below(4) == 0 { Holds::AllUnrecorded } else { Holds::All };
        let access = access(&mut rng);
        scenario = scenario.node(NodeSpec { holds, ..NodeSpec::seed(access) });
    }
    if rng.below(4) == 0 {
        let nature = match rng.below(3) {
            0 => Nature::Stalls,
            _ => Nature::Corrupts { permille: 50 + rng.below(500) },
        };
        let access = access(&mut rng);
        scenario = scenario.node(NodeSpec { nature, ..NodeSpec::seed(access) });
    }
    for _ in 0..leechers {
        let mut spec = NodeSpec::leecher(access(&mut rng));
        spec.joins = Instant::from_micros(u64::from(rng.below(20_000_000)));
        spec.fast = rng.below(4) > 0;
        spec.reachable = rng.below(4) > 0;
        spec.sequential = rng.below(8) == 0;
        spec.lease.unchoke_slots = 1 + rng.below(6);
        spec.lease.buffer = u64::from(piece_len) * u64::from(2 + rng.below(16));
        if rng.below(4) == 0 {
            spec.disk = DiskModel::SPINNING;
        }
        scenario = scenario.node(spec);
    }
    let nodes = seeds + leechers;
    for _ in 0..rng.below(5) {
        let at = Instant::from_micros(u64::from(2_000_000 + rng.below(60_000_000)));
        let fault = chance_fault(&mut rng, nodes);
        scenario = scenario.fault_at(at, fault);
    }
    scenario
}

fn chance_fault(rng: &mut Rng, nodes: u32) -> Fault {
    let node = rng.below(nodes);
    let lasts = secs(u64::from(1 + rng.below(40)));
    match rng.below(10) {
        0 => Fault::Crash { node, how: Crash::Kill, back_after: Some(lasts) },
        1 | 2 => Fault::Crash { node, how: Crash::PowerLoss, back_after: Some(lasts) },
        3 => Fault::CutOff { node, lasts },
        4 => Fault::DiskFull { node, lasts },
        5 => Fault::SyncFails { node, lasts },
        6 => Fault::DiskVanishes { node, lasts },
        7 => Fault::Split { nodes: (0..1 + nodes / 2).collect(), lasts },
        8 => Fault::TrackerDies { lasts: Some(lasts) },
        _ => Fault::BreakLink { node, nth: rng.below(8) },
    }
}

/// Nobody runs a tracker, and each of sixteen knows one neighbour: what the seed at one end has must reach the other.
pub fn chain(seed: u64) -> Scenario {
    Scenario::new("chain", seed)
        .content(64 * MIB, 256 * KIB)
        .without_tracker()
        .node(NodeSpec::seed(CABLE))
        .nodes(15, NodeSpec::leecher(CABLE))
        .each(|index, spec| spec.knows = index.checked_sub(1).into_iter().collect())
        .within(secs(900))
        .lingers(secs(200))
}

/// The same with a private torrent: nobody names anybody, so each stays with its neighbours.
pub fn private_chain(seed: u64) -> Scenario {
    chain(seed).private()
}
