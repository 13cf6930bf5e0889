//! What the user is told. Told once, in the order it happened; figures that change all the time are read from stats instead.

use crate::input::{PeerSource, Refusal};
use crate::output::CloseReason;
use crate::{DiskError, LinkId, TorrentId};
use core::net::SocketAddr;
use wire::PieceIndex;

/// Something the user may want to know.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// The stage of a torrent changed.
    Stage(TorrentId, StageName),
    /// The metadata has come from peers and is right: content and files are known (BEP 9).
    MetadataReceived(TorrentId),
    /// The metadata has come and is right, but the torrent cannot be used; it stops with this reason.
    MetadataUnusable {
        /// Which torrent.
        torrent: TorrentId,
        /// Text for the user.
        why: Box<str>,
    },
    /// The metadata has come and is right, but its content is not begun, for a reason on our side; it stops.
    ContentRefused {
        /// Which torrent.
        torrent: TorrentId,
        /// What stands against it.
        refusal: Refusal,
        /// Text for the user.
        why: Box<str>,
    },
    /// A piece was verified.
    PieceDone(TorrentId, PieceIndex),
    /// A piece failed its hash and is fetched again.
    PieceFailed(TorrentId, PieceIndex),
    /// All wanted pieces are verified.
    Finished(TorrentId),
    /// All wanted pieces are on stable storage and committed: it is safe to pull the plug.
    Durable(TorrentId),
    /// The seeding goal was reached; the torrent pauses.
    SeedGoalReached(TorrentId),
    /// A peer joined.
    PeerJoined(TorrentId, LinkId, SocketAddr),
    /// A peer left, or we left it.
    PeerLeft(TorrentId, LinkId, CloseReason),
    /// A peer is refused from now on.
    PeerBanned(TorrentId, SocketAddr),
    /// A tracker answered: how many peers it named.
    TrackerAnswered {
        /// For which torrent.
        torrent: TorrentId,
        /// Index among the torrent's trackers, all tiers in order.
        tracker: u16,
        /// How many peers it named.
        peers: u32,
    },
    /// A tracker did not, and why; the session will try again.
    TrackerFailed {
        /// For which torrent.
        torrent: TorrentId,
        /// Index among the torrent's trackers, all tiers in order.
        tracker: u16,
        /// Text of the tracker or of the driver. A stranger's text: show it through `DisplaySafe` only.
        why: Box<str>,
    },
    /// Peers that were not known before were found without a tracker.
    PeersFound {
        /// For which torrent.
        torrent: TorrentId,
        /// By local discovery, or in the DHT.
        source: PeerSource,
        /// How many.
        peers: u32,
    },
    /// A web seed did not give what it was asked for, and why. It is asked again later, unless it is dropped.
    WebSeedFailed {
        /// Of which torrent.
        torrent: TorrentId,
        /// Index among the torrent's web seeds.
        seed: u8,
        /// What happened. May quote the server: show it through `DisplaySafe` only.
        why: Box<str>,
        /// It is not asked again in this run.
        dropped: bool,
    },
    /// Storage failed: the torrent is paused with this reason, and tries again by itself where that can help.
    StorageFailed(TorrentId, DiskError),
    /// A removed torrent is gone; its id is free.
    Removed(TorrentId),
    /// After `Command::Shutdown`: nothing is left to save.
    Stopped,
}

/// The stages of a torrent by name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum StageName {
    /// Only the hash is known: fetching the metadata from peers.
    FetchingMetadata,
    /// Looking at what is on disk.
    Opening,
    /// Hashing what is on disk.
    Checking,
    /// Fetching.
    Downloading,
    /// Everything wanted is here; serving.
    Seeding,
    /// Stopped by the user or by a goal.
    Paused,
    /// Stopped by a fault, named in the event that told of it.
    Failed,
}
