//! An answer that is still to come from a loop: `.await` it in any runtime, or `wait` for it in none.

use crate::mailbox::{Mailbox, RecvError};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// The answer to a question put to the client. Dropping it is harmless.
#[must_use = "the answer comes only to those who await it or wait for it"]
#[derive(Debug)]
pub struct Reply<T>(Arc<Mailbox<T>>);

impl<T> Reply<T> {
    /// Waits for the answer; blocks the thread. Fails if the client stops first.
    pub fn wait(self) -> Result<T, RecvError> {
        self.0.take(None)
    }

    /// Waits for the answer for so long; blocks the thread.
    pub fn wait_for(&self, patience: Duration) -> Result<T, RecvError> {
        self.0.take(Some(patience))
    }
}

impl<T> Future for Reply<T> {
    type Output = Result<T, RecvError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll_take(cx)
    }
}

/// The other end: answers once, or tells the asker that nobody will.
#[derive(Debug)]
pub(crate) struct Answer<T>(Arc<Mailbox<T>>);

impl<T> Answer<T> {
    /// A question's two ends.
    pub(crate) fn pair() -> (Answer<T>, Reply<T>) {
        let mailbox = Mailbox::new(1);
        (Answer(Arc::clone(&mailbox)), Reply(mailbox))
    }

    /// Answers.
    pub(crate) fn give(self, value: T) {
        self.0.put(value);
    }
}

impl<T> Drop for Answer<T> {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_reaches_its_asker_and_a_dropped_one_is_told() {
        let (answer, reply) = Answer::pair();
        answer.give(5);
        assert_eq!(reply.wait(), Ok(5));
        let (answer, reply) = Answer::<u8>::pair();
        drop(answer);
        assert_eq!(reply.wait(), Err(RecvError::Stopped));
    }
}
