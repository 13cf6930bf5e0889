//! Worlds in which nodes know a hash alone: metadata comes from peers, some of whom lie about it. BEP: 9. Threat: A6

use crate::network::Access;
use crate::node::{Leaves, Nature, NodeSpec};
use crate::scenario::Scenario;
use core::time::Duration;
use proto::{Instant, Rng, Seed};
use wire::metadata::METADATA_SIZE_MAX;

const MIB: u64 = 1 << 20;
const KIB: u32 = 1 << 10;

/// 100 Mbit/s down, 20 Mbit/s up.
const CABLE: Access = Access::new(2_500_000, 12_500_000);

/// Small pieces, so that the metadata has two.
fn swarm(name: &'static str, seed: u64) -> Scenario {
    Scenario::new(name, seed).content(16 * MIB, 16 * KIB).within(Duration::from_secs(1200))
}

/// Bytes of metadata that such a swarm has: 20 for each piece.
const METADATA: u32 = 1_024 * 20;

/// One seed, ten who know the hash alone and come within some seconds.
pub fn magnets(seed: u64) -> Scenario {
    let mut rng = Rng::new(Seed(seed));
    swarm("magnets", seed).node(NodeSpec::seed(CABLE)).nodes(10, NodeSpec::magnet(CABLE)).each(|_, spec| {
        spec.joins = Instant::from_micros(u64::from(rng.below(5_000_000)));
    })
}

/// Nine of ten lie about the metadata: its size, larger and smaller, or its bytes. They have nothing and share what they get.
pub fn metadata_liars(seed: u64) -> Scenario {
    let mut rng = Rng::new(Seed(seed));
    let scenario =
        swarm("metadata_liars", seed).node(NodeSpec::seed(CABLE)).nodes(3, NodeSpec::magnet(CABLE));
    (0..36).fold(scenario, |scenario, number| {
        let size = match number % 4 {
            0 => METADATA,
            1 => METADATA - 1 - rng.below(METADATA - 1),
            2 => METADATA + 1 + rng.below(METADATA),
            _ => METADATA_SIZE_MAX,
        };
        let nature = Nature::LiesAboutMetadata { size };
        scenario.node(NodeSpec { nature, ..NodeSpec::leecher(CABLE) })
    })
}

/// The seed goes as soon as the others together have every piece; half of them come later, and hear of the metadata from those
/// who heard of it themselves.
pub fn magnets_alone(seed: u64) -> Scenario {
    let late = NodeSpec { joins: Instant::from_micros(90_000_000), ..NodeSpec::magnet(CABLE) };
    swarm("magnets_alone", seed)
        .node(NodeSpec { leaves: Leaves::WhenSpread, ..NodeSpec::seed(CABLE) })
        .nodes(5, NodeSpec::magnet(CABLE))
        .nodes(5, late)
}

/// 10 MiB of metadata; the first peer claims another size and is there alone for 5 s. Nobody gets to the end of the content.
pub fn large_metadata(seed: u64) -> Scenario {
    let mut rng = Rng::new(Seed(seed));
    let right = 10 * MIB as u32;
    let size = match seed % 4 {
        0 => METADATA_SIZE_MAX,
        1 => right / 2,
        2 => right - 1,
        _ => right + 1 + rng.below(right),
    };
    // Its line may be so slow that each piece just comes in time.
    let access = if rng.below(2) == 0 { CABLE } else { Access::new(10_000, 12_500_000) };
    let nature = Nature::LiesAboutMetadata { size };
    Scenario::new("large_metadata", seed)
        .content(u64::from(right / 20) * u64::from(16 * KIB), 16 * KIB)
        .node(NodeSpec { nature, ..NodeSpec::leecher(access) })
        .node(NodeSpec { knows: vec![0], ..NodeSpec::magnet(CABLE) })
        .node(NodeSpec { joins: Instant::from_micros(5_000_000), knows: vec![1], ..NodeSpec::seed(CABLE) })
        .within(Duration::from_secs(90))
        .without_end()
}
