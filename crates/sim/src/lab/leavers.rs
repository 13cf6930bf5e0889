//! Anybody may go at any time, and a server may die: who still gets it?
//!
//! Both ways, with the same people at the same moments: some vanish without a word while one copy takes over an uplink; and then the
//! one who had it dies, a fifth later.

use super::chart::{Axis, Chart, Point, millis};
use super::{Ask, Bench, Bound, Experiment, How, Report, Run, Table, Verdict, median, seconds};
use crate::disk::Crash;
use crate::fault::Fault;
use crate::figures::Figures;
use crate::network::Access;
use crate::swarm::{Group, Shape, Swarm};
use core::time::Duration;
use proto::{Instant, Rng, Seed};

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "leavers",
    title: "People vanish, and the server dies: who still gets it?",
    bounds: &[STAY, DEAD],
    run,
};

const STAY: Bound =
    Bound { id: "leavers stay", source: "ours", says: "of a swarm all get it who stay, however many vanish" };
const DEAD: Bound = Bound {
    id: "server dies",
    source: "ours",
    says: "when the origin dies after 1.2 copies, all of a swarm get it and none of a server's clients",
};

const HOME: Access = Access::new(2_500_000, 12_500_000);
/// Percent of those who want it that vanish.
const VANISH: [u32; 4] = [0, 10, 30, 50];

fn swarm(ask: &Ask, vanish: Option<u32>, seed: u64) -> Swarm {
    let content = Shape { total: ask.size.unwrap_or(64 << 20), piece_len: 256 << 10, block_len: 64 << 10 };
    let mut swarm = Swarm::new("leavers", content, seed)
        .group(Group::seeds(1, HOME))
        .group(Group::leechers(ask.peers.unwrap_or(40), HOME));
    let copy = content.total * 1_000_000 / HOME.up;
    let goes =
        |node, at| (Instant::from_micros(at), Fault::Crash { node, how: Crash::Kill, back_after: None });
    let mut rng = Rng::new(Seed(seed ^ 0x676f_6573));
    match vanish {
        None => swarm.faults.push(goes(0, copy * 6 / 5)),
        Some(percent) => {
            let count = swarm.groups[1].count;
            let mut nodes: Vec<u32> = (1..=count).collect();
            for _ in 0..count * percent / 100 {
                let node = nodes.swap_remove(rng.index(nodes.len()));
                swarm.faults.push(goes(node, (u64::from(rng.below(1000)) + 1) * copy / 1000));
            }
        }
    }
    swarm.within = swarm.bound_of_server() * 2 + Duration::from_secs(60);
    swarm
}

fn run(ask: &Ask, bench: &mut Bench<'_>) -> Report {
    let kinds = || VANISH.iter().map(|&percent| Some(percent)).chain([None]);
    let worlds: Vec<Swarm> =
        kinds().flat_map(|vanish| ask.each_seed().map(move |seed| swarm(ask, vanish, seed))).collect();
    let runs = |how| worlds.iter().map(move |swarm| Run { swarm: swarm.clone(), how });
    let figures = bench(runs(How::Served).chain(runs(How::Flows)).collect());
    let (served, swarmed) = figures.split_at(worlds.len());
    let seeds = ask.seeds as usize;
    let stay = |place: usize| {
        let world = &worlds[place * seeds];
        let gone = world.faults.iter().filter(|(_, fault)| !matches!(fault, Fault::Crash { node: 0, .. }));
        (world.groups[1].count as usize - gone.count()) * seeds
    };
    let of = |all: &[Figures], place: usize| -> (usize, Duration) {
        let all = &all[place * seeds..(place + 1) * seeds];
        let mean = |figures: &Figures| figures.mean_of(1).unwrap_or(Duration::MAX);
        (all.iter().map(Figures::finished).sum(), median(all.iter().map(mean)).unwrap_or(Duration::MAX))
    };
    let rows = kinds().enumerate().map(|(place, vanish)| {
        let ((server_done, server_mean), (done, mean)) = (of(served, place), of(swarmed, place));
        vec![
            vanish.map_or_else(|| "the origin dies".into(), |percent| format!("{percent} % vanish")),
            stay(place).to_string(),
            server_done.to_string(),
            seconds(Some(server_mean)),
            done.to_string(),
            seconds(Some(mean)),
        ]
    });
    // Who vanished may have been done before.
    let lost: usize = (0..VANISH.len()).map(|place| stay(place).saturating_sub(of(swarmed, place).0)).sum();
    let dead = (of(swarmed, VANISH.len()).0, of(served, VANISH.len()).0);
    let verdict =
        |bound, found: String, holds: bool| Verdict { bound, found, holds: ask.is_plain().then_some(holds) };
    let times = |all: &[Figures]| {
        let point = |place: usize| {
            let all = &all[place * seeds..(place + 1) * seeds];
            Point::of(u64::from(VANISH[place]) * 1000, all.iter().map(|figures| millis(figures.mean_of(1))))
        };
        (0..VANISH.len()).map(point).collect::<Vec<_>>()
    };
    Report {
        setting: vec![
            ("peers", format!("1 + {}", worlds[0].groups[1].count)),
            ("size", format!("{} bytes", worlds[0].content.total)),
            ("links", "20 Mbit/s up, 100 Mbit/s down, 20 ms to the core".into()),
            ("go", "while one copy takes over an uplink; the origin after 1.2 times that".into()),
            ("seeds", format!("{} from {}", ask.seeds, ask.seed)),
        ],
        tables: vec![Table {
            title: "Who gets it, all seeds together, and what those take in the mean".into(),
            heads: vec!["what happens", "stay", "served", "takes", "of a swarm", "takes"],
            rows: rows.collect(),
        }],
        charts: vec![
            Chart::curves("What who gets it takes", Axis::linear("vanish", "%"), Axis::log("time", "s"))
                .measured("a server", times(served))
                .measured("everybody", times(swarmed)),
        ],
        verdicts: vec![
            verdict(&STAY, format!("{lost} who stayed and did not"), lost == 0),
            verdict(
                &DEAD,
                format!("{} of {} and {}", dead.0, stay(VANISH.len()), dead.1),
                dead == (stay(VANISH.len()), 0),
            ),
        ],
        command: ask.command("leavers"),
    }
}
