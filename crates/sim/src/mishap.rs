//! How faults come about in a world, and how they end.

use crate::disk::DiskFaults;
use crate::fault::{Fault, Healing};
use crate::happening::{Happening, NOBODY};
use crate::network::{ConnId, Side};
use crate::node::Node;
use crate::world::{World, torrent_id};
use core::time::Duration;
use proto::input::LinkEnd;
use proto::{Command, DiskErrorKind, Event, Input};
use wire::Bitfield;

/// How long a goodbye may take.
const GOODBYE_MAX: Duration = Duration::from_secs(10);

impl World {
    /// What a disk found wrong with what it was asked.
    pub(crate) fn collect_complaints(&mut self, index: u32) {
        for text in self.nodes[index as usize].disk.complaints.drain(..) {
            self.checkers.report(self.now, index, "disk", text);
        }
    }

    /// Something goes wrong, now.
    pub(crate) fn befall(&mut self, fault: Fault) {
        match fault {
            Fault::Crash { node, how, back_after } => self.crash(node, how, back_after),
            Fault::Leave { node } => self.leave(node),
            Fault::CutOff { node, lasts } => {
                self.move_to(node, node + 1);
                self.heal_after(lasts, Healing::Network { node });
            }
            Fault::Split { nodes, lasts } => {
                for node in nodes {
                    self.move_to(node, u32::MAX);
                    self.heal_after(lasts, Healing::Network { node });
                }
            }
            Fault::BreakLink { node, nth } => {
                let conns = self.network.conns_of(node);
                if !conns.is_empty() {
                    let (conn, side) = conns[nth as usize % conns.len()];
                    self.break_both(conn, side);
                }
            }
            Fault::BreakSome { of_ten_thousand } => {
                for (conn, side) in self.network.conns() {
                    if self.network.chance(10_000) < of_ten_thousand {
                        self.break_both(conn, side);
                    }
                }
            }
            Fault::DiskPauses { node, lasts } => {
                let (now, until) = (self.now, self.now + lasts);
                self.node_mut(node).disk.pause(now, until);
            }
            Fault::ClockLeaps { node, by } => {
                self.node_mut(node).ills.ahead += by;
                self.look_at_the_clock(node);
            }
            Fault::DiskFull { node, lasts } => {
                self.ail(node, lasts, |faults| faults.full = true);
            }
            Fault::SyncFails { node, lasts } => self.ail(node, lasts, |faults| faults.sync_fails = true),
            Fault::ReadFails { node, lasts } => self.ail(node, lasts, |faults| faults.read_fails = true),
            Fault::DiskVanishes { node, lasts } => self.ail(node, lasts, |faults| faults.vanished = true),
            Fault::BitRot { node, piece, block } => {
                let disk = &mut self.node_mut(node).disk;
                disk.store_mut(torrent_id(0)).rot(piece, block);
                self.node_mut(node).ills.rotten = true;
            }
            Fault::Touch { node } => {
                self.node_mut(node).disk.store_mut(torrent_id(0)).touch();
            }
            Fault::TrackerDies { lasts } => {
                self.tracker.alive = false;
                if let Some(lasts) = lasts {
                    self.heal_after(lasts, Healing::Tracker);
                }
            }
            Fault::Heals(Healing::Network { node }) => self.move_to(node, 0),
            Fault::Heals(Healing::Disk { node }) => {
                self.node_mut(node).disk.faults = DiskFaults::default();
                self.ask_to_resume(node);
            }
            Fault::Heals(Healing::Tracker) => self.tracker.alive = true,
        }
    }

    /// The user of a node whose disk works again resumes what only a user can resume.
    fn ask_to_resume(&mut self, node: u32) {
        let failure =
            self.nodes[node as usize].story.events.iter().rev().find_map(|(_, event)| match event {
                Event::StorageFailed(torrent, error) => Some((*torrent, error.kind)),
                _ => None,
            });
        let Some((torrent, kind)) = failure else { return };
        if matches!(kind, DiskErrorKind::Io | DiskErrorKind::Denied | DiskErrorKind::Unsupported) {
            self.feed(node, Input::Command(Command::Resume(torrent)));
        }
    }

    /// A node is on another island now: its links to those who are not there break.
    fn move_to(&mut self, node: u32, island: u32) {
        self.node_mut(node).ills.island = island;
        for (conn, side) in self.network.conns_of(node) {
            let far = self.network.node_at(conn, side.other());
            if far.is_some_and(|far| self.nodes[far as usize].ills.island != island) {
                self.break_both(conn, side);
            }
        }
    }

    /// A node says goodbye, and is gone when it has nothing left to save or takes too long.
    pub(crate) fn leave(&mut self, node: u32) {
        if !self.nodes[node as usize].is_up() {
            return;
        }
        self.node_mut(node).ills.leaving = true;
        let incarnation = self.nodes[node as usize].incarnation;
        self.queue.push(self.now + GOODBYE_MAX, node, Happening::Exit { incarnation });
        self.feed(node, Input::Command(Command::Shutdown));
    }

    fn ail(&mut self, node: u32, lasts: Duration, ailment: impl FnOnce(&mut DiskFaults)) {
        ailment(&mut self.node_mut(node).disk.faults);
        self.node_mut(node).ills.ailed = true;
        self.heal_after(lasts, Healing::Disk { node });
    }

    /// Whether all other nodes together have every piece.
    pub(crate) fn is_spread_without(&self, index: u32) -> bool {
        let pieces = self.contents[0].metainfo().layout.pieces();
        let mut union = Bitfield::new(pieces);
        for node in self.nodes.iter().filter(|node| node.index != index) {
            let have = node.session().and_then(|session| session.have(torrent_id(0)));
            have.into_iter().flat_map(Bitfield::iter).for_each(|piece| {
                union.insert(piece);
            });
        }
        union.is_full()
    }

    /// Whether a node is there for so long, and does not have everything.
    pub(crate) fn has_waited(&self, index: u32, gives_up: Duration) -> bool {
        let node = &self.nodes[index as usize];
        let waits = node.is_up() && !node.ills.leaving && node.story.finished.is_none();
        waits && self.now >= node.spec.joins + gives_up
    }

    /// Whether a node has sent so many thousandths of the content.
    pub(crate) fn has_sent(&self, index: u32, permille: u32) -> bool {
        let rows = self.network.sent.range((index, 0)..=(index, u32::MAX));
        let total = self.contents[0].metainfo().layout.total();
        rows.map(|(_, bytes)| bytes * 1000).sum::<u64>() >= total * u64::from(permille)
    }

    fn heal_after(&mut self, lasts: Duration, healing: Healing) {
        self.fault_at(self.now + lasts, Fault::Heals(healing));
    }

    fn break_both(&mut self, conn: ConnId, side: Side) {
        for side in [side, side.other()] {
            if let Some((node, _)) = self.network.end(conn, side) {
                let why = LinkEnd::Broken;
                self.queue.push(self.now, node, Happening::Down { conn, side, why });
            }
        }
    }

    fn node_mut(&mut self, node: u32) -> &mut Node {
        debug_assert_ne!(node, NOBODY);
        &mut self.nodes[node as usize]
    }
}
