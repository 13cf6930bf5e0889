//! A visitor's connection as bytes, in plain or within TLS: what is read and written here is what the visitor says and hears. Knows no
//! HTTP.
//!
//! Invariants: a read that would block says that the socket has nothing, so that the poll tells of more; a write takes nothing while what
//! was sealed before waits, so that at most one record does; nobody who sends records without content holds others up. Threat E9

use crate::certificate::Certificate;
use mio::net::TcpStream;
use rustls::{HandshakeKind, ServerConnection};
use std::io::{self, ErrorKind, Read, Write};

/// Reads of the socket in a row that brought no content, after which others get their turn: a handshake takes two.
const SILENT_READS_MAX: usize = 4;

/// How every connection within TLS begins: the kind of its first record (RFC 8446, section 5.1).
pub(crate) const HANDSHAKE: u8 = 0x16;

/// A connection.
pub(crate) enum Stream {
    /// In plain.
    Plain(TcpStream),
    /// Within TLS, sooner or later.
    Tls(Box<Tls>),
}

/// A connection at a place where TLS is spoken.
pub(crate) struct Tls {
    socket: TcpStream,
    session: ServerConnection,
    phase: Phase,
    /// Bytes of the session that came before it began.
    came: Vec<u8>,
    /// The last read took all that the socket had. One that was served from what is here already knows nothing of the socket.
    drained: bool,
}

/// How far it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Something plain comes before, until [`Stream::begin`].
    Before,
    /// Nothing has come.
    Fresh,
    /// Records come and go.
    Sealed,
    /// The visitor speaks plain HTTP, and should be told so.
    Mistaken,
}

impl Stream {
    /// A visitor where this certificate is shown, in plain where there is none; `later` if something plain comes first.
    ///
    /// # Errors
    /// When TLS has no chance to draw from.
    pub(crate) fn new(
        socket: TcpStream,
        certificate: Option<&Certificate>,
        later: bool,
    ) -> Result<Stream, rustls::Error> {
        let Some(certificate) = certificate else { return Ok(Stream::Plain(socket)) };
        let phase = if later { Phase::Before } else { Phase::Fresh };
        let session = certificate.begin()?;
        Ok(Stream::Tls(Box::new(Tls { socket, session, phase, came: Vec::new(), drained: false })))
    }

    /// The socket, for the poll.
    pub(crate) fn socket_mut(&mut self) -> &mut TcpStream {
        match self {
            Stream::Plain(socket) => socket,
            Stream::Tls(tls) => &mut tls.socket,
        }
    }

    /// What should come first has come whole; what came behind it is the session's. Says whether there is one to begin.
    pub(crate) fn begin(&mut self, came: impl FnOnce() -> Vec<u8>) -> bool {
        match self {
            Stream::Tls(tls) if tls.phase == Phase::Before => {
                (tls.phase, tls.came) = (Phase::Fresh, came());
                true
            }
            Stream::Tls(_) | Stream::Plain(_) => false,
        }
    }

    /// The visitor speaks plain HTTP where TLS is spoken. It hears what is written now.
    pub(crate) fn is_mistaken(&self) -> bool {
        matches!(self, Stream::Tls(tls) if tls.phase == Phase::Mistaken)
    }

    /// No content can come yet.
    pub(crate) fn is_shaking_hands(&self) -> bool {
        matches!(self, Stream::Tls(tls) if tls.phase == Phase::Sealed && tls.session.is_handshaking())
    }

    /// TLS is spoken here, and what is read next may cost a signature.
    pub(crate) fn may_cost_signature(&self) -> bool {
        match self {
            Stream::Plain(_) => false,
            Stream::Tls(tls) => match tls.phase {
                Phase::Before | Phase::Fresh => true,
                Phase::Sealed => tls.session.is_handshaking() && !tls.has_signed(),
                Phase::Mistaken => false,
            },
        }
    }

    /// The next read may make a signature: the visitor speaks TLS, not plain HTTP.
    ///
    /// # Errors
    /// When nothing can be read yet.
    pub(crate) fn is_about_to_sign(&mut self) -> io::Result<bool> {
        match self {
            Stream::Plain(_) => Ok(false),
            Stream::Tls(tls) => {
                tls.look()?;
                // Of one that was begun twice it is not known: a signature too many does no harm, a visitor who is turned away does.
                Ok(tls.phase == Phase::Sealed && tls.session.handshake_kind().is_none())
            }
        }
    }

    /// After a read of so many bytes into a buffer of such length, whether the next may bring more before the poll tells of it.
    pub(crate) fn may_have_more(&self, len: usize, room: usize) -> bool {
        match self {
            Stream::Tls(tls) if tls.phase == Phase::Sealed => len == room || !tls.drained,
            Stream::Tls(_) | Stream::Plain(_) => len == room,
        }
    }

    /// Sealed bytes wait for the socket.
    pub(crate) fn is_leaving(&self) -> bool {
        matches!(self, Stream::Tls(tls) if tls.phase == Phase::Sealed && tls.session.wants_write())
    }

    /// Says that nothing more will be said, if the socket takes that at once: who was told knows that nothing was cut off.
    pub(crate) fn say_goodbye(&mut self) {
        if let Stream::Tls(tls) = self
            && tls.phase == Phase::Sealed
        {
            tls.session.send_close_notify();
            // It is closed in any case.
            let _ = tls.flush();
        }
    }
}

impl Tls {
    /// The one signature of a handshake is made, or none is needed. Of one that was begun twice (RFC 8446, section 4.1.4) that is not known.
    fn has_signed(&self) -> bool {
        matches!(self.session.handshake_kind(), Some(HandshakeKind::Full | HandshakeKind::Resumed))
    }

    /// What is spoken, by the first byte. If there is none, nothing is, nor will be.
    fn look(&mut self) -> io::Result<()> {
        if self.phase == Phase::Fresh {
            let mut first = [0];
            match self.came.first() {
                Some(&byte) => first = [byte],
                None if self.socket.peek(&mut first)? == 0 => return Ok(()),
                None => {}
            }
            // Every method of HTTP begins so, and no record of a handshake does.
            let is_http = first.iter().all(u8::is_ascii_uppercase);
            self.phase = if is_http { Phase::Mistaken } else { Phase::Sealed };
        }
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.look()?;
        match self.phase {
            Phase::Sealed => self.read_sealed(buffer),
            // The end.
            Phase::Fresh => Ok(0),
            Phase::Before | Phase::Mistaken => self.wire().read(buffer),
        }
    }

    fn read_sealed(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.drained = false;
        for _ in 0..SILENT_READS_MAX {
            match self.session.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // Hung up without a word. What a request lacks it lacks either way.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(0),
                read => return read,
            }
            // All content is read, so there is room for more.
            let mut wire = Wire { socket: &self.socket, came: &mut self.came, drained: &mut self.drained };
            self.session.read_tls(&mut wire)?;
            let processed = self.session.process_new_packets();
            // What it answers to that, an alert perhaps.
            match self.flush() {
                Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
                Ok(()) | Err(_) => {}
            }
            processed.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        }
        Err(ErrorKind::Interrupted.into())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.phase != Phase::Sealed {
            return self.socket.write(bytes);
        }
        self.flush()?;
        let len = self.session.writer().write(bytes)?;
        match self.flush() {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            Ok(()) | Err(_) => Ok(len),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            if self.session.write_tls(&mut self.socket)? == 0 {
                return Err(ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }

    fn wire(&mut self) -> Wire<'_> {
        Wire { socket: &self.socket, came: &mut self.came, drained: &mut self.drained }
    }
}

/// What comes, as it comes.
struct Wire<'a> {
    socket: &'a TcpStream,
    came: &'a mut Vec<u8>,
    drained: &'a mut bool,
}

impl Read for Wire<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.came.is_empty() {
            let len = self.socket.read(buffer)?;
            *self.drained = len < buffer.len();
            return Ok(len);
        }
        let len = self.came.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(self.came.drain(..len)) {
            *to = from;
        }
        *self.drained = false;
        Ok(len)
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.read(buffer),
            Stream::Tls(tls) => tls.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.write(bytes),
            Stream::Tls(tls) => tls.write(bytes),
        }
    }

    /// What waits, waits on if the socket takes no more.
    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Tls(tls) if tls.phase == Phase::Sealed => tls.flush(),
            Stream::Tls(_) | Stream::Plain(_) => Ok(()),
        }
    }
}
