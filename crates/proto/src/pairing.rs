//! Who comes to a share with a code: how many are listened to at once, who gives way when there are too many, whose exchange is
//! begun, whose proof is looked at. Knows hosts and time, no socket, no code, no key.
//!
//! A newcomer always comes in, as at the door of links: who is honest needs two round trips, and who stalls gives way to others. So
//! strangers that connect and say nothing keep nobody out, however many they are.
//!
//! Invariants: at most [`VISITORS_MAX`] are listened to, at most [`VISITORS_PER_HOST_MAX`] of one host, each for
//! [`EXCHANGE_TIME_MAX`]; at most [`PAIRED_MAX`] are paired; exchanges keep their pace; what is looked at is counted (`guesses`).
//! Threats: C4, C5

pub mod guesses;

use crate::{Duration, Instant};
use core::net::IpAddr;
use guesses::{Guesses, Verdict};
use std::collections::BTreeMap;

/// Receivers that are listened to at once, before they are paired. A class of thirty types a code within seconds, each for
/// milliseconds.
pub const VISITORS_MAX: usize = 16;

/// Of these, from one host: several people behind one address, and a second try beside a first that hangs.
pub const VISITORS_PER_HOST_MAX: usize = 4;

/// How long an exchange may take: on both sides, from the connection to the last proof.
pub const EXCHANGE_TIME_MAX: Duration = Duration::from_secs(5);

/// Exchanges begun per second. One costs 0.18 ms (`cargo bench -p gannet-wire --bench private`), so all together at most 0.6 % of one
/// core; nothing else that a stranger can ask for is as dear.
pub const EXCHANGES_PER_SECOND_MAX: u32 = 32;

/// Exchanges that may begin at once after a pause: a class that was just told the code.
const BURST_MAX: u32 = 32;

/// Receivers that are paired at once. Each holds a socket and at most some messages of 256 KiB that nobody took, 1 MiB in the engine.
pub const PAIRED_MAX: usize = 64;

/// Who has nothing to say to the other for so long says that it is still there.
pub const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Who is not heard for so long is gone: two words that it is there were lost, and a third is late.
pub const SILENCE_MAX: Duration = Duration::from_secs(45);

/// How long the other side may take to say that it has heard everything.
pub const CLOSE_TIME_MAX: Duration = Duration::from_secs(10);

/// Somebody who came. Named by the driver; never used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct VisitorId(pub u64);

/// Why somebody is not listened to further, to be said as `wire::pairing` has words for it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Refusal {
    /// The code is another.
    OtherCode,
    /// So many were wrong that whoever shares must say first whether to go on.
    MustConfirm,
    /// Too many come, or are here, at once.
    Busy,
}

#[derive(Clone, Copy, Debug)]
struct Visitor {
    host: IpAddr,
    since: Instant,
    /// Its exchange has begun; before it was silent, or greeted.
    answered: bool,
}

/// Decides about those who come to one share.
#[derive(Clone, Debug)]
pub struct Reception {
    visitors: BTreeMap<VisitorId, Visitor>,
    guesses: Guesses,
    paired: usize,
    /// When all exchanges so far would have begun, at an even pace.
    spent_until: Instant,
}

impl Default for Reception {
    fn default() -> Reception {
        Reception {
            visitors: BTreeMap::new(),
            guesses: Guesses::for_sharer(),
            paired: 0,
            spent_until: Instant::ZERO,
        }
    }
}

impl Reception {
    /// Somebody came. Who is named must give way: the driver tells it that there are too many, if it has greeted, and hangs up.
    pub fn came(&mut self, now: Instant, id: VisitorId, host: IpAddr) -> Option<VisitorId> {
        let host = host.to_canonical();
        let gives_way = self.in_the_way(host);
        if let Some(other) = gives_way {
            self.left(other);
        }
        self.visitors.insert(id, Visitor { host, since: now, answered: false });
        gives_way
    }

    /// One has greeted as a receiver does, and wants to exchange proofs. If that is allowed it costs what exchanges cost.
    ///
    /// # Errors
    /// Why not. The visitor is gone then.
    pub fn greeted(&mut self, now: Instant, id: VisitorId) -> Result<(), Refusal> {
        let verdict = match self.visitors.get(&id) {
            None => Err(Refusal::Busy),
            Some(visitor) if self.guesses.refuses(visitor.host).is_some() => Err(Refusal::MustConfirm),
            Some(_) if self.is_full() || !self.has_turn(now) => Err(Refusal::Busy),
            Some(_) => Ok(()),
        };
        match (verdict, self.visitors.get_mut(&id)) {
            (Ok(()), Some(visitor)) => {
                visitor.answered = true;
                self.spent_until = self.spent_until.max(now) + spacing();
            }
            _ => self.left(id),
        }
        verdict
    }

    /// One has sent a proof; it is looked at if that is allowed. The visitor is gone then: if all is well it is paired, until
    /// [`Reception::parted`].
    ///
    /// # Errors
    /// Why not.
    pub fn proved(&mut self, id: VisitorId, is_right: impl FnOnce() -> bool) -> Result<(), Refusal> {
        let Some(Visitor { host, .. }) = self.visitors.remove(&id).filter(|visitor| visitor.answered) else {
            return Err(Refusal::Busy);
        };
        // Asked before the proof is looked at: who is told that it is wrong has spent a guess.
        if self.is_full() {
            return Err(Refusal::Busy);
        }
        match self.guesses.judge(host, is_right) {
            Verdict::Right => {
                self.paired += 1;
                Ok(())
            }
            Verdict::Wrong => Err(Refusal::OtherCode),
            Verdict::HostSpent | Verdict::Spent => Err(Refusal::MustConfirm),
        }
    }

    /// One left, or its time is over.
    pub fn left(&mut self, id: VisitorId) {
        self.visitors.remove(&id);
    }

    /// One that was paired is no longer.
    pub fn parted(&mut self) {
        self.paired = self.paired.saturating_sub(1);
    }

    /// Whoever shares says to go on: as many wrong codes again.
    pub fn go_on(&mut self) {
        self.guesses.renew();
    }

    /// Whether this host, and so perhaps everybody, waits for a word of whoever shares.
    pub fn must_confirm(&self, host: IpAddr) -> bool {
        self.guesses.refuses(host).is_some()
    }

    /// Who sent wrong codes since the last renewal, and how many.
    pub fn wrong(&self) -> &[(IpAddr, u32)] {
        self.guesses.hosts()
    }

    /// How many are listened to.
    pub fn visitors(&self) -> usize {
        self.visitors.len()
    }

    fn is_full(&self) -> bool {
        self.paired >= PAIRED_MAX
    }

    fn has_turn(&self, now: Instant) -> bool {
        let credit = spacing() * (BURST_MAX - 1);
        self.spent_until.as_micros().saturating_sub(credit.as_micros() as u64) <= now.as_micros()
    }

    /// Who is here longest of a host that has too many; else, of all, who is here longest and has said nothing, or at last who is
    /// here longest.
    fn in_the_way(&self, host: IpAddr) -> Option<VisitorId> {
        let oldest = |visitors: &mut dyn Iterator<Item = (&VisitorId, &Visitor)>| {
            visitors.min_by_key(|(id, visitor)| (visitor.answered, visitor.since, **id)).map(|(id, _)| *id)
        };
        let ours = || self.visitors.iter().filter(|(_, visitor)| visitor.host == host);
        if ours().count() >= VISITORS_PER_HOST_MAX {
            oldest(&mut ours())
        } else if self.visitors.len() >= VISITORS_MAX {
            oldest(&mut self.visitors.iter())
        } else {
            None
        }
    }
}

fn spacing() -> Duration {
    Duration::from_micros(1_000_000 / u64::from(EXCHANGES_PER_SECOND_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Rng, Seed};

    fn host(n: u32) -> IpAddr {
        IpAddr::from((10 << 24 | n).to_be_bytes())
    }

    fn at(millis: u64) -> Instant {
        Instant::from_micros(1_000_000_000 + millis * 1_000)
    }

    /// Somebody who knows the code, or does not, from the connection to the verdict.
    fn visit(
        reception: &mut Reception,
        now: Instant,
        id: u64,
        from: u32,
        right: bool,
    ) -> Result<(), Refusal> {
        let id = VisitorId(id);
        reception.came(now, id, host(from));
        reception.greeted(now, id)?;
        reception.proved(id, || right)
    }

    #[test]
    fn who_knows_the_code_is_paired_and_who_does_not_is_told_so_until_the_sharer_is_asked() {
        let mut reception = Reception::default();
        let mut told = Vec::new();
        for (id, (from, right)) in [
            (1, true),
            (2, false),
            (2, true),
            (3, false),
            (3, false),
            (3, false),
            (3, true),
            (4, false),
            (4, true),
            (5, true),
        ]
        .into_iter()
        .enumerate()
        {
            told.push(visit(&mut reception, at(id as u64 * 100), id as u64, from, right));
        }
        let (wrong, ask) = (Err(Refusal::OtherCode), Err(Refusal::MustConfirm));
        assert_eq!(told, [Ok(()), wrong, Ok(()), wrong, wrong, wrong, ask, wrong, ask, ask]);
        assert!(reception.must_confirm(host(99)));
        assert_eq!(reception.wrong(), [(host(2), 1), (host(3), 3), (host(4), 1)]);
        reception.go_on();
        assert_eq!(visit(&mut reception, at(9_000), 50, 5, true), Ok(()));
        assert_eq!(reception.visitors(), 0);
    }

    #[test]
    fn who_must_wait_for_the_sharer_is_told_before_anything_is_computed() {
        let mut reception = Reception::default();
        (0..5).for_each(|id| _ = visit(&mut reception, at(id * 100), id, id as u32, false));
        reception.came(at(900), VisitorId(9), host(9));
        assert_eq!(reception.greeted(at(900), VisitorId(9)), Err(Refusal::MustConfirm));
        assert_eq!(reception.proved(VisitorId(9), || unreachable!("not looked at")), Err(Refusal::Busy));
    }

    /// A hundred strangers who say nothing, again and again: whoever comes meanwhile is let in, and has the time that it needs.
    #[test]
    fn strangers_who_say_nothing_keep_nobody_out() {
        let mut reception = Reception::default();
        let mut next = 100;
        let mut crowd = |reception: &mut Reception, now: Instant| {
            for n in 0..100 {
                reception.came(now, VisitorId(next), host(1_000 + n));
                next += 1;
            }
        };
        crowd(&mut reception, at(0));
        assert_eq!(reception.visitors(), VISITORS_MAX);
        for (id, millis) in [(1, 10), (2, 20)] {
            reception.came(at(millis), VisitorId(id), host(id as u32));
            assert_eq!(reception.greeted(at(millis), VisitorId(id)), Ok(()));
            crowd(&mut reception, at(millis + 5));
            assert_eq!(reception.proved(VisitorId(id), || true), Ok(()));
        }
    }

    #[test]
    fn one_host_has_its_share_of_visitors_and_its_own_give_way() {
        let mut reception = Reception::default();
        reception.came(at(0), VisitorId(0), host(1));
        for id in 1..5 {
            assert_eq!(reception.came(at(id), VisitorId(id), host(2)), None);
        }
        assert_eq!(reception.came(at(9), VisitorId(9), host(2)), Some(VisitorId(1)));
        let mapped = "::ffff:10.0.0.2".parse().unwrap();
        assert_eq!(reception.came(at(9), VisitorId(10), mapped), Some(VisitorId(2)), "however it is written");
        assert_eq!(reception.greeted(at(9), VisitorId(1)), Err(Refusal::Busy), "who gave way is gone");
        assert_eq!(reception.greeted(at(9), VisitorId(0)), Ok(()));
    }

    #[test]
    fn exchanges_keep_their_pace_and_pairs_their_number() {
        let mut reception = Reception::default();
        let begun = |reception: &mut Reception, now: Instant, ids: core::ops::Range<u64>| {
            ids.filter(|id| visit(reception, now, *id, *id as u32, true).is_ok()).count()
        };
        assert_eq!(begun(&mut reception, at(0), 0..100), BURST_MAX as usize);
        assert_eq!(begun(&mut reception, at(1_000), 100..200), EXCHANGES_PER_SECOND_MAX as usize);
        assert_eq!(begun(&mut reception, at(9_000), 200..300), 0, "{PAIRED_MAX} are here");
        reception.parted();
        assert_eq!(begun(&mut reception, at(9_000), 300..400), 1);
    }

    #[test]
    fn no_life_breaks_a_bound() {
        for seed in 0..50 {
            let mut rng = Rng::new(Seed(seed));
            let (mut reception, mut now) = (Reception::default(), at(0));
            let (mut paired, mut wrong) = (0, 0);
            for step in 0..3_000 {
                now += Duration::from_micros(u64::from(rng.below(20_000)));
                let id = VisitorId(u64::from(rng.below(30)) + step / 100 * 30);
                match rng.below(10) {
                    0..4 => _ = reception.came(now, id, host(rng.below(12))),
                    4..6 => _ = reception.greeted(now, id),
                    6..8 => {
                        let right = rng.below(2) == 0;
                        match reception.proved(id, || right) {
                            Ok(()) => paired += 1,
                            Err(Refusal::OtherCode) => wrong += 1,
                            Err(_) => {}
                        }
                    }
                    8 if paired > 0 => {
                        reception.parted();
                        paired -= 1;
                    }
                    8 => reception.left(id),
                    _ if rng.below(50) == 0 => {
                        reception.go_on();
                        wrong = 0;
                    }
                    _ => {}
                }
                let of_one =
                    |host| reception.visitors.values().filter(|visitor| visitor.host == host).count();
                assert!((0..12).all(|n| of_one(host(n)) <= VISITORS_PER_HOST_MAX), "seed {seed}");
                assert!(
                    reception.visitors() <= VISITORS_MAX && paired <= PAIRED_MAX && wrong <= 5,
                    "seed {seed}"
                );
            }
        }
    }
}
