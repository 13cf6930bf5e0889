//! How a visitor over HTTP asks for WebSocket, and what it is answered. RFC 6455, section 4.2

use tungstenite::handshake::derive_accept_key;
use wire::tracker_http::head::Head;

/// What agrees to it.
pub(crate) struct Accept(String);

/// Whether a request asks for WebSocket; and if so, what agrees, unless it asks wrongly.
pub(crate) fn asked_for(head: &Head<'_>) -> Option<Option<Accept>> {
    let has_word = |name, word: &str| {
        let mut words = head.values_from_last(name).flat_map(|value| value.split(|&byte| byte == b','));
        words.any(|found| found.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
    };
    if head.method != "GET" || !has_word("upgrade", "websocket") {
        return None;
    }
    // The key is 16 bytes in base64.
    let key = head.values_from_last("sec-websocket-key").next().filter(|key| key.len() == 24);
    let is_right = has_word("connection", "upgrade") && has_word("sec-websocket-version", "13");
    Some(key.filter(|_| is_right).map(|key| Accept(derive_accept_key(key))))
}

/// Appends the answer that agrees.
pub(crate) fn put_accepted(accept: &Accept, out: &mut Vec<u8>) {
    let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ";
    for part in [head, &accept.0, "\r\n\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(fields: &str) -> Option<Option<String>> {
        let request = format!("GET / HTTP/1.1\r\nHost: t\r\n{fields}\r\n");
        let head = Head::read(request.as_bytes(), 0).unwrap().unwrap();
        asked_for(&head).map(|asked| asked.map(|accept| accept.0))
    }

    #[test]
    fn the_example_of_the_rfc_is_agreed_to_and_others_are_not() {
        let fields = "Upgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n";
        let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        let whole = format!("{fields}{key}");
        assert_eq!(answered(&whole), Some(Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".into())));
        assert_eq!(answered(key), None);
        for wrong in
            [fields, &whole.replace("13", "8"), &whole.replace(", Upgrade", ""), &whole.replace("==", "")]
        {
            assert_eq!(answered(wrong), Some(None), "{wrong}");
        }
    }
}
