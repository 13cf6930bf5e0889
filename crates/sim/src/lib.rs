//! The simulated world: virtual time, modelled links, disks and faults around the very `proto` that ships.
//!
//! [`World`] runs real sessions: it delivers events in order of time and performs every output in a model. [`Scenario`] says
//! in a sentence what a world is to be put through, and judges it. Checkers hold the laws of the protocol and of the seam
//! against everything that is said. No OS, no thread; the same seed gives the same run.
//!
//! Reading order: `world`, `driver`, `network`, `disk`, `checker`.
#![forbid(unsafe_code)]

mod attack;
pub mod baseline;
pub mod catalogue;
mod checker;
pub mod content;
pub mod crew;
pub mod dht;
pub mod disk;
mod driver;
pub mod fault;
pub mod figures;
mod finder;
pub mod fleet;
pub mod fuzz;
mod happening;
pub mod hostile;
pub mod lab;
pub mod magnets;
mod metadata;
mod mishap;
pub mod network;
pub mod node;
pub mod queue;
pub mod recorded;
pub mod scenario;
mod sharing;
mod store;
pub mod swarm;
pub mod trace;
pub mod tracker;
pub mod weather;
pub mod web;
pub mod world;

pub use baseline::ClientServer;
pub use checker::{Finding, Losses};
pub use content::Content;
pub use crew::{Alone, Crew};
pub use dht::DhtWorld;
pub use disk::{Crash, DiskModel};
pub use fault::{CrashPoint, Fault, Phase};
pub use figures::{Figures, PeerRow, Sample};
pub use fleet::Fleet;
pub use network::Access;
pub use node::{Heard, Holds, Leaves, Nature, Node, NodeSpec};
pub use scenario::{Outcome, Scenario};
pub use sharing::Sharing;
pub use store::Store;
pub use swarm::{Attackers, Group, PickOrder, Role, Shape, Swarm};
pub use web::{Manners, WebServer};
pub use world::{Settings, World};
