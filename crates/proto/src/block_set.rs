//! A set of blocks of one piece.
//!
//! Invariant: bits at and above the piece's block count are never set by us; strangers never name bits.

/// A set of block indices, growing as needed; at most 32,768 blocks in a 512 MiB piece.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct BlockSet {
    words: Vec<u64>,
}

impl BlockSet {
    /// The empty set.
    pub fn new() -> BlockSet {
        BlockSet::default()
    }

    /// The blocks `0..count`.
    pub fn full(count: u32) -> BlockSet {
        let mut set = BlockSet { words: vec![u64::MAX; (count / 64) as usize] };
        if !count.is_multiple_of(64) {
            set.words.push((1 << (count % 64)) - 1);
        }
        set
    }

    /// Adds a block; says whether it is new.
    pub fn insert(&mut self, block: u32) -> bool {
        let word = (block / 64) as usize;
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        let mask = 1 << (block % 64);
        let new = self.words[word] & mask == 0;
        self.words[word] |= mask;
        new
    }

    /// Removes a block; says whether it was there.
    pub fn remove(&mut self, block: u32) -> bool {
        let mask = 1 << (block % 64);
        match self.words.get_mut((block / 64) as usize) {
            Some(word) => {
                let was = *word & mask != 0;
                *word &= !mask;
                was
            }
            None => false,
        }
    }

    /// Whether the block is in the set.
    pub fn has(&self, block: u32) -> bool {
        self.words.get((block / 64) as usize).is_some_and(|word| word & (1 << (block % 64)) != 0)
    }

    /// How many blocks are in the set.
    pub fn count(&self) -> u32 {
        self.words.iter().map(|word| word.count_ones()).sum()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|&word| word == 0)
    }

    /// The blocks in order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.words.iter().enumerate().flat_map(|(index, &word)| {
            let mut rest = word;
            core::iter::from_fn(move || {
                (rest != 0).then(|| {
                    let bit = rest.trailing_zeros();
                    rest &= rest - 1;
                    index as u32 * 64 + bit
                })
            })
        })
    }

    /// The set as words, block 0 in the least significant bit of the first; may be shorter than the piece.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// The set whose [`BlockSet::words`] these are.
    pub fn from_words(words: Vec<u64>) -> BlockSet {
        BlockSet { words }
    }
}

impl FromIterator<u32> for BlockSet {
    fn from_iter<I: IntoIterator<Item = u32>>(blocks: I) -> BlockSet {
        let mut set = BlockSet::new();
        blocks.into_iter().for_each(|block| {
            set.insert(block);
        });
        set
    }
}
