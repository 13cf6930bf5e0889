//! A torrent of which only the hash is known, until its metadata has come from peers; and the handing on of metadata to others.
//!
//! While it is fetched, a stand-in of one piece that nobody has takes the content's place: so everything that asks whether
//! the torrent is complete is answered truly, and links, trackers and dials work as ever. When it is here, layout and picker
//! are born, links stay, and what peers said of their pieces meanwhile is held against the layout.
//!
//! Invariants: no piece is asked for, kept or served of the stand-in; every parked piece of metadata is answered by one
//! `KeepMetadata` or `Drop`. BEP: 9, 27. Threats: A6, C6

use super::Torrent;
use super::durability::Saver;
use super::web_seed::WebSeeds;
use crate::command::{AddMagnet, AddTorrent, Priority};
use crate::cx::Cx;
use crate::extension::handshake::{self, PeerExchange};
use crate::extension::metadata as messages;
use crate::input::MetadataFailure;
use crate::metadata::{MetadataFetch, Verdict};
use crate::output::CloseReason;
use crate::peer::Pipeline;
use crate::peer::metadata::METADATA_SEQUENCE;
use crate::pieces::PiecePicker;
use crate::timers::TorrentTimer;
use crate::{Config, Event, Output, PayloadId, PeerKey, PeerMisbehaved, Rng, SendToken};
use std::sync::Arc;
use wire::extension::name;
use wire::layout::BLOCK_LEN;
use wire::metadata::{METADATA_SIZE_MAX, metadata_piece_len, metadata_pieces};
use wire::{InfoHash, Layout, Metainfo};

/// How a torrent stands with its metadata.
#[derive(Debug)]
pub enum Metadata {
    /// It is here.
    Known,
    /// It is being fetched.
    Fetching(Box<MetadataFetch>),
}

/// A piece of metadata that came and is parked.
#[derive(Clone, Copy, Debug)]
pub struct ParkedPiece {
    /// Its number; a stranger's.
    pub piece: u32,
    /// How large the whole is, as the sender says.
    pub total: Option<u32>,
    /// Its bytes.
    pub len: u32,
    /// Where they are.
    pub payload: PayloadId,
}

impl Torrent {
    /// A torrent of which only the hash is known; [`Torrent::settle`] sets it going.
    pub fn fetching(config: &Config, rng: &mut Rng, add: AddMagnet) -> Option<Torrent> {
        let AddMagnet { torrent, info_hash, trackers, sequential, paused, peers, seed_goal } = add;
        let mut metainfo = stand_in(info_hash)?;
        // Each tracker is a tier of its own, in the order of the link: a link has no other order (BEP 9, 12).
        metainfo.trackers = trackers.into_iter().map(|url| vec![url]).collect();
        let add = AddTorrent {
            torrent,
            metainfo: Arc::new(metainfo),
            resume: None,
            priorities: Box::default(),
            sequential,
            paused,
            peers,
            seed_goal,
        };
        let mut torrent = Torrent::new(config, rng, add);
        torrent.stage.lacks_metadata();
        torrent.metadata = Metadata::Fetching(Box::default());
        Some(torrent)
    }

    /// Whether the metadata is here.
    pub fn is_known(&self) -> bool {
        matches!(self.metadata, Metadata::Known)
    }

    /// How much of the metadata is here, and how large it is said to be; `None` while nobody says, or when all is here.
    pub fn metadata_progress(&self) -> Option<(u32, u32)> {
        match &self.metadata {
            Metadata::Known => None,
            Metadata::Fetching(fetch) => fetch.progress(),
        }
    }

    /// How large the metadata is that we hand on.
    pub fn metadata_size(&self) -> Option<u32> {
        let size = self.is_known().then(|| self.metainfo.metadata_len())?;
        (1..=METADATA_SIZE_MAX).contains(&size).then_some(size)
    }

    /// A peer introduced itself: it may have the metadata.
    pub fn consider_source(&mut self, cx: &mut Cx<'_>, key: PeerKey) {
        let (Metadata::Fetching(fetch), Some(peer)) = (&mut self.metadata, self.peers.get(key)) else {
            return;
        };
        let speaks = peer.extensions.speaks(name::METADATA);
        // Who does not have it yet either says so by 0.
        let size = peer.extensions.metadata_size.filter(|&size| size > 0 && speaks);
        match size {
            Some(size) => fetch.offered(cx.now, key, peer.terms.remote.get(), size),
            None => fetch.left(key),
        }
        self.fetch_metadata(cx);
    }

    /// A peer goes, or is as good as gone.
    pub fn forget_source(&mut self, cx: &mut Cx<'_>, key: PeerKey) {
        if let Metadata::Fetching(fetch) = &mut self.metadata {
            fetch.left(key);
            self.fetch_metadata(cx);
        }
    }

    /// Asks whoever can be asked.
    pub fn fetch_metadata(&mut self, cx: &mut Cx<'_>) {
        let timer = self.timer(TorrentTimer::Metadata);
        let Metadata::Fetching(fetch) = &mut self.metadata else { return cx.timers.clear(timer) };
        if !self.stage.is_active() {
            return cx.timers.clear(timer);
        }
        let asks = fetch.poll(cx.now, cx.rng);
        for size in fetch.take_discarded() {
            cx.push(Output::DiscardMetadata { torrent: self.id, size });
        }
        let next = fetch.next_wake(cx.now);
        cx.timers.set_or_clear(timer, next);
        for (key, piece) in asks {
            let Some(peer) = self.peers.get_mut(key) else { continue };
            if let Some(message) = peer.extensions.message(name::METADATA, messages::request(piece)) {
                peer.send(cx, message);
            }
        }
    }

    /// A piece came and is parked.
    pub fn on_metadata_piece(&mut self, cx: &mut Cx<'_>, key: PeerKey, came: ParkedPiece) {
        let ParkedPiece { piece, total, len, payload } = came;
        let Some(peer) = self.peers.get_mut(key).filter(|peer| !peer.state.closing) else {
            return cx.push(Output::Drop { payload });
        };
        peer.clocks.heard = cx.now;
        let verdict = match &mut self.metadata {
            // Several were asked for the last pieces: the rest comes late.
            Metadata::Known if peer.metadata.take_late() => Verdict::Unwanted,
            Metadata::Known => Verdict::Unasked,
            Metadata::Fetching(fetch) => fetch.received(cx.now, key, piece, total, len),
        };
        let fault = match verdict {
            Verdict::Keep { size } => {
                cx.push(Output::KeepMetadata { payload, torrent: self.id, size, piece });
                if let Metadata::Fetching(fetch) = &self.metadata
                    && let Some(size) = fetch.whole()
                {
                    cx.push(Output::AssembleMetadata { torrent: self.id, size });
                }
                return self.fetch_metadata(cx);
            }
            Verdict::Unwanted => None,
            Verdict::Unasked => peer.conduct.sent_unrequested().err(),
            Verdict::Wrong(fault) => Some(fault),
        };
        cx.push(Output::Drop { payload });
        if let Some(fault) = fault {
            self.misbehaved(cx, key, fault);
        }
        self.fetch_metadata(cx);
    }

    /// A peer will not send a piece.
    pub fn on_metadata_rejected(&mut self, cx: &mut Cx<'_>, key: PeerKey, piece: u32) {
        let known = match &mut self.metadata {
            Metadata::Known => false,
            Metadata::Fetching(fetch) => fetch.rejected(cx.now, key, piece),
        };
        let Some(peer) = self.peers.get_mut(key) else { return };
        if !known && let Err(fault) = peer.conduct.rejected_unrequested() {
            return self.misbehaved(cx, key, fault);
        }
        self.fetch_metadata(cx);
    }

    /// The whole was no metadata of this torrent, or is of no use.
    pub fn on_metadata_failed(&mut self, cx: &mut Cx<'_>, size: u32, why: MetadataFailure) {
        let Metadata::Fetching(fetch) = &mut self.metadata else { return };
        if fetch.whole() != Some(size) {
            return;
        }
        match why {
            MetadataFailure::WrongHash => {
                if let Some((key, remote)) = fetch.failed(size) {
                    fetch.left(key);
                    match self.peers.get(key) {
                        Some(_) => self.misbehaved(cx, key, PeerMisbehaved::MetadataLie),
                        None => self.ban(cx, remote),
                    }
                }
            }
            // The hash was right: no peer is to blame, and no other has better.
            MetadataFailure::Unusable(why) => {
                return self.give_up_metadata(cx, Event::MetadataUnusable { torrent: self.id, why });
            }
            MetadataFailure::Refused { refusal, why } => {
                return self.give_up_metadata(cx, Event::ContentRefused { torrent: self.id, refusal, why });
            }
        }
        self.fetch_metadata(cx);
    }

    /// What has come is of no use: the torrent stops for this reason, and fetches it again if the user wants.
    fn give_up_metadata(&mut self, cx: &mut Cx<'_>, why: Event) {
        self.discard_metadata(cx);
        self.metadata = Metadata::Fetching(Box::default());
        cx.tell(why);
        self.stage.give_up();
        self.settle(cx);
    }

    /// It is over: whatever the driver still holds, of this size or others, is of no use.
    fn discard_metadata(&mut self, cx: &mut Cx<'_>) {
        let Metadata::Fetching(fetch) = &mut self.metadata else { return };
        let held = fetch.sizes_held();
        for size in fetch.take_discarded().into_iter().chain(held) {
            cx.push(Output::DiscardMetadata { torrent: self.id, size });
        }
    }

    /// The metadata is here and right.
    pub fn on_metadata_ready(&mut self, cx: &mut Cx<'_>, metainfo: Arc<Metainfo>, priorities: &[Priority]) {
        let Metadata::Fetching(fetch) = &self.metadata else { return };
        let Some(size) = fetch.whole().filter(|_| metainfo.info_hash == self.metainfo.info_hash) else {
            return;
        };
        let liars = fetch.accepted(size);
        for (key, peer) in self.peers.iter_mut() {
            peer.metadata.late = fetch.on_their_way(key);
        }
        self.discard_metadata(cx);
        self.metadata = Metadata::Known;
        cx.timers.clear(self.timer(TorrentTimer::Metadata));
        let sequential = self.picker.is_sequential();
        let layout = Arc::new(metainfo.layout.clone());
        self.picker = PiecePicker::new(layout, cx.config.random_first_pieces);
        self.picker.set_sequential(sequential);
        self.goals.set_files(&metainfo.layout, priorities);
        self.goals.apply(&metainfo.layout, &mut self.picker);
        self.saver = Saver::new(self.id);
        *self.web_seeds = WebSeeds::new(&metainfo.web_seeds);
        self.metainfo = metainfo;
        cx.tell(Event::MetadataReceived(self.id));
        self.stage.has_metadata();
        liars.into_iter().for_each(|key| self.misbehaved(cx, key, PeerMisbehaved::MetadataLie));
        self.obey_privacy(cx);
        self.consider_finding(cx);
        for key in self.peers.keys() {
            self.meet_again(cx, key);
        }
        self.settle(cx);
    }

    /// What was said between us and a peer before there was a layout counts now.
    fn meet_again(&mut self, cx: &mut Cx<'_>, key: PeerKey) {
        let size = self.metadata_size();
        // Whoever is on the way out is not counted, so nothing is taken off the counts when it is gone.
        let Some(peer) = self.peers.get_mut(key).filter(|peer| !peer.state.closing) else { return };
        let spoke = match peer.settle_early(&self.metainfo.layout) {
            Ok(spoke) => spoke,
            Err(fault) => return self.misbehaved(cx, key, fault),
        };
        let block_len = self.metainfo.layout.block_len();
        peer.pipeline = Pipeline::new(block_len, cx.config.requests_out_max, cx.now);
        if let Some(reqq) = peer.extensions.reqq {
            peer.pipeline.set_reqq(reqq);
        }
        if peer.terms.extended {
            let exchange =
                if self.metainfo.private { PeerExchange::Withdrawn } else { PeerExchange::Offered };
            peer.send(cx, handshake::message(cx.config, cx.pool.listening, false, exchange, size));
        }
        if spoke {
            self.picker.peer_joined(key, &peer.pieces);
        }
    }

    /// Only now is it known whether the torrent is private: who was found in other ways than its trackers goes.
    fn obey_privacy(&mut self, cx: &mut Cx<'_>) {
        if !self.metainfo.private {
            return;
        }
        for address in self.dialer.list.forget_gossip() {
            let linked = self.peers.iter().find(|(_, peer)| peer.listens() == Some(address));
            if let Some((key, _)) = linked {
                self.close(cx, key, CloseReason::Useless);
            }
        }
    }

    /// A peer asks for a piece of our metadata.
    pub fn on_metadata_request(&mut self, cx: &mut Cx<'_>, key: PeerKey, piece: u32) {
        let pieces = self.metadata_size().map_or(0, metadata_pieces);
        let Some(peer) = self.peers.get_mut(key).filter(|peer| !peer.state.closing) else { return };
        if peer.metadata.service.ask(cx.now, piece, pieces) {
            return self.serve_metadata(cx, key);
        }
        if let Some(message) = peer.extensions.message(name::METADATA, messages::reject(piece)) {
            peer.send(cx, message);
        }
        if let Err(fault) = peer.conduct.asked_too_much() {
            self.misbehaved(cx, key, fault);
        }
    }

    /// Hands the driver what may leave for a peer now.
    fn serve_metadata(&mut self, cx: &mut Cx<'_>, key: PeerKey) {
        let Some(size) = self.metadata_size() else { return };
        let Some(peer) = self.peers.get_mut(key).filter(|peer| !peer.state.closing) else { return };
        let Some(id) = peer.extensions.id_of(name::METADATA) else { return };
        while let Some((piece, sequence)) = peer.metadata.service.start() {
            let len = metadata_piece_len(size, piece).unwrap_or(0);
            cx.pool.up.charge(cx.now, u64::from(len));
            let token = SendToken { link: peer.link, sequence };
            cx.push(Output::SendMetadata { token, torrent: self.id, id, piece });
        }
    }

    /// Whether a token names a piece of metadata; it left, or never will.
    pub fn on_metadata_sent(&mut self, cx: &mut Cx<'_>, key: PeerKey, token: SendToken) -> bool {
        if token.sequence & METADATA_SEQUENCE == 0 {
            return false;
        }
        if let Some(peer) = self.peers.get_mut(key) {
            peer.metadata.service.finish();
            peer.clocks.said = cx.now;
        }
        self.serve_metadata(cx, key);
        true
    }
}

/// What stands for the content while it is not known: one piece, which nobody has.
fn stand_in(info_hash: InfoHash) -> Option<Metainfo> {
    let layout = Layout::new(u64::from(BLOCK_LEN), BLOCK_LEN).ok()?;
    let mut metainfo = Metainfo::synthetic("", layout, &[[0; 20]]).ok()?;
    metainfo.info_hash = info_hash;
    Some(metainfo)
}
