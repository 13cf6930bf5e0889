//! C8: games to get more of an honest uplink than is one's due, as a table: who gives by which policy, how many of which kind take,
//! what they get of it, and what it costs the honest.

mod uplink;

use super::rig::Rig;
use crate::config::SeedPolicy;
use crate::input::LinkEnd;
use crate::torrent::debts::FORGOTTEN_AFTER;
use crate::{Duration, Input, LinkId};
use core::net::SocketAddr;
use uplink::{Giver, Kind, Uplink};
use wire::message::BlockRequest;
use wire::{Message, Reserved};

const HONEST: u32 = 8;
const GIVERS: [Giver; 4] = [
    Giver::Leecher,
    Giver::Seed(SeedPolicy::RoundRobin),
    Giver::Seed(SeedPolicy::Fastest),
    Giver::Seed(SeedPolicy::AntiLeech),
];
const KINDS: [Kind; 5] = [Kind::FreeRider, Kind::Drain, Kind::Cheat, Kind::Newcomer, Kind::Sybil];

/// How long they take: so long that a seed's turns come round, and not so long that a leecher's friends have all that it has.
fn seconds(giver: Giver) -> u64 {
    match giver {
        Giver::Leecher => 300,
        Giver::Seed(_) => 600,
    }
}

/// What is left to eight honest peers at least, in thousandths of what they get alone.
fn left_to_the_honest_permille_min(giver: Giver, kind: Kind, attackers: u32) -> u64 {
    let fair = u64::from(1000 * HONEST / (HONEST + attackers));
    match (giver, kind) {
        // Who gives comes first; others have what is for newcomers.
        (Giver::Leecher, _) => 750,
        // To a seed, who shows progress is as good as any: these get what is their due, and no more than that.
        (Giver::Seed(_), Kind::Honest | Kind::FreeRider | Kind::Cheat) => fair * 8 / 10,
        (Giver::Seed(_), Kind::Drain | Kind::Newcomer | Kind::Sybil) => 700,
    }
}

#[test]
fn those_who_only_take_get_no_more_of_an_uplink_than_newcomers_would() {
    let mut cases = 0;
    for giver in GIVERS {
        let mut alone = Uplink::new(giver, HONEST, Kind::Honest, 0);
        alone.run(seconds(giver));
        let (whole, _) = alone.shares();
        for kind in KINDS {
            for attackers in [2, 8, 24] {
                let mut uplink = Uplink::new(giver, HONEST, kind, attackers);
                uplink.run(seconds(giver));
                let (honest, others) = uplink.shares();
                let [left, taken] = [honest, others].map(|bytes| bytes * 1000 / whole);
                let least = uplink.least_honest() * u64::from(HONEST) * 1000 / whole;
                let case = format!("{giver:?} {kind:?} x{attackers}");
                println!(
                    "{case}: {left} permille left to the honest, {least} to the last of them; {taken} taken"
                );
                let min = left_to_the_honest_permille_min(giver, kind, attackers);
                assert!(left >= min, "{case}: {left} permille, {min} at least");
                cases += 1;
            }
        }
    }
    println!("C8: {cases} cases at an uplink");
    assert_eq!(cases, 60);
}

/// Somebody from this address takes the whole content, alone with us, and hangs up.
fn visit(rig: &mut Rig, from: &str, shows: bool) {
    let layout = rig.metainfo.layout.clone();
    let link = rig.link_from(from.parse().unwrap(), Reserved::OURS);
    rig.say(link, Message::Interested);
    rig.pass(Duration::from_secs(2));
    let mut bytes = 0;
    for piece in layout.piece_indices() {
        for number in 0..layout.blocks_in(piece) {
            rig.say(link, Message::Request(BlockRequest::from(layout.nth_block(piece, number))));
            rig.pass(Duration::from_millis(100));
            for (token, block) in rig.take_sends_of(link) {
                bytes += u64::from(block.len);
                rig.feed(Input::Sent { token });
            }
        }
        if shows {
            rig.say(link, Message::Have(piece.0));
        }
    }
    assert_eq!(bytes, layout.total(), "slots that nobody else wants are for everybody");
    rig.feed(Input::LinkDown { link, why: LinkEnd::ByPeer });
}

/// Joins with nothing, while twenty others wait for their turns. Says whether it is served within ten minutes, and how many pieces it
/// is allowed in spite of a choke.
fn joins_a_queue(rig: &mut Rig, from: &str) -> (bool, usize) {
    let mut links: Vec<LinkId> = (0..20).map(|_| rig.link(Reserved::OURS)).collect();
    let link = rig.link_from(from.parse::<SocketAddr>().unwrap(), Reserved::OURS);
    links.push(link);
    links.iter().for_each(|&link| rig.say(link, Message::Interested));
    for _ in 0..10 {
        rig.pass(Duration::from_secs(60));
        links.iter().for_each(|&link| rig.say(link, Message::KeepAlive));
    }
    let sent = rig.sent(link);
    let allowed = sent.iter().filter(|message| matches!(message, Message::AllowedFast(_)));
    (sent.contains(&Message::Unchoke), allowed.count())
}

#[test]
fn who_comes_back_is_no_newcomer_and_all_of_a_network_have_little_more_than_one() {
    // (who came before, whether they showed what they got, who comes now, whether it is served as a newcomer)
    let neighbours: Vec<String> = (1..=5).map(|host| format!("90.1.1.{host}:7000")).collect();
    let neighbours: Vec<&str> = neighbours.iter().map(String::as_str).collect();
    let table: [(&[&str], bool, &str, bool); 10] = [
        (&[], false, "90.1.1.1:7000", true),
        (&["90.1.1.1:7000"], false, "90.1.1.1:7001", false),
        (&["90.1.1.1:7000"], false, "90.1.1.2:7000", true),
        (&["90.1.1.1:7000"], false, "[::ffff:90.1.1.1]:7001", false),
        (&["[2a00:1::5]:7000"], false, "[2a00:1::6]:7000", false),
        (&neighbours, false, "90.1.1.99:7000", false),
        (&neighbours, false, "90.1.2.99:7000", true),
        (&neighbours, true, "90.1.1.99:7000", true),
        // Whatever it shows: two contents in an hour are one too many.
        (&["90.1.1.1:7000", "90.1.1.1:7001"], true, "90.1.1.1:7002", false),
        (&["192.168.1.5:7000", "192.168.1.5:7001"], false, "192.168.1.5:7002", true),
    ];
    let mut cases = 0;
    for (before, shows, now, newcomer) in table {
        let mut rig = Rig::seed(64, 32 * 1024);
        before.iter().for_each(|from| visit(&mut rig, from, shows));
        let (served, allowed) = joins_a_queue(&mut rig, now);
        let case = format!("{before:?}, showing it: {shows}, then {now}");
        assert_eq!((served, allowed > 0), (newcomer, newcomer), "{case}");
        cases += 1;
    }
    // An hour later all is forgotten.
    let mut rig = Rig::seed(64, 32 * 1024);
    visit(&mut rig, "90.1.1.1:7000", false);
    rig.pass(FORGOTTEN_AFTER);
    assert_eq!(joins_a_queue(&mut rig, "90.1.1.1:7001"), (true, 2));
    println!("C8: {} cases of coming back", cases + 1);
}
