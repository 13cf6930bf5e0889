//! Both sides of a race on one clock: how far everybody is, when it will be over, and who was killed. Knows no terminal.

use super::view::clock;
use crate::lab::hands::Hands;
use proto::Instant;
use sim::swarm::Unfit;
use sim::{ClientServer, Crash, Fault, Figures, Fleet, Role, Swarm};
use std::collections::VecDeque;
use std::time::Duration;

/// Time goes in steps of this at most, so that whoever is in a hurry is heard.
const STEP: Duration = Duration::from_secs(1);

/// A swarm in which no piece was verified for so long is at its end: what is missing died with the seed.
const STUCK: Duration = Duration::from_secs(300);

/// Before so much is done, in thousandths, nobody can say when it is over.
const TOO_EARLY: u64 = 20;

/// Who gives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    /// A server, alone.
    Server,
    /// A seed with the same line, and everybody.
    Swarm,
}

/// When a side is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Finish {
    Unknown,
    About(Duration),
    Done(Duration),
    Never,
}

/// How a side stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Standing {
    /// How far each is who wants it, in thousandths.
    pub(super) shares: Vec<u64>,
    /// How far all are together, in thousandths.
    pub(super) progress: u64,
    pub(super) done: usize,
    /// Bytes that left the origin.
    pub(super) sent: u64,
    pub(super) median: Option<Duration>,
    pub(super) finish: Finish,
    pub(super) killed: Option<Duration>,
}

/// A race.
pub(super) struct Course {
    swarm: Swarm,
    server: ClientServer,
    fleet: Fleet,
    hands: Hands,
    now: Duration,
    /// When the server will be done, if nothing more happens to it.
    served: Option<Duration>,
    killed: [Option<Duration>; 2],
    /// How many pieces had been verified in the swarm when the last one was, and when that was.
    moved: (u64, Duration),
    /// What was not told yet.
    news: VecDeque<String>,
    told: [bool; 2],
}

impl Course {
    /// Everybody at the start.
    pub(super) fn new(swarm: &Swarm, threads: usize) -> Result<Course, Unfit> {
        let members = swarm.groups.iter().map(|group| u64::from(group.count)).sum();
        let hands = Hands::new(threads, members);
        let mut course = Course {
            server: ClientServer::new(swarm),
            fleet: Fleet::new(swarm, hands.shards())?,
            swarm: swarm.clone(),
            hands,
            now: Duration::ZERO,
            served: None,
            killed: [None; 2],
            moved: (0, Duration::ZERO),
            news: VecDeque::new(),
            told: [false; 2],
        };
        course.foresee();
        Ok(course)
    }

    /// Lets so much time go by, unless somebody is in a hurry; whether all of it went.
    pub(super) fn advance(&mut self, span: Duration, hurry: impl Fn() -> bool) -> bool {
        let end = self.now + span;
        while self.now < end && !self.is_over() {
            if hurry() {
                return false;
            }
            // A server's line is straight: without the swarm nothing is to be seen between here and there.
            let swarming = !self.is_done(Side::Swarm);
            self.now = if swarming { (self.now + STEP).min(end) } else { end };
            let at = instant(self.now);
            self.server.run_until(at);
            if swarming {
                self.fleet.run_until(at, &self.hands);
                if self.fleet.pieces() > self.moved.0 {
                    self.moved = (self.fleet.pieces(), self.now);
                }
            }
            self.tell();
        }
        true
    }

    /// The origin of this side dies without a word.
    pub(super) fn kill(&mut self, side: Side) {
        if self.killed[side as usize].is_some() || self.is_done(side) {
            return;
        }
        self.killed[side as usize] = Some(self.now);
        let fault = Fault::Crash { node: 0, how: Crash::Kill, back_after: None };
        let at = clock(self.now);
        match side {
            Side::Server => {
                self.server.befall(fault);
                self.foresee();
                let lack = self.people() - self.standing(side).done;
                self.news
                    .push_back(format!("{at}: the server is dead, and {lack} people will never have it"));
            }
            Side::Swarm => {
                let copies = self.standing(side).sent * 100 / self.swarm.content.total.max(1);
                let said = format!("{}.{:02} copies had left it", copies / 100, copies % 100);
                // A fleet has this fault: it crashes members in the lab, too.
                let _ = self.fleet.befall(fault);
                let news = format!("{at}: the seed is dead; {said}, and all go on with what is out");
                self.news.push_back(news);
            }
        }
    }

    /// What happened and was not told yet, one by one.
    pub(super) fn news(&mut self) -> Option<String> {
        self.news.pop_front()
    }

    /// The time on the clock.
    pub(super) fn now(&self) -> Duration {
        self.now
    }

    /// How many want it.
    pub(super) fn people(&self) -> usize {
        let groups = self.swarm.groups.iter().filter(|group| group.role != Role::Seed);
        groups.map(|group| group.count as usize).sum()
    }

    /// Bytes of the content.
    pub(super) fn total(&self) -> u64 {
        self.swarm.content.total
    }

    /// The soonest that theory allows.
    pub(super) fn bound(&self, side: Side) -> Duration {
        match side {
            Side::Server => self.swarm.bound_of_server(),
            Side::Swarm => self.swarm.bound(),
        }
    }

    /// Whether nothing will happen on this side any more.
    pub(super) fn is_done(&self, side: Side) -> bool {
        match side {
            Side::Server => self.served.is_none_or(|at| at <= self.now),
            Side::Swarm => self.fleet.is_done() || self.is_stuck(),
        }
    }

    /// Whether the race is over.
    pub(super) fn is_over(&self) -> bool {
        self.is_done(Side::Server) && self.is_done(Side::Swarm)
    }

    /// Laws that were broken.
    pub(super) fn findings(&self) -> Vec<String> {
        self.fleet.figures().findings.iter().map(ToString::to_string).collect()
    }

    /// How a side stands.
    pub(super) fn standing(&self, side: Side) -> Standing {
        let figures = match side {
            Side::Server => self.server.figures(),
            Side::Swarm => self.fleet.figures(),
        };
        let total = self.swarm.content.total.max(1);
        let shares: Vec<u64> = figures
            .wanting()
            .map(|row| if row.finished.is_some() { 1000 } else { (row.received * 1000 / total).min(999) })
            .collect();
        let progress = shares.iter().sum::<u64>() / shares.len().max(1) as u64;
        let finish = self.finishes(side, &figures, progress);
        Standing {
            shares,
            progress,
            done: figures.finished(),
            sent: figures.origin_sent,
            median: figures.median(),
            finish,
            killed: self.killed[side as usize],
        }
    }

    /// How far theory would be by now, in thousandths.
    pub(super) fn racing(&self, side: Side) -> u64 {
        let bound = self.bound(side).as_micros().max(1);
        u64::try_from((self.now.as_micros() * 1000 / bound).min(1000)).unwrap_or(1000)
    }

    fn finishes(&self, side: Side, figures: &Figures, progress: u64) -> Finish {
        if let Some(last) = figures.last() {
            return Finish::Done(last);
        }
        match side {
            Side::Server => self.served.map_or(Finish::Never, Finish::About),
            Side::Swarm if self.is_stuck() => Finish::Never,
            Side::Swarm if progress < TOO_EARLY => Finish::Unknown,
            Side::Swarm => Finish::About(self.now * 1000 / progress as u32),
        }
    }

    fn is_stuck(&self) -> bool {
        !self.fleet.is_done() && self.now.saturating_sub(self.moved.1) > STUCK
    }

    /// Runs a copy of the server to its end: that costs nothing.
    fn foresee(&mut self) {
        let mut server = self.server.clone();
        server.run_until(instant(self.swarm.within));
        self.served = server.figures().last();
    }

    /// What is worth a word happened.
    fn tell(&mut self) {
        for (side, who) in [(Side::Server, "the server"), (Side::Swarm, "the swarm")] {
            if self.is_done(side) && !self.told[side as usize] {
                self.told[side as usize] = true;
                let still = "the swarm stands still: what is missing died with the seed";
                match (self.standing(side).finish, side) {
                    (Finish::Done(at), _) => {
                        self.news.push_back(format!("{}: {who} is done, everybody has it", clock(at)));
                    }
                    // That it is dead was said when it died.
                    (Finish::Unknown | Finish::About(_) | Finish::Never, Side::Server) => {}
                    (Finish::Unknown | Finish::About(_) | Finish::Never, Side::Swarm) => {
                        self.news.push_back(format!("{}: {still}", clock(self.now)));
                    }
                }
            }
        }
    }
}

fn instant(span: Duration) -> Instant {
    Instant::ZERO + span
}
