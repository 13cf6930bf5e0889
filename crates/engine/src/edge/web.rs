//! Ranges of content from web servers (BEP 19): each range becomes one request per file, over connections that are kept, and its
//! bytes become blocks.
//!
//! Decides nothing about what to ask for, nor whether to ask again. Always: each job ends in one [`Fetched::Ended`], after its
//! blocks in order; no more than [`WINDOW`] bytes of a job wait for the loop; nothing is believed of a server that does not
//! answer exactly what it was asked. Threats: A13, C14, E1, E3

mod answer;
mod blocks;
mod clients;
mod flow;
mod place;
#[cfg(test)]
mod tests;

pub(crate) use flow::Flow;

use super::http::{Http, VisitError};
use answer::Body;
use blocks::Blocks;
use bytes::Bytes;
use clients::Clients;
use place::Place;
use proto::FetchId;
use proto::input::{FetchFailure, FetchFault};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use wire::layout::FileSlice;
use wire::{Block, Metainfo};

/// Ranges of all torrents that are fetched at once.
const RANGES_MAX: usize = 64;

/// How long a server may take for its answer's head, and again for each block of 16 KiB: less than 550 bytes per second is no
/// service. Time in which we do not read does not count.
const BLOCK_TIMEOUT: Duration = Duration::from_secs(30);

/// A range to be fetched.
#[derive(Debug)]
pub(crate) struct RangeJob {
    /// Its name.
    pub(crate) fetch: FetchId,
    /// The web seed's URL, as the torrent has it.
    pub(crate) url: Arc<str>,
    /// Bytes of the content, whole blocks.
    pub(crate) range: Range<u64>,
    /// Whose.
    pub(crate) metainfo: Arc<Metainfo>,
    /// How the loop holds us back.
    pub(crate) flow: Arc<Flow>,
}

/// What came of a job.
#[derive(Debug)]
pub(crate) enum Fetched {
    /// The next block.
    Block(FetchId, Block, Bytes),
    /// Nothing more.
    Ended(FetchId, Result<(), FetchFailure>),
}

/// Where blocks and ends are told.
type Tell<'t> = dyn Fn(Fetched) + Send + Sync + 't;

/// Fetches ranges.
#[derive(Debug)]
pub(crate) struct Ranges {
    clients: Clients,
    turns: Semaphore,
    patience: Duration,
}

impl Ranges {
    /// Over this way of visiting servers.
    pub(crate) fn new(http: Http) -> Ranges {
        Ranges::with_patience(http, BLOCK_TIMEOUT)
    }

    fn with_patience(http: Http, patience: Duration) -> Ranges {
        Ranges { clients: Clients::new(http), turns: Semaphore::new(RANGES_MAX), patience }
    }

    /// Fetches a range, to its end or until the loop has enough.
    pub(crate) async fn fetch(&self, job: RangeJob, tell: &Tell<'_>) {
        let outcome = tokio::select! {
            // The end that was wished for first: what is ready at the same time is of no use.
            biased;
            () = job.flow.cancelled() => Err(failure(FetchFault::Cancelled, "cancelled")),
            outcome = self.run(&job, tell) => outcome,
        };
        tell(Fetched::Ended(job.fetch, outcome));
    }

    async fn run(&self, job: &RangeJob, tell: &Tell<'_>) -> Result<(), FetchFailure> {
        let _turn = self.turns.acquire().await;
        let place = Place::new(&job.url, &job.metainfo)?;
        let layout = &job.metainfo.layout;
        let mut blocks = Blocks::new(layout, job.range.start, &job.flow, |block, bytes| {
            tell(Fetched::Block(job.fetch, block, bytes));
        });
        for slice in layout.file_slices(job.range.clone()) {
            if layout.extent(slice.file).pad {
                blocks.zeros(slice.len).await;
            } else {
                self.slice(&place, slice, layout.extent(slice.file).len, &mut blocks).await?;
            }
        }
        Ok(())
    }

    /// Fetches a part of one file.
    async fn slice(
        &self,
        place: &Place<'_>,
        slice: FileSlice,
        file_len: u64,
        blocks: &mut Blocks<'_, impl Fn(Block, Bytes)>,
    ) -> Result<(), FetchFailure> {
        let url = place.of(slice.file)?;
        let asked = self.clients.ask(&url, slice.offset..slice.offset + slice.len);
        let answered = tokio::time::timeout(self.patience, asked).await;
        let answer = answered.map_err(|_| silence(self.patience))??;
        let mut body = Body::new(answer, slice, file_len)?;
        let mut deadline = tokio::time::Instant::now() + self.patience;
        loop {
            let chunk = tokio::time::timeout_at(deadline, body.next()).await;
            let Some(chunk) = chunk.map_err(|_| silence(self.patience))?? else {
                body.end();
                return Ok(());
            };
            if blocks.push(chunk).await {
                deadline = tokio::time::Instant::now() + self.patience;
            }
        }
    }
}

fn failure(fault: FetchFault, detail: impl Into<Box<str>>) -> FetchFailure {
    FetchFailure { fault, detail: detail.into() }
}

fn nonsense(detail: impl Into<Box<str>>) -> FetchFailure {
    failure(FetchFault::Nonsense, detail)
}

fn silence(patience: Duration) -> FetchFailure {
    failure(FetchFault::Unreachable, format!("too slow: less than a block within {} s", patience.as_secs()))
}

impl From<VisitError> for FetchFailure {
    fn from(error: VisitError) -> FetchFailure {
        match error {
            VisitError::Forbidden(why) => {
                failure(FetchFault::Forbidden, format!("this URL is not visited: {why}"))
            }
            VisitError::BadUrl(why) => nonsense(format!("not a URL: {why}")),
            VisitError::Failed(why) => failure(FetchFault::Unreachable, why),
        }
    }
}
