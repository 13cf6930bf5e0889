//! How a peer behaves: what one message may be forgiven, and when forgiveness ends. Counts; closes nothing.
//!
//! Every message costs something, and the purse fills with time, so that no honest peer ever empties it and no flood lasts.
//! Threats: C3, C6.

use crate::extension::metadata::METADATA_ID;
use crate::{Instant, PeerMisbehaved};
use wire::Message;

/// What a peer may say at once. A client that introduces itself, allows ten pieces and toggles its mind stays far below.
pub const PURSE_MAX: u32 = 4_000;
/// What the purse earns a second: libtorrent sends hundreds of haves a second at most, and requests cost nothing here.
pub const PURSE_PER_SECOND: u32 = 200;
/// Haves for pieces that it had told us of before: one round of everything is forgiven, then the purse pays.
pub const COST_REPEATED_HAVE: u32 = 1;
/// New pieces for which another bitfield is worth its reading; aria2 sends one for twenty.
pub const BITFIELD_NEWS_MIN: usize = 8;
/// Blocks we never asked for. What crosses with cancels and time-outs is remembered as late and does not count, so only few are
/// forgiven: 256 KiB.
pub const UNREQUESTED_MAX: u32 = 16;
/// So many blocks that we wait for make up for one that we do not: who sends all twice is closed all the same.
const REQUESTED_PER_UNREQUESTED: u32 = 8;
/// Requests while we choke it and it must know: what was on its way when we choked, twice over (BEP 3 practice).
pub const CHOKED_REQUESTS_MAX: u32 = 1_000;
/// Rejects of what we did not ask, or cancelled: each of our cancels may meet one.
pub const UNREQUESTED_REJECTS_MAX: u32 = 1_000;

/// Requests beyond the `reqq` that we advertise, each rejected: clients that do not read `reqq` send 2,000 at most.
pub const EXCESS_REQUESTS_MAX: u32 = 4_000;

/// Forgiveness that is left.
#[derive(Clone, Debug)]
pub struct Conduct {
    counted: Instant,
    purse: u32,
    unrequested: u16,
    choked_requests: u16,
    rejects: u16,
    excess: u16,
}

impl Conduct {
    /// A peer that has not said anything.
    pub fn new(now: Instant) -> Conduct {
        Conduct { purse: PURSE_MAX, counted: now, unrequested: 0, choked_requests: 0, rejects: 0, excess: 0 }
    }

    /// Counts a message.
    pub fn heard(&mut self, now: Instant, message: &Message) -> Result<(), PeerMisbehaved> {
        let cost = match message {
            // What moves content has limits of its own.
            Message::Have(_) | Message::Request(_) | Message::Reject(_) => 0,
            // Each is a walk through the queue, and perhaps a reject. At the end of a download peers take back a window or two of
            // requests at once, and a player that seeks does so time and again: far from what the purse holds.
            Message::Cancel(_) => 1,
            Message::KeepAlive | Message::Choke | Message::Unchoke | Message::Interested => 1,
            Message::NotInterested | Message::Port(_) | Message::Suggest(_) | Message::AllowedFast(_) => 1,
            Message::Unknown(_) | Message::Bitfield(_) | Message::HaveAll | Message::HaveNone => 1,
            // A large torrent's metadata is asked for in two thousand of these, and has limits of its own.
            Message::Extended { id: METADATA_ID, body } if body.len() < 1024 => 1,
            Message::Extended { body, .. } => 10 + u32::try_from(body.len() / 1024).unwrap_or(PURSE_MAX),
        };
        self.earn(now);
        self.pay(cost)
    }

    /// It sent another bitfield over this many pieces. Reading it takes as long as the torrent is large: little news costs.
    pub fn announced_again(&mut self, now: Instant, pieces: u32, new: usize) -> Result<(), PeerMisbehaved> {
        self.earn(now);
        self.pay(if new < BITFIELD_NEWS_MIN { 1 + pieces / 1024 } else { 0 })
    }

    /// It told us of a piece again.
    pub fn repeated(&mut self, now: Instant) -> Result<(), PeerMisbehaved> {
        self.earn(now);
        self.pay(COST_REPEATED_HAVE)
    }

    /// It sent a block that we do not wait for.
    pub fn sent_unrequested(&mut self) -> Result<(), PeerMisbehaved> {
        self.unrequested += REQUESTED_PER_UNREQUESTED as u16 - 1;
        let most = UNREQUESTED_MAX * REQUESTED_PER_UNREQUESTED;
        count(&mut self.unrequested, most, PeerMisbehaved::UnrequestedBlock)
    }

    /// It sent a block that we wait for: a part of a stray block more is forgiven.
    pub fn sent_requested(&mut self) {
        self.unrequested = self.unrequested.saturating_sub(1);
    }

    /// It asked although we choke it.
    pub fn asked_while_choked(&mut self) -> Result<(), PeerMisbehaved> {
        count(&mut self.choked_requests, CHOKED_REQUESTS_MAX, PeerMisbehaved::RequestsWhileChoked)
    }

    /// We unchoked it: what it asked before is forgotten.
    pub fn unchoked(&mut self) {
        self.choked_requests = 0;
    }

    /// It rejected what we do not wait for.
    pub fn rejected_unrequested(&mut self) -> Result<(), PeerMisbehaved> {
        count(&mut self.rejects, UNREQUESTED_REJECTS_MAX, PeerMisbehaved::UnrequestedReject)
    }

    /// It asked although as many of its requests wait as we said we take.
    pub fn asked_too_much(&mut self) -> Result<(), PeerMisbehaved> {
        count(&mut self.excess, EXCESS_REQUESTS_MAX, PeerMisbehaved::TooManyRequests)
    }

    fn earn(&mut self, now: Instant) {
        let seconds = now.since(self.counted).as_secs();
        if seconds > 0 {
            let earned = u32::try_from(seconds).unwrap_or(u32::MAX).saturating_mul(PURSE_PER_SECOND);
            self.purse = self.purse.saturating_add(earned).min(PURSE_MAX);
            self.counted = now;
        }
    }

    fn pay(&mut self, cost: u32) -> Result<(), PeerMisbehaved> {
        self.purse = self.purse.checked_sub(cost).ok_or(PeerMisbehaved::Flood)?;
        Ok(())
    }
}

/// No bound is near the end of two bytes, and who is above one says nothing any more.
fn count(counter: &mut u16, max: u32, fault: PeerMisbehaved) -> Result<(), PeerMisbehaved> {
    *counter = counter.saturating_add(1);
    if u32::from(*counter) > max { Err(fault) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Duration;

    #[test]
    fn a_flood_ends_the_link_and_a_steady_talker_never_does() {
        let mut conduct = Conduct::new(Instant::ZERO);
        let mut said = 0;
        while conduct.heard(Instant::ZERO, &Message::KeepAlive).is_ok() {
            said += 1;
        }
        assert_eq!(said, PURSE_MAX);
        let mut conduct = Conduct::new(Instant::ZERO);
        let mut now = Instant::ZERO;
        for _ in 0..10 * PURSE_MAX {
            now += Duration::from_secs(1) / (PURSE_PER_SECOND - 10);
            assert_eq!(conduct.heard(now, &Message::Unchoke), Ok(()));
        }
    }
}
