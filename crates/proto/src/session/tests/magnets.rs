//! A session that begins with a hash alone: what it makes of what peers said before it knew the layout, when metadata comes that
//! is private, useless or unwelcome, and what it leaves behind. BEP: 9, 11, 27. Threat: A6

use super::rig::{ID, Rig};
use super::toy::metainfo;
use crate::event::{Event, StageName};
use crate::input::{Found, LinkEnd, MetadataFailure, Refusal};
use crate::output::CloseReason;
use crate::{Command, Duration, Input, LinkId, Output, PeerMisbehaved};
use core::net::SocketAddr;
use std::sync::Arc;
use wire::extension::{ExtensionHandshake, name};
use wire::metadata::{METADATA_PIECE_LEN, MetadataMessage};
use wire::pex::{PexFlags, PexMessage, PexPeer};
use wire::{Bitfield, Message, PieceIndex, Reserved};

/// The peers' ids.
const METADATA: u8 = 9;
const PEX: u8 = 7;
/// Our id for peer exchange.
const OUR_PEX: u8 = 3;
/// Of the right metadata: two pieces.
const SIZE: u32 = METADATA_PIECE_LEN + 100;

/// A peer that says that the metadata is so large.
fn meet(rig: &mut Rig, size: u32) -> LinkId {
    let link = rig.link(Reserved::OURS);
    let extensions = vec![(name::METADATA.into(), METADATA), (name::PEX.into(), PEX)];
    let hello = ExtensionHandshake {
        extensions,
        metadata_size: Some(size),
        port: Some(6881),
        ..ExtensionHandshake::default()
    };
    rig.say(link, Message::Extended { id: 0, body: hello.encode().into() });
    link
}

/// What of the metadata a peer was asked for since we last looked.
fn asked(rig: &mut Rig, link: LinkId) -> Vec<u32> {
    let asks = rig.wishes.extract_if(.., |wish| {
        matches!(wish, Output::Send { link: to, message: Message::Extended { id: METADATA, .. } } if *to == link)
    });
    asks.map(|ask| match ask {
        Output::Send { message: Message::Extended { body, .. }, .. } => {
            match MetadataMessage::decode(&body) {
                Ok(MetadataMessage::Request(piece)) => piece,
                other => panic!("{other:?}"),
            }
        }
        _ => unreachable!(),
    })
    .collect()
}

/// The peer gives all that it is asked for; says whether all of a size is here now.
fn give(rig: &mut Rig, link: LinkId, size: u32) -> bool {
    loop {
        let asks = asked(rig, link);
        if asks.is_empty() {
            return false;
        }
        for piece in asks {
            assert_eq!(rig.metadata(link, piece, size), Some(size));
        }
        if rig.take(|wish| matches!(wish, Output::AssembleMetadata { .. }).then_some(())).is_some() {
            return true;
        }
    }
}

fn ready(rig: &mut Rig) {
    let metainfo = Arc::clone(&rig.metainfo);
    rig.feed(Input::MetadataReady { torrent: ID, metainfo, priorities: Box::default() });
}

/// The sizes of which the driver was told to keep nothing.
fn discarded(rig: &Rig) -> Vec<u32> {
    let sizes = rig.wishes.iter().filter_map(|wish| match wish {
        Output::DiscardMetadata { size, .. } => Some(*size),
        _ => None,
    });
    sizes.collect()
}

fn have(pieces: u32, set: &[u32]) -> Message {
    let mut field = Bitfield::new(pieces);
    set.iter().for_each(|&piece| {
        field.insert(PieceIndex(piece));
    });
    Message::Bitfield(field.to_bytes().into())
}

/// In what way peers go wrong before there is a layout.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wrong {
    /// They say that the metadata has another size, and that they have piece 5.
    LiesAboutSize,
    /// They have piece 5, and one that there is not.
    HasImpossiblePiece,
    /// As it should be; they leave.
    Leaves,
}

#[test]
fn what_a_peer_said_early_leaves_with_it_whatever_it_did() {
    for wrong in [Wrong::LiesAboutSize, Wrong::HasImpossiblePiece, Wrong::Leaves] {
        let mut rig = Rig::magnet(metainfo(8, 16_384));
        let honest = meet(&mut rig, SIZE);
        rig.say(honest, have(8, &[0, 1, 2, 3, 4, 5, 6, 7]));
        rig.say(honest, Message::Unchoke);
        // All but piece 0, which so is the rarest.
        let other = meet(&mut rig, SIZE);
        rig.say(other, have(8, &[1, 2, 3, 4, 5, 6, 7]));
        let gone: Vec<LinkId> = (0..3)
            .map(|_| {
                let link = meet(&mut rig, if wrong == Wrong::LiesAboutSize { SIZE + 1 } else { SIZE });
                rig.say(link, Message::Have(5));
                if wrong == Wrong::HasImpossiblePiece {
                    rig.say(link, Message::Have(1_000));
                }
                link
            })
            .collect();
        assert!(give(&mut rig, honest, SIZE) || give(&mut rig, other, SIZE), "{wrong:?}");
        ready(&mut rig);
        let fault = match wrong {
            Wrong::LiesAboutSize => Some(PeerMisbehaved::MetadataLie),
            Wrong::HasImpossiblePiece => Some(PeerMisbehaved::PieceOutOfRange),
            Wrong::Leaves => None,
        };
        for &link in &gone {
            assert_eq!(rig.fault(link), fault, "{wrong:?}");
            let why = fault.map_or(LinkEnd::ByPeer, |fault| LinkEnd::Closed(CloseReason::Misbehaved(fault)));
            rig.feed(Input::LinkDown { link, why });
        }
        rig.feed(Input::Opened { torrent: ID, found: Found::Nothing });
        let first = rig.take_requests(honest).first().map(|request| request.piece);
        assert_eq!(first, Some(0), "{wrong:?}: the rarest piece comes first");
    }
}

#[test]
fn a_seed_that_names_all_it_has_one_by_one_is_believed_and_one_that_repeats_itself_is_left() {
    let mut rig = Rig::magnet(metainfo(10_000, 16_384));
    let [seed, parrot] = [meet(&mut rig, SIZE), meet(&mut rig, SIZE)];
    // As a seed does that ends its super-seeding (BEP 16).
    let all: Vec<u32> = (0..10_000).collect();
    for pieces in all.chunks(500) {
        rig.feed(Input::Haves { link: seed, pieces });
    }
    assert_eq!(rig.closed(seed), None);
    for _ in 0..10 {
        rig.feed(Input::Haves { link: parrot, pieces: &all[..1_000] });
    }
    assert_eq!(rig.fault(parrot), Some(PeerMisbehaved::Flood));
    assert!(give(&mut rig, seed, SIZE));
    ready(&mut rig);
    assert_eq!(rig.peer(seed).pieces, 10_000);
}

#[test]
fn a_magnet_of_a_private_torrent_takes_its_word_back_and_names_and_hears_nobody() {
    let mut private = (*metainfo(4, 16_384)).clone();
    private.private = true;
    let mut rig = Rig::magnet(Arc::new(private));
    let links = [meet(&mut rig, SIZE), meet(&mut rig, SIZE)];
    // Whoever was named by a peer would go: these came by themselves.
    assert!(give(&mut rig, links[0], SIZE) || give(&mut rig, links[1], SIZE));
    let offers = |rig: &Rig, link| -> Vec<Option<u8>> {
        let bodies = rig.sent(link).into_iter().filter_map(|message| match message {
            Message::Extended { id: 0, body } => Some(ExtensionHandshake::decode(&body).unwrap()),
            _ => None,
        });
        let id = |hello: ExtensionHandshake| {
            hello.extensions.iter().find(|(spoken, _)| **spoken == *name::PEX).map(|(_, id)| *id)
        };
        bodies.map(id).collect()
    };
    let stopped = |rig: &Rig| rig.wishes.iter().any(|wish| matches!(wish, Output::StopFinding { .. }));
    assert!(!stopped(&rig), "until it is known, it is looked for everywhere");
    ready(&mut rig);
    assert!(stopped(&rig));
    for link in links {
        assert_eq!(offers(&rig, link), [Some(OUR_PEX), Some(0)], "offered, and taken back");
    }
    rig.feed(Input::Opened { torrent: ID, found: Found::Nothing });
    let address: SocketAddr = "8.8.8.8:6881".parse().unwrap();
    let added = vec![PexPeer { address, flags: PexFlags::REACHABLE }];
    let body = PexMessage { added, dropped: Vec::new() }.encode().into();
    rig.say(links[0], Message::Extended { id: OUR_PEX, body });
    rig.pass(Duration::from_secs(100));
    for link in links {
        let named = |message: &Message| matches!(message, Message::Extended { id: PEX, .. });
        assert!(!rig.sent(link).iter().any(named), "nobody is named to anybody");
        assert_eq!(rig.closed(link), None);
    }
    assert!(
        !rig.wishes.iter().any(|wish| matches!(wish, Output::Dial { .. })),
        "who was named is not dialled"
    );
}

#[test]
fn a_public_torrents_peers_go_on_naming_one_another_when_the_metadata_is_here() {
    let mut rig = Rig::magnet(metainfo(4, 16_384));
    let links = [meet(&mut rig, SIZE), meet(&mut rig, SIZE)];
    assert!(give(&mut rig, links[0], SIZE) || give(&mut rig, links[1], SIZE));
    ready(&mut rig);
    rig.feed(Input::Opened { torrent: ID, found: Found::Nothing });
    rig.pass(Duration::from_secs(100));
    for link in links {
        assert!(rig.sent(link).iter().any(|message| matches!(message, Message::Extended { id: PEX, .. })));
    }
}

/// A session that holds one piece of a wrong size, and all of the right one.
fn with_two_sizes() -> (Rig, u32) {
    let mut rig = Rig::magnet(metainfo(4, 16_384));
    let wrong = 5 * METADATA_PIECE_LEN;
    let liar = meet(&mut rig, wrong);
    let piece = asked(&mut rig, liar)[0];
    assert_eq!(rig.metadata(liar, piece, wrong), Some(wrong));
    // It says nothing more, so that others are asked.
    let honest = meet(&mut rig, SIZE);
    rig.pass(Duration::from_secs(11));
    assert!(give(&mut rig, honest, SIZE));
    assert!(discarded(&rig).is_empty());
    (rig, wrong)
}

#[test]
fn nothing_is_kept_of_other_sizes_once_the_metadata_is_here_whether_it_is_of_use_or_not() {
    let outcomes: [Option<MetadataFailure>; 3] = [
        None,
        Some(MetadataFailure::Unusable("no".into())),
        Some(MetadataFailure::Refused { refusal: Refusal::Choice, why: "no".into() }),
    ];
    for outcome in outcomes {
        let (mut rig, wrong) = with_two_sizes();
        match &outcome {
            None => ready(&mut rig),
            Some(why) => rig.feed(Input::MetadataFailed { torrent: ID, size: SIZE, why: why.clone() }),
        }
        assert!(discarded(&rig).contains(&wrong), "{outcome:?}: {:?}", discarded(&rig));
    }
}

#[test]
fn a_content_that_is_refused_stops_says_why_and_begins_anew_when_the_user_wants() {
    let (mut rig, _) = with_two_sizes();
    let honest = LinkId { slot: 2, generation: 7 };
    let (refusal, why): (_, Box<str>) = (Refusal::Room, "no room".into());
    rig.feed(Input::MetadataFailed {
        torrent: ID,
        size: SIZE,
        why: MetadataFailure::Refused { refusal, why: why.clone() },
    });
    assert!(rig.told(&Event::ContentRefused { torrent: ID, refusal, why }));
    assert_eq!(rig.stats().stage, StageName::Failed);
    assert_eq!(rig.closed(honest), Some(CloseReason::TorrentStopped), "no peer is to blame");
    assert!(!rig.wishes.iter().any(|wish| matches!(wish, Output::Open { .. })), "nothing is touched on disk");
    rig.feed(Input::Command(Command::Resume(ID)));
    assert_eq!(rig.stats().stage, StageName::FetchingMetadata);
}
