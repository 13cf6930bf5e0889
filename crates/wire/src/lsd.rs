//! Local service discovery: the datagram by which a client says to all on its network which torrents it takes part in.
//!
//! ```text
//! BT-SEARCH * HTTP/1.1\r\n
//! Host: 239.192.152.143:6771\r\n
//! Port: 51413\r\n
//! Infohash: 0123456789abcdef0123456789abcdef01234567\r\n      one or several
//! cookie: 1f00ba12\r\n                                        by which a client knows its own words
//! \r\n
//! \r\n
//! ```
//!
//! Knows bytes, not manners: how often one may be sent, and what is believed, is decided elsewhere. Invariant: at most
//! [`HASHES_MAX`] hashes come out, whatever goes in, and never port 0. BEP: 14. Threats: D9

use crate::InfoHash;
use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// Where all listen (BEP 14).
pub const PORT: u16 = 6771;

/// The group of all that listen over IPv4 (BEP 14): of the organisation's scope, in which the TTL of 1 keeps it on one network.
pub const GROUP_V4: Ipv4Addr = Ipv4Addr::new(239, 192, 152, 143);

/// The group of all that listen over IPv6 (BEP 14).
pub const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0xefc0, 0x988f);

/// Longest datagram that we send (BEP 14: "should not exceed 1400 bytes").
pub const DATAGRAM_LEN_MAX: usize = 1400;

/// Hashes in one datagram of ours: with them it has 1,387 bytes at most.
pub const HASHES_PER_DATAGRAM: usize = 25;

/// Longest datagram that is read: others may count less closely.
pub const HEARD_LEN_MAX: usize = 4096;

/// Most hashes that are read of one datagram: twice what 1,400 bytes can hold.
pub const HASHES_MAX: usize = 64;

/// Longest cookie that is read; a longer one counts as none. Ours has 8 bytes.
const COOKIE_LEN_MAX: usize = 64;

/// Most lines that are looked at.
const LINES_MAX: usize = 128;

/// What a client says: who has which of these torrents, speak up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Search {
    /// Where the sender takes connections, at the address that the datagram came from. Never 0.
    pub port: u16,
    /// Torrents that it takes part in; at least one.
    pub info_hashes: Vec<InfoHash>,
    /// By which it knows its own words.
    pub cookie: Option<Box<str>>,
}

/// Why a datagram is no search.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LsdError {
    /// Longer than [`HEARD_LEN_MAX`], or of more than a hundred lines.
    TooLong,
    /// It does not begin with `BT-SEARCH * HTTP/1.`.
    NotASearch,
    /// No `Port`, or none between 1 and 65,535.
    NoPort,
    /// No `Infohash` of 40 hexadecimal digits.
    NoInfoHash,
}

impl fmt::Display for LsdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LsdError::TooLong => "local discovery: a datagram too long",
            LsdError::NotASearch => "local discovery: not a BT-SEARCH",
            LsdError::NoPort => "local discovery: no usable port",
            LsdError::NoInfoHash => "local discovery: no info-hash",
        })
    }
}

impl core::error::Error for LsdError {}

impl Search {
    /// Reads a datagram, as leniently as clients need: names of fields in any case, lines that end in CR LF or LF, unknown fields,
    /// no empty lines at the end. Of several ports the first counts; a hash that is none is left out.
    ///
    /// # Errors
    /// When it says nothing of use.
    pub fn decode(datagram: &[u8]) -> Result<Search, LsdError> {
        if datagram.len() > HEARD_LEN_MAX {
            return Err(LsdError::TooLong);
        }
        let mut lines = datagram.split(|&byte| byte == b'\n').map(|line| line.trim_ascii());
        if !lines.next().is_some_and(is_search) {
            return Err(LsdError::NotASearch);
        }
        let (mut port, mut cookie, mut info_hashes) = (None, None, Vec::new());
        for (number, line) in lines.enumerate() {
            if number >= LINES_MAX {
                return Err(LsdError::TooLong);
            }
            let Some((name, value)) = field(line) else { continue };
            if name.eq_ignore_ascii_case(b"infohash") {
                let hash = core::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
                info_hashes.extend(
                    hash.filter(|hash| info_hashes.len() < HASHES_MAX && !info_hashes.contains(hash)),
                );
            } else if name.eq_ignore_ascii_case(b"port") {
                port = port.or_else(|| number_of(value));
            } else if name.eq_ignore_ascii_case(b"cookie") && value.len() <= COOKIE_LEN_MAX {
                cookie = core::str::from_utf8(value).ok().map(Box::from);
            }
        }
        let port = port.filter(|&port| port != 0).ok_or(LsdError::NoPort)?;
        if info_hashes.is_empty() {
            return Err(LsdError::NoInfoHash);
        }
        Ok(Search { port, info_hashes, cookie })
    }

    /// The datagram for the group at this address. Keep to [`HASHES_PER_DATAGRAM`], and to a cookie of 8 bytes.
    pub fn encode(&self, group: SocketAddr) -> Vec<u8> {
        let mut text = format!("BT-SEARCH * HTTP/1.1\r\nHost: {group}\r\nPort: {}\r\n", self.port);
        for hash in &self.info_hashes {
            text.push_str(&format!("Infohash: {hash}\r\n"));
        }
        if let Some(cookie) = &self.cookie {
            text.push_str(&format!("cookie: {cookie}\r\n"));
        }
        text.push_str("\r\n\r\n");
        text.into_bytes()
    }
}

/// Whether this is the first line of a search.
fn is_search(line: &[u8]) -> bool {
    let mut words = line.split(|&byte| byte == b' ').filter(|word| !word.is_empty());
    let method = words.next().is_some_and(|word| word.eq_ignore_ascii_case(b"BT-SEARCH"));
    let target = words.next() == Some(b"*");
    let version = words.next().is_some_and(|word| word.to_ascii_uppercase().starts_with(b"HTTP/1."));
    method && target && version && words.next().is_none()
}

/// The name and the value of a line.
fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|&byte| byte == b':')?;
    let (name, value) = (line.get(..colon)?, line.get(colon + 1..)?);
    Some((name.trim_ascii(), value.trim_ascii()))
}

fn number_of(digits: &[u8]) -> Option<u16> {
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    core::str::from_utf8(digits).ok().filter(|_| plain)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "0123456789abcdef0123456789abcdef01234567";

    fn hash(number: u8) -> InfoHash {
        InfoHash([number; 20])
    }

    #[test]
    fn a_search_is_written_as_bep_14_draws_it() {
        let search =
            Search { port: 51413, info_hashes: vec![hash(1), hash(0xab)], cookie: Some("1f00ba12".into()) };
        let ones = "01".repeat(20);
        let abs = "ab".repeat(20);
        let expected = format!(
            "BT-SEARCH * HTTP/1.1\r\nHost: 239.192.152.143:6771\r\nPort: 51413\r\nInfohash: {ones}\r\n\
             Infohash: {abs}\r\ncookie: 1f00ba12\r\n\r\n\r\n"
        );
        assert_eq!(search.encode((GROUP_V4, PORT).into()), expected.as_bytes());
        let v6 = String::from_utf8(search.encode((GROUP_V6, PORT).into())).unwrap();
        assert!(v6.contains("\r\nHost: [ff15::efc0:988f]:6771\r\n"), "{v6}");
    }

    #[test]
    fn what_is_written_is_read_and_the_fullest_datagram_is_short_enough() {
        let info_hashes = (0..HASHES_PER_DATAGRAM as u8).map(hash).collect();
        let full = Search { port: 65_535, info_hashes, cookie: Some("ffffffff".into()) };
        for group in [SocketAddr::from((GROUP_V4, PORT)), (GROUP_V6, PORT).into()] {
            let datagram = full.encode(group);
            assert!(datagram.len() <= DATAGRAM_LEN_MAX, "{}", datagram.len());
            assert_eq!(Search::decode(&datagram), Ok(full.clone()));
        }
    }

    #[test]
    fn other_clients_manners_are_understood() {
        let good = |port, hashes: &[&str], cookie: Option<&str>| {
            let info_hashes = hashes.iter().map(|hash| hash.parse().unwrap()).collect();
            Ok(Search { port, info_hashes, cookie: cookie.map(Into::into) })
        };
        let upper = HASH.to_uppercase();
        for (text, expected) in [
            // libtorrent 2, Transmission 4: small differences in case and order.
            (
                format!(
                    "BT-SEARCH * HTTP/1.1\r\nHost: 239.192.152.143:6771\r\nPort: 6881\r\nInfohash: {HASH}\r\ncookie: 5d1\r\n\r\n\r\n"
                ),
                good(6881, &[HASH], Some("5d1")),
            ),
            (
                format!(
                    "BT-SEARCH * HTTP/1.1\r\nHost: 239.192.152.143:6771\r\nPort: 6881\r\nInfohash: {upper}\r\n\r\n\r\n"
                ),
                good(6881, &[HASH], None),
            ),
            // No end, bare line feeds, spaces, names in other cases, fields that nobody knows.
            (format!("BT-SEARCH * HTTP/1.1\nPORT:1\nINFOHASH:{HASH}"), good(1, &[HASH], None)),
            (
                format!(
                    "bt-search  *  http/1.0 \r\n Port :  9 \r\nX: y\r\nnonsense\r\ninfohash : {HASH} \r\n"
                ),
                good(9, &[HASH], None),
            ),
            // Named twice, or not a hash: once, or not at all.
            (
                format!(
                    "BT-SEARCH * HTTP/1.1\r\nPort: 9\r\nPort: 10\r\nInfohash: {HASH}\r\nInfohash: xyz\r\nInfohash: {upper}\r\n"
                ),
                good(9, &[HASH], None),
            ),
            (
                format!(
                    "BT-SEARCH * HTTP/1.1\r\nPort: 9\r\nInfohash: {HASH}\r\ncookie: {}\r\n",
                    "c".repeat(65)
                ),
                good(9, &[HASH], None),
            ),
            (
                format!("BT-SEARCH * HTTP/1.1\r\nPort: 9\r\nInfohash: {HASH}\r\ncookie:\r\n"),
                good(9, &[HASH], Some("")),
            ),
        ] {
            assert_eq!(Search::decode(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn what_says_nothing_of_use_is_refused_for_its_reason() {
        let line = "BT-SEARCH * HTTP/1.1\r\n";
        for (text, expected) in [
            (String::new(), LsdError::NotASearch),
            ("M-SEARCH * HTTP/1.1\r\n".into(), LsdError::NotASearch),
            ("BT-SEARCH * HTTP/2\r\n".into(), LsdError::NotASearch),
            ("BT-SEARCH / HTTP/1.1\r\n".into(), LsdError::NotASearch),
            ("BT-SEARCH * HTTP/1.1 more\r\n".into(), LsdError::NotASearch),
            (line.into(), LsdError::NoPort),
            (format!("{line}Infohash: {HASH}\r\n"), LsdError::NoPort),
            (format!("{line}Port: 0\r\nInfohash: {HASH}\r\n"), LsdError::NoPort),
            (format!("{line}Port: 65536\r\nInfohash: {HASH}\r\n"), LsdError::NoPort),
            (format!("{line}Port: +80\r\nInfohash: {HASH}\r\n"), LsdError::NoPort),
            (format!("{line}Port: 80\r\n"), LsdError::NoInfoHash),
            (format!("{line}Port: 80\r\nInfohash: {}\r\n", &HASH[1..]), LsdError::NoInfoHash),
            (format!("{line}Port: 80\r\n{}", "\r\n".repeat(LINES_MAX + 1)), LsdError::TooLong),
            (format!("{line}Port: 80\r\nX: {}\r\n", "x".repeat(HEARD_LEN_MAX)), LsdError::TooLong),
        ] {
            assert_eq!(Search::decode(text.as_bytes()), Err(expected), "{text:?}");
        }
    }

    #[test]
    fn no_more_hashes_come_out_than_the_bound() {
        let lines: String = (0..72).map(|number| format!("infohash:{}\n", hash(number))).collect();
        let text = format!("BT-SEARCH * HTTP/1.1\nport:1\n{lines}");
        assert!(text.len() <= HEARD_LEN_MAX);
        let read = Search::decode(text.as_bytes()).unwrap();
        assert_eq!(read.info_hashes, (0..HASHES_MAX as u8).map(hash).collect::<Vec<_>>());
    }
}
