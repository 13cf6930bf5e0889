//! The peer list's rules: who gets in, who is dialled when, who gives way. Threats: C6, C10, H13

use super::*;
use crate::Seed;
use wire::pex::{PexFlags, PexPeer};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// The n-th of many public addresses, each in a /24 of its own.
fn nth(n: u32) -> SocketAddr {
    SocketAddr::new(IpAddr::V4((0x0b00_0001 + (n << 8)).into()), 6881)
}

fn list(peers: &[(&str, PeerSource)]) -> (PeerList, Rng) {
    let (mut list, mut rng) = (PeerList::new(), Rng::new(Seed(3)));
    for (address, source) in peers {
        assert_eq!(list.add(at(address), *source, &mut rng), Ok(true), "{address}");
    }
    (list, rng)
}

/// Every index says the same as the candidates themselves.
fn check_invariant(list: &PeerList) {
    let known: Vec<(u16, &Candidate)> = (0..list.slots.len() as u16)
        .filter_map(|slot| list.get(slot).map(|candidate| (slot, candidate)))
        .collect();
    assert_eq!(known.len(), list.by_address.len());
    assert!(known.len() <= list.bound() && list.free.len() + known.len() == list.slots.len());
    for (slot, candidate) in &known {
        assert_eq!(list.find(candidate.address.get()).map(|(slot, _)| slot), Some(*slot));
        let (ready, waiting) = match candidate.state() {
            State::Ready => (true, false),
            State::Waiting(_) => (false, true),
            State::Dialling | State::Linked(_) => (false, false),
        };
        let is_in = |index: &[u16]| index.contains(slot);
        assert_eq!((is_in(&list.ready), is_in(&list.waiting)), (ready, waiting));
        assert_eq!(is_in(&list.idle), ready || waiting);
    }
    let of = |slot: &u16| list.get(*slot).expect("an index names nobody who is not here");
    assert!(list.by_address.is_sorted_by_key(|slot| of(slot).address.get()));
    assert!(list.ready.is_sorted_by_key(|slot| of(slot).order(*slot)));
    assert!(list.waiting.is_sorted_by_key(|slot| (of(slot).waits_until(), *slot)));
    assert!(list.idle.is_sorted_by_key(|slot| (of(slot).source, of(slot).order(*slot))));
    assert_eq!(list.ready.len() + list.waiting.len(), list.idle.len());
    assert_eq!(list.per_source.iter().map(|&n| usize::from(n)).sum::<usize>(), known.len());
}

#[test]
fn only_addresses_that_a_peer_may_have_get_in() {
    use PeerSource::*;
    let (mut list, mut rng) = list(&[]);
    list.add_ourselves(at("1.1.1.1:1111"));
    list.ban(at("6.6.6.6:1").ip());
    list.ban(at("[2001:db8:6:6::1]:1").ip());
    for (address, source, expected) in [
        ("9.9.9.9:0", User, Err(Refused::NoAddress)),
        ("9.9.9.9:0", Tracker, Err(Refused::NoAddress)),
        ("0.0.0.0:5000", Tracker, Err(Refused::NoAddress)),
        ("0.1.2.3:5000", Tracker, Err(Refused::NoAddress)),
        ("255.255.255.255:5000", Tracker, Err(Refused::NoAddress)),
        ("224.0.0.1:5000", Dht, Err(Refused::NoAddress)),
        ("[::]:5000", Pex, Err(Refused::NoAddress)),
        ("[ff02::1]:5000", Pex, Err(Refused::NoAddress)),
        ("9.9.9.9:80", Pex, Err(Refused::PrivilegedPort)),
        ("9.9.9.9:1023", Dht, Err(Refused::PrivilegedPort)),
        ("9.9.9.9:1", Lsd, Err(Refused::PrivilegedPort)),
        ("9.9.9.9:144", Incoming, Err(Refused::PrivilegedPort)),
        ("9.9.9.9:1024", Pex, Ok(true)),
        ("9.9.9.9:80", User, Ok(true)),
        ("9.9.9.9:81", Tracker, Ok(true)),
        ("9.9.9.9:80", Tracker, Ok(false)),
        ("[::ffff:9.9.9.9]:80", Tracker, Ok(false)),
        ("1.1.1.1:1111", Tracker, Err(Refused::Ourselves)),
        ("1.1.1.1:1112", Tracker, Ok(true)),
        ("6.6.6.6:6", User, Err(Refused::Banned)),
        ("[::ffff:6.6.6.6]:6", User, Err(Refused::Banned)),
        ("[2001:db8:6:6:ffff::]:6", Tracker, Err(Refused::Banned)),
        ("[2001:db8:6:7::1]:6", Tracker, Ok(true)),
        ("[fe80::1%3]:6", User, Ok(true)),
        ("[fe80::1%4]:6", User, Ok(true)),
    ] {
        assert_eq!(list.add(at(address), source, &mut rng), expected, "{address} {source:?}");
        check_invariant(&list);
    }
}

#[test]
fn the_best_candidate_has_failed_least_and_has_the_best_source() {
    use PeerSource::*;
    let (mut list, _) = list(&[("3.3.3.3:3333", Pex), ("2.2.2.2:2222", Tracker), ("1.1.1.1:1111", User)]);
    let now = Instant::ZERO;
    let order: Vec<_> = core::iter::from_fn(|| list.next(now)).collect();
    assert_eq!(order, [at("1.1.1.1:1111"), at("2.2.2.2:2222"), at("3.3.3.3:3333")]);
    // What failed comes after what did not, whatever its source.
    list.dial_failed(now, at("1.1.1.1:1111"), DialFailure::Refused);
    list.dial_failed(now, at("2.2.2.2:2222"), DialFailure::NotTried);
    let later = now + 10 * SECOND;
    assert_eq!(list.next(later), Some(at("2.2.2.2:2222")));
    assert_eq!(list.next(later), Some(at("1.1.1.1:1111")));
    check_invariant(&list);
}

#[test]
fn equals_are_ordered_by_canonical_priority() {
    let (mut list, mut rng) = list(&[]);
    let ours = at("123.213.32.10:6881");
    (0..50).for_each(|n| assert_eq!(list.add(nth(n), PeerSource::Tracker, &mut rng), Ok(true)));
    list.set_our_address(ours);
    (50..100).for_each(|n| assert_eq!(list.add(nth(n), PeerSource::Tracker, &mut rng), Ok(true)));
    let order: Vec<u32> = core::iter::from_fn(|| list.next(Instant::ZERO))
        .map(|theirs| priority::priority(ours, theirs))
        .collect();
    assert!(order.len() == 100 && order.is_sorted_by(|a, b| a >= b), "{order:?}");
}

#[test]
fn waits_double_after_failures() {
    // (source, waits in seconds)
    for (source, waits) in [
        (PeerSource::User, [5, 10, 20, 40, 80, 160, 320, 600, 600]),
        (PeerSource::Tracker, [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]),
        (PeerSource::Pex, [3600, 7200, 14_400, 28_800, 57_600, 86_400, 86_400, 86_400, 86_400]),
    ] {
        let (mut list, _) = list(&[("1.1.1.1:1111", source)]);
        let mut now = Instant::ZERO;
        for wait in waits {
            assert!(list.next(now).is_some(), "{source:?}");
            list.dial_failed(now, at("1.1.1.1:1111"), DialFailure::TimedOut);
            assert_eq!(list.next_wake(), Some(now + wait * SECOND), "{source:?}");
            now += wait * SECOND;
            assert_eq!(list.next(Instant::from_micros(now.as_micros() - 1)), None, "{source:?}");
        }
    }
}

#[test]
fn how_a_link_ended_decides_when_to_try_again() {
    // (how long the link lasted, how it ended, wait)
    for (lasted, how, wait) in [
        (0, Parting::Ended, RETRY_MIN),
        (59, Parting::Ended, RETRY_MIN),
        (60, Parting::Ended, RECONNECT),
        (1, Parting::Useless, USELESS_WAIT),
        (1_000, Parting::Misbehaved, RETRY_MIN),
    ] {
        let (mut list, _) = list(&[("1.1.1.1:1111", PeerSource::Tracker)]);
        let peer = list.next(Instant::ZERO).unwrap();
        list.linked(Instant::ZERO, peer);
        assert_eq!((list.next_wake(), list.candidates(), list.len()), (None, 0, 1));
        let end = Instant::ZERO + lasted * SECOND;
        list.parted(end, peer, how);
        assert_eq!(list.next_wake(), Some(end + wait), "{lasted} s, {how:?}");
        check_invariant(&list);
    }
}

#[test]
fn a_peer_that_came_to_us_is_not_dialled() {
    let (mut list, _) = list(&[("1.1.1.1:1111", PeerSource::Incoming)]);
    list.linked(Instant::ZERO, at("1.1.1.1:1111"));
    assert_eq!(list.next(Instant::ZERO), None);
    // Answers about peers that are not in that state change nothing.
    list.dial_failed(Instant::ZERO, at("1.1.1.1:1111"), DialFailure::Refused);
    list.parted(Instant::ZERO, at("2.2.2.2:2222"), Parting::Ended);
    list.linked(Instant::ZERO, at("2.2.2.2:2222"));
    assert_eq!((list.len(), list.candidates()), (1, 0));
}

#[test]
fn a_ban_forgets_the_host_on_all_its_ports() {
    use PeerSource::*;
    let (mut list, mut rng) = list(&[
        ("1.1.1.1:1111", Tracker),
        ("1.1.1.1:65535", Tracker),
        ("1.1.1.2:1111", Tracker),
        ("[2001:db8::1]:1111", Tracker),
        ("[2001:db8::ffff:0:0:1]:1111", Tracker),
        ("[2001:db8:0:1::1]:1111", Tracker),
    ]);
    list.ban(at("1.1.1.1:1").ip());
    list.ban(at("[2001:db8::7]:1").ip());
    assert_eq!(list.len(), 2);
    check_invariant(&list);
    let survivors: Vec<_> =
        list.by_address.iter().map(|&slot| list.get(slot).unwrap().address.get()).collect();
    assert_eq!(survivors, [at("1.1.1.2:1111"), at("[2001:db8:0:1::1]:1111")]);
    // The oldest ban gives way when there are too many.
    (0..BANS_MAX as u32).for_each(|n| list.ban(nth(n).ip()));
    assert!(!list.is_banned(at("1.1.1.1:1").ip()) && list.is_banned(nth(0).ip()));
    assert_eq!(list.add(at("1.1.1.1:1111"), Tracker, &mut rng), Ok(true));
}

#[test]
fn a_flood_from_one_source_leaves_room_for_the_others() {
    use PeerSource::*;
    let (mut list, mut rng) = list(&[]);
    let name = |list: &mut PeerList, rng: &mut Rng, peers: core::ops::Range<u32>, source| {
        let _taken = peers.filter(|&n| list.add(nth(n), source, rng).is_ok()).count();
    };
    name(&mut list, &mut rng, 0..20_000, Pex);
    assert_eq!(list.len(), CANDIDATES_MAX);
    // Half the list is the tracker's if it names that many, and the flood does not win it back.
    name(&mut list, &mut rng, 20_000..30_000, Tracker);
    name(&mut list, &mut rng, 30_000..40_000, Pex);
    let of = |list: &PeerList, source: PeerSource| usize::from(list.per_source[source as usize]);
    assert_eq!(of(&list, Tracker), CANDIDATES_MAX / 2);
    assert_eq!(of(&list, Pex), CANDIDATES_MAX / 2);
    assert_eq!(list.add(nth(40_001), User, &mut rng), Ok(true), "what the user names gets in");
    list.set_paused(true);
    assert_eq!(list.len(), CANDIDATES_PAUSED_MAX);
    assert_eq!(of(&list, User), 1);
    check_invariant(&list);
}

#[test]
fn one_address_block_does_not_fill_the_list() {
    for (network, ports, expected) in [
        ("9.9.9", 10, usize::from(GROUP_CANDIDATES_MAX)),
        // Private networks are small and one's own.
        ("192.168.1", 10, 2_000),
        ("127.0.0", 10, 2_000),
    ] {
        let (mut list, mut rng) = list(&[]);
        for (host, port) in (1..=200).flat_map(|host| (0..ports).map(move |port| (host, 2_000 + port))) {
            let _ = list.add(at(&format!("{network}.{host}:{port}")), PeerSource::Tracker, &mut rng);
        }
        assert_eq!(list.len(), expected, "{network}");
        check_invariant(&list);
    }
}

/// C10: however often and by whatever gossip a victim is named, evicted and named again, it is dialled once an hour.
#[test]
fn a_victim_named_by_gossip_is_dialled_once_an_hour() {
    use PeerSource::*;
    let victim = at("9.9.9.9:8080");
    for sources in [&[Pex][..], &[Dht], &[Lsd], &[Pex, Dht], &[Pex, Dht, Lsd]] {
        for answer in [DialFailure::Refused, DialFailure::TimedOut, DialFailure::Handshake] {
            let (mut list, mut rng) = list(&[]);
            let (mut now, mut knocks) = (Instant::ZERO, 0);
            for minute in 0..10 * 60 {
                for source in sources {
                    let _ = list.add(victim, *source, &mut rng);
                }
                while let Some(remote) = list.next(now) {
                    assert_eq!(remote, victim);
                    knocks += 1;
                    list.dial_failed(now, remote, answer);
                }
                // Someone makes us forget it now and then.
                if minute % 7 == 0
                    && let Some((slot, _)) = list.find(victim)
                {
                    list.remove(slot);
                }
                now += 60 * SECOND;
            }
            assert!(knocks <= 10, "{knocks} in 10 hours, {sources:?}, {answer:?}");
        }
    }
}

/// C10: gossip that names ever new addresses does not turn us into a scanner without bounds.
#[test]
fn gossip_alone_causes_a_bounded_number_of_attempts_an_hour() {
    let (mut list, mut rng) = list(&[]);
    let (mut now, mut named, mut knocks) = (Instant::ZERO, 0, 0);
    while now < Instant::ZERO + HOUR {
        for _ in 0..50 {
            named += 1;
            let _ = list.add(nth(named), PeerSource::Pex, &mut rng);
        }
        while let Some(remote) = list.next(now) {
            knocks += 1;
            list.dial_failed(now, remote, DialFailure::TimedOut);
        }
        now += 10 * SECOND;
    }
    assert_eq!(knocks, ATTEMPTS_MAX);
    // A tracker's word is still followed.
    assert_eq!(list.add(at("8.8.8.8:8888"), PeerSource::Tracker, &mut rng), Ok(true));
    assert_eq!(list.next(now), Some(at("8.8.8.8:8888")));
}

#[test]
fn a_gossiped_peer_that_shook_hands_is_a_peer_like_any_other() {
    let (mut list, _) = list(&[("1.1.1.1:1111", PeerSource::Pex)]);
    let peer = list.next(Instant::ZERO).unwrap();
    list.linked(Instant::ZERO, peer);
    let end = Instant::ZERO + GOOD_LINK;
    list.parted(end, peer, Parting::Ended);
    assert_eq!(list.next(end + RECONNECT), Some(peer));
}

#[test]
fn an_attempt_that_was_held_back_by_us_is_not_counted() {
    let (mut list, _) = list(&[("1.1.1.1:1111", PeerSource::Dht)]);
    let mut now = Instant::ZERO;
    for _ in 0..10 {
        let peer = list.next(now).expect("it may still be tried");
        assert_eq!(list.next(now), None);
        list.dial_failed(now, peer, DialFailure::NotTried);
        now += NOT_TRIED_WAIT;
    }
}

#[test]
fn a_clock_that_stands_or_leaps_causes_no_storm() {
    let (mut list, _) = list(&[("1.1.1.1:1111", PeerSource::Pex), ("2.2.2.2:2222", PeerSource::Tracker)]);
    let mut dials = |now| {
        let mut count = 0;
        while let Some(peer) = list.next(now) {
            list.dial_failed(now, peer, DialFailure::Refused);
            count += 1;
        }
        count
    };
    let now = Instant::from_micros(1);
    assert_eq!((0..1_000).map(|_| dials(now)).sum::<u32>(), 2, "standing still");
    let leap = now + HOUR * 24 * 365 * 10;
    assert_eq!((0..1_000).map(|_| dials(leap)).sum::<u32>(), 2, "ten years ahead");
    assert_eq!(
        (0..1_000).map(|_| dials(now)).sum::<u32>(),
        0,
        "a driver that breaks its promise: back again"
    );
}

#[test]
fn random_lives_keep_the_indices_true() {
    use PeerSource::*;
    for seed in 0..20 {
        let mut rng = Rng::new(Seed(seed));
        let mut list = PeerList::new();
        let mut now = Instant::ZERO;
        for step in 0..2_000 {
            let peer = nth(rng.below(60));
            match rng.below(12) {
                0..=3 => {
                    let source = [User, Tracker, Incoming, Resume, Lsd, Dht, Pex][rng.index(SOURCES)];
                    let _ = list.add(peer, source, &mut rng);
                }
                4 | 5 => drop(list.next(now)),
                6 => list.dial_failed(now, peer, DialFailure::TimedOut),
                7 => list.dial_failed(now, peer, DialFailure::NotTried),
                8 => list.linked(now, peer),
                9 => list.parted(now, peer, [Parting::Ended, Parting::Useless][rng.index(2)]),
                10 => now += rng.below(100) * SECOND,
                _ if step % 50 == 0 => list.set_our_address(peer),
                _ => list.set_paused(step % 3 == 0),
            }
        }
        println!("seed {seed}");
        check_invariant(&list);
    }
}

#[test]
fn whoever_names_many_crowds_nobody_out() {
    let (mut list, mut rng) = list(&[]);
    let peer = |n: u32, flags| PexPeer { address: nth(n), flags };
    let teller = |n: u8| SocketAddr::from(([200, n, 0, 1], 6881));
    let mut told =
        |list: &mut PeerList, by: u8, n: u32, flags| list.told(teller(by), peer(n, flags), &mut rng);
    for n in 0..u32::from(TOLD_MAX) {
        assert_eq!(told(&mut list, 1, n, PexFlags::default()), Ok(true), "{n}");
    }
    assert_eq!(told(&mut list, 1, 5_000, PexFlags::REACHABLE), Err(Refused::TellerFull));
    assert_eq!(told(&mut list, 1, 3, PexFlags::REACHABLE), Ok(false), "known already");
    assert_eq!(told(&mut list, 2, 5_000, PexFlags::REACHABLE), Ok(true));
    assert_eq!(list.next(Instant::ZERO), Some(nth(5_000)), "whom somebody reached comes first");
    // A tracker vouches for one: it no longer counts as the teller's word.
    assert_eq!(list.add(nth(7), PeerSource::Tracker, &mut Rng::new(Seed(1))), Ok(false));
    assert_eq!(list.rare().tellers.count(teller(1).ip()), TOLD_MAX - 1);
    assert_eq!(told(&mut list, 1, 5_001, PexFlags::default()), Ok(true));
    list.ban(nth(8).ip());
    assert_eq!(list.rare().tellers.count(teller(1).ip()), TOLD_MAX - 1, "a candidate that goes makes room");
    check_invariant(&list);
}

#[test]
fn a_hint_that_did_not_help_is_not_followed_again() {
    let (mut list, mut rng) = list(&[]);
    let flags = PexFlags::REACHABLE.with(PexFlags::ENCRYPTION, true);
    assert_eq!(list.told(nth(1_000), PexPeer { address: nth(3), flags }, &mut rng), Ok(true));
    assert_eq!(list.next(Instant::ZERO), Some(nth(3)));
    assert!(list.is_said_to_encrypt(nth(3)));
    list.dial_failed(Instant::ZERO, nth(3), DialFailure::Handshake);
    assert!(!list.is_said_to_encrypt(nth(3)));
}
