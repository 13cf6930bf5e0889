//! Hands for work that falls into independent parts. There are no threads here: who has some brings them.

/// One part of the work.
pub type Job<'a> = Box<dyn FnOnce() + Send + 'a>;

/// Hands. What they do must not depend on how many they are, nor on who does what.
pub trait Crew {
    /// Does all jobs, in any order, and returns when all are done.
    fn run(&self, jobs: Vec<Job<'_>>);
}

/// One pair of hands: one job after the other.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Crew for Alone {
    fn run(&self, jobs: Vec<Job<'_>>) {
        jobs.into_iter().for_each(|job| job());
    }
}
