//! What our own address is, by what others say of it (BEP 42): believed when many of different networks agree, on several occasions.
//!
//! Only answers to our own questions vote, once per network of addresses, and few of those that one walk asked: who sits around a target meets
//! all of a walk. Once decided it holds for a while. So neither a forger nor one party with many addresses moves our id to where it
//! likes, nor to and fro. Threats: D8

use super::SearchKey;
use crate::{Duration, Instant, address};
use core::net::IpAddr;
use std::collections::{BTreeSet, VecDeque};

/// Votes kept, the newest.
const VOTES_MAX: usize = 32;

/// Voters of different networks (a /8, a /32) that must agree: were every second node a liar, one node in fifty would believe them.
pub(super) const AGREEING_MIN: usize = 10;

/// And of five voters so many.
const OF_FIVE: usize = 4;

/// Votes of nodes that one walk asked.
const PER_WALK_MAX: usize = 2;

/// Walks, or single questions, that those who agree were met on.
const OCCASIONS_MIN: usize = 3;

/// How long a decision holds: a line may have another address each day, and an id that does not fit for half an hour costs little.
const HOLDS_FOR: Duration = Duration::from_secs(30 * 60);

/// What a node said.
#[derive(Clone, Copy, Debug)]
struct Ballot {
    network: IpAddr,
    ours: IpAddr,
    /// The walk on which it was asked; nothing if it was asked by itself.
    walk: Option<SearchKey>,
}

/// The votes for the address of one family.
#[derive(Clone, Debug, Default)]
pub(super) struct Vote {
    votes: VecDeque<Ballot>,
    decided: Option<(IpAddr, Instant)>,
}

impl Vote {
    /// A node says what our address is, asked on this walk or by itself. Returns it when it has become the belief of many and is news.
    pub(super) fn cast(
        &mut self,
        now: Instant,
        by: IpAddr,
        walk: Option<SearchKey>,
        ours: IpAddr,
    ) -> Option<IpAddr> {
        // Neighbours on a private network see a private address of ours, which says nothing to others.
        let (network, ours) = (address::network(by)?, ours.to_canonical());
        if !address::is_public(ours) || ours.is_ipv4() != by.to_canonical().is_ipv4() {
            return None;
        }
        let of_walk = self.votes.iter().filter(|vote| walk.is_some() && vote.walk == walk).count();
        if of_walk >= PER_WALK_MAX {
            return None;
        }
        self.votes.retain(|vote| vote.network != network);
        self.votes.push_back(Ballot { network, ours, walk });
        if self.votes.len() > VOTES_MAX {
            self.votes.pop_front();
        }
        let agreeing = || self.votes.iter().filter(|vote| vote.ours == ours);
        let walks: BTreeSet<SearchKey> = agreeing().filter_map(|vote| vote.walk).collect();
        let occasions = walks.len() + agreeing().filter(|vote| vote.walk.is_none()).count();
        let count = agreeing().count();
        let believed =
            count >= AGREEING_MIN && count * 5 >= self.votes.len() * OF_FIVE && occasions >= OCCASIONS_MIN;
        let may_change =
            self.decided.is_none_or(|(known, since)| known != ours && now.since(since) >= HOLDS_FOR);
        (believed && may_change).then(|| self.decided.insert((ours, now)).0)
    }

    /// What our address is, if many agree.
    pub(super) fn decided(&self) -> Option<IpAddr> {
        self.decided.map(|(ours, _)| ours)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn at(minutes: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(minutes * 60)
    }

    fn voter(n: u8) -> IpAddr {
        IpAddr::from([11 + n, 1, 1, 1])
    }

    #[test]
    fn ten_of_different_networks_decide_once_and_a_minority_or_one_network_never() {
        let mut vote = Vote::default();
        let said: Vec<_> =
            (1..=11).filter_map(|n| Some((n, vote.cast(at(0), voter(n), None, ip("9.9.9.9"))?))).collect();
        assert_eq!(said, [(10, ip("9.9.9.9"))]);
        for n in 0..200 {
            let by = IpAddr::from([77, n, 1, n]);
            assert_eq!(vote.cast(at(60), by, None, ip("6.6.6.6")), None, "one network, vote {n}");
        }
        // Of the newest 32 voters the old ones go first: 25 new ones and the network above are four of five.
        let mut lie = |n| vote.cast(at(60), voter(n), None, ip("6.6.6.6"));
        let decided = (12..60).find(|n| lie(*n) == Some(ip("6.6.6.6")));
        assert_eq!(decided, Some(36));
        assert_eq!(vote.decided(), Some(ip("6.6.6.6")));
    }

    #[test]
    fn the_nodes_of_one_walk_decide_nothing_however_many_they_are() {
        for (walks, decided) in [(1, false), (4, false), (5, true)] {
            let mut vote = Vote::default();
            let mut news = None;
            for n in 0..89u8 {
                let walk = Some(SearchKey(u32::from(n) % walks));
                news = news.or(vote.cast(at(0), voter(n), walk, ip("9.9.9.9")));
            }
            assert_eq!(news.is_some(), decided, "{walks} walks");
            assert!(vote.votes.len() <= PER_WALK_MAX * walks as usize);
        }
    }

    #[test]
    fn a_decision_holds_for_half_an_hour() {
        let mut vote = Vote::default();
        assert!((1..=10).any(|n| vote.cast(at(0), voter(n), None, ip("9.9.9.9")).is_some()));
        let mut others =
            |minute: u64| (11..89).find_map(|n| vote.cast(at(minute), voter(n), None, ip("8.8.4.4")));
        assert_eq!([others(0), others(29), others(30), others(31)], [None, None, Some(ip("8.8.4.4")), None]);
    }

    #[test]
    fn networks_of_ipv6_are_its_thirty_twos() {
        let mut vote = Vote::default();
        let by = |network: u16, n: u16| IpAddr::from([0x2001, network, n, n, 0, 0, 0, 1]);
        let ours = ip("2001:db8::9");
        assert_eq!((0..100).find_map(|n| vote.cast(at(0), by(1, n), None, ours)), None);
        assert_eq!((2..=10).find_map(|n| vote.cast(at(0), by(n, n), None, ours)), Some(ours));
    }

    #[test]
    fn what_can_be_nobodys_public_address_counts_for_nothing() {
        let mut vote = Vote::default();
        for (by, ours) in [
            ("9.1.1.1", "192.168.1.2"),
            ("9.1.1.1", "0.0.0.0"),
            ("9.1.1.1", "224.0.0.1"),
            ("9.1.1.1", "100.64.0.1"),
            ("9.1.1.1", "240.0.0.1"),
            ("9.1.1.1", "2001:db8::1"),
            ("192.168.1.1", "9.9.9.9"),
        ] {
            (0..50).for_each(|_| {
                assert_eq!(vote.cast(at(0), ip(by), None, ip(ours)), None, "{by} says {ours}");
            });
            assert!(vote.votes.is_empty(), "{by} says {ours}");
        }
    }
}
