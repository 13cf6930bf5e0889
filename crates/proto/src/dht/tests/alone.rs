//! What one node does by itself, among others who answer, are silent or lie: whom it asks how often, whom it forgets, and when it helps itself.

use crate::dht::{Config, Input, K, Node, Output, Saved};
use crate::{Duration, Instant, Rng, Seed};
use core::net::SocketAddr;
use std::collections::BTreeMap;
use wire::krpc::{Body, Method, NodeInfo, Packet, Query, Reply, Transaction};
use wire::node_id::NodeId;

const OWN: NodeId = NodeId([0x77; 20]);

/// What the node sent: when, whom, what.
type Sent = (Instant, SocketAddr, Packet);

/// One node, and who answers it after 50 ms.
struct Alone {
    node: Node,
    now: Instant,
    /// Everybody there is, by address.
    others: BTreeMap<SocketAddr, NodeId>,
    on_the_way: BTreeMap<(Instant, u64), (SocketAddr, Vec<u8>)>,
    sent: Vec<Sent>,
}

impl Alone {
    /// A node whose table holds so many others of each family.
    fn among(v4: u32, v6: u32, config: Config) -> Alone {
        let mut rng = Rng::new(Seed(5));
        let mut id = || NodeId(core::array::from_fn(|_| rng.next_u32() as u8));
        let nodes: Vec<NodeInfo> = (0..v4)
            .map(super::net::address)
            .chain((0..v6).map(super::net::address6))
            .map(|address| NodeInfo { id: id(), address })
            .collect();
        let others = nodes.iter().map(|info| (info.address, info.id)).collect();
        let now = Instant::ZERO + Duration::from_secs(5_000);
        let saved = Saved { ids: [Some(OWN), Some(OWN)], nodes };
        let node = Node::new(config, Seed(1), [7; 16], Some(&saved), now);
        Alone { node, now, others, on_the_way: BTreeMap::new(), sent: Vec::new() }
    }

    fn tell(&mut self, input: Input<'_>, answers: &dyn Fn(&SocketAddr) -> bool) {
        let mut out = Vec::new();
        self.node.handle(self.now, input, &mut out);
        for output in out {
            let Output::Send { to, bytes } = output else { continue };
            let packet = Packet::decode(&bytes).unwrap();
            if let (Body::Query(_), Some(id)) = (&packet.body, self.others.get(&to).filter(|_| answers(&to)))
            {
                let mut bytes = Vec::new();
                Packet::new(packet.transaction, Body::Reply(Reply::new(*id))).encode(&mut bytes);
                let at = self.now + Duration::from_millis(50);
                self.on_the_way.insert((at, self.sent.len() as u64), (to, bytes));
            }
            self.sent.push((self.now, to, packet));
        }
    }

    fn run(&mut self, span: Duration, answers: impl Fn(&SocketAddr) -> bool) {
        let end = self.now + span;
        loop {
            let answer = self.on_the_way.first_key_value().map_or(Instant::FAR, |((at, _), _)| *at);
            let next = answer.min(self.node.next_wake().unwrap_or(Instant::FAR));
            if next > end {
                break;
            }
            self.now = self.now.max(next);
            if next < answer {
                self.tell(Input::Wake, &answers);
            } else if let Some((_, (from, bytes))) = self.on_the_way.pop_first() {
                self.tell(Input::Datagram { from, bytes: &bytes }, &answers);
            }
        }
        self.now = end;
    }

    /// Somebody asks for a sign of life.
    fn call(&mut self, from: SocketAddr, id: NodeId) {
        let query = Query { id, read_only: false, method: Method::Ping };
        let mut bytes = Vec::new();
        Packet::new(Transaction::from_u16(1), Body::Query(query)).encode(&mut bytes);
        self.tell(Input::Datagram { from, bytes: &bytes }, &|_| true);
    }

    fn asked(&self, who: impl Fn(&SocketAddr) -> bool) -> usize {
        let is_question = |sent: &&Sent| matches!(sent.2.body, Body::Query(_)) && who(&sent.1);
        self.sent.iter().filter(is_question).count()
    }

    fn seated(&self, at: usize) -> usize {
        self.node.stats().nodes[at]
    }
}

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60)
}

fn v4_only() -> Config {
    Config { v6: false, ..Config::default() }
}

#[test]
fn a_stranger_that_calls_each_minute_and_does_not_answer_is_asked_once_in_half_an_hour_whatever_its_port() {
    for others in [10, 60] {
        let mut alone = Alone::among(others, 0, v4_only());
        let victim = |port: u16| SocketAddr::from(([203, 0, 113, 9], port));
        for minute in 0..25u16 {
            alone.call(victim(2000 + minute), NodeId([0x80 + minute as u8; 20]));
            alone.run(minutes(1), |_| true);
        }
        // With many nodes a caller is asked when it has been silent for a while.
        alone.run(minutes(4), |_| true);
        let asked = alone.asked(|to| to.ip() == victim(1).ip());
        assert_eq!(asked, 1, "among {others}");
    }
}

#[test]
fn an_idle_node_forgets_who_is_dead_and_nobody_while_its_line_is_down() {
    let mut alone = Alone::among(60, 0, v4_only());
    let before = alone.seated(0);
    assert!(before > 40, "{before}");
    let lives = |to: &SocketAddr| to.ip().is_ipv4() && !super::net::is_third(to);
    let living = |alone: &Alone| alone.node.saved().nodes.iter().filter(|info| lives(&info.address)).count();
    let well = living(&alone);
    alone.run(minutes(120), |_| true);
    assert_eq!(alone.seated(0), before);
    alone.run(minutes(180), |_| false);
    assert_eq!(alone.seated(0), before, "a line that is down is nobody's fault");
    alone.run(minutes(120), lives);
    assert_eq!((alone.seated(0), living(&alone)), (well, well), "the dead are gone, the living are not");
}

#[test]
fn a_short_break_of_the_line_costs_nobody_a_seat() {
    let mut alone = Alone::among(60, 0, v4_only());
    let before = alone.seated(0);
    for _ in 0..6 {
        alone.run(minutes(30), |_| true);
        alone.run(minutes(2), |_| false);
    }
    assert_eq!(alone.seated(0), before);
}

#[test]
fn a_node_all_of_whose_others_are_dead_begins_anew_at_the_addresses_it_was_given() {
    let mut alone = Alone::among(60, 0, v4_only());
    let router = SocketAddr::from(([150, 1, 1, 1], 6881));
    alone.others.insert(router, NodeId([0x10; 20]));
    alone.tell(Input::BeginAt(vec![router]), &|_| false);
    alone.run(minutes(60), |_| false);
    assert!(alone.asked(|_| true) < 200, "{} questions into the void", alone.asked(|_| true));
    let back = alone.now;
    alone.run(minutes(30), |to| *to == router);
    let reached = alone.sent.iter().find(|(at, to, _)| *at >= back && *to == router).unwrap();
    assert!(reached.0.since(back) <= minutes(10), "{:?}", reached.0.since(back));
    assert!(alone.node.saved().nodes.iter().any(|info| info.address == router));
}

#[test]
fn a_family_whose_packets_lead_nowhere_is_hardly_asked_and_the_other_does_not_suffer() {
    let mut alone = Alone::among(60, 60, Config::default());
    let routers: Vec<SocketAddr> = (200..208).map(super::net::address6).collect();
    alone.tell(Input::BeginAt(routers), &|to| to.is_ipv4());
    alone.run(minutes(60), |to| to.is_ipv4());
    let before = alone.asked(|to| to.is_ipv6());
    alone.run(minutes(60), |to| to.is_ipv4());
    let asked = alone.asked(|to| to.is_ipv6()) - before;
    assert!((1..=70).contains(&asked), "{asked} questions in an hour, once it is known");
    assert!(before < 200, "{before} in the first hour");
    assert!(alone.seated(0) > 40 && alone.asked(|to| to.is_ipv4()) > 400);

    let mut alone = Alone::among(60, 0, Config::default());
    alone.tell(Input::BeginAt(vec![super::net::address6(0)]), &|to| to.is_ipv4());
    alone.run(minutes(60), |to| to.is_ipv4());
    let asked = alone.asked(|to| to.is_ipv6());
    assert!((1..=90).contains(&asked), "{asked} questions to the only address that there is to begin at");
}

#[test]
fn a_line_that_comes_back_is_noticed_soon_and_at_once_when_somebody_calls() {
    for called in [false, true] {
        let mut alone = Alone::among(60, 0, v4_only());
        alone.run(minutes(60), |_| true);
        alone.run(minutes(600), |_| false);
        let before = alone.asked(|_| true);
        if called {
            alone.call(SocketAddr::from(([150, 1, 1, 1], 6881)), NodeId([0x10; 20]));
        }
        alone.run(if called { Duration::from_secs(20) } else { minutes(2) }, |_| true);
        assert!(alone.asked(|_| true) >= before + K, "called: {called}");
    }
}

#[test]
fn nobody_out_there_makes_us_knock_at_addresses_that_nobody_has() {
    let mut alone = Alone::among(20, 0, v4_only());
    let mut teller = super::net::address(3);
    teller.set_port(6881);
    let bad = ["240.1.1.1", "0.1.1.1", "127.0.0.2", "100.64.0.1", "10.0.0.1", "192.168.0.1", "169.254.1.1"];
    let named = |n: usize, ip: &str| NodeInfo {
        id: NodeId([0x78 + n as u8; 20]),
        address: SocketAddr::new(ip.parse().unwrap(), 6881),
    };
    let good = named(20, "201.1.1.1");
    alone.run(Duration::from_secs(1), |_| false);
    for n in 0..alone.sent.len() {
        let (_, to, packet) = alone.sent[n].clone();
        let mut reply = Reply::new(alone.others[&to]);
        reply.nodes = bad.iter().enumerate().map(|(n, ip)| named(n, ip)).chain([good]).collect();
        let mut bytes = Vec::new();
        Packet::new(packet.transaction, Body::Reply(reply)).encode(&mut bytes);
        alone.tell(Input::Datagram { from: to, bytes: &bytes }, &|_| false);
    }
    alone.run(minutes(5), |_| true);
    assert!(alone.asked(|to| *to == good.address) > 0);
    for ip in bad {
        assert_eq!(alone.asked(|to| to.ip() == ip.parse::<core::net::IpAddr>().unwrap()), 0, "{ip}");
    }
}
