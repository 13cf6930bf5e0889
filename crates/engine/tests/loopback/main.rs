//! Clients of ours against each other over loopback: what was seeded is what arrives, whatever happens on the way.

mod content;
mod swarm;

use content::Content;
use gannet::{AddOptions, Event, Priority, StageName};
use std::net::SocketAddr;
use swarm::{Peer, wait_for};

/// Piece lengths and files of one content each.
const CONTENTS: &[(u32, &[(&str, u64)])] = &[
    (16 * 1024, &[("one", 1)]),
    (16 * 1024, &[("a/b/c", 100_000), ("a/empty", 0), ("a/d", 7), ("e", 16_384), ("f", 200_001)]),
    (32 * 1024, &[("a", 32 * 1024 * 3), ("b", 5)]),
    (256 * 1024, &[("large", 20_000_000), ("small", 300)]),
    (16 * 1024 * 1024, &[("huge", 40_000_000)]),
    // Pieces that are no whole number of blocks.
    (50_000, &[("odd", 1_234_567), ("even", 50_000)]),
];

#[test]
fn what_is_seeded_arrives() {
    for (number, (piece_len, files)) in CONTENTS.iter().enumerate() {
        let content = Content::new(&format!("content {number}"), files, *piece_len, number as u64);
        let (seed, leech) = (Peer::start(), Peer::start());
        content.write_to(seed.downloads());
        let seeding = seed.add(&content, AddOptions::default());
        wait_for(&seed, "seeding", |event| *event == Event::Stage(seeding.id(), StageName::Seeding));
        let leeching = leech.add(&content, AddOptions { peers: seed.addresses(), ..AddOptions::default() });
        wait_for(&leech, "durable", |event| *event == Event::Durable(leeching.id()));
        content.check(leech.downloads());
        let stats = leeching.stats().wait().unwrap();
        assert_eq!(stats.pieces_have, stats.pieces);
        assert!(leeching.have().wait().unwrap().is_full());
        leech.stop();
        seed.stop();
    }
}
