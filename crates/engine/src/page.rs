//! A page from which a browser on the local network downloads what is shared, without Gannet: plain HTTP behind a path that cannot be
//! guessed, for as long as this is open. Threats: what docs/sharing.md says of it.
//!
//! Always: whoever does not know the path learns nothing but that something is here; only the files that were named are ever
//! opened, beneath their folders and through no symbolic link; at most [`VISITORS_MAX`] connections at once, few of one address,
//! each of which ends if nothing moves. What it never does: write, or tell one visitor of another.

mod answer;
mod body;
mod line;
mod range;
mod token;

use crate::net::listen::Listen;
use answer::Offer;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use line::{Activity, Line};
use socket2::{Domain, Protocol, Socket, Type};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use token::Token;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

/// Connections at once: a browser opens six.
const VISITORS_MAX: usize = 48;

/// Connections of one address at once: two browsers.
const VISITORS_OF_A_HOST_MAX: usize = 12;

/// A connection on which nothing moves for so long is ended.
const IDLE: Duration = Duration::from_secs(60);

/// The same for who has not shown yet that it knows the path.
const STRANGER_IDLE: Duration = Duration::from_secs(8);

/// Connections that the kernel completes for us before they are accepted.
const BACKLOG: i32 = 64;

/// Files on one page: more make no page that anybody can use.
pub const PAGE_FILES_MAX: usize = 10_000;

/// A file on the page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PageFile {
    /// The folder beneath which it lies.
    pub root: PathBuf,
    /// Its path beneath that, without `..`.
    pub path: PathBuf,
    /// Its length in bytes. A file that has another length when it is asked for is not given.
    pub len: u64,
}

/// What is on a page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PageContent {
    /// What the whole is called.
    pub title: String,
    /// Its files, at most [`PAGE_FILES_MAX`]; further ones are left out, and the page says so.
    pub files: Vec<PageFile>,
}

/// A page that is being served, until this is dropped.
///
/// ```no_run
/// use gannet::page::{Page, PageContent, PageFile};
///
/// # fn main() -> std::io::Result<()> {
/// let file = PageFile { root: "/home/me".into(), path: "film.mp4".into(), len: 4_000_000 };
/// let page = Page::open(PageContent { title: "film.mp4".into(), files: vec![file] }, &gannet::Listen::default())?;
/// println!("http://192.168.0.7:{}{}", page.port(), page.path());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Page {
    path: String,
    addresses: Vec<SocketAddr>,
    sent: Arc<AtomicU64>,
    end: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Page {
    /// Begins to serve, on the first port of `listen` that is free, else on any.
    ///
    /// # Errors
    /// When no port, thread or random number can be had.
    pub fn open(content: PageContent, listen: &Listen) -> io::Result<Page> {
        let token = Token::draw()?;
        let path = format!("/{token}/");
        let sent = Arc::new(AtomicU64::new(0));
        let offer = Arc::new(Offer::new(content, token, Arc::clone(&sent)));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let sockets = {
            let _inside = runtime.enter();
            bind(listen)?
        };
        let addresses = sockets.iter().map(TcpListener::local_addr).collect::<io::Result<Vec<_>>>()?;
        let (end, ended) = watch::channel(false);
        let thread = std::thread::Builder::new().name("gannet-page".into()).spawn(move || {
            runtime.block_on(serve(sockets, offer, ended));
            // Reads of files that are under way are not waited for.
            runtime.shutdown_background();
        })?;
        Ok(Page { path, addresses, sent, end, thread: Some(thread) })
    }

    /// The path of the page: whoever knows it can download.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.addresses.first().map_or(0, SocketAddr::port)
    }

    /// Where it listens.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Bytes of files that have gone out.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ = self.end.send(true);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the page's thread panicked");
        }
    }
}

/// Takes visitors in until the end; then all connections are cut.
async fn serve(sockets: Vec<TcpListener>, offer: Arc<Offer>, mut ended: watch::Receiver<bool>) {
    let room = Arc::new(Semaphore::new(VISITORS_MAX));
    let mut visits = tokio::task::JoinSet::new();
    let mut listening = tokio::task::JoinSet::new();
    let (come, mut came) = tokio::sync::mpsc::channel(1);
    let hosts = Arc::new(Hosts::default());
    for socket in sockets {
        let come = come.clone();
        listening.spawn(async move {
            loop {
                match socket.accept().await {
                    Ok((visitor, from)) => drop(come.send((visitor, from.ip())).await),
                    // Descriptors are spent, say: others may close some.
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                }
            }
        });
    }
    loop {
        let next = async {
            let place = Arc::clone(&room).acquire_owned().await;
            (place, came.recv().await)
        };
        let (place, visitor) = tokio::select! {
            _ = ended.changed() => return,
            next = next => next,
        };
        let (Ok(place), Some((visitor, host))) = (place, visitor) else { return };
        // Whoever has enough connections waits for none of them here: it is hung up on.
        let Some(guest) = hosts.enter(host) else { continue };
        let offer = Arc::clone(&offer);
        visits.spawn(async move {
            let _kept = (place, guest);
            let activity = Activity::default();
            let service = service_fn(|request| answer::answer(Arc::clone(&offer), activity.clone(), request));
            let line = Line::new(visitor, activity.clone());
            let mut manners = http1::Builder::new();
            manners.max_headers(64).max_buf_size(64 * 1024);
            let visit = manners.serve_connection(line, service);
            tokio::select! {
                // How a visit ends is its visitor's affair.
                _ = visit => {}
                () = activity.stops() => {}
            }
        });
        while visits.try_join_next().is_some() {}
    }
}

/// How many connections each address has.
#[derive(Default)]
struct Hosts(Mutex<HashMap<IpAddr, usize>>);

/// A connection's share of its address's.
struct Guest(Arc<Hosts>, IpAddr);

impl Hosts {
    /// One more, if there may be.
    fn enter(self: &Arc<Hosts>, host: IpAddr) -> Option<Guest> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(host).or_default();
        *count += 1;
        let guest = Guest(Arc::clone(self), host);
        let welcome = *count <= VISITORS_OF_A_HOST_MAX;
        drop(counts);
        welcome.then_some(guest)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut counts = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = counts.entry(self.1) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// A socket for each family that is wanted and there is, on the same port.
fn bind(listen: &Listen) -> io::Result<Vec<TcpListener>> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for port in listen.ports.clone().chain([0; 4]) {
        match bind_at(listen, port) {
            Ok(sockets) if !sockets.is_empty() => return Ok(sockets),
            Ok(_) => {}
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn bind_at(listen: &Listen, mut port: u16) -> io::Result<Vec<TcpListener>> {
    let mut sockets = Vec::new();
    let families = [listen.ipv4.map(Into::into), listen.ipv6.map(Into::into)];
    for ip in families.into_iter().flatten() {
        let at = SocketAddr::new(ip, port);
        let open = || -> io::Result<TcpListener> {
            let socket =
                Socket::new(Domain::for_address(at), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
            if at.is_ipv6() {
                socket.set_only_v6(true)?;
            }
            socket.set_reuse_address(true)?;
            socket.bind(&at.into())?;
            socket.listen(BACKLOG)?;
            TcpListener::from_std(socket.into())
        };
        match open() {
            Ok(socket) => {
                port = socket.local_addr()?.port();
                sockets.push(socket);
            }
            // A machine without IPv6, say.
            Err(error) if error.kind() != io::ErrorKind::AddrInUse && at.is_ipv6() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sockets)
}

#[cfg(test)]
mod tests;
