//! A peer and the metadata: what it said of its pieces before there was a layout to hold that against, and how much metadata
//! we have sent it.
//!
//! Invariants: what is remembered of one peer is bounded by two of the longest bitfields; at most
//! [`METADATA_SENDING_MAX`] pieces of metadata are on their way to it, and no more than it can need leave for it in an hour.
//! BEP: 6, 9. Threats: A6, C6

use super::{FAST_THEIRS_MAX, Peer, PeerReport};
use crate::extension::{self, ExtensionReport};
use crate::pieces::RemotePieces;
use crate::seldom::{Blank, Seldom};
use crate::{Duration, Instant, PeerMisbehaved};
use std::collections::VecDeque;
use wire::layout::PIECES_MAX;
use wire::{Bitfield, Layout, Message};

/// Single pieces that a peer names before we know the layout are kept as numbers up to so many, then as bits: a seed that ends
/// its super-seeding names all it has one by one (BEP 16), and who forgot them would never ask for them.
const EARLY_NUMBERS_MAX: usize = 4_096;
/// Requests for metadata that wait: four times as many as others send at once.
pub const METADATA_REQUESTS_MAX: usize = 256;
/// Pieces of metadata on their way to one peer: the next is at hand when one has left.
pub const METADATA_SENDING_MAX: u32 = 2;
/// How long a peer's share of metadata lasts.
pub const METADATA_PERIOD: Duration = Duration::from_secs(3600);
/// Pieces that it gets beyond twice the whole.
pub const METADATA_SPARE: u32 = 16;

/// Sequences of send tokens with this bit name pieces of metadata; those of blocks reach it after 32 TiB over one link.
pub const METADATA_SEQUENCE: u32 = 1 << 31;

/// What we know and owe of metadata with one peer.
#[derive(Clone, Debug, Default)]
pub struct PeerMetadata {
    /// Present while the layout is not known.
    pub early: Option<Box<Early>>,
    /// What it asks for.
    pub service: Seldom<MetadataService>,
    /// Answers of it that were on their way when the metadata was whole.
    pub late: u32,
}

impl PeerMetadata {
    /// A piece came although all are here. Whether it was asked for before.
    pub fn take_late(&mut self) -> bool {
        let left = self.late.checked_sub(1);
        self.late = left.unwrap_or(0);
        left.is_some()
    }
}

/// What a peer said before there was a layout.
#[derive(Clone, Debug, Default)]
pub struct Early {
    all_at_once: Option<AllAtOnce>,
    haves: EarlyHaves,
    allowed: Vec<u32>,
}

/// Single pieces that a peer named: strangers' numbers below [`PIECES_MAX`].
#[derive(Clone, Debug, Default)]
struct EarlyHaves {
    /// Few, perhaps some twice.
    numbers: Vec<u32>,
    /// Many: one bit for each.
    bits: Vec<u8>,
}

impl EarlyHaves {
    /// Remembers a piece; says whether it may be new.
    fn add(&mut self, piece: u32) -> bool {
        if self.bits.is_empty() && self.numbers.len() < EARLY_NUMBERS_MAX {
            self.numbers.push(piece);
            return true;
        }
        for number in core::mem::take(&mut self.numbers) {
            self.set(number);
        }
        self.set(piece)
    }

    /// Sets a bit; says whether it was not set.
    fn set(&mut self, piece: u32) -> bool {
        let (byte, bit) = (piece as usize / 8, 1 << (piece % 8));
        if byte >= self.bits.len() {
            self.bits.resize(byte + 1, 0);
        }
        let new = self.bits[byte] & bit == 0;
        self.bits[byte] |= bit;
        new
    }

    /// All of them, some perhaps twice.
    fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        let bits = (0..).zip(&self.bits).filter(|&(_, &byte)| byte != 0);
        let set = bits.flat_map(|(at, &byte)| {
            (0..8).filter(move |bit| byte & (1 << bit) != 0).map(move |bit| at * 8 + bit)
        });
        self.numbers.iter().copied().chain(set)
    }

    fn is_empty(&self) -> bool {
        self.numbers.is_empty() && self.bits.is_empty()
    }
}

/// All that a peer has, in one message.
#[derive(Clone, Debug)]
enum AllAtOnce {
    Bitfield(Box<[u8]>),
    All,
    None,
}

/// The sending of metadata to one peer.
#[derive(Clone, Debug, Default)]
pub struct MetadataService {
    waiting: VecDeque<u32>,
    sending: u32,
    sequence: u32,
    served: u32,
    since: Option<Instant>,
}

impl Peer {
    /// What the peer said while we do not know the layout. Kept, and looked at again when we do.
    pub(super) fn receive_early(
        &mut self,
        now: Instant,
        message: Message,
    ) -> Result<PeerReport, PeerMisbehaved> {
        match &message {
            Message::HaveAll
            | Message::HaveNone
            | Message::Reject(_)
            | Message::Suggest(_)
            | Message::AllowedFast(_) => self.offered_fast()?,
            Message::KeepAlive
            | Message::Choke
            | Message::Unchoke
            | Message::Interested
            | Message::NotInterested
            | Message::Have(_)
            | Message::Bitfield(_)
            | Message::Request(_)
            | Message::Cancel(_)
            | Message::Port(_)
            | Message::Extended { .. }
            | Message::Unknown(_) => {}
        }
        let early = self.metadata.early.get_or_insert_default();
        match message {
            Message::KeepAlive | Message::Unknown(_) | Message::Cancel(_) | Message::Suggest(_) => {}
            Message::Port(port) => return Ok(self.on_port(port)),
            Message::Choke => return Ok(self.on_choke(true)),
            Message::Unchoke => return Ok(self.on_choke(false)),
            Message::Interested => return Ok(self.on_interest(true)),
            Message::NotInterested => return Ok(self.on_interest(false)),
            Message::Have(piece) => return self.on_early_have(now, piece),
            Message::Bitfield(bytes) => {
                let pieces = u32::try_from(bytes.len()).unwrap_or(u32::MAX).saturating_mul(8);
                let again = early.all_at_once.replace(AllAtOnce::Bitfield(bytes)).is_some();
                if again {
                    self.conduct.announced_again(now, pieces, 0)?;
                }
            }
            Message::HaveAll => early.all_at_once = Some(AllAtOnce::All),
            Message::HaveNone => early.all_at_once = Some(AllAtOnce::None),
            // We have nothing that could be asked for, and said so.
            Message::Request(request) => return Ok(PeerReport::Unservable(request)),
            Message::Reject(_) => self.conduct.rejected_unrequested()?,
            Message::AllowedFast(piece) => {
                if early.allowed.len() < FAST_THEIRS_MAX && !early.allowed.contains(&piece) {
                    early.allowed.push(piece);
                }
            }
            Message::Extended { id, body } => {
                if !self.terms.extended {
                    return Err(PeerMisbehaved::ExtendedWithoutOffer);
                }
                return match extension::receive(id, &body)? {
                    // It has one piece fewer than it said: it will tell, if we ask for it.
                    ExtensionReport::DontHave(_) => Ok(PeerReport::Nothing),
                    report => self.on_shared_extension(now, report),
                };
            }
        }
        Ok(PeerReport::Nothing)
    }

    /// One have before there is a layout.
    pub(super) fn on_early_have(&mut self, now: Instant, piece: u32) -> Result<PeerReport, PeerMisbehaved> {
        if piece >= PIECES_MAX {
            return Err(PeerMisbehaved::PieceOutOfRange);
        }
        match self.metadata.early.get_or_insert_default().haves.add(piece) {
            true => Ok(PeerReport::Nothing),
            false => self.conduct.repeated(now).map(|()| PeerReport::Nothing),
        }
    }

    /// There is a layout now: what the peer said is held against it. Says whether it spoke of its pieces at all.
    ///
    /// # Errors
    /// When it could not have said that of this content. It then has nothing, as far as anybody counts.
    pub fn settle_early(&mut self, layout: &Layout) -> Result<bool, PeerMisbehaved> {
        let Some(early) = self.metadata.early.take() else { return Ok(false) };
        let Early { all_at_once, haves, allowed } = *early;
        let spoke = all_at_once.is_some() || !haves.is_empty();
        let mut pieces = match all_at_once {
            Some(AllAtOnce::Bitfield(bytes)) => {
                let set = Bitfield::from_bytes(&bytes, layout.pieces());
                RemotePieces::from_bitfield(set.map_err(|_| PeerMisbehaved::BitfieldMalformed)?)
            }
            Some(AllAtOnce::All) => RemotePieces::All,
            Some(AllAtOnce::None) | None => RemotePieces::None,
        };
        for piece in haves.iter() {
            let piece = layout.piece(piece).ok_or(PeerMisbehaved::PieceOutOfRange)?;
            pieces.insert(piece, layout.pieces());
        }
        for piece in allowed {
            self.fast.theirs.push(layout.piece(piece).ok_or(PeerMisbehaved::PieceOutOfRange)?);
        }
        self.pieces = pieces;
        self.state.announced |= spoke;
        Ok(spoke)
    }
}

impl Blank for MetadataService {
    const BLANK: &'static MetadataService =
        &MetadataService { waiting: VecDeque::new(), sending: 0, sequence: 0, served: 0, since: None };
}

impl MetadataService {
    /// It asks for a piece of metadata that has so many; says whether it will get it.
    pub fn ask(&mut self, now: Instant, piece: u32, pieces: u32) -> bool {
        if self.since.is_none_or(|since| since + METADATA_PERIOD <= now) {
            (self.since, self.served) = (Some(now), 0);
        }
        let share = pieces.saturating_mul(2).saturating_add(METADATA_SPARE);
        let taken = piece < pieces && self.served < share && self.waiting.len() < METADATA_REQUESTS_MAX;
        if taken {
            self.served += 1;
            self.waiting.push_back(piece);
        }
        taken
    }

    /// The piece to send next, and the sequence of its token; `None` while enough is on its way.
    pub fn start(&mut self) -> Option<(u32, u32)> {
        let piece =
            if self.sending < METADATA_SENDING_MAX { self.waiting.pop_front()? } else { return None };
        self.sending += 1;
        self.sequence = self.sequence.wrapping_add(1) & !METADATA_SEQUENCE;
        Some((piece, METADATA_SEQUENCE | self.sequence))
    }

    /// One left, or never will.
    pub fn finish(&mut self) {
        self.sending = self.sending.saturating_sub(1);
    }
}
