//! How searches go on: a walk per family, then what is to be stored, then the end.

use super::lookup::Lookup;
use super::rpc::{Pending, Why};
use super::search::{Finding, Goal, Owner, Search};
use super::{K, Node, Output, SEARCHES_MAX, SearchId, SearchKey, family};
use crate::Instant;
use wire::krpc::{KrpcFault, NodeInfo, Reply, Want};

impl Node {
    /// A user looks for something.
    pub(super) fn search(&mut self, now: Instant, search: SearchId, goal: Goal, out: &mut Vec<Output>) {
        self.end_searches(now, |owner| *owner == Owner::User(search), out);
        // A user who asks has a reason to think that somebody answers.
        self.halves.iter_mut().flatten().for_each(|half| half.line.heard());
        if self.begin(now, Owner::User(search), goal, out).is_none() {
            out.push(Output::Ended { search, report: super::Report::default() });
        }
    }

    /// Torrents whose turn it is.
    pub(super) fn begin_turns(&mut self, now: Instant, out: &mut Vec<Output>) {
        // Who knows nobody waits for a first node, and then takes its turn at once.
        while self.nodes() > 0 && self.searches.len() < SEARCHES_MAX {
            let Some((info_hash, wanted)) = self.announcer.next(now) else { return };
            let goal = Goal::Peers { info_hash, announce: Some(wanted), scrape: false };
            self.begin(now, Owner::Wanted(info_hash), goal, out);
        }
    }

    /// A search begins. `None` if there is no room for it.
    pub(super) fn begin(
        &mut self,
        now: Instant,
        owner: Owner,
        goal: Goal,
        out: &mut Vec<Output>,
    ) -> Option<SearchKey> {
        if self.searches.len() >= SEARCHES_MAX {
            return None;
        }
        let target = goal.target();
        let lookups = [0, 1].map(|at| {
            let (known, addresses) = self.beginnings(at, &target);
            let half = self.halves[at].as_ref().filter(|_| owner.walks_in(at))?;
            let expected = half.size.expected(&half.table);
            Some(Lookup::new(target, &known, addresses, expected, self.config.defences))
        });
        let key = SearchKey(self.next_key);
        self.next_key = self.next_key.wrapping_add(1);
        let ids = [self.id(0), self.id(1)];
        self.searches.insert(key, Search::new(owner, goal, ids, lookups, now));
        self.advance(now, key, out);
        Some(key)
    }

    /// Asks whom there is to ask; ends the walks, and the search, when nobody is left.
    pub(super) fn advance(&mut self, now: Instant, key: SearchKey, out: &mut Vec<Output>) {
        let Some(mut search) = self.searches.remove(&key) else { return };
        if search.storing.is_none() {
            for at in [0, 1] {
                self.step(now, key, at, &mut search, out);
            }
            let done = |at: usize| {
                search.lookups[at].as_ref().is_none_or(|lookup| lookup.is_done(search.blind[at] > 0))
            };
            if done(0) && done(1) {
                self.store(now, key, &mut search, out);
            }
        }
        if search.storing == Some(0) {
            self.rpc.forget(key);
            self.end(now, search, out);
        } else {
            self.searches.insert(key, search);
        }
    }

    /// One family's walk goes on.
    fn step(&mut self, now: Instant, key: SearchKey, at: usize, search: &mut Search, out: &mut Vec<Output>) {
        let other_is_poor = self.halves[1 - at].as_ref().is_some_and(|half| half.table.len() < K);
        let want = other_is_poor.then_some(Want { v4: true, v6: true });
        while let Some((to, id)) = search.lookups[at].as_mut().and_then(Lookup::next) {
            search.blind[at] += u8::from(id.is_none());
            let method = search.step(want);
            if !self.ask_as(now, search.ids[at], to, id, method, Why::Step(key), out) {
                search.blind[at] -= u8::from(id.is_none());
                search.lookup(at).failed(to);
            }
        }
    }

    /// The walks are over: what is to be stored goes to the nearest nodes.
    fn store(&mut self, now: Instant, key: SearchKey, search: &mut Search, out: &mut Vec<Output>) {
        let mut storing = 0;
        for at in [0, 1] {
            let Some(lookup) = &search.lookups[at] else { continue };
            if let (Owner::Upkeep(_), Some(reach), Some(half)) =
                (search.owner, lookup.reach(), &mut self.halves[at])
            {
                half.size.learn(reach);
            }
            for (info, token) in lookup.to_store_at() {
                let Some(method) = search.store(token) else { break };
                let (to, id) = (info.address, Some(info.id));
                storing += u32::from(self.ask_as(now, search.ids[at], to, id, method, Why::Store(key), out));
            }
        }
        search.storing = Some(storing);
    }

    /// A node answered a step.
    pub(super) fn on_step(
        &mut self,
        now: Instant,
        key: SearchKey,
        by: NodeInfo,
        reply: Reply,
        out: &mut Vec<Output>,
    ) {
        let at = family(&by.address);
        let Some(search) = self.searches.get_mut(&key) else { return };
        let was_blind = search.lookups[at].as_ref().is_some_and(|lookup| !lookup.knows(by.address));
        search.blind[at] = search.blind[at].saturating_sub(u8::from(was_blind));
        let named = if at == 0 { &reply.nodes } else { &reply.nodes6 };
        search.lookup(at).answered(by, reply.token, named);
        let filters = reply.scrape.as_deref();
        if let Some(finding) = search.learn(by, &reply.values, reply.item, filters, reply.samples) {
            match (search.owner, finding) {
                (Owner::User(search), finding) => out.push(Output::Found { search, finding }),
                (Owner::Wanted(info_hash), Finding::Peers(peers)) => {
                    out.push(Output::Peers { info_hash, peers })
                }
                (Owner::Wanted(_) | Owner::Upkeep(_), _) => {}
            }
        }
        self.advance(now, key, out);
    }

    /// A node took what was to be stored, or said why not.
    pub(super) fn on_stored(
        &mut self,
        now: Instant,
        key: SearchKey,
        outcome: Result<(), Option<Box<str>>>,
        out: &mut Vec<Output>,
    ) {
        let Some(search) = self.searches.get_mut(&key) else { return };
        search.storing = search.storing.map(|storing| storing.saturating_sub(1));
        match outcome {
            Ok(()) => search.report.stored += 1,
            Err(Some(words)) => {
                let count = search.report.refused.as_ref().map_or(0, |(count, _)| *count);
                search.report.refused = Some((count + 1, words));
            }
            Err(None) => {}
        }
        self.advance(now, key, out);
    }

    /// A node answered with an error.
    pub(super) fn on_fault(
        &mut self,
        now: Instant,
        pending: &Pending,
        fault: KrpcFault,
        out: &mut Vec<Output>,
    ) {
        self.on_nothing(now, pending, Some(fault.message), out);
    }

    /// A question came to nothing.
    pub(super) fn on_nothing(
        &mut self,
        now: Instant,
        pending: &Pending,
        words: Option<Box<str>>,
        out: &mut Vec<Output>,
    ) {
        match pending.why {
            Why::Step(key) => {
                let at = family(&pending.to);
                if let Some(search) = self.searches.get_mut(&key) {
                    search.blind[at] = search.blind[at].saturating_sub(u8::from(pending.id.is_none()));
                    search.lookup(at).failed(pending.to);
                    self.advance(now, key, out);
                }
            }
            Why::Store(key) => self.on_stored(now, key, Err(words), out),
            Why::Ping | Why::Proof => {}
        }
    }

    /// Ends searches before their time.
    pub(super) fn end_searches(&mut self, now: Instant, of: impl Fn(&Owner) -> bool, out: &mut Vec<Output>) {
        let keys: Vec<SearchKey> =
            self.searches.iter().filter(|(_, search)| of(&search.owner)).map(|(key, _)| *key).collect();
        for key in keys {
            self.rpc.forget(key);
            if let Some(search) = self.searches.remove(&key) {
                self.end(now, search, out);
            }
        }
    }

    fn end(&mut self, now: Instant, search: Search, out: &mut Vec<Output>) {
        let (owner, others) = (search.owner, search.others());
        let report = search.into_report(now);
        match owner {
            Owner::User(search) => out.push(Output::Ended { search, report }),
            Owner::Wanted(info_hash) => {
                self.announcer.ended(now, info_hash, others, report.stored, &mut self.rng);
            }
            Owner::Upkeep(at) => {
                let nodes = self.halves[at].as_ref().map_or(0, |half| half.table.len());
                self.upkeep.ended(now, at, nodes, report.answered as usize);
            }
        }
    }
}
