//! Attackers: nodes that answer every question at once, name only one another, and keep nothing (Wang and Kangasharju 2012; threats D5).
//!
//! They obey BEP 42, as an attacker would who wants to be taken seriously: their ids fit their addresses.

use core::net::{Ipv4Addr, SocketAddr};
use proto::Rng;
use proto::dht::K;
use wire::krpc::{Body, Method, NodeInfo, Packet, Reply, Token};
use wire::node_id::NodeId;

/// All attackers, who know one another.
#[derive(Default)]
pub(super) struct Sybils {
    /// In the order of their ids.
    sorted: Vec<NodeInfo>,
}

impl Sybils {
    pub(super) fn new(all: impl Iterator<Item = NodeInfo>) -> Sybils {
        let mut sybils = Sybils { sorted: all.collect() };
        sybils.sorted.sort_unstable_by_key(|info| info.id);
        sybils
    }

    /// More of them.
    pub(super) fn join(&mut self, more: &[NodeInfo]) {
        self.sorted.extend(more);
        self.sorted.sort_unstable_by_key(|info| info.id);
    }

    /// What one of them says.
    pub(super) fn answer(&self, own: NodeId, from: SocketAddr, bytes: &[u8]) -> Option<Vec<u8>> {
        let packet = Packet::decode(bytes).ok()?;
        let Body::Query(query) = packet.body else { return None };
        let mut reply = Reply::new(own);
        let target = match &query.method {
            Method::FindNode { target, .. }
            | Method::Get { target, .. }
            | Method::SampleInfohashes { target, .. } => Some(*target),
            Method::GetPeers { info_hash, .. } => Some(NodeId::from(*info_hash)),
            Method::Ping | Method::AnnouncePeer { .. } | Method::Put { .. } | Method::Unknown { .. } => None,
        };
        if let Some(target) = target {
            reply.nodes = self.nearest(&target);
            reply.token = Some(Token::from_array(*b"gladly"));
        }
        let mut answer = Vec::new();
        Packet { external: Some(from), ..Packet::new(packet.transaction, Body::Reply(reply)) }
            .encode(&mut answer);
        Some(answer)
    }

    /// Those nearest to a target: they share its longest prefix, so they stand beside it in the order of ids.
    fn nearest(&self, target: &NodeId) -> Vec<NodeInfo> {
        let at = self.sorted.partition_point(|info| info.id < *target);
        let around = &self.sorted[at.saturating_sub(4 * K)..(at + 4 * K).min(self.sorted.len())];
        let mut nearest = around.to_vec();
        nearest.sort_unstable_by_key(|info| info.id.distance(target));
        nearest.truncate(K);
        nearest
    }
}

/// So many attackers in so many /8 networks, at those addresses of theirs whose ids may lie nearest to a target.
pub(super) fn crowd(target: NodeId, count: u32, networks: u32, rng: &mut Rng) -> Vec<NodeInfo> {
    let mut crowd = Vec::new();
    for network in 0..networks {
        let first = 11 + (rng.below(8) + network * 8) % 100;
        let mut best: Vec<(u32, NodeInfo)> = Vec::new();
        // BEP 42 looks at some bits of an address only; the others give several addresses with the same ids.
        for bits in 0..1u32 << 18 {
            let [high, middle, low] = [bits >> 14 & 0x0f, bits >> 8 & 0x3f, bits & 0xff];
            let ip = Ipv4Addr::from_bits(first << 24 | high << 16 | middle << 8 | low);
            for r in 0..8u8 {
                let mut wish = target.0;
                wish[19] = r;
                let id = NodeId::secure(ip.into(), wish);
                best.push((
                    160 - id.distance(&target).bits(),
                    NodeInfo { id, address: SocketAddr::from((ip, 7000)) },
                ));
            }
            if best.len() >= 4096 {
                keep_best(&mut best);
            }
        }
        keep_best(&mut best);
        crowd.extend(variants(&best, count / networks, rng));
    }
    crowd
}

fn keep_best(best: &mut Vec<(u32, NodeInfo)>) {
    best.sort_unstable_by_key(|(shared, info)| (core::cmp::Reverse(*shared), info.address));
    best.truncate(16);
}

/// So many of a network, on addresses that differ in the bits that BEP 42 does not look at, none twice.
fn variants(best: &[(u32, NodeInfo)], count: u32, rng: &mut Rng) -> Vec<NodeInfo> {
    let mut crowd: Vec<NodeInfo> = Vec::new();
    for (_, info) in best {
        let SocketAddr::V4(address) = info.address else { continue };
        for unseen in 0..64u32 {
            if crowd.len() >= count as usize {
                return crowd;
            }
            let ip = address.ip().to_bits() | (unseen >> 2 & 0x0f) << 20 | (unseen & 3) << 14;
            let mut id = info.id;
            // As near as the prefix allows, and all different.
            for byte in &mut id.0[15..19] {
                *byte = rng.next_u32() as u8;
            }
            crowd.push(NodeInfo { id, address: SocketAddr::from((Ipv4Addr::from_bits(ip), 7000)) });
        }
    }
    crowd
}
