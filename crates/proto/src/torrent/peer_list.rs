//! The peers of one torrent that we know of, linked or not, and whom to dial next. Not the links, and not how to dial.
//!
//! Invariants: an address is in the list once; the list is bounded, and when it is full the source that filled it most
//! gives way; nothing here walks the whole list but [`PeerList::set_our_address`], [`PeerList::recall_useless`],
//! [`PeerList::forget_gossip`] and a change of bounds; an address
//! that only gossip names and that never shook hands is dialled at most once an hour. BEP: 40. Threats: C6, C10, C12

mod attempts;
mod bans;
mod candidate;
mod order;
pub mod priority;
mod told;

use crate::address::{self, Kept, canonical};
use crate::input::{DialFailure, PeerSource};
use crate::{Duration, Instant, Rng};
use attempts::Attempts;
pub use attempts::{ATTEMPT_INTERVAL, ATTEMPTS_MAX};
pub use bans::BANS_MAX;
use bans::Bans;
use candidate::{Candidate, State};
use core::net::{IpAddr, SocketAddr};
pub use told::TOLD_MAX;
use told::Tellers;

/// Candidates of an active torrent: some 100 times what it links to, as the field has it. About 0.5 MiB when full.
pub const CANDIDATES_MAX: usize = 3_000;
/// Candidates of a paused torrent.
pub const CANDIDATES_PAUSED_MAX: usize = 1_000;
/// Candidates in one public /24 or /48: a block of addresses that one party may hold must not fill the list.
pub const GROUP_CANDIDATES_MAX: u16 = 64;
/// First wait before a candidate that failed is tried again; doubles with each further failure.
pub const RETRY_MIN: Duration = Duration::from_secs(30);
/// Longest such wait.
pub const RETRY_MAX: Duration = Duration::from_secs(3600);
/// The same for peers that the user named: he waits and watches.
pub const RETRY_USER_MIN: Duration = Duration::from_secs(5);
/// Longest such wait.
pub const RETRY_USER_MAX: Duration = Duration::from_secs(600);
/// Wait after a link that went well and ended.
pub const RECONNECT: Duration = Duration::from_secs(10);
/// A link that lasted this long went well: failures before it are forgiven.
pub const GOOD_LINK: Duration = Duration::from_secs(60);
/// Wait after we left a peer because neither had anything for the other.
pub const USELESS_WAIT: Duration = Duration::from_secs(1800);
/// Wait after a dial that our own limits held back.
pub const NOT_TRIED_WAIT: Duration = Duration::from_secs(1);

/// Known peers of one torrent.
///
/// The indices are lists of slots, each in an order that the candidates themselves give: two bytes a candidate and index, and at
/// most [`CANDIDATES_MAX`] to move when one goes in.
#[derive(Clone, Debug, Default)]
pub struct PeerList {
    slots: Vec<Option<Candidate>>,
    free: Vec<u16>,
    /// All, by address.
    by_address: Vec<u16>,
    /// May be dialled now, best first.
    ready: Vec<u16>,
    /// May be dialled later, soonest first.
    waiting: Vec<u16>,
    /// Ready or waiting, by source, best first: who gives way.
    idle: Vec<u16>,
    /// Candidates by source.
    per_source: [u16; SOURCES],
    /// Apart, because most torrents hear of nobody by strangers and refuse nobody.
    rare: Option<Box<Rare>>,
    our_address: Option<SocketAddr>,
    paused: bool,
}

/// What a list has that strangers told something, or that refuses somebody.
#[derive(Clone, Debug, Default)]
struct Rare {
    attempts: Attempts,
    tellers: Tellers,
    bans: Bans,
}

/// Why an address was not taken into the list.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Refused {
    /// Port 0, or an address that no peer can have.
    NoAddress,
    /// A port below 1024, where no peer listens but many victims do, named by gossip or by a peer that says it is its own.
    PrivilegedPort,
    /// It is ours.
    Ourselves,
    /// It is banned.
    Banned,
    /// A machine of a private network, named by a peer from outside.
    Local,
    /// Who named it has named as many as it may.
    TellerFull,
    /// The list, or this address block's part of it, is full of candidates no worse.
    Full,
}

/// How a link to a candidate ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Parting {
    /// It closed or broke.
    Ended,
    /// Neither had anything for the other.
    Useless,
    /// The peer broke the protocol.
    Misbehaved,
}

/// How many kinds of source there are.
const SOURCES: usize = 7;
const ALL_SOURCES: [PeerSource; SOURCES] = [
    PeerSource::User,
    PeerSource::Tracker,
    PeerSource::Incoming,
    PeerSource::Resume,
    PeerSource::Lsd,
    PeerSource::Dht,
    PeerSource::Pex,
];

impl PeerList {
    /// An empty list.
    pub fn new() -> PeerList {
        PeerList::default()
    }

    /// A peer was named. `Ok(true)` if it is new. Named again by a better source, it moves up.
    pub fn add(&mut self, address: SocketAddr, source: PeerSource, rng: &mut Rng) -> Result<bool, Refused> {
        let address = canonical(address);
        if address.port() == 0 || !address::may_be_a_peer(address.ip()) {
            return Err(Refused::NoAddress);
        }
        // Nor on a peer's own word: what answers there may be another's server behind the same address.
        if address.port() < 1024 && (is_gossip(source) || source == PeerSource::Incoming) {
            return Err(Refused::PrivilegedPort);
        }
        if self.rare.as_ref().is_some_and(|rare| rare.bans.is_ours(address)) {
            return Err(Refused::Ourselves);
        }
        if self.is_banned(address.ip()) {
            return Err(Refused::Banned);
        }
        if let Some((slot, _)) = self.find(address) {
            self.named_again(slot, source);
            return Ok(false);
        }
        self.make_room(address, source)?;
        let lot = rng.next_u32();
        let priority = self.our_address.map_or(lot, |ours| priority::priority(ours, address));
        self.insert(Candidate::new(address, source, priority));
        Ok(true)
    }

    /// The best candidate to dial at `now`, if any; it counts as being dialled until [`PeerList::dial_failed`] or
    /// [`PeerList::linked`].
    pub fn next(&mut self, now: Instant) -> Option<SocketAddr> {
        while let Some(&slot) = self.waiting.first()
            && self.get(slot)?.waits_until() <= now
        {
            self.set_state(slot, State::Ready);
        }
        while let Some(&slot) = self.ready.first() {
            let candidate = self.get(slot)?;
            let address = candidate.address.get();
            if !candidate.proven
                && is_gossip(candidate.source)
                && let Err(until) = self.rare().attempts.try_now(now, address)
            {
                self.set_state(slot, State::Waiting(until));
                continue;
            }
            self.set_state(slot, State::Dialling);
            return Some(address);
        }
        None
    }

    /// Whether only strangers' words speak for an address: it never shook hands with us, and may be anybody's (C10).
    pub fn is_hearsay(&self, address: SocketAddr) -> bool {
        self.find(address).is_some_and(|(_, candidate)| !candidate.proven && is_gossip(candidate.source))
    }

    /// A dial came to nothing.
    pub fn dial_failed(&mut self, now: Instant, address: SocketAddr, why: DialFailure) {
        let Some((slot, candidate)) = self.find(address) else { return };
        if candidate.state() != State::Dialling {
            return;
        }
        match why {
            DialFailure::NotTried => {
                if let Some(rare) = &mut self.rare {
                    rare.attempts.withdraw(canonical(address));
                }
                self.set_state(slot, State::Waiting(now + NOT_TRIED_WAIT));
            }
            DialFailure::Refused
            | DialFailure::TimedOut
            | DialFailure::Unreachable
            | DialFailure::Handshake => {
                // What was said of it did not help: next time it is met as any other.
                self.edit(slot, |candidate| candidate.encrypted = false);
                self.blame(now, slot);
            }
        }
    }

    /// A link is up, whoever began it; `address` is where the peer listens. Nothing happens if it is not in the list.
    pub fn linked(&mut self, now: Instant, address: SocketAddr) {
        let Some((slot, _)) = self.find(address) else { return };
        self.edit(slot, |candidate| {
            candidate.proven = true;
            candidate.useless = false;
            candidate.set_state(State::Linked(now));
        });
    }

    /// The last link to a candidate ended; of two links to one peer only the end of the second is told.
    pub fn parted(&mut self, now: Instant, address: SocketAddr, how: Parting) {
        let Some((slot, candidate)) = self.find(address) else { return };
        let State::Linked(since) = candidate.state() else { return };
        match how {
            Parting::Ended if now.since(since) >= GOOD_LINK => self.edit(slot, |candidate| {
                candidate.fails = 0;
                candidate.set_state(State::Waiting(now + RECONNECT));
            }),
            Parting::Useless => self.edit(slot, |candidate| {
                candidate.useless = true;
                candidate.set_state(State::Waiting(now + USELESS_WAIT));
            }),
            Parting::Ended | Parting::Misbehaved => self.blame(now, slot),
        }
    }

    /// We want something again: those that we left because they had nothing for us may be dialled soon.
    pub fn recall_useless(&mut self, now: Instant) {
        for slot in 0..self.slots.len() as u16 {
            let waits = |candidate: &Candidate| matches!(candidate.state(), State::Waiting(_));
            if self.get(slot).is_some_and(|candidate| candidate.useless && waits(candidate)) {
                self.edit(slot, |candidate| {
                    candidate.useless = false;
                    candidate.set_state(State::Waiting(now + RECONNECT));
                });
            }
        }
    }

    /// Forgets whom only gossip names (DHT, LSD, PEX), once, when a torrent turns out to be private (BEP 27). Returns those that
    /// are linked: the links are the caller's to close.
    pub fn forget_gossip(&mut self) -> Vec<SocketAddr> {
        let mut linked = Vec::new();
        for slot in 0..self.slots.len() as u16 {
            match self.get(slot) {
                Some(candidate) if is_gossip(candidate.source) => match candidate.state() {
                    State::Linked(_) => linked.push(candidate.address.get()),
                    State::Ready | State::Waiting(_) | State::Dialling => self.remove(slot),
                },
                Some(_) | None => {}
            }
        }
        linked
    }

    /// Forgets a host and refuses it from now on, on any port. Its links, if it has any, are the caller's to close.
    pub fn ban(&mut self, ip: IpAddr) {
        self.rare().bans.ban(ip);
        let (low, high) = match address::host(ip) {
            IpAddr::V4(host) => (IpAddr::V4(host), IpAddr::V4(host)),
            IpAddr::V6(host) => {
                let last = host.to_bits() | u128::from(u64::MAX);
                (IpAddr::V6(host), IpAddr::V6(last.into()))
            }
        };
        let doomed: Vec<u16> = self.between(low, high).map(|(slot, _)| slot).collect();
        doomed.into_iter().for_each(|slot| self.remove(slot));
    }

    /// Whether this host is refused.
    pub fn is_banned(&self, ip: IpAddr) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.bans.is_banned(ip))
    }

    /// An address turned out to be our own: it is forgotten and refused.
    pub fn add_ourselves(&mut self, address: SocketAddr) {
        let address = canonical(address);
        self.rare().bans.add_ours(address);
        if let Some((slot, _)) = self.find(address) {
            self.remove(slot);
        }
    }

    /// Our address as others see it, as far as we know.
    pub fn our_address(&self) -> Option<SocketAddr> {
        self.our_address
    }

    /// Our address as others see it, for BEP 40. Re-orders the whole list if it changed.
    pub fn set_our_address(&mut self, address: SocketAddr) {
        let address = canonical(address);
        if self.our_address.replace(address) == Some(address) {
            return;
        }
        for slot in 0..self.slots.len() as u16 {
            self.edit(slot, |candidate| {
                candidate.priority = priority::priority(address, candidate.address.get());
            });
        }
    }

    /// A paused torrent keeps fewer candidates.
    pub fn set_paused(&mut self, paused: bool) {
        self.paused = paused;
        while self.len() > self.bound()
            && let Some(slot) = self.fattest().and_then(|source| self.worst_of(source))
        {
            self.remove(slot);
        }
    }

    /// When [`PeerList::next`] may have something: at once ([`Instant::ZERO`]), later, or never as things stand.
    pub fn next_wake(&self) -> Option<Instant> {
        match self.ready.is_empty() {
            false => Some(Instant::ZERO),
            true => self.waiting.first().and_then(|&slot| Some(self.get(slot)?.waits_until())),
        }
    }

    /// Known peers, linked or not.
    pub fn len(&self) -> usize {
        self.by_address.len()
    }

    /// Whether nobody is known.
    pub fn is_empty(&self) -> bool {
        self.by_address.is_empty()
    }

    /// Known peers that are neither linked nor being dialled.
    pub fn candidates(&self) -> usize {
        self.idle.len()
    }

    /// Whether one of these has not come to nothing since it was named, or last went well.
    pub fn knows_untried(&self) -> bool {
        let first = |source| {
            let of = |slot: u16| self.get(slot).map(|candidate| candidate.source);
            let place = self.idle.partition_point(|&slot| of(slot) < Some(source));
            self.idle.get(place).and_then(|&slot| self.get(slot))
        };
        let untried = |source| first(source).is_some_and(|best| best.source == source && best.fails == 0);
        ALL_SOURCES.into_iter().any(untried)
    }

    fn bound(&self) -> usize {
        if self.paused { CANDIDATES_PAUSED_MAX } else { CANDIDATES_MAX }
    }

    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    fn get(&self, slot: u16) -> Option<&Candidate> {
        self.slots.get(usize::from(slot))?.as_ref()
    }

    /// One more failure: the next attempt waits twice as long.
    fn blame(&mut self, now: Instant, slot: u16) {
        self.edit(slot, |candidate| {
            candidate.fails = candidate.fails.saturating_add(1);
            candidate.useless = false;
            let (least, most) = match candidate.source {
                PeerSource::User => (RETRY_USER_MIN, RETRY_USER_MAX),
                source if is_gossip(source) && !candidate.proven => (ATTEMPT_INTERVAL, ATTEMPT_INTERVAL * 24),
                _ => (RETRY_MIN, RETRY_MAX),
            };
            let doublings = u32::from(candidate.fails - 1).min(16);
            candidate.set_state(State::Waiting(now + (least * (1 << doublings)).min(most)));
        });
    }

    fn named_again(&mut self, slot: u16, source: PeerSource) {
        let Some(candidate) = self.get(slot) else { return };
        let old = candidate.source;
        // Whom the user names he wants to see tried now, whatever came of it before.
        if let (PeerSource::User, State::Waiting(_)) = (source, candidate.state()) {
            self.set_state(slot, State::Ready);
        }
        if source >= old {
            return;
        }
        self.per_source[old as usize] -= 1;
        self.per_source[source as usize] += 1;
        let mut teller = None;
        self.edit(slot, |candidate| {
            (candidate.source, candidate.doubtful) = (source, false);
            teller = candidate.teller.take();
        });
        self.forget_teller(teller);
    }

    fn forget_teller(&mut self, teller: Option<Box<IpAddr>>) {
        if let (Some(teller), Some(rare)) = (teller, &mut self.rare) {
            rare.tellers.forget(*teller);
        }
    }

    /// Room for one more candidate, at the expense of the source that has most.
    fn make_room(&mut self, address: SocketAddr, source: PeerSource) -> Result<(), Refused> {
        let group = address::block(address.ip());
        if group.is_some_and(|group| self.is_group_full(group)) && source != PeerSource::User {
            return Err(Refused::Full);
        }
        if self.len() < self.bound() {
            return Ok(());
        }
        let fattest = self.fattest().ok_or(Refused::Full)?;
        let even = self.per_source[fattest as usize] <= self.per_source[source as usize].saturating_add(1);
        let from = if even && source != PeerSource::User { source } else { fattest };
        let victim = self.worst_of(from).ok_or(Refused::Full)?;
        // Among its own a newcomer only replaces one that failed.
        if from == source && self.get(victim).is_none_or(|candidate| candidate.fails == 0) {
            return Err(Refused::Full);
        }
        self.remove(victim);
        Ok(())
    }

    /// The source with the most candidates; what the user named never gives way.
    fn fattest(&self) -> Option<PeerSource> {
        let idle = |source: &PeerSource| *source != PeerSource::User && self.worst_of(*source).is_some();
        ALL_SOURCES.into_iter().filter(idle).max_by_key(|source| self.per_source[*source as usize])
    }

    fn set_state(&mut self, slot: u16, state: State) {
        self.edit(slot, |candidate| candidate.set_state(state));
    }

    fn insert(&mut self, candidate: Candidate) {
        let slot = self.free.pop().unwrap_or_else(|| {
            if self.slots.len() == self.slots.capacity() {
                self.slots.reserve_exact(4 + self.slots.len() / 4);
            }
            self.slots.push(None);
            (self.slots.len() - 1) as u16
        });
        self.per_source[candidate.source as usize] += 1;
        self.slots[usize::from(slot)] = Some(candidate);
        self.index_address(slot);
        self.index(slot);
    }

    fn remove(&mut self, slot: u16) {
        self.unindex(slot);
        self.unindex_address(slot);
        let Some(candidate) = self.slots.get_mut(usize::from(slot)).and_then(Option::take) else { return };
        self.per_source[candidate.source as usize] -= 1;
        self.forget_teller(candidate.teller);
        self.free.push(slot);
    }
}

/// Strangers' words, for which no server and no user vouches: anyone can name a victim there.
fn is_gossip(source: PeerSource) -> bool {
    match source {
        PeerSource::User | PeerSource::Tracker | PeerSource::Incoming | PeerSource::Resume => false,
        PeerSource::Lsd | PeerSource::Dht | PeerSource::Pex => true,
    }
}

#[cfg(test)]
mod tests;
