//! `gannet share` and `gannet receive`: what can be typed.

use super::Look;
use crate::quantity::{Rate, Span};
use clap::Args;
use std::net::IpAddr;
use std::path::PathBuf;

/// Give files and folders to people beside you: no server, no internet, no setting up.
///
/// Says a code, such as 42-apple-river, for the others to type. Whoever has it, and nobody else, learns what is shared; everything
/// that passes is sealed under a key that follows from it (docs/sharing.md). It begins at once, and what is hashed can be fetched
/// while the rest still is. Receivers pass on what they have to each other. Ctrl-C ends the share.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  gannet share holiday/                           then on the other machine: gannet receive CODE
  gannet share film.mkv notes.txt                 several at once
  gannet share holiday/ --copies 2                end when two receivers have everything
  gannet share holiday/ --no-web                  no page for phones and browsers without Gannet
  gannet share holiday/ --public                  an ordinary torrent instead, for everybody: prints a magnet link
  gannet share holiday/ --json | jq .             for programs; see docs/json.md")]
pub(crate) struct Share {
    /// Files and folders to share
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Serve no page from which a browser on this network downloads without Gannet (plain HTTP)
    #[arg(long)]
    pub(crate) no_web: bool,
    /// For everybody, without a code: an ordinary torrent, named in the DHT and on the local network
    #[arg(long, conflicts_with_all = ["copies", "no_web"])]
    pub(crate) public: bool,
    /// End when so many receivers have everything
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) copies: Option<u32>,
    /// Where is kept what the share needs as long as it lasts [default: a folder for temporary files]; with --public, where nodes of the
    /// DHT are remembered [default: ~/.local/state/gannet, or $XDG_STATE_HOME/gannet]
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) line: Line,
    #[command(flatten)]
    pub(crate) look: Look,
}

/// Receive what somebody beside you shares with `gannet share`.
///
/// Finds the sharer on the local network by the number of the code; shows what it is, and asks before anything is written. Nothing
/// is ever overwritten. What is here already is passed on to the others meanwhile. Stopped in the middle, the same command goes on.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  gannet receive 42-apple-river                   into this folder
  gannet receive                                  asks for the code, which so stays out of the shell's history
  gannet receive 42-apple-river -o ~/Downloads --yes
  gannet receive 42-apple-river --peer 192.0.2.7:40123    where the network does not let machines find each other")]
pub(crate) struct Receive {
    /// The code that the sharer says; asked for if it is absent
    #[arg(value_name = "CODE")]
    pub(crate) code: Option<String>,
    /// Folder to put it into
    #[arg(short, long, default_value = ".", value_name = "DIR")]
    pub(crate) output: PathBuf,
    /// Do not ask before writing
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Where the sharer is, as `gannet share` says, e.g. 192.0.2.7:40123; may be given several times
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) peer: Vec<String>,
    /// Give up when the sharer was not found for so long, e.g. 30s [default: never]
    #[arg(long, value_name = "TIME")]
    pub(crate) wait: Option<Span>,
    /// End as soon as all is here, even if other receivers still need it
    #[arg(long)]
    pub(crate) no_seed: bool,
    /// Receive no faster, e.g. 4MB/s
    #[arg(long, value_name = "RATE")]
    pub(crate) max_down: Option<Rate>,
    /// Where is remembered what is not done [default: ~/.local/state/gannet, or $XDG_STATE_HOME/gannet]
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) line: Line,
    #[command(flatten)]
    pub(crate) look: Look,
}

/// How the network is used by either.
#[derive(Args, Debug)]
pub(crate) struct Line {
    /// Port to listen on, and the next one, which content takes [default: any that are free]
    #[arg(long, value_name = "PORT")]
    pub(crate) port: Option<u16>,
    /// Listen at this address alone, and speak on its network alone [default: all]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) bind: Option<IpAddr>,
    /// Send no faster, e.g. 500kB/s
    #[arg(long, value_name = "RATE")]
    pub(crate) max_up: Option<Rate>,
}
