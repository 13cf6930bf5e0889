//! What follows from what peers say. The peer's own machine has judged the message; here the torrent acts on the report.
//! BEP: 3, 6, 9, 10, 21, 54

use super::Torrent;
use crate::PeerKey;
use crate::cx::Cx;
use crate::input::PeerSource;
use crate::output::CloseReason;
use crate::peer::PeerReport;
use crate::pieces::RemotePieces;
use wire::{Bitfield, Message, PieceIndex};

impl Torrent {
    /// A peer said something.
    pub fn on_message(&mut self, cx: &mut Cx<'_>, key: PeerKey, message: Message) {
        let Some(peer) = self.peers.get_mut(key).filter(|peer| !peer.state.closing) else { return };
        peer.clocks.heard = cx.now;
        match peer.receive(&self.metainfo.layout, cx.now, message) {
            Ok(report) => self.on_report(cx, key, report),
            Err(fault) => self.misbehaved(cx, key, fault),
        }
    }

    /// A peer has new pieces, as the driver gathered them.
    pub fn on_haves(&mut self, cx: &mut Cx<'_>, key: PeerKey, pieces: &[u32]) {
        for &piece in pieces {
            let Some(peer) = self.peers.get_mut(key).filter(|peer| !peer.state.closing) else { return };
            peer.clocks.heard = cx.now;
            match peer.on_have(&self.metainfo.layout, cx.now, piece) {
                Ok(PeerReport::Has(piece)) => self.peer_has(cx, key, piece),
                Ok(_) => {}
                Err(fault) => return self.misbehaved(cx, key, fault),
            }
        }
        self.on_more_pieces(cx, key);
    }

    fn on_report(&mut self, cx: &mut Cx<'_>, key: PeerKey, report: PeerReport) {
        match report {
            PeerReport::Nothing => {}
            PeerReport::Choked => self.on_choked(cx, key),
            PeerReport::Unchoked => self.on_unchoked(cx, key),
            PeerReport::Interest => self.on_interest(cx, key),
            PeerReport::Announced => {
                let Some(peer) = self.peers.get(key) else { return };
                self.picker.peer_joined(key, &peer.pieces);
                self.saw_pieces(key);
                self.credit_progress(cx, key);
                self.on_more_pieces(cx, key);
            }
            PeerReport::Has(piece) => {
                self.peer_has(cx, key, piece);
                self.on_more_pieces(cx, key);
            }
            PeerReport::HasMore(pieces) => {
                pieces.into_iter().for_each(|piece| self.peer_has(cx, key, piece));
                self.on_more_pieces(cx, key);
            }
            PeerReport::Lost(piece) => self.on_remote_loss(cx, key, piece),
            PeerReport::Request(block) => self.on_request(cx, key, block),
            PeerReport::Unservable(request) => self.on_unservable(cx, key, request),
            PeerReport::MetadataRequest(piece) => self.on_metadata_request(cx, key, piece),
            PeerReport::MetadataReject(piece) => self.on_metadata_rejected(cx, key, piece),
            PeerReport::Cancel(block) => self.on_cancel(cx, key, block),
            PeerReport::Rejected(block) => self.on_rejected(cx, key, block),
            PeerReport::Allowed => self.fill(cx, key),
            PeerReport::Named(message) => self.on_named(cx, key, &message),
            PeerReport::Node(port) => self.on_node(cx, key, port),
            PeerReport::Met => {
                self.on_met(cx, key);
                self.consider_source(cx, key);
            }
            PeerReport::UploadOnly => {
                self.on_met(cx, key);
                self.consider_source(cx, key);
                self.part_if_useless(cx, key);
            }
        }
    }

    fn peer_has(&mut self, cx: &mut Cx<'_>, key: PeerKey, piece: PieceIndex) {
        self.picker.peer_has(key, piece);
        self.saw_piece(cx, key, piece);
    }

    /// A peer may have become interesting, or useless: it has more than before.
    fn on_more_pieces(&mut self, cx: &mut Cx<'_>, key: PeerKey) {
        self.go_on_super_seeding(cx);
        self.update_interest(cx, key);
        self.part_if_useless(cx, key);
        self.fill(cx, key);
    }

    /// Two peers that want nothing from each other need no link.
    fn part_if_useless(&mut self, cx: &mut Cx<'_>, key: PeerKey) {
        let Some(peer) = self.peers.get(key) else { return };
        if self.is_finished() && (peer.pieces.is_seed() || peer.extensions.upload_only) {
            self.close(cx, key, CloseReason::Useless);
        }
    }

    /// A peer wants something from us, or no longer does.
    fn on_interest(&mut self, cx: &mut Cx<'_>, key: PeerKey) {
        let Some(peer) = self.peers.get(key) else { return };
        let was_served = !peer.state.am_choking;
        if peer.state.peer_interested {
            self.peers.interested += 1;
            cx.pool.choke_soon = true;
            self.let_in(cx);
        } else {
            self.peers.interested = self.peers.interested.saturating_sub(1);
            // Its slot is free for others.
            cx.pool.choke_soon |= was_served;
        }
    }

    /// A peer introduced itself: if it came to us we may now know where it listens, and need not dial it there.
    fn on_met(&mut self, cx: &mut Cx<'_>, key: PeerKey) {
        self.expect_names(cx, key);
        let Some(peer) = self.peers.get(key).filter(|peer| peer.terms.incoming) else { return };
        if let Some(address) = peer.listens() {
            self.dialer.found(PeerSource::Incoming, address, cx.rng);
            self.dialer.list.linked(cx.now, address);
        }
    }

    /// A peer lost a piece. Rare: its set is built anew.
    fn on_remote_loss(&mut self, cx: &mut Cx<'_>, key: PeerKey, piece: PieceIndex) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        let total = self.metainfo.layout.pieces();
        let mut set = Bitfield::new(total);
        peer.pieces.each(total, |piece| {
            set.insert(piece);
        });
        set.remove(piece);
        let before = core::mem::replace(&mut peer.pieces, RemotePieces::from_bitfield(set));
        self.picker.peer_left(key, &before);
        self.picker.peer_joined(key, &peer.pieces);
        self.update_interest(cx, key);
    }
}
