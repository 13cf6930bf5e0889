//! When members come and go: rules for many, drawn into moments for each. No logarithm decides anything: exponential spans
//! are drawn by comparing whole numbers, so every machine draws the same.

use crate::network::micros;
use crate::node::Leaves;
use core::time::Duration;
use proto::{Instant, Rng};

/// When the members of a group come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arrivals {
    /// All at the beginning.
    AtOnce,
    /// Spread evenly by chance over so long from the beginning.
    Over(Duration),
    /// One after the other, independently, so far apart in the mean (a Poisson process).
    Poisson {
        /// From one to the next.
        gap: Duration,
    },
    /// Many at first and ever fewer, as after a release: each comes so long after the beginning in the mean.
    Decaying {
        /// From the beginning.
        mean: Duration,
    },
}

/// When the members of a group go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Departures {
    /// They stay.
    Never,
    /// As soon as they have everything.
    AtFinish,
    /// So long after they have everything, in the mean (exponential).
    AfterFinish {
        /// How long they serve.
        mean: Duration,
    },
    /// As soon as the others together have every piece.
    WhenSpread,
    /// Without a word, when each has sent so much.
    AfterCopies {
        /// Thousandths of the content.
        permille: u32,
    },
    /// When they have waited too long, or served long enough; both exponential.
    Impatient {
        /// How long they wait, in the mean.
        patience: Duration,
        /// How long they serve, in the mean.
        stays: Duration,
    },
}

impl Arrivals {
    /// The moments of so many, in order.
    pub fn draw(&self, count: u32, rng: &mut Rng) -> Vec<Instant> {
        let mut last = Instant::ZERO;
        let mut moments: Vec<Instant> = (0..count)
            .map(|_| match *self {
                Arrivals::AtOnce => Instant::ZERO,
                Arrivals::Over(span) => Instant::ZERO + scaled(span, rng.next_u64() >> 32),
                Arrivals::Poisson { gap } => {
                    last += exponential(gap, rng);
                    last
                }
                Arrivals::Decaying { mean } => Instant::ZERO + exponential(mean, rng),
            })
            .collect();
        moments.sort_unstable();
        moments
    }
}

impl Departures {
    /// What it comes to for one of them.
    pub fn draw(&self, rng: &mut Rng) -> Leaves {
        match *self {
            Departures::Never => Leaves::Never,
            Departures::AtFinish => Leaves::AfterFinish(Duration::ZERO),
            Departures::AfterFinish { mean } => Leaves::AfterFinish(exponential(mean, rng)),
            Departures::WhenSpread => Leaves::WhenSpread,
            Departures::AfterCopies { permille } => Leaves::AfterCopies { permille },
            Departures::Impatient { patience, stays } => {
                Leaves::Impatient { gives_up: exponential(patience, rng), stays: exponential(stays, rng) }
            }
        }
    }
}

/// A span drawn from the exponential distribution with this mean, by von Neumann's method: a run of falling numbers is of
/// odd length with the chance that the exponential function gives its first one.
pub fn exponential(mean: Duration, rng: &mut Rng) -> Duration {
    let mut whole = 0;
    loop {
        let first = rng.next_u64() >> 32;
        let (mut last, mut length) = (first, 1_u32);
        loop {
            let next = rng.next_u64() >> 32;
            if next >= last {
                break;
            }
            last = next;
            length += 1;
        }
        if length % 2 == 1 {
            return mean * whole + scaled(mean, first);
        }
        whole += 1;
    }
}

/// So many parts of 2^32 of a span.
fn scaled(span: Duration, parts: u64) -> Duration {
    Duration::from_micros(((u128::from(micros(span)) * u128::from(parts)) >> 32) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::Seed;

    #[test]
    fn exponential_spans_have_their_mean_their_median_and_their_tail() {
        let (mut rng, mean, count) = (Rng::new(Seed(11)), Duration::from_secs(100), 100_000);
        let mut spans: Vec<u64> = (0..count).map(|_| micros(exponential(mean, &mut rng)) / 1000).collect();
        spans.sort_unstable();
        let sum: u64 = spans.iter().sum();
        assert!((99_000..=101_000).contains(&(sum / count)), "mean {} ms", sum / count);
        // ln 2, and three times the mean is exceeded by e^-3.
        assert!((68_300..=70_300).contains(&spans[count as usize / 2]), "median {} ms", spans[50_000]);
        let beyond = spans.iter().filter(|&&span| span > 300_000).count();
        assert!((4_700..=5_260).contains(&beyond), "{beyond} of {count} beyond three means");
    }

    #[test]
    fn arrivals_come_in_order_and_as_often_as_was_said() {
        let mut rng = Rng::new(Seed(3));
        let gap = Duration::from_secs(2);
        for arrivals in [
            Arrivals::AtOnce,
            Arrivals::Over(gap * 1000),
            Arrivals::Poisson { gap },
            Arrivals::Decaying { mean: gap * 100 },
        ] {
            let moments = arrivals.draw(1000, &mut rng);
            assert!(moments.is_sorted());
            let last = moments[999].as_micros() / 1_000_000;
            let expected = match arrivals {
                Arrivals::AtOnce => 0..=0,
                Arrivals::Over(_) => 1_980..=2_000,
                Arrivals::Poisson { .. } => 1_800..=2_200,
                // The last of a thousand: 200 s times the thousandth harmonic number, give or take.
                Arrivals::Decaying { .. } => 900..=3_000,
            };
            assert!(expected.contains(&last), "{arrivals:?}: the last after {last} s");
        }
    }
}
