//! Threat row D7: stored items. Salts and values of every length at the door, and no bit of what was signed can be turned
//! without being noticed.

// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Cases, Chance};
use wire::NodeId;
use wire::bencode::{Encoded, bytes, dict, int};
use wire::item::{Item, MutableItem, SALT_LEN_MAX, SecretKey, VALUE_LEN_MAX};
use wire::krpc::{Body, KrpcError, Method, Packet, Put, Query, Reply, Token, Transaction};

const CASES_MIN: usize = 300;

fn secret() -> SecretKey {
    SecretKey::from_seed([0xd7; 32])
}

fn encoded(body: Body) -> Vec<u8> {
    let mut out = Vec::new();
    Packet::new(Transaction::from_u16(1), body).encode(&mut out);
    out
}

fn put(item: Item) -> Vec<u8> {
    let put = Put { item, cas: Some(3) };
    let method = Method::Put { token: Token::from(b"token").unwrap(), put };
    encoded(Body::Query(Query { id: NodeId([1; 20]), read_only: false, method }))
}

fn reply(item: Item) -> Vec<u8> {
    encoded(Body::Reply(Reply { item: Some(item), ..Reply::new(NodeId([1; 20])) }))
}

/// What a node makes of a put: the item, or the number of the error that it answers with.
fn stored(datagram: &[u8]) -> Result<Item, i64> {
    match Packet::decode(datagram) {
        Ok(packet) => match packet.body {
            Body::Query(Query { method: Method::Put { put, .. }, .. }) => {
                assert_eq!(put.cas, Some(3));
                Ok(put.item)
            }
            other => panic!("{other:?}"),
        },
        Err(error @ KrpcError::Query { .. }) => Err(error.answer().unwrap().1.code),
        Err(error) => panic!("{error}"),
    }
}

/// What who asked makes of a reply. Its id is read whatever the item is.
fn got(datagram: &[u8]) -> Option<Item> {
    match Packet::decode(datagram).unwrap().body {
        Body::Reply(reply) => {
            assert_eq!((reply.id, reply.seq), (NodeId([1; 20]), None));
            reply.item
        }
        other => panic!("{other:?}"),
    }
}

fn salts_of_every_length(cases: &mut Cases) {
    let lengths = (0..=140).chain([255, 256, 511, 512, 1_000, 1_300]);
    for len in lengths {
        let item = secret().sign(&vec![b's'; len], 5, b"i1e");
        let expected = if len <= SALT_LEN_MAX { Ok(Item::Mutable(item.clone())) } else { Err(207) };
        assert_eq!(stored(&put(Item::Mutable(item.clone()))), expected, "a salt of {len}");
        assert!(item.is_genuine());
        assert_eq!(got(&reply(Item::Mutable(item.clone()))), Some(Item::Mutable(item.with_salt(b""))));
        cases.add();
    }
}

fn values_around_the_limit(cases: &mut Cases) {
    for len in [0, 1, 2, 500, 990, 991, 992, 993, 994, 995, 996, 997, 998, 999, 1_000, 1_001, 1_020, 1_400] {
        let value: Encoded = bytes(vec![b'v'; len]);
        let fits = value.as_bytes().len() <= VALUE_LEN_MAX;
        let immutable = Item::Immutable { value: value.as_bytes().into() };
        let mutable = secret().sign(b"", 5, value.as_bytes());
        for item in [immutable, Item::Mutable(mutable)] {
            assert_eq!(stored(&put(item.clone())), if fits { Ok(item.clone()) } else { Err(205) }, "{len}");
            assert_eq!(got(&reply(item.clone())), fits.then_some(item), "{len}");
            cases.add();
        }
    }
}

/// Values that are bencode, but not as a canonical writer writes it: they would have another hash after a rewriting.
fn values_that_are_not_canonical(cases: &mut Cases) {
    for value in
        ["i-0e", "i00e", "i007e", "01:a", "d1:b0:1:a0:e", "d1:a0:1:a0:e", "ld1:b0:1:a0:ee", "l02:aae"]
    {
        let value = value.as_bytes();
        let immutable = Item::Immutable { value: value.into() };
        for item in [immutable, Item::Mutable(secret().sign(b"", 5, value))] {
            assert_eq!(stored(&put(item.clone())), Err(203), "{}", value.escape_ascii());
            assert_eq!(got(&reply(item)), None, "{}", value.escape_ascii());
            cases.add();
        }
    }
}

/// Every byte of key, signature, salt and value, a random bit of it turned; and every other sequence number near.
fn nothing_signed_can_be_changed(cases: &mut Cases) {
    let mut chance = Chance(0xd7);
    let original = secret().sign(b"a salt of some length", 77, b"d4:name12:Hello World!e");
    assert!(original.is_genuine());
    let mut forge = |change: &mut dyn FnMut(&mut MutableItem, u8)| {
        let mut forged = original.clone();
        change(&mut forged, 1 << chance.below(8));
        assert_ne!(forged, original);
        assert!(!forged.is_genuine(), "{forged:?}");
        cases.add();
    };
    (0..32).for_each(|at| forge(&mut |item, bit| item.key.0[at] ^= bit));
    (0..64).for_each(|at| forge(&mut |item, bit| item.signature.0[at] ^= bit));
    (0..original.salt.len()).for_each(|at| forge(&mut |item, bit| item.salt[at] ^= bit));
    for at in 0..original.value.len() {
        forge(&mut |item, bit| {
            let mut value = item.value.to_vec();
            value[at] ^= bit;
            item.value = value.into();
        });
    }
    for seq in [0, 1, 7, 76, 78, 770, -77, i64::MAX, i64::MIN] {
        forge(&mut |item, _| item.seq = seq);
    }
    // Bytes that move from one part to the next, the joined text staying much the same.
    forge(&mut |item, _| item.salt = Box::default());
    forge(&mut |item, _| item.salt = b"a salt of some length3:seqi77e".as_slice().into());
    forge(&mut |item, _| item.salt = item.salt[1..].into());
}

/// Keys, signatures and sequence numbers of the wrong kind or length.
fn parts_of_the_wrong_kind(cases: &mut Cases) {
    let good = |key: &str| match key {
        "k" => bytes([7; 32]),
        "sig" => bytes([8; 64]),
        "seq" => int(5),
        _ => bytes("i1e"),
    };
    let datagram = |key: &str, bad: Option<&Encoded>, query: bool| {
        let mut entries = vec![("id", bytes([1; 20])), ("token", bytes("token")), ("cas", int(3))];
        for name in ["k", "seq", "sig", "v"] {
            let value = if name == key { bad.cloned() } else { Some(good(name)) };
            entries.extend(value.map(|value| (name, value)));
        }
        let (body, kind) = if query { ("a", "q") } else { ("r", "r") };
        let entries = [(body, dict(entries)), ("q", bytes("put")), ("t", bytes("xy")), ("y", bytes(kind))];
        dict(entries).into_bytes()
    };
    assert!(stored(&datagram("", None, true)).is_ok() && got(&datagram("", None, false)).is_some());
    let lengths = [0, 1, 20, 31, 33, 63, 65, 100];
    for key in ["k", "sig", "seq"] {
        let kinds = [int(i64::MIN), int(-1), dict::<&str>([]), wire::bencode::list([bytes([7; 32])])];
        let wrong = lengths.iter().map(|&len| bytes(vec![7; len])).chain(kinds);
        for bad in wrong.map(Some).chain([None]) {
            // Without a key it is an immutable item, whatever else is there.
            if key == "k" && bad.is_none() {
                continue;
            }
            assert_eq!(stored(&datagram(key, bad.as_ref(), true)), Err(203), "{key} {bad:?}");
            assert_eq!(got(&datagram(key, bad.as_ref(), false)), None, "{key} {bad:?}");
            cases.add();
        }
    }
}

#[test]
fn items_are_refused_at_the_door_and_forgeries_are_noticed() {
    let mut cases = Cases::of("D7");
    salts_of_every_length(&mut cases);
    values_around_the_limit(&mut cases);
    values_that_are_not_canonical(&mut cases);
    nothing_signed_can_be_changed(&mut cases);
    parts_of_the_wrong_kind(&mut cases);
    cases.finish(CASES_MIN);
}
