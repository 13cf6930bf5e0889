//! What searches in the DHT cost and find: over the number of nodes, among attackers, and beside floods. See the help below.

use proto::Duration;
use proto::dht::Defences;
use sim::DhtWorld;
use sim::dht::flooding;
use sim::dht::spoofing;
use sim::dht::trial::{self, Trial};
use sim::dht::{Attack, Settings};
use std::fmt::Write;

const HELP: &str = "\
Searches in simulated DHTs: real nodes, a fifth of all entries dead, round trips of 100 ms in the middle

  lookups [--nodes N,N,..] [--searches N] [--seed N]   over the number of nodes (1000,10000,100000; 500 searches each)
  lookups --attack [--nodes N] [--searches N]          among 20 % and 50 % attackers anywhere, and 24 to 200 around each target in 8 to 64
                                                       networks, with and without what nodes do against them (10000 nodes, 1000
                                                       searches each); then what forged addresses are sent
  lookups --weather [--nodes N] [--searches N]         with loss, NAT and lives of an hour (1000 nodes)
  lookups --flood                                      beside floods over random links, which need no structure
  lookups --soak [--nodes N] [--days N]                nodes that come and go for days (1000 nodes, 7 days), and the memory they take
";

struct Options {
    nodes: Vec<u32>,
    searches: Option<u32>,
    days: u32,
    seed: u64,
    what: What,
}

#[derive(PartialEq)]
enum What {
    Scale,
    Attack,
    Weather,
    Flood,
    Soak,
}

fn main() {
    match options(std::env::args().skip(1)) {
        Ok(options) => match options.what {
            What::Scale => scale(&options),
            What::Attack => attack(&options),
            What::Weather => weather(&options),
            What::Flood => flood(&options),
            What::Soak => soak(&options),
        },
        Err(what) => {
            eprint!("lookups: {what}\n\n{HELP}");
            std::process::exit(2);
        }
    }
}

fn options(mut words: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options { nodes: Vec::new(), searches: None, days: 7, seed: 1, what: What::Scale };
    while let Some(word) = words.next() {
        let mut next = || words.next().ok_or(format!("{word} needs a number"));
        let number = |text: String| text.parse().map_err(|_| format!("not a number: {text}"));
        match word.as_str() {
            "--nodes" => {
                options.nodes =
                    next()?.split(',').map(|text| number(text.to_owned())).collect::<Result<_, _>>()?;
                if options.nodes.iter().any(|nodes| !(10..=1_000_000).contains(nodes)) {
                    return Err("from 10 to 1000000 nodes".to_owned());
                }
            }
            "--searches" => options.searches = Some(number(next()?)?),
            "--days" => options.days = number(next()?)?,
            "--seed" => options.seed = u64::from(number(next()?)?),
            "--attack" => options.what = What::Attack,
            "--weather" => options.what = What::Weather,
            "--flood" => options.what = What::Flood,
            "--soak" => options.what = What::Soak,
            other => return Err(format!("no such option: {other}")),
        }
    }
    Ok(options)
}

fn scale(options: &Options) {
    let sizes = if options.nodes.is_empty() { vec![1_000, 10_000, 100_000] } else { options.nodes.clone() };
    println!("    nodes   found  middle    95 %   first  hops  asked  stored  bytes/search  memory/node");
    for nodes in sizes {
        let before = resident_bytes();
        let mut world = DhtWorld::new(Settings { seed: options.seed, ..Settings::of(nodes) });
        let memory = resident_bytes().saturating_sub(before) / u64::from(nodes);
        let trial = trial::run(&mut world, options.searches.unwrap_or(500));
        println!("{nodes:9}  {}  {memory:11}", row(&trial));
    }
}

fn row(trial: &Trial) -> String {
    let seconds = |span: Duration| format!("{:.2} s", span.as_secs_f64());
    let mut row = format!(
        "{:5.1} %  {}  {}  {}",
        trial.found * 100.0,
        seconds(trial.took),
        seconds(trial.took_p95),
        seconds(trial.first)
    );
    let _ =
        write!(row, "  {:4.1}  {:5.1}  {:6.1}  {:12.0}", trial.hops, trial.asked, trial.stored, trial.bytes);
    row
}

fn attack(options: &Options) {
    let nodes = options.nodes.first().copied().unwrap_or(10_000);
    let searches = options.searches.unwrap_or(1_000);
    println!("{nodes} nodes, {searches} searches each");
    println!(
        "attackers                                             found  middle    95 %   first  hops  asked  stored  bytes/search  false peers  fooled"
    );
    let attacks = [
        ("none", Attack::None),
        ("20 % of all, anywhere", Attack::Random(20)),
        ("50 % of all, anywhere", Attack::Random(50)),
        ("100 around each target, in 8 networks", Attack::Targeted(100, 8)),
        ("24 around each target, in 12 networks", Attack::Targeted(24, 12)),
        ("100 around each target, in 32 networks", Attack::Targeted(100, 32)),
        ("200 around each target, in 64 networks", Attack::Targeted(200, 64)),
    ];
    for (name, attack) in attacks {
        for (against, defences) in [("", Defences::ALL), (", undefended", Defences::NONE)] {
            let settings = Settings { attack, defences, seed: options.seed, ..Settings::of(nodes) };
            let mut world = DhtWorld::new(settings);
            let trial = match attack {
                Attack::Targeted(..) => trial::run_besieged(&mut world, 10, searches.div_ceil(10)),
                Attack::None | Attack::Random(_) => trial::run_attacked(&mut world, searches),
            };
            let (lies, fooled) = (trial.false_peers, trial.fooled);
            println!("{:50}  {}  {lies:11.1}  {fooled:6}", format!("{name}{against}"), row(&trial));
        }
    }
    let mut world = DhtWorld::new(Settings { seed: options.seed, ..Settings::of(1_000) });
    let spoofed = spoofing::run(&mut world, Duration::from_secs(3600));
    println!(
        "\nforged questions in an hour: {}; bytes out per byte in, worst address {:.2}, all {:.2}; bytes for garbage {}",
        spoofed.questions, spoofed.worst, spoofed.all, spoofed.for_garbage
    );
}

fn weather(options: &Options) {
    let nodes = options.nodes.first().copied().unwrap_or(1_000);
    let settings = Settings {
        loss: 5,
        behind_nat: 30,
        life: Some(Duration::from_secs(3600)),
        upkeep_every: Duration::from_secs(15),
        seed: options.seed,
        ..Settings::of(nodes)
    };
    let mut world = DhtWorld::new(settings);
    world.run(Duration::from_secs(3600));
    println!("  found  middle    95 %   first  hops  asked  stored  bytes/search");
    println!("{}", row(&trial::run(&mut world, options.searches.unwrap_or(300))));
}

fn flood(options: &Options) {
    println!(
        "one of all nodes in a hundred has what is sought; 8 links each, a question goes 4 steps; beside it the DHT"
    );
    println!("    nodes  flood: found  questions   DHT: found  questions");
    for nodes in [100, 1_000, 10_000] {
        let flooded = flooding::flood(nodes, 8, (nodes / 100).max(1), 4, 500, options.seed);
        let mut world = DhtWorld::new(Settings { seed: options.seed, ..Settings::of(nodes) });
        let trial = trial::run(&mut world, 200);
        let found = flooded.found * 100.0;
        println!(
            "{nodes:9}       {found:5.1} %  {:9.0}      {:5.1} %  {:9.1}",
            flooded.messages,
            trial.found * 100.0,
            trial.asked
        );
    }
    println!("\nand if one node alone has it");
    println!("    nodes  flood: found  questions   DHT: found  questions");
    for nodes in [100, 1_000, 10_000] {
        let flooded = flooding::flood(nodes, 8, 1, 4, 500, options.seed);
        let mut world = DhtWorld::new(Settings { seed: options.seed + 1, ..Settings::of(nodes) });
        let trial = trial::run(&mut world, 200);
        let found = flooded.found * 100.0;
        println!(
            "{nodes:9}       {found:5.1} %  {:9.0}      {:5.1} %  {:9.1}",
            flooded.messages,
            trial.found * 100.0,
            trial.asked
        );
    }
}

fn soak(options: &Options) {
    let nodes = options.nodes.first().copied().unwrap_or(1_000);
    let settings = Settings {
        loss: 2,
        behind_nat: 30,
        life: Some(Duration::from_secs(3 * 3600)),
        seed: options.seed,
        ..Settings::of(nodes)
    };
    let mut world = DhtWorld::new(settings);
    println!(
        "day   found  middle    95 %   first  hops  asked  stored  bytes/search  resident MiB  stored here"
    );
    for day in 0..=options.days {
        let trial = trial::run(&mut world, options.searches.unwrap_or(200));
        let stored: usize =
            (0..nodes).filter_map(|node| world.stats(node)).map(|stats| stats.stored_peers).sum();
        println!("{day:3}  {}  {:12}  {stored:11}", row(&trial), resident_bytes() >> 20);
        if day < options.days {
            // An announce a minute keeps stores at work.
            for _ in 0..24 * 60 {
                world.bustle();
                world.run(Duration::from_secs(60));
            }
        }
    }
}

/// What this process has in memory; 0 if the system does not say.
fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}
