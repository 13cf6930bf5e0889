//! A packet to a datagram: canonical, keys in order, without a buffer in between.

use super::{Body, KrpcFault, Method, NodeInfo, Packet, Put, Query, Reply, Samples, Token, Want};
use crate::compact::{self, Family};
use crate::item::Item;
use core::fmt::{self, Write};
use core::net::SocketAddr;

pub(super) fn packet(packet: &Packet, out: &mut Vec<u8>) {
    let mut to = Writer(out);
    to.open(b'd');
    match &packet.body {
        Body::Query(query) => arguments(query, &mut to),
        Body::Error(KrpcFault { code, message }) => {
            to.key("e").open(b'l').int(*code).bytes(message.as_bytes()).close();
        }
        Body::Reply(_) => {}
    }
    if let Some(external) = &packet.external {
        to.key("ip").address(external);
    }
    match &packet.body {
        Body::Query(query) => {
            to.key("q").bytes(query.method.name().as_bytes());
            to.flag("ro", query.read_only);
        }
        Body::Reply(reply) => said(reply, &mut to),
        Body::Error(_) => {}
    }
    to.key("t").bytes(packet.transaction.as_bytes());
    if let Some(version) = &packet.version {
        to.key("v").bytes(version);
    }
    to.key("y").bytes(match &packet.body {
        Body::Query(_) => b"q",
        Body::Reply(_) => b"r",
        Body::Error(_) => b"e",
    });
    to.close();
}

fn arguments(query: &Query, to: &mut Writer<'_>) {
    to.key("a").open(b'd');
    if let Method::Put { put: Put { cas: Some(cas), .. }, .. } = &query.method {
        to.key("cas").int(*cas);
    }
    to.key("id").bytes(&query.id.0);
    match &query.method {
        Method::Ping => {}
        Method::FindNode { target, want } | Method::SampleInfohashes { target, want } => {
            to.key("target").bytes(&target.0).want(*want);
        }
        Method::GetPeers { info_hash, want, noseed, scrape } => {
            to.key("info_hash").bytes(&info_hash.0);
            to.flag("noseed", *noseed).flag("scrape", *scrape).want(*want);
        }
        Method::AnnouncePeer { info_hash, port, implied_port, seed, token } => {
            to.flag("implied_port", *implied_port).key("info_hash").bytes(&info_hash.0);
            to.key("port").int(i64::from(*port)).flag("seed", *seed);
            to.token(token);
        }
        Method::Get { target, seq, want } => {
            to.maybe_int("seq", *seq).key("target").bytes(&target.0).want(*want);
        }
        Method::Put { token, put } => {
            item_head(&put.item, to);
            to.token(token).key("v").raw(put.item.value());
        }
        Method::Unknown { target, .. } => {
            target.iter().for_each(|target| {
                to.key("target").bytes(&target.0);
            });
        }
    }
    to.close();
}

/// What of an item comes before its token and value.
fn item_head(item: &Item, to: &mut Writer<'_>) {
    if let Item::Mutable(item) = item {
        to.key("k").bytes(&item.key.0);
        if !item.salt.is_empty() {
            to.key("salt").bytes(&item.salt);
        }
        to.key("seq").int(item.seq).key("sig").bytes(&item.signature.0);
    }
}

fn said(reply: &Reply, to: &mut Writer<'_>) {
    to.key("r").open(b'd');
    if let Some((seeds, peers)) = reply.scrape.as_deref() {
        to.key("BFpe").bytes(peers.as_bytes()).key("BFsd").bytes(seeds.as_bytes());
    }
    to.key("id").bytes(&reply.id.0);
    if let Some(Samples { interval, .. }) = reply.samples {
        to.key("interval").int(i64::from(interval));
    }
    if let Some(Item::Mutable(item)) = &reply.item {
        to.key("k").bytes(&item.key.0);
    }
    to.nodes("nodes", &reply.nodes, Family::V4).nodes("nodes6", &reply.nodes6, Family::V6);
    if let Some(Samples { num, .. }) = reply.samples {
        to.key("num").int(i64::from(num));
    }
    to.maybe_int("p", reply.port.map(i64::from));
    if let Some(Samples { samples, .. }) = &reply.samples {
        to.key("samples").head(samples.len() * 20);
        samples.iter().for_each(|hash| to.0.extend_from_slice(&hash.0));
    }
    match &reply.item {
        Some(Item::Mutable(item)) => {
            to.key("seq").int(item.seq).key("sig").bytes(&item.signature.0);
        }
        Some(Item::Immutable { .. }) => {}
        None => {
            to.maybe_int("seq", reply.seq);
        }
    }
    reply.token.iter().for_each(|token| {
        to.token(token);
    });
    if let Some(item) = &reply.item {
        to.key("v").raw(item.value());
    }
    if !reply.values.is_empty() {
        to.key("values").open(b'l');
        reply.values.iter().for_each(|address| to.address(address));
        to.close();
    }
    to.close();
}

/// Appends bencode.
struct Writer<'a>(&'a mut Vec<u8>);

impl Writer<'_> {
    /// A list or a dictionary begins.
    fn open(&mut self, kind: u8) -> &mut Self {
        self.0.push(kind);
        self
    }

    fn close(&mut self) {
        self.0.push(b'e');
    }

    fn key(&mut self, key: &str) -> &mut Self {
        self.bytes(key.as_bytes())
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.head(bytes.len()).raw(bytes)
    }

    fn int(&mut self, number: i64) -> &mut Self {
        self.print(format_args!("i{number}e"))
    }

    fn maybe_int(&mut self, key: &str, number: Option<i64>) -> &mut Self {
        match number {
            Some(number) => self.key(key).int(number),
            None => self,
        }
    }

    /// A flag is there or not: older clients read nothing into a 0.
    fn flag(&mut self, key: &str, set: bool) -> &mut Self {
        self.maybe_int(key, set.then_some(1))
    }

    fn token(&mut self, token: &Token) -> &mut Self {
        self.key("token").bytes(token.as_bytes())
    }

    fn want(&mut self, want: Option<Want>) {
        if let Some(Want { v4, v6 }) = want {
            self.key("want").open(b'l');
            [(v4, "n4"), (v6, "n6")].iter().filter(|(wanted, _)| *wanted).for_each(|(_, name)| {
                self.key(name);
            });
            self.close();
        }
    }

    fn address(&mut self, address: &SocketAddr) {
        self.head(Family::of(address).packed_len());
        compact::encode(address, self.0);
    }

    fn nodes(&mut self, key: &str, nodes: &[NodeInfo], family: Family) -> &mut Self {
        let fitting = || nodes.iter().filter(|node| Family::of(&node.address) == family);
        let count = fitting().count();
        if count > 0 {
            self.key(key).head(count * (20 + family.packed_len()));
            fitting().for_each(|node| {
                self.0.extend_from_slice(&node.id.0);
                compact::encode(&node.address, self.0);
            });
        }
        self
    }

    /// The length of a string that follows.
    fn head(&mut self, len: usize) -> &mut Self {
        self.print(format_args!("{len}:"))
    }

    /// What is bencode already, or follows its length.
    fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn print(&mut self, text: fmt::Arguments<'_>) -> &mut Self {
        let written = self.write_fmt(text);
        debug_assert!(written.is_ok(), "memory takes all that is written to it");
        self
    }
}

impl Write for Writer<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}
