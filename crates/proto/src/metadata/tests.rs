//! Metadata among honest peers and liars (threat A6): it is fetched, no honest peer is blamed, memory grows with what came.

use super::*;
use crate::Seed;
use std::collections::BTreeSet;
use wire::metadata::METADATA_PIECE_LEN;

/// How long peers take to answer.
const LATENCY: Duration = Duration::from_millis(50);
/// Longer than this nobody waits, even among nine liars who each waste a whole.
const WITHIN: Duration = Duration::from_secs(3600);

/// What a peer does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Nature {
    Honest,
    /// Claims the right size, sends wrong bytes.
    Poisons,
    /// Claims another size and sends wrong bytes.
    Garbage(u32),
    /// Claims another size and never answers.
    Silent(u32),
    /// Claims another size and refuses.
    Refuses(u32),
    /// Claims this size and sends wrong bytes, each piece so late that it just counts.
    Slow(u32),
}

/// In which order a peer's answers come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Order {
    Asked,
    Reversed,
    Shuffled,
}

struct Swarm {
    fetch: MetadataFetch,
    rng: Rng,
    now: Instant,
    size: u32,
    natures: Vec<Nature>,
    order: Order,
    /// Requests on their way: when they are answered.
    mail: Vec<(Instant, PeerKey, u32)>,
    /// What the driver holds: right or wrong.
    kept: BTreeMap<u32, BTreeMap<u32, bool>>,
    banned: BTreeSet<PeerKey>,
    pieces_sent: u32,
    most_held: u32,
    /// How long honest peers take.
    latency: Duration,
}

fn key(index: usize) -> PeerKey {
    PeerKey::new(index as u16, 0)
}

fn host(index: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, (index >> 8) as u8, index as u8], 6881))
}

impl Swarm {
    fn new(size: u32, natures: Vec<Nature>, order: Order, seed: u64) -> Swarm {
        Swarm {
            fetch: MetadataFetch::new(),
            rng: Rng::new(Seed(seed)),
            now: Instant::from_micros(1_000_000),
            size,
            natures,
            order,
            mail: Vec::new(),
            kept: BTreeMap::new(),
            banned: BTreeSet::new(),
            pieces_sent: 0,
            most_held: 0,
            latency: LATENCY,
        }
    }

    fn joins(&mut self, index: usize) {
        let size = match self.natures[index] {
            Nature::Honest | Nature::Poisons => self.size,
            Nature::Garbage(size) | Nature::Silent(size) | Nature::Refuses(size) | Nature::Slow(size) => size,
        };
        self.fetch.offered(self.now, key(index), host(index), size);
    }

    fn poll(&mut self) {
        for (peer, piece) in self.fetch.poll(self.now, &mut self.rng) {
            assert!(!self.banned.contains(&peer), "asks a banned peer");
            let jitter = match self.order {
                Order::Asked => 0,
                Order::Reversed => 1_000 - u64::from(piece.min(1_000)),
                Order::Shuffled => u64::from(self.rng.below(5_000)),
            };
            let latency = match self.natures[peer.slot()] {
                Nature::Slow(_) => REQUEST_TIMEOUT - Duration::from_secs(1),
                Nature::Honest
                | Nature::Poisons
                | Nature::Garbage(_)
                | Nature::Silent(_)
                | Nature::Refuses(_) => self.latency,
            };
            self.mail.push((self.now + latency + Duration::from_micros(jitter), peer, piece));
            let under_way = self.mail.iter().filter(|mail| mail.1 == peer).count();
            assert!(under_way <= 2 * REQUESTS_PER_PEER_MAX, "{under_way} requests to one peer");
        }
        self.discard();
    }

    fn discard(&mut self) {
        for size in self.fetch.take_discarded() {
            self.kept.remove(&size);
        }
    }

    /// Whether anything will happen if nobody joins.
    fn is_stuck(&mut self) -> bool {
        self.poll();
        self.mail.is_empty() && self.fetch.next_wake(self.now).is_none()
    }

    /// The next thing happens; whether the metadata is here.
    fn step(&mut self) -> bool {
        self.poll();
        let next_mail = self.mail.iter().map(|mail| mail.0).min();
        let wake = self.fetch.next_wake(self.now);
        let Some(next) = next_mail.into_iter().chain(wake).min() else { panic!("nothing will ever happen") };
        self.now = self.now.max(next);
        let due: Vec<_> = self.mail.extract_if(.., |mail| mail.0 <= next).collect();
        for (_, peer, piece) in due {
            if self.answer(peer, piece) {
                return true;
            }
        }
        false
    }

    fn answer(&mut self, peer: PeerKey, piece: u32) -> bool {
        let (claimed, right) = match self.natures[peer.slot()] {
            Nature::Honest => (self.size, true),
            Nature::Poisons => (self.size, false),
            Nature::Garbage(size) | Nature::Slow(size) => (size, false),
            Nature::Silent(_) => return false,
            Nature::Refuses(_) => {
                self.fetch.rejected(self.now, peer, piece);
                return false;
            }
        };
        if self.banned.contains(&peer) {
            return false;
        }
        self.pieces_sent += 1;
        let len = metadata_piece_len(claimed, piece).unwrap();
        match self.fetch.received(self.now, peer, piece, Some(claimed), len) {
            Verdict::Keep { size } => {
                self.kept.entry(size).or_default().insert(piece, right);
            }
            Verdict::Unwanted => {}
            Verdict::Unasked => {
                panic!("{peer:?}, {:?}, was asked for piece {piece}", self.natures[peer.slot()])
            }
            Verdict::Wrong(fault) => panic!("{peer:?} did nothing of {fault:?}"),
        }
        let held: usize = self.kept.values().map(BTreeMap::len).sum();
        assert_eq!(held as u32, self.fetch.held(), "the driver and the machine count alike");
        assert!(self.fetch.held() <= self.pieces_sent, "memory grows with what came");
        assert!(u64::from(self.fetch.held()) * u64::from(METADATA_PIECE_LEN) <= BUFFERED_BYTES_MAX);
        self.most_held = self.most_held.max(self.fetch.held());
        self.fetch.whole().is_some_and(|size| self.assemble(size))
    }

    fn assemble(&mut self, size: u32) -> bool {
        let kept = self.kept.remove(&size).unwrap();
        assert_eq!(kept.len() as u32, metadata_pieces(size));
        if size == self.size && kept.values().all(|&right| right) {
            return true;
        }
        if let Some((liar, remote)) = self.fetch.failed(size) {
            assert_eq!(remote, host(liar.slot()));
            assert_ne!(self.natures[liar.slot()], Nature::Honest, "an honest peer is blamed");
            self.banned.insert(liar);
            self.fetch.left(liar);
        }
        self.discard();
        false
    }

    /// Runs until the metadata is here, and judges who is blamed then.
    fn fetches(&mut self, late: &[usize], case: &str) {
        let start = self.now;
        let mut late = late.iter();
        let mut steps = 0u32;
        loop {
            steps += 1;
            if (steps.is_multiple_of(3) || self.is_stuck())
                && let Some(&index) = late.next()
            {
                self.joins(index);
            }
            if self.step() {
                break;
            }
            assert!(self.now.since(start) < WITHIN, "{case}: still without metadata");
        }
        late.for_each(|&index| {
            let (now, size) = (self.now, self.size);
            if self.natures[index] == Nature::Honest {
                self.fetch.offered(now, key(index), host(index), size);
            }
        });
        let liars: BTreeSet<PeerKey> = self.fetch.accepted(self.size).into_iter().collect();
        for (index, nature) in self.natures.iter().enumerate() {
            let blamed = liars.contains(&key(index)) || self.banned.contains(&key(index));
            match nature {
                Nature::Honest => assert!(!blamed, "{case}: peer {index} is honest"),
                // Who poisons the right size is found when it gave all of it; who claimed another size is found always.
                Nature::Poisons => {}
                // Who claims the right size is found when it gave all of it.
                Nature::Slow(size) if *size == self.size => {}
                Nature::Garbage(_) | Nature::Silent(_) | Nature::Refuses(_) | Nature::Slow(_) => {
                    let came = self.fetch.sources.contains_key(&key(index));
                    assert!(blamed || !came, "{case}: peer {index} lied");
                }
            }
        }
    }
}

/// Ten peers of which so many lie, in this way.
fn natures(size: u32, liars: usize, way: usize) -> Vec<Nature> {
    let wrong = match way {
        0 => size + 1,
        1 => {
            if size > 1 {
                size - 1
            } else {
                2
            }
        }
        2 => 12 * METADATA_PIECE_LEN + 7,
        3 => METADATA_SIZE_MAX,
        _ => u32::MAX,
    };
    let lie = |index: usize| match (index + way) % 4 {
        0 => Nature::Garbage(wrong),
        1 => Nature::Silent(wrong),
        2 => Nature::Refuses(wrong),
        _ => Nature::Poisons,
    };
    (0..10).map(|index| if index < liars { lie(index) } else { Nature::Honest }).collect()
}

#[test]
fn metadata_comes_in_spite_of_liars_and_no_honest_peer_is_blamed() {
    let (mut cases, mut most) = (0, 0);
    for size in [1, 16_384, 16_385, 200_000, 4_200_000] {
        for liars in [0, 1, 3, 5, 7, 9] {
            for late in [false, true] {
                for order in [Order::Asked, Order::Reversed, Order::Shuffled] {
                    for way in [cases % 5, (cases + 2) % 5] {
                        let seed = cases as u64;
                        let case = format!(
                            "seed {seed}: {size} bytes, {liars} of 10 lie in way {way}, late: {late}, {order:?}"
                        );
                        let mut swarm = Swarm::new(size, natures(size, liars, way), order, seed);
                        // Early: the liars are there first, the honest come later; late: the other way round.
                        let (first, then): (Vec<usize>, Vec<usize>) =
                            (0..10).partition(|&index| (index >= liars) == late || liars == 0);
                        first.iter().for_each(|&index| swarm.joins(index));
                        swarm.fetches(&then, &case);
                        most = most.max(swarm.most_held);
                        cases += 1;
                    }
                }
            }
        }
    }
    println!("A6: {cases} cases, at most {most} pieces held");
    assert!(cases >= 300);
}

#[test]
fn whoever_gives_wrong_pieces_slowly_holds_nobody_up_for_long() {
    let size = 4_200_000;
    for (slow, within) in [
        // One that would be at it for ten minutes.
        (vec![size - 1], 60),
        // More than are remembered when they have left.
        ((1..80).map(|less| size - less).collect(), 80 * 36),
        // Several, each with a size of its own: each has its turn first.
        ((1..9).map(|less| size - less).collect(), 9 * 60),
    ] {
        let mut natures: Vec<Nature> = slow.iter().copied().map(Nature::Slow).collect();
        natures.push(Nature::Honest);
        let count = natures.len();
        let mut swarm = Swarm::new(size, natures, Order::Asked, 1);
        (0..count).for_each(|index| swarm.joins(index));
        let start = swarm.now;
        swarm.fetches(&[], &format!("{slow:?}"));
        let took = swarm.now.since(start);
        println!("{} slow liars: {} s", slow.len(), took.as_secs());
        assert!(took < Duration::from_secs(within), "{slow:?}: {took:?}");
    }
}

#[test]
fn an_honest_peer_that_is_slow_comes_to_an_end_beside_a_liar() {
    // Honest pieces are as slow as the liar's here: 60 pieces of 9 s, four at a time.
    let size = 60 * METADATA_PIECE_LEN;
    let mut swarm = Swarm::new(size, vec![Nature::Slow(METADATA_SIZE_MAX), Nature::Honest], Order::Asked, 1);
    swarm.latency = REQUEST_TIMEOUT - Duration::from_secs(1);
    (0..2).for_each(|index| swarm.joins(index));
    let start = swarm.now;
    swarm.fetches(&[], "both are slow");
    assert!(swarm.now.since(start) < Duration::from_secs(3 * 15 * 9), "{:?}", swarm.now.since(start));
}

#[test]
fn pieces_are_asked_of_several_peers_at_once_and_none_gets_more_than_its_part() {
    let mut swarm = Swarm::new(40 * METADATA_PIECE_LEN, vec![Nature::Honest; 5], Order::Asked, 1);
    (0..5).for_each(|index| swarm.joins(index));
    let asks = swarm.fetch.poll(swarm.now, &mut swarm.rng);
    assert_eq!(asks.len(), 5 * REQUESTS_PER_PEER_MAX);
    let pieces: BTreeSet<u32> = asks.iter().map(|&(_, piece)| piece).collect();
    assert_eq!(pieces.len(), asks.len(), "none twice while others are free");
    assert_eq!(swarm.fetch.poll(swarm.now, &mut swarm.rng), []);
}

#[test]
fn a_silent_peer_rests_and_its_pieces_go_to_others_but_its_late_answer_counts() {
    let size = 2 * METADATA_PIECE_LEN;
    let mut swarm = Swarm::new(size, vec![Nature::Honest; 2], Order::Asked, 1);
    swarm.joins(0);
    assert_eq!(swarm.fetch.poll(swarm.now, &mut swarm.rng), [(key(0), 0), (key(0), 1)]);
    swarm.joins(1);
    let copies = swarm.fetch.poll(swarm.now, &mut swarm.rng);
    assert_eq!(copies, [(key(1), 0), (key(1), 1)], "nothing else is left to ask for");
    swarm.now += REQUEST_TIMEOUT;
    assert_eq!(swarm.fetch.poll(swarm.now, &mut swarm.rng), [], "both rest");
    let late = swarm.fetch.received(swarm.now, key(0), 1, None, METADATA_PIECE_LEN);
    assert_eq!(late, Verdict::Keep { size });
    assert_eq!(swarm.fetch.poll(swarm.now, &mut swarm.rng), [(key(0), 0)], "it is awake after all");
}

#[test]
fn a_piece_that_cannot_be_is_the_senders_fault_and_an_unasked_one_is_dropped() {
    let size = METADATA_PIECE_LEN + 5;
    for (piece, total, len) in
        [(0, Some(size), 5), (1, Some(size), METADATA_PIECE_LEN), (0, Some(9), METADATA_PIECE_LEN)]
    {
        let mut swarm = Swarm::new(size, vec![Nature::Honest], Order::Asked, 1);
        swarm.joins(0);
        swarm.poll();
        let verdict = swarm.fetch.received(swarm.now, key(0), piece, total, len);
        assert_eq!(verdict, Verdict::Wrong(PeerMisbehaved::MetadataMalformed), "{piece} {total:?} {len}");
    }
    let mut fetch = MetadataFetch::new();
    assert_eq!(fetch.received(Instant::ZERO, key(0), 0, None, 1), Verdict::Unasked);
    fetch.offered(Instant::ZERO, key(0), host(0), 5);
    assert_eq!(fetch.received(Instant::ZERO, key(0), 0, None, 5), Verdict::Unasked);
    assert!(!fetch.rejected(Instant::ZERO, key(0), 0));
}

#[test]
fn nothing_is_asked_of_who_claims_nothing_or_too_much() {
    let mut fetch = MetadataFetch::new();
    fetch.offered(Instant::ZERO, key(0), host(0), 0);
    fetch.offered(Instant::ZERO, key(1), host(1), METADATA_SIZE_MAX + 1);
    assert_eq!(fetch.poll(Instant::ZERO, &mut Rng::new(Seed(1))), []);
    assert_eq!((fetch.next_wake(Instant::ZERO), fetch.progress()), (None, None));
}

#[test]
fn late_pieces_of_other_sizes_never_take_the_room_of_the_size_that_is_fetched() {
    let sizes: Vec<u32> = (2..8).map(|pieces| pieces * METADATA_PIECE_LEN).collect();
    let (mut fetch, mut rng, mut now) = (MetadataFetch::new(), Rng::new(Seed(1)), Instant::ZERO);
    for (index, &size) in sizes.iter().enumerate() {
        fetch.offered(now, key(index), host(index), size);
    }
    // Each takes too long, until the last of them is asked.
    let last = key(sizes.len() - 1);
    let asked = (0..100).any(|_| {
        now += REQUEST_TIMEOUT;
        fetch.poll(now, &mut rng).iter().any(|&(peer, _)| peer == last)
    });
    assert!(asked, "everybody's turn comes");
    // The others' answers come after all, before those of the one that is asked now.
    for (index, &size) in sizes.iter().enumerate().take(sizes.len() - 1) {
        let len = metadata_piece_len(size, 0).unwrap();
        fetch.received(now, key(index), 0, Some(size), len);
    }
    let size = sizes[sizes.len() - 1];
    for piece in 0..4 {
        let verdict = fetch.received(now, last, piece, Some(size), METADATA_PIECE_LEN);
        assert_eq!(verdict, Verdict::Keep { size }, "piece {piece}");
    }
    let asks = fetch.poll(now, &mut rng);
    let others: BTreeSet<u32> = asks.into_iter().map(|(_, piece)| piece).collect();
    assert!(others.is_disjoint(&(0..4).collect()), "what is here is not asked for again: {others:?}");
}

#[test]
fn memory_for_all_of_the_size_that_is_fetched_is_kept_free_of_late_pieces() {
    let mut buffers = Buffers::default();
    let (current, other) = (METADATA_SIZE_MAX, METADATA_SIZE_MAX - METADATA_PIECE_LEN);
    let most = (BUFFERED_BYTES_MAX / u64::from(METADATA_PIECE_LEN)) as u32;
    let mut kept = 0;
    for size in [other, other - 1, other - 2] {
        kept += (0..metadata_pieces(size))
            .filter(|&piece| buffers.put(size, piece, giver(), Some(current)))
            .count();
    }
    assert_eq!(kept as u32, most - metadata_pieces(current));
    let all = (0..metadata_pieces(current)).all(|piece| buffers.put(current, piece, giver(), Some(current)));
    assert!(all && buffers.held() == most);
}

fn giver() -> Giver {
    (key(0), host(0))
}
