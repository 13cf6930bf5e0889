//! `gannet lab race`: the same people fetch the same content from one server, and from one another, on one simulated clock. Who is done
//! first, what leaves the origin, what does it cost, and what if it dies?

mod course;
mod track;
mod view;

use super::bench;
use crate::cli::{Exit, RaceLab};
use crate::failure::{Failure, Outcome};
use crate::live::{self, Live, Pressed};
use crate::show;
use crate::stop::Stop;
use course::{Course, Side};
use sim::lab::{How, Run};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How often the picture is drawn anew.
const FRAME: Duration = Duration::from_millis(100);

/// How much of a frame may go into the simulation: the rest is for keys and the terminal.
const WORK: Duration = Duration::from_millis(80);

/// Simulated seconds in a second, as keys choose among them.
const SPEEDS: [u32; 14] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000];

/// Simulated time in a frame for whoever wants to see the end: as much as the machine can.
const A_LOT: Duration = Duration::from_secs(3600);

/// A swarm that goes well takes about this long to watch.
const WATCHED: Duration = Duration::from_secs(20);

/// Lines of progress that are printed where there is no terminal, until the swarm should be done.
const LINES: u32 = 10;

/// How many want it in the curve that is shown at the end.
const PEOPLE: [u32; 8] = [1, 2, 5, 10, 20, 50, 100, 200];

/// Runs the command.
pub(super) fn run(args: &RaceLab) -> Outcome {
    let stop = Stop::for_a_demonstration()?;
    let swarm = track::swarm(args, args.peers);
    let mut course = Course::new(&swarm, args.hands.threads().get()).map_err(|why| {
        Failure::plain(format!("this race cannot be run: {why}; try a smaller --size or faster links"))
    })?;
    let exit = match live::is_possible() && !args.plain {
        true => watch(args, &mut course, &stop)?,
        false => print(args, &mut course, &stop)?,
    };
    show::print(&view::outcome(args, &course))?;
    if let Some(finding) = course.findings().first() {
        return Err(Failure::plain(format!("a law was broken, do not trust the figures: {finding}")));
    }
    if course.is_over() && !stop.asked() {
        show::print(&sweep(args))?;
    }
    Ok(exit)
}

/// Draws on the terminal and obeys keys, until both are done or the user is.
fn watch(args: &RaceLab, course: &mut Course, stop: &Stop) -> Outcome {
    let mut live = Live::begin()?;
    let usual = course.bound(Side::Swarm).as_secs() / WATCHED.as_secs();
    let mut pace = Pace {
        speed: SPEEDS.iter().rposition(|&speed| u64::from(speed) <= usual).unwrap_or(0),
        paused: false,
        to_the_end: false,
        behind: false,
    };
    let mut message = view::beginning(args);
    while !stop.asked() {
        let frame = Instant::now();
        if !pace.paused && !course.is_over() {
            let span = if pace.to_the_end { A_LOT } else { FRAME * SPEEDS[pace.speed] };
            pace.behind = !course.advance(span, || frame.elapsed() > WORK);
        }
        while let Some(news) = course.news() {
            message = news;
        }
        let pace_said = if course.is_over() { "over; e goes on".into() } else { pace.said() };
        live.draw(|width, height| view::screen(args, course, &pace_said, &message, (width, height)))?;
        while let Some(key) = live.key()? {
            match key {
                Pressed::End | Pressed::Sign('q') => return Ok(Exit::Done),
                Pressed::Sign(' ' | 'p') => pace.paused = !pace.paused,
                Pressed::Sign('+' | '=') => pace.speed = (pace.speed + 1).min(SPEEDS.len() - 1),
                Pressed::Sign('-') => pace.speed = pace.speed.saturating_sub(1),
                Pressed::Sign('s') => course.kill(Side::Server),
                Pressed::Sign('d') => course.kill(Side::Swarm),
                // What is left to see of a race that is over is the curve.
                Pressed::Sign('e') if course.is_over() => return Ok(Exit::Done),
                Pressed::Sign('e') => (pace.to_the_end, pace.paused) = (true, false),
                Pressed::Sign(_) => {}
            }
        }
        stop.wait(FRAME.saturating_sub(frame.elapsed()));
    }
    Ok(Exit::Interrupted)
}

/// How fast time goes.
struct Pace {
    speed: usize,
    paused: bool,
    to_the_end: bool,
    behind: bool,
}

impl Pace {
    fn said(&self) -> String {
        let speed = SPEEDS[self.speed];
        match (self.paused, self.behind) {
            (true, _) => "paused".into(),
            (false, _) if self.to_the_end => "to the end".into(),
            (false, true) => format!("x{speed} is too fast for this machine"),
            (false, false) => format!("x{speed}"),
        }
    }
}

/// Prints lines, as fast as it goes.
fn print(args: &RaceLab, course: &mut Course, stop: &Stop) -> Outcome {
    show::print(&format!("{}\n", view::beginning(args)))?;
    let kills = [(Side::Server, args.kill_server_at), (Side::Swarm, args.kill_seed_at)];
    let mut kills: Vec<(Duration, Side)> =
        kills.into_iter().filter_map(|(side, at)| Some((at?.0, side))).collect();
    let step = (course.bound(Side::Swarm) / LINES).max(Duration::from_secs(1));
    let mut line = step;
    while !course.is_over() && !stop.asked() {
        let kill = kills.iter().map(|&(at, _)| at).min();
        let next = kill.map_or(line, |at| at.min(line));
        course.advance(next.saturating_sub(course.now()), || stop.asked());
        kills.retain(|&(at, side)| {
            let due = at <= course.now();
            if due {
                course.kill(side);
            }
            !due
        });
        while let Some(news) = course.news() {
            show::print(&format!("{news}\n"))?;
        }
        if course.now() >= line {
            show::print(&format!("{}\n", view::line(course)))?;
            // Once the swarm is done, what is left is a server's long line.
            line += if course.is_done(Side::Swarm) { step * LINES } else { step };
        }
    }
    Ok(if stop.asked() { Exit::Interrupted } else { Exit::Done })
}

/// The curve over the number of people: the same race among fewer.
fn sweep(args: &RaceLab) -> String {
    let people: Vec<u32> = PEOPLE.into_iter().filter(|&people| people <= args.peers).collect();
    let worlds = || people.iter().map(|&people| track::swarm(args, people));
    let runs: Vec<Run> = [How::Served, How::Flows]
        .into_iter()
        .flat_map(|how| worlds().map(move |swarm| Run { swarm, how }))
        .collect();
    let figures = bench::side_by_side(&runs, args.hands.threads().get(), &mpsc::channel().0);
    let (served, swarmed) = figures.split_at(people.len());
    let rows = people.iter().zip(served).zip(swarmed).zip(worlds());
    let rows = rows.map(|(((people, served), swarmed), world)| view::Grown {
        people: *people,
        server: served.last(),
        swarm: swarmed.last(),
        bound: world.bound(),
    });
    view::growth(&rows.collect::<Vec<_>>())
}
