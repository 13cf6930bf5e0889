//! A hashed set that grows and shrinks one bucket at a time (linear hashing, by Litwin): no insertion and no removal ever touches more
//! than two buckets, so that none stalls however large the set is.
//!
//! Invariants: an item lies in the bucket that its hash names, [`place`]; on average a bucket holds at most [`Item::FILL`] items, some
//! twice that. Who chooses items does not know the hash's key, so no bucket is much longer.

use super::keyed::Key;
use super::rows::{Heap, Rows};
use crate::Rng;

/// Buckets allocated together.
const CHUNK: usize = 16;
/// Bytes that come from memory together.
const LINE: usize = 64;

/// So many hashes decide where items lie.
pub(super) const HASHES: u64 = 1 << 32;

/// What a hashed set holds.
pub(super) trait Item: Copy + core::fmt::Debug {
    /// Items in a bucket on average, at most.
    const FILL: u32;
    /// Where it falls.
    fn hash(&self, key: Key) -> u64;
    /// Anything of it, for the sake of having read it.
    fn look(&self) -> u64;
}

/// The set.
#[derive(Clone, Debug)]
pub(super) struct Buckets<T> {
    #[expect(clippy::vec_box, reason = "the directory grows without moving buckets")]
    chunks: Vec<Box<[Rows<T>; CHUNK]>>,
    buckets: u32,
    len: u32,
}

/// A bucket, and which hashes lie in it: those between two numbers if they are read backwards, from the lowest bit to the highest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stretch {
    pub(super) bucket: u32,
    pub(super) begins: u64,
    pub(super) ends: u64,
}

/// The bucket of a hash, when there are this many.
#[inline]
fn place(hash: u32, buckets: u32) -> u32 {
    let whole = buckets.next_power_of_two();
    let place = hash & (whole - 1);
    // Not yet split off: it is still in the one of half the level.
    if place >= buckets { place - whole / 2 } else { place }
}

/// The bucket from which this one was split off.
fn origin(bucket: u32) -> u32 {
    bucket - (bucket + 1).next_power_of_two() / 2
}

/// Reads something of the first cache lines; what follows the processor fetches by itself. No branch here hangs on what is read, but on
/// lengths that are much the same: a wrong guess would wait for memory.
#[inline]
pub(super) fn look_at<T: Item>(items: &[T]) -> u64 {
    let line = LINE / size_of::<T>();
    let look = |at: usize| items.get(if at < items.len() { at } else { 0 }).map_or(0, Item::look);
    look(0) ^ look(line) ^ look(2 * line) ^ look(4 * line)
}

impl<T: Item> Buckets<T> {
    /// An empty set.
    pub(super) fn new(heap: &mut Heap) -> Buckets<T> {
        let mut set = Buckets { chunks: Vec::new(), buckets: 0, len: 0 };
        set.add_bucket(Rows::default(), heap);
        set
    }

    pub(super) fn len(&self) -> u32 {
        self.len
    }

    /// How many buckets there are; at least one.
    pub(super) fn buckets(&self) -> u32 {
        self.buckets
    }

    /// A bucket at random, as likely as it should be long: that of any hash.
    #[inline]
    pub(super) fn any(&self, rng: &mut Rng) -> u32 {
        place(rng.next_u64() as u32, self.buckets)
    }

    /// Whether a bucket was split, or came of that, since there were half as many: it holds half as many items as others.
    #[inline]
    pub(super) fn is_half(&self, bucket: u32) -> bool {
        let half = self.buckets.next_power_of_two() / 2;
        bucket >= half || bucket + half < self.buckets
    }

    /// How many items such a bucket holds, on average over all keys.
    pub(super) fn expected_half(&self) -> f64 {
        f64::from(self.len) / f64::from(self.buckets.next_power_of_two())
    }

    /// Where a walk goes on that has passed all hashes which, read backwards, are less than this; at most [`HASHES`].
    ///
    /// A bucket is split in the middle of what it holds by this order, and two that are merged lie side by side. So the walk goes on
    /// rightly though buckets are split and merged in between: what was in a bucket before is on the same side of any number after.
    pub(super) fn stretch(&self, passed: u64) -> Stretch {
        let bucket = place((passed as u32).reverse_bits(), self.buckets);
        let level = self.buckets.next_power_of_two().trailing_zeros();
        let bits = if self.is_half(bucket) { level } else { level - 1 };
        let begins = u64::from(bucket.reverse_bits());
        Stretch { bucket, begins, ends: begins + (HASHES >> bits) }
    }

    #[inline]
    pub(super) fn bucket(&self, bucket: u32) -> &[T] {
        self.rows(bucket).as_slice()
    }

    #[inline]
    pub(super) fn bucket_mut(&mut self, bucket: u32) -> &mut [T] {
        self.rows_mut(bucket).as_mut_slice()
    }

    /// Where the item of this hash lies that fits.
    #[inline]
    pub(super) fn find(&self, hash: u64, fits: impl FnMut(&T) -> bool) -> Option<(u32, usize)> {
        let bucket = place(hash as u32, self.buckets);
        Some((bucket, self.bucket(bucket).iter().position(fits)?))
    }

    /// Looks at the bucket of this hash, so that it is near.
    #[inline]
    pub(super) fn look_for(&self, hash: u64) -> u64 {
        look_at(self.bucket(place(hash as u32, self.buckets)))
    }

    /// Takes in an item, which is not there yet.
    pub(super) fn insert(&mut self, item: T, key: Key, heap: &mut Heap) {
        let bucket = place(item.hash(key) as u32, self.buckets);
        self.rows_mut(bucket).push(item, heap);
        self.len += 1;
        if self.len > self.buckets.saturating_mul(T::FILL) {
            self.split(key, heap);
        }
    }

    /// Takes out what [`Buckets::find`] has found.
    pub(super) fn remove(&mut self, (bucket, at): (u32, usize), heap: &mut Heap) -> T {
        let rows = self.rows_mut(bucket);
        let item = rows.swap_remove(at);
        rows.settle(heap);
        self.len -= 1;
        self.shrink(heap);
        item
    }

    /// Takes out of one bucket what `stays` does not want to keep. There may be fewer buckets afterwards.
    pub(super) fn retain(&mut self, bucket: u32, heap: &mut Heap, mut stays: impl FnMut(&T) -> bool) {
        let rows = self.rows_mut(bucket);
        let before = rows.len();
        let mut at = 0;
        while let Some(item) = rows.as_slice().get(at) {
            if stays(item) {
                at += 1;
            } else {
                rows.swap_remove(at);
            }
        }
        let gone = before - rows.len();
        if gone > 0 {
            rows.settle(heap);
            self.len -= gone as u32;
            (0..gone).for_each(|_| self.shrink(heap));
        }
    }

    /// Gives everything back.
    pub(super) fn free(mut self, heap: &mut Heap) {
        while self.buckets > 0 {
            self.drop_bucket(heap).free(heap);
        }
        heap.give::<Box<[Rows<T>; CHUNK]>>(self.chunks.capacity());
    }

    /// Splits the bucket whose turn it is.
    fn split(&mut self, key: Key, heap: &mut Heap) {
        let new = self.buckets;
        let whole = (new + 1).next_power_of_two();
        let old = core::mem::take(self.rows_mut(origin(new)));
        let moves = |item: &T| item.hash(key) as u32 & (whole - 1) == new;
        // Few enough to sort into two arrays of the right sizes.
        let (mut gone, mut kept) = (Vec::with_capacity(old.len()), Vec::with_capacity(old.len()));
        for item in old.as_slice() {
            if moves(item) { gone.push(*item) } else { kept.push(*item) }
        }
        old.free(heap);
        *self.rows_mut(origin(new)) = Rows::of(&kept, heap);
        let gone = Rows::of(&gone, heap);
        self.add_bucket(gone, heap);
    }

    /// Merges the last bucket into the one from which it came, if all are rather empty.
    fn shrink(&mut self, heap: &mut Heap) {
        if self.buckets > 1 && self.len < (self.buckets - 1).saturating_mul(T::FILL / 8 * 5) {
            let last = self.drop_bucket(heap);
            let into = self.rows_mut(origin(self.buckets));
            last.as_slice().iter().for_each(|item| into.push(*item, heap));
            last.free(heap);
        }
    }

    fn add_bucket(&mut self, rows: Rows<T>, heap: &mut Heap) {
        if self.buckets as usize == self.chunks.len() * CHUNK {
            heap.give::<Box<[Rows<T>; CHUNK]>>(self.chunks.capacity());
            self.chunks.push(Box::new(core::array::from_fn(|_| Rows::default())));
            heap.take::<Box<[Rows<T>; CHUNK]>>(self.chunks.capacity());
            heap.take::<Rows<T>>(CHUNK);
        }
        self.buckets += 1;
        *self.rows_mut(self.buckets - 1) = rows;
    }

    fn drop_bucket(&mut self, heap: &mut Heap) -> Rows<T> {
        let rows = core::mem::take(self.rows_mut(self.buckets - 1));
        self.buckets -= 1;
        if self.buckets as usize == (self.chunks.len() - 1) * CHUNK {
            self.chunks.pop();
            heap.give::<Rows<T>>(CHUNK);
        }
        rows
    }

    #[inline]
    fn rows(&self, bucket: u32) -> &Rows<T> {
        &self.chunks[bucket as usize / CHUNK][bucket as usize % CHUNK]
    }

    #[inline]
    fn rows_mut(&mut self, bucket: u32) -> &mut Rows<T> {
        &mut self.chunks[bucket as usize / CHUNK][bucket as usize % CHUNK]
    }

    /// What is allocated, counted anew: for tests.
    #[cfg(test)]
    pub(super) fn heap(&self) -> u64 {
        let mut heap = Heap::default();
        heap.take::<Box<[Rows<T>; CHUNK]>>(self.chunks.capacity());
        self.chunks.iter().for_each(|_| heap.take::<Rows<T>>(CHUNK));
        heap.bytes() + (0..self.buckets).map(|bucket| self.rows(bucket).heap().bytes()).sum::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seed;

    #[derive(Clone, Copy, PartialEq, Debug)]
    struct Number(u32);

    impl Item for Number {
        const FILL: u32 = 16;

        fn hash(&self, key: Key) -> u64 {
            key.hash([self.0.into()])
        }

        fn look(&self) -> u64 {
            0
        }
    }

    fn is_found(set: &Buckets<Number>, key: Key, number: u32) -> bool {
        set.find(Number(number).hash(key), |item| item.0 == number).is_some()
    }

    #[test]
    fn everything_is_found_while_it_grows_and_shrinks_and_no_bucket_is_long() {
        let (key, mut heap) = (Key::new(&mut Rng::new(Seed(3))), Heap::default());
        let mut set = Buckets::new(&mut heap);
        for number in 0..5_000 {
            set.insert(Number(number), key, &mut heap);
            assert!(is_found(&set, key, number) && is_found(&set, key, number / 2));
        }
        assert!((0..5_000).all(|number| is_found(&set, key, number)));
        assert!(set.buckets() >= 5_000 / 16);
        assert!((0..set.buckets()).all(|bucket| set.bucket(bucket).len() <= 64));
        assert_eq!(heap.bytes(), set.heap());
        let halves = (0..set.buckets()).map(|bucket| if set.is_half(bucket) { 1.0 } else { 2.0 });
        assert!((halves.sum::<f64>() * set.expected_half() - 5_000.0).abs() < 0.1);
        for number in 0..4_995 {
            let found = set.find(Number(number).hash(key), |item| item.0 == number).unwrap();
            assert_eq!(set.remove(found, &mut heap), Number(number));
            assert!(!is_found(&set, key, number) && is_found(&set, key, 4_999));
        }
        assert!((4_995..5_000).all(|number| is_found(&set, key, number)));
        assert_eq!((set.len(), set.buckets()), (5, 1));
        assert_eq!(heap.bytes(), set.heap());
        set.free(&mut heap);
        assert_eq!(heap, Heap::default());
    }

    #[test]
    fn a_walk_passes_each_bucket_once_and_each_item_at_the_place_of_its_hash() {
        let (key, mut heap) = (Key::new(&mut Rng::new(Seed(5))), Heap::default());
        let mut set = Buckets::new(&mut heap);
        for number in 0..2_000 {
            set.insert(Number(number), key, &mut heap);
            let (mut passed, mut buckets) = (0, 0);
            while passed < HASHES && number % 100 < 3 {
                let stretch = set.stretch(passed);
                assert_eq!(stretch.begins, passed);
                assert_eq!(set.stretch(stretch.ends - 1), stretch);
                for item in set.bucket(stretch.bucket) {
                    let backwards = u64::from((item.hash(key) as u32).reverse_bits());
                    assert!((stretch.begins..stretch.ends).contains(&backwards), "{number}");
                }
                (passed, buckets) = (stretch.ends, buckets + 1);
            }
            assert!(buckets == set.buckets() || number % 100 >= 3);
        }
    }

    #[test]
    fn a_bucket_is_cleared_of_what_does_not_stay() {
        let (key, mut heap) = (Key::new(&mut Rng::new(Seed(4))), Heap::default());
        let mut set = Buckets::new(&mut heap);
        (0..1_000).for_each(|number| set.insert(Number(number), key, &mut heap));
        // Backwards, for what is merged away goes to the front.
        let mut bucket = set.buckets();
        while bucket > 0 {
            bucket = bucket.min(set.buckets()) - 1;
            set.retain(bucket, &mut heap, |number| number.0 % 10 == 0);
        }
        assert_eq!(set.len(), 100);
        assert!((0..1_000).all(|number| is_found(&set, key, number) == (number % 10 == 0)));
        assert_eq!(heap.bytes(), set.heap());
    }
}
