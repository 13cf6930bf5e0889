//! Swarms of which up to half are attackers, and swarms in rough weather: whatever others do, the honest finish, and nobody honest is accused or banned.
//!
//! A few worlds here; `cargo xtask worlds --hostile --worlds 10000` runs as many as one likes.

use sim::hostile::cast::CAST;
use sim::hostile::swarm::{self, Attack, SLOWDOWN_PERMILLE_MAX};

/// Laws alone: how slow single worlds are is told by the command.
fn assert_lawful(seed: u64, attack: Attack) -> Option<u64> {
    let comparison = swarm::compare(seed, attack);
    comparison.attacked.judge();
    comparison.alone.judge();
    comparison.slowdown_permille()
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

#[test]
fn a_swarm_half_of_attackers_of_any_one_kind_finishes() {
    for habit in CAST {
        let slowdown = assert_lawful(33, Attack::AllOf(habit));
        assert!(slowdown.is_some(), "{}", habit.name);
    }
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
