//! Private links: both sides shake hands and say some things to each other while the script turns bits, puts bytes in between,
//! leaves some out, and cuts what passes, in either direction.
//!
//! Promises: what is heard is the beginning of what was said; after an error nothing more is; a stranger is not answered; who was
//! answered by somebody else has no link; how the bytes are cut changes nothing; what nobody touched is heard whole.

use crate::script::Script;
use wire::private::{Initiator, Opener, PrivateError, Responder, Sealer, SwarmKey};

/// Changes to the bytes on their way.
const CHANGES_MAX: usize = 4;

/// One input: whose keys, what is said, what happens to it, where it is cut.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let same_key = !script.flag();
    let said: Vec<Vec<u8>> =
        (0..script.below(5)).map(|n| vec![n as u8 + 1; usize::from(script.byte()) * 80]).collect();
    let changes: Vec<[u8; 4]> = (0..script.below(CHANGES_MAX + 1))
        .map(|_| [script.byte(), script.byte(), script.byte(), script.byte()])
        .collect();
    let step = 1 + usize::from(script.byte()) * 7;
    let whole = converse(same_key, &said, &changes, usize::MAX);
    assert_eq!(whole, converse(same_key, &said, &changes, step));
    if same_key && changes.is_empty() {
        assert_eq!(whole, [(said.concat(), None), (said.concat(), None)]);
    }
}

/// What one side heard, and how that ended if it did.
type Heard = (Vec<u8>, Option<PrivateError>);

/// What a change touches, by its first two bits.
const FIRST: u8 = 0;
const ANSWER: u8 = 1;
const FORTH: u8 = 2;
const BACK: u8 = 3;

/// What the responder and the initiator heard.
fn converse(same_key: bool, said: &[Vec<u8>], changes: &[[u8; 4]], step: usize) -> [Heard; 2] {
    let nothing = || (Vec::new(), None);
    let touch = |what: u8, bytes: &mut Vec<u8>| {
        changes.iter().filter(|change| change[0] & 3 == what).for_each(|change| touch(change, bytes));
    };
    let (mut forth, mut back) = (Vec::new(), Vec::new());
    let mut initiator = Initiator::new(&SwarmKey([1; 32]), [2; 32], &mut forth);
    let key = SwarmKey([if same_key { 1 } else { 9 }; 32]);
    let untouched = forth.clone();
    touch(FIRST, &mut forth);
    let Some(first) = forth.first_chunk() else { return [nothing(), nothing()] };
    let mut theirs =
        match Responder::recognise(&key, first).and_then(|member| member.answer([3; 32], &mut back)) {
            Ok(agreed) => {
                assert!(same_key && forth.starts_with(&untouched));
                agreed
            }
            Err(error) => {
                assert!(back.is_empty(), "a stranger is not answered");
                return [(Vec::new(), Some(error)), nothing()];
            }
        };
    let answer = back.clone();
    touch(ANSWER, &mut back);
    let mut ours = match initiator.read(&back) {
        Ok((0, None)) => return [nothing(), nothing()],
        Ok((taken, agreed)) => {
            assert!(back.starts_with(&answer) && taken == answer.len());
            agreed.expect("the answer was taken")
        }
        Err(error) => {
            assert!(!back.starts_with(&answer), "nobody touched the answer");
            assert!(matches!(initiator.read(&answer), Err(PrivateError::Over)));
            return [nothing(), (Vec::new(), Some(error))];
        }
    };
    let pass = |what: u8, sealer: &mut Sealer, opener: &mut Opener| {
        let mut sealed = Vec::new();
        for part in said {
            sealer.seal([&part[..]], &mut sealed).expect("there is a key");
        }
        touch(what, &mut sealed);
        let heard = hear(opener, &sealed, step);
        assert!(said.concat().starts_with(&heard.0), "only what was said, in order");
        heard
    };
    [pass(FORTH, &mut ours.send, &mut theirs.receive), pass(BACK, &mut theirs.send, &mut ours.receive)]
}

fn hear(opener: &mut Opener, sealed: &[u8], step: usize) -> (Vec<u8>, Option<PrivateError>) {
    let (mut heard, mut unread) = (Vec::new(), Vec::new());
    for part in sealed.chunks(step.min(sealed.len().max(1))) {
        unread.extend_from_slice(part);
        loop {
            match opener.open(&mut unread) {
                Ok(Some(opened)) => {
                    heard.extend_from_slice(&unread[opened.clear]);
                    drop(unread.drain(..opened.taken));
                }
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(opener.open(&mut unread), Err(PrivateError::Over));
                    return (heard, Some(error));
                }
            }
        }
    }
    (heard, None)
}

/// Turns bits of a byte, puts one in, takes one out, or lets the rest go.
fn touch(change: &[u8; 4], bytes: &mut Vec<u8>) {
    let at = usize::from(change[1]) << 8 | usize::from(change[2]);
    if bytes.is_empty() {
        return;
    }
    let at = at % bytes.len();
    match change[0] >> 2 & 3 {
        0 => bytes[at] ^= change[3],
        1 => bytes.insert(at, change[3]),
        2 => drop(bytes.remove(at)),
        _ => bytes.truncate(at),
    }
}
