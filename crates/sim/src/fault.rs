//! What goes wrong on purpose, and when.

use crate::disk::Crash;
use core::time::Duration;
use wire::PieceIndex;

/// Something that goes wrong at a set time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// A node stops without a word and comes back later, if at all, with what its disk kept.
    Crash {
        /// Which.
        node: u32,
        /// How.
        how: Crash,
        /// When it comes back.
        back_after: Option<Duration>,
    },
    /// A node leaves in order.
    Leave {
        /// Which.
        node: u32,
    },
    /// All links of a node break, and it cannot be reached for a while.
    CutOff {
        /// Which.
        node: u32,
        /// For how long.
        lasts: Duration,
    },
    /// Some nodes see each other only, and the rest do not see them, for a while.
    Split {
        /// Who is apart.
        nodes: Vec<u32>,
        /// For how long.
        lasts: Duration,
    },
    /// One link of a node breaks: the `nth` of those it has.
    BreakLink {
        /// Which.
        node: u32,
        /// Counted modulo the number of its links.
        nth: u32,
    },
    /// Each link of the world breaks with this chance.
    BreakSome {
        /// Ten-thousandths.
        of_ten_thousand: u32,
    },
    /// A disk hangs: what it is asked for meanwhile is done when that is over, and not before.
    DiskPauses {
        /// Whose.
        node: u32,
        /// For how long.
        lasts: Duration,
    },
    /// The monotonic clock of a node leaps forward, as after a sleep that it counts.
    ClockLeaps {
        /// Whose.
        node: u32,
        /// How far.
        by: Duration,
    },
    /// A disk takes no more, and then does again.
    DiskFull {
        /// Whose.
        node: u32,
        /// For how long.
        lasts: Duration,
    },
    /// Syncs fail, and then work again.
    SyncFails {
        /// Whose.
        node: u32,
        /// For how long.
        lasts: Duration,
    },
    /// Reads fail, and then work again.
    ReadFails {
        /// Whose.
        node: u32,
        /// For how long.
        lasts: Duration,
    },
    /// The folder is gone, and then is back.
    DiskVanishes {
        /// Whose.
        node: u32,
        /// For how long.
        lasts: Duration,
    },
    /// A block on a disk rots.
    BitRot {
        /// Whose.
        node: u32,
        /// Which piece.
        piece: PieceIndex,
        /// Which of its blocks.
        block: u32,
    },
    /// Somebody touches the files of a node: whatever a record says of them is in doubt from the next start.
    Touch {
        /// Whose.
        node: u32,
    },
    /// The tracker answers nobody for a while.
    TrackerDies {
        /// For how long; for ever if nothing is said.
        lasts: Option<Duration>,
    },
    /// What an earlier fault did is over.
    Heals(Healing),
}

/// The end of a fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Healing {
    /// A node can be reached again.
    Network {
        /// Which.
        node: u32,
    },
    /// A disk works again.
    Disk {
        /// Whose.
        node: u32,
    },
    /// The tracker answers again.
    Tracker,
}

/// A node crashes at a step of its durability, counted from its first start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CrashPoint {
    /// Which node.
    pub node: u32,
    /// At which of its durability steps, from 0.
    pub step: u32,
    /// Where in the step.
    pub phase: Phase,
    /// How.
    pub how: Crash,
    /// When it comes back.
    pub back_after: Duration,
}

/// Where in a step of durability.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Phase {
    /// Before the disk began.
    Asked,
    /// While the disk was at it.
    Begun,
    /// The disk was done, and the session did not hear of it.
    Done,
}
