//! Super-seeding: a sole seed shows each piece to one peer alone, and more to a peer whose pieces were seen elsewhere, so that
//! little more than one copy leaves it before the swarm can live without it. BEP: 16. Threats: C8
//!
//! What always holds: while this goes on, a peer is told of a piece only to be given it; a piece is shown to one peer at a time,
//! rarest first, and given once; it ends when each was given, when nobody takes any more, or when nothing moves. Then peers are
//! told of everything. What others say they have changes the order and no more, for anybody may say it, but where two say so that
//! passed on what they got of us: neither a liar that calls itself a seed nor one that takes without wanting ends this, and each
//! costs one piece's patience. A newcomer is shown a piece before it has a slot, so that those who want nothing keep nobody's; and
//! pieces are held back only while the uplink is busy: before what is asked for runs out, more is shown, to more than a few. When the
//! last of the first copy has left, it is over, for word of its arrival would find the uplink idle.

mod receiver;

use super::Torrent;
use crate::config::SuperSeeding;
use crate::cx::Cx;
use crate::pieces::RemotePieces;
use crate::{Duration, Instant, Output, PeerKey};
use receiver::Choice;
use std::collections::{BTreeMap, BTreeSet};
use wire::{Block, PieceIndex};

/// Newcomers that are shown a piece at once, to see whether they want it: they hold no slot before they do.
pub const KNOCKING_MAX: u32 = 4;
/// With fewer pieces there is nothing to gain: everybody would wait for one peer.
pub const PIECES_MIN: u32 = 8;
/// Peers that are given pieces at once. Few, so that each piece is whole soon and can go on; not one, so that a slow peer does not
/// hold up the uplink. Measured: see docs/testing.md.
pub const RECEIVERS_MAX: u32 = 4;
/// So many that took pieces before, and were served a moment ago, are enough while they fill the uplink: the fewer share it, the
/// sooner each piece goes on. A piece that so many have that pass on what they get is out, whoever they had it from.
const ENOUGH: usize = 2;
/// That moment.
const SERVED_WITHIN: Duration = Duration::from_secs(1);
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
/// The same for one that took pieces before: it may be busy with others, and a piece that another is shown goes out twice.
pub const BUSY_MAX: Duration = Duration::from_secs(10);
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
/// If nothing is asked for while no more than this part of the pieces is left to give, they are no longer held back: those that
/// lack them may wait for liars. Nor is anything when all is shown and half of the slots have nothing to do.
const LAST_PART: u32 = 8;
/// If nobody here lacks any of the pieces that were not given yet, as they say, for this long, everybody is told of everything.
pub const QUIET_MAX: Duration = Duration::from_secs(10);

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
    /// A peer that took pieces got the rest too, and left.
    others_seed: bool,
    /// When a piece last came or went on.
    moved: Instant,
    /// When a block last left or waited to.
    sent: Instant,
    /// When a piece was last shown.
    shown: Instant,
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
    /// It was shown its first piece, and has no slot yet.
    knocks: bool,
    /// When a block of what it was shown last left, or something was shown to one who waited for nothing.
    served: Instant,
    /// Of those it got, how many were not seen elsewhere.
    waiting: u32,
    /// How long it takes until others have what it was given, smoothed.
    delay: Duration,
}

impl Row {
    fn lapsed(&mut self, lapse: Lapse) {
        self.fails = match lapse {
            Lapse::Blameless => self.fails,
            // Who took pieces comes last for it, but is never shut out: what it was shown it may have asked of a liar before.
            Lapse::Late if self.got > 0 => self.fails.max(FAILS_MAX - 1),
            Lapse::Pretends if self.got == 0 => self.fails.saturating_add(FAILS_MAX),
            Lapse::Late | Lapse::Pretends => self.fails.saturating_add(1),
        };
    }
}

/// A piece on its way to a peer.
#[derive(Clone, Copy, Debug)]
struct Open {
    piece: PieceIndex,
    since: Instant,
    /// Bytes of it that left.
    sent: u64,
}

/// Why a peer is to have a piece no more.
#[derive(Clone, Copy)]
enum Lapse {
    /// It waited too long for a slot, or had it already: not its fault.
    Blameless,
    /// It was too slow, or busy with others.
    Late,
    /// It asked for nothing, or for the same again and again.
    Pretends,
}

impl SuperSeed {
    fn new(now: Instant, fresh: Vec<PieceIndex>) -> SuperSeed {
        SuperSeed {
            fresh,
            waiting: BTreeMap::new(),
            rows: Vec::new(),
            slots: 0,
            others_seed: false,
            moved: now,
            sent: now,
            shown: now,
        }
    }

    fn row(&mut self, key: PeerKey) -> &mut Row {
        let new = |key| Row {
            key,
            shown: RemotePieces::None,
            open: Vec::new(),
            fails: 0,
            got: 0,
            knocks: false,
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

    /// Peers that are given pieces, each with a slot.
    fn receivers(&self) -> u32 {
        self.rows.iter().filter(|row| !row.open.is_empty() && !row.knocks).count() as u32
    }

    /// Slots for those that have none. An uplink that runs dry is better used by many than by nobody.
    fn free_slots(&self, cx: &Cx<'_>, dry: bool) -> u32 {
        if dry {
            return self.slots.saturating_sub(self.receivers());
        }
        let takes = |row: &&Row| {
            !row.open.is_empty() && row.got > 0 && row.fails == 0 && row.served + SERVED_WITHIN > cx.now
        };
        let full = cx.pool.up_meter.rate(cx.now) >= cx.pool.uplink.capacity() / 4 * 3;
        match full && self.rows.iter().filter(takes).count() >= ENOUGH {
            true => 0,
            false => self.slots.min(RECEIVERS_MAX).saturating_sub(self.receivers()),
        }
    }

    fn on_their_way(&self) -> impl Iterator<Item = &Open> {
        self.rows.iter().flat_map(|row| &row.open)
    }

    /// Bytes that were shown and have not left, of pieces of this length.
    fn rest(&self, piece_len: u32) -> u64 {
        self.on_their_way().map(|open| u64::from(piece_len).saturating_sub(open.sent)).sum()
    }

    fn knocking(&self) -> u32 {
        self.rows.iter().filter(|row| !row.open.is_empty() && row.knocks).count() as u32
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
            if whole {
                row.fails = 0;
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
        self.sent = now;
        for open in row.open.iter_mut().filter(|open| open.piece == block.piece) {
            row.served = now;
            open.sent += u64::from(block.len);
        }
    }

    /// Takes pieces back from a peer that does not take them.
    fn take_back(&mut self, key: PeerKey, lapse: Lapse, stays: impl Fn(&Open, Instant) -> bool) {
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
            row.lapsed(lapse);
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

    /// A piece is given, or need not be.
    fn forget(&mut self, piece: PieceIndex) {
        // Near the end, where it was chosen.
        if let Some(at) = self.fresh.iter().rposition(|&fresh| fresh == piece) {
            self.fresh.swap_remove(at);
        }
    }

    /// A peer is gone: what it had alone, or was to have, somebody else must get. But who took pieces and has them all now is a seed
    /// that needs us no longer, and has them still.
    fn left(&mut self, key: PeerKey, complete: bool) {
        let row = self.row(key);
        let seeds = complete && row.got > 0;
        let open = core::mem::take(&mut row.open);
        (row.shown, row.waiting) = (RemotePieces::None, 0);
        self.fresh.extend(open.into_iter().map(|open| open.piece));
        let fresh = &mut self.fresh;
        self.waiting.retain(|&piece, (giver, _)| {
            if *giver == key && !seeds {
                fresh.push(piece);
            }
            *giver != key
        });
        self.others_seed |= seeds;
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
        let few = self.peers.count() <= RECEIVERS_MAX;
        let Some(first_copy) = &mut self.haves.first_copy else { return };
        first_copy.seen(cx.now, key, (piece, self.metainfo.layout.piece_len(piece)), holders, few);
        // It is given once: who asks again for what it says it has only takes.
        if first_copy.row(key).shown.has(piece) {
            first_copy.row(key).shown.remove(piece..PieceIndex(piece.0 + 1), self.metainfo.layout.pieces());
            self.drop_requests(cx, key, |asked| asked != piece);
        }
    }

    /// A peer said all at once what it has: whatever it was shown before, as a newcomer, and has already, another is shown.
    pub fn saw_pieces(&mut self, key: PeerKey) {
        let (Some(first_copy), Some(peer)) = (&mut self.haves.first_copy, self.peers.get(key)) else {
            return;
        };
        first_copy.take_back(key, Lapse::Blameless, |open, _| !peer.pieces.has(open.piece));
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
        let few = |first_copy: &SuperSeed| first_copy.slots < RECEIVERS_MAX.min(self.peers.count());
        cx.pool.choke_soon |= self.haves.first_copy.as_deref().is_some_and(few);
    }

    /// A peer is gone, with what it had.
    pub fn lost_receiver(&mut self, cx: &mut Cx<'_>, key: PeerKey, complete: bool) {
        if let Some(first_copy) = &mut self.haves.first_copy {
            first_copy.left(key, complete);
            self.show_more(cx);
        }
    }

    /// A block left for a peer: what it was shown is on its way.
    pub fn sent_of_first_copy(&mut self, cx: &mut Cx<'_>, key: PeerKey, block: Block) {
        let Some(first_copy) = &mut self.haves.first_copy else { return };
        first_copy.sent(cx.now, key, block);
        let gone = first_copy.fresh.is_empty() && first_copy.rest(self.metainfo.layout.piece_len_max()) == 0;
        if gone && self.next_lost().is_none() {
            // Whoever waited for word that it arrived would let the uplink stand idle meanwhile.
            self.end_super_seeding(cx);
        } else if self.peers.get(key).is_some_and(|peer| peer.uploads.waiting() == 0) && self.runs_dry(cx) {
            self.show_more(cx);
        }
    }

    /// The choker meets: slots are as many as this, and whoever does nothing with what it was shown is passed over.
    pub fn super_seed_round(&mut self, cx: &mut Cx<'_>, slots: u32) {
        let Some(first_copy) = &mut self.haves.first_copy else { return };
        first_copy.slots = if self.stage.is_active() { slots } else { 0 };
        if self.peers.count() == 0 {
            (first_copy.moved, first_copy.sent) = (cx.now, cx.now);
        }
        let (mut undecided, mut asking) = (false, 0);
        let piece_len = u64::from(self.metainfo.layout.piece_len_max());
        let most =
            piece_len + (piece_len * QUARTERS_MORE_MAX / 4).max(u64::from(self.metainfo.layout.block_len()));
        for (key, peer) in self.peers.iter() {
            let asks = !peer.uploads.is_empty();
            if asks {
                first_copy.sent = cx.now;
                asking += 1;
            }
            if first_copy.find(key).is_some_and(|row| row.knocks) && peer.state.peer_interested {
                // It waits for a slot.
                first_copy.take_back(key, Lapse::Blameless, |open, _| open.since + PATIENCE > cx.now);
            } else if peer.state.peer_interested {
                // Who took pieces before may be busy with another.
                let took = first_copy.find(key).is_some_and(|row| row.got > 0);
                let within = if took { BUSY_MAX } else { ASKS_WITHIN };
                let lapse = if took { Lapse::Late } else { Lapse::Pretends };
                first_copy.take_back(key, Lapse::Pretends, |open, _| open.sent <= most);
                first_copy.take_back(key, lapse, |_, served| asks || served + within > cx.now);
                first_copy.take_back(key, Lapse::Late, |_, served| served + PATIENCE > cx.now);
            } else {
                first_copy.take_back(key, Lapse::Pretends, |open, _| open.since + UNWANTED_AFTER > cx.now);
            }
            undecided |= !asks && first_copy.is_receiving(key);
        }
        // Whoever may turn out to want nothing is looked at again soon; so is a slow receiver, when all is shown.
        let all_shown = first_copy.fresh.is_empty();
        cx.pool.choke_soon |= undecided || all_shown && asking > 0;
        let few = (self.metainfo.layout.pieces() / LAST_PART).max(KNOCKING_MAX);
        let idle = first_copy.fresh.len() as u32 <= few && first_copy.sent + ASKS_WITHIN <= cx.now;
        let slack = all_shown
            && 2 * asking < first_copy.slots.min(RECEIVERS_MAX)
            && first_copy.shown + ASKS_WITHIN <= cx.now;
        if first_copy.moved + STILL_MAX <= cx.now || idle || slack {
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
        self.let_in(cx);
        loop {
            let Some(unwanted) = self.show_fresh(cx) else { return };
            let Some(first_copy) = &self.haves.first_copy else { return };
            if first_copy.receivers() + first_copy.knocking() > 0 || self.peers.count() == 0 {
                return;
            }
            let over = match unwanted {
                // All is out, as far as was seen. What is found to be lost is shown at once, and not when the choker meets.
                0 => first_copy.others_seed || self.next_lost().is_none(),
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
                // The rest is not held back while those that keep what they get are given what all others have.
                Choice::Out => self.haves.first_copy.as_mut()?.forget(piece),
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
        let on_their_way: BTreeSet<PieceIndex> = first_copy.on_their_way().map(|open| open.piece).collect();
        let gone =
            |piece: &PieceIndex| self.picker.availability(*piece) == 0 && !on_their_way.contains(piece);
        first_copy.fresh.extend(self.metainfo.layout.piece_indices().filter(gone));
        first_copy.fresh.last().copied()
    }

    /// Tells one peer of one piece, and serves it.
    fn show(&mut self, cx: &mut Cx<'_>, key: PeerKey, piece: PieceIndex) {
        let (Some(first_copy), Some(peer)) = (&mut self.haves.first_copy, self.peers.get_mut(key)) else {
            return;
        };
        first_copy.forget(piece);
        let row = first_copy.row(key);
        row.shown.insert(piece, self.metainfo.layout.pieces());
        if row.open.is_empty() {
            row.served = cx.now;
            row.knocks = row.got == 0 && !peer.state.peer_interested && peer.state.am_choking;
        }
        let knocks = row.knocks;
        row.open.push(Open { piece, since: cx.now, sent: 0 });
        first_copy.shown = cx.now;
        peer.clocks.said = cx.now;
        cx.push(Output::Haves { link: peer.link, pieces: [piece].into() });
        // Whether it takes it is looked at soon.
        cx.pool.choke_soon = true;
        if peer.state.am_choking && !knocks {
            self.give_slot(cx, key);
        }
    }

    /// Whoever knocked and wants what it was shown gets a slot, if there is one.
    pub fn let_in(&mut self, cx: &mut Cx<'_>) {
        let dry = self.runs_dry(cx);
        let Some(first_copy) = &mut self.haves.first_copy else { return };
        let free = first_copy.free_slots(cx, dry) as usize;
        let peers = &self.peers;
        let wants = |row: &&mut Row| {
            row.knocks
                && !row.open.is_empty()
                && peers.get(row.key).is_some_and(|peer| peer.state.peer_interested)
        };
        let mut keys = Vec::new();
        for row in first_copy.rows.iter_mut().filter(wants).take(free) {
            (row.knocks, row.served) = (false, cx.now);
            keys.push(row.key);
        }
        keys.into_iter().for_each(|key| self.give_slot(cx, key));
    }

    fn give_slot(&mut self, cx: &mut Cx<'_>, key: PeerKey) {
        let Some(first_copy) = &self.haves.first_copy else { return };
        let full = self.peers.unchoked >= first_copy.slots;
        if let Some(idle) = self.idle_receiver().filter(|_| full) {
            self.set_choking(cx, idle, true);
        }
        self.set_choking(cx, key, false);
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
