//! The thread of a share: waits for everything that can happen, and does what follows from it.
//!
//! What always holds: the client is started and stopped here, and what it remembers is removed after it; when nobody wishes anything
//! any more everything ends at once.

use super::hashing::{self, Again, Hashed, HashingThread, Told};
use super::lines::{Board, Heard, Line};
use super::naming::Named;
use super::receivers::{LineId, Receivers};
use super::{Front, Scratch, ShareEvent, ShareStatus};
use crate::client::Client;
use crate::events::Events;
use crate::net::beacon::LocalBeacon;
use crate::reply::Answer;
use crate::sharing::listing::LostWhy;
use crate::sharing::meter::Meter;
use crate::sharing::{DeskEvent, PairedLine, PairingDesk};
use crate::{DiskErrorKind, Event, SwarmKey, TorrentHandle, TorrentId};
use proto::pairing::CLOSE_TIME_MAX;
use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::time::{Interval, MissedTickBehavior, timeout};
use wire::DisplaySafe;
use wire::offer::{BATCH_MAX, Lost, Offer, ReceiverSays, SharerSays, TEXT_BYTES_MAX};

/// How often figures are read, and receivers told how much is hashed.
const TICK: Duration = Duration::from_millis(500);

/// What receivers said and nobody looked at yet; then their lines wait.
const HEARD_MAX: usize = 64;

/// What the user wants.
#[derive(Debug)]
pub(super) enum Wish {
    /// Look at further codes.
    GoOn,
    /// End, and say so.
    End(Answer<()>),
    /// End.
    Quit,
}

/// What a share is made of.
pub(super) struct Parts {
    pub(super) paths: Vec<PathBuf>,
    pub(super) targets: [u64; 4],
    pub(super) desk: PairingDesk,
    pub(super) beacon: Option<LocalBeacon>,
    pub(super) client: Client,
    pub(super) swarm_key: SwarmKey,
    pub(super) scratch: Scratch,
}

struct Run {
    front: Arc<Front>,
    /// Gone when there is nothing to share.
    desk: Option<PairingDesk>,
    beacon: Option<LocalBeacon>,
    swarm_key: SwarmKey,
    events: Events,
    wished: UnboundedReceiver<Wish>,
    hashing: Option<HashingThread>,
    hashed: Arc<AtomicU64>,
    say: mpsc::Sender<(LineId, Heard)>,
    said: mpsc::Receiver<(LineId, Heard)>,
    lines: BTreeMap<LineId, Line>,
    lines_made: u64,
    receivers: Receivers,
    board: Arc<Board>,
    serving: Serving,
}

/// The torrents that are served. What the client remembers goes after it.
struct Serving {
    meter: Meter,
    /// What there is, once it is listed.
    named: Option<Arc<Named>>,
    torrents: BTreeMap<TorrentId, Served>,
    /// Bytes of all torrents that are offered.
    offered_bytes: u64,
    /// How many were.
    offered: u64,
    /// Portions that are being hashed once more.
    again: u64,
    /// All were hashed once.
    all_hashed: bool,
    /// Files that were named as lost.
    lost: BTreeSet<PathBuf>,
    client: Client,
    _scratch: Scratch,
}

/// A torrent that is served.
struct Served {
    handle: TorrentHandle,
    /// By which it was offered.
    number: u64,
    bytes: u64,
    again: Again,
}

/// What happened.
enum Happened {
    Wish(Option<Wish>),
    Desk(Option<DeskEvent>),
    Said(LineId, Heard),
    Told(Option<Told>),
    Client(Option<Event>),
    Tick,
}

/// Begins.
pub(super) fn start(
    parts: Parts,
    front: Arc<Front>,
    wished: UnboundedReceiver<Wish>,
) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let hashed = Arc::new(AtomicU64::new(0));
    let hashing = hashing::start(parts.paths, parts.targets, Arc::clone(&hashed))?;
    let events = parts.client.events();
    let (say, said) = mpsc::channel(HEARD_MAX);
    let run = Run {
        front: Arc::clone(&front),
        desk: Some(parts.desk),
        beacon: parts.beacon,
        swarm_key: parts.swarm_key,
        events,
        wished,
        hashing: Some(hashing),
        hashed,
        say,
        said,
        lines: BTreeMap::new(),
        lines_made: 0,
        receivers: Receivers::default(),
        board: Board::new(),
        serving: Serving {
            meter: Meter::default(),
            named: None,
            torrents: BTreeMap::new(),
            offered_bytes: 0,
            offered: 0,
            again: 0,
            all_hashed: false,
            lost: BTreeSet::new(),
            client: parts.client,
            _scratch: parts.scratch,
        },
    };
    std::thread::Builder::new().name("gannet-share".into()).spawn(move || {
        let answer = runtime.block_on(run.run());
        front.events.close();
        answer.into_iter().for_each(|answer| answer.give(()));
    })
}

impl Run {
    /// Until the end; then who waits for it.
    async fn run(mut self) -> Option<Answer<()>> {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            match self.happened(&mut tick).await {
                Happened::Wish(Some(Wish::GoOn)) => self.desk.iter().for_each(PairingDesk::go_on),
                Happened::Wish(Some(Wish::End(answer))) => {
                    self.say_goodbye().await;
                    return Some(answer);
                }
                Happened::Wish(Some(Wish::Quit) | None) => return None,
                Happened::Desk(event) => self.on_desk(event),
                Happened::Said(line, heard) => self.on_heard(line, heard),
                Happened::Told(told) => self.on_told(told),
                Happened::Client(event) => self.on_client(event),
                Happened::Tick => self.on_tick().await,
            }
        }
    }

    async fn happened(&mut self, tick: &mut Interval) -> Happened {
        let (desk, hashing) = (&self.desk, &mut self.hashing);
        let desk = async {
            match desk {
                Some(desk) => desk.next().await,
                None => pending().await,
            }
        };
        let told = async {
            match hashing {
                Some(hashing) => hashing.told.recv().await,
                None => pending().await,
            }
        };
        tokio::select! {
            wish = self.wished.recv() => Happened::Wish(wish),
            event = desk => Happened::Desk(event),
            Some((line, heard)) = self.said.recv() => Happened::Said(line, heard),
            told = told => Happened::Told(told),
            event = self.events.next() => Happened::Client(event),
            _ = tick.tick() => Happened::Tick,
        }
    }

    fn announce(&self, event: ShareEvent) {
        self.front.events.put(event);
    }

    fn on_desk(&mut self, event: Option<DeskEvent>) {
        match event {
            Some(DeskEvent::Paired(line)) => self.begin_line(line),
            Some(DeskEvent::WrongCode { from }) => self.announce(ShareEvent::WrongCode { from }),
            Some(DeskEvent::MustConfirm { wrong }) => self.announce(ShareEvent::MustConfirm { wrong }),
            None => self.desk = None,
        }
    }

    fn begin_line(&mut self, line: PairedLine) {
        let id = LineId(self.lines_made);
        self.lines_made += 1;
        self.lines.insert(id, Line::begin(id, line, &self.board, self.say.clone()));
    }

    fn on_heard(&mut self, line: LineId, heard: Heard) {
        match heard {
            Heard::Said(said) => self.on_said(line, said),
            Heard::Ended => self.hang_up(line),
        }
    }

    /// A line is over.
    fn hang_up(&mut self, line: LineId) {
        self.lines.remove(&line);
        if let Some(receiver) = self.receivers.left(line) {
            self.announce(ShareEvent::Left { receiver });
            self.tell_of_each_other();
        }
    }

    fn on_said(&mut self, line: LineId, said: ReceiverSays) {
        // What a line said that was cut in the meantime is of no interest any more.
        let Some(at) = self.lines.get(&line) else { return };
        let event = match said {
            ReceiverSays::Hello { name, instance } => {
                let from = at.paired.remote();
                // Each is one: who says again who it is, or is somebody else by now, is none of ours.
                if self.receivers.knows(line) {
                    return self.hang_up(line);
                }
                let (receiver, before) = self.receivers.came(line, instance, name.clone(), from);
                before.and_then(|before| self.lines.remove(&before));
                Some(ShareEvent::Came { receiver, name, from })
            }
            ReceiverSays::Wants { swarm_port } => {
                // Who wants something says first who it is: the sharer sees everybody who is served.
                let Some(receiver) = self.receivers.wants(line, swarm_port) else {
                    return self.hang_up(line);
                };
                at.wants();
                Some(ShareEvent::Wants { receiver })
            }
            ReceiverSays::Declines => {
                self.receivers.declined(line).map(|receiver| ShareEvent::Declined { receiver })
            }
            ReceiverSays::Has(bytes) => return self.receivers.has(line, bytes),
            ReceiverSays::Complete => {
                self.receivers.complete(line).map(|receiver| ShareEvent::Complete { receiver })
            }
        };
        if let Some(event) = event {
            self.announce(event);
            self.tell_of_each_other();
        }
    }

    /// Each receiver hears who else takes part, if that has changed.
    fn tell_of_each_other(&self) {
        for (&id, line) in self.lines.iter().filter(|&(&id, _)| self.receivers.is_taking(id)) {
            line.set_peers(&self.receivers.others_of(id));
        }
        let mut status = self.front.status();
        self.note_receivers(&mut status);
    }

    fn note_receivers(&self, status: &mut ShareStatus) {
        status.receivers = self.receivers.statuses();
        (status.copies, status.copies_here) = (self.receivers.copies(), self.receivers.copies_here());
    }

    fn on_told(&mut self, told: Option<Told>) {
        match told {
            Some(Told::Listed(named)) => self.on_listed(named),
            Some(Told::Hashed(hashed)) => self.serve(*hashed),
            Some(Told::Lost(path, why)) => self.lose([(path, why)]),
            Some(Told::Done) => {
                let (torrents, bytes) = (self.serving.offered, self.serving.offered_bytes);
                self.serving.all_hashed = true;
                self.say_end();
                self.announce(ShareEvent::AllHashed { torrents, bytes });
            }
            Some(Told::Again) => {
                self.serving.again = self.serving.again.saturating_sub(1);
                self.say_end();
            }
            Some(Told::Failed(error)) => {
                (self.desk, self.beacon) = (None, None);
                // Receivers are told that this was all, so that they do not look for us any more; each line ends when they know.
                self.lines.values().for_each(|line| drop(line.paired.close()));
                self.announce(ShareEvent::Failed(error));
            }
            None => {
                // Nothing more comes of what was sent back.
                (self.hashing, self.serving.again) = (None, 0);
                self.say_end();
            }
        }
    }

    /// How many torrents there are, with those that will come for such as are withdrawn; once it is known.
    fn say_end(&self) {
        let Serving { offered, offered_bytes: bytes, again, all_hashed, .. } = self.serving;
        if all_hashed {
            self.board.say_end(&SharerSays::End { torrents: offered + again, bytes });
            self.board.set_hashed(bytes);
            let mut status = self.front.status();
            (status.hashed, status.all_hashed) = (bytes, true);
        }
    }

    fn on_listed(&mut self, named: Arc<Named>) {
        let listing = &named.listing;
        let (size, files) = (listing.size(), listing.files.len() as u64);
        let port = self.serving.client.local_addrs().first().map_or(0, |address| address.port());
        self.board.say(&SharerSays::Offer(Offer {
            name: DisplaySafe::new(&listing.name),
            size,
            files,
            executables: listing.files.iter().filter(|file| file.executable).count() as u64,
            folders: listing.empty_folders.len() as u64,
            lost: listing.lost.len() as u64,
            swarm_key: self.swarm_key.clone(),
            swarm_port: port,
        }));
        for executable in [false, true] {
            let files = listing.files.iter().enumerate();
            let empty = files.filter(|(_, file)| file.len == 0 && file.executable == executable);
            let empty: Vec<_> = empty.filter_map(|(at, _)| named.file(at)).collect();
            for batch in empty.chunks(BATCH_MAX) {
                self.board.say(&match executable {
                    true => SharerSays::EmptyExecutables(batch.to_vec()),
                    false => SharerSays::EmptyFiles(batch.to_vec()),
                });
            }
        }
        let folders: Vec<_> =
            (0..listing.empty_folders.len()).filter_map(|folder| named.folder(folder)).collect();
        for batch in folders.chunks(BATCH_MAX) {
            self.board.say(&SharerSays::Folders(batch.to_vec()));
        }
        for batch in listing.lost.chunks(BATCH_MAX) {
            let lost = batch.iter().map(|(path, why)| lost(&named.shown(path), *why)).collect();
            self.board.say(&SharerSays::Lost(lost));
        }
        let mut status = self.front.status();
        (status.size, status.files) = (size, files);
        status.name.clone_from(&listing.name);
        drop(status);
        self.announce(ShareEvent::Listed(Arc::clone(listing)));
        self.serving.named = Some(named);
    }

    fn serve(&mut self, hashed: Hashed) {
        let Hashed { torrent, mut offered, ranges, again } = hashed;
        let paths: Vec<_> = ranges.iter().map(|range| range.path.clone()).collect();
        match self.serving.client.lend(&torrent, ranges, Vec::new()) {
            Ok(handle) => {
                // Only what is offered counts: receivers take no number that leaves one out.
                let (number, bytes) = (self.serving.offered, offered.metainfo.layout.total());
                offered.number = number;
                self.serving.offered += 1;
                self.serving.offered_bytes += bytes;
                self.serving.meter.add(handle.clone());
                self.serving.torrents.insert(handle.id(), Served { handle, number, bytes, again });
                self.board.say(&SharerSays::Torrent(Box::new(offered)));
            }
            Err(error) => {
                tracing::error!(%error, "a torrent of a share cannot be served");
                self.lose(paths.into_iter().map(|path| (path, LostWhy::Unreadable)));
            }
        }
    }

    /// Names what does not come along after all, each once.
    fn lose(&mut self, all: impl IntoIterator<Item = (PathBuf, LostWhy)>) {
        let mut told = Vec::new();
        for (path, why) in all {
            if self.serving.lost.insert(path.clone()) {
                let shown =
                    self.serving.named.as_ref().map_or_else(|| path.clone(), |named| named.shown(&path));
                told.push(lost(&shown, why));
                self.announce(ShareEvent::Lost { path, why });
            }
        }
        for batch in told.chunks(BATCH_MAX) {
            self.board.say(&SharerSays::Lost(batch.to_vec()));
        }
    }

    fn on_client(&mut self, event: Option<Event>) {
        let Some(event) = event else { return };
        self.serving.meter.note(&event);
        if let Event::StorageFailed(torrent, error) = event {
            tracing::warn!(error = %error.detail, "what is shared cannot be read");
            match error.kind {
                DiskErrorKind::Changed
                | DiskErrorKind::Vanished
                | DiskErrorKind::Denied
                | DiskErrorKind::Io
                | DiskErrorKind::Unsupported => self.withdraw(torrent),
                // These pass, and the client tries again by itself.
                DiskErrorKind::TooManyOpen | DiskErrorKind::Full | DiskErrorKind::ReadOnly => {}
            }
        }
    }

    /// Something of a torrent cannot be read, so that nothing of it is served any more. It is hashed again without whatever is not as it
    /// was, which is named then, and offered anew.
    fn withdraw(&mut self, torrent: TorrentId) {
        let Some(Served { handle, number, bytes, again }) = self.serving.torrents.remove(&torrent) else {
            return;
        };
        handle.remove();
        self.serving.offered_bytes = self.serving.offered_bytes.saturating_sub(bytes);
        let again = again.offered_as(number);
        let sent_back = match &self.hashing {
            Some(hashing) => hashing.again.send(again).map_err(|unsent| unsent.0),
            None => Err(again),
        };
        match sent_back {
            Ok(()) => self.serving.again += 1,
            Err(again) => {
                let named = self.serving.named.clone();
                let listed = named.iter().flat_map(|named| again.files().map(|at| &named.listing.files[at]));
                self.lose(listed.map(|file| (file.source.clone(), LostWhy::Unreadable)));
            }
        }
        // First that there is one more to come, lest a receiver that has all others believe that it is done.
        self.say_end();
        self.board.say(&SharerSays::Withdrawn { number });
    }

    async fn on_tick(&mut self) {
        let figures = self.serving.meter.read().await;
        let mut status = self.front.status();
        if !status.all_hashed {
            status.hashed = self.hashed.load(Ordering::Relaxed);
        }
        (status.sent, status.rate_up) = (figures.sent, figures.rate_up);
        self.note_receivers(&mut status);
        let hashed = status.hashed;
        drop(status);
        self.board.set_hashed(hashed);
    }

    /// Tells every receiver that this was all, and waits for them as long as is polite.
    async fn say_goodbye(&mut self) {
        (self.desk, self.beacon, self.hashing) = (None, None, None);
        let lines = std::mem::take(&mut self.lines).into_values();
        let closing: Vec<_> = lines.map(|line| line.paired.close()).collect();
        let all = async {
            for closed in closing {
                // Cut or closed: it is over.
                let _ = closed.await;
            }
        };
        let _ = timeout(CLOSE_TIME_MAX, all).await;
        let _ = self.serving.client.shutdown().await;
    }
}

fn lost(path: &Path, why: LostWhy) -> Lost {
    let text = path.as_os_str().as_encoded_bytes();
    // An empty text is none, and one that is too long says enough by its end.
    let text = if text.is_empty() { b"?" } else { &text[text.len().saturating_sub(TEXT_BYTES_MAX)..] };
    Lost { path: DisplaySafe::new(text), why }
}
