//! Some only take. What does it cost those who give, and does it pay?
//!
//! A tenth, three tenths and half of all give nobody a slot. Those who have everything stay and serve, or leave at once. The content is
//! large enough for a dozen rounds of choking: with 64 MiB it was over after three, which decide nothing.

use super::chart::{Axis, Chart, Point, millis};
use super::{Ask, Bench, Bound, Experiment, How, Report, Run, Table, Verdict, factor, median, over, seconds};
use crate::figures::Figures;
use crate::network::Access;
use crate::swarm::schedule::Departures;
use crate::swarm::{Group, Role, Shape, Swarm};
use core::time::Duration;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "riders",
    title: "Some only take: what does it cost the others, and does it pay?",
    bounds: &[COST, STAYING, LEAVING],
    run,
};

const SOURCE: &str = "ours, from a model without blocks";
const COST: Bound = Bound {
    id: "A11 cost",
    source: SOURCE,
    says: "who gives is slowed down by 5, 13 and 22 % at most where 10, 30 and 50 % take, and all stay",
};
const STAYING: Bound = Bound {
    id: "A11 staying",
    source: SOURCE,
    says: "where all stay, who takes needs 1.1 times as long at least",
};
const LEAVING: Bound = Bound {
    id: "A11 leaving",
    source: SOURCE,
    says: "where who is done leaves, who takes needs twice as long at least",
};

/// Hundredths of all who only take, and by how many thousandths the others may be slower.
const SHARES: [(u32, u64); 4] = [(0, 0), (10, 50), (30, 130), (50, 220)];
const CABLE: Access = Access::new(2_500_000, 12_500_000);
const WAYS: [Departures; 2] = [Departures::Never, Departures::AtFinish];

fn swarm(ask: &Ask, percent: u32, departures: Departures, seed: u64) -> Swarm {
    let content = Shape { total: ask.size.unwrap_or(256 << 20), piece_len: 256 << 10, block_len: 64 << 10 };
    let all = ask.peers.unwrap_or(50);
    let takers = all * percent / 100;
    let mut swarm = Swarm::new("riders", content, seed)
        .group(Group::seeds(1, CABLE))
        .group(Group { departures, ..Group::leechers(all - takers, CABLE) })
        .group(Group { name: "riders", role: Role::FreeRider, departures, ..Group::leechers(takers, CABLE) });
    swarm.within = swarm.bound() * 20 + Duration::from_secs(60);
    swarm
}

/// The mean of a group, in the median of the seeds.
fn mean_of(all: &[Figures], group: u8) -> Option<Duration> {
    median(all.iter().filter_map(|figures| figures.mean_of(group)))
}

/// How long who gives and who takes needed, by how many only take.
fn chart(seeds: usize, figures: &[Figures]) -> Chart {
    let (x, y) = (Axis::linear("only take", "%"), Axis::linear("mean time", "s"));
    let mut chart = Chart::curves("What it costs to give, and to take", x, y);
    for (done, all) in ["stays", "leaves"].iter().zip(figures.chunks(SHARES.len() * seeds)) {
        for (group, does) in [(1, "gives"), (2, "only takes")] {
            let points = SHARES.iter().zip(all.chunks(seeds)).map(|(&(percent, _), all)| {
                let means = all.iter().map(|figures| millis(figures.mean_of(group)));
                Point::of(u64::from(percent) * 1000, means)
            });
            chart = chart.measured(format!("who {does}; who is done {done}"), points);
        }
    }
    chart
}

fn run(ask: &Ask, bench: &mut Bench<'_>) -> Report {
    let kinds = WAYS.into_iter().flat_map(|way| SHARES.map(|(percent, _)| (way, percent)));
    let worlds: Vec<Swarm> = kinds
        .flat_map(|(way, percent)| ask.each_seed().map(move |seed| swarm(ask, percent, way, seed)))
        .collect();
    let runs = worlds.iter().map(|swarm| Run { swarm: swarm.clone(), how: How::Flows });
    let figures = bench(runs.collect());
    let seeds = ask.seeds as usize;
    let (mut rows, mut costs, mut pays) = (Vec::new(), Vec::new(), [Vec::new(), Vec::new()]);
    for (way, all) in figures.chunks(SHARES.len() * seeds).enumerate() {
        let alone = mean_of(&all[..seeds], 1);
        for (&(percent, most), all) in SHARES.iter().zip(all.chunks(seeds)) {
            let (give, take) = (mean_of(all, 1), mean_of(all, 2));
            let (cost, pay) = (
                give.zip(alone).map(|(give, alone)| over(give, alone)),
                take.zip(give).map(|(take, give)| over(take, give)),
            );
            if way == 0 {
                costs.push((cost.unwrap_or(u64::MAX), 1000 + most));
            }
            pays[way].extend(pay);
            let cell = |permille: Option<u64>| permille.map_or_else(|| "-".into(), factor);
            rows.push(vec![
                ["stay", "leave"][way].into(),
                format!("{percent} %"),
                seconds(give),
                cell(cost),
                take.map_or_else(|| "-".into(), |take| seconds(Some(take))),
                cell(pay),
            ]);
        }
    }
    let least = |way: usize| pays[way].iter().min().copied().unwrap_or(0);
    let verdict =
        |bound, found: String, holds| Verdict { bound, found, holds: ask.is_plain().then_some(holds) };
    let found = costs[1..].iter().map(|&(cost, _)| factor(cost)).collect::<Vec<_>>().join(", ");
    Report {
        setting: vec![
            ("peers", format!("1 + {}", ask.peers.unwrap_or(50))),
            ("size", format!("{} bytes", worlds[0].content.total)),
            ("links", "20 Mbit/s up, 100 Mbit/s down, 20 ms to the core".into()),
            ("slots", worlds[0].groups[1].lease.unchoke_slots.to_string()),
            ("seeds", format!("{} from {}", ask.seeds, ask.seed)),
        ],
        tables: vec![Table {
            title: "Means, in the median of all seeds".into(),
            heads: vec!["who is done", "only take", "who gives", "to none", "who takes", "to who gives"],
            rows,
        }],
        charts: vec![chart(seeds, &figures)],
        verdicts: vec![
            verdict(&COST, found, costs.iter().all(|&(cost, most)| cost <= most)),
            verdict(&STAYING, factor(least(0)), least(0) >= 1100),
            verdict(&LEAVING, factor(least(1)), least(1) >= 2000),
        ],
        command: ask.command("riders"),
    }
}
