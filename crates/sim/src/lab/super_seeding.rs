//! A sole seed shows each piece to one peer alone, so that little more than one copy leaves it (BEP 16). What does that save it, and
//! what does it cost everybody else, when it is as slow as the others and when it is faster?

use super::chart::{Axis, Chart, Point, millis};
use super::{
    Ask, Bench, Bound, Experiment, How, Report, Run, Table, Verdict, copies_at, factor, last, last_at,
    median, over, seconds,
};
use crate::figures::Figures;
use crate::network::Access;
use crate::swarm::{Group, Shape, Swarm};
use proto::config::SuperSeeding;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "super-seeding",
    title: "The origin shows its pieces one by one: what does it save, and what does it cost?",
    bounds: &[COPIES, COST],
    run,
};

const COPIES: Bound = Bound {
    id: "A10 copies",
    source: "BEP 16: 1.05 instead of 1.5 to 2.0",
    says: "at the uplink of one of them the origin sends 1.15 copies at most",
};
const COST: Bound =
    Bound { id: "cost", source: "ours", says: "it costs the last no more than a twentieth at any uplink" };

/// The origin's uplink, in uplinks of the others.
const TIMES: [u64; 5] = [1, 2, 5, 10, 50];
const UP: u64 = 2_500_000;

fn swarm(ask: &Ask, times: u64, super_seeding: SuperSeeding, seed: u64) -> Swarm {
    let content = Shape { total: ask.size.unwrap_or(64 << 20), piece_len: 256 << 10, block_len: 16 << 10 };
    let mut origin = Group::seeds(1, Access::new(times * UP, times.max(5) * UP));
    origin.config.super_seeding = super_seeding;
    Swarm::new("super-seeding", content, seed)
        .group(origin)
        .group(Group::leechers(ask.peers.unwrap_or(30), Access::new(UP, 5 * UP)))
}

/// How long it took and what left the origin, by its uplink.
fn charts(seeds: usize, worlds: &[Swarm], figures: &[Figures]) -> Vec<Chart> {
    let x = || Axis::log("the origin's uplink, in uplinks of the others", "");
    let way = |place: usize| {
        let all = figures.chunks(seeds).skip(place).step_by(2);
        TIMES.iter().map(|times| times * 1000).zip(all)
    };
    let bounds = TIMES.iter().zip(worlds.iter().step_by(2 * seeds));
    let bounds = bounds.map(|(times, world)| Point::new(times * 1000, millis(Some(world.bound()))));
    let copies = |(x, all)| copies_at(x, &worlds[0], all);
    let last = |(x, all): (u64, &[Figures])| last_at(x, all);
    vec![
        Chart::curves("Until the last one has it", x(), Axis::linear("time", "s"))
            .measured("shown one by one", way(0).map(last))
            .measured("as any seed", way(1).map(last))
            .bound("no swarm is faster", bounds),
        Chart::curves("What leaves the origin", x(), Axis::linear("copies", ""))
            .measured("shown one by one", way(0).map(copies))
            .measured("as any seed", way(1).map(copies))
            .bound("nobody can do with less", [1, 50].map(|times| Point::new(times * 1000, 1000))),
    ]
}

fn run(ask: &Ask, bench: &mut Bench<'_>) -> Report {
    let ways = [SuperSeeding::Auto, SuperSeeding::Never];
    let kinds = TIMES.iter().flat_map(|&times| ways.map(|way| (times, way)));
    let worlds: Vec<Swarm> = kinds
        .flat_map(|(times, way)| ask.each_seed().map(move |seed| swarm(ask, times, way, seed)))
        .collect();
    let runs = worlds.iter().map(|swarm| Run { swarm: swarm.clone(), how: How::Flows });
    let figures = bench(runs.collect());
    let copies =
        |all: &[Figures]| median(all.iter().map(|figures| figures.copies_permille(&worlds[0]))).unwrap_or(0);
    let (mut rows, mut worst) = (Vec::new(), 0);
    let seeds = ask.seeds as usize;
    for ((times, both), world) in
        TIMES.iter().zip(figures.chunks(2 * seeds)).zip(worlds.iter().step_by(2 * seeds))
    {
        let (shown, plain) = both.split_at(seeds);
        let ratio = over(last(shown), last(plain));
        worst = worst.max(ratio);
        rows.push(vec![
            times.to_string(),
            seconds(Some(world.bound())),
            seconds(Some(last(shown))),
            seconds(Some(last(plain))),
            factor(ratio),
            factor(copies(shown)),
            factor(copies(plain)),
        ]);
    }
    let first = copies(&figures[..seeds]);
    Report {
        setting: vec![
            ("peers", worlds[0].groups[1].count.to_string()),
            ("size", format!("{} bytes", worlds[0].content.total)),
            ("links", "20 Mbit/s up, 100 Mbit/s down, 20 ms to the core".into()),
            ("slots", worlds[0].groups[1].lease.unchoke_slots.to_string()),
            ("seeds", format!("{} from {}", ask.seeds, ask.seed)),
        ],
        tables: vec![Table {
            title: "By the origin's uplink; the medians of all seeds".into(),
            heads: vec![
                "uplinks",
                "bound",
                "last, shown",
                "last, plain",
                "ratio",
                "copies, shown",
                "copies, plain",
            ],
            rows,
        }],
        charts: charts(seeds, &worlds, &figures),
        verdicts: vec![
            Verdict { bound: &COPIES, found: factor(first), holds: ask.is_plain().then_some(first <= 1150) },
            Verdict { bound: &COST, found: factor(worst), holds: ask.is_plain().then_some(worst <= 1050) },
        ],
        command: ask.command("super-seeding"),
    }
}
