//! Strangers who say anything at any time: the honest finish all the same, nothing panics, and every law holds.

use core::time::Duration;
use proto::{Instant, LinkId, Rng, Seed};
use sim::node::Heard;
use sim::{Access, NodeSpec, Scenario, World};
use wire::message::{BlockRequest, Message};

const SEED: u32 = 0;
const LEECHER: u32 = 1;
const PUPPETS: core::ops::Range<u32> = 2..5;

fn numbers(rng: &mut Rng) -> BlockRequest {
    let wild = rng.below(4) == 0;
    let piece = if wild { rng.next_u32() } else { rng.below(16) };
    let offset = if wild { rng.next_u32() } else { rng.below(4) << 14 };
    let len = if wild { rng.next_u32() } else { 16 << 10 };
    BlockRequest { piece, offset, len }
}

fn body(rng: &mut Rng) -> Box<[u8]> {
    let len = rng.below(80);
    (0..len).map(|_| rng.next_u32() as u8).collect()
}

fn anything(rng: &mut Rng) -> Message {
    match rng.below(18) {
        0 => Message::KeepAlive,
        1 => Message::Choke,
        2 => Message::Unchoke,
        3 => Message::Interested,
        4 => Message::NotInterested,
        5 => Message::Have(numbers(rng).piece),
        6 => Message::Bitfield(body(rng)),
        7..10 => Message::Request(numbers(rng)),
        10 => Message::Cancel(numbers(rng)),
        11 => Message::Suggest(numbers(rng).piece),
        12 => Message::HaveAll,
        13 => Message::HaveNone,
        14 => Message::Reject(numbers(rng)),
        15 => Message::AllowedFast(numbers(rng).piece),
        16 => Message::Extended { id: rng.below(4) as u8, body: body(rng) },
        _ => Message::Unknown(rng.next_u32() as u8),
    }
}

/// A seed, a leecher, and puppets that dial both and talk nonsense.
fn run(seed: u64) -> World {
    let access = Access::new(400_000, 2_000_000);
    let mut world = Scenario::new("hostile", seed)
        .content(1 << 20, 64 << 10)
        .node(NodeSpec::seed(Access::new(100_000, 1_000_000)))
        .node(NodeSpec::leecher(access))
        .nodes(PUPPETS.count() as u32, NodeSpec::puppet(access))
        .build();
    let mut rng = Rng::new(Seed(seed));
    let mut links: Vec<(u32, LinkId)> = Vec::new();
    for step in 1..3000u64 {
        world.run_until(Instant::from_micros(step * 10_000));
        for puppet in PUPPETS {
            for news in world.puppet_heard(puppet) {
                match news {
                    Heard::Up(up) => links.push((puppet, up.link)),
                    Heard::Down(link, _) => links.retain(|&entry| entry != (puppet, link)),
                    Heard::Message(..) | Heard::Haves(..) | Heard::Block(..) => {}
                }
            }
            if rng.below(50) == 0 {
                world.puppet_dials(puppet, if rng.below(2) == 0 { SEED } else { LEECHER });
            }
        }
        let talking: Vec<(u32, LinkId)> = links.iter().copied().filter(|_| rng.below(3) == 0).collect();
        for (puppet, link) in talking {
            match rng.below(12) {
                0 => {
                    let content = world.content(0).clone();
                    let block =
                        content.metainfo().layout.nth_block(wire::PieceIndex(rng.below(16)), rng.below(4));
                    let tag = content.tag(block);
                    let tag = if rng.below(2) == 0 { tag.spoilt(u64::from(rng.next_u32())) } else { tag };
                    world.puppet_sends(puppet, link, block, tag);
                }
                1 if rng.below(20) == 0 => world.puppet_closes(puppet, link),
                _ => world.puppet_says(puppet, link, anything(&mut rng)),
            }
        }
    }
    world.run_until(Instant::ZERO + Duration::from_secs(120));
    world.conclude();
    world
}

#[test]
fn nonsense_neither_stops_the_honest_nor_breaks_a_law() {
    for seed in 0..60 {
        let world = run(seed);
        assert!(world.findings().is_empty(), "seed {seed}: {:#?}", world.findings());
        assert!(world.node(LEECHER).story.durable.is_some(), "seed {seed}: the leecher did not finish");
    }
}

#[test]
fn more_requests_than_allowed_are_refused_and_not_queued() {
    let access = Access::new(20_000, 2_000_000);
    let mut world = Scenario::new("flood", 1)
        .content(16 << 20, 1 << 20)
        .node(NodeSpec::seed(access))
        .node(NodeSpec::puppet(access))
        .build();
    world.run_until(Instant::from_micros(1_000_000));
    world.puppet_dials(1, SEED);
    world.run_until(Instant::from_micros(2_000_000));
    let up = world.puppet_heard(1).into_iter().find_map(|news| match news {
        Heard::Up(up) => Some(up.link),
        _ => None,
    });
    let link = up.unwrap_or_else(|| panic!("not let in"));
    world.puppet_says(1, link, Message::HaveNone);
    world.puppet_says(1, link, Message::Interested);
    world.run_until(Instant::from_micros(20_000_000));
    for number in 0..1024u32 {
        let request = BlockRequest { piece: number / 64, offset: (number % 64) << 14, len: 16 << 10 };
        world.puppet_says(1, link, Message::Request(request));
    }
    world.run_until(Instant::from_micros(40_000_000));
    let heard = world.puppet_heard(1);
    let rejected = heard.iter().filter(|news| matches!(news, Heard::Message(_, Message::Reject(_)))).count();
    let closed = heard.iter().any(|news| matches!(news, Heard::Down(..)));
    assert!(closed || rejected >= 1024 - 500 - 64, "{rejected} rejected of 1024, closed: {closed}");
    world.conclude();
    assert!(world.findings().is_empty(), "{:#?}", world.findings());
}
