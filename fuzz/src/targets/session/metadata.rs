//! What peers do about metadata in a story: they introduce themselves with some size, send pieces, ask, refuse.

use super::driver::{Driver, address, seed_goal};
use crate::script::Script;
use proto::extension::metadata::METADATA_ID;
use proto::input::{MetadataFailure, Unsent};
use proto::{AddMagnet, Command, Input, LinkId, PayloadId, TorrentId};
use std::sync::Arc;
use wire::extension::ExtensionHandshake;
use wire::message::BlockRequest;
use wire::metadata::{MetadataMessage, metadata_piece_len};
use wire::{Message, Metainfo};

impl Driver {
    /// A torrent of which only the hash is known.
    pub(super) fn add_magnet(&mut self, torrent: TorrentId, flags: u8, script: &mut Script<'_>) {
        let metainfo = self.torrents[&torrent].clone();
        self.handle(Input::Command(Command::AddMagnet(Box::new(AddMagnet {
            torrent,
            info_hash: metainfo.info_hash,
            trackers: metainfo.trackers.iter().flatten().cloned().collect(),
            sequential: flags & 2 != 0,
            paused: flags & 4 != 0,
            peers: if flags & 8 == 0 { Vec::new() } else { vec![address(script)] },
            seed_goal: seed_goal(script),
        }))));
    }

    /// Metadata was put together, some way.
    pub(super) fn assembled(&mut self, torrent: TorrentId, size: u32, metainfo: Arc<Metainfo>, luck: usize) {
        let input = match luck {
            1 => Input::MetadataFailed { torrent, size, why: MetadataFailure::WrongHash },
            2 => Input::MetadataFailed { torrent, size, why: MetadataFailure::Unusable("no".into()) },
            _ => Input::MetadataReady { torrent, metainfo, priorities: Box::default() },
        };
        self.handle(input);
    }

    /// A link goes down: what is on its way over it will not leave.
    pub(super) fn forget_metadata_of(&mut self, link: LinkId) {
        while let Some(token) = self.manners.metadata.iter().copied().find(|token| token.link == link) {
            self.manners.metadata.remove(&token);
            self.handle(Input::Unsent { token, why: Unsent::LinkDown });
        }
    }

    /// Something about metadata: an introduction, a piece, or a message of BEP 9; often of the right size.
    pub(super) fn metadata(&mut self, script: &mut Script<'_>) {
        if let Some(token) = self.manners.metadata.pop_first() {
            self.handle(Input::Sent { token });
        }
        let Some(link) = self.any_link(script) else { return };
        let right = self.torrents.get(&self.manners.links[&link].torrent).map_or(0, |of| of.metadata_len());
        let size = if script.below(4) == 0 { script.u32() >> script.below(32) } else { right };
        let piece = if script.below(4) == 0 { script.below(5) as u32 } else { 0 };
        let body = match script.below(5) {
            0 | 1 => {
                let extensions = vec![("ut_metadata".into(), script.byte() % 4)];
                let metadata_size = Some(size);
                let hello = ExtensionHandshake { extensions, metadata_size, ..Default::default() };
                let message = Message::Extended { id: 0, body: hello.encode().into() };
                return self.handle(Input::Message { link, message });
            }
            2 => {
                let payload = PayloadId { slot: 0, generation: self.name() };
                let len = metadata_piece_len(size, piece).unwrap_or(7);
                self.manners.park(link, BlockRequest { piece, offset: 0, len }, payload);
                let total = script.flag().then_some(size);
                return self.handle(Input::MetadataPiece { link, piece, total, len, payload });
            }
            3 => MetadataMessage::Request(piece).encode(),
            _ => MetadataMessage::Reject(piece).encode(),
        };
        let message = Message::Extended { id: METADATA_ID, body: body.into() };
        self.handle(Input::Message { link, message });
    }
}
