//! Torrents that begin with a magnet link, over loopback: where the link says that peers are, who hands metadata on, what a
//! restart costs, and what is asked of the user before anything is written. BEP: 9

use super::content::Content;
use super::swarm::{Peer, wait_for};
use super::tracker::Tracker;
use super::web::WebServer;
use gannet::{
    AddError, AddOptions, CheckRoom, ChooseFiles, Event, Magnet, Priority, Prospect, Refusal, StageName,
    TorrentHandle,
};
use proto::extension::metadata::METADATA_ID;
use proto::output::AnnounceEvent;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use wire::extension::{ExtensionHandshake, name};
use wire::handshake::{self, HANDSHAKE_LEN};
use wire::magnet::PeerHint;
use wire::metadata::{METADATA_PIECE_LEN, MetadataMessage};
use wire::{Handshake, Message, Metainfo, PeerId, Reserved};

/// What a link says of a content.
fn link(content: &Content) -> Magnet {
    Magnet::new(content.info_hash())
}

fn link_with(content: &Content, peers: &[SocketAddr]) -> Magnet {
    Magnet { peers: peers.iter().copied().map(PeerHint::Address).collect(), ..link(content) }
}

/// A client that has all of a content.
fn seed_of(content: &Content) -> Peer {
    let seed = Peer::start();
    content.write_to(seed.downloads());
    let seeding = seed.add(content, AddOptions::default());
    wait_for(&seed, "seeding", |event| *event == Event::Stage(seeding.id(), StageName::Seeding));
    seed
}

fn fetch(peer: &Peer, content: &Content, magnet: &Magnet) -> TorrentHandle {
    let torrent = peer.client.add_magnet(magnet, AddOptions::default()).unwrap();
    let events = wait_for(peer, "durable", |event| *event == Event::Durable(torrent.id()));
    let metadata = events.iter().position(|event| *event == Event::MetadataReceived(torrent.id()));
    let first = events.iter().position(|event| matches!(event, Event::PieceDone(..)));
    assert!(metadata.is_some() && metadata < first, "{events:?}");
    content.check(peer.downloads());
    torrent
}

#[test]
fn a_link_that_names_a_peer_alone_is_enough_whether_by_address_or_by_name() {
    let content = Content::new("named", &[("a", 300_000), ("b/c", 5)], 32 * 1024, 30);
    let seed = seed_of(&content);
    let port = seed.addresses()[0].port();
    for hint in [PeerHint::Address(seed.addresses()[0]), PeerHint::Host("localhost".into(), port)] {
        let leech = Peer::start();
        let magnet = Magnet { peers: vec![hint], ..link(&content) };
        let torrent = fetch(&leech, &content, &Magnet::parse(&magnet.to_string()).unwrap());
        assert_eq!(torrent.metainfo().unwrap().layout.files(), 2);
        leech.stop();
    }
    seed.stop();
}

#[test]
fn a_link_that_names_a_tracker_alone_is_enough() {
    let content = Content::new("tracked", &[("a", 300_000)], 32 * 1024, 31);
    let tracker = Tracker::new();
    let url = tracker.udp();
    let seed = Peer::start();
    content.write_to(seed.downloads());
    seed.client.add(&content.torrent_with(vec![vec![url.clone()]]), AddOptions::default()).unwrap();
    tracker.wait_for(AnnounceEvent::Started, 1);
    let leech = Peer::start();
    fetch(&leech, &content, &Magnet { trackers: vec![url], ..link(&content) });
    leech.stop();
    seed.stop();
}

#[test]
fn who_came_by_a_link_hands_metadata_and_content_on_to_others() {
    let content = Content::new("handed on", &[("a", 300_000)], 32 * 1024, 32);
    let seed = seed_of(&content);
    let second = Peer::start();
    fetch(&second, &content, &link_with(&content, &seed.addresses()));
    seed.stop();
    let third = Peer::start();
    let torrent = fetch(&third, &content, &link_with(&content, &second.addresses()));
    let original = Metainfo::parse(&content.torrent).unwrap();
    assert_eq!(torrent.metainfo().unwrap().info()[..], original.info()[..], "byte for byte");
    third.stop();
    second.stop();
}

#[test]
fn a_link_brings_a_web_seed_that_gives_what_no_peer_has() {
    let content = Content::new("on the web", &[("a", 300_000), ("b c", 5)], 32 * 1024, 38);
    // It has the metadata and nothing else.
    let empty = Peer::start();
    empty.add(&content, AddOptions { priorities: vec![Priority::Skip; 2], ..AddOptions::default() });
    let home = tempfile::tempdir().unwrap();
    content.write_to(home.path());
    let server = WebServer::start(home.path());
    let leech = Peer::start();
    let magnet = Magnet { web_seeds: vec![server.url()], ..link_with(&content, &empty.addresses()) };
    let torrent = fetch(&leech, &content, &Magnet::parse(&magnet.to_string()).unwrap());
    assert_eq!(torrent.web_seeds().wait().unwrap()[0].downloaded, content.total());
    leech.stop();
    empty.stop();
}

#[test]
fn a_link_that_selects_files_fetches_and_creates_these_alone() {
    let files = [("a", 100_000), ("b", 300_000), ("c", 100_000), ("d", 70_000)];
    let content = Content::new("in part", &files, 64 * 1024, 39);
    let seed = seed_of(&content);
    let leech = Peer::start();
    let magnet = format!("{}&so=1,3-9", link_with(&content, &seed.addresses()));
    let magnet = Magnet::parse(&magnet).unwrap();
    let torrent = leech.client.add_magnet(&magnet, AddOptions::default()).unwrap();
    wait_for(&leech, "durable", |event| *event == Event::Durable(torrent.id()));
    ["b", "d"].iter().for_each(|file| content.check_file(leech.downloads(), file));
    assert!(!content.exists(leech.downloads(), "a") && !content.exists(leech.downloads(), "c"));
    // The first piece is of the first file alone.
    assert!(torrent.stats().wait().unwrap().downloaded <= content.total() - 64 * 1024);
    leech.stop();
    seed.stop();
}

/// A peer that hands out the first piece of the metadata and nothing more. Returns its address, and hears when it was asked
/// for more than it was at first.
fn miser(metainfo: &Metainfo) -> (SocketAddr, std::sync::mpsc::Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (info_hash, info) = (metainfo.info_hash, metainfo.info().to_vec());
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut hello = [0; HANDSHAKE_LEN];
        stream.read_exact(&mut hello).unwrap();
        let ours = Handshake { reserved: Reserved::OURS, info_hash, peer_id: PeerId([7; 20]) };
        stream.write_all(&handshake::encode(&ours)).unwrap();
        let introduction = ExtensionHandshake {
            extensions: vec![(name::METADATA.into(), 1)],
            metadata_size: Some(info.len() as u32),
            ..ExtensionHandshake::default()
        };
        say(&mut stream, 0, introduction.encode());
        let mut asked = 0;
        while let Some(body) = next_extended(&mut stream, 1) {
            let Ok(MetadataMessage::Request(piece)) = MetadataMessage::decode(&body) else { continue };
            asked += 1;
            if piece == 0 {
                let head = MetadataMessage::Data { piece, total_size: Some(info.len() as u32), at: 0 };
                let data = &info[..METADATA_PIECE_LEN as usize];
                say(&mut stream, METADATA_ID, [&head.encode()[..], data].concat());
            }
            // Four requests at a time: the fifth shows that the first was answered.
            if asked == 5 {
                tell.send(()).unwrap();
            }
        }
    });
    (address, told)
}

fn say(stream: &mut TcpStream, id: u8, body: Vec<u8>) {
    let mut bytes = Vec::new();
    wire::frame::encode(&Message::Extended { id, body: body.into() }, &mut bytes);
    stream.write_all(&bytes).unwrap();
}

/// The next extended message with this id; `None` when the other side has hung up.
fn next_extended(stream: &mut TcpStream, wanted: u8) -> Option<Vec<u8>> {
    loop {
        let mut len = [0; 4];
        stream.read_exact(&mut len).ok()?;
        let mut body = vec![0; u32::from_be_bytes(len) as usize];
        stream.read_exact(&mut body).ok()?;
        if let [20, id, rest @ ..] = &body[..]
            && *id == wanted
        {
            return Some(rest.to_vec());
        }
    }
}

#[test]
fn a_client_that_ended_while_metadata_came_fetches_it_after_a_restart() {
    // Names so long that the metadata has more pieces than are asked for at once.
    let names: Vec<String> = (0..600).map(|number| format!("{number:0200}")).collect();
    let files: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 100)).collect();
    let content = Content::new("many", &files, 32 * 1024, 33);
    let metainfo = Metainfo::parse(&content.torrent).unwrap();
    assert!(metainfo.metadata_len() > 5 * METADATA_PIECE_LEN, "{}", metainfo.metadata_len());
    let (address, told) = miser(&metainfo);
    let leech = Peer::start();
    let torrent = leech.client.add_magnet(&link_with(&content, &[address]), AddOptions::default()).unwrap();
    told.recv_timeout(super::swarm::PATIENCE).unwrap();
    let stats = torrent.stats().wait().unwrap();
    assert_eq!(stats.metadata, Some((METADATA_PIECE_LEN, metainfo.metadata_len())));
    assert_eq!(stats.stage, StageName::FetchingMetadata);
    let leech = Peer::start_in(leech.crash(), |_| {});
    let restored = leech.client.restore().unwrap();
    let torrent = restored[0].as_ref().unwrap();
    assert_eq!((restored.len(), torrent.metainfo()), (1, None));
    let seed = seed_of(&content);
    torrent.add_peers(seed.addresses());
    wait_for(&leech, "durable", |event| *event == Event::Durable(torrent.id()));
    content.check(leech.downloads());
    // And once more, when it is here: nobody is asked for it.
    seed.stop();
    let leech = Peer::start_in(leech.stop(), |_| {});
    let restored = leech.client.restore().unwrap();
    assert!(restored[0].as_ref().unwrap().metainfo().is_some());
    leech.stop();
}

#[test]
fn a_choice_that_fails_or_a_lack_of_room_stops_a_link_before_anything_is_written() {
    let content = Content::new("refused", &[("a", 100_000)], 32 * 1024, 34);
    let seed = seed_of(&content);
    let no_choice = || Some(ChooseFiles::by(|_| Err("nothing fits".into())));
    let no_room =
        || Some(CheckRoom::by(|prospect| Err(format!("no room for {}", prospect.metainfo.layout.total()))));
    let table = [
        (AddOptions { choose: no_choice(), ..AddOptions::default() }, Refusal::Choice, "nothing fits"),
        (AddOptions { room: no_room(), ..AddOptions::default() }, Refusal::Room, "no room for 100000"),
    ];
    for (options, refusal, why) in table {
        let leech = Peer::start();
        let magnet = link_with(&content, &seed.addresses());
        let torrent = leech.client.add_magnet(&magnet, options).unwrap();
        let refused = Event::ContentRefused { torrent: torrent.id(), refusal, why: why.into() };
        let events = wait_for(&leech, "refusal", |event| *event == refused);
        assert!(!events.iter().any(|event| matches!(event, Event::PeerBanned(..))), "{events:?}");
        assert!(!leech.downloads().exists(), "nothing is created");
        assert_eq!(torrent.metainfo(), None);
        leech.stop();
    }
    seed.stop();
}

#[test]
fn a_torrent_file_without_room_is_not_added_and_what_an_earlier_run_has_is_told() {
    let content = Content::new("roomy", &[("a", 100_000)], 32 * 1024, 35);
    let peer = Peer::start();
    let no = CheckRoom::by(|_| Err("no room".into()));
    let refused = peer.client.add(&content.torrent, AddOptions { room: Some(no), ..AddOptions::default() });
    assert!(matches!(refused, Err(AddError::Room(ref why)) if why == "no room"), "{refused:?}");
    assert!(peer.client.torrents().is_empty());
    content.write_to(peer.downloads());
    let told: Arc<Mutex<Vec<Option<u32>>>> = Arc::default();
    let check = || {
        let told = Arc::clone(&told);
        let check = move |prospect: Prospect<'_>| {
            told.lock().unwrap().push(prospect.have.map(|have| have.count()));
            Ok(())
        };
        AddOptions { room: Some(CheckRoom::by(check)), ..AddOptions::default() }
    };
    let torrent = peer.add(&content, check());
    wait_for(&peer, "durable", |event| *event == Event::Durable(torrent.id()));
    let peer = Peer::start_in(peer.stop(), |_| {});
    peer.client.add_magnet(&link(&content), check()).unwrap();
    assert_eq!(*told.lock().unwrap(), [None, Some(4)]);
    peer.stop();
}

#[test]
fn a_link_to_a_torrent_that_is_known_adds_its_trackers_and_web_seeds_and_they_are_remembered() {
    let content = Content::new("merged", &[("a", 100_000)], 32 * 1024, 36);
    let url = |number: u32| format!("http://127.0.0.1:1/{number}");
    let urls = |torrent: &TorrentHandle| -> Vec<String> {
        torrent.trackers().wait().unwrap().iter().map(|tracker| tracker.url.to_string()).collect()
    };
    let peer = Peer::start();
    content.write_to(peer.downloads());
    let torrent = content.torrent_of(vec![vec![url(1)]], vec![url(8)]);
    let torrent = peer.client.add(&torrent, AddOptions::default()).unwrap();
    wait_for(&peer, "durable", |event| *event == Event::Durable(torrent.id()));
    let peer = Peer::start_in(peer.stop(), |_| {});
    let magnet = Magnet { trackers: vec![url(1), url(2)], web_seeds: vec![url(8), url(9)], ..link(&content) };
    let torrent = peer.client.add_magnet(&magnet, AddOptions::default()).unwrap();
    assert_eq!(urls(&torrent), [url(1), url(2)]);
    let seeds = torrent.web_seeds().wait().unwrap();
    assert_eq!(seeds.iter().map(|seed| seed.url.to_string()).collect::<Vec<_>>(), [url(8), url(9)]);
    let peer = Peer::start_in(peer.stop(), |_| {});
    let restored = peer.client.restore().unwrap();
    assert_eq!(urls(restored[0].as_ref().unwrap()), [url(1), url(2)]);
    peer.stop();
}

#[test]
fn a_bare_hash_goes_where_an_earlier_link_to_it_went() {
    let content = Content::new("bare", &[("a", 100_000)], 32 * 1024, 37);
    let url = "http://127.0.0.1:1/announce".to_owned();
    let peer = Peer::start();
    peer.client
        .add_magnet(&Magnet { trackers: vec![url.clone()], ..link(&content) }, AddOptions::default())
        .unwrap();
    let peer = Peer::start_in(peer.stop(), |_| {});
    let torrent = peer.client.add_magnet(&link(&content), AddOptions::default()).unwrap();
    let trackers = torrent.trackers().wait().unwrap();
    assert_eq!(trackers.iter().map(|tracker| tracker.url.to_string()).collect::<Vec<_>>(), [url]);
    peer.stop();
}
