//! The tables that nodes have after some hours, made at once from the whole: of each distance as many as fit, chosen by chance.

use super::{DhtWorld, Member, info};
use proto::Rng;
use proto::dht::{K, Saved};
use wire::krpc::NodeInfo;
use wire::node_id::NodeId;

/// How many of each distance a table takes (as `proto`'s; who is too many is turned away there).
const WIDTHS: [usize; 4] = [128, 64, 32, 16];

impl DhtWorld {
    /// Gives every node of ours its table. The dead and the attackers are in them like anybody.
    pub(super) fn give_tables(&mut self) {
        let six = |member: &Member| member.six.map(|(address, id)| NodeInfo { id, address });
        let all = || self.members.iter().map(info).chain(self.members.iter().filter_map(six));
        let sorted = [true, false].map(|v4| {
            let mut sorted: Vec<NodeInfo> = all().filter(|info| info.address.is_ipv4() == v4).collect();
            sorted.sort_unstable_by_key(|info| info.id);
            sorted
        });
        for node in 0..self.settings.nodes {
            let member = &self.members[node as usize];
            let mut saved = Saved { ids: [None, None], nodes: Vec::new() };
            for own in core::iter::once(info(member)).chain(six(member)) {
                let at = usize::from(own.address.is_ipv6());
                saved.ids[at] = Some(own.id);
                saved.nodes.extend(table(&sorted[at], own.id, &mut self.rng));
            }
            self.begin(node, &saved);
        }
    }
}

/// A table for this id out of all nodes, sorted by id.
fn table(sorted: &[NodeInfo], own: NodeId, rng: &mut Rng) -> Vec<NodeInfo> {
    let mut nodes = Vec::new();
    let (mut low, mut high) = (0, sorted.len());
    for bit in 0..160usize {
        let whole = &sorted[low..high];
        if whole.len() <= K {
            nodes.extend(whole.iter().filter(|info| info.id != own));
            break;
        }
        // All here share `bit` bits with us; where the next one turns to 1 they part.
        let is_one = |id: &NodeId| id.0[bit / 8] >> (7 - bit % 8) & 1 == 1;
        let parting = low + whole.partition_point(|info| !is_one(&info.id));
        let (ours, theirs) =
            if is_one(&own) { (parting..high, low..parting) } else { (low..parting, parting..high) };
        nodes.extend(some_of(&sorted[theirs], WIDTHS.get(bit).copied().unwrap_or(K), rng));
        (low, high) = (ours.start, ours.end);
    }
    nodes
}

/// So many of these, by chance, none twice.
fn some_of(all: &[NodeInfo], count: usize, rng: &mut Rng) -> Vec<NodeInfo> {
    if all.len() <= count {
        return all.to_vec();
    }
    // Floyd's: a draw for each, and none twice.
    let mut chosen: Vec<usize> = Vec::with_capacity(count);
    for last in all.len() - count..all.len() {
        let draw = rng.index(last + 1);
        chosen.push(if chosen.contains(&draw) { last } else { draw });
    }
    chosen.into_iter().map(|at| all[at]).collect()
}

/// Twenty random bytes.
pub(super) fn random_id(rng: &mut Rng) -> NodeId {
    let (first, second) = (rng.bytes16(), rng.bytes16());
    NodeId(core::array::from_fn(|at| if at < 16 { first[at] } else { second[at - 16] }))
}
