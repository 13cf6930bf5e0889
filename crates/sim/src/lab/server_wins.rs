//! Where the server wins: few people, an owner who sleeps, uplinks that give nothing. As plainly as the rest.
//!
//! Each world is run both ways. A server is up all the time, and behind a large link where one would rent it; a swarm's only owner is at home,
//! and may be asleep for sixteen hours of a day.

use super::chart::{Axis, Chart, Point, millis};
use super::{Ask, Bench, Experiment, How, Report, Run, Table, factor, last, mean, median, seconds};
use crate::disk::Crash;
use crate::fault::Fault;
use crate::figures::Figures;
use crate::network::Access;
use crate::swarm::access::Class;
use crate::swarm::schedule::{Arrivals, Departures};
use crate::swarm::{Group, Shape, Swarm};
use core::time::Duration;
use proto::Instant;

pub(super) const EXPERIMENT: Experiment =
    Experiment { name: "server-wins", title: "Where is a server the better way?", bounds: &[], run };

const HOUR: u64 = 3600;
const RENTED: Access = Access::mbit(1000);

/// A case: what it is, the server's world and the swarm's.
type Case = (&'static str, Swarm, Swarm);

fn cases(ask: &Ask, seed: u64) -> Vec<Case> {
    let content = Shape { total: ask.size.unwrap_or(256 << 20), piece_len: 1 << 20, block_len: 128 << 10 };
    let world = |origin: Access, others: Group| {
        let mut swarm = Swarm::new("server-wins", content, seed).group(Group::seeds(1, origin)).group(others);
        // A round of blocks from a slow home is not to last longer than anybody's patience.
        swarm.groups.iter_mut().for_each(|group| group.lease.unchoke_slots = 4);
        swarm.within = Duration::from_secs(72 * HOUR);
        swarm
    };
    let (cable, dsl) = (Class::Cable.access(), Class::Dsl.access());
    let count = |usual: u32| ask.peers.map_or(usual, |most| usual.min(most));
    let few = |origin| world(origin, Group::leechers(count(2), dsl));
    let many = |origin| world(origin, Group::leechers(count(30), dsl));
    let rare = |origin| {
        // One comes every two hours, and leaves with what it came for.
        let others = Group::leechers(count(18), cable);
        let arrivals = Arrivals::Poisson { gap: Duration::from_secs(2 * HOUR) };
        world(origin, Group { arrivals, departures: Departures::AtFinish, ..others })
    };
    let mut sleeps = rare(cable);
    for day in 0..2 {
        let back_after = Some(Duration::from_secs(16 * HOUR));
        let at = Instant::from_micros((day * 24 + 8) * HOUR * 1_000_000);
        sleeps.faults.push((at, Fault::Crash { node: 0, how: Crash::Kill, back_after }));
    }
    vec![
        ("two people, the same uplink", few(cable), few(cable)),
        ("two people, a rented server", few(RENTED), few(cable)),
        ("thirty with 1 Mbit/s up, the same uplink", many(cable), many(cable)),
        ("thirty with 1 Mbit/s up, a rented server", many(RENTED), many(cable)),
        ("one in two hours, the owner is there", rare(cable), rare(cable)),
        ("one in two hours, the owner sleeps", rare(cable), sleeps),
    ]
}

fn bars(figures: &[Figures], ask: &Ask, way: usize) -> Vec<Option<Point>> {
    let bar = |(place, both): (u64, &[Figures])| {
        Point::of(place, both.iter().skip(way).step_by(2).map(|figures| millis(Some(mean(figures)))))
    };
    (0..).zip(figures.chunks(2 * ask.seeds as usize)).map(bar).collect()
}

fn run(ask: &Ask, bench: &mut Bench<'_>) -> Report {
    let all: Vec<Vec<Case>> = ask.each_seed().map(|seed| cases(ask, seed)).collect();
    let places = all[0].len();
    let each = (0..places).flat_map(|place| all.iter().map(move |cases| &cases[place]));
    let runs = each.flat_map(|(_, server, swarm)| {
        [Run { swarm: server.clone(), how: How::Served }, Run { swarm: swarm.clone(), how: How::Flows }]
    });
    let figures = bench(runs.collect());
    let rows = figures.chunks(2 * ask.seeds as usize).enumerate().map(|(place, both)| {
        let (name, server, swarm) = &all[0][place];
        let of = |way: usize| both.iter().skip(way).step_by(2).cloned().collect::<Vec<Figures>>();
        let (served, swarmed) = (of(0), of(1));
        let middle = |all: &[Figures]| median(all.iter().map(mean)).unwrap_or(Duration::MAX);
        let copies = |all: &[Figures], world: &Swarm| {
            factor(median(all.iter().map(|figures| figures.copies_permille(world))).unwrap_or(0))
        };
        let (ours, theirs) = (middle(&swarmed), middle(&served));
        let even = ours.abs_diff(theirs) * 50 <= theirs;
        vec![
            (*name).into(),
            seconds(Some(theirs)),
            seconds(Some(last(&served))),
            copies(&served, server),
            seconds(Some(ours)),
            seconds(Some(last(&swarmed))),
            copies(&swarmed, swarm),
            if even {
                "neither"
            } else if ours < theirs {
                "the swarm"
            } else {
                "the server"
            }
            .into(),
        ]
    });
    Report {
        setting: vec![
            ("size", format!("{} bytes", all[0][0].1.content.total)),
            ("homes", "cable, 100 Mbit/s down and 20 up; dsl, 16 down and 1 up".into()),
            ("a rented server", "1 Gbit/s".into()),
            ("sleeps", "from the eighth hour of each day to its end".into()),
            ("seeds", format!("{} from {}", ask.seeds, ask.seed)),
        ],
        tables: vec![Table {
            title:
                "What it takes in the mean, the last one, and the origin's copies; the medians of all seeds. \
                    Who is sooner by a fiftieth wins"
                    .into(),
            heads: vec!["world", "server", "last", "copies", "swarm", "last", "copies", "wins"],
            rows: rows.collect(),
        }],
        charts: vec![
            Chart::bars(
                "What it takes, in the mean",
                all[0].iter().map(|case| case.0),
                Axis::log("time", "s"),
            )
            .measured("a server", bars(&figures, ask, 0))
            .measured("a swarm", bars(&figures, ask, 1)),
        ],
        verdicts: Vec::new(),
        command: ask.command("server-wins"),
    }
}
