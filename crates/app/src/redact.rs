//! What may be shown of a URL that a torrent names: where it leads, and nothing that opens a door there.
//!
//! Users send what they see to others: screenshots, logs, reports of faults. A name and password, a passkey in the path or in
//! the query would go with it. Errs on the side of hiding. Not for `inspect` and `create`, which are asked for what a torrent says,
//! nor for files. Threats: E11

use wire::DisplaySafe;

/// What stands for what is hidden.
const HIDDEN: &str = "***";

/// A part of a path that is so long and has digits, or is longer still, may be a passkey: those have 16 characters at least.
const TOKEN_LEN_MIN: usize = 16;
const WORD_LEN_MAX: usize = 24;

/// A part of a secret so short is not looked for in what a server says: too much else would be hidden.
const ECHO_LEN_MIN: usize = 5;

/// The URL of a tracker or a web seed, safe to show and to send to others.
pub(crate) fn url(url: &str) -> String {
    let mut shown = String::new();
    take_apart(url, |part, secret| shown.push_str(if secret { HIDDEN } else { part }));
    DisplaySafe::new(&shown).to_string()
}

/// What the server at a URL said, or what is said of it: safe to show, without the URL's secrets, which servers repeat.
pub(crate) fn words(words: &str, url: &str) -> String {
    let mut secrets = Vec::new();
    take_apart(url, |part, secret| {
        if secret {
            secrets.push(part);
            // A name without its password, and so on.
            secrets.extend(part.split([':', '@', '&', '=', '%']));
        }
    });
    secrets.retain(|secret| secret.len() >= ECHO_LEN_MIN);
    secrets.sort_unstable_by_key(|secret| core::cmp::Reverse(secret.len()));
    let mut shown = words.to_owned();
    for secret in secrets {
        shown = shown.replace(secret, HIDDEN);
    }
    DisplaySafe::new(&shown).to_string()
}

/// Calls `part` for each part of a URL in order, and whether it is secret.
fn take_apart<'u>(url: &'u str, mut part: impl FnMut(&'u str, bool)) {
    let (scheme, rest) = url.find("://").map_or(("", url), |at| url.split_at(at + 3));
    part(scheme, false);
    let (authority, rest) = rest.split_at(rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len()));
    let host = match authority.rfind('@') {
        Some(at) => {
            part(&authority[..at], true);
            &authority[at..]
        }
        None => authority,
    };
    part(host, false);
    let (path, query) = rest.split_at(rest.find(['?', '#']).unwrap_or(rest.len()));
    for element in path.split_inclusive('/') {
        let (name, slash) = element.split_at(element.strip_suffix('/').unwrap_or(element).len());
        part(name, may_be_passkey(name));
        part(slash, false);
    }
    for pair in query.split_inclusive(['?', '#', '&', ';']) {
        let (pair, end) = pair.split_at(pair.trim_end_matches(['?', '#', '&', ';']).len());
        let (name, value) = pair.split_at(pair.find('=').map_or(0, |at| at + 1));
        part(name, false);
        part(value, !value.is_empty());
        part(end, false);
    }
}

fn may_be_passkey(element: &str) -> bool {
    let token = element.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_~%+=:,!$".contains(&byte));
    let digits = element.bytes().any(|byte| byte.is_ascii_digit());
    token && (element.len() > WORD_LEN_MAX || digits && element.len() >= TOKEN_LEN_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nobody else may see it.
    const KEY: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn what_opens_no_door_is_shown_as_it_is() {
        for plain in [
            "http://tracker.example:6969/announce",
            "udp://[2001:db8::1]:1337",
            "https://t.example/tracker/announce.php",
            "http://cdimage.debian.org/cdimage/release/12.5.0/amd64/iso-cd/debian-12.5.0-amd64-netinst.iso",
            "https://web.example/films/Some Film 1999 (restored).mkv",
            "",
            "nonsense",
        ] {
            assert_eq!(url(plain), plain);
            assert_eq!(words("unknown host", plain), "unknown host");
        }
    }

    #[test]
    fn names_passwords_and_passkeys_are_hidden_wherever_they_stand() {
        for (secret, shown) in [
            (format!("http://me:{KEY}@t.example/announce"), "http://***@t.example/announce"),
            (format!("http://{KEY}@t.example"), "http://***@t.example"),
            (format!("http://a@b:{KEY}@t.example/"), "http://***@t.example/"),
            (format!("https://t.example/{KEY}/announce"), "https://t.example/***/announce"),
            (format!("https://t.example/announce/{KEY}"), "https://t.example/announce/***"),
            (
                format!("https://t.example/announce.php?passkey={KEY}&uid=7"),
                "https://t.example/announce.php?passkey=***&uid=***",
            ),
            (format!("https://t.example/announce?{KEY}"), "https://t.example/announce?***"),
            (format!("https://t.example/announce?a=b?{KEY}"), "https://t.example/announce?a=***?***"),
            (format!("https://t.example?{KEY}#{KEY}"), "https://t.example?***#***"),
        ] {
            assert_eq!(url(&secret), shown, "{secret}");
            assert!(!words(&format!("no such key: {secret}, {KEY}"), &secret).contains(KEY), "{secret}");
        }
        for passkey in [
            "0123456789abcdef",
            "NBSWY3DPEB3W64TMMQXC4LRO2A",
            "c0a8d3f2-7b1e-4f6a-9b1c-1d2e3f4a5b6c",
            "Zm9vYmFyYmF6-cXV4_1234",
            "abcdefghijklmnopqrstuvwxyzabcdef",
        ] {
            assert_eq!(url(&format!("http://t/{passkey}/announce")), "http://t/***/announce");
        }
    }

    #[test]
    fn what_cannot_be_shown_is_escaped() {
        assert_eq!(url("http://t/a\u{1b}[2J"), "http://t/a\\u{1b}[2J");
        assert_eq!(words("gone\n", "http://t/"), "gone\\u{a}");
    }
}
