//! Threat row A1: values nested to any depth cost no stack: in decoding, walking, printing, cloning and dropping.
//!
//! The table asks for 270 cases at nine entry points. They are: torrent, metadata from peers, tracker reply, scrape, extension
//! handshake, the head of a ut_metadata message, peer exchange, DHT (a datagram, and a value to store), and bencode itself.
//! Shapes are tried closed and cut off.

// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

mod common;

use common::Cases;
use core::fmt::{self, Write};
use wire::Metainfo;
use wire::bencode::{Bencode, BencodeFault, Limits, Value};
use wire::extension::{ExtensionError, ExtensionHandshake};
use wire::item::{ItemError, check_value};
use wire::krpc::{KrpcError, Packet};
use wire::metadata::{MetadataError, MetadataMessage};
use wire::metainfo::MetainfoError;
use wire::pex::{PexError, PexMessage};
use wire::tracker_http::scrape::ScrapeReply;
use wire::tracker_http::{Reply, ReplyError};

const CASES_MIN: usize = 270;

/// A quarter of what small threads get, far below what one frame per level would need.
const STACK_BYTES: usize = 256 * 1024;

const DEPTHS: [usize; 11] = [1, 2, 3, 7, 8, 9, 99, 100, 101, 10_000, 1_000_000];

const WIDE: Limits = Limits { bytes: usize::MAX, tokens: usize::MAX, depth: usize::MAX };

#[derive(Clone, Copy, Debug)]
enum Shape {
    Lists,
    Dictionaries,
    Mixed,
}

fn nest(shape: Shape, depth: usize, closed: bool) -> Vec<u8> {
    let mut out = Vec::new();
    for level in 0..depth {
        let list = match shape {
            Shape::Lists => true,
            Shape::Dictionaries => false,
            Shape::Mixed => level % 2 == 0,
        };
        out.extend_from_slice(match (list, level + 1 == depth) {
            (true, _) => b"l".as_slice(),
            (false, true) => b"d",
            (false, false) => b"d1:a",
        });
    }
    out.resize(out.len() + if closed { depth } else { 0 }, b'e');
    out
}

/// Counts what is printed and keeps nothing.
struct Sink(usize);

impl Write for Sink {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 += text.len();
        Ok(())
    }
}

fn walk(root: Value<'_, '_>) -> usize {
    let mut depth = 1;
    let mut at = root;
    loop {
        let inner = at.as_list().and_then(|mut items| items.next()).or_else(|| at.get("a"));
        let Some(inner) = inner else { return depth };
        depth += 1;
        at = inner;
    }
}

/// What an entry point made of nested bytes.
#[derive(Debug, PartialEq)]
enum Verdict {
    Taken,
    Refused(BencodeFault),
}

/// The nest as a foreign key inside a value that the entry point would take. Its own levels are counted in.
type Entry = (&'static str, fn(&[u8]) -> Verdict, usize);

fn verdict<T>(result: Result<T, Option<BencodeFault>>) -> Verdict {
    match result {
        Ok(_) => Verdict::Taken,
        Err(fault) => Verdict::Refused(fault.expect("the nest is all that is wrong")),
    }
}

fn in_torrent(nest: &[u8]) -> Verdict {
    let info = b"d6:lengthi1e4:name1:n12:piece lengthi1e6:pieces20:aaaaaaaaaaaaaaaaaaaae";
    let torrent = [b"d4:info".as_slice(), info, b"1:x", nest, b"e"].concat();
    verdict(Metainfo::parse(&torrent).map_err(|error| match error {
        MetainfoError::Bencode(error) => Some(error.fault),
        _ => None,
    }))
}

fn in_metadata(nest: &[u8]) -> Verdict {
    let info = b"d6:lengthi1e4:name1:n12:piece lengthi1e6:pieces20:aaaaaaaaaaaaaaaaaaaa";
    let info = [info.as_slice(), b"1:x", nest, b"e"].concat();
    verdict(Metainfo::from_info(&info).map_err(|error| match error {
        MetainfoError::Bencode(error) => Some(error.fault),
        _ => None,
    }))
}

fn in_tracker_reply(nest: &[u8]) -> Verdict {
    let reply = [b"d8:intervali60e5:peers0:1:x".as_slice(), nest, b"e"].concat();
    verdict(Reply::decode(&reply).map_err(|error| match error {
        ReplyError::Bencode(error) => Some(error.fault),
        ReplyError::NotAReply => None,
    }))
}

fn in_handshake(nest: &[u8]) -> Verdict {
    let handshake = [b"d1:mde1:x".as_slice(), nest, b"e"].concat();
    verdict(ExtensionHandshake::decode(&handshake).map_err(|error| match error {
        ExtensionError::Bencode(error) => Some(error.fault),
        ExtensionError::NotADictionary => None,
    }))
}

fn in_head(nest: &[u8]) -> Verdict {
    let head = [b"d8:msg_typei1e5:piecei0e1:x".as_slice(), nest, b"e"].concat();
    verdict(MetadataMessage::decode(&head).map_err(|error| match error {
        MetadataError::Bencode(error) => Some(error.fault),
        MetadataError::Incomplete => None,
    }))
}

fn in_peer_exchange(nest: &[u8]) -> Verdict {
    let message = [b"d5:added0:1:x".as_slice(), nest, b"e"].concat();
    verdict(PexMessage::decode(&message).map_err(|error| match error {
        PexError::Bencode(error) => Some(error.fault),
        PexError::NotADictionary => None,
    }))
}

fn in_scrape_reply(nest: &[u8]) -> Verdict {
    let reply = [b"d5:filesde1:x".as_slice(), nest, b"e"].concat();
    verdict(ScrapeReply::decode(&reply).map_err(|error| match error {
        ReplyError::Bencode(error) => Some(error.fault),
        ReplyError::NotAReply => None,
    }))
}

fn in_datagram(nest: &[u8]) -> Verdict {
    let datagram =
        [b"d1:ad2:id20:aaaaaaaaaaaaaaaaaaaae1:q4:ping1:t2:aa1:x".as_slice(), nest, b"1:y1:qe"].concat();
    verdict(Packet::decode(&datagram).map_err(|error| match error {
        KrpcError::Bencode(error) => Some(error.fault),
        KrpcError::TooLong(_) => Some(BencodeFault::TooLong),
        KrpcError::NotKrpc | KrpcError::Field { .. } | KrpcError::Query { .. } => None,
    }))
}

fn in_value(nest: &[u8]) -> Verdict {
    let value = [b"d1:x".as_slice(), nest, b"e"].concat();
    verdict(check_value(&value).map_err(|error| match error {
        ItemError::ValueTooComplex => Some(BencodeFault::TooDeep),
        ItemError::ValueTooLong(_) => Some(BencodeFault::TooLong),
        // Cut off.
        ItemError::ValueNotCanonical => Some(BencodeFault::Truncated),
        ItemError::SaltTooLong(_) | ItemError::SeqNegative => None,
    }))
}

const ENTRIES: [Entry; 9] = [
    ("torrent", in_torrent, Limits::TORRENT.depth),
    ("metadata", in_metadata, Limits::METADATA.depth),
    ("tracker reply", in_tracker_reply, Limits::TRACKER_REPLY.depth),
    ("scrape reply", in_scrape_reply, Limits::TRACKER_REPLY.depth),
    ("extension handshake", in_handshake, Limits::EXTENSION_HANDSHAKE.depth),
    ("ut_metadata head", in_head, Limits::EXTENSION_HEAD.depth),
    ("peer exchange", in_peer_exchange, Limits::PEER_EXCHANGE.depth),
    ("DHT datagram", in_datagram, Limits::KRPC.depth),
    ("DHT value", in_value, Limits::ITEM.depth),
];

fn everything() {
    let mut cases = Cases::of("A1");
    for depth in DEPTHS {
        for shape in [Shape::Lists, Shape::Dictionaries, Shape::Mixed] {
            for closed in [true, false] {
                let nest = nest(shape, depth, closed);
                for (name, entry, deepest) in ENTRIES {
                    let seen = entry(&nest);
                    let what = format!("{name}, {shape:?} {depth} deep, closed: {closed}");
                    match seen {
                        Verdict::Taken => assert!(depth < deepest && closed, "{what}"),
                        Verdict::Refused(BencodeFault::TooDeep | BencodeFault::TooLong) => {
                            assert!(depth >= deepest, "{what}: {seen:?}");
                        }
                        Verdict::Refused(_) => assert!(depth < deepest && !closed, "{what}: {seen:?}"),
                    }
                    cases.add();
                }
                without_a_limit(&nest, depth, closed);
                cases.add();
            }
        }
    }
    cases.finish(CASES_MIN);
}

fn without_a_limit(nest: &[u8], depth: usize, closed: bool) {
    let parsed = Bencode::parse(nest, &WIDE);
    assert_eq!(parsed.is_ok(), closed);
    let Ok(parsed) = parsed else { return };
    assert_eq!(walk(parsed.root()), depth);
    let copy = parsed.clone();
    drop(parsed);
    let mut sink = Sink(0);
    write!(sink, "{copy:?}").unwrap();
    assert!(sink.0 >= 2 * depth);
}

#[test]
fn depth_costs_no_stack() {
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(everything).unwrap();
    thread.join().unwrap();
}
