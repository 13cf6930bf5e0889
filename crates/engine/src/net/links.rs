//! The links of one loop: sockets to peers from the first SYN to the last byte, by slot and generation.
//!
//! A link before its handshake is a link too; the session hears of it when it is up. Which links have something to read or
//! to write is kept in two queues, so that a turn of the loop touches no idle link.
//! Invariant: a link stands in each queue at most once; a stale id finds nothing.

use super::inbound::Inbound;
use super::outbound::Outbound;
use super::shaking::Shake;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use proto::door::PendingId;
use proto::{DialId, LinkId, TorrentId};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use wire::frame;

/// Tokens below this are not links: the waker and the listeners.
pub(crate) const FIRST_LINK_TOKEN: usize = 16;

/// What the kernel may hold unsent of a link at first: one block, so that a control message never waits long behind bulk.
const NOTSENT_LEN_MIN: u32 = 16 * 1024;

/// And at most, for links whose credit has grown: as much as the session ever gives one link.
const NOTSENT_LEN_MAX: u32 = 1024 * 1024;

/// How far a link has come.
#[derive(Debug)]
pub(crate) enum Stage {
    /// Our SYN is out.
    Connecting(DialId),
    /// We dialled, and sent our handshake; theirs is to come.
    Dialled(DialId),
    /// They dialled.
    Pending {
        /// Whether any byte came.
        heard: bool,
        /// What they named, and that we answered.
        torrent: Option<TorrentId>,
    },
    /// Both shook hands.
    Up(TorrentId, frame::Limits),
}

/// One socket to one peer.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) socket: TcpStream,
    pub(crate) remote: SocketAddr,
    pub(crate) stage: Stage,
    /// What the handshake speaks, and in the end what the link does.
    pub(crate) shake: Shake,
    pub(crate) inbound: Inbound,
    pub(crate) outbound: Outbound,
    /// The session wants nothing read for now.
    pub(crate) paused: bool,
    /// The kernel says that there may be bytes.
    pub(crate) readable: bool,
    /// The kernel says that the peer has finished sending, so that reading goes on to the end.
    pub(crate) ending: bool,
    /// The kernel takes bytes, as far as we know.
    pub(crate) writable: bool,
    in_read_queue: bool,
    in_write_queue: bool,
    notsent: u32,
}

impl Link {
    fn new(socket: TcpStream, remote: SocketAddr, stage: Stage) -> Link {
        // Neither is worth a link: without the first, small messages are late; without the second, all are.
        let options = socket2::SockRef::from(&socket);
        if let Err(error) = socket.set_nodelay(true).and(options.set_tcp_notsent_lowat(NOTSENT_LEN_MIN)) {
            tracing::debug!(%error, %remote, "socket options");
        }
        Link {
            socket,
            remote,
            writable: !matches!(stage, Stage::Connecting(..)),
            stage,
            shake: Shake::Unknown,
            inbound: Inbound::new(),
            outbound: Outbound::default(),
            paused: false,
            readable: false,
            ending: false,
            in_read_queue: false,
            in_write_queue: false,
            notsent: NOTSENT_LEN_MIN,
        }
    }

    /// The torrent, once the link is up.
    pub(crate) fn torrent(&self) -> Option<TorrentId> {
        match self.stage {
            Stage::Up(torrent, _) => Some(torrent),
            Stage::Connecting(..) | Stage::Dialled(..) | Stage::Pending { .. } => None,
        }
    }

    /// Lets the kernel hold more when the session gives the link more credit than it takes.
    pub(crate) fn match_credit(&mut self) {
        let waiting = self.outbound.block_bytes();
        if self.notsent < NOTSENT_LEN_MAX && waiting > self.notsent as usize * 2 {
            self.notsent = (self.notsent * 2).min(NOTSENT_LEN_MAX);
            if let Err(error) = socket2::SockRef::from(&self.socket).set_tcp_notsent_lowat(self.notsent) {
                tracing::debug!(%error, remote = %self.remote, "TCP_NOTSENT_LOWAT");
            }
        }
    }
}

/// All links, and who has work.
#[derive(Debug, Default)]
pub(crate) struct Links {
    slots: Vec<Slot>,
    free: Vec<u32>,
    dials: HashMap<DialId, LinkId>,
    to_read: VecDeque<LinkId>,
    to_write: VecDeque<LinkId>,
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    link: Option<Box<Link>>,
}

impl Links {
    /// Takes a socket in and asks the kernel to tell about it.
    pub(crate) fn add(
        &mut self,
        registry: &Registry,
        mut socket: TcpStream,
        remote: SocketAddr,
        stage: Stage,
    ) -> io::Result<LinkId> {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() as u32 - 1
        });
        let token = Token(FIRST_LINK_TOKEN + slot as usize);
        if let Err(error) = registry.register(&mut socket, token, Interest::READABLE | Interest::WRITABLE) {
            self.free.push(slot);
            return Err(error);
        }
        let place = &mut self.slots[slot as usize];
        let id = LinkId { slot, generation: place.generation };
        if let Stage::Connecting(dial) = stage {
            self.dials.insert(dial, id);
        }
        place.link = Some(Box::new(Link::new(socket, remote, stage)));
        Ok(id)
    }

    /// Takes a link out; dropping it closes the socket.
    pub(crate) fn remove(&mut self, registry: &Registry, id: LinkId) -> Option<Box<Link>> {
        let place = self.slots.get_mut(id.slot as usize)?;
        let mut link = if place.generation == id.generation { place.link.take()? } else { return None };
        place.generation = place.generation.wrapping_add(1);
        self.free.push(id.slot);
        if let Stage::Connecting(dial) | Stage::Dialled(dial) = link.stage {
            self.dials.remove(&dial);
        }
        // The kernel forgets a closed socket by itself; an error here says no more than that.
        let _ = registry.deregister(&mut link.socket);
        Some(link)
    }

    /// Whether there is no link.
    pub(crate) fn is_empty(&self) -> bool {
        self.free.len() == self.slots.len()
    }

    /// The link of this name.
    pub(crate) fn get_mut(&mut self, id: LinkId) -> Option<&mut Link> {
        let place = self.slots.get_mut(id.slot as usize)?;
        if place.generation == id.generation { place.link.as_deref_mut() } else { None }
    }

    /// The link that a kernel's token means now. An event for a closed socket may find its successor: spurious readiness.
    pub(crate) fn by_token(&self, token: Token) -> Option<LinkId> {
        let slot = token.0.checked_sub(FIRST_LINK_TOKEN)?;
        let place = self.slots.get(slot)?;
        place.link.as_ref()?;
        Some(LinkId { slot: slot as u32, generation: place.generation })
    }

    /// The link of a dial that is under way.
    pub(crate) fn by_dial(&self, dial: DialId) -> Option<LinkId> {
        self.dials.get(&dial).copied()
    }

    /// A dial is no longer under way.
    pub(crate) fn dial_ended(&mut self, dial: DialId) {
        self.dials.remove(&dial);
    }

    /// Puts a link into the queue of those to be read, if it may be read.
    pub(crate) fn want_read(&mut self, id: LinkId) {
        let Some(link) = self.get_mut(id) else { return };
        if link.readable && !link.paused && !link.in_read_queue {
            link.in_read_queue = true;
            self.to_read.push_back(id);
        }
    }

    /// Puts a link into the queue of those to be written, if it has something to write and may.
    pub(crate) fn want_write(&mut self, id: LinkId) {
        let Some(link) = self.get_mut(id) else { return };
        if link.writable && !link.in_write_queue && !link.outbound.is_empty() {
            link.in_write_queue = true;
            self.to_write.push_back(id);
        }
    }

    /// How many links are to be read, and how many to be written.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        (self.to_read.len(), self.to_write.len())
    }

    /// The next link to be read.
    pub(crate) fn next_to_read(&mut self) -> Option<LinkId> {
        let id = self.to_read.pop_front()?;
        if let Some(link) = self.get_mut(id) {
            link.in_read_queue = false;
        }
        Some(id)
    }

    /// The next link to be written.
    pub(crate) fn next_to_write(&mut self) -> Option<LinkId> {
        let id = self.to_write.pop_front()?;
        if let Some(link) = self.get_mut(id) {
            link.in_write_queue = false;
        }
        Some(id)
    }
}

/// The door's name of an accepted link.
pub(crate) fn pending_id(link: LinkId) -> PendingId {
    PendingId(u64::from(link.generation) << 32 | u64::from(link.slot))
}

/// The link that the door means.
pub(crate) fn link_of(pending: PendingId) -> LinkId {
    LinkId { slot: pending.0 as u32, generation: (pending.0 >> 32) as u32 }
}
