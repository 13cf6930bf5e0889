//! What a session of a fleet wants done, every output of the seam, done by arithmetic: there are no bytes and no disk.
//!
//! Content is right by construction, so a piece that is whole is good, and what is written stays. What a disk takes is a hash's time and a
//! fixed span. Nobody here knows a torrent by its hash alone, has a web seed or a node of the DHT, or a limit of rate: what
//! would need one is answered as by a machine that has none.

use super::flow::Outgoing;
use super::half::{HalfId, State};
use super::mail::Letter;
use super::node::{Node, Own, TORRENT};
use super::shard::{Desk, Visit};
use crate::content::mix;
use crate::node::{Leaves, node_at};
use core::net::SocketAddr;
use core::time::Duration;
use proto::input::{
    BlockDigest, DialFailure, FetchFailure, FetchFault, Found, LinkEnd, MetadataFailure, Unsent,
};
use proto::output::CloseReason;
use proto::{DialId, Event, Input, LinkId, Output};
use wire::message::BlockRequest;

/// How long a dial into the void takes.
const DIAL_TIMEOUT: Duration = Duration::from_secs(15);
/// To hand a piece or some blocks to the file system.
const WRITE: Duration = Duration::from_millis(1);
/// To sync, and to commit.
const SYNC: Duration = Duration::from_millis(5);
/// Bytes hashed per microsecond: a GiB a second.
const HASHED: u64 = 1074;

impl Node {
    /// Performs one output.
    pub(super) fn perform(&mut self, desk: &mut Desk<'_>, output: Output) {
        match output {
            Output::Dial { dial, remote, hints: _ } => self.dial(desk, dial, remote),
            Output::Close { link, why } => self.close(desk, link, why),
            Output::Send { link, message } => {
                let bytes = wire::frame::encoded_len(&message) as u32;
                self.say(desk, link, Letter::Message(message), bytes);
            }
            Output::Haves { link, pieces } => {
                let bytes = 9 * pieces.len() as u32;
                self.say(desk, link, Letter::Haves(pieces), bytes);
            }
            Output::SendBlock { token, torrent: _, block } => {
                let out = Outgoing { token, block: BlockRequest::from(block) };
                match self.halves.get(out.half()) {
                    Some(_) => self.serve(desk, out),
                    None => self.tell(desk.now, Input::Unsent { token, why: Unsent::LinkDown }),
                }
            }
            Output::Unsend { token } => {
                if self.uplink.recall(token) {
                    self.tell(desk.now, Input::Unsent { token, why: Unsent::Recalled });
                }
            }
            Output::SendMetadata { token, .. } => {
                self.tell(desk.now, Input::Unsent { token, why: Unsent::Recalled });
            }
            // Rates are not limited here, so nobody is told to stop; and a block's bytes are nowhere.
            Output::PauseReading { .. } | Output::ResumeReading { .. } => desk.tally.unforeseen += 1,
            Output::Keep { .. } | Output::Drop { .. } | Output::Discard { .. } | Output::Want { .. } => {}
            Output::KeepMetadata { .. } | Output::DiscardMetadata { .. } => desk.tally.unforeseen += 1,
            Output::AssembleMetadata { torrent, size } => {
                desk.tally.unforeseen += 1;
                self.tell(desk.now, Input::MetadataFailed { torrent, size, why: MetadataFailure::WrongHash });
            }
            Output::Open { .. }
            | Output::Check { .. }
            | Output::Verify { .. }
            | Output::Write { .. }
            | Output::Spill { .. }
            | Output::Sync { .. }
            | Output::Commit { .. }
            | Output::CloseStorage { .. } => self.store(desk, output),
            Output::Announce(announce) => {
                desk.visits.push((desk.now, self.index, Visit::Announce(announce)));
            }
            Output::Scrape(scrape) => desk.visits.push((desk.now, self.index, Visit::Scrape(scrape.scrape))),
            Output::Fetch(fetch) => {
                desk.tally.unforeseen += 1;
                let failure =
                    FetchFailure { fault: FetchFault::Forbidden, detail: "no web seeds here".into() };
                self.tell(desk.now, Input::FetchEnded { fetch: fetch.fetch, outcome: Err(failure) });
            }
            Output::CancelFetch { .. } | Output::PauseFetch { .. } | Output::ResumeFetch { .. } => {
                desk.tally.unforeseen += 1;
            }
            // There is no DHT and no neighbourhood.
            Output::FindPeers { .. } | Output::StopFinding { .. } | Output::MeetNode(_) => {}
            Output::Event(event) => self.on_event(desk, &event),
        }
    }

    fn dial(&mut self, desk: &mut Desk<'_>, dial: DialId, remote: SocketAddr) {
        let far = node_at(remote).filter(|&far| (far as usize) < desk.scene.latencies.len());
        if let Some(far) = far {
            let latency = desk.latency(self.index, far);
            if let Some(half) = self.halves.open(far, latency, State::Dialing(dial.sequence)) {
                // SYN, SYN-ACK, handshake.
                return self.send(desk, far, 3 * latency, half, Letter::Knock);
            }
        }
        self.tell(desk.now + DIAL_TIMEOUT, Input::DialFailed { dial, why: DialFailure::TimedOut });
    }

    fn close(&mut self, desk: &mut Desk<'_>, link: LinkId, why: CloseReason) {
        let id = HalfId::of(link);
        self.hang_up(desk, id, LinkEnd::ByPeer);
        if let Some(half) = self.halves.get_mut(id).filter(|half| half.state == State::Open) {
            half.state = State::Closing;
            self.later.push(desk.now, Own::Down(id, LinkEnd::Closed(why)));
        }
    }

    /// Sends a control message: at once, or when the block in service of its link has left.
    fn say(&mut self, desk: &mut Desk<'_>, link: LinkId, letter: Letter, bytes: u32) {
        let id = HalfId::of(link);
        let Some(half) = self.halves.get(id).copied().filter(|half| half.state == State::Open) else {
            return;
        };
        desk.tally.overhead += u64::from(bytes);
        if self.uplink.is_busy(id) {
            return self.uplink.queue_behind(id, letter, bytes);
        }
        self.uplink.charge(bytes);
        self.send(desk, half.far, half.latency(), half.far_half, letter);
    }

    fn store(&mut self, desk: &mut Desk<'_>, output: Output) {
        let now = desk.now;
        match output {
            Output::Open { torrent, wanted: _ } => {
                let begun = self.member.role == crate::swarm::Role::Seed || self.record.is_some();
                let found = if begun { Found::AsRecorded } else { Found::Nothing };
                // Not all at the same moment, or those with low numbers would always be the first to visit the tracker.
                let jitter = mix(desk.scene.seed ^ mix(self.index.into())) % 1000;
                self.tell(now + WRITE + Duration::from_micros(jitter), Input::Opened { torrent, found });
            }
            Output::Check { torrent, pieces } => {
                self.tell(now + WRITE, Input::Checked { torrent, good: pieces });
            }
            Output::Verify { torrent, piece, attempt, key: _, digests } => {
                let layout = &desk.scene.metainfo.layout;
                let takes = Duration::from_micros(u64::from(layout.piece_len(piece)).div_ceil(HASHED));
                let digests = digests.then(|| no_digests(layout.blocks_in(piece)));
                self.tell(now + takes, Input::Verified { torrent, piece, attempt, good: true, digests });
            }
            Output::Write { torrent, piece, attempt } => {
                self.tell(now + WRITE, Input::Written { torrent, piece, attempt });
            }
            Output::Spill { torrent, piece, attempt, blocks, key } => {
                let digests = key.map(|_| no_digests(blocks.count()));
                self.tell(now + WRITE, Input::Spilled { torrent, piece, attempt, digests });
            }
            Output::Sync { torrent, epoch } => self.tell(now + SYNC, Input::Synced { torrent, epoch }),
            Output::Commit { torrent, epoch, record } => {
                self.record = Some(record);
                self.tell(now + SYNC, Input::Committed { torrent, epoch });
            }
            Output::CloseStorage { torrent } => self.tell(now + SYNC, Input::Closed { torrent }),
            _ => desk.tally.unforeseen += 1,
        }
    }

    fn on_event(&mut self, desk: &mut Desk<'_>, event: &Event) {
        match event {
            Event::Finished(TORRENT) if self.member.role != crate::swarm::Role::Seed => {
                if self.books.finished.is_none() {
                    self.books.finished = Some(desk.now);
                    desk.tally.settled += 1;
                }
                if let Leaves::AfterFinish(span) | Leaves::Impatient { stays: span, .. } = self.member.leaves
                {
                    self.later.push(desk.now + span, Own::Leave);
                }
            }
            Event::Stopped if self.leaving => self.later.push(desk.now, Own::Exit),
            Event::PieceDone(..) => desk.tally.pieces += 1,
            Event::PeerJoined(..) => drop(self.books.met.get_or_insert(desk.now)),
            Event::PeerBanned(..) | Event::PieceFailed(..) | Event::StorageFailed(..) => {
                desk.tally.unforeseen += 1;
            }
            _ => {}
        }
    }
}

/// Digests of right blocks: all that are compared here are right.
fn no_digests(blocks: u32) -> Box<[BlockDigest]> {
    (0..blocks).map(|_| BlockDigest([0; 16])).collect()
}
