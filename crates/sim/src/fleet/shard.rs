//! A part of a fleet's nodes: what one pair of hands does in a window.
//!
//! In a window the shards know nothing of one another. What leaves for other nodes is sorted by shard and handed over between two
//! windows. Nothing depends on how many shards there are: all that is shared is either frozen for the window or a sum.

use super::flow::Flow;
use super::mail::{Letter, Mail, Post, ROUND, sorted};
use super::node::{Held, Node, Own};
use crate::content::mix;
use crate::network::micros;
use crate::sharing::Sharing;
use core::ops::Range;
use core::time::Duration;
use proto::output::Announce;
use proto::{Config, Instant, Lease, Outbox, ScrapeId};
use std::sync::Arc;
use wire::Metainfo;

/// What all nodes share and nothing changes.
pub(super) struct Scene {
    pub(super) metainfo: Arc<Metainfo>,
    /// By group.
    pub(super) kinds: Vec<Kind>,
    /// Microseconds to the core, by node.
    pub(super) latencies: Vec<u32>,
    pub(super) seed: u64,
    /// Microseconds of a window.
    pub(super) span: u64,
    /// Nodes of a shard; the last one may have fewer.
    pub(super) per_shard: u32,
    /// How flows share links.
    pub(super) sharing: Sharing,
    /// All outputs are digested.
    pub(super) traced: bool,
}

/// What the members of a group have in common.
pub(super) struct Kind {
    pub(super) lease: Lease,
    pub(super) config: Config,
    pub(super) sequential: bool,
}

/// A question to a tracker.
#[derive(Debug)]
pub(super) enum Visit {
    Announce(Box<Announce>),
    Scrape(ScrapeId),
}

/// What is counted, over all nodes of a shard.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) events: u64,
    pub(super) pieces: u64,
    /// Those who came for the content and have it, or have gone without.
    pub(super) settled: u32,
    /// Payload bytes that left, arrived, and found nobody.
    pub(super) left: u64,
    pub(super) arrived: u64,
    pub(super) lost: u64,
    pub(super) overhead: u64,
    /// Outputs and events that cannot be among honest nodes without a limit.
    pub(super) unforeseen: u64,
}

/// Some nodes, and what waits for them.
pub(super) struct Shard {
    pub(super) first: u32,
    pub(super) nodes: Vec<Node>,
    /// When each has something to do.
    pub(super) due: Vec<Instant>,
    pub(super) post: Post,
    pub(super) leaving: Leaving,
    pub(super) visits: Vec<(Instant, u32, Visit)>,
    pub(super) tally: Tally,
    /// When the downlinks were dealt last.
    dealt: Instant,
    outbox: Outbox,
    numbers: Vec<u32>,
}

/// What leaves a shard in a window, by the shard that it is for.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    pub(super) mail: Vec<Vec<Mail>>,
    /// What receivers learn of their flows.
    pub(super) flows: Vec<Vec<FlowNews>>,
}

/// A flow began or ended, or goes on.
#[derive(Clone, Copy, Debug)]
pub(super) struct FlowNews {
    /// To whom it leads.
    to: u32,
    /// How many flows there are more.
    change: i8,
    /// Its rate, if it goes on and its sender's uplink holds it; more than any rate if not.
    held: u64,
    /// Bytes that it brought since the last news.
    bytes: u64,
}

/// No rate of a flow that its sender's uplink holds.
const FREE: u64 = u64::MAX;

/// What a node has at hand while it is visited.
pub(super) struct Desk<'a> {
    pub(super) scene: &'a Scene,
    pub(super) now: Instant,
    pub(super) begin: Instant,
    /// The window ends; what is at hand is before it.
    pub(super) end: Instant,
    /// What each node's downlink gives each flow that leads there, by shard.
    pub(super) downs: &'a [Vec<u64>],
    /// Letters to nodes of the same shard.
    pub(super) own: &'a mut Post,
    /// The numbers of those nodes.
    pub(super) near: Range<u32>,
    pub(super) leaving: &'a mut Leaving,
    pub(super) visits: &'a mut Vec<(Instant, u32, Visit)>,
    pub(super) tally: &'a mut Tally,
    pub(super) outbox: &'a mut Outbox,
    /// Room for piece numbers.
    pub(super) numbers: &'a mut Vec<u32>,
}

impl Desk<'_> {
    /// One way between two nodes; never less than a window.
    pub(super) fn latency(&self, a: u32, b: u32) -> Duration {
        let [a, b] = [a, b].map(|node| u64::from(self.scene.latencies[node as usize]));
        Duration::from_micros((a + b).max(self.scene.span))
    }

    pub(super) fn down_of(&self, node: u32) -> u64 {
        let per = self.scene.per_shard;
        self.downs[(node / per) as usize][(node % per) as usize]
    }

    pub(super) fn post(&mut self, mail: Mail) {
        debug_assert!(mail.at >= self.end, "a letter would arrive in the window in which it was written");
        match self.near.contains(&mail.to) {
            true => self.own.put(mail),
            false => self.leaving.mail[(mail.to / self.scene.per_shard) as usize].push(mail),
        }
    }

    /// A flow to a node began.
    pub(super) fn began(&mut self, to: u32) {
        self.tell(FlowNews { to, change: 1, held: FREE, bytes: 0 });
    }

    /// A flow ended, at its time or before.
    pub(super) fn ended(&mut self, flow: &mut Flow) {
        self.tell(FlowNews { to: flow.far, change: -1, held: FREE, bytes: flow.take_uncharged() });
    }

    /// A flow goes on after this window.
    fn goes_on(&mut self, flow: &mut Flow) {
        let held = flow.held_by_uplink().unwrap_or(FREE);
        self.tell(FlowNews { to: flow.far, change: 0, held, bytes: flow.take_uncharged() });
    }

    fn tell(&mut self, news: FlowNews) {
        self.leaving.flows[(news.to / self.scene.per_shard) as usize].push(news);
    }
}

impl Shard {
    pub(super) fn new(first: u32, nodes: Vec<Node>, shards: usize, span: u64) -> Shard {
        let lists = || (0..shards).map(|_| Vec::new()).collect();
        Shard {
            first,
            due: nodes.iter().map(Node::due).collect(),
            nodes,
            post: Post::new(first, span),
            leaving: Leaving { mail: lists(), flows: (0..shards).map(|_| Vec::new()).collect() },
            visits: Vec::new(),
            tally: Tally::default(),
            dealt: Instant::ZERO,
            outbox: Outbox::new(),
            numbers: Vec::new(),
        }
    }

    pub(super) fn node_mut(&mut self, node: u32) -> &mut Node {
        &mut self.nodes[(node - self.first) as usize]
    }

    /// A node does something by itself at a set time.
    pub(super) fn plan(&mut self, node: u32, at: Instant, own: Own) {
        let place = (node - self.first) as usize;
        self.nodes[place].later.push(at, own);
        self.due[place] = self.due[place].min(at);
    }

    /// Takes in what other shards have for this one.
    pub(super) fn take_in(&mut self, mail: Vec<Mail>, flows: Vec<FlowNews>) {
        mail.into_iter().for_each(|mail| self.post.put(mail));
        for FlowNews { to, change, held, bytes } in flows {
            let books = &mut self.node_mut(to).books;
            books.ahead = books.ahead.saturating_add_unsigned(bytes);
            books.flows_in = books.flows_in.saturating_add_signed(change.into());
            if held != FREE {
                books.held.add(held);
            }
        }
    }

    /// Deals the downlinks: what each flow to a node gets in the window that begins now, of which those that their senders hold take no
    /// more than in the last one. Flows that begin within a window find a deal that
    /// was made without them, so a downlink may carry more than it can; then it carries less in the next window. What it did not carry
    /// it does not make up for: twice the rate for a window was measured to let a whole swarm finish a fifth too soon.
    pub(super) fn deal(&mut self, scene: &Scene, begin: Instant, downs: &mut Vec<u64>) {
        let passed = micros(begin.since(self.dealt)).max(scene.span);
        self.dealt = begin;
        downs.clear();
        downs.extend(self.nodes.iter_mut().map(|node| {
            let (books, down) = (&mut node.books, node.member.access.down);
            let carries =
                |span: u64| i64::try_from(down.saturating_mul(span) / 1_000_000).unwrap_or(i64::MAX);
            let whole = carries(scene.span);
            books.ahead = books.ahead.saturating_sub(carries(passed)).max(-whole);
            let carries = u64::try_from(-books.ahead).unwrap_or(0) * 1_000_000 / scene.span;
            let held = core::mem::take(&mut books.held);
            match scene.sharing {
                Sharing::Equal => Held::default().level(carries, books.flows_in),
                Sharing::MaxMin => held.level(carries, books.flows_in),
            }
        }));
    }

    /// Visits all nodes that have something to do in this window.
    pub(super) fn visit(&mut self, scene: &Scene, downs: &[Vec<u64>], begin: Instant) {
        let Shard { first, nodes, due, post, leaving, visits, tally, outbox, numbers, .. } = self;
        let end = begin + Duration::from_micros(scene.span);
        let near = *first..*first + nodes.len() as u32;
        let mut mail = post.take(begin.as_micros() / scene.span).into_iter();
        for (nodes, due) in nodes.chunks_mut(ROUND).zip(due.chunks_mut(ROUND)) {
            let mut mail = sorted(mail.next().unwrap_or_default()).into_iter().peekable();
            for (node, due) in nodes.iter_mut().zip(due) {
                let mut desk = Desk {
                    scene,
                    now: begin,
                    begin,
                    end,
                    downs,
                    own: &mut *post,
                    near: near.clone(),
                    leaving: &mut *leaving,
                    visits: &mut *visits,
                    tally: &mut *tally,
                    outbox: &mut *outbox,
                    numbers: &mut *numbers,
                };
                let flows = !node.uplink.is_idle();
                if flows {
                    node.begin_window(&mut desk);
                }
                if flows || *due < end || mail.peek().is_some_and(|mail| mail.to == node.index) {
                    node.visit(&mut desk, &mut mail);
                    node.end_window(&mut desk);
                    *due = node.due();
                }
            }
        }
    }

    /// The first window in which there is something to do here, if nothing comes from elsewhere.
    pub(super) fn next_window(&self, span: u64, after: u64) -> u64 {
        if self.nodes.iter().any(|node| !node.uplink.is_idle()) {
            return after;
        }
        let due = self.due.iter().min().map_or(u64::MAX, |due| due.as_micros() / span);
        due.min(self.post.first().unwrap_or(u64::MAX)).max(after)
    }

    /// What was said by its nodes, as a sum: the order of nodes is of no account, what each said and when is.
    pub(super) fn digest(&self) -> u64 {
        let each = self.nodes.iter().map(|node| mix(node.digest ^ mix(node.index.into())));
        each.fold(0, u64::wrapping_add)
    }

    /// Payload bytes on their way to its nodes.
    pub(super) fn arriving(&self) -> u64 {
        let lens = self.post.iter().map(|mail| match &mail.letter {
            Letter::Block(block) => u64::from(block.len),
            _ => 0,
        });
        lens.sum()
    }
}

impl Node {
    /// The uplink's budget for the window, and news of slow blocks.
    fn begin_window(&mut self, desk: &mut Desk<'_>) {
        self.deal_uplink(desk);
        for (far, half, bytes) in self.uplink.news(desk.begin) {
            if let Some(row) = self.halves.get(half).copied() {
                self.send(desk, far, row.latency(), row.far_half, Letter::Progress(bytes));
            }
        }
    }

    /// What has left by the end of the window is told to those who received it.
    fn end_window(&mut self, desk: &mut Desk<'_>) {
        self.uplink.settle(desk.end);
        self.uplink.flows_mut().iter_mut().for_each(|flow| desk.goes_on(flow));
    }

    pub(super) fn deal_uplink(&mut self, desk: &Desk<'_>) {
        self.uplink.deal(desk.begin, self.member.access.up, desk.scene.span, |far| desk.down_of(far));
    }
}

/// Microseconds to the core of a link.
pub(super) fn latency(access: &crate::Access) -> u32 {
    u32::try_from(micros(access.latency)).unwrap_or(u32::MAX)
}
