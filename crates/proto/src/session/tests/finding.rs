//! What finders without a tracker (DHT, LSD) are told of a torrent: when to look, for whom, and when to stop. BEP: 5, 14, 27.
//! Threats: G5

use super::rig::{ID, Rig};
use super::toy::metainfo;
use crate::input::{LinkEnd, PeerSource};
use crate::output::Need;
use crate::{Command, Duration, Event, Input, LinkId, Output};
use core::net::SocketAddr;
use std::sync::Arc;
use wire::{Message, Reserved};

const ALONE: Need = Need { seed: false, hungry: true };
const FED: Need = Need { seed: false, hungry: false };
const SEED: Need = Need { seed: true, hungry: false };

/// What the finders were told since we last looked; nothing stands for "stop".
fn told(rig: &mut Rig) -> Vec<Option<Need>> {
    let hash = rig.metainfo.info_hash;
    let said = rig
        .wishes
        .extract_if(.., |wish| matches!(wish, Output::FindPeers { .. } | Output::StopFinding { .. }));
    said.map(|said| match said {
        Output::FindPeers { torrent: ID, info_hash, need } if info_hash == hash => Some(need),
        Output::StopFinding { torrent: ID, info_hash } if info_hash == hash => None,
        other => panic!("{other:?}"),
    })
    .collect()
}

fn found(rig: &mut Rig, source: PeerSource, hosts: core::ops::Range<u8>) {
    let peers: Vec<SocketAddr> = hosts.map(|host| SocketAddr::from(([192, 168, 0, host], 6881))).collect();
    rig.feed(Input::FoundPeers { torrent: ID, source, peers: &peers });
}

#[test]
fn finders_are_told_to_look_while_a_torrent_runs_and_to_stop_when_it_does_not() {
    let mut rig = Rig::leech(4, 16_384);
    assert_eq!(told(&mut rig), [Some(ALONE)]);
    rig.feed(Input::Command(Command::Pause(ID)));
    assert_eq!(told(&mut rig), [None]);
    rig.feed(Input::Command(Command::Pause(ID)));
    assert_eq!(told(&mut rig), [], "said once");
    rig.feed(Input::Command(Command::Resume(ID)));
    assert_eq!(told(&mut rig), [Some(ALONE)]);
    rig.feed(Input::Command(Command::Remove(ID)));
    assert_eq!(told(&mut rig), [None]);
}

#[test]
fn a_seed_says_that_it_is_one_and_is_not_hungry() {
    let mut rig = Rig::seed(4, 16_384);
    assert_eq!(told(&mut rig), [Some(SEED)]);
}

#[test]
fn who_becomes_a_seed_says_so() {
    let mut rig = Rig::leech(4, 16_384);
    let source = rig.source(Reserved::OURS);
    while rig.deliver(source) > 0 {
        rig.run_disk();
    }
    assert_eq!(told(&mut rig), [Some(ALONE), Some(FED), Some(SEED)]);
}

#[test]
fn a_torrent_is_hungry_only_while_it_has_nobody_and_knows_nobody() {
    let mut rig = Rig::leech(4, 16_384);
    assert_eq!(told(&mut rig), [Some(ALONE)]);
    found(&mut rig, PeerSource::Lsd, 1..2);
    assert_eq!(told(&mut rig), [Some(FED)], "there is somebody to dial");
    let link = rig.link(Reserved::OURS);
    found(&mut rig, PeerSource::Lsd, 2..9);
    assert_eq!(told(&mut rig), [], "nothing of it changes");
    let dials = |rig: &mut Rig| {
        let dial = |wish: &Output| if let Output::Dial { dial, .. } = wish { Some(*dial) } else { None };
        core::iter::from_fn(|| rig.take(dial)).collect::<Vec<_>>()
    };
    rig.pass(Duration::from_secs(2));
    for dial in dials(&mut rig) {
        rig.feed(Input::DialFailed { dial, why: crate::input::DialFailure::TimedOut });
    }
    assert_eq!(told(&mut rig), [], "it still has a link");
    rig.feed(Input::LinkDown { link, why: LinkEnd::ByPeer });
    assert_eq!(told(&mut rig), [Some(ALONE)], "whoever is known will not be dialled for a while");
}

#[test]
fn a_private_torrent_is_never_named_to_finders() {
    let mut private = (*metainfo(4, 16_384)).clone();
    private.private = true;
    let mut rig = Rig::leech_of(Arc::new(private));
    rig.feed(Input::Command(Command::Reannounce(ID)));
    rig.feed(Input::Command(Command::Pause(ID)));
    rig.feed(Input::Command(Command::Resume(ID)));
    assert_eq!(told(&mut rig), []);
}

#[test]
fn the_user_can_have_them_look_again_now() {
    let mut rig = Rig::leech(4, 16_384);
    rig.feed(Input::Command(Command::Reannounce(ID)));
    assert_eq!(told(&mut rig), [Some(ALONE), Some(ALONE)]);
    rig.feed(Input::Command(Command::Pause(ID)));
    rig.feed(Input::Command(Command::Reannounce(ID)));
    assert_eq!(told(&mut rig), [None], "but not for what stands still");
}

#[test]
fn the_user_hears_how_many_new_peers_were_found_and_how() {
    let mut rig = Rig::leech(4, 16_384);
    let news = |rig: &mut Rig| {
        let new = |wish: &Output| match wish {
            Output::Event(Event::PeersFound { torrent: ID, source, peers }) => Some((*source, *peers)),
            _ => None,
        };
        core::iter::from_fn(|| rig.take(new)).collect::<Vec<_>>()
    };
    for (source, hosts, expected) in [
        (PeerSource::Lsd, 1..4, &[(PeerSource::Lsd, 3)][..]),
        (PeerSource::Lsd, 1..4, &[]),
        (PeerSource::Dht, 3..6, &[(PeerSource::Dht, 2)]),
        // Trackers have an event of their own, and users know whom they name.
        (PeerSource::Tracker, 6..8, &[]),
        (PeerSource::User, 8..9, &[]),
    ] {
        found(&mut rig, source, hosts.clone());
        assert_eq!(news(&mut rig), expected, "{source:?} {hosts:?}");
    }
}

const WITH_NODE: Reserved = Reserved([0, 0, 0, 0, 0, 0x10, 0, 0x05]);

/// Ports of nodes that we told a peer of.
fn ports(rig: &Rig, link: LinkId) -> Vec<u16> {
    let port = |message: Message| if let Message::Port(port) = message { Some(port) } else { None };
    rig.sent(link).into_iter().filter_map(port).collect()
}

/// Nodes that the driver was told of.
fn met(rig: &mut Rig) -> Vec<SocketAddr> {
    let node = |wish: &Output| if let Output::MeetNode(node) = wish { Some(*node) } else { None };
    core::iter::from_fn(|| rig.take(node)).collect()
}

fn private() -> Rig {
    let mut private = (*metainfo(4, 16_384)).clone();
    private.private = true;
    Rig::leech_of(Arc::new(private))
}

#[test]
fn who_has_a_node_hears_once_where_ours_is() {
    assert_eq!(Reserved::OURS.with_dht(), WITH_NODE);
    let dht = |port| Input::Command(Command::DhtPort(port));
    let mut rig = Rig::leech(4, 16_384);
    let before = rig.link(WITH_NODE);
    assert!(ports(&rig, before).is_empty(), "we have none");
    rig.feed(dht(Some(7000)));
    let [with, without] = [rig.link(WITH_NODE), rig.link(Reserved::OURS)];
    assert_eq!(ports(&rig, with), [7000]);
    assert!(ports(&rig, without).is_empty());
    let sent = rig.sent(with);
    assert!(matches!(sent[..], [Message::Extended { .. }, Message::HaveNone, Message::Port(_)]), "{sent:?}");
    rig.feed(dht(None));
    let after = rig.link(WITH_NODE);
    assert!(ports(&rig, after).is_empty());
    let mut rig = private();
    rig.feed(dht(Some(7000)));
    let link = rig.link(WITH_NODE);
    assert!(ports(&rig, link).is_empty(), "a private torrent's peers are nobody's business");
}

#[test]
fn the_first_word_of_a_peer_about_its_node_is_handed_on() {
    let mut rig = Rig::leech(4, 16_384);
    let remote: SocketAddr = "9.8.7.6:50000".parse().unwrap();
    let link = rig.link_from(remote, WITH_NODE);
    for (port, expected) in [(7001, &["9.8.7.6:7001"][..]), (7001, &[]), (7002, &[])] {
        rig.say(link, Message::Port(port));
        let expected: Vec<SocketAddr> = expected.iter().map(|node| node.parse().unwrap()).collect();
        assert_eq!(met(&mut rig), expected, "{port}");
    }
    for port in [0, 53, 1023] {
        let liar = rig.link(WITH_NODE);
        rig.say(liar, Message::Port(port));
        assert_eq!(met(&mut rig), [], "{port}");
    }
    let link = rig.link_from("[fe80::1%3]:50000".parse().unwrap(), WITH_NODE);
    rig.say(link, Message::Port(7001));
    assert_eq!(met(&mut rig), ["[fe80::1%3]:7001".parse().unwrap()], "on the link's own network");
    let mut rig = private();
    let link = rig.link(WITH_NODE);
    rig.say(link, Message::Port(7001));
    assert_eq!(met(&mut rig), [], "nobody is told who takes part in a private torrent");
}

#[test]
fn a_peer_of_a_bare_hash_tells_of_its_node_too() {
    let mut rig = Rig::magnet(metainfo(4, 16_384));
    let link = rig.link_from("9.8.7.6:50000".parse().unwrap(), WITH_NODE);
    rig.say(link, Message::Port(7001));
    assert_eq!(met(&mut rig), ["9.8.7.6:7001".parse().unwrap()]);
}
