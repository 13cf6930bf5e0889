//! The nodes of one address family that a node of ours knows: many far away, all that are near (Kademlia, section 2.4).
//!
//! Knows no datagram and asks nobody: it is told who answered, who asked and who stayed silent, and says whom to ask next.
//! Invariants: who sits in a bucket answered a query of ours, in this run or the one before; a host has one seat; a /24 or /48 has at most
//! [`PER_BLOCK_MAX`] seats of a bucket and a /8 or /32 an eighth of them; a stranger that stays silent is asked once; a bucket holds at most its
//! width and [`SPARES_MAX`] spares. BEP: 5, 32, 42. Threats: D3, D5

use super::strangers::Strangers;
use crate::{Duration, Instant, address};
use core::net::{IpAddr, SocketAddr};
use wire::krpc::NodeInfo;
use wire::node_id::NodeId;

/// Nodes nearest to a target that an answer names and that store what is announced (BEP 5).
pub const K: usize = 8;

/// How many nodes the widest buckets hold: half of all nodes fall into the first. With 128 of them the first step of a lookup gains seven
/// bits and not three; libtorrent does the same.
const WIDTHS: [usize; 4] = [128, 64, 32, 16];

/// Buckets at most: with 2^50 nodes the last one would still hold one.
const BUCKETS_MAX: usize = 50;

/// Nodes that wait for a seat in a bucket, the oldest of them give way.
pub(super) const SPARES_MAX: usize = 8;

/// Seats of a bucket for one block of addresses.
pub(super) const PER_BLOCK_MAX: usize = 2;

/// Seats of a narrow bucket for one network of addresses; of a wide one an eighth: by chance it is a two hundredth.
pub(super) const PER_NETWORK_MIN: usize = 3;

/// Queries without an answer after which a node gives its seat to a spare; one lost datagram is no sign of death.
const FAILS_FOR_SPARE: u8 = 2;

/// And after which it goes even if nobody waits for its seat.
const FAILS_MAX: u8 = 5;

/// After so long without a sign of life a node is asked for one (BEP 5: 15 minutes).
pub(super) const STALE_AFTER: Duration = Duration::from_secs(15 * 60);

/// How long a silent node is left alone before it is asked again.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// A spare that was not asked for so long gives its place to another.
const SPARE_LIFE: Duration = Duration::from_secs(15 * 60);

/// Who calls us is asked for a sign of life only when it has been quiet for so long: its NAT, if it has one, is shut by then, and a node that
/// only those reach whom it called itself is of no use to others.
pub(super) const SETTLED_AFTER: Duration = Duration::from_secs(150);

/// A table of fewer nodes than this takes whom it gets.
pub(super) const TABLE_SMALL: usize = 4 * K;

/// What the table asks of a seat besides life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Defences {
    /// A node whose id fits its address (BEP 42) takes the seat of one whose id does not.
    pub secure_ids: bool,
    /// One seat per host, few per block of addresses.
    pub per_host: bool,
    /// Lookups go on to where the nearest nodes should lie if nobody crowds around the target, and count few of a network.
    pub wide_lookups: bool,
}

impl Defences {
    /// All of them.
    pub const ALL: Defences = Defences { secure_ids: true, per_host: true, wide_lookups: true };
    /// None: for experiments that show what they are good for.
    pub const NONE: Defences = Defences { secure_ids: false, per_host: false, wide_lookups: false };
}

/// A node and what we know of it.
#[derive(Clone, Copy, Debug)]
struct Entry {
    info: NodeInfo,
    /// When it last gave a sign of life; `ZERO` if not in this run.
    heard: Instant,
    /// When it was last asked for one, if ever.
    asked: Option<Instant>,
    /// When it came into the table.
    since: Instant,
    /// Its id fits its address.
    fits: bool,
    /// It answered a query of ours in this run.
    answered: bool,
    /// It asked us something, so that its NAT may be open to us.
    called: bool,
    /// Queries in a row that it did not answer.
    fails: u8,
}

#[derive(Clone, Debug, Default)]
struct Bucket {
    nodes: Vec<Entry>,
    spares: Vec<Entry>,
}

/// The table.
#[derive(Clone, Debug)]
pub(super) struct RoutingTable {
    own: NodeId,
    defences: Defences,
    /// The bucket at `i` holds nodes that share `i` bits with us, the last one all that share more.
    buckets: Vec<Bucket>,
    strangers: Strangers,
    /// A spare was asked last, so that it is a seated node's turn.
    spare_was_asked: bool,
}

impl Entry {
    /// Not one that was silent just now.
    fn may_be_asked(&self, now: Instant) -> bool {
        self.asked.is_none_or(|asked| now.since(asked) >= RETRY_AFTER)
    }
}

impl RoutingTable {
    /// A table of nobody, around our id.
    pub(super) fn new(own: NodeId, defences: Defences) -> RoutingTable {
        RoutingTable {
            own,
            defences,
            buckets: vec![Bucket::default()],
            strangers: Strangers::default(),
            spare_was_asked: false,
        }
    }

    /// Our id.
    pub(super) fn own(&self) -> NodeId {
        self.own
    }

    /// We have another id from now on: everybody is seated anew, as far as there is room.
    pub(super) fn move_to(&mut self, own: NodeId) {
        let before = core::mem::replace(self, RoutingTable::new(own, self.defences));
        self.strangers = before.strangers;
        for entry in before.buckets.into_iter().flat_map(|bucket| bucket.nodes) {
            self.seat(entry);
        }
    }

    /// A node that sat here when the program last ended. It keeps its seat until it stays silent.
    pub(super) fn restore(&mut self, info: NodeInfo) {
        let entry = self.entry(Instant::ZERO, info, false);
        self.seat(entry);
    }

    /// A node answered us.
    pub(super) fn answered(&mut self, now: Instant, info: NodeInfo) {
        self.strangers.forget(info.address);
        if let Some(known) = self.find_mut(&info) {
            (known.heard, known.fails, known.answered) = (now, 0, true);
            return;
        }
        self.evict_impostor(&info);
        let at = self.bucket_of(&info.id);
        self.buckets[at].spares.retain(|spare| spare.info.address != info.address);
        let entry = self.entry(now, info, true);
        if let Some(left_over) = self.seat(entry) {
            self.wait(left_over);
        }
    }

    /// An asker answered us shortly after it asked. That says little about whether others reach it, so it wins no seat by that where there are enough.
    pub(super) fn answered_when_called(&mut self, now: Instant, info: NodeInfo) {
        if self.len() < TABLE_SMALL || self.find(&info).is_some() {
            self.answered(now, info);
        }
    }

    /// A node asked us something, or another named it: a sign of life of one that we know; of a stranger only a hint, since anybody can write a
    /// false sender. Says whether it waits for a seat now, and so will be asked whether it is there.
    pub(super) fn hear_of(&mut self, now: Instant, info: NodeInfo, itself: bool) -> bool {
        if let Some(known) = self.find_mut(&info) {
            if itself && known.answered {
                known.heard = now;
            }
            return false;
        }
        let entry = Entry { called: itself, ..self.entry(now, info, false) };
        !self.strangers.has(now, info.address) && self.has_room_for(&info) && self.wait(entry)
    }

    /// Whether this address may be asked whether somebody is there: not if it was asked lately, and was silent. Notes that it is asked now.
    pub(super) fn may_ask_stranger(&mut self, now: Instant, address: SocketAddr) -> bool {
        let may = !self.strangers.has(now, address);
        if may {
            self.strangers.ask(now, address);
        }
        may
    }

    /// A node did not answer.
    pub(super) fn failed(&mut self, info: &NodeInfo) {
        let at = self.bucket_of(&info.id);
        let bucket = &mut self.buckets[at];
        bucket.spares.retain(|spare| spare.info.address != info.address);
        let Some(seat) = bucket.nodes.iter().position(|entry| entry.info == *info) else { return };
        let entry = &mut bucket.nodes[seat];
        entry.fails = entry.fails.saturating_add(1);
        if entry.fails >= FAILS_MAX {
            bucket.nodes.remove(seat);
        } else if entry.fails >= FAILS_FOR_SPARE
            && let Some(spare) = bucket.spares.iter().rposition(|spare| spare.answered)
        {
            let spare = bucket.spares.remove(spare);
            bucket.nodes.remove(seat);
            self.seat(spare);
        }
    }

    /// The live nodes nearest to a target, the nearest first, at most `count`.
    pub(super) fn closest(&self, target: &NodeId, count: usize) -> Vec<NodeInfo> {
        self.nearest(target, count, |entry| entry.fails == 0)
    }

    /// The nodes to begin a lookup with: live ones, then such as missed an answer, then such as never gave one.
    pub(super) fn to_begin_with(&self, target: &NodeId, count: usize) -> Vec<NodeInfo> {
        let mut begin = self.nearest(target, count, |entry| entry.fails < FAILS_FOR_SPARE);
        if begin.len() < count {
            // Not those who only called: what they say of their addresses is looked into in its own time, and once.
            let spares = self.buckets.iter().flat_map(|bucket| &bucket.spares).filter(|spare| !spare.called);
            begin.extend(spares.take(count - begin.len()).map(|spare| spare.info));
        }
        begin
    }

    /// Whom to ask for a sign of life now, if anybody, and whether it ever gave one: a spare whose bucket has a free seat, or the seated node that
    /// was silent the longest, in turn. A stranger is asked once.
    pub(super) fn ask_next(&mut self, now: Instant) -> Option<(NodeInfo, bool)> {
        let spare = self.hopeful_spare(now);
        let seated = self.stalest(now);
        if let Some((bucket, at)) = spare.filter(|_| !self.spare_was_asked || seated.is_none()) {
            self.spare_was_asked = true;
            let spare = &mut self.buckets[bucket].spares[at];
            spare.asked = Some(now);
            let (info, answered) = (spare.info, spare.answered);
            if !answered {
                self.buckets[bucket].spares.remove(at);
                self.strangers.ask(now, info.address);
            }
            return Some((info, answered));
        }
        self.spare_was_asked = false;
        let (bucket, at) = seated?;
        let entry = &mut self.buckets[bucket].nodes[at];
        entry.asked = Some(now);
        Some((entry.info, true))
    }

    /// A spare that may be asked and has a seat to hope for.
    fn hopeful_spare(&self, now: Instant) -> Option<(usize, usize)> {
        let small = self.len() < TABLE_SMALL;
        let hopeful = |spare: &Entry| {
            let settled = small || !spare.called || now.since(spare.heard) >= SETTLED_AFTER;
            spare.may_be_asked(now) && settled
        };
        let mut roomy =
            self.buckets.iter().enumerate().filter(|(at, bucket)| bucket.nodes.len() < width(*at));
        roomy.find_map(|(at, bucket)| Some((at, bucket.spares.iter().position(hopeful)?)))
    }

    /// The seated node that should give a sign of life: one that missed an answer, or the one that was silent the longest.
    fn stalest(&self, now: Instant) -> Option<(usize, usize)> {
        let is_due = |entry: &Entry| {
            let stale = now.since(entry.heard) >= STALE_AFTER || entry.heard == Instant::ZERO;
            (stale || entry.fails > 0) && entry.may_be_asked(now)
        };
        let seats = self.buckets.iter().enumerate().flat_map(|(bucket, all)| {
            all.nodes.iter().enumerate().map(move |(at, entry)| ((bucket, at), entry))
        });
        let due = seats.filter(|(_, entry)| is_due(entry));
        due.min_by_key(|(_, entry)| (entry.fails == 0, entry.heard)).map(|(place, _)| place)
    }

    /// Whether a node of this id could have a free seat: then it is worth a question.
    fn has_room_for(&self, info: &NodeInfo) -> bool {
        let at = self.bucket_of(&info.id);
        let free = self.buckets[at].nodes.len() < width(at) || at + 1 == self.buckets.len();
        free && self.find(info).is_none() && info.id != self.own && self.is_allowed(info, at)
    }

    /// Everybody with a seat, the farthest bucket first.
    pub(super) fn nodes(&self) -> impl Iterator<Item = NodeInfo> + '_ {
        self.buckets.iter().flat_map(|bucket| &bucket.nodes).map(|entry| entry.info)
    }

    /// How many have a seat.
    pub(super) fn len(&self) -> usize {
        self.buckets.iter().map(|bucket| bucket.nodes.len()).sum()
    }

    /// Whether nobody has.
    pub(super) fn is_empty(&self) -> bool {
        self.buckets.iter().all(|bucket| bucket.nodes.is_empty())
    }

    /// How many buckets there are: grows with the logarithm of the number of nodes there are.
    pub(super) fn depth(&self) -> usize {
        self.buckets.len()
    }

    /// Whether this very node sits here and answered us: what it says of its address is true.
    pub(super) fn is_verified(&self, address: SocketAddr, id: &NodeId) -> bool {
        self.find(&NodeInfo { id: *id, address }).is_some_and(|entry| entry.answered)
    }

    fn entry(&self, now: Instant, info: NodeInfo, answered: bool) -> Entry {
        Entry {
            info,
            heard: now,
            asked: None,
            since: now,
            fits: info.id.fits(info.address.ip()),
            answered,
            called: false,
            fails: 0,
        }
    }

    fn nearest(&self, target: &NodeId, count: usize, may: impl Fn(&Entry) -> bool) -> Vec<NodeInfo> {
        let mut found: Vec<NodeInfo> = self
            .buckets
            .iter()
            .flat_map(|bucket| &bucket.nodes)
            .filter(|entry| may(entry))
            .map(|entry| entry.info)
            .collect();
        let key = |info: &NodeInfo| info.id.distance(target);
        if found.len() > count && count > 0 {
            found.select_nth_unstable_by_key(count - 1, key);
        }
        found.truncate(count);
        found.sort_unstable_by_key(key);
        found
    }

    fn bucket_of(&self, id: &NodeId) -> usize {
        (self.own.shared_bits(id) as usize).min(self.buckets.len() - 1)
    }

    fn find(&self, info: &NodeInfo) -> Option<&Entry> {
        self.buckets[self.bucket_of(&info.id)].nodes.iter().find(|entry| entry.info == *info)
    }

    fn find_mut(&mut self, info: &NodeInfo) -> Option<&mut Entry> {
        let at = self.bucket_of(&info.id);
        self.buckets[at].nodes.iter_mut().find(|entry| entry.info == *info)
    }

    /// The address answers under another id than before, so the node that we had there is no more.
    fn evict_impostor(&mut self, info: &NodeInfo) {
        for bucket in &mut self.buckets {
            bucket.nodes.retain(|entry| entry.info.address != info.address);
        }
    }

    /// Whether the rules for hosts and blocks leave a seat in this bucket.
    fn is_allowed(&self, info: &NodeInfo, at: usize) -> bool {
        let ip = info.address.ip();
        let Some(block) = address::block(ip).filter(|_| self.defences.per_host) else { return true };
        let (host, network) = (address::host(ip), address::network(ip));
        let mut all = self.buckets.iter().flat_map(|bucket| &bucket.nodes);
        let seats = |of: &dyn Fn(IpAddr) -> bool| {
            self.buckets[at].nodes.iter().filter(|entry| of(entry.info.address.ip())).count()
        };
        seats(&|ip| address::block(ip) == Some(block)) < PER_BLOCK_MAX
            && seats(&|ip| address::network(ip) == network) < PER_NETWORK_MIN.max(width(at) / 8)
            && all.all(|entry| address::host(entry.info.address.ip()) != host)
    }

    /// Gives a node a seat. Returns who is left without one: it, or whose seat it took.
    fn seat(&mut self, entry: Entry) -> Option<Entry> {
        if entry.info.id == self.own {
            return None;
        }
        loop {
            let at = self.bucket_of(&entry.info.id);
            // An id that is taken stays with whom it answered for, until that one is silent.
            let twin = self.buckets[at].nodes.iter().position(|other| other.info.id == entry.info.id);
            if let Some(twin) = twin {
                let twin = &mut self.buckets[at].nodes[twin];
                return (twin.fails > 0)
                    .then(|| core::mem::replace(twin, entry))
                    .map_or(Some(entry), |_| None);
            }
            if !self.is_allowed(&entry.info, at) {
                return None;
            }
            if self.buckets[at].nodes.len() < width(at) {
                self.buckets[at].nodes.push(entry);
                return None;
            }
            if at + 1 < self.buckets.len() || self.buckets.len() >= BUCKETS_MAX {
                return Some(self.replace(at, entry));
            }
            self.split();
        }
    }

    /// The bucket is full: the worst gives way if the newcomer is better. Returns who has no seat.
    fn replace(&mut self, at: usize, entry: Entry) -> Entry {
        let secure_ids = self.defences.secure_ids;
        let badness = |entry: &Entry| (entry.fails, secure_ids && !entry.fits);
        let Some(worst) = self.buckets[at].nodes.iter_mut().max_by_key(|entry| badness(entry)) else {
            return entry;
        };
        if badness(worst) > badness(&entry) { core::mem::replace(worst, entry) } else { entry }
    }

    /// The last bucket becomes two.
    fn split(&mut self) {
        let at = self.buckets.len() - 1;
        let own = self.own;
        let stays = |entry: &Entry| own.shared_bits(&entry.info.id) as usize == at;
        let last = &mut self.buckets[at];
        let (stay, go) = last.nodes.iter().partition(|entry| stays(entry));
        let (spares_stay, spares_go) = last.spares.iter().partition(|entry| stays(entry));
        *last = Bucket { nodes: stay, spares: spares_stay };
        self.buckets.push(Bucket { nodes: go, spares: spares_go });
        // The farther one is narrower from here on only if it is past the wide ones; who is too many there waits.
        let surplus = self.buckets[at].nodes.len().saturating_sub(width(at));
        for _ in 0..surplus {
            if let Some(entry) = self.buckets[at].nodes.pop() {
                self.wait(entry);
            }
        }
    }

    /// Lets a node wait for a seat. Who answered us comes before who only asked.
    /// Says whether it waits now and did not before.
    fn wait(&mut self, entry: Entry) -> bool {
        let at = self.bucket_of(&entry.info.id);
        if entry.info.id == self.own || !self.is_allowed(&entry.info, at) {
            return false;
        }
        let spares = &mut self.buckets[at].spares;
        let host = address::host(entry.info.address.ip());
        let private = address::block(entry.info.address.ip()).is_none();
        let same = |spare: &Entry| {
            spare.info.address == entry.info.address
                || !private && address::host(spare.info.address.ip()) == host
        };
        if let Some(known) = spares.iter_mut().find(|spare| same(spare)) {
            // What was asked of it is not forgotten when it calls again.
            (known.heard, known.called) = (entry.heard, known.called || entry.called);
            return false;
        }
        if spares.len() >= SPARES_MAX {
            // Strangers wait in the order in which they came, so that nobody drives them all out by calling under many names.
            let oldest = spares.iter().position(|spare| !spare.answered).unwrap_or(0);
            let rested = entry.heard.since(spares[oldest].since) >= SPARE_LIFE;
            if !entry.answered && (spares[oldest].answered || !rested) {
                return false;
            }
            spares.remove(oldest);
        }
        spares.push(entry);
        true
    }
}

/// Seats of the bucket at this place.
fn width(at: usize) -> usize {
    WIDTHS.get(at).copied().unwrap_or(K)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Rng, Seed};

    const OWN: NodeId = NodeId([0; 20]);

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    /// A node whose id begins so, at a host of its own.
    fn node(n: u32, first: u32) -> NodeInfo {
        let mut id = [0; 20];
        id[..4].copy_from_slice(&first.to_be_bytes());
        id[16..].copy_from_slice(&(n + 1).to_be_bytes());
        let ip = 0x0b00_0001 + (n % 90) * 0x0100_0000 + n / 90 * 0x0001_0000;
        NodeInfo { id: NodeId(id), address: SocketAddr::from((ip.to_be_bytes(), 6881)) }
    }

    fn full() -> RoutingTable {
        let (mut table, mut rng) = (RoutingTable::new(OWN, Defences::ALL), Rng::new(Seed(1)));
        (0..3000).for_each(|n| table.answered(at(1), node(n, rng.next_u32())));
        table
    }

    #[test]
    fn far_buckets_are_wide_near_ones_complete_and_all_are_bounded() {
        let table = full();
        let counts: Vec<usize> = table.buckets.iter().map(|bucket| bucket.nodes.len()).collect();
        assert_eq!(counts[..5], [128, 64, 32, 16, 8], "{counts:?}");
        assert!(
            (6..14).contains(&table.depth())
                && table.buckets.iter().all(|bucket| bucket.spares.len() <= SPARES_MAX)
        );
        for (at, bucket) in table.buckets.iter().enumerate().take(table.depth() - 1) {
            assert!(bucket.nodes.iter().all(|entry| OWN.shared_bits(&entry.info.id) as usize == at));
        }
    }

    #[test]
    fn the_nearest_are_those_that_a_look_at_all_finds() {
        let (table, mut rng) = (full(), Rng::new(Seed(2)));
        for _ in 0..50 {
            let target = node(9, rng.next_u32()).id;
            let mut all: Vec<NodeInfo> = table.nodes().collect();
            all.sort_by_key(|info| info.id.distance(&target));
            assert_eq!(table.closest(&target, K), all[..K]);
        }
        assert!(table.closest(&OWN, 0).is_empty());
    }

    #[test]
    fn a_host_has_one_seat_a_block_few_and_neighbours_at_home_as_many_as_they_are() {
        let mut table = RoutingTable::new(OWN, Defences::ALL);
        let seat =
            |ip: [u8; 4], port: u16, id: u8| NodeInfo { id: NodeId([id; 20]), address: (ip, port).into() };
        for n in 1..50 {
            table.answered(at(1), seat([9, 9, 9, 9], u16::from(n), n));
        }
        assert_eq!(table.len(), 1);
        for n in 1..50 {
            table.answered(at(1), seat([8, 8, 8, n], 1, 50 + n));
        }
        assert_eq!(table.len(), 1 + PER_BLOCK_MAX);
        for n in 1..20 {
            table.answered(at(1), seat([192, 168, 0, 1], u16::from(n), 100 + n));
        }
        assert_eq!(table.len(), 1 + PER_BLOCK_MAX + 19);
    }

    #[test]
    fn a_silent_node_gives_its_seat_to_one_that_answered_and_a_stranger_never_gets_one_unasked() {
        let mut table = full();
        let seated = table.closest(&NodeId([0xff; 20]), 1)[0];
        let before = table.len();
        table.failed(&seated);
        assert!(
            !table.closest(&NodeId([0xff; 20]), 1).contains(&seated),
            "one that is silent is named to nobody"
        );
        table.failed(&seated);
        assert_eq!(table.len(), before);
        assert!(table.nodes().all(|info| info != seated), "a spare has its seat");

        let mut table = RoutingTable::new(OWN, Defences::ALL);
        assert!(table.hear_of(at(1), node(1, 5), true) && !table.hear_of(at(2), node(1, 5), true));
        assert!(table.is_empty());
        assert_eq!(table.ask_next(at(100)), Some((node(1, 5), false)));
        assert_eq!(table.ask_next(at(101)), None, "it is asked once");
        table.answered(at(102), node(1, 5));
        assert!(table.is_verified(node(1, 5).address, &node(1, 5).id));
        assert!(!table.is_verified(node(1, 5).address, &node(2, 5).id));
    }

    #[test]
    fn an_address_that_answers_under_another_id_loses_its_old_seat() {
        let mut table = RoutingTable::new(OWN, Defences::ALL);
        let (old, new) = (node(1, 5), NodeInfo { id: NodeId([9; 20]), ..node(1, 5) });
        table.answered(at(1), old);
        table.answered(at(2), new);
        assert_eq!(table.nodes().collect::<Vec<_>>(), [new]);
        let thief = NodeInfo { address: node(2, 5).address, ..new };
        table.answered(at(3), thief);
        assert_eq!(
            table.nodes().collect::<Vec<_>>(),
            [new],
            "an id that is taken stays with whom it answered for"
        );
    }

    #[test]
    fn in_a_full_bucket_an_id_that_fits_its_address_takes_the_seat_of_one_that_does_not() {
        let mut table = full();
        let before = table.len();
        let ip = core::net::Ipv4Addr::new(77, 1, 2, 3);
        let fitting =
            (0..=255u8).map(|n| NodeId::secure(ip.into(), [n; 20])).find(|id| id.0[0] >= 0x80).unwrap();
        let info = NodeInfo { id: fitting, address: SocketAddr::from((ip, 6881)) };
        table.answered(at(5), info);
        assert!(table.nodes().any(|other| other == info) && table.len() == before);
    }
}
