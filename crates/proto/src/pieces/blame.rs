//! Who spoiled a piece, found to the block and without its bytes: of a bad copy the driver returns a keyed digest per block, and when a good
//! copy is here, whoever sent something else is a liar.
//!
//! Not the banning: verdicts go to the torrent. Knows no addresses but those of peers that left, so that leaving does not help, nor
//! coming back: who returns from the same host is who left ([`Blame::returned`]).
//!
//! Invariant: nobody honest is ever convicted. Only a block that stayed in memory from its peer to the hash is evidence, or one that
//! lay on a disk meanwhile and is what it was: since a piece was bad, blocks are digested before they leave memory, and the
//! disk is to blame for those that come back as something else. A bad piece convicts at once only if one peer sent all of it, or if
//! a peer sent two versions of one block.

use super::Origin;
use crate::input::BlockDigest;
use crate::{Attempt, PeerKey, Rng, address};
use core::net::IpAddr;
use std::collections::{BTreeMap, VecDeque};
use wire::PieceIndex;

/// Evidence kept: two bad copies of the longest piece (32,768 blocks of 512 MiB), 2 MiB. Beyond it the oldest piece is forgotten; its
/// suspects stay free, as they must without evidence.
pub const BLAME_ROWS_MAX: usize = 65_536;

/// Peers that left of whom the address is remembered: several times the links of a torrent.
pub const DEPARTED_MAX: usize = 512;

/// Evidence about bad copies of pieces.
#[derive(Clone, Debug)]
pub struct Blame {
    key: [u8; 16],
    /// By first failure, oldest first; a handful.
    pieces: VecDeque<BadPiece>,
    rows: usize,
    /// Peers with evidence pending, sorted, and how many rows each has.
    suspects: Vec<(PeerKey, u32)>,
    departed: VecDeque<Departed>,
    /// Blocks of open pieces that left memory.
    laid: BTreeMap<PieceIndex, LaidDown>,
    laid_rows: usize,
    /// Since a piece was bad for the first time: those who have not proved themselves work on pieces of their own.
    proven: Option<Box<Proven>>,
}

/// Linked peers of which a block was part of a good piece, sorted.
#[derive(Clone, Debug, Default)]
struct Proven {
    peers: Vec<PeerKey>,
}

/// A peer that left.
#[derive(Clone, Copy, Debug)]
struct Departed {
    peer: PeerKey,
    address: IpAddr,
    /// Who it is now, if somebody came from the same host since.
    now: Option<PeerKey>,
}

/// The bad copies of one piece.
#[derive(Clone, Debug)]
struct BadPiece {
    piece: PieceIndex,
    /// Sorted, without doubles.
    rows: Vec<Row>,
}

/// Blocks of one piece as they were when they left memory.
#[derive(Clone, Debug)]
struct LaidDown {
    attempt: Attempt,
    rows: Vec<Row>,
}

/// This peer sent a block with this digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Row {
    block: u32,
    peer: PeerKey,
    digest: [u8; 16],
}

impl Blame {
    /// No suspects. Draws the key under which blocks are digested, so that no peer can prepare a collision.
    pub fn new(rng: &mut Rng) -> Blame {
        Blame {
            key: rng.bytes16(),
            pieces: VecDeque::new(),
            rows: 0,
            suspects: Vec::new(),
            departed: VecDeque::new(),
            laid: BTreeMap::new(),
            laid_rows: 0,
            proven: None,
        }
    }

    /// The key for `Output::Verify`: one for all attempts, or their digests could not be compared.
    pub fn key(&self) -> [u8; 16] {
        self.key
    }

    /// Whether the digests of a good copy would tell something: an earlier copy was bad.
    pub fn wants_digests(&self, piece: PieceIndex) -> bool {
        self.pieces.iter().any(|bad| bad.piece == piece)
    }

    /// Whether evidence about the peer is pending. It then works on pieces of its own, where the next failure is its alone.
    pub fn is_suspect(&self, peer: PeerKey) -> bool {
        self.suspects.binary_search_by_key(&peer, |&(suspect, _)| suspect).is_ok()
    }

    /// Whether the peer is to fetch pieces alone, so that what it spoils convicts it at once: a suspect; and once any piece was bad,
    /// everybody who has not yet sent a part of a good one. In a swarm without poison nobody is held to it.
    pub fn is_on_parole(&self, peer: PeerKey) -> bool {
        let unproven = |proven: &Proven| proven.peers.binary_search(&peer).is_err();
        self.is_suspect(peer) || self.proven.as_deref().is_some_and(unproven)
    }

    /// These blocks made a good piece. Who is not linked any more needs no credit, and would never be forgotten again.
    pub fn proved(&mut self, origins: &[Origin], is_linked: impl Fn(PeerKey) -> bool) {
        let Some(proven) = &mut self.proven else { return };
        for origin in origins {
            if let Origin::Peer(peer) = origin
                && let Err(at) = proven.peers.binary_search(peer)
                && is_linked(*peer)
            {
                proven.peers.insert(at, *peer);
            }
        }
    }

    /// Blocks of a piece were laid on the disk; `digests` are the driver's, one for each of them as it was in memory.
    pub fn laid_down(
        &mut self,
        (piece, attempt): (PieceIndex, Attempt),
        senders: &[(u32, PeerKey)],
        digests: &[BlockDigest],
    ) {
        if senders.len() != digests.len() {
            return;
        }
        if self.laid.get(&piece).is_some_and(|laid| laid.attempt != attempt) {
            self.take_up(piece);
        }
        let rows = senders.iter().zip(digests);
        let rows = rows.map(|(&(block, peer), digest)| Row { block, peer, digest: digest.0 });
        let laid = self.laid.entry(piece).or_insert_with(|| LaidDown { attempt, rows: Vec::new() });
        laid.rows.extend(rows);
        self.laid_rows += senders.len();
        // Without it there is no evidence, which wrongs nobody.
        while self.laid_rows > BLAME_ROWS_MAX
            && let Some(&some) = self.laid.keys().next()
        {
            self.take_up(some);
        }
    }

    /// A piece is here, or begins anew: what was laid down of it.
    fn take_up(&mut self, piece: PieceIndex) -> Option<LaidDown> {
        let laid = self.laid.remove(&piece)?;
        self.laid_rows -= laid.rows.len();
        Some(laid)
    }

    /// Where the blocks came from, as far as evidence goes: what came back from the disk as it was is its sender's.
    fn witnessed(
        &mut self,
        (piece, attempt): (PieceIndex, Attempt),
        origins: &[Origin],
        digests: &[BlockDigest],
    ) -> Vec<Origin> {
        let mut origins: Vec<Origin> = origins.iter().map(|&origin| self.as_of_now(origin)).collect();
        let laid = self.take_up(piece).filter(|laid| laid.attempt == attempt);
        for row in laid.into_iter().flat_map(|laid| laid.rows) {
            let at = row.block as usize;
            if digests.get(at).is_some_and(|digest| digest.0 == row.digest)
                && let Some(origin @ Origin::Disk) = origins.get_mut(at)
            {
                *origin = self.as_of_now(Origin::Peer(row.peer));
            }
        }
        origins
    }

    /// A piece failed its hash. `origins` is [`super::PiecePicker::origins`], taken before it was told; `digests` the driver's, one per block.
    /// Returns who is convicted at once.
    pub fn bad(
        &mut self,
        (piece, attempt): (PieceIndex, Attempt),
        origins: &[Origin],
        digests: Option<&[BlockDigest]>,
    ) -> Vec<PeerKey> {
        self.proven.get_or_insert_default();
        let origins = &self.witnessed((piece, attempt), origins, digests.unwrap_or_default())[..];
        if let Some(only) = only_sender(origins) {
            return vec![only];
        }
        let Some(digests) = digests.filter(|digests| digests.len() == origins.len()) else {
            return Vec::new();
        };
        let evidence =
            origins.iter().zip(digests).zip(0..).filter_map(|((origin, digest), block)| match origin {
                Origin::Peer(peer) => Some(Row { block, peer: *peer, digest: digest.0 }),
                Origin::Disk => None,
            });
        let evidence: Vec<Row> = evidence.collect();
        if evidence.is_empty() {
            return Vec::new();
        }
        let at = match self.pieces.iter().position(|bad| bad.piece == piece) {
            Some(at) => at,
            None => {
                self.pieces.push_back(BadPiece { piece, rows: Vec::new() });
                self.pieces.len() - 1
            }
        };
        let before = core::mem::take(&mut self.pieces[at].rows);
        self.forget(&before);
        let mut rows: Vec<Row> = before.into_iter().chain(evidence).collect();
        rows.sort_unstable();
        rows.dedup();
        let liars = two_versions(&rows);
        self.remember(&rows);
        self.pieces[at].rows = rows;
        while self.rows > BLAME_ROWS_MAX
            && let Some(oldest) = self.pieces.pop_front()
        {
            self.forget(&oldest.rows);
        }
        liars
    }

    /// A piece passed its hash. `digests` are the driver's, if [`Blame::wants_digests`] asked for them. Returns the liars; all others who
    /// were suspected over this piece are cleared of it.
    pub fn good(&mut self, piece: PieceIndex, digests: Option<&[BlockDigest]>) -> Vec<PeerKey> {
        self.take_up(piece);
        let Some(at) = self.pieces.iter().position(|bad| bad.piece == piece) else { return Vec::new() };
        let Some(bad) = self.pieces.remove(at) else { return Vec::new() };
        self.forget(&bad.rows);
        let lies = |row: &&Row| {
            let right = digests.and_then(|digests| digests.get(row.block as usize));
            right.is_some_and(|right| right.0 != row.digest)
        };
        sorted(bad.rows.iter().filter(lies).map(|row| row.peer).collect())
    }

    /// A peer left. Its address is remembered for a while, in case it is convicted later.
    pub fn departed(&mut self, peer: PeerKey, address: IpAddr) {
        if let Some(proven) = &mut self.proven {
            proven.peers.retain(|&other| other != peer);
        }
        if self.departed.len() >= DEPARTED_MAX {
            self.departed.pop_front();
        }
        crate::tight::make_room(&mut self.departed, 1);
        self.departed.push_back(Departed { peer, address, now: None });
    }

    /// A peer came from a host that is one party's. If one left from there, this is that one under another key: what it sent before
    /// and what it sends now is one peer's, or who hangs up after each lie would never be found to have sent anything twice or
    /// alone. O(peers that left + evidence).
    pub fn returned(&mut self, peer: PeerKey, address: IpAddr) {
        let host = address::host(address);
        let mut before = Vec::new();
        for departed in self.departed.iter_mut().filter(|departed| address::host(departed.address) == host) {
            departed.now = Some(peer);
            before.push(departed.peer);
        }
        before.retain(|&departed| self.is_suspect(departed));
        if before.is_empty() {
            return;
        }
        for at in 0..self.pieces.len() {
            let mut rows = core::mem::take(&mut self.pieces[at].rows);
            self.forget(&rows);
            for row in rows.iter_mut().filter(|row| before.contains(&row.peer)) {
                row.peer = peer;
            }
            rows.sort_unstable();
            rows.dedup();
            self.remember(&rows);
            self.pieces[at].rows = rows;
        }
    }

    /// Whom a block is from, under its present key.
    fn as_of_now(&self, origin: Origin) -> Origin {
        let Origin::Peer(peer) = origin else { return origin };
        let departed = self.departed.iter().find(|departed| departed.peer == peer);
        Origin::Peer(departed.and_then(|departed| departed.now).unwrap_or(peer))
    }

    /// Where a convicted peer that left was to be found.
    pub fn address_of(&self, peer: PeerKey) -> Option<IpAddr> {
        self.departed.iter().rev().find(|departed| departed.peer == peer).map(|departed| departed.address)
    }

    fn remember(&mut self, rows: &[Row]) {
        self.rows += rows.len();
        for row in rows {
            match self.suspects.binary_search_by_key(&row.peer, |&(suspect, _)| suspect) {
                Ok(at) => self.suspects[at].1 += 1,
                Err(at) => self.suspects.insert(at, (row.peer, 1)),
            }
        }
    }

    fn forget(&mut self, rows: &[Row]) {
        self.rows -= rows.len();
        for row in rows {
            if let Ok(at) = self.suspects.binary_search_by_key(&row.peer, |&(suspect, _)| suspect) {
                self.suspects[at].1 -= 1;
                if self.suspects[at].1 == 0 {
                    self.suspects.remove(at);
                }
            }
        }
    }
}

/// The peer that sent every block, if one did and all stayed in memory.
fn only_sender(origins: &[Origin]) -> Option<PeerKey> {
    let Some(&Origin::Peer(first)) = origins.first() else { return None };
    origins.iter().all(|&origin| origin == Origin::Peer(first)).then_some(first)
}

/// Peers that sent one block in two versions: one of them is wrong. The rows are sorted.
fn two_versions(rows: &[Row]) -> Vec<PeerKey> {
    let twice = rows.windows(2).filter(|pair| pair[0].block == pair[1].block && pair[0].peer == pair[1].peer);
    sorted(twice.map(|pair| pair[0].peer).collect())
}

fn sorted(mut peers: Vec<PeerKey>) -> Vec<PeerKey> {
    peers.sort_unstable();
    peers.dedup();
    peers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seed;

    const PIECE: PieceIndex = PieceIndex(7);
    const FIRST: (PieceIndex, Attempt) = (PIECE, Attempt(0));

    fn key(peer: u16) -> PeerKey {
        PeerKey::new(peer, 3)
    }

    fn from(peers: &[u16]) -> Vec<Origin> {
        peers.iter().map(|&peer| Origin::Peer(key(peer))).collect()
    }

    fn copy_of(block: usize, version: u8) -> BlockDigest {
        BlockDigest([version + block as u8 * 16; 16])
    }

    /// The digests of a copy: `version` 0 of a block is the right one.
    fn copy(versions: &[u8]) -> Vec<BlockDigest> {
        versions.iter().enumerate().map(|(block, &version)| copy_of(block, version)).collect()
    }

    fn blame() -> Blame {
        Blame::new(&mut Rng::new(Seed(1)))
    }

    #[test]
    fn a_single_sender_is_convicted_at_once() {
        assert_eq!(blame().bad(FIRST, &from(&[4, 4, 4]), None), [key(4)]);
    }

    #[test]
    fn a_single_sender_is_not_convicted_if_a_block_lay_on_a_disk() {
        let mut blame = blame();
        let mut origins = from(&[4, 4, 4]);
        origins[1] = Origin::Disk;
        assert_eq!(blame.bad(FIRST, &origins, Some(&copy(&[0, 9, 0]))), []);
        assert!(blame.is_suspect(key(4)));
        assert_eq!(blame.good(PIECE, Some(&copy(&[0, 0, 0]))), []);
        assert!(!blame.is_suspect(key(4)));
    }

    #[test]
    fn after_a_bad_piece_all_work_alone_until_they_proved_themselves() {
        let mut blame = blame();
        assert!(!blame.is_on_parole(key(1)), "nobody while nothing is wrong");
        blame.bad(FIRST, &from(&[4, 4, 4]), None);
        blame.proved(&from(&[1]), |_| true);
        assert_eq!([1, 2].map(|peer| blame.is_on_parole(key(peer))), [false, true]);
        blame.proved(&[Origin::Peer(key(2)), Origin::Disk], |_| true);
        assert!(!blame.is_on_parole(key(2)));
        blame.departed(key(2), IpAddr::from([10, 0, 0, 2]));
        assert!(blame.is_on_parole(key(2)));
        // Its blocks can outlast its link.
        (0..10_000).for_each(|peer| blame.proved(&from(&[peer]), |peer| peer == key(1)));
        assert_eq!(blame.proven.unwrap().peers, [key(1)]);
    }

    #[test]
    fn the_liar_is_found_to_the_block_and_the_others_are_cleared() {
        let mut blame = blame();
        assert!(!blame.wants_digests(PIECE));
        assert_eq!(blame.bad(FIRST, &from(&[1, 2, 3]), Some(&copy(&[0, 9, 0]))), []);
        assert!(blame.wants_digests(PIECE));
        assert!((1..=3).all(|peer| blame.is_suspect(key(peer))));
        assert_eq!(blame.good(PIECE, Some(&copy(&[0, 0, 0]))), [key(2)]);
        assert!((1..=3).all(|peer| !blame.is_suspect(key(peer))));
        assert_eq!(blame.rows, 0);
    }

    #[test]
    fn colluders_over_several_copies_are_all_found() {
        let mut blame = blame();
        blame.bad(FIRST, &from(&[1, 2, 3]), Some(&copy(&[9, 0, 0])));
        blame.bad(FIRST, &from(&[2, 3, 4]), Some(&copy(&[0, 9, 0])));
        blame.bad(FIRST, &from(&[1, 3, 2]), Some(&copy(&[9, 9, 0])));
        assert_eq!(blame.good(PIECE, Some(&copy(&[0, 0, 0]))), [key(1), key(3)]);
    }

    #[test]
    fn a_peer_that_sends_two_versions_of_a_block_is_convicted_before_any_copy_is_good() {
        let mut blame = blame();
        assert_eq!(blame.bad(FIRST, &from(&[1, 2]), Some(&copy(&[9, 0]))), []);
        assert_eq!(blame.bad(FIRST, &from(&[1, 2]), Some(&copy(&[8, 0]))), [key(1)]);
    }

    #[test]
    fn without_digests_nobody_is_convicted_by_comparison() {
        let mut blame = blame();
        assert_eq!(blame.bad(FIRST, &from(&[1, 2]), None), []);
        assert_eq!(blame.bad(FIRST, &from(&[1, 2]), Some(&copy(&[9]))), [], "not one for each block");
        assert!(!blame.wants_digests(PIECE));
        blame.bad(FIRST, &from(&[1, 2]), Some(&copy(&[9, 0])));
        assert_eq!(blame.good(PIECE, None), []);
    }

    #[test]
    fn evidence_is_bounded_and_the_oldest_goes_first() {
        let mut blame = blame();
        let digests = vec![BlockDigest([1; 16]); 30_000];
        let origins: Vec<Origin> = (0..30_000).map(|block| Origin::Peer(key(block % 2))).collect();
        (0..3).for_each(|piece| drop(blame.bad((PieceIndex(piece), Attempt(0)), &origins, Some(&digests))));
        assert_eq!(blame.rows, 60_000);
        assert_eq!([0, 1, 2].map(|piece| blame.wants_digests(PieceIndex(piece))), [false, true, true]);
    }

    #[test]
    fn a_convict_that_left_can_still_be_found_and_the_memory_of_addresses_is_bounded() {
        let mut blame = blame();
        for peer in 0..2_000 {
            blame.departed(key(peer), IpAddr::from([10, 0, (peer / 256) as u8, peer as u8]));
        }
        assert_eq!(blame.departed.len(), DEPARTED_MAX);
        assert_eq!(blame.address_of(key(1_999)), Some(IpAddr::from([10, 0, 7, 207])));
        assert_eq!(blame.address_of(key(0)), None);
    }

    #[test]
    fn who_hangs_up_and_comes_back_answers_for_what_it_sent_before() {
        let (host, other) = (IpAddr::from([80, 0, 0, 1]), IpAddr::from([80, 0, 0, 2]));
        // All of a piece, over three links.
        let mut blame = blame();
        for (before, after) in [(1, 2), (2, 3)] {
            blame.departed(key(before), host);
            blame.returned(key(after), host);
        }
        assert_eq!(blame.bad(FIRST, &from(&[1, 2, 3]), None), [key(3)]);
        // Two versions of a block.
        let mut blame = self::blame();
        assert_eq!(blame.bad(FIRST, &from(&[1, 5]), Some(&copy(&[9, 0]))), []);
        blame.departed(key(1), host);
        blame.returned(key(4), other);
        assert!(blame.is_suspect(key(1)) && !blame.is_suspect(key(4)), "another host is another peer");
        blame.returned(key(2), host);
        assert_eq!([1, 2].map(|peer| blame.is_suspect(key(peer))), [false, true]);
        assert_eq!(blame.bad(FIRST, &from(&[2, 5]), Some(&copy(&[8, 0]))), [key(2)]);
        // The right version, seen later.
        assert_eq!(blame.good(PIECE, Some(&copy(&[0, 0]))), [key(2)]);
        assert_eq!((blame.rows, blame.suspects.len()), (0, 0));
    }

    #[test]
    fn what_came_back_from_the_disk_as_it_was_is_its_senders_and_what_did_not_is_nobodys() {
        let senders = [(0, key(1)), (2, key(1))];
        let on_disk = [Origin::Disk, Origin::Peer(key(1)), Origin::Disk];
        let left = [copy_of(0, 9), copy_of(2, 0)];
        // (the copy that came back, who is convicted of it)
        for (came, convicted) in [([9, 0, 0], vec![key(1)]), ([9, 0, 9], vec![]), ([0, 0, 9], vec![])] {
            let mut blame = blame();
            blame.laid_down(FIRST, &senders, &left);
            assert_eq!(blame.bad(FIRST, &on_disk, Some(&copy(&came))), convicted, "{came:?}");
            assert_eq!((blame.laid.len(), blame.laid_rows), (0, 0));
            // An attempt that ended without a word leaves nothing that counts for the next.
            blame.laid_down(FIRST, &senders, &left);
            let next = (PIECE, Attempt(1));
            assert_eq!(blame.bad(next, &on_disk, Some(&copy(&[9, 0, 0]))), [], "{came:?}");
        }
    }

    #[test]
    fn what_is_remembered_of_blocks_on_the_disk_is_bounded() {
        let mut blame = blame();
        let senders: Vec<(u32, PeerKey)> = (0..1_000).map(|block| (block, key(1))).collect();
        let digests = vec![BlockDigest([1; 16]); 1_000];
        (0..100).for_each(|piece| blame.laid_down((PieceIndex(piece), Attempt(0)), &senders, &digests));
        let rows: usize = blame.laid.values().map(|laid| laid.rows.len()).sum();
        assert_eq!((rows, blame.laid_rows), (65_000, 65_000));
        blame.laid_down((PieceIndex(99), Attempt(0)), &senders, &digests[1..]);
        (0..100).for_each(|piece| drop(blame.good(PieceIndex(piece), None)));
        assert_eq!((blame.laid.len(), blame.laid_rows), (0, 0));
    }

    #[test]
    fn every_liar_is_found_and_nobody_honest_is_whatever_the_mixture() {
        for seed in 0..10_000 {
            let mut rng = Rng::new(Seed(seed));
            let (peers, blocks) = (2 + rng.below(8), 1 + rng.below(12));
            let liars: Vec<bool> = (0..peers).map(|_| rng.below(3) == 0).collect();
            let mut convicted = vec![false; peers as usize];
            let mut caught = vec![false; peers as usize];
            let mut blame = Blame::new(&mut rng);
            for _ in 0..200 {
                let (mut origins, mut versions) = (Vec::new(), Vec::new());
                // As they were in memory; of some copies it is known.
                let (mut senders, mut before) = (Vec::new(), Vec::new());
                let digested = rng.below(2) == 0;
                for _ in 0..blocks {
                    let free: Vec<u32> = (0..peers).filter(|&peer| !convicted[peer as usize]).collect();
                    let Some(&peer) = free.get(rng.index(free.len())) else { break };
                    let lies = liars[peer as usize] && rng.below(4) == 0;
                    let (on_disk, disk_fault) = (rng.below(8) == 0, rng.below(4) == 0);
                    let sent = if lies { 1 + rng.below(3) as u8 } else { 0 };
                    let version = if on_disk && disk_fault { 1 + rng.below(3) as u8 } else { sent };
                    caught[peer as usize] |= lies && (!on_disk || digested && version == sent);
                    if on_disk {
                        senders.push((origins.len() as u32, key(peer as u16)));
                        before.push(copy_of(origins.len(), sent));
                    }
                    origins.push(if on_disk { Origin::Disk } else { Origin::Peer(key(peer as u16)) });
                    versions.push(version);
                }
                if origins.len() < blocks as usize {
                    break;
                }
                if digested {
                    blame.laid_down(FIRST, &senders, &before);
                }
                let good = versions.iter().all(|&version| version == 0);
                let found = if good {
                    blame.good(PIECE, Some(&copy(&versions)))
                } else {
                    blame.bad(FIRST, &origins, Some(&copy(&versions)))
                };
                for peer in found {
                    assert!(liars[peer.slot()], "seed {seed}: honest {peer:?} convicted");
                    convicted[peer.slot()] = true;
                }
                if good {
                    let free =
                        caught.iter().zip(&convicted).position(|(&caught, &convicted)| caught && !convicted);
                    assert_eq!(free, None, "seed {seed}: a liar got away");
                    assert!(blame.suspects.is_empty(), "seed {seed}");
                }
            }
        }
    }
}
