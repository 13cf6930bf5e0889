//! Ranges of addresses as operators write them: `10.0.0.0/8`, `2001:db8::/32`, or one address.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// All addresses that begin with the same bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Network {
    ip: IpAddr,
    prefix_len: u8,
}

impl Network {
    /// Those that share so many bits with this address; at most all of them.
    pub fn of(ip: impl Into<IpAddr>, prefix_len: u8) -> Network {
        let ip = ip.into().to_canonical();
        Network { ip, prefix_len: prefix_len.min(bits(ip).1) }
    }

    /// Whether the address is one of them. An IPv4 address is the same however it is written.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let (ours, theirs) = (bits(self.ip), bits(ip.to_canonical()));
        ours.1 == theirs.1
            && (ours.0 ^ theirs.0).checked_shr(u32::from(ours.1 - self.prefix_len)).unwrap_or(0) == 0
    }
}

/// The address as a number, and how many bits it has.
fn bits(ip: IpAddr) -> (u128, u8) {
    match ip {
        IpAddr::V4(ip) => (u32::from(ip).into(), 32),
        IpAddr::V6(ip) => (ip.into(), 128),
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Network, String> {
        let bad = || format!("`{text}` is no network; write 10.0.0.0/8, 2001:db8::/32 or one address");
        let (ip, len) = text.split_once('/').map_or((text, None), |(ip, len)| (ip, Some(len)));
        let ip = ip.parse::<IpAddr>().map_err(|_| bad())?.to_canonical();
        let longest = bits(ip).1;
        let prefix_len = len.map_or(Ok(longest), |len| len.parse().map_err(|_| bad()))?;
        if prefix_len <= longest { Ok(Network { ip, prefix_len }) } else { Err(bad()) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.prefix_len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_the_addresses_that_begin_like_it() {
        for (network, inside, outside) in [
            (
                "10.0.0.0/8",
                &["10.0.0.0", "10.255.1.2", "::ffff:10.1.1.1"][..],
                &["11.0.0.0", "9.255.255.255", "::1"][..],
            ),
            ("192.0.2.7", &["192.0.2.7"], &["192.0.2.6", "192.0.2.8"]),
            ("192.0.2.200/25", &["192.0.2.128", "192.0.2.255"], &["192.0.2.127"]),
            ("0.0.0.0/0", &["0.0.0.0", "255.255.255.255"], &["::"]),
            ("::/0", &["::", "ffff::"], &["1.2.3.4"]),
            ("2001:db8::/32", &["2001:db8:ffff::1"], &["2001:db9::"]),
        ] {
            let parsed: Network = network.parse().unwrap();
            assert!(inside.iter().all(|ip| parsed.contains(ip.parse().unwrap())), "{network}");
            assert!(!outside.iter().any(|ip| parsed.contains(ip.parse().unwrap())), "{network}");
            assert_eq!(parsed.to_string().parse(), Ok(parsed));
        }
        for bad in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "10.0.0.0/", "10.0.0.0/-1", "host/8"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }
}
