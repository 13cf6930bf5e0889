//! `gannet dht`: what can be typed.

use super::node;
use crate::quantity::Span;
use clap::{Args, Subcommand};
use gannet::InfoHash;
use gannet::dht::{NodeId, PublicKey};
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// Look into the distributed hash table (DHT, BEP 5), where peers and small items are found without any server.
///
/// Each of these runs a node for as long as it takes. It begins at nodes that an earlier run knew, or at the public routers, or at
/// --dht-bootstrap. docs/dht.md says what is told to whom.
#[derive(Args, Debug)]
#[command(
    arg_required_else_help = true,
    after_help = "\
Examples:
  gannet dht get-peers c9e15763f722f23e98a29decdfae341b98d53056    who has this torrent
  gannet dht put 'hello'                          store a text; prints where it is
  gannet dht get e5f96f6f38320f0f33959cb4d3d656452117aadb
  gannet dht node                                 a node that others can begin at, until Ctrl-C
  gannet dht stats                                how large the network is, and how it sees us

To publish a torrent that you will replace by newer ones (BEP 46):
  gannet dht key my.key                           once
  gannet dht put --key my.key --torrent c9e15763f722f23e98a29decdfae341b98d53056
  gannet get 'magnet:?xs=urn:btpk:...'            what others type, each time"
)]
pub(crate) struct Dht {
    #[command(subcommand)]
    pub(crate) command: DhtCommand,
}

/// What to do there.
#[derive(Subcommand, Debug)]
pub(crate) enum DhtCommand {
    /// Run a node until Ctrl-C: others can begin at it, and it stores what is theirs to find
    Node(RunNode),
    /// Who has a torrent
    GetPeers(GetPeers),
    /// Fetch an item that somebody put (BEP 44)
    Get(GetItem),
    /// Put an item of at most 1,000 bytes, for about two hours (BEP 44)
    Put(PutItem),
    /// Make a key to publish with
    Key(MakeKey),
    /// Which torrents nodes know of (BEP 51)
    Sample(Sample),
    /// How the network looks from here
    Stats(Stats),
}

/// How the node is run.
#[derive(Args, Debug)]
pub(crate) struct Node {
    /// Port to use [default: any that is free; `node` takes 6881]
    #[arg(long, value_name = "PORT")]
    pub(crate) port: Option<u16>,
    /// Use this address alone, e.g. 127.0.0.1 to stay on this machine [default: all]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) bind: Option<IpAddr>,
    /// Begin at this node instead of the public routers; may be given several times
    #[arg(long, value_name = "HOST:PORT", value_parser = node)]
    pub(crate) dht_bootstrap: Vec<(String, u16)>,
    /// Where nodes are remembered [default: ~/.local/state/gannet, or $XDG_STATE_HOME/gannet]
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// Print JSON lines, for programs; see docs/json.md
    #[arg(long)]
    pub(crate) json: bool,
}

/// How it is run for a question.
#[derive(Args, Debug)]
pub(crate) struct Asking {
    #[command(flatten)]
    pub(crate) node: Node,
    /// Give up when no node was reached for so long
    #[arg(long, value_name = "TIME", default_value = "20s")]
    pub(crate) wait: Span,
}

#[derive(Args, Debug)]
pub(crate) struct RunNode {
    #[command(flatten)]
    pub(crate) node: Node,
}

#[derive(Args, Debug)]
pub(crate) struct GetPeers {
    /// An info-hash, or a magnet link
    #[arg(value_name = "HASH", value_parser = info_hash)]
    pub(crate) info_hash: InfoHash,
    /// Ask how many have it, too (BEP 33)
    #[arg(long)]
    pub(crate) scrape: bool,
    /// Say that we have it ourselves, and are reached at this port
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) announce: Option<u16>,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

#[derive(Args, Debug)]
pub(crate) struct GetItem {
    /// Where it is: 40 digits, as `put` prints; or 64 digits, the key of who publishes it
    #[arg(value_name = "TARGET|KEY")]
    pub(crate) at: ItemPlace,
    /// Which item of that key, if it has a salt
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) salt: String,
    /// Print the value as it is stored (bencode), and nothing else
    #[arg(long, conflicts_with = "json")]
    pub(crate) raw: bool,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

#[derive(Args, Debug)]
pub(crate) struct PutItem {
    /// A text
    #[arg(value_name = "TEXT", required_unless_present_any = ["torrent", "file"])]
    pub(crate) text: Option<String>,
    /// Instead of a text: which torrent is the newest of this key's (BEP 46)
    #[arg(long, value_name = "HASH", value_parser = info_hash, requires = "key", conflicts_with_all = ["text", "file"])]
    pub(crate) torrent: Option<InfoHash>,
    /// Instead of a text: what a file holds, which must be bencode
    #[arg(long, value_name = "FILE", conflicts_with = "text")]
    pub(crate) file: Option<PathBuf>,
    /// Put it under the key in this file, as an item that can be replaced; `gannet dht key` makes one
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// Which item of that key
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true, requires = "key")]
    pub(crate) salt: String,
    /// Which version it is [default: the time in seconds since 1970, or one more than what is found there]
    #[arg(long, value_name = "N", requires = "key", value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) seq: Option<i64>,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

#[derive(Args, Debug)]
pub(crate) struct MakeKey {
    /// A new file. Whoever has it can replace what you publish: keep it, and keep it to yourself
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct Sample {
    /// Ask the nodes near this id [default: anywhere]
    #[arg(value_name = "ID")]
    pub(crate) near: Option<NodeId>,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

#[derive(Args, Debug)]
pub(crate) struct Stats {
    /// How long to look around first
    #[arg(long = "for", value_name = "TIME", default_value = "5s")]
    pub(crate) span: Span,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

/// Where an item is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum ItemPlace {
    Target(NodeId),
    Key(PublicKey),
}

impl FromStr for ItemPlace {
    type Err = String;

    fn from_str(text: &str) -> Result<ItemPlace, String> {
        let target = text.parse().map(ItemPlace::Target);
        target.or_else(|_| text.parse().map(ItemPlace::Key)).map_err(|_| {
            "an item is named by 40 digits (0-9, a-f), or by the 64 digits of the key that it is published under".into()
        })
    }
}

/// An info-hash alone, or in a magnet link.
fn info_hash(text: &str) -> Result<InfoHash, String> {
    if gannet::Magnet::is_meant(text) {
        return gannet::Magnet::parse(text).map(|magnet| magnet.info_hash).map_err(|error| error.to_string());
    }
    text.parse::<InfoHash>().map_err(|error| error.to_string())
}
