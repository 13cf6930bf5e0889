//! Super-seeding through the seam: what is shown to whom, and when it is shown to another. BEP: 16. Threats: C8

use super::rig::Rig;
use crate::input::LinkEnd;
use crate::torrent::super_seed::{BUSY_MAX, KNOCKING_MAX, PATIENCE, QUIET_MAX, RECEIVERS_MAX};
use crate::{Duration, Input, LinkId, Output};
use std::collections::BTreeSet;
use wire::message::BlockRequest;
use wire::{Bitfield, Message, PieceIndex, Reserved};

const KIB: u32 = 1024;
const PIECES: u32 = 12;
const PIECE: u32 = 32 * KIB;
const SECOND: Duration = Duration::from_secs(1);

/// What a peer was shown and nobody looked at yet.
fn take_shown(rig: &mut Rig, link: LinkId) -> Vec<u32> {
    let to = |wish: &mut Output| matches!(wish, Output::Haves { link: to, .. } if *to == link);
    let mut shown = Vec::new();
    for wish in rig.wishes.extract_if(.., to) {
        if let Output::Haves { pieces, .. } = wish {
            shown.extend(pieces.iter().map(|piece| piece.0));
        }
    }
    shown
}

/// A peer of each link, interested, and served.
fn takers(rig: &mut Rig, count: u32) -> Vec<LinkId> {
    let links: Vec<LinkId> = (0..count).map(|_| rig.link(Reserved::OURS)).collect();
    links.iter().for_each(|&link| rig.say(link, Message::HaveNone));
    links.iter().for_each(|&link| rig.say(link, Message::Interested));
    rig.pass(2 * SECOND);
    links
}

fn is_served(rig: &Rig, link: LinkId) -> bool {
    let said = rig.sent(link);
    said.iter().rfind(|said| matches!(said, Message::Choke | Message::Unchoke)) == Some(&Message::Unchoke)
}

/// Asks for a whole piece, and gets it.
fn fetch(rig: &mut Rig, link: LinkId, piece: u32) {
    let layout = rig.metainfo.layout.clone();
    let piece = layout.piece(piece).expect("a piece of this content");
    for block in 0..layout.blocks_in(piece) {
        rig.say(link, Message::Request(layout.nth_block(piece, block).into()));
    }
    for _ in 0..4 {
        for (token, _) in rig.take_sends_of(link) {
            rig.feed(Input::Sent { token });
        }
    }
}

#[test]
fn a_piece_that_a_peer_does_not_take_is_shown_to_another_whatever_else_is_said_to_it() {
    let mut rig = Rig::super_seed(PIECES, PIECE);
    let links = takers(&mut rig, 3);
    let (idler, others) = (links[0], &links[1..]);
    let kept = take_shown(&mut rig, idler);
    assert!(!kept.is_empty());
    let mut shown_to_others = BTreeSet::new();
    let wild = (0..PIECES).find(|piece| !kept.contains(piece)).expect("not everything is shown at once");
    for _ in 0..PATIENCE.as_secs() + 15 {
        // It asks for what it was not shown, so that there is always something to say to it.
        rig.say(idler, Message::Request(BlockRequest { piece: wild, offset: 0, len: 16 * KIB }));
        for &link in others {
            for piece in take_shown(&mut rig, link) {
                shown_to_others.insert(piece);
                fetch(&mut rig, link, piece);
                rig.say(link, Message::Have(piece));
            }
        }
        rig.pass(SECOND);
    }
    assert_eq!(rig.closed(idler), None);
    for piece in kept {
        assert!(shown_to_others.contains(&piece), "piece {piece} waits for the idler");
    }
}

#[test]
fn a_newcomer_that_has_the_piece_it_was_shown_is_shown_others_and_that_one_goes_to_another() {
    let mut rig = Rig::super_seed(PIECES, PIECE);
    let newcomer = rig.link(Reserved::OURS);
    let early = take_shown(&mut rig, newcomer);
    assert_eq!(early.len(), 1, "it is shown a piece before it has said anything");
    let mut has = Bitfield::new(PIECES);
    early.iter().for_each(|&piece| _ = has.insert(PieceIndex(piece)));
    rig.say(newcomer, Message::Bitfield(has.to_bytes().into()));
    let lacked = take_shown(&mut rig, newcomer);
    assert!(!lacked.is_empty() && !lacked.contains(&early[0]), "{early:?} {lacked:?}");
    let other = rig.link(Reserved::OURS);
    rig.say(other, Message::HaveNone);
    let mut shown = BTreeSet::new();
    for _ in 0..PIECES {
        for link in [newcomer, other] {
            rig.say(link, Message::Interested);
            for piece in take_shown(&mut rig, link) {
                fetch(&mut rig, link, piece);
                rig.say(link, Message::Have(piece));
                shown.extend((link == other).then_some(piece));
            }
        }
        rig.pass(SECOND);
    }
    assert!(shown.contains(&early[0]), "{early:?} is given to nobody: {shown:?}");
}

#[test]
fn a_slow_peer_that_takes_what_it_was_shown_keeps_it() {
    let mut rig = Rig::super_seed(PIECES, 64 * PIECE);
    let links = takers(&mut rig, 2);
    let shown = take_shown(&mut rig, links[0]);
    // Less than a minute: then nothing moves, and all this ends.
    for block in 0..5 {
        rig.say(
            links[0],
            Message::Request(BlockRequest { piece: shown[0], offset: block * 16 * KIB, len: 16 * KIB }),
        );
        rig.pass(PATIENCE / 2);
        for (token, _) in rig.take_sends_of(links[0]) {
            rig.feed(Input::Sent { token });
        }
        let elsewhere = take_shown(&mut rig, links[1]);
        assert!(shown.iter().all(|piece| !elsewhere.contains(piece)), "{shown:?} {elsewhere:?}");
        rig.wishes.clear();
        rig.say(links[1], Message::KeepAlive);
    }
}

#[test]
fn what_is_lost_is_shown_again_as_soon_as_all_else_is_out() {
    let mut rig = Rig::super_seed(PIECES, PIECE);
    let links = takers(&mut rig, 3);
    // Two peers have the same pieces, so that nobody is waited for, and go with them.
    let lost = take_shown(&mut rig, links[0])[0];
    fetch(&mut rig, links[0], lost);
    rig.say(links[0], Message::Have(lost));
    rig.say(links[1], Message::Have(lost));
    for &gone in &links[..2] {
        rig.feed(Input::LinkDown { link: gone, why: LinkEnd::Broken });
    }
    let mut got = BTreeSet::new();
    // No time passes: nobody meets.
    for _ in 0..PIECES {
        for piece in take_shown(&mut rig, links[2]) {
            got.insert(piece);
            fetch(&mut rig, links[2], piece);
            rig.say(links[2], Message::Have(piece));
        }
    }
    let all: BTreeSet<u32> = (0..PIECES).collect();
    assert_eq!(got, all, "{lost} is lost");
}

#[test]
fn a_peer_that_gets_part_of_its_pieces_from_peers_we_do_not_know_is_shown_one_after_another_all_the_same() {
    let mut rig = Rig::super_seed(PIECES, PIECE);
    let taker = takers(&mut rig, 1)[0];
    let mut shown = Vec::new();
    for _ in 0..8 {
        for piece in take_shown(&mut rig, taker) {
            if shown.len() % 3 == 0 {
                fetch(&mut rig, taker, piece);
            } else {
                rig.say(taker, Message::Request(BlockRequest { piece, offset: 0, len: 16 * KIB }));
                for (token, _) in rig.take_sends_of(taker) {
                    rig.feed(Input::Sent { token });
                }
            }
            shown.push(piece);
            rig.say(taker, Message::Have(piece));
        }
        rig.pass(SECOND);
    }
    assert_eq!(shown.len(), PIECES as usize, "before {QUIET_MAX:?} are over: {shown:?}");
}

#[test]
fn a_newcomer_holds_no_slot_before_it_wants_what_it_was_shown() {
    let mut rig = Rig::super_seed(PIECES, PIECE);
    let idle: Vec<LinkId> = (0..KNOCKING_MAX + 2).map(|_| rig.link(Reserved::OURS)).collect();
    idle.iter().for_each(|&link| rig.say(link, Message::HaveNone));
    rig.pass(SECOND);
    let shown: Vec<LinkId> =
        idle.iter().copied().filter(|&link| !take_shown(&mut rig, link).is_empty()).collect();
    assert_eq!(shown.len() as u32, KNOCKING_MAX, "so many are tried at once");
    assert!(idle.iter().all(|&link| !is_served(&rig, link)));
    rig.say(shown[1], Message::Interested);
    let unchoked: Vec<LinkId> = idle.iter().copied().filter(|&link| is_served(&rig, link)).collect();
    assert_eq!(unchoked, [shown[1]]);
    // The others take nothing, and somebody else is tried in their place.
    rig.pass(4 * SECOND);
    assert!(idle.iter().any(|&link| !shown.contains(&link) && !take_shown(&mut rig, link).is_empty()));
}

#[test]
fn what_a_peer_says_it_has_it_is_given_no_more() {
    let mut rig = Rig::super_seed(PIECES, PIECE);
    let link = takers(&mut rig, 2)[0];
    let piece = take_shown(&mut rig, link)[0];
    fetch(&mut rig, link, piece);
    rig.say(link, Message::Request(BlockRequest { piece, offset: 0, len: 16 * KIB }));
    assert_eq!(rig.take_sends_of(link).len(), 1, "its hash may have been wrong");
    rig.say(link, Message::Request(BlockRequest { piece, offset: 16 * KIB, len: 16 * KIB }));
    rig.say(link, Message::Have(piece));
    rig.say(link, Message::Request(BlockRequest { piece, offset: 0, len: 16 * KIB }));
    rig.pass(SECOND);
    assert_eq!(rig.take_sends_of(link), []);
}

#[test]
fn when_all_is_shown_and_nobody_asks_everybody_is_told_of_everything() {
    let mut rig = Rig::super_seed(PIECES, PIECE);
    let links = takers(&mut rig, 2);
    for _ in 0..PIECES {
        for piece in take_shown(&mut rig, links[0]) {
            fetch(&mut rig, links[0], piece);
            rig.say(links[0], Message::Have(piece));
        }
    }
    // The other was shown a piece and asks for nothing.
    rig.pass(4 * SECOND);
    assert_eq!(take_shown(&mut rig, links[1]).len() as u32, PIECES);
}

#[test]
fn who_took_a_piece_is_shown_more_however_often_it_was_busy_with_others() {
    let mut rig = Rig::super_seed(4 * PIECES, PIECE);
    // With fewer peers one that lapsed would be taken for want of another.
    for _ in 0..RECEIVERS_MAX {
        let idle = rig.link(Reserved::OURS);
        rig.say(idle, Message::HaveNone);
    }
    let taker = takers(&mut rig, 1)[0];
    let piece = take_shown(&mut rig, taker)[0];
    fetch(&mut rig, taker, piece);
    rig.say(taker, Message::Have(piece));
    for busy in 0..4 {
        let shown = take_shown(&mut rig, taker).len() as u32;
        assert!((1..PIECES).contains(&shown), "{shown} pieces, when it was busy {busy} times");
        rig.pass(BUSY_MAX + SECOND);
    }
}

#[test]
fn what_two_have_that_pass_on_what_they_get_holds_nothing_back_for_one_that_keeps_it() {
    let mut rig = Rig::super_seed(PIECES, PIECE);
    let links = takers(&mut rig, 3);
    let (givers, keeper) = (&links[..2], links[2]);
    let kept = take_shown(&mut rig, keeper)[0];
    let mut open = [BTreeSet::new(), BTreeSet::new()];
    // What we did not give them they had from somebody whom we do not know.
    for piece in (0..PIECES).filter(|&piece| piece != kept) {
        for (nth, &link) in givers.iter().enumerate() {
            open[nth].extend(take_shown(&mut rig, link));
            if open[nth].contains(&piece) {
                fetch(&mut rig, link, piece);
            }
        }
        givers.iter().for_each(|&link| rig.say(link, Message::Have(piece)));
    }
    rig.say(keeper, Message::Request(BlockRequest { piece: kept, offset: 0, len: 16 * KIB }));
    rig.pass(4 * SECOND);
    assert_eq!(take_shown(&mut rig, keeper).len() as u32, PIECES - 1, "while it still takes the first");
}
