//! How much of a store each block and each network of addresses has taken, so that no party takes all of it.
//!
//! Addresses of networks at home count for nobody. Invariant: what was taken and left again leaves no row behind. Threats: D6

use crate::address;
use core::net::IpAddr;
use std::collections::BTreeMap;

/// The rows.
#[derive(Clone, Debug, Default)]
pub(super) struct Shares {
    /// Of a /24 or a /48.
    blocks: BTreeMap<IpAddr, u32>,
    /// Of a /8 or a /32.
    networks: BTreeMap<IpAddr, u32>,
}

impl Shares {
    /// Whether this address may take one more, if its block may have so many and its network so many.
    pub(super) fn has_room(&self, ip: IpAddr, per_block: u32, per_network: u32) -> bool {
        let of = |rows: &BTreeMap<IpAddr, u32>, key: Option<IpAddr>| {
            key.and_then(|key| rows.get(&key)).copied().unwrap_or(0)
        };
        of(&self.blocks, address::block(ip)) < per_block
            && of(&self.networks, address::network(ip)) < per_network
    }

    /// It takes one.
    pub(super) fn take(&mut self, ip: IpAddr) {
        for (rows, key) in self.rows(ip) {
            *rows.entry(key).or_default() += 1;
        }
    }

    /// It leaves one.
    pub(super) fn leave(&mut self, ip: IpAddr) {
        for (rows, key) in self.rows(ip) {
            let left = rows.get(&key).map_or(0, |count| count.saturating_sub(1));
            match left {
                0 => drop(rows.remove(&key)),
                left => drop(rows.insert(key, left)),
            }
        }
    }

    fn rows(&mut self, ip: IpAddr) -> impl Iterator<Item = (&mut BTreeMap<IpAddr, u32>, IpAddr)> {
        let block = address::block(ip).map(|block| (&mut self.blocks, block));
        let network = address::network(ip).map(|network| (&mut self.networks, network));
        block.into_iter().chain(network)
    }

    /// Whether nobody has anything.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.blocks.is_empty() && self.networks.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_and_a_network_have_their_shares_and_a_home_as_much_as_it_wants() {
        // So many take one each; how many of them may, with two per block and three per network.
        let v4 = |network: u8, block: u8, host: u8| IpAddr::from([network, 1, block, host]);
        let v6 =
            |network: u16, block: u16, host: u16| IpAddr::from([0x2001, network, block, host, 0, 0, 0, 1]);
        let cases: [(Vec<IpAddr>, usize); 5] = [
            ((1..9).map(|n| v4(9, 1, n)).collect(), 2),
            ((1..9).map(|n| v4(9, n, 1)).collect(), 3),
            ((1..9).map(|n| v6(9, 1, n)).collect(), 2),
            ((1..9).map(|n| v6(9, n, 1)).collect(), 3),
            ((1..9).map(|n| IpAddr::from([192, 168, 1, n])).collect(), 8),
        ];
        for (takers, expected) in cases {
            let mut shares = Shares::default();
            let mut taken = Vec::new();
            for ip in takers {
                if shares.has_room(ip, 2, 3) {
                    shares.take(ip);
                    taken.push(ip);
                }
            }
            assert_eq!(taken.len(), expected, "{taken:?}");
            taken.into_iter().for_each(|ip| shares.leave(ip));
            assert!(shares.is_empty());
        }
    }
}
