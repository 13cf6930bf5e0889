//! Codes that people say to each other, such as `42-apple-river`: a number that everybody may hear, and two words that are a
//! secret. The number (the nameplate) is shown to the whole network, so that who was given a code tries only those shares whose
//! number fits; the words go nowhere but into a password-authenticated exchange (`pairing`).
//!
//! Two words of 2,048 are 22 bits: who may guess five times finds them with a chance of 1 in 838,860. So few suffice only because each guess
//! takes the other side's part; nothing that passes can be guessed at afterwards.
//!
//! Typing is forgiven much: case, blanks, dashes, any order of number and words, and beginnings of words that no other has.

mod words;

pub use words::{WORD_COUNT, words};

use crate::DisplaySafe;
use core::fmt;
use core::str::FromStr;
use words::{Found, find, word};

/// The largest nameplate: three digits are still said easily.
pub const NAMEPLATE_MAX: u16 = 999;

/// What is typed as a code may be this long: far longer than any code.
pub const TYPED_BYTES_MAX: usize = 100;

/// Bytes of chance that a code is drawn from.
pub const CODE_CHANCE_LEN: usize = 6;

/// Words offered to who mistyped one.
const NEAR_MAX: usize = 3;

/// A code. Its `Display` is for who is to say it, or who typed it, and for nobody else.
#[derive(Clone, PartialEq, Eq)]
pub struct Code {
    nameplate: u16,
    words: [&'static str; 2],
}

impl Code {
    /// A code from chance that nobody can predict; all words are equally likely. The nameplate may be one's own choice, such as
    /// one that no other share in the room has ([`Code::with_nameplate`]).
    pub fn draw(chance: [u8; CODE_CHANCE_LEN]) -> Code {
        let [a, b, c, d, e, f] = chance;
        let words = [word(u16::from_be_bytes([a, b])), word(u16::from_be_bytes([c, d]))];
        Code { nameplate: u16::from_be_bytes([e, f]) % NAMEPLATE_MAX + 1, words }
    }

    /// The same words under another number; out of 1 to [`NAMEPLATE_MAX`] the nearest of these.
    pub fn with_nameplate(self, nameplate: u16) -> Code {
        Code { nameplate: nameplate.clamp(1, NAMEPLATE_MAX), ..self }
    }

    /// The number that everybody may know: 1 to [`NAMEPLATE_MAX`].
    pub fn nameplate(&self) -> u16 {
        self.nameplate
    }

    /// The secret, in the one way in which it is written.
    pub(crate) fn password(&self) -> String {
        self.words.join("-")
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second] = self.words;
        write!(f, "{}-{first}-{second}", self.nameplate)
    }
}

/// Without the secret.
impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Code({}-..)", self.nameplate)
    }
}

/// Why what was typed is no code.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CodeError {
    /// It is longer than [`TYPED_BYTES_MAX`].
    TooLong,
    /// There is no number in it.
    NoNumber,
    /// There are several.
    SecondNumber(DisplaySafe),
    /// The number is not 1 to [`NAMEPLATE_MAX`].
    NoSuchNumber(DisplaySafe),
    /// It has not two words, but so many.
    Words(usize),
    /// This is none of our words; these are near.
    NoSuchWord(DisplaySafe, Vec<&'static str>),
    /// So begin several words; these are the first of them.
    SeveralWords(DisplaySafe, Vec<&'static str>),
}

impl fmt::Display for CodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LIKE: &str = "a code is a number and two words, such as 42-apple-river";
        match self {
            CodeError::TooLong => write!(f, "that is too long: {LIKE}"),
            CodeError::NoNumber => write!(f, "the number is missing: {LIKE}"),
            CodeError::SecondNumber(typed) => write!(f, "{typed} is one number too many: {LIKE}"),
            CodeError::NoSuchNumber(typed) => {
                write!(f, "no code has the number {typed}: they go from 1 to {NAMEPLATE_MAX}")
            }
            CodeError::Words(0) => write!(f, "the words are missing: {LIKE}"),
            CodeError::Words(1) => write!(f, "the second word is missing: {LIKE}"),
            CodeError::Words(count) => write!(f, "{count} words instead of two: {LIKE}"),
            CodeError::NoSuchWord(typed, near) => match near.split_last() {
                None => write!(f, "no such word: {typed}"),
                Some((last, [])) => write!(f, "no such word: {typed}; did you mean {last}?"),
                Some((last, first)) => {
                    write!(f, "no such word: {typed}; did you mean {} or {last}?", first.join(", "))
                }
            },
            CodeError::SeveralWords(typed, could) => {
                write!(f, "{typed} begins several words ({}, ...): type more of it", could.join(", "))
            }
        }
    }
}

impl core::error::Error for CodeError {}

impl FromStr for Code {
    type Err = CodeError;

    fn from_str(typed: &str) -> Result<Code, CodeError> {
        if typed.len() > TYPED_BYTES_MAX {
            return Err(CodeError::TooLong);
        }
        let (mut nameplate, mut words) = (None, Vec::new());
        for part in parts(typed) {
            if !part.starts_with(|first: char| first.is_ascii_digit()) {
                words.push(part.to_lowercase());
            } else if nameplate.is_some() {
                return Err(CodeError::SecondNumber(DisplaySafe::new(part)));
            } else {
                let number = part.parse().ok().filter(|number| (1..=NAMEPLATE_MAX).contains(number));
                nameplate = Some(number.ok_or_else(|| CodeError::NoSuchNumber(DisplaySafe::new(part)))?);
            }
        }
        let nameplate = nameplate.ok_or(CodeError::NoNumber)?;
        let [first, second] = &words[..] else { return Err(CodeError::Words(words.len())) };
        Ok(Code { nameplate, words: [known(first)?, known(second)?] })
    }
}

fn known(typed: &str) -> Result<&'static str, CodeError> {
    match find(typed) {
        Found::Word(word) => Ok(word),
        Found::Several(could) => Err(CodeError::SeveralWords(DisplaySafe::new(typed), could)),
        Found::None(near) => Err(CodeError::NoSuchWord(DisplaySafe::new(typed), near)),
    }
}

/// Runs of digits and runs of letters; everything else separates.
fn parts(typed: &str) -> impl Iterator<Item = &str> {
    let between = |letter: char| !letter.is_alphanumeric();
    typed.split(between).flat_map(|run| {
        let mut rest = run;
        core::iter::from_fn(move || {
            let digits = rest.starts_with(|first: char| first.is_ascii_digit());
            let end = rest.find(|other: char| other.is_ascii_digit() != digits).unwrap_or(rest.len());
            let (part, later) = rest.split_at(end);
            rest = later;
            (!part.is_empty()).then_some(part)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_type_is_understood() {
        for typed in [
            "42-apple-river",
            "42 Apple River",
            "  42--APPLE__river\n",
            "42appleRIVER".replace("appleR", "apple r").as_str(),
            "apple river 42",
            "apple42river",
            "042-appl-rive",
            "42, appl; river.",
            "\u{ff}42\u{2013}apple\u{2013}river".trim_start_matches('\u{ff}'),
        ] {
            let code: Code = typed.parse().unwrap_or_else(|error| panic!("{typed:?}: {error}"));
            assert_eq!((code.to_string().as_str(), code.nameplate()), ("42-apple-river", 42), "{typed:?}");
        }
        // A word that others begin with is meant when it is typed whole.
        assert_eq!("7-act-use".parse::<Code>().unwrap().to_string(), "7-act-use");
    }

    #[test]
    fn what_is_wrong_with_a_code_is_said() {
        for (typed, said) in [
            ("", "the number is missing: a code is a number and two words, such as 42-apple-river"),
            (
                "apple river",
                "the number is missing: a code is a number and two words, such as 42-apple-river",
            ),
            ("42", "the words are missing: a code is a number and two words, such as 42-apple-river"),
            (
                "42 apple",
                "the second word is missing: a code is a number and two words, such as 42-apple-river",
            ),
            (
                "42 apple river zoo",
                "3 words instead of two: a code is a number and two words, such as 42-apple-river",
            ),
            (
                "42 apple 7 river",
                "7 is one number too many: a code is a number and two words, such as 42-apple-river",
            ),
            ("0-apple-river", "no code has the number 0: they go from 1 to 999"),
            ("1000-apple-river", "no code has the number 1000: they go from 1 to 999"),
            (
                "99999999999999999999-apple-river",
                "no code has the number 99999999999999999999: they go from 1 to 999",
            ),
            ("42-aple-river", "no such word: aple; did you mean able, apple or maple?"),
            ("42-apple-rivr", "no such word: rivr; did you mean river?"),
            ("42-apple-qqqqqq", "no such word: qqqqqq"),
            ("42-ap-river", "ap begins several words (apart, apology, appear, ...): type more of it"),
            (
                "42-\u{1b}[31mapple-r\u{ef}ver",
                "31 is one number too many: a code is a number and two words, such as 42-apple-river",
            ),
            ("42-apple-r\u{ef}ver", "no such word: r\u{ef}ver; did you mean river?"),
        ] {
            assert_eq!(typed.parse::<Code>().unwrap_err().to_string(), said, "{typed:?}");
        }
        assert_eq!("4".repeat(TYPED_BYTES_MAX + 1).parse::<Code>(), Err(CodeError::TooLong));
    }

    #[test]
    fn chance_reaches_every_word_and_number_and_nothing_else() {
        let mut drawn = std::collections::BTreeMap::new();
        for n in 0..2 * WORD_COUNT {
            let [high, low] = n.to_be_bytes();
            let code = Code::draw([high, low, low, high, high, low]);
            assert!((1..=NAMEPLATE_MAX).contains(&code.nameplate()));
            if n % 97 == 0 {
                assert_eq!(code.to_string().parse::<Code>().as_ref(), Ok(&code));
            }
            *drawn.entry(code.words[0]).or_insert(0) += 1;
        }
        assert_eq!(drawn.len(), usize::from(WORD_COUNT));
        assert!(drawn.values().all(|count| *count == 2), "each as often as the others");
    }

    #[test]
    fn a_code_is_not_shown_by_accident() {
        let code: Code = "42-apple-river".parse().unwrap();
        assert_eq!(format!("{code:?}"), "Code(42-..)");
        assert_eq!(code.with_nameplate(0).to_string(), "1-apple-river");
    }
}
