//! Nodes of the DHT beside sessions: what a driver does between the two, in a world where datagrams take as long as anything else.
//!
//! Decides nothing. A session that wants to be found becomes a wish of its node, whom the node finds the session hears of, and the
//! nodes that peers tell of (`PORT`) are met. Not the world of thousands of nodes alone: that is `dht`. BEP: 5

use crate::happening::Happening;
use crate::node::{addr_of, node_at};
use crate::world::World;
use core::net::SocketAddr;
use proto::dht::{self, Wanted};
use proto::input::PeerSource;
use proto::output::Need;
use proto::{Command, Input, Instant, Seed, TorrentId};
use std::collections::BTreeMap;
use wire::InfoHash;

/// A node of the DHT, and whose wishes it has.
pub(crate) struct Finder {
    machine: dht::Node,
    wanted: BTreeMap<InfoHash, TorrentId>,
    /// The wake-up that is under way.
    wake: Instant,
}

impl World {
    /// A process begins to take part, at the nodes that it was told of.
    pub(crate) fn start_finder(&mut self, index: u32) {
        let now = self.now;
        let node = &mut self.nodes[index as usize];
        let Some(begins_at) = node.spec.dht.clone() else { return };
        let config = dht::Config { v4: true, v6: false, ..dht::Config::default() };
        let machine = dht::Node::new(config, Seed(node.rng.next_u64()), node.rng.bytes16(), None, now);
        node.finder = Some(Box::new(Finder { machine, wanted: BTreeMap::new(), wake: Instant::FAR }));
        self.feed(index, Input::Command(Command::DhtPort(Some(addr_of(index).port()))));
        let nodes = begins_at.into_iter().map(addr_of).collect();
        self.tell_finder(index, dht::Input::BeginAt(nodes));
    }

    /// A torrent wants to be found.
    pub(crate) fn find_peers(&mut self, index: u32, torrent: TorrentId, info_hash: InfoHash, need: Need) {
        let Some(finder) = &mut self.nodes[index as usize].finder else { return };
        finder.wanted.insert(info_hash, torrent);
        let wanted = Wanted { port: Some(addr_of(index).port()), seed: need.seed, seeking: need.hungry };
        self.tell_finder(index, dht::Input::Want { info_hash, wanted });
    }

    /// It no longer does.
    pub(crate) fn stop_finding(&mut self, index: u32, info_hash: InfoHash) {
        let Some(finder) = &mut self.nodes[index as usize].finder else { return };
        finder.wanted.remove(&info_hash);
        self.tell_finder(index, dht::Input::Forget(info_hash));
    }

    /// A peer said that there is a node.
    pub(crate) fn meet_node(&mut self, index: u32, at: SocketAddr) {
        self.tell_finder(index, dht::Input::Met(at));
    }

    /// A datagram arrives.
    pub(crate) fn hear_datagram(&mut self, index: u32, from: SocketAddr, bytes: &[u8]) {
        self.tell_finder(index, dht::Input::Datagram { from, bytes });
    }

    /// A node of the DHT asked to be woken, unless an earlier wake-up took this one's place.
    pub(crate) fn wake_finder(&mut self, index: u32, incarnation: u32) {
        let due = self.nodes[index as usize].finder.as_ref().is_some_and(|finder| finder.wake == self.now);
        if self.is_current(index, incarnation) && due {
            self.tell_finder(index, dht::Input::Wake);
        }
    }

    fn tell_finder(&mut self, index: u32, input: dht::Input<'_>) {
        let now = self.now;
        let node = &mut self.nodes[index as usize];
        let Some(finder) = &mut node.finder else { return };
        let mut out = Vec::new();
        finder.machine.handle(now, input, &mut out);
        let wake = finder.machine.next_wake().unwrap_or(Instant::FAR).max(now);
        if wake < finder.wake || finder.wake <= now {
            finder.wake = wake;
            self.queue.push(wake, index, Happening::WakeFinder { incarnation: node.incarnation });
        }
        for output in out {
            match output {
                dht::Output::Send { to, bytes } => self.send_datagram(index, to, bytes),
                dht::Output::Peers { info_hash, peers } => {
                    let finder = self.nodes[index as usize].finder.as_ref();
                    let torrent = finder.and_then(|finder| finder.wanted.get(&info_hash)).copied();
                    if let Some(torrent) = torrent {
                        self.feed(
                            index,
                            Input::FoundPeers { torrent, source: PeerSource::Dht, peers: &peers },
                        );
                    }
                }
                // Nobody here searches for something else.
                dht::Output::Found { .. } | dht::Output::Ended { .. } | dht::Output::External(_) => {}
            }
        }
    }

    /// A datagram is on its way, if there is one.
    fn send_datagram(&mut self, index: u32, to: SocketAddr, bytes: Vec<u8>) {
        let known = node_at(to).filter(|&far| (far as usize) < self.nodes.len());
        let Some(far) = known else { return };
        let (near, there) = (&self.nodes[index as usize], &self.nodes[far as usize]);
        // Behind a NAT nobody is asked; that an answer would get through matters to no world that there is.
        if near.ills.island != there.ills.island || !there.spec.reachable {
            return;
        }
        let at = self.now + self.network.latency(index, far);
        self.queue.push(at, far, Happening::Datagram { from: addr_of(index), bytes: bytes.into() });
    }
}
