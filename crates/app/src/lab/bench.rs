//! Carries the runs of an experiment out, shared out among threads: whoever is free takes the next one. Each comes to the same
//! whoever does it, and a run's place among the others is kept, so the report is the same for any number of threads.

use super::plan::Plan;
use crate::failure::Failure;
use crate::quantity::Span;
use crate::show;
use crate::stop::Stop;
use crate::words::count;
use indicatif::ProgressBar;
use sim::Figures;
use sim::lab::{Ask, Experiment, Report, Run};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

/// How often it is looked whether someone wants the end, and the time that is left is told anew.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// An experiment that was carried out.
pub(super) struct Done {
    pub(super) report: Report,
    /// What happened in all runs, in the engines' own units.
    pub(super) events: u64,
    /// How long it took.
    pub(super) took: Duration,
    /// Laws that were broken, in words.
    pub(super) findings: Vec<String>,
}

pub(super) enum News {
    /// A run of so many steps is done.
    Run { steps: u64, events: u64, findings: Vec<String> },
    /// All are.
    Report(Report),
}

/// Asks; nothing if someone wants the end before there is an answer.
pub(super) fn ask(
    experiment: &'static Experiment,
    ask: &Ask,
    plan: &Plan,
    threads: usize,
    stop: &Stop,
) -> Result<Option<Done>, Failure> {
    let (sender, news) = mpsc::channel();
    let (ask, began) = (*ask, Instant::now());
    // Who wants the end does not wait for a run: this thread then ends with the process.
    std::thread::spawn(move || {
        let report = (experiment.run)(&ask, &mut |runs| side_by_side(&runs, threads, &sender));
        let _ = sender.send(News::Report(report));
    });
    let mut progress = Progress::new(experiment.name, plan, threads, began);
    let (mut events, mut findings) = (0, Vec::new());
    loop {
        match news.recv_timeout(LOOK_EVERY) {
            Ok(News::Run { steps, events: more, findings: found }) => {
                events += more;
                findings.extend(found);
                progress.run_done(steps);
            }
            Ok(News::Report(report)) => {
                progress.end();
                return Ok(Some(Done { report, events, took: began.elapsed(), findings }));
            }
            Err(RecvTimeoutError::Timeout) if stop.asked() => {
                progress.end();
                return Ok(None);
            }
            Err(RecvTimeoutError::Timeout) => progress.tell(),
            Err(RecvTimeoutError::Disconnected) => {
                progress.end();
                let broke = "the experiment broke off: a bug of Gannet; the lines above say where";
                return Err(Failure::plain(broke));
            }
        }
    }
}

/// What each run came to, in the order of the runs.
pub(super) fn side_by_side(runs: &[Run], threads: usize, news: &Sender<News>) -> Vec<Figures> {
    let (next, (sender, receiver)) = (AtomicUsize::new(0), mpsc::channel());
    std::thread::scope(|scope| {
        for _ in 0..threads.min(runs.len()) {
            let (sender, news, next) = (sender.clone(), news.clone(), &next);
            scope.spawn(move || {
                while let Some((place, run)) = {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    runs.get(place).map(|run| (place, run))
                } {
                    // The plan has looked at every world already.
                    let figures = run.run().unwrap_or_else(|why| panic!("{}: {why}", run.swarm.name));
                    let said = |finding| format!("{}, seed {}: {finding}", run.swarm.name, run.swarm.seed);
                    let findings = figures.findings.iter().map(said).collect();
                    let _ =
                        news.send(News::Run { steps: Plan::weight(run), events: figures.events, findings });
                    let _ = sender.send((place, figures));
                }
            });
        }
    });
    drop(sender);
    let mut all: Vec<(usize, Figures)> = receiver.iter().collect();
    all.sort_by_key(|&(place, _)| place);
    all.into_iter().map(|(_, figures)| figures).collect()
}

/// A line on the terminal: how far it is and how long it takes.
struct Progress {
    bar: ProgressBar,
    runs: usize,
    of: usize,
    steps: u64,
    all: u64,
    began: Instant,
    said: Duration,
}

impl Progress {
    fn new(name: &str, plan: &Plan, threads: usize, began: Instant) -> Progress {
        let bar = show::steps(plan.steps(), name);
        let progress = Progress {
            bar,
            runs: 0,
            of: plan.runs,
            steps: 0,
            all: plan.steps(),
            began,
            said: plan.takes(threads),
        };
        progress.tell();
        progress
    }

    fn run_done(&mut self, steps: u64) {
        self.runs += 1;
        self.steps += steps;
        self.tell();
    }

    fn tell(&self) {
        self.bar.set_position(self.steps);
        let runs = count(self.of as u64, "run");
        self.bar.set_message(format!("{} of {runs}, {}", self.runs, left(self.left())));
    }

    /// How long it will go on: as fast as it went so far, or as was thought before anything was done.
    fn left(&self) -> Duration {
        let past = self.began.elapsed();
        let rest = self.all.saturating_sub(self.steps);
        match self.steps {
            0 => self.said.saturating_sub(past),
            steps => Duration::from_secs_f64(past.as_secs_f64() * rest as f64 / steps as f64),
        }
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}

fn left(span: Duration) -> String {
    format!("about {} left", Span(span.max(Duration::from_secs(1))))
}
