//! What an operator can ask of a tracker at work: one table, in which every command has a method, a path and the role that it needs. Every
//! door goes through it.
//!
//! Invariant: what is not in the table does not exist, and a command without a role does not compile. Threat F10

use wire::{InfoHash, Passkey};

/// What somebody may do; who may do more may do less.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Role {
    /// Sees how it goes.
    Viewer,
    /// Changes what can be undone.
    Operator,
    /// Everything: sees who takes part in what, ends the tracker.
    Admin,
}

/// A command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Command {
    Figures,
    Health,
    Torrents,
    Torrent,
    Peers,
    Settings,
    Reload,
    List,
    Unlist,
    Drain,
    Serve,
    End,
    Users,
    User(UserCommand),
}

/// What becomes of one user of a private tracker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum UserCommand {
    Show,
    Add,
    Remove,
    NewKey,
    Disable,
    Enable,
    NoDownload,
    Download,
}

/// How a command is asked for, and by whom it may be.
pub(super) struct Rule {
    pub(super) method: &'static str,
    /// With [`TORRENT`] or [`USER`] where these are named.
    pub(super) path: &'static str,
    pub(super) role: Role,
    /// Whether it changes anything: then it is told who did.
    pub(super) changes: bool,
}

const fn read(path: &'static str, role: Role) -> Rule {
    Rule { method: "GET", path, role, changes: false }
}

const fn change(method: &'static str, path: &'static str, role: Role) -> Rule {
    Rule { method, path, role, changes: true }
}

/// Where an info-hash stands in a path.
pub(super) const TORRENT: &str = "{torrent}";

/// Where a user's name stands in a path, percent-encoded as far as need be.
pub(super) const USER: &str = "{user}";

/// What a command is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum About {
    Tracker,
    Torrent(InfoHash),
    User(String),
}

/// What is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Wish<'a> {
    pub(super) command: Command,
    pub(super) about: About,
    /// What stands behind the path's `?`.
    pub(super) query: &'a str,
}

/// Why nothing is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NoWish {
    /// There is no such path.
    Path,
    /// There is, but not with this method.
    Method,
    /// Where an info-hash should stand is none.
    InfoHash,
    /// Where a user's name should stand is none.
    User,
}

impl Command {
    /// All of them.
    pub(super) const ALL: [Command; 21] = [
        Command::Figures,
        Command::Health,
        Command::Torrents,
        Command::Torrent,
        Command::Peers,
        Command::Settings,
        Command::Reload,
        Command::List,
        Command::Unlist,
        Command::Drain,
        Command::Serve,
        Command::End,
        Command::Users,
        Command::User(UserCommand::Show),
        Command::User(UserCommand::Add),
        Command::User(UserCommand::Remove),
        Command::User(UserCommand::NewKey),
        Command::User(UserCommand::Disable),
        Command::User(UserCommand::Enable),
        Command::User(UserCommand::NoDownload),
        Command::User(UserCommand::Download),
    ];

    /// Its row in the table.
    pub(super) const fn rule(self) -> Rule {
        match self {
            Command::Figures => read("/figures", Role::Viewer),
            Command::Health => read("/health", Role::Viewer),
            Command::Torrents => read("/torrents", Role::Viewer),
            Command::Torrent => read("/torrents/{torrent}", Role::Viewer),
            Command::Peers => read("/torrents/{torrent}/peers", Role::Admin),
            Command::Settings => read("/settings", Role::Operator),
            Command::Reload => change("POST", "/reload", Role::Operator),
            Command::List => change("PUT", "/access/{torrent}", Role::Operator),
            Command::Unlist => change("DELETE", "/access/{torrent}", Role::Operator),
            Command::Drain => change("PUT", "/drain", Role::Operator),
            Command::Serve => change("DELETE", "/drain", Role::Operator),
            Command::End => change("POST", "/end", Role::Admin),
            Command::Users => read("/users", Role::Operator),
            Command::User(UserCommand::Show) => read("/users/{user}", Role::Operator),
            Command::User(UserCommand::Add) => change("PUT", "/users/{user}", Role::Admin),
            Command::User(UserCommand::Remove) => change("DELETE", "/users/{user}", Role::Admin),
            Command::User(UserCommand::NewKey) => change("POST", "/users/{user}/passkey", Role::Admin),
            Command::User(UserCommand::Disable) => change("PUT", "/users/{user}/disabled", Role::Operator),
            Command::User(UserCommand::Enable) => change("DELETE", "/users/{user}/disabled", Role::Operator),
            Command::User(UserCommand::NoDownload) => {
                change("PUT", "/users/{user}/no-download", Role::Operator)
            }
            Command::User(UserCommand::Download) => {
                change("DELETE", "/users/{user}/no-download", Role::Operator)
            }
        }
    }
}

/// What a request asks for.
pub(super) fn wish<'a>(method: &str, target: &'a str) -> Result<Wish<'a>, NoWish> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut why = NoWish::Path;
    for command in Command::ALL {
        let rule = command.rule();
        let Some(about) = about(rule.path, path) else { continue };
        if rule.method != method {
            why = NoWish::Method;
            continue;
        }
        return Ok(Wish { command, about: about?, query });
    }
    Err(why)
}

/// Whether a path is of this shape, and what it is about then.
fn about(shape: &str, path: &str) -> Option<Result<About, NoWish>> {
    if let Some(name) = named(shape, TORRENT, path) {
        return Some(name.parse().map(About::Torrent).map_err(|_| NoWish::InfoHash));
    }
    if let Some(name) = named(shape, USER, path) {
        // Names are shown: whoever puts a passkey there by mistake reads it nowhere again (E11).
        let name = unescape(name).filter(|name| !name.is_empty() && Passkey::read(name.as_bytes()).is_none());
        return Some(name.map(About::User).ok_or(NoWish::User));
    }
    (shape == path).then_some(Ok(About::Tracker))
}

/// What stands in this place of the shape.
fn named<'a>(shape: &str, place: &str, path: &'a str) -> Option<&'a str> {
    let (before, after) = shape.split_once(place)?;
    path.strip_prefix(before)?.strip_suffix(after).filter(|name| !name.contains('/'))
}

/// A part of a URL as text; nothing if it is none.
pub(super) fn unescape(part: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::new(), part);
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        let digits = after.get(..2).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = after.get(2..)?;
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_found_by_its_method_and_path_alone() {
        let hash = "0123456789abcdef0123456789abcdef01234567";
        for command in Command::ALL {
            let Rule { method, path, .. } = command.rule();
            let about = match (path.contains(TORRENT), path.contains(USER)) {
                (true, _) => About::Torrent(hash.parse().unwrap()),
                (_, true) => About::User("Zo\u{eb}+1".into()),
                (false, false) => About::Tracker,
            };
            let target = path.replace(TORRENT, hash).replace(USER, "Zo%c3%AB+1") + "?x=1";
            assert_eq!(wish(method, &target), Ok(Wish { command, about, query: "x=1" }));
        }
        for (method, target, why) in [
            ("GET", "/", NoWish::Path),
            ("GET", "/figures/", NoWish::Path),
            ("GET", "/Figures", NoWish::Path),
            ("POST", "/figures", NoWish::Method),
            ("GET", "/end", NoWish::Method),
            ("OPTIONS", "/end", NoWish::Method),
            ("GET", "/torrents/", NoWish::InfoHash),
            ("GET", "/torrents/1234", NoWish::InfoHash),
            ("GET", "/torrents/1234/peers/x", NoWish::Path),
            ("GET", "/access/%00", NoWish::Method),
            ("GET", "/users/", NoWish::User),
            ("GET", "/users/%c3", NoWish::User),
            ("GET", "/users/%4", NoWish::User),
            ("GET", "/users/%+1", NoWish::User),
            ("GET", "/users/0123456789abcdef0123456789abcdef", NoWish::User),
            ("POST", "/users/anna/disabled", NoWish::Method),
        ] {
            assert_eq!(wish(method, target), Err(why), "{method} {target}");
        }
    }
}
