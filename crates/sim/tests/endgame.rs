//! The last blocks, asked of everybody, arrive in every order: each is kept once, nothing is kept over another, and the
//! content is right, whoever was told to stop and sent all the same.

use core::time::Duration;
use proto::{Instant, LinkId};
use sim::node::Heard;
use sim::{Access, NodeSpec, Scenario, World};
use std::collections::BTreeMap;
use wire::message::{BlockRequest, Message};

const LEECHER: u32 = 0;
const PUPPETS: [u32; 3] = [1, 2, 3];

/// A leecher whose only sources are three puppets that have everything and have unchoked it: two blocks in one piece.
fn begin(seed: u64) -> (World, BTreeMap<u32, LinkId>) {
    let access = Access::mbit(100).latency(Duration::from_millis(5));
    let mut world = Scenario::new("endgame", seed)
        .content(32 << 10, 32 << 10)
        .node(NodeSpec::leecher(access))
        .nodes(3, NodeSpec::puppet(access))
        .build();
    world.run_until(Instant::from_micros(100_000));
    PUPPETS.iter().for_each(|&puppet| world.puppet_dials(puppet, LEECHER));
    world.run_until(Instant::from_micros(300_000));
    let mut links = BTreeMap::new();
    for puppet in PUPPETS {
        let heard = world.puppet_heard(puppet);
        let up = heard.iter().find_map(|news| match news {
            Heard::Up(up) => Some(up.link),
            _ => None,
        });
        let link = up.unwrap_or_else(|| panic!("puppet {puppet} was not let in: {heard:?}"));
        links.insert(puppet, link);
        world.puppet_says(puppet, link, Message::HaveAll);
        world.puppet_says(puppet, link, Message::Unchoke);
    }
    (world, links)
}

/// Everything that the leecher has asked of a puppet so far and not taken back.
fn asked(world: &mut World, links: &BTreeMap<u32, LinkId>) -> Vec<(u32, BlockRequest)> {
    let mut asked = Vec::new();
    for &puppet in links.keys() {
        for news in world.puppet_heard(puppet) {
            match news {
                Heard::Message(_, Message::Request(request)) => asked.push((puppet, request)),
                Heard::Message(_, Message::Cancel(request)) => {
                    asked.retain(|&entry| entry != (puppet, request));
                }
                _ => {}
            }
        }
    }
    asked
}

fn send(
    world: &mut World,
    links: &BTreeMap<u32, LinkId>,
    (puppet, request): (u32, BlockRequest),
    spoil: bool,
) {
    let content = world.content(0).clone();
    let layout = &content.metainfo().layout;
    let block = layout.block(request.piece, request.offset, request.len).expect("it was asked for");
    let tag = if spoil { content.tag(block).spoilt(1) } else { content.tag(block) };
    world.puppet_sends(puppet, links[&puppet], block, tag);
}

/// All orders of `0..count`.
fn orders(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for shorter in orders(count - 1) {
        for place in 0..count {
            let mut order = shorter.clone();
            order.insert(place, count - 1);
            all.push(order);
        }
    }
    all
}

/// Waits until no new request comes; returns all that stand.
fn settled(world: &mut World, links: &BTreeMap<u32, LinkId>) -> Vec<(u32, BlockRequest)> {
    let until = world.now() + Duration::from_secs(2);
    world.run_until(until);
    asked(world, links)
}

#[test]
fn duplicates_of_the_last_blocks_are_dropped_in_every_order_of_arrival() {
    let (mut world, links) = begin(1);
    let standing = settled(&mut world, &links);
    let blocks: std::collections::BTreeSet<BlockRequest> = standing.iter().map(|entry| entry.1).collect();
    assert_eq!(blocks.len(), 2, "{standing:?}");
    assert!(standing.len() > 2, "no duplicates were asked for: {standing:?}");
    let mut runs = 0;
    for order in orders(standing.len()) {
        // Close together, so that cancels cross with blocks; and apart, so that they are seen first.
        for gap in [Duration::ZERO, Duration::from_millis(1), Duration::from_millis(50)] {
            let (mut world, links) = begin(1);
            let standing = settled(&mut world, &links);
            for &index in &order {
                send(&mut world, &links, standing[index], false);
                let next = world.now() + gap;
                world.run_until(next);
            }
            let end = world.now() + Duration::from_secs(5);
            world.run_until(end);
            world.conclude();
            assert!(world.findings().is_empty(), "{order:?}, {gap:?} apart: {:?}", world.findings());
            assert!(world.node(LEECHER).story.durable.is_some(), "{order:?}, {gap:?} apart: not done");
            assert!(world.node(LEECHER).story.banned.is_empty(), "{order:?}");
            runs += 1;
        }
    }
    println!("{} requests stood for 2 blocks; {runs} runs", standing.len());
}
