//! What a session counts is what is so: bytes over links that are closing, memory that waits for the disk, and all that an audit recounts.

use super::rig::{Fate, ID, PLAIN, Rig};
use crate::command::Lease;
use crate::input::LinkEnd;
use crate::output::CloseReason;
use crate::pool::LEASE_DEFAULT;
use crate::{Command, Duration, Input};
use wire::{Bitfield, Message, PieceIndex};

const KIB: u32 = 1024;

#[test]
fn a_block_that_comes_over_a_closing_link_counts_and_is_thrown_away() {
    let mut rig = Rig::leech(64, 32 * KIB);
    let link = rig.source(PLAIN);
    let request = rig.take_requests(link)[0];
    rig.say(link, Message::Have(9_999));
    assert!(rig.closed(link).is_some());
    assert_eq!(rig.block(link, request), Fate::Dropped);
    let stats = rig.stats();
    assert_eq!((stats.downloaded, stats.wasted), (u64::from(request.len), u64::from(request.len)));
    // What was told of it before is not told twice.
    rig.feed(Input::LinkDown { link, why: LinkEnd::Closed(CloseReason::Gone) });
    assert_eq!(rig.stats().downloaded, u64::from(request.len));
}

#[test]
fn pieces_that_wait_to_be_written_leave_no_memory_for_others() {
    let mut rig = Rig::leech(64, 32 * KIB);
    let lease = Lease { buffer: u64::from(4 * 32 * KIB), ..LEASE_DEFAULT };
    rig.feed(Input::Command(Command::Lease(lease)));
    let link = rig.source(PLAIN);
    let mut verified = 0;
    // All that is asked for comes and is right, and nothing is written.
    for _ in 0..100 {
        rig.deliver(link);
        while let Some(piece) = rig.take_verify() {
            rig.verified(piece, true);
            verified += 1;
        }
    }
    assert_eq!(verified, 4, "pieces in memory, of four that fit");
    while let Some(piece) = rig.take_write() {
        rig.written(piece);
    }
    assert!(rig.deliver(link) > 0, "what was written makes room");
}

#[test]
fn what_was_given_up_is_not_taken_in_when_there_is_no_memory_for_it_any_more() {
    let mut rig = Rig::leech(64, 16 * KIB);
    let lease = Lease { buffer: u64::from(4 * 16 * KIB), ..LEASE_DEFAULT };
    rig.feed(Input::Command(Command::Lease(lease)));
    let slow = rig.source(PLAIN);
    let asked = rig.take_requests(slow);
    assert_eq!(asked.len(), 4, "all that there is memory for");
    rig.say(slow, Message::Choke);
    // Another has the pieces that nobody was asked for, and gets all the memory.
    let quick = rig.link(PLAIN);
    let mut rest = Bitfield::full(64);
    asked.iter().for_each(|request| {
        rest.remove(PieceIndex(request.piece));
    });
    rig.say(quick, Message::Bitfield(rest.to_bytes().into()));
    rig.say(quick, Message::Unchoke);
    assert_eq!(rig.take_requests(quick).len(), 4);
    assert_eq!(rig.block(slow, asked[0]), Fate::Dropped);
    assert_eq!(rig.session.audit().wrong, [""; 0]);
}

#[test]
fn an_audit_of_a_download_among_several_finds_nothing_at_any_step() {
    let mut rig = Rig::leech(24, 32 * KIB);
    let links = [rig.source(PLAIN), rig.source(PLAIN), rig.source(PLAIN)];
    for step in 0..200 {
        let link = links[step % 3];
        match step % 7 {
            3 => rig.say(link, Message::Choke),
            4 => rig.say(link, Message::Unchoke),
            5 => rig.run_disk(),
            6 => rig.pass(Duration::from_millis(700)),
            _ => {
                let requests = rig.take_requests(link);
                if let Some(&first) = requests.first() {
                    rig.block(link, first);
                }
            }
        }
        assert_eq!(rig.session.audit().wrong, [""; 0], "step {step}");
    }
    assert!(rig.session.torrent(ID).is_some_and(|stats| stats.downloaded > 0));
}
