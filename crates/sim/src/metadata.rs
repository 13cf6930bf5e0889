//! Metadata in the simulated world: who holds which pieces of it, right or wrong, how long a piece takes to leave, and what
//! those say who lie about it. No bytes: a piece is a flag.
//!
//! What is right is a function of the content, as with blocks. Nothing here decides for a session. BEP: 9. Threat: A6

use crate::content::Content;
use crate::happening::Happening;
use crate::network::{Parcel, micros};
use crate::node::{NO_GOAL, Nature, addr_of};
use crate::world::World;
use core::time::Duration;
use proto::input::{MetadataFailure, Unsent};
use proto::{AddMagnet, Command, Input, LinkId, PayloadId, SendToken, TorrentId};
use std::collections::{BTreeMap, BTreeSet};
use wire::Message;
use wire::extension::{ExtensionHandshake, HANDSHAKE_ID};
use wire::metadata::{metadata_piece_len, metadata_pieces};

/// Bytes of a metadata message that are no metadata: frame, id and head.
const METADATA_HEAD: u32 = 60;

/// How long putting together, hashing and writing takes, whatever the size.
const ASSEMBLY: Duration = Duration::from_millis(20);

/// What a node holds of metadata.
#[derive(Default)]
pub(crate) struct Shelf {
    /// Durable: an earlier run fetched it.
    pub(crate) known: BTreeSet<TorrentId>,
    /// Pieces kept, by claimed size: whether they are right.
    kept: BTreeMap<(TorrentId, u32), BTreeMap<u32, bool>>,
    /// Payloads that wait for a verdict.
    parked: BTreeMap<PayloadId, bool>,
    /// On their way out.
    sending: BTreeSet<SendToken>,
}

impl Shelf {
    /// The process is gone; what was made durable stays.
    pub(crate) fn crash(&mut self) {
        *self = Shelf { known: core::mem::take(&mut self.known), ..Shelf::default() };
    }

    /// Pieces in memory.
    pub(crate) fn pieces(&self) -> usize {
        self.kept.values().map(BTreeMap::len).sum()
    }
}

impl World {
    /// A node takes part in a torrent of which it knows the hash alone.
    pub(crate) fn add_magnet(&mut self, node: u32, torrent: TorrentId) {
        let metainfo = self.contents[torrent.slot as usize].metainfo().clone();
        let spec = &self.nodes[node as usize].spec;
        let add = AddMagnet {
            torrent,
            info_hash: metainfo.info_hash,
            trackers: metainfo.trackers.iter().flatten().cloned().collect(),
            sequential: spec.sequential,
            paused: false,
            peers: spec.knows.iter().map(|&peer| addr_of(peer)).collect(),
            seed_goal: NO_GOAL,
        };
        self.feed(node, Input::Command(Command::AddMagnet(Box::new(add))));
    }

    /// What a node makes of a message on its way out.
    pub(crate) fn as_said(&self, node: u32, message: Message) -> Message {
        let Nature::LiesAboutMetadata { size } = self.nodes[node as usize].spec.nature else {
            return message;
        };
        match &message {
            Message::Extended { id: HANDSHAKE_ID, body } => match ExtensionHandshake::decode(body) {
                Ok(mut handshake) => {
                    handshake.metadata_size = Some(size);
                    Message::Extended { id: HANDSHAKE_ID, body: handshake.encode().into() }
                }
                Err(_) => message,
            },
            _ => message,
        }
    }

    pub(crate) fn send_metadata(&mut self, node: u32, token: SendToken, torrent: TorrentId, piece: u32) {
        let Some(pipe) = self.nodes[node as usize].pipe(token.link) else {
            return self.tell_unsent(node, token, Unsent::LinkDown);
        };
        let (total, right) = match self.nodes[node as usize].spec.nature {
            Nature::LiesAboutMetadata { size } => (size, false),
            Nature::Honest | Nature::Corrupts { .. } | Nature::Stalls => (self.metadata_of(torrent), true),
        };
        let len = metadata_piece_len(total, piece).unwrap_or(0);
        let parcel = Parcel::Metadata { piece, total, right };
        self.network.send_control(self.now, pipe, parcel, len + METADATA_HEAD, &mut self.queue);
        let here = &mut self.nodes[node as usize];
        here.shelf.sending.insert(token);
        let span = u64::from(len) * 1_000_000 / here.spec.access.up.max(1);
        let incarnation = here.incarnation;
        let at = self.now + Duration::from_micros(span.max(micros(Duration::from_millis(1))));
        self.queue.push(at, node, Happening::MetadataLeft { incarnation, token });
    }

    pub(crate) fn metadata_left(&mut self, node: u32, incarnation: u32, token: SendToken) {
        if self.is_current(node, incarnation) && self.nodes[node as usize].shelf.sending.remove(&token) {
            self.feed(node, Input::Sent { token });
        }
    }

    /// A link goes down: what was on its way over it will not leave.
    pub(crate) fn forget_metadata_of(&mut self, node: u32, link: LinkId) {
        let owed = |token: &SendToken| token.link == link;
        while let Some(token) = self.nodes[node as usize].shelf.sending.iter().copied().find(owed) {
            self.nodes[node as usize].shelf.sending.remove(&token);
            self.feed(node, Input::Unsent { token, why: Unsent::LinkDown });
        }
    }

    /// A node reads a piece that came over a link.
    pub(crate) fn read_metadata(&mut self, node: u32, link: LinkId, piece: u32, total: u32, right: bool) {
        let len = metadata_piece_len(total, piece).unwrap_or(0);
        self.count_overhead(node, link, len + METADATA_HEAD, 0);
        let here = &mut self.nodes[node as usize];
        if here.session().is_none() {
            return;
        }
        let payload = here.payloads.park_metadata();
        here.shelf.parked.insert(payload, right);
        self.feed(node, Input::MetadataPiece { link, piece, total: Some(total), len, payload });
    }

    pub(crate) fn keep_metadata(
        &mut self,
        node: u32,
        payload: PayloadId,
        torrent: TorrentId,
        size: u32,
        piece: u32,
    ) {
        let here = &mut self.nodes[node as usize];
        let _ = here.payloads.take(payload);
        if let Some(right) = here.shelf.parked.remove(&payload) {
            here.shelf.kept.entry((torrent, size)).or_default().insert(piece, right);
        }
    }

    pub(crate) fn drop_metadata(&mut self, node: u32, payload: PayloadId) {
        self.nodes[node as usize].shelf.parked.remove(&payload);
    }

    pub(crate) fn discard_metadata(&mut self, node: u32, torrent: TorrentId, size: u32) {
        self.nodes[node as usize].shelf.kept.remove(&(torrent, size));
    }

    pub(crate) fn assemble_metadata(&mut self, node: u32, torrent: TorrentId, size: u32) {
        let right = self.metadata_of(torrent);
        let content = self.contents[torrent.slot as usize].metainfo().clone();
        let here = &mut self.nodes[node as usize];
        let kept = here.shelf.kept.remove(&(torrent, size)).unwrap_or_default();
        if kept.len() != metadata_pieces(size) as usize {
            let text = format!("assembles {} of {} pieces of metadata", kept.len(), metadata_pieces(size));
            self.checkers.report(self.now, node, "metadata", text);
        }
        let here = &mut self.nodes[node as usize];
        let input = if size == right && kept.values().all(|&right| right) {
            here.shelf.known.insert(torrent);
            let priorities = here.spec.priorities.clone().into();
            Input::MetadataReady { torrent, metainfo: content, priorities }
        } else {
            Input::MetadataFailed { torrent, size, why: MetadataFailure::WrongHash }
        };
        self.tell_at(self.now + ASSEMBLY, node, input);
    }

    /// How large the metadata of a torrent really is.
    fn metadata_of(&self, torrent: TorrentId) -> u32 {
        self.contents
            .get(torrent.slot as usize)
            .map_or(0, |content: &std::sync::Arc<Content>| content.metainfo().metadata_len())
    }
}
