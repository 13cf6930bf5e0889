//! C3: floods of requests: the queue stays within the `reqq` that we advertise, every request has at most one answer, with the
//! fast extension exactly one, and whoever does not stop is left at the limits that `conduct` names.

use super::rig::{PLAIN, Rig};
use crate::input::Unsent;
use crate::peer::conduct::{CHOKED_REQUESTS_MAX, EXCESS_REQUESTS_MAX, PURSE_MAX, PURSE_PER_SECOND};
use crate::{Config, Duration, Input, LinkId, Output, PeerMisbehaved, SendToken};
use std::collections::BTreeMap;
use wire::message::BlockRequest;
use wire::{Message, PeerId, Reserved};

const PIECES: u32 = 2_000;
const PIECE_LEN: u32 = 32 * 1024;
const BLOCK_LEN: u32 = 16 * 1024;

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Asked {
    Same,
    Distinct,
    /// Every request is taken back at once.
    Cancelled,
    /// Taken back after ten more.
    CancelledLate,
    /// A cancel for every request ever made, again and again.
    CancelledTwice,
}

use Asked::*;

const ASKED: [Asked; 5] = [Same, Distinct, Cancelled, CancelledLate, CancelledTwice];

#[derive(Clone, Copy, Debug)]
struct Flood {
    requests: u32,
    choked: bool,
    fast: bool,
    asked: Asked,
    /// Blocks leave while the flood comes.
    sending: bool,
}

impl Flood {
    /// How many cancels it means to send.
    fn cancels(&self) -> u32 {
        match self.asked {
            Same | Distinct => 0,
            Cancelled => self.requests,
            CancelledLate => self.requests.saturating_sub(10),
            CancelledTwice => 3 * self.requests,
        }
    }
}

/// Requests by what they name, and what became of them.
#[derive(Default)]
struct Tally {
    /// (asked, cancelled, answered by a block, rejected)
    by_block: BTreeMap<(u32, u32), [u32; 4]>,
    longest: u32,
    /// Most blocks handed out at a time.
    out: usize,
}

impl Tally {
    fn of(&mut self, request: BlockRequest) -> &mut [u32; 4] {
        self.by_block.entry((request.piece, request.offset)).or_default()
    }

    fn sum(&self, at: usize) -> u32 {
        self.by_block.values().map(|counts| counts[at]).sum()
    }
}

fn nth(flood: &Flood, number: u32, pieces: &[u32]) -> BlockRequest {
    let number = if flood.asked == Same { 0 } else { number };
    let piece = pieces[(number / 2) as usize % pieces.len()];
    BlockRequest { piece, offset: number % 2 * BLOCK_LEN, len: BLOCK_LEN }
}

/// Takes from the outbox what was said to the peer; blocks on their way are recalled if the session wishes it.
fn drain(rig: &mut Rig, link: LinkId, waiting: &mut Vec<(SendToken, BlockRequest)>, tally: &mut Tally) {
    let mut recalled = Vec::new();
    for wish in rig.wishes.extract_if(.., |wish| !matches!(wish, Output::Close { .. })) {
        match wish {
            Output::Send { message: Message::Reject(request), link: to } if to == link => {
                tally.of(request)[3] += 1;
            }
            Output::SendBlock { token, block, .. } => waiting.push((token, block.into())),
            Output::Unsend { token } => recalled.push(token),
            _ => {}
        }
    }
    tally.out = tally.out.max(waiting.len());
    let again = !recalled.is_empty();
    for token in recalled {
        if let Some(at) = waiting.iter().position(|(out, _)| *out == token) {
            waiting.remove(at);
            rig.feed(Input::Unsent { token, why: Unsent::Recalled });
        }
    }
    if again {
        drain(rig, link, waiting, tally);
    }
}

fn send_all(rig: &mut Rig, waiting: &mut Vec<(SendToken, BlockRequest)>, tally: &mut Tally) {
    for (token, request) in std::mem::take(waiting) {
        tally.of(request)[2] += 1;
        rig.feed(Input::Sent { token });
    }
}

#[test]
fn cancels_of_what_was_never_asked_end_a_link_and_a_window_taken_back_now_and_then_does_not() {
    let mut rig = Rig::seed(PIECES, PIECE_LEN);
    let link = rig.taker(Reserved::OURS);
    let mut said = 0;
    while rig.closed(link).is_none() {
        rig.say(link, Message::Cancel(BlockRequest { piece: said % PIECES, offset: 0, len: BLOCK_LEN }));
        said += 1;
        assert!(said <= PURSE_MAX + 1, "{said} cancels for nothing");
    }
    assert_eq!(rig.fault(link), Some(PeerMisbehaved::Flood));

    let mut rig = Rig::seed(PIECES, PIECE_LEN);
    let link = rig.taker(Reserved::OURS);
    for window in 0..100 {
        let blocks = (0..500).map(|n| BlockRequest {
            piece: window * 10 + n / 2,
            offset: n % 2 * BLOCK_LEN,
            len: BLOCK_LEN,
        });
        blocks.clone().for_each(|block| rig.say(link, Message::Request(block)));
        blocks.for_each(|block| rig.say(link, Message::Cancel(block)));
        let sent: Vec<SendToken> = rig.take_sends().into_iter().map(|(token, _)| token).collect();
        sent.into_iter().for_each(|token| rig.feed(Input::Sent { token }));
        rig.pass(Duration::from_secs(3));
        rig.wishes.retain(|wish| matches!(wish, Output::Close { .. }));
        assert_eq!(rig.closed(link), None, "window {window}");
    }
}

#[test]
fn a_flood_of_requests_meets_bounded_queues_and_ends_at_the_named_limits() {
    let mut cases = 0;
    for requests in [1, 499, 500, 501, 1_000, 1_001, 4_501, 10_000] {
        for (choked, fast) in [(false, false), (false, true), (true, false), (true, true)] {
            for asked in ASKED {
                for sending in [false, true] {
                    flood(Flood { requests, choked, fast, asked, sending });
                    cases += 1;
                }
            }
        }
    }
    println!("C3: {cases} cases");
    assert!(cases >= 40);
}

fn flood(flood: Flood) {
    let reqq = Config::new(PeerId([0; 20])).requests_in_max;
    let mut rig = Rig::seed(PIECES, PIECE_LEN);
    let reserved = if flood.fast { Reserved::OURS } else { PLAIN };
    let link = if flood.choked { rig.link(reserved) } else { rig.taker(reserved) };
    let allowed: Vec<u32> = rig
        .sent(link)
        .iter()
        .filter_map(|message| match message {
            Message::AllowedFast(piece) => Some(*piece),
            _ => None,
        })
        .collect();
    // The last piece is shorter.
    let pieces: Vec<u32> = (0..PIECES - 1).filter(|piece| !allowed.contains(piece)).collect();
    let (mut tally, mut waiting, mut asked) = (Tally::default(), Vec::new(), 0);
    drain(&mut rig, link, &mut waiting, &mut tally);
    while asked < flood.requests && rig.closed(link).is_none() {
        let request = nth(&flood, asked, &pieces);
        rig.say(link, Message::Request(request));
        tally.of(request)[0] += 1;
        asked += 1;
        let cancelled = match flood.asked {
            Same | Distinct => None,
            Cancelled | CancelledTwice => Some(request),
            CancelledLate => asked.checked_sub(11).map(|number| nth(&flood, number, &pieces)),
        };
        let times = if flood.asked == CancelledTwice { 3 } else { 1 };
        for cancelled in std::iter::repeat_n(cancelled, times).flatten() {
            if rig.closed(link).is_none() {
                rig.say(link, Message::Cancel(cancelled));
                tally.of(cancelled)[1] += 1;
            }
        }
        drain(&mut rig, link, &mut waiting, &mut tally);
        if flood.sending && asked % 8 == 0 {
            send_all(&mut rig, &mut waiting, &mut tally);
            rig.pass(Duration::from_millis(1));
            drain(&mut rig, link, &mut waiting, &mut tally);
        }
        if rig.closed(link).is_none() {
            tally.longest = tally.longest.max(rig.peer(link).requests_in);
        }
    }
    judge(&mut rig, link, &flood, (reqq, asked), (tally, waiting));
}

fn judge(
    rig: &mut Rig,
    link: LinkId,
    flood: &Flood,
    (reqq, asked): (u32, u32),
    (mut tally, mut waiting): (Tally, Vec<(SendToken, BlockRequest)>),
) {
    let case = format!("{flood:?}, {asked} asked");
    assert!(tally.longest <= reqq, "{case}: {} queued", tally.longest);
    assert!(tally.out <= 64, "{case}: {} blocks handed out, more than 1 MiB", tally.out);
    let keeps_up = matches!(flood.asked, Cancelled | CancelledLate | CancelledTwice);
    let limit = match (flood.choked, flood.sending || keeps_up) {
        (true, _) => Some((CHOKED_REQUESTS_MAX + 1, PeerMisbehaved::RequestsWhileChoked)),
        // Nothing leaves: the queue fills, and what is beyond it is counted.
        (false, false) => Some((reqq + EXCESS_REQUESTS_MAX + 1, PeerMisbehaved::TooManyRequests)),
        (false, true) => None,
    };
    match limit {
        Some((at, fault)) if flood.requests >= at => {
            assert_eq!((asked, rig.fault(link)), (at, Some(fault)), "{case}");
        }
        // How fast blocks leave decides how many are too many.
        // Every cancel costs a coin of the purse, into which at most a second or two have paid meanwhile.
        None if keeps_up && flood.cancels() > PURSE_MAX => {
            assert!(flood.cancels() > PURSE_MAX + 2 * PURSE_PER_SECOND, "{case}: too near the limit to tell");
            assert_eq!(rig.fault(link), Some(PeerMisbehaved::Flood), "{case}");
            let said = tally.sum(1);
            assert!(
                said > PURSE_MAX - 100 && said <= PURSE_MAX + 2 * PURSE_PER_SECOND,
                "{case}: after {said}"
            );
        }
        None if !keeps_up => {
            let fault = rig.fault(link);
            assert!(fault.is_none_or(|fault| fault == PeerMisbehaved::TooManyRequests), "{case}: {fault:?}");
        }
        Some(_) | None => assert_eq!(rig.closed(link), None, "{case}"),
    }
    if rig.closed(link).is_some() {
        return;
    }
    // Everything that waits is sent now: then every request has had its answer.
    let mut rounds = 0;
    while rig.peer(link).requests_in > 0 {
        send_all(rig, &mut waiting, &mut tally);
        rig.pass(Duration::from_millis(200));
        drain(rig, link, &mut waiting, &mut tally);
        rounds += 1;
        assert!(rounds < 5_000, "{case}: {} never answered", rig.peer(link).requests_in);
    }
    for (block, [asked, cancelled, sent, rejected]) in &tally.by_block {
        let answers = sent + rejected;
        let counts =
            format!("{block:?}: {asked} asked, {cancelled} cancelled, {sent} sent, {rejected} rejected");
        assert!(answers <= *asked, "{case}: {counts}");
        assert!(!flood.fast || answers == *asked, "{case}: {counts}");
        assert!(flood.fast || *rejected == 0, "{case}: a reject without the extension: {counts}");
        assert!(!flood.choked || *sent == 0, "{case}: sent while choked: {counts}");
    }
    assert_eq!(tally.sum(0), asked, "{case}");
}
