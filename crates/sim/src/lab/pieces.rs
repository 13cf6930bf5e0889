//! Into how many pieces should a content be cut? Who has a piece can give it, and who has only a part of one cannot.
//!
//! The theory (Mundinger, Weber and Weiss): if each sends one piece at a time to one other, n people need 1 + floor(log2 n) / m times what
//! one copy takes over an uplink, with m pieces. Ours serve several at a time, so that a piece takes longer to be given on.

use super::chart::{Axis, Chart, Point};
use super::{
    Ask, Bench, Bound, Experiment, How, Report, Run, Table, Verdict, factor, last, median, over, seconds,
};
use crate::figures::Figures;
use crate::network::Access;
use crate::swarm::{Group, Shape, Swarm};
use core::time::Duration;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "pieces",
    title: "Into how many pieces should a content be cut?",
    bounds: &[FALLS, ONE, MANY],
    run,
};

const THEORY: &str = "after Mundinger, Weber and Weiss, J. Scheduling 2008";
const FALLS: Bound = Bound {
    id: "A5",
    source: THEORY,
    says: "the more pieces, the sooner the last is done, up to 1,000 (a hundredth is chance)",
};
const ONE: Bound =
    Bound { id: "A5 one", source: THEORY, says: "in one piece the last needs 8 times the bound at least" };
const MANY: Bound =
    Bound { id: "A5 many", source: THEORY, says: "in 1,000 pieces it needs 1.15 times the bound at most" };

const PIECES: [u64; 11] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000];
const BLOCK_MAX: u32 = 128 << 10;
const HOME: Access = Access::new(2_500_000, 12_500_000);

fn swarm(ask: &Ask, pieces: u64, seed: u64) -> Swarm {
    let total = ask.size.unwrap_or(256 << 20);
    let piece_len = total.div_ceil(pieces).clamp(1, 512 << 20) as u32;
    let content = Shape { total, piece_len, block_len: piece_len.min(BLOCK_MAX) };
    let mut swarm = Swarm::new("pieces", content, seed)
        .group(Group::seeds(1, HOME))
        .group(Group::leechers(ask.peers.unwrap_or(200), HOME));
    swarm.within = swarm.bound() * 100 + Duration::from_secs(60);
    swarm
}

fn run(ask: &Ask, bench: &mut Bench<'_>) -> Report {
    let worlds: Vec<Swarm> =
        PIECES.iter().flat_map(|&pieces| ask.each_seed().map(move |seed| swarm(ask, pieces, seed))).collect();
    let figures = bench(worlds.iter().map(|swarm| Run { swarm: swarm.clone(), how: How::Flows }).collect());
    let (bound, peers) = (worlds[0].bound(), worlds[0].groups[1].count);
    let all: Vec<&[Figures]> = figures.chunks(ask.seeds as usize).collect();
    let overs: Vec<u64> = all.iter().map(|all| over(last(all), bound)).collect();
    let rows = PIECES.iter().zip(&all).zip(&overs).map(|((&pieces, all), &over_bound)| {
        vec![
            pieces.to_string(),
            factor(theory(peers, pieces)),
            seconds(Some(last(all))),
            factor(over_bound),
            factor(median(all.iter().map(|figures| figures.copies_permille(&worlds[0]))).unwrap_or(0)),
            factor(median(all.iter().map(overhead)).unwrap_or(0)),
        ]
    });
    let falls = PIECES.windows(2).zip(overs.windows(2));
    let rise = falls
        .filter(|(pieces, _)| pieces[1] <= 1000)
        .map(|(_, over)| over[1].saturating_mul(1000) / over[0].max(1))
        .max();
    let rise = rise.unwrap_or(0);
    let verdict =
        |bound, found: String, holds: bool| Verdict { bound, found, holds: ask.is_plain().then_some(holds) };
    Report {
        setting: vec![
            ("peers", format!("1 + {peers}")),
            ("size", format!("{} bytes, in blocks of {BLOCK_MAX} at most", worlds[0].content.total)),
            ("links", "20 Mbit/s up, 100 Mbit/s down, 20 ms to the core".into()),
            ("slots", worlds[0].groups[1].lease.unchoke_slots.to_string()),
            ("seeds", format!("{} from {}", ask.seeds, ask.seed)),
            ("bound", seconds(Some(bound))),
        ],
        tables: vec![Table {
            title: "By the number of pieces; the medians of all seeds".into(),
            heads: vec!["pieces", "theory over bound", "last", "over bound", "copies", "overhead"],
            rows: rows.collect(),
        }],
        charts: vec![
            Chart::curves(
                "The last one, by the number of pieces",
                Axis::log("pieces", ""),
                Axis::log("over the bound", ""),
            )
            .measured(
                "found",
                PIECES.iter().zip(&all).map(|(&pieces, all)| {
                    let overs =
                        all.iter().map(|figures| figures.last().map_or(u64::MAX, |last| over(last, bound)));
                    Point::of(pieces * 1000, overs)
                }),
            )
            .theory(
                "one piece to one other at a time",
                PIECES.map(|pieces| Point::of(pieces * 1000, [theory(peers, pieces)])),
            ),
        ],
        verdicts: vec![
            verdict(&FALLS, format!("{} of the one before it at most", factor(rise)), rise <= 1010),
            verdict(&ONE, factor(overs[0]), overs[0] >= 8000),
            verdict(&MANY, factor(overs[9]), overs[9] <= 1150),
        ],
        command: ask.command("pieces"),
    }
}

/// Thousandths of the bound that so many need at least, one piece to one other at a time.
fn theory(peers: u32, pieces: u64) -> u64 {
    1000 + 1000 * u64::from(peers.max(1).ilog2()) / pieces
}

/// Headers and control messages beside payload, in thousandths.
fn overhead(figures: &Figures) -> u64 {
    figures.overhead * 1000 / figures.payload.max(1)
}
