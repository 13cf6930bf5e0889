//! What noisy attackers say: one utterance at a time, from chance alone. Numbers in it may be as wrong as they like.

use super::habit::Noise;
use proto::Rng;
use wire::extension::{ExtensionHandshake, name};
use wire::message::{BlockRequest, Message};
use wire::{Bitfield, Block, Layout, PieceIndex};

/// Longest rubbish in an extended message: enough to matter in a flood, less than what a link may not send.
const JUNK_BYTES_MAX: u32 = 512;

/// One thing that a noisy attacker says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Utterance {
    /// A message.
    Message(Message),
    /// A message and another right behind it.
    Pair(Message, Message),
    /// A block with wrong bytes.
    Block(Block),
}

/// All kinds but nonsense, which draws from them.
const ALL: &[Noise] = &[
    Noise::KeepAlives,
    Noise::Interest,
    Noise::Haves,
    Noise::Bitfields,
    Noise::HaveAlls,
    Noise::Suggests,
    Noise::AllowedFasts,
    Noise::Requests,
    Noise::HugeRequests,
    Noise::WildRequests,
    Noise::Cancels,
    Noise::CancelStorms,
    Noise::Rejects,
    Noise::Ports,
    Noise::Unknowns,
    Noise::Introductions,
    Noise::ExtensionJunk,
    Noise::StrayBlocks,
];

/// The next thing to say; `count` is how many were said before.
pub fn utter(noise: Noise, count: u64, layout: &Layout, rng: &mut Rng) -> Utterance {
    let piece = rng.below(layout.pieces());
    let message = match noise {
        Noise::KeepAlives => Message::KeepAlive,
        Noise::Interest => [Message::Interested, Message::NotInterested][(count % 2) as usize].clone(),
        Noise::Haves => Message::Have(piece),
        Noise::Bitfields => Message::Bitfield(half(layout, rng).to_bytes().into()),
        Noise::HaveAlls => Message::HaveAll,
        Noise::Suggests => Message::Suggest(piece),
        Noise::AllowedFasts => Message::AllowedFast(piece),
        Noise::Requests => Message::Request(any_block(layout, rng).into()),
        Noise::HugeRequests => {
            let len = (128 << 10) << rng.below(14);
            Message::Request(BlockRequest { piece, offset: 0, len })
        }
        Noise::WildRequests => {
            let wild = BlockRequest { piece: rng.next_u32(), offset: rng.next_u32(), len: 16 << 10 };
            Message::Request(wild)
        }
        Noise::Cancels => Message::Cancel(any_block(layout, rng).into()),
        Noise::CancelStorms => {
            let block = any_block(layout, rng).into();
            return Utterance::Pair(Message::Request(block), Message::Cancel(block));
        }
        Noise::Rejects => Message::Reject(any_block(layout, rng).into()),
        Noise::Ports => Message::Port(rng.next_u32() as u16),
        Noise::Unknowns => Message::Unknown(100 + rng.below(100) as u8),
        Noise::Introductions => introduction(rng),
        Noise::ExtensionJunk => Message::Extended { id: rng.below(8) as u8, body: junk(rng) },
        Noise::StrayBlocks => return Utterance::Block(any_block(layout, rng)),
        Noise::Nonsense => return utter(ALL[rng.index(ALL.len())], count, layout, rng),
    };
    Utterance::Message(message)
}

/// A block somewhere in the content.
pub fn any_block(layout: &Layout, rng: &mut Rng) -> Block {
    let piece = PieceIndex(rng.below(layout.pieces()));
    layout.nth_block(piece, rng.below(layout.blocks_in(piece)))
}

/// Each piece or not, by chance.
pub fn half(layout: &Layout, rng: &mut Rng) -> Bitfield {
    let mut set = Bitfield::new(layout.pieces());
    for piece in layout.piece_indices().filter(|_| rng.below(2) == 0) {
        set.insert(piece);
    }
    set
}

fn introduction(rng: &mut Rng) -> Message {
    let introduction = ExtensionHandshake {
        extensions: vec![(name::UPLOAD_ONLY.into(), rng.below(250) as u8)],
        client: Some("x".repeat(rng.index(200)).into()),
        port: Some(rng.next_u32() as u16),
        reqq: Some(rng.next_u32()),
        metadata_size: Some(rng.next_u32()),
        ..ExtensionHandshake::default()
    };
    Message::Extended { id: wire::extension::HANDSHAKE_ID, body: introduction.encode().into() }
}

fn junk(rng: &mut Rng) -> Box<[u8]> {
    let heads: [&[u8]; 4] = [b"", b"d", b"d1:md", b"i-0e"];
    let head = heads[rng.index(heads.len())];
    let tail = (0..rng.below(JUNK_BYTES_MAX)).map(|_| rng.next_u32() as u8);
    head.iter().copied().chain(tail).collect()
}
