//! A datagram to a packet.

use super::error::error_code;
use super::{
    Body, DATAGRAM_LEN_MAX, DATAGRAM_LEN_MIN, FAULT_TEXT_LEN_MAX, KrpcError, KrpcFault, METHOD_NAME_LEN_MAX,
    Method, NODES_MAX, NodeInfo, Packet, Put, Query, Reply, SAMPLE_INTERVAL_MAX, SAMPLES_MAX, Samples, Token,
    Transaction, VALUES_MAX, Want,
};
use crate::bencode::{Bencode, Limits, Value};
use crate::bloom::Filter;
use crate::compact::{self, Family};
use crate::item::{Item, MutableItem, PublicKey, Signature};
use crate::{InfoHash, NodeId};
use core::net::{IpAddr, SocketAddr};

pub(super) fn packet(bytes: &[u8]) -> Result<Packet, KrpcError> {
    // The cheap refusals first: most of what strangers send to an open port is not for it.
    if bytes.len() > DATAGRAM_LEN_MAX {
        return Err(KrpcError::TooLong(bytes.len()));
    }
    if bytes.len() < DATAGRAM_LEN_MIN || bytes.first() != Some(&b'd') {
        return Err(KrpcError::NotKrpc);
    }
    let parsed = Bencode::parse(bytes, &Limits::KRPC).map_err(KrpcError::Bencode)?;
    let root = parsed.root();
    let transaction = string(root, "t")
        .and_then(Transaction::from)
        .ok_or(KrpcError::Field { key: "t", needs: "a string of 1 to 20 bytes" })?;
    let body = match string(root, "y") {
        Some(b"q") => Body::Query(query(root, transaction)?),
        Some(b"r") => Body::Reply(reply(root)?),
        Some(b"e") => Body::Error(fault(root)),
        _ => return Err(KrpcError::Field { key: "y", needs: "`q`, `r` or `e`" }),
    };
    let version = string(root, "v").and_then(|version| version.try_into().ok());
    Ok(Packet { transaction, version, external: string(root, "ip").and_then(external), body })
}

fn query(root: Value<'_, '_>, transaction: Transaction) -> Result<Query, KrpcError> {
    let name = string(root, "q").ok_or(KrpcError::Field { key: "q", needs: "the name of a method" })?;
    let args = root.get("a").ok_or(KrpcError::Field { key: "a", needs: "a dictionary" })?;
    let id = id(args, "id").ok_or(KrpcError::Field { key: "a.id", needs: "20 bytes" })?;
    // It belongs at the top (BEP 43), and some put it among the arguments.
    let read_only = flag(root, "ro") || flag(args, "ro");
    let method = method(name, args).map_err(|(code, what)| KrpcError::Query { transaction, code, what })?;
    Ok(Query { id, read_only, method })
}

/// What a question lacks: the error's number, and words for it.
type Lack = (i64, &'static str);

fn method(name: &[u8], args: Value<'_, '_>) -> Result<Method, Lack> {
    let target = || id(args, "target").ok_or((error_code::PROTOCOL, "`target` must be 20 bytes"));
    let info_hash = || {
        let info_hash = id(args, "info_hash").map(InfoHash::from);
        info_hash.ok_or((error_code::PROTOCOL, "`info_hash` must be 20 bytes"))
    };
    let want = args.get("want").and_then(want);
    Ok(match name {
        b"ping" => Method::Ping,
        b"find_node" => Method::FindNode { target: target()?, want },
        b"get_peers" => Method::GetPeers {
            info_hash: info_hash()?,
            want,
            noseed: flag(args, "noseed"),
            scrape: flag(args, "scrape"),
        },
        b"announce_peer" => announce_peer(info_hash()?, args)?,
        b"get" => Method::Get { target: target()?, seq: int(args, "seq"), want },
        b"put" => Method::Put { token: token(args)?, put: put(args)? },
        b"sample_infohashes" => Method::SampleInfohashes { target: target()?, want },
        _ => Method::Unknown {
            name: text(name, METHOD_NAME_LEN_MAX),
            target: id(args, "target").or_else(|| id(args, "info_hash")),
        },
    })
}

fn announce_peer(info_hash: InfoHash, args: Value<'_, '_>) -> Result<Method, Lack> {
    let implied_port = flag(args, "implied_port");
    let port = int(args, "port").and_then(|port| u16::try_from(port).ok()).unwrap_or(0);
    if port == 0 && !implied_port {
        return Err((error_code::PROTOCOL, "`port` must be 1 to 65535"));
    }
    Ok(Method::AnnouncePeer { info_hash, port, implied_port, seed: flag(args, "seed"), token: token(args)? })
}

fn token(args: Value<'_, '_>) -> Result<Token, Lack> {
    // One that is too long is none that we gave.
    string(args, "token").and_then(Token::from).ok_or((error_code::PROTOCOL, "`token` must be one of ours"))
}

fn put(args: Value<'_, '_>) -> Result<Put, Lack> {
    let value = args.get("v").ok_or((error_code::PROTOCOL, "`v` must be a value"))?.raw();
    let item = match args.get("k") {
        None => Item::Immutable { value: value.into() },
        Some(_) => {
            let salt = string(args, "salt").unwrap_or_default();
            let item = mutable(args, value, salt);
            let needs = "`k` must be 32 bytes, `sig` 64, `seq` an integer";
            Item::Mutable(item.ok_or((error_code::PROTOCOL, needs))?)
        }
    };
    item.check().map_err(|error| (error.code(), error.short()))?;
    Ok(Put { item, cas: int(args, "cas") })
}

fn mutable(args: Value<'_, '_>, value: &[u8], salt: &[u8]) -> Option<MutableItem> {
    Some(MutableItem {
        key: PublicKey(string(args, "k")?.try_into().ok()?),
        salt: salt.into(),
        seq: int(args, "seq")?,
        value: value.into(),
        signature: Signature(string(args, "sig")?.try_into().ok()?),
    })
}

fn reply(root: Value<'_, '_>) -> Result<Reply, KrpcError> {
    let said = root.get("r").ok_or(KrpcError::Field { key: "r", needs: "a dictionary" })?;
    let id = id(said, "id").ok_or(KrpcError::Field { key: "r.id", needs: "20 bytes" })?;
    let value = said.get("v");
    Ok(Reply {
        id,
        nodes: nodes(string(said, "nodes").unwrap_or_default(), Family::V4),
        nodes6: nodes(string(said, "nodes6").unwrap_or_default(), Family::V6),
        values: values(said),
        token: string(said, "token").and_then(Token::from),
        port: int(said, "p").and_then(|port| u16::try_from(port).ok()),
        scrape: scrape(said).map(Box::new),
        item: value.and_then(|value| stored(said, value.raw())),
        seq: if value.is_some() { None } else { int(said, "seq") },
        samples: samples(said),
    })
}

/// The item of a reply. One that no node may store counts as absent: the rest of the reply may be of use.
fn stored(said: Value<'_, '_>, value: &[u8]) -> Option<Item> {
    let item = match said.get("k") {
        None => Item::Immutable { value: value.into() },
        Some(_) => Item::Mutable(mutable(said, value, &[])?),
    };
    item.check().is_ok().then_some(item)
}

fn scrape(said: Value<'_, '_>) -> Option<(Filter, Filter)> {
    Some((Filter::from_bytes(string(said, "BFsd")?)?, Filter::from_bytes(string(said, "BFpe")?)?))
}

fn samples(said: Value<'_, '_>) -> Option<Samples> {
    let packed = string(said, "samples")?;
    let hashes = packed.chunks_exact(NodeId::LEN).filter_map(|hash| hash.try_into().ok().map(InfoHash));
    let samples: Vec<InfoHash> = hashes.take(SAMPLES_MAX).collect();
    let number = |key| int(said, key).and_then(|number| u32::try_from(number).ok());
    Some(Samples {
        interval: number("interval").unwrap_or(0).min(SAMPLE_INTERVAL_MAX),
        num: number("num").unwrap_or(samples.len() as u32),
        samples,
    })
}

/// Ids with addresses behind them; a stump at the end is left out, and what cannot be spoken to.
fn nodes(packed: &[u8], family: Family) -> Vec<NodeInfo> {
    let packed = packed.chunks_exact(NodeId::LEN + family.packed_len());
    let nodes = packed.filter_map(|one| {
        let (id, address) = one.split_at_checked(NodeId::LEN)?;
        let address = compact::decode(address, family).next()?;
        // An IPv4 address in IPv6 dress belongs into the other list, and whoever dresses it so is up to something.
        (Family::of(&address) == family).then_some(NodeInfo { id: NodeId(id.try_into().ok()?), address })
    });
    nodes.take(NODES_MAX).collect()
}

/// A list of packed addresses, of either family in any order (BEP 32).
fn values(said: Value<'_, '_>) -> Vec<SocketAddr> {
    let list = said.get("values").and_then(|values| values.as_list()).into_iter().flatten();
    let addresses = list.filter_map(|value| value.as_bytes()).flat_map(|packed| {
        // Anything else than one address: the oldest clients pack all of IPv4 into one string.
        let family = if packed.len() == compact::V6_LEN { Family::V6 } else { Family::V4 };
        compact::decode(packed, family)
    });
    addresses.take(VALUES_MAX).collect()
}

/// `[code, text]`; what is missing is filled in, for an error is an error.
fn fault(root: Value<'_, '_>) -> KrpcFault {
    let mut code = error_code::GENERIC;
    let mut message = Box::default();
    for part in root.get("e").and_then(|parts| parts.as_list()).into_iter().flatten().take(2) {
        code = part.as_int().unwrap_or(code);
        message = part.as_bytes().map_or(message, |bytes| text(bytes, FAULT_TEXT_LEN_MAX));
    }
    KrpcFault { code, message }
}

/// `["n4", "n6"]`; some send one without the list. Nothing that we know is as if nothing were said.
fn want(value: Value<'_, '_>) -> Option<Want> {
    let alone = [value].into_iter().filter(|value| value.as_bytes().is_some());
    let mut want = Want::default();
    for name in value.as_list().into_iter().flatten().chain(alone).filter_map(|name| name.as_bytes()) {
        want.v4 |= name == b"n4";
        want.v6 |= name == b"n6";
    }
    (want.v4 || want.v6).then_some(want)
}

/// An address with its port, or without: 6, 18, 4 or 16 bytes.
fn external(packed: &[u8]) -> Option<SocketAddr> {
    let (ip, port) = match packed.len() {
        compact::V4_LEN | compact::V6_LEN => packed.split_at_checked(packed.len() - 2)?,
        _ => (packed, &[0, 0][..]),
    };
    let ip = match ip.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(ip).ok()?),
        _ => IpAddr::from(<[u8; 16]>::try_from(ip).ok()?).to_canonical(),
    };
    Some(SocketAddr::new(ip, u16::from_be_bytes(port.try_into().ok()?)))
}

fn string<'a>(dict: Value<'_, 'a>, key: &str) -> Option<&'a [u8]> {
    dict.get(key)?.as_bytes()
}

fn int(dict: Value<'_, '_>, key: &str) -> Option<i64> {
    dict.get(key)?.as_int()
}

fn flag(dict: Value<'_, '_>, key: &str) -> bool {
    int(dict, key).is_some_and(|flag| flag != 0)
}

fn id(dict: Value<'_, '_>, key: &str) -> Option<NodeId> {
    string(dict, key)?.try_into().ok().map(NodeId)
}

/// A stranger's text, cut at a whole character; what is no UTF-8 is replaced.
fn text(bytes: &[u8], most: usize) -> Box<str> {
    let text = String::from_utf8_lossy(bytes.get(..most).unwrap_or(bytes));
    text.get(..text.floor_char_boundary(most)).unwrap_or_default().into()
}
