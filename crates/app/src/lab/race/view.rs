//! What a race looks like: both sides next to each other, each with the line that theory races along. Pure: a course and a size in,
//! lines out. Every sign is ASCII, and what colour tells, words tell too.

use super::course::{Course, Finish, Side, Standing};
use crate::cli::RaceLab;
use crate::live::lines::{BOLD, beside, cut, keys};
use crate::quantity::Span;
use crate::words::count;
use ratatui::style::{Color, Style};
use ratatui::text::{Line, Span as Text};
use std::fmt::Write as _;
use std::time::Duration;

/// Below this size there is no room for two sides.
const WIDTH_MIN: usize = 72;
const HEIGHT_MIN: usize = 22;

/// Columns between both sides.
const GAP: usize = 2;

/// Rows of a histogram: how many are how far.
const BINS: usize = 10;

/// What stands before a bar, and behind it.
const LABEL: usize = 8;
const FIGURE: usize = 7;

/// The longest bar of the curve over the number of people.
const BAR_MAX: usize = 40;

const SIDES: [Side; 2] = [Side::Server, Side::Swarm];

const KEYS: [(&str, &str); 6] = [
    ("s", "kill server"),
    ("d", "kill seed"),
    ("space", "pause"),
    ("+ -", "speed"),
    ("e", "to the end"),
    ("q", "quit"),
];

/// A race among so many people, when it is over.
pub(super) struct Grown {
    pub(super) people: u32,
    pub(super) server: Option<Duration>,
    pub(super) swarm: Option<Duration>,
    pub(super) bound: Duration,
}

/// A simulated time of day, from the start: 2:13:20.
pub(super) fn clock(at: Duration) -> String {
    let seconds = at.as_secs();
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// What is raced.
pub(super) fn beginning(args: &RaceLab) -> String {
    format!(
        "{} for {}; {} Mbit/s up and {} down each; both origins {} Mbit/s",
        sold(args.size.0),
        people(args.peers as usize),
        args.up,
        args.down,
        args.origin
    )
}

/// The whole screen.
pub(super) fn screen(
    args: &RaceLab,
    course: &Course,
    pace: &str,
    message: &str,
    (width, height): (usize, usize),
) -> Vec<Line<'static>> {
    let mut lines = vec![heading(course, pace, width)];
    if width < WIDTH_MIN || height < HEIGHT_MIN {
        for side in SIDES {
            let standing = course.standing(side);
            lines.push(Line::from(format!("{} {:>3} %", title(side, &standing), standing.progress / 10)));
            lines.push(Line::from(format!("  {}", finish(course, side, &standing))));
            lines.push(Line::from(format!("  {}", sent(args, course, &standing))));
        }
        lines.push(Line::from(format!("all of it from {WIDTH_MIN}x{HEIGHT_MIN} on; q quits")));
    } else {
        let side = (width - GAP) / 2;
        let left = column(args, course, Side::Server, side);
        let right = column(args, course, Side::Swarm, width - GAP - side);
        lines.extend(beside(left, right, side, GAP));
        while lines.len() + 2 < height {
            lines.push(Line::default());
        }
        lines.push(Line::from(message.to_owned()).style(BOLD));
        lines.push(keys(&KEYS));
    }
    lines.truncate(height);
    lines.into_iter().map(|line| cut(line, width)).collect()
}

/// How both sides stand, in one line.
pub(super) fn line(course: &Course) -> String {
    let said = SIDES.map(|side| {
        let standing = course.standing(side);
        let name = if side == Side::Server { "server" } else { "swarm" };
        format!(
            "{name} {:>3} % (theory {:>3} %), {} of {} done",
            standing.progress / 10,
            course.racing(side) / 10,
            standing.done,
            course.people()
        )
    });
    format!("{:>9}  {}; {}", clock(course.now()), said[0], said[1])
}

/// What came of it, as a table.
pub(super) fn outcome(args: &RaceLab, course: &Course) -> String {
    let mut text = format!(
        "\n{:<12} {:>14} {:>12} {:>16} {:>10} {:>9} {:>10}\n",
        "who gives", "last", "median", "not before", "origin", "copies", "cost"
    );
    for (side, name) in SIDES.into_iter().zip(["a server", "everybody"]) {
        let standing = course.standing(side);
        let last = match standing.finish {
            Finish::Done(at) => clock(at),
            Finish::Never => "never".into(),
            Finish::About(at) => format!("about {}", clock(at)),
            Finish::Unknown => "?".into(),
        };
        let _ = writeln!(
            text,
            "{name:<12} {last:>14} {:>12} {:>16} {:>10} {:>9.2} {:>10.2}",
            standing.median.map_or_else(|| "-".into(), clock),
            clock(course.bound(side)),
            sold(standing.sent),
            standing.sent as f64 / course.total().max(1) as f64,
            cost(args, standing.sent)
        );
    }
    text + &format!(
        "Cost: what leaves the origin, at {} a GB (--price-per-gb). Not before: what theory allows.\n",
        args.price_per_gb
    )
}

/// The curve over the number of people, with bars in proportion.
pub(super) fn growth(rows: &[Grown]) -> String {
    let longest = rows.iter().flat_map(|row| [row.server, row.swarm]).flatten().max().unwrap_or_default();
    let bar = |span: Option<Duration>, sign: &str| {
        let Some(span) = span else { return "never".to_owned() };
        let len = span.as_micros() * BAR_MAX as u128 / longest.as_micros().max(1);
        format!("{} {}", sign.repeat((len as usize).max(1)), self::span(span))
    };
    let mut text = "\nThe more people want it, the longer a server takes; and a swarm?\n".to_owned();
    for row in rows {
        let _ = writeln!(text, "{:>5}  server {}", row.people, bar(row.server, "#"));
        let _ = writeln!(text, "{:>5}  swarm  {} (theory: {})", "", bar(row.swarm, "="), span(row.bound));
    }
    text + "The same over more people, with charts: gannet lab run selfscaling --html growth.html\n"
}

/// A span in words, to a tenth of a second where that tells something.
fn span(span: Duration) -> String {
    match span.as_secs() {
        0..60 => format!("{:.1} s", span.as_secs_f64()),
        _ => Span(span).to_string(),
    }
}

fn people(number: usize) -> String {
    count(number as u64, "person").replace("persons", "people")
}

/// Bytes as they are sold: in powers of ten.
fn sold(bytes: u64) -> String {
    match bytes {
        0..1_000_000_000 => format!("{:.0} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}

fn cost(args: &RaceLab, bytes: u64) -> f64 {
    bytes as f64 / 1e9 * args.price_per_gb
}

fn heading(course: &Course, pace: &str, width: usize) -> Line<'static> {
    let text = format!("One origin, {}, {}", people(course.people()), sold(course.total()));
    let time = format!("{}  {pace}", clock(course.now()));
    let gap = width.saturating_sub(text.len() + time.len()).max(1);
    Line::from(format!("{text}{}{time}", " ".repeat(gap))).style(BOLD)
}

fn title(side: Side, standing: &Standing) -> String {
    let name = match side {
        Side::Server => "A SERVER",
        Side::Swarm => "A SWARM",
    };
    let origin = if side == Side::Server { "" } else { "seed " };
    match standing.killed {
        Some(at) => format!("{name}, {origin}killed at {}", clock(at)),
        None => name.into(),
    }
}

fn column(args: &RaceLab, course: &Course, side: Side, width: usize) -> Vec<Line<'static>> {
    let standing = course.standing(side);
    let colour = if standing.killed.is_some() { Color::Red } else { Color::Cyan };
    let mut lines = vec![Line::from(title(side, &standing)).style(BOLD.fg(colour))];
    lines.push(bar("all", standing.progress, ('#', '.'), width, Style::new().fg(Color::Green)));
    lines.push(bar("theory", course.racing(side), ('-', ' '), width, Style::new().fg(Color::Yellow)));
    lines.push(finish_line(course, side, &standing));
    lines.push(Line::from(sent(args, course, &standing)));
    lines.extend(histogram(&standing, width));
    lines
}

/// A bar with what it is about, and how far it is; theory's ends in the line that it races along.
fn bar(label: &str, permille: u64, (full, rest): (char, char), width: usize, style: Style) -> Line<'static> {
    let room = width.saturating_sub(LABEL + FIGURE).max(1);
    let done = ((room as u64 * permille / 1000) as usize).min(room);
    let mut signs = String::from(full).repeat(done) + &String::from(rest).repeat(room - done);
    if full == '-' {
        signs.replace_range(done.min(room - 1)..=done.min(room - 1), "|");
    }
    Line::from(vec![
        Text::raw(format!("{label:<LABEL$}")),
        Text::styled(signs, style),
        Text::raw(format!("{:>5} %", permille / 10)),
    ])
}

/// How many are how far: those who have everything above, those who have nothing yet below.
fn histogram(standing: &Standing, width: usize) -> Vec<Line<'static>> {
    let mut bins = [0_usize; BINS + 1];
    for share in &standing.shares {
        bins[(*share as usize * BINS / 1000).min(BINS)] += 1;
    }
    let room = width.saturating_sub(LABEL + FIGURE).max(1);
    let most = bins.iter().copied().max().unwrap_or(0).max(1);
    let row = |(bin, count): (usize, &usize)| {
        let label = if bin == BINS { "done".into() } else { format!("{:>2} %+", bin * 100 / BINS) };
        let len = (*count * room).div_ceil(most).min(room);
        let style = if bin == BINS { Style::new().fg(Color::Green) } else { Style::new() };
        Line::from(vec![
            Text::raw(format!("{label:<LABEL$}")),
            Text::styled(format!("{:<room$}", "#".repeat(len)), style),
            Text::raw(format!("{count:>FIGURE$}")),
        ])
    };
    bins.iter().enumerate().rev().map(row).collect()
}

fn finish_line(course: &Course, side: Side, standing: &Standing) -> Line<'static> {
    let colour = match standing.finish {
        Finish::Unknown | Finish::About(_) => Color::Reset,
        Finish::Done(_) => Color::Green,
        Finish::Never => Color::Red,
    };
    Line::from(finish(course, side, standing)).style(BOLD.fg(colour))
}

fn finish(course: &Course, side: Side, standing: &Standing) -> String {
    let bound = clock(course.bound(side));
    match standing.finish {
        Finish::Unknown => format!("done: too early to say (theory {bound})"),
        Finish::About(at) => format!("done at about {} (theory {bound})", clock(at)),
        Finish::Done(at) => format!("all done at {} (theory {bound})", clock(at)),
        Finish::Never => format!("never done: {} go without", course.people() - standing.done),
    }
}

fn sent(args: &RaceLab, course: &Course, standing: &Standing) -> String {
    let copies = standing.sent as f64 / course.total().max(1) as f64;
    format!("sent {} = {copies:.1} copies, costs {:.2}", sold(standing.sent), cost(args, standing.sent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn theory_races_along_a_line() {
        let text = |permille| {
            let line = bar("theory", permille, ('-', ' '), LABEL + FIGURE + 10, Style::new());
            line.spans.iter().map(|span| span.content.as_ref()).collect::<String>()
        };
        assert_eq!(text(0), "theory  |             0 %");
        assert_eq!(text(500), "theory  -----|       50 %");
        assert_eq!(text(1000), "theory  ---------|  100 %");
    }

    #[test]
    fn a_histogram_counts_everybody_once() {
        let standing = Standing {
            shares: vec![0, 50, 100, 999, 1000, 1000, 1000, 1000],
            progress: 0,
            done: 4,
            sent: 0,
            median: None,
            finish: Finish::Unknown,
            killed: None,
        };
        let counts: Vec<usize> = histogram(&standing, 40)
            .iter()
            .map(|line| line.spans[2].content.trim().parse().unwrap())
            .collect();
        assert_eq!(counts, [4, 1, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
    }

    #[test]
    fn a_clock_shows_hours() {
        let shown = [0, 61, 8000, 360_000].map(|seconds| clock(Duration::from_secs(seconds)));
        assert_eq!(shown, ["0:00:00", "0:01:01", "2:13:20", "100:00:00"]);
    }
}
