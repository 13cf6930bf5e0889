//! A map as one sorted list: the size of its rows and little more, for what there are few of, or what seldom comes and goes.
//!
//! Not for thousands that come and go all the time: each moves those behind it. Invariant: keys ascend.

/// A sorted list of rows, each with a key of its own.
#[derive(Clone, Debug)]
pub struct Sorted<K, V> {
    rows: Vec<(K, V)>,
}

impl<K: Ord + Copy, V> Sorted<K, V> {
    /// Without rows.
    pub const fn new() -> Sorted<K, V> {
        Sorted { rows: Vec::new() }
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// What this key has.
    pub fn get(&self, key: K) -> Option<&V> {
        self.find(key).ok().map(|place| &self.rows[place].1)
    }

    /// What this key has, to change.
    pub fn get_mut(&mut self, key: K) -> Option<&mut V> {
        self.find(key).ok().map(|place| &mut self.rows[place].1)
    }

    /// Whether there is such a key.
    pub fn has(&self, key: K) -> bool {
        self.find(key).is_ok()
    }

    /// Adds a row, or changes the one of this key; returns what it had before.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.find(key) {
            Ok(place) => Some(core::mem::replace(&mut self.rows[place].1, value)),
            Err(place) => {
                // By a quarter and not by half: most of these stay as long as they are.
                if self.rows.len() == self.rows.capacity() {
                    self.rows.reserve_exact(1 + self.rows.len() / 4);
                }
                self.rows.insert(place, (key, value));
                None
            }
        }
    }

    /// Takes a row out.
    pub fn remove(&mut self, key: K) -> Option<V> {
        self.find(key).ok().map(|place| self.rows.remove(place).1)
    }

    /// Takes out all rows but those that `stays` names.
    pub fn retain(&mut self, mut stays: impl FnMut(K, &V) -> bool) {
        self.rows.retain(|(key, value)| stays(*key, value));
    }

    /// All rows, in order.
    pub fn iter(&self) -> impl Iterator<Item = (K, &V)> {
        self.rows.iter().map(|(key, value)| (*key, value))
    }

    /// All keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = K> + use<'_, K, V> {
        self.rows.iter().map(|&(key, _)| key)
    }

    /// What all of them have, in order.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.rows.iter().map(|(_, value)| value)
    }

    fn find(&self, key: K) -> Result<usize, usize> {
        self.rows.binary_search_by(|(other, _)| other.cmp(&key))
    }
}

impl<K: Ord + Copy, V> Default for Sorted<K, V> {
    fn default() -> Sorted<K, V> {
        Sorted::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Rng, Seed};
    use std::collections::BTreeMap;

    #[test]
    fn it_says_what_a_tree_says() {
        let (mut rng, mut sorted, mut tree) = (Rng::new(Seed(7)), Sorted::new(), BTreeMap::new());
        for step in 0..5_000 {
            let key = rng.below(60);
            match rng.below(4) {
                0 => assert_eq!(sorted.remove(key), tree.remove(&key)),
                1 => assert_eq!(sorted.get(key), tree.get(&key)),
                2 if step % 100 == 0 => {
                    sorted.retain(|key, _| key % 3 > 0);
                    tree.retain(|key, _| key % 3 > 0);
                }
                _ => assert_eq!(sorted.insert(key, step), tree.insert(key, step)),
            }
            assert_eq!((sorted.len(), sorted.is_empty()), (tree.len(), tree.is_empty()));
            assert!(sorted.iter().eq(tree.iter().map(|(&key, value)| (key, value))));
        }
    }
}
