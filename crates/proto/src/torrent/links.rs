//! Links as they come and go: who is let in, what is said first, what is returned when a peer has gone, silence.
//!
//! What always holds: every link that is refused or given up is closed exactly once; a peer that goes leaves no request, no
//! timer and no count behind. BEP: 3, 6, 10, 21, 40. Threats: C4, C12

use super::Torrent;
use super::peer_list::{Parting, priority};
use crate::cx::Cx;
use crate::extension::handshake::{self, PeerExchange};
use crate::input::{DialFailure, LinkEnd, LinkUp};
use crate::output::CloseReason;
use crate::peer::upload_queue::Leaving;
use crate::peer::{AllowedFast, Peer, Terms};
use crate::pool::Reader;
use crate::timers::Timer;
use crate::{Duration, Event, Output, PeerKey, PeerMisbehaved};
use core::net::{IpAddr, SocketAddr};
use wire::{Message, Reserved};

/// A peer that says nothing for this long is gone: BEP 3's two minutes.
pub const SILENCE_MAX: Duration = Duration::from_secs(120);
/// Pieces that a choked newcomer may have: what libtorrent gives.
pub const ALLOWED_FAST_COUNT: u32 = 5;
/// But no more than one of so many, or a crowd of newcomers would drain whoever has a small torrent.
const ALLOWED_FAST_SHARE: u32 = 32;
/// We say something at least this often, so that others do not think so of us.
pub const KEEP_ALIVE: Duration = Duration::from_secs(90);

impl Torrent {
    /// A link came up. Returns the peer's key, or closes the link.
    pub fn on_link_up(&mut self, cx: &mut Cx<'_>, up: &LinkUp) -> Option<PeerKey> {
        if let Err(why) = self.admit(cx, up) {
            self.refuse(cx, up, why);
            return None;
        }
        self.dialer.landed(cx.now, up.dial, up.remote);
        let terms = Terms::new(up.remote, up.peer_id, up.dial.is_none(), up.reserved);
        let terms = Terms { encrypted: up.encrypted, ..terms };
        let mut peer = Peer::new(cx.config, &self.metainfo.layout, cx.now, up.link, terms, self.haves.head());
        if !self.is_known() {
            peer.metadata.early = Some(Box::default());
        }
        let Some(key) = self.peers.insert(peer) else {
            cx.push(Output::Close { link: up.link, why: CloseReason::Limit });
            return None;
        };
        cx.pool.links += 1;
        self.dialer.list.linked(cx.now, up.remote);
        if !is_shared(up.remote.ip()) {
            self.blame.returned(key, up.remote.ip());
        }
        self.recall_debt(cx, key);
        cx.tell(Event::PeerJoined(self.id, up.link, up.remote));
        self.greet(cx, key, up.reserved);
        self.go_on_super_seeding(cx);
        self.arm_peer(cx, key);
        self.arm_dialer(cx);
        self.consider_finding(cx);
        self.consider_hunger(cx);
        Some(key)
    }

    /// Closes a link that is not welcome. It never was a peer, so no word about its end comes either: its candidate goes back now.
    fn refuse(&mut self, cx: &mut Cx<'_>, up: &LinkUp, why: CloseReason) {
        cx.push(Output::Close { link: up.link, why });
        let linked = self.is_linked_to(up.remote);
        match (why, up.dial) {
            // No fault of the candidate: it is dialled again when there is use for it.
            (CloseReason::TorrentStopped | CloseReason::Limit, Some(dial)) if !linked => {
                self.dialer.failed(cx.now, dial, DialFailure::NotTried);
            }
            // A second port of a host that we are linked to, say: another try would end the same way.
            _ => {
                self.dialer.landed(cx.now, up.dial, up.remote);
                if !linked {
                    self.dialer.list.parted(cx.now, up.remote, Parting::Useless);
                }
            }
        }
        if why == CloseReason::Ourselves {
            self.dialer.list.add_ourselves(up.remote);
        }
        self.arm_dialer(cx);
    }

    /// Whether a link is up to who listens at this address.
    fn is_linked_to(&self, address: SocketAddr) -> bool {
        self.peers.iter().any(|(_, peer)| !peer.state.closing && peer.listens() == Some(address))
    }

    /// Whether a link is welcome.
    fn admit(&mut self, cx: &mut Cx<'_>, up: &LinkUp) -> Result<(), CloseReason> {
        if !self.stage.is_active() {
            return Err(CloseReason::TorrentStopped);
        }
        if up.peer_id == cx.config.peer_id {
            return Err(CloseReason::Ourselves);
        }
        let ip = up.remote.ip();
        if self.dialer.list.is_banned(ip) || up.dial.is_none() && self.dialer.disgrace.covers(cx.now, ip) {
            return Err(CloseReason::Banned);
        }
        self.part_duplicates(cx, up)?;
        let full = self.peers.count() >= cx.config.links_per_torrent || cx.pool.links >= cx.pool.lease.links;
        if full && !self.make_room(cx, up.remote) {
            return Err(CloseReason::Limit);
        }
        Ok(())
    }

    /// One link per host, but that many clients may share an address of a local network, where the peer id tells them apart. Of two
    /// links that two peers dialled to each other at once both ends must keep the same: the one that the greater id began.
    fn part_duplicates(&mut self, cx: &mut Cx<'_>, up: &LinkUp) -> Result<(), CloseReason> {
        let (ours, theirs) = (cx.config.peer_id, up.peer_id);
        let same = |peer: &Peer| {
            let same_peer = peer.terms.peer_id == theirs && peer.terms.remote.ip() == up.remote.ip();
            !peer.state.closing && (same_peer || is_same_host(peer.terms.remote.get(), up.remote))
        };
        let Some((key, before)) = self.peers.iter().find(|(_, peer)| same(peer)) else { return Ok(()) };
        let crossed = before.terms.peer_id == theirs && before.terms.incoming == up.dial.is_some();
        if !crossed || up.dial.is_some() != (ours > theirs) {
            return Err(CloseReason::Duplicate);
        }
        self.close(cx, key, CloseReason::Duplicate);
        Ok(())
    }

    /// When links are scarce, the newcomer takes the place of a peer that serves neither side and whose address has a
    /// lower claim (BEP 40: both ends compute the same claim, so that the swarm's links become a random graph).
    fn make_room(&mut self, cx: &mut Cx<'_>, newcomer: SocketAddr) -> bool {
        let idle = |peer: &Peer| {
            let serves_us = peer.state.am_interested && !peer.state.peer_choking;
            let is_served = peer.state.peer_interested && !peer.state.am_choking;
            let moves = serves_us || is_served || peer.state.closing;
            !moves && cx.now.since(peer.clocks.linked) >= SILENCE_MAX
        };
        let ours = self.dialer.our_address();
        let claim = |address: SocketAddr| ours.map_or(0, |ours| priority::priority(ours, address));
        let weakest = self.peers.iter().filter(|(_, peer)| idle(peer));
        let weakest = weakest.map(|(key, peer)| (claim(peer.terms.remote.get()), key)).max();
        match weakest {
            // A higher number is a lower claim.
            Some((theirs, key)) if ours.is_none() || theirs > claim(newcomer) => {
                self.close(cx, key, CloseReason::Limit);
                true
            }
            Some(_) | None => false,
        }
    }

    /// The first words: who we are, what we have, what may be asked for in spite of a choke.
    fn greet(&mut self, cx: &mut Cx<'_>, key: PeerKey, theirs: Reserved) {
        let (metadata_size, hides) = (self.metadata_size(), self.is_super_seeding());
        let Some(peer) = self.peers.get_mut(key) else { return };
        let pieces = self.picker.pieces();
        if peer.terms.extended {
            // Who shows its pieces one by one must not be taken for a seed (BEP 16).
            let upload_only = pieces.lacking_count() == 0 && !hides;
            let exchange = PeerExchange::of(self.metainfo.private);
            let introduction =
                handshake::message(cx.config, cx.pool.listening, upload_only, exchange, metadata_size);
            peer.send(cx, introduction);
        }
        let have = if hides { 0 } else { pieces.have_count() };
        let node = cx.pool.dht.filter(|_| theirs.dht() && !self.metainfo.private);
        let total = self.metainfo.layout.pieces();
        match have {
            0 if peer.terms.fast => peer.send(cx, Message::HaveNone),
            0 => {}
            _ if have == total && peer.terms.fast => peer.send(cx, Message::HaveAll),
            _ => peer.send(cx, Message::Bitfield(pieces.have().to_bytes().into())),
        }
        if let Some(port) = node {
            peer.send(cx, Message::Port(port));
        }
        // Who owes gets no more of it by hanging up and dialling again.
        let owes = peer.traffic.appetite.is_in_vain(self.metainfo.layout.piece_len_max(), 0);
        if peer.terms.fast && have > 0 && !owes {
            let (ip, hash) = (peer.terms.remote.ip(), self.metainfo.info_hash);
            let count = (total / ALLOWED_FAST_SHARE).clamp(1, ALLOWED_FAST_COUNT) as usize;
            peer.fast.ours = AllowedFast::new(ip, hash, &self.metainfo.layout, count);
            peer.fast.ours.retain(|piece| pieces.have().has(piece));
            for piece in peer.fast.ours.pieces().to_vec() {
                peer.send(cx, Message::AllowedFast(piece.0));
            }
        }
    }

    /// The last word about a link.
    pub fn on_link_down(&mut self, cx: &mut Cx<'_>, key: PeerKey, end: LinkEnd) {
        let Some(mut peer) = self.peers.remove(key) else { return };
        cx.pool.links = cx.pool.links.saturating_sub(1);
        cx.timers.clear(Timer::Peer(self.id, key));
        let mut released = Vec::new();
        peer.pipeline.release_all(&mut released);
        for block in released {
            self.picker.release(block, key);
        }
        self.picker.peer_left(key, &peer.pieces);
        self.lost_receiver(cx, key, peer.pieces.is_seed());
        self.blame.departed(key, peer.terms.remote.ip());
        self.remember_debt(cx, &peer);
        // The driver answers every token before this; what a fault left over must not clog the uplink.
        for Leaving { block, since, .. } in peer.uploads.take_sending() {
            peer.sending.finish(cx.now, since, block.len, false);
            cx.pool.uplink.done(cx.now, since, block.len, false);
        }
        cx.pool.unread.retain(|&reader| reader != Reader::Link(peer.link));
        if peer.state.peer_interested {
            self.peers.interested = self.peers.interested.saturating_sub(1);
        }
        if !peer.state.am_choking {
            self.peers.unchoked = self.peers.unchoked.saturating_sub(1);
            cx.pool.choke_soon = true;
        }
        let (why, parting) = match end {
            LinkEnd::Closed(why @ CloseReason::Misbehaved(_)) => (why, Parting::Misbehaved),
            LinkEnd::Closed(why @ CloseReason::Useless) => (why, Parting::Useless),
            LinkEnd::Closed(why) => (why, Parting::Ended),
            LinkEnd::Malformed => (CloseReason::Gone, Parting::Misbehaved),
            LinkEnd::ByPeer | LinkEnd::Broken => (CloseReason::Gone, Parting::Ended),
        };
        // Where many share an address the innocent would be refused with the guilty.
        if parting == Parting::Misbehaved && !is_shared(peer.terms.remote.ip()) {
            self.dialer.disgrace.add(cx.now, peer.terms.remote.ip());
        }
        // Of two links that crossed, one goes and the other stays: its peer has not parted.
        if let Some(address) = peer.listens().filter(|&address| !self.is_linked_to(address)) {
            self.dialer.list.parted(cx.now, address, parting);
        }
        cx.tell(Event::PeerLeft(self.id, peer.link, why));
        self.forget_source(cx, key);
        self.arm_dialer(cx);
        self.consider_finding(cx);
        self.consider_hunger(cx);
        self.refill_starved(cx);
    }

    /// Ends a link. What was on its way counts as lost at once; the driver's last word comes with `LinkDown`.
    pub fn close(&mut self, cx: &mut Cx<'_>, key: PeerKey, why: CloseReason) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        if core::mem::replace(&mut peer.state.closing, true) {
            return;
        }
        cx.push(Output::Close { link: peer.link, why });
        cx.timers.clear(Timer::Peer(self.id, key));
        self.release_all(key);
        self.forget_source(cx, key);
    }

    /// Ends the link of a peer that broke the protocol.
    pub fn misbehaved(&mut self, cx: &mut Cx<'_>, key: PeerKey, fault: PeerMisbehaved) {
        let Some(peer) = self.peers.get(key) else { return };
        if fault.bans() {
            let remote = peer.terms.remote.get();
            self.ban(cx, remote);
        }
        self.close(cx, key, CloseReason::Misbehaved(fault));
    }

    /// Refuses a host from now on. Told once, however much more is found out about it.
    pub fn ban(&mut self, cx: &mut Cx<'_>, remote: SocketAddr) {
        if self.dialer.list.is_banned(remote.ip()) {
            return;
        }
        self.dialer.list.ban(remote.ip());
        cx.tell(Event::PeerBanned(self.id, remote));
    }

    /// Leaves everybody.
    pub fn close_all(&mut self, cx: &mut Cx<'_>, why: CloseReason) {
        for key in self.peers.keys() {
            self.close(cx, key, why);
        }
    }

    /// Bytes moved over a link that are no block's payload.
    pub fn on_overhead(&mut self, cx: &mut Cx<'_>, key: PeerKey, received: u32, sent: u32) {
        if let Some(peer) = self.peers.get_mut(key).filter(|_| received > 0) {
            peer.clocks.heard = cx.now;
        }
        cx.pool.up.charge(cx.now, u64::from(sent));
        self.charge_reading(cx, key, received);
    }

    /// A peer's clocks: a request out of time, silence, a keep-alive.
    pub fn on_peer_timer(&mut self, cx: &mut Cx<'_>, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(key).filter(|peer| !peer.state.closing) else { return };
        // Whom we do not read we cannot blame for silence.
        let unread = cx.pool.unread.contains(&Reader::Link(peer.link));
        if !unread && peer.clocks.heard + SILENCE_MAX <= cx.now {
            return self.close(cx, key, CloseReason::Idle);
        }
        if peer.clocks.said + KEEP_ALIVE <= cx.now {
            peer.send(cx, Message::KeepAlive);
        }
        if unread {
            return cx.timers.set(Timer::Peer(self.id, key), peer.clocks.said + KEEP_ALIVE);
        }
        self.expire_requests(cx, key);
        self.arm_peer(cx, key);
    }

    /// A link that was not read for a while, as our allowance was spent, is read again: its clocks begin anew.
    pub fn on_read_again(&mut self, cx: &mut Cx<'_>, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        peer.clocks.heard = cx.now;
        peer.pipeline.read_again(cx.now);
        self.picker.heard(key, cx.now);
        peer.extensions.pex.read_again(cx.now, peer.clocks.linked);
        self.arm_peer(cx, key);
    }

    /// Sets a peer's timer to the first of its clocks.
    pub fn arm_peer(&mut self, cx: &mut Cx<'_>, key: PeerKey) {
        let Some(peer) = self.peers.get(key).filter(|peer| !peer.state.closing) else { return };
        let idle = (peer.clocks.heard + SILENCE_MAX).min(peer.clocks.said + KEEP_ALIVE);
        let next = peer.pipeline.check_at().map_or(idle, |deadline| deadline.min(idle));
        cx.timers.set(Timer::Peer(self.id, key), next);
    }
}

/// One link per host, but on one machine or one local network many clients may share an address.
fn is_same_host(a: SocketAddr, b: SocketAddr) -> bool {
    if a == b {
        return true;
    }
    let (a, b) = (a.ip().to_canonical(), b.ip().to_canonical());
    a == b && !is_shared(a)
}

/// Whether many clients may have this address.
fn is_shared(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}
