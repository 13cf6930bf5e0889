//! The demonstration as a moving picture: an SVG that a browser plays, without a script. For the README, and for whoever
//! wants to show it to somebody.

use super::board::Board;
use super::view::{self, Footer};
use crate::failure::Failure;
use crate::new_file::Draft;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The terminal that is filmed.
const COLUMNS: usize = 80;
const ROWS: usize = 24;

/// A frame this often.
const EVERY: Duration = Duration::from_secs(1);

/// Frames at most: what goes on for longer is not a picture.
const FRAMES_MAX: usize = 120;

/// How long the last frame stays, in frames.
const LAST_STAYS: usize = 5;

/// Pixels of a character cell, as browsers' monospaced fonts of 14 px have it.
const CELL: (f64, f64) = (8.43, 18.0);

/// A film and the file that it goes into.
pub(super) struct Camera {
    film: Film,
    file: Draft,
}

/// Frames so far.
#[derive(Default)]
struct Film {
    frames: Vec<Vec<Line<'static>>>,
}

impl Camera {
    /// Nothing filmed yet, into a new file.
    pub(super) fn at(path: &Path) -> Result<Camera, Failure> {
        Ok(Camera { film: Film::default(), file: Draft::at(path)? })
    }

    /// Takes a frame, if it is time for one.
    pub(super) fn shoot(&mut self, board: &Board, at: Duration, footer: &Footer<'_>) {
        self.film.shoot(board, at, footer);
    }

    /// Writes the picture; where it is.
    pub(super) fn develop(self) -> Result<PathBuf, Failure> {
        self.file.write(self.film.svg().as_bytes())
    }
}

impl Film {
    fn shoot(&mut self, board: &Board, at: Duration, footer: &Footer<'_>) {
        if at >= EVERY * self.frames.len() as u32 && self.frames.len() < FRAMES_MAX {
            self.frames.push(view::screen(board, at, footer, COLUMNS, ROWS));
        }
    }

    /// The picture. Each line of text stands in it once for all frames in a row that have it.
    fn svg(&self) -> String {
        let (width, height) = (CELL.0 * (COLUMNS + 2) as f64, CELL.1 * (ROWS + 1) as f64);
        let slots = self.frames.len() + LAST_STAYS;
        let seconds = slots as f64 * EVERY.as_secs_f64();
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" \
             aria-label=\"gannet demo: a server beside a swarm\">\n\
             <style>\ntext{{font:14px ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;\
             white-space:pre;fill:#d4d4d4}}\n.b{{font-weight:bold}}\n\
             .k{{visibility:hidden;animation:{seconds}s step-end infinite}}\n"
        );
        let (mut styles, mut texts) = (String::new(), String::new());
        let mut runs = 0;
        for row in 0..ROWS {
            let mut from = 0;
            while from < self.frames.len() {
                let line = self.frames[from].get(row);
                let same = self.frames[from..].iter().take_while(|frame| frame.get(row) == line).count();
                let to = if from + same == self.frames.len() { slots } else { from + same };
                if let Some(line) = line.filter(|line| line.width() > 0) {
                    let text = text_of(line, row);
                    match (from, to) {
                        (0, to) if to == slots => texts += &text.replace("class=\"k\" ", ""),
                        (from, to) => {
                            runs += 1;
                            let percent = |slot: usize| slot as f64 * 100.0 / slots as f64;
                            let hidden = if from > 0 { "0%{visibility:hidden}" } else { "" };
                            let end = if to < slots {
                                format!("{:.3}%{{visibility:hidden}}", percent(to))
                            } else {
                                String::new()
                            };
                            let _ = writeln!(
                                styles,
                                "@keyframes f{runs}{{{hidden}{:.3}%{{visibility:visible}}{end}}}",
                                percent(from)
                            );
                            let named = format!("class=\"k\" style=\"animation-name:f{runs}\" ");
                            texts += &text.replace("class=\"k\" ", &named);
                        }
                    }
                }
                from += same;
            }
        }
        svg += &styles;
        let _ = writeln!(svg, "</style>\n<rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"#1e1e1e\"/>");
        svg + &texts + "</svg>\n"
    }
}

/// A line of text in its place.
fn text_of(line: &Line<'static>, row: usize) -> String {
    let y = CELL.1 * (row as f64 + 1.2);
    let mut text = format!("<text class=\"k\" x=\"{:.1}\" y=\"{y:.1}\">", CELL.0);
    let mut column = 0;
    for span in &line.spans {
        let style = line.style.patch(span.style);
        let content = span.content.as_ref();
        // Every span is put where it belongs, whatever the width of the font that is there.
        let x = CELL.0 * (column + 1) as f64;
        column += span.width();
        if content.trim().is_empty() {
            continue;
        }
        let len = CELL.0 * span.width() as f64;
        let _ = write!(
            text,
            "<tspan x=\"{x:.1}\" textLength=\"{len:.1}\"{}>{}</tspan>",
            attributes(style),
            escaped(content)
        );
    }
    text + "</text>\n"
}

fn attributes(style: Style) -> String {
    let bold = if style.add_modifier.contains(Modifier::BOLD) { " class=\"b\"" } else { "" };
    let colour = match style.fg {
        Some(Color::Red) => "#f14c4c",
        Some(Color::Green) => "#23d18b",
        Some(Color::Yellow) => "#e5e510",
        Some(Color::Magenta) => "#d670d6",
        Some(Color::Cyan) => "#29b8db",
        Some(_) | None => return bold.into(),
    };
    format!("{bold} style=\"fill:{colour}\"")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
