//! Some send wrong bytes: does everybody else still get the right ones, and is anybody blamed who did nothing?
//!
//! Message by message, with all checkers: a liar says that it has everything, serves everybody at once, and spoils one block in ten.

use super::chart::{Axis, Chart, Point, millis};
use super::{
    Ask, Bench, Bound, Experiment, How, Report, Run, Table, Verdict, factor, last, median, over, seconds,
};
use crate::figures::Figures;
use crate::hostile::cast;
use crate::network::Access;
use crate::swarm::{Attackers, Group, Shape, Swarm};
use core::time::Duration;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "liars",
    title: "Up to half of a swarm lies: does everybody else get what is right?",
    bounds: &[ALL, NOBODY],
    run,
};

const ALL: Bound =
    Bound { id: "liars all", source: "ours", says: "all who are honest finish, and nothing wrong is kept" };
const NOBODY: Bound = Bound {
    id: "liars blame",
    source: "ours",
    says: "nobody honest is banned, and no other law of the protocol is broken",
};

const HOME: Access = Access::new(2_500_000, 12_500_000);
/// Percent of all who want it or pretend to have it.
const PARTS: [u32; 5] = [0, 10, 25, 40, 50];

fn swarm(ask: &Ask, percent: u32, seed: u64) -> Swarm {
    let content = Shape { total: ask.size.unwrap_or(32 << 20), piece_len: 256 << 10, block_len: 16 << 10 };
    let all = ask.peers.unwrap_or(40);
    let liars = all * percent / 100;
    let mut swarm = Swarm::new("liars", content, seed)
        .group(Group::seeds(1, HOME))
        .group(Group::leechers((all - liars).max(1), HOME));
    let habit = cast::by_name("sly-poisoner").expect("a row of the cast");
    swarm.attackers = (liars > 0).then_some(Attackers { habit, count: liars, access: HOME });
    swarm.within = swarm.bound() * 20 + Duration::from_secs(300);
    swarm
}

fn run(ask: &Ask, bench: &mut Bench<'_>) -> Report {
    let worlds: Vec<Swarm> = PARTS
        .iter()
        .flat_map(|&percent| ask.each_seed().map(move |seed| swarm(ask, percent, seed)))
        .collect();
    let figures =
        bench(worlds.iter().map(|swarm| Run { swarm: swarm.clone(), how: How::Messages }).collect());
    let seeds = ask.seeds as usize;
    let all: Vec<(&Swarm, &[Figures])> = worlds.iter().step_by(seeds).zip(figures.chunks(seeds)).collect();
    let middle = |all: &[Figures]| {
        median(all.iter().map(|figures| figures.median().unwrap_or(Duration::MAX))).unwrap_or(Duration::MAX)
    };
    let finished = |all: &[Figures]| all.iter().map(Figures::finished).sum::<usize>();
    let wanting = |all: &[Figures]| all.iter().map(|figures| figures.wanting().count()).sum::<usize>();
    let findings = |all: &[Figures]| all.iter().map(|figures| figures.findings.len()).sum::<usize>();
    let rows = PARTS.iter().zip(&all).map(|(percent, (_, all))| {
        let wasted = |figures: &Figures| figures.wasted * 1000 / figures.payload.max(1);
        vec![
            format!("{percent} %"),
            format!("{} of {}", finished(all), wanting(all)),
            findings(all).to_string(),
            seconds(Some(middle(all))),
            factor(over(middle(all), middle(figures[..seeds].as_ref()))),
            seconds(Some(last(all))),
            factor(median(all.iter().map(wasted)).unwrap_or(0)),
        ]
    });
    let points = PARTS.iter().zip(&all).map(|(&percent, (_, all))| {
        Point::of(u64::from(percent) * 1000, all.iter().map(|figures| millis(figures.median())))
    });
    let (done, of, broken) = (finished(&figures), wanting(&figures), findings(&figures));
    let verdict =
        |bound, found: String, holds: bool| Verdict { bound, found, holds: ask.is_plain().then_some(holds) };
    Report {
        setting: vec![
            ("peers", format!("1 + {}, liars among them", ask.peers.unwrap_or(40))),
            ("size", format!("{} bytes", worlds[0].content.total)),
            ("links", "20 Mbit/s up, 100 Mbit/s down, 20 ms to the core".into()),
            ("liars", "pretend to have everything, serve everybody, spoil one block in ten".into()),
            ("seeds", format!("{} from {}", ask.seeds, ask.seed)),
        ],
        tables: vec![Table {
            title: "By how many lie; all seeds together, times in their median".into(),
            heads: vec!["lie", "finished", "laws broken", "median", "to none", "last", "wasted"],
            rows: rows.collect(),
        }],
        charts: vec![
            Chart::curves("What the middle one took", Axis::linear("lie", "%"), Axis::linear("time", "s"))
                .measured("the honest", points),
        ],
        verdicts: vec![
            verdict(&ALL, format!("{done} of {of}"), done == of),
            verdict(&NOBODY, format!("{broken} findings"), broken == 0),
        ],
        command: ask.command("liars"),
    }
}
