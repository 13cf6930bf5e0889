//! Links and what peers say: who is let in, what is returned when they go, every message in every state.

use super::rig::{Fate, ID, PLAIN, Rig};
use crate::command::Lease;
use crate::event::Event;
use crate::input::{LinkEnd, LinkUp};
use crate::output::CloseReason;
use crate::peer::conduct::CHOKED_REQUESTS_MAX;
use crate::pool::LEASE_DEFAULT;
use crate::{Command, Duration, Input, LinkId, Output, PeerMisbehaved, Rng, Seed};
use core::net::SocketAddr;
use wire::message::BlockRequest;
use wire::{Bitfield, Message, PeerId, PieceIndex, Reserved};

#[test]
fn a_choke_returns_blocks_to_the_picker() {
    let mut rig = Rig::leech(4, 64 * 1024);
    let first = rig.source(PLAIN);
    let asked = rig.take_requests(first);
    assert!(!asked.is_empty());
    rig.say(first, Message::Choke);
    let second = rig.source(PLAIN);
    assert_eq!(rig.take_requests(second), asked, "what the first was asked for");
}

#[test]
fn with_the_fast_extension_a_choke_returns_nothing_before_the_rejects() {
    let mut rig = Rig::leech(1, 64 * 1024);
    let first = rig.source(Reserved::OURS);
    let asked = rig.take_requests(first);
    assert_eq!(asked.len(), 4);
    rig.say(first, Message::Choke);
    let second = rig.source(Reserved::OURS);
    rig.take_requests(second);
    rig.say(first, Message::Reject(asked[0]));
    assert_eq!(rig.peer(first).requests_out, 3);
    assert_eq!(rig.block(first, asked[1]), Fate::Kept, "served in spite of the choke");
}

#[test]
fn a_duplicate_block_in_end_game_is_dropped_once_and_cancels_are_sent() {
    let mut rig = Rig::leech(1, 32 * 1024);
    let (first, second) = (rig.source(PLAIN), rig.source(PLAIN));
    let asked = rig.take_requests(first);
    assert_eq!(rig.take_requests(second).len(), asked.len(), "end-game asks twice");
    assert_eq!(rig.block(second, asked[0]), Fate::Kept);
    assert!(rig.sent(first).contains(&Message::Cancel(asked[0])), "{:?}", rig.sent(first));
    assert_eq!(rig.block(first, asked[0]), Fate::Dropped, "it was on its way");
    assert_eq!(rig.closed(first), None);
    assert_eq!(rig.stats().wasted, 16 * 1024);
}

#[test]
fn a_link_that_ends_returns_what_was_asked_and_forgets_the_peer() {
    let mut rig = Rig::leech(1, 64 * 1024);
    let first = rig.source(PLAIN);
    let asked = rig.take_requests(first);
    rig.feed(Input::LinkDown { link: first, why: LinkEnd::Broken });
    assert!(rig.told(&Event::PeerLeft(ID, first, CloseReason::Gone)));
    let second = rig.source(PLAIN);
    assert_eq!(rig.take_requests(second), asked);
    assert_eq!(rig.block(first, asked[0]), Fate::Dropped, "a block over a link that is gone");
    assert_eq!(rig.stats().peers, 1);
}

#[test]
fn who_is_let_in() {
    let us = PeerId(*b"-GN0100-ourselves---");
    let other = PeerId(*b"-XX0000-somebodyelse");
    let third = PeerId(*b"-XX0000-andathirdone");
    let public = |port| SocketAddr::from(([93, 184, 1, 1], port));
    let local = |port| SocketAddr::from(([192, 168, 1, 5], port));
    let loopback = |port| SocketAddr::from(([127, 0, 0, 1], port));
    for (first, second, want) in [
        ((public(1000), other), (SocketAddr::from(([93, 184, 1, 2], 1)), third), None),
        ((public(1000), other), (public(1001), third), Some(CloseReason::Duplicate)),
        ((local(1000), other), (local(1001), third), None),
        ((local(1000), other), (local(1001), other), Some(CloseReason::Duplicate)),
        ((loopback(1000), other), (loopback(1001), third), None),
        ((loopback(1000), other), (loopback(1000), third), Some(CloseReason::Duplicate)),
        ((public(1000), other), (local(7), us), Some(CloseReason::Ourselves)),
    ] {
        let mut rig = Rig::leech(2, 32 * 1024);
        let before = rig.link_as(first.0, first.1, PLAIN);
        let link = rig.link_as(second.0, second.1, PLAIN);
        assert_eq!(rig.closed(link), want, "{first:?} then {second:?}");
        assert_eq!(rig.closed(before), None);
    }
}

#[test]
fn of_two_links_dialled_at_once_both_ends_keep_the_same() {
    for (theirs, ours_stays) in
        [(PeerId(*b"-AA0000-lesser------"), true), (PeerId(*b"-ZZ0000-greater-----"), false)]
    {
        let mut rig = Rig::leech(2, 32 * 1024);
        let remote = SocketAddr::from(([93, 184, 1, 1], 6881));
        rig.feed(Input::Command(crate::Command::AddPeers(ID, vec![remote])));
        rig.pass(Duration::from_secs(1));
        let dial = rig.take(|wish| match wish {
            Output::Dial { dial, .. } => Some(*dial),
            _ => None,
        });
        let incoming = rig.link_as(SocketAddr::from(([93, 184, 1, 1], 50_000)), theirs, PLAIN);
        let link = LinkId { slot: 99, generation: 0 };
        rig.feed(Input::LinkUp(LinkUp {
            link,
            torrent: ID,
            remote,
            dial,
            peer_id: theirs,
            reserved: PLAIN,
            encrypted: false,
        }));
        assert_eq!(rig.closed(link).is_none(), ours_stays);
        assert_eq!(rig.closed(incoming).is_none(), !ours_stays);
    }
}

#[test]
fn two_seeds_part_and_so_do_partial_seeds() {
    let mut rig = Rig::seed(3, 32 * 1024);
    let link = rig.link(Reserved::OURS);
    rig.say(link, Message::HaveAll);
    assert_eq!(rig.closed(link), Some(CloseReason::Useless));
    let link = rig.link(Reserved::OURS);
    rig.say(link, Message::Extended { id: 0, body: b"d11:upload_onlyi1ee"[..].into() });
    assert_eq!(rig.closed(link), Some(CloseReason::Useless));
}

#[test]
fn a_silent_peer_is_left_and_a_talker_hears_from_us() {
    let mut rig = Rig::leech(2, 32 * 1024);
    let silent = rig.link(PLAIN);
    let talker = rig.link(PLAIN);
    for _ in 0..10 {
        rig.pass(Duration::from_secs(30));
        rig.say(talker, Message::KeepAlive);
    }
    assert_eq!(rig.closed(silent), Some(CloseReason::Idle));
    assert_eq!(rig.closed(talker), None);
    let keep_alives = rig.sent(talker).iter().filter(|message| **message == Message::KeepAlive).count();
    assert!((2..=4).contains(&keep_alives), "{keep_alives} in 300 s");
}

#[test]
fn requests_while_choked_are_rejected_and_end_the_link_when_they_do_not_stop() {
    let mut rig = Rig::seed(40, 32 * 1024);
    let link = rig.link(Reserved::OURS);
    let allowed: Vec<u32> = rig
        .sent(link)
        .iter()
        .filter_map(|message| match message {
            Message::AllowedFast(piece) => Some(*piece),
            _ => None,
        })
        .collect();
    assert_eq!(allowed.len(), 1, "one piece of 32");
    let piece = (0..40).find(|piece| !allowed.contains(piece)).unwrap();
    let request = BlockRequest { piece, offset: 0, len: 16 * 1024 };
    for at in 0..CHOKED_REQUESTS_MAX {
        rig.say(link, Message::Request(request));
        assert_eq!(rig.closed(link), None, "at {at}");
    }
    let rejects = rig.sent(link).iter().filter(|message| **message == Message::Reject(request)).count();
    assert_eq!(rejects, CHOKED_REQUESTS_MAX as usize);
    rig.say(link, Message::Request(request));
    assert_eq!(rig.fault(link), Some(PeerMisbehaved::RequestsWhileChoked));
    // What is allowed in spite of the choke is served.
    let other = rig.link(Reserved::OURS);
    let piece = rig.sent(other).iter().find_map(|message| match message {
        Message::AllowedFast(piece) => Some(*piece),
        _ => None,
    });
    rig.say(other, Message::Request(BlockRequest { piece: piece.unwrap(), offset: 0, len: 16 * 1024 }));
    assert_eq!(rig.take_sends().len(), 1);
}

#[test]
fn a_bitfield_instead_of_haves_is_taken_for_what_is_new_in_it() {
    let mut rig = Rig::leech(PIECES, LEN);
    let link = rig.link(Reserved::OURS);
    rig.say(link, Message::Bitfield([0b1000_0000, 0].as_slice().into()));
    rig.say(link, Message::Bitfield([0b1110_0000, 0].as_slice().into()));
    assert_eq!(rig.peer(link).pieces, 3);
    rig.say(link, Message::HaveAll);
    assert_eq!((rig.peer(link).pieces, rig.closed(link)), (PIECES, None));
}

#[test]
fn a_peer_that_loses_a_piece_is_not_asked_for_it() {
    let mut rig = Rig::leech(2, 32 * 1024);
    let link = rig.link(Reserved::OURS);
    rig.say(link, Message::HaveAll);
    rig.say(link, Message::Extended { id: 2, body: [0, 0, 0, 0].into() });
    rig.say(link, Message::Unchoke);
    let asked = rig.take_requests(link);
    assert!(!asked.is_empty() && asked.iter().all(|request| request.piece == 1), "{asked:?}");
}

/// The state of a link before a message comes.
#[derive(Clone, Copy, Debug)]
struct Model {
    fast: bool,
    extended: bool,
    /// What it said of its pieces: nothing, a have, a bitfield.
    announced: u32,
    peer_choking: bool,
    am_choking: bool,
    peer_interested: bool,
    seed: bool,
}

const PIECES: u32 = 9;
const LEN: u32 = 32 * 1024;

impl Model {
    fn all() -> impl Iterator<Item = Model> {
        (0..192).map(|bits: u32| Model {
            fast: bits & 1 != 0,
            extended: bits & 2 != 0,
            peer_choking: bits & 4 != 0,
            am_choking: bits & 8 != 0,
            peer_interested: bits & 16 != 0,
            seed: bits & 32 != 0,
            announced: bits / 64,
        })
    }

    /// A session whose link is in this state.
    fn build(self) -> (Rig, LinkId) {
        let mut rig = if self.seed { Rig::seed(PIECES, LEN) } else { Rig::leech(PIECES, LEN) };
        let mut reserved = Reserved([0; 8]);
        reserved.0[5] |= if self.extended { 0x10 } else { 0 };
        reserved.0[7] |= if self.fast { 0x04 } else { 0 };
        let link = rig.link(reserved);
        match self.announced {
            1 => rig.say(link, Message::Have(3)),
            2 => {
                let mut some = Bitfield::new(PIECES);
                some.insert(PieceIndex(2));
                rig.say(link, Message::Bitfield(some.to_bytes().into()));
            }
            _ => {}
        }
        if self.peer_interested || !self.am_choking {
            rig.say(link, Message::Interested);
        }
        if !self.am_choking {
            rig.pass(Duration::from_secs(2));
        }
        if !self.peer_interested && !self.am_choking {
            rig.say(link, Message::NotInterested);
        }
        if !self.peer_choking {
            rig.say(link, Message::Unchoke);
        }
        assert_eq!(rig.closed(link), None, "{self:?}");
        (rig, link)
    }

    /// What the protocol says of a message in this state.
    fn verdict(self, message: &Message) -> Option<PeerMisbehaved> {
        let in_range = |request: &BlockRequest| {
            let total = u64::from(PIECES) * u64::from(LEN) - 100;
            let start = u64::from(request.piece) * u64::from(LEN) + u64::from(request.offset);
            let end = start + u64::from(request.len);
            request.piece < PIECES
                && (1..=16 * 1024).contains(&request.len)
                && u64::from(request.offset) + u64::from(request.len) <= u64::from(LEN)
                && end <= total
        };
        let range =
            |request: &BlockRequest| (!in_range(request)).then_some(PeerMisbehaved::RequestOutOfRange);
        let piece = |piece: u32| (piece >= PIECES).then_some(PeerMisbehaved::PieceOutOfRange);
        let fast = (!self.fast).then_some(PeerMisbehaved::FastWithoutOffer);
        let late = (self.announced > 0).then_some(PeerMisbehaved::BitfieldLate);
        match message {
            Message::KeepAlive | Message::Choke | Message::Unchoke | Message::Interested => None,
            Message::NotInterested | Message::Port(_) | Message::Unknown(_) => None,
            Message::Have(number) => piece(*number),
            Message::Bitfield(body) if body.len() != 2 || body[1] & 0x7f != 0 => {
                Some(PeerMisbehaved::BitfieldMalformed)
            }
            // Another bitfield or have-all brings news, as aria2's do; nothing takes back what was told.
            Message::Bitfield(body) => late.filter(|_| body.iter().all(|&byte| byte == 0)),
            Message::HaveAll => fast,
            Message::HaveNone => fast.or(late),
            Message::Request(request) | Message::Cancel(request) => range(request),
            Message::Reject(request) => fast.or_else(|| range(request)),
            Message::Suggest(number) | Message::AllowedFast(number) => fast.or_else(|| piece(*number)),
            Message::Extended { .. } if !self.extended => Some(PeerMisbehaved::ExtendedWithoutOffer),
            Message::Extended { id: 0, body } if body.first() == Some(&b'd') => None,
            Message::Extended { id: 1, body } if body.len() == 1 => None,
            Message::Extended { id: 2, body } if body.len() == 4 => {
                piece(u32::from_be_bytes([body[0], body[1], body[2], body[3]]))
            }
            Message::Extended { id: 0..=2, .. } => Some(PeerMisbehaved::ExtensionMalformed),
            Message::Extended { .. } => None,
        }
    }
}

fn messages() -> Vec<Message> {
    let request = |piece, offset, len| BlockRequest { piece, offset, len };
    let requests = [
        request(0, 0, 16_384),
        request(8, 0, 1),
        request(8, 16_384, 16_284),
        request(8, 16_384, 16_285),
        request(9, 0, 16_384),
        request(0, 0, 0),
        request(0, 16_384, 16_385),
        request(0, 32_768, 1),
        request(0, u32::MAX, u32::MAX),
        request(u32::MAX, 0, 1),
    ];
    let mut all = vec![
        Message::KeepAlive,
        Message::Choke,
        Message::Unchoke,
        Message::Interested,
        Message::NotInterested,
        Message::HaveAll,
        Message::HaveNone,
        Message::Port(0),
        Message::Port(6881),
        Message::Unknown(21),
        Message::Unknown(255),
    ];
    for number in [0, 3, 8, 9, u32::MAX] {
        all.extend([Message::Have(number), Message::Suggest(number), Message::AllowedFast(number)]);
    }
    for body in [&[0xff, 0x80][..], &[0, 0], &[0xff, 0xff], &[0xff], &[0, 0, 0], &[]] {
        all.push(Message::Bitfield(body.into()));
    }
    for request in requests {
        all.extend([Message::Request(request), Message::Cancel(request), Message::Reject(request)]);
    }
    let bodies: [(u8, &[u8]); 10] = [
        (0, b"de"),
        (0, b"d1:md11:upload_onlyi1eee"),
        (0, b"le"),
        (0, b""),
        (1, &[1]),
        (1, &[]),
        (2, &[0, 0, 0, 8]),
        (2, &[0, 0, 0, 9]),
        (2, &[0]),
        (200, b"anything"),
    ];
    all.extend(bodies.map(|(id, body)| Message::Extended { id, body: body.into() }));
    all
}

/// One session's steps in a walk.
const STEPS_A_LIFE: u64 = 50_000;

#[test]
fn every_message_in_every_state_is_taken_or_named_a_fault_as_the_protocol_says() {
    let mut cases = 0;
    for model in Model::all() {
        for message in messages() {
            let (mut rig, link) = model.build();
            rig.say(link, message.clone());
            let useless = rig.closed(link) == Some(CloseReason::Useless);
            let found = if useless { None } else { rig.fault(link) };
            assert_eq!(found, model.verdict(&message), "{model:?} {message:?}");
            cases += 1;
        }
    }
    assert_eq!(cases, 192 * 72);
}

/// C2: how many steps is bounded, and more if the environment variable `GANNET_WALK_STEPS` says so when this is compiled, for no
/// code here asks the system for anything. Every session has a seed of its own.
#[test]
fn no_walk_of_messages_blocks_and_answers_breaks_the_session() {
    let steps = option_env!("GANNET_WALK_STEPS").and_then(|steps| steps.parse().ok());
    let steps: u64 = steps.unwrap_or(2 * STEPS_A_LIFE);
    let lives = steps.div_ceil(STEPS_A_LIFE);
    let closed: u64 = (0..lives).map(|seed| walk(3 + seed, STEPS_A_LIFE)).sum();
    println!("{} steps in {lives} sessions, {closed} links closed by them", lives * STEPS_A_LIFE);
    assert!(closed > lives * STEPS_A_LIFE / 100, "{closed} links closed: nobody misbehaved");
}

/// Links come, say anything in any order, and go; says how many were closed by the session.
fn walk(seed: u64, steps: u64) -> u64 {
    let mut rng = Rng::new(Seed(seed));
    let mut rig = Rig::leech(PIECES, LEN);
    let messages = messages();
    let mut links: Vec<LinkId> = Vec::new();
    let mut closed = 0;
    for step in 0..steps {
        if links.len() < 6 {
            let reserved = if rng.below(4) == 0 { PLAIN } else { Reserved::OURS };
            links.push(rig.link(reserved));
        }
        let link = links[rng.index(links.len())];
        match rng.below(12) {
            0..6 => rig.say(link, messages[rng.index(messages.len())].clone()),
            6 => drop(rig.deliver(link)),
            7 => {
                let request =
                    BlockRequest { piece: rng.below(10), offset: rng.below(3) * 16_384, len: 16_384 };
                rig.block(link, request);
            }
            8 => match rig.take_verify() {
                Some(verify) => rig.verified(verify, rng.below(3) > 0),
                None => rig.run_disk(),
            },
            9 => {
                for (token, _) in rig.take_sends() {
                    rig.feed(Input::Sent { token });
                }
            }
            10 => rig.pass(Duration::from_millis(u64::from(rng.below(3_000)))),
            _ => {
                let torrent = rig.stats();
                assert!(torrent.peers <= 12, "seed {seed} step {step}: {torrent:?}");
            }
        }
        let ended: Vec<LinkId> = links.iter().copied().filter(|&link| rig.closed(link).is_some()).collect();
        for link in ended {
            rig.feed(Input::LinkDown { link, why: LinkEnd::ByPeer });
            links.retain(|&other| other != link);
            closed += 1;
        }
        rig.wishes.retain(|wish| {
            matches!(
                wish,
                Output::Verify { .. } | Output::Write { .. } | Output::Spill { .. } | Output::Sync { .. }
            ) || matches!(wish, Output::Commit { .. } | Output::SendBlock { .. })
                || matches!(wish, Output::Send { message: Message::Request(_), .. })
        });
        if rig.wishes.len() > 5_000 {
            rig.wishes.clear();
        }
    }
    closed
}

#[test]
fn a_download_limit_reads_a_few_links_at_a_time_and_blames_nobody_for_the_wait() {
    let mut rig = Rig::leech(64, 64 * 1024);
    let rate = 40_000;
    rig.feed(Input::Command(Command::Lease(Lease { down: Some(rate), ..LEASE_DEFAULT })));
    let mut reading: Vec<LinkId> = (0..40).map(|_| rig.source(PLAIN)).collect();
    let mut read: u64 = 0;
    let begin = rig.now;
    while rig.now - begin < Duration::from_secs(400) {
        // Each link that is read brings 64 KiB at once, as a socket does.
        for link in std::mem::take(&mut reading) {
            rig.feed(Input::Overhead { link, received: 64 * 1024, sent: 0 });
            read += 64 * 1024;
        }
        let wake = rig.session.next_wake().expect("somebody waits to be read");
        rig.pass(wake - rig.now);
        rig.wishes.retain(|wish| match wish {
            Output::ResumeReading { link } => {
                reading.push(*link);
                false
            }
            _ => true,
        });
        assert!(reading.len() <= 1, "{} links at once", reading.len());
    }
    assert!(
        !rig.wishes.iter().any(|wish| matches!(wish, Output::Close { .. })),
        "closed for silence of our own making"
    );
    let due = rate * (rig.now - begin).as_secs();
    assert!(read <= due + 41 * 64 * 1024 && read >= due * 9 / 10, "{read} of {due}");
}
