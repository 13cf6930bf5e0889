//! Metadata between the socket and the session: pieces of it that were kept, put together off the loop when all of one size
//! are here; and pieces of ours on their way to peers.
//!
//! Decides nothing: which piece of which claimed size is kept, the session says, and it bounds how many. BEP: 9
//! Invariant: what was assembled is no longer held here.

use super::event_loop::EventLoop;
use super::inbox::Answered;
use crate::client::magnet::{self, Known};
use crate::disk::spec::{ContentSpec, StorageSpec};
use bytes::Bytes;
use proto::input::{MetadataFailure, Unsent};
use proto::{Input, LinkId, PayloadId, SendToken, TorrentId, extension};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use wire::metadata::{METADATA_PIECE_LEN, MetadataMessage};

/// Pieces that were kept, by torrent and claimed size.
#[derive(Debug, Default)]
pub(crate) struct MetadataPieces {
    kept: HashMap<(TorrentId, u32), BTreeMap<u32, Bytes>>,
}

/// What became of assembled metadata.
#[derive(Debug)]
pub(crate) struct Assembled {
    pub(crate) torrent: TorrentId,
    pub(crate) size: u32,
    pub(crate) outcome: Result<Known, MetadataFailure>,
}

impl MetadataPieces {
    /// Forgets a torrent.
    pub(crate) fn forget_torrent(&mut self, torrent: TorrentId) {
        self.kept.retain(|&(other, _), _| other != torrent);
    }
}

impl EventLoop {
    /// A message of the extension protocol: a piece of metadata is parked, everything else is the session's to read.
    pub(super) fn read_extended(&mut self, link: LinkId, id: u8, body: Box<[u8]>) {
        let Some(data) = extension::metadata::data(id, &body) else {
            let message = wire::Message::Extended { id, body };
            return self.feed(Input::Message { link, message });
        };
        let mut bytes = Bytes::from(body);
        let bytes = bytes.split_off(data.at.min(bytes.len()));
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let payload = self.payloads.parked.park(bytes);
        let (piece, total) = (data.piece, data.total);
        self.feed(Input::MetadataPiece { link, piece, total, len, payload });
    }

    pub(super) fn keep_metadata(&mut self, payload: PayloadId, torrent: TorrentId, size: u32, piece: u32) {
        if let Some(bytes) = self.payloads.parked.take(payload) {
            self.payloads.metadata.kept.entry((torrent, size)).or_default().insert(piece, bytes);
        }
    }

    pub(super) fn discard_metadata(&mut self, torrent: TorrentId, size: u32) {
        self.payloads.metadata.kept.remove(&(torrent, size));
    }

    /// Puts pieces together, off the loop: tens of megabytes are hashed, read and written to the state store.
    pub(super) fn assemble_metadata(&mut self, torrent: TorrentId, size: u32) {
        let pieces = self.payloads.metadata.kept.remove(&(torrent, size)).unwrap_or_default();
        let Some(entry) = self.torrents.get(torrent) else { return };
        let (Some(pending), info_hash) = (entry.pending.clone(), entry.info_hash) else { return };
        let (shared, answerer) = (Arc::clone(&self.outside.shared), self.outside.answerer.clone());
        self.outside.edge.off_loop(move || {
            let mut info = Vec::with_capacity(size as usize);
            pieces.into_values().for_each(|piece| info.extend_from_slice(&piece));
            let outcome = magnet::learn(&shared, torrent, info_hash, &pending, &info);
            answerer.answer(Answered::Metadata(Box::new(Assembled { torrent, size, outcome })));
        });
    }

    /// Hands on what became of it.
    pub(super) fn metadata_assembled(&mut self, assembled: Assembled) {
        let Assembled { torrent, size, outcome } = assembled;
        match outcome {
            Ok(Known { metainfo, priorities, wanted }) => {
                let Some(entry) = self.torrents.get_mut(torrent) else { return };
                let Some(pending) = entry.pending.take() else { return };
                let (root, allocation) = (pending.root.clone(), pending.allocation);
                let spec = StorageSpec::new(Arc::clone(&metainfo), root, allocation, Box::default());
                entry.spec = Some(ContentSpec::Kept(Arc::new(spec)));
                entry.wanted = wanted;
                self.feed(Input::MetadataReady { torrent, metainfo, priorities });
            }
            Err(why) => self.feed(Input::MetadataFailed { torrent, size, why }),
        }
    }

    /// A piece of our metadata leaves like a block: behind control messages, and answered when it has left.
    pub(super) fn send_metadata(&mut self, token: SendToken, torrent: TorrentId, id: u8, piece: u32) {
        let info = self.torrents.get(torrent).and_then(|entry| Some(Arc::clone(entry.metainfo()?.info())));
        let bytes = info.as_ref().and_then(|info| slice(info, piece));
        let link = self.links.get_mut(token.link);
        let (Some(link), Some(info), Some(bytes)) = (link, &info, bytes) else {
            return self.mail.to_session.push_back(Input::Unsent { token, why: Unsent::LinkDown });
        };
        let total_size = u32::try_from(info.len()).ok();
        let head = MetadataMessage::Data { piece, total_size, at: 0 }.encode();
        link.outbound.extended(token, id, &head, Bytes::copy_from_slice(bytes));
        self.links.want_write(token.link);
    }
}

fn slice(info: &[u8], piece: u32) -> Option<&[u8]> {
    let from = piece.checked_mul(METADATA_PIECE_LEN)? as usize;
    let to = from.checked_add(METADATA_PIECE_LEN as usize)?.min(info.len());
    info.get(from..to).filter(|slice| !slice.is_empty())
}
