//! `gannet tracker`: what can be typed.

use clap::Args;
use std::net::{IpAddr, SocketAddr};

/// The port that trackers are expected at.
pub(crate) const TRACKER_PORT: u16 = 6969;

/// Run a tracker: peers that announce a torrent to it are told of each other.
///
/// Open: every torrent is taken, and nothing needs to be set up. HTTP and UDP share one port number. Everything is held in memory; peers that
/// stay away are forgotten. Prints the announce URLs, to be given to `gannet create --tracker`. Ctrl-C or SIGTERM ends it.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  gannet tracker                                  for this machine alone
  gannet tracker --listen 0.0.0.0 --listen '[::]'    for everybody who reaches this machine
  gannet tracker --listen 192.0.2.7:8080
  gannet tracker --listen 0.0.0.0 --workers 4     on four cores
  gannet tracker --json | jq .                    for programs; see docs/json.md

Then a torrent that names it, and a first seed:
  gannet create holiday/ --tracker http://127.0.0.1:6969/announce,udp://127.0.0.1:6969/announce
  gannet seed holiday.torrent --data .")]
pub(crate) struct Tracker {
    /// Address to listen at, without a port at 6969; several times for several [default: 127.0.0.1 and ::1, this machine alone]
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = listen_at)]
    pub(crate) listen: Vec<SocketAddr>,
    /// Threads, each of which has its share of the torrents: more than one only helps where one core is not enough
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=128))]
    pub(crate) workers: u16,
    /// Print JSON lines, for programs; see docs/json.md
    #[arg(long)]
    pub(crate) json: bool,
}

/// An address, with or without a port. Names are not looked up: what is listened at must be this machine's.
fn listen_at(text: &str) -> Result<SocketAddr, String> {
    if let Ok(at) = text.parse() {
        return Ok(at);
    }
    let ip = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let ip: Result<IpAddr, _> = ip.parse();
    ip.map(|ip| SocketAddr::new(ip, TRACKER_PORT)).map_err(|_| {
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
