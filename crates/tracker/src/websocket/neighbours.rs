//! How many browsers there are at each address, and what a newcomer from there may say at once. Knows addresses, not connections.
//!
//! Invariants: newcomers of one address, however often they come, may say at once as much as one connection in the long run, so that whoever
//! is cut off and comes again gains nothing by it; an address is forgotten when nobody is there and that would make no difference, or
//! sooner if there are very many. Threat E9

use super::link::BURST;
use crate::config::WebSocketRules;
use crate::visitors::neighbourhood;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

/// Messages that one newcomer may say at once, if its address has so many left: what a browser with a few torrents says when it comes.
const BURST_AT_FIRST: f64 = 50.0;

/// Addresses remembered at which nobody is: some 100 bytes each. Whoever has more has so many that nothing is gained by forgetting none.
const ABSENT_MAX: usize = 65_536;

/// Everybody's addresses, by what [`neighbourhood`] says.
#[derive(Debug, Default)]
pub(super) struct Neighbours(BTreeMap<u128, Neighbour>);

#[derive(Debug)]
struct Neighbour {
    here: usize,
    /// Messages that newcomers may say at once, all together, and when that was so. Less than none after a debt.
    allowance: f64,
    since: Instant,
}

impl Neighbour {
    fn refill(&mut self, now: Instant, rules: &WebSocketRules) {
        let passed = now.saturating_duration_since(self.since).as_secs_f64();
        self.allowance =
            (self.allowance + passed * f64::from(rules.messages_per_second_max.max(1))).min(BURST);
        self.since = now;
    }
}

impl Neighbours {
    /// One more from this address, if it has room: how many messages it may say at once. Less than none if others have left a debt.
    pub(super) fn enter(&mut self, ip: IpAddr, now: Instant, rules: &WebSocketRules) -> Option<f64> {
        if self.0.len() >= rules.connections_max.saturating_add(ABSENT_MAX) {
            self.0.retain(|_, neighbour| neighbour.here > 0);
        }
        let fresh = || Neighbour { here: 0, allowance: BURST, since: now };
        let neighbour = self.0.entry(neighbourhood(ip)).or_insert_with(fresh);
        if neighbour.here >= rules.connections_per_address_max {
            return None;
        }
        neighbour.refill(now, rules);
        // A debt of others' keeps it waiting for some time, but not for ever.
        let first = neighbour.allowance.clamp(-BURST, BURST_AT_FIRST);
        neighbour.allowance -= first;
        neighbour.here += 1;
        Some(first)
    }

    /// One of this address has left, and has said so much that it might not yet; less than none if it gives back what it has not said.
    pub(super) fn leave(&mut self, ip: IpAddr, owes: f64) {
        if let Some(neighbour) = self.0.get_mut(&neighbourhood(ip)) {
            neighbour.here = neighbour.here.saturating_sub(1);
            neighbour.allowance = (neighbour.allowance - owes).min(BURST);
        }
    }

    /// Forgets addresses at which nobody is and that may say all again.
    pub(super) fn look_around(&mut self, now: Instant, rules: &WebSocketRules) {
        self.0.retain(|_, neighbour| {
            neighbour.refill(now, rules);
            neighbour.here > 0 || neighbour.allowance < BURST
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::websocket::allowance::Allowance;
    use std::net::Ipv4Addr;
    use std::time::Duration;

    fn rules() -> WebSocketRules {
        WebSocketRules { connections_per_address_max: 3, connections_max: 10, ..WebSocketRules::default() }
    }

    fn address(n: u32) -> IpAddr {
        Ipv4Addr::from_bits(n).into()
    }

    #[test]
    fn who_comes_again_may_say_no_more_than_who_stays() {
        let (mut neighbours, rules, began) = (Neighbours::default(), rules(), Instant::now());
        let per_second = f64::from(rules.messages_per_second_max);
        let mut said = 0.0;
        // A hundred times a second, for a minute.
        for visit in 0..6000 {
            let now = began + Duration::from_millis(10 * visit);
            said += neighbours.enter(address(1), now, &rules).unwrap();
            neighbours.leave(address(1), 0.0);
            neighbours.look_around(now, &rules);
        }
        assert!((said - BURST - 60.0 * per_second).abs() < per_second, "{said}");
        let now = began + Duration::from_secs(60);
        assert_eq!(neighbours.enter(address(2), now, &rules), Some(BURST_AT_FIRST));
        // The first may as well, some time later.
        let now = now + Duration::from_secs_f64(BURST / per_second);
        assert_eq!(neighbours.enter(address(1), now, &rules), Some(BURST_AT_FIRST));
    }

    #[test]
    fn many_behind_one_address_who_come_and_say_little_may_all_say_as_much_at_first() {
        let (mut neighbours, rules, began) = (Neighbours::default(), rules(), Instant::now());
        // Ten times a second, which is faster than what each is given comes again.
        for visit in 0..600 {
            let now = began + Duration::from_millis(100 * visit);
            assert_eq!(neighbours.enter(address(1), now, &rules), Some(BURST_AT_FIRST), "{visit}");
            let mut allowance = Allowance::new(BURST_AT_FIRST, now);
            allowance.spend(1.0);
            neighbours.leave(address(1), allowance.owes(now, rules.messages_per_second_max));
        }
        // Nothing is made by it.
        neighbours.enter(address(2), began, &rules).unwrap();
        neighbours.leave(address(2), -2.0 * BURST);
        assert!(neighbours.0.values().all(|neighbour| neighbour.allowance <= BURST));
    }

    #[test]
    fn who_has_said_too_much_and_comes_again_waits_as_if_it_had_stayed() {
        let (mut neighbours, rules, now) = (Neighbours::default(), rules(), Instant::now());
        let mut may_say = 0.0;
        for _ in 0..20 {
            may_say = neighbours.enter(address(1), now, &rules).unwrap();
            // A message that counts as 64 others is heard as soon as one may be said.
            neighbours.leave(address(1), if may_say >= 1.0 { 64.0 - may_say } else { -may_say });
        }
        assert!((-64.0..1.0).contains(&may_say), "{may_say}");
        // Of what a crowd owes nobody has to wait for more than its time.
        assert!((0..3).all(|_| neighbours.enter(address(2), now, &rules).is_some()));
        (0..3).for_each(|_| neighbours.leave(address(2), 1000.0));
        assert_eq!(neighbours.enter(address(2), now, &rules), Some(-BURST));
    }

    #[test]
    fn an_address_has_but_so_many_connections_and_is_forgotten_when_it_makes_no_difference() {
        let (mut neighbours, rules, now) = (Neighbours::default(), rules(), Instant::now());
        assert!((0..3).all(|_| neighbours.enter(address(1), now, &rules).is_some()));
        assert_eq!(neighbours.enter(address(1), now, &rules), None);
        neighbours.leave(address(1), 0.0);
        assert!(neighbours.enter(address(1), now, &rules).is_some());
        let later = now + Duration::from_secs(3600);
        neighbours.look_around(later, &rules);
        assert_eq!(neighbours.0.len(), 1);
        (0..3).for_each(|_| neighbours.leave(address(1), 0.0));
        neighbours.look_around(later, &rules);
        assert_eq!(neighbours.0.len(), 0);
        // However many there are that nobody is at any more.
        for n in 0..2 * ABSENT_MAX as u32 {
            neighbours.enter(address(n), now, &rules);
            neighbours.leave(address(n), 0.0);
        }
        assert!(neighbours.0.len() <= ABSENT_MAX + rules.connections_max, "{}", neighbours.0.len());
    }
}
