//! A peer crashes at every step of its durability, in every phase of the step, in both ways, and resumes: nothing committed
//! is checked or fetched again, at most 5 s are lost, and what is there in the end is right.

use core::time::Duration;
use sim::catalogue;
use sim::{Crash, CrashPoint, Phase};
use wire::PieceIndex;

const LEECHER: u32 = 1;

#[test]
fn a_crash_at_any_step_of_durability_loses_nothing_committed() {
    let (mut points, mut worst, mut blocks) = (0, Duration::ZERO, 0);
    for seed in 0..4 {
        let steps = catalogue::resume(seed).check().world.node(LEECHER).durability_steps();
        for step in 0..steps {
            for phase in [Phase::Asked, Phase::Begun, Phase::Done] {
                for how in [Crash::Kill, Crash::PowerLoss] {
                    let back_after = Duration::from_secs(2);
                    let point = CrashPoint { node: LEECHER, step, phase, how, back_after };
                    let outcome = catalogue::resume(seed).crash(point).run();
                    assert!(outcome.world.findings().is_empty(), "{point:?}\n{}", outcome.verdict());
                    let store = outcome.world.node(LEECHER).disk.store(sim::world::torrent_id(0));
                    let pieces = store.content().metainfo().layout.pieces();
                    let durable = (0..pieces).all(|piece| store.is_durable(PieceIndex(piece)));
                    assert!(durable, "{point:?}: {}", outcome.replay());
                    let losses = outcome.world.losses();
                    worst = worst.max(losses.age);
                    blocks = blocks.max(losses.blocks);
                    points += u32::from(losses.crashes > 0);
                }
            }
        }
    }
    println!("{points} crash points; the worst lost {blocks} blocks, the oldest {worst:?} old");
    assert!(points > 1000, "only {points} crash points");
    assert!(worst <= Duration::from_secs(5), "{worst:?}");
}
