//! What nodes do for those who run them: finding, announcing, keeping items, coming back, and what they do not do.

use super::Net;
use super::net::address;
use crate::dht::{Config, Goal, Input, Node, Output, Saved, Wanted};
use crate::{Duration, Instant, Seed};
use core::net::SocketAddr;
use wire::InfoHash;
use wire::item::{Item, SecretKey};
use wire::krpc::Put;
use wire::node_id::NodeId;

const HASH: InfoHash = InfoHash([0x5a; 20]);

fn leech(port: u16) -> Option<Wanted> {
    Some(Wanted { port: Some(port), seed: false, seeking: true })
}

#[test]
fn who_announces_is_found_by_others() {
    for count in [2, 3, 20, 150] {
        let mut net = Net::of(count);
        let (found, report) = net.peers(address(1), HASH, leech(1111));
        assert!(found.is_empty() && report.stored > 0, "{count}: {report:?}");
        let (found, report) = net.peers(address(count - 1), HASH, None);
        let expected = SocketAddr::new(address(1).ip(), 1111);
        assert!(found.contains(&expected) || count == 2, "{count}: {found:?}, {report:?}");
    }
}

#[test]
fn a_torrent_that_is_wanted_is_announced_and_finds_others_by_itself() {
    let mut net = Net::of(30);
    for n in [3, 4] {
        let wanted = leech(1000 + n as u16).unwrap();
        net.tell(address(n), Input::Want { info_hash: HASH, wanted });
        net.run(Duration::from_secs(20));
    }
    let told = |who: u32| {
        net.heard.iter().filter(|(at, _)| *at == address(who)).any(|(_, output)| match output {
            Output::Peers { info_hash, peers } => {
                *info_hash == HASH && peers.iter().any(|peer| peer.port() == 1000 + (7 - who) as u16)
            }
            _ => false,
        })
    };
    assert!(told(4), "the second finds the first");
    assert!(told(3), "the first looks again soon, for it found nobody");
}

#[test]
fn all_nodes_of_a_network_fill_their_tables_and_know_how_many_they_are() {
    let mut net = Net::of(300);
    net.run(Duration::from_secs(3600));
    let mut sizes: Vec<u64> = net.nodes.values().map(|node| node.stats().network_size[0]).collect();
    let few = net.nodes.values().filter(|node| node.stats().nodes[0] < 30).count();
    assert!(few < 10, "{few} nodes know fewer than 30 others");
    sizes.sort_unstable();
    assert!((200..450).contains(&sizes[150]), "the middle reckoning is {}", sizes[150]);
    assert!(sizes[30] > 100 && sizes[270] < 900, "most reckon between {} and {}", sizes[30], sizes[270]);
}

#[test]
fn nodes_that_die_are_forgotten_and_searches_go_on() {
    let mut net = Net::of(100);
    for n in (1..100).step_by(3) {
        net.nodes.remove(&address(n));
    }
    let (_, report) = net.peers(address(2), HASH, leech(2222));
    assert!(report.stored >= 6 && report.took < Duration::from_secs(4), "{report:?}");
    let (found, report) = net.peers(address(5), HASH, None);
    assert!(found.len() == 1 && report.took < Duration::from_secs(4), "{report:?}");
}

#[test]
fn seeds_are_not_told_of_seeds_and_counts_are_fair() {
    let mut net = Net::of(40);
    for n in 1..=20u16 {
        let announce = Wanted { port: Some(n), seed: n % 2 == 0, seeking: false };
        net.peers(address(u32::from(n)), HASH, Some(announce));
    }
    let (all, report) = net.peers(address(30), HASH, None);
    assert_eq!(all.len(), 20);
    let (seeds, others) = report.counts.unwrap();
    assert!((9..=11).contains(&seeds) && (9..=11).contains(&others), "{seeds} and {others}");
    let seed = Wanted { port: Some(99), seed: true, seeking: false };
    let (to_a_seed, _) = net.peers(address(31), HASH, Some(seed));
    assert!(to_a_seed.iter().all(|peer| peer.port() % 2 == 1) && to_a_seed.len() == 10, "{to_a_seed:?}");
}

#[test]
fn items_are_put_and_got_and_only_newer_ones_replace_them() {
    let mut net = Net::of(30);
    let value = Item::Immutable { value: b"5:hello".as_slice().into() };
    let (_, report) = net.search(address(1), Goal::Put(Box::new(Put { item: value.clone(), cas: None })));
    assert!(report.stored >= 6, "{report:?}");
    let got = |net: &mut Net, target, salt: &[u8]| {
        net.search(address(20), Goal::Item { target, salt: salt.into() }).0.pop()
    };
    assert_eq!(got(&mut net, value.target(), b""), Some(crate::dht::Finding::Item(value)));

    let key = SecretKey::from_seed([3; 32]);
    let version = |seq: i64, value: &[u8]| Item::Mutable(key.sign(b"salt", seq, value));
    for (seq, value, cas, stored) in [
        (1, &b"1:a"[..], None, true),
        (3, b"1:c", Some(1), true),
        (2, b"1:b", None, false),
        (4, b"1:d", Some(2), false),
        (3, b"1:x", None, false),
        (3, b"1:c", None, true),
    ] {
        let put = Put { item: version(seq, value), cas };
        let (_, report) = net.search(address(2), Goal::Put(Box::new(put)));
        assert_eq!(report.stored > 0, stored, "version {seq}: {report:?}");
        assert_eq!(report.refused.is_some(), !stored, "version {seq}: {report:?}");
    }
    let target = version(3, b"1:c").target();
    assert_eq!(got(&mut net, target, b"salt"), Some(crate::dht::Finding::Item(version(3, b"1:c"))));
    assert_eq!(got(&mut net, target, b"other"), None, "with another salt it is not what was asked for");
}

#[test]
fn a_node_that_only_asks_answers_nobody_and_is_in_no_table() {
    let mut net = Net::of(20);
    net.join(50, Config { read_only: true, ..Config::default() });
    net.run(Duration::from_secs(30));
    let (_, report) = net.peers(address(50), HASH, leech(5));
    assert!(report.stored > 0);
    assert!(net.nodes.values().all(|node| node.saved().nodes.iter().all(|info| info.address != address(50))));
    assert_eq!(net.nodes[&address(50)].stats().tally.answered, 0);
}

#[test]
fn a_node_that_comes_back_needs_nobody_to_begin_with() {
    let mut net = Net::of(50);
    let saved = Saved::decode(&net.nodes[&address(9)].saved().encode());
    assert!(saved.nodes.len() >= 8);
    let node = Node::new(Config::default(), Seed(77), [0; 16], Some(&saved), net.now);
    assert_eq!(node.id(0), saved.ids[0]);
    net.nodes.insert(address(9), node);
    net.tell(address(9), Input::Wake);
    let (_, report) = net.peers(address(9), HASH, leech(5));
    assert!(report.stored >= 6, "{report:?}");
}

#[test]
fn a_line_that_is_down_makes_nobody_forget_the_others() {
    let mut net = Net::of(30);
    let before = net.nodes[&address(3)].stats().nodes[0];
    let others: Vec<_> = (0..30).filter(|n| *n != 3).map(address).collect();
    let kept: Vec<_> = others.iter().filter_map(|at| net.nodes.remove(at).map(|node| (*at, node))).collect();
    net.run(Duration::from_secs(3 * 3600));
    assert!(net.nodes[&address(3)].stats().nodes[0] >= before.min(8), "{before}");
    for (at, node) in kept {
        net.nodes.insert(at, node);
        net.tell(at, Input::Wake);
    }
    let (_, report) = net.peers(address(3), HASH, leech(5));
    assert!(report.stored >= 6, "{report:?}");
}

#[test]
fn what_others_see_as_our_address_gives_us_an_id_that_fits_it() {
    let mut net = Net::of(40);
    // Votes of several walks are needed, and in so small a network there are few.
    net.run(Duration::from_secs(1800));
    for (at, node) in &net.nodes {
        assert!(node.id(0).unwrap().fits(at.ip()), "{at}");
    }
}

#[test]
fn samples_name_what_is_stored() {
    let mut net = Net::of(20);
    for n in 0..10 {
        net.peers(address(1), InfoHash([n * 16; 20]), leech(7));
    }
    let (found, _) = net.search(address(5), Goal::Sample(NodeId([0; 20])));
    let mut known = std::collections::BTreeSet::new();
    for finding in found {
        match finding {
            crate::dht::Finding::Samples { samples, .. } => known.extend(samples.samples),
            other => panic!("{other:?}"),
        }
    }
    assert!(known.len() >= 8, "{known:?}");
}

#[test]
fn ten_thousand_torrents_do_not_burst() {
    let mut net = Net::of(20);
    for n in 0..10_000u32 {
        let mut bytes = [0x11; 20];
        bytes[..4].copy_from_slice(&n.to_be_bytes());
        let wanted = Wanted { port: Some(1), seed: true, seeking: false };
        net.tell(address(1), Input::Want { info_hash: InfoHash(bytes), wanted });
    }
    let asked = |net: &Net| net.nodes[&address(1)].stats().tally.asked;
    let mut worst = 0;
    for _ in 0..60 {
        let before = asked(&net);
        net.run(Duration::from_secs(1));
        worst = worst.max(asked(&net) - before);
    }
    assert!((100..=400).contains(&worst), "{worst} questions in a second");
    assert!(net.nodes[&address(1)].stats().searches <= 9);
}

#[test]
fn a_forgotten_torrent_is_not_looked_for_any_more() {
    let mut net = Net::of(10);
    let wanted = Wanted { port: Some(1), seed: false, seeking: true };
    let state = |net: &Net| (net.nodes[&address(1)].stats().searches, net.nodes[&address(1)].stats().wanted);
    let before = state(&net);
    net.tell(address(1), Input::Want { info_hash: HASH, wanted });
    assert_eq!(state(&net), (before.0 + 1, 1));
    net.tell(address(1), Input::Forget(HASH));
    assert_eq!(state(&net), before);
    let mut node = Node::new(Config::default(), Seed(1), [0; 16], None, Instant::ZERO);
    node.handle(Instant::ZERO, Input::Forget(HASH), &mut Vec::new());
}

#[test]
fn whoever_calls_a_node_that_knows_nobody_is_asked_soon_and_known_however_short_the_clock_has_run() {
    let mut net = Net::new();
    net.now = Instant::ZERO;
    net.join(0, Config::default());
    net.run(Duration::from_secs(1));
    net.join(1, Config::default());
    net.run(Duration::from_secs(6));
    for n in [0, 1] {
        assert_eq!(net.nodes[&address(n)].stats().nodes, [1, 0], "node {n}");
    }
}
