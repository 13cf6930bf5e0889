//! C7: poisoned pieces, as a table: so many poisoners of so many sources, who spoil in every way we know of. The content is right in
//! the end, whoever can be known is banned, nobody honest is accused, and what is fetched in vain is bounded.

mod crowd;

use crowd::{Case, Crowd, Memory, Order, Spoils};
use std::collections::BTreeMap;

const KIB: u32 = 1024;
const ORDERS: [Order; 4] = [Order::InTurn, Order::Bursts, Order::Backwards, Order::Shuffled];
const SPOILS: [Spoils; 8] = [
    Spoils::All,
    Spoils::EveryTenth,
    Spoils::FirstOfPiece,
    Spoils::LastOfPiece,
    Spoils::OnceTrusted(16),
    Spoils::FirstCopy,
    Spoils::InCollusion,
    Spoils::AndRuns,
];
/// Pieces of 1, 4, 8 and 16 blocks.
const LAYOUTS: [(u32, u32); 4] = [(96, 16 * KIB), (48, 64 * KIB), (32, 128 * KIB), (24, 256 * KIB)];

const CASE: Case = Case {
    spoils: Spoils::All,
    peers: (0, 0),
    servers: (0, 0),
    layout: LAYOUTS[1],
    order: Order::InTurn,
    memory: Memory::Held,
    only_theirs: None,
};

#[test]
fn poisoners_among_peers_are_banned_and_nobody_else_is() {
    let (mut cases, mut convicts, mut worst) = (0, 0, BTreeMap::new());
    for spoils in SPOILS {
        for peers in [(1, 2), (1, 4), (2, 4), (3, 4), (4, 8), (7, 8)] {
            for (nth, order) in ORDERS.into_iter().enumerate() {
                for layout in [LAYOUTS[nth], LAYOUTS[(nth + 1) % 4]] {
                    let mut crowd = Crowd::new(Case { spoils, peers, layout, order, ..CASE });
                    crowd.run();
                    crowd.check();
                    convicts += crowd.convicts();
                    let seen = worst.entry(peers).or_insert(0);
                    *seen = crowd.failures().max(*seen);
                    cases += 1;
                }
            }
        }
    }
    println!("C7: {cases} cases among peers, {convicts} convicts; bad copies at most: {worst:?}");
    assert!(cases >= 200 && convicts >= 2 * cases, "poisoners found nothing to spoil");
}

/// Blocks that lay on a disk before their piece was whole are evidence only if they came back as they were.
#[test]
fn poisoners_are_told_from_a_disk_that_spoils_blocks() {
    let (mut cases, mut spills, mut convicts) = (0, 0, 0);
    for memory in [Memory::Spilled, Memory::Rotting] {
        for spoils in SPOILS {
            for peers in [(0, 3), (1, 3), (2, 4)] {
                for (nth, order) in [Order::Backwards, Order::Shuffled].into_iter().enumerate() {
                    let layout = LAYOUTS[2 + nth];
                    let mut crowd = Crowd::new(Case { spoils, peers, layout, order, memory, ..CASE });
                    crowd.run();
                    crowd.check();
                    spills += crowd.spills;
                    convicts += crowd.convicts();
                    cases += 1;
                }
            }
        }
    }
    println!("C7: {cases} cases over disks, {spills} spills, {convicts} convicts");
    assert!(spills > 10 * cases && convicts >= cases as usize / 2, "the disks were not tried");
}

#[test]
fn a_piece_that_poisoners_alone_have_costs_them_their_place_and_comes_from_the_next_who_has_it() {
    let mut cases = 0;
    for spoils in [Spoils::All, Spoils::FirstOfPiece, Spoils::LastOfPiece, Spoils::InCollusion] {
        for peers in [(1, 2), (1, 4), (3, 4)] {
            for layout in LAYOUTS {
                let only_theirs = Some(layout.0 / 2);
                let mut crowd = Crowd::new(Case { spoils, peers, layout, only_theirs, ..CASE });
                crowd.run();
                assert_eq!(crowd.pieces_have(), layout.0 - 1, "{spoils:?} {peers:?} {layout:?}");
                crowd.all_poisoners_are_out();
                crowd.join();
                crowd.run();
                crowd.check();
                cases += 1;
            }
        }
    }
    println!("C7: {cases} cases of a piece from a single source");
}

#[test]
fn web_seeds_that_spoil_are_dropped_after_three_pieces_and_neither_others_nor_peers_are() {
    let (mut cases, mut convicts) = (0, 0);
    for spoils in [Spoils::All, Spoils::EveryTenth, Spoils::FirstOfPiece, Spoils::OnceTrusted(16)] {
        for (servers, peers) in [((1, 2), (0, 0)), ((1, 1), (0, 2)), ((1, 1), (2, 4)), ((2, 3), (1, 3))] {
            for order in ORDERS {
                for layout in [LAYOUTS[1], LAYOUTS[2]] {
                    let mut crowd = Crowd::new(Case { spoils, servers, peers, layout, order, ..CASE });
                    crowd.run();
                    crowd.check();
                    convicts += crowd.convicts();
                    cases += 1;
                }
            }
        }
    }
    println!("C7: {cases} cases with web seeds, {convicts} convicts");
    assert!(convicts >= cases, "web seeds were not tried");
}
