//! Worlds of DHT nodes: who looks finds, with a fifth of all entries dead, with loss, NAT and churn, and among attackers.

use proto::Duration;
use proto::dht::Defences;
use sim::DhtWorld;
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
fn half_of_all_nodes_may_be_attackers() {
    for (percent, at_least) in [(20, 0.99), (50, 0.95)] {
        let settings = Settings { attack: Attack::Random(percent), ..Settings::of(1_000) };
        let trial = trial_of(settings, 200);
        assert!(trial.found >= at_least, "{percent} %: {trial}");
    }
}

#[test]
fn a_hundred_attackers_around_a_torrent_hide_it_only_from_those_who_do_not_look_wider() {
    let besieged = |defences| {
        let settings = Settings { attack: Attack::Targeted(100, 8), defences, ..Settings::of(1_000) };
        let trial = trial::run_besieged(&mut DhtWorld::new(settings), 4, 25);
        println!("{trial}");
        trial.found
    };
    assert!(besieged(Defences::ALL) >= 0.95);
    assert!(besieged(Defences::NONE) < 0.8, "the attack is one");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| format!("{}", trial_of(Settings { seed, loss: 3, ..Settings::of(200) }, 20));
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}
