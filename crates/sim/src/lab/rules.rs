//! Which rule costs what? The shaped swarm, as the engine ships it and with one rule changed at a time.
//!
//! It says what a rule does to this swarm, not what it is for: what saves a second here may cost a crowd elsewhere.

use super::chart::{Axis, Chart, Point, millis};
use super::{Ask, Bench, Experiment, How, Report, Run, Table, factor, last, last_at, median, over, seconds};
use crate::figures::Figures;
use crate::network::Access;
use crate::swarm::{Group, Shape, Swarm};
use core::time::Duration;
use proto::config::{SeedPolicy, SuperSeeding};

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "rules",
    title: "The shaped swarm with one rule changed at a time: which rule costs what?",
    bounds: &[],
    run,
};

/// One change of a group's rules.
type Change = (&'static str, fn(&mut Group));

const CHANGES: [Change; 17] = [
    ("as shipped", |_| ()),
    ("2 slots", |group| group.lease.unchoke_slots = 2),
    ("4 slots", |group| group.lease.unchoke_slots = 4),
    ("8 slots", |group| group.lease.unchoke_slots = 8),
    ("32 slots", |group| group.lease.unchoke_slots = 32),
    ("never shown one by one", |group| group.config.super_seeding = SuperSeeding::Never),
    ("4 slots, never shown", |group| {
        group.lease.unchoke_slots = 4;
        group.config.super_seeding = SuperSeeding::Never;
    }),
    ("rounds of 5 s", |group| group.config.choke_interval = Duration::from_secs(5)),
    ("rounds of 2 s", |group| group.config.choke_interval = Duration::from_secs(2)),
    ("optimistic 10 s", |group| group.config.optimistic_interval = Duration::from_secs(10)),
    ("optimistic 60 s", |group| group.config.optimistic_interval = Duration::from_secs(60)),
    ("no random first", |group| group.config.random_first_pieces = 0),
    ("16 random first", |group| group.config.random_first_pieces = 16),
    ("seeds serve the fastest", |group| group.config.seed_policy = SeedPolicy::Fastest),
    ("seeds serve beginners and enders", |group| group.config.seed_policy = SeedPolicy::AntiLeech),
    ("50 requests a peer", |group| group.config.requests_out_max = 50),
    ("10 requests a peer", |group| group.config.requests_out_max = 10),
];
const CABLE: Access = Access::new(2_500_000, 12_500_000);

fn swarm(ask: &Ask, change: fn(&mut Group), seed: u64) -> Swarm {
    let content = Shape { total: ask.size.unwrap_or(64 << 20), piece_len: 256 << 10, block_len: 16 << 10 };
    let mut swarm = Swarm::new("rules", content, seed)
        .group(Group::seeds(1, CABLE))
        .group(Group::leechers(ask.peers.unwrap_or(10), CABLE));
    swarm.groups.iter_mut().for_each(change);
    swarm
}

/// How long the last one took, by rule.
fn chart(bound: Duration, all: &[&[Figures]]) -> Chart {
    let (names, places) = (CHANGES.map(|(name, _)| name), 0..CHANGES.len() as u64);
    Chart::bars("Until the last one has it", names, Axis::linear("time", "s"))
        .measured("last", places.clone().zip(all).map(|(place, all)| last_at(place, all)))
        .bound("no swarm is faster", places.map(|place| Point::new(place, millis(Some(bound)))))
}

fn run(ask: &Ask, bench: &mut Bench<'_>) -> Report {
    let worlds: Vec<Swarm> = CHANGES
        .iter()
        .flat_map(|&(_, change)| ask.each_seed().map(move |seed| swarm(ask, change, seed)))
        .collect();
    let runs = worlds.iter().map(|swarm| Run { swarm: swarm.clone(), how: How::Flows });
    let figures = bench(runs.collect());
    let bound = worlds[0].bound();
    let all: Vec<&[Figures]> = figures.chunks(ask.seeds as usize).collect();
    let rows = CHANGES.iter().zip(&all).map(|((name, _), all)| {
        let share = |what: fn(&Figures) -> u64| {
            let permille = |figures: &Figures| what(figures) * 1000 / figures.payload.max(1);
            factor(median(all.iter().map(permille)).unwrap_or(0))
        };
        vec![
            (*name).into(),
            seconds(Some(last(all))),
            factor(over(last(all), bound)),
            seconds(median(all.iter().filter_map(Figures::median))),
            factor(median(all.iter().map(|figures| figures.copies_permille(&worlds[0]))).unwrap_or(0)),
            share(|figures| figures.wasted),
            share(|figures| figures.overhead),
        ]
    });
    Report {
        setting: vec![
            ("peers", format!("1 + {}", worlds[0].groups[1].count)),
            ("size", format!("{} bytes", worlds[0].content.total)),
            ("links", "20 Mbit/s up, 100 Mbit/s down, 20 ms to the core".into()),
            ("seeds", format!("{} from {}", ask.seeds, ask.seed)),
            ("bound", seconds(Some(bound))),
        ],
        tables: vec![Table {
            title: "The medians of all seeds".into(),
            heads: vec!["rules", "last", "over bound", "median", "copies", "wasted", "overhead"],
            rows: rows.collect(),
        }],
        charts: vec![chart(bound, &all)],
        verdicts: Vec::new(),
        command: ask.command("rules"),
    }
}
