//! The metadata of a torrent (its `info` dictionary) as peers hand it to one another: in pieces of 16 KiB, asked for one by
//! one. The bodies of `ut_metadata` messages, a bencoded head and, in one of the three, raw bytes behind it.
//!
//! Says what a body says. Whether a piece was asked for, and whether the whole is what its hash promises, others know.
//! Invariant: the head is bounded before it is read; nothing is allocated by a length that was only claimed. BEP: 9

use core::fmt;

use crate::bencode::{Bencode, BencodeError, Limits, bytes, dict, int};

/// Bytes of a piece of metadata, all but the last.
pub const METADATA_PIECE_LEN: u32 = 16 * 1024;

/// Most bytes of metadata that we fetch: honest ones reach 4.2 MB; 32 MiB is what most clients allow (threat A6).
pub const METADATA_SIZE_MAX: u32 = 32 * 1024 * 1024;

/// A message about metadata. Numbers are a stranger's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MetadataMessage {
    /// Send me this piece.
    Request(u32),
    /// Here it is.
    Data {
        /// Which.
        piece: u32,
        /// How large the whole is, as the sender says once more.
        total_size: Option<u32>,
        /// Where in the body the piece's bytes begin; they reach to its end.
        at: usize,
    },
    /// I will not send this piece.
    Reject(u32),
    /// A kind of message that nobody has defined yet: to be ignored (BEP 9).
    Unknown,
}

/// Why a body is no message about metadata.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MetadataError {
    /// The head is no bencode, or too much.
    Bencode(BencodeError),
    /// The head is no dictionary with a kind and a piece.
    Incomplete,
}

impl fmt::Display for MetadataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MetadataError::Bencode(error) => write!(f, "metadata message: {error}"),
            MetadataError::Incomplete => f.write_str("metadata message: no kind or no piece"),
        }
    }
}

impl core::error::Error for MetadataError {}

impl MetadataMessage {
    /// Reads a body. What follows the head of a request or a reject is not looked at.
    ///
    /// # Errors
    /// When its head is not a dictionary with `msg_type` and `piece`.
    pub fn decode(body: &[u8]) -> Result<MetadataMessage, MetadataError> {
        let head = body.get(..Limits::EXTENSION_HEAD.bytes).unwrap_or(body);
        let parsed = Bencode::parse_prefix(head, &Limits::EXTENSION_HEAD).map_err(MetadataError::Bencode)?;
        let root = parsed.root();
        let kind = root.get("msg_type").and_then(|kind| kind.as_int()).ok_or(MetadataError::Incomplete)?;
        let number = |key| root.get(key).and_then(|number| u32::try_from(number.as_int()?).ok());
        let piece = || number("piece").ok_or(MetadataError::Incomplete);
        Ok(match kind {
            0 => MetadataMessage::Request(piece()?),
            1 => MetadataMessage::Data {
                piece: piece()?,
                total_size: number("total_size"),
                at: root.raw().len(),
            },
            2 => MetadataMessage::Reject(piece()?),
            _ => MetadataMessage::Unknown,
        })
    }

    /// The body, or its head if bytes follow. What nobody has defined has no body of ours.
    pub fn encode(&self) -> Vec<u8> {
        let (kind, piece, total_size) = match *self {
            MetadataMessage::Request(piece) => (0, piece, None),
            MetadataMessage::Data { piece, total_size, .. } => (1, piece, total_size),
            MetadataMessage::Reject(piece) => (2, piece, None),
            MetadataMessage::Unknown => return bytes("").into_bytes(),
        };
        let mut entries = vec![("msg_type", int(kind)), ("piece", int(i64::from(piece)))];
        entries.extend(total_size.map(|size| ("total_size", int(i64::from(size)))));
        dict(entries).into_bytes()
    }
}

/// How many pieces metadata of this size has.
pub const fn metadata_pieces(size: u32) -> u32 {
    size.div_ceil(METADATA_PIECE_LEN)
}

/// How long a piece of metadata of this size is; `None` if there is no such piece.
pub const fn metadata_piece_len(size: u32, piece: u32) -> Option<u32> {
    match piece.checked_mul(METADATA_PIECE_LEN) {
        Some(start) if start < size => {
            let left = size - start;
            Some(if left < METADATA_PIECE_LEN { left } else { METADATA_PIECE_LEN })
        }
        Some(_) | None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_bep_9_are_read_and_written() {
        let table: [(&[u8], MetadataMessage); 3] = [
            (b"d8:msg_typei0e5:piecei0ee", MetadataMessage::Request(0)),
            (
                b"d8:msg_typei1e5:piecei0e10:total_sizei34256ee",
                MetadataMessage::Data { piece: 0, total_size: Some(34_256), at: 45 },
            ),
            (b"d8:msg_typei2e5:piecei0ee", MetadataMessage::Reject(0)),
        ];
        for (body, message) in table {
            assert_eq!(MetadataMessage::decode(body), Ok(message));
            assert_eq!(message.encode(), body);
        }
    }

    #[test]
    fn the_bytes_of_a_piece_begin_where_the_head_ends() {
        let mut body = MetadataMessage::Data { piece: 3, total_size: Some(60_000), at: 0 }.encode();
        let head = body.len();
        body.extend(vec![b'd'; METADATA_PIECE_LEN as usize]);
        let read = MetadataMessage::decode(&body).unwrap();
        assert_eq!(read, MetadataMessage::Data { piece: 3, total_size: Some(60_000), at: head });
    }

    #[test]
    fn what_is_no_message_is_refused_and_what_nobody_defined_is_ignored() {
        for body in [
            &b""[..],
            b"le",
            b"i1e",
            b"de",
            b"d8:msg_typei0ee",
            b"d5:piecei0ee",
            b"d8:msg_typei0e5:piecei-1ee",
            b"d8:msg_typei1e5:piecei4294967296ee",
            b"d8:msg_type1:05:piecei0ee",
        ] {
            assert!(MetadataMessage::decode(body).is_err(), "{}", body.escape_ascii());
        }
        assert_eq!(MetadataMessage::decode(b"d8:msg_typei9ee"), Ok(MetadataMessage::Unknown));
        let long = [b"d8:msg_typei0e5:piecei0e1:x2000:".as_slice(), &[b'a'; 2_000], b"e"].concat();
        assert!(matches!(MetadataMessage::decode(&long), Err(MetadataError::Bencode(_))));
    }

    #[test]
    fn pieces_add_up_to_the_size() {
        for size in [1, 16_383, 16_384, 16_385, 31_235, METADATA_SIZE_MAX] {
            let lens = (0..metadata_pieces(size)).map(|piece| metadata_piece_len(size, piece).unwrap());
            assert_eq!(lens.sum::<u32>(), size);
            assert_eq!(metadata_piece_len(size, metadata_pieces(size)), None);
        }
        assert_eq!(metadata_piece_len(u32::MAX, u32::MAX), None);
    }
}
