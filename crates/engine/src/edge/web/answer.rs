//! Whether an answer is what was asked for, and its body as far as it was asked for.
//!
//! BEP 19 wants byte ranges (RFC 9110, 14): 206 with exactly the range that was named. A server that sends the whole file
//! instead is put up with if the part wanted begins near its start. Threats: A13, C14

use super::clients::{Answer, Borrowed};
use super::{failure, nonsense};
use bytes::Bytes;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_ENCODING, CONTENT_RANGE, HeaderMap, RETRY_AFTER};
use proto::input::{FetchFailure, FetchFault};
use std::time::Duration;
use wire::layout::FileSlice;

/// Bytes of a whole file that are skipped to come to the part wanted. More would waste what it costs to fetch elsewhere.
const SKIP_MAX: u64 = 1 << 20;

/// The body of a good answer.
#[derive(Debug)]
pub(super) struct Body {
    connection: Borrowed,
    incoming: Incoming,
    /// Still to be thrown away.
    skip: u64,
    /// Still to come.
    left: u64,
    /// More would be a fault, rather than the rest of the file.
    exact: bool,
}

impl Body {
    /// Looks at an answer's head.
    pub(super) fn new(
        Answer { response, connection }: Answer,
        slice: FileSlice,
        file_len: u64,
    ) -> Result<Body, FetchFailure> {
        let status = response.status().as_u16();
        let absent = |why: String| Err(failure(FetchFault::Absent(slice.file.0), why));
        match status {
            200 | 206 => {}
            404 | 410 => return absent(format!("it does not have the file (HTTP status {status})")),
            416 => return absent("its file is shorter than the torrent says (HTTP status 416)".into()),
            429 | 503 => {
                let why = format!("it is busy (HTTP status {status})");
                return Err(failure(FetchFault::Busy(retry_after(response.headers())), why));
            }
            500.. => {
                return Err(failure(FetchFault::Busy(None), format!("it failed (HTTP status {status})")));
            }
            401 | 403 | 407 | 451 => {
                return Err(failure(FetchFault::Refused, format!("it refuses (HTTP status {status})")));
            }
            _ => return Err(nonsense(format!("HTTP status {status} to a request for bytes"))),
        }
        if let Some(encoding) = response.headers().get_all(CONTENT_ENCODING).iter().find(|name| {
            let name = name.as_bytes().trim_ascii();
            !name.is_empty() && !name.eq_ignore_ascii_case(b"identity")
        }) {
            let name = wire::DisplaySafe::new(encoding.as_bytes());
            return Err(nonsense(format!("it packs what should be bytes of a file ({name})")));
        }
        let len = response.body().size_hint().exact();
        if status == 206 {
            check_range(response.headers(), slice, file_len)?;
            if len.is_some_and(|len| len != slice.len) {
                return Err(nonsense("a part of another length than it says"));
            }
            return Ok(Body {
                connection,
                incoming: response.into_body(),
                skip: 0,
                left: slice.len,
                exact: true,
            });
        }
        if len.is_some_and(|len| len != file_len) {
            return absent("its file has another length than the torrent says".into());
        }
        if slice.offset > SKIP_MAX {
            return Err(nonsense("it sends whole files instead of parts"));
        }
        let exact = slice.offset + slice.len == file_len;
        Ok(Body { connection, incoming: response.into_body(), skip: slice.offset, left: slice.len, exact })
    }

    /// All wanted was read: the connection is free for the next request, if nothing else is on its way.
    pub(super) fn end(self) {
        if self.exact {
            self.connection.give_back();
        }
    }

    /// The next bytes wanted; `None` when all were here.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, FetchFailure> {
        loop {
            // Otherwise the end is read, too: a connection is free for the next request only after it.
            if self.left == 0 && !self.exact {
                return Ok(None);
            }
            match self.connection.chunk(&mut self.incoming).await? {
                None if self.left == 0 => return Ok(None),
                None => return Err(nonsense("it sent less than it was asked for")),
                Some(chunk) if self.left == 0 && chunk.is_empty() => {}
                Some(_) if self.left == 0 => return Err(nonsense("it sends more than it was asked for")),
                Some(mut chunk) => {
                    let skipped = self.skip.min(chunk.len() as u64);
                    self.skip -= skipped;
                    drop(chunk.split_to(skipped as usize));
                    if chunk.len() as u64 > self.left && self.exact {
                        return Err(nonsense("it sends more than it was asked for"));
                    }
                    chunk.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
                    self.left -= chunk.len() as u64;
                    if !chunk.is_empty() {
                        return Ok(Some(chunk));
                    }
                }
            }
        }
    }
}

/// The range that an answer says it has must be the one that was asked for, of a file of the right length.
fn check_range(headers: &HeaderMap, slice: FileSlice, file_len: u64) -> Result<(), FetchFailure> {
    let mut named = headers.get_all(CONTENT_RANGE).iter();
    let (Some(range), None) = (named.next(), named.next()) else {
        return Err(nonsense("a part, and it does not say once which"));
    };
    let range = range.to_str().ok().and_then(parse_range);
    let Some((start, last, total)) = range else { return Err(nonsense("a part whose place makes no sense")) };
    if total.is_some_and(|total| total != file_len) {
        let why = "its file has another length than the torrent says";
        return Err(failure(FetchFault::Absent(slice.file.0), why));
    }
    if (start, last) != (slice.offset, slice.offset + slice.len - 1) {
        return Err(nonsense("another part than the one it was asked for"));
    }
    Ok(())
}

/// `bytes 0-99/1000`, or `*` for a length that is not known.
fn parse_range(text: &str) -> Option<(u64, u64, Option<u64>)> {
    let (unit, rest) = text.trim().split_once(' ')?;
    let (range, total) = rest.trim().split_once('/')?;
    let (start, last) = range.split_once('-')?;
    let number =
        |text: &str| text.trim().bytes().all(|b| b.is_ascii_digit()).then(|| text.trim().parse().ok())?;
    let total = if total.trim() == "*" { None } else { Some(number(total)?) };
    unit.eq_ignore_ascii_case("bytes").then_some((number(start)?, number(last)?, total))
}

/// How long a busy server tells us to wait. A date instead of seconds is not understood, and means the usual wait.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}
