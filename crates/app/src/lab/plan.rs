//! What an experiment will take, before it is run. It is asked with a bench that counts runs and answers each with what a server would
//! come to, which costs next to nothing.

use sim::ClientServer;
use sim::lab::{Ask, Experiment, Run};
use sim::swarm::Unfit;
use std::time::Duration;

/// Steps of work that one thread does in a second. Seven experiments with one seed took 0.6 to 1.7 times what this says, in processor
/// time of a development build; release builds are faster, busy machines slower.
const STEPS_A_SECOND: u64 = 1_400_000;

/// How much is to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Plan {
    /// Worlds.
    pub(super) runs: usize,
    /// Steps of all.
    steps: u64,
    /// Steps of the greatest: no thread helps another with it.
    greatest: u64,
}

impl Plan {
    /// What an experiment takes; or why a world of it cannot be run.
    pub(super) fn of(experiment: &Experiment, ask: &Ask) -> Result<Plan, Unfit> {
        let (mut plan, mut unfit) = (Plan { runs: 0, steps: 0, greatest: 0 }, None);
        // Worlds of other seeds cost the same.
        let once = Ask { seeds: 1, ..*ask };
        (experiment.run)(&once, &mut |runs| {
            for run in &runs {
                unfit = unfit.or(run.swarm.check().err());
                plan.runs += ask.seeds as usize;
                plan.steps = plan.steps.saturating_add(run.steps().saturating_mul(ask.seeds.into()));
                plan.greatest = plan.greatest.max(run.steps());
            }
            runs.iter().map(|run| ClientServer::run(&run.swarm)).collect()
        });
        unfit.map_or(Ok(plan), Err)
    }

    /// How long that takes so many threads, about.
    pub(super) fn takes(&self, threads: usize) -> Duration {
        let shared = self.steps / threads.max(1) as u64;
        Duration::from_micros(shared.max(self.greatest).saturating_mul(1_000_000) / STEPS_A_SECOND)
    }

    /// How much one run is of all, in steps.
    pub(super) fn weight(run: &Run) -> u64 {
        run.steps().max(1)
    }

    /// Steps of all runs.
    pub(super) fn steps(&self) -> u64 {
        self.steps.max(1)
    }
}
