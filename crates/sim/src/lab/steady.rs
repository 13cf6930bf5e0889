//! People come, fetch, serve for a while and go, all the time. How many are there, and how long does it take?
//!
//! The fluid model of Qiu and Srikant: people come at a rate, give up at a rate, and leave at a rate once they have everything. It says
//! how many fetch (x), how many serve (y) and how long fetching takes (T), and that T does not depend on how many come. A swarm of
//! whole people needs somebody who always has it: an origin with a tenth of an uplink, which the model does not have. It alone would take
//! 8,000 s for one copy, so five more serve at the beginning, and have gone before anything is looked at.

use super::chart::{Axis, Chart, Point};
use super::{Ask, Bench, Bound, Experiment, How, Report, Run, Table, Verdict, factor, median};
use crate::fault::Fault;
use crate::figures::{Figures, PeerRow};
use crate::network::Access;
use crate::node::Leaves;
use crate::swarm::schedule::{Arrivals, Departures};
use crate::swarm::{Group, Shape, Swarm};
use core::time::Duration;
use proto::Instant;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "steady",
    title: "People come and go all the time: how many are there, and how long does it take?",
    bounds: &[TIME, DOUBLED, COUNTS],
    run,
};

const SOURCE: &str = "Qiu and Srikant, SIGCOMM 2004";
const TIME: Bound =
    Bound { id: "A7 time", source: SOURCE, says: "fetching takes 375 s in the mean, within 8 %" };
const DOUBLED: Bound = Bound {
    id: "A7 doubled",
    source: SOURCE,
    says: "where twice as many come, it takes as long, within 5 %",
};
const COUNTS: Bound =
    Bound { id: "A7 people", source: SOURCE, says: "15 fetch and 5 serve in the mean, within 10 %" };

/// From one arrival to the next, in milliseconds: 0.04 people a second, and twice as many.
const GAPS: [u64; 2] = [25_000, 12_500];
/// Content over an uplink takes 800 s (mu = 0.00125), over a downlink 500 s (c = 0.002).
const HOME: Access = Access::new(2_500_000, 4_000_000);
const TOTAL: u64 = 2_000_000_000;
/// 1 / theta and 1 / gamma.
const PATIENCE: Duration = Duration::from_secs(1000);
const STAYS: Duration = Duration::from_secs(200);
/// So many have it at the beginning.
const FIRST: u32 = 5;
/// What is looked at begins then, when the beginning is forgotten, and ends then.
const FROM: u64 = 2_000;
const UNTIL: u64 = 10_000;

fn swarm(ask: &Ask, gap: u64, seed: u64) -> Swarm {
    let total = ask.size.unwrap_or(TOTAL);
    let piece_len = total.div_ceil(500).clamp(4, 512 << 20) as u32;
    let content = Shape { total, piece_len, block_len: piece_len.div_ceil(4) };
    let gap = Duration::from_millis(gap);
    let count = ask.peers.unwrap_or((UNTIL * 1000 / gap.as_millis() as u64) as u32);
    let mut swarm = Swarm::new("steady", content, seed)
        .group(Group::seeds(1, Access::new(HOME.up / 10, HOME.down)))
        .group(Group {
            arrivals: Arrivals::Poisson { gap },
            departures: Departures::Impatient { patience: PATIENCE, stays: STAYS },
            ..Group::leechers(count, HOME)
        });
    // The first of them follow the others in number.
    let first = 1 + count;
    swarm = swarm.group(Group { name: "first", ..Group::seeds(FIRST, HOME) });
    let leaves = Instant::from_micros((FROM - 500) * 1_000_000);
    swarm.faults.extend((first..first + FIRST).map(|node| (leaves, Fault::Leave { node })));
    // A tenth of an uplink cannot serve sixteen.
    swarm.groups[0].lease.unchoke_slots = 1;
    swarm.within = Duration::from_secs(UNTIL);
    swarm
}

/// How long somebody fetched and served, within the span that is looked at.
fn spent(row: &PeerRow) -> (u128, u128) {
    let Leaves::Impatient { gives_up, stays } = row.member.leaves else { return (0, 0) };
    let at = |second: u64| Instant::from_micros(second * 1_000_000);
    let within = |from: Instant, until: Instant| {
        let (from, until) = (from.max(at(FROM)), until.min(at(UNTIL)));
        until.since(from).as_micros()
    };
    let fetched = row.finished.unwrap_or(row.member.joins + gives_up);
    let served = row.finished.map_or(0, |finished| within(finished, finished + stays));
    (within(row.member.joins, fetched), served)
}

/// Thousandths of people who fetch and who serve, and the mean time of fetching, of those who came within the span.
fn found(figures: &Figures) -> [u64; 3] {
    let sums = figures.wanting().map(spent).fold((0, 0), |sum, spent| (sum.0 + spent.0, sum.1 + spent.1));
    let (span, last) = (u128::from(UNTIL - FROM) * 1_000_000, Instant::from_micros(UNTIL * 1_000_000));
    // Who came late may not be done when it is over.
    let early = |row: &&PeerRow| {
        let joins = row.member.joins.as_micros() / 1_000_000;
        (FROM..UNTIL - 2 * PATIENCE.as_secs()).contains(&joins)
    };
    let took = |row: &PeerRow| match row.member.leaves {
        Leaves::Impatient { gives_up, .. } => {
            row.took().unwrap_or(gives_up.min(last.since(row.member.joins)))
        }
        _ => Duration::ZERO,
    };
    let spans: Vec<Duration> = figures.wanting().filter(early).map(took).collect();
    let mean = spans.iter().sum::<Duration>() / (spans.len().max(1) as u32);
    [(sums.0 * 1000 / span) as u64, (sums.1 * 1000 / span) as u64, mean.as_millis() as u64]
}

/// What the model says beside what was found: people, and seconds.
fn charts(ask: &Ask, figures: &[Figures]) -> Vec<Chart> {
    let rates: Vec<&[Figures]> = figures.chunks(ask.seeds as usize).collect();
    let point = |place: usize, rate: &[Figures], what: usize| {
        Point::of(place as u64, rate.iter().map(|figures| found(figures)[what]))
    };
    let people = (0..4).map(|place| point(place, rates[place / 2], place % 2));
    let times = (0..2).map(|place| point(place, rates[place], 2));
    // The model was asked about the setting as it stands.
    let said = |values: &'static [u64]| {
        let points = (0..).zip(values).map(|(place, &value)| Point::new(place, value * 1000));
        points.filter(|_| ask.is_plain())
    };
    let names = ["fetch, 0.04/s come", "serve, 0.04/s come", "fetch, 0.08/s come", "serve, 0.08/s come"];
    vec![
        Chart::bars("How many are there, in the mean", names, Axis::linear("people", ""))
            .measured("found", people)
            .theory("the fluid model", said(&[15, 5, 30, 10])),
        Chart::bars(
            "How long fetching takes, in the mean",
            ["0.04/s come", "0.08/s come"],
            Axis::linear("time", "s"),
        )
        .measured("found", times)
        .theory("the fluid model", said(&[375, 375])),
    ]
}

fn run(ask: &Ask, bench: &mut Bench<'_>) -> Report {
    let worlds: Vec<Swarm> =
        GAPS.iter().flat_map(|&gap| ask.each_seed().map(move |seed| swarm(ask, gap, seed))).collect();
    let runs = worlds.iter().map(|swarm| Run { swarm: swarm.clone(), how: How::Flows });
    let figures = bench(runs.collect());
    let all: Vec<[u64; 3]> = figures
        .chunks(ask.seeds as usize)
        .map(|all| {
            [0, 1, 2].map(|place| median(all.iter().map(|figures| found(figures)[place])).unwrap_or(0))
        })
        .collect();
    let ([fetch, serve, time], [fetch_more, serve_more, time_more]) = (all[0], all[1]);
    let near = |found: u64, said: u64, percent: u64| found.abs_diff(said) * 100 <= said * percent;
    let cells = |rate: &str, said: [&str; 3], found: [u64; 3]| {
        let [said_fetch, said_serve, said_time] = said.map(String::from);
        let [fetch, serve, time] = found.map(factor);
        vec![rate.into(), said_fetch, fetch, said_serve, serve, said_time, time]
    };
    let verdict =
        |bound, found: String, holds| Verdict { bound, found, holds: ask.is_plain().then_some(holds) };
    Report {
        setting: vec![
            ("links", "20 Mbit/s up, 32 Mbit/s down, 20 ms to the core; the origin 2 Mbit/s up".into()),
            (
                "size",
                format!("{} bytes in pieces of {}", worlds[0].content.total, worlds[0].content.piece_len),
            ),
            (
                "people",
                "give up after 1,000 s, serve for 200 s, in the mean; 0.04 and 0.08 come a second".into(),
            ),
            ("looked at", format!("from {FROM} s to {UNTIL} s")),
            ("seeds", format!("{} from {}", ask.seeds, ask.seed)),
        ],
        tables: vec![Table {
            title: "What the model says and what was found, in the median of all seeds".into(),
            heads: vec!["come", "fetch, said", "fetch", "serve, said", "serve", "takes, said", "takes, s"],
            rows: vec![
                cells("0.04/s", ["15", "5", "375"], [fetch, serve, time]),
                cells("0.08/s", ["30", "10", "375"], [fetch_more, serve_more, time_more]),
            ],
        }],
        charts: charts(ask, &figures),
        verdicts: vec![
            verdict(&TIME, format!("{} s", factor(time)), near(time, 375_000, 8)),
            verdict(&DOUBLED, format!("{} s", factor(time_more)), near(time_more, time, 5)),
            verdict(
                &COUNTS,
                format!("{} fetch, {} serve", factor(fetch), factor(serve)),
                near(fetch, 15_000, 10) && near(serve, 5_000, 10),
            ),
        ],
        command: ask.command("steady"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_counted_for_as_long_as_they_are_there_and_only_while_it_is_looked() {
        let member = swarm(&Ask::default(), GAPS[0], 1).cast()[1];
        let at = |second: u64| Instant::from_micros(second * 1_000_000);
        let row = |joins: u64, finished: Option<u64>| PeerRow {
            member: crate::swarm::Member {
                joins: at(joins),
                leaves: Leaves::Impatient {
                    gives_up: Duration::from_secs(1000),
                    stays: Duration::from_secs(200),
                },
                ..member
            },
            met: None,
            finished: finished.map(at),
            received: 0,
            sent: 0,
        };
        let seconds = |row: PeerRow| (spent(&row).0 / 1_000_000, spent(&row).1 / 1_000_000);
        assert_eq!(seconds(row(3000, Some(3100))), (100, 200));
        // Gave up at 2,500, of which the first 500 are not looked at; was still there at the end; was gone before it began.
        assert_eq!(seconds(row(1500, None)), (500, 0));
        assert_eq!(seconds(row(9800, Some(9900))), (100, 100));
        assert_eq!(seconds(row(100, Some(1700))), (0, 0));
    }
}
