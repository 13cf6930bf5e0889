//! Attackers as nodes of a world: they are told what comes in over their links, and what they do is done over the same
//! network that honest nodes have. What they are is in `hostile`; they know the addresses of all honest nodes, and the
//! tracker knows them as seeds or leechers, as they claim.

use crate::content::{Content, mix};
use crate::happening::{Happening, Knock};
use crate::hostile::habit::{Claims, Habit, Opens};
use crate::hostile::ring::Ring;
use crate::hostile::{Act, Attacker, Bytes, Cause, News};
use crate::network::{BLOCK_HEADER, Parcel, PipeId};
use crate::node::{Brain, Heard, Node, addr_of, node_at};
use crate::world::{World, torrent_id};
use core::time::Duration;
use proto::input::DialFailure;
use proto::output::CloseReason;
use proto::tracker::swarm_table::Visit;
use proto::{LinkId, Seed};
use std::sync::Arc;
use wire::announce::AnnounceEvent;
use wire::{Block, PeerId};

/// How long a node waits for a handshake (libtorrent's and our own ten seconds).
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// What an attacker's socket would not take, because so much is in line already, is lost: nobody sends faster than their link.
const BACKLOG_MAX: Duration = Duration::from_millis(500);
/// Attackers that work together.
const RING_MEMBERS: u32 = 3;

impl Node {
    /// Whether no handshake with this node ever ends well.
    pub(crate) fn never_shakes_hands(&self) -> bool {
        let opens = self.spec.hostile.map(|habit| habit.opens);
        matches!(opens, Some(Opens::Never | Opens::Halfway | Opens::Slowly))
    }

    /// What it calls itself towards another.
    pub(crate) fn peer_id_for(&self, other: &Node) -> PeerId {
        match self.spec.hostile.map(|habit| habit.opens) {
            Some(Opens::AsYou) => other.config.peer_id,
            Some(Opens::AsMany) => PeerId(*b"-XX0000-legionlegion"),
            Some(Opens::Properly | Opens::Never | Opens::Halfway | Opens::Slowly) | None => {
                self.config.peer_id
            }
        }
    }
}

impl World {
    /// An attacker's process begins.
    pub(crate) fn start_attacker(&mut self, index: u32, habit: &'static Habit) {
        let honest = self.nodes.iter().filter(|node| node.spec.hostile.is_none());
        let victims = honest.map(|node| addr_of(node.index)).collect();
        let cause = Cause {
            metainfo: self.contents[0].metainfo().clone(),
            victims,
            ring: self.ring_of(index, habit),
            vigour: 1,
        };
        let node = &mut self.nodes[index as usize];
        let seed = Seed(node.rng.next_u64());
        node.brain = Brain::Attacker(Box::new(Attacker::new(habit, cause, seed, self.now)));
        let left = match habit.claims {
            Claims::All | Claims::Changing => 0,
            Claims::Silence
            | Claims::Nothing
            | Claims::Half
            | Claims::Growing
            | Claims::Malformed
            | Claims::Beyond => 1,
        };
        let visit = Visit {
            info_hash: self.contents[0].metainfo().info_hash,
            peer: addr_of(index),
            event: AnnounceEvent::Started,
            left,
            want: 0,
        };
        if self.tracker.alive {
            self.tracker.register(self.now, visit);
        }
        self.arrange_prompt(index);
    }

    /// Its place among the attackers of its kind.
    fn ring_of(&self, index: u32, habit: &'static Habit) -> Ring {
        let same = |node: &&Node| node.spec.hostile.is_some_and(|other| other.name == habit.name);
        let kin = self.nodes.iter().filter(same).filter(|node| node.index < index).count() as u32;
        let secret = mix(self.settings.seed ^ u64::from(kin / RING_MEMBERS));
        Ring { secret, member: kin % RING_MEMBERS, members: RING_MEMBERS }
    }

    /// An attacker asked to be woken.
    pub(crate) fn prompt(&mut self, index: u32, incarnation: u32) {
        let (now, node) = (self.now, &mut self.nodes[index as usize]);
        if node.incarnation != incarnation || node.alarm.at != Some(now) {
            return;
        }
        node.alarm.at = None;
        self.with_attacker(index, |attacker, acts| attacker.wake(now, acts));
    }

    /// Lets an attacker know.
    pub(crate) fn tell_attacker(&mut self, index: u32, heard: &Heard) {
        let now = self.now;
        self.with_attacker(index, |attacker, acts| match heard {
            Heard::Up(up) => attacker.hear(now, News::Up { link: up.link, remote: up.remote }, acts),
            Heard::Down(link, _) => attacker.hear(now, News::Down { link: *link }, acts),
            Heard::Message(link, message) => {
                attacker.hear(now, News::Said { link: *link, message }, acts);
            }
            Heard::Haves(link, pieces) => pieces.iter().for_each(|&piece| {
                let message = wire::Message::Have(piece);
                attacker.hear(now, News::Said { link: *link, message: &message }, acts);
            }),
            Heard::Block(link, block, _) => {
                attacker.hear(now, News::Block { link: *link, block: *block }, acts);
            }
        });
    }

    fn with_attacker(&mut self, index: u32, ask: impl FnOnce(&mut Attacker, &mut Vec<Act>)) {
        let Brain::Attacker(attacker) = &mut self.nodes[index as usize].brain else { return };
        let mut acts = Vec::new();
        ask(attacker, &mut acts);
        for act in acts {
            self.act(index, act);
        }
        self.arrange_prompt(index);
    }

    fn arrange_prompt(&mut self, index: u32) {
        let node = &mut self.nodes[index as usize];
        let Brain::Attacker(attacker) = &node.brain else { return };
        let Some(at) = attacker.next_wake().map(|at| at.max(self.now)) else { return };
        if node.alarm.at.is_none_or(|wake| at < wake) {
            node.alarm.at = Some(at);
            self.queue.push(at, index, Happening::Prompt { incarnation: node.incarnation });
        }
    }

    fn act(&mut self, index: u32, act: Act) {
        let speaks = matches!(act, Act::Say { .. } | Act::Send { .. });
        if speaks && self.network.control_lag(index, self.now) > BACKLOG_MAX {
            return;
        }
        match act {
            Act::Say { link, message } => self.send(index, link, message),
            Act::Send { link, block, bytes } => self.send_whole(index, link, block, bytes),
            Act::Drip { link, block: _, bytes } => {
                let Some(pipe) = self.nodes[index as usize].pipe(link) else { return };
                let PipeId { conn, from } = pipe;
                let Some((far, _)) = self.network.end(conn, from.other()) else { return };
                let at = self.network.last_word(conn, from, self.now);
                self.queue.push(at, far, Happening::Progress { pipe, bytes });
            }
            Act::HangUp { link } => self.close(index, link, CloseReason::Gone),
            Act::Dial { remote } => {
                if let Some(far) = node_at(remote) {
                    self.puppet_dials(index, far);
                }
            }
        }
    }

    fn send_whole(&mut self, index: u32, link: LinkId, block: Block, bytes: Bytes) {
        let content: &Arc<Content> = &self.contents[torrent_id(0).slot as usize];
        let right = content.tag(block);
        let tag = match bytes {
            Bytes::Right => right,
            Bytes::Wrong { salt } => right.spoilt(salt),
        };
        if self.nodes[index as usize].pipe(link).is_some() {
            self.network.totals.left += u64::from(block.len);
        }
        self.send_parcel(index, link, Parcel::Block { block, tag }, block.len + BLOCK_HEADER);
    }

    /// A dial to, or by, a node that takes links and never ends a handshake.
    pub(crate) fn leave_waiting(&mut self, knock: Knock) {
        let why = DialFailure::TimedOut;
        self.queue.push(self.now + HANDSHAKE_MAX, knock.dialer, Happening::Unanswered { knock, why });
    }
}
