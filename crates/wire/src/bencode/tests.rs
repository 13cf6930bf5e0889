//! Bencode in small; the counted threat suites are in `tests/`.

use super::*;

const WIDE: Limits = Limits { bytes: usize::MAX, tokens: usize::MAX, depth: usize::MAX };

fn fault(input: &[u8], limits: &Limits) -> (usize, BencodeFault) {
    let error = Bencode::parse(input, limits).expect_err("should be refused");
    (error.offset, error.fault)
}

#[test]
fn a_cursor_walks_what_was_written() {
    let info = dict([("name", bytes("x")), ("length", int(-7))]);
    let written =
        dict([("z", list([int(1), bytes(b"\xff"), list([]), int(i64::MIN)])), ("info", info.clone())]);
    let parsed = Bencode::parse(written.as_bytes(), &Limits::TORRENT).unwrap();
    let root = parsed.root();
    assert!(parsed.oddities().is_empty());
    assert_eq!(root.get("info").unwrap().raw(), info.as_bytes());
    assert_eq!(root.get("info").unwrap().get("length").unwrap().as_int(), Some(-7));
    assert_eq!(root.get("info").unwrap().get("name").unwrap().as_str(), Some("x"));
    let items: Vec<_> = root.get("z").unwrap().as_list().unwrap().collect();
    assert_eq!(items.len(), 4);
    assert_eq!(items[1].as_bytes(), Some(&b"\xff"[..]));
    assert_eq!(items[1].as_str(), None);
    assert_eq!(items[2].as_list().unwrap().count(), 0);
    assert_eq!(items[3].as_int(), Some(i64::MIN));
    assert!(root.get("none").is_none());
    assert_eq!(root.as_dict().unwrap().map(|(key, _)| key).collect::<Vec<_>>(), [&b"info"[..], b"z"]);
    assert_eq!(
        format!("{parsed:?}"),
        r#"{"info": {"length": -7, "name": "x"}, "z": [1, "\xff", [], -9223372036854775808]}"#
    );
    assert_eq!(Encoded::from(root), written);
}

#[test]
fn every_fault_names_its_place() {
    use BencodeFault::*;
    let table: &[(&[u8], usize, BencodeFault)] = &[
        (b"", 0, Truncated),
        (b"l", 1, Truncated),
        (b"li1e", 4, Truncated),
        (b"i12", 0, Truncated),
        (b"12", 0, Truncated),
        (b"e", 0, NotAValue(b'e')),
        (b"lxe", 1, NotAValue(b'x')),
        (b"-1:a", 0, NotAValue(b'-')),
        (b"ie", 0, BadInteger),
        (b"i-e", 0, BadInteger),
        (b"i+1e", 0, BadInteger),
        (b"i--1e", 0, BadInteger),
        (b"i1.5e", 0, BadInteger),
        (b"l5;spame", 1, BadLength),
        (b"5:spam", 0, StringPastEnd),
        (b"99999999999999999999999999:a", 0, StringPastEnd),
        (b"di1ei2ee", 1, KeyNotString),
        (b"d1:ae", 4, KeyWithoutValue),
        (b"d1:ai1e1:be", 10, KeyWithoutValue),
        (b"d1:ai1eli1eee", 7, KeyNotString),
    ];
    for &(input, offset, what) in table {
        assert_eq!(fault(input, &WIDE), (offset, what), "{}", input.escape_ascii());
    }
}

#[test]
fn limits_hold_to_the_unit() {
    let limits = Limits { bytes: 12, tokens: 3, depth: 2 };
    assert!(Bencode::parse(b"lli1eee", &limits).is_ok());
    assert_eq!(fault(b"lllee", &limits), (2, BencodeFault::TooDeep));
    assert_eq!(fault(b"li1ei1ei1ee", &limits), (7, BencodeFault::TooManyTokens));
    assert!(Bencode::parse(b"l3:abc3:defe", &limits).is_ok());
    assert_eq!(fault(b"l4:abcd3:defe", &limits), (12, BencodeFault::TooLong));
}

#[test]
fn what_is_forgiven_is_reported_with_its_place() {
    let table: &[(&[u8], Oddity, usize)] = &[
        (b"li03ee", Oddity::LeadingZero, 1),
        (b"i-0e", Oddity::NegativeZero, 0),
        (b"i-00e", Oddity::LeadingZero, 0),
        (b"i9223372036854775808e", Oddity::HugeInteger, 0),
        (b"03:abc", Oddity::LengthLeadingZero, 0),
        (b"d1:bi1e1:ai2ee", Oddity::KeyOrder, 7),
        (b"d1:bd1:zi1ee1:ai2ee", Oddity::KeyOrder, 12),
        (b"d1:ai1e1:ai2ee", Oddity::DuplicateKey, 7),
        (b"i1e\n", Oddity::TrailingBytes, 3),
    ];
    for &(input, oddity, offset) in table {
        let parsed = Bencode::parse(input, &WIDE).unwrap();
        assert_eq!(parsed.oddities().first(oddity), Some(offset), "{}", input.escape_ascii());
    }
    assert!(Bencode::parse(b"0:", &WIDE).unwrap().oddities().is_empty());
}

#[test]
fn of_equal_keys_the_first_is_found() {
    let parsed = Bencode::parse(b"d1:ai1e1:ai2ee", &WIDE).unwrap();
    assert_eq!(parsed.root().get("a").unwrap().as_int(), Some(1));
}

#[test]
fn a_head_is_read_and_what_follows_is_kept() {
    let message = b"d8:msg_typei1e5:piecei0eeRAW d1:xe";
    let parsed = Bencode::parse_prefix(message, &Limits::EXTENSION_HEAD).unwrap();
    assert_eq!(parsed.root().get("piece").unwrap().as_int(), Some(0));
    assert_eq!(parsed.rest(), b"RAW d1:xe");
    assert!(parsed.oddities().is_empty());
    let long = [b"1500:".to_vec(), vec![0; 3000]].concat();
    let error = Bencode::parse_prefix(&long, &Limits::EXTENSION_HEAD).unwrap_err();
    assert_eq!(error, BencodeError { offset: 1024, fault: BencodeFault::TooLong });
}

#[test]
fn a_written_dictionary_is_sorted_and_keeps_the_first_of_equal_keys() {
    let written = dict([("b", int(1)), ("a", int(2)), ("b", int(3))]);
    assert_eq!(written.as_bytes(), b"d1:ai2e1:bi1ee");
}

#[test]
fn skipping_finds_the_sibling_at_every_subtree_size() {
    for inner in 0..70 {
        let sub = list((0..inner).map(int));
        let written = list([sub.clone(), dict([("k", sub)]), int(-1)]);
        let parsed = Bencode::parse(written.as_bytes(), &WIDE).unwrap();
        let items: Vec<_> = parsed.root().as_list().unwrap().collect();
        assert_eq!(items.len(), 3, "{inner}");
        assert_eq!(items[0].as_list().unwrap().count() as i64, inner);
        assert_eq!(items[2].as_int(), Some(-1));
    }
}
