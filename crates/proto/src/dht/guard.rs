//! How much we answer: so much per asker, so much in all, and never much more than we were sent by somebody who may not be who it says.
//!
//! Addresses on datagrams are claims. So nothing here is a punishment, which a forger could bring upon others: an asker that asks too
//! fast is not answered for as long as it does. Invariant: at most [`HOSTS_MAX`] hosts are remembered. Threats: D3

use crate::rate::Bucket;
use crate::{Instant, address};
use core::net::IpAddr;
use std::collections::BTreeMap;

/// Answers a second that a host gets (libtorrent: 5).
const PER_HOST: u64 = 5;

/// And at once after a pause: a walk of a program with many searches, or a household behind one address.
const PER_HOST_BURST: u64 = 50;

/// Hosts remembered; when they are more, who was quiet is forgotten first.
pub(super) const HOSTS_MAX: usize = 1024;

/// An answer to an address that we know nothing of has at most so many times the bytes of its question (QUIC's rule, RFC 9000, section 8.1).
pub const AMPLIFICATION_MAX: usize = 3;

/// Who asked how much.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    hosts: BTreeMap<IpAddr, Bucket>,
    all: Bucket,
}

impl Guard {
    /// Answers have so many bytes a second, and three times as many at once after a pause.
    pub(super) fn new(bytes_per_second: u64, now: Instant) -> Guard {
        Guard { hosts: BTreeMap::new(), all: Bucket::new(Some(bytes_per_second), bytes_per_second * 3, now) }
    }

    /// Whether this host's question is answered now; counts it if so.
    pub(super) fn admits(&mut self, now: Instant, ip: IpAddr) -> bool {
        if self.all.available(now) == 0 {
            return false;
        }
        let host = address::host(ip);
        if !self.hosts.contains_key(&host) && self.hosts.len() >= HOSTS_MAX {
            self.hosts.retain(|_, bucket| bucket.available(now) < PER_HOST_BURST);
            if self.hosts.len() >= HOSTS_MAX {
                // A thousand hosts that all ask fast: who comes new is held to what all get together.
                return true;
            }
        }
        let bucket =
            self.hosts.entry(host).or_insert_with(|| Bucket::new(Some(PER_HOST), PER_HOST_BURST, now));
        let admitted = bucket.available(now) > 0;
        if admitted {
            bucket.charge(now, 1);
        }
        admitted
    }

    /// An answer went out.
    pub(super) fn charge(&mut self, now: Instant, bytes: usize) {
        self.all.charge(now, bytes as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Duration;

    fn after(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn a_host_that_asks_too_fast_is_answered_as_often_as_is_allowed_and_others_notice_nothing() {
        let mut guard = Guard::new(1_000_000, Instant::ZERO);
        let (fast, calm) = (IpAddr::from([9, 9, 9, 9]), IpAddr::from([8, 8, 8, 8]));
        let admitted = |guard: &mut Guard, now| (0..100).filter(|_| guard.admits(now, fast)).count();
        assert_eq!(admitted(&mut guard, Instant::ZERO), 50);
        assert_eq!(admitted(&mut guard, after(2)), 10);
        assert!(guard.admits(after(2), calm));
        assert_eq!(admitted(&mut guard, after(100)), 50, "nothing is remembered against it");
    }

    #[test]
    fn all_answers_together_keep_the_rate() {
        let mut guard = Guard::new(1000, Instant::ZERO);
        let mut sent = 0;
        for n in 0..100u8 {
            if guard.admits(Instant::ZERO, IpAddr::from([n + 1, 1, 1, 1])) {
                guard.charge(Instant::ZERO, 250);
                sent += 250;
            }
        }
        assert_eq!(sent, 3000);
        assert!(guard.admits(after(1), IpAddr::from([1, 1, 1, 1])));
    }

    #[test]
    fn the_hosts_remembered_are_bounded() {
        let mut guard = Guard::new(u64::from(u32::MAX), Instant::ZERO);
        for n in 0..5000u32 {
            guard.admits(Instant::ZERO, IpAddr::from((n + 0x0900_0000).to_be_bytes()));
        }
        assert!(guard.hosts.len() <= HOSTS_MAX);
    }
}
