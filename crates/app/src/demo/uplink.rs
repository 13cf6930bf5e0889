//! A line that sends no faster than it may, whoever uses it: the server's share of the comparison.
//!
//! Invariant: over any span it lets through at most its rate times the span, and one burst of [`BURST`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How far an idle line may run ahead.
const BURST: Duration = Duration::from_millis(100);

/// A line shared by all that send over it, each in turn.
#[derive(Debug)]
pub(super) struct Uplink {
    rate: u64,
    gate: Mutex<Gate>,
    bell: Condvar,
    sent: AtomicU64,
}

#[derive(Debug)]
struct Gate {
    /// When what was let through so far has left.
    free_at: Instant,
    cut: bool,
}

/// The line was cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Cut;

impl Uplink {
    /// A line of so many bytes per second.
    pub(super) fn new(rate: u64) -> Uplink {
        let gate = Gate { free_at: Instant::now(), cut: false };
        Uplink { rate: rate.max(1), gate: Mutex::new(gate), bell: Condvar::new(), sent: AtomicU64::new(0) }
    }

    /// Waits until so many bytes may leave.
    pub(super) fn pass(&self, bytes: u64) -> Result<(), Cut> {
        let mut gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        let earliest = Instant::now().checked_sub(BURST).unwrap_or(gate.free_at);
        let turn = gate.free_at.max(earliest);
        gate.free_at = turn + Duration::from_secs_f64(bytes as f64 / self.rate as f64);
        loop {
            if gate.cut {
                return Err(Cut);
            }
            let wait = turn.saturating_duration_since(Instant::now());
            if wait.is_zero() {
                self.sent.fetch_add(bytes, Ordering::Relaxed);
                return Ok(());
            }
            gate = self.bell.wait_timeout(gate, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Lets nothing through any more, and sends home who waits.
    pub(super) fn cut(&self) {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner).cut = true;
        self.bell.notify_all();
    }

    /// Bytes that were let through.
    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_senders_together_are_no_faster_than_the_line() {
        let uplink = Uplink::new(10_000_000);
        let began = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| (0..150).for_each(|_| uplink.pass(10_000).unwrap()));
            }
        });
        let least = Duration::from_millis(300) - BURST - Duration::from_millis(1);
        assert!(began.elapsed() >= least, "{:?}", began.elapsed());
        assert_eq!(uplink.sent(), 3_000_000);
    }

    #[test]
    fn who_waits_when_the_line_is_cut_is_sent_home() {
        let uplink = Uplink::new(1);
        uplink.pass(1_000_000).unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| uplink.pass(1));
            uplink.cut();
            assert_eq!(waiting.join().unwrap(), Err(Cut));
        });
        assert_eq!((uplink.pass(1), uplink.sent()), (Err(Cut), 1_000_000));
    }
}
