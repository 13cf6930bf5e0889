//! A worker's part of a list of torrents, made between visitors: it looks at [`SWARMS_PER_TURN`] of its swarms at a time.
//!
//! Invariants: no more rows are kept than are told; a list for which nobody waits any more is not made to its end.

use crate::desk::Desk;
use proto::tracker::swarm_table::{Counts, Look};
use std::collections::BTreeMap;
use std::sync::Weak;
use std::sync::mpsc::SyncSender;
use wire::InfoHash;

/// Swarms looked at in one turn of a worker's loop: some 100 µs.
const SWARMS_PER_TURN: u32 = 4096;

/// The rows of a list, in their order.
pub(crate) type Rows = BTreeMap<InfoHash, Counts>;

/// Such a part.
#[derive(Debug)]
pub(crate) struct Listing {
    after: Option<InfoHash>,
    most: usize,
    rows: Rows,
    /// Nothing: it has not begun.
    look: Option<Look>,
    reply: SyncSender<Rows>,
    /// There for as long as somebody waits.
    waited_for: Weak<()>,
}

impl Listing {
    /// Torrents behind this one, so many at most, for who waits at the other end of `reply` for as long as `waited_for` is there.
    pub(crate) fn new(
        after: Option<InfoHash>,
        most: usize,
        reply: SyncSender<Rows>,
        waited_for: Weak<()>,
    ) -> Listing {
        Listing { after, most, rows: BTreeMap::new(), look: None, reply, waited_for }
    }

    /// Looks at some swarms. Says whether there are more; if not, it has been told.
    pub(crate) fn go_on(&mut self, desk: &Desk) -> bool {
        if self.waited_for.strong_count() == 0 {
            return false;
        }
        let mut look = self.look.unwrap_or_else(|| desk.table().begin_look());
        let more = desk.table().look(&mut look, SWARMS_PER_TURN, |torrent, counts| self.see(torrent, counts));
        self.look = Some(look);
        if !more {
            // Whoever asked may have lost patience this moment.
            let _ = self.reply.try_send(std::mem::take(&mut self.rows));
        }
        more
    }

    fn see(&mut self, torrent: InfoHash, counts: Counts) {
        if self.after.is_some_and(|after| torrent <= after) {
            return;
        }
        if self.rows.len() >= self.most {
            // Most are behind all that are told.
            if self.rows.last_key_value().is_none_or(|(last, _)| torrent > *last) {
                return;
            }
            self.rows.pop_last();
        }
        self.rows.insert(torrent, counts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::desk::Over;
    use crate::tally::Tallies;
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::Arc;
    use std::sync::mpsc::sync_channel;
    use wire::announce::{AnnounceEvent, AnnounceRequest};

    /// More than one turn looks at.
    const SWARMS: u32 = 3 * SWARMS_PER_TURN;

    fn torrent(n: u32) -> InfoHash {
        let mut hash = [7; 20];
        // In another order than that in which they came.
        hash[..4].copy_from_slice(&n.reverse_bits().to_be_bytes());
        InfoHash(hash)
    }

    fn desk() -> Desk {
        let tally = Tallies::new(1).each().next().unwrap();
        let mut desk = Desk::new(Config::default().rules, None, tally);
        for n in 0..SWARMS {
            let request = AnnounceRequest {
                info_hash: torrent(n),
                peer_id: wire::PeerId([1; 20]),
                port: 1,
                uploaded: 0,
                downloaded: 0,
                left: 1,
                event: AnnounceEvent::None,
                want: None,
                key: None,
            };
            desk.announce(Over::Udp, IpAddr::V4(Ipv4Addr::LOCALHOST), None, &request, 0).unwrap();
        }
        desk
    }

    #[test]
    fn a_list_goes_on_until_it_is_whole_or_nobody_waits_for_it() {
        let desk = desk();
        let mut sorted: Vec<_> = (0..SWARMS).map(torrent).collect();
        sorted.sort_unstable();
        let waits = Arc::new(());
        let (reply, replies) = sync_channel(1);
        let mut list = Listing::new(Some(sorted[99]), 5, reply.clone(), Arc::downgrade(&waits));
        let mut turns = 1;
        while list.go_on(&desk) {
            turns += 1;
            assert!(list.rows.len() <= 5);
        }
        assert!(turns >= 3, "others have their turns between");
        assert_eq!(replies.try_recv().unwrap().into_keys().collect::<Vec<_>>(), sorted[100..105]);
        let mut list = Listing::new(None, 5, reply, Arc::downgrade(&waits));
        assert!(list.go_on(&desk));
        drop(waits);
        assert!(!list.go_on(&desk), "there are more, and nobody waits for them");
        assert!(replies.try_recv().is_err());
    }
}
