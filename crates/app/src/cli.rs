//! What can be typed: commands, options, help with examples. Nothing is done here.

mod dht;
mod home;
mod lab;
mod tracker;

pub(crate) use dht::{
    Asking, Dht, DhtCommand, GetItem, GetPeers, ItemPlace, MakeKey, Node, PutItem, RunNode, Sample, Stats,
};
pub(crate) use home::{Line, Receive, Share};
pub(crate) use lab::{Lab, LabCommand, ListLab, RaceLab, RunLab};
pub(crate) use tracker::{
    AddUser, HTTPS_PORT, TRACKER_PORT, Tracker, TrackerCommand, TrackerUsers, UserName, UsersCommand,
    listen_at, listen_at_or,
};

use crate::quantity::{Rate, Size, Span};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use gannet::{Policy, SuperSeeding};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

const EXIT_CODES: &str = "\
Exit codes:
  0    done; also a seed that was complete, or a tracker, and was stopped
  1    it could not be done; the message says what, why and what to do
  2    the command line makes no sense
  3    the torrent is damaged, or is none
  4    the disk refused
  5    the data is not what the torrent says (verify), or not complete (seed)
  6    nobody was found who has it (--wait, or Ctrl-C after it said that there is no source yet; dht)
  130  stopped by Ctrl-C or a signal; everything is saved, the same command goes on";

/// Blocks have 16 KiB (BEP 3): shorter pieces would only make the torrent larger.
const PIECE_LEN_MIN: u32 = 16 << 10;

/// Beyond this a piece takes too long to be checked and too much memory to be fetched.
const PIECE_LEN_MAX: u32 = 256 << 20;

/// Share files peer to peer: every downloader is an uploader too.
#[derive(Parser, Debug)]
#[command(
    name = "gannet",
    version,
    arg_required_else_help = true,
    after_help = "\
Examples:
  gannet demo                                  see in 40 seconds what a swarm is good for
  gannet share holiday/                        give it to somebody beside you: says a code
  gannet receive 42-apple-river                take what was shared under that code
  gannet get debian.torrent                    fetch into this folder
  gannet create holiday/ --tracker http://tracker.example/announce
  gannet seed holiday.torrent --data .         serve what you have
  gannet inspect debian.torrent                see what is in a torrent

Every command explains itself: gannet get --help"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// What was typed; ends the program with help or an error if it makes no sense.
    pub(crate) fn typed() -> Cli {
        let typed = Cli::explained().get_matches();
        Cli::from_arg_matches(&typed).unwrap_or_else(|error| error.exit())
    }

    /// All commands. The long help has the exit codes after the examples.
    fn explained() -> clap::Command {
        let explain = |command: clap::Command| {
            let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            command.after_long_help(format!("{examples}\n\n{EXIT_CODES}"))
        };
        explain(Cli::command()).mut_subcommands(explain)
    }
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    Demo(Demo),
    Share(Share),
    Receive(Receive),
    Get(Get),
    Seed(Seed),
    Create(Create),
    Inspect(Inspect),
    Verify(Verify),
    Dht(Dht),
    Tracker(Tracker),
    Lab(Lab),
}

/// See what a swarm is good for: a server beside a swarm, in 40 seconds, on this machine alone.
///
/// One file goes to several people in two ways. On the left, a web server sends it to each of them. On the right, a seed no
/// faster than the server sends it to a swarm, whose members pass it on. Real sockets, real programs; no network is needed.
/// Keys: s kills server and seed, t kills the tracker, f adds a free-rider, + adds one more on both sides, q quits.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  gannet demo
  gannet demo --people 12                         the more there are, the clearer it gets
  gannet demo --plain                             lines and a table, for logs and screen readers")]
pub(crate) struct Demo {
    /// How many people want the file
    #[arg(long, default_value_t = 6, value_name = "N", value_parser = clap::value_parser!(u8).range(2..=12))]
    pub(crate) people: u8,
    /// Lines and a table instead of a live picture
    #[arg(long)]
    pub(crate) plain: bool,
    /// Save it as a moving picture (SVG)
    #[arg(long, value_name = "FILE")]
    pub(crate) picture: Option<PathBuf>,
}

/// Fetch torrents, giving back meanwhile.
///
/// What is already there is kept: a stopped download goes on where it was, files that lie in place are checked and adopted.
/// Unfinished files end in `.part`. When all is there, it goes on serving on a terminal until as much is given back as was
/// taken (a ratio of 1.0), and ends at once where no person looks on.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  gannet get debian.torrent
  gannet get https://example.org/debian.torrent -o ~/Downloads
  gannet get 'magnet:?xt=urn:btih:...'            a magnet link, in quotes; or the 40 digits alone
  gannet get 'magnet:?...' --save-torrent a.torrent    look first: gannet inspect a.torrent
  gannet get album.torrent --select '*.flac'      only these files
  gannet get film.torrent --sequential            from the beginning, to watch meanwhile
  gannet get debian.torrent --no-seed             end when all is on disk
  gannet get debian.torrent --encryption prefer   where lines slow BitTorrent down by its looks
  gannet get debian.torrent --seed-ratio 1.5      serve on until 1.5 times its size is given back
  gannet get debian.torrent --json | jq .         for programs; see docs/json.md")]
pub(crate) struct Get {
    /// Torrent files, http(s) URLs of torrent files, magnet links, or info-hashes
    #[arg(required = true, value_name = "TORRENT")]
    pub(crate) torrents: Vec<String>,
    /// Folder to download into
    #[arg(short, long, default_value = ".", value_name = "DIR")]
    pub(crate) output: PathBuf,
    /// Only these files: numbers and ranges as `inspect` shows them (1,3-5), or patterns (*.flac)
    #[arg(long, value_name = "WHICH")]
    pub(crate) select: Vec<String>,
    /// Fetch pieces in order
    #[arg(long)]
    pub(crate) sequential: bool,
    /// Reserve the full size of files at once, instead of letting them grow
    #[arg(long)]
    pub(crate) allocate: bool,
    /// Download nothing: save what a magnet link names as a torrent file, for `inspect`, --select, or another client
    #[arg(long, value_name = "FILE", conflicts_with_all = SAVING_NEEDS_NONE)]
    pub(crate) save_torrent: Option<PathBuf>,
    /// Give up when nobody who has it was found for so long, e.g. 90s, 30m [default: never]
    #[arg(long, value_name = "TIME")]
    pub(crate) wait: Option<Span>,
    /// End when all is on disk, on a terminal too
    #[arg(long, conflicts_with_all = ["seed_ratio", "seed_time"])]
    pub(crate) no_seed: bool,
    #[command(flatten)]
    pub(crate) net: Net,
    #[command(flatten)]
    pub(crate) goal: Goal,
    #[command(flatten)]
    pub(crate) show: Show,
}

/// Serve torrents whose content you have.
///
/// The content is checked first, unless an earlier run has done so and nothing changed since.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  gannet seed holiday.torrent                     the content lies in this folder
  gannet seed holiday.torrent --data ~/Pictures
  gannet seed *.torrent --max-up 2MB/s --seed-ratio 3
  gannet seed holiday.torrent --super-seed        I am the first: let others pass it on")]
pub(crate) struct Seed {
    /// Torrent files, or http(s) URLs of torrent files
    #[arg(required = true, value_name = "TORRENT")]
    pub(crate) torrents: Vec<String>,
    /// Folder that holds the content: the file or folder that the torrent names
    #[arg(short, long, default_value = ".", value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Give each piece to one peer alone until all are out: little more than one copy leaves a slow uplink
    #[arg(long, value_enum, value_name = "WHEN", num_args = 0..=1, require_equals = true)]
    #[arg(default_value = "auto", default_missing_value = "always")]
    pub(crate) super_seed: SuperSeed,
    #[command(flatten)]
    pub(crate) net: Net,
    #[command(flatten)]
    pub(crate) goal: Goal,
    #[command(flatten)]
    pub(crate) show: Show,
}

/// Options about a download, of which there is none when the torrent file alone is saved.
const SAVING_NEEDS_NONE: [&str; 7] =
    ["output", "select", "sequential", "allocate", "no_seed", "seed_ratio", "seed_time"];

#[derive(Args, Debug)]
pub(crate) struct Net {
    /// A peer to start with, e.g. 192.0.2.7:6881; may be given several times
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) peer: Vec<String>,
    /// Port to listen on; if it is taken, the next free one
    #[arg(long, default_value_t = 6881, value_name = "PORT")]
    pub(crate) port: u16,
    /// Listen at this address alone, e.g. 127.0.0.1 to stay on this machine [default: all]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) bind: Option<IpAddr>,
    /// Send no faster, e.g. 500kB/s
    #[arg(long, value_name = "RATE")]
    pub(crate) max_up: Option<Rate>,
    /// Receive no faster, e.g. 4MB/s
    #[arg(long, value_name = "RATE")]
    pub(crate) max_down: Option<Rate>,
    /// Serve at most this many peers at once [default: 16]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) slots: Option<u32>,
    /// Whether links are encrypted (MSE with RC4). This hides what kind of traffic they carry; it keeps no secret
    #[arg(long, value_enum, default_value_t = Encryption::Allow, value_name = "WHEN")]
    pub(crate) encryption: Encryption,
    /// Do not look for others on the local network, nor be found there (local service discovery, BEP 14)
    #[arg(long)]
    pub(crate) no_lsd: bool,
    /// Do not take part in the distributed hash table, where peers are found without any tracker (DHT, BEP 5)
    #[arg(long)]
    pub(crate) no_dht: bool,
    /// Begin the DHT at this node instead of the public routers, until others are known; may be given several times
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "no_dht", value_parser = node)]
    pub(crate) dht_bootstrap: Vec<(String, u16)>,
    /// Record everything that happens to the protocol, to be replayed (docs/testing.md): no content, but every peer and tracker
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
    /// Where progress is remembered [default: ~/.local/state/gannet, or $XDG_STATE_HOME/gannet]
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
}

/// Whether links are encrypted.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Encryption {
    /// Never; peers that insist are not reached
    Off,
    /// With peers that insist
    Allow,
    /// With peers that can; costs processor time
    Prefer,
    /// With all; peers that cannot are not reached
    Require,
}

impl Encryption {
    /// As the library names it.
    pub(crate) fn policy(self) -> Policy {
        match self {
            Encryption::Off => Policy::Off,
            Encryption::Allow => Policy::Allow,
            Encryption::Prefer => Policy::Prefer,
            Encryption::Require => Policy::Require,
        }
    }
}

/// When a seed gives each piece to one peer alone until all are out (BEP 16).
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SuperSeed {
    /// While it is the only seed, of content that it did not download from others
    Auto,
    /// Whenever it has everything
    Always,
    /// Never
    Never,
}

impl SuperSeed {
    /// As the library names it.
    pub(crate) fn mode(self) -> SuperSeeding {
        match self {
            SuperSeed::Auto => SuperSeeding::Auto,
            SuperSeed::Always => SuperSeeding::Always,
            SuperSeed::Never => SuperSeeding::Never,
        }
    }
}

#[derive(Args, Debug)]
pub(crate) struct Goal {
    /// Serve until this many times the size is given back
    #[arg(long, value_name = "RATIO", value_parser = ratio, allow_negative_numbers = true)]
    pub(crate) seed_ratio: Option<u32>,
    /// Serve this long after completion, e.g. 90s, 30m, 2h
    #[arg(long, value_name = "TIME")]
    pub(crate) seed_time: Option<Span>,
}

#[derive(Args, Debug)]
pub(crate) struct Show {
    #[command(flatten)]
    pub(crate) look: Look,
    /// With --json: who is linked and what went to and fro, with each line of progress
    #[arg(long, requires = "json")]
    pub(crate) json_peers: bool,
}

/// How a run that takes its time is shown.
#[derive(Args, Debug)]
pub(crate) struct Look {
    /// One JSON object a line on standard output, for programs (docs/json.md)
    #[arg(long, conflicts_with = "plain")]
    pub(crate) json: bool,
    /// Plain lines instead of a live display, for logs and screen readers
    #[arg(long)]
    pub(crate) plain: bool,
    /// Only errors
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// Make a torrent from a file or a folder.
///
/// The same content and options give the same bytes, whoever makes it: add --date to have the time of making in it.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  gannet create holiday/                                     makes holiday.torrent
  gannet create disk.img --tracker http://tracker.example/announce
  gannet create holiday/ --tracker http://a.example/announce,udp://b.example:6969/announce
  gannet create holiday/ --private --source MYSITE -o for-mysite.torrent")]
pub(crate) struct Create {
    /// File or folder to share
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,
    /// Torrent file to write [default: NAME.torrent in this folder]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Announce URL; several times for tiers, with commas inside a tier
    #[arg(short, long, value_name = "URL[,URL]")]
    pub(crate) tracker: Vec<Tier>,
    /// URL of a web server that holds the content (BEP 19)
    #[arg(short, long, value_name = "URL", value_parser = web_url)]
    pub(crate) web_seed: Vec<String>,
    /// Bytes per piece, a power of two, e.g. 1MiB [default: by size, some 1,500 pieces]
    #[arg(short = 'l', long, value_name = "SIZE", value_parser = piece_length)]
    pub(crate) piece_length: Option<u32>,
    /// Peers only through its own trackers (BEP 27)
    #[arg(short, long)]
    pub(crate) private: bool,
    /// A few words for people
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) comment: Option<String>,
    /// The site it is for; makes a torrent of its own (another info-hash)
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) source: Option<String>,
    /// Put the time of making into it
    #[arg(long)]
    pub(crate) date: bool,
    /// Replace the torrent file if it exists
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Print what was made as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Show nothing but errors
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// Show what is in a torrent file.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  gannet inspect debian.torrent
  gannet inspect --json debian.torrent | jq -r .info_hash")]
pub(crate) struct Inspect {
    /// Torrent file, - for standard input, or a magnet link
    #[arg(value_name = "TORRENT")]
    pub(crate) torrent: String,
    /// As JSON, for programs (docs/json.md)
    #[arg(long)]
    pub(crate) json: bool,
    /// At most this many files are listed
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub(crate) files: usize,
}

/// Check content against its torrent, changing nothing.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  gannet verify debian.torrent                    the content lies in this folder
  gannet verify holiday.torrent --data ~/Pictures --json")]
pub(crate) struct Verify {
    /// Torrent file
    #[arg(value_name = "TORRENT")]
    pub(crate) torrent: String,
    /// Folder that holds the content: the file or folder that the torrent names
    #[arg(short, long, default_value = ".", value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// As JSON, for programs (docs/json.md)
    #[arg(long)]
    pub(crate) json: bool,
    /// Only the exit code
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// Trackers of one tier: any of them will do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Tier(pub(crate) Vec<String>);

impl FromStr for Tier {
    type Err = String;

    fn from_str(text: &str) -> Result<Tier, String> {
        text.split(',')
            .map(|url| url_of(url, &["http://", "https://", "udp://"]))
            .collect::<Result<_, _>>()
            .map(Tier)
    }
}

/// How a run ends, as the shell sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    Done = 0,
    Failed = 1,
    BadTorrent = 3,
    Disk = 4,
    NotComplete = 5,
    NoSource = 6,
    Interrupted = 130,
}

/// Where a node is: an address or a name, and a port.
fn node(text: &str) -> Result<(String, u16), String> {
    let example = "a node is given as 192.0.2.7:6881, [2001:db8::7]:6881 or host.example:6881";
    let (host, port) = text.rsplit_once(':').ok_or(example)?;
    let port = port.parse().ok().filter(|port| *port != 0).ok_or(example)?;
    if text.parse::<SocketAddr>().is_ok() {
        // With its scope, if it has one.
        return Ok((host.trim_start_matches('[').trim_end_matches(']').into(), port));
    }
    match host.is_empty() || host.contains([':', '/', ' ']) {
        true => Err(example.into()),
        false => Ok((host.into(), port)),
    }
}

/// A ratio in thousandths.
fn ratio(text: &str) -> Result<u32, String> {
    let value: f64 = text.parse().map_err(|_| format!("`{text}` is no number; try 1.5"))?;
    match value.is_finite() && (0.0..=1_000_000.0).contains(&value) {
        true => Ok((value * 1000.0).round() as u32),
        false => Err(format!("`{text}` is no ratio; try 1.5")),
    }
}

fn web_url(text: &str) -> Result<String, String> {
    url_of(text, &["http://", "https://"])
}

/// A URL with one of these schemes. Whether a host of that name exists is not asked.
fn url_of(text: &str, schemes: &[&str]) -> Result<String, String> {
    let text = text.trim();
    let host = schemes.iter().find_map(|scheme| text.strip_prefix(scheme)).unwrap_or_default();
    match host.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        true => Err(format!("`{text}` is no URL that begins with {}", schemes.join(" or "))),
        false => Ok(text.into()),
    }
}

/// What other clients take too: a power of two, of at least one block.
fn piece_length(text: &str) -> Result<u32, String> {
    let Size(len) = text.parse()?;
    let len = u32::try_from(len).ok().filter(|len| len.is_power_of_two());
    len.filter(|len| (PIECE_LEN_MIN..=PIECE_LEN_MAX).contains(len))
        .ok_or_else(|| format!("pieces have 16KiB, 32KiB, 64KiB, ... or 256MiB, not {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_options_is_consistent() {
        Cli::explained().debug_assert();
    }

    #[test]
    fn every_command_explains_itself_with_examples_that_can_be_typed() {
        let mut explained = 0;
        for mut command in Cli::explained().get_subcommands().cloned() {
            let help = command.render_long_help().to_string();
            assert!(help.contains("Exit codes:"), "{help}");
            for line in help.lines().filter_map(|line| line.strip_prefix("  gannet ")) {
                // What stands behind several blanks says what it does; what stands behind a bar is another program's.
                let typed =
                    line.split("   ").next().unwrap_or_default().split(" | ").next().unwrap_or_default();
                let words = typed.split_whitespace().map(|word| word.trim_matches('\''));
                let words = std::iter::once("gannet").chain(words);
                assert!(Cli::explained().try_get_matches_from(words).is_ok(), "{line}");
                explained += 1;
            }
        }
        assert!(explained > 10, "only {explained} examples");
    }

    #[test]
    fn a_tier_is_a_list_of_urls() {
        let tier = "http://a.example/announce, udp://b.example:6969".parse();
        assert_eq!(tier, Ok(Tier(vec!["http://a.example/announce".into(), "udp://b.example:6969".into()])));
        for bad in ["", "nonsense", "http://", "ftp://a", "http://a,", "http://a b"] {
            assert!(bad.parse::<Tier>().is_err(), "{bad}");
        }
    }

    #[test]
    fn pieces_have_a_power_of_two() {
        assert_eq!(piece_length("16KiB"), Ok(16_384));
        assert_eq!(piece_length("65536"), Ok(65_536));
        for bad in ["3", "8KiB", "100000", "512MiB", "1TiB", "x"] {
            assert!(piece_length(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_ratio_is_a_number_of_times() {
        assert_eq!(ratio("1.5"), Ok(1500));
        assert_eq!(ratio("0"), Ok(0));
        for bad in ["-1", "x", "nan", "1e99", ""] {
            assert!(ratio(bad).is_err(), "{bad}");
        }
    }
}
