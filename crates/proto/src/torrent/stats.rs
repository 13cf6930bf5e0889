//! The torrent's figures, for whoever looks.

use super::{FoundHere, Torrent};
use crate::Instant;
use crate::stats::{PeerStats, TorrentStats, TrackerStats, WebSeedStats};
use wire::Bitfield;

impl Torrent {
    /// The torrent as it stands.
    pub fn stats(&self, now: Instant) -> TorrentStats {
        let pieces = self.picker.pieces();
        let known = self.is_known();
        let (mut rate_down, mut rate_up, mut seeds) = (0, 0, 0);
        for (_, peer) in self.peers.iter() {
            rate_down += peer.traffic.down.rate(now);
            rate_up += peer.traffic.up.rate(now);
            seeds += u32::from(peer.pieces.is_seed());
        }
        let (web_seeds, rate_of_web_seeds) = self.web_seeds.totals(now);
        rate_down += rate_of_web_seeds;
        TorrentStats {
            stage: self.stage.name(self.is_finished()),
            pieces_have: pieces.have_count(),
            metadata: self.metadata_progress(),
            pieces: if known { self.metainfo.layout.pieces() } else { 0 },
            wanted: if known { pieces.wanted_bytes() } else { 0 },
            wanted_have: self.wanted_have(),
            unverified: self.unverified(),
            pieces_durable: pieces.durable().count(),
            checked: self.stage.checked(),
            downloaded: self.totals.downloaded,
            uploaded: self.totals.uploaded,
            wasted: self.totals.wasted,
            rate_down,
            rate_up,
            peers: self.peers.count(),
            seeds,
            swarm: self.announcer.swarm(),
            candidates: u32::try_from(self.dialer.list.candidates()).unwrap_or(u32::MAX),
            web_seeds,
            seeding_for: self.goals.seeding_for(now),
            have_before: self.totals.found.unwrap_or_default().have,
            unverified_before: self.totals.found.unwrap_or_default().unverified,
            downloaded_before: self.totals.before.downloaded,
            uploaded_before: self.totals.before.uploaded,
        }
    }

    /// Its stage.
    pub fn stage(&self) -> crate::event::StageName {
        self.stage.name(self.is_finished())
    }

    /// What is here now, for the figures of what was here before this run.
    pub fn found_here(&self) -> FoundHere {
        FoundHere { have: self.wanted_have(), unverified: self.unverified() }
    }

    fn wanted_have(&self) -> u64 {
        let pieces = self.picker.pieces();
        pieces.wanted_bytes() - pieces.lacking_bytes()
    }

    /// Bytes of blocks that are here, of pieces that are not verified. A short last block counts as a whole one.
    fn unverified(&self) -> u64 {
        let layout = &self.metainfo.layout;
        let open = self.picker.pieces().open().iter();
        let bytes = open.map(|open| {
            let here = layout.blocks_in(open.piece).saturating_sub(open.absent());
            (u64::from(here) * u64::from(layout.block_len())).min(u64::from(layout.piece_len(open.piece)))
        });
        bytes.sum()
    }

    /// The linked peers.
    pub fn peer_stats(&self, now: Instant) -> Vec<PeerStats> {
        let total = self.metainfo.layout.pieces();
        let of = |peer: &crate::peer::Peer| PeerStats {
            link: peer.link,
            remote: peer.terms.remote.get(),
            peer_id: peer.terms.peer_id,
            client: peer.extensions.client.clone(),
            incoming: peer.terms.incoming,
            am_choking: peer.state.am_choking,
            am_interested: peer.state.am_interested,
            peer_choking: peer.state.peer_choking,
            peer_interested: peer.state.peer_interested,
            pieces: peer.pieces.count(total),
            downloaded: peer.traffic.down.total(),
            uploaded: peer.traffic.up.total(),
            rate_down: peer.traffic.down.rate(now),
            rate_up: peer.traffic.up.rate(now),
            requests_out: peer.pipeline.len(),
            requests_in: peer.uploads.len(),
        };
        self.peers.iter().map(|(_, peer)| of(peer)).collect()
    }

    /// The trackers.
    pub fn tracker_stats(&self, now: Instant) -> Vec<TrackerStats> {
        self.announcer.stats(now)
    }

    /// The web seeds.
    pub fn web_seed_stats(&self, now: Instant) -> Vec<WebSeedStats> {
        self.web_seeds.stats(now)
    }

    /// The verified pieces.
    pub fn have(&self) -> &Bitfield {
        self.picker.pieces().have()
    }
}
