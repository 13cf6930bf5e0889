//! `gannet demo`: one file, two ways to hand it to several people: a web server beside a swarm, both over lines of the same
//! speed, on this machine alone. Real sockets and real programs; needs no network and no configuration.

mod board;
mod client;
mod member;
mod news;
mod picture;
mod plan;
mod scene;
mod server;
mod table;
mod uplink;
mod view;

use crate::cli::{Demo, Exit};
use crate::failure::{Failure, Outcome};
use crate::fault;
use crate::live::{self, Live, Pressed};
use crate::show;
use crate::stop::Stop;
use board::Board;
use picture::Camera;
use scene::Scene;
use std::time::{Duration, Instant};

/// How often the picture is drawn anew.
const FRAME: Duration = Duration::from_millis(100);

/// How often a line is printed where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// However it goes, the demonstration ends after this long.
const LONGEST: Duration = Duration::from_secs(300);

/// Free-riders at once: enough to see what becomes of them.
const RIDERS_MAX: usize = 6;

/// One demonstration.
struct Show {
    scene: Scene,
    board: Board,
    began: Instant,
    message: String,
    riders: usize,
}

/// Runs the command.
pub(crate) fn run(args: &Demo) -> Outcome {
    let stop = Stop::for_a_demonstration()?;
    let on_terminal = live::is_possible() && !args.plain;
    let mut camera = args.picture.as_deref().map(Camera::at).transpose()?;
    show::print("setting the scene ...\n")?;
    let Some(mut show) = Show::begin(args.people.into(), &stop)? else {
        show::print("It was ended before it began.\n")?;
        return Ok(Exit::Interrupted);
    };
    let exit = match on_terminal {
        true => show.live(&stop, &mut camera)?,
        false => show.plain(&stop, &mut camera)?,
    };
    show.conclude()?;
    if let Some(camera) = camera {
        show::print(&format!("the picture is in {}\n", camera.develop()?.display()))?;
    }
    Ok(exit)
}

impl Show {
    /// Everybody at work; nothing if someone asks for the end before that.
    fn begin(people: usize, stop: &Stop) -> Result<Option<Show>, Failure> {
        let Some((mut scene, mut board)) = Scene::set(people, stop)? else { return Ok(None) };
        for _ in 0..people {
            scene.person(&mut board)?;
        }
        let message = "the same file, twice: who is done first?".into();
        Ok(Some(Show { scene, board, began: Instant::now(), message, riders: 0 }))
    }

    /// Draws on the terminal and obeys keys, until both sides are done or the user is.
    fn live(&mut self, stop: &Stop, camera: &mut Option<Camera>) -> Outcome {
        let mut live = Live::begin()?;
        let join = self.scene.join();
        while !self.is_over() && !stop.asked() {
            self.look(FRAME);
            let at = self.began.elapsed();
            let footer = view::Footer { message: &self.message, join: &join };
            live.draw(|width, height| view::screen(&self.board, at, &footer, width, height))?;
            self.film(camera, at, &join);
            assert!(!fault::is_wanted("panic"), "a test wants to see what a panic leaves behind");
            while let Some(key) = live.key()? {
                match key {
                    Pressed::End | Pressed::Sign('q') => return Ok(Exit::Done),
                    Pressed::Sign('s') => self.kill_origins(),
                    Pressed::Sign('t') => self.kill_tracker(),
                    Pressed::Sign('f') => self.free_rider()?,
                    Pressed::Sign('+' | '=') => self.person()?,
                    Pressed::Sign(_) => {}
                }
            }
        }
        Ok(if stop.asked() { Exit::Interrupted } else { Exit::Done })
    }

    /// Prints a line now and then, until both sides are done.
    fn plain(&mut self, stop: &Stop, camera: &mut Option<Camera>) -> Outcome {
        show::print(&format!("{}\njoin from another terminal: {}\n", self.message, self.scene.join()))?;
        let join = self.scene.join();
        let mut next = LINE_EVERY;
        while !self.is_over() && !stop.asked() {
            self.look(FRAME);
            let at = self.began.elapsed();
            self.film(camera, at, &join);
            if at >= next {
                next += LINE_EVERY;
                show::print(&format!("{}\n", table::progress(&self.board, at)))?;
            }
        }
        Ok(if stop.asked() { Exit::Interrupted } else { Exit::Done })
    }

    fn film(&self, camera: &mut Option<Camera>, at: Duration, join: &str) {
        if let Some(camera) = camera {
            camera.shoot(&self.board, at, &view::Footer { message: &self.message, join });
        }
    }

    /// Takes in what happens for so long.
    fn look(&mut self, span: Duration) {
        let until = Instant::now() + span;
        while let Some(news) = self.scene.next(until.saturating_duration_since(Instant::now())) {
            self.board.on_news(self.began.elapsed(), news);
        }
        self.board.server_sent = self.scene.server_sent();
        self.board.tick(self.began.elapsed());
    }

    fn is_over(&self) -> bool {
        let at = self.began.elapsed();
        self.board.is_over(at) || at > LONGEST
    }

    fn kill_origins(&mut self) {
        if self.board.origins_killed.is_none() {
            self.scene.kill_origins();
            let at = self.began.elapsed();
            self.board.origins_killed = Some(at);
            let lost = self.board.pieces - self.board.pieces_out();
            self.message = match lost {
                0 => "server and seed are dead; a whole copy is out, so the swarm goes on".into(),
                lost => format!("server and seed are dead, and {lost} pieces with them, or on their way"),
            };
        }
    }

    fn kill_tracker(&mut self) {
        if self.board.tracker_killed.is_none() {
            self.scene.kill_tracker();
            self.board.tracker_killed = Some(self.began.elapsed());
            self.message = "the tracker is dead; those who know each other need it no more".into();
        }
    }

    fn free_rider(&mut self) -> Result<(), Failure> {
        if self.riders < RIDERS_MAX {
            self.riders += 1;
            self.scene.free_rider(&mut self.board)?;
            self.message = "a free-rider joins the swarm: it takes, and gives nothing".into();
        }
        Ok(())
    }

    fn person(&mut self) -> Result<(), Failure> {
        if self.board.clients.len() < plan::PEOPLE_MAX {
            self.scene.person(&mut self.board)?;
            let name = plan::name(self.board.clients.len() - 1);
            self.message =
                format!("{name} joins: the server has one more to serve, the swarm one more who serves");
        }
        Ok(())
    }

    /// The last words.
    fn conclude(&self) -> Result<(), Failure> {
        let at = self.began.elapsed();
        let (good, of) = self.scene.verify(&self.board);
        show::print(&format!(
            "{}\nverified: {good} of {of} finished files are right, to the last byte\n{}\nnext: {} create README.md\n",
            table::table(&self.board, at),
            table::sentence(&self.board, at),
            scene::program(),
        ))?;
        match good == of {
            true => Ok(()),
            false => Err(Failure::new(Exit::NotComplete, "a finished file is not what it should be")),
        }
    }
}
