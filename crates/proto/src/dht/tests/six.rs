//! IPv6 beside IPv4: two networks, two ids, two tables, two stores (BEP 32).

use super::Net;
use super::net::{address, address6, families};
use crate::dht::{Config, Input, Node, Output, Saved, Wanted};
use crate::{Duration, Instant, Seed};
use core::net::SocketAddr;
use wire::InfoHash;
use wire::krpc::{Body, Method, Packet, Query, Reply, Token, Transaction};
use wire::node_id::NodeId;

const HASH: InfoHash = InfoHash([0x5a; 20]);

/// A node alone, with an id near the beginning on IPv4 and near the end on IPv6, that may answer much.
fn node() -> Node {
    let config = Config { reply_bytes_per_second: 1 << 40, ..Config::default() };
    let saved = Saved { ids: [Some(NodeId([0; 20])), Some(NodeId([0xff; 20]))], nodes: Vec::new() };
    Node::new(config, Seed(1), [7; 16], Some(&saved), Instant::ZERO)
}

/// What a node answers to a question.
fn ask(node: &mut Node, from: SocketAddr, method: Method) -> Option<Reply> {
    let query = Query { id: NodeId([0x77; 20]), read_only: true, method };
    let (mut bytes, mut out) = (Vec::new(), Vec::new());
    Packet::new(Transaction::from_u16(1), Body::Query(query)).encode(&mut bytes);
    node.handle(Instant::ZERO + Duration::from_secs(1), Input::Datagram { from, bytes: &bytes }, &mut out);
    out.into_iter().find_map(|output| match output {
        Output::Send { to, bytes } if to == from => match Packet::decode(&bytes).unwrap().body {
            Body::Reply(reply) => Some(reply),
            Body::Query(_) | Body::Error(_) => None,
        },
        _ => None,
    })
}

fn octet(address: &SocketAddr) -> u8 {
    match address {
        SocketAddr::V4(address) => address.ip().octets()[0],
        SocketAddr::V6(address) => address.ip().segments()[0] as u8,
    }
}

fn get_peers(node: &mut Node, from: SocketAddr, info_hash: InfoHash) -> Reply {
    ask(node, from, Method::GetPeers { info_hash, want: None, noseed: false, scrape: false }).unwrap()
}

fn announce(
    node: &mut Node,
    from: SocketAddr,
    info_hash: InfoHash,
    implied_port: bool,
    token: Token,
) -> bool {
    let method = Method::AnnouncePeer { info_hash, port: 5, implied_port, seed: false, token };
    ask(node, from, method).is_some()
}

#[test]
fn who_announces_is_found_in_each_family_that_he_is_in_and_by_his_address_there() {
    let mut net = Net::of_both(60);
    let at = |n: u32| if families(n).0 { address(n) } else { address6(n) };
    for (n, node) in (0..60).map(|n| (n, &net.nodes[&at(n)])) {
        let (v4, v6) = families(n);
        let [known, known6] = node.stats().nodes;
        assert!((known >= 8) == v4 && (known6 >= 8) == v6, "node {n} knows {known} and {known6}");
        let fits =
            |family: usize, address: SocketAddr| node.id(family).is_none_or(|id| id.fits(address.ip()));
        assert!(fits(0, address(n)) && fits(1, address6(n)), "node {n}");
    }
    for (announcer, port) in [(0, 1000), (1, 1001), (2, 1002)] {
        let wanted = Wanted { port: Some(port), seed: false, seeking: true };
        let (_, report) = net.peers(at(announcer), HASH, Some(wanted));
        assert!(report.stored >= 8, "{report:?}");
    }
    for (finder, expected) in [
        (30, vec![(address(0), 1000), (address(2), 1002), (address6(0), 1000), (address6(1), 1001)]),
        (31, vec![(address6(0), 1000), (address6(1), 1001)]),
        (32, vec![(address(0), 1000), (address(2), 1002)]),
    ] {
        let (mut found, _) = net.peers(at(finder), HASH, None);
        for (address, port) in expected {
            assert!(found.remove(&SocketAddr::new(address.ip(), port)), "node {finder} misses {address}");
        }
        assert!(found.is_empty(), "node {finder}: {found:?}");
    }
}

#[test]
fn what_is_asked_over_ipv6_is_judged_by_our_id_there() {
    let mut node = node();
    let hash = |first: u8, n: u32| {
        let mut hash = [first; 20];
        hash[16..].copy_from_slice(&n.to_be_bytes());
        InfoHash(hash)
    };
    // As many torrents as find room, half way to our id over IPv6; each from a network of its own.
    for n in 0..2_000u32 {
        let from = SocketAddr::from(([0x2001 + n as u16, 1, 0, 0, 0, 0, 0, 1], 6881));
        let token = get_peers(&mut node, from, hash(0xf0, n)).token.unwrap();
        assert!(announce(&mut node, from, hash(0xf0, n), false, token));
    }
    assert_eq!(node.stats().stored_torrents, 2_000);
    let mut has_room =
        |from: SocketAddr, first: u8| get_peers(&mut node, from, hash(first, 9)).token.is_some();
    for (from, first, expected) in [
        (address6(7), 0xff, true),
        (address6(7), 0x00, false),
        (address(7), 0xff, true),
        (address(7), 0x00, true),
    ] {
        assert_eq!(has_room(from, first), expected, "{from} asks for {first:x}");
    }
}

#[test]
fn a_peer_behind_a_mapped_port_is_stored_under_the_port_that_its_datagram_came_from() {
    let mut node = node();
    for (from, implied, expected) in [
        (SocketAddr::new(address6(1).ip(), 7777), true, 7777),
        (SocketAddr::new(address6(2).ip(), 7777), false, 5),
        (SocketAddr::new(address(3).ip(), 7777), true, 7777),
    ] {
        let info_hash = InfoHash([from.port() as u8 ^ octet(&from); 20]);
        let token = get_peers(&mut node, from, info_hash).token.unwrap();
        assert!(!announce(&mut node, SocketAddr::new(address6(9).ip(), 7777), info_hash, implied, token));
        assert!(announce(&mut node, from, info_hash, implied, token));
        let values = get_peers(&mut node, from, info_hash).values;
        assert_eq!(values, [SocketAddr::new(from.ip(), expected)]);
        let other = if from.is_ipv4() { address6(5) } else { address(5) };
        assert_eq!(get_peers(&mut node, other, info_hash).values, [], "the other family is another network");
    }
}

#[test]
fn a_peer_that_says_where_its_node_is_makes_us_ask_there_over_either_family() {
    for at in [address(5), address6(5)] {
        let (mut node, mut out) = (node(), Vec::new());
        for _ in 0..3 {
            node.handle(Instant::ZERO + Duration::from_secs(1), Input::Met(at), &mut out);
        }
        let sent: Vec<&Output> =
            out.iter().filter(|o| matches!(o, Output::Send { to, .. } if *to == at)).collect();
        assert_eq!(sent.len(), 1, "asked once: {out:?}");
        let Output::Send { bytes, .. } = sent[0] else { panic!() };
        let question = Packet::decode(bytes).unwrap();
        let mut answer = Vec::new();
        let id = NodeId([0x42; 20]);
        Packet::new(question.transaction, Body::Reply(Reply::new(id))).encode(&mut answer);
        let later = Instant::ZERO + Duration::from_secs(2);
        node.handle(later, Input::Datagram { from: at, bytes: &answer }, &mut Vec::new());
        assert_eq!(node.stats().nodes, if at.is_ipv4() { [1, 0] } else { [0, 1] });
    }
}

#[test]
fn a_long_list_of_ipv6_peers_is_cut_to_what_fits_and_no_shorter() {
    let mut node = node();
    for n in 0..100u32 {
        let from = SocketAddr::from(([0x2001 + n as u16, 1, 0, 0, 0, 0, 0, 1], 6881));
        let token = get_peers(&mut node, from, HASH).token.unwrap();
        assert!(announce(&mut node, from, HASH, false, token));
    }
    let told = get_peers(&mut node, address6(50), HASH).values.len();
    assert!(
        (8..=14).contains(&told),
        "{told} peers of 21 bytes each to a stranger, who gets three times its hundred bytes"
    );
}
