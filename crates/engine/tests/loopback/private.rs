//! Private swarms over real sockets: who holds the key gets everything, nobody else one byte; a recording of what passed
//! shows neither what the torrent is called, nor who talks, nor what it holds.

use super::content::Content;
use super::local::eavesdropper;
use super::swarm::{PATIENCE, Peer, wait_for};
use gannet::{AddError, AddOptions, ClientConfig, Encryption, Event, LinkEncryption, Magnet, Policy};
use gannet::{StageName, StartError, SwarmKey};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use wire::handshake::{self, HANDSHAKE_LEN};
use wire::lsd::{HEARD_LEN_MAX, Search};
use wire::magnet::PeerHint;
use wire::mse::{Chance, Initiator, Method};
use wire::{Handshake, InfoHash, PeerId, Reserved};

const KEY: SwarmKey = SwarmKey([0x5a; 32]);
const OTHER_KEY: SwarmKey = SwarmKey([0xa5; 32]);

/// A block's worth of content is looked for in stretches of this length.
const STRETCH: usize = 16;

fn member(key: SwarmKey) -> Peer {
    Peer::start_with(|config| config.swarm_key = Some(key))
}

fn seed(content: &Content, key: SwarmKey) -> Peer {
    let seed = member(key);
    content.write_to(seed.downloads());
    let seeding = seed.add(content, AddOptions::default());
    wait_for(&seed, "seeding", |event| *event == Event::Stage(seeding.id(), StageName::Seeding));
    seed
}

/// What passed over one connection: from who dialled, and back.
#[derive(Default)]
struct Recording {
    forth: Vec<u8>,
    back: Vec<u8>,
}

/// Stands between a peer and whoever dials it, and records.
struct Relay {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<Arc<Mutex<Recording>>>>>,
}

impl Relay {
    fn before(peer: &Peer) -> Relay {
        let target = peer.addresses()[0];
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let relay = Relay { address: listener.local_addr().unwrap(), heard: Arc::default() };
        let heard = Arc::clone(&relay.heard);
        std::thread::spawn(move || {
            for from in listener.incoming() {
                let (Ok(from), Ok(to)) = (from, TcpStream::connect(target)) else { return };
                let recording: Arc<Mutex<Recording>> = Arc::default();
                heard.lock().unwrap().push(Arc::clone(&recording));
                let (from_too, to_too) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                let back = Arc::clone(&recording);
                std::thread::spawn(move || {
                    pass(from, to, |bytes| {
                        recording.lock().unwrap().forth.extend_from_slice(bytes);
                    })
                });
                std::thread::spawn(move || {
                    pass(to_too, from_too, |bytes| {
                        back.lock().unwrap().back.extend_from_slice(bytes);
                    })
                });
            }
        });
        relay
    }

    /// What passed so far in each direction, all connections together.
    fn recording(&self) -> Recording {
        let mut all = Recording::default();
        for connection in self.heard.lock().unwrap().iter() {
            let connection = connection.lock().unwrap();
            all.forth.extend_from_slice(&connection.forth);
            all.back.extend_from_slice(&connection.back);
        }
        all
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, record: impl Fn(&[u8])) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(count) = from.read(&mut bytes)
        && count > 0
    {
        record(&bytes[..count]);
        if to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    // The other direction ends with this one.
    let _ = (to.shutdown(Shutdown::Both), from.shutdown(Shutdown::Both));
}

/// Everything that a recording must not show, by name.
fn secrets(content: &Content, peers: &[&Peer], file: &str) -> Vec<(String, Vec<u8>)> {
    let mut secrets = vec![
        ("the protocol".to_string(), handshake::PROTOCOL[1..].to_vec()),
        ("the info-hash".into(), content.info_hash().0.to_vec()),
        ("the info-hash of MSE".into(), wire::mse::torrent_key(&content.info_hash()).to_vec()),
        ("the torrent's name".into(), b"the secret ledger".to_vec()),
        ("a file's name".into(), file.as_bytes().to_vec()),
        ("metadata".into(), b"piece length".to_vec()),
        ("an extension".into(), b"ut_metadata".to_vec()),
        ("the client".into(), b"Gannet".to_vec()),
    ];
    secrets.extend(peers.iter().map(|peer| ("a peer id".into(), peer.client.peer_id().0.to_vec())));
    secrets
}

fn shows(recording: &[u8], secret: &[u8]) -> bool {
    recording.windows(secret.len()).any(|window| window == secret)
}

/// Asks until the tally is as wanted: nothing is told of who was turned away.
fn wait_for_refusals(peer: &Peer, wanted: u64) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let tally = peer.client.encryption_tally().wait().unwrap();
        if tally.plaintext_refused + tally.incoming_failed + tally.outgoing_failed >= wanted {
            return;
        }
        assert!(Instant::now() < deadline, "{tally:?}");
        let _ = peer.events.recv_timeout(Duration::from_millis(5));
    }
}

/// Names, metadata and blocks pass, from nothing but the info-hash; and a recording shows none of them.
#[test]
fn who_holds_the_key_gets_everything_and_who_listens_nothing() {
    let file = "numbers of the accounts";
    let content = Content::new("the secret ledger", &[(file, 3_000_000), ("b/c", 11)], 64 * 1024, 51);
    let seed = seed(&content, KEY);
    let relay = Relay::before(&seed);
    let leech = Peer::start_with(|config| {
        config.swarm_key = Some(KEY);
        // Slow enough to be seen while it goes on.
        config.limits.down = Some(2_000_000);
    });
    let peers = vec![PeerHint::Address(relay.address)];
    let magnet = Magnet { peers, ..Magnet::new(content.info_hash()) };
    let torrent = leech.client.add_magnet(&magnet, AddOptions::default()).unwrap();
    wait_for(&leech, "a link", |event| matches!(event, Event::PeerJoined(..)));
    let linked = torrent.peers().wait().unwrap();
    assert_eq!(linked[0].encryption, LinkEncryption::Private);
    wait_for(&leech, "durable", |event| *event == Event::Durable(torrent.id()));
    content.check(leech.downloads());

    let Recording { forth, back } = relay.recording();
    let expected = content.total() as usize;
    assert!(back.len() > expected && back.len() < expected + expected / 50 + 40_000, "{}", back.len());
    for (what, secret) in secrets(&content, &[&seed, &leech], file) {
        assert!(!shows(&forth, &secret) && !shows(&back, &secret), "the recording shows {what}");
    }
    let bytes = std::fs::read(leech.downloads().join("the secret ledger").join(file)).unwrap();
    let sealed: std::collections::HashSet<&[u8]> = back.windows(STRETCH).collect();
    assert!(bytes.chunks_exact(STRETCH).all(|stretch| !sealed.contains(stretch)), "it shows content");
    leech.stop();
    seed.stop();
}

/// Many blocks, in both directions at once, among three.
#[test]
fn a_large_torrent_crosses_private_links_both_ways() {
    let content = Content::new("large and private", &[("a", 25_000_000)], 256 * 1024, 52);
    let seed = seed(&content, KEY);
    let leeches = [member(KEY), member(KEY)];
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

/// With another key, in plaintext, with MSE at each of its policies; whoever dials, the one who has the key says nothing that
/// another could use: as a dialler 48 bytes of noise, as one who is dialled not one.
#[test]
fn who_does_not_hold_the_key_hears_nothing_whoever_dials() {
    let content = Content::new("the secret ledger", &[("a", 100_000)], 32 * 1024, 53);
    type Set = fn(&mut ClientConfig);
    // And in how many ways each tries before it gives up.
    let strangers: [(&str, Set, usize); 5] = [
        ("another key", |config| config.swarm_key = Some(OTHER_KEY), 1),
        ("off", |config| config.encryption = Encryption::both(Policy::Off), 1),
        ("allow", |config| config.encryption = Encryption::both(Policy::Allow), 2),
        ("prefer", |config| config.encryption = Encryption::both(Policy::Prefer), 2),
        ("require", |config| config.encryption = Encryption::both(Policy::Require), 1),
    ];
    for (what, set, ways) in strangers {
        let (seed, stranger) = (seed(&content, KEY), Peer::start_with(set));
        let relay = Relay::before(&seed);
        stranger.add(&content, AddOptions { peers: vec![relay.address], ..AddOptions::default() });
        wait_for_refusals(&seed, ways as u64);
        let connections = relay.heard.lock().unwrap().len();
        assert_eq!((connections, &relay.recording().back[..]), (ways, &b""[..]), "{what}: the seed answers");
        let tally = seed.client.encryption_tally().wait().unwrap();
        let counted = tally.plaintext_refused + tally.incoming_failed;
        assert_eq!(counted, ways as u64, "{what}: {tally:?}");

        let (member, relay) = (member(KEY), Relay::before(&stranger));
        let torrent =
            member.add(&content, AddOptions { peers: vec![relay.address], ..AddOptions::default() });
        wait_for_refusals(&member, 1);
        let Recording { forth, .. } = relay.recording();
        assert_eq!(forth.len(), 48, "{what}: the member says how it begins, once, and no more");
        for (secret_of, secret) in secrets(&content, &[&seed, &member], "a file of no such name") {
            assert!(!shows(&forth, &secret), "{what}: the member tells {secret_of}");
        }
        assert_eq!(torrent.peers().wait().unwrap(), []);
        member.stop();
        stranger.stop();
        seed.stop();
    }
}

/// By hand, as a stranger might: the socket is closed without a byte.
#[test]
fn garbage_is_not_answered() {
    let content = Content::new("guarded", &[("a", 100_000)], 32 * 1024, 54);
    let seed = seed(&content, KEY);
    let hello = |info_hash| {
        handshake::encode(&Handshake { reserved: Reserved::OURS, info_hash, peer_id: PeerId([7; 20]) })
    };
    let (mut mse, mut other_key) = (Vec::new(), Vec::new());
    let chance = Chance { private_key: [1; 20], pad: &[1, 2, 3], zeros: 0 };
    Initiator::new(content.info_hash(), &[Method::Rc4], &hello(content.info_hash()), chance, &mut mse);
    wire::private::Initiator::new(&OTHER_KEY, [1; 32], &mut other_key);
    let says = [
        hello(content.info_hash()).to_vec(),
        hello(InfoHash([1; 20])).to_vec(),
        mse,
        other_key,
        vec![0; 48],
        vec![0x55; 5_000],
        b"GET / HTTP/1.1\r\nHost: somewhere.in.the.room.example\r\n\r\n".to_vec(),
    ];
    for said in &says {
        let mut socket = TcpStream::connect(seed.addresses()[0]).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(said).unwrap();
        let mut answer = Vec::new();
        // Closed with our bytes unread, a socket may be reset instead of ended.
        let _ = socket.read_to_end(&mut answer);
        assert_eq!(answer, b"", "{said:?}");
    }
    wait_for_refusals(&seed, says.len() as u64);
    seed.stop();
}

/// A handshake that was recorded, said again: not one byte by whom it was said to, and by another member 48 that are no answer
/// to it, and no link.
#[test]
fn a_recorded_dialler_gets_no_further() {
    let content = Content::new("guarded", &[("a", 100_000)], 32 * 1024, 55);
    let (seeds, leech) = ([seed(&content, KEY), seed(&content, KEY)], member(KEY));
    let relay = Relay::before(&seeds[0]);
    let torrent = leech.add(&content, AddOptions { peers: vec![relay.address], ..AddOptions::default() });
    wait_for(&leech, "durable", |event| *event == Event::Durable(torrent.id()));
    let Recording { forth, back } = relay.recording();
    assert!(forth.len() > 48 + HANDSHAKE_LEN);
    leech.stop();
    let answers = seeds.each_ref().map(|seed| {
        let mut socket = TcpStream::connect(seed.addresses()[0]).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(&forth).unwrap();
        let mut answer = Vec::new();
        // Closed with our bytes unread, a socket may be reset instead of ended.
        let ended = socket.read_to_end(&mut answer);
        assert!(ended.is_ok() || ended.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
        answer
    });
    assert_eq!(answers[0], b"", "it remembers how its members began");
    // A reset may overtake what was answered before.
    let other = &answers[1];
    assert!(other.is_empty() || other.len() == 48 && other[..] != back[..48], "{} bytes", other.len());
    for (seed, refused) in seeds.iter().zip([1, 1]) {
        wait_for_refusals(seed, refused);
    }
    seeds.into_iter().for_each(|seed| drop(seed.stop()));
}

#[test]
fn a_private_client_takes_no_torrent_that_would_tell_others_of_it() {
    let content = Content::new("announced", &[("a", 100_000)], 32 * 1024, 56);
    let peer = member(KEY);
    let tracker = "http://tracker.example/passkey/announce".to_string();
    for torrent in [
        content.torrent_with(vec![vec![tracker.clone()]]),
        content.torrent_of(Vec::new(), vec!["http://tracker.example/web/".into()]),
    ] {
        let refused = peer.client.add(&torrent, AddOptions::default()).unwrap_err();
        assert!(matches!(&refused, AddError::WouldTell(host) if host == "tracker.example"), "{refused}");
    }
    let magnet = Magnet { trackers: vec![tracker], ..Magnet::new(content.info_hash()) };
    let refused = peer.client.add_magnet(&magnet, AddOptions::default()).unwrap_err();
    assert!(matches!(refused, AddError::WouldTell(_)), "{refused}");
    peer.add(&content, AddOptions::default());
    peer.stop();
}

#[test]
fn a_private_client_asks_nobody_where_a_host_is() {
    let content = Content::new("looked up", &[("a", 100_000)], 32 * 1024, 59);
    let peer = member(KEY);
    let peers = vec![PeerHint::Address(([127, 0, 0, 1], 9).into()), PeerHint::Host("peer.example".into(), 9)];
    let magnet = Magnet { peers, ..Magnet::new(content.info_hash()) };
    let refused = peer.client.add_magnet(&magnet, AddOptions::default()).unwrap_err();
    assert!(matches!(&refused, AddError::WouldLookUp(host) if host == "peer.example"), "{refused}");
    assert_eq!(peer.client.torrents().len(), 0);
    peer.stop();
}

/// A run without the key, or with another, finds what a run with it left behind, and neither serves nor touches it.
#[test]
fn a_secret_stays_among_those_who_hold_its_key_over_restarts() {
    let content = Content::new("the secret ledger", &[("a", 100_000)], 32 * 1024, 60);
    let magnets = Content::new("of a link", &[("a", 100_000)], 32 * 1024, 61);
    let first = seed(&content, KEY);
    first.client.add_magnet(&Magnet::new(magnets.info_hash()), AddOptions::default()).unwrap();
    let mut home = first.stop();
    for key in [None, Some(OTHER_KEY)] {
        let other = Peer::start_in(home, |config| config.swarm_key = key.clone());
        let is_secret = |refused: &AddError| matches!(refused, AddError::Secret(_));
        let restored = other.client.restore().unwrap();
        assert!(
            restored.len() == 2 && restored.iter().all(|one| one.as_ref().is_err_and(is_secret)),
            "{key:?}"
        );
        for known in [&content, &magnets] {
            let refused = other.client.add(&known.torrent, AddOptions::default()).unwrap_err();
            assert!(is_secret(&refused), "{key:?}: {refused}");
            let magnet = Magnet::new(known.info_hash());
            let refused = other.client.add_magnet(&magnet, AddOptions::default()).unwrap_err();
            assert!(is_secret(&refused), "{key:?}: {refused}");
        }
        assert_eq!(other.client.torrents().len(), 0, "{key:?}");
        home = other.stop();
    }
    let again = Peer::start_in(home, |config| config.swarm_key = Some(KEY));
    let restored = again.client.restore().unwrap();
    assert!(restored.iter().all(Result::is_ok), "{restored:?}");
    let known = restored.iter().flatten().find(|torrent| torrent.info_hash() == content.info_hash());
    let id = known.unwrap().id();
    wait_for(&again, "seeding", |event| *event == Event::Stage(id, StageName::Seeding));
    again.stop();
}

#[test]
fn what_is_in_the_open_is_not_drawn_into_a_private_swarm() {
    let content = Content::new("no secret", &[("a", 100_000)], 32 * 1024, 62);
    let open = Peer::start();
    open.add(&content, AddOptions::default());
    let private = Peer::start_in(open.stop(), |config| config.swarm_key = Some(KEY));
    let restored = private.client.restore().unwrap();
    assert!(matches!(restored[..], [Err(AddError::NotSecret(hash))] if hash == content.info_hash()));
    let refused = private.client.add(&content.torrent, AddOptions::default()).unwrap_err();
    assert!(matches!(refused, AddError::NotSecret(_)), "{refused}");
    let open = Peer::start_in(private.stop(), |_| {});
    assert!(matches!(open.client.restore().unwrap()[..], [Ok(_)]));
    open.stop();
}

/// Both want to be found on the local network, the private one first: only the other is named there.
#[test]
fn a_private_swarm_is_not_named_on_the_local_network() {
    let (_member, receiver) = eavesdropper();
    let (secret, public) = ("the secret ledger", "no secret");
    let [secret, public] =
        [(secret, 57), (public, 58)].map(|(name, seed)| Content::new(name, &[("a", 5)], 32 * 1024, seed));
    let member = Peer::start_with(|config| {
        config.swarm_key = Some(KEY);
        config.local_discovery = true;
    });
    member.add(&secret, AddOptions::default());
    let other = Peer::start_with(|config| config.local_discovery = true);
    other.add(&public, AddOptions::default());
    let [members, others] = [&member, &other].map(|peer| peer.addresses()[0].port());
    let (mut named, mut buffer) = (0, [0; HEARD_LEN_MAX]);
    while named < 2 {
        let (len, _) = receiver.recv_from(&mut buffer).expect("an announcement");
        let Ok(search) = Search::decode(&buffer[..len]) else { continue };
        assert!(search.port != members && !search.info_hashes.contains(&secret.info_hash()), "{search:?}");
        named += u32::from(search.port == others);
    }
    member.stop();
    other.stop();
}

#[test]
fn private_links_without_a_key_are_a_contradiction() {
    let home = tempfile::tempdir().unwrap();
    let mut config = ClientConfig::new(home.path().join("state"), home.path().join("downloads"));
    config.encryption.outgoing = Policy::Private;
    assert!(matches!(gannet::Client::start(config), Err(StartError::NoSwarmKey)));
}
