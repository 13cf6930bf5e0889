//! The exchange of a code: both sides talk while the script changes what passes and cuts it.
//!
//! Promises: only who has the same code is paired, and then only if nobody touched what passed before; the sharer proves
//! nothing to anybody else; after an error nothing more is taken or said; how the bytes are cut changes nothing.

use crate::script::Script;
use wire::code::Code;
use wire::pairing::{HELLO_LEN, Hello, PROOF_LEN, PairingError, Receiver, Refusal, Sharer};

/// Changes to the bytes on their way.
const CHANGES_MAX: usize = 3;

/// What the sharer says before it has seen a proof.
const ANSWER_LEN: usize = 34;

#[derive(Debug, PartialEq)]
struct Story {
    receiver: Option<Result<(), PairingError>>,
    sharer: Option<Result<(), PairingError>>,
    said: [Vec<u8>; 2],
    /// How many bytes were others when they came.
    touched: usize,
}

/// One input: whose codes, what happens to what passes, where it is cut.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let made = Code::draw([script.byte(), 0, 0, script.byte(), 0, 7]);
    let told = if script.flag() { Code::draw([script.byte(), 1, 2, 3, 0, 7]) } else { made.clone() };
    let changes: Vec<[u8; 3]> =
        (0..script.below(CHANGES_MAX + 1)).map(|_| [script.byte(), script.byte(), script.byte()]).collect();
    let whole = converse(&told, &made, &changes, usize::MAX);
    assert_eq!(whole, converse(&told, &made, &changes, 1 + script.below(60)));
    let both = [&whole.receiver, &whole.sharer].map(|end| *end == Some(Ok(())));
    if told != made {
        assert_eq!(both, [false, false]);
        assert!(whole.said[1].len() <= ANSWER_LEN + 1, "no proof for who has another code");
    } else if whole.touched == 0 {
        assert_eq!(both, [true, true]);
    } else {
        assert_ne!(both, [true, true], "what was changed is noticed by one of them at least");
    }
}

/// A sharer as its driver plays it.
enum Side {
    Hello,
    Answered(Sharer),
    Over,
}

impl Side {
    fn read(
        &mut self,
        made: &Code,
        unread: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(usize, Option<()>), PairingError> {
        match std::mem::replace(self, Side::Over) {
            Side::Hello => match Hello::read(unread)? {
                None => *self = Side::Hello,
                Some(hello) => {
                    *self = Side::Answered(hello.answer(made, [5; 64], out)?);
                    return Ok((HELLO_LEN, None));
                }
            },
            Side::Answered(sharer) => match unread.first_chunk() {
                None => *self = Side::Answered(sharer),
                Some(proof) => {
                    let accepted = sharer.claim(*proof).accept(out);
                    if accepted.is_err() {
                        out.push(Refusal::OtherCode.encode());
                    }
                    return accepted.map(|_| (PROOF_LEN, Some(())));
                }
            },
            Side::Over => return Err(PairingError::Over),
        }
        Ok((0, None))
    }
}

fn converse(told: &Code, made: &Code, changes: &[[u8; 3]], step: usize) -> Story {
    let (mut forth, mut back) = (Vec::new(), Vec::new());
    let mut receiver = Receiver::new(told, [3; 64], &mut forth);
    let mut sharer = Side::Hello;
    let mut story = Story { receiver: None, sharer: None, said: [Vec::new(), Vec::new()], touched: 0 };
    let (mut forth_at, mut back_at) = ([0; 2], [0; 2]);
    for _ in 0..3 {
        story.touched += touch(changes, 0, &mut forth, &mut forth_at[1]);
        hear(&forth, &mut forth_at[0], step, &mut story.sharer, |unread| {
            sharer.read(made, unread, &mut back)
        });
        story.touched += touch(changes, 1, &mut back, &mut back_at[1]);
        hear(&back, &mut back_at[0], step, &mut story.receiver, |unread| {
            let (taken, paired) = receiver.read(unread, &mut forth)?;
            Ok((taken, paired.map(drop)))
        });
    }
    story.said = [forth, back];
    story
}

/// Turns bits of what is new in this direction; how many bytes are others now.
fn touch(changes: &[[u8; 3]], direction: u8, bytes: &mut [u8], from: &mut usize) -> usize {
    let before = bytes.to_vec();
    for [which, at, bits] in changes.iter().filter(|change| change[0] & 1 == direction) {
        let at = usize::from(*at) + usize::from(which >> 1 & 1) * 32;
        if (*from..bytes.len()).contains(&at) {
            bytes[at] ^= bits;
        }
    }
    *from = bytes.len();
    before.iter().zip(bytes).filter(|(before, now)| before != now).count()
}

fn hear(
    bytes: &[u8],
    heard: &mut usize,
    step: usize,
    end: &mut Option<Result<(), PairingError>>,
    mut read: impl FnMut(&[u8]) -> Result<(usize, Option<()>), PairingError>,
) {
    let mut seen = *heard;
    while end.is_none() && seen < bytes.len() {
        seen = seen.saturating_add(step).min(bytes.len());
        match read(&bytes[*heard..seen]) {
            Ok((taken, done)) => {
                assert!(taken <= seen - *heard);
                *heard += taken;
                *end = done.map(Ok);
            }
            Err(error) => {
                *end = Some(Err(error));
                assert_eq!(read(&bytes[*heard..]), Err(PairingError::Over));
            }
        }
    }
}
