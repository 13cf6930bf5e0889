//! Attackers as machines: they do what their rows say, from time and chance alone.

use super::cast::{CAST, by_name};
use super::*;
use crate::Content;
use proto::Seed;
use wire::extension::{ExtensionHandshake, name};
use wire::metadata::MetadataMessage;

const LINK: LinkId = LinkId { slot: 3, generation: 1 };

fn victim() -> SocketAddr {
    SocketAddr::from(([11, 0, 0, 1], 6881))
}

fn attacker(name: &str, seed: u64) -> Attacker {
    let content = Content::made_up("attacked", 1 << 20, 64 << 10, 16 << 10).unwrap();
    let ring = Ring { secret: 1, member: 0, members: 3 };
    let cause = Cause { metainfo: content.metainfo().clone(), victims: vec![victim()], ring, vigour: 1 };
    Attacker::new(by_name(name).unwrap(), cause, Seed(seed), Instant::ZERO)
}

/// Everything an attacker does in a minute with one link that asks it for a block each second.
fn minute(attacker: &mut Attacker) -> Vec<(Instant, Act)> {
    let (mut story, mut acts) = (Vec::new(), Vec::new());
    let second = Duration::from_secs(1);
    let mut next_request = Instant::ZERO + second;
    attacker.hear(Instant::ZERO, News::Up { link: LINK, remote: victim() }, &mut acts);
    story.extend(acts.drain(..).map(|act| (Instant::ZERO, act)));
    for message in [Message::HaveAll, Message::AllowedFast(2), Message::Interested, Message::Unchoke] {
        attacker.hear(Instant::ZERO, News::Said { link: LINK, message: &message }, &mut acts);
        story.extend(acts.drain(..).map(|act| (Instant::ZERO, act)));
    }
    while next_request < Instant::ZERO + 60 * second {
        let now = attacker.next_wake().map_or(next_request, |at| at.min(next_request));
        if now == next_request {
            let request = BlockRequest { piece: 1, offset: 0, len: 16 << 10 };
            let message = Message::Request(request);
            attacker.hear(now, News::Said { link: LINK, message: &message }, &mut acts);
            next_request = now + second;
        }
        attacker.wake(now, &mut acts);
        story.extend(acts.drain(..).map(|act| (now, act)));
    }
    story
}

#[test]
fn the_same_habit_seed_and_news_give_the_same_acts() {
    for habit in CAST {
        let [first, again] = [minute(&mut attacker(habit.name, 7)), minute(&mut attacker(habit.name, 7))];
        assert_eq!(first, again, "{}", habit.name);
    }
}

#[test]
fn a_liar_about_metadata_claims_a_size_and_gives_rubbish_of_that_length() {
    let mut liar = attacker("metadata-liar", 1);
    let (mut acts, size) = (Vec::new(), 4 << 20);
    liar.hear(Instant::ZERO, News::Up { link: LINK, remote: victim() }, &mut acts);
    let introduced = acts.iter().find_map(|act| match act {
        Act::Say { message: Message::Extended { id: 0, body }, .. } => ExtensionHandshake::decode(body).ok(),
        _ => None,
    });
    let introduced = introduced.expect("it introduces itself");
    let [(_, id)] = *introduced.extensions else { panic!("{introduced:?}") };
    assert_eq!(introduced.metadata_size, Some(size));
    let hello = ExtensionHandshake { extensions: vec![(name::METADATA.into(), 9)], ..Default::default() };
    let says = |id, body: Vec<u8>| Message::Extended { id, body: body.into() };
    let talk = [says(0, hello.encode()), says(id, MetadataMessage::Request(255).encode())];
    acts.clear();
    talk.iter().for_each(|message| liar.hear(Instant::ZERO, News::Said { link: LINK, message }, &mut acts));
    let [Act::Say { message: Message::Extended { id: 9, body }, .. }] = &acts[..] else { panic!("{acts:?}") };
    let Ok(MetadataMessage::Data { piece: 255, total_size: Some(total), at }) = MetadataMessage::decode(body)
    else {
        panic!("no piece of metadata")
    };
    assert_eq!((total, body.len() - at), (size, 16 << 10));
}

#[test]
fn whoever_names_peers_introduces_itself_waits_to_be_asked_and_names_them_as_often_as_its_row_says() {
    use wire::pex::PexMessage;
    let named = |wants: bool| {
        let mut gossip = attacker("victim-namer", 1);
        let mut acts = Vec::new();
        gossip.hear(Instant::ZERO, News::Up { link: LINK, remote: victim() }, &mut acts);
        if wants {
            let extensions = vec![(name::PEX.into(), 9)];
            let hello = ExtensionHandshake { extensions, ..Default::default() };
            let message = Message::Extended { id: 0, body: hello.encode().into() };
            gossip.hear(Instant::ZERO, News::Said { link: LINK, message: &message }, &mut acts);
        }
        let mut told = Vec::new();
        while let Some(at) = gossip.next_wake().filter(|&at| at < Instant::ZERO + Duration::from_secs(300)) {
            gossip.wake(at, &mut acts);
            told.extend(acts.drain(..).filter_map(|act| match act {
                Act::Say { message: Message::Extended { id: 9, body }, .. } => PexMessage::decode(&body).ok(),
                _ => None,
            }));
        }
        told
    };
    assert_eq!(named(false).len(), 0, "to who speaks no peer exchange nothing is said");
    let told = named(true);
    assert_eq!(told.len(), 5, "at once, and each minute");
    let victim = SocketAddr::from((gossip::VICTIM, gossip::VICTIM_PORT));
    assert!(told.iter().all(|message| message.added.len() == 1 && message.added[0].address == victim));
}

fn blocks(story: &[(Instant, Act)]) -> (usize, usize) {
    let sent = |right: bool| {
        let is = |act: &Act| matches!(act, Act::Send { bytes, .. } if (*bytes == Bytes::Right) == right);
        story.iter().filter(|(_, act)| is(act)).count()
    };
    (sent(true), sent(false))
}

#[test]
fn poisoners_spoil_as_much_as_their_rows_say() {
    assert_eq!(blocks(&minute(&mut attacker("poisoner", 1))), (0, 59));
    let (right, wrong) = blocks(&minute(&mut attacker("sly-poisoner", 1)));
    assert!(right > 40 && wrong > 0, "{right} right, {wrong} wrong");
    assert_eq!(blocks(&minute(&mut attacker("snubber", 1))), (0, 0));
}

#[test]
fn a_dripper_sends_a_byte_a_second() {
    let story = minute(&mut attacker("dripper", 1));
    let dripped: u32 = story
        .iter()
        .map(|(_, act)| match act {
            Act::Drip { bytes, .. } => *bytes,
            _ => 0,
        })
        .sum();
    assert!((55..=60).contains(&dripped), "{dripped} bytes in a minute");
}

#[test]
fn floods_are_as_fast_as_their_rows_and_vigour_say() {
    for habit in CAST.iter().filter(|habit| habit.noise.is_some()) {
        let story = minute(&mut attacker(habit.name, 1));
        let (_, rate) = habit.noise.unwrap();
        let count = story.len() as u32;
        assert!(count >= 58 * rate, "{}: {count} acts in a minute at {rate} a second", habit.name);
    }
}

#[test]
fn an_attacker_calls_again_after_its_link_has_ended() {
    let mut churner = attacker("churner", 1);
    let mut acts = Vec::new();
    let mut dials = 0;
    for _ in 0..20 {
        let now = churner.next_wake().unwrap();
        churner.wake(now, &mut acts);
        for act in core::mem::take(&mut acts) {
            match act {
                Act::Dial { remote } => {
                    dials += 1;
                    churner.hear(now, News::Up { link: LINK, remote }, &mut acts);
                }
                Act::HangUp { link } => churner.hear(now, News::Down { link }, &mut acts),
                _ => {}
            }
        }
        acts.clear();
    }
    assert!(dials >= 5, "{dials} dials");
}
