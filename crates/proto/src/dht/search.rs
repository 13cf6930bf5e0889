//! What a walk is for, what it found, and how it went.

use super::lookup::Lookup;
use super::{SearchId, Wanted};
use crate::{Duration, Instant};
use core::net::SocketAddr;
use std::collections::BTreeSet;
use wire::InfoHash;
use wire::bloom::Filter;
use wire::item::Item;
use wire::krpc::{Method, NodeInfo, Put, Samples, Token, Want};
use wire::node_id::NodeId;

/// Peers that one search remembers to have told of, so that each is told once.
const PEERS_TOLD_MAX: usize = 2_000;

/// What a user looks for.
#[derive(Clone, PartialEq, Debug)]
pub enum Goal {
    /// The nodes nearest to an id.
    Nodes(NodeId),
    /// Peers of a torrent; and announce ourselves, if there is a port (BEP 5). Counts come too if asked for (BEP 33).
    Peers {
        /// Of which.
        info_hash: InfoHash,
        /// How it is announced, if at all.
        announce: Option<Wanted>,
        /// Whether nodes are asked how many peers they know.
        scrape: bool,
    },
    /// The item under a target (BEP 44). Of a mutable one the newest that any node has.
    Item {
        /// Its target.
        target: NodeId,
        /// The salt of a mutable one, without which its signature cannot be checked; empty if it has none.
        salt: Box<[u8]>,
    },
    /// Put an item at the nodes nearest to its target.
    Put(Box<Put>),
    /// Which torrents the nodes near an id know (BEP 51).
    Sample(NodeId),
}

/// Something that a user's search found.
#[derive(Clone, PartialEq, Debug)]
pub enum Finding {
    /// Peers that were not told of before.
    Peers(Vec<SocketAddr>),
    /// An item, newer than those told of before.
    Item(Item),
    /// What a node knows.
    Samples {
        /// Which node.
        by: NodeInfo,
        /// What it said.
        samples: Samples,
    },
}

/// How a search went.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Report {
    /// Nodes asked.
    pub asked: u32,
    /// Nodes that answered.
    pub answered: u32,
    /// Answers that led to the nearest node.
    pub hops: u8,
    /// Nodes that took what was to be stored.
    pub stored: u32,
    /// Nodes that refused it, and the words of the last one: a stranger's text.
    pub refused: Option<(u32, Box<str>)>,
    /// Different peers found.
    pub peers: u32,
    /// Seeds and other peers, as all nodes together know them (BEP 33).
    pub counts: Option<(u32, u32)>,
    /// The nodes nearest to the target that answered, the nearest first.
    pub nearest: Vec<NodeInfo>,
    /// How long it took.
    pub took: Duration,
}

/// Whom a search is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Owner {
    /// A user.
    User(SearchId),
    /// A torrent of ours.
    Wanted(InfoHash),
    /// The routing table of a family.
    Upkeep(usize),
}

impl Owner {
    /// Whether its walk goes through this family.
    pub(super) fn walks_in(&self, at: usize) -> bool {
        match self {
            Owner::Upkeep(of) => *of == at,
            Owner::User(_) | Owner::Wanted(_) => true,
        }
    }
}

/// A search under way.
#[derive(Clone, Debug)]
pub(super) struct Search {
    pub(super) owner: Owner,
    pub(super) goal: Goal,
    /// Under which ids we ask: those of the beginning, for tokens are bound to them.
    pub(super) ids: [Option<NodeId>; 2],
    /// One walk per family that we take part in.
    pub(super) lookups: [Option<Lookup>; 2],
    /// Questions to addresses without known ids, under way.
    pub(super) blind: [u8; 2],
    /// Nodes that are being asked to store; nothing before the walks are over.
    pub(super) storing: Option<u32>,
    pub(super) report: Report,
    told: BTreeSet<SocketAddr>,
    newest: Option<Item>,
    filters: Option<(Filter, Filter)>,
    begun: Instant,
}

impl Search {
    pub(super) fn new(
        owner: Owner,
        goal: Goal,
        ids: [Option<NodeId>; 2],
        lookups: [Option<Lookup>; 2],
        now: Instant,
    ) -> Search {
        Search {
            owner,
            goal,
            ids,
            lookups,
            blind: [0; 2],
            storing: None,
            report: Report::default(),
            told: BTreeSet::new(),
            newest: None,
            filters: None,
            begun: now,
        }
    }

    /// What a node is asked on the way.
    pub(super) fn step(&self, want: Option<Want>) -> Method {
        match &self.goal {
            Goal::Nodes(target) => Method::FindNode { target: *target, want },
            Goal::Peers { info_hash, announce, scrape } => Method::GetPeers {
                info_hash: *info_hash,
                want,
                noseed: announce.is_some_and(|announce| announce.seed),
                scrape: *scrape,
            },
            Goal::Item { target, .. } => Method::Get { target: *target, seq: None, want },
            Goal::Put(put) => Method::Get { target: put.item.target(), seq: None, want },
            Goal::Sample(target) => Method::SampleInfohashes { target: *target, want },
        }
    }

    /// What a node is asked in the end, given its token; nothing if nothing is to be stored.
    pub(super) fn store(&self, token: Token) -> Option<Method> {
        match &self.goal {
            Goal::Peers { info_hash, announce: Some(announce), .. } => Some(Method::AnnouncePeer {
                info_hash: *info_hash,
                port: announce.port?,
                implied_port: false,
                seed: announce.seed,
                token,
            }),
            Goal::Put(put) => Some(Method::Put { token, put: put.as_ref().clone() }),
            Goal::Nodes(_) | Goal::Peers { .. } | Goal::Item { .. } | Goal::Sample(_) => None,
        }
    }

    /// The walk of a family. There is one if a question was asked there.
    pub(super) fn lookup(&mut self, family: usize) -> &mut Lookup {
        let target = self.goal.target();
        self.lookups[family]
            .get_or_insert_with(|| Lookup::new(target, &[], Vec::new(), 0, super::Defences::NONE))
    }

    /// Takes in what an answer brought. Returns what is news.
    pub(super) fn learn(
        &mut self,
        by: NodeInfo,
        values: &[SocketAddr],
        item: Option<Item>,
        filters: Option<&(Filter, Filter)>,
        samples: Option<Samples>,
    ) -> Option<Finding> {
        if let Some((seeds, others)) = filters {
            let all = self.filters.get_or_insert_default();
            all.0.union(seeds);
            all.1.union(others);
        }
        match &self.goal {
            Goal::Peers { .. } => {
                let told = &mut self.told;
                let mut news = values.to_vec();
                news.retain(|peer| {
                    is_peer_believable(by.address, *peer) && told.len() < PEERS_TOLD_MAX && told.insert(*peer)
                });
                self.report.peers = self.told.len() as u32;
                (!news.is_empty()).then_some(Finding::Peers(news))
            }
            Goal::Item { target, salt } => {
                let item = genuine(item?, target, salt)?;
                if self.newest.as_ref().is_some_and(|known| !is_newer(&item, known)) {
                    return None;
                }
                Some(Finding::Item(self.newest.insert(item).clone()))
            }
            Goal::Sample(_) => samples.map(|samples| Finding::Samples { by, samples }),
            Goal::Nodes(_) | Goal::Put(_) => None,
        }
    }

    /// How many of the peers found are likely not ourselves, who announced before.
    pub(super) fn others(&self) -> usize {
        let port = match &self.goal {
            Goal::Peers { announce, .. } => announce.and_then(|announce| announce.port),
            Goal::Nodes(_) | Goal::Item { .. } | Goal::Put(_) | Goal::Sample(_) => None,
        };
        let ours = self.told.iter().any(|peer| Some(peer.port()) == port);
        self.told.len() - usize::from(ours)
    }

    /// How it went, when it is over.
    pub(super) fn into_report(mut self, now: Instant) -> Report {
        let target = self.goal.target();
        let lookups = || self.lookups.iter().flatten();
        let mut nearest: Vec<NodeInfo> =
            lookups().flat_map(|lookup| lookup.nearest().take(super::K)).collect();
        nearest.sort_unstable_by_key(|info| info.id.distance(&target));
        self.report.asked = lookups().map(|lookup| u32::from(lookup.asked())).sum();
        self.report.answered = lookups().map(|lookup| lookup.answers() as u32).sum();
        self.report.hops = lookups().map(Lookup::hops).max().unwrap_or(0);
        self.report.nearest = nearest;
        self.report.counts = self
            .filters
            .map(|(seeds, others)| (seeds.estimate().round() as u32, others.estimate().round() as u32));
        self.report.took = now.since(self.begun);
        self.report
    }
}

impl Goal {
    /// Where it leads.
    pub fn target(&self) -> NodeId {
        match self {
            Goal::Nodes(target) | Goal::Item { target, .. } | Goal::Sample(target) => *target,
            Goal::Peers { info_hash, .. } => NodeId::from(*info_hash),
            Goal::Put(put) => put.item.target(),
        }
    }
}

/// The item with the salt that only the asker knows, if it is what was asked for.
fn genuine(item: Item, target: &NodeId, salt: &[u8]) -> Option<Item> {
    let item = match item {
        Item::Mutable(item) => Item::Mutable(item.with_salt(salt)),
        Item::Immutable { value } => Item::Immutable { value },
    };
    (item.target() == *target && super::items::check(&item).is_ok()).then_some(item)
}

fn is_newer(item: &Item, known: &Item) -> bool {
    match (item, known) {
        (Item::Mutable(item), Item::Mutable(known)) => item.seq > known.seq,
        (Item::Immutable { .. } | Item::Mutable(_), _) => false,
    }
}

/// Whether a peer that a node names may be one: nobody out there tells us of machines of our own network, or of none.
fn is_peer_believable(by: SocketAddr, peer: SocketAddr) -> bool {
    let from_outside = crate::address::is_public(by.ip());
    crate::address::may_be_a_peer(peer.ip())
        && peer.port() != 0
        && (!from_outside || crate::address::is_public(peer.ip()))
}
