//! One link of an attacker: what was said on it, and what the attacker's habit makes of that.
//!
//! Invariant: what is remembered of a link is bounded ([`WANTED_MAX`], one bitfield). BEP: 3, 6, 9

use super::chatter::{self, Utterance};
use super::habit::{Asks, Chokes, Claims, Habit, Serves};
use super::{Act, Bytes, Voice, gossip};
use core::net::SocketAddr;
use proto::{Instant, Rng};
use std::collections::VecDeque;
use wire::extension::{ExtensionHandshake, HANDSHAKE_ID, name};
use wire::message::{BlockRequest, Message};
use wire::metadata::{MetadataMessage, metadata_piece_len};
use wire::{Bitfield, Block, Layout, PieceIndex};

/// Requests of a victim that a dripping attacker remembers: more than any pipeline of ours holds is of no use to it.
const WANTED_MAX: usize = 64;
/// Pieces that a bait allows: more than clients remember.
const BAIT_PIECES: u32 = 40;
/// Under which id it wants to be asked for metadata.
const METADATA_ID: u8 = 3;
/// And named peers.
const PEX_ID: u8 = 4;
/// Where it says that it listens, if it names peers: honest ones say so, too.
const LISTENS: u16 = 6881;
/// Utterances on one link and pulse at most, whatever the vigour.
const UTTERANCES_MAX: u64 = 10_000;

#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) remote: SocketAddr,
    since: Instant,
    /// We choke it.
    choking: bool,
    choked_at: Instant,
    /// It chokes us.
    choked: bool,
    theirs: Bitfield,
    /// What it allowed us in spite of a choke.
    allowed: Vec<u32>,
    /// Our requests without an answer.
    pending: u32,
    /// What it asked for and is being dripped.
    wanted: VecDeque<Block>,
    /// Bytes of the first of them that left.
    dripped: u32,
    dripped_at: Instant,
    /// Things said so far, of those that habit says unasked.
    uttered: u64,
    /// Pieces claimed so far, in order.
    claimed: u32,
    speaks: Speaks,
    /// When it last heard of some.
    named: Option<Instant>,
}

/// Under which ids the other end wants to hear of what, if it does.
#[derive(Clone, Copy, Debug, Default)]
struct Speaks {
    metadata: Option<u8>,
    pex: Option<u8>,
}

/// Whether a habit does anything that is no answer.
pub(super) fn acts_by_the_clock(habit: &Habit) -> bool {
    habit.noise.is_some()
        || habit.names.is_some()
        || habit.visits.stays.is_some()
        || matches!(habit.claims, Claims::Growing | Claims::Changing)
        || matches!(habit.chokes, Chokes::Flaps { .. })
        || matches!(habit.serves, Serves::Drips { .. })
        || habit.asks != Asks::Nothing
}

impl Line {
    pub(super) fn new(now: Instant, remote: SocketAddr, layout: &Layout) -> Line {
        Line {
            remote,
            since: now,
            choking: true,
            choked_at: now,
            choked: true,
            theirs: Bitfield::new(layout.pieces()),
            allowed: Vec::new(),
            pending: 0,
            wanted: VecDeque::new(),
            dripped: 0,
            dripped_at: now,
            uttered: 0,
            claimed: 0,
            speaks: Speaks::default(),
            named: None,
        }
    }

    /// The first words.
    pub(super) fn open(&mut self, voice: &mut Voice<'_>, rng: &mut Rng) {
        introduce(voice);
        let layout = &voice.cause.metainfo.layout;
        match voice.habit.claims {
            Claims::Silence => return,
            Claims::Nothing | Claims::Growing => voice.say(Message::HaveNone),
            Claims::All | Claims::Changing => voice.say(Message::HaveAll),
            Claims::Half => voice.say(Message::Bitfield(chatter::half(layout, rng).to_bytes().into())),
            Claims::Malformed => {
                let long = vec![0xff; layout.pieces() as usize / 8 + 3];
                voice.say(Message::Bitfield(long.into()));
            }
            Claims::Beyond => {
                voice.say(Message::HaveNone);
                voice.say(Message::Have(layout.pieces()));
            }
        }
        match voice.habit.chokes {
            Chokes::Everybody => {}
            Chokes::Nobody | Chokes::Flaps { .. } => self.choke(voice, false),
            Chokes::Baits => {
                for _ in 0..BAIT_PIECES {
                    voice.say(Message::AllowedFast(rng.below(layout.pieces())));
                }
            }
        }
        if voice.habit.asks != Asks::Nothing {
            voice.say(Message::Interested);
        }
    }

    pub(super) fn on_message(&mut self, voice: &mut Voice<'_>, message: &Message, rng: &mut Rng) {
        let layout = &voice.cause.metainfo.layout;
        match message {
            Message::Choke => (self.choked, self.pending) = (true, 0),
            Message::Unchoke => {
                self.choked = false;
                self.ask(voice, rng);
            }
            Message::Have(piece) => {
                if let Some(piece) = layout.piece(*piece) {
                    self.theirs.insert(piece);
                }
            }
            Message::Bitfield(bytes) => {
                if let Ok(set) = Bitfield::from_bytes(bytes, layout.pieces()) {
                    self.theirs = set;
                }
            }
            Message::HaveAll => self.theirs = Bitfield::full(layout.pieces()),
            Message::AllowedFast(piece) if self.allowed.len() < WANTED_MAX => self.allowed.push(*piece),
            Message::Reject(_) => self.pending = self.pending.saturating_sub(1),
            Message::Request(request) => {
                let BlockRequest { piece, offset, len } = *request;
                if let Some(block) = layout.range(piece, offset, len) {
                    self.on_request(voice, block, rng);
                }
            }
            Message::Cancel(request) => {
                // What has begun to leave has to be finished, or the stream would make no sense.
                let begun = if self.dripped > 0 { self.wanted.front().copied() } else { None };
                self.wanted.retain(|&block| Some(block) == begun || BlockRequest::from(block) != *request);
            }
            Message::KeepAlive
            | Message::Interested
            | Message::NotInterested
            | Message::Port(_)
            | Message::Suggest(_)
            | Message::HaveNone
            | Message::AllowedFast(_)
            | Message::Unknown(_) => {}
            Message::Extended { id, body } => self.on_extended(voice, *id, body),
        }
    }

    /// It introduces itself, or asks for metadata: whoever lies about that gives rubbish of the right length.
    fn on_extended(&mut self, voice: &mut Voice<'_>, id: u8, body: &[u8]) {
        if id == HANDSHAKE_ID {
            let introduction = ExtensionHandshake::decode(body).unwrap_or_default();
            self.speaks.metadata = introduction.id_of(name::METADATA);
            self.speaks.pex = introduction.id_of(name::PEX);
        }
        let Some(total) = voice.habit.metadata else { return };
        let (METADATA_ID, Ok(MetadataMessage::Request(piece))) = (id, MetadataMessage::decode(body)) else {
            return;
        };
        if let (Some(id), Some(len)) = (self.speaks.metadata, metadata_piece_len(total, piece)) {
            let mut body = MetadataMessage::Data { piece, total_size: Some(total), at: 0 }.encode();
            body.resize(body.len() + len as usize, piece as u8);
            voice.say(Message::Extended { id, body: body.into() });
        }
    }

    /// A block came that was asked for: the next one, and perhaps a show of progress.
    pub(super) fn on_block(&mut self, voice: &mut Voice<'_>, block: BlockRequest, rng: &mut Rng) {
        self.pending = self.pending.saturating_sub(1);
        if matches!(voice.habit.asks, Asks::Rides { .. }) {
            voice.say(Message::Have(block.piece));
        }
        self.ask(voice, rng);
    }

    fn on_request(&mut self, voice: &mut Voice<'_>, block: Block, rng: &mut Rng) {
        if self.choking && voice.habit.chokes != Chokes::Baits {
            return;
        }
        let layout = &voice.cause.metainfo.layout;
        match voice.habit.serves {
            Serves::Never => {}
            Serves::Rejects => voice.say(Message::Reject(block.into())),
            Serves::Rightly => voice.send(block, Bytes::Right),
            Serves::Spoils { one_in } => {
                let wrong = Bytes::Wrong { salt: rng.next_u64() };
                voice.send(block, if rng.below(one_in) == 0 { wrong } else { Bytes::Right });
            }
            Serves::Colludes => {
                let (number, count) = (layout.block_index(block), layout.blocks_in(block.piece));
                let salt = voice.cause.ring.spoils(voice.now, block, number, count);
                voice.send(block, salt.map_or(Bytes::Right, |salt| Bytes::Wrong { salt }));
            }
            Serves::Drips { .. } if self.wanted.len() < WANTED_MAX => {
                if self.wanted.is_empty() {
                    self.dripped_at = voice.now;
                }
                self.wanted.push_back(block);
            }
            Serves::Drips { .. } => {}
            Serves::Astray => voice.send(chatter::any_block(layout, rng), Bytes::Right),
            Serves::Twice => {
                voice.send(block, Bytes::Right);
                voice.send(block, Bytes::Right);
            }
        }
    }

    /// What it does by the clock, once each [`super::PULSE`].
    pub(super) fn on_pulse(&mut self, voice: &mut Voice<'_>, rng: &mut Rng) {
        if voice.habit.visits.stays.is_some_and(|stays| voice.now.since(self.since) >= stays) {
            return voice.acts.push(Act::HangUp { link: voice.link });
        }
        let layout = &voice.cause.metainfo.layout;
        match voice.habit.claims {
            Claims::Growing if self.claimed < layout.pieces() => {
                voice.say(Message::Have(self.claimed));
                self.claimed += 1;
            }
            Claims::Changing => {
                let next = if self.claimed.is_multiple_of(2) { Message::HaveNone } else { Message::HaveAll };
                voice.say(next);
                self.claimed = self.claimed.wrapping_add(1);
            }
            Claims::Silence
            | Claims::Nothing
            | Claims::All
            | Claims::Half
            | Claims::Growing
            | Claims::Malformed
            | Claims::Beyond => {}
        }
        if let Chokes::Flaps { every } = voice.habit.chokes
            && voice.now.since(self.choked_at) >= every
        {
            self.choke(voice, !self.choking);
        }
        self.drip(voice);
        self.ask(voice, rng);
        self.name_peers(voice, rng);
        self.make_noise(voice, rng);
    }

    fn choke(&mut self, voice: &mut Voice<'_>, choking: bool) {
        (self.choking, self.choked_at) = (choking, voice.now);
        voice.say(if choking { Message::Choke } else { Message::Unchoke });
    }

    /// The next bytes of what is asked for; the last ones end a block.
    fn drip(&mut self, voice: &mut Voice<'_>) {
        let Serves::Drips { rate } = voice.habit.serves else { return };
        let Some(&block) = self.wanted.front() else { return };
        // Slow is slow at any vigour.
        let elapsed = u64::try_from(voice.now.since(self.dripped_at).as_millis()).unwrap_or(u64::MAX);
        let bytes = u32::try_from(elapsed * u64::from(rate) / 1000).unwrap_or(block.len);
        if bytes == 0 {
            return;
        }
        self.dripped_at = voice.now;
        if self.dripped.saturating_add(bytes) < block.len {
            self.dripped += bytes;
            return voice.acts.push(Act::Drip { link: voice.link, block, bytes });
        }
        (self.dripped, _) = (0, self.wanted.pop_front());
        voice.send(block, Bytes::Right);
    }

    /// As many requests as the habit has under way at once.
    fn ask(&mut self, voice: &mut Voice<'_>, rng: &mut Rng) {
        let layout = &voice.cause.metainfo.layout;
        match voice.habit.asks {
            Asks::Nothing => {}
            Asks::Forever { pending } | Asks::Rides { pending } => {
                // All that is asked at one moment is drawn: twice the same is as good as any.
                for _ in self.pending..pending {
                    let block = chatter::any_block(layout, rng);
                    if !self.choked && self.theirs.has(block.piece) {
                        self.pending += 1;
                        voice.say(Message::Request(block.into()));
                    }
                }
            }
            Asks::AllowedAgain => {
                let Some(&piece) = self.allowed.get(rng.index(self.allowed.len())) else { return };
                let Some(piece) = layout.piece(piece) else { return };
                for number in 0..layout.blocks_in(PieceIndex(piece.0)) {
                    voice.say(Message::Request(layout.nth_block(piece, number).into()));
                }
            }
        }
    }

    /// Names peers, if it is time and the other end wants to hear of them.
    fn name_peers(&mut self, voice: &mut Voice<'_>, rng: &mut Rng) {
        let (Some((names, every)), Some(id)) = (voice.habit.names, self.speaks.pex) else { return };
        if self.named.is_none_or(|named| voice.now.since(named) >= every) {
            self.named = Some(voice.now);
            let body = gossip::message(names, rng).encode().into();
            voice.say(Message::Extended { id, body });
        }
    }

    fn make_noise(&mut self, voice: &mut Voice<'_>, rng: &mut Rng) {
        let Some((noise, rate)) = voice.habit.noise else { return };
        // What is due by now since the link came up: no rate is lost to rounding.
        let elapsed = u64::try_from(voice.now.since(self.since).as_millis()).unwrap_or(u64::MAX);
        let due = elapsed * u64::from(rate) * u64::from(voice.cause.vigour) / 1000;
        let end = due.min(self.uttered + UTTERANCES_MAX);
        while self.uttered < end {
            match chatter::utter(noise, self.uttered, &voice.cause.metainfo.layout, rng) {
                Utterance::Message(message) => voice.say(message),
                Utterance::Pair(first, second) => {
                    voice.say(first);
                    voice.say(second);
                }
                Utterance::Block(block) => voice.send(block, Bytes::Wrong { salt: self.uttered }),
            }
            self.uttered += 1;
        }
    }
}

/// Tells which extensions it speaks, if it is to speak any.
fn introduce(voice: &mut Voice<'_>) {
    let mut extensions: Vec<(Box<str>, u8)> = Vec::new();
    extensions.extend(voice.habit.metadata.map(|_| (name::METADATA.into(), METADATA_ID)));
    extensions.extend(voice.habit.names.map(|_| (name::PEX.into(), PEX_ID)));
    if extensions.is_empty() {
        return;
    }
    let introduction = ExtensionHandshake {
        extensions,
        metadata_size: voice.habit.metadata,
        port: voice.habit.names.map(|_| LISTENS),
        ..ExtensionHandshake::default()
    };
    voice.say(Message::Extended { id: HANDSHAKE_ID, body: introduction.encode().into() });
}
