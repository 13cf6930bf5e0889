//! Pairings over real sockets: who has the code gets a line, whoever has not a reason; strangers, liars and vandals get nothing.

use super::swarm::PATIENCE;
use gannet::Listen;
use gannet::sharing::{
    Code, DeskEvent, LineEnd, PAIRED_MESSAGE_LEN_MAX, PairError, PairedLine, Pairer, PairingDesk,
};
use gannet::sharing::{Unsaid, draw_code};
use socket2::{Domain, Socket, Type};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Instant;
use wire::pairing::{Hello, PairingError, Receiver, Refusal};
use wire::private::RECORD_OVERHEAD;

fn here() -> Listen {
    Listen { ports: 0..=0, ipv4: Some(Ipv4Addr::LOCALHOST), ipv6: None }
}

fn code() -> Code {
    "42-apple-river".parse().unwrap()
}

fn other_code() -> Code {
    "42-apple-rival".parse().unwrap()
}

fn desk() -> (PairingDesk, SocketAddr) {
    let desk = PairingDesk::open(code(), &here()).unwrap();
    let address = desk.local_addrs()[0];
    (desk, address)
}

fn try_pair(pairer: &Pairer, address: SocketAddr) -> Result<PairedLine, PairError> {
    pairer.pair(address).wait_for(PATIENCE).expect("an answer")
}

fn refused(code: Code, address: SocketAddr) -> PairError {
    try_pair(&Pairer::new(code).unwrap(), address).expect_err("not paired")
}

fn next_line(desk: &PairingDesk) -> PairedLine {
    match desk.recv_timeout(PATIENCE).expect("an event") {
        DeskEvent::Paired(line) => line,
        other => panic!("{other:?}"),
    }
}

/// Both ends of a line: the sharer's, and the receiver's.
fn lines(desk: &PairingDesk, address: SocketAddr) -> [PairedLine; 2] {
    let receiver = try_pair(&Pairer::new(code()).unwrap(), address).unwrap();
    [next_line(desk), receiver]
}

/// Comes with this code from another address of this machine, by hand.
fn come_from(from: Ipv4Addr, to: SocketAddr, code: &Code) -> Result<(), PairingError> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut said, mut unread, mut bytes) = (Vec::new(), Vec::new(), [0; 100]);
    let mut receiver = Receiver::new(code, [from.octets()[3]; 64], &mut said);
    loop {
        stream.write_all(&said).unwrap();
        said.clear();
        let count = stream.read(&mut bytes).unwrap();
        assert!(count > 0, "hung up without a word");
        unread.extend_from_slice(&bytes[..count]);
        let (taken, paired) = receiver.read(&unread, &mut said)?;
        unread.drain(..taken);
        if paired.is_some() {
            return Ok(());
        }
    }
}

#[test]
fn who_has_the_code_talks_with_the_sharer_in_both_families() {
    let listen = Listen { ipv6: Some(Ipv6Addr::LOCALHOST), ..here() };
    let drawn = draw_code().unwrap();
    let desk = PairingDesk::open(drawn.clone(), &listen).unwrap();
    assert!(desk.local_addrs().iter().all(|address| address.port() == desk.port()));
    for &address in desk.local_addrs() {
        let typed = drawn.to_string().to_uppercase().parse().unwrap();
        let receiver = try_pair(&Pairer::new(typed).unwrap(), address).unwrap();
        let sharer = next_line(&desk);
        assert_eq!(receiver.remote(), address);
        for number in 0..5_u8 {
            sharer.send(vec![number; usize::from(number) * 10_000]).unwrap();
            assert_eq!(receiver.recv().unwrap(), vec![number; usize::from(number) * 10_000]);
            receiver.send(vec![number]).unwrap();
            assert_eq!(sharer.recv_timeout(PATIENCE), Ok(Some(vec![number])));
        }
        let too_long = sharer.send(vec![0; PAIRED_MESSAGE_LEN_MAX + 1]);
        assert_eq!(too_long, Err(Unsaid::TooLong(PAIRED_MESSAGE_LEN_MAX + 1)));
    }
}

/// One says much more than the other takes at once: it waits, and everything arrives, in order, before the end.
#[test]
fn everything_that_is_said_arrives_before_the_end() {
    let (desk, address) = desk();
    let [sharer, receiver] = lines(&desk, address);
    let told = std::thread::spawn(move || {
        for number in 0..60_u8 {
            sharer.send(vec![number; PAIRED_MESSAGE_LEN_MAX]).unwrap();
        }
        // The handle may go: what is being closed is closed.
        sharer.close()
    });
    for number in 0..60_u8 {
        assert!(receiver.recv().unwrap() == vec![number; PAIRED_MESSAGE_LEN_MAX], "message {number}");
    }
    assert_eq!(receiver.recv(), Err(LineEnd::Closed));
    assert_eq!(receiver.send(vec![1]), Err(Unsaid::Over(LineEnd::Closed)));
    assert_eq!(told.join().unwrap().wait_for(PATIENCE), Ok(Ok(())));
    assert_eq!(receiver.close().wait_for(PATIENCE), Ok(Ok(())));
}

#[test]
fn who_vanishes_is_told_from_who_has_said_all() {
    let (desk, address) = desk();
    for closes in [false, true] {
        let [sharer, receiver] = lines(&desk, address);
        sharer.send(b"the last word".to_vec()).unwrap();
        assert_eq!(receiver.recv().unwrap(), b"the last word");
        if closes {
            assert_eq!(sharer.close().wait_for(PATIENCE), Ok(Ok(())));
        }
        drop(sharer);
        assert_eq!(receiver.recv(), Err(if closes { LineEnd::Closed } else { LineEnd::Cut }));
    }
}

#[test]
fn a_wrong_code_is_called_wrong_and_after_too_many_the_sharer_is_asked() {
    let (desk, address) = desk();
    let us = Ipv4Addr::LOCALHOST.into();
    // Three from one address, two from others.
    for _ in 0..3 {
        assert_eq!(refused(other_code(), address), PairError::WrongCode);
        let DeskEvent::WrongCode { from } = desk.recv_timeout(PATIENCE).unwrap() else { panic!("no event") };
        assert_eq!(from, us);
    }
    let DeskEvent::MustConfirm { wrong } = desk.recv_timeout(PATIENCE).unwrap() else { panic!("no event") };
    assert_eq!(wrong, [(us, 3)]);
    assert_eq!(refused(code(), address), PairError::MustConfirm, "nor the right one, from there");
    let [second, third] = [2, 3].map(|last| Ipv4Addr::new(127, 0, 0, last));
    let wrong_code = Err(PairingError::Refused(Refusal::OtherCode));
    assert_eq!(come_from(second, address, &code()), Ok(()));
    drop(next_line(&desk));
    assert_eq!([second, third].map(|from| come_from(from, address, &other_code())), [wrong_code, wrong_code]);
    let must_confirm = Err(PairingError::Refused(Refusal::MustConfirm));
    assert_eq!(come_from(Ipv4Addr::new(127, 0, 0, 4), address, &code()), must_confirm);
    let told: Vec<DeskEvent> = std::iter::from_fn(|| desk.try_recv().ok()).collect();
    let [DeskEvent::WrongCode { .. }, DeskEvent::WrongCode { .. }, DeskEvent::MustConfirm { wrong }] =
        &told[..]
    else {
        panic!("{told:?}")
    };
    assert_eq!(wrong[..], [(us, 3), (second.into(), 1), (third.into(), 1)]);
    desk.go_on();
    lines(&desk, address);
}

/// A hundred who say nothing, a hundred who say something else, at once and again: nobody gets a word, and whoever has the code
/// is let in.
#[test]
fn strangers_keep_nobody_out_and_get_no_word() {
    let (desk, address) = desk();
    for round in 0..2 {
        let mut strangers = Vec::new();
        for number in 0..200 {
            let mut stranger = TcpStream::connect(address).unwrap();
            if number % 2 == 0 {
                // Who was sent away before may find nobody to tell.
                let _ = stranger.write_all(b"GET / HTTP/1.1\r\nHost: gannet\r\n\r\n");
            }
            strangers.push(stranger);
        }
        let [sharer, receiver] = lines(&desk, address);
        sharer.send(vec![round]).unwrap();
        assert_eq!(receiver.recv(), Ok(vec![round]));
        drop(desk.try_recv());
        for mut stranger in strangers {
            stranger.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut heard = Vec::new();
            let ended = stranger.read_to_end(&mut heard);
            assert!(ended.is_ok() || ended.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
            assert_eq!(heard, b"");
        }
    }
}

/// More than a share talks to at once: who is too many is told so, and has a place when others have left.
#[test]
fn who_is_too_many_is_told_so_and_may_come_again() {
    let (desk, address) = desk();
    let pairer = Pairer::new(code()).unwrap();
    let mut lines = Vec::new();
    let refused = loop {
        match try_pair(&pairer, address) {
            Ok(line) => lines.push((line, next_line(&desk))),
            Err(error) => break error,
        }
    };
    assert_eq!(refused, PairError::Busy);
    assert!((16..=64).contains(&lines.len()), "{}", lines.len());
    drop(lines);
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = try_pair(&pairer, address) {
        assert!(error == PairError::Busy && Instant::now() < deadline, "{error}");
    }
}

/// What stands in for a sharer: hears how a receiver begins, says this, and hangs up when it has heard `hears` bytes more.
fn stand_in(says: impl Fn(&[u8]) -> Vec<u8> + Send + 'static, hears: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut hello = [0; wire::pairing::HELLO_LEN];
            if stream.read_exact(&mut hello).is_ok() && stream.write_all(&says(&hello)).is_ok() {
                let _ = stream.read_exact(&mut vec![0; hears]);
            }
        }
    });
    address
}

fn answer(code: &Code, hello: &[u8]) -> Vec<u8> {
    let mut said = Vec::new();
    Hello::read(hello).unwrap().unwrap().answer(code, [9; 64], &mut said).unwrap();
    said
}

#[test]
fn a_receiver_knows_why_it_is_not_paired() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_eq!(refused(code(), nobody), PairError::Unreachable(ErrorKind::ConnectionRefused));
    for (says, expected) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], PairError::NotAShare),
        (b"", PairError::Cut),
        (b"\0", PairError::Cut),
        (&[1], PairError::WrongCode),
        (&[2], PairError::MustConfirm),
        (&[3], PairError::Busy),
        (&[0; 34], PairError::NotAShare),
    ] {
        let address = stand_in(move |_| says.to_vec(), 0);
        assert_eq!(refused(code(), address), expected, "{says:?}");
    }
}

/// Each of those who answer to the number could be somebody who guesses: a receiver proves itself three times, to one address twice.
#[test]
fn a_receiver_gives_up_on_those_who_do_not_know_its_code() {
    let pairer = Pairer::new(code()).unwrap();
    let impostors = [(); 3].map(|()| stand_in(|hello| answer(&other_code(), hello), 32));
    let (desk, address) = desk();
    for (who, expected) in [
        (impostors[0], PairError::Cut),
        (impostors[1], PairError::Cut),
        (impostors[2], PairError::GivenUp),
        (address, PairError::GivenUp),
    ] {
        assert_eq!(try_pair(&pairer, who).unwrap_err(), expected);
    }
    assert!(desk.try_recv().is_err(), "all are one address here, the true one too");
    // A code that is typed anew is another matter; and who is right is not counted, however often.
    let pairer = Pairer::new(code()).unwrap();
    for _ in 0..5 {
        try_pair(&pairer, address).unwrap();
        drop(next_line(&desk));
    }
}

#[test]
fn who_says_nothing_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    assert_eq!(refused(code(), listener.local_addr().unwrap()), PairError::TimedOut);
}

/// Between the two somebody turns one bit of what the sharer says behind the exchange.
#[test]
fn who_meddles_is_noticed_before_a_word_is_believed() {
    let (desk, target) = desk();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let relay = std::thread::spawn(move || {
        let (mut receiver, _) = listener.accept().unwrap();
        let mut sharer = TcpStream::connect(target).unwrap();
        let mut pass = |bytes: usize, forth: bool, meddles: bool| {
            let (from, to) = if forth { (&mut receiver, &mut sharer) } else { (&mut sharer, &mut receiver) };
            let mut passing = vec![0; bytes];
            from.read_exact(&mut passing).unwrap();
            passing[bytes / 2] ^= u8::from(meddles);
            to.write_all(&passing).unwrap();
        };
        pass(41, true, false);
        pass(34, false, false);
        pass(32, true, false);
        pass(33, false, false);
        // The record of four bytes of head and twelve of message.
        pass(RECORD_OVERHEAD + 16, false, true);
        // Until both have hung up.
        let _ = receiver.read_to_end(&mut Vec::new());
    });
    let [sharer, receiver] = lines(&desk, address);
    sharer.send(b"transfer all".to_vec()).unwrap();
    assert_eq!(receiver.recv(), Err(LineEnd::Altered));
    drop(receiver);
    relay.join().unwrap();
}

#[test]
fn a_desk_that_is_closed_takes_nobody_in_and_lines_stay() {
    let (desk, address) = desk();
    let [sharer, receiver] = lines(&desk, address);
    drop(desk);
    // The desk's thread closes its socket when it comes to it.
    let pairer = Pairer::new(code()).unwrap();
    while try_pair(&pairer, address).is_ok() {}
    sharer.send(b"still".to_vec()).unwrap();
    assert_eq!(receiver.recv().unwrap(), b"still");
}
