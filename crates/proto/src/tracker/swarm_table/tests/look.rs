//! What an operator sees of a table.

use super::*;
use std::collections::{BTreeMap, BTreeSet};

fn hash(n: u32) -> InfoHash {
    let mut bytes = [0; 20];
    bytes[..4].copy_from_slice(&n.wrapping_mul(0x9e37_79b1).to_be_bytes());
    InfoHash(bytes)
}

#[test]
fn every_swarm_that_stays_is_told_of_while_others_come_and_go() {
    let mut table = table();
    let come = |table: &mut SwarmTable, n: u32, event| {
        ask(table, at(1), Visit { info_hash: hash(n), ..visit(n, event, u64::from(n % 2)) });
    };
    (0..3_000).for_each(|n| come(&mut table, n, Started));
    let (mut look, mut told, mut turns) = (table.begin_look(), BTreeMap::new(), 0);
    while table.look(&mut look, 100, |torrent, counts| told.extend([(torrent, counts)])) {
        turns += 1;
        // Some of those that are passed and of those that are to come go, and others take their places.
        (0..30).for_each(|at| come(&mut table, 1_000 + (turns * 30 + at * 7) % 2_000, Stopped));
        (0..10).for_each(|at| come(&mut table, 10_000 + turns * 10 + at, Started));
    }
    assert!(turns > 10);
    for n in 0..1_000 {
        let counts = Counts { complete: 1 - n % 2, incomplete: n % 2, downloaded: 0 };
        assert_eq!(told.get(&hash(n)), Some(&counts), "{n}");
    }
}

#[test]
fn all_peers_of_a_swarm_are_told_of_once_or_so_many_as_was_asked_for() {
    for peers in [1, 3, 4, 100, 5_000] {
        let mut table = table();
        for n in 0..peers {
            ask(&mut table, at(1), visit(n, Started, u64::from(n % 3)));
        }
        let told = table.peers_of(&HASH, usize::MAX).unwrap();
        let expected: BTreeSet<_> = (0..peers).map(|n| (peer(n), n % 3 == 0)).collect();
        assert_eq!(told.len(), expected.len());
        assert_eq!(told.into_iter().collect::<BTreeSet<_>>(), expected);
        assert_eq!(table.peers_of(&HASH, 50).unwrap().len(), peers.min(50) as usize);
    }
    let mut table = table();
    let six = "[2001:db8::7]:6881".parse().unwrap();
    let visit = Visit { peer: six, ..visit(0, Started, 0) };
    ask(&mut table, at(1), visit);
    assert_eq!(table.peers_of(&HASH, 9), Some(vec![(six, true)]));
    assert_eq!(table.peers_of(&InfoHash([1; 20]), 9), Option::None);
}
