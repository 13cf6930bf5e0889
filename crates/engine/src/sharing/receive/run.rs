//! The thread of a receive: waits for everything that can happen, and does what follows from it.
//!
//! What always holds: nothing of the output folder is touched before the user has accepted; there is at most one line to the sharer;
//! when nobody wishes anything any more everything ends at once.

use super::line::{Sought, Where, seek};
use super::record::{Memory, Record};
use super::tell::{machine_name, tell};
use super::work::{Known, Work};
use super::{Front, Offered, ReceiveConfig, ReceiveError, ReceiveEvent, ReceiveTrouble};
use crate::reply::Answer;
use crate::sharing::{Code, LineEnd, PairedLine, Pairer};
use crate::{Event, entropy};
use proto::address::as_told_by;
use proto::pairing::CLOSE_TIME_MAX;
use std::future::pending;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, sleep, timeout};
use wire::SafePath;
use wire::offer::{Offer, ReceiverSays, SharerSays};

/// How often figures are read.
const TICK: Duration = Duration::from_millis(250);

/// After so many ticks what could not be done is tried again: 5 s.
const TRY_AGAIN_TICKS: u32 = 20;

/// After so many ticks without a byte one more torrent may fetch: 2 s.
const IDLE_TICKS: u32 = 8;

/// A client that ends may take so long; then it is dropped.
const SHUTDOWN_MAX: Duration = Duration::from_secs(30);

/// After so many ticks without the sharer and without a byte nobody has what we lack, or lacks what we have: 60 s.
const ABANDONED_TICKS: u32 = 240;

/// Others take links at no lower port: what is below belongs to services of a machine.
const OTHERS_PORT_MIN: u16 = 1024;

/// What was found and nobody looked at yet.
const SOUGHT_MAX: usize = 16;

/// What the user wants.
#[derive(Debug)]
pub(super) enum Wish {
    Accept,
    Decline,
    /// End, and say so.
    End(Answer<()>),
    /// End.
    Quit,
}

struct Run {
    front: Arc<Front>,
    config: ReceiveConfig,
    place: Where,
    pairer: Arc<Pairer>,
    wished: mpsc::UnboundedReceiver<Wish>,
    seeking: Option<Seeking>,
    line: Option<Line>,
    offer: Option<Known>,
    decision: Decision,
    work: Option<Work>,
    ticks: u32,
    /// Who asked for an end while something else was being ended.
    ending: Option<Answer<()>>,
    /// Nobody waits for anything any more.
    quit: bool,
}

/// A search for the sharer; dropping it ends it.
struct Seeking {
    sought: mpsc::Receiver<Sought>,
    _task: JoinSet<()>,
}

/// The line to the sharer.
struct Line {
    paired: Arc<PairedLine>,
    /// The offer was heard over this one.
    greeted: bool,
    /// What is here, told by a task of its own, since a line may be slow.
    progress: watch::Sender<(u64, bool)>,
    tasks: JoinSet<()>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Decision {
    None,
    Accepted,
    /// Or it failed: nothing goes on.
    Over,
}

/// What happened.
enum Happened {
    Wish(Option<Wish>),
    Sought(Option<Sought>),
    Said(Result<Vec<u8>, LineEnd>),
    Client(Option<Event>),
    Tick,
}

/// Begins.
pub(super) fn start(
    code: Code,
    mut config: ReceiveConfig,
    front: Arc<Front>,
    wished: mpsc::UnboundedReceiver<Wish>,
) -> io::Result<JoinHandle<()>> {
    config.output = std::path::absolute(&config.output)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let place = Where {
        nameplate: code.nameplate(),
        peers: config.peers.clone(),
        look: config.look,
        listen: config.listen.clone(),
    };
    let pairer = Arc::new(Pairer::new(code)?);
    let run = Run {
        front: Arc::clone(&front),
        config,
        place,
        pairer,
        wished,
        seeking: None,
        line: None,
        offer: None,
        decision: Decision::None,
        work: None,
        ticks: 0,
        ending: None,
        quit: false,
    };
    std::thread::Builder::new().name("gannet-receive".into()).spawn(move || {
        let answer = runtime.block_on(run.run());
        front.events.close();
        answer.into_iter().for_each(|answer| answer.give(()));
    })
}

impl Run {
    /// Until the end; then who waits for it.
    async fn run(mut self) -> Option<Answer<()>> {
        self.seek(Duration::ZERO);
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let done = match self.happened(&mut tick).await {
                Happened::Wish(Some(Wish::Accept)) => self.accept().await,
                Happened::Wish(Some(Wish::Decline)) => {
                    self.give_up().await;
                    Ok(())
                }
                Happened::Wish(Some(Wish::End(answer))) => {
                    self.say_goodbye().await;
                    return Some(answer);
                }
                Happened::Wish(Some(Wish::Quit) | None) => return None,
                Happened::Sought(sought) => self.on_sought(sought),
                Happened::Said(Ok(message)) => self.on_said(&message).await,
                Happened::Said(Err(end)) => self.on_line_end(end),
                Happened::Client(event) => self.on_client(event).await,
                Happened::Tick => self.on_tick().await,
            };
            if let Err(error) = done {
                self.announce(ReceiveEvent::Failed(error));
                self.give_up().await;
            }
            if let Some(answer) = self.ending.take().filter(|_| !self.quit) {
                self.say_goodbye().await;
                return Some(answer);
            }
            if self.quit {
                return None;
            }
        }
    }

    async fn happened(&mut self, tick: &mut Interval) -> Happened {
        let (seeking, line, work) = (&mut self.seeking, &self.line, &self.work);
        let sought = async {
            match seeking {
                Some(seeking) => seeking.sought.recv().await,
                None => pending().await,
            }
        };
        let said = async {
            match line {
                Some(line) => line.paired.next().await,
                None => pending().await,
            }
        };
        let event = async {
            match work {
                Some(work) => work.events.next().await,
                None => pending().await,
            }
        };
        tokio::select! {
            wish = self.wished.recv() => Happened::Wish(wish),
            sought = sought => Happened::Sought(sought),
            said = said => Happened::Said(said),
            event = event => Happened::Client(event),
            _ = tick.tick() => Happened::Tick,
        }
    }

    fn announce(&self, event: ReceiveEvent) {
        self.front.events.put(event);
    }

    fn announce_all(&self, troubles: Vec<ReceiveTrouble>) {
        troubles.into_iter().for_each(|trouble| self.announce(ReceiveEvent::Trouble(trouble)));
    }

    /// Looks for the sharer, after a pause.
    fn seek(&mut self, pause: Duration) {
        let (found, sought) = mpsc::channel(SOUGHT_MAX);
        let (pairer, place) = (Arc::clone(&self.pairer), self.place.clone());
        let mut task = JoinSet::new();
        task.spawn(async move {
            sleep(pause).await;
            seek(pairer, place, found).await;
        });
        self.seeking = Some(Seeking { sought, _task: task });
    }

    fn on_sought(&mut self, sought: Option<Sought>) -> Result<(), ReceiveError> {
        match sought {
            Some(Sought::Found(at)) => self.announce(ReceiveEvent::Found { at }),
            Some(Sought::Silence(silence)) => self.announce(ReceiveEvent::Silence(silence)),
            Some(Sought::NotPaired(at, why)) => self.announce(ReceiveEvent::NotPaired { at, why }),
            Some(Sought::Paired(line)) => {
                self.announce(ReceiveEvent::Paired { at: line.remote() });
                self.seeking = None;
                self.line = Some(Line {
                    paired: Arc::new(line),
                    greeted: false,
                    progress: watch::Sender::new((0, false)),
                    tasks: JoinSet::new(),
                });
            }
            Some(Sought::Hopeless(why)) => {
                self.seeking = None;
                // Once there is something to fetch others may still have it.
                if self.work.is_none() {
                    return Err(ReceiveError::NotPaired(why));
                }
            }
            None => self.seeking = None,
        }
        Ok(())
    }

    async fn on_said(&mut self, message: &[u8]) -> Result<(), ReceiveError> {
        let said = SharerSays::decode(message)?;
        match said {
            SharerSays::Offer(offer) => self.on_offer(offer).await,
            said => self.on_more(said),
        }
    }

    async fn on_offer(&mut self, offer: Offer) -> Result<(), ReceiveError> {
        let Some(line) = self.line.as_mut().filter(|line| !line.greeted) else { return Ok(()) };
        line.greeted = true;
        match &self.offer {
            None => self.offer = Some(self.look_at(offer)?),
            Some(known) if known.offer.swarm_key == offer.swarm_key => {}
            Some(_) => {
                // Another share under the same code: none of ours, and no reason to ask again soon.
                tracing::warn!("somebody shares something else under the same code");
                self.line = None;
                self.seek(Duration::from_secs(10));
                return Ok(());
            }
        }
        let (Some(line), Some(known)) = (&self.line, &self.offer) else { return Ok(()) };
        let hello = ReceiverSays::Hello { name: machine_name(), instance: known.record.instance };
        // A line that has ended is noticed by who listens on it.
        let _ = line.paired.send_async(hello.encode()).await;
        if self.work.is_some() {
            self.announce(ReceiveEvent::SharerBack);
        }
        match self.decision {
            Decision::Accepted => self.begin().await,
            Decision::None | Decision::Over => Ok(()),
        }
    }

    /// What is offered, and what of it an earlier run has.
    fn look_at(&self, offer: Offer) -> Result<Known, ReceiveError> {
        let output = &self.config.output;
        let top = SafePath::from_name(offer.name.raw());
        let memory = Memory::of(&self.config.state_dir, output, &top);
        let (record, resumed) = match memory.recall(output, &top, &offer.swarm_key) {
            Some(record) => (record, Some(memory.resumed())),
            None => {
                let instance = entropy::bytes().map_err(ReceiveError::System)?;
                let mark = offer.swarm_key.mark();
                (Record { instance, output: output.clone(), top: top.clone(), mark, done: false }, None)
            }
        };
        let mut status = self.front.status();
        (status.name, status.size) = (offer.name.clone(), offer.size);
        drop(status);
        self.announce(ReceiveEvent::Offered(Offered {
            name: offer.name.clone(),
            path: output.join(&top),
            size: offer.size,
            files: offer.files,
            executables: offer.executables,
            folders: offer.folders,
            lost: offer.lost,
            resumed: resumed.unwrap_or(0),
        }));
        Ok(Known { offer, record, memory, resumed })
    }

    async fn accept(&mut self) -> Result<(), ReceiveError> {
        if self.decision != Decision::None {
            return Ok(());
        }
        self.decision = Decision::Accepted;
        match (&self.offer, &self.line) {
            (Some(_), Some(line)) if line.greeted => self.begin().await,
            _ => Ok(()),
        }
    }

    /// Begins to fetch, or goes on over a new line.
    async fn begin(&mut self) -> Result<(), ReceiveError> {
        let Some(known) = &self.offer else { return Ok(()) };
        let mut work = match self.work.take() {
            Some(work) => work,
            None => Work::begin(&self.config, known)?,
        };
        let Some(line) = &mut self.line else {
            self.work = Some(work);
            return Ok(());
        };
        work.farewell = false;
        work.content.begin_again();
        let mut sharer = line.paired.remote();
        sharer.set_port(known.offer.swarm_port);
        let others = work.content.others();
        work.content.set_peers(Some(sharer), others);
        let swarm_port = work.client.local_addrs().first().map_or(0, |address| address.port());
        let _ = line.paired.send_async(ReceiverSays::Wants { swarm_port }.encode()).await;
        line.tasks.spawn(tell(Arc::clone(&line.paired), line.progress.subscribe()));
        line.progress.send_replace((work.figures.has, work.finished));
        self.work = Some(work);
        Ok(())
    }

    /// Everything that comes behind the offer.
    fn on_more(&mut self, said: SharerSays) -> Result<(), ReceiveError> {
        // Before we wanted it nobody says it.
        let (Some(work), Some(line)) = (&mut self.work, &self.line) else {
            return Err(ReceiveError::TooMuch);
        };
        let mut troubles = Vec::new();
        match said {
            SharerSays::Offer(_) => {}
            // What is here is the user's: nothing is made again that he has moved, and what others lose is here.
            SharerSays::Folders(_)
            | SharerSays::EmptyFiles(_)
            | SharerSays::EmptyExecutables(_)
            | SharerSays::Lost(_)
            | SharerSays::End { .. }
                if work.finished => {}
            SharerSays::Hashed(bytes) => self.front.status().sharer_hashed = bytes,
            SharerSays::Torrent(torrent) => {
                work.content.offer(torrent, work.finished)?;
                self.front.status().offered = work.content.offered();
                work.content.go_on(&work.client, &mut work.meter)?;
            }
            SharerSays::Withdrawn { number } => {
                work.content.withdraw(number, &mut work.meter);
                work.content.go_on(&work.client, &mut work.meter)?;
            }
            SharerSays::Folders(paths) => troubles = work.content.make_folders(paths)?,
            SharerSays::EmptyFiles(paths) => troubles = work.content.make_empty_files(paths, false)?,
            SharerSays::EmptyExecutables(paths) => troubles = work.content.make_empty_files(paths, true)?,
            SharerSays::Lost(lost) => {
                for lost in lost {
                    if !work.is_news(&lost) {
                        continue;
                    }
                    self.front.events.put(ReceiveEvent::Lost { path: lost.path, why: lost.why });
                }
            }
            SharerSays::Peers { others, incomplete } => {
                let remote = line.paired.remote();
                let others = others.into_iter().filter_map(|other| as_told_by(remote, other));
                // A sharer is not to send us to services, ours least of all.
                let here = remote.ip().to_canonical().is_loopback();
                let others = others.filter(|other| {
                    other.port() >= OTHERS_PORT_MIN && (here || !other.ip().to_canonical().is_loopback())
                });
                work.content.set_peers(None, others.collect());
                work.others_incomplete = Some(incomplete);
                self.front.status().others_incomplete = incomplete;
            }
            SharerSays::End { torrents, bytes } => work.content.set_end(torrents, bytes),
        }
        self.announce_all(troubles);
        self.look_whether_done();
        Ok(())
    }

    fn on_line_end(&mut self, end: LineEnd) -> Result<(), ReceiveError> {
        self.line = None;
        if self.decision == Decision::Over {
            return Ok(());
        }
        let Some(work) = &mut self.work else {
            if end == LineEnd::Closed {
                return Err(ReceiveError::Ended);
            }
            self.seek(Duration::from_millis(500));
            return Ok(());
        };
        work.farewell = end == LineEnd::Closed;
        let farewell = work.farewell;
        self.announce(ReceiveEvent::SharerLeft);
        if !farewell {
            self.seek(Duration::from_millis(500));
        }
        Ok(())
    }

    async fn on_client(&mut self, event: Option<Event>) -> Result<(), ReceiveError> {
        let (Some(event), Some(work)) = (event, &mut self.work) else { return Ok(()) };
        work.meter.note(&event);
        let troubles = work.content.on_event(&event);
        match event {
            Event::PieceDone(..) if !work.told.began => self.read_figures().await,
            Event::Durable(_) | Event::Removed(_) => {
                work.content.go_on(&work.client, &mut work.meter)?;
                self.announce_all(troubles);
                self.read_figures().await;
            }
            _ => self.announce_all(troubles),
        }
        self.look_whether_done();
        Ok(())
    }

    async fn on_tick(&mut self) -> Result<(), ReceiveError> {
        self.ticks = self.ticks.wrapping_add(1);
        let received = self.work.as_ref().map(|work| work.figures.received);
        self.read_figures().await;
        let seeking = self.seeking.is_some();
        let Some(work) = &mut self.work else { return Ok(()) };
        let reachable = self.line.is_some() || work.figures.peers > 0;
        let idle = reachable && received == Some(work.figures.received);
        work.ticks.idle = if idle { work.ticks.idle + 1 } else { 0 };
        if work.ticks.idle >= IDLE_TICKS {
            work.ticks.idle = 0;
            work.content.make_room();
            work.content.go_on(&work.client, &mut work.meter)?;
        }
        if self.ticks.is_multiple_of(TRY_AGAIN_TICKS) {
            let troubles = work.content.try_again();
            for trouble in troubles {
                tracing::debug!(%trouble, "still in the way");
            }
        }
        let gone = self.line.is_none() && received == Some(work.figures.received);
        work.ticks.gone = if gone { work.ticks.gone.saturating_add(1) } else { 0 };
        let abandoned = work.ticks.gone >= ABANDONED_TICKS;
        // Others may be here who lack just the same.
        let alone = self.line.is_none() && !work.finished && (work.figures.peers == 0 || abandoned);
        if alone && !work.told.alone {
            tracing::debug!(seeking, "nobody is left to fetch from");
            self.front.events.put(ReceiveEvent::Alone);
        }
        work.told.alone = alone;
        self.look_whether_done();
        Ok(())
    }

    async fn read_figures(&mut self) {
        let Some(work) = &mut self.work else { return };
        work.figures = work.meter.read().await;
        work.figures.has += work.content.kept();
        let figures = work.figures;
        let mut status = self.front.status();
        (status.has, status.received, status.sent) = (figures.has, figures.received, figures.sent);
        (status.rate_down, status.rate_up, status.peers) =
            (figures.rate_down, figures.rate_up, figures.peers);
        drop(status);
        if figures.received > 0 && !work.told.began {
            work.told.began = true;
            self.front.events.put(ReceiveEvent::Began);
        }
        if let Some(line) = &self.line {
            line.progress.send_replace((figures.has, work.finished));
        }
    }

    /// Says once what has become true.
    fn look_whether_done(&mut self) {
        let (Some(work), Some(known)) = (&mut self.work, &self.offer) else { return };
        if work.content.is_all_offered() && !work.told.all_offered {
            work.told.all_offered = true;
            self.front.events.put(ReceiveEvent::AllOffered);
        }
        if !work.finished && work.content.is_all_here() {
            // From here on it is the user's: whatever becomes of us, no later run writes there.
            match work.content.settle().and_then(|()| known.memory.set_done(&known.record)) {
                Ok(()) => {
                    work.finished = true;
                    self.front.status().complete = true;
                    let path = self.config.output.join(&known.record.top);
                    self.front.events.put(ReceiveEvent::Finished { path });
                    if let Some(line) = &self.line {
                        line.progress.send_replace((work.figures.has, true));
                    }
                }
                // It is tried again at each turn, and told once.
                Err(error) if !std::mem::replace(&mut work.told.unsettled, true) => {
                    let path = PathBuf::from(known.record.top.as_str());
                    self.front.events.put(ReceiveEvent::Trouble(ReceiveTrouble::Finish { path, error }));
                }
                Err(_) => {}
            }
        }
        let left = work.farewell || work.ticks.gone >= ABANDONED_TICKS;
        let deserted = left && work.figures.peers == 0;
        if work.finished && !work.told.served && (work.others_incomplete == Some(0) || deserted) {
            work.told.served = true;
            self.front.events.put(ReceiveEvent::Served);
        }
    }

    /// Nothing more is fetched or looked for; the sharer is told.
    async fn give_up(&mut self) {
        self.decision = Decision::Over;
        self.seeking = None;
        if let Some(line) = self.line.take() {
            self.wait_for(CLOSE_TIME_MAX, line.paired.send_async(ReceiverSays::Declines.encode())).await;
            self.wait_for(CLOSE_TIME_MAX, line.paired.close()).await;
        }
        if let Some(work) = self.work.take() {
            self.wait_for(SHUTDOWN_MAX, work.client.shutdown()).await;
        }
    }

    /// Waits for what is polite, so long at most, and not at all once nobody wishes anything any more.
    async fn wait_for(&mut self, most: Duration, polite: impl IntoFuture) {
        if self.quit {
            return;
        }
        let wished = &mut self.wished;
        let (ending, quit) = (&mut self.ending, &mut self.quit);
        let hurry = async {
            loop {
                match wished.recv().await {
                    Some(Wish::Accept | Wish::Decline) => {}
                    Some(Wish::End(answer)) => *ending = Some(answer),
                    Some(Wish::Quit) | None => break *quit = true,
                }
            }
        };
        tokio::select! {
            () = hurry => {}
            _ = timeout(most, polite) => {}
        }
    }

    async fn say_goodbye(&mut self) {
        self.seeking = None;
        if let Some(mut line) = self.line.take() {
            if self.work.as_ref().is_some_and(|work| work.finished) {
                // Whoever tells it may not have come to it.
                line.tasks.shutdown().await;
                self.wait_for(CLOSE_TIME_MAX, line.paired.send_async(ReceiverSays::Complete.encode())).await;
            }
            self.wait_for(CLOSE_TIME_MAX, line.paired.close()).await;
        }
        let Some(work) = self.work.take() else { return };
        self.wait_for(SHUTDOWN_MAX, work.client.shutdown()).await;
        // While the place is still held.
        if let Some(known) = self.offer.as_ref().filter(|_| work.finished && !self.quit)
            && let Err(error) = known.memory.forget()
        {
            tracing::warn!(%error, "what was remembered of a receive stays behind");
        }
    }
}
