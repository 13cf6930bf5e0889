//! The line between two who are paired: whole messages each way, in order, sealed. Who has nothing to say says that it is there;
//! who is not heard is gone; the end is said, and answered.
//!
//! Invariants: at most [`TOLD_MAX`] messages wait to be said and [`HEARD_MAX`] to be taken, and who has more to say waits, or is not
//! read; a line that ended otherwise than in order says so.

use super::{Works, read_some, write_all};
use crate::pipe::{Ended, Pipe};
use crate::reply::{Answer, Reply};
use proto::pairing::{CLOSE_TIME_MAX, KEEP_ALIVE, SILENCE_MAX};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::timeout;
use wire::paired::{Heard, Listener, MESSAGE_LEN_MAX, PairedError, Speaker, conversation};
use wire::pairing::Paired;

/// Messages that wait to be said: 4 MiB of the longest, which are our own.
const TOLD_MAX: usize = 16;

/// Messages that were heard and that nobody took yet: 1 MiB of the longest. All lines of a desk may hold as much at once, and
/// what is in them others decide.
const HEARD_MAX: usize = 4;

/// Bytes read at once.
const READ_LEN: usize = 16 * 1024;

/// Why nothing more is said or heard between two who were paired.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum LineEnd {
    /// One of both closed it, and everything that was said before has arrived.
    #[error("the other side has said all and hung up")]
    Closed,
    /// It was cut: something that was said may not have arrived.
    #[error("the connection was cut before the other side had said all")]
    Cut,
    /// Nothing was heard of the other side for 45 s; it says every 15 s that it is there.
    #[error("nothing was heard of the other side for a while: it is gone, or the network is")]
    Silent,
    /// What came is not what the other side said.
    #[error("what came is not what the other side said: somebody in between meddles")]
    Altered,
}

/// Why a message is not said.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum Unsaid {
    /// It is longer than [`PAIRED_MESSAGE_LEN_MAX`](crate::sharing::PAIRED_MESSAGE_LEN_MAX).
    #[error("a message of {0} bytes is too long")]
    TooLong(usize),
    /// The line has ended, or is being closed.
    #[error("{0}")]
    Over(LineEnd),
}

/// Two who are paired: whole messages each way. Usable from several threads, with any async runtime and with none.
///
/// Dropping it cuts the line, unless it is being closed.
#[derive(Debug)]
pub struct PairedLine {
    remote: SocketAddr,
    talk: Arc<Talk>,
    works: Works,
    /// Gone when we are.
    _alive: oneshot::Sender<()>,
}

/// What the line's handle and its task share.
#[derive(Debug)]
struct Talk {
    outbox: Arc<Pipe<Vec<u8>>>,
    inbox: Arc<Pipe<Vec<u8>>>,
    pace: Pace,
    fate: Mutex<Fate>,
}

/// How long what may take.
#[derive(Clone, Copy, Debug)]
struct Pace {
    keep_alive: Duration,
    silence: Duration,
    close: Duration,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { keep_alive: KEEP_ALIVE, silence: SILENCE_MAX, close: CLOSE_TIME_MAX }
    }
}

#[derive(Debug, Default)]
struct Fate {
    over: Option<LineEnd>,
    /// Who waits for the end.
    closers: Vec<Answer<Result<(), LineEnd>>>,
    /// Keeps the thread while the line is being closed.
    closing: Option<Works>,
}

impl PairedLine {
    /// Begins to talk. `unread` came behind the exchange; `seat` is dropped when the line has ended.
    pub(super) fn start(
        works: Works,
        socket: TcpStream,
        remote: SocketAddr,
        paired: Paired,
        unread: &[u8],
        seat: impl Send + 'static,
    ) -> PairedLine {
        PairedLine::start_at(Pace::default(), works, socket, remote, paired, unread, seat)
    }

    fn start_at(
        pace: Pace,
        works: Works,
        socket: TcpStream,
        remote: SocketAddr,
        paired: Paired,
        unread: &[u8],
        seat: impl Send + 'static,
    ) -> PairedLine {
        let (speaker, mut listener) = conversation(paired.send, paired.receive);
        listener.came(unread);
        let (outbox, inbox) = (Pipe::new(TOLD_MAX), Pipe::new(HEARD_MAX));
        let talk = Arc::new(Talk { outbox, inbox, pace, fate: Mutex::default() });
        let (alive, gone) = oneshot::channel();
        let ours = Arc::clone(&talk);
        works.give(async move {
            let over = ours.run(&socket, speaker, listener, gone).await;
            drop(socket);
            // Before anybody is told, so that who hears of it finds it free.
            drop(seat);
            ours.finish(over);
        });
        PairedLine { remote, talk, works, _alive: alive }
    }

    /// Where the other side is.
    pub fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// Says something; blocks the thread while 16 messages wait.
    ///
    /// # Errors
    /// When it is too long, or the line has ended. That it was said does not mean that it arrives: see [`PairedLine::close`].
    pub fn send(&self, message: Vec<u8>) -> Result<(), Unsaid> {
        check(&message)?;
        self.talk.outbox.put_blocking(message).map_err(|Ended| Unsaid::Over(self.talk.over()))
    }

    /// Says something, when fewer than 16 messages wait.
    ///
    /// # Errors
    /// As [`PairedLine::send`].
    pub async fn send_async(&self, message: Vec<u8>) -> Result<(), Unsaid> {
        check(&message)?;
        self.talk.outbox.put(message).await.map_err(|Ended| Unsaid::Over(self.talk.over()))
    }

    /// The next message; blocks the thread.
    ///
    /// # Errors
    /// When there is none any more. What came before that comes first.
    pub fn recv(&self) -> Result<Vec<u8>, LineEnd> {
        match self.talk.inbox.take_blocking(None) {
            Ok(Some(message)) => Ok(message),
            Ok(None) | Err(Ended) => Err(self.talk.over()),
        }
    }

    /// The next message, if it comes in time; blocks the thread.
    ///
    /// # Errors
    /// As [`PairedLine::recv`].
    pub fn recv_timeout(&self, patience: Duration) -> Result<Option<Vec<u8>>, LineEnd> {
        self.talk.inbox.take_blocking(Some(patience)).map_err(|Ended| self.talk.over())
    }

    /// The next message.
    ///
    /// # Errors
    /// As [`PairedLine::recv`].
    pub async fn next(&self) -> Result<Vec<u8>, LineEnd> {
        self.talk.inbox.take().await.map_err(|Ended| self.talk.over())
    }

    /// Says what still waits, then that this is all. Answered when the other side has it, or the line ended otherwise. Nothing more can
    /// be said from now on, and what comes that nobody takes is lost.
    pub fn close(&self) -> Reply<Result<(), LineEnd>> {
        let (answer, reply) = Answer::pair();
        let mut fate = self.talk.fate();
        match fate.over {
            Some(over) => answer.give(how_it_closed(over)),
            None => {
                fate.closers.push(answer);
                fate.closing = Some(self.works.clone());
            }
        }
        drop(fate);
        self.talk.outbox.end();
        reply
    }
}

impl Talk {
    /// Until the end.
    async fn run(
        &self,
        socket: &TcpStream,
        speaker: Speaker,
        listener: Listener,
        gone: oneshot::Receiver<()>,
    ) -> LineEnd {
        let (mut read, mut write) =
            (Box::pin(self.read(socket, listener)), Box::pin(self.write(socket, speaker)));
        tokio::select! {
            heard = &mut read => match heard {
                // What it has not heard by now it does not want to hear; that we heard its end it does.
                Ok(()) => {
                    self.outbox.abandon();
                    _ = self.in_time(write).await;
                    LineEnd::Closed
                }
                Err(over) => over,
            },
            said = &mut write => match said {
                Ok(()) => {
                    self.inbox.end();
                    self.in_time(read).await.err().unwrap_or(LineEnd::Closed)
                }
                Err(over) => over,
            },
            () = self.abandoned(gone) => LineEnd::Cut,
        }
    }

    /// Hears, until the other side has said all.
    async fn read(&self, socket: &TcpStream, mut listener: Listener) -> Result<(), LineEnd> {
        let mut bytes = vec![0; READ_LEN];
        loop {
            while let Some(heard) = listener.hear().map_err(|error| what_it_means(&error))? {
                match heard {
                    // Once we have said all ourselves nobody takes it.
                    Heard::Message(message) => _ = self.inbox.put(message).await,
                    Heard::StillHere => {}
                    Heard::End => return Ok(()),
                }
            }
            match timeout(self.pace.silence, read_some(socket, &mut bytes)).await {
                Ok(Ok(count @ 1..)) => listener.came(&bytes[..count]),
                Ok(Ok(0) | Err(_)) => return Err(LineEnd::Cut),
                Err(_) => return Err(LineEnd::Silent),
            }
        }
    }

    /// Says what there is to say, until all is said.
    async fn write(&self, socket: &TcpStream, mut speaker: Speaker) -> Result<(), LineEnd> {
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            let next = timeout(self.pace.keep_alive, self.outbox.take()).await;
            let said = match &next {
                Ok(Ok(message)) => speaker.message(message, &mut bytes),
                Ok(Err(Ended)) => speaker.end(&mut bytes),
                Err(_) => speaker.still_here(&mut bytes),
            };
            said.map_err(|error| what_it_means(&error))?;
            write_all(socket, &bytes).await.map_err(|_| LineEnd::Cut)?;
            if let Ok(Err(Ended)) = next {
                return Ok(());
            }
        }
    }

    /// The other side's part of an end, for which nobody waits for ever.
    async fn in_time(&self, rest: impl Future<Output = Result<(), LineEnd>>) -> Result<(), LineEnd> {
        timeout(self.pace.close, rest).await.unwrap_or(Err(LineEnd::Cut))
    }

    /// Comes when nobody holds the line any more, unless it is being closed.
    async fn abandoned(&self, gone: oneshot::Receiver<()>) {
        let _ = gone.await;
        if self.fate().closing.is_some() {
            std::future::pending::<()>().await;
        }
    }

    fn finish(&self, over: LineEnd) {
        let (closers, closing) = {
            let mut fate = self.fate();
            fate.over = Some(over);
            (std::mem::take(&mut fate.closers), fate.closing.take())
        };
        // In this order: who hears that it is over cannot say anything more.
        self.outbox.abandon();
        self.inbox.end();
        closers.into_iter().for_each(|answer| answer.give(how_it_closed(over)));
        drop(closing);
    }

    /// How it ended; who asks before that has closed it himself.
    fn over(&self) -> LineEnd {
        self.fate().over.unwrap_or(LineEnd::Closed)
    }

    fn fate(&self) -> MutexGuard<'_, Fate> {
        self.fate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn check(message: &[u8]) -> Result<(), Unsaid> {
    match message.len() {
        0..=MESSAGE_LEN_MAX => Ok(()),
        len => Err(Unsaid::TooLong(len)),
    }
}

fn how_it_closed(over: LineEnd) -> Result<(), LineEnd> {
    match over {
        LineEnd::Closed => Ok(()),
        LineEnd::Cut | LineEnd::Silent | LineEnd::Altered => Err(over),
    }
}

fn what_it_means(error: &PairedError) -> LineEnd {
    tracing::debug!(%error, "a line between two who are paired ends");
    match error {
        PairedError::Private(_) | PairedError::Length(_) | PairedError::Kind(_) => LineEnd::Altered,
        PairedError::Over => LineEnd::Closed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use wire::code::Code;
    use wire::pairing::{Hello, Receiver};

    fn paired() -> [Paired; 2] {
        let code: Code = "42-apple-river".parse().unwrap();
        let (mut forth, mut back) = (Vec::new(), Vec::new());
        let mut receiver = Receiver::new(&code, [3; 64], &mut forth);
        let sharer = Hello::read(&forth).unwrap().unwrap().answer(&code, [5; 64], &mut back).unwrap();
        forth.clear();
        receiver.read(&back, &mut forth).unwrap();
        back.clear();
        let sharer = sharer.claim(forth[..].try_into().unwrap()).accept(&mut back).unwrap();
        [sharer, receiver.read(&back, &mut forth).unwrap().1.unwrap()]
    }

    /// A line, and the other end of its socket with what belongs to it.
    fn line(pace: Pace) -> (PairedLine, std::net::TcpStream, Paired) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (theirs, remote) = listener.accept().unwrap();
        let ([ours, others], works) = (paired(), Works::start().unwrap());
        socket.set_nonblocking(true).unwrap();
        let (answer, made) = Answer::pair();
        let again = works.clone();
        works.give(async move {
            let socket = TcpStream::from_std(socket).unwrap();
            answer.give(PairedLine::start_at(pace, again, socket, remote, ours, &[], ()));
        });
        (made.wait().unwrap(), theirs, others)
    }

    const SHORT: Duration = Duration::from_millis(1);

    #[test]
    fn who_is_not_heard_is_gone() {
        let (line, _theirs, _) = line(Pace { silence: SHORT, ..Pace::default() });
        assert_eq!(line.recv(), Err(LineEnd::Silent));
        assert_eq!(line.send(vec![1]), Err(Unsaid::Over(LineEnd::Silent)));
        assert_eq!(line.close().wait(), Ok(Err(LineEnd::Silent)));
    }

    #[test]
    fn who_has_nothing_to_say_says_that_it_is_there() {
        let (_line, mut theirs, paired) = line(Pace { keep_alive: SHORT, ..Pace::default() });
        let (_, mut listener) = conversation(paired.send, paired.receive);
        let mut heard = 0;
        let mut bytes = [0; 1024];
        while heard < 3 {
            let count = theirs.read(&mut bytes).unwrap();
            listener.came(&bytes[..count]);
            while let Some(word) = listener.hear().unwrap() {
                assert_eq!(word, Heard::StillHere);
                heard += 1;
            }
        }
    }

    #[test]
    fn nobody_waits_for_ever_for_who_does_not_answer_an_end() {
        let (line, _theirs, _) = line(Pace { close: SHORT, ..Pace::default() });
        assert_eq!(line.close().wait(), Ok(Err(LineEnd::Cut)));
    }
}
