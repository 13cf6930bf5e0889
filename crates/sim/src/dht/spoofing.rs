//! What nodes send to addresses that somebody forges: every kind of question, over and over, for a long time, from addresses at which nobody is (threats
//! D3, D10).

use super::{DhtWorld, Happening, tables};
use core::net::SocketAddr;
use proto::dht::Goal;
use proto::{Duration, Rng, Seed};
use wire::InfoHash;
use wire::item::{Item, SecretKey};
use wire::krpc::{Body, Method, Packet, Put, Query, Token, Transaction, Want};
use wire::node_id::NodeId;

/// Addresses that are forged.
const VICTIMS: usize = 200;

/// Forged questions a second, to a few nodes.
const PER_SECOND: u32 = 20;

/// What came of it.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Spoofed {
    /// Forged questions.
    pub questions: u64,
    /// Bytes that went to the worst address for each byte that came in its name.
    pub worst: f64,
    /// To all of them.
    pub all: f64,
    /// Bytes that answered garbage.
    pub for_garbage: u64,
}

/// Forges questions for so long, in a world whose nodes keep peers and items.
pub fn run(world: &mut DhtWorld, span: Duration) -> Spoofed {
    let mut rng = Rng::new(Seed(world.settings.seed ^ 0x5b00_f000));
    let hash = InfoHash(tables::random_id(&mut rng).0);
    let mut value = b"900:".to_vec();
    value.resize(904, b'x');
    let items = [
        Item::Mutable(SecretKey::from_seed([3; 32]).sign(b"", 1, &value)),
        Item::Immutable { value: value.into() },
    ];
    let mut searches: Vec<_> = (0..50).map(|node| world.announce(node, hash)).collect();
    for item in &items {
        searches.push(world.search(0, Goal::Put(Box::new(Put { item: item.clone(), cas: None }))));
    }
    world.wait_for(&searches);
    let methods = methods(hash, &items);
    // The nodes that keep what is asked for.
    let mut asked: Vec<u32> = (0..world.nodes()).collect();
    asked.sort_unstable_by_key(|node| world.members[*node as usize].id.distance(&NodeId::from(hash)));
    asked.truncate(8);
    let victims: Vec<SocketAddr> = (0..VICTIMS).map(|_| world.free_address()).collect();
    let garbage = world.free_address();
    world.watched = Some(victims.iter().chain([&garbage]).map(|address| (*address, (0, 0))).collect());
    let mut spoofed = Spoofed::default();
    for _ in 0..span.as_secs() {
        for _ in 0..PER_SECOND {
            let from = victims[rng.index(victims.len())];
            let method = methods[rng.index(methods.len())].clone();
            let id = if rng.below(2) == 0 { tables::random_id(&mut rng) } else { NodeId([0x77; 20]) };
            let query = Query { id, read_only: rng.below(4) == 0, method };
            let mut bytes = Vec::new();
            let transaction = [&b"a"[..], b"ab", b"abcdefgh"][rng.index(3)];
            let transaction = Transaction::from(transaction).unwrap_or(Transaction::from_u16(1));
            Packet::new(transaction, Body::Query(query)).encode(&mut bytes);
            let node = asked[rng.index(asked.len())];
            let ruined = bytes[..rng.index(bytes.len())].to_vec();
            forge(world, node, garbage, &ruined);
            forge(world, node, from, &bytes);
            spoofed.questions += 1;
        }
        world.run(Duration::from_secs(1));
    }
    let counts = world.watched.take().unwrap_or_default();
    spoofed.for_garbage = counts.get(&garbage).map_or(0, |(_, out)| *out);
    let questioned = || victims.iter().filter_map(|victim| counts.get(victim)).filter(|(came, _)| *came > 0);
    spoofed.worst = questioned().map(|(came, out)| *out as f64 / *came as f64).fold(0.0, f64::max);
    let (came, out) = questioned().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    spoofed.all = out as f64 / came.max(1) as f64;
    spoofed
}

fn forge(world: &mut DhtWorld, node: u32, from: SocketAddr, bytes: &[u8]) {
    if let Some((came, _)) = world.watched.as_mut().and_then(|watched| watched.get_mut(&from)) {
        *came += bytes.len() as u64;
    }
    world.queue.push(world.now, node, Happening::Datagram { from, bytes: bytes.into() });
}

/// Every kind of question.
fn methods(info_hash: InfoHash, items: &[Item]) -> Vec<Method> {
    let token = Token::from_array(*b"12345678");
    let target = NodeId::from(info_hash);
    let mut methods = vec![Method::Ping];
    for want in [None, Some(Want { v4: true, v6: true })] {
        methods.push(Method::FindNode { target, want });
        methods.push(Method::SampleInfohashes { target, want });
        for (noseed, scrape) in [(false, false), (true, false), (false, true)] {
            methods.push(Method::GetPeers { info_hash, want, noseed, scrape });
        }
        methods.extend(items.iter().map(|item| Method::Get { target: item.target(), seq: None, want }));
    }
    methods.push(Method::AnnouncePeer { info_hash, port: 1, implied_port: true, seed: false, token });
    methods
        .extend(items.iter().map(|item| Method::Put { token, put: Put { item: item.clone(), cas: None } }));
    methods.push(Method::Unknown { name: "nonsense".into(), target: Some(target) });
    methods
}
