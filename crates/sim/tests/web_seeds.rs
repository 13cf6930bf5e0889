//! Web seeds in whole swarms: alone, among peers, failing, lying; each world twice, and both runs the same.

use core::time::Duration;
use proto::stats::WebSeedState;
use proto::{Event, Instant};
use sim::world::torrent_id;
use sim::{Access, Manners, Nature, NodeSpec, Outcome, Scenario, WebServer};

const MEGABYTE: u64 = 1_000_000;

fn server(manners: Manners) -> WebServer {
    WebServer { up: 2 * MEGABYTE, latency: Duration::from_millis(20), manners }
}

fn leecher() -> NodeSpec {
    NodeSpec::leecher(Access::new(MEGABYTE, 8 * MEGABYTE))
}

fn world(name: &'static str, seed: u64) -> Scenario {
    Scenario::new(name, seed).content(16 << 20, 128 << 10).within(Duration::from_secs(600))
}

fn copies_from(outcome: &Outcome, server: usize) -> f64 {
    outcome.world.web_server_sent(server) as f64 / outcome.world.content(0).metainfo().layout.total() as f64
}

/// What a node was told of web seeds: which, why, whether it was dropped.
fn told(outcome: &Outcome, node: u32) -> Vec<(u8, String, bool)> {
    let events = outcome.world.node(node).story.events.iter();
    let of = |event: &Event| match event {
        Event::WebSeedFailed { seed, why, dropped, .. } => Some((*seed, why.to_string(), *dropped)),
        _ => None,
    };
    events.filter_map(|(_, event)| of(event)).collect()
}

#[test]
fn a_web_seed_alone_fills_a_leecher_at_the_speed_of_its_line_and_sends_one_copy() {
    for seed in 0..5 {
        let outcome =
            world("web_seed_alone", seed).web_server(server(Manners::Honest)).node(leecher()).check_twice();
        let took = outcome.last_finish().unwrap();
        assert!(took < Duration::from_millis(9_500), "seed {seed}: {took:?} for 8.4 s of line");
        let copies = copies_from(&outcome, 0);
        assert!((1.0..1.001).contains(&copies), "seed {seed}: {copies} copies");
        assert_eq!(outcome.wasted(0), 0, "seed {seed}");
    }
}

#[test]
fn with_peers_a_web_seed_sends_few_copies_and_nobody_waits_for_it() {
    for seed in 0..5 {
        let outcome = world("web_seed_and_peers", seed)
            .web_server(server(Manners::Honest))
            .nodes(8, leecher())
            .check_twice();
        let (took, copies) = (outcome.last_finish().unwrap(), copies_from(&outcome, 0));
        println!("seed {seed}: 8 leechers after {took:?}, the server sent {copies:.2} copies");
        assert!(took < Duration::from_secs(40), "seed {seed}: {took:?}");
        assert!(copies < 6.0, "seed {seed}: {copies} copies for 8 leechers");
    }
}

#[test]
fn a_poisoned_web_seed_is_dropped_after_three_pieces_and_nobody_honest_is_blamed() {
    for seed in 0..20 {
        let outcome = world("poisoned_web_seed", seed)
            .web_server(server(Manners::Corrupts { permille: 200 }))
            .node(NodeSpec::seed(Access::new(MEGABYTE, MEGABYTE)))
            .nodes(4, leecher())
            .check_twice();
        for node in 1..5 {
            let story = &outcome.world.node(node).story;
            assert!(story.banned.is_empty(), "seed {seed}: {:?}", story.banned);
            let session = outcome.world.node(node).session().unwrap();
            let web_seed = &session.web_seeds(torrent_id(0))[0];
            assert_eq!(web_seed.state, WebSeedState::Dropped, "seed {seed}, node {node}: {web_seed:?}");
            // Pieces that were on their way to the hash when it was dropped count, too.
            assert!((3..8).contains(&web_seed.pieces_bad), "seed {seed}, node {node}: {web_seed:?}");
            assert!(told(&outcome, node).iter().any(|(_, why, dropped)| *dropped && why.contains("wrong")));
        }
    }
}

#[test]
fn a_poisoned_web_seed_that_is_slow_is_dropped_although_its_blocks_lie_on_disk_meanwhile() {
    for seed in 0..5 {
        let slow = WebServer { up: 20_000, ..server(Manners::Corrupts { permille: 1000 }) };
        let outcome = world("slow_poisoned_web_seed", seed)
            .web_server(slow)
            .node(leecher())
            .without_end()
            .within(Duration::from_secs(120))
            .check_twice();
        let seeds = outcome.world.node(0).session().unwrap().web_seeds(torrent_id(0));
        assert_eq!(seeds[0].state, WebSeedState::Dropped, "seed {seed}: {seeds:?}");
    }
}

#[test]
fn honest_and_lying_peers_and_servers_are_told_apart() {
    for seed in 0..20 {
        let corrupting = NodeSpec {
            nature: Nature::Corrupts { permille: 300 },
            ..NodeSpec::seed(Access::new(MEGABYTE, MEGABYTE))
        };
        let outcome = world("lying_peer_honest_web_seed", seed)
            .web_server(server(Manners::Honest))
            .node(corrupting)
            .nodes(4, leecher())
            .check_twice();
        for node in 1..5 {
            let session = outcome.world.node(node).session().unwrap();
            let web_seed = &session.web_seeds(torrent_id(0))[0];
            assert_eq!(web_seed.pieces_bad, 0, "seed {seed}, node {node}: {web_seed:?}");
            let liar = outcome.world.node(0).addr();
            let banned = &outcome.world.node(node).story.banned;
            assert!(banned.iter().all(|addr| *addr == liar), "seed {seed}: {banned:?}");
        }
    }
}

#[test]
fn a_server_that_breaks_off_stalls_refuses_or_dies_is_asked_again_with_patience_and_peers_do_the_rest() {
    let manners = [
        Manners::BreaksOff { after: 5 },
        Manners::Stalls,
        Manners::Refuses,
        Manners::Dies { at: Instant::from_micros(3_000_000) },
    ];
    for (seed, manners) in (0..).zip(manners) {
        let outcome = world("failing_web_seed", seed)
            .web_server(server(manners))
            .node(NodeSpec::seed(Access::new(MEGABYTE, MEGABYTE)))
            .nodes(3, leecher())
            .check_twice();
        assert!(outcome.last_finish().unwrap() < Duration::from_secs(120), "{manners:?}");
        let failures = told(&outcome, 1).len();
        // Who stalls is found out after 30 s; by then the peers are done.
        let least = usize::from(manners != Manners::Stalls);
        assert!((least..60).contains(&failures), "{manners:?}: {failures} failures");
    }
}

#[test]
fn a_web_seed_alone_that_spoils_a_block_and_breaks_off_gives_everything_all_the_same() {
    for seed in 0..20 {
        // So slow that blocks leave memory before their piece is whole: of a bad piece nobody is convicted, but it is suspected.
        let manners = Manners::Stumbles { after: 5, spoilt: seed };
        Scenario::new("stumbling_web_seed", seed)
            .content(1 << 20, 128 << 10)
            .web_server(WebServer { up: 40_000, ..server(manners) })
            .node(leecher())
            .within(Duration::from_secs(600))
            .check_twice();
    }
}

#[test]
fn of_two_web_seeds_the_one_that_breaks_off_costs_little() {
    let outcome = world("two_web_seeds", 1)
        .web_server(server(Manners::BreaksOff { after: 3 }))
        .web_server(server(Manners::Honest))
        .node(leecher())
        .check_twice();
    assert!(outcome.last_finish().unwrap() < Duration::from_secs(12));
    assert_eq!(outcome.wasted(0), 0);
}

#[test]
fn a_limit_on_what_comes_in_holds_for_web_seeds() {
    let mut limited = leecher();
    limited.lease.down = Some(MEGABYTE);
    let outcome =
        world("limited_web_seed", 1).web_server(server(Manners::Honest)).node(limited).check_twice();
    let took = outcome.last_finish().unwrap().as_secs_f64();
    assert!((16.0..18.5).contains(&took), "{took} s for 16.8 s at the limit");
}

#[test]
fn a_leecher_that_crashes_while_it_fetches_goes_on() {
    let outcome = world("crash_with_web_seed", 1)
        .web_server(server(Manners::Honest))
        .node(leecher())
        .fault(
            4,
            sim::Fault::Crash {
                node: 0,
                how: sim::Crash::PowerLoss,
                back_after: Some(Duration::from_secs(1)),
            },
        )
        .check_twice();
    let copies = copies_from(&outcome, 0);
    assert!(copies < 1.7, "{copies} copies");
}
