//! The torrent's dealings with its trackers: what it tells them, and what it makes of their answers. When and whom is the announcer's
//! to say. BEP: 3, 7, 12, 21, 24, 31, 48

use super::Torrent;
use crate::announce::{Answered, Failed, Figures, Hunger, Step};
use crate::config::SuperSeeding;
use crate::cx::Cx;
use crate::extension::upload_only;
use crate::input::{AnnounceFailure, AnnounceReply, PeerSource};
use crate::timers::TorrentTimer;
use crate::{AnnounceId, Event, Output, ScrapeId};
use core::net::SocketAddr;
use wire::extension::name;
use wire::tracker_udp::ScrapeCounts;

/// Peers that we ask trackers for: what most of them give at most.
const PEERS_WANTED: u32 = 200;
/// Other seeds, as trackers count, with which nobody waits for us.
const SEEDS_ENOUGH: u32 = 4;

impl Torrent {
    /// Visits trackers that are due.
    pub fn visit_trackers(&mut self, cx: &mut Cx<'_>) {
        let active = self.stage.is_active();
        let wanted = if active { self.links_wanted(cx) } else { 0 };
        self.announcer.set_hunger(self.hunger(wanted));
        let pieces = self.picker.pieces();
        let have_all = pieces.have_count() == self.metainfo.layout.pieces();
        let figures = Figures {
            uploaded: self.totals.uploaded,
            downloaded: self.totals.downloaded,
            left: if have_all { 0 } else { pieces.lacking_bytes().max(1) },
            want: if wanted > 0 { PEERS_WANTED } else { 0 },
            partial_seed: !have_all && pieces.lacking_count() == 0,
        };
        while let Some(step) = self.announcer.poll(cx.now, &figures, cx.rng) {
            match step {
                Step::Visit(announce) => cx.push(Output::Announce(announce)),
                Step::Scrape(scrape) => cx.push(Output::Scrape(scrape)),
                Step::TimedOut(failed) => self.tell_failed(cx, failed),
            }
        }
        cx.timers.set_or_clear(self.timer(TorrentTimer::Announce), self.announcer.next_wake());
    }

    /// A dial or a link came to an end, or a link came: if that changed how much we need others, trackers may be due.
    pub fn consider_hunger(&mut self, cx: &mut Cx<'_>) {
        let wanted = self.links_wanted(cx);
        if self.stage.is_active() && self.announcer.hunger() != self.hunger(wanted) {
            self.visit_trackers(cx);
        }
    }

    fn hunger(&self, wanted: usize) -> Hunger {
        let list = &self.dialer.list;
        if wanted == 0 || self.is_finished() {
            Hunger::Fed
        } else if self.peers.count() == 0 && !list.is_empty() && !list.knows_untried() {
            Hunger::Alone
        } else if list.candidates() == 0 {
            Hunger::Few
        } else {
            Hunger::Fed
        }
    }

    /// A visit ended.
    pub fn on_announced(
        &mut self,
        cx: &mut Cx<'_>,
        announce: AnnounceId,
        outcome: Result<AnnounceReply, AnnounceFailure>,
    ) {
        match self.announcer.answered(cx.now, announce, outcome, cx.rng) {
            Some(Ok(Answered { tracker, reply })) => {
                let peers = u32::try_from(reply.peers.len()).unwrap_or(u32::MAX);
                cx.tell(Event::TrackerAnswered { torrent: self.id, tracker, peers });
                if let (Some(ip), Some(port)) = (reply.external_ip, cx.pool.listening) {
                    self.dialer.set_our_address(SocketAddr::new(ip, port));
                }
                self.on_swarm_counted(cx);
                self.on_found_peers(cx, PeerSource::Tracker, &reply.peers);
            }
            Some(Err(failed)) => self.tell_failed(cx, failed),
            None => {}
        }
        self.visit_trackers(cx);
    }

    /// A tracker was asked for its counts. One that does not tell them is no worse a tracker for that.
    pub fn on_scraped(
        &mut self,
        cx: &mut Cx<'_>,
        scrape: ScrapeId,
        outcome: &Result<ScrapeCounts, AnnounceFailure>,
    ) {
        self.announcer.scraped(scrape, outcome);
        self.on_swarm_counted(cx);
    }

    /// Whoever is one seed of many does as any seed does.
    fn on_swarm_counted(&mut self, cx: &mut Cx<'_>) {
        if cx.config.super_seeding == SuperSeeding::Auto && self.is_well_seeded() {
            self.end_super_seeding(cx);
        }
    }

    /// Other seeds are enough, and outnumber who needs them, so that nobody needs a first copy of us. A few that call themselves
    /// seeds may be liars.
    pub fn is_well_seeded(&self) -> bool {
        let others = self.announcer.other_seeds();
        others >= SEEDS_ENOUGH && self.announcer.swarm().is_some_and(|swarm| others > swarm.leechers)
    }

    /// The user wants to ask now.
    pub fn reannounce(&mut self, cx: &mut Cx<'_>) {
        self.announcer.reannounce();
        self.visit_trackers(cx);
        self.find_again(cx);
    }

    /// Tells the peers that we want nothing more, or do again (BEP 21).
    pub fn announce_upload_only(&mut self, cx: &mut Cx<'_>) {
        let body = upload_only::body(self.is_finished() && !self.is_super_seeding());
        for (_, peer) in self.peers.iter_mut() {
            if let Some(message) = peer.extensions.message(name::UPLOAD_ONLY, body.clone()) {
                peer.send(cx, message);
            }
        }
    }

    fn tell_failed(&mut self, cx: &mut Cx<'_>, failed: Failed) {
        let Failed { tracker, why } = failed;
        cx.tell(Event::TrackerFailed { torrent: self.id, tracker, why });
    }
}
