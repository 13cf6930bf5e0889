//! The bytes after the handshake, cut into messages; and messages as bytes.
//!
//! Stateless: hand [`next`] the unread bytes of a link as they lie, and it says what stands at their beginning. It copies
//! only the bodies of bitfields and extended messages; the body of a block is named by its range and stays where it landed.
//! Does not judge a message's place in the conversation or its numbers: that is the session's.
//!
//! Invariant: how long a message may be is known from its id, before its body is read; nothing is allocated by a length
//! that was only claimed. BEP: 3, 5, 6, 10

use crate::PieceIndex;
use crate::layout::{BLOCK_LEN, PIECES_MAX};
use crate::message::{BlockRequest, Message};
use core::fmt;
use core::ops::Range;

#[cfg(test)]
mod tests;

/// Bytes before the body of a block: length, id, piece, offset.
pub const BLOCK_HEAD_LEN: usize = 13;

/// Longest body of a bitfield: one bit for each of [`PIECES_MAX`] pieces, 256 KiB.
pub const BITFIELD_BODY_MAX: u32 = PIECES_MAX / 8;

/// Longest extended message after the message id: 256 KiB. A metadata piece is 16 KiB and a head (BEP 9), peer exchange a
/// few KiB; so the longest bitfield bounds what a link may have to hold of one message, whatever its kind.
pub const EXTENDED_BODY_MAX: u32 = BITFIELD_BODY_MAX;

/// Longest body of a message that we do not know: 32 KiB. The longest that exists is `hashes` of BEP 52, 16 KiB of hashes
/// and a proof.
pub const UNKNOWN_BODY_MAX: u32 = 32 * 1024;

/// Longest frame of all, so the most that a link ever holds of an unfinished message that is not a block: prefix, id, body.
pub const FRAME_LEN_MAX: usize = 5 + BITFIELD_BODY_MAX as usize;

/// The ids of messages.
mod id {
    pub(super) const CHOKE: u8 = 0;
    pub(super) const UNCHOKE: u8 = 1;
    pub(super) const INTERESTED: u8 = 2;
    pub(super) const NOT_INTERESTED: u8 = 3;
    pub(super) const HAVE: u8 = 4;
    pub(super) const BITFIELD: u8 = 5;
    pub(super) const REQUEST: u8 = 6;
    pub(super) const PIECE: u8 = 7;
    pub(super) const CANCEL: u8 = 8;
    pub(super) const PORT: u8 = 9;
    pub(super) const SUGGEST: u8 = 13;
    pub(super) const HAVE_ALL: u8 = 14;
    pub(super) const HAVE_NONE: u8 = 15;
    pub(super) const REJECT: u8 = 16;
    pub(super) const ALLOWED_FAST: u8 = 17;
    pub(super) const EXTENDED: u8 = 20;
}

/// What is known of a link before its bytes are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// How many pieces the torrent has; `None` while its metainfo is still to be fetched.
    pub pieces: Option<u32>,
    /// Longest body of a block, in bytes: nobody sends more than was asked for.
    pub block_len_max: u32,
}

impl Limits {
    /// The limits of a link about a torrent of this many pieces, with blocks of 16 KiB.
    pub fn new(pieces: Option<u32>) -> Limits {
        Limits { pieces, block_len_max: BLOCK_LEN }
    }
}

/// What stands at the beginning of the unread bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Frame {
    /// A whole message.
    Message {
        /// What it says.
        message: Message,
        /// Bytes it took.
        consumed: usize,
    },
    /// A whole block. It took `data.end` bytes.
    Block {
        /// What the peer says it is; `len` is the length of the body, never 0.
        request: BlockRequest,
        /// Where the body lies in the unread bytes.
        data: Range<usize>,
    },
    /// A message that is not all there.
    Need {
        /// How many bytes there must be, counted from the beginning of the unread bytes, before there is anything new to
        /// say: the whole frame, once its length is known. Always more than there are.
        at_least: usize,
        /// The block whose head is there but whose body is not.
        block: Option<PartialBlock>,
    },
}

/// A block of which the head and perhaps some of the body are there. The body begins at [`BLOCK_HEAD_LEN`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PartialBlock {
    /// What the peer says it is.
    pub request: BlockRequest,
    /// Bytes of the body that are there; less than `request.len`.
    pub present: u32,
}

/// Why the bytes are no messages. The stream cannot be trusted any more; the link is to be closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FrameError {
    /// A message of fixed length that claims another.
    WrongLen {
        /// The id of the message.
        id: u8,
        /// What the length prefix says: id and body.
        claimed: u32,
    },
    /// A bitfield that is not one bit for each piece.
    BitfieldLen {
        /// What the length prefix says.
        claimed: u32,
    },
    /// A block with an empty body, or one longer than anybody asks for.
    BlockLen {
        /// What the length prefix says.
        claimed: u32,
    },
    /// An extended message without an id, or longer than [`EXTENDED_BODY_MAX`].
    ExtendedLen {
        /// What the length prefix says.
        claimed: u32,
    },
    /// An unknown message longer than [`UNKNOWN_BODY_MAX`].
    UnknownLen {
        /// The id of the message.
        id: u8,
        /// What the length prefix says.
        claimed: u32,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::WrongLen { id, claimed } => write!(f, "message {id} claims {claimed} bytes"),
            FrameError::BitfieldLen { claimed } => write!(f, "bitfield claims {claimed} bytes"),
            FrameError::BlockLen { claimed } => write!(f, "block claims {claimed} bytes"),
            FrameError::ExtendedLen { claimed } => write!(f, "extended message claims {claimed} bytes"),
            FrameError::UnknownLen { id, claimed } => {
                write!(f, "unknown message {id} claims {claimed} bytes")
            }
        }
    }
}

impl core::error::Error for FrameError {}

/// What stands at the beginning of `unread`.
///
/// # Errors
/// When the length prefix and the id, as soon as both are there, are not those of a message within `limits`.
pub fn next(unread: &[u8], limits: &Limits) -> Result<Frame, FrameError> {
    let Some((prefix, rest)) = unread.split_first_chunk::<4>() else {
        return Ok(Frame::Need { at_least: 4, block: None });
    };
    let claimed = u32::from_be_bytes(*prefix);
    if claimed == 0 {
        return Ok(Frame::Message { message: Message::KeepAlive, consumed: 4 });
    }
    let Some((&id, rest)) = rest.split_first() else {
        return Ok(Frame::Need { at_least: 5, block: None });
    };
    check_len(id, claimed, limits)?;
    // In range: `check_len` let pass at most `FRAME_LEN_MAX` or a block of `block_len_max`.
    let frame_len = claimed as usize + 4;
    let body = rest.get(..claimed as usize - 1);
    if id == id::PIECE {
        return Ok(block(claimed, rest, frame_len, body.is_some()));
    }
    Ok(match body {
        Some(body) => Frame::Message { message: message(id, body), consumed: frame_len },
        None => Frame::Need { at_least: frame_len, block: None },
    })
}

/// Whether a message with this id may be this long; `claimed` counts the id, so it is at least 1.
fn check_len(id: u8, claimed: u32, limits: &Limits) -> Result<(), FrameError> {
    let body = claimed - 1;
    let fixed = |len| if body == len { Ok(()) } else { Err(FrameError::WrongLen { id, claimed }) };
    match id {
        id::CHOKE | id::UNCHOKE | id::INTERESTED | id::NOT_INTERESTED | id::HAVE_ALL | id::HAVE_NONE => {
            fixed(0)
        }
        id::HAVE | id::SUGGEST | id::ALLOWED_FAST => fixed(4),
        id::REQUEST | id::CANCEL | id::REJECT => fixed(12),
        id::PORT => fixed(2),
        id::BITFIELD => {
            let fits = match limits.pieces {
                Some(pieces) => body == pieces.div_ceil(8),
                None => body <= BITFIELD_BODY_MAX,
            };
            if fits { Ok(()) } else { Err(FrameError::BitfieldLen { claimed }) }
        }
        id::PIECE => match body.checked_sub(8) {
            Some(len) if len > 0 && len <= limits.block_len_max => Ok(()),
            Some(_) | None => Err(FrameError::BlockLen { claimed }),
        },
        id::EXTENDED if body == 0 || body > EXTENDED_BODY_MAX => Err(FrameError::ExtendedLen { claimed }),
        id::EXTENDED => Ok(()),
        _ if body > UNKNOWN_BODY_MAX => Err(FrameError::UnknownLen { id, claimed }),
        _ => Ok(()),
    }
}

/// A block, whole or partly there; `rest` is what follows its id.
fn block(claimed: u32, rest: &[u8], frame_len: usize, whole: bool) -> Frame {
    let Some((head, data)) = rest.split_first_chunk::<8>() else {
        return Frame::Need { at_least: frame_len, block: None };
    };
    let [p0, p1, p2, p3, o0, o1, o2, o3] = *head;
    let request = BlockRequest {
        piece: u32::from_be_bytes([p0, p1, p2, p3]),
        offset: u32::from_be_bytes([o0, o1, o2, o3]),
        len: claimed - 9,
    };
    if whole {
        return Frame::Block { request, data: BLOCK_HEAD_LEN..frame_len };
    }
    // Less than `claimed`, so it fits.
    let present = data.len() as u32;
    Frame::Need { at_least: frame_len, block: Some(PartialBlock { request, present }) }
}

/// A message whose length `check_len` found right.
fn message(id: u8, body: &[u8]) -> Message {
    match id {
        id::CHOKE => Message::Choke,
        id::UNCHOKE => Message::Unchoke,
        id::INTERESTED => Message::Interested,
        id::NOT_INTERESTED => Message::NotInterested,
        id::HAVE => Message::Have(number(body, 0)),
        id::BITFIELD => Message::Bitfield(body.into()),
        id::REQUEST => Message::Request(request(body)),
        id::CANCEL => Message::Cancel(request(body)),
        id::PORT => Message::Port(match *body {
            [high, low] => u16::from_be_bytes([high, low]),
            _ => 0,
        }),
        id::SUGGEST => Message::Suggest(number(body, 0)),
        id::HAVE_ALL => Message::HaveAll,
        id::HAVE_NONE => Message::HaveNone,
        id::REJECT => Message::Reject(request(body)),
        id::ALLOWED_FAST => Message::AllowedFast(number(body, 0)),
        id::EXTENDED => match body.split_first() {
            Some((&id, body)) => Message::Extended { id, body: body.into() },
            None => Message::Unknown(id),
        },
        _ => Message::Unknown(id),
    }
}

/// The number at this place of a body whose length was checked.
fn number(body: &[u8], at: usize) -> u32 {
    body.get(at..).and_then(|rest| rest.first_chunk::<4>()).map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

fn request(body: &[u8]) -> BlockRequest {
    BlockRequest { piece: number(body, 0), offset: number(body, 4), len: number(body, 8) }
}

/// Appends a message as bytes. [`Message::Unknown`] is written with an empty body.
pub fn encode(message: &Message, out: &mut Vec<u8>) {
    match message {
        Message::KeepAlive => out.extend([0; 4]),
        Message::Choke => put(id::CHOKE, &[], out),
        Message::Unchoke => put(id::UNCHOKE, &[], out),
        Message::Interested => put(id::INTERESTED, &[], out),
        Message::NotInterested => put(id::NOT_INTERESTED, &[], out),
        Message::Have(piece) => put(id::HAVE, &[&piece.to_be_bytes()], out),
        Message::Bitfield(bits) => put(id::BITFIELD, &[bits], out),
        Message::Request(request) => put_request(id::REQUEST, request, out),
        Message::Cancel(request) => put_request(id::CANCEL, request, out),
        Message::Port(port) => put(id::PORT, &[&port.to_be_bytes()], out),
        Message::Suggest(piece) => put(id::SUGGEST, &[&piece.to_be_bytes()], out),
        Message::HaveAll => put(id::HAVE_ALL, &[], out),
        Message::HaveNone => put(id::HAVE_NONE, &[], out),
        Message::Reject(request) => put_request(id::REJECT, request, out),
        Message::AllowedFast(piece) => put(id::ALLOWED_FAST, &[&piece.to_be_bytes()], out),
        Message::Extended { id, body } => put(id::EXTENDED, &[&[*id], body], out),
        Message::Unknown(id) => put(*id, &[], out),
    }
}

/// Appends a have message for each of these pieces: a burst of news in one piece of memory.
pub fn encode_haves(pieces: &[PieceIndex], out: &mut Vec<u8>) {
    out.reserve(pieces.len() * 9);
    for piece in pieces {
        put(id::HAVE, &[&piece.0.to_be_bytes()], out);
    }
}

/// What goes before the body of a block; the body itself is the driver's to send.
pub fn block_head(request: BlockRequest) -> [u8; BLOCK_HEAD_LEN] {
    let [l0, l1, l2, l3] = request.len.saturating_add(9).to_be_bytes();
    let [p0, p1, p2, p3] = request.piece.to_be_bytes();
    let [o0, o1, o2, o3] = request.offset.to_be_bytes();
    [l0, l1, l2, l3, id::PIECE, p0, p1, p2, p3, o0, o1, o2, o3]
}

/// What goes before the body of an extended message (BEP 10) of so many bytes; the body itself is the driver's to send.
pub fn extended_head(extension: u8, body_len: usize) -> [u8; 6] {
    let [l0, l1, l2, l3] = u32::try_from(body_len).unwrap_or(u32::MAX).saturating_add(2).to_be_bytes();
    [l0, l1, l2, l3, id::EXTENDED, extension]
}

/// Bytes that [`encode`] appends for this message.
pub fn encoded_len(message: &Message) -> usize {
    match message {
        Message::KeepAlive => 4,
        Message::Choke | Message::Unchoke | Message::Interested | Message::NotInterested => 5,
        Message::HaveAll | Message::HaveNone | Message::Unknown(_) => 5,
        Message::Have(_) | Message::Suggest(_) | Message::AllowedFast(_) => 9,
        Message::Request(_) | Message::Cancel(_) | Message::Reject(_) => 17,
        Message::Port(_) => 7,
        Message::Bitfield(bits) => 5 + bits.len(),
        Message::Extended { body, .. } => 6 + body.len(),
    }
}

fn put(id: u8, parts: &[&[u8]], out: &mut Vec<u8>) {
    let body: usize = parts.iter().map(|part| part.len()).sum();
    // Our own messages: far below what a stranger may send us.
    debug_assert!(body < FRAME_LEN_MAX);
    out.extend((body as u32 + 1).to_be_bytes());
    out.push(id);
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

fn put_request(id: u8, request: &BlockRequest, out: &mut Vec<u8>) {
    let BlockRequest { piece, offset, len } = request;
    put(id, &[&piece.to_be_bytes(), &offset.to_be_bytes(), &len.to_be_bytes()], out);
}
