//! Where nodes of the DHT and what they store stand in one space of 160 bits, and which ids an address allows.
//!
//! Knows bits, not nodes: whether a node with a misfit id is spoken to is decided elsewhere. Invariant: distances are
//! compared as numbers, the most significant byte first. BEP: 5, 42

use crate::InfoHash;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

/// How many bits of an id BEP 42 ties to the address.
const SECURE_BITS: u32 = 21;

/// The name of a node, or of what is stored near it: an info-hash or an item's target (BEP 5, 44).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub [u8; 20]);

/// How far two ids are from each other: XOR, read as a number of 160 bits. Orders from near to far.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Distance([u8; 20]);

/// The text is not 40 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotANodeId;

impl NodeId {
    /// Bytes of an id.
    pub const LEN: usize = 20;

    /// How far the other is from this one: 0 to itself, and the same both ways.
    pub fn distance(&self, other: &NodeId) -> Distance {
        let mut bits = self.0;
        bits.iter_mut().zip(other.0).for_each(|(mine, theirs)| *mine ^= theirs);
        Distance(bits)
    }

    /// How many leading bits the two have in common: 0 to 160.
    pub fn shared_bits(&self, other: &NodeId) -> u32 {
        160 - self.distance(other).bits()
    }

    /// The id that BEP 42 allows at this address and that is otherwise `random`.
    ///
    /// The last byte of `random` is kept and its low three bits choose one of the eight prefixes that an address has; the
    /// first 21 bits are replaced.
    pub fn secure(ip: IpAddr, random: [u8; 20]) -> NodeId {
        let [.., r] = random;
        let [a, b, c, _] = prefix(ip, r).to_be_bytes();
        let mut id = random;
        let [first, second, third, ..] = &mut id;
        (*first, *second, *third) = (a, b, (c & 0xf8) | (*third & 0x07));
        NodeId(id)
    }

    /// Whether BEP 42 allows this id at this address.
    ///
    /// True at every address of a local network, which the BEP exempts: private, link-local and loopback ones, and their
    /// like in IPv6 (`fc00::/7`, `fe80::/10`, `::1`). Addresses shared by a carrier's customers (100.64.0.0/10) are not exempt.
    pub fn fits(&self, ip: IpAddr) -> bool {
        let [a, b, c, .., r] = self.0;
        let ours = u32::from_be_bytes([a, b, c, 0]);
        is_exempt(ip) || (ours ^ prefix(ip, r)) >> (32 - SECURE_BITS) == 0
    }
}

impl Distance {
    /// Bits of the number: 0 for no distance, 160 if already the first bit differs.
    pub fn bits(&self) -> u32 {
        let mut bits = 160;
        for byte in self.0 {
            bits -= byte.leading_zeros();
            if byte != 0 {
                break;
            }
        }
        bits
    }

    /// The first 64 of the 160 bits, by which the density of a network is reckoned.
    pub fn leading_u64(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

impl From<InfoHash> for NodeId {
    fn from(info_hash: InfoHash) -> NodeId {
        NodeId(info_hash.0)
    }
}

impl From<NodeId> for InfoHash {
    fn from(id: NodeId) -> InfoHash {
        InfoHash(id.0)
    }
}

/// 40 hexadecimal digits, either case.
impl FromStr for NodeId {
    type Err = NotANodeId;

    fn from_str(text: &str) -> Result<NodeId, NotANodeId> {
        // An info-hash may also be written in base32, which is shorter; ids never are.
        let hex = text.len() == 40;
        hex.then(|| text.parse::<InfoHash>().ok()).flatten().map(NodeId::from).ok_or(NotANodeId)
    }
}

impl fmt::Display for NotANodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not 40 hexadecimal digits, as the id of a node or an item's target has")
    }
}

impl core::error::Error for NotANodeId {}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId({self})")
    }
}

/// Whether the address is of a network that BEP 42 exempts.
fn is_exempt(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local() || ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unicast_link_local() || ip.is_unique_local(),
    }
}

/// The CRC32C whose first 21 bits an id at this address must begin with, if its last byte is `r`.
fn prefix(ip: IpAddr, r: u8) -> u32 {
    const V4_MASK: u32 = 0x030f_3fff;
    const V6_MASK: u64 = 0x0103_070f_1f3f_7fff;
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let masked = Ipv4Addr::to_bits(ip) & V4_MASK;
            crc32c(&(masked | u32::from(r & 7) << 29).to_be_bytes())
        }
        IpAddr::V6(ip) => {
            let masked = (Ipv6Addr::to_bits(ip) >> 64) as u64 & V6_MASK;
            crc32c(&(masked | u64::from(r & 7) << 61).to_be_bytes())
        }
    }
}

/// CRC-32 with the polynomial of Castagnoli (RFC 3720), bit by bit: at most eight bytes are ever summed.
fn crc32c(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let sum = bytes.iter().fold(u32::MAX, |sum, &byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| (sum >> 1) ^ (POLYNOMIAL * (sum & 1)))
    });
    !sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn id(text: &str) -> NodeId {
        text.parse().unwrap()
    }

    /// The rows of BEP 42, whole.
    const VECTORS: [(&str, u8, &str); 5] = [
        ("124.31.75.21", 1, "5fbfbff10c5d6a4ec8a88e4c6ab4c28b95eee401"),
        ("21.75.31.124", 86, "5a3ce9c14e7a08645677bbd1cfe7d8f956d53256"),
        ("65.23.51.170", 22, "a5d43220bc8f112a3d426c84764f8c2a1150e616"),
        ("84.124.73.14", 65, "1b0321dd1bb1fe518101ceef99462b947a01ff41"),
        ("43.213.53.83", 90, "e56f6cbf5b7c4be0237986d5243b87aa6d51305a"),
    ];

    #[test]
    fn the_vectors_of_bep_42_are_made_and_fit_to_the_bit() {
        for (address, r, text) in VECTORS {
            let vector = id(text);
            assert_eq!(vector.0[19], r);
            assert!(vector.fits(ip(address)), "{address}");
            assert_eq!(NodeId::secure(ip(address), vector.0), vector);
            for bit in 0..160 {
                let mut turned = vector;
                turned.0[bit / 8] ^= 0x80 >> (bit % 8);
                let free = (21..157).contains(&bit);
                assert_eq!(turned.fits(ip(address)), free, "{address}, bit {bit}");
            }
        }
    }

    #[test]
    fn a_made_id_fits_its_address_and_no_other() {
        for (here, there) in [("8.8.8.8", "8.8.8.9"), ("2001:4860:4860::8888", "2001:4860:4861::8888")] {
            for r in 0..=255 {
                let mut random = [0x5a; 20];
                random[19] = r;
                let made = NodeId::secure(ip(here), random);
                assert!(made.fits(ip(here)) && !made.fits(ip(there)), "{here}, r {r}");
                assert_eq!(made.0[3..], random[3..], "what is free stays");
            }
        }
    }

    #[test]
    fn of_an_ipv6_address_the_network_counts_and_not_the_host() {
        let made = NodeId::secure(ip("2001:4860:4860::8888"), [7; 20]);
        assert!(made.fits(ip("2001:4860:4860::1")));
        assert_eq!(NodeId::secure(ip("::ffff:8.8.8.8"), [7; 20]), NodeId::secure(ip("8.8.8.8"), [7; 20]));
    }

    #[test]
    fn local_networks_are_exempt_and_no_others() {
        let any = NodeId([0xaa; 20]);
        let exempt = ["10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.9.9", "127.0.0.1"];
        let exempt_v6 = ["::1", "fe80::1", "fd00::1", "::ffff:192.168.1.1"];
        exempt.into_iter().chain(exempt_v6).for_each(|address| assert!(any.fits(ip(address)), "{address}"));
        for address in ["11.0.0.1", "172.32.0.1", "100.64.0.1", "8.8.8.8", "2001:db8::1", "0.0.0.0"] {
            assert!(!any.fits(ip(address)), "{address}");
        }
    }

    #[test]
    fn distance_is_a_metric_that_is_ordered_as_a_number() {
        let (zero, one) = (NodeId([0; 20]), id("0000000000000000000000000000000000000001"));
        let far = id("8000000000000000000000000000000000000000");
        let rows = [(zero, zero, 0), (zero, one, 1), (one, far, 160), (far, far, 0)];
        for (a, b, bits) in rows {
            assert_eq!((a.distance(&b).bits(), a.shared_bits(&b)), (bits, 160 - bits));
            assert_eq!(a.distance(&b), b.distance(&a));
        }
        assert!(zero.distance(&one) < zero.distance(&far));
        for bit in 0..160 {
            let mut turned = NodeId([0x33; 20]);
            turned.0[bit / 8] ^= 0x80 >> (bit % 8);
            assert_eq!(NodeId([0x33; 20]).shared_bits(&turned), bit as u32);
        }
    }

    #[test]
    fn an_id_is_written_and_read_as_hexadecimal_digits() {
        let text = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(id(text).to_string(), text);
        assert_eq!(text.to_uppercase().parse(), Ok(id(text)));
        assert_eq!(format!("{:?}", id(text)), format!("NodeId({text})"));
        for wrong in ["", "0123", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", &text.replace('0', "g")] {
            assert_eq!(wrong.parse::<NodeId>(), Err(NotANodeId));
        }
    }

    #[test]
    fn the_sum_is_that_of_castagnoli() {
        // RFC 3720, B.4, but for the length: 32 zeros, 32 ones.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
    }
}
