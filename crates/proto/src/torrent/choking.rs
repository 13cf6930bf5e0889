//! The torrent's part in choosing whom to serve: it describes its peers to the choker and does what the verdict says. BEP: 3

use super::Torrent;
use crate::choker::{Choker, Row, Terms};
use crate::cx::Cx;
use crate::peer::Peer;
use crate::{Duration, Instant, PeerKey};

/// A peer that we wait for and that sent nothing for this long snubs us (BEP 3 practice).
const SNUB_AFTER: Duration = Duration::from_secs(60);

/// What a drain may have of us while we fetch, in bytes a second of all its links: enough for an honest client that keeps to itself
/// what it took from us, and for a hundred such no more than one line's worth.
const TRICKLE: u64 = 64 * 1024;

impl Torrent {
    /// Holds a round for this many slots.
    pub fn choke_round(&mut self, cx: &mut Cx<'_>, slots: u32) {
        if self.is_super_seeding() {
            return self.super_seed_round(cx, slots);
        }
        let rows: Vec<Row> = self
            .peers
            .iter()
            .filter(|(_, peer)| matters(peer))
            .map(|(key, peer)| self.row(cx, key, peer))
            .collect();
        let terms = Terms {
            slots: if self.stage.is_active() { slots } else { 0 },
            seeding: self.is_finished().then_some(cx.config.seed_policy),
            piece_len: self.metainfo.layout.piece_len_max(),
            optimistic_interval: cx.config.optimistic_interval,
        };
        let verdict = self.choker.round(cx.now, &rows, &terms, cx.rng);
        // Chokes first, so that no more than the slots are served at any time.
        for row in rows.iter().filter(|row| !verdict.unchokes(row.peer)) {
            self.set_choking(cx, row.peer, true);
        }
        for row in rows.iter().filter(|row| verdict.unchokes(row.peer)) {
            self.set_choking(cx, row.peer, false);
        }
    }

    /// Whether a round has anything to decide here.
    pub fn wants_round(&self) -> bool {
        self.peers.interested > 0
            || self.peers.unchoked > 0
            || self.is_super_seeding() && self.peers.count() > 0
    }

    /// How many peers want something from us; to whom nothing is shown yet cannot say so (BEP 16).
    pub fn interested(&self) -> u32 {
        match self.is_super_seeding() {
            true => self.receivers_wanted(),
            false => self.peers.interested,
        }
    }

    /// Whether the last block of this length ended a peer's turn, so that a round should be held now (round robin of seeds).
    pub fn has_had_its_turn(&self, key: PeerKey, last: u32) -> bool {
        let quota = Choker::quota(self.metainfo.layout.piece_len_max());
        let had = |peer: &Peer| {
            let sent = peer.traffic.sent_since_unchoke;
            sent >= quota && sent - u64::from(last) < quota
        };
        self.is_finished() && self.peers.get(key).is_some_and(had)
    }

    /// While we fetch, a drain is served no longer, from this block on: on a fast line as much as there is would leave before the
    /// next round, and take the time of what is to come (threat C8).
    pub fn stop_drain(&mut self, cx: &mut Cx<'_>, key: PeerKey) {
        let stops = |peer: &Peer| self.drains(cx.now, peer) && peer.traffic.down.window(cx.now) == 0;
        if !self.is_finished() && self.peers.get(key).is_some_and(stops) {
            self.set_choking(cx, key, true);
        }
    }

    /// Takes in vain, and more than the trickle that it may have: it may be a client that tells nobody what we have already.
    fn drains(&self, now: Instant, peer: &Peer) -> bool {
        let appetite = &peer.traffic.appetite;
        let here = now.since(peer.clocks.linked) + appetite.here_before();
        let forgiven = peer.traffic.down.total().saturating_add(here.as_secs().saturating_mul(TRICKLE));
        appetite.owes_more_than(self.metainfo.layout.piece_len_max(), forgiven)
    }

    fn takes_in_vain(&self, peer: &Peer) -> bool {
        let given = peer.traffic.down.total();
        peer.traffic.appetite.is_in_vain(self.metainfo.layout.piece_len_max(), given)
    }

    fn row(&self, cx: &Cx<'_>, key: PeerKey, peer: &Peer) -> Row {
        let total = u64::from(self.metainfo.layout.pieces());
        let have = u64::from(peer.pieces.count(self.metainfo.layout.pieces()));
        let quiet_since = peer.pipeline.last_heard();
        Row {
            peer: key,
            interested: peer.state.peer_interested,
            unchoked_since: (!peer.state.am_choking).then_some(peer.clocks.choked),
            waiting_since: peer.clocks.choked,
            joined: peer.clocks.linked,
            received: peer.traffic.down.window(cx.now),
            sent: peer.traffic.up.window(cx.now),
            sent_since_unchoke: peer.traffic.sent_since_unchoke,
            snubs_us: !peer.pipeline.is_empty() && quiet_since + SNUB_AFTER <= cx.now,
            takes_in_vain: self.takes_in_vain(peer),
            drains: self.drains(cx.now, peer),
            progress_permille: (have * 1000 / total) as u32,
        }
    }
}

/// Only these have something to gain or lose.
fn matters(peer: &Peer) -> bool {
    !peer.state.closing && (peer.state.peer_interested || !peer.state.am_choking)
}
