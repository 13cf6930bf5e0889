//! The program on a terminal: `script` gives it one, and a small model of a terminal says what a person would see.
//!
//! The model knows what our displays send (cursor to a place, up, erase, attributes) and panics at anything else, so that
//! nothing is taken for seen that a real terminal would show otherwise.

use crate::program::Place;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Whatever takes longer has failed; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(120);

/// A program on a terminal; killed when it is dropped.
pub(crate) struct OnTerminal {
    child: Child,
    keys: Option<ChildStdin>,
    chunks: Receiver<Vec<u8>>,
    /// How the terminal was set before and after, as `stty` writes it.
    settings: [PathBuf; 2],
    raw: Vec<u8>,
    screen: Screen,
}

/// What is on the screen.
pub(crate) struct Screen {
    cells: Vec<Vec<char>>,
    row: usize,
    column: usize,
    /// The last character filled its line: the next one goes below.
    wrap: bool,
    unfinished: Vec<u8>,
    pub(crate) other_screen: bool,
    pub(crate) cursor_hidden: bool,
    pub(crate) coloured: bool,
}

impl OnTerminal {
    /// Runs the program with these words and this environment on a terminal of this size.
    pub(crate) fn start(
        place: &Place,
        words: &[&str],
        size: (usize, usize),
        env: &[(&str, &str)],
    ) -> OnTerminal {
        let (columns, rows) = size;
        let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
        // The shell outlives a Ctrl-C, as one that a person types into does, and notes how the terminal is set.
        let typed = format!(
            "trap : INT; stty cols {columns} rows {rows}; stty -g > .before; {} {}; code=$?; stty -g > .after; exit $code",
            env!("CARGO_BIN_EXE_gannet"),
            quoted.join(" ")
        );
        let mut command = Command::new("script");
        command.args(["--quiet", "--flush", "--return", "--command", &typed, "/dev/null"]);
        command.current_dir(place.path(".")).env_clear();
        command
            .env("PATH", "/usr/bin:/bin")
            .env("TERM", "xterm-256color")
            .env("LANG", "C")
            .env("SHELL", "/bin/sh");
        command.env("XDG_STATE_HOME", place.path("state")).env("TMPDIR", place.path("."));
        command.envs(env.iter().copied());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (sender, chunks) = channel();
        let mut output = child.stdout.take().unwrap();
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(len) = output.read(&mut chunk) {
                if len == 0 || sender.send(chunk[..len].to_vec()).is_err() {
                    return;
                }
            }
        });
        let keys = child.stdin.take();
        let settings = [".before", ".after"].map(|name| place.path(name));
        OnTerminal { child, keys, chunks, settings, raw: Vec::new(), screen: Screen::new(columns, rows) }
    }

    /// Presses keys.
    pub(crate) fn press(&mut self, keys: &str) {
        self.keys.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until the screen is as wanted.
    pub(crate) fn wait_until(&mut self, what: &str, wanted: impl Fn(&Screen) -> bool) -> &Screen {
        let deadline = Instant::now() + PATIENCE;
        while !wanted(&self.screen) {
            assert!(self.take_in(deadline), "it ended without {what}:\n{}", self.screen.text());
        }
        &self.screen
    }

    /// Waits until this can be read.
    pub(crate) fn wait_for(&mut self, text: &str) -> &Screen {
        self.wait_until(&format!("`{text}`"), |screen| screen.text().contains(text))
    }

    /// Waits until the program has ended; its exit code, and the screen it leaves behind. However it ends, the terminal must be
    /// set as it was: keys are shown as they are typed, lines end where they should.
    pub(crate) fn end(&mut self) -> (Option<i32>, &Screen) {
        let deadline = Instant::now() + PATIENCE;
        while self.take_in(deadline) {}
        let code = self.child.wait().unwrap().code();
        let [before, after] = self.settings.each_ref().map(|path| std::fs::read_to_string(path).unwrap());
        assert_eq!(before, after, "the terminal is not as it was:\n{}", self.screen.text());
        (code, &self.screen)
    }

    /// Makes the terminal as wide as this. The model stays as it is: terminals differ in what they do to old lines.
    pub(crate) fn resize(&self, columns: usize) {
        let ours = |entry: &std::fs::DirEntry| {
            let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            // The name before it may hold blanks, but no closing parenthesis follows.
            let parent = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)?.parse().ok());
            parent == Some(self.child.id())
        };
        let program = std::fs::read_dir("/proc").unwrap().map(Result::unwrap).find(ours).unwrap();
        let terminal = std::fs::read_link(program.path().join("fd/2")).unwrap();
        let resized =
            Command::new("stty").arg("-F").arg(terminal).args(["cols", &columns.to_string()]).status();
        assert!(resized.unwrap().success());
    }

    /// Waits for so many more redraws of a panel; the lines of the last whole one.
    pub(crate) fn panel_after(&mut self, redraws: usize) -> Vec<String> {
        const CLEARED: &str = "\x1b[J";
        let wanted = self.raw().matches(CLEARED).count() + redraws;
        let deadline = Instant::now() + PATIENCE;
        while self.raw().matches(CLEARED).count() <= wanted {
            assert!(self.take_in(deadline), "it ended:\n{}", self.screen.text());
        }
        let raw = self.raw();
        let last_whole = raw.rsplit(CLEARED).nth(1).unwrap();
        // What follows goes back to the panel's top.
        last_whole.split('\x1b').next().unwrap().lines().map(str::to_owned).collect()
    }

    /// Everything that was sent, as it was.
    pub(crate) fn raw(&self) -> String {
        String::from_utf8_lossy(&self.raw).into_owned()
    }

    fn take_in(&mut self, deadline: Instant) -> bool {
        match self.chunks.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(chunk) => {
                self.raw.extend(&chunk);
                self.screen.feed(&chunk);
                true
            }
            Err(RecvTimeoutError::Disconnected) => false,
            Err(RecvTimeoutError::Timeout) => panic!("nothing more came:\n{}", self.screen.text()),
        }
    }
}

impl Drop for OnTerminal {
    fn drop(&mut self) {
        // The terminal is gone, and with it (SIGHUP) whoever sits at it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Screen {
    fn new(columns: usize, rows: usize) -> Screen {
        Screen {
            cells: vec![vec![' '; columns]; rows],
            row: 0,
            column: 0,
            wrap: false,
            unfinished: Vec::new(),
            other_screen: false,
            cursor_hidden: false,
            coloured: false,
        }
    }

    /// Its lines, without blanks at their ends.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.cells.iter().map(|row| row.iter().collect::<String>().trim_end().to_owned()).collect()
    }

    pub(crate) fn text(&self) -> String {
        self.lines().join("\n")
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.unfinished.extend(bytes);
        let bytes = std::mem::take(&mut self.unfinished);
        let text = match std::str::from_utf8(&bytes) {
            Ok(text) => text,
            Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap(),
        };
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let Some(len) = self.take(c, rest) else { break };
            rest = &rest[len..];
        }
        self.unfinished = bytes[text.len() - rest.len()..].to_vec();
    }

    /// Obeys what the text begins with; how long that is, or nothing if its end has not come yet.
    fn take(&mut self, c: char, text: &str) -> Option<usize> {
        match c {
            '\x1b' => return self.escape(text),
            '\r' => (self.column, self.wrap) = (0, false),
            '\n' => self.line_feed(),
            '\x07' => {}
            '\x08' => self.column = self.column.saturating_sub(1),
            c if c.is_control() => panic!("a character {c:?} that the model does not know"),
            c => self.put(c),
        }
        Some(c.len_utf8())
    }

    fn put(&mut self, c: char) {
        if self.wrap {
            self.column = 0;
            self.line_feed();
        }
        self.cells[self.row][self.column] = c;
        self.wrap = self.column + 1 == self.cells[self.row].len();
        self.column += usize::from(!self.wrap);
    }

    fn line_feed(&mut self) {
        self.wrap = false;
        if self.row + 1 < self.cells.len() {
            self.row += 1;
        } else {
            let columns = self.cells[0].len();
            self.cells.remove(0);
            self.cells.push(vec![' '; columns]);
        }
    }

    fn escape(&mut self, text: &str) -> Option<usize> {
        if text.len() < 3 {
            return None;
        }
        let body = text.strip_prefix("\x1b[").unwrap_or_else(|| panic!("not a control sequence: {text:?}"));
        let end = body.find(|c: char| ('@'..='~').contains(&c))?;
        let (parameters, last) = (&body[..end], body.as_bytes()[end]);
        let number = |index: usize, default: usize| {
            parameters.split(';').nth(index).and_then(|number| number.parse().ok()).unwrap_or(default)
        };
        self.wrap = false;
        match (last, parameters) {
            (b'H', _) => {
                self.row = number(0, 1).clamp(1, self.cells.len()) - 1;
                self.column = number(1, 1).clamp(1, self.cells[0].len()) - 1;
            }
            (b'A', _) => self.row = self.row.saturating_sub(number(0, 1)),
            (b'J', "" | "0") => {
                self.cells[self.row][self.column..].fill(' ');
                self.cells[self.row + 1..].iter_mut().for_each(|row| row.fill(' '));
            }
            (b'J', "2") => self.cells.iter_mut().for_each(|row| row.fill(' ')),
            (b'K', "" | "0") => self.cells[self.row][self.column..].fill(' '),
            (b'm', _) => {
                let colours = |word: &str| matches!(word.parse(), Ok(30..=38 | 40..=48 | 90..=107));
                self.coloured |= parameters.split(';').any(colours);
            }
            (b'h', "?1049") => self.other_screen = true,
            (b'l', "?1049") => {
                self.other_screen = false;
                self.cells.iter_mut().for_each(|row| row.fill(' '));
                (self.row, self.column) = (0, 0);
            }
            (b'l', "?25") => self.cursor_hidden = true,
            (b'h', "?25") => self.cursor_hidden = false,
            _ => panic!("a sequence that the model does not know: ESC [ {parameters} {}", char::from(last)),
        }
        Some(end + 3)
    }
}
