//! Figures that change all the time: read when someone looks, never pushed.

use crate::event::StageName;
use crate::{Duration, LinkId};
use core::net::SocketAddr;
use wire::PeerId;

/// One torrent as it stands.
#[derive(Clone, PartialEq, Debug)]
pub struct TorrentStats {
    /// Its stage.
    pub stage: StageName,
    /// While the metadata is fetched and somebody says how large it is: bytes of it that are here, and all.
    pub metadata: Option<(u32, u32)>,
    /// Pieces verified.
    pub pieces_have: u32,
    /// Pieces in all; 0 while the metadata is not here.
    pub pieces: u32,
    /// Bytes of wanted content.
    pub wanted: u64,
    /// Bytes of wanted content that are verified.
    pub wanted_have: u64,
    /// Bytes of blocks held of pieces that are not verified yet, in memory or spilled.
    pub unverified: u64,
    /// Pieces on stable storage that the resume record vouches for.
    pub pieces_durable: u32,
    /// Pieces hashed as they lie on disk, this run: while checking, how far it is.
    pub checked: u32,
    /// Payload bytes received, this run.
    pub downloaded: u64,
    /// Payload bytes sent, this run.
    pub uploaded: u64,
    /// Payload bytes that were received and thrown away: duplicates, late or unasked blocks, failed pieces.
    pub wasted: u64,
    /// Payload bytes per second in, over the last seconds.
    pub rate_down: u64,
    /// Payload bytes per second out, over the last seconds.
    pub rate_up: u64,
    /// Linked peers.
    pub peers: u32,
    /// Linked peers that have everything.
    pub seeds: u32,
    /// The whole swarm as its trackers count it; of several trackers the one with the most peers.
    pub swarm: Option<SwarmCounts>,
    /// Peers known but not linked.
    pub candidates: u32,
    /// Web seeds that are being fetched from.
    pub web_seeds: u32,
    /// Time spent since completion, this run.
    pub seeding_for: Duration,
    /// Bytes of wanted content that were here, verified, when this run began to fetch or to serve; 0 until then.
    pub have_before: u64,
    /// Bytes of blocks of unfinished pieces that were here then.
    pub unverified_before: u64,
    /// Payload bytes received in earlier runs, as the resume record has them.
    pub downloaded_before: u64,
    /// Payload bytes sent in earlier runs, as the resume record has them.
    pub uploaded_before: u64,
}

/// One linked peer as it stands.
#[derive(Clone, PartialEq, Debug)]
pub struct PeerStats {
    /// The link.
    pub link: LinkId,
    /// Where it is.
    pub remote: SocketAddr,
    /// What it calls itself.
    pub peer_id: PeerId,
    /// Client and version as the extension handshake names them; a stranger's text.
    pub client: Option<Box<str>>,
    /// The peer came to us.
    pub incoming: bool,
    /// We choke it.
    pub am_choking: bool,
    /// We want something from it.
    pub am_interested: bool,
    /// It chokes us.
    pub peer_choking: bool,
    /// It wants something from us.
    pub peer_interested: bool,
    /// Pieces it has.
    pub pieces: u32,
    /// Payload bytes received from it.
    pub downloaded: u64,
    /// Payload bytes sent to it.
    pub uploaded: u64,
    /// Payload bytes per second from it.
    pub rate_down: u64,
    /// Payload bytes per second to it.
    pub rate_up: u64,
    /// Our requests that it has not answered.
    pub requests_out: u32,
    /// Its requests that we have not answered.
    pub requests_in: u32,
}

/// How many take part in a torrent, in a tracker's eyes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SwarmCounts {
    /// Peers that have everything.
    pub seeds: u32,
    /// Peers that lack something.
    pub leechers: u32,
    /// Downloads that were ever completed, if it was asked for that and said so (BEP 48, 15).
    pub downloads: Option<u32>,
}

/// One tracker of a torrent as it stands.
#[derive(Clone, PartialEq, Debug)]
pub struct TrackerStats {
    /// Its URL, as the torrent has it; a stranger's text.
    pub url: std::sync::Arc<str>,
    /// Which tier (BEP 12).
    pub tier: u16,
    /// The last visit came to nothing, and why.
    pub failure: Option<Box<str>>,
    /// How many take part, if it said; a stranger's numbers.
    pub swarm: Option<SwarmCounts>,
    /// Until the next visit; `None` while one is under way.
    pub next: Option<Duration>,
}

/// One web seed of a torrent as it stands.
#[derive(Clone, PartialEq, Debug)]
pub struct WebSeedStats {
    /// Its URL, as the torrent has it; a stranger's text.
    pub url: std::sync::Arc<str>,
    /// How we stand with it.
    pub state: WebSeedState,
    /// Payload bytes received from it.
    pub downloaded: u64,
    /// Payload bytes per second from it.
    pub rate_down: u64,
    /// Pieces of it that were wrong.
    pub pieces_bad: u8,
    /// The last fetch came to nothing, and why.
    pub failure: Option<Box<str>>,
}

/// How we stand with a web seed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WebSeedState {
    /// It may be asked, and nothing is to be asked for.
    Idle,
    /// Ranges are on their way.
    Fetching,
    /// It failed, and is asked again after this long.
    Waiting(Duration),
    /// It is not asked again.
    Dropped,
}

/// What a session could use, for the divider of limits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Demand {
    /// Bytes per second out that would leave if they might.
    pub up: u64,
    /// Bytes per second in that would come if they might.
    pub down: u64,
    /// Peers interested in us.
    pub interested: u32,
    /// Links we have.
    pub links: u32,
    /// Links we would like.
    pub links_wanted: u32,
    /// Bytes of unwritten payload.
    pub buffered: u64,
}
