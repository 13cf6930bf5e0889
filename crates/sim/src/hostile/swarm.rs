//! Hostile swarms: small worlds of chance of which one to half are attackers of mixed kinds, and the same without them.
//!
//! Everything follows from the seed and the attack. The attackers come last, so that without them every honest node is the same
//! node, with the same link, chance and time to join. What must hold is said by [`Comparison::verdict`].

use super::cast::{CAST, by_name};
use super::habit::Habit;
use crate::network::Access;
use crate::node::{Node, NodeSpec};
use crate::scenario::{Outcome, Scenario};
use core::fmt::Write;
use core::time::Duration;
use proto::{Instant, Rng, Seed};

/// Peers of a world, attackers among them.
const PEERS: core::ops::RangeInclusive<u32> = 20..=50;
/// Blocks of 16 KiB in the content.
const BLOCKS: core::ops::RangeInclusive<u32> = 64..=200;
/// What an attacked swarm may take at most, in thousandths of what the same swarm takes alone.
pub const SLOWDOWN_PERMILLE_MAX: u64 = 1500;
/// Long enough for anything but a swarm that has come to a stop.
const WITHIN: Duration = Duration::from_secs(3600);

/// How a world and its twin without attackers went.
pub struct Comparison {
    /// The seed of both.
    pub seed: u64,
    /// Who attacks.
    pub attack: Attack,
    /// The chances that both met: see [`Scenario::dice`].
    pub dice: u64,
    /// With its attackers.
    pub attacked: Outcome,
    /// Without.
    pub alone: Outcome,
}

/// Who attacks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Attack {
    /// One attacker to half of the peers, as the seed has it, each of a kind of its own.
    Mixed,
    /// Half of the peers, all of one kind.
    AllOf(&'static Habit),
    /// As many as [`Attack::Mixed`] or not, and just these: what they are does not change when the cast grows.
    These(&'static [&'static Habit]),
    /// Nobody. The world beside itself with other chances: how much those do alone.
    Nobody,
}

impl Attack {
    /// Those of these names, with spaces between them; `None` if one is no row of the cast.
    pub fn by_names(names: &str) -> Option<Attack> {
        let habits: Option<Vec<_>> = names.split_whitespace().map(by_name).collect();
        // Kept until the process ends: few, and short.
        Some(Attack::These(habits?.leak()))
    }
}

/// The world of this seed.
pub fn attacked(seed: u64) -> Scenario {
    under(Attack::Mixed, seed)
}

/// The same world without its attackers.
pub fn alone(seed: u64) -> Scenario {
    without(Attack::Mixed, seed)
}

/// The world of this seed under an attack.
pub fn under(attack: Attack, seed: u64) -> Scenario {
    let (mut scenario, attackers, mut rng) = honest("hostile_swarm", attack, seed);
    for number in 0..attackers as usize {
        let drawn = &CAST[rng.index(CAST.len())];
        let habit = match attack {
            Attack::Mixed => drawn,
            Attack::AllOf(habit) => habit,
            Attack::These(habits) => habits[number],
            Attack::Nobody => break,
        };
        let joins = Instant::from_micros(u64::from(rng.below(10_000_000)));
        let access = access(&mut rng);
        scenario = scenario.node(NodeSpec { joins, ..NodeSpec::attacker(habit, access) });
    }
    scenario
}

/// The same world, from which those who would attack stay away.
pub fn without(attack: Attack, seed: u64) -> Scenario {
    honest("peaceful_swarm", attack, seed).0
}

/// Runs a world under an attack, and its twin.
pub fn compare(seed: u64, attack: Attack) -> Comparison {
    compare_with(seed, attack, 0)
}

/// The same with other chances.
pub fn compare_with(seed: u64, attack: Attack, dice: u64) -> Comparison {
    // Beside itself a world would be the same.
    let others = if attack == Attack::Nobody { dice + 1 } else { dice };
    let attacked = under(attack, seed).dice(others).run();
    Comparison { seed, attack, dice, attacked, alone: without(attack, seed).dice(dice).run() }
}

/// The honest of a world, how many attackers come beside them, and the chance that is left for those.
fn honest(name: &'static str, attack: Attack, seed: u64) -> (Scenario, u32, Rng) {
    let mut rng = Rng::new(Seed(seed ^ 0x686f_7374));
    let peers = draw(&mut rng, PEERS);
    let drawn = draw(&mut rng, 1..=peers / 2);
    let (attackers, honest) = match attack {
        Attack::Mixed => (drawn, peers - drawn),
        Attack::AllOf(_) => (peers / 2, peers - peers / 2),
        Attack::These(habits) => (habits.len() as u32, peers - drawn),
        Attack::Nobody => (0, peers - drawn),
    };
    let seeds = 1 + rng.below(honest.div_ceil(8));
    let blocks = draw(&mut rng, BLOCKS);
    let piece_len = (16 << 10) << rng.below(4);
    let mut scenario = Scenario::new(name, seed)
        .content(u64::from(blocks) << 14, piece_len)
        .within(WITHIN)
        .lingers(Duration::ZERO)
        .quantum(Duration::from_millis(20));
    for number in 0..honest {
        let access = access(&mut rng);
        let spec = if number < seeds { NodeSpec::seed(access) } else { NodeSpec::leecher(access) };
        let joins = if number < seeds { 0 } else { rng.below(10_000_000) };
        // A lone seed that nobody can dial and that came first would wait for its next visit to the tracker.
        let reachable = number < seeds || rng.below(8) > 0;
        let joins = Instant::from_micros(u64::from(joins));
        scenario = scenario.node(NodeSpec { joins, reachable, ..spec });
    }
    (scenario, attackers, rng)
}

fn draw(rng: &mut Rng, range: core::ops::RangeInclusive<u32>) -> u32 {
    range.start() + rng.below(range.end() - range.start() + 1)
}

/// From 400 kbit/s to 3.2 Mbit/s up, two to eight times that down.
fn access(rng: &mut Rng) -> Access {
    let up = 50_000 << rng.below(4);
    let latency = Duration::from_millis(u64::from(10 + rng.below(60)));
    Access::new(up, up * u64::from(2 + rng.below(7))).latency(latency)
}

impl Comparison {
    /// What is wrong, if anything is: a law broken, somebody not finished, too slow.
    pub fn verdict(&self) -> Option<String> {
        let mut text = String::new();
        for outcome in [&self.attacked, &self.alone] {
            if !outcome.world.findings().is_empty() {
                let _ = writeln!(text, "{}", outcome.verdict());
            }
        }
        if self.slowdown_permille().is_none_or(|slowdown| slowdown > SLOWDOWN_PERMILLE_MAX) {
            let [attacked, alone] =
                [&self.attacked, &self.alone].map(|outcome| seconds(median_finish(outcome)));
            let _ = writeln!(text, "seed {}: the median took {attacked}, alone {alone}", self.seed);
        }
        if !text.is_empty() {
            let _ = write!(text, "attackers: {}\n{}", self.attackers().join(" "), self.replay());
        }
        (!text.is_empty()).then_some(text)
    }

    /// The command that shows this comparison again.
    pub fn replay(&self) -> String {
        let kind = match self.attack {
            Attack::Mixed => String::new(),
            Attack::AllOf(habit) => format!(" --kind {}", habit.name),
            Attack::These(habits) => {
                let names: Vec<&str> = habits.iter().map(|habit| habit.name).collect();
                format!(" --attackers '{}'", names.join(" "))
            }
            Attack::Nobody => " --chance".into(),
        };
        let dice = if self.dice == 0 { String::new() } else { format!(" --dice {}", self.dice) };
        format!("replay: cargo xtask worlds --hostile --worlds 1 --seed {}{kind}{dice}", self.seed)
    }

    /// By how much the attackers slow the median of the honest down, in thousandths.
    pub fn slowdown_permille(&self) -> Option<u64> {
        let [attacked, alone] = [median_finish(&self.attacked)?, median_finish(&self.alone)?];
        let permille = attacked.as_micros() * 1000 / alone.as_micros().max(1);
        Some(u64::try_from(permille).unwrap_or(u64::MAX))
    }

    /// What the attackers are called.
    pub fn attackers(&self) -> Vec<&'static str> {
        let habit = |node: &Node| node.spec.hostile.map(|habit| habit.name);
        self.attacked.world.nodes().iter().filter_map(habit).collect()
    }
}

fn seconds(span: Option<Duration>) -> String {
    span.map_or("for ever".into(), |span| format!("{:.1} s", span.as_secs_f64()))
}

/// How long the median of the honest leechers took, from when it joined.
pub fn median_finish(outcome: &Outcome) -> Option<Duration> {
    let leechers = outcome.world.nodes().iter().filter(|node| node.is_honest() && !node.holds_all());
    let mut spans = Vec::new();
    for node in leechers {
        spans.push(node.story.finished?.since(node.spec.joins));
    }
    spans.sort_unstable();
    spans.get(spans.len() / 2).copied()
}
