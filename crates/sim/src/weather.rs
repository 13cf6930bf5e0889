//! Rough weather: links that break all the time, peers behind NATs, disks that hang, clocks that leap. Each alone, and all together.
//!
//! Scenarios of chance like those of `catalogue`, which lists them; everything follows from the seed. In each all peers must
//! finish, and no law may be broken on the way.

use crate::fault::Fault;
use crate::network::Access;
use crate::node::NodeSpec;
use crate::scenario::Scenario;
use core::time::Duration;
use proto::{Instant, Rng, Seed};

/// Of ten thousand links so many break each second: 1 - 0.7^(1/60), so that 30 % are gone within a minute.
const LINKS_BROKEN_PER_SECOND: u32 = 59;
/// How long a disk hangs.
const DISK_PAUSE: Duration = Duration::from_secs(5);
/// How often, on average, each disk does.
const DISK_PAUSE_EVERY_SECONDS: u32 = 30;
/// How far a clock leaps: a machine that slept.
const LEAP_MINUTES: core::ops::RangeInclusive<u32> = 1..=20;
/// How often, on average, each clock does.
const LEAP_EVERY_SECONDS: u32 = 60;
/// For how long the weather is made; a world that takes longer has it calm from then on, and fails by its time.
const MADE_FOR_SECONDS: u64 = 1200;
/// What such a world may take.
const WITHIN: Duration = Duration::from_secs(1200);

/// Which weather there is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Weather {
    /// 30 % of the links break within a minute.
    pub links: bool,
    /// Half of the peers cannot be dialled.
    pub nat: bool,
    /// Disks hang for 5 s now and then.
    pub disks: bool,
    /// Clocks leap forward by minutes now and then.
    pub clocks: bool,
}

/// No weather at all: what the others are held against.
pub fn calm(seed: u64) -> Scenario {
    scenario("weather_calm", seed, Weather::default())
}

/// Links break.
pub fn links(seed: u64) -> Scenario {
    scenario("weather_links", seed, Weather { links: true, ..Weather::default() })
}

/// Half the peers are behind NATs.
pub fn nat(seed: u64) -> Scenario {
    scenario("weather_nat", seed, Weather { nat: true, ..Weather::default() })
}

/// Disks hang.
pub fn disks(seed: u64) -> Scenario {
    scenario("weather_disks", seed, Weather { disks: true, ..Weather::default() })
}

/// Clocks leap.
pub fn clocks(seed: u64) -> Scenario {
    scenario("weather_clocks", seed, Weather { clocks: true, ..Weather::default() })
}

/// All of it at once.
pub fn all(seed: u64) -> Scenario {
    scenario("weather_all", seed, Weather { links: true, nat: true, disks: true, clocks: true })
}

/// Two seeds, one of which can be dialled whatever the weather, and 10 to 20 leechers that need a minute or more.
fn scenario(name: &'static str, seed: u64, weather: Weather) -> Scenario {
    let mut rng = Rng::new(Seed(seed ^ 0x7765_6174));
    let leechers = 10 + rng.below(11);
    let piece_len = (32 << 10) << rng.below(4);
    let mut scenario = Scenario::new(name, seed)
        .content(u64::from(8 + rng.below(9)) << 20, piece_len)
        .within(WITHIN)
        .quantum(Duration::from_millis(20));
    for number in 0..2 + leechers {
        let up = 100_000 << rng.below(3);
        let latency = Duration::from_millis(u64::from(10 + rng.below(60)));
        let access = Access::new(up, up * u64::from(2 + rng.below(5))).latency(latency);
        let spec = if number < 2 { NodeSpec::seed(access) } else { NodeSpec::leecher(access) };
        let joins = if number < 2 { 0 } else { u64::from(rng.below(10_000_000)) };
        // Every other one, so that it is half of them whatever the chance.
        let reachable = !weather.nat || number % 2 == 0;
        scenario = scenario.node(NodeSpec { joins: Instant::from_micros(joins), reachable, ..spec });
    }
    make(scenario, weather, 2 + leechers, &mut rng)
}

fn make(mut scenario: Scenario, weather: Weather, nodes: u32, rng: &mut Rng) -> Scenario {
    for second in 1..MADE_FOR_SECONDS {
        if weather.links {
            scenario = scenario.fault(second, Fault::BreakSome { of_ten_thousand: LINKS_BROKEN_PER_SECOND });
        }
        for node in 0..nodes {
            let at = Instant::from_micros(second * 1_000_000 + u64::from(rng.below(1_000_000)));
            if weather.disks && rng.below(DISK_PAUSE_EVERY_SECONDS) == 0 {
                scenario = scenario.fault_at(at, Fault::DiskPauses { node, lasts: DISK_PAUSE });
            }
            let (least, most) = LEAP_MINUTES.into_inner();
            let by = Duration::from_secs(60 * u64::from(least + rng.below(most - least + 1)));
            if weather.clocks && rng.below(LEAP_EVERY_SECONDS) == 0 {
                scenario = scenario.fault_at(at, Fault::ClockLeaps { node, by });
            }
        }
    }
    scenario
}
