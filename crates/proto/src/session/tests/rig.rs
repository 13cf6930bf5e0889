//! One session with scripted peers and a scripted disk: tests say what happens and look at what is wished for.

use super::toy::metainfo;
use crate::command::SeedGoal;
use crate::config::{SeedPolicy, SuperSeeding};
use crate::event::Event;
use crate::input::{DiskErrorKind, Found, LinkUp};
use crate::output::CloseReason;
use crate::stats::{PeerStats, TorrentStats};
use crate::{
    AddMagnet, AddTorrent, Attempt, Command, Config, DiskError, Duration, Epoch, Input, Instant, LinkId,
};
use crate::{Outbox, Output, PayloadId, PeerMisbehaved, ResumeRecord, Seed, SendToken, Session, TorrentId};
use core::net::SocketAddr;
use std::sync::Arc;
use wire::message::BlockRequest;
use wire::metadata::metadata_piece_len;
use wire::{Bitfield, Block, Message, Metainfo, PeerId, PieceIndex, Reserved};

pub(super) const ID: TorrentId = TorrentId { slot: 1, generation: 1 };
/// A peer that speaks neither BEP 6 nor BEP 10.
pub(super) const PLAIN: Reserved = Reserved([0; 8]);

pub(super) struct Rig {
    pub(super) session: Session,
    pub(super) now: Instant,
    pub(super) metainfo: Arc<Metainfo>,
    outbox: Outbox,
    /// What was wished for and not looked at yet.
    pub(super) wishes: Vec<Output>,
    links: u32,
    payloads: u32,
}

/// What became of a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    Kept,
    Dropped,
}

impl Rig {
    /// A session with one torrent of so many pieces that has nothing yet and is active.
    pub(super) fn leech(pieces: u32, piece_len: u32) -> Rig {
        let mut rig = Rig::opening(pieces, piece_len, None);
        rig.feed(Input::Opened { torrent: ID, found: Found::Nothing });
        rig
    }

    /// The same for a content of the caller's making.
    pub(super) fn leech_of(metainfo: Arc<Metainfo>) -> Rig {
        let mut rig = Rig::adding(metainfo, None);
        rig.feed(Input::Opened { torrent: ID, found: Found::Nothing });
        rig
    }

    /// The same with everything there.
    pub(super) fn seed(pieces: u32, piece_len: u32) -> Rig {
        let mut rig = Rig::opening(pieces, piece_len, Some(full(pieces)));
        rig.feed(Input::Opened { torrent: ID, found: Found::AsRecorded });
        rig
    }

    /// The same, showing pieces one by one.
    pub(super) fn super_seed(pieces: u32, piece_len: u32) -> Rig {
        let (metainfo, mode) = (metainfo(pieces, piece_len), SuperSeeding::Always);
        let mut rig = Rig::adding_as(metainfo, Some(full(pieces)), mode);
        rig.feed(Input::Opened { torrent: ID, found: Found::AsRecorded });
        rig
    }

    /// A session whose torrent waits for its storage.
    pub(super) fn opening(pieces: u32, piece_len: u32, resume: Option<ResumeRecord>) -> Rig {
        Rig::adding(metainfo(pieces, piece_len), resume)
    }

    /// A session that knows the hash of this content alone.
    pub(super) fn magnet(metainfo: Arc<Metainfo>) -> Rig {
        let info_hash = metainfo.info_hash;
        let mut rig = Rig::idle(metainfo, SuperSeeding::Never);
        let add = AddMagnet {
            torrent: ID,
            info_hash,
            trackers: Vec::new(),
            sequential: false,
            paused: false,
            peers: Vec::new(),
            seed_goal: SeedGoal::default(),
        };
        rig.feed(Input::Command(Command::AddMagnet(Box::new(add))));
        rig
    }

    /// A session whose torrent waits for its storage and that serves by this policy once it has everything.
    pub(super) fn serving(metainfo: Arc<Metainfo>, record: ResumeRecord, policy: SeedPolicy) -> Rig {
        let mut rig = Rig::idle_as(metainfo, SuperSeeding::Never, policy);
        rig.add(ID, Some(record));
        rig
    }

    fn adding(metainfo: Arc<Metainfo>, resume: Option<ResumeRecord>) -> Rig {
        // A seed of these tests serves whatever it has; the other way is tried in whole swarms (sim/tests/super_seeding.rs).
        Rig::adding_as(metainfo, resume, SuperSeeding::Never)
    }

    fn adding_as(metainfo: Arc<Metainfo>, resume: Option<ResumeRecord>, mode: SuperSeeding) -> Rig {
        let mut rig = Rig::idle(metainfo, mode);
        rig.add(ID, resume);
        rig
    }

    /// A session without torrents.
    fn idle(metainfo: Arc<Metainfo>, mode: SuperSeeding) -> Rig {
        Rig::idle_as(metainfo, mode, SeedPolicy::default())
    }

    fn idle_as(metainfo: Arc<Metainfo>, mode: SuperSeeding, policy: SeedPolicy) -> Rig {
        let mut config = Config::new(PeerId(*b"-GN0100-ourselves---"));
        config.random_first_pieces = 0;
        config.super_seeding = mode;
        config.seed_policy = policy;
        let now = Instant::from_micros(5_000_000);
        Rig {
            session: Session::new(Arc::new(config), Seed(42), now),
            now,
            metainfo,
            outbox: Outbox::new(),
            wishes: Vec::new(),
            links: 0,
            payloads: 0,
        }
    }

    /// Another torrent of the same content.
    pub(super) fn add(&mut self, torrent: TorrentId, resume: Option<ResumeRecord>) {
        let add = AddTorrent {
            torrent,
            metainfo: Arc::clone(&self.metainfo),
            resume,
            priorities: Box::default(),
            sequential: true,
            paused: false,
            peers: Vec::new(),
            seed_goal: SeedGoal::default(),
        };
        self.feed(Input::Command(Command::Add(Box::new(add))));
    }

    pub(super) fn feed(&mut self, input: Input<'_>) {
        self.session.handle(self.now, input, &mut self.outbox);
        self.wishes.extend(self.outbox.drain());
    }

    /// Lets time pass, waking the session whenever it asks.
    pub(super) fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        let mut spins = 0;
        while let Some(at) = self.session.next_wake().filter(|&at| at <= end) {
            spins = if at <= self.now { spins + 1 } else { 0 };
            assert!(spins < 1_000, "woken for nothing at {:?}", self.now);
            self.now = self.now.max(at);
            self.feed(Input::Wake);
        }
        self.now = end;
    }

    /// A link to a new peer at an address of its own.
    pub(super) fn link(&mut self, reserved: Reserved) -> LinkId {
        let at = self.links + 1;
        self.link_from(SocketAddr::from(([80, 1, (at / 250) as u8, (at % 250) as u8 + 1], 6881)), reserved)
    }

    pub(super) fn link_from(&mut self, remote: SocketAddr, reserved: Reserved) -> LinkId {
        self.links += 1;
        let mut peer_id = *b"-XX0000-000000000000";
        peer_id[16..].copy_from_slice(&self.links.to_be_bytes());
        self.link_as(remote, PeerId(peer_id), reserved)
    }

    pub(super) fn link_as(&mut self, remote: SocketAddr, peer_id: PeerId, reserved: Reserved) -> LinkId {
        self.link_in(ID, remote, peer_id, reserved)
    }

    /// A link to a new peer of this torrent.
    pub(super) fn link_in(
        &mut self,
        torrent: TorrentId,
        remote: SocketAddr,
        peer_id: PeerId,
        reserved: Reserved,
    ) -> LinkId {
        self.links += 1;
        let link = LinkId { slot: self.links, generation: 7 };
        self.feed(Input::LinkUp(LinkUp {
            link,
            torrent,
            remote,
            dial: None,
            peer_id,
            reserved,
            encrypted: false,
        }));
        link
    }

    /// A link to a new peer, with an encrypted handshake.
    pub(super) fn encrypted_link_from(&mut self, remote: SocketAddr, reserved: Reserved) -> LinkId {
        self.links += 1;
        let link = LinkId { slot: self.links, generation: 7 };
        let (peer_id, dial) = (PeerId([self.links as u8; 20]), None);
        let up = LinkUp { link, torrent: ID, remote, dial, peer_id, reserved, encrypted: true };
        self.feed(Input::LinkUp(up));
        link
    }

    /// A peer that has everything and serves us.
    pub(super) fn source(&mut self, reserved: Reserved) -> LinkId {
        let link = self.link(reserved);
        self.say(link, Message::Bitfield(Bitfield::full(self.metainfo.layout.pieces()).to_bytes().into()));
        self.say(link, Message::Unchoke);
        link
    }

    /// A peer that has nothing, wants something and is served.
    pub(super) fn taker(&mut self, reserved: Reserved) -> LinkId {
        let link = self.link(reserved);
        self.say(link, Message::Interested);
        self.pass(Duration::from_secs(2));
        assert!(self.sent(link).contains(&Message::Unchoke), "{:?}", self.wishes);
        link
    }

    pub(super) fn say(&mut self, link: LinkId, message: Message) {
        self.feed(Input::Message { link, message });
    }

    /// A block comes; says what became of it.
    pub(super) fn block(&mut self, link: LinkId, block: BlockRequest) -> Fate {
        self.payloads += 1;
        let payload = PayloadId { slot: self.payloads, generation: 0 };
        let before = self.wishes.len();
        self.feed(Input::Block { link, block, payload });
        let fates: Vec<Fate> = self.wishes[before..]
            .iter()
            .filter_map(|wish| match wish {
                Output::Keep { payload: kept, .. } if *kept == payload => Some(Fate::Kept),
                Output::Drop { payload: dropped } if *dropped == payload => Some(Fate::Dropped),
                _ => None,
            })
            .collect();
        assert_eq!(fates.len(), 1, "a payload has exactly one fate: {fates:?}");
        fates[0]
    }

    /// A piece of metadata comes; says whether it was kept, and as one of which size.
    pub(super) fn metadata(&mut self, link: LinkId, piece: u32, total: u32) -> Option<u32> {
        self.payloads += 1;
        let payload = PayloadId { slot: self.payloads, generation: 0 };
        let before = self.wishes.len();
        let len = metadata_piece_len(total, piece).expect("a piece of it");
        self.feed(Input::MetadataPiece { link, piece, total: Some(total), len, payload });
        let fates: Vec<Option<u32>> = self.wishes[before..]
            .iter()
            .filter_map(|wish| match wish {
                Output::KeepMetadata { payload: kept, size, .. } if *kept == payload => Some(Some(*size)),
                Output::Drop { payload: dropped } if *dropped == payload => Some(None),
                _ => None,
            })
            .collect();
        assert_eq!(fates.len(), 1, "a payload has exactly one fate: {fates:?}");
        fates[0]
    }

    /// Delivers everything that was asked of a peer until it is asked for nothing more; says how many blocks were kept.
    pub(super) fn deliver(&mut self, link: LinkId) -> u32 {
        let mut kept = 0;
        loop {
            let requests = self.take_requests(link);
            if requests.is_empty() {
                return kept;
            }
            for request in requests {
                kept += u32::from(self.block(link, request) == Fate::Kept);
            }
        }
    }

    /// What a peer was sent and nobody looked at yet.
    pub(super) fn sent(&self, link: LinkId) -> Vec<Message> {
        let to = |wish: &Output| match wish {
            Output::Send { link: to, message } if *to == link => Some(message.clone()),
            _ => None,
        };
        self.wishes.iter().filter_map(to).collect()
    }

    /// The requests among it; they are not shown again.
    pub(super) fn take_requests(&mut self, link: LinkId) -> Vec<BlockRequest> {
        let mut requests = Vec::new();
        self.wishes.retain(|wish| match wish {
            Output::Send { link: to, message: Message::Request(request) } if *to == link => {
                requests.push(*request);
                false
            }
            _ => true,
        });
        requests
    }

    /// Why a link was closed, if it was.
    pub(super) fn closed(&self, link: LinkId) -> Option<CloseReason> {
        self.wishes.iter().find_map(|wish| match wish {
            Output::Close { link: closed, why } if *closed == link => Some(*why),
            _ => None,
        })
    }

    pub(super) fn fault(&self, link: LinkId) -> Option<PeerMisbehaved> {
        match self.closed(link)? {
            CloseReason::Misbehaved(fault) => Some(fault),
            other => panic!("closed for {other:?}"),
        }
    }

    /// The blocks on their way out.
    pub(super) fn take_sends(&mut self) -> Vec<(SendToken, Block)> {
        let mut sends = Vec::new();
        self.wishes.retain(|wish| match wish {
            Output::SendBlock { token, block, .. } => {
                sends.push((*token, *block));
                false
            }
            _ => true,
        });
        sends
    }

    /// Those to one peer.
    pub(super) fn take_sends_of(&mut self, link: LinkId) -> Vec<(SendToken, Block)> {
        let to = |wish: &Output| matches!(wish, Output::SendBlock { token, .. } if token.link == link);
        let sends = self.wishes.extract_if(.., |wish| to(wish));
        sends
            .filter_map(|wish| match wish {
                Output::SendBlock { token, block, .. } => Some((token, block)),
                _ => None,
            })
            .collect()
    }

    pub(super) fn take_verify(&mut self) -> Option<(PieceIndex, Attempt)> {
        self.take(|wish| match wish {
            Output::Verify { piece, attempt, .. } => Some((*piece, *attempt)),
            _ => None,
        })
    }

    pub(super) fn take_write(&mut self) -> Option<(PieceIndex, Attempt)> {
        self.take(|wish| match wish {
            Output::Write { piece, attempt, .. } => Some((*piece, *attempt)),
            _ => None,
        })
    }

    pub(super) fn take_spill(&mut self) -> Option<(PieceIndex, Attempt, u32)> {
        self.take(|wish| match wish {
            Output::Spill { piece, attempt, blocks, .. } => Some((*piece, *attempt, blocks.count())),
            _ => None,
        })
    }

    pub(super) fn take_sync(&mut self) -> Option<Epoch> {
        self.take(|wish| match wish {
            Output::Sync { epoch, .. } => Some(*epoch),
            _ => None,
        })
    }

    pub(super) fn take_commit(&mut self) -> Option<(Epoch, ResumeRecord)> {
        self.take(|wish| match wish {
            Output::Commit { epoch, record, .. } => Some((*epoch, (**record).clone())),
            _ => None,
        })
    }

    /// The first wish of a kind; it is not shown again.
    pub(super) fn take<T>(&mut self, pick: impl Fn(&Output) -> Option<T>) -> Option<T> {
        let at = self.wishes.iter().position(|wish| pick(wish).is_some())?;
        pick(&self.wishes.remove(at))
    }

    pub(super) fn told(&self, event: &Event) -> bool {
        self.wishes.iter().any(|wish| matches!(wish, Output::Event(told) if told == event))
    }

    pub(super) fn verified(&mut self, (piece, attempt): (PieceIndex, Attempt), good: bool) {
        self.feed(Input::Verified { torrent: ID, piece, attempt, good, digests: None });
    }

    pub(super) fn written(&mut self, (piece, attempt): (PieceIndex, Attempt)) {
        self.feed(Input::Written { torrent: ID, piece, attempt });
    }

    /// The disk does at once whatever it was and is asked, until it is asked nothing more.
    pub(super) fn run_disk(&mut self) {
        loop {
            if let Some(verify) = self.take_verify() {
                self.verified(verify, true);
            } else if let Some(write) = self.take_write() {
                self.written(write);
            } else if let Some((piece, attempt, _)) = self.take_spill() {
                self.feed(Input::Spilled { torrent: ID, piece, attempt, digests: None });
            } else if let Some(epoch) = self.take_sync() {
                self.feed(Input::Synced { torrent: ID, epoch });
            } else if let Some((epoch, _)) = self.take_commit() {
                self.feed(Input::Committed { torrent: ID, epoch });
            } else {
                return;
            }
        }
    }

    pub(super) fn stats(&self) -> TorrentStats {
        self.session.torrent(ID).expect("the torrent is here")
    }

    pub(super) fn peer(&self, link: LinkId) -> PeerStats {
        self.session.peers(ID).into_iter().find(|peer| peer.link == link).expect("the peer is here")
    }
}

pub(super) fn full(pieces: u32) -> ResumeRecord {
    ResumeRecord { have: Bitfield::full(pieces), open: Vec::new(), uploaded: 0, downloaded: 0 }
}

pub(super) fn error(kind: DiskErrorKind) -> DiskError {
    DiskError { kind, detail: "by the test".into() }
}
