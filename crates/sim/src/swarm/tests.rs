//! Swarms as data: what is refused, what is cast, and that a world makes of it what was meant.

use super::access::Class;
use super::*;
use crate::catalogue;
use crate::crew::Alone;
use crate::figures::Figures;
use crate::fleet::Fleet;

const CABLE: Access = Access::new(2_500_000, 12_500_000);
const SMALL: Shape = Shape { total: 64 << 20, piece_len: 256 << 10, block_len: 16 << 10 };

fn swarm(seed: u64) -> Swarm {
    Swarm::new("shaped_swarm", SMALL, seed).group(Group::seeds(1, CABLE)).group(Group::leechers(10, CABLE))
}

#[test]
fn a_swarm_as_data_is_the_world_that_the_catalogue_describes() {
    let mut swarm = swarm(1);
    swarm.groups.iter_mut().for_each(|group| group.lease = NodeSpec::lease());
    let (ours, theirs) = (swarm.run_messages(), catalogue::shaped_swarm(1).run());
    for node in 0..11 {
        assert_eq!(ours.finish_of(node), theirs.finish_of(node), "node {node}");
    }
    assert_eq!(swarm.bound(), ours.fluid_bound());
    let figures = Figures::of(&swarm, &ours);
    assert_eq!(figures.last(), theirs.last_finish());
    assert_eq!((figures.finished(), figures.findings.len()), (10, 0));
    assert_eq!(figures.payload, 10 * SMALL.total + figures.wasted, "what came is kept or thrown away");
    assert_eq!(figures.peers.iter().map(|row| row.sent).sum::<u64>(), figures.payload);
    // Requests, haves and headers: between one and ten thousandths of the content.
    assert!((1..10).contains(&(figures.overhead * 1000 / figures.payload)), "{}", figures.overhead);
}

#[test]
fn the_bounds_are_those_of_the_textbook() {
    // 15 Gbit, a server of 30 Mbit/s, downlinks of 2 Mbit/s: uplinks of 300 kbit/s and 2 Mbit/s.
    let bounds = |peers, up: u64| {
        let content = Shape { total: 1_875_000_000, piece_len: 1 << 20, block_len: 16 << 10 };
        let swarm = Swarm::new("exercise", content, 1)
            .group(Group::seeds(1, Access::new(3_750_000, 3_750_000)))
            .group(Group::leechers(peers, Access::new(up, 250_000)));
        (swarm.bound_of_server().as_secs(), swarm.bound().as_secs())
    };
    assert_eq!(bounds(10, 37_500), (7_500, 7_500));
    assert_eq!(bounds(100, 37_500), (50_000, 25_000));
    assert_eq!(bounds(1000, 37_500), (500_000, 45_454));
    assert_eq!(bounds(1000, 250_000), (500_000, 7_500));
}

#[test]
fn free_riders_give_nothing_and_the_bound_knows_it() {
    let mut swarm = swarm(1);
    swarm.groups[1].role = Role::FreeRider;
    assert_eq!(swarm.bound(), swarm.bound_of_server());
    let figures = Figures::of(&swarm, &swarm.run_messages());
    assert_eq!(figures.finished(), 10);
    assert!(figures.wanting().all(|row| row.sent == 0), "a free-rider gave something");
}

#[test]
fn what_cannot_be_or_would_mislead_is_refused() {
    let refused = |change: fn(&mut Swarm)| {
        let mut swarm = swarm(1);
        change(&mut swarm);
        swarm.check().err()
    };
    assert_eq!(refused(|_| ()), None);
    assert!(matches!(refused(|swarm| swarm.content.total = 0), Some(Unfit::Content(_))));
    assert_eq!(refused(|swarm| swarm.groups[1].count = 0), Some(Unfit::Alone));
    assert_eq!(refused(|swarm| swarm.groups[0].role = Role::Leecher), Some(Unfit::Alone));
    let dead = Access::new(1, 0);
    assert_eq!(refused(|swarm| swarm.groups = vec![swarm.groups[0].clone(); 256]), Some(Unfit::Groups));
    let mut swarm = swarm(1).group(Group { name: "dead", ..Group::leechers(1, dead) });
    assert_eq!(swarm.check(), Err(Unfit::DeadLink("dead")));
    // Seventeen blocks of 16 KiB at 30 kB/s take more than nine seconds.
    swarm.groups[2].access = Mix::of(&[(CABLE, 1), (Access::new(30_000, 1_000_000), 1)]);
    assert_eq!(swarm.check(), Err(Unfit::LargeBlocks("dead")));
    swarm.groups[2].role = Role::FreeRider;
    assert_eq!(swarm.check(), Ok(()));
}

#[test]
fn the_cast_is_the_same_each_time_and_the_groups_draw_apart_from_one_another() {
    let mut first = swarm(5).group(Group {
        access: Mix::of(&Class::ALL.map(|class| (class.access(), 1))),
        nat: Mix::of(&[(Nat::None, 2), (Nat::Firewalled, 1)]),
        arrivals: Arrivals::Poisson { gap: Duration::from_secs(5) },
        departures: Departures::AfterFinish { mean: Duration::from_secs(60) },
        ..Group::leechers(21, CABLE)
    });
    let cast = first.cast();
    assert_eq!(cast, first.cast());
    assert_eq!((cast.len(), cast[11].group), (32, 2));
    let closed = cast.iter().filter(|member| !member.nat.lets_strangers_in()).count();
    assert_eq!(closed, 7);
    first.groups[1].access = Mix::of(&[(Class::Fibre.access(), 1), (CABLE, 1)]);
    assert_eq!(first.cast()[11..], cast[11..], "one group's draws moved another's");
    first.seed = 6;
    assert_ne!(first.cast()[11..], cast[11..]);
}

#[test]
fn unlike_members_come_and_go_and_all_who_come_finish() {
    let mut swarm = swarm(2);
    swarm.content.total = 16 << 20;
    swarm.named_max = 5;
    swarm.groups[1] = Group {
        access: Mix::of(&[(CABLE, 2), (Class::Fibre.access(), 1)]),
        nat: Mix::of(&[(Nat::None, 1), (Nat::Firewalled, 1)]),
        arrivals: Arrivals::Poisson { gap: Duration::from_secs(3) },
        departures: Departures::AfterFinish { mean: Duration::from_secs(5) },
        ..Group::leechers(12, CABLE)
    };
    assert_eq!(swarm.check(), Ok(()));
    let figures = Figures::of(&swarm, &swarm.run_messages());
    assert_eq!(figures.findings, []);
    assert_eq!(figures.finished(), 12);
    assert!(figures.peers.iter().all(|row| row.finished.is_none_or(|at| at > row.member.joins)));
}

#[test]
fn an_origin_that_dies_after_half_a_copy_leaves_nobody_finished() {
    let mut swarm = swarm(1);
    swarm.content.total = 16 << 20;
    swarm.within = Duration::from_secs(120);
    swarm.groups[0].departures = Departures::AfterCopies { permille: 500 };
    let copies = |figures: &Figures| (figures.finished(), figures.copies_permille(&swarm));
    let world = copies(&Figures::of(&swarm, &swarm.run_messages()));
    let fleet = copies(&Fleet::run(&swarm, 1, &Alone).unwrap());
    // A world looks twice a second, and what had left when it died arrives.
    assert!(world.0 == 0 && (500..620).contains(&world.1), "{world:?}");
    assert!(fleet.0 == 0 && (500..502).contains(&fleet.1), "{fleet:?}");
}

#[test]
fn the_impatient_give_up_unless_they_are_done_and_the_others_serve_and_go() {
    let mut swarm = swarm(3);
    swarm.content.total = 16 << 20;
    swarm.within = Duration::from_secs(300);
    let secs = Duration::from_secs;
    swarm.groups[1].departures = Departures::Impatient { patience: secs(15), stays: secs(5) };
    let figures = [Figures::of(&swarm, &swarm.run_messages()), Fleet::run(&swarm, 1, &Alone).unwrap()];
    for figures in figures {
        let done = figures.finished();
        assert!((1..10).contains(&done), "{done} of 10 were done");
        for row in figures.wanting() {
            let Leaves::Impatient { gives_up, .. } = row.member.leaves else { panic!("{row:?}") };
            // A world looks twice a second.
            assert!(row.took().is_none_or(|took| took <= gives_up + secs(1)), "{row:?}");
            assert!(row.finished.is_some() || gives_up < secs(60), "{row:?} was patient");
        }
    }
}
