//! `gannet tracker`: starts the tracker server, says where it is, and now and then how it goes. What it answers is the crate `tracker`'s.

mod admin;
mod asked;
mod managed;
mod office;
mod settings;
mod unread;
mod users;
mod whole;

use crate::cli::{Exit, HTTPS_PORT, TRACKER_PORT, Tracker as Args, TrackerCommand};
use crate::failure::{Failure, Outcome};
use crate::notices;
use crate::show;
use crate::show::json::{VERSION, print};
use crate::words::{count, why};
use admin::Admin;
use asked::Asked;
use managed::Managed;
use office::Office;
use os::signals::{Signal, Signals};
use os::supervisor::State;
use serde::Serialize;
use settings::Settings;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};
use tracker::{Access, Figures, Listen, Remembered, Restored, StartError, Tracker};
use unread::Unread;
use users::Keeper;

/// How often it says how it goes.
const NEWS_INTERVAL: Duration = Duration::from_secs(10);

/// How often it is looked whether somebody has changed the users.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How long visitors may take who are being served when the end is asked for.
const END_PATIENCE: Duration = Duration::from_secs(5);

/// Announce URLs for people at most; a machine may have hundreds of addresses.
const URLS_MAX: usize = 16;

/// Where it is, once.
#[derive(Serialize)]
struct ListeningLine {
    v: u32,
    r#type: &'static str,
    addresses: Vec<String>,
    urls: Vec<String>,
}

/// What it knows of the time before, once, if it is to.
#[derive(Serialize)]
struct RememberedLine<'a> {
    v: u32,
    r#type: &'static str,
    peers: u64,
    stale: u64,
    left_out: u64,
    clients: u64,
    damaged: &'a [String],
}

/// How it goes.
#[derive(Serialize)]
struct StatsLine {
    v: u32,
    r#type: &'static str,
    announces: u64,
    scrapes: u64,
    swarms: u64,
    peers: u64,
}

impl StatsLine {
    fn of(figures: Figures) -> StatsLine {
        let Figures { announces, scrapes, swarms, peers } = figures;
        StatsLine { v: VERSION, r#type: "tracker_stats", announces, scrapes, swarms, peers }
    }
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Outcome {
    if let Some(TrackerCommand::Users(args)) = &args.command {
        return users::commands::run(args);
    }
    // Before there is any other thread: SIGHUP is no end here.
    let asked = Asked::by(Signals::hold().map_err(Failure::plain)?)?;
    let notices = notices::listen();
    let settings = Settings::of(args)?;
    let listen = if settings.listen.is_empty() { this_machine() } else { settings.listen.clone() };
    if args.print_config {
        show::print(&settings.print(&listen))?;
        return Ok(Exit::Done);
    }
    // A visitor over HTTP is an open file.
    os::limits::raise_open_files();
    let (keeper, private) = settings.private.as_deref().map(Keeper::start).transpose()?.unzip();
    let https = settings.tls.listen.iter().map(|&at| Listen::https(at));
    let config = settings.config(listen.into_iter().map(Listen::all).chain(https).collect(), private)?;
    let whom = in_mode(config.private.as_ref().map(|private| private.members.len()), &config.access);
    let names = config.certificate.as_ref().map_or(Vec::new(), |shown| shown.names().to_vec());
    let tracker = Tracker::start(config).map_err(|error| refused(&error))?;
    // However this ends: first this, then the tracker, then the books.
    let end_in_sight = keeper.as_ref().map(Keeper::end_in_sight);
    if let Some(remembered) = tracker.remembered() {
        tell_remembered(remembered, args.json)?;
    }
    let urls = urls(tracker.listening(), &names);
    let doors = settings.admin.clone();
    let reader = keeper.as_ref().map(Keeper::reader);
    let office = Office::new(args, settings, tracker.handle().clone(), reader);
    let admin = Admin::open(&doors, office, asked.clone())?;
    tell_where(&tracker, urls, &whom, keeper.is_some(), args.json)?;
    admin.says().iter().for_each(|text| show::message(text));
    let mut managed = Managed::of_environment();
    managed.tell(State::Ready);
    let (mut news, mut unread) = (News::default(), Unread::default());
    loop {
        let users = keeper.as_ref().map(|keeper| (keeper, &mut unread));
        let signal = wait(&asked, admin.office(), users, args.json.then_some(&mut news));
        tell_notices(&notices);
        admin.tell_turned_away();
        news.tell(tracker.figures(), args.json, &mut managed);
        match signal {
            Some(Signal::End) => {
                managed.tell(State::Stopping);
                admin.office().begin_to_end();
                drop((admin, end_in_sight));
                tracker.end(END_PATIENCE);
                // The last snapshot may not have found room on the disk.
                tell_notices(&notices);
                drop(keeper);
                return Ok(Exit::Done);
            }
            Some(Signal::Reload) => {
                managed.tell(State::Reloading);
                admin.reload_aloud();
                managed.tell(State::Ready);
            }
            None => {}
        }
    }
}

/// Says what the tracker has warned of. What it says of many visitors in the same words is said once at a time.
fn tell_notices(notices: &Receiver<String>) {
    let lines: BTreeSet<String> = notices.try_iter().collect();
    lines.iter().for_each(|line| show::message(line));
}

/// Waits until something is asked for, or until it is time to say how it goes. Meanwhile users that somebody has changed are served as they are now.
fn wait(
    asked: &Asked,
    office: &Office,
    users: Option<(&Keeper, &mut Unread)>,
    mut json: Option<&mut News>,
) -> Option<Signal> {
    let Some((keeper, unread)) = users else { return asked.wait(NEWS_INTERVAL) };
    let began = Instant::now();
    while began.elapsed() < NEWS_INTERVAL {
        if let Some(signal) = asked.wait(LOOK_INTERVAL) {
            return Some(signal);
        }
        let error = match unread.look(keeper.has_news(), || office.read_users()) {
            None => continue,
            Some(Ok(users)) => {
                show::message(&format!("the users were changed: {}", count(users as u64, "user")));
                None
            }
            Some(Err(failure)) => {
                show::message(&format!("the users were changed, but {}", office::not_everywhere(&failure)));
                Some(failure.to_string())
            }
        };
        if let Some(news) = &mut json {
            news.forgive(office::tell_reloaded(error));
        }
    }
    None
}

/// What is told while it runs. A tracker does not end because nobody can be told how it goes.
#[derive(Default)]
struct News {
    told: Figures,
    fails: bool,
}

impl News {
    /// How it goes: to programs and to a manager each time, to people when it is something else, unless a manager shows it.
    fn tell(&mut self, figures: Figures, json: bool, managed: &mut Managed) {
        if json {
            self.forgive(print(&StatsLine::of(figures)));
        } else if figures != self.told && !managed.is_managed() {
            show::message(&in_words(figures));
        }
        managed.tell(State::Status(&in_words(figures)));
        self.told = figures;
    }

    /// That it cannot be told is said once, until it can be again.
    fn forgive(&mut self, told: Result<(), Failure>) {
        let failed_before = std::mem::replace(&mut self.fails, told.is_err());
        if let (Err(failure), false) = (told, failed_before) {
            show::message(&format!("{failure}; the tracker goes on"));
        }
    }
}

/// Who is served with which torrents, for people: so many users, if not everybody.
fn in_mode(users: Option<usize>, access: &Access) -> String {
    let whom = users
        .map_or("open to ".to_owned(), |users| format!("private, for {}, ", count(users as u64, "user")));
    match access {
        Access::Open => whom + "every torrent",
        Access::Allow(list) => whom + &count(list.len() as u64, "listed torrent") + " alone",
        Access::Deny(list) => whom + "every torrent but " + &count(list.len() as u64, "listed torrent"),
    }
}

/// Both families' loopback, as far as this machine has them.
fn this_machine() -> Vec<SocketAddr> {
    let ips = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    let there = |ip: &IpAddr| ip.is_ipv4() || UdpSocket::bind((*ip, 0)).is_ok();
    ips.into_iter().filter(there).map(|ip| SocketAddr::new(ip, TRACKER_PORT)).collect()
}

/// Why it does not start, and what to do about it.
fn refused(error: &StartError) -> Failure {
    let error = match error {
        StartError::Listen(error) => error,
        StartError::State(error) => return Failure::plain(format!("cannot keep anything in {}", why(error))),
        StartError::System(error) => return Failure::plain(format!("cannot start: {}", why(error))),
    };
    let advice = match error.kind() {
        ErrorKind::AddrInUse => {
            "; another program is there, a tracker perhaps: end it, or take another port, such as --listen 127.0.0.1:7070"
        }
        ErrorKind::AddrNotAvailable => "; it is none of this machine's addresses, which `ip address` shows",
        ErrorKind::PermissionDenied => {
            "; ports below 1024 are for root, and for programs with CAP_NET_BIND_SERVICE"
        }
        _ => "",
    };
    Failure::plain(format!("cannot listen at {}{advice}", why(error)))
}

/// Who is known again, and what could not be read.
fn tell_remembered(remembered: &Remembered, json: bool) -> Result<(), Failure> {
    let Remembered { peers, clients, damaged } = remembered;
    for file in damaged {
        show::message(&format!("not all that was saved can be read: {file}; the rest is used"));
    }
    if json {
        let (peers, stale, left_out) = (peers.peers, peers.stale, peers.left_out);
        let r#type = "tracker_remembered";
        let line = RememberedLine { v: VERSION, r#type, peers, stale, left_out, clients: *clients, damaged };
        return print(&line);
    }
    show::message(&remembered_text(peers));
    Ok(())
}

/// What became of those who were saved, for people.
fn remembered_text(peers: &Restored) -> String {
    let mut text = format!("{} remembered", count(peers.peers, "peer"));
    if peers.stale > 0 {
        text += &format!("; {} stayed away for too long", peers.stale);
    }
    if peers.left_out > 0 {
        text += &format!("; for {} there is no room", peers.left_out);
    }
    text
}

fn tell_where(
    tracker: &Tracker,
    urls: Vec<String>,
    whom: &str,
    private: bool,
    json: bool,
) -> Result<(), Failure> {
    if json {
        let addresses = tracker.listening().iter().map(|listen| listen.at.to_string()).collect();
        return print(&ListeningLine { v: VERSION, r#type: "tracker_listening", addresses, urls });
    }
    let urls_of = match private {
        false => "announce URLs to give to `gannet create --tracker`",
        true => {
            "each user announces to a URL of its own, which is one of these with `?passkey=` and a passkey behind it"
        }
    };
    show::message(&format!("tracker, {whom}; {urls_of}:"));
    show::print(&urls.iter().fold(String::new(), |text, url| text + "  " + url + "\n"))?;
    if tracker.listening().iter().all(|listen| listen.at.ip().is_loopback()) {
        show::message(
            "for this machine alone; --listen 0.0.0.0 --listen '[::]' lets others in. Ctrl-C ends it",
        );
    } else {
        show::message("Ctrl-C ends it");
    }
    Ok(())
}

/// What peers announce to, per address and protocol. All addresses of the machine stand for one that means all of them; where TLS is
/// spoken, the names that the certificate is for.
fn urls(listening: &[Listen], names: &[String]) -> Vec<String> {
    let mut urls = Vec::new();
    for listen in listening {
        let named = names.iter().filter(|name| listen.tls && !name.contains('*'));
        let named: Vec<_> = named.map(|name| https(name, listen.at.port())).collect();
        if !named.is_empty() {
            urls.extend(named);
            continue;
        }
        let own =
            if listen.at.ip().is_unspecified() { machine(listen.at.is_ipv4()) } else { vec![listen.at.ip()] };
        for at in own.into_iter().map(|ip| SocketAddr::new(ip, listen.at.port())) {
            let scheme = if listen.tls { "https" } else { "http" };
            urls.extend(listen.http.then(|| format!("{scheme}://{at}/announce")));
            urls.extend(listen.udp.then(|| format!("udp://{at}/announce")));
        }
    }
    // Those of one name at two addresses are the same.
    let mut told = BTreeSet::new();
    urls.retain(|url| told.insert(url.clone()));
    urls.truncate(URLS_MAX);
    urls
}

fn https(name: &str, port: u16) -> String {
    let port = if port == HTTPS_PORT { String::new() } else { format!(":{port}") };
    format!("https://{name}{port}/announce")
}

/// The machine's addresses of a family that others may use; its loopback if there is none.
fn machine(v4: bool) -> Vec<IpAddr> {
    let interfaces = os::interfaces::list().unwrap_or_default();
    let all = interfaces.into_iter().flat_map(|interface| interface.addresses);
    // Addresses of one link alone need a scope, which no URL has.
    let link_local = |ip: &IpAddr| matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    let usable = |ip: &IpAddr| ip.is_ipv4() == v4 && !ip.is_loopback() && !link_local(ip);
    let found: Vec<IpAddr> = all.filter(usable).collect();
    let loopback = if v4 { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
    if found.is_empty() { vec![loopback] } else { found }
}

fn in_words(figures: Figures) -> String {
    let Figures { announces, scrapes, swarms, peers } = figures;
    let [peers, swarms] = [count(peers, "peer"), count(swarms, "torrent")];
    format!("{peers} of {swarms}; {} and {} answered", count(announces, "announce"), count(scrapes, "scrape"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_not_remembered_is_told_of() {
        for (peers, stale, left_out, text) in [
            (0, 0, 0, "0 peers remembered"),
            (1, 0, 3, "1 peer remembered; for 3 there is no room"),
            (20, 2, 3, "20 peers remembered; 2 stayed away for too long; for 3 there is no room"),
        ] {
            assert_eq!(remembered_text(&Restored { peers, stale, left_out }), text);
        }
    }

    #[test]
    fn every_address_and_protocol_has_a_url() {
        let at = |text: &str| text.parse().unwrap();
        let listening = [Listen::http(at("192.0.2.7:80")), Listen::all(at("[2001:db8::7]:6969"))];
        assert_eq!(
            urls(&listening, &["tracker.test".into()]),
            [
                "http://192.0.2.7:80/announce",
                "http://[2001:db8::7]:6969/announce",
                "udp://[2001:db8::7]:6969/announce"
            ]
        );
        let secure = ["0.0.0.0:443", "[::]:443", "127.0.0.1:8443"].map(|text| Listen::https(at(text)));
        assert_eq!(
            urls(&secure, &["tracker.test".into(), "*.test".into()]),
            ["https://tracker.test/announce", "https://tracker.test:8443/announce"]
        );
        assert_eq!(urls(&secure[2..], &[]), ["https://127.0.0.1:8443/announce"]);
        // Nobody can announce to an address that means all of them.
        for all in ["0.0.0.0:6969", "[::]:6969"] {
            let urls = urls(&[Listen::all(at(all))], &[]);
            assert!(
                !urls.is_empty() && urls.iter().all(|url| !url.contains(&format!("/{all}/"))),
                "{urls:?}"
            );
        }
    }
}
