//! The picture: both sides next to each other, and below them who sends to whom. Pure: a board and a size in, lines out.
//!
//! Always: no line is wider than the terminal and there are no more than it has; what colour tells, words or signs tell too;
//! every sign of ours is ASCII, so that any terminal and any locale shows it.

use super::board::{Board, Client, ClientEnd, Finish, Member, Role};
use super::plan::ORIGIN_RATE;
use crate::live::lines::{BOLD, beside, cut, keys};
use crate::quantity::{Rate, Size};
use crate::show::panel::map;
use crate::words::count;
use ratatui::style::{Color, Style};
use ratatui::text::{Line, Span};
use std::time::Duration;

/// Below this size there is no room for two sides: a few lines say how they stand.
const WIDTH_MIN: usize = 76;
const HEIGHT_MIN: usize = 18;

/// Columns of a name.
const NAME: usize = 6;

/// Columns of a cell of the table of flows.
const CELL: usize = 7;

/// Columns between both sides.
const GAP: usize = 2;

/// The widest map of pieces: wider ones tell no more.
const MAP_MAX: usize = 60;

/// What can be pressed.
const KEYS: [(&str, &str); 5] = [
    ("s", "kill server and seed"),
    ("t", "kill tracker"),
    ("f", "free-rider"),
    ("+", "one more"),
    ("q", "quit"),
];

/// What stands below the picture.
pub(super) struct Footer<'a> {
    /// The last thing that happened.
    pub(super) message: &'a str,
    /// How another terminal can join.
    pub(super) join: &'a str,
}

/// The whole screen.
pub(super) fn screen(
    board: &Board,
    at: Duration,
    footer: &Footer<'_>,
    width: usize,
    height: usize,
) -> Vec<Line<'static>> {
    let mut lines = match width < WIDTH_MIN || height < HEIGHT_MIN {
        true => small(board, at),
        false => large(board, at, footer, width, height),
    };
    lines.truncate(height);
    lines.into_iter().map(|line| cut(line, width)).collect()
}

/// A clock as people read it.
pub(super) fn clock(at: Duration) -> String {
    format!("{}:{:02}", at.as_secs() / 60, at.as_secs() % 60)
}

/// When a side will be done, in words.
pub(super) fn finish(finish: Finish) -> String {
    match finish {
        Finish::Unknown => "done: too early to say".into(),
        Finish::About(at) => format!("done at about {}", clock(at)),
        Finish::Done(at) => format!("everybody done at {}", clock(at)),
        Finish::Never => "never done: the rest is gone".into(),
    }
}

/// Bytes, and how often they are the whole file.
pub(super) fn copies(bytes: u64, file_len: u64) -> String {
    format!("{} = {:.1} copies", Size(bytes), bytes as f64 / file_len.max(1) as f64)
}

/// For terminals with no room: how both sides stand.
fn small(board: &Board, at: Duration) -> Vec<Line<'static>> {
    let percent = |part: u64| part * 100 / (board.file_len * board.clients.len().max(1) as u64).max(1);
    let left: u64 = board.clients.iter().map(|client| client.bytes).sum();
    let right: u64 = board.peers().map(|member| u64::from(member.pieces)).sum::<u64>() * board.file_len
        / u64::from(board.pieces.max(1));
    vec![
        Line::from(format!("gannet demo {}", clock(at))).style(BOLD),
        Line::from(format!("server {:>3} %", percent(left))),
        Line::from(format!("  {}", finish(board.left_finish(at)))),
        Line::from(format!("  sent {}", Size(board.server_sent))),
        Line::from(format!("swarm  {:>3} %", percent(right))),
        Line::from(format!("  {}", finish(board.right_finish(at)))),
        Line::from(format!("  seed sent {}", Size(board.seed_sent()))),
        Line::from("all of it from 80x24 on; q quits"),
    ]
}

fn large(
    board: &Board,
    at: Duration,
    footer: &Footer<'_>,
    width: usize,
    height: usize,
) -> Vec<Line<'static>> {
    let side = (width - GAP) / 2;
    // Heading, titles, two lines below each side, a blank, the table's head and one row, three lines at the bottom.
    let rows_max = height.saturating_sub(10).max(3);
    let mut lines = vec![heading(board, at, width)];
    let left = left_side(board, at, side, rows_max);
    let right = right_side(board, at, width - GAP - side, rows_max);
    lines.extend(beside(left, right, side, GAP));
    lines.push(Line::default());
    let join = join(footer.join, width);
    let room = height.saturating_sub(lines.len() + 3 + join.len());
    lines.extend(flows(board, at, width, room));
    while lines.len() + 2 + join.len() < height {
        lines.push(Line::default());
    }
    lines.push(Line::from(footer.message.to_owned()).style(BOLD));
    lines.push(keys(&KEYS));
    lines.extend(join.into_iter().map(Line::from));
    lines
}

/// The command by which another terminal joins. A long one goes on in the next line in a way that shells understand, so that
/// it can be copied as it stands.
fn join(command: &str, width: usize) -> Vec<String> {
    let whole = ["join from another terminal: ", "join: "].map(|label| format!("{label}{command}"));
    match whole.into_iter().find(|line| line.len() <= width) {
        Some(line) => vec![line],
        None => match command.rsplit_once(' ') {
            Some((first, last)) => vec![format!("join: {first} \\"), last.to_owned()],
            None => vec![command.to_owned()],
        },
    }
}

fn heading(board: &Board, at: Duration, width: usize) -> Line<'static> {
    let people = count(board.clients.len() as u64, "person").replace("persons", "people");
    let text =
        format!("One file of {} for {people}; each origin sends {}", Size(board.file_len), Rate(ORIGIN_RATE));
    let time = clock(at);
    let gap = width.saturating_sub(text.len() + time.len()).max(1);
    Line::from(format!("{text}{}{time}", " ".repeat(gap))).style(BOLD)
}

fn left_side(board: &Board, at: Duration, width: usize, rows_max: usize) -> Vec<Line<'static>> {
    let title = match board.origins_killed {
        None => Line::from("A SERVER (HTTP)").style(BOLD.fg(Color::Cyan)),
        Some(at) => {
            Line::from(format!("A SERVER (HTTP), killed at {}", clock(at))).style(BOLD.fg(Color::Red))
        }
    };
    let mut lines = vec![title];
    lines.extend(folded(board.clients.iter(), rows_max, |client| client_row(client, board, width)));
    lines.push(finish_line(board.left_finish(at)));
    lines.push(Line::from(format!("server sent {}", copies(board.server_sent, board.file_len))));
    lines
}

fn client_row(client: &Client, board: &Board, width: usize) -> Line<'static> {
    let (end, style) = match client.end {
        None => (format!("{:>4} %", client.bytes * 100 / board.file_len.max(1)), Style::new()),
        Some(ClientEnd::Done(at)) => (format!("  {:>4}", clock(at)), Style::new().fg(Color::Green)),
        Some(ClientEnd::Failed) => ("  lost".into(), Style::new().fg(Color::Red)),
    };
    let bar = width.saturating_sub(NAME + end.len() + 2).min(MAP_MAX);
    let full = (bar as u64 * client.bytes / board.file_len.max(1)) as usize;
    let bar = format!("{}{}", "#".repeat(full.min(bar)), ".".repeat(bar.saturating_sub(full)));
    Line::from(vec![
        Span::raw(format!("{:<NAME$} ", client.name)),
        Span::styled(bar, style),
        Span::raw(format!(" {end}")),
    ])
}

fn right_side(board: &Board, at: Duration, width: usize, rows_max: usize) -> Vec<Line<'static>> {
    let (seed, tracker) = (board.origins_killed.map(clock), board.tracker_killed.map(clock));
    let title = match (seed, tracker) {
        (None, None) => "A SWARM (BitTorrent)".into(),
        (Some(seed), None) => format!("A SWARM, seed killed at {seed}"),
        (None, Some(tracker)) => format!("A SWARM, tracker killed at {tracker}"),
        (Some(seed), Some(tracker)) => format!("A SWARM; dead: seed {seed}, tracker {tracker}"),
    };
    let title = Line::from(title).style(BOLD.fg(Color::Cyan));
    let mut lines = vec![title];
    let takers = board.members.iter().filter(|member| member.role != Role::Seed);
    lines.extend(folded(takers, rows_max, |member| member_row(member, board, width)));
    let out = match board.pieces_out() {
        out if out == board.pieces => "; a copy is out".into(),
        out => format!("; {out} of {} out", board.pieces),
    };
    let mut finish = finish_line(board.right_finish(at));
    finish.push_span(out);
    lines.push(finish);
    lines.push(Line::from(format!("seed sent {}", copies(board.seed_sent(), board.file_len))));
    lines
}

fn member_row(member: &Member, board: &Board, width: usize) -> Line<'static> {
    let (end, style) = match (member.finished, member.gone) {
        (Some(at), _) => (format!("  {:>4}", clock(at)), Style::new().fg(Color::Green)),
        (None, true) => ("  lost".into(), Style::new().fg(Color::Red)),
        (None, false) => (format!("{:>4} %", member.pieces * 100 / board.pieces.max(1)), Style::new()),
    };
    let style = if member.role == Role::FreeRider { style.fg(Color::Magenta) } else { style };
    let room = width.saturating_sub(NAME + end.len() + 2).min(MAP_MAX);
    let map = match member.role {
        // Where its pieces lie is not known.
        Role::Guest => format!("{} of {} pieces", member.pieces, board.pieces),
        Role::Seed | Role::Peer | Role::FreeRider => map(&member.have, room),
    };
    Line::from(vec![
        Span::raw(format!("{:<NAME$} ", member.name)),
        Span::styled(format!("{map:<room$}"), style),
        Span::raw(format!(" {end}")),
    ])
}

/// Who sent how many MiB to whom: a row for each giver, a column for each taker.
fn flows(board: &Board, at: Duration, width: usize, room: usize) -> Vec<Line<'static>> {
    let takers: Vec<usize> =
        (0..board.members.len()).filter(|&member| board.members[member].role != Role::Seed).collect();
    let columns = (width.saturating_sub(NAME + 4) / CELL).min(takers.len());
    let shown = &takers[..columns];
    let mut head = format!("{:<width$}", "MiB to", width = NAME + 3);
    shown.iter().for_each(|&taker| head += &format!("{:>CELL$}", board.members[taker].name));
    if columns < takers.len() {
        head += " ...";
    }
    let mut lines = vec![Line::from(head).style(BOLD)];
    let givers: Vec<usize> = (0..board.members.len()).collect();
    let row = |giver: &usize| {
        let mut spans = vec![Span::raw(format!("{:<width$}", board.members[*giver].name, width = NAME + 3))];
        spans.extend(shown.iter().map(|&taker| cell(board, at, *giver, taker)));
        Line::from(spans)
    };
    lines.extend(folded(givers.iter(), room.saturating_sub(1), row));
    lines
}

fn cell(board: &Board, at: Duration, giver: usize, taker: usize) -> Span<'static> {
    let (bytes, now) = board.flow(at, giver, taker);
    let text = match bytes {
        _ if giver == taker => "-  ".into(),
        0 => ".  ".into(),
        // A plus says that more is on its way, whatever the colour.
        bytes => format!("{:.1}{}", bytes as f64 / f64::from(1 << 20), if now { "+" } else { " " }),
    };
    let style = if now { BOLD.fg(Color::Green) } else { Style::new() };
    Span::styled(format!("{text:>CELL$}"), style)
}

fn finish_line(at: Finish) -> Line<'static> {
    let colour = match at {
        Finish::Unknown | Finish::About(_) => Color::Reset,
        Finish::Done(_) => Color::Green,
        Finish::Never => Color::Red,
    };
    Line::from(finish(at)).style(BOLD.fg(colour))
}

/// As many rows as there is room for; the last one counts the others.
fn folded<T>(
    items: impl Iterator<Item = T>,
    room: usize,
    row: impl Fn(T) -> Line<'static>,
) -> Vec<Line<'static>> {
    let items: Vec<T> = items.collect();
    let more = items.len().saturating_sub(room);
    let shown = if more > 0 { room.saturating_sub(1) } else { items.len() };
    let hidden = items.len() - shown;
    let mut lines: Vec<Line<'static>> = items.into_iter().take(shown).map(row).collect();
    if hidden > 0 && room > 0 {
        lines.push(Line::from(format!("... and {hidden} more")));
    }
    lines
}
