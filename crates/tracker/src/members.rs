//! Who may visit a private tracker, known by passkeys. Read alone: when something changes, all of it is replaced.
//!
//! Invariants: no passkey is kept, only what a keyed hash of 128 bits makes of it, so that none can be shown, dumped or compared letter
//! by letter (E11); whoever is no member learns nothing but that.

use proto::tracker::ledger::Member;
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use wire::Passkey;

/// What is told to whoever has no passkey, or one that is not valid.
pub(crate) const STRANGER: &str =
    "this tracker is private: a personal announce URL is needed, and this is none";

/// What is told to a member that was disabled.
const DISABLED: &str = "this account is disabled; whoever runs this tracker knows why";

/// What is told to a member that lacks something and may not download.
pub(crate) const MAY_NOT_DOWNLOAD: &str = "you may not download at present; what is complete may be seeded";

/// What is told to a member that takes part with one client too many.
pub(crate) const TOO_MANY_CLIENTS: &str = "you take part in this torrent with as many clients as you may";

/// What is told to a member that asks for counts over UDP, where no passkey can be said (BEP 41 is about announces alone).
pub(crate) const NO_SCRAPE: &str = "this tracker is private: scrape over HTTP, at a personal URL";

/// A user, as the keeper of the books knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct User {
    /// By which it is known.
    pub passkey: Passkey,
    /// What it may do.
    pub member: Member,
    /// Whether it may visit at all.
    pub enabled: bool,
}

/// Everybody who is known.
pub struct Members {
    /// Two hashes of 64 bits, each with keys of its own: with a chance of 2^-128 somebody is taken for another.
    hashes: [RandomState; 2],
    known: HashMap<u128, Known>,
}

#[derive(Clone, Copy)]
enum Known {
    Member(Member),
    Disabled,
}

impl Members {
    /// These users. Of two that have the same passkey the later counts.
    pub fn new(users: impl IntoIterator<Item = User>) -> Members {
        let mut members = Members { hashes: [RandomState::new(), RandomState::new()], known: HashMap::new() };
        for User { passkey, member, enabled } in users {
            let known = if enabled { Known::Member(member) } else { Known::Disabled };
            members.known.insert(members.hash(&passkey), known);
        }
        members
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Whose passkey this is, or what its bearer is told.
    pub(crate) fn find(&self, passkey: Option<Passkey>) -> Result<Member, &'static str> {
        match passkey.and_then(|passkey| self.known.get(&self.hash(&passkey))) {
            Some(&Known::Member(member)) => Ok(member),
            Some(Known::Disabled) => Err(DISABLED),
            None => Err(STRANGER),
        }
    }

    fn hash(&self, passkey: &Passkey) -> u128 {
        let [high, low] = self.hashes.each_ref().map(|hash| u128::from(hash.hash_one(passkey)));
        high << 64 | low
    }
}

impl fmt::Debug for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Members({})", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::tracker::ledger::UserId;

    fn user(chance: u8, enabled: bool) -> User {
        let member = Member { user: UserId(chance.into()), may_download: true, clients_max: None };
        User { passkey: Passkey::of_chance([chance; 16]), member, enabled }
    }

    #[test]
    fn a_member_is_known_by_its_passkey_alone() {
        let members = Members::new([user(1, true), user(2, false), user(3, true)]);
        let find = |chance| members.find(Some(Passkey::of_chance([chance; 16])));
        assert_eq!(find(1), Ok(user(1, true).member));
        assert_eq!(find(3), Ok(user(3, true).member));
        assert_eq!(find(2), Err(DISABLED));
        assert_eq!(find(4), Err(STRANGER));
        assert_eq!(members.find(None), Err(STRANGER));
        let shown = format!("{members:?}{:?}", user(1, true));
        assert!(!shown.contains("0101"), "{shown}");
    }
}
