//! Everybody comes at once and one has it: how fast does the swarm learn to serve itself?
//!
//! The branching model (Yang and de Veciana, INFOCOM 2004): who has a piece serves k others with it, so that those who can give are 1 + k
//! times as many after each k pieces' time, and all uplinks are at work after log(n) / log(1 + k) of such times; from then on it takes
//! one copy over an uplink. For one piece at a time that is 1 + log2(n) / m copies over an uplink, with m pieces.

use super::chart::{Axis, Chart, Point, millis};
use super::{
    Ask, Bench, Bound, Experiment, How, Report, Run, Table, Verdict, factor, last, median, over, seconds,
};
use crate::figures::{Figures, Sample};
use crate::network::Access;
use crate::swarm::{Group, Shape, Swarm};
use core::time::Duration;
use proto::Instant;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "crowd",
    title: "A thousand come at once, and one has it: how soon does everybody give?",
    bounds: &[LAST, FLAT],
    run,
};

const SOURCE: &str = "Yang and de Veciana, INFOCOM 2004";
const LAST: Bound = Bound {
    id: "crowd last",
    source: SOURCE,
    says: "the last of any crowd is done within 1.25 times what the model says",
};
const FLAT: Bound = Bound {
    id: "crowd flat",
    source: SOURCE,
    says: "a hundred times as many take 1.1 times as long at most",
};

const CROWDS: [u32; 5] = [10, 30, 100, 300, 1000];
const PIECES: u64 = 256;
const HOME: Access = Access::new(2_500_000, 12_500_000);

fn swarm(ask: &Ask, crowd: u32, seed: u64) -> Swarm {
    let total = ask.size.unwrap_or(256 << 20);
    let piece_len = total.div_ceil(PIECES) as u32;
    let content = Shape { total, piece_len, block_len: piece_len.div_ceil(8) };
    let mut swarm = Swarm::new("crowd", content, seed)
        .group(Group::seeds(1, HOME))
        .group(Group::leechers(ask.peers.map_or(crowd, |most| crowd.min(most)), HOME));
    swarm.samples = Some(Duration::from_millis(500));
    swarm
}

/// A copy over an uplink, and log2(n) pieces more.
fn model(swarm: &Swarm) -> Duration {
    let copy = Duration::from_micros(swarm.content.total * 1_000_000 / HOME.up);
    copy + copy * swarm.groups[1].count.max(1).ilog2() / PIECES as u32
}

/// When half of all uplinks were at work for the first time, in the mean of half a second.
fn at_work(swarm: &Swarm, figures: &Figures) -> Duration {
    let all = u64::from(swarm.groups[1].count + 1) * HOME.up;
    let mut before = Sample::default();
    for &sample in &figures.samples {
        let span = sample.at.since(before.at).as_micros() as u64;
        if (sample.payload - before.payload) * 2_000_000 >= all * span.max(1) {
            return sample.at.since(Instant::ZERO);
        }
        before = sample;
    }
    Duration::MAX
}

fn run(ask: &Ask, bench: &mut Bench<'_>) -> Report {
    let worlds: Vec<Swarm> =
        CROWDS.iter().flat_map(|&crowd| ask.each_seed().map(move |seed| swarm(ask, crowd, seed))).collect();
    let figures = bench(worlds.iter().map(|swarm| Run { swarm: swarm.clone(), how: How::Flows }).collect());
    let seeds = ask.seeds as usize;
    let all: Vec<(&Swarm, &[Figures])> = worlds.iter().step_by(seeds).zip(figures.chunks(seeds)).collect();
    let rows = all.iter().map(|(swarm, all)| {
        vec![
            swarm.groups[1].count.to_string(),
            seconds(median(all.iter().map(|figures| at_work(swarm, figures)))),
            seconds(Some(model(swarm))),
            seconds(Some(last(all))),
            factor(over(last(all), model(swarm))),
            seconds(median(all.iter().filter_map(Figures::median))),
            factor(median(all.iter().filter_map(Figures::utilisation_permille)).unwrap_or(0)),
        ]
    });
    let worst = all.iter().map(|(swarm, all)| over(last(all), model(swarm))).max().unwrap_or(0);
    let grows = over(last(all[all.len() - 1].1), last(all[0].1));
    let verdict = |bound, permille: u64, most: u64| Verdict {
        bound,
        found: factor(permille),
        holds: ask.is_plain().then_some(permille <= most),
    };
    Report {
        setting: vec![
            ("size", format!("{} bytes in {PIECES} pieces", worlds[0].content.total)),
            ("links", "20 Mbit/s up, 100 Mbit/s down, 20 ms to the core; the origin as the others".into()),
            ("slots", worlds[0].groups[1].lease.unchoke_slots.to_string()),
            ("seeds", format!("{} from {}", ask.seeds, ask.seed)),
        ],
        tables: vec![Table {
            title: "By how many come; the medians of all seeds".into(),
            heads: vec!["come", "half at work", "model, last", "last", "times", "median", "uplinks used"],
            rows: rows.collect(),
        }],
        charts: vec![
            Chart::curves("The last one, by how many come", Axis::log("come", ""), Axis::linear("time", "s"))
                .measured(
                    "found",
                    all.iter().map(|(swarm, all)| {
                        let last = all.iter().map(|figures| millis(figures.last()));
                        Point::of(u64::from(swarm.groups[1].count) * 1000, last)
                    }),
                )
                .theory(
                    "the model",
                    all.iter().map(|(swarm, _)| {
                        Point::of(u64::from(swarm.groups[1].count) * 1000, [millis(Some(model(swarm)))])
                    }),
                ),
        ],
        verdicts: vec![verdict(&LAST, worst, 1250), verdict(&FLAT, grows, 1100)],
        command: ask.command("crowd"),
    }
}
