//! An array that is as long as it must be: it grows and shrinks by a few rows at a time, not by doubling, and what it takes is counted.
//! For short arrays alone: some hundred rows.

/// What a table has allocated, in bytes, as a common allocator (glibc's) rounds it: 8 bytes of its own, then up to a multiple of 16.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Heap(u64);

impl Heap {
    /// Bytes.
    pub(super) fn bytes(self) -> u64 {
        self.0
    }

    /// One allocation of `count` rows of type `T`.
    pub(super) fn take<T>(&mut self, count: usize) {
        self.0 += cost(count * size_of::<T>());
    }

    /// One allocation of `count` rows of type `T` is given back.
    pub(super) fn give<T>(&mut self, count: usize) {
        self.0 = self.0.saturating_sub(cost(count * size_of::<T>()));
    }
}

fn cost(bytes: usize) -> u64 {
    if bytes == 0 { 0 } else { (bytes as u64 + 8).next_multiple_of(16).max(32) }
}

/// Rows in no order.
#[derive(Clone, Debug)]
pub(super) struct Rows<T>(Vec<T>);

impl<T> Default for Rows<T> {
    fn default() -> Rows<T> {
        Rows(Vec::new())
    }
}

/// Rows by which an array of this length grows.
fn step(len: usize) -> usize {
    if len < 16 { 4 } else { 8 }
}

impl<T: Copy> Rows<T> {
    /// These rows.
    pub(super) fn of(rows: &[T], heap: &mut Heap) -> Rows<T> {
        let mut vec = Vec::new();
        if !rows.is_empty() {
            let step = step(rows.len());
            vec.reserve_exact(rows.len().next_multiple_of(step));
            heap.take::<T>(vec.capacity());
            vec.extend_from_slice(rows);
        }
        Rows(vec)
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    #[inline]
    pub(super) fn as_slice(&self) -> &[T] {
        &self.0
    }

    #[inline]
    pub(super) fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.0
    }

    pub(super) fn push(&mut self, row: T, heap: &mut Heap) {
        if self.0.len() == self.0.capacity() {
            heap.give::<T>(self.0.capacity());
            self.0.reserve_exact(step(self.0.len()));
            heap.take::<T>(self.0.capacity());
        }
        self.0.push(row);
    }

    /// Takes a row out; the last one takes its place. Gives nothing back: see [`Rows::settle`].
    pub(super) fn swap_remove(&mut self, at: usize) -> T {
        self.0.swap_remove(at)
    }

    /// Gives back what is not needed: after rows were taken out.
    pub(super) fn settle(&mut self, heap: &mut Heap) {
        let step = step(self.0.len());
        if self.0.capacity() - self.0.len() >= 2 * step || self.0.is_empty() {
            heap.give::<T>(self.0.capacity());
            self.0.shrink_to(self.0.len().next_multiple_of(step));
            heap.take::<T>(self.0.capacity());
        }
    }

    /// Gives everything back.
    pub(super) fn free(self, heap: &mut Heap) {
        heap.give::<T>(self.0.capacity());
    }

    /// What is allocated, counted anew: for tests.
    #[cfg(test)]
    pub(super) fn heap(&self) -> Heap {
        Heap(cost(self.0.capacity() * size_of::<T>()))
    }
}
