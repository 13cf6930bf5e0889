//! Bodies of extended messages that are small: the handshake of the extension protocol, `lt_donthave`, `upload_only`.
//!
//! Metadata and peer exchange have modules of their own. What the sender's ids mean for us is the session's business.
//!
//! Invariant: a key of the wrong kind counts as absent, an unknown one is skipped; only what is no dictionary is refused.
//! BEP: 10, 21, 54

use crate::announce::text;
use crate::bencode::{self, Bencode, BencodeError, Encoded, Limits, Value};
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The id of the handshake among extended messages.
pub const HANDSHAKE_ID: u8 = 0;

/// Most extensions that are read of one peer. Clients have about ten.
pub const EXTENSIONS_MAX: usize = 64;

/// Longest name of an extension that is read, in bytes. The longest in use has 12.
pub const NAME_LEN_MAX: usize = 32;

/// Longest name of a client that is kept, in bytes.
pub const CLIENT_LEN_MAX: usize = 128;

/// Names of extensions, as the handshake's `m` has them.
pub mod name {
    /// Metadata from peers (BEP 9).
    pub const METADATA: &str = "ut_metadata";
    /// Peer exchange (BEP 11).
    pub const PEX: &str = "ut_pex";
    /// A piece is gone again (BEP 54).
    pub const DONT_HAVE: &str = "lt_donthave";
    /// The sender wants nothing more (BEP 21), as a message.
    pub const UPLOAD_ONLY: &str = "upload_only";
    /// Introducing peers behind NATs to each other (BEP 55).
    pub const HOLEPUNCH: &str = "ut_holepunch";
}

/// The handshake of the extension protocol (BEP 10). May come again; then it speaks only of what changed, so what is
/// absent stays as it was.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ExtensionHandshake {
    /// Extensions by name, with the ids under which the sender wants their messages; 0 switches one off.
    /// Names that are no UTF-8 or too long are left out.
    pub extensions: Vec<(Box<str>, u8)>,
    /// `v`: client and version. A stranger's text.
    pub client: Option<Box<str>>,
    /// `p`: where the sender listens.
    pub port: Option<u16>,
    /// `reqq`: how many requests the sender queues.
    pub reqq: Option<u32>,
    /// `yourip`: our address as the sender sees it.
    pub your_ip: Option<IpAddr>,
    /// `ipv4`: where else the sender is.
    pub ipv4: Option<Ipv4Addr>,
    /// `ipv6`: where else the sender is.
    pub ipv6: Option<Ipv6Addr>,
    /// `metadata_size`: bytes of the `info` dictionary (BEP 9). A stranger's number.
    pub metadata_size: Option<u32>,
    /// `upload_only`: the sender wants nothing (BEP 21).
    pub upload_only: Option<bool>,
    /// `complete_ago`: seconds since the sender completed the download.
    pub complete_ago: Option<u32>,
}

/// Why a body is no extension handshake.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExtensionError {
    /// No bencode, or too much.
    Bencode(BencodeError),
    /// Bencode, but no dictionary.
    NotADictionary,
}

impl fmt::Display for ExtensionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExtensionError::Bencode(error) => write!(f, "extension handshake: {error}"),
            ExtensionError::NotADictionary => f.write_str("extension handshake: not a dictionary"),
        }
    }
}

impl core::error::Error for ExtensionError {}

impl ExtensionHandshake {
    /// Reads the body of an extended message with id [`HANDSHAKE_ID`].
    ///
    /// # Errors
    /// When it is not one bencoded dictionary. What follows the dictionary is not looked at.
    pub fn decode(body: &[u8]) -> Result<ExtensionHandshake, ExtensionError> {
        let parsed = Bencode::parse(body, &Limits::EXTENSION_HANDSHAKE).map_err(ExtensionError::Bencode)?;
        let entries = parsed.root().as_dict().ok_or(ExtensionError::NotADictionary)?;
        let mut handshake = ExtensionHandshake::default();
        for (key, value) in entries {
            handshake.read(key, value);
        }
        Ok(handshake)
    }

    /// The body.
    pub fn encode(&self) -> Vec<u8> {
        let extensions = self.extensions.iter().map(|(name, id)| (&**name, bencode::int(i64::from(*id))));
        let number = |number: Option<u32>| number.map(|number| bencode::int(i64::from(number)));
        let your_ip = self.your_ip.map(|ip| match ip {
            IpAddr::V4(ip) => bencode::bytes(ip.octets()),
            IpAddr::V6(ip) => bencode::bytes(ip.octets()),
        });
        let entries: [(&str, Option<Encoded>); 10] = [
            ("complete_ago", number(self.complete_ago)),
            ("ipv4", self.ipv4.map(|ip| bencode::bytes(ip.octets()))),
            ("ipv6", self.ipv6.map(|ip| bencode::bytes(ip.octets()))),
            ("m", Some(bencode::dict(extensions))),
            ("metadata_size", number(self.metadata_size)),
            ("p", number(self.port.map(u32::from))),
            ("reqq", number(self.reqq)),
            ("upload_only", number(self.upload_only.map(u32::from))),
            ("v", self.client.as_deref().map(bencode::bytes)),
            ("yourip", your_ip),
        ];
        let present = entries.into_iter().filter_map(|(key, value)| Some((key, value?)));
        bencode::dict(present).into_bytes()
    }

    /// The id under which the sender wants messages of this extension; `None` if it has it not or switched it off.
    pub fn id_of(&self, name: &str) -> Option<u8> {
        self.extensions.iter().find(|(theirs, _)| **theirs == *name).map(|(_, id)| *id).filter(|&id| id != 0)
    }

    fn read(&mut self, key: &[u8], value: Value<'_, '_>) {
        let number = || u32::try_from(value.as_int()?).ok();
        match key {
            b"m" => self.extensions = extensions(value),
            b"v" => self.client = value.as_bytes().map(client),
            b"p" => self.port = number().and_then(|port| u16::try_from(port).ok()).filter(|&port| port != 0),
            b"reqq" => self.reqq = number(),
            b"yourip" => self.your_ip = value.as_bytes().and_then(ip),
            b"ipv4" => self.ipv4 = address(value).map(<[u8; 4]>::into),
            b"ipv6" => self.ipv6 = address(value).map(<[u8; 16]>::into),
            b"metadata_size" => self.metadata_size = number(),
            b"upload_only" => self.upload_only = value.as_int().map(|flag| flag != 0),
            b"complete_ago" => self.complete_ago = number(),
            _ => {}
        }
    }
}

fn extensions(value: Value<'_, '_>) -> Vec<(Box<str>, u8)> {
    let entries = value.as_dict().into_iter().flatten().filter_map(|(key, id)| {
        let name = core::str::from_utf8(key).ok().filter(|name| name.len() <= NAME_LEN_MAX)?;
        Some((name.into(), u8::try_from(id.as_int()?).ok()?))
    });
    entries.take(EXTENSIONS_MAX).collect()
}

fn client(bytes: &[u8]) -> Box<str> {
    text(bytes.get(..CLIENT_LEN_MAX).unwrap_or(bytes))
}

fn address<const N: usize>(value: Value<'_, '_>) -> Option<[u8; N]> {
    value.as_bytes()?.try_into().ok()
}

/// An address of 4 or 16 bytes.
pub(crate) fn ip(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(|v6| IpAddr::from(v6).to_canonical())).ok()
}

/// Reads the body of a `lt_donthave` message (BEP 54): the piece, a stranger's number.
pub fn decode_dont_have(body: &[u8]) -> Option<u32> {
    body.try_into().ok().map(u32::from_be_bytes)
}

/// The body of a `lt_donthave` message (BEP 54).
pub fn encode_dont_have(piece: u32) -> [u8; 4] {
    piece.to_be_bytes()
}

/// Reads the body of an `upload_only` message: one byte, not 0 if the sender wants nothing more.
pub fn decode_upload_only(body: &[u8]) -> Option<bool> {
    match body {
        [flag] => Some(*flag != 0),
        _ => None,
    }
}

/// The body of an `upload_only` message.
pub fn encode_upload_only(upload_only: bool) -> [u8; 1] {
    [u8::from(upload_only)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(body: &[u8]) -> ExtensionHandshake {
        ExtensionHandshake::decode(body).unwrap()
    }

    #[test]
    fn a_handshake_survives_the_wire() {
        let full = ExtensionHandshake {
            extensions: vec![("ut_metadata".into(), 3), ("ut_pex".into(), 255)],
            client: Some("Gannet 0.1".into()),
            port: Some(6881),
            reqq: Some(500),
            your_ip: Some("2001:db8::1".parse().unwrap()),
            ipv4: Some([1, 2, 3, 4].into()),
            ipv6: Some("2001:db8::2".parse().unwrap()),
            metadata_size: Some(31_235),
            upload_only: Some(true),
            complete_ago: Some(0),
        };
        assert_eq!(decode(&full.encode()), full);
        assert_eq!(ExtensionHandshake::default().encode(), b"d1:mdee");
        assert_eq!(decode(b"de"), ExtensionHandshake::default());
    }

    #[test]
    fn the_example_of_bep_10_is_read() {
        let handshake =
            decode(b"d1:md11:LT_metadatai1e7:\xc2\xb5T_PEXi2ee1:pi6881e1:v13:\xc2\xb5Torrent 1.2e");
        assert_eq!(handshake.extensions, [("LT_metadata".into(), 1), ("µT_PEX".into(), 2)]);
        assert_eq!((handshake.port, handshake.client.as_deref()), (Some(6881), Some("µTorrent 1.2")));
    }

    #[test]
    fn what_is_of_the_wrong_kind_or_out_of_range_counts_as_absent() {
        for body in [
            &b"d1:mi1ee"[..],
            b"d1:md1:ai256e1:bi-1e1:c1:xee",
            b"d1:pi65536ee",
            b"d1:pi0ee",
            b"d1:p2:aae",
            b"d4:reqqi-1ee",
            b"d4:reqqi4294967296ee",
            b"d6:yourip5:abcdee",
            b"d4:ipv43:abce",
            b"d13:metadata_sizei-5ee",
            b"d11:upload_onlylee",
            b"d7:unknownd1:xleee",
        ] {
            assert_eq!(decode(body), ExtensionHandshake::default(), "{}", body.escape_ascii());
        }
    }

    #[test]
    fn an_extension_switched_off_has_no_id() {
        let handshake = decode(b"d1:md6:ut_pexi0e11:ut_metadatai2eee");
        assert_eq!((handshake.id_of(name::PEX), handshake.id_of(name::METADATA)), (None, Some(2)));
        assert_eq!(handshake.id_of(name::DONT_HAVE), None);
    }

    #[test]
    fn a_crowd_of_extensions_and_a_long_client_name_are_cut() {
        let crowd: String = (100..400).map(|index| format!("3:{index}i1e")).collect();
        let handshake = decode(format!("d1:md{crowd}e1:v500:{}e", "µ".repeat(250)).as_bytes());
        assert_eq!(handshake.extensions.len(), EXTENSIONS_MAX);
        assert_eq!(handshake.client.unwrap().len(), CLIENT_LEN_MAX);
    }

    #[test]
    fn what_is_no_dictionary_is_refused() {
        assert_eq!(ExtensionHandshake::decode(b"le"), Err(ExtensionError::NotADictionary));
        assert!(matches!(ExtensionHandshake::decode(b"d1:m"), Err(ExtensionError::Bencode(_))));
    }

    #[test]
    fn the_small_messages_have_exact_sizes() {
        assert_eq!(decode_dont_have(&encode_dont_have(77)), Some(77));
        assert_eq!(decode_dont_have(&[0; 5]), None);
        assert_eq!(decode_upload_only(&encode_upload_only(true)), Some(true));
        assert_eq!(decode_upload_only(&[]), None);
    }
}
