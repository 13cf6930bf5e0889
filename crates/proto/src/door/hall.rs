//! Who stands in the door: incoming links whose handshake is under way, by address block and by how far they are.
//!
//! Invariants: each stands at one stage; where somebody makes room whenever [`Hall::in_the_way`] says so, at most
//! [`PENDING_MAX`] stand here, and at most [`PENDING_PER_BLOCK_MAX`] of one block. Threats: C4

use super::{PENDING_MAX, PENDING_PER_BLOCK_MAX, PendingId};
use crate::Instant;
use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet};

/// How far an incoming handshake is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// It has not told what it speaks.
    Silent,
    /// It speaks plaintext, and has not said all.
    Plaintext,
    /// It sent a key and waits for ours.
    Waiting,
    /// It has our key and has not made use of it yet.
    Exchanged,
}

/// One who stands here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    pub(super) block: Option<IpAddr>,
    pub(super) since: Instant,
    pub(super) deadline: Instant,
    stage: Stage,
    /// When it came to this stage.
    advanced: Instant,
}

/// Everybody who stands here.
#[derive(Clone, Debug, Default)]
pub(super) struct Hall {
    pending: BTreeMap<PendingId, Pending>,
    /// By stage, who has been at it longest first.
    stages: [BTreeSet<(Instant, PendingId)>; 4],
    /// By public address block, the oldest first.
    blocks: BTreeMap<IpAddr, BTreeSet<(Instant, PendingId)>>,
}

impl Pending {
    /// A newcomer.
    pub(super) fn new(block: Option<IpAddr>, since: Instant, deadline: Instant) -> Pending {
        Pending { block, since, deadline, stage: Stage::Silent, advanced: since }
    }
}

impl Hall {
    /// How many stand here.
    pub(super) fn len(&self) -> usize {
        self.pending.len()
    }

    /// Whether this one does.
    pub(super) fn has(&self, id: PendingId) -> bool {
        self.pending.contains_key(&id)
    }

    /// Who must give way before a newcomer of this block finds room, if anybody: the oldest of a block that is crowded, else
    /// the one who has been longest at the stage where most are. So whoever stalls, wherever that is, displaces others that
    /// stall there, and those who go on have time to.
    pub(super) fn in_the_way(&self, block: Option<IpAddr>) -> Option<PendingId> {
        let neighbours = block.and_then(|block| self.blocks.get(&block));
        let crowded = neighbours.filter(|block| block.len() >= usize::from(PENDING_PER_BLOCK_MAX));
        let crowd = match crowded {
            Some(block) => Some(block),
            None if self.len() < PENDING_MAX => None,
            // Of stages that are equally full the first: who is at a later one has done more.
            None => self.stages.iter().rev().max_by_key(|stage| stage.len()),
        };
        crowd?.first().map(|(_, id)| *id)
    }

    /// Somebody comes in.
    pub(super) fn enter(&mut self, id: PendingId, pending: Pending) {
        self.stages[pending.stage as usize].insert((pending.advanced, id));
        if let Some(block) = pending.block {
            self.blocks.entry(block).or_default().insert((pending.since, id));
        }
        self.pending.insert(id, pending);
    }

    /// Gives one more time; when it would have ended before.
    pub(super) fn extend(
        &mut self,
        id: PendingId,
        deadline: impl Fn(Instant) -> Instant,
    ) -> Option<[Instant; 2]> {
        let pending = self.pending.get_mut(&id)?;
        let before = pending.deadline;
        pending.deadline = deadline(pending.since);
        Some([before, pending.deadline])
    }

    /// Whether one who stands here has told what it speaks.
    pub(super) fn has_greeted(&self, id: PendingId) -> Option<bool> {
        self.pending.get(&id).map(|pending| pending.stage != Stage::Silent)
    }

    /// One has come to this stage.
    pub(super) fn advance(&mut self, id: PendingId, stage: Stage, now: Instant) {
        let Some(pending) = self.pending.get_mut(&id) else { return };
        self.stages[pending.stage as usize].remove(&(pending.advanced, id));
        (pending.stage, pending.advanced) = (stage, now);
        self.stages[stage as usize].insert((now, id));
    }

    /// One does not stand here any more.
    pub(super) fn leave(&mut self, id: PendingId) -> Option<Pending> {
        let pending = self.pending.remove(&id)?;
        self.stages[pending.stage as usize].remove(&(pending.advanced, id));
        if let Some(block) = pending.block
            && let Some(neighbours) = self.blocks.get_mut(&block)
        {
            neighbours.remove(&(pending.since, id));
            if neighbours.is_empty() {
                self.blocks.remove(&block);
            }
        }
        Some(pending)
    }

    /// Whether nobody stands here, nor is remembered anywhere.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.blocks.is_empty() && self.stages.iter().all(BTreeSet::is_empty)
    }
}
