//! A set of pieces, most significant bit first in bytes as on the wire (BEP 3), in words in memory.
//!
//! Invariant: bits at and above `len` are zero, so counting and comparing need no masks.

use crate::layout::PieceIndex;

/// A set over the pieces `0..len`.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Bitfield {
    words: Box<[u64]>,
    len: u32,
}

/// What is wrong with the bytes of a bitfield message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BitfieldError {
    /// Not exactly `ceil(len / 8)` bytes.
    WrongLen,
    /// A spare bit at the end is set; BEP 3 says they are clear.
    SpareBitSet,
}

impl Bitfield {
    /// The empty set over `len` pieces.
    pub fn new(len: u32) -> Bitfield {
        Bitfield { words: vec![0; len.div_ceil(64) as usize].into(), len }
    }

    /// The full set over `len` pieces.
    pub fn full(len: u32) -> Bitfield {
        let mut words = vec![u64::MAX; len.div_ceil(64) as usize];
        if let (Some(last), spare @ 1..) = (words.last_mut(), len % 64) {
            *last = u64::MAX << (64 - spare);
        }
        Bitfield { words: words.into(), len }
    }

    /// Reads the body of a bitfield message.
    pub fn from_bytes(bytes: &[u8], len: u32) -> Result<Bitfield, BitfieldError> {
        if bytes.len() != len.div_ceil(8) as usize {
            return Err(BitfieldError::WrongLen);
        }
        let mut words = Vec::with_capacity(len.div_ceil(64) as usize);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            words.push(u64::from_be_bytes(word));
        }
        let set = Bitfield { words: words.into(), len };
        let spare = len % 64;
        match set.words.last() {
            Some(last) if spare != 0 && last << spare != 0 => Err(BitfieldError::SpareBitSet),
            _ => Ok(set),
        }
    }

    /// The body of a bitfield message.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.words.iter().flat_map(|word| word.to_be_bytes()).collect();
        bytes.truncate(self.len.div_ceil(8) as usize);
        bytes
    }

    /// Over how many pieces this is a set.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether no piece is in the set.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|&word| word == 0)
    }

    /// Whether every piece is in the set. Scans: keep a count where this is asked often.
    pub fn is_full(&self) -> bool {
        self.count() == self.len
    }

    /// How many pieces are in the set. Scans.
    pub fn count(&self) -> u32 {
        self.words.iter().map(|word| word.count_ones()).sum()
    }

    /// Whether the piece is in the set; `false` out of range.
    pub fn has(&self, piece: PieceIndex) -> bool {
        let (word, mask) = place(piece);
        self.words.get(word).is_some_and(|bits| bits & mask != 0)
    }

    /// Puts a piece into the set; says whether it is new there. Out of range is ignored.
    pub fn insert(&mut self, piece: PieceIndex) -> bool {
        let (word, mask) = place(piece);
        match self.words.get_mut(word) {
            Some(bits) if piece.0 < self.len => {
                let new = *bits & mask == 0;
                *bits |= mask;
                new
            }
            _ => false,
        }
    }

    /// Takes a piece out; says whether it was there.
    pub fn remove(&mut self, piece: PieceIndex) -> bool {
        let (word, mask) = place(piece);
        match self.words.get_mut(word) {
            Some(bits) => {
                let was = *bits & mask != 0;
                *bits &= !mask;
                was
            }
            None => false,
        }
    }

    /// The pieces in the set, in order.
    pub fn iter(&self) -> impl Iterator<Item = PieceIndex> + '_ {
        self.words.iter().enumerate().flat_map(|(index, &word)| {
            let mut rest = word;
            core::iter::from_fn(move || {
                (rest != 0).then(|| {
                    let bit = rest.leading_zeros();
                    rest &= !(1 << (63 - bit));
                    PieceIndex(index as u32 * 64 + bit)
                })
            })
        })
    }

    /// The set as words, piece 0 in the most significant bit of the first.
    pub fn words(&self) -> &[u64] {
        &self.words
    }
}

fn place(piece: PieceIndex) -> (usize, u64) {
    ((piece.0 / 64) as usize, 1 << (63 - piece.0 % 64))
}

impl core::fmt::Debug for Bitfield {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Bitfield({} of {})", self.count(), self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_sets_agree() {
        for len in [1, 7, 8, 9, 63, 64, 65, 1000] {
            let mut set = Bitfield::new(len);
            for piece in (0..len).filter(|piece| piece % 3 == 0) {
                assert!(set.insert(PieceIndex(piece)));
            }
            assert_eq!(Bitfield::from_bytes(&set.to_bytes(), len), Ok(set.clone()));
            assert_eq!(set.iter().count() as u32, set.count());
            assert!(set.iter().all(|piece| piece.0 % 3 == 0));
            assert!(Bitfield::full(len).is_full());
            assert_eq!(Bitfield::from_bytes(&Bitfield::full(len).to_bytes(), len), Ok(Bitfield::full(len)));
        }
    }

    #[test]
    fn a_set_spare_bit_or_a_wrong_length_is_refused() {
        assert_eq!(Bitfield::from_bytes(&[0xff], 7), Err(BitfieldError::SpareBitSet));
        assert_eq!(Bitfield::from_bytes(&[0xff, 0], 8), Err(BitfieldError::WrongLen));
        assert_eq!(Bitfield::from_bytes(&[], 8), Err(BitfieldError::WrongLen));
    }
}
