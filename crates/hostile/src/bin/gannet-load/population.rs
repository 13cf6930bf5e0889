//! Who announces: peers with addresses of their own in torrents of all sizes, and who of them may stand in which reply.
//!
//! A function of a seed, so that runs after each other, and a reply's check, need no list: a peer is a number, the peers of a torrent
//! are consecutive numbers, and a number and its address follow from each other. Invariant: every address is one peer's or nobody's.

use std::net::{Ipv4Addr, SocketAddrV4};

/// The first source; each next one is in the next /24, so that limits by network treat them as strangers.
const FIRST_SOURCE: Ipv4Addr = Ipv4Addr::new(127, 64, 0, 1);
/// Ports of one source, from [`FIRST_PORT`] on: as many as fit between the well-known ones and the end with room to spare.
const PORT_BITS: u32 = 15;
const FIRST_PORT: u16 = 16_384;
/// Sources at least: 64.
const SOURCE_BITS_MIN: u32 = 6;
/// One peer in so many is a seed.
const ONE_SEED_IN: u64 = 4;

/// Peers and torrents.
#[derive(Debug)]
pub(crate) struct Population {
    seed: u64,
    pub(crate) exponent: f64,
    /// Where each torrent's peers begin, and the end of the last.
    starts: Box<[u32]>,
    /// Of each torrent.
    seeds: Box<[u32]>,
    /// Addresses are numbers of so many bits.
    bits: u32,
}

/// One peer as it announces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Peer {
    pub(crate) number: u32,
    pub(crate) torrent: u32,
    pub(crate) source: u32,
    pub(crate) port: u16,
    pub(crate) is_seed: bool,
}

impl Population {
    /// So many peers over so many torrents, each of which has one at least; sizes beyond that follow rank to the power of minus
    /// `exponent`.
    pub(crate) fn new(peers: u32, torrents: u32, exponent: f64, seed: u64) -> Population {
        let torrents = torrents.clamp(1, peers.max(1));
        let peers = peers.max(1);
        let weight = |rank: u32| f64::from(rank + 1).powf(-exponent);
        let whole: f64 = (0..torrents).map(weight).sum();
        let beyond = f64::from(peers - torrents);
        let (mut starts, mut so_far) = (Vec::with_capacity(torrents as usize + 1), 0.0);
        for rank in 0..torrents {
            starts.push(rank + (beyond * so_far / whole) as u32);
            so_far += weight(rank);
        }
        starts.push(peers);
        let bits = (32 - (peers - 1).leading_zeros()).max(PORT_BITS + SOURCE_BITS_MIN);
        let mut population =
            Population { seed, exponent, starts: starts.into(), seeds: Box::default(), bits };
        population.seeds = (0..torrents)
            .map(|torrent| {
                population.members(torrent).filter(|&number| population.is_seed(number)).count() as u32
            })
            .collect();
        population
    }

    /// All peers.
    pub(crate) fn peers(&self) -> u32 {
        *self.starts.last().unwrap_or(&0)
    }

    /// All torrents.
    pub(crate) fn torrents(&self) -> u32 {
        self.seeds.len() as u32
    }

    /// Addresses from which they come.
    pub(crate) fn sources(&self) -> u32 {
        1 << (self.bits - PORT_BITS)
    }

    /// One of them.
    pub(crate) fn source(&self, number: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(FIRST_SOURCE.to_bits() + (number << 8))
    }

    /// The peers of a torrent.
    pub(crate) fn members(&self, torrent: u32) -> std::ops::Range<u32> {
        self.starts[torrent as usize]..self.starts[torrent as usize + 1]
    }

    /// How many of them have everything, and how many have not.
    pub(crate) fn counts(&self, torrent: u32) -> (u32, u32) {
        let seeds = self.seeds[torrent as usize];
        (seeds, self.members(torrent).len() as u32 - seeds)
    }

    /// A torrent's name.
    pub(crate) fn info_hash(&self, torrent: u32) -> [u8; 20] {
        let mut name = [0; 20];
        for (part, bytes) in name.chunks_mut(8).enumerate() {
            let chance = mix(self.seed ^ (u64::from(torrent) << 2 | part as u64)).to_be_bytes();
            bytes.copy_from_slice(&chance[..bytes.len()]);
        }
        name
    }

    /// A peer as it announces.
    pub(crate) fn peer(&self, number: u32) -> Peer {
        let torrent = self.starts.partition_point(|&start| start <= number) as u32 - 1;
        let address = self.scatter(number, ODD[0]);
        Peer {
            number,
            torrent,
            source: address >> PORT_BITS,
            port: FIRST_PORT + (address & ((1 << PORT_BITS) - 1)) as u16,
            is_seed: self.is_seed(number),
        }
    }

    /// Whose number in a reply this is; possibly nobody's.
    pub(crate) fn number_of(&self, at: SocketAddrV4) -> Option<u32> {
        let offset = at.ip().to_bits().wrapping_sub(FIRST_SOURCE.to_bits());
        let (source, port) = (offset >> 8, u32::from(at.port().wrapping_sub(FIRST_PORT)));
        if offset & 0xff != 0 || source >= self.sources() || port >> PORT_BITS != 0 {
            return None;
        }
        Some(self.gather(source << PORT_BITS | port, ODD[0])).filter(|&number| number < self.peers())
    }

    /// Somebody, all alike.
    pub(crate) fn anybody(&self, chance: u64) -> u32 {
        ((u128::from(chance) * u128::from(self.peers())) >> 64) as u32
    }

    /// Somebody who comes from this source, if the port that chance has chosen is anybody's.
    pub(crate) fn anybody_at(&self, source: u32, chance: u64) -> Option<u32> {
        let port = (chance >> (64 - PORT_BITS)) as u32;
        Some(self.gather(source << PORT_BITS | port, ODD[0])).filter(|&number| number < self.peers())
    }

    /// All peers once, mixed: for filling, as swarms fill. Nothing where `turn` is nobody's.
    pub(crate) fn in_turn(&self, turn: u32) -> Option<u32> {
        Some(self.scatter(turn, ODD[1])).filter(|&number| number < self.peers())
    }

    /// Turns after which everybody's has come.
    pub(crate) fn turns(&self) -> u32 {
        1 << self.bits
    }

    /// Whether it has everything.
    pub(crate) fn is_seed(&self, number: u32) -> bool {
        mix(self.seed ^ 0x5eed ^ u64::from(number)).is_multiple_of(ONE_SEED_IN)
    }

    /// A number of `bits` bits as another one; no two become the same.
    fn scatter(&self, number: u32, odd: u32) -> u32 {
        let (mask, half) = ((1u32 << self.bits) - 1, self.bits.div_ceil(2));
        let number = number ^ (number >> half);
        let number = number.wrapping_mul(odd) & mask;
        number ^ (number >> half)
    }

    /// What was scattered.
    fn gather(&self, number: u32, odd: u32) -> u32 {
        let (mask, half) = ((1u32 << self.bits) - 1, self.bits.div_ceil(2));
        let number = number ^ (number >> half);
        let number = number.wrapping_mul(inverse(odd)) & mask;
        number ^ (number >> half)
    }
}

/// Factors that scatter: odd, so that they can be undone.
const ODD: [u32; 2] = [0x9e37_79b1, 0x85eb_ca77];

/// What undoes a multiplication by an odd number: Newton's iteration, which doubles the right bits each time.
const fn inverse(odd: u32) -> u32 {
    let mut inverse = odd;
    let mut turn = 0;
    while turn < 5 {
        inverse = inverse.wrapping_mul(2u32.wrapping_sub(odd.wrapping_mul(inverse)));
        turn += 1;
    }
    inverse
}

/// SplitMix64's mixing.
pub(crate) fn mix(x: u64) -> u64 {
    let z = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_peer_has_an_address_of_its_own_and_is_found_by_it() {
        let population = Population::new(30_000, 1_000, 1.0, 7);
        let mut seen = BTreeSet::new();
        for number in 0..population.peers() {
            let peer = population.peer(number);
            let at = SocketAddrV4::new(population.source(peer.source), peer.port);
            assert!(seen.insert(at), "{at}");
            assert_eq!(population.number_of(at), Some(number));
            assert!(population.members(peer.torrent).contains(&number));
            assert!(peer.source < population.sources());
        }
        assert_eq!(population.number_of("127.0.0.1:20000".parse().unwrap()), None);
        assert_eq!(population.number_of("127.64.0.2:20000".parse().unwrap()), None);
        assert_eq!(population.number_of("127.64.0.1:16383".parse().unwrap()), None);
    }

    #[test]
    fn all_are_announced_once_in_turn() {
        let population = Population::new(5_000, 10, 1.0, 7);
        let all: BTreeSet<u32> =
            (0..population.turns()).filter_map(|turn| population.in_turn(turn)).collect();
        assert_eq!(all.len(), 5_000);
        assert_eq!((0..population.turns()).filter_map(|turn| population.in_turn(turn)).count(), 5_000);
    }

    #[test]
    fn sizes_fall_with_the_rank_and_no_torrent_is_empty() {
        let population = Population::new(1_000_000, 100_000, 1.0, 7);
        let size = |torrent: u32| population.members(torrent).len();
        assert_eq!((0..100_000).map(size).sum::<usize>(), 1_000_000);
        assert!((0..100_000).all(|torrent| size(torrent) >= 1));
        let ratio = size(0) as f64 / size(9) as f64;
        assert!((9.9..10.1).contains(&ratio), "{ratio}");
        let (seeds, leechers) = population.counts(0);
        assert_eq!((seeds + leechers) as usize, size(0));
        assert!((0.24..0.26).contains(&(f64::from(seeds) / size(0) as f64)));
    }

    #[test]
    fn who_is_chosen_at_a_source_comes_from_there() {
        let population = Population::new(100_000, 1_000, 1.0, 7);
        let found: Vec<u32> = (0..1000).filter_map(|n| population.anybody_at(5, mix(n))).collect();
        assert!(found.len() > 10 && found.iter().all(|&number| population.peer(number).source == 5));
    }
}
