//! Private links: both sides shake hands and say some things while the script turns bits, puts bytes in between, leaves some
//! out, and cuts what passes.
//!
//! Promises: what is heard is the beginning of what was said; after an error nothing more is; a stranger is not answered; how
//! the bytes are cut changes nothing; what nobody touched is heard whole.

use crate::script::Script;
use wire::private::{Initiator, Opener, PrivateError, Responder, SwarmKey};

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
        assert_eq!(whole, (said.concat(), None));
    }
}

/// What the responder heard, and how it ended if it did.
fn converse(
    same_key: bool,
    said: &[Vec<u8>],
    changes: &[[u8; 4]],
    step: usize,
) -> (Vec<u8>, Option<PrivateError>) {
    let (mut forth, mut back) = (Vec::new(), Vec::new());
    let mut initiator = Initiator::new(&SwarmKey([1; 32]), [2; 32], &mut forth);
    let mut responder = Responder::new(&SwarmKey([if same_key { 1 } else { 9 }; 32]), [3; 32]);
    let untouched = forth.clone();
    let (first, rest): (Vec<&[u8; 4]>, Vec<&[u8; 4]>) = changes.iter().partition(|change| change[0] & 1 == 0);
    first.into_iter().for_each(|change| touch(change, &mut forth));
    let theirs = match responder.read(&forth, &mut back) {
        Ok((0, None)) => return (Vec::new(), None),
        Ok((taken, agreed)) => {
            assert!(same_key && forth.starts_with(&untouched) && taken == untouched.len());
            agreed
        }
        Err(error) => {
            assert!(back.is_empty(), "a stranger is not answered");
            assert!(matches!(responder.read(&untouched, &mut back), Err(PrivateError::Over)));
            return (Vec::new(), Some(error));
        }
    };
    let Ok((_, Some(mut ours))) = initiator.read(&back) else { panic!("nobody touched the answer") };
    let Some(mut theirs) = theirs else { panic!("the first message was taken") };
    let mut sealed = Vec::new();
    said.iter().for_each(|part| ours.send.seal([&part[..]], &mut sealed));
    rest.into_iter().for_each(|change| touch(change, &mut sealed));
    let (heard, error) = hear(&mut theirs.receive, &sealed, step);
    assert!(said.concat().starts_with(&heard), "only what was said, in order");
    (heard, error)
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
    match change[0] >> 1 & 3 {
        0 => bytes[at] ^= change[3],
        1 => bytes.insert(at, change[3]),
        2 => drop(bytes.remove(at)),
        _ => bytes.truncate(at),
    }
}
