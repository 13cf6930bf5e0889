//! Datagrams of the DHT: garbage is never answered, what is read is bounded and dialable, and it survives being written and
//! read; what is written is canonical.

use wire::bencode::{Bencode, BencodeFault, Limits};
use wire::item::{Item, MutableItem, check_value, info_hash_of, info_hash_value};
use wire::krpc::{
    Body, DATAGRAM_LEN_MAX, FAULT_TEXT_LEN_MAX, KrpcError, METHOD_NAME_LEN_MAX, Method, NODES_MAX, Packet,
    Put, Query, Reply, SAMPLE_INTERVAL_MAX, SAMPLES_MAX, VALUES_MAX,
};

/// More than any packet takes that was read from a datagram: lists are packed looser than some send them, and what is no UTF-8
/// may take three bytes for one.
const WRITTEN_LEN_MAX: usize = DATAGRAM_LEN_MAX + 1024;

/// One input.
pub fn run(data: &[u8]) {
    value(data);
    let packet = match Packet::decode(data) {
        Ok(packet) => packet,
        Err(error) => return refused(data, &error),
    };
    match &packet.body {
        Body::Query(query) => asked(query),
        Body::Reply(reply) => answered(reply),
        Body::Error(fault) => assert!(fault.message.len() <= FAULT_TEXT_LEN_MAX),
    }
    let mut written = Vec::new();
    packet.encode(&mut written);
    assert!(written.len() <= WRITTEN_LEN_MAX, "{} bytes of {}", written.len(), data.len());
    let parsed = Bencode::parse(&written, &Limits::TORRENT).expect("our own writing is bencode");
    assert!(parsed.oddities().is_empty(), "{:?}: {}", parsed.oddities(), written.escape_ascii());
    match Packet::decode(&written) {
        Ok(again) => assert_eq!(again, packet),
        Err(KrpcError::TooLong(_)) => assert!(written.len() > DATAGRAM_LEN_MAX),
        // Addresses that came packed into one string are values of their own when we write them.
        Err(KrpcError::Bencode(error)) => assert_eq!(error.fault, BencodeFault::TooManyTokens),
        Err(error) => panic!("our own writing is not read: {error}: {}", written.escape_ascii()),
    }
}

/// Only what names itself, a transaction and a method is answered, briefly, and with what can be read.
fn refused(data: &[u8], error: &KrpcError) {
    assert!(!error.to_string().is_empty());
    let Some((transaction, fault)) = error.answer() else { return };
    assert!(matches!(error, KrpcError::Query { .. }));
    let mut answer = Vec::new();
    Packet::new(transaction, Body::Error(fault)).encode(&mut answer);
    assert!(Packet::decode(&answer).is_ok() && answer.len() <= 2 * data.len(), "{}", answer.escape_ascii());
}

fn asked(query: &Query) {
    assert_eq!(
        query.method.name().is_empty(),
        matches!(&query.method, Method::Unknown { name, .. } if name.is_empty())
    );
    match &query.method {
        Method::AnnouncePeer { port, implied_port, .. } => assert!(*port != 0 || *implied_port),
        Method::Put { put: Put { item, .. }, .. } => stored(item),
        Method::Unknown { name, .. } => assert!(name.len() <= METHOD_NAME_LEN_MAX),
        Method::Ping
        | Method::FindNode { .. }
        | Method::GetPeers { .. }
        | Method::Get { .. }
        | Method::SampleInfohashes { .. } => {}
    }
}

fn answered(reply: &Reply) {
    let nodes = [(&reply.nodes, true), (&reply.nodes6, false)];
    for (nodes, v4) in nodes {
        assert!(nodes.len() <= NODES_MAX);
        assert!(nodes.iter().all(|node| node.address.is_ipv4() == v4 && node.address.port() != 0));
    }
    assert!(reply.values.len() <= VALUES_MAX && reply.values.iter().all(|address| address.port() != 0));
    if let Some(samples) = &reply.samples {
        assert!(samples.samples.len() <= SAMPLES_MAX && samples.interval <= SAMPLE_INTERVAL_MAX);
    }
    if let Some(scrape) = &reply.scrape {
        assert!(scrape.0.estimate().is_finite() && scrape.1.estimate().is_finite());
    }
    if let Some(item) = &reply.item {
        assert!(reply.seq.is_none());
        assert!(!matches!(item, Item::Mutable(MutableItem { salt, .. }) if !salt.is_empty()));
        stored(item);
    }
}

fn stored(item: &Item) {
    assert_eq!(item.check(), Ok(()));
    if let Item::Mutable(item) = item {
        // Whatever it says, but without a panic: bytes that fuzzing invents are no points of the curve.
        let _ = item.is_genuine();
    }
}

/// A value that nodes would store, and the torrent that it may name.
fn value(data: &[u8]) {
    let named = info_hash_of(data);
    if check_value(data).is_ok() {
        assert!(data.len() <= wire::item::VALUE_LEN_MAX);
    }
    if let Some(info_hash) = named {
        assert_eq!(info_hash_of(&info_hash_value(info_hash)), named);
    }
}
