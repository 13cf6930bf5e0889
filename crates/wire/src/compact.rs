//! Addresses of peers as trackers, the DHT and peer exchange pack them: 6 bytes for IPv4, 18 for IPv6, port last.
//!
//! Knows bytes, not manners: which addresses are worth a dial is decided elsewhere. Invariant: what comes out can be
//! dialled, so port 0 never does, and an IPv4 address that came as IPv6 comes out as what it is. BEP: 7, 23

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Bytes of a packed IPv4 address and port.
pub const V4_LEN: usize = 6;

/// Bytes of a packed IPv6 address and port.
pub const V6_LEN: usize = 18;

/// Which of the two packings.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Family {
    /// 6 bytes each.
    V4,
    /// 18 bytes each.
    V6,
}

impl Family {
    /// The family of an address.
    pub fn of(address: &SocketAddr) -> Family {
        if address.is_ipv4() { Family::V4 } else { Family::V6 }
    }

    /// Bytes of one packed address and port.
    pub fn packed_len(self) -> usize {
        match self {
            Family::V4 => V4_LEN,
            Family::V6 => V6_LEN,
        }
    }
}

/// The addresses in `bytes`, but those with port 0. Bytes at the end that are no whole address are left out.
pub fn decode(bytes: &[u8], family: Family) -> impl Iterator<Item = SocketAddr> + '_ {
    bytes.chunks_exact(family.packed_len()).filter_map(move |packed| {
        let (ip, port) = packed.split_at_checked(packed.len().checked_sub(2)?)?;
        let port = u16::from_be_bytes(port.try_into().ok()?);
        let ip = match family {
            Family::V4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(ip).ok()?)),
            Family::V6 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(ip).ok()?)).to_canonical(),
        };
        (port != 0).then_some(SocketAddr::new(ip, port))
    })
}

/// Appends an address packed as its own family says. Scope and flow of IPv6 have no place on the wire.
pub fn encode(address: &SocketAddr, out: &mut Vec<u8>) {
    match address.ip() {
        IpAddr::V4(ip) => out.extend(ip.octets()),
        IpAddr::V6(ip) => out.extend(ip.octets()),
    }
    out.extend(address.port().to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(addresses: &[&str]) -> Vec<u8> {
        let mut out = Vec::new();
        addresses.iter().for_each(|address| encode(&address.parse().unwrap(), &mut out));
        out
    }

    fn unpacked(bytes: &[u8], family: Family) -> Vec<String> {
        decode(bytes, family).map(|address| address.to_string()).collect()
    }

    #[test]
    fn addresses_survive_the_packing() {
        let v4 = ["10.0.0.1:6881", "255.255.255.255:65535"];
        let v6 = ["[2001:db8::1]:6881", "[fe80::1]:1"];
        assert_eq!(unpacked(&packed(&v4), Family::V4), v4);
        assert_eq!(unpacked(&packed(&v6), Family::V6), v6);
    }

    #[test]
    fn port_0_is_dropped_and_a_stump_at_the_end_is_left_out() {
        let mut bytes = packed(&["10.0.0.1:0", "10.0.0.2:2"]);
        bytes.extend([10, 0, 0, 3, 0]);
        assert_eq!(unpacked(&bytes, Family::V4), ["10.0.0.2:2"]);
    }

    #[test]
    fn an_ipv4_address_in_ipv6_dress_comes_out_as_ipv4() {
        assert_eq!(unpacked(&packed(&["[::ffff:10.0.0.1]:7"]), Family::V6), ["10.0.0.1:7"]);
    }
}
