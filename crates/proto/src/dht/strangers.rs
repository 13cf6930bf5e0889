//! Strangers that were asked whether they are there and did not say so: they are left alone, for their addresses may be forged.
//!
//! One host is one stranger, however many ports or interface ids are claimed for it. Invariant: at most [`STRANGERS_MAX`] are remembered, each for
//! [`LEFT_ALONE`]. Threats: D3

use crate::{Duration, Instant, address};
use core::net::SocketAddr;
use std::collections::{BTreeMap, VecDeque};

/// Strangers remembered: more than are asked in [`LEFT_ALONE`] by a table that fills, four each five seconds.
const STRANGERS_MAX: usize = 2048;

/// So long a silent stranger is not asked again.
pub(super) const LEFT_ALONE: Duration = Duration::from_secs(30 * 60);

/// Those who are left alone.
#[derive(Clone, Debug, Default)]
pub(super) struct Strangers {
    asked: BTreeMap<SocketAddr, Instant>,
    /// The same, in the order in which they were asked.
    order: VecDeque<(Instant, SocketAddr)>,
}

impl Strangers {
    /// One is asked now.
    pub(super) fn ask(&mut self, now: Instant, address: SocketAddr) {
        let who = who(address);
        if self.asked.insert(who, now) != Some(now) {
            self.order.push_back((now, who));
        }
        while let Some(&(then, first)) = self.order.front()
            && (self.order.len() > STRANGERS_MAX || now.since(then) >= LEFT_ALONE)
        {
            self.order.pop_front();
            // It may have been asked again since.
            if self.asked.get(&first) == Some(&then) {
                self.asked.remove(&first);
            }
        }
    }

    /// One has answered: it is none any more.
    pub(super) fn forget(&mut self, address: SocketAddr) {
        self.asked.remove(&who(address));
    }

    /// Whether this one was asked lately and has not answered.
    pub(super) fn has(&self, now: Instant, address: SocketAddr) -> bool {
        self.asked_at(address).is_some_and(|then| now.since(then) < LEFT_ALONE)
    }

    /// When it was last asked, if that is remembered.
    pub(super) fn asked_at(&self, address: SocketAddr) -> Option<Instant> {
        self.asked.get(&who(address)).copied()
    }
}

/// A host, whatever its port; on networks where neighbours share an address with us the port is what tells them apart.
fn who(address: SocketAddr) -> SocketAddr {
    if address::block(address.ip()).is_none() {
        return address;
    }
    SocketAddr::new(address::host(address.ip()), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn a_host_is_left_alone_whatever_its_port_until_it_answers_or_half_an_hour_is_over() {
        let mut strangers = Strangers::default();
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        for (asked, other, same) in [
            ("9.9.9.9:1", "9.9.9.9:2", true),
            ("9.9.9.9:1", "9.9.9.8:1", false),
            ("[2001:db8::1]:1", "[2001:db8::2]:7", true),
            ("[2001:db8::1]:1", "[2001:db8:0:1::1]:1", false),
            ("127.0.0.1:1", "127.0.0.1:2", false),
        ] {
            strangers.ask(at(5), address(asked));
            assert_eq!(strangers.has(at(6), address(other)), same, "{asked} and {other}");
            assert!(!strangers.has(at(5 + 1800), address(asked)));
            strangers.forget(address(asked));
            assert!(!strangers.has(at(6), address(asked)));
        }
    }

    #[test]
    fn those_remembered_are_bounded_and_who_was_asked_again_stays() {
        let mut strangers = Strangers::default();
        let address = |n: u32| SocketAddr::from((n.to_be_bytes(), 1));
        strangers.ask(at(0), address(0x0900_0000));
        for n in 0..3 * STRANGERS_MAX as u32 {
            strangers.ask(at(1), address(0x0900_0000 + n % 2000));
            assert!(strangers.order.len() <= STRANGERS_MAX && strangers.asked.len() <= STRANGERS_MAX);
        }
        assert!(strangers.has(at(2), address(0x0900_0000)));
        strangers.ask(at(1801), address(7));
        assert_eq!((strangers.order.len(), strangers.asked.len()), (1, 1), "time is over for all others");
    }
}
