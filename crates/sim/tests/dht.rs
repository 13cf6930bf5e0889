//! Worlds of DHT nodes: who looks finds, with a fifth of all entries dead, with loss, NAT and churn, and among attackers.

use proto::Duration;
use proto::dht::Defences;
use sim::DhtWorld;
use sim::dht::spoofing;
use sim::dht::trial::{self, Trial};
use sim::dht::{Attack, Settings};

fn trial_of(settings: Settings, searches: u32) -> Trial {
    let trial = trial::run(&mut DhtWorld::new(settings), searches);
    println!("{trial}");
    trial
}

#[test]
fn with_a_fifth_of_all_entries_dead_searches_find_within_a_second_and_a_half() {
    for nodes in [200, 1_000, 5_000] {
        let trial = trial_of(Settings::of(nodes), 100);
        assert!(trial.found >= 0.99, "{nodes} nodes: {trial}");
        assert!(trial.took < Duration::from_millis(1500), "{nodes} nodes: {trial}");
    }
}

#[test]
fn loss_nat_and_churn_are_survived() {
    let settings = Settings {
        loss: 5,
        behind_nat: 30,
        life: Some(Duration::from_secs(3600)),
        upkeep_every: Duration::from_secs(15),
        ..Settings::of(1_000)
    };
    let mut world = DhtWorld::new(settings);
    world.run(Duration::from_secs(3600));
    let trial = trial::run(&mut world, 100);
    println!("{trial}");
    assert!(trial.found >= 0.97, "{trial}");
}

#[test]
fn nodes_of_both_families_find_one_another_in_each() {
    let settings = Settings { both: true, ..Settings::of(900) };
    let mut world = DhtWorld::new(settings);
    world.run(Duration::from_secs(1800));
    let trial = trial::run(&mut world, 150);
    println!("{trial}");
    assert!(trial.found >= 0.99, "{trial}");
    assert!(trial.took < Duration::from_millis(1500), "{trial}");
}

#[test]
fn half_of_all_nodes_may_be_attackers() {
    // How many searches find, and how many nodes believe the attackers in what their own address is.
    for (percent, at_least, fooled) in [(20, 0.99, 0), (50, 0.95, 30)] {
        let settings = Settings { attack: Attack::Random(percent), ..Settings::of(600) };
        let trial = trial::run_attacked(&mut DhtWorld::new(settings), 100);
        println!("{percent} %: {trial}");
        assert!(trial.found >= at_least, "{percent} %: {trial}");
        assert!(trial.false_peers > 1.0, "they do lie: {trial}");
        assert!(trial.fooled <= fooled, "{percent} %: {trial}");
    }
}

#[test]
fn attackers_around_a_torrent_hide_it_only_from_those_who_do_not_look_wider() {
    let besieged = |count, networks, defences| {
        let settings =
            Settings { attack: Attack::Targeted(count, networks), defences, ..Settings::of(1_000) };
        let trial = trial::run_besieged(&mut DhtWorld::new(settings), 3, 40);
        println!("{count} in {networks}: {trial}");
        trial.found
    };
    assert!(besieged(100, 8, Defences::ALL) >= 0.95);
    // Who holds addresses in so many networks is no small attacker any more; most still find what they look for.
    assert!(besieged(200, 64, Defences::ALL) >= 0.85);
    assert!(besieged(100, 8, Defences::NONE) < 0.8, "the attack is one");
}

#[test]
fn addresses_that_are_forged_for_an_hour_are_sent_at_most_three_times_what_came_in_their_name() {
    let mut world = DhtWorld::new(Settings::of(100));
    let spoofed = spoofing::run(&mut world, Duration::from_secs(3600));
    println!("{spoofed:?}");
    assert!(spoofed.worst <= 3.0 && spoofed.for_garbage == 0, "{spoofed:?}");
    assert!(spoofed.all > 0.05, "something is answered: {spoofed:?}");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| format!("{}", trial_of(Settings { seed, loss: 3, ..Settings::of(200) }, 20));
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}
