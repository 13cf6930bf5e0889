//! Numbers below a bound that is known from the beginning: in two bytes each where it allows, in four where not.
//!
//! Nearly all torrents have fewer than 65,535 pieces, and a list of piece numbers for each of a million torrents is worth halving.

/// In the place of a number: none.
pub(super) const NONE: u32 = u32::MAX;

/// Shorter lists are not worth shrinking.
const SHRUNK_MIN: usize = 64;

/// A list of such numbers.
#[derive(Clone, Debug)]
pub(super) enum Narrow {
    Two(Vec<u16>),
    Four(Vec<u32>),
}

impl Default for Narrow {
    fn default() -> Narrow {
        Narrow::Two(Vec::new())
    }
}

impl Narrow {
    /// An empty list for numbers below `bound`.
    pub(super) fn below(bound: u32) -> Narrow {
        if bound <= u32::from(u16::MAX) { Narrow::Two(Vec::new()) } else { Narrow::Four(Vec::new()) }
    }

    /// As many places as numbers, each without one.
    pub(super) fn blank(bound: u32) -> Narrow {
        match Narrow::below(bound) {
            Narrow::Two(_) => Narrow::Two(vec![u16::MAX; bound as usize]),
            Narrow::Four(_) => Narrow::Four(vec![NONE; bound as usize]),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Narrow::Two(list) => list.len(),
            Narrow::Four(list) => list.len(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number at a place that there is, or [`NONE`].
    pub(super) fn at(&self, place: usize) -> u32 {
        match self {
            Narrow::Two(list) => widen(list[place]),
            Narrow::Four(list) => list[place],
        }
    }

    /// The number at a place; nothing if there is none, or no such place.
    pub(super) fn get(&self, place: usize) -> Option<u32> {
        let number = match self {
            Narrow::Two(list) => widen(*list.get(place)?),
            Narrow::Four(list) => *list.get(place)?,
        };
        Some(number).filter(|&number| number != NONE)
    }

    /// Puts a number, or [`NONE`], at a place that there is.
    pub(super) fn set(&mut self, place: usize, number: u32) {
        match self {
            Narrow::Two(list) => list[place] = number as u16,
            Narrow::Four(list) => list[place] = number,
        }
    }

    pub(super) fn push(&mut self, number: u32) {
        match self {
            Narrow::Two(list) => list.push(number as u16),
            Narrow::Four(list) => list.push(number),
        }
    }

    /// Takes the last one off, and gives room back that was half empty.
    pub(super) fn pop(&mut self) {
        match self {
            Narrow::Two(list) => {
                list.pop();
                shrink(list);
            }
            Narrow::Four(list) => {
                list.pop();
                shrink(list);
            }
        }
    }
}

fn widen(number: u16) -> u32 {
    if number == u16::MAX { NONE } else { number.into() }
}

fn shrink<T>(list: &mut Vec<T>) {
    if list.capacity() > SHRUNK_MIN && list.len() < list.capacity() / 2 {
        list.shrink_to(list.len() + list.len() / 4);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_holds_all_numbers_below_its_bound_and_none() {
        for bound in [1, 300, 65_534, 65_535, 65_536, 100_000] {
            let mut list = Narrow::blank(bound);
            assert_eq!(matches!(list, Narrow::Two(_)), bound < 65_536, "{bound}");
            assert_eq!((list.at(0), list.get(0)), (NONE, None));
            list.set(0, bound - 1);
            assert_eq!((list.at(0), list.get(0)), (bound - 1, Some(bound - 1)), "{bound}");
            list.set(0, NONE);
            assert_eq!(list.get(0), None);
            (0..list.len()).for_each(|_| list.pop());
            assert!(list.is_empty());
            list.push(bound - 1);
            assert_eq!(list.at(0), bound - 1);
        }
    }
}
