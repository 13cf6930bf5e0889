//! The cursor: a place on the tape, cheap to copy, that answers what stands there.

use core::fmt;

use super::tape::Token;

/// A value inside a [`super::Bencode`]; `'a` is the input's lifetime, `'t` the tape's.
#[derive(Clone, Copy)]
pub struct Value<'t, 'a> {
    input: &'a [u8],
    tape: &'t [Token],
    index: usize,
}

/// The four kinds of values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `i42e`
    Int,
    /// `4:spam`
    Bytes,
    /// `l...e`
    List,
    /// `d...e`
    Dict,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Int => "an integer",
            Kind::Bytes => "a string",
            Kind::List => "a list",
            Kind::Dict => "a dictionary",
        })
    }
}

impl<'t, 'a> Value<'t, 'a> {
    pub(super) fn new(input: &'a [u8], tape: &'t [Token], index: usize) -> Value<'t, 'a> {
        Value { input, tape, index }
    }

    /// What kind of value this is.
    pub fn kind(&self) -> Kind {
        match self.raw().first() {
            Some(b'i') => Kind::Int,
            Some(b'l') => Kind::List,
            Some(b'd') => Kind::Dict,
            _ => Kind::Bytes,
        }
    }

    /// The integer, if this is one and fits.
    pub fn as_int(&self) -> Option<i64> {
        let raw = self.raw();
        integer(raw.strip_prefix(b"i")?.strip_suffix(b"e")?)
    }

    /// The integer as a count or a size: not negative.
    pub fn as_uint(&self) -> Option<u64> {
        u64::try_from(self.as_int()?).ok()
    }

    /// The string's bytes, if this is a string.
    pub fn as_bytes(&self) -> Option<&'a [u8]> {
        text(self.input, self.token())
    }

    /// The string, if this is one and UTF-8.
    pub fn as_str(&self) -> Option<&'a str> {
        core::str::from_utf8(self.as_bytes()?).ok()
    }

    /// The items, if this is a list.
    pub fn as_list(&self) -> Option<Items<'t, 'a>> {
        (self.kind() == Kind::List).then(|| Items { at: self.first_child(), end: self.next(), of: *self })
    }

    /// The keys and values as they stand, if this is a dictionary.
    pub fn as_dict(&self) -> Option<Entries<'t, 'a>> {
        (self.kind() == Kind::Dict)
            .then(|| Entries(Items { at: self.first_child(), end: self.next(), of: *self }))
    }

    /// The value under the key, if this is a dictionary that has it: of equal keys the first. Scans the dictionary.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<Value<'t, 'a>> {
        let key = key.as_ref();
        self.as_dict()?.find_map(|(name, value)| (name == key).then_some(value))
    }

    /// The bytes that this value was read from.
    pub fn raw(&self) -> &'a [u8] {
        let token = self.token();
        self.input.get(token.start as usize..token.end as usize).unwrap_or_default()
    }

    /// Where the value starts in the input, in bytes.
    pub fn offset(&self) -> usize {
        self.token().start as usize
    }

    fn token(&self) -> Token {
        self.tape.get(self.index).copied().unwrap_or(Token { start: 0, end: 0 })
    }

    fn first_child(&self) -> usize {
        self.index + 1
    }

    /// Tape index of what comes after this value and all in it. Gallops, so that skipping costs the logarithm of what is skipped.
    fn next(&self) -> usize {
        let end = self.token().end;
        let behind = self.tape.get(self.first_child()..).unwrap_or_default();
        let mut step = 1;
        while behind.get(step - 1).is_some_and(|token| token.start < end) {
            step *= 2;
        }
        let window = behind.get(..step.min(behind.len())).unwrap_or_default();
        self.first_child() + window.partition_point(|token| token.start < end)
    }
}

/// The items of a list.
#[derive(Clone)]
pub struct Items<'t, 'a> {
    at: usize,
    end: usize,
    of: Value<'t, 'a>,
}

impl<'t, 'a> Iterator for Items<'t, 'a> {
    type Item = Value<'t, 'a>;

    fn next(&mut self) -> Option<Value<'t, 'a>> {
        if self.at >= self.end {
            return None;
        }
        let item = Value { index: self.at, ..self.of };
        self.at = item.next();
        Some(item)
    }
}

/// The keys and values of a dictionary, in the order of the input.
#[derive(Clone)]
pub struct Entries<'t, 'a>(Items<'t, 'a>);

impl<'t, 'a> Iterator for Entries<'t, 'a> {
    type Item = (&'a [u8], Value<'t, 'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let key = self.0.next()?.as_bytes()?;
        Some((key, self.0.next()?))
    }
}

/// The body of a string's raw span.
pub(super) fn text(input: &[u8], token: Token) -> Option<&[u8]> {
    let raw = input.get(token.start as usize..token.end as usize)?;
    raw.first().filter(|byte| byte.is_ascii_digit())?;
    let colon = raw.iter().position(|&byte| byte == b':')?;
    raw.get(colon + 1..)
}

/// Digits with an optional minus, as a number if it fits.
pub(super) fn integer(digits: &[u8]) -> Option<i64> {
    let (negative, magnitude) = match digits.strip_prefix(b"-") {
        Some(magnitude) => (true, magnitude),
        None => (false, digits),
    };
    magnitude.iter().try_fold(0_i64, |sum, byte| {
        let digit = i64::from(byte.checked_sub(b'0')?);
        let tens = sum.checked_mul(10)?;
        if negative { tens.checked_sub(digit) } else { tens.checked_add(digit) }
    })
}

/// Most bytes of one string that `Debug` shows.
const SHOWN_BYTES_MAX: usize = 64;

impl fmt::Debug for Value<'_, '_> {
    /// Python-like, on one line; long strings are cut. For people who debug, not for machines.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // (where the container ends, whether it is a dictionary, items so far)
        let mut open: Vec<(u32, bool, usize)> = Vec::new();
        for index in self.index..self.next() {
            let value = Value { index, ..*self };
            let token = value.token();
            while let Some((_, dict, _)) = open.pop_if(|(end, _, _)| *end <= token.start) {
                f.write_str(if dict { "}" } else { "]" })?;
            }
            if let Some((_, dict, items)) = open.last_mut() {
                f.write_str(match (*items, *dict && *items % 2 == 1) {
                    (0, _) => "",
                    (_, true) => ": ",
                    (_, false) => ", ",
                })?;
                *items += 1;
            }
            match value.kind() {
                Kind::Int => {
                    let raw = value.raw();
                    write!(f, "{}", raw.get(1..raw.len() - 1).unwrap_or_default().escape_ascii())?;
                }
                Kind::Bytes => {
                    let bytes = value.as_bytes().unwrap_or_default();
                    let shown = bytes.get(..SHOWN_BYTES_MAX).unwrap_or(bytes);
                    write!(f, "\"{}\"", shown.escape_ascii())?;
                    if shown.len() < bytes.len() {
                        write!(f, "+{}", bytes.len() - shown.len())?;
                    }
                }
                kind @ (Kind::List | Kind::Dict) => {
                    let dict = kind == Kind::Dict;
                    f.write_str(if dict { "{" } else { "[" })?;
                    open.push((token.end, dict, 0));
                }
            }
        }
        open.iter().rev().try_for_each(|(_, dict, _)| f.write_str(if *dict { "}" } else { "]" }))
    }
}
