//! What an answer carries: a text, or a part of a file, read as the visitor takes it.

use hyper::body::{Body, Bytes, Frame, SizeHint};
use os::fs::File;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use tokio::task::{JoinHandle, spawn_blocking};

/// Bytes read at a time, and so kept per visitor: two of them.
const CHUNK_LEN: u64 = 256 * 1024;

/// The body of an answer.
#[derive(Debug)]
pub(super) enum Content {
    /// All of it at once; nothing when it was taken.
    Text(Option<Bytes>),
    /// A part of a file.
    Part(Part),
}

/// A part of a file that is on its way out.
#[derive(Debug)]
pub(super) struct Part {
    file: Arc<File>,
    at: u64,
    end: u64,
    reading: Option<JoinHandle<io::Result<Vec<u8>>>>,
    sent: Arc<AtomicU64>,
}

impl Part {
    /// These bytes of it; `sent` counts what goes out.
    pub(super) fn new(file: File, range: core::ops::Range<u64>, sent: Arc<AtomicU64>) -> Part {
        Part { file: Arc::new(file), at: range.start, end: range.end, reading: None, sent }
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.at >= self.end {
            return Poll::Ready(None);
        }
        let reading = self.reading.get_or_insert_with(|| {
            let (file, at, len) =
                (Arc::clone(&self.file), self.at, CHUNK_LEN.min(self.end - self.at) as usize);
            // A disk may be slow, and nobody else waits for it.
            spawn_blocking(move || {
                let mut chunk = vec![0; len];
                file.read_exact_at(&mut chunk, at).map(|()| chunk)
            })
        });
        let read = ready!(Pin::new(reading).poll(cx));
        self.reading = None;
        // A file that has become shorter: the visitor sees a download that broke off, which it is.
        let chunk = read.map_err(io::Error::other).flatten()?;
        self.at += chunk.len() as u64;
        self.sent.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        Poll::Ready(Some(Ok(chunk.into())))
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let chunk = match &mut *self {
            Content::Text(text) => Poll::Ready(text.take().map(Ok)),
            Content::Part(part) => part.poll_chunk(cx),
        };
        chunk.map(|chunk| chunk.map(|chunk| chunk.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left())
    }
}

impl Content {
    fn left(&self) -> u64 {
        match self {
            Content::Text(text) => text.as_ref().map_or(0, |text| text.len() as u64),
            Content::Part(part) => part.end - part.at,
        }
    }
}
