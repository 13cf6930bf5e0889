//! Inside an organisation: 2,600 hosts want an image of 3 GB at once, over links of 300 MB/s both ways.
//!
//! The setting that the authors of Kraken published: five origins, and all their hosts together.

use super::chart::{Axis, Chart, Point, millis};
use super::{Ask, Bench, Bound, Experiment, How, Report, Run, Table, Verdict, factor, median, seconds};
use crate::figures::{Figures, PeerRow};
use crate::network::Access;
use crate::swarm::{Group, Shape, Swarm};
use core::time::Duration;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "organisation",
    title: "2,600 hosts of an organisation want 3 GB at once: how long does it take?",
    bounds: &[HALF, MOST, COPIES],
    run,
};

const SOURCE: &str = "after Kraken's README: half within 10 s, 99 of 100 within 18 s";
const HALF: Bound = Bound { id: "A20 half", source: SOURCE, says: "half of all have it within 12 s" };
const MOST: Bound = Bound { id: "A20 most", source: SOURCE, says: "99 of 100 have it within 20 s" };
const COPIES: Bound = Bound { id: "A20 copies", source: "ours", says: "the origins send 8 copies at most" };

const ORIGINS: u32 = 5;
const HOST: Access = Access::new(300_000_000, 300_000_000).latency(Duration::from_millis(1));
/// Thousandths of all hosts.
const PARTS: [usize; 4] = [500, 900, 990, 999];

fn swarm(ask: &Ask, seed: u64) -> Swarm {
    // 750 pieces of 4 MB in four blocks each, as Kraken cuts an image.
    let total = ask.size.unwrap_or(3_000_000_000);
    let piece_len = total.div_ceil(750).clamp(4, 512 << 20) as u32;
    let content = Shape { total, piece_len, block_len: piece_len.div_ceil(4) };
    Swarm::new("organisation", content, seed)
        .group(Group::seeds(ORIGINS, HOST))
        .group(Group::leechers(ask.peers.unwrap_or(2600), HOST))
}

/// What the slowest of so many thousandths of all took.
fn within(figures: &Figures, permille: usize) -> Duration {
    let mut spans: Vec<Duration> =
        figures.wanting().map(|row: &PeerRow| row.took().unwrap_or(Duration::MAX)).collect();
    spans.sort_unstable();
    let place = (spans.len() * permille).div_ceil(1000).max(1) - 1;
    spans.get(place).copied().unwrap_or(Duration::MAX)
}

fn run(ask: &Ask, bench: &mut Bench<'_>) -> Report {
    let worlds: Vec<Swarm> = ask.each_seed().map(|seed| swarm(ask, seed)).collect();
    let runs = |how| worlds.iter().map(move |swarm| Run { swarm: swarm.clone(), how });
    let figures = bench(runs(How::Served).chain(runs(How::Flows)).collect());
    let (served, swarmed) = figures.split_at(worlds.len());
    let part = |all: &[Figures], permille| {
        median(all.iter().map(|figures| within(figures, permille))).unwrap_or(Duration::MAX)
    };
    let copies =
        |all: &[Figures]| median(all.iter().map(|figures| figures.copies_permille(&worlds[0]))).unwrap_or(0);
    let row = |who: &str, all: &[Figures]| {
        let parts = PARTS.iter().map(|&permille| seconds(Some(part(all, permille))));
        [who.into()].into_iter().chain(parts).chain([factor(copies(all))]).collect()
    };
    let points = |all: &[Figures]| {
        let point = |(place, &permille): (usize, &usize)| {
            Point::of(place as u64, all.iter().map(|figures| millis(Some(within(figures, permille)))))
        };
        PARTS.iter().enumerate().map(point).collect::<Vec<_>>()
    };
    let (half, most) = (part(swarmed, 500), part(swarmed, 990));
    let verdict =
        |bound, found: String, holds: bool| Verdict { bound, found, holds: ask.is_plain().then_some(holds) };
    Report {
        setting: vec![
            ("hosts", format!("{ORIGINS} + {}", worlds[0].groups[1].count)),
            (
                "size",
                format!("{} bytes in pieces of {}", worlds[0].content.total, worlds[0].content.piece_len),
            ),
            ("links", "300 MB/s both ways, 1 ms to the core".into()),
            ("slots", worlds[0].groups[1].lease.unchoke_slots.to_string()),
            ("seeds", format!("{} from {}", ask.seeds, ask.seed)),
            ("bound", seconds(Some(worlds[0].bound()))),
        ],
        tables: vec![Table {
            title: "By how many hosts have it; the medians of all seeds".into(),
            heads: vec!["who gives", "50 %", "90 %", "99 %", "99.9 %", "copies"],
            rows: vec![row("the origins", served), row("everybody", swarmed)],
        }],
        charts: vec![
            Chart::bars(
                "Until so many have it",
                ["50 %", "90 %", "99 %", "99.9 %"],
                Axis::linear("time", "s"),
            )
            .measured("everybody gives", points(swarmed)),
        ],
        verdicts: vec![
            verdict(&HALF, seconds(Some(half)), half <= Duration::from_secs(12)),
            verdict(&MOST, seconds(Some(most)), most <= Duration::from_secs(20)),
            verdict(&COPIES, factor(copies(swarmed)), copies(swarmed) <= 8000),
        ],
        command: ask.command("organisation"),
    }
}
