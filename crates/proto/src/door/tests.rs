//! The door against crowds, the silent, the slow, and its own haste. Threats: C4, C5, H13

use super::*;
use crate::{DialHints, Rng, Seed, TorrentId};

mod encryption;
mod flood;

const SECOND: Duration = Duration::from_secs(1);

fn dial_id(sequence: u32) -> DialId {
    DialId { torrent: TorrentId { slot: 0, generation: 0 }, sequence }
}

fn at(micros: u64) -> Instant {
    Instant::from_micros(micros)
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// The n-th of many public addresses, each in a /24 of its own.
fn nth(n: u32) -> SocketAddr {
    SocketAddr::new(IpAddr::V4((0x0b00_0001 + (n << 8)).into()), 6881)
}

fn tell(door: &mut Door, now: Instant, input: Input) -> Vec<Output> {
    let mut out = Vec::new();
    door.handle(now, input, &mut out);
    out
}

fn accept(door: &mut Door, now: Instant, id: u64, remote: SocketAddr) -> Vec<Output> {
    tell(door, now, Input::Accepted { pending: PendingId(id), remote })
}

fn connects(out: &[Output]) -> usize {
    out.iter().filter(|output| matches!(output, Output::Connect { .. })).count()
}

#[test]
fn the_oldest_pending_gives_way() {
    // (network, newcomers, how many of them may be pending)
    for (network, comers, expected) in [
        ("9.9.9.{}:50", 100, 8),
        ("9.9.{}.9:50", 100, 100),
        ("9.9.{}.9:50", 255, 255),
        ("[2001:db8:7:{}::1]:50", 100, 8),
        ("[2001:db8:{}::1]:50", 100, 100),
        ("127.0.0.{}:50", 200, 200),
        ("192.168.0.{}:50", 200, 200),
    ] {
        let mut door = Door::new(Pace::default(), Encryption::default());
        for id in 0..comers {
            let remote = address(&network.replace("{}", &(id % 256).to_string()));
            let out = accept(&mut door, at(id), id, remote);
            assert_eq!(out.last(), Some(&Output::Admit(PendingId(id))), "newcomers get in: {network}");
            let dropped = id.checked_sub(expected).map(|oldest| Output::DropPending(PendingId(oldest)));
            assert_eq!(out.first().filter(|_| out.len() > 1), dropped.as_ref(), "{network}");
        }
        assert_eq!(door.pending() as u64, expected.min(comers), "{network}");
    }
}

/// C4 in its numbers: 10,000 sockets that never finish, from everywhere.
#[test]
fn ten_thousand_half_handshakes_hold_256_places_and_are_gone_in_time() {
    let mut door = Door::new(Pace::default(), Encryption::default());
    let (mut admitted, mut ended) = (0, 0);
    for id in 0..10_000_u64 {
        let mut out = accept(&mut door, at(id), id, nth(id as u32));
        if id % 2 == 0 {
            out.extend(tell(&mut door, at(id), Input::Heard(PendingId(id))));
        }
        admitted += out.iter().filter(|output| matches!(output, Output::Admit(_))).count();
        ended += out.iter().filter(|output| matches!(output, Output::DropPending(_))).count();
        assert!(door.pending() <= PENDING_MAX);
    }
    assert_eq!((admitted, ended), (10_000, 10_000 - PENDING_MAX));
    // The silent half goes first, the slow half at the deadline.
    tell(&mut door, at(10_000) + SILENT_TIME_MAX, Input::Wake);
    assert_eq!(door.pending(), PENDING_MAX / 2);
    tell(&mut door, at(10_000) + HANDSHAKE_TIME_MAX, Input::Wake);
    assert_eq!((door.pending(), door.next_wake()), (0, None));
    assert!(door.pending.is_empty());
}

#[test]
fn one_byte_now_and_then_buys_no_time() {
    let mut door = Door::new(Pace::default(), Encryption::default());
    accept(&mut door, at(0), 1, nth(1));
    for second in 1..10 {
        assert_eq!(tell(&mut door, at(0) + second * SECOND, Input::Heard(PendingId(1))), []);
    }
    assert_eq!(door.next_wake(), Some(at(0) + HANDSHAKE_TIME_MAX));
    let out = tell(&mut door, at(0) + HANDSHAKE_TIME_MAX, Input::Wake);
    assert_eq!(out, [Output::DropPending(PendingId(1))]);
}

#[test]
fn who_shook_hands_is_no_longer_pending() {
    let mut door = Door::new(Pace::default(), Encryption::default());
    accept(&mut door, at(0), 1, nth(1));
    tell(&mut door, at(1), Input::Settled(PendingId(1)));
    assert_eq!((door.pending(), door.next_wake()), (0, None));
    for stale in [Input::Settled(PendingId(1)), Input::Heard(PendingId(1)), Input::Settled(PendingId(9))] {
        assert_eq!(tell(&mut door, at(2), stale), []);
    }
}

#[test]
fn the_banned_are_refused_both_ways() {
    let mut door = Door::new(Pace::default(), Encryption::default());
    tell(&mut door, at(0), Input::Ban(nth(1).ip()));
    assert_eq!(accept(&mut door, at(0), 1, nth(1)), [Output::Refuse(PendingId(1))]);
    let out =
        tell(&mut door, at(0), Input::Dial { dial: dial_id(1), remote: nth(1), hints: DialHints::default() });
    assert_eq!(out, [Output::DialFailed { dial: dial_id(1), why: DialFailure::Unreachable }]);
    assert_eq!(accept(&mut door, at(0), 2, nth(2)), [Output::Admit(PendingId(2))]);
}

#[test]
fn dials_keep_the_pace() {
    // (dials per second, half-open links, begun at once, after 1 s, after 9 s)
    for (dials_per_second, half_open_max, at_once, one, nine) in
        [(30, 1_000, 30, 60, 300), (1, 1_000, 1, 2, 10), (30, 40, 30, 40, 40), (0, 40, 0, 0, 0)]
    {
        let mut door = Door::new(Pace { dials_per_second, half_open_max }, Encryption::default());
        let start = at(1_000_000_000);
        let mut begun = 0;
        for n in 0..500 {
            begun += connects(&tell(
                &mut door,
                start,
                Input::Dial { dial: dial_id(n), remote: nth(n), hints: DialHints::default() },
            ));
        }
        assert_eq!(begun, at_once);
        let mut counts = Vec::new();
        for span in [SECOND, 9 * SECOND] {
            while let Some(wake) = door.next_wake()
                && wake <= start + span
            {
                begun += connects(&tell(&mut door, wake, Input::Wake));
            }
            counts.push(begun);
        }
        assert!(counts[0].abs_diff(one) <= 1 && counts[1].abs_diff(nine) <= 1, "{counts:?}");
    }
}

#[test]
fn a_dial_ends_in_one_answer() {
    let now = at(5);
    let failed = |why| vec![Output::DialFailed { dial: dial_id(1), why }];
    let late = |why| [vec![Output::Abandon(dial_id(1))], failed(why)].concat();
    let way_failed = |why| Input::WayFailed { dial: dial_id(1), why, heard: true };
    // (what the driver says after `Connect`, when it falls silent, what the door says then)
    for (script, wait, expected) in [
        (vec![way_failed(DialFailure::Refused)], Duration::ZERO, failed(DialFailure::Refused)),
        (vec![], CONNECT_TIME_MAX, late(DialFailure::TimedOut)),
        (vec![Input::Connected(dial_id(1))], HANDSHAKE_TIME_MAX, late(DialFailure::Handshake)),
        (
            vec![Input::Connected(dial_id(1)), way_failed(DialFailure::Handshake)],
            Duration::ZERO,
            failed(DialFailure::Handshake),
        ),
        (vec![Input::Connected(dial_id(1)), Input::Linked(dial_id(1))], 100 * SECOND, vec![]),
        (vec![Input::Linked(dial_id(1))], 100 * SECOND, vec![]),
    ] {
        let mut door = Door::new(Pace::default(), Encryption::both(Policy::Off));
        let out = tell(
            &mut door,
            now,
            Input::Dial { dial: dial_id(1), remote: nth(1), hints: DialHints::default() },
        );
        let way = Way { transport: Transport::Tcp, crypto: Crypto::Plaintext };
        assert_eq!(out, [Output::Connect { dial: dial_id(1), remote: nth(1), way }]);
        let mut said = Vec::new();
        script.iter().for_each(|input| said.extend(tell(&mut door, now, input.clone())));
        said.extend(tell(&mut door, now + wait, Input::Wake));
        assert_eq!(said, expected, "{script:?}");
        assert_eq!((door.dials(), door.half_open, door.next_wake()), (0, 0, None), "{script:?}");
        // What comes late changes nothing.
        for input in script {
            assert_eq!(tell(&mut door, now + wait, input), []);
        }
    }
}

#[test]
fn a_full_queue_says_so() {
    let mut door = Door::new(Pace { dials_per_second: 0, ..Pace::default() }, Encryption::default());
    for n in 0..DIALS_QUEUED_MAX as u32 {
        assert_eq!(
            tell(
                &mut door,
                at(0),
                Input::Dial { dial: dial_id(n), remote: nth(n), hints: DialHints::default() }
            ),
            []
        );
    }
    let dial = dial_id(u32::MAX);
    let out = tell(&mut door, at(0), Input::Dial { dial, remote: nth(0), hints: DialHints::default() });
    assert_eq!(out, [Output::DialFailed { dial, why: DialFailure::NotTried }]);
    // A new pace sets it in motion.
    assert_eq!(connects(&tell(&mut door, at(0), Input::Pace(Pace::default()))), 30);
}

#[test]
fn a_clock_that_stands_or_leaps_opens_no_floodgate() {
    let mut door = Door::new(Pace::default(), Encryption::default());
    let mut begun = 0;
    for n in 0..100 {
        begun += connects(&tell(
            &mut door,
            at(7),
            Input::Dial { dial: dial_id(n), remote: nth(n), hints: DialHints::default() },
        ));
        accept(&mut door, at(7), n.into(), nth(n));
    }
    assert_eq!((begun, door.pending()), (30, 100), "standing still");
    let leap = at(7) + SECOND * (10 * 365 * 86_400);
    let out = tell(&mut door, leap, Input::Wake);
    assert_eq!((connects(&out), door.pending()), (30, 0), "ten years are one second's worth");
    // A driver whose clock goes back does not make ours do so.
    assert_eq!(connects(&tell(&mut door, at(8), Input::Wake)), 0);
    tell(&mut door, Instant::FAR, Input::Wake);
}

#[test]
fn random_lives_keep_every_bound() {
    for seed in 0..20 {
        let mut rng = Rng::new(Seed(seed));
        let pace = Pace { dials_per_second: 50, half_open_max: 10 };
        let mut door = Door::new(pace, Encryption::default());
        let mut now = Instant::ZERO;
        let (mut asked, mut answered, mut id) = (0, 0, 0);
        for _ in 0..5_000 {
            now += Duration::from_millis(rng.below(100).into());
            let some = PendingId(rng.below(id as u32 + 1).into());
            let dial = dial_id(rng.below(asked + 1));
            let input = match rng.below(11) {
                0 | 1 => {
                    id += 1;
                    Input::Accepted { pending: PendingId(id), remote: nth(rng.below(3)) }
                }
                2 => Input::Heard(some),
                9 => Input::Greeted {
                    pending: some,
                    greeting: if rng.below(3) == 0 { Greeting::Plaintext } else { Greeting::Encrypted },
                },
                10 => Input::Unsettled(some),
                3 => Input::Settled(some),
                4 | 5 => {
                    asked += 1;
                    Input::Dial { dial: dial_id(asked), remote: nth(asked), hints: DialHints::default() }
                }
                6 => Input::Connected(dial),
                7 => Input::WayFailed { dial, why: DialFailure::Refused, heard: rng.below(2) == 0 },
                _ => Input::Wake,
            };
            let out = tell(&mut door, now, input);
            answered += out.iter().filter(|output| matches!(output, Output::DialFailed { .. })).count();
            assert!(door.half_open <= 10 && door.pending() <= 24, "seed {seed}");
            assert!(door.exchanges.len() <= door.pending(), "seed {seed}");
            assert_eq!(answered + door.dials(), asked as usize, "seed {seed}");
            assert_eq!(door.deadlines.len(), door.pending() + door.half_open as usize, "seed {seed}");
            assert_eq!(door.queue.len() + door.half_open as usize, door.dials(), "seed {seed}");
        }
    }
}
