//! What a datagram of the DHT costs: reading, writing, refusing garbage, and a signature's proof.
//!
//! `cargo bench -p gannet-wire --bench krpc`. Figures are processor time. Not a test: it asserts nothing and runs by hand.

use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use wire::bloom::Filter;
use wire::item::{Item, SecretKey};
use wire::krpc::{Body, Method, NodeInfo, Packet, Query, Reply, Token, Transaction};
use wire::{InfoHash, NodeId};

const ROUNDS: u32 = 200_000;
/// Elliptic curves take a thousand times as long as bytes do.
const SIGNATURES: u32 = 2_000;

fn main() {
    let packets = [
        ("get_peers, the question", query()),
        ("its answer: 8 nodes", reply(0)),
        ("its answer: 8 nodes, 50 peers", reply(50)),
        ("its answer: 8 nodes, 50 peers, scrape", scrape()),
        ("get's answer: 8 nodes, signed item", item()),
    ];
    for (what, packet) in packets {
        let mut datagram = Vec::new();
        packet.encode(&mut datagram);
        let read = each(ROUNDS, || Packet::decode(black_box(&datagram)));
        let mut out = Vec::with_capacity(datagram.len());
        let written = each(ROUNDS, || {
            out.clear();
            black_box(&packet).encode(&mut out);
            out.len()
        });
        println!("{what:<38} {:>5} bytes: read {read:>6.2} us, written {written:>6.2} us", datagram.len());
    }
    let cut = b"d1:rd2:id20:abcdefghij01234567895:nodes208:axje.u";
    for (what, garbage) in [("garbage", &[0xaa; 100][..]), ("a datagram that was cut", cut)] {
        println!(
            "{what:<38} {:>5} bytes: refused {:>6.2} us",
            garbage.len(),
            each(ROUNDS, || Packet::decode(garbage))
        );
    }
    let secret = SecretKey::from_seed([7; 32]);
    let signed = secret.sign(b"salt", 1, b"12:Hello World!");
    println!("an item signed: {:.1} us", each(SIGNATURES, || secret.sign(b"salt", 1, b"12:Hello World!")));
    println!("a signature looked at: {:.1} us", each(SIGNATURES, || black_box(&signed).is_genuine()));
    let ip = Ipv4Addr::new(8, 8, 8, 8).into();
    println!("an id held against an address: {:.3} us", each(ROUNDS, || black_box(NodeId([9; 20])).fits(ip)));
}

/// Microseconds that one round takes.
fn each<T>(rounds: u32, mut work: impl FnMut() -> T) -> f64 {
    let began = processor_time();
    (0..rounds).for_each(|_| drop(black_box(work())));
    (processor_time() - began).as_secs_f64() * 1e6 / f64::from(rounds)
}

/// What this thread has spent so far: figures do not depend on what else the machine does.
fn processor_time() -> Duration {
    let schedule = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = schedule.split(' ').next().and_then(|text| text.parse().ok());
    Duration::from_nanos(nanos.unwrap_or_default())
}

fn packet(body: Body) -> Packet {
    let mut packet = Packet::new(Transaction::from_u32(7), body);
    packet.version = Some(*b"GN01");
    packet
}

fn query() -> Packet {
    let method = Method::GetPeers { info_hash: InfoHash([3; 20]), want: None, noseed: false, scrape: false };
    packet(Body::Query(Query { id: NodeId([1; 20]), read_only: false, method }))
}

fn address(n: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, n], 6881))
}

fn answer(peers: u8) -> Reply {
    let mut reply = Reply::new(NodeId([1; 20]));
    reply.nodes = (0..8).map(|n| NodeInfo { id: NodeId([n; 20]), address: address(n) }).collect();
    reply.values = (0..peers).map(address).collect();
    reply.token = Token::from(&[5; 8]);
    reply
}

fn reply(peers: u8) -> Packet {
    packet(Body::Reply(answer(peers)))
}

fn scrape() -> Packet {
    let scrape = Some(Box::new((Filter::default(), Filter::default())));
    packet(Body::Reply(Reply { scrape, ..answer(50) }))
}

fn item() -> Packet {
    let item = SecretKey::from_seed([7; 32]).sign(b"", 1, b"d2:ih20:mnopqrstuvwxyz123456e");
    packet(Body::Reply(Reply { item: Some(Item::Mutable(item)), ..answer(0) }))
}
