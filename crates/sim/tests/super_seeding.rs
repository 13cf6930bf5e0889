//! How much a sole seed uploads before anybody else has everything, with super-seeding (BEP 16) and without.
//!
//! `cargo test -p gannet-sim --test super_seeding -- --nocapture` prints the figures.

use core::time::Duration;
use proto::Instant;
use proto::config::SuperSeeding;
use sim::{Access, Crash, Fault, NodeSpec, Scenario, World};

/// 8 Mbit/s: the seed is as slow as its peers.
const SLOW: Access = Access::new(1_000_000, 8_000_000);

fn swarm(seed: u64, leechers: u32, pieces: u64, mode: SuperSeeding) -> Scenario {
    Scenario::new("super_seeding", seed)
        .content(pieces * 256 * 1024, 256 << 10)
        .node(NodeSpec::seed(SLOW))
        .nodes(leechers, NodeSpec::leecher(SLOW))
        .each(|_, spec| spec.config.super_seeding = mode)
        .within(Duration::from_secs(3600))
}

/// What the seed had sent, in thousandths of the content, when the first other peer completed, and when that was and when
/// the last one did, in seconds.
struct Figure {
    permille: u64,
    first: u64,
    last: u64,
}

fn sent_by_seed(world: &World) -> u64 {
    world.network().sent.iter().filter(|((from, _), _)| *from == 0).map(|(_, bytes)| bytes).sum()
}

fn measure(scenario: &Scenario) -> Figure {
    let mut world = scenario.build();
    let end = Instant::from_micros(3_600_000_000);
    let finished =
        |world: &World| world.nodes().iter().skip(1).filter(|node| node.story.finished.is_some()).count();
    assert!(world.run_till(end, |world| finished(world) > 0), "nobody finished");
    let total = world.content(0).metainfo().layout.total();
    let (permille, first) = (sent_by_seed(&world) * 1000 / total, world.now());
    let all = world.nodes().len() - 1;
    assert!(world.run_till(end, |world| finished(world) == all), "not all finished");
    let last = world.now();
    world.conclude();
    assert!(world.findings().is_empty(), "{:#?}", world.findings());
    let seconds = |at: Instant| at.since(Instant::ZERO).as_secs();
    Figure { permille, first: seconds(first), last: seconds(last) }
}

#[test]
fn a_sole_seed_as_slow_as_its_peers_uploads_little_more_than_one_copy() {
    for (leechers, pieces, seeds) in [(20, 100, 1..=4), (20, 400, 1..=1), (50, 200, 1..=1)] {
        for seed in seeds {
            let with = measure(&swarm(seed, leechers, pieces, SuperSeeding::Auto));
            let without = measure(&swarm(seed, leechers, pieces, SuperSeeding::Never));
            println!(
                "1 + {leechers}, {pieces} pieces, seed {seed}: {} permille of a copy (first at {} s, last at {} s); \
                 without {} ({} s, {} s)",
                with.permille, with.first, with.last, without.permille, without.first, without.last
            );
            let what = format!("1 + {leechers}, {pieces} pieces, seed {seed}");
            assert!(with.permille <= 1150, "{what}: {} permille", with.permille);
            assert!(with.permille < without.permille, "{what}: {} permille without", without.permille);
            assert!(with.last <= without.last + without.last / 20, "{what}: the swarm took longer");
        }
    }
}

#[test]
fn one_or_two_leechers_are_not_held_up() {
    for leechers in [1, 2, 3] {
        let with = measure(&swarm(1, leechers, 40, SuperSeeding::Auto));
        let without = measure(&swarm(1, leechers, 40, SuperSeeding::Never));
        println!("1 + {leechers}: last at {} s, without {} s", with.last, without.last);
        assert!(
            with.last <= without.last + without.last / 5,
            "1 + {leechers}: {} s, without {} s",
            with.last,
            without.last
        );
    }
}

/// As clients on one machine or in one house: what bounds it is how soon the seed hears of what came.
#[test]
fn a_lone_leecher_on_a_fast_line_is_not_held_up_by_small_pieces() {
    let fast = Access { latency: Duration::from_micros(500), ..Access::new(100_000_000, 100_000_000) };
    let took = |mode| {
        let mut world = Scenario::new("super_seeding", 1)
            .content(60_000_000, 16 << 10)
            .node(NodeSpec::seed(fast))
            .nodes(1, NodeSpec::leecher(fast))
            .each(|_, spec| spec.config.super_seeding = mode)
            .within(Duration::from_secs(600))
            .build();
        let end = Instant::from_micros(600_000_000);
        assert!(world.run_till(end, |world| world.nodes()[1].story.finished.is_some()), "it did not finish");
        world.now().since(Instant::ZERO)
    };
    let (with, without) = (took(SuperSeeding::Auto), took(SuperSeeding::Never));
    println!("60 MB in pieces of 16 KiB at 100 MB/s: {with:?}, without {without:?}");
    assert!(with <= without * 2, "{with:?}, without {without:?}");
}

#[test]
fn what_left_with_its_holder_is_given_again_and_late_joiners_get_their_part() {
    for seed in 1..=3 {
        let leaver = |count: u64| NodeSpec { joins: Instant::from_micros(count), ..NodeSpec::leecher(SLOW) };
        let mut scenario =
            swarm(seed, 8, 60, SuperSeeding::Auto).node(leaver(10_000_000)).node(leaver(20_000_000));
        // Half of those who came first crash with what only they have.
        for node in 1..5 {
            scenario = scenario.fault(
                3 + 2 * u64::from(node),
                Fault::Crash { node, how: Crash::PowerLoss, back_after: None },
            );
        }
        // Who crashed does not come back, so that not all finish: it goes on to the end of its time.
        let outcome = scenario.without_end().within(Duration::from_secs(300)).check();
        for node in 5..11 {
            let finished = outcome.finish_of(node);
            assert!(
                finished.is_some_and(|finished| finished < Duration::from_secs(120)),
                "seed {seed}, node {node}: {finished:?}"
            );
        }
    }
}

#[test]
fn free_riders_do_not_hold_the_first_copy_up() {
    let world = |mode| {
        swarm(1, 12, 100, mode).each(|index, spec| {
            if (1..=4).contains(&index) {
                spec.lease.unchoke_slots = 0;
            }
        })
    };
    let (with, without) = (measure(&world(SuperSeeding::Auto)), measure(&world(SuperSeeding::Never)));
    // Nine uplinks fill twelve: whoever is first, the seed has sent a third of a copy more by then.
    println!(
        "1 + 12, 4 of them give nothing: {} permille of a copy, first at {} s, last at {} s; without {} ({} s, {} s)",
        with.permille, with.first, with.last, without.permille, without.first, without.last
    );
    assert!(with.last <= without.last + without.last / 10, "{} s, without {} s", with.last, without.last);
}
