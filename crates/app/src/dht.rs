//! `gannet dht`: a node for as long as a question takes, and what it finds. What is found goes to standard output, how it went to
//! standard error.

mod items;
mod key;
mod lines;
mod search;

use crate::cli::{Asking, Dht, DhtCommand, Exit, Node, RunNode, Stats};
use crate::failure::{Failure, Outcome};
use crate::get::default_state_dir;
use crate::show;
use crate::show::json;
use crate::stop::Stop;
use gannet::dht::{DhtConfig, DhtFound, Finding, Goal, Report};
use gannet::{Client, ClientConfig, RecvError};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Where a node is expected that others begin at.
const NODE_PORT: u16 = 6881;

/// How often a node that is being run says how it is.
const NEWS_INTERVAL: Duration = Duration::from_secs(10);

/// How often a node that is being run looks whether it has been heard, at first.
const GLANCE_AT_FIRST: Duration = Duration::from_millis(500);

/// How often it is looked whether there is something new.
const GLANCE: Duration = Duration::from_millis(50);

/// Runs the command.
pub(crate) fn run(args: &Dht) -> Outcome {
    match &args.command {
        DhtCommand::Node(args) => run_node(args),
        DhtCommand::GetPeers(args) => search::get_peers(args),
        DhtCommand::Get(args) => items::get(args),
        DhtCommand::Put(args) => items::put(args),
        DhtCommand::Key(args) => key::make(args),
        DhtCommand::Sample(args) => search::sample(args),
        DhtCommand::Stats(args) => stats(args),
    }
}

/// A node of ours, at work.
struct Running {
    client: Client,
    stop: Stop,
    json: bool,
}

/// Whether nodes that ask are answered. Whoever is here for a moment need not be known to others (BEP 43).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manners {
    Answers,
    Asks,
}

impl Running {
    /// Starts a node.
    fn start(args: &Node, port: u16, manners: Manners) -> Result<Running, Failure> {
        let stop = Stop::on_signals()?;
        let state = args.state.clone().map_or_else(default_state_dir, Ok)?;
        let mut config = ClientConfig::new(state, ".");
        let port = args.port.unwrap_or(port);
        config.listen.ports = port..=port;
        match args.bind {
            Some(IpAddr::V4(ip)) => (config.listen.ipv4, config.listen.ipv6) = (Some(ip), None),
            Some(IpAddr::V6(ip)) => (config.listen.ipv4, config.listen.ipv6) = (None, Some(ip)),
            None => {}
        }
        config.local_discovery = false;
        let mut dht = DhtConfig { read_only: manners == Manners::Asks, ..DhtConfig::default() };
        if !args.dht_bootstrap.is_empty() {
            dht.routers.clone_from(&args.dht_bootstrap);
        }
        config.dht = Some(dht);
        let client = Client::start(config).map_err(Failure::plain)?;
        Ok(Running { client, stop, json: args.json })
    }

    /// Starts one and waits until it knows somebody.
    fn reach(args: &Asking, manners: Manners) -> Result<Running, Failure> {
        let running = Running::start(&args.node, 0, manners)?;
        reach(&running.client, &running.stop, args.wait.0)?;
        Ok(running)
    }

    /// Conducts a search; nothing if it was stopped.
    fn search(&self, goal: Goal, told: impl FnMut(Finding)) -> Result<Option<Report>, Failure> {
        search_with(&self.client, &self.stop, goal, told)
    }

    /// Ends in order, so that nodes are remembered.
    fn end(self, exit: Exit) -> Outcome {
        let _ = self.client.shutdown().wait_for(Duration::from_secs(3));
        Ok(if self.stop.asked() { Exit::Interrupted } else { exit })
    }
}

/// Waits until a client's node knows another.
pub(crate) fn reach(client: &Client, stop: &Stop, patience: Duration) -> Result<(), Failure> {
    let began = Instant::now();
    loop {
        let stats = client.dht_stats().wait().map_err(Failure::plain)?;
        // Those that an earlier run knew are nobody before one of them has answered.
        if stats.tally.heard > 0 && stats.nodes.iter().any(|&nodes| nodes > 0) || stop.asked() {
            return Ok(());
        }
        if began.elapsed() >= patience {
            let seconds = patience.as_secs();
            let what = format!(
                "no node of the DHT was reached within {seconds} s: is there a network? To begin at a node that you know: --dht-bootstrap HOST:PORT"
            );
            return Err(Failure::new(Exit::NoSource, what));
        }
        stop.wait(GLANCE);
    }
}

/// Conducts a search of a client's; nothing if it was stopped.
pub(crate) fn search_with(
    client: &Client,
    stop: &Stop,
    goal: Goal,
    mut told: impl FnMut(Finding),
) -> Result<Option<Report>, Failure> {
    let search = client.search_dht(goal).map_err(Failure::plain)?;
    while !stop.asked() {
        match search.recv_timeout(GLANCE) {
            Ok(DhtFound::Finding(finding)) => told(finding),
            Ok(DhtFound::Ended(report)) => return Ok(Some(report)),
            Err(RecvError::TimedOut) => {}
            Err(RecvError::Stopped) => return Err(Failure::plain("the client has stopped")),
        }
    }
    Ok(None)
}

/// `gannet dht node`.
fn run_node(args: &RunNode) -> Outcome {
    let running = Running::start(&args.node, NODE_PORT, Manners::Answers)?;
    let mut next = Instant::now();
    let (mut said, mut known) = (false, 0_u64);
    while !running.stop.asked() {
        let stats = running.client.dht_stats().wait().map_err(Failure::plain)?;
        // The first nodes are news whenever they come.
        let met = known == 0 && stats.tally.heard > 0;
        if Instant::now() >= next || met {
            next = Instant::now() + NEWS_INTERVAL;
            known = stats.tally.heard;
            if running.json {
                json::print(&lines::StatsLine::of(&stats, running.client.local_addrs()))?;
            } else if !said {
                said = true;
                let addresses = running.client.local_addrs().iter().map(ToString::to_string);
                let addresses = addresses.collect::<Vec<_>>().join(" and ");
                show::message(&format!("a node of the DHT at {addresses}; Ctrl-C ends it"));
            } else {
                show::message(&lines::in_words(&stats));
            }
        }
        let until = next.saturating_duration_since(Instant::now());
        running.stop.wait(if known == 0 { until.min(GLANCE_AT_FIRST) } else { until });
    }
    running.end(Exit::Interrupted)
}

/// `gannet dht stats`.
fn stats(args: &Stats) -> Outcome {
    let running = Running::reach(&args.asking, Manners::Asks)?;
    running.stop.wait(args.span.0);
    let stats = running.client.dht_stats().wait().map_err(Failure::plain)?;
    if running.json {
        json::print(&lines::StatsLine::of(&stats, running.client.local_addrs()))?;
    } else {
        show::print(&format!("{}\n", lines::in_words(&stats)))?;
    }
    running.end(Exit::Done)
}
