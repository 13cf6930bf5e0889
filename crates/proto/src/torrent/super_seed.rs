//! Super-seeding: a sole seed shows each piece to one peer alone, and more to a peer whose pieces were seen elsewhere, so that
//! little more than one copy leaves it before the swarm can live without it. BEP: 16. Threats: C8
//!
//! What always holds: while this goes on, a peer is told of a piece only to be given it; a piece is shown to one peer at a time,
//! rarest first, and given once; it ends when each was given, when nobody takes any more, or when nothing moves. Then peers are
//! told of everything. What others say they have changes the order and no more, for anybody may say it: neither a liar that calls
//! itself a seed nor one that takes without wanting ends this, and each costs one piece's patience.

use super::Torrent;
use crate::config::SuperSeeding;
use crate::cx::Cx;
use crate::pieces::RemotePieces;
use crate::{Duration, Instant, Output, PeerKey};
use std::collections::BTreeMap;
use wire::{Block, PieceIndex};

/// With fewer pieces there is nothing to gain: everybody would wait for one peer.
pub const PIECES_MIN: u32 = 8;
/// Peers that are given pieces at once. Few, so that each piece is whole soon and can go on; not one, so that a slow peer does not
/// hold up the uplink. Measured: see docs/testing.md.
pub const RECEIVERS_MAX: u32 = 4;
/// Pieces shown to a peer at once: the second is asked for while the first arrives.
pub const SHOWN_MIN: usize = 2;
/// The same for a fast peer with small pieces: two seconds' worth at its rate, at most so many. 8 MiB of the smallest: what goes
/// over a fast line while news of what came is gathered, for 50 ms and more. (64 held a lone peer of ours to 20 MB/s.)
pub const SHOWN_MAX: usize = 512;
/// A peer with as many pieces that were not seen elsewhere gets another only if nobody else can use the uplink.
pub const WAITING_MAX: u32 = 2;
/// A piece of which nothing was sent for this long since it was shown is shown to another.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// A peer that asked for nothing of what it was shown for this long will not. Longer than a busy peer's round trip.
pub const ASKS_WITHIN: Duration = Duration::from_secs(3);
/// A peer that was sent as much as a shown piece and so many of its quarters more, and does not have it, asks for the same again
/// and again.
pub const QUARTERS_MORE_MAX: u64 = 1;
/// A peer that was shown a piece this long ago and does not want it is passed over: it fetches other files, or nothing at all. Any
/// other says within a round trip that it is interested.
pub const UNWANTED_AFTER: Duration = Duration::from_millis(1_500);
/// A peer that so often was too slow for what it was shown, or only pretended to want it, is shown nothing more, but for one that took
/// pieces before while there is nobody else to take them.
pub const FAILS_MAX: u8 = 2;
/// Pieces among which the rarest is looked for.
const FRESH_SEEN_MAX: usize = 64;
/// If no piece was passed on or received for this long, super-seeding gains nothing.
pub const STILL_MAX: Duration = Duration::from_secs(60);
/// If nobody here lacks any of the pieces that were not given yet, as they say, for this long, everybody is told of everything.
pub const QUIET_MAX: Duration = Duration::from_secs(10);
/// Peers looked at when one is chosen: with more links chance is as good.
const LOOKED_AT_MAX: usize = 128;

/// How far the first copy is out.
#[derive(Debug)]
pub struct SuperSeed {
    /// Pieces that nobody was given yet and nobody is being given, in no order.
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
    /// Shown, and not here yet as far as it said.
    open: Vec<Open>,
    /// How often it did not take what it was shown.
    fails: u8,
    /// Pieces that it got of us whole.
    got: u32,
    /// When a block of what it was shown last left, or something was shown to one who waited for nothing.
    served: Instant,
    /// Of those it got, how many were not seen elsewhere.
    waiting: u32,
    /// How long it takes until others have what it was given, smoothed.
    delay: Duration,
}

/// A piece on its way to a peer.
#[derive(Clone, Copy, Debug)]
struct Open {
    piece: PieceIndex,
    since: Instant,
    /// Bytes of it that left.
    sent: u64,
}

/// Sorts first who is shown the next piece: how often it failed, whether too much waits with it, how much it has to do, how soon it
/// passes on, by lot.
type Rank = (u8, bool, u32, Duration, u32);

/// Who is to be shown a piece.
enum Choice {
    Peer(PeerKey),
    /// Those who lack it have enough to do.
    Later,
    /// All that take pieces have it, as they say.
    Nobody,
}

impl SuperSeed {
    fn new(now: Instant, fresh: Vec<PieceIndex>) -> SuperSeed {
        SuperSeed { fresh, waiting: BTreeMap::new(), rows: Vec::new(), slots: 0, moved: now }
    }

    fn row(&mut self, key: PeerKey) -> &mut Row {
        let new = |key| Row {
            key,
            shown: RemotePieces::None,
            open: Vec::new(),
            fails: 0,
            got: 0,
            served: Instant::ZERO,
            waiting: 0,
            delay: Duration::ZERO,
        };
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

    /// A peer has a piece of so many bytes that so many peers have now; whether there are few peers here at all.
    fn seen(&mut self, now: Instant, key: PeerKey, (piece, len): (PieceIndex, u32), holders: u32, few: bool) {
        let row = self.row(key);
        if let Some(at) = row.open.iter().position(|open| open.piece == piece) {
            let open = row.open.swap_remove(at);
            let whole = open.sent >= u64::from(len);
            if !whole && holders <= 1 {
                // A show of progress; among few peers perhaps it had the rest from somebody we do not know.
                row.fails = if few { row.fails.saturating_add(1) } else { FAILS_MAX };
                return self.fresh.push(piece);
            }
            row.got += u32::from(whole);
            if whole && few {
                row.fails = row.fails.min(FAILS_MAX - 1);
            }
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

    /// A block left for a peer.
    fn sent(&mut self, now: Instant, key: PeerKey, block: Block) {
        let Some(row) = self.rows.get_mut(key.slot()).filter(|row| row.key == key) else { return };
        for open in row.open.iter_mut().filter(|open| open.piece == block.piece) {
            row.served = now;
            open.sent += u64::from(block.len);
        }
    }

    /// Takes pieces back from a peer that does not take them.
    fn take_back(&mut self, key: PeerKey, stays: impl Fn(&Open, Instant) -> bool, fails: u8) {
        let Some(row) = self.rows.get_mut(key.slot()).filter(|row| row.key == key) else { return };
        let (fresh, served) = (&mut self.fresh, row.served);
        let before = row.open.len();
        row.open.retain(|open| {
            let stays = stays(open, served);
            if !stays {
                fresh.push(open.piece);
            }
            stays
        });
        if row.open.len() < before {
            row.fails = row.fails.saturating_add(fails);
        }
    }

    /// The piece to show next, when the last so many are not wanted: the rarest of some, moved before those. Anybody may say that
    /// it has a piece, so it counts for no more.
    fn next_fresh(
        &mut self,
        unwanted: usize,
        availability: impl Fn(PieceIndex) -> u32,
    ) -> Option<PieceIndex> {
        let last = self.fresh.len().checked_sub(unwanted + 1)?;
        let seen = last.saturating_sub(FRESH_SEEN_MAX - 1)..=last;
        let rarest = seen.min_by_key(|&at| availability(self.fresh[at]))?;
        self.fresh.swap(rarest, last);
        Some(self.fresh[last])
    }

    /// A peer is gone: what it had alone, or was to have, somebody else must get.
    fn left(&mut self, key: PeerKey) {
        let row = self.row(key);
        let open = core::mem::take(&mut row.open);
        (row.shown, row.waiting) = (RemotePieces::None, 0);
        self.fresh.extend(open.into_iter().map(|open| open.piece));
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
        let others = self.is_well_seeded() || !self.metainfo.web_seeds.is_empty();
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
            let few = self.peers.count() <= RECEIVERS_MAX;
            first_copy.seen(cx.now, key, (piece, self.metainfo.layout.piece_len(piece)), holders, few);
        }
    }

    /// A peer's pieces changed, or a peer came: perhaps another piece can be shown, or all of this is over.
    pub fn go_on_super_seeding(&mut self, cx: &mut Cx<'_>) {
        if !self.is_super_seeding() {
            return;
        }
        if let Some(first_copy) = self.haves.first_copy.as_mut().filter(|_| self.peers.count() == 1) {
            first_copy.moved = cx.now;
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

    /// A block left for a peer: what it was shown is on its way.
    pub fn sent_of_first_copy(&mut self, cx: &Cx<'_>, key: PeerKey, block: Block) {
        if let Some(first_copy) = &mut self.haves.first_copy {
            first_copy.sent(cx.now, key, block);
        }
    }

    /// The choker meets: slots are as many as this, and whoever does nothing with what it was shown is passed over.
    pub fn super_seed_round(&mut self, cx: &mut Cx<'_>, slots: u32) {
        let Some(first_copy) = &mut self.haves.first_copy else { return };
        first_copy.slots = if self.stage.is_active() { slots.min(RECEIVERS_MAX) } else { 0 };
        if self.peers.count() == 0 {
            first_copy.moved = cx.now;
        }
        let mut undecided = false;
        let piece_len = u64::from(self.metainfo.layout.piece_len_max());
        let most =
            piece_len + (piece_len * QUARTERS_MORE_MAX / 4).max(u64::from(self.metainfo.layout.block_len()));
        for (key, peer) in self.peers.iter() {
            let asks = !peer.uploads.is_empty();
            if peer.state.peer_interested {
                let pretends =
                    |open: &Open, served| !asks && served + ASKS_WITHIN <= cx.now || open.sent > most;
                first_copy.take_back(key, |open, served| !pretends(open, served), FAILS_MAX);
                first_copy.take_back(key, |_, served| served + PATIENCE > cx.now, 1);
            } else {
                first_copy.take_back(key, |open, _| open.since + UNWANTED_AFTER > cx.now, FAILS_MAX);
            }
            undecided |= !asks && first_copy.is_receiving(key);
        }
        // Whoever may turn out to want nothing is looked at again soon.
        cx.pool.choke_soon |= undecided;
        if first_copy.moved + STILL_MAX <= cx.now {
            return self.end_super_seeding(cx);
        }
        for key in self.peers.keys() {
            if !self.haves.first_copy.as_ref().is_some_and(|first_copy| first_copy.is_receiving(key)) {
                self.set_choking(cx, key, true);
            }
        }
        self.show_more(cx);
    }

    /// Shows pieces while there is somebody to show them to; when all were given, everybody is told of everything.
    fn show_more(&mut self, cx: &mut Cx<'_>) {
        loop {
            let Some(unwanted) = self.show_fresh(cx) else { return };
            let Some(first_copy) = &self.haves.first_copy else { return };
            if first_copy.receivers() > 0 || self.peers.count() == 0 {
                return;
            }
            let over = match unwanted {
                // All is out, as far as was seen. What is found to be lost is shown at once, and not when the choker meets.
                0 => self.next_lost().is_none(),
                _ if first_copy.moved + QUIET_MAX <= cx.now => true,
                _ => return,
            };
            if over {
                return self.end_super_seeding(cx);
            }
        }
    }

    /// Shows what nobody was given yet, while there is somebody to show it to. How many pieces nobody lacks, of those looked at;
    /// nothing if those who lack one have enough to do.
    fn show_fresh(&mut self, cx: &mut Cx<'_>) -> Option<usize> {
        let mut unwanted = 0;
        while unwanted < FRESH_SEEN_MAX {
            let (first_copy, picker) = (self.haves.first_copy.as_mut()?, &self.picker);
            let Some(piece) = first_copy.next_fresh(unwanted, |piece| picker.availability(piece)) else {
                break;
            };
            match self.receiver(cx, piece) {
                Choice::Peer(key) => self.show(cx, key, piece),
                Choice::Later => return None,
                Choice::Nobody => unwanted += 1,
            }
        }
        // Next time others come to be looked at.
        let fresh = &mut self.haves.first_copy.as_mut()?.fresh;
        let count = fresh.len();
        (0..unwanted).for_each(|nth| fresh.swap(count - 1 - nth, cx.rng.index(count)));
        Some(unwanted)
    }

    /// When all seems to be out: a piece whose holders have gone since. One walk over the pieces, and only then.
    fn next_lost(&mut self) -> Option<PieceIndex> {
        let first_copy = self.haves.first_copy.as_mut()?;
        let gone = self.metainfo.layout.piece_indices().filter(|&piece| self.picker.availability(piece) == 0);
        first_copy.fresh.extend(gone);
        first_copy.fresh.last().copied()
    }

    /// Who is shown a piece: who passes on what it gets, soonest.
    fn receiver(&self, cx: &mut Cx<'_>, piece: PieceIndex) -> Choice {
        let Some(first_copy) = &self.haves.first_copy else { return Choice::Nobody };
        let receivers = first_copy.receivers();
        let asks = |(_, peer): (PeerKey, &crate::peer::Peer)| !peer.uploads.is_empty();
        let idle = !self.peers.iter().take(LOOKED_AT_MAX).any(asks);
        let piece_len = u64::from(self.metainfo.layout.piece_len_max());
        let skip = cx.rng.index((self.peers.count() as usize).saturating_sub(LOOKED_AT_MAX) + 1);
        let mut best: Option<(Rank, PeerKey)> = None;
        let mut lacked = false;
        // One that took pieces before and failed since is better than an uplink that stands idle, where there is nearly nobody else:
        // with more peers the end of all this is near, and better for them.
        let few = self.peers.count() <= RECEIVERS_MAX;
        let mut lapsed: Option<((u8, u32), PeerKey)> = None;
        // Whether a peer that may pass on what it gets has no slot: then those that do not pass on give theirs up.
        let mut passed_over = false;
        for (key, peer) in self.peers.iter().skip(skip).take(LOOKED_AT_MAX) {
            let row = first_copy.find(key);
            let (open, waiting, delay, fails) = row
                .map_or((0, 0, Duration::ZERO, 0), |row| (row.open.len(), row.waiting, row.delay, row.fails));
            let is_new = row.is_none_or(|row| row.got == 0);
            let takes = !peer.state.closing && !peer.extensions.upload_only;
            if !takes || peer.pieces.has(piece) {
                continue;
            }
            if fails >= FAILS_MAX {
                let rank = (fails, cx.rng.next_u32());
                if few && !is_new && open == 0 && lapsed.is_none_or(|(before, _)| rank < before) {
                    lapsed = Some((rank, key));
                }
                continue;
            }
            lacked = true;
            // Two seconds at its rate, so that it grows as fast as slow start does.
            let worth = usize::try_from(2 * peer.traffic.up.rate(cx.now) / piece_len).unwrap_or(SHOWN_MAX);
            let full = open >= if is_new { 1 } else { worth.clamp(SHOWN_MIN, SHOWN_MAX) };
            let no_slot = open == 0 && receivers >= first_copy.slots;
            passed_over |= no_slot && waiting < WAITING_MAX && receivers > 0;
            if full || no_slot || waiting >= WAITING_MAX && !idle && open == 0 {
                continue;
            }
            // Whom we do not know may want nothing: who waits for one piece is as good.
            let doubt = u32::from(!peer.state.peer_interested) + u32::from(is_new);
            let load = waiting + open as u32 + doubt;
            let rank = (fails, waiting >= WAITING_MAX, load, delay, cx.rng.next_u32());
            if best.is_none_or(|(before, _)| rank < before) {
                best = Some((rank, key));
            }
        }
        match best {
            Some(((_, passes_nothing_on, ..), _)) if passes_nothing_on && passed_over => Choice::Later,
            Some((_, key)) => Choice::Peer(key),
            None if lacked => Choice::Later,
            None => match lapsed {
                Some((_, key)) if receivers < first_copy.slots => Choice::Peer(key),
                Some(_) | None => Choice::Nobody,
            },
        }
    }

    /// Tells one peer of one piece, and serves it.
    fn show(&mut self, cx: &mut Cx<'_>, key: PeerKey, piece: PieceIndex) {
        let (Some(first_copy), Some(peer)) = (&mut self.haves.first_copy, self.peers.get_mut(key)) else {
            return;
        };
        // Near the end, where it was chosen.
        if let Some(at) = first_copy.fresh.iter().rposition(|&fresh| fresh == piece) {
            first_copy.fresh.swap_remove(at);
        }
        let row = first_copy.row(key);
        row.shown.insert(piece, self.metainfo.layout.pieces());
        if row.open.is_empty() {
            row.served = cx.now;
        }
        row.open.push(Open { piece, since: cx.now, sent: 0 });
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
