//! What the user wants of a torrent: which files and how eagerly, and when seeding has been enough.

use super::Torrent;
use crate::command::{Priority, SeedGoal};
use crate::cx::Cx;
use crate::output::CloseReason;
use crate::pieces::PiecePicker;
use crate::timers::TorrentTimer;
use crate::{Duration, Event, Instant, Output};
use wire::{Bitfield, Layout, PieceIndex};

/// The ratio is compared this often while seeding: nobody minds a few seconds of giving more.
const SEED_GOAL_INTERVAL: Duration = Duration::from_secs(5);

/// The user's goals, and how far they are reached.
#[derive(Debug)]
pub struct Goals {
    /// Per piece; absent while all are `Normal`.
    priorities: Option<Box<[Priority]>>,
    seed_goal: SeedGoal,
    /// Since when everything wanted is here, later by as long as the torrent stood still since.
    pub finished: Option<Instant>,
    /// Since when the torrent stands still; [`Instant::FAR`] while it does not.
    halted: Instant,
    /// Everything wanted is on stable storage, and the user knows.
    pub durable_told: bool,
}

impl Goals {
    /// These goals.
    pub fn new(layout: &Layout, files: &[Priority], seed_goal: SeedGoal) -> Goals {
        Goals {
            priorities: of_pieces(layout, files),
            seed_goal,
            finished: None,
            halted: Instant::FAR,
            durable_told: false,
        }
    }

    /// Which files are wanted, of a content that is known only now.
    pub fn set_files(&mut self, layout: &Layout, files: &[Priority]) {
        self.priorities = of_pieces(layout, files);
    }

    /// Tells the picker how eagerly each piece is wanted.
    pub fn apply(&self, layout: &Layout, picker: &mut PiecePicker) {
        debug_assert!(self.priorities.as_ref().is_none_or(|all| all.len() == layout.pieces() as usize));
        picker.set_priorities(|piece| self.of(piece));
    }

    /// How eagerly a piece is wanted.
    pub fn of(&self, piece: PieceIndex) -> Priority {
        self.priorities.as_ref().and_then(|all| all.get(piece.as_usize()).copied()).unwrap_or_default()
    }

    /// Traffic ends: nothing is seeded until [`Goals::go_on`].
    pub fn halt(&mut self, now: Instant) {
        self.halted = now;
    }

    /// Traffic begins, perhaps again.
    pub fn go_on(&mut self, now: Instant) {
        let halted = core::mem::replace(&mut self.halted, Instant::FAR);
        self.finished = self.finished.map(|since| since + now.since(halted.max(since)));
    }

    /// How long all that is wanted was here and could be had from us.
    pub fn seeding_for(&self, now: Instant) -> Duration {
        self.finished.map_or(Duration::ZERO, |since| now.min(self.halted).since(since))
    }

    /// The pieces that are wanted at all.
    pub fn wanted(&self, layout: &Layout) -> Bitfield {
        if self.priorities.is_none() {
            return Bitfield::full(layout.pieces());
        }
        let mut wanted = Bitfield::new(layout.pieces());
        for piece in layout.piece_indices().filter(|&piece| self.of(piece) != Priority::Skip) {
            wanted.insert(piece);
        }
        wanted
    }
}

/// A piece is wanted as eagerly as the file in it that is wanted most. Padding (BEP 47) wants nothing.
fn of_pieces(layout: &Layout, files: &[Priority]) -> Option<Box<[Priority]>> {
    if files.iter().all(|&priority| priority == Priority::Normal) {
        return None;
    }
    let mut pieces = vec![Priority::Skip; layout.pieces() as usize];
    for file in layout.file_indices() {
        let priority = files.get(file.0 as usize).copied().unwrap_or_default();
        let range = layout.pieces_of(file);
        for piece in &mut pieces[range.start.as_usize()..range.end.as_usize()] {
            *piece = priority.max(*piece);
        }
    }
    Some(pieces.into())
}

impl Torrent {
    /// Which files to fetch, and how eagerly.
    pub fn set_priorities(&mut self, cx: &mut Cx<'_>, files: &[Priority]) {
        // The driver remembers them until there are files, and hands them in with these.
        if !self.is_known() {
            return;
        }
        self.goals.priorities = of_pieces(&self.metainfo.layout, files);
        self.goals.apply(&self.metainfo.layout, &mut self.picker);
        cx.push(Output::Want { torrent: self.id, wanted: self.goals.wanted(&self.metainfo.layout) });
        if self.picker.pieces().lacking_count() > 0 && self.goals.finished.take().is_some() {
            self.goals.durable_told = false;
            self.begin_again(cx);
        }
        if self.stage.is_active() {
            self.check_finished(cx);
            self.reconsider_interest(cx);
        }
        self.tell_stage(cx);
    }

    /// Pieces in order, or rarest first.
    pub fn set_sequential(&mut self, sequential: bool) {
        self.picker.set_sequential(sequential);
    }

    /// When to stop seeding.
    pub fn set_seed_goal(&mut self, cx: &mut Cx<'_>, goal: SeedGoal) {
        self.goals.seed_goal = goal;
        self.check_seed_goal(cx);
    }

    /// Whether everything wanted is here.
    pub fn is_finished(&self) -> bool {
        self.picker.pieces().lacking_count() == 0
    }

    /// Whether everything there is is here.
    pub fn is_seed(&self) -> bool {
        self.picker.pieces().have_count() == self.metainfo.layout.pieces()
    }

    /// After anything that may have completed the torrent.
    pub fn check_finished(&mut self, cx: &mut Cx<'_>) {
        if !self.is_finished() || self.goals.finished.is_some() {
            return;
        }
        self.goals.finished = Some(cx.now);
        cx.tell(Event::Finished(self.id));
        self.saver.flush(cx, &mut self.picker);
        self.save(cx);
        self.announce_upload_only(cx);
        self.leave_useless_peers(cx);
        self.stop_fetching(cx, None);
        self.announcer.set_complete(self.is_seed());
        self.visit_trackers(cx);
        self.consider_finding(cx);
        self.tell_stage(cx);
        self.check_seed_goal(cx);
    }

    /// Something is wanted again after everything was here: peers hear of it, and those that were of no use may be of some.
    pub fn begin_again(&mut self, cx: &mut Cx<'_>) {
        self.announce_upload_only(cx);
        self.dialer.list.recall_useless(cx.now);
        self.arm_dialer(cx);
        self.visit_trackers(cx);
        self.consider_finding(cx);
    }

    /// Pauses a torrent that has given enough.
    pub fn check_seed_goal(&mut self, cx: &mut Cx<'_>) {
        let (Some(since), true) = (self.goals.finished, self.stage.is_active()) else { return };
        let SeedGoal { ratio_permille, time } = self.goals.seed_goal;
        let wanted = u128::from(self.picker.pieces().wanted_bytes());
        let given = u128::from(self.totals.life().uploaded) * 1000;
        let enough = ratio_permille.is_some_and(|ratio| given >= wanted * u128::from(ratio));
        let long = time.is_some_and(|time| since + time <= cx.now);
        if enough || long {
            // Reached once: if the user goes on after that, it is on his own account.
            self.goals.seed_goal = SeedGoal::default();
            cx.tell(Event::SeedGoalReached(self.id));
            self.pause(cx);
        } else if ratio_permille.is_some() || time.is_some() {
            let next =
                time.map_or(SEED_GOAL_INTERVAL, |time| (since + time).since(cx.now).min(SEED_GOAL_INTERVAL));
            cx.timers.set(self.timer(TorrentTimer::SeedGoal), cx.now + next);
        }
    }

    /// A seed has no use for seeds: both ends save a link.
    pub fn leave_useless_peers(&mut self, cx: &mut Cx<'_>) {
        if !self.is_finished() {
            return;
        }
        for key in self.peers.keys() {
            if self.peers.get(key).is_some_and(|peer| peer.pieces.is_seed() || peer.extensions.upload_only) {
                self.close(cx, key, CloseReason::Useless);
            }
        }
    }
}
