//! What a world that is watched keeps beside what every world has: a digest of all that its sessions want, the interesting states
//! that they came through, and what they find when they recount themselves.

use crate::checker::Scene;
use crate::fuzz::Sights;
use crate::fuzz::sights::Watcher;
use crate::world::World;
use core::time::Duration;
use proto::trace::OutputDigest;
use proto::{Input, Instant, Outbox};
use std::collections::BTreeMap;

/// Sessions recount themselves once in so many looks around: every two seconds, since it walks all pieces of all peers.
const AUDIT_EVERY: u32 = 4;
/// What an audit finds again and again for so long will not end by itself: longer than a round of the choker, or a time-out.
const LASTING: Duration = Duration::from_secs(25);

/// A digest, sights, and doubts.
#[derive(Default)]
pub(super) struct Watch {
    digest: OutputDigest,
    watcher: Watcher,
    looks: u32,
    /// By node: what should not last, and since when it does.
    lasting: BTreeMap<u32, BTreeMap<String, Instant>>,
}

impl Watch {
    pub(super) fn started(&mut self, scene: Scene<'_>) {
        self.watcher.started(scene);
    }

    pub(super) fn input(&mut self, scene: Scene<'_>, input: &Input<'_>) {
        self.watcher.input(scene, input);
    }

    /// Whether sessions are to recount themselves at this look around.
    pub(super) fn is_audit_due(&mut self) -> bool {
        self.looks += 1;
        self.looks.is_multiple_of(AUDIT_EVERY)
    }

    /// A session recounts itself; what is wrong is returned.
    pub(super) fn audit(&mut self, scene: Scene<'_>) -> Vec<String> {
        let Some(session) = scene.node().session() else {
            self.lasting.remove(&scene.index);
            return Vec::new();
        };
        let doubts = session.audit();
        let mut wrong = doubts.wrong;
        let before = self.lasting.remove(&scene.index).unwrap_or_default();
        let since = |text: String| {
            let since = before.get(&text).copied().unwrap_or(scene.now);
            (text, since)
        };
        let now: BTreeMap<String, Instant> = doubts.lasting.into_iter().map(since).collect();
        let old = now.iter().filter(|(_, since)| scene.now.since(**since) >= LASTING);
        wrong.extend(old.map(|(text, since)| format!("{text}, since {since:?}")));
        self.lasting.insert(scene.index, now);
        wrong
    }

    /// A session has had its say.
    pub(super) fn outputs(&mut self, scene: Scene<'_>, outbox: &Outbox) {
        self.digest.add(scene.now, outbox);
        outbox.as_slice().iter().for_each(|output| self.watcher.output(scene, output));
    }
}

impl World {
    /// Sessions recount themselves, if the world is watched and it is time.
    pub(super) fn audit(&mut self) {
        let Some(watch) = &mut self.watch else { return };
        if !watch.is_audit_due() {
            return;
        }
        for index in 0..self.nodes.len() as u32 {
            for text in watch.audit(Scene { now: self.now, nodes: &self.nodes, index }) {
                self.checkers.report(self.now, index, "audit", text);
            }
        }
    }

    /// What it came through so far, if it is watched.
    pub(crate) fn sights(&self) -> Sights {
        self.watch.as_ref().map(|watch| watch.watcher.seen.clone()).unwrap_or_default()
    }

    /// The digest of all that its sessions wanted so far, if it is watched.
    pub(crate) fn outputs_digest(&self) -> u128 {
        self.watch.as_ref().map_or(0, |watch| watch.digest.value())
    }
}
