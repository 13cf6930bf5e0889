//! The network thread: one loop, its links, and where it performs what the session wants.
//!
//! `event_loop` is the loop; `receive` and `send` are its two directions, `perform` what the machines want of it. `inbound`
//! and `outbound` are the two halves of a link, `pieces` is where payload lies in between, `inbox` who talks to the loop.

pub(crate) mod beacon;
mod dht;
pub(crate) mod event_loop;
mod inbound;
pub(crate) mod inbox;
mod lease;
mod links;
pub(crate) mod listen;
mod lsd;
mod machine;
pub(crate) mod metadata;
mod neighbours;
mod outbound;
mod perform;
mod pieces;
mod private;
mod receive;
pub(crate) mod recorder;
mod records;
mod sealed;
mod send;
mod shaking;
pub(crate) mod torrents;
mod udp;
mod web;

use crate::client::shared::Shared;
use crate::disk::Disk;
use crate::edge::Edge;
use inbox::Answerer;
use proto::stats::PeerStats;
use proto::{Event, TorrentId};
use std::sync::Arc;
use torrents::Entry;
use wire::PeerId;
use wire::private::SwarmKey;

pub use shaking::LinkEncryption;

/// A linked peer as it stands.
#[derive(Clone, PartialEq, Debug)]
pub struct LinkedPeer {
    /// What is said over the link.
    pub stats: PeerStats,
    /// How its bytes look.
    pub encryption: LinkEncryption,
}

/// What a loop works with but does not own.
pub(crate) struct Outside {
    /// What we call ourselves.
    pub(crate) peer_id: PeerId,
    /// What all links are sealed under, if they are private.
    pub(crate) swarm_key: Option<SwarmKey>,
    /// Files.
    pub(crate) disk: Disk,
    /// Trackers.
    pub(crate) edge: Arc<Edge>,
    /// Where work off the loop answers.
    pub(crate) answerer: Answerer,
    /// What the client's handles see.
    pub(crate) shared: Arc<Shared>,
}

impl Outside {
    /// A torrent is gone: it is forgotten, then it can be added again, here or by another process, and the user is told. Of what
    /// was lent there is nothing to forget; a record by that name is of another run.
    fn removed(&self, torrent: TorrentId, entry: Entry) {
        let shared = Arc::clone(&self.shared);
        self.edge.off_loop(move || {
            if entry.claim.is_some()
                && let Err(error) = shared.state.remove(entry.info_hash)
            {
                tracing::error!(%error, "a removed torrent will be back after a restart");
            }
            drop(entry);
            shared.removed(torrent);
            shared.events.announce(&Event::Removed(torrent));
        });
    }

    /// The loop has ended.
    fn end(self) {
        drop(self.disk);
        self.shared.events.close();
    }
}
