//! Who visits, if a reverse proxy that we trust passes the request on.
//!
//! Invariant: nothing that a visitor may have written itself is believed: `X-Forwarded-For` is read from its end, where each proxy
//! appends whom it heard, and only as long as whoever appended is trusted.

use crate::Network;
use std::net::{IpAddr, SocketAddr};
use wire::tracker_http::head::Head;

/// Proxies in a row at most.
const HOPS_MAX: usize = 8;

/// Whom the request is from; the proxy itself where it does not say, or says what is no address.
pub(super) fn visitor(head: &Head<'_>, proxy: IpAddr, trusted: &[Network]) -> IpAddr {
    let lines = head.values_from_last("X-Forwarded-For");
    let hops = lines.flat_map(|line| line.rsplit(|&byte| byte == b',').map(<[u8]>::trim_ascii));
    let mut visitor = proxy;
    for hop in hops.take(HOPS_MAX) {
        let Some(ip) = address(hop) else { return visitor };
        visitor = ip;
        if !trusted.iter().any(|network| network.contains(ip)) {
            break;
        }
    }
    visitor
}

/// An address; some proxies add its port, and brackets around one of IPv6.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = core::str::from_utf8(text).ok()?;
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let ip = bare.parse().ok().or_else(|| text.parse().ok().map(|at: SocketAddr| at.ip()));
    ip.map(|ip: IpAddr| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_address_that_no_trusted_proxy_has_is_the_visitors() {
        let trusted: Vec<Network> = ["10.0.0.0/8", "::1"].map(|network| network.parse().unwrap()).to_vec();
        for (fields, visitor) in [
            ("", "10.0.0.1"),
            ("X-Forwarded-For: 192.0.2.7\r\n", "192.0.2.7"),
            // Whatever the visitor itself sent stands before.
            ("X-Forwarded-For: 198.51.100.1, 192.0.2.7\r\n", "192.0.2.7"),
            ("X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-For: 192.0.2.7\r\n", "192.0.2.7"),
            ("x-forwarded-for: 192.0.2.7, 10.0.0.2,::1\r\n", "192.0.2.7"),
            ("X-Forwarded-For: 192.0.2.7:4711\r\n", "192.0.2.7"),
            ("X-Forwarded-For: [2001:db8::7]:80\r\n", "2001:db8::7"),
            ("X-Forwarded-For: [2001:db8::7]\r\n", "2001:db8::7"),
            ("X-Forwarded-For: ::ffff:192.0.2.7\r\n", "192.0.2.7"),
            ("X-Forwarded-For: 192.0.2.7, unknown\r\n", "10.0.0.1"),
            ("X-Forwarded-For: unknown, 10.0.0.2\r\n", "10.0.0.2"),
            ("X-Forwarded-For:\r\n", "10.0.0.1"),
        ] {
            let text = format!("GET / HTTP/1.1\r\n{fields}\r\n");
            let head = Head::read(text.as_bytes(), 0).unwrap().unwrap();
            let said = super::visitor(&head, "10.0.0.1".parse().unwrap(), &trusted);
            assert_eq!(said.to_string(), visitor, "{fields}");
        }
    }
}
