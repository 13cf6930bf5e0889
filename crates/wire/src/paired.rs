//! What two say to each other who are paired by a code: whole messages, in order, over the records that the exchange of the code led
//! to (`pairing`). Knows how messages are cut and that they end, not what they say; no socket, no clock.
//!
//! ```text
//! kind (1), length (3), so many bytes:   0 still here   1 a message   2 the end
//! ```
//!
//! The end is said, because a line that is cut must not pass for one: who hears no end knows that something may be missing.
//!
//! Invariants: of a message that comes no more is kept than [`MESSAGE_LEN_MAX`], its head and one record; however it is cut into
//! records, a byte is copied a few times at most; after an error, and after the end, nothing more is heard.

use crate::private::{Opener, PrivateError, RECORD_CLEAR_MAX, RECORD_OVERHEAD, Sealer};
use core::fmt;

/// The longest message: the piece hashes of a torrent of 13,000 pieces, or some thousands of file names.
pub const MESSAGE_LEN_MAX: usize = 256 * 1024;

const HEAD_LEN: usize = 4;
const STILL_HERE: u8 = 0;
const MESSAGE: u8 = 1;
const END: u8 = 2;

/// Why nothing more is said or heard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PairedError {
    /// The records are not what the other side sealed, or ours cannot be sealed.
    Private(PrivateError),
    /// A message of this many bytes; [`MESSAGE_LEN_MAX`] are allowed, and none where only the kind counts.
    Length(usize),
    /// A kind of message that there is not.
    Kind(u8),
    /// The other side has said that this was all, or the conversation has ended for one of the other reasons.
    Over,
}

impl fmt::Display for PairedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PairedError::Private(error) => error.fmt(f),
            PairedError::Length(len) => {
                write!(
                    f,
                    "a message of {len} bytes between two who are paired; at most {MESSAGE_LEN_MAX} are allowed"
                )
            }
            PairedError::Kind(kind) => {
                write!(f, "a message of the unknown kind {kind} between two who are paired")
            }
            PairedError::Over => f.write_str("the conversation has ended"),
        }
    }
}

impl core::error::Error for PairedError {}

impl From<PrivateError> for PairedError {
    fn from(error: PrivateError) -> PairedError {
        PairedError::Private(error)
    }
}

/// What is heard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Heard {
    /// A whole message; it may be empty.
    Message(Vec<u8>),
    /// The other side has nothing to say, and is there.
    StillHere,
    /// The other side has said all.
    End,
}

/// Says messages.
#[derive(Debug)]
pub struct Speaker(Sealer);

/// Hears messages.
#[derive(Debug)]
pub struct Listener {
    opener: Opener,
    /// What came and is not opened: from `at` on.
    sealed: Vec<u8>,
    at: usize,
    /// What was opened and is no whole message yet: from `clear_at` on.
    clear: Vec<u8>,
    clear_at: usize,
    over: bool,
}

/// Both halves of a conversation.
pub fn conversation(send: Sealer, opener: Opener) -> (Speaker, Listener) {
    (
        Speaker(send),
        Listener { opener, sealed: Vec::new(), at: 0, clear: Vec::new(), clear_at: 0, over: false },
    )
}

impl Speaker {
    /// Appends a message.
    ///
    /// # Errors
    /// When it is longer than [`MESSAGE_LEN_MAX`], or cannot be sealed. Then nothing is appended.
    pub fn message(&mut self, message: &[u8], out: &mut Vec<u8>) -> Result<(), PairedError> {
        match message.len() {
            0..=MESSAGE_LEN_MAX => self.say(MESSAGE, message, out),
            len => Err(PairedError::Length(len)),
        }
    }

    /// Appends a word that says nothing but that we are here.
    ///
    /// # Errors
    /// When it cannot be sealed. Then nothing is appended.
    pub fn still_here(&mut self, out: &mut Vec<u8>) -> Result<(), PairedError> {
        self.say(STILL_HERE, &[], out)
    }

    /// Appends that this is all.
    ///
    /// # Errors
    /// When it cannot be sealed. Then nothing is appended.
    pub fn end(&mut self, out: &mut Vec<u8>) -> Result<(), PairedError> {
        self.say(END, &[], out)
    }

    fn say(&mut self, kind: u8, body: &[u8], out: &mut Vec<u8>) -> Result<(), PairedError> {
        let [_, a, b, c] = (body.len() as u32).to_be_bytes();
        Ok(self.0.seal([&[kind, a, b, c][..], body], out)?)
    }
}

impl Listener {
    /// These bytes came. They are opened as [`Listener::hear`] is asked: who hands in no more before it says `None` bounds what is
    /// kept here.
    pub fn came(&mut self, bytes: &[u8]) {
        // What was opened is a part of what came since the last time: this moves each byte once, or twice.
        drop(self.sealed.drain(..core::mem::take(&mut self.at)));
        self.sealed.extend_from_slice(bytes);
    }

    /// The next thing that was said, if it is whole.
    ///
    /// # Errors
    /// When the bytes are not what the other side said, or it says what there is not; and after the end.
    pub fn hear(&mut self) -> Result<Option<Heard>, PairedError> {
        if self.over {
            return Err(PairedError::Over);
        }
        let heard = self.go_on();
        self.over = matches!(heard, Err(_) | Ok(Some(Heard::End)));
        heard
    }

    /// Whether something came that is no whole message.
    pub fn is_amid_a_message(&self) -> bool {
        self.at < self.sealed.len() || self.clear_at < self.clear.len()
    }

    fn go_on(&mut self) -> Result<Option<Heard>, PairedError> {
        loop {
            if let Some(heard) = self.cut()? {
                return Ok(Some(heard));
            }
            let sealed = self.sealed.get_mut(self.at..).unwrap_or_default();
            let Some(opened) = self.opener.open(sealed)? else { return Ok(None) };
            self.clear.extend_from_slice(sealed.get(opened.clear).unwrap_or_default());
            self.at += opened.taken;
        }
    }

    fn cut(&mut self) -> Result<Option<Heard>, PairedError> {
        let unread = self.clear.get(self.clear_at..).unwrap_or_default();
        let Some((&[kind, a, b, c], rest)) = unread.split_first_chunk::<HEAD_LEN>() else { return Ok(None) };
        let len = u32::from_be_bytes([0, a, b, c]) as usize;
        let heard = match (kind, len) {
            (STILL_HERE, 0) => Heard::StillHere,
            (END, 0) => Heard::End,
            (MESSAGE, 0..=MESSAGE_LEN_MAX) => match rest.get(..len) {
                Some(body) => Heard::Message(body.to_vec()),
                None => return Ok(None),
            },
            (STILL_HERE | MESSAGE | END, _) => return Err(PairedError::Length(len)),
            (kind, _) => return Err(PairedError::Kind(kind)),
        };
        self.clear_at += HEAD_LEN + len;
        // Many short ones in a record are passed over one by one, and moved never.
        if self.clear_at == self.clear.len() {
            self.clear.clear();
            self.clear.shrink_to(RECORD_CLEAR_MAX);
            self.clear_at = 0;
        } else if self.clear_at > RECORD_CLEAR_MAX + RECORD_OVERHEAD {
            drop(self.clear.drain(..core::mem::take(&mut self.clear_at)));
        }
        Ok(Some(heard))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::Code;
    use crate::pairing::{Hello, Receiver};

    /// Two who are paired.
    fn both() -> [(Speaker, Listener); 2] {
        let code: Code = "42-apple-river".parse().unwrap();
        let (mut forth, mut back) = (Vec::new(), Vec::new());
        let mut receiver = Receiver::new(&code, [3; 64], &mut forth);
        let sharer = Hello::read(&forth).unwrap().unwrap().answer(&code, [5; 64], &mut back).unwrap();
        forth.clear();
        receiver.read(&back, &mut forth).unwrap();
        back.clear();
        let sharer = sharer.claim(forth[..].try_into().unwrap()).accept(&mut back).unwrap();
        let receiver = receiver.read(&back, &mut forth).unwrap().1.unwrap();
        [sharer, receiver].map(|paired| conversation(paired.send, paired.receive))
    }

    /// What is heard of these bytes when they come in steps, and how that ends.
    fn hear(listener: &mut Listener, bytes: &[u8], step: usize) -> (Vec<Heard>, Result<(), PairedError>) {
        let mut heard = Vec::new();
        for part in bytes.chunks(step) {
            listener.came(part);
            loop {
                match listener.hear() {
                    Ok(Some(Heard::End)) => {
                        heard.push(Heard::End);
                        break;
                    }
                    Ok(Some(new)) => heard.push(new),
                    Ok(None) => break,
                    Err(error) => return (heard, Err(error)),
                }
            }
            let most = MESSAGE_LEN_MAX + HEAD_LEN + 2 * (RECORD_CLEAR_MAX + RECORD_OVERHEAD);
            assert!(listener.clear.len() <= most && listener.sealed.len() <= step + RECORD_CLEAR_MAX + 50);
        }
        (heard, Ok(()))
    }

    #[test]
    fn messages_come_whole_and_in_order_however_they_are_cut() {
        let lengths = [0, 1, 5, 16_508, 16_509, 40_000, MESSAGE_LEN_MAX, 3, 0, 7];
        for step in [1, 17, 1_000, 65_536, usize::MAX] {
            let [(mut speaker, _), (_, mut listener)] = both();
            let (mut said, mut expected) = (Vec::new(), Vec::new());
            for (number, len) in lengths.into_iter().enumerate() {
                let message = vec![number as u8; len];
                speaker.message(&message, &mut said).unwrap();
                speaker.still_here(&mut said).unwrap();
                expected.extend([Heard::Message(message), Heard::StillHere]);
            }
            speaker.end(&mut said).unwrap();
            expected.push(Heard::End);
            let step = step.min(said.len());
            let (heard, ended) = hear(&mut listener, &said, step);
            assert!(
                heard == expected && ended == Ok(()),
                "in steps of {step}: {} heard, {ended:?}",
                heard.len()
            );
            assert_eq!(listener.hear(), Err(PairedError::Over), "after the end there is nothing");
            assert!(!listener.is_amid_a_message());
        }
    }

    #[test]
    fn both_may_speak_at_once_and_neither_hears_itself() {
        let [(mut a, mut hears_b), (mut b, mut hears_a)] = both();
        let (mut forth, mut back) = (Vec::new(), Vec::new());
        a.message(b"forth", &mut forth).unwrap();
        b.message(b"back", &mut back).unwrap();
        assert_eq!(hear(&mut hears_a, &forth, 9).0, [Heard::Message(b"forth".to_vec())]);
        assert_eq!(hear(&mut hears_b, &back, 9).0, [Heard::Message(b"back".to_vec())]);
        a.message(b"again", &mut forth).unwrap();
        let (heard, ended) = hear(&mut hears_b, &forth, 9);
        assert_eq!((heard, ended), (vec![], Err(PairedError::Private(PrivateError::Altered))));
    }

    #[test]
    fn what_there_is_not_is_refused_before_its_body_is_there() {
        for (head, error) in [
            ([STILL_HERE, 0, 0, 1], PairedError::Length(1)),
            ([END, 0, 0, 1], PairedError::Length(1)),
            ([MESSAGE, 4, 0, 1], PairedError::Length(MESSAGE_LEN_MAX + 1)),
            ([MESSAGE, 255, 255, 255], PairedError::Length((1 << 24) - 1)),
            ([3, 0, 0, 0], PairedError::Kind(3)),
            ([255, 0, 0, 0], PairedError::Kind(255)),
        ] {
            let [(mut speaker, _), (_, mut listener)] = both();
            let mut said = Vec::new();
            speaker.0.seal([&head[..]], &mut said).unwrap();
            assert_eq!(hear(&mut listener, &said, 100), (vec![], Err(error)));
            assert_eq!(listener.hear(), Err(PairedError::Over));
        }
        let [(mut speaker, _), _] = both();
        let mut said = Vec::new();
        let too_long = speaker.message(&vec![0; MESSAGE_LEN_MAX + 1], &mut said);
        assert_eq!((too_long, said), (Err(PairedError::Length(MESSAGE_LEN_MAX + 1)), vec![]));
    }

    #[test]
    fn what_is_cut_off_is_not_taken_for_the_end() {
        let [(mut speaker, _), (_, mut listener)] = both();
        let mut said = Vec::new();
        speaker.message(b"hello", &mut said).unwrap();
        let first = said.len();
        speaker.end(&mut said).unwrap();
        let (heard, _) = hear(&mut listener, &said[..said.len() - 1], 1);
        assert_eq!((heard, listener.is_amid_a_message()), (vec![Heard::Message(b"hello".to_vec())], true));
        assert!(first < said.len());
    }

    /// As many short records as there are bytes: each message costs a few times its length, not its square.
    #[test]
    fn records_of_one_byte_are_heard_too() {
        let [(mut speaker, _), (_, mut listener)] = both();
        let mut said = Vec::new();
        let message = [&[MESSAGE, 0, 0x27, 0x10][..], &[9; 10_000]].concat();
        message.iter().for_each(|byte| speaker.0.seal([&[*byte][..]], &mut said).unwrap());
        let (heard, ended) = hear(&mut listener, &said, 64 * 1024);
        assert_eq!((heard, ended), (vec![Heard::Message(vec![9; 10_000])], Ok(())));
    }
}
