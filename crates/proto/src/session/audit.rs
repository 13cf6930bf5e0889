//! Recounts a session: what its torrents share, and who is behind which link.

use super::Session;
use crate::audit::Doubts;
use crate::torrent::audit::Share;

impl Session {
    /// Recounts everything: see [`crate::audit`]. For tests, and for drivers in debug builds. Walks all pieces of all peers.
    pub fn audit(&self) -> Doubts {
        let mut doubts = Doubts::default();
        let mut sum = Share::default();
        for entry in self.torrents.values() {
            let unread = |reader| self.pool.unread.contains(&reader);
            let share = entry.torrent.audit(self.now, &self.timers, unread, &mut doubts);
            sum.links += share.links;
            sum.buffered += share.buffered;
            sum.sending += share.sending;
        }
        doubts.same("links", self.pool.links, sum.links);
        doubts.same("bytes reserved by all torrents", self.pool.buffered, sum.buffered);
        doubts.same("bytes on their way out", self.pool.uplink.in_flight(), sum.sending);
        for (link, &(torrent, key)) in self.links.iter() {
            let there = self.torrents.get(torrent).and_then(|entry| entry.torrent.link_of(key));
            doubts
                .must(there == Some(link), || format!("{link:?} leads to {key:?}, whose link is {there:?}"));
        }
        doubts.same("links with a peer", self.links.len() as u64, u64::from(sum.links));
        doubts
    }
}
