//! The desk of a share: receivers come with a code, are listened to, and leave with a line or a reason.
//!
//! Invariants: who is no receiver gets no answer; nothing is computed for anybody that `proto::pairing` has not allowed.
//! Threats: C4, C5

use super::line::PairedLine;
use super::{WeakWorks, Works, read_some, write_all};
use crate::clock::Clock;
use crate::entropy;
use crate::mailbox::{Mailbox, RecvError};
use crate::net::listen::{Listen, Listeners};
use proto::pairing::{EXCHANGE_TIME_MAX, Reception, Refusal, VisitorId};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use wire::code::Code;
use wire::pairing::{HELLO_LEN, Hello, PROOF_LEN, Paired, PairingError};

/// Events that wait to be looked at. Between two words of the sharer there are at most five wrong codes, and lines are bounded too
/// (`proto::pairing::PAIRED_MAX`).
const EVENTS_MAX: usize = 256;

/// How long a listener rests when the kernel gives no socket.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// What happens at a desk.
#[derive(Debug)]
pub enum DeskEvent {
    /// A receiver proved that it knows the code.
    Paired(PairedLine),
    /// Somebody came with another code, and was told so.
    WrongCode {
        /// From where.
        from: IpAddr,
    },
    /// So many came with another code that nobody is looked at any more, from one address or from anywhere, until
    /// [`PairingDesk::go_on`].
    MustConfirm {
        /// Who they were, and how often each was wrong.
        wrong: Vec<(IpAddr, u32)>,
    },
}

/// Where receivers come to with a code. Dropping it closes the desk; lines that it made stay.
#[derive(Debug)]
pub struct PairingDesk {
    front: Arc<Front>,
    local_addrs: Vec<SocketAddr>,
    port: u16,
    _works: Works,
    /// Gone when we are.
    _open: oneshot::Sender<()>,
}

/// What the desk and its tasks share.
#[derive(Debug)]
struct Front {
    code: Code,
    events: Arc<Mailbox<DeskEvent>>,
    reception: Mutex<Reception>,
    /// By which each visitor is told to give way.
    leaving: Mutex<BTreeMap<VisitorId, oneshot::Sender<()>>>,
    names: AtomicU64,
    clock: Clock,
    works: WeakWorks,
}

/// A place among those that are paired; free again when it is dropped.
struct Seat(Weak<Front>);

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(front) = self.0.upgrade() {
            front.reception().parted();
        }
    }
}

/// Why an exchange came to nothing.
enum Failed {
    /// The visitor left, was none, or took too long: there is nobody to be told.
    Gone,
    /// It is told so.
    Refused(Refusal),
}

impl PairingDesk {
    /// Opens a desk where `listen` says, in both families; a port of 0 takes whichever is free.
    ///
    /// # Errors
    /// When no port can be listened at, or the system gives no thread.
    pub fn open(code: Code, listen: &Listen) -> io::Result<PairingDesk> {
        let listeners = Listeners::open(listen)?;
        let (local_addrs, port, works) = (listeners.local_addrs(), listeners.port, Works::start()?);
        let (open, closed) = oneshot::channel();
        let front = Arc::new(Front {
            code,
            events: Mailbox::new(EVENTS_MAX),
            reception: Mutex::default(),
            leaving: Mutex::default(),
            names: AtomicU64::new(0),
            clock: Clock::start(),
            works: works.downgrade(),
        });
        let ours = Arc::clone(&front);
        works.give(async move {
            let mut accepting = JoinSet::new();
            for socket in listeners.sockets {
                accepting.spawn(Arc::clone(&ours).accept(OwnedFd::from(socket).into()));
            }
            // When the desk is closed, who is there is sent away, and nobody comes in any more.
            let _ = closed.await;
            ours.events.close();
        });
        Ok(PairingDesk { front, local_addrs, port, _works: works, _open: open })
    }

    /// On which port receivers come.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where receivers come: at most one address of each family.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.local_addrs
    }

    /// Whoever shares says to go on after [`DeskEvent::MustConfirm`]: as many wrong codes again.
    pub fn go_on(&self) {
        self.front.reception().go_on();
    }

    /// The next event; blocks the thread.
    ///
    /// # Errors
    /// When the desk's thread has ended.
    pub fn recv(&self) -> Result<DeskEvent, RecvError> {
        self.front.events.take(None)
    }

    /// The next event, if it comes in time; blocks the thread.
    ///
    /// # Errors
    /// When it does not.
    pub fn recv_timeout(&self, patience: Duration) -> Result<DeskEvent, RecvError> {
        self.front.events.take(Some(patience))
    }

    /// The next event, if it is here.
    ///
    /// # Errors
    /// When it is not.
    pub fn try_recv(&self) -> Result<DeskEvent, RecvError> {
        self.front.events.try_take()
    }

    /// The next event; `None` when the desk's thread has ended.
    pub async fn next(&self) -> Option<DeskEvent> {
        poll_fn(|cx| self.front.events.poll_take(cx)).await.ok()
    }
}

impl Front {
    /// Lets in who comes, until it is given up; and with it whoever is still being listened to.
    async fn accept(self: Arc<Self>, listener: std::net::TcpListener) {
        let listener = match TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => return tracing::error!(%error, "nobody can come to the desk of a share"),
        };
        let mut visits = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((socket, remote)) => {
                        let (id, give_way) = self.came(remote);
                        visits.spawn(Arc::clone(&self).visit(id, socket, remote, give_way));
                    }
                    Err(error) => {
                        tracing::debug!(%error, "no socket for who came to a share");
                        tokio::time::sleep(ACCEPT_REST).await;
                    }
                },
                Some(_) = visits.join_next(), if !visits.is_empty() => {}
            }
        }
    }

    fn came(&self, remote: SocketAddr) -> (VisitorId, oneshot::Receiver<()>) {
        let id = VisitorId(self.names.fetch_add(1, Ordering::Relaxed));
        let (tell, give_way) = oneshot::channel();
        let mut leaving = self.leaving.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(other) = self.reception().came(self.clock.now(), id, remote.ip()) {
            // Who is gone has nobody who listens.
            leaving.remove(&other).map(|tell| tell.send(()));
        }
        leaving.insert(id, tell);
        (id, give_way)
    }

    async fn visit(
        self: Arc<Self>,
        id: VisitorId,
        socket: TcpStream,
        remote: SocketAddr,
        give_way: oneshot::Receiver<()>,
    ) {
        let greeted = AtomicBool::new(false);
        let exchanged = tokio::select! {
            biased;
            Ok(()) = give_way => match greeted.load(Ordering::Relaxed) {
                true => Err(Failed::Refused(Refusal::Busy)),
                false => Err(Failed::Gone),
            },
            exchanged = self.exchange(id, &socket, remote, &greeted) => exchanged,
            () = tokio::time::sleep(EXCHANGE_TIME_MAX) => Err(Failed::Gone),
        };
        self.reception().left(id);
        self.leaving.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        match exchanged {
            Ok((paired, seat)) => {
                if let Some(works) = self.works.upgrade() {
                    let line = PairedLine::start(works, socket, remote, paired, &[], seat);
                    self.events.put(DeskEvent::Paired(line));
                }
            }
            Err(Failed::Refused(why)) => {
                // One byte into an empty buffer: if that does not go, nobody is there.
                let _ = socket.try_write(&[said_as(why).encode()]);
            }
            Err(Failed::Gone) => {}
        }
    }

    async fn exchange(
        self: &Arc<Self>,
        id: VisitorId,
        socket: &TcpStream,
        remote: SocketAddr,
        greeted: &AtomicBool,
    ) -> Result<(Paired, Seat), Failed> {
        // Without it each of the few bytes would wait for the ones before.
        socket.set_nodelay(true)?;
        let hello = read_hello(socket).await?;
        greeted.store(true, Ordering::Relaxed);
        self.reception().greeted(self.clock.now(), id).map_err(Failed::Refused)?;
        let chance = entropy::bytes().map_err(|error| {
            tracing::error!(%error, "no random bytes");
            Failed::Gone
        })?;
        let mut said = Vec::new();
        let sharer = hello.answer(&self.code, chance, &mut said)?;
        write_all(socket, &said).await?;
        let mut proof = [0; PROOF_LEN];
        read_exactly(socket, &mut proof).await?;
        let claim = sharer.claim(proof);
        let verdict = self.reception().proved(id, || claim.is_right());
        self.tell(remote.ip(), verdict);
        verdict.map_err(Failed::Refused)?;
        let seat = Seat(Arc::downgrade(self));
        said.clear();
        let paired = claim.accept(&mut said)?;
        write_all(socket, &said).await?;
        Ok((paired, seat))
    }

    /// Tells whoever shares of a wrong code, and if it was one too many.
    fn tell(&self, from: IpAddr, verdict: Result<(), Refusal>) {
        if verdict != Err(Refusal::OtherCode) {
            return;
        }
        self.events.put(DeskEvent::WrongCode { from: from.to_canonical() });
        let reception = self.reception();
        if reception.must_confirm(from) {
            self.events.put(DeskEvent::MustConfirm { wrong: reception.wrong().to_vec() });
        }
    }

    fn reception(&self) -> MutexGuard<'_, Reception> {
        self.reception.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a receiver begins with. Who does not begin like one is not waited for.
async fn read_hello(socket: &TcpStream) -> Result<Hello, Failed> {
    let (mut came, mut len) = ([0; HELLO_LEN], 0);
    loop {
        match read_some(socket, &mut came[len..]).await? {
            0 => return Err(Failed::Gone),
            count => len += count,
        }
        if let Some(hello) = Hello::read(&came[..len])? {
            return Ok(hello);
        }
    }
}

async fn read_exactly(socket: &TcpStream, mut into: &mut [u8]) -> Result<(), Failed> {
    while !into.is_empty() {
        match read_some(socket, into).await? {
            0 => return Err(Failed::Gone),
            count => into = &mut into[count..],
        }
    }
    Ok(())
}

fn said_as(refusal: Refusal) -> wire::pairing::Refusal {
    match refusal {
        Refusal::OtherCode => wire::pairing::Refusal::OtherCode,
        Refusal::MustConfirm => wire::pairing::Refusal::MustConfirm,
        Refusal::Busy => wire::pairing::Refusal::Busy,
    }
}

impl From<io::Error> for Failed {
    fn from(_: io::Error) -> Failed {
        Failed::Gone
    }
}

impl From<PairingError> for Failed {
    fn from(_: PairingError) -> Failed {
        Failed::Gone
    }
}
