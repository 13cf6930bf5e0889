//! How flows share links: what does it matter that fleets deal their downlinks once a window, and that slow flows leave something?
//!
//! Messages with an exact max-min sharing every 5 ms are the reference. Beside them stand flows, whose nodes know of one another only what
//! they heard in the last window, and both with equal shares, where what a slow flow leaves of a link is lost.

use super::chart::{Axis, Chart, Point, millis};
use super::{Ask, Bench, Bound, Experiment, How, Report, Run, Table, Verdict, factor, mean, median, seconds};
use crate::figures::Figures;
use crate::network::Access;
use crate::sharing::Sharing;
use crate::swarm::access::{Class, Mix};
use crate::swarm::{Group, Shape, Swarm};
use core::time::Duration;
use proto::config::SuperSeeding;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "sharing",
    title: "Flows share links as well as they know of one another: how far is that from an exact sharing?",
    bounds: &[NEAR],
    run,
};

const NEAR: Bound = Bound {
    id: "sharing",
    source: "ours",
    says: "flows that share what slow ones leave are within 10 % of the reference in each world",
};

/// The reference first.
const WAYS: [(How, Sharing); 4] = [
    (How::Messages, Sharing::MaxMin),
    (How::Flows, Sharing::MaxMin),
    (How::Messages, Sharing::Equal),
    (How::Flows, Sharing::Equal),
];

fn worlds(ask: &Ask, seed: u64) -> Vec<Swarm> {
    let total = ask.size.unwrap_or(32 << 20);
    let content = Shape { total, piece_len: 256 << 10, block_len: 16 << 10 };
    let world = |name, seeds: Group, kinds: &[Access], count| {
        let leechers = Group {
            access: Mix::of(&kinds.iter().map(|&kind| (kind, 1)).collect::<Vec<_>>()),
            ..Group::leechers(ask.peers.unwrap_or(count), kinds[0])
        };
        let mut swarm = Swarm::new(name, content, seed).group(seeds).group(leechers);
        // What the origin shows to whom is another matter.
        swarm.groups[0].config.super_seeding = SuperSeeding::Never;
        swarm
    };
    let of = |classes: &[Class]| classes.iter().map(|class| class.access()).collect::<Vec<_>>();
    let (cable, fibre) = (Class::Cable.access(), Class::Fibre.access());
    let narrow = Access::new(2_500_000, 4_000_000).latency(Duration::from_millis(10));
    vec![
        world("alike", Group::seeds(1, cable), &[cable], 20),
        world("narrow", Group::seeds(1, cable), &[narrow], 20),
        world(
            "four",
            Group::seeds(1, fibre),
            &of(&[Class::Cable, Class::CableOld, Class::DslFast, Class::Fibre]),
            20,
        ),
        world("all", Group::seeds(2, fibre), &of(&Class::ALL), 42),
    ]
}

/// Means of all ways, world by world.
fn chart(names: &[&'static str], figures: &[Figures], seeds: usize) -> Chart {
    let points = |way: usize| {
        let runs = figures.chunks(seeds).skip(way).step_by(WAYS.len());
        (0..)
            .zip(runs)
            .map(|(place, all)| Point::of(place, all.iter().map(|figures| millis(Some(mean(figures))))))
    };
    Chart::bars("What all took, in the mean", names.to_vec(), Axis::linear("time", "s"))
        .measured("messages", points(0))
        .measured("flows", points(1))
        .measured("messages, equal shares", points(2))
        .measured("flows, equal shares", points(3))
}

fn run(ask: &Ask, bench: &mut Bench<'_>) -> Report {
    let names: Vec<&'static str> = worlds(ask, 0).iter().map(|swarm| swarm.name).collect();
    let each = (0..names.len()).flat_map(|place| WAYS.map(|way| (place, way)));
    let runs = each.flat_map(|(place, (how, sharing))| {
        ask.each_seed()
            .map(move |seed| Run { swarm: Swarm { sharing, ..worlds(ask, seed).swap_remove(place) }, how })
    });
    let runs: Vec<Run> = runs.collect();
    let size = runs[0].swarm.content.total;
    let figures = bench(runs);
    let means: Vec<Duration> = figures
        .chunks(ask.seeds as usize)
        .map(|all: &[Figures]| median(all.iter().map(mean)).unwrap_or(Duration::MAX))
        .collect();
    let over = |mean: Duration, reference: Duration| super::over(mean, reference);
    let worst = means.chunks(WAYS.len()).map(|ways| over(ways[1], ways[0]).abs_diff(1000)).max().unwrap_or(0);
    let rows = means.chunks(WAYS.len()).zip(&names).map(|(ways, name)| {
        let others = ways[1..].iter().flat_map(|&mean| [seconds(Some(mean)), factor(over(mean, ways[0]))]);
        [(*name).into(), seconds(Some(ways[0]))].into_iter().chain(others).collect()
    });
    Report {
        setting: vec![
            ("worlds", names.join(", ")),
            ("size", format!("{size} bytes")),
            ("seeds", format!("{} from {}", ask.seeds, ask.seed)),
        ],
        tables: vec![Table {
            title: "What all took in the mean, and how many times the reference; the medians of all seeds"
                .into(),
            heads: vec![
                "world",
                "reference",
                "flows",
                "times",
                "messages, equal",
                "times",
                "flows, equal",
                "times",
            ],
            rows: rows.collect(),
        }],
        charts: vec![chart(&names, &figures, ask.seeds as usize)],
        verdicts: vec![Verdict {
            bound: &NEAR,
            found: format!("{worst} ‰ at most"),
            holds: ask.is_plain().then_some(worst <= 100),
        }],
        command: ask.command("sharing"),
    }
}
