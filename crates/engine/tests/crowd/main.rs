//! C4 over real sockets: crowds that knock and never come in. 30 cases, 10,020 sockets, from addresses all over 127/8.
//! Networks of strangers get eight places each; loopback addresses are neighbours and do not count as one, so that case has a
//! network namespace in which this machine is many strangers.
//!
//! A program of its own, because it looks at the memory of the whole process.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop, also in its helpers")]

#[allow(dead_code, reason = "shared with the tests that need more of it")]
#[path = "../loopback/content.rs"]
mod content;
#[allow(dead_code, reason = "shared with the tests that need more of it")]
#[path = "../loopback/swarm.rs"]
mod swarm;

use content::Content;
use gannet::{AddOptions, Event, StageName};
use proto::door::{HANDSHAKE_TIME_MAX, PENDING_MAX, PENDING_PER_BLOCK_MAX};
use socket2::{Domain, Socket, Type};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};
use swarm::{PATIENCE, Peer, is_answered, wait_for};
use wire::mse::{Chance, Initiator, KEY_LEN, Method};

const CASES: u32 = 30;
const SOCKETS_PER_CASE: u32 = 334;

/// What a process may grow by while 256 strangers are at its door: 64 KiB each, the room of one read.
const GROWTH_MAX: u64 = 256 * 64 * 1024;

/// What a stranger says before it falls silent: nothing, and ever more of each kind of handshake.
fn words(case: u32, info_hash: gannet::InfoHash) -> Vec<u8> {
    let plaintext = [&b"\x13BitTorrent protocol\0\0\0\0\0\0\0\0"[..], &info_hash.0, &[9; 19]].concat();
    let mut encrypted = Vec::new();
    let chance = Chance { private_key: [case as u8 + 1; 20], pad: &[7; 500], zeros: 0 };
    Initiator::new(info_hash, &[Method::Rc4], &[], chance, &mut encrypted);
    let (from, len) = match case % 10 {
        0 => (&plaintext, 0),
        1 => (&plaintext, 1),
        2 => (&plaintext, 19),
        3 => (&plaintext, 20),
        4 => (&plaintext, 47),
        5 => (&plaintext, 67),
        6 => (&encrypted, 1),
        7 => (&encrypted, KEY_LEN - 1),
        8 => (&encrypted, KEY_LEN),
        _ => (&encrypted, KEY_LEN + 500),
    };
    from[..len].to_vec()
}

/// A third of the cases comes from one address, a third from one network, a third from everywhere.
fn source(case: u32, number: u32) -> Ipv4Addr {
    match case / 10 {
        0 => Ipv4Addr::new(127, 1, 0, 1),
        1 => Ipv4Addr::new(127, 2, case as u8, (number % 250) as u8 + 1),
        _ => Ipv4Addr::new(127, 3 + (number % 200) as u8, case as u8, (number / 200) as u8 + 1),
    }
}

fn knock(peer: &Peer, from: Ipv4Addr, say: &[u8]) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
    socket.connect(&peer.addresses()[0].into()).unwrap();
    let mut stream = TcpStream::from(socket);
    // Whoever gives way to others may be closed already.
    let _ = stream.write_all(say);
    stream.set_nonblocking(true).unwrap();
    stream
}

/// Whether the other side has not closed it. What it said is read.
fn is_open(mut stream: &TcpStream) -> bool {
    loop {
        match stream.read(&mut [0; 4096]) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
        }
    }
}

fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[test]
fn crowds_that_never_come_in_hold_256_places_for_ten_seconds_and_keep_nobody_out() {
    let content = Content::new("besieged", &[("a", 100_000)], 32 * 1024, 41);
    let seed = Peer::start();
    content.write_to(seed.downloads());
    let seeding = seed.add(&content, AddOptions::default());
    wait_for(&seed, "seeding", |event| *event == Event::Stage(seeding.id(), StageName::Seeding));
    let (mut open, mut most, before) = (Vec::new(), 0, memory());
    for case in 0..CASES {
        let say = words(case, seeding.info_hash());
        open.extend((0..SOCKETS_PER_CASE).map(|number| knock(&seed, source(case, number), &say)));
        // Who comes after them and has something to say is answered: everybody before was let in or gave way.
        assert!(is_answered(&seed, Ipv4Addr::new(127, 0, 0, 9), seeding.info_hash()), "case {case}");
        open.retain(is_open);
        most = most.max(open.len());
        assert!(open.len() <= PENDING_MAX, "case {case}: {} places", open.len());
    }
    let grown = memory().saturating_sub(before);
    let last = Instant::now();
    for stream in &mut open {
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        while matches!(stream.read(&mut [0; 4096]), Ok(1..)) {}
    }
    let waited = last.elapsed();
    println!(
        "C4: {CASES} cases, {} sockets: {most} places at most, the last closed after {waited:.1?}, {grown} bytes more",
        CASES * SOCKETS_PER_CASE
    );
    assert!(waited < HANDSHAKE_TIME_MAX + Duration::from_secs(5), "{waited:?}");
    assert!(grown < GROWTH_MAX, "{grown} bytes");
    seed.stop();
}

/// Set for the process that is alone in a network of its own.
const ALONE: &str = "GANNET_TEST_NETWORK";

#[test]
fn eight_of_a_network_of_strangers_are_let_in_and_displace_nobody_else() {
    if std::env::var_os(ALONE).is_some() {
        return strangers_knock();
    }
    let namespace = ["--user", "--map-root-user", "--net"];
    let able = Command::new("unshare").args(namespace).arg("true").status();
    assert!(
        able.is_ok_and(|status| status.success()),
        "this test needs a network of its own: run it as root, or let users make namespaces (`sysctl user.max_user_namespaces`)"
    );
    let test = std::thread::current().name().unwrap().to_owned();
    let mut again = Command::new("unshare");
    again.args(namespace).arg(std::env::current_exe().unwrap()).args(["--exact", &test, "--nocapture"]);
    let ended = again.env(ALONE, "1").output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success(), "{said}{}", String::from_utf8_lossy(&ended.stderr));
    print!(
        "{}",
        said.lines()
            .filter(|line| line.starts_with("C4"))
            .map(|line| format!("{line}\n"))
            .collect::<String>()
    );
}

/// In a network of our own: five networks of strangers knock, forty sockets each, beside one who knocked first.
fn strangers_knock() {
    const NETWORKS: u8 = 5;
    const SOCKETS: u8 = 40;
    let ip = |words: &str| assert!(Command::new("ip").args(words.split(' ')).status().unwrap().success());
    ip("link set lo up");
    ip("route add local 198.18.0.0/16 dev lo");
    let content = Content::new("strangers", &[("a", 100_000)], 32 * 1024, 42);
    let seed = Peer::start();
    content.write_to(seed.downloads());
    let seeding = seed.add(&content, AddOptions::default());
    wait_for(&seed, "seeding", |event| *event == Event::Stage(seeding.id(), StageName::Seeding));
    let first = knock(&seed, Ipv4Addr::new(198, 18, 200, 1), b"\x13");
    let mut most = 0;
    for case in 0..10 {
        let say = words(case, seeding.info_hash());
        let knocks = |network| {
            (1..=SOCKETS).map(move |host| Ipv4Addr::new(198, 18, network, host)).collect::<Vec<_>>()
        };
        let crowds: Vec<Vec<TcpStream>> = (0..NETWORKS)
            .map(|network| knocks(network).into_iter().map(|from| knock(&seed, from, &say)).collect())
            .collect();
        for (network, crowd) in (0..NETWORKS).zip(crowds) {
            // Whoever comes from the same network and has something to say comes in.
            let another = Ipv4Addr::new(198, 18, network, 99);
            assert!(is_answered(&seed, another, seeding.info_hash()), "case {case}, {another}");
            let here = crowd.iter().filter(|stream| is_open(stream)).count();
            assert!(here <= usize::from(PENDING_PER_BLOCK_MAX), "case {case}: {here} of a network");
            most = most.max(here);
        }
        if case == 0 {
            assert!(is_open(&first), "who was here first is of another network");
        }
    }
    println!(
        "C4: {NETWORKS} networks, 10 cases of {SOCKETS} sockets each: {most} places of a network at most"
    );
    assert_eq!(
        most,
        usize::from(PENDING_PER_BLOCK_MAX) - 1,
        "the last place was made for the one who was answered"
    );
    seed.stop();
}
