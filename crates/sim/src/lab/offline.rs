//! The only one who has it goes offline. Does everybody else still get it?
//!
//! The origin dies without a word after so many copies left it: of a server's clients nobody who is not done will ever be; a swarm goes on
//! if every piece is out. The origin shows its pieces one by one (BEP 16), as it does by default, and never.

use super::chart::{Axis, Chart, Point};
use super::{Ask, Bench, Bound, Experiment, How, Report, Run, Table, Verdict, factor, median};
use crate::figures::Figures;
use crate::network::Access;
use crate::swarm::schedule::Departures;
use crate::swarm::{Group, Shape, Swarm};
use core::time::Duration;
use proto::config::SuperSeeding;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "offline",
    title: "The only one who has it goes offline: does everybody else still get it?",
    bounds: &[ALL_OR_NONE, SHOWN, PLAIN],
    run,
};

const ALL_OR_NONE: Bound =
    Bound { id: "A10", source: "ours", says: "either all finish, or nobody: a piece is out or it is not" };
const SHOWN: Bound = Bound {
    id: "A10 shown",
    source: "BEP 16 promises 1.05",
    says: "shown one by one, 1.15 copies are enough for all",
};
const PLAIN: Bound = Bound { id: "A10 plain", source: "ours", says: "otherwise 2 copies are" };

/// Thousandths of a copy that leave the origin before it dies.
const COPIES: [u32; 7] = [500, 900, 1000, 1050, 1150, 1500, 2000];
const CABLE: Access = Access::new(2_500_000, 12_500_000);
const WAYS: [SuperSeeding; 2] = [SuperSeeding::Auto, SuperSeeding::Never];

fn swarm(ask: &Ask, copies_permille: u32, super_seeding: SuperSeeding, seed: u64) -> Swarm {
    let content = Shape { total: ask.size.unwrap_or(64 << 20), piece_len: 256 << 10, block_len: 64 << 10 };
    let departures = Departures::AfterCopies { permille: copies_permille };
    let mut origin = Group { departures, ..Group::seeds(1, CABLE) };
    origin.config.super_seeding = super_seeding;
    let mut swarm = Swarm::new("offline", content, seed)
        .group(origin)
        .group(Group::leechers(ask.peers.unwrap_or(30), CABLE));
    swarm.within = swarm.bound() * 10 + Duration::from_secs(60);
    swarm
}

/// How many got it, by what had left the origin.
fn chart(ask: &Ask, figures: &[Figures]) -> Chart {
    let names = COPIES.map(|copies| format!("{} copies", factor(copies.into())));
    let chart = Chart::bars("Who got it, of all who wanted it", names, Axis::linear("people", "%"));
    let ways = ["pieces shown one by one", "as any seed"];
    ways.iter().zip(figures.chunks(COPIES.len() * ask.seeds as usize)).fold(chart, |chart, (name, way)| {
        let share =
            |figures: &Figures| figures.finished() as u64 * 100_000 / figures.wanting().count().max(1) as u64;
        let points = (0..).zip(way.chunks(ask.seeds as usize));
        chart.measured(*name, points.map(|(place, all)| Point::of(place, all.iter().map(share))))
    })
}

fn run(ask: &Ask, bench: &mut Bench<'_>) -> Report {
    let kinds = WAYS.into_iter().flat_map(|way| COPIES.map(|copies| (way, copies)));
    let worlds: Vec<Swarm> = kinds
        .flat_map(|(way, copies)| ask.each_seed().map(move |seed| swarm(ask, copies, way, seed)))
        .collect();
    let runs = worlds.iter().map(|swarm| Run { swarm: swarm.clone(), how: How::Flows });
    let figures = bench(runs.collect());
    let wanting = worlds[0].groups[1].count as usize;
    let finished = |all: &[Figures]| all.iter().filter(|figures| figures.finished() == wanting).count();
    let halves =
        figures.iter().filter(|figures| !matches!(figures.finished(), 0) && figures.finished() < wanting);
    let halves = halves.count();
    let seeds = ask.seeds as usize;
    let ways: Vec<&[Figures]> = figures.chunks(COPIES.len() * seeds).collect();
    // The fewest copies from which on all finish in every run.
    let enough = |way: &[Figures]| {
        let good = way.chunks(seeds).map(|all| finished(all) == seeds).collect::<Vec<_>>();
        let from = good.iter().rposition(|&good| !good).map_or(0, |last| last + 1);
        COPIES.get(from).copied()
    };
    let rows = (0..COPIES.len()).map(|place| {
        let of = |way: &[Figures]| {
            let all = &way[place * seeds..(place + 1) * seeds];
            let sent = median(all.iter().map(|figures| figures.copies_permille(&worlds[0]))).unwrap_or(0);
            [format!("{} of {seeds}", finished(all)), factor(sent)]
        };
        let cells = ways.iter().flat_map(|way| of(way));
        core::iter::once(factor(COPIES[place].into())).chain(cells).collect()
    });
    let verdict = |bound, way: &[Figures], most: u32| {
        let enough = enough(way);
        let found = enough.map_or_else(|| "two copies are not enough".into(), |copies| factor(copies.into()));
        Verdict { bound, found, holds: ask.is_plain().then_some(enough.is_some_and(|copies| copies <= most)) }
    };
    Report {
        setting: vec![
            ("peers", wanting.to_string()),
            ("size", format!("{} bytes", worlds[0].content.total)),
            ("links", "20 Mbit/s up, 100 Mbit/s down, 20 ms to the core".into()),
            ("slots", worlds[0].groups[1].lease.unchoke_slots.to_string()),
            ("seeds", format!("{} from {}", ask.seeds, ask.seed)),
        ],
        tables: vec![Table {
            title: "Runs in which all finish, by what had left the origin when it died".into(),
            heads: vec!["copies", "shown: all finish", "left it", "plain: all finish", "left it"],
            rows: rows.collect(),
        }],
        charts: vec![chart(ask, &figures)],
        verdicts: vec![
            Verdict {
                bound: &ALL_OR_NONE,
                found: format!("{halves} of {} runs in which some finish and some do not", figures.len()),
                holds: ask.is_plain().then_some(halves == 0),
            },
            verdict(&SHOWN, ways[0], 1150),
            verdict(&PLAIN, ways[1], 2000),
        ],
        command: ask.command("offline"),
    }
}
