//! How flows share what their access links carry. Knows lanes (one direction of one link) and flows between two of them, not time.
//!
//! [`Filling`] is exact: all flows grow alike until a lane is full, whose flows then stay as they are. Always holds: no lane carries more
//! than it can, and no flow could have more unless one that has no more than it had less.

use core::cmp::Reverse;
use std::collections::BinaryHeap;

/// How flows share what their links carry.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Sharing {
    /// Each has an equal share of both its links, or the lesser; what it leaves of the other is nobody's.
    Equal,
    /// What slow flows leave of a link goes to its others, as congestion control does it (max-min).
    #[default]
    MaxMin,
}

/// The rates of a max-min sharing, found by filling all lanes together.
#[derive(Debug, Default)]
pub(crate) struct Filling {
    lanes: Vec<Lane>,
    /// Of each flow the two lanes that it takes.
    flows: Vec<[u32; 2]>,
    rates: Vec<u64>,
    /// Flows by lane, as [`Lane::first`] says.
    members: Vec<u32>,
    /// Lanes by what they could give each of their open flows when last looked; it only grows.
    next: BinaryHeap<Reverse<(u64, u32)>>,
}

#[derive(Clone, Copy, Debug)]
struct Lane {
    /// What it can still give.
    left: u64,
    /// Flows whose rate is not known yet.
    open: u32,
    first: u32,
}

/// A rate that is not known yet.
const OPEN: u64 = u64::MAX;

impl Filling {
    /// Begins anew, with lanes that carry so much.
    pub(crate) fn begin(&mut self, capacities: impl Iterator<Item = u64>) {
        self.lanes.clear();
        self.lanes.extend(capacities.map(|left| Lane { left, open: 0, first: 0 }));
        self.flows.clear();
    }

    /// Another flow, through these two lanes.
    pub(crate) fn flow(&mut self, lanes: [u32; 2]) {
        lanes.iter().for_each(|&lane| self.lanes[lane as usize].open += 1);
        self.flows.push(lanes);
    }

    /// The rates of all flows, in their order. O((flows + lanes) log lanes).
    pub(crate) fn rates(&mut self, sharing: Sharing) -> &[u64] {
        self.rates.clear();
        match sharing {
            Sharing::Equal => {
                let lesser =
                    |[a, b]: &[u32; 2]| self.lanes[*a as usize].share().min(self.lanes[*b as usize].share());
                self.rates.extend(self.flows.iter().map(lesser));
            }
            Sharing::MaxMin => {
                self.rates.resize(self.flows.len(), OPEN);
                self.list_members();
                self.fill();
            }
        }
        &self.rates
    }

    fn fill(&mut self) {
        let Filling { lanes, flows, rates, members, next } = self;
        let used = (0..).zip(&*lanes).filter(|(_, lane)| lane.open > 0);
        next.extend(used.map(|(number, lane)| Reverse((lane.share(), number))));
        while let Some(Reverse((share, number))) = next.pop() {
            let lane = lanes[number as usize];
            if lane.open == 0 {
                continue;
            }
            if lane.share() > share {
                next.push(Reverse((lane.share(), number)));
                continue;
            }
            let end = lanes.get(number as usize + 1).map_or(members.len(), |next| next.first as usize);
            for &flow in &members[lane.first as usize..end] {
                let rate = &mut rates[flow as usize];
                if *rate != OPEN {
                    continue;
                }
                *rate = share;
                for lane in flows[flow as usize] {
                    let lane = &mut lanes[lane as usize];
                    lane.left -= share;
                    lane.open -= 1;
                }
            }
        }
    }

    fn list_members(&mut self) {
        let Filling { lanes, flows, members, .. } = self;
        let mut first = 0;
        for lane in lanes.iter_mut() {
            lane.first = first;
            first += lane.open;
        }
        members.clear();
        members.resize(first as usize, 0);
        for (flow, taken) in (0..).zip(&*flows) {
            for &lane in taken {
                let lane = &mut lanes[lane as usize];
                members[lane.first as usize] = flow;
                lane.first += 1;
            }
        }
        // Each lane's first is now the next one's.
        lanes.iter_mut().for_each(|lane| lane.first -= lane.open);
    }
}

impl Lane {
    /// What each open flow could have if no other lane kept it from it.
    fn share(&self) -> u64 {
        self.left.checked_div(self.open.into()).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::{Rng, Seed};

    fn rates(capacities: &[u64], flows: &[[u32; 2]]) -> Vec<u64> {
        let mut filling = Filling::default();
        filling.begin(capacities.iter().copied());
        flows.iter().for_each(|&lanes| filling.flow(lanes));
        filling.rates(Sharing::MaxMin).to_vec()
    }

    #[test]
    fn what_a_slow_flow_leaves_goes_to_the_others() {
        // One uplink of 90; downlinks of 10, 100 and 100, the last of them shared with an uplink of 20.
        assert_eq!(rates(&[90, 10, 100, 100, 20], &[[0, 1], [0, 2], [0, 3], [4, 3]]), [10, 40, 40, 20]);
        assert_eq!(rates(&[90, 10], &[]), [0_u64; 0]);
        assert_eq!(rates(&[0, 10], &[[0, 1]]), [0]);
    }

    #[test]
    fn no_lane_is_overfull_and_each_flow_has_a_full_lane_in_which_nobody_has_more() {
        for seed in 0..200 {
            let mut rng = Rng::new(Seed(seed));
            let lanes = 2 + rng.below(30);
            let capacities: Vec<u64> = (0..lanes).map(|_| u64::from(rng.below(5000))).collect();
            let flows: Vec<[u32; 2]> = (0..rng.below(120))
                .map(|_| [rng.below(lanes), rng.below(lanes)])
                .filter(|[a, b]| a != b)
                .collect();
            let rates = rates(&capacities, &flows);
            let through = |lane: u32| {
                flows
                    .iter()
                    .zip(&rates)
                    .filter(move |(taken, _)| taken.contains(&lane))
                    .map(|(_, &rate)| rate)
            };
            for (lane, &capacity) in (0..).zip(&capacities) {
                assert!(through(lane).sum::<u64>() <= capacity, "seed {seed}: lane {lane}");
            }
            for (taken, &rate) in flows.iter().zip(&rates) {
                // Full but for what whole numbers leave.
                let held = taken.iter().any(|&lane| {
                    let left = capacities[lane as usize] - through(lane).sum::<u64>();
                    left < flows.len() as u64 && through(lane).all(|other| other <= rate + left)
                });
                assert!(held, "seed {seed}: {taken:?} could have more than {rate}");
            }
        }
    }
}
