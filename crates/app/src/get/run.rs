//! Torrents at work: their events told, their progress shown, until each has reached its end.

mod magnets;
mod searching;

use super::encryption::EncryptionNews;
use super::saving::Saving;
use super::sources::{self, Elsewhere, Finders, Sources};
use crate::cli::Exit;
use crate::failure::{Failure, Outcome};
use crate::quantity::{Size, Span};
use crate::redact;
use crate::show::Screen;
use crate::show::json::{Content, Happened, PeerLine, Peers, Progress, Resumed, Swarm, Traffic, VERSION};
use crate::show::panel::{self, Row};
use crate::source::Torrent;
use crate::stop::Stop;
use crate::words::{count, shell};
use gannet::{
    AddError, AddOptions, Bitfield, Client, Event, Events, Metainfo, PeerSource, Priority, RecvError,
    Refusal, SeedGoal, StageName, TorrentHandle, TorrentId,
};
use magnets::tell_disguises;
use std::path::Path;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// How often progress is shown.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);

/// How long the loop may take for an answer before it is not waited for any longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the torrents are there for.
pub(super) enum Purpose {
    /// To have them.
    Get,
    /// To serve them: they must be complete.
    Seed,
    /// To have the torrent file alone.
    Save(Saving),
}

/// What one torrent has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Status {
    /// Not known yet what is there.
    Looking,
    Working,
    /// Everything wanted is on stable storage.
    Durable,
    /// Nothing more is to be done for it.
    Ended,
    /// It was to be served, and is not all here.
    Incomplete(String),
    /// It will not come by itself.
    Broken(String),
    /// Its metadata came, and is of no use.
    Unusable(String),
    /// It is sound, but something on our side stands against it.
    Refused(Refusal, String),
    /// Nobody was found who has it, and its user has waited enough.
    Deserted(String),
}

/// A magnet link's name, as soon as anybody is told.
pub(super) type Learned = Arc<OnceLock<String>>;

/// One torrent at work.
struct Job {
    handle: TorrentHandle,
    info_hash: String,
    name: String,
    learned: Learned,
    /// Its trackers, and whether anybody was found.
    sources: Sources,
    /// The command that fetches what is missing of it.
    to_fetch: String,
    status: Status,
}

/// All torrents of this process.
pub(super) struct Run<'a> {
    client: &'a Client,
    events: Events,
    pub(super) purpose: Purpose,
    goal: Option<SeedGoal>,
    stop: &'a Stop,
    notices: Receiver<String>,
    news: EncryptionNews,
    /// How long nobody need be found before a torrent is given up; for ever, if it is not set.
    pub(super) patience: Option<Duration>,
    /// Who else finds peers.
    pub(super) finders: Finders,
    jobs: Vec<Job>,
}

impl<'a> Run<'a> {
    /// A run without torrents.
    pub(super) fn new(
        client: &'a Client,
        purpose: Purpose,
        goal: Option<SeedGoal>,
        stop: &'a Stop,
        notices: Receiver<String>,
        news: EncryptionNews,
    ) -> Run<'a> {
        let events = client.events();
        let (patience, finders, jobs) = (None, Finders::ALL, Vec::new());
        Run { client, events, purpose, goal, stop, notices, news, patience, finders, jobs }
    }

    /// Takes in a torrent.
    pub(super) fn add(
        &mut self,
        screen: &Screen,
        torrent: &Torrent,
        options: AddOptions,
    ) -> Result<(), AddError> {
        let to_fetch = match &options.output_dir {
            Some(dir) => {
                format!("gannet get {} --output {}", shell(Path::new(&torrent.given)), shell(dir))
            }
            None => format!("gannet get {}", shell(Path::new(&torrent.given))),
        };
        let trackers = torrent.metainfo.trackers.iter().flatten().cloned().collect();
        let elsewhere = Elsewhere::of(self.finders, torrent.metainfo.private);
        let sources = Sources::new(trackers, options.peers.len(), elsewhere, self.patience);
        let handle = self.client.add(&torrent.bytes, options)?;
        let job = Job {
            info_hash: handle.info_hash().to_string(),
            name: torrent.metainfo.name.original.to_string(),
            learned: Learned::default(),
            sources,
            to_fetch,
            status: Status::Looking,
            handle,
        };
        screen.json(&Happened { name: Some(job.name.clone()), ..happened("added", &job) });
        if let Purpose::Get = self.purpose {
            tell_disguises(screen, &job);
        }
        self.jobs.push(job);
        Ok(())
    }

    /// Works until every torrent has ended or someone asks to stop; then saves.
    pub(super) fn until_done(&mut self, screen: &mut Screen) -> Outcome {
        let mut next_progress = Instant::now();
        while !self.stop.asked() && !self.jobs.iter().all(Job::is_over) {
            // Short, for a signal only sets a flag.
            match self.events.recv_timeout(Duration::from_millis(100)) {
                Ok(event) => self.on_event(screen, &event),
                Err(RecvError::TimedOut) => {}
                Err(RecvError::Stopped) => {
                    return Err(Failure::plain(
                        "stopped by a fault of our own; what was committed is safe, the same command goes on",
                    ));
                }
            }
            if Instant::now() >= next_progress {
                next_progress = Instant::now() + PROGRESS_EVERY;
                self.show_progress(screen);
                if self.purpose.searches() {
                    self.look_for_sources(screen);
                }
            }
            self.tell_notices(screen);
            if screen.is_unread() {
                self.stop.ask();
            }
        }
        self.show_progress(screen);
        screen.end();
        self.save(screen);
        self.conclude(screen)
    }

    fn save(&self, screen: &Screen) {
        if self.stop.asked() {
            screen.say("stopping: saving, and telling trackers (2 s at most); once more quits at once");
        }
        let saved = self.client.shutdown().wait();
        self.tell_notices(screen);
        if saved.is_err() {
            screen.warn("the client ended before it said that everything is saved; what is missing will be fetched again");
        }
    }

    fn tell_notices(&self, screen: &Screen) {
        self.notices.try_iter().for_each(|notice| screen.warn(&format!("note: {notice}")));
    }

    /// The last words, and the exit code.
    fn conclude(&self, screen: &Screen) -> Outcome {
        let (mut exit, mut lost) = (Exit::NotComplete, Vec::new());
        for job in &self.jobs {
            match &job.status {
                Status::Incomplete(why) => lost.push(format!("{}: {why}", job.name)),
                Status::Unusable(why) => {
                    exit = Exit::BadTorrent;
                    lost.push(format!("{}: {why}", job.name));
                }
                Status::Refused(Refusal::Room, why) => {
                    exit = Exit::Disk;
                    // It names the torrent itself.
                    lost.push(why.clone());
                }
                Status::Refused(Refusal::Choice | Refusal::Place | Refusal::State, why) => {
                    exit = Exit::Failed;
                    lost.push(format!("{}: {why}", job.name));
                }
                Status::Deserted(why) => {
                    exit = Exit::NoSource;
                    lost.push(format!("{}: {why}", job.name));
                }
                Status::Broken(why) => {
                    exit = Exit::Disk;
                    lost.push(format!("{}: {why}", job.name));
                }
                Status::Looking | Status::Working | Status::Durable | Status::Ended => {}
            }
        }
        if !lost.is_empty() {
            return Err(Failure::new(exit, lost.join("\n")));
        }
        if self.stop.asked()
            && self.jobs.iter().any(|job| matches!(job.status, Status::Looking | Status::Working))
        {
            let alone = |job: &Job| job.sources.is_alone();
            let deserted = self.purpose.searches() && self.jobs.iter().all(alone);
            screen.say("stopped; the same command goes on where it was");
            return Ok(if deserted { Exit::NoSource } else { Exit::Interrupted });
        }
        Ok(Exit::Done)
    }

    fn job_mut(&mut self, torrent: TorrentId) -> Option<&mut Job> {
        self.jobs.iter_mut().find(|job| job.handle.id() == torrent)
    }

    fn on_event(&mut self, screen: &mut Screen, event: &Event) {
        match event {
            Event::Stage(torrent, stage) => self.on_stage(screen, *torrent, *stage),
            Event::Durable(torrent) => self.on_durable(screen, *torrent),
            Event::SeedGoalReached(torrent) => {
                if let Some(job) = self.job_mut(*torrent) {
                    job.status = Status::Ended;
                    screen.say(&format!("{}: the seeding goal is reached", job.name));
                    screen.json(&happened("seed_goal_reached", job));
                }
            }
            // A seed that wants nothing yet has "finished" at once.
            Event::Finished(torrent) if matches!(self.purpose, Purpose::Get) => {
                // Of what is all here nothing else is told before.
                self.on_found(screen, *torrent);
                self.tell(screen, *torrent, |job| (None, happened("finished", job)));
            }
            Event::PieceDone(torrent, piece) => {
                self.tell(screen, *torrent, |job| {
                    (None, Happened { piece: Some(piece.0), ..happened("piece_done", job) })
                });
            }
            Event::PieceFailed(torrent, piece) => self.tell(screen, *torrent, |job| {
                let text = format!("{}: piece {} was bad and is fetched again", job.name, piece.0);
                (Some(text), Happened { piece: Some(piece.0), ..happened("piece_failed", job) })
            }),
            Event::PeerBanned(torrent, address) => self.tell(screen, *torrent, |job| {
                let text = format!("{}: {address} sent bad data and is banned", job.name);
                (Some(text), Happened { address: Some(address.to_string()), ..happened("peer_banned", job) })
            }),
            Event::TrackerFailed { torrent, tracker, why } => {
                self.on_tracker(screen, *torrent, *tracker, Err(why))
            }
            Event::TrackerAnswered { torrent, tracker, peers } => {
                self.on_tracker(screen, *torrent, *tracker, Ok(*peers));
            }
            Event::WebSeedFailed { torrent, seed, why, dropped } => {
                self.on_web_seed_failed(screen, *torrent, *seed, why, *dropped);
            }
            Event::StorageFailed(torrent, error) => self.on_storage_failed(screen, *torrent, error),
            Event::MetadataReceived(torrent) => self.on_metadata(screen, *torrent),
            Event::MetadataUnusable { torrent, why } => {
                self.on_refused(
                    screen,
                    *torrent,
                    "metadata_unusable",
                    Status::Unusable(why.to_string()),
                    why,
                );
            }
            Event::ContentRefused { torrent, refusal, why } => {
                let status = Status::Refused(*refusal, why.to_string());
                self.on_refused(screen, *torrent, "content_refused", status, why);
            }
            // It was removed because its torrent file is all that was wanted.
            Event::Removed(torrent) => {
                if let Some(job) = self.job_mut(*torrent) {
                    job.status = Status::Ended;
                }
            }
            Event::PeerJoined(torrent, ..) => {
                if let Some(job) = self.job_mut(*torrent) {
                    job.sources.found();
                }
            }
            Event::PeersFound { torrent, source, peers } => {
                self.on_peers_found(screen, *torrent, *source, *peers);
            }
            Event::Finished(_) | Event::PeerLeft(..) | Event::Stopped => {}
        }
    }

    fn on_stage(&mut self, screen: &mut Screen, torrent: TorrentId, stage: StageName) {
        if matches!(stage, StageName::Downloading | StageName::Seeding) {
            self.on_found(screen, torrent);
        }
    }

    /// It is known what was here already; told once.
    fn on_found(&mut self, screen: &mut Screen, torrent: TorrentId) {
        let gets = match self.purpose {
            Purpose::Get => true,
            Purpose::Seed => false,
            Purpose::Save(_) => return,
        };
        let Some(job) = self.job_mut(torrent) else { return };
        if job.status != Status::Looking {
            return;
        }
        job.status = Status::Working;
        let Ok(stats) = job.handle.stats().wait_for(PATIENCE) else { return };
        let (have, unverified) = (stats.have_before, stats.unverified_before);
        screen.json(&Resumed {
            v: VERSION,
            r#type: "resumed",
            info_hash: &job.info_hash,
            have,
            unverified,
            checked: stats.checked,
        });
        if gets {
            let held = have + unverified;
            if held > 0 {
                screen.say(&format!("{}: {} of {} here already", job.name, Size(held), Size(stats.wanted)));
            }
            return;
        }
        let missing = stats.pieces - stats.pieces_have;
        if missing == 0 {
            let Some(metainfo) = job.handle.metainfo() else { return };
            let files = metainfo.layout.files() as usize;
            job.handle.set_priorities(&vec![Priority::Normal; files]);
            job.status = Status::Durable;
            screen.say(&format!("{}: complete, {}; Ctrl-C stops", job.name, Size(metainfo.layout.total())));
            screen.json(&happened("seeding", job));
        } else {
            let why = format!(
                "{missing} of {} are missing or differ; to fetch them: {}",
                count(stats.pieces, "piece"),
                job.to_fetch
            );
            let told = format!("{}: {why}", job.name);
            job.status = Status::Incomplete(why);
            self.say_if_others_go_on(screen, &told);
        }
    }

    fn on_durable(&mut self, screen: &mut Screen, torrent: TorrentId) {
        let goal = match self.purpose {
            Purpose::Get => self.goal,
            Purpose::Seed | Purpose::Save(_) => return,
        };
        // What was complete before may be durable before it is anything else: it is told what was here, too.
        self.on_stage(screen, torrent, StageName::Seeding);
        let Some(job) = self.job_mut(torrent) else { return };
        job.status = if goal.is_some() { Status::Durable } else { Status::Ended };
        let done = job
            .handle
            .stats()
            .wait_for(PATIENCE)
            .map_or_else(|_| String::new(), |stats| format!(" ({})", Size(stats.wanted)));
        screen.say(&format!(
            "{}: complete and safe on disk{done}{}",
            job.name,
            goal.map(on_serving).unwrap_or_default()
        ));
        screen.json(&happened("durable", job));
        self.show_progress(screen);
    }

    fn on_tracker(&mut self, screen: &Screen, torrent: TorrentId, tracker: u16, said: Result<u32, &str>) {
        if let Some(job) = self.job_mut(torrent) {
            job.sources.heard(tracker, said);
        }
        self.tell(screen, torrent, |job| {
            let (url, why) = job.sources.shown(tracker, said.err().unwrap_or_default());
            match said {
                Ok(peers) => {
                    let told =
                        Happened { tracker: Some(url), peers: Some(peers), ..happened("tracker", job) };
                    (None, told)
                }
                Err(_) => {
                    let text = format!("{}: tracker {url}: {why}", job.name);
                    (
                        Some(text),
                        Happened { tracker: Some(url), why: Some(why), ..happened("tracker_failed", job) },
                    )
                }
            }
        });
    }

    /// Peers were found without a tracker.
    fn on_peers_found(&mut self, screen: &Screen, torrent: TorrentId, source: PeerSource, peers: u32) {
        if let Some(job) = self.job_mut(torrent) {
            job.sources.found_by(source, peers);
        }
        self.tell(screen, torrent, |job| {
            let source = Some(sources::word(source));
            (None, Happened { source, peers: Some(peers), ..happened("peers_found", job) })
        });
    }

    fn on_web_seed_failed(
        &mut self,
        screen: &Screen,
        torrent: TorrentId,
        seed: u8,
        why: &str,
        dropped: bool,
    ) {
        self.tell(screen, torrent, |job| {
            let metainfo = job.handle.metainfo();
            let url = metainfo.as_ref().and_then(|metainfo| metainfo.web_seeds.get(usize::from(seed)));
            let url = url.map(String::as_str).unwrap_or_default();
            let (url, why) = (redact::url(url), redact::words(why, url));
            let then = if dropped { "; it is not asked again" } else { "" };
            let text = format!("{}: web seed {url}: {why}{then}", job.name);
            let told = Happened {
                web_seed: Some(url),
                why: Some(why),
                dropped: Some(dropped),
                ..happened("web_seed_failed", job)
            };
            (Some(text), told)
        });
    }

    fn on_storage_failed(&mut self, screen: &Screen, torrent: TorrentId, error: &gannet::DiskError) {
        let helps_itself = helps_itself(error.kind);
        self.tell(screen, torrent, |job| {
            let text =
                format!("{}: paused: {}; it goes on by itself when that is mended", job.name, error.detail);
            let line = Happened { why: Some(error.detail.to_string()), ..happened("storage_failed", job) };
            (helps_itself.then_some(text), line)
        });
        if let (false, Some(job)) = (helps_itself, self.job_mut(torrent)) {
            job.status = Status::Broken(error.detail.to_string());
            let told = format!("{}: stopped: {}", job.name, error.detail);
            self.say_if_others_go_on(screen, &told);
        }
    }

    /// A failure is the last word of the run; it is said at once too where the run has not come to its end.
    fn say_if_others_go_on(&self, screen: &Screen, told: &str) {
        if !self.jobs.iter().all(Job::is_over) {
            screen.warn(told);
        }
    }

    /// Tells of a torrent's event in the way of the screen.
    fn tell<'j>(
        &'j self,
        screen: &Screen,
        torrent: TorrentId,
        words: impl FnOnce(&'j Job) -> (Option<String>, Happened<'j>),
    ) {
        if let Some(job) = self.jobs.iter().find(|job| job.handle.id() == torrent) {
            let (text, line) = words(job);
            if let Some(text) = text {
                screen.say(&text);
            }
            screen.json(&line);
        }
    }

    fn show_progress(&mut self, screen: &mut Screen) {
        let mut rows = Vec::new();
        for job in self.jobs.iter().filter(|job| !matches!(job.status, Status::Incomplete(_))) {
            let (Ok(mut stats), Ok(have)) =
                (job.handle.stats().wait_for(PATIENCE), job.handle.have().wait_for(PATIENCE))
            else {
                continue;
            };
            let durable = match &self.purpose {
                Purpose::Get => matches!(job.status, Status::Durable | Status::Ended),
                Purpose::Seed => stats.pieces_have == stats.pieces,
                Purpose::Save(_) => false,
            };
            if let (Purpose::Seed, Some(metainfo)) = (&self.purpose, job.handle.metainfo()) {
                // Nothing is wanted of it while it is checked, but that is not what is shown.
                (stats.wanted, stats.wanted_have) = size_and_have(&metainfo, &have);
            }
            screen.json(&Progress {
                v: VERSION,
                r#type: "progress",
                info_hash: &job.info_hash,
                stage: panel::stage_word(stats.stage),
                content: Content {
                    size: stats.wanted,
                    have: stats.wanted_have,
                    held: stats.wanted_have + stats.unverified,
                    unverified: stats.unverified,
                    durable,
                    checked: stats.checked,
                },
                traffic: Traffic {
                    downloaded: stats.downloaded,
                    uploaded: stats.uploaded,
                    wasted: stats.wasted,
                    rate_down: stats.rate_down,
                    rate_up: stats.rate_up,
                    peers: stats.peers,
                    seeds: stats.seeds,
                    web_seeds: stats.web_seeds,
                    swarm: stats.swarm.map(Swarm::of),
                },
                eta: panel::eta(&stats).map(|eta| eta.as_secs()),
            });
            if let (true, Ok(peers)) = (screen.wants_peers(), job.handle.peers().wait_for(PATIENCE)) {
                let peers = peers.iter().map(PeerLine::of).collect();
                screen.json(&Peers { v: VERSION, r#type: "peers", info_hash: &job.info_hash, peers });
            }
            rows.push(Row { name: job.name.clone(), stats, have });
        }
        screen.progress(&rows);
        if let Ok(tally) = self.client.encryption_tally().wait_for(PATIENCE) {
            self.news.tell(screen, tally);
        }
    }
}

impl Purpose {
    /// Whether somebody who has it must be found.
    fn searches(&self) -> bool {
        match self {
            Purpose::Get | Purpose::Save(_) => true,
            Purpose::Seed => false,
        }
    }
}

impl Job {
    fn is_over(&self) -> bool {
        matches!(
            self.status,
            Status::Ended
                | Status::Incomplete(_)
                | Status::Broken(_)
                | Status::Unusable(_)
                | Status::Refused(..)
                | Status::Deserted(_)
        )
    }
}

fn happened<'a>(what: &'static str, job: &'a Job) -> Happened<'a> {
    Happened { v: VERSION, r#type: what, info_hash: Some(&job.info_hash), ..Happened::default() }
}

/// What comes after completion.
fn on_serving(goal: SeedGoal) -> String {
    let ratio =
        goal.ratio_permille.map(|ratio| format!("until {} times its size is given back", ratio_text(ratio)));
    let time = goal.time.map(|time| format!("for {}", Span(time)));
    let until = [ratio, time].into_iter().flatten().collect::<Vec<_>>().join(", or ");
    format!("; serving on {until}; Ctrl-C stops")
}

fn ratio_text(permille: u32) -> String {
    format!("{:.1}", f64::from(permille) / 1000.0)
}

/// Bytes of all files, and of the pieces that are here.
fn size_and_have(metainfo: &Metainfo, have: &Bitfield) -> (u64, u64) {
    let layout = &metainfo.layout;
    (layout.total(), have.iter().map(|piece| u64::from(layout.piece_len(piece))).sum())
}

/// Faults that pass when someone makes room or plugs something in; the session tries again by itself.
fn helps_itself(kind: gannet::DiskErrorKind) -> bool {
    use gannet::DiskErrorKind::{Changed, Denied, Full, Io, ReadOnly, TooManyOpen, Unsupported, Vanished};
    match kind {
        Full | Vanished | TooManyOpen | ReadOnly => true,
        Denied | Changed | Io | Unsupported => false,
    }
}
