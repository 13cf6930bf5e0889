//! Which files of a torrent are wanted: numbers and ranges as `inspect` shows them, or patterns. Pure.

use crate::words::count;
use gannet::{Metainfo, Priority};

/// One priority per file: `Normal` for what any word selects, `Skip` for the rest. No words select everything.
pub(crate) fn priorities(metainfo: &Metainfo, words: &[String]) -> Result<Vec<Priority>, String> {
    if words.is_empty() {
        return Ok(Vec::new());
    }
    let paths: Vec<String> =
        metainfo.layout.file_indices().map(|file| metainfo.original_path(file).to_string()).collect();
    let mut wanted = vec![Priority::Skip; paths.len()];
    for word in words.iter().flat_map(|word| word.split(',')).map(str::trim).filter(|word| !word.is_empty()) {
        let mut found = false;
        for (index, path) in paths.iter().enumerate() {
            if selects(word, index + 1, path)? {
                wanted[index] = Priority::Normal;
                found = true;
            }
        }
        if !found {
            return Err(format!(
                "no file of the torrent fits --select {word}; it has {}, which `gannet inspect` lists",
                count(paths.len() as u64, "file")
            ));
        }
    }
    Ok(wanted)
}

/// Whether a word means this file.
fn selects(word: &str, number: usize, path: &str) -> Result<bool, String> {
    if !word.starts_with(|c: char| c.is_ascii_digit()) || word.contains(['*', '?', '.', '/']) {
        let name = path.rsplit('/').next().unwrap_or(path);
        return Ok(fits(word, path) || fits(word, name));
    }
    let wrong = || format!("--select {word}: a number, a range like 3-5, or a pattern like *.flac");
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    let (first, last): (usize, usize) =
        (first.parse().map_err(|_| wrong())?, last.parse().map_err(|_| wrong())?);
    Ok((first..=last).contains(&number))
}

/// Shell patterns without brackets: `*` is any text, `?` any character; upper and lower case are the same.
fn fits(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.to_lowercase().chars().collect();
    let text: Vec<char> = text.to_lowercase().chars().collect();
    let (mut p, mut t) = (0, 0);
    // Where the last star stands, and how much text it has taken: on a mismatch it takes one more.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&c) if c == '?' || c == text[t] => (p, t) = (p + 1, t + 1),
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    (p, t) = (at + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_as_in_a_shell() {
        for (pattern, text, expected) in [
            ("*.flac", "a/b.FLAC", true),
            ("*.flac", "a.flac.txt", false),
            ("a*c*e", "abcde", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*", "", true),
            ("", "a", false),
            ("**x", "xxx", true),
        ] {
            assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_long_pattern_of_stars_does_not_take_long() {
        assert!(!fits(&"*a".repeat(200), &"a".repeat(199)));
    }

    #[test]
    fn numbers_and_ranges_count_from_one() {
        assert_eq!(selects("3", 3, "x"), Ok(true));
        assert_eq!(selects("3-5", 5, "x"), Ok(true));
        assert_eq!(selects("3-5", 6, "x"), Ok(false));
        assert!(selects("3-x", 3, "x").is_err());
        assert_eq!(selects("01.mp3", 9, "disc/01.mp3"), Ok(true));
    }
}
