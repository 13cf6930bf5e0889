//! Connections over HTTP that stay: kept alive, pipelined, passed on by proxies, and too many. Threat E9.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;
use tracker::{Config, HttpRules, Listen, Tracker};
use wire::tracker_http::{Announced, Reply};

/// Whoever does not answer within this does not answer.
const PATIENCE: Duration = Duration::from_secs(60);

fn tracker(http: HttpRules) -> Tracker {
    let listen = vec![Listen::http((Ipv4Addr::LOCALHOST, 0).into())];
    Tracker::start(Config { listen, http, ..Config::default() }).unwrap()
}

/// A connection whose answers are read one by one.
struct Link(BufReader<TcpStream>);

impl Link {
    fn to(tracker: &Tracker) -> Link {
        let stream = TcpStream::connect(tracker.http_addr().unwrap()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Link(BufReader::new(stream))
    }

    fn say(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
    }

    /// The next answer: its head, in one text, and its body.
    fn hear(&mut self) -> (String, Vec<u8>) {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(self.0.read_line(&mut head).unwrap() > 0, "it ended: {head:?}");
        }
        let len = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
        let mut body = vec![0; len.parse().unwrap()];
        self.0.read_exact(&mut body).unwrap();
        (head, body)
    }

    fn hear_peers(&mut self) -> Announced {
        match Reply::decode(&self.hear().1).unwrap() {
            Reply::Peers(announced) => *announced,
            Reply::Refused { reason, .. } => panic!("{reason}"),
        }
    }

    /// Nothing more comes.
    fn has_ended(&mut self) -> bool {
        self.0.read(&mut [0]).unwrap_or(0) == 0
    }
}

fn announce(port: u16, fields: &str) -> String {
    let (hash, id) = ("%07".repeat(20), "x".repeat(20));
    format!("GET /announce?info_hash={hash}&peer_id={id}&port={port}&left=5 HTTP/1.1\r\n{fields}\r\n")
}

#[test]
fn a_connection_is_kept_until_its_visitor_says_otherwise() {
    let tracker = tracker(HttpRules::default());
    let mut link = Link::to(&tracker);
    for port in 1001..1004 {
        link.say(&announce(port, ""));
        let (head, _) = link.hear();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("Connection: keep-alive"), "{head}");
    }
    link.say("PUT / HTTP/1.1\r\n\r\n");
    let (head, _) = link.hear();
    assert!(head.starts_with("HTTP/1.1 405 ") && head.contains("\r\nAllow: GET\r\n"), "{head}");
    link.say("HEAD / HTTP/1.1\r\n\r\n");
    let (head, body) = link.hear();
    assert!(head.starts_with("HTTP/1.1 405 ") && body.is_empty(), "{head}");
    link.say(&announce(1004, "Connection: close\r\n"));
    assert!(link.hear().0.contains("Connection: close"));
    assert!(link.has_ended());
    assert_eq!(tracker.figures().peers, 4);
}

#[test]
fn requests_that_come_together_are_answered_in_their_order_and_none_is_lost() {
    let tracker = tracker(HttpRules::default());
    let mut link = Link::to(&tracker);
    // Far more than is answered before the visitor reads: what is left waits in the kernels of both sides.
    const REQUESTS: u16 = 5_000;
    let mut sender = link.0.get_ref().try_clone().unwrap();
    let writing = std::thread::spawn(move || {
        for first in (0..REQUESTS).step_by(50) {
            let together: String = (first..first + 50).map(|number| announce(1 + number, "")).collect();
            sender.write_all(together.as_bytes()).unwrap();
        }
        sender.shutdown(Shutdown::Write).unwrap();
    });
    for before in 0..u32::from(REQUESTS) {
        assert_eq!(link.hear_peers().incomplete, Some(before + 1));
    }
    writing.join().unwrap();
    assert!(link.has_ended());
    assert_eq!(tracker.figures().announces, u64::from(REQUESTS));
}

#[test]
fn what_is_no_request_ends_the_connection_after_the_answers_before_it() {
    let tracker = tracker(HttpRules::default());
    for (bad, status) in
        [("nonsense\r\n\r\n", "400"), ("GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\nGET /", "413")]
    {
        let mut link = Link::to(&tracker);
        link.say(&[&announce(1001, ""), bad, &announce(1002, "")].concat());
        assert_eq!(link.hear_peers().incomplete, Some(1));
        let (head, _) = link.hear();
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status} ")) && head.contains("Connection: close"),
            "{head}"
        );
        assert!(link.has_ended());
    }
    assert_eq!(tracker.figures().peers, 1);
}

#[test]
fn a_proxy_says_for_whom_it_asks_and_nobody_else_does() {
    let ip = |text: &str| Some(text.parse::<IpAddr>().unwrap());
    let fields = "X-Forwarded-For: 203.0.113.9, 192.0.2.7\r\n";
    let trusting = HttpRules { forwarded_by: vec!["127.0.0.0/8".parse().unwrap()], ..HttpRules::default() };
    for (rules, visitor) in [(HttpRules::default(), "127.0.0.1"), (trusting, "192.0.2.7")] {
        let tracker = tracker(rules);
        let mut link = Link::to(&tracker);
        link.say(&announce(1001, fields));
        assert_eq!(link.hear_peers().external_ip, ip(visitor));
        link.say(&announce(1002, ""));
        assert_eq!(link.hear_peers().peers, [SocketAddr::new(visitor.parse().unwrap(), 1001)]);
    }
    let proxied = HttpRules { proxied_by: vec!["127.0.0.1".parse().unwrap()], ..HttpRules::default() };
    let tracker = tracker(proxied);
    let mut link = Link::to(&tracker);
    link.say("PROXY TCP6 2001:db8::7 2001:db8::1 5000 80\r\n");
    // Such a proxy adds no fields: what there is, the visitor wrote.
    for port in [1001, 1002] {
        link.say(&announce(port, fields));
        assert_eq!(link.hear_peers().external_ip, ip("2001:db8::7"));
    }
    let mut link = Link::to(&tracker);
    link.say(&announce(1001, ""));
    assert!(link.has_ended(), "without the header nobody knows who visits");
}

#[test]
fn one_address_cannot_take_all_connections() {
    let rules = HttpRules { connections_per_address_max: 3, ..HttpRules::default() };
    let tracker = tracker(rules.clone());
    let mut links: Vec<Link> = (0..3).map(|_| Link::to(&tracker)).collect();
    for link in &mut links {
        link.say(&announce(1001, ""));
        link.hear_peers();
    }
    assert!(Link::to(&tracker).has_ended());
    // Who leaves makes room.
    links[0].say(&announce(1002, "Connection: close\r\n"));
    links[0].hear_peers();
    assert!(links[0].has_ended());
    let mut link = Link::to(&tracker);
    link.say(&announce(1003, ""));
    link.hear_peers();
    // A proxy that is named is not counted.
    let named = HttpRules { forwarded_by: vec!["127.0.0.1".parse().unwrap()], ..rules };
    let tracker = self::tracker(named);
    let mut links: Vec<Link> = (0..10).map(|_| Link::to(&tracker)).collect();
    for link in &mut links {
        link.say(&announce(1001, ""));
        link.hear_peers();
    }
}

#[test]
fn whoever_watches_sees_numbers_and_who_may_not_sees_no_such_page() {
    let page = |link: &mut Link, path: &str| {
        link.say(&format!("GET {path} HTTP/1.1\r\n\r\n"));
        let (head, body) = link.hear();
        (head, String::from_utf8(body).unwrap())
    };
    let tracker = tracker(HttpRules::default());
    let mut link = Link::to(&tracker);
    link.say(&announce(1001, ""));
    link.hear_peers();
    let (head, body) = page(&mut link, "/metrics");
    assert!(head.contains("Content-Type: text/plain; version=0.0.4\r\n"), "{head}");
    for line in [
        "gannet_tracker_announces_total{transport=\"http\",family=\"ipv4\"} 1\n",
        "gannet_tracker_http_requests_total 2\n",
        "gannet_tracker_peers 1\n",
    ] {
        assert!(body.contains(line), "{body}");
    }
    assert_eq!(page(&mut link, "/health").1, "ok\n");
    let (head, body) = page(&mut link, "/");
    assert!(head.contains("Content-Type: text/html") && head.contains("default-src 'none'"), "{head}");
    assert!(
        body.contains("<td>Peers now</td><td>1</td>") && body.contains("serves every torrent;"),
        "{body}"
    );
    let private = HttpRules { metrics_for: Vec::new(), ..HttpRules::default() };
    let tracker = self::tracker(private);
    assert!(page(&mut Link::to(&tracker), "/metrics").0.starts_with("HTTP/1.1 404 "));
}

#[test]
fn who_has_asked_is_answered_before_the_end_and_who_has_not_does_not_hold_it_up() {
    let tracker = tracker(HttpRules::default());
    let at = tracker.http_addr().unwrap();
    let [mut idle, mut asking] = [(); 2].map(|()| Link::to(&tracker));
    let whole = announce(1002, "");
    let (begun, rest) = whole.split_at(30);
    for link in [&mut idle, &mut asking] {
        link.say(&announce(1001, ""));
        link.hear_peers();
    }
    asking.say(begun);
    // Answered after what came before it was seen.
    idle.say(&announce(1001, ""));
    idle.hear_peers();
    let ending = std::thread::spawn(move || tracker.end(PATIENCE));
    assert!(idle.has_ended());
    assert!(TcpStream::connect(at).is_err());
    asking.say(rest);
    assert!(asking.hear().0.contains("Connection: close"));
    assert!(asking.has_ended());
    ending.join().unwrap();
}
