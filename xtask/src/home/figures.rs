//! The table: what was measured, what it must be, whether it holds.

use std::fmt;

/// Lines of a table, in the order in which they were found.
#[derive(Default)]
pub(super) struct Figures {
    part: &'static str,
    lines: Vec<Line>,
}

struct Line {
    part: &'static str,
    what: String,
    value: String,
    /// What it must be; nothing, if it is only told.
    limit: String,
    holds: bool,
}

impl Figures {
    pub(super) fn of(part: &'static str) -> Figures {
        Figures { part, lines: Vec::new() }
    }

    /// A figure that is only told.
    pub(super) fn note(&mut self, what: impl Into<String>, value: impl Into<String>) {
        self.push(what, value.into(), String::new(), true);
    }

    /// A figure that must not be larger.
    pub(super) fn at_most(&mut self, what: impl Into<String>, value: f64, max: f64, unit: &str) {
        self.push(what, format!("{value:.2}{unit}"), format!("at most {max}{unit}"), value <= max);
    }

    /// A figure that must not be smaller.
    pub(super) fn at_least(&mut self, what: impl Into<String>, value: f64, min: f64, unit: &str) {
        self.push(what, format!("{value:.2}{unit}"), format!("at least {min}{unit}"), value >= min);
    }

    /// Something that must be so; the value says how it was.
    pub(super) fn must(&mut self, what: impl Into<String>, value: impl Into<String>, holds: bool) {
        self.push(what, value.into(), "must hold".into(), holds);
    }

    /// What ended a part, or a case of it, early.
    pub(super) fn failed(&mut self, error: &anyhow::Error) {
        println!("FAIL  {}: {error:#}", self.part);
        let text = format!("{error:#}");
        let first = text.lines().next().unwrap_or_default().to_owned();
        self.push("could not be carried out", first, "must hold".into(), false);
    }

    pub(super) fn extend(&mut self, others: Figures) {
        self.lines.extend(others.lines);
    }

    /// How many lines do not hold.
    pub(super) fn broken(&self) -> usize {
        self.lines.iter().filter(|line| !line.holds).count()
    }

    fn push(&mut self, what: impl Into<String>, value: String, limit: String, holds: bool) {
        let line = Line { part: self.part, what: what.into(), value, limit, holds };
        println!("      {line}");
        self.lines.push(line);
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Line { part, what, value, limit, holds } = self;
        let verdict = match (limit.is_empty(), holds) {
            (true, _) => "",
            (false, true) => "yes",
            (false, false) => "NO",
        };
        write!(f, "| {part} | {what} | {value} | {limit} | {verdict} |")
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| part | figure | measured | must be | holds |\n|---|---|---|---|---|")?;
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}
