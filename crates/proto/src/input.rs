//! What can happen to a session. Closed: a new variant breaks both drivers at compile time, which is the intent.

use crate::output::CloseReason;
use crate::{
    AnnounceId, Attempt, Command, DialId, Epoch, FetchId, LinkId, PayloadId, Priority, ScrapeId, SendToken,
    TorrentId,
};
use core::net::SocketAddr;
use core::time::Duration;
use std::sync::Arc;
use wire::tracker_udp::ScrapeCounts;
use wire::{Bitfield, Message, Metainfo, PeerId, PieceIndex, Reserved};

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// The time that `next_wake` asked for has come (or any other time: waking early is harmless).
    Wake,
    /// The user wants something.
    Command(Command),

    /// A handshake is complete; the peer's torrent is one of ours.
    LinkUp(LinkUp),
    /// A dial came to nothing.
    DialFailed {
        /// Which one.
        dial: DialId,
        /// Why.
        why: DialFailure,
    },
    /// The last word about a link, whoever closed it. All its tokens and payloads were answered before.
    LinkDown {
        /// Which one.
        link: LinkId,
        /// Who closed it and why.
        why: LinkEnd,
    },
    /// A message that carries no payload.
    Message {
        /// From whom.
        link: LinkId,
        /// What.
        message: Message,
    },
    /// Several have messages in a row from one peer; the driver gathers them so that a burst costs one call.
    Haves {
        /// From whom.
        link: LinkId,
        /// Which; strangers' numbers.
        pieces: &'a [u32],
    },
    /// A whole block arrived and is parked. Answered by exactly one `Keep` or `Drop`. The numbers are a stranger's.
    Block {
        /// From whom.
        link: LinkId,
        /// Piece number, offset and length as the peer named them.
        block: wire::message::BlockRequest,
        /// The parked bytes.
        payload: PayloadId,
    },
    /// A piece of metadata arrived and is parked (BEP 9). Answered by exactly one `KeepMetadata` or `Drop`. The numbers are a
    /// stranger's.
    MetadataPiece {
        /// From whom.
        link: LinkId,
        /// Which piece.
        piece: u32,
        /// How large the whole is, as the message says.
        total: Option<u32>,
        /// Bytes of this piece.
        len: u32,
        /// The parked bytes.
        payload: PayloadId,
    },
    /// Part of a block arrived: payload bytes not yet reported by `Block` or an earlier `Progress`. Makes rates true for slow peers.
    Progress {
        /// From whom.
        link: LinkId,
        /// Bytes.
        bytes: u32,
    },
    /// Bytes that moved over a link but are no block's payload: headers and control messages. For the buckets.
    Overhead {
        /// Over which link.
        link: LinkId,
        /// Bytes received.
        received: u32,
        /// Bytes sent.
        sent: u32,
    },
    /// A block has left for the socket, whole.
    Sent {
        /// Which one.
        token: SendToken,
    },
    /// A block will not leave.
    Unsent {
        /// Which one.
        token: SendToken,
        /// Why.
        why: Unsent,
    },

    /// The storage was looked at.
    Opened {
        /// Whose.
        torrent: TorrentId,
        /// What lies there.
        found: Found,
    },
    /// A check goes on. For display.
    CheckProgress {
        /// Whose.
        torrent: TorrentId,
        /// Pieces hashed so far.
        pieces: u32,
    },
    /// A check ended.
    Checked {
        /// Whose.
        torrent: TorrentId,
        /// Of the pieces asked about, those that are whole and right.
        good: Bitfield,
    },
    /// A piece was hashed.
    Verified {
        /// Whose.
        torrent: TorrentId,
        /// Which.
        piece: PieceIndex,
        /// Which attempt.
        attempt: Attempt,
        /// Whether the hash is right.
        good: bool,
        /// One keyed digest per block, in order, if the piece is bad or digests were asked for.
        digests: Option<Box<[BlockDigest]>>,
    },
    /// A verified piece was handed to the file system.
    Written {
        /// Whose.
        torrent: TorrentId,
        /// Which.
        piece: PieceIndex,
        /// Which attempt.
        attempt: Attempt,
    },
    /// Unverified blocks were handed to the file system and no longer take memory.
    Spilled {
        /// Whose.
        torrent: TorrentId,
        /// Which.
        piece: PieceIndex,
        /// Which attempt.
        attempt: Attempt,
        /// One keyed digest per spilled block, in order, of its bytes in memory, if they were asked for.
        digests: Option<Box<[BlockDigest]>>,
    },
    /// All that was `Written` or `Spilled` before the `Sync` of this epoch was asked for is on stable storage.
    Synced {
        /// Whose.
        torrent: TorrentId,
        /// Which batch.
        epoch: Epoch,
    },
    /// It may not be: what this epoch covers, and what was written since, is in doubt.
    SyncFailed {
        /// Whose.
        torrent: TorrentId,
        /// Which batch.
        epoch: Epoch,
        /// Why.
        error: DiskError,
    },
    /// The resume record of this epoch is on stable storage.
    Committed {
        /// Whose.
        torrent: TorrentId,
        /// Which batch.
        epoch: Epoch,
    },
    /// Storage did not do what was asked. What was asked for the piece, if one is named, was not done.
    StorageFailed {
        /// Whose.
        torrent: TorrentId,
        /// The operation.
        operation: DiskOperation,
        /// Why.
        error: DiskError,
    },
    /// The files are closed, after `Close`: nothing of this torrent is under way any more.
    Closed {
        /// Whose.
        torrent: TorrentId,
    },

    /// The metadata that was assembled has the right hash and is of use.
    MetadataReady {
        /// Whose.
        torrent: TorrentId,
        /// What it says.
        metainfo: Arc<Metainfo>,
        /// One per file; empty means all `Normal`.
        priorities: Box<[Priority]>,
    },
    /// It has not, or is not.
    MetadataFailed {
        /// Whose.
        torrent: TorrentId,
        /// Of which claimed size.
        size: u32,
        /// Why.
        why: MetadataFailure,
    },

    /// A tracker visit ended.
    Announced {
        /// Which one.
        announce: AnnounceId,
        /// What it said.
        outcome: Result<AnnounceReply, AnnounceFailure>,
    },
    /// A tracker was asked for its counts.
    Scraped {
        /// Which question.
        scrape: ScrapeId,
        /// What it said; a stranger's numbers.
        outcome: Result<ScrapeCounts, AnnounceFailure>,
    },
    /// The next block of a fetch came and is parked. Answered by exactly one `Keep` or `Drop`.
    Fetched {
        /// Of which fetch.
        fetch: FetchId,
        /// Which block.
        block: wire::message::BlockRequest,
        /// The parked bytes.
        payload: PayloadId,
    },
    /// A fetch ended: every block of it came, or no more will.
    FetchEnded {
        /// Which one.
        fetch: FetchId,
        /// What kept it from giving everything, if something did.
        outcome: Result<(), FetchFailure>,
    },
    /// Peers from elsewhere: found by DHT or LSD after `FindPeers`, or named by the user or a resume record.
    FoundPeers {
        /// For which torrent.
        torrent: TorrentId,
        /// From where.
        source: PeerSource,
        /// Their addresses.
        peers: &'a [SocketAddr],
    },
}

/// A link after its handshake.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinkUp {
    /// Its name from now on.
    pub link: LinkId,
    /// What it is about.
    pub torrent: TorrentId,
    /// Where the other end is.
    pub remote: SocketAddr,
    /// The dial that this answers; `None` if the peer came to us.
    pub dial: Option<DialId>,
    /// What the peer calls itself.
    pub peer_id: PeerId,
    /// What the peer can do.
    pub reserved: Reserved,
    /// Its handshake was encrypted (MSE), whatever the bytes after it look like.
    pub encrypted: bool,
}

/// Why a dial came to nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DialFailure {
    /// The machine answers, the port does not.
    Refused,
    /// Nothing answers.
    TimedOut,
    /// There is no way there from here.
    Unreachable,
    /// Something answers, but not as a peer of this torrent.
    Handshake,
    /// Our own limits, or `door`, did not let it start; no fault of the candidate.
    NotTried,
}

/// How a link ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LinkEnd {
    /// We asked for it.
    Closed(CloseReason),
    /// The peer closed it in order.
    ByPeer,
    /// It broke: reset, unreachable, timed out in the kernel.
    Broken,
    /// The bytes were no messages: the framing cannot be trusted any more.
    Malformed,
}

/// Why a block was not sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Unsent {
    /// `Unsend` came in time.
    Recalled,
    /// The link ended first.
    LinkDown,
    /// The block could not be read.
    Disk(DiskError),
}

/// Why assembled metadata is not taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MetadataFailure {
    /// It is not what the info-hash names: somebody lied.
    WrongHash,
    /// It is, but the torrent cannot be used. Text for the user.
    Unusable(Box<str>),
    /// It is, and could be used, but its content is not begun: something on our side stands against it.
    Refused {
        /// What.
        refusal: Refusal,
        /// Text for the user.
        why: Box<str>,
    },
}

/// What on our side stands against a content that has just become known. No peer is to blame, and the torrent is sound.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Refusal {
    /// Whoever was to choose among its files did not: what the user asked for is not in it.
    Choice,
    /// Another torrent has a file of the same path.
    Place,
    /// There is no room for it on the disk, or the file system cannot hold its files.
    Room,
    /// The state store cannot be used.
    State,
}

/// What the storage holds, compared with the resume record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Found {
    /// Nothing, or nothing but empty space of ours.
    Nothing,
    /// What the record says: sizes and times fit, and so does a sample of the pieces; not all of them were read.
    AsRecorded,
    /// Data that no record vouches for, or that changed behind us: these pieces must be hashed before anyone trusts them.
    Doubtful(Bitfield),
}

/// What the disk was doing when it failed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DiskOperation {
    /// `Open`.
    Open,
    /// `Check`.
    Check,
    /// `Verify`: reading spilled blocks back.
    Verify(PieceIndex, Attempt),
    /// `Write`.
    Write(PieceIndex, Attempt),
    /// `Spill`.
    Spill(PieceIndex, Attempt),
    /// `Commit`.
    Commit(Epoch),
}

/// A fault of the disk, never of a peer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DiskError {
    /// What kind; decides what the session does.
    pub kind: DiskErrorKind,
    /// What the user should read: which file, which error.
    pub detail: Arc<str>,
}

/// Kinds of disk faults.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DiskErrorKind {
    /// No space, or over quota. Helps itself when someone makes room.
    Full,
    /// Mounted read-only.
    ReadOnly,
    /// Not ours to read or write.
    Denied,
    /// The root folder is absent: an unplugged drive, a late mount.
    Vanished,
    /// A file is shorter than it was, absent or replaced.
    Changed,
    /// Too many open files.
    TooManyOpen,
    /// The device answers with errors.
    Io,
    /// The file system cannot hold such a file: too large, name too long.
    Unsupported,
}

/// A keyed 128-bit digest of one block, for blame. The key is the session's; the peer cannot know it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct BlockDigest(pub [u8; 16]);

/// Where we learnt of a peer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum PeerSource {
    /// The user named it.
    User,
    /// A tracker.
    Tracker,
    /// It came to us.
    Incoming,
    /// A resume record.
    Resume,
    /// Local service discovery (BEP 14).
    Lsd,
    /// The DHT (BEP 5).
    Dht,
    /// Another peer (BEP 11).
    Pex,
}

/// Why a web server did not give all that it was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FetchFailure {
    /// What kind; decides what the session does.
    pub fault: FetchFault,
    /// What the user should read. May quote the server: a stranger's text.
    pub detail: Box<str>,
}

/// Kinds of faults of web servers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FetchFault {
    /// `CancelFetch` came in time.
    Cancelled,
    /// No connection, or it broke, or nothing came for too long.
    Unreachable,
    /// It would rather not serve us now, and may say when to come again.
    Busy(Option<Duration>),
    /// It does not have this file of the layout, or not in this length. It may have others.
    Absent(u32),
    /// It will not serve us.
    Refused,
    /// What it says is not what BEP 19 wants: no ranges, other ranges, packed, too much or too little.
    Nonsense,
    /// We do not go there: the URL is none, or leads where it must not (SSRF rules).
    Forbidden,
}

/// What a tracker said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AnnounceReply {
    /// When to come again.
    pub interval: Duration,
    /// How soon to come again at the earliest.
    pub min_interval: Option<Duration>,
    /// Peers; strangers' addresses.
    pub peers: Vec<SocketAddr>,
    /// Seeds, if it says.
    pub complete: Option<u32>,
    /// Leechers, if it says.
    pub incomplete: Option<u32>,
    /// To be sent back with the next visit.
    pub tracker_id: Option<Box<str>>,
    /// Our own address as the tracker sees it (BEP 24).
    pub external_ip: Option<core::net::IpAddr>,
    /// A warning for the user; a stranger's text.
    pub warning: Option<Box<str>>,
}

/// Why a tracker visit failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AnnounceFailure {
    /// The tracker said no. `retry` is BEP 31: when to come again, or never (`Some(None)`).
    Refused {
        /// Its words; a stranger's text.
        reason: Box<str>,
        /// BEP 31.
        retry: Option<Option<Duration>>,
    },
    /// No answer, or no sense in it. Text for the user.
    Unreachable(Box<str>),
    /// We do not go there: the URL is no tracker's, or leads where it must not (SSRF rules).
    Forbidden(Box<str>),
}
