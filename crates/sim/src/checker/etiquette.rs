//! Law: good manners on every link. No request while choked but for allowed-fast pieces, none twice, never more than the
//! other side's `reqq`; one answer per request; never more unchoked than there are slots; nothing said that the other side
//! did not offer to understand, nothing after goodbye; no honest peer accused or banned. BEP: 3, 6

use super::{Checker, Scene, row};
use crate::node::node_at;
use core::time::Duration;
use proto::output::CloseReason;
use proto::{Event, Input, Instant, LinkId, Output, SendToken};
use std::collections::{BTreeMap, BTreeSet};
use wire::Message;
use wire::message::BlockRequest;

/// One optimistic unchoke beside the regular slots.
const OPTIMISTIC_SLOTS: usize = 1;
/// A request that was recalled is rejected this soon (BEP 6: it must be answered).
const REJECT_WITHIN: Duration = Duration::from_secs(10);

#[derive(Default)]
pub(super) struct Etiquette {
    rows: Vec<BTreeMap<LinkId, Manners>>,
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
    ours: BTreeSet<BlockRequest>,
    theirs: BTreeMap<BlockRequest, Owed>,
    sending: BTreeMap<SendToken, BlockRequest>,
}

/// What became of a request so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Owed {
    Waiting,
    Sending,
    /// The block was recalled or could not be read, and a reject is due.
    Unsent(Instant),
}

type Report<'a> = &'a mut dyn FnMut(String);

impl Checker for Etiquette {
    fn name(&self) -> &'static str {
        "etiquette"
    }

    fn started(&mut self, scene: Scene<'_>) {
        row(&mut self.rows, scene.index).clear();
    }

    fn input(&mut self, scene: Scene<'_>, input: &Input<'_>, report: Report<'_>) {
        let links = row(&mut self.rows, scene.index);
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
                    manners.theirs.remove(&request);
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
        let links = row(&mut self.rows, scene.index);
        match output {
            Output::Send { link, message } => {
                let Some(manners) = links.get_mut(link) else {
                    return report(format!("says {message:?} on {link:?}, which is not up"));
                };
                if manners.closing {
                    return report(format!("says {message:?} after goodbye"));
                }
                manners.say(message, report);
                if *message == Message::Unchoke {
                    let unchoked = links.values().filter(|link| !link.am_choking && link.peer_interested);
                    let (count, slots) = (unchoked.count(), scene.node().spec.lease.unchoke_slots);
                    if count > slots as usize + OPTIMISTIC_SLOTS {
                        report(format!("{count} interested peers unchoked, {slots} slots"));
                    }
                }
            }
            Output::Haves { link, .. } => match links.get(link) {
                Some(manners) if manners.opened => {}
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
                let banned = node_at(*addr).map(|far| &scene.nodes[far as usize]);
                if let Some(far) = banned.filter(|far| far.is_honest() && !far.ills.rotten) {
                    report(format!("bans honest node {}", far.index));
                }
            }
            _ => {}
        }
    }

    fn inspect(&mut self, scene: Scene<'_>, report: Report<'_>) {
        for (link, manners) in row(&mut self.rows, scene.index) {
            let late = |owed: &Owed| match owed {
                Owed::Unsent(since) => scene.now.since(*since) > REJECT_WITHIN,
                Owed::Waiting | Owed::Sending => false,
            };
            let fast = manners.fast && !manners.closing;
            if let Some((request, _)) = manners.theirs.iter().find(|(_, owed)| fast && late(owed)) {
                report(format!("neither sends nor rejects {request:?} of {link:?}"));
            }
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
            ours: BTreeSet::new(),
            theirs: BTreeMap::new(),
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
                self.theirs.entry(*request).or_insert(Owed::Waiting);
                let most = scene.node().config.requests_in_max as usize;
                let far = self.remote.map(|far| &scene.nodes[far as usize]);
                if self.theirs.len() > most && far.is_some_and(|far| far.is_honest()) {
                    report(format!(
                        "has {} requests of {:?}, reqq is {most}",
                        self.theirs.len(),
                        self.remote
                    ));
                }
            }
            Message::Cancel(request) => {
                // Without the fast extension nobody is owed an answer to what they cancelled.
                if !self.fast && self.theirs.get(request) == Some(&Owed::Waiting) {
                    self.theirs.remove(request);
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

    fn say(&mut self, message: &Message, report: Report<'_>) {
        match message {
            Message::Bitfield(_) | Message::HaveAll | Message::HaveNone if self.opened => {
                report(format!("{message:?} is not the first message"));
            }
            Message::Bitfield(_) | Message::HaveAll | Message::HaveNone => self.opened = true,
            // Without the fast extension a peer with nothing may say nothing (BEP 3).
            _ if !self.fast => self.opened = true,
            Message::KeepAlive | Message::Extended { .. } => {}
            _ if !self.opened => report(format!("{message:?} before the bitfield")),
            _ => {}
        }
        match message {
            Message::HaveAll | Message::HaveNone | Message::Suggest(_) if !self.fast => {
                report(format!("{message:?} without the fast extension"));
            }
            Message::Request(request) => self.request(*request, report),
            Message::Choke => {
                if core::mem::replace(&mut self.am_choking, true) {
                    report("chokes twice".into());
                }
                if !self.fast {
                    self.theirs.retain(|_, owed| *owed == Owed::Sending);
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
                // A request over `reqq` or twice made was never entered, so that its reject finds nothing here.
                if self.theirs.get(request) == Some(&Owed::Sending) {
                    report(format!("rejects {request:?} while it is on its way"));
                }
                self.theirs.remove(request);
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
            | Message::Cancel(_)
            | Message::Port(_)
            | Message::Suggest(_)
            | Message::HaveAll
            | Message::HaveNone
            | Message::Extended { .. }
            | Message::Unknown(_) => {}
        }
    }

    fn request(&mut self, request: BlockRequest, report: Report<'_>) {
        if self.peer_choking && !self.allowed_to_us.contains(&request.piece) {
            report(format!("{request:?} while choked"));
        }
        if !self.am_interested {
            report(format!("{request:?} without interest"));
        }
        if !self.ours.insert(request) {
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
        match self.theirs.insert(request, Owed::Sending) {
            Some(Owed::Waiting) => {}
            Some(Owed::Unsent(_)) => {}
            Some(Owed::Sending) => report(format!("answers {request:?} twice")),
            None => report(format!("sends {request:?}, which nobody asked for")),
        }
        self.sending.insert(token, request);
    }

    fn unsent(&mut self, token: SendToken, now: Instant) {
        let Some(request) = self.sending.remove(&token) else { return };
        if self.fast {
            self.theirs.insert(request, Owed::Unsent(now));
        } else {
            self.theirs.remove(&request);
        }
    }
}
