//! What is scarce is shared: the uplink beside slow takers, memory, slots, and patience with peers that refuse.

use super::rig::{Fate, ID, PLAIN, Rig, error};
use crate::command::Lease;
use crate::input::{DiskErrorKind, DiskOperation, Found, LinkEnd};
use crate::output::CloseReason;
use crate::pool::LEASE_DEFAULT;
use crate::{Command, Duration, Input, Instant, LinkId, ResumeRecord, SendToken, TorrentId};
use core::net::SocketAddr;
use wire::message::BlockRequest;
use wire::{Bitfield, Message, PeerId, Reserved};

const KIB: u32 = 1024;

/// Keeps a window of requests with us.
fn keep_asking(rig: &mut Rig, link: LinkId) {
    while rig.peer(link).requests_in < 100 {
        rig.say(link, Message::Request(BlockRequest { piece: 7, offset: 0, len: 16 * KIB }));
    }
}

/// Lets links take blocks for so long, each a block in its own time; says how many each took.
fn serve<const N: usize>(rig: &mut Rig, links: [(LinkId, u64); N], span: Duration) -> [u64; N] {
    let mut taken = [0; N];
    let mut out: Vec<(Instant, SendToken)> = Vec::new();
    let mut busy_until = [rig.now; N];
    let end = rig.now + span;
    while rig.now < end {
        for (at, (link, millis)) in links.into_iter().enumerate() {
            keep_asking(rig, link);
            for (token, _) in rig.take_sends_of(link) {
                busy_until[at] = busy_until[at].max(rig.now) + Duration::from_millis(millis);
                out.push((busy_until[at], token));
            }
        }
        rig.pass(Duration::from_millis(1));
        for (_, token) in out.extract_if(.., |(done, _)| *done <= rig.now).collect::<Vec<_>>() {
            rig.feed(Input::Sent { token });
            taken[links.iter().position(|(link, _)| *link == token.link).unwrap()] += 1;
        }
    }
    taken
}

#[test]
fn takers_that_are_slow_do_not_hold_up_one_that_is_fast() {
    let mut rig = Rig::seed(400, 32 * KIB);
    // Two that take 8 KB/s, one of 3 MB/s.
    let links = [(rig.taker(PLAIN), 2_000), (rig.taker(PLAIN), 2_000), (rig.taker(PLAIN), 5)];
    let taken = serve(&mut rig, links, Duration::from_secs(20));
    println!("{taken:?} blocks in 20 s");
    assert!(taken[2] * 16 * 1024 > 20 * 1_500_000, "{taken:?}");
    assert!(taken[0] >= 9 && taken[1] >= 9, "{taken:?}");
}

/// A downloader with eight of 64 pieces.
fn with_eight_pieces() -> Rig {
    let have: Bitfield = Bitfield::from_bytes(&[0xff, 0, 0, 0, 0, 0, 0, 0], 64).expect("of 64 pieces");
    let record = ResumeRecord { have, open: Vec::new(), uploaded: 0, downloaded: 0 };
    let mut rig = Rig::opening(64, 32 * KIB, Some(record));
    rig.feed(Input::Opened { torrent: ID, found: Found::AsRecorded });
    rig
}

/// Takes all that it is given for so long, over a line on which as much leaves in a millisecond as was asked for; says how much.
fn take_all(rig: &mut Rig, link: LinkId, span: Duration) -> u64 {
    let (began, mut taken) = (rig.now, 0);
    while rig.now - began < span {
        if !rig.peer(link).am_choking {
            keep_asking(rig, link);
        }
        for (token, block) in rig.take_sends_of(link) {
            taken += u64::from(block.len);
            rig.feed(Input::Sent { token });
        }
        rig.pass(Duration::from_millis(1));
    }
    taken
}

/// What a newcomer may take of us before it is called a drain, and what may be on its way by then.
const BY_A_NEWCOMER: u64 = (4 * 32 * KIB + 256 * KIB + 100 * 16 * KIB) as u64;
const TRICKLE: u64 = 64 * KIB as u64;

#[test]
fn a_drain_gets_no_more_than_a_trickle_while_we_fetch_although_nobody_else_wants_its_slot() {
    let mut rig = with_eight_pieces();
    let drain = rig.taker(PLAIN);
    let taken = take_all(&mut rig, drain, Duration::from_secs(120));
    let most = BY_A_NEWCOMER + 120 * TRICKLE;
    println!("{taken} bytes in 120 s, at most {most}");
    assert!(taken > u64::from(4 * 32 * KIB), "it may be a newcomer: {taken}");
    assert!(taken <= most, "{taken} bytes");
}

#[test]
fn a_drain_that_hangs_up_and_comes_back_has_the_trickle_that_it_would_have_had_and_no_more() {
    let mut rig = with_eight_pieces();
    let mut taken = 0;
    for visit in 0..3 {
        let drain = rig.link_from(SocketAddr::from(([90, 1, 1, 1], 7000 + visit)), PLAIN);
        rig.say(drain, Message::Interested);
        taken += take_all(&mut rig, drain, Duration::from_secs(60));
        rig.feed(Input::LinkDown { link: drain, why: LinkEnd::ByPeer });
    }
    let (least, most) = (120 * TRICKLE, BY_A_NEWCOMER + 180 * TRICKLE);
    println!("{taken} bytes in 180 s, {least} to {most}");
    assert!((least..=most).contains(&taken), "{taken} bytes");
}

#[test]
fn who_took_more_than_there_is_has_a_trickle_while_we_fetch_whatever_it_shows() {
    let mut rig = with_eight_pieces();
    let mut visit = |port: u16| {
        let cheat = rig.link_from(SocketAddr::from(([90, 1, 1, 1], port)), PLAIN);
        rig.say(cheat, Message::Interested);
        (8..64).for_each(|piece| rig.say(cheat, Message::Have(piece)));
        let taken = take_all(&mut rig, cheat, Duration::from_secs(5));
        rig.feed(Input::LinkDown { link: cheat, why: LinkEnd::ByPeer });
        taken
    };
    let shown = u64::from(56 * 32 * KIB);
    let first = visit(7000);
    assert!(first > shown, "what it shows is believed: {first}");
    let (taken, most) = ((7001..7009).map(visit).sum::<u64>(), BY_A_NEWCOMER + 45 * TRICKLE);
    println!("{first} bytes, and {taken} in 40 s of eight more visits, at most {most}");
    assert!(taken <= most, "until it is too much: {taken}");
}

#[test]
fn silent_peers_that_fill_memory_with_promises_do_not_hold_up_one_that_has_what_nobody_else_has() {
    let mut rig = Rig::leech(64, 64 * KIB);
    rig.feed(Input::Command(Command::Lease(Lease { buffer: u64::from(4 * 64 * KIB), ..LEASE_DEFAULT })));
    let promise = |rig: &mut Rig, pieces: &[u8; 8]| {
        let link = rig.link(PLAIN);
        rig.say(link, Message::Bitfield(pieces.as_slice().into()));
        rig.say(link, Message::Unchoke);
        link
    };
    let liars: Vec<LinkId> = (0..4).map(|_| promise(&mut rig, &[0xff, 0xff, 0, 0, 0, 0, 0, 0])).collect();
    let asked: Vec<Vec<BlockRequest>> = liars.iter().map(|&liar| rig.take_requests(liar)).collect();
    assert!(asked.iter().all(|asked| asked.len() == 4), "a piece each, which is all memory: {asked:?}");
    // One sends something, so that there is something to be spilled.
    assert_eq!(rig.block(liars[0], asked[0][0]), Fate::Kept);
    let honest = promise(&mut rig, &[0, 0, 0, 0, 0, 0, 0, 0xff]);
    assert_eq!(rig.take_requests(honest), [], "memory is full");
    for _ in 0..30 {
        rig.pass(Duration::from_millis(50));
        rig.run_disk();
    }
    let asked_then = rig.take_requests(honest);
    assert!(!asked_then.is_empty(), "held up by peers that send nothing");
    assert!(asked_then.iter().all(|request| request.piece >= 56), "{asked_then:?}");
    let called_back = |&liar: &LinkId| rig.sent(liar).iter().any(|said| matches!(said, Message::Cancel(_)));
    assert!(liars.iter().any(called_back));
}

#[test]
fn a_peer_that_serves_us_and_refuses_everything_is_asked_ever_less_and_left_in_the_end() {
    let mut rig = Rig::leech(64, 64 * KIB);
    let refuser = rig.source(Reserved::OURS);
    let begin = rig.now;
    let (mut refused, mut last_minute) = (0, 0);
    while rig.closed(refuser).is_none() {
        for request in rig.take_requests(refuser) {
            rig.say(refuser, Message::Reject(request));
            refused += 1;
            last_minute += u32::from(rig.now - begin > Duration::from_secs(60));
        }
        rig.pass(Duration::from_millis(20));
        rig.say(refuser, Message::KeepAlive);
        assert!(rig.now - begin < Duration::from_secs(300), "still asked after {refused} rejects");
    }
    println!("{refused} rejects in {:?}, {last_minute} after a minute", rig.now - begin);
    assert_eq!(rig.closed(refuser), Some(CloseReason::Useless));
    assert!(refused <= 60 && last_minute <= 16, "{refused} rejects, {last_minute} of them after a minute");
}

#[test]
fn a_peer_that_refuses_some_and_sends_some_is_asked_on() {
    let mut rig = Rig::leech(64, 64 * KIB);
    let moody = rig.source(Reserved::OURS);
    let (mut kept, mut turn) = (0, 0);
    while kept < 250 {
        let requests = rig.take_requests(moody);
        assert!(!requests.is_empty() || turn == 0, "asked no more after {kept} blocks");
        for request in requests {
            turn += 1;
            // Six of seven are refused.
            if turn % 7 == 0 {
                kept += u32::from(rig.block(moody, request) == Fate::Kept);
                rig.run_disk();
            } else {
                rig.say(moody, Message::Reject(request));
            }
        }
    }
    assert_eq!(rig.closed(moody), None);
}

#[test]
fn rejects_that_come_with_a_choke_cost_a_peer_nothing() {
    let mut rig = Rig::leech(64, 64 * KIB);
    let source = rig.source(Reserved::OURS);
    for round in 0..40 {
        let requests = rig.take_requests(source);
        assert!(!requests.is_empty(), "not asked in round {round}");
        rig.say(source, Message::Choke);
        requests.into_iter().for_each(|request| rig.say(source, Message::Reject(request)));
        rig.pass(Duration::from_secs(10));
        rig.say(source, Message::Unchoke);
    }
    assert_eq!(rig.closed(source), None);
}

#[test]
fn rejects_that_come_just_before_a_choke_cost_a_peer_nothing() {
    let mut rig = Rig::leech(64, 64 * KIB);
    let source = rig.source(Reserved::OURS);
    for round in 0..40 {
        let requests = rig.take_requests(source);
        assert!(!requests.is_empty(), "not asked in round {round}");
        let mut again = Vec::new();
        for request in requests {
            rig.say(source, Message::Reject(request));
            // It is asked for others at once, which it rejects as well.
            again.extend(rig.take_requests(source));
        }
        again.into_iter().for_each(|request| rig.say(source, Message::Reject(request)));
        rig.pass(Duration::from_millis(200));
        rig.say(source, Message::Choke);
        rig.take_requests(source).into_iter().for_each(|request| rig.say(source, Message::Reject(request)));
        rig.pass(Duration::from_secs(10));
        rig.say(source, Message::Unchoke);
    }
    assert_eq!(rig.closed(source), None);
}

/// The torrent of this number beside the first, and a peer of it.
fn beside(rig: &mut Rig, number: u32, resume: Option<ResumeRecord>) -> LinkId {
    let torrent = TorrentId { slot: 100 + number, generation: 1 };
    let found = if resume.is_some() { Found::AsRecorded } else { Found::Nothing };
    rig.add(torrent, resume);
    rig.feed(Input::Opened { torrent, found });
    let remote = SocketAddr::from(([80, 9, number as u8, 1], 6881));
    rig.link_in(torrent, remote, PeerId([number as u8; 20]), PLAIN)
}

/// A torrent that filled its memory and waits for its writes, two more that may each have one piece all the same and wait for its hash,
/// and a source of another that is asked for nothing, for that is twice what was leased.
fn memory_full() -> (Rig, LinkId) {
    let mut rig = Rig::leech(64, 64 * KIB);
    rig.feed(Input::Command(Command::Lease(Lease { buffer: u64::from(64 * KIB), ..LEASE_DEFAULT })));
    let source = rig.source(PLAIN);
    while rig.deliver(source) > 0 {
        while let Some(piece) = rig.take_verify() {
            rig.verified(piece, true);
        }
    }
    rig.feed(Input::LinkDown { link: source, why: LinkEnd::ByPeer });
    let [_, _, other] = [2, 3, 1].map(|number| {
        let link = beside(&mut rig, number, None);
        rig.say(link, Message::Bitfield(Bitfield::full(64).to_bytes().into()));
        rig.say(link, Message::Unchoke);
        rig.deliver(link);
        link
    });
    rig.pass(Duration::from_secs(60));
    assert_eq!(rig.take_requests(other), [], "memory is full");
    (rig, other)
}

#[test]
fn memory_that_one_torrent_sets_free_is_asked_for_by_another() {
    let (mut rig, other) = memory_full();
    while let Some(piece) = rig.take_write() {
        rig.written(piece);
    }
    rig.pass(Duration::from_millis(100));
    assert_ne!(rig.take_requests(other), [], "its peer waits although there is memory");
}

#[test]
fn memory_that_goes_with_a_removed_torrent_is_asked_for_by_another() {
    let (mut rig, other) = memory_full();
    // Its disk is full: what it holds is never written.
    let (piece, attempt) = rig.take_write().expect("the piece in memory");
    let operation = DiskOperation::Write(piece, attempt);
    rig.feed(Input::StorageFailed { torrent: ID, operation, error: error(DiskErrorKind::Full) });
    rig.feed(Input::Command(Command::Remove(ID)));
    rig.pass(Duration::from_secs(10));
    assert_eq!(rig.take_requests(other), [], "memory is full");
    rig.feed(Input::Closed { torrent: ID });
    rig.pass(Duration::from_millis(100));
    assert_ne!(rig.take_requests(other), [], "its peer waits although there is memory");
}

#[test]
fn more_memory_is_used_at_once() {
    let (mut rig, other) = memory_full();
    rig.feed(Input::Command(Command::Lease(LEASE_DEFAULT)));
    rig.pass(Duration::from_millis(100));
    assert_ne!(rig.take_requests(other), [], "its peer waits although there is memory");
}

#[test]
fn with_more_torrents_than_slots_somebody_of_each_is_served_in_time() {
    let everything =
        || ResumeRecord { have: Bitfield::full(8), open: Vec::new(), uploaded: 0, downloaded: 0 };
    let mut rig = Rig::seed(8, 32 * KIB);
    rig.feed(Input::Command(Command::Lease(Lease { unchoke_slots: 2, ..LEASE_DEFAULT })));
    let links: Vec<LinkId> = (0..7).map(|number| beside(&mut rig, number, Some(everything()))).collect();
    // Nobody wants anything of the first torrent, though its peer was served a moment ago.
    let sated = rig.taker(PLAIN);
    rig.say(sated, Message::NotInterested);
    links.iter().for_each(|&link| rig.say(link, Message::Interested));
    for _ in 0..150 {
        rig.pass(Duration::from_secs(1));
        links.iter().chain([&sated]).for_each(|&link| rig.say(link, Message::KeepAlive));
    }
    for link in links {
        assert!(rig.sent(link).contains(&Message::Unchoke), "{link:?} never had a turn");
    }
    assert!(rig.sent(sated).contains(&Message::Choke), "it wants nothing, and has a slot");
}
