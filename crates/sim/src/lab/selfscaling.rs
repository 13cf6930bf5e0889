//! How long does it take as more and more people want it? The textbook's figure: a server's time grows in a line, a swarm's
//! stays below the time in which one of them could send the whole.
//!
//! One of them could send the content in an hour; the origin is ten times as fast, and all downlinks as fast as the origin.

use super::chart::{Axis, Chart, Point, done_by, millis};
use super::{
    Ask, Bench, Bound, Experiment, How, Report, Run, Table, Verdict, factor, last, last_at, median, over,
    seconds,
};
use crate::figures::Figures;
use crate::network::Access;
use crate::swarm::{Group, Shape, Swarm};
use core::time::Duration;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "selfscaling",
    title: "As more and more people want it, how long does it take?",
    bounds: &[LINE, FLAT],
    run,
};

const SOURCE: &str = "the figure of Kurose and Ross: F/u = 1 h, u_s = 10 u, d_min = u_s";
const LINE: Bound =
    Bound { id: "A3 server", source: SOURCE, says: "the server's time is on its line, within 1 %" };
const FLAT: Bound = Bound {
    id: "A3 swarm",
    source: SOURCE,
    says: "the last is at 1.0 to 1.2 times the bound, from 5 people on",
};

/// How many want it, up to what is asked for.
const PEERS: [u32; 11] = [1, 5, 10, 15, 20, 25, 30, 35, 100, 1_000, 10_000];
const PEERS_MAX: u32 = 100;
const UP: u64 = 2_500_000;
const PIECES: u64 = 1000;

fn swarm(ask: &Ask, peers: u32, seed: u64) -> Swarm {
    let total = ask.size.unwrap_or(3600 * UP);
    let piece_len = total.div_ceil(PIECES).clamp(8, 512 << 20) as u32;
    // Larger blocks would not leave in time over sixteen slots.
    let content = Shape { total, piece_len, block_len: piece_len.div_ceil(8) };
    let mut swarm = Swarm::new("selfscaling", content, seed)
        .group(Group::seeds(1, Access::new(10 * UP, 10 * UP)))
        .group(Group::leechers(peers, Access::new(UP, 10 * UP)));
    swarm.within = swarm.bound_of_server().max(swarm.bound()) * 4 + Duration::from_secs(60);
    swarm
}

/// The textbook's figure, and who of the most has it when.
fn charts(
    ask: &Ask,
    counts: &[u32],
    worlds: &[Swarm],
    served: &[Figures],
    swarmed: &[Figures],
) -> Vec<Chart> {
    let seeds = ask.seeds as usize;
    let each = |all: &[Figures]| -> Vec<_> {
        let points = counts.iter().zip(all.chunks(seeds));
        points.map(|(&count, all)| last_at(u64::from(count) * 1000, all)).collect()
    };
    let said = |of: fn(&Swarm) -> Duration| -> Vec<_> {
        let points = counts.iter().zip(worlds.iter().step_by(seeds));
        points.map(|(&count, world)| Point::new(u64::from(count) * 1000, millis(Some(of(world))))).collect()
    };
    let last = served.len() - seeds;
    vec![
        Chart::curves("Until the last one has it", Axis::log("people", ""), Axis::log("time", "s"))
            .measured("a server", each(served))
            .measured("a swarm", each(swarmed))
            .theory("a server's line", said(Swarm::bound_of_server))
            .bound("no swarm is faster", said(Swarm::bound)),
        Chart::curves(
            "Who has it when, where the most want it; the first seed",
            Axis::log("time", "s"),
            Axis::linear("people", ""),
        )
        .measured("a server", done_by(&served[last]))
        .measured("a swarm", done_by(&swarmed[last])),
    ]
}

fn run(ask: &Ask, bench: &mut Bench<'_>) -> Report {
    let most = ask.peers.unwrap_or(PEERS_MAX);
    let counts: Vec<u32> = PEERS.into_iter().filter(|&count| count <= most).collect();
    let worlds: Vec<Swarm> =
        counts.iter().flat_map(|&count| ask.each_seed().map(move |seed| swarm(ask, count, seed))).collect();
    let runs = |how| worlds.iter().map(move |swarm| Run { swarm: swarm.clone(), how });
    let figures = bench(runs(How::Served).chain(runs(How::Flows)).collect());
    let (served, swarmed) = figures.split_at(worlds.len());
    let (mut rows, mut off_line, mut ratios) = (Vec::new(), 0, Vec::new());
    for (place, &count) in counts.iter().enumerate() {
        let seeds = place * ask.seeds as usize..(place + 1) * ask.seeds as usize;
        let world = &worlds[seeds.start];
        let (server, swarm) = (last(&served[seeds.clone()]), last(&swarmed[seeds.clone()]));
        off_line = off_line.max(over(server, world.bound_of_server()).abs_diff(1000));
        let ratio = over(swarm, world.bound());
        if count >= 5 {
            ratios.push(ratio);
        }
        let sums = |what: fn(&Figures) -> u64| median(swarmed[seeds.clone()].iter().map(what)).unwrap_or(0);
        rows.push(vec![
            count.to_string(),
            seconds(Some(server)),
            seconds(Some(world.bound())),
            seconds(Some(swarm)),
            factor(ratio),
            factor(sums(|figures| figures.overhead * 1_000_000 / figures.payload.max(1))),
            factor(sums(|figures| figures.wasted * 1_000_000 / figures.payload.max(1))),
        ]);
    }
    let (least, greatest) = (ratios.iter().min().copied(), ratios.iter().max().copied());
    let holds = least.is_some_and(|least| least >= 1000) && greatest.is_some_and(|most| most <= 1200);
    Report {
        setting: vec![
            ("peers", format!("up to {most}")),
            (
                "size",
                format!("{} bytes in pieces of {}", worlds[0].content.total, worlds[0].content.piece_len),
            ),
            (
                "links",
                "20 Mbit/s up, 200 Mbit/s down, the origin 200 Mbit/s both ways, 20 ms to the core".into(),
            ),
            ("slots", worlds[0].groups[1].lease.unchoke_slots.to_string()),
            ("seeds", format!("{} from {}", ask.seeds, ask.seed)),
        ],
        tables: vec![Table {
            title: "By the number of people; the medians of all seeds".into(),
            heads: vec!["people", "server", "bound", "swarm, last", "over bound", "overhead, ‰", "wasted, ‰"],
            rows,
        }],
        charts: charts(ask, &counts, &worlds, served, swarmed),
        verdicts: vec![
            Verdict {
                bound: &LINE,
                found: format!("{off_line} ‰ off the line at most"),
                holds: ask.is_plain().then_some(off_line <= 10),
            },
            Verdict {
                bound: &FLAT,
                found: format!("{} to {}", factor(least.unwrap_or(0)), factor(greatest.unwrap_or(0))),
                holds: ask.is_plain().then_some(holds),
            },
        ],
        command: ask.command("selfscaling"),
    }
}
