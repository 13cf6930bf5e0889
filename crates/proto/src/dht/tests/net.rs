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
    /// By address; by the IPv4 one if they have two.
    pub(super) nodes: BTreeMap<SocketAddr, Node>,
    /// The IPv6 addresses of those that have two, and back.
    twins: BTreeMap<SocketAddr, SocketAddr>,
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
            twins: BTreeMap::new(),
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

    /// A network of so many nodes, every third in both families, the others in one of them.
    pub(super) fn of_both(count: u32) -> Net {
        let mut net = Net::new();
        for n in 0..count {
            let (v4, v6) = families(n);
            let at = if v4 { address(n) } else { address6(n) };
            let config = Config { v4, v6, ..Config::default() };
            net.nodes.insert(at, Node::new(config, Seed(u64::from(n)), [n as u8; 16], None, net.now));
            if v4 && v6 {
                net.twins.insert(address6(n), address(n));
                net.twins.insert(address(n), address6(n));
            }
            net.tell(at, Input::BeginAt(vec![address(0), address6(0)]));
        }
        net.run(Duration::from_secs(1800));
        net
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
                    let from = if at.is_ipv4() == to.is_ipv4() { at } else { self.twins[&at] };
                    self.on_the_way.insert((self.now + LATENCY, self.sequence), (from, to, bytes));
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
                    let to = self.twins.get(&to).copied().filter(|_| to.is_ipv6()).unwrap_or(to);
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

/// Of which families a node of a network of both is.
pub(super) fn families(n: u32) -> (bool, bool) {
    (n % 3 != 1, n % 3 != 2)
}

/// Each in a network of its own.
pub(super) fn address(n: u32) -> SocketAddr {
    let ip = 0x0b00_0001 + (n % 100) * 0x0100_0000 + n / 100 * 0x0001_0100;
    SocketAddr::from((ip.to_be_bytes(), 6881))
}

/// The same in IPv6.
pub(super) fn address6(n: u32) -> SocketAddr {
    let n = n as u16;
    SocketAddr::from(([0x2001 + n % 100, 0x0db8, n / 100, 0, 0, 0, 0, 1], 6881))
}

/// Whether it is one of every third.
pub(super) fn is_third(address: &SocketAddr) -> bool {
    match address {
        SocketAddr::V4(address) => address.ip().octets()[0] % 3 == 0,
        SocketAddr::V6(address) => address.ip().segments()[0] % 3 == 0,
    }
}
