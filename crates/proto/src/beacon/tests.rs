//! The beacon by itself: what is said when, what is made of what is heard, how little of either there can be, and when silence
//! is told of.

use super::*;
use core::net::IpAddr;

/// A machine and its clock.
struct Rig {
    beacon: Beacon,
    now: Instant,
    start: Instant,
    /// How long after the start each word was said.
    said: Vec<Duration>,
    found: Vec<SocketAddr>,
    silences: Vec<(Duration, Silence)>,
}

const OURS: Instance = Instance([1; 16]);
const THEIRS: Instance = Instance([2; 16]);
/// Which machine, what it hears, and what it should make of that.
type Case<'a> = (fn() -> Rig, &'a dyn Fn(&mut Rig), Option<Silence>);

const SECOND: Duration = Duration::from_secs(1);

fn sharer() -> Rig {
    Rig::new(Role::Sharer { port: 5000 })
}

fn receiver() -> Rig {
    Rig::new(Role::Receiver)
}

fn word(nameplate: u16, instance: Instance, kind: Kind) -> Word {
    Word { nameplate, instance, kind }
}

fn millis(at: &[Duration]) -> Vec<u128> {
    at.iter().map(Duration::as_millis).collect()
}

impl Rig {
    fn new(role: Role) -> Rig {
        let now = Instant::from_micros(77_000_000);
        let beacon = Beacon::new(role, 42, OURS, now);
        let mut rig =
            Rig { beacon, now, start: now, said: Vec::new(), found: Vec::new(), silences: Vec::new() };
        rig.handle(Input::Wake);
        rig
    }

    fn handle(&mut self, input: Input) {
        let mut out = Vec::new();
        self.beacon.handle(self.now, input, &mut out);
        let since = self.now.since(self.start);
        for output in out {
            match output {
                Output::Say(said) => {
                    assert_eq!((said.nameplate, said.instance), (42, OURS));
                    self.said.push(since);
                }
                Output::Found(sharer) => self.found.push(sharer.address),
                Output::Silence(silence) => self.silences.push((since, silence)),
            }
        }
        assert!(self.beacon.next_wake() > self.now, "it asks for a moment that has passed");
    }

    fn hear(&mut self, from: &str, word: Word) {
        self.handle(Input::Heard { from: from.parse().unwrap(), word });
    }

    fn hear_here(&mut self, from: &str, nameplate: u16, port: u16) {
        self.hear(from, word(nameplate, THEIRS, Kind::Here { port }));
    }

    fn hear_who(&mut self, nameplate: u16) {
        self.hear("10.0.0.9:6772", word(nameplate, THEIRS, Kind::Who));
    }

    /// Lets time pass, waking exactly when it asks to be.
    fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        while self.beacon.next_wake() <= end {
            self.now = self.beacon.next_wake();
            self.handle(Input::Wake);
        }
        self.now = end;
    }
}

#[test]
fn a_number_is_said_at_once_and_ever_less_often() {
    for (mut rig, interval) in [(sharer(), SHARER_INTERVAL), (receiver(), RECEIVER_INTERVAL)] {
        rig.pass(100 * SECOND);
        assert_eq!(millis(&rig.said[..6]), [0, 250, 750, 1750, 3750, 7750]);
        assert!(rig.said[5..].windows(2).all(|pair| pair[1] - pair[0] == interval), "{:?}", rig.said);
        assert!(rig.said.len() > 8);
    }
}

#[test]
fn a_question_for_our_number_is_answered_at_once_and_no_other() {
    let mut rig = sharer();
    rig.pass(10 * SECOND);
    let before = rig.said.len();
    rig.hear_who(43);
    assert_eq!(rig.said.len(), before);
    rig.hear_who(42);
    assert_eq!(rig.said.len(), before + 1);
    assert!(rig.found.is_empty());
}

#[test]
fn a_flood_of_questions_gets_five_answers_a_second_and_each_asker_is_served_soon() {
    let mut rig = sharer();
    for _ in 0..10_000 {
        rig.pass(Duration::from_millis(1));
        rig.hear_who(42);
    }
    assert!(rig.said.windows(2).all(|pair| pair[1] - pair[0] >= REST));
    assert!((45..=51).contains(&rig.said.len()), "{}", rig.said.len());
    let longest = rig.said.windows(2).map(|pair| pair[1] - pair[0]).max();
    assert_eq!(longest, Some(REST), "all who asked in between have heard that one");
}

#[test]
fn whoever_shares_our_number_is_found_once_at_the_address_from_which_it_was_said() {
    let mut rig = receiver();
    for _ in 0..3 {
        rig.hear_here("192.168.1.7:6772", 42, 5000);
        rig.hear_here("[fe80::7%3]:6772", 42, 5000);
        rig.hear_here("192.168.1.8:6772", 17, 5000);
    }
    // Another with the same number, and the first one restarted.
    rig.hear("192.168.1.9:6772", word(42, Instance([3; 16]), Kind::Here { port: 6000 }));
    rig.hear("192.168.1.7:6772", word(42, Instance([4; 16]), Kind::Here { port: 5000 }));
    let expected: Vec<SocketAddr> =
        ["192.168.1.7:5000", "[fe80::7%3]:5000", "192.168.1.9:6000", "192.168.1.7:5000"]
            .map(|address| address.parse().unwrap())
            .into();
    assert_eq!(rig.found, expected);
}

#[test]
fn a_sharer_finds_nobody_and_a_receiver_answers_nobody() {
    let mut rig = sharer();
    rig.hear_here("192.168.1.7:6772", 42, 5000);
    assert!(rig.found.is_empty());
    let mut rig = receiver();
    rig.pass(10 * SECOND);
    let before = rig.said.len();
    rig.hear_who(42);
    assert_eq!(rig.said.len(), before);
}

#[test]
fn many_who_pretend_to_share_cost_little_and_the_one_who_shares_is_still_found() {
    let mut rig = receiver();
    for n in 0..20_000_u32 {
        rig.pass(Duration::from_millis(1));
        // From one host with all ports, and from hosts that nobody has.
        let host =
            if n % 2 == 0 { IpAddr::from([10, 0, 0, 1]) } else { (0x0a01_0000 + n).to_be_bytes().into() };
        let from = SocketAddr::new(host, 6772);
        let here = word(42, Instance([(n % 251) as u8; 16]), Kind::Here { port: (n % 65_535) as u16 + 1 });
        rig.handle(Input::Heard { from, word: here });
    }
    assert!(rig.beacon.sharers.len() <= SHARERS_MAX);
    let one_host = rig.found.iter().filter(|address| address.ip() == IpAddr::from([10, 0, 0, 1])).count();
    assert_eq!(one_host, PORTS_MAX);
    // All in all some hundred a second are looked at, and the flood took those: he is heard as soon as it pauses.
    rig.pass(SECOND);
    rig.hear_here("192.168.1.7:6772", 42, 5000);
    assert_eq!(rig.found.last(), Some(&"192.168.1.7:5000".parse().unwrap()));
}

#[test]
fn silence_is_told_after_five_seconds_and_as_what_it_is() {
    let ours = |kind| word(42, OURS, kind);
    let nobody = |_: &mut Rig| {};
    let ourselves = |rig: &mut Rig| rig.hear("10.0.0.1:6772", ours(Kind::Who));
    let other_number = |rig: &mut Rig| rig.hear_here("10.0.0.2:6772", 17, 5000);
    let sought = |rig: &mut Rig| rig.hear_here("10.0.0.2:6772", 42, 5000);
    let both = |rig: &mut Rig| {
        rig.hear("10.0.0.1:6772", ours(Kind::Who));
        rig.hear_who(42);
    };
    let cases: [Case<'_>; 8] = [
        (receiver, &nobody, Some(Silence::Deaf)),
        (receiver, &ourselves, Some(Silence::Alone)),
        (receiver, &other_number, Some(Silence::Others)),
        (receiver, &both, Some(Silence::Others)),
        (receiver, &sought, None),
        (sharer, &nobody, Some(Silence::Deaf)),
        (sharer, &ourselves, None),
        (sharer, &other_number, None),
    ];
    for (number, (rig, heard, expected)) in cases.into_iter().enumerate() {
        let mut rig = rig();
        heard(&mut rig);
        rig.pass(60 * SECOND);
        let expected: Vec<_> = expected.into_iter().map(|silence| (PATIENCE, silence)).collect();
        assert_eq!(rig.silences, expected, "case {number}");
    }
}

#[test]
fn a_cable_that_comes_later_begins_everything_again() {
    let mut rig = receiver();
    rig.pass(60 * SECOND);
    let before = rig.said.len();
    rig.handle(Input::NetworkChanged);
    rig.handle(Input::NetworkChanged);
    rig.pass(4 * SECOND);
    let since: Vec<Duration> = rig.said[before..].iter().map(|at| *at - 60 * SECOND).collect();
    assert_eq!(millis(&since), [0, 200, 450, 950, 1950, 3950]);
    rig.pass(60 * SECOND);
    assert_eq!(rig.silences, [(PATIENCE, Silence::Deaf), (60 * SECOND + PATIENCE, Silence::Deaf)]);
}
