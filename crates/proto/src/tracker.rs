//! The tracker's side of announcing: who takes part in which swarm. Its sockets, its address checks and its rate limits are
//! elsewhere. BEP: 3, 21, 48

pub mod ledger;
pub mod signalling;
pub mod swarm_table;

pub use ledger::Ledger;
pub use signalling::Signalling;
pub use swarm_table::SwarmTable;
