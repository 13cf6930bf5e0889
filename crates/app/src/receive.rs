//! `gannet receive`: finds who shares under a code, asks before anything is written, and shows how it comes. What is fetched from whom
//! decides the library.

mod lines;
mod view;

use crate::cli::{self, Exit};
use crate::failure::{Failure, Outcome};
use crate::get::{absolute, default_state_dir};
use crate::notices;
use crate::peers;
use crate::quantity::Size;
use crate::question::{self, Question};
use crate::share::{LOST_SHOWN, listen, lost_word, lost_words, shown};
use crate::show::Screen;
use crate::show::json::Line;
use crate::stop::Stop;
use crate::words::{count, shell};
use gannet::sharing::{Code, Offered, PairError, Receive, ReceiveConfig, ReceiveError, ReceiveEvent};
use gannet::{RecvError, Silence};
use lines::Said;
use std::path::Path;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

/// How often it is shown how things stand.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);

/// How often it is looked whether the end was asked for.
const GLANCE: Duration = Duration::from_millis(50);

/// The sharer is told that we go; who does not listen is not waited for any longer.
const FAREWELL: Duration = Duration::from_secs(12);

/// One more than are shown by name.
const MORE_LOST: usize = LOST_SHOWN + 1;

/// Somebody else may share under the same number: so long it is waited for him after a refusal.
const SECOND_CHANCE: Duration = Duration::from_secs(3);

/// Runs the command.
pub(crate) fn run(args: &cli::Receive) -> Outcome {
    let code = code(args)?;
    let stop = Stop::on_signals()?;
    let notices = notices::listen();
    let screen = Screen::new(&args.look);
    os::limits::raise_open_files();
    let config = ReceiveConfig {
        output: absolute(&args.output)?,
        listen: listen(&args.line),
        state_dir: args.state.clone().map_or_else(default_state_dir, Ok)?,
        peers: peers::addresses(&args.peer)?,
        look: true,
        download_max: args.max_down.map(|rate| rate.0),
        upload_max: args.line.max_up.map(|rate| rate.0),
    };
    let number = code.nameplate();
    let receive = Receive::begin(code.clone(), config).map_err(failed)?;
    screen.json(&Line::new(Said::Looking { number }));
    screen.say(&format!("looking for who shares under number {number} ..."));
    let mut receiving = Receiving {
        args,
        code,
        receive,
        screen,
        stop,
        notices,
        question: None,
        lost: 0,
        stage: Stage::Looking { since: Instant::now(), found: false, refused: None },
    };
    let outcome = receiving.work();
    receiving.screen.end();
    let _ = receiving.receive.end().wait_for(FAREWELL);
    receiving.screen.json(&Line::new(Said::Ended));
    outcome
}

fn code(args: &cli::Receive) -> Result<Code, Failure> {
    let typed = match &args.code {
        Some(code) => code.clone(),
        None => question::line("Code:")
            .ok_or_else(|| Failure::plain("which code? Say gannet receive CODE, as in 42-apple-river"))?,
    };
    if typed.starts_with("magnet:") {
        let what = format!("that is a magnet link, not a code; fetch it with: gannet get '{typed}'");
        return Err(Failure::plain(what));
    }
    typed.parse().map_err(Failure::plain)
}

/// How far it is.
enum Stage {
    /// Nobody who has the code was found so far.
    Looking {
        since: Instant,
        /// Somebody says to share the number.
        found: bool,
        /// Who was found did not take the code, since then.
        refused: Option<(Instant, PairError)>,
    },
    /// Whoever shares has the same code, and has not said yet what it is.
    Paired,
    /// The user is asked.
    Asking,
    /// It comes.
    Fetching,
    /// It is here, and passed on.
    Serving,
}

/// A receiver at work.
struct Receiving<'a> {
    args: &'a cli::Receive,
    code: Code,
    receive: Receive,
    screen: Screen,
    stop: Stop,
    notices: Receiver<String>,
    question: Option<Question>,
    /// What does not come along, so far.
    lost: usize,
    stage: Stage,
}

impl Receiving<'_> {
    /// Until everything is here and nobody needs us, or the user ends it.
    fn work(&mut self) -> Outcome {
        let mut next = Instant::now();
        while !self.stop.asked() && !self.screen.is_unread() {
            match self.receive.recv_timeout(GLANCE) {
                Ok(event) => {
                    if let Some(exit) = self.on(event)? {
                        return Ok(exit);
                    }
                }
                Err(RecvError::TimedOut) => {}
                Err(RecvError::Stopped) => return Err(Failure::plain("the receiver has stopped by itself")),
            }
            while let Ok(notice) = self.notices.try_recv() {
                self.screen.warn(&format!("warning: {notice}"));
            }
            if let Some(answer) = self.question.as_ref().and_then(Question::answered) {
                self.question = None;
                if !answer {
                    self.receive.decline();
                    self.screen.say("nothing was written");
                    return Ok(Exit::Done);
                }
                self.accept();
            }
            self.lose_patience()?;
            if Instant::now() >= next && matches!(self.stage, Stage::Fetching | Stage::Serving) {
                next = Instant::now() + PROGRESS_EVERY;
                self.show();
            }
        }
        Ok(match self.stage {
            Stage::Serving => Exit::Done,
            Stage::Looking { .. } | Stage::Paired | Stage::Asking => Exit::Interrupted,
            Stage::Fetching => {
                self.screen.say("what came so far is kept: the same command goes on, while the share lasts");
                Exit::Interrupted
            }
        })
    }

    fn on(&mut self, event: ReceiveEvent) -> Result<Option<Exit>, Failure> {
        self.follow_the_line(&event);
        match event {
            ReceiveEvent::Found { at } => {
                self.screen.json(&Line::new(Said::Found { address: at.to_string() }));
                // One machine has several addresses; whoever looks on need not know them all.
                if let Stage::Looking { found, .. } = &mut self.stage
                    && !std::mem::replace(found, true)
                {
                    self.screen.say(&format!("found at {}", at.ip()));
                }
            }
            ReceiveEvent::Silence(silence) => self.on_silence(silence),
            ReceiveEvent::NotPaired { at, why } => {
                self.screen
                    .json(&Line::new(Said::NotPaired { address: at.to_string(), why: why.to_string() }));
                if let Stage::Looking { refused, .. } = &mut self.stage {
                    if is_refusal(&why) {
                        refused.get_or_insert((Instant::now(), why));
                    } else {
                        self.screen.say(&format!("{}: {why}", at.ip()));
                    }
                }
            }
            ReceiveEvent::Paired { .. } => {}
            ReceiveEvent::Offered(offered) => self.on_offered(&offered)?,
            ReceiveEvent::Began => self.screen.json(&Line::new(Said::Began)),
            ReceiveEvent::Lost { path, why } => {
                self.screen.json(&Line::new(Said::Lost { path: path.to_string(), why: lost_word(why) }));
                self.lost += 1;
                match self.lost {
                    ..=LOST_SHOWN => {
                        self.screen.say(&format!("{path:.200} does not come along: {}", lost_words(why)))
                    }
                    MORE_LOST => self.screen.say("nor do others (--json names all)"),
                    _ => {}
                }
            }
            ReceiveEvent::Trouble(trouble) => {
                self.screen.json(&Line::new(Said::Trouble { why: trouble.to_string() }));
                self.screen.warn(&format!("{trouble}; it goes on by itself when that is mended"));
            }
            ReceiveEvent::Alone => {
                self.screen.json(&Line::new(Said::Alone));
                self.screen.say("nobody is here who has the rest; it goes on when somebody comes");
            }
            ReceiveEvent::SharerLeft => {
                self.screen.json(&Line::new(Said::SharerLeft));
                if matches!(self.stage, Stage::Fetching) {
                    self.screen
                        .say("the sharer is gone; what others have still comes, and it is looked for again");
                }
            }
            ReceiveEvent::SharerBack => {
                self.screen.json(&Line::new(Said::SharerBack));
                self.screen.say("the sharer is back");
            }
            ReceiveEvent::AllOffered => {}
            ReceiveEvent::Finished { path } => return Ok(self.on_finished(&path)),
            ReceiveEvent::Served => {
                self.screen.json(&Line::new(Said::Served));
                return Ok(Some(Exit::Done));
            }
            ReceiveEvent::Failed(error) => return Err(failed(error)),
        }
        Ok(None)
    }

    /// Whether the line to the sharer is there. One that was cut before it was said what there is is looked for once more.
    fn follow_the_line(&mut self, event: &ReceiveEvent) {
        match (&self.stage, event) {
            (Stage::Looking { .. }, ReceiveEvent::Paired { .. }) => self.stage = Stage::Paired,
            (
                Stage::Paired,
                ReceiveEvent::Found { .. } | ReceiveEvent::Silence(_) | ReceiveEvent::NotPaired { .. },
            ) => self.stage = Stage::Looking { since: Instant::now(), found: true, refused: None },
            _ => {}
        }
    }

    fn on_silence(&mut self, silence: Silence) {
        let (heard_ourselves, what) = match silence {
            Silence::Deaf => (
                false,
                "nothing is heard on this network, not even what we say: multicast is blocked on this machine, or it is on no network",
            ),
            Silence::Alone => (
                true,
                "nobody answers so far: the share is not there yet, or it is on another network, or this one blocks the multicast \
                 between you",
            ),
            Silence::Others => (true, "others share here, but nobody under this number so far"),
        };
        let advice = format!("gannet receive {} --peer ADDRESS:PORT", self.code);
        self.screen.json(&Line::new(Said::Silence { heard_ourselves, advice: advice.clone() }));
        self.screen.warn(&format!(
            "{what}. It is still looked for. To name the machine yourself, as `gannet share` shows there: {advice}"
        ));
    }

    fn on_offered(&mut self, offered: &Offered) -> Result<(), Failure> {
        self.screen.json(&Line::new(lines::offer(offered)));
        self.screen.say(&view::offer(offered));
        self.stage = Stage::Asking;
        if self.args.yes {
            self.accept();
            return Ok(());
        }
        let output = absolute(&self.args.output)?;
        let question = format!("Receive it into {}? [y/N]", shell(&output));
        self.question = Question::ask(&question, &self.screen);
        if self.question.is_none() {
            self.receive.decline();
            let what = "nothing was written: nobody can be asked, without a terminal or with --quiet; --yes takes it \
                        without asking";
            return Err(Failure::plain(what));
        }
        Ok(())
    }

    fn accept(&mut self) {
        self.receive.accept();
        self.stage = Stage::Fetching;
        self.screen.json(&Line::new(Said::Accepted));
    }

    fn on_finished(&mut self, path: &Path) -> Option<Exit> {
        self.show();
        self.stage = Stage::Serving;
        self.screen.json(&Line::new(Said::Finished { path: shown(path) }));
        let status = self.receive.status();
        self.screen.say(&format!("everything is here: {}, {}", shell(path), Size(status.size)));
        if self.args.no_seed {
            return Some(Exit::Done);
        }
        if status.others_incomplete > 0 {
            let others = count(status.others_incomplete, "other receiver");
            self.screen.say(&format!("passing it on to {others}; Ctrl-C ends that"));
        }
        None
    }

    /// Gives up when it is no use, or no longer wanted.
    fn lose_patience(&mut self) -> Result<(), Failure> {
        let Stage::Looking { since, refused, .. } = &self.stage else { return Ok(()) };
        if let Some((at, why)) = refused
            && at.elapsed() >= SECOND_CHANCE
        {
            return Err(Failure::plain(why));
        }
        match self.args.wait {
            Some(wait) if since.elapsed() >= wait.0 => {
                let number = self.code.nameplate();
                let what = format!("nobody who shares under number {number} was found within {wait}");
                Err(Failure::new(Exit::NoSource, what))
            }
            _ => Ok(()),
        }
    }

    fn show(&mut self) {
        let status = self.receive.status();
        self.screen.json(&Line::new(lines::progress(&status)));
        self.screen.picture(|width, _| view::panel(&status, width), || vec![view::sentence(&status)]);
    }
}

/// Whether who was found will not take us, however often we ask.
fn is_refusal(why: &PairError) -> bool {
    match why {
        PairError::WrongCode | PairError::MustConfirm | PairError::GivenUp | PairError::NoChance => true,
        PairError::Unreachable(_)
        | PairError::NotAShare
        | PairError::Busy
        | PairError::Cut
        | PairError::TimedOut => false,
    }
}

fn failed(error: ReceiveError) -> Failure {
    match error {
        ReceiveError::Exists(_) | ReceiveError::Folder { .. } => Failure::new(Exit::Disk, error),
        ReceiveError::NoRoom { path, needed, free } => {
            let (needed, free) = (Size(needed), Size(free));
            let what = format!(
                "{needed} more are needed, and {} has room for {free}: make room, or name another folder with --output",
                path.display()
            );
            Failure::new(Exit::Disk, what)
        }
        ReceiveError::NotPaired(_)
        | ReceiveError::Ended
        | ReceiveError::Nonsense(_)
        | ReceiveError::TooMuch
        | ReceiveError::Client(_)
        | ReceiveError::Torrent(_)
        | ReceiveError::System(_) => Failure::plain(error),
    }
}
