//! What hosts took from us and have nothing to show for, remembered when their links end: who hangs up and comes back is no
//! newcomer, and all of one network have little more between them than one of them alone.
//!
//! No ban and no refusal: a debtor comes after all others until it shows a piece more or gives us something, and who took more than
//! the whole content until that is forgotten. While we fetch a drain that comes back goes on with the trickle that it has. Hosts of
//! local networks and of this machine are not told apart by address, and owe nothing. Invariant: bounded; the oldest debt is
//! forgotten first. Threat: C8

use super::Torrent;
use crate::address;
use crate::cx::Cx;
use crate::peer::{Appetite, Peer, Record};
use crate::{Duration, Instant, PeerKey};
use core::net::IpAddr;
use std::collections::VecDeque;

/// Hosts remembered: several times the links of a torrent, 32 KiB.
pub const DEBTORS_MAX: usize = 512;
/// A debt is forgotten after this long: the address may be another's by then.
pub const FORGOTTEN_AFTER: Duration = Duration::from_secs(3600);
/// All of one network (a /24 or a /48) may owe so many times what one peer may, and no single one counts for more than that: honest
/// neighbours owe little, and seldom all at once.
pub const PEERS_PER_NETWORK: u64 = 4;

/// Who owes what. Takes no memory in a torrent that nobody ever took from.
#[derive(Clone, Debug, Default)]
pub struct Debts {
    known: Option<Box<Rows>>,
}

/// Oldest first.
#[derive(Clone, Debug, Default)]
struct Rows {
    rows: VecDeque<Row>,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    host: IpAddr,
    owed: u64,
    /// In all its visits.
    taken: u64,
    /// How long all its visits lasted, in seconds.
    here: u32,
    pieces: u32,
    since: Instant,
}

/// What came of a link that ended.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Visit {
    /// Bytes that went over it to the peer.
    pub taken: u64,
    /// Of all that the peer ever took, the bytes that it neither has something to show for nor paid by what it gave.
    pub owed: u64,
    /// How long it lasted, in seconds.
    pub seconds: u32,
    /// Pieces that the peer had in the end.
    pub pieces: u32,
}

/// What is known of a host whose link comes up.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Past {
    /// Bytes that it took before and had nothing to show for.
    pub owed: u64,
    /// Bytes that it took before, in all.
    pub taken: u64,
    /// How long it was here before, in seconds.
    pub here: u32,
    /// Pieces that it had when it left; what it has beyond them it has to show.
    pub pieces: u32,
    /// Its network as a whole owes too much.
    pub in_bad_company: bool,
}

impl Debts {
    /// A link of this host ended. O(hosts remembered), as all of these.
    pub fn settle(&mut self, now: Instant, ip: IpAddr, visit: Visit) {
        let Visit { taken, owed, seconds, pieces } = visit;
        let nothing = taken == 0 && owed == 0;
        if address::block(ip).is_none() || nothing && self.known.is_none() {
            return;
        }
        let (host, rows) = (address::host(ip), &mut self.known.get_or_insert_default().rows);
        rows.retain(|row| now.since(row.since) < FORGOTTEN_AFTER);
        let before = rows.iter().position(|row| row.host == host).and_then(|at| rows.remove(at));
        let (taken_before, here_before) = before.map_or((0, 0), |row| (row.taken, row.here));
        let (taken, here) = (taken.saturating_add(taken_before), seconds.saturating_add(here_before));
        if taken > 0 || owed > 0 {
            if rows.len() >= DEBTORS_MAX {
                rows.pop_front();
            }
            rows.push_back(Row { host, owed, taken, here, pieces, since: now });
        }
    }

    /// What a peer from this address is to be held to, where one peer may owe `allowance` bytes.
    pub fn past_of(&self, now: Instant, ip: IpAddr, allowance: u64) -> Past {
        let (Some(known), Some(network)) = (&self.known, address::block(ip)) else { return Past::default() };
        let host = address::host(ip);
        let (mut past, mut owed_by_all) = (Past::default(), 0_u64);
        for row in known.rows.iter().filter(|row| now.since(row.since) < FORGOTTEN_AFTER) {
            if row.host == host {
                past = Past { owed: row.owed, taken: row.taken, here: row.here, pieces: row.pieces, ..past };
            }
            if address::block(row.host) == Some(network) {
                owed_by_all = owed_by_all.saturating_add(row.owed.min(allowance));
            }
        }
        past.in_bad_company = owed_by_all > allowance.saturating_mul(PEERS_PER_NETWORK);
        past
    }
}

impl Torrent {
    /// A link came up: its peer goes on where it was. Before it is greeted, since it may get less.
    pub fn recall_debt(&mut self, cx: &Cx<'_>, key: PeerKey) {
        let allowance = Appetite::allowance(self.metainfo.layout.piece_len_max());
        let Some(peer) = self.peers.get_mut(key) else { return };
        let past = self.dialer.debts.past_of(cx.now, peer.terms.remote.ip(), allowance);
        let record = match past {
            Past { taken, .. } if taken > self.metainfo.layout.total() => Record::Overdrawn,
            Past { in_bad_company: true, .. } => Record::Probation,
            Past { .. } => Record::Clean,
        };
        peer.traffic.appetite.brings(past.owed, past.here, record);
    }

    /// It said what it has: what is new since it left is worth as much as if it had told us then.
    pub fn credit_progress(&mut self, cx: &Cx<'_>, key: PeerKey) {
        let total = self.metainfo.layout.pieces();
        let Some(peer) = self.peers.get_mut(key) else { return };
        let past = self.dialer.debts.past_of(cx.now, peer.terms.remote.ip(), u64::MAX);
        if past.owed > 0 {
            peer.traffic.appetite.grew(peer.pieces.count(total).saturating_sub(past.pieces) as usize);
        }
    }

    /// A link ended.
    pub fn remember_debt(&mut self, cx: &Cx<'_>, peer: &Peer) {
        let owed = peer.traffic.appetite.owes(self.metainfo.layout.piece_len_max());
        let seconds = cx.now.since(peer.clocks.linked).as_secs();
        let visit = Visit {
            taken: peer.traffic.up.total(),
            // What it gave us is never counted against it.
            owed: owed.saturating_sub(peer.traffic.down.total()),
            seconds: u32::try_from(seconds).unwrap_or(u32::MAX),
            pieces: peer.pieces.count(self.metainfo.layout.pieces()),
        };
        self.dialer.debts.settle(cx.now, peer.terms.remote.ip(), visit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_micros(1_000_000);

    fn host(network: u8, number: u8) -> IpAddr {
        IpAddr::from([80, 0, network, number])
    }

    /// A minute long.
    fn visit(taken: u64, owed: u64, pieces: u32) -> Visit {
        Visit { taken, owed, seconds: 60, pieces }
    }

    #[test]
    fn a_host_is_held_to_what_it_owes_until_it_has_paid_or_an_hour_has_passed() {
        let mut debts = Debts::default();
        debts.settle(NOW, host(1, 1), visit(900, 700, 3));
        let past = Past { owed: 700, taken: 900, here: 60, pieces: 3, in_bad_company: false };
        assert_eq!(debts.past_of(NOW, host(1, 1), 500), past);
        assert_eq!(debts.past_of(NOW, host(1, 2), 500), Past::default());
        assert_eq!(debts.past_of(NOW + FORGOTTEN_AFTER, host(1, 1), 500), Past::default());
        debts.settle(NOW, host(1, 1), visit(100, 0, 9));
        let past = Past { owed: 0, taken: 1_000, here: 120, pieces: 9, in_bad_company: false };
        assert_eq!(debts.past_of(NOW, host(1, 1), 500), past);
    }

    #[test]
    fn a_network_is_held_to_what_all_of_it_owe_together() {
        let mut debts = Debts::default();
        (1..=5).for_each(|number| debts.settle(NOW, host(1, number), visit(500, 500, 0)));
        assert!(debts.past_of(NOW, host(1, 99), 500).in_bad_company);
        assert!(!debts.past_of(NOW, host(2, 99), 500).in_bad_company);
        debts.settle(NOW, host(1, 5), visit(0, 0, 0));
        assert!(!debts.past_of(NOW, host(1, 99), 500).in_bad_company);
    }

    #[test]
    fn local_networks_owe_nothing_and_the_oldest_debt_is_forgotten_first() {
        let mut debts = Debts::default();
        for local in ["192.168.1.5", "127.0.0.1", "fd00::7", "::1"] {
            let local: IpAddr = local.parse().unwrap();
            debts.settle(NOW, local, visit(1 << 40, 1 << 40, 0));
            assert_eq!(debts.past_of(NOW, local, 1), Past::default(), "{local}");
        }
        debts.settle(NOW, host(1, 1), visit(0, 0, 0));
        assert!(debts.known.is_none(), "who took nothing is not remembered");
        let nth = |nth: u32| IpAddr::from((0x5000_0000 + (nth << 8)).to_be_bytes());
        (0..=DEBTORS_MAX as u32).for_each(|number| debts.settle(NOW, nth(number), visit(1, 1, 0)));
        assert_eq!(debts.past_of(NOW, nth(0), 1).owed, 0);
        assert_eq!(debts.past_of(NOW, nth(1), 1).owed, 1);
        assert_eq!(debts.known.map(|known| known.rows.len()), Some(DEBTORS_MAX));
    }
}
