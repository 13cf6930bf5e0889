//! One element of a path: what is replaced and where it is cut. Safe names pass unchanged.

use std::borrow::Cow;

use sha1::{Digest, Sha1};

use crate::display_safe::misleads;

use super::ELEMENT_BYTES_MAX;

/// What a file without a name is called.
pub(super) const UNNAMED: &str = "_";

/// Longest extension, dot included, that survives a cut: `.torrent.part` fits, a sentence with a dot does not.
const EXTENSION_BYTES_MAX: usize = 24;

/// A stranger's name as an element that every system takes for one plain name.
pub(super) fn sanitise(raw: &[u8]) -> Cow<'_, str> {
    match core::str::from_utf8(raw) {
        Ok(name) if is_plain(name) => Cow::Borrowed(name),
        _ => Cow::Owned(replace(raw)),
    }
}

/// Whether a name needs a closer look: most do not, and a torrent may have millions.
fn is_plain(name: &str) -> bool {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b' ' | b'(' | b')');
    let last = name.as_bytes().last();
    name.len() <= ELEMENT_BYTES_MAX
        && last.is_some_and(|last| !matches!(last, b'.' | b' '))
        && name.bytes().all(plain)
        && !is_device(name)
}

fn replace(raw: &[u8]) -> String {
    let mut name = String::with_capacity(raw.len().min(ELEMENT_BYTES_MAX * 2));
    for chunk in raw.utf8_chunks() {
        name.extend(chunk.valid().chars().map(|c| if reserved(c) || misleads(c) { '_' } else { c }));
        if !chunk.invalid().is_empty() {
            name.push('_');
        }
    }
    replace_tail(&mut name);
    if name.is_empty() {
        name.push_str(UNNAMED);
    }
    if is_device(&name) {
        name.insert(0, '_');
    }
    if is_short_alias(&name) {
        name = name.replace('~', "_");
    }
    if name.len() > ELEMENT_BYTES_MAX {
        name = cut(&name, &format!("_{}", hex8(raw)));
    }
    name
}

/// The name with a number, for one whose place is taken.
pub(super) fn numbered(name: &str, number: usize) -> String {
    let suffix = format!(".{number}");
    if name.len() + suffix.len() <= ELEMENT_BYTES_MAX {
        let (stem, extension) = split(name);
        return format!("{stem}{suffix}{extension}");
    }
    // The hash keeps names apart that differ only where they are cut, so that they do not queue for the same numbers.
    cut(name, &format!("_{}{suffix}", hex8(name.as_bytes())))
}

/// Eight hexadecimal digits of a hash: for telling names apart, not for trust.
pub(super) fn hex8(bytes: &[u8]) -> String {
    Sha1::digest(bytes).iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

/// Separators, and what Windows reserves. `:` would name a stream of another file there.
fn reserved(c: char) -> bool {
    matches!(c, '/' | '\\' | '<' | '>' | ':' | '"' | '|' | '?' | '*')
}

/// Windows drops dots and spaces at the end of a name; `.` and `..` are nothing but such an end.
fn replace_tail(name: &mut String) {
    let kept = name.trim_end_matches(['.', ' ']).len();
    let tail = name.len() - kept;
    name.truncate(kept);
    name.extend(core::iter::repeat_n('_', tail));
}

/// Whether Windows would open a device. The extension does not matter, nor do spaces in front of it.
fn is_device(name: &str) -> bool {
    let base = name.split('.').next().unwrap_or_default().trim_end_matches(' ');
    if ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$"]
        .iter()
        .any(|device| base.eq_ignore_ascii_case(device))
    {
        return true;
    }
    let Some((port, number)) = base.split_at_checked(3) else { return false };
    let mut digits = number.chars();
    (port.eq_ignore_ascii_case("COM") || port.eq_ignore_ascii_case("LPT"))
        && matches!(digits.next(), Some('0'..='9' | '¹' | '²' | '³'))
        && digits.next().is_none()
}

/// Whether the name looks like `LONGNA~1.TXT`, which on Windows may be another name of a file with a longer one.
fn is_short_alias(name: &str) -> bool {
    let (base, extension) = name.split_once('.').unwrap_or((name, ""));
    let Some((front, number)) = base.rsplit_once('~') else { return false };
    name.is_ascii()
        && base.len() <= 8
        && extension.len() <= 3
        && !front.is_empty()
        && !number.is_empty()
        && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// Cuts the stem so that stem, suffix and extension fit into an element.
fn cut(name: &str, suffix: &str) -> String {
    let (stem, extension) = split(name);
    let room = ELEMENT_BYTES_MAX.saturating_sub(suffix.len() + extension.len());
    let stem = stem.get(..stem.floor_char_boundary(room)).unwrap_or_default();
    format!("{stem}{suffix}{extension}")
}

/// Stem and extension; a dot in front starts no extension.
fn split(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(dot) if dot > 0 && name.len() - dot <= EXTENSION_BYTES_MAX => name.split_at(dot),
        _ => (name, ""),
    }
}
