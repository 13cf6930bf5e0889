//! Which peers may download from us. Pure policy: rows in, verdict out; knows rates and interest, not links.
//!
//! While we fetch: tit for tat. The peers that gave us most in the last 20 s get the regular slots; peers that give nothing wait in turn
//! behind them, those that snub us last of all. When we have everything: by [`SeedPolicy`]. Beside them one optimistic unchoke moves on
//! every third round, so that newcomers get something to give and better partners are found. Behind all of them come those who take
//! without ever having more for it: slots that nobody else wants are theirs, and while we fetch no more than a trickle, for what leaves
//! costs time that what comes needs (threat C8).
//!
//! Invariant: at most `slots` regular unchokes and one optimistic, all of them interested. Ties are broken by the seeded generator.
//! BEP: 3

use crate::config::SeedPolicy;
use crate::{Duration, Instant, PeerKey, Rng};
use core::cmp::Reverse;

/// A challenger must have given (or taken) this much more than whoever has the slot, in percent: rates measured over 20 s waver by
/// some percent, and each change of hands costs a round trip and half-fetched pieces.
const HYSTERESIS_PERCENT: u64 = 10;

/// An unchoked peer that has given nothing yet keeps its slot this long: three rounds, as an optimistic one does.
const TENURE_MIN: Duration = Duration::from_secs(30);

/// Round robin: what a peer may have in one turn, rounded up to whole pieces. About a minute at a tenth of a 10 Mbit/s uplink.
const QUOTA_BYTES: u64 = 8 * 1024 * 1024;

/// Round robin: a turn ends after this time even if the peer is too slow for its quota.
const TURN_MAX: Duration = Duration::from_secs(120);

/// A peer counts as new for this long, and is thrice as likely to be the next optimistic unchoke (BEP 3).
const NEW_FOR: Duration = Duration::from_secs(60);
const NEW_WEIGHT: u32 = 3;

/// Anti-leech: how much nearer to either end, in thousandths, a challenger must be.
const PROGRESS_HYSTERESIS_PERMILLE: u32 = 50;

/// One peer as the choker sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Row {
    /// The peer.
    pub peer: PeerKey,
    /// It wants something from us. Others are never unchoked.
    pub interested: bool,
    /// Since when we do not choke it; `None` while we do.
    pub unchoked_since: Option<Instant>,
    /// When it last was unchoked, or else when it joined: who has waited longest.
    pub waiting_since: Instant,
    /// When it joined.
    pub joined: Instant,
    /// Bytes from it in the last 20 s.
    pub received: u64,
    /// Bytes to it in the last 20 s.
    pub sent: u64,
    /// Bytes to it since it was unchoked.
    pub sent_since_unchoke: u64,
    /// We wait for blocks from it, and none came for 60 s (BEP 3 anti-snubbing).
    pub snubs_us: bool,
    /// It takes and has no more to show for it.
    pub takes_in_vain: bool,
    /// So much that it is to have no more while we fetch.
    pub drains: bool,
    /// How much of the content it has, in thousandths.
    pub progress_permille: u32,
}

/// What the round is held under.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Terms {
    /// Regular slots; one comes on top, optimistic or for another turn. 0 unchokes nobody.
    pub slots: u32,
    /// We have everything we want: by which policy to serve. `None` while we fetch.
    pub seeding: Option<SeedPolicy>,
    /// Bytes of a piece, on whose boundaries a turn of round robin ends.
    pub piece_len: u32,
    /// How often the optimistic unchoke moves on.
    pub optimistic_interval: Duration,
}

/// Who is to be unchoked; everybody else is to be choked.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Verdict {
    /// Sorted by key; the optimistic one among them.
    pub unchoked: Vec<PeerKey>,
    /// The one unchoked to see what it gives.
    pub optimistic: Option<PeerKey>,
}

impl Verdict {
    /// Whether this peer is to be unchoked.
    pub fn unchokes(&self, peer: PeerKey) -> bool {
        self.unchoked.binary_search(&peer).is_ok()
    }
}

/// Remembers the optimistic unchoke; all else is in the rows.
#[derive(Clone, Debug, Default)]
pub struct Choker {
    optimistic: Option<(PeerKey, Instant)>,
}

/// The class of who comes after everybody else, whatever the policy.
const CLASS_LAST: u8 = u8::MAX;

/// Sorts first what should be unchoked first.
type Rank = (u8, Reverse<u64>, u64, u32);

impl Choker {
    /// No optimistic unchoke yet.
    pub fn new() -> Choker {
        Choker::default()
    }

    /// Bytes after which a turn of round robin ends, a whole number of pieces. Hold a round when a peer reaches it, and the turn ends on
    /// the boundary.
    pub fn quota(piece_len: u32) -> u64 {
        QUOTA_BYTES.next_multiple_of(u64::from(piece_len.max(1)))
    }

    /// Decides who may download until the next round. May be held at any time: O(peers log peers).
    pub fn round(&mut self, now: Instant, rows: &[Row], terms: &Terms, rng: &mut Rng) -> Verdict {
        if terms.slots == 0 {
            self.optimistic = None;
            return Verdict::default();
        }
        // Who gave us something may have it back, whatever it does with it.
        let in_vain = |row: &Row| row.takes_in_vain && row.received == 0;
        let served =
            |row: &&Row| row.interested && (terms.seeding.is_some() || !(row.drains && in_vain(row)));
        let interested = rows.iter().filter(served);
        let rank = |row: &Row, lot: u32| match terms.seeding {
            _ if in_vain(row) => in_turn(CLASS_LAST, row, now, lot),
            None => by_received(row, now, lot),
            Some(SeedPolicy::RoundRobin) => by_turn(row, now, Choker::quota(terms.piece_len), lot),
            Some(SeedPolicy::Fastest) => by_sent(row, now, lot),
            Some(SeedPolicy::AntiLeech) => by_progress(row, lot),
        };
        let mut ranked: Vec<(Rank, &Row)> = interested.map(|row| (rank(row, rng.next_u32()), row)).collect();
        ranked.sort_by_key(|&(rank, _)| rank);
        // Round robin tries everybody anyway: an optimistic unchoke would only cut turns short, so its slot is one more for turns.
        let in_turns = terms.seeding == Some(SeedPolicy::RoundRobin);
        let slots = (terms.slots as usize).saturating_add(usize::from(in_turns));
        let (regular, rest) = ranked.split_at(ranked.len().min(slots));
        if in_turns {
            self.optimistic = None;
        } else {
            let rest: Vec<&Row> = rest.iter().map(|&(_, row)| row).collect();
            self.move_optimistic(now, &rest, terms.optimistic_interval, rng);
        }
        let optimistic = self.optimistic.map(|(peer, _)| peer);
        let mut unchoked: Vec<PeerKey> = regular.iter().map(|&(_, row)| row.peer).chain(optimistic).collect();
        unchoked.sort_unstable();
        Verdict { unchoked, optimistic }
    }

    /// Keeps the optimistic unchoke until its time is over, it got a regular slot, or it is gone; then draws another.
    fn move_optimistic(&mut self, now: Instant, rest: &[&Row], interval: Duration, rng: &mut Rng) {
        let before = self.optimistic.map(|(peer, _)| peer);
        let stays = self.optimistic.is_some_and(|(peer, since)| {
            now.since(since) < interval && rest.iter().any(|row| row.peer == peer)
        });
        if stays {
            return;
        }
        // With others waiting, none is spent on who takes in vain.
        let hopeful = rest.iter().any(|row| !row.takes_in_vain && Some(row.peer) != before);
        let weight = |row: &Row| match (Some(row.peer) == before, now.since(row.joined) < NEW_FOR) {
            (true, _) => 0,
            (false, _) if row.takes_in_vain && hopeful => 0,
            (false, true) => NEW_WEIGHT,
            (false, false) => 1,
        };
        let total: u32 = rest.iter().map(|row| weight(row)).sum();
        let mut lot = rng.below(total);
        let drawn = rest.iter().find(|row| {
            let weight = weight(row);
            let hit = lot < weight;
            lot = lot.saturating_sub(weight);
            hit
        });
        // With nobody else waiting the one before goes on.
        let next = drawn.or_else(|| rest.iter().find(|row| Some(row.peer) == before));
        self.optimistic = next.map(|row| (row.peer, now));
    }
}

/// Tit for tat. Givers by what they gave; then who has given nothing, in turn; then who snubs us.
fn by_received(row: &Row, now: Instant, lot: u32) -> Rank {
    if row.snubs_us {
        in_turn(2, row, now, lot)
    } else if row.received == 0 {
        in_turn(1, row, now, lot)
    } else {
        (0, Reverse(favoured(row.received, row)), 0, lot)
    }
}

/// Who takes fastest; then who has taken nothing, in turn.
fn by_sent(row: &Row, now: Instant, lot: u32) -> Rank {
    if row.sent == 0 { in_turn(1, row, now, lot) } else { (0, Reverse(favoured(row.sent, row)), 0, lot) }
}

/// Whose turn is not over; then who waits, longest first; then whose turn is over, for slots that nobody else wants.
fn by_turn(row: &Row, now: Instant, quota: u64, lot: u32) -> Rank {
    match row.unchoked_since {
        Some(since) if row.sent_since_unchoke < quota && now.since(since) < TURN_MAX => {
            (0, Reverse(0), since.as_micros(), lot)
        }
        None => (1, Reverse(0), row.waiting_since.as_micros(), lot),
        Some(since) => (2, Reverse(0), u64::MAX - since.as_micros(), lot),
    }
}

/// Who has just begun or is nearly done.
fn by_progress(row: &Row, lot: u32) -> Rank {
    let favour = if row.unchoked_since.is_some() { PROGRESS_HYSTERESIS_PERMILLE } else { 0 };
    let from_middle = row.progress_permille.min(1_000).abs_diff(500) + favour;
    (0, Reverse(u64::from(from_middle)), row.waiting_since.as_micros(), lot)
}

/// Those without merit, in turn: who was let in lately stays, then who waits longest, then who had its time.
fn in_turn(class: u8, row: &Row, now: Instant, lot: u32) -> Rank {
    let order = match row.unchoked_since {
        Some(since) if now.since(since) < TENURE_MIN => 2,
        None => 1,
        Some(_) => 0,
    };
    (class, Reverse(order), row.waiting_since.as_micros(), lot)
}

fn favoured(bytes: u64, row: &Row) -> u64 {
    let percent = if row.unchoked_since.is_some() { 100 + HYSTERESIS_PERCENT } else { 100 };
    bytes.saturating_mul(percent)
}

#[cfg(test)]
mod tests;
