//! What a tracker kept over a restart: whatever bytes come, restoring ends in peers within the table's bounds or in an error; what is in
//! the table then is written, in slices of any size, and restored again the same; and it is forgotten as others are.

use crate::script::Script;
use proto::tracker::SwarmTable;
use proto::tracker::swarm_table::{Progress, Restored, Rules};
use proto::{Duration, Instant, Seed};

/// Slices that this many peers and swarms take, looked at one by one, with room for what is looked at twice.
const SLICES_MAX: usize = 10_000;

/// One input: how the table is, and a snapshot, with and without the head of a first slice.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let rules = Rules {
        interval: Duration::from_secs([2, 1800, 86_400][script.below(3)]),
        min_interval: Duration::from_secs(1),
        peers_max: [0, 3, 100_000][script.below(3)],
        swarms_max: [0, 2, 100_000][script.below(3)],
    };
    let since = Duration::from_secs(u64::from(script.byte()) * u64::from(script.byte()));
    let budget = 1 + u32::from(script.byte());
    let rest = data.get(6..).unwrap_or_default();
    check(rules, rest, since, budget);
    check(rules, &[&[0, 1, 0, 0], rest].concat(), since, budget);
}

fn check(rules: Rules, bytes: &[u8], since: Duration, budget: u32) {
    let now = Instant::from_micros(1_000_000);
    let mut table = SwarmTable::new(rules, Seed(1));
    let taken_in = table.restore(now, bytes, since, |_| true);
    assert!(table.peers() <= rules.peers_max && table.swarms() <= rules.swarms_max);
    assert!(table.swarms() <= table.peers());
    if let Ok(Restored { peers, .. }) = taken_in {
        assert!(peers >= table.peers().into());
    }
    let (mut walk, mut taken, mut slices) = (table.begin_snapshot(now), Vec::new(), 1);
    while table.snapshot(now, &mut walk, budget, &mut taken) == Progress::More {
        slices += 1;
        assert!(slices < SLICES_MAX);
    }
    let mut other = SwarmTable::new(Rules { peers_max: u32::MAX, swarms_max: u32::MAX, ..rules }, Seed(2));
    let again = other.restore(now, &taken, Duration::ZERO, |_| true);
    // Who is in it several times is counted several times.
    let again = again.expect("what was written");
    assert!(again.peers >= table.peers().into() && (again.stale, again.left_out) == (0, 0), "{again:?}");
    assert_eq!((other.peers(), other.swarms()), (table.peers(), table.swarms()));
    // Everybody stays away, for as long as anybody may.
    let mut now = now;
    for _ in 0..20 {
        now += rules.interval / 2 + Duration::from_secs(10);
        (0..4).for_each(|_| other.sweep(now));
    }
    assert_eq!((other.peers(), other.swarms()), (0, 0));
}
