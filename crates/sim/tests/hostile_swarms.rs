//! Swarms of which up to half are attackers, and swarms in rough weather: whatever others do, the honest finish, and nobody honest is accused or banned.
//!
//! A few worlds here; `cargo xtask worlds --hostile --worlds 10000` runs as many as one likes.

use core::time::Duration;
use sim::hostile::cast::{CAST, by_name};
use sim::hostile::habit::{Habit, Noise, Serves};
use sim::hostile::swarm::{self, Attack, SLOWDOWN_PERMILLE_MAX};

/// Laws alone: how slow single worlds are is told by the command.
fn assert_lawful(seed: u64, attack: Attack) -> Option<u64> {
    let comparison = swarm::compare(seed, attack);
    comparison.attacked.judge();
    comparison.alone.judge();
    comparison.slowdown_permille()
}

#[test]
fn worlds_are_what_they_say_they_are() {
    let count = |attack, seed| {
        let world = swarm::under(attack, seed).build();
        let peers = world.nodes().len();
        (peers, world.nodes().iter().filter(|node| node.spec.hostile.is_some()).count())
    };
    let mut tenths = [0; 10];
    for seed in 0..400 {
        let (peers, attackers) = count(Attack::Mixed, seed);
        assert!((20..=50).contains(&peers) && (1..=peers / 2).contains(&attackers), "seed {seed}");
        tenths[(attackers - 1) * 10 / (peers / 2)] += 1;
        let (peers, attackers) = count(Attack::AllOf(&CAST[0]), seed);
        assert!((20..=50).contains(&peers) && attackers == peers / 2, "seed {seed}");
    }
    // Uniform: forty each, and chance.
    assert!(tenths.iter().all(|&worlds| (20..=65).contains(&worlds)), "{tenths:?}");
}

#[test]
fn a_world_without_its_attackers_has_the_same_honest_peers() {
    for attack in [Attack::Mixed, Attack::AllOf(&CAST[0])] {
        for seed in 0..20 {
            let [with, without] =
                [swarm::under(attack, seed), swarm::without(attack, seed)].map(|it| it.build());
            let honest: Vec<_> = with.nodes().iter().filter(|node| node.spec.hostile.is_none()).collect();
            assert_eq!(honest.len(), without.nodes().len());
            for (node, twin) in honest.into_iter().zip(without.nodes()) {
                let same = |node: &sim::Node| {
                    (node.spec.access, node.spec.joins, node.spec.reachable, node.holds_all())
                };
                assert_eq!(same(node), same(twin), "seed {seed}");
            }
        }
    }
}

/// Worlds whose seed is slow and alone, and who attacks there: by name, so that a longer cast leaves them as they are. All but 20 took
/// 1.5 to 2.5 times as long as alone, because a peer that called itself a seed, wanted nothing of what it was shown, or wanted it
/// without ever asking for it, ended or stopped the super-seeding. 20 did while that was mended. The last three took 1.7 to 3.1 times as
/// long: honest peers that had asked a liar for what they were shown were shown no more, and what a free-rider alone had was held back
/// while it was given what everybody else had. Measured: 0.9 to 1.2 times.
const SLOW_SEEDS: [(u64, &str); 10] = [
    (
        13,
        "introduction-flood cancel-storm poisoner trickler slow-handshake mirror huge-requests false-haves colluder \
         allowed-fast-flood",
    ),
    (
        20,
        "introduction-flood allowed-fast-glutton cancel-flood free-rider malformed snubber extension-junk huge-requests \
         false-half slow-handshake churner malformed dripper colluder",
    ),
    (
        65,
        "huge-requests bait-poisoner nonsense slow-handshake churner wild-requests keep-alive-flood stutterer",
    ),
    (
        99,
        "allowed-fast-flood rejecter port-flood legion nonsense bait bait-poisoner wild-requests metadata-liar cancel-storm \
         stutterer silent request-flood wild-requests",
    ),
    (100, "malformed mirror stutterer rejecter allowed-fast-flood mute unknown-flood churner"),
    (
        105,
        "churner false-seed-that-asks free-rider bitfield-flood false-haves bait-poisoner legion unknown-flood malformed \
         rejecter silent trickler",
    ),
    (126, "dripper have-flood churner have-flood metadata-liar interest-flood port-flood"),
    (
        280,
        "silent bait-rejecter mute introduction-flood allowed-fast-glutton introduction-flood snubber poisoner \
         bitfield-flood free-rider malformed nonsense mirror legion astray trickler sly-poisoner false-haves wild-requests \
         metadata-liar false-haves",
    ),
    (
        309,
        "drain mirror introduction-flood dripper bitfield-flood false-half free-rider snubber poisoner half-handshake \
         wild-requests false-half",
    ),
    (
        316,
        "false-half slow-handshake tease tease introduction-flood rejecter reject-flood free-rider churner have-flood \
         tease colluder mute",
    ),
];

#[test]
fn a_slow_seed_is_not_talked_out_of_handing_out_each_piece_once() {
    let mut slowdowns = Vec::new();
    for (seed, names) in SLOW_SEEDS {
        let attack = Attack::by_names(names).unwrap_or_else(|| panic!("{names}"));
        let slowdown = assert_lawful(seed, attack).unwrap_or_else(|| panic!("seed {seed}"));
        println!("seed {seed}: {slowdown} permille");
        assert!(slowdown <= 1300, "seed {seed}: {slowdown} permille");
        slowdowns.push(slowdown);
    }
    slowdowns.sort_unstable();
    assert!(slowdowns[slowdowns.len() / 2] <= 1150, "{slowdowns:?}");
}

#[test]
fn in_hostile_swarms_all_honest_peers_finish_and_none_is_banned() {
    let mut slowdowns: Vec<u64> = (0..60)
        .map(|seed| assert_lawful(seed, Attack::Mixed).unwrap_or_else(|| panic!("seed {seed}")))
        .collect();
    slowdowns.sort_unstable();
    let median = slowdowns[slowdowns.len() / 2];
    println!("{} worlds: median slowdown {median} permille, worst {:?}", slowdowns.len(), slowdowns.last());
    assert!(median <= SLOWDOWN_PERMILLE_MAX, "{slowdowns:?}");
}

/// What half of the peers may cost the others at most if all are of one kind, in thousandths of the time without them. Beyond the
/// usual bound are those who take what the seed has to give, in turn or by allowed-fast pieces (C8, C9): it learns of each only by
/// giving it something, and of contents of a few megabytes that is a large part. And those who spoil everything: each piece has to
/// be fetched of one peer alone for as long as not all of them are known (C7). Measured: 1.6 to 2.9 times.
fn slowdown_permille_max(habit: &Habit) -> u64 {
    match habit.name {
        "poisoner-that-runs" => 3500,
        "poisoner" | "drain" | "newcomer" => 3000,
        "free-rider" | "bait-poisoner" | "stray-blocks" | "allowed-fast-glutton" => 2200,
        _ => SLOWDOWN_PERMILLE_MAX,
    }
}

#[test]
fn half_of_the_peers_all_of_one_kind_are_survived_and_who_spoils_is_banned_and_nobody_else() {
    for habit in CAST {
        // Of three worlds the middle one: in a single one chance weighs as much as the attack.
        let mut worlds = [33, 34, 35].map(|seed| swarm::compare(seed, Attack::AllOf(habit)));
        for comparison in &worlds {
            comparison.attacked.judge();
            comparison.alone.judge();
        }
        worlds.sort_by_key(|comparison| comparison.slowdown_permille().unwrap_or(u64::MAX));
        let slowdown = worlds[1].slowdown_permille().unwrap_or_else(|| panic!("{}", habit.name));
        println!("{}: {slowdown} permille", habit.name);
        assert!(slowdown <= slowdown_permille_max(habit), "{}: {slowdown} permille", habit.name);
        // That no honest peer is among them is a law of the checkers.
        let bans = |comparison: &swarm::Comparison| {
            comparison.attacked.world.nodes().iter().any(|node| !node.story.banned.is_empty())
        };
        let banned = worlds.iter().any(bans);
        match (habit.serves, habit.noise) {
            (Serves::Spoils { .. } | Serves::Colludes, _) => {
                assert!(banned, "{}: nobody is banned", habit.name)
            }
            // What nobody asked for is not looked at, but for a block that happens to be one that was.
            (_, Some((Noise::StrayBlocks | Noise::Nonsense, _))) => {}
            (_, _) => assert!(!banned, "{}: somebody is banned", habit.name),
        }
    }
}

/// Dials that went where no node of the world is, by address.
fn strays(outcome: &sim::Outcome) -> &std::collections::BTreeMap<core::net::SocketAddr, u32> {
    &outcome.world.network().void
}

/// C10, by half of the peers in real swarms; `proto` has the table.
#[test]
fn whom_half_of_the_peers_name_hears_of_each_honest_one_once_an_hour_and_servers_and_neighbours_never() {
    use sim::hostile::gossip::{VICTIM, VICTIM_PORT};
    let victim = core::net::SocketAddr::from((VICTIM, VICTIM_PORT));
    let mut worlds = 0;
    for name in ["victim-namer", "server-namer", "neighbour-namer", "crowd-namer", "name-flood"] {
        let attack = Attack::AllOf(by_name(name).unwrap());
        for seed in [40, 41] {
            // Nobody goes when all have finished: the attackers say it again and again, into the second hour.
            let scenario = swarm::under(attack, seed).within(Duration::from_secs(4500)).without_end();
            let outcome = scenario.run();
            outcome.judge();
            let nodes = outcome.world.nodes();
            let honest = nodes.iter().filter(|node| node.spec.hostile.is_none()).count() as u32;
            let strays = strays(&outcome);
            let (most, sum) = (strays.values().max().copied().unwrap_or(0), strays.values().sum::<u32>());
            println!(
                "{name}, seed {seed}: {sum} stray dials of {honest} peers to {} addresses",
                strays.len()
            );
            match name {
                "victim-namer" => {
                    assert_eq!(strays.keys().collect::<Vec<_>>(), [&victim], "seed {seed}");
                    assert!((1..=2 * honest).contains(&sum), "seed {seed}: {sum} dials");
                }
                "server-namer" | "neighbour-namer" => assert_eq!(sum, 0, "{name}, seed {seed}"),
                // Each of the many is a victim: no honest peer tries one of them twice in an hour.
                _ => assert!(sum > 0 && most <= 2 * honest, "{name}, seed {seed}: {most} to one address"),
            }
            worlds += 1;
        }
    }
    println!("C10: {worlds} worlds of false peer exchange");
}

#[test]
fn all_finish_in_weather_of_every_kind_and_of_all_kinds_together() {
    use sim::weather;
    for seed in 0..3 {
        for scenario in [weather::links, weather::nat, weather::disks, weather::clocks, weather::all] {
            scenario(seed).check();
        }
    }
}
