//! The filters in which nodes of the DHT count a swarm together: sets of addresses in 256 bytes, of which unions are made.
//!
//! Not a list: what is in it cannot be taken out again, and beyond some 6,000 addresses it says "many". BEP: 33

use core::fmt;
use core::net::IpAddr;
use sha1::{Digest, Sha1};

/// Bytes of a filter.
pub const FILTER_LEN: usize = 256;

/// Most addresses of which a filter should be made (BEP 33): near 8,000 every bit is set.
pub const FILTER_ADDRESSES_MAX: usize = 6_000;

/// Bits of a filter.
const BITS: u32 = FILTER_LEN as u32 * 8;

/// A set of addresses, without their ports.
#[derive(Clone, PartialEq, Eq)]
pub struct Filter([u8; FILTER_LEN]);

impl Default for Filter {
    fn default() -> Filter {
        Filter([0; FILTER_LEN])
    }
}

impl Filter {
    /// The filter as it travels; none if it is not [`FILTER_LEN`] bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Filter> {
        bytes.try_into().ok().map(Filter)
    }

    /// As it travels.
    pub fn as_bytes(&self) -> &[u8; FILTER_LEN] {
        &self.0
    }

    /// Puts an address in. An IPv4 address in IPv6 dress counts as what it is.
    pub fn insert(&mut self, ip: IpAddr) {
        for bit in bits(ip) {
            if let Some(byte) = self.0.get_mut(bit / 8) {
                *byte |= 1 << (bit % 8);
            }
        }
    }

    /// Whether the address may be in: yes for all that are, and for some that are not.
    pub fn contains(&self, ip: IpAddr) -> bool {
        bits(ip).into_iter().all(|bit| self.0.get(bit / 8).is_some_and(|byte| byte & (1 << (bit % 8)) != 0))
    }

    /// Puts in what is in the other.
    pub fn union(&mut self, other: &Filter) {
        self.0.iter_mut().zip(other.0).for_each(|(mine, theirs)| *mine |= theirs);
    }

    /// Whether nothing is in.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|&byte| byte == 0)
    }

    /// How many addresses are likely in: 0 to about 7,800, of which the upper part is a guess. For display, not for decisions.
    pub fn estimate(&self) -> f64 {
        let zeros: u32 = self.0.iter().map(|byte| byte.count_zeros()).sum();
        let bits = f64::from(BITS);
        // The BEP's formula but at its ends: an empty filter counts 0, not one half, and a full one as if a bit were left.
        let zeros = f64::from(zeros.clamp(1, BITS));
        ((zeros / bits).ln() / (2.0 * (-1.0 / bits).ln_1p())).abs()
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Filter(about {:.0})", self.estimate())
    }
}

/// The two bits that stand for an address.
fn bits(ip: IpAddr) -> [usize; 2] {
    let hash: [u8; 20] = match ip.to_canonical() {
        IpAddr::V4(ip) => Sha1::digest(ip.octets()),
        IpAddr::V6(ip) => Sha1::digest(ip.octets()),
    }
    .into();
    let [a, b, c, d, ..] = hash;
    [[a, b], [c, d]].map(|pair| usize::from(u16::from_le_bytes(pair)) % BITS as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::{Ipv4Addr, Ipv6Addr};

    /// BEP 33: 192.0.2.0 to .255 and 2001:db8:: to 2001:db8::3e7.
    const VECTOR: &str = "\
        F6C3F5EAA07FFD91BDE89F777F26FB2BFF37BDB8FB2BBAA2FD3DDDE7BACFFF75EE7CCBAEFE5EEDB1FBFAFF67F6ABFF5E\
        43DDBCA3FD9B9FFDF4FFD3E9DFF12D1BDF59DB53DBE9FA5B7FF3B8FDFCDE1AFB8BEDD7BE2F3EE71EBBBFE93BCDEEFE14\
        8246C2BC5DBFF7E7EFDCF24FD8DC7ADFFD8FFFDFDDFFF7A4BBEEDF5CB95CE81FC7FCFF1FF4FFFFDFE5F7FDCBB7FD79B3\
        FA1FC77BFE07FFF905B7B7FFC7FEFEFFE0B8370BB0CD3F5B7F2BD93FEB4386CFDD6F7FD5BFAF2E9EBFFFFEECD67ADBF7\
        C67F17EFD5D75EBA6FFEBA7FFF47A91EB1BFBB53E8ABFB5762ABE8FF237279BFEFBFEEF5FFC5FEBFDFE5ADFFADFEE1FB\
        737FFFFBFD9F6AEFFEEE76B6FD8F72EF";

    fn v4s() -> impl Iterator<Item = IpAddr> {
        (0..=255).map(|last| Ipv4Addr::new(192, 0, 2, last).into())
    }

    fn v6s() -> impl Iterator<Item = IpAddr> {
        (0..=0x3e7).map(|last| Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last).into())
    }

    fn filter(addresses: impl Iterator<Item = IpAddr>) -> Filter {
        let mut filter = Filter::default();
        addresses.for_each(|ip| filter.insert(ip));
        filter
    }

    #[test]
    fn the_vector_of_bep_33_is_made_to_the_byte_and_estimated_as_it_says() {
        let made = filter(v4s().chain(v6s()));
        let hex: String = made.as_bytes().iter().map(|byte| format!("{byte:02X}")).collect();
        assert_eq!(hex, VECTOR);
        // The BEP cuts after four digits; rounded it would be 1224.9309.
        assert_eq!((made.estimate() * 10_000.0).floor(), 12_249_308.0);
    }

    #[test]
    fn a_union_holds_what_either_holds() {
        let mut union = filter(v4s());
        union.union(&filter(v6s()));
        assert_eq!(union, filter(v4s().chain(v6s())));
        assert!(v4s().chain(v6s()).all(|ip| union.contains(ip)));
        let strangers = v6s().filter(|&ip| filter(v4s()).contains(ip)).count();
        assert!(strangers < 100, "{strangers} of 1,000 seem to be in a filter of 256 others");
    }

    #[test]
    fn an_empty_filter_counts_nobody_and_a_full_one_is_finite() {
        assert!(Filter::default().is_empty());
        assert_eq!(Filter::default().estimate(), 0.0);
        let full = Filter::from_bytes(&[0xff; FILTER_LEN]).unwrap();
        assert!(!full.is_empty());
        assert!((7_000.0..8_000.0).contains(&full.estimate()), "{}", full.estimate());
    }

    #[test]
    fn an_ipv4_address_counts_once_whatever_it_wears() {
        let mut filter = filter(["8.8.8.8".parse().unwrap()].into_iter());
        let before = filter.clone();
        filter.insert("::ffff:8.8.8.8".parse().unwrap());
        assert_eq!(filter, before);
    }

    #[test]
    fn only_256_bytes_are_a_filter() {
        for len in [0, 255, 257] {
            assert_eq!(Filter::from_bytes(&vec![0; len]), None);
        }
        assert_eq!(Filter::from_bytes(&[3; 256]).unwrap().as_bytes(), &[3; 256]);
    }
}
