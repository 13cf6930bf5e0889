//! What a world is made of, besides its nodes. Values only.

use crate::sharing::Sharing;
use core::time::Duration;
use proto::tracker::swarm_table::WANT_MAX;

/// What a world is made of, besides its nodes.
#[derive(Clone, Debug)]
pub struct Settings {
    /// All chance comes from here.
    pub seed: u64,
    /// How often capacity is shared anew.
    pub quantum: Duration,
    /// How.
    pub sharing: Sharing,
    /// Every message goes through the codec as bytes.
    pub byte_true: bool,
    /// Inputs and outputs are digested, to compare runs.
    pub traced: bool,
    /// Outputs are digested as bytes, interesting states counted, and sessions asked to recount themselves.
    pub watched: bool,
    /// How many peers the tracker names in one answer at most.
    pub named_max: u32,
}

impl Settings {
    /// The usual ones.
    pub fn new(seed: u64) -> Settings {
        Settings {
            seed,
            quantum: Duration::from_millis(5),
            sharing: Sharing::MaxMin,
            byte_true: false,
            traced: false,
            watched: false,
            named_max: WANT_MAX,
        }
    }
}
