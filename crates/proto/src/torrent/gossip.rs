//! Peers telling one another of peers: whom we name to whom, and what becomes of names that we hear. BEP: 11, 27.
//! Threats: C6, C10, G5
//!
//! What always holds: we name only peers that we are linked with and whose listening address we know, each once, and tell when
//! they have gone; nothing of this happens in a private torrent. How much is believed of a teller is the peer list's to say.

use super::Torrent;
use crate::cx::Cx;
use crate::extension::pex::{TELL_FIRST, TELL_INTERVAL, TELL_MAX, TOLD_MAX};
use crate::peer::Peer;
use crate::timers::TorrentTimer;
use crate::{Duration, Instant, PeerKey, address};
use core::net::SocketAddr;
use wire::extension::name;
use wire::pex::{PexFlags, PexMessage, PexPeer};

/// Peers are looked through at most this often, whoever is due.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);
/// Linked peers that are looked at in one sweep: four messages' worth, so that a sweep costs no more with thousands of links.
const NAMED_MAX: usize = 4 * TELL_MAX;

/// A linked peer as others may hear of it.
#[derive(Clone, Copy, Debug)]
struct Linked {
    key: PeerKey,
    peer: PexPeer,
}

impl Torrent {
    /// A peer introduced itself: if it listens to names, it is told of some soon.
    pub fn expect_names(&mut self, cx: &mut Cx<'_>, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(key).filter(|_| !self.metainfo.private) else { return };
        if peer.extensions.pex.next.is_none() && peer.extensions.speaks(name::PEX) {
            let at = cx.now + TELL_FIRST;
            peer.extensions.pex.next = Some(at);
            cx.timers.set_no_later(self.timer(TorrentTimer::Pex), at);
        }
    }

    /// Tells the peers whose minute is over what changed among our links.
    pub fn name_peers(&mut self, cx: &mut Cx<'_>) {
        if !self.stage.is_active() || self.metainfo.private {
            return;
        }
        let linked = self.nameable(cx);
        let due =
            |peer: &Peer| !peer.state.closing && peer.extensions.pex.next.is_some_and(|next| next <= cx.now);
        let due: Vec<PeerKey> = self.peers.iter().filter(|(_, peer)| due(peer)).map(|(key, _)| key).collect();
        for key in due {
            self.name_peers_to(cx, key, &linked);
        }
        let next: Option<Instant> = self.peers.iter().filter_map(|(_, peer)| peer.extensions.pex.next).min();
        let soonest = cx.now + SWEEP_INTERVAL;
        cx.timers.set_or_clear(self.timer(TorrentTimer::Pex), next.map(|next| next.max(soonest)));
    }

    /// Peers that can be named: beginning anywhere, so that with many links others are named each time.
    fn nameable(&self, cx: &mut Cx<'_>) -> Vec<Linked> {
        let name = |(key, peer): (PeerKey, &Peer)| {
            // A port below 1024 is refused by whoever hears of it (C10).
            let address = peer.listens().filter(|address| address.port() >= 1024 && !peer.state.closing)?;
            let wants_nothing = peer.pieces.is_seed() || peer.extensions.upload_only;
            let flags = PexFlags::default()
                .with(PexFlags::ENCRYPTION, peer.terms.encrypted)
                .with(PexFlags::UPLOAD_ONLY, wants_nothing)
                .with(PexFlags::REACHABLE, !peer.terms.incoming);
            Some(Linked { key, peer: PexPeer { address, flags } })
        };
        let mut linked: Vec<Linked> = self.peers.iter().filter_map(name).collect();
        let start = cx.rng.index(linked.len());
        linked.rotate_left(start);
        linked.truncate(NAMED_MAX);
        linked
    }

    fn name_peers_to(&mut self, cx: &mut Cx<'_>, key: PeerKey, linked: &[Linked]) {
        let Some(peer) = self.peers.get(key) else { return };
        let (pex, remote) = (&peer.extensions.pex, peer.terms.remote.get());
        let wants_nothing = peer.pieces.is_seed() || peer.extensions.upload_only;
        let news = |other: &&Linked| {
            let useless = wants_nothing && other.peer.flags.has(PexFlags::UPLOAD_ONLY);
            other.key != key && !useless && concerns(remote, other.peer.address) && !pex.knows(other.key)
        };
        let room = TELL_MAX.min(TOLD_MAX.saturating_sub(pex.told.len()));
        let added: Vec<Linked> = linked.iter().filter(news).take(room).copied().collect();
        let gone = pex.told.iter().copied().filter(|&told| self.peers.get(told).is_none());
        let gone: Vec<PeerKey> = gone.take(TELL_MAX).collect();
        let message = PexMessage {
            added: added.iter().map(|linked| linked.peer).collect(),
            dropped: gone.iter().filter_map(|&gone| self.peers.departed(gone)).collect(),
        };
        let Some(peer) = self.peers.get_mut(key) else { return };
        let keys: Vec<PeerKey> = added.iter().map(|linked| linked.key).collect();
        peer.extensions.pex.told(&keys, &gone);
        let wait = if message.is_empty() { SWEEP_INTERVAL } else { TELL_INTERVAL };
        peer.extensions.pex.next = Some(cx.now + wait);
        if message.is_empty() {
            return;
        }
        if let Some(message) = peer.extensions.message(name::PEX, message.encode().into()) {
            peer.send(cx, message);
        }
    }

    /// A peer names peers. Those that it says have gone stay known: only a dial can tell.
    pub fn on_named(&mut self, cx: &mut Cx<'_>, key: PeerKey, message: &PexMessage) {
        let Some(peer) = self.peers.get(key).filter(|_| !self.metainfo.private) else { return };
        let (teller, finished) = (peer.terms.remote.get(), self.is_finished());
        for &named in &message.added {
            // Two peers that want nothing have nothing for each other.
            if !(finished && named.flags.has(PexFlags::UPLOAD_ONLY)) {
                // Strangers name strange addresses; the list says which it takes.
                let Some(address) = address::as_told_by(teller, named.address) else { continue };
                let _ = self.dialer.list.told(teller, PexPeer { address, ..named }, cx.rng);
            }
        }
        self.arm_dialer(cx);
    }
}

/// Whether a peer can do anything with an address: those of private networks are nothing to who is outside, nor those of one cable to
/// who is on another.
fn concerns(peer: SocketAddr, address: SocketAddr) -> bool {
    let inside = address::block(peer.ip()).is_none();
    (inside || address::block(address.ip()).is_some()) && address::means_something_to(peer, address)
}
