//! The library's face: a client with its torrents. Starts and stops the threads; decides nothing that they decide.

mod asking;
mod config;
pub(crate) mod dht;
mod error;
mod handle;
mod lend;
pub(crate) mod magnet;
mod place;
mod secrecy;
pub(crate) mod shared;

pub use asking::{CheckRoom, ChooseFiles, Prospect};
pub use config::{AddOptions, ClientConfig};
pub use error::{AddError, StartError};
pub use handle::TorrentHandle;

use crate::disk::spec::{Allocation, ContentSpec, StorageSpec, WantedFiles, places_fit};
use crate::disk::{Disk, DiskConfig};
use crate::edge::{Edge, FetchError};
use crate::entropy;
use crate::events::Events;
use crate::net::Outside;
use crate::net::event_loop::{Ingredients, Unconnected};
use crate::net::inbox::{Answered, Ask, Asker};
use crate::net::listen::Listeners;
use crate::net::recorder;
use crate::net::torrents::Entry;
use crate::reply::{Answer, Reply};
use crate::state::{Claim, State, StateError, StoredTorrent, Swarm, TorrentOptions, Turn};
use dht::{DhtSearch, NoDht};
use magnet::Pending;
use place::Place;
use proto::dht::{Goal, SearchId, Stats};
use proto::door::Tally;
use proto::share::Limits;
use proto::{AddMagnet, Command, TorrentId};
use shared::{Known, Shared};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};
use wire::magnet::PeerHint;
use wire::{InfoHash, Magnet, Metainfo, PeerId};

/// Files held open at once: a quarter of the 1,024 descriptors that a process usually gets, the rest are for peers.
const FILES_OPEN_MAX: usize = 256;

/// A BitTorrent client: its torrents, its sockets, its threads.
///
/// Dropping it stops everything at once: what was committed is kept, trackers are not told. [`Client::shutdown`] is the
/// polite end. No async runtime is needed, and any will do: every [`Reply`] can be awaited or waited for.
///
/// ```no_run
/// use gannet::{AddOptions, Client, ClientConfig, Event};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::start(ClientConfig::new("state", "downloads"))?;
/// let events = client.events();
/// let torrent = client.add(&std::fs::read("debian.torrent")?, AddOptions::default())?;
/// while let Ok(event) = events.recv() {
///     if event == Event::Durable(torrent.id()) {
///         println!("{} is complete and on disk", torrent.info_hash());
///         break;
///     }
/// }
/// client.shutdown().wait()?;
/// # Ok(())
/// # }
/// ```
pub struct Client {
    asker: Asker,
    edge: Arc<Edge>,
    shared: Arc<Shared>,
    output_dir: PathBuf,
    local_addrs: Vec<SocketAddr>,
    peer_id: PeerId,
    /// Among whom our torrents are kept.
    swarm: Swarm,
    /// Searches of users that have begun, if there is a node to search with.
    dht_searches: Option<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

/// How a torrent is taken part in, as far as nothing of it is remembered.
#[derive(Default)]
struct Given {
    allocation: Allocation,
    peers: Vec<SocketAddr>,
}

/// While it exists, no other process with the same state takes torrents in.
struct Entrance {
    turn: Turn,
    /// Where those go that other processes run.
    others: Vec<Place>,
}

impl Client {
    /// Starts a client without torrents. Those of earlier runs are started by [`Client::restore`].
    ///
    /// # Errors
    /// When the state directory, the ports or the system's resources cannot be had, or the settings contradict each other.
    pub fn start(config: ClientConfig) -> Result<Client, StartError> {
        let (encryption, local_discovery) = (config.encryption()?, config.names_torrents_locally());
        let dht = config.takes_part();
        let (state, notices) =
            State::open(&config.state_dir).map_err(|error| StartError::State(error.to_string()))?;
        notices.iter().for_each(|notice| tracing::warn!("{notice}"));
        let state = Arc::new(state);
        let record = config.record.as_deref().map(recorder::create).transpose();
        let record = record.map_err(StartError::Record)?;
        let dht = dht.map(|dht| (dht, state.nodes_file()));
        let has_dht = dht.is_some();
        let shared = Arc::new(Shared::new(Arc::clone(&state)));
        let listeners = Listeners::open(&config.listen).map_err(StartError::Listen)?;
        let local_addrs = listeners.local_addrs();
        let peer_id = config.peer_id.map_or_else(entropy::peer_id, Ok)?;

        let (unconnected, asker, answerer) = Unconnected::new()?;
        let edge = {
            let answerer = answerer.clone();
            Arc::new(Edge::start(move |told| answerer.answer(Answered::Edge(told)))?)
        };
        let disk = DiskConfig { threads: config.disk_threads.get(), files_open_max: FILES_OPEN_MAX, state };
        let disk = {
            let answerer = answerer.clone();
            Disk::start(disk, move |done| answerer.answer(Answered::Disk(done)))?
        };
        let (edge_of_loop, shared_with_loop) = (Arc::clone(&edge), Arc::clone(&shared));
        let swarm = config.swarm_key.as_ref().map_or(Swarm::Open, |key| Swarm::Private(key.mark()));
        let swarm_key = config.swarm_key;
        let outside =
            Outside { peer_id, swarm_key, disk, edge: edge_of_loop, answerer, shared: shared_with_loop };
        let session = proto::Config { peer_id, ..config.session };
        let made_from = Ingredients {
            config: Arc::new(session),
            seed: entropy::seed()?,
            limits: config.limits,
            encryption,
            listeners,
            local_discovery,
            dht,
            record,
        };
        let event_loop = unconnected.connect(made_from, outside)?;
        let thread = std::thread::Builder::new().name("gannet-net".into()).spawn(move || event_loop.run())?;
        Ok(Client {
            asker,
            edge,
            shared,
            output_dir: config.output_dir,
            local_addrs,
            peer_id,
            swarm,
            dht_searches: has_dht.then(AtomicU64::default),
            thread: Some(thread),
        })
    }

    /// Takes part in a torrent, given the bytes of its `.torrent` file. What an earlier run fetched of it is found again.
    ///
    /// Writes to the state store, and so may take as long as a sync of its disk.
    ///
    /// # Errors
    /// When the bytes are no torrent, there is no room for it, the torrent is already here, one that runs has a file of the same
    /// path, its places are none, it is known as one of another swarm, or the state says no.
    pub fn add(&self, torrent: &[u8], options: AddOptions) -> Result<TorrentHandle, AddError> {
        self.add_parsed(torrent, Arc::new(Metainfo::parse(torrent)?), options)
    }

    fn add_parsed(
        &self,
        torrent: &[u8],
        metainfo: Arc<Metainfo>,
        options: AddOptions,
    ) -> Result<TorrentHandle, AddError> {
        let files = metainfo.layout.files() as usize;
        if !options.priorities.is_empty() && options.priorities.len() != files {
            return Err(AddError::Priorities { given: options.priorities.len(), files });
        }
        let earlier = self.shared.state.torrent(metainfo.info_hash).unwrap_or_else(|error| {
            tracing::warn!(%error, "what is known of the torrent is not believed: its files are checked");
            None
        });
        let before = earlier.as_ref().map(|earlier| earlier.root.clone());
        let root = options.output_dir.or_else(|| before.clone()).unwrap_or_else(|| self.output_dir.clone());
        // What was known of another directory says nothing about this one, nor what was known of other ranges.
        let earlier = earlier.filter(|earlier| earlier.root == root);
        let places = match &earlier {
            Some(earlier) if options.places.is_empty() => earlier.places.clone(),
            Some(_) | None => options.places.into(),
        };
        places_fit(&metainfo, &places).map_err(AddError::Misplaced)?;
        let resume = earlier.filter(|earlier| earlier.places == places).and_then(|earlier| earlier.resume);
        if let Some(room) = &options.room {
            let have = resume.as_ref().map(|resume| &resume.record.have);
            let priorities = &options.priorities;
            let asked = room.ask(Prospect { metainfo: &metainfo, priorities, root: &root, have });
            asked.map_err(AddError::Room)?;
        }
        let stored = StoredTorrent {
            info_hash: metainfo.info_hash,
            metainfo: torrent.into(),
            root,
            options: TorrentOptions {
                priorities: options.priorities.into(),
                sequential: options.sequential,
                paused: options.paused,
                seed_goal: options.seed_goal,
            },
            added: now(),
            swarm: self.swarm,
            places,
            resume,
        };
        let given = Given { allocation: options.allocation, peers: options.peers };
        self.enter(&Entrance::open(&self.shared)?, metainfo, stored, given)
    }

    /// Takes part in a torrent of which only a link is known: its metadata comes from peers first, and is remembered. If an
    /// earlier run has fetched it, no peer is needed. Trackers and web seeds that an earlier link or torrent file named are kept
    /// beside those of this one; a private torrent keeps to the trackers that it has.
    ///
    /// Peers that the link names by host names are looked up meanwhile.
    ///
    /// # Errors
    /// As [`Client::add`]. What would have been an error of `add`, had it been known which files there are, stops the torrent when
    /// its metadata has come (`Event::ContentRefused`).
    pub fn add_magnet(&self, magnet: &Magnet, mut options: AddOptions) -> Result<TorrentHandle, AddError> {
        let mut magnet = magnet.clone();
        self.look_nowhere(&magnet)?;
        let earlier = self.shared.state.torrent(magnet.info_hash).ok().flatten();
        if let Some(link) = earlier.as_ref().and_then(|earlier| link_of(&earlier.metainfo)) {
            magnet::merge_links(&mut magnet, link);
        }
        options.peers.extend(magnet.peers.iter().filter_map(PeerHint::address));
        options.places.clear();
        let earlier = earlier.filter(|earlier| !is_link(&earlier.metainfo));
        let handle = match earlier {
            Some(earlier) => self.add_known(&magnet, &earlier.metainfo, options)?,
            None => {
                let stored = StoredTorrent {
                    info_hash: magnet.info_hash,
                    metainfo: magnet.to_string().into_bytes(),
                    root: options.output_dir.unwrap_or_else(|| self.output_dir.clone()),
                    options: TorrentOptions {
                        priorities: Box::default(),
                        sequential: options.sequential,
                        paused: options.paused,
                        seed_goal: options.seed_goal,
                    },
                    added: now(),
                    swarm: self.swarm,
                    places: Box::default(),
                    resume: None,
                };
                let entrance = Entrance::open(&self.shared)?;
                let pending = Pending {
                    magnet: magnet.clone(),
                    choose: options.choose,
                    room: options.room,
                    root: stored.root.clone(),
                    allocation: options.allocation,
                };
                self.enter_magnet(&entrance, pending, stored, options.peers)?
            }
        };
        self.look_up(handle.id(), &magnet);
        Ok(handle)
    }

    /// Takes part again in the torrents of earlier runs; one answer for each.
    ///
    /// # Errors
    /// When the state cannot be read at all. A torrent whose record is damaged is named in the log and left out; one that is not of
    /// this client's swarm, or in the open while this client's links are private, is answered by an error and left alone.
    pub fn restore(&self) -> Result<Vec<Result<TorrentHandle, AddError>>, AddError> {
        let entrance = Entrance::open(&self.shared)?;
        let stored = self.shared.state.torrents().map_err(state_failed)?;
        stored.notices.iter().for_each(|notice| tracing::warn!("{notice}"));
        let handles = stored.torrents.into_iter().map(|stored| {
            if let Some(magnet) = link_of(&stored.metainfo) {
                let (root, allocation) = (stored.root.clone(), Allocation::default());
                let named = magnet.peers.iter().filter_map(PeerHint::address).collect();
                let pending = Pending { magnet, choose: None, room: None, root, allocation };
                return self.enter_magnet(&entrance, pending, stored, named);
            }
            let metainfo = Arc::new(Metainfo::parse_stored(&stored.metainfo)?);
            places_fit(&metainfo, &stored.places).map_err(AddError::Misplaced)?;
            self.enter(&entrance, metainfo, stored, Given::default())
        });
        Ok(handles.collect())
    }

    /// The torrents of this client.
    pub fn torrents(&self) -> Vec<TorrentHandle> {
        let torrents = self.shared.torrents().into_iter();
        torrents.map(|(id, info_hash)| self.handle(id, info_hash)).collect()
    }

    /// What happens from now on.
    pub fn events(&self) -> Events {
        self.shared.events.subscribe()
    }

    /// Other limits for all torrents together, within a quarter of a second.
    pub fn set_limits(&self, limits: Limits) {
        self.asker.ask(Ask::SetLimits(limits));
    }

    /// Fetches a `.torrent` file of at most 10 MB over HTTP or HTTPS.
    pub fn fetch_torrent(&self, url: &str) -> Reply<Result<Vec<u8>, FetchError>> {
        let (answer, reply) = Answer::pair();
        self.edge.fetch(url.into(), answer);
        reply
    }

    /// Looks for something in the DHT, beside what torrents look for by themselves. As long as the node knows no other
    /// ([`Client::dht_stats`]) a search ends at once and has asked nobody.
    ///
    /// # Errors
    /// When this client takes no part in it.
    pub fn search_dht(&self, goal: Goal) -> Result<DhtSearch, NoDht> {
        let searches = self.dht_searches.as_ref().ok_or(NoDht)?;
        Ok(DhtSearch::begin(&self.asker, SearchId(searches.fetch_add(1, Ordering::Relaxed)), goal))
    }

    /// How the DHT's node stands. Without one no answer comes.
    pub fn dht_stats(&self) -> Reply<Stats> {
        dht::stats(&self.asker)
    }

    /// How many links there are not because one side encrypts and the other does not.
    pub fn encryption_tally(&self) -> Reply<Tally> {
        let (answer, reply) = Answer::pair();
        self.asker.ask(Ask::EncryptionTally(answer));
        reply
    }

    /// Where we listen: at most one address of each family.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.local_addrs
    }

    /// What we call ourselves to peers and trackers.
    pub fn peer_id(&self) -> PeerId {
        self.peer_id
    }

    /// Ends in order: everything is made durable, trackers are told (for which nobody waits longer than 2 s), threads end.
    /// The answer comes when nothing is left to do.
    pub fn shutdown(&self) -> Reply<()> {
        let (answer, reply) = Answer::pair();
        self.asker.ask(Ask::Shutdown(answer));
        reply
    }

    fn enter(
        &self,
        entrance: &Entrance,
        metainfo: Arc<Metainfo>,
        stored: StoredTorrent,
        Given { allocation, peers }: Given,
    ) -> Result<TorrentHandle, AddError> {
        self.admit(entrance, stored.info_hash)?;
        self.keep_secret(metainfo.trackers.iter().flatten().chain(&metainfo.web_seeds))?;
        let (options, info_hash) = (stored.options.clone(), stored.info_hash);
        let place = Place::new(Arc::clone(&metainfo), &stored.root, &stored.places);
        let known = Known { info_hash, place: Some(place.clone()), options: options.clone() };
        let id = self.shared.enter(known)?;
        let claim =
            self.claim(entrance, Some(&place), &stored).inspect_err(|_| drop(self.shared.removed(id)))?;
        let resume = stored.resume.as_ref().map(|resume| resume.record.clone());
        let add = options.add(id, Arc::clone(&metainfo), resume, peers);
        let spec = StorageSpec::new(metainfo, stored.root, allocation, stored.places);
        let entry = Entry {
            info_hash,
            spec: Some(ContentSpec::Kept(Arc::new(spec))),
            pending: None,
            wanted: WantedFiles::from_priorities(&options.priorities),
            claim: Some(claim),
        };
        self.asker.ask(Ask::Add(Box::new(Command::Add(Box::new(add))), id, Box::new(entry)));
        Ok(self.handle(id, info_hash))
    }

    fn enter_magnet(
        &self,
        entrance: &Entrance,
        pending: Pending,
        stored: StoredTorrent,
        peers: Vec<SocketAddr>,
    ) -> Result<TorrentHandle, AddError> {
        self.admit(entrance, stored.info_hash)?;
        self.keep_secret(pending.magnet.trackers.iter().chain(&pending.magnet.web_seeds))?;
        let (options, info_hash) = (stored.options.clone(), stored.info_hash);
        let id = self.shared.enter(Known { info_hash, place: None, options: options.clone() })?;
        let claim = self.claim(entrance, None, &stored).inspect_err(|_| drop(self.shared.removed(id)))?;
        let add = AddMagnet {
            torrent: id,
            info_hash,
            trackers: pending.magnet.trackers.clone(),
            sequential: options.sequential,
            paused: options.paused,
            peers,
            seed_goal: options.seed_goal,
        };
        let entry = Entry {
            info_hash,
            spec: None,
            pending: Some(Arc::new(pending)),
            wanted: WantedFiles::default(),
            claim: Some(claim),
        };
        self.asker.ask(Ask::Add(Box::new(Command::AddMagnet(Box::new(add))), id, Box::new(entry)));
        Ok(self.handle(id, info_hash))
    }

    /// A link to a torrent whose metadata an earlier run has fetched, or read from a file.
    fn add_known(
        &self,
        magnet: &Magnet,
        torrent: &[u8],
        mut options: AddOptions,
    ) -> Result<TorrentHandle, AddError> {
        let mut metainfo = Metainfo::parse_stored(torrent)?;
        let merged = magnet::merge(&mut metainfo, magnet).then(|| metainfo.to_torrent());
        let pending = Pending {
            magnet: magnet.clone(),
            choose: options.choose.take(),
            room: None,
            root: PathBuf::new(),
            allocation: options.allocation,
        };
        options.priorities = pending.priorities(&metainfo).map_err(AddError::Choice)?.into();
        self.add_parsed(merged.as_deref().unwrap_or(torrent), Arc::new(metainfo), options)
    }

    /// Looks up the peers that a link names by their hosts' names.
    fn look_up(&self, torrent: TorrentId, magnet: &Magnet) {
        let hosts = magnet.peers.iter().filter_map(|peer| match peer {
            PeerHint::Host(host, port) => Some((host.clone(), *port)),
            PeerHint::Address(_) => None,
        });
        for (host, port) in hosts {
            let asker = self.asker.clone();
            let named = format!("{host}:{port}");
            self.edge.look_up(host, port, move |found| match found {
                Ok(peers) => asker.ask(Ask::Command(Command::AddPeers(torrent, peers))),
                Err(why) => tracing::warn!("the link names a peer {named}: {why}"),
            });
        }
    }

    /// Takes the right to run a torrent and remembers it, unless another process runs it or one with the same files.
    fn claim(
        &self,
        entrance: &Entrance,
        place: Option<&Place>,
        stored: &StoredTorrent,
    ) -> Result<Claim, AddError> {
        let claim = self.shared.state.claim(&entrance.turn, stored.info_hash).map_err(state_failed)?;
        if let Some(place) = place {
            entrance.others.iter().try_for_each(|other| place.keep_apart(other))?;
        }
        self.shared.state.add(stored).map_err(state_failed)?;
        claim.sign(&stored.root);
        Ok(claim)
    }

    fn handle(&self, id: TorrentId, info_hash: InfoHash) -> TorrentHandle {
        TorrentHandle::new(id, info_hash, self.asker.clone(), Arc::clone(&self.shared))
    }
}

impl Entrance {
    fn open(shared: &Shared) -> Result<Entrance, AddError> {
        let turn = shared.state.turn().map_err(state_failed)?;
        let claimed = shared.state.claimed(&turn, |info_hash| shared.has(info_hash));
        let others = claimed.map_err(state_failed)?.into_iter().filter_map(|other| {
            let metainfo = Metainfo::parse_stored(&other.metainfo).ok()?;
            Some(Place::new(Arc::new(metainfo), &other.root, &other.places))
        });
        Ok(Entrance { turn, others: others.collect() })
    }
}

/// Whether what is remembered of a torrent is its link alone.
fn is_link(stored: &[u8]) -> bool {
    stored.starts_with(b"magnet:")
}

/// The link, if that is all that is remembered.
fn link_of(stored: &[u8]) -> Option<Magnet> {
    is_link(stored).then(|| Magnet::parse(str::from_utf8(stored).ok()?).ok())?
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn state_failed(error: StateError) -> AddError {
    AddError::State(error.to_string())
}

impl Drop for Client {
    fn drop(&mut self) {
        self.asker.ask(Ask::Quit);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the network thread panicked");
        }
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("peer_id", &self.peer_id)
            .field("local_addrs", &self.local_addrs)
            .finish()
    }
}
