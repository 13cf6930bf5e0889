//! Asking: whom for how much, when to stop wanting, what to do with requests that nobody answers.
//!
//! What always holds: we ask only peers that we told of our interest, and while choked only for what they allow in spite of
//! it; every block asked for is in one peer's pipeline (copies in end-game are in several) until it comes, is rejected, dies
//! with a choke or the link, or runs out of time. BEP: 3, 6

use super::Torrent;
use crate::PeerKey;
use crate::cx::Cx;
use crate::output::CloseReason;
use crate::peer::Peer;
use crate::peer::pipeline::Answer;
use crate::pieces::{PickFor, STALE_AFTER};
use crate::timers::{Timer, TorrentTimer};
use wire::{Block, Message};

impl Torrent {
    /// Fills a peer's pipeline.
    pub fn fill(&mut self, cx: &mut Cx<'_>, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(key).filter(|peer| !peer.state.closing) else { return };
        if !self.stage.is_fetching() || !peer.state.am_interested {
            return;
        }
        if cx.pool.is_swamped() {
            return self.wait_for_memory(cx);
        }
        let only = peer.state.peer_choking.then_some(peer.fast.theirs.as_slice());
        let want = peer.pipeline.room();
        if want == 0 || only.is_some_and(<[_]>::is_empty) {
            return;
        }
        let ask = PickFor {
            peer: key,
            pieces: &peer.pieces,
            want,
            now: cx.now,
            rescues: cx.pool.unread.is_empty(),
            speed: peer.pipeline.speed(self.metainfo.layout.piece_len_max()),
            only,
            suggested: &peer.fast.suggested,
            on_parole: self.blame.is_on_parole(key),
            open_bytes_max: cx.pool.budget_of(self.totals.buffered),
        };
        let mut blocks = core::mem::take(&mut cx.pool.blocks);
        self.picker.pick(&ask, cx.rng, &mut blocks);
        let was_idle = peer.pipeline.is_empty();
        let budget = ask.open_bytes_max;
        let refused = was_idle && blocks.is_empty();
        if refused {
            // Perhaps only because of peers that deliver nothing: that is seen a while later.
            cx.timers.set_no_later(Timer::Torrent(self.id, TorrentTimer::Starved), cx.now + STALE_AFTER);
        }
        peer.pipeline.requested(&blocks, cx.now);
        for block in blocks.drain(..) {
            peer.send(cx, Message::Request(block.into()));
        }
        cx.pool.blocks = blocks;
        // A busy pipeline has its timer already; that goes off no later than needed.
        if was_idle {
            self.arm_peer(cx, key);
        }
        if refused && self.lacks_memory(budget) {
            self.wait_for_memory(cx);
            if cx.pool.unread.is_empty() {
                self.give_up_stalest(cx);
            }
        }
    }

    /// A peer could be asked for nothing because unfinished pieces have all the memory: the one of them that makes no headway is
    /// called back from whoever sits on it, and spilled. Otherwise a few peers that promise and do not send could hold up all others,
    /// among them those who have just what nobody else has.
    fn give_up_stalest(&mut self, cx: &mut Cx<'_>) {
        // One at a time: what is on its way out of memory makes room soon.
        if self.saver.is_spilling() {
            return;
        }
        let Some((piece, debts)) = self.picker.stalest(cx.now) else { return };
        for (block, key) in debts {
            let Some(peer) = self.peers.get_mut(key) else { continue };
            if peer.pipeline.last_heard() + STALE_AFTER <= cx.now {
                let mut released = Vec::new();
                peer.pipeline.snub(&mut released);
                self.call_back(cx, key, released);
            }
            // Or it sends, but nothing of this piece.
            if let Some(peer) = self.peers.get_mut(key)
                && peer.pipeline.cancel(block)
            {
                peer.send(cx, Message::Cancel(block.into()));
            }
            self.picker.release(block, key);
        }
        self.saver.spill(cx, &mut self.picker, piece);
        self.account(cx);
    }

    /// What a snubbed peer was asked for is free for others.
    fn call_back(&mut self, cx: &mut Cx<'_>, key: PeerKey, released: Vec<Block>) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        // Called back, or the peer would send what it has in line beside what it is asked for again.
        for &block in &released {
            if !peer.pipeline.is_asked(block) {
                peer.send(cx, Message::Cancel(block.into()));
            }
        }
        self.picker.end_reservation(key);
        for block in released {
            self.picker.release(block, key);
        }
    }

    /// Whether a budget does not allow another piece.
    pub fn lacks_memory(&self, budget: u64) -> bool {
        self.picker.pieces().reserved_bytes() + u64::from(self.metainfo.layout.piece_len_max()) > budget
    }

    /// Too much is in memory to ask for more: perhaps other torrents' pieces, of whose end nobody here hears.
    pub fn wait_for_memory(&mut self, cx: &mut Cx<'_>) {
        self.peers.wait_for_memory = true;
        cx.pool.short = true;
    }

    /// Whether a peer or a web seed was asked for nothing because memory was short.
    pub fn waits_for_memory(&self) -> bool {
        self.peers.wait_for_memory
    }

    /// Memory was set free.
    pub fn on_memory(&mut self, cx: &mut Cx<'_>) {
        self.peers.wait_for_memory = false;
        self.refill_starved(cx);
    }

    /// Blocks have fallen free: peers that had nothing to be asked for may be asked now.
    pub fn refill_starved(&mut self, cx: &mut Cx<'_>) {
        if !self.stage.is_active() || self.is_finished() {
            return;
        }
        let starved =
            |peer: &Peer| peer.state.am_interested && !peer.state.closing && peer.pipeline.is_empty();
        let starved = self.peers.iter().filter(|(_, peer)| starved(peer));
        let starved: Vec<PeerKey> = starved.map(|(key, _)| key).collect();
        for key in starved {
            self.fill(cx, key);
        }
        self.fetch(cx);
    }

    /// Tells a peer whether it has something that we want, if that changed. O(1) nearly always.
    pub fn update_interest(&mut self, cx: &mut Cx<'_>, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(key).filter(|peer| !peer.state.closing) else { return };
        let wants = self.stage.is_active() && self.picker.wants_from(key, &peer.pieces);
        // Not while blocks are on their way: a peer that hears of no interest may choke us at once.
        if wants == peer.state.am_interested || (!wants && !peer.pipeline.is_empty()) {
            return;
        }
        peer.state.am_interested = wants;
        peer.send(cx, if wants { Message::Interested } else { Message::NotInterested });
    }

    /// What we want changed: so may our interest in everybody.
    pub fn reconsider_interest(&mut self, cx: &mut Cx<'_>) {
        for key in self.peers.keys() {
            self.update_interest(cx, key);
            self.fill(cx, key);
        }
        self.fetch(cx);
    }

    /// A peer chokes us.
    pub fn on_choked(&mut self, cx: &mut Cx<'_>, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        peer.pipeline.choked(cx.now);
        // With the fast extension each request gets a reject of its own, and allowed ones are served (BEP 6).
        if !peer.terms.fast {
            self.release_all(key);
            self.refill_starved(cx);
        }
    }

    /// A peer serves us from now on.
    pub fn on_unchoked(&mut self, cx: &mut Cx<'_>, key: PeerKey) {
        if let Some(peer) = self.peers.get_mut(key) {
            peer.pipeline.unchoked();
        }
        self.fill(cx, key);
    }

    /// A peer will not send a block.
    pub fn on_rejected(&mut self, cx: &mut Cx<'_>, key: PeerKey, block: Block) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        match peer.pipeline.reject(block) {
            Answer::Expected => {
                self.picker.release(block, key);
                // A peer that rejects what it allowed has changed its mind; asking again would go in circles.
                if peer.fast.is_there() {
                    peer.fast.theirs.retain(|&piece| piece != block.piece);
                }
                // With a choke come rejects of all that is under way (BEP 6); while it serves us they are its own idea.
                let useless = !peer.state.peer_choking && peer.pipeline.refused(cx.now);
                if useless {
                    self.close(cx, key, CloseReason::Useless);
                } else {
                    self.arm_peer(cx, key);
                }
                self.refill_starved(cx);
            }
            Answer::Late => {}
            Answer::Unknown => {
                if let Err(fault) = peer.conduct.rejected_unrequested() {
                    self.misbehaved(cx, key, fault);
                }
            }
        }
    }

    /// Gives up on requests that are out of time.
    pub fn expire_requests(&mut self, cx: &mut Cx<'_>, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        let mut released = Vec::new();
        peer.pipeline.check(cx.now, &mut released);
        let has_rested = peer.pipeline.has_rested(cx.now);
        if released.is_empty() {
            if has_rested {
                self.fill(cx, key);
            }
            return;
        }
        self.call_back(cx, key, released);
        // Others first: what one peer let us wait for must not go straight back to it.
        self.refill_starved(cx);
        self.fill(cx, key);
    }

    /// Returns all requests of a peer to the picker.
    pub fn release_all(&mut self, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        let mut released = Vec::new();
        peer.pipeline.release_all(&mut released);
        for block in released {
            self.picker.release(block, key);
        }
    }

    /// A block came that others were asked for too: they need not send it.
    pub fn cancel_copies(&mut self, cx: &mut Cx<'_>, others: &[PeerKey], block: Block) {
        for &key in others {
            if let Some(seed) = key.web_seed() {
                self.on_beaten(cx, seed, block);
            }
            let Some(peer) = self.peers.get_mut(key) else { continue };
            if peer.pipeline.cancel(block) {
                peer.send(cx, Message::Cancel(block.into()));
            }
            self.fill(cx, key);
        }
    }
}
