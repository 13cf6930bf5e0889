//! The attackers that we know, a row each. A new way to be hostile is a new row; a new part of one is a variant in `habit`.

use super::habit::{Asks, Chokes, Claims, Habit, Names, Noise, Opens, Serves, Visits};
use core::time::Duration;

/// Tries again after ten seconds, and stays as long as it is let.
const STAYS: Visits = Visits { redials: Duration::from_secs(10), stays: None };

/// Takes part without harm: what the rows differ from.
const QUIET: Habit = Habit {
    name: "quiet",
    opens: Opens::Properly,
    claims: Claims::Nothing,
    serves: Serves::Never,
    chokes: Chokes::Everybody,
    asks: Asks::Nothing,
    noise: None,
    metadata: None,
    names: None,
    visits: STAYS,
};

/// Seems a seed that serves everybody: what most liars about content begin with.
const LURE: Habit = Habit { claims: Claims::All, chokes: Chokes::Nobody, ..QUIET };

/// Hangs up after so many seconds, and comes back.
const fn anew(seconds: u64) -> Visits {
    Visits { redials: Duration::from_secs(2), stays: Some(Duration::from_secs(seconds)) }
}

const fn noisy(name: &'static str, noise: Noise, rate: u32) -> Habit {
    Habit { name, noise: Some((noise, rate)), ..QUIET }
}

const fn gossip(name: &'static str, names: Names, every: Duration) -> Habit {
    Habit { name, names: Some((names, every)), ..QUIET }
}

/// As often as one may name peers (BEP 11).
const EACH_MINUTE: Duration = Duration::from_secs(61);

/// All rows.
pub const CAST: &[Habit] = &[
    // Slow and silent.
    Habit { name: "silent", claims: Claims::Silence, ..QUIET },
    Habit { name: "mute", opens: Opens::Never, ..QUIET },
    Habit { name: "half-handshake", opens: Opens::Halfway, ..QUIET },
    Habit { name: "slow-handshake", opens: Opens::Slowly, ..QUIET },
    Habit { name: "dripper", serves: Serves::Drips { rate: 1 }, ..LURE },
    Habit { name: "trickler", serves: Serves::Drips { rate: 700 }, ..LURE },
    // Lies about pieces.
    Habit { name: "false-seed", claims: Claims::All, ..QUIET },
    Habit { name: "false-half", claims: Claims::Half, ..QUIET },
    Habit { name: "false-haves", claims: Claims::Growing, ..LURE },
    Habit { name: "changeable", claims: Claims::Changing, ..LURE },
    Habit { name: "false-seed-that-asks", asks: Asks::Forever { pending: 16 }, ..LURE },
    // So large that a whole takes a while, so small that it is sent within a test.
    Habit { name: "metadata-liar", metadata: Some(4 << 20), ..QUIET },
    // Promises that are not kept.
    Habit { name: "snubber", ..LURE },
    Habit { name: "rejecter", serves: Serves::Rejects, ..LURE },
    Habit { name: "tease", chokes: Chokes::Flaps { every: Duration::from_millis(500) }, ..LURE },
    Habit { name: "bait", chokes: Chokes::Baits, ..LURE },
    Habit { name: "bait-rejecter", chokes: Chokes::Baits, serves: Serves::Rejects, ..LURE },
    // Wrong bytes.
    Habit { name: "poisoner", serves: Serves::Spoils { one_in: 1 }, ..LURE },
    Habit { name: "sly-poisoner", serves: Serves::Spoils { one_in: 10 }, ..LURE },
    Habit { name: "colluder", serves: Serves::Colludes, ..LURE },
    Habit { name: "bait-poisoner", chokes: Chokes::Baits, serves: Serves::Spoils { one_in: 2 }, ..LURE },
    Habit { name: "astray", serves: Serves::Astray, ..LURE },
    Habit { name: "stutterer", serves: Serves::Twice, ..LURE },
    Habit { noise: Some((Noise::StrayBlocks, 2)), name: "stray-blocks", ..LURE },
    // Takes and does not give.
    Habit { name: "drain", asks: Asks::Forever { pending: 64 }, ..QUIET },
    Habit { name: "free-rider", asks: Asks::Rides { pending: 16 }, ..QUIET },
    Habit { name: "allowed-fast-glutton", asks: Asks::AllowedAgain, ..QUIET },
    // Wrong at the first word.
    Habit { name: "malformed", claims: Claims::Malformed, ..QUIET },
    Habit { name: "beyond", claims: Claims::Beyond, ..QUIET },
    Habit { name: "mirror", opens: Opens::AsYou, ..LURE },
    Habit { name: "legion", opens: Opens::AsMany, ..LURE },
    Habit {
        name: "churner",
        visits: Visits { redials: Duration::from_secs(1), stays: Some(Duration::from_millis(500)) },
        ..LURE
    },
    // Floods; `vigour` makes torrents of them.
    noisy("keep-alive-flood", Noise::KeepAlives, 10),
    noisy("interest-flood", Noise::Interest, 10),
    noisy("have-flood", Noise::Haves, 10),
    noisy("bitfield-flood", Noise::Bitfields, 5),
    noisy("have-all-flood", Noise::HaveAlls, 5),
    noisy("suggest-flood", Noise::Suggests, 10),
    noisy("allowed-fast-flood", Noise::AllowedFasts, 10),
    noisy("request-flood", Noise::Requests, 10),
    noisy("huge-requests", Noise::HugeRequests, 4),
    noisy("wild-requests", Noise::WildRequests, 4),
    noisy("cancel-flood", Noise::Cancels, 10),
    noisy("cancel-storm", Noise::CancelStorms, 5),
    noisy("reject-flood", Noise::Rejects, 10),
    noisy("port-flood", Noise::Ports, 10),
    noisy("unknown-flood", Noise::Unknowns, 10),
    noisy("introduction-flood", Noise::Introductions, 5),
    noisy("extension-junk", Noise::ExtensionJunk, 5),
    noisy("nonsense", Noise::Nonsense, 10),
    // Come anew, so that what they did before is forgotten.
    Habit { name: "newcomer", asks: Asks::Forever { pending: 64 }, visits: anew(40), ..QUIET },
    Habit { name: "poisoner-that-runs", serves: Serves::Spoils { one_in: 2 }, visits: anew(3), ..LURE },
    // Names others as peers.
    gossip("victim-namer", Names::Victim, EACH_MINUTE),
    gossip("server-namer", Names::Servers, EACH_MINUTE),
    gossip("neighbour-namer", Names::Neighbours, EACH_MINUTE),
    gossip("crowd-namer", Names::Crowd, EACH_MINUTE),
    gossip("name-flood", Names::Crowd, Duration::from_secs(1)),
];

/// The row of this name.
pub fn by_name(name: &str) -> Option<&'static Habit> {
    CAST.iter().find(|habit| habit.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_row_has_a_name_of_its_own() {
        let names: BTreeSet<&str> = CAST.iter().map(|habit| habit.name).collect();
        assert_eq!(names.len(), CAST.len());
        assert!(names.iter().all(|name| by_name(name).is_some()));
    }
}
