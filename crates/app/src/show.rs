//! What a person or a program sees while something runs: a live panel, plain lines, JSON, or nothing.
//!
//! Data goes to standard output (JSON only), messages and pictures to standard error. Nothing is told by colour.

pub(crate) mod json;
pub(crate) mod panel;

use crate::cli::Show;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// How often plain lines tell of progress.
const PLAIN_EVERY: Duration = Duration::from_secs(5);

/// Where news and progress go.
pub(crate) enum Screen {
    /// A panel that is redrawn in place.
    Live(ProgressBar),
    /// A line now and then.
    Plain { last: Option<Instant> },
    /// One JSON object a line.
    Json,
    /// Only errors.
    Quiet,
}

impl Screen {
    /// The screen that fits the options and the terminal.
    pub(crate) fn new(show: &Show) -> Screen {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        match show {
            Show { json: true, .. } => Screen::Json,
            Show { quiet: true, .. } => Screen::Quiet,
            Show { plain: false, .. } if std::io::stderr().is_terminal() && !dumb => {
                let panel = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(8));
                let style =
                    ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
                Screen::Live(panel.with_style(style))
            }
            Show { .. } => Screen::Plain { last: None },
        }
    }

    /// Says something that stays: what happened, for people.
    pub(crate) fn say(&self, line: &str) {
        match self {
            Screen::Live(panel) => panel.suspend(|| eprintln!("{line}")),
            Screen::Plain { .. } => eprintln!("{line}"),
            Screen::Json | Screen::Quiet => {}
        }
    }

    /// Says what must not be missed, in every mode but JSON, which has its own words.
    pub(crate) fn warn(&self, line: &str) {
        match self {
            Screen::Live(panel) => panel.suspend(|| eprintln!("{line}")),
            Screen::Plain { .. } | Screen::Quiet => eprintln!("{line}"),
            Screen::Json => {}
        }
    }

    /// Prints a JSON line, if these are wanted.
    pub(crate) fn json<T: serde::Serialize>(&self, line: &T) {
        if let (Screen::Json, Ok(text)) = (self, serde_json::to_string(line)) {
            println!("{text}");
        }
    }

    /// Shows how far everything is.
    pub(crate) fn progress(&mut self, rows: &[panel::Row]) {
        match self {
            Screen::Live(bar) => {
                let width = console_width();
                let lines: Vec<String> = rows.iter().flat_map(|row| panel::lines(row, width)).collect();
                bar.set_message(lines.join("\n"));
                bar.tick();
            }
            Screen::Plain { last } => {
                let now = Instant::now();
                if last.is_none_or(|last| now.duration_since(last) >= PLAIN_EVERY) {
                    *last = Some(now);
                    rows.iter().for_each(|row| eprintln!("{}", panel::plain(row)));
                }
            }
            Screen::Json | Screen::Quiet => {}
        }
    }

    /// Takes the panel away.
    pub(crate) fn end(&mut self) {
        if let Screen::Live(bar) = self {
            bar.finish_and_clear();
        }
    }
}

/// Columns of the terminal; 80 if it does not say.
fn console_width() -> usize {
    console::Term::stderr().size_checked().map_or(80, |(_, columns)| usize::from(columns))
}

/// A bar for work whose size is known; invisible when nobody looks.
pub(crate) fn bar(total: u64, what: &str, quiet: bool) -> ProgressBar {
    if quiet || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(
        "{msg} {wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
    );
    let bar = ProgressBar::new(total).with_message(what.to_owned());
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
