//! Worlds of chance: a fixed set is clean, the same twice, and comes through every interesting state; a world as text runs as the one drawn.

use sim::fuzz::{Plan, Run, Sights, draw, run};

/// The first seeds, and those of later ones that come through what is rare.
fn seeds() -> impl Iterator<Item = u64> {
    (0..20).chain([45, 158, 167, 169, 317])
}

#[test]
fn a_fixed_set_of_worlds_is_clean_the_same_twice_and_comes_through_every_interesting_state() {
    let mut sights = Sights::new();
    for seed in seeds() {
        let plan = draw(seed);
        let (first, second) = (run(&plan, Run::default()), run(&plan, Run::default()));
        assert!(first.is_clean(), "{first}\n{plan}");
        assert_eq!(
            (first.digest, first.events),
            (second.digest, second.events),
            "seed {seed}: two runs differ"
        );
        sights.add(&first.sights);
    }
    assert_eq!(sights.unseen(), [], "of these seeds:\n{sights}");
}

#[test]
fn a_world_that_was_written_down_runs_as_the_one_that_was_drawn() {
    let plan = draw(5);
    let read: Plan = plan.to_string().parse().unwrap();
    let (drawn, read) = (run(&plan, Run::default()), run(&read, Run { journal: Some(None) }));
    assert_eq!(drawn.digest, read.digest);
    assert!(!read.journal.is_empty());
}
