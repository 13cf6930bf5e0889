//! Both machines in conversation; what eavesdroppers, guessers and meddlers come to; the crate's messages against Python's.

use super::*;

fn code(text: &str) -> Code {
    text.parse().unwrap()
}

fn ours() -> Code {
    code("42-apple-river")
}

/// What a conversation came to, and what was said in each direction.
struct Story {
    receiver: Option<Result<Paired, PairingError>>,
    sharer: Result<Paired, PairingError>,
    forth: Vec<u8>,
    back: Vec<u8>,
}

/// Lets both talk until neither has more to say; every byte comes alone if `bytewise`.
fn converse(told: &Code, made: &Code, bytewise: bool) -> Story {
    let (mut forth, mut back) = (Vec::new(), Vec::new());
    let mut receiver = Receiver::new(told, [3; 64], &mut forth);
    let ends = |from: usize, to: usize| if bytewise { from + 1..=to } else { to..=to };
    let hello = ends(0, forth.len()).find_map(|end| Hello::read(&forth[..end]).unwrap()).unwrap();
    let answering = hello.answer(made, [5; 64], &mut back).unwrap();
    let mut back_at = 0;
    let mut hear = |back: &[u8], forth: &mut Vec<u8>| {
        for end in ends(back_at, back.len()) {
            match receiver.read(&back[back_at..end], forth) {
                Ok((taken, paired)) => {
                    back_at += taken;
                    if paired.is_some() {
                        return paired.map(Ok);
                    }
                }
                Err(error) => return Some(Err(error)),
            }
        }
        None
    };
    assert!(hear(&back, &mut forth).is_none());
    let proof = forth[HELLO_LEN..].try_into().unwrap();
    let sharer = answering.claim(proof).accept(&mut back);
    if let Err(PairingError::OtherCode) = sharer {
        back.push(Refusal::OtherCode.encode());
    }
    let receiver = hear(&back, &mut forth);
    Story { receiver, sharer, forth, back }
}

/// A sharer who answers this receiver, and what it said.
fn answered(code: &Code, hello: &[u8], chance: u8) -> (Sharer, Vec<u8>) {
    let mut back = Vec::new();
    let sharer = Hello::read(hello).unwrap().unwrap().answer(code, [chance; 64], &mut back).unwrap();
    (sharer, back)
}

#[test]
fn who_has_the_same_code_comes_to_the_same_keys() {
    for bytewise in [false, true] {
        let story = converse(&code("42 APPLE river"), &ours(), bytewise);
        let (mut receiver, mut sharer) = (story.receiver.unwrap().unwrap(), story.sharer.unwrap());
        for (said, from, to) in [
            (&b"may I?"[..], &mut receiver.send, &mut sharer.receive),
            (b"the swarm key", &mut sharer.send, &mut receiver.receive),
        ] {
            let mut sealed = Vec::new();
            from.seal([said], &mut sealed).unwrap();
            let opened = to.open(&mut sealed).unwrap().unwrap();
            assert_eq!(&sealed[opened.clear], said);
        }
        assert_eq!((story.forth.len(), story.back.len()), (8 + 33 + 32, 1 + 33 + 1 + 32));
    }
}

#[test]
fn another_code_is_refused_and_the_sharer_proves_nothing_to_who_has_it() {
    for other in ["42-apple-rival", "42-river-apple", "43-apple-river", "42-apple-apple"] {
        let story = converse(&code(other), &ours(), false);
        assert_eq!(story.sharer.unwrap_err(), PairingError::OtherCode, "{other}");
        let told = story.receiver.unwrap().unwrap_err();
        assert_eq!(told, PairingError::Refused(Refusal::OtherCode), "{other}");
        assert_eq!(story.back.len(), 1 + POINT_LEN + 1, "{other}");
    }
}

/// Who cannot go on says why, in place of either of his messages; anything else that is said there is no refusal.
#[test]
fn a_receiver_is_told_why_not() {
    for said in 0..=u8::MAX {
        let told = [Refusal::OtherCode, Refusal::MustConfirm, Refusal::Busy]
            .into_iter()
            .find(|why| why.encode() == said);
        let expected = match (said, told) {
            (GO_ON, _) => Ok(()),
            (_, Some(why)) => Err(PairingError::Refused(why)),
            (_, None) => Err(PairingError::NoPoint),
        };
        for after_the_point in [false, true] {
            let mut forth = Vec::new();
            let mut receiver = Receiver::new(&ours(), [3; 64], &mut forth);
            if after_the_point {
                let (_, back) = answered(&ours(), &forth, 5);
                receiver.read(&back, &mut forth).unwrap();
            }
            let heard = receiver
                .read(&[said], &mut forth)
                .map(|(taken, paired)| assert!(taken == 0 && paired.is_none()));
            assert_eq!(heard, expected, "{said}");
            if expected.is_err() {
                assert_eq!(receiver.read(&[GO_ON], &mut forth).unwrap_err(), PairingError::Over);
            }
        }
    }
}

#[test]
fn who_stands_in_for_the_sharer_is_found_out() {
    let mut forth = Vec::new();
    let mut receiver = Receiver::new(&ours(), [3; 64], &mut forth);
    let (impostor, back) = answered(&code("42-zoo-zoo"), &forth, 5);
    forth.clear();
    assert_eq!(receiver.read(&back, &mut forth).unwrap().0, 1 + POINT_LEN);
    // All that it has is a proof that does not fit its guess; and whatever it makes of that is no proof of its own.
    let claim = impostor.claim(forth[..].try_into().unwrap());
    assert!(!claim.is_right());
    for proof in [&forth[..], claim.keys.sharers.prove().as_ref(), &[0; 32]] {
        let mut receiver = Receiver::new(&ours(), [3; 64], &mut Vec::new());
        receiver.read(&back, &mut Vec::new()).unwrap();
        let said = [&[GO_ON], proof].concat();
        assert_eq!(receiver.read(&said, &mut Vec::new()).unwrap_err(), PairingError::OtherCode);
        assert_eq!(receiver.read(&said, &mut Vec::new()).unwrap_err(), PairingError::Over);
    }
}

/// Every pair of words could have led to what passed: for a guess there is another secret that explains the same point, and the
/// proofs hang on a secret that no eavesdropper has. What can be shown here: the same words never look the same twice, and
/// what passes under two codes has the same shape.
#[test]
fn nothing_that_passes_depends_visibly_on_the_words() {
    let shape = |story: &Story| (story.forth.len(), story.back.len());
    let (one, other) = (
        converse(&ours(), &ours(), false),
        converse(&code("42-zoo-abandon"), &code("42-zoo-abandon"), false),
    );
    assert_eq!(shape(&one), shape(&other));
    let mut again = Vec::new();
    Receiver::new(&ours(), [4; 64], &mut again);
    assert_ne!(again[GREETING.len() + 1..], one.forth[GREETING.len() + 1..GREETING.len() + POINT_LEN]);
    for word in ["apple", "river"] {
        let shown = |bytes: &[u8]| bytes.windows(word.len()).any(|window| window == word.as_bytes());
        assert!(!shown(&one.forth) && !shown(&one.back));
    }
}

#[test]
fn strangers_get_no_answer() {
    let mut no_point = GREETING.to_vec();
    no_point.push(b'A');
    // This y lies on no point of the curve.
    no_point.extend_from_slice(&[2; 1]);
    no_point.extend_from_slice(&[0; 31]);
    let mut wrong_side = Vec::new();
    Receiver::new(&ours(), [3; 64], &mut wrong_side);
    wrong_side[GREETING.len()] = b'B';
    for said in [&b"GET / HTTP/1.1\r\n"[..], b"g\x00", b"gannet2\n"] {
        assert_eq!(Hello::read(said).unwrap_err(), PairingError::NoGreeting);
    }
    assert_eq!((Hello::read(b""), Hello::read(&GREETING)), (Ok(None), Ok(None)));
    for said in [no_point, wrong_side] {
        let mut back = Vec::new();
        let refused = Hello::read(&said).unwrap().unwrap().answer(&ours(), [5; 64], &mut back);
        assert_eq!((refused.unwrap_err(), back), (PairingError::NoPoint, Vec::new()));
    }
}

/// What was said in one exchange is worth nothing in another, to either side.
#[test]
fn a_recording_opens_nothing() {
    let story = converse(&ours(), &ours(), false);
    let (sharer, mut back) = answered(&ours(), &story.forth, 6);
    let claim = sharer.claim(story.forth[HELLO_LEN..].try_into().unwrap());
    assert_eq!(claim.accept(&mut back).unwrap_err(), PairingError::OtherCode);
    let (mut receiver, mut forth) = (Receiver::new(&ours(), [7; 64], &mut Vec::new()), Vec::new());
    let (taken, _) = receiver.read(&story.back, &mut forth).unwrap();
    assert_eq!(receiver.read(&story.back[taken..], &mut forth).unwrap_err(), PairingError::OtherCode);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The crate against the values of Python's spake2, by which both are known to agree; and that the chance we hand in is all
/// that goes in.
#[test]
fn the_published_values_of_spake2_come_out_to_the_byte() {
    let scalar = |text: &str| {
        let mut chance = [0; 64];
        for (place, pair) in chance.iter_mut().zip(text.as_bytes().chunks(2)) {
            *place = u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        }
        Given(chance)
    };
    let (password, a, b) = (Password::new(b"password"), Identity::new(b"idA"), Identity::new(b"idB"));
    let x = scalar("25184061a70b1142f1a9f043a52cf7033dc308b5a0a32e42b003ecd59c2ac605");
    let y = scalar("9fb5e845084e0cbe27ac8b4d3af139b33f3f8a047d4234e2d45d33c5cd367b0f");
    let (receiver, forth) = Spake2::<Ed25519Group>::start_a_with_rng(&password, &a, &b, x);
    let (sharer, back) = Spake2::<Ed25519Group>::start_b_with_rng(&password, &a, &b, y);
    assert_eq!(hex(&forth), "416fc960df73c9cf8ed7198b0c9534e2e96a5984bfc5edc023fd24dacf371f2af9");
    assert_eq!(hex(&back), "42354e97b88406922b1df4bea1d7870f17aed3dba7c720b313edae315b00959309");
    let key = "712295de7219c675ddd31942184aa26e0a957cf216bc230d165b215047b520c1";
    assert_eq!(
        [receiver.finish(&back).unwrap(), sharer.finish(&forth).unwrap()].map(|bytes| hex(&bytes)),
        [key; 2]
    );
}
