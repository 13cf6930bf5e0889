//! More come than the origin sends pieces, and who is done leaves: does the swarm ever get the last piece out?
//!
//! Hajek and Zhu: where the origin sends fewer pieces a second than people come, one piece gets ever rarer. All who are there wait for it,
//! whoever gets it is done and leaves with it, and so as many are done a second as the origin sends pieces. If people stay on average only
//! as long as it takes to give one more piece, it does not happen.

use super::chart::{Axis, Chart, Point, millis};
use super::{Ask, Bench, Bound, Experiment, How, Report, Run, Table, Verdict, factor, median, seconds};
use crate::figures::{Figures, PeerRow};
use crate::network::Access;
use crate::swarm::schedule::{Arrivals, Departures};
use crate::swarm::{Group, Shape, Swarm};
use core::time::Duration;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "missing",
    title: "More people come than the origin sends pieces: does the last piece get out?",
    bounds: &[RATE, STABLE],
    run,
};

const SOURCE: &str = "Hajek and Zhu, 2010";
const RATE: Bound = Bound {
    id: "A8 rate",
    source: SOURCE,
    says: "where people leave at once, as many are done a second as the origin sends pieces, within 5 %",
};
const STABLE: Bound = Bound {
    id: "A8 stable",
    source: SOURCE,
    says: "where they stay for five pieces, they take 60 s at most in the mean",
};

const PIECE: u32 = 256 << 10;
/// A piece a second.
const ORIGIN: Access = Access::new(PIECE as u64, 10_000_000);
const HOME: Access = Access::new(4 * PIECE as u64, 10_000_000);
/// Two come a second.
const GAP: Duration = Duration::from_millis(500);
/// For how long it is watched, and from when on it counts.
const UNTIL: u64 = 1000;
const FROM: u64 = 200;
/// How many pieces, each a quarter of a second long, somebody stays for.
const STAYS: [u32; 4] = [0, 1, 5, 20];

fn swarm(ask: &Ask, stays: u32, seed: u64) -> Swarm {
    let total = ask.size.unwrap_or(20 * u64::from(PIECE));
    let content = Shape { total, piece_len: PIECE, block_len: PIECE / 4 };
    let mut swarm = Swarm::new("missing", content, seed).group(Group::seeds(1, ORIGIN)).group(Group {
        arrivals: Arrivals::Poisson { gap: GAP },
        departures: Departures::AfterFinish { mean: Duration::from_millis(250) * stays },
        ..Group::leechers(ask.peers.unwrap_or(2 * UNTIL as u32), HOME)
    });
    // Blocks of a quarter of a second, and nobody is to wait for his first one longer than 8 s.
    swarm.groups[0].lease.unchoke_slots = 4;
    swarm.within = Duration::from_secs(UNTIL);
    swarm
}

fn within(at: Option<proto::Instant>) -> bool {
    at.is_some_and(|at| (FROM..UNTIL).contains(&(at.as_micros() / 1_000_000)))
}

/// Thousandths of people a second who were done while it counted.
fn rate(figures: &Figures) -> u64 {
    figures.wanting().filter(|row| within(row.finished)).count() as u64 * 1000 / (UNTIL - FROM)
}

/// What those took who came while it counted; who was not done counts with how long he has been there.
fn span_of(figures: &Figures) -> Duration {
    let rows = figures.wanting().filter(|row| within(Some(row.member.joins)));
    let took = |row: &PeerRow| row.took().unwrap_or_else(|| figures.ended.since(row.member.joins));
    let spans: Vec<Duration> = rows.map(took).collect();
    spans.iter().sum::<Duration>() / spans.len().max(1) as u32
}

/// Who is there at the end and not done.
fn waiting(figures: &Figures) -> u64 {
    figures.wanting().filter(|row| row.finished.is_none() && row.member.joins <= figures.ended).count() as u64
}

fn run(ask: &Ask, bench: &mut Bench<'_>) -> Report {
    let worlds: Vec<Swarm> =
        STAYS.iter().flat_map(|&stays| ask.each_seed().map(move |seed| swarm(ask, stays, seed))).collect();
    let figures = bench(worlds.iter().map(|swarm| Run { swarm: swarm.clone(), how: How::Flows }).collect());
    let all: Vec<&[Figures]> = figures.chunks(ask.seeds as usize).collect();
    let of = |all: &[Figures], what: fn(&Figures) -> u64| median(all.iter().map(what)).unwrap_or(0);
    let took = |all: &[Figures]| median(all.iter().map(span_of)).unwrap_or(Duration::MAX);
    let rows = STAYS.iter().zip(&all).map(|(stays, all)| {
        vec![
            stays.to_string(),
            factor(of(all, rate)),
            seconds(Some(took(all))),
            of(all, waiting).to_string(),
            factor(median(all.iter().map(|figures| figures.copies_permille(&worlds[0]))).unwrap_or(0)),
        ]
    });
    let (rate, stable) = (of(all[0], rate), took(all[2]));
    Report {
        setting: vec![
            ("people", format!("two a second for {UNTIL} s, with 4 pieces a second up")),
            ("origin", "one piece a second, four slots".into()),
            ("size", format!("{} bytes in pieces of {PIECE}", worlds[0].content.total)),
            ("counted", format!("from {FROM} s on")),
            ("seeds", format!("{} from {}", ask.seeds, ask.seed)),
        ],
        tables: vec![Table {
            title: "By how many pieces long somebody stays who is done; the medians of all seeds".into(),
            heads: vec!["stays", "done a second", "takes", "wait at the end", "copies"],
            rows: rows.collect(),
        }],
        charts: vec![
            Chart::bars(
                "What it takes, by how many pieces long people stay",
                STAYS.map(|stays| stays.to_string()),
                Axis::log("time", "s"),
            )
            .measured(
                "found",
                (0..).zip(&all).map(|(place, all)| {
                    Point::of(place, all.iter().map(|figures| millis(Some(span_of(figures)))))
                }),
            ),
        ],
        verdicts: vec![
            Verdict {
                bound: &RATE,
                found: factor(rate),
                holds: ask.is_plain().then_some(rate.abs_diff(1000) <= 50),
            },
            Verdict {
                bound: &STABLE,
                found: seconds(Some(stable)),
                holds: ask.is_plain().then_some(stable <= Duration::from_secs(60)),
            },
        ],
        command: ask.command("missing"),
    }
}
