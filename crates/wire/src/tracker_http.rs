//! What HTTP trackers answer, read leniently and written canonically. The question is in [`query`]; HTTP itself is elsewhere.
//!
//! Invariant: an answer that is read is bounded: [`PEERS_MAX`] peers, texts of [`crate::announce::TEXT_LEN_MAX`] bytes.
//! Names of hosts in place of addresses are left out, for nobody looks names up on a stranger's word. BEP: 3, 7, 23, 24, 31

use crate::announce::{PEERS_MAX, TEXT_LEN_MAX, text};
use crate::bencode::{self, Bencode, BencodeError, Encoded, Limits, Value};
use crate::compact::{self, Family};
use crate::extension::ip;
use core::fmt;
use core::net::{IpAddr, SocketAddr};

pub mod answer;
pub mod head;
pub mod query;
pub mod scrape;
#[cfg(test)]
mod tests;

/// Seconds until the next visit if the tracker does not say: half an hour, as trackers ask for.
pub const INTERVAL_DEFAULT: u32 = 1800;

/// What an HTTP tracker answers to an announce.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    /// Peers.
    Peers(Box<Announced>),
    /// No.
    Refused {
        /// Why: a stranger's text.
        reason: Box<str>,
        /// When to come again, if it says (BEP 31).
        retry: Option<Retry>,
    },
}

/// A successful visit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Announced {
    /// Seconds until the next visit; [`INTERVAL_DEFAULT`] if it does not say.
    pub interval: u32,
    /// Seconds before which not to come again.
    pub min_interval: Option<u32>,
    /// Strangers' addresses.
    pub peers: Vec<SocketAddr>,
    /// How many have everything.
    pub complete: Option<u32>,
    /// How many are downloading.
    pub incomplete: Option<u32>,
    /// To be sent back with the next visit.
    pub tracker_id: Option<Box<str>>,
    /// Our address as the tracker sees it (BEP 24).
    pub external_ip: Option<IpAddr>,
    /// For the user: a stranger's text.
    pub warning: Option<Box<str>>,
}

impl Default for Announced {
    fn default() -> Announced {
        Announced {
            interval: INTERVAL_DEFAULT,
            min_interval: None,
            peers: Vec::new(),
            complete: None,
            incomplete: None,
            tracker_id: None,
            external_ip: None,
            warning: None,
        }
    }
}

/// When to come again after a refusal (BEP 31).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Retry {
    /// After this many minutes.
    Minutes(u32),
    /// Not at all.
    Never,
}

/// Why a body is no answer of a tracker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReplyError {
    /// No bencode, or too much: often a web page.
    Bencode(BencodeError),
    /// Bencode, but no dictionary with an interval, peers or a refusal.
    NotAReply,
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReplyError::Bencode(error) => write!(f, "tracker reply: {error}"),
            ReplyError::NotAReply => f.write_str("tracker reply: neither peers nor a refusal"),
        }
    }
}

impl core::error::Error for ReplyError {}

/// How an answer names peers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PeerFormat {
    /// Packed: `peers` for IPv4, `peers6` for IPv6 (BEP 7, 23).
    Compact,
    /// A dictionary each (BEP 3).
    Dictionaries,
}

impl Reply {
    /// Reads the body of a tracker's answer, whatever its HTTP status was.
    ///
    /// # Errors
    /// When it is not bencode within [`Limits::TRACKER_REPLY`], or says nothing that an announce asks for.
    pub fn decode(body: &[u8]) -> Result<Reply, ReplyError> {
        let parsed = Bencode::parse(body, &Limits::TRACKER_REPLY).map_err(ReplyError::Bencode)?;
        let root = parsed.root();
        if let Some(reason) = root.get("failure reason").and_then(|reason| reason.as_bytes()) {
            return Ok(Reply::Refused { reason: text(reason), retry: root.get("retry in").and_then(retry) });
        }
        let (interval, peers, peers6) = (root.get("interval"), root.get("peers"), root.get("peers6"));
        if interval.is_none() && peers.is_none() && peers6.is_none() {
            return Err(ReplyError::NotAReply);
        }
        let mut found = Vec::new();
        peers.into_iter().for_each(|peers| read_peers(peers, Family::V4, &mut found));
        peers6.into_iter().for_each(|peers| read_peers(peers, Family::V6, &mut found));
        let tracker_id = root.get("tracker id").and_then(|id| id.as_str());
        Ok(Reply::Peers(Box::new(Announced {
            interval: interval.and_then(number).unwrap_or(INTERVAL_DEFAULT),
            min_interval: root.get("min interval").and_then(number),
            peers: found,
            complete: root.get("complete").and_then(number),
            incomplete: root.get("incomplete").and_then(number),
            tracker_id: tracker_id.filter(|id| id.len() <= TEXT_LEN_MAX).map(Into::into),
            external_ip: root.get("external ip").and_then(|address| ip(address.as_bytes()?)),
            warning: root.get("warning message").and_then(|warning| warning.as_bytes()).map(text),
        })))
    }

    /// The body, with peers named in this way.
    pub fn encode(&self, format: PeerFormat) -> Vec<u8> {
        let dict = match self {
            Reply::Refused { reason, retry } => {
                let retry = retry.map(|retry| match retry {
                    Retry::Minutes(minutes) => bencode::int(i64::from(minutes)),
                    Retry::Never => bencode::bytes("never"),
                });
                let reason = ("failure reason", bencode::bytes(reason.as_bytes()));
                bencode::dict([reason].into_iter().chain(retry.map(|retry| ("retry in", retry))))
            }
            Reply::Peers(announced) => encode_announced(announced, format),
        };
        dict.into_bytes()
    }
}

/// A count or a number of seconds; what is out of range counts as absent.
fn number(value: Value<'_, '_>) -> Option<u32> {
    u32::try_from(value.as_int()?).ok()
}

/// Minutes or "never" (BEP 31); some trackers write the minutes as a string.
fn retry(value: Value<'_, '_>) -> Option<Retry> {
    match value.as_str() {
        Some("never") => Some(Retry::Never),
        Some(minutes) => minutes.parse().ok().map(Retry::Minutes),
        None => number(value).map(Retry::Minutes),
    }
}

/// Appends the peers of one key: packed, or a list of dictionaries of which the unusable are left out.
fn read_peers(value: Value<'_, '_>, family: Family, found: &mut Vec<SocketAddr>) {
    let room = PEERS_MAX.saturating_sub(found.len());
    if let Some(packed) = value.as_bytes() {
        found.extend(compact::decode(packed, family).take(room));
    } else if let Some(list) = value.as_list() {
        found.extend(list.filter_map(peer).take(room));
    }
}

fn peer(value: Value<'_, '_>) -> Option<SocketAddr> {
    let ip: IpAddr = value.get("ip")?.as_str()?.parse().ok()?;
    let port = u16::try_from(value.get("port")?.as_int()?).ok()?;
    (port != 0).then(|| SocketAddr::new(ip.to_canonical(), port))
}

fn encode_announced(announced: &Announced, format: PeerFormat) -> Encoded {
    let number = |number: u32| bencode::int(i64::from(number));
    let text = |text: &Option<Box<str>>| text.as_deref().map(bencode::bytes);
    let external_ip = announced.external_ip.map(|ip| match ip {
        IpAddr::V4(ip) => bencode::bytes(ip.octets()),
        IpAddr::V6(ip) => bencode::bytes(ip.octets()),
    });
    let (peers, peers6) = match format {
        PeerFormat::Dictionaries => (bencode::list(announced.peers.iter().map(peer_dict)), None),
        PeerFormat::Compact => {
            let packed = |family| {
                let mut out = Vec::new();
                let peers = announced.peers.iter().filter(|peer| Family::of(peer) == family);
                peers.for_each(|peer| compact::encode(peer, &mut out));
                out
            };
            let v6 = packed(Family::V6);
            (bencode::bytes(packed(Family::V4)), (!v6.is_empty()).then(|| bencode::bytes(v6)))
        }
    };
    let entries: [(&str, Option<Encoded>); 9] = [
        ("complete", announced.complete.map(number)),
        ("external ip", external_ip),
        ("incomplete", announced.incomplete.map(number)),
        ("interval", Some(number(announced.interval))),
        ("min interval", announced.min_interval.map(number)),
        ("peers", Some(peers)),
        ("peers6", peers6),
        ("tracker id", text(&announced.tracker_id)),
        ("warning message", text(&announced.warning)),
    ];
    bencode::dict(entries.into_iter().filter_map(|(key, value)| Some((key, value?))))
}

fn peer_dict(peer: &SocketAddr) -> Encoded {
    let ip = bencode::bytes(peer.ip().to_string());
    bencode::dict([("ip", ip), ("port", bencode::int(i64::from(peer.port())))])
}
