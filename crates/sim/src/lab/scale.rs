//! How large a swarm of real sessions can be run, and what that costs: a flash crowd, as flows.
//!
//! No experiment: nothing is expected of the swarm but that all finish, and what is looked at is the machine that runs it. Its time and
//! memory are measured by who has a clock and an operating system, and handed in.

use crate::crew::Crew;
use crate::figures::Figures;
use crate::fleet::Fleet;
use crate::network::Access;
use crate::swarm::{Group, Shape, Swarm, Unfit};
use core::time::Duration;
use proto::Instant;

/// Of a piece, which is one block here.
const PIECE_LEN: u32 = 256 << 10;
/// Peers that the tracker names beyond as many as each links to: some are full already.
const NAMED_MORE: u32 = 10;
/// As clients had for long. The fewer there are, the fewer requests and open pieces.
const SLOTS: u32 = 4;
/// New pieces are told twice a second: several at once, and each word is an event for whoever hears it.
const HAVES_DELAY: Duration = Duration::from_millis(500);
/// How often it is said how far it is.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// How large.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Size {
    /// Who want the content.
    pub peers: u32,
    /// Pieces of the content.
    pub pieces: u32,
    /// Links of each.
    pub links: u32,
    /// All chance comes from here.
    pub seed: u64,
}

/// How far it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    /// Time in the world.
    pub now: Instant,
    /// Pieces that came, all together.
    pub pieces: u64,
    /// Pieces that are to come.
    pub wanted: u64,
    /// Who have everything.
    pub finished: u32,
    /// What happened so far.
    pub events: u64,
}

/// What it took.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cost {
    /// Time outside the world.
    pub took: Duration,
    /// Memory at its most, in bytes.
    pub memory: u64,
}

/// What it came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The world.
    pub swarm: Swarm,
    /// Of its members.
    pub figures: Figures,
    /// At the end.
    pub standing: Standing,
}

impl Default for Size {
    fn default() -> Size {
        Size { peers: 10_000, pieces: 256, links: 20, seed: 1 }
    }
}

impl Size {
    /// The world of this size: one who has the content, with ten times the uplink of each of those who want it.
    pub fn swarm(&self) -> Swarm {
        let total = u64::from(self.pieces) * u64::from(PIECE_LEN);
        let content = Shape { total, piece_len: PIECE_LEN, block_len: PIECE_LEN };
        let latency = Duration::from_millis(25);
        let origin = Group::seeds(1, Access::new(25_000_000, 25_000_000).latency(latency));
        let leechers = Group::leechers(self.peers, Access::new(2_500_000, 12_500_000).latency(latency));
        let mut swarm = Swarm::new("scale", content, self.seed);
        for mut group in [origin, leechers] {
            group.lease.unchoke_slots = SLOTS;
            group.config.links_per_torrent = self.links;
            group.config.haves_delay = HAVES_DELAY;
            swarm = swarm.group(group);
        }
        swarm.private = true;
        swarm.named_max = self.links + NAMED_MORE;
        swarm.within = swarm.bound() * 4 + Duration::from_secs(300);
        swarm
    }

    /// Runs it, in as many parts as there are hands; says how far it is once a second of the world's time.
    ///
    /// # Errors
    /// If there is no such world.
    pub fn run(
        &self,
        parts: usize,
        crew: &dyn Crew,
        tell: &mut dyn FnMut(&Standing),
    ) -> Result<Outcome, Unfit> {
        let swarm = self.swarm();
        let mut fleet = Fleet::new(&swarm, parts)?;
        let end = Instant::ZERO + swarm.within;
        while fleet.now() < end && !fleet.is_done() {
            fleet.run_until(fleet.now() + TELL_EVERY, crew);
            tell(&self.standing(&fleet));
        }
        Ok(Outcome { standing: self.standing(&fleet), figures: fleet.figures(), swarm })
    }

    fn standing(&self, fleet: &Fleet) -> Standing {
        Standing {
            now: fleet.now(),
            pieces: fleet.pieces(),
            wanted: u64::from(self.peers) * u64::from(self.pieces),
            finished: fleet.settled(),
            events: fleet.events(),
        }
    }
}

impl Outcome {
    /// All of it, by name.
    pub fn rows(&self, cost: &Cost) -> Vec<(&'static str, String)> {
        let Outcome { swarm, figures, standing } = self;
        let peers = figures.peers.len() as u64;
        let micros = u64::try_from(cost.took.as_micros()).unwrap_or(u64::MAX).max(1);
        let rate = |count: u64| count.saturating_mul(1_000_000) / micros;
        let seconds = |span: Option<Duration>| super::seconds(span);
        vec![
            ("peers", peers.to_string()),
            ("finished", figures.finished().to_string()),
            ("pieces moved", standing.pieces.to_string()),
            ("events", standing.events.to_string()),
            ("events a second", rate(standing.events).to_string()),
            ("bytes a peer", (cost.memory / peers.max(1)).to_string()),
            ("memory", format!("{} MiB", cost.memory >> 20)),
            ("took", seconds(Some(cost.took))),
            ("last finish", seconds(figures.last())),
            ("median finish", seconds(figures.median())),
            ("bound", seconds(Some(swarm.bound()))),
            ("origin's copies", super::factor(figures.copies_permille(swarm))),
            ("digest", format!("{:016x}", figures.digest)),
            ("broken laws", figures.findings.len().to_string()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crew::Alone;

    #[test]
    fn a_small_one_finishes_and_says_what_it_came_to() {
        let size = Size { peers: 40, pieces: 24, links: 8, seed: 3 };
        let mut told = Vec::new();
        let outcome = size.run(2, &Alone, &mut |standing| told.push(*standing)).expect("such a world");
        assert_eq!(outcome.figures.finished(), 40);
        assert_eq!(outcome.figures.findings, []);
        assert_eq!(told.last(), Some(&outcome.standing));
        assert!(told.is_sorted_by_key(|standing| (standing.now, standing.pieces, standing.events)));
        assert_eq!((outcome.standing.pieces, outcome.standing.finished), (40 * 24, 40));
        let rows = outcome.rows(&Cost { took: Duration::from_secs(2), memory: 41 * 5_000 });
        let row = |name| rows.iter().find(|row| row.0 == name).map(|row| row.1.as_str());
        assert_eq!((row("pieces moved"), row("bytes a peer")), (Some("960"), Some("5000")));
        let rate = (outcome.standing.events / 2).to_string();
        assert_eq!(row("events a second"), Some(rate.as_str()));
        let again = size.run(1, &Alone, &mut |_| {}).expect("such a world");
        assert_eq!(again.figures, outcome.figures, "in one part");
    }
}
