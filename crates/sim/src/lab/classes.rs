//! Tit for tat: who gives more gets more, as far as there is something to be had.
//!
//! Thirteen each with 20, 50 and 200 kB/s up. While the seed can hardly send each piece once, all wait for it alike; with a seed four
//! times as fast as the fastest, the classes part.

use super::chart::{Axis, Chart, Point, millis};
use super::{Ask, Bench, Bound, Experiment, How, Report, Run, Table, Verdict, factor, median, over, seconds};
use crate::figures::Figures;
use crate::network::Access;
use crate::swarm::{Group, SHIPPED, Shape, Swarm};
use core::time::Duration;
use proto::Lease;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "classes",
    title: "Who gives more: does he get more?",
    bounds: &[ALIKE, PARTED, RATIO],
    run,
};

const SOURCE: &str = "Legout et al., SIGMETRICS 2007: clustering, and weak incentives behind a slow seed";
const ALIKE: Bound = Bound {
    id: "A12 slow seed",
    source: SOURCE,
    says: "behind a slow seed the means of the classes are within 2 %",
};
const PARTED: Bound = Bound {
    id: "A12 fast seed",
    source: SOURCE,
    says: "behind a fast seed the fast need 0.7 times as long as the slow at most",
};
const RATIO: Bound = Bound {
    id: "A12 ratio",
    source: SOURCE,
    says: "behind a fast seed the slow give less than 0.3 of what they get",
};

const UPLINKS: [u64; 3] = [20_000, 50_000, 200_000];
const SEEDS: [u64; 2] = [200_000, 800_000];
const DOWN: u64 = 1_250_000;

fn swarm(ask: &Ask, uplink: u64, seed: u64) -> Swarm {
    let content = Shape { total: ask.size.unwrap_or(113_000_000), piece_len: 256 << 10, block_len: 16 << 10 };
    // Sixteen slots on 20 kB/s would take a quarter of a minute for a block each: four, as the clients of the time had.
    let lease = Lease { unchoke_slots: 4, ..SHIPPED };
    let count = ask.peers.unwrap_or(39).div_ceil(3);
    let class = |up| Group { lease, ..Group::leechers(count, Access::new(up, DOWN)) };
    let origin = Group { lease, ..Group::seeds(1, Access::new(uplink, DOWN)) };
    let swarm = Swarm::new("classes", content, seed).group(origin);
    let mut swarm = UPLINKS.into_iter().fold(swarm, |swarm, up| swarm.group(class(up)));
    swarm.within = swarm.bound() * 10 + Duration::from_secs(60);
    swarm
}

/// Of a class, in the median of the seeds: what it took in the mean, and what it gave of what it got, in thousandths.
fn class(all: &[Figures], group: u8) -> (Duration, u64) {
    let mean = median(all.iter().map(|figures| figures.mean_of(group).unwrap_or(Duration::MAX)));
    let ratio = median(all.iter().map(|figures| {
        let rows = || figures.wanting().filter(|row| row.member.group == group);
        let (sent, received) =
            (rows().map(|row| row.sent).sum::<u64>(), rows().map(|row| row.received).sum::<u64>());
        sent * 1000 / received.max(1)
    }));
    (mean.unwrap_or(Duration::MAX), ratio.unwrap_or(0))
}

/// What each class took behind each seed.
fn chart(ask: &Ask, figures: &[Figures]) -> Chart {
    let names = UPLINKS.map(|up| format!("{} kB/s up", up / 1000));
    let chart = Chart::bars("How long each class took, in the mean", names, Axis::linear("time", "s"));
    SEEDS.iter().zip(figures.chunks(ask.seeds as usize)).fold(chart, |chart, (uplink, all)| {
        let point = |class: u8| {
            let means = all.iter().map(|figures| millis(figures.mean_of(class + 1)));
            Point::of(class.into(), means)
        };
        chart.measured(format!("a seed with {} kB/s", uplink / 1000), [0, 1, 2].map(point))
    })
}

fn run(ask: &Ask, bench: &mut Bench<'_>) -> Report {
    let worlds: Vec<Swarm> =
        SEEDS.iter().flat_map(|&uplink| ask.each_seed().map(move |seed| swarm(ask, uplink, seed))).collect();
    let runs = worlds.iter().map(|swarm| Run { swarm: swarm.clone(), how: How::Flows });
    let figures = bench(runs.collect());
    let all: Vec<[(Duration, u64); 3]> =
        figures.chunks(ask.seeds as usize).map(|all| [1, 2, 3].map(|group| class(all, group))).collect();
    let means = |classes: &[(Duration, u64); 3]| classes.map(|(mean, _)| mean);
    let (slow, fast) = (means(&all[0]), means(&all[1]));
    let apart = over(slow.into_iter().max().unwrap_or_default(), slow.into_iter().min().unwrap_or_default());
    let parted = over(fast[2], fast[0]);
    let verdict = |bound, permille: u64, holds| Verdict {
        bound,
        found: factor(permille),
        holds: ask.is_plain().then_some(holds),
    };
    let rows = SEEDS.iter().zip(&all).zip(worlds.iter().step_by(ask.seeds as usize));
    Report {
        setting: vec![
            ("peers", format!("1 + 3 x {}", worlds[0].groups[1].count)),
            ("size", format!("{} bytes", worlds[0].content.total)),
            ("links", "20, 50 and 200 kB/s up, 1,250 kB/s down, 20 ms to the core".into()),
            ("slots", worlds[0].groups[1].lease.unchoke_slots.to_string()),
            ("seeds", format!("{} from {}", ask.seeds, ask.seed)),
        ],
        tables: vec![Table {
            title: "Means of the classes, and what each gave of what it got; the medians of all seeds".into(),
            heads: vec!["seed", "bound", "20 kB/s", "50 kB/s", "200 kB/s", "gave", "gave", "gave"],
            rows: rows
                .map(|((uplink, classes), world)| {
                    let mut row = vec![format!("{} kB/s", uplink / 1000), seconds(Some(world.bound()))];
                    row.extend(classes.iter().map(|&(mean, _)| seconds(Some(mean))));
                    row.extend(classes.iter().map(|&(_, ratio)| factor(ratio)));
                    row
                })
                .collect(),
        }],
        charts: vec![chart(ask, &figures)],
        verdicts: vec![
            verdict(&ALIKE, apart, apart <= 1020),
            verdict(&PARTED, parted, parted <= 700),
            verdict(&RATIO, all[1][0].1, all[1][0].1 < 300),
        ],
        command: ask.command("classes"),
    }
}
