//! Rows of the threat table that are tried as whole tables, each counted: floods of every small message (C6), allowed-fast abuse
//! (C9), games with peer ids and addresses (C12). Floods of requests (C3) and names of victims (C10) have files of their own.

use super::rig::{PLAIN, Rig};
use crate::output::CloseReason;
use crate::peer::conduct::{PURSE_MAX, PURSE_PER_SECOND};
use crate::torrent::peer_list::TOLD_MAX;
use crate::{Duration, Input, LinkId, Output};
use core::net::SocketAddr;
use std::collections::BTreeSet;
use wire::extension::{ExtensionHandshake, name};
use wire::message::BlockRequest;
use wire::pex::{PexFlags, PexMessage, PexPeer};
use wire::{Bitfield, Message, PeerId, Reserved};

const PIECES: u32 = 2_000;
const KIB: u32 = 1024;
/// Messages in a flood: several times what any purse holds.
const FLOOD: u32 = 30_000;
/// Our id for peer exchange.
const PEX: u8 = 3;

/// The messages that are cheap to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Noise {
    KeepAlive,
    Interest,
    Choke,
    NewHave,
    OldHave,
    Bitfield,
    HaveAll,
    Suggest,
    AllowedFast,
    Port,
    Introduction,
    Junk,
    Pex,
}

const NOISES: [Noise; 13] = [
    Noise::KeepAlive,
    Noise::Interest,
    Noise::Choke,
    Noise::NewHave,
    Noise::OldHave,
    Noise::Bitfield,
    Noise::HaveAll,
    Noise::Suggest,
    Noise::AllowedFast,
    Noise::Port,
    Noise::Introduction,
    Noise::Junk,
    Noise::Pex,
];

impl Noise {
    fn nth(self, nth: u32) -> Message {
        let even = nth.is_multiple_of(2);
        match self {
            Noise::KeepAlive => Message::KeepAlive,
            Noise::Interest if even => Message::Interested,
            Noise::Interest => Message::NotInterested,
            Noise::Choke if even => Message::Unchoke,
            Noise::Choke => Message::Choke,
            Noise::NewHave => Message::Have(nth % PIECES),
            Noise::OldHave => Message::Have(7),
            Noise::Bitfield => Message::Bitfield(Bitfield::new(PIECES).to_bytes().into()),
            Noise::HaveAll => Message::HaveAll,
            Noise::Suggest => Message::Suggest(nth % PIECES),
            Noise::AllowedFast => Message::AllowedFast(nth % PIECES),
            Noise::Port => Message::Port(nth as u16),
            Noise::Introduction => {
                let extensions = vec![(name::PEX.into(), (nth % 200) as u8 + 1)];
                let hello = ExtensionHandshake { extensions, ..ExtensionHandshake::default() };
                Message::Extended { id: 0, body: hello.encode().into() }
            }
            Noise::Junk => Message::Extended { id: 200, body: vec![nth as u8; 64].into() },
            Noise::Pex => {
                let added = (0..50).map(|which: u8| PexPeer {
                    address: SocketAddr::from(([60 + which, (nth >> 8) as u8, nth as u8, 1], 6881)),
                    flags: PexFlags::REACHABLE,
                });
                let body = PexMessage { added: added.collect(), dropped: Vec::new() }.encode().into();
                Message::Extended { id: PEX, body }
            }
        }
    }

    /// Whether an honest peer may say this ten times a second for a while.
    fn is_fine_at_leisure(self) -> bool {
        match self {
            Noise::KeepAlive | Noise::Interest | Noise::Choke | Noise::NewHave => true,
            Noise::Suggest | Noise::AllowedFast | Noise::Port => true,
            Noise::OldHave | Noise::Bitfield | Noise::HaveAll => false,
            Noise::Introduction | Noise::Junk | Noise::Pex => false,
        }
    }
}

/// Floods by one peer: how many messages it got rid of, how many were said to it, and why it was left.
fn flood(rig: &mut Rig, link: LinkId, noise: Noise, (count, gap): (u32, Duration)) -> (u32, u32) {
    let (mut said, mut answers) = (0, 0);
    while said < count && rig.closed(link).is_none() {
        rig.say(link, noise.nth(said));
        said += 1;
        if !gap.is_zero() {
            rig.pass(gap);
        }
        let to_it = |wish: &Output| matches!(wish, Output::Send { link: to, .. } if *to == link);
        answers += rig.wishes.extract_if(.., |wish| to_it(wish)).count() as u32;
    }
    (said, answers)
}

#[test]
fn floods_of_every_small_message_end_at_a_limit_and_leisure_does_not() {
    let mut cases = 0;
    let millis = Duration::from_millis;
    for noise in NOISES {
        for seeding in [false, true] {
            for gap in [millis(0), millis(1), millis(100)] {
                let mut rig =
                    if seeding { Rig::seed(PIECES, 16 * KIB) } else { Rig::leech(PIECES, 16 * KIB) };
                let link = rig.link(Reserved::OURS);
                let leisure = gap >= millis(100);
                let count = if leisure { PIECES / 2 } else { FLOOD };
                let (said, answers) = flood(&mut rig, link, noise, (count, gap));
                let case =
                    format!("{noise:?}, seeding {seeding}, every {gap:?}: {said} said, {answers} answers");
                assert!(answers <= said + 20, "{case}");
                assert!(rig.stats().candidates <= TOLD_MAX as u32 + 1, "{case}");
                let closed = rig.closed(link);
                if leisure {
                    assert!(closed.is_none() || !noise.is_fine_at_leisure(), "{case}: {closed:?}");
                } else {
                    // One round of news is nobody's fault; beyond it the purse pays, and it earns little meanwhile.
                    let seconds = (gap * said).as_secs() as u32 + 1;
                    let most = PIECES + PURSE_MAX + seconds * PURSE_PER_SECOND;
                    assert!(closed.is_some() && said <= most, "{case}: {closed:?}");
                }
                // Another peer is met as ever.
                let other = rig.link(Reserved::OURS);
                assert_eq!(rig.closed(other), None, "{case}");
                cases += 1;
            }
        }
    }
    println!("C6: {cases} cases");
    assert!(cases >= 60);
}

/// How a choked peer asks for what it may have in spite of that.
#[derive(Clone, Copy, Debug)]
enum Abuse {
    /// The first block of the set, and nothing else.
    SameBlock,
    /// All blocks of the set, round after round.
    Rounds,
    /// Each block, taken back and asked for again.
    Cancels,
    /// What is not in the set.
    Others,
}

#[test]
fn a_choked_peer_gets_the_bytes_of_its_allowed_set_once_however_it_asks() {
    let mut cases = 0;
    for pieces in [9, 40, 1_000, 2_000] {
        for piece_len in [16 * KIB, 32 * KIB, 256 * KIB] {
            for abuse in [Abuse::SameBlock, Abuse::Rounds, Abuse::Cancels, Abuse::Others] {
                abuse_allowed_fast((pieces, piece_len), abuse);
                cases += 1;
            }
        }
    }
    println!("C9: {cases} cases");
    assert!(cases >= 40);
}

fn abuse_allowed_fast((pieces, piece_len): (u32, u32), abuse: Abuse) {
    let mut rig = Rig::seed(pieces, piece_len);
    let layout = rig.metainfo.layout.clone();
    let link = rig.link(Reserved::OURS);
    let allowed: BTreeSet<u32> = rig
        .sent(link)
        .iter()
        .filter_map(|message| match message {
            Message::AllowedFast(piece) => Some(*piece),
            _ => None,
        })
        .collect();
    let case = format!("{pieces} pieces of {piece_len}, {abuse:?}, allowed {allowed:?}");
    assert!(!allowed.is_empty() && allowed.len() <= 10, "{case}");
    let asks: Vec<BlockRequest> = layout
        .piece_indices()
        .filter(|piece| allowed.contains(&piece.0) != matches!(abuse, Abuse::Others))
        .flat_map(|piece| (0..layout.blocks_in(piece)).map(move |nth| (piece, nth)))
        .map(|(piece, nth)| layout.nth_block(piece, nth).into())
        .collect();
    let (mut bytes, mut sends, mut asked) = (0, 0, 0);
    while asked < 3_000 && rig.closed(link).is_none() && !asks.is_empty() {
        let nth = if matches!(abuse, Abuse::SameBlock) { 0 } else { asked as usize % asks.len() };
        rig.say(link, Message::Request(asks[nth]));
        asked += 1;
        if matches!(abuse, Abuse::Cancels) {
            rig.say(link, Message::Cancel(asks[nth]));
        }
        for (token, block) in rig.take_sends_of(link) {
            assert!(allowed.contains(&block.piece.0), "{case}: {block:?}");
            (bytes, sends) = (bytes + u64::from(block.len), sends + 1);
            rig.feed(Input::Sent { token });
        }
        rig.pass(Duration::from_millis(2));
    }
    let whole: u64 = layout
        .piece_indices()
        .filter(|piece| allowed.contains(&piece.0))
        .map(|piece| u64::from(layout.piece_len(piece)))
        .sum();
    assert!(bytes <= whole, "{case}: {bytes} of {whole} bytes");
    let rejects = rig.sent(link).iter().filter(|said| matches!(said, Message::Reject(_))).count() as u32;
    assert!(sends + rejects <= asked, "{case}: {asked} asked, {sends} sent, {rejects} rejected");
    assert!(matches!(abuse, Abuse::Others) == (sends == 0), "{case}: {sends} blocks");
}

/// Who comes second.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Who {
    TheSame,
    Another,
    Ourselves,
}

#[test]
fn one_link_per_host_whatever_it_calls_itself_but_where_many_share_an_address() {
    use Who::*;
    // Where the first is, where the second, and whether both are one host.
    let places = [
        ("80.1.2.3:1000", "80.1.2.3:1000", true),
        ("80.1.2.3:1000", "80.1.2.3:2000", true),
        ("80.1.2.3:1000", "80.1.2.4:1000", false),
        ("80.1.2.3:1000", "[::ffff:80.1.2.3]:2000", true),
        ("[2a00:1::5]:1000", "[2a00:1::5]:2000", true),
        ("[2a00:1::5]:1000", "[2a00:1::6]:1000", false),
        // Shared: the peer id tells clients apart.
        ("192.168.1.5:1000", "192.168.1.5:2000", false),
        ("192.168.1.5:1000", "192.168.1.5:1000", true),
        ("10.0.0.5:1000", "10.0.0.5:2000", false),
        ("127.0.0.1:1000", "127.0.0.1:2000", false),
        ("169.254.3.4:1000", "169.254.3.4:2000", false),
        ("[::1]:1000", "[::1]:2000", false),
        ("[fd00::7]:1000", "[fd00::7]:2000", false),
    ];
    let mut cases = 0;
    for (first, second, one_host) in places {
        for who in [TheSame, Another, Ourselves] {
            for reserved in [Reserved::OURS, PLAIN] {
                let [first, second]: [SocketAddr; 2] = [first, second].map(|text| text.parse().unwrap());
                let mut rig = Rig::leech(4, 16 * KIB);
                let known = PeerId(*b"-XX0000-somebody----");
                let before = rig.link_as(first, known, reserved);
                let peer_id = match who {
                    TheSame => known,
                    Another => PeerId(*b"-YY0000-anybody-----"),
                    Ourselves => PeerId(*b"-GN0100-ourselves---"),
                };
                let link = rig.link_as(second, peer_id, reserved);
                let same = first.ip().to_canonical() == second.ip().to_canonical();
                let expected = match who {
                    Ourselves => Some(CloseReason::Ourselves),
                    TheSame if same => Some(CloseReason::Duplicate),
                    TheSame | Another => one_host.then_some(CloseReason::Duplicate),
                };
                let case = format!("{first} and {second}, {who:?}");
                assert_eq!(rig.closed(link), expected, "{case}");
                assert_eq!(rig.closed(before), None, "{case}: who was first stays");
                cases += 1;
            }
        }
    }
    println!("C12: {cases} cases");
    assert!(cases >= 40);
}
