//! Downloads that are recorded on both sides, and lived through again by the simulator's replay: the same outputs.

use crate::content::Content;
use crate::swarm::{Peer, wait_for};
use gannet::{AddOptions, Event, StageName};
use proto::Output;
use sim::recorded::{Replayed, replay};
use std::path::Path;

/// What came of a replay, and whether everything was verified and stored in it.
fn replayed(record: &Path) -> (Replayed, bool) {
    let trace = std::fs::read(record).unwrap();
    let mut durable = false;
    let found = replay(&trace, &mut |step| {
        durable |= step.outputs.iter().any(|output| matches!(output, Output::Event(Event::Durable(_))));
    });
    (found.unwrap(), durable)
}

#[test]
fn a_whole_download_recorded_on_both_sides_is_replayed_to_the_same_outputs() {
    let content = Content::new("recorded", &[("a", 6_000_000), ("b", 1_000)], 64 * 1024, 14);
    let home = tempfile::tempdir().unwrap();
    let records = [home.path().join("seed"), home.path().join("leech")];
    let [seed, leech] =
        records.each_ref().map(|record| Peer::start_with(|config| config.record = Some(record.clone())));
    content.write_to(seed.downloads());
    let seeding = seed.add(&content, AddOptions::default());
    wait_for(&seed, "seeding", |event| *event == Event::Stage(seeding.id(), StageName::Seeding));
    let leeching = leech.add(&content, AddOptions { peers: seed.addresses(), ..AddOptions::default() });
    wait_for(&leech, "durable", |event| *event == Event::Durable(leeching.id()));
    content.check(leech.downloads());
    leech.stop();
    seed.stop();
    for record in &records {
        let (found, _) = replayed(record);
        assert!(found.is_whole_and_same(), "{}: {found}", record.display());
        assert!(found.marks > 3 && found.unmarked == 0, "{found}");
    }
    assert!(replayed(&records[1]).1, "the replayed session finishes as the recorded one did");
}

#[test]
fn a_download_that_goes_on_where_it_was_is_recorded_with_what_it_knew() {
    let content = Content::new("recorded twice", &[("a", 3_000_000)], 64 * 1024, 15);
    let home = tempfile::tempdir().unwrap();
    let (seed, record) = (Peer::start(), home.path().join("again"));
    content.write_to(seed.downloads());
    let options = || AddOptions { peers: seed.addresses(), ..AddOptions::default() };
    seed.add(&content, AddOptions::default());
    let leech = Peer::start();
    let leeching = leech.add(&content, options());
    wait_for(&leech, "durable", |event| *event == Event::Durable(leeching.id()));
    let leech = Peer::start_in(leech.crash(), |config| config.record = Some(record.clone()));
    let leeching = leech.add(&content, options());
    wait_for(&leech, "seeding", |event| *event == Event::Stage(leeching.id(), StageName::Seeding));
    leech.stop();
    seed.stop();
    let (found, _) = replayed(&record);
    assert!(found.is_whole_and_same(), "{found}");
}
