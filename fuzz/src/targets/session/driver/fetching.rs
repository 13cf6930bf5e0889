//! What web servers answer, as the script says.

use super::{Driver, block};
use crate::script::Script;
use proto::input::{FetchFailure, FetchFault};
use proto::{Duration, Input, PayloadId};
use wire::message::BlockRequest;

impl Driver {
    /// The next block of a fetch comes, or one that nobody asked a web server for.
    pub(super) fn fetched(&mut self, script: &mut Script<'_>) {
        if self.fetches.is_empty() {
            return;
        }
        let at = script.below(self.fetches.len());
        let (fetch, rest) = &mut self.fetches[at];
        let Some(layout) = self.torrents.get(&fetch.torrent).map(|metainfo| &metainfo.layout) else { return };
        let Some(next) = layout.block_at(rest.start).filter(|_| !rest.is_empty()) else { return };
        let (fetch, stray) = (*fetch, script.below(16) == 0);
        let block = if stray { block(layout, script) } else { BlockRequest::from(next) };
        rest.start += if stray { 0 } else { u64::from(next.len) };
        let payload = PayloadId { slot: 0, generation: self.name() };
        self.manners.park_fetched(block, payload);
        self.handle(Input::Fetched { fetch, block, payload });
    }

    /// A fetch ends, well or badly.
    pub(super) fn fetch_ended(&mut self, script: &mut Script<'_>) {
        if self.fetches.is_empty() {
            return;
        }
        let (fetch, rest) = self.fetches.swap_remove(script.below(self.fetches.len()));
        let fault = match script.below(8) {
            0 => Some(FetchFault::Unreachable),
            1 => Some(FetchFault::Busy(script.flag().then(|| Duration::from_secs(script.u32().into())))),
            2 => Some(FetchFault::Absent(u32::from(script.byte() % 4))),
            3 => Some(FetchFault::Refused),
            4 => Some(FetchFault::Nonsense),
            5 => Some(FetchFault::Forbidden),
            _ if rest.is_empty() || script.flag() => None,
            _ => Some(FetchFault::Cancelled),
        };
        let failure = fault.map(|fault| FetchFailure { fault, detail: "by the script".into() });
        self.handle(Input::FetchEnded { fetch, outcome: failure.map_or(Ok(()), Err) });
    }
}
