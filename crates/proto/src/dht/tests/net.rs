//! A small network in memory: every datagram takes 50 ms, and goes nowhere if nobody is there.

use crate::dht::{Config, Finding, Goal, Input, Node, Output, Report, SearchId, Wanted};
use crate::{Duration, Instant, Seed};
use core::net::SocketAddr;
use std::collections::{BTreeMap, BTreeSet};
use wire::InfoHash;

/// One way.
const LATENCY: Duration = Duration::from_millis(50);

pub(super) struct Net {
    pub(super) now: Instant,
    pub(super) nodes: BTreeMap<SocketAddr, Node>,
    on_the_way: BTreeMap<(Instant, u64), (SocketAddr, SocketAddr, Vec<u8>)>,
    wakes: BTreeSet<(Instant, SocketAddr)>,
    sequence: u64,
    pub(super) heard: Vec<(SocketAddr, Output)>,
}

impl Net {
    pub(super) fn new() -> Net {
        Net {
            now: Instant::ZERO + Duration::from_secs(1000),
            nodes: BTreeMap::new(),
            on_the_way: BTreeMap::new(),
            wakes: BTreeSet::new(),
            sequence: 0,
            heard: Vec::new(),
        }
    }

    /// So many nodes, each of which knows the first one's address; and the time that it takes them to know one another.
    pub(super) fn of(count: u32) -> Net {
        let mut net = Net::new();
        for n in 0..count {
            net.join(n, Config::default());
        }
        net.run(Duration::from_secs(600));
        net
    }

    pub(super) fn join(&mut self, n: u32, config: Config) {
        let node = Node::new(config, Seed(u64::from(n)), [n as u8; 16], None, self.now);
        self.nodes.insert(address(n), node);
        let input = if n == 0 { Input::Wake } else { Input::BeginAt(vec![address(0)]) };
        self.tell(address(n), input);
    }

    pub(super) fn tell(&mut self, at: SocketAddr, input: Input<'_>) {
        let Some(node) = self.nodes.get_mut(&at) else { return };
        let mut out = Vec::new();
        node.handle(self.now, input, &mut out);
        if let Some(wake) = node.next_wake() {
            self.wakes.insert((wake, at));
        }
        for output in out {
            match output {
                Output::Send { to, bytes } => {
                    self.sequence += 1;
                    self.on_the_way.insert((self.now + LATENCY, self.sequence), (at, to, bytes));
                }
                Output::Peers { .. } | Output::Found { .. } | Output::Ended { .. } | Output::External(_) => {
                    self.heard.push((at, output));
                }
            }
        }
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            let datagram = self.on_the_way.first_key_value().map_or(Instant::FAR, |((at, _), _)| *at);
            let wake = self.wakes.first().map_or(Instant::FAR, |(at, _)| *at);
            if datagram.min(wake) > end {
                break;
            }
            self.now = self.now.max(datagram.min(wake));
            if datagram <= wake {
                if let Some((_, (from, to, bytes))) = self.on_the_way.pop_first() {
                    self.tell(to, Input::Datagram { from, bytes: &bytes });
                }
            } else if let Some((at, node)) = self.wakes.pop_first()
                && self.nodes.get(&node).and_then(Node::next_wake).is_some_and(|wake| wake <= at)
            {
                self.tell(node, Input::Wake);
            }
        }
        self.now = end;
    }

    /// Asks a node to look for something, and waits for the end.
    pub(super) fn search(&mut self, at: SocketAddr, goal: Goal) -> (Vec<Finding>, Report) {
        self.heard.clear();
        let name = SearchId(7);
        self.tell(at, Input::Search { search: name, goal });
        for _ in 0..600 {
            self.run(Duration::from_millis(100));
            let ended = self.heard.iter().find_map(|(_, output)| match output {
                Output::Ended { search, report } if *search == name => Some(report.clone()),
                _ => None,
            });
            if let Some(report) = ended {
                let found = self.heard.drain(..).filter_map(|(_, output)| match output {
                    Output::Found { search, finding } if search == name => Some(finding),
                    _ => None,
                });
                return (found.collect(), report);
            }
        }
        panic!("a search that does not end");
    }

    pub(super) fn peers(
        &mut self,
        at: SocketAddr,
        info_hash: InfoHash,
        announce: Option<Wanted>,
    ) -> (BTreeSet<SocketAddr>, Report) {
        let (found, report) = self.search(at, Goal::Peers { info_hash, announce, scrape: true });
        let peers = found.into_iter().flat_map(|finding| match finding {
            Finding::Peers(peers) => peers,
            other => panic!("{other:?}"),
        });
        (peers.collect(), report)
    }
}

/// Each in a network of its own.
pub(super) fn address(n: u32) -> SocketAddr {
    let ip = 0x0b00_0001 + (n % 100) * 0x0100_0000 + n / 100 * 0x0001_0100;
    SocketAddr::from((ip.to_be_bytes(), 6881))
}
