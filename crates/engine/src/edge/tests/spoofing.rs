//! UDP trackers whose datagrams are spoofed, torn, stale or wrong, as tables. A lie is passed over as if it had not come; an
//! error is heard; silence is met with patience. Threats: E4

use super::super::udp::{UdpAnswer, UdpTrackers};
use super::{datagram, listen, visit};
use proto::output::AnnounceEvent;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;
use wire::tracker_udp::{Reply, Request, ScrapeCounts};

/// Which request is answered with a lie.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Stage {
    Connect,
    Announce,
    Scrape,
}

/// What is wrong with a datagram that would be believed otherwise.
#[derive(Clone, Copy, Debug)]
enum Lie {
    /// It ends after so many bytes.
    Torn(usize),
    /// So many zeros follow it.
    Long(usize),
    /// These bits of the transaction are others.
    Transaction(u32),
    /// The transaction has its bytes the other way round.
    Swapped,
    /// It bears another action.
    Action(u32),
    /// It comes from another port.
    Port,
    /// It comes from another address.
    Address,
    /// It is an answer to the one kind of question that nobody asked.
    OtherQuestion,
    /// It answers the other stage.
    OtherStage,
    /// It comes a hundred times, with another transaction each time.
    Flood,
}
use Lie::*;

/// What honest trackers say, and what liars would have us believe.
fn reply(stage: Stage, transaction: u32, honest: bool) -> Reply {
    match stage {
        Stage::Connect => Reply::Connect { transaction, connection: if honest { 42 } else { 666 } },
        Stage::Announce => {
            let peer = if honest { "10.0.0.1:6881" } else { "6.6.6.6:666" };
            let peers = vec![peer.parse().unwrap()];
            Reply::Announce { transaction, interval: 900, leechers: 2, seeders: 1, peers }
        }
        Stage::Scrape => {
            let seeders = if honest { 1 } else { 666 };
            Reply::Scrape { transaction, counts: vec![ScrapeCounts { seeders, ..ScrapeCounts::default() }] }
        }
    }
}

fn table() -> Vec<(Stage, bool, Lie)> {
    let mut table = Vec::new();
    for (stage, len) in [(Stage::Connect, 16), (Stage::Announce, 26), (Stage::Scrape, 20)] {
        // An announce reply of 20 bytes is whole: it has no peers.
        table.extend(
            (0..len)
                .filter(|len| (stage, *len) != (Stage::Announce, 20))
                .map(|len| (stage, false, Torn(len))),
        );
        table.extend([1, 2, 3, 4, 5, 1_000, 9_001, 60_001].map(|len| (stage, false, Long(len))));
        table.extend((0..32).map(|bit| (stage, false, Transaction(1 << bit))));
        table.extend([u32::MAX, 0xffff, 0xffff_0000].map(|bits| (stage, false, Transaction(bits))));
        table.extend(
            [4, 5, 255, 0x0100_0000, 0x8000_0000, u32::MAX].map(|action| (stage, false, Action(action))),
        );
        table.extend(
            [Swapped, Port, Address, OtherQuestion, OtherStage, Flood].map(|lie| (stage, false, lie)),
        );
        // Another torrent's counts, too. (In an announce's reply these would be peers.)
        table.extend((stage == Stage::Scrape).then_some((stage, false, Long(12))));
        // Errors that are none of ours.
        table.extend((0..8).map(|len| (stage, true, Torn(len))));
        table.extend(
            [Transaction(1), Transaction(1 << 31), Swapped, Port, Address].map(|lie| (stage, true, lie)),
        );
    }
    table
}

/// The datagrams of a lie, and whence: 0 is the tracker, 1 another port of it, 2 another address.
fn tell(stage: Stage, is_error: bool, lie: Lie, transaction: u32) -> Vec<(usize, Vec<u8>)> {
    let bytes = |transaction| {
        let error = Reply::Error { transaction, reason: "go away".into() };
        datagram(if is_error { error } else { reply(stage, transaction, false) })
    };
    let mut told = bytes(transaction);
    match lie {
        Torn(len) => told.truncate(len),
        Long(more) => told.resize(told.len() + more, 0),
        Transaction(bits) => told = bytes(transaction ^ bits),
        Swapped if transaction == transaction.swap_bytes() => told = bytes(!transaction),
        Swapped => told = bytes(transaction.swap_bytes()),
        Action(action) => told[..4].copy_from_slice(&action.to_be_bytes()),
        Port => return vec![(1, told)],
        Address => return vec![(2, told)],
        OtherQuestion if stage == Stage::Scrape => {
            told = datagram(reply(Stage::Announce, transaction, false))
        }
        OtherQuestion => told = datagram(reply(Stage::Scrape, transaction, false)),
        OtherStage if stage == Stage::Connect => told = datagram(reply(Stage::Announce, transaction, false)),
        OtherStage => told = datagram(reply(Stage::Connect, transaction, false)),
        Flood => return (1..=100).map(|other| (0, bytes(transaction ^ other))).collect(),
    }
    vec![(0, told)]
}

/// A tracker on loopback for one visit, with two sockets for those who pretend to be it.
struct Tracker {
    sockets: [UdpSocket; 3],
}

impl Tracker {
    fn new() -> Tracker {
        let bind = |address| UdpSocket::bind(address).unwrap();
        let tracker = bind("127.0.0.1:0");
        tracker.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Tracker { sockets: [tracker, bind("127.0.0.1:0"), bind("127.0.0.2:0")] }
    }

    fn address(&self) -> SocketAddr {
        self.sockets[0].local_addr().unwrap()
    }

    /// The next question, and who asks.
    fn hear(&self) -> (Request, SocketAddr) {
        let mut buffer = [0; 2048];
        let (len, from) = self.sockets[0].recv_from(&mut buffer).unwrap();
        (Request::decode(&buffer[..len]).unwrap(), from)
    }
}

fn transaction(request: &Request) -> u32 {
    match request {
        Request::Connect { transaction }
        | Request::Announce { transaction, .. }
        | Request::Scrape { transaction, .. } => *transaction,
    }
}

/// One visit to ask this, in words; `visits` of them with the same memory of connections, of which the last counts.
fn ask(tracker: SocketAddr, what: Stage, visits: u32, patience: Duration) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let request = visit("udp://", 0, AnnounceEvent::Started).request();
    let socket = Arc::new(UdpSocket::bind("0.0.0.0:0").unwrap());
    let sends = Arc::clone(&socket);
    let trackers =
        Arc::new(UdpTrackers::with_patience(patience, move |to, bytes| _ = sends.send_to(&bytes, to)));
    let hears = Arc::downgrade(&trackers);
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let hear = move |heard| {
        hears.upgrade()?.heard(heard);
        Some(())
    };
    std::thread::spawn(move || listen(&socket, hear));
    let mut words = String::new();
    for _ in 0..visits {
        let announce = async {
            match trackers.announce(tracker, &request, "/announce").await {
                Ok(UdpAnswer::Told(reply)) => format!("{:?}", reply.peers),
                Ok(UdpAnswer::Refused(reason)) => format!("refused: {reason}"),
                Err(error) => error.to_string(),
            }
        };
        let scrape = async {
            match trackers.scrape(tracker, request.info_hash).await {
                Ok(UdpAnswer::Told(counts)) => format!("{} seeds", counts.seeders),
                Ok(UdpAnswer::Refused(reason)) => format!("refused: {reason}"),
                Err(error) => error.to_string(),
            }
        };
        let asked = async {
            match what {
                Stage::Connect | Stage::Announce => announce.await,
                Stage::Scrape => scrape.await,
            }
        };
        let limited = async { tokio::time::timeout(Duration::from_secs(20), asked).await };
        words = runtime.block_on(limited).unwrap_or_else(|_| "late".into());
    }
    words
}

#[test]
fn a_lie_about_a_tracker_is_passed_over() {
    let table = table();
    let mut wrong = Vec::new();
    for &(lying, is_error, lie) in &table {
        let tracker = Tracker::new();
        let address = tracker.address();
        // Whether a connection is lied about is the same for either question.
        let (question, truth) = match lying {
            Stage::Connect | Stage::Announce => (Stage::Announce, "[10.0.0.1:6881]"),
            Stage::Scrape => (Stage::Scrape, "1 seeds"),
        };
        let thread = std::thread::spawn(move || {
            // One question of each kind: a lie is no reason to ask again.
            for stage in [Stage::Connect, question] {
                let (request, from) = tracker.hear();
                match (&request, stage) {
                    (Request::Connect { .. }, Stage::Connect) => {}
                    (Request::Announce { connection: 42, .. }, Stage::Announce)
                    | (Request::Scrape { connection: 42, .. }, Stage::Scrape) => {}
                    _ => return format!("{stage:?}: asked {request:?}"),
                }
                let asked = transaction(&request);
                let lies = if stage == lying { tell(stage, is_error, lie, asked) } else { Vec::new() };
                for (whence, bytes) in lies {
                    tracker.sockets[whence].send_to(&bytes, from).unwrap();
                }
                tracker.sockets[0].send_to(&datagram(reply(stage, asked, true)), from).unwrap();
            }
            truth.to_string()
        });
        let got = ask(address, question, 1, Duration::from_secs(10));
        if thread.join().unwrap() != got || got != truth {
            wrong.push(format!("{lying:?}, error {is_error}, {lie:?}: {got}"));
        }
    }
    println!("lies about UDP trackers: {} cases", table.len());
    assert_eq!(wrong, Vec::<String>::new());
    assert!(table.len() >= 250, "{}", table.len());
}

/// What a tracker says, question by question.
#[derive(Clone, Copy)]
enum Says {
    Yes,
    No(&'static [u8]),
    Nothing,
}
use Says::{No, Nothing, Yes};

#[test]
fn an_error_is_heard_and_silence_met_with_patience() {
    const PEER: &str = "[10.0.0.1:6881]";
    let long: &'static [u8] = vec![b'x'; 60_000].leak();
    let table: &[(&str, u32, &[Says], &str)] = &[
        ("plain", 1, &[Yes, Yes], PEER),
        ("no at once", 1, &[No(b"go")], "refused: go"),
        ("no at last", 1, &[Yes, No(b"go")], "refused: go"),
        ("no without words", 1, &[Yes, No(b"")], "refused: "),
        ("no beyond UTF-8", 1, &[Yes, No(b"\xff\xfe")], "refused: "),
        ("no at length", 1, &[Yes, No(long)], "refused: xxx"),
        ("the id is used again", 2, &[Yes, Yes, Yes], PEER),
        ("the id is unknown", 2, &[Yes, Yes, No(b"id"), Yes, Yes], PEER),
        ("the id is unknown, and no other given", 2, &[Yes, Yes, No(b"id"), No(b"go")], "refused: go"),
        ("the id is unknown, and so is the next", 2, &[Yes, Yes, No(b"id"), Yes, No(b"go")], "refused: go"),
        ("the id is passed over in silence", 2, &[Yes, Yes, Nothing, Yes, Yes], PEER),
        ("the first question is lost", 1, &[Nothing, Yes, Yes], PEER),
        ("two questions are lost", 1, &[Nothing, Nothing, Yes, Yes], PEER),
        ("the second question is lost", 1, &[Yes, Nothing, Yes], PEER),
        ("each question is lost once", 1, &[Nothing, Yes, Nothing, Yes], PEER),
        ("lost, then no", 1, &[Nothing, No(b"go")], "refused: go"),
    ];
    for &(name, visits, says, ends) in table {
        let tracker = Tracker::new();
        let address = tracker.address();
        let says = says.to_vec();
        let thread = std::thread::spawn(move || {
            for says in says {
                let (request, from) = tracker.hear();
                let asked = transaction(&request);
                let stage =
                    if matches!(request, Request::Connect { .. }) { Stage::Connect } else { Stage::Announce };
                let bytes = match says {
                    Yes => datagram(reply(stage, asked, true)),
                    No(reason) => [&3u32.to_be_bytes()[..], &asked.to_be_bytes(), reason].concat(),
                    Nothing => continue,
                };
                tracker.sockets[0].send_to(&bytes, from).unwrap();
            }
        });
        // A question that is not to be lost gets an answer well within this, but one that is costs as much.
        let got = ask(address, Stage::Announce, visits, Duration::from_millis(200));
        thread.join().unwrap();
        assert!(got.starts_with(ends) && got.len() < 2_000, "{name}: {got}");
    }
    println!("UDP trackers that say no or nothing: {} cases", table.len());
}
