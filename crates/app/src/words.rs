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
