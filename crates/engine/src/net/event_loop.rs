//! The loop itself: wait for the kernel, hear what came, hand it to the machines, do what they say, send.
//!
//! Decides nothing about peers, pieces or rates. Invariants: everything that happens to the session goes through
//! [`EventLoop::feed`]; outputs are performed in order before the next input; no source gets more than its share of a turn.

use super::Outside;
use super::dht::DhtNode;
use super::inbound::Scratch;
use super::inbox::{Answered, Answerer, Asker, Inbox};
use super::lease::Leases;
use super::links::{FIRST_LINK_TOKEN, Links, Stage};
use super::listen::Listeners;
use super::lsd::LocalDiscovery;
use super::machine::Machine;
use super::pieces::Payloads;
use super::torrents::Torrents;
use super::udp::Datagrams;
use crate::client::dht::DhtConfig;
use crate::clock::Clock;
use crate::disk::job::DiskJob;
use crate::edge::Told;
use crate::reply::Answer;
use crate::state::nodes::NodesFile;
use mio::{Events, Interest, Poll, Token, Waker};
use proto::door::{self, Door, Encryption};
use proto::share::Limits;
use proto::{Command, Config, Duration, Input, Instant, Outbox, Seed, SendToken};
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::sync::Arc;

/// After this long at the latest it is noticed that the machine has slept.
const SLEEP_NOTICED: Duration = Duration::from_secs(10);

/// Readiness events taken from the kernel at once.
const EVENTS_PER_POLL: usize = 1024;

/// How long a listener rests after the kernel would not give a socket: descriptors are spent, and others may close some.
const ACCEPT_REST: Duration = Duration::from_millis(100);

const WAKER_TOKEN: Token = Token(0);
const FIRST_LISTENER_TOKEN: usize = 1;
/// Local discovery's: its group of IPv4, its group of IPv6, and word of other interfaces.
const LOCAL_TOKENS: [Token; 3] = [Token(4), Token(5), Token(6)];
/// The shared sockets for datagrams, of IPv4 and of IPv6.
const DATAGRAM_TOKENS: [Token; 2] = [Token(7), Token(8)];

/// One network thread.
pub(crate) struct EventLoop {
    pub(super) poll: Poll,
    clock: Clock,
    pub(super) now: Instant,
    pub(super) machine: Machine,
    pub(super) door: Door,
    pub(super) mail: Mail,
    pub(super) links: Links,
    pub(super) listening: Listening,
    pub(super) torrents: Torrents,
    pub(super) payloads: Payloads,
    pub(super) leases: Leases,
    inbox: Inbox,
    pub(super) outside: Outside,
    pub(super) scratch: Scratch,
    pub(super) ending: Ending,
}

/// What is on its way between the machines and the world; kept, so that a turn allocates nothing.
#[derive(Default)]
pub(super) struct Mail {
    /// From the session.
    pub(super) out: Outbox,
    /// To the session, as soon as what it said last is done.
    pub(super) to_session: VecDeque<Input<'static>>,
    /// To the door.
    pub(super) to_door: VecDeque<door::Input>,
    /// Whether the door is being told something.
    at_the_door: bool,
    /// Have messages in a row from one peer.
    pub(super) haves: Vec<u32>,
    /// Blocks that have just left.
    pub(super) sent: Vec<SendToken>,
}

/// Where others come to us who are no links yet: the listeners, and which of them may have somebody waiting; neighbours.
pub(super) struct Listening {
    pub(super) listeners: Listeners,
    pub(super) ready: Vec<bool>,
    /// Nobody is accepted before.
    pub(super) rest_until: Instant,
    /// What comes without a link: words of trackers, and of the DHT's nodes.
    pub(super) datagrams: Datagrams,
    /// The DHT's node, if there is one.
    pub(super) dht: Option<DhtNode>,
    /// Local discovery, if it is wanted and possible.
    pub(super) local: Option<LocalDiscovery>,
}

/// How far the end has come.
#[derive(Debug)]
pub(super) enum Ending {
    /// It has not.
    No,
    /// The session was asked to stop. Whoever asked is told last of all.
    Asked(Vec<Answer<()>>),
    /// It is here.
    Done(Vec<Answer<()>>),
}

/// What a loop is made from.
pub(crate) struct Ingredients {
    pub(crate) config: Arc<Config>,
    pub(crate) seed: Seed,
    pub(crate) limits: Limits,
    pub(crate) encryption: Encryption,
    pub(crate) listeners: Listeners,
    pub(crate) local_discovery: bool,
    pub(crate) dht: Option<(DhtConfig, NodesFile)>,
    /// Where everything that happens to the session is recorded.
    pub(crate) record: Option<File>,
}

/// A loop that is not running yet: its doors to the outside are still to be connected.
pub(crate) struct Unconnected {
    poll: Poll,
    inbox: Inbox,
}

impl Unconnected {
    /// The kernel's half of a loop, and who may talk to it.
    pub(crate) fn new() -> io::Result<(Unconnected, Asker, Answerer)> {
        let poll = Poll::new()?;
        let (inbox, asker, answerer) = Inbox::new(Waker::new(poll.registry(), WAKER_TOKEN)?);
        Ok((Unconnected { poll, inbox }, asker, answerer))
    }

    /// The loop.
    pub(crate) fn connect(self, mut made_from: Ingredients, outside: Outside) -> io::Result<EventLoop> {
        for (index, socket) in made_from.listeners.sockets.iter_mut().enumerate() {
            let token = Token(FIRST_LISTENER_TOKEN + index);
            self.poll.registry().register(socket, token, Interest::READABLE)?;
        }
        let clock = Clock::start();
        let now = clock.now();
        let Ingredients { config, seed, limits, encryption, listeners, local_discovery, dht, record } =
            made_from;
        let machine = Machine::new(config, seed, now, record)?;
        let ready = vec![true; listeners.sockets.len()];
        let datagrams = Datagrams::open(self.poll.registry(), DATAGRAM_TOKENS, &listeners.local_addrs());
        let local = local_discovery
            .then(|| LocalDiscovery::open(self.poll.registry(), LOCAL_TOKENS, &listeners.local_addrs(), now));
        let dht = dht.map(|(config, file)| DhtNode::new(config, file, &listeners, now));
        let mut made = EventLoop {
            poll: self.poll,
            clock,
            now,
            machine,
            door: Door::new(door::Pace::default(), encryption),
            mail: Mail::default(),
            links: Links::default(),
            listening: Listening {
                listeners,
                ready,
                rest_until: now,
                datagrams,
                dht: dht.transpose()?,
                local: local.flatten(),
            },
            torrents: Torrents::default(),
            payloads: Payloads::default(),
            leases: Leases::new(limits),
            inbox: self.inbox,
            outside,
            scratch: Scratch::default(),
            ending: Ending::No,
        };
        made.feed(Input::Command(Command::Listening(made.listening.listeners.port)));
        made.tell_of_the_node();
        made.deal();
        Ok(made)
    }
}

impl EventLoop {
    /// Runs until the end.
    pub(crate) fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS_PER_POLL);
        while !matches!(self.ending, Ending::Done(_)) {
            match self.poll.poll(&mut events, self.patience()) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    tracing::error!(%error, "the kernel no longer tells what is ready");
                    break;
                }
                Ok(()) | Err(_) => {}
            }
            self.now = self.clock.now();
            self.note_readiness(&events);
            self.hear();
            self.accept();
            self.take_datagrams();
            self.meet_neighbours();
            self.receive();
            self.wake();
            self.turn_dht();
            self.send_datagrams();
            self.send();
            self.machine.save_record(self.now);
        }
        self.end();
    }

    /// Hands one thing that happened to the session, and does everything that follows from it.
    pub(super) fn feed(&mut self, input: Input<'_>) {
        self.settle();
        self.machine.handle(self.now, input, &mut self.mail.out);
        self.settle();
    }

    /// Performs what the session said, and hands it what followed from that, until nothing follows.
    fn settle(&mut self) {
        loop {
            let mut out = std::mem::take(&mut self.mail.out);
            out.drain().for_each(|output| self.perform(output));
            self.mail.out = out;
            match self.mail.to_session.pop_front() {
                Some(input) => self.machine.handle(self.now, input, &mut self.mail.out),
                None => return,
            }
        }
    }

    /// Hands one thing that happened to the door, and does what it says. What concerns the session waits for the next
    /// `feed`, which comes in the same turn.
    pub(super) fn tell_door(&mut self, input: door::Input) {
        self.mail.to_door.push_back(input);
        // Doing what the door says may have something to tell it at once: that is not a call inside a call.
        if std::mem::replace(&mut self.mail.at_the_door, true) {
            return;
        }
        let mut out = Vec::new();
        while let Some(input) = self.mail.to_door.pop_front() {
            self.door.handle(self.now, input, &mut out);
            out.drain(..).for_each(|output| self.perform_at_the_door(output));
        }
        self.mail.at_the_door = false;
    }

    /// How long the kernel may let us sleep.
    fn patience(&self) -> Option<Duration> {
        let (to_read, to_write) = self.links.waiting();
        let accepting = self.listening.ready.contains(&true);
        let coming = to_read + to_write > 0 || self.listening.datagrams.is_ready();
        if coming || accepting && self.listening.rest_until <= self.now {
            return Some(Duration::ZERO);
        }
        let resting = accepting.then_some(self.listening.rest_until);
        // Without links and fetches there is nothing to divide, and an idle client sleeps.
        let at_work = !self.links.is_empty() || !self.payloads.flows.is_empty();
        let dealing = at_work.then(|| self.leases.next_wake());
        let neighbours = self.listening.local.as_ref().and_then(LocalDiscovery::next_wake);
        let dht = self.listening.dht.as_ref().and_then(DhtNode::next_wake);
        let session = self.machine.session.next_wake();
        let wakes = [session, self.door.next_wake(), neighbours, dht, resting, dealing];
        let next = wakes.into_iter().flatten().min()?;
        // The kernel's own patience stands still while the machine sleeps; ours has gone on (see `clock`).
        let sleep = next.since(self.clock.now()).min(SLEEP_NOTICED);
        // Rounded up: a timer that is asked a little early says "not yet", and then we would spin until it is time.
        Some(sleep + Duration::from_millis(1))
    }

    fn note_readiness(&mut self, events: &Events) {
        for event in events {
            let token = event.token();
            if token.0 >= FIRST_LINK_TOKEN {
                let closed = event.is_read_closed() || event.is_error();
                self.note_link(token, event.is_readable() || closed, event.is_writable() || closed, closed);
            } else if let Some(number) = DATAGRAM_TOKENS.iter().position(|&shared| shared == token) {
                self.listening.datagrams.note(number == 1, event.is_writable());
            } else if let Some(number) = LOCAL_TOKENS.iter().position(|&local| local == token) {
                self.note_local(number);
            } else if let Some(ready) =
                self.listening.ready.get_mut(token.0.wrapping_sub(FIRST_LISTENER_TOKEN))
            {
                *ready = true;
            }
        }
    }

    fn note_local(&mut self, number: usize) {
        let Some(local) = &mut self.listening.local else { return };
        match number {
            0 | 1 => local.note_readable(number == 1),
            _ => local.note_change(self.now),
        }
    }

    fn note_link(&mut self, token: Token, readable: bool, writable: bool, closed: bool) {
        let Some(id) = self.links.by_token(token) else { return };
        let Some(link) = self.links.get_mut(id) else { return };
        if let Stage::Connecting(dial) = link.stage {
            if writable {
                self.finish_connecting(id, dial);
            }
            return;
        }
        link.readable |= readable;
        link.writable |= writable;
        link.ending |= closed;
        self.links.want_read(id);
        self.links.want_write(id);
    }

    /// Wishes of users, answers of the disk and the edge.
    fn hear(&mut self) {
        let (asks, answers) = self.inbox.take();
        for answered in answers {
            match answered {
                Answered::Disk(done) => self.disk_done(done),
                Answered::Edge(Told::Announced((announce, outcome))) => {
                    self.feed(Input::Announced { announce, outcome });
                }
                Answered::Edge(Told::Scraped(scrape, outcome)) => {
                    self.feed(Input::Scraped { scrape, outcome });
                }
                Answered::Edge(Told::Datagram { to, bytes }) => self.send_datagram(to, bytes),
                Answered::Edge(Told::Fetched(fetched)) => self.fetched(fetched),
                Answered::Nodes(addresses) => {
                    if let Some(dht) = &mut self.listening.dht {
                        dht.begin_at(self.now, addresses);
                    }
                }
                Answered::Metadata(assembled) => self.metadata_assembled(*assembled),
            }
        }
        asks.into_iter().for_each(|ask| self.grant(ask));
    }

    /// What is due by the clock.
    fn wake(&mut self) {
        if self.door.next_wake().is_some_and(|due| due <= self.now) {
            self.tell_door(door::Input::Wake);
        }
        self.deal();
        // Always: it costs little, and carries what the door said to the session.
        self.feed(Input::Wake);
    }

    fn deal(&mut self) {
        let session = &self.machine.session;
        let Some((lease, dials_per_second)) = self.leases.deal(self.now, || session.demand()) else { return };
        self.tell_door(door::Input::Pace(door::Pace { dials_per_second, ..door::Pace::default() }));
        self.feed(Input::Command(Command::Lease(lease)));
    }

    /// The last thing: everybody who waits for us is told, after the disk has ended.
    fn end(self) {
        self.remember_nodes();
        let EventLoop { outside, ending, torrents, machine, .. } = self;
        // What was recorded is in its file then.
        drop(machine);
        // Of what is under way only checks take long, and a check of a closed torrent ends at once.
        torrents.ids().for_each(|torrent| outside.disk.submit(DiskJob::Close { torrent }));
        outside.end();
        match ending {
            Ending::Asked(answers) | Ending::Done(answers) => {
                answers.into_iter().for_each(|answer| answer.give(()))
            }
            Ending::No => {}
        }
    }

    /// Accepting rests for a while.
    pub(super) fn rest_from_accepting(&mut self) {
        self.listening.rest_until = self.now + ACCEPT_REST;
    }
}
