//! Peers that name peers: what a session says to whom and when, and what it makes of what it hears. BEP: 11, 27.
//! Threats: C6, C10, G5

use super::rig::{ID, PLAIN, Rig};
use super::toy::metainfo;
use crate::input::{DialFailure, LinkEnd};
use crate::output::CloseReason;
use crate::torrent::peer_list::{ATTEMPT_INTERVAL, TOLD_MAX};
use crate::{Command, Duration, Input, LinkId, Output, PeerMisbehaved};
use core::net::SocketAddr;
use std::collections::BTreeMap;
use std::sync::Arc;
use wire::extension::{ExtensionHandshake, name};
use wire::pex::{PexFlags, PexMessage, PexPeer};
use wire::{Message, Reserved};

/// Our id for peer exchange.
const OURS: u8 = 3;
/// The id of all peers here.
const THEIRS: u8 = 7;
const MINUTE: Duration = Duration::from_secs(60);

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A peer that came to us, listens on 6881 and speaks peer exchange.
fn meet(rig: &mut Rig, remote: &str) -> LinkId {
    let link = rig.link_from(at(remote), Reserved::OURS);
    introduce(rig, link);
    link
}

fn introduce(rig: &mut Rig, link: LinkId) {
    let extensions = vec![(name::PEX.into(), THEIRS)];
    let introduction = ExtensionHandshake { extensions, port: Some(6881), ..ExtensionHandshake::default() };
    let message = Message::Extended { id: 0, body: introduction.encode().into() };
    rig.feed(Input::Message { link, message });
}

fn names(rig: &mut Rig, link: LinkId, added: &[SocketAddr]) {
    let added = added.iter().map(|&address| PexPeer { address, flags: PexFlags::REACHABLE }).collect();
    let body = PexMessage { added, dropped: Vec::new() }.encode().into();
    rig.feed(Input::Message { link, message: Message::Extended { id: OURS, body } });
}

/// What was named to this peer since we last looked.
fn heard(rig: &mut Rig, link: LinkId) -> Vec<PexMessage> {
    let mut heard = Vec::new();
    rig.wishes.retain(|wish| match wish {
        Output::Send { link: to, message: Message::Extended { id: THEIRS, body } } if *to == link => {
            heard.push(PexMessage::decode(body).unwrap());
            false
        }
        _ => true,
    });
    heard
}

fn dials(rig: &mut Rig) -> Vec<(crate::DialId, SocketAddr)> {
    core::iter::from_fn(|| {
        rig.take(|wish| match wish {
            Output::Dial { dial, remote, .. } => Some((*dial, *remote)),
            _ => None,
        })
    })
    .collect()
}

fn closed(rig: &Rig, link: LinkId) -> Option<CloseReason> {
    rig.wishes.iter().find_map(|wish| match wish {
        Output::Close { link: which, why } if *which == link => Some(*why),
        _ => None,
    })
}

/// Everybody says something now and then, so that nobody is left for silence.
fn pass(rig: &mut Rig, span: Duration, links: &[LinkId]) {
    let end = rig.now + span;
    while rig.now < end {
        rig.pass(MINUTE.min(end - rig.now));
        for &link in links {
            rig.feed(Input::Message { link, message: Message::KeepAlive });
        }
    }
}

#[test]
fn a_peer_is_told_of_the_others_once_and_when_they_go() {
    let mut rig = Rig::leech(4, 16_384);
    let [a, b] = ["9.0.0.1:50000", "9.0.1.1:50000"].map(|remote| meet(&mut rig, remote));
    rig.pass(Duration::from_secs(10));
    let to_a = heard(&mut rig, a);
    assert_eq!(to_a.len(), 1);
    assert_eq!(to_a[0].added, [PexPeer { address: at("9.0.1.1:6881"), flags: PexFlags::default() }]);
    assert_eq!(heard(&mut rig, b).len(), 1);
    pass(&mut rig, MINUTE * 3, &[a, b]);
    assert_eq!((heard(&mut rig, a), heard(&mut rig, b)), (vec![], vec![]), "no news, no message");
    let c = meet(&mut rig, "9.0.2.1:50000");
    pass(&mut rig, MINUTE, &[a, b, c]);
    assert_eq!(heard(&mut rig, a)[0].added.len(), 1);
    rig.feed(Input::LinkDown { link: b, why: LinkEnd::ByPeer });
    pass(&mut rig, MINUTE * 2, &[a, c]);
    let to_a = heard(&mut rig, a);
    assert_eq!((to_a.len(), &to_a[0].added, &to_a[0].dropped), (1, &vec![], &vec![at("9.0.1.1:6881")]));
}

#[test]
fn nobody_is_told_more_often_than_once_a_minute_or_of_more_than_fifty() {
    let mut rig = Rig::leech(4, 16_384);
    let listener = meet(&mut rig, "9.9.9.9:50000");
    let mut links = vec![listener];
    let mut told = 0;
    let mut last = None;
    for second in 0..600 {
        // Somebody new nearly every second for a minute, then nobody.
        if second < 70 {
            links.push(meet(&mut rig, &format!("9.1.{second}.1:50000")));
        }
        rig.pass(Duration::from_secs(1));
        if second % 60 == 0 {
            links
                .clone()
                .into_iter()
                .for_each(|link| rig.feed(Input::Message { link, message: Message::KeepAlive }));
        }
        for message in heard(&mut rig, listener) {
            assert!(message.added.len() <= 50 && message.dropped.is_empty());
            assert!(last.is_none_or(|last| rig.now.since(last) >= MINUTE - Duration::from_secs(1)));
            (told, last) = (told + message.added.len(), Some(rig.now));
        }
    }
    assert_eq!(told, 70);
}

#[test]
fn only_whom_others_can_dial_is_named_and_local_machines_only_to_local_ones() {
    let mut rig = Rig::leech(4, 16_384);
    let (outside, inside) = (meet(&mut rig, "9.0.0.1:50000"), meet(&mut rig, "10.0.0.1:50000"));
    // One that never said where it listens.
    rig.link_from(at("9.0.7.1:50000"), PLAIN);
    meet(&mut rig, "10.0.0.2:50000");
    meet(&mut rig, "9.0.3.1:50000");
    rig.pass(Duration::from_secs(20));
    let named = |messages: Vec<PexMessage>| {
        let mut named: Vec<String> =
            messages.iter().flat_map(|message| &message.added).map(|peer| peer.address.to_string()).collect();
        named.sort();
        named
    };
    assert_eq!(named(heard(&mut rig, outside)), ["9.0.3.1:6881"]);
    assert_eq!(named(heard(&mut rig, inside)), ["10.0.0.2:6881", "9.0.0.1:6881", "9.0.3.1:6881"]);
}

#[test]
fn whom_a_peer_names_is_dialled_but_for_victims_of_malice() {
    // (teller, named, whether it is dialled)
    for (teller, named, dialled) in [
        ("9.0.0.1:50000", "8.8.8.8:6881", true),
        ("9.0.0.1:50000", "[2001:db8::8]:6881", true),
        ("9.0.0.1:50000", "8.8.8.8:80", false),
        ("9.0.0.1:50000", "8.8.8.8:1023", false),
        ("9.0.0.1:50000", "127.0.0.1:6881", false),
        ("9.0.0.1:50000", "10.0.0.1:6881", false),
        ("9.0.0.1:50000", "192.168.1.1:8080", false),
        ("9.0.0.1:50000", "169.254.169.254:6881", false),
        ("9.0.0.1:50000", "[::1]:6881", false),
        ("9.0.0.1:50000", "[fe80::1]:6881", false),
        ("9.0.0.1:50000", "[fd00::1]:6881", false),
        ("9.0.0.1:50000", "0.0.0.0:6881", false),
        ("9.0.0.1:50000", "224.0.0.1:6881", false),
        ("9.0.0.1:50000", "255.255.255.255:6881", false),
        ("[2001:db8:5::1]:50000", "10.0.0.1:6881", false),
        ("10.0.0.5:50000", "10.0.0.1:6881", true),
        ("127.0.0.1:50000", "127.0.0.1:6882", true),
        ("10.0.0.5:50000", "10.0.0.1:22", false),
    ] {
        let mut rig = Rig::leech(4, 16_384);
        let link = meet(&mut rig, teller);
        names(&mut rig, link, &[at(named)]);
        rig.pass(Duration::from_secs(2));
        let expected: Vec<SocketAddr> = dialled.then(|| at(named)).into_iter().collect();
        let seen: Vec<SocketAddr> = dials(&mut rig).into_iter().map(|(_, remote)| remote).collect();
        assert_eq!(seen, expected, "{teller} names {named}");
    }
}

/// Three on a cable without any router, who have nothing but the addresses that they gave themselves: each gets to know the others.
#[test]
fn peers_with_link_local_addresses_are_named_and_dialled_on_their_own_network() {
    let mut rig = Rig::leech(4, 16_384);
    let [first, second, other_cable] =
        ["[fe80::1%3]:50000", "[fe80::2%3]:50000", "[fe80::3%4]:50000"].map(|remote| meet(&mut rig, remote));
    let outside = meet(&mut rig, "[2001:db8::1]:50000");
    rig.pass(Duration::from_secs(20));
    let mut named = |link| {
        let told = heard(&mut rig, link).into_iter().flat_map(|message| message.added);
        let mut told: Vec<String> = told.map(|peer| peer.address.to_string()).collect();
        told.sort();
        told
    };
    assert_eq!(
        named(first),
        ["[2001:db8::1]:6881", "[fe80::2]:6881"],
        "without a scope: it is the reader's own"
    );
    assert_eq!(named(second), ["[2001:db8::1]:6881", "[fe80::1]:6881"]);
    assert_eq!(named(other_cable), ["[2001:db8::1]:6881"]);
    assert_eq!(named(outside), [""; 0]);
    for (teller, expected) in [
        ("[fe80::1%3]:50000", &["[fe80::9%3]:6881"][..]),
        ("[fe80::1%4]:50000", &["[fe80::9%4]:6881"]),
        ("[2001:db8::1]:50000", &[]),
        ("10.0.0.1:50000", &[]),
    ] {
        let mut rig = Rig::leech(4, 16_384);
        let link = meet(&mut rig, teller);
        names(&mut rig, link, &[at("[fe80::9]:6881")]);
        rig.pass(Duration::from_secs(2));
        let dialled: Vec<SocketAddr> = dials(&mut rig).into_iter().map(|(_, remote)| remote).collect();
        assert_eq!(dialled, expected.iter().map(|text| at(text)).collect::<Vec<_>>(), "{teller}");
    }
}

#[test]
fn a_private_torrent_neither_names_nor_hears() {
    let mut private = (*metainfo(4, 16_384)).clone();
    private.private = true;
    let mut rig = Rig::leech_of(Arc::new(private));
    let [a, b] = ["9.0.0.1:50000", "9.0.1.1:50000"].map(|remote| meet(&mut rig, remote));
    names(&mut rig, a, &[at("8.8.8.8:6881")]);
    pass(&mut rig, MINUTE * 3, &[a, b]);
    assert_eq!((heard(&mut rig, a), heard(&mut rig, b)), (vec![], vec![]));
    assert_eq!(dials(&mut rig), vec![]);
    let offers = rig.wishes.iter().filter_map(|wish| match wish {
        Output::Send { message: Message::Extended { id: 0, body }, .. } => {
            ExtensionHandshake::decode(body).ok()
        }
        _ => None,
    });
    assert!(offers.clone().count() == 2 && offers.into_iter().all(|offer| offer.id_of(name::PEX).is_none()));
}

#[test]
fn one_teller_fills_no_list_however_often_it_comes_back() {
    let mut rig = Rig::leech(4, 16_384);
    for round in 0..30_u32 {
        let link = meet(&mut rig, "9.0.0.1:50000");
        let crowd: Vec<SocketAddr> =
            (0..100).map(|n| SocketAddr::from(([8, round as u8, n, 1], 6881))).collect();
        names(&mut rig, link, &crowd);
        rig.feed(Input::LinkDown { link, why: LinkEnd::ByPeer });
    }
    // Besides those it named it is known itself.
    let known = rig.stats().candidates + rig.session.demand().links;
    assert!(known <= u32::from(TOLD_MAX) + 1, "{known}");
    let honest = meet(&mut rig, "7.0.0.1:50000");
    names(&mut rig, honest, &[at("6.6.6.6:6881")]);
    assert_eq!(rig.stats().candidates, known + 1, "another's word still counts");
}

#[test]
fn a_flood_of_names_ends_the_link_and_what_came_too_soon_was_not_read() {
    for gap in [0, 1, 5, 10, 20, 30, 40] {
        let mut rig = Rig::leech(4, 16_384);
        let link = meet(&mut rig, "9.0.0.1:50000");
        let mut said = 0;
        while closed(&rig, link).is_none() {
            names(&mut rig, link, &[SocketAddr::from(([8, said, 1, 1], 6881))]);
            rig.pass(Duration::from_secs(gap));
            said += 1;
            assert!(said < 50, "every {gap} s");
        }
        assert_eq!(
            closed(&rig, link),
            Some(CloseReason::Misbehaved(PeerMisbehaved::PexTooOften)),
            "every {gap} s"
        );
        assert!(rig.stats().candidates <= u32::from(said), "every {gap} s");
    }
}

/// C10: 80 cases. A victim is named by so many attackers, again and again, over so many hours, and never answers, or answers
/// that it is no peer.
#[test]
fn a_victim_that_many_name_is_tried_once_an_hour_at_most() {
    let failures =
        [DialFailure::TimedOut, DialFailure::Refused, DialFailure::Unreachable, DialFailure::Handshake];
    let mut cases = 0;
    let mut most = BTreeMap::new();
    for attackers in [1_u32, 5, 20, 50] {
        for hours in [1_u32, 2, 3, 4, 6] {
            for why in failures {
                let mut rig = Rig::leech(4, 16_384);
                let victim = at("8.8.8.8:8080");
                let links: Vec<LinkId> =
                    (0..attackers).map(|n| meet(&mut rig, &format!("9.{n}.0.1:50000"))).collect();
                let mut tried = Vec::new();
                for minute in 0..hours * 60 {
                    for &link in &links {
                        match minute % 2 {
                            0 => names(&mut rig, link, &[victim]),
                            _ => rig.feed(Input::Message { link, message: Message::KeepAlive }),
                        }
                    }
                    rig.pass(MINUTE);
                    for (dial, remote) in dials(&mut rig) {
                        if remote == victim {
                            tried.push(rig.now);
                            rig.feed(Input::DialFailed { dial, why });
                        }
                    }
                    rig.wishes.clear();
                }
                let what = format!("{attackers} attackers, {hours} hours, {why:?}");
                assert!(!tried.is_empty() && tried.len() <= hours as usize, "{what}: {}", tried.len());
                // Each wait is twice the one before, until a day.
                let waits: Vec<Duration> = tried.windows(2).map(|pair| pair[1].since(pair[0])).collect();
                assert!(waits.iter().all(|&wait| wait + MINUTE >= ATTEMPT_INTERVAL), "{what}: {waits:?}");
                assert!(waits.is_sorted_by(|a, b| *b + MINUTE * 2 >= *a * 2), "{what}: {waits:?}");
                let seen = most.entry(hours).or_insert(0);
                *seen = tried.len().max(*seen);
                cases += 1;
            }
        }
    }
    println!("C10: {cases} cases; attempts at most by hours: {most:?}");
    assert_eq!(cases, 80);
}

#[test]
fn it_is_told_who_encrypts_and_who_is_said_to_is_dialled_so() {
    let mut rig = Rig::leech(4, 16_384);
    let hearer = meet(&mut rig, "9.0.0.1:50000");
    meet(&mut rig, "9.0.1.1:50000");
    let link = rig.encrypted_link_from(at("9.0.2.1:50000"), Reserved::OURS);
    introduce(&mut rig, link);
    rig.pass(Duration::from_secs(10));
    let mut told = heard(&mut rig, hearer).remove(0).added;
    told.sort_by_key(|peer| peer.address);
    assert_eq!(
        told,
        [
            PexPeer { address: at("9.0.1.1:6881"), flags: PexFlags::default() },
            PexPeer { address: at("9.0.2.1:6881"), flags: PexFlags::ENCRYPTION },
        ]
    );
    let (plain, secret) = (at("9.1.0.1:6881"), at("9.1.1.1:6881"));
    let added = vec![
        PexPeer { address: plain, flags: PexFlags::REACHABLE },
        PexPeer { address: secret, flags: PexFlags::REACHABLE.with(PexFlags::ENCRYPTION, true) },
    ];
    let body = PexMessage { added, dropped: Vec::new() }.encode().into();
    rig.feed(Input::Message { link: hearer, message: Message::Extended { id: OURS, body } });
    rig.pass(Duration::from_secs(2));
    let dialled = |remote| {
        rig.wishes.iter().find_map(|wish| match wish {
            Output::Dial { remote: to, hints, .. } if *to == remote => Some(hints.encrypted),
            _ => None,
        })
    };
    assert_eq!((dialled(plain), dialled(secret)), (Some(false), Some(true)));
}

#[test]
fn whom_only_a_peer_names_is_to_be_tried_once_and_whom_the_user_names_in_every_way() {
    let mut rig = Rig::leech(4, 16_384);
    let teller = meet(&mut rig, "9.0.0.1:50000");
    names(&mut rig, teller, &[at("9.1.0.1:6881")]);
    rig.feed(Input::Command(Command::AddPeers(ID, vec![at("9.2.0.1:6881")])));
    rig.pass(Duration::from_secs(2));
    let once = |address: &str| {
        rig.wishes.iter().find_map(|wish| match wish {
            Output::Dial { remote, hints, .. } if *remote == at(address) => Some(hints.once),
            _ => None,
        })
    };
    assert_eq!((once("9.1.0.1:6881"), once("9.2.0.1:6881")), (Some(true), Some(false)));
}
