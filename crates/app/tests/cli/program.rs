//! The built program in a folder of its own: run to its end, or watched line by line while it works.
//!
//! Always: nothing is waited for by sleeping, and nothing is waited for without an end.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Whatever takes longer has failed; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(120);

/// A folder in which the program is run; all paths of a test are relative to it.
pub(crate) struct Place(TempDir);

/// A run that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: Vec<String>,
    pub(crate) err: Vec<String>,
}

/// A run at work; killed when it is dropped.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<Line>,
    ended: Ended,
}

enum Line {
    Out(String),
    Err(String),
}

impl Place {
    pub(crate) fn new() -> Place {
        Place(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn exists(&self, name: &str) -> bool {
        self.path(name).symlink_metadata().is_ok()
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Writes a file and the folders above it.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// Everything below a folder that is not a folder, in order.
    pub(crate) fn files(&self, folder: &str) -> Vec<String> {
        let mut files = Vec::new();
        let mut folders = vec![self.path(folder)];
        while let Some(at) = folders.pop() {
            for entry in std::fs::read_dir(at).unwrap().map(Result::unwrap) {
                match entry.file_type().unwrap().is_dir() {
                    true => folders.push(entry.path()),
                    false => files.push(relative(&entry.path(), &self.path(folder))),
                }
            }
        }
        files.sort_unstable();
        files
    }

    /// The program, with nothing of ours in its environment. Progress is remembered in `state`.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gannet"));
        // Whoever is found is told of: others of these tests, and of other runs, are on the same network, and routers are not for tests.
        let looks_around = matches!(words.first(), Some(&"get" | &"seed"));
        let alone: &[&str] = if looks_around { &["--no-lsd", "--no-dht"] } else { &[] };
        command.args(words).args(alone).current_dir(self.0.path()).env_clear();
        command.env("XDG_STATE_HOME", self.path("state")).stdin(Stdio::null());
        command
    }

    pub(crate) fn start(&self, words: &[&str]) -> Running {
        Running::start(&mut self.command(words))
    }

    pub(crate) fn run(&self, words: &[&str]) -> Ended {
        self.start(words).end()
    }

    /// The same for what takes part in a DHT of the test's own.
    pub(crate) fn run_with_dht(&self, words: &[&str]) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gannet"));
        command.args(words).current_dir(self.0.path()).env_clear();
        command.env("XDG_STATE_HOME", self.path("state")).stdin(Stdio::null());
        Running::start(&mut command).end()
    }

    /// Makes a torrent; it must work.
    pub(crate) fn create(&self, words: &[&str]) {
        let made = self.run(&[&["create"], words].concat());
        assert_eq!(made.code, Some(0), "{made:?}");
    }

    /// Serves a torrent whose content lies in this folder; the address to fetch it from.
    pub(crate) fn seed(&self, torrent: &str, data: &str) -> (Running, String) {
        let words = ["seed", torrent, "--data", data, "--port", "0", "--state", "state-of-the-seed"];
        let mut seed = self.start(&words);
        let port = seed.wait_for("listening on port ");
        let port = port.rsplit(' ').next().unwrap().to_owned();
        seed.wait_for("complete, ");
        (seed, format!("127.0.0.1:{port}"))
    }
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Running {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = channel();
        read(child.stdout.take().unwrap(), sender.clone(), Line::Out);
        read(child.stderr.take().unwrap(), sender, Line::Err);
        Running { child, lines, ended: Ended { code: None, out: Vec::new(), err: Vec::new() } }
    }

    /// The next line with this in it.
    pub(crate) fn wait_for(&mut self, wanted: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.next(deadline) {
                Some(line) if line.contains(wanted) => return line,
                Some(_) => {}
                None => panic!("it ended without `{wanted}`: {:?}", self.ended),
            }
        }
    }

    /// The next JSON line of this type.
    pub(crate) fn wait_for_type(&mut self, wanted: &str) -> Value {
        let line = self.wait_for(&format!(r#""type":"{wanted}""#));
        serde_json::from_str(&line).unwrap()
    }

    /// Waits until it has ended.
    pub(crate) fn end(mut self) -> Ended {
        let deadline = Instant::now() + PATIENCE;
        while self.next(deadline).is_some() {}
        self.ended.code = self.child.wait().unwrap().code();
        std::mem::replace(&mut self.ended, Ended { code: None, out: Vec::new(), err: Vec::new() })
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name (INT, TERM, ...).
    pub(crate) fn signal(&self, name: &str) {
        let script = format!("kill -s {name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
    }

    /// The next line, or `None` after the last.
    fn next(&mut self, deadline: Instant) -> Option<String> {
        match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(Line::Out(line)) => {
                self.ended.out.push(line.clone());
                Some(line)
            }
            Ok(Line::Err(line)) => {
                self.ended.err.push(line.clone());
                Some(line)
            }
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("nothing more came: {:?}", self.ended),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// The last word on standard error.
    pub(crate) fn last_word(&self) -> &str {
        self.err.last().map_or("", String::as_str)
    }

    /// Standard output as JSON lines.
    pub(crate) fn json(&self) -> Vec<Value> {
        let parse =
            |line: &String| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        self.out.iter().map(parse).collect()
    }

    /// The first JSON line of this type.
    pub(crate) fn json_of(&self, wanted: &str) -> Value {
        let found = self.json().into_iter().find(|line| line["type"] == wanted);
        found.unwrap_or_else(|| panic!("no `{wanted}` in {self:?}"))
    }
}

/// Bytes that look random and are the same every time.
pub(crate) fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

fn relative(path: &Path, root: &Path) -> String {
    path.strip_prefix(root).unwrap().to_str().unwrap().to_owned()
}

fn read(from: impl Read + Send + 'static, sender: Sender<Line>, line: fn(String) -> Line) {
    std::thread::spawn(move || {
        for text in BufReader::new(from).lines().map_while(Result::ok) {
            if sender.send(line(text)).is_err() {
                return;
            }
        }
    });
}
