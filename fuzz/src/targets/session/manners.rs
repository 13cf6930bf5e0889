//! What a session promises on a link, and to its driver: nothing is said on a link that is not up or was closed; no request
//! while choked but for allowed-fast pieces, none twice, none that no layout has; one answer for a request, none to a choked
//! peer; each payload kept or dropped exactly once, in the call that brought it.

use proto::{Duration, Instant, LinkId, Output, PayloadId, SendToken, TorrentId};
use std::collections::{BTreeMap, BTreeSet};
use wire::message::BlockRequest;
use wire::{Layout, Message};

/// Wishes that one call of `handle` may leave: eight links can be asked for 500 blocks each, and be rejected as many.
const OUTPUTS_MAX: usize = 10_000;

/// Nobody gives up on a request, to make it again, sooner than this.
const PATIENCE_MIN: Duration = Duration::from_secs(2);

/// What was said on one link.
pub(super) struct Link {
    pub(super) torrent: TorrentId,
    pub(super) layout: Layout,
    pub(super) fast: bool,
    pub(super) closing: bool,
    am_choking: bool,
    peer_choking: bool,
    allowed_to_us: BTreeSet<u32>,
    allowed_to_them: BTreeSet<u32>,
    /// Asked of the peer and not answered, and when.
    pub(super) ours: BTreeMap<BlockRequest, Instant>,
    /// Asked by the peer; `true` while on its way.
    theirs: BTreeMap<BlockRequest, bool>,
}

/// All links and what is owed.
#[derive(Default)]
pub(super) struct Manners {
    pub(super) links: BTreeMap<LinkId, Link>,
    pub(super) sending: BTreeMap<SendToken, BlockRequest>,
    parked: BTreeMap<PayloadId, BlockRequest>,
    /// Pieces of metadata on their way out.
    pub(super) metadata: BTreeSet<SendToken>,
}

impl Link {
    pub(super) fn new(torrent: TorrentId, layout: Layout, fast: bool) -> Link {
        Link {
            torrent,
            layout,
            fast,
            closing: false,
            am_choking: true,
            peer_choking: true,
            allowed_to_us: BTreeSet::new(),
            allowed_to_them: BTreeSet::new(),
            ours: BTreeMap::new(),
            theirs: BTreeMap::new(),
        }
    }

    fn say(&mut self, message: &Message, now: Instant) {
        match message {
            Message::Choke => {
                assert!(!self.am_choking, "chokes twice");
                self.am_choking = true;
                if !self.fast {
                    self.theirs.retain(|_, on_its_way| *on_its_way);
                }
            }
            Message::Unchoke => {
                assert!(self.am_choking, "unchokes twice");
                self.am_choking = false;
            }
            Message::Request(request) => self.request(*request, now),
            Message::Reject(request) => {
                assert!(self.fast, "rejects without the fast extension");
                assert_ne!(self.theirs.remove(request), Some(true), "rejects {request:?} on its way");
            }
            Message::AllowedFast(piece) => {
                assert!(self.fast && self.layout.piece(*piece).is_some(), "allows {piece}");
                self.allowed_to_them.insert(*piece);
            }
            Message::HaveAll | Message::HaveNone | Message::Suggest(_) => {
                assert!(self.fast, "{message:?} without the fast extension");
            }
            Message::Cancel(request) => {
                assert!(self.layout.block(request.piece, request.offset, request.len).is_some());
            }
            Message::KeepAlive
            | Message::Interested
            | Message::NotInterested
            | Message::Have(_)
            | Message::Bitfield(_)
            | Message::Port(_)
            | Message::Extended { .. }
            | Message::Unknown(_) => {}
        }
    }

    fn request(&mut self, request: BlockRequest, now: Instant) {
        let BlockRequest { piece, offset, len } = request;
        assert!(self.layout.block(piece, offset, len).is_some(), "asks for {request:?}");
        let allowed = self.allowed_to_us.contains(&piece);
        assert!(!self.peer_choking || allowed, "asks for {request:?} while choked");
        let before = self.ours.insert(request, now);
        let patient = before.is_none_or(|asked| now.since(asked) >= PATIENCE_MIN);
        assert!(patient, "asks for {request:?} twice");
    }

    fn hear(&mut self, message: &Message) {
        match message {
            Message::Choke => {
                self.peer_choking = true;
                if !self.fast {
                    self.ours.clear();
                }
            }
            Message::Unchoke => self.peer_choking = false,
            Message::Request(request) => {
                self.theirs.entry(*request).or_insert(false);
            }
            Message::Cancel(request) => {
                if !self.fast && self.theirs.get(request) == Some(&false) {
                    self.theirs.remove(request);
                }
            }
            Message::Reject(request) => {
                self.ours.remove(request);
            }
            Message::AllowedFast(piece) => {
                self.allowed_to_us.insert(*piece);
            }
            Message::KeepAlive
            | Message::Interested
            | Message::NotInterested
            | Message::Have(_)
            | Message::Bitfield(_)
            | Message::Port(_)
            | Message::Suggest(_)
            | Message::HaveAll
            | Message::HaveNone
            | Message::Extended { .. }
            | Message::Unknown(_) => {}
        }
    }
}

impl Manners {
    /// The peer is about to be heard.
    pub(super) fn hear(&mut self, link: LinkId, message: &Message) {
        if let Some(link) = self.links.get_mut(&link) {
            link.hear(message);
        }
    }

    /// A block is about to be handed in.
    pub(super) fn park(&mut self, link: LinkId, block: BlockRequest, payload: PayloadId) {
        if let Some(link) = self.links.get_mut(&link) {
            link.ours.remove(&block);
        }
        self.parked.insert(payload, block);
    }

    /// A block of a fetch is about to be handed in.
    pub(super) fn park_fetched(&mut self, block: BlockRequest, payload: PayloadId) {
        self.parked.insert(payload, block);
    }

    /// A block that was to be sent was, or was not.
    pub(super) fn answered(&mut self, token: SendToken, sent: bool) {
        let Some(request) = self.sending.remove(&token) else { return };
        let Some(link) = self.links.get_mut(&token.link) else { return };
        if sent || !link.fast {
            link.theirs.remove(&request);
        } else {
            // A reject, or another try, is due.
            link.theirs.insert(request, false);
        }
    }

    /// What one call of `handle` left.
    pub(super) fn judge(&mut self, outputs: &[Output], now: Instant) {
        assert!(outputs.len() <= OUTPUTS_MAX, "{} wishes at once", outputs.len());
        outputs.iter().for_each(|output| self.judge_one(output, now));
        assert!(self.parked.is_empty(), "without a verdict: {:?}", self.parked);
    }

    fn judge_one(&mut self, output: &Output, now: Instant) {
        match output {
            Output::Send { link, message } => self.up(*link).say(message, now),
            Output::Haves { link, pieces } => {
                let layout = &self.up(*link).layout;
                assert!(pieces.iter().all(|piece| layout.piece(piece.0).is_some()));
            }
            Output::SendBlock { token, torrent, block } => {
                let request = BlockRequest::from(*block);
                let link = self.up(token.link);
                assert_eq!(*torrent, link.torrent);
                assert!(link.layout.range(block.piece.0, block.offset, block.len).is_some());
                let allowed = link.allowed_to_them.contains(&block.piece.0);
                assert!(!link.am_choking || allowed, "serves {block:?} to a choked peer");
                let before = link.theirs.insert(request, true);
                assert_eq!(before, Some(false), "serves {block:?}, which is not asked for or on its way");
                assert!(self.sending.insert(*token, request).is_none(), "{token:?} twice");
            }
            Output::SendMetadata { token, torrent, .. } => {
                assert_eq!(*torrent, self.up(token.link).torrent);
                assert!(self.metadata.insert(*token), "{token:?} twice");
            }
            Output::KeepMetadata { payload, piece, .. } => {
                let came_as = self.parked.remove(payload);
                assert_eq!(came_as.map(|came| came.piece), Some(*piece), "keeps {payload:?}");
            }
            Output::Close { link, .. } => self.up(*link).closing = true,
            Output::Keep { payload, block, .. } => {
                let came_as = self.parked.remove(payload);
                assert_eq!(came_as, Some(BlockRequest::from(*block)), "keeps {payload:?}");
            }
            Output::Drop { payload } => {
                assert!(self.parked.remove(payload).is_some(), "drops {payload:?}, which is not parked");
            }
            // Between `Close` and `LinkDown` too: a driver has nothing left to read there.
            Output::PauseReading { link } | Output::ResumeReading { link } => {
                assert!(self.links.contains_key(link), "{link:?} is not up");
            }
            _ => {}
        }
    }

    /// The link, which must be up and not closed.
    fn up(&mut self, link: LinkId) -> &mut Link {
        match self.links.get_mut(&link) {
            Some(up) if !up.closing => up,
            Some(_) => panic!("{link:?} was closed"),
            None => panic!("{link:?} is not up"),
        }
    }
}
