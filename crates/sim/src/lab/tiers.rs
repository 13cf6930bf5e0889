//! One world as flows and message by message: what does it cost in truth to be fast?
//!
//! Flows are cheaper by what bytes, disks and checkers cost, and coarser by a window: downlinks are dealt once in it. Sessions, links and
//! latencies are the same; the two draw different chances, so single members differ and means must not.

use super::chart::{Axis, Chart, Point, millis};
use super::{Ask, Bench, Bound, Experiment, How, Report, Run, Table, Verdict, factor, mean, median, seconds};
use crate::figures::Figures;
use crate::network::Access;
use crate::swarm::access::{Class, Mix};
use crate::swarm::nat::Nat;
use crate::swarm::schedule::{Arrivals, Departures};
use crate::swarm::{Group, Shape, Swarm};
use core::time::Duration;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "tiers",
    title: "The same worlds as flows and message by message: how far apart are they?",
    bounds: &[MEANS],
    run,
};

const MEANS: Bound = Bound {
    id: "A14",
    source: "ours, after what others found between flows and packets",
    says: "the means differ by 15 % at most in the median of the seeds, and by 30 % in no run",
};

fn worlds(ask: &Ask, seed: u64) -> Vec<Swarm> {
    let (cable, fibre) = (Class::Cable.access(), Class::Fibre.access());
    let total = ask.size.unwrap_or(32 << 20);
    let content = Shape { total, piece_len: 256 << 10, block_len: 16 << 10 };
    let count = |usual| ask.peers.unwrap_or(usual);
    let world = |name, seeds, leechers| Swarm::new(name, content, seed).group(seeds).group(leechers);
    let homes = [Class::Cable, Class::CableOld, Class::DslFast, Class::Fibre];
    vec![
        world("alike", Group::seeds(1, cable), Group::leechers(count(10), cable)),
        world(
            "unlike",
            Group::seeds(1, fibre),
            Group {
                access: Mix::of(&homes.map(|class| (class.access(), 1))),
                ..Group::leechers(count(20), cable)
            },
        ),
        world(
            "churn",
            Group::seeds(1, cable),
            Group {
                arrivals: Arrivals::Poisson { gap: Duration::from_secs(3) },
                departures: Departures::AfterFinish { mean: Duration::from_secs(20) },
                ..Group::leechers(count(15), cable)
            },
        ),
        world(
            "gates",
            Group::seeds(1, cable),
            // Who is behind a gate and asks the tracker before anybody else waits a quarter of an hour for its next answer.
            Group {
                nat: Mix::of(&[(Nat::None, 1), (Nat::Firewalled, 1)]),
                arrivals: Arrivals::Over(Duration::from_secs(10)),
                ..Group::leechers(count(12), cable)
            },
        ),
        world(
            "downlinks",
            Group::seeds(2, fibre),
            Group::leechers(count(12), Access::new(2_500_000, 1_250_000).latency(Duration::from_millis(10))),
        ),
    ]
}

/// Means of both ways, world by world.
fn chart(names: Vec<&'static str>, pairs: &[&[Figures]]) -> Chart {
    let count = names.len();
    let points = |tier: usize| {
        (0..count).map(move |place| {
            let runs = pairs.iter().skip(place).step_by(count);
            Point::of(place as u64, runs.map(|pair| millis(Some(mean(&pair[tier])))))
        })
    };
    Chart::bars("What all took, in the mean", names, Axis::linear("time", "s"))
        .measured("as flows", points(0))
        .measured("message by message", points(1))
}

fn run(ask: &Ask, bench: &mut Bench<'_>) -> Report {
    let seeds: Vec<Vec<Swarm>> = ask.each_seed().map(|seed| worlds(ask, seed)).collect();
    let hows = [How::Flows, How::Messages];
    let all = || seeds.iter().flatten().flat_map(|swarm| hows.map(|how| Run { swarm: swarm.clone(), how }));
    let figures = bench(all().collect());
    let pairs: Vec<&[Figures]> = figures.chunks(2).collect();
    let (mut rows, mut medians, mut worst) = (Vec::new(), Vec::new(), 0);
    for (place, world) in seeds[0].iter().enumerate() {
        let runs = || pairs.iter().skip(place).step_by(seeds[0].len());
        let ratios: Vec<u128> = runs()
            .map(|pair| mean(&pair[0]).as_micros() * 1000 / mean(&pair[1]).as_micros().max(1))
            .collect();
        let apart = |ratio: &u128| ratio.abs_diff(1000);
        worst = worst.max(ratios.iter().map(apart).max().unwrap_or(0));
        let ratio = median(ratios).unwrap_or(0);
        medians.push(apart(&ratio));
        let last =
            |tier: usize| seconds(median(runs().map(|pair| pair[tier].last().unwrap_or(Duration::MAX))));
        rows.push(vec![
            world.name.into(),
            seconds(median(runs().map(|pair| mean(&pair[0])))),
            seconds(median(runs().map(|pair| mean(&pair[1])))),
            factor(ratio as u64),
            last(0),
            last(1),
        ]);
    }
    let median = medians.into_iter().max().unwrap_or(0);
    Report {
        setting: vec![
            ("worlds", seeds[0].iter().map(|swarm| swarm.name).collect::<Vec<_>>().join(", ")),
            ("size", format!("{} bytes", seeds[0][0].content.total)),
            ("slots", seeds[0][0].groups[1].lease.unchoke_slots.to_string()),
            ("seeds", format!("{} from {}", ask.seeds, ask.seed)),
        ],
        tables: vec![Table {
            title: "The medians of all seeds".into(),
            heads: vec!["world", "mean, flows", "mean, messages", "ratio", "last, flows", "last, messages"],
            rows,
        }],
        charts: vec![chart(seeds[0].iter().map(|swarm| swarm.name).collect(), &pairs)],
        verdicts: vec![Verdict {
            bound: &MEANS,
            found: format!("{median} ‰ at most in the median, {worst} ‰ in the worst run"),
            holds: ask.is_plain().then_some(median <= 150 && worst <= 300),
        }],
        command: ask.command("tiers"),
    }
}
