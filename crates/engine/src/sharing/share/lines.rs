//! What each receiver is told over its line, and when: the offer at once, all the rest when it wants it, from the beginning, however
//! late it comes.
//!
//! What always holds: what has its place in the row is told in order, each once; of what changes (how much is hashed, who else is
//! here) the newest alone is told; a receiver that does not listen holds up nobody else.

use super::receivers::LineId;
use crate::sharing::{LineEnd, PairedLine};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use wire::offer::{ReceiverSays, SharerSays};

/// A message as it goes over a line; the same for all.
pub(super) type Words = Arc<[u8]>;

/// What happens on a line.
#[derive(Debug)]
pub(super) enum Heard {
    /// The receiver said something.
    Said(ReceiverSays),
    /// It ended, or was ended because what came made no sense.
    Ended,
}

/// What all receivers are told.
#[derive(Debug, Default)]
pub(super) struct Row {
    /// In order; the offer is the first.
    said: Vec<Words>,
    /// Places in it where it is told how many torrents there are.
    ends: Vec<usize>,
    /// Bytes hashed.
    hashed: u64,
}

impl Row {
    fn say_end(&mut self, words: Words) {
        for &end in &self.ends {
            self.said[end] = Arc::clone(&words);
        }
        self.ends.push(self.said.len());
        self.said.push(words);
    }
}

/// What one receiver is told beside.
#[derive(Clone, Debug, Default)]
pub(super) struct Orders {
    /// It wants what is offered.
    pub(super) wants: bool,
    /// Who else takes part.
    pub(super) peers: Option<Words>,
}

/// How far one receiver is.
#[derive(Debug, Default)]
struct Cursor {
    said: usize,
    hashed: u64,
    peers: Option<Words>,
    /// What it was told last is what changes: then the row comes first, however often that changes.
    told_of_change: bool,
}

impl Cursor {
    /// What is to be said next, if anything is.
    fn next(&mut self, row: &Row, orders: &Orders) -> Option<Words> {
        if self.said > 0 && !orders.wants {
            return None;
        }
        let (from_row, change) = (row.said.get(self.said), self.said > 0);
        let row_is_next = from_row.is_some() && self.told_of_change;
        self.told_of_change = change && !row_is_next;
        if self.told_of_change && orders.peers != self.peers {
            self.peers.clone_from(&orders.peers);
            return self.peers.clone();
        }
        if self.told_of_change && row.hashed > self.hashed {
            self.hashed = row.hashed;
            return Some(SharerSays::Hashed(row.hashed).encode().into());
        }
        self.told_of_change = false;
        self.said += usize::from(from_row.is_some());
        from_row.cloned()
    }
}

/// The row, and how those who tell it know that there is more.
#[derive(Debug)]
pub(super) struct Board {
    row: Mutex<Row>,
    changed: watch::Sender<()>,
}

impl Board {
    pub(super) fn new() -> Arc<Board> {
        Arc::new(Board { row: Mutex::default(), changed: watch::Sender::new(()) })
    }

    /// One more for everybody.
    pub(super) fn say(&self, said: &SharerSays) {
        self.row().said.push(said.encode().into());
        self.changed.send_replace(());
    }

    /// One more for everybody: how many torrents there are. Who hears the row from its beginning must not believe an older number, and
    /// that it has everything.
    pub(super) fn say_end(&self, said: &SharerSays) {
        self.row().say_end(said.encode().into());
        self.changed.send_replace(());
    }

    /// So many bytes are hashed.
    pub(super) fn set_hashed(&self, bytes: u64) {
        let before = std::mem::replace(&mut self.row().hashed, bytes);
        if before != bytes {
            self.changed.send_replace(());
        }
    }

    // A panic elsewhere leaves the row whole: every change to it is one step.
    fn row(&self) -> MutexGuard<'_, Row> {
        self.row.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A receiver's line with who speaks and who listens on it; dropping it cuts it.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) paired: Arc<PairedLine>,
    orders: watch::Sender<Orders>,
    _tasks: JoinSet<()>,
}

impl Line {
    /// Begins to tell and to listen; `heard` gets what the receiver says. Must be called on the share's runtime.
    pub(super) fn begin(
        id: LineId,
        line: PairedLine,
        board: &Arc<Board>,
        heard: mpsc::Sender<(LineId, Heard)>,
    ) -> Line {
        let (paired, orders) = (Arc::new(line), watch::Sender::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(tell(Arc::clone(&paired), Arc::clone(board), orders.subscribe()));
        tasks.spawn(listen(id, Arc::clone(&paired), heard));
        Line { paired, orders, _tasks: tasks }
    }

    /// It wants what is offered.
    pub(super) fn wants(&self) {
        self.orders.send_modify(|orders| orders.wants = true);
    }

    /// Who else takes part, told if it is news.
    pub(super) fn set_peers(&self, peers: &SharerSays) {
        let words: Words = peers.encode().into();
        self.orders.send_if_modified(|orders| {
            let before = orders.peers.replace(words);
            before != orders.peers
        });
    }
}

async fn tell(line: Arc<PairedLine>, board: Arc<Board>, mut orders: watch::Receiver<Orders>) {
    let (mut cursor, mut changed) = (Cursor::default(), board.changed.subscribe());
    loop {
        let now = orders.borrow_and_update().clone();
        changed.mark_unchanged();
        let next = cursor.next(&board.row(), &now);
        let alive = match next {
            Some(words) => line.send_async(words.to_vec()).await.is_ok(),
            None => tokio::select! {
                more = changed.changed() => more.is_ok(),
                more = orders.changed() => more.is_ok(),
            },
        };
        if !alive {
            return;
        }
    }
}

async fn listen(id: LineId, line: Arc<PairedLine>, heard: mpsc::Sender<(LineId, Heard)>) {
    loop {
        let said = match line.next().await {
            Ok(message) => ReceiverSays::decode(&message).map_err(|error| error.to_string()),
            Err(LineEnd::Closed) => Err("it hung up".into()),
            Err(end) => Err(end.to_string()),
        };
        let what = match said {
            Ok(said) => Heard::Said(said),
            Err(why) => {
                tracing::debug!(%why, remote = %line.remote(), "a receiver's line ends");
                Heard::Ended
            }
        };
        let over = matches!(what, Heard::Ended);
        if heard.send((id, what)).await.is_err() || over {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Words {
        text.as_bytes().into()
    }

    /// Everything that is said until there is nothing more to say.
    fn all(cursor: &mut Cursor, row: &Row, orders: &Orders) -> Vec<String> {
        let said = std::iter::from_fn(|| cursor.next(row, orders));
        said.map(|words| String::from_utf8_lossy(&words).into_owned()).collect()
    }

    #[test]
    fn who_has_not_said_yes_hears_the_offer_and_nothing_more() {
        let (mut cursor, mut row) = (Cursor::default(), Row { hashed: 5, ..Row::default() });
        let mut orders = Orders { wants: false, peers: Some(words("others")) };
        assert_eq!(all(&mut cursor, &row, &orders), [""; 0], "nothing is listed yet");
        row.said = ["offer", "torrent 0"].map(words).into();
        assert_eq!(all(&mut cursor, &row, &orders), ["offer"]);
        orders.wants = true;
        let hashed = String::from_utf8(SharerSays::Hashed(5).encode()).unwrap();
        assert_eq!(all(&mut cursor, &row, &orders), ["others", "torrent 0", &*hashed]);
    }

    #[test]
    fn what_changes_is_told_as_it_is_now_and_once() {
        let row = |said: &[&str], hashed| Row {
            said: said.iter().copied().map(words).collect(),
            hashed,
            ..Row::default()
        };
        let orders = |peers: &str| Orders { wants: true, peers: Some(words(peers)) };
        let mut cursor = Cursor::default();
        assert_eq!(all(&mut cursor, &row(&["offer"], 0), &orders("alone")), ["offer", "alone"]);
        assert_eq!(all(&mut cursor, &row(&["offer"], 0), &orders("alone")), [""; 0]);
        let hashed = String::from_utf8(SharerSays::Hashed(9).encode()).unwrap();
        assert_eq!(
            all(&mut cursor, &row(&["offer", "0", "1"], 9), &orders("two")),
            ["two", "0", &*hashed, "1"]
        );
        // Who comes late hears the same from the beginning.
        let late = all(&mut Cursor::default(), &row(&["offer", "0", "1"], 9), &orders("two"));
        assert_eq!(late, ["offer", "two", "0", &*hashed, "1"]);
    }

    #[test]
    fn who_comes_late_hears_the_newest_number_of_torrents_alone() {
        let mut row = Row { said: ["offer", "0"].map(words).into(), ..Row::default() };
        let mut early = Cursor::default();
        let orders = Orders { wants: true, peers: None };
        row.say_end(words("end 1"));
        assert_eq!(all(&mut early, &row, &orders), ["offer", "0", "end 1"]);
        row.say_end(words("end 2"));
        row.said.push(words("withdrawn 0"));
        assert_eq!(all(&mut early, &row, &orders), ["end 2", "withdrawn 0"]);
        let late = all(&mut Cursor::default(), &row, &orders);
        assert_eq!(late, ["offer", "0", "end 2", "end 2", "withdrawn 0"]);
    }

    #[test]
    fn what_changes_all_the_time_does_not_keep_the_row_waiting() {
        let row = Row { said: ["offer", "0", "1"].map(words).into(), ..Row::default() };
        let mut cursor = Cursor::default();
        let told = (0..5).filter_map(|round| {
            let orders = Orders { wants: true, peers: Some(words(&format!("peers {round}"))) };
            cursor.next(&row, &orders)
        });
        let told: Vec<_> = told.map(|words| String::from_utf8_lossy(&words).into_owned()).collect();
        assert_eq!(told, ["offer", "peers 1", "0", "peers 3", "1"]);
    }
}
