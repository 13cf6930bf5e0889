//! Signals that a server waits for, taken one by one by a thread that asks for them, instead of interrupting any.

use std::io;
use std::mem::MaybeUninit;
use std::time::Duration;

/// What somebody wants of a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signal {
    /// SIGINT or SIGTERM: end in order.
    End,
    /// SIGHUP: read the configuration again.
    Reload,
}

/// Holds these signals back from this thread, and from threads that it starts from now on. Dropped, by any thread, it lets those that ask for
/// the end do there again what they do to any program: end it. What is read again before an end is of no use to anybody: SIGHUP stays held, and does nothing.
#[derive(Debug)]
pub struct Signals {
    set: libc::sigset_t,
}

impl Signals {
    /// From now on signals wait until they are asked for. Before any other thread is started, lest one of those is interrupted.
    ///
    /// # Errors
    /// As the system's; none is known.
    pub fn hold() -> io::Result<Signals> {
        let set = set_of(&[libc::SIGINT, libc::SIGTERM, libc::SIGHUP]);
        mask(libc::SIG_BLOCK, &set)?;
        Ok(Signals { set })
    }

    /// Waits for the next signal, at most so long.
    pub fn wait(&self, at_most: Duration) -> Option<Signal> {
        let time = libc::timespec {
            tv_sec: libc::time_t::try_from(at_most.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: at_most.subsec_nanos().into(),
        };
        // SAFETY: set and time are ours and outlive the call, and nothing more is to be written than its result.
        match unsafe { libc::sigtimedwait(&raw const self.set, std::ptr::null_mut(), &raw const time) } {
            libc::SIGINT | libc::SIGTERM => Some(Signal::End),
            libc::SIGHUP => Some(Signal::Reload),
            // The time is over, or a debugger looked in.
            _ => None,
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        // A set that was held can be let go.
        let _ = mask(libc::SIG_UNBLOCK, &set_of(&[libc::SIGINT, libc::SIGTERM]));
    }
}

fn set_of(signals: &[libc::c_int]) -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: the set is made by the first call, and filled by the next; the numbers are signals.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for &signal in signals {
            libc::sigaddset(set.as_mut_ptr(), signal);
        }
        set.assume_init()
    }
}

fn mask(how: libc::c_int, set: &libc::sigset_t) -> io::Result<()> {
    // SAFETY: the set outlives the call, and the old one is not asked for.
    match unsafe { libc::pthread_sigmask(how, &raw const *set, std::ptr::null_mut()) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_wait_until_they_are_asked_for() {
        // To this thread alone: others of the tests hold nothing back.
        let raise = |signal| {
            // SAFETY: a signal that this thread holds back, sent to itself.
            assert_eq!(unsafe { libc::pthread_kill(libc::pthread_self(), signal) }, 0);
        };
        let signals = Signals::hold().unwrap();
        assert_eq!(signals.wait(Duration::ZERO), None);
        for (number, meant) in [
            (libc::SIGHUP, Signal::Reload),
            (libc::SIGTERM, Signal::End),
            (libc::SIGHUP, Signal::Reload),
            (libc::SIGINT, Signal::End),
        ] {
            raise(number);
            assert_eq!(signals.wait(Duration::from_secs(60)), Some(meant));
        }
        assert_eq!(signals.wait(Duration::ZERO), None);
        drop(signals);
        let mut held = set_of(&[]);
        // SAFETY: the set outlives the call, and nothing is changed.
        assert_eq!(unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &raw mut held) }, 0);
        for (number, is_held) in [(libc::SIGHUP, true), (libc::SIGTERM, false), (libc::SIGINT, false)] {
            // SAFETY: the set is ours, and the number a signal.
            assert_eq!(unsafe { libc::sigismember(&raw const held, number) } == 1, is_held, "{number}");
        }
    }
}
