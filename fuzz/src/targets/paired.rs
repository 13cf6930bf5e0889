//! Two who are paired: the script says what one of them puts into records, as messages or as it likes, and how what passes is cut.
//!
//! Promises: messages that were said are heard whole and in order; what else is put into records is heard the same however it is
//! cut, is never longer than is allowed, and after an error or the end nothing more is heard.

use crate::script::Script;
use wire::paired::{Heard, Listener, MESSAGE_LEN_MAX, PairedError, Speaker, conversation};
use wire::private::{Agreed, Initiator, Responder, Sealer, SwarmKey};

/// What is said one after the other.
const WORDS_MAX: usize = 6;

/// One input: what is said, how it is put into records, where these are cut.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let (raw, record, step) = (script.flag(), 1 + script.below(400), 1 + usize::from(script.byte()) * 9);
    let words: Vec<(u8, usize)> =
        (0..script.below(WORDS_MAX + 1)).map(|_| (script.byte(), usize::from(script.byte()) * 70)).collect();
    let rest = data.get(data.len() / 2..).unwrap_or_default();
    let story = |step| {
        let ([ours, theirs], mut said) = (both(), Vec::new());
        if raw {
            let mut sealer: Sealer = ours.send;
            for part in rest.chunks(record) {
                sealer.seal([part], &mut said).expect("there is a key");
            }
        } else {
            say(&mut conversation(ours.send, ours.receive).0, &words, &mut said);
        }
        hear(&mut conversation(theirs.send, theirs.receive).1, &said, step)
    };
    let whole = story(usize::MAX);
    assert!(whole == story(step), "how it is cut changes what is heard");
    if !raw {
        let expected = words.iter().map(|&(kind, len)| match kind % 4 {
            0 => Heard::StillHere,
            _ => Heard::Message(vec![kind; len]),
        });
        assert!(whole == (expected.chain([Heard::End]).collect(), None));
    }
}

fn both() -> [Agreed; 2] {
    let (key, mut forth, mut back) = (SwarmKey([1; 32]), Vec::new(), Vec::new());
    let mut initiator = Initiator::new(&key, [2; 32], &mut forth);
    let first = forth.first_chunk().expect("a whole message");
    let theirs = Responder::recognise(&key, first).and_then(|member| member.answer([3; 32], &mut back));
    let (Ok(theirs), Ok((_, Some(ours)))) = (theirs, initiator.read(&back)) else { panic!("nobody meddles") };
    [ours, theirs]
}

fn say(speaker: &mut Speaker, words: &[(u8, usize)], said: &mut Vec<u8>) {
    for &(kind, len) in words {
        let spoken = match kind % 4 {
            0 => speaker.still_here(said),
            _ => speaker.message(&vec![kind; len], said),
        };
        spoken.expect("short enough");
    }
    speaker.end(said).expect("there is a key");
}

fn hear(listener: &mut Listener, said: &[u8], step: usize) -> (Vec<Heard>, Option<PairedError>) {
    let mut heard = Vec::new();
    for part in said.chunks(step.min(said.len().max(1))) {
        listener.came(part);
        loop {
            match listener.hear() {
                Ok(Some(word)) => {
                    assert!(!matches!(&word, Heard::Message(message) if message.len() > MESSAGE_LEN_MAX));
                    let ended = word == Heard::End;
                    heard.push(word);
                    if ended {
                        assert_eq!(listener.hear(), Err(PairedError::Over));
                        return (heard, None);
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(listener.hear(), Err(PairedError::Over));
                    return (heard, Some(error));
                }
            }
        }
    }
    (heard, None)
}
