//! Law: nobody sends more than its lease allows, by its own clock.

use super::{Checker, Scene, row};
use core::time::Duration;
use proto::{Input, Instant, Output};

/// What may be sent beyond the rate: a burst, a block that oversteps it, and what is in line when a lease begins.
const SLACK: Duration = Duration::from_secs(2);
const SLACK_BYTES: u64 = 64 << 10;

#[derive(Default)]
pub(super) struct Leases {
    rows: Vec<Row>,
}

#[derive(Default)]
struct Row {
    since: Option<Instant>,
    sent: u64,
}

impl Checker for Leases {
    fn name(&self) -> &'static str {
        "leases"
    }

    fn started(&mut self, scene: Scene<'_>) {
        *row(&mut self.rows, scene.index) = Row::default();
    }

    fn input(&mut self, scene: Scene<'_>, _input: &Input<'_>, _report: &mut dyn FnMut(String)) {
        let clock = scene.now + scene.node().ills.ahead;
        row(&mut self.rows, scene.index).since.get_or_insert(clock);
    }

    fn output(&mut self, scene: Scene<'_>, output: &Output, report: &mut dyn FnMut(String)) {
        let (Some(rate), Output::SendBlock { block, .. }) = (scene.node().spec.lease.up, output) else {
            return;
        };
        let row = row(&mut self.rows, scene.index);
        row.sent += u64::from(block.len);
        let clock = scene.now + scene.node().ills.ahead;
        let lasts = clock.since(row.since.unwrap_or(clock)) + SLACK;
        let millis = u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX);
        let most = (rate.saturating_mul(millis) / 1000).saturating_add(SLACK_BYTES);
        if row.sent > most {
            report(format!("has sent {} bytes in {lasts:?}, with a lease of {rate} a second", row.sent));
        }
    }
}
