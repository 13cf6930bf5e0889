//! Which start of the machine this is, to be told from others: what counts time since then means nothing after another.
//!
//! Invariant: where the system gives starts names, those decide. Where it does not (a service that sees little of /proc), two are the same
//! that were at the same time, as far as the wall clock is right: then another start has had a time of its own.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds by which a wall clock may have been set right in between.
const SET_MAX: u64 = 60;

/// A start of the machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Start {
    name: Option<String>,
    /// When it was, in seconds since 1970.
    at: u64,
}

impl Start {
    /// The last one.
    pub(super) fn of_machine() -> Start {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Start { name: os::clock::boot_id(), at: now.saturating_sub(os::clock::since_boot()).as_secs() }
    }

    /// Reads the two words that one is displayed as.
    pub(super) fn read(name: &str, at: &str) -> Option<Start> {
        Some(Start { name: Some(name.to_owned()).filter(|name| name != "-"), at: at.parse().ok()? })
    }

    /// Whether both are one.
    pub(super) fn is(&self, other: &Start) -> bool {
        match (&self.name, &other.name) {
            (Some(one), Some(other)) => one == other,
            (None, _) | (_, None) => self.at.abs_diff(other.at) <= SET_MAX,
        }
    }
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name.as_deref().unwrap_or("-"), self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_decide_and_without_them_the_time() {
        for (one, other, same) in [
            ("a 1000", "a 9000", true),
            ("a 1000", "b 1000", false),
            ("- 1000", "- 1060", true),
            ("- 1060", "- 1000", true),
            ("- 1000", "- 1061", false),
            ("- 1000", "b 1001", true),
            ("a 9000", "- 1000", false),
        ] {
            let [one, other] = [one, other].map(|text| {
                let (name, at) = text.split_once(' ').unwrap();
                let start = Start::read(name, at).unwrap();
                assert_eq!(start.to_string(), text);
                start
            });
            assert_eq!(one.is(&other), same, "{one}, {other}");
        }
        assert_eq!(Start::read("a", "soon"), None);
    }

    #[test]
    fn the_machine_has_one_start() {
        assert!(Start::of_machine().is(&Start::of_machine()));
        let unnamed = Start { name: None, ..Start::of_machine() };
        assert!(unnamed.is(&Start::of_machine()));
    }
}
