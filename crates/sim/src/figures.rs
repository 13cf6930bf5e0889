//! What a run comes to: one row for each who took part, and sums; whole numbers, whoever ran it.
//!
//! Knows no engine: sessions in a world and clients of a server are told in the same words, so that they can be put side by side.

use crate::checker::Finding;
use crate::scenario::Outcome;
use crate::swarm::{Member, Role, Swarm};
use core::time::Duration;
use proto::Instant;

/// What a run comes to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Figures {
    /// The seed of its chance.
    pub seed: u64,
    /// Who took part, as they were cast.
    pub peers: Vec<PeerRow>,
    /// Payload bytes that left those who had everything from the start.
    pub origin_sent: u64,
    /// Payload bytes that arrived, all together.
    pub payload: u64,
    /// Bytes of headers and control messages that were sent.
    pub overhead: u64,
    /// Payload bytes that arrived and were thrown away, as far as those who are still there say.
    pub wasted: u64,
    /// What happened, in the engine's own units: says how much work it was.
    pub events: u64,
    /// When it was over.
    pub ended: Instant,
    /// What was said, as one number; 0 if nobody took it down.
    pub digest: u64,
    /// Laws that were broken.
    pub findings: Vec<Finding>,
    /// How it stood, as often as was asked for.
    pub samples: Vec<Sample>,
}

/// How a swarm stood at a moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sample {
    /// When.
    pub at: Instant,
    /// Payload bytes that had arrived until then.
    pub payload: u64,
    /// Who wants the content, does not have it, and is there.
    pub fetching: u32,
    /// Links from one of them to another, seen from one end.
    pub links: u64,
    /// Those of them over which something is wanted.
    pub wanted: u64,
}

/// One who took part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PeerRow {
    /// As it was cast.
    pub member: Member,
    /// When it first met somebody.
    pub met: Option<Instant>,
    /// When it had everything, if it began without.
    pub finished: Option<Instant>,
    /// Payload bytes that it received.
    pub received: u64,
    /// Payload bytes that it sent.
    pub sent: u64,
}

impl PeerRow {
    /// How long it took to get everything.
    pub fn took(&self) -> Option<Duration> {
        Some(self.finished?.since(self.member.joins))
    }

    fn wants(&self) -> bool {
        self.member.role != Role::Seed
    }
}

impl Figures {
    /// What came of a swarm in a world of messages.
    pub fn of(swarm: &Swarm, outcome: &Outcome) -> Figures {
        let (world, cast) = (&outcome.world, swarm.cast());
        let mut peers: Vec<PeerRow> = (0..)
            .zip(cast)
            .map(|(node, member)| PeerRow {
                member,
                met: world.node(node).story.met,
                finished: world.node(node).story.finished.filter(|_| member.role != Role::Seed),
                received: 0,
                sent: 0,
            })
            .collect();
        // Whoever is no member came to do harm, and has no row.
        for (&(from, to), &bytes) in &world.network().sent {
            peers.get_mut(from as usize).into_iter().for_each(|row| row.sent += bytes);
            peers.get_mut(to as usize).into_iter().for_each(|row| row.received += bytes);
        }
        let nodes = 0..peers.len() as u32;
        Figures {
            seed: outcome.seed,
            origin_sent: peers.iter().filter(|row| !row.wants()).map(|row| row.sent).sum(),
            payload: world.network().totals.arrived,
            overhead: world.network().overhead,
            wasted: nodes.map(|node| outcome.wasted(node)).sum(),
            events: world.events(),
            ended: world.now(),
            digest: world.trace.digest(),
            findings: world.findings().to_vec(),
            samples: Vec::new(),
            peers,
        }
    }

    /// Those who began without the content.
    pub fn wanting(&self) -> impl Iterator<Item = &PeerRow> + '_ {
        self.peers.iter().filter(|row| row.wants())
    }

    /// How many of them got it.
    pub fn finished(&self) -> usize {
        self.wanting().filter(|row| row.finished.is_some()).count()
    }

    /// The longest that anybody took; nothing if somebody never got it.
    pub fn last(&self) -> Option<Duration> {
        self.wanting().map(PeerRow::took).try_fold(Duration::ZERO, |last, took| Some(last.max(took?)))
    }

    /// What the middle one of all took (the lower of two); nothing if the middle one never got it.
    pub fn median(&self) -> Option<Duration> {
        let mut spans: Vec<Duration> =
            self.wanting().map(|row| row.took().unwrap_or(Duration::MAX)).collect();
        spans.sort_unstable();
        let middle = spans.get(spans.len().checked_sub(1)? / 2)?;
        (*middle < Duration::MAX).then_some(*middle)
    }

    /// What those of a group took in the mean, of those who got it.
    pub fn mean_of(&self, group: u8) -> Option<Duration> {
        let rows = self.wanting().filter(|row| row.member.group == group);
        let spans: Vec<Duration> = rows.filter_map(PeerRow::took).collect();
        spans.iter().sum::<Duration>().checked_div(spans.len() as u32)
    }

    /// How often the origin sent the whole content, in thousandths.
    pub fn copies_permille(&self, swarm: &Swarm) -> u64 {
        permille(u128::from(self.origin_sent), u128::from(swarm.content.total))
    }

    /// How much of what all uplinks could have carried until the last was done they carried, in thousandths.
    pub fn utilisation_permille(&self) -> Option<u64> {
        let uplinks: u128 = self.peers.iter().map(|row| u128::from(row.member.access.up)).sum();
        Some(permille(u128::from(self.payload) * 1_000_000, uplinks * self.last()?.as_micros()))
    }

    /// Jain's index of how alike the rates were at which the content came, in thousandths: 1,000 if all were alike, one n-th if
    /// one of n had all. Who never got it counts with what it got until the end.
    pub fn jain_permille(&self) -> u64 {
        let rates: Vec<u128> = self
            .wanting()
            .map(|row| {
                let until = row.finished.unwrap_or(self.ended).since(row.member.joins);
                u128::from(row.received) * 1_000_000 / until.as_micros().max(1)
            })
            .collect();
        let (sum, squares) = (rates.iter().sum::<u128>(), rates.iter().map(|rate| rate * rate).sum::<u128>());
        permille(sum * sum, squares * rates.len() as u128)
    }
}

fn permille(part: u128, whole: u128) -> u64 {
    u64::try_from(part.saturating_mul(1000) / whole.max(1)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Access;
    use crate::swarm::{Group, Shape};

    /// One seed, and who got a thousand bytes after so many seconds each; 0 is never.
    fn figures(seconds: &[u64]) -> (Swarm, Figures) {
        let content = Shape { total: 1000, piece_len: 1000, block_len: 1000 };
        let swarm = Swarm::new("rows", content, 1)
            .group(Group::seeds(1, Access::new(100, 100)))
            .group(Group::leechers(seconds.len() as u32, Access::new(100, 100)));
        let row = |(member, seconds): (Member, u64)| PeerRow {
            member,
            met: None,
            finished: (seconds > 0).then(|| Instant::from_micros(seconds * 1_000_000)),
            received: if member.role == Role::Seed { 0 } else { 1000 },
            sent: 500,
        };
        let seconds = core::iter::once(0).chain(seconds.iter().copied());
        let figures = Figures {
            seed: 1,
            peers: swarm.cast().into_iter().zip(seconds).map(row).collect(),
            origin_sent: 1500,
            payload: 4000,
            overhead: 0,
            wasted: 0,
            events: 0,
            ended: Instant::from_micros(100_000_000),
            digest: 0,
            findings: Vec::new(),
            samples: Vec::new(),
        };
        (swarm, figures)
    }

    #[test]
    fn last_median_and_mean_are_of_those_who_began_without() {
        let (swarm, all) = figures(&[10, 40, 20, 30]);
        assert_eq!(
            (all.last(), all.median()),
            (Some(Duration::from_secs(40)), Some(Duration::from_secs(20)))
        );
        assert_eq!((all.mean_of(1), all.mean_of(0)), (Some(Duration::from_secs(25)), None));
        assert_eq!((all.copies_permille(&swarm), all.finished()), (1500, 4));
        // 4,000 bytes in 40 s over five uplinks of 100 bytes a second.
        assert_eq!(all.utilisation_permille(), Some(200));
    }

    #[test]
    fn who_never_gets_it_has_no_last_and_may_have_no_median() {
        let one = figures(&[10, 0, 20]).1;
        assert_eq!((one.last(), one.median(), one.finished()), (None, Some(Duration::from_secs(20)), 2));
        assert_eq!(figures(&[10, 0, 0]).1.median(), None);
        assert_eq!(figures(&[]).1.median(), None);
    }

    #[test]
    fn fairness_is_a_thousand_among_equals_and_less_among_others() {
        assert_eq!(figures(&[10, 10, 10]).1.jain_permille(), 1000);
        // Rates 100, 100 and 10: 210 squared over 3 times 20,100.
        assert_eq!(figures(&[10, 10, 0]).1.jain_permille(), 731);
    }
}
