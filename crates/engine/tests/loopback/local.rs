//! Clients that nobody introduced, on one machine: they find each other by local discovery alone. BEP: 14, 27. Threats: D9, G1, G5

use super::content::Content;
use super::swarm::{PATIENCE, Peer, wait_for};
use gannet::{AddOptions, ClientConfig, Event, Magnet, PeerSource, StageName};
use os::interfaces;
use os::multicast::Member;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Instant;
use wire::InfoHash;
use wire::lsd::{GROUP_V4, HEARD_LEN_MAX, PORT, Search};

fn discovering(config: &mut ClientConfig) {
    config.local_discovery = true;
}

/// Somebody else on the network.
pub(crate) fn eavesdropper() -> (Member, UdpSocket) {
    let member = Member::open((GROUP_V4, PORT).into()).unwrap();
    let lo = interfaces::list().unwrap().into_iter().find(|interface| interface.loopback).unwrap();
    member.join(lo.index).unwrap();
    let receiver = member.receiver().unwrap();
    receiver.set_nonblocking(false).unwrap();
    receiver.set_read_timeout(Some(PATIENCE)).unwrap();
    (member, receiver)
}

/// The next search from this port.
fn hear(receiver: &UdpSocket, port: u16) -> Search {
    let (start, mut buffer) = (Instant::now(), [0; HEARD_LEN_MAX]);
    loop {
        let (len, from) = receiver.recv_from(&mut buffer).expect("an announcement");
        // Other programs of this machine may be heard as well.
        match Search::decode(&buffer[..len]) {
            Ok(search) if search.port == port => {
                assert_eq!(from.ip(), Ipv4Addr::LOCALHOST, "who listens at one address speaks from there");
                return search;
            }
            Ok(_) | Err(_) => assert!(start.elapsed() < PATIENCE, "nothing came from port {port}"),
        }
    }
}

#[test]
fn a_bare_hash_is_enough_for_two_clients_on_one_network() {
    let content = Content::new("next door", &[("a", 300_000), ("b/c", 5)], 32 * 1024, 60);
    let seed = Peer::start_with(discovering);
    content.write_to(seed.downloads());
    seed.add(&content, AddOptions::default());
    let leech = Peer::start_with(discovering);
    let magnet = Magnet::new(content.info_hash());
    let torrent = leech.client.add_magnet(&magnet, AddOptions::default()).unwrap();
    let events = wait_for(&leech, "durable", |event| *event == Event::Durable(torrent.id()));
    content.check(leech.downloads());
    let found = |event: &Event| matches!(event, Event::PeersFound { source: PeerSource::Lsd, .. });
    // The seed may have been quicker to dial; then it is the seed that found.
    let came = |event: &Event| matches!(event, Event::PeerJoined(..));
    let (found, joined) = (events.iter().any(found), events.iter().any(came));
    assert!(found || joined, "{events:?}");
    leech.stop();
    seed.stop();
}

#[test]
fn what_is_private_or_stands_still_is_not_named_and_what_is_public_is_until_it_stops() {
    let (_member, receiver) = eavesdropper();
    let peer = Peer::start_with(discovering);
    let port = peer.addresses()[0].port();
    let public = Content::new("public", &[("a", 5)], 32 * 1024, 61);
    let private = Content::new("private", &[("a", 6)], 32 * 1024, 62);
    let still = Content::new("still", &[("a", 7)], 32 * 1024, 63);
    let torrent = private.torrent_that_is_private();
    let private_hash = gannet::Metainfo::parse(&torrent).unwrap().info_hash;
    peer.client.add(&torrent, AddOptions::default()).unwrap();
    peer.add(&still, AddOptions { paused: true, ..AddOptions::default() });
    let shown = peer.add(&public, AddOptions::default());
    let (only, never) = ([public.info_hash()], [private_hash, still.info_hash()]);
    // Said thrice within a quarter of a minute: that is enough to see that it is the same each time.
    for _ in 0..2 {
        let said = hear(&receiver, port).info_hashes;
        assert!(said == only && !never.iter().any(|hash: &InfoHash| said.contains(hash)), "{said:?}");
    }
    shown.pause();
    let other = Content::new("other", &[("a", 8)], 32 * 1024, 64);
    peer.add(&other, AddOptions::default());
    let said = hear(&receiver, port).info_hashes;
    assert_eq!(said, [other.info_hash()], "what was paused is not named any more");
    peer.stop();
}

#[test]
fn what_a_stranger_says_to_the_group_makes_a_peer_and_nonsense_makes_none() {
    let (member, _receiver) = eavesdropper();
    let lo = interfaces::list().unwrap().into_iter().find(|interface| interface.loopback).unwrap();
    let peer = Peer::start_with(discovering);
    let content = Content::new("asked for", &[("a", 300_000)], 32 * 1024, 65);
    let torrent = peer.add(&content, AddOptions::default());
    // What is said of a torrent that is not open yet is not heeded; who said it would say it again, which this stranger does not.
    let open = Event::Stage(torrent.id(), StageName::Downloading);
    wait_for(&peer, "an open torrent", |event| *event == open);
    let search = |port| Search { port, info_hashes: vec![content.info_hash()], cookie: None };
    let good = search(50_001).encode(member.group());
    let mut bad = good.clone();
    bad[0] ^= 1;
    for datagram in [&b""[..], &bad, &[0xff; 5000], &good, &good] {
        member.send(lo.index, Ipv4Addr::LOCALHOST.into(), datagram).unwrap();
    }
    let found = |event: &Event| matches!(event, Event::PeersFound { .. });
    let events = wait_for(&peer, "a peer", found);
    let told = Event::PeersFound { torrent: torrent.id(), source: PeerSource::Lsd, peers: 1 };
    assert_eq!(events.last(), Some(&told));
    member.send(lo.index, Ipv4Addr::LOCALHOST.into(), &search(50_002).encode(member.group())).unwrap();
    assert_eq!(wait_for(&peer, "another", found).last(), Some(&told), "each is told of once");
    peer.stop();
}
