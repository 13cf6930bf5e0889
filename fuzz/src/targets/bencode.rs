//! Bencode: every limit holds, the whole tape can be walked and shown, the raw spans are the input's, and what was found
//! canonical is what the writer writes.

use wire::bencode::{self, Bencode, Encoded, Kind, Limits, Value};

const LIMITS: [Limits; 5] = [
    Limits::TORRENT,
    Limits::METADATA,
    Limits::TRACKER_REPLY,
    Limits::EXTENSION_HANDSHAKE,
    Limits::EXTENSION_HEAD,
];

/// One input.
pub fn run(data: &[u8]) {
    for limits in &LIMITS {
        let whole = Bencode::parse(data, limits);
        let prefix = Bencode::parse_prefix(data, limits);
        if let Ok(whole) = &whole {
            check(data, limits, whole);
            assert_eq!(prefix.map(|prefix| prefix.encoded_len()), Ok(whole.encoded_len()));
        } else if let Err(error) = &whole {
            assert!(error.offset <= data.len(), "{error}");
        }
    }
}

fn check(data: &[u8], limits: &Limits, parsed: &Bencode<'_>) {
    let root = parsed.root();
    assert!(parsed.tokens() <= limits.tokens && parsed.encoded_len() <= limits.bytes);
    assert_eq!(root.raw(), &data[..parsed.encoded_len()]);
    assert_eq!([root.raw(), parsed.rest()].concat(), data);
    assert!(!format!("{parsed:?}").is_empty());
    let rewritten = rewrite(root, limits.depth);
    if parsed.oddities().is_empty() {
        assert_eq!(rewritten.as_bytes(), data);
    }
    // What the writer writes is canonical, whatever it was made from.
    let again = Bencode::parse(rewritten.as_bytes(), limits).expect("our own writing is read");
    assert!(again.oddities().is_empty(), "{:?}", again.oddities());
}

/// The value written anew from its parts; integers beyond 64 bits become 0. Recursion is bounded by the limit on depth.
fn rewrite(value: Value<'_, '_>, depth_left: usize) -> Encoded {
    match value.kind() {
        Kind::Int => bencode::int(value.as_int().unwrap_or(0)),
        Kind::Bytes => bencode::bytes(value.as_bytes().expect("a string has bytes")),
        Kind::List => {
            assert!(depth_left > 0, "deeper than the limit");
            bencode::list(
                value.as_list().expect("a list has items").map(|item| rewrite(item, depth_left - 1)),
            )
        }
        Kind::Dict => {
            assert!(depth_left > 0, "deeper than the limit");
            let entries = value.as_dict().expect("a dictionary has entries");
            for (key, _) in entries.clone().take(20) {
                assert!(value.get(key).is_some(), "a key that stands there is found");
            }
            bencode::dict(entries.map(|(key, value)| (key, rewrite(value, depth_left - 1))))
        }
    }
}
