//! Who is here over HTTP: how many may be, who gives way, who has stayed too long.
//!
//! Invariants: at most `connections_max` at once, and of one address at most `connections_per_address_max`; when one more comes, one of
//! those that have waited longest gives way, so that silent ones cannot keep others out. A name is never given twice.

use crate::config::HttpRules;
use crate::http::Connection;
use crate::tally::{Count, Tally};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

/// Connections looked at to find one that gives way: enough that it has waited long, and few enough for a flood of newcomers.
const LOOKED_AT: usize = 16;

/// The connections of a worker, by names that ascend.
pub(crate) struct Visitors {
    tally: Arc<Tally>,
    rows: BTreeMap<usize, Connection>,
    next: usize,
    /// Where it was last looked for one that gives way.
    hand: usize,
    /// Connections that are no proxy's, by what [`neighbourhood`] says.
    per_address: BTreeMap<u128, usize>,
}

impl Visitors {
    /// Nobody is here; the first will have this name.
    pub(crate) fn new(first: usize, tally: Arc<Tally>) -> Visitors {
        Visitors { tally, rows: BTreeMap::new(), next: first, hand: first, per_address: BTreeMap::new() }
    }

    /// How many are here.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// How many of them are in a handshake.
    #[cfg(test)]
    pub(crate) fn shaking_hands(&self) -> usize {
        self.rows.values().filter(|visitor| visitor.is_shaking_hands()).count()
    }

    /// The name of the next one.
    pub(crate) fn next_name(&self) -> usize {
        self.next
    }

    /// Whether one more of this connection's address may come in.
    pub(crate) fn has_room_for(&self, visitor: &Connection, rules: &HttpRules) -> bool {
        let here = self.per_address.get(&neighbourhood(visitor.remote())).copied().unwrap_or_default();
        visitor.is_a_proxys() || here < rules.connections_per_address_max
    }

    /// Lets it in under the next name, for which another gives way if need be.
    pub(crate) fn insert(&mut self, visitor: Connection, rules: &HttpRules, now: Instant) {
        while self.rows.len() >= rules.connections_max.max(1) && self.one_gives_way(now) {}
        if !visitor.is_a_proxys() {
            *self.per_address.entry(neighbourhood(visitor.remote())).or_default() += 1;
        }
        self.rows.insert(self.next, visitor);
        self.next += 1;
    }

    /// A connection, if it is still here.
    pub(crate) fn get_mut(&mut self, name: usize) -> Option<&mut Connection> {
        self.rows.get_mut(&name)
    }

    /// Whether a connection is still here.
    pub(crate) fn has(&self, name: usize) -> bool {
        self.rows.contains_key(&name)
    }

    /// It is over.
    pub(crate) fn remove(&mut self, name: usize) {
        drop(self.take(name));
    }

    /// It goes elsewhere.
    pub(crate) fn take(&mut self, name: usize) -> Option<Connection> {
        let visitor = self.rows.remove(&name)?;
        // However it goes: refused, hung up, overdue, or to make room.
        if visitor.is_shaking_hands() {
            self.tally.count(Count::TlsFailed);
        }
        let key = neighbourhood(visitor.remote());
        if visitor.is_a_proxys() {
            return Some(visitor);
        }
        if let Some(count) = self.per_address.get_mut(&key) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.per_address.remove(&key);
            }
        }
        Some(visitor)
    }

    /// Of the next few, the one that has waited longest leaves. Says whether there was one.
    pub(crate) fn one_gives_way(&mut self, now: Instant) -> bool {
        let few = self.rows.range(self.hand..).chain(self.rows.range(..self.hand)).take(LOOKED_AT);
        let mut last = self.hand;
        let few = few.inspect(|(name, _)| last = **name);
        let longest = few.max_by_key(|(_, visitor)| visitor.waits(now)).map(|(&name, _)| name);
        self.hand = last + 1;
        longest.map(|name| self.remove(name)).is_some()
    }

    /// Those of which nothing is under way leave.
    pub(crate) fn remove_idle(&mut self) {
        self.remove_all(Connection::is_idle);
    }

    /// Those that have taken longer than they may leave.
    pub(crate) fn remove_overdue(&mut self, now: Instant) {
        self.remove_all(|visitor| visitor.is_overdue(now));
    }

    fn remove_all(&mut self, which: impl Fn(&Connection) -> bool) {
        let found = self.rows.iter().filter(|(_, visitor)| which(visitor)).map(|(&name, _)| name);
        for name in found.collect::<Vec<_>>() {
            self.remove(name);
        }
    }
}

/// An IPv4 address, or a /64 of IPv6, of which whoever has one address has all.
pub(crate) fn neighbourhood(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().into(),
        IpAddr::V6(ip) => u128::from(ip) >> 64 << 64,
    }
}
