//! What a client tells a tracker, as values; [`crate::tracker_http`] and [`crate::tracker_udp`] put it into bytes.
//!
//! Says nothing of when to announce or what to make of the answer. BEP: 3, 15, 21

use crate::{InfoHash, PeerId};

/// Most peers that are read from one answer. Nobody asks for more than 200; 4,096 fit a generous tracker and bound a liar.
pub const PEERS_MAX: usize = 4096;

/// Longest text that is kept of a tracker (a refusal, a warning, an id), in bytes.
pub const TEXT_LEN_MAX: usize = 1024;

/// One visit to a tracker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AnnounceRequest {
    /// Which torrent.
    pub info_hash: InfoHash,
    /// What we call ourselves.
    pub peer_id: PeerId,
    /// Where we listen.
    pub port: u16,
    /// Payload bytes sent since `Started`.
    pub uploaded: u64,
    /// Payload bytes received since `Started`.
    pub downloaded: u64,
    /// Bytes still wanted.
    pub left: u64,
    /// What this visit says.
    pub event: AnnounceEvent,
    /// How many peers we would like; `None` leaves it to the tracker.
    pub want: Option<u32>,
    /// Stays the same while our address changes.
    pub key: Option<u32>,
}

/// What a visit says.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum AnnounceEvent {
    /// A regular visit.
    #[default]
    None,
    /// We have begun.
    Started,
    /// We have just completed the download.
    Completed,
    /// We leave. The answer is of no use; a driver waits for it at most 2 s.
    Stopped,
    /// We are a partial seed (BEP 21).
    Paused,
}

/// A stranger's text as ours: at most [`TEXT_LEN_MAX`] bytes of it, what is no UTF-8 replaced. Not yet safe to display.
pub(crate) fn text(bytes: &[u8]) -> Box<str> {
    let kept = bytes.get(..TEXT_LEN_MAX).unwrap_or(bytes);
    String::from_utf8_lossy(kept).into()
}
