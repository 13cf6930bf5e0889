//! What a worker has done and holds, counted where it happens and read from anywhere: for figures, for `/metrics` and for people.
//!
//! Invariants: a worker's numbers are written by it alone, so that counting is a load and a store; every number is in [`ROWS`] once.
//! Names are after the conventions of Prometheus.

use crate::accounts::Standing;
use crate::server::Figures;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Something that is counted, or a size that is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Count {
    AnnounceUdp4,
    AnnounceUdp6,
    AnnounceHttp4,
    AnnounceHttp6,
    AnnounceWebSocket,
    ScrapeUdp,
    ScrapeHttp,
    ScrapeWebSocket,
    Connect,
    BadConnectionId,
    Malformed,
    Denied,
    NotKept,
    Unsent,
    Busy,
    Request,
    Accepted,
    TurnedAway,
    TlsFailed,
    Connections,
    BrowserConnections,
    BrowserSwarms,
    Browsers,
    Swarms,
    Peers,
    TableBytes,
    NotAMember,
    Withheld,
    Uncredited,
    Accounts,
    RowsDue,
    BooksFailures,
    StateSaved,
    StateFailures,
}

/// How a number is called.
struct Row {
    count: Count,
    name: &'static str,
    labels: &'static str,
    help: &'static str,
}

const fn row(count: Count, name: &'static str, labels: &'static str, help: &'static str) -> Row {
    Row { count, name, labels, help }
}

/// All numbers, in the order of [`Count`]; those of one name stand together.
const ROWS: [Row; 34] = [
    row(Count::AnnounceUdp4, "announces_total", "transport=\"udp\",family=\"ipv4\"", "Announces answered"),
    row(Count::AnnounceUdp6, "announces_total", "transport=\"udp\",family=\"ipv6\"", ""),
    row(Count::AnnounceHttp4, "announces_total", "transport=\"http\",family=\"ipv4\"", ""),
    row(Count::AnnounceHttp6, "announces_total", "transport=\"http\",family=\"ipv6\"", ""),
    row(Count::AnnounceWebSocket, "announces_total", "transport=\"websocket\"", ""),
    row(Count::ScrapeUdp, "scraped_torrents_total", "transport=\"udp\"", "Torrents told of in scrapes"),
    row(Count::ScrapeHttp, "scraped_torrents_total", "transport=\"http\"", ""),
    row(Count::ScrapeWebSocket, "scraped_torrents_total", "transport=\"websocket\"", ""),
    row(Count::Connect, "udp_connects_total", "", "Connection ids given"),
    row(
        Count::BadConnectionId,
        "udp_bad_connection_ids_total",
        "",
        "Datagrams without a valid connection id, not answered",
    ),
    row(Count::Malformed, "malformed_requests_total", "", "Datagrams and HTTP requests that are none"),
    row(Count::Denied, "denied_announces_total", "", "Announces of torrents that are not served"),
    row(
        Count::NotKept,
        "unkept_announces_total",
        "",
        "Announces answered whose peer is not kept, for want of room",
    ),
    row(Count::Unsent, "udp_unsent_answers_total", "", "Answers that the kernel did not take"),
    row(Count::Busy, "busy_total", "", "Questions dropped or refused because a worker's queue was full"),
    row(Count::Request, "http_requests_total", "", "HTTP requests"),
    row(Count::Accepted, "http_connections_total", "", "HTTP connections let in"),
    row(
        Count::TurnedAway,
        "http_connections_refused_total",
        "",
        "HTTP connections refused: too many of one address",
    ),
    row(Count::TlsFailed, "tls_failures_total", "", "Connections on which TLS did not come about"),
    row(Count::Connections, "http_connections", "", "HTTP connections now"),
    row(Count::BrowserConnections, "websocket_connections", "", "Connections of browsers now"),
    row(Count::BrowserSwarms, "websocket_torrents", "", "Torrents in which browsers take part now"),
    row(Count::Browsers, "websocket_peers", "", "Browsers in them, counted in each"),
    row(Count::Swarms, "torrents", "", "Torrents that have peers now"),
    row(Count::Peers, "peers", "", "Peers now"),
    row(Count::TableBytes, "table_bytes", "", "Memory of torrents and peers now"),
    row(
        Count::NotAMember,
        "strangers_total",
        "",
        "Visits to a private tracker without a passkey that is valid",
    ),
    row(
        Count::Withheld,
        "withheld_announces_total",
        "",
        "Announces of members that may not do what they want",
    ),
    row(
        Count::Uncredited,
        "uncredited_announces_total",
        "",
        "Announces of members not credited, for want of room",
    ),
    row(Count::Accounts, "accounts", "", "Members in torrents now, counted in each"),
    row(Count::RowsDue, "account_rows_due", "", "Rows that the books do not have yet, wherever they wait"),
    row(
        Count::BooksFailures,
        "account_failures_total",
        "",
        "Attempts to write what is due to members that failed, each tried again",
    ),
    row(
        Count::StateSaved,
        "state_saved_timestamp_seconds",
        "",
        "When a worker's snapshot was last put on the disk, in seconds since 1970; 0 for never",
    ),
    row(Count::StateFailures, "state_failures_total", "", "Snapshots that could not be put on the disk"),
];

/// The numbers of one worker.
#[derive(Debug)]
pub(crate) struct Tally([AtomicU64; ROWS.len()]);

impl Default for Tally {
    fn default() -> Tally {
        Tally(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Tally {
    /// It happened once more.
    pub(crate) fn count(&self, count: Count) {
        self.add(count, 1);
    }

    /// It happened so many times more.
    pub(crate) fn add(&self, count: Count, times: u64) {
        if let Some(place) = self.0.get(count as usize) {
            // Nobody else writes here, so nothing is lost between the two; a locked addition would cost more than the rest of counting.
            place.store(place.load(Ordering::Relaxed).wrapping_add(times), Ordering::Relaxed);
        }
    }

    /// It is so large now.
    pub(crate) fn set(&self, count: Count, size: u64) {
        if let Some(place) = self.0.get(count as usize) {
            place.store(size, Ordering::Relaxed);
        }
    }

    /// What was counted, or how large it is.
    pub(crate) fn get(&self, count: Count) -> u64 {
        self.0.get(count as usize).map_or(0, |place| place.load(Ordering::Relaxed))
    }
}

/// The numbers of all workers.
#[derive(Clone, Debug)]
pub(crate) struct Tallies {
    each: Arc<[Arc<Tally>]>,
    /// How the books of a private tracker stand.
    books: Arc<Standing>,
}

impl Tallies {
    /// For so many workers.
    pub(crate) fn new(workers: usize) -> Tallies {
        Tallies { each: (0..workers).map(|_| Arc::default()).collect(), books: Arc::default() }
    }

    /// The same, of a private tracker.
    pub(crate) fn with_books(self, books: Arc<Standing>) -> Tallies {
        Tallies { books, ..self }
    }

    /// What is counted where books are kept, beside what workers know of it.
    fn in_books(&self, count: Count) -> u64 {
        match count {
            Count::RowsDue => self.books.unwritten(),
            Count::BooksFailures => self.books.failures(),
            _ => 0,
        }
    }

    /// One worker's, in its order.
    pub(crate) fn each(&self) -> impl Iterator<Item = Arc<Tally>> {
        self.each.iter().map(Arc::clone)
    }

    fn sum(&self, counts: &[Count]) -> u64 {
        self.each.iter().flat_map(|tally| counts.iter().map(|&count| tally.get(count))).sum()
    }

    /// The few that everybody asks for.
    pub(crate) fn figures(&self) -> Figures {
        use Count::{AnnounceHttp4, AnnounceHttp6, AnnounceUdp4, AnnounceUdp6, AnnounceWebSocket};
        use Count::{ScrapeHttp, ScrapeUdp, ScrapeWebSocket};
        Figures {
            announces: self.sum(&[
                AnnounceUdp4,
                AnnounceUdp6,
                AnnounceHttp4,
                AnnounceHttp6,
                AnnounceWebSocket,
            ]),
            scrapes: self.sum(&[ScrapeUdp, ScrapeHttp, ScrapeWebSocket]),
            swarms: self.sum(&[Count::Swarms, Count::BrowserSwarms]),
            peers: self.sum(&[Count::Peers, Count::Browsers]),
        }
    }

    /// All of them, as Prometheus reads them (text format 0.0.4).
    pub(crate) fn metrics(&self, out: &mut String) {
        let mut before = "";
        for Row { count, name, labels, help } in &ROWS {
            if *name != before {
                let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
                let _ =
                    write!(out, "# HELP gannet_tracker_{name} {help}\n# TYPE gannet_tracker_{name} {kind}\n");
                before = name;
            }
            let sum = self.sum(&[*count]) + self.in_books(*count);
            let _ = match labels.is_empty() {
                true => writeln!(out, "gannet_tracker_{name} {sum}"),
                false => writeln!(out, "gannet_tracker_{name}{{{labels}}} {sum}"),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_number_has_its_row_and_names_stand_together() {
        let mut names = BTreeSet::new();
        let mut before = "";
        for (number, row) in ROWS.iter().enumerate() {
            assert_eq!(row.count as usize, number, "{}", row.name);
            assert!(row.name == before || names.insert(row.name), "{} stands in two places", row.name);
            assert_eq!(row.help.is_empty(), row.name == before, "{}", row.name);
            before = row.name;
        }
        assert_eq!(Count::StateFailures as usize + 1, ROWS.len());
    }

    #[test]
    fn rows_are_due_until_they_are_written() {
        let standing = Arc::new(Standing::default());
        let tallies = Tallies::new(2).with_books(Arc::clone(&standing));
        let says = |text: &str| {
            let mut all = String::new();
            tallies.metrics(&mut all);
            assert!(all.contains(text), "{all}");
        };
        tallies.each().for_each(|tally| tally.set(Count::RowsDue, 3));
        standing.handed_over(4);
        standing.failed();
        says("\ngannet_tracker_account_rows_due 10\n");
        says("\ngannet_tracker_account_failures_total 1\n");
        standing.written(4);
        says("\ngannet_tracker_account_rows_due 6\n");
    }

    #[test]
    fn what_workers_counted_is_told_together() {
        let tallies = Tallies::new(2);
        for tally in tallies.each() {
            tally.count(Count::AnnounceUdp4);
            tally.add(Count::AnnounceHttp6, 2);
            tally.set(Count::Peers, 5);
        }
        assert_eq!(tallies.figures(), Figures { announces: 6, scrapes: 0, swarms: 0, peers: 10 });
        let mut text = String::new();
        tallies.metrics(&mut text);
        for line in [
            "# HELP gannet_tracker_announces_total Announces answered\n# TYPE gannet_tracker_announces_total counter\n",
            "\ngannet_tracker_announces_total{transport=\"http\",family=\"ipv6\"} 4\n",
            "\n# TYPE gannet_tracker_peers gauge\ngannet_tracker_peers 10\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }
}
