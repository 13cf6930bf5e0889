//! Outputs as bytes, to compare two runs: never read back, only digested. One list per type, as for inputs.

use super::code::{Put, put};
use crate::event::{Event, StageName};
use crate::output::{Announce, AnnounceEvent, Fetch, Need, Output, Scrape};
use crate::{Instant, Outbox};
use wire::Block;

put! { enum Output {
    0 Dial { dial, remote, hints },
    1 Close { link, why },
    2 Send { link, message },
    3 Haves { link, pieces },
    4 SendBlock { token, torrent, block },
    5 Unsend { token },
    6 PauseReading { link },
    7 ResumeReading { link },
    8 Keep { payload, torrent, block },
    9 Drop { payload },
    10 Open { torrent, wanted },
    11 Check { torrent, pieces },
    12 Verify { torrent, piece, attempt, key, digests },
    13 Write { torrent, piece, attempt },
    14 Spill { torrent, piece, attempt, blocks, key },
    15 Discard { torrent, piece, attempt },
    16 Sync { torrent, epoch },
    17 Commit { torrent, epoch, record },
    18 Want { torrent, wanted },
    19 CloseStorage { torrent },
    20 Announce(visit),
    44 Scrape(scrape),
    21 FindPeers { torrent, info_hash, need },
    45 StopFinding { torrent, info_hash },
    46 MeetNode(node),
    22 Event(event),
    40 Fetch(fetch),
    41 CancelFetch { fetch },
    42 PauseFetch { fetch },
    43 ResumeFetch { fetch },
    23 KeepMetadata { payload, torrent, size, piece },
    24 AssembleMetadata { torrent, size },
    25 DiscardMetadata { torrent, size },
    26 SendMetadata { token, torrent, id, piece },
} }
put! { struct Announce {
    announce, tracker, url, event, uploaded, downloaded, left, want, key, tracker_id,
} }
put! { struct Need { seed, hungry } }
put! { struct Scrape { scrape, tracker, url } }
put! { struct Fetch { fetch, url, range } }
impl Put for core::ops::Range<u64> {
    fn put(&self, to: &mut Vec<u8>) {
        (self.start, self.end).put(to);
    }
}
put! { enum AnnounceEvent { 0 None, 1 Started, 2 Completed, 3 Stopped, 4 Paused } }
put! { enum Event {
    0 Stage(torrent, stage),
    1 PieceDone(torrent, piece),
    2 PieceFailed(torrent, piece),
    3 Finished(torrent),
    4 Durable(torrent),
    5 SeedGoalReached(torrent),
    6 PeerJoined(torrent, link, remote),
    7 PeerLeft(torrent, link, why),
    8 PeerBanned(torrent, remote),
    9 TrackerAnswered { torrent, tracker, peers },
    10 TrackerFailed { torrent, tracker, why },
    11 StorageFailed(torrent, error),
    12 Removed(torrent),
    13 Stopped,
    40 WebSeedFailed { torrent, seed, why, dropped },
    14 MetadataReceived(torrent),
    15 MetadataUnusable { torrent, why },
    41 PeersFound { torrent, source, peers },
    16 ContentRefused { torrent, refusal, why },
} }
put! { enum StageName { 0 Opening, 1 Checking, 2 Downloading, 3 Seeding, 4 Paused, 5 Failed, 6 FetchingMetadata } }
put! { struct Block { piece, offset, len } }

/// A running 128-bit digest of what a session wanted and when: equal for two runs if, for all that chance allows, they
/// were the same byte for byte. Not for adversaries.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OutputDigest {
    state: u128,
    /// The bytes of one batch; kept for its room.
    scratch: Vec<u8>,
}

impl Default for OutputDigest {
    fn default() -> OutputDigest {
        // Pi, so that an empty run is no zero.
        OutputDigest { state: 0x243f_6a88_85a3_08d3_1319_8a2e_0370_7344, scratch: Vec::new() }
    }
}

impl OutputDigest {
    /// The digest of nothing.
    pub fn new() -> OutputDigest {
        OutputDigest::default()
    }

    /// Adds what one call of `handle` left in the outbox.
    pub fn add(&mut self, now: Instant, outbox: &Outbox) {
        self.scratch.clear();
        now.put(&mut self.scratch);
        outbox.as_slice().put(&mut self.scratch);
        for chunk in self.scratch.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.state = mix(self.state ^ u128::from(u64::from_le_bytes(word)));
        }
        // The length too, so that zeros at the end count.
        self.state = mix(self.state ^ (self.scratch.len() as u128) << 64);
    }

    /// The digest so far.
    pub fn value(&self) -> u128 {
        self.state
    }
}

/// A permutation of 128 bits: an odd factor carries low bits up, the shift brings high bits down.
fn mix(state: u128) -> u128 {
    let product = state.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    product ^ (product >> 67)
}
