//! One linked peer: what each side said to the other, and what is on its way between them.
//!
//! [`Peer::receive`] is a total function on (state, message): it takes note of what the peer said and reports it, or names the
//! fault. What follows (asking, serving, closing) is the torrent's to decide. Never names `torrent`.
//! Invariant: numbers in reports were checked against the layout. BEP: 3, 6, 10, 21

pub mod conduct;
pub mod fast;
pub mod metadata;
pub mod pipeline;
pub mod sending;
pub mod upload_queue;

use crate::address::Kept;
use crate::cx::Cx;
use crate::extension::{self, ExtensionReport, RemoteExtensions};
use crate::pieces::RemotePieces;
use crate::rate::Meter;
use crate::seldom::{Blank, Seldom};
use crate::{Config, Duration, Instant, LinkId, Output, PeerKey, PeerMisbehaved, TorrentId};
use conduct::Conduct;
use core::net::SocketAddr;
pub use fast::AllowedFast;
use metadata::PeerMetadata;
pub use pipeline::Pipeline;
use sending::Sending;
pub use upload_queue::UploadQueue;
use wire::message::BlockRequest;
use wire::pex::PexMessage;
use wire::{Bitfield, Block, Layout, Message, PeerId, PieceIndex, Reserved};

/// A peer and our dealings with it.
#[derive(Debug)]
pub struct Peer {
    /// The link to it.
    pub link: LinkId,
    /// Where it is, and what it can do.
    pub terms: Terms,
    /// Who chokes whom, who wants something.
    pub state: PeerState,
    /// What it has.
    pub pieces: RemotePieces,
    /// What we asked it for.
    pub pipeline: Pipeline,
    /// What it asked us for.
    pub uploads: UploadQueue,
    /// Its share of the uplink.
    pub sending: Sending,
    /// Pieces that may be asked for in spite of a choke.
    pub fast: Seldom<FastSets>,
    /// What it said in the extension protocol.
    pub extensions: RemoteExtensions,
    /// How much moved between us.
    pub traffic: Traffic,
    /// When what was last heard and said.
    pub clocks: Clocks,
    /// How it behaves.
    pub conduct: Conduct,
    /// What it said before there was a layout, and what metadata it wants.
    pub metadata: PeerMetadata,
    /// How much of our log of new pieces it knows of.
    pub haves_told: u64,
}

/// What does not change while a link is up.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Where it is.
    pub remote: Kept,
    /// What it calls itself.
    pub peer_id: PeerId,
    /// It came to us.
    pub incoming: bool,
    /// Both of us speak BEP 6.
    pub fast: bool,
    /// Both of us speak BEP 10.
    pub extended: bool,
    /// Our handshake was encrypted.
    pub encrypted: bool,
}

/// The state of BEP 3, and two flags of our own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PeerState {
    /// We do not serve its requests.
    pub am_choking: bool,
    /// We want something it has.
    pub am_interested: bool,
    /// It does not serve our requests.
    pub peer_choking: bool,
    /// It wants something we have.
    pub peer_interested: bool,
    /// It spoke of its pieces: a bitfield would come too late.
    pub announced: bool,
    /// It said where its node of the DHT is.
    pub node_told: bool,
    /// We asked the driver to close the link: nothing more is said or believed.
    pub closing: bool,
}

impl Default for PeerState {
    fn default() -> PeerState {
        PeerState {
            am_choking: true,
            am_interested: false,
            peer_choking: true,
            peer_interested: false,
            announced: false,
            node_told: false,
            closing: false,
        }
    }
}

/// Pieces that may be asked for in spite of a choke, and hints (BEP 6).
#[derive(Clone, Debug, Default)]
pub struct FastSets {
    /// What it may have from us.
    pub ours: AllowedFast,
    /// What we may have from it: at most [`FAST_THEIRS_MAX`].
    pub theirs: Vec<PieceIndex>,
    /// What it would rather send: the last [`SUGGESTED_MAX`].
    pub suggested: Vec<PieceIndex>,
}

impl Blank for FastSets {
    const BLANK: &'static FastSets =
        &FastSets { ours: AllowedFast::NONE, theirs: Vec::new(), suggested: Vec::new() };
}

/// Allowed-fast pieces of a peer that we remember; clients send about ten.
pub const FAST_THEIRS_MAX: usize = 32;
/// Suggestions of a peer that we remember.
pub const SUGGESTED_MAX: usize = 8;

/// How much moved between us.
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    /// Payload from it.
    pub down: Meter,
    /// Payload to it.
    pub up: Meter,
    /// Payload to it since we last unchoked it.
    pub sent_since_unchoke: u64,
    /// Bytes of the block that is coming which were counted already.
    pub partial: u32,
    /// What it makes of what it takes.
    pub appetite: Appetite,
}

/// What a peer makes of what it takes from us: who takes and takes and has no more to show for it takes in vain, be it that it
/// plays a newcomer for ever or that it asks for what it has.
#[derive(Clone, Copy, Debug, Default)]
pub struct Appetite {
    /// Payload to it, and what it owed when the link came up.
    taken: u64,
    /// Of pieces that it had said it has.
    again: u64,
    /// Pieces that it came to have since the link is up, be they from us or not.
    grown: u32,
    /// How long its earlier links lasted, in whole minutes: what fits without making every peer larger.
    minutes_before: u16,
    /// What is held against it from before.
    record: Record,
}

/// What is held against a peer when its link comes up.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Record {
    /// Nothing.
    #[default]
    Clean,
    /// Those of its network owe so much that it has to show a piece before it counts as honest.
    Probation,
    /// It took more than the whole content in earlier visits, whatever it said that it has.
    Overdrawn,
}

/// Unfinished pieces that a peer may hold of us: an honest one gathers each piece from several at a time, and works at several.
const UNFINISHED_PIECES_MAX: u64 = 4;
/// And this, where pieces are small: what is on its way, and haves that come late.
const UNFINISHED_BYTES_MAX: u64 = 256 * 1024;

impl Appetite {
    /// A block left for it; whether it had its piece, as it said.
    pub fn took(&mut self, bytes: u32, had: bool) {
        self.taken += u64::from(bytes);
        self.again += if had { u64::from(bytes) } else { 0 };
    }

    /// It has so many pieces more.
    pub fn grew(&mut self, pieces: usize) {
        self.grown = self.grown.saturating_add(u32::try_from(pieces).unwrap_or(u32::MAX));
    }

    /// Whether it takes in vain, of pieces this long, having given us so many bytes.
    pub fn is_in_vain(&self, piece_len: u32, given: u64) -> bool {
        let held_against_it = match self.record {
            Record::Clean => false,
            Record::Probation => self.grown == 0,
            Record::Overdrawn => true,
        };
        held_against_it || self.owes_more_than(piece_len, given)
    }

    /// Whether it has taken more in vain than any peer may and this.
    pub fn owes_more_than(&self, piece_len: u32, forgiven: u64) -> bool {
        self.owes(piece_len) > Appetite::allowance(piece_len).saturating_add(forgiven)
    }

    /// What a peer may have taken beyond what it shows, of pieces this long.
    pub fn allowance(piece_len: u32) -> u64 {
        UNFINISHED_PIECES_MAX * u64::from(piece_len) + UNFINISHED_BYTES_MAX
    }

    /// What it took and has nothing to show for; what who took too much shows is not believed.
    pub fn owes(&self, piece_len: u32) -> u64 {
        let shown = match self.record {
            Record::Clean | Record::Probation => u64::from(self.grown) * u64::from(piece_len),
            Record::Overdrawn => 0,
        };
        self.taken.saturating_sub(shown).max(self.again)
    }

    /// It was here before for so many seconds, or its neighbours were.
    pub fn brings(&mut self, owed: u64, here_before: u32, record: Record) {
        (self.taken, self.record) = (owed, record);
        self.minutes_before = u16::try_from(here_before / 60).unwrap_or(u16::MAX);
    }

    /// How long its earlier links lasted, to the minute.
    pub fn here_before(&self) -> Duration {
        Duration::from_secs(60 * u64::from(self.minutes_before))
    }
}

/// When what was last heard and said.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    /// When the link came up.
    pub linked: Instant,
    /// When anything last came from it.
    pub heard: Instant,
    /// When anything was last sent to it.
    pub said: Instant,
    /// When we last choked or unchoked it.
    pub choked: Instant,
}

/// What a message means for the torrent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PeerReport {
    /// Nothing that anybody else need know.
    Nothing,
    /// It chokes us. The requests that die with it are in the pipeline still.
    Choked,
    /// It no longer chokes us.
    Unchoked,
    /// It wants something, or no longer does.
    Interest,
    /// It told all it has at once; `pieces` says what.
    Announced,
    /// It has one piece more.
    Has(PieceIndex),
    /// It has these pieces more.
    HasMore(Vec<PieceIndex>),
    /// It has one piece fewer (BEP 54).
    Lost(PieceIndex),
    /// It asks for a range.
    Request(Block),
    /// It asks for a range although there is no layout yet: a stranger's numbers.
    Unservable(BlockRequest),
    /// It no longer asks for it.
    Cancel(Block),
    /// It will not send what we asked for.
    Rejected(Block),
    /// It allows a piece in spite of a choke; `fast` says which.
    Allowed,
    /// It introduced itself (BEP 10).
    Met,
    /// It wants nothing more, or does again (BEP 21).
    UploadOnly,
    /// It names peers (BEP 11). Strangers' addresses.
    Named(Box<PexMessage>),
    /// It says for the first time where its node of the DHT is (BEP 5). A stranger's port.
    Node(u16),
    /// It asks for a piece of metadata. A stranger's number.
    MetadataRequest(u32),
    /// It will not send a piece of metadata. A stranger's number.
    MetadataReject(u32),
}

impl Peer {
    /// A peer whose link has just come up; `haves_told` is the length of our log of new pieces.
    pub fn new(
        config: &Config,
        layout: &Layout,
        now: Instant,
        link: LinkId,
        terms: Terms,
        haves_told: u64,
    ) -> Peer {
        Peer {
            link,
            terms,
            state: PeerState::default(),
            pieces: RemotePieces::None,
            pipeline: Pipeline::new(layout.block_len(), config.requests_out_max, now),
            uploads: UploadQueue::new(config.requests_in_max),
            sending: Sending::default(),
            fast: Seldom::default(),
            extensions: RemoteExtensions::default(),
            traffic: Traffic::default(),
            clocks: Clocks { linked: now, heard: now, said: now, choked: now },
            conduct: Conduct::new(now),
            metadata: PeerMetadata::default(),
            haves_told,
        }
    }

    /// Says something.
    pub fn send(&mut self, cx: &mut Cx<'_>, message: Message) {
        if !self.state.closing {
            self.clocks.said = cx.now;
            cx.push(Output::Send { link: self.link, message });
        }
    }

    /// Says that a request will not be served, if there is a way to say it (BEP 6).
    pub fn reject(&mut self, cx: &mut Cx<'_>, block: Block) {
        if self.terms.fast {
            self.send(cx, Message::Reject(block.into()));
        }
    }

    /// Takes a place in the uplink's ring, if there is something to send and credit to send it.
    pub fn enlist(&mut self, cx: &mut Cx<'_>, torrent: TorrentId, key: PeerKey) {
        let Some(next) = self.uploads.peek() else { return };
        if !self.sending.enlisted && self.sending.credit.has_room(next.len) {
            self.sending.enlisted = true;
            cx.pool.uplink.enlist(torrent, key);
        }
    }

    /// What the peer said.
    ///
    /// # Errors
    /// The fault, if an honest peer would not have said it.
    pub fn receive(
        &mut self,
        layout: &Layout,
        now: Instant,
        message: Message,
    ) -> Result<PeerReport, PeerMisbehaved> {
        self.conduct.heard(now, &message)?;
        if self.metadata.early.is_some() {
            return self.receive_early(now, message);
        }
        match message {
            Message::KeepAlive | Message::Unknown(_) => Ok(PeerReport::Nothing),
            Message::Port(port) => Ok(self.on_port(port)),
            Message::Choke => Ok(self.on_choke(true)),
            Message::Unchoke => Ok(self.on_choke(false)),
            Message::Interested => Ok(self.on_interest(true)),
            Message::NotInterested => Ok(self.on_interest(false)),
            Message::Have(piece) => self.on_have(layout, now, piece),
            Message::Bitfield(bytes) => {
                let set = Bitfield::from_bytes(&bytes, layout.pieces());
                let set = set.map_err(|_| PeerMisbehaved::BitfieldMalformed)?;
                self.on_announced(layout, now, RemotePieces::from_bitfield(set))
            }
            Message::HaveAll => {
                self.offered_fast().and_then(|()| self.on_announced(layout, now, RemotePieces::All))
            }
            Message::HaveNone => {
                self.offered_fast().and_then(|()| self.on_announced(layout, now, RemotePieces::None))
            }
            Message::Request(request) => {
                self.state.announced = true;
                Ok(PeerReport::Request(checked(layout, request)?))
            }
            Message::Cancel(request) => Ok(PeerReport::Cancel(checked(layout, request)?)),
            Message::Reject(request) => {
                self.offered_fast()?;
                Ok(PeerReport::Rejected(checked(layout, request)?))
            }
            Message::Suggest(piece) => {
                self.offered_fast()?;
                let piece = layout.piece(piece).ok_or(PeerMisbehaved::PieceOutOfRange)?;
                if self.fast.suggested.len() == SUGGESTED_MAX {
                    self.fast.suggested.remove(0);
                }
                self.fast.suggested.push(piece);
                Ok(PeerReport::Nothing)
            }
            Message::AllowedFast(piece) => {
                self.offered_fast()?;
                let piece = layout.piece(piece).ok_or(PeerMisbehaved::PieceOutOfRange)?;
                if self.fast.theirs.len() < FAST_THEIRS_MAX && !self.fast.theirs.contains(&piece) {
                    self.fast.theirs.push(piece);
                }
                Ok(PeerReport::Allowed)
            }
            Message::Extended { id, body } => {
                if !self.terms.extended {
                    return Err(PeerMisbehaved::ExtendedWithoutOffer);
                }
                let report = extension::receive(id, &body)?;
                self.on_extension(layout, now, report)
            }
        }
    }

    /// Heeded once for each link: whoever repeats it, or says another port, makes us ask nobody.
    pub(crate) fn on_port(&mut self, port: u16) -> PeerReport {
        let first = !core::mem::replace(&mut self.state.node_told, true);
        if first && port != 0 { PeerReport::Node(port) } else { PeerReport::Nothing }
    }

    fn on_choke(&mut self, choking: bool) -> PeerReport {
        if core::mem::replace(&mut self.state.peer_choking, choking) == choking {
            return PeerReport::Nothing;
        }
        if choking { PeerReport::Choked } else { PeerReport::Unchoked }
    }

    fn on_interest(&mut self, interested: bool) -> PeerReport {
        if core::mem::replace(&mut self.state.peer_interested, interested) == interested {
            return PeerReport::Nothing;
        }
        PeerReport::Interest
    }

    /// One have. Hot: the driver gathers them, and each comes through here.
    pub fn on_have(
        &mut self,
        layout: &Layout,
        now: Instant,
        piece: u32,
    ) -> Result<PeerReport, PeerMisbehaved> {
        if self.metadata.early.is_some() {
            return self.on_early_have(now, piece);
        }
        let piece = layout.piece(piece).ok_or(PeerMisbehaved::PieceOutOfRange)?;
        self.state.announced = true;
        match self.pieces.insert(piece, layout.pieces()) {
            true => {
                self.traffic.appetite.grew(1);
                Ok(PeerReport::Has(piece))
            }
            // Clients repeat themselves; a flood of it is counted.
            false => self.conduct.repeated(now).map(|()| PeerReport::Nothing),
        }
    }

    /// All it has at once. BEP 3 wants this first of all, but aria2 sends a bitfield instead of many haves at any time: what is
    /// new in it counts.
    fn on_announced(
        &mut self,
        layout: &Layout,
        now: Instant,
        pieces: RemotePieces,
    ) -> Result<PeerReport, PeerMisbehaved> {
        if !core::mem::replace(&mut self.state.announced, true) {
            self.pieces = pieces;
            return Ok(PeerReport::Announced);
        }
        if matches!(pieces, RemotePieces::None) && self.pieces.count(layout.pieces()) > 0 {
            return Err(PeerMisbehaved::BitfieldLate);
        }
        let mut new = Vec::new();
        pieces.each(layout.pieces(), |piece| {
            if !self.pieces.has(piece) {
                new.push(piece);
            }
        });
        self.conduct.announced_again(now, layout.pieces(), new.len())?;
        new.iter().for_each(|&piece| {
            self.pieces.insert(piece, layout.pieces());
        });
        self.traffic.appetite.grew(new.len());
        Ok(if new.is_empty() { PeerReport::Nothing } else { PeerReport::HasMore(new) })
    }

    fn on_extension(
        &mut self,
        layout: &Layout,
        now: Instant,
        report: ExtensionReport,
    ) -> Result<PeerReport, PeerMisbehaved> {
        if let ExtensionReport::DontHave(piece) = report {
            let piece = layout.piece(piece).ok_or(PeerMisbehaved::PieceOutOfRange)?;
            return Ok(if self.pieces.has(piece) { PeerReport::Lost(piece) } else { PeerReport::Nothing });
        }
        self.on_shared_extension(now, report)
    }

    /// What needs no layout to be understood.
    fn on_shared_extension(
        &mut self,
        now: Instant,
        report: ExtensionReport,
    ) -> Result<PeerReport, PeerMisbehaved> {
        Ok(match report {
            ExtensionReport::Handshake(introduction) => {
                let before = self.extensions.upload_only;
                self.extensions.meet(&introduction);
                if let Some(reqq) = introduction.reqq {
                    self.pipeline.set_reqq(reqq);
                }
                let changed = self.extensions.upload_only != before;
                if changed { PeerReport::UploadOnly } else { PeerReport::Met }
            }
            ExtensionReport::UploadOnly(flag) => {
                self.extensions.upload_only = flag;
                PeerReport::UploadOnly
            }
            ExtensionReport::Pex(message) => {
                let read = self.extensions.pex.heard(now)?;
                return Ok(if read { PeerReport::Named(message) } else { PeerReport::Nothing });
            }
            ExtensionReport::MetadataRequest(piece) => PeerReport::MetadataRequest(piece),
            ExtensionReport::MetadataReject(piece) => PeerReport::MetadataReject(piece),
            ExtensionReport::DontHave(_) | ExtensionReport::Unknown => PeerReport::Nothing,
        })
    }

    fn offered_fast(&self) -> Result<(), PeerMisbehaved> {
        if self.terms.fast { Ok(()) } else { Err(PeerMisbehaved::FastWithoutOffer) }
    }
}

impl Traffic {
    /// Payload came.
    pub fn received(&mut self, now: Instant, bytes: u32) {
        self.down.add(now, u64::from(bytes));
    }

    /// Payload left.
    pub fn sent(&mut self, now: Instant, bytes: u32) {
        self.up.add(now, u64::from(bytes));
        self.sent_since_unchoke += u64::from(bytes);
    }
}

impl Peer {
    /// Where others can reach it, as far as we know: where we did, or where it says it listens. With the scope of a link-local one.
    pub fn listens(&self) -> Option<SocketAddr> {
        let mut address = self.terms.remote.get();
        if self.terms.incoming {
            address.set_port(self.extensions.port?);
        }
        Some(address)
    }
}

impl Terms {
    /// What two ends with these reserved bytes can do together.
    pub fn new(remote: SocketAddr, peer_id: PeerId, incoming: bool, theirs: Reserved) -> Terms {
        let (fast, extended) = (theirs.fast(), theirs.extension_protocol());
        Terms { remote: Kept::new(remote), peer_id, incoming, fast, extended, encrypted: false }
    }
}

fn checked(layout: &Layout, request: BlockRequest) -> Result<Block, PeerMisbehaved> {
    let BlockRequest { piece, offset, len } = request;
    layout.range(piece, offset, len).ok_or(PeerMisbehaved::RequestOutOfRange)
}
