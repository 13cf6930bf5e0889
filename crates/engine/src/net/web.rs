//! Ranges from web seeds, on this loop's side: handed to the edge, and fed to the session block by block.
//!
//! Decides nothing. Always: every fetch that the session asked for ends in one `FetchEnded`; what the edge reads ahead is
//! bounded by the fetch's [`Flow`].

use super::event_loop::EventLoop;
use crate::edge::web::{Fetched, Flow, RangeJob};
use proto::input::{FetchFailure, FetchFault};
use proto::output::Fetch;
use proto::{FetchId, Input};
use std::sync::Arc;
use wire::message::BlockRequest;

impl EventLoop {
    pub(super) fn fetch(&mut self, Fetch { fetch, url, range }: Fetch) {
        let Some(entry) = self.torrents.get(fetch.torrent) else { return };
        let Some(spec) = &entry.spec else { return };
        let (metainfo, flow) = (Arc::clone(spec.metainfo()), Arc::new(Flow::default()));
        let job = RangeJob { fetch, url, range, metainfo, flow: Arc::clone(&flow) };
        match self.outside.edge.fetch_range(job) {
            Ok(()) => drop(self.payloads.flows.insert(fetch, flow)),
            Err(fetch) => {
                let detail = "too many visits wait already".into();
                let failure = FetchFailure { fault: FetchFault::Unreachable, detail };
                self.mail.to_session.push_back(Input::FetchEnded { fetch, outcome: Err(failure) });
            }
        }
    }

    pub(super) fn cancel_fetch(&mut self, fetch: FetchId) {
        if let Some(flow) = self.payloads.flows.get(&fetch) {
            flow.cancel();
        }
    }

    pub(super) fn pause_fetch(&mut self, fetch: FetchId, paused: bool) {
        if let Some(flow) = self.payloads.flows.get(&fetch) {
            flow.pause(paused);
        }
    }

    /// The edge has a block, or the end.
    pub(super) fn fetched(&mut self, fetched: Fetched) {
        match fetched {
            Fetched::Block(fetch, block, bytes) => {
                let len = bytes.len();
                let payload = self.payloads.parked.park(bytes);
                self.feed(Input::Fetched { fetch, block: BlockRequest::from(block), payload });
                // After the session had its say: if it pauses the fetch, the next block is not read at once.
                if let Some(flow) = self.payloads.flows.get(&fetch) {
                    flow.taken(len);
                }
            }
            Fetched::Ended(fetch, outcome) => {
                self.payloads.flows.remove(&fetch);
                self.feed(Input::FetchEnded { fetch, outcome });
            }
        }
    }
}
