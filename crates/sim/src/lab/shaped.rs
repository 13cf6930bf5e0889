//! The swarm in which other clients were measured, simulated: one seed, ten leechers, 64 MiB in pieces of 256 KiB, 20 Mbit/s
//! up, 100 Mbit/s down, 20 ms to the core. Others' last finishers there, in multiples of the bound: aria2 1.59, libtorrent 1.73,
//! Transmission 2.98, rqbit 3.63.

use super::chart::{Axis, Chart, Point, done_by, millis};
use super::{
    Ask, Bench, Bound, Experiment, How, Report, Run, Table, Verdict, factor, last_at, median, seconds,
};
use crate::figures::Figures;
use crate::network::Access;
use crate::swarm::{Group, Shape, Swarm};

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "shaped",
    title: "One seed and ten leechers on shaped links: how near to the bound is the last one?",
    bounds: &[LAST],
    run,
};

const LAST: Bound =
    Bound { id: "last", source: "ours", says: "the last finishes within 1.25 times the bound of 26.8 s" };
const CABLE: Access = Access::new(2_500_000, 12_500_000);

fn swarm(ask: &Ask, seed: u64) -> Swarm {
    let content = Shape { total: ask.size.unwrap_or(64 << 20), piece_len: 256 << 10, block_len: 16 << 10 };
    Swarm::new("shaped_swarm", content, seed)
        .group(Group::seeds(1, CABLE))
        .group(Group::leechers(ask.peers.unwrap_or(10), CABLE))
}

/// When the last one has it, and who has it when.
fn charts(bound: u64, served: &[Figures], swarmed: &[Figures]) -> Vec<Chart> {
    vec![
        Chart::bars("Until the last one has it", ["a server", "everybody"], Axis::linear("time", "s"))
            .measured("last", [last_at(0, served), last_at(1, swarmed)])
            .bound("no swarm is faster", [Point::new(1, bound)]),
        Chart::curves(
            "Who has it when; the first seed",
            Axis::linear("time", "s"),
            Axis::linear("people", ""),
        )
        .measured("a server", done_by(&served[0]))
        .measured("everybody", done_by(&swarmed[0])),
    ]
}

fn run(ask: &Ask, bench: &mut Bench<'_>) -> Report {
    let worlds: Vec<Swarm> = ask.each_seed().map(|seed| swarm(ask, seed)).collect();
    let runs = |how| worlds.iter().map(move |swarm| Run { swarm: swarm.clone(), how });
    let figures = bench(runs(How::Served).chain(runs(How::Messages)).collect());
    let (served, swarmed) = figures.split_at(worlds.len());
    let world = &worlds[0];
    let bound = world.bound();
    let over =
        |figures: &Figures| figures.last().map(|last| last.as_micros() * 1000 / bound.as_micros().max(1));
    let row = |name: &str, all: &[Figures]| {
        let copies = median(all.iter().map(|figures| figures.copies_permille(world)));
        vec![
            name.into(),
            seconds(median(all.iter().map(|figures| figures.last().unwrap_or_default()))),
            seconds(median(all.iter().map(|figures| figures.median().unwrap_or_default()))),
            factor(copies.unwrap_or(0)),
            format!(
                "{} ‰",
                median(all.iter().map(|figures| figures.utilisation_permille().unwrap_or(0))).unwrap_or(0)
            ),
            format!("{} ‰", median(all.iter().map(Figures::jain_permille)).unwrap_or(0)),
        ]
    };
    let last = median(swarmed.iter().map(|figures| over(figures).unwrap_or(u128::MAX))).unwrap_or(u128::MAX);
    let found = u64::try_from(last).map_or_else(|_| "somebody never finishes".into(), factor);
    Report {
        setting: vec![
            ("peers", format!("1 + {}", world.groups[1].count)),
            ("size", format!("{} bytes", world.content.total)),
            ("links", "20 Mbit/s up, 100 Mbit/s down, 20 ms to the core".into()),
            ("slots", world.groups[1].lease.unchoke_slots.to_string()),
            ("seeds", format!("{} from {}", ask.seeds, ask.seed)),
            ("bound", seconds(Some(bound))),
        ],
        tables: vec![Table {
            title: "The median of all seeds".into(),
            heads: vec!["who gives", "last", "median", "origin's copies", "uplinks used", "Jain"],
            rows: vec![row("a server", served), row("everybody", swarmed)],
        }],
        charts: charts(millis(Some(bound)), served, swarmed),
        verdicts: vec![Verdict { bound: &LAST, found, holds: ask.is_plain().then_some(last <= 1250) }],
        command: ask.command("shaped"),
    }
}
