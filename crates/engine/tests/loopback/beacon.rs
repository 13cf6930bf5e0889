//! A share and its receivers on one machine: they find each other by number alone, over real multicast. Over IPv6, which has
//! none on the loopback interface, see the tests of neighbours. Threats: D9

use super::swarm::PATIENCE;
use gannet::{BeaconNews, LocalBeacon, Sharer, Silence};
use os::interfaces;
use os::multicast::Member;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use wire::beacon::{GROUP_V4, Instance, Kind, PORT, WORD_LEN, Word};

const V4: [IpAddr; 1] = [IpAddr::V4(Ipv4Addr::LOCALHOST)];

fn address_of(news: BeaconNews) -> SocketAddr {
    match news {
        BeaconNews::Found(Sharer { address, .. }) => address,
        BeaconNews::Silence(silence) => panic!("nobody is found: {silence:?}"),
    }
}

/// Waits until it is found at this port; other tests of this machine may share the same number.
fn find(search: &LocalBeacon, port: u16) -> IpAddr {
    loop {
        let found = address_of(search.recv_timeout(PATIENCE).expect("somebody"));
        if found.port() == port {
            return found.ip();
        }
    }
}

#[test]
fn a_receiver_finds_a_share_that_was_there_before_and_one_that_comes_later() {
    let first = LocalBeacon::share(901, 40_001, V4).unwrap();
    let search = LocalBeacon::look(901, V4).unwrap();
    assert_eq!(find(&search, 40_001), V4[0]);
    let second = LocalBeacon::share(901, 40_002, V4).unwrap();
    assert_eq!(find(&search, 40_002), V4[0], "several may have the same number");
    drop((first, second));
}

#[test]
fn who_looks_for_a_number_that_nobody_shares_is_told_that_others_are_there() {
    let _other = LocalBeacon::share(903, 40_003, V4).unwrap();
    let search = LocalBeacon::look(904, V4).unwrap();
    assert_eq!(search.recv_timeout(PATIENCE), Ok(BeaconNews::Silence(Silence::Others)));
}

#[test]
fn nonsense_on_the_group_disturbs_nobody_and_a_question_is_answered() {
    let _share = LocalBeacon::share(905, 40_005, V4).unwrap();
    let member = Member::open((GROUP_V4, PORT).into()).unwrap();
    let lo = interfaces::list().unwrap().into_iter().find(|interface| interface.loopback).unwrap();
    member.join(lo.index).unwrap();
    let receiver = member.receiver().unwrap();
    receiver.set_nonblocking(false).unwrap();
    receiver.set_read_timeout(Some(PATIENCE)).unwrap();
    let question = Word { nameplate: 905, instance: Instance([9; 16]), kind: Kind::Who };
    let mut seen = Vec::new();
    // More answers than it says by itself in this time: five follow questions.
    for _ in 0..5 {
        for datagram in [&b""[..], &[0xff; 5000], b"gannet\x02later", &question.encode()] {
            member.send(lo.index, Ipv4Addr::LOCALHOST.into(), datagram).unwrap();
        }
        loop {
            let mut buffer = [0; WORD_LEN + 1];
            let (len, from) = receiver.recv_from(&mut buffer).expect("an answer");
            match Word::decode(&buffer[..len]) {
                Ok(word) if word.nameplate == 905 && word.kind != Kind::Who => {
                    assert_eq!((word.kind, from.ip()), (Kind::Here { port: 40_005 }, V4[0]));
                    seen.push(word.instance);
                    break;
                }
                Ok(_) | Err(_) => {}
            }
        }
    }
    assert!(seen.iter().all(|instance| *instance == seen[0]), "one share, one name: {seen:?}");
}

#[test]
fn numbers_that_no_code_has_are_refused() {
    assert!(LocalBeacon::look(0, V4).is_err() && LocalBeacon::look(1000, V4).is_err());
    assert!(LocalBeacon::share(7, 0, V4).is_err());
}
