//! A member of the swarm: a `gannet` of its own, with a folder and a memory of its own. What it prints is told as news.
//!
//! Invariant: when this value is gone, so is the process, whatever way that came about.

use super::news::{News, Said};
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::SyncSender;

/// A process at work.
pub(super) struct Member {
    child: Child,
}

impl Member {
    /// Starts this very program with these words, on this machine alone. Its messages for people go into `log`.
    pub(super) fn start(
        number: usize,
        words: &[&str],
        state: &Path,
        log: &Path,
        news: SyncSender<News>,
    ) -> io::Result<Member> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(words).args(["--json", "--json-peers", "--port", "0", "--bind", "127.0.0.1"]);
        command.arg("--state").arg(state);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(log)?);
        let mut child = command.spawn()?;
        let lines = child.stdout.take();
        let member = Member { child };
        std::thread::Builder::new().name("demo-member".into()).spawn(move || {
            let lines = lines.map(BufReader::new).into_iter().flat_map(BufReader::lines);
            for said in lines.map_while(Result::ok).filter_map(|line| Said::parse(&line)) {
                if news.send(News::Said(number, said)).is_err() {
                    return;
                }
            }
            let _ = news.send(News::Left(number));
        })?;
        Ok(member)
    }

    /// Ends it without a word, as a power cut would.
    pub(super) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.kill();
    }
}
