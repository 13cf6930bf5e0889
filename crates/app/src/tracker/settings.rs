//! The settings of `gannet tracker`: what a file says, what the command line says, and what holds without either.
//!
//! Invariant: what is printed can be read, and means the same.

mod admin;
mod state;
mod tls;
mod udp;

pub(super) use admin::Admin;
pub(super) use tls::Tls;

use crate::cli::{Tracker as Args, listen_at};
use crate::failure::Failure;
use crate::quantity::Span;
use crate::words::why;
use serde::Deserialize;
use state::StateTable;
use std::fs;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tracker::{
    Access, Config, HttpRules, Listen, Network, Private, Rules, TorrentList, UdpRules, WebSocketRules,
};
use udp::UdpTable;

/// What peers may be told to wait: less is a flood, and more than a day is for ever.
const INTERVAL_MIN: Duration = Duration::from_secs(10);
const INTERVAL_MAX: Duration = Duration::from_secs(24 * 3600);

/// All that can be set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Settings {
    /// Nothing: this machine's loopback.
    pub(super) listen: Vec<SocketAddr>,
    workers: NonZeroU16,
    access: Listed,
    /// Where the users are, if there are any.
    pub(super) private: Option<PathBuf>,
    rules: Rules,
    udp: UdpRules,
    http: HttpRules,
    pub(super) tls: Tls,
    pub(super) admin: Admin,
    websocket: Option<WebSocketRules>,
    state: Option<PathBuf>,
}

/// Which torrents are served, and where the list is.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Listed {
    Open,
    Allow(PathBuf),
    Deny(PathBuf),
}

/// A file as it is written.
#[derive(Deserialize, Default, Debug)]
#[serde(deny_unknown_fields, default)]
struct File {
    listen: Option<Vec<String>>,
    workers: Option<NonZeroU16>,
    access: AccessTable,
    private: PrivateTable,
    swarms: SwarmsTable,
    udp: UdpTable,
    http: HttpTable,
    tls: tls::Table,
    admin: admin::Table,
    websocket: WebSocketTable,
    state: StateTable,
}

#[derive(Deserialize, Default, Debug)]
#[serde(deny_unknown_fields, default)]
struct AccessTable {
    mode: Mode,
    list: Option<PathBuf>,
}

#[derive(Deserialize, Clone, Copy, Default, Debug)]
#[serde(rename_all = "lowercase")]
enum Mode {
    #[default]
    Open,
    Allow,
    Deny,
}

#[derive(Deserialize, Default, Debug)]
#[serde(deny_unknown_fields, default)]
struct PrivateTable {
    users: Option<PathBuf>,
}

#[derive(Deserialize, Default, Debug)]
#[serde(deny_unknown_fields, default)]
struct SwarmsTable {
    interval: Option<String>,
    min_interval: Option<String>,
    peers_max: Option<u32>,
    swarms_max: Option<u32>,
}

#[derive(Deserialize, Default, Debug)]
#[serde(deny_unknown_fields, default)]
struct HttpTable {
    connections_max: Option<usize>,
    connections_per_address_max: Option<usize>,
    forwarded_by: Vec<String>,
    proxied_by: Vec<String>,
    metrics_for: Option<Vec<String>>,
}

#[derive(Deserialize, Default, Debug)]
#[serde(deny_unknown_fields, default)]
struct WebSocketTable {
    serve: Option<bool>,
    connections_max: Option<usize>,
    connections_per_address_max: Option<usize>,
    messages_per_second_max: Option<u32>,
}

impl WebSocketTable {
    fn rules(&self, usual: WebSocketRules) -> Option<WebSocketRules> {
        let rules = WebSocketRules {
            connections_max: self.connections_max.unwrap_or(usual.connections_max),
            connections_per_address_max: self
                .connections_per_address_max
                .unwrap_or(usual.connections_per_address_max),
            messages_per_second_max: self.messages_per_second_max.unwrap_or(usual.messages_per_second_max),
            ..usual
        };
        self.serve.unwrap_or(true).then_some(rules)
    }
}

impl Settings {
    /// What holds under this command line: it goes before the file that it names.
    pub(super) fn of(args: &Args) -> Result<Settings, Failure> {
        let mut settings = match &args.config {
            Some(path) => {
                let cannot =
                    |what: &str| Failure::plain(format!("the configuration {}: {what}", path.display()));
                let text = fs::read_to_string(path).map_err(|error| cannot(&why(&error)))?;
                let folder = path.parent().unwrap_or(Path::new(""));
                Settings::read(&text, folder).map_err(|error| cannot(&error))?
            }
            None => Settings::default(),
        };
        if !args.listen.is_empty() {
            settings.listen.clone_from(&args.listen);
        }
        if let Some(socket) = &args.admin_socket {
            settings.admin.socket = Some(socket.clone());
        }
        if let Some(workers) = args.workers {
            settings.workers = workers;
        }
        if let Some(users) = &args.private {
            settings.private = Some(users.clone());
        }
        if args.state.is_some() {
            settings.state.clone_from(&args.state);
        }
        let typed = Tls {
            listen: args.tls_listen.clone(),
            certificate: args.certificate.clone(),
            key: args.key.clone(),
        };
        settings.tls = settings.tls.under(&typed);
        match (&args.allow, &args.deny) {
            (Some(list), _) => settings.access = Listed::Allow(list.clone()),
            (None, Some(list)) => settings.access = Listed::Deny(list.clone()),
            (None, None) => {}
        }
        Ok(settings)
    }

    /// What a file says. Paths in it begin in its own folder.
    fn read(text: &str, folder: &Path) -> Result<Settings, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
        let usual = Settings::default();
        let (rules, http) = (usual.rules, usual.http);
        let named = |key: &str, error: String| format!("{key}: {error}");
        let span = |key: &str, text: Option<String>, usual: Duration| match text {
            None => Ok(usual),
            Some(text) => text.parse().map(|Span(span)| span).map_err(|error| named(key, error)),
        };
        let interval = span("swarms.interval", file.swarms.interval, rules.interval)?;
        if !(INTERVAL_MIN..=INTERVAL_MAX).contains(&interval) {
            return Err("swarms.interval: between 10s and 1d".into());
        }
        let min_interval =
            span("swarms.min_interval", file.swarms.min_interval, rules.min_interval.min(interval))?;
        if min_interval > interval {
            return Err("swarms.min_interval: no longer than swarms.interval".into());
        }
        let listen = file.listen.unwrap_or_default();
        let listen: Result<_, String> = listen.iter().map(|text| listen_at(text)).collect();
        let networks = |key: &str, texts: Vec<String>| -> Result<Vec<Network>, String> {
            texts.iter().map(|text| text.parse().map_err(|error| named(key, error))).collect()
        };
        Ok(Settings {
            listen: listen.map_err(|error| named("listen", error))?,
            workers: file.workers.unwrap_or(usual.workers),
            access: match (file.access.mode, file.access.list.map(|list| folder.join(list))) {
                (Mode::Open, None) => Listed::Open,
                (Mode::Open, Some(_)) => {
                    return Err("access.mode: is the list of those that are served, `allow`, or of those that are not, `deny`?".into());
                }
                (Mode::Allow, Some(list)) => Listed::Allow(list),
                (Mode::Deny, Some(list)) => Listed::Deny(list),
                (Mode::Allow | Mode::Deny, None) => {
                    return Err("access.list: which file lists the torrents?".into());
                }
            },
            private: file.private.users.map(|users| folder.join(users)),
            rules: Rules {
                interval,
                min_interval,
                peers_max: file.swarms.peers_max.unwrap_or(rules.peers_max),
                swarms_max: file.swarms.swarms_max.unwrap_or(rules.swarms_max),
            },
            udp: file.udp.rules()?,
            http: HttpRules {
                connections_max: file.http.connections_max.unwrap_or(http.connections_max),
                connections_per_address_max: file
                    .http
                    .connections_per_address_max
                    .unwrap_or(http.connections_per_address_max),
                forwarded_by: networks("http.forwarded_by", file.http.forwarded_by)?,
                proxied_by: networks("http.proxied_by", file.http.proxied_by)?,
                metrics_for: match file.http.metrics_for {
                    Some(texts) => networks("http.metrics_for", texts)?,
                    None => http.metrics_for,
                },
            },
            tls: file.tls.read(folder)?,
            admin: file.admin.read(folder)?,
            websocket: file.websocket.rules(WebSocketRules::default()),
            state: file.state.folder(folder),
        })
    }

    /// A tracker's configuration, with the list read; a private one's with its members, and the way to whoever keeps its books.
    pub(super) fn config(
        &self,
        listen: Vec<Listen>,
        mut private: Option<Private>,
    ) -> Result<Config, Failure> {
        if let Some(private) = &mut private {
            // Accounts are forgotten when peers are.
            private.books.rules.life = self.rules.interval * 2;
        }
        Ok(Config {
            listen,
            workers: self.workers.into(),
            rules: self.rules,
            access: self.read_access()?,
            private,
            udp: self.udp,
            certificate: self.tls.read_certificate()?,
            http: self.http.clone(),
            websocket: self.websocket,
            state: self.state.clone(),
        })
    }

    /// Which torrents are served, as the list stands now.
    pub(super) fn read_access(&self) -> Result<Access, Failure> {
        let read = |path: &Path| match fs::read(path) {
            Ok(text) => Ok(TorrentList::read(&text)),
            Err(error) => Err(Failure::plain(format!("the list {}: {}", path.display(), why(&error)))),
        };
        Ok(match &self.access {
            Listed::Open => Access::Open,
            Listed::Allow(path) => Access::Allow(read(path)?),
            Listed::Deny(path) => Access::Deny(read(path)?),
        })
    }

    /// The file that lists torrents, if one does.
    pub(super) fn list(&self) -> Option<&Path> {
        match &self.access {
            Listed::Open => None,
            Listed::Allow(path) | Listed::Deny(path) => Some(path),
        }
    }

    /// Whether the other differs in more than what can be changed at work.
    pub(super) fn needs_restart(&self, other: &Settings) -> bool {
        let tls = Tls { listen: other.tls.listen.clone(), ..self.tls.clone() };
        Settings { access: self.access.clone(), tls, ..other.clone() } != *self
    }

    /// As a file says it, with what it means.
    pub(super) fn print(&self, listen: &[SocketAddr]) -> String {
        let mode = match &self.access {
            Listed::Open => "open",
            Listed::Allow(_) => "allow",
            Listed::Deny(_) => "deny",
        };
        let list = path_line("list", self.list(), "torrents.txt");
        let users = path_line("users", self.private.as_deref(), "users.db");
        let rules = &self.rules;
        format!(
            "\
# What `gannet tracker` does, as `gannet tracker --print-config` prints it. Every line may be left out.

# Where to listen, over HTTP and UDP: addresses of this machine, without a port at 6969.
listen = [{listen}]

# Threads, each of which has its share of the torrents.
workers = {workers}

[access]
# Which torrents are served: \"open\" (all), \"allow\" (those of the list) or \"deny\" (all but those of the list).
mode = \"{mode}\"
# One info-hash of 40 digits a line, as opentracker reads it; paths begin where this file is. SIGHUP reads it again.
{list}

[private]
# Where the users are, a text file or an SQLite database: they alone are served, and what they send and receive is counted.
{users}

[swarms]
# When peers are told to come again, and how soon they may. Who stays away for two intervals is forgotten.
interval = \"{interval}s\"
min_interval = \"{min_interval}s\"
# Peers and torrents that are kept; memory is taken as it is needed.
peers_max = {peers_max}
swarms_max = {swarms_max}

{http}{tls}{websocket}{udp}{state}{admin}",
            listen = quoted(listen),
            workers = self.workers,
            interval = rules.interval.as_secs(),
            min_interval = rules.min_interval.as_secs(),
            peers_max = rules.peers_max,
            swarms_max = rules.swarms_max,
            http = self.print_http(),
            tls = self.tls.print(),
            websocket = self.print_websocket(),
            udp = udp::print(self.udp),
            state = state::print(self.state.as_deref()),
            admin = self.admin.print(),
        )
    }
}

/// A path as a file says it; one that nothing says as a remark, by way of example.
fn path_line(key: &str, path: Option<&Path>, example: &str) -> String {
    match path {
        Some(path) => format!("{key} = {:?}", path.display().to_string()),
        None => format!("# {key} = \"{example}\""),
    }
}

/// Values in quotes, as a list has them.
fn quoted(values: &[impl ToString]) -> String {
    let quoted: Vec<String> = values.iter().map(|value| format!("{:?}", value.to_string())).collect();
    quoted.join(", ")
}

impl Settings {
    /// The part about HTTP.
    fn print_http(&self) -> String {
        format!(
            "\
[http]
# Connections at once, and of those from one address (or /64 of IPv6).
connections_max = {connections_max}
connections_per_address_max = {per_address}
# Networks of reverse proxies whose X-Forwarded-For says who visits, such as \"127.0.0.1\" or \"10.0.0.0/8\".
forwarded_by = [{forwarded_by}]
# Networks of proxies that begin each connection with a header of the PROXY protocol, version 1 or 2.
proxied_by = [{proxied_by}]
# Networks from where /metrics can be read, for Prometheus. Whom a proxy that is not named above passes on counts as the proxy.
metrics_for = [{metrics_for}]
",
            connections_max = self.http.connections_max,
            per_address = self.http.connections_per_address_max,
            forwarded_by = quoted(&self.http.forwarded_by),
            proxied_by = quoted(&self.http.proxied_by),
            metrics_for = quoted(&self.http.metrics_for),
        )
    }

    /// The part about browsers.
    fn print_websocket(&self) -> String {
        let websocket = self.websocket.unwrap_or_default();
        format!(
            "\n\
[websocket]
# Whether browsers are served, where HTTP is.
serve = {serve}
# Their connections at once, and of those from one address (or /64 of IPv6).
connections_max = {connections_max}
connections_per_address_max = {per_address}
# Messages of one connection a second, in the long run; a long one counts as another for every 4 KiB.
messages_per_second_max = {messages}
",
            serve = self.websocket.is_some(),
            connections_max = websocket.connections_max,
            per_address = websocket.connections_per_address_max,
            messages = websocket.messages_per_second_max,
        )
    }
}

impl Default for Settings {
    fn default() -> Settings {
        let (rules, http) = (Rules::default(), HttpRules::default());
        let websocket = Some(WebSocketRules::default());
        Settings {
            listen: Vec::new(),
            workers: NonZeroU16::MIN,
            access: Listed::Open,
            private: None,
            rules,
            udp: UdpRules::default(),
            http,
            tls: Tls::default(),
            admin: Admin::default(),
            websocket,
            state: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, String> {
        Settings::read(text, Path::new("/etc"))
    }

    #[test]
    fn what_is_printed_is_read_as_the_same() {
        let full = "
            listen = ['0.0.0.0', '[::1]:80']
            workers = 3
            [access]
            mode = 'deny'
            list = 'torrents \"old\".txt'
            [private]
            users = 'users.db'
            [swarms]
            interval = '1h'
            min_interval = '10s'
            peers_max = 5
            swarms_max = 4
            [http]
            connections_max = 3
            connections_per_address_max = 2
            forwarded_by = ['10.0.0.0/8', '::1']
            proxied_by = ['192.0.2.7']
            metrics_for = ['192.0.2.8']
            [tls]
            listen = ['0.0.0.0', '[::]:8443']
            certificate = 'full chain.pem'
            key = '/key.pem'
            [admin]
            socket = 'run/admin socket'
            listen = '127.0.0.1:6970'
            tokens = '/etc/tokens'
            [websocket]
            connections_max = 9
            connections_per_address_max = 8
            messages_per_second_max = 7
            [udp]
            connection_id_minutes = 5
            [state]
            folder = 'kept'
        ";
        for text in ["", full, "[websocket]\nserve = false"] {
            let settings = read(text).unwrap();
            let printed = settings.print(&settings.listen);
            assert_eq!(read(&printed).unwrap(), settings, "{printed}");
        }
        let settings = read(full).unwrap();
        assert_eq!(settings.access, Listed::Deny("/etc/torrents \"old\".txt".into()));
        assert_eq!(settings.tls.listen, ["0.0.0.0:443".parse().unwrap(), "[::]:8443".parse().unwrap()]);
        assert_eq!(settings.tls.certificate, Some("/etc/full chain.pem".into()));
        assert_eq!(settings.tls.key, Some("/key.pem".into()));
        assert_eq!(settings.listen, ["0.0.0.0:6969".parse().unwrap(), "[::1]:80".parse().unwrap()]);
        assert_eq!(settings.state, Some("/etc/kept".into()));
        assert_ne!(settings, Settings::default());
        assert_eq!(read("").unwrap(), Settings::default());
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        for (text, wanted) in [
            ("lisen = []", "unknown field `lisen`"),
            ("listen = ['nowhere']", "listen: an address to listen at is given as"),
            ("workers = 0", "workers"),
            ("[access]\nmode = 'allow'", "access.list: which file"),
            ("[access]\nlist = 'ours.txt'", "access.mode: is the list"),
            ("[access]\nmode = 'closed'", "unknown variant `closed`"),
            ("[swarms]\ninterval = 'soon'", "swarms.interval: `soon` is no span of time"),
            ("[swarms]\ninterval = '1s'", "swarms.interval: between 10s and 1d"),
            ("[swarms]\nmin_interval = '1h'", "swarms.min_interval: no longer than"),
            ("[http]\nforwarded_by = ['proxy']", "http.forwarded_by: `proxy` is no network"),
            ("[udp]\nconnection_id_minutes = 1", "udp.connection_id_minutes: between 2 and 14"),
            ("[tls]\nlisten = ['nowhere']", "tls.listen: an address to listen at is given as"),
            ("[admin]\nlisten = '192.0.2.7:80'", "admin.listen: a loopback address"),
            ("[admin]\nlisten = '127.0.0.1:80'", "admin.tokens: which file"),
            ("[admin]\ntokens = 'x'", "admin.listen: where"),
            ("listen =", "line 1"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }

    #[test]
    fn only_the_list_of_torrents_changes_at_work() {
        let [open, allow] = ["", "[access]\nmode = 'allow'\nlist = 'x'"].map(|text| read(text).unwrap());
        assert!(!open.needs_restart(&allow));
        assert!(open.needs_restart(&read("workers = 2").unwrap()));
        let [old, new] = ["old", "new"].map(|name| read(&format!("[tls]\ncertificate = '{name}'")).unwrap());
        assert!(!old.needs_restart(&new));
        assert!(old.needs_restart(&read("[tls]\nlisten = ['::']\ncertificate = 'old'").unwrap()));
    }
}
