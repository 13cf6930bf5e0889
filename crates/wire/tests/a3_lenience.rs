//! Threat row A3: what is not canonical is read as others read it, reported, and never encoded anew. A table of verdicts,
//! round trips of random values, and mutated values held against bendy, which accepts canonical bencode only.

// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

mod common;

use bendy::decoding::Decoder;
use common::{Cases, Chance};
use wire::bencode::{Bencode, BencodeFault, Encoded, Kind, Limits, Oddity, Value, bytes, dict, int, list};

const CASES_MIN: usize = 600;

const LIMITS: Limits = Limits { bytes: 1 << 20, tokens: 10_000, depth: 64 };

use BencodeFault::{
    BadInteger, BadLength, KeyNotString, KeyWithoutValue, NotAValue, StringPastEnd, Truncated,
};
use Oddity::{
    DuplicateKey, HugeInteger, KeyOrder, LeadingZero, LengthLeadingZero, NegativeZero, TrailingBytes,
};

/// Bytes, and what is forgiven with its place, or what is refused with its place.
type Row = (&'static [u8], Result<&'static [(Oddity, usize)], (usize, BencodeFault)>);

const TABLE: &[Row] = &[
    (b"i0e", Ok(&[])),
    (b"i1e", Ok(&[])),
    (b"i-1e", Ok(&[])),
    (b"i9223372036854775807e", Ok(&[])),
    (b"i-9223372036854775808e", Ok(&[])),
    (b"i9223372036854775808e", Ok(&[(HugeInteger, 0)])),
    (b"i-9223372036854775809e", Ok(&[(HugeInteger, 0)])),
    (b"i18446744073709551616e", Ok(&[(HugeInteger, 0)])),
    (b"i99999999999999999999999999999999999999e", Ok(&[(HugeInteger, 0)])),
    (b"i03e", Ok(&[(LeadingZero, 0)])),
    (b"i00e", Ok(&[(LeadingZero, 0)])),
    (b"i-03e", Ok(&[(LeadingZero, 0)])),
    (b"i-0e", Ok(&[(NegativeZero, 0)])),
    (b"i-00e", Ok(&[(LeadingZero, 0), (NegativeZero, 0)])),
    (b"ie", Err((0, BadInteger))),
    (b"i-e", Err((0, BadInteger))),
    (b"i--1e", Err((0, BadInteger))),
    (b"i1-e", Err((0, BadInteger))),
    (b"i+1e", Err((0, BadInteger))),
    (b"i 1e", Err((0, BadInteger))),
    (b"i1 e", Err((0, BadInteger))),
    (b"i1.0e", Err((0, BadInteger))),
    (b"i1e5e", Ok(&[(TrailingBytes, 3)])),
    (b"i0x1e", Err((0, BadInteger))),
    (b"i1", Err((0, Truncated))),
    (b"i", Err((0, Truncated))),
    (b"i-", Err((0, Truncated))),
    (b"i12345", Err((0, Truncated))),
    (b"0:", Ok(&[])),
    (b"1:a", Ok(&[])),
    (b"4:i1e:", Ok(&[])),
    (b"06:abcdef", Ok(&[(LengthLeadingZero, 0)])),
    (b"00:", Ok(&[(LengthLeadingZero, 0)])),
    (b"000001:a", Ok(&[(LengthLeadingZero, 0)])),
    (b"1:ab", Ok(&[(TrailingBytes, 3)])),
    (b"2:a", Err((0, StringPastEnd))),
    (b"1:", Err((0, StringPastEnd))),
    (b"18446744073709551615:a", Err((0, StringPastEnd))),
    (b"18446744073709551616:a", Err((0, StringPastEnd))),
    (b"199999999:a", Err((0, StringPastEnd))),
    (b"1", Err((0, Truncated))),
    (b"1a", Err((0, BadLength))),
    (b"1 :a", Err((0, BadLength))),
    (b"1;a", Err((0, BadLength))),
    (b"1-:a", Err((0, BadLength))),
    (b":a", Err((0, NotAValue(b':')))),
    (b"-1:a", Err((0, NotAValue(b'-')))),
    (b"+1:a", Err((0, NotAValue(b'+')))),
    (b" 1:a", Err((0, NotAValue(b' ')))),
    (b"a", Err((0, NotAValue(b'a')))),
    (b"\0", Err((0, NotAValue(0)))),
    (b"\xff", Err((0, NotAValue(0xff)))),
    (b"e", Err((0, NotAValue(b'e')))),
    (b"", Err((0, Truncated))),
    (b"le", Ok(&[])),
    (b"lee", Ok(&[(TrailingBytes, 2)])),
    (b"l", Err((1, Truncated))),
    (b"ll", Err((2, Truncated))),
    (b"lle", Err((3, Truncated))),
    (b"li1e", Err((4, Truncated))),
    (b"li1e1:ae", Ok(&[])),
    (b"li03ei1e01:ae", Ok(&[(LeadingZero, 1), (LengthLeadingZero, 8)])),
    (b"lxe", Err((1, NotAValue(b'x')))),
    (b"l2:ae", Err((5, Truncated))),
    (b"l2:aee", Ok(&[])),
    (b"de", Ok(&[])),
    (b"d", Err((1, Truncated))),
    (b"d1:a", Err((4, Truncated))),
    (b"d1:ae", Err((4, KeyWithoutValue))),
    (b"d1:ai1e", Err((7, Truncated))),
    (b"d1:ai1ee", Ok(&[])),
    (b"di1ei1ee", Err((1, KeyNotString))),
    (b"dlei1ee", Err((1, KeyNotString))),
    (b"ddei1ee", Err((1, KeyNotString))),
    (b"d1:ai1ei1ei1ee", Err((7, KeyNotString))),
    (b"d1:ai1e1:be", Err((10, KeyWithoutValue))),
    (b"d1:ai1e1:bi1ee", Ok(&[])),
    (b"d1:bi1e1:ai1ee", Ok(&[(KeyOrder, 7)])),
    (b"d1:ai1e1:ai2ee", Ok(&[(DuplicateKey, 7)])),
    (b"d0:i1e0:i1ee", Ok(&[(DuplicateKey, 6)])),
    (b"d1:ai1e01:ai2ee", Ok(&[(LengthLeadingZero, 7), (DuplicateKey, 7)])),
    (b"d1:ai1e1:bi1e1:ai1ee", Ok(&[(KeyOrder, 13)])),
    (b"d2:aai1e1:bi1ee", Ok(&[])),
    (b"d1:bi1e2:aai1ee", Ok(&[(KeyOrder, 7)])),
    (b"d1:ai1e2:aai1ee", Ok(&[])),
    (b"d1:Zi1e1:ai1ee", Ok(&[])),
    (b"d1:\xffi1e1:\x00i1ee", Ok(&[(KeyOrder, 7)])),
    (b"d1:ad1:bi1e1:ai1eee", Ok(&[(KeyOrder, 11)])),
    (b"d1:bd1:ai1ee1:ad1:ai1eee", Ok(&[(KeyOrder, 12)])),
    (b"d1:ald1:bi1eee1:a0:e", Ok(&[(DuplicateKey, 14)])),
    (b"d6:pieces1:a6:pieces1:be", Ok(&[(DuplicateKey, 12)])),
    (b"d1:ai1eed", Ok(&[(TrailingBytes, 8)])),
    (b"d1:ai1ee\r\n", Ok(&[(TrailingBytes, 8)])),
    (b"d1:a1:be", Ok(&[])),
    (b"d1:a2:bee", Ok(&[])),
    (b"d1:a2:be", Err((8, Truncated))),
];

/// Whether bendy, which is strict, takes the input as one value and nothing behind it.
fn strict_takes(input: &[u8]) -> bool {
    let mut decoder = Decoder::new(input).with_max_depth(LIMITS.depth);
    let whole = match decoder.next_object() {
        Ok(Some(object)) => drain(object),
        Ok(None) | Err(_) => false,
    };
    whole && matches!(decoder.next_object(), Ok(None))
}

fn drain(object: bendy::decoding::Object<'_, '_>) -> bool {
    match object {
        bendy::decoding::Object::List(list) => list.into_raw().is_ok(),
        bendy::decoding::Object::Dict(dict) => dict.into_raw().is_ok(),
        bendy::decoding::Object::Integer(_) | bendy::decoding::Object::Bytes(_) => true,
    }
}

/// A random value; its depth is bounded by `levels`.
fn random(chance: &mut Chance, levels: usize) -> Encoded {
    let kinds = if levels == 0 { 2 } else { 4 };
    match chance.below(kinds) {
        0 => int((chance.next() as i64) >> chance.below(63)),
        1 => {
            let len = chance.below(12);
            bytes((0..len).map(|_| chance.next() as u8).collect::<Vec<_>>())
        }
        2 => {
            let count = chance.below(5);
            list((0..count).map(|_| random(chance, levels - 1)).collect::<Vec<_>>())
        }
        _ => {
            let count = chance.below(5);
            let entry = |chance: &mut Chance| {
                let key = vec![b'a' + chance.below(20) as u8; chance.below(3)];
                (key, random(chance, levels - 1))
            };
            dict((0..count).map(|_| entry(chance)).collect::<Vec<_>>())
        }
    }
}

/// Writes a decoded value anew.
fn rewrite(value: Value<'_, '_>) -> Encoded {
    match value.kind() {
        Kind::Int => int(value.as_int().unwrap()),
        Kind::Bytes => bytes(value.as_bytes().unwrap()),
        Kind::List => list(value.as_list().unwrap().map(rewrite)),
        Kind::Dict => dict(value.as_dict().unwrap().map(|(key, value)| (key, rewrite(value)))),
    }
}

/// Every value's raw bytes stand where it says, and decode to itself.
fn check_spans(input: &[u8], root: Value<'_, '_>, seed: u64) {
    let mut values = vec![root];
    while let Some(value) = values.pop() {
        let raw = value.raw();
        assert_eq!(&input[value.offset()..value.offset() + raw.len()], raw, "seed {seed}");
        let alone = Bencode::parse(raw, &LIMITS).expect("a part of a good whole is good");
        assert_eq!(alone.root().raw(), raw, "seed {seed}");
        assert_eq!(alone.root().kind(), value.kind(), "seed {seed}");
        values.extend(value.as_list().into_iter().flatten());
        values.extend(value.as_dict().into_iter().flatten().map(|(_, value)| value));
    }
}

fn mutate(chance: &mut Chance, input: &mut Vec<u8>) {
    for _ in 0..1 + chance.below(3) {
        let at = chance.below(input.len());
        match chance.below(5) {
            0 => input[at] = chance.next() as u8,
            1 => input[at] = *chance.pick(b"ilde0123456789:-"),
            2 => drop(input.remove(at)),
            3 => input.insert(at, *chance.pick(b"ilde0123456789:-")),
            _ => input.truncate(at + 1),
        }
        if input.is_empty() {
            input.push(b'e');
        }
    }
}

#[test]
fn what_is_not_canonical_is_read_and_reported_or_refused_by_place() {
    let mut cases = Cases::of("A3");
    for (input, verdict) in TABLE {
        let what = input.escape_ascii().to_string();
        let parsed = Bencode::parse(input, &LIMITS);
        match (parsed, verdict) {
            (Ok(parsed), Ok(oddities)) => {
                assert_eq!(parsed.oddities().iter().collect::<Vec<_>>(), *oddities, "{what}");
            }
            (Err(error), Err(expected)) => assert_eq!((error.offset, error.fault), *expected, "{what}"),
            (parsed, _) => panic!("{what}: {parsed:?}"),
        }
        cases.add();
    }
    for seed in 0..500 {
        let mut chance = Chance(seed);
        let written = random(&mut chance, 5);
        let parsed = Bencode::parse(written.as_bytes(), &LIMITS).unwrap();
        assert!(parsed.oddities().is_empty(), "seed {seed}");
        assert_eq!(rewrite(parsed.root()), written, "seed {seed}");
        assert!(strict_takes(written.as_bytes()), "seed {seed}");
        check_spans(written.as_bytes(), parsed.root(), seed);
        cases.add();
    }
    let (mut strict, mut lenient) = (0, 0);
    for seed in 0..3_000 {
        let mut chance = Chance(seed);
        let mut input = random(&mut chance, 3).into_bytes();
        mutate(&mut chance, &mut input);
        let parsed = Bencode::parse(&input, &LIMITS);
        let canonical = parsed.as_ref().is_ok_and(|parsed| parsed.oddities().is_empty());
        // bendy reads integers of any size.
        let huge = parsed.as_ref().is_ok_and(|parsed| {
            let seen: Vec<_> = parsed.oddities().iter().map(|(oddity, _)| oddity).collect();
            seen == [HugeInteger]
        });
        let what = input.escape_ascii();
        assert_eq!(canonical || huge, strict_takes(&input), "seed {seed}: {what}: {parsed:?}");
        strict += usize::from(canonical);
        if let Ok(parsed) = parsed {
            lenient += usize::from(!canonical);
            check_spans(&input[..parsed.encoded_len()], parsed.root(), seed);
        }
        cases.add();
    }
    assert!(strict > 100 && lenient > 100, "the mutations reach both: {strict}, {lenient}");
    cases.finish(CASES_MIN);
}
