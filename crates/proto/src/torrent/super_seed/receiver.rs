//! To whom a super-seed shows a piece. BEP: 16. Threats: C8

use super::{ENOUGH, FAILS_MAX, KNOCKING_MAX, RECEIVERS_MAX, SHOWN_MAX, SHOWN_MIN, SuperSeed, WAITING_MAX};
use crate::cx::Cx;
use crate::peer::Peer;
use crate::torrent::Torrent;
use crate::{Duration, PeerKey};
use wire::PieceIndex;

/// With nothing to send for so long, pieces go even to those that do not pass them on while others wait for a slot.
const IDLE_MAX: Duration = Duration::from_secs(1);

/// Requests of us are to last so long at the uplink's rate: what is shown now is asked for a round trip later.
const LEAD: Duration = Duration::from_millis(300);
/// Blocks that are asked for at least while nothing is known of the uplink: a newcomer begins with two.
const ASKED_FIRST: u32 = 8;
/// Peers looked at when one is chosen: with more links chance is as good.
const LOOKED_AT_MAX: usize = 128;

/// Sorts first who is shown the next piece: whether too much waits with it, how often it failed, how much it has to do, how soon it
/// passes on, by lot.
type Rank = (bool, u8, u32, Duration, u32);

/// Who is to be shown a piece.
pub(super) enum Choice {
    Peer(PeerKey),
    /// Those who lack it have enough to do.
    Later,
    /// All that take pieces have it, as they say.
    Nobody,
    /// It is out: so many have it that passed on what they took.
    Out,
}

/// How busy we are, whatever the piece.
struct Place {
    /// Peers that are given pieces.
    receivers: u32,
    /// Slots for others.
    free_slots: u32,
    /// One more newcomer may be shown a piece.
    free_door: bool,
    /// Nobody waits for a block.
    idle: bool,
    /// So little is asked for that nobody soon will.
    dry: bool,
    /// Nobody has for some time.
    starved: bool,
    /// There are no more peers than slots.
    few: bool,
}

impl Torrent {
    /// Who is shown a piece: who passes on what it gets, soonest.
    pub(super) fn receiver(&self, cx: &mut Cx<'_>, piece: PieceIndex) -> Choice {
        let Some(first_copy) = &self.haves.first_copy else { return Choice::Nobody };
        let Place { receivers, free_slots, free_door, idle, dry, starved, few } = self.place(cx, first_copy);
        let piece_len = u64::from(self.metainfo.layout.piece_len_max());
        let skip = cx.rng.index((self.peers.count() as usize).saturating_sub(LOOKED_AT_MAX) + 1);
        let mut best: Option<(Rank, PeerKey)> = None;
        let (mut lacked, mut holders) = (false, 0);
        // One that took pieces before and failed since is better than an uplink that stands idle, where there is nearly nobody else:
        // with more peers the end of all this is near, and better for them.
        let mut lapsed: Option<((u8, u32), PeerKey)> = None;
        // Whether a peer that may pass on what it gets has no slot: then those that do not pass on give theirs up.
        let mut passed_over = false;
        for (key, peer) in self.peers.iter().skip(skip).take(LOOKED_AT_MAX) {
            let row = first_copy.find(key);
            let (open, waiting, delay, fails) = row
                .map_or((0, 0, Duration::ZERO, 0), |row| (row.open.len(), row.waiting, row.delay, row.fails));
            let is_new = row.is_none_or(|row| row.got == 0);
            let takes = !peer.state.closing && !peer.extensions.upload_only;
            let passes_on = !is_new && waiting < WAITING_MAX && fails < FAILS_MAX;
            if takes && passes_on && peer.pieces.has(piece) {
                holders += 1;
            }
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
            let knocks = is_new && !peer.state.peer_interested;
            let no_slot = open == 0 && free_slots == 0 && !knocks;
            let waits = no_slot || row.is_some_and(|row| row.knocks) && !knocks;
            passed_over |= waits && waiting < WAITING_MAX && receivers > 0 && !starved;
            let no_door = knocks && open == 0 && !free_door;
            if full || no_slot || no_door || waiting >= WAITING_MAX && !(idle || dry) && open == 0 {
                continue;
            }
            // Whom we do not know may want nothing: who waits for one piece is as good.
            let doubt = u32::from(!peer.state.peer_interested) + u32::from(is_new);
            let load = waiting + open as u32 + doubt;
            let rank = (waiting >= WAITING_MAX, fails, load, delay, cx.rng.next_u32());
            if best.is_none_or(|(before, _)| rank < before) {
                best = Some((rank, key));
            }
        }
        match best {
            _ if holders >= ENOUGH => Choice::Out,
            Some(((passes_nothing_on, ..), _)) if passes_nothing_on && passed_over => Choice::Later,
            Some((_, key)) => Choice::Peer(key),
            None if lacked => Choice::Later,
            None => match lapsed {
                Some((_, key)) if free_slots > 0 => Choice::Peer(key),
                Some(_) | None => Choice::Nobody,
            },
        }
    }

    fn place(&self, cx: &Cx<'_>, first_copy: &SuperSeed) -> Place {
        let receivers = first_copy.receivers();
        let asks = |(_, peer): (PeerKey, &Peer)| !peer.uploads.is_empty();
        let idle = !self.peers.iter().take(LOOKED_AT_MAX).any(asks);
        let dry = self.runs_dry(cx);
        // The last pieces go to those that took some.
        let last = first_copy.fresh.len() <= KNOCKING_MAX as usize && receivers > 0;
        Place {
            receivers,
            free_slots: first_copy.free_slots(cx, dry),
            free_door: !last && first_copy.knocking() < KNOCKING_MAX,
            idle,
            dry,
            starved: idle && first_copy.sent + IDLE_MAX <= cx.now,
            few: self.peers.count() <= RECEIVERS_MAX,
        }
    }

    /// How many slots there would be use for.
    pub fn receivers_wanted(&self) -> u32 {
        let receivers = self.haves.first_copy.as_ref().map_or(0, |first_copy| first_copy.receivers());
        self.peers.count().min(receivers + RECEIVERS_MAX)
    }

    /// Whether so little is asked of us that the uplink may soon have nothing to carry.
    pub(super) fn runs_dry(&self, cx: &Cx<'_>) -> bool {
        let asked: u32 = self.peers.iter().take(LOOKED_AT_MAX).map(|(_, peer)| peer.uploads.len()).sum();
        match cx.pool.uplink.capacity() {
            0 => asked < ASKED_FIRST,
            capacity => {
                let bytes = u64::from(asked) * u64::from(self.metainfo.layout.block_len());
                bytes < capacity / 1000 * LEAD.as_millis() as u64
            }
        }
    }

    /// A peer that has a slot and nothing to receive.
    pub(super) fn idle_receiver(&self) -> Option<PeerKey> {
        let first_copy = self.haves.first_copy.as_ref()?;
        let mut peers = self.peers.iter();
        let idle = |(key, peer): &(PeerKey, &Peer)| !peer.state.am_choking && !first_copy.is_receiving(*key);
        peers.find(idle).map(|(key, _)| key)
    }
}
