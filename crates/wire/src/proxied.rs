//! The PROXY protocol: what a proxy says, before anything else, about whose connection it passes on. Versions 1 (a line) and 2 (binary),
//! as HAProxy specifies them.
//!
//! Whether the sender is a proxy that is believed is for the caller to ask first. Invariant: nothing is allocated; at most
//! [`HEADER_LEN_MAX`] bytes are read, for what follows a version 2 address is skipped, not kept.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The longest header that is read. A line has at most 107 bytes; binary headers have options, of which some proxies send many.
pub const HEADER_LEN_MAX: usize = 2048;

/// Opens a binary header.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// The longest line, its end included.
const LINE_LEN_MAX: usize = 107;

/// A whole header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Proxied {
    /// Whose connection it is; nothing if it is the proxy's own (a health check).
    pub source: Option<SocketAddr>,
    /// Bytes of the header: behind them the connection itself begins.
    pub len: usize,
}

/// It is no header of the PROXY protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotProxied;

impl Proxied {
    /// Reads a header from what has come so far; nothing if it is not complete.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(bytes: &[u8]) -> Result<Option<Proxied>, NotProxied> {
        let opening = bytes.get(..SIGNATURE.len()).unwrap_or(bytes);
        if SIGNATURE.starts_with(opening) {
            return if opening.len() == SIGNATURE.len() { read_binary(bytes) } else { Ok(None) };
        }
        let line = bytes.get(..LINE_LEN_MAX).unwrap_or(bytes);
        match line.windows(2).position(|window| window == b"\r\n") {
            Some(end) => read_line(bytes.get(..end).unwrap_or_default()).map(Some),
            None if line.len() < LINE_LEN_MAX
                && (b"PROXY ".starts_with(line) || line.starts_with(b"PROXY ")) =>
            {
                Ok(None)
            }
            None => Err(NotProxied),
        }
    }
}

/// `PROXY TCP4 192.0.2.7 192.0.2.1 56324 443`
fn read_line(line: &[u8]) -> Result<Proxied, NotProxied> {
    let text = core::str::from_utf8(line).map_err(|_| NotProxied)?;
    let len = line.len() + 2;
    let mut words = text.split(' ');
    if words.next() != Some("PROXY") {
        return Err(NotProxied);
    }
    let family = words.next().ok_or(NotProxied)?;
    if family == "UNKNOWN" {
        return Ok(Proxied { source: None, len });
    }
    let ip: IpAddr = words.next().and_then(|ip| ip.parse().ok()).ok_or(NotProxied)?;
    let to: IpAddr = words.next().and_then(|ip| ip.parse().ok()).ok_or(NotProxied)?;
    let mut port = || words.next().and_then(|port| port.parse::<u16>().ok()).ok_or(NotProxied);
    let (port, _to) = (port()?, port()?);
    let fits = match family {
        "TCP4" => ip.is_ipv4() && to.is_ipv4(),
        "TCP6" => ip.is_ipv6() && to.is_ipv6(),
        _ => false,
    };
    if !fits || words.next().is_some() {
        return Err(NotProxied);
    }
    Ok(Proxied { source: Some(SocketAddr::new(ip, port)), len })
}

/// Signature, version and command, family and transport, length of the rest; then addresses and ports, then options.
fn read_binary(bytes: &[u8]) -> Result<Option<Proxied>, NotProxied> {
    let Some(&[version, family, len0, len1]) = bytes.get(12..).and_then(|rest| rest.first_chunk()) else {
        return Ok(None);
    };
    let len = 16 + usize::from(u16::from_be_bytes([len0, len1]));
    if version >> 4 != 2 || len > HEADER_LEN_MAX {
        return Err(NotProxied);
    }
    let Some(rest) = bytes.get(16..len) else { return Ok(None) };
    let source = match (version & 15, family) {
        // A connection of its own.
        (0, _) => None,
        (1, 0x11) => {
            let addresses: &[u8; 12] = rest.first_chunk().ok_or(NotProxied)?;
            let [a, b, c, d, _, _, _, _, high, low, _, _] = *addresses;
            Some(SocketAddr::new(Ipv4Addr::new(a, b, c, d).into(), u16::from_be_bytes([high, low])))
        }
        (1, 0x21) => {
            let ip: &[u8; 16] = rest.first_chunk().ok_or(NotProxied)?;
            let [high, low, _, _] =
                *rest.get(32..).and_then(|ports| ports.first_chunk()).ok_or(NotProxied)?;
            Some(SocketAddr::new(Ipv6Addr::from(*ip).into(), u16::from_be_bytes([high, low])))
        }
        // Unix sockets, datagrams, families that do not exist yet: passed on, but from nowhere that we know.
        (1, _) => None,
        _ => return Err(NotProxied),
    };
    Ok(Some(Proxied { source, len }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let len = (rest.len() as u16).to_be_bytes();
        [SIGNATURE, &[0x20 | command, family, len[0], len[1]][..], rest].concat()
    }

    fn source(text: &str) -> Option<SocketAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn both_versions_say_whose_connection_it_is_wherever_they_are_cut() {
        let v4 = [192, 0, 2, 7, 192, 0, 2, 1, 0xdc, 4, 1, 0xbb];
        let mut v6 = [0; 36];
        v6[..4].copy_from_slice(&[0x20, 1, 0xd, 0xb8]);
        v6[15] = 7;
        v6[32..34].copy_from_slice(&80u16.to_be_bytes());
        for (header, expected) in [
            (b"PROXY TCP4 192.0.2.7 192.0.2.1 56324 443\r\n".to_vec(), source("192.0.2.7:56324")),
            (b"PROXY TCP6 2001:db8::7 2001:db8::1 80 443\r\n".to_vec(), source("[2001:db8::7]:80")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(), None),
            (binary(1, 0x11, &v4), source("192.0.2.7:56324")),
            (binary(1, 0x21, &v6), source("[2001:db8::7]:80")),
            (binary(1, 0x11, &[&v4[..], &[4; 100]].concat()), source("192.0.2.7:56324")),
            (binary(0, 0, &[]), None),
            (binary(1, 0x31, &[0; 216]), None),
        ] {
            for len in 0..header.len() {
                assert_eq!(Proxied::read(&header[..len]), Ok(None), "{header:?} {len}");
            }
            let followed = [&header[..], b"GET /"].concat();
            assert_eq!(Proxied::read(&followed), Ok(Some(Proxied { source: expected, len: header.len() })));
        }
    }

    #[test]
    fn what_is_no_header_is_refused_at_once() {
        let line = |text: &str| text.as_bytes().to_vec();
        for header in [
            line("GET / HTTP/1.1\r\n"),
            line("PROXX"),
            line("PROXY TCP4 192.0.2.7 192.0.2.1 56324\r\n"),
            line("PROXY TCP4 192.0.2.7 192.0.2.1 56324 443 9\r\n"),
            line("PROXY TCP4 2001:db8::7 2001:db8::1 80 443\r\n"),
            line("PROXY TCP4 x y 1 2\r\n"),
            line("PROXY TCP5 192.0.2.7 192.0.2.1 56324 443\r\n"),
            line("PROXY TCP4 192.0.2.7 192.0.2.1 70000 443\r\n"),
            line("PROXY\r\n"),
            format!("PROXY {}", "x".repeat(LINE_LEN_MAX)).into_bytes(),
            binary(1, 0x11, &[0; 11]),
            binary(1, 0x21, &[0; 35]),
            binary(2, 0x11, &[0; 12]),
            binary(1, 0x11, &[0; 3000]),
            [&SIGNATURE[..], &[0x11, 0x11, 0, 12], &[0; 12]].concat(),
        ] {
            assert_eq!(Proxied::read(&header), Err(NotProxied), "{header:?}");
        }
    }
}
