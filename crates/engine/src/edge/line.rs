//! A connection to one server, and a count of what its answers cost: whatever HTTP and TLS allow a server to say around
//! the bytes of an answer (endless zeros before the size of a chunk, interim answers, empty records) is paid for from an
//! allowance, and when that is spent nothing more is read. Threats: A13
//!
//! Always: bytes read for an answer <= [`OVERHEAD_LEN_MAX`] + what [`Allowance::earn`] was told, with an eighth on top.

use super::http::VisitError;
use hyper::rt::ReadBufCursor;
use rustls::pki_types::{IpAddr as TlsAddress, ServerName};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use url::{Host, Url};

/// Bytes of an answer that are not its body: 64 KiB of headers, certificates, and the 408 KiB that hyper may have read before it
/// handed any of them on.
pub(super) const OVERHEAD_LEN_MAX: usize = 768 * 1024;

/// How long a server may take to accept a connection, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The next address of a host is tried as well when one has not answered for so long (RFC 8305 says 250 ms).
const ATTEMPT_DELAY: Duration = Duration::from_millis(300);

/// Addresses of a host that are tried.
const ATTEMPTS_MAX: usize = 8;

/// Bytes read at a time.
const READ_LEN: usize = 16 * 1024;

/// How much more may be read. Clones are the same one.
#[derive(Clone, Debug)]
pub(super) struct Allowance(Arc<AtomicUsize>);

/// A connection, with or without TLS.
#[derive(Debug)]
pub(super) enum Line {
    Plain(Counted),
    Tls(Box<TlsStream<Counted>>),
}

/// A socket whose every byte is counted.
#[derive(Debug)]
pub(super) struct Counted {
    socket: TcpStream,
    allowance: Allowance,
}

impl Allowance {
    fn new() -> Allowance {
        Allowance(Arc::new(AtomicUsize::new(OVERHEAD_LEN_MAX)))
    }

    /// So many bytes of a body came: what they cost is paid back, with an eighth for what is around them.
    pub(super) fn earn(&self, body: usize) {
        self.0.fetch_add(body + body / 8, Ordering::Relaxed);
    }

    /// Another answer begins.
    pub(super) fn renew(&self) {
        self.0.store(OVERHEAD_LEN_MAX, Ordering::Relaxed);
    }

    fn left(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn spend(&self, read: usize) {
        self.0.fetch_sub(read, Ordering::Relaxed);
    }
}

impl Line {
    /// Connects to the first of these addresses that answers, under TLS if the URL says so.
    pub(super) async fn connect(
        url: &Url,
        addresses: &[SocketAddr],
        tls: &Arc<rustls::ClientConfig>,
    ) -> Result<(Line, SocketAddr, Allowance), VisitError> {
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, async {
            let socket = first(addresses).await?;
            let (address, allowance) = (socket.peer_addr()?, Allowance::new());
            let counted = Counted { socket, allowance: allowance.clone() };
            let line = match url.scheme() {
                "https" => {
                    let secured = TlsConnector::from(Arc::clone(tls)).connect(name(url)?, counted).await;
                    let secured = secured.map_err(|why| io::Error::other(format!("TLS error: {why}")))?;
                    Line::Tls(Box::new(secured))
                }
                _ => Line::Plain(counted),
            };
            io::Result::Ok((line, address, allowance))
        });
        let late = |_| VisitError::Failed(format!("no connection within {} s", CONNECT_TIMEOUT.as_secs()));
        connected.await.map_err(late)?.map_err(|error| VisitError::Failed(error.to_string()))
    }
}

/// Tries all addresses, each a little later than the one before; the first that stands, or how the last failed.
async fn first(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut attempts = JoinSet::new();
    for (number, address) in (0..).zip(addresses.iter().take(ATTEMPTS_MAX).copied()) {
        attempts.spawn(async move {
            tokio::time::sleep(ATTEMPT_DELAY * number).await;
            TcpStream::connect(address).await
        });
    }
    let mut failed = io::Error::from(io::ErrorKind::AddrNotAvailable);
    while let Some(attempt) = attempts.join_next().await {
        match attempt.map_err(io::Error::other).flatten() {
            Ok(socket) => {
                // Requests are small, and go out whole.
                let _ = socket.set_nodelay(true);
                return Ok(socket);
            }
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// Whose certificate it must be.
fn name(url: &Url) -> io::Result<ServerName<'static>> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidInput);
    match url.host().ok_or_else(invalid)? {
        Host::Domain(name) => ServerName::try_from(name.to_owned()).map_err(io::Error::other),
        Host::Ipv4(ip) => Ok(ServerName::IpAddress(TlsAddress::V4(ip.into()))),
        Host::Ipv6(ip) => Ok(ServerName::IpAddress(TlsAddress::V6(ip.into()))),
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let room = self.allowance.left().min(into.remaining());
        if room == 0 && into.remaining() > 0 {
            let why = format!("more than {OVERHEAD_LEN_MAX} bytes around the answer");
            return Poll::Ready(Err(io::Error::other(why)));
        }
        let mut part = ReadBuf::new(into.initialize_unfilled_to(room));
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut part))?;
        let read = part.filled().len();
        into.advance(read);
        self.allowance.spend(read);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

impl hyper::rt::Read for Line {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut chunk = [0; READ_LEN];
        let room = into.remaining().min(READ_LEN);
        let mut read = ReadBuf::new(&mut chunk[..room]);
        match self.get_mut() {
            Line::Plain(line) => ready!(Pin::new(line).poll_read(cx, &mut read))?,
            Line::Tls(line) => ready!(Pin::new(line).poll_read(cx, &mut read))?,
        }
        into.put_slice(read.filled());
        Poll::Ready(Ok(()))
    }
}

impl hyper::rt::Write for Line {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Line::Plain(line) => Pin::new(line).poll_write(cx, bytes),
            Line::Tls(line) => Pin::new(line).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Line::Plain(line) => Pin::new(line).poll_flush(cx),
            Line::Tls(line) => Pin::new(line).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Line::Plain(line) => Pin::new(line).poll_shutdown(cx),
            Line::Tls(line) => Pin::new(line).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn run<T>(what: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(what)
    }

    #[test]
    fn the_first_address_that_stands_is_taken() {
        let here = TcpListener::bind("127.0.0.1:0").unwrap();
        let stands = here.local_addr().unwrap();
        // Bound and not listened at: nobody else gets it meanwhile.
        let taken = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        taken.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let refuses = taken.local_addr().unwrap().as_socket().unwrap();
        for (addresses, answers) in [
            (vec![stands], Ok(stands)),
            (vec![refuses, stands], Ok(stands)),
            (vec![refuses, refuses], Err(io::ErrorKind::ConnectionRefused)),
            (vec![], Err(io::ErrorKind::AddrNotAvailable)),
        ] {
            let got = run(async { first(&addresses).await.and_then(|socket| socket.peer_addr()) });
            assert_eq!(got.map_err(|error| error.kind()), answers, "{addresses:?}");
        }
    }
}
