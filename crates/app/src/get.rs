//! `gannet get` and `gannet seed`: torrents at work until their goal or a signal.

mod encryption;
mod run;
mod saving;
mod sources;

use crate::cli::{Exit, Get, Goal, Net, Seed};
use crate::failure::{Failure, Outcome};
use crate::follow;
use crate::notices;
use crate::peers;
use crate::room::Room;
use crate::selection;
use crate::show::Screen;
use crate::show::json::{Listening, VERSION};
use crate::source::{self, Given, Torrent};
use crate::stop::Stop;
use crate::words::{shell, why};
use encryption::EncryptionNews;
use gannet::dht::DhtConfig;
use gannet::{
    AddError, AddOptions, Allocation, ChooseFiles, Client, ClientConfig, Metainfo, Priority, SeedGoal,
    SuperSeeding,
};
use run::{Learned, Purpose, Run};
use saving::Saving;
use sources::Finders;
use std::io::{IsTerminal, stderr, stdin};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use wire::magnet::MutableLink;

/// Ports tried after the wished one.
const PORTS_MORE: u16 = 20;

/// `gannet get`.
pub(crate) fn get(args: &Get) -> Outcome {
    let stop = Stop::on_signals()?;
    let notices = notices::listen();
    let mut screen = Screen::new(&args.show.look).with_peers(args.show.json_peers);
    let peers = peers::addresses(&args.net.peer)?;
    let saving = Saving::of(args)?;
    let client = start(&args.net, SuperSeeding::Auto, &args.output, &screen)?;
    let goal = goal(&args.goal).or_else(|| custom(args, &screen));
    let news = EncryptionNews::new(args.net.encryption.policy());
    let purpose = saving.map_or(Purpose::Get, Purpose::Save);
    let mut run = Run::new(&client, purpose, goal, &stop, notices, news);
    run.patience = args.wait.map(|span| span.0);
    run.finders = Finders { lsd: !args.net.no_lsd, dht: !args.net.no_dht };
    let room = Room::at(&args.output).into_check();
    for given in &args.torrents {
        let patience = args.wait.map(|span| span.0);
        let newest = |link: &MutableLink| follow::newest(link, &client, &stop, patience, &screen);
        let given = source::find(given, &client, newest)?;
        let options = AddOptions {
            output_dir: Some(absolute(&args.output)?),
            sequential: args.sequential,
            peers: peers.clone(),
            seed_goal: goal.unwrap_or_default(),
            allocation: if args.allocate { Allocation::Full } else { Allocation::default() },
            room: Some(room.clone()),
            ..AddOptions::default()
        };
        get_one(&mut run, &screen, given, options, &args.select)?;
    }
    let outcome = run.until_done(&mut screen);
    screen.end();
    outcome
}

/// `gannet seed`.
pub(crate) fn seed(args: &Seed) -> Outcome {
    let stop = Stop::on_signals()?;
    let notices = notices::listen();
    let mut screen = Screen::new(&args.show.look).with_peers(args.show.json_peers);
    let peers = peers::addresses(&args.net.peer)?;
    if !args.data.is_dir() {
        let what =
            format!("{} is no folder; --data names the one that holds the content", args.data.display());
        return Err(Failure::new(Exit::Disk, what));
    }
    let client = start(&args.net, args.super_seed.mode(), &args.data, &screen)?;
    let news = EncryptionNews::new(args.net.encryption.policy());
    let mut run = Run::new(&client, Purpose::Seed, goal(&args.goal), &stop, notices, news);
    for given in &args.torrents {
        let torrent = source::read_or_fetch(given, &client)?;
        if let Some(folder) = source::folder_meant(&torrent.metainfo, &args.data) {
            let name = &torrent.metainfo.name.original;
            let what = format!("--data names the folder around {name}; try --data {}", shell(&folder));
            return Err(Failure::new(Exit::NotComplete, what));
        }
        let files = torrent.metainfo.layout.files() as usize;
        let options = AddOptions {
            output_dir: Some(absolute(&args.data)?),
            // Nothing is wanted until all is found to be here: a seed creates no file.
            priorities: vec![Priority::Skip; files],
            peers: peers.clone(),
            seed_goal: goal(&args.goal).unwrap_or_default(),
            ..AddOptions::default()
        };
        add(&mut run, &screen, &torrent, options)?;
    }
    let outcome = run.until_done(&mut screen);
    screen.end();
    outcome
}

/// Adds a torrent of which the wanted files are chosen now, or when it is known which there are.
fn get_one(
    run: &mut Run<'_>,
    screen: &Screen,
    given: Given,
    mut options: AddOptions,
    select: &[String],
) -> Result<(), Failure> {
    match given {
        Given::Torrent(torrent) => {
            if let Purpose::Save(saving) = &run.purpose {
                saving.save(&torrent.bytes)?;
                screen.say(&format!("{}: {}", torrent.metainfo.name.original, saving.done()));
                return Ok(());
            }
            options.priorities = selection::priorities(&torrent.metainfo, select).map_err(Failure::plain)?;
            add(run, screen, &torrent, options)
        }
        Given::Magnet { given, magnet } => {
            let learned = Learned::default();
            if let Purpose::Save(_) = run.purpose {
                // Nothing of it is wanted, so nothing is created; and what an earlier run has of it stays where it is.
                options.output_dir = None;
                let none = |metainfo: &Metainfo| Ok(vec![Priority::Skip; metainfo.layout.files() as usize]);
                options.choose = Some(ChooseFiles::by(none));
            } else if !select.is_empty() {
                let (select, learned) = (select.to_vec(), learned.clone());
                options.choose = Some(ChooseFiles::by(move |metainfo| {
                    // Of what is refused nothing else tells the name.
                    let _ = learned.set(metainfo.name.original.to_string());
                    selection::priorities(metainfo, &select)
                }));
            }
            let added = run.add_magnet(screen, &given, &magnet, options, learned);
            added.map_err(|error| not_added(&magnet.info_hash.to_string(), error))
        }
    }
}

fn add(run: &mut Run<'_>, screen: &Screen, torrent: &Torrent, options: AddOptions) -> Result<(), Failure> {
    run.add(screen, torrent, options).map_err(|error| not_added(&torrent.given, error))
}

fn not_added(given: &str, error: AddError) -> Failure {
    match error {
        // It names the torrent itself.
        AddError::Room(why) => Failure::new(Exit::Disk, why),
        AddError::Metainfo(_)
        | AddError::Known(_)
        | AddError::SamePlace { .. }
        | AddError::Priorities { .. }
        | AddError::Ranges { .. }
        | AddError::Misplaced(_)
        | AddError::Choice(_)
        | AddError::WouldTell(_)
        | AddError::WouldLookUp(_)
        | AddError::Secret(_)
        | AddError::NotSecret(_)
        | AddError::State(_)
        | AddError::Stopped => Failure::plain(format!("{given}: {error}")),
    }
}

fn start(net: &Net, super_seeding: SuperSeeding, output: &Path, screen: &Screen) -> Result<Client, Failure> {
    let state = match &net.state {
        Some(dir) => dir.clone(),
        None => default_state_dir()?,
    };
    // Peers and files need one descriptor each; the usual 1,024 are soon gone.
    os::limits::raise_open_files();
    let mut config = ClientConfig::new(state, output);
    config.listen.ports = net.port..=net.port.saturating_add(PORTS_MORE);
    match net.bind {
        Some(IpAddr::V4(ip)) => (config.listen.ipv4, config.listen.ipv6) = (Some(ip), None),
        Some(IpAddr::V6(ip)) => (config.listen.ipv4, config.listen.ipv6) = (None, Some(ip)),
        None => {}
    }
    config.limits.unchoke_slots = net.slots.unwrap_or(config.limits.unchoke_slots);
    config.encryption = gannet::Encryption::both(net.encryption.policy());
    config.local_discovery = !net.no_lsd;
    config.dht = dht(net);
    config.record.clone_from(&net.record);
    config.session.super_seeding = super_seeding;
    config.limits.up = net.max_up.map(|rate| rate.0);
    config.limits.down = net.max_down.map(|rate| rate.0);
    let client = Client::start(config).map_err(Failure::plain)?;
    screen.say(&match client.local_addrs().first().map(SocketAddr::port) {
        Some(port) if port == net.port || net.port == 0 => format!("listening on port {port}"),
        Some(port) => format!("port {} is taken; listening on port {port}", net.port),
        None => "not listening: peers cannot reach us, we reach them".into(),
    });
    screen.json(&Listening {
        v: VERSION,
        r#type: "listening",
        addresses: client.local_addrs().iter().map(SocketAddr::to_string).collect(),
        peer_id: client.peer_id().to_string(),
    });
    Ok(client)
}

/// How to take part in the DHT, if at all.
fn dht(net: &Net) -> Option<DhtConfig> {
    let mut dht = DhtConfig::default();
    if !net.dht_bootstrap.is_empty() {
        dht.routers.clone_from(&net.dht_bootstrap);
    }
    (!net.no_dht).then_some(dht)
}

/// Whoever looks on gives back as much as they took, unless they say otherwise; a program that waits wants to go on.
fn custom(args: &Get, screen: &Screen) -> Option<SeedGoal> {
    let person = stdin().is_terminal() && stderr().is_terminal() && screen.is_for_people();
    (person && !args.no_seed).then_some(SeedGoal { ratio_permille: Some(1000), time: None })
}

/// Where the XDG base directory specification puts what a program remembers.
pub(crate) fn default_state_dir() -> Result<PathBuf, Failure> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")));
    base.map(|base| base.join("gannet")).ok_or_else(|| {
        Failure::plain(
            "there is no place to remember progress: HOME is not set; name a folder with --state DIR",
        )
    })
}

pub(crate) fn absolute(dir: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(dir)
        .map_err(|error| Failure::new(Exit::Disk, format!("{}: {}", dir.display(), why(&error))))
}

fn goal(goal: &Goal) -> Option<SeedGoal> {
    let wanted = SeedGoal { ratio_permille: goal.seed_ratio, time: goal.seed_time.map(|span| span.0) };
    (wanted != SeedGoal::default()).then_some(wanted)
}
