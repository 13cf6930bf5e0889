//! The keeper of the books: a thread that adds what is due to members to their accounts, several batches at once, and notices when
//! somebody else has changed the users.
//!
//! Invariants: what could not be written is tried again, and meanwhile no more is taken than [`ROWS_WAITING_MAX`] rows: the rest adds up
//! at the tracker. When the tracker has ended, everything that it handed over is written, or it is said that it is not. From when its end
//! is foreseen, nobody waits for longer than [`LAST_PATIENCE`] for what cannot be written.

use super::{Everybody, Place, Store, exposed, files};
use crate::failure::Failure;
use crate::show;
use crate::words::count;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tracker::ledger::{Row, Rules};
use tracker::{Books, Members, Private, Standing};

/// Batches on their way, of some 4,096 rows each.
const BATCHES_MAX: usize = 8;

/// Rows that are written at once, or wait to be.
const ROWS_WAITING_MAX: usize = 16 * 4096;

/// How often it looks whether users were changed, and tries again what failed.
const LOOK_AROUND: Duration = Duration::from_secs(1);

/// How long it goes on trying to write, once the end is foreseen, before it gives up. Long enough for visitors who are still being served,
/// and for a few attempts that wait for somebody else's lock; short enough for a supervisor.
const LAST_PATIENCE: Duration = Duration::from_secs(20);

/// Where who there is now is told.
type Reply = SyncSender<Result<Everybody, Failure>>;

/// The keeper at work.
pub(crate) struct Keeper {
    /// There until it ends.
    thread: Option<JoinHandle<()>>,
    reader: Reader,
    /// Somebody else has changed who there is.
    news: Receiver<()>,
    gives_up: Arc<OnceLock<Instant>>,
}

/// Dropped before the tracker is ended, it bounds how long the tracker waits for books that cannot be written.
pub(crate) struct EndInSight(Arc<OnceLock<Instant>>);

impl Drop for EndInSight {
    fn drop(&mut self) {
        self.0.get_or_init(|| Instant::now() + LAST_PATIENCE);
    }
}

impl Keeper {
    /// Opens the store, reads who there is and what they have, and begins. It ends when the way to its books is gone.
    pub(crate) fn start(path: &Path) -> Result<(Keeper, Private), Failure> {
        let mut store = Store::open(path, false)?;
        let read = store.read()?;
        store.open_books()?;
        // After it was read: only then all of a database's files are there.
        exposed(&files(&store, path)).iter().for_each(|told| show::message(told));
        let (mut keeper, keeping, books) = Keeper::of(store);
        let members = keeper.reader.members_of(read);
        let thread = std::thread::Builder::new().name("tracker-books".into());
        keeper.thread = Some(thread.spawn(move || keeping.run()).map_err(Failure::plain)?);
        Ok((keeper, Private { members: Arc::new(members), books }))
    }

    fn of(store: Store) -> (Keeper, Keeping, Books) {
        let (rows, received) = sync_channel(BATCHES_MAX);
        let (questions, asked) = sync_channel(1);
        let (tell, news) = sync_channel(1);
        let reader = Reader { questions, place: store.place(), unfit: Unfit::default() };
        let gives_up = Arc::new(OnceLock::new());
        let standing = Arc::new(Standing::default());
        let keeping = Keeping {
            store,
            rows: received,
            questions: asked,
            news: tell,
            gives_up: Arc::clone(&gives_up),
            standing: Arc::clone(&standing),
            waiting: Vec::new(),
            fails: false,
        };
        let books = Books { rules: Rules::default(), rows, standing };
        (Keeper { thread: None, reader, news, gives_up }, keeping, books)
    }

    /// To be dropped before the tracker is ended.
    pub(crate) fn end_in_sight(&self) -> EndInSight {
        EndInSight(Arc::clone(&self.gives_up))
    }

    /// Whether somebody else has changed who there is since this was asked last.
    pub(crate) fn has_news(&self) -> bool {
        self.news.try_recv().is_ok()
    }

    /// One whose keeper has ended.
    #[cfg(test)]
    pub(crate) fn reader_of_nobody(path: &Path) -> Reader {
        Keeper::of(Store::open(path, false).unwrap()).0.reader()
    }

    /// Waits until somebody else has changed who there is.
    #[cfg(test)]
    pub(crate) fn wait_for_news(&self) {
        // Longer than anything takes that is not stuck.
        self.news.recv_timeout(Duration::from_secs(60)).unwrap();
    }

    /// For whoever asks who there is.
    pub(crate) fn reader(&self) -> Reader {
        self.reader.clone()
    }
}

impl Drop for Keeper {
    /// Waits until everything is written, or given up. The tracker must have ended, and with it the way to the books.
    fn drop(&mut self) {
        drop(self.end_in_sight());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            show::message("the keeper of the books failed; what members did last is lost");
        }
    }
}

/// Asks the keeper who there is, from any thread. Does not keep it from ending.
#[derive(Clone)]
pub(crate) struct Reader {
    questions: SyncSender<Reply>,
    place: Place,
    unfit: Unfit,
}

/// What was said last of users who cannot visit.
#[derive(Clone, Default)]
struct Unfit(Arc<Mutex<Option<String>>>);

impl Reader {
    /// Who there is now.
    pub(crate) fn read_again(&self) -> Result<Members, Failure> {
        let (tell, told) = sync_channel(1);
        let gone = || Failure::plain("the keeper of the books has ended");
        self.questions.send(tell).map_err(|_| gone())?;
        told.recv().map_err(|_| gone())?.map(|read| self.members_of(read))
    }

    /// Who was read. Says who cannot visit, if they are others than was said last.
    pub(crate) fn members_of(&self, read: Everybody) -> Members {
        let Everybody { members, unfit } = read;
        let mut said = self.unfit.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(told) = unfit.as_ref().filter(|_| unfit != *said) {
            show::message(told);
        }
        *said = unfit;
        members
    }

    /// The keeper's store, opened once more.
    pub(crate) fn open(&self) -> Result<Store, Failure> {
        self.place.open()
    }
}

/// What its thread owns.
struct Keeping {
    store: Store,
    rows: Receiver<Vec<Row>>,
    questions: Receiver<Reply>,
    news: SyncSender<()>,
    /// When what cannot be written is given up, once the end is foreseen.
    gives_up: Arc<OnceLock<Instant>>,
    standing: Arc<Standing>,
    waiting: Vec<Row>,
    /// The last attempt to write failed, which was said.
    fails: bool,
}

impl Keeping {
    /// Until nobody hands anything over any more.
    fn run(mut self) {
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
            if self.is_given_up() {
                break;
            }
            self.look_around();
        }
        while !self.waiting.is_empty() && !self.is_given_up() {
            self.write();
            if self.fails {
                self.pause();
            }
        }
        // Whoever still hands something over is told that nobody takes it.
        let Keeping { rows, mut waiting, .. } = self;
        rows.try_iter().for_each(|rows| waiting.extend(rows));
        drop(rows);
        if !waiting.is_empty() {
            show::message(&format!(
                "{} of what members did last are lost",
                count(waiting.len() as u64, "row")
            ));
        }
    }

    /// What is left cannot be written, and it has been tried for long enough.
    fn is_given_up(&self) -> bool {
        self.fails && self.gives_up.get().is_some_and(|&then| Instant::now() >= then)
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
        match self.questions.recv_timeout(LOOK_AROUND) {
            Ok(reply) => drop(reply.send(self.store.read())),
            Err(RecvTimeoutError::Timeout) => {}
            // Nobody will ask any more.
            Err(RecvTimeoutError::Disconnected) => std::thread::park_timeout(LOOK_AROUND),
        }
        RecvTimeoutError::Timeout
    }

    fn write(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        match self.store.credit(&self.waiting) {
            Ok(()) => {
                self.standing.written(self.waiting.len());
                self.waiting.clear();
                if std::mem::take(&mut self.fails) {
                    show::message("what members send and receive is written again; nothing is lost");
                }
            }
            Err(failure) => {
                self.standing.failed();
                if !std::mem::replace(&mut self.fails, true) {
                    show::message(&format!("{failure}; it is tried again, and nothing is lost until then"));
                }
            }
        }
    }

    fn look_around(&mut self) {
        while let Ok(reply) = self.questions.try_recv() {
            let _ = reply.send(self.store.read());
        }
        if self.store.has_changed() {
            // If there is no room, the last was not heard yet, and whoever hears it reads this as well.
            let _ = self.news.try_send(());
        }
    }
}

#[cfg(test)]
mod tests;
