//! Serving: which requests are taken on, and how a block leaves when its turn comes.
//!
//! What always holds: nothing is sent to a peer that we choke but what it may have in spite of that; a request of a peer that
//! speaks BEP 6 gets exactly one answer, the block or a reject; no peer has more on its way than its credit, but one block.
//! Whose turn it is, the session says. BEP: 3, 6. Threats: C3, C9

use super::Torrent;
use crate::cx::Cx;
use crate::input::Unsent;
use crate::peer::upload_queue::{Cancelled, Leaving};
use crate::{Output, PeerKey, SendToken};
use wire::message::BlockRequest;
use wire::{Block, Message, PieceIndex};

/// What a peer's turn came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turn {
    /// It may go on at once: its turns earned more than this block.
    Again,
    /// The others come first.
    Next,
    /// The uplink takes nothing more now.
    Full,
    /// Nothing more now: it comes back when there is.
    Done,
}

impl Torrent {
    /// A peer asks for a range.
    pub fn on_request(&mut self, cx: &mut Cx<'_>, key: PeerKey, block: Block) {
        let active = self.stage.is_active() && self.is_shown(key, block.piece);
        let Some(peer) = self.peers.get_mut(key) else { return };
        let choked = peer.state.am_choking;
        let allowed = choked && peer.terms.fast && peer.fast.ours.allows(block);
        if choked && !allowed {
            peer.reject(cx, block);
            // What was on its way when we choked is no fault.
            if let Err(fault) = peer.conduct.asked_while_choked() {
                self.misbehaved(cx, key, fault);
            }
            return;
        }
        if !active || !self.picker.pieces().have().has(block.piece) {
            return peer.reject(cx, block);
        }
        if peer.uploads.push(block).is_err() {
            peer.reject(cx, block);
            if let Err(fault) = peer.conduct.asked_too_much() {
                self.misbehaved(cx, key, fault);
            }
            return;
        }
        if allowed {
            peer.fast.ours.charge(block);
        }
        peer.enlist(cx, self.id, key);
    }

    /// A peer asks for a range although we told it of no piece, and could not.
    pub fn on_unservable(&mut self, cx: &mut Cx<'_>, key: PeerKey, request: BlockRequest) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        if peer.terms.fast {
            peer.send(cx, Message::Reject(request));
        }
        if let Err(fault) = peer.conduct.asked_while_choked() {
            self.misbehaved(cx, key, fault);
        }
    }

    /// A peer no longer wants a range.
    pub fn on_cancel(&mut self, cx: &mut Cx<'_>, key: PeerKey, block: Block) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        match peer.uploads.cancel(block) {
            Cancelled::Waiting => peer.reject(cx, block),
            Cancelled::Sending(sequence) => {
                let token = SendToken { link: peer.link, sequence };
                cx.push(Output::Unsend { token });
            }
            Cancelled::Unknown => {}
        }
    }

    /// A peer's turn to be sent one block, if its credit and what it saved up allow.
    pub fn send_next(&mut self, cx: &mut Cx<'_>, key: PeerKey) -> Turn {
        let Some(peer) = self.peers.get_mut(key) else { return Turn::Done };
        let next =
            peer.uploads.peek().filter(|next| !peer.state.closing && peer.sending.credit.has_room(next.len));
        let Some(next) = next else {
            (peer.sending.enlisted, peer.sending.deficit) = (false, 0);
            return Turn::Done;
        };
        if peer.sending.deficit < next.len {
            peer.sending.deficit += self.metainfo.layout.block_len();
            return Turn::Next;
        }
        if !cx.pool.uplink.has_room(cx.now, cx.pool.lease.up, next.len) {
            return Turn::Full;
        }
        let Some((sequence, block)) = peer.uploads.start(cx.now) else { return Turn::Done };
        peer.sending.start(block.len);
        cx.pool.uplink.sending(cx.now, block.len);
        cx.pool.up.charge(cx.now, u64::from(block.len));
        let token = SendToken { link: peer.link, sequence };
        cx.push(Output::SendBlock { token, torrent: self.id, block });
        Turn::Again
    }

    /// A block left.
    pub fn on_sent(&mut self, cx: &mut Cx<'_>, key: PeerKey, token: SendToken) {
        if self.on_metadata_sent(cx, key, token) {
            return;
        }
        let Some(peer) = self.peers.get_mut(key) else { return };
        let Some(Leaving { block, since, .. }) = peer.uploads.sent(token.sequence) else { return };
        peer.clocks.said = cx.now;
        peer.sending.finish(cx.now, since, block.len, true);
        cx.pool.uplink.done(cx.now, since, block.len, true);
        peer.traffic.sent(cx.now, block.len);
        peer.traffic.appetite.took(block.len, peer.pieces.has(block.piece));
        self.totals.uploaded += u64::from(block.len);
        cx.pool.up_meter.add(cx.now, u64::from(block.len));
        peer.enlist(cx, self.id, key);
        self.sent_of_first_copy(cx, key, block);
        cx.pool.choke_soon |= self.has_had_its_turn(key, block.len);
        self.stop_drain(cx, key);
        self.suggest_next(cx, key, block);
    }

    /// A block will not leave.
    pub fn on_unsent(&mut self, cx: &mut Cx<'_>, key: PeerKey, token: SendToken, why: Unsent) {
        if self.on_metadata_sent(cx, key, token) {
            return;
        }
        let Some(peer) = self.peers.get_mut(key) else { return };
        let Some(Leaving { block, since, .. }) = peer.uploads.unsent(token.sequence) else { return };
        peer.sending.finish(cx.now, since, block.len, false);
        cx.pool.uplink.done(cx.now, since, block.len, false);
        peer.reject(cx, block);
        peer.enlist(cx, self.id, key);
        match why {
            Unsent::Recalled | Unsent::LinkDown => {}
            Unsent::Disk(error) if self.stage.is_active() => self.fail(cx, error),
            Unsent::Disk(_) => {}
        }
    }

    /// We serve this peer from now on, or no longer.
    pub fn set_choking(&mut self, cx: &mut Cx<'_>, key: PeerKey, choking: bool) {
        let Some(peer) = self.peers.get_mut(key).filter(|peer| !peer.state.closing) else { return };
        if core::mem::replace(&mut peer.state.am_choking, choking) == choking {
            return;
        }
        peer.clocks.choked = cx.now;
        self.peers.unchoked =
            if choking { self.peers.unchoked.saturating_sub(1) } else { self.peers.unchoked + 1 };
        let Some(peer) = self.peers.get_mut(key) else { return };
        if !choking {
            peer.conduct.unchoked();
            peer.traffic.sent_since_unchoke = 0;
            peer.send(cx, Message::Unchoke);
            return self.suggest_first(cx, key);
        }
        peer.send(cx, Message::Choke);
        let allowed = if peer.terms.fast { peer.fast.ours.pieces().to_vec() } else { Vec::new() };
        self.drop_requests(cx, key, |piece| allowed.contains(&piece));
    }

    /// A peer is not sent what it asked for, but of the pieces that stay.
    pub fn drop_requests(&mut self, cx: &mut Cx<'_>, key: PeerKey, stays: impl Fn(PieceIndex) -> bool) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        let (mut dropped, mut wish_back) = (Vec::new(), Vec::new());
        peer.uploads.choke(stays, &mut dropped, &mut wish_back);
        for block in dropped {
            peer.reject(cx, block);
        }
        for sequence in wish_back {
            cx.push(Output::Unsend { token: SendToken { link: peer.link, sequence } });
        }
    }
}
