//! A DHT node that is told anything by anybody, in time with its own questions or not: it never panics, wakes no earlier than it is told to,
//! sends a stranger at most three times its bytes and garbage nothing, ends each search once, and all its tables keep their bounds.

use crate::script::Script;
use proto::dht::{AMPLIFICATION_MAX, Config, Goal, Input, Node, Output, Saved, SearchId, Wanted};
use proto::{Duration, Instant, Seed};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use wire::InfoHash;
use wire::item::{Item, SecretKey};
use wire::krpc::{Body, KrpcFault, Method, NodeInfo, Packet, Put, Query, Reply, Samples, Token, Transaction};
use wire::node_id::NodeId;

/// Longest story.
const STEPS_MAX: usize = 300;

struct World {
    node: Node,
    now: Instant,
    /// Questions of the node that may still be answered.
    asked: Vec<(SocketAddr, Packet)>,
    /// Searches under way.
    searches: BTreeMap<SearchId, ()>,
    token: Option<Token>,
    /// Who answered a question, and so is where it says.
    proven: BTreeSet<SocketAddr>,
}

/// One input.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let config = Config { v6: script.flag(), read_only: script.below(8) == 7, ..Config::default() };
    let nodes = (0..script.below(60) as u8)
        .map(|n| NodeInfo { id: NodeId([n.wrapping_mul(37); 20]), address: address(n) });
    let saved = Saved { ids: [Some(NodeId([0x55; 20])), None], nodes: nodes.collect() };
    let now = Instant::ZERO + Duration::from_secs(1000);
    let node = Node::new(config, Seed(1), [7; 16], Some(&saved), now);
    let mut world = World {
        node,
        now,
        asked: Vec::new(),
        searches: BTreeMap::new(),
        token: None,
        proven: BTreeSet::new(),
    };
    for _ in 0..STEPS_MAX {
        if script.is_over() {
            break;
        }
        step(&mut world, &mut script);
    }
    let stats = world.node.stats();
    assert!(
        stats.searches <= proto::dht::SEARCHES_MAX && stats.nodes[0] <= 1000 && stats.nodes[1] <= 1000,
        "{stats:?}"
    );
    assert_eq!(Saved::decode(&world.node.saved().encode()).ids[0], world.node.id(0));
}

fn step(world: &mut World, script: &mut Script<'_>) {
    let from = address(script.below(70) as u8);
    match script.below(10) {
        0 => {
            world.now += Duration::from_millis(u64::from(script.u32() % 600_000));
            tell(world, Input::Wake);
        }
        1 => {
            let wake = world.node.next_wake().unwrap_or(world.now);
            world.now = world.now.max(wake);
            tell(world, Input::Wake);
        }
        2 => datagram(world, from, script.bytes(255)),
        3 | 4 => {
            let method = method(world, script);
            let query = Query { id: NodeId([script.byte(); 20]), read_only: script.below(8) == 0, method };
            let packet = Packet::new(Transaction::from_u16(7), Body::Query(query));
            datagram(world, from, &encoded(&packet));
        }
        5..=7 => answer(world, script),
        8 => wish(world, script),
        _ => {
            world.now += Duration::from_millis(u64::from(script.byte()) * 10);
            tell(world, Input::Wake);
        }
    }
}

/// A question of the node is answered, as it should be or not quite.
fn answer(world: &mut World, script: &mut Script<'_>) {
    if world.asked.is_empty() {
        return;
    }
    let (to, packet) = world.asked.swap_remove(script.below(world.asked.len()));
    let id = if script.below(8) == 0 {
        NodeId([script.byte(); 20])
    } else {
        NodeId([octet(&to).wrapping_mul(37); 20])
    };
    let mut reply = Reply::new(id);
    for _ in 0..script.below(12) {
        let n = script.byte();
        reply.nodes.push(NodeInfo { id: NodeId([n.wrapping_mul(37); 20]), address: address(n) });
    }
    reply.values = (0..script.below(6)).map(|_| address(script.byte())).collect();
    reply.token = script.flag().then(|| Token::from_array(*b"tokentok"));
    if script.below(4) == 0 {
        reply.item = Some(item(script));
    }
    if script.below(4) == 0 {
        reply.samples = Some(Samples { interval: 1, num: 2, samples: vec![InfoHash([script.byte(); 20])] });
    }
    let body = if script.below(8) == 0 { Body::Error(KrpcFault::new(203, "no")) } else { Body::Reply(reply) };
    let external = script.flag().then(|| SocketAddr::from(([9, 9, 9, script.byte() % 3], 6881)));
    let answer = Packet { external, ..Packet::new(packet.transaction, body) };
    let from = if script.below(16) == 0 { address(script.byte()) } else { to };
    if from == to {
        world.proven.insert(from);
    }
    datagram(world, from, &encoded(&answer));
}

fn method(world: &World, script: &mut Script<'_>) -> Method {
    let (info_hash, target) = (InfoHash([script.byte(); 20]), NodeId([script.byte(); 20]));
    let token = world.token.unwrap_or(Token::from_array(*b"x"));
    match script.below(8) {
        0 => Method::Ping,
        1 => Method::FindNode { target, want: None },
        2 | 3 => Method::GetPeers { info_hash, want: None, noseed: script.flag(), scrape: script.flag() },
        4 => Method::AnnouncePeer {
            info_hash,
            port: u16::from(script.byte()),
            implied_port: script.flag(),
            seed: script.flag(),
            token,
        },
        5 => Method::Get { target, seq: script.flag().then_some(1), want: None },
        6 => Method::Put { token, put: Put { item: item(script), cas: script.flag().then_some(1) } },
        _ => Method::SampleInfohashes { target, want: None },
    }
}

fn wish(world: &mut World, script: &mut Script<'_>) {
    let (info_hash, search) = (InfoHash([script.below(4) as u8; 20]), SearchId(script.below(4) as u64));
    let wanted = Wanted { port: script.flag().then_some(6881), seed: script.flag(), seeking: script.flag() };
    let goal = match script.below(12) {
        0 => return tell(world, Input::Want { info_hash, wanted }),
        1 => return tell(world, Input::Forget(info_hash)),
        2 => return tell(world, Input::Met(address(script.byte()))),
        3 => return tell(world, Input::BeginAt(vec![address(script.byte()), address(script.byte())])),
        4 => return tell(world, Input::Cancel(search)),
        5 => Goal::Nodes(NodeId([script.byte(); 20])),
        6 => Goal::Item { target: NodeId([script.byte(); 20]), salt: script.bytes(8).into() },
        7 => Goal::Put(Box::new(Put { item: item(script), cas: None })),
        8 => Goal::Sample(NodeId([script.byte(); 20])),
        _ => Goal::Peers { info_hash, announce: script.flag().then_some(wanted), scrape: script.flag() },
    };
    // A name that is used again ends what bore it.
    let again = world.searches.contains_key(&search);
    world.searches.insert(search, ());
    let before = world.searches.len();
    let ended = told(world, Input::Search { search, goal });
    assert!(!again || ended.contains(&search), "{before} searches");
    for name in ended.iter().skip(usize::from(again)).filter(|name| **name == search) {
        world.searches.remove(name);
    }
}

fn item(script: &mut Script<'_>) -> Item {
    if script.flag() {
        return Item::Immutable { value: b"5:hello".as_slice().into() };
    }
    let mut item = SecretKey::from_seed([3; 32]).sign(b"", i64::from(script.byte() % 4), b"i1e");
    if script.below(4) == 0 {
        item.seq += 1;
    }
    Item::Mutable(item)
}

/// A datagram comes, from whom the node may know or not.
fn datagram(world: &mut World, from: SocketAddr, bytes: &[u8]) {
    let known = world.asked.iter().any(|(to, _)| *to == from);
    let body = Packet::decode(bytes).map(|packet| packet.body);
    // An answer to a question of ours may let go what was held for whoever gave it.
    let may_be_answered = matches!(body, Ok(Body::Query(_))) || world.proven.contains(&from);
    let mut out = Vec::new();
    world.node.handle(world.now, Input::Datagram { from, bytes }, &mut out);
    let sent = |output: &Output| match output {
        Output::Send { to, bytes } if *to == from => Some((Packet::decode(bytes), bytes.len())),
        _ => None,
    };
    for (packet, len) in out.iter().filter_map(sent) {
        let packet = packet.expect("what we send can be read");
        match packet.body {
            Body::Reply(Reply { token, .. }) => {
                assert!(may_be_answered, "only questions are answered");
                let verified = world.node.saved().nodes.iter().any(|info| info.address == from);
                assert!(
                    verified
                        || known
                        || world.proven.contains(&from)
                        || len <= AMPLIFICATION_MAX * bytes.len(),
                    "{len} bytes for {}",
                    bytes.len()
                );
                world.token = token.or(world.token);
            }
            Body::Error(_) => assert!(len <= AMPLIFICATION_MAX * bytes.len()),
            Body::Query(_) => {}
        }
    }
    perform(world, out);
}

fn tell(world: &mut World, input: Input<'_>) {
    for name in told(world, input) {
        world.searches.remove(&name);
    }
}

/// Tells, and returns the searches that ended.
fn told(world: &mut World, input: Input<'_>) -> Vec<SearchId> {
    let mut out = Vec::new();
    world.node.handle(world.now, input, &mut out);
    let ended = out.iter().filter_map(|output| match output {
        Output::Ended { search, .. } => Some(*search),
        _ => None,
    });
    let ended: Vec<SearchId> = ended.collect();
    assert!(
        ended.iter().all(|name| world.searches.contains_key(name)),
        "a search that nobody began, or that ended before"
    );
    out.retain(|output| !matches!(output, Output::Ended { .. }));
    perform(world, out);
    ended
}

fn perform(world: &mut World, out: Vec<Output>) {
    for output in out {
        match output {
            Output::Send { to, bytes } => {
                let packet = Packet::decode(&bytes).expect("what we send can be read");
                if matches!(packet.body, Body::Query(_)) && world.asked.len() < 500 {
                    world.asked.push((to, packet));
                }
            }
            Output::Ended { search, .. } => {
                assert!(
                    world.searches.remove(&search).is_some(),
                    "a search that nobody began, or that ended before"
                );
            }
            Output::Found { search, .. } => assert!(world.searches.contains_key(&search)),
            Output::Peers { .. } | Output::External(_) => {}
        }
    }
    assert!(world.node.next_wake().is_none_or(|wake| wake > world.now), "it would be woken for ever");
}

fn encoded(packet: &Packet) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(&mut bytes);
    bytes
}

/// Seventy hosts and more, some of them neighbours, some on private networks.
fn address(n: u8) -> SocketAddr {
    match n % 10 {
        8 => SocketAddr::from(([192, 168, 1, n], 6881)),
        9 => SocketAddr::from(([0x2001, 0xdb8, 0, u16::from(n), 0, 0, 0, 1], 6881)),
        _ => SocketAddr::from(([11 + n % 100, n % 3, 1, n], 6881)),
    }
}

/// The number of a host, as far as its address tells.
fn octet(address: &SocketAddr) -> u8 {
    match address {
        SocketAddr::V4(address) => address.ip().octets()[3],
        SocketAddr::V6(address) => address.ip().segments()[3] as u8,
    }
}
