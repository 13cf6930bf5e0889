//! Law: good manners on every link. No request while choked but for allowed-fast pieces, none twice, never more than the
//! other side's `reqq`; one answer per request; never more unchoked than there are slots; nothing said that the other side
//! did not offer to understand, nothing after goodbye; no honest peer accused or banned. BEP: 3, 6

use super::{Checker, Scene, row};
use crate::node::node_at;
use core::net::IpAddr;
use core::time::Duration;
use proto::output::CloseReason;
use proto::{Event, Input, Instant, LinkId, Output, SendToken};
use std::collections::{BTreeMap, BTreeSet};
use wire::Message;
use wire::message::BlockRequest;

/// One optimistic unchoke beside the regular slots.
const OPTIMISTIC_SLOTS: usize = 1;
/// A request without an answer may be made again after this long.
const GIVE_UP_AFTER: Duration = Duration::from_secs(2);
/// A request that was recalled is rejected this soon (BEP 6: it must be answered).
const REJECT_WITHIN: Duration = Duration::from_secs(10);

/// Nobody waits longer for a block: a minute is the longest time-out, and a look at the clock may come late.
const WAITS_MAX: Duration = Duration::from_secs(75);

#[derive(Default)]
pub(super) struct Etiquette {
    rows: Vec<Row>,
}

#[derive(Default)]
struct Row {
    links: BTreeMap<LinkId, Manners>,
    banned: BTreeSet<IpAddr>,
    /// Somebody was unchoked: when the session has had its say, slots are counted.
    count_slots: bool,
}

/// What was said on one link, as one end knows it.
struct Manners {
    remote: Option<u32>,
    fast: bool,
    opened: bool,
    closing: bool,
    am_choking: bool,
    peer_choking: bool,
    am_interested: bool,
    peer_interested: bool,
    allowed_to_us: BTreeSet<u32>,
    allowed_to_them: BTreeSet<u32>,
    /// Our requests that wait for an answer, and since when.
    ours: BTreeMap<BlockRequest, Instant>,
    theirs: BTreeMap<BlockRequest, Owed>,
    /// Answers owed for all of them together.
    owed: u32,
    sending: BTreeMap<SendToken, BlockRequest>,
}

/// What became of the requests for one block so far; a stranger may ask for it more than once.
#[derive(Default, Debug)]
struct Owed {
    waiting: u32,
    /// Of those, called back and not yet rejected.
    cancelled: u32,
    sending: u32,
    /// Recalled, or not to be read, since then: rejects are due.
    unsent: Vec<Instant>,
}

type Report<'a> = &'a mut dyn FnMut(String);

impl Checker for Etiquette {
    fn name(&self) -> &'static str {
        "etiquette"
    }

    fn started(&mut self, scene: Scene<'_>) {
        *row(&mut self.rows, scene.index) = Row::default();
    }

    fn input(&mut self, scene: Scene<'_>, input: &Input<'_>, report: Report<'_>) {
        let row = row(&mut self.rows, scene.index);
        if core::mem::take(&mut row.count_slots) {
            row.check_slots(scene, report);
        }
        let links = &mut row.links;
        match input {
            Input::LinkUp(up) => {
                links.insert(up.link, Manners::new(node_at(up.remote), up.reserved.fast()));
            }
            Input::LinkDown { link, .. } => {
                links.remove(link);
            }
            Input::Message { link, message } => {
                if let Some(manners) = links.get_mut(link) {
                    manners.hear(scene, message, report);
                }
            }
            Input::Block { link, block, .. } => {
                if let Some(manners) = links.get_mut(link) {
                    manners.ours.remove(block);
                }
            }
            Input::Sent { token } => {
                if let Some(manners) = links.get_mut(&token.link)
                    && let Some(request) = manners.sending.remove(token)
                {
                    manners.answered(request, |owed| owed.sending -= 1);
                }
            }
            Input::Unsent { token, .. } => {
                if let Some(manners) = links.get_mut(&token.link) {
                    manners.unsent(*token, scene.now);
                }
            }
            _ => {}
        }
    }

    fn output(&mut self, scene: Scene<'_>, output: &Output, report: Report<'_>) {
        let Row { links, banned: bans, count_slots } = row(&mut self.rows, scene.index);
        match output {
            Output::Send { link, message } => {
                let Some(manners) = links.get_mut(link) else {
                    return report(format!("says {message:?} on {link:?}, which is not up"));
                };
                if manners.closing {
                    return report(format!("says {message:?} after goodbye"));
                }
                manners.say(scene.now, message, report);
                *count_slots |= *message == Message::Unchoke;
            }
            Output::Haves { link, .. } => match links.get(link) {
                Some(manners) if manners.opened || !manners.fast => {}
                Some(_) => report("have before the bitfield".into()),
                None => report(format!("haves on {link:?}, which is not up")),
            },
            Output::SendBlock { token, block, .. } => match links.get_mut(&token.link) {
                Some(manners) => manners.send_block(*token, BlockRequest::from(*block), report),
                None => report(format!("sends {block:?} on a link that is not up")),
            },
            Output::Close { link, why } => match links.get_mut(link) {
                Some(manners) => {
                    if manners.closing {
                        report(format!("closes {link:?} twice"));
                    }
                    manners.closing = true;
                    let honest = manners.remote.map(|far| &scene.nodes[far as usize]);
                    let honest = honest.filter(|far| far.is_honest() && !far.ills.rotten);
                    if let (CloseReason::Misbehaved(what), Some(far)) = (why, honest) {
                        report(format!("accuses honest node {} of {what:?}", far.index));
                    }
                }
                None => report(format!("closes {link:?}, which is not up")),
            },
            Output::Event(Event::PeerBanned(_, addr)) => {
                if !bans.insert(addr.ip()) {
                    report(format!("bans {} twice", addr.ip()));
                }
                let banned = node_at(*addr).map(|far| &scene.nodes[far as usize]);
                if let Some(far) = banned.filter(|far| far.is_honest() && !far.ills.rotten) {
                    report(format!("bans honest node {}", far.index));
                }
            }
            _ => {}
        }
    }

    fn inspect(&mut self, scene: Scene<'_>, report: Report<'_>) {
        if scene.node().session().is_none() {
            return;
        }
        for (link, manners) in &row(&mut self.rows, scene.index).links {
            let late = |owed: &Owed| {
                owed.unsent.first().is_some_and(|&since| scene.now.since(since) > REJECT_WITHIN)
            };
            let fast = manners.fast && !manners.closing;
            if let Some((request, _)) = manners.theirs.iter().find(|(_, owed)| fast && late(owed)) {
                report(format!("neither sends nor rejects {request:?} of {link:?}"));
            }
            let ends = |piece: &u32| manners.am_choking && !manners.allowed_to_them.contains(piece);
            let forgotten =
                manners.theirs.iter().find(|(request, owed)| owed.waiting > 0 && ends(&request.piece));
            if let Some((request, _)) = forgotten.filter(|_| fast) {
                report(format!("chokes {link:?} and does not reject {request:?}"));
            }
            // Whose reading is paused cannot be held to time.
            let old = |since: &Instant| {
                scene.now.since(*since) >= WAITS_MAX && scene.node().spec.lease.down.is_none()
            };
            if let Some((request, _)) = manners.ours.iter().find(|(_, since)| !manners.closing && old(since))
            {
                report(format!("waits for {request:?} of {link:?} for ever"));
            }
        }
    }
}

impl Row {
    fn check_slots(&self, scene: Scene<'_>, report: Report<'_>) {
        // A link that was said goodbye to is served no more, and that is checked on its own.
        let served = |link: &&Manners| !link.am_choking && link.peer_interested && !link.closing;
        let unchoked = self.links.values().filter(served);
        let (count, slots) = (unchoked.count(), scene.node().spec.lease.unchoke_slots);
        if count > slots as usize + OPTIMISTIC_SLOTS {
            report(format!("{count} interested peers unchoked, {slots} slots"));
        }
    }
}

impl Manners {
    fn new(remote: Option<u32>, fast: bool) -> Manners {
        Manners {
            remote,
            fast,
            opened: false,
            closing: false,
            am_choking: true,
            peer_choking: true,
            am_interested: false,
            peer_interested: false,
            allowed_to_us: BTreeSet::new(),
            allowed_to_them: BTreeSet::new(),
            ours: BTreeMap::new(),
            theirs: BTreeMap::new(),
            owed: 0,
            sending: BTreeMap::new(),
        }
    }

    fn hear(&mut self, scene: Scene<'_>, message: &Message, report: Report<'_>) {
        match message {
            Message::Choke => {
                self.peer_choking = true;
                if !self.fast {
                    self.ours.clear();
                }
            }
            Message::Unchoke => self.peer_choking = false,
            Message::Interested => self.peer_interested = true,
            Message::NotInterested => self.peer_interested = false,
            Message::Request(request) => {
                self.theirs.entry(*request).or_default().waiting += 1;
                self.owed += 1;
                let most = scene.node().config.requests_in_max;
                let far = self.remote.map(|far| &scene.nodes[far as usize]);
                if self.owed > most && far.is_some_and(|far| far.is_honest()) {
                    report(format!("has {} requests of {:?}, reqq is {most}", self.owed, self.remote));
                }
            }
            Message::Cancel(request) => {
                // Without the fast extension nobody is owed an answer to what they cancelled.
                match self.theirs.get_mut(request) {
                    Some(owed) if owed.waiting > owed.cancelled && !self.fast => {
                        self.answered(*request, |owed| owed.waiting -= 1);
                    }
                    // Whether one that waits or one that is leaving is meant, nobody can say.
                    Some(owed) if owed.waiting > owed.cancelled && owed.sending == 0 => owed.cancelled += 1,
                    Some(_) | None => {}
                }
            }
            Message::Reject(request) => {
                self.ours.remove(request);
            }
            Message::AllowedFast(piece) => {
                self.allowed_to_us.insert(*piece);
            }
            Message::KeepAlive
            | Message::Have(_)
            | Message::Bitfield(_)
            | Message::Port(_)
            | Message::Suggest(_)
            | Message::HaveAll
            | Message::HaveNone
            | Message::Extended { .. }
            | Message::Unknown(_) => {}
        }
    }

    fn say(&mut self, now: Instant, message: &Message, report: Report<'_>) {
        self.open(message, report);
        match message {
            Message::HaveAll | Message::HaveNone | Message::Suggest(_) if !self.fast => {
                report(format!("{message:?} without the fast extension"));
            }
            Message::Request(request) => self.request(now, *request, report),
            // What was called back may be asked for again, although an answer is still due.
            Message::Cancel(request) => {
                self.ours.remove(request);
            }
            Message::Choke => {
                if core::mem::replace(&mut self.am_choking, true) {
                    report("chokes twice".into());
                }
                if !self.fast {
                    self.theirs.values_mut().for_each(|owed| owed.waiting = 0);
                    self.theirs.retain(|_, owed| owed.sending > 0);
                    self.owed = self.theirs.values().map(|owed| owed.sending).sum();
                }
            }
            Message::Unchoke => {
                if !core::mem::replace(&mut self.am_choking, false) {
                    report("unchokes twice".into());
                }
            }
            Message::Interested | Message::NotInterested => {
                let now = *message == Message::Interested;
                if core::mem::replace(&mut self.am_interested, now) == now {
                    report(format!("says {message:?} twice"));
                }
            }
            Message::Reject(request) => {
                if !self.fast {
                    report("rejects without the fast extension".into());
                }
                match self.theirs.get_mut(request) {
                    Some(owed) if !owed.unsent.is_empty() => {
                        self.answered(*request, |owed| {
                            owed.unsent.remove(0);
                        });
                    }
                    Some(owed) if owed.waiting > 0 => self.answered(*request, |owed| {
                        (owed.waiting, owed.cancelled) = (owed.waiting - 1, owed.cancelled.saturating_sub(1));
                    }),
                    Some(_) => report(format!("rejects {request:?} while it is on its way")),
                    None => report(format!("rejects {request:?}, which nobody asked for")),
                }
            }
            Message::AllowedFast(piece) => {
                if !self.fast {
                    report("allowed-fast without the fast extension".into());
                }
                self.allowed_to_them.insert(*piece);
            }
            Message::KeepAlive
            | Message::Have(_)
            | Message::Bitfield(_)
            | Message::Port(_)
            | Message::Suggest(_)
            | Message::HaveAll
            | Message::HaveNone
            | Message::Extended { .. }
            | Message::Unknown(_) => {}
        }
    }

    /// What has to come first does, and nothing else.
    fn open(&mut self, message: &Message, report: Report<'_>) {
        match message {
            Message::Bitfield(_) | Message::HaveAll | Message::HaveNone if self.opened => {
                report(format!("{message:?} is not the first message"));
            }
            Message::Bitfield(_) | Message::HaveAll | Message::HaveNone => self.opened = true,
            Message::KeepAlive | Message::Extended { .. } => {}
            // Without the fast extension a peer with nothing may say nothing (BEP 3).
            _ if !self.fast => self.opened = true,
            _ if !self.opened => report(format!("{message:?} before the bitfield")),
            _ => {}
        }
    }

    fn request(&mut self, now: Instant, request: BlockRequest, report: Report<'_>) {
        if self.peer_choking && !self.allowed_to_us.contains(&request.piece) {
            report(format!("{request:?} while choked"));
        }
        if !self.am_interested {
            report(format!("{request:?} without interest"));
        }
        let before = self.ours.insert(request, now);
        if before.is_some_and(|before| now.since(before) < GIVE_UP_AFTER) {
            report(format!("{request:?} twice"));
        }
    }

    fn send_block(&mut self, token: SendToken, request: BlockRequest, report: Report<'_>) {
        if self.closing {
            report(format!("sends {request:?} after goodbye"));
        }
        if self.am_choking && !self.allowed_to_them.contains(&request.piece) {
            report(format!("sends {request:?} to a choked peer"));
        }
        match self.theirs.get_mut(&request) {
            Some(owed) if owed.waiting > 0 => {
                if owed.cancelled >= owed.waiting {
                    report(format!("sends {request:?}, which was cancelled"));
                }
                (owed.waiting, owed.sending) = (owed.waiting - 1, owed.sending + 1)
            }
            Some(owed) if !owed.unsent.is_empty() => {
                owed.unsent.remove(0);
                owed.sending += 1;
            }
            Some(_) => report(format!("answers {request:?} twice")),
            None => report(format!("sends {request:?}, which nobody asked for")),
        }
        self.sending.insert(token, request);
    }

    fn unsent(&mut self, token: SendToken, now: Instant) {
        let Some(request) = self.sending.remove(&token) else { return };
        match self.theirs.get_mut(&request) {
            Some(owed) if self.fast && owed.sending > 0 => {
                owed.sending -= 1;
                owed.unsent.push(now);
            }
            Some(_) => self.answered(request, |owed| owed.sending = owed.sending.saturating_sub(1)),
            None => {}
        }
    }

    /// One answer less is owed.
    fn answered(&mut self, request: BlockRequest, strike: impl FnOnce(&mut Owed)) {
        let Some(owed) = self.theirs.get_mut(&request) else { return };
        strike(owed);
        self.owed -= 1;
        if owed.waiting + owed.sending == 0 && owed.unsent.is_empty() {
            self.theirs.remove(&request);
        }
    }
}
