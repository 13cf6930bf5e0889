//! Receivers come, leave and come back; so does the sharer. Threats: C4, C5

use super::super::{PairError, Pairer, ReceiveError, ReceiverState};
use super::*;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

fn other_code(share: &Share) -> Code {
    let words = share.code().to_string();
    let (number, _) = words.split_once('-').unwrap();
    let other = format!("{number}-apple-river").parse::<Code>().unwrap();
    assert_ne!(other, *share.code());
    other
}

#[test]
fn three_receivers_have_everything_and_give_to_each_other() {
    let home = Home::new();
    let path = home.write("film.mkv", 6_000_000);
    // Too slow for three copies, so that they need each other.
    let share = home.share_with(&path, |config| config.upload_max = Some(4_000_000));
    let receivers = ["one", "two", "three"].map(|name| (name, home.receive(&share, name)));
    receivers.iter().for_each(|(_, receiver)| receiver.0.accept());
    for (name, receiver) in &receivers {
        receiver.finish();
        assert_same(&path, &home.output(name).join("film.mkv"));
    }
    for (_, receiver) in &receivers {
        receiver.until("nobody lacks anything", |event| matches!(event, ReceiveEvent::Served));
    }
    let given: u64 = receivers.iter().map(|(_, receiver)| receiver.0.status().sent).sum();
    assert!(given > 0, "{:?}", share.status());
    let complete = |event: &ShareEvent| matches!(event, ShareEvent::Complete { .. });
    let mut seen = Vec::new();
    while seen.iter().filter(|event| complete(event)).count() < 3 {
        seen.extend(until(&share, "completion", complete));
    }
    assert_eq!(share.status().copies, 3);
    receivers.into_iter().for_each(|(_, receiver)| receiver.end());
    end(share);
}

#[test]
fn who_leaves_and_comes_back_fetches_the_rest_alone_and_is_known_again() {
    let home = Home::new();
    let path = home.write("film.mkv", 6_000_000);
    let share = home.share(&path);
    for crash in [true, false] {
        let name = if crash { "crashes" } else { "leaves" };
        let slow = |config: &mut ReceiveConfig| config.download_max = Some(1_500_000);
        let receiver = home.receive_with(&share, name, slow);
        receiver.offered();
        receiver.0.accept();
        receiver.until("first byte", |event| matches!(event, ReceiveEvent::Began));
        let deadline = Instant::now() + PATIENCE;
        while receiver.0.status().has < 2_000_000 {
            assert!(Instant::now() < deadline, "{:?}", receiver.0.status());
            let _ = receiver.0.recv_timeout(Duration::from_millis(20));
        }
        match crash {
            true => drop(receiver),
            false => receiver.end(),
        }
        let left = until(&share, "leave", |event| matches!(event, ShareEvent::Left { .. }));
        let Some(ShareEvent::Left { receiver: number }) = left.last() else { panic!("{left:?}") };
        let again = home.receive(&share, name);
        let offered = again.offered();
        again.0.accept();
        again.finish();
        assert_same(&path, &home.output(name).join("film.mkv"));
        let status = again.0.status();
        if !crash {
            assert!(offered.resumed >= 2_000_000, "{offered:?}");
            assert!(status.received <= 6_000_000 - offered.resumed + 100_000, "{status:?} {offered:?}");
        }
        assert!(status.received > 0 && status.complete, "{status:?}");
        let came = until(&share, "completion", |event| matches!(event, ShareEvent::Complete { .. }));
        let back =
            |event: &ShareEvent| matches!(event, ShareEvent::Came { receiver, .. } if receiver == number);
        assert!(came.iter().any(back), "{came:?}");
        again.end();
        until(&share, "end", |event| matches!(event, ShareEvent::Left { .. }));
    }
    let states: Vec<_> = share.status().receivers.iter().map(|receiver| receiver.state).collect();
    assert_eq!(states, [ReceiverState::Complete; 2]);
}

#[test]
fn a_wrong_code_gets_nothing_and_after_too_many_the_sharer_is_asked() {
    let home = Home::new();
    let path = home.write("film.mkv", 50_000);
    let share = home.share(&path);
    let receiver = home.receive_by(other_code(&share), "one", |config| config.peers = share.addresses());
    receiver.0.accept();
    let seen = receiver.until("refusal", |event| matches!(event, ReceiveEvent::Failed(_)));
    assert!(
        matches!(
            &seen[..],
            [
                ReceiveEvent::NotPaired { why: PairError::WrongCode, .. },
                ReceiveEvent::Failed(ReceiveError::NotPaired(PairError::WrongCode))
            ]
        ),
        "{seen:?}"
    );
    assert!(!home.output("one").exists());
    for _ in 0..2 {
        let guess = Pairer::new(other_code(&share)).unwrap().pair(share.addresses()[0]);
        assert_eq!(guess.wait_for(PATIENCE).unwrap().err(), Some(PairError::WrongCode));
    }
    until(&share, "question", |event| matches!(event, ShareEvent::MustConfirm { wrong } if wrong[0].1 == 3));
    let late = home.receive(&share, "two");
    late.0.accept();
    late.until("patience", |event| {
        matches!(event, ReceiveEvent::NotPaired { why: PairError::MustConfirm, .. })
    });
    share.go_on();
    late.finish();
    assert_same(&path, &home.output("two").join("film.mkv"));
}

#[test]
fn a_receiver_finds_the_share_by_its_number_alone() {
    let home = Home::new();
    let path = home.write("film.mkv", 1_000_000);
    let share = home.share_with(&path, |config| config.announce = true);
    let code = share.code().to_string().parse().unwrap();
    let receiver = home.receive_by(code, "one", |config| config.look = true);
    receiver.0.accept();
    let seen = receiver.finish();
    assert!(seen.iter().any(|event| matches!(event, ReceiveEvent::Found { .. })), "{seen:?}");
    assert_same(&path, &home.output("one").join("film.mkv"));
}

/// Stands between a receiver and the desk, and hangs up when told to; the next comes through again.
fn relay_to(desk: SocketAddr) -> (SocketAddr, Arc<Mutex<Vec<TcpStream>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let open: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
    let all = Arc::clone(&open);
    std::thread::spawn(move || {
        for from in listener.incoming() {
            let (Ok(from), Ok(to)) = (from, TcpStream::connect(desk)) else { return };
            let copies = [from.try_clone().unwrap(), to.try_clone().unwrap()];
            all.lock().unwrap().extend([from.try_clone().unwrap(), to.try_clone().unwrap()]);
            let [from_too, to_too] = copies;
            for (mut one, mut other) in [(from, to_too), (to, from_too)] {
                std::thread::spawn(move || std::io::copy(&mut one, &mut other));
            }
        }
    });
    (address, open)
}

#[test]
fn a_line_that_is_cut_is_found_again_and_bytes_flow_meanwhile() {
    let home = Home::new();
    let path = home.write("film.mkv", 4_000_000);
    let share = home.share(&path);
    let (relay, open) = relay_to(share.addresses()[0]);
    let receiver = home.receive_with(&share, "one", |config| {
        (config.peers, config.download_max) = (vec![relay], Some(1_000_000));
    });
    receiver.0.accept();
    receiver.until("the whole offer", |event| matches!(event, ReceiveEvent::AllOffered));
    for round in 0..2 {
        for stream in open.lock().unwrap().drain(..) {
            // Whoever has hung up by himself is not there any more.
            let _ = stream.shutdown(Shutdown::Both);
        }
        receiver.until("cut", |event| matches!(event, ReceiveEvent::SharerLeft));
        receiver.until("return", |event| matches!(event, ReceiveEvent::SharerBack));
        until(&share, "leave", |event| matches!(event, ShareEvent::Left { receiver: 1 }));
        until(&share, "return", |event| matches!(event, ShareEvent::Wants { receiver: 1 }));
        assert!(!receiver.0.status().complete, "round {round}: too fast to show anything");
    }
    receiver.finish();
    until(&share, "completion", |event| matches!(event, ShareEvent::Complete { receiver: 1 }));
    assert_same(&path, &home.output("one").join("film.mkv"));
    assert_eq!(share.status().receivers.len(), 1);
}

/// Between them the receivers have everything when the sharer goes.
#[test]
fn when_the_sharer_ends_receivers_go_on_among_themselves() {
    let home = Home::new();
    let path = home.write("film.mkv", 4_000_000);
    let share = home.share(&path);
    let first = home.receive(&share, "one");
    first.take();
    let second = home.receive_with(&share, "two", |config| config.download_max = Some(1_000_000));
    second.offered();
    second.0.accept();
    second.until("the whole offer", |event| matches!(event, ReceiveEvent::AllOffered));
    // That they were told of each other shows in what the first is told.
    let deadline = Instant::now() + PATIENCE;
    while first.0.status().others_incomplete != 1 || second.0.status().peers < 2 {
        assert!(Instant::now() < deadline, "{:?}", second.0.status());
        let _ = second.0.recv_timeout(Duration::from_millis(20));
    }
    end(share);
    let seen = second.finish();
    assert!(seen.iter().any(|event| matches!(event, ReceiveEvent::SharerLeft)), "{seen:?}");
    assert_same(&path, &home.output("two").join("film.mkv"));
    first.end();
    second.end();
}

#[test]
fn who_is_left_alone_says_so_and_ends_in_order() {
    let home = Home::new();
    let path = home.write("film.mkv", 4_000_000);
    let share = home.share(&path);
    let receiver = home.receive_with(&share, "one", |config| config.download_max = Some(500_000));
    receiver.offered();
    receiver.0.accept();
    receiver.until("first byte", |event| matches!(event, ReceiveEvent::Began));
    drop(share);
    let seen = receiver.until("loneliness", |event| matches!(event, ReceiveEvent::Alone));
    assert!(seen.iter().any(|event| matches!(event, ReceiveEvent::SharerLeft)), "{seen:?}");
    assert!(!receiver.0.status().complete);
    receiver.end();
    assert!(home.output("one").join("film.mkv.part").exists());
}
