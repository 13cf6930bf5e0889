//! The head of an HTTP request as a tracker reads it: strictly, for what two programs read differently is how requests are smuggled past
//! a proxy. No bodies. HTTP/1.0 and 1.1 (RFC 9112).
//!
//! Invariants: nothing is allocated; lines end in CR LF, names have no blanks and lines are not folded; a head that announces a body,
//! or is longer than [`HEAD_LEN_MAX`], is refused. Threat E9.

use core::fmt;

/// The longest head, its empty line included, in bytes.
pub const HEAD_LEN_MAX: usize = 8 * 1024;

/// A request without a body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head<'a> {
    /// `GET`, or another word.
    pub method: &'a str,
    /// Path and query, as they were sent.
    pub target: &'a str,
    /// The connection is to stay.
    pub keep_alive: bool,
    /// Bytes of the whole head: behind them the next request begins.
    pub len: usize,
    fields: &'a [u8],
}

/// Why a head is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HeadError {
    /// Longer than [`HEAD_LEN_MAX`].
    TooLong,
    /// No HTTP/1.0 or 1.1, or not exactly so.
    Malformed,
    /// It announces a body.
    Body,
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HeadError::TooLong => f.write_str("the request is too long"),
            HeadError::Malformed => f.write_str("malformed request"),
            HeadError::Body => f.write_str("a request has no body here"),
        }
    }
}

impl core::error::Error for HeadError {}

impl<'a> Head<'a> {
    /// Reads a request's head from what has come so far, of which the first `seen` bytes were looked at before without finding its end;
    /// nothing if it is not complete.
    ///
    /// # Errors
    /// When it is refused: then nobody knows where the next request begins.
    pub fn read(bytes: &'a [u8], seen: usize) -> Result<Option<Head<'a>>, HeadError> {
        // The empty line may lie across what was seen before and what is new.
        let from = seen.saturating_sub(3).min(bytes.len());
        let found = bytes.get(from..).and_then(|new| new.windows(4).position(|window| window == b"\r\n\r\n"));
        match found.map(|at| from + at) {
            Some(end) if end + 4 <= HEAD_LEN_MAX => {
                bytes.get(..end).ok_or(HeadError::Malformed).and_then(Head::parse).map(Some)
            }
            None if bytes.len() < HEAD_LEN_MAX => Ok(None),
            Some(_) | None => Err(HeadError::TooLong),
        }
    }

    /// A whole head, without its empty line.
    fn parse(bytes: &'a [u8]) -> Result<Head<'a>, HeadError> {
        let (line, fields) = split_line(bytes);
        let line = core::str::from_utf8(line).map_err(|_| HeadError::Malformed)?;
        let mut words = line.split(' ');
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(HeadError::Malformed);
        };
        let keeps_by_default = match version {
            "HTTP/1.1" => true,
            "HTTP/1.0" => false,
            _ => return Err(HeadError::Malformed),
        };
        let is_method = !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase());
        let is_target = target.starts_with('/') && target.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_method || !is_target {
            return Err(HeadError::Malformed);
        }
        let mut head = Head { method, target, keep_alive: keeps_by_default, len: bytes.len() + 4, fields };
        let mut rest = fields;
        while !rest.is_empty() {
            let (line, after) = split_line(rest);
            let (name, value) = field(line).ok_or(HeadError::Malformed)?;
            head.heed(name, value)?;
            rest = after;
        }
        Ok(head)
    }

    /// What concerns the connection itself.
    fn heed(&mut self, name: &[u8], value: &[u8]) -> Result<(), HeadError> {
        if name.eq_ignore_ascii_case(b"connection") {
            for word in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
                if word.eq_ignore_ascii_case(b"close") {
                    self.keep_alive = false;
                } else if word.eq_ignore_ascii_case(b"keep-alive") {
                    self.keep_alive = true;
                }
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding")
            || (name.eq_ignore_ascii_case(b"content-length") && value != b"0")
        {
            return Err(HeadError::Body);
        }
        Ok(())
    }

    /// The values of fields of this name, the last first.
    pub fn values_from_last(&self, name: &'static str) -> impl Iterator<Item = &'a [u8]> {
        let lines = self.fields.rsplit(|&byte| byte == b'\n');
        let fields = lines.filter_map(|line| field(line.strip_suffix(b"\r").unwrap_or(line)));
        fields.filter(move |(theirs, _)| theirs.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
    }
}

/// A line without its end, and what follows.
fn split_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes.windows(2).position(|window| window == b"\r\n") {
        Some(end) => (bytes.get(..end).unwrap_or_default(), bytes.get(end + 2..).unwrap_or_default()),
        None => (bytes, &[]),
    }
}

/// Name and value; nothing if it is not exactly such a line.
fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|&byte| byte == b':')?;
    let (name, value) = (line.get(..colon)?, line.get(colon + 1..)?);
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let is_value = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f);
    (!name.is_empty() && name.iter().all(is_name) && value.iter().all(is_value))
        .then(|| (name, value.trim_ascii()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Head<'_>>, HeadError> {
        Head::read(text.as_bytes(), 0)
    }

    #[test]
    fn a_head_ends_with_its_empty_line_wherever_it_was_cut() {
        let text = "GET /announce?a=b HTTP/1.1\r\nHost: x\r\n\r\n";
        for len in 0..text.len() {
            assert_eq!(read(&text[..len]), Ok(None), "{len}");
            let whole = Head::read(text.as_bytes(), len).unwrap().unwrap();
            assert_eq!(
                (whole.method, whole.target, whole.len),
                ("GET", "/announce?a=b", text.len()),
                "{len}"
            );
        }
        let two = format!("{text}{text}");
        assert_eq!(read(&two).unwrap().unwrap().len, text.len());
    }

    #[test]
    fn a_connection_stays_if_its_version_and_words_say_so() {
        for (head, stays) in [
            ("GET / HTTP/1.1\r\n", true),
            ("GET / HTTP/1.0\r\n", false),
            ("GET / HTTP/1.1\r\nConnection: close\r\n", false),
            ("GET / HTTP/1.1\r\nCONNECTION: x , Close\r\n", false),
            ("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n", true),
            ("GET / HTTP/1.1\r\nContent-Length: 0\r\n", true),
        ] {
            assert_eq!(read(&format!("{head}\r\n")).unwrap().unwrap().keep_alive, stays, "{head}");
        }
    }

    #[test]
    fn what_others_might_read_differently_is_refused() {
        for head in [
            "",
            "GET / HTTP/1.1 \r\n",
            "GET  / HTTP/1.1\r\n",
            "GET / HTTP/1.2\r\n",
            "GET / HTTP/2.0\r\n",
            "GET /\r\n",
            "get / HTTP/1.1\r\n",
            "GET announce HTTP/1.1\r\n",
            "GET http://x/ HTTP/1.1\r\n",
            "GET /\u{e4} HTTP/1.1\r\n",
            "GET /\t HTTP/1.1\r\n",
            "GET / HTTP/1.1\r\nno colon\r\n",
            "GET / HTTP/1.1\r\nName : blank\r\n",
            "GET / HTTP/1.1\r\n: nameless\r\n",
            "GET / HTTP/1.1\r\nA: b\r\n folded: line\r\n",
            "GET / HTTP/1.1\r\nA: b\nB: c\r\n",
            "GET / HTTP/1.1\r\nA: b\rc\r\n",
            "GET / HTTP/1.1\r\nA: b\0\r\n",
            "\r\nGET / HTTP/1.1\r\n",
        ] {
            assert_eq!(read(&format!("{head}\r\n\r\n")), Err(HeadError::Malformed), "{head:?}");
        }
        for field in ["Content-Length: 1", "content-length: +0", "Transfer-Encoding: chunked"] {
            let head = format!("GET / HTTP/1.1\r\n{field}\r\n\r\n");
            assert_eq!(read(&head), Err(HeadError::Body), "{head:?}");
        }
    }

    #[test]
    fn a_head_has_its_longest_length_and_no_byte_more() {
        for (blanks, fits) in [(HEAD_LEN_MAX - 4, true), (HEAD_LEN_MAX - 3, false)] {
            let start = "GET / HTTP/1.1\r\nA: ";
            let head = format!("{start}{}", "x".repeat(blanks - start.len()));
            assert_eq!(read(&format!("{head}\r\n\r\n")).is_ok(), fits, "{blanks}");
        }
        let endless = "x".repeat(HEAD_LEN_MAX);
        assert_eq!(read(&endless[1..]), Ok(None));
        assert_eq!(read(&endless), Err(HeadError::TooLong));
    }

    #[test]
    fn fields_of_one_name_are_found_from_the_last() {
        let text = "GET / HTTP/1.1\r\nX-Forwarded-For: a, b\r\nHost: h\r\nx-forwarded-for:  c \r\n\r\n";
        let head = read(text).unwrap().unwrap();
        assert_eq!(head.values_from_last("X-Forwarded-For").collect::<Vec<_>>(), [&b"c"[..], b"a, b"]);
        assert_eq!(head.values_from_last("Forwarded").count(), 0);
        assert_eq!(read("GET / HTTP/1.1\r\n\r\n").unwrap().unwrap().values_from_last("a").count(), 0);
    }
}
