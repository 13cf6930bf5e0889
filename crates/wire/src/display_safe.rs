//! Text that strangers wrote, made safe to show to people: names, comments, client names, trackers' errors.
//!
//! Whatever the bytes, what is shown is one line of valid UTF-8 that moves no cursor, rings no bell, hides nothing and
//! reorders nothing. What would do so is spelled out: `\u{202e}` for a character, `\xff` for a byte that is not UTF-8.
//! The type has no way to its text but these, and [`DisplaySafe::raw`] for what is not shown. BEP: none; threats A14, F4.

use core::fmt::{self, Write};

/// A stranger's text. `Display` and `Debug` suit terminals and logs; [`html`](Self::html) and [`json`](Self::json) those.
///
/// A precision cuts: `format!("{name:.40}")` shows at most 40 characters, the last an ellipsis if something was cut.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct DisplaySafe(Box<[u8]>);

impl DisplaySafe {
    /// Keeps the bytes as they are.
    pub fn new(raw: impl AsRef<[u8]>) -> DisplaySafe {
        DisplaySafe(raw.as_ref().into())
    }

    /// The bytes as the stranger wrote them. Not for people's eyes.
    pub fn raw(&self) -> &[u8] {
        &self.0
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// For the text of an HTML element or a quoted attribute.
    pub fn html(&self) -> impl fmt::Display + '_ {
        Html(self)
    }

    /// A JSON string with its quotes. It stands for what `Display` shows, so that printing the decoded string is safe too.
    pub fn json(&self) -> impl fmt::Display + '_ {
        Json(self)
    }

    /// The text as pieces that are safe to show: plain characters, and characters or bytes to be spelled out.
    fn shown(&self) -> impl Iterator<Item = Shown> + '_ {
        self.0.utf8_chunks().flat_map(|chunk| {
            let text =
                chunk.valid().chars().map(|c| if misleads(c) { Shown::Spelled(c) } else { Shown::Plain(c) });
            text.chain(chunk.invalid().iter().map(|&byte| Shown::Byte(byte)))
        })
    }
}

/// One unit of a text as it is shown.
#[derive(Clone, Copy)]
enum Shown {
    Plain(char),
    Spelled(char),
    Byte(u8),
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Shown::Plain(c) => f.write_char(c),
            Shown::Spelled(c) => write!(f, "\\u{{{:x}}}", u32::from(c)),
            Shown::Byte(byte) => write!(f, "\\x{byte:02x}"),
        }
    }
}

impl fmt::Display for DisplaySafe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(most) = f.precision() else {
            return self.shown().try_for_each(|shown| shown.fmt(f));
        };
        if self.shown().nth(most).is_none() {
            return self.shown().try_for_each(|shown| shown.fmt(f));
        }
        self.shown().take(most.saturating_sub(1)).try_for_each(|shown| shown.fmt(f))?;
        if most > 0 { f.write_char('…') } else { Ok(()) }
    }
}

impl fmt::Debug for DisplaySafe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Json(self), f)
    }
}

impl From<&str> for DisplaySafe {
    fn from(text: &str) -> DisplaySafe {
        DisplaySafe::new(text)
    }
}

struct Html<'a>(&'a DisplaySafe);

impl fmt::Display for Html<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.shown().try_for_each(|shown| match shown {
            Shown::Plain('&') => f.write_str("&amp;"),
            Shown::Plain('<') => f.write_str("&lt;"),
            Shown::Plain('>') => f.write_str("&gt;"),
            Shown::Plain('"') => f.write_str("&quot;"),
            Shown::Plain('\'') => f.write_str("&#39;"),
            // Old browsers end an attribute at a backtick.
            Shown::Plain('`') => f.write_str("&#96;"),
            other => other.fmt(f),
        })
    }
}

struct Json<'a>(&'a DisplaySafe);

impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        self.0.shown().try_for_each(|shown| match shown {
            Shown::Plain(c @ ('"' | '\\')) => write!(f, "\\{c}"),
            // So that the string may stand inside a `<script>` element.
            Shown::Plain(c @ ('<' | '>' | '&')) => write!(f, "\\u{:04x}", u32::from(c)),
            Shown::Plain(c) => f.write_char(c),
            // What is spelled out begins with a backslash, which JSON doubles.
            Shown::Spelled(_) | Shown::Byte(_) => write!(f, "\\{shown}"),
        })?;
        f.write_char('"')
    }
}

/// Whether a character, shown as it is, could mislead: controls, line breaks, what reorders, what cannot be seen.
///
/// That is general category `Cc`, `Cf`, `Zl` and `Zp`, the blank letters, and noncharacters. A joiner inside an emoji or a
/// Persian word is hit too: in a name that can be a file's, seeing it beats beauty.
pub(crate) fn misleads(c: char) -> bool {
    matches!(c,
        '\0'..='\x1f' | '\x7f'..='\u{9f}'       // C0, delete, C1
        | '\u{ad}'                              // soft hyphen
        | '\u{34f}'                             // grapheme joiner
        | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}'
        | '\u{115f}'..='\u{1160}'               // Hangul fillers
        | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}'               // zero width; left-to-right and right-to-left marks
        | '\u{2028}'..='\u{202e}'               // line and paragraph separators; embeddings, overrides
        | '\u{2060}'..='\u{206f}'               // word joiner, invisible operators, isolates
        | '\u{2800}'                            // blank Braille
        | '\u{3164}' | '\u{ffa0}'               // Hangul fillers
        | '\u{fdd0}'..='\u{fdef}' | '\u{feff}'  // noncharacters; byte order mark
        | '\u{fff0}'..='\u{fffb}' | '\u{fffe}'..='\u{ffff}'
        | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}'             // tags, variation selectors for ideographs
    ) || u32::from(c) & 0xfffe == 0xfffe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_or_hides_is_spelled_out() {
        let table: &[(&[u8], &str)] = &[
            ("plain äß 漢 🎬".as_bytes(), "plain äß 漢 🎬"),
            (b"a\x1b[2Jb\r\n", r"a\u{1b}[2Jb\u{d}\u{a}"),
            ("x\u{202e}gpj.exe".as_bytes(), r"x\u{202e}gpj.exe"),
            ("\u{9b}31m".as_bytes(), r"\u{9b}31m"),
            ("a\u{200b}b\u{feff}".as_bytes(), r"a\u{200b}b\u{feff}"),
            (b"caf\xe9 \xf0\x9f", r"caf\xe9 \xf0\x9f"),
            (b"\xc0\xaf", r"\xc0\xaf"),
        ];
        for (raw, shown) in table {
            assert_eq!(DisplaySafe::new(raw).to_string(), *shown);
        }
    }

    #[test]
    fn each_sink_quotes_what_is_special_there() {
        let text = DisplaySafe::new(b"<a href='x'>&\"\\\x07\xff`");
        assert_eq!(text.html().to_string(), r"&lt;a href=&#39;x&#39;&gt;&amp;&quot;\\u{7}\xff&#96;");
        assert_eq!(text.json().to_string(), r#""\u003ca href='x'\u003e\u0026\"\\\\u{7}\\xff`""#);
    }

    #[test]
    fn a_precision_cuts_with_an_ellipsis() {
        let text = DisplaySafe::new("äbcdef");
        assert_eq!(format!("{text:.6}|{text:.3}|{text:.1}|{text:.0}"), "äbcdef|äb…|…|");
    }
}
