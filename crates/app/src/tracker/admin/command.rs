//! What an operator can ask of a tracker at work: one table, in which every command has a method, a path and the role that it needs. Every
//! door goes through it.
//!
//! Invariant: what is not in the table does not exist, and a command without a role does not compile. Threat F10

use wire::InfoHash;

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
}

/// How a command is asked for, and by whom it may be.
pub(super) struct Rule {
    pub(super) method: &'static str,
    /// `*` stands for an info-hash.
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

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Wish<'a> {
    pub(super) command: Command,
    /// Of commands that are about a torrent.
    pub(super) torrent: Option<InfoHash>,
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
}

impl Command {
    /// All of them.
    pub(super) const ALL: [Command; 12] = [
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
    ];

    /// Its row in the table.
    pub(super) const fn rule(self) -> Rule {
        match self {
            Command::Figures => read("/figures", Role::Viewer),
            Command::Health => read("/health", Role::Viewer),
            Command::Torrents => read("/torrents", Role::Viewer),
            Command::Torrent => read("/torrents/*", Role::Viewer),
            Command::Peers => read("/torrents/*/peers", Role::Admin),
            Command::Settings => read("/settings", Role::Operator),
            Command::Reload => change("POST", "/reload", Role::Operator),
            Command::List => change("PUT", "/access/*", Role::Operator),
            Command::Unlist => change("DELETE", "/access/*", Role::Operator),
            Command::Drain => change("PUT", "/drain", Role::Operator),
            Command::Serve => change("DELETE", "/drain", Role::Operator),
            Command::End => change("POST", "/end", Role::Admin),
        }
    }
}

/// What a request asks for.
pub(super) fn wish<'a>(method: &str, target: &'a str) -> Result<Wish<'a>, NoWish> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut why = NoWish::Path;
    for command in Command::ALL {
        let rule = command.rule();
        let Some(name) = named(rule.path, path) else { continue };
        if rule.method != method {
            why = NoWish::Method;
            continue;
        }
        let torrent = name.map(|name| name.parse().map_err(|_| NoWish::InfoHash)).transpose()?;
        return Ok(Wish { command, torrent, query });
    }
    Err(why)
}

/// Whether a path is of this shape, and what stands in the place of its `*`.
fn named<'a>(shape: &str, path: &'a str) -> Option<Option<&'a str>> {
    match shape.split_once('*') {
        None => (shape == path).then_some(None),
        Some((before, after)) => {
            let name = path.strip_prefix(before)?.strip_suffix(after)?;
            (!name.contains('/')).then_some(Some(name))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_found_by_its_method_and_path_alone() {
        let hash = "0123456789abcdef0123456789abcdef01234567";
        for command in Command::ALL {
            let Rule { method, path, .. } = command.rule();
            let torrent = path.contains('*').then(|| hash.parse().unwrap());
            let target = path.replace('*', hash) + "?x=1";
            assert_eq!(wish(method, &target), Ok(Wish { command, torrent, query: "x=1" }));
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
        ] {
            assert_eq!(wish(method, target), Err(why), "{method} {target}");
        }
    }
}
