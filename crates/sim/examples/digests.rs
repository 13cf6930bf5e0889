//! Says what a fixed list of worlds comes to, in one number each: `cargo run --release -p gannet-sim --example digests -- [WORD]`.
//!
//! In a digest are all inputs and outputs of all sessions, in order. Who changes how things are kept, and not what is decided, prints
//! this before and after: not one line may differ. With a word, only the worlds whose names have it. The last line is the sum of all.

use core::time::Duration;
use proto::{Instant, Rng, Seed};
use sim::catalogue::CATALOGUE;
use sim::crew::Alone;
use sim::fault::Fault;
use sim::swarm::access::{Class, Mix};
use sim::swarm::nat::Nat;
use sim::swarm::schedule::{Arrivals, Departures};
use sim::{Access, Crash, Fleet, Group, Shape, Swarm};

const CABLE: Access = Access::new(2_500_000, 12_500_000);

fn main() {
    let word = std::env::args().nth(1).unwrap_or_default();
    let (mut sum, mut count) = (0_u64, 0);
    let mut say = |name: String, digest: u64, events: u64| {
        println!("{name:24} {digest:016x} {events:9} events");
        sum = sum.rotate_left(1) ^ digest;
        count += 1;
    };
    for (name, make) in CATALOGUE.iter().filter(|entry| entry.0.contains(&word)) {
        let world = make(1).traced().run().world;
        say(name.to_string(), world.trace.digest(), world.events());
    }
    for swarm in fleets().filter(|swarm| swarm.name.contains(&word)) {
        let mut fleet = Fleet::new(&swarm, 1).expect("a swarm that is fit").traced();
        let end = Instant::ZERO + swarm.within;
        while fleet.now() < end && !fleet.is_done() {
            fleet.run_until(fleet.now() + Duration::from_secs(1), &Alone);
        }
        let figures = fleet.figures();
        say(format!("{} {}", swarm.name, swarm.seed), figures.digest, figures.events);
    }
    println!("{count} worlds: {sum:016x}");
}

/// Swarms as flows: of chance, and the kind that is asked for by the million.
fn fleets() -> impl Iterator<Item = Swarm> {
    let large = [(300, 256, 20), (60, 1000, 40)].into_iter().map(|(peers, pieces, links)| {
        let piece_len = 256 << 10;
        let content = Shape { total: pieces * u64::from(piece_len), piece_len, block_len: piece_len };
        let mut swarm =
            Swarm { private: true, named_max: links + 10, ..Swarm::new("fleet_large", content, pieces) };
        for mut group in [Group::seeds(1, Access::mbit(200)), Group::leechers(peers, CABLE)] {
            group.config.links_per_torrent = links;
            swarm = swarm.group(group);
        }
        swarm
    });
    (0..24).map(of_chance).chain(large)
}

/// Links, gates, comings and goings, and what goes wrong, as the seed has it.
fn of_chance(seed: u64) -> Swarm {
    let mut rng = Rng::new(Seed(seed ^ 0x6469_6765_7374));
    let content = Shape { total: 6 << 20, piece_len: 128 << 10, block_len: (16 << 10) << rng.below(3) };
    let secs = |rng: &mut Rng, most: u32| Duration::from_secs(u64::from(1 + rng.below(most)));
    let mut swarm = Swarm { private: rng.below(2) == 0, ..Swarm::new("fleet_chance", content, seed) };
    swarm.named_max = 3 + rng.below(30);
    swarm.within = Duration::from_secs(1000);
    swarm = swarm.group(Group::seeds(1, CABLE));
    let access =
        Mix::of(&[(Class::Cable.access(), 2), (Class::DslFast.access(), 2), (Class::Fibre.access(), 1)]);
    for _ in 0..2 {
        let gap = secs(&mut rng, 5);
        let arrivals = [Arrivals::AtOnce, Arrivals::Poisson { gap }, Arrivals::Over(gap * 10)];
        let mean = secs(&mut rng, 20);
        let departures = [Departures::Never, Departures::AtFinish, Departures::AfterFinish { mean }];
        swarm = swarm.group(Group {
            access: access.clone(),
            nat: Mix::of(&[(Nat::None, 2), (Nat::Mapped, 1), (Nat::Symmetric, rng.below(3))]),
            arrivals: arrivals[rng.index(3)],
            departures: departures[rng.index(3)],
            ..Group::leechers(5 + rng.below(12), CABLE)
        });
    }
    for _ in 0..rng.below(4) {
        let at = Instant::from_micros(u64::from(rng.below(20_000_000)));
        let lasts = secs(&mut rng, 20);
        let crash = Fault::Crash { node: rng.below(8), how: Crash::Kill, back_after: Some(lasts) };
        let faults =
            [Fault::TrackerDies { lasts: Some(lasts) }, Fault::Leave { node: 1 + rng.below(8) }, crash];
        swarm.faults.push((at, faults[rng.index(3)].clone()));
    }
    swarm
}
