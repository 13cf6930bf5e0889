//! MSE: both sides talk to each other while the script changes bytes on the way, puts some in between, and cuts what passes.
//! RC4 lets every bit of a field be turned from outside, so each field is reached behind keys that fit.
//!
//! Promises: never more taken than there is; what is written is bounded; after an error nothing more is taken; how the bytes
//! are cut changes nothing; what nobody touched is agreed upon, with ciphers that fit.

use crate::script::Script;
use wire::InfoHash;
use wire::mse::{Agreed, Chance, Initiator, KEY_LEN, Method, MseError, PAD_LEN_MAX, Responder, torrent_key};

/// Changes to the bytes on their way.
const CHANGES_MAX: usize = 6;

/// What each side says at most: key, padding, then marks, fields and what is said at once.
const SAID_MAX: usize = KEY_LEN + PAD_LEN_MAX + 40 + 16 + PAD_LEN_MAX + 255;

const TORRENT: InfoHash = InfoHash([7; 20]);

/// One input: what both sides want, what happens to their bytes, where they are cut.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let wishes = Wishes::read(&mut script);
    let changes: Vec<Change> =
        (0..script.below(CHANGES_MAX + 1)).map(|_| Change::read(&mut script)).collect();
    let whole = wishes.converse(&changes, usize::MAX);
    let cut = wishes.converse(&changes, 1 + script.below(200));
    assert_eq!(whole, cut);
    let common = wishes.take.iter().find(|method| wishes.offer.contains(method));
    if let (true, Some(common)) = (changes.is_empty() && wishes.known, common) {
        assert_eq!(whole.ends, [Some(Ok(*common)), Some(Ok(*common))]);
        assert!(whole.fits, "the ciphers of both sides fit");
    }
}

struct Wishes {
    offer: Vec<Method>,
    take: Vec<Method>,
    pads: [Vec<u8>; 2],
    zeros: [u16; 2],
    payload: Vec<u8>,
    known: bool,
}

/// What the script does to one direction.
struct Change {
    to_responder: bool,
    at: usize,
    /// Turned by these bits, or put in between.
    byte: u8,
    insert: u16,
}

/// How a conversation went.
#[derive(Debug, PartialEq)]
struct Story {
    /// What initiator and responder came to.
    ends: [Option<Result<Method, MseError>>; 2],
    said: [Vec<u8>; 2],
    fits: bool,
}

/// One direction: what was said, and how far it was heard.
#[derive(Default)]
struct Pipe {
    bytes: Vec<u8>,
    changed: usize,
    heard: usize,
}

impl Wishes {
    fn read(script: &mut Script<'_>) -> Wishes {
        let mut methods = || match script.below(5) {
            0 => vec![Method::Rc4],
            1 => vec![Method::Plaintext],
            2 => vec![Method::Rc4, Method::Plaintext],
            3 => vec![Method::Plaintext, Method::Rc4],
            _ => vec![],
        };
        let (offer, take) = (methods(), methods());
        let pads = [0; 2].map(|_| vec![script.byte(); usize::from(script.byte()) * 3]);
        let zeros = [0; 2].map(|_| u16::from(script.byte()) * 3);
        Wishes { offer, take, pads, zeros, payload: script.bytes(255).to_vec(), known: !script.flag() }
    }

    fn chance(&self, side: usize) -> Chance<'_> {
        Chance { private_key: [side as u8 + 1; 20], pad: &self.pads[side], zeros: self.zeros[side] }
    }

    fn converse(&self, changes: &[Change], step: usize) -> Story {
        let [mut forth, mut back] = [Pipe::default(), Pipe::default()];
        let mut initiator =
            Initiator::new(TORRENT, &self.offer, &self.payload, self.chance(0), &mut forth.bytes);
        let mut responder = Responder::new(&self.take, self.chance(1));
        let find = |key: &[u8; 20]| (self.known && *key == torrent_key(&TORRENT)).then_some(TORRENT);
        let mut ends = [None, None];
        // Two messages each way; more rounds would only find that nothing is left to say.
        for _ in 0..3 {
            forth.change(changes, true);
            forth.hear(step, &mut ends[1], |unread| responder.read(unread, find, &mut back.bytes));
            back.change(changes, false);
            back.hear(step, &mut ends[0], |unread| initiator.read(unread, &mut forth.bytes));
        }
        assert!(
            forth.bytes.len() <= SAID_MAX + 256 * CHANGES_MAX
                && back.bytes.len() <= SAID_MAX + 256 * CHANGES_MAX
        );
        let fits = match &mut ends {
            [Some(Ok(a)), Some(Ok(b))] => fit(a, b, &mut forth.bytes[forth.heard..], &self.payload),
            _ => false,
        };
        let ends = ends.map(|end| end.map(|end| end.map(|agreed| agreed.method)));
        Story { ends, said: [forth.bytes, back.bytes], fits }
    }
}

/// Whether what is said at once comes out right, and what follows, in both directions.
fn fit(a: &mut Agreed, b: &mut Agreed, unread: &mut [u8], payload: &[u8]) -> bool {
    b.receive.apply(unread);
    let mut words = *b"to and fro";
    a.send.apply(&mut words);
    b.receive.apply(&mut words);
    b.send.apply(&mut words);
    a.receive.apply(&mut words);
    unread == payload && &words == b"to and fro"
}

impl Change {
    fn read(script: &mut Script<'_>) -> Change {
        let to_responder = script.flag();
        let at = usize::from(script.byte()) << 3 | usize::from(script.byte() & 7);
        Change { to_responder, at, byte: script.byte(), insert: script.byte().saturating_sub(200).into() }
    }
}

impl Pipe {
    /// Does what the script wants to the bytes that are new.
    fn change(&mut self, changes: &[Change], to_responder: bool) {
        let from = self.changed;
        for change in changes.iter().filter(|change| change.to_responder == to_responder) {
            if change.at < from || change.at >= self.bytes.len() {
                continue;
            }
            if change.insert > 0 {
                let more = vec![change.byte; change.insert.into()];
                self.bytes.splice(change.at..change.at, more);
            } else {
                self.bytes[change.at] ^= change.byte;
            }
        }
        self.changed = self.bytes.len();
    }

    /// Lets what is there be heard, `step` bytes more at a time.
    fn hear(
        &mut self,
        step: usize,
        end: &mut Option<Result<Agreed, MseError>>,
        mut read: impl FnMut(&[u8]) -> Result<(usize, Option<Agreed>), MseError>,
    ) {
        let mut seen = self.heard;
        while end.is_none() && seen < self.bytes.len() {
            seen = seen.saturating_add(step).min(self.bytes.len());
            match read(&self.bytes[self.heard..seen]) {
                Ok((taken, agreed)) => {
                    assert!(taken <= seen - self.heard);
                    self.heard += taken;
                    *end = agreed.map(Ok);
                }
                Err(error) => {
                    *end = Some(Err(error));
                    let again = read(&self.bytes[self.heard..]);
                    assert!(matches!(again, Ok((0, None))), "after an error nothing more is taken");
                }
            }
        }
    }
}
