//! Fetching from web seeds: ranges asked for, blocks that come of them, and what becomes of a server that fails or lies.
//!
//! Blocks go the way of all blocks (`receiving`): the same picker, the same hashes, the same blame. Always: every block of a
//! range is asked of its web seed in the picker until it comes or the fetch ends. Threats: C14. BEP: 19

use super::Torrent;
use super::web_seed::{UnderWay, Verdict};
use crate::cx::Cx;
use crate::input::{FetchFailure, FetchFault};
use crate::output::Fetch;
use crate::pieces::RunFor;
use crate::pool::Reader;
use crate::timers::TorrentTimer;
use crate::{Event, FetchId, Output, PayloadId, PeerKey};
use core::ops::Range;
use wire::message::BlockRequest;
use wire::{Block, Layout};

impl Torrent {
    /// Asks web seeds for more, as far as there is something to ask for.
    pub fn fetch(&mut self, cx: &mut Cx<'_>) {
        if self.web_seeds.is_empty() || !self.stage.is_fetching() {
            return;
        }
        if !self.is_finished() {
            if cx.pool.is_swamped() {
                self.wait_for_memory(cx);
            } else {
                while self.fetch_more(cx) {}
                self.account(cx);
            }
        }
        let next = self.web_seeds.next_ready(cx.now).filter(|_| !self.is_finished());
        cx.timers.set_or_clear(self.timer(TorrentTimer::WebSeeds), next);
    }

    /// Asks one web seed for one range, if one is ready and there is one for it.
    fn fetch_more(&mut self, cx: &mut Cx<'_>) -> bool {
        let alone = self.peers.count() == 0;
        let lacking = self.picker.pieces().lacking_bytes();
        let budget = cx.pool.budget_of(self.totals.buffered);
        let ready = self.web_seeds.ready(cx.now);
        let refused = !ready.is_empty();
        for seed in ready {
            let source = PeerKey::of_web_seed(seed);
            let ask = RunFor {
                source,
                now: cx.now,
                pieces: self.web_seeds.pieces(seed),
                bytes_max: self.web_seeds.run_bytes(seed, cx.now, lacking, alone),
                open_bytes_max: budget,
                alone,
                on_parole: self.blame.is_suspect(source),
            };
            if let Some(range) = self.picker.pick_run(&ask, cx.rng) {
                let blocks = blocks_of(&self.metainfo.layout, range.clone()).count() as u32;
                let (fetch, url) = self.web_seeds.begin(self.id, seed, range.clone(), blocks);
                cx.push(Output::Fetch(Box::new(Fetch { fetch, url, range })));
                return true;
            }
        }
        if refused && self.lacks_memory(budget) {
            self.wait_for_memory(cx);
        }
        false
    }

    /// A block of a fetch came and is parked.
    pub fn on_fetched(&mut self, cx: &mut Cx<'_>, fetch: FetchId, block: BlockRequest, payload: PayloadId) {
        let BlockRequest { piece, offset, len } = block;
        self.totals.received(cx, len);
        let (layout, under) = (&self.metainfo.layout, self.web_seeds.get(fetch));
        let block = layout.block(piece, offset, len);
        let place = block.map(|block| layout.block_offset(block));
        let expected = under.zip(place).filter(|(under, place)| under.rest.contains(place));
        let (Some((under, place)), Some(block)) = (expected, block) else {
            // It was on its way when the fetch was given up.
            self.totals.wasted += u64::from(len);
            cx.push(Output::Drop { payload });
            return cx.pool.down.charge(cx.now, u64::from(len));
        };
        let source = under.source();
        let new = self.take_in(cx, source, block, payload);
        if self.web_seeds.came(cx.now, fetch, place + u64::from(len), len, new) {
            self.cancel_fetch(cx, fetch);
        }
        self.charge_fetching(cx, fetch, len);
    }

    /// A fetch ended.
    pub fn on_fetch_ended(&mut self, cx: &mut Cx<'_>, fetch: FetchId, outcome: Result<(), FetchFailure>) {
        let Some(under) = self.end_fetch(cx, fetch) else { return };
        let outcome = outcome.and_then(|()| match under.rest.is_empty() {
            true => Ok(()),
            false => Err(FetchFailure {
                fault: FetchFault::Nonsense,
                detail: "it sent less than it was asked for".into(),
            }),
        });
        match outcome {
            Ok(()) => self.web_seeds.succeeded(under.seed),
            Err(failure) => {
                let verdict = self.web_seeds.failed(cx.now, &under, &failure, &self.metainfo.layout);
                if failure.fault != FetchFault::Cancelled {
                    self.tell_of_web_seed(cx, under.seed, failure.detail, verdict);
                }
                if verdict == Verdict::Dropped {
                    self.stop_fetching(cx, Some(under.seed));
                }
            }
        }
        // What it did not give is free for others.
        self.refill_starved(cx);
    }

    /// Gives up all fetches of one web seed, or of all.
    pub fn stop_fetching(&mut self, cx: &mut Cx<'_>, seed: Option<u8>) {
        for fetch in self.web_seeds.fetches_of(seed) {
            self.cancel_fetch(cx, fetch);
        }
        if seed.is_none() {
            cx.timers.clear(self.timer(TorrentTimer::WebSeeds));
        }
    }

    /// A peer gave us a block that a web seed was asked for, too.
    pub fn on_beaten(&mut self, cx: &mut Cx<'_>, seed: u8, block: Block) {
        let place = self.metainfo.layout.block_offset(block);
        if let Some(fetch) = self.web_seeds.beaten(seed, place) {
            self.cancel_fetch(cx, fetch);
        }
    }

    fn cancel_fetch(&mut self, cx: &mut Cx<'_>, fetch: FetchId) {
        cx.push(Output::CancelFetch { fetch });
        self.end_fetch(cx, fetch);
    }

    /// A piece of a web seed was wrong.
    pub fn convict_web_seed(&mut self, cx: &mut Cx<'_>, seed: u8) {
        if self.web_seeds.spoiled(seed) == Verdict::Dropped {
            self.stop_fetching(cx, Some(seed));
            let why = self.web_seeds.failure(seed);
            self.tell_of_web_seed(cx, seed, why, Verdict::Dropped);
        }
    }

    fn tell_of_web_seed(&self, cx: &mut Cx<'_>, seed: u8, why: Box<str>, verdict: Verdict) {
        let dropped = verdict == Verdict::Dropped;
        cx.tell(Event::WebSeedFailed { torrent: self.id, seed, why, dropped });
    }

    /// Forgets a fetch; what it has not given is free again.
    fn end_fetch(&mut self, cx: &mut Cx<'_>, fetch: FetchId) -> Option<UnderWay> {
        let under = self.web_seeds.end(fetch)?;
        cx.pool.unread.retain(|&reader| reader != Reader::Fetch(fetch));
        for block in blocks_of(&self.metainfo.layout, under.rest.clone()) {
            self.picker.release(block, under.source());
        }
        self.picker.end_reservation(under.source());
        Some(under)
    }

    /// Pays for what was fetched; a fetch whose allowance is spent is not read until it has grown again.
    fn charge_fetching(&mut self, cx: &mut Cx<'_>, fetch: FetchId, bytes: u32) {
        cx.pool.down.charge(cx.now, u64::from(bytes));
        let reader = Reader::Fetch(fetch);
        if cx.pool.down.available(cx.now) > 0 || cx.pool.unread.contains(&reader) {
            return;
        }
        if self.web_seeds.get(fetch).is_some_and(|under| !under.rest.is_empty()) {
            cx.pool.unread.push(reader);
            cx.push(Output::PauseFetch { fetch });
        }
    }
}

/// The blocks of a range of the content.
fn blocks_of(layout: &Layout, range: Range<u64>) -> impl Iterator<Item = Block> + '_ {
    let mut at = range.start;
    core::iter::from_fn(move || {
        let block = layout.block_at(at).filter(|_| at < range.end)?;
        at = layout.block_offset(block) + u64::from(block.len);
        Some(block)
    })
}
