//! The vectors of BEPs 44 and 46 to the byte, and what nodes may store. More on what is refused: `tests/d7_items.rs`. BEP: 44, 46

use super::*;

fn unhex<const N: usize>(digits: &str) -> [u8; N] {
    let mut bytes = [0; N];
    assert_eq!(digits.len(), 2 * N);
    for (pair, byte) in digits.as_bytes().chunks(2).zip(&mut bytes) {
        *byte = u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap();
    }
    bytes
}

/// The secret and public key of BEP 44's vectors.
const EXPANDED: &str = "e06d3183d14159228433ed599221b80bd0a5ce8352e4bdf0262f76786ef1c74d\
                        b7e7a9fea2c0eb269d61e3b38e450a22e754941ac78479d6c54e1faf6037881d";
const PUBLIC: &str = "77ff84905a91936367c01360803104f92432fcd904a43511876df5cdf3e7e548";

/// Salt, target and signature of the mutable ones: their value and sequence number are the same.
const MUTABLE: [(&str, &str, &str); 2] = [
    (
        "",
        "4a533d47ec9c7d95b1ad75f576cffc641853b750",
        "305ac8aeb6c9c151fa120f120ea2cfb923564e11552d06a5d856091e5e853cff\
         1260d3f39e4999684aa92eb73ffd136e6f4f3ecbfda0ce53a1608ecd7ae21f01",
    ),
    (
        "foobar",
        "411eba73b6f087ca51a3795d9c8c938d365e32c1",
        "6834284b6b24c3204eb2fea824d82f88883a3d95e8b4a21b8c0ded553d17d17d\
         df9a8a7104b1258f30bed3787e6cb896fca78c58f8e03b5f18f14951a87d9a08",
    ),
];

const VALUE: &[u8] = b"12:Hello World!";

#[test]
fn the_mutable_vectors_of_bep_44_are_signed_and_stored_as_it_says() {
    let secret = SecretKey::from_expanded(unhex(EXPANDED));
    assert_eq!(secret.public().to_string(), PUBLIC);
    assert_eq!(PUBLIC.parse(), Ok(secret.public()));
    for (salt, target, signature) in MUTABLE {
        let item = secret.sign(salt.as_bytes(), 1, VALUE);
        assert_eq!(item.signature, Signature(unhex(signature)), "{salt}");
        assert_eq!(item.target().to_string(), target);
        assert_eq!(Item::Mutable(item.clone()).target(), item.target());
        assert!(item.is_genuine() && item.check().is_ok());
    }
    assert_eq!(signed_bytes(b"", 1, VALUE), b"3:seqi1e1:v12:Hello World!");
    assert_eq!(signed_bytes(b"foobar", 1, VALUE), b"4:salt6:foobar3:seqi1e1:v12:Hello World!");
}

#[test]
fn the_immutable_vector_of_bep_44_is_stored_where_it_says() {
    let item = Item::Immutable { value: VALUE.into() };
    assert_eq!(item.target().to_string(), "e5f96f6f38320f0f33959cb4d3d656452117aadb");
    assert_eq!(item.check(), Ok(()));
}

#[test]
fn the_vectors_of_bep_46_are_found_where_it_says() {
    let key: PublicKey = "8543d3e6115f0f98c944077a4493dcd543e49c739fd998550a1f614ab36ed63e".parse().unwrap();
    for (salt, target) in [
        (b"".as_slice(), "cc3f9d90b572172053626f9980ce261a850d050b"),
        (&[0x6e], "59ee7c2cb9b4f7eb1986ee2d18fd2fdb8a56554f"),
    ] {
        assert_eq!(target_of_key(&key, salt).to_string(), target);
    }
}

#[test]
fn a_torrent_is_named_by_a_value_and_read_from_it() {
    let info_hash = InfoHash(*b"mnopqrstuvwxyz123456");
    let value = info_hash_value(info_hash);
    assert_eq!(value, b"d2:ih20:mnopqrstuvwxyz123456e");
    assert_eq!((info_hash_of(&value), check_value(&value)), (Some(info_hash), Ok(())));
    for (value, expected) in [
        ("d2:ih20:mnopqrstuvwxyz1234563:newi1ee", Some(info_hash)),
        ("d2:ih19:mnopqrstuvwxyz12345e", None),
        ("d2:ihi7ee", None),
        ("d3:ihx20:mnopqrstuvwxyz123456e", None),
        ("20:mnopqrstuvwxyz123456", None),
        ("d2:ih20:mnopq", None),
        ("", None),
    ] {
        assert_eq!(info_hash_of(value.as_bytes()), expected, "{value}");
    }
}

#[test]
fn a_seed_is_a_key_as_rfc_8032_says() {
    let seed = unhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
    let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    assert_eq!(SecretKey::from_seed(seed).public().to_string(), public);
}

#[test]
fn a_secret_key_shows_nothing_of_itself() {
    let secret = SecretKey::from_expanded(unhex(EXPANDED));
    assert_eq!(format!("{secret:?}"), "SecretKey(..)");
}

#[test]
fn a_signature_under_a_weak_key_proves_nothing() {
    // The neutral element as key and nonce: the equation holds for every message.
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let mut signature = [0; 64];
    signature[0] = 1;
    for value in [VALUE, b"i1e", b"le"] {
        let item = MutableItem {
            key: PublicKey(neutral),
            salt: Box::default(),
            seq: 1,
            value: value.into(),
            signature: Signature(signature),
        };
        assert!(!item.is_genuine());
    }
}

#[test]
fn a_salt_is_put_back_into_what_came_without_it() {
    let sent = SecretKey::from_seed([7; 32]).sign(b"foobar", 4, VALUE);
    let came = sent.clone().with_salt(b"");
    assert!(!came.is_genuine());
    assert_eq!(came.with_salt(b"foobar"), sent);
}

#[test]
fn a_public_key_is_64_hexadecimal_digits() {
    assert_eq!(PUBLIC.to_uppercase().parse::<PublicKey>(), PUBLIC.parse());
    for wrong in ["", &PUBLIC[1..], &PUBLIC.replace('7', "g"), &PUBLIC.replace('7', "+"), &"ä".repeat(32)] {
        assert_eq!(wrong.parse::<PublicKey>(), Err(NotAPublicKey), "{wrong}");
    }
}

#[test]
fn what_no_node_stores_is_named() {
    let nested = |depth: usize| [b"l".repeat(depth), b"e".repeat(depth)].concat();
    let many = |count: usize| [b"l".as_slice(), &b"0:".repeat(count), b"e"].concat();
    for (value, expected) in [
        (bencode::bytes([b'v'; 995]).into_bytes(), Ok(())),
        (bencode::bytes([b'v'; 996]).into_bytes(), Ok(())),
        (bencode::bytes([b'v'; 997]).into_bytes(), Err(ItemError::ValueTooLong(1001))),
        (nested(8), Ok(())),
        (nested(9), Err(ItemError::ValueTooComplex)),
        (many(449), Ok(())),
        (many(450), Err(ItemError::ValueTooComplex)),
        (b"".to_vec(), Err(ItemError::ValueNotCanonical)),
        (b"i01e".to_vec(), Err(ItemError::ValueNotCanonical)),
        (b"i1ei2e".to_vec(), Err(ItemError::ValueNotCanonical)),
        (b"d1:b0:1:a0:e".to_vec(), Err(ItemError::ValueNotCanonical)),
        (b"d1:a0:1:a0:e".to_vec(), Err(ItemError::ValueNotCanonical)),
        (b"Hello World!".to_vec(), Err(ItemError::ValueNotCanonical)),
        (b"i99999999999999999999e".to_vec(), Err(ItemError::ValueNotCanonical)),
    ] {
        assert_eq!(check_value(&value), expected, "{}", value.escape_ascii());
        assert_eq!(Item::Immutable { value: value.into() }.check(), expected);
    }
    let signed = |salt: usize, seq| SecretKey::from_seed([7; 32]).sign(&vec![b's'; salt], seq, VALUE).check();
    assert_eq!((signed(64, 0), signed(0, i64::MAX)), (Ok(()), Ok(())));
    assert_eq!(signed(65, 0), Err(ItemError::SaltTooLong(65)));
    assert_eq!(signed(0, -1), Err(ItemError::SeqNegative));
    assert_eq!(
        ItemError::ValueTooLong(1001).to_string(),
        "the value takes 1001 bytes as bencode; the DHT stores at most 1000"
    );
}
