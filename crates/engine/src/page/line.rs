//! A visitor's connection, and whether anything moves on it.

use super::{IDLE, STRANGER_IDLE};
use hyper::rt::ReadBufCursor;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Bytes read at a time: requests are small.
const READ_LEN: usize = 4 * 1024;

/// What goes on over a connection. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub(super) struct Activity(Arc<Goings>);

#[derive(Debug, Default)]
struct Goings {
    /// Bytes that moved.
    moved: AtomicU64,
    /// The visitor knows the page's path.
    knows: AtomicBool,
}

impl Activity {
    /// Ends when nothing has moved for too long. What a stranger moves does not count.
    pub(super) async fn stops(&self) {
        let mut before = 0;
        loop {
            let patience = if self.0.knows.load(Ordering::Relaxed) { IDLE } else { STRANGER_IDLE };
            tokio::time::sleep(patience).await;
            let (moved, knows) = (self.0.moved.load(Ordering::Relaxed), self.0.knows.load(Ordering::Relaxed));
            if !knows || core::mem::replace(&mut before, moved) == moved {
                return;
            }
        }
    }

    /// The visitor has shown that it knows the path.
    pub(super) fn knows(&self) {
        self.0.knows.store(true, Ordering::Relaxed);
    }

    fn note(&self, bytes: usize) {
        self.0.moved.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// A connection.
#[derive(Debug)]
pub(super) struct Line {
    socket: TcpStream,
    activity: Activity,
}

impl Line {
    /// Notes what moves.
    pub(super) fn new(socket: TcpStream, activity: Activity) -> Line {
        let _ = socket.set_nodelay(true);
        Line { socket, activity }
    }
}

impl hyper::rt::Read for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut chunk = [0; READ_LEN];
        let room = into.remaining().min(READ_LEN);
        let mut read = ReadBuf::new(&mut chunk[..room]);
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut read))?;
        self.activity.note(read.filled().len());
        into.put_slice(read.filled());
        Poll::Ready(Ok(()))
    }
}

impl hyper::rt::Write for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.socket).poll_write(cx, bytes))?;
        self.activity.note(written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
