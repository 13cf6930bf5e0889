//! Both sides against each other, whole and in every pair of parts, with every length of padding, and against those who
//! break the rules. Threats: C5, C11

use super::dh::PrivateKey;
use super::*;

const TORRENT: InfoHash = InfoHash([9; 20]);
const PAYLOAD: &[u8] = b"said at once";

/// Padding that looks like nothing else.
fn noise(len: usize) -> Vec<u8> {
    (0..len as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn chance(key: u8, pad: &[u8], zeros: u16) -> Chance<'_> {
    Chance { private_key: [key; PRIVATE_KEY_LEN], pad, zeros }
}

fn find(key: &[u8; 20]) -> Option<InfoHash> {
    [InfoHash([8; 20]), TORRENT].into_iter().find(|torrent| torrent_key(torrent) == *key)
}

/// A handshake as one side sees it, with the bytes still in flight to it.
struct Talk {
    initiator: Initiator,
    responder: Responder,
    to_responder: Vec<u8>,
    to_initiator: Vec<u8>,
    agreed: [Option<Agreed>; 2],
}

impl Talk {
    fn new(offer: &[Method], take: &[Method], pads: [usize; 2], zeros: [u16; 2]) -> Talk {
        let mut to_responder = Vec::new();
        let pads = pads.map(noise);
        let initiator =
            Initiator::new(TORRENT, offer, PAYLOAD, chance(1, &pads[0], zeros[0]), &mut to_responder);
        let responder = Responder::new(take, chance(2, &pads[1], zeros[1]));
        Talk { initiator, responder, to_responder, to_initiator: Vec::new(), agreed: [None, None] }
    }

    /// Lets the first `count` bytes through to the responder.
    fn respond(&mut self, count: usize) -> Result<(), MseError> {
        let (taken, agreed) =
            self.responder.read(&self.to_responder[..count], find, &mut self.to_initiator)?;
        self.to_responder.drain(..taken);
        self.agreed[1] = self.agreed[1].take().or(agreed);
        Ok(())
    }

    fn initiate(&mut self, count: usize) -> Result<(), MseError> {
        let (taken, agreed) = self.initiator.read(&self.to_initiator[..count], &mut self.to_responder)?;
        self.to_initiator.drain(..taken);
        self.agreed[0] = self.agreed[0].take().or(agreed);
        Ok(())
    }

    /// Everything at once, until both are done; returns what was agreed upon.
    fn run(&mut self) -> Result<Method, MseError> {
        for _ in 0..3 {
            self.respond(self.to_responder.len())?;
            self.initiate(self.to_initiator.len())?;
        }
        Ok(self.check())
    }

    /// That both agree and that bytes pass in both directions; what is left over is the payload.
    fn check(&mut self) -> Method {
        let [Some(a), Some(b)] = self.agreed.each_mut() else {
            panic!("{:?} {:?}", self.initiator, self.responder)
        };
        assert_eq!((a.method, &self.to_initiator[..]), (b.method, &[][..]));
        let mut stream = std::mem::take(&mut self.to_responder);
        let mut later = b"and later".to_vec();
        a.send.apply(&mut later);
        assert_eq!(a.method == Method::Plaintext, later == b"and later");
        stream.append(&mut later);
        stream.chunks_mut(5).for_each(|part| b.receive.apply(part));
        assert_eq!(stream, [PAYLOAD, b"and later"].concat());
        let mut back = b"back".to_vec();
        b.send.apply(&mut back);
        a.receive.apply(&mut back);
        assert_eq!(back, b"back");
        a.method
    }
}

#[test]
fn the_method_is_the_best_that_both_take() {
    use Method::{Plaintext, Rc4};
    for (offer, take, expected) in [
        (&[Rc4][..], &[Rc4][..], Ok(Rc4)),
        (&[Rc4, Plaintext], &[Rc4], Ok(Rc4)),
        (&[Rc4, Plaintext], &[Rc4, Plaintext], Ok(Rc4)),
        (&[Rc4, Plaintext], &[Plaintext, Rc4], Ok(Plaintext)),
        (&[Rc4], &[Plaintext, Rc4], Ok(Rc4)),
        (&[Plaintext], &[Plaintext, Rc4], Ok(Plaintext)),
        (&[Plaintext], &[Rc4], Err(MseError::NothingInCommon(1))),
        (&[Rc4], &[Plaintext], Err(MseError::NothingInCommon(2))),
        (&[], &[Rc4, Plaintext], Err(MseError::NothingInCommon(0))),
    ] {
        assert_eq!(Talk::new(offer, take, [7, 9], [3, 4]).run(), expected, "{offer:?} {take:?}");
    }
}

/// C5: every length of padding at each of the four places, up to the longest.
#[test]
fn every_length_of_padding_is_passed_over() {
    for len in 0..=PAD_LEN_MAX {
        let back = PAD_LEN_MAX - len;
        let methods = [Method::Rc4, Method::Plaintext];
        let mut talk = Talk::new(&methods, &methods, [len, back], [back as u16, len as u16]);
        assert_eq!(talk.run(), Ok(Method::Rc4), "{len}");
    }
}

/// A byte more, and the search has ended; padding that the caller draws too long is cut.
#[test]
fn padding_beyond_the_longest_is_refused() {
    for extra in 1..=30 {
        let mut talk = Talk::new(&[Method::Rc4], &[Method::Rc4], [0, 0], [0, 0]);
        let longer = noise(PAD_LEN_MAX + extra);
        talk.to_responder.extend_from_slice(&longer);
        talk.respond(KEY_LEN).unwrap();
        talk.initiate(talk.to_initiator.len()).unwrap();
        assert_eq!(talk.run(), Err(MseError::NoSync), "{extra} in PadA");
        let mut talk = Talk::new(&[Method::Rc4], &[Method::Rc4], [0, 0], [0, 0]);
        talk.respond(KEY_LEN).unwrap();
        talk.to_initiator.extend_from_slice(&longer);
        let heard = talk.initiate(talk.to_initiator.len()).and_then(|()| talk.run());
        assert_eq!(heard, Err(MseError::NoSync), "{extra} in PadB");
        let mut cut = Talk::new(&[Method::Rc4], &[Method::Rc4], [PAD_LEN_MAX + extra, 0], [600, 600]);
        assert_eq!(cut.to_responder.len(), KEY_LEN + PAD_LEN_MAX);
        assert_eq!(cut.run(), Ok(Method::Rc4));
    }
}

/// Every pair of cuts, and one byte at a time: the machine's answers do not depend on how the bytes come.
#[test]
fn how_the_bytes_are_cut_changes_nothing() {
    let talk = || {
        let methods = [Method::Rc4, Method::Plaintext];
        Talk::new(&methods, &[Method::Plaintext], [20, 30], [5, 6])
    };
    let to_responder = KEY_LEN + 20 + 20 + 20 + 14 + 5 + 2 + PAYLOAD.len();
    for split in 0..=to_responder {
        let mut talk = talk();
        talk.respond(split.min(talk.to_responder.len())).unwrap();
        talk.initiate(talk.to_initiator.len()).unwrap();
        let rest = split.saturating_sub(KEY_LEN + 20).min(talk.to_responder.len());
        talk.respond(rest).unwrap();
        assert_eq!(talk.run(), Ok(Method::Plaintext), "{split} to the responder");
    }
    let to_initiator = KEY_LEN + 30 + 14 + 6;
    for split in 0..=to_initiator {
        let mut talk = talk();
        talk.respond(talk.to_responder.len()).unwrap();
        talk.initiate(split.min(talk.to_initiator.len())).unwrap();
        talk.respond(talk.to_responder.len()).unwrap();
        let rest = split.saturating_sub(KEY_LEN + 30).min(talk.to_initiator.len());
        talk.initiate(rest).unwrap();
        assert_eq!(talk.run(), Ok(Method::Plaintext), "{split} to the initiator");
    }
    let mut slow = talk();
    while slow.agreed.iter().any(|agreed| agreed.is_none()) {
        for count in 1..=slow.to_responder.len() {
            let before = slow.to_responder.len();
            slow.respond(count).unwrap();
            if slow.agreed[1].is_some() || slow.to_responder.len() < before {
                break;
            }
        }
        for count in 1..=slow.to_initiator.len() {
            let before = slow.to_initiator.len();
            slow.initiate(count).unwrap();
            if slow.to_initiator.len() < before {
                break;
            }
        }
    }
    assert_eq!(slow.check(), Method::Plaintext);
}

/// C5: 0, 1, the prime less 1 and more; nothing is answered.
#[test]
fn degenerate_keys_are_refused_unanswered() {
    let mut prime = [0xff; KEY_LEN];
    let text = "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404dd\
                ef9519b3cd3a431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a63a36210000000000090563";
    for (byte, digits) in prime.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap();
    }
    let with_end = |mut key: [u8; KEY_LEN], end: u8| {
        key[KEY_LEN - 1] = end;
        key
    };
    let zero = [0; KEY_LEN];
    for key in [zero, with_end(zero, 1), with_end(prime, 0x62), prime, with_end(prime, 0x64), [0xff; KEY_LEN]]
    {
        let mut out = Vec::new();
        let read = Responder::new(&[Method::Rc4], chance(3, &[], 0)).read(&key, find, &mut out);
        assert_eq!((read.unwrap_err(), &out[..]), (MseError::DegenerateKey, &[][..]));
        let mut initiator = Initiator::new(TORRENT, &[Method::Rc4], &[], chance(3, &[], 0), &mut out);
        out.clear();
        let read = initiator.read(&key, &mut out);
        assert_eq!((read.unwrap_err(), &out[..]), (MseError::DegenerateKey, &[][..]));
        assert_eq!(initiator.read(&key, &mut out).unwrap().0, 0, "it takes nothing more");
    }
}

/// What a responder says to an initiator that does everything right but one field.
#[test]
fn each_wrong_field_has_its_own_error() {
    let private_key = PrivateKey::new([4; 20]);
    let speak = |torrent: InfoHash, fields: &[u8]| {
        let mut responder = Responder::new(&[Method::Rc4], chance(5, &[], 0));
        let mut out = Vec::new();
        let taken = responder.read(&private_key.public(), find, &mut out).unwrap().0;
        assert_eq!(taken, KEY_LEN);
        let secret = private_key.shared(out[..KEY_LEN].try_into().unwrap()).unwrap();
        let mut said = hash(&[b"req1", &secret]).to_vec();
        said.extend(xor(torrent_key(&torrent), hash(&[b"req3", &secret])));
        put(&mut Keys::new(&secret, &torrent).initiator, fields, &mut said);
        responder.read(&said, find, &mut out).map(|(_, agreed)| agreed.map(|agreed| agreed.method))
    };
    for (torrent, fields, expected) in [
        (TORRENT, &b"\0\0\0\0\0\0\0\0\0\0\0\x02\0\0\0\0"[..], Ok(Some(Method::Rc4))),
        (TORRENT, b"\0\0\0\0\0\0\0\0\0\0\0\x02\0\0\0", Ok(None)),
        // Bits that we do not know do no harm beside one that we do.
        (TORRENT, b"\0\0\0\0\0\0\0\0\xff\xff\xff\xff\0\0\0\0", Ok(Some(Method::Rc4))),
        (TORRENT, b"\0\0\0\0\0\0\0\x01\0\0\0\x02\0\0\0\0", Err(MseError::Unverified)),
        (TORRENT, b"\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0", Err(MseError::NothingInCommon(1))),
        (TORRENT, b"\0\0\0\0\0\0\0\0\0\0\0\x08\0\0\0\0", Err(MseError::NothingInCommon(8))),
        (TORRENT, b"\0\0\0\0\0\0\0\0\0\0\0\x02\x02\x01\0\0", Err(MseError::PadTooLong(513))),
        (TORRENT, b"\0\0\0\0\0\0\0\0\0\0\0\x02\xff\xff\0\0", Err(MseError::PadTooLong(65_535))),
        (InfoHash([1; 20]), b"\0\0\0\0\0\0\0\0\0\0\0\x02\0\0\0\0", Err(MseError::UnknownTorrent)),
    ] {
        assert_eq!(speak(torrent, fields), expected, "{torrent} {fields:?}");
    }
}

#[test]
fn an_initiator_takes_only_what_it_offered() {
    for (select, expected) in [
        (2, Ok(Some(Method::Rc4))),
        (1, Err(MseError::NotOffered(1))),
        (3, Err(MseError::NotOffered(3))),
        (0, Err(MseError::NotOffered(0))),
        (0x8000_0002, Err(MseError::NotOffered(0x8000_0002))),
    ] {
        let mut out = Vec::new();
        let mut initiator = Initiator::new(TORRENT, &[Method::Rc4], &[], chance(6, &[], 0), &mut out);
        let private_key = PrivateKey::new([7; 20]);
        let secret = private_key.shared(out[..KEY_LEN].try_into().unwrap()).unwrap();
        let mut said = private_key.public().to_vec();
        let fields = [&VC[..], &u32::to_be_bytes(select), &[0, 0]].concat();
        put(&mut Keys::new(&secret, &TORRENT).responder, &fields, &mut said);
        let read = initiator.read(&said, &mut out);
        assert_eq!(read.map(|(_, agreed)| agreed.map(|agreed| agreed.method)), expected, "{select}");
    }
}

#[test]
fn errors_say_what_is_wrong() {
    for (error, text) in [
        (MseError::NothingInCommon(1), "no method in common: the peer offers plaintext"),
        (MseError::NothingInCommon(0x10), "no method in common: the peer offers only unknown methods (0x10)"),
        (MseError::NotOffered(3), "the peer selects plaintext and RC4, which we did not offer"),
        (MseError::PadTooLong(600), "padding of 600 bytes, more than 512"),
    ] {
        assert_eq!(error.to_string(), text);
    }
}

/// Nothing of a key, a secret or a keystream in what a log may show.
#[test]
fn what_is_shown_of_a_handshake_has_no_secrets() {
    let mut talk = Talk::new(&[Method::Rc4], &[Method::Rc4], [0, 0], [0, 0]);
    assert_eq!(format!("{:?} {:?}", talk.initiator, talk.responder), "Initiator(Key) Responder(Key)");
    talk.respond(KEY_LEN).unwrap();
    talk.initiate(KEY_LEN).unwrap();
    assert_eq!(format!("{:?} {:?}", talk.initiator, talk.responder), "Initiator(Sync) Responder(Sync)");
    talk.run().unwrap();
}
