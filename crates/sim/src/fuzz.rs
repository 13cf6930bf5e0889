//! Worlds of chance as the hardest test: a [`Plan`] is drawn from a seed, run under all checkers to a [`Verdict`], and shrunk
//! while it still fails in the same way.
//!
//! A plan is data: it is printed as text, read back, and gives the same run wherever it is run. No clock, no thread, no file:
//! who wants many worlds calls [`run`] for each seed. [`Sights`] say which interesting states the worlds came through, for a
//! checker that was never put to the test has found nothing.
//!
//! Reading order: `plan`, `draw`, `verdict`, `shrink`, `text`, `sights`.

pub mod draw;
pub mod plan;
pub mod shrink;
pub mod sights;
pub mod text;
pub mod verdict;

pub use draw::draw;
pub use plan::{Limits, Part, PeerPlan, Plan, Rules, Ways};
pub use shrink::shrink;
pub use sights::{Sight, Sights};
pub use verdict::{Run, Verdict, run};
