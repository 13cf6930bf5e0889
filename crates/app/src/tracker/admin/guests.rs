//! How many are served at once at each of an operator's doors, and how long an answer may take to be read. Knows no requests.
//!
//! Invariants: nobody at one door takes room at the other, for at the loopback's stands whoever is on this machine; who reads slowly has the
//! same time as who does not read at all. Threat F10

use super::{Door, Line};
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Requests at once at one door.
pub(super) const GUESTS_MAX: usize = 16;

/// Bytes written at once: of so few the kernel makes one packet at a Unix socket, and each packet would wait for as long as it may.
const WRITE_LEN: usize = 4096;

/// Who is served.
#[derive(Debug, Default)]
pub(super) struct Guests {
    socket: Arc<AtomicUsize>,
    loopback: Arc<AtomicUsize>,
}

/// One of them; dropped, another may come.
#[derive(Debug)]
pub(super) struct Guest(Arc<AtomicUsize>);

impl Guests {
    /// One more at this door, if there is room.
    pub(super) fn enter(&self, door: Door) -> Option<Guest> {
        let here = match door {
            Door::Socket => &self.socket,
            Door::Loopback => &self.loopback,
        };
        let guest = Guest(Arc::clone(here));
        (here.fetch_add(1, Ordering::Relaxed) < GUESTS_MAX).then_some(guest)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Writes all of it within this time by this clock, however little is taken at once.
///
/// # Errors
/// When it takes longer, or cannot be written.
pub(super) fn write_within(
    time: Duration,
    line: &mut impl Line,
    mut bytes: &[u8],
    clock: impl Fn() -> Instant,
) -> io::Result<()> {
    let until = clock() + time;
    while !bytes.is_empty() {
        let left = until.saturating_duration_since(clock());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        line.set_time(left)?;
        let (next, _) = bytes.split_at(bytes.len().min(WRITE_LEN));
        match line.write(next) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(len) => bytes = bytes.get(len..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::sync::Mutex;

    /// It takes a byte a second.
    struct Slow {
        now: Arc<Mutex<Instant>>,
        taken: Vec<u8>,
    }

    impl Read for Slow {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Ok(0)
        }
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            assert!(bytes.len() <= WRITE_LEN);
            self.taken.push(bytes[0]);
            *self.now.lock().unwrap() += Duration::from_secs(1);
            Ok(1)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Line for Slow {
        fn set_time(&self, time: Duration) -> io::Result<()> {
            assert_eq!(time, Duration::from_secs(5 - self.taken.len() as u64));
            Ok(())
        }
    }

    #[test]
    fn who_reads_slowly_has_no_more_time_than_who_does_not_read() {
        for (says, wanted) in [(&b"short"[..], Ok(())), (&[7; 10_000], Err(ErrorKind::TimedOut))] {
            let now = Arc::new(Mutex::new(Instant::now()));
            let mut line = Slow { now: Arc::clone(&now), taken: Vec::new() };
            let written = write_within(Duration::from_secs(5), &mut line, says, || *now.lock().unwrap());
            assert_eq!(written.map_err(|error| error.kind()), wanted);
            assert_eq!(line.taken, says[..5]);
        }
    }

    #[test]
    fn each_door_has_room_of_its_own_and_who_leaves_makes_some() {
        let guests = Guests::default();
        let mut here: Vec<_> = (0..GUESTS_MAX).map(|_| guests.enter(Door::Loopback).unwrap()).collect();
        for _ in 0..3 {
            assert!(guests.enter(Door::Loopback).is_none());
        }
        assert!(guests.enter(Door::Socket).is_some());
        here.pop();
        here.push(guests.enter(Door::Loopback).unwrap());
        assert!(guests.enter(Door::Loopback).is_none());
    }
}
