//! Super-seeding: a sole seed shows each piece to one peer alone, and more to a peer whose pieces were seen elsewhere, so that
//! little more than one copy leaves it before the swarm can live without it. BEP: 16. Threats: C8
//!
//! What always holds: while this goes on, a peer is told of a piece only to be given it; a piece that nobody has is shown to one
//! peer at a time; it ends when every piece is out, another seed is here, or nothing moves. Then peers are told of everything.
//! Lies about pieces can only end it early: then we seed as any other.

use super::Torrent;
use crate::config::SuperSeeding;
use crate::cx::Cx;
use crate::pieces::RemotePieces;
use crate::{Duration, Instant, Output, PeerKey};
use std::collections::BTreeMap;
use wire::PieceIndex;

/// With fewer pieces there is nothing to gain: everybody would wait for one peer.
pub const PIECES_MIN: u32 = 8;
/// Peers that are given pieces at once. Few, so that each piece is whole soon and can go on; not one, so that a slow peer does not
/// hold up the uplink. Measured: see docs/testing.md.
pub const RECEIVERS_MAX: u32 = 4;
/// Pieces shown to a peer at once: the second is asked for while the first arrives.
pub const SHOWN_MIN: usize = 2;
/// The same for a fast peer with small pieces: two seconds' worth at its rate, at most so many.
pub const SHOWN_MAX: usize = 64;
/// A peer with as many pieces that were not seen elsewhere gets another only if nobody else can use the uplink.
pub const WAITING_MAX: u32 = 2;
/// A piece of which nothing was sent for this long since it was shown is shown to another.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// A peer that was shown a piece this long ago and does not want it fetches some files only: to show it one piece after the other
/// would take for ever, so everybody is told of everything. Any other says within a round trip that it is interested.
pub const UNWANTED_AFTER: Duration = Duration::from_secs(3);
/// If no piece was passed on or received for this long, super-seeding gains nothing.
pub const STILL_MAX: Duration = Duration::from_secs(60);
/// Peers looked at when one is chosen: with more links chance is as good.
const LOOKED_AT_MAX: usize = 128;

/// How far the first copy is out.
#[derive(Debug)]
pub struct SuperSeed {
    /// Pieces that nobody has and nobody is being given, in no order.
    fresh: Vec<PieceIndex>,
    /// Pieces that one peer has, as far as we see, since when, and who got it from us.
    waiting: BTreeMap<PieceIndex, (PeerKey, Instant)>,
    /// By slot of the peer table.
    rows: Vec<Row>,
    /// Peers that may be served at once.
    slots: u32,
    /// When a piece last came or went on.
    moved: Instant,
}

/// What we showed one peer.
#[derive(Debug)]
struct Row {
    key: PeerKey,
    shown: RemotePieces,
    /// Shown, and not here yet as far as it said; since when.
    open: Vec<(PieceIndex, Instant)>,
    /// Of those it got, how many were not seen elsewhere.
    waiting: u32,
    /// How long it takes until others have what it was given, smoothed.
    delay: Duration,
}

impl SuperSeed {
    fn new(now: Instant, fresh: Vec<PieceIndex>) -> SuperSeed {
        SuperSeed { fresh, waiting: BTreeMap::new(), rows: Vec::new(), slots: 0, moved: now }
    }

    fn row(&mut self, key: PeerKey) -> &mut Row {
        let new =
            |key| Row { key, shown: RemotePieces::None, open: Vec::new(), waiting: 0, delay: Duration::ZERO };
        while self.rows.len() <= key.slot() {
            self.rows.push(new(PeerKey::new(self.rows.len() as u16, 0)));
        }
        let row = &mut self.rows[key.slot()];
        if row.key != key {
            *row = new(key);
        }
        row
    }

    fn find(&self, key: PeerKey) -> Option<&Row> {
        self.rows.get(key.slot()).filter(|row| row.key == key)
    }

    /// Whether the peer is being given a piece.
    fn is_receiving(&self, key: PeerKey) -> bool {
        self.find(key).is_some_and(|row| !row.open.is_empty())
    }

    fn receivers(&self) -> u32 {
        self.rows.iter().filter(|row| !row.open.is_empty()).count() as u32
    }

    /// A peer has a piece that so many peers have now.
    fn seen(&mut self, now: Instant, key: PeerKey, piece: PieceIndex, holders: u32) {
        let row = self.row(key);
        if let Some(at) = row.open.iter().position(|&(open, _)| open == piece) {
            row.open.swap_remove(at);
            row.waiting += u32::from(holders <= 1);
            self.moved = now;
            if holders <= 1 {
                self.waiting.insert(piece, (key, now));
            }
        } else if let Some((giver, since)) = self.waiting.remove(&piece) {
            self.moved = now;
            let row = self.row(giver);
            row.waiting = row.waiting.saturating_sub(1);
            row.delay = (row.delay * 3 + now.since(since)) / 4;
        }
    }

    /// A peer is gone: what it had alone, or was to have, somebody else must get.
    fn left(&mut self, key: PeerKey) {
        let row = self.row(key);
        let open = core::mem::take(&mut row.open);
        (row.shown, row.waiting) = (RemotePieces::None, 0);
        self.fresh.extend(open.into_iter().map(|(piece, _)| piece));
        let fresh = &mut self.fresh;
        self.waiting.retain(|&piece, (giver, _)| {
            if *giver == key {
                fresh.push(piece);
            }
            *giver != key
        });
    }
}

impl Torrent {
    /// Whether pieces are shown one by one.
    pub fn is_super_seeding(&self) -> bool {
        self.haves.first_copy.is_some()
    }

    /// The torrent starts: if nobody else can have it, it is handed out with care.
    pub fn consider_super_seeding(&mut self, cx: &mut Cx<'_>) {
        // Who downloaded it had it from somebody; and a web seed has everything too.
        let others = self.announcer.other_seeds() > 0 || !self.metainfo.web_seeds.is_empty();
        let origin = self.totals.life().downloaded == 0 && !others;
        let wanted = match cx.config.super_seeding {
            SuperSeeding::Auto => origin,
            SuperSeeding::Always => true,
            SuperSeeding::Never => false,
        };
        let pieces = self.metainfo.layout.pieces();
        if wanted && self.is_known() && self.is_seed() && pieces >= PIECES_MIN {
            let mut fresh: Vec<PieceIndex> = self.metainfo.layout.piece_indices().collect();
            cx.rng.shuffle(&mut fresh);
            self.haves.first_copy = Some(Box::new(SuperSeed::new(cx.now, fresh)));
        }
    }

    /// Whether a peer may ask for a piece.
    pub fn is_shown(&self, key: PeerKey, piece: PieceIndex) -> bool {
        let Some(first_copy) = &self.haves.first_copy else { return true };
        first_copy.find(key).is_some_and(|row| row.shown.has(piece))
    }

    /// A peer has a piece more.
    pub fn saw_piece(&mut self, cx: &mut Cx<'_>, key: PeerKey, piece: PieceIndex) {
        let holders = self.picker.availability(piece);
        if let Some(first_copy) = &mut self.haves.first_copy {
            first_copy.seen(cx.now, key, piece, holders);
        }
    }

    /// A peer's pieces changed, or a peer came: perhaps another piece can be shown, or all of this is over.
    pub fn go_on_super_seeding(&mut self, cx: &mut Cx<'_>, key: PeerKey) {
        if !self.is_super_seeding() {
            return;
        }
        if self.peers.get(key).is_some_and(|peer| peer.pieces.is_seed()) {
            return self.end_super_seeding(cx);
        }
        self.show_more(cx);
        cx.pool.choke_soon |= self.haves.first_copy.as_ref().is_some_and(|first_copy| first_copy.slots == 0);
    }

    /// A peer is gone, with what it had.
    pub fn lost_receiver(&mut self, cx: &mut Cx<'_>, key: PeerKey) {
        if let Some(first_copy) = &mut self.haves.first_copy {
            first_copy.left(key);
            self.show_more(cx);
        }
    }

    /// The choker meets: slots are as many as this, and whoever does nothing with what it was shown is passed over.
    pub fn super_seed_round(&mut self, cx: &mut Cx<'_>, slots: u32) {
        let Some(first_copy) = &mut self.haves.first_copy else { return };
        first_copy.slots = if self.stage.is_active() { slots.min(RECEIVERS_MAX) } else { 0 };
        if self.peers.count() == 0 {
            first_copy.moved = cx.now;
        }
        for row in &mut first_copy.rows {
            let sent = |peer: &crate::peer::Peer| peer.clocks.said;
            let served = self.peers.get(row.key).map_or(Instant::ZERO, sent);
            let fresh = &mut first_copy.fresh;
            row.open.retain(|&(piece, since)| {
                let stays = since.max(served) + PATIENCE > cx.now;
                if !stays {
                    fresh.push(piece);
                }
                stays
            });
        }
        let waits = |row: &Row| row.open.iter().any(|&(_, since)| since + UNWANTED_AFTER <= cx.now);
        let wants = |row: &Row| self.peers.get(row.key).is_none_or(|peer| peer.state.peer_interested);
        let unwanted = first_copy.rows.iter().any(|row| waits(row) && !wants(row));
        // Whoever may turn out to be such a one is looked at again soon.
        cx.pool.choke_soon |= first_copy.rows.iter().any(|row| !row.open.is_empty() && !wants(row));
        if unwanted || first_copy.moved + STILL_MAX <= cx.now {
            return self.end_super_seeding(cx);
        }
        for key in self.peers.keys() {
            if !self.haves.first_copy.as_ref().is_some_and(|first_copy| first_copy.is_receiving(key)) {
                self.set_choking(cx, key, true);
            }
        }
        self.show_more(cx);
    }

    /// Shows pieces while there is somebody to show them to; when there are none left, everybody is told of everything.
    fn show_more(&mut self, cx: &mut Cx<'_>) {
        while let Some(piece) = self.next_fresh() {
            let Some(key) = self.receiver(cx) else { return };
            self.show(cx, key, piece);
        }
        let Some(first_copy) = &self.haves.first_copy else { return };
        if first_copy.receivers() == 0 && self.peers.count() > 0 && self.next_lost().is_none() {
            self.end_super_seeding(cx);
        }
    }

    /// A piece that nobody has and nobody is being given. What somebody brought meanwhile is passed over.
    fn next_fresh(&mut self) -> Option<PieceIndex> {
        let first_copy = self.haves.first_copy.as_mut()?;
        while let Some(&piece) = first_copy.fresh.last() {
            if self.picker.availability(piece) == 0 {
                return Some(piece);
            }
            first_copy.fresh.pop();
        }
        None
    }

    /// When all seems to be out: a piece whose holders have gone since. One walk over the pieces, and only then.
    fn next_lost(&mut self) -> Option<PieceIndex> {
        let first_copy = self.haves.first_copy.as_mut()?;
        let gone = self.metainfo.layout.piece_indices().filter(|&piece| self.picker.availability(piece) == 0);
        first_copy.fresh.extend(gone);
        first_copy.fresh.last().copied()
    }

    /// Who is shown the next piece: who passes on what it gets, soonest.
    fn receiver(&self, cx: &mut Cx<'_>) -> Option<PeerKey> {
        let first_copy = self.haves.first_copy.as_ref()?;
        let receivers = first_copy.receivers();
        let piece_len = u64::from(self.metainfo.layout.piece_len_max());
        let skip = cx.rng.index((self.peers.count() as usize).saturating_sub(LOOKED_AT_MAX) + 1);
        let mut best: Option<((bool, u32, Duration, u32), PeerKey)> = None;
        // Whether a peer that may pass on what it gets has no slot: then those that do not pass on give theirs up.
        let mut passed_over = false;
        for (key, peer) in self.peers.iter().skip(skip).take(LOOKED_AT_MAX) {
            let row = first_copy.find(key);
            let (open, waiting, delay) =
                row.map_or((0, 0, Duration::ZERO), |row| (row.open.len(), row.waiting, row.delay));
            // Two seconds at its rate, so that it grows as fast as slow start does.
            let worth = usize::try_from(2 * peer.traffic.up.rate(cx.now) / piece_len).unwrap_or(SHOWN_MAX);
            let full = open >= worth.clamp(SHOWN_MIN, SHOWN_MAX);
            let no_slot = open == 0 && receivers >= first_copy.slots;
            passed_over |= no_slot && waiting < WAITING_MAX && receivers > 0;
            let idle_uplink = receivers == 0 || open > 0;
            if peer.state.closing
                || peer.extensions.upload_only
                || full
                || no_slot
                || waiting >= WAITING_MAX && !idle_uplink
            {
                continue;
            }
            let rank = (waiting >= WAITING_MAX, waiting + open as u32, delay, cx.rng.next_u32());
            if best.is_none_or(|(before, _)| rank < before) {
                best = Some((rank, key));
            }
        }
        best.filter(|((passes_nothing_on, ..), _)| !(*passes_nothing_on && passed_over)).map(|(_, key)| key)
    }

    /// Tells one peer of one piece, and serves it.
    fn show(&mut self, cx: &mut Cx<'_>, key: PeerKey, piece: PieceIndex) {
        let (Some(first_copy), Some(peer)) = (&mut self.haves.first_copy, self.peers.get_mut(key)) else {
            return;
        };
        first_copy.fresh.pop();
        let row = first_copy.row(key);
        row.shown.insert(piece, self.metainfo.layout.pieces());
        row.open.push((piece, cx.now));
        peer.clocks.said = cx.now;
        cx.push(Output::Haves { link: peer.link, pieces: [piece].into() });
        cx.pool.choke_soon |= !peer.state.peer_interested;
        if !peer.state.am_choking {
            return;
        }
        let full = self.peers.unchoked >= first_copy.slots;
        if let Some(idle) = self.idle_receiver().filter(|_| full) {
            self.set_choking(cx, idle, true);
        }
        self.set_choking(cx, key, false);
    }

    /// A peer that has a slot and nothing to receive.
    fn idle_receiver(&self) -> Option<PeerKey> {
        let first_copy = self.haves.first_copy.as_ref()?;
        let mut peers = self.peers.iter();
        peers.find(|(key, peer)| !peer.state.am_choking && !first_copy.is_receiving(*key)).map(|(key, _)| key)
    }

    /// From now on a seed like any other: everybody is told of everything, and the choker chooses.
    pub fn end_super_seeding(&mut self, cx: &mut Cx<'_>) {
        let Some(first_copy) = self.haves.first_copy.take() else { return };
        let total = self.metainfo.layout.pieces();
        for (key, peer) in self.peers.iter_mut().filter(|(_, peer)| !peer.state.closing) {
            let shown = first_copy.find(key).map(|row| &row.shown);
            let mut news = Vec::new();
            peer.pieces.each_lacking(total, |piece| {
                if !shown.is_some_and(|shown| shown.has(piece)) {
                    news.push(piece);
                }
            });
            if !news.is_empty() {
                peer.clocks.said = cx.now;
                cx.push(Output::Haves { link: peer.link, pieces: news.into() });
            }
        }
        self.announce_upload_only(cx);
        self.leave_useless_peers(cx);
        cx.pool.choke_soon = true;
    }
}
