//! Interesting states that worlds of chance must come through: seen from outside, in what sessions hear and say.
//!
//! Counts, judges nothing. A test holds a fixed set of seeds to reach them all, since what was never reached was never tested.

use crate::checker::Scene;
use crate::node::node_at;
use core::fmt;
use proto::input::Unsent;
use proto::output::CloseReason;
use proto::{DiskErrorKind, Event, Input, LinkId, Output};
use std::collections::{BTreeMap, BTreeSet};
use wire::Message;
use wire::message::BlockRequest;

/// Names the states, once.
macro_rules! sights {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// An interesting state.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum Sight {
            $($(#[$doc])* $name,)*
        }

        impl Sight {
            /// All of them.
            pub const ALL: &[Sight] = &[$(Sight::$name,)*];

            /// What it is called.
            pub fn text(self) -> &'static str {
                match self {
                    $(Sight::$name => $text,)*
                }
            }
        }
    };
}

sights! {
    /// A block is asked for that another peer is asked for already.
    EndGame = "a block was asked of two at once",
    /// A request was called back that nobody had answered.
    CalledBack = "a request ran out of time and was called back",
    /// What was called back was asked for again.
    AskedAgain = "what was called back was asked for again",
    /// A block came that was called back before.
    Late = "a block came late",
    /// A block came after its sender had choked us.
    ChokeRaced = "a block crossed a choke",
    /// A request came from whom we choke.
    AskedWhileChoked = "a request crossed a choke",
    /// A request was made in spite of a choke.
    AllowedFast = "an allowed-fast piece was asked for",
    /// More are served than there are slots.
    Optimistic = "an optimistic unchoke stood beside full slots",
    /// A request was rejected.
    Rejected = "a request was rejected",
    /// Interest was withdrawn.
    Uninterested = "interest was withdrawn",
    /// A piece failed its hash.
    HashFailed = "a piece failed its hash",
    /// A host was banned.
    Banned = "a host was banned",
    /// A link was closed for what came over it.
    Accused = "a link was closed for misbehaviour",
    /// A link was closed because nothing came over it.
    Idle = "a silent link was closed",
    /// A link was closed because there were too many.
    Full = "a link was refused for want of room",
    /// Of two links between the same two, one was closed.
    Crossed = "two dialled each other at once",
    /// One behind a NAT dialled another.
    NatPair = "one behind a NAT dialled another",
    /// A seed says that it has nothing.
    SuperSeeded = "a seed hid its pieces",
    /// Metadata came and was right.
    MetadataCame = "metadata came from peers",
    /// Metadata came and was wrong.
    MetadataWrong = "metadata was wrong",
    /// A web seed was asked.
    WebSeedAsked = "a web seed was asked",
    /// A fetch from a web seed was given up.
    FetchGivenUp = "a fetch from a web seed was given up",
    /// A web seed was dropped.
    WebSeedDropped = "a web seed was dropped",
    /// Blocks were laid down before they were verified.
    Spilled = "blocks were spilled",
    /// A run began with blocks of unfinished pieces.
    ResumedParts = "blocks of unfinished pieces outlived a crash",
    /// What lay on the disk was checked.
    Checked = "files were checked",
    /// A process ended with verified or kept blocks that nothing vouched for.
    LostUnsynced = "a crash took blocks that were not safe yet",
    /// A sync failed.
    SyncFailed = "a sync failed",
    /// The disk was full.
    DiskFull = "a disk was full",
    /// A read for a peer failed.
    ReadFailed = "a read for a peer failed",
    /// A block was taken back before it left.
    Recalled = "a block was taken back before it left",
    /// A block did not leave because its link was gone.
    LinkLost = "a link broke under a block",
    /// A block that came was not needed.
    Dropped = "a block came that was not needed",
    /// A link was not read because the allowance was spent.
    Paused = "a link was not read for want of allowance",
    /// A tracker did not answer.
    TrackerFailed = "a tracker did not answer",
    /// Somebody left in order.
    Stopped = "somebody left in order",
    /// Everything was there and safe.
    Durable = "everything was there and safe",
}

/// How often each state was seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sights {
    counts: Vec<u64>,
}

impl Default for Sights {
    fn default() -> Sights {
        Sights { counts: vec![0; Sight::ALL.len()] }
    }
}

impl Sights {
    /// Nothing seen.
    pub fn new() -> Sights {
        Sights::default()
    }

    /// How often this was seen.
    pub fn count(&self, sight: Sight) -> u64 {
        self.counts[sight as usize]
    }

    /// It was seen.
    pub fn see(&mut self, sight: Sight) {
        self.counts[sight as usize] += 1;
    }

    /// What another saw counts, too.
    pub fn add(&mut self, other: &Sights) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(mine, theirs)| *mine += theirs);
    }

    /// What was never seen.
    pub fn unseen(&self) -> Vec<Sight> {
        Sight::ALL.iter().copied().filter(|&sight| self.count(sight) == 0).collect()
    }
}

impl fmt::Display for Sights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for &sight in Sight::ALL {
            writeln!(f, "{:>10}  {}", self.count(sight), sight.text())?;
        }
        Ok(())
    }
}

/// Looks on while a world runs.
#[derive(Default)]
pub(crate) struct Watcher {
    pub(crate) seen: Sights,
    rows: Vec<Row>,
}

/// What must be remembered of a node to know a state when it comes.
#[derive(Default)]
struct Row {
    links: BTreeMap<LinkId, Line>,
    /// Who is asked for what.
    asked: BTreeMap<BlockRequest, u32>,
    called_back: BTreeSet<BlockRequest>,
    kept: Option<BlockRequest>,
    came: bool,
}

struct Line {
    am_choking: bool,
    peer_choking: bool,
    peer_interested: bool,
    asked: BTreeSet<BlockRequest>,
    called_back: BTreeSet<BlockRequest>,
}

impl Watcher {
    fn row(&mut self, index: u32) -> &mut Row {
        let index = index as usize;
        if self.rows.len() <= index {
            self.rows.resize_with(index + 1, Row::default);
        }
        &mut self.rows[index]
    }

    /// A process begins.
    pub(crate) fn started(&mut self, scene: Scene<'_>) {
        *self.row(scene.index) = Row::default();
        let record = scene.node().disk.store(crate::world::torrent_id(0)).record();
        if record.is_some_and(|record| !record.open.is_empty()) {
            self.seen.see(Sight::ResumedParts);
        }
    }

    /// A session is about to be handed this.
    pub(crate) fn input(&mut self, scene: Scene<'_>, input: &Input<'_>) {
        let row = self.row(scene.index);
        (row.kept, row.came) = (None, false);
        let sight = match input {
            Input::LinkUp(up) => {
                let line = Line {
                    am_choking: true,
                    peer_choking: true,
                    peer_interested: false,
                    asked: BTreeSet::new(),
                    called_back: BTreeSet::new(),
                };
                row.links.insert(up.link, line);
                None
            }
            Input::LinkDown { link, .. } => {
                let line = row.links.remove(link);
                line.iter().flat_map(|line| &line.asked).for_each(|request| forget(&mut row.asked, request));
                None
            }
            Input::Message { link, message } => row.hear(*link, message),
            Input::Block { link, block, .. } => row.block(*link, *block),
            Input::MetadataFailed { .. } => Some(Sight::MetadataWrong),
            Input::Spilled { .. } => Some(Sight::Spilled),
            Input::SyncFailed { .. } => Some(Sight::SyncFailed),
            Input::StorageFailed { error, .. } if error.kind == DiskErrorKind::Full => Some(Sight::DiskFull),
            Input::Unsent { why, .. } => Some(match why {
                Unsent::Recalled => Sight::Recalled,
                Unsent::LinkDown => Sight::LinkLost,
                Unsent::Disk(_) => Sight::ReadFailed,
            }),
            _ => None,
        };
        sight.into_iter().for_each(|sight| self.seen.see(sight));
    }

    /// A session wants this.
    pub(crate) fn output(&mut self, scene: Scene<'_>, output: &Output) {
        let row = self.row(scene.index);
        let sight = match output {
            Output::Send { link, message } => row.say(scene, *link, message),
            Output::Keep { block, .. } => {
                row.kept = Some(BlockRequest::from(*block));
                None
            }
            Output::Drop { .. } if row.came => Some(Sight::Dropped),
            Output::Close { why: CloseReason::Misbehaved(_), .. } => Some(Sight::Accused),
            Output::Close { why: CloseReason::Idle, .. } => Some(Sight::Idle),
            Output::Close { why: CloseReason::Limit, .. } => Some(Sight::Full),
            Output::Close { why: CloseReason::Duplicate, .. } => Some(Sight::Crossed),
            Output::Dial { remote, .. } => {
                let far = node_at(*remote).and_then(|far| scene.nodes.get(far as usize));
                let far_gated = far.is_some_and(|far| !far.spec.reachable);
                (far_gated && !scene.node().spec.reachable).then_some(Sight::NatPair)
            }
            Output::Fetch(_) => Some(Sight::WebSeedAsked),
            Output::CancelFetch { .. } => Some(Sight::FetchGivenUp),
            Output::Check { .. } => Some(Sight::Checked),
            Output::PauseReading { .. } => Some(Sight::Paused),
            Output::Event(event) => told(event),
            _ => None,
        };
        sight.into_iter().for_each(|sight| self.seen.see(sight));
    }
}

fn told(event: &Event) -> Option<Sight> {
    match event {
        Event::PieceFailed(..) => Some(Sight::HashFailed),
        Event::PeerBanned(..) => Some(Sight::Banned),
        Event::MetadataReceived(_) => Some(Sight::MetadataCame),
        Event::WebSeedFailed { dropped: true, .. } => Some(Sight::WebSeedDropped),
        Event::TrackerFailed { .. } => Some(Sight::TrackerFailed),
        Event::Stopped => Some(Sight::Stopped),
        Event::Durable(_) => Some(Sight::Durable),
        _ => None,
    }
}

/// One asks less for it.
fn forget(asked: &mut BTreeMap<BlockRequest, u32>, request: &BlockRequest) {
    if let Some(count) = asked.get_mut(request) {
        *count -= 1;
        if *count == 0 {
            asked.remove(request);
        }
    }
}

impl Row {
    fn hear(&mut self, link: LinkId, message: &Message) -> Option<Sight> {
        let line = self.links.get_mut(&link)?;
        match message {
            Message::Choke => line.peer_choking = true,
            Message::Unchoke => line.peer_choking = false,
            Message::Interested => line.peer_interested = true,
            Message::NotInterested => line.peer_interested = false,
            Message::Request(_) => return line.am_choking.then_some(Sight::AskedWhileChoked),
            Message::Reject(request) if line.asked.remove(request) => {
                forget(&mut self.asked, request);
                return Some(Sight::Rejected);
            }
            _ => {}
        }
        None
    }

    fn block(&mut self, link: LinkId, block: BlockRequest) -> Option<Sight> {
        self.came = true;
        let line = self.links.get_mut(&link)?;
        if line.asked.remove(&block) {
            forget(&mut self.asked, &block);
        }
        if line.called_back.remove(&block) {
            return Some(Sight::Late);
        }
        line.peer_choking.then_some(Sight::ChokeRaced)
    }

    fn say(&mut self, scene: Scene<'_>, link: LinkId, message: &Message) -> Option<Sight> {
        let slots = scene.node().spec.lease.unchoke_slots as usize;
        let line = self.links.get_mut(&link)?;
        match message {
            Message::Choke => line.am_choking = true,
            Message::Unchoke => {
                line.am_choking = false;
                let served = self.links.values().filter(|line| !line.am_choking && line.peer_interested);
                return (served.count() > slots).then_some(Sight::Optimistic);
            }
            Message::NotInterested => return Some(Sight::Uninterested),
            Message::HaveNone => {
                let have = scene.node().session()?.have(crate::world::torrent_id(0))?;
                return have.is_full().then_some(Sight::SuperSeeded);
            }
            Message::Request(request) => {
                line.asked.insert(*request);
                line.called_back.remove(request);
                let choked = line.peer_choking;
                let asked = self.asked.entry(*request).or_default();
                *asked += 1;
                return match () {
                    () if *asked > 1 => Some(Sight::EndGame),
                    () if self.called_back.remove(request) => Some(Sight::AskedAgain),
                    () if choked => Some(Sight::AllowedFast),
                    () => None,
                };
            }
            Message::Cancel(request) => {
                line.called_back.insert(*request);
                if line.asked.remove(request) {
                    forget(&mut self.asked, request);
                }
                if self.kept != Some(*request) {
                    self.called_back.insert(*request);
                    return Some(Sight::CalledBack);
                }
            }
            _ => {}
        }
        None
    }
}
