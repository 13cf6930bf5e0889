//! One client on one host, whoever wrote it: start, ask how far it is, wait until it is complete, stop.

use super::content::gannet;
use super::{aria2, transmission};
use crate::lab::Host;
use crate::lab::process::Running;
use crate::peers;
use anyhow::{Result, bail};
use serde_json::Value;
use std::ffi::OsStr;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

/// Who wrote it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Gannet,
    Libtorrent,
    Transmission,
    Aria2,
}

/// What it is to do.
#[derive(Clone, Copy)]
pub(crate) struct Role<'a> {
    /// The torrent file.
    pub(crate) torrent: &'a Path,
    /// The download folder; whoever has the content there seeds.
    pub(crate) dir: &'a Path,
    /// Where to listen.
    pub(crate) port: u16,
    /// Peers to dial. Transmission and aria2 cannot be told any.
    pub(crate) peers: &'a [SocketAddr],
    /// Go on seeding after completion.
    pub(crate) stay: bool,
}

/// What a case wants otherwise than usual.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings<'a> {
    /// More arguments.
    pub(crate) args: &'a [&'a str],
    /// A magnet link to fetch by, instead of the torrent file.
    pub(crate) magnet: Option<&'a str>,
    /// Find others, and be found, on the network that all hosts share; for gannet and libtorrent. Else cases are apart.
    pub(crate) lsd: bool,
    /// Take part in the DHT that begins at this node; for gannet and libtorrent.
    pub(crate) dht: Option<&'a str>,
    /// Who vouches for what is visited over HTTPS: a file of certificates. Nobody else is believed then.
    pub(crate) authorities: Option<&'a Path>,
    /// For Transmission: what replaces members of its settings.
    pub(crate) json: Option<Value>,
}

/// How far a client is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Status {
    /// Bytes it has.
    pub(crate) done: u64,
    /// Bytes it wants.
    pub(crate) size: u64,
    /// It has everything.
    pub(crate) complete: bool,
}

/// A client at work.
pub(crate) struct Client {
    pub(crate) kind: Kind,
    pub(crate) host: Host,
    pub(crate) running: Running,
    last: Status,
}

impl Settings<'_> {
    /// What a command line says it is to fetch: the link or the file.
    pub(super) fn source<'b>(&'b self, role: &Role<'b>) -> &'b OsStr {
        self.magnet.map_or(role.torrent.as_os_str(), OsStr::new)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Gannet => "gannet",
            Kind::Libtorrent => "libtorrent",
            Kind::Transmission => "transmission",
            Kind::Aria2 => "aria2",
        })
    }
}

impl Client {
    /// Starts a client on a host; its logs and settings go to `work`.
    pub(crate) fn start(kind: Kind, host: Host, name: &str, role: Role<'_>, work: &Path) -> Result<Client> {
        Client::start_with(kind, host, name, role, work, &Settings::default())
    }

    /// The same with settings of its own.
    pub(crate) fn start_with(
        kind: Kind,
        host: Host,
        name: &str,
        role: Role<'_>,
        work: &Path,
        settings: &Settings<'_>,
    ) -> Result<Client> {
        std::fs::create_dir_all(role.dir)?;
        let running = match kind {
            Kind::Gannet => start_gannet(host, name, &role, work, settings)?,
            Kind::Libtorrent => start_libtorrent(host, name, &role, work, settings)?,
            Kind::Transmission => transmission::start(host, name, &role, work, settings)?,
            Kind::Aria2 => aria2::start(host, name, &role, work, settings)?,
        };
        Ok(Client { kind, host, running, last: Status::default() })
    }

    /// How far it is now.
    pub(crate) fn status(&mut self) -> Result<Status> {
        match self.kind {
            Kind::Gannet | Kind::Libtorrent => {
                for line in self.running.new_lines() {
                    if let Some(status) = parse(self.kind, &line)? {
                        self.last = status;
                    }
                }
            }
            Kind::Transmission => self.last = transmission::status(self.host.address(), &self.running)?,
            Kind::Aria2 => self.last = aria2::status(self.host.address(), &self.running)?,
        }
        Ok(self.last)
    }

    /// Waits until it has everything.
    pub(crate) fn wait_complete(&mut self, limit: Duration) -> Result<Status> {
        let end = Instant::now() + limit;
        loop {
            let status = self.status()?;
            if status.complete {
                return Ok(status);
            }
            if self.running.has_ended()? {
                bail!("{} ended early: {status:?}\n{}", self.running.name, self.running.log_tail());
            }
            if Instant::now() > end {
                bail!(
                    "{} is not complete after {limit:?}: {status:?}\n{}",
                    self.running.name,
                    self.running.log_tail()
                );
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Lets it end in order: its last bytes are on disk afterwards.
    pub(crate) fn stop(&mut self) -> Result<()> {
        if self.kind == Kind::Transmission {
            // Its own way out waits long for trackers; a stopped torrent has its files closed.
            transmission::stop_torrent(self.host.address(), &self.running)?;
            return self.running.kill();
        }
        self.running.stop(Duration::from_secs(20))
    }
}

fn start_gannet(
    host: Host,
    name: &str,
    role: &Role<'_>,
    work: &Path,
    settings: &Settings<'_>,
) -> Result<Running> {
    let mut command = host.command(&gannet().to_string_lossy());
    command.args(["get", "--json"]).arg(settings.source(role)).arg("--output").arg(role.dir);
    command.arg("--state").arg(work.join(format!("{name}-state")));
    command.args(["--port", &role.port.to_string()]);
    command.envs(settings.authorities.map(|file| ("SSL_CERT_FILE", file)));
    command.args(settings.args).args((!settings.lsd).then_some("--no-lsd"));
    match settings.dht {
        Some(node) => command.args(["--dht-bootstrap", node]),
        None => command.arg("--no-dht"),
    };
    if role.stay {
        command.args(["--seed-time", "600s"]);
    }
    for peer in role.peers {
        command.args(["--peer", &peer.to_string()]);
    }
    Running::start(name, work, &mut command)
}

fn start_libtorrent(
    host: Host,
    name: &str,
    role: &Role<'_>,
    work: &Path,
    settings: &Settings<'_>,
) -> Result<Running> {
    let mut command = host.command(&peers::python().to_string_lossy());
    command.arg(crate::root().join("xtask/peers/libtorrent_peer.py"));
    match settings.magnet {
        Some(magnet) => command.args(["--magnet", magnet]),
        None => command.arg("--torrent").arg(role.torrent),
    };
    command.arg("--dir").arg(role.dir);
    command.arg("--listen").arg(format!("{}:{}", host.address(), role.port)).args(settings.args);
    command.envs(settings.authorities.map(|file| ("SSL_CERT_FILE", file)));
    command.args(["--set", if settings.lsd { "enable_lsd=1" } else { "enable_lsd=0" }]);
    if let Some(node) = settings.dht {
        command.args(["--dht", node]);
    }
    for peer in role.peers {
        command.args(["--peer", &peer.to_string()]);
    }
    Running::start(name, work, &mut command)
}

/// A status line of ours or of the libtorrent script.
fn parse(kind: Kind, line: &str) -> Result<Option<Status>> {
    let value: Value = match serde_json::from_str(line) {
        Ok(value) => value,
        Err(error) => bail!("{kind} printed what is no JSON: {error}: {line}"),
    };
    if let Some(error) = value["error"].as_str() {
        bail!("{kind}: {error}");
    }
    let number = |key: &str| value[key].as_u64().unwrap_or(0);
    let status = match kind {
        Kind::Libtorrent => {
            let complete = value["seeding"] == true && number("done") == number("size");
            Status { done: number("done"), size: number("size"), complete }
        }
        Kind::Gannet | Kind::Transmission | Kind::Aria2 => {
            if value["type"] != "progress" {
                return Ok(None);
            }
            let (done, size) = (number("have"), number("size"));
            Status { done, size, complete: value["durable"] == true }
        }
    };
    Ok(Some(status))
}
