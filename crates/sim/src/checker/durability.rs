//! Law: a commit speaks only of what is on the medium; what was committed is never fetched or checked again; a crash costs
//! at most the blocks of the last 5 s.

use super::{Checker, Scene, row};
use crate::world::torrent_id;
use core::time::Duration;
use proto::input::Found;
use proto::resume::OpenRecord;
use proto::{BlockSet, Input, Instant, Output};
use std::collections::{BTreeMap, BTreeSet};
use wire::{Bitfield, Block, Message, PieceIndex};

/// The promise: a crash costs at most so much. Issue 2 and design section 4.
const LOSS_MAX: Duration = Duration::from_secs(5);

/// What crashes cost, the worst of all.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Losses {
    /// Ends of processes.
    pub crashes: u32,
    /// Blocks that were kept and not found again, in the worst crash.
    pub blocks: u32,
    /// Age of the oldest of them, in the worst crash.
    pub age: Duration,
    /// Blocks that a run fetched although an earlier one had committed them and their piece was not found bad.
    pub refetched: u32,
}

#[derive(Default)]
pub(super) struct Durability {
    rows: Vec<Row>,
    losses: Losses,
}

#[derive(Default)]
struct Row {
    /// Blocks kept and not yet committed, oldest first, and where each stands there.
    pending: BTreeSet<(Instant, PieceIndex, u32)>,
    since: BTreeMap<(PieceIndex, u32), Instant>,
    /// Blocks of open pieces that the last record promised.
    promised: BTreeSet<(PieceIndex, u32)>,
    /// Those that the record under way will promise.
    promising: BTreeSet<(PieceIndex, u32)>,
    /// What this run began with.
    have: Option<Bitfield>,
    open: BTreeMap<PieceIndex, BlockSet>,
    as_recorded: bool,
    told: bool,
}

impl Durability {
    pub(super) fn losses(&self) -> Losses {
        self.losses
    }
}

impl Checker for Durability {
    fn name(&self) -> &'static str {
        "durability"
    }

    fn started(&mut self, scene: Scene<'_>) {
        let record = scene.node().disk.store(torrent_id(0)).record();
        let open = record.iter().flat_map(|record| &record.open);
        *row(&mut self.rows, scene.index) = Row {
            have: record.map(|record| record.have.clone()),
            promised: open.clone().flat_map(blocks_of).collect(),
            open: open.map(|open| (open.piece, open.blocks.clone())).collect(),
            ..Row::default()
        };
    }

    fn input(&mut self, scene: Scene<'_>, input: &Input<'_>, report: &mut dyn FnMut(String)) {
        let row = row(&mut self.rows, scene.index);
        match input {
            Input::Opened { found, .. } => row.as_recorded = *found == Found::AsRecorded,
            Input::Committed { .. } => {
                row.settle(scene);
                row.check_promises(scene, report);
            }
            Input::Verified { piece, good: false, .. } => row.forget(*piece),
            // What a failed sync covered is in doubt, and begins anew.
            Input::SyncFailed { .. } => {
                row.promised.clear();
                row.promising.clear();
            }
            _ => {}
        }
    }

    fn output(&mut self, scene: Scene<'_>, output: &Output, report: &mut dyn FnMut(String)) {
        let row = row(&mut self.rows, scene.index);
        let store = scene.node().disk.store(torrent_id(0));
        match output {
            Output::Keep { block, .. } => row.keep(scene.now, store.content().metainfo(), *block),
            Output::Discard { piece, .. } => row.forget(*piece),
            Output::Commit { record, .. } => {
                let missing = record.have.iter().find(|&piece| !store.is_durable(piece));
                if let Some(piece) = missing.filter(|_| !scene.node().ills.rotten) {
                    report(format!("commits {piece:?}, which is not on the medium"));
                }
                row.promising = record.open.iter().flat_map(blocks_of).collect();
                for open in &record.open {
                    let durable = store.durable_parts(open.piece);
                    if let Some(block) = open.blocks.iter().find(|&block| !durable.has(block)) {
                        report(format!(
                            "commits block {block} of {:?}, which is not on the medium",
                            open.piece
                        ));
                    }
                }
            }
            Output::Check { pieces, .. } => {
                let committed = row.have.as_ref().filter(|_| row.as_recorded);
                let again = committed.and_then(|have| pieces.iter().find(|&piece| have.has(piece)));
                again.into_iter().for_each(|piece| report(format!("checks {piece:?}, which is committed")));
            }
            Output::Send { message: Message::Request(request), .. } => {
                let piece = PieceIndex(request.piece);
                let block = request.offset / store.content().metainfo().layout.block_len();
                let committed = row.have.as_ref().is_some_and(|have| have.has(piece))
                    || row.open.get(&piece).is_some_and(|blocks| blocks.has(block));
                if committed && row.as_recorded && !scene.node().ills.rotten && !scene.node().ills.ailed {
                    self.losses.refetched += 1;
                    report(format!("asks for {request:?}, which is committed"));
                }
            }
            _ => {}
        }
    }

    fn stopped(&mut self, scene: Scene<'_>, report: &mut dyn FnMut(String)) {
        let row = row(&mut self.rows, scene.index);
        row.settle(scene);
        let age = row.age(scene.now);
        self.losses.crashes += 1;
        self.losses.blocks = self.losses.blocks.max(row.pending.len() as u32);
        self.losses.age = self.losses.age.max(age);
        if age > row.allowance(scene) && !scene.node().ills.ailed {
            report(format!("a crash costs a block that is {age:?} old"));
        }
    }

    fn inspect(&mut self, scene: Scene<'_>, report: &mut dyn FnMut(String)) {
        let row = row(&mut self.rows, scene.index);
        let age = row.age(scene.now);
        let bad = age > row.allowance(scene) && scene.node().session().is_some() && !scene.node().ills.ailed;
        if bad && !row.told {
            let oldest = row.pending.first();
            report(format!("a crash now would cost a block that is {age:?} old: {oldest:?}"));
        }
        row.told = bad;
    }
}

impl Row {
    /// How old a block may be that is not safe: longer by as long as the disk hung, for nothing can be saved on a disk that hangs.
    fn allowance(&self, scene: Scene<'_>) -> Duration {
        let since = self.pending.first().map_or(scene.now, |block| block.0);
        LOSS_MAX + scene.node().disk.hung_since(since, scene.now)
    }

    fn keep(&mut self, now: Instant, metainfo: &wire::Metainfo, block: Block) {
        let place = (block.piece, metainfo.layout.block_index(block));
        if let Some(earlier) = self.since.insert(place, now) {
            self.pending.remove(&(earlier, place.0, place.1));
        }
        self.pending.insert((now, place.0, place.1));
    }

    /// A record may promise more than the one before, not less, unless a piece began anew.
    fn check_promises(&mut self, scene: Scene<'_>, report: &mut dyn FnMut(String)) {
        let Some(record) = scene.node().disk.store(torrent_id(0)).record() else { return };
        let promised = core::mem::take(&mut self.promising);
        let broken = self.promised.iter().find(|&row| !promised.contains(row) && !record.have.has(row.0));
        if let Some((piece, block)) = broken {
            report(format!("the new record takes back block {block} of {piece:?}"));
        }
        self.promised = promised;
    }

    /// Strikes out what the durable record covers.
    fn settle(&mut self, scene: Scene<'_>) {
        let Some(record) = scene.node().disk.store(torrent_id(0)).record() else { return };
        let covered = |piece: PieceIndex, block: u32| {
            record.have.has(piece)
                || record.open.iter().any(|open| open.piece == piece && open.blocks.has(block))
        };
        self.pending.retain(|&(_, piece, block)| !covered(piece, block));
        self.since.retain(|&(piece, block), _| !covered(piece, block));
    }

    /// A piece begins anew: its blocks are no loss any more.
    fn forget(&mut self, piece: PieceIndex) {
        self.pending.retain(|&(_, other, _)| other != piece);
        self.since.retain(|&(other, _), _| other != piece);
        self.promised.retain(|&(other, _)| other != piece);
        self.promising.retain(|&(other, _)| other != piece);
        self.open.remove(&piece);
        if let Some(have) = &mut self.have {
            have.remove(piece);
        }
    }

    fn age(&self, now: Instant) -> Duration {
        self.pending.first().map_or(Duration::ZERO, |&(kept, ..)| now.since(kept))
    }
}

fn blocks_of(open: &OpenRecord) -> impl Iterator<Item = (PieceIndex, u32)> + '_ {
    open.blocks.iter().map(|block| (open.piece, block))
}
