//! Who has a turn when, turn by turn. Threat E9.

use super::*;
use crate::accounts::Books;
use crate::config::Listen;
use crate::http::REQUESTS_PER_TURN;
use proto::tracker::{ledger, swarm_table};
use rustls::crypto::{ActiveKeyExchange, SharedSecret, SupportedKxGroup};
use rustls::{ClientConnection, NamedGroup};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::mpsc::sync_channel;

/// What does not come within this does not come.
const PATIENCE: Duration = Duration::from_secs(60);

/// Of an endless visitor so much is here at once.
const QUEUED: usize = 500;

/// Requests of endless visitors that are answered at most while one waits who has asked once: those of two turns, and as many again for
/// a kernel that takes its time.
const MEANWHILE_MAX: u64 = 256;

/// A worker's loop, turned by hand.
struct Turned {
    worker: Worker,
    tally: Arc<Tally>,
    events: Events,
    looked_around: Instant,
    at: SocketAddr,
}

impl Turned {
    fn new() -> Turned {
        Turned::with(None)
    }

    /// One that shows this.
    fn with(certificate: Option<Certificate>) -> Turned {
        let mut config = Config::default();
        config.http.connections_per_address_max = 1000;
        let poll = Poll::new().unwrap();
        let waker = mio::Waker::new(poll.registry(), CALLED).unwrap();
        let (routes, _) = Routes::among(vec![Arc::new(waker)]);
        let opened = crate::sockets::open(Listen::http((Ipv4Addr::LOCALHOST, 0).into()), 1).unwrap();
        let listener = opened.http.into_iter().next().unwrap();
        let at = listener.local_addr().unwrap();
        let tallies = Tallies::new(1);
        let tally = tallies.each().next().unwrap();
        let equipment = Equipment {
            poll,
            listeners: vec![Listener::new(listener, certificate)],
            sockets: Vec::new(),
            routes: routes.into_iter().next().unwrap(),
            access: Arc::default(),
            ids: ConnectionIds::new(2),
            desk: Desk::new(config.rules, None, Arc::clone(&tally)),
            tally: Arc::clone(&tally),
            tallies,
            browsers: None,
        };
        let worker = Worker::new(equipment, &config).unwrap();
        Turned { worker, tally, events: Events::with_capacity(16), looked_around: Instant::now(), at }
    }

    /// A visitor who has asked so often.
    fn visitor(&self, requests: usize) -> TcpStream {
        let mut visitor = TcpStream::connect(self.at).unwrap();
        visitor.write_all(&b"GET /health HTTP/1.1\r\n\r\n".repeat(requests)).unwrap();
        visitor.set_nonblocking(true).unwrap();
        visitor
    }

    fn turn(&mut self) {
        assert!(self.worker.turn(&mut self.events, &mut self.looked_around));
    }

    fn turn_until(&mut self, mut done: impl FnMut(&Turned) -> bool) {
        // A turn may take a second. Longer than anything takes that comes at all.
        let until = Instant::now() + Duration::from_secs(60);
        while Instant::now() < until {
            if done(self) {
                return;
            }
            self.turn();
        }
        panic!("it does not come");
    }

    /// Requests answered so far.
    fn answered(&self) -> u64 {
        self.tally.get(Count::Request)
    }
}

#[test]
fn who_has_asked_once_waits_neither_for_how_many_ask_without_end_nor_for_what_they_have_queued() {
    for endless in [20, 200] {
        let mut turned = Turned::new();
        let mut crowd = Vec::new();
        for _ in 0..endless {
            crowd.push(turned.visitor(QUEUED));
            turned.turn();
        }
        let mut honest = turned.visitor(1);
        turned.turn_until(|turned| turned.worker.visitors.len() > endless);
        let before = turned.answered();
        turned.turn_until(|_| honest.read(&mut [0; 512]).is_ok());
        // It is there with the next look at the sockets, or the one after.
        let meanwhile = turned.answered() - before;
        assert!(meanwhile <= MEANWHILE_MAX, "{endless}: {meanwhile}");
        // The crowd is answered, too: all of it, in as many turns as that takes.
        assert!(turned.worker.left_over.visitors.len() > endless / 2);
        let all = (endless * QUEUED + 1) as u64;
        let most = all / u64::from(REQUESTS_PER_TURN) + 100;
        for mut visitor in (0..most).zip(crowd.iter().cycle()).map(|(_, visitor)| visitor) {
            // They read.
            while visitor.read(&mut [0; 65_536]).is_ok() {}
            turned.turn();
            if turned.answered() == all {
                break;
            }
        }
        assert_eq!(turned.answered(), all, "{endless}");
    }
}

#[test]
fn a_handshake_that_comes_to_nothing_is_counted_once_however_it_ends() {
    let (certificate, _) = crate::http::tests::identity();
    let mut turned = Turned::with(Some(certificate));
    let failed = |turned: &Turned| turned.tally.get(Count::TlsFailed);
    // The beginning of a record, and then: the end, nothing at all, what is no TLS.
    let [ends, _stays, mut raves] = [(); 3].map(|()| {
        let mut visitor = TcpStream::connect(turned.at).unwrap();
        visitor.write_all(&[22, 3, 1, 0, 200, 1]).unwrap();
        visitor
    });
    turned.turn_until(|turned| turned.worker.visitors.shaking_hands() == 3);
    drop(ends);
    turned.turn_until(|turned| turned.worker.visitors.len() == 2);
    assert_eq!(failed(&turned), 1);
    raves.write_all(&[0xff; 1000]).unwrap();
    turned.turn_until(|turned| turned.worker.visitors.len() == 1);
    assert_eq!(failed(&turned), 2);
    turned.worker.look_around(Instant::now() + Duration::from_secs(6));
    assert_eq!((turned.worker.visitors.len(), failed(&turned)), (0, 3));
    // Who has said nothing has not tried.
    let _silent = TcpStream::connect(turned.at).unwrap();
    turned.turn_until(|turned| turned.worker.visitors.len() == 1);
    turned.worker.look_around(Instant::now() + Duration::from_secs(6));
    assert_eq!((turned.worker.visitors.len(), failed(&turned)), (0, 3));
}

/// A loop where TLS is spoken that hears of everybody at once, a session to begin with, and how that begins.
fn turned_and_hello() -> (Turned, ClientConnection, Vec<u8>) {
    let (certificate, mut session) = crate::http::tests::identity();
    let mut hello = Vec::new();
    session.write_tls(&mut hello).unwrap();
    let mut turned = Turned::with(Some(certificate));
    turned.events = Events::with_capacity(EVENTS_MAX);
    (turned, session, hello)
}

/// So many who say this as they come.
fn crowd(turned: &Turned, visitors: usize, says: &[u8]) -> Vec<TcpStream> {
    let mut crowd: Vec<_> = (0..visitors).map(|_| TcpStream::connect(turned.at).unwrap()).collect();
    crowd.iter_mut().for_each(|visitor| visitor.write_all(says).unwrap());
    crowd
}

#[test]
fn a_turn_makes_so_many_handshakes_and_the_others_are_made_in_the_next() {
    const VISITORS: usize = 3 * HANDSHAKES_MAX + 5;
    let (mut turned, _, hello) = turned_and_hello();
    let mut crowd = crowd(&turned, VISITORS, b"");
    turned.turn_until(|turned| turned.worker.visitors.len() == VISITORS);
    // The poll has told that they can be written to.
    turned.turn();
    turned.turn_until(|turned| !turned.worker.could_go_on());
    crowd.iter_mut().for_each(|visitor| visitor.write_all(&hello).unwrap());
    let mut answered = Vec::new();
    while turned.worker.visitors.shaking_hands() < VISITORS {
        let before = turned.worker.visitors.shaking_hands();
        turned.turn();
        answered.push(turned.worker.visitors.shaking_hands() - before);
    }
    assert_eq!(answered, [HANDSHAKES_MAX, HANDSHAKES_MAX, HANDSHAKES_MAX, 5]);
}

#[test]
fn who_needs_no_signature_any_more_waits_for_none() {
    const CROWD: usize = 10 * HANDSHAKES_MAX;
    let (mut turned, mut session, hello) = turned_and_hello();
    let mut honest = crowd(&turned, 1, &hello).remove(0);
    honest.set_nonblocking(true).unwrap();
    turned.turn_until(|_| session.read_tls(&mut honest).is_ok());
    turned.turn_until(|_| {
        session.process_new_packets().unwrap();
        session.wants_write() || session.read_tls(&mut honest).is_err()
    });
    let _crowd = crowd(&turned, CROWD, &hello);
    turned.turn_until(|turned| turned.worker.left_over.handshakes.len() > HANDSHAKES_MAX);
    let before = turned.worker.visitors.shaking_hands();
    session.writer().write_all(b"GET /health HTTP/1.1\r\n\r\n").unwrap();
    while session.wants_write() {
        session.write_tls(&mut honest).unwrap();
    }
    turned.turn_until(|turned| turned.answered() == 1);
    let meanwhile = turned.worker.visitors.shaking_hands() - before;
    // It is there with the next look at the sockets, or the one after.
    assert!(meanwhile < 2 * HANDSHAKES_MAX, "{meanwhile}");
}

#[test]
fn who_says_nothing_takes_no_turn_of_those_who_do() {
    let (mut turned, _, _) = turned_and_hello();
    let _silent = crowd(&turned, ACCEPT_BATCH_MAX, b"");
    turned.turn_until(|turned| turned.worker.visitors.len() == ACCEPT_BATCH_MAX);
    for _ in 0..3 {
        // The poll tells that all of them can be written to.
        turned.turn();
        assert_eq!(turned.worker.left_over.handshakes.len(), 0);
    }
}

#[test]
fn who_has_left_takes_no_turn_of_those_who_are_here() {
    let (mut turned, _, hello) = turned_and_hello();
    let _crowd = crowd(&turned, ACCEPT_BATCH_MAX, &hello);
    let waiting = ACCEPT_BATCH_MAX - HANDSHAKES_MAX;
    turned.turn_until(|turned| turned.worker.left_over.handshakes.len() == waiting);
    turned.worker.visitors.remove_overdue(Instant::now() + Duration::from_secs(6));
    assert_eq!(turned.worker.visitors.len(), 0);
    let _honest = crowd(&turned, 1, &hello);
    turned.turn_until(|turned| turned.worker.visitors.len() == 1);
    turned.worker.left_over.handshakes.put(turned.worker.visitors.next_name() - 1);
    turned.turn();
    assert_eq!(turned.worker.visitors.shaking_hands(), 1);
}

#[test]
fn nothing_is_signed_for_who_has_hung_up() {
    let (mut turned, mut session, hello) = turned_and_hello();
    let left = crowd(&turned, 10, &hello);
    left.iter().for_each(|visitor| visitor.shutdown(std::net::Shutdown::Write).unwrap());
    turned.turn_until(|turned| turned.worker.visitors.len() == 10);
    turned.turn_until(|turned| turned.worker.visitors.len() == 0);
    assert_eq!(turned.tally.get(Count::TlsFailed), 10);
    for mut visitor in left {
        // Not a byte of an answer, which would begin with what is signed.
        assert!(!matches!(visitor.read(&mut [0; 512]), Ok(1..)));
    }
    // Who speaks plain HTTP is told so, however it ends its question.
    let mut mistaken = crowd(&turned, 1, b"GET / HTTP/1.1\r\n\r\n").remove(0);
    mistaken.shutdown(std::net::Shutdown::Write).unwrap();
    mistaken.set_nonblocking(true).unwrap();
    turned.turn_until(|_| matches!(mistaken.read(&mut [0; 512]), Ok(1..)));
    // And who says goodbye once it is made is answered.
    let mut honest = crowd(&turned, 1, &hello).remove(0);
    honest.set_nonblocking(true).unwrap();
    turned.turn_until(|_| {
        let _ = session.read_tls(&mut honest);
        session.process_new_packets().unwrap();
        session.wants_write()
    });
    session.writer().write_all(b"GET /health HTTP/1.1\r\n\r\n").unwrap();
    while session.wants_write() {
        session.write_tls(&mut honest).unwrap();
    }
    honest.shutdown(std::net::Shutdown::Write).unwrap();
    turned.turn_until(|turned| turned.answered() == 1);
}

#[test]
fn who_has_to_say_hello_twice_is_answered_though_it_says_all_and_goodbye_at_once() {
    let (certificate, mut session) = crate::http::tests::identity_and_a_client(&[&NobodysGroup]);
    let mut turned = Turned::with(Some(certificate));
    let mut honest = crowd(&turned, 1, b"").remove(0);
    honest.set_nonblocking(true).unwrap();
    turned.turn_until(|_| {
        while session.wants_write() {
            session.write_tls(&mut honest).unwrap();
        }
        let _ = session.read_tls(&mut honest);
        session.process_new_packets().unwrap();
        !session.is_handshaking()
    });
    assert_eq!(session.handshake_kind(), Some(rustls::HandshakeKind::FullWithHelloRetryRequest));
    session.writer().write_all(b"GET /health HTTP/1.1\r\n\r\n").unwrap();
    while session.wants_write() {
        session.write_tls(&mut honest).unwrap();
    }
    honest.shutdown(std::net::Shutdown::Write).unwrap();
    turned.turn_until(|turned| turned.answered() == 1);
}

/// Something that no tracker exchanges keys by.
#[derive(Debug)]
struct NobodysGroup;

impl SupportedKxGroup for NobodysGroup {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, rustls::Error> {
        Ok(Box::new(NobodysGroup))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::secp521r1
    }
}

impl ActiveKeyExchange for NobodysGroup {
    fn complete(self: Box<Self>, _: &[u8]) -> Result<SharedSecret, rustls::Error> {
        unreachable!("nobody takes it")
    }

    fn pub_key(&self) -> &[u8] {
        &[4; 133]
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::secp521r1
    }
}

#[test]
fn no_more_are_let_in_than_can_be_gone_on_with_soon() {
    const VISITORS: usize = 8 * ACCEPT_BATCH_MAX;
    let (mut turned, _, hello) = turned_and_hello();
    let _crowd = crowd(&turned, VISITORS, &hello);
    turned.turn_until(|turned| {
        let waiting = turned.worker.left_over.handshakes.len();
        assert!(waiting <= HANDSHAKES_WAITING_MAX + ACCEPT_BATCH_MAX, "{waiting}");
        turned.worker.visitors.shaking_hands() == VISITORS
    });
}

#[test]
fn what_is_due_to_members_is_handed_over_though_the_state_waits_for_its_disk() {
    let (rows, books) = sync_channel(1);
    let (state, pieces) = sync_channel(0);
    let books_of_all = Books { rules: ledger::Rules::default(), rows, standing: Arc::default() };
    let mut desk = Desk::new(swarm_table::Rules::default(), Some(books_of_all), Arc::default());
    desk.save_to(state, 0);
    let member = Member { user: ledger::UserId(7), may_download: true, clients_max: None };
    let announce = AnnounceRequest {
        info_hash: wire::InfoHash([1; 20]),
        peer_id: wire::PeerId([2; 20]),
        port: 6881,
        uploaded: 0,
        downloaded: 0,
        left: 0,
        event: wire::announce::AnnounceEvent::Started,
        want: None,
        key: None,
    };
    desk.announce(Over::Http, Ipv4Addr::LOCALHOST.into(), Some(&member), &announce, 50).unwrap();
    let mut turned = Turned::new();
    turned.worker.desk = desk;
    turned.worker.begin_to_end(Duration::ZERO, Instant::now());
    let running = std::thread::spawn(|| turned.worker.run());
    // Nobody takes anything of the state.
    let handed_over = books.recv_timeout(PATIENCE).unwrap();
    assert_eq!((handed_over.len(), handed_over[0].user), (1, ledger::UserId(7)));
    // Of the swarms, and of where counting stands.
    assert_eq!(pieces.iter().filter(|piece| piece.last.is_some()).count(), 2);
    running.join().unwrap();
}
