//! The lines that programs read (docs/json.md). A field is never renamed or taken away under the same `v`; new ones may come.

use crate::failure::Failure;
use gannet::{LinkEncryption, LinkedPeer, SwarmCounts};
use serde::Serialize;
use wire::DisplaySafe;

/// The version of these lines.
pub(crate) const VERSION: u32 = 1;

/// A line of those commands that say everything in one closed set of lines.
#[derive(Serialize)]
pub(crate) struct Line<S> {
    v: u32,
    #[serde(flatten)]
    said: S,
}

impl<S> Line<S> {
    /// The line that says this.
    pub(crate) fn new(said: S) -> Line<S> {
        Line { v: VERSION, said }
    }
}

/// Prints a line.
pub(crate) fn print(line: &impl Serialize) -> Result<(), Failure> {
    super::print(&(serde_json::to_string(line).map_err(Failure::plain)? + "\n"))
}

/// How far a torrent is.
#[derive(Serialize)]
pub(crate) struct Progress<'a> {
    pub(crate) v: u32,
    pub(crate) r#type: &'static str,
    pub(crate) info_hash: &'a str,
    pub(crate) stage: &'static str,
    #[serde(flatten)]
    pub(crate) content: Content,
    #[serde(flatten)]
    pub(crate) traffic: Traffic,
    pub(crate) eta: Option<u64>,
}

/// What of a torrent is here.
#[derive(Serialize)]
pub(crate) struct Content {
    pub(crate) size: u64,
    pub(crate) have: u64,
    pub(crate) held: u64,
    pub(crate) unverified: u64,
    pub(crate) durable: bool,
    pub(crate) checked: u32,
}

/// What comes and goes.
#[derive(Serialize)]
pub(crate) struct Traffic {
    pub(crate) downloaded: u64,
    pub(crate) uploaded: u64,
    pub(crate) wasted: u64,
    pub(crate) rate_down: u64,
    pub(crate) rate_up: u64,
    pub(crate) peers: u32,
    pub(crate) seeds: u32,
    pub(crate) web_seeds: u32,
    pub(crate) swarm: Option<Swarm>,
}

/// How many take part, as trackers count.
#[derive(Serialize)]
pub(crate) struct Swarm {
    pub(crate) seeds: u32,
    pub(crate) leechers: u32,
    pub(crate) downloads: Option<u32>,
}

impl Swarm {
    /// The counts as a tracker told them.
    pub(crate) fn of(counts: SwarmCounts) -> Swarm {
        let SwarmCounts { seeds, leechers, downloads } = counts;
        Swarm { seeds, leechers, downloads }
    }
}

/// What a torrent starts from: what an earlier run left, or what lay there.
#[derive(Serialize)]
pub(crate) struct Resumed<'a> {
    pub(crate) v: u32,
    pub(crate) r#type: &'static str,
    pub(crate) info_hash: &'a str,
    pub(crate) have: u64,
    pub(crate) unverified: u64,
    pub(crate) checked: u32,
}

/// Where peers reach us, and what we are called.
#[derive(Serialize)]
pub(crate) struct Listening {
    pub(crate) v: u32,
    pub(crate) r#type: &'static str,
    pub(crate) addresses: Vec<String>,
    pub(crate) peer_id: String,
}

/// Who is linked.
#[derive(Serialize)]
pub(crate) struct Peers<'a> {
    pub(crate) v: u32,
    pub(crate) r#type: &'static str,
    pub(crate) info_hash: &'a str,
    pub(crate) peers: Vec<PeerLine>,
}

/// One linked peer.
#[derive(Serialize)]
pub(crate) struct PeerLine {
    pub(crate) address: String,
    pub(crate) peer_id: String,
    pub(crate) client: Option<String>,
    pub(crate) incoming: bool,
    pub(crate) encryption: &'static str,
    pub(crate) pieces: u32,
    pub(crate) downloaded: u64,
    pub(crate) uploaded: u64,
    pub(crate) rate_down: u64,
    pub(crate) rate_up: u64,
}

impl PeerLine {
    /// A peer as it stands.
    pub(crate) fn of(linked: &LinkedPeer) -> PeerLine {
        let peer = &linked.stats;
        PeerLine {
            address: peer.remote.to_string(),
            peer_id: peer.peer_id.to_string(),
            client: peer.client.as_ref().map(|client| DisplaySafe::new(&**client).to_string()),
            incoming: peer.incoming,
            encryption: match linked.encryption {
                LinkEncryption::None => "none",
                LinkEncryption::Handshake => "handshake",
                LinkEncryption::Rc4 => "rc4",
                LinkEncryption::Private => "private",
            },
            pieces: peer.pieces,
            downloaded: peer.downloaded,
            uploaded: peer.uploaded,
            rate_down: peer.rate_down,
            rate_up: peer.rate_up,
        }
    }
}

/// Peers that are no links because of encryption.
#[derive(Serialize)]
pub(crate) struct TurnedAway {
    pub(crate) v: u32,
    pub(crate) r#type: &'static str,
    pub(crate) why: &'static str,
    pub(crate) count: u64,
}

/// Something happened to a torrent; the fields that do not apply are absent.
#[derive(Serialize, Default)]
pub(crate) struct Happened<'a> {
    pub(crate) v: u32,
    pub(crate) r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) info_hash: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) piece: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tracker: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) peers: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) source: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) web_seed: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dropped: Option<bool>,
}
