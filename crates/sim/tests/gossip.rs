//! Peers that name one another (BEP 11): what that is good for, and what it must not be used for.

use core::net::SocketAddr;
use core::time::Duration;
use proto::{Instant, LinkId};
use sim::catalogue;
use sim::node::{Heard, addr_of};
use sim::{Access, NodeSpec, Outcome, Scenario, World};
use std::collections::BTreeSet;
use wire::extension::{ExtensionHandshake, name};
use wire::message::Message;
use wire::pex::{PexFlags, PexMessage, PexPeer};

/// Who sent payload to whom.
fn pairs(outcome: &Outcome) -> BTreeSet<(u32, u32)> {
    let rows = outcome.world.network().sent.iter();
    rows.filter(|(_, bytes)| **bytes > 0).map(|(pair, _)| *pair).collect()
}

#[test]
fn a_chain_without_a_tracker_becomes_a_full_swarm() {
    for seed in 0..3 {
        let outcome = catalogue::chain(seed).check();
        let (pairs, bound) = (pairs(&outcome), outcome.fluid_bound());
        println!(
            "seed {seed}: {} of 240 pairs exchanged payload, last finish {:?}, fluid bound {bound:?}",
            pairs.len(),
            outcome.last_finish(),
        );
        // A chain has 30 pairs.
        assert!(pairs.len() >= 100, "{}", outcome.replay());
        let last = pairs.iter().filter(|(_, to)| *to == 15).count();
        assert!(last >= 4, "the far end had {last} sources: {}", outcome.replay());
    }
}

#[test]
fn in_a_private_chain_everybody_stays_with_its_neighbours() {
    let outcome = catalogue::private_chain(1).check();
    assert!(pairs(&outcome).into_iter().all(|(a, b)| a.abs_diff(b) == 1), "{}", outcome.replay());
}

/// A swarm of two honest nodes, as many attackers as said, and a victim that is no peer. All attackers name the victim as
/// often as they may, and come back when they are left. Returns how often it was dialled, and by how many.
fn besiege(seed: u64, attackers: u32, hours: u64) -> (u32, World) {
    let access = Access::new(400_000, 2_000_000);
    let mut world = Scenario::new("victim", seed)
        .content(1 << 20, 64 << 10)
        .node(NodeSpec::seed(access))
        .node(NodeSpec::leecher(access))
        .nodes(attackers, NodeSpec::puppet(access))
        .build();
    let victim: SocketAddr = addr_of(60_000);
    let introduction = ExtensionHandshake {
        extensions: vec![(name::PEX.into(), 9)],
        port: Some(6881),
        ..Default::default()
    };
    let body =
        PexMessage { added: vec![PexPeer { address: victim, flags: PexFlags::REACHABLE }], dropped: vec![] };
    let mut links: BTreeSet<(u32, LinkId)> = BTreeSet::new();
    let mut let_in = BTreeSet::new();
    for minute in 1..hours * 60 {
        world.run_until(Instant::from_micros(minute * 60_000_000));
        for puppet in 2..2 + attackers {
            for news in world.puppet_heard(puppet) {
                match news {
                    Heard::Up(up) => {
                        let hello = Message::Extended { id: 0, body: introduction.encode().into() };
                        world.puppet_says(puppet, up.link, hello);
                        links.insert((puppet, up.link));
                        let_in.insert(puppet);
                    }
                    Heard::Down(link, _) => drop(links.remove(&(puppet, link))),
                    Heard::Message(..) | Heard::Haves(..) | Heard::Block(..) => {}
                }
            }
            let mine: Vec<LinkId> =
                links.iter().filter(|(whose, _)| *whose == puppet).map(|(_, link)| *link).collect();
            for &link in &mine {
                world.puppet_says(puppet, link, Message::Extended { id: 3, body: body.encode().into() });
            }
            if mine.len() < 2 {
                world.puppet_dials(puppet, (minute % 2) as u32);
            }
        }
    }
    world.run_until(world.now() + Duration::from_secs(60));
    world.conclude();
    assert_eq!(let_in.len() as u32, attackers, "seed {seed}: attackers that got in");
    (world.network().void.get(&victim).copied().unwrap_or_default(), world)
}

#[test]
fn a_victim_that_fifty_name_hears_of_each_honest_peer_once_an_hour() {
    for (seed, attackers, hours) in [(1, 50, 2), (2, 10, 4)] {
        let (dials, world) = besiege(seed, attackers, hours);
        println!(
            "{attackers} attackers, {hours} hours: the victim was dialled {dials} times by 2 honest peers"
        );
        assert!(world.findings().is_empty(), "seed {seed}: {:#?}", world.findings());
        assert!((1..=2 * hours as u32).contains(&dials), "seed {seed}: {dials}");
    }
}
