//! What a user or operator may set, with the defaults. Shared and unchanging; limits that move at run time come as leases.

use core::time::Duration;
use wire::PeerId;

/// Settings of one session.
#[derive(Clone, Debug)]
pub struct Config {
    /// What we call ourselves (BEP 20): drawn by the driver, the same for all torrents of a session.
    pub peer_id: PeerId,
    /// Client name and version in the extension handshake (BEP 10 `v`).
    pub client: Box<str>,
    /// Links per torrent.
    pub links_per_torrent: u32,
    /// How often the choker meets (BEP 3: 10 s).
    pub choke_interval: Duration,
    /// How often the optimistic unchoke moves on (BEP 3: every third round).
    pub optimistic_interval: Duration,
    /// Who is unchoked by a seed.
    pub seed_policy: SeedPolicy,
    /// Whether a seed shows its pieces one by one while the first copy goes out (BEP 16).
    pub super_seeding: SuperSeeding,
    /// Requests that a peer may queue with us: the `reqq` we advertise (BEP 10). 500 blocks are 8 MiB.
    pub requests_in_max: u32,
    /// Requests that we queue with a peer at most, whatever its `reqq` says. 500 blocks are 8 MiB a round trip.
    pub requests_out_max: u32,
    /// Pieces of a fresh download that are picked at random before rarest-first takes over (BEP 3 practice: 4).
    pub random_first_pieces: u32,
    /// Unverified blocks older than this are spilled, younger ones if syncs are slow. 2 s: with the sync interval that leaves
    /// two seconds of the five that a crash may cost for a sync that lasts, and for one that begins behind it.
    pub spill_after: Duration,
    /// How long written bytes may stay unsynced while there is traffic.
    pub sync_interval: Duration,
    /// New pieces are told to peers this long after the first of them at the latest. 50 ms: short enough that nobody waits for news, long
    /// enough that a fast download tells dozens at once.
    pub haves_delay: Duration,
    /// Our address and port are not told to peers that need not know them, and no more is said of us than the protocol wants.
    pub anonymous: bool,
}

/// How a seed chooses whom to serve.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum SeedPolicy {
    /// In turn, each until a quota that ends on a piece boundary.
    #[default]
    RoundRobin,
    /// Who takes fastest.
    Fastest,
    /// Who has just begun or is nearly done, so that nobody gains by staying half-way.
    AntiLeech,
}

/// When a seed shows its pieces one by one while the first copy goes out.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum SuperSeeding {
    /// While it is the only seed, of a content that it did not download from others.
    #[default]
    Auto,
    /// Whenever it has everything, until everything is out.
    Always,
    /// Never.
    Never,
}

impl Config {
    /// The defaults, under this name.
    pub fn new(peer_id: PeerId) -> Config {
        Config {
            peer_id,
            client: concat!("Gannet ", env!("CARGO_PKG_VERSION")).into(),
            links_per_torrent: 80,
            choke_interval: Duration::from_secs(10),
            optimistic_interval: Duration::from_secs(30),
            seed_policy: SeedPolicy::default(),
            super_seeding: SuperSeeding::default(),
            requests_in_max: 500,
            requests_out_max: 500,
            random_first_pieces: 4,
            spill_after: Duration::from_secs(2),
            sync_interval: Duration::from_secs(1),
            haves_delay: Duration::from_millis(50),
            anonymous: false,
        }
    }
}
