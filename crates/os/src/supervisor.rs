//! What a service tells the manager that runs it: that it is ready, reads its settings again, ends, and how it goes. The protocol of
//! sd_notify(3): datagrams of text to a socket whose name is in the environment.
//!
//! Always: nothing is waited for, and a manager that does not listen is no reason to fail.

use rustix::time::{ClockId, clock_gettime};
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The variable of the environment that names the socket.
pub const VARIABLE: &str = "NOTIFY_SOCKET";

/// Bytes of a text about how it goes; the rest is left out.
pub const STATUS_LEN_MAX: usize = 512;

/// Who runs this service, and wants to hear from it.
#[derive(Debug)]
pub struct Supervisor {
    socket: UnixDatagram,
    at: SocketAddr,
}

/// What it is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State<'a> {
    /// Visitors are served, from the start or after [`State::Reloading`].
    Ready,
    /// The settings are being read again. [`State::Ready`] follows, whether that succeeds or not.
    Reloading,
    /// It ends.
    Stopping,
    /// How it goes, for people; the first line alone.
    Status(&'a str),
}

impl Supervisor {
    /// At a socket's name as the variable says it: a path, or behind `@` a name of no file.
    ///
    /// # Errors
    /// The name is of another kind or too long, or there can be no more sockets.
    pub fn at(name: &OsStr) -> io::Result<Supervisor> {
        let at = match name.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            [b'/', ..] => SocketAddr::from_pathname(name)?,
            _ => return Err(io::ErrorKind::Unsupported.into()),
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Supervisor { socket, at })
    }

    /// Tells it.
    ///
    /// # Errors
    /// Nobody listens there, or reads what comes.
    pub fn tell(&self, state: State<'_>) -> io::Result<()> {
        self.socket.send_to_addr(text(state).as_bytes(), &self.at).map(drop)
    }
}

fn text(state: State<'_>) -> String {
    match state {
        State::Ready => "READY=1\n".into(),
        // It tells by the time which signal this belongs to.
        State::Reloading => format!("RELOADING=1\nMONOTONIC_USEC={}\n", monotonic_micros()),
        State::Stopping => "STOPPING=1\n".into(),
        State::Status(text) => {
            let line = text.lines().next().unwrap_or_default();
            format!("STATUS={}\n", &line[..line.floor_char_boundary(STATUS_LEN_MAX)])
        }
    }
}

/// The clock that managers measure by.
fn monotonic_micros() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let [seconds, nanos] = [time.tv_sec, time.tv_nsec].map(|part| u64::try_from(part).unwrap_or(0));
    seconds * 1_000_000 + nanos / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 2048];
        let len = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..len].to_vec()).unwrap()
    }

    #[test]
    fn a_manager_hears_what_it_is_told_at_a_path_and_at_a_name_of_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let name = format!("gannet-test-{}", std::process::id());
        let abstract_at = SocketAddr::from_abstract_name(&name).unwrap();
        let sockets = [
            (UnixDatagram::bind(&path).unwrap(), path.into_os_string()),
            (UnixDatagram::bind_addr(&abstract_at).unwrap(), format!("@{name}").into()),
        ];
        for (socket, name) in sockets {
            let manager = Supervisor::at(&name).unwrap();
            let before = monotonic_micros();
            manager.tell(State::Ready).unwrap();
            manager.tell(State::Reloading).unwrap();
            manager.tell(State::Status("five peers\nREADY=1")).unwrap();
            manager.tell(State::Stopping).unwrap();
            assert_eq!(heard(&socket), "READY=1\n");
            let reloading = heard(&socket);
            let time = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap().trim_end();
            assert!((before..=monotonic_micros()).contains(&time.parse().unwrap()), "{reloading}");
            assert_eq!(heard(&socket), "STATUS=five peers\n");
            assert_eq!(heard(&socket), "STOPPING=1\n");
        }
    }

    #[test]
    fn who_does_not_listen_is_an_error_and_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let deaf = UnixDatagram::bind(&path).unwrap();
        let manager = Supervisor::at(path.as_os_str()).unwrap();
        // Its queue ends somewhere.
        while manager.tell(State::Ready).is_ok() {}
        drop(deaf);
        assert!(manager.tell(State::Ready).is_err());
        for name in ["", "notify", "vsock:2:1234"] {
            assert!(Supervisor::at(name.as_ref()).is_err(), "{name}");
        }
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let long = "ä".repeat(STATUS_LEN_MAX);
        let told = text(State::Status(&long));
        assert_eq!(told.len(), "STATUS=\n".len() + STATUS_LEN_MAX);
    }
}
