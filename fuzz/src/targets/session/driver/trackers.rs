//! What trackers answer, as the script says.

use super::{Driver, address};
use crate::script::Script;
use proto::input::{AnnounceFailure, AnnounceReply};
use proto::{Duration, Input};
use wire::tracker_udp::ScrapeCounts;

impl Driver {
    /// A tracker answers, or does not.
    pub(super) fn announced(&mut self, script: &mut Script<'_>) {
        if self.announces.is_empty() {
            return;
        }
        let announce = self.announces.swap_remove(script.below(self.announces.len()));
        let outcome = match script.below(5) {
            0 => Err(AnnounceFailure::Unreachable("no route".into())),
            1 => Err(AnnounceFailure::Refused {
                reason: "no".into(),
                retry: script
                    .flag()
                    .then(|| script.flag().then(|| Duration::from_secs(script.byte().into()))),
            }),
            2 => Err(AnnounceFailure::Forbidden("lan".into())),
            _ => Ok(AnnounceReply {
                interval: Duration::from_secs(u64::from(script.u32())),
                min_interval: script.flag().then(|| Duration::from_secs(u64::from(script.byte()))),
                peers: (0..script.below(20)).map(|_| address(script)).collect(),
                complete: script.flag().then(|| script.u32()),
                incomplete: None,
                tracker_id: script.flag().then(|| "id".into()),
                external_ip: script.flag().then(|| address(script).ip()),
                warning: None,
            }),
        };
        self.handle(Input::Announced { announce, outcome });
    }

    /// A tracker tells its counts, or does not.
    pub(super) fn scraped(&mut self, script: &mut Script<'_>) {
        if self.scrapes.is_empty() {
            return;
        }
        let scrape = self.scrapes.swap_remove(script.below(self.scrapes.len()));
        let outcome = match script.below(4) {
            0 => Err(AnnounceFailure::Unreachable("no route".into())),
            1 => Err(AnnounceFailure::Refused { reason: "no".into(), retry: None }),
            _ => Ok(ScrapeCounts { seeders: script.u32(), completed: script.u32(), leechers: script.u32() }),
        };
        self.handle(Input::Scraped { scrape, outcome });
    }
}
