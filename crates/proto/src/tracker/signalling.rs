//! How browsers meet: who takes part in which swarm over WebSocket, whose offers go to whom, and which answers go back. The tracker
//! passes session descriptions on and knows nothing of the links that come of them.
//!
//! What always holds: an offer goes to members of its swarm alone, each to one of them, never to who made it; an answer goes only to
//! who made an offer that this visitor was given, once, and not long after; a name in a swarm belongs to one visitor as long as it is
//! there. What one visitor can hold is bounded, and so is everything. Swarms of this kind are counted apart from those of `SwarmTable`:
//! their members cannot be dialled. Threats: C13, E8. BEP: 3, 48

use crate::{Duration, Instant, Rng};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use wire::announce::AnnounceEvent;
use wire::tracker_udp::ScrapeCounts;
use wire::tracker_ws::{Announce, Answer, OFFERS_MAX, Offer, OfferId, Reply};
use wire::{InfoHash, PeerId};

#[cfg(test)]
mod tests;

/// An answer that comes later finds nobody: a browser gives up on an offer after some 50 s.
pub const OFFER_LIFETIME: Duration = Duration::from_secs(120);

/// Offers of one visitor that wait for answers; further ones push out its oldest. A seed of fifty torrents makes 250 in two minutes.
pub const OFFERS_OPEN_MAX: usize = 512;
/// The same while all visitors together have as many as there may be ([`Rules::offers_max`]): those of one announce.
pub const OFFERS_SCARCE_MAX: usize = OFFERS_MAX;

/// Memberships of one visitor while half of all places ([`Rules::members_max`]) are taken: so few that the other half is enough for 4,096
/// connections by the default rules, however many of them want all that they can have.
pub const MEMBERSHIPS_SCARCE_MAX: usize = 20;

/// Members looked at per announce, for expiry.
const SWEEP_MEMBERS: usize = 8;

/// Who is drawn a second time is left out; so often it is tried.
const DRAWS_PER_OFFER: usize = 4;

/// How the swarms of browsers behave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rules {
    /// When browsers are told to come again.
    pub interval: Duration,
    /// Members of all swarms together; nobody further is let in. Some 250 bytes each.
    pub members_max: usize,
    /// Memberships of one visitor: a connection may speak for many torrents, but for few ([`MEMBERSHIPS_SCARCE_MAX`]) further ones once half
    /// of the places are taken.
    pub memberships_max: usize,
    /// Offers that wait for answers, all visitors together; beyond that each visitor may have but a few. Some 200 bytes each.
    pub offers_max: usize,
}

impl Default for Rules {
    /// Two minutes, by custom; 200,000 members and as many offers, some 90 MB; 1,000 memberships for one connection.
    fn default() -> Rules {
        Rules {
            interval: Duration::from_secs(120),
            members_max: 200_000,
            memberships_max: 1_000,
            offers_max: 200_000,
        }
    }
}

/// A connection, as the driver numbers them: never twice the same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct VisitorId(pub u64);

/// What is to be said to whom. One whom it does not reach is gone.
pub type Says = Vec<(VisitorId, Reply)>;

/// The swarms of browsers.
#[derive(Debug)]
pub struct Signalling {
    rules: Rules,
    swarms: BTreeMap<InfoHash, Swarm>,
    /// Everybody's place in its swarm.
    members: BTreeMap<(InfoHash, PeerId), Place>,
    visitors: BTreeMap<VisitorId, Visitor>,
    /// Offers that may be answered.
    open: BTreeMap<Given, Open>,
    /// Where the sweep goes on.
    sweep: (InfoHash, PeerId),
}

/// An offer on its way: to whom, of which torrent, under which name, and what its maker calls itself.
type Given = (VisitorId, InfoHash, OfferId, PeerId);

#[derive(Clone, Copy, Debug)]
struct Open {
    maker: VisitorId,
    made: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    at: u32,
    seen: Instant,
}

/// Seeds lie before leechers, so that either kind is drawn without a search.
#[derive(Debug, Default)]
struct Swarm {
    slab: Vec<Member>,
    seeds: u32,
    downloaded: u32,
}

#[derive(Clone, Copy, Debug)]
struct Member {
    visitor: VisitorId,
    peer_id: PeerId,
}

/// Whose offers are handed out.
#[derive(Clone, Copy)]
struct Maker {
    visitor: VisitorId,
    info_hash: InfoHash,
    peer_id: PeerId,
    seeks: bool,
}

#[derive(Debug, Default)]
struct Visitor {
    memberships: BTreeSet<(InfoHash, PeerId)>,
    /// Its offers that wait for answers, oldest first; those that were answered are in it still.
    offers: VecDeque<Given>,
}

impl Signalling {
    /// Nobody is here yet.
    pub fn new(rules: Rules) -> Signalling {
        Signalling {
            rules,
            swarms: BTreeMap::new(),
            members: BTreeMap::new(),
            visitors: BTreeMap::new(),
            open: BTreeMap::new(),
            sweep: (InfoHash([0; 20]), PeerId([0; 20])),
        }
    }

    /// A browser announces: it is kept or forgotten, its offers go to others, and it is told how its swarm stands.
    pub fn on_announce(
        &mut self,
        now: Instant,
        visitor: VisitorId,
        announce: Announce,
        rng: &mut Rng,
        says: &mut Says,
    ) {
        self.sweep(now);
        let Announce { info_hash, peer_id, left, event, offers } = announce;
        if event == AnnounceEvent::Stopped {
            if self.members.contains_key(&(info_hash, peer_id)) && self.belongs(visitor, (info_hash, peer_id))
            {
                self.leave((info_hash, peer_id));
            }
        } else {
            if let Err(reason) = self.enter(now, visitor, (info_hash, peer_id), left == Some(0), event) {
                let reason = reason.into();
                says.push((visitor, Reply::Refused { reason, info_hash: Some(info_hash) }));
                return;
            }
            // A partial seed lacks something, but wants nothing (BEP 21).
            let seeks = left != Some(0) && event != AnnounceEvent::Paused;
            let maker = Maker { visitor, info_hash, peer_id, seeks };
            self.hand_out(now, maker, offers, rng, says);
        }
        let interval = u32::try_from(self.rules.interval.as_secs()).unwrap_or(u32::MAX);
        says.push((visitor, Reply::Announced { info_hash, interval, counts: self.scrape(info_hash) }));
    }

    /// A browser answers an offer that it was given.
    pub fn on_answer(&mut self, now: Instant, visitor: VisitorId, answer: Answer, says: &mut Says) {
        let Answer { info_hash, peer_id, to, offer, .. } = answer;
        let refused = |reason: &str| Reply::Refused { reason: reason.into(), info_hash: Some(info_hash) };
        if !self.belongs(visitor, (info_hash, peer_id)) {
            return says.push((visitor, refused("announce this torrent before you answer an offer")));
        }
        match self.open.remove(&(visitor, info_hash, offer, to)) {
            Some(Open { maker, made }) if made + OFFER_LIFETIME > now => {
                says.push((maker, Reply::Answered(answer)));
            }
            // It comes late, or again, or was made up.
            _ => says.push((visitor, refused("there is no such offer that waits for your answer"))),
        }
    }

    /// A connection is gone, with all that it took part in.
    pub fn on_closed(&mut self, visitor: VisitorId) {
        let Some(gone) = self.visitors.remove(&visitor) else { return };
        for name in gone.memberships {
            self.remove(name);
        }
        for given in gone.offers {
            self.open.remove(&given);
        }
    }

    /// How a swarm stands; all 0 if it is unknown.
    pub fn scrape(&self, info_hash: InfoHash) -> ScrapeCounts {
        self.swarms.get(&info_hash).map(Swarm::counts).unwrap_or_default()
    }

    /// Swarms.
    pub fn swarms(&self) -> usize {
        self.swarms.len()
    }

    /// Members of all swarms.
    pub fn members(&self) -> usize {
        self.members.len()
    }

    /// Looks at the next few members and forgets those that stayed away, and offers that nobody answered. Announces do it by
    /// themselves; a tracker without visitors may call it now and then.
    pub fn sweep(&mut self, now: Instant) {
        let lifetime = self.rules.interval * 2 + Duration::from_secs(60);
        let some = self.members.range(self.sweep..).take(SWEEP_MEMBERS + 1);
        let some: Vec<_> = some.map(|(name, place)| (*name, place.seen)).collect();
        self.sweep = some.get(SWEEP_MEMBERS).map_or((InfoHash([0; 20]), PeerId([0; 20])), |(name, _)| *name);
        for (name, seen) in some.into_iter().take(SWEEP_MEMBERS) {
            if let Some(member) = self.member(name) {
                self.forget_old_offers(now, member.visitor);
            }
            if seen + lifetime < now {
                self.leave(name);
            }
        }
    }

    /// Whether a name is this visitor's.
    fn belongs(&self, visitor: VisitorId, name: (InfoHash, PeerId)) -> bool {
        self.visitors.get(&visitor).is_some_and(|visitor| visitor.memberships.contains(&name))
    }

    fn enter(
        &mut self,
        now: Instant,
        visitor: VisitorId,
        name: (InfoHash, PeerId),
        seed: bool,
        event: AnnounceEvent,
    ) -> Result<(), &'static str> {
        if !self.members.contains_key(&name) {
            if self.members.len() >= self.rules.members_max {
                return Err("this tracker is full");
            }
            let is_scarce = self.members.len() >= self.rules.members_max / 2;
            let state = self.visitors.entry(visitor).or_default();
            if state.memberships.len() >= self.rules.memberships_max {
                return Err("too many torrents over one connection");
            }
            if is_scarce && state.memberships.len() >= MEMBERSHIPS_SCARCE_MAX {
                return Err("too many torrents over one connection while this tracker has little room");
            }
            state.memberships.insert(name);
            let swarm = self.swarms.entry(name.0).or_default();
            let at = swarm.slab.len() as u32;
            swarm.slab.push(Member { visitor, peer_id: name.1 });
            self.members.insert(name, Place { at, seen: now });
        } else if !self.belongs(visitor, name) {
            return Err("somebody else is known by this peer_id");
        }
        let (Some(place), Some(swarm)) = (self.members.get_mut(&name), self.swarms.get_mut(&name.0)) else {
            return Ok(());
        };
        place.seen = now;
        let at = place.at;
        let was_seed = at < swarm.seeds;
        if event == AnnounceEvent::Completed && !was_seed {
            swarm.downloaded = swarm.downloaded.saturating_add(1);
        }
        match (was_seed, seed) {
            (true, true) | (false, false) => {}
            (false, true) => {
                let border = swarm.seeds;
                swarm.seeds += 1;
                self.swap(name.0, at, border);
            }
            (true, false) => {
                swarm.seeds -= 1;
                let border = swarm.seeds;
                self.swap(name.0, at, border);
            }
        }
        Ok(())
    }

    /// Each offer goes to another member, drawn by lot; to leechers alone if its maker seeks nothing.
    fn hand_out(&mut self, now: Instant, maker: Maker, offers: Vec<Offer>, rng: &mut Rng, says: &mut Says) {
        self.forget_old_offers(now, maker.visitor);
        let Maker { info_hash, peer_id: from, .. } = maker;
        let Some(swarm) = self.swarms.get(&info_hash) else { return };
        let first = if maker.seeks { 0 } else { swarm.seeds as usize };
        let pool: &[Member] = &swarm.slab[first..];
        // Of a few everybody gets one, itself aside; of many chance finds another soon enough.
        let few = pool.len() <= offers.len() + 1;
        let (mut in_turn, mut drawn) = (0..pool.len(), BTreeSet::new());
        let mut handed = Vec::with_capacity(offers.len());
        for offer in offers {
            let is_other = |at: &usize| pool[*at].peer_id != from;
            let next = if few {
                in_turn.by_ref().find(is_other)
            } else {
                let mut draws = (0..DRAWS_PER_OFFER).map(|_| rng.index(pool.len()));
                draws.find(|at| is_other(at) && drawn.insert(*at))
            };
            handed.extend(next.map(|at| (pool[at].visitor, offer)));
        }
        for (to, offer) in handed {
            self.remember(now, maker.visitor, (to, info_hash, offer.id, from));
            says.push((to, Reply::Offered { info_hash, from, offer }));
        }
    }

    fn remember(&mut self, now: Instant, maker: VisitorId, given: Given) {
        let most = if self.open.len() < self.rules.offers_max { OFFERS_OPEN_MAX } else { OFFERS_SCARCE_MAX };
        let offers = &mut self.visitors.entry(maker).or_default().offers;
        while offers.len() >= most
            && let Some(oldest) = offers.pop_front()
        {
            self.open.remove(&oldest);
        }
        offers.push_back(given);
        self.open.insert(given, Open { maker, made: now });
    }

    fn forget_old_offers(&mut self, now: Instant, maker: VisitorId) {
        let Some(visitor) = self.visitors.get_mut(&maker) else { return };
        while let Some(oldest) = visitor.offers.front() {
            // Those that were answered are no longer open.
            if self.open.get(oldest).is_some_and(|open| open.made + OFFER_LIFETIME > now) {
                return;
            }
            self.open.remove(oldest);
            visitor.offers.pop_front();
        }
    }

    fn member(&self, name: (InfoHash, PeerId)) -> Option<&Member> {
        let at = self.members.get(&name)?.at;
        self.swarms.get(&name.0)?.slab.get(at as usize)
    }

    /// A member goes, and its visitor knows.
    fn leave(&mut self, name: (InfoHash, PeerId)) {
        if let Some(visitor) = self.remove(name)
            && let Some(state) = self.visitors.get_mut(&visitor)
        {
            state.memberships.remove(&name);
        }
    }

    /// Takes a member out of its swarm; says whose it was.
    fn remove(&mut self, name: (InfoHash, PeerId)) -> Option<VisitorId> {
        let mut at = self.members.get(&name)?.at;
        let swarm = self.swarms.get_mut(&name.0)?;
        if at < swarm.seeds {
            swarm.seeds -= 1;
            let border = swarm.seeds;
            self.swap(name.0, at, border);
            at = border;
        }
        let last = self.swarms.get(&name.0)?.slab.len() as u32 - 1;
        self.swap(name.0, at, last);
        self.members.remove(&name);
        let swarm = self.swarms.get_mut(&name.0)?;
        let gone = swarm.slab.pop();
        if swarm.slab.is_empty() {
            self.swarms.remove(&name.0);
        }
        gone.map(|member| member.visitor)
    }

    fn swap(&mut self, info_hash: InfoHash, a: u32, b: u32) {
        let Some(swarm) = self.swarms.get_mut(&info_hash) else { return };
        swarm.slab.swap(a as usize, b as usize);
        for at in [a, b] {
            let name = (info_hash, swarm.slab[at as usize].peer_id);
            if let Some(place) = self.members.get_mut(&name) {
                place.at = at;
            }
        }
    }
}

impl Swarm {
    fn counts(&self) -> ScrapeCounts {
        let all = self.slab.len() as u32;
        ScrapeCounts { seeders: self.seeds, completed: self.downloaded, leechers: all - self.seeds }
    }
}
