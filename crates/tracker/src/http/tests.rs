//! How long a connection may take, by a clock of the test's own, and how much of a turn. Threat E9.

use super::*;
use crate::access::Admission;
use crate::shards::Routes;
use proto::tracker::swarm_table::Rules;
use rustls::ClientConnection;
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
        connection.set_readable(false);
        self.serve_again(connection, now)
    }

    /// Lets the connection go on, though the poll has told of nothing.
    fn serve_again(&mut self, connection: &mut Connection, now: Instant) -> Visitor {
        let tally = self.tallies.each().next().unwrap();
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
    pair_with(None, now)
}

fn pair_with(certificate: Option<&Certificate>, now: Instant) -> (Client, Connection) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = Client::connect(listener.local_addr().unwrap()).unwrap();
    let (stream, from) = listener.accept().unwrap();
    stream.set_nonblocking(true).unwrap();
    let stream = TcpStream::from_std(stream);
    let connection = Connection::new(stream, certificate, from.ip(), &HttpRules::default(), now);
    (client, connection.unwrap())
}

/// A certificate, and a client's side of a session with who shows it.
pub(crate) fn identity() -> (Certificate, ClientConnection) {
    identity_and_a_client(&[])
}

/// The client would rather exchange keys by these.
pub(crate) fn identity_and_a_client(
    rather: &[&'static dyn rustls::crypto::SupportedKxGroup],
) -> (Certificate, ClientConnection) {
    let key = rcgen::KeyPair::generate().unwrap();
    let shown = rcgen::CertificateParams::new(vec!["t".into()]).unwrap().self_signed(&key).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let certificate = Certificate::of(vec![shown.der().clone()], key).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(shown.der().clone()).unwrap();
    let mut provider = rustls::crypto::ring::default_provider();
    provider.kx_groups.splice(..0, rather.iter().copied());
    let config = rustls::ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .unwrap();
    let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
    (certificate, ClientConnection::new(config, "t".try_into().unwrap()).unwrap())
}

/// The client's part of a handshake; the other side has its turn whenever something was said.
fn shake_hands(session: &mut ClientConnection, client: &mut Client, mut other: impl FnMut()) {
    while session.is_handshaking() || session.wants_write() {
        if session.wants_write() {
            session.write_tls(client).unwrap();
            other();
        } else {
            session.read_tls(client).unwrap();
            session.process_new_packets().unwrap();
        }
    }
}

/// Says this within one record, if it is no longer than one.
fn seal(session: &mut ClientConnection, client: &mut Client, text: &[u8]) {
    session.writer().write_all(text).unwrap();
    while session.wants_write() {
        session.write_tls(client).unwrap();
    }
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
        let goes_on = counter.serve(&mut connection, began) == Visitor::HasMore;
        assert!(connection.input.len() <= HEAD_LEN_MAX + READ_LEN, "{}", connection.input.len());
        assert!(connection.output.len() - connection.written < 2 * OUTPUT_MAX);
        quiet = if said || goes_on { 0 } else { quiet + 1 };
    }
    assert_eq!(seconds_left(&connection, began), STALL_TIME_MAX.as_secs());
}

#[test]
fn what_tls_needs_counts_as_a_heads_time_and_no_record_prolongs_it() {
    let (certificate, mut session) = identity();
    let began = Instant::now();
    let (mut client, mut connection) = pair_with(Some(&certificate), began);
    let mut counter = Counter::new();
    let at = |seconds| began + Duration::from_secs(seconds);
    let mut hello = Vec::new();
    session.write_tls(&mut hello).unwrap();
    let (first, rest) = hello.split_at(100);
    for (second, part) in [first, rest].into_iter().enumerate() {
        client.write_all(part).unwrap();
        assert_eq!(counter.serve(&mut connection, at(second as u64)), Visitor::Stays);
        assert_eq!(seconds_left(&connection, began), HEAD_TIME_MAX.as_secs());
    }
    // The handshake is over, but nothing was asked.
    shake_hands(&mut session, &mut client, || {});
    assert_eq!(counter.serve(&mut connection, at(3)), Visitor::Stays);
    assert!(!connection.stream.is_shaking_hands());
    assert_eq!(seconds_left(&connection, began), HEAD_TIME_MAX.as_secs());
    session.writer().write_all(b"GET /health HTTP/1.1\r\n\r\n").unwrap();
    session.write_tls(&mut client).unwrap();
    assert_eq!(counter.serve(&mut connection, at(4)), Visitor::Stays);
    assert_eq!(seconds_left(&connection, at(4)), IDLE_TIME_MAX.as_secs());
    assert!(connection.is_idle());
}

#[test]
fn a_turn_answers_so_many_requests_and_the_rest_has_another() {
    let now = Instant::now();
    let (mut client, mut connection) = pair(now);
    let mut counter = Counter::new();
    client.set_nonblocking(true).unwrap();
    let (turn, rest) = (REQUESTS_PER_TURN as usize, 3);
    client.write_all(&b"GET /health HTTP/1.1\r\n\r\n".repeat(2 * turn + rest)).unwrap();
    for (answers, became) in
        [(turn, Visitor::HasMore), (turn, Visitor::HasMore), (rest, Visitor::Stays), (0, Visitor::Stays)]
    {
        assert_eq!(counter.serve(&mut connection, now), became);
        let mut text = [0; 8192];
        let len = client.read(&mut text).unwrap_or_default();
        let heads = text[..len].windows(9).filter(|bytes| bytes == b"HTTP/1.1 ");
        assert_eq!(heads.count(), answers);
    }
}

#[test]
fn what_comes_while_content_waits_within_the_session_is_read_though_the_poll_tells_of_it_once() {
    let now = Instant::now();
    let (certificate, mut session) = identity();
    let (mut client, mut connection) = pair_with(Some(&certificate), now);
    let mut counter = Counter::new();
    shake_hands(&mut session, &mut client, || {
        counter.serve(&mut connection, now);
    });
    // One record, longer than one read by a few requests.
    let question = b"GET /health HTTP/1.1\r\n\r\n";
    let together = READ_LEN / question.len() + 5;
    seal(&mut session, &mut client, &question.repeat(together));
    let mut turns = 1;
    let mut became = counter.serve(&mut connection, now);
    // The poll tells of one more while there is still enough to be answered.
    seal(&mut session, &mut client, question);
    connection.set_readable(false);
    while became == Visitor::HasMore {
        became = counter.serve_again(&mut connection, now);
        turns += 1;
    }
    assert_eq!(became, Visitor::Stays);
    assert!(turns > together / REQUESTS_PER_TURN as usize);
    let tally = counter.tallies.each().next().unwrap();
    assert_eq!(tally.get(Count::Request), together as u64 + 1);
}

#[test]
fn who_reads_on_within_tls_is_waited_for_as_if_it_had_never_stopped() {
    let began = Instant::now();
    let (certificate, mut session) = identity();
    let (mut client, mut connection) = pair_with(Some(&certificate), began);
    let mut counter = Counter::new();
    shake_hands(&mut session, &mut client, || {
        counter.serve(&mut connection, began);
    });
    client.set_nodelay(true).unwrap();
    socket2::SockRef::from(&client).set_recv_buffer_size(4096).unwrap();
    socket2::SockRef::from(&*connection.socket_mut()).set_send_buffer_size(4096).unwrap();
    // Until neither kernel takes the last answers whole, though they are sealed already. That is after a few records, all of which come at
    // once: who does not read is acknowledged late.
    let questions = b"GET /health HTTP/1.1\r\n\r\n".repeat(REQUESTS_PER_TURN as usize);
    while !connection.stream.is_leaving() {
        seal(&mut session, &mut client, &questions);
        connection.set_readable(false);
        while counter.serve_again(&mut connection, began) == Visitor::HasMore {}
        assert!(connection.output.is_empty());
    }
    assert_eq!(seconds_left(&connection, began), STALL_TIME_MAX.as_secs());
    let later = began + Duration::from_secs(7);
    client.set_nonblocking(true).unwrap();
    while connection.stream.is_leaving() {
        while client.read(&mut [0; 65_536]).is_ok() {}
        assert_ne!(counter.serve_again(&mut connection, later), Visitor::Leaves);
    }
    assert_eq!(seconds_left(&connection, later), IDLE_TIME_MAX.as_secs());
    assert!(connection.is_idle());
}
