//! Candidates that linked peers named: what is believed of whom, so that no teller crowds out the others. BEP: 11.
//! Threats: C6, C10
//!
//! Invariant: of one teller (a host, however often it comes and goes) at most [`TOLD_MAX`] candidates are in the list.

use super::{PeerList, Refused};
use crate::Rng;
use crate::address;
use crate::input::PeerSource;
use core::net::{IpAddr, SocketAddr};
use std::collections::BTreeMap;
use wire::pex::{PexFlags, PexPeer};

/// Candidates on one teller's word: two messages' worth, so that it takes thirty tellers to fill the list.
pub const TOLD_MAX: u16 = 100;

/// How many candidates are whose word.
#[derive(Clone, Debug, Default)]
pub(super) struct Tellers {
    counts: BTreeMap<IpAddr, u16>,
}

impl Tellers {
    fn is_full(&self, teller: IpAddr) -> bool {
        self.counts.get(&teller).is_some_and(|&count| count >= TOLD_MAX)
    }

    /// One candidate fewer is this teller's word.
    pub(super) fn forget(&mut self, teller: IpAddr) {
        if let Some(count) = self.counts.get_mut(&teller) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.counts.remove(&teller);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn count(&self, teller: IpAddr) -> u16 {
        self.counts.get(&teller).copied().unwrap_or_default()
    }
}

impl PeerList {
    /// The peer at `teller` is linked with another one, or says so. `Ok(true)` if that is new.
    ///
    /// # Errors
    /// As [`PeerList::add`]; besides, a peer from outside names no machine of a private network, and none names too many.
    pub fn told(&mut self, teller: SocketAddr, peer: PexPeer, rng: &mut Rng) -> Result<bool, Refused> {
        let outside = address::block(teller.ip()).is_some();
        if outside && address::block(peer.address.ip()).is_none() {
            return Err(Refused::Local);
        }
        let host = address::host(teller.ip());
        let known = self.find(peer.address).is_some();
        if !known && self.rare.as_ref().is_some_and(|rare| rare.tellers.is_full(host)) {
            return Err(Refused::TellerFull);
        }
        let new = self.add(peer.address, PeerSource::Pex, rng)?;
        if let Some((slot, _)) = self.find(peer.address).filter(|_| new) {
            *self.rare().tellers.counts.entry(host).or_default() += 1;
            self.edit(slot, |candidate| {
                candidate.teller = Some(Box::new(host));
                candidate.doubtful = !peer.flags.has(PexFlags::REACHABLE);
                candidate.encrypted = peer.flags.has(PexFlags::ENCRYPTION);
            });
        }
        Ok(new)
    }

    /// Whether this peer prefers encryption, as another one said.
    pub fn is_said_to_encrypt(&self, address: SocketAddr) -> bool {
        self.find(address).is_some_and(|(_, candidate)| candidate.encrypted)
    }
}
