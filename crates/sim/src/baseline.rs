//! The other way: the same people fetch the same content from a server, and nobody gives anything to anybody.
//!
//! A [`Swarm`]'s seeds together are the server; everybody else is a client with its own downlink. The server's uplink is shared fairly:
//! nobody gets more than its downlink carries, and all others get the same (max-min, a water level). No sessions and no steps of
//! time: rates change when a client comes, is done or goes, and between those moments all is arithmetic in whole numbers. What
//! always holds: no client is ahead of its downlink, and all together are not ahead of the uplink. A connection and a request
//! take three times the latency, and the last byte one; a request costs a head of headers.

use crate::fault::Fault;
use crate::figures::{Figures, PeerRow};
use crate::swarm::{Role, Swarm};
use core::time::Duration;
use proto::Instant;
use std::collections::{BTreeMap, VecDeque};

/// Bytes of the headers before the content.
const HEAD: u64 = 500;
/// Amounts are counted in this fraction of a byte, rates in a million times that per second: so many per byte.
const PARTS: u128 = 1_000_000_000;

/// A server and its clients.
#[derive(Clone, Debug)]
pub struct ClientServer {
    now: Instant,
    seed: u64,
    total: u64,
    rows: Vec<PeerRow>,
    /// Seeds that are up, by number.
    serving: Vec<bool>,
    /// Clients that are being served, by what their downlinks carry.
    lanes: BTreeMap<u64, Lane>,
    agenda: BTreeMap<Instant, Vec<Change>>,
    latency: Duration,
    requests: u64,
    events: u64,
}

/// Clients with equal downlinks: while they are served, they are served alike.
#[derive(Clone, Debug, Default)]
struct Lane {
    /// What each would have who was there from the beginning.
    served: u128,
    /// Parts of a byte per microsecond that each gets now.
    rate: u128,
    /// Who is served, in order of coming, and what the lane has served when it is done.
    line: VecDeque<(u128, u32)>,
}

#[derive(Clone, Debug)]
enum Change {
    Asks(u32),
    Returns(u32),
    Befalls(Fault),
}

impl ClientServer {
    /// The server and the clients that this swarm is cast with. Of its faults those count that make somebody go: a client for good, a
    /// seed until it is back.
    pub fn new(swarm: &Swarm) -> ClientServer {
        let cast = swarm.cast();
        let seeds = || cast.iter().filter(|member| member.role == Role::Seed);
        let latency = seeds().map(|seed| seed.access.latency).max().unwrap_or_default();
        let mut server = ClientServer {
            now: Instant::ZERO,
            seed: swarm.seed,
            total: swarm.content.total,
            serving: cast.iter().map(|member| member.role == Role::Seed).collect(),
            rows: Vec::new(),
            lanes: BTreeMap::new(),
            agenda: BTreeMap::new(),
            latency,
            requests: 0,
            events: 0,
        };
        for (node, member) in (0..).zip(&cast) {
            server.rows.push(PeerRow { member: *member, met: None, finished: None, received: 0, sent: 0 });
            if member.role != Role::Seed {
                let asks = member.joins + 3 * (latency + member.access.latency);
                server.plan(asks, Change::Asks(node));
            }
        }
        for (at, fault) in &swarm.faults {
            server.plan(*at, Change::Befalls(fault.clone()));
        }
        server
    }

    /// Runs the whole of a swarm's time, or until all have everything.
    pub fn run(swarm: &Swarm) -> Figures {
        let mut server = ClientServer::new(swarm);
        let end = Instant::ZERO + swarm.within;
        server.run_until(end);
        server.figures()
    }

    /// Runs up to this moment, or until nothing is left to happen.
    pub fn run_until(&mut self, end: Instant) {
        while self.now < end {
            let planned = self.agenda.first_key_value().map(|(&at, _)| at);
            let done = self.lanes.values().filter_map(|lane| lane.next_done(self.now)).min();
            let Some(next) = [planned, done].into_iter().flatten().min() else { return };
            self.advance(next.min(end));
            if next <= end {
                self.events += 1;
                self.let_go();
                for change in self.agenda.remove(&next).into_iter().flatten() {
                    self.change(change);
                }
                self.share();
            }
        }
    }

    /// Something goes wrong, now.
    pub fn befall(&mut self, fault: Fault) {
        self.change(Change::Befalls(fault));
        self.share();
    }

    /// The time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// What it comes to so far.
    pub fn figures(&self) -> Figures {
        let mut peers = self.rows.clone();
        for lane in self.lanes.values() {
            for &(until, client) in &lane.line {
                peers[client as usize].received = self.received(until - lane.served);
            }
        }
        let payload = peers.iter().map(|row| row.received).sum::<u64>();
        let uplink: u64 = peers.iter().filter(|row| row.member.role == Role::Seed).map(up).sum();
        for row in peers.iter_mut().filter(|row| row.member.role == Role::Seed) {
            row.sent = (u128::from(payload) * u128::from(up(row)) / u128::from(uplink.max(1))) as u64;
        }
        Figures {
            seed: self.seed,
            peers,
            origin_sent: payload,
            payload,
            overhead: self.requests * HEAD,
            wasted: 0,
            events: self.events,
            ended: self.now,
            digest: 0,
            findings: Vec::new(),
            samples: Vec::new(),
        }
    }

    fn plan(&mut self, at: Instant, change: Change) {
        self.agenda.entry(at).or_default().push(change);
    }

    /// Payload bytes of who lacks so much of head and content.
    fn received(&self, lacks: u128) -> u64 {
        let lacks = u64::try_from(lacks.div_ceil(PARTS)).unwrap_or(u64::MAX);
        self.total.saturating_sub(lacks)
    }

    fn advance(&mut self, to: Instant) {
        let span = to.since(self.now).as_micros();
        for lane in self.lanes.values_mut() {
            lane.served += lane.rate * span;
        }
        self.now = to;
    }

    /// Those who have everything are served no longer; the last byte is still on its way to them.
    fn let_go(&mut self) {
        for lane in self.lanes.values_mut() {
            while let Some((_, client)) = lane.line.pop_front_if(|(until, _)| *until <= lane.served) {
                let row = &mut self.rows[client as usize];
                row.finished = Some(self.now + self.latency + row.member.access.latency);
                row.received = self.total;
            }
        }
    }

    fn change(&mut self, change: Change) {
        match change {
            Change::Asks(client) => {
                self.requests += 1;
                let lane = self.lanes.entry(self.rows[client as usize].member.access.down).or_default();
                lane.line.push_back((lane.served + u128::from(self.total + HEAD) * PARTS, client));
            }
            Change::Returns(seed) => self.serving[seed as usize] = true,
            Change::Befalls(Fault::Leave { node }) => self.go(node),
            Change::Befalls(Fault::Crash { node, back_after, how: _ }) => {
                self.go(node);
                if let Some(span) = back_after {
                    self.plan(self.now + span, Change::Returns(node));
                }
            }
            // The rest befalls disks, links between peers and trackers: there are none.
            Change::Befalls(_) => {}
        }
    }

    fn go(&mut self, node: u32) {
        self.serving[node as usize] = false;
        let total = self.total;
        for lane in self.lanes.values_mut() {
            let Some(place) = lane.line.iter().position(|&(_, client)| client == node) else { continue };
            if let Some((until, _)) = lane.line.remove(place) {
                let lacks = u64::try_from((until - lane.served).div_ceil(PARTS)).unwrap_or(u64::MAX);
                self.rows[node as usize].received = total.saturating_sub(lacks);
            }
        }
    }

    /// Shares the uplink: the narrowest downlinks first, for what they leave is everybody's.
    fn share(&mut self) {
        let serving = self.rows.iter().zip(&self.serving);
        let seeds = serving.filter(|(row, serves)| **serves && row.member.role == Role::Seed);
        let mut left: u128 = seeds.map(|(row, _)| u128::from(up(row)) * PARTS / 1_000_000).sum();
        let mut clients: u128 = self.lanes.values().map(|lane| lane.line.len() as u128).sum();
        for (&down, lane) in &mut self.lanes {
            let here = lane.line.len() as u128;
            lane.rate = match here {
                0 => 0,
                _ => (left / clients).min(u128::from(down) * PARTS / 1_000_000),
            };
            left -= lane.rate * here;
            clients -= here;
        }
    }
}

impl Lane {
    /// When the first in line is done, if it is served at all.
    fn next_done(&self, now: Instant) -> Option<Instant> {
        let (until, _) = self.line.front()?;
        if self.rate == 0 {
            return None;
        }
        let span = until.saturating_sub(self.served).div_ceil(self.rate);
        Some(now + Duration::from_micros(u64::try_from(span).ok()?))
    }
}

fn up(row: &PeerRow) -> u64 {
    row.member.access.up
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Crash;
    use crate::network::Access;
    use crate::swarm::access::Mix;
    use crate::swarm::schedule::Arrivals;
    use crate::swarm::{Group, Shape};

    fn swarm(total: u64, uplink: u64, clients: Group) -> Swarm {
        let content = Shape { total, piece_len: 4_000_000, block_len: 1_000_000 };
        let server = Group::seeds(1, Access::new(uplink, uplink));
        let within = Duration::from_secs(1_000_000);
        Swarm { within, ..Swarm::new("server", content, 1).group(server).group(clients) }
    }

    #[test]
    fn a_thousand_clients_of_one_server_take_as_long_as_the_formula_says() {
        // 4 GB, 100 Mbit/s: 88.9 hours.
        let clients = Group::leechers(1000, Access::new(2_500_000, 12_500_000));
        let swarm = swarm(4_000_000_000, 12_500_000, clients);
        assert_eq!(swarm.bound_of_server(), Duration::from_secs(320_000));
        let figures = ClientServer::run(&swarm);
        let last = figures.last().unwrap().as_secs();
        assert!((320_000..320_100).contains(&last), "{last} s");
        assert_eq!((figures.origin_sent, figures.copies_permille(&swarm)), (4_000_000_000_000, 1_000_000));
        // Where the downlink is what it takes, that is so too.
        let slow = super::tests::swarm(100_000_000, 1 << 40, Group::leechers(3, Access::new(1, 1_000_000)));
        let last = ClientServer::run(&slow).last().unwrap().as_millis();
        assert!((100_000..100_300).contains(&last), "{last} ms");
    }

    /// Unlike clients who come at different times, against a model that takes steps of a millisecond.
    #[test]
    fn shares_are_what_small_steps_come_to() {
        let downs = [40_000, 100_000, 250_000, 1_000_000, 5_000_000];
        for seed in 0..5 {
            let clients = Group {
                access: Mix::of(&downs.map(|down| (Access::new(1, down), 1))),
                arrivals: Arrivals::Over(Duration::from_secs(60)),
                ..Group::leechers(20, Access::new(1, 1))
            };
            let mut swarm = swarm(3_000_000, 2_000_000, clients);
            swarm.seed = seed;
            let figures = ClientServer::run(&swarm);
            let expected = stepped(&swarm);
            for (row, expected) in figures.wanting().zip(expected) {
                let found = row.finished.unwrap().as_micros() / 1000;
                assert!(found.abs_diff(expected) <= 20, "{found} ms for {expected} ms: {row:?}");
            }
        }
    }

    /// When each client has everything, in milliseconds.
    fn stepped(swarm: &Swarm) -> Vec<u64> {
        let clients: Vec<_> = swarm.cast().into_iter().filter(|member| member.role != Role::Seed).collect();
        let asks = |place: usize| clients[place].joins.as_micros() / 1000 + 3 * 40;
        let mut lacks = vec![(swarm.content.total + HEAD) as f64; clients.len()];
        let mut done = vec![0; clients.len()];
        for milli in 0.. {
            let mut active: Vec<usize> =
                (0..clients.len()).filter(|&place| lacks[place] > 0.0 && asks(place) <= milli).collect();
            active.sort_by_key(|&place| clients[place].access.down);
            let (mut left, mut count) = (2000.0, active.len() as f64);
            for place in active {
                let rate = (clients[place].access.down as f64 / 1000.0).min(left / count);
                lacks[place] -= rate;
                (left, count) = (left - rate, count - 1.0);
                if lacks[place] <= 0.0 {
                    done[place] = milli + 1 + 40;
                }
            }
            if done.iter().all(|&done| done > 0) {
                break;
            }
        }
        done
    }

    #[test]
    fn when_the_server_dies_nobody_finishes_and_when_it_returns_all_do() {
        let clients = || Group::leechers(10, Access::new(1, 10_000_000));
        let calm = swarm(1_000_000, 1_000_000, clients());
        let mut shaken = calm.clone();
        let crash = |back_after| Fault::Crash { node: 0, how: Crash::Kill, back_after };
        shaken.faults.push((Instant::from_micros(5_000_000), crash(Some(Duration::from_secs(7)))));
        let (calm, late) =
            (ClientServer::run(&calm).last().unwrap(), ClientServer::run(&shaken).last().unwrap());
        assert_eq!((late - calm).as_millis(), 7000);
        shaken.faults[0].1 = crash(None);
        let dead = ClientServer::run(&shaken);
        assert_eq!((dead.finished(), dead.last()), (0, None));
        // Five seconds less a round trip and a half at a million bytes a second.
        assert!((4_800_000..5_000_000).contains(&dead.payload), "{}", dead.payload);
    }

    #[test]
    fn who_leaves_leaves_more_to_the_others() {
        let mut server =
            ClientServer::new(&swarm(1_000_000, 1_000_000, Group::leechers(2, Access::new(1, 1_000_000))));
        server.run_until(Instant::from_micros(1_120_000));
        server.befall(Fault::Leave { node: 1 });
        server.run_until(Instant::from_micros(100_000_000));
        let figures = server.figures();
        // Each had half a million after a second; the other half takes half a second now.
        assert!(figures.peers[1].received.abs_diff(500_000) < 1000 && figures.peers[1].finished.is_none());
        let took = figures.peers[2].took().unwrap().as_millis();
        assert!((1650..1670).contains(&took), "{took} ms");
    }
}
