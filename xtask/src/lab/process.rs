//! Child processes that cannot outlive a test, whose output is read by a thread and whose cost can be asked.

use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// A child with its lines of standard output. Killed when dropped.
pub(crate) struct Running {
    /// For messages.
    pub(crate) name: String,
    child: Child,
    lines: Receiver<(Instant, String)>,
    log: PathBuf,
}

/// What a process has cost so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    /// User and system time in seconds.
    pub(crate) cpu: f64,
    /// Peak resident memory in MiB.
    pub(crate) peak_mib: f64,
}

/// Runs a command to its end; its output is shown only if it fails.
pub(crate) fn run(program: &str, args: &[&str]) -> Result<()> {
    output(Command::new(program).args(args)).map(drop)
}

/// Runs a command to its end and returns its standard output; a failure carries both outputs.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let shown = format!("{command:?}");
    let output = command.stdin(Stdio::null()).output().with_context(|| shown.clone())?;
    ended_well(&shown, output)
}

/// The same for a command that reads.
pub(crate) fn output_of(command: &mut Command, input: &str) -> Result<String> {
    let shown = format!("{command:?}");
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.with_context(|| shown.clone())?;
    child.stdin.take().context("no standard input")?.write_all(input.as_bytes())?;
    ended_well(&shown, child.wait_with_output()?)
}

fn ended_well(shown: &str, output: Output) -> Result<String> {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        bail!("{shown}: {}\n{out}{err}", output.status);
    }
    Ok(out.into_owned())
}

impl Running {
    /// Starts a child; what it says on standard error goes to `<dir>/<name>.log`.
    pub(crate) fn start(name: &str, dir: &Path, command: &mut Command) -> Result<Running> {
        let log = dir.join(format!("{name}.log"));
        let shown = format!("{command:?}");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).with_context(|| log.display().to_string())?)
            .spawn()
            .with_context(|| shown)?;
        let stdout = child.stdout.take().context("no standard output")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
            lines.try_for_each(|line| sender.send((Instant::now(), line)))
        });
        Ok(Running { name: name.into(), child, lines, log })
    }

    /// Waits for a line that `wanted` accepts.
    pub(crate) fn wait_for<T>(
        &mut self,
        limit: Duration,
        mut wanted: impl FnMut(&str) -> Option<T>,
    ) -> Result<T> {
        let end = Instant::now() + limit;
        let mut last = String::new();
        loop {
            let (_, line) = self.next_line(end).with_context(|| format!("last line: {last}"))?;
            match wanted(&line) {
                Some(value) => return Ok(value),
                None => last = line,
            }
        }
    }

    /// The next line, and when it came.
    pub(crate) fn next_line(&mut self, until: Instant) -> Result<(Instant, String)> {
        match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Timeout) => {
                bail!("{}: no further line in time\n{}", self.name, self.log_tail())
            }
            Err(RecvTimeoutError::Disconnected) => bail!("{}: ended early\n{}", self.name, self.log_tail()),
        }
    }

    /// Writes a line to its standard input.
    pub(crate) fn say(&mut self, line: &str) -> Result<()> {
        let stdin = self.child.stdin.as_mut().context("no standard input")?;
        writeln!(stdin, "{line}").and_then(|()| stdin.flush()).with_context(|| self.name.clone())
    }

    /// Closes its standard input.
    pub(crate) fn hang_up(&mut self) {
        drop(self.child.stdin.take());
    }

    /// The lines that have come since the last look.
    pub(crate) fn new_lines(&mut self) -> Vec<String> {
        self.lines.try_iter().map(|(_, line)| line).collect()
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// What it has cost so far.
    pub(crate) fn cost(&self) -> Result<Cost> {
        cost_of(self.pid())
    }

    /// SIGKILL, as a power cut would.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Closes standard input, sends SIGTERM, and waits for the end.
    pub(crate) fn stop(&mut self, limit: Duration) -> Result<()> {
        drop(self.child.stdin.take());
        let _ = run("kill", &["-TERM", &self.pid().to_string()]);
        self.wait_end(limit)
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait_end(&mut self, limit: Duration) -> Result<()> {
        self.wait_status(limit).map(drop)
    }

    /// The same; says how it ended.
    pub(crate) fn wait_status(&mut self, limit: Duration) -> Result<ExitStatus> {
        let end = Instant::now() + limit;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            // Lines must go on flowing, or a child that fills the pipe would never end.
            if let Ok(line) = self.lines.recv_timeout(Duration::from_millis(20)) {
                drop(line);
            }
        }
        self.kill()?;
        bail!("{}: did not end within {limit:?}", self.name)
    }

    /// The end of what it said on standard error.
    pub(crate) fn log_tail(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// How busy all processors of the machine have been so far, whoever used them: busy and all ticks.
pub(crate) fn machine_ticks() -> Result<[u64; 2]> {
    let stat = fs::read_to_string("/proc/stat")?;
    let first = stat.lines().next().context("/proc/stat")?;
    let ticks: Vec<u64> =
        first.split_whitespace().skip(1).take(8).map_while(|word| word.parse().ok()).collect();
    let all: u64 = ticks.iter().sum();
    // The fourth is idle, the fifth waits for disks.
    let idle: u64 = ticks.iter().skip(3).take(2).sum();
    Ok([all - idle, all])
}

/// Reads /proc: user and system ticks (100 a second on every Linux we meet) and the high-water mark.
fn cost_of(pid: u32) -> Result<Cost> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after_name = stat.rsplit_once(") ").context("stat")?.1;
    let fields: Vec<&str> = after_name.split(' ').collect();
    let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    // Who has ended, and was not waited for yet, has its times still but no memory.
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0 kB");
    let kib: f64 = peak.trim().trim_end_matches(" kB").parse()?;
    Ok(Cost { cpu: ticks as f64 / 100.0, peak_mib: kib / 1024.0 })
}
