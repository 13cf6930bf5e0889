//! The doors by which an operator reaches a tracker at work: JSON over HTTP, at a Unix socket whose file says who may come in, or at a
//! loopback address for who shows a token. What can be asked for is the table's in `command`, what is done `perform`'s.
//!
//! Invariants: one request a connection, without a body, within [`TIME_MAX`]; so many at once at each door, and who comes then is told so; over
//! TCP a request must name this machine's loopback as its host, so that no web page gets here by a name of its own. Threat F10

mod command;
mod guests;
mod people;
mod perform;
mod tokens;

use super::asked::Asked;
use super::office::{Office, Reloaded};
use super::settings::Admin as Settings;
use crate::failure::Failure;
use crate::show;
use crate::words::{count, why};
use command::Role;
use guests::{Guests, write_within};
use os::signals::Signal;
use perform::{Answer, answer};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::thread;
use std::time::{Duration, Instant};
use tokens::{Caller, Tokens};
use wire::tracker_http::head::{HEAD_LEN_MAX, Head};

/// How long a request may take to come, and its answer to be read.
const TIME_MAX: Duration = Duration::from_secs(5);

/// How long it is waited before a connection is accepted again, when the system has none to give.
const PAUSE: Duration = Duration::from_secs(1);

/// The doors. Dropped, the socket's file is gone.
pub(super) struct Admin {
    desk: Arc<Desk>,
    at: Option<SocketAddr>,
    socket: Option<PathBuf>,
}

/// By which way somebody comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Door {
    /// The file's permissions let them.
    Socket,
    /// A token must.
    Loopback,
}

/// What all requests need.
pub(super) struct Desk {
    office: Office,
    asked: Asked,
    tokens: RwLock<Tokens>,
    tokens_at: Option<PathBuf>,
    /// Requests without a valid token since that was told last.
    strangers: AtomicU64,
    guests: Guests,
}

impl Desk {
    fn new(office: Office, asked: Asked, tokens_at: Option<&Path>) -> Result<Arc<Desk>, Failure> {
        let tokens = tokens_at.map(Tokens::read).transpose()?.unwrap_or_default();
        let (tokens, tokens_at) = (RwLock::new(tokens), tokens_at.map(Path::to_owned));
        Ok(Arc::new(Desk {
            office,
            asked,
            tokens,
            tokens_at,
            strangers: AtomicU64::new(0),
            guests: Guests::default(),
        }))
    }

    /// Reads the tokens, and what the office has to do with, again. What cannot be read changes nothing. Says what holds now.
    fn reload(&self) -> Result<Reloaded, Failure> {
        self.office.reload(|| {
            let tokens = self.tokens_at.as_deref().map(Tokens::read).transpose()?;
            Ok(|| {
                if let Some(tokens) = tokens {
                    *self.tokens.write().unwrap_or_else(std::sync::PoisonError::into_inner) = tokens;
                }
            })
        })
    }

    /// How many have come without a valid token since this was asked last, for people; nothing if nobody has.
    fn turned_away(&self) -> Option<String> {
        let strangers = self.strangers.swap(0, Ordering::Relaxed);
        let requests = count(strangers, "request");
        (strangers > 0)
            .then(|| format!("{requests} at the admin address showed no valid token, or named another host"))
    }

    /// Who shows this token.
    fn caller(&self, token: &[u8]) -> Option<Caller> {
        self.tokens.read().unwrap_or_else(std::sync::PoisonError::into_inner).caller(token).cloned()
    }
}

impl Admin {
    /// Opens the doors that are asked for.
    pub(super) fn open(settings: &Settings, office: Office, asked: Asked) -> Result<Admin, Failure> {
        let desk = Desk::new(office, asked, settings.tokens.as_deref())?;
        let mut admin = Admin { desk: Arc::clone(&desk), at: None, socket: None };
        if let Some(path) = &settings.socket {
            let cannot = |error: io::Error| {
                let what = match error.kind() {
                    ErrorKind::AddrInUse => "another tracker listens there".into(),
                    ErrorKind::AlreadyExists => "something else has that name, and is left alone".into(),
                    _ => why(&error),
                };
                Failure::plain(format!("the admin socket {}: {what}", path.display()))
            };
            let listener = os::local::listen(path).map_err(cannot)?;
            admin.socket = Some(path.clone());
            let desk = Arc::clone(&desk);
            start(move || accept_all(&desk, Door::Socket, || listener.accept().map(|(stream, _)| stream)))?;
        }
        if let Some(at) = settings.listen {
            let cannot =
                |error: io::Error| Failure::plain(format!("the admin address {at}: {}", why(&error)));
            let listener = TcpListener::bind(at).map_err(cannot)?;
            admin.at = listener.local_addr().ok();
            let desk = Arc::clone(&desk);
            start(move || accept_all(&desk, Door::Loopback, || listener.accept().map(|(stream, _)| stream)))?;
        }
        Ok(admin)
    }

    /// Reads again, as a signal asks for it, and says how it went.
    pub(super) fn reload_aloud(&self) {
        match self.desk.reload() {
            Ok(done) => show::message(&done.said),
            Err(failure) => show::message(&format!("nothing was changed: {failure}")),
        }
    }

    /// Says how many were turned away, if any: somebody may be guessing.
    pub(super) fn tell_turned_away(&self) {
        self.desk.turned_away().iter().for_each(|text| show::message(text));
    }

    /// What it changes.
    pub(super) fn office(&self) -> &Office {
        &self.desk.office
    }

    /// Where it listens, for people; nothing if it does not.
    pub(super) fn says(&self) -> Option<String> {
        let at = self.at.map(|at| format!("http://{at}/"));
        let socket = self.socket.as_ref().map(|path| path.display().to_string());
        let doors: Vec<String> = socket.into_iter().chain(at).collect();
        (!doors.is_empty()).then(|| format!("its operator reaches it at {}", doors.join(" and ")))
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        if let Some(path) = &self.socket {
            // Another that took its place is not ours to remove, but there is none while we listen.
            let _ = std::fs::remove_file(path);
        }
    }
}

fn start(run: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    // It ends with the program: nothing is lost that it holds.
    thread::Builder::new().name("admin".into()).spawn(run).map(drop).map_err(Failure::plain)
}

/// A connection of either kind.
trait Line: Read + Write + Send + 'static {
    /// From now on no call takes longer.
    fn set_time(&self, time: Duration) -> io::Result<()>;
}

impl Line for UnixStream {
    fn set_time(&self, time: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(time)).and_then(|()| self.set_write_timeout(Some(time)))
    }
}

impl Line for TcpStream {
    fn set_time(&self, time: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(time)).and_then(|()| self.set_write_timeout(Some(time)))
    }
}

fn accept_all<L: Line>(desk: &Arc<Desk>, door: Door, accept: impl Fn() -> io::Result<L>) {
    loop {
        let line = match accept() {
            Ok(line) => line,
            Err(error) => {
                tracing::warn!(%error, "an operator could not be let in");
                thread::park_timeout(PAUSE);
                continue;
            }
        };
        receive(line, desk, door);
    }
}

/// Serves it by a thread of its own, if there is room for one.
fn receive(mut line: impl Line, desk: &Arc<Desk>, door: Door) {
    let Some(guest) = desk.guests.enter(door) else {
        // Nothing waits for it to be read: so little has room in a new connection.
        let refusal = Answer::error(503, "too many ask at once");
        return drop(write_within(TIME_MAX, &mut line, refusal.encode().as_bytes(), Instant::now));
    };
    let desk = Arc::clone(desk);
    // Who finds no thread is hung up on.
    let _ = thread::Builder::new().name("admin-request".into()).spawn(move || {
        serve(line, &desk, door);
        drop(guest);
    });
}

/// One request and its answer.
fn serve(mut line: impl Line, desk: &Desk, door: Door) {
    let mut input = Vec::new();
    let answer = match read_head(&mut line, &mut input) {
        Ok(()) => match Head::read(&input, 0) {
            Ok(Some(head)) => answer(&head, door, desk),
            Ok(None) => return,
            Err(error) => Answer::error(400, &error.to_string()),
        },
        // Gone, or too slow to be told.
        Err(_) => return,
    };
    // Who does not read it in time does not want it.
    let _ = write_within(TIME_MAX, &mut line, answer.encode().as_bytes(), Instant::now);
    drop(line);
    if answer.ends {
        desk.asked.ask(Signal::End);
    }
}

/// Reads until there is a head, or what is none.
fn read_head(line: &mut impl Line, input: &mut Vec<u8>) -> io::Result<()> {
    let until = Instant::now() + TIME_MAX;
    let mut chunk = [0; 1024];
    while let Ok(None) = Head::read(input, 0) {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || input.len() > HEAD_LEN_MAX {
            return Err(ErrorKind::TimedOut.into());
        }
        line.set_time(left)?;
        match line.read(&mut chunk)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            len => input.extend_from_slice(chunk.get(..len).unwrap_or_default()),
        }
    }
    Ok(())
}

/// Who asks, or why that is nobody. The socket's file has said so already; over TCP it must be this machine that is meant, and a token.
fn caller(head: &Head<'_>, door: Door, desk: &Desk) -> Result<Caller, Answer> {
    match door {
        Door::Socket => Ok(Caller { name: "socket".into(), role: Role::Admin }),
        Door::Loopback => {
            let mut hosts = head.values_from_last("host");
            let (host, more) = (hosts.next().unwrap_or_default(), hosts.next());
            if more.is_some() || !is_this_machine(host) {
                let text = "the Host must be this machine's loopback, such as 127.0.0.1";
                return Err(Answer::error(421, text));
            }
            let mut tokens = head.values_from_last("authorization");
            let (token, more) = (tokens.next(), tokens.next());
            let token = token.filter(|_| more.is_none()).and_then(|value| value.strip_prefix(b"Bearer "));
            token.and_then(|token| desk.caller(token)).ok_or_else(|| {
                Answer::error(401, "a token of the file is needed: `Authorization: Bearer TOKEN`")
            })
        }
    }
}

/// Whether a `Host` names the loopback: whoever got here by another name was led here.
fn is_this_machine(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else { return false };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() => name,
        _ => host,
    };
    let bare = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    let loopback = bare.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    loopback || bare.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests;
