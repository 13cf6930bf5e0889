//! Passkeys: what a member of a private tracker has in its announce URL, by which it is known. Whoever has it is taken for that member.
//!
//! Invariants: neither `Display` nor `Debug` shows one, and it takes as long to compare two however many letters are the same (E11).
//! Nothing is allocated. There is no BEP: trackers in the field have them in the path or the query; over UDP both travel as BEP 41 says.

use core::fmt;
use core::hash::{Hash, Hasher};

/// The fewest letters: of hexadecimal digits they have 128 bits, which nobody guesses, and whoever hides secrets knows them for one.
pub const PASSKEY_LEN_MIN: usize = 32;

/// The most letters.
pub const PASSKEY_LEN_MAX: usize = 64;

/// What stands for a passkey wherever one would be shown.
const HIDDEN: &str = "[passkey]";

/// The name of a passkey in a query.
const NAME: &str = "passkey";

/// A passkey: [`PASSKEY_LEN_MIN`] to [`PASSKEY_LEN_MAX`] letters, digits, hyphens and underscores, which is hexadecimal of either case
/// and base64 as URLs have it. Case counts.
#[derive(Clone, Copy)]
pub struct Passkey {
    /// Behind the last letter there are zeros.
    letters: [u8; PASSKEY_LEN_MAX],
    len: usize,
}

impl Passkey {
    /// A text that is one, whole.
    pub fn read(text: &[u8]) -> Option<Passkey> {
        let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let fits = (PASSKEY_LEN_MIN..=PASSKEY_LEN_MAX).contains(&text.len());
        if !fits || !text.iter().all(is_letter) {
            return None;
        }
        let mut letters = [0; PASSKEY_LEN_MAX];
        letters.get_mut(..text.len())?.copy_from_slice(text);
        Some(Passkey { letters, len: text.len() })
    }

    /// Of 128 bits of chance: 32 hexadecimal digits.
    pub fn of_chance(chance: [u8; 16]) -> Passkey {
        let mut letters = [0; PASSKEY_LEN_MAX];
        for (pair, byte) in letters.as_chunks_mut().0.iter_mut().zip(chance) {
            let digit = |value: u8| if value < 10 { b'0' + value } else { b'a' + value - 10 };
            *pair = [digit(byte >> 4), digit(byte & 15)];
        }
        Passkey { letters, len: 2 * chance.len() }
    }

    /// The letters themselves: for the member whose it is, and for the file that has all.
    pub fn reveal(&self) -> &str {
        let letters = self.letters.get(..self.len).unwrap_or_default();
        core::str::from_utf8(letters).unwrap_or_default()
    }
}

/// Takes the passkey out of a target: `/KEY/announce`, `/announce/KEY`, or any path with `passkey=KEY` in its query. The path that is
/// left, and the passkey if there is one. Escapes are not resolved: no letter of a passkey needs one.
pub fn take<'a>(path: &'a str, query: &str) -> (&'a str, Option<Passkey>) {
    let read = |text: &str| Passkey::read(text.as_bytes());
    if let Some(rest) = path.strip_prefix('/') {
        let first = rest.find('/').unwrap_or(rest.len());
        let (element, behind) = rest.split_at(first);
        if let Some(passkey) = read(element) {
            return (behind, Some(passkey));
        }
    }
    if let Some((before, last)) = path.rsplit_once('/')
        && let Some(passkey) = read(last)
    {
        return (before, Some(passkey));
    }
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    (path, pairs.find(|(name, _)| *name == NAME).and_then(|(_, value)| read(value)))
}

/// The passkey in a path and query, as BEP 41 carries them.
pub fn in_url_data(url_data: &[u8]) -> Option<Passkey> {
    let text = core::str::from_utf8(url_data).ok()?;
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    take(path, query).1
}

impl PartialEq for Passkey {
    fn eq(&self, other: &Passkey) -> bool {
        // All letters are looked at, and the compiler is kept from knowing better. Lengths differ where zeros do.
        let differing =
            self.letters.iter().zip(&other.letters).fold(0, |bits, (one, two)| bits | (one ^ two));
        core::hint::black_box(differing) == 0
    }
}

impl Eq for Passkey {}

impl Hash for Passkey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.letters.hash(state);
    }
}

impl fmt::Display for Passkey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl fmt::Debug for Passkey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "0123456789abcdefABCDEF-_zyxwvuts";

    #[test]
    fn a_passkey_has_its_letters_and_no_others() {
        for text in [KEY.to_owned(), "a".repeat(32), "Z".repeat(64)] {
            assert_eq!(Passkey::read(text.as_bytes()).unwrap().reveal(), text);
        }
        let with = |letter: &str| format!("{}{letter}", &KEY[..KEY.len() - 1]);
        for text in
            ["", &KEY[..31], &"a".repeat(65), "announce", &with("="), &with("%"), &with("/"), &with(" ")]
        {
            assert_eq!(Passkey::read(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Passkey::read(&[0xff; 40]), None);
        let made = Passkey::of_chance([0x0f; 16]);
        assert_eq!(made.reveal(), "0f".repeat(16));
        assert_eq!(Passkey::read(made.reveal().as_bytes()), Some(made));
    }

    #[test]
    fn passkeys_are_the_same_if_all_letters_are() {
        let key = Passkey::read(KEY.as_bytes()).unwrap();
        for place in 0..KEY.len() {
            let mut other = KEY.as_bytes().to_vec();
            other[place] ^= 1;
            assert_ne!(Passkey::read(&other), Some(key), "{place}");
        }
        assert_ne!(Passkey::read(format!("{KEY}0").as_bytes()), Some(key));
        assert_ne!(Passkey::read(KEY.to_lowercase().as_bytes()), Some(key));
    }

    #[test]
    fn nothing_shows_a_passkey() {
        let key = Passkey::read(KEY.as_bytes()).unwrap();
        assert_eq!(
            format!("{key} {key:?} {:#?} {key:.3}", [key]),
            "[passkey] [passkey] [\n    [passkey],\n] [passkey]"
        );
    }

    #[test]
    fn a_passkey_is_found_where_trackers_have_it() {
        let key = Passkey::read(KEY.as_bytes());
        for (target, path) in [
            (format!("/{KEY}/announce"), "/announce"),
            (format!("/{KEY}/scrape?info_hash=x"), "/scrape"),
            (format!("/announce/{KEY}"), "/announce"),
            (format!("/announce?passkey={KEY}"), "/announce"),
            (format!("/announce.php?a=b&passkey={KEY}&c"), "/announce.php"),
            (format!("/{KEY}"), ""),
        ] {
            let (before, query) = target.split_once('?').unwrap_or((&target, ""));
            assert_eq!(take(before, query), (path, key), "{target}");
            assert_eq!(in_url_data(target.as_bytes()), key, "{target}");
        }
        for target in [
            "",
            "/",
            "/announce",
            KEY,
            "/announce?passkey=",
            &format!("/{KEY}x%2f/announce"),
            &format!("/a/{KEY}/announce"),
            &format!("/announce?key={KEY}"),
            &format!("/announce?passkey=short&passkey={KEY}"),
        ] {
            let (before, query) = target.split_once('?').unwrap_or((target, ""));
            assert_eq!(take(before, query), (before, None), "{target}");
        }
        assert_eq!(in_url_data(b"/\xff"), None);
    }
}
