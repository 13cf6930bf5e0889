//! What is told of peers with whom encryption makes no link: to people once for each reason, to programs whenever the count
//! grows. Only where the user set a policy that turns peers away; else such failures are strangers' noise.

use crate::show::Screen;
use crate::show::json::{TurnedAway, VERSION};
use gannet::{Policy, Tally};

/// What was told already.
pub(super) struct EncryptionNews {
    policy: Policy,
    told: Tally,
}

impl EncryptionNews {
    /// Nothing yet.
    pub(super) fn new(policy: Policy) -> EncryptionNews {
        EncryptionNews { policy, told: Tally::default() }
    }

    /// Tells what is new.
    pub(super) fn tell(&mut self, screen: &Screen, tally: Tally) {
        let told = std::mem::replace(&mut self.told, tally);
        for ((why, now), (_, before)) in
            reasons(self.policy, &tally).into_iter().zip(reasons(self.policy, &told))
        {
            if before == 0 && now > 0 {
                screen.say(&format!("turned away: {why}"));
            }
            if now > before {
                screen.json(&TurnedAway { v: VERSION, r#type: "turned_away", why, count: now });
            }
        }
    }
}

/// Why peers are no links under a policy, each with its count.
fn reasons(policy: Policy, tally: &Tally) -> Vec<(&'static str, u64)> {
    match policy {
        // Nobody sets `Private` for `get`: a private swarm's strangers are nobody's news.
        Policy::Allow | Policy::Prefer | Policy::Private => Vec::new(),
        Policy::Off => vec![
            ("a peer that encrypts (--encryption off)", tally.encrypted_refused),
            (
                "a peer that closes without a word; it may insist on encryption (--encryption off)",
                tally.plaintext_unanswered,
            ),
        ],
        Policy::Require => vec![
            ("a peer that came without encryption (--encryption require)", tally.plaintext_refused),
            ("a peer whose encrypted handshake failed (--encryption require)", tally.incoming_failed),
            ("a peer that does not answer encrypted with RC4 (--encryption require)", tally.outgoing_failed),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_policy_turns_away_is_told() {
        let tally = Tally {
            plaintext_refused: 1,
            encrypted_refused: 2,
            incoming_failed: 3,
            outgoing_failed: 4,
            plaintext_unanswered: 5,
        };
        let counts = |policy| reasons(policy, &tally).into_iter().map(|(_, count)| count).collect::<Vec<_>>();
        assert_eq!(counts(Policy::Off), [2, 5]);
        assert_eq!(counts(Policy::Allow), Vec::<u64>::new());
        assert_eq!(counts(Policy::Prefer), Vec::<u64>::new());
        assert_eq!(counts(Policy::Require), [1, 3, 4]);
    }
}
