//! Lines of a picture on a terminal: cut to its width, side by side. Pure.

use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

/// What must be seen first.
pub(crate) const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);

/// The line as far as it fits.
pub(crate) fn cut(line: Line<'static>, width: usize) -> Line<'static> {
    if line.width() <= width {
        return line;
    }
    let (style, mut room) = (line.style, width);
    let mut spans = Vec::new();
    for span in line.spans {
        let text = console::truncate_str(&span.content, room, "").into_owned();
        room -= console::measure_text_width(&text).min(room);
        spans.push(Span::styled(text, span.style));
    }
    Line::from(spans).style(style)
}

/// Two columns as one, the left one of this width, with a gap of so many columns between them.
pub(crate) fn beside(
    left: Vec<Line<'static>>,
    right: Vec<Line<'static>>,
    width: usize,
    gap: usize,
) -> Vec<Line<'static>> {
    let rows = left.len().max(right.len());
    let (mut left, mut right) = (left.into_iter(), right.into_iter());
    let both = (0..rows).map(|_| {
        let (left, right) = (left.next().unwrap_or_default(), right.next().unwrap_or_default());
        let left = cut(left, width);
        let gap = Span::raw(" ".repeat(width + gap - left.width()));
        let styled = |line: Line<'static>| {
            let style = line.style;
            line.spans.into_iter().map(move |span| Span::styled(span.content, style.patch(span.style)))
        };
        Line::from(styled(left).chain([gap]).chain(styled(right)).collect::<Vec<_>>())
    });
    both.collect()
}

/// Which keys there are, and what they do.
pub(crate) fn keys(keys: &[(&'static str, &'static str)]) -> Line<'static> {
    let key = |&(key, what): &(&'static str, &'static str)| {
        [Span::styled(key, BOLD.fg(Color::Yellow)), Span::raw(format!(" {what}   "))]
    };
    Line::from(keys.iter().flat_map(key).collect::<Vec<_>>())
}
