//! Web servers of a world: they hold the first content and give ranges of it, rightly or not (BEP 19).
//!
//! Not the network of links: a server has one uplink, on which the blocks of all fetches queue in turn, and a node that fetches
//! one downlink for them of its own; its links to peers do not feel it. Always: a fetch has one block on the uplink, so many
//! fetches share it equally, and every fetch ends in one `FetchEnded`, after its last block.

use crate::content::mix;
use crate::happening::{Happening, WebStep};
use crate::node::Parked;
use crate::world::World;
use core::ops::Range;
use core::time::Duration;
use proto::input::{FetchFailure, FetchFault};
use proto::output::Fetch;
use proto::{FetchId, Input, Instant};
use std::collections::BTreeMap;
use wire::message::BlockRequest;

/// What a web server is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WebServer {
    /// Bytes per second out.
    pub up: u64,
    /// From it to any node, one way.
    pub latency: Duration,
    /// How it behaves.
    pub manners: Manners,
}

/// How a web server behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Manners {
    /// As it should.
    #[default]
    Honest,
    /// Of a thousand blocks, so many are spoilt.
    Corrupts {
        /// Thousandths.
        permille: u32,
    },
    /// Breaks off after so many blocks of each range.
    BreaksOff {
        /// Blocks.
        after: u32,
    },
    /// Breaks off after so many blocks of each range, and one of all the blocks that it sends is spoilt.
    Stumbles {
        /// Blocks.
        after: u32,
        /// The spoilt one: how many it sends before.
        spoilt: u64,
    },
    /// Refuses everything.
    Refuses,
    /// Answers, and then sends nothing; the driver gives up after [`SILENCE_MAX`].
    Stalls,
    /// Serves nobody from this moment on.
    Dies {
        /// When.
        at: Instant,
    },
}

/// How long a driver waits for a silent server.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// All of them, and what they are sending.
#[derive(Default)]
pub(crate) struct Web {
    servers: Vec<Server>,
    fetches: BTreeMap<(u32, FetchId), Sending>,
    /// When each node's downlink has taken in what was sent to it.
    downlinks: BTreeMap<u32, Instant>,
}

struct Server {
    spec: WebServer,
    /// When its uplink is free.
    free_at: Instant,
    /// Payload bytes that it sent, and in how many blocks.
    sent: u64,
    blocks: u64,
}

struct Sending {
    server: usize,
    rest: Range<u64>,
    blocks: u32,
    paused: bool,
    /// A block is on the uplink.
    busy: bool,
    /// When the last block so far arrives.
    arrives: Instant,
}

/// The URL of a server.
pub(crate) fn url_of(server: usize) -> String {
    format!("http://web{server}.example/")
}

impl Web {
    pub(crate) fn add(&mut self, spec: WebServer) {
        self.servers.push(Server { spec, free_at: Instant::ZERO, sent: 0, blocks: 0 });
    }

    pub(crate) fn sent(&self, server: usize) -> u64 {
        self.servers.get(server).map_or(0, |server| server.sent)
    }
}

impl World {
    /// Payload bytes that a web server sent.
    pub fn web_server_sent(&self, server: usize) -> u64 {
        self.web.sent(server)
    }

    pub(crate) fn fetch(&mut self, node: u32, fetch: Fetch) {
        let server = (0..self.web.servers.len()).find(|&server| *url_of(server) == *fetch.url);
        let Some(server) = server else {
            return self.end_fetch(node, fetch.fetch, self.now, Err(FetchFault::Forbidden));
        };
        let WebServer { latency, manners, .. } = self.web.servers[server].spec;
        // Connection, request, first byte.
        let answered = self.now + 3 * latency;
        match manners {
            Manners::Refuses => self.end_fetch(node, fetch.fetch, answered, Err(FetchFault::Refused)),
            Manners::Dies { at } if at <= answered => {
                self.end_fetch(node, fetch.fetch, answered, Err(FetchFault::Unreachable));
            }
            Manners::Stalls => {
                self.end_fetch(node, fetch.fetch, self.now + SILENCE_MAX, Err(FetchFault::Unreachable));
            }
            Manners::Honest
            | Manners::Corrupts { .. }
            | Manners::BreaksOff { .. }
            | Manners::Stumbles { .. }
            | Manners::Dies { .. } => {
                let sending = Sending {
                    server,
                    rest: fetch.range,
                    blocks: 0,
                    paused: false,
                    busy: false,
                    arrives: answered,
                };
                self.web.fetches.insert((node, fetch.fetch), sending);
                self.send_from_web(node, fetch.fetch, answered);
            }
        }
    }

    pub(crate) fn cancel_fetch(&mut self, node: u32, fetch: FetchId) {
        if let Some(sending) = self.web.fetches.remove(&(node, fetch)) {
            self.end_fetch(node, fetch, sending.arrives.max(self.now), Err(FetchFault::Cancelled));
        }
    }

    pub(crate) fn pause_fetch(&mut self, node: u32, fetch: FetchId, paused: bool) {
        let Some(sending) = self.web.fetches.get_mut(&(node, fetch)) else { return };
        sending.paused = paused;
        if !paused && !sending.busy {
            self.send_from_web(node, fetch, self.now);
        }
    }

    /// The next block of a fetch takes its turn on the uplink.
    fn send_from_web(&mut self, node: u32, fetch: FetchId, not_before: Instant) {
        let layout = &self.contents[0].metainfo().layout;
        let Some(sending) = self.web.fetches.get_mut(&(node, fetch)) else { return };
        let Some(block) = layout.block_at(sending.rest.start).filter(|_| !sending.rest.is_empty()) else {
            let arrives = sending.arrives;
            self.web.fetches.remove(&(node, fetch));
            return self.end_fetch(node, fetch, arrives, Ok(()));
        };
        let server = &mut self.web.servers[sending.server];
        let gone = match server.spec.manners {
            Manners::BreaksOff { after } | Manners::Stumbles { after, .. } => sending.blocks >= after,
            Manners::Dies { at } => at <= not_before,
            Manners::Honest | Manners::Corrupts { .. } | Manners::Refuses | Manners::Stalls => false,
        };
        if gone {
            let at = sending.arrives.max(not_before);
            self.web.fetches.remove(&(node, fetch));
            return self.end_fetch(node, fetch, at, Err(FetchFault::Unreachable));
        }
        let time = |rate: u64| Duration::from_micros(u64::from(block.len) * 1_000_000 / rate.max(1));
        let left = server.free_at.max(not_before) + time(server.spec.up);
        server.free_at = left;
        server.sent += u64::from(block.len);
        let down = self.nodes[node as usize].spec.access.down;
        let taken_in = self.web.downlinks.entry(node).or_insert(Instant::ZERO);
        *taken_in = (*taken_in + time(down)).max(left + server.spec.latency);
        (sending.busy, sending.blocks, sending.arrives) = (true, sending.blocks + 1, *taken_in);
        sending.rest.start += u64::from(block.len);
        let place = u64::from(block.piece.0) << 32 | u64::from(block.offset);
        let salt = mix(place ^ mix(u64::from(fetch.sequence) << 32 | sending.server as u64));
        let spoilt = match server.spec.manners {
            Manners::Corrupts { permille } => salt % 1000 < u64::from(permille),
            Manners::Stumbles { spoilt, .. } => server.blocks == spoilt,
            Manners::Honest
            | Manners::BreaksOff { .. }
            | Manners::Refuses
            | Manners::Stalls
            | Manners::Dies { .. } => false,
        };
        server.blocks += 1;
        let tag = self.contents[0].tag(block);
        let tag = if spoilt { tag.spoilt(salt) } else { tag };
        let incarnation = self.nodes[node as usize].incarnation;
        let what = WebStep::Left { fetch };
        self.queue.push(left, node, Happening::Web { incarnation, what });
        let what = WebStep::Came { fetch, block, tag };
        self.queue.push(*taken_in, node, Happening::Web { incarnation, what });
    }

    pub(crate) fn web_happens(&mut self, node: u32, incarnation: u32, step: WebStep) {
        if !self.is_current(node, incarnation) {
            return;
        }
        match step {
            WebStep::Left { fetch } => self.left_web(node, fetch),
            WebStep::Came { fetch, block, tag } => {
                let block = BlockRequest::from(block);
                let payload = self.nodes[node as usize].payloads.park(Parked { block, tag });
                self.feed(node, Input::Fetched { fetch, block, payload });
            }
        }
    }

    fn left_web(&mut self, node: u32, fetch: FetchId) {
        let Some(sending) = self.web.fetches.get_mut(&(node, fetch)) else { return };
        sending.busy = false;
        if !sending.paused {
            self.send_from_web(node, fetch, self.now);
        }
    }

    /// What a process fetched ends with it.
    pub(crate) fn forget_fetches(&mut self, node: u32) {
        self.web.fetches.retain(|&(other, _), _| other != node);
    }

    fn end_fetch(&mut self, node: u32, fetch: FetchId, at: Instant, outcome: Result<(), FetchFault>) {
        let outcome =
            outcome.map_err(|fault| FetchFailure { fault, detail: format!("simulated: {fault:?}").into() });
        self.tell_at(at, node, Input::FetchEnded { fetch, outcome });
    }
}
