//! What a user of the library may set. Plain values with sensible defaults.

use super::StartError;
use super::asking::{CheckRoom, ChooseFiles};
use super::dht::DhtConfig;
use crate::net::listen::Listen;
use proto::command::SeedGoal;
use proto::door::{Encryption, Policy};
use proto::share::Limits;
use proto::{Config, Priority};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use wire::PeerId;
use wire::offer::Place;
use wire::private::SwarmKey;

/// Links at once by default: enough to fill any home's line many times over, few enough for any router.
const LINKS_DEFAULT: u32 = 500;

/// Peers unchoked at once by default.
const UNCHOKE_SLOTS_DEFAULT: u32 = 16;

/// Connection attempts begun per second by default, as libtorrent's.
const DIALS_DEFAULT: u32 = 30;

/// Bytes of unwritten payload at once by default: four pieces of 16 MiB. Twice as much was measured to be no faster.
const BUFFER_DEFAULT: u64 = 64 * 1024 * 1024;

/// Settings of a client.
///
/// ```
/// let mut config = gannet::ClientConfig::new("/var/lib/gannet", "/srv/downloads");
/// config.limits.up = Some(1_000_000); // bytes per second
/// config.listen.ports = 51413..=51413;
/// ```
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Where torrents, settings and progress are remembered. Created if it is absent. Several clients may share it, but a
    /// torrent is run by one of them at a time, and no two that run may have a file of the same path.
    pub state_dir: PathBuf,
    /// Where content goes, unless a torrent says otherwise. Created when the first file is.
    pub output_dir: PathBuf,
    /// Where peers reach us.
    pub listen: Listen,
    /// What all torrents together may use. Rates are bytes per second.
    pub limits: Limits,
    /// Whether links are encrypted. It hides what kind of traffic they carry from those who sort traffic by how it looks; it
    /// keeps nothing secret.
    pub encryption: Encryption,
    /// Whether clients on the same network are looked for, and let find us (BEP 14): what is not private is named there. It keeps
    /// to the interfaces of [`ClientConfig::listen`].
    pub local_discovery: bool,
    /// How this client takes part in the distributed hash table (BEP 5), if it does: where torrents that are not private find peers
    /// without any tracker.
    pub dht: Option<DhtConfig>,
    /// The key of a private swarm: with it all links are sealed under it (`wire::private`), whatever `encryption` says, and with
    /// nobody else one byte of BitTorrent is exchanged. Torrents that name trackers or web seeds are refused then, and
    /// none is named on the local network or in the DHT, whatever `local_discovery` and `dht` say.
    pub swarm_key: Option<SwarmKey>,
    /// How the protocol is played. Its `peer_id` is drawn anew at every start, unless [`ClientConfig::peer_id`] is set.
    pub session: Config,
    /// Threads that read, write and hash; one per core by default.
    pub disk_threads: NonZeroUsize,
    /// What we call ourselves to peers and trackers (BEP 20), instead of `-GN0100-` and twelve random bytes.
    pub peer_id: Option<PeerId>,
    /// A file into which everything that happens to the session is recorded, so that it can be replayed (`proto::trace`). It is
    /// new, or an earlier recording, which is overwritten. It holds no payload, but every address, name and tracker, and only
    /// its owner may read it. The recording ends early, with a warning, if it comes to 1 GiB or the disk cannot keep up.
    pub record: Option<PathBuf>,
}

impl ClientConfig {
    /// The defaults, with state and content in these directories.
    pub fn new(state_dir: impl Into<PathBuf>, output_dir: impl Into<PathBuf>) -> ClientConfig {
        ClientConfig {
            state_dir: state_dir.into(),
            output_dir: output_dir.into(),
            listen: Listen::default(),
            limits: Limits {
                up: None,
                down: None,
                unchoke_slots: UNCHOKE_SLOTS_DEFAULT,
                links: LINKS_DEFAULT,
                dials: DIALS_DEFAULT,
                buffer: BUFFER_DEFAULT,
            },
            encryption: Encryption::default(),
            local_discovery: true,
            dht: Some(DhtConfig::default()),
            swarm_key: None,
            session: Config::new(PeerId([0; 20])),
            disk_threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            peer_id: None,
            record: None,
        }
    }

    /// Whether torrents may be named on the local network: never by a client that keeps them secret.
    pub(super) fn names_torrents_locally(&self) -> bool {
        self.local_discovery && self.swarm_key.is_none()
    }

    /// How to take part in the DHT, if at all: never by a client that keeps its torrents secret.
    pub(super) fn takes_part(&self) -> Option<DhtConfig> {
        self.dht.clone().filter(|_| self.swarm_key.is_none())
    }

    /// What the door is to go by.
    pub(super) fn encryption(&self) -> Result<Encryption, StartError> {
        match (&self.swarm_key, self.encryption) {
            (Some(_), _) => Ok(Encryption::both(Policy::Private)),
            (
                None,
                Encryption { incoming: Policy::Private, .. } | Encryption { outgoing: Policy::Private, .. },
            ) => Err(StartError::NoSwarmKey),
            (None, encryption) => Ok(encryption),
        }
    }
}

/// How to take part in one torrent.
#[derive(Clone, Debug, Default)]
pub struct AddOptions {
    /// Where its content goes; by default where an earlier run put it, else [`ClientConfig::output_dir`].
    pub output_dir: Option<PathBuf>,
    /// One per file of the torrent; empty means that all are wanted. Of a magnet link [`AddOptions::choose`] decides.
    pub priorities: Vec<Priority>,
    /// Which files of a magnet link's torrent are wanted, asked when it is known which there are; else the link's own
    /// selection (BEP 53) decides. It is not remembered over a restart.
    pub choose: Option<ChooseFiles>,
    /// Asked whether there is room before anything is written; by default nobody is, and a full disk pauses the torrent.
    pub room: Option<CheckRoom>,
    /// Fetch pieces in order, so that the content can be used while it comes.
    pub sequential: bool,
    /// Do not start by itself.
    pub paused: bool,
    /// Peers to begin with.
    pub peers: Vec<SocketAddr>,
    /// When to stop seeding; by default never.
    pub seed_goal: SeedGoal,
    /// How room is made for files.
    pub allocation: crate::Allocation,
    /// Files of the torrent that are ranges of larger ones of the same path; ascending, each once. Several torrents may have a range
    /// each of one file, as long as no byte of it belongs to two. Such a file is called `<path>.part` until somebody who knows of all
    /// of them renames it, which he may do as soon as they are durable; it is found again under its own name. Of magnet
    /// links nothing of this kind is known. It is remembered over a restart: none here are those of an earlier run in the same
    /// directory.
    pub places: Vec<Place>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_swarm_key_overrules_whatever_else_would_tell_of_torrents() {
        for encryption in [Policy::Off, Policy::Allow, Policy::Prefer, Policy::Require, Policy::Private]
            .map(Encryption::both)
        {
            for local_discovery in [false, true] {
                let mut config = ClientConfig::new("state", "downloads");
                (config.encryption, config.local_discovery) = (encryption, local_discovery);
                assert_eq!(config.names_torrents_locally(), local_discovery);
                config.swarm_key = Some(SwarmKey([1; 32]));
                assert!(!config.names_torrents_locally() && config.takes_part().is_none());
                assert!(config.encryption().is_ok_and(|found| found == Encryption::both(Policy::Private)));
            }
        }
    }
}
