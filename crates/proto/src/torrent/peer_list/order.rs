//! The indices of the peer list: slots in the orders of addresses, of dialling, of waiting and of giving way.
//!
//! Invariant: a slot is in an index exactly while its candidate belongs there, at the place that the candidate as it is now gives it;
//! so a candidate is changed through [`PeerList::edit`] alone.

use super::{Candidate, GROUP_CANDIDATES_MAX, PeerList, PeerSource, State};
use crate::address::{self, Kept, canonical};
use core::net::{IpAddr, SocketAddr};

impl PeerList {
    pub(super) fn find(&self, address: SocketAddr) -> Option<(u16, &Candidate)> {
        let address = Kept::new(canonical(address));
        let place = self.by_address.binary_search_by(|&slot| self.address_of(slot).cmp(&Some(&address)));
        let slot = *self.by_address.get(place.ok()?)?;
        Some((slot, self.get(slot)?))
    }

    /// The candidates at these hosts. Addresses are ordered by host first, so one host's ports and scopes lie side by side.
    pub(super) fn between(&self, low: IpAddr, high: IpAddr) -> impl Iterator<Item = (u16, IpAddr)> {
        let from = Kept::new(SocketAddr::new(low, 0));
        let start = self.by_address.partition_point(|&slot| self.address_of(slot) < Some(&from));
        let hosts =
            self.by_address[start..].iter().map_while(|&slot| Some((slot, self.get(slot)?.address.ip())));
        hosts.take_while(move |&(_, ip)| ip <= high)
    }

    /// Whether as many candidates lie in this block of addresses as may.
    pub(super) fn is_group_full(&self, group: IpAddr) -> bool {
        let last = match group {
            IpAddr::V4(first) => IpAddr::V4((first.to_bits() | 0xff).into()),
            IpAddr::V6(first) => IpAddr::V6((first.to_bits() | (u128::MAX >> 48)).into()),
        };
        let members = self.between(group, last).filter(|&(_, ip)| address::block(ip) == Some(group));
        let most = usize::from(GROUP_CANDIDATES_MAX);
        members.take(most).count() == most
    }

    /// The idle candidate of a source that we would miss least.
    pub(super) fn worst_of(&self, source: PeerSource) -> Option<u16> {
        let of = |slot: u16| self.get(slot).map(|candidate| candidate.source);
        let end = self.idle.partition_point(|&slot| of(slot) <= Some(source));
        let last = *self.idle.get(end.checked_sub(1)?)?;
        (of(last) == Some(source)).then_some(last)
    }

    /// Changes a candidate and keeps the indices true.
    pub(super) fn edit(&mut self, slot: u16, change: impl FnOnce(&mut Candidate)) {
        self.unindex(slot);
        if let Some(Some(candidate)) = self.slots.get_mut(usize::from(slot)) {
            change(candidate);
        }
        self.index(slot);
    }

    pub(super) fn index_address(&mut self, slot: u16) {
        let address = self.address_of(slot);
        let place = self.by_address.partition_point(|&other| self.address_of(other) < address);
        self.by_address.insert(place, slot);
    }

    pub(super) fn unindex_address(&mut self, slot: u16) {
        let address = self.address_of(slot);
        let place = self.by_address.partition_point(|&other| self.address_of(other) < address);
        if self.by_address.get(place) == Some(&slot) {
            self.by_address.remove(place);
        }
    }

    pub(super) fn index(&mut self, slot: u16) {
        let Some(candidate) = self.get(slot) else { return };
        match candidate.state() {
            State::Ready => {
                let place = self.place_ready(slot);
                self.ready.insert(place, slot);
            }
            State::Waiting(_) => {
                let place = self.place_waiting(slot);
                self.waiting.insert(place, slot);
            }
            State::Dialling | State::Linked(_) => return,
        }
        let place = self.place_idle(slot);
        self.idle.insert(place, slot);
    }

    pub(super) fn unindex(&mut self, slot: u16) {
        let Some(candidate) = self.get(slot) else { return };
        match candidate.state() {
            State::Ready => {
                let place = self.place_ready(slot);
                self.ready.remove(place);
            }
            State::Waiting(_) => {
                let place = self.place_waiting(slot);
                self.waiting.remove(place);
            }
            State::Dialling | State::Linked(_) => return,
        }
        let place = self.place_idle(slot);
        self.idle.remove(place);
    }

    fn address_of(&self, slot: u16) -> Option<&Kept> {
        self.get(slot).map(|candidate| &candidate.address)
    }

    fn place_ready(&self, slot: u16) -> usize {
        let key = |slot: u16| self.get(slot).map(|candidate| candidate.order(slot));
        let own = key(slot);
        self.ready.partition_point(|&other| key(other) < own)
    }

    fn place_waiting(&self, slot: u16) -> usize {
        let key = |slot: u16| self.get(slot).map(|candidate| (candidate.waits_until(), slot));
        let own = key(slot);
        self.waiting.partition_point(|&other| key(other) < own)
    }

    fn place_idle(&self, slot: u16) -> usize {
        let key = |slot: u16| self.get(slot).map(|candidate| (candidate.source, candidate.order(slot)));
        let own = key(slot);
        self.idle.partition_point(|&other| key(other) < own)
    }
}
