//! What a session finds when it recounts itself: counts, indexes and caches held against what they are counts, indexes and caches of.
//!
//! For tests, and for drivers in debug builds: it only reads, walks everything, and is never called by what ships. The recounts stand
//! beside what they recount, in files named `audit`. An audit that finds something has found a fault of ours, never a peer's.

/// What an audit found.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Doubts {
    /// What must never be so between two inputs.
    pub wrong: Vec<String>,
    /// What may be so for a moment, while something is under way that will end it, but not for long.
    pub lasting: Vec<String>,
}

impl Doubts {
    /// This must hold now.
    pub(crate) fn must(&mut self, holds: bool, text: impl FnOnce() -> String) {
        if !holds {
            self.wrong.push(text());
        }
    }

    /// This must hold before long.
    pub(crate) fn must_soon(&mut self, holds: bool, text: impl FnOnce() -> String) {
        if !holds {
            self.lasting.push(text());
        }
    }

    /// Two numbers must be the same.
    pub(crate) fn same<T: PartialEq + core::fmt::Display>(&mut self, what: &str, said: T, is: T) {
        if said != is {
            self.wrong.push(format!("{what}: says {said}, is {is}"));
        }
    }
}
