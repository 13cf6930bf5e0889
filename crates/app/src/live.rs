//! The terminal while something is drawn all over it: on its other screen, keys read one by one.
//!
//! Invariant: when this value is gone, or the program panics, the terminal is as it was.

pub(crate) mod lines;

use crate::failure::Failure;
use crate::words::why;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::text::{Line, Text};
use ratatui::widgets::Paragraph;
use std::io::{self, IsTerminal, stdin, stdout};
use std::time::Duration;

/// The terminal in our hands.
pub(crate) struct Live {
    terminal: DefaultTerminal,
    coloured: bool,
}

/// What was pressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pressed {
    /// Ctrl-C, Ctrl-D, Escape.
    End,
    /// A letter or a sign; letters are small.
    Sign(char),
}

/// Whether somebody looks on who can press keys, at a terminal that can be drawn on.
pub(crate) fn is_possible() -> bool {
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    stdout().is_terminal() && stdin().is_terminal() && !dumb
}

impl Live {
    /// Takes the terminal.
    pub(crate) fn begin() -> Result<Live, Failure> {
        let terminal = ratatui::try_init().map_err(|error| failed(&error))?;
        let coloured = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Ok(Live { terminal, coloured })
    }

    /// Draws lines for a terminal of so many columns and rows; only what has changed is sent.
    pub(crate) fn draw(
        &mut self,
        picture: impl FnOnce(usize, usize) -> Vec<Line<'static>>,
    ) -> Result<(), Failure> {
        let coloured = self.coloured;
        let drawn = self.terminal.draw(|frame| {
            let area = frame.area();
            let mut lines = picture(area.width.into(), area.height.into());
            if !coloured {
                lines.iter_mut().for_each(|line| {
                    line.style.fg = None;
                    line.spans.iter_mut().for_each(|span| span.style.fg = None);
                });
            }
            frame.render_widget(Paragraph::new(Text::from(lines)), area);
        });
        drawn.map(|_| ()).map_err(|error| failed(&error))
    }

    /// The next key that was pressed, if one was.
    pub(crate) fn key(&mut self) -> Result<Option<Pressed>, Failure> {
        while event::poll(Duration::ZERO).map_err(|error| failed(&error))? {
            let Event::Key(key) = event::read().map_err(|error| failed(&error))? else { continue };
            if key.kind == KeyEventKind::Release {
                continue;
            }
            let control = key.modifiers.contains(KeyModifiers::CONTROL);
            match key.code {
                KeyCode::Char('c' | 'd') if control => return Ok(Some(Pressed::End)),
                KeyCode::Esc => return Ok(Some(Pressed::End)),
                KeyCode::Char(sign) => return Ok(Some(Pressed::Sign(sign.to_ascii_lowercase()))),
                _ => {}
            }
        }
        Ok(None)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // In a panic the terminal was put in order already, so that the panic's words can be read: a second time would put the
        // cursor, and what a shell says next, on top of them.
        if !std::thread::panicking() {
            let _ = ratatui::try_restore();
        }
    }
}

fn failed(error: &io::Error) -> Failure {
    Failure::plain(format!("the terminal does not do its part: {}; --plain needs none", why(error)))
}
