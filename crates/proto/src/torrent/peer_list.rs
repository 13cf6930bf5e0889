//! The peers of one torrent that we know of, linked or not, and whom to dial next. Not the links, and not how to dial.
//!
//! Invariants: an address is in the list once; the list is bounded, and when it is full the source that filled it most
//! gives way; nothing here walks the whole list but [`PeerList::set_our_address`], [`PeerList::recall_useless`],
//! [`PeerList::forget_gossip`] and a change of bounds; an address
//! that only gossip names and that never shook hands is dialled at most once an hour. BEP: 40. Threats: C6, C10, C12

mod attempts;
mod bans;
pub mod priority;
mod told;

use crate::address::{self, canonical};
use crate::input::{DialFailure, PeerSource};
use crate::{Duration, Instant, Rng};
use attempts::Attempts;
pub use attempts::{ATTEMPT_INTERVAL, ATTEMPTS_MAX};
pub use bans::BANS_MAX;
use bans::Bans;
use core::net::{IpAddr, SocketAddr};
use std::collections::{BTreeMap, BTreeSet};
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
#[derive(Clone, Debug, Default)]
pub struct PeerList {
    slots: Vec<Option<Candidate>>,
    free: Vec<u32>,
    by_address: BTreeMap<SocketAddr, u32>,
    /// May be dialled now, best first.
    ready: BTreeSet<Order>,
    /// May be dialled later.
    waiting: BTreeSet<(Instant, u32)>,
    /// Ready or waiting, by source, best first: who gives way.
    idle: BTreeSet<(PeerSource, Order)>,
    /// Candidates by source.
    per_source: [u16; SOURCES],
    /// Candidates by address block, private ones not counted.
    per_group: BTreeMap<IpAddr, u16>,
    attempts: Box<Attempts>,
    tellers: Box<Tellers>,
    bans: Bans,
    our_address: Option<SocketAddr>,
    paused: bool,
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

/// One known peer.
#[derive(Clone, Debug)]
struct Candidate {
    address: SocketAddr,
    /// The best source that named it.
    source: PeerSource,
    state: State,
    /// Dials and links that went wrong since the last that went well.
    fails: u8,
    /// It shook hands with us, at some time.
    proven: bool,
    /// It waits because neither had anything for the other.
    useless: bool,
    /// BEP 40 if our address is known, else drawn by lot.
    priority: u32,
    /// Which peer's word it is, if nobody better named it.
    teller: Option<IpAddr>,
    /// Nobody said that it can be reached.
    doubtful: bool,
    /// Somebody said that it prefers encryption.
    encrypted: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Ready,
    Waiting(Instant),
    Dialling,
    /// Since when.
    Linked(Instant),
}

/// The order in which candidates are dialled; the least is the best.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Order {
    fails: u8,
    source: PeerSource,
    doubtful: bool,
    /// Priority, turned round.
    rank: u32,
    slot: u32,
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
        if self.bans.is_ours(address) {
            return Err(Refused::Ourselves);
        }
        if self.bans.is_banned(address.ip()) {
            return Err(Refused::Banned);
        }
        if let Some(&slot) = self.by_address.get(&address) {
            self.named_again(slot, source);
            return Ok(false);
        }
        self.make_room(address, source)?;
        let lot = rng.next_u32();
        let priority = self.our_address.map_or(lot, |ours| priority::priority(ours, address));
        self.insert(Candidate {
            address,
            source,
            state: State::Ready,
            fails: 0,
            proven: false,
            useless: false,
            priority,
            teller: None,
            doubtful: false,
            encrypted: false,
        });
        Ok(true)
    }

    /// The best candidate to dial at `now`, if any; it counts as being dialled until [`PeerList::dial_failed`] or
    /// [`PeerList::linked`].
    pub fn next(&mut self, now: Instant) -> Option<SocketAddr> {
        while let Some(&(until, slot)) = self.waiting.first()
            && until <= now
        {
            self.set_state(slot, State::Ready);
        }
        while let Some(&Order { slot, .. }) = self.ready.first() {
            let candidate = self.get(slot)?;
            let address = candidate.address;
            if !candidate.proven
                && is_gossip(candidate.source)
                && let Err(until) = self.attempts.try_now(now, address)
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
        if candidate.state != State::Dialling {
            return;
        }
        match why {
            DialFailure::NotTried => {
                self.attempts.withdraw(canonical(address));
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
            candidate.state = State::Linked(now);
        });
    }

    /// The last link to a candidate ended; of two links to one peer only the end of the second is told.
    pub fn parted(&mut self, now: Instant, address: SocketAddr, how: Parting) {
        let Some((slot, candidate)) = self.find(address) else { return };
        let State::Linked(since) = candidate.state else { return };
        match how {
            Parting::Ended if now.since(since) >= GOOD_LINK => self.edit(slot, |candidate| {
                candidate.fails = 0;
                candidate.state = State::Waiting(now + RECONNECT);
            }),
            Parting::Useless => self.edit(slot, |candidate| {
                candidate.useless = true;
                candidate.state = State::Waiting(now + USELESS_WAIT);
            }),
            Parting::Ended | Parting::Misbehaved => self.blame(now, slot),
        }
    }

    /// We want something again: those that we left because they had nothing for us may be dialled soon.
    pub fn recall_useless(&mut self, now: Instant) {
        for slot in 0..self.slots.len() as u32 {
            if let Some(Candidate { useless: true, state: State::Waiting(_), .. }) = self.get(slot) {
                self.edit(slot, |candidate| {
                    candidate.useless = false;
                    candidate.state = State::Waiting(now + RECONNECT);
                });
            }
        }
    }

    /// Forgets whom only gossip names (DHT, LSD, PEX), once, when a torrent turns out to be private (BEP 27). Returns those that
    /// are linked: the links are the caller's to close.
    pub fn forget_gossip(&mut self) -> Vec<SocketAddr> {
        let mut linked = Vec::new();
        for slot in 0..self.slots.len() as u32 {
            match self.get(slot) {
                Some(candidate) if is_gossip(candidate.source) => match candidate.state {
                    State::Linked(_) => linked.push(candidate.address),
                    State::Ready | State::Waiting(_) | State::Dialling => self.remove(slot),
                },
                Some(_) | None => {}
            }
        }
        linked
    }

    /// Forgets a host and refuses it from now on, on any port. Its links, if it has any, are the caller's to close.
    pub fn ban(&mut self, ip: IpAddr) {
        self.bans.ban(ip);
        let (low, high) = match address::host(ip) {
            IpAddr::V4(host) => (IpAddr::V4(host), IpAddr::V4(host)),
            IpAddr::V6(host) => {
                let last = host.to_bits() | u128::from(u64::MAX);
                (IpAddr::V6(host), IpAddr::V6(last.into()))
            }
        };
        // Addresses are ordered by host first, so one host's ports and scopes lie side by side.
        let from = SocketAddr::new(low, 0);
        let doomed: Vec<u32> = self
            .by_address
            .range(from..)
            .take_while(|(address, _)| address.ip() <= high)
            .map(|(_, slot)| *slot)
            .collect();
        doomed.into_iter().for_each(|slot| self.remove(slot));
    }

    /// Whether this host is refused.
    pub fn is_banned(&self, ip: IpAddr) -> bool {
        self.bans.is_banned(ip)
    }

    /// An address turned out to be our own: it is forgotten and refused.
    pub fn add_ourselves(&mut self, address: SocketAddr) {
        let address = canonical(address);
        self.bans.add_ours(address);
        if let Some(&slot) = self.by_address.get(&address) {
            self.remove(slot);
        }
    }

    /// Our address as others see it, for BEP 40. Re-orders the whole list if it changed.
    pub fn set_our_address(&mut self, address: SocketAddr) {
        let address = canonical(address);
        if self.our_address.replace(address) == Some(address) {
            return;
        }
        for slot in 0..self.slots.len() as u32 {
            self.edit(slot, |candidate| {
                candidate.priority = priority::priority(address, candidate.address);
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
            true => self.waiting.first().map(|(until, _)| *until),
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
            let least = Order { fails: 0, source, doubtful: false, rank: 0, slot: 0 };
            self.idle.range((source, least)..).next()
        };
        let untried = |source| first(source).is_some_and(|(of, order)| *of == source && order.fails == 0);
        ALL_SOURCES.into_iter().any(untried)
    }

    fn bound(&self) -> usize {
        if self.paused { CANDIDATES_PAUSED_MAX } else { CANDIDATES_MAX }
    }

    fn get(&self, slot: u32) -> Option<&Candidate> {
        self.slots.get(slot as usize)?.as_ref()
    }

    fn find(&self, address: SocketAddr) -> Option<(u32, &Candidate)> {
        let slot = *self.by_address.get(&canonical(address))?;
        Some((slot, self.get(slot)?))
    }

    /// One more failure: the next attempt waits twice as long.
    fn blame(&mut self, now: Instant, slot: u32) {
        self.edit(slot, |candidate| {
            candidate.fails = candidate.fails.saturating_add(1);
            candidate.useless = false;
            let (least, most) = match candidate.source {
                PeerSource::User => (RETRY_USER_MIN, RETRY_USER_MAX),
                source if is_gossip(source) && !candidate.proven => (ATTEMPT_INTERVAL, ATTEMPT_INTERVAL * 24),
                _ => (RETRY_MIN, RETRY_MAX),
            };
            let doublings = u32::from(candidate.fails - 1).min(16);
            candidate.state = State::Waiting(now + (least * (1 << doublings)).min(most));
        });
    }

    fn named_again(&mut self, slot: u32, source: PeerSource) {
        let Some(candidate) = self.get(slot) else { return };
        let old = candidate.source;
        // Whom the user names he wants to see tried now, whatever came of it before.
        if let (PeerSource::User, State::Waiting(_)) = (source, candidate.state) {
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
        self.tellers.forget(teller);
    }

    /// Room for one more candidate, at the expense of the source that has most.
    fn make_room(&mut self, address: SocketAddr, source: PeerSource) -> Result<(), Refused> {
        let group_full = address::block(address.ip())
            .is_some_and(|group| self.per_group.get(&group).is_some_and(|&n| n >= GROUP_CANDIDATES_MAX));
        if group_full && source != PeerSource::User {
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

    /// The idle candidate of a source that we would miss least.
    fn worst_of(&self, source: PeerSource) -> Option<u32> {
        let end =
            Order { fails: u8::MAX, source: PeerSource::Pex, doubtful: true, rank: u32::MAX, slot: u32::MAX };
        let (owner, order) = self.idle.range(..=(source, end)).next_back()?;
        (*owner == source).then_some(order.slot)
    }

    fn set_state(&mut self, slot: u32, state: State) {
        self.edit(slot, |candidate| candidate.state = state);
    }

    /// Changes a candidate and keeps the indices true.
    fn edit(&mut self, slot: u32, change: impl FnOnce(&mut Candidate)) {
        let Some(mut candidate) = self.slots.get_mut(slot as usize).and_then(Option::take) else { return };
        self.unindex(slot, &candidate);
        change(&mut candidate);
        self.index(slot, &candidate);
        self.slots[slot as usize] = Some(candidate);
    }

    fn insert(&mut self, candidate: Candidate) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() as u32 - 1
        });
        self.by_address.insert(candidate.address, slot);
        self.per_source[candidate.source as usize] += 1;
        if let Some(group) = address::block(candidate.address.ip()) {
            *self.per_group.entry(group).or_default() += 1;
        }
        self.index(slot, &candidate);
        self.slots[slot as usize] = Some(candidate);
    }

    fn remove(&mut self, slot: u32) {
        let Some(candidate) = self.slots.get_mut(slot as usize).and_then(Option::take) else { return };
        self.unindex(slot, &candidate);
        self.by_address.remove(&candidate.address);
        self.tellers.forget(candidate.teller);
        self.per_source[candidate.source as usize] -= 1;
        if let Some(group) = address::block(candidate.address.ip())
            && let Some(count) = self.per_group.get_mut(&group)
        {
            *count -= 1;
            if *count == 0 {
                self.per_group.remove(&group);
            }
        }
        self.free.push(slot);
    }

    fn index(&mut self, slot: u32, candidate: &Candidate) {
        let order = candidate.order(slot);
        match candidate.state {
            State::Ready => self.ready.insert(order),
            State::Waiting(until) => self.waiting.insert((until, slot)),
            State::Dialling | State::Linked(_) => return,
        };
        self.idle.insert((candidate.source, order));
    }

    fn unindex(&mut self, slot: u32, candidate: &Candidate) {
        let order = candidate.order(slot);
        match candidate.state {
            State::Ready => self.ready.remove(&order),
            State::Waiting(until) => self.waiting.remove(&(until, slot)),
            State::Dialling | State::Linked(_) => return,
        };
        self.idle.remove(&(candidate.source, order));
    }
}

impl Candidate {
    fn order(&self, slot: u32) -> Order {
        let Candidate { fails, source, doubtful, priority, .. } = *self;
        Order { fails, source, doubtful, rank: u32::MAX - priority, slot }
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
