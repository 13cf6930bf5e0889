//! One side of a share: `gannet share` or `gannet receive` on a host, by what it prints with `--json`.
//!
//! Every line is kept with the moment when it came, so that what is asked for may have been said long before.

use super::Home;
use crate::lab::Host;
use crate::lab::process::Running;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

/// What is said at the beginning: the code, that somebody was found, what is offered.
pub(super) const SOON: Duration = Duration::from_secs(20);

/// A program at work.
pub(super) struct Side {
    pub(super) running: Running,
    /// When it was started.
    pub(super) started: Instant,
    heard: Vec<(Instant, Value)>,
}

impl Side {
    /// Starts `gannet share`; what it keeps goes to `<work>/<name>-state`.
    pub(super) fn share(home: &Home, host: Host, what: &[&Path], work: &Path, more: &[&str]) -> Result<Side> {
        let words = what.iter().map(|path| path.as_os_str()).chain(more.iter().map(OsStr::new));
        Side::start(home, host, "share", "sharer", work, words)
    }

    /// Starts `gannet receive` into a folder, with everything accepted.
    pub(super) fn receive(
        home: &Home,
        host: Host,
        name: &str,
        code: &str,
        into: &Path,
        more: &[&str],
    ) -> Result<Side> {
        let work = into.parent().context("a folder without a parent")?;
        let words = [OsStr::new(code), "--yes".as_ref(), "-o".as_ref(), into.as_os_str()];
        Side::start(home, host, "receive", name, work, words.into_iter().chain(more.iter().map(OsStr::new)))
    }

    fn start<'a>(
        home: &Home,
        host: Host,
        command: &str,
        name: &str,
        work: &Path,
        words: impl Iterator<Item = &'a OsStr>,
    ) -> Result<Side> {
        std::fs::create_dir_all(work)?;
        let mut line = host.command(&home.program.to_string_lossy());
        line.arg(command).args(words).arg("--json").arg("--state").arg(work.join(format!("{name}-state")));
        let started = Instant::now();
        Ok(Side { running: Running::start(name, work, &mut line)?, started, heard: Vec::new() })
    }

    /// The first line of this type: how long after the start it came, and what it says.
    pub(super) fn wait(&mut self, kind: &str, limit: Duration) -> Result<(Duration, Value)> {
        self.wait_where(kind, limit, |_| true)
    }

    /// The first line of this type for which something holds.
    pub(super) fn wait_where(
        &mut self,
        kind: &str,
        limit: Duration,
        holds: impl Fn(&Value) -> bool,
    ) -> Result<(Duration, Value)> {
        let until = Instant::now() + limit;
        let mut at = 0;
        loop {
            if let Some((when, value)) =
                self.heard[at..].iter().find(|(_, line)| line["type"] == kind && holds(line))
            {
                return Ok((when.duration_since(self.started), value.clone()));
            }
            at = self.heard.len();
            let last = || self.heard.last().map(|(_, line)| line.to_string()).unwrap_or_default();
            let line = self.running.next_line(until);
            let (when, line) = line.with_context(|| {
                format!("{}: no line `{kind}`; the last is: {}", self.running.name, last())
            })?;
            let value = serde_json::from_str(&line)
                .with_context(|| format!("{}: no JSON: {line}", self.running.name))?;
            self.heard.push((when, value));
        }
    }

    /// Whether a line of this type has come so far, without waiting for one.
    pub(super) fn has_said(&mut self, kind: &str) -> bool {
        while let Ok((when, line)) = self.running.next_line(Instant::now()) {
            self.heard.extend(serde_json::from_str(&line).ok().map(|value| (when, value)));
        }
        self.heard.iter().any(|(_, line)| line["type"] == kind)
    }

    /// Lines of a type so far.
    pub(super) fn count(&mut self, kind: &str) -> usize {
        self.has_said(kind);
        self.heard.iter().filter(|(_, line)| line["type"] == kind).count()
    }

    /// The latest line of a type so far.
    pub(super) fn latest(&mut self, kind: &str) -> Option<Value> {
        self.has_said(kind);
        self.heard.iter().rev().find(|(_, line)| line["type"] == kind).map(|(_, line)| line.clone())
    }

    /// The code that a sharer says first, and after how long.
    pub(super) fn code(&mut self) -> Result<(Duration, String)> {
        let (after, line) = self.wait("sharing", SOON)?;
        Ok((after, line["code"].as_str().context("`sharing` without a code")?.to_owned()))
    }

    /// The port at which a sharer awaits receivers.
    pub(super) fn port(&mut self) -> Result<u16> {
        let (_, line) = self.wait("sharing", SOON)?;
        let address = line["addresses"][0].as_str().context("`sharing` without addresses")?;
        Ok(address.parse::<SocketAddr>().with_context(|| address.to_owned())?.port())
    }

    /// Its exit code, when it has ended by itself.
    pub(super) fn exit_code(&mut self, limit: Duration) -> Result<Option<i32>> {
        let until = Instant::now() + limit;
        while let Ok((when, line)) = self.running.next_line(until) {
            self.heard.extend(serde_json::from_str(&line).ok().map(|value| (when, value)));
        }
        let left = until.saturating_duration_since(Instant::now()).max(Duration::from_secs(1));
        Ok(self.running.wait_status(left)?.code())
    }

    /// Ends it in order, as a signal does.
    pub(super) fn stop(&mut self) -> Result<()> {
        self.running.stop(Duration::from_secs(20))
    }

    /// A number of its latest `progress`.
    pub(super) fn progress(&mut self, key: &str) -> u64 {
        self.latest("progress").and_then(|line| line[key].as_u64()).unwrap_or(0)
    }

    /// Seconds of processor time so far.
    pub(super) fn cpu(&self) -> Result<f64> {
        Ok(self.running.cost()?.cpu)
    }
}

/// From when a receiver has its first byte until it has everything, safely.
pub(super) fn transfer(receiver: &mut Side, limit: Duration) -> Result<Transfer> {
    let (began, _) = receiver.wait("began", SOON)?;
    let (finished, _) = receiver.wait("finished", limit)?;
    ensure!(finished >= began, "it finished before it began");
    Ok(Transfer { began, finished })
}

/// When a transfer began and was finished, after the start of the receiver.
#[derive(Clone, Copy)]
pub(super) struct Transfer {
    pub(super) began: Duration,
    pub(super) finished: Duration,
}

impl Transfer {
    pub(super) fn seconds(self) -> f64 {
        (self.finished - self.began).as_secs_f64()
    }
}
