//! Whatever is written is read back the same: random values of every format, over streams cut at random places.

use std::net::{IpAddr, SocketAddr};
use wire::announce::{AnnounceEvent, AnnounceRequest};
use wire::bencode::{self, Bencode};
use wire::bloom::Filter;
use wire::compact::Family;
use wire::extension::ExtensionHandshake;
use wire::frame::{self, Frame, Limits};
use wire::item::{Item, MutableItem, PublicKey, Signature};
use wire::krpc::{
    Body, DATAGRAM_LEN_MAX, KrpcFault, Method, NodeInfo, Packet, Put, Query, Reply as KrpcReply, Samples,
    Token, Transaction, Want,
};
use wire::message::{BlockRequest, Handshake, Message, Reserved};
use wire::tracker_http::query::{AnnounceQuery, announce_url};
use wire::tracker_http::{Announced, PeerFormat, Reply as HttpReply, Retry};
use wire::tracker_udp::{Reply, Request, ScrapeCounts};
use wire::{InfoHash, NodeId, PeerId, handshake};

/// Random values of each format.
const ROUNDS: u64 = 2_000;

/// SplitMix64: chance for tests, from a seed that a failure prints.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Often small, often an extreme.
    fn u32(&mut self) -> u32 {
        match self.below(4) {
            0 => self.below(10) as u32,
            1 => u32::MAX - self.below(3) as u32,
            _ => self.next() as u32,
        }
    }

    fn bytes(&mut self, len_max: u64) -> Vec<u8> {
        (0..self.below(len_max + 1)).map(|_| self.next() as u8).collect()
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.next() as u8)
    }

    fn text(&mut self, len_max: u64) -> Box<str> {
        let char = |chance: &mut Chance| ['a', ' ', '&', '=', '%', '+', '/', 'µ'][chance.below(8) as usize];
        (0..self.below(len_max)).map(|_| char(self)).collect::<String>().into()
    }

    fn maybe<T>(&mut self, value: impl FnOnce(&mut Chance) -> T) -> Option<T> {
        (self.below(2) == 0).then(|| value(self))
    }

    fn address(&mut self, family: Family) -> SocketAddr {
        let ip: IpAddr = match family {
            Family::V4 => self.array::<4>().into(),
            Family::V6 => self.array::<16>().into(),
        };
        SocketAddr::new(ip, 1 + self.below(65_535) as u16)
    }

    fn addresses(&mut self, family: Family) -> Vec<SocketAddr> {
        (0..self.below(60)).map(|_| self.address(family)).collect()
    }

    fn request(&mut self) -> BlockRequest {
        BlockRequest { piece: self.u32(), offset: self.u32(), len: self.u32() }
    }

    fn announce(&mut self) -> AnnounceRequest {
        let events = [AnnounceEvent::None, AnnounceEvent::Started, AnnounceEvent::Completed];
        AnnounceRequest {
            info_hash: InfoHash(self.array()),
            peer_id: PeerId(self.array()),
            port: 1 + self.below(65_535) as u16,
            uploaded: self.next(),
            downloaded: self.next(),
            left: self.next(),
            event: events[self.below(3) as usize],
            want: self.maybe(|chance| chance.next() as u32 >> 1),
            key: Some(self.u32()),
        }
    }
}

/// Runs the check with many seeds and names the one that fails.
fn with_seeds(check: impl Fn(&mut Chance) + std::panic::RefUnwindSafe) {
    for seed in 0..ROUNDS {
        if std::panic::catch_unwind(|| check(&mut Chance(seed))).is_err() {
            panic!("seed {seed} fails, see above");
        }
    }
}

/// A message as a link carries it: with a body apart if it is a block.
#[derive(Debug, PartialEq)]
enum Heard {
    Message(Message),
    Block(BlockRequest, Vec<u8>),
}

fn any_message(chance: &mut Chance, pieces: u32) -> Message {
    match chance.below(17) {
        0 => Message::KeepAlive,
        1 => Message::Choke,
        2 => Message::Unchoke,
        3 => Message::Interested,
        4 => Message::NotInterested,
        5 => Message::Have(chance.u32()),
        6 => Message::Bitfield((0..pieces.div_ceil(8)).map(|_| chance.next() as u8).collect()),
        7 => Message::Request(chance.request()),
        8 => Message::Cancel(chance.request()),
        9 => Message::Port(chance.next() as u16),
        10 => Message::Suggest(chance.u32()),
        11 => Message::HaveAll,
        12 => Message::HaveNone,
        13 => Message::Reject(chance.request()),
        14 => Message::AllowedFast(chance.u32()),
        15 => Message::Extended { id: chance.next() as u8, body: chance.bytes(300).into() },
        _ => Message::Unknown(30 + chance.below(200) as u8),
    }
}

fn conversation(chance: &mut Chance, pieces: u32) -> (Vec<Heard>, Vec<u8>) {
    let (mut said, mut stream) = (Vec::new(), Vec::new());
    for _ in 0..1 + chance.below(20) {
        if chance.below(4) == 0 {
            let body = [vec![1], chance.bytes(200)].concat();
            let request = BlockRequest { len: body.len() as u32, ..chance.request() };
            stream.extend(frame::block_head(request));
            stream.extend(&body);
            said.push(Heard::Block(request, body));
        } else {
            let message = any_message(chance, pieces);
            let before = stream.len();
            frame::encode(&message, &mut stream);
            assert_eq!(stream.len() - before, frame::encoded_len(&message), "{message:?}");
            said.push(Heard::Message(message));
        }
    }
    (said, stream)
}

/// Reads the stream as a driver does that is given it in pieces; what it was told of partial blocks must add up.
fn listen(stream: &[u8], limits: &Limits, chance: &mut Chance) -> Vec<Heard> {
    let (mut heard, mut unread, mut wanted, mut progress) = (Vec::new(), Vec::new(), 0, 0);
    let mut rest = stream;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(1 + chance.below(rest.len().min(64) as u64) as usize);
        rest = later;
        unread.extend_from_slice(now);
        if unread.len() < wanted {
            continue;
        }
        loop {
            let consumed = match frame::next(&unread, limits).expect("what we write is within the limits") {
                Frame::Message { message, consumed } => {
                    heard.push(Heard::Message(message));
                    consumed
                }
                Frame::Block { request, data } => {
                    assert!(progress < data.len());
                    progress = 0;
                    heard.push(Heard::Block(request, unread[data.clone()].to_vec()));
                    data.end
                }
                Frame::Need { at_least, block } => {
                    assert!(at_least > unread.len());
                    // A driver that reports progress looks again at once; the others wait for what was asked for.
                    wanted = if chance.below(2) == 0 { at_least } else { 0 };
                    if let Some(block) = block {
                        assert!(block.present as usize >= progress);
                        progress = block.present as usize;
                    }
                    break;
                }
            };
            unread.drain(..consumed);
        }
    }
    assert!(unread.is_empty());
    heard
}

#[test]
fn a_conversation_is_heard_as_it_was_said_however_it_is_cut() {
    with_seeds(|chance| {
        let pieces = 1 + chance.below(2_000) as u32;
        let (said, stream) = conversation(chance, pieces);
        let known = chance.maybe(|_| pieces);
        assert_eq!(listen(&stream, &Limits::new(known), chance), said);
    });
}

#[test]
fn handshakes_survive() {
    with_seeds(|chance| {
        let reserved = Reserved(chance.array());
        let sent =
            Handshake { reserved, info_hash: InfoHash(chance.array()), peer_id: PeerId(chance.array()) };
        assert_eq!(handshake::decode(&handshake::encode(&sent)), Ok(Some(sent)));
    });
}

#[test]
fn extension_handshakes_survive() {
    with_seeds(|chance| {
        let mut extensions: Vec<(Box<str>, u8)> =
            (0..chance.below(8)).map(|_| (chance.text(10), chance.next() as u8)).collect();
        extensions.sort();
        extensions.dedup_by(|(a, _), (b, _)| a == b);
        let sent = ExtensionHandshake {
            extensions,
            client: chance.maybe(|chance| chance.text(60)),
            port: chance.maybe(|chance| 1 + chance.below(65_535) as u16),
            reqq: chance.maybe(Chance::u32),
            your_ip: chance.maybe(|chance| chance.address(Family::V4).ip()),
            ipv4: chance.maybe(|chance| chance.array::<4>().into()),
            ipv6: chance.maybe(|chance| chance.array::<16>().into()),
            metadata_size: chance.maybe(Chance::u32),
            upload_only: chance.maybe(|chance| chance.below(2) == 0),
            complete_ago: chance.maybe(Chance::u32),
        };
        assert_eq!(ExtensionHandshake::decode(&sent.encode()), Ok(sent));
    });
}

#[test]
fn announces_survive_both_kinds_of_tracker() {
    with_seeds(|chance| {
        let announce = chance.announce();
        let tracker_id = chance.maybe(|chance| chance.text(30));
        let url = announce_url("http://t/a?pass=1", &announce, tracker_id.as_deref()).unwrap();
        let read = AnnounceQuery::decode(url.split_once('?').unwrap().1);
        assert_eq!(read, Ok(AnnounceQuery { announce: announce.clone(), compact: true, tracker_id }));

        let (connection, transaction, url_data) = (chance.next(), chance.u32(), chance.text(500));
        let sent = Request::Announce { connection, transaction, announce, url_data };
        let mut datagram = Vec::new();
        sent.encode(&mut datagram);
        assert_eq!(Request::decode(&datagram), Ok(sent));
    });
}

#[test]
fn answers_of_http_trackers_survive_in_both_formats() {
    with_seeds(|chance| {
        let refusal = |chance: &mut Chance| HttpReply::Refused {
            reason: chance.text(50),
            retry: chance.maybe(|chance| match chance.below(3) {
                0 => Retry::Never,
                _ => Retry::Minutes(chance.u32()),
            }),
        };
        let peers = |chance: &mut Chance| {
            HttpReply::Peers(Box::new(Announced {
                interval: chance.u32(),
                min_interval: chance.maybe(Chance::u32),
                peers: [chance.addresses(Family::V4), chance.addresses(Family::V6)].concat(),
                complete: chance.maybe(Chance::u32),
                incomplete: chance.maybe(Chance::u32),
                tracker_id: chance.maybe(|chance| chance.text(30)),
                external_ip: chance.maybe(|chance| chance.address(Family::V6).ip()),
                warning: chance.maybe(|chance| chance.text(30)),
            }))
        };
        let sent = if chance.below(4) == 0 { refusal(chance) } else { peers(chance) };
        for format in [PeerFormat::Compact, PeerFormat::Dictionaries] {
            assert_eq!(HttpReply::decode(&sent.encode(format)), Ok(sent.clone()));
        }
    });
}

#[test]
fn answers_of_udp_trackers_survive() {
    with_seeds(|chance| {
        let family = if chance.below(2) == 0 { Family::V4 } else { Family::V6 };
        let count = |chance: &mut Chance| chance.u32() >> 1;
        let transaction = chance.u32();
        let sent = match chance.below(4) {
            0 => Reply::Connect { transaction, connection: chance.next() },
            1 => Reply::Announce {
                transaction,
                interval: count(chance),
                leechers: count(chance),
                seeders: count(chance),
                peers: chance.addresses(family),
            },
            2 => {
                let row = |chance: &mut Chance| ScrapeCounts {
                    seeders: count(chance),
                    completed: count(chance),
                    leechers: count(chance),
                };
                Reply::Scrape { transaction, counts: (0..chance.below(74)).map(|_| row(chance)).collect() }
            }
            _ => Reply::Error { transaction, reason: chance.text(100) },
        };
        let mut datagram = Vec::new();
        sent.encode(&mut datagram);
        assert_eq!(Reply::decode(&datagram, family), Ok(sent));
    });
}

impl Chance {
    fn id(&mut self) -> NodeId {
        NodeId(self.array())
    }

    fn token(&mut self) -> Token {
        Token::from(&self.bytes(40)).expect("at most 40 bytes")
    }

    fn want(&mut self) -> Option<Want> {
        let both = self.below(4);
        (both > 0).then_some(Want { v4: both & 1 != 0, v6: both & 2 != 0 })
    }

    fn nodes(&mut self, family: Family) -> Vec<NodeInfo> {
        (0..self.below(9)).map(|_| NodeInfo { id: self.id(), address: self.address(family) }).collect()
    }

    fn filter(&mut self) -> Filter {
        let mut filter = Filter::default();
        (0..self.below(50)).for_each(|_| filter.insert(self.address(Family::V4).ip()));
        filter
    }

    /// Signatures are not looked at by a decoder, so any bytes will do.
    fn item(&mut self, salted: bool) -> Item {
        let value = match self.below(3) {
            0 => bencode::int(self.next() as i64),
            1 => bencode::bytes(self.bytes(300)),
            _ => bencode::list([bencode::dict([(self.text(9).as_bytes(), bencode::int(1))])]),
        };
        let value = value.into_bytes().into();
        if self.below(2) == 0 {
            return Item::Immutable { value };
        }
        Item::Mutable(MutableItem {
            key: PublicKey(self.array()),
            salt: if salted { self.bytes(64).into() } else { Box::default() },
            seq: (self.next() >> 1) as i64,
            value,
            signature: Signature(core::array::from_fn(|_| self.next() as u8)),
        })
    }

    fn method(&mut self) -> Method {
        let (target, info_hash) = (self.id(), InfoHash(self.array()));
        match self.below(8) {
            0 => Method::Ping,
            1 => Method::FindNode { target, want: self.want() },
            2 => {
                let (noseed, scrape) = (self.below(2) == 0, self.below(2) == 0);
                Method::GetPeers { info_hash, want: self.want(), noseed, scrape }
            }
            3 => {
                let (implied_port, seed) = (self.below(2) == 0, self.below(2) == 0);
                let port = self.address(Family::V4).port();
                Method::AnnouncePeer { info_hash, port, implied_port, seed, token: self.token() }
            }
            4 => Method::Get { target, seq: self.maybe(|chance| chance.next() as i64), want: self.want() },
            5 => {
                let put = Put { item: self.item(true), cas: self.maybe(|chance| chance.next() as i64) };
                Method::Put { token: self.token(), put }
            }
            6 => Method::SampleInfohashes { target, want: self.want() },
            _ => Method::Unknown { name: self.text(16), target: self.maybe(Chance::id) },
        }
    }

    fn said(&mut self) -> KrpcReply {
        let families: &[Family] = &[Family::V4, Family::V6][..self.below(3) as usize];
        let item = self.maybe(|chance| chance.item(false));
        KrpcReply {
            id: self.id(),
            nodes: self.nodes(Family::V4),
            nodes6: self.nodes(Family::V6),
            values: families.iter().flat_map(|&family| self.addresses(family).into_iter().take(20)).collect(),
            token: self.maybe(Chance::token),
            port: self.maybe(|chance| chance.next() as u16),
            scrape: self.maybe(|chance| Box::new((chance.filter(), chance.filter()))),
            seq: if item.is_some() { None } else { self.maybe(|chance| chance.next() as i64) },
            item,
            samples: self.maybe(|chance| Samples {
                interval: chance.below(21_601) as u32,
                num: chance.u32(),
                samples: (0..chance.below(20)).map(|_| InfoHash(chance.array())).collect(),
            }),
        }
    }
}

#[test]
fn datagrams_of_the_dht_survive_and_are_canonical() {
    with_seeds(|chance| {
        let transaction = [chance.bytes(19), vec![chance.next() as u8]].concat();
        let family = if chance.below(2) == 0 { Family::V4 } else { Family::V6 };
        let sent = Packet {
            transaction: Transaction::from(&transaction).expect("1 to 20 bytes"),
            version: chance.maybe(Chance::array),
            external: chance.maybe(|chance| chance.address(family)),
            body: match chance.below(5) {
                0 => Body::Error(KrpcFault { code: chance.next() as i64, message: chance.text(100) }),
                1 | 2 => Body::Reply(chance.said()),
                _ => {
                    let (id, read_only) = (chance.id(), chance.below(2) == 0);
                    Body::Query(Query { id, read_only, method: chance.method() })
                }
            },
        };
        let mut datagram = b"kept".to_vec();
        sent.encode(&mut datagram);
        let datagram = datagram.strip_prefix(b"kept").expect("appended");
        let parsed = Bencode::parse(datagram, &bencode::Limits::TORRENT).expect("bencode");
        assert!(parsed.oddities().is_empty(), "{:?}: {}", parsed.oddities(), datagram.escape_ascii());
        if datagram.len() <= DATAGRAM_LEN_MAX {
            assert_eq!(Packet::decode(datagram).as_ref(), Ok(&sent));
        }
    });
}
