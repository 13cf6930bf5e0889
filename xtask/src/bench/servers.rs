//! Trackers to be measured, each pinned to one processor, and the load that is put on them from another.
//!
//! All of them at once on this machine's loopback, idle unless it is their turn. Invariant: what answers was built for this run, or is
//! a program of the system.

use crate::interop::gannet;
use crate::lab::process::{Running, output};
use crate::root;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// The server's processor and the load's.
pub(crate) const SERVER_CPU: &str = "1";
const LOAD_CPU: &str = "0";
/// How long a server may take until it listens.
const START_MAX: Duration = Duration::from_secs(30);

/// Who answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// A server of a tracker's sizes with nothing behind it.
    Echo,
    Gannet,
    Opentracker,
    /// `aquatic_udp`, where somebody has built it.
    Aquatic(PathBuf),
}

/// How it is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Protocol {
    Udp,
    Http,
}

/// A server at work.
pub(crate) struct Server {
    pub(crate) kind: Kind,
    pub(crate) running: Running,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Echo => "echo",
            Kind::Gannet => "gannet",
            Kind::Opentracker => "opentracker",
            Kind::Aquatic(_) => "aquatic_udp",
        })
    }
}

impl Kind {
    /// Where it listens.
    pub(crate) fn address(&self) -> &'static str {
        match self {
            Kind::Echo => "127.0.0.1:7001",
            Kind::Gannet => "127.0.0.1:7002",
            Kind::Opentracker => "127.0.0.1:7003",
            Kind::Aquatic(_) => "127.0.0.1:7004",
        }
    }

    /// Starts it for the torrents of this population; its files go to `work`.
    pub(crate) fn start(&self, population: &[String], work: &Path) -> Result<Server> {
        self.start_with(population, work, &[])
    }

    /// The same, with more words on the command line.
    pub(crate) fn start_with(&self, population: &[String], work: &Path, more: &[&str]) -> Result<Server> {
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", SERVER_CPU]);
        match self {
            Kind::Echo => {
                command.arg(load_program()).args(["echo", "--listen", self.address()]);
            }
            Kind::Gannet => {
                // With nothing configured it listens at this machine's addresses alone, which is what is wanted.
                command.arg(gannet()).args(["tracker", "--json", "--listen", self.address()]);
            }
            Kind::Opentracker => {
                // It makes the folder its root, so the list lies there, under a relative name.
                let list = output(Command::new(load_program()).arg("hashes").args(population))?;
                fs::write(work.join("list"), list)?;
                let (ip, port) = self.address().split_once(':').context("address")?;
                command.args(["opentracker", "-i", ip, "-p", port, "-P", port, "-w", "list", "-d"]).arg(work);
            }
            Kind::Aquatic(program) => {
                let settings = work.join("aquatic.toml");
                fs::write(&settings, aquatic_settings(self.address()))?;
                command.arg(program).arg("-c").arg(settings);
            }
        }
        command.args(more);
        let running = Running::start(&self.to_string(), work, &mut command)?;
        let mut server = Server { kind: self.clone(), running };
        server.wait_until_it_answers(population)?;
        Ok(server)
    }
}

/// Statistics off, as they are by default; peers stay for the whole run, and an answer may hold as many as the others'.
fn aquatic_settings(address: &str) -> String {
    format!(
        "socket_workers = 1\n[network]\nuse_ipv4 = true\nuse_ipv6 = false\naddress_ipv4 = \"{address}\"\n\
         [protocol]\nmax_response_peers = 200\n[cleaning]\nmax_peer_age = 7200\n"
    )
}

impl Server {
    /// One question after the other until one is answered.
    fn wait_until_it_answers(&mut self, population: &[String]) -> Result<()> {
        let began = Instant::now();
        loop {
            let mut knock = Command::new(load_program());
            knock.args(["udp", "--server", self.kind.address(), "--echo", "--window", "1"]);
            knock.args(["--seconds", "0.1", "--warm", "0"]).args(population);
            // opentracker refuses torrents until it has read its whole list.
            let answers = output(&mut knock).and_then(|text| last_line(&text));
            if answers.is_ok_and(|answers| number(&answers, "announces").is_ok_and(|count| count > 0.0)) {
                return Ok(());
            }
            if self.running.has_ended()? || began.elapsed() > START_MAX {
                bail!("{} does not answer\n{}", self.kind, self.running.log_tail());
            }
        }
    }

    /// Visitors from the other processor; what they report, their last line. Wrong answers are an error.
    pub(crate) fn load(&self, protocol: Protocol, population: &[String], how: &[&str]) -> Result<Value> {
        let mut load = self.errand(match protocol {
            Protocol::Udp => "udp",
            Protocol::Http => "http",
        });
        load.args(["--pid", &self.running.pid().to_string()]);
        match self.kind {
            Kind::Echo => drop(load.arg("--echo")),
            Kind::Gannet => drop(load.arg("--strict")),
            // They hand seeds to seeds, and opentracker clients to themselves: counted, and forgiven.
            Kind::Opentracker | Kind::Aquatic(_) => {}
        }
        let text = output(load.args(population).args(how)).with_context(|| self.kind.to_string())?;
        last_line(&text)
    }

    /// The visitors' program on the other processor, with this errand.
    pub(crate) fn errand(&self, errand: &str) -> Command {
        self.errand_at(errand, self.kind.address())
    }

    /// The same, to another address at which it listens.
    pub(crate) fn errand_at(&self, errand: &str, at: &str) -> Command {
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", LOAD_CPU]).arg(load_program());
        command.args([errand, "--server", at]);
        command
    }

    /// Announces the whole population once; seconds that it took.
    pub(crate) fn fill(&self, population: &[String]) -> Result<f64> {
        number(&self.load(Protocol::Udp, population, &["--fill", "--seconds", "0"])?, "seconds")
    }

    /// Resident memory now, in bytes.
    pub(crate) fn resident(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.running.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
    }
}

/// The visitors' program.
pub(crate) fn load_program() -> PathBuf {
    root().join("target/release/gannet-load")
}

/// The last line of JSON.
pub(crate) fn last_line(text: &str) -> Result<Value> {
    let line = text.lines().last().context("no report")?;
    serde_json::from_str(line).with_context(|| line.to_owned())
}

/// A figure of a report.
pub(crate) fn number(report: &Value, name: &str) -> Result<f64> {
    report[name].as_f64().with_context(|| format!("no {name} in {report}"))
}
