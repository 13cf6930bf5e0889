//! The values inside inputs, as bytes. One list per type; the tags are the format and are never given a second meaning.

use super::TraceError;
use super::code::{Put, Source, Take, code, put, take};
use crate::command::{AddMagnet, AddTorrent, Command, Lease, Priority, SeedGoal};
use crate::config::{Config, SeedPolicy, SuperSeeding};
use crate::input::{
    AnnounceFailure, AnnounceReply, BlockDigest, DialFailure, DiskError, DiskErrorKind, DiskOperation,
    FetchFailure, FetchFault, Found, LinkEnd, LinkUp, MetadataFailure, PeerSource, Refusal, Unsent,
};
use crate::output::{CloseReason, DialHints};
use crate::resume::{OpenRecord, ResumeRecord};
use crate::{
    AnnounceId, Attempt, BlockSet, DialId, Duration, Epoch, FetchId, Instant, LinkId, PayloadId,
    PeerMisbehaved, ScrapeId, Seed, SendToken, TorrentId,
};
use wire::layout::FileLen;
use wire::message::BlockRequest;
use wire::tracker_udp::ScrapeCounts;
use wire::{Bitfield, InfoHash, Layout, Message, Metainfo, PeerId, PieceIndex, Reserved};

code! { struct TorrentId { slot, generation } }
code! { struct LinkId { slot, generation } }
code! { struct PayloadId { slot, generation } }
code! { struct DialId { torrent, sequence } }
code! { struct SendToken { link, sequence } }
code! { struct AnnounceId { torrent, sequence } }
code! { struct ScrapeId { torrent, sequence } }
code! { struct FetchId { torrent, sequence } }
code! { struct Attempt(number) }
code! { struct Epoch(number) }
code! { struct Seed(number) }
code! { struct PieceIndex(number) }
code! { struct PeerId(bytes) }
code! { struct InfoHash(bytes) }
code! { struct Reserved(bytes) }
code! { struct BlockDigest(bytes) }
code! { struct BlockRequest { piece, offset, len } }

code! { struct Config {
    peer_id, client, links_per_torrent, choke_interval, optimistic_interval, seed_policy, super_seeding, requests_in_max,
    requests_out_max, random_first_pieces, spill_after, sync_interval, haves_delay, anonymous,
} }
code! { enum SuperSeeding { 0 Auto, 1 Always, 2 Never } }
code! { enum SeedPolicy { 0 RoundRobin, 1 Fastest, 2 AntiLeech } }

code! { enum Command {
    0 Add(add),
    1 Pause(torrent),
    2 Resume(torrent),
    3 Remove(torrent),
    4 Recheck(torrent),
    5 SetPriorities(torrent, priorities),
    6 SetSequential(torrent, sequential),
    7 AddPeers(torrent, peers),
    8 Reannounce(torrent),
    9 SetSeedGoal(torrent, goal),
    10 Lease(lease),
    11 Listening(port),
    12 Shutdown,
    13 AddMagnet(add),
    14 DhtPort(port),
} }
code! { struct AddTorrent { torrent, metainfo, resume, priorities, sequential, paused, peers, seed_goal } }
code! { struct AddMagnet { torrent, info_hash, trackers, sequential, paused, peers, seed_goal } }
code! { enum Priority { 0 Skip, 1 Low, 2 Normal, 3 High } }
code! { struct SeedGoal { ratio_permille, time } }
code! { struct Lease { up, down, unchoke_slots, links, buffer } }
code! { struct ResumeRecord { have, open, uploaded, downloaded } }
code! { struct OpenRecord { piece, blocks } }

code! { struct LinkUp { link, torrent, remote, dial, peer_id, reserved, encrypted } }
code! { struct DialHints { once, encrypted } }
code! { struct FetchFailure { fault, detail } }
code! { enum FetchFault {
    0 Cancelled, 1 Unreachable, 2 Busy(after), 3 Absent(file), 4 Refused, 5 Nonsense, 6 Forbidden,
} }
code! { enum DialFailure { 0 Refused, 1 TimedOut, 2 Unreachable, 3 Handshake, 4 NotTried } }
code! { enum LinkEnd { 0 Closed(why), 1 ByPeer, 2 Broken, 3 Malformed } }
code! { enum CloseReason {
    0 Misbehaved(what), 1 Ourselves, 2 Duplicate, 3 Banned, 4 Limit, 5 Useless, 6 Idle, 7 TorrentStopped, 8 Gone,
} }
code! { enum PeerMisbehaved {
    0 BitfieldLate,
    1 BitfieldMalformed,
    2 PieceOutOfRange,
    3 RequestOutOfRange,
    4 TooManyRequests,
    5 RequestsWhileChoked,
    6 UnrequestedBlock,
    7 UnrequestedReject,
    8 FastWithoutOffer,
    9 ExtendedWithoutOffer,
    10 ExtensionMalformed,
    11 Flood,
    12 CorruptBlocks,
    13 PexTooOften,
    14 MetadataMalformed,
    15 MetadataLie,
} }
code! { enum Message {
    0 KeepAlive,
    1 Choke,
    2 Unchoke,
    3 Interested,
    4 NotInterested,
    5 Have(piece),
    6 Bitfield(bytes),
    7 Request(block),
    8 Cancel(block),
    9 Port(port),
    10 Suggest(piece),
    11 HaveAll,
    12 HaveNone,
    13 Reject(block),
    14 AllowedFast(piece),
    15 Extended { id, body },
    16 Unknown(id),
} }
code! { enum Unsent { 0 Recalled, 1 LinkDown, 2 Disk(error) } }
code! { enum MetadataFailure { 0 WrongHash, 1 Unusable(why), 2 Refused { refusal, why } } }
code! { enum Refusal { 0 Choice, 1 Place, 2 Room, 3 State } }
code! { enum Found { 0 Nothing, 1 AsRecorded, 2 Doubtful(pieces) } }
code! { enum DiskOperation {
    0 Open, 1 Check, 2 Verify(piece, attempt), 3 Write(piece, attempt), 4 Spill(piece, attempt), 5 Commit(epoch),
} }
code! { struct DiskError { kind, detail } }
code! { enum DiskErrorKind {
    0 Full, 1 ReadOnly, 2 Denied, 3 Vanished, 4 Changed, 5 TooManyOpen, 6 Io, 7 Unsupported,
} }
code! { enum PeerSource { 0 User, 1 Tracker, 2 Incoming, 3 Resume, 4 Lsd, 5 Dht, 6 Pex } }
code! { struct AnnounceReply {
    interval, min_interval, peers, complete, incomplete, tracker_id, external_ip, warning,
} }
code! { struct ScrapeCounts { seeders, completed, leechers } }
code! { enum AnnounceFailure { 0 Refused { reason, retry }, 1 Unreachable(why), 2 Forbidden(why) } }
code! { struct FileLen { len, pad } }

impl Put for Instant {
    fn put(&self, to: &mut Vec<u8>) {
        self.as_micros().put(to);
    }
}

impl Take for Instant {
    fn take(from: &mut Source<'_>) -> Result<Instant, TraceError> {
        u64::take(from).map(Instant::from_micros)
    }
}

impl Put for Duration {
    fn put(&self, to: &mut Vec<u8>) {
        self.as_secs().put(to);
        self.subsec_nanos().put(to);
    }
}

impl Take for Duration {
    fn take(from: &mut Source<'_>) -> Result<Duration, TraceError> {
        let (seconds, nanos) = (u64::take(from)?, u32::take(from)?);
        // More would carry into the seconds, which might overflow.
        if nanos < 1_000_000_000 {
            Ok(Duration::new(seconds, nanos))
        } else {
            Err(TraceError::Invalid("a duration"))
        }
    }
}

impl Put for Bitfield {
    fn put(&self, to: &mut Vec<u8>) {
        self.len().put(to);
        to.extend_from_slice(&self.to_bytes());
    }
}

impl Take for Bitfield {
    fn take(from: &mut Source<'_>) -> Result<Bitfield, TraceError> {
        let len = u32::take(from)?;
        let bytes = from.bytes(len.div_ceil(8) as usize)?;
        Bitfield::from_bytes(bytes, len).map_err(|_| TraceError::Invalid("a bitfield"))
    }
}

impl Put for BlockSet {
    fn put(&self, to: &mut Vec<u8>) {
        self.words().put(to);
    }
}

impl Take for BlockSet {
    fn take(from: &mut Source<'_>) -> Result<BlockSet, TraceError> {
        Vec::take(from).map(BlockSet::from_words)
    }
}

/// What the machines read of a torrent; what only people read (comment, maker, date) is not recorded.
impl Put for Metainfo {
    fn put(&self, to: &mut Vec<u8>) {
        let synthetic = self.info().is_empty();
        synthetic.put(to);
        if synthetic {
            String::from_utf8_lossy(self.name.original.raw()).into_owned().put(to);
            self.info_hash.put(to);
            self.private.put(to);
            let layout = &self.layout;
            layout.piece_len_max().put(to);
            layout.block_len().put(to);
            let files = layout.file_indices().map(|file| layout.extent(file));
            let files: Vec<FileLen> =
                files.map(|extent| FileLen { len: extent.len, pad: extent.pad }).collect();
            files.put(to);
            layout.piece_indices().for_each(|piece| self.piece_hash(piece).put(to));
        } else {
            self.info().put(to);
        }
        self.trackers.put(to);
        self.web_seeds.put(to);
        self.nodes.put(to);
    }
}

impl Take for Metainfo {
    fn take(from: &mut Source<'_>) -> Result<Metainfo, TraceError> {
        let mut metainfo = if bool::take(from)? {
            synthetic(from)?
        } else {
            let len = from.count()?;
            Metainfo::from_info(from.bytes(len)?).map_err(TraceError::Metainfo)?
        };
        metainfo.trackers = Take::take(from)?;
        metainfo.web_seeds = Take::take(from)?;
        metainfo.nodes = Take::take(from)?;
        Ok(metainfo)
    }
}

fn synthetic(from: &mut Source<'_>) -> Result<Metainfo, TraceError> {
    let name = String::take(from)?;
    let (info_hash, private) = (InfoHash::take(from)?, bool::take(from)?);
    let (piece_len, block_len) = (u32::take(from)?, u32::take(from)?);
    let files: Vec<FileLen> = Take::take(from)?;
    let layout = Layout::with_files(files, piece_len, block_len).map_err(TraceError::Layout)?;
    let hashes = from.bytes(layout.pieces() as usize * 20)?;
    let (hashes, _) = hashes.as_chunks();
    let mut metainfo = Metainfo::synthetic(&name, layout, hashes).map_err(TraceError::Metainfo)?;
    metainfo.info_hash = info_hash;
    metainfo.private = private;
    Ok(metainfo)
}
