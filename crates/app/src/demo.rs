//! `gannet demo`: one file, two ways to hand it to several people: a web server beside a swarm, both over lines of the same
//! speed, on this machine alone. Real sockets and real programs; needs no network and no configuration.

mod board;
mod client;
mod live;
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
use crate::show;
use crate::stop::Stop;
use crate::words::why;
use board::Board;
use live::{Key, Live};
use picture::Film;
use scene::Scene;
use std::io::{IsTerminal, stdin, stdout};
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
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    let on_terminal = stdout().is_terminal() && stdin().is_terminal() && !dumb && !args.plain;
    show::print("setting the scene ...\n")?;
    let mut show = Show::begin(args.people.into())?;
    let mut film = args.picture.as_ref().map(|_| Film::default());
    let exit = match on_terminal {
        true => show.live(&stop, &mut film)?,
        false => show.plain(&stop, &mut film)?,
    };
    show.conclude()?;
    if let (Some(path), Some(film)) = (&args.picture, film) {
        std::fs::write(path, film.svg()).map_err(|error| {
            Failure::new(Exit::Disk, format!("cannot write {}: {}", path.display(), why(&error)))
        })?;
        show::print(&format!("the picture is in {}\n", path.display()))?;
    }
    Ok(exit)
}

impl Show {
    fn begin(people: usize) -> Result<Show, Failure> {
        let (mut scene, mut board) = Scene::set(people)?;
        for _ in 0..people {
            scene.person(&mut board)?;
        }
        let message = "the same file, twice: who is done first?".into();
        Ok(Show { scene, board, began: Instant::now(), message, riders: 0 })
    }

    /// Draws on the terminal and obeys keys, until both sides are done or the user is.
    fn live(&mut self, stop: &Stop, film: &mut Option<Film>) -> Outcome {
        let mut live = Live::begin()?;
        let join = self.scene.join();
        while !self.is_over() && !stop.asked() {
            self.look(FRAME);
            let at = self.began.elapsed();
            live.draw(&self.board, at, &view::Footer { message: &self.message, join: &join })?;
            self.film(film, at, &join);
            while let Some(key) = live.key()? {
                match key {
                    Key::Quit => return Ok(Exit::Done),
                    Key::KillOrigins => self.kill_origins(),
                    Key::KillTracker => self.kill_tracker(),
                    Key::FreeRider => self.free_rider()?,
                    Key::Person => self.person()?,
                }
            }
        }
        Ok(if stop.asked() { Exit::Interrupted } else { Exit::Done })
    }

    /// Prints a line now and then, until both sides are done.
    fn plain(&mut self, stop: &Stop, film: &mut Option<Film>) -> Outcome {
        show::print(&format!("{}\njoin from another terminal: {}\n", self.message, self.scene.join()))?;
        let join = self.scene.join();
        let mut next = LINE_EVERY;
        while !self.is_over() && !stop.asked() {
            self.look(FRAME);
            let at = self.began.elapsed();
            self.film(film, at, &join);
            if at >= next {
                next += LINE_EVERY;
                show::print(&format!("{}\n", table::progress(&self.board, at)))?;
            }
        }
        Ok(if stop.asked() { Exit::Interrupted } else { Exit::Done })
    }

    fn film(&self, film: &mut Option<Film>, at: Duration, join: &str) {
        if let Some(film) = film {
            film.shoot(&self.board, at, &view::Footer { message: &self.message, join });
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
