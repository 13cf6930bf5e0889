//! The DHT's node among the loop's sockets: what comes goes to the machine, what it says goes out; torrents that want to be found
//! become its wishes, and whom it finds the session hears of. BEP: 5, 27, 43
//!
//! Decides nothing about nodes, walks or time-outs (`proto::dht`). What always holds: routers are looked up only while too few nodes are
//! known; what is remembered is written off the loop, but for the end's last word; a private client has no node at all.

use super::event_loop::EventLoop;
use super::inbox::{Answered, Answerer};
use super::listen::Listeners;
use super::udp::Whose;
use crate::client::dht::{DhtConfig, DhtFound, Searcher};
use crate::edge::Edge;
use crate::entropy;
use crate::state::nodes::NodesFile;
use proto::dht::{Config, Goal, Input as NodeInput, Node, Output as NodeOutput, SearchId, Stats, Wanted};
use proto::input::PeerSource;
use proto::output::Need;
use proto::{Command, Duration, Input, Instant, TorrentId};
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use wire::InfoHash;

/// With so many nodes nobody needs a router.
const NODES_ENOUGH: usize = 8;

/// With so many remembered nodes some are alive: routers wait for a while.
const REMEMBERED_ENOUGH: usize = 30;

/// How long then, and how long after routers were looked up it is looked whether that has helped; then twice as long each time.
const ROUTERS_AFTER: Duration = Duration::from_secs(20);

/// And at most.
const ROUTERS_AFTER_MAX: Duration = Duration::from_secs(15 * 60);

/// How often what is known is written down.
const SAVE_INTERVAL: Duration = Duration::from_secs(10 * 60);

/// Of a torrent's nodes so many are asked.
const NODES_OF_A_TORRENT_MAX: usize = 8;

/// The node, and what it was told.
pub(super) struct DhtNode {
    machine: Node,
    out: Vec<NodeOutput>,
    /// Whether it takes part over IPv4 and IPv6.
    families: [bool; 2],
    /// Whether it answers others.
    answers: bool,
    /// Where peers reach us, said in announces.
    announced: Option<u16>,
    wanted: HashMap<InfoHash, (TorrentId, Wanted)>,
    searches: BTreeMap<SearchId, Searcher>,
    routers: Vec<(String, u16)>,
    routers_at: Instant,
    routers_wait: Duration,
    file: Arc<NodesFile>,
    save_at: Instant,
}

impl DhtNode {
    /// A node that remembers what the file says. It takes part only where peers reach us: whoever keeps to one family or address is
    /// not known elsewhere either. Who listens nowhere asks and does not answer.
    pub(super) fn new(
        config: DhtConfig,
        file: NodesFile,
        listeners: &Listeners,
        now: Instant,
    ) -> io::Result<DhtNode> {
        let (port, nowhere) = (listeners.port, listeners.sockets.is_empty());
        let named = !config.routers.is_empty() && config.routers != DhtConfig::default().routers;
        let mut saved = file.read();
        if named {
            // Whoever names nodes to begin at means their network, which need not be the one that the last run knew.
            saved.nodes.clear();
        }
        let made_by = Config {
            v4: listeners.has_ipv4() || nowhere,
            v6: listeners.has_ipv6() || nowhere,
            read_only: config.read_only || nowhere,
            ..Config::default()
        };
        let machine = Node::new(made_by, entropy::seed()?, entropy::bytes()?, Some(&saved), now);
        let remembers = saved.nodes.len() >= REMEMBERED_ENOUGH;
        Ok(DhtNode {
            machine,
            out: Vec::new(),
            families: [made_by.v4, made_by.v6],
            answers: !made_by.read_only,
            announced: Some(port).filter(|port| *port != 0),
            wanted: HashMap::new(),
            searches: BTreeMap::new(),
            routers: config.routers,
            routers_at: if remembers { now + ROUTERS_AFTER } else { now },
            routers_wait: ROUTERS_AFTER,
            file: Arc::new(file),
            save_at: now + SAVE_INTERVAL,
        })
    }

    /// When to take a turn, at the latest.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        if !self.out.is_empty() {
            return Some(Instant::ZERO);
        }
        let routers = (!self.routers.is_empty()).then_some(self.routers_at);
        [self.machine.next_wake(), routers, Some(self.save_at)].into_iter().flatten().min()
    }

    /// A datagram came.
    pub(super) fn hear(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        self.tell(now, NodeInput::Datagram { from, bytes });
    }

    /// There may be nodes at these addresses.
    pub(super) fn begin_at(&mut self, now: Instant, addresses: Vec<SocketAddr>) {
        self.tell(now, NodeInput::BeginAt(addresses));
    }

    /// A peer says that it has a node there.
    pub(super) fn meet(&mut self, now: Instant, node: SocketAddr) {
        self.tell(now, NodeInput::Met(node));
    }

    /// A torrent wants to be found, or to be looked for now. Whether it is new.
    pub(super) fn find(&mut self, now: Instant, torrent: TorrentId, info_hash: InfoHash, need: Need) -> bool {
        let wanted = Wanted { port: self.announced, seed: need.seed, seeking: need.hungry };
        let before = self.wanted.insert(info_hash, (torrent, wanted));
        if before.is_some_and(|(_, before)| before == wanted) {
            // It is said again without a change only if the user wants an answer now.
            self.tell(now, NodeInput::Forget(info_hash));
        }
        self.tell(now, NodeInput::Want { info_hash, wanted });
        before.is_none()
    }

    /// It no longer does.
    pub(super) fn stop(&mut self, now: Instant, info_hash: InfoHash) {
        self.wanted.remove(&info_hash);
        self.tell(now, NodeInput::Forget(info_hash));
    }

    /// A user looks for something.
    pub(super) fn search(&mut self, now: Instant, search: SearchId, goal: Goal, searcher: Searcher) {
        self.searches.insert(search, searcher);
        self.tell(now, NodeInput::Search { search, goal });
    }

    /// A user has enough.
    pub(super) fn end_search(&mut self, now: Instant, search: SearchId) {
        if self.searches.remove(&search).is_some() {
            self.tell(now, NodeInput::Cancel(search));
        }
    }

    /// How it stands.
    pub(super) fn stats(&self) -> Stats {
        self.machine.stats()
    }

    /// What is due by the clock, and what was said since the last turn.
    fn turn(&mut self, now: Instant, edge: &Edge, answerer: &Answerer) -> Vec<NodeOutput> {
        if self.machine.next_wake().is_some_and(|due| due <= now) {
            self.tell(now, NodeInput::Wake);
        }
        if self.routers_at <= now && !self.routers.is_empty() {
            self.ask_routers(now, edge, answerer);
        }
        if self.save_at <= now {
            self.save_at = now + SAVE_INTERVAL;
            self.save(edge);
        }
        std::mem::take(&mut self.out)
    }

    /// Whether peers are told of it: they ask it, and it should answer.
    pub(super) fn answers(&self) -> bool {
        self.answers
    }

    /// Whether it knows so many nodes that it needs nobody else. Those of an earlier run are none before any of them has answered.
    fn is_settled(&self) -> bool {
        let stats = self.machine.stats();
        stats.tally.heard > 0 && stats.nodes.into_iter().any(|nodes| nodes >= NODES_ENOUGH)
    }

    /// Looks up where routers are, unless there are nodes enough.
    fn ask_routers(&mut self, now: Instant, edge: &Edge, answerer: &Answerer) {
        self.routers_at = now + self.routers_wait;
        if self.is_settled() {
            self.routers_wait = ROUTERS_AFTER;
            self.routers_at = now + ROUTERS_AFTER_MAX;
            return;
        }
        self.routers_wait = (self.routers_wait * 2).min(ROUTERS_AFTER_MAX);
        let known = look_up(&self.routers, edge, answerer);
        if !known.is_empty() {
            self.begin_at(now, known);
        }
    }

    fn save(&self, edge: &Edge) {
        let (file, saved) = (Arc::clone(&self.file), self.machine.saved());
        edge.off_loop(move || {
            if let Err(error) = file.write(&saved) {
                tracing::debug!(%error, "the nodes of the DHT are not remembered");
            }
        });
    }

    /// Writes down what is known, before the end.
    fn save_now(&self) {
        if let Err(error) = self.file.write(&self.machine.saved()) {
            tracing::debug!(%error, "the nodes of the DHT are not remembered");
        }
    }

    fn tell(&mut self, now: Instant, input: NodeInput<'_>) {
        self.machine.handle(now, input, &mut self.out);
    }
}

/// The addresses among these hosts; names are looked up, and come later by themselves.
fn look_up(hosts: &[(String, u16)], edge: &Edge, answerer: &Answerer) -> Vec<SocketAddr> {
    let mut known = Vec::new();
    for (host, port) in hosts {
        match host.parse::<IpAddr>() {
            Ok(ip) => known.push(SocketAddr::new(ip, *port)),
            Err(_) => {
                let (answerer, named) = (answerer.clone(), host.clone());
                edge.look_up(host.clone(), *port, move |found| match found {
                    Ok(addresses) => answerer.answer(Answered::Nodes(addresses)),
                    Err(why) => tracing::debug!("no node of the DHT at {named}: {why}"),
                });
            }
        }
    }
    known
}

impl EventLoop {
    /// Takes the DHT's turn: sends what the node says, and hands on whom it found.
    pub(super) fn turn_dht(&mut self) {
        let now = self.now;
        let Some(dht) = &mut self.listening.dht else { return };
        for output in dht.turn(now, &self.outside.edge, &self.outside.answerer) {
            self.perform_for_the_node(output);
        }
    }

    fn perform_for_the_node(&mut self, output: NodeOutput) {
        let Some(dht) = &mut self.listening.dht else { return };
        match output {
            NodeOutput::Send { to, bytes } => {
                // What does not leave is not answered, which the machine knows how to take.
                let _ = self.listening.datagrams.send(to, bytes, Whose::Node);
            }
            NodeOutput::Peers { info_hash, peers } => {
                if let Some((torrent, _)) = dht.wanted.get(&info_hash) {
                    let (torrent, source) = (*torrent, PeerSource::Dht);
                    self.feed(Input::FoundPeers { torrent, source, peers: &peers });
                }
            }
            NodeOutput::Found { search, finding } => {
                if let Some(searcher) = dht.searches.get(&search) {
                    searcher.tell(DhtFound::Finding(finding));
                }
            }
            NodeOutput::Ended { search, report } => {
                if let Some(searcher) = dht.searches.remove(&search) {
                    searcher.tell(DhtFound::Ended(report));
                }
            }
            NodeOutput::External(ip) => {
                tracing::debug!(%ip, "nodes of the DHT agree that this is our address")
            }
        }
    }

    /// A torrent wants to be found.
    pub(super) fn find_in_the_dht(&mut self, torrent: TorrentId, info_hash: InfoHash, need: Need) {
        let now = self.now;
        let Some(dht) = &mut self.listening.dht else { return };
        let new = dht.find(now, torrent, info_hash, need);
        let metainfo = self.torrents.get(torrent).and_then(|entry| entry.metainfo());
        let Some(metainfo) = metainfo.filter(|_| new && !dht.is_settled()) else { return };
        let named = metainfo.nodes.get(..NODES_OF_A_TORRENT_MAX).unwrap_or(&metainfo.nodes);
        // The words of whoever made the torrent: they do not have us knock at services, nor at this machine.
        let named: Vec<_> = named.iter().filter(|(_, port)| *port >= 1024).cloned().collect();
        let mut known = look_up(&named, &self.outside.edge, &self.outside.answerer);
        known.retain(|node| !node.ip().is_loopback());
        if !known.is_empty() {
            dht.begin_at(now, known);
        }
    }

    /// Tells the session where our node is, so that peers hear of it.
    pub(super) fn tell_of_the_node(&mut self) {
        if let Some(dht) = self.listening.dht.as_ref().filter(|dht| dht.answers()) {
            let port = self.listening.datagrams.port(dht.families);
            self.feed(Input::Command(Command::DhtPort(port)));
        }
    }

    /// Remembers the nodes for the next run.
    pub(super) fn remember_nodes(&self) {
        if let Some(dht) = &self.listening.dht {
            dht.save_now();
        }
    }
}
