//! The list of words, and how what somebody typed is found in it.

use super::NEAR_MAX;

/// How many words there are: eleven bits each.
pub const WORD_COUNT: u16 = 2048;

/// The longest word has so many letters.
pub(super) const WORD_LEN_MAX: usize = 8;

const LIST: &str = include_str!("words.txt");

/// All words, sorted.
pub fn words() -> impl Iterator<Item = &'static str> {
    LIST.lines().filter(|line| !line.starts_with('#'))
}

/// The word of this number, which is taken modulo [`WORD_COUNT`].
pub(super) fn word(number: u16) -> &'static str {
    words().nth(usize::from(number % WORD_COUNT)).unwrap_or_default()
}

/// What a typed word comes to.
pub(super) enum Found {
    /// This word, whole or by a beginning that no other has.
    Word(&'static str),
    /// The beginning of several; the first of them.
    Several(Vec<&'static str>),
    /// No word; those that look most like it, if any do.
    None(Vec<&'static str>),
}

/// Looks up lower-case letters.
pub(super) fn find(typed: &str) -> Found {
    let begin_so: Vec<&str> = words().filter(|word| word.starts_with(typed)).collect();
    match begin_so[..] {
        [] => Found::None(near(typed)),
        // Sorted: a word comes before those that it begins.
        [word] => Found::Word(word),
        [first, ..] if first == typed => Found::Word(first),
        [..] => Found::Several(begin_so.into_iter().take(NEAR_MAX).collect()),
    }
}

/// The words that are one slip away, else two.
fn near(typed: &str) -> Vec<&'static str> {
    let with = |slips| words().filter(move |word| distance(typed, word) == slips).take(NEAR_MAX);
    let one: Vec<&str> = with(1).collect();
    if one.is_empty() && typed.len() > 3 { with(2).collect() } else { one }
}

/// Letters left out, put in or taken for others, and neighbours that changed places (the restricted distance of Damerau).
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    // Beyond this it is no slip, and the rows below stay short.
    if a.len() > WORD_LEN_MAX + 2 {
        return usize::MAX;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, other) in b.iter().enumerate() {
            let at = |row: &[usize], index: usize| row.get(index).copied().unwrap_or(usize::MAX / 2);
            let mut least = (at(&above, j) + usize::from(letter != other))
                .min(at(&above, j + 1) + 1)
                .min(at(&row, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(other) && b.get(j - 1) == Some(letter);
            if swapped {
                least = least.min(at(&before, j - 1) + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_four_letters_tell_its_words_apart() {
        let all: Vec<&str> = words().collect();
        assert_eq!(all.len(), usize::from(WORD_COUNT));
        assert!(all.iter().all(|word| (3..=WORD_LEN_MAX).contains(&word.len())));
        assert!(all.iter().all(|word| word.bytes().all(|letter| letter.is_ascii_lowercase())));
        assert!(all.is_sorted());
        let begin = |word: &'static str| word.get(..4).unwrap_or(word);
        assert!(all.windows(2).all(|pair| begin(pair[0]) != begin(pair[1])));
    }

    #[test]
    fn four_letters_or_all_find_each_word() {
        for word in words() {
            for typed in [word, word.get(..4).unwrap_or(word)] {
                assert!(matches!(find(typed), Found::Word(found) if found == word), "{typed}");
            }
        }
    }

    #[test]
    fn slips_are_counted() {
        for (a, b, slips) in [
            ("apple", "apple", 0),
            ("aple", "apple", 1),
            ("appple", "apple", 1),
            ("appel", "apple", 1),
            ("spple", "apple", 1),
            ("apel", "apple", 2),
            ("", "zoo", 3),
            ("zoo", "", 3),
        ] {
            assert_eq!(distance(a, b), slips, "{a} {b}");
        }
    }
}
