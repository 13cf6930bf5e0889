//! How long a connection may take, by a clock of the test's own. Threat E9.

use super::*;
use crate::access::Admission;
use crate::shards::Routes;
use proto::tracker::swarm_table::Rules;
use std::net::{TcpListener, TcpStream as Client};
use std::sync::Arc;

/// What one worker serves its connections with.
struct Counter {
    desk: Desk,
    routes: Routes,
    rules: HttpRules,
    tallies: Tallies,
    body: Vec<u8>,
}

impl Counter {
    fn new() -> Counter {
        let poll = mio::Poll::new().unwrap();
        let waker = mio::Waker::new(poll.registry(), mio::Token(0)).unwrap();
        let (routes, _orders) = Routes::among(vec![Arc::new(waker)]);
        Counter {
            desk: Desk::new(Rules::default(), None, Arc::default()),
            routes: routes.into_iter().next().unwrap(),
            rules: HttpRules::default(),
            tallies: Tallies::new(1),
            body: Vec::new(),
        }
    }

    /// Lets the connection go on, for what its client has just said.
    fn serve(&mut self, connection: &mut Connection, now: Instant) -> Visitor {
        let tally = self.tallies.each().next().unwrap();
        connection.set_readable(false);
        connection.go_on(&mut Service {
            desk: &mut self.desk,
            routes: &mut self.routes,
            access: &Admission::default(),
            tally: &tally,
            tallies: &self.tallies,
            visitor: 1,
            rules: &self.rules,
            browsers: None,
            now,
            ends: false,
            body: &mut self.body,
        })
    }
}

fn pair(now: Instant) -> (Client, Connection) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = Client::connect(listener.local_addr().unwrap()).unwrap();
    let (stream, from) = listener.accept().unwrap();
    stream.set_nonblocking(true).unwrap();
    let connection = Connection::new(TcpStream::from_std(stream), from.ip(), &HttpRules::default(), now);
    (client, connection)
}

/// For how many whole seconds from now on it may go on.
fn seconds_left(connection: &Connection, now: Instant) -> u64 {
    (1..1000).find(|&seconds| connection.is_overdue(now + Duration::from_secs(seconds))).unwrap() - 1
}

#[test]
fn a_head_has_its_time_from_its_first_byte_and_no_later_byte_prolongs_it() {
    let began = Instant::now();
    let (mut client, mut connection) = pair(began);
    let mut counter = Counter::new();
    assert_eq!(seconds_left(&connection, began), HEAD_TIME_MAX.as_secs());
    let at = |seconds| began + Duration::from_secs(seconds);
    for (second, byte) in b"GET".iter().enumerate() {
        client.write_all(&[*byte]).unwrap();
        assert_eq!(counter.serve(&mut connection, at(second as u64)), Visitor::Stays);
        assert_eq!(seconds_left(&connection, began), HEAD_TIME_MAX.as_secs());
    }
    // Once it is whole and answered, the next may be long in coming, but not once it has begun.
    client.write_all(b" /health HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(counter.serve(&mut connection, at(3)), Visitor::Stays);
    assert_eq!(seconds_left(&connection, at(3)), IDLE_TIME_MAX.as_secs());
    assert!(connection.is_idle());
    client.write_all(b"G").unwrap();
    assert_eq!(counter.serve(&mut connection, at(40)), Visitor::Stays);
    assert_eq!(seconds_left(&connection, at(40)), HEAD_TIME_MAX.as_secs());
    assert!(!connection.is_idle());
}

#[test]
fn who_reads_no_answers_is_answered_no_further_and_cut_off() {
    let began = Instant::now();
    let (mut client, mut connection) = pair(began);
    let mut counter = Counter::new();
    client.set_nonblocking(true).unwrap();
    // Until neither kernel takes any more.
    let questions = b"GET /health HTTP/1.1\r\n\r\n".repeat(500);
    let mut quiet = 0;
    while quiet < 100 {
        let said = client.write(&questions).is_ok();
        counter.serve(&mut connection, began);
        assert!(connection.input.len() <= HEAD_LEN_MAX + READ_LEN, "{}", connection.input.len());
        assert!(connection.output.len() - connection.written < 2 * OUTPUT_MAX);
        quiet = if said { 0 } else { quiet + 1 };
    }
    assert_eq!(seconds_left(&connection, began), STALL_TIME_MAX.as_secs());
}
