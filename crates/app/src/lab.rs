//! `gannet lab`: experiments on simulated swarms, for people, for programs and for browsers. What is asked and what is found is the
//! simulator's (`sim::lab`); here are threads, progress and pictures.

mod bench;
mod hands;
mod json;
mod page;
mod plan;
mod race;
mod ruler;
mod svg;
mod text;

use crate::cli::{Exit, Lab, LabCommand, ListLab, RunLab};
use crate::failure::{Failure, Outcome};
use crate::new_file::{self, Draft};
use crate::quantity::Span;
use crate::show;
use crate::stop::Stop;
use crate::words::count;
use bench::Done;
use plan::Plan;
use sim::lab::{Ask, EXPERIMENTS, Experiment};
use std::path::Path;
use std::time::Duration;

/// What takes longer is told beforehand how long it takes.
const WORTH_SAYING: Duration = Duration::from_secs(20);

/// Findings of one run that are shown: the first ones tell what the others follow from.
const FINDINGS_SHOWN: usize = 5;

/// Runs the command.
pub(crate) fn run(args: &Lab) -> Outcome {
    match &args.command {
        LabCommand::List(args) => list(args),
        LabCommand::Run(args) => experiment(args),
        LabCommand::Race(args) => race::run(args),
    }
}

fn list(args: &ListLab) -> Outcome {
    let plans = EXPERIMENTS.iter().map(|experiment| (experiment, Plan::of(experiment, &Ask::default())));
    let plans: Vec<(&Experiment, Option<Plan>)> = plans.map(|(it, plan)| (it, plan.ok())).collect();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    show::print(&match args.json {
        true => json::list(&plans, threads)?,
        false => text::list(&plans, threads),
    })?;
    Ok(Exit::Done)
}

fn experiment(args: &RunLab) -> Outcome {
    let (experiment, ask) = (args.experiment, args.ask());
    let threads = args.hands.threads().get();
    let plan = Plan::of(experiment, &ask).map_err(|why| {
        let advice =
            "`gannet lab list` says what each is made for; without --peers and --size it runs as it is set";
        Failure::plain(format!("{} cannot be asked that: {why}; {advice}", experiment.name))
    })?;
    // What cannot be written is said before anybody waits for it.
    let page = args.html.as_deref().map(Draft::at).transpose()?;
    let pictures = args.svg.as_deref().map(folder).transpose()?;
    let stop = Stop::for_a_demonstration()?;
    let takes = plan.takes(threads);
    if takes >= WORTH_SAYING {
        let runs = count(plan.runs as u64, "run");
        let on = count(threads as u64, "thread");
        show::message(&format!("{}: {runs}, about {} on {on}", experiment.name, Span(takes)));
    }
    let Some(done) = bench::ask(experiment, &ask, &plan, threads, &stop)? else {
        return Ok(Exit::Interrupted);
    };
    tell(args, &done)?;
    if let Some(page) = page {
        page.write(page::page(experiment, &ask, &done.report).as_bytes())?;
    }
    if let Some(folder) = pictures {
        for (number, chart) in (1..).zip(&done.report.charts) {
            let picture = Draft::at(&folder.join(format!("{}-{number}.svg", experiment.name)))?;
            picture.write(svg::alone(chart).as_bytes())?;
        }
    }
    judge(&done)
}

/// The report, and what it took.
fn tell(args: &RunLab, done: &Done) -> Result<(), Failure> {
    let threads = args.hands.threads().get();
    if args.json {
        return show::print(&json::report(args.experiment, &args.ask(), done, threads)?);
    }
    show::print(&text::report(args.experiment, &done.report))?;
    show::message(&format!("\n{}", text::work(done, threads)));
    Ok(())
}

/// A law that was broken in a run makes its figures worthless, and is a bug of ours.
fn judge(done: &Done) -> Outcome {
    if done.findings.is_empty() {
        return Ok(Exit::Done);
    }
    done.findings.iter().take(FINDINGS_SHOWN).for_each(|finding| show::message(finding));
    let broken = count(done.findings.len() as u64, "law");
    Err(Failure::plain(format!("{broken} broken in these runs: a bug of Gannet, do not trust the figures")))
}

/// A folder to write into.
fn folder(path: &Path) -> Result<&Path, Failure> {
    std::fs::create_dir_all(path).map_err(|error| new_file::unwritable(path, &error))?;
    Ok(path)
}
