//! Access links by class, and how kinds are dealt out among many.
//!
//! The figures of the classes are ours, chosen before any experiment ran on them: round numbers of common European tariffs, and latencies
//! to the core as such links have them. They are printed by every experiment that uses them.

use crate::network::Access;
use core::time::Duration;
use proto::Rng;

/// A class of access links.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// 16 Mbit/s down, 1 up.
    Dsl,
    /// 50 Mbit/s down, 10 up.
    DslFast,
    /// 100 Mbit/s down, 20 up.
    Cable,
    /// 25 Mbit/s down, 5 up.
    CableOld,
    /// 300 Mbit/s both ways.
    Fibre,
    /// 1 Gbit/s both ways.
    Datacentre,
    /// 30 Mbit/s down, 8 up.
    Mobile,
}

impl Class {
    /// All of them.
    pub const ALL: [Class; 7] = [
        Class::Dsl,
        Class::DslFast,
        Class::Cable,
        Class::CableOld,
        Class::Fibre,
        Class::Datacentre,
        Class::Mobile,
    ];

    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Class::Dsl => "dsl",
            Class::DslFast => "dsl-fast",
            Class::Cable => "cable",
            Class::CableOld => "cable-old",
            Class::Fibre => "fibre",
            Class::Datacentre => "datacentre",
            Class::Mobile => "mobile",
        }
    }

    /// A link of this class.
    pub const fn access(self) -> Access {
        let (down, up, latency) = match self {
            Class::Dsl => (16, 1, 15),
            Class::DslFast => (50, 10, 15),
            Class::Cable => (100, 20, 10),
            Class::CableOld => (25, 5, 12),
            Class::Fibre => (300, 300, 3),
            Class::Datacentre => (1000, 1000, 1),
            Class::Mobile => (30, 8, 35),
        };
        Access::new(up * 125_000, down * 125_000).latency(Duration::from_millis(latency))
    }
}

/// Kinds of something, and in what proportion they occur.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mix<T>(Vec<(T, u32)>);

impl<T: Copy> Mix<T> {
    /// All alike.
    pub fn only(kind: T) -> Mix<T> {
        Mix(vec![(kind, 1)])
    }

    /// These kinds with these weights.
    pub fn of(weighted: &[(T, u32)]) -> Mix<T> {
        Mix(weighted.to_vec())
    }

    /// The kinds that occur.
    pub fn kinds(&self) -> impl Iterator<Item = T> + '_ {
        self.0.iter().filter(|(_, weight)| *weight > 0).map(|&(kind, _)| kind)
    }

    /// One for each of so many, from a shuffled deck: the proportions are as exact as they can be for so many (largest
    /// remainders), so that two seeds differ in who has what and not in how much there is. Empty if no kind has a weight.
    pub fn deal(&self, count: u32, rng: &mut Rng) -> Vec<T> {
        let weights: u64 = self.0.iter().map(|&(_, weight)| u64::from(weight)).sum();
        if weights == 0 {
            return Vec::new();
        }
        let part = |weight: u32| u64::from(count) * u64::from(weight);
        let mut shares: Vec<(usize, u64, u64)> = (0..)
            .zip(&self.0)
            .map(|(place, &(_, weight))| (place, part(weight) / weights, part(weight) % weights))
            .collect();
        let dealt: u64 = shares.iter().map(|&(_, whole, _)| whole).sum();
        shares.sort_by_key(|&(place, _, rest)| (core::cmp::Reverse(rest), place));
        for share in shares.iter_mut().take((u64::from(count) - dealt) as usize) {
            share.1 += 1;
        }
        shares.sort_by_key(|&(place, ..)| place);
        let kinds = shares.iter().zip(&self.0);
        let mut deck: Vec<T> =
            kinds.flat_map(|(&(_, number, _), &(kind, _))| (0..number).map(move |_| kind)).collect();
        rng.shuffle(&mut deck);
        deck
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::Seed;

    #[test]
    fn a_deck_has_the_proportions_of_its_mix_and_another_order_for_another_seed() {
        let mix = Mix::of(&[('a', 3), ('b', 2), ('c', 0), ('d', 2)]);
        for count in 0..100 {
            let deal = |seed| mix.deal(count, &mut Rng::new(Seed(seed)));
            let deck = deal(1);
            assert_eq!(deck.len(), count as usize);
            for (kind, weight) in [('a', 3), ('b', 2), ('c', 0), ('d', 2)] {
                let there = deck.iter().filter(|&&card| card == kind).count() as i64;
                assert!((there * 7 - i64::from(count) * weight).abs() <= 7, "{there} {kind} of {count}");
            }
            let sorted = |mut deck: Vec<char>| {
                deck.sort_unstable();
                deck
            };
            assert_eq!(sorted(deck.clone()), sorted(deal(2)));
            assert!(count < 20 || deck != deal(2));
        }
        assert!(Mix::<char>::of(&[]).deal(5, &mut Rng::new(Seed(1))).is_empty());
    }

    #[test]
    fn no_class_is_faster_up_than_down() {
        for class in Class::ALL {
            let access = class.access();
            assert!(access.up <= access.down && access.up >= 125_000, "{}", class.name());
        }
    }
}
