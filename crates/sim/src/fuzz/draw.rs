//! Draws a world from a seed: small ones mostly, so that thousands fit into minutes, each with a few of all the things that can
//! be odd about a world.
//!
//! The first peer is always an honest seed that can be dialled and stays unless the others have everything without it, so that
//! most worlds have a happy end to be asked for. What is drawn may change with the code: a world that has to be kept is kept as text.

use super::plan::{Limits, Part, PeerPlan, Plan, Rules, Ways};
use crate::disk::Crash;
use crate::fault::{CrashPoint, Fault, Phase};
use crate::hostile::cast::CAST;
use crate::network::{Access, micros};
use crate::node::Leaves;
use crate::web::{Manners, WebServer};
use core::time::Duration;
use proto::config::{SeedPolicy, SuperSeeding};
use proto::{Instant, Rng, Seed};
use wire::PieceIndex;

/// Faults happen within so many seconds: as long as most worlds take without any.
const FAULTS_WITHIN: u32 = 40;
/// Faults of a world at most.
const FAULTS_MAX: u32 = 6;
/// Worlds with attackers have no more peers than this: a flood costs events for as long as it lasts, on every link.
const PEERS_UNDER_ATTACK_MAX: u32 = 20;

/// The world of this seed.
pub fn draw(seed: u64) -> Plan {
    let mut rng = Rng::new(Seed(seed ^ 0x6675_7a7a));
    let rng = &mut rng;
    let mut plan = Plan::new(seed);
    plan.piece_len = (16 << 10) << rng.below(4);
    let blocks_max = if one_in(rng, 8) { 120 } else { 50 };
    let blocks = 4 + rng.below(blocks_max);
    // The last piece, and its last block, are odd lengths mostly.
    plan.total = (u64::from(blocks) << 14) - u64::from(rng.below(16 << 10));
    plan.private = one_in(rng, 8);
    plan.byte_true = one_in(rng, 8);
    if one_in(rng, 8) {
        plan.named_max = 1 + rng.below(5);
    }
    let attacked = one_in(rng, 3);
    let peers = match rng.below(20) {
        0 if !attacked => 26 + rng.below(25),
        1..5 => 13 + rng.below(PEERS_UNDER_ATTACK_MAX - 12),
        _ => 5 + rng.below(8),
    };
    // Rules and limits are oddest where they are the same for all: half of the worlds mix them, half do not.
    let mixed = one_in(rng, 2);
    let same = (limits(rng, plan.piece_len), rules(rng));
    for number in 0..peers {
        let (limits, rules) = if mixed { (limits(rng, plan.piece_len), rules(rng)) } else { same };
        let peer = peer(rng, number, attacked && number > 1);
        plan.peers.push(PeerPlan { limits, rules, ..peer });
    }
    let first = &mut plan.peers[0];
    first.limits.slots = first.limits.slots.max(2);
    first.limits.links = Limits::default().links;
    if attacked {
        // Whoever may have few links is at the mercy of whoever comes first.
        plan.peers.iter_mut().for_each(|peer| peer.limits.links = Limits::default().links);
    }
    if one_in(rng, 6) {
        known_by_few(rng, &mut plan);
    }
    if one_in(rng, 5) {
        plan.web = (0..1 + rng.below(2)).map(|_| web_server(rng)).collect();
    }
    if !one_in(rng, 4) {
        faults(rng, &mut plan);
    }
    plan
}

fn one_in(rng: &mut Rng, of: u32) -> bool {
    rng.below(of) == 0
}

fn seconds(rng: &mut Rng, most: u32) -> Duration {
    Duration::from_millis(u64::from(rng.below(most * 1000)))
}

/// DSL, cable, fibre, a data centre, or a phone: with a jitter, so that nothing happens at quite the same time.
fn access(rng: &mut Rng) -> Access {
    let (up, down, millis) = match rng.below(8) {
        0 | 1 => (60_000, 500_000, 25),
        2..5 => (400_000, 2_500_000, 15),
        5 => (2_000_000, 2_000_000, 5),
        6 => (5_000_000, 5_000_000, 1),
        _ => (40_000, 300_000, 80),
    };
    let millis = 1 + millis / 2 + u64::from(rng.below(millis as u32));
    Access::new(up + u64::from(rng.below(up as u32 / 2)), down).latency(Duration::from_millis(millis))
}

fn peer(rng: &mut Rng, number: u32, may_attack: bool) -> PeerPlan {
    let part = match rng.below(20) {
        _ if number == 0 => Part::Seed,
        _ if may_attack && one_in(rng, 3) => Part::Attacker(&CAST[rng.index(CAST.len())]),
        0 => Part::Seed,
        1 => Part::Unrecorded,
        2 | 3 => Part::Partial(rng.below(1001)),
        4 => Part::Corrupts(20 + rng.below(500)),
        5 => Part::Stalls,
        6 => Part::Liar(1 + rng.below(5000)),
        7..10 => Part::Magnet,
        _ => Part::Leecher,
    };
    let mut peer = PeerPlan::new(part, access(rng));
    if number > 0 {
        let within = if one_in(rng, 2) { 1 } else { 25 };
        peer.joins = Instant::ZERO + seconds(rng, within);
    }
    peer.leaves = match rng.below(16) {
        0 if number == 0 => Leaves::WhenSpread,
        _ if number == 0 => Leaves::Never,
        0 => Leaves::AfterFinish(seconds(rng, 10)),
        1 => Leaves::WhenSpread,
        2 => Leaves::AfterCopies { permille: 100 + rng.below(2000) },
        3 => {
            Leaves::Impatient { gives_up: Duration::from_secs(5) + seconds(rng, 60), stays: seconds(rng, 10) }
        }
        _ => Leaves::Never,
    };
    peer.ways = Ways {
        reachable: number == 0 || !one_in(rng, 4),
        fast: !one_in(rng, 5),
        spinning: one_in(rng, 8),
        dht: false,
    };
    peer
}

fn limits(rng: &mut Rng, piece_len: u32) -> Limits {
    let usual = Limits::default();
    Limits {
        slots: if one_in(rng, 3) { 1 + rng.below(8) } else { usual.slots },
        up: one_in(rng, 6).then(|| 30_000 + u64::from(rng.below(200_000))),
        down: one_in(rng, 6).then(|| 30_000 + u64::from(rng.below(400_000))),
        links: if one_in(rng, 8) { 3 + rng.below(6) } else { usual.links },
        buffer: if one_in(rng, 4) {
            u64::from(piece_len) * u64::from(1 + rng.below(8))
        } else {
            usual.buffer
        },
    }
}

fn rules(rng: &mut Rng) -> Rules {
    Rules {
        seed_policy: match rng.below(6) {
            0 => SeedPolicy::Fastest,
            1 => SeedPolicy::AntiLeech,
            _ => SeedPolicy::RoundRobin,
        },
        super_seeding: match rng.below(6) {
            0 => SuperSeeding::Always,
            1 => SuperSeeding::Never,
            _ => SuperSeeding::Auto,
        },
        sequential: one_in(rng, 10),
    }
}

/// No tracker: each knows some of those before it, so that nobody is cut off, and in a few worlds the DHT knows more.
fn known_by_few(rng: &mut Rng, plan: &mut Plan) {
    plan.tracked = false;
    let dht = one_in(rng, 4) && !plan.private;
    for number in 0..plan.peers.len() as u32 {
        let peer = &mut plan.peers[number as usize];
        peer.ways.dht = dht;
        if number > 0 {
            peer.knows = vec![0];
            peer.knows.extend((1..number).filter(|_| one_in(rng, 4)));
        }
    }
}

fn web_server(rng: &mut Rng) -> WebServer {
    let manners = match rng.below(8) {
        0 => Manners::Corrupts { permille: 50 + rng.below(500) },
        1 => Manners::BreaksOff { after: 1 + rng.below(8) },
        2 => Manners::Refuses,
        3 => Manners::Stalls,
        4 => Manners::Dies { at: Instant::ZERO + seconds(rng, 20) },
        _ => Manners::Honest,
    };
    let latency = Duration::from_millis(u64::from(5 + rng.below(80)));
    WebServer { up: 50_000 + u64::from(rng.below(500_000)), latency, manners }
}

fn faults(rng: &mut Rng, plan: &mut Plan) {
    for _ in 0..1 + rng.below(FAULTS_MAX) {
        let at = Instant::ZERO + Duration::from_millis(500) + seconds(rng, FAULTS_WITHIN);
        let fault = fault(rng, plan);
        plan.faults.push((at, fault));
    }
    if one_in(rng, 4) {
        let phase = [Phase::Asked, Phase::Begun, Phase::Done][rng.index(3)];
        let (node, step) = (rng.below(plan.peers.len() as u32), rng.below(30));
        let back_after = Duration::from_millis(100) + seconds(rng, 5);
        plan.crash = Some(CrashPoint { node, step, phase, how: crash(rng), back_after });
    }
}

fn crash(rng: &mut Rng) -> Crash {
    if one_in(rng, 2) { Crash::Kill } else { Crash::PowerLoss }
}

fn fault(rng: &mut Rng, plan: &Plan) -> Fault {
    let peers = plan.peers.len() as u32;
    let node = rng.below(peers);
    let lasts = Duration::from_millis(100) + seconds(rng, 30);
    match rng.below(24) {
        0..5 => {
            Fault::Crash { node, how: crash(rng), back_after: Some(Duration::from_micros(micros(lasts) / 3)) }
        }
        5 if node > 0 => Fault::Crash { node, how: crash(rng), back_after: None },
        6 if node > 0 => Fault::Leave { node },
        7 | 8 => Fault::CutOff { node, lasts },
        9 => Fault::Split { nodes: (0..peers).filter(|_| one_in(rng, 2)).collect(), lasts },
        10 => Fault::BreakSome { of_ten_thousand: 500 + rng.below(9000) },
        11 | 12 => Fault::DiskPauses { node, lasts: lasts / 4 },
        13 => Fault::ClockLeaps { node, by: Duration::from_secs(1 + u64::from(rng.below(1200))) },
        14 => Fault::DiskFull { node, lasts },
        15 => Fault::SyncFails { node, lasts },
        16 => Fault::ReadFails { node, lasts },
        17 => Fault::DiskVanishes { node, lasts },
        18 if node > 0 => Fault::BitRot { node, piece: PieceIndex(rng.below(plan.pieces())), block: 0 },
        19 => Fault::Touch { node },
        20 | 21 => Fault::TrackerDies { lasts: Some(lasts) },
        _ => Fault::BreakLink { node, nth: rng.below(8) },
    }
}
