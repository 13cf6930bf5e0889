//! What most of many do not have: a pointer until it is changed, and only then room of its own.

use core::ops::{Deref, DerefMut};

/// What can be read where there is nothing yet.
pub trait Blank: Default + 'static {
    /// Nothing yet; the same as the default.
    const BLANK: &'static Self;
}

/// Something seldom: reads as blank until it is changed for the first time.
#[derive(Clone, Debug)]
pub struct Seldom<T> {
    there: Option<Box<T>>,
}

impl<T> Seldom<T> {
    /// Whether it was ever changed. Who only takes something away asks first, and makes no room in vain.
    pub fn is_there(&self) -> bool {
        self.there.is_some()
    }
}

impl<T> Default for Seldom<T> {
    fn default() -> Seldom<T> {
        Seldom { there: None }
    }
}

impl<T: Blank> Deref for Seldom<T> {
    type Target = T;
    fn deref(&self) -> &T {
        self.there.as_deref().unwrap_or(T::BLANK)
    }
}

impl<T: Blank> DerefMut for Seldom<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.there.get_or_insert_default()
    }
}
