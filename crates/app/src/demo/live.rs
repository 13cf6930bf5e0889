//! The terminal while the demonstration runs: drawn on its other screen, keys read one by one.
//!
//! Invariant: when this value is gone, or the program panics, the terminal is as it was.

use super::board::Board;
use super::view::{self, Footer};
use crate::failure::Failure;
use crate::words::why;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::text::Text;
use ratatui::widgets::Paragraph;
use std::io;
use std::time::Duration;

/// What a key means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Key {
    Quit,
    KillOrigins,
    KillTracker,
    FreeRider,
    Person,
}

/// The terminal in our hands.
pub(super) struct Live {
    terminal: DefaultTerminal,
    coloured: bool,
}

impl Live {
    /// Takes the terminal.
    pub(super) fn begin() -> Result<Live, Failure> {
        let terminal = ratatui::try_init().map_err(|error| failed(&error))?;
        let coloured = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Ok(Live { terminal, coloured })
    }

    /// Draws the board; only what has changed is sent.
    pub(super) fn draw(&mut self, board: &Board, at: Duration, footer: &Footer<'_>) -> Result<(), Failure> {
        let coloured = self.coloured;
        let drawn = self.terminal.draw(|frame| {
            let area = frame.area();
            let mut lines = view::screen(board, at, footer, area.width.into(), area.height.into());
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

    /// The next key that means something, if one was pressed.
    pub(super) fn key(&mut self) -> Result<Option<Key>, Failure> {
        while event::poll(Duration::ZERO).map_err(|error| failed(&error))? {
            let Event::Key(key) = event::read().map_err(|error| failed(&error))? else { continue };
            if key.kind == KeyEventKind::Release {
                continue;
            }
            let control = key.modifiers.contains(KeyModifiers::CONTROL);
            match key.code {
                KeyCode::Char('c' | 'd') if control => return Ok(Some(Key::Quit)),
                KeyCode::Char('q' | 'Q') | KeyCode::Esc => return Ok(Some(Key::Quit)),
                KeyCode::Char('s' | 'S') => return Ok(Some(Key::KillOrigins)),
                KeyCode::Char('t' | 'T') => return Ok(Some(Key::KillTracker)),
                KeyCode::Char('f' | 'F') => return Ok(Some(Key::FreeRider)),
                KeyCode::Char('+' | '=') => return Ok(Some(Key::Person)),
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
