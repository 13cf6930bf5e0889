//! Which links come to be, and how they look, for every policy of ours against every kind of peer; who exchanges keys when;
//! what is remembered. Threats: C5, C10, C11

use super::*;
use wire::InfoHash;
use wire::mse::{Chance, Initiator, MseError, Responder, torrent_key};

/// How a link's bytes look in the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Link {
    Plain,
    /// Only the handshake was encrypted.
    Hidden,
    Rc4,
    /// Sealed under a swarm's key.
    Sealed,
    None,
}
use Link::{Hidden, None as No, Plain, Rc4, Sealed};

/// A peer as libtorrent's three settings make it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Peer {
    /// Takes and makes plaintext handshakes.
    plaintext: bool,
    /// What it takes and offers in encrypted ones; it makes them when plaintext came to nothing.
    methods: &'static [Method],
}

const P: &[Method] = &[Method::Plaintext];
const R: &[Method] = &[Method::Rc4];
const B: &[Method] = &[Method::Rc4, Method::Plaintext];

/// Without encryption; with it beside plaintext, at three levels; with nothing else, at three levels.
const PEERS: [Peer; 7] = [
    Peer { plaintext: true, methods: &[] },
    Peer { plaintext: true, methods: P },
    Peer { plaintext: true, methods: B },
    Peer { plaintext: true, methods: R },
    Peer { plaintext: false, methods: P },
    Peer { plaintext: false, methods: B },
    Peer { plaintext: false, methods: R },
];

const POLICIES: [Policy; 5] = [Policy::Off, Policy::Allow, Policy::Prefer, Policy::Require, Policy::Private];

/// What two sides come to whose encrypted handshakes meet.
fn shake(offer: &[Method], take: &[Method]) -> Result<Link, MseError> {
    let chance = |key| Chance { private_key: [key; 20], pad: &[], zeros: 0 };
    let torrent = InfoHash([3; 20]);
    let (mut forth, mut back) = (Vec::new(), Vec::new());
    let mut initiator = Initiator::new(torrent, offer, &[], chance(1), &mut forth);
    let mut responder = Responder::new(take, chance(2));
    let find = |key: &[u8; 20]| (*key == torrent_key(&torrent)).then_some(torrent);
    loop {
        let (taken, _) = responder.read(&forth, find, &mut back)?;
        forth.drain(..taken);
        let (taken, agreed) = initiator.read(&back, &mut forth)?;
        back.drain(..taken);
        match agreed.map(|agreed| agreed.method) {
            Some(Method::Plaintext) => return Ok(Hidden),
            Some(Method::Rc4) => return Ok(Rc4),
            None => {}
        }
    }
}

/// We dial a peer until there is a link or our door gives up; how often it was dialled, too.
fn dial(door: &mut Door, sequence: u32, peer: Peer) -> (Link, u32) {
    let dial = dial_id(sequence);
    let mut out = tell(door, at(9), Input::Dial { dial, remote: nth(1), hints: DialHints::default() });
    for tries in 0.. {
        let crypto = match out[..] {
            [Output::Connect { way, .. }] => way.crypto,
            [Output::DialFailed { why: DialFailure::Handshake, .. }] => return (No, tries),
            _ => panic!("{out:?}"),
        };
        tell(door, at(9), Input::Connected(dial));
        let failed = |heard| Input::WayFailed { dial, why: DialFailure::Handshake, heard };
        let (link, input) = match crypto {
            Crypto::Plaintext if peer.plaintext => (Plain, Input::Linked(dial)),
            Crypto::Plaintext => (No, failed(false)),
            // None of these peers holds a swarm's key.
            Crypto::Private => (No, failed(true)),
            Crypto::Mse(_) if peer.methods.is_empty() => (No, failed(false)),
            Crypto::Mse(offer) => {
                shake(offer, peer.methods).map_or((No, failed(true)), |link| (link, Input::Linked(dial)))
            }
        };
        out = tell(door, at(9), input);
        if link != No {
            return (link, tries + 1);
        }
    }
    (No, 0)
}

/// A peer dials us, in every way that it has, until there is a link.
fn accept_from(door: &mut Door, peer: Peer) -> Link {
    let plaintext = peer.plaintext.then_some(Greeting::Plaintext);
    let encrypted = (!peer.methods.is_empty()).then_some(Greeting::Encrypted);
    for (id, greeting) in [plaintext, encrypted].into_iter().flatten().enumerate() {
        let pending = PendingId(id as u64);
        accept(door, at(9), pending.0, nth(1));
        let link = match tell(door, at(9), Input::Greeted { pending, greeting })[..] {
            [Output::Answer { crypto: Crypto::Plaintext, .. }] => Plain,
            [Output::Answer { crypto: Crypto::Mse(take), .. }] => shake(peer.methods, take).unwrap_or(No),
            [Output::Answer { crypto: Crypto::Private, .. } | Output::TurnAway { .. }] => No,
            ref other => panic!("{other:?}"),
        };
        if link != No {
            return link;
        }
    }
    No
}

/// C11: 5 policies x 7 peers x 2 directions. Whoever can meet meets; `Require` never lowers itself, `Off` never encrypts, and
/// `Private` meets none of them.
#[test]
fn policies_meet_where_they_can_and_nowhere_else() {
    // Peers as in `PEERS`: none; plaintext beside P, B, R; only P, B, R.
    let dialled = [
        (Policy::Off, [Plain, Plain, Plain, Plain, No, No, No]),
        (Policy::Allow, [Plain, Plain, Plain, Plain, Hidden, Rc4, Rc4]),
        (Policy::Prefer, [Plain, Hidden, Rc4, Rc4, Hidden, Rc4, Rc4]),
        (Policy::Require, [No, No, Rc4, Rc4, No, Rc4, Rc4]),
        (Policy::Private, [No; 7]),
    ];
    let accepted = [
        (Policy::Off, [Plain, Plain, Plain, Plain, No, No, No]),
        (Policy::Allow, [Plain, Plain, Plain, Plain, Hidden, Hidden, Rc4]),
        (Policy::Prefer, [Plain, Plain, Plain, Plain, Hidden, Rc4, Rc4]),
        (Policy::Require, [No, No, Rc4, Rc4, No, Rc4, Rc4]),
        (Policy::Private, [No; 7]),
    ];
    let mut cases = 0;
    for ((policy, dialled), (_, accepted)) in dialled.into_iter().zip(accepted) {
        let door = || Door::new(Pace::default(), Encryption::both(policy));
        for ((peer, dialled), accepted) in PEERS.into_iter().zip(dialled).zip(accepted) {
            assert_eq!(dial(&mut door(), 1, peer).0, dialled, "{policy:?} dials {peer:?}");
            assert_eq!(accept_from(&mut door(), peer), accepted, "{policy:?} is dialled by {peer:?}");
            for link in [dialled, accepted] {
                assert!(policy != Policy::Require || matches!(link, Rc4 | No));
                assert!(policy != Policy::Off || matches!(link, Plain | No));
            }
            cases += 2;
        }
    }
    println!("C11: {cases} pairs of policies");
}

/// Policies of ours against each other: all meet, but who requires and who refuses; private links meet only their like.
#[test]
fn our_own_policies_meet_each_other() {
    for ours in POLICIES {
        for theirs in POLICIES {
            let incoming = |greeting| theirs.answer(greeting);
            let link = ours.plan().iter().find_map(|crypto| match crypto {
                Crypto::Plaintext => incoming(Greeting::Plaintext).ok().map(|_| Plain),
                Crypto::Mse(offer) => match incoming(Greeting::Encrypted) {
                    Ok(Crypto::Mse(take)) => shake(offer, take).ok(),
                    Ok(Crypto::Plaintext | Crypto::Private) | Err(_) => None,
                },
                // Who expects MSE takes its first message for a key, and hears nothing that it understands.
                Crypto::Private => match incoming(Greeting::Member([1; 16])) {
                    Ok(Crypto::Private) => Some(Sealed),
                    Ok(Crypto::Mse(_) | Crypto::Plaintext) | Err(_) => None,
                },
            });
            let private = [ours, theirs].map(|policy| policy == Policy::Private);
            let apart = [ours, theirs].contains(&Policy::Off) && [ours, theirs].contains(&Policy::Require)
                || private[0] != private[1];
            assert_eq!(link == Some(Sealed), private == [true, true]);
            assert_eq!(link.is_none(), apart, "{ours:?} dials {theirs:?}: {link:?}");
        }
    }
}

/// The policies of the two directions do not mix.
#[test]
fn each_direction_has_its_own_policy() {
    let only_out = Encryption { incoming: Policy::Off, outgoing: Policy::Require };
    let both_ways = PEERS[2];
    assert_eq!(dial(&mut Door::new(Pace::default(), only_out), 1, both_ways).0, Rc4);
    assert_eq!(accept_from(&mut Door::new(Pace::default(), only_out), both_ways), Plain);
}

#[test]
fn the_next_dial_begins_with_what_worked() {
    let encrypts_only = PEERS[6];
    let knows_none = PEERS[0];
    // (policy, a peer that our first way does not reach, how it is reached)
    for (policy, peer, link) in [(Policy::Allow, encrypts_only, Rc4), (Policy::Prefer, knows_none, Plain)] {
        let mut door = Door::new(Pace::default(), Encryption::both(policy));
        assert_eq!(dial(&mut door, 1, peer), (link, 2), "{policy:?}");
        assert_eq!(dial(&mut door, 2, peer), (link, 1), "{policy:?} knows now");
        // It was updated: both ways are tried, and the memory follows.
        let other = if peer == knows_none { encrypts_only } else { knows_none };
        assert_eq!(dial(&mut door, 3, other).1, 2, "{policy:?}");
        assert_eq!(dial(&mut door, 4, other).1, 1, "{policy:?}");
    }
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut door = Door::new(Pace { dials_per_second: 1_000_000, half_open_max: 10 }, Encryption::default());
    for n in 0..REMEMBERED_MAX as u32 + 10 {
        door.contrary.insert(nth(n).ip());
    }
    assert!(!door.contrary.has(nth(9).ip()) && door.contrary.has(nth(10).ip()));
    // A dial whose way was remembered while it waited ends as any other.
    assert_eq!(dial(&mut door, 1, PEERS[0]), (Plain, 1));
}

/// C10: who answers with anything, or does not accept us, may be no peer at all: it is not asked again.
#[test]
fn only_who_accepts_and_says_nothing_is_asked_a_second_time() {
    use DialFailure::{Handshake, Refused, TimedOut, Unreachable};
    for (connected, why, heard, again) in [
        (true, Handshake, false, true),
        (true, Refused, false, true),
        (true, Handshake, true, false),
        (false, Refused, false, false),
        (false, TimedOut, false, false),
        (false, Unreachable, false, false),
    ] {
        for policy in [Policy::Allow, Policy::Prefer] {
            let mut door = Door::new(Pace::default(), Encryption::both(policy));
            let dial = dial_id(1);
            tell(&mut door, at(9), Input::Dial { dial, remote: nth(1), hints: DialHints::default() });
            if connected {
                tell(&mut door, at(9), Input::Connected(dial));
            }
            let out = tell(&mut door, at(9), Input::WayFailed { dial, why, heard });
            let expected = if again { (1, 1) } else { (0, 0) };
            assert_eq!((connects(&out), door.dials()), expected, "{policy:?} {why:?} {heard}");
        }
    }
}

/// C10: a victim that a stranger named is not knocked at twice, however silent it is; and who insists on the other way is reached
/// by the next dial, an hour later.
#[test]
fn whom_a_stranger_named_is_asked_once_and_the_other_way_the_next_time() {
    for (policy, first) in [(Policy::Allow, true), (Policy::Prefer, false)] {
        let mut door = Door::new(Pace::default(), Encryption::both(policy));
        let mut plain = Vec::new();
        for hour in 0..4 {
            let (now, dial) = (at(9) + hour * Duration::from_secs(3600), dial_id(hour));
            let out = tell(
                &mut door,
                now,
                Input::Dial { dial, remote: nth(1), hints: DialHints { once: true, encrypted: false } },
            );
            let [Output::Connect { way, .. }] = out[..] else { panic!("{out:?}") };
            plain.push(way.crypto == Crypto::Plaintext);
            tell(&mut door, now, Input::Connected(dial));
            let why = DialFailure::Handshake;
            let out = tell(&mut door, now, Input::WayFailed { dial, why, heard: false });
            assert_eq!(out, [Output::DialFailed { dial, why }], "{policy:?}, hour {hour}");
        }
        assert_eq!(plain, [first, !first, first, !first], "{policy:?}");
    }
}

/// A peer that accepts and stays silent costs the time of both ways, and no more.
#[test]
fn silence_ends_in_one_answer() {
    let mut door = Door::new(Pace::default(), Encryption::default());
    let dial = dial_id(1);
    tell(&mut door, at(0), Input::Dial { dial, remote: nth(1), hints: DialHints::default() });
    tell(&mut door, at(0), Input::Connected(dial));
    let out = tell(&mut door, at(0) + HANDSHAKE_TIME_MAX, Input::Wake);
    assert_eq!((out[0], connects(&out)), (Output::Abandon(dial), 1));
    tell(&mut door, at(0) + HANDSHAKE_TIME_MAX, Input::Connected(dial));
    let out = tell(&mut door, at(0) + 2 * HANDSHAKE_TIME_MAX, Input::Wake);
    let failed = Output::DialFailed { dial, why: DialFailure::Handshake };
    assert_eq!(out, [Output::Abandon(dial), failed]);
    assert_eq!((door.dials(), door.half_open, door.next_wake()), (0, 0, None));
}

/// C5: a flood of encrypted greetings waits its turn; plaintext does not wait behind it.
#[test]
fn key_exchanges_keep_their_pace() {
    let mut door = Door::new(Pace::default(), Encryption::default());
    let start = at(1_000_000_000);
    let exchanges = |out: &[Output]| {
        out.iter().filter(|output| matches!(output, Output::Answer { crypto: Crypto::Mse(_), .. })).count()
    };
    let mut begun = 0;
    for id in 0..256 {
        accept(&mut door, start, id, nth(id as u32));
        let greeted = Input::Greeted { pending: PendingId(id), greeting: Greeting::Encrypted };
        begun += exchanges(&tell(&mut door, start, greeted.clone()));
        assert_eq!(exchanges(&tell(&mut door, start, greeted)), 0, "said twice, it waits once");
    }
    assert_eq!((begun, door.exchanges.len()), (25, 256 - 25));
    accept(&mut door, start, 999, nth(999));
    let out =
        tell(&mut door, start, Input::Greeted { pending: PendingId(999), greeting: Greeting::Plaintext });
    assert_eq!(out, [Output::Answer { pending: PendingId(999), crypto: Crypto::Plaintext }]);
    while let Some(wake) = door.next_wake()
        && wake <= start + SECOND
    {
        begun += exchanges(&tell(&mut door, wake, Input::Wake));
    }
    assert_eq!(begun, 125, "a burst and a second's worth");
    // Who leaves does not keep its place, and nobody is left behind.
    (0..256).for_each(|id| drop(tell(&mut door, start + SECOND, Input::Settled(PendingId(id)))));
    assert_eq!((door.exchanges.len(), door.pending()), (0, 1));
}

/// A day of nothing but strangers who begin a key exchange: what it costs stays what was allowed.
#[test]
fn an_hour_of_churn_costs_what_was_allowed() {
    let mut door = Door::new(Pace::default(), Encryption::default());
    let mut begun = 0;
    for id in 0..360_000_u64 {
        let now = at(id * 10_000);
        let mut out = accept(&mut door, now, id, nth((id % 100_000) as u32));
        out.extend(tell(
            &mut door,
            now,
            Input::Greeted { pending: PendingId(id), greeting: Greeting::Encrypted },
        ));
        begun += out.iter().filter(|output| matches!(output, Output::Answer { .. })).count() as u64;
        assert!(door.exchanges.len() <= PENDING_MAX && door.pending() <= PENDING_MAX);
    }
    assert!(begun <= 3_600 * u64::from(EXCHANGES_PER_SECOND_MAX) + 25, "{begun}");
}

/// Whatever a peer does or others say of it, a private door has one way out and one way in, in its turn.
#[test]
fn a_private_door_never_speaks_otherwise() {
    let mut door = Door::new(Pace::default(), Encryption::both(Policy::Private));
    for (n, hints) in [(false, false), (false, true), (true, false), (true, true)].into_iter().enumerate() {
        let hints = DialHints { once: hints.0, encrypted: hints.1 };
        for heard in [false, true] {
            let dial = dial_id(n as u32);
            let out = tell(&mut door, at(9), Input::Dial { dial, remote: nth(1), hints });
            let way = Way { transport: Transport::Tcp, crypto: Crypto::Private };
            assert_eq!(out, [Output::Connect { dial, remote: nth(1), way }]);
            tell(&mut door, at(9), Input::Connected(dial));
            let why = DialFailure::Handshake;
            let out = tell(&mut door, at(9), Input::WayFailed { dial, why, heard });
            assert_eq!(out, [Output::DialFailed { dial, why }], "no second way");
        }
    }
    let (plain, sealed) = (PendingId(1), PendingId(2));
    accept(&mut door, at(9), 1, nth(1));
    let out = tell(&mut door, at(9), Input::Greeted { pending: plain, greeting: Greeting::Plaintext });
    assert_eq!(out, [Output::TurnAway { pending: plain, why: Refusal::NotPrivate }]);
    accept(&mut door, at(9), 2, nth(2));
    let out = tell(&mut door, at(9), Input::Greeted { pending: sealed, greeting: Greeting::Member([1; 16]) });
    assert_eq!(out, [Output::Answer { pending: sealed, crypto: Crypto::Private }]);
    // Who says nothing more is dropped in time like everybody.
    let out = tell(&mut door, at(9) + HANDSHAKE_TIME_MAX, Input::Wake);
    assert_eq!(out, [Output::DropPending(sealed)]);
    let tally = Tally { plaintext_refused: 1, outgoing_failed: 8, ..Tally::default() };
    assert_eq!(door.tally(), tally);
}

/// Strangers without the key, and who repeats what members said, at once and as many as they like: a member that comes then is
/// answered at once.
#[test]
fn strangers_to_a_private_swarm_use_up_nothing_that_its_members_need() {
    let mut door = Door::new(Pace::default(), Encryption::both(Policy::Private));
    let mut come = |id, greeting| {
        accept(&mut door, at(9), id, nth(id as u32));
        tell(&mut door, at(9), Input::Greeted { pending: PendingId(id), greeting })
    };
    let answered = |id| [Output::Answer { pending: PendingId(id), crypto: Crypto::Private }];
    let turned_away = |id, why| [Output::TurnAway { pending: PendingId(id), why }];
    assert_eq!(come(0, Greeting::Member([1; 16])), answered(0));
    for id in 1..1_000 {
        let (greeting, why) = match id % 2 {
            0 => (Greeting::Encrypted, Refusal::OtherKey),
            _ => (Greeting::Member([1; 16]), Refusal::Replayed),
        };
        assert_eq!(come(id, greeting), turned_away(id, why));
    }
    assert_eq!(come(1_000, Greeting::Member([2; 16])), answered(1_000));
    assert_eq!(door.tally(), Tally { incoming_failed: 999, ..Tally::default() });
}

#[test]
fn refusals_are_counted_by_their_reason() {
    let mut door = Door::new(Pace::default(), Encryption::both(Policy::Require));
    assert_eq!(accept_from(&mut door, PEERS[0]), No);
    dial(&mut door, 1, PEERS[0]);
    dial(&mut door, 2, PEERS[1]);
    accept(&mut door, at(9), 7, nth(7));
    (0..2).for_each(|_| drop(tell(&mut door, at(9), Input::Unsettled(PendingId(7)))));
    let tally = Tally { plaintext_refused: 1, incoming_failed: 1, outgoing_failed: 2, ..Tally::default() };
    assert_eq!(door.tally(), tally);
    let mut door = Door::new(Pace::default(), Encryption::both(Policy::Off));
    accept_from(&mut door, PEERS[5]);
    assert_eq!(door.tally(), Tally { encrypted_refused: 1, ..Tally::default() });
    dial(&mut door, 1, PEERS[5]);
    assert_eq!(door.tally(), Tally { encrypted_refused: 1, plaintext_unanswered: 1, ..Tally::default() });
}

#[test]
fn who_is_said_to_prefer_encryption_is_dialled_encrypted_first_where_both_will_do() {
    // Begins encrypted without a word, with one, and after the first way came to nothing.
    for (policy, plain, hinted, then) in [
        (Policy::Off, false, false, None),
        (Policy::Allow, false, true, Some(false)),
        (Policy::Prefer, true, true, Some(false)),
        (Policy::Require, true, true, None),
    ] {
        let is_encrypted = |out: &[Output]| match out {
            [Output::Connect { way, .. }] => Some(matches!(way.crypto, Crypto::Mse(_))),
            _ => None,
        };
        let mut door = Door::new(Pace::default(), Encryption::both(policy));
        let dial = |sequence, encrypted| Input::Dial {
            dial: dial_id(sequence),
            remote: nth(sequence),
            hints: DialHints { encrypted, ..DialHints::default() },
        };
        let out = tell(&mut door, at(9), dial(1, false));
        assert_eq!(is_encrypted(&out), Some(plain), "{policy:?}");
        let out = tell(&mut door, at(9), dial(2, true));
        assert_eq!(is_encrypted(&out), Some(hinted), "{policy:?}");
        tell(&mut door, at(9), Input::Connected(dial_id(2)));
        let why = DialFailure::Handshake;
        let out = tell(&mut door, at(9), Input::WayFailed { dial: dial_id(2), why, heard: false });
        assert_eq!(is_encrypted(&out), then, "{policy:?}");
    }
}

#[test]
fn what_worked_counts_more_than_what_is_said() {
    let mut door = Door::new(Pace::default(), Encryption::both(Policy::Allow));
    let dial = |sequence, encrypted| Input::Dial {
        dial: dial_id(sequence),
        remote: nth(1),
        hints: DialHints { encrypted, ..DialHints::default() },
    };
    tell(&mut door, at(9), dial(1, true));
    tell(&mut door, at(9), Input::Connected(dial_id(1)));
    tell(&mut door, at(9), Input::Linked(dial_id(1)));
    let out = tell(&mut door, at(9), dial(2, false));
    assert!(matches!(out[..], [Output::Connect { way, .. }] if way.crypto != Crypto::Plaintext), "{out:?}");
}
