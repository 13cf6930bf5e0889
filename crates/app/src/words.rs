//! Small words that many messages need: plurals, file names fit for a shell, errors of the system. Pure.

use std::io;
use std::path::Path;

/// "1 file", "2 files".
pub(crate) fn count(number: impl Into<u64>, what: &str) -> String {
    match number.into() {
        1 => format!("1 {what}"),
        number => format!("{number} {what}s"),
    }
}

/// The one of these words that may have been meant; nothing if none is near.
pub(crate) fn nearest<'a>(word: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let near = words.map(|other| (distance(word, other), other)).min()?;
    // A third of the letters may be wrong, and whoever typed a part of a name meant the whole.
    (near.0 <= (near.1.chars().count() / 3).max(1)).then_some(near.1)
}

/// How many letters are to be put in, left out or replaced until one word is the other (Levenshtein); where one begins or ends with
/// the other, one.
fn distance(one: &str, other: &str) -> usize {
    if one.chars().count() >= 3 && (other.starts_with(one) || other.ends_with(one)) {
        return usize::from(one != other);
    }
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, letter) in one.chars().enumerate() {
        let mut before = std::mem::replace(&mut row[0], line + 1);
        for (place, own) in other.iter().enumerate() {
            let replaced = before + usize::from(*own != letter);
            before = row[place + 1];
            row[place + 1] = replaced.min(before + 1).min(row[place] + 1);
        }
    }
    row[other.len()]
}

/// A word as it can be typed into a shell.
pub(crate) fn shell(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+=:@%,".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

/// What the system says, without its number.
pub(crate) fn why(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error ").next().unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular() {
        assert_eq!(count(1u32, "file"), "1 file");
        assert_eq!(count(0u32, "piece"), "0 pieces");
    }

    #[test]
    fn the_nearest_word_is_found_unless_none_is_near() {
        let words = ["shaped", "selfscaling", "super-seeding", "steady", "riders"];
        let found = |word| nearest(word, words.into_iter());
        assert_eq!(found("shapd"), Some("shaped"));
        assert_eq!(found("self-scaling"), Some("selfscaling"));
        assert_eq!(found("scaling"), Some("selfscaling"));
        assert_eq!(found("rider"), Some("riders"));
        assert_eq!((found("x"), found("entropy"), found("")), (None, None, None));
    }

    #[test]
    fn a_name_comes_back_from_the_shell_as_it_was() {
        for (name, typed) in [
            ("a/b.torrent", "a/b.torrent"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("", "''"),
            ("$x", "'$x'"),
        ] {
            assert_eq!(shell(Path::new(name)), typed);
        }
    }

    #[test]
    fn errors_are_said_without_their_number() {
        assert_eq!(why(&io::Error::from_raw_os_error(2)), "No such file or directory");
    }
}
