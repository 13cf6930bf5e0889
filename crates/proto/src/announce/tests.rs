//! The announcer's rules, each as a conversation with scripted trackers. BEP: 3, 12, 21, 31

use super::*;
use crate::Seed;

/// A driver with one torrent: remembers the visit under way.
struct Desk {
    announcer: Announcer,
    rng: Rng,
    now: Instant,
    figures: Figures,
    visit: Option<Announce>,
}

impl Desk {
    fn new(tiers: &[&[&str]]) -> Desk {
        let mut rng = Rng::new(Seed(7));
        let tiers: Vec<Vec<String>> =
            tiers.iter().map(|tier| tier.iter().map(|url| url.to_string()).collect()).collect();
        let torrent = TorrentId { slot: 1, generation: 2 };
        let mut announcer = Announcer::new(torrent, &tiers, &mut rng);
        announcer.start();
        let figures = Figures { left: 100, want: 50, ..Figures::default() };
        Desk { announcer, rng, now: Instant::from_micros(5_000_000), figures, visit: None }
    }

    /// The event and URL of the visit that starts now, if one does.
    fn poll(&mut self) -> Option<(AnnounceEvent, String)> {
        match self.announcer.poll(self.now, &self.figures, &mut self.rng)? {
            Step::Visit(visit) => {
                let told = (visit.event, visit.url.to_string());
                self.visit = Some(*visit);
                Some(told)
            }
            Step::Scrape(scrape) => panic!("{scrape:?}"),
            Step::TimedOut(failed) => panic!("timed out: {failed:?}"),
        }
    }

    fn event(&mut self) -> Option<AnnounceEvent> {
        self.poll().map(|(event, _)| event)
    }

    fn answer(
        &mut self,
        outcome: Result<AnnounceReply, AnnounceFailure>,
    ) -> Option<Result<Answered, Failed>> {
        let visit = self.visit.take().expect("a visit is under way");
        self.announcer.answered(self.now, visit.announce, outcome, &mut self.rng)
    }

    fn ok(&mut self, interval: u64, min_interval: Option<u64>) {
        let told = self.answer(Ok(reply(interval, min_interval)));
        assert!(matches!(told, Some(Ok(_))), "{told:?}");
    }

    fn fail(&mut self) {
        let told = self.answer(Err(AnnounceFailure::Unreachable("down".into())));
        assert!(matches!(told, Some(Err(_))), "{told:?}");
    }

    /// The scrape that starts now, if one does.
    fn scrape(&mut self) -> Option<Scrape> {
        match self.announcer.poll(self.now, &self.figures, &mut self.rng)? {
            Step::Scrape(scrape) => Some(scrape),
            other => panic!("{other:?}"),
        }
    }

    fn scraped(&mut self, scrape: &Scrape, outcome: Result<(u32, u32, u32), AnnounceFailure>) {
        let counts = |(seeders, completed, leechers)| ScrapeCounts { seeders, completed, leechers };
        self.announcer.scraped(scrape.scrape, &outcome.map(counts));
    }

    fn swarm(&self) -> Option<(u32, u32, Option<u32>)> {
        self.announcer.swarm().map(|swarm| (swarm.seeds, swarm.leechers, swarm.downloads))
    }

    fn wait(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    /// Sleeps as a driver does; says how long.
    fn sleep(&mut self) -> Duration {
        let wake = self.announcer.next_wake().expect("something is to come");
        let slept = wake - self.now;
        self.now = self.now.max(wake);
        slept
    }
}

fn reply(interval: u64, min_interval: Option<u64>) -> AnnounceReply {
    AnnounceReply {
        interval: Duration::from_secs(interval),
        min_interval: min_interval.map(Duration::from_secs),
        peers: Vec::new(),
        complete: Some(3),
        incomplete: Some(4),
        tracker_id: None,
        external_ip: None,
        warning: None,
    }
}

#[test]
fn events_are_told_once_and_in_order() {
    let mut desk = Desk::new(&[&["a"]]);
    assert_eq!(desk.event(), Some(AnnounceEvent::Started));
    assert_eq!(desk.event(), None, "one visit at a time");
    desk.ok(1800, None);
    assert_eq!(desk.sleep(), Duration::from_secs(1800));
    assert_eq!(desk.event(), Some(AnnounceEvent::None));
    desk.ok(1800, None);
    desk.announcer.set_complete(true);
    assert_eq!(desk.event(), None, "an event keeps its gap too");
    assert_eq!(desk.sleep(), EVENT_GAP);
    assert_eq!(desk.event(), Some(AnnounceEvent::Completed));
    desk.ok(1800, None);
    desk.sleep();
    assert_eq!(desk.event(), Some(AnnounceEvent::None));
    desk.ok(1800, None);
    desk.announcer.stop(desk.now);
    assert_eq!(desk.event(), Some(AnnounceEvent::Stopped));
    assert_eq!(desk.visit.as_ref().unwrap().want, 0);
    assert_eq!(desk.answer(Ok(reply(1800, None))), None, "nobody cares after leaving");
    assert_eq!(desk.event(), None);
    assert!(desk.announcer.is_idle());
    assert_eq!(desk.announcer.next_wake(), None);
}

#[test]
fn who_starts_complete_never_says_completed() {
    let mut desk = Desk::new(&[&["a"]]);
    desk.announcer.set_complete(true);
    assert_eq!(desk.event(), Some(AnnounceEvent::Started));
    desk.ok(1800, None);
    desk.sleep();
    assert_eq!(desk.event(), Some(AnnounceEvent::None));
}

#[test]
fn a_download_that_completes_before_started_is_answered_is_still_told() {
    let mut desk = Desk::new(&[&["a"]]);
    desk.event();
    desk.announcer.set_complete(true);
    desk.ok(1800, None);
    assert_eq!(desk.sleep(), EVENT_GAP);
    assert_eq!(desk.event(), Some(AnnounceEvent::Completed));
}

#[test]
fn a_partial_seed_says_paused_in_every_regular_visit() {
    let mut desk = Desk::new(&[&["a"]]);
    desk.figures.partial_seed = true;
    assert_eq!(desk.event(), Some(AnnounceEvent::Started));
    for _ in 0..3 {
        desk.ok(1800, None);
        desk.sleep();
        assert_eq!(desk.event(), Some(AnnounceEvent::Paused));
    }
}

#[test]
fn intervals_are_obeyed_and_clamped() {
    // (interval, min interval, wait when content, wait when hungry)
    for (interval, least, content, hungry) in [
        (1800, None, 1800, 300),
        (1800, Some(900), 1800, 900),
        (1800, Some(1), 1800, 60),
        (200, None, 200, 200),
        (0, None, 60, 60),
        (0, Some(0), 60, 60),
        (120, Some(600), 600, 600),
        (u64::MAX / 2, None, 86_400, 300),
        (u64::MAX / 2, Some(u64::MAX / 2), 86_400, 86_400),
    ] {
        for (hunger, expected) in [(Hunger::Fed, content), (Hunger::Few, hungry), (Hunger::Alone, hungry)] {
            let mut desk = Desk::new(&[&["a"]]);
            desk.announcer.set_hunger(hunger);
            desk.event();
            desk.ok(interval, least);
            assert_eq!(desk.event(), None);
            assert_eq!(desk.sleep().as_secs(), expected, "{interval} {least:?} {hunger:?}");
            assert_eq!(desk.event(), Some(AnnounceEvent::None));
        }
    }
}

#[test]
fn whoever_is_alone_asks_again_soon_then_ever_later_up_to_the_interval_and_soon_again_when_it_met_somebody() {
    let mut desk = Desk::new(&[&["a"]]);
    desk.event();
    desk.ok(1800, Some(60));
    let mut waits = |hunger, times| {
        desk.announcer.set_hunger(hunger);
        let wait = |_| {
            let wait = desk.sleep().as_secs();
            assert_eq!(desk.event(), Some(AnnounceEvent::None));
            desk.ok(1800, Some(60));
            wait
        };
        (0..times).map(wait).collect::<Vec<u64>>()
    };
    assert_eq!(waits(Hunger::Alone, 7), [60, 120, 240, 480, 960, 1800, 1800]);
    assert_eq!(waits(Hunger::Fed, 2), [1800, 1800]);
    assert_eq!(waits(Hunger::Alone, 20)[..2], [60, 120]);
}

#[test]
fn a_users_wish_waits_for_the_minimum_interval() {
    let mut desk = Desk::new(&[&["a"]]);
    desk.event();
    desk.ok(1800, Some(600));
    desk.wait(100);
    desk.announcer.reannounce();
    assert_eq!(desk.event(), None);
    assert_eq!(desk.sleep(), Duration::from_secs(500));
    assert_eq!(desk.event(), Some(AnnounceEvent::None));
}

#[test]
fn the_tracker_that_works_moves_to_the_front_of_its_tier() {
    let mut desk = Desk::new(&[&["a", "b", "c"]]);
    let (_, first) = desk.poll().unwrap();
    desk.fail();
    let (_, second) = desk.poll().unwrap();
    assert_ne!(first, second);
    desk.ok(1800, None);
    for _ in 0..5 {
        desk.sleep();
        assert_eq!(desk.poll().unwrap(), (AnnounceEvent::None, second.clone()));
        desk.ok(1800, None);
    }
}

#[test]
fn the_next_tier_is_asked_only_when_the_whole_tier_fails() {
    let mut desk = Desk::new(&[&["a1", "a2"], &[], &["b1", "b2"]]);
    let mut asked = Vec::new();
    for _ in 0..2 {
        asked.push(desk.poll().unwrap().1);
        desk.fail();
    }
    asked.sort();
    assert_eq!(asked, ["a1", "a2"]);
    let (event, backup) = desk.poll().unwrap();
    assert!(backup.starts_with('b') && event == AnnounceEvent::Started);
    desk.ok(1800, None);
    // A tier that is back is used again, and the one below it is left alone.
    desk.sleep();
    let (event, back) = desk.poll().unwrap();
    assert!(back.starts_with('a') && event == AnnounceEvent::Started);
    desk.ok(1800, None);
    desk.sleep();
    assert_eq!(desk.poll().unwrap(), (AnnounceEvent::None, back));
}

#[test]
fn tiers_are_shuffled_by_the_seed() {
    let urls: Vec<Vec<String>> = vec![(0..20).map(|n| n.to_string()).collect()];
    let order = |seed| {
        let torrent = TorrentId { slot: 0, generation: 0 };
        let announcer = Announcer::new(torrent, &urls, &mut Rng::new(Seed(seed)));
        announcer.tiers[0].entries.iter().map(|entry| entry.index).collect::<Vec<_>>()
    };
    assert_eq!(order(1), order(1));
    assert_ne!(order(1), order(2));
    let stats = Desk::new(&[&["a", "b"], &["c"]]).announcer.stats(Instant::ZERO);
    let rows: Vec<_> = stats.iter().map(|row| (&*row.url, row.tier)).collect();
    assert_eq!(rows, [("a", 0), ("b", 0), ("c", 1)], "stats keep the torrent's own order");
}

#[test]
fn failures_double_the_wait_up_to_half_an_hour() {
    let mut desk = Desk::new(&[&["a"]]);
    let mut expected = BACK_OFF_MIN;
    for times in 0..40 {
        assert_eq!(desk.event(), Some(AnnounceEvent::Started), "failure {times}");
        desk.fail();
        let slept = desk.sleep();
        assert!(slept >= expected && slept <= expected * 5 / 4, "failure {times}: {slept:?}");
        assert!(slept <= BACK_OFF_MAX);
        expected = (expected * 2).min(BACK_OFF_MAX * 4 / 5);
    }
    desk.event();
    desk.ok(1800, None);
    assert_eq!(desk.sleep(), Duration::from_secs(1800), "one success forgets the failures");
}

#[test]
fn a_tracker_that_says_when_to_come_again_is_believed() {
    // (BEP 31 wish, wait; `None` is never)
    for (retry, wait) in [
        (Some(Some(90)), Some(90)),
        (Some(Some(0)), Some(60)),
        (Some(Some(u64::MAX / 2)), Some(86_400)),
        (Some(None), None),
    ] {
        let mut desk = Desk::new(&[&["a"]]);
        desk.event();
        let retry = retry.map(|wish| wish.map(Duration::from_secs));
        desk.answer(Err(AnnounceFailure::Refused { reason: "busy".into(), retry }));
        desk.announcer.reannounce();
        assert_eq!(desk.announcer.next_wake().map(|wake| (wake - desk.now).as_secs()), wait, "{retry:?}");
        assert_eq!(desk.announcer.stats(desk.now)[0].failure.as_deref(), Some("busy"));
    }
}

#[test]
fn a_forbidden_url_is_visited_once() {
    let mut desk = Desk::new(&[&["a"]]);
    desk.event();
    desk.answer(Err(AnnounceFailure::Forbidden("no".into())));
    desk.wait(100_000_000);
    assert_eq!(desk.event(), None);
    assert_eq!(desk.announcer.next_wake(), None);
}

#[test]
fn stopping_overrides_the_visit_under_way() {
    let mut desk = Desk::new(&[&["a"]]);
    desk.event();
    let started = desk.visit.take().unwrap();
    desk.announcer.stop(desk.now);
    assert_eq!(desk.event(), Some(AnnounceEvent::Stopped), "it may have heard us");
    let late =
        desk.announcer.answered(desk.now, started.announce, Ok(reply(1800, None)), &mut Rng::new(Seed(1)));
    assert_eq!(late, None);
    desk.now += STOP_TIME_MAX;
    assert_eq!(desk.event(), None, "a tracker that does not answer holds nobody up");
    assert!(desk.announcer.is_idle());
}

#[test]
fn who_leaves_just_after_completing_says_both() {
    let mut desk = Desk::new(&[&["a"]]);
    desk.event();
    desk.ok(1800, None);
    desk.announcer.set_complete(true);
    assert_eq!(desk.event(), None, "an event keeps its gap");
    desk.announcer.stop(desk.now);
    assert_eq!(desk.event(), Some(AnnounceEvent::Completed));
    assert_eq!(desk.answer(Ok(reply(1800, None))), None);
    assert_eq!(desk.event(), Some(AnnounceEvent::Stopped));
    assert_eq!(desk.answer(Ok(reply(1800, None))), None);
    assert_eq!(desk.event(), None);
    assert!(desk.announcer.is_idle());
}

#[test]
fn stopping_tells_nobody_who_does_not_know_us() {
    let mut desk = Desk::new(&[&["a"]]);
    desk.event();
    desk.fail();
    desk.announcer.stop(desk.now);
    assert_eq!(desk.event(), None);
    assert!(desk.announcer.is_idle());
    desk.announcer.start();
    desk.sleep();
    assert_eq!(desk.event(), Some(AnnounceEvent::Started), "a new start begins anew");
}

#[test]
fn a_driver_that_never_answers_counts_as_a_failure() {
    let mut desk = Desk::new(&[&["a"]]);
    desk.event();
    assert_eq!(desk.sleep(), VISIT_TIME_MAX);
    let step = desk.announcer.poll(desk.now, &desk.figures, &mut desk.rng);
    assert!(matches!(step, Some(Step::TimedOut(Failed { tracker: 0, .. }))), "{step:?}");
    assert_eq!(desk.answer(Ok(reply(1800, None))), None, "too late");
    desk.sleep();
    assert_eq!(desk.event(), Some(AnnounceEvent::Started));
}

#[test]
fn a_tracker_id_is_sent_back_until_another_comes() {
    let mut desk = Desk::new(&[&["a"]]);
    desk.event();
    for (given, expected) in [(Some("x"), "x"), (None, "x"), (Some("y"), "y")] {
        let tracker_id = given.map(Into::into);
        desk.answer(Ok(AnnounceReply { tracker_id, ..reply(1800, None) }));
        desk.sleep();
        desk.event();
        assert_eq!(desk.visit.as_ref().unwrap().tracker_id.as_deref(), Some(expected));
    }
}

#[test]
fn a_clock_that_stands_or_leaps_makes_nobody_hammer() {
    for outcome in [true, false] {
        let mut desk = Desk::new(&[&["a"]]);
        let answer = |desk: &mut Desk| if outcome { desk.ok(1800, None) } else { desk.fail() };
        assert!(desk.event().is_some());
        answer(&mut desk);
        // Standing still: however often we are asked, nothing is due.
        assert!((0..1_000).all(|_| desk.poll().is_none()));
        // Ten years in one step are one visit, not the 175,000 that would have fitted in.
        desk.wait(10 * 365 * 86_400);
        assert!(desk.event().is_some());
        answer(&mut desk);
        assert!((0..1_000).all(|_| desk.poll().is_none()));
        // The end of time is survived.
        desk.now = Instant::FAR;
        assert!(desk.event().is_some());
        answer(&mut desk);
    }
}

#[test]
fn a_list_without_trackers_is_at_peace() {
    let mut desk = Desk::new(&[]);
    assert_eq!(desk.event(), None);
    assert_eq!(desk.announcer.next_wake(), None);
    desk.announcer.stop(desk.now);
    assert_eq!(desk.event(), None);
    assert!(desk.announcer.is_idle());
}

#[test]
fn a_long_list_is_cut() {
    let urls: Vec<String> = (0..TRACKERS_MAX * 2).map(|n| n.to_string()).collect();
    let torrent = TorrentId { slot: 0, generation: 0 };
    let announcer = Announcer::new(torrent, &[urls.clone(), urls], &mut Rng::new(Seed(1)));
    assert_eq!(announcer.stats(Instant::ZERO).len(), TRACKERS_MAX);
}

/// As one URL each.
const COUNTING: &str = "http://t.example/announce";

fn unreachable() -> AnnounceFailure {
    AnnounceFailure::Unreachable("down".into())
}

#[test]
fn a_tracker_is_asked_for_counts_after_a_good_answer_and_once_in_its_interval() {
    let mut desk = Desk::new(&[&[COUNTING]]);
    desk.announcer.set_hunger(Hunger::Few);
    assert_eq!(desk.event(), Some(AnnounceEvent::Started));
    desk.fail();
    assert_eq!(desk.scrape(), None, "it did not even answer");
    desk.sleep();
    desk.event();
    desk.ok(1800, None);
    assert_eq!(desk.swarm(), Some((3, 4, None)), "as the announce had it");
    let scrape = desk.scrape().expect("it answered");
    assert_eq!((scrape.tracker, &*scrape.url), (0, COUNTING));
    assert_eq!(desk.scrape(), None, "one at a time");
    desk.scraped(&scrape, Ok((5, 700, 6)));
    assert_eq!(desk.swarm(), Some((5, 6, Some(700))));
    let mut told = Vec::new();
    for _ in 0..6 {
        assert_eq!(desk.sleep(), HURRY_INTERVAL);
        desk.event().expect("hungry");
        desk.ok(1800, None);
        assert_eq!(desk.swarm(), Some((3, 4, Some(700))), "what it counts beside the peers is not forgotten");
        told.push(desk.scrape().is_some());
    }
    assert_eq!(told, [false, false, false, false, false, true], "six visits of 5 minutes are an interval");
}

#[test]
fn events_go_out_and_come_back_while_a_scrape_is_under_way_and_its_late_answer_is_ignored() {
    let mut desk = Desk::new(&[&[COUNTING]]);
    desk.event();
    desk.ok(1800, None);
    let first = desk.scrape().unwrap();
    desk.announcer.set_complete(true);
    assert_eq!(desk.sleep(), EVENT_GAP);
    assert_eq!(desk.event(), Some(AnnounceEvent::Completed), "it waits for no scrape");
    desk.ok(1800, None);
    desk.sleep();
    desk.event();
    desk.ok(1800, None);
    let second = desk.scrape().expect("the driver lost the first");
    desk.scraped(&first, Ok((9, 9, 9)));
    assert_eq!(desk.swarm(), Some((3, 4, None)), "late");
    desk.scraped(&second, Ok((8, 8, 8)));
    assert_eq!(desk.swarm(), Some((8, 8, Some(8))));
    desk.scraped(&second, Ok((7, 7, 7)));
    assert_eq!(desk.swarm(), Some((8, 8, Some(8))), "answered twice");
}

#[test]
fn a_tracker_that_will_not_count_is_left_alone_and_announced_to_as_before() {
    let no = || AnnounceFailure::Refused { reason: "no".into(), retry: None };
    let never = || AnnounceFailure::Forbidden("no way".into());
    // (how scrapes end, how many are asked in ten intervals)
    for (fails, asked) in [
        (None, 10),
        (Some(unreachable as fn() -> _), u32::from(SCRAPE_FAILURES_MAX)),
        (Some(no), 1),
        (Some(never), 1),
    ] {
        let mut desk = Desk::new(&[&[COUNTING]]);
        let mut count = 0;
        for _ in 0..10 {
            desk.event().expect("due");
            desk.ok(1800, None);
            if let Some(scrape) = desk.scrape() {
                count += 1;
                desk.scraped(&scrape, fails.map_or(Ok((1, 1, 1)), |fails| Err(fails())));
            }
            assert_eq!(desk.announcer.stats(desk.now)[0].failure, None, "no fault of a tracker's");
            assert_eq!(desk.sleep(), Duration::from_secs(1800));
        }
        assert_eq!(count, asked);
    }
}

#[test]
fn whom_bep_48_names_no_place_for_is_never_asked_for_counts() {
    for (url, is_asked) in [
        ("http://t.example/announce.php?key=1", true),
        ("udp://t.example:80", true),
        ("http://t.example/a", false),
        ("http://t.example/announce/x", false),
    ] {
        let mut desk = Desk::new(&[&[url]]);
        desk.event();
        desk.ok(1800, None);
        assert_eq!(desk.scrape().is_some(), is_asked, "{url}");
    }
}

#[test]
fn nobody_asks_for_counts_on_the_way_out() {
    let mut desk = Desk::new(&[&[COUNTING]]);
    desk.event();
    desk.ok(1800, None);
    desk.announcer.stop(desk.now);
    assert_eq!(desk.event(), Some(AnnounceEvent::Stopped));
    desk.answer(Ok(reply(1800, None)));
    assert_eq!(desk.event(), None);
    assert!(desk.announcer.is_idle());
}
