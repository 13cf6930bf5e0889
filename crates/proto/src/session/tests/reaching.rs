//! Reaching out: trackers, candidates, dials.

use super::rig::{ID, PLAIN, Rig};
use crate::announce::STOP_TIME_MAX;
use crate::input::{AnnounceReply, DialFailure, LinkEnd, LinkUp, PeerSource};
use crate::output::{AnnounceEvent, CloseReason};
use crate::stats::SwarmCounts;
use crate::torrent::dialer::{DIALS_MAX, DIALS_PER_TICK};
use crate::{AnnounceId, Command, DialId, Duration, Event, Input, LinkId, Output, Priority};
use core::net::SocketAddr;
use std::sync::Arc;
use wire::tracker_udp::ScrapeCounts;
use wire::{Message, Metainfo, PeerId, Reserved};

fn peers(count: u16) -> Vec<SocketAddr> {
    (0..count).map(|at| SocketAddr::from(([80, 2, (at >> 6) as u8, (at & 63) as u8 + 1], 6881))).collect()
}

fn take_dials(rig: &mut Rig) -> Vec<(DialId, SocketAddr)> {
    let mut dials = Vec::new();
    rig.wishes.retain(|wish| match wish {
        Output::Dial { dial, remote, .. } => {
            dials.push((*dial, *remote));
            false
        }
        _ => true,
    });
    dials
}

fn take_announce(rig: &mut Rig) -> Option<(AnnounceId, AnnounceEvent, u64)> {
    rig.take(|wish| match wish {
        Output::Announce(visit) => Some((visit.announce, visit.event, visit.left)),
        _ => None,
    })
}

fn with_tracker(metainfo: &Metainfo) -> Arc<Metainfo> {
    let mut with = metainfo.clone();
    with.trackers = vec![vec!["http://tracker.example/announce".into()]];
    Arc::new(with)
}

fn reply(peers: Vec<SocketAddr>) -> AnnounceReply {
    AnnounceReply {
        interval: Duration::from_secs(1800),
        min_interval: None,
        peers,
        complete: None,
        incomplete: None,
        tracker_id: None,
        external_ip: None,
        warning: None,
    }
}

#[test]
fn trackers_are_told_of_start_completion_and_end_and_their_peers_are_dialled() {
    let mut rig = Rig::leech_of(with_tracker(&super::toy::metainfo(2, 32 * 1024)));
    let (announce, event, left) = take_announce(&mut rig).expect("at once");
    assert_eq!((event, left), (AnnounceEvent::Started, 2 * 32 * 1024 - 100));
    rig.feed(Input::Announced { announce, outcome: Ok(reply(peers(3))) });
    rig.pass(Duration::from_secs(1));
    assert_eq!(take_dials(&mut rig).len(), 3);
    let source = rig.source(PLAIN);
    rig.deliver(source);
    rig.run_disk();
    rig.pass(Duration::from_secs(60));
    let (announce, event, left) = take_announce(&mut rig).expect("complete");
    assert_eq!((event, left), (AnnounceEvent::Completed, 0));
    rig.feed(Input::Announced { announce, outcome: Ok(reply(Vec::new())) });
    rig.feed(Input::Command(Command::Pause(ID)));
    assert_eq!(take_announce(&mut rig).map(|(_, event, _)| event), Some(AnnounceEvent::Stopped));
}

#[test]
fn a_tracker_that_answered_is_asked_for_counts_and_they_are_told_to_whoever_looks() {
    let mut rig = Rig::leech_of(with_tracker(&super::toy::metainfo(2, 32 * 1024)));
    let take = |rig: &mut Rig| {
        rig.take(|wish| match wish {
            Output::Scrape(scrape) => Some((scrape.scrape, scrape.tracker, scrape.url.to_string())),
            _ => None,
        })
    };
    let (announce, ..) = take_announce(&mut rig).expect("at once");
    assert_eq!(take(&mut rig), None, "nobody answered yet");
    rig.feed(Input::Announced { announce, outcome: Ok(reply(Vec::new())) });
    let (scrape, tracker, url) = take(&mut rig).expect("it answered");
    assert_eq!((tracker, url.as_str()), (0, "http://tracker.example/announce"));
    assert_eq!(rig.stats().swarm, None, "it said nothing of numbers");
    let counts = ScrapeCounts { seeders: 7, completed: 90, leechers: 8 };
    rig.feed(Input::Scraped { scrape, outcome: Ok(counts) });
    assert_eq!(rig.stats().swarm, Some(SwarmCounts { seeds: 7, leechers: 8, downloads: Some(90) }));
    rig.feed(Input::Scraped { scrape, outcome: Ok(ScrapeCounts { seeders: 1, ..counts }) });
    assert_eq!(rig.stats().swarm.map(|swarm| swarm.seeds), Some(7), "a stale answer");
}

#[test]
fn a_machine_that_slept_for_an_hour_asks_trackers_at_once_and_dials_those_whose_links_died() {
    let mut rig = Rig::leech_of(with_tracker(&super::toy::metainfo(2, 32 * 1024)));
    let (announce, ..) = take_announce(&mut rig).expect("at once");
    rig.feed(Input::Announced { announce, outcome: Ok(reply(peers(1))) });
    let link = land(&mut rig, 700, Message::HaveAll);
    assert_eq!(rig.closed(link), None);
    // The lid was closed: nothing was seen of this time, and no timer came in between.
    rig.now += Duration::from_secs(3600);
    rig.feed(Input::Wake);
    rig.pass(Duration::ZERO);
    assert_eq!(rig.closed(link), Some(CloseReason::Idle));
    let (announce, event, _) = take_announce(&mut rig).expect("the interval has passed");
    assert_eq!(event, AnnounceEvent::None);
    rig.feed(Input::LinkDown { link, why: LinkEnd::Closed(CloseReason::Idle) });
    rig.feed(Input::Announced { announce, outcome: Ok(reply(peers(1))) });
    rig.pass(Duration::from_secs(120));
    assert_eq!(take_dials(&mut rig).first().map(|(_, again)| *again), Some(peers(1)[0]));
}

#[test]
fn candidates_are_dialled_at_a_pace_and_never_more_at_once_than_the_bound() {
    let mut rig = Rig::leech(2, 32 * 1024);
    rig.feed(Input::FoundPeers { torrent: ID, source: PeerSource::Tracker, peers: &peers(200) });
    rig.pass(Duration::ZERO);
    let mut under_way = take_dials(&mut rig);
    assert_eq!(under_way.len(), DIALS_PER_TICK);
    rig.pass(Duration::from_secs(30));
    under_way.extend(take_dials(&mut rig));
    assert_eq!(under_way.len(), DIALS_MAX);
    let (dial, _) = under_way[0];
    rig.feed(Input::DialFailed { dial, why: DialFailure::TimedOut });
    rig.pass(Duration::from_secs(1));
    assert_eq!(take_dials(&mut rig).len(), 1, "one ended, one begins");
    rig.feed(Input::DialFailed { dial, why: DialFailure::TimedOut });
    rig.pass(Duration::from_secs(1));
    assert_eq!(take_dials(&mut rig).len(), 0, "the same end told twice");
}

#[test]
fn links_come_and_go_without_leaving_a_dial_or_a_place_behind() {
    let mut rig = Rig::leech(2, 32 * 1024);
    rig.feed(Input::FoundPeers { torrent: ID, source: PeerSource::Tracker, peers: &peers(200) });
    let mut linked = 0;
    for round in 0..200_u32 {
        rig.pass(Duration::from_secs(1));
        for (dial, remote) in take_dials(&mut rig) {
            linked += 1;
            let link = LinkId { slot: 5_000 + linked, generation: 0 };
            let peer_id = PeerId([round as u8; 20]);
            rig.feed(Input::LinkUp(LinkUp {
                link,
                torrent: ID,
                remote,
                dial: Some(dial),
                peer_id,
                reserved: PLAIN,
                encrypted: false,
            }));
            if rig.closed(link).is_none() {
                rig.feed(Input::LinkDown { link, why: LinkEnd::ByPeer });
            }
        }
        rig.wishes.clear();
    }
    assert!(linked >= 200, "{linked}");
    assert_eq!((rig.stats().peers, rig.session.demand().links), (0, 0));
    assert_eq!(rig.stats().candidates, 200, "all wait for their next time");
}

#[test]
fn a_private_torrent_takes_no_peers_from_gossip() {
    let mut metainfo = (*super::toy::metainfo(2, 32 * 1024)).clone();
    metainfo.private = true;
    let mut rig = Rig::leech_of(Arc::new(metainfo));
    for source in [PeerSource::Dht, PeerSource::Pex, PeerSource::Lsd] {
        rig.feed(Input::FoundPeers { torrent: ID, source, peers: &peers(5) });
    }
    rig.pass(Duration::from_secs(5));
    assert_eq!(take_dials(&mut rig), []);
    assert!(!rig.wishes.iter().any(|wish| matches!(wish, Output::FindPeers { .. })), "nor asks for them");
    rig.feed(Input::FoundPeers { torrent: ID, source: PeerSource::Tracker, peers: &peers(5) });
    rig.pass(Duration::from_secs(5));
    assert_eq!(take_dials(&mut rig).len(), 5);
}

#[test]
fn a_peer_that_came_to_us_is_not_dialled_where_it_listens() {
    let mut rig = Rig::leech(2, 32 * 1024);
    let link = rig.link_from(SocketAddr::from(([80, 2, 0, 1], 51_413)), Reserved::OURS);
    rig.say(link, Message::Extended { id: 0, body: b"d1:pi6881ee"[..].into() });
    rig.feed(Input::FoundPeers { torrent: ID, source: PeerSource::Tracker, peers: &peers(1) });
    rig.pass(Duration::from_secs(5));
    assert_eq!(take_dials(&mut rig), []);
    rig.feed(Input::LinkDown { link, why: LinkEnd::ByPeer });
    rig.pass(Duration::from_secs(120));
    assert_eq!(take_dials(&mut rig).len(), 1, "now it may be");
}

#[test]
fn a_second_port_of_a_linked_host_is_tried_once_and_not_again_for_long() {
    let mut rig = Rig::leech(2, 32 * 1024);
    let taken = rig.link_from(SocketAddr::from(([80, 2, 0, 1], 51_413)), Reserved::OURS);
    rig.feed(Input::FoundPeers { torrent: ID, source: PeerSource::Tracker, peers: &peers(1) });
    rig.pass(Duration::from_secs(1));
    let (dial, remote) = take_dials(&mut rig)[0];
    let link = LinkId { slot: 900, generation: 0 };
    let peer_id = PeerId(*b"-XX0000-someone-else");
    rig.feed(Input::LinkUp(LinkUp {
        link,
        torrent: ID,
        remote,
        dial: Some(dial),
        peer_id,
        reserved: PLAIN,
        encrypted: false,
    }));
    assert!(rig.closed(link).is_some() && rig.closed(taken).is_none());
    for _ in 0..10 {
        rig.pass(Duration::from_secs(60));
        rig.say(taken, Message::KeepAlive);
    }
    assert_eq!(take_dials(&mut rig), []);
}

#[test]
fn a_shutdown_waits_for_goodbyes_but_not_for_a_tracker_that_is_silent() {
    for answers in [true, false] {
        let mut rig = Rig::leech_of(with_tracker(&super::toy::metainfo(2, 32 * 1024)));
        let (announce, ..) = take_announce(&mut rig).expect("at once");
        rig.feed(Input::Announced { announce, outcome: Ok(reply(Vec::new())) });
        rig.feed(Input::Command(Command::Shutdown));
        rig.run_disk();
        let (announce, event, _) = take_announce(&mut rig).expect("a goodbye");
        assert_eq!(event, AnnounceEvent::Stopped);
        assert!(!rig.told(&Event::Stopped), "nobody would carry the goodbye any more");
        if answers {
            rig.feed(Input::Announced { announce, outcome: Ok(reply(Vec::new())) });
        } else {
            rig.pass(STOP_TIME_MAX);
        }
        assert!(rig.told(&Event::Stopped), "answered: {answers}");
    }
}

/// The one dial that is due brings a link; the peer says this.
fn land(rig: &mut Rig, slot: u32, says: Message) -> LinkId {
    rig.pass(Duration::from_secs(1));
    let dials = take_dials(rig);
    assert_eq!(dials.len(), 1);
    let (dial, remote) = dials[0];
    let link = LinkId { slot, generation: 0 };
    let (peer_id, reserved) = (PeerId([9; 20]), Reserved::OURS);
    rig.feed(Input::LinkUp(LinkUp {
        link,
        torrent: ID,
        remote,
        dial: Some(dial),
        peer_id,
        reserved,
        encrypted: false,
    }));
    rig.say(link, says);
    link
}

#[test]
fn who_wants_more_after_all_dials_the_seeds_it_left_and_no_longer_says_that_it_only_uploads() {
    let mut rig = Rig::leech(2, 32 * 1024);
    rig.feed(Input::Command(Command::SetPriorities(ID, [Priority::Skip].into())));
    rig.feed(Input::FoundPeers { torrent: ID, source: PeerSource::Tracker, peers: &peers(1) });
    let link = land(&mut rig, 700, Message::HaveAll);
    assert_eq!(rig.closed(link), Some(CloseReason::Useless));
    rig.feed(Input::LinkDown { link, why: LinkEnd::Closed(CloseReason::Useless) });
    let other = rig.link(Reserved::OURS);
    rig.say(other, Message::Extended { id: 0, body: b"d1:md11:upload_onlyi3eee"[..].into() });
    rig.pass(Duration::from_secs(60));
    assert_eq!(take_dials(&mut rig), [], "nothing is wanted of it");
    rig.wishes.clear();
    rig.feed(Input::Command(Command::SetPriorities(ID, [Priority::Normal].into())));
    assert!(rig.sent(other).contains(&Message::Extended { id: 3, body: [0].into() }), "{:?}", rig.wishes);
    rig.pass(Duration::from_secs(15));
    assert_eq!(take_dials(&mut rig).len(), 1);
}

#[test]
fn whom_the_user_names_is_dialled_at_once_whatever_came_of_it_before() {
    let mut rig = Rig::leech(2, 32 * 1024);
    rig.feed(Input::FoundPeers { torrent: ID, source: PeerSource::Tracker, peers: &peers(1) });
    for _ in 0..5 {
        rig.pass(Duration::from_secs(1200));
        for (dial, _) in take_dials(&mut rig) {
            rig.feed(Input::DialFailed { dial, why: DialFailure::Refused });
        }
    }
    rig.feed(Input::Command(Command::AddPeers(ID, peers(1))));
    rig.pass(Duration::from_secs(1));
    assert_eq!(take_dials(&mut rig).len(), 1);
}

#[test]
fn a_peer_that_names_port_after_port_is_one_candidate_and_is_dialled_again() {
    let mut rig = Rig::leech(2, 32 * 1024);
    let link = rig.link_from(SocketAddr::from(([80, 2, 0, 1], 51_413)), Reserved::OURS);
    for port in 6881..6900 {
        rig.say(link, Message::Extended { id: 0, body: format!("d1:pi{port}ee").into_bytes().into() });
    }
    rig.feed(Input::LinkDown { link, why: LinkEnd::ByPeer });
    rig.pass(Duration::from_secs(120));
    let dialled: Vec<SocketAddr> = take_dials(&mut rig).into_iter().map(|(_, remote)| remote).collect();
    assert_eq!(dialled, peers(1), "the others would count as linked for ever");
}

#[test]
fn of_two_links_that_crossed_the_end_of_the_one_is_not_the_end_of_the_peer() {
    let mut rig = Rig::leech(2, 32 * 1024);
    let remote = SocketAddr::from(([80, 2, 0, 1], 6881));
    rig.feed(Input::FoundPeers { torrent: ID, source: PeerSource::Tracker, peers: &[remote] });
    rig.pass(Duration::from_secs(1));
    let (dial, _) = take_dials(&mut rig)[0];
    // Its id is greater than ours: of two links the one that it began stays.
    let peer_id = PeerId(*b"-ZZ0000-000000000000");
    let mut up = LinkUp {
        link: LinkId { slot: 9_000, generation: 0 },
        torrent: ID,
        remote,
        dial: Some(dial),
        peer_id,
        reserved: Reserved::OURS,
        encrypted: false,
    };
    let first = up.link;
    rig.feed(Input::LinkUp(up));
    let second = LinkId { slot: 9_001, generation: 0 };
    (up.link, up.dial, up.remote) = (second, None, SocketAddr::from(([80, 2, 0, 1], 50_000)));
    rig.feed(Input::LinkUp(up));
    assert_eq!((rig.closed(first), rig.closed(second)), (Some(CloseReason::Duplicate), None));
    // It says where it listens before the driver has the last word about the first link.
    rig.say(second, Message::Extended { id: 0, body: b"d1:mde1:pi6881ee"[..].into() });
    rig.feed(Input::LinkDown { link: first, why: LinkEnd::Closed(CloseReason::Duplicate) });
    for _ in 0..60 {
        rig.pass(Duration::from_secs(60));
        rig.say(second, Message::KeepAlive);
        assert_eq!(take_dials(&mut rig), [], "dialled while it is linked");
    }
    rig.feed(Input::LinkDown { link: second, why: LinkEnd::Broken });
    rig.pass(Duration::from_secs(600));
    assert_eq!(take_dials(&mut rig).len(), 1, "it has parted now");
}

#[test]
fn whoever_was_told_only_of_those_who_have_left_asks_its_tracker_again_as_soon_as_that_allows() {
    let mut rig = Rig::leech_of(with_tracker(&super::toy::metainfo(2, 32 * 1024)));
    let (announce, ..) = take_announce(&mut rig).expect("at once");
    let answer = || AnnounceReply { min_interval: Some(Duration::from_secs(60)), ..reply(peers(3)) };
    rig.feed(Input::Announced { announce, outcome: Ok(answer()) });
    let (mut visits, began) = (Vec::new(), rig.now);
    for _ in 0..600 {
        rig.pass(Duration::from_secs(1));
        for (dial, _) in take_dials(&mut rig) {
            rig.feed(Input::DialFailed { dial, why: DialFailure::TimedOut });
        }
        if let Some((announce, event, _)) = take_announce(&mut rig) {
            assert_eq!(event, AnnounceEvent::None);
            visits.push(rig.now.since(began).as_secs());
            rig.feed(Input::Announced { announce, outcome: Ok(answer()) });
        }
    }
    assert_eq!(visits, [60, 180, 420], "a minute, and then twice as long each time");
}

#[test]
fn whoever_has_a_link_leaves_the_tracker_alone_until_its_interval_is_over() {
    let mut rig = Rig::leech_of(with_tracker(&super::toy::metainfo(2, 32 * 1024)));
    let (announce, ..) = take_announce(&mut rig).expect("at once");
    let answer = AnnounceReply { min_interval: Some(Duration::from_secs(60)), ..reply(peers(3)) };
    rig.feed(Input::Announced { announce, outcome: Ok(answer) });
    let link = rig.link_from(SocketAddr::from(([80, 3, 0, 1], 6881)), Reserved::OURS);
    for _ in 0..20 {
        rig.pass(Duration::from_secs(60));
        rig.say(link, Message::KeepAlive);
        for (dial, _) in take_dials(&mut rig) {
            rig.feed(Input::DialFailed { dial, why: DialFailure::TimedOut });
        }
        assert_eq!(take_announce(&mut rig), None);
    }
}
