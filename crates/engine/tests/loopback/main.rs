//! Clients of ours against each other over loopback: what was seeded is what arrives, whatever happens on the way.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop, also in its helpers")]

mod beacon;
mod content;
mod dht;
mod encryption;
mod local;
mod magnets;
mod pairing;
mod private;
mod ranges;
mod recording;
mod swarm;
mod tracker;
mod web;

use content::Content;
use gannet::{AddError, AddOptions, Client, Event, Priority, RecvError, StageName, SwarmCounts};
use proto::output::AnnounceEvent;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};
use swarm::{Peer, is_answered, wait_for, wait_until};
use tracker::Tracker;

/// Piece lengths and files of one content each.
const CONTENTS: &[(u32, &[(&str, u64)])] = &[
    (16 * 1024, &[("one", 1)]),
    (16 * 1024, &[("a/b/c", 100_000), ("a/empty", 0), ("a/d", 7), ("e", 16_384), ("f", 200_001)]),
    (32 * 1024, &[("a", 32 * 1024 * 3), ("b", 5)]),
    (256 * 1024, &[("large", 20_000_000), ("small", 300)]),
    (16 * 1024 * 1024, &[("huge", 40_000_000)]),
    // Pieces that are no whole number of blocks.
    (50_000, &[("odd", 1_234_567), ("even", 50_000)]),
];

#[test]
fn what_is_seeded_arrives() {
    for (number, (piece_len, files)) in CONTENTS.iter().enumerate() {
        let content = Content::new(&format!("content {number}"), files, *piece_len, number as u64);
        let (seed, leech) = (Peer::start(), Peer::start());
        content.write_to(seed.downloads());
        let seeding = seed.add(&content, AddOptions::default());
        wait_for(&seed, "seeding", |event| *event == Event::Stage(seeding.id(), StageName::Seeding));
        let leeching = leech.add(&content, AddOptions { peers: seed.addresses(), ..AddOptions::default() });
        wait_for(&leech, "durable", |event| *event == Event::Durable(leeching.id()));
        content.check(leech.downloads());
        let stats = leeching.stats().wait().unwrap();
        assert_eq!(stats.pieces_have, stats.pieces);
        assert!(leeching.have().wait().unwrap().is_full());
        leech.stop();
        seed.stop();
    }
}

#[test]
fn a_client_that_ended_at_once_goes_on_where_it_was() {
    let content = Content::new("resumed", &[("a", 30_000_000), ("b", 2_000_000)], 256 * 1024, 7);
    let seed = Peer::start();
    content.write_to(seed.downloads());
    seed.add(&content, AddOptions::default());
    let options = || AddOptions { peers: seed.addresses(), ..AddOptions::default() };
    let leech = Peer::start_with(|config| config.limits.down = Some(8_000_000));
    let leeching = leech.add(&content, options());
    // Something was committed once the second second has begun.
    let committed = |stats: &gannet::TorrentStats| stats.pieces_durable > 20;
    let mut before = leeching.stats().wait().unwrap();
    while !committed(&before) {
        wait_for(&leech, "a piece", |event| matches!(event, Event::PieceDone(..)));
        before = leeching.stats().wait().unwrap();
    }
    let leech = Peer::start_in(leech.crash(), |_| {});
    let leeching = leech.add(&content, options());
    wait_for(&leech, "durable", |event| *event == Event::Durable(leeching.id()));
    content.check(leech.downloads());
    let after = leeching.stats().wait().unwrap();
    let again = after.downloaded + u64::from(before.pieces_durable) * 256 * 1024;
    assert!(after.downloaded < content.total(), "committed pieces are not fetched again");
    println!(
        "{} of {} bytes were durable; {} fetched after",
        content.total().saturating_sub(again),
        content.total(),
        after.downloaded
    );
    leech.stop();
    seed.stop();
}

#[test]
fn a_seed_that_lies_is_found_out_and_the_content_is_right() {
    let content = Content::new("spoiled", &[("a", 12_000_000)], 256 * 1024, 8);
    let (honest, liar) =
        (Peer::start(), Peer::start_with(|config| config.listen.ipv4 = Some([127, 0, 0, 2].into())));
    for seed in [&honest, &liar] {
        content.write_to(seed.downloads());
        let seeding = seed.add(&content, AddOptions::default());
        wait_for(seed, "seeding", |event| *event == Event::Stage(seeding.id(), StageName::Seeding));
    }
    content.spoil(liar.downloads(), "a");
    let leech = Peer::start();
    let leeching = leech.add(&content, AddOptions { peers: liar.addresses(), ..AddOptions::default() });
    let banned = liar.addresses()[0];
    wait_for(&leech, "a bad piece", |event| matches!(event, Event::PieceFailed(..)));
    leeching.add_peers(honest.addresses());
    let events = wait_for(&leech, "durable", |event| *event == Event::Durable(leeching.id()));
    content.check(leech.downloads());
    for event in events {
        if let Event::PeerBanned(_, address) = event {
            assert_eq!(address.ip(), banned.ip(), "nobody honest is banned");
        }
    }
    leech.stop();
    honest.stop();
}

#[test]
fn a_banned_host_is_refused_before_its_handshake_is_read() {
    let content = Content::new("barred", &[("a", 100_000)], 32 * 1024, 15);
    let other = Content::new("other", &[("b", 100_000)], 32 * 1024, 16);
    let from = |last: u8| Ipv4Addr::new(127, 0, 0, last);
    let liar = Peer::start_with(|config| config.listen.ipv4 = Some(from(2)));
    content.write_to(liar.downloads());
    let seeding = liar.add(&content, AddOptions::default());
    wait_for(&liar, "seeding", |event| *event == Event::Stage(seeding.id(), StageName::Seeding));
    content.spoil(liar.downloads(), "a");
    let leech = Peer::start();
    let torrents = [leech.add(&content, AddOptions::default()), leech.add(&other, AddOptions::default())];
    for torrent in &torrents {
        assert!(is_answered(&leech, from(2), torrent.info_hash()), "nobody is banned yet");
    }
    torrents[0].add_peers(liar.addresses());
    wait_for(&leech, "the ban", |event| matches!(event, Event::PeerBanned(..)));
    for torrent in &torrents {
        assert!(!is_answered(&leech, from(2), torrent.info_hash()), "the banned host");
        assert!(is_answered(&leech, from(3), torrent.info_hash()), "another host");
    }
    leech.stop();
    liar.stop();
}

#[test]
fn a_port_that_another_client_has_is_passed_over() {
    let first = Peer::start();
    let port = first.addresses()[0].port();
    let second = Peer::start_with(|config| config.listen.ports = port..=port);
    assert_ne!(second.addresses()[0].port(), port);
    second.stop();
    first.stop();
}

#[test]
fn content_arrives_over_ipv6() {
    let over_ipv6 = |config: &mut gannet::ClientConfig| {
        config.listen.ipv4 = None;
        config.listen.ipv6 = Some(Ipv6Addr::LOCALHOST);
    };
    let content = Content::new("six", &[("a", 500_000)], 32 * 1024, 9);
    let (seed, leech) = (Peer::start_with(over_ipv6), Peer::start_with(over_ipv6));
    content.write_to(seed.downloads());
    seed.add(&content, AddOptions::default());
    assert!(seed.addresses().iter().all(SocketAddr::is_ipv6));
    let leeching = leech.add(&content, AddOptions { peers: seed.addresses(), ..AddOptions::default() });
    wait_for(&leech, "durable", |event| *event == Event::Durable(leeching.id()));
    content.check(leech.downloads());
    leech.stop();
    seed.stop();
}

#[test]
fn a_tracker_brings_a_swarm_together_and_hears_goodbye() {
    let content = Content::new("announced", &[("a", 3_000_000)], 64 * 1024, 10);
    for over in ["http", "udp"] {
        let tracker = Tracker::new();
        let url = if over == "http" { tracker.http() } else { tracker.udp() };
        let torrent = content.torrent_with(vec![vec![url]]);
        let seed = Peer::start();
        content.write_to(seed.downloads());
        let seeding = seed.client.add(&torrent, AddOptions::default()).unwrap();
        wait_for(&seed, "the tracker's answer", |event| matches!(event, Event::TrackerAnswered { .. }));
        let leeches: Vec<Peer> = (0..3).map(|_| Peer::start()).collect();
        for leech in &leeches {
            leech.client.add(&torrent, AddOptions::default()).unwrap();
        }
        for leech in leeches {
            wait_for(&leech, "durable", |event| matches!(event, Event::Durable(_)));
            content.check(leech.downloads());
            leech.stop();
        }
        let trackers = seeding.trackers().wait().unwrap();
        assert_eq!((trackers.len(), trackers[0].failure.clone()), (1, None), "{over}");
        // A client waits for no more than 2 s to be heard when it leaves: the tracker may be slower.
        tracker.wait_for(AnnounceEvent::Stopped, 3);
        let newcomer = Peer::start();
        let asking = newcomer.client.add(&torrent, AddOptions::default()).unwrap();
        let swarm = SwarmCounts { seeds: 1, leechers: 1, downloads: Some(3) };
        wait_until(
            || asking.stats().wait().unwrap().swarm == Some(swarm),
            || format!("{over}: the tracker's counts: {:?}", asking.stats().wait().unwrap().swarm),
        );
        newcomer.stop();
        seed.stop();
        tracker.wait_for(AnnounceEvent::Started, 5);
        tracker.wait_for(AnnounceEvent::Stopped, 5);
    }
}

#[test]
fn a_tracker_that_does_not_answer_holds_nobody_up() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/announce", silent.local_addr().unwrap());
    let content = Content::new("silent", &[("a", 200_000)], 32 * 1024, 15);
    let (seed, leech) = (Peer::start(), Peer::start());
    content.write_to(seed.downloads());
    seed.add(&content, AddOptions::default());
    let options = AddOptions { peers: seed.addresses(), ..AddOptions::default() };
    leech.client.add(&content.torrent_with(vec![vec![url]]), options).unwrap();
    wait_for(&leech, "durable", |event| matches!(event, Event::Durable(_)));
    let began = Instant::now();
    leech.stop();
    // 2 s for the goodbye, and some for a busy machine.
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    seed.stop();
}

#[test]
fn files_that_are_not_wanted_are_not_created() {
    let files = [("a", 100_000), ("b", 300_000), ("c", 100_000)];
    let content = Content::new("selected", &files, 64 * 1024, 11);
    let (seed, leech) = (Peer::start(), Peer::start());
    content.write_to(seed.downloads());
    seed.add(&content, AddOptions::default());
    let priorities = vec![Priority::Skip, Priority::Normal, Priority::Skip];
    let leeching =
        leech.add(&content, AddOptions { peers: seed.addresses(), priorities, ..AddOptions::default() });
    wait_for(&leech, "durable", |event| *event == Event::Durable(leeching.id()));
    content.check_file(leech.downloads(), "b");
    assert!(!content.exists(leech.downloads(), "a") && !content.exists(leech.downloads(), "c"));
    leeching.set_priorities(&[Priority::Normal, Priority::Normal, Priority::Skip]);
    // The leech has left the seed for want of anything to do, and would wait a while before it asks again: let it hear of
    // another.
    let other = Peer::start();
    content.write_to(other.downloads());
    other.add(&content, AddOptions::default());
    leeching.add_peers(other.addresses());
    wait_for(&leech, "the second file", |event| *event == Event::Durable(leeching.id()));
    content.check_file(leech.downloads(), "a");
    assert!(!content.exists(leech.downloads(), "c"));
    leech.stop();
    other.stop();
    seed.stop();
}

#[test]
fn a_removed_torrent_is_forgotten_and_can_be_added_again() {
    let content = Content::new("removed", &[("a", 100_000)], 32 * 1024, 12);
    let peer = Peer::start();
    content.write_to(peer.downloads());
    let torrent = peer.add(&content, AddOptions::default());
    assert!(matches!(peer.client.add(&content.torrent, AddOptions::default()), Err(AddError::Known(_))));
    wait_for(&peer, "seeding", |event| matches!(event, Event::Stage(_, StageName::Seeding)));
    torrent.remove();
    wait_for(&peer, "removal", |event| *event == Event::Removed(torrent.id()));
    assert!(peer.client.torrents().is_empty());
    assert_eq!(torrent.stats().wait(), Err(RecvError::Stopped));
    let again = peer.add(&content, AddOptions::default());
    assert_ne!(again.id(), torrent.id());
    wait_for(&peer, "seeding", |event| *event == Event::Stage(again.id(), StageName::Seeding));
    let peer = Peer::start_in(peer.stop(), |_| {});
    let restored = peer.client.restore().unwrap();
    assert_eq!(restored.len(), 1);
    let restored = restored[0].as_ref().unwrap();
    let events =
        wait_for(&peer, "seeding", |event| *event == Event::Stage(restored.id(), StageName::Seeding));
    let checking = Event::Stage(restored.id(), StageName::Checking);
    assert!(!events.contains(&checking), "what was committed is not checked again: {events:?}");
    content.check(peer.downloads());
    peer.stop();
}

#[test]
fn a_torrent_with_a_file_of_another_that_runs_is_refused_until_that_is_gone_or_goes_elsewhere() {
    let files = [("a", 100_000), ("b", 50_000)];
    let first = Content::new("shared", &files, 32 * 1024, 17);
    let second = Content::new("shared", &files[1..], 32 * 1024, 18);
    let peer = Peer::start();
    first.write_to(peer.downloads());
    let torrent = peer.add(&first, AddOptions::default());
    let refused = |client: &Client| {
        let output_dir = Some(peer.downloads().to_owned());
        let error =
            client.add(&second.torrent, AddOptions { output_dir, ..AddOptions::default() }).unwrap_err();
        let AddError::SamePlace { first, ref path, .. } = error else { panic!("{error}") };
        assert_eq!((first, path.file_name()), (torrent.info_hash(), Some("b".as_ref())));
        let text = error.to_string();
        assert!(text.contains("torrent \"shared\"") && text.contains("--output"), "{text}");
    };
    refused(&peer.client);
    // Another client with the same state, as another process would be.
    let other = peer.neighbour();
    refused(&other);
    assert!(matches!(other.add(&first.torrent, AddOptions::default()), Err(AddError::State(_))));
    let elsewhere = Some(peer.downloads().join("elsewhere"));
    let apart = other.add(&second.torrent, AddOptions { output_dir: elsewhere, ..AddOptions::default() });
    assert_eq!((apart.unwrap().info_hash(), other.torrents().len()), (second.info_hash(), 1));
    drop(other);
    wait_for(&peer, "seeding", |event| matches!(event, Event::Stage(_, StageName::Seeding)));
    first.check(peer.downloads());
    torrent.remove();
    wait_for(&peer, "removal", |event| *event == Event::Removed(torrent.id()));
    let output_dir = Some(peer.downloads().to_owned());
    peer.add(&second, AddOptions { output_dir, ..AddOptions::default() });
    peer.stop();
}

#[test]
fn a_paused_torrent_fetches_nothing_until_it_is_resumed() {
    let content = Content::new("paused", &[("a", 400_000)], 32 * 1024, 13);
    let (seed, leech) = (Peer::start(), Peer::start());
    content.write_to(seed.downloads());
    seed.add(&content, AddOptions::default());
    let options = AddOptions { peers: seed.addresses(), paused: true, ..AddOptions::default() };
    let leeching = leech.add(&content, options);
    wait_for(&leech, "pause", |event| matches!(event, Event::Stage(_, StageName::Paused)));
    assert_eq!(leeching.stats().wait().unwrap().downloaded, 0);
    leeching.resume();
    wait_for(&leech, "durable", |event| *event == Event::Durable(leeching.id()));
    content.check(leech.downloads());
    leech.stop();
    seed.stop();
}
