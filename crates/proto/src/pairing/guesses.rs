//! How many wrong codes a share takes before its sharer is asked: five in all, three of them from one address. Pure: who proves
//! what comes in, a verdict goes out. Knows neither codes nor time.
//!
//! The bound is per share, because an attacker has as many addresses as he likes, and two words stand five guesses, not five
//! from each. It is also per address, because otherwise one visitor with one address could use all five up at no cost and
//! keep out everybody else; so he uses up three, and the other two are left to people who mistype. Whoever takes several
//! addresses can still bring the share to a halt; then the sharer, who sees it, says whether to go on ([`Guesses::renew`]).
//! There is no waiting time after a wrong code: it would keep honest receivers waiting and gain nothing, with five in all.
//!
//! A receiver counts in the same way how often what it was told did not fit, for each of those that answer to its number may
//! be somebody who guesses. It is stricter, for it has less to lose: the code was said to it a moment ago, one share of that number is
//! the right one, and who mistyped types a new code and begins anew.
//!
//! Invariants: between two renewals at most [`WRONG_MAX`] proofs are found wrong, of a receiver [`RECEIVER_WRONG_MAX`], whatever
//! comes, and at most that many addresses are kept; a proof that is not allowed is not looked at.

use core::net::IpAddr;

/// Wrong proofs in all before the sharer is asked. Against two words of 2,048 each they succeed once in 838,860.
pub const WRONG_MAX: u32 = 5;

/// Wrong proofs from one address before the sharer is asked about it: two slips, and a third that was careful.
pub const WRONG_PER_HOST_MAX: u32 = 3;

/// Exchanges that a receiver takes part in with one code and that come to nothing: two strangers with the number of the share that is
/// meant, and one slip. One in 1,398,101 is an impostor's luck.
pub const RECEIVER_WRONG_MAX: u32 = 3;

/// Of these, with one address: a line that was cut in the middle is worth a second try.
pub const RECEIVER_WRONG_PER_HOST_MAX: u32 = 2;

/// What is to be said to a proof.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It fits.
    Right,
    /// It does not.
    Wrong,
    /// It was not looked at: from this address so many were wrong that the sharer must say whether to go on.
    HostSpent,
    /// It was not looked at: so many were wrong that the sharer must say whether to go on.
    Spent,
}

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Guesses {
    wrong_max: u32,
    per_host_max: u32,
    wrong: u32,
    hosts: Vec<(IpAddr, u32)>,
}

impl Guesses {
    /// None yet, of a share.
    pub fn for_sharer() -> Guesses {
        Guesses { wrong_max: WRONG_MAX, per_host_max: WRONG_PER_HOST_MAX, wrong: 0, hosts: Vec::new() }
    }

    /// None yet, of who was told a code.
    pub fn for_receiver() -> Guesses {
        let (wrong_max, per_host_max) = (RECEIVER_WRONG_MAX, RECEIVER_WRONG_PER_HOST_MAX);
        Guesses { wrong_max, per_host_max, ..Guesses::for_sharer() }
    }

    /// Looks at a proof, if one from this address may be looked at now, and counts it if it is wrong.
    pub fn judge(&mut self, host: IpAddr, is_right: impl FnOnce() -> bool) -> Verdict {
        match self.refuses(host) {
            Some(verdict) => verdict,
            None if is_right() => Verdict::Right,
            None => {
                self.note_wrong(host);
                Verdict::Wrong
            }
        }
    }

    /// Why no proof from this address would be looked at now, if so. Who would begin an exchange asks first.
    pub fn refuses(&self, host: IpAddr) -> Option<Verdict> {
        let host = host.to_canonical();
        let wrong = self.hosts.iter().find(|(other, _)| *other == host).map_or(0, |(_, wrong)| *wrong);
        match () {
            () if self.wrong >= self.wrong_max => Some(Verdict::Spent),
            () if wrong >= self.per_host_max => Some(Verdict::HostSpent),
            () => None,
        }
    }

    /// Counts an exchange that came to nothing after a proof of ours was sent: so a receiver counts who keeps it for himself.
    pub fn note_wrong(&mut self, host: IpAddr) {
        let host = host.to_canonical();
        self.wrong = self.wrong.saturating_add(1);
        let known = self.hosts.len();
        match self.hosts.iter_mut().find(|(other, _)| *other == host) {
            Some((_, wrong)) => *wrong = wrong.saturating_add(1),
            None if known < self.wrong_max as usize => self.hosts.push((host, 1)),
            None => {}
        }
    }

    /// An exchange that was counted before it ended well: so a receiver counts who takes part in several at once.
    pub fn forgive(&mut self, host: IpAddr) {
        let host = host.to_canonical();
        if let Some((_, wrong)) = self.hosts.iter_mut().find(|(other, wrong)| *other == host && *wrong > 0) {
            *wrong -= 1;
            self.wrong = self.wrong.saturating_sub(1);
        }
    }

    /// The sharer says to go on: as many again, for everybody.
    pub fn renew(&mut self) {
        self.wrong = 0;
        self.hosts.clear();
    }

    /// How many proofs were wrong since the beginning or the last renewal.
    pub fn wrong(&self) -> u32 {
        self.wrong
    }

    /// Who sent wrong proofs, and how many: what the sharer is shown when asked.
    pub fn hosts(&self) -> &[(IpAddr, u32)] {
        &self.hosts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Rng, Seed};
    use Verdict::{HostSpent, Right, Spent, Wrong};

    fn host(n: u8) -> IpAddr {
        IpAddr::from([192, 168, 1, n])
    }

    /// Who comes in this order, with a right or a wrong code, and what each is told.
    fn told(visits: &[(u8, bool)]) -> Vec<Verdict> {
        let mut guesses = Guesses::for_sharer();
        visits.iter().map(|&(who, right)| guesses.judge(host(who), || right)).collect()
    }

    #[test]
    fn wrong_codes_are_counted_for_the_share_and_for_each_address() {
        let (w, r) = (false, true);
        for (visits, expected) in [
            (vec![(1, r), (1, r), (1, r), (1, r), (1, r), (1, r), (1, r)], vec![Right; 7]),
            // One address is spent after three; others still come in, and mistype twice.
            (
                vec![(1, w), (1, w), (1, w), (1, w), (1, r), (2, w), (2, r), (3, w), (3, r)],
                vec![Wrong, Wrong, Wrong, HostSpent, HostSpent, Wrong, Right, Wrong, Spent],
            ),
            // Five addresses, one wrong code each: nobody else is looked at, not even with the right one.
            (
                vec![(1, w), (2, w), (3, w), (4, w), (5, w), (6, w), (6, r), (1, r)],
                vec![Wrong, Wrong, Wrong, Wrong, Wrong, Spent, Spent, Spent],
            ),
            // What was right in between gives nothing back.
            (
                vec![(1, w), (1, w), (1, r), (1, w), (1, r), (2, r)],
                vec![Wrong, Wrong, Right, Wrong, HostSpent, Right],
            ),
        ] {
            assert_eq!(told(&visits), expected, "{visits:?}");
        }
    }

    #[test]
    fn one_address_is_one_however_it_is_written() {
        let mut guesses = Guesses::for_sharer();
        let mapped = "::ffff:192.168.1.1".parse().unwrap();
        for who in [host(1), mapped, host(1)] {
            assert_eq!(guesses.judge(who, || false), Wrong);
        }
        assert_eq!((guesses.judge(mapped, || true), guesses.hosts()), (HostSpent, &[(host(1), 3)][..]));
    }

    #[test]
    fn what_may_not_be_looked_at_is_not() {
        let mut guesses = Guesses::for_sharer();
        (0..5).for_each(|n| assert_eq!(guesses.judge(host(n), || false), Wrong));
        assert_eq!(guesses.judge(host(9), || unreachable!("not looked at")), Spent);
        assert_eq!(guesses.refuses(host(9)), Some(Spent));
        guesses.renew();
        assert_eq!(
            (guesses.refuses(host(9)), guesses.judge(host(0), || true), guesses.wrong()),
            (None, Right, 0)
        );
    }

    /// A receiver that was told a code, among many who stand in for the sharer.
    #[test]
    fn a_receiver_tries_no_more_than_three_that_do_not_fit() {
        let mut guesses = Guesses::for_receiver();
        let mut tried = Vec::new();
        for n in [1, 1, 1, 1, 2, 2, 3, 4].into_iter().chain(5..=255) {
            if guesses.refuses(host(n)).is_none() {
                tried.push(n);
                guesses.note_wrong(host(n));
            }
        }
        assert_eq!((tried, guesses.hosts().len()), (vec![1, 1, 2], 2));
        guesses.forgive(host(1));
        assert_eq!((guesses.wrong(), guesses.refuses(host(1))), (2, None));
        (0..5).for_each(|_| guesses.forgive(host(9)));
        assert_eq!(guesses.wrong(), 2, "nothing is forgiven that was not counted");
        guesses.renew();
        assert_eq!(guesses, Guesses::for_receiver(), "what is renewed is as strict as before");
    }

    #[test]
    fn no_life_finds_more_than_five_wrong_between_two_renewals() {
        for seed in 0..50 {
            let mut rng = Rng::new(Seed(seed));
            let (mut guesses, mut wrong) = (Guesses::for_sharer(), 0);
            for _ in 0..2_000 {
                match rng.below(40) {
                    0 => {
                        guesses.renew();
                        wrong = 0;
                    }
                    _ => {
                        let (who, right) = (host(rng.below(6) as u8), rng.below(3) == 0);
                        let verdict = guesses.judge(who, || right);
                        wrong += u32::from(verdict == Wrong);
                        assert!(verdict != Right || right);
                    }
                }
                assert!(wrong <= WRONG_MAX && guesses.hosts().len() <= WRONG_MAX as usize, "seed {seed}");
                assert_eq!(guesses.wrong(), wrong);
            }
        }
    }
}
