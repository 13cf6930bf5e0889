//! Reaching out: which of the known peers to dial, how many at a time, and what came of it.
//!
//! What always holds: at most [`DIALS_MAX`] dials are under way, at most [`DIALS_PER_TICK`] begin per [`DIAL_TICK`], and each ends
//! in one link or one failure. Threats: C10, C12

use super::Torrent;
use super::debts::Debts;
use super::disgrace::Disgrace;
use super::peer_list::PeerList;
use crate::cx::Cx;
use crate::input::{DialFailure, PeerSource};
use crate::output::Need;
use crate::timers::TorrentTimer;
use crate::{DialHints, DialId, Duration, Event, Instant, Output, Rng, TorrentId};
use core::net::SocketAddr;

/// Dials of one torrent under way at once: more would only fill the kernel's and the home router's tables.
pub const DIALS_MAX: usize = 30;
/// Dials that begin together: with the tick, 20 a second, between Transmission's 18 and libtorrent's 30.
pub const DIALS_PER_TICK: usize = 10;
/// How often dials begin.
pub const DIAL_TICK: Duration = Duration::from_millis(500);

/// The known peers of a torrent and the dials under way.
#[derive(Debug)]
pub struct Dialer {
    torrent: TorrentId,
    /// Who is known.
    pub list: PeerList,
    /// Whose links are refused for a while.
    pub disgrace: Disgrace,
    /// Who took and had nothing to show for it.
    pub debts: Debts,
    /// Under way, in the order they began.
    dials: Vec<(DialId, SocketAddr)>,
    sequence: u32,
    /// When dials last began.
    ticked: Option<Instant>,
    /// What the finders were told last; nothing, if they are not to look.
    pub finding: Option<Need>,
}

impl Dialer {
    /// Nobody is known.
    pub fn new(torrent: TorrentId) -> Dialer {
        let (list, disgrace, debts) = (PeerList::new(), Disgrace::default(), Debts::default());
        let (dials, sequence) = (Vec::new(), 0);
        Dialer { torrent, list, disgrace, debts, dials, sequence, ticked: None, finding: None }
    }

    /// Our address as others see it, as far as we know.
    pub fn our_address(&self) -> Option<SocketAddr> {
        self.list.our_address()
    }

    /// Others see us at this address.
    pub fn set_our_address(&mut self, address: SocketAddr) {
        self.list.set_our_address(address);
    }

    /// A peer was named. Whether that is news; strangers name strange addresses, and the list says which it takes.
    pub fn found(&mut self, source: PeerSource, address: SocketAddr, rng: &mut Rng) -> bool {
        matches!(self.list.add(address, source, rng), Ok(true))
    }

    /// Whether nobody is being dialled, and nobody known will be until then.
    pub fn is_idle_until(&self, then: Instant) -> bool {
        self.dials.is_empty() && self.list.next_wake().is_none_or(|at| at > then)
    }

    /// How many dials are under way.
    pub fn under_way(&self) -> usize {
        self.dials.len()
    }

    /// A dial came to nothing.
    pub fn failed(&mut self, now: Instant, dial: DialId, why: DialFailure) {
        if let Some(at) = self.dials.iter().position(|&(under_way, _)| under_way == dial) {
            let address = self.take_dial(at);
            self.list.dial_failed(now, address, why);
        }
    }

    /// A link came up, perhaps by a dial of ours.
    pub fn landed(&mut self, now: Instant, dial: Option<DialId>, remote: SocketAddr) {
        let Some(at) = self.dials.iter().position(|&(under_way, _)| Some(under_way) == dial) else { return };
        let address = self.take_dial(at);
        if address == remote {
            self.list.linked(now, address);
        } else {
            self.list.dial_failed(now, address, DialFailure::NotTried);
        }
    }

    fn take_dial(&mut self, at: usize) -> SocketAddr {
        let (_, address) = self.dials.remove(at);
        // Dials are a matter of the first seconds: nothing is kept for them afterwards.
        if self.dials.is_empty() {
            self.dials = Vec::new();
        }
        address
    }

    fn next(&mut self, now: Instant) -> Option<Output> {
        let remote = self.list.next(now)?;
        let dial = DialId { torrent: self.torrent, sequence: self.sequence };
        self.sequence = self.sequence.wrapping_add(1);
        self.dials.push((dial, remote));
        let hints =
            DialHints { once: self.list.is_hearsay(remote), encrypted: self.list.is_said_to_encrypt(remote) };
        Some(Output::Dial { dial, remote, hints })
    }
}

impl Torrent {
    /// Peers were named.
    pub fn on_found_peers(&mut self, cx: &mut Cx<'_>, source: PeerSource, peers: &[SocketAddr]) {
        // BEP 27: a private torrent takes peers from its own trackers and its user alone.
        let may = match source {
            PeerSource::User | PeerSource::Tracker | PeerSource::Incoming | PeerSource::Resume => true,
            PeerSource::Lsd | PeerSource::Dht | PeerSource::Pex => !self.metainfo.private,
        };
        let mut new = 0;
        for &peer in peers.iter().filter(|_| may) {
            new += u32::from(self.dialer.found(source, peer, cx.rng));
        }
        if new > 0 && matches!(source, PeerSource::Lsd | PeerSource::Dht) {
            cx.tell(Event::PeersFound { torrent: self.id, source, peers: new });
        }
        self.arm_dialer(cx);
        self.consider_finding(cx);
    }

    /// Links that this torrent would like to have beyond those that are up or being dialled.
    pub fn links_wanted(&self, cx: &Cx<'_>) -> usize {
        let most = cx.config.links_per_torrent.min(cx.pool.lease.links);
        let used = self.peers.count() + self.dialer.under_way() as u32;
        let free = cx.pool.lease.links.saturating_sub(cx.pool.links + self.dialer.under_way() as u32);
        most.saturating_sub(used).min(free) as usize
    }

    /// Begins dials.
    pub fn dial(&mut self, cx: &mut Cx<'_>) {
        if !self.stage.is_active() {
            return;
        }
        let room = DIALS_MAX.saturating_sub(self.dialer.under_way()).min(DIALS_PER_TICK);
        for _ in 0..room.min(self.links_wanted(cx)) {
            let Some(output) = self.dialer.next(cx.now) else { break };
            cx.push(output);
        }
        self.dialer.ticked = Some(cx.now);
        self.arm_dialer(cx);
    }

    /// Sets the dialling timer, if there is anybody to dial and room for another link.
    pub fn arm_dialer(&mut self, cx: &mut Cx<'_>) {
        let may = self.stage.is_active() && self.dialer.under_way() < DIALS_MAX && self.links_wanted(cx) > 0;
        let next = self.dialer.list.next_wake().filter(|_| may);
        let ticked = self.dialer.ticked.map_or(cx.now, |ticked| ticked + DIAL_TICK);
        cx.timers.set_or_clear(self.timer(TorrentTimer::Dial), next.map(|at| at.max(ticked).max(cx.now)));
    }

    /// A dial came to nothing.
    pub fn on_dial_failed(&mut self, cx: &mut Cx<'_>, dial: DialId, why: DialFailure) {
        self.dialer.failed(cx.now, dial, why);
        self.arm_dialer(cx);
        self.consider_finding(cx);
        self.consider_hunger(cx);
    }
}
