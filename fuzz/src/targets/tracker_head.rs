//! Heads of HTTP requests, and what proxies say before them, as a tracker reads them from a connection: what is read does not depend on how
//! the bytes were cut, is no longer than what is there, and cannot be told two ways.

use wire::passkey::{self, PASSKEY_LEN_MAX, PASSKEY_LEN_MIN, Passkey};
use wire::proxied::{HEADER_LEN_MAX, NotProxied, Proxied};
use wire::tracker_http::head::{HEAD_LEN_MAX, Head, HeadError};

/// Cuts that are tried of a proxy's header: its shortest forms and then some.
const CUTS_MAX: usize = 300;

/// One input: everything that comes over a connection. Its first byte says in pieces of which size.
pub fn run(data: &[u8]) {
    let piece = data.first().map_or(1, |&byte| usize::from(byte % 64) + 1);
    assert_eq!(requests(data, piece), requests(data, data.len()), "in pieces of {piece}");
    let whole = Proxied::read(data);
    if let Ok(Some(header)) = whole {
        assert!((8..=HEADER_LEN_MAX.min(data.len())).contains(&header.len));
    }
    for cut in 0..data.len().min(CUTS_MAX) {
        match Proxied::read(&data[..cut]) {
            Ok(None) => {}
            Ok(Some(header)) => assert_eq!(whole, Ok(Some(header)), "cut after {cut}"),
            Err(NotProxied) => assert_eq!(whole, Err(NotProxied), "cut after {cut}"),
        }
    }
}

/// Method, target, whether the connection stays, length.
type Request = (String, String, bool, usize);

/// All requests, and how it ends, if the bytes come in pieces of this size.
fn requests(data: &[u8], piece: usize) -> (Vec<Request>, Option<HeadError>) {
    let (mut found, mut start, mut seen) = (Vec::new(), 0, 0);
    let mut come = 0;
    while come < data.len() {
        come = (come + piece.max(1)).min(data.len());
        loop {
            match Head::read(&data[start..come], seen) {
                Ok(None) => {
                    seen = come - start;
                    assert!(seen < HEAD_LEN_MAX);
                    break;
                }
                Ok(Some(head)) => {
                    look(&head, &data[start..come]);
                    found.push((head.method.into(), head.target.into(), head.keep_alive, head.len));
                    (start, seen) = (start + head.len, 0);
                }
                Err(error) => return (found, Some(error)),
            }
        }
    }
    (found, None)
}

fn look(head: &Head<'_>, bytes: &[u8]) {
    assert!(head.len <= HEAD_LEN_MAX && bytes[..head.len].ends_with(b"\r\n\r\n"));
    assert!(!head.method.is_empty() && head.target.starts_with('/'));
    assert!(head.target.bytes().all(|byte| byte.is_ascii_graphic()));
    let (path, query) = head.target.split_once('?').unwrap_or((head.target, ""));
    let (left, passkey) = passkey::take(path, query);
    assert!(path.contains(left) && (passkey.is_some() || left == path));
    if let Some(passkey) = passkey {
        let letters = passkey.reveal();
        assert!(
            (PASSKEY_LEN_MIN..=PASSKEY_LEN_MAX).contains(&letters.len()) && head.target.contains(letters)
        );
        assert_eq!(Passkey::read(letters.as_bytes()), Some(passkey));
        assert!(!format!("{passkey}{passkey:?}").contains(letters));
    }
    for value in head.values_from_last("x-forwarded-for") {
        assert!(!value.iter().any(|byte| b"\r\n\0".contains(byte)));
    }
}
