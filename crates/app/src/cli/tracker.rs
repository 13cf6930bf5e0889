//! `gannet tracker`: what can be typed.

mod users;

pub(crate) use users::{AddUser, TrackerCommand, TrackerUsers, UserName, UsersCommand};

use clap::Args;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::path::PathBuf;

/// The port that trackers are expected at.
pub(crate) const TRACKER_PORT: u16 = 6969;

/// The port of `https://` addresses that name none.
pub(crate) const HTTPS_PORT: u16 = 443;

/// More threads than any machine has cores that a tracker could use.
const WORKERS_MAX: u16 = 128;

/// Run a tracker: peers that announce a torrent to it are told of each other.
///
/// Open unless there is a list: every torrent is taken, and nothing needs to be set up. HTTP and UDP share one port number. Everything is held in memory (and, with `--state`, kept over a restart); peers that
/// stay away are forgotten. Prints the announce URLs, to be given to `gannet create --tracker`. Ctrl-C or SIGTERM ends it.
#[derive(Args, Clone, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  gannet tracker                                  for this machine alone
  gannet tracker --listen 0.0.0.0 --listen '[::]'    for everybody who reaches this machine
  gannet tracker --listen 192.0.2.7:8080
  gannet tracker --listen 0.0.0.0 --workers 4     on four cores
  gannet tracker --listen 0.0.0.0 --tls-listen 0.0.0.0 --certificate fullchain.pem --key privkey.pem    also https
  gannet tracker --allow ours.txt                 for these torrents alone
  gannet tracker --private users.db               for members alone; see `gannet tracker users --help`
  gannet tracker --state /var/lib/gannet-tracker   a restart forgets nobody
  gannet tracker --print-config                   all settings, as a file for --config
  gannet tracker --json | jq .                    for programs; see docs/json.md

Then a torrent that names it, and a first seed:
  gannet create holiday/ --tracker http://127.0.0.1:6969/announce,udp://127.0.0.1:6969/announce
  gannet seed holiday.torrent --data ."
)]
pub(crate) struct Tracker {
    #[command(subcommand)]
    pub(crate) command: Option<TrackerCommand>,
    /// Address to listen at, without a port at 6969; several times for several [default: 127.0.0.1 and ::1, this machine alone]
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = listen_at)]
    pub(crate) listen: Vec<SocketAddr>,
    /// Address to listen at over HTTPS and wss, without a port at 443, beside the others; several times for several
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = tls_listen_at)]
    pub(crate) tls_listen: Vec<SocketAddr>,
    /// The certificates to show there (PEM, this tracker's own first); SIGHUP reads them and the key again
    #[arg(long, value_name = "FILE")]
    pub(crate) certificate: Option<PathBuf>,
    /// The key of the certificate (PEM)
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// Threads, each of which has its share of the torrents: more than one only helps where one core is not enough [default: 1]
    #[arg(long, value_name = "N", value_parser = workers)]
    pub(crate) workers: Option<NonZeroU16>,
    /// Serve the torrents of this list alone: one info-hash a line, as opentracker reads it; SIGHUP reads it again
    #[arg(long, value_name = "FILE")]
    pub(crate) allow: Option<PathBuf>,
    /// Serve all torrents but those of this list
    #[arg(long, value_name = "FILE", conflicts_with = "allow")]
    pub(crate) deny: Option<PathBuf>,
    /// Serve the users of this file alone, and count what they send and receive: a text file, or an SQLite database; see docs/tracker.md
    #[arg(long, value_name = "FILE")]
    pub(crate) private: Option<PathBuf>,
    /// Keep torrents and peers over a restart, in this folder of the tracker's own; without it they are forgotten
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// A Unix socket by which its operator reaches it: see docs/tracker-admin.md
    #[arg(long, value_name = "PATH")]
    pub(crate) admin_socket: Option<PathBuf>,
    /// Settings (TOML); what is typed goes before
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print the settings that hold, with what they mean, and do nothing: a file to begin with
    #[arg(long)]
    pub(crate) print_config: bool,
    /// Print JSON lines, for programs; see docs/json.md
    #[arg(long)]
    pub(crate) json: bool,
}

fn workers(text: &str) -> Result<NonZeroU16, String> {
    let number: Option<NonZeroU16> = text.parse().ok();
    number.filter(|number| number.get() <= WORKERS_MAX).ok_or_else(|| format!("between 1 and {WORKERS_MAX}"))
}

/// An address, with or without a port. Names are not looked up: what is listened at must be this machine's.
pub(crate) fn listen_at(text: &str) -> Result<SocketAddr, String> {
    listen_at_or(text, TRACKER_PORT)
}

fn tls_listen_at(text: &str) -> Result<SocketAddr, String> {
    listen_at_or(text, HTTPS_PORT)
}

/// The same with another usual port.
pub(crate) fn listen_at_or(text: &str, usual: u16) -> Result<SocketAddr, String> {
    if let Ok(at) = text.parse() {
        return Ok(at);
    }
    let ip = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let ip: Result<IpAddr, _> = ip.parse();
    ip.map(|ip| SocketAddr::new(ip, usual)).map_err(|_| {
        "an address to listen at is given as 192.0.2.7, 192.0.2.7:6969, '[::]' or '[::]:6969'".into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_port_of_its_own_or_the_usual_one() {
        for (typed, meant) in [
            ("0.0.0.0", "0.0.0.0:6969"),
            ("192.0.2.7:80", "192.0.2.7:80"),
            ("::", "[::]:6969"),
            ("[::1]", "[::1]:6969"),
            ("[2001:db8::7]:0", "[2001:db8::7]:0"),
        ] {
            assert_eq!(listen_at(typed).map(|at| at.to_string()), Ok(meant.into()));
        }
        for bad in ["", "6969", ":6969", "localhost", "[::", "1.2.3.4:70000", "http://1.2.3.4"] {
            assert!(listen_at(bad).is_err(), "{bad}");
        }
    }
}
