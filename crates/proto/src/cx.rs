//! The only door to an effect: what a machine is handed to act with. A function without a `Cx` touches nothing but its own state.

use crate::pool::Pool;
use crate::timers::Timers;
use crate::{Config, Event, Instant, Outbox, Output, Rng};

/// Time, chance, settings, and where wishes go, for the length of one call.
#[derive(Debug)]
pub struct Cx<'a> {
    /// The time.
    pub now: Instant,
    /// Chance; the torrent's own, so that one torrent's draws do not shift another's.
    pub rng: &'a mut Rng,
    /// Settings.
    pub config: &'a Config,
    /// When to be woken.
    pub timers: &'a mut Timers,
    /// What all torrents of the session draw from: rates, send credit, memory.
    pub pool: &'a mut Pool,
    /// Where wishes go.
    pub out: &'a mut Outbox,
}

impl Cx<'_> {
    /// Wishes for something.
    pub fn push(&mut self, output: Output) {
        self.out.push(output);
    }

    /// Tells the user.
    pub fn tell(&mut self, event: Event) {
        self.out.push(Output::Event(event));
    }
}
