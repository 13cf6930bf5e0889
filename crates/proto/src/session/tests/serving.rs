//! Serving: whose block leaves when, what a choke takes back, limits, news to peers.

use super::rig::{Fate, ID, PLAIN, Rig};
use crate::command::{Lease, SeedGoal};
use crate::event::{Event, StageName};
use crate::input::{LinkEnd, Unsent};
use crate::output::CloseReason;
use crate::torrent::suggesting::OPEN_MAX;
use crate::{Command, Duration, Input, LinkId, Output, SendToken};
use std::sync::Arc;
use wire::message::BlockRequest;
use wire::{Message, Reserved};

const KIB: u32 = 1024;
const LEASE: Lease = Lease { up: None, down: None, unchoke_slots: 4, links: 100, buffer: 64 * 1024 * 1024 };

fn request(block: u32) -> BlockRequest {
    BlockRequest { piece: block / 2, offset: block % 2 * 16 * KIB, len: 16 * KIB }
}

fn ask(rig: &mut Rig, link: LinkId, blocks: u32) {
    (0..blocks).for_each(|block| rig.say(link, Message::Request(request(block))));
}

#[test]
fn the_first_interested_peer_is_served_at_once_and_the_next_within_a_second() {
    let mut rig = Rig::seed(8, 32 * KIB);
    let first = rig.link(PLAIN);
    rig.say(first, Message::Interested);
    rig.pass(Duration::ZERO);
    assert!(rig.sent(first).contains(&Message::Unchoke));
    let second = rig.link(PLAIN);
    rig.say(second, Message::Interested);
    rig.pass(Duration::from_millis(1_000));
    assert!(rig.sent(second).contains(&Message::Unchoke));
}

#[test]
fn no_more_peers_are_served_than_there_are_slots_and_everybody_has_a_turn() {
    let mut rig = Rig::seed(8, 32 * KIB);
    rig.feed(Input::Command(Command::Lease(LEASE)));
    let links: Vec<LinkId> = (0..12).map(|_| rig.link(PLAIN)).collect();
    links.iter().for_each(|&link| rig.say(link, Message::Interested));
    for _ in 0..100 {
        rig.pass(Duration::from_secs(10));
        links.iter().for_each(|&link| rig.say(link, Message::KeepAlive));
        let served = rig.session.peers(ID).iter().filter(|peer| !peer.am_choking).count();
        assert!(served <= 5, "{served} with 4 slots and one for turns");
    }
    for &link in &links {
        assert!(rig.sent(link).contains(&Message::Unchoke), "{link:?} never had a turn");
    }
}

#[test]
fn a_slow_uplink_holds_one_block_so_that_a_request_of_ours_need_not_wait() {
    let mut rig = Rig::seed(40, 32 * KIB);
    let links = [rig.taker(PLAIN), rig.taker(PLAIN), rig.taker(PLAIN)];
    links.iter().for_each(|&link| ask(&mut rig, link, 20));
    let mut turns = [0; 3];
    for round in 0..30 {
        let sends = rig.take_sends();
        assert_eq!(sends.len(), 1, "round {round}: one block of 16 KiB is 131 ms at 1 Mbit/s");
        let (token, _) = sends[0];
        turns[links.iter().position(|&link| link == token.link).unwrap()] += 1;
        rig.pass(Duration::from_millis(131));
        rig.feed(Input::Sent { token });
    }
    assert_eq!(turns, [10, 10, 10]);
}

#[test]
fn a_fast_uplink_is_kept_busy_within_its_credit() {
    let mut rig = Rig::seed(400, 32 * KIB);
    let link = rig.taker(PLAIN);
    let mut most = 0;
    let mut waiting: Vec<SendToken> = Vec::new();
    for _ in 0..2_000 {
        while rig.peer(link).requests_in < 100 {
            rig.say(link, Message::Request(request(7)));
        }
        waiting.extend(rig.take_sends().into_iter().map(|(token, _)| token));
        most = most.max(waiting.len());
        // 16 blocks a millisecond: 256 MB/s.
        rig.pass(Duration::from_millis(1));
        for token in waiting.drain(..waiting.len().min(16)) {
            rig.feed(Input::Sent { token });
        }
        rig.wishes.retain(|wish| matches!(wish, Output::SendBlock { .. }));
    }
    assert!(most > 16, "{most}");
    assert!(most <= 64, "1 MiB a link: {most}");
}

#[test]
fn a_choke_recalls_what_is_out_and_rejects_wait_for_the_answer() {
    let mut rig = Rig::seed(4_000, 32 * KIB);
    let link = rig.taker(Reserved::OURS);
    ask(&mut rig, link, 3);
    let (token, block) = rig.take_sends()[0];
    rig.feed(Input::Command(Command::Lease(Lease { unchoke_slots: 0, ..LEASE })));
    rig.pass(Duration::from_secs(10));
    assert!(rig.sent(link).contains(&Message::Choke));
    assert!(rig.wishes.iter().any(|wish| matches!(wish, Output::Unsend { token: out } if *out == token)));
    let rejected = |rig: &Rig, request| rig.sent(link).contains(&Message::Reject(request));
    assert!(!rejected(&rig, block.into()), "it may be on its way");
    assert!(rejected(&rig, request(1)) && rejected(&rig, request(2)));
    rig.feed(Input::Unsent { token, why: Unsent::Recalled });
    assert!(rejected(&rig, block.into()));
    assert_eq!(rig.peer(link).requests_in, 0);
}

#[test]
fn a_cancelled_request_is_not_answered_and_a_stale_token_is_ignored() {
    let mut rig = Rig::seed(8, 32 * KIB);
    let link = rig.taker(PLAIN);
    ask(&mut rig, link, 2);
    rig.say(link, Message::Cancel(request(1)));
    let (token, _) = rig.take_sends()[0];
    rig.feed(Input::Sent { token });
    assert_eq!(rig.take_sends(), []);
    assert_eq!(rig.stats().uploaded, 16 * u64::from(KIB));
    for stale in [token, SendToken { sequence: 900, ..token }] {
        rig.feed(Input::Sent { token: stale });
        rig.feed(Input::Unsent { token: stale, why: Unsent::Recalled });
    }
    assert_eq!(rig.stats().uploaded, 16 * u64::from(KIB), "told twice");
    assert_eq!(rig.closed(link), None);
}

#[test]
fn the_upload_limit_holds_over_all_links() {
    let mut rig = Rig::seed(400, 32 * KIB);
    rig.feed(Input::Command(Command::Lease(Lease { up: Some(100_000), ..LEASE })));
    let links = [rig.taker(PLAIN), rig.taker(PLAIN)];
    let mut sent = 0;
    for _ in 0..1_000 {
        for link in links {
            while rig.peer(link).requests_in < 10 {
                rig.say(link, Message::Request(request(3)));
            }
        }
        for (token, block) in rig.take_sends() {
            sent += u64::from(block.len);
            rig.feed(Input::Sent { token });
        }
        rig.pass(Duration::from_millis(10));
        rig.wishes.retain(|wish| matches!(wish, Output::SendBlock { .. }));
    }
    assert!((960_000..=1_050_000).contains(&sent), "{sent} in 10 s at 100,000 a second");
}

#[test]
fn the_download_limit_stops_reading_and_goes_on() {
    let mut rig = Rig::leech(100, 32 * KIB);
    rig.feed(Input::Command(Command::Lease(Lease { down: Some(50_000), ..LEASE })));
    let source = rig.source(PLAIN);
    let (mut reading, mut came, mut asked) = (true, 0, Vec::new());
    for _ in 0..1_000 {
        asked.extend(rig.take_requests(source));
        if reading && !asked.is_empty() {
            let next = asked.remove(0);
            rig.block(source, next);
            came += next.len;
        }
        asked.extend(rig.take_requests(source));
        rig.pass(Duration::from_millis(10));
        for wish in rig.wishes.drain(..) {
            match wish {
                Output::PauseReading { .. } => reading = false,
                Output::ResumeReading { .. } => reading = true,
                _ => {}
            }
        }
    }
    assert!((450_000..=530_000).contains(&came), "{came} in 10 s at 50,000 a second");
}

#[test]
fn news_goes_to_peers_in_one_shared_batch_and_a_newcomer_hears_only_what_it_lacks() {
    let mut rig = Rig::leech(6, 32 * KIB);
    let source = rig.source(PLAIN);
    let (one, two) = (rig.link(PLAIN), rig.link(PLAIN));
    let asked = rig.take_requests(source);
    asked.iter().for_each(|&request| assert_eq!(rig.block(source, request), Fate::Kept));
    let first = rig.take_verify().unwrap();
    rig.verified(first, true);
    let newcomer = rig.link(PLAIN);
    let second = rig.take_verify().unwrap();
    rig.verified(second, true);
    rig.pass(Duration::from_millis(50));
    let news = |link: LinkId| {
        rig.wishes.iter().find_map(|wish| match wish {
            Output::Haves { link: to, pieces } if *to == link => Some(Arc::clone(pieces)),
            _ => None,
        })
    };
    let (for_one, for_two) = (news(one).unwrap(), news(two).unwrap());
    assert!(Arc::ptr_eq(&for_one, &for_two));
    assert_eq!(*for_one, [first.0, second.0]);
    assert_eq!(*news(newcomer).unwrap(), [second.0], "the first was in its bitfield");
    assert_eq!(news(source), None, "a seed need not know");
}

#[test]
fn a_torrent_stops_when_its_seeding_goal_is_reached() {
    let goal = SeedGoal { ratio_permille: None, time: Some(Duration::from_secs(60)) };
    let mut rig = Rig::seed(2, 32 * KIB);
    let link = rig.link(PLAIN);
    rig.feed(Input::Command(Command::SetSeedGoal(ID, goal)));
    rig.pass(Duration::from_secs(59));
    assert_eq!(rig.stats().stage, StageName::Seeding);
    rig.pass(Duration::from_secs(2));
    assert!(rig.told(&Event::SeedGoalReached(ID)));
    assert_eq!(rig.stats().stage, StageName::Paused);
    assert_eq!(rig.closed(link), Some(CloseReason::TorrentStopped));
    rig.feed(Input::Command(Command::Resume(ID)));
    rig.pass(Duration::from_secs(600));
    assert_eq!(rig.stats().stage, StageName::Seeding, "the user went on");
}

#[test]
fn a_pause_does_not_count_as_seeding_and_the_goal_still_holds_after_it() {
    let goal = SeedGoal { ratio_permille: None, time: Some(Duration::from_secs(60)) };
    let mut rig = Rig::seed(2, 32 * KIB);
    rig.feed(Input::Command(Command::SetSeedGoal(ID, goal)));
    rig.pass(Duration::from_secs(20));
    rig.feed(Input::Command(Command::Pause(ID)));
    rig.run_disk();
    rig.pass(Duration::from_secs(3600));
    assert_eq!(rig.stats().seeding_for, Duration::from_secs(20));
    rig.feed(Input::Command(Command::Resume(ID)));
    rig.pass(Duration::from_secs(39));
    rig.feed(Input::Wake);
    assert_eq!((rig.stats().stage, rig.stats().seeding_for), (StageName::Seeding, Duration::from_secs(59)));
    rig.pass(Duration::from_secs(2));
    assert!(rig.told(&Event::SeedGoalReached(ID)));
}

#[test]
fn a_session_a_torrent_and_a_peer_stay_small() {
    let sizes = [
        ("Session", size_of::<crate::Session>(), 656),
        ("Torrent", size_of::<crate::torrent::Torrent>(), 1_680),
        ("Peer", size_of::<crate::peer::Peer>(), 680),
    ];
    for (name, bytes, most) in sizes {
        println!("{name}: {bytes} bytes");
        assert!(bytes <= most, "{name} grew to {bytes} bytes");
    }
}

/// What a peer was told to fetch first.
fn suggested(rig: &Rig, link: LinkId) -> Vec<u32> {
    let piece = |message| match message {
        Message::Suggest(piece) => Some(piece),
        _ => None,
    };
    rig.sent(link).into_iter().filter_map(piece).collect()
}

#[test]
fn each_peer_that_is_served_is_told_to_fetch_other_pieces_that_nobody_has() {
    let mut rig = Rig::seed(40, 16 * KIB);
    let links = [rig.taker(Reserved::OURS), rig.taker(Reserved::OURS), rig.taker(Reserved::OURS)];
    let mut told: Vec<u32> = links.iter().flat_map(|&link| suggested(&rig, link)).collect();
    assert_eq!(told.len(), 3 * OPEN_MAX, "{told:?}");
    told.sort_unstable();
    told.dedup();
    assert_eq!(told.len(), 3 * OPEN_MAX, "nobody is told what another was");
    let plain = rig.taker(PLAIN);
    assert_eq!(suggested(&rig, plain), [0; 0], "it does not know the message");
}

#[test]
fn a_suggestion_that_is_followed_makes_room_for_one_more_and_no_other_does() {
    let mut rig = Rig::seed(40, 16 * KIB);
    let link = rig.taker(Reserved::OURS);
    let send = |rig: &mut Rig, piece: u32| {
        rig.say(link, Message::Request(BlockRequest { piece, offset: 0, len: 16 * KIB }));
        let (token, _) = rig.take_sends()[0];
        rig.pass(Duration::from_millis(200));
        rig.feed(Input::Sent { token });
    };
    let first = suggested(&rig, link);
    let other = (0..40).find(|piece| !first.contains(piece)).unwrap();
    send(&mut rig, other);
    assert_eq!(suggested(&rig, link), first, "two are enough");
    rig.say(link, Message::Have(first[0]));
    send(&mut rig, first[1]);
    let then = suggested(&rig, link);
    assert_eq!(then.len(), first.len() + 1);
    assert!(!then[..2].contains(&then[2]), "{then:?}");
}

#[test]
fn nothing_is_suggested_that_somebody_has() {
    let mut rig = Rig::seed(40, 16 * KIB);
    let holder = rig.link(Reserved::OURS);
    rig.say(holder, Message::Bitfield([0xff, 0xff, 0xff, 0xff, 0xfe].to_vec().into()));
    for round in 0..20 {
        let link = rig.taker(Reserved::OURS);
        let told = suggested(&rig, link);
        assert_eq!(told, [39], "round {round}: who left makes room");
        rig.feed(Input::LinkDown { link, why: LinkEnd::ByPeer });
    }
}

#[test]
fn a_super_seed_suggests_nothing() {
    let mut rig = Rig::super_seed(40, 16 * KIB);
    let links: Vec<LinkId> = (0..4).map(|_| rig.link(Reserved::OURS)).collect();
    links.iter().for_each(|&link| rig.say(link, Message::HaveNone));
    rig.pass(Duration::from_secs(1));
    let shown = rig.wishes.iter().filter(|wish| matches!(wish, Output::Haves { .. })).count();
    links.iter().for_each(|&link| rig.say(link, Message::Interested));
    rig.pass(Duration::from_secs(5));
    assert!(shown >= 2, "{shown}");
    let served = links.iter().filter(|&&link| rig.sent(link).contains(&Message::Unchoke)).count();
    assert!(served > 0, "it serves whom it shows pieces");
    links.iter().for_each(|&link| assert_eq!(suggested(&rig, link), [0; 0]));
}
