//! The beacon's driver: a thread of its own, with what it says and hears on both groups. It needs no client: a share says its
//! number before there is a torrent, and a receiver looks for one before it knows what it will get. Threats: D9
//!
//! Decides nothing about when to speak or whom to believe (`proto::beacon`). What always holds: nothing but words of
//! `wire::beacon` is sent; where there is no multicast at all the thread still runs, and says so as it would of any silence.

use super::neighbours::Neighbours;
use crate::clock::Clock;
use crate::entropy;
use crate::mailbox::{Mailbox, RecvError};
use mio::{Events, Poll, Token, Waker};
use proto::beacon::{Beacon, Input, Output, Role, Sharer, Silence};
use proto::{Duration, Instant};
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use wire::beacon::{GROUP_V4, GROUP_V6, Instance, PORT, WORD_LEN, Word};

const WAKER_TOKEN: Token = Token(0);
const TOKENS: [Token; 3] = [Token(1), Token(2), Token(3)];

/// Events of one turn: there are four things to wait for.
const EVENTS_PER_TURN: usize = 8;

/// News kept for who does not look: more than a machine remembers of sharers.
const NEWS_MAX: usize = 64;

/// The longest sleep: so soon it is noticed that the machine slept meanwhile, and with it the kernel's patience.
const SLEEP_MAX: Duration = Duration::from_secs(10);

/// Where to be heard: at every address of either family.
pub const EVERYWHERE: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];

/// What there is to be told of a search, or of a share.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BeaconNews {
    /// Somebody says to share the number.
    Found(Sharer),
    /// Nobody who is looked for was heard for almost five seconds.
    Silence(Silence),
}

/// A number said to the local network, or looked for there, until this is dropped.
///
/// ```no_run
/// # fn main() -> std::io::Result<()> {
/// let search = gannet::LocalBeacon::look(42, gannet::EVERYWHERE)?;
/// while let Ok(news) = search.recv_timeout(std::time::Duration::from_secs(60)) {
///     println!("{news:?}");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct LocalBeacon {
    news: Arc<Mailbox<BeaconNews>>,
    stop: Arc<AtomicBool>,
    waker: Arc<Waker>,
    thread: Option<JoinHandle<()>>,
}

impl LocalBeacon {
    /// Says that this number of a code (1 to 999) is shared here, and that receivers are awaited at this port of these addresses:
    /// unspecified ones ([`EVERYWHERE`]), or one of a family, which is then said on its interface alone.
    ///
    /// # Errors
    /// As the kernel's: too many threads or files, no randomness; a port or a number of 0, or a number above 999.
    pub fn share(nameplate: u16, port: u16, at: impl IntoIterator<Item = IpAddr>) -> io::Result<LocalBeacon> {
        if port == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "nobody can be awaited at port 0"));
        }
        LocalBeacon::start(Role::Sharer { port }, nameplate, at)
    }

    /// Looks for who shares this number of a code (1 to 999), on the networks of these addresses, as in [`LocalBeacon::share`].
    ///
    /// # Errors
    /// Likewise.
    pub fn look(nameplate: u16, on: impl IntoIterator<Item = IpAddr>) -> io::Result<LocalBeacon> {
        LocalBeacon::start(Role::Receiver, nameplate, on)
    }

    /// The next news, awaited.
    pub async fn next(&self) -> Option<BeaconNews> {
        poll_fn(|cx| self.news.poll_take(cx)).await.ok()
    }

    /// The next news, if it comes in time; blocks the thread.
    ///
    /// # Errors
    /// When nothing came, or nothing will.
    pub fn recv_timeout(&self, patience: Duration) -> Result<BeaconNews, RecvError> {
        self.news.take(Some(patience))
    }

    fn start(role: Role, nameplate: u16, at: impl IntoIterator<Item = IpAddr>) -> io::Result<LocalBeacon> {
        if !(1..=wire::code::NAMEPLATE_MAX).contains(&nameplate) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no code has this number"));
        }
        let (poll, clock, news) = (Poll::new()?, Clock::start(), Mailbox::new(NEWS_MAX));
        let (waker, now) = (Arc::new(Waker::new(poll.registry(), WAKER_TOKEN)?), clock.now());
        let groups = [(GROUP_V4, PORT).into(), (GROUP_V6, PORT).into()];
        let neighbours = Neighbours::open(poll.registry(), TOKENS, groups, at, WORD_LEN, now);
        let machine = Beacon::new(role, nameplate, Instance(entropy::bytes()?), now);
        let stop = Arc::new(AtomicBool::new(false));
        let driver =
            Driver { machine, neighbours, clock, poll, news: Arc::clone(&news), stop: Arc::clone(&stop) };
        let thread = std::thread::Builder::new().name("beacon".into()).spawn(move || driver.run())?;
        Ok(LocalBeacon { news, stop, waker, thread: Some(thread) })
    }
}

impl Drop for LocalBeacon {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // If the kernel cannot wake it, it wakes by itself within seconds and sees that it should end.
        if self.waker.wake().is_ok()
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}

/// What the thread owns.
struct Driver {
    machine: Beacon,
    /// Nothing where neither family has multicast.
    neighbours: Option<Neighbours>,
    clock: Clock,
    poll: Poll,
    news: Arc<Mailbox<BeaconNews>>,
    stop: Arc<AtomicBool>,
}

impl Driver {
    fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS_PER_TURN);
        while !self.stop.load(Ordering::Acquire) {
            self.turn();
            match self.poll.poll(&mut events, Some(self.patience())) {
                Ok(()) => self.note(&events),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    tracing::error!(%error, "nothing more is said to neighbours");
                    break;
                }
            }
        }
        self.news.close();
    }

    /// Looks at the interfaces, reads what came, says what is due.
    fn turn(&mut self) {
        let (now, mut heard) = (self.clock.now(), Vec::new());
        if let Some(neighbours) = &mut self.neighbours {
            if neighbours.scan(now) {
                heard.push(Input::NetworkChanged);
            }
            neighbours.hear(|datagram, from| match Word::decode(datagram) {
                Ok(word) => heard.push(Input::Heard { from, word }),
                Err(error) => tracing::debug!(%error, %from, "not heeded"),
            });
        }
        heard.push(Input::Wake);
        for input in heard {
            self.tell(now, input);
        }
    }

    fn tell(&mut self, now: Instant, input: Input) {
        let mut out = Vec::new();
        self.machine.handle(now, input, &mut out);
        for output in out {
            match output {
                Output::Say(word) => self.say(word),
                Output::Found(sharer) => self.news.put(BeaconNews::Found(sharer)),
                Output::Silence(silence) => self.news.put(BeaconNews::Silence(silence)),
            }
        }
    }

    fn say(&self, word: Word) {
        if let Some(neighbours) = &self.neighbours {
            neighbours.say(|_: SocketAddr| word.encode().into());
        }
    }

    /// How long the kernel may let us sleep; rounded up, so that no timer is asked a little early.
    fn patience(&self) -> Duration {
        let neighbours = self.neighbours.as_ref();
        if neighbours.is_some_and(Neighbours::readable) {
            return Duration::ZERO;
        }
        let scan = neighbours.and_then(|neighbours| neighbours.next_scan(true));
        let next = scan.map_or(self.machine.next_wake(), |scan| scan.min(self.machine.next_wake()));
        next.since(self.clock.now()).min(SLEEP_MAX) + Duration::from_millis(1)
    }

    fn note(&mut self, events: &Events) {
        let Some(neighbours) = &mut self.neighbours else { return };
        for event in events {
            match TOKENS.iter().position(|&token| token == event.token()) {
                Some(2) => neighbours.note_change(self.clock.now()),
                Some(family) => neighbours.note_readable(family == 1),
                None => {}
            }
        }
    }
}
