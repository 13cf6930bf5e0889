//! Who may visit a private tracker, known by passkeys. Read alone: when something changes, all of it is replaced.
//!
//! Invariants: no passkey is kept here, only what a keyed hash of 128 bits makes of it, so that none can be shown or compared letter by
//! letter (E11); whoever is no member learns nothing but that. It is no promise about all of the memory: who reads the users' file for
//! this has passkeys in buffers, for a while and in pages that were freed.

use proto::tracker::ledger::Member;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use wire::Passkey;

/// Two hashes of 64 bits, each with keys of its own: with a chance of 2^-128 somebody is taken for another. They are made once, so that
/// members can be told from those who were before.
static HASHES: LazyLock<[RandomState; 2]> = LazyLock::new(|| [RandomState::new(), RandomState::new()]);

/// Passkeys that are remembered beyond their time: those of a large site that gives everybody a new one take a megabyte or two.
const FORMER_MAX: usize = 65_536;

/// What is told to whoever has no passkey, or one that is not valid.
const STRANGER: &str = "this tracker is private: a personal announce URL is needed, and this is none";

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
    known: HashMap<u128, Known>,
    /// Passkeys that were good before, of users who were removed or have a new one.
    former: HashSet<u128>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    Member(Member),
    Disabled,
}

/// Somebody who is not served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unwelcome {
    /// Has no passkey, or one that never was good.
    Stranger,
    /// A member that was disabled.
    Disabled,
    /// Has a passkey that was good before.
    Former,
}

impl Unwelcome {
    /// What it is told.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Unwelcome::Stranger | Unwelcome::Former => STRANGER,
            Unwelcome::Disabled => DISABLED,
        }
    }

    /// Whether it may have been served before, so that others are still told of it. No stranger may take anybody out of a swarm, for
    /// many may have one address.
    pub(crate) fn was_served(self) -> bool {
        match self {
            Unwelcome::Stranger => false,
            Unwelcome::Disabled | Unwelcome::Former => true,
        }
    }
}

impl Members {
    /// These users. Of two that have the same passkey the later counts.
    pub fn new(users: impl IntoIterator<Item = User>) -> Members {
        let known_as = |User { passkey, member, enabled }| {
            (hash(&passkey), if enabled { Known::Member(member) } else { Known::Disabled })
        };
        Members { known: users.into_iter().map(known_as).collect(), former: HashSet::new() }
    }

    /// The same, who come in the place of these.
    pub(crate) fn after(mut self, before: &Members) -> Members {
        let all = before.known.keys().chain(&before.former).copied();
        self.former = all.filter(|key| !self.known.contains_key(key)).take(FORMER_MAX).collect();
        self
    }

    /// Whether the same are served by these, with the same passkeys.
    pub(crate) fn are(&self, others: &Members) -> bool {
        self.known == others.known
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Whose passkey this is.
    pub(crate) fn find(&self, passkey: Option<Passkey>) -> Result<Member, Unwelcome> {
        let key = passkey.map(|passkey| hash(&passkey)).ok_or(Unwelcome::Stranger)?;
        match self.known.get(&key) {
            Some(&Known::Member(member)) => Ok(member),
            Some(Known::Disabled) => Err(Unwelcome::Disabled),
            None if self.former.contains(&key) => Err(Unwelcome::Former),
            None => Err(Unwelcome::Stranger),
        }
    }
}

fn hash(passkey: &Passkey) -> u128 {
    let [high, low] = HASHES.each_ref().map(|hash| u128::from(hash.hash_one(passkey)));
    high << 64 | low
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
        assert_eq!(find(2), Err(Unwelcome::Disabled));
        assert_eq!(find(4), Err(Unwelcome::Stranger));
        assert_eq!(members.find(None), Err(Unwelcome::Stranger));
        let shown = format!("{members:?}{:?}", user(1, true));
        assert!(!shown.contains("0101"), "{shown}");
    }

    #[test]
    fn who_was_a_member_is_told_from_who_never_was() {
        let find = |members: &Members, chance| members.find(Some(Passkey::of_chance([chance; 16]))).map(drop);
        let first = Members::new([user(1, true), user(2, false), user(3, true)]);
        let second = Members::new([user(3, true)]).after(&first);
        let third = Members::new([user(1, true)]).after(&second);
        for (chance, now, then) in [
            (1, Err(Unwelcome::Former), Ok(())),
            (2, Err(Unwelcome::Former), Err(Unwelcome::Former)),
            (3, Ok(()), Err(Unwelcome::Former)),
            (4, Err(Unwelcome::Stranger), Err(Unwelcome::Stranger)),
        ] {
            assert_eq!((find(&second, chance), find(&third, chance)), (now, then), "{chance}");
        }
        assert_eq!(third.len(), 1);
        assert_eq!(Unwelcome::Former.reason(), Unwelcome::Stranger.reason(), "it learns no more");
    }
}
