//! Which piece next: the rarest, any, or the next in order? Where the origin is slow and people leave, it decides what is lost.
//!
//! Interest is what Legout et al. (IMC 2006) call entropy: for how much of the time somebody wants something of somebody else, of all
//! pairs of people who are linked and both lack something, looked at each second.

use super::chart::{Axis, Chart, Point, millis};
use super::{
    Ask, Bench, Bound, Experiment, How, Report, Run, Table, Verdict, factor, last, mean, median, over,
    seconds,
};
use crate::figures::Figures;
use crate::network::Access;
use crate::swarm::schedule::{Arrivals, Departures};
use crate::swarm::{Group, PickOrder, Shape, Swarm};
use core::time::Duration;
use proto::config::SuperSeeding;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "rarest",
    title: "Which piece next, where the origin is slow and people leave: the rarest, any, or the next?",
    bounds: &[TIME, INTEREST, OTHERS],
    run,
};

const TIME: Bound = Bound {
    id: "A9 time",
    source: "ours, from a model without blocks",
    says: "with the rarest first all take 0.9 times as long as in random order at most, in the mean",
};
const INTEREST: Bound = Bound {
    id: "A9 interest",
    source: "Legout et al., IMC 2006",
    says: "with the rarest first 0.95 of all pairs want something of one another at least",
};
const OTHERS: Bound = Bound {
    id: "A9 others",
    source: "ours, from a model without blocks",
    says: "in sequence it is 0.8 at most",
};

const HOME: Access = Access::new(2_500_000, 12_500_000);
const ORDERS: [(PickOrder, &str); 3] = [
    (PickOrder::RarestFirst, "rarest first"),
    (PickOrder::Random, "random"),
    (PickOrder::Sequential, "in sequence"),
];
/// The origin shows everything, so that the order is the leechers' choice; and one by one, as it does by default.
const SHOWS: [(SuperSeeding, &str); 2] =
    [(SuperSeeding::Never, "at once"), (SuperSeeding::Auto, "one by one")];

fn swarm(ask: &Ask, (shows, order): (SuperSeeding, PickOrder), seed: u64) -> Swarm {
    let content = Shape { total: ask.size.unwrap_or(64 << 20), piece_len: 256 << 10, block_len: 64 << 10 };
    let mut swarm = Swarm::new("rarest", content, seed)
        .group(Group::seeds(1, Access::new(HOME.up / 4, HOME.down)))
        .group(Group {
            order,
            arrivals: Arrivals::Over(Duration::from_secs(120)),
            departures: Departures::AtFinish,
            ..Group::leechers(ask.peers.unwrap_or(60), HOME)
        });
    swarm.groups[0].config.super_seeding = shows;
    // Five blocks leave at once from a quarter of an uplink.
    swarm.groups[0].lease.unchoke_slots = 4;
    swarm.samples = Some(Duration::from_secs(1));
    swarm.within = swarm.bound_of_server() * 2;
    swarm
}

/// Thousandths of the links between people who both lack something over which something is wanted.
fn interest(figures: &Figures) -> u64 {
    let sums = figures.samples.iter().fold((0, 0), |sum, row| (sum.0 + row.wanted, sum.1 + row.links));
    sums.0 * 1000 / sums.1.max(1)
}

fn bars(all: &[&[Figures]]) -> Vec<Option<Point>> {
    let bar = |(place, all): (u64, &&[Figures])| {
        Point::of(place, all.iter().map(|figures| millis(Some(mean(figures)))))
    };
    (0..).zip(all).map(bar).collect()
}

fn run(ask: &Ask, bench: &mut Bench<'_>) -> Report {
    let kinds = || SHOWS.into_iter().flat_map(|shows| ORDERS.map(|order| (shows, order)));
    let worlds: Vec<Swarm> = kinds()
        .flat_map(|(shows, order)| ask.each_seed().map(move |seed| swarm(ask, (shows.0, order.0), seed)))
        .collect();
    let figures = bench(worlds.iter().map(|swarm| Run { swarm: swarm.clone(), how: How::Flows }).collect());
    let all: Vec<&[Figures]> = figures.chunks(ask.seeds as usize).collect();
    let of = |all: &[Figures], what: fn(&Figures) -> u64| median(all.iter().map(what)).unwrap_or(0);
    let means: Vec<Duration> =
        all.iter().map(|all| median(all.iter().map(mean)).unwrap_or(Duration::MAX)).collect();
    let rows = kinds().zip(&all).zip(&means).enumerate().map(|(place, (((shows, order), all), &mean))| {
        vec![
            shows.1.into(),
            order.1.into(),
            seconds(Some(mean)),
            factor(over(mean, means[place / ORDERS.len() * ORDERS.len() + 1])),
            seconds(Some(last(all))),
            factor(median(all.iter().map(|figures| figures.copies_permille(&worlds[0]))).unwrap_or(0)),
            factor(of(all, interest)),
        ]
    });
    let verdict = |bound, permille: u64, holds: bool| Verdict {
        bound,
        found: factor(permille),
        holds: ask.is_plain().then_some(holds),
    };
    let (faster, rarest, sequence) = (over(means[0], means[1]), of(all[0], interest), of(all[2], interest));
    Report {
        setting: vec![
            (
                "peers",
                format!(
                    "1 + {}, who come within 120 s and leave when they are done",
                    worlds[0].groups[1].count
                ),
            ),
            ("size", format!("{} bytes", worlds[0].content.total)),
            (
                "links",
                "20 Mbit/s up, 100 Mbit/s down, 20 ms to the core; the origin 5 Mbit/s up, four slots".into(),
            ),
            ("seeds", format!("{} from {}", ask.seeds, ask.seed)),
            ("a copy", format!("takes the origin {}", seconds(Some(worlds[0].bound())))),
        ],
        tables: vec![Table {
            title: "By what the origin shows and in what order the others fetch; the medians of all seeds"
                .into(),
            heads: vec!["shows", "order", "mean", "to random", "last", "copies", "interest"],
            rows: rows.collect(),
        }],
        charts: vec![
            Chart::bars("What all took, in the mean", ORDERS.map(|order| order.1), Axis::linear("time", "s"))
                .measured("shown at once", bars(&all[..ORDERS.len()]))
                .measured("shown one by one", bars(&all[ORDERS.len()..])),
        ],
        verdicts: vec![
            verdict(&TIME, faster, faster <= 900),
            verdict(&INTEREST, rarest, rarest >= 950),
            verdict(&OTHERS, sequence, sequence <= 800),
        ],
        command: ask.command("rarest"),
    }
}
