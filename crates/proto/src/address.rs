//! Strangers' addresses: one spelling each, and which of them one party may hold. No policy. BEP: 7, 40

use core::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::collections::{BTreeSet, VecDeque};

/// One spelling per address: no IPv4 in IPv6 clothes, no flow label. Link-local scopes stay.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    match (address.ip().to_canonical(), address) {
        (IpAddr::V6(_), SocketAddr::V6(mut v6)) => {
            v6.set_flowinfo(0);
            SocketAddr::V6(v6)
        }
        (ip, _) => SocketAddr::new(ip, address.port()),
    }
}

/// An address as it is meant by who names it. A link-local one of IPv6 means something on the network alone that both of them are on, and
/// crosses that without the number that it has here (RFC 4007, 6); so it gets the teller's. `None` if the teller is
/// reached otherwise: then nobody knows which network is meant.
pub fn as_told_by(teller: SocketAddr, told: SocketAddr) -> Option<SocketAddr> {
    match (told, teller) {
        (SocketAddr::V6(mut told), _) if told.ip().is_unicast_link_local() => match teller {
            SocketAddr::V6(teller) if teller.ip().is_unicast_link_local() => {
                told.set_scope_id(teller.scope_id());
                Some(SocketAddr::V6(told))
            }
            _ => None,
        },
        _ => Some(told),
    }
}

/// Whether an address means something to a peer: a link-local one of IPv6 does to those alone that are on the same network.
pub fn means_something_to(peer: SocketAddr, address: SocketAddr) -> bool {
    as_told_by(peer, address) == Some(address)
}

/// Whether a peer may have this address at all.
pub fn may_be_a_peer(ip: IpAddr) -> bool {
    let nobody = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast() || ip.octets()[0] == 0);
    !(ip.is_unspecified() || ip.is_multicast() || nobody)
}

/// What one host commands: an IPv4 address, but a whole /64 of IPv6.
pub fn host(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64))),
    }
}

/// The block of addresses that one party may hold, a /24 or a /48; none on private networks and this machine, where all
/// neighbours share one block.
pub fn block(ip: IpAddr) -> Option<IpAddr> {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let private = ip.is_private() || ip.is_loopback() || ip.is_link_local();
            (!private).then(|| IpAddr::V4((ip.to_bits() & 0xffff_ff00).into()))
        }
        IpAddr::V6(ip) => {
            let private = ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local();
            (!private).then(|| IpAddr::V6((ip.to_bits() & (u128::MAX << 80)).into()))
        }
    }
}

/// The network that one rich party may hold much of, a /8 or a /32; none on private networks and this machine.
pub fn network(ip: IpAddr) -> Option<IpAddr> {
    block(ip)?;
    match ip.to_canonical() {
        IpAddr::V4(ip) => Some(IpAddr::V4((ip.to_bits() & 0xff00_0000).into())),
        IpAddr::V6(ip) => Some(IpAddr::V6((ip.to_bits() & (u128::MAX << 96)).into())),
    }
}

/// Whether an address can be a host's out on the internet: not one of networks at home, of a carrier's own (100.64/10), of this machine, of
/// tests between networks (198.18/15) or of nobody (RFC 6890); of IPv6 only what is given out, 2000::/3.
pub fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            let reserved = match (a, b, c) {
                (0 | 127 | 224.., _, _) | (192, 0, 0) => true,
                (100, b, _) => b & 0xc0 == 64,
                (198, b, _) => b & 0xfe == 18,
                (_, _, _) => false,
            };
            !(reserved || ip.is_private() || ip.is_link_local())
        }
        IpAddr::V6(ip) => ip.segments()[0] & 0xe000 == 0x2000,
    }
}

/// An address as it is kept where there are many: half as large as a [`SocketAddr`] while it is IPv4, as most are. In the same order.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kept {
    /// IPv4.
    V4(SocketAddrV4),
    /// IPv6.
    V6(Box<SocketAddrV6>),
}

impl Kept {
    /// This address, to be kept.
    pub fn new(address: SocketAddr) -> Kept {
        match address {
            SocketAddr::V4(address) => Kept::V4(address),
            SocketAddr::V6(address) => Kept::V6(Box::new(address)),
        }
    }

    /// The address.
    pub fn get(&self) -> SocketAddr {
        match self {
            Kept::V4(address) => SocketAddr::V4(*address),
            Kept::V6(address) => SocketAddr::V6(**address),
        }
    }

    /// Its host.
    pub fn ip(&self) -> IpAddr {
        self.get().ip()
    }
}

/// A bounded set of hosts; when it is full the oldest gives way.
#[derive(Clone, Debug)]
pub struct HostSet {
    hosts: BTreeSet<IpAddr>,
    /// The same in the order in which they came.
    order: VecDeque<IpAddr>,
    max: usize,
}

impl HostSet {
    /// An empty set of at most `max` hosts.
    pub fn new(max: usize) -> HostSet {
        HostSet { hosts: BTreeSet::new(), order: VecDeque::new(), max }
    }

    /// Adds the host of an address.
    pub fn insert(&mut self, ip: IpAddr) {
        let host = host(ip);
        if !self.hosts.insert(host) {
            return;
        }
        self.order.push_back(host);
        if self.order.len() > self.max
            && let Some(oldest) = self.order.pop_front()
        {
            self.hosts.remove(&oldest);
        }
    }

    /// Takes the host of an address out. Goes through the order of all, so not for hot paths.
    pub fn remove(&mut self, ip: IpAddr) {
        let host = host(ip);
        if self.hosts.remove(&host) {
            self.order.retain(|other| *other != host);
        }
    }

    /// Whether the host of this address is in the set.
    pub fn has(&self, ip: IpAddr) -> bool {
        self.hosts.contains(&host(ip))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_blocks_are_what_one_party_holds() {
        for (ip, expected_host, expected_block) in [
            ("9.8.7.6", "9.8.7.6", Some("9.8.7.0")),
            ("::ffff:9.8.7.6", "9.8.7.6", Some("9.8.7.0")),
            ("2001:db8:1:2:3::4", "2001:db8:1:2::", Some("2001:db8:1::")),
            ("10.1.2.3", "10.1.2.3", None),
            ("192.168.1.2", "192.168.1.2", None),
            ("172.16.0.9", "172.16.0.9", None),
            ("169.254.0.9", "169.254.0.9", None),
            ("127.0.0.1", "127.0.0.1", None),
            ("::1", "::", None),
            ("fe80::1", "fe80::", None),
            ("fd00::1", "fd00::", None),
        ] {
            let ip: IpAddr = ip.parse().unwrap();
            assert_eq!(host(ip), expected_host.parse::<IpAddr>().unwrap(), "{ip}");
            assert_eq!(block(ip), expected_block.map(|text| text.parse().unwrap()), "{ip}");
        }
    }

    #[test]
    fn link_local_addresses_are_of_the_network_of_who_names_them() {
        for (teller, told, meant) in [
            ("[fe80::1%3]:50000", "[fe80::2]:6881", Some("[fe80::2%3]:6881")),
            ("[fe80::1%3]:50000", "[fe80::2%9]:6881", Some("[fe80::2%3]:6881")),
            ("[2001:db8::1]:50000", "[fe80::2]:6881", None),
            ("10.0.0.1:50000", "[fe80::2]:6881", None),
            ("[fe80::1%3]:50000", "[2001:db8::2]:6881", Some("[2001:db8::2]:6881")),
            ("[fe80::1%3]:50000", "169.254.1.2:6881", Some("169.254.1.2:6881")),
            ("9.9.9.9:50000", "8.8.8.8:6881", Some("8.8.8.8:6881")),
        ] {
            let [teller, told] = [teller, told].map(|text| text.parse().unwrap());
            assert_eq!(as_told_by(teller, told), meant.map(|text| text.parse().unwrap()), "{teller} {told}");
        }
    }

    #[test]
    fn networks_are_eights_and_thirty_twos_and_what_nobody_can_have_out_there_is_not_public() {
        for (ip, expected_network, public) in [
            ("9.8.7.6", Some("9.0.0.0"), true),
            ("2001:db8:1:2:3::4", Some("2001:db8::"), true),
            ("10.1.2.3", None, false),
            ("172.31.0.9", None, false),
            ("172.32.0.9", Some("172.0.0.0"), true),
            ("192.168.1.2", None, false),
            ("169.254.0.9", None, false),
            ("127.9.0.1", None, false),
            ("0.1.2.3", Some("0.0.0.0"), false),
            ("100.64.0.1", Some("100.0.0.0"), false),
            ("100.127.255.1", Some("100.0.0.0"), false),
            ("100.63.0.1", Some("100.0.0.0"), true),
            ("100.128.0.1", Some("100.0.0.0"), true),
            ("192.0.0.8", Some("192.0.0.0"), false),
            ("198.19.0.8", Some("198.0.0.0"), false),
            ("198.20.0.8", Some("198.0.0.0"), true),
            ("223.255.0.1", Some("223.0.0.0"), true),
            ("224.0.0.1", Some("224.0.0.0"), false),
            ("240.0.0.1", Some("240.0.0.0"), false),
            ("255.255.255.255", Some("255.0.0.0"), false),
            ("::1", None, false),
            ("fe80::1", None, false),
            ("fd00::1", None, false),
            ("ff02::1", Some("ff02::"), false),
            ("64:ff9b::1", Some("64:ff9b::"), false),
            ("::ffff:240.0.0.1", Some("240.0.0.0"), false),
        ] {
            let ip: IpAddr = ip.parse().unwrap();
            assert_eq!(network(ip), expected_network.map(|text| text.parse().unwrap()), "{ip}");
            assert_eq!(is_public(ip), public, "{ip}");
        }
    }

    #[test]
    fn the_oldest_host_gives_way_and_naming_it_again_changes_nothing() {
        let mut set = HostSet::new(2);
        let ip = |n: u8| IpAddr::from([9, 9, 9, n]);
        [1, 2, 1, 3].into_iter().for_each(|n| set.insert(ip(n)));
        assert_eq!([1, 2, 3].map(|n| set.has(ip(n))), [false, true, true]);
        [2, 9].into_iter().for_each(|n| set.remove(ip(n)));
        assert_eq!([1, 2, 3].map(|n| set.has(ip(n))), [false, false, true]);
        [4, 5].into_iter().for_each(|n| set.insert(ip(n)));
        assert_eq!([2, 3, 4, 5].map(|n| set.has(ip(n))), [false, false, true, true]);
    }
}
