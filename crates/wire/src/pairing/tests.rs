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
    sharer: Option<Result<Paired, PairingError>>,
    forth: Vec<u8>,
    back: Vec<u8>,
}

/// Lets both talk until neither has more to say; every byte comes alone if `bytewise`.
fn converse(told: &Code, made: &Code, bytewise: bool) -> Story {
    let (mut forth, mut back) = (Vec::new(), Vec::new());
    let mut receiver = Receiver::new(told, [3; 64], &mut forth);
    let mut sharer = Sharer::new(made, [5; 64]);
    let (mut at_receiver, mut at_sharer) = (None, None);
    let (mut forth_at, mut back_at) = (0, 0);
    for _ in 0..3 {
        let ends = |from: usize, to: usize| if bytewise { from + 1..=to } else { to..=to };
        for end in ends(forth_at, forth.len()) {
            if at_sharer.is_some() {
                break;
            }
            match sharer.read(&forth[forth_at..end], &mut back) {
                Ok((taken, None)) => forth_at += taken,
                Ok((taken, Some(claim))) => {
                    forth_at += taken;
                    at_sharer = Some(claim.accept(&mut back));
                }
                Err(error) => at_sharer = Some(Err(error)),
            }
        }
        for end in ends(back_at, back.len()) {
            if at_receiver.is_some() {
                break;
            }
            match receiver.read(&back[back_at..end], &mut forth) {
                Ok((taken, paired)) => {
                    back_at += taken;
                    at_receiver = paired.map(Ok);
                }
                Err(error) => at_receiver = Some(Err(error)),
            }
        }
    }
    Story { receiver: at_receiver, sharer: at_sharer, forth, back }
}

#[test]
fn who_has_the_same_code_comes_to_the_same_keys() {
    for bytewise in [false, true] {
        let story = converse(&code("42 APPLE river"), &ours(), bytewise);
        let (mut receiver, mut sharer) = (story.receiver.unwrap().unwrap(), story.sharer.unwrap().unwrap());
        for (said, from, to) in [
            (&b"may I?"[..], &mut receiver.send, &mut sharer.receive),
            (b"the swarm key", &mut sharer.send, &mut receiver.receive),
        ] {
            let mut sealed = Vec::new();
            from.seal([said], &mut sealed);
            let opened = to.open(&mut sealed).unwrap().unwrap();
            assert_eq!(&sealed[opened.clear], said);
        }
        assert_eq!((story.forth.len(), story.back.len()), (8 + 33 + 32, 33 + 32));
    }
}

#[test]
fn another_code_is_refused_and_the_sharer_proves_nothing_to_who_has_it() {
    for other in ["42-apple-rival", "42-river-apple", "43-apple-river", "42-apple-apple"] {
        let story = converse(&code(other), &ours(), false);
        assert_eq!(story.sharer.unwrap().unwrap_err(), PairingError::OtherCode, "{other}");
        assert!(story.receiver.is_none(), "{other}: it waits for a proof that does not come");
        assert_eq!(story.back.len(), POINT_LEN, "{other}");
    }
}

#[test]
fn who_stands_in_for_the_sharer_is_found_out() {
    let mut forth = Vec::new();
    let mut receiver = Receiver::new(&ours(), [3; 64], &mut forth);
    let mut back = Vec::new();
    let mut impostor = Sharer::new(&code("42-zoo-zoo"), [5; 64]);
    impostor.read(&forth, &mut back).unwrap();
    forth.clear();
    assert_eq!(receiver.read(&back, &mut forth).unwrap().0, POINT_LEN);
    let (_, claim) = impostor.read(&forth, &mut back).unwrap();
    // All that it has is a proof that does not fit its guess; and whatever it makes of that is no proof of its own.
    let claim = claim.unwrap();
    assert!(!claim.is_right());
    for proof in [&forth[..], claim.keys.sharers.prove().as_ref(), &[0; 32]] {
        let mut receiver = Receiver::new(&ours(), [3; 64], &mut Vec::new());
        receiver.read(&back[..POINT_LEN], &mut Vec::new()).unwrap();
        assert_eq!(receiver.read(proof, &mut Vec::new()).unwrap_err(), PairingError::OtherCode);
        assert_eq!(receiver.read(proof, &mut Vec::new()).unwrap_err(), PairingError::Over);
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
    for (said, error) in [
        (b"GET / HTTP/1.1\r\n".to_vec(), PairingError::NoGreeting),
        (b"g\x00".to_vec(), PairingError::NoGreeting),
        (no_point, PairingError::NoPoint),
        (wrong_side, PairingError::NoPoint),
    ] {
        let (mut sharer, mut back) = (Sharer::new(&ours(), [5; 64]), Vec::new());
        assert_eq!(sharer.read(&said, &mut back).unwrap_err(), error);
        assert_eq!(sharer.read(&said, &mut back).unwrap_err(), PairingError::Over);
        assert_eq!(back, []);
    }
}

/// What was said in one exchange is worth nothing in another, to either side.
#[test]
fn a_recording_opens_nothing() {
    let story = converse(&ours(), &ours(), false);
    let (mut sharer, mut back) = (Sharer::new(&ours(), [6; 64]), Vec::new());
    let (taken, _) = sharer.read(&story.forth, &mut back).unwrap();
    let (_, claim) = sharer.read(&story.forth[taken..], &mut back).unwrap();
    assert_eq!(claim.unwrap().accept(&mut back).unwrap_err(), PairingError::OtherCode);
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
