//! The side that was told a code: goes to where a share of that number is, and comes to a line, or knows why not.
//!
//! Invariant: no more proofs are given with a code than `proto::pairing::guesses` allows a receiver, however many addresses are
//! tried at once: each is counted before it is given.

use super::line::PairedLine;
use super::{Works, read_some, write_all};
use crate::entropy;
use crate::reply::{Answer, Reply};
use proto::pairing::EXCHANGE_TIME_MAX;
use proto::pairing::guesses::Guesses;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::TcpStream;
use tokio::time::timeout;
use wire::code::Code;
use wire::pairing::{Paired, PairingError, Receiver, Refusal};

/// What is read at once: both of a sharer's messages, and what it says first behind them.
const READ_LEN: usize = 1024;

/// Why a receiver is not paired.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum PairError {
    /// Nobody can be reached there.
    #[error("nobody can be reached there: {0}")]
    Unreachable(io::ErrorKind),
    /// Who is there speaks otherwise than a share does.
    #[error("who answers there is no share, or one of a version that this Gannet does not understand")]
    NotAShare,
    /// The share has another code, or says so, or could not prove that it has this one.
    #[error("the code is not the one of this share: was it typed as it was said?")]
    WrongCode,
    /// So many came with another code that whoever shares must say first whether to go on.
    #[error("this share had several wrong codes: who shares must confirm first; ask, and try again then")]
    MustConfirm,
    /// Too many come to the share at once.
    #[error("too many come to this share at once: try again")]
    Busy,
    /// The connection was cut before the exchange was over.
    #[error("the connection was cut before the code was checked: try again")]
    Cut,
    /// Nothing was said in time.
    #[error("there was no answer within 5 s: try again")]
    TimedOut,
    /// Too many exchanges came to nothing: who answered may have been guessing. With one address two are allowed, in all three.
    #[error("too many answered who did not know this code, and no more are tried: ask for a new code")]
    GivenUp,
    /// The system gives no chance for keys.
    #[error("the system gives no random numbers")]
    NoChance,
}

/// Takes a code that was told to where shares of its number are. One for each code, since it counts for that one.
#[derive(Debug)]
pub struct Pairer {
    errand: Arc<Errand>,
    works: Works,
}

#[derive(Debug)]
struct Errand {
    code: Code,
    guesses: Mutex<Guesses>,
}

impl Pairer {
    /// For this code.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn new(code: Code) -> io::Result<Pairer> {
        let guesses = Mutex::new(Guesses::for_receiver());
        Ok(Pairer { errand: Arc::new(Errand { code, guesses }), works: Works::start()? })
    }

    /// Tries who is at this address; a link-local one of IPv6 with its scope. Several may be tried at once. Answered within 10 s.
    pub fn pair(&self, address: SocketAddr) -> Reply<Result<PairedLine, PairError>> {
        let (answer, reply) = Answer::pair();
        let (errand, works) = (Arc::clone(&self.errand), self.works.clone());
        self.works.give(async move { answer.give(errand.pair(address, works).await) });
        reply
    }
}

impl Errand {
    async fn pair(&self, address: SocketAddr, works: Works) -> Result<PairedLine, PairError> {
        if self.guesses().refuses(address.ip()).is_some() {
            return Err(PairError::GivenUp);
        }
        let within = EXCHANGE_TIME_MAX;
        let connected =
            timeout(within, TcpStream::connect(address)).await.map_err(|_| PairError::TimedOut)?;
        let socket = connected.map_err(|error| PairError::Unreachable(error.kind()))?;
        // Without it each of the few bytes would wait for the ones before.
        socket.set_nodelay(true)?;
        let exchanged = timeout(within, self.exchange(&socket, address)).await;
        let (paired, unread) = exchanged.map_err(|_| PairError::TimedOut)??;
        self.guesses().forgive(address.ip());
        Ok(PairedLine::start(works, socket, address, paired, &unread, ()))
    }

    async fn exchange(
        &self,
        socket: &TcpStream,
        address: SocketAddr,
    ) -> Result<(Paired, Vec<u8>), PairError> {
        let chance = entropy::bytes().map_err(|error| {
            tracing::error!(%error, "no random bytes");
            PairError::NoChance
        })?;
        let (mut said, mut unread) = (Vec::new(), Vec::new());
        let mut receiver = Receiver::new(&self.code, chance, &mut said);
        write_all(socket, &said).await?;
        let mut bytes = [0; READ_LEN];
        loop {
            match read_some(socket, &mut bytes).await? {
                0 => return Err(PairError::Cut),
                count => unread.extend_from_slice(&bytes[..count]),
            }
            loop {
                said.clear();
                let (taken, paired) = receiver.read(&unread, &mut said)?;
                unread.drain(..taken);
                if let Some(paired) = paired {
                    return Ok((paired, unread));
                }
                if !said.is_empty() {
                    self.count(address)?;
                    write_all(socket, &said).await?;
                }
                if taken == 0 {
                    break;
                }
            }
        }
    }

    /// A proof is about to be given: whoever is there could hold one guess against it.
    fn count(&self, address: SocketAddr) -> Result<(), PairError> {
        let mut guesses = self.guesses();
        if guesses.refuses(address.ip()).is_some() {
            return Err(PairError::GivenUp);
        }
        guesses.note_wrong(address.ip());
        Ok(())
    }

    fn guesses(&self) -> MutexGuard<'_, Guesses> {
        self.guesses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<io::Error> for PairError {
    /// What happens to a connection that stands.
    fn from(_: io::Error) -> PairError {
        PairError::Cut
    }
}

impl From<PairingError> for PairError {
    fn from(error: PairingError) -> PairError {
        match error {
            PairingError::OtherCode | PairingError::Refused(Refusal::OtherCode) => PairError::WrongCode,
            PairingError::Refused(Refusal::MustConfirm) => PairError::MustConfirm,
            PairingError::Refused(Refusal::Busy) => PairError::Busy,
            PairingError::NoGreeting | PairingError::NoPoint => PairError::NotAShare,
            PairingError::Over => PairError::Cut,
        }
    }
}
