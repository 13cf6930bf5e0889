//! How many peers each network (a /24, a /48) has in the table, roughly and in fixed memory: so that, when room gets scarce, whoever
//! has much gets no more, and others still do.
//!
//! A counting sketch of two rows with keyed places: a count is never too low, and too high only where a network shares its place in
//! both rows with larger ones. Invariant: what is counted in is counted out again. Threats: E8

use super::keyed::Key;
use super::rows::Heap;

/// Counters in a row: a quarter MiB. With 10,000 networks in the table, one in fifty shares both places with others.
const CELLS: usize = 1 << 16;

/// The counts.
#[derive(Clone, Debug)]
pub(super) struct Networks {
    rows: [Vec<u32>; 2],
}

impl Networks {
    pub(super) fn new() -> Networks {
        Networks { rows: [vec![0; CELLS], vec![0; CELLS]] }
    }

    /// What it has allocated.
    pub(super) fn heap(&self) -> Heap {
        let mut heap = Heap::default();
        self.rows.iter().for_each(|row| heap.take::<u32>(row.len()));
        heap
    }

    /// At most how many peers this network has.
    pub(super) fn count(&self, network: u64, key: Key) -> u32 {
        let [first, second] = places(network, key);
        self.rows[0][first].min(self.rows[1][second])
    }

    /// It has one more.
    pub(super) fn add(&mut self, network: u64, key: Key) {
        for (row, place) in self.rows.iter_mut().zip(places(network, key)) {
            row[place] = row[place].saturating_add(1);
        }
    }

    /// It has one less.
    pub(super) fn remove(&mut self, network: u64, key: Key) {
        for (row, place) in self.rows.iter_mut().zip(places(network, key)) {
            row[place] = row[place].saturating_sub(1);
        }
    }

    /// Nobody has any.
    pub(super) fn clear(&mut self) {
        self.rows.iter_mut().for_each(|row| row.fill(0));
    }

    /// What all have, as each row knows it: for tests.
    #[cfg(test)]
    pub(super) fn sums(&self) -> [u32; 2] {
        [self.rows[0].iter().sum(), self.rows[1].iter().sum()]
    }
}

fn places(network: u64, key: Key) -> [usize; 2] {
    let hash = key.hash([network, 0x6e65_7477]);
    [hash as usize % CELLS, (hash >> 32) as usize % CELLS]
}
