//! Peer exchange: "these are the peers that I am linked with". What passed between us and one peer of it; whom to name and
//! what to make of names is the torrent's. BEP: 11. Threats: C6
//!
//! Invariants: we say nothing sooner than [`TELL_INTERVAL`] after we last did; what comes too soon is not read, and a peer that
//! goes on is left; of what we told only keys are kept, [`TOLD_MAX`] at most.

use super::ExtensionReport;
use crate::seldom::Blank;
use crate::{Duration, Instant, PeerKey, PeerMisbehaved};
use wire::pex::PexMessage;

/// BEP 11: at most one message a minute.
pub const TELL_INTERVAL: Duration = Duration::from_secs(60);
/// How soon after its introduction a peer is told first: a few links have come up by then.
pub const TELL_FIRST: Duration = Duration::from_secs(5);
/// BEP 11: at most this many peers come, and as many gone, in one message.
pub const TELL_MAX: usize = 50;
/// Peers that one peer was told of and that it is told of when they go. More than twice as many as a torrent links to.
pub const TOLD_MAX: usize = 200;
/// A message that comes sooner after the one before is not read. A minute, less what a message may wait behind blocks.
pub const HEAR_INTERVAL: Duration = Duration::from_secs(45);
/// Messages that came too soon and are forgiven; each that comes in time earns one back.
pub const EARLY_MAX: u8 = 3;

/// What a message says.
pub fn receive(body: &[u8]) -> Result<ExtensionReport, PeerMisbehaved> {
    let read = PexMessage::decode(body).map_err(|_| PeerMisbehaved::ExtensionMalformed)?;
    Ok(ExtensionReport::Pex(Box::new(read)))
}

/// Peer exchange with one peer.
#[derive(Clone, Debug, Default)]
pub struct PexDealings {
    /// When it may be told again; `None` until it said that it listens.
    pub next: Option<Instant>,
    /// Whom it was told of and not that they went, sorted.
    pub told: Vec<PeerKey>,
    heard: Option<Instant>,
    early: u8,
    /// Messages that may come at once, as they piled up while we did not read.
    piled: u8,
}

impl Blank for PexDealings {
    const BLANK: &'static PexDealings =
        &PexDealings { next: None, told: Vec::new(), heard: None, early: 0, piled: 0 };
}

impl PexDealings {
    /// A message came; says whether it is to be read.
    ///
    /// # Errors
    /// When the peer does not stop talking.
    pub fn heard(&mut self, now: Instant) -> Result<bool, PeerMisbehaved> {
        // Counted from the last one whether it was read or not: who talks twice a minute is not read every other time.
        let before = self.heard.replace(now);
        if before.is_some_and(|before| now.since(before) < HEAR_INTERVAL) {
            if let Some(left) = self.piled.checked_sub(1) {
                self.piled = left;
                return Ok(false);
            }
            self.early += 1;
            return if self.early > EARLY_MAX { Err(PeerMisbehaved::PexTooOften) } else { Ok(false) };
        }
        self.early = self.early.saturating_sub(1);
        Ok(true)
    }

    /// We read what the peer sends again: what it may have sent since it was last heard, or since it was `linked`, comes at once.
    pub fn read_again(&mut self, now: Instant, linked: Instant) {
        let unread = now.since(self.heard.unwrap_or(linked)).as_secs() / HEAR_INTERVAL.as_secs();
        self.piled = self.piled.max(u8::try_from(unread).unwrap_or(u8::MAX));
    }

    /// Whether the peer was told of this one and not that it went.
    pub fn knows(&self, key: PeerKey) -> bool {
        self.told.binary_search(&key).is_ok()
    }

    /// The peer was told of these, and that those went.
    pub fn told(&mut self, added: &[PeerKey], gone: &[PeerKey]) {
        self.told.retain(|key| !gone.contains(key));
        self.told.extend_from_slice(added);
        self.told.sort_unstable();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(second: u64) -> Instant {
        Instant::from_micros(1_000_000 * second)
    }

    #[test]
    fn what_piled_up_while_we_did_not_read_is_forgiven() {
        for heard_before in [false, true] {
            let mut pex = PexDealings::default();
            if heard_before {
                assert_eq!(pex.heard(second(5)), Ok(true));
            }
            // Ten messages in ten minutes, and all of them are read at once; we stop again in their midst.
            pex.read_again(second(605), Instant::ZERO);
            let mut read = 0;
            for count in 0..10 {
                read += u32::from(pex.heard(second(605 + count / 5)).unwrap());
                pex.read_again(second(605 + count / 5), Instant::ZERO);
            }
            assert_eq!(read, 1);
        }
    }

    #[test]
    fn a_flood_ends_the_link_however_often_we_do_not_read() {
        let mut pex = PexDealings::default();
        let fault = (0..2_000).find_map(|count| {
            pex.read_again(second(count), Instant::ZERO);
            pex.heard(second(count)).err()
        });
        assert_eq!(fault, Some(PeerMisbehaved::PexTooOften));
        // One that was patient for an hour is forgiven as many as it could have sent.
        let mut pex = PexDealings::default();
        pex.read_again(second(3_600), Instant::ZERO);
        let most = (0..).take_while(|_| pex.heard(second(3_600)).is_ok()).count();
        assert_eq!(most, 1 + 3_600 / 45 + usize::from(EARLY_MAX));
    }

    #[test]
    fn a_message_a_minute_is_read_and_a_flood_ends_the_link() {
        // (seconds between messages, how many are read of 20, whether the link ends)
        for (gap, read, ends) in
            [(60, 20, false), (50, 20, false), (45, 20, false), (44, 1, true), (30, 1, true), (0, 1, true)]
        {
            let mut pex = PexDealings::default();
            let mut seen = 0;
            let mut ended = false;
            for count in 0..20 {
                match pex.heard(Instant::from_micros(1_000_000 * (5 + gap * count))) {
                    Ok(true) => seen += 1,
                    Ok(false) => {}
                    Err(fault) => {
                        assert_eq!(fault, PeerMisbehaved::PexTooOften);
                        ended = true;
                        break;
                    }
                }
            }
            assert_eq!(ended, ends, "every {gap} s");
            assert_eq!(seen, read, "every {gap} s");
        }
    }
}
