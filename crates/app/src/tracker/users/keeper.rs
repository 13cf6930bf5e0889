//! The keeper of the books: a thread that adds what is due to members to their accounts, several batches at once, and notices when
//! somebody else has changed the users.
//!
//! Invariants: what could not be written is tried again, and meanwhile no more is taken than [`ROWS_WAITING_MAX`] rows: the rest adds up
//! at the tracker. When the tracker has ended, everything that it handed over is written, or it is said that it is not.

use super::Store;
use crate::failure::Failure;
use crate::show;
use crate::words::count;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;
use tracker::Members;
use tracker::ledger::Row;

/// Batches on their way, of some 4,096 rows each.
const BATCHES_MAX: usize = 8;

/// Rows that are written at once, or wait to be.
const ROWS_WAITING_MAX: usize = 16 * 4096;

/// How often it looks whether users were changed, and tries again what failed.
const LOOK_AROUND: Duration = Duration::from_secs(1);

/// How often what is left at the end is tried before it is given up. Each time a lock is waited for, too.
const LAST_TRIES: usize = 3;

/// Where who there is now is told.
type Reply = SyncSender<Result<Members, Failure>>;

/// The keeper at work.
pub(crate) struct Keeper {
    thread: JoinHandle<()>,
    rows: SyncSender<Vec<Row>>,
    questions: SyncSender<Reply>,
    /// Who there is, each time that somebody else has changed it.
    news: Receiver<Result<Members, Failure>>,
}

impl Keeper {
    /// Opens the store, reads who there is, and begins.
    pub(crate) fn start(path: &Path) -> Result<(Keeper, Members), Failure> {
        let mut store = Store::open(path, false)?;
        let members = store.members()?;
        let (rows, received) = sync_channel(BATCHES_MAX);
        let (questions, asked) = sync_channel(1);
        let (tell, news) = sync_channel(1);
        let books = Books {
            store,
            rows: received,
            questions: asked,
            news: tell,
            waiting: Vec::new(),
            fails: false,
            has_news: false,
        };
        let thread = std::thread::Builder::new().name("tracker-books".into());
        let thread = thread.spawn(move || books.keep()).map_err(Failure::plain)?;
        Ok((Keeper { thread, rows, questions, news }, members))
    }

    /// To it.
    pub(crate) fn rows(&self) -> SyncSender<Vec<Row>> {
        self.rows.clone()
    }

    /// Who there is now, if somebody else has changed it since this was asked last.
    pub(crate) fn news(&self) -> Option<Result<Members, Failure>> {
        self.news.try_recv().ok()
    }

    /// For whoever asks who there is.
    pub(crate) fn reader(&self) -> Reader {
        Reader(self.questions.clone())
    }

    /// Waits until everything is written. The tracker must have ended.
    pub(crate) fn end(self) {
        drop(self.rows);
        if self.thread.join().is_err() {
            show::message("the keeper of the books failed; what members did last is lost");
        }
    }
}

/// Asks the keeper who there is, from any thread. Does not keep it from ending.
#[derive(Clone)]
pub(crate) struct Reader(SyncSender<Reply>);

impl Reader {
    /// Who there is now.
    pub(crate) fn read_again(&self) -> Result<Members, Failure> {
        let (tell, told) = sync_channel(1);
        let gone = || Failure::plain("the keeper of the books has ended");
        self.0.send(tell).map_err(|_| gone())?;
        told.recv().map_err(|_| gone())?
    }
}

/// What the keeper owns.
struct Books {
    store: Store,
    rows: Receiver<Vec<Row>>,
    questions: Receiver<Reply>,
    news: Reply,
    waiting: Vec<Row>,
    /// The last attempt to write failed, which was said.
    fails: bool,
    /// Somebody has changed who there is, and it was not told yet.
    has_news: bool,
}

impl Books {
    fn keep(mut self) {
        loop {
            let came = match self.waiting.len() < ROWS_WAITING_MAX {
                true => self.rows.recv_timeout(LOOK_AROUND),
                // It cannot be written now, and no more is taken.
                false => Err(self.pause()),
            };
            match came {
                Ok(rows) => self.take(rows),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.write();
            self.look_around();
        }
        for _ in 0..LAST_TRIES {
            if !self.waiting.is_empty() {
                self.write();
            }
        }
        if !self.waiting.is_empty() {
            show::message(&format!(
                "{} of what members did last are lost",
                count(self.waiting.len() as u64, "row")
            ));
        }
    }

    /// Everything that has come by now is written together.
    fn take(&mut self, rows: Vec<Row>) {
        self.waiting.extend(rows);
        while self.waiting.len() < ROWS_WAITING_MAX
            && let Ok(rows) = self.rows.try_recv()
        {
            self.waiting.extend(rows);
        }
    }

    /// Lets time pass until the next attempt; questions are answered meanwhile.
    fn pause(&mut self) -> RecvTimeoutError {
        if let Ok(reply) = self.questions.recv_timeout(LOOK_AROUND) {
            let _ = reply.send(self.store.members());
        }
        RecvTimeoutError::Timeout
    }

    fn write(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        match self.store.credit(&self.waiting) {
            Ok(()) => {
                self.waiting.clear();
                if std::mem::take(&mut self.fails) {
                    show::message("what members send and receive is written again; nothing is lost");
                }
            }
            Err(failure) => {
                if !std::mem::replace(&mut self.fails, true) {
                    show::message(&format!("{failure}; it is tried again, and nothing is lost until then"));
                }
            }
        }
    }

    fn look_around(&mut self) {
        while let Ok(reply) = self.questions.try_recv() {
            let _ = reply.send(self.store.members());
        }
        self.has_news |= self.store.has_changed();
        // What cannot be told yet, since the last was not heard, is told later: nobody is waited for.
        if self.has_news && self.news.try_send(self.store.members()).is_ok() {
            self.has_news = false;
        }
    }
}
