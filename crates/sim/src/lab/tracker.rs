//! The tracker dies. What becomes of those who are there, and of those who come after it?
//!
//! Message by message, with real nodes of the DHT beside the sessions. The same people, three times: with a tracker that lives, with one that
//! dies while the DHT carries on, and with one that dies where there is nothing else.

use super::chart::{Axis, Chart, Point, millis};
use super::{Ask, Bench, Bound, Experiment, How, Report, Run, Table, Verdict, factor, median, over, seconds};
use crate::fault::Fault;
use crate::figures::{Figures, PeerRow};
use crate::network::Access;
use crate::swarm::schedule::Arrivals;
use crate::swarm::{Group, Shape, Swarm};
use core::time::Duration;
use proto::Instant;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "tracker",
    title: "The tracker dies: who still finds whom?",
    bounds: &[LOSES, FINDS, FETCHES],
    run,
};

const LOSES: Bound =
    Bound { id: "A17 there", source: "ours", says: "those who are there when it dies lose 2 % at most" };
const FINDS: Bound = Bound {
    id: "A17 find",
    source: "ours",
    says: "19 of 20 who come later meet somebody within 15 s by the DHT",
};
const FETCHES: Bound =
    Bound { id: "A17 late", source: "ours", says: "and take 5 % longer at most than if it lived" };

const HOME: Access = Access::new(2_500_000, 12_500_000);
const DIES: Instant = Instant::from_micros(10_000_000);
/// Whether the tracker dies, and whether there is a DHT.
const WAYS: [(bool, bool, &str); 3] =
    [(false, true, "lives"), (true, true, "dies, DHT"), (true, false, "dies, nothing else")];

fn swarm(ask: &Ask, (dies, dht): (bool, bool), seed: u64) -> Swarm {
    let content = Shape { total: ask.size.unwrap_or(64 << 20), piece_len: 256 << 10, block_len: 16 << 10 };
    let early = ask.peers.unwrap_or(20);
    let late = Group { arrivals: Arrivals::Over(Duration::from_secs(60)), ..Group::leechers(early, HOME) };
    let mut swarm = Swarm::new("tracker", content, seed)
        .group(Group::seeds(1, HOME))
        .group(Group::leechers(early, HOME))
        .group(late);
    if dies {
        swarm.faults.push((DIES, Fault::TrackerDies { lasts: None }));
    }
    swarm.dht = dht;
    swarm.within = Duration::from_secs(600);
    swarm
}

/// Those who came after it died.
fn late(figures: &Figures) -> impl Iterator<Item = &PeerRow> + '_ {
    figures.wanting().filter(|row| row.member.joins > DIES)
}

/// What those took in the mean; who is not done counts with how long he has been there.
fn took<'a>(figures: &Figures, rows: impl Iterator<Item = &'a PeerRow>) -> Duration {
    let spans = rows.map(|row| row.took().unwrap_or_else(|| figures.ended.since(row.member.joins)));
    let spans: Vec<Duration> = spans.collect();
    spans.iter().sum::<Duration>() / spans.len().max(1) as u32
}

/// Until 19 of 20 of those who came after it died had met somebody, all seeds together.
fn met(all: &[Figures]) -> Duration {
    let span = |row: &PeerRow| row.met.map_or(Duration::MAX, |met| met.since(row.member.joins));
    let mut spans: Vec<Duration> = all.iter().flat_map(late).map(span).collect();
    spans.sort_unstable();
    let place = (spans.len() * 19).div_ceil(20).max(1) - 1;
    spans.get(place).copied().unwrap_or(Duration::MAX)
}

fn bars(ways: &[&[Figures]], of: &dyn Fn(&Figures) -> Duration) -> Vec<Option<Point>> {
    let bar = |(place, all): (u64, &&[Figures])| {
        Point::of(place, all.iter().map(|figures| millis(Some(of(figures)))))
    };
    (0..).zip(ways).map(bar).collect()
}

fn run(ask: &Ask, bench: &mut Bench<'_>) -> Report {
    let worlds: Vec<Swarm> = WAYS
        .iter()
        .flat_map(|&(dies, dht, _)| ask.each_seed().map(move |seed| swarm(ask, (dies, dht), seed)))
        .collect();
    let figures =
        bench(worlds.iter().map(|swarm| Run { swarm: swarm.clone(), how: How::Messages }).collect());
    let ways: Vec<&[Figures]> = figures.chunks(ask.seeds as usize).collect();
    let middle =
        |all: &[Figures], of: fn(&Figures) -> Duration| median(all.iter().map(of)).unwrap_or(Duration::MAX);
    let there = |figures: &Figures| took(figures, figures.wanting().filter(|row| row.member.group == 1));
    let after = |figures: &Figures| took(figures, late(figures));
    let rows = WAYS.iter().zip(&ways).map(|((.., name), all)| {
        let count = all.iter().flat_map(late).count();
        let done = all.iter().flat_map(late).filter(|row| row.finished.is_some()).count();
        vec![
            (*name).into(),
            seconds(Some(middle(all, there))),
            format!("{done} of {count}"),
            seconds(Some(met(all))),
            seconds(Some(middle(all, after))),
        ]
    });
    let loses = over(middle(ways[1], there), middle(ways[0], there));
    let longer = over(middle(ways[1], after), middle(ways[0], after));
    let verdict =
        |bound, found: String, holds: bool| Verdict { bound, found, holds: ask.is_plain().then_some(holds) };
    Report {
        setting: vec![
            ("peers", format!("1 + {0}, and {0} who come within 60 s", worlds[0].groups[1].count)),
            ("size", format!("{} bytes", worlds[0].content.total)),
            ("links", "20 Mbit/s up, 100 Mbit/s down, 20 ms to the core".into()),
            ("dies", "after 10 s".into()),
            ("seeds", format!("{} from {}", ask.seeds, ask.seed)),
        ],
        tables: vec![Table {
            title: "Those who were there, and those who came after it died; means in the median of all seeds"
                .into(),
            heads: vec!["the tracker", "there: take", "later: finished", "19 of 20 met", "take"],
            rows: rows.collect(),
        }],
        charts: vec![
            Chart::bars("What it takes, in the mean", WAYS.map(|way| way.2), Axis::linear("time", "s"))
                .measured("who was there", bars(&ways, &there))
                .measured("who came later", bars(&ways, &after)),
        ],
        verdicts: vec![
            verdict(&LOSES, factor(loses), loses <= 1020),
            verdict(&FINDS, seconds(Some(met(ways[1]))), met(ways[1]) <= Duration::from_secs(15)),
            verdict(&FETCHES, factor(longer), longer <= 1050),
        ],
        command: ask.command("tracker"),
    }
}
