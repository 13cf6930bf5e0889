//! Canonical peer priority: a number on which both ends of a possible link agree, so that swarms do not cluster and a flood
//! of one address block wins nothing. Higher is better. BEP: 40

use core::net::{IpAddr, SocketAddr};

/// The priority of a link between us and a peer; 0 between addresses of different families, which have none.
pub fn priority(ours: SocketAddr, theirs: SocketAddr) -> u32 {
    match (ours.ip().to_canonical(), theirs.ip().to_canonical()) {
        (a, b) if a == b => {
            let (low, high) = (ours.port().min(theirs.port()), ours.port().max(theirs.port()));
            crc32c(&[low.to_be_bytes(), high.to_be_bytes()].concat())
        }
        // The first bytes that always count: a /16 or a /48.
        (IpAddr::V4(a), IpAddr::V4(b)) => of_bytes(a.octets(), b.octets(), 2),
        (IpAddr::V6(a), IpAddr::V6(b)) => of_bytes(a.octets(), b.octets(), 6),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => 0,
    }
}

/// Bytes count in full up to the first that differs, and at least `whole`; of the others every second bit.
fn of_bytes<const N: usize>(mut a: [u8; N], mut b: [u8; N], whole: usize) -> u32 {
    let shared = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    let kept = whole.max(shared + 1);
    a.iter_mut().chain(b.iter_mut()).enumerate().filter(|(i, _)| i % N >= kept).for_each(|(_, x)| *x &= 0x55);
    crc32c(&if a <= b { [a, b] } else { [b, a] }.concat())
}

/// CRC-32C (Castagnoli), bit by bit: at most 32 bytes, once per candidate.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_are_those_of_bep_40() {
        for (ours, theirs, expected) in [
            // The vectors of the BEP.
            ("123.213.32.10:0", "98.76.54.32:0", 0xec2d_7224),
            ("123.213.32.10:0", "123.213.32.234:0", 0x9956_8189),
        ] {
            let (a, b) = (ours.parse().unwrap(), theirs.parse().unwrap());
            assert_eq!(priority(a, b), expected, "{ours} {theirs}");
            assert_eq!(priority(b, a), expected, "both ends agree");
        }
    }

    #[test]
    fn the_checksum_is_castagnolis() {
        // RFC 3720, B.4.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
    }

    #[test]
    fn bits_outside_the_mask_do_not_count() {
        let of = |a: &str, b: &str| priority(a.parse().unwrap(), b.parse().unwrap());
        // (ours, one peer, another peer, whether both count the same)
        for (ours, one, other, same) in [
            ("1.2.3.4:1", "5.6.7.8:1", "5.6.5.10:1", true),
            ("1.2.3.4:1", "5.6.7.8:1", "5.7.7.8:1", false),
            ("1.2.3.4:1", "1.2.7.8:1", "1.2.5.8:1", false),
            ("1.2.3.4:1", "1.2.7.8:1", "1.2.7.10:1", true),
            ("1.2.3.4:1", "1.2.3.4:5", "1.2.3.4:6", false),
            ("[2001:db8:1::1]:1", "[2002:db8:1::1]:1", "[2002:db8:1::3]:1", true),
            ("[2001:db8:1::1]:1", "[2001:db8:1:100::]:1", "[2001:db8:1:300::]:1", false),
            ("[2001:db8:1::1]:1", "[2001:db8:1:100::]:1", "[2001:db8:1:102::]:1", true),
            ("1.2.3.4:1", "[2001:db8::1]:1", "[2001:db8::2]:1", true),
        ] {
            assert_eq!(of(ours, one) == of(ours, other), same, "{ours} {one} {other}");
        }
    }
}
