//! Bytes to tape: two flat passes, the first counts, the second fills.
//!
//! Invariant: tokens are in the order of their starts; a container's `end` lies behind the ends of all it holds.

use super::{BencodeError, BencodeFault, Limits, Oddities, Oddity, Value};

/// One decoded value with everything in it, over bytes that it borrows.
#[derive(Clone)]
pub struct Bencode<'a> {
    input: &'a [u8],
    tape: Vec<Token>,
    oddities: Oddities,
}

/// A value's raw span. What kind it is, its first byte says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Token {
    pub(super) start: u32,
    /// One past its last byte. While a container is open: the tape index of the container around it.
    pub(super) end: u32,
}

impl<'a> Bencode<'a> {
    /// Decodes one value. Bytes behind it are forgiven and reported as [`Oddity::TrailingBytes`].
    pub fn parse(input: &'a [u8], limits: &Limits) -> Result<Bencode<'a>, BencodeError> {
        if input.len() > limits.bytes {
            return Err(BencodeError { offset: limits.bytes, fault: BencodeFault::TooLong });
        }
        let mut parsed = Bencode::parse_prefix(input, limits)?;
        let end = parsed.encoded_len();
        if end < input.len() {
            parsed.oddities.note(Oddity::TrailingBytes, end);
        }
        Ok(parsed)
    }

    /// Decodes the value that the input begins with; [`Bencode::rest`] is what follows it, as in BEP 9's messages.
    ///
    /// The limit on bytes holds for the value, not for what follows.
    pub fn parse_prefix(input: &'a [u8], limits: &Limits) -> Result<Bencode<'a>, BencodeError> {
        let most = limits.bytes.min(u32::MAX as usize);
        let head = input.get(..most).unwrap_or(input);
        let tokens = count_tokens(head, limits).map_err(|error| match error.fault {
            // The value would have gone on behind the limit.
            BencodeFault::Truncated | BencodeFault::StringPastEnd if head.len() < input.len() => {
                BencodeError { offset: most, fault: BencodeFault::TooLong }
            }
            _ => error,
        })?;
        let mut filler = Filler::new(head, tokens);
        filler.run()?;
        Ok(Bencode { input, tape: filler.tape, oddities: filler.oddities })
    }

    /// The value itself, to walk from.
    pub fn root(&self) -> Value<'_, 'a> {
        Value::new(self.input, &self.tape, 0)
    }

    /// How many bytes the value takes.
    pub fn encoded_len(&self) -> usize {
        self.tape.first().map_or(0, |root| root.end as usize)
    }

    /// The bytes behind the value.
    pub fn rest(&self) -> &'a [u8] {
        self.input.get(self.encoded_len()..).unwrap_or_default()
    }

    /// What was not canonical and forgiven.
    pub fn oddities(&self) -> &Oddities {
        &self.oddities
    }

    /// How many values there are, keys included.
    pub fn tokens(&self) -> usize {
        self.tape.len()
    }
}

impl core::fmt::Debug for Bencode<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.root().fmt(f)
    }
}

/// What stands at a place, without regard to what is around it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lexeme {
    Int,
    Bytes,
    List,
    Dict,
    End,
}

/// Reads what starts at `at`; says where it ends (for a container: where its first item starts).
fn lex(input: &[u8], at: usize) -> Result<(Lexeme, usize), BencodeError> {
    let fault = |fault| Err(BencodeError { offset: at, fault });
    match input.get(at) {
        None => fault(BencodeFault::Truncated),
        Some(b'l') => Ok((Lexeme::List, at + 1)),
        Some(b'd') => Ok((Lexeme::Dict, at + 1)),
        Some(b'e') => Ok((Lexeme::End, at + 1)),
        Some(b'i') => {
            let minus = usize::from(input.get(at + 1) == Some(&b'-'));
            let first = at + 1 + minus;
            let digits = digits_at(input, first);
            match input.get(first + digits) {
                Some(b'e') if digits > 0 => Ok((Lexeme::Int, first + digits + 1)),
                Some(_) => fault(BencodeFault::BadInteger),
                None => fault(BencodeFault::Truncated),
            }
        }
        Some(b'0'..=b'9') => {
            let digits = digits_at(input, at);
            match input.get(at + digits) {
                Some(b':') => {}
                Some(_) => return fault(BencodeFault::BadLength),
                None => return fault(BencodeFault::Truncated),
            }
            let body = at + digits + 1;
            let len = number(input.get(at..at + digits).unwrap_or_default());
            match body.checked_add(len).filter(|&end| end <= input.len()) {
                Some(end) => Ok((Lexeme::Bytes, end)),
                None => fault(BencodeFault::StringPastEnd),
            }
        }
        Some(&byte) => fault(BencodeFault::NotAValue(byte)),
    }
}

fn digits_at(input: &[u8], at: usize) -> usize {
    input.get(at..).unwrap_or_default().iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// Digits as a number; as much as fits if it does not, which no input is as long as.
fn number(digits: &[u8]) -> usize {
    digits
        .iter()
        .fold(0, |sum: usize, digit| sum.saturating_mul(10).saturating_add(usize::from(digit - b'0')))
}

/// Counts the values of the one that `input` begins with, and finds nearly every fault before anything is allocated.
fn count_tokens(input: &[u8], limits: &Limits) -> Result<usize, BencodeError> {
    let (mut at, mut depth, mut tokens) = (0, 0_usize, 0_usize);
    loop {
        let (lexeme, end) = lex(input, at)?;
        match lexeme {
            Lexeme::End if depth == 0 => {
                return Err(BencodeError { offset: at, fault: BencodeFault::NotAValue(b'e') });
            }
            Lexeme::End => depth -= 1,
            Lexeme::List | Lexeme::Dict => depth += 1,
            Lexeme::Int | Lexeme::Bytes => {}
        }
        tokens += usize::from(lexeme != Lexeme::End);
        if depth > limits.depth {
            return Err(BencodeError { offset: at, fault: BencodeFault::TooDeep });
        }
        if tokens > limits.tokens {
            return Err(BencodeError { offset: at, fault: BencodeFault::TooManyTokens });
        }
        if depth == 0 {
            return Ok(tokens);
        }
        at = end;
    }
}

/// No container is open.
const OUTSIDE: u32 = u32::MAX;

/// The second pass.
struct Filler<'a> {
    input: &'a [u8],
    tape: Vec<Token>,
    oddities: Oddities,
    /// Tape index of the innermost open container, or [`OUTSIDE`].
    open: u32,
    /// The open container is a dictionary.
    in_dict: bool,
    /// The next thing in the open dictionary must be a key or its end.
    key_due: bool,
    /// Tape index of the open dictionary's last key.
    last_key: Option<u32>,
}

impl<'a> Filler<'a> {
    fn new(input: &'a [u8], tokens: usize) -> Filler<'a> {
        Filler {
            input,
            tape: Vec::with_capacity(tokens),
            oddities: Oddities::default(),
            open: OUTSIDE,
            in_dict: false,
            key_due: false,
            last_key: None,
        }
    }

    fn run(&mut self) -> Result<(), BencodeError> {
        let mut at = 0;
        loop {
            let (lexeme, end) = lex(self.input, at)?;
            if self.key_due && !matches!(lexeme, Lexeme::Bytes | Lexeme::End) {
                return Err(BencodeError { offset: at, fault: BencodeFault::KeyNotString });
            }
            match lexeme {
                Lexeme::Int => {
                    self.note_integer(at, end);
                    self.scalar(at, end);
                }
                Lexeme::Bytes => {
                    if self.input.get(at) == Some(&b'0') && self.input.get(at + 1) != Some(&b':') {
                        self.oddities.note(Oddity::LengthLeadingZero, at);
                    }
                    self.scalar(at, end);
                }
                Lexeme::List | Lexeme::Dict => self.enter(at, lexeme == Lexeme::Dict),
                Lexeme::End => self.leave(at, end)?,
            }
            if self.open == OUTSIDE {
                return Ok(());
            }
            at = end;
        }
    }

    /// A value that holds no others; in a dictionary, keys and values take turns.
    fn scalar(&mut self, at: usize, end: usize) {
        let index = self.tape.len() as u32;
        self.tape.push(Token { start: at as u32, end: end as u32 });
        if !self.in_dict {
            return;
        }
        if self.key_due {
            self.compare_keys(index);
            self.last_key = Some(index);
        }
        self.key_due = !self.key_due;
    }

    fn enter(&mut self, at: usize, dict: bool) {
        let index = self.tape.len() as u32;
        self.tape.push(Token { start: at as u32, end: self.open });
        (self.open, self.in_dict, self.key_due, self.last_key) = (index, dict, dict, None);
    }

    fn leave(&mut self, at: usize, end: usize) -> Result<(), BencodeError> {
        if self.in_dict && !self.key_due {
            return Err(BencodeError { offset: at, fault: BencodeFault::KeyWithoutValue });
        }
        let closed = self.open;
        if let Some(token) = self.tape.get_mut(closed as usize) {
            self.open = core::mem::replace(&mut token.end, end as u32);
        }
        self.in_dict =
            self.tape.get(self.open as usize).is_some_and(|token| self.byte(token.start) == Some(b'd'));
        // What closed was a value, so a key is due; its own key stands right before it on the tape.
        self.key_due = self.in_dict;
        self.last_key = self.in_dict.then(|| closed.saturating_sub(1));
        Ok(())
    }

    fn compare_keys(&mut self, index: u32) {
        let Some(last) = self.last_key else { return };
        let (before, key) = (self.text(last), self.text(index));
        let offset = self.tape.get(index as usize).map_or(0, |token| token.start as usize);
        match before.cmp(key) {
            core::cmp::Ordering::Less => {}
            core::cmp::Ordering::Equal => self.oddities.note(Oddity::DuplicateKey, offset),
            core::cmp::Ordering::Greater => self.oddities.note(Oddity::KeyOrder, offset),
        }
    }

    fn note_integer(&mut self, at: usize, end: usize) {
        let digits = self.input.get(at + 1..end - 1).unwrap_or_default();
        let magnitude = digits.strip_prefix(b"-").unwrap_or(digits);
        if magnitude.len() > 1 && magnitude.first() == Some(&b'0') {
            self.oddities.note(Oddity::LeadingZero, at);
        }
        if digits.first() == Some(&b'-') && magnitude.iter().all(|&digit| digit == b'0') {
            self.oddities.note(Oddity::NegativeZero, at);
        }
        if super::value::integer(digits).is_none() {
            self.oddities.note(Oddity::HugeInteger, at);
        }
    }

    fn byte(&self, at: u32) -> Option<u8> {
        self.input.get(at as usize).copied()
    }

    fn text(&self, index: u32) -> &'a [u8] {
        let token = self.tape.get(index as usize).copied();
        token.and_then(|token| super::value::text(self.input, token)).unwrap_or_default()
    }
}
