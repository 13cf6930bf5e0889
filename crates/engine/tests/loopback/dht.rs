//! Clients that know one node of the DHT, or each other's peers, and nothing else: they find each other without a tracker, remember
//! whom they knew, and keep private torrents to themselves. BEP: 5, 27, 43

use super::content::Content;
use super::swarm::{PATIENCE, Peer, wait_for, wait_until};
use gannet::dht::{DhtConfig, DhtFound, Finding, Goal, NoDht, NodeId, NodeInfo};
use gannet::{AddOptions, ClientConfig, Event, InfoHash, Magnet, PeerSource, SwarmKey};
use proto::dht::Saved;
use std::net::SocketAddr;

/// A client that begins at these nodes.
fn beginning_at(nodes: &[SocketAddr]) -> impl Fn(&mut ClientConfig) {
    let routers = nodes.iter().map(|node| (node.ip().to_string(), node.port())).collect();
    let dht = DhtConfig { routers, read_only: false };
    move |config| config.dht = Some(dht.clone())
}

/// A client whose node others begin at.
fn router() -> Peer {
    Peer::start_with(beginning_at(&[]))
}

fn nodes(peer: &Peer) -> usize {
    peer.client.dht_stats().wait_for(PATIENCE).expect("there is a node").nodes[0]
}

fn knows(peer: &Peer, count: usize) {
    wait_until(|| nodes(peer) >= count, || format!("{} nodes are known, not {count}", nodes(peer)));
}

/// All that a search finds.
fn peers_of(peer: &Peer, info_hash: InfoHash) -> Vec<SocketAddr> {
    let goal = Goal::Peers { info_hash, announce: None, scrape: false };
    let search = peer.client.search_dht(goal).expect("there is a node");
    let mut peers = Vec::new();
    loop {
        match search.recv_timeout(PATIENCE).expect("a search ends") {
            DhtFound::Finding(Finding::Peers(found)) => peers.extend(found),
            DhtFound::Finding(other) => panic!("{other:?}"),
            DhtFound::Ended(report) => {
                assert_eq!(report.peers as usize, peers.len());
                assert!(search.recv().is_err(), "nothing comes after the end");
                return peers;
            }
        }
    }
}

#[test]
fn a_bare_hash_is_enough_for_who_knows_one_node() {
    let content = Content::new("anywhere", &[("a", 300_000), ("b/c", 5)], 32 * 1024, 61);
    let router = router();
    let at = router.addresses();
    let seed = Peer::start_with(beginning_at(&at));
    content.write_to(seed.downloads());
    seed.add(&content, AddOptions::default());
    let leech = Peer::start_with(beginning_at(&at));
    let torrent = leech.client.add_magnet(&Magnet::new(content.info_hash()), AddOptions::default()).unwrap();
    let events = wait_for(&leech, "durable", |event| *event == Event::Durable(torrent.id()));
    content.check(leech.downloads());
    let found = |event: &Event| matches!(event, Event::PeersFound { source: PeerSource::Dht, .. });
    // Whichever looked later found the other.
    let by_seed = std::iter::from_fn(|| seed.events.try_recv().ok()).any(|event| found(&event));
    assert!(by_seed || events.iter().any(found), "{events:?}");
    for peer in [router, seed, leech] {
        peer.stop();
    }
}

#[test]
fn who_seeds_is_found_by_a_search_unless_it_is_private() {
    let open = Content::new("open", &[("a", 50_000)], 16 * 1024, 62);
    let private = Content::new("private", &[("b", 50_000)], 16 * 1024, 63);
    let router = router();
    let at = router.addresses();
    let seed = Peer::start_with(beginning_at(&at));
    private.write_to(seed.downloads());
    let hidden = seed.client.add(&private.torrent_that_is_private(), AddOptions::default()).unwrap();
    open.write_to(seed.downloads());
    seed.add(&open, AddOptions::default());
    let stored = || router.client.dht_stats().wait_for(PATIENCE).unwrap().stored_torrents;
    // Announces are made in turn: the private one would have had its turn first.
    wait_until(|| stored() == 1, || format!("{} torrents are announced", stored()));
    let other = Peer::start_with(beginning_at(&at));
    knows(&other, 1);
    assert_eq!(peers_of(&other, open.info_hash()), seed.addresses());
    assert_eq!(peers_of(&other, hidden.info_hash()), []);
    assert_eq!(stored(), 1);
    for peer in [router, seed, other] {
        peer.stop();
    }
}

#[test]
fn peers_tell_each_other_of_their_nodes_and_what_is_known_outlives_a_run() {
    let content = Content::new("met", &[("a", 50_000)], 16 * 1024, 64);
    // Neither knows any node; a link is all they have.
    let seed = router();
    content.write_to(seed.downloads());
    seed.add(&content, AddOptions::default());
    let leech = router();
    leech.add(&content, AddOptions { peers: seed.addresses(), ..AddOptions::default() });
    knows(&leech, 1);
    knows(&seed, 1);
    let home = leech.stop();
    // It remembers, without any peer.
    let again = Peer::start_in(home, beginning_at(&[]));
    knows(&again, 1);
    for peer in [seed, again] {
        peer.stop();
    }
}

#[test]
fn a_memory_of_dead_nodes_is_no_reason_to_ask_nobody() {
    let router = router();
    let home = tempfile::tempdir().unwrap();
    let gone: Vec<NodeInfo> = (0..60)
        .map(|n| {
            // Bound and let go: nobody is there.
            let socket = std::net::UdpSocket::bind(("127.0.0.1", 0)).unwrap();
            NodeInfo { id: NodeId([n * 4; 20]), address: socket.local_addr().unwrap() }
        })
        .collect();
    std::fs::create_dir_all(home.path().join("state")).unwrap();
    std::fs::write(home.path().join("state/dht.nodes"), Saved { ids: [None; 2], nodes: gone }.encode())
        .unwrap();
    // Without a name for the router: a peer's word leads to it.
    let content = Content::new("after long", &[("a", 50_000)], 16 * 1024, 65);
    content.write_to(router.downloads());
    router.add(&content, AddOptions::default());
    let late = Peer::start_in(home, beginning_at(&[]));
    let heard = || late.client.dht_stats().wait_for(PATIENCE).unwrap().tally.heard;
    assert_eq!(heard(), 0);
    late.add(&content, AddOptions { peers: router.addresses(), ..AddOptions::default() });
    wait_until(|| heard() > 0, || "nobody was asked".into());
    for peer in [router, late] {
        peer.stop();
    }
}

#[test]
fn a_client_without_the_dht_says_so() {
    let search = |peer: &Peer| peer.client.search_dht(Goal::Nodes(NodeId([7; 20]))).err();
    let off = Peer::start();
    assert_eq!(search(&off), Some(NoDht));
    assert!(off.client.dht_stats().wait_for(PATIENCE).is_err());
    let secret = Peer::start_with(|config| {
        beginning_at(&[])(config);
        config.swarm_key = Some(SwarmKey([7; 32]));
    });
    assert_eq!(search(&secret), Some(NoDht), "what is secret is named nowhere");
    for peer in [off, secret] {
        peer.stop();
    }
}
