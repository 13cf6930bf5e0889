//! Which of two addresses should rather be linked: a number that both ends compute alike and neither chooses, so that a full swarm
//! settles into a random graph and nobody can push others out. BEP: 40
//!
//! Not a decision: who is dialled or dropped is the torrent's to say.

use core::net::{IpAddr, SocketAddr};

/// The priority of a link between two ends; higher is kept. Ends of different address families have none in common: 0.
pub fn canonical(ours: SocketAddr, theirs: SocketAddr) -> u32 {
    match (ours.ip().to_canonical(), theirs.ip().to_canonical()) {
        (a, b) if a == b => {
            let (a, b) = (ours.port(), theirs.port());
            crc32c(&[a.min(b).to_be_bytes(), a.max(b).to_be_bytes()].concat())
        }
        (IpAddr::V4(a), IpAddr::V4(b)) => of_octets(a.octets(), b.octets(), [2, 3, 4]),
        // BEP 40 gives a mask for IPv6 (FFFF:FFFF:FFFF:5555:...) and no vectors; longer shared networks go on as for IPv4.
        (IpAddr::V6(a), IpAddr::V6(b)) => of_octets(a.octets(), b.octets(), [6, 7, 8]),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => 0,
    }
}

/// Of each address the first bytes count whole, of the rest every other bit: `[far, near, nearest]` bytes if the ends share fewer bytes
/// than `far`, fewer than `near`, or more. Addresses of one network are cheap to come by, so among neighbours more must count.
fn of_octets<const N: usize>(mut a: [u8; N], mut b: [u8; N], [far, near, nearest]: [usize; 3]) -> u32 {
    let shared = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    let whole = match shared {
        _ if shared >= near => nearest,
        _ if shared >= far => near,
        _ => far,
    };
    a.iter_mut()
        .chain(&mut b)
        .enumerate()
        .filter(|(at, _)| at % N >= whole)
        .for_each(|(_, byte)| *byte &= 0x55);
    crc32c(&[a.min(b), a.max(b)].concat())
}

/// CRC-32C (Castagnoli), reflected, bit by bit: a few dozen bytes per link.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ours: &str, theirs: &str) -> u32 {
        let (ours, theirs) = (ours.parse().unwrap(), theirs.parse().unwrap());
        let priority = canonical(ours, theirs);
        assert_eq!(canonical(theirs, ours), priority, "both ends agree");
        priority
    }

    #[test]
    fn the_vectors_of_the_specification_hold() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283, "RFC 3720");
        assert_eq!(of("123.213.32.10:1", "98.76.54.32:2"), 0xec2d_7224);
        assert_eq!(of("123.213.32.10:1", "123.213.32.234:2"), 0x9956_8189);
    }

    #[test]
    fn neighbours_in_a_far_network_look_alike_only_by_every_other_bit() {
        assert_eq!(of("1.2.3.4:1", "9.9.3.4:1"), of("1.2.3.4:1", "9.9.3.6:1"), "bit 1 is masked");
        assert_ne!(of("1.2.3.4:1", "9.9.3.4:1"), of("1.2.3.4:1", "9.9.3.5:1"), "bit 0 is not");
        assert_ne!(of("1.2.3.4:1", "1.2.3.6:1"), of("1.2.3.4:1", "1.2.3.8:1"), "one network: all bits count");
        assert_eq!(of("[2001:db8::1]:1", "[2001:db9::1]:1"), of("[2001:db8::1]:1", "[2001:db9::3]:1"));
    }

    #[test]
    fn one_address_is_told_apart_by_ports_and_mapped_addresses_are_ipv4() {
        assert_ne!(of("1.2.3.4:1000", "1.2.3.4:2000"), of("1.2.3.4:1000", "1.2.3.4:3000"));
        assert_eq!(of("[::ffff:123.213.32.10]:1", "98.76.54.32:2"), 0xec2d_7224);
        assert_eq!(of("1.2.3.4:1", "[2001:db8::1]:1"), 0);
    }
}
