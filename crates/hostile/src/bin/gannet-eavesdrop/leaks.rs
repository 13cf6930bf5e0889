//! What must not be in a recording, looked for at every byte of it: by the first eight bytes of whatever is sought, in one pass.
//!
//! Of content every aligned word of eight bytes is sought; around one that is found the match is widened, and counts from
//! [`RUN`] bytes on. Every run of 16 bytes holds an aligned word, so none is missed.

use crate::recording::Recording;
use anyhow::{Context, Result};
use wire::code::Code;

const WORD: usize = 8;
/// Shortest run of content that counts.
const RUN: usize = 16;
/// Bits of the filter by which almost every word of a recording is passed over.
const FILTER_BITS: u32 = 30;

/// What stands behind a word.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Behind {
    InfoHash(u32),
    Name(u32),
    Code(u32),
    /// Something that follows from words alone; eight bytes of it are proof enough.
    Digest,
    /// A place in the content.
    Content(u32),
}

/// What is looked for.
#[derive(Default)]
pub(crate) struct Sought {
    words: Vec<(u64, Behind)>,
    texts: Vec<Vec<u8>>,
    content: Vec<u8>,
}

/// How often something of each kind was found.
#[derive(Default, PartialEq, Eq, Debug)]
pub(crate) struct Found {
    pub(crate) info_hashes: u64,
    pub(crate) names: u64,
    pub(crate) blocks: u64,
    pub(crate) codes: u64,
    pub(crate) digests: u64,
}

impl Sought {
    /// Raw, and in hex of both cases.
    pub(crate) fn info_hash(&mut self, hash: &[u8]) -> Result<()> {
        let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let forms = [hash.to_vec(), hex.clone().into_bytes(), hex.to_uppercase().into_bytes()];
        forms.into_iter().try_for_each(|form| self.text(form, Behind::InfoHash))
    }

    /// As it is, and as it stands in an address.
    pub(crate) fn name(&mut self, name: &str) -> Result<()> {
        self.text(name.as_bytes().to_vec(), Behind::Name)
    }

    /// Both words, with whatever people put between them.
    pub(crate) fn code(&mut self, code: &Code) {
        let words = code.to_string();
        let words = words.split_once('-').map_or("", |(_, words)| words);
        for between in ["-", " ", "_", ""] {
            // A pair of words that is shorter than eight bytes would be found by chance.
            let _ = self.text(words.replace('-', between).into_bytes(), Behind::Code);
        }
    }

    /// A word that follows from a pair of words alone.
    pub(crate) fn digest(&mut self, bytes: &[u8]) {
        self.words.extend(bytes.first_chunk().map(|word| (u64::from_le_bytes(*word), Behind::Digest)));
    }

    /// All of a file.
    pub(crate) fn content(&mut self, content: &[u8]) {
        // So that aligned words stay aligned, and runs do not reach from one file into the next.
        self.content.resize(self.content.len().next_multiple_of(WORD) + WORD, 0);
        for chunk in content.chunks(WORD) {
            if let Ok(word) = chunk.try_into() {
                self.words.push((u64::from_le_bytes(word), Behind::Content(self.content.len() as u32)));
            }
            self.content.extend_from_slice(chunk);
        }
    }

    fn text(&mut self, text: Vec<u8>, behind: fn(u32) -> Behind) -> Result<()> {
        let word = text.first_chunk().context("less than 8 bytes would be found by chance")?;
        self.words.push((u64::from_le_bytes(*word), behind(self.texts.len() as u32)));
        self.texts.push(text);
        Ok(())
    }

    /// Looks at every byte.
    pub(crate) fn look(mut self, recording: &Recording) -> Found {
        self.words.sort_unstable();
        let mut filter = vec![0u64; 1 << (FILTER_BITS - 6)];
        for (word, _) in &self.words {
            let bit = place(*word);
            filter[bit >> 6] |= 1 << (bit & 63);
        }
        let mut found = Found::default();
        for text in recording.texts() {
            for (at, word) in text.windows(WORD).enumerate() {
                let word = u64::from_le_bytes(word.try_into().unwrap_or_default());
                let bit = place(word);
                if filter[bit >> 6] >> (bit & 63) & 1 == 1 {
                    self.look_behind(word, text, at, &mut found);
                }
            }
        }
        found
    }

    fn look_behind(&self, word: u64, text: &[u8], at: usize, found: &mut Found) {
        let first = self.words.partition_point(|(other, _)| *other < word);
        for (_, behind) in self.words[first..].iter().take_while(|(other, _)| *other == word) {
            let stands = |number: u32| u64::from(text[at..].starts_with(&self.texts[number as usize]));
            match *behind {
                Behind::InfoHash(number) => found.info_hashes += stands(number),
                Behind::Name(number) => found.names += stands(number),
                Behind::Code(number) => found.codes += stands(number),
                Behind::Digest => found.digests += 1,
                Behind::Content(place) => {
                    found.blocks += u64::from(self.run(place as usize, text, at) >= RUN)
                }
            }
        }
    }

    /// How long content and text are the same around a word that both have.
    fn run(&self, place: usize, text: &[u8], at: usize) -> usize {
        let same = |(a, b): &(&u8, &u8)| a == b;
        let forth = self.content[place..].iter().zip(&text[at..]).take(RUN).take_while(same).count();
        let back = self.content[..place]
            .iter()
            .rev()
            .zip(text[..at].iter().rev())
            .take(RUN)
            .take_while(same)
            .count();
        forth + back
    }
}

/// A word's place in the filter.
fn place(word: u64) -> usize {
    (word.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - FILTER_BITS)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::tests::recorded;

    #[test]
    fn what_is_there_is_found_wherever_it_begins_and_nothing_else_is() {
        let content: Vec<u8> = (0..4000u32).flat_map(|n| n.wrapping_mul(0x9e37_79b1).to_le_bytes()).collect();
        let hash: Vec<u8> = (100..120).collect();
        let sought = || {
            let mut sought = Sought::default();
            sought.content(&content);
            sought.info_hash(&hash).unwrap();
            sought.name("a name.bin").unwrap();
            sought.code(&"42-apple-river".parse().unwrap());
            sought.digest(b"0123456789");
            sought
        };
        let nothing = Found::default();
        for (text, expected) in [
            (&b"nothing of all this, and 42"[..], Found::default()),
            (&content[1001..1016], Found::default()),
            (&content[1001..1017], Found { blocks: 1, ..Found::default() }),
            (&hash, Found { info_hashes: 1, ..Found::default() }),
            (b"..6465666768696A6B6C6D6E6F7071727374757677", Found { info_hashes: 1, ..Found::default() }),
            (b"get a name.bin", Found { names: 1, ..Found::default() }),
            (b"is it apple river?", Found { codes: 1, ..Found::default() }),
            (b"==01234567==", Found { digests: 1, ..Found::default() }),
        ] {
            // In the file, and in the flow.
            let found = sought().look(&recorded(&[(1, 2, 0, true, b""), (1, 2, 1, false, text)]));
            let twice = |count: u64| 2 * count;
            let Found { info_hashes, names, blocks, codes, digests } = expected;
            assert_eq!((found.info_hashes, found.names), (twice(info_hashes), twice(names)), "{text:?}");
            assert_eq!((found.codes, found.digests), (twice(codes), twice(digests)), "{text:?}");
            assert!(found.blocks >= twice(blocks) && (blocks > 0) == (found.blocks > 0), "{text:?}");
        }
        let cut =
            recorded(&[(1, 2, 0, true, b""), (1, 2, 1, false, &hash[..9]), (1, 2, 10, false, &hash[9..])]);
        assert_eq!(sought().look(&cut), Found { info_hashes: 1, ..nothing });
    }
}
