//! Peer exchange: the body of a `ut_pex` message, which peers the sender was linked with and no longer is since its last one.
//!
//! Knows bytes, not manners: how often one may come and which of the addresses are worth a dial is decided elsewhere.
//! Invariant: at most [`ADDED_MAX`] and [`DROPPED_MAX`] addresses come out, whatever goes in; none has port 0. BEP: 11

use crate::bencode::{self, Bencode, BencodeError, Limits};
use crate::compact::{self, Family};
use core::fmt;
use core::net::SocketAddr;

/// Most peers that are read as new from one message. BEP 11 allows 50 a minute, and a first message more: clients send up
/// to 100 then.
pub const ADDED_MAX: usize = 100;

/// Most peers that are read as gone from one message, for the same reason.
pub const DROPPED_MAX: usize = 100;

/// What the sender knows of a peer, as bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct PexFlags(pub u8);

impl PexFlags {
    /// It would rather have an encrypted link.
    pub const ENCRYPTION: PexFlags = PexFlags(0x01);
    /// It wants nothing, only uploads.
    pub const UPLOAD_ONLY: PexFlags = PexFlags(0x02);
    /// It speaks uTP.
    pub const UTP: PexFlags = PexFlags(0x04);
    /// It introduces peers to one another (BEP 55).
    pub const HOLEPUNCH: PexFlags = PexFlags(0x08);
    /// The sender reached it: it can be dialled.
    pub const REACHABLE: PexFlags = PexFlags(0x10);

    /// Whether all bits of `other` are set.
    pub fn has(self, other: PexFlags) -> bool {
        self.0 & other.0 == other.0
    }

    /// These bits and those of `other`, if it is so.
    #[must_use]
    pub fn with(self, other: PexFlags, so: bool) -> PexFlags {
        PexFlags(self.0 | if so { other.0 } else { 0 })
    }
}

/// A peer that the sender is linked with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PexPeer {
    /// Where it listens; a stranger's word.
    pub address: SocketAddr,
    /// What the sender knows of it.
    pub flags: PexFlags,
}

/// What changed among the sender's links.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PexMessage {
    /// Linked since the last message.
    pub added: Vec<PexPeer>,
    /// No longer linked.
    pub dropped: Vec<SocketAddr>,
}

/// Why a body is no peer exchange.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PexError {
    /// No bencode, or too much.
    Bencode(BencodeError),
    /// Bencode, but no dictionary.
    NotADictionary,
}

impl fmt::Display for PexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PexError::Bencode(error) => write!(f, "peer exchange: {error}"),
            PexError::NotADictionary => f.write_str("peer exchange: not a dictionary"),
        }
    }
}

impl core::error::Error for PexError {}

impl PexMessage {
    /// Reads a body. Flags that are missing are 0; a key of the wrong kind counts as absent; what exceeds the bounds is left out.
    ///
    /// # Errors
    /// When it is not one bencoded dictionary. What follows the dictionary is not looked at.
    pub fn decode(body: &[u8]) -> Result<PexMessage, PexError> {
        let parsed = Bencode::parse(body, &Limits::PEER_EXCHANGE).map_err(PexError::Bencode)?;
        let root = parsed.root();
        if root.as_dict().is_none() {
            return Err(PexError::NotADictionary);
        }
        let bytes = |key: &str| root.get(key).and_then(|value| value.as_bytes()).unwrap_or_default();
        let mut message = PexMessage::default();
        for (key, flags, dropped, family) in
            [("added", "added.f", "dropped", Family::V4), ("added6", "added6.f", "dropped6", Family::V6)]
        {
            read_added(bytes(key), bytes(flags), family, &mut message.added);
            let room = DROPPED_MAX.saturating_sub(message.dropped.len());
            message.dropped.extend(compact::decode(bytes(dropped), family).take(room));
        }
        Ok(message)
    }

    /// The body.
    pub fn encode(&self) -> Vec<u8> {
        let mut parts: [Vec<u8>; 6] = Default::default();
        for peer in &self.added {
            let at = of_family(&peer.address);
            compact::encode(&peer.address, &mut parts[at]);
            parts[at + 1].push(peer.flags.0);
        }
        for address in &self.dropped {
            compact::encode(address, &mut parts[of_family(address) + 2]);
        }
        let keys = ["added", "added.f", "dropped", "added6", "added6.f", "dropped6"];
        let mut entries: Vec<_> = keys.into_iter().zip(parts).collect();
        // Old clients want the three keys of IPv4 even if they are empty; those of IPv6 came later.
        entries.retain(|(key, part)| !key.contains('6') || !part.is_empty());
        entries.sort_unstable_by_key(|&(key, _)| key);
        bencode::dict(entries.into_iter().map(|(key, part)| (key, bencode::bytes(part)))).into_bytes()
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.dropped.is_empty()
    }
}

/// Where the parts of an address's family begin.
fn of_family(address: &SocketAddr) -> usize {
    match Family::of(address) {
        Family::V4 => 0,
        Family::V6 => 3,
    }
}

/// Addresses with the flags at the same place; an address that is left out takes its flags with it.
fn read_added(packed: &[u8], flags: &[u8], family: Family, added: &mut Vec<PexPeer>) {
    let room = ADDED_MAX.saturating_sub(added.len());
    let addresses = packed.chunks_exact(family.packed_len()).enumerate();
    let peers = addresses.filter_map(|(at, one)| {
        let address = compact::decode(one, family).next()?;
        Some(PexPeer { address, flags: PexFlags(flags.get(at).copied().unwrap_or_default()) })
    });
    added.extend(peers.take(room));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(address: &str, flags: u8) -> PexPeer {
        PexPeer { address: address.parse().unwrap(), flags: PexFlags(flags) }
    }

    #[test]
    fn a_message_survives_the_wire_in_both_families() {
        let message = PexMessage {
            added: vec![peer("1.2.3.4:5", 0x10), peer("9.8.7.6:54", 2), peer("[2001:db8::1]:6881", 3)],
            dropped: vec!["5.5.5.5:5".parse().unwrap(), "[2001:db8::2]:2".parse().unwrap()],
        };
        assert_eq!(PexMessage::decode(&message.encode()), Ok(message));
        let empty = PexMessage::default().encode();
        assert_eq!(empty, b"d5:added0:7:added.f0:7:dropped0:e");
        assert!(PexMessage::decode(&empty).unwrap().is_empty());
        assert!(PexMessage::decode(b"de").unwrap().is_empty());
    }

    #[test]
    fn flags_stay_with_their_address_when_one_is_left_out() {
        let read =
            PexMessage::decode(b"d5:added12:\x01\x02\x03\x04\0\0\x05\x06\x07\x08\0\x097:added.f2:\x01\x02e");
        assert_eq!(read.unwrap().added, [peer("5.6.7.8:9", 2)]);
    }

    #[test]
    fn what_is_missing_or_of_the_wrong_kind_counts_as_absent() {
        for (body, added) in [
            (&b"d5:added6:\x01\x02\x03\x04\0\x05e"[..], vec![peer("1.2.3.4:5", 0)]),
            (b"d5:added8:\x01\x02\x03\x04\0\x05\x06\x077:added.fi7ee", vec![peer("1.2.3.4:5", 0)]),
            (b"d5:addedi6e7:droppedlee", vec![]),
            (b"d5:added0:7:unknownd1:xleee", vec![]),
        ] {
            let read = PexMessage::decode(body).unwrap();
            assert_eq!((read.added, read.dropped), (added, vec![]), "{}", body.escape_ascii());
        }
    }

    #[test]
    fn a_crowd_is_cut_whatever_its_family() {
        let crowd = |count: u32, family: &dyn Fn(u32) -> SocketAddr| -> Vec<SocketAddr> {
            (0..count).map(family).collect()
        };
        let v4 = crowd(80, &|n| SocketAddr::from((n.to_be_bytes(), 7)));
        let v6 = crowd(80, &|n| SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, n as u16], 7)));
        let all: Vec<SocketAddr> = v4.into_iter().chain(v6).collect();
        let added = all.iter().map(|&address| PexPeer { address, flags: PexFlags::REACHABLE }).collect();
        let read = PexMessage::decode(&PexMessage { added, dropped: all }.encode()).unwrap();
        assert_eq!((read.added.len(), read.dropped.len()), (ADDED_MAX, DROPPED_MAX));
    }

    #[test]
    fn what_is_no_dictionary_or_far_too_much_is_refused() {
        assert_eq!(PexMessage::decode(b"le"), Err(PexError::NotADictionary));
        assert!(matches!(PexMessage::decode(b"d5:added"), Err(PexError::Bencode(_))));
        let long = [b"d5:added60000:".as_slice(), &[1; 60_000], b"e"].concat();
        assert!(matches!(PexMessage::decode(&long), Err(PexError::Bencode(_))));
    }
}
