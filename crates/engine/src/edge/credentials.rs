//! A name and a password in a URL, as a server hears them (RFC 7617). Private trackers are still reached like this.

use url::Url;

/// What the `Authorization` header says; nothing if the URL names nobody.
pub(super) fn authorization(url: &Url) -> Option<String> {
    let (user, password) = (url.username(), url.password());
    if user.is_empty() && password.is_none() {
        return None;
    }
    let mut pair = decoded(user);
    pair.push(b':');
    pair.extend(decoded(password.unwrap_or_default()));
    Some(format!("Basic {}", base64(&pair)))
}

/// Percent-encoded text as it was meant. A URL that was parsed has no other kind; whatever is not encoded stays as it is.
fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, others)) = rest.split_first() {
        let pair = others.get(..2).filter(|_| first == b'%');
        let code = pair.and_then(|pair| std::str::from_utf8(pair).ok());
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &others[2..];
            }
            None => {
                bytes.push(first);
                rest = others;
            }
        }
    }
    bytes
}

/// RFC 4648, 4, with padding.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let bits = (0..3).fold(0_u32, |bits, at| bits << 8 | u32::from(three.get(at).copied().unwrap_or(0)));
        for place in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= three.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of RFC 4648, 10.
    #[test]
    fn base64_is_as_the_rfc_has_it() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn a_name_and_a_password_are_said_as_they_were_meant() {
        for (url, said) in [
            ("http://h.example/a", None),
            // The pair of RFC 7617, 2.
            ("http://Aladdin:open%20sesame@h.example/a", Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")),
            ("http://user@h.example/a", Some("Basic dXNlcjo=")),
            ("http://:word@h.example/a", Some("Basic OndvcmQ=")),
            ("http://100%25:%zz@h.example/a", Some("Basic MTAwJToleno=")),
        ] {
            assert_eq!(authorization(&Url::parse(url).unwrap()).as_deref(), said, "{url}");
        }
    }
}
