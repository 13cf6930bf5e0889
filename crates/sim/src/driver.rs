//! The simulator's driver: performs what a session wants done, every output of the seam, in a world of models.

use crate::content::{Tag, mix};
use crate::disk::Work;
use crate::fault::{Fault, Phase};
use crate::happening::{Happening, Knock};
use crate::network::{Parcel, PipeId};
use crate::node::{Leaves, Nature, node_at};
use crate::world::World;
use core::net::SocketAddr;
use core::time::Duration;
use proto::input::{DialFailure, DiskError, DiskErrorKind, LinkEnd, Unsent};
use proto::output::CloseReason;
use proto::{DialId, Event, Input, Instant, LinkId, Output, PayloadId, SendToken, TorrentId};
use wire::{Block, Message};

/// How long a dial into the void takes.
const DIAL_TIMEOUT: Duration = Duration::from_secs(15);

impl World {
    /// Performs one output of a node's session.
    pub(crate) fn perform(&mut self, node: u32, output: Output) {
        match output {
            // There is one way to a node here.
            Output::Dial { dial, remote, hints: _ } => self.dial(node, dial, remote),
            Output::Close { link, why } => self.close(node, link, why),
            Output::Send { link, message } => self.send(node, link, message),
            Output::Haves { link, pieces } => {
                let bytes = 9 * pieces.len() as u32;
                self.send_parcel(node, link, Parcel::Haves(pieces), bytes);
            }
            Output::SendBlock { token, torrent, block } => self.send_block(node, token, torrent, block),
            Output::Unsend { token } => self.unsend(node, token),
            Output::PauseReading { link } => self.pause_reading(node, link, true),
            Output::ResumeReading { link } => self.pause_reading(node, link, false),

            Output::Keep { payload, torrent, block } => self.keep(node, payload, torrent, block),
            Output::Drop { payload } => {
                self.drop_metadata(node, payload);
                // The checker of payloads reports a name that nobody knows.
                let _ = self.nodes[node as usize].payloads.take(payload);
            }

            Output::KeepMetadata { payload, torrent, size, piece } => {
                self.keep_metadata(node, payload, torrent, size, piece);
            }
            Output::AssembleMetadata { torrent, size } => self.assemble_metadata(node, torrent, size),
            Output::DiscardMetadata { torrent, size } => self.discard_metadata(node, torrent, size),
            Output::SendMetadata { token, torrent, id: _, piece } => {
                self.send_metadata(node, token, torrent, piece);
            }

            Output::Open { torrent, wanted: _ } => self.disk_step(node, torrent, Work::Open),
            Output::Check { torrent, pieces } => self.disk_step(node, torrent, Work::Check { pieces }),
            Output::Verify { torrent, piece, attempt, key, digests } => {
                self.disk_step(node, torrent, Work::Verify { piece, attempt, key, digests });
            }
            Output::Write { torrent, piece, attempt } => {
                self.disk_step(node, torrent, Work::Write { piece, attempt });
            }
            Output::Spill { torrent, piece, attempt, blocks, key } => {
                self.disk_step(node, torrent, Work::Spill { piece, attempt, blocks, key });
            }
            Output::Discard { torrent, piece, attempt } => {
                if !self.crashes_at_step(node, Phase::Asked) {
                    self.nodes[node as usize].disk.store_mut(torrent).discard(piece, attempt);
                    self.count_step(node);
                }
            }
            Output::Sync { torrent, epoch } => self.disk_step(node, torrent, Work::Sync { epoch }),
            Output::Commit { torrent, epoch, record } => {
                self.disk_step(node, torrent, Work::Commit { epoch, record });
            }
            Output::Want { torrent: _, wanted: _ } => {}
            Output::CloseStorage { torrent } => self.disk_step(node, torrent, Work::Close),

            Output::Announce(announce) => {
                self.announce(node, &announce);
            }
            Output::Scrape(scrape) => self.scrape(node, &scrape),
            Output::FindPeers { torrent, info_hash, need } => {
                self.find_peers(node, torrent, info_hash, need);
            }
            Output::StopFinding { torrent: _, info_hash } => self.stop_finding(node, info_hash),
            Output::MeetNode(at) => self.meet_node(node, at),
            Output::Fetch(fetch) => self.fetch(node, *fetch),
            Output::CancelFetch { fetch } => self.cancel_fetch(node, fetch),
            Output::PauseFetch { fetch } => self.pause_fetch(node, fetch, true),
            Output::ResumeFetch { fetch } => self.pause_fetch(node, fetch, false),
            Output::Event(event) => self.on_event(node, event),
        }
    }

    fn dial(&mut self, node: u32, dial: DialId, remote: SocketAddr) {
        let incarnation = self.nodes[node as usize].incarnation;
        let knock = Knock { dial, dialer: node, incarnation };
        let known = node_at(remote).filter(|&far| (far as usize) < self.nodes.len());
        match known {
            Some(far) if self.nodes[node as usize].ills.island == self.nodes[far as usize].ills.island => {
                // SYN, SYN-ACK, handshake.
                let at = self.now + 3 * self.network.latency(node, far);
                self.queue.push(at, far, Happening::Knock(knock));
            }
            Some(_) | None => {
                *self.network.void.entry(remote).or_default() += 1;
                let why = DialFailure::TimedOut;
                self.queue.push(self.now + DIAL_TIMEOUT, node, Happening::Unanswered { knock, why });
            }
        }
    }

    pub(crate) fn close(&mut self, node: u32, link: LinkId, why: CloseReason) {
        let Some((conn, side)) = self.nodes[node as usize].links.get(link) else { return };
        let mine = Happening::Down { conn, side, why: LinkEnd::Closed(why) };
        self.queue.push(self.now, node, mine);
        let last = self.network.last_word(conn, side, self.now);
        if let Some((far, _)) = self.network.end(conn, side.other()) {
            let theirs = Happening::Down { conn, side: side.other(), why: LinkEnd::ByPeer };
            self.queue.push(last, far, theirs);
        }
    }

    /// Sends a control message over a link of a node; a puppet's hand, too.
    pub(crate) fn send(&mut self, node: u32, link: LinkId, message: Message) {
        let message = self.as_said(node, message);
        let bytes = wire::frame::encoded_len(&message) as u32;
        self.send_parcel(node, link, Parcel::Message(message), bytes);
    }

    pub(crate) fn send_parcel(&mut self, node: u32, link: LinkId, parcel: Parcel, bytes: u32) {
        let Some(pipe) = self.nodes[node as usize].pipe(link) else { return };
        let parcel = if self.settings.byte_true { self.through_the_codec(node, parcel) } else { parcel };
        self.count_overhead(node, link, 0, bytes);
        self.network.send_control(self.now, pipe, parcel, bytes, &mut self.queue);
    }

    fn send_block(&mut self, node: u32, token: SendToken, torrent: TorrentId, block: Block) {
        let Some(pipe) = self.nodes[node as usize].pipe(token.link) else {
            return self.tell_unsent(node, token, Unsent::LinkDown);
        };
        self.network.enqueue(pipe, token, block);
        if self.nodes[node as usize].spec.nature == Nature::Stalls {
            return;
        }
        let (at, tag) = self.nodes[node as usize].disk.read(self.now, torrent, block);
        match tag {
            Some(tag) => {
                let tag = self.as_sent(node, block, token, tag);
                self.queue.push(at, node, Happening::ReadDone { pipe, token, tag });
            }
            None => {
                self.network.recall(pipe, token);
                let error = DiskError { kind: DiskErrorKind::Io, detail: "simulated: read".into() };
                self.tell_unsent(node, token, Unsent::Disk(error));
            }
        }
    }

    /// What a node makes of a block on its way out.
    fn as_sent(&mut self, node: u32, block: Block, token: SendToken, tag: Tag) -> Tag {
        match self.nodes[node as usize].spec.nature {
            Nature::Honest | Nature::Stalls | Nature::LiesAboutMetadata { .. } => tag,
            Nature::Corrupts { permille } => {
                let place = u64::from(block.piece.0) << 32 | u64::from(block.offset);
                let salt = mix(place ^ mix(u64::from(token.sequence) << 32 | u64::from(node)));
                if salt % 1000 < u64::from(permille) { tag.spoilt(salt) } else { tag }
            }
        }
    }

    pub(crate) fn read_done(&mut self, pipe: PipeId, token: SendToken, tag: Tag) {
        self.network.ready(self.now, pipe, token, tag, &mut self.queue);
    }

    fn unsend(&mut self, node: u32, token: SendToken) {
        let Some(pipe) = self.nodes[node as usize].pipe(token.link) else { return };
        if self.network.recall(pipe, token) {
            self.tell_unsent(node, token, Unsent::Recalled);
        }
    }

    /// A block will not leave; the session learns it after its present wishes, and before the end of the link.
    pub(crate) fn tell_unsent(&mut self, node: u32, token: SendToken, why: Unsent) {
        self.nodes[node as usize].links.unsent.push((token, why.clone()));
        self.tell(node, Input::Unsent { token, why });
    }

    fn pause_reading(&mut self, node: u32, link: LinkId, paused: bool) {
        let Some((conn, side)) = self.nodes[node as usize].links.get(link) else { return };
        for parcel in self.network.set_paused(conn, side, paused) {
            let pipe = PipeId { conn, from: side.other() };
            self.queue.push(self.now, node, Happening::Arrive { pipe, parcel });
        }
    }

    fn keep(&mut self, node: u32, payload: PayloadId, torrent: TorrentId, block: Block) {
        let node = &mut self.nodes[node as usize];
        if let Some(parked) = node.payloads.take(payload) {
            node.disk.store_mut(torrent).keep(block, parked.tag);
        }
    }

    /// One step of durability: where crash points lie.
    fn disk_step(&mut self, node: u32, torrent: TorrentId, work: Work) {
        if self.crashes_at_step(node, Phase::Asked) {
            return;
        }
        let (job, at) = self.nodes[node as usize].disk.start(self.now, torrent, work);
        let incarnation = self.nodes[node as usize].incarnation;
        if self.is_at_crash_point(node, Phase::Done) {
            self.doom.1 = Some(job);
        }
        if !self.crashes_at_step(node, Phase::Begun) {
            self.count_step(node);
            self.queue.push(at, node, Happening::Disk { incarnation, job });
        }
    }

    fn count_step(&mut self, node: u32) {
        self.nodes[node as usize].steps += 1;
    }

    fn is_at_crash_point(&self, node: u32, phase: Phase) -> bool {
        let steps = self.nodes[node as usize].steps;
        self.doom.0.is_some_and(|point| point.node == node && point.step == steps && point.phase == phase)
    }

    fn crashes_at_step(&mut self, node: u32, phase: Phase) -> bool {
        let crashes = self.is_at_crash_point(node, phase);
        if crashes {
            self.crash_now(node);
        }
        crashes
    }

    /// Something that the session learns at once, but not before its present wishes are done.
    pub(crate) fn tell(&mut self, node: u32, input: Input<'static>) {
        self.tell_at(self.now, node, input);
    }

    /// What was ready at once reaches the session, unless the end of a link has brought it already.
    pub(crate) fn tell_now(&mut self, node: u32, incarnation: u32, input: Input<'_>) {
        if !self.is_current(node, incarnation) {
            return;
        }
        if let Input::Unsent { token: known, .. } = &input
            && self.nodes[node as usize].links.take_unsent(|token| token == known).is_none()
        {
            return;
        }
        self.feed(node, input);
    }

    pub(crate) fn tell_at(&mut self, at: Instant, node: u32, input: Input<'static>) {
        let incarnation = self.nodes[node as usize].incarnation;
        self.queue.push(at, node, Happening::Tell { incarnation, input: Box::new(input) });
    }

    fn on_event(&mut self, index: u32, event: Event) {
        let node = &mut self.nodes[index as usize];
        let incarnation = node.incarnation;
        match &event {
            Event::Finished(_) => {
                if let Leaves::AfterFinish(span) | Leaves::Impatient { stays: span, .. } = node.spec.leaves {
                    self.fault_at(self.now + span, Fault::Leave { node: index });
                }
            }
            Event::Stopped if node.ills.leaving => {
                self.queue.push(self.now, index, Happening::Exit { incarnation });
            }
            _ => {}
        }
        self.nodes[index as usize].story.tell(self.now, event);
    }

    /// The same parcel after a journey as bytes.
    fn through_the_codec(&mut self, node: u32, parcel: Parcel) -> Parcel {
        let mut bytes = Vec::new();
        let message = match &parcel {
            // What attackers say need not survive: whoever reads it closes the link, which is the engine's to show.
            Parcel::Message(_) if self.nodes[node as usize].spec.hostile.is_some() => return parcel,
            Parcel::Message(message) => message,
            Parcel::Haves(pieces) => {
                wire::frame::encode_haves(pieces, &mut bytes);
                if bytes.len() != 9 * pieces.len() {
                    self.checkers.report(self.now, node, "codec", "haves of a wrong length".into());
                }
                return parcel;
            }
            Parcel::Block { .. } | Parcel::Metadata { .. } => return parcel,
        };
        wire::frame::encode(message, &mut bytes);
        let pieces = self.contents[0].metainfo().layout.pieces();
        let limits = wire::frame::Limits::new(Some(pieces));
        match wire::frame::next(&bytes, &limits) {
            Ok(wire::frame::Frame::Message { message: read, consumed }) if consumed == bytes.len() => {
                Parcel::Message(read)
            }
            other => {
                let text = format!("{message:?} became {other:?}");
                self.checkers.report(self.now, node, "codec", text);
                parcel
            }
        }
    }
}

/// A puppet's hand: what a test lets it do.
impl World {
    /// A puppet dials a node; it hears of it like any node.
    pub fn puppet_dials(&mut self, puppet: u32, node: u32) {
        let incarnation = self.nodes[puppet as usize].incarnation;
        let dial = DialId { torrent: crate::world::torrent_id(0), sequence: 0 };
        let at = self.now + 3 * self.network.latency(puppet, node);
        self.queue.push(at, node, Happening::Knock(Knock { dial, dialer: puppet, incarnation }));
    }

    /// A puppet sends a message.
    pub fn puppet_says(&mut self, puppet: u32, link: LinkId, message: Message) {
        self.send(puppet, link, message);
    }

    /// A puppet sends a block with this content, right now and whole.
    pub fn puppet_sends(&mut self, puppet: u32, link: LinkId, block: Block, tag: Tag) {
        let bytes = block.len + crate::network::BLOCK_HEADER;
        if self.nodes[puppet as usize].pipe(link).is_some() {
            self.network.totals.left += u64::from(block.len);
        }
        self.send_parcel(puppet, link, Parcel::Block { block, tag }, bytes);
    }

    /// A puppet hangs up.
    pub fn puppet_closes(&mut self, puppet: u32, link: LinkId) {
        self.close(puppet, link, CloseReason::Gone);
    }

    /// What a puppet heard since it was asked last.
    pub fn puppet_heard(&mut self, puppet: u32) -> Vec<crate::node::Heard> {
        match &mut self.nodes[puppet as usize].brain {
            crate::node::Brain::Puppet(heard) => heard.drain(..).collect(),
            crate::node::Brain::Session(_) | crate::node::Brain::Absent | crate::node::Brain::Attacker(_) => {
                Vec::new()
            }
        }
    }
}
