//! The peers that others announced to us, by info-hash: bounded, fair to many announcers, forgotten in time.
//!
//! Knows no datagram and no token: who is put in here has proved its address. Invariants: at most [`TORRENTS_MAX`] torrents,
//! [`PEERS_PER_TORRENT_MAX`] peers of one, [`PEERS_PER_HOST_MAX`] of them on one host, and [`PEERS_PER_BLOCK_MAX`] from one block of addresses; when there
//! are too many torrents the farthest from our id goes, whose announcers have nearer nodes to tell; when a torrent has too many peers
//! one goes of the network that has the most; who asks is told of all networks alike. BEP: 5, 32, 33, 51. Threats: D6

use super::shares::Shares;
use crate::{Duration, Instant, Rng, address};
use core::net::{IpAddr, SocketAddr};
use std::collections::BTreeMap;
use wire::InfoHash;
use wire::bloom::Filter;
use wire::node_id::{Distance, NodeId};

/// Torrents kept (libtorrent: 2,000).
pub(super) const TORRENTS_MAX: usize = 2_000;

/// Peers of one torrent (libtorrent: 500).
pub(super) const PEERS_PER_TORRENT_MAX: usize = 500;

/// Peers of one torrent on one host, an address or a /64: as many clients as a household has, but not as many as there are ports.
pub(super) const PEERS_PER_HOST_MAX: usize = 4;

/// Peers of one block that an answer names before those of other blocks have had as many turns; of a network, so many times that.
const TURNS_OF_NETWORK: u32 = 8;

/// Peers of all torrents: 48 bytes each, so some 5 MB.
pub(super) const PEERS_MAX: usize = 100_000;

/// Announces of one /24 or /48, all torrents together: a household that seeds much, and a hundredth of what there is room for.
pub(super) const PEERS_PER_BLOCK_MAX: u32 = 1_000;

/// And of one /8 or /32: a quarter of what there is room for.
pub(super) const PEERS_PER_NETWORK_MAX: u32 = 25_000;

/// And torrents: half of what there is room for.
pub(super) const TORRENTS_PER_NETWORK_MAX: u32 = 1_000;

/// Torrents of one /24 or /48 that nobody else announced.
pub(super) const TORRENTS_PER_BLOCK_MAX: u32 = 200;

/// How long a peer is kept (BEP 5's reference: 30 minutes, libtorrent: 45).
pub const PEER_LIFE: Duration = Duration::from_secs(45 * 60);

/// Torrents looked at per announce, for peers whose time is over.
const SWEPT_PER_ANNOUNCE: usize = 4;

/// A peer that announced itself.
#[derive(Clone, Copy, Debug)]
struct Stored {
    peer: SocketAddr,
    seed: bool,
    until: Instant,
}

#[derive(Clone, Debug)]
struct Swarm {
    info_hash: InfoHash,
    /// In the order of their first announces.
    peers: Vec<Stored>,
    /// Who announced it first; it counts against that one.
    founder: IpAddr,
}

/// The store.
#[derive(Clone, Debug)]
pub(super) struct PeerStore {
    own: NodeId,
    /// By distance from our id.
    swarms: BTreeMap<Distance, Swarm>,
    peer_shares: Shares,
    torrent_shares: Shares,
    peers: usize,
    /// Where the sweep goes on.
    sweep: Option<Distance>,
}

impl PeerStore {
    /// An empty store of a node with this id.
    pub(super) fn new(own: NodeId) -> PeerStore {
        PeerStore {
            own,
            swarms: BTreeMap::new(),
            peer_shares: Shares::default(),
            torrent_shares: Shares::default(),
            peers: 0,
            sweep: None,
        }
    }

    /// A peer announces itself. Says whether it is kept.
    pub(super) fn announce(
        &mut self,
        now: Instant,
        info_hash: InfoHash,
        peer: SocketAddr,
        seed: bool,
    ) -> bool {
        self.sweep(now, SWEPT_PER_ANNOUNCE);
        let at = self.place(&info_hash);
        let stored = Stored { peer, seed, until: now + PEER_LIFE };
        if let Some(known) =
            self.swarms.get_mut(&at).and_then(|swarm| swarm.peers.iter_mut().find(|known| known.peer == peer))
        {
            *known = stored;
            return true;
        }
        let (ip, new) = (peer.ip(), !self.swarms.contains_key(&at));
        if !self.peer_shares.has_room(ip, PEERS_PER_BLOCK_MAX, PEERS_PER_NETWORK_MAX)
            || new && !self.torrent_shares.has_room(ip, TORRENTS_PER_BLOCK_MAX, TORRENTS_PER_NETWORK_MAX)
        {
            return false;
        }
        if new && self.swarms.len() >= TORRENTS_MAX || self.peers >= PEERS_MAX {
            let farthest = self.swarms.last_key_value().map(|(distance, _)| *distance);
            match farthest {
                Some(farthest) if farthest > at => self.forget(farthest),
                Some(_) | None => return false,
            }
        }
        let swarm =
            self.swarms.entry(at).or_insert_with(|| Swarm { info_hash, peers: Vec::new(), founder: ip });
        if let Some(gone) = swarm.who_gives_way(ip) {
            let gone = swarm.peers.remove(gone);
            self.peers -= 1;
            self.peer_shares.leave(gone.peer.ip());
        }
        swarm.peers.push(stored);
        self.peers += 1;
        self.peer_shares.take(ip);
        if new {
            self.torrent_shares.take(ip);
        }
        true
    }

    /// Whether one more torrent would find room: if not, who asks is told of nearer nodes only.
    pub(super) fn has_room_for(&self, info_hash: &InfoHash) -> bool {
        let at = self.place(info_hash);
        self.swarms.len() < TORRENTS_MAX
            || self.swarms.contains_key(&at)
            || self.swarms.last_key_value().is_some_and(|(farthest, _)| *farthest > at)
    }

    /// Some peers of a torrent, of one address family, in no particular order.
    pub(super) fn peers(
        &self,
        now: Instant,
        info_hash: &InfoHash,
        v4: bool,
        no_seeds: bool,
        count: usize,
        rng: &mut Rng,
    ) -> Vec<SocketAddr> {
        let Some(swarm) = self.swarms.get(&self.place(info_hash)) else { return Vec::new() };
        let fit = |stored: &&Stored| {
            stored.peer.is_ipv4() == v4 && stored.until > now && !(no_seeds && stored.seed)
        };
        let mut peers: Vec<SocketAddr> = swarm.peers.iter().filter(fit).map(|stored| stored.peer).collect();
        rng.shuffle(&mut peers);
        if peers.len() > count {
            deal(&mut peers);
            peers.truncate(count);
        }
        peers
    }

    /// The seeds and the other peers of a torrent, as filters (BEP 33).
    pub(super) fn filters(&self, now: Instant, info_hash: &InfoHash) -> Option<(Filter, Filter)> {
        let swarm = self.swarms.get(&self.place(info_hash))?;
        let (mut seeds, mut others) = (Filter::default(), Filter::default());
        for stored in swarm.peers.iter().filter(|stored| stored.until > now) {
            if stored.seed { &mut seeds } else { &mut others }.insert(stored.peer.ip());
        }
        Some((seeds, others))
    }

    /// Some of the torrents (BEP 51).
    pub(super) fn sample(&self, count: usize, rng: &mut Rng) -> Vec<InfoHash> {
        let mut all: Vec<InfoHash> = self.swarms.values().map(|swarm| swarm.info_hash).collect();
        rng.shuffle(&mut all);
        all.truncate(count);
        all
    }

    /// How many torrents there are.
    pub(super) fn torrents(&self) -> usize {
        self.swarms.len()
    }

    /// How many peers there are, of all torrents.
    pub(super) fn len(&self) -> usize {
        self.peers
    }

    /// Our id is another from now on.
    pub(super) fn move_to(&mut self, own: NodeId) {
        self.own = own;
        let swarms = core::mem::take(&mut self.swarms);
        self.swarms =
            swarms.into_values().map(|swarm| (NodeId::from(swarm.info_hash).distance(&own), swarm)).collect();
        self.sweep = None;
    }

    /// Looks at the next few torrents and forgets whose time is over.
    pub(super) fn sweep(&mut self, now: Instant, count: usize) {
        for _ in 0..count {
            let next = match self.sweep {
                Some(after) => {
                    let beyond = (core::ops::Bound::Excluded(after), core::ops::Bound::Unbounded);
                    self.swarms.range_mut(beyond).next()
                }
                None => self.swarms.iter_mut().next(),
            };
            let Some((&at, swarm)) = next else {
                self.sweep = None;
                continue;
            };
            self.sweep = Some(at);
            let (shares, total) = (&mut self.peer_shares, &mut self.peers);
            swarm.peers.retain(|stored| {
                let keep = stored.until > now;
                if !keep {
                    *total -= 1;
                    shares.leave(stored.peer.ip());
                }
                keep
            });
            if swarm.peers.is_empty() {
                self.forget(at);
            }
        }
    }

    fn forget(&mut self, at: Distance) {
        let Some(swarm) = self.swarms.remove(&at) else { return };
        self.peers -= swarm.peers.len();
        for stored in &swarm.peers {
            self.peer_shares.leave(stored.peer.ip());
        }
        self.torrent_shares.leave(swarm.founder);
    }

    fn place(&self, info_hash: &InfoHash) -> Distance {
        NodeId::from(*info_hash).distance(&self.own)
    }
}

impl Swarm {
    /// Whose place a newcomer from this address takes, if there is none to spare: the oldest of its host, if that has as many as one may have;
    /// in a full torrent the oldest of the block that has the most, within the network that has. First come, first served would let
    /// whoever fills it keep it; who gives way comes back if he lives.
    fn who_gives_way(&self, ip: IpAddr) -> Option<usize> {
        let ips = || self.peers.iter().map(|stored| stored.peer.ip());
        if address::block(ip).is_some() {
            let host = address::host(ip);
            let mut of_host = ips().enumerate().filter(|(_, other)| address::host(*other) == host);
            let oldest = of_host.next().map(|(at, _)| at);
            if of_host.count() + 1 >= PEERS_PER_HOST_MAX {
                return oldest;
            }
        }
        if self.peers.len() < PEERS_PER_TORRENT_MAX {
            return None;
        }
        let largest = most(ips().map(address::network));
        let block = most(ips().filter(|ip| address::network(*ip) == largest).map(address::block));
        ips().position(|ip| address::network(ip) == largest && address::block(ip) == block)
    }
}

/// What occurs most often; of several the least.
fn most(all: impl Iterator<Item = Option<IpAddr>>) -> Option<IpAddr> {
    let mut counts: BTreeMap<Option<IpAddr>, u32> = BTreeMap::new();
    all.for_each(|one| *counts.entry(one).or_default() += 1);
    counts.into_iter().max_by_key(|(one, count)| (*count, core::cmp::Reverse(*one)))?.0
}

/// Puts peers into an order in which all blocks of addresses have their turns, and all networks.
fn deal(peers: &mut [SocketAddr]) {
    let mut blocks: BTreeMap<IpAddr, u32> = BTreeMap::new();
    let mut networks: BTreeMap<IpAddr, u32> = BTreeMap::new();
    let turn = |rows: &mut BTreeMap<IpAddr, u32>, key: Option<IpAddr>| {
        let Some(key) = key else { return 0 };
        let count = rows.entry(key).or_default();
        *count += 1;
        *count - 1
    };
    peers.sort_by_cached_key(|peer| {
        let of_block = turn(&mut blocks, address::block(peer.ip()));
        of_block.max(turn(&mut networks, address::network(peer.ip())) / TURNS_OF_NETWORK)
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seed;

    const OWN: NodeId = NodeId([0; 20]);

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn hash(n: u32) -> InfoHash {
        let mut bytes = [0; 20];
        bytes[..4].copy_from_slice(&n.to_be_bytes());
        InfoHash(bytes)
    }

    fn peer(n: u32) -> SocketAddr {
        SocketAddr::from(((0x0b00_0000 + n % 50 * 0x0100_0000 + n * 0x101).to_be_bytes(), 6881))
    }

    fn given(store: &PeerStore, now: Instant, n: u32, no_seeds: bool) -> usize {
        store.peers(now, &hash(n), true, no_seeds, 1000, &mut Rng::new(Seed(1))).len()
    }

    #[test]
    fn a_peer_is_given_out_until_its_time_is_over_and_an_announce_prolongs_it() {
        let mut store = PeerStore::new(OWN);
        assert!(store.announce(at(0), hash(1), peer(1), false));
        assert!(store.announce(at(0), hash(1), peer(2), true));
        assert!(store.announce(at(1000), hash(1), peer(2), true));
        assert_eq!((given(&store, at(0), 1, false), given(&store, at(0), 1, true)), (2, 1));
        assert_eq!(given(&store, at(2699), 1, false), 2);
        assert_eq!(given(&store, at(2700), 1, false), 1);
        store.sweep(at(2700), 1);
        assert_eq!(
            (store.len(), store.torrent_shares.is_empty()),
            (1, false),
            "who began a swarm answers for it as long as it lasts"
        );
        store.sweep(at(4000), 2);
        assert_eq!((store.torrents(), store.len()), (0, 0), "nothing is left");
        assert!(store.peer_shares.is_empty() && store.torrent_shares.is_empty());
    }

    #[test]
    fn the_farthest_torrents_go_when_there_are_too_many() {
        let mut store = PeerStore::new(OWN);
        for n in 1..=TORRENTS_MAX as u32 {
            assert!(store.announce(at(0), hash(n * 2), peer(n), false));
        }
        let far = TORRENTS_MAX as u32 * 2 + 1;
        assert!(!store.has_room_for(&hash(far)) && !store.announce(at(0), hash(far), peer(far), false));
        assert!(store.has_room_for(&hash(3)) && store.announce(at(0), hash(3), peer(3), false));
        assert_eq!((store.torrents(), given(&store, at(0), far - 1, false)), (TORRENTS_MAX, 0));
        assert_eq!(store.peers, store.swarms.values().map(|swarm| swarm.peers.len()).sum::<usize>());
    }

    #[test]
    fn one_block_of_addresses_cannot_fill_the_store_and_honest_torrents_stay() {
        let mut store = PeerStore::new(OWN);
        for n in 0..1000 {
            assert!(store.announce(at(0), hash(0x8000_0000 + n), peer(n), false));
        }
        for n in 0..100_000u32 {
            let flooder = SocketAddr::from(([66, 6, 6, n as u8], 1000 + (n >> 8) as u16));
            store.announce(at(1), hash(n), flooder, false);
        }
        assert_eq!(store.torrents(), 1000 + TORRENTS_PER_BLOCK_MAX as usize);
        assert!((0..1000).all(|n| given(&store, at(1), 0x8000_0000 + n, false) == 1));
    }

    #[test]
    fn a_full_torrent_lets_its_oldest_peer_go() {
        let mut store = PeerStore::new(OWN);
        for n in 0..PEERS_PER_TORRENT_MAX as u32 + 10 {
            assert!(store.announce(at(0), hash(1), peer(n), false));
        }
        assert_eq!(
            (store.len(), given(&store, at(0), 1, false)),
            (PEERS_PER_TORRENT_MAX, PEERS_PER_TORRENT_MAX)
        );
        assert!(store.filters(at(0), &hash(1)).is_some_and(|(_, others)| others != Filter::default()));
    }

    #[test]
    fn one_host_has_few_peers_of_a_torrent_and_no_network_drives_others_out_or_is_told_of_alone() {
        let honest = |n: u32| SocketAddr::from(((0x0b01_0101 + n * 0x0100_0000).to_be_bytes(), 6881));
        let host = |n: u32| SocketAddr::from(([99, 6, 6, 6], 1000 + n as u16));
        let host6 = |n: u32| SocketAddr::from(([0x2001, 0xdb8, 6, 6, n as u16, 0, 0, 1], 6881));
        let block = |n: u32| SocketAddr::from(([99, 6, 6, n as u8], 1000 + n as u16));
        let network = |n: u32| SocketAddr::from(([99, (n >> 8) as u8, n as u8, 1], 6881));
        let home = |n: u32| SocketAddr::from(([192, 168, 1, 1], 1000 + n as u16));
        // Who floods, after forty honest peers and before forty others; how many places the flooders get.
        let cases: [(&dyn Fn(u32) -> SocketAddr, usize); 5] =
            [(&host, 4), (&host6, 4), (&block, 420), (&network, 420), (&home, 420)];
        for (flooder, most) in cases {
            let mut store = PeerStore::new(OWN);
            (0..40).for_each(|n| assert!(store.announce(at(0), hash(1), honest(n), false)));
            (0..900).for_each(|n| {
                store.announce(at(0), hash(1), flooder(n), false);
            });
            (40..80).for_each(|n| assert!(store.announce(at(0), hash(1), honest(n), false)));
            let all: Vec<SocketAddr> =
                store.swarms.values().flat_map(|swarm| &swarm.peers).map(|s| s.peer).collect();
            let kept = (0..80).filter(|n| all.contains(&honest(*n))).count();
            assert_eq!((kept, all.len() - kept), (80, most), "{}", flooder(0));
            if flooder(0).is_ipv4() && flooder(0).ip() != home(0).ip() {
                let told = store.peers(at(1), &hash(1), true, false, 100, &mut Rng::new(Seed(1)));
                let honest_told = (0..80).filter(|n| told.contains(&honest(*n))).count();
                assert_eq!((told.len().min(100), honest_told), (80 + most.min(20), 80), "{}", flooder(0));
            }
        }
    }

    #[test]
    fn a_new_id_changes_what_is_near_and_loses_nothing() {
        let mut store = PeerStore::new(OWN);
        (0..50).for_each(|n| assert!(store.announce(at(0), hash(n), peer(n), false)));
        store.move_to(NodeId([0xff; 20]));
        assert!((0..50).all(|n| given(&store, at(0), n, false) == 1));
        assert_eq!(store.sample(20, &mut Rng::new(Seed(1))).len(), 20);
    }
}
