//! What finders without a tracker (DHT, LSD) are told of a torrent: when to look, for whom, and when to stop. BEP: 5, 14, 27.
//! Threats: G5

use super::rig::{ID, Rig};
use super::toy::metainfo;
use crate::input::{LinkEnd, PeerSource};
use crate::output::Need;
use crate::{Command, Duration, Event, Input, Output};
use core::net::SocketAddr;
use std::sync::Arc;
use wire::Reserved;

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
