//! A block's way from the peer to the disk: kept or dropped, hashed with its piece, announced, written, or fetched again.
//!
//! What always holds: every payload that comes in is answered by exactly one `Keep` or `Drop`; nothing is announced or served
//! before its hash was right. Threats: C2, C7

use super::Torrent;
use crate::cx::Cx;
use crate::input::BlockDigest;
use crate::output::CloseReason;
use crate::peer::pipeline::Answer;
use crate::pieces::{OpenPiece, PieceState, Received};
use crate::pool::Reader;
use crate::timers::TorrentTimer;
use crate::{Attempt, BlockSet, DiskError, Epoch, Event, Output, PayloadId, PeerKey, PeerMisbehaved};
use core::net::SocketAddr;
use wire::message::BlockRequest;
use wire::{Block, PieceIndex};

impl Torrent {
    /// A block came and is parked.
    pub fn on_block(&mut self, cx: &mut Cx<'_>, key: PeerKey, block: BlockRequest, payload: PayloadId) {
        let BlockRequest { piece, offset, len } = block;
        let Some(peer) = self.peers.get_mut(key) else { return cx.push(Output::Drop { payload }) };
        peer.clocks.heard = cx.now;
        let fresh = len.saturating_sub(core::mem::take(&mut peer.traffic.partial));
        peer.traffic.received(cx.now, fresh);
        self.totals.received(cx, fresh);
        // What is on its way when we say goodbye has come all the same: it counts, and is of no use.
        if peer.state.closing {
            self.totals.wasted += u64::from(len);
            cx.pool.down.charge(cx.now, u64::from(fresh));
            return cx.push(Output::Drop { payload });
        }
        let Some(block) = self.metainfo.layout.block(piece, offset, len) else {
            cx.push(Output::Drop { payload });
            return self.on_stray_block(cx, key, len);
        };
        match peer.pipeline.complete(block, cx.now) {
            Answer::Expected => peer.conduct.sent_requested(),
            // Given up on, but it may be the first to come all the same.
            Answer::Late => {}
            Answer::Unknown => {
                cx.push(Output::Drop { payload });
                return self.on_stray_block(cx, key, len);
            }
        }
        if self.stage.is_active() {
            self.take_in(cx, key, block, payload);
        } else {
            cx.push(Output::Drop { payload });
        }
        self.update_interest(cx, key);
        self.fill(cx, key);
        self.charge_reading(cx, key, fresh);
    }

    /// Part of a block came.
    pub fn on_progress(&mut self, cx: &mut Cx<'_>, key: PeerKey, bytes: u32) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        peer.clocks.heard = cx.now;
        peer.pipeline.heard(cx.now);
        self.picker.heard(key, cx.now);
        peer.traffic.partial = peer.traffic.partial.saturating_add(bytes);
        peer.traffic.received(cx.now, bytes);
        self.totals.received(cx, bytes);
        self.charge_reading(cx, key, bytes);
    }

    /// A block that was asked for: kept if it is the first to come. Says whether it was.
    pub fn take_in(&mut self, cx: &mut Cx<'_>, key: PeerKey, block: Block, payload: PayloadId) -> bool {
        if self.begins_beyond_memory(cx, block.piece) {
            cx.push(Output::Drop { payload });
            self.totals.wasted += u64::from(block.len);
            return false;
        }
        let mut others = core::mem::take(&mut cx.pool.others);
        let new = match self.picker.received(block, key, cx.now, &mut others) {
            Received::New { whole } => {
                cx.push(Output::Keep { payload, torrent: self.id, block });
                self.cancel_copies(cx, &others, block);
                match whole {
                    Some(attempt) => self.verify(cx, block.piece, attempt),
                    None => self.saver.kept(cx, &mut self.picker, block.piece),
                }
                true
            }
            Received::Duplicate | Received::Unwanted => {
                cx.push(Output::Drop { payload });
                self.totals.wasted += u64::from(block.len);
                false
            }
        };
        others.clear();
        cx.pool.others = others;
        self.account(cx);
        new
    }

    /// Whether a block would take memory for its piece anew, for it was given up meanwhile, and there is none for another.
    fn begins_beyond_memory(&self, cx: &Cx<'_>, piece: PieceIndex) -> bool {
        let pieces = self.picker.pieces();
        let anew = match pieces.state(piece) {
            PieceState::Missing => true,
            PieceState::Open(_) => pieces.open_piece(piece).is_some_and(|open| !open.is_live()),
            PieceState::Verifying(_) | PieceState::Have(_) => false,
        };
        anew && pieces.reserved_bytes() > 0 && self.lacks_memory(cx.pool.budget_of(self.totals.buffered))
    }

    /// Nobody asked for it. A few are forgiven: cancels and chokes cross blocks on their way.
    fn on_stray_block(&mut self, cx: &mut Cx<'_>, key: PeerKey, len: u32) {
        self.totals.wasted += u64::from(len);
        self.charge_reading(cx, key, len);
        let Some(peer) = self.peers.get_mut(key) else { return };
        if let Err(fault) = peer.conduct.sent_unrequested() {
            self.misbehaved(cx, key, fault);
        }
    }

    /// All blocks of a piece are here.
    pub fn verify(&mut self, cx: &mut Cx<'_>, piece: PieceIndex, attempt: Attempt) {
        let (key, digests) = (self.blame.key(), self.blame.wants_digests(piece));
        cx.push(Output::Verify { torrent: self.id, piece, attempt, key, digests });
    }

    /// A piece was hashed.
    pub fn on_verified(
        &mut self,
        cx: &mut Cx<'_>,
        piece: PieceIndex,
        attempt: Attempt,
        good: bool,
        digests: Option<&[BlockDigest]>,
    ) {
        let origins = self.picker.origins(piece);
        let spilled = self.picker.pieces().open_piece(piece).map(OpenPiece::spilled).unwrap_or_default();
        if !self.picker.verified(piece, attempt, good) {
            return;
        }
        let liars = match good {
            true => self.blame.good(piece, digests),
            false => self.blame.bad((piece, attempt), &origins, digests),
        };
        if good {
            let peers = &self.peers;
            self.blame.proved(&origins, |key| key.web_seed().is_some() || peers.get(key).is_some());
            self.on_good_piece(cx, piece, attempt, spilled);
        } else {
            self.on_bad_piece(cx, piece, attempt);
        }
        self.account(cx);
        for liar in liars {
            self.convict(cx, liar);
        }
        // A piece less takes memory, or is missing again: there may be something to ask for.
        self.refill_starved(cx);
        self.settle(cx);
    }

    fn on_good_piece(&mut self, cx: &mut Cx<'_>, piece: PieceIndex, attempt: Attempt, spilled: BlockSet) {
        cx.tell(Event::PieceDone(self.id, piece));
        self.saver.verified(cx, piece, attempt, spilled);
        if self.haves.push(piece) {
            cx.timers.set(self.timer(TorrentTimer::Haves), cx.now + cx.config.haves_delay);
        }
        self.check_finished(cx);
    }

    fn on_bad_piece(&mut self, cx: &mut Cx<'_>, piece: PieceIndex, attempt: Attempt) {
        cx.tell(Event::PieceFailed(self.id, piece));
        self.totals.wasted += u64::from(self.metainfo.layout.piece_len(piece));
        self.saver.discard(cx, piece, attempt);
        self.saver.digest_spills(self.blame.key());
        if self.stage.is_active() {
            self.reconsider_interest(cx);
        }
    }

    /// A peer was found to have spoiled a piece. It may be gone already; its address is not forgotten.
    fn convict(&mut self, cx: &mut Cx<'_>, liar: PeerKey) {
        if let Some(seed) = liar.web_seed() {
            self.convict_web_seed(cx, seed);
        } else if self.peers.get(liar).is_some() {
            self.misbehaved(cx, liar, PeerMisbehaved::CorruptBlocks);
        } else if let Some(ip) = self.blame.address_of(liar) {
            self.ban(cx, SocketAddr::new(ip, 0));
        }
    }

    /// Tells everybody of the new pieces, and looks who has nothing more for us.
    pub fn flush_haves(&mut self, cx: &mut Cx<'_>) {
        let Some(batch) = self.haves.flush() else { return };
        let head = self.haves.head();
        for (_, peer) in self.peers.iter_mut() {
            let cursor = core::mem::replace(&mut peer.haves_told, head);
            if peer.state.closing || peer.pieces.is_seed() {
                continue;
            }
            if let Some(pieces) = batch.since(cursor) {
                peer.clocks.said = cx.now;
                cx.push(Output::Haves { link: peer.link, pieces });
            }
        }
        for key in self.peers.keys() {
            self.update_interest(cx, key);
        }
    }

    /// A piece was handed to the file system.
    pub fn on_written(&mut self, cx: &mut Cx<'_>, piece: PieceIndex, attempt: Attempt) {
        if self.saver.written(cx, &mut self.picker, piece, attempt) {
            self.account(cx);
            self.on_storage_works();
            self.refill_starved(cx);
            self.save(cx);
        }
    }

    /// Blocks were handed to the file system and are out of memory.
    pub fn on_spilled(
        &mut self,
        cx: &mut Cx<'_>,
        piece: PieceIndex,
        attempt: Attempt,
        digests: Option<&[BlockDigest]>,
    ) {
        if let Some(digests) = digests {
            let senders = self.picker.senders_of_spill(piece, attempt);
            self.blame.laid_down((piece, attempt), &senders, digests);
        }
        self.picker.spilled(piece, attempt, true, cx.now);
        self.saver.spilled(cx, true);
        self.account(cx);
        self.refill_starved(cx);
        self.save(cx);
    }

    /// A sync is done.
    pub fn on_synced(&mut self, cx: &mut Cx<'_>, epoch: Epoch) {
        let life = self.totals.life();
        if self.saver.synced(cx, &mut self.picker, epoch, life) {
            self.save(cx);
        }
    }

    /// A sync failed: what it covers is fetched again, and the torrent stops.
    pub fn on_sync_failed(&mut self, cx: &mut Cx<'_>, epoch: Epoch, error: DiskError) {
        let Some(doubtful) = self.saver.sync_failed(cx, &self.picker, epoch) else { return };
        for piece in doubtful {
            self.lose(cx, piece);
        }
        self.fail(cx, error);
    }

    /// What is here of a piece is gone or not to be trusted.
    pub fn lose(&mut self, cx: &mut Cx<'_>, piece: PieceIndex) {
        match self.picker.pieces().open_piece(piece).map(|open| open.attempt) {
            Some(attempt) => self.saver.discard(cx, piece, attempt),
            None => drop(self.saver.forget_spilled(piece)),
        }
        self.haves.retract(piece);
        self.end_super_seeding(cx);
        self.picker.lost(piece);
        if self.picker.pieces().lacking_count() > 0 && self.goals.finished.take().is_some() {
            self.goals.durable_told = false;
            self.begin_again(cx);
        }
        self.account(cx);
    }

    /// A record is on stable storage.
    pub fn on_committed(&mut self, cx: &mut Cx<'_>, epoch: Epoch) {
        if self.saver.committed(cx.now, &mut self.picker, epoch) {
            self.on_storage_works();
            self.save(cx);
        }
    }

    /// Takes the next step towards stable storage, if one is due, and tells the user when all of it is there.
    pub fn save(&mut self, cx: &mut Cx<'_>) {
        // A storage that failed would only fail again: it is asked once more when it was opened.
        if self.stage.may_save() {
            self.saver.proceed(cx, &mut self.picker, self.totals.life());
        }
        if self.goals.finished.is_some() && !self.goals.durable_told && self.saver.is_caught_up() {
            self.goals.durable_told = true;
            cx.tell(Event::Durable(self.id));
        }
        self.settle(cx);
    }

    /// Keeps the session's count of payload in memory.
    pub fn account(&mut self, cx: &mut Cx<'_>) {
        let now = self.picker.pieces().reserved_bytes();
        let before = core::mem::replace(&mut self.totals.buffered, now);
        cx.pool.buffered = (cx.pool.buffered + now).saturating_sub(before);
        cx.pool.freed |= cx.pool.short && now < before;
    }

    /// Pays for what was received; a link whose allowance is spent is not read until it has grown again.
    pub fn charge_reading(&mut self, cx: &mut Cx<'_>, key: PeerKey, bytes: u32) {
        cx.pool.down.charge(cx.now, u64::from(bytes));
        if cx.pool.down.available(cx.now) > 0 {
            return;
        }
        let Some(peer) = self.peers.get(key).filter(|peer| !peer.state.closing) else { return };
        let reader = Reader::Link(peer.link);
        if !cx.pool.unread.contains(&reader) {
            cx.pool.unread.push(reader);
            cx.push(Output::PauseReading { link: peer.link });
        }
    }

    /// Closes links and announces the end; nothing more is asked for or served.
    pub fn halt(&mut self, cx: &mut Cx<'_>) {
        self.close_all(cx, CloseReason::TorrentStopped);
        self.stop_fetching(cx, None);
        self.haves.first_copy = None;
        self.announcer.stop(cx.now);
        self.dialer.list.set_paused(true);
        self.visit_trackers(cx);
        self.consider_finding(cx);
        for timer in [TorrentTimer::Dial, TorrentTimer::Metadata, TorrentTimer::SeedGoal] {
            cx.timers.clear(self.timer(timer));
        }
        self.goals.halt(cx.now);
        if !self.is_known() {
            return;
        }
        self.saver.touch();
        if !self.stage.has_failed() {
            self.saver.flush(cx, &mut self.picker);
            self.saver.proceed(cx, &mut self.picker, self.totals.life());
        }
    }

    /// Begins with what lies on disk, as soon as it is known what that can be.
    pub fn start_content(&mut self, cx: &mut Cx<'_>) {
        if !self.is_known() {
            return;
        }
        self.saver.resume(cx);
        self.saver.proceed(cx, &mut self.picker, self.totals.life());
        for (piece, attempt) in self.stage.take_whole() {
            self.verify(cx, piece, attempt);
        }
    }

    /// Begins, or begins again: the storage is open and can be trusted.
    pub fn start(&mut self, cx: &mut Cx<'_>) {
        self.start_content(cx);
        self.announcer.set_complete(self.is_seed());
        self.announcer.start();
        self.dialer.list.set_paused(false);
        self.goals.go_on(cx.now);
        self.consider_super_seeding(cx);
        self.check_finished(cx);
        self.visit_trackers(cx);
        self.arm_dialer(cx);
        self.consider_finding(cx);
        self.fetch(cx);
        self.check_seed_goal(cx);
    }
}
