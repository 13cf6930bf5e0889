//! Who hears of whom. Threats: C13

use super::*;
use crate::Seed;

const TORRENT: InfoHash = InfoHash([7; 20]);
const START: Instant = Instant::from_micros(1_000_000_000);

fn peer(n: u8) -> PeerId {
    PeerId([n; 20])
}

fn offers(count: u8) -> Vec<Offer> {
    (0..count).map(|n| Offer { id: OfferId([n; 20]), sdp: format!("offer {n}").into() }).collect()
}

fn announce(n: u8, left: Option<u64>, offers: Vec<Offer>) -> Announce {
    Announce { info_hash: TORRENT, peer_id: peer(n), left, event: AnnounceEvent::None, offers }
}

struct Room {
    signalling: Signalling,
    rng: Rng,
    now: Instant,
}

impl Room {
    fn new(rules: Rules) -> Room {
        Room { signalling: Signalling::new(rules), rng: Rng::new(Seed(1)), now: START }
    }

    fn announce(&mut self, visitor: u64, announce: Announce) -> Says {
        let mut says = Vec::new();
        self.signalling.on_announce(self.now, VisitorId(visitor), announce, &mut self.rng, &mut says);
        says
    }

    /// A visitor of its own for each.
    fn come(&mut self, numbers: impl IntoIterator<Item = u8>, left: u64) {
        for n in numbers {
            self.announce(n.into(), announce(n, Some(left), Vec::new()));
        }
    }

    fn answer(&mut self, visitor: u64, answer: Answer) -> Says {
        let mut says = Vec::new();
        self.signalling.on_answer(self.now, VisitorId(visitor), answer, &mut says);
        says
    }
}

fn answer(from: u8, to: u8, offer: u8) -> Answer {
    let sdp = "answer".into();
    Answer { info_hash: TORRENT, peer_id: peer(from), to: peer(to), offer: OfferId([offer; 20]), sdp }
}

fn offered(says: &Says) -> Vec<(u64, OfferId)> {
    let offered = says.iter().filter_map(|(to, said)| match said {
        Reply::Offered { offer, .. } => Some((to.0, offer.id)),
        _ => None,
    });
    offered.collect()
}

fn refused(says: &Says) -> Option<&str> {
    says.iter().find_map(|(_, said)| match said {
        Reply::Refused { reason, .. } => Some(&**reason),
        _ => None,
    })
}

#[test]
fn offers_go_to_different_others_and_each_answer_finds_home_once() {
    let mut room = Room::new(Rules::default());
    room.come(1..=3, 5);
    let says = room.announce(9, announce(9, None, offers(5)));
    let mut given = offered(&says);
    assert!(
        matches!(&says[3], (VisitorId(9), Reply::Announced { interval: 120, counts, .. }) if counts.leechers == 4)
    );
    assert_eq!(given.len(), 3, "one for each of the others, and none for itself");
    given.sort_unstable();
    assert_eq!(given.iter().map(|(to, _)| *to).collect::<Vec<_>>(), [1, 2, 3]);
    let (to, offer) = given[1];
    let (n, offer) = (to as u8, offer.0[0]);
    let said = room.answer(to, answer(n, 9, offer));
    assert_eq!(said, [(VisitorId(9), Reply::Answered(answer(n, 9, offer)))]);
    assert!(refused(&room.answer(to, answer(n, 9, offer))).is_some(), "once");
}

#[test]
fn an_answer_that_nobody_asked_for_reaches_nobody() {
    let mut room = Room::new(Rules::default());
    room.come([1, 2, 3], 5);
    let given = offered(&room.announce(9, announce(9, None, offers(1))));
    let [(chosen, offer)] = given[..] else { panic!("{given:?}") };
    let offer = offer.0[0];
    let (chosen, other) = (chosen as u8, 1 + chosen as u8 % 3);
    for (visitor, wrong, why) in [
        (other, answer(other, 9, offer), "the offer was not for it"),
        (other, answer(chosen, 9, offer), "it goes by another's name"),
        (chosen, answer(chosen, 9, offer + 1), "no such offer"),
        (chosen, answer(chosen, other, offer), "another made it"),
        (50, answer(50, 9, offer), "it takes no part"),
        (chosen, Answer { info_hash: InfoHash([8; 20]), ..answer(chosen, 9, offer) }, "another torrent"),
    ] {
        let says = room.answer(visitor.into(), wrong);
        assert!(refused(&says).is_some() && says.len() == 1, "{why}: {says:?}");
        assert_eq!(says[0].0, VisitorId(visitor.into()), "{why}");
    }
    room.now += OFFER_LIFETIME;
    assert!(refused(&room.answer(chosen.into(), answer(chosen, 9, offer))).is_some(), "too late");
}

#[test]
fn seeds_hear_of_leechers_alone_and_are_counted_apart() {
    let mut room = Room::new(Rules::default());
    room.come(1..=5, 0);
    room.come(6..=8, 1);
    let mut given = offered(&room.announce(9, announce(9, Some(0), offers(10))));
    given.sort_unstable();
    assert_eq!(given.iter().map(|(to, _)| *to).collect::<Vec<_>>(), [6, 7, 8]);
    let partial = Announce { event: AnnounceEvent::Paused, ..announce(10, Some(1), offers(10)) };
    let given = offered(&room.announce(10, partial));
    assert!(given.iter().all(|(to, _)| (6..=8).contains(to)) && given.len() == 3, "{given:?}");
    let counts = ScrapeCounts { seeders: 6, completed: 0, leechers: 4 };
    assert_eq!(room.signalling.scrape(TORRENT), counts);
    room.announce(6, Announce { event: AnnounceEvent::Completed, ..announce(6, Some(0), Vec::new()) });
    let counts = ScrapeCounts { seeders: 7, completed: 1, leechers: 3 };
    assert_eq!(room.signalling.scrape(TORRENT), counts);
}

#[test]
fn of_many_everybody_is_met_about_as_often() {
    let mut room = Room::new(Rules::default());
    room.come(1..=100, 5);
    let mut met = [0u32; 101];
    for _ in 0..1000 {
        let given = offered(&room.announce(200, announce(200, None, offers(5))));
        let distinct: BTreeSet<_> = given.iter().map(|(to, _)| to).collect();
        assert_eq!(distinct.len(), given.len());
        given.iter().for_each(|(to, _)| met[*to as usize] += 1);
    }
    // 50 each in the mean, with a deviation of 7.
    assert!(met[1..].iter().all(|&times| (20..=85).contains(&times)), "{met:?}");
}

#[test]
fn a_name_belongs_to_whom_it_was_given_until_he_leaves() {
    let mut room = Room::new(Rules::default());
    room.come([1], 5);
    assert!(refused(&room.announce(2, announce(1, Some(0), offers(1)))).is_some());
    let stop = |n| Announce { event: AnnounceEvent::Stopped, ..announce(n, Some(5), Vec::new()) };
    room.announce(2, stop(1));
    assert_eq!(room.signalling.scrape(TORRENT).leechers, 1, "nobody stops another");
    room.announce(1, stop(1));
    assert_eq!((room.signalling.members(), room.signalling.swarms()), (0, 0));
    assert!(refused(&room.announce(2, announce(1, Some(0), Vec::new()))).is_none());
}

#[test]
fn whose_connection_is_gone_is_gone_everywhere_and_gets_no_answers() {
    let mut room = Room::new(Rules::default());
    room.come([1], 5);
    let given = offered(&room.announce(9, announce(9, None, offers(1))));
    let other = Announce { info_hash: InfoHash([8; 20]), ..announce(9, Some(0), Vec::new()) };
    room.announce(9, other);
    assert_eq!((room.signalling.members(), room.signalling.swarms()), (3, 2));
    room.signalling.on_closed(VisitorId(9));
    assert_eq!((room.signalling.members(), room.signalling.swarms()), (1, 1));
    let says = room.answer(1, answer(1, 9, given[0].1.0[0]));
    assert_eq!(says.len(), 1);
    assert!(refused(&says).is_some());
}

#[test]
fn everything_is_bounded_for_one_visitor_and_for_all() {
    let rules = Rules { members_max: 20, memberships_max: 15, offers_max: 30, ..Rules::default() };
    let mut room = Room::new(rules);
    let torrent = |n: u8| Announce { info_hash: InfoHash([n; 20]), ..announce(1, None, Vec::new()) };
    let kept = (0..30).filter(|&n| refused(&room.announce(1, torrent(n))).is_none()).count();
    assert_eq!(kept, 15, "memberships of one");
    let kept =
        (2..30).filter(|&n| refused(&room.announce(n.into(), announce(n, None, Vec::new()))).is_none());
    assert_eq!(kept.count(), 5, "members of all");
    assert_eq!(room.signalling.members(), 20);
    // One that makes offers without end holds its own part of them, and later but a few.
    let mut most = 0;
    for n in 0..200u8 {
        let offers = vec![Offer { id: OfferId([n; 20]), sdp: "v=0".into() }];
        room.announce(2, announce(2, None, offers));
        most = most.max(room.signalling.open.len());
    }
    assert!(most <= 31, "{most}");
    assert!(room.signalling.visitors[&VisitorId(2)].offers.len() <= OFFERS_OPEN_MAX);
}

#[test]
fn whoever_takes_much_leaves_room_for_all_others() {
    let rules = Rules { members_max: 200, memberships_max: 90, ..Rules::default() };
    let mut room = Room::new(rules);
    let mut enters = |visitor: u64, n: u8| {
        let info_hash = InfoHash([n; 20]);
        let announce = Announce { info_hash, ..announce(visitor as u8, Some(0), Vec::new()) };
        let says = room.announce(visitor, announce);
        let is_in = refused(&says).is_none();
        assert!(is_in || says.len() == 1);
        is_in
    };
    let scarce = MEMBERSHIPS_SCARCE_MAX as u8;
    // Two take half of all places.
    assert!((0..90).all(|n| enters(1, n)) && !enters(1, 90));
    assert!((0..10).all(|n| enters(2, n)));
    // From now on everybody may have a few; who has more keeps them, and takes no further ones.
    assert!((10..scarce).all(|n| enters(2, n)) && !enters(2, scarce));
    assert!(enters(1, 0) && !enters(1, 90));
    for visitor in 3..=6 {
        assert!((0..scarce).all(|n| enters(visitor, n)) && !enters(visitor, scarce), "{visitor}");
    }
    // There is room again.
    [1, 3].into_iter().for_each(|visitor| room.signalling.on_closed(VisitorId(visitor)));
    let announce = Announce { info_hash: InfoHash([99; 20]), ..announce(2, Some(0), Vec::new()) };
    assert_eq!(refused(&room.announce(2, announce)), None);
    check(&room.signalling);
}

#[test]
fn who_stays_away_is_forgotten_and_so_are_offers_that_nobody_answers() {
    let mut room = Room::new(Rules::default());
    room.come(1..=100, 5);
    room.announce(1, announce(1, Some(5), offers(10)));
    assert_eq!(room.signalling.open.len(), 10);
    room.now += OFFER_LIFETIME;
    for _ in 0..100 {
        room.signalling.sweep(room.now);
    }
    assert_eq!((room.signalling.open.len(), room.signalling.members()), (0, 100));
    room.now += Duration::from_secs(181);
    room.come([50], 5);
    for _ in 0..100 {
        room.signalling.sweep(room.now);
    }
    assert_eq!(room.signalling.members(), 1);
    assert_eq!(room.signalling.scrape(TORRENT).leechers, 1);
}

/// Seeded visitors do what they please; what must hold does.
#[test]
fn whatever_visitors_do_places_and_counts_agree() {
    for seed in 0..20 {
        let mut room = Room::new(Rules { members_max: 60, ..Rules::default() });
        let mut chance = Rng::new(Seed(seed));
        for _ in 0..2000 {
            let visitor = u64::from(chance.below(12));
            let n = chance.below(30) as u8;
            let info_hash = InfoHash([chance.below(3) as u8; 20]);
            room.now += Duration::from_millis(u64::from(chance.below(2000)));
            match chance.below(20) {
                0 => room.signalling.on_closed(VisitorId(visitor)),
                1..=4 => {
                    let answer =
                        Answer { info_hash, ..answer(n, chance.below(30) as u8, chance.below(6) as u8) };
                    let says = room.answer(visitor, answer);
                    assert_eq!(says.len(), 1);
                }
                what => {
                    let events = [AnnounceEvent::None, AnnounceEvent::Stopped, AnnounceEvent::Completed];
                    let event = events[what as usize % 3];
                    let left = Some(u64::from(chance.below(2)));
                    let offers = offers(chance.below(6) as u8);
                    let says =
                        room.announce(visitor, Announce { info_hash, event, ..announce(n, left, offers) });
                    let to_itself = |(to, said): &(VisitorId, Reply)| {
                        matches!(said, Reply::Offered { .. })
                            && !room.signalling.visitors[to]
                                .memberships
                                .iter()
                                .any(|(hash, peer_id)| *hash == info_hash && *peer_id != peer(n))
                    };
                    assert!(!says.iter().any(to_itself), "seed {seed}");
                }
            }
            check(&room.signalling);
        }
    }
}

fn check(signalling: &Signalling) {
    let mut counted = 0;
    for (info_hash, swarm) in &signalling.swarms {
        assert!(!swarm.slab.is_empty() && swarm.seeds as usize <= swarm.slab.len());
        counted += swarm.slab.len();
        for (at, member) in swarm.slab.iter().enumerate() {
            let name = (*info_hash, member.peer_id);
            assert_eq!(signalling.members[&name].at as usize, at);
            assert!(signalling.visitors[&member.visitor].memberships.contains(&name));
        }
    }
    assert_eq!(counted, signalling.members.len());
    let memberships: usize = signalling.visitors.values().map(|visitor| visitor.memberships.len()).sum();
    assert_eq!(counted, memberships);
    for (given, open) in &signalling.open {
        assert!(
            signalling.visitors[&open.maker].offers.contains(given),
            "each open offer is forgotten with its maker"
        );
    }
}
