//! Encryption over real sockets: which policies meet, what their links look like, and that the content is right. Strangers
//! who speak by hand are turned away for the right reason. Threats: C5, C11

use super::content::Content;
use super::swarm::{PATIENCE, Peer, wait_for};
use gannet::{AddOptions, Encryption, Event, LinkEncryption, Policy, StageName, Tally};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use wire::handshake::{self, HANDSHAKE_LEN};
use wire::mse::{Agreed, Chance, Initiator, KEY_LEN, Method};
use wire::{Handshake, InfoHash, PeerId, Reserved};

const POLICIES: [Policy; 4] = [Policy::Off, Policy::Allow, Policy::Prefer, Policy::Require];

fn peer(policy: Policy) -> Peer {
    Peer::start_with(|config| config.encryption = Encryption::both(policy))
}

fn seed(content: &Content, policy: Policy) -> Peer {
    let seed = peer(policy);
    content.write_to(seed.downloads());
    let seeding = seed.add(content, AddOptions::default());
    wait_for(&seed, "seeding", |event| *event == Event::Stage(seeding.id(), StageName::Seeding));
    seed
}

/// Waits until the tally is as wanted: nothing is told of who was turned away, so it is asked for.
fn wait_for_tally(peer: &Peer, wanted: impl Fn(&Tally) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let tally = peer.client.encryption_tally().wait().unwrap();
        if wanted(&tally) {
            return;
        }
        assert!(Instant::now() < deadline, "{tally:?}");
        let _ = peer.events.recv_timeout(Duration::from_millis(5));
    }
}

#[test]
fn policies_meet_and_the_content_is_right() {
    use LinkEncryption::{Handshake, None as Plain, Rc4};
    // Whom we dial: `Off`, `Allow`, `Prefer`, `Require`.
    let expected = [
        (Policy::Off, [Some(Plain), Some(Plain), Some(Plain), None]),
        (Policy::Allow, [Some(Plain), Some(Plain), Some(Plain), Some(Rc4)]),
        (Policy::Prefer, [Some(Plain), Some(Handshake), Some(Rc4), Some(Rc4)]),
        (Policy::Require, [None, Some(Rc4), Some(Rc4), Some(Rc4)]),
    ];
    let content = Content::new("in clothes", &[("a", 700_000), ("b", 11)], 32 * 1024, 31);
    for theirs in POLICIES {
        let seed = seed(&content, theirs);
        for (ours, row) in expected {
            let leech = Peer::start_with(|config| {
                config.encryption = Encryption::both(ours);
                // Slow enough to be seen while it goes on.
                config.limits.down = Some(1_000_000);
            });
            let options = AddOptions { peers: seed.addresses(), ..AddOptions::default() };
            let leeching = leech.add(&content, options);
            match row[POLICIES.iter().position(|policy| *policy == theirs).unwrap()] {
                Some(encryption) => {
                    wait_for(&leech, "a link", |event| matches!(event, Event::PeerJoined(..)));
                    let linked = leeching.peers().wait().unwrap();
                    assert_eq!(linked[0].encryption, encryption, "{ours:?} dials {theirs:?}");
                    wait_for(&leech, "durable", |event| *event == Event::Durable(leeching.id()));
                    content.check(leech.downloads());
                }
                None if ours == Policy::Require => wait_for_tally(&leech, |tally| tally.outgoing_failed == 1),
                None => wait_for_tally(&seed, |tally| tally.plaintext_refused > 0),
            }
            leech.stop();
        }
        seed.stop();
    }
}

/// Many blocks in every size of read and write, in both directions at once.
#[test]
fn a_large_torrent_crosses_encrypted_links_both_ways() {
    let content = Content::new("large and hidden", &[("a", 25_000_000)], 256 * 1024, 32);
    let seed = seed(&content, Policy::Require);
    let leeches = [peer(Policy::Require), peer(Policy::Require)];
    let peers = [seed.addresses(), leeches[0].addresses()].concat();
    let torrents = leeches
        .each_ref()
        .map(|leech| leech.add(&content, AddOptions { peers: peers.clone(), ..AddOptions::default() }));
    for (leech, torrent) in leeches.iter().zip(&torrents) {
        wait_for(leech, "durable", |event| *event == Event::Durable(torrent.id()));
        content.check(leech.downloads());
    }
    leeches.into_iter().for_each(|leech| drop(leech.stop()));
    seed.stop();
}

/// A stranger by hand: connects, says this, and reads until it is cut off or has read so much.
fn converse(peer: &Peer, say: &[u8], read: usize) -> Vec<u8> {
    let mut socket = TcpStream::connect(peer.addresses()[0]).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.write_all(say).unwrap();
    let mut heard = vec![0; read];
    let mut count = 0;
    while count < read {
        match socket.read(&mut heard[count..]) {
            Ok(0) | Err(_) => break,
            Ok(more) => count += more,
        }
    }
    heard.truncate(count);
    heard
}

fn hello(info_hash: InfoHash) -> [u8; HANDSHAKE_LEN] {
    handshake::encode(&Handshake { reserved: Reserved::OURS, info_hash, peer_id: PeerId([7; 20]) })
}

fn chance(key: u8) -> Chance<'static> {
    Chance { private_key: [key; 20], pad: &[1, 2, 3], zeros: 9 }
}

#[test]
fn strangers_who_speak_otherwise_are_turned_away_unanswered() {
    let content = Content::new("guarded", &[("a", 100_000)], 32 * 1024, 33);
    let (strict, open) = (seed(&content, Policy::Require), seed(&content, Policy::Off));
    let info_hash = gannet::Metainfo::parse(&content.torrent).unwrap().info_hash;
    assert_eq!(converse(&strict, &hello(info_hash), 1), b"");
    wait_for_tally(&strict, |tally| *tally == Tally { plaintext_refused: 1, ..Tally::default() });
    let mut key = Vec::new();
    Initiator::new(info_hash, &[Method::Rc4], &[], chance(1), &mut key);
    assert_eq!(converse(&open, &key, 1), b"");
    wait_for_tally(&open, |tally| *tally == Tally { encrypted_refused: 1, ..Tally::default() });
    assert_eq!(converse(&open, &hello(info_hash), HANDSHAKE_LEN).len(), HANDSHAKE_LEN);
    // Degenerate keys get no key in return; noise, and the name of a torrent that is not here, get no second message.
    assert_eq!(converse(&strict, &[0; KEY_LEN], 1), b"");
    assert!(converse(&strict, &[0x55; KEY_LEN + 1_100], 2_000).len() <= KEY_LEN + 512);
    wait_for_tally(&strict, |tally| tally.incoming_failed == 2);
    assert_eq!(speak_mse(&strict, InfoHash([1; 20]), InfoHash([1; 20]), &[Method::Rc4]), None);
    assert_eq!(speak_mse(&strict, info_hash, info_hash, &[Method::Plaintext]), None);
    wait_for_tally(&strict, |tally| tally.incoming_failed == 4);
    // Found by one torrent, talking of another: both sides have the keys, but there is no link.
    assert_eq!(speak_mse(&strict, info_hash, InfoHash([1; 20]), &[Method::Rc4]), None);
    assert_eq!(
        speak_mse(&strict, info_hash, info_hash, &[Method::Rc4]),
        Some(hello(info_hash)[..48].to_vec())
    );
    strict.stop();
    open.stop();
}

/// The first 48 bytes that come back through the cipher, if they do, from who is told of a torrent by one name and then by
/// another. Every byte is written alone.
fn speak_mse(peer: &Peer, key: InfoHash, name: InfoHash, offer: &[Method]) -> Option<Vec<u8>> {
    let mut socket = TcpStream::connect(peer.addresses()[0]).unwrap();
    socket.set_nodelay(true).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut say, mut unread) = (Vec::new(), Vec::new());
    let mut initiator = Initiator::new(key, offer, &hello(name), chance(2), &mut say);
    let mut agreed: Option<Agreed> = None;
    loop {
        say.drain(..).try_for_each(|byte| socket.write_all(&[byte])).ok()?;
        let mut byte = [0];
        if socket.read(&mut byte).ok()? == 0 {
            return None;
        }
        match &mut agreed {
            Some(agreed) => {
                agreed.receive.apply(&mut byte);
                unread.push(byte[0]);
                if unread.len() == 48 {
                    return Some(unread);
                }
            }
            None => {
                unread.push(byte[0]);
                let (taken, done) = initiator.read(&unread, &mut say).ok()?;
                unread.drain(..taken);
                agreed = done;
            }
        }
    }
}
