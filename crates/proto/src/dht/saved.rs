//! What a node keeps from one run to the next: its ids and the nodes that it knew, as bencode.
//!
//! Lenient when read: a state that is damaged is a node that begins anew. Invariant: at most [`NODES_MAX`] nodes.

use wire::bencode::{self, Bencode, Limits, Value};
use wire::compact::{self, Family};
use wire::krpc::NodeInfo;
use wire::node_id::NodeId;

/// Nodes kept: two full tables.
const NODES_MAX: usize = 1_000;

/// As much as that takes.
const LIMITS: Limits = Limits { bytes: 64 * 1024, tokens: 64, depth: 4 };

/// A node's memory.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Saved {
    /// Our ids on IPv4 and IPv6.
    pub ids: [Option<NodeId>; 2],
    /// Whom we knew.
    pub nodes: Vec<NodeInfo>,
}

impl Saved {
    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        let packed = |v4: bool| {
            let mut packed = Vec::new();
            for info in self.nodes.iter().filter(|info| info.address.is_ipv4() == v4).take(NODES_MAX / 2) {
                packed.extend(info.id.0);
                compact::encode(&info.address, &mut packed);
            }
            bencode::bytes(packed)
        };
        let id = |at: usize| bencode::bytes(self.ids[at].map(|id| id.0.to_vec()).unwrap_or_default());
        bencode::dict([("id", id(0)), ("id6", id(1)), ("nodes", packed(true)), ("nodes6", packed(false))])
            .into_bytes()
    }

    /// From bytes; as much of it as makes sense.
    pub fn decode(bytes: &[u8]) -> Saved {
        let Ok(parsed) = Bencode::parse(bytes, &LIMITS) else { return Saved::default() };
        let root = parsed.root();
        let id = |key: &str| root.get(key).and_then(|value| value.as_bytes()?.try_into().ok()).map(NodeId);
        let mut nodes = nodes_of(root.get("nodes"), Family::V4);
        nodes.extend(nodes_of(root.get("nodes6"), Family::V6));
        Saved { ids: [id("id"), id("id6")], nodes }
    }
}

fn nodes_of(value: Option<Value<'_, '_>>, family: Family) -> Vec<NodeInfo> {
    let bytes = value.and_then(|value| value.as_bytes()).unwrap_or_default();
    let unpack = |packed: &[u8]| {
        let (id, address) = packed.split_at_checked(20)?;
        let address = compact::decode(address, family).next()?;
        Some(NodeInfo { id: NodeId(id.try_into().ok()?), address })
    };
    bytes.chunks_exact(20 + family.packed_len()).take(NODES_MAX / 2).filter_map(unpack).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

    #[test]
    fn a_memory_survives_and_a_damaged_one_is_none() {
        let node = |n: u8, ip: IpAddr| NodeInfo { id: NodeId([n; 20]), address: SocketAddr::new(ip, 6881) };
        let nodes = vec![
            node(1, Ipv4Addr::new(9, 8, 7, 6).into()),
            node(2, Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into()),
        ];
        let saved = Saved { ids: [Some(NodeId([7; 20])), None], nodes };
        assert_eq!(Saved::decode(&saved.encode()), saved);
        for damaged in [&b""[..], b"x", b"de", b"d2:id3:abce", b"li0ee", &saved.encode()[..40]] {
            assert_eq!(Saved::decode(damaged), Saved::default());
        }
    }
}
