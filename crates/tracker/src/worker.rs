//! The loop and its sockets. Knows readiness, not swarms.
//!
//! Invariants: whoever could go on at once does so only after everybody else had a turn; and between two looks at the sockets no more than
//! [`TURNS_MAX`] of those have theirs, so that whoever has asked once waits neither for how many they are nor for what they have queued.

use crate::access::Admission;
use crate::certificate::Certificate;
use crate::config::{Config, HttpRules};
use crate::connection_id::ConnectionIds;
use crate::desk::{Desk, Over};
use crate::handle::Swarm;
use crate::http::answer::{put_announced, put_scraped};
use crate::http::{Connection, Service, Visitor};
use crate::shards::{Back, Errand, Routes, ScrapeRow};
use crate::tally::{Count, Tallies, Tally};
use crate::turns::Turns;
use crate::udp::{self, By, Datagrams, Visit};
use crate::visitors::Visitors;
use crate::websocket::Browsers;
use mio::event::Event;
use mio::net::{TcpListener, UdpSocket};
use mio::{Events, Interest, Poll, Token};
use proto::tracker::ledger::Member;
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wire::announce::AnnounceRequest;

/// How long the keeper of the books is waited for at the end, in all, however slowly it takes what is due: with what visitors have before,
/// there is still time for the state before a service manager's patience, 30 seconds with the unit that is shipped, is over.
const BOOKS_PATIENCE: Duration = Duration::from_secs(18);

/// Sockets that are heard of at once.
const EVENTS_MAX: usize = 1024;

/// How often the loop looks around without being called: for visitors who take too long, and peers that stayed away.
const LOOK_AROUND: Duration = Duration::from_secs(1);

/// Connections accepted before others get their turn.
const ACCEPT_BATCH_MAX: usize = 64;

/// Errands done before others get their turn.
const ERRANDS_PER_TURN: usize = 512;

/// Visitors who had more to ask than one turn answers, of those that have another before the sockets are looked at again. With
/// [`REQUESTS_PER_TURN`](crate::http::REQUESTS_PER_TURN) that is well below a millisecond.
const TURNS_MAX: usize = 8;

/// Visitors gone on with between two looks at the sockets who may each cost a signature: 0.6 ms with a key of RSA, and a tenth of that with
/// one of ECDSA. Datagrams have their turn after each.
const HANDSHAKES_MAX: usize = 16;

/// While so many wait for that, nobody further is let in who would. They wait in the kernel, where each is served in its time, and not here,
/// where they would have to give way to those behind them.
const HANDSHAKES_WAITING_MAX: usize = 4 * HANDSHAKES_MAX;

/// Bytes of answers that the kernel keeps for one visitor over HTTP, its own overhead not included: enough for dozens, and those who do not
/// read fill no more (E9).
const LEAVING_MAX: usize = 32 << 10;

/// The waker's token: there are errands, or the end has come.
pub(crate) const CALLED: Token = Token(0);

/// Behind [`CALLED`] come the sockets, then the listeners (which are closed first), then visitors in the order in which they came.
const FIRST_DOOR: usize = 1;

/// A listening socket. Readiness is told once, so what a batch left over must be remembered.
struct Door<S> {
    socket: S,
    ready: bool,
}

impl<S> Door<S> {
    fn closed(socket: S) -> Door<S> {
        Door { socket, ready: false }
    }
}

/// Where visitors over HTTP come in.
pub(crate) struct Listener {
    door: Door<TcpListener>,
    /// What they are shown, if TLS is spoken here.
    certificate: Option<Certificate>,
}

impl Listener {
    /// A socket at which nobody has been heard.
    pub(crate) fn new(socket: TcpListener, certificate: Option<Certificate>) -> Listener {
        Listener { door: Door::closed(socket), certificate }
    }
}

/// What a worker is given to begin with.
pub(crate) struct Equipment {
    pub(crate) poll: Poll,
    pub(crate) listeners: Vec<Listener>,
    /// Those of one address have the same number with every worker.
    pub(crate) sockets: Vec<UdpSocket>,
    pub(crate) routes: Routes,
    pub(crate) access: Arc<Admission>,
    pub(crate) ids: ConnectionIds,
    pub(crate) desk: Desk,
    pub(crate) tally: Arc<Tally>,
    pub(crate) tallies: Tallies,
    pub(crate) browsers: Option<Browsers>,
}

/// What it is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Course {
    /// Whoever comes is served.
    Serves,
    /// The same, but visitors are asked to go elsewhere.
    Drains,
    /// The end was asked for: visitors who are being served have until then.
    Ends(Instant),
}

/// What one turn did not get done.
#[derive(Default)]
struct LeftOver {
    /// Visitors who could go on, and let others have their turn first.
    visitors: Turns,
    /// Visitors who have said something that may cost a signature.
    handshakes: Turns,
    /// More errands were there than one turn does.
    errands: bool,
}

/// Everything that the loop owns.
pub(crate) struct Worker {
    poll: Poll,
    listeners: Vec<Listener>,
    sockets: Vec<Door<UdpSocket>>,
    visitors: Visitors,
    left_over: LeftOver,
    rules: HttpRules,
    /// Room for the body of an answer.
    body: Vec<u8>,
    datagrams: Datagrams,
    routes: Routes,
    access: Arc<Admission>,
    tally: Arc<Tally>,
    tallies: Tallies,
    desk: Desk,
    browsers: Option<Browsers>,
    course: Course,
}

impl Worker {
    /// A loop over these sockets that has not begun.
    pub(crate) fn new(equipment: Equipment, config: &Config) -> io::Result<Worker> {
        let Equipment { poll, mut listeners, sockets, routes, access, ids, desk, tally, tallies, browsers } =
            equipment;
        let mut sockets: Vec<_> = sockets.into_iter().map(Door::closed).collect();
        let mut next = FIRST_DOOR;
        for door in &mut sockets {
            poll.registry().register(&mut door.socket, Token(next), Interest::READABLE)?;
            next += 1;
        }
        for Listener { door, .. } in &mut listeners {
            poll.registry().register(&mut door.socket, Token(next), Interest::READABLE)?;
            next += 1;
        }
        Ok(Worker {
            poll,
            listeners,
            sockets,
            visitors: Visitors::new(next, Arc::clone(&tally)),
            left_over: LeftOver::default(),
            rules: config.http.clone(),
            body: Vec::new(),
            datagrams: Datagrams::new(ids),
            routes,
            access,
            desk,
            tally,
            tallies,
            browsers,
            course: Course::Serves,
        })
    }

    /// Until the end is asked for. What is to outlive it is on its way to the disk then.
    pub(crate) fn run(mut self) {
        self.serve();
        // First what is lost if it is not written: who is there comes again, and where counting stood is in the books up to now. A keeper
        // that cannot write gives up in the end, and one whose own disk hangs is given up here; the state's disk may hang for ever.
        self.desk.hand_over_books(BOOKS_PATIENCE);
        self.desk.finish_saving();
    }

    fn serve(&mut self) {
        let mut events = Events::with_capacity(EVENTS_MAX);
        let mut looked_around = Instant::now();
        while self.turn(&mut events, &mut looked_around) {}
    }

    /// Waits for sockets, unless something was left over, and gives everybody a turn. Says whether there is another.
    fn turn(&mut self, events: &mut Events, looked_around: &mut Instant) -> bool {
        let patience = if self.could_go_on() { Duration::ZERO } else { self.patience() };
        match self.poll.poll(events, Some(patience)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => {
                tracing::error!(%error, "the tracker ends: it cannot wait for its sockets");
                return false;
            }
            Ok(()) | Err(_) => {}
        }
        // One look at the clock does for all that came together.
        let now = Instant::now();
        self.desk.set_time(now);
        for event in &*events {
            self.on_ready(event, now);
        }
        self.serve_left_over(now);
        self.shake_hands(now);
        self.accept_all(now);
        self.run_errands(now);
        self.serve_datagrams();
        self.desk.save_on();
        self.routes.wake_others();
        self.desk.settle();
        if now.saturating_duration_since(*looked_around) >= LOOK_AROUND {
            *looked_around = now;
            self.look_around(now);
        }
        !matches!(self.course, Course::Ends(at) if now >= at || self.is_done())
    }

    /// Those who have asked for much go on, a few of them.
    fn serve_left_over(&mut self, now: Instant) {
        for _ in 0..TURNS_MAX {
            let Some(name) = self.left_over.visitors.take(|name| self.visitors.has(name)) else { return };
            self.visit(name, now);
        }
    }

    /// Handshakes go on, a few of them: whoever needs no signature any more, and datagrams, wait for no more.
    fn shake_hands(&mut self, now: Instant) {
        for _ in 0..HANDSHAKES_MAX {
            let Some(name) = self.left_over.handshakes.take(|name| self.visitors.has(name)) else { return };
            self.visit(name, now);
            self.look_for_datagrams();
        }
    }

    /// Whether something has come is known when the poll is asked next: a look costs one call.
    fn look_for_datagrams(&mut self) {
        self.sockets.iter_mut().for_each(|door| door.ready = true);
        self.serve_datagrams();
    }

    /// Answers a few batches at each socket where something may wait.
    fn serve_datagrams(&mut self) {
        for (number, door) in self.sockets.iter_mut().enumerate().filter(|(_, door)| door.ready) {
            let (desk, routes, access) = (&mut self.desk, &mut self.routes, &*self.access);
            let by = By { door: number, desk, routes, access, tally: &self.tally };
            door.ready = self.datagrams.serve(&door.socket, by);
        }
    }

    /// How long it may be waited for sockets.
    fn patience(&self) -> Duration {
        let left = match self.course {
            Course::Serves | Course::Drains => None,
            Course::Ends(at) => Some(at.saturating_duration_since(Instant::now())),
        };
        left.into_iter().chain(self.desk.saves_in()).fold(LOOK_AROUND, Duration::min)
    }

    /// Nobody is being served.
    fn is_done(&self) -> bool {
        self.visitors.len() == 0 && !self.could_go_on()
    }

    /// Nobody new comes in; who has asked is still answered, and who has not leaves.
    fn begin_to_end(&mut self, patience: Duration, now: Instant) {
        // Those that the kernel has let in already have asked, as they see it.
        self.accept_all(now);
        self.listeners.clear();
        self.visitors.remove_idle();
        self.sockets.iter_mut().for_each(|door| door.ready = true);
        self.course = Course::Ends(now + patience);
    }

    /// Something was left over by the last turn.
    fn could_go_on(&self) -> bool {
        self.left_over.errands
            || !self.left_over.visitors.is_empty()
            || !self.left_over.handshakes.is_empty()
            || self.listeners.iter().any(|listener| listener.door.ready)
            || self.sockets.iter().any(|door| door.ready)
    }

    fn on_ready(&mut self, event: &Event, now: Instant) {
        let Some(number) = event.token().0.checked_sub(FIRST_DOOR) else { return };
        if let Some(door) = self.sockets.get_mut(number) {
            door.ready = true;
        } else if let Some(listener) = self.listeners.get_mut(number - self.sockets.len()) {
            listener.door.ready = true;
        } else if let Some(visitor) = self.visitors.get_mut(event.token().0) {
            let ended = event.is_read_closed() || event.is_error();
            if event.is_readable() || ended {
                visitor.set_readable(ended);
            }
            if visitor.may_cost_signature() {
                // Every socket can be written to at first: who has said nothing is not to stand before who has.
                if event.is_readable() || ended || visitor.is_leaving() {
                    self.left_over.handshakes.put(event.token().0);
                }
                return;
            }
            // Who waits for its turn does not get another by sending more.
            if !self.left_over.visitors.has(event.token().0) {
                self.visit(event.token().0, now);
            }
        }
    }

    fn accept_all(&mut self, now: Instant) {
        for number in 0..self.listeners.len() {
            let is_held = self.left_over.handshakes.len() >= HANDSHAKES_WAITING_MAX;
            let may_come =
                |listener: &Listener| listener.door.ready && !(is_held && listener.certificate.is_some());
            if self.listeners.get(number).is_some_and(may_come) {
                let more = self.accept(number, now);
                if let Some(listener) = self.listeners.get_mut(number) {
                    listener.door.ready = more;
                }
            }
        }
    }

    /// Lets visitors in. Says whether more may be waiting.
    fn accept(&mut self, number: usize, now: Instant) -> bool {
        for _ in 0..ACCEPT_BATCH_MAX {
            let Some(Listener { door, certificate }) = self.listeners.get(number) else { return false };
            match door.socket.accept() {
                Ok((stream, from)) => {
                    match Connection::new(stream, certificate.as_ref(), from.ip(), &self.rules, now) {
                        Ok(visitor) => self.welcome(visitor, now),
                        Err(error) => tracing::warn!(%error, "TLS could not begin with a visitor"),
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                // It left before it was let in.
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                // No descriptors: another visitor has one to give; else the next look-around tries again.
                Err(error) => {
                    tracing::warn!(%error, "a visitor could not be let in");
                    return self.visitors.one_gives_way(now);
                }
            }
        }
        true
    }

    fn welcome(&mut self, mut visitor: Connection, now: Instant) {
        let both = Interest::READABLE | Interest::WRITABLE;
        let name = Token(self.visitors.next_name());
        // Less is allowed everywhere.
        let _ = socket2::SockRef::from(&*visitor.socket_mut()).set_send_buffer_size(LEAVING_MAX);
        if !self.visitors.has_room_for(&visitor, &self.rules) {
            self.tally.count(Count::TurnedAway);
        } else if self.poll.registry().register(visitor.socket_mut(), name, both).is_ok() {
            self.tally.count(Count::Accepted);
            self.visitors.insert(visitor, &self.rules, now);
        }
    }

    fn visit(&mut self, name: usize, now: Instant) {
        if self.datagrams.wait_for_one() {
            self.look_for_datagrams();
        }
        let Some(visitor) = self.visitors.get_mut(name) else { return };
        let (desk, routes, access) = (&mut self.desk, &mut self.routes, &*self.access);
        let (rules, body) = (&self.rules, &mut self.body);
        let (tally, tallies, ends) = (&*self.tally, &self.tallies, self.course != Course::Serves);
        let browsers = self.browsers.as_ref().filter(|_| !ends);
        let mut service =
            Service { desk, routes, access, tally, tallies, visitor: name, rules, browsers, now, ends, body };
        match visitor.go_on(&mut service) {
            Visitor::Stays => {}
            Visitor::HasMore if visitor.may_cost_signature() => self.left_over.handshakes.put(name),
            Visitor::HasMore => self.left_over.visitors.put(name),
            Visitor::Leaves => self.visitors.remove(name),
            Visitor::Upgrades => self.hand_to_browsers(name),
        }
    }

    /// Its connection is another thread's from now on.
    fn hand_to_browsers(&mut self, name: usize) {
        let (Some(mut visitor), Some(browsers)) = (self.visitors.take(name), &self.browsers) else { return };
        if self.poll.registry().deregister(visitor.socket_mut()).is_ok() {
            browsers.welcome(visitor.into_newcomer());
        }
    }

    /// Does what other workers have handed on. What a full queue sends round again can wait for the next turn.
    fn run_errands(&mut self, now: Instant) {
        self.left_over.errands = false;
        for _ in 0..ERRANDS_PER_TURN {
            let Some(errand) = self.routes.next() else { return };
            match errand {
                Errand::Announce { ip, who, announce, back } => {
                    self.run_announce(ip, who.as_ref(), &announce, back);
                }
                Errand::TakeOut { ip, announce, until } => self.desk.take_out(ip, &announce, until),
                Errand::Scrape { rows, back } => self.run_scrape(rows, back),
                Errand::End { patience } => self.begin_to_end(patience, now),
                Errand::Access(access, done) => {
                    self.access = access;
                    let _ = done.send(());
                }
                Errand::Save(told) => self.desk.save_now(told),
                Errand::Certificate(certificate, done) => {
                    let shown =
                        self.listeners.iter_mut().filter_map(|listener| listener.certificate.as_mut());
                    shown.for_each(|shown| shown.clone_from(&certificate));
                    let _ = done.send(());
                }
                Errand::Drain(draining, done) => {
                    match (self.course, draining) {
                        (Course::Ends(_), _) => {}
                        (Course::Serves | Course::Drains, true) => self.course = Course::Drains,
                        (Course::Serves | Course::Drains, false) => self.course = Course::Serves,
                    }
                    let _ = done.send(());
                }
                Errand::Called(reply) => drop(reply.try_send(())),
                Errand::List(mut list) => {
                    if list.go_on(&self.desk) {
                        let me = self.routes.me();
                        // If there is no room, whoever waits hears that too many ask.
                        let _ = self.routes.send(me, Errand::List(list));
                    }
                    // Others first: what was just sent is to wait for the next turn.
                    break;
                }
                Errand::Show { torrent, peers, reply } => {
                    let table = self.desk.table();
                    let counts = table.scrape(&torrent);
                    let peers = table.peers_of(&torrent, peers).unwrap_or_default();
                    let _ = reply.try_send(counts.map(|counts| Swarm { counts, peers }));
                }
                Errand::Answer { visitor, body } => {
                    if let Some(waiting) = self.visitors.get_mut(visitor) {
                        waiting.on_answer(&body);
                        self.visit(visitor, now);
                    }
                }
            }
        }
        self.left_over.errands = true;
    }

    fn run_announce(&mut self, ip: IpAddr, who: Option<&Member>, announce: &AnnounceRequest, back: Back) {
        match back {
            Back::Datagram { door, to, transaction } => {
                if let Some(door) = self.sockets.get(door) {
                    udp::announce(&door.socket, to, transaction, Visit { ip, who, announce }, &mut self.desk);
                }
            }
            Back::Visitor { worker, visitor, compact } => {
                let mut body = Vec::new();
                put_announced(ip, who, announce, compact, &mut self.desk, &mut body);
                // Whoever waits in vain is cut off as idle.
                let _ = self.routes.send(worker, Errand::Answer { visitor, body });
            }
        }
    }

    fn run_scrape(&mut self, mut rows: Vec<ScrapeRow>, back: Back) {
        let over = match back {
            Back::Datagram { .. } => Over::Udp,
            Back::Visitor { .. } => Over::Http,
        };
        for (torrent, counts) in rows.iter_mut().filter(|(torrent, _)| self.routes.is_mine(torrent)) {
            *counts = Some(self.desk.scrape(over, *torrent));
        }
        if let Some((open, _)) = rows.iter().find(|(_, counts)| counts.is_none()) {
            let owner = self.routes.owner(open);
            if self.routes.send(owner, Errand::Scrape { rows, back }).is_err() {
                self.tally.count(Count::Busy);
            }
            return;
        }
        match back {
            Back::Datagram { door, to, transaction } => {
                if let Some(door) = self.sockets.get(door) {
                    udp::scraped(&door.socket, to, transaction, &rows);
                }
            }
            Back::Visitor { worker, visitor, .. } => {
                let mut body = Vec::new();
                put_scraped(&rows, &mut body);
                let _ = self.routes.send(worker, Errand::Answer { visitor, body });
            }
        }
    }

    fn look_around(&mut self, now: Instant) {
        self.visitors.remove_overdue(now);
        // Descriptors that were lacking may be there by now.
        self.listeners.iter_mut().for_each(|listener| listener.door.ready = true);
        self.desk.sweep();
        self.tally.set(Count::Connections, self.visitors.len() as u64);
    }
}

#[cfg(test)]
mod tests;
