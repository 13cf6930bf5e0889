//! Attackers: nodes that answer every question at once and lie in whatever they say (Wang and Kangasharju 2012; threats D5, D8).
//!
//! They name, each time others by chance, their like near the target, nodes that do not exist and lie nearer than any that does, and honest ones
//! under false ids; tell of peers that are none; say that the asker's address is another; and keep nothing. They obey BEP 42 for
//! themselves and for those they invent, as an attacker would who wants to be taken seriously: those ids fit their addresses.

use core::net::{Ipv4Addr, SocketAddr};
use proto::Rng;
use wire::krpc::{Body, Method, NODES_MAX, NodeInfo, Packet, Reply, Token};
use wire::node_id::NodeId;

/// Of how many of the nearest those that are named are chosen.
const CHOICE: usize = 64;

/// Of those named, so many are attackers themselves, and so many nobody; the others are honest, under false ids.
const LIKE: usize = 12;
const NOBODIES: usize = 12;

/// Addresses at which nobody is, for invented nodes, with eight ids each.
const INVENTED: usize = 1 << 14;

/// False peers in an answer.
const FALSE_PEERS: usize = 4;

/// Their port, by which they are known again.
pub(super) const FALSE_PORT: u16 = 6666;

/// What they say that everybody's address is.
pub(super) const FALSE_ADDRESS: Ipv4Addr = Ipv4Addr::new(66, 6, 6, 6);

/// All attackers, who know one another, and everybody else.
#[derive(Default)]
pub(super) struct Sybils {
    /// Each in the order of ids.
    like: Vec<NodeInfo>,
    nobodies: Vec<NodeInfo>,
    honest: Vec<NodeInfo>,
}

impl Sybils {
    pub(super) fn new(
        like: impl Iterator<Item = NodeInfo>,
        honest: impl Iterator<Item = NodeInfo>,
        rng: &mut Rng,
    ) -> Sybils {
        let mut nobodies = Vec::with_capacity(INVENTED * 8);
        for _ in 0..INVENTED {
            let ip = Ipv4Addr::from_bits(0x0b00_0000 + rng.below(0x6000_0000));
            for r in 0..8u8 {
                let mut wish = super::tables::random_id(rng).0;
                wish[19] = r;
                let address = SocketAddr::from((ip, 1024 + rng.below(60_000) as u16));
                nobodies.push(NodeInfo { id: NodeId::secure(ip.into(), wish), address });
            }
        }
        let mut sybils = Sybils { like: like.collect(), nobodies, honest: honest.collect() };
        for all in [&mut sybils.like, &mut sybils.nobodies, &mut sybils.honest] {
            all.sort_unstable_by_key(|info| info.id);
        }
        sybils
    }

    /// More of them.
    pub(super) fn join(&mut self, more: &[NodeInfo]) {
        self.like.extend(more);
        self.like.sort_unstable_by_key(|info| info.id);
    }

    /// These are no more.
    pub(super) fn leave(&mut self, gone: &[NodeInfo]) {
        self.like.retain(|info| !gone.contains(info));
    }

    pub(super) fn all(&self) -> &[NodeInfo] {
        &self.like
    }

    /// What one of them says.
    pub(super) fn answer(
        &self,
        own: NodeId,
        from: SocketAddr,
        bytes: &[u8],
        rng: &mut Rng,
    ) -> Option<Vec<u8>> {
        let packet = Packet::decode(bytes).ok()?;
        let Body::Query(query) = packet.body else { return None };
        let mut reply = Reply::new(own);
        let target = match &query.method {
            Method::FindNode { target, .. }
            | Method::Get { target, .. }
            | Method::SampleInfohashes { target, .. } => Some(*target),
            Method::GetPeers { info_hash, .. } => {
                let peer = |rng: &mut Rng| {
                    SocketAddr::from((Ipv4Addr::from_bits(0x0b00_0000 + rng.below(0x6000_0000)), FALSE_PORT))
                };
                reply.values = (0..FALSE_PEERS).map(|_| peer(rng)).collect();
                Some(NodeId::from(*info_hash))
            }
            Method::Ping | Method::AnnouncePeer { .. } | Method::Put { .. } | Method::Unknown { .. } => None,
        };
        if let Some(target) = target {
            reply.nodes = self.lies(&target, rng);
            reply.token = Some(Token::from_array(*b"gladly"));
        }
        let mut answer = Vec::new();
        let external = from.is_ipv4().then(|| SocketAddr::from((FALSE_ADDRESS, from.port())));
        Packet { external, ..Packet::new(packet.transaction, Body::Reply(reply)) }.encode(&mut answer);
        Some(answer)
    }

    /// As many as can be named at all, by chance, others each time.
    fn lies(&self, target: &NodeId, rng: &mut Rng) -> Vec<NodeInfo> {
        let mut lies = some_near(&self.like, target, LIKE, rng);
        lies.extend(some_near(&self.nobodies, target, NOBODIES, rng));
        let honest = some_near(&self.honest, target, NODES_MAX - lies.len(), rng);
        lies.extend(honest.into_iter().enumerate().map(|(n, mut info)| {
            // By turns so near that it is asked in vain, and so far that it is not asked at all.
            let random = super::tables::random_id(rng);
            let kept = if n % 2 == 0 { 8 } else { 0 };
            info.id.0[..kept].copy_from_slice(&target.0[..kept]);
            info.id.0[kept..].copy_from_slice(&random.0[kept..]);
            info
        }));
        rng.shuffle(&mut lies);
        lies
    }
}

/// So many of the nearest to a target: they share its longest prefix, so they stand beside it in the order of ids.
fn some_near(sorted: &[NodeInfo], target: &NodeId, count: usize, rng: &mut Rng) -> Vec<NodeInfo> {
    let at = sorted.partition_point(|info| info.id < *target);
    let around = &sorted[at.saturating_sub(CHOICE)..(at + CHOICE).min(sorted.len())];
    let mut near = around.to_vec();
    near.sort_unstable_by_key(|info| info.id.distance(target));
    near.truncate(CHOICE);
    rng.shuffle(&mut near);
    near.truncate(count);
    near
}

/// So many attackers in so many /8 networks, at those addresses of theirs whose ids may lie nearest to a target.
pub(super) fn crowd(target: NodeId, count: u32, networks: u32, rng: &mut Rng) -> Vec<NodeInfo> {
    // BEP 42 looks at two bits of the first octet only, so a search serves a quarter of all networks. CRC32C is linear: at two
    // of the four kinds no id has more than 12 bits in common with a target. Who can choose takes the others.
    let best: Vec<Vec<NodeInfo>> = (0..4).map(|class| nearest_allowed(target, class)).collect();
    let nearest =
        |first: u32| best[(first & 3) as usize].first().map_or(0, |info| info.id.shared_bits(&target));
    let mut firsts: Vec<u32> = (11..=126).chain(128..=191).filter(|&first| nearest(first) > 12).collect();
    rng.shuffle(&mut firsts);
    let mut crowd = Vec::new();
    for (network, first) in (0..networks).zip(firsts) {
        let share = count * (network + 1) / networks - count * network / networks;
        crowd.extend(variants(&best[(first & 3) as usize], first, share, rng));
    }
    crowd
}

/// The nearest ids that addresses of such networks may have, out of a quarter of a million.
fn nearest_allowed(target: NodeId, class: u32) -> Vec<NodeInfo> {
    let mut best: Vec<(u32, NodeInfo)> = Vec::new();
    for bits in 0..1u32 << 15 {
        let [high, middle, low] = [bits >> 12 & 0x0f, bits >> 6 & 0x3f, bits & 0x3f];
        let ip = Ipv4Addr::from_bits(class << 24 | high << 16 | middle << 8 | low);
        for r in 0..8u8 {
            let mut wish = target.0;
            wish[19] = r;
            let id = NodeId::secure(ip.into(), wish);
            let info = NodeInfo { id, address: SocketAddr::from((ip, 7000)) };
            best.push((160 - id.distance(&target).bits(), info));
        }
        if best.len() >= 4096 {
            keep_best(&mut best);
        }
    }
    keep_best(&mut best);
    best.into_iter().map(|(_, info)| info).collect()
}

fn keep_best(best: &mut Vec<(u32, NodeInfo)>) {
    best.sort_unstable_by_key(|(shared, info)| (core::cmp::Reverse(*shared), info.address));
    best.truncate(16);
}

/// So many of a network, on addresses that differ in the bits that BEP 42 does not look at, none twice.
fn variants(best: &[NodeInfo], first: u32, count: u32, rng: &mut Rng) -> Vec<NodeInfo> {
    let mut crowd: Vec<NodeInfo> = Vec::new();
    for info in best {
        let SocketAddr::V4(address) = info.address else { continue };
        for unseen in 0..64u32 {
            if crowd.len() >= count as usize {
                return crowd;
            }
            let low = address.ip().to_bits() & 0x00ff_ffff;
            let ip = first << 24 | low | (unseen >> 2 & 0x0f) << 20 | (unseen & 3) << 14;
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

#[cfg(test)]
mod tests {
    use super::*;
    use proto::Seed;

    #[test]
    fn a_crowd_is_as_near_as_its_addresses_allow_and_in_as_many_networks_as_it_has() {
        let mut rng = Rng::new(Seed(1));
        let target = super::super::tables::random_id(&mut rng);
        for (count, networks) in [(100, 8), (24, 12), (200, 64)] {
            let crowd = crowd(target, count, networks, &mut rng);
            let of: std::collections::BTreeSet<_> =
                crowd.iter().filter_map(|info| proto::address::network(info.address.ip())).collect();
            assert_eq!((crowd.len(), of.len()), (count as usize, networks as usize));
            assert!(crowd.iter().all(|info| info.id.fits(info.address.ip())), "BEP 42 allows them");
            let far = crowd.iter().map(|info| info.id.shared_bits(&target)).min();
            assert!(far >= Some(14), "{count} in {networks}: {far:?}");
        }
    }

    #[test]
    fn each_answer_names_others_and_honest_ones_under_false_ids() {
        let mut rng = Rng::new(Seed(1));
        let node = |n: u32, rng: &mut Rng| NodeInfo {
            id: super::super::tables::random_id(rng),
            address: SocketAddr::from(((0x0b00_0000 + n * 0x1_0001).to_be_bytes(), 6881)),
        };
        let like: Vec<NodeInfo> = (0..200).map(|n| node(n, &mut rng)).collect();
        let honest: Vec<NodeInfo> = (200..400).map(|n| node(n, &mut rng)).collect();
        let sybils = Sybils::new(like.iter().copied(), honest.iter().copied(), &mut rng);
        let target = super::super::tables::random_id(&mut rng);
        let (one, two) = (sybils.lies(&target, &mut rng), sybils.lies(&target, &mut rng));
        assert!(one.len() == NODES_MAX && one != two);
        assert!(one.iter().all(|info| !honest.contains(info)), "nobody honest under his own id");
        let slandered = one.iter().filter(|info| honest.iter().any(|other| other.address == info.address));
        assert_eq!(slandered.count(), NODES_MAX - LIKE - NOBODIES);
    }
}
