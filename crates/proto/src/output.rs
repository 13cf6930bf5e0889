//! What a session wants done. Closed, like [`crate::Input`]. A driver performs outputs in order.

use crate::{
    AnnounceId, Attempt, BlockSet, DialId, Epoch, Event, FetchId, LinkId, PayloadId, PeerMisbehaved,
};
use crate::{ResumeRecord, ScrapeId, SendToken, TorrentId};
use core::net::SocketAddr;
use std::sync::Arc;
use wire::{Bitfield, Block, InfoHash, Message, PieceIndex};

pub use wire::announce::AnnounceEvent;

/// What a session heard of a peer that it wants to reach. The plan for it is `door`'s.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct DialHints {
    /// One connection attempt and no more, whatever comes of it: a stranger named it, and it never shook hands with us, so it may
    /// be a victim (C10).
    pub once: bool,
    /// Somebody said that it prefers encryption (BEP 11).
    pub encrypted: bool,
}

/// Where outputs go; the driver drains it after each `handle`.
#[derive(Default, Debug)]
pub struct Outbox {
    items: Vec<Output>,
}

impl Outbox {
    /// An empty one.
    pub fn new() -> Outbox {
        Outbox::default()
    }

    /// Appends a wish.
    pub fn push(&mut self, output: Output) {
        self.items.push(output);
    }

    /// Takes all wishes out, in order; the room stays for the next round.
    pub fn drain(&mut self) -> impl Iterator<Item = Output> + '_ {
        self.items.drain(..)
    }

    /// The wishes so far.
    pub fn as_slice(&self) -> &[Output] {
        &self.items
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

/// One thing to be done.
#[derive(Clone, Debug)]
pub enum Output {
    /// Reach this peer, by `door`'s plan, and shake hands. Ends in one `LinkUp` that bears the dial, or one `DialFailed`.
    Dial {
        /// Its name.
        dial: DialId,
        /// Where.
        remote: SocketAddr,
        /// What the session heard of it.
        hints: DialHints,
    },
    /// End this link. `LinkDown` follows.
    Close {
        /// Which.
        link: LinkId,
        /// Why.
        why: CloseReason,
    },
    /// Send a message. Overtakes blocks not yet committed to the socket.
    Send {
        /// To whom.
        link: LinkId,
        /// What.
        message: Message,
    },
    /// Send a have message for each of these pieces.
    Haves {
        /// To whom.
        link: LinkId,
        /// Shared between the peers that lack the same news.
        pieces: Arc<[PieceIndex]>,
    },
    /// Read a block (from buffers or disk) and send it. Ends in exactly one `Sent` or `Unsent`.
    SendBlock {
        /// Its name; names the link.
        token: SendToken,
        /// Whose content.
        torrent: TorrentId,
        /// Which range.
        block: Block,
    },
    /// A wish: do not send it, if it is not on its way yet.
    Unsend {
        /// Which.
        token: SendToken,
    },
    /// Stop reading from a link: its allowance is spent.
    PauseReading {
        /// Which.
        link: LinkId,
    },
    /// Go on reading.
    ResumeReading {
        /// Which.
        link: LinkId,
    },

    /// The parked payload is this block of this torrent: hold it in the piece's buffer.
    Keep {
        /// Which payload.
        payload: PayloadId,
        /// Whose content.
        torrent: TorrentId,
        /// Which block.
        block: Block,
    },
    /// The parked payload is of no use.
    Drop {
        /// Which payload.
        payload: PayloadId,
    },

    /// The parked payload is this piece of metadata: hold it, apart from those of other sizes.
    KeepMetadata {
        /// Which payload.
        payload: PayloadId,
        /// Whose metadata.
        torrent: TorrentId,
        /// Of which claimed size.
        size: u32,
        /// Which piece.
        piece: u32,
    },
    /// All pieces of this size are here: put them together, hash and read them, and if all is well make them durable. Ends
    /// in `MetadataReady` or `MetadataFailed`.
    AssembleMetadata {
        /// Whose.
        torrent: TorrentId,
        /// Of which claimed size.
        size: u32,
    },
    /// Forget all pieces of this size. No answer.
    DiscardMetadata {
        /// Whose.
        torrent: TorrentId,
        /// Of which claimed size.
        size: u32,
    },
    /// Send a piece of our metadata (BEP 9). Ends in exactly one `Sent` or `Unsent`.
    SendMetadata {
        /// Its name; names the link.
        token: SendToken,
        /// Whose metadata.
        torrent: TorrentId,
        /// The peer's id for these messages.
        id: u8,
        /// Which piece.
        piece: u32,
    },

    /// Look at what is on disk, compared with the resume record that came with `Add`. Ends in `Opened` or `StorageFailed`.
    Open {
        /// Whose.
        torrent: TorrentId,
        /// Which files are wanted, for allocation: per piece.
        wanted: Bitfield,
    },
    /// Hash these pieces as they lie on disk, on all cores. Ends in `Checked` or `StorageFailed`.
    Check {
        /// Whose.
        torrent: TorrentId,
        /// Which.
        pieces: Bitfield,
    },
    /// Hash a piece: all its blocks are kept or spilled. Ends in `Verified` or `StorageFailed`.
    Verify {
        /// Whose.
        torrent: TorrentId,
        /// Which.
        piece: PieceIndex,
        /// Which attempt.
        attempt: Attempt,
        /// Key for the block digests, which a bad piece always returns.
        key: [u8; 16],
        /// Return digests of a good piece too: an earlier attempt was bad.
        digests: bool,
    },
    /// Put a verified piece where it belongs. It stays readable all the time. Ends in `Written` or `StorageFailed`.
    Write {
        /// Whose.
        torrent: TorrentId,
        /// Which.
        piece: PieceIndex,
        /// Which attempt.
        attempt: Attempt,
    },
    /// Move these unverified blocks out of memory: to the part store, or in place where we created the region. Ends in `Spilled` or `StorageFailed`.
    Spill {
        /// Whose.
        torrent: TorrentId,
        /// Which.
        piece: PieceIndex,
        /// Which attempt.
        attempt: Attempt,
        /// Which blocks.
        blocks: BlockSet,
        /// Return a digest of each, as it is in memory, under this key: pieces were bad, and it is to be known whether by the disk.
        key: Option<[u8; 16]>,
    },
    /// Forget all blocks of this attempt, in memory and spilled. No answer.
    Discard {
        /// Whose.
        torrent: TorrentId,
        /// Which.
        piece: PieceIndex,
        /// Which attempt.
        attempt: Attempt,
    },
    /// Make everything written and spilled so far durable. Ends in `Synced` or `SyncFailed`.
    Sync {
        /// Whose.
        torrent: TorrentId,
        /// Which batch.
        epoch: Epoch,
    },
    /// Make this record durable. Ends in `Committed` or `StorageFailed`.
    Commit {
        /// Whose.
        torrent: TorrentId,
        /// Which batch.
        epoch: Epoch,
        /// What to remember.
        record: Box<ResumeRecord>,
    },
    /// The wanted pieces changed: files may have to be created, or left alone.
    Want {
        /// Whose.
        torrent: TorrentId,
        /// Which are wanted now.
        wanted: Bitfield,
    },
    /// Close the files, when all that was asked for is done. Ends in `Closed`.
    CloseStorage {
        /// Whose.
        torrent: TorrentId,
    },

    /// Visit a tracker. Ends in `Announced`.
    Announce(Box<Announce>),
    /// Ask a tracker how many take part (BEP 48, 15). Ends in `Scraped`.
    Scrape(Scrape),
    /// Fetch a range of the content from a web server (BEP 19). Ends in `FetchEnded`, after one `Fetched` for each block that
    /// came, in order.
    Fetch(Box<Fetch>),
    /// No more of this fetch is wanted. `FetchEnded` follows all the same.
    CancelFetch {
        /// Which.
        fetch: FetchId,
    },
    /// Stop reading a fetch: the allowance is spent.
    PauseFetch {
        /// Which.
        fetch: FetchId,
    },
    /// Go on reading it.
    ResumeFetch {
        /// Which.
        fetch: FetchId,
    },
    /// From now on, look for peers of this torrent and let it be found, wherever the driver can (DHT, LSD): until `StopFinding`.
    /// Said again when something of it changes, and when the user wants to ask now. Never said of a private torrent (BEP 27).
    /// Answers come as `FoundPeers`.
    FindPeers {
        /// For which torrent.
        torrent: TorrentId,
        /// Its name in the world.
        info_hash: InfoHash,
        /// What is wanted.
        need: Need,
    },
    /// No longer: it stopped, or turned out to be private. What was announced runs out by itself.
    StopFinding {
        /// Which torrent.
        torrent: TorrentId,
        /// Its name in the world.
        info_hash: InfoHash,
    },
    /// There is a node of the DHT, or so the peer says whose address this is (BEP 5). Never said for a private torrent. No answer.
    MeetNode(SocketAddr),

    /// Tell the user.
    Event(Event),
}

/// What a torrent wants of those who find peers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Need {
    /// It has everything: it is announced as a seed where that can be said (BEP 33), and seeds are of no use to it.
    pub seed: bool,
    /// It lacks something, is linked with nobody and knows nobody to dial soon: searching is worth more than usual.
    pub hungry: bool,
}

/// A visit to a tracker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Announce {
    /// Its name.
    pub announce: AnnounceId,
    /// Index into the torrent's trackers, all tiers in order.
    pub tracker: u16,
    /// The tracker's URL.
    pub url: Arc<str>,
    /// What this visit says.
    pub event: AnnounceEvent,
    /// Payload bytes sent since `Started`.
    pub uploaded: u64,
    /// Payload bytes received since `Started`.
    pub downloaded: u64,
    /// Bytes still wanted.
    pub left: u64,
    /// How many peers we would like.
    pub want: u32,
    /// Stays the same while our address changes (BEP 7 `key`).
    pub key: u32,
    /// What the tracker gave us last time.
    pub tracker_id: Option<Box<str>>,
}

/// A question to a tracker for its counts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scrape {
    /// Its name.
    pub scrape: ScrapeId,
    /// Index into the torrent's trackers, all tiers in order.
    pub tracker: u16,
    /// The tracker's URL for announces; over HTTP the one to ask is made of it (BEP 48).
    pub url: Arc<str>,
}

/// A range to be fetched from a web server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fetch {
    /// Its name.
    pub fetch: FetchId,
    /// The web seed's URL, as the torrent has it; a stranger's text.
    pub url: Arc<str>,
    /// Bytes of the content: whole blocks, beside one another.
    pub range: core::ops::Range<u64>,
}

/// Why we close a link.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CloseReason {
    /// It broke the protocol.
    Misbehaved(PeerMisbehaved),
    /// It is ourselves.
    Ourselves,
    /// We have another link to the same peer.
    Duplicate,
    /// Its address is banned, or in disgrace for a while.
    Banned,
    /// Too many links, and others serve us better.
    Limit,
    /// Neither of us has anything for the other.
    Useless,
    /// Nothing came for too long.
    Idle,
    /// The torrent is paused, failed or removed.
    TorrentStopped,
    /// It went of its own accord, or the link broke; see `LinkEnd`.
    Gone,
}
