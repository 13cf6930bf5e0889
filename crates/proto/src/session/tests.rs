//! The session through its seam: inputs in, outputs out. Several sessions wired together by a toy driver, and single ones with
//! scripted peers.

mod peers;
mod rig;
mod serving;
mod storage;
mod toy;

use crate::event::StageName;
use crate::{Duration, Event};
use toy::{Toy, metainfo};

#[test]
fn a_leecher_gets_the_whole_content_from_a_seed_and_both_learn_of_it() {
    let mut toy = Toy::new(7, metainfo(40, 64 * 1024));
    let seed = toy.seed();
    let leech = toy.leech();
    toy.connect(leech, seed);
    toy.run_for(Duration::from_secs(30));
    assert!(toy.is_complete(leech), "{:?}", toy.stats(leech));
    assert_eq!(toy.stats(leech).stage, StageName::Seeding);
    assert_eq!(toy.stats(leech).downloaded, toy.total());
    assert_eq!(toy.stats(seed).uploaded, toy.total());
    assert_eq!(toy.stats(leech).wasted, 0);
    let events = toy.events(leech);
    let at = |event: &Event| events.iter().position(|seen| seen == event);
    let (finished, durable) = (at(&Event::Finished(toy.id())), at(&Event::Durable(toy.id())));
    assert!(finished.is_some() && finished < durable, "{events:?}");
    toy.check();
}

#[test]
fn a_swarm_of_leechers_all_finish_and_give_to_each_other() {
    let mut toy = Toy::new(11, metainfo(60, 32 * 1024));
    let seed = toy.seed();
    let leeches: Vec<usize> = (0..6).map(|_| toy.leech()).collect();
    for (at, &leech) in leeches.iter().enumerate() {
        toy.connect(leech, seed);
        for &other in &leeches[..at] {
            toy.connect(leech, other);
        }
    }
    toy.run_for(Duration::from_secs(120));
    for &leech in &leeches {
        assert!(toy.is_complete(leech), "{:?}", toy.stats(leech));
    }
    assert!(toy.stats(seed).uploaded < toy.total() * 6, "the seed did it all alone");
    toy.check();
}
