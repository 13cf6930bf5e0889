//! The example of the textbook: a thousand people want 4 GB, and one has it. He serves them all, or all serve one another.
//!
//! 1,000 pieces in four blocks each, 20 Mbit/s up and 100 down; the origin's uplink is that of one of them, and 5, 10 and 50 times as
//! much. A smaller size is cut in as many pieces.

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
    name: "textbook",
    title: "A thousand people, 4 GB: one server, or everybody?",
    bounds: &[SERVER, LAST, MEAN, USED, COPIES, FASTER],
    run,
};

const FLUID: &str = "ours, from the fluid bound max(F/u_s, F/d_min, N F/(u_s + sum of u))";
const SERVER: Bound =
    Bound { id: "A1", source: "N F / u_s", says: "the server takes what the formula says, within 0.5 %" };
const LAST: Bound =
    Bound { id: "A2 last", source: FLUID, says: "the last finishes within 1.15 times the bound" };
const MEAN: Bound = Bound { id: "A2 mean", source: FLUID, says: "the mean is 0.95 to 1.05 times the bound" };
const USED: Bound = Bound { id: "A2 uplinks", source: FLUID, says: "0.88 of all uplinks are used" };
const COPIES: Bound = Bound { id: "A2 copies", source: FLUID, says: "the origin sends 8 copies at most" };
const FASTER: Bound =
    Bound { id: "A2 speed-up", source: FLUID, says: "everybody is 170 times as fast as the server" };

const PIECES: u64 = 1000;
/// Of the origin, in Mbit/s; what is expected is expected of the second.
const UPLINKS: [u64; 4] = [20, 100, 200, 1000];
const HOME: Access = Access::new(2_500_000, 12_500_000);

fn swarm(ask: &Ask, uplink: u64, seed: u64) -> Swarm {
    let total = ask.size.unwrap_or(4_000_000_000);
    let piece_len = total.div_ceil(PIECES).clamp(4, 512 << 20) as u32;
    let content = Shape { total, piece_len, block_len: piece_len.div_ceil(4) };
    let mut swarm = Swarm::new("textbook", content, seed)
        .group(Group::seeds(1, Access::mbit(uplink)))
        .group(Group::leechers(ask.peers.unwrap_or(1000), HOME));
    swarm.within = swarm.bound_of_server() * 2 + Duration::from_secs(60);
    swarm
}

fn mean_over_bound(swarm: &Swarm, figures: &Figures) -> u64 {
    let mean = figures.mean_of(1).unwrap_or(Duration::MAX);
    over(mean, swarm.bound())
}

/// Runs of one uplink: the world, and what came of each seed both ways.
struct Row<'a> {
    swarm: &'a Swarm,
    served: &'a [Figures],
    swarmed: &'a [Figures],
}

impl Row<'_> {
    fn of(&self, what: impl Fn(&Figures) -> u64) -> u64 {
        median(self.swarmed.iter().map(what)).unwrap_or(0)
    }

    fn verdicts(&self, plain: bool) -> Vec<Verdict> {
        let (server, swarm) = (last(self.served), last(self.swarmed));
        let verdict = |bound, permille: u64, holds: bool| Verdict {
            bound,
            found: factor(permille),
            holds: plain.then_some(holds),
        };
        let server_over = over(server, self.swarm.bound_of_server());
        let last_over = over(swarm, self.swarm.bound());
        let mean_over = self.of(|figures| mean_over_bound(self.swarm, figures));
        let used = self.of(|figures| figures.utilisation_permille().unwrap_or(0));
        let copies = self.of(|figures| figures.copies_permille(self.swarm));
        let faster = over(server, swarm);
        vec![
            verdict(&SERVER, server_over, server_over.abs_diff(1000) <= 5),
            verdict(&LAST, last_over, last_over <= 1150),
            verdict(&MEAN, mean_over, (950..=1050).contains(&mean_over)),
            verdict(&USED, used, used >= 880),
            verdict(&COPIES, copies, copies <= 8000),
            verdict(&FASTER, faster, faster >= 170_000),
        ]
    }

    fn cells(&self, uplink: u64) -> Vec<String> {
        let swarm = last(self.swarmed);
        vec![
            format!("{uplink} Mbit/s"),
            seconds(Some(last(self.served))),
            seconds(Some(self.swarm.bound())),
            seconds(Some(swarm)),
            factor(over(swarm, self.swarm.bound())),
            seconds(median(self.swarmed.iter().filter_map(Figures::median))),
            factor(self.of(|figures| figures.copies_permille(self.swarm))),
            factor(over(last(self.served), swarm)),
        ]
    }
}

/// Times by the origin's uplink, and who has it when behind the uplink of which something is expected.
fn charts(rows: &[Row<'_>]) -> Vec<Chart> {
    let by = || rows.iter().zip(UPLINKS.map(|uplink| uplink * 1000));
    let said =
        |of: fn(&Swarm) -> Duration| by().map(move |(row, x)| Point::new(x, millis(Some(of(row.swarm)))));
    vec![
        Chart::curves(
            "Until the last one has it",
            Axis::log("the origin's uplink", "Mbit/s"),
            Axis::log("time", "s"),
        )
        .measured("a server", by().map(|(row, x)| last_at(x, row.served)))
        .measured("a swarm", by().map(|(row, x)| last_at(x, row.swarmed)))
        .theory("a server, by the formula", said(Swarm::bound_of_server))
        .bound("no swarm is faster", said(Swarm::bound)),
        Chart::curves(
            "Who has it when, behind 100 Mbit/s; the first seed",
            Axis::log("time", "s"),
            Axis::linear("people", ""),
        )
        .measured("a server", done_by(&rows[1].served[0]))
        .measured("a swarm", done_by(&rows[1].swarmed[0])),
    ]
}

fn run(ask: &Ask, bench: &mut Bench<'_>) -> Report {
    let worlds: Vec<Swarm> = UPLINKS
        .iter()
        .flat_map(|&uplink| ask.each_seed().map(move |seed| swarm(ask, uplink, seed)))
        .collect();
    let runs = |how| worlds.iter().map(move |swarm| Run { swarm: swarm.clone(), how });
    let figures = bench(runs(How::Served).chain(runs(How::Flows)).collect());
    let (served, swarmed) = figures.split_at(worlds.len());
    let seeds = ask.seeds as usize;
    let rows: Vec<Row<'_>> = (0..UPLINKS.len())
        .map(|place| {
            let of = place * seeds..(place + 1) * seeds;
            Row { swarm: &worlds[of.start], served: &served[of.clone()], swarmed: &swarmed[of] }
        })
        .collect();
    Report {
        setting: vec![
            ("peers", worlds[0].groups[1].count.to_string()),
            (
                "size",
                format!("{} bytes in pieces of {}", worlds[0].content.total, worlds[0].content.piece_len),
            ),
            ("links", "20 Mbit/s up, 100 Mbit/s down, 20 ms to the core".into()),
            ("slots", worlds[0].groups[1].lease.unchoke_slots.to_string()),
            ("seeds", format!("{} from {}", ask.seeds, ask.seed)),
        ],
        tables: vec![Table {
            title: "By the origin's uplink; the medians of all seeds".into(),
            heads: vec![
                "origin",
                "server, last",
                "bound",
                "swarm, last",
                "over bound",
                "median",
                "copies",
                "speed-up",
            ],
            rows: rows.iter().zip(UPLINKS).map(|(row, uplink)| row.cells(uplink)).collect(),
        }],
        charts: charts(&rows),
        verdicts: rows[1].verdicts(ask.is_plain()),
        command: ask.command("textbook"),
    }
}
