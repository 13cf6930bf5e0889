//! `gannet share`: says a code, and shows who comes for what is shared. What is said to whom decides the library.

mod lines;
mod public;
mod qr;
mod view;
mod web;

use crate::cli::{self, Exit};
use crate::failure::{Failure, Outcome};
use crate::notices;
use crate::quantity::Size;
use crate::question::Question;
use crate::show::json::Line;
use crate::show::{self, Screen, terminal_size};
use crate::stop::Stop;
use crate::words::count;
use gannet::page::Page;
use gannet::sharing::{Listing, LostWhy, Share, ShareConfig, ShareError, ShareEvent};
use gannet::{Listen, RecvError};
use lines::Said;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use wire::DisplaySafe;

/// How often it is shown how things stand.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);

/// How often it is looked whether the end was asked for.
const GLANCE: Duration = Duration::from_millis(50);

/// Receivers are told that the share is over; who does not listen is not waited for any longer.
const FAREWELL: Duration = Duration::from_secs(12);

/// Wrong codes that a share bears before its sharer must say so (`docs/sharing.md`).
const GUESSES: u64 = 5;

/// Names of what does not come along, shown at once: the rest is counted.
pub(crate) const LOST_SHOWN: usize = 5;

/// Runs the command.
pub(crate) fn run(args: &cli::Share) -> Outcome {
    if args.public {
        return public::run(args);
    }
    let stop = Stop::on_signals()?;
    let notices = notices::listen();
    let screen = Screen::new(&args.look);
    os::limits::raise_open_files();
    // Nothing of a share outlives it: its key is in no file, and what it knew of receivers is of no use to the next.
    let scratch = scratch(args.state.as_deref()).map_err(|error| {
        Failure::plain(format!("no folder for passing things can be made: {}", crate::words::why(&error)))
    })?;
    let config = ShareConfig {
        listen: listen(&args.line),
        scratch: scratch.path().join("share"),
        upload_max: args.line.max_up.map(|rate| rate.0),
        announce: true,
    };
    let share = Share::begin(args.paths.clone(), config).map_err(failed)?;
    let mut sharing = Sharing { args, share, screen, stop, notices, page: None, question: None };
    let outcome = sharing.work();
    sharing.screen.end();
    let _ = sharing.share.end().wait_for(FAREWELL);
    sharing.part();
    outcome
}

/// A folder of this run's own.
fn scratch(within: Option<&Path>) -> io::Result<TempDir> {
    let mut named = tempfile::Builder::new();
    named.prefix("gannet-share-");
    match within {
        Some(within) => {
            std::fs::create_dir_all(within)?;
            named.tempdir_in(within)
        }
        None => named.tempdir(),
    }
}

/// Where receivers come.
pub(crate) fn listen(line: &cli::Line) -> Listen {
    let ports = line.port.map_or(0..=0, |port| port..=port.saturating_add(1));
    let listen = Listen { ports, ..Listen::default() };
    match line.bind {
        Some(IpAddr::V4(ip)) => Listen { ipv4: Some(ip), ipv6: None, ..listen },
        Some(IpAddr::V6(ip)) => Listen { ipv4: None, ipv6: Some(ip), ..listen },
        None => listen,
    }
}

/// A share at work.
struct Sharing<'a> {
    args: &'a cli::Share,
    share: Share,
    screen: Screen,
    stop: Stop,
    notices: Receiver<String>,
    page: Option<Page>,
    /// Whether further guesses are allowed, while the user is asked.
    question: Option<Question>,
}

impl Sharing<'_> {
    /// Until the user ends it, or enough have everything.
    fn work(&mut self) -> Outcome {
        self.say_code()?;
        let mut next = Instant::now();
        while !self.stop.asked() {
            match self.share.recv_timeout(GLANCE) {
                Ok(event) => self.on(event)?,
                Err(RecvError::TimedOut) => {}
                Err(RecvError::Stopped) => return Err(Failure::plain("the share has stopped by itself")),
            }
            while let Ok(notice) = self.notices.try_recv() {
                self.screen.warn(&format!("warning: {notice}"));
            }
            self.look_for_an_answer();
            if Instant::now() >= next {
                next = Instant::now() + PROGRESS_EVERY;
                self.show();
            }
            let enough = self.args.copies.is_some_and(|copies| self.share.status().copies >= copies);
            if enough || self.screen.is_unread() {
                // The last news may be behind what it led to.
                while let Ok(event) = self.share.recv_timeout(Duration::ZERO) {
                    self.on(event)?;
                }
                self.show();
                break;
            }
        }
        Ok(Exit::Done)
    }

    fn say_code(&self) -> Result<(), Failure> {
        let (code, addresses) = (self.share.code(), self.share.addresses());
        self.screen.json(&Line::new(Said::Sharing {
            code: code.to_string(),
            addresses: addresses.iter().map(SocketAddr::to_string).collect(),
        }));
        self.screen.say(&format!("On the other machine:\n\n    gannet receive {code}\n"));
        if let Some(at) = web::found_at(&addresses).first() {
            self.screen.say(&format!("Should it not find this one: gannet receive {code} --peer {at}"));
        }
        if self.args.look.quiet {
            // Without it nothing can be done with the share.
            show::print(&format!("{code}\n"))?;
        }
        Ok(())
    }

    fn on(&mut self, event: ShareEvent) -> Result<(), Failure> {
        match event {
            ShareEvent::Listed(listing) => self.on_listed(&listing),
            ShareEvent::AllHashed { torrents, bytes } => {
                self.screen.json(&Line::new(Said::AllHashed { torrents, bytes }));
            }
            ShareEvent::Lost { path, why } => {
                self.screen.warn(&format!("{} does not come along: {}", shown(&path), lost_words(why)));
                self.screen.json(&Line::new(Said::Lost { path: shown(&path), why: lost_word(why) }));
            }
            ShareEvent::Came { receiver, name, from } => {
                self.screen.say(&format!("{name:.60} ({}) is here", from.ip()));
                let (name, address) = (Some(name.to_string()), Some(from.to_string()));
                self.screen.json(&Line::new(Said::ReceiverCame { number: receiver, name, address }));
            }
            ShareEvent::Wants { receiver } => {
                self.screen.json(&Line::new(Said::ReceiverWants { number: receiver }));
            }
            ShareEvent::Declined { receiver } => {
                self.screen.say(&format!("{} declined", self.name_of(receiver)));
                self.screen.json(&Line::new(Said::ReceiverDeclined { number: receiver }));
            }
            ShareEvent::Complete { receiver } => {
                self.screen.say(&format!("{} has everything", self.name_of(receiver)));
                self.screen.json(&Line::new(Said::ReceiverComplete { number: receiver }));
            }
            ShareEvent::Left { receiver } => {
                self.screen.say(&format!("{} is gone", self.name_of(receiver)));
                self.screen.json(&Line::new(Said::ReceiverLeft { number: receiver }));
            }
            ShareEvent::WrongCode { from } => {
                self.screen.say(&format!("somebody at {from} typed another code"));
                self.screen.json(&Line::new(Said::WrongCode { address: from.to_string() }));
            }
            ShareEvent::MustConfirm { wrong } => self.on_guesses(&wrong),
            ShareEvent::Failed(error) => return Err(failed(error)),
        }
        Ok(())
    }

    fn on_listed(&mut self, listing: &Listing) {
        self.screen.json(&Line::new(lines::listed(listing)));
        let files = count(listing.files.len() as u64, "file");
        self.screen.say(&format!("{}: {files}, {}", DisplaySafe::new(&listing.name), Size(listing.size())));
        for (path, why) in listing.lost.iter().take(LOST_SHOWN) {
            self.screen.say(&format!("  {} does not come along: {}", shown(path), lost_words(*why)));
        }
        if let Some(more) = listing.lost.len().checked_sub(LOST_SHOWN).filter(|more| *more > 0) {
            self.screen.say(&format!("  nor do {more} more"));
        }
        for (path, why) in &listing.lost {
            self.screen.json(&Line::new(Said::Lost { path: shown(path), why: lost_word(*why) }));
        }
        if !self.args.no_web && !listing.files.is_empty() {
            self.serve_page(listing);
        }
    }

    fn serve_page(&mut self, listing: &Listing) {
        let mut at = listen(&self.args.line);
        // The wished one is for receivers.
        at.ports = 0..=0;
        let page = match web::open(listing, &at) {
            Ok(page) => page,
            Err(error) => {
                let why = crate::words::why(&error);
                return self.screen.warn(&format!("no page for browsers can be served: {why}"));
            }
        };
        let urls = web::urls(&page);
        self.screen.json(&Line::new(Said::Page { urls: urls.clone() }));
        if let Some(url) = urls.first() {
            self.screen.say(&format!(
                "\nA phone, or a machine without Gannet, on this network opens in its browser:\n\n    {url}\n\n\
                 That page is plain HTTP: who listens on this network sees what it sends.\n\
                 --no-web leaves it out."
            ));
            let (rows, columns) = terminal_size();
            let shows = self.screen.is_live() && qr::can_be_shown();
            if let (true, Some(code)) = (shows, qr::lines(url, columns, rows.saturating_sub(4))) {
                self.screen.say(&format!("\n{}\n", code.join("\n")));
            }
        }
        self.page = Some(page);
    }

    fn look_for_an_answer(&mut self) {
        let Some(answer) = self.question.as_ref().and_then(Question::answered) else { return };
        self.question = None;
        if answer {
            self.share.go_on();
            self.screen.say("five more are allowed");
        } else {
            self.screen
                .say("so it stays; those who are here go on. For others, end this share and begin a new one");
        }
    }

    /// Too many wrong codes: nobody comes in until the user has said so.
    fn on_guesses(&mut self, wrong: &[(IpAddr, u32)]) {
        let entry =
            |(address, count): &(IpAddr, u32)| lines::Wrong { address: address.to_string(), count: *count };
        self.screen.json(&Line::new(Said::MustConfirm { wrong: wrong.iter().map(entry).collect() }));
        let from = wrong.iter().map(|(ip, times)| format!("{} from {ip}", count(*times, "wrong code")));
        let from = from.collect::<Vec<_>>().join(", ");
        let all = wrong.iter().map(|(_, times)| u64::from(*times)).sum::<u64>() >= GUESSES;
        let whose =
            if all { "no further code is looked at" } else { "no further code from there is looked at" };
        self.screen.warn(&format!("{from}: somebody mistypes, or guesses. Until you allow it, {whose}."));
        // Who is asked already need not be asked twice.
        if self.question.is_none() {
            self.question = Question::ask("Allow five more? [y/N]", &self.screen);
        }
    }

    fn name_of(&self, receiver: u64) -> String {
        let status = self.share.status();
        let known = status.receivers.iter().find(|known| known.number == receiver);
        known.map_or_else(|| "somebody".into(), |known| format!("{:.60}", known.name))
    }

    fn show(&mut self) {
        let status = self.share.status();
        let web = self.page.as_ref().map_or(0, Page::sent);
        self.screen.json(&Line::new(lines::progress(&status, web)));
        let panel = |width, height| view::panel(self.share.code(), &status, web, width, height);
        self.screen.picture(panel, || view::sentences(&status, web));
    }

    /// The last words.
    fn part(&self) {
        self.screen.json(&Line::new(Said::Ended));
        self.screen.say(&view::parting(&self.share.status()));
    }
}

fn failed(error: ShareError) -> Failure {
    match error {
        ShareError::Scratch { .. } => Failure::new(Exit::Disk, error),
        ShareError::List(_)
        | ShareError::Nothing
        | ShareError::Desk(_)
        | ShareError::Client(_)
        | ShareError::System(_) => Failure::plain(error),
    }
}

/// A path, as it can be shown.
pub(crate) fn shown(path: &Path) -> String {
    DisplaySafe::new(path.as_os_str().as_encoded_bytes()).to_string()
}

/// Why something does not come along, for people.
pub(crate) fn lost_words(why: LostWhy) -> &'static str {
    match why {
        LostWhy::Link => "it is a symbolic link",
        LostWhy::Special => "it is a socket, a pipe or a device",
        LostWhy::Unreadable => "it cannot be read",
        LostWhy::Changed => "it changed meanwhile",
        LostWhy::Name => "other systems could not have a file of that name",
    }
}

/// The same for programs.
pub(crate) fn lost_word(why: LostWhy) -> &'static str {
    match why {
        LostWhy::Link => "link",
        LostWhy::Special => "special",
        LostWhy::Unreadable => "unreadable",
        LostWhy::Changed => "changed",
        LostWhy::Name => "name",
    }
}
