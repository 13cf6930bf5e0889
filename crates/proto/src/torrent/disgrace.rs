//! Hosts whose links we closed because they broke the protocol: their next links are refused for a while, longer each time.
//!
//! No ban, which is for spoiled content and lasts: a client with a bug may be another one tomorrow. Not for our own dials, which
//! the peer list spaces out. Invariant: bounded; the oldest disgrace is forgotten first. Threats: C2, C3, C5, C6

use crate::{Duration, Instant};
use core::net::IpAddr;
use std::collections::VecDeque;

/// Hosts remembered: several times the links of a torrent, 16 KiB.
pub const DISGRACED_MAX: usize = 512;
/// The first time. What one link may waste before it is closed (some hundred KiB) it can then waste once a minute.
const WAIT_FIRST: Duration = Duration::from_secs(60);
/// The longest.
const WAIT_MAX: Duration = Duration::from_secs(3600);

/// Who is refused until when. Takes no memory in a torrent that nobody ever wronged.
#[derive(Clone, Debug, Default)]
pub struct Disgrace {
    known: Option<Box<Rows>>,
}

#[derive(Clone, Debug, Default)]
struct Rows {
    rows: VecDeque<Row>,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    host: IpAddr,
    until: Instant,
    wait: Duration,
}

impl Disgrace {
    /// A host broke the protocol.
    pub fn add(&mut self, now: Instant, host: IpAddr) {
        let host = host.to_canonical();
        let rows = &mut self.known.get_or_insert_default().rows;
        let before = rows.iter().position(|row| row.host == host).and_then(|at| rows.remove(at));
        let wait = before.map_or(WAIT_FIRST, |row| (row.wait * 2).min(WAIT_MAX));
        if rows.len() >= DISGRACED_MAX {
            rows.pop_front();
        }
        rows.push_back(Row { host, until: now + wait, wait });
    }

    /// Whether a host's links are refused at the moment. Looks at each row: once per link that comes.
    pub fn covers(&self, now: Instant, host: IpAddr) -> bool {
        let host = host.to_canonical();
        let rows = self.known.iter().flat_map(|known| &known.rows);
        rows.into_iter().any(|row| row.host == host && now < row.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(number: u32) -> IpAddr {
        IpAddr::from((0x0b00_0000 + number).to_be_bytes())
    }

    #[test]
    fn each_fault_doubles_the_wait_up_to_an_hour() {
        let mut disgrace = Disgrace::default();
        let mut now = Instant::ZERO;
        for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
            disgrace.add(now, host(1));
            assert!(disgrace.covers(now + Duration::from_secs(60 * minutes - 1), host(1)));
            now += Duration::from_secs(60 * minutes);
            assert!(!disgrace.covers(now, host(1)), "after {minutes} minutes");
            assert!(!disgrace.covers(now, host(2)));
        }
    }

    #[test]
    fn the_oldest_is_forgotten_first() {
        let mut disgrace = Disgrace::default();
        (0..=DISGRACED_MAX as u32).for_each(|number| disgrace.add(Instant::ZERO, host(number)));
        assert!(!disgrace.covers(Instant::ZERO, host(0)));
        assert!(disgrace.covers(Instant::ZERO, host(1)));
        assert_eq!(disgrace.known.unwrap().rows.len(), DISGRACED_MAX);
    }
}
