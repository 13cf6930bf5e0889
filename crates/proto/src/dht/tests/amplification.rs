//! What a node sends to addresses that it knows nothing of (threats D3, D10).

use super::Net;
use super::net::address;
use crate::dht::{AMPLIFICATION_MAX, Goal, Input, Output, Wanted};
use crate::{Duration, Instant};
use core::net::SocketAddr;
use wire::InfoHash;
use wire::item::{Item, SecretKey};
use wire::krpc::{Body, Method, Packet, Put, Query, Reply, Token, Transaction, Want};
use wire::node_id::NodeId;

const HASH: InfoHash = InfoHash([0x5a; 20]);

/// A network in which nodes know many nodes, peers and items.
fn rich() -> Net {
    let mut net = Net::of(60);
    for n in 1..=50u16 {
        let announce = Wanted { port: Some(n), seed: n % 2 == 0, seeking: false };
        net.peers(address(u32::from(n)), HASH, Some(announce));
    }
    for item in items() {
        net.search(address(1), Goal::Put(Box::new(Put { item, cas: None })));
    }
    net
}

fn items() -> [Item; 2] {
    let mut value = b"900:".to_vec();
    value.resize(904, b'x');
    let key = SecretKey::from_seed([3; 32]);
    [Item::Mutable(key.sign(b"", 1, &value)), Item::Immutable { value: value.into() }]
}

fn methods() -> Vec<Method> {
    let token = || Token::from(b"12345678").unwrap();
    let wants = [None, Some(Want { v4: true, v6: true }), Some(Want { v4: false, v6: true })];
    let mut methods = vec![Method::Ping];
    for want in wants {
        methods.push(Method::FindNode { target: NodeId([1; 20]), want });
        for (noseed, scrape) in [(false, false), (true, false), (false, true), (true, true)] {
            methods.push(Method::GetPeers { info_hash: HASH, want, noseed, scrape });
        }
        for item in items() {
            methods.push(Method::Get { target: item.target(), seq: None, want });
            methods.push(Method::Get { target: item.target(), seq: Some(0), want });
        }
        methods.push(Method::SampleInfohashes { target: NodeId([9; 20]), want });
    }
    methods.push(Method::AnnouncePeer {
        info_hash: HASH,
        port: 1,
        implied_port: true,
        seed: false,
        token: token(),
    });
    methods.extend(items().map(|item| Method::Put { token: token(), put: Put { item, cas: None } }));
    methods
}

/// Bytes that go anywhere at all, within ten seconds, because a stranger sent this.
fn bytes_out(net: &Net, node: SocketAddr, from: SocketAddr, bytes: &[u8]) -> usize {
    let mut node = net.nodes[&node].clone();
    let mut out = Vec::new();
    node.handle(net.now, Input::Datagram { from, bytes }, &mut out);
    let until = net.now + Duration::from_secs(10);
    while let Some(wake) = node.next_wake().filter(|wake| *wake <= until) {
        node.handle(wake.max(net.now), Input::Wake, &mut out);
    }
    let to_the_stranger = |output: &Output| match output {
        Output::Send { to, bytes } if to.ip() == from.ip() => Some(bytes.len()),
        _ => None,
    };
    out.iter().filter_map(to_the_stranger).sum()
}

#[test]
fn a_stranger_is_sent_at_most_three_times_what_it_sent_whatever_it_asks() {
    let net = rich();
    let (mut worst, mut cases) = (0.0f64, 0);
    for method in methods() {
        for transaction in [&b"a"[..], b"ab", b"abcd", b"abcdefghijklmnopqrst"] {
            for read_only in [false, true] {
                for n in 0..60 {
                    let query = Query { id: NodeId([0x77; 20]), read_only, method: method.clone() };
                    let packet = Packet::new(Transaction::from(transaction).unwrap(), Body::Query(query));
                    let mut bytes = Vec::new();
                    packet.encode(&mut bytes);
                    let from = "203.0.113.9:4444".parse().unwrap();
                    let out = bytes_out(&net, address(n), from, &bytes);
                    let ratio = out as f64 / bytes.len() as f64;
                    assert!(
                        out <= AMPLIFICATION_MAX * bytes.len(),
                        "{out} for {} of {method:?}",
                        bytes.len()
                    );
                    (worst, cases) = (worst.max(ratio), cases + 1);
                }
            }
        }
    }
    assert!(worst > 2.0, "the worst, {worst:.2}, is so little that something is not answered");
    println!("D3: worst bytes out per byte in to an unverified address {worst:.2} over {cases} questions");
}

#[test]
fn garbage_is_not_answered() {
    let net = rich();
    let from = "203.0.113.9:4444".parse().unwrap();
    let mut query = Vec::new();
    let ping = Query { id: NodeId([0x77; 20]), read_only: false, method: Method::Ping };
    Packet::new(Transaction::from_u16(1), Body::Query(ping)).encode(&mut query);
    let mut garbage: Vec<Vec<u8>> = (0..query.len()).map(|len| query[..len].to_vec()).collect();
    garbage.extend([
        b"".to_vec(),
        b"d".to_vec(),
        vec![0; 1400],
        b"de".to_vec(),
        b"d1:y1:qe".to_vec(),
        vec![b'l'; 1000],
    ]);
    garbage.push(b"d1:rd2:id20:aaaaaaaaaaaaaaaaaaaae1:t2:aa1:y1:re".to_vec());
    garbage.push(b"d1:eli201e1:xe1:t2:aa1:y1:ee".to_vec());
    for bytes in garbage {
        assert_eq!(bytes_out(&net, address(3), from, &bytes), 0, "{}", bytes.escape_ascii());
    }
    for from in ["203.0.113.9:0", "0.0.0.0:1", "255.255.255.255:1", "224.0.0.1:6881"] {
        assert_eq!(bytes_out(&net, address(3), from.parse().unwrap(), &query), 0, "{from}");
    }
}

#[test]
fn a_flood_from_one_host_is_answered_slowly_and_all_floods_together_keep_the_rate() {
    let mut net = rich();
    let mut query = Vec::new();
    let find = Method::FindNode { target: NodeId([1; 20]), want: None };
    let find = Query { id: NodeId([0x77; 20]), read_only: true, method: find };
    Packet::new(Transaction::from_u16(1), Body::Query(find)).encode(&mut query);
    let mut flood = |hosts: u32| {
        let node = net.nodes.get_mut(&address(3)).unwrap();
        let mut out = Vec::new();
        for n in 0..60_000u32 {
            let at: Instant = net.now + Duration::from_millis(u64::from(n));
            let from = SocketAddr::from(((0x3000_0000 + n % hosts * 0x1_0001).to_be_bytes(), 4000));
            node.handle(at, Input::Datagram { from, bytes: &query }, &mut out);
        }
        net.now += Duration::from_secs(120);
        let answers = out.iter().filter_map(|output| match output {
            Output::Send { to, bytes } if to.port() == 4000 => Some(bytes.len()),
            _ => None,
        });
        answers.fold((0, 0), |(count, all), len| (count + 1, all + len))
    };
    let (answers, _) = flood(1);
    assert!((300..=360).contains(&answers), "{answers} answers to one host in a minute");
    let (_, bytes) = flood(5000);
    assert!((400_000..=520_000).contains(&bytes), "{bytes} bytes to all in a minute");
}

/// What a stranger is sent who asks, and then answers what he is asked from this address, so long after: length and kind of each datagram.
fn sent_to_a_stranger(
    net: &Net,
    method: &Method,
    read_only: bool,
    answers: Option<(SocketAddr, Duration)>,
) -> Vec<(Packet, usize)> {
    let from: SocketAddr = "203.0.113.9:4444".parse().unwrap();
    let id = NodeId([0x77; 20]);
    let mut sent = Vec::new();
    for n in 0..60 {
        let mut node = net.nodes[&address(n)].clone();
        let query = Query { id, read_only, method: method.clone() };
        let (mut bytes, mut out) = (Vec::new(), Vec::new());
        Packet::new(Transaction::from_u16(1), Body::Query(query)).encode(&mut bytes);
        node.handle(net.now, Input::Datagram { from, bytes: &bytes }, &mut out);
        let asked =
            packets_to(&out, from).into_iter().find(|(packet, _)| matches!(packet.body, Body::Query(_)));
        if let (Some((question, _)), Some((by, after))) = (asked, answers) {
            let mut answer = Vec::new();
            Packet::new(question.transaction, Body::Reply(Reply::new(id))).encode(&mut answer);
            node.handle(net.now + after, Input::Datagram { from: by, bytes: &answer }, &mut out);
        }
        sent.extend(packets_to(&out, from));
    }
    sent
}

fn packets_to(out: &[Output], to: SocketAddr) -> Vec<(Packet, usize)> {
    let to_him = |output: &Output| match output {
        Output::Send { to: at, bytes } if *at == to => Some((Packet::decode(bytes).unwrap(), bytes.len())),
        _ => None,
    };
    out.iter().filter_map(to_him).collect()
}

#[test]
fn who_shows_that_he_is_where_he_says_gets_what_is_too_long_for_a_stranger() {
    let net = rich();
    let soon = Duration::from_millis(100);
    let (right, wrong) = ("203.0.113.9:4444".parse().unwrap(), "203.0.113.9:4445".parse().unwrap());
    let item = Method::Get { target: items()[1].target(), seq: None, want: None };
    let scrape = Method::GetPeers { info_hash: HASH, want: None, noseed: false, scrape: true };
    let peers = Method::GetPeers { info_hash: HASH, want: None, noseed: false, scrape: false };
    let has = |packet: &Packet, method: &Method| match (&packet.body, method) {
        (Body::Reply(reply), Method::Get { .. }) => reply.item.is_some(),
        (Body::Reply(reply), Method::GetPeers { scrape: true, .. }) => reply.scrape.is_some(),
        (Body::Reply(reply), Method::GetPeers { .. }) => reply.values.len() >= 20,
        _ => false,
    };
    for method in [item, scrape, peers] {
        let whole = |read_only: bool, answers| {
            let sent = sent_to_a_stranger(&net, &method, read_only, answers);
            sent.iter().filter(|(packet, _)| has(packet, &method)).count()
        };
        assert!(whole(false, Some((right, soon))) >= 6, "{method:?}");
        assert_eq!(whole(false, None), 0, "he does not answer: {method:?}");
        assert_eq!(whole(false, Some((wrong, soon))), 0, "another answers: {method:?}");
        assert_eq!(whole(false, Some((right, Duration::from_secs(4)))), 0, "too late: {method:?}");
        assert_eq!(whole(true, Some((right, soon))), 0, "one that only asks is not asked: {method:?}");
    }
}
