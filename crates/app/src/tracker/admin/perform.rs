//! What an operator's request is answered: who may, what is done, and in which words. Knows requests and the tracker, not connections.
//!
//! Invariants: nothing is done before the table's role was compared with the caller's; whatever changes something is told, with who did
//! it. Shapes are after docs/json.md.

use super::command::{About, Command, NoWish, Role, Rule, TORRENT, USER, Wish, wish};
use super::people;
use super::tokens::Caller;
use super::{Desk, Door, caller};
use crate::failure::Failure;
use crate::show;
use crate::show::json::VERSION;
use crate::tracker::office::{Listing, Reloaded, not_everywhere};
use crate::tracker::users::is_harmless;
use crate::tracker::{StatsLine, print, this_machine};
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tracker::{Busy, Counts, Unheeded};
use wire::InfoHash;
use wire::tracker_http::head::Head;

/// Torrents told of at once if nobody says how many.
const TORRENTS: usize = 100;

/// How long a thread that serves visitors may take to say that it does.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is answered to changes when the end was asked for.
const ENDS: &str = "it ends, and nothing is changed any more";

/// Peers told of, at most.
const PEERS: usize = 200;

/// An answer.
pub(super) struct Answer {
    status: u16,
    body: Value,
    /// The tracker is to end behind it.
    pub(super) ends: bool,
}

/// Who did what.
#[derive(Serialize)]
struct AuditLine<'a> {
    v: u32,
    r#type: &'static str,
    who: &'a str,
    command: &'a str,
    error: Option<&'a str>,
}

impl Answer {
    pub(super) fn ok(body: Value) -> Answer {
        Answer { status: 200, body, ends: false }
    }

    /// Nothing was done, and why.
    pub(super) fn error(status: u16, text: &str) -> Answer {
        let body = json!({ "v": VERSION, "type": "error", "error": text });
        Answer { status, body, ends: false }
    }

    pub(super) fn changed(what: &str) -> Answer {
        Answer::ok(json!({ "v": VERSION, "type": "tracker_changed", "what": what }))
    }

    /// Its bytes.
    pub(super) fn encode(&self) -> String {
        let reason = match self.status {
            200 => "OK",
            400 => "Bad Request",
            401 => "Unauthorized\r\nWWW-Authenticate: Bearer",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            409 => "Conflict",
            421 => "Misdirected Request",
            503 => "Service Unavailable",
            _ => "Internal Server Error",
        };
        let body = format!("{}\n", self.body);
        format!(
            "HTTP/1.1 {} {reason}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n{body}",
            self.status,
            body.len()
        )
    }

    #[cfg(test)]
    pub(super) fn status(&self) -> u16 {
        self.status
    }

    #[cfg(test)]
    pub(super) fn body(&self) -> &Value {
        &self.body
    }
}

impl From<Busy> for Answer {
    fn from(busy: Busy) -> Answer {
        Answer::error(503, &busy.to_string())
    }
}

/// What a request is answered, once it was done.
pub(super) fn answer(head: &Head<'_>, door: Door, desk: &Desk) -> Answer {
    let caller = match caller(head, door, desk) {
        Ok(caller) => caller,
        Err(answer) => {
            desk.strangers.fetch_add(1, Ordering::Relaxed);
            return answer;
        }
    };
    let wish = match wish(head.method, head.target) {
        Ok(wish) => wish,
        Err(NoWish::Path) => {
            return Answer::error(404, "there is no such path; docs/tracker-admin.md has all");
        }
        Err(NoWish::Method) => return Answer::error(405, "that path is asked for in another way"),
        Err(NoWish::User) => return Answer::error(400, "that is no user's name"),
        Err(NoWish::InfoHash) => return Answer::error(400, "an info-hash has 40 hexadecimal digits"),
    };
    let rule = wish.command.rule();
    let answer = if caller.role < rule.role {
        Answer::error(
            403,
            match rule.role {
                Role::Viewer => "this needs the role viewer",
                Role::Operator => "this needs the role operator",
                Role::Admin => "this needs the role admin",
            },
        )
    } else if rule.changes && desk.office.is_ending() {
        Answer::error(409, ENDS)
    } else {
        perform(&wish, desk)
    };
    if rule.changes {
        tell(&caller, &wish, &answer, desk.office.json());
    }
    answer
}

fn perform(wish: &Wish<'_>, desk: &Desk) -> Answer {
    let (office, handle) = (&desk.office, desk.office.handle());
    match (wish.command, &wish.about) {
        (Command::Figures, _) => said(&StatsLine::of(handle.figures())),
        (Command::Health, _) => {
            let (status, word) = match (handle.is_alive(PATIENCE), office.is_draining()) {
                (false, _) => (503, "stuck"),
                (true, true) => (503, "draining"),
                (true, false) => (200, "serving"),
            };
            let body = json!({ "v": VERSION, "type": "tracker_health", "status": word });
            Answer { status, body, ends: false }
        }
        (Command::Torrents, _) => torrents(wish.query, desk),
        (Command::Torrent, About::Torrent(hash)) => torrent(*hash, false, desk),
        (Command::Peers, About::Torrent(hash)) => torrent(*hash, true, desk),
        (Command::Settings, _) => {
            let settings = office.settings();
            let listen = if settings.listen.is_empty() { this_machine() } else { settings.listen.clone() };
            match toml::from_str::<Value>(&settings.print(&listen)) {
                Ok(settings) => {
                    Answer::ok(json!({ "v": VERSION, "type": "tracker_settings", "settings": settings }))
                }
                Err(error) => Answer::error(500, &error.to_string()),
            }
        }
        (Command::Reload, _) => reloaded(desk.reload()),
        (Command::List, About::Torrent(hash)) => list(*hash, true, desk),
        (Command::Unlist, About::Torrent(hash)) => list(*hash, false, desk),
        (Command::Drain, _) => {
            drain(office.set_draining(true), "visitors are to go elsewhere: /health says 503")
        }
        (Command::Serve, _) => drain(office.set_draining(false), "visitors may come"),
        // Two may ask at once.
        (Command::End, _) if !office.begin_to_end() => Answer::error(409, ENDS),
        (Command::End, _) => Answer { ends: true, ..Answer::changed("it ends") },
        (Command::Users, _) => people::list(wish.query, office),
        (Command::User(what), About::User(name)) => people::answer(what, name, wish.query, office),
        // The table has an info-hash in their paths, or a name.
        (
            Command::Torrent | Command::Peers | Command::List | Command::Unlist | Command::User(_),
            About::Tracker | About::Torrent(_) | About::User(_),
        ) => Answer::error(400, "of what?"),
    }
}

fn reloaded(done: Result<Reloaded, Failure>) -> Answer {
    match done {
        Ok(Reloaded { said, is_unheeded: false }) => Answer::changed(&said),
        Ok(Reloaded { said, is_unheeded: true }) => Answer::error(503, &said),
        Err(failure) => Answer::error(409, &format!("nothing was changed: {failure}")),
    }
}

fn drain(heeded: Result<(), Unheeded>, what: &str) -> Answer {
    heeded.map_or_else(|unheeded| Answer::error(503, &not_everywhere(unheeded)), |()| Answer::changed(what))
}

fn said(line: &impl Serialize) -> Answer {
    match serde_json::to_value(line) {
        Ok(body) => Answer::ok(body),
        Err(error) => Answer::error(500, &error.to_string()),
    }
}

fn row(hash: InfoHash, counts: Counts) -> Value {
    let Counts { complete, incomplete, downloaded } = counts;
    json!({ "info_hash": hash.to_string(), "seeds": complete, "leechers": incomplete, "downloads": downloaded })
}

fn torrents(query: &str, desk: &Desk) -> Answer {
    let (mut after, mut most) = (None, TORRENTS);
    for part in query.split('&').filter(|part| !part.is_empty()) {
        match part.split_once('=') {
            Some(("after", text)) => match text.parse() {
                Ok(hash) => after = Some(hash),
                Err(_) => return Answer::error(400, "after: an info-hash has 40 hexadecimal digits"),
            },
            Some(("count", text)) => match text.parse() {
                Ok(count) if (1..=tracker::TORRENTS_MAX).contains(&count) => most = count,
                _ => {
                    let text = format!("count: between 1 and {}", tracker::TORRENTS_MAX);
                    return Answer::error(400, &text);
                }
            },
            _ => return Answer::error(400, "what can be said is `after` and `count`"),
        }
    }
    let rows = match desk.office.handle().torrents(after, most) {
        Ok(rows) => rows,
        Err(busy) => return busy.into(),
    };
    let next = rows.last().filter(|_| rows.len() == most).map(|(hash, _)| hash.to_string());
    let rows: Vec<Value> = rows.into_iter().map(|(hash, counts)| row(hash, counts)).collect();
    Answer::ok(json!({ "v": VERSION, "type": "tracker_torrents", "torrents": rows, "next": next }))
}

fn torrent(hash: InfoHash, with_peers: bool, desk: &Desk) -> Answer {
    let swarm = match desk.office.handle().swarm(hash, if with_peers { PEERS } else { 0 }) {
        Ok(Some(swarm)) => swarm,
        Ok(None) => return Answer::error(404, "nobody is in that torrent's swarm"),
        Err(busy) => return busy.into(),
    };
    let mut body = row(hash, swarm.counts);
    (body["v"], body["type"]) = (VERSION.into(), "tracker_torrent".into());
    if with_peers {
        let peers = swarm.peers.iter();
        body["peers"] = peers.map(|(at, seed)| json!({ "address": at.to_string(), "seed": seed })).collect();
    }
    Answer::ok(body)
}

fn list(hash: InfoHash, listed: bool, desk: &Desk) -> Answer {
    match desk.office.list(hash, listed) {
        Ok(Listing::Done) => {
            Answer::changed(if listed { "it is listed" } else { "it is not listed any more" })
        }
        Ok(Listing::WasSo) => Answer::changed("nothing: it was so already"),
        Ok(Listing::Unheeded(unheeded)) => Answer::error(503, &not_everywhere(unheeded)),
        Ok(Listing::NoList) => Answer::error(
            409,
            "every torrent is served: there is no list; `access` in the settings names one",
        ),
        Err(error) => Answer::error(500, &error.to_string()),
    }
}

/// What was asked for, as it may be kept: not in the words of who asked.
fn in_words(wish: &Wish<'_>) -> String {
    let Rule { method, path, .. } = wish.command.rule();
    let path = match &wish.about {
        About::Tracker => path.into(),
        About::Torrent(hash) => path.replace(TORRENT, &hash.to_string()),
        About::User(name) => path.replace(USER, if is_harmless(name) { name } else { "..." }),
    };
    format!("{method} {path}")
}

/// Says who changed what, or tried to.
fn tell(caller: &Caller, wish: &Wish<'_>, answer: &Answer, json: bool) {
    let command = in_words(wish);
    let error = answer.body["error"].as_str();
    let became = error.or(answer.body["what"].as_str()).unwrap_or_default();
    show::message(&format!("{}: {command}: {became}", caller.name));
    if json {
        let (r#type, who) = ("tracker_admin", &*caller.name);
        // Who reads it no more has ended it.
        let _ = print(&AuditLine { v: VERSION, r#type, who, command: &command, error });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_hold_everywhere_yet_is_no_success_at_any_command() {
        let reload = |is_unheeded| reloaded(Ok(Reloaded { said: "read again".into(), is_unheeded }));
        assert_eq!((reload(false).status(), reload(true).status()), (200, 503));
        assert_eq!(reloaded(Err(Failure::plain("spoilt"))).status(), 409);
        let drains = drain(Err(Unheeded), "visitors may come");
        assert!(drains.status() == 503 && drains.body()["error"].to_string().contains("everywhere yet"));
    }

    #[test]
    fn what_is_kept_of_a_command_has_no_passkey_in_it() {
        let key = "0123456789abcdef0123456789ABCDEF";
        for (target, kept) in [
            ("/users/anna/disabled", "/users/anna/disabled"),
            ("/users/Zo%C3%AB/disabled?x=1", "/users/Zo\u{eb}/disabled"),
            ("/users/KEY%20/disabled", "/users/.../disabled"),
            ("/users/KEY./disabled", "/users/.../disabled"),
            ("/users/anna@KEY/disabled", "/users/.../disabled"),
            ("/users/announce%3Fpasskey%3DKEY/disabled", "/users/.../disabled"),
            ("/users/an%1Bna/disabled", "/users/.../disabled"),
            ("/drain?passkey=KEY", "/drain"),
        ] {
            let target = target.replace("KEY", key);
            let wish = wish("PUT", &target).unwrap();
            assert_eq!(in_words(&wish), format!("PUT {kept}"), "{target}");
        }
        let target = format!("/access/{}", "F".repeat(40));
        assert_eq!(in_words(&wish("DELETE", &target).unwrap()), format!("DELETE {}", target.to_lowercase()));
    }
}
