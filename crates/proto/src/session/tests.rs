//! The session through its seam: inputs in, outputs out. Several sessions wired together by a toy driver, and single ones with
//! scripted peers.

mod counts;
mod finding;
mod floods;
mod gossip;
mod leeching;
mod magnets;
mod peers;
mod poison;
mod pressure;
mod reaching;
mod rig;
mod serving;
mod storage;
mod super_seeding;
mod threats;
mod toy;
mod web_seeds;

use super::Session;
use crate::command::SeedGoal;
use crate::event::StageName;
use crate::input::{Found, LinkEnd, LinkUp};
use crate::output::CloseReason;
use crate::{AddTorrent, Command, Config, DialId, Duration, Event, Input, Instant, LinkId, Outbox, Output};
use crate::{Seed, TorrentId};
use core::net::SocketAddr;
use std::sync::Arc;
use toy::{Toy, metainfo};
use wire::{PeerId, Reserved};

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

/// What a session alone wants done, after one input and all wakes up to then.
fn told(session: &mut Session, second: u64, input: Input<'_>) -> Vec<Output> {
    let (now, mut out) = (Instant::from_micros(second * 1_000_000), Outbox::new());
    session.handle(now, input, &mut out);
    while session.next_wake().is_some_and(|at| at <= now) {
        session.handle(now, Input::Wake, &mut out);
    }
    out.drain().collect()
}

fn dialled(outputs: &[Output]) -> Option<DialId> {
    outputs.iter().find_map(|output| match output {
        Output::Dial { dial, .. } => Some(*dial),
        _ => None,
    })
}

#[test]
fn a_peer_whose_link_came_up_in_a_pause_is_dialled_again_after_it() {
    let torrent = TorrentId { slot: 0, generation: 0 };
    let remote: SocketAddr = "1.2.3.4:6881".parse().unwrap();
    let mut session = Session::new(Arc::new(Config::new(PeerId([1; 20]))), Seed(1), Instant::ZERO);
    let add = AddTorrent {
        torrent,
        metainfo: metainfo(4, 64 * 1024),
        resume: None,
        priorities: Box::default(),
        sequential: false,
        paused: false,
        peers: vec![remote],
        seed_goal: SeedGoal::default(),
    };
    told(&mut session, 0, Input::Command(Command::Add(Box::new(add))));
    let opened = told(&mut session, 1, Input::Opened { torrent, found: Found::Nothing });
    let dial = dialled(&opened);
    assert!(dial.is_some(), "{opened:?}");
    told(&mut session, 2, Input::Command(Command::Pause(torrent)));
    let link = LinkId { slot: 0, generation: 0 };
    let (peer_id, reserved) = (PeerId([2; 20]), Reserved::OURS);
    let up = LinkUp { link, torrent, remote, dial, peer_id, reserved, encrypted: false };
    let refused = told(&mut session, 3, Input::LinkUp(up));
    assert!(refused.iter().any(|output| matches!(output, Output::Close { .. })), "{refused:?}");
    told(&mut session, 3, Input::LinkDown { link, why: LinkEnd::Closed(CloseReason::TorrentStopped) });
    told(&mut session, 4, Input::Closed { torrent });
    let mut since = told(&mut session, 5, Input::Command(Command::Resume(torrent)));
    since.extend(told(&mut session, 6, Input::Opened { torrent, found: Found::Nothing }));
    since.extend((7..20).flat_map(|second| told(&mut session, second, Input::Wake)));
    assert!(dialled(&since).is_some_and(|again| Some(again) != dial), "never dialled again: {since:?}");
}
