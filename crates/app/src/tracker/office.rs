//! What can be changed of a tracker at work, by a signal or by an operator's command: which torrents are served and whom, what is shown
//! over TLS, whether visitors are to go elsewhere.
//!
//! Invariants: one change at a time; what cannot be read or written changes nothing.

use super::settings::{Settings, Tls};
use super::users::{Reader, Store};
use super::{in_mode, print, whole};
use crate::cli::Tracker as Args;
use crate::failure::Failure;
use crate::show::json::VERSION;
use crate::words::why;
use serde::Serialize;
use std::fmt::Display;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use tracker::{Handle, Unheeded};
use wire::InfoHash;

/// The list, or the users, were read again.
#[derive(Serialize)]
struct ReloadedLine {
    v: u32,
    r#type: &'static str,
    error: Option<String>,
}

/// Says so to programs.
pub(super) fn tell_reloaded(error: Option<String>) -> Result<(), Failure> {
    print(&ReloadedLine { v: VERSION, r#type: "tracker_reloaded", error })
}

/// What is told when something was changed that not every thread serves yet, or none.
pub(super) fn not_everywhere(why: impl Display) -> String {
    format!("that does not hold everywhere yet: {why}")
}

/// The settings, and what they name, were read again.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Reloaded {
    /// What holds now, for people.
    pub(super) said: String,
    /// Not every thread that serves visitors knows it yet.
    pub(super) is_unheeded: bool,
}

impl Reloaded {
    fn new(mut said: String, heeded: Result<(), Unheeded>) -> Reloaded {
        if let Err(unheeded) = heeded {
            said += &format!("; but {}", not_everywhere(unheeded));
        }
        Reloaded { said, is_unheeded: heeded.is_err() }
    }

    /// What programs are told of it as an error.
    fn error(&self) -> Option<String> {
        self.is_unheeded.then(|| self.said.clone())
    }
}

/// A tracker at work, to be changed.
pub(super) struct Office {
    args: Args,
    /// As they were at the start: what differs and needs a restart is told.
    started: Settings,
    /// As they hold now.
    current: Mutex<Settings>,
    draining: AtomicBool,
    /// The end was asked for: nothing is changed any more.
    ending: AtomicBool,
    handle: Handle,
    /// Of a private tracker.
    users: Option<Reader>,
}

/// What became of a change to the list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Listing {
    /// It was done, and holds.
    Done,
    /// It was so already.
    WasSo,
    /// It is in the list, but not every thread knows it yet.
    Unheeded(Unheeded),
    /// Every torrent is served: there is no list.
    NoList,
}

impl Office {
    pub(super) fn new(args: &Args, settings: Settings, handle: Handle, users: Option<Reader>) -> Office {
        let (started, current) = (settings.clone(), Mutex::new(settings));
        let [draining, ending] = [false; 2].map(AtomicBool::new);
        Office { args: args.clone(), started, current, draining, ending, handle, users }
    }

    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Whether programs read what it says.
    pub(super) fn json(&self) -> bool {
        self.args.json
    }

    /// The settings that hold now.
    pub(super) fn settings(&self) -> MutexGuard<'_, Settings> {
        // Whoever panicked had changed nothing yet, or everything.
        self.current.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Reads the list, the certificate, where they are, and the users again, and what somebody else reads with them, who is told when it is
    /// to hold: of two that read at once the later has the last word. What cannot be read changes nothing. Says what holds now.
    pub(super) fn reload<H: FnOnce()>(
        &self,
        read_more: impl FnOnce() -> Result<H, Failure>,
    ) -> Result<Reloaded, Failure> {
        let mut current = self.settings();
        let read = read_more().and_then(|hold| Ok((hold, self.read()?)));
        if self.args.json {
            // Who reads it no more ends the program soon.
            let told =
                read.as_ref().map_or_else(|failure| Some(failure.to_string()), |(_, (_, done))| done.error());
            let _ = tell_reloaded(told);
        }
        let (hold, (settings, done)) = read?;
        hold();
        *current = settings;
        Ok(done)
    }

    fn read(&self) -> Result<(Settings, Reloaded), Failure> {
        let newer = Settings::of(&self.args)?;
        let access = newer.read_access()?;
        // Where TLS is spoken stays as it was.
        let tls = Tls { listen: self.started.tls.listen.clone(), ..newer.tls.clone() };
        let certificate = if tls.listen.is_empty() { None } else { tls.read_certificate()? };
        let members = self.users.as_ref().map(Reader::read_again).transpose()?;
        let mode = in_mode(members.as_ref().map(|members| members.len()), &access);
        let heeded = self.handle.set_all(certificate.as_ref(), members, access);
        let rest = if self.started.needs_restart(&newer) {
            "; other settings that were changed hold after a restart"
        } else {
            ""
        };
        Ok((newer, Reloaded::new(format!("read again: {mode}{rest}"), heeded)))
    }

    /// The list has this torrent from now on, or has not: the file first, then what is served.
    pub(super) fn list(&self, torrent: InfoHash, listed: bool) -> Result<Listing, Failure> {
        let current = self.settings();
        let Some(path) = current.list() else { return Ok(Listing::NoList) };
        let named =
            |error: &io::Error| Failure::plain(format!("the list {}: {}", path.display(), why(error)));
        let is_change = whole::amend(path, |text| changed(text, torrent, listed));
        let is_change = is_change.map_err(|error| named(&error))?;
        // Somebody else may have changed it by hand: what is in the file holds.
        if let Err(unheeded) = self.handle.set_access(current.read_access()?) {
            return Ok(Listing::Unheeded(unheeded));
        }
        Ok(if is_change { Listing::Done } else { Listing::WasSo })
    }

    /// Looks into the users' file; nothing if the tracker is open.
    pub(super) fn look_at_users<T>(
        &self,
        look: impl FnOnce(&mut Store) -> Result<T, Failure>,
    ) -> Option<Result<T, Failure>> {
        let users = self.users.as_ref()?;
        Some(users.open().and_then(|mut store| look(&mut store)))
    }

    /// Changes the users' file. What it says then holds at once; why it does not is told beside what was done, if it does not.
    pub(super) fn change_users<T>(
        &self,
        change: impl FnOnce(&mut Store) -> Result<T, Failure>,
    ) -> Option<Result<(T, Option<Failure>), Failure>> {
        let _one_at_a_time = self.settings();
        self.look_at_users(|store| {
            let done = change(store)?;
            let not_yet = |failure| Failure::plain(not_everywhere(failure));
            Ok((done, self.serve_users(store).err().map(not_yet)))
        })
    }

    /// Whoever is in the users' file now is served from when this returns: somebody else has changed it. How many that are, and whether they
    /// are others than were served.
    pub(super) fn read_users(&self) -> Result<(usize, bool), Failure> {
        let _one_at_a_time = self.settings();
        self.look_at_users(|store| self.serve_users(store)).unwrap_or(Ok((0, false)))
    }

    fn serve_users(&self, store: &mut Store) -> Result<(usize, bool), Failure> {
        let members = match (store.read_own(), &self.users) {
            (Some(read), Some(reader)) => reader.members_of(read?),
            (None, Some(reader)) => reader.read_again()?,
            (_, None) => return Ok((0, false)),
        };
        let count = members.len();
        let is_change = self.handle.set_members(members).map_err(Failure::plain)?;
        Ok((count, is_change))
    }

    /// Whether visitors are to go elsewhere.
    pub(super) fn set_draining(&self, draining: bool) -> Result<(), Unheeded> {
        let _one_at_a_time = self.settings();
        self.draining.store(draining, Ordering::Relaxed);
        self.handle.set_draining(draining)
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// The tracker is to end. Whether nobody has asked for that before.
    pub(super) fn begin_to_end(&self) -> bool {
        !self.ending.swap(true, Ordering::Relaxed)
    }

    pub(super) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }

    /// Whether somebody is changing something this moment.
    #[cfg(test)]
    pub(super) fn is_in_use(&self) -> bool {
        self.current.try_lock().is_err()
    }

    /// As if nobody had asked for the end.
    #[cfg(test)]
    pub(super) fn forget_the_end(&self) {
        self.ending.store(false, Ordering::Relaxed);
    }
}

/// The list with, or without, this torrent; nothing if it is so already. Remarks stay.
fn changed(text: &[u8], torrent: InfoHash, listed: bool) -> Option<Vec<u8>> {
    let digits = torrent.to_string();
    let names_it = |line: &[u8]| {
        let (begins, rest) = line.split_at_checked(digits.len()).unwrap_or((line, &[]));
        begins.eq_ignore_ascii_case(digits.as_bytes()) && !rest.first().is_some_and(u8::is_ascii_hexdigit)
    };
    let lines = text.split_inclusive(|&byte| byte == b'\n');
    if lines.clone().any(names_it) == listed {
        return None;
    }
    let mut newer: Vec<u8> = lines.filter(|line| listed || !names_it(line)).flatten().copied().collect();
    if listed {
        if newer.last().is_some_and(|&byte| byte != b'\n') {
            newer.push(b'\n');
        }
        newer.extend_from_slice(digits.as_bytes());
        newer.push(b'\n');
    }
    Some(newer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_not_every_thread_has_heeded_is_told_programs_as_an_error() {
        let said = || "read again: open to every torrent".to_owned();
        assert_eq!(Reloaded::new(said(), Ok(())).error(), None);
        let error = Reloaded::new(said(), Err(Unheeded)).error().unwrap();
        assert!(
            error.starts_with(&said()) && error.contains("; but that does not hold everywhere"),
            "{error}"
        );
    }

    #[test]
    fn a_list_keeps_its_remarks_and_has_a_torrent_once_or_not() {
        let (one, two) = ("0123456789abcdef0123456789abcdef01234567", "f".repeat(40));
        let hash: InfoHash = one.parse().unwrap();
        let upper = one.to_uppercase();
        for (before, listed, after) in [
            ("", true, Some(format!("{one}\n"))),
            ("# ours", true, Some(format!("# ours\n{one}\n"))),
            (&*format!("{two}\n"), true, Some(format!("{two}\n{one}\n"))),
            (&*format!("{upper} a name\n"), true, None),
            (&*format!("{upper} a name\r\n{two}\n{one}"), false, Some(format!("{two}\n"))),
            // One digit more is no info-hash.
            (&*format!("{one}0\n"), true, Some(format!("{one}0\n{one}\n"))),
            (&*format!("{one}0\n"), false, None),
            ("", false, None),
        ] {
            let newer = changed(before.as_bytes(), hash, listed);
            assert_eq!(newer.map(|text| String::from_utf8(text).unwrap()), after, "{before:?} {listed}");
        }
    }
}
