//! `gannet get` and `gannet seed`: torrents at work until their goal or a signal.

mod run;
mod stop;

use crate::cli::{Exit, Get, Goal, Net, Seed};
use crate::failure::{Failure, Outcome};
use crate::selection;
use crate::show::Screen;
use crate::source::{self, Torrent};
use gannet::{AddOptions, Allocation, Client, ClientConfig, Priority, SeedGoal};
use run::{Purpose, Run};
use std::path::{Path, PathBuf};
use stop::Stop;

/// Ports tried after the wished one.
const PORTS_MORE: u16 = 20;

/// `gannet get`.
pub(crate) fn get(args: &Get) -> Outcome {
    let stop = Stop::on_signals()?;
    let mut screen = Screen::new(&args.show);
    let client = start(&args.net, &args.output)?;
    let mut run = Run::new(&client, Purpose::Get, goal(&args.goal), &stop);
    for given in &args.torrents {
        let torrent = source::read_or_fetch(given, &client)?;
        let priorities = selection::priorities(&torrent.metainfo, &args.select).map_err(Failure::plain)?;
        let options = AddOptions {
            output_dir: Some(absolute(&args.output)?),
            priorities,
            sequential: args.sequential,
            peers: args.net.peer.clone(),
            seed_goal: goal(&args.goal).unwrap_or_default(),
            allocation: if args.allocate { Allocation::Full } else { Allocation::default() },
            ..AddOptions::default()
        };
        add(&mut run, &screen, &torrent, options)?;
    }
    let outcome = run.until_done(&mut screen);
    screen.end();
    outcome
}

/// `gannet seed`.
pub(crate) fn seed(args: &Seed) -> Outcome {
    let stop = Stop::on_signals()?;
    let mut screen = Screen::new(&args.show);
    let client = start(&args.net, &args.data)?;
    let mut run = Run::new(&client, Purpose::Seed, goal(&args.goal), &stop);
    for given in &args.torrents {
        let torrent = source::read_or_fetch(given, &client)?;
        let files = torrent.metainfo.layout.files() as usize;
        let options = AddOptions {
            output_dir: Some(absolute(&args.data)?),
            // Nothing is wanted until all is found to be here: a seed creates no file.
            priorities: vec![Priority::Skip; files],
            peers: args.net.peer.clone(),
            seed_goal: goal(&args.goal).unwrap_or_default(),
            ..AddOptions::default()
        };
        add(&mut run, &screen, &torrent, options)?;
    }
    let outcome = run.until_done(&mut screen);
    screen.end();
    outcome
}

fn add(run: &mut Run<'_>, screen: &Screen, torrent: &Torrent, options: AddOptions) -> Result<(), Failure> {
    run.add(screen, &torrent.bytes, options)
        .map_err(|error| Failure::plain(format!("{}: {error}", torrent.given)))
}

fn start(net: &Net, output: &Path) -> Result<Client, Failure> {
    let state = match &net.state {
        Some(dir) => dir.clone(),
        None => default_state_dir()?,
    };
    let mut config = ClientConfig::new(state, output);
    config.listen.ports = net.port..=net.port.saturating_add(PORTS_MORE);
    config.limits.up = net.max_up.map(|rate| rate.0);
    config.limits.down = net.max_down.map(|rate| rate.0);
    Client::start(config).map_err(Failure::plain)
}

/// Where the XDG base directory specification puts what a program remembers.
fn default_state_dir() -> Result<PathBuf, Failure> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")));
    base.map(|base| base.join("gannet")).ok_or_else(|| {
        Failure::plain(
            "there is no place to remember progress: HOME is not set; name a folder with --state DIR",
        )
    })
}

fn absolute(dir: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(dir).map_err(|error| Failure::new(Exit::Disk, format!("{}: {error}", dir.display())))
}

fn goal(goal: &Goal) -> Option<SeedGoal> {
    let wanted = SeedGoal { ratio_permille: goal.seed_ratio, time: goal.seed_time.map(|span| span.0) };
    (wanted != SeedGoal::default()).then_some(wanted)
}
