//! Both machines in conversation, and what strangers and meddlers come to.

use super::*;

const KEY: SwarmKey = SwarmKey([1; 32]);
const OTHER: SwarmKey = SwarmKey([2; 32]);

/// Both sides after a handshake; what the dialler hears comes in `step`s.
fn agreed(step: usize) -> (Agreed, Agreed) {
    let (mut forth, mut back) = (Vec::new(), Vec::new());
    let mut initiator = Initiator::new(&KEY, [3; 32], &mut forth);
    let theirs = answered(&KEY, &forth, 4, &mut back).unwrap();
    for end in (step..back.len()).step_by(step) {
        let (taken, none) = initiator.read(&back[..end]).unwrap();
        assert!(taken == 0 && none.is_none());
    }
    let (taken, ours) = initiator.read(&back).unwrap();
    assert_eq!(taken, back.len());
    (ours.unwrap(), theirs)
}

/// What somebody who was dialled comes to with this first message.
fn answered(key: &SwarmKey, first: &[u8], chance: u8, back: &mut Vec<u8>) -> Result<Agreed, PrivateError> {
    Responder::recognise(key, first.first_chunk().unwrap())?.answer([chance; 32], back)
}

/// Everything that these records say.
fn heard(opener: &mut Opener, mut sealed: &mut [u8]) -> Result<Vec<u8>, PrivateError> {
    let mut clear = Vec::new();
    while let Some(opened) = opener.open(sealed)? {
        clear.extend_from_slice(&sealed[opened.clear]);
        sealed = &mut sealed[opened.taken..];
    }
    Ok(clear)
}

#[test]
fn who_holds_the_key_is_understood_in_both_directions() {
    for step in [1, 7, 47, 48, 100] {
        let (mut a, mut b) = agreed(step);
        for (said, from, to) in
            [(&b"forth"[..], &mut a.send, &mut b.receive), (b"back", &mut b.send, &mut a.receive)]
        {
            let mut sealed = Vec::new();
            from.seal([said], &mut sealed).unwrap();
            assert_eq!(sealed.len(), said.len() + RECORD_OVERHEAD);
            assert_eq!(heard(to, &mut sealed).unwrap(), said);
        }
    }
}

#[test]
fn who_does_not_hold_the_key_gets_no_answer() {
    let mut forth = Vec::new();
    Initiator::new(&OTHER, [3; 32], &mut forth);
    let mse = vec![0x55; 96];
    let plaintext = crate::handshake::encode(&crate::Handshake {
        reserved: crate::Reserved::OURS,
        info_hash: crate::InfoHash([1; 20]),
        peer_id: crate::PeerId([1; 20]),
    });
    for said in [&forth[..], &mse, &plaintext, &[0; 48]] {
        assert_eq!(
            Responder::recognise(&KEY, said.first_chunk().unwrap()).unwrap_err(),
            PrivateError::OtherKey
        );
    }
    let mut ours = Vec::new();
    Initiator::new(&KEY, [3; 32], &mut ours);
    for at in 0..FIRST_LEN {
        let mut altered = *ours.first_chunk().unwrap();
        altered[at] ^= 1 << (at % 8);
        assert_eq!(Responder::recognise(&KEY, &altered).unwrap_err(), PrivateError::OtherKey, "byte {at}");
    }
}

#[test]
fn who_is_dialled_must_hold_the_key_too() {
    let (mut forth, mut back) = (Vec::new(), Vec::new());
    let mut initiator = Initiator::new(&KEY, [3; 32], &mut forth);
    let mut other_forth = Vec::new();
    Initiator::new(&OTHER, [3; 32], &mut other_forth);
    answered(&OTHER, &other_forth, 4, &mut back).unwrap();
    assert_eq!(initiator.read(&back).unwrap_err(), PrivateError::OtherKey);
    // What was said to us, said back.
    let mut initiator = Initiator::new(&KEY, [5; 32], &mut Vec::new());
    assert_eq!(initiator.read(&forth).unwrap_err(), PrivateError::OtherKey);
}

#[test]
fn a_first_message_from_a_recording_leads_to_other_keys() {
    let mut forth = Vec::new();
    let mut initiator = Initiator::new(&KEY, [3; 32], &mut forth);
    let (mut back, mut again) = (Vec::new(), Vec::new());
    let mut theirs = answered(&KEY, &forth, 4, &mut back).unwrap();
    let mut replayed = answered(&KEY, &forth, 5, &mut again).unwrap();
    let mut ours = initiator.read(&back).unwrap().1.unwrap();
    let hail = |first: &[u8]| Responder::recognise(&KEY, first.first_chunk().unwrap()).unwrap().hail();
    let mut fresh = Vec::new();
    Initiator::new(&KEY, [6; 32], &mut fresh);
    assert!(hail(&forth) == hail(&forth) && hail(&forth) != hail(&fresh), "it is known by its hail");
    let mut sealed = Vec::new();
    ours.send.seal([&b"once"[..]], &mut sealed).unwrap();
    assert_eq!(heard(&mut replayed.receive, &mut sealed.clone()), Err(PrivateError::Altered));
    assert_eq!(heard(&mut theirs.receive, &mut sealed).unwrap(), b"once");
}

/// Each change of the bytes on their way, and that nothing of what it touches is ever shown.
#[test]
fn whatever_is_done_to_records_ends_the_link_before_a_wrong_byte_is_shown() {
    let records: Vec<Vec<u8>> = {
        let (mut a, _) = agreed(48);
        [&b"first"[..], b"second", b"third"]
            .iter()
            .map(|clear| {
                let mut sealed = Vec::new();
                a.send.seal([*clear], &mut sealed).unwrap();
                sealed
            })
            .collect()
    };
    let honest = records.concat();
    let mut altered: Vec<(String, Vec<u8>, &[u8])> = vec![
        ("repeated".into(), [&records[0][..], &records[0]].concat(), b"first"),
        ("reordered".into(), [&records[1][..], &records[0]].concat(), b""),
        ("left out".into(), [&records[0][..], &records[2]].concat(), b"first"),
        ("put in between".into(), [&records[0][..], &[0; 40], &records[1]].concat(), b"first"),
        ("cut out".into(), [&records[0][..20], &records[0][21..], &records[1]].concat(), b""),
    ];
    for at in 0..records[0].len() {
        let mut bytes = honest.clone();
        bytes[at] ^= 1 << (at % 8);
        altered.push((format!("bit of byte {at}"), bytes, b""));
    }
    for (what, mut bytes, before) in altered {
        let (_, mut b) = agreed(48);
        let mut clear = Vec::new();
        let mut rest = &mut bytes[..];
        let error = loop {
            match b.receive.open(rest) {
                Ok(Some(opened)) => {
                    clear.extend_from_slice(&rest[opened.clear]);
                    rest = &mut rest[opened.taken..];
                }
                Ok(None) => panic!("{what}: not noticed"),
                Err(error) => break error,
            }
        };
        assert_eq!((error, &clear[..]), (PrivateError::Altered, before), "{what}");
        assert_eq!(b.receive.open(&mut honest.clone()), Err(PrivateError::Over), "{what}");
    }
    // What ends early is no record: nothing is shown of it.
    for len in 0..records[0].len() {
        let (_, mut b) = agreed(48);
        assert_eq!(heard(&mut b.receive, &mut honest[..len].to_vec()).unwrap(), b"");
    }
}

#[test]
fn a_record_is_opened_when_it_is_whole_however_it_comes() {
    let said: Vec<u8> = (0..40_000).map(|n| n as u8).collect();
    let mut sealed = Vec::new();
    let (mut a, _) = agreed(48);
    a.send.seal([&said[..7], &[], &said[7..]], &mut sealed).unwrap();
    assert_eq!(sealed.len(), said.len() + 3 * RECORD_OVERHEAD, "as few records as possible");
    for step in [1, 17, 18, 19, 1000, RECORD_CLEAR_MAX + RECORD_OVERHEAD, 50_000] {
        let (_, mut b) = agreed(48);
        let (mut unread, mut clear) = (Vec::new(), Vec::new());
        for part in sealed.chunks(step) {
            unread.extend_from_slice(part);
            loop {
                let enough = unread.len() >= b.receive.wanted();
                match b.receive.open(&mut unread).unwrap() {
                    Some(opened) => {
                        assert!(enough);
                        clear.extend_from_slice(&unread[opened.clear]);
                        unread.drain(..opened.taken);
                    }
                    None => break,
                }
            }
        }
        assert!(clear == said && unread.is_empty(), "in steps of {step}");
    }
}

#[test]
fn a_record_says_something_and_not_too_much() {
    for len in [0, RECORD_CLEAR_MAX as u16 + 1, u16::MAX] {
        let mut seal = noise::CipherState::new([8; 32]);
        let mut header = len.to_be_bytes().to_vec();
        let tag = seal.seal(&[], &mut header).unwrap();
        header.extend_from_slice(&tag);
        let mut opener = Opener::new(noise::CipherState::new([8; 32]));
        assert_eq!(opener.open(&mut header), Err(PrivateError::Length(len)));
    }
    let mut nothing = Vec::new();
    agreed(48).0.send.seal([&[][..], &[]], &mut nothing).unwrap();
    assert!(nothing.is_empty());
}

/// Equal bytes twice, and equal handshakes with other chance: no stretch of eight bytes comes again.
#[test]
fn nothing_that_is_sent_repeats() {
    let mut sent = Vec::new();
    for n in 0..2 {
        let mut forth = Vec::new();
        let mut initiator = Initiator::new(&KEY, [10 + n; 32], &mut forth);
        let mut back = Vec::new();
        answered(&KEY, &forth, 20 + n, &mut back).unwrap();
        let mut ours = initiator.read(&back).unwrap().1.unwrap();
        sent.extend_from_slice(&forth);
        sent.extend_from_slice(&back);
        for _ in 0..3 {
            ours.send.seal([&[0; 100][..]], &mut sent).unwrap();
        }
    }
    let mut windows: Vec<&[u8]> = sent.windows(8).collect();
    windows.sort_unstable();
    assert!(windows.windows(2).all(|pair| pair[0] != pair[1]));
}

#[test]
fn a_swarm_key_is_never_shown() {
    assert_eq!(format!("{:?}", SwarmKey([0x61; 32])), "SwarmKey(..)");
}

#[test]
fn a_swarm_is_known_again_by_its_mark() {
    assert_eq!(KEY.mark(), KEY.clone().mark());
    assert_ne!(KEY.mark(), OTHER.mark());
    assert!(!KEY.0.windows(4).any(|window| KEY.mark().windows(4).any(|other| other == window)));
}

#[test]
fn what_cannot_be_sealed_is_not_said_then_or_later() {
    let mut sealer = Sealer::new(noise::CipherState::keyless());
    let mut out = b"before".to_vec();
    for _ in 0..2 {
        let long = vec![7; 2 * RECORD_CLEAR_MAX];
        assert_eq!(sealer.seal([&b"clear"[..], &long], &mut out), Err(PrivateError::Unsealed));
        assert_eq!(out, b"before");
    }
}
