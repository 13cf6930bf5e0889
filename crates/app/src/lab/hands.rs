//! Threads for the work of one large run. What a run comes to does not depend on how many they are.

use sim::crew::{Crew, Job};

/// With fewer members than this, handing work out takes longer than doing it.
const WORTH_SHARING: u64 = 500;

/// As many threads as said.
pub(super) struct Hands(usize);

impl Hands {
    /// So many threads, or one where there is little to share out.
    pub(super) fn new(threads: usize, members: u64) -> Hands {
        Hands(if members < WORTH_SHARING { 1 } else { threads.max(1) })
    }

    /// How many parts a run is best cut into.
    pub(super) fn shards(&self) -> usize {
        self.0
    }
}

impl Crew for Hands {
    fn run(&self, jobs: Vec<Job<'_>>) {
        if self.0 == 1 || jobs.len() < 2 {
            return jobs.into_iter().for_each(|job| job());
        }
        let mut piles: Vec<Vec<Job<'_>>> = (0..self.0).map(|_| Vec::new()).collect();
        jobs.into_iter().enumerate().for_each(|(place, job)| piles[place % self.0].push(job));
        std::thread::scope(|scope| {
            // The last pile is this thread's own.
            let own = piles.pop();
            for pile in piles {
                scope.spawn(|| pile.into_iter().for_each(|job| job()));
            }
            own.into_iter().flatten().for_each(|job| job());
        });
    }
}
