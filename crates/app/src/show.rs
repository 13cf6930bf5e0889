//! What a person or a program sees while something runs: a live panel, plain lines, JSON, or nothing.
//!
//! Data goes to standard output (JSON only), messages and pictures to standard error. Nothing is told by colour.

pub(crate) mod json;
pub(crate) mod panel;

use crate::cli::Look;
use crate::failure::Failure;
use crate::fault;
use console::Term;
use indicatif::{ProgressBar, ProgressStyle};
use std::cell::{Cell, RefCell};
use std::io::{ErrorKind, IsTerminal, Write, stderr, stdout};
use std::time::{Duration, Instant};

/// How often plain lines tell of progress.
const PLAIN_EVERY: Duration = Duration::from_secs(5);

/// When they do first: what ends sooner has other news.
const PLAIN_FIRST: Duration = Duration::from_secs(1);

/// Where news and progress go.
pub(crate) enum Screen {
    /// A panel that is redrawn in place.
    Live(Live),
    /// A line now and then.
    Plain { next: Instant },
    /// One JSON object a line.
    Json { unread: Cell<bool>, peers: bool },
    /// Only errors.
    Quiet,
}

/// A panel of lines at the bottom of the terminal, with the cursor behind the last.
#[derive(Default)]
pub(crate) struct Live {
    shown: RefCell<Vec<String>>,
}

impl Screen {
    /// The screen that fits the options and the terminal.
    pub(crate) fn new(look: &Look) -> Screen {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        match look {
            Look { json: true, .. } => Screen::Json { unread: Cell::new(false), peers: false },
            Look { quiet: true, .. } => Screen::Quiet,
            Look { plain: false, .. } if stderr().is_terminal() && !dumb => Screen::Live(Live::default()),
            Look { .. } => Screen::Plain { next: Instant::now() + PLAIN_FIRST },
        }
    }

    /// The same, and of JSON lines also those about peers, if they are wanted.
    pub(crate) fn with_peers(mut self, wanted: bool) -> Screen {
        if let Screen::Json { peers, .. } = &mut self {
            *peers = wanted;
        }
        self
    }

    /// Says something that stays: what happened, for people.
    pub(crate) fn say(&self, line: &str) {
        match self {
            Screen::Live(live) => live.say(line),
            Screen::Plain { .. } => message(line),
            Screen::Json { .. } | Screen::Quiet => {}
        }
    }

    /// Says what must not be missed.
    pub(crate) fn warn(&self, line: &str) {
        match self {
            Screen::Live(live) => live.say(line),
            Screen::Plain { .. } | Screen::Json { .. } | Screen::Quiet => message(line),
        }
    }

    /// Prints a JSON line, if these are wanted.
    pub(crate) fn json<T: serde::Serialize>(&self, line: &T) {
        if let (Screen::Json { unread, .. }, Ok(text)) = (self, serde_json::to_string(line)) {
            // Whole lines at once: whoever reads them sees each as it comes.
            let written = stdout().lock().write_all((text + "\n").as_bytes());
            unread.set(unread.get() || written.is_err());
        }
    }

    /// Whether a person may be reading.
    pub(crate) fn is_for_people(&self) -> bool {
        matches!(self, Screen::Live(_) | Screen::Plain { .. })
    }

    /// Whether a program reads lines of JSON.
    pub(crate) fn is_json(&self) -> bool {
        matches!(self, Screen::Json { .. })
    }

    /// Whether there is a terminal on which a panel stands.
    pub(crate) fn is_live(&self) -> bool {
        matches!(self, Screen::Live(_))
    }

    /// Whether lines about peers are wanted too.
    pub(crate) fn wants_peers(&self) -> bool {
        matches!(self, Screen::Json { peers: true, .. })
    }

    /// Whether the program that read the JSON lines has gone away.
    pub(crate) fn is_unread(&self) -> bool {
        matches!(self, Screen::Json { unread, .. } if unread.get())
    }

    /// Shows how far everything is.
    pub(crate) fn progress(&mut self, rows: &[panel::Row]) {
        let panel = |width, height| panel::screenful(rows, width, height);
        self.picture(panel, || rows.iter().map(panel::plain).collect());
    }

    /// Shows how things stand: lines for a terminal of so many columns and rows, or, now and then, plain sentences.
    pub(crate) fn picture(
        &mut self,
        panel: impl FnOnce(usize, usize) -> Vec<String>,
        sentences: impl FnOnce() -> Vec<String>,
    ) {
        match self {
            Screen::Live(live) => {
                let (height, width) = terminal_size();
                live.draw("", panel(width, height));
                assert!(!fault::is_wanted("panic"), "a test wants to see what a panic leaves behind");
            }
            Screen::Plain { next } => {
                let now = Instant::now();
                if now >= *next {
                    *next = now + PLAIN_EVERY;
                    sentences().iter().for_each(|line| message(line));
                }
            }
            Screen::Json { .. } | Screen::Quiet => {}
        }
    }

    /// Takes the panel away.
    pub(crate) fn end(&mut self) {
        if let Screen::Live(live) = self {
            live.draw("", Vec::new());
        }
    }
}

impl Live {
    /// A line above the panel.
    fn say(&self, line: &str) {
        let shown = self.shown.borrow().clone();
        self.draw(&format!("{line}\n"), shown);
    }

    /// Puts text and lines in the place of what is shown, with one write, so that nothing flickers.
    fn draw(&self, text: &str, lines: Vec<String>) {
        let (_, width) = terminal_size();
        // A terminal that was made narrower has broken lines in two: there are more of them than were drawn.
        let rows = |line: &String| console::measure_text_width(line).div_ceil(width.max(1)).max(1);
        let up: usize = self.shown.borrow().iter().map(rows).sum::<usize>().saturating_sub(1);
        let to_top = if up > 0 { format!("\x1b[{up}A") } else { String::new() };
        let drawn = format!("{to_top}\r\x1b[J{text}{}", lines.join("\n"));
        let _ = stderr().lock().write_all(drawn.as_bytes());
        self.shown.replace(lines);
    }
}

/// Rows and columns of the terminal; 24 and 80 if it does not say.
pub(crate) fn terminal_size() -> (usize, usize) {
    Term::stderr().size_checked().map_or((24, 80), |(rows, columns)| (rows.into(), columns.into()))
}

/// A line on standard error. If nobody is there to read it any more (the terminal was closed), the work goes on.
pub(crate) fn message(line: &str) {
    let _ = stderr().lock().write_all(format!("{line}\n").as_bytes());
}

/// A question on standard error, behind which the answer is typed.
pub(crate) fn prompt(question: &str) {
    let _ = stderr().lock().write_all(format!("{question} ").as_bytes());
}

/// What was asked for, on standard output. Whoever stops reading (`| head`) has seen enough.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    match stdout().lock().write_all(text.as_bytes()).and_then(|()| stdout().flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::plain(format!("cannot write to standard output: {}", crate::words::why(&error))))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A bar for work that goes in steps, with words about how far it is; invisible where there is no terminal.
pub(crate) fn steps(total: u64, what: &str) -> ProgressBar {
    if !stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{prefix} {wide_bar} {msg}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("##.");
    ProgressBar::new(total).with_prefix(what.to_owned()).with_style(style)
}

/// A bar for work whose size is known; invisible when nobody looks.
pub(crate) fn bar(total: u64, what: &str, quiet: bool) -> ProgressBar {
    if quiet || !stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(
        "{msg} {wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
    );
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("##.");
    ProgressBar::new(total).with_message(what.to_owned()).with_style(style)
}
