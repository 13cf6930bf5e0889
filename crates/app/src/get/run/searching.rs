//! The search for somebody who has a torrent, as the user sees it: what was tried, and when it is given up.

use super::{PATIENCE, Run, Status, happened};
use crate::show::Screen;
use crate::show::json::Happened;
use gannet::StageName;
use std::time::Instant;

impl Run<'_> {
    /// Says what was tried for torrents that nobody seems to have, and gives up on them if the user wants that.
    pub(super) fn look_for_sources(&mut self, screen: &Screen) {
        let now = Instant::now();
        let mut given_up = Vec::new();
        let (client, finders) = (self.client, self.finders);
        // Without a node nobody answers.
        let reached = || finders.dht && client.dht_stats().wait().is_ok_and(|stats| stats.tally.heard > 0);
        for job in self.jobs.iter_mut().filter(|job| matches!(job.status, Status::Looking | Status::Working))
        {
            let Ok(stats) = job.handle.stats().wait_for(PATIENCE) else { continue };
            // What is being opened or checked need not be looked for.
            if !is_searching(stats.stage) {
                job.sources.rest();
                continue;
            }
            // Web seeds are sources too.
            if stats.downloaded > 0 {
                job.sources.found();
            }
            job.sources.search(now);
            if let Some(told) = job.sources.in_vain(now, reached) {
                screen.say(&format!("{}: {told}", job.name));
                screen.json(&Happened { why: Some(told), ..happened("no_source", job) });
            }
            if let Some(why) = job.sources.given_up(now, reached) {
                // Others may go on for hours: this one's trackers need not be asked meanwhile.
                job.handle.pause();
                screen.json(&Happened { why: Some(why.clone()), ..happened("given_up", job) });
                given_up.push(format!("{}: given up: {why}", job.name));
                job.status = Status::Deserted(why);
            }
        }
        given_up.iter().for_each(|told| self.say_if_others_go_on(screen, told));
    }
}

/// Whether a torrent in this stage looks for peers.
fn is_searching(stage: StageName) -> bool {
    match stage {
        StageName::FetchingMetadata | StageName::Downloading => true,
        StageName::Opening
        | StageName::Checking
        | StageName::Seeding
        | StageName::Paused
        | StageName::Failed => false,
    }
}
