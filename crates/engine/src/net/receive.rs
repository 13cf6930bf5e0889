//! From sockets to inputs: accepting, connecting, reading, cutting messages.
//!
//! Who may come in is the door's to say, what a message means the session's. BEP: 3

use super::event_loop::EventLoop;
use super::inbound::{Fill, Received};
use super::links::{Stage, pending_id};
use super::shaking::Shake;
use mio::net::TcpStream;
use proto::door::{Transport, Way};
use proto::input::{DialFailure, LinkEnd, Unsent};
use proto::{DialId, Input, LinkId, door};
use std::io;
use std::net::SocketAddr;
use wire::Message;

/// Sockets accepted in one turn, of each listener.
const ACCEPTS_PER_TURN_MAX: usize = 64;

/// Bytes read from one link in one turn: so many blocks are fed to the session before the next link has its turn.
const READ_PER_TURN_MAX: usize = 512 * 1024;

impl EventLoop {
    /// Lets in who waits at the listeners.
    pub(super) fn accept(&mut self) {
        if self.listening.rest_until > self.now {
            return;
        }
        for index in 0..self.listening.ready.len() {
            for _ in 0..ACCEPTS_PER_TURN_MAX {
                if !self.listening.ready[index] {
                    break;
                }
                match self.listening.listeners.sockets[index].accept() {
                    Ok((socket, remote)) => self.accepted(socket, remote),
                    Err(error) => match error.kind() {
                        io::ErrorKind::WouldBlock => self.listening.ready[index] = false,
                        io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => {}
                        _ => {
                            tracing::warn!(%error, "no socket for a peer that came");
                            return self.rest_from_accepting();
                        }
                    },
                }
            }
        }
    }

    fn accepted(&mut self, socket: TcpStream, remote: SocketAddr) {
        let stage = Stage::Pending { heard: false, torrent: None };
        match self.links.add(self.poll.registry(), socket, remote, stage) {
            Ok(link) => {
                self.keep_private(link);
                self.tell_door(door::Input::Accepted { pending: pending_id(link), remote });
            }
            Err(error) => tracing::warn!(%error, %remote, "no room in the kernel's list"),
        }
    }

    /// Begins to connect, as the door says.
    pub(super) fn connect(&mut self, dial: DialId, remote: SocketAddr, way: Way) {
        if self.torrents.get(dial.torrent).is_none() {
            return self.way_failed(dial, DialFailure::NotTried, false);
        }
        let Transport::Tcp = way.transport;
        let added = TcpStream::connect(remote)
            .and_then(|socket| self.links.add(self.poll.registry(), socket, remote, Stage::Connecting(dial)));
        match added {
            Ok(id) => {
                self.keep_private(id);
                if let Some(link) = self.links.get_mut(id) {
                    link.shake = Shake::planned(way.crypto);
                }
            }
            Err(error) => self.way_failed(dial, why_not_connected(&error), false),
        }
    }

    /// The kernel says that a connection stands, or that it never will.
    pub(super) fn finish_connecting(&mut self, id: LinkId, dial: DialId) {
        let Some(link) = self.links.get_mut(id) else { return };
        let state = match link.socket.take_error() {
            Ok(None) => link.socket.peer_addr().map(drop),
            Ok(Some(error)) | Err(error) => Err(error),
        };
        match state {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotConnected => return,
            Err(error) => {
                self.links.remove(self.poll.registry(), id);
                return self.way_failed(dial, why_not_connected(&error), false);
            }
        }
        link.stage = Stage::Dialled(dial);
        link.writable = true;
        // What came with the connection is told only once.
        link.readable = true;
        let info_hash = self.torrents.get(dial.torrent).map(|entry| entry.info_hash);
        if !info_hash.is_some_and(|info_hash| self.greet(id, info_hash)) {
            self.links.remove(self.poll.registry(), id);
            return self.way_failed(dial, DialFailure::NotTried, false);
        }
        self.tell_door(door::Input::Connected(dial));
        self.links.want_write(id);
        self.links.want_read(id);
    }

    fn way_failed(&mut self, dial: DialId, why: DialFailure, heard: bool) {
        self.tell_door(door::Input::WayFailed { dial, why, heard });
    }

    /// Reads what is ready, each link its share.
    pub(super) fn receive(&mut self) {
        for _ in 0..self.links.waiting().0 {
            if let Some(id) = self.links.next_to_read() {
                self.read_link(id);
            }
        }
    }

    fn read_link(&mut self, id: LinkId) {
        let mut read = 0;
        while read < READ_PER_TURN_MAX {
            let Some(link) = self.links.get_mut(id) else { return };
            if link.paused || !link.readable {
                break;
            }
            let fill = link.inbound.fill(&link.socket, &mut self.scratch);
            match fill {
                Ok(Fill::Some(count)) => read += count,
                Ok(Fill::Last(count)) => {
                    read += count;
                    // A short read has emptied the socket, and the kernel will tell of more; but not twice of an end.
                    link.readable = link.ending;
                }
                Ok(Fill::Nothing) => link.readable = false,
                Ok(Fill::End) => return self.lose(id, LinkEnd::ByPeer),
                Err(error) => {
                    tracing::debug!(%error, remote = %link.remote, "link broke");
                    return self.lose(id, LinkEnd::Broken);
                }
            }
            self.decode(id);
        }
        if let Some(link) = self.links.get_mut(id) {
            link.inbound.settle(&mut self.scratch);
            self.links.want_read(id);
        }
        self.report_overhead(id);
    }

    fn decode(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(id) else { return };
        match link.stage {
            Stage::Up(..) => self.decode_messages(id),
            Stage::Connecting(_) => {}
            Stage::Dialled(dial) => self.read_answer(id, dial),
            Stage::Pending { heard, torrent } => self.read_greeting(id, heard, torrent),
        }
    }

    /// Cuts what is there into messages and blocks.
    pub(super) fn decode_messages(&mut self, id: LinkId) {
        loop {
            let Some(link) = self.links.get_mut(id) else { return self.mail.haves.clear() };
            let Stage::Up(_, limits) = link.stage else { return };
            match link.inbound.next(&limits) {
                Ok(Some(Received::Message(Message::Have(piece)))) => self.mail.haves.push(piece),
                Ok(Some(Received::Message(Message::Extended { id: extension, body }))) => {
                    self.feed_haves(id);
                    self.read_extended(id, extension, body);
                }
                Ok(Some(Received::Message(message))) => {
                    self.feed_haves(id);
                    self.feed(Input::Message { link: id, message });
                }
                Ok(Some(Received::Block(block, bytes))) => {
                    self.feed_haves(id);
                    let payload = self.payloads.parked.park(bytes);
                    self.feed(Input::Block { link: id, block, payload });
                }
                Ok(None) => break,
                Err(error) => {
                    tracing::debug!(%error, remote = %link.remote, "not messages");
                    self.feed_haves(id);
                    return self.lose(id, error.how_the_link_ends());
                }
            }
        }
        self.feed_haves(id);
        if let Some(bytes) = self.links.get_mut(id).map(|link| link.inbound.take_progress())
            && bytes > 0
        {
            self.feed(Input::Progress { link: id, bytes });
        }
    }

    fn feed_haves(&mut self, link: LinkId) {
        if !self.mail.haves.is_empty() {
            let mut pieces = std::mem::take(&mut self.mail.haves);
            self.feed(Input::Haves { link, pieces: &pieces });
            pieces.clear();
            self.mail.haves = pieces;
        }
    }

    /// Ends a link, and tells whoever knew of it.
    pub(super) fn lose(&mut self, id: LinkId, why: LinkEnd) {
        let Some(mut link) = self.links.remove(self.poll.registry(), id) else { return };
        match link.stage {
            Stage::Up(..) => {
                for token in link.outbound.abandon() {
                    self.mail.to_session.push_back(Input::Unsent { token, why: Unsent::LinkDown });
                }
                self.mail.to_session.push_back(Input::LinkDown { link: id, why });
            }
            Stage::Connecting(dial) | Stage::Dialled(dial) => {
                self.way_failed(dial, DialFailure::Handshake, link.inbound.has_heard());
            }
            Stage::Pending { .. } => self.tell_door(door::Input::Settled(pending_id(id))),
        }
    }

    /// Tells what moved over a link beside blocks' bodies.
    pub(super) fn report_overhead(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(id).filter(|link| link.torrent().is_some()) else { return };
        let (received, sent) = (link.inbound.take_overhead(), link.outbound.take_overhead());
        if received > 0 || sent > 0 {
            self.feed(Input::Overhead { link: id, received, sent });
        }
    }
}

fn why_not_connected(error: &io::Error) -> DialFailure {
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => DialFailure::Refused,
        io::ErrorKind::TimedOut => DialFailure::TimedOut,
        // Our own ports or descriptors are spent, which is no fault of the peer.
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse => DialFailure::NotTried,
        _ if error.raw_os_error().is_some_and(|code| code == ENFILE || code == EMFILE) => {
            DialFailure::NotTried
        }
        _ => DialFailure::Unreachable,
    }
}

/// Too many open files, in the system and in this process: the standard library has no kinds for these.
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;
