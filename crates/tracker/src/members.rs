//! Who may visit a private tracker, known by passkeys. Read alone: when something changes, all of it is replaced.
//!
//! Invariants: no passkey is kept here, only what a keyed hash of 128 bits makes of it, so that none can be shown or compared letter by
//! letter (E11); whoever is no member learns nothing but that. It is no promise about all of the memory: who reads the users' file for
//! this has passkeys in buffers, for a while and in pages that were freed.

use proto::tracker::ledger::Member;
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::time::Instant;
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
    /// Passkeys that were good before, of users who were removed or have a new one, and until when they were.
    former: HashMap<u128, Instant>,
}

#[derive(Clone, Copy)]
enum Known {
    Member(Member),
    Disabled { since: Instant },
}

impl Known {
    /// Whether both are served alike.
    fn is(&self, other: &Known) -> bool {
        match (self, other) {
            (Known::Member(member), Known::Member(other)) => member == other,
            (Known::Disabled { .. }, Known::Disabled { .. }) => true,
            (Known::Member(_), Known::Disabled { .. }) | (Known::Disabled { .. }, Known::Member(_)) => false,
        }
    }
}

/// Somebody who is not served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unwelcome {
    /// Has no passkey, or one that never was good.
    Stranger,
    /// A member that was disabled.
    Disabled { since: Instant },
    /// Has a passkey that was good before.
    Former { until: Instant },
}

impl Unwelcome {
    /// What it is told.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Unwelcome::Stranger | Unwelcome::Former { .. } => STRANGER,
            Unwelcome::Disabled { .. } => DISABLED,
        }
    }

    /// Until when it may have been served, so that others are still told of it. No stranger may take anybody out of a swarm, for
    /// many may have one address.
    pub(crate) fn was_served_until(self) -> Option<Instant> {
        match self {
            Unwelcome::Stranger => None,
            Unwelcome::Disabled { since: until } | Unwelcome::Former { until } => Some(until),
        }
    }
}

impl Members {
    /// These users. Of two that have the same passkey the later counts.
    pub fn new(users: impl IntoIterator<Item = User>) -> Members {
        let since = Instant::now();
        let known_as = |User { passkey, member, enabled }| {
            (hash(&passkey), if enabled { Known::Member(member) } else { Known::Disabled { since } })
        };
        Members { known: users.into_iter().map(known_as).collect(), former: HashMap::new() }
    }

    /// The same, who come in the place of these.
    pub(crate) fn after(mut self, before: &Members) -> Members {
        let now = Instant::now();
        // One that was not good any more already has not become so now.
        let good_until = |key| match (before.known.get(key), before.former.get(key)) {
            (Some(Known::Disabled { since: until }), _) | (None, Some(until)) => *until,
            (Some(Known::Member(_)), _) | (None, None) => now,
        };
        let all = before.known.keys().chain(before.former.keys());
        let gone = all.filter(|key| !self.known.contains_key(key)).take(FORMER_MAX);
        self.former = gone.map(|key| (*key, good_until(key))).collect();
        for (key, known) in &mut self.known {
            if let Known::Disabled { since } = known {
                *since = good_until(key);
            }
        }
        self
    }

    /// Whether the same are served by these, with the same passkeys.
    pub(crate) fn are(&self, others: &Members) -> bool {
        let is_there =
            |(key, known): (&u128, &Known)| others.known.get(key).is_some_and(|other| known.is(other));
        self.known.len() == others.known.len() && self.known.iter().all(is_there)
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
            Some(&Known::Disabled { since }) => Err(Unwelcome::Disabled { since }),
            None => {
                Err(self.former.get(&key).map_or(Unwelcome::Stranger, |&until| Unwelcome::Former { until }))
            }
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
        assert!(matches!(find(2), Err(Unwelcome::Disabled { .. })));
        assert_eq!(find(4), Err(Unwelcome::Stranger));
        assert_eq!(members.find(None), Err(Unwelcome::Stranger));
        let shown = format!("{members:?}{:?}", user(1, true));
        assert!(!shown.contains("0101"), "{shown}");
    }

    #[test]
    fn who_was_a_member_is_told_from_who_never_was() {
        let find = |members: &Members, chance| members.find(Some(Passkey::of_chance([chance; 16]))).map(drop);
        let until = |members: &Members, chance| find(members, chance).unwrap_err().was_served_until();
        let first = Members::new([user(1, true), user(2, false), user(3, true)]);
        let second = Members::new([user(3, true)]).after(&first);
        let third = Members::new([user(1, true)]).after(&second);
        let is_former =
            |members: &Members, chance| matches!(find(members, chance), Err(Unwelcome::Former { .. }));
        for (chance, now, then) in [(1, true, false), (2, true, true), (3, false, true), (4, false, false)] {
            assert_eq!((is_former(&second, chance), is_former(&third, chance)), (now, then), "{chance}");
        }
        assert_eq!(
            (find(&second, 3), find(&third, 1), find(&third, 4)),
            (Ok(()), Ok(()), Err(Unwelcome::Stranger))
        );
        assert_eq!(third.len(), 1);
        assert_eq!(find(&third, 2).unwrap_err().reason(), Unwelcome::Stranger.reason(), "it learns no more");
        // What it was good until does not become later, unless it was good again.
        assert_eq!(until(&second, 2), until(&first, 2));
        assert_eq!(until(&third, 2), until(&first, 2));
        let fourth = Members::new([user(2, false), user(3, false)]).after(&third);
        assert_eq!([2, 3].map(|chance| until(&fourth, chance)), [2, 3].map(|chance| until(&third, chance)));
        let fifth = Members::new([user(3, true)]).after(&fourth);
        let sixth = Members::new([user(3, false)]).after(&fifth);
        assert!(until(&sixth, 3) > until(&fourth, 3));
        assert_eq!(until(&sixth, 4), None);
    }
}
