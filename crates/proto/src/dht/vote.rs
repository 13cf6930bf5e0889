//! What our own address is, by what others say of it (BEP 42): believed when many of different networks agree.
//!
//! Only answers to our own questions vote, once per block of addresses, so that neither a forger nor one party with many addresses
//! moves our id to where it likes. Threats: D8

use crate::address;
use core::net::IpAddr;
use std::collections::VecDeque;

/// Votes kept, the newest.
const VOTES_MAX: usize = 32;

/// Voters of different blocks that must agree.
pub(super) const AGREEING_MIN: usize = 5;

/// The votes for the address of one family.
#[derive(Clone, Debug, Default)]
pub(super) struct Vote {
    /// From which block of addresses, and for what.
    votes: VecDeque<(IpAddr, IpAddr)>,
    decided: Option<IpAddr>,
}

impl Vote {
    /// A node says what our address is. Returns it when it has become the belief of many and is news.
    pub(super) fn cast(&mut self, by: IpAddr, ours: IpAddr) -> Option<IpAddr> {
        // Neighbours on a private network see a private address of ours, which says nothing to others.
        let (block, ours) = (address::block(by)?, ours.to_canonical());
        if !address::may_be_a_peer(ours)
            || address::block(ours).is_none()
            || ours.is_ipv4() != by.to_canonical().is_ipv4()
        {
            return None;
        }
        self.votes.retain(|(voter, _)| *voter != block);
        self.votes.push_back((block, ours));
        if self.votes.len() > VOTES_MAX {
            self.votes.pop_front();
        }
        let agreeing = self.votes.iter().filter(|(_, choice)| *choice == ours).count();
        let believed = agreeing >= AGREEING_MIN && agreeing * 2 > self.votes.len();
        (believed && self.decided != Some(ours)).then(|| *self.decided.insert(ours))
    }

    /// What our address is, if many agree.
    pub(super) fn decided(&self) -> Option<IpAddr> {
        self.decided
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn five_of_different_networks_decide_once_and_a_minority_or_one_network_never() {
        let mut vote = Vote::default();
        let voter = |n: u8| IpAddr::from([n, 1, 1, 1]);
        let said: Vec<_> = (1..=6).map(|n| vote.cast(voter(n), ip("9.9.9.9"))).collect();
        assert_eq!(said, [None, None, None, None, Some(ip("9.9.9.9")), None]);
        for n in 0..200 {
            assert_eq!(vote.cast(IpAddr::from([77, 1, 1, n]), ip("6.6.6.6")), None, "one network, vote {n}");
        }
        assert_eq!((11..16).find_map(|n| vote.cast(voter(n), ip("6.6.6.6"))), None, "six against six");
        assert_eq!(vote.cast(voter(16), ip("6.6.6.6")), Some(ip("6.6.6.6")), "the line has a new address");
        assert_eq!(vote.decided(), Some(ip("6.6.6.6")));
    }

    #[test]
    fn what_can_be_nobodys_public_address_counts_for_nothing() {
        let mut vote = Vote::default();
        for (by, ours) in [
            ("9.1.1.1", "192.168.1.2"),
            ("9.1.1.1", "0.0.0.0"),
            ("9.1.1.1", "224.0.0.1"),
            ("9.1.1.1", "2001:db8::1"),
            ("192.168.1.1", "9.9.9.9"),
        ] {
            (0..50).for_each(|_| assert_eq!(vote.cast(ip(by), ip(ours)), None, "{by} says {ours}"));
            assert!(vote.votes.is_empty(), "{by} says {ours}");
        }
    }
}
