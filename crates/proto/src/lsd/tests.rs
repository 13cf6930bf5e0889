//! Local discovery by itself: what is said when, what is made of what is heard, and how little of either there can be.

use super::*;

/// A machine and its clock.
struct Rig {
    lsd: Lsd,
    now: Instant,
    /// When what was announced.
    said: Vec<(Instant, Vec<InfoHash>)>,
    found: Vec<(TorrentId, SocketAddr)>,
}

impl Rig {
    fn new() -> Rig {
        let now = Instant::from_micros(77_000_000);
        Rig { lsd: Lsd::new(Seed(5), now), now, said: Vec::new(), found: Vec::new() }
    }

    fn handle(&mut self, input: Input<'_>) {
        let mut out = Vec::new();
        self.lsd.handle(self.now, input, &mut out);
        for output in out {
            match output {
                Output::Announce { info_hashes } => {
                    assert!((1..=HASHES_PER_DATAGRAM).contains(&info_hashes.len()));
                    self.said.push((self.now, info_hashes));
                }
                Output::Found { torrent, peer } => self.found.push((torrent, peer)),
            }
        }
    }

    fn find(&mut self, number: u32) {
        self.handle(Input::Find { torrent: torrent(number), info_hash: hash(number) });
    }

    fn stop(&mut self, number: u32) {
        self.handle(Input::Stop { torrent: torrent(number), info_hash: hash(number) });
    }

    fn hear(&mut self, from: &str, port: u16, numbers: &[u32]) {
        self.hear_as(from, port, numbers, Some("abcd"));
    }

    fn hear_as(&mut self, from: &str, port: u16, numbers: &[u32], cookie: Option<&str>) {
        let info_hashes = numbers.iter().map(|&number| hash(number)).collect();
        let search = Search { port, info_hashes, cookie: cookie.map(Into::into) };
        self.handle(Input::Heard { from: from.parse().unwrap(), search: &search });
    }

    /// Lets time pass, waking exactly when it asks to be.
    fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(wake) = self.lsd.next_wake().filter(|&wake| wake <= end) {
            self.now = self.now.max(wake);
            self.handle(Input::Wake);
            assert!(
                self.lsd.next_wake().is_none_or(|next| next > self.now),
                "it asks for the same moment again"
            );
        }
        self.now = end;
    }

    /// How long after `from` each announcement was.
    fn delays(&self, from: Instant) -> Vec<Duration> {
        self.said.iter().map(|(at, _)| at.since(from)).collect()
    }
}

fn torrent(number: u32) -> TorrentId {
    TorrentId { slot: number, generation: 0 }
}

fn hash(number: u32) -> InfoHash {
    let mut bytes = [9; 20];
    // Not in the order of the numbers.
    bytes[..4].copy_from_slice(&number.wrapping_mul(0x9e37_79b9).to_be_bytes());
    bytes[4..8].copy_from_slice(&number.to_be_bytes());
    InfoHash(bytes)
}

const MINUTE: Duration = Duration::from_secs(60);
const MILLISECOND: Duration = Duration::from_millis(1);

#[test]
fn a_new_torrent_is_announced_at_once_twice_more_soon_and_then_every_five_minutes() {
    let mut rig = Rig::new();
    let start = rig.now;
    rig.find(1);
    rig.pass(60 * MINUTE);
    let delays = rig.delays(start);
    assert!(delays[0] <= Duration::from_millis(100), "{delays:?}");
    assert_eq!(delays[1] - delays[0], Duration::from_secs(3));
    assert_eq!(delays[2] - delays[1], Duration::from_secs(10));
    for pair in delays[2..].windows(2) {
        let between = pair[1] - pair[0];
        assert!((270..=330).contains(&between.as_secs()), "{between:?}");
    }
    assert!((12..=16).contains(&delays.len()), "{}", delays.len());
    assert!(rig.said.iter().all(|(_, hashes)| *hashes == [hash(1)]));
}

#[test]
fn a_torrent_that_stops_is_not_announced_and_not_found_any_more() {
    let mut rig = Rig::new();
    rig.find(1);
    rig.find(2);
    // A word about a torrent that had this hash before changes nothing.
    rig.handle(Input::Stop { torrent: torrent(9), info_hash: hash(2) });
    rig.stop(1);
    rig.pass(10 * MINUTE);
    assert!(!rig.said.is_empty() && rig.said.iter().all(|(_, hashes)| *hashes == [hash(2)]));
    rig.hear("10.0.0.9:6771", 6881, &[1, 2]);
    assert_eq!(rig.found, [(torrent(2), "10.0.0.9:6881".parse().unwrap())]);
    rig.stop(2);
    assert_eq!(rig.lsd.next_wake(), None, "an idle machine sleeps");
}

#[test]
fn ten_thousand_torrents_do_not_burst_and_all_are_announced_in_their_turn() {
    let mut rig = Rig::new();
    (0..10_000).for_each(|number| rig.find(number));
    let start = rig.now;
    rig.pass(20 * MINUTE);
    // As many as in one burst, then one a second: so for every stretch of time.
    for (first, (from, _)) in rig.said.iter().enumerate() {
        for (last, (to, _)) in rig.said.iter().enumerate().skip(first).step_by(7) {
            let most = u64::from(BURST) + to.since(*from).as_secs();
            assert!((last - first + 1) as u64 <= most, "{first}..={last}");
        }
    }
    let mut first_said: BTreeMap<InfoHash, Duration> = BTreeMap::new();
    for (at, hashes) in &rig.said {
        for &hash in hashes {
            first_said.entry(hash).or_insert(at.since(start));
        }
    }
    assert_eq!(first_said.len(), 10_000);
    let slowest = first_said.values().max().unwrap();
    assert!(*slowest <= Duration::from_secs(401), "no torrent waits for another's repeats: {slowest:?}");
    let said: usize = rig.said.iter().map(|(_, hashes)| hashes.len()).sum();
    assert!(said as f64 >= rig.said.len() as f64 * 24.5, "datagrams are full: {said} in {}", rig.said.len());
}

#[test]
fn torrents_that_are_added_together_share_datagrams() {
    let mut rig = Rig::new();
    let start = rig.now;
    (0..60).for_each(|number| rig.find(number));
    rig.pass(Duration::from_secs(2));
    let told: BTreeSet<InfoHash> = rig.said.iter().flat_map(|(_, hashes)| hashes.clone()).collect();
    assert_eq!(told.len(), 60);
    assert!(rig.said.len() <= 5, "{:?}", rig.delays(start));
    rig.said.clear();
    rig.pass(60 * MINUTE);
    let mean = rig.said.iter().map(|(_, hashes)| hashes.len()).sum::<usize>() / rig.said.len();
    assert!(mean >= 15, "and go on doing so: {mean}");
}

#[test]
fn what_is_heard_makes_peers_only_of_torrents_that_we_have() {
    let mut rig = Rig::new();
    rig.find(1);
    for (from, port, numbers, expected) in [
        ("10.0.0.9:6771", 6881, &[1][..], Some("10.0.0.9:6881")),
        ("10.0.0.9:6771", 6881, &[2], None),
        ("10.0.0.9:6771", 6882, &[2, 1, 3], Some("10.0.0.9:6882")),
        ("[fe80::9%3]:6771", 6881, &[1], Some("[fe80::9%3]:6881")),
        ("127.0.0.1:40000", 80, &[1], Some("127.0.0.1:80")),
    ] {
        rig.found.clear();
        rig.hear(from, port, numbers);
        let expected: Vec<_> = expected.iter().map(|peer| (torrent(1), peer.parse().unwrap())).collect();
        assert_eq!(rig.found, expected, "{from} {port} {numbers:?}");
    }
}

#[test]
fn our_own_words_are_not_heard_and_those_without_a_cookie_are() {
    let mut rig = Rig::new();
    rig.find(1);
    let ours = rig.lsd.cookie().to_owned();
    for (cookie, expected) in [(Some(&*ours), 0), (Some("1"), 1), (None, 1)] {
        rig.found.clear();
        rig.hear_as("10.0.0.9:6771", 6881, &[1], cookie);
        assert_eq!(rig.found.len(), expected, "{cookie:?}");
    }
    assert_ne!(Lsd::new(Seed(6), rig.now).cookie(), ours);
}

#[test]
fn a_newcomer_is_answered_within_a_second_and_two_that_answer_each_other_stop() {
    let mut rigs = [Rig::new(), Rig::new()];
    rigs[1].lsd = Lsd::new(Seed(99), rigs[1].now);
    rigs[0].find(1);
    rigs[0].pass(MINUTE);
    rigs[1].now = rigs[0].now;
    rigs[0].said.clear();
    let came = rigs[0].now;
    rigs[1].find(1);
    // Step by step, each hears what the other said.
    let mut heard = [0; 2];
    for _ in 0..250_000 {
        for one in 0..2 {
            rigs[one].pass(MILLISECOND);
            let (said, cookie) = (rigs[one].said.len(), rigs[one].lsd.cookie().to_owned());
            for _ in heard[one]..said {
                rigs[1 - one].hear_as(&format!("10.0.0.{one}:6771"), 6881, &[1], Some(&cookie));
            }
            heard[one] = said;
        }
    }
    assert!(rigs.iter().all(|rig| !rig.found.is_empty()));
    let answer = rigs[0].delays(came)[0];
    assert!(answer <= Duration::from_secs(1), "{answer:?}");
    for rig in &rigs {
        assert!(rig.said.len() <= 6, "{:?}", rig.delays(came));
    }
}

#[test]
fn whoever_asks_and_however_often_a_torrent_is_announced_no_more_than_once_in_its_rest() {
    let mut rig = Rig::new();
    (0..3).for_each(|number| rig.find(number));
    for step in 0..60_000u32 {
        rig.hear(&format!("10.0.{}.{}:6771", step / 250 % 250, step % 250), 6881, &[0, 1, 2]);
        if step % 5 == 0 {
            rig.find(1);
        }
        rig.pass(MILLISECOND);
    }
    let mut last: BTreeMap<InfoHash, Instant> = BTreeMap::new();
    for (at, hashes) in &rig.said {
        for &hash in hashes {
            if let Some(before) = last.insert(hash, *at) {
                assert!(at.since(before) >= REST, "{:?}", at.since(before));
            }
        }
    }
    assert!(rig.said.len() <= 3 * 60 / 2, "{}", rig.said.len());
}

#[test]
fn a_flood_is_believed_only_as_far_as_one_source_and_all_together_may_go() {
    let mut rig = Rig::new();
    rig.find(1);
    // One machine, for ten seconds.
    for _ in 0..10_000 {
        rig.hear("10.0.0.9:6771", 6881, &[1]);
        rig.pass(MILLISECOND);
    }
    let believed = rig.found.len();
    assert!((100..=160).contains(&believed), "{believed}");
    // The others are not made to pay for it.
    rig.found.clear();
    rig.hear("10.0.0.8:6771", 6881, &[1]);
    assert_eq!(rig.found.len(), 1);
    // As many as there are names for.
    rig.pass(MINUTE);
    rig.found.clear();
    for step in 0..10_000u32 {
        let host = core::net::Ipv4Addr::from_bits(0x0b00_0000 + step);
        rig.hear(&format!("{host}:6771"), 6881, &[1]);
        rig.pass(MILLISECOND);
    }
    assert!(rig.found.len() <= 500 + 10 * 100, "{}", rig.found.len());
    assert!(rig.lsd.hearing.sources() <= 256);
}

#[test]
fn one_machine_cannot_be_more_clients_than_fit_on_a_machine() {
    let mut rig = Rig::new();
    rig.find(1);
    for port in 1..=2_000 {
        rig.hear("10.0.0.9:6771", port, &[1]);
        rig.pass(Duration::from_millis(250));
    }
    let ports: BTreeSet<u16> = rig.found.iter().map(|(_, peer)| peer.port()).collect();
    assert_eq!(ports.len(), 64);
    rig.found.clear();
    rig.hear("10.0.0.9:6771", 1, &[1]);
    assert_eq!(rig.found.len(), 1, "those that are known stay so");
    rig.pass(11 * MINUTE);
    rig.found.clear();
    rig.hear("10.0.0.9:6771", 3_000, &[1]);
    assert_eq!(rig.found.len(), 1, "whoever was silent for long is new again");
}

#[test]
fn on_another_network_everything_is_said_again() {
    let mut rig = Rig::new();
    (0..2).for_each(|number| rig.find(number));
    rig.pass(MINUTE);
    rig.said.clear();
    let start = rig.now;
    rig.handle(Input::NetworkChanged);
    rig.pass(MINUTE);
    let delays = rig.delays(start);
    assert!(delays[0] <= Duration::from_millis(200) && delays.len() >= 3, "{delays:?}");
    assert!(rig.said.iter().all(|(_, hashes)| hashes.len() == 2));
    rig.said.clear();
    rig.find(7);
    rig.pass(Duration::from_millis(200));
    (0..50).for_each(|_| rig.handle(Input::NetworkChanged));
    rig.pass(Duration::from_millis(200));
    let of_the_new = rig.said.iter().filter(|(_, hashes)| hashes.contains(&hash(7))).count();
    assert_eq!(of_the_new, 1, "an interface that comes and goes does not make us shout");
}
