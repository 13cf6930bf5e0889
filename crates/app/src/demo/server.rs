//! The left side's origin: a web server for one file, over a line that is no faster than the seed's.
//!
//! Real HTTP/1.1 over real sockets: a browser or `curl` may fetch from it too. Not a general server: `GET` alone, one
//! answer a connection.

use super::plan::FILE_NAME;
use super::uplink::Uplink;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Visitors at once: everybody in the demonstration, and a few who are curious.
const VISITORS_MAX: usize = 64;

/// The longest request that is read.
const HEAD_MAX: u64 = 8 << 10;

/// How long a visitor may keep silent.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes written at a time: a block's worth, so that everybody gets their turn as often as peers do.
const CHUNK: usize = 16 << 10;

/// A server at work; dropping it ends it.
pub(super) struct Server {
    address: SocketAddr,
    desk: Arc<Desk>,
}

/// What the server's threads share.
struct Desk {
    content: Arc<[u8]>,
    uplink: Uplink,
    closed: AtomicBool,
    visitors: Mutex<Vec<TcpStream>>,
}

impl Server {
    /// Serves the content on a free port of this machine.
    pub(super) fn start(content: Arc<[u8]>, rate: u64) -> io::Result<Server> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let desk = Arc::new(Desk {
            content,
            uplink: Uplink::new(rate),
            closed: AtomicBool::new(false),
            visitors: Mutex::default(),
        });
        let at_the_door = Arc::clone(&desk);
        std::thread::Builder::new().name("demo-server".into()).spawn(move || at_the_door.open(&listener))?;
        Ok(Server { address, desk })
    }

    /// Where it is.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Bytes of the file that it has sent.
    pub(super) fn sent(&self) -> u64 {
        self.desk.uplink.sent()
    }

    /// Ends it in the middle of whatever it does, as a power cut would.
    pub(super) fn kill(&self) {
        self.desk.closed.store(true, Ordering::SeqCst);
        self.desk.uplink.cut();
        self.desk.visitors().drain(..).for_each(|visitor| drop(visitor.shutdown(Shutdown::Both)));
        // Whoever waits for visitors sees by this one that it is over.
        drop(TcpStream::connect(self.address));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Desk {
    fn open(self: &Arc<Desk>, listener: &TcpListener) {
        for visitor in listener.incoming().map_while(Result::ok) {
            if self.closed.load(Ordering::SeqCst) {
                return;
            }
            let Ok(ours) = visitor.try_clone() else { continue };
            let mut visitors = self.visitors();
            if visitors.len() >= VISITORS_MAX {
                continue;
            }
            visitors.push(ours);
            drop(visitors);
            let desk = Arc::clone(self);
            let thread = std::thread::Builder::new().name("demo-visitor".into());
            // Whoever hangs up, or asks for what is not here, harms nobody else.
            let _ = thread.spawn(move || {
                let _ = desk.serve(&visitor);
                desk.forget(&visitor);
            });
        }
    }

    fn serve(&self, visitor: &TcpStream) -> io::Result<()> {
        visitor.set_read_timeout(Some(PATIENCE))?;
        let mut lines = BufReader::new(visitor.take(HEAD_MAX)).lines();
        let request = lines.next().transpose()?.unwrap_or_default();
        // The head ends with an empty line; what it says besides is of no interest.
        while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
        let (status, body): (_, &[u8]) = match request.split(' ').collect::<Vec<_>>().as_slice() {
            ["GET", path, _] if path.trim_start_matches('/') == FILE_NAME => ("200 OK", &self.content),
            ["GET", ..] => ("404 Not Found", b""),
            _ => ("400 Bad Request", b""),
        };
        let mut to = visitor;
        write!(
            to,
            "HTTP/1.1 {status}\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        )?;
        for chunk in body.chunks(CHUNK) {
            if self.uplink.pass(chunk.len() as u64).is_err() {
                break;
            }
            to.write_all(chunk)?;
        }
        Ok(())
    }

    fn forget(&self, visitor: &TcpStream) {
        let gone = visitor.peer_addr().ok();
        let _ = visitor.shutdown(Shutdown::Write);
        self.visitors().retain(|other| other.peer_addr().is_ok_and(|theirs| Some(theirs) != gone));
    }

    fn visitors(&self) -> std::sync::MutexGuard<'_, Vec<TcpStream>> {
        self.visitors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
