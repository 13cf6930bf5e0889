//! Threat row A5, its part that needs an engine: torrents of every piece length are added, checked, downloaded and seeded, and
//! what that takes does not grow with the piece length. Lengths that are refused are held against the parser, in `wire`.
//!
//! A program of its own, because it measures the memory of its process. Threats: A5

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop, also in its helpers")]

use gannet::hashing::HashFile;
use gannet::{AddOptions, Client, ClientConfig, Event, Events, StageName, TorrentHandle};
use proto::{Rng, Seed};
use sha1::{Digest, Sha1};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use wire::bencode::{bytes, dict, int};
use wire::layout::PIECE_LEN_MAX;
use wire::metainfo::MetaVersion;

/// Lengths times generations that exist (v2 alone is refused) times activities.
const CASES: usize = 60 * 2 * 4;

/// How long anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes by which the process may grow while two threads check pieces of up to 512 MiB through buffers of 1 MiB.
const GROWTH_MAX: u64 = 24 << 20;

/// Piece lengths from a byte to 512 MiB: each power of two, and what lies beside it or nowhere near one.
fn lengths() -> Vec<u32> {
    let powers = (0..=29).map(|power| 1_u32 << power);
    let above = [3, 4, 6, 8, 10, 11, 13, 14, 15, 16, 18, 20, 22, 24, 26, 28].map(|power| (1 << power) + 1);
    let below = [9, 12, 14, 17, 19, 21, 23, 29].map(|power| (1 << power) - 1);
    let odd = [1_000, 10_007, 3 * 16_384, 50_000, 1_000_000, 400_000_001];
    let all: BTreeSet<u32> = powers.chain(above).chain(below).chain(odd).collect();
    all.into_iter().collect()
}

/// As many bytes as make several pieces if they are short, and one short piece if they are long.
fn content(piece_len: u32) -> Vec<u8> {
    let len = match piece_len {
        ..=100_000 => piece_len as usize * 5 / 2 + 3,
        100_001..=1_100_000 => piece_len as usize + 1,
        _ => 70_000,
    };
    let mut rng = Rng::new(Seed(u64::from(piece_len)));
    (0..len).map(|_| rng.next_u32() as u8).collect()
}

/// The torrent of one file named `n`.
fn torrent(len: u64, piece_len: u32, hashes: &[[u8; 20]], version: MetaVersion) -> Vec<u8> {
    let mut info = vec![
        ("name", bytes("n")),
        ("length", int(len as i64)),
        ("piece length", int(i64::from(piece_len))),
        ("pieces", bytes(hashes.as_flattened())),
    ];
    match version {
        MetaVersion::V1 => {}
        MetaVersion::Hybrid => {
            info.extend([("meta version", int(2)), ("file tree", dict::<&str>([]))]);
        }
    }
    dict([("info", dict(info))]).into_bytes()
}

/// A client without limits, in a directory of its own.
struct Peer {
    client: Client,
    events: Events,
    home: tempfile::TempDir,
}

impl Peer {
    fn start(set: impl FnOnce(&mut ClientConfig)) -> Peer {
        let home = tempfile::tempdir().unwrap();
        let mut config = ClientConfig::new(home.path().join("state"), home.path().join("downloads"));
        config.listen.ports = 0..=0;
        config.listen.ipv4 = Some(Ipv4Addr::LOCALHOST);
        config.listen.ipv6 = None;
        // Whoever is found is named: others of these tests are on the same network.
        config.local_discovery = false;
        config.dht = None;
        config.limits.dials = 1_000;
        set(&mut config);
        let client = Client::start(config).unwrap();
        Peer { events: client.events(), client, home }
    }

    /// Each torrent has a directory of its own, for all their files have one name.
    fn dir(&self, number: usize) -> PathBuf {
        self.home.path().join(number.to_string())
    }

    fn add(&self, number: usize, torrent: &[u8], peers: &[std::net::SocketAddr]) -> TorrentHandle {
        let output_dir = Some(self.dir(number));
        self.client
            .add(torrent, AddOptions { output_dir, peers: peers.into(), ..AddOptions::default() })
            .unwrap()
    }

    /// Waits until as many events of this kind came.
    fn wait_for(&self, count: usize, wanted: impl Fn(&Event) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = 0;
        while seen < count {
            let left = deadline.saturating_duration_since(Instant::now());
            let event = self.events.recv_timeout(left);
            let event = event.unwrap_or_else(|error| panic!("{error} after {seen} of {count} events"));
            assert!(!matches!(event, Event::PieceFailed(..) | Event::StorageFailed(..)), "{event:?}");
            seen += usize::from(wanted(&event));
        }
    }

    /// Waits until so many torrents seed, all of which must have been checked before.
    fn wait_for_seeding(&self, count: usize) {
        let checked = Cell::new(0);
        self.wait_for(count, |event| {
            checked.set(checked.get() + usize::from(matches!(event, Event::Stage(_, StageName::Checking))));
            matches!(event, Event::Stage(_, StageName::Seeding))
        });
        assert_eq!(checked.get(), count);
    }
}

#[test]
fn torrents_of_every_piece_length_are_added_checked_downloaded_and_seeded() {
    // First, while the process is small.
    long_pieces_are_checked_in_little_memory();
    let mut cases = 0;
    let (seed, leech) = (Peer::start(|_| {}), Peer::start(|_| {}));
    let mut torrents = Vec::new();
    for piece_len in lengths() {
        let content = content(piece_len);
        let hashes: Vec<[u8; 20]> =
            content.chunks(piece_len as usize).map(|piece| Sha1::digest(piece).into()).collect();
        for version in [MetaVersion::V1, MetaVersion::Hybrid] {
            let torrent = torrent(content.len() as u64, piece_len, &hashes, version);
            let number = torrents.len();
            fs::create_dir(seed.dir(number)).unwrap();
            fs::write(seed.dir(number).join("n"), &content).unwrap();
            let seeding = seed.add(number, &torrent, &[]);
            assert_eq!(seeding.metainfo().unwrap().version, version, "{piece_len}");
            assert_eq!(seeding.metainfo().unwrap().layout.piece_len_max(), piece_len);
            cases += 1;
            torrents.push((torrent, content.clone(), seeding));
        }
    }
    seed.wait_for_seeding(torrents.len());
    let peers = seed.client.local_addrs();
    let leeching: Vec<_> =
        torrents.iter().enumerate().map(|(n, (torrent, ..))| leech.add(n, torrent, peers)).collect();
    leech.wait_for(torrents.len(), |event| matches!(event, Event::Durable(_)));
    for (number, (_, content, seeding)) in torrents.iter().enumerate() {
        let piece_len = seeding.metainfo().unwrap().layout.piece_len_max();
        let (served, fetched) = (seeding.stats().wait().unwrap(), leeching[number].stats().wait().unwrap());
        assert_eq!(served.pieces_have, served.pieces, "{piece_len}");
        assert!(fs::read(leech.dir(number).join("n")).unwrap() == *content, "{piece_len}: wrong content");
        assert_eq!(fetched.pieces_durable, fetched.pieces, "{piece_len}");
        assert!(served.uploaded >= content.len() as u64, "{piece_len}: {} sent", served.uploaded);
        cases += 3;
    }
    println!("A5, adding, checking, downloading, seeding: {cases} cases");
    assert_eq!(cases, CASES);
}

/// Sparse files of little but zeros, so that only hashing takes time.
fn long_pieces_are_checked_in_little_memory() {
    let peer = Peer::start(|_| {});
    let before = memory("VmRSS:");
    let lengths = [32 << 20, (200 << 20) + 1, PIECE_LEN_MAX];
    for (number, piece_len) in lengths.into_iter().enumerate() {
        let (dir, len) = (peer.dir(number), u64::from(piece_len) + 5);
        fs::create_dir(&dir).unwrap();
        let path = dir.join("n");
        let file = fs::File::create(&path).unwrap();
        // A piece that was never written to is not looked at: let each have a byte.
        file.write_all_at(b"x", 0).unwrap();
        file.write_all_at(b"x", len - 1).unwrap();
        let hashes = gannet::hashing::hash_files(&[HashFile { path, len }], piece_len, &|_| {}).unwrap();
        let seeding = peer.add(number, &torrent(len, piece_len, &hashes, MetaVersion::V1), &[]);
        peer.wait_for_seeding(1);
        assert_eq!(seeding.stats().wait().unwrap().pieces_have, 2, "{piece_len}");
    }
    let growth = memory("VmHWM:").saturating_sub(before);
    println!("A5, hashing and checking pieces of {lengths:?} bytes: {} KiB more memory", growth >> 10);
    assert!(growth < GROWTH_MAX, "{growth} bytes");
}

/// A figure of this process, in bytes.
fn memory(name: &str) -> u64 {
    let status = fs::read_to_string(Path::new("/proc/self/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}
