//! Recounts a torrent: its peers, who is asked for what, what we believe of others and said to them, memory.

use super::Torrent;
use crate::audit::Doubts;
use crate::peer::Peer;
use crate::pool::Reader;
use crate::timers::{Timer, Timers, TorrentTimer};
use crate::{Duration, Instant, LinkId, PeerKey};
use wire::PieceIndex;

/// What a torrent contributes to counts of the session.
#[derive(Clone, Copy, Default, Debug)]
pub struct Share {
    /// Links.
    pub links: u32,
    /// Bytes reserved in memory.
    pub buffered: u64,
    /// Bytes of blocks on their way out.
    pub sending: u64,
}

/// A peer's timer is set when its pipeline fills, not with each block; its patience may shrink since, from the most to the least.
const LATE_MAX: Duration = Duration::from_secs(20);

impl Torrent {
    /// Holds counts and beliefs against what they are about. `unread` says which links are not read at the moment.
    pub fn audit(
        &self,
        now: Instant,
        timers: &Timers,
        unread: impl Fn(Reader) -> bool,
        doubts: &mut Doubts,
    ) -> Share {
        let count =
            |wanted: fn(&Peer) -> bool| self.peers.iter().filter(|(_, peer)| wanted(peer)).count() as u32;
        doubts.same("peers", self.peers.count(), count(|_| true));
        doubts.same(
            "peers that are interested",
            self.peers.interested,
            count(|peer| peer.state.peer_interested),
        );
        doubts.same("peers that are served", self.peers.unchoked, count(|peer| !peer.state.am_choking));
        doubts.same("bytes reserved", self.totals.buffered, self.picker.pieces().reserved_bytes());
        if self.is_known() {
            let peers_with =
                |piece| self.peers.iter().filter(|(_, peer)| peer.pieces.has(piece)).count() as u32;
            self.picker.audit(peers_with, doubts);
            self.audit_debts(doubts);
        }
        let mut sending = 0;
        for (key, peer) in self.peers.iter() {
            sending += self.audit_uploads(peer, doubts);
            if !peer.state.closing {
                let unread = unread(Reader::Link(peer.link));
                self.audit_timer(now, key, peer, timers, unread, doubts);
                self.audit_beliefs(key, peer, timers, doubts);
            }
        }
        Share { links: self.peers.count(), buffered: self.totals.buffered, sending }
    }

    /// The link of a peer, if it is here.
    pub fn link_of(&self, key: PeerKey) -> Option<LinkId> {
        self.peers.get(key).map(|peer| peer.link)
    }

    /// Whoever is said to be asked for a block is.
    fn audit_debts(&self, doubts: &mut Doubts) {
        for (debtor, block) in self.picker.debts() {
            if debtor.web_seed().is_some() {
                continue;
            }
            let asked = self.peers.get(debtor).is_some_and(|peer| peer.pipeline.is_asked(block));
            doubts.must(asked, || format!("{block:?} is said to be asked of {debtor:?}, and is not"));
        }
        for (key, peer) in self.peers.iter().filter(|(_, peer)| !peer.pipeline.is_snubbed()) {
            // A snubbed peer's one block is nobody's; when it is back that one may be on its way still.
            let unknown = peer.pipeline.blocks().filter(|&block| !self.picker.knows_of(block)).count();
            doubts.must(unknown <= 1, || {
                format!("{key:?} is asked for {unknown} blocks that the picker takes for free")
            });
        }
    }

    fn audit_uploads(&self, peer: &Peer, doubts: &mut Doubts) -> u64 {
        let on_way = peer.uploads.bytes_on_their_way();
        let (said, link) = (u64::from(peer.sending.credit.in_flight()), peer.link);
        doubts
            .must(said == on_way, || format!("{link:?}: says {said} bytes are on their way, it is {on_way}"));
        let next =
            peer.uploads.peek().filter(|next| !peer.state.closing && peer.sending.credit.has_room(next.len));
        // With something on its way it is looked at again when that has left.
        doubts.must(next.is_none() || peer.sending.enlisted || said > 0, || {
            format!("{link:?} waits for {next:?}, has room for it, and no place in line")
        });
        on_way
    }

    fn audit_timer(
        &self,
        now: Instant,
        key: PeerKey,
        peer: &Peer,
        timers: &Timers,
        unread: bool,
        doubts: &mut Doubts,
    ) {
        let at = timers.at(Timer::Peer(self.id, key));
        doubts.must(at.is_some(), || format!("{key:?} has no timer"));
        // Who is not read is not held to time.
        if let (Some(at), Some(due), false) = (at, peer.pipeline.check_at(), unread) {
            doubts.must(at <= due.max(now) + LATE_MAX, || {
                format!("{key:?} is looked at in {at:?}, its requests are due in {due:?}")
            });
        }
    }

    fn audit_beliefs(&self, key: PeerKey, peer: &Peer, timers: &Timers, doubts: &mut Doubts) {
        // Without the fast extension a choke ends all that was asked for (BEP 3).
        let forgotten = peer.state.peer_choking && !peer.terms.fast;
        doubts.must(!forgotten || peer.pipeline.is_empty(), || {
            format!("{key:?} chokes us, and is said to be asked for {} blocks", peer.pipeline.len())
        });
        let total = self.metainfo.layout.pieces();
        let theirs = || (0..total).map(PieceIndex).filter(|&piece| peer.pieces.has(piece));
        let wants = self.stage.is_active()
            && self.is_known()
            && theirs().any(|piece| self.picker.pieces().lacking().has(piece));
        // While blocks are on their way interest is not withdrawn: a peer might choke us at once.
        let stays = !wants && !peer.pipeline.is_empty();
        doubts.must_soon(stays || wants == peer.state.am_interested, || {
            format!("{key:?}: wants something of it: {wants}; said so: {}", peer.state.am_interested)
        });
        let untold = peer.haves_told != self.haves.head();
        let told_soon = timers.at(Timer::Torrent(self.id, TorrentTimer::Haves)).is_some();
        doubts.must(!untold || told_soon, || format!("{key:?} was not told of new pieces, and will not be"));
        // Nothing is asked of a peer that serves us, for no reason at all.
        let idle = wants && !peer.state.peer_choking && peer.pipeline.is_empty() && peer.pipeline.room() > 0;
        let may = self.stage.is_fetching() && !self.waits_for_memory() && !self.blame.is_on_parole(key);
        doubts.must_soon(!idle || !may || !theirs().any(|piece| self.picker.has_free(piece)), || {
            format!("{key:?} serves us and is asked for nothing, although there is something to ask for")
        });
    }
}
