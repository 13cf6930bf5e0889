//! `gannet tracker users`: what can be typed.

use clap::{Args, Subcommand};
use std::num::NonZeroU32;
use std::path::PathBuf;

/// What else a tracker needs than to run.
#[derive(Subcommand, Clone, Debug)]
pub(crate) enum TrackerCommand {
    Users(TrackerUsers),
}

/// Make and change the users of a private tracker (`gannet tracker --private FILE`).
///
/// Users are in a file: an SQLite database if it ends in .db, .sqlite or .sqlite3, otherwise text, one user a line. A tracker that
/// runs notices what is changed in a database within seconds; a text file it reads again after SIGHUP.
#[derive(Args, Clone, Debug)]
#[command(
    arg_required_else_help = true,
    after_help = "\
Examples:
  gannet tracker users add anna --in users.db     prints the announce URL that is anna's alone, once
  gannet tracker users add bert --in users.db --url https://tracker.example --clients 3
  gannet tracker users list --in users.db         who has sent and received how much, in bytes
  gannet tracker users list --in users.db --json | jq 'select(.uploaded * 2 < .downloaded) | .name'
  gannet tracker users disable bert --in users.db
  gannet tracker users new-key anna --in users.db    the old URL is of no use any more"
)]
pub(crate) struct TrackerUsers {
    #[command(subcommand)]
    pub(crate) command: UsersCommand,
}

#[derive(Subcommand, Clone, Debug)]
pub(crate) enum UsersCommand {
    /// A new user; makes the file if there is none. Prints the user's announce URL, once
    Add(AddUser),
    /// Everybody, with what was sent and received; no passkeys
    List(ListUsers),
    /// Refuse a user
    Disable(UserName),
    /// Let a disabled user visit again
    Enable(UserName),
    /// Let a user seed, but not download
    NoDownload(UserName),
    /// Let a user download
    Download(UserName),
    /// Give a user another passkey. Prints the announce URL, once
    NewKey(NewKey),
    /// Forget a user, with what was sent and received in each torrent
    Remove(UserName),
}

/// Whom.
#[derive(Args, Clone, Debug)]
pub(crate) struct UserName {
    /// The user's name: letters, digits and -_.@+
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Where the users are
    #[arg(long = "in", value_name = "FILE")]
    pub(crate) users: PathBuf,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct AddUser {
    #[command(flatten)]
    pub(crate) who: UserName,
    /// May seed, but not download
    #[arg(long)]
    pub(crate) no_download: bool,
    /// Take part in one torrent with so many clients at once, at most [default: as many as the user likes]
    #[arg(long, value_name = "N")]
    pub(crate) clients: Option<NonZeroU32>,
    /// Where the tracker is reached, for the URL that is printed [default: http://127.0.0.1:6969]
    #[arg(long = "url", value_name = "URL")]
    pub(crate) at: Option<String>,
    /// Print JSON, for programs; see docs/json.md
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct NewKey {
    #[command(flatten)]
    pub(crate) who: UserName,
    /// Where the tracker is reached, for the URL that is printed [default: http://127.0.0.1:6969]
    #[arg(long = "url", value_name = "URL")]
    pub(crate) at: Option<String>,
    /// Print JSON, for programs; see docs/json.md
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct ListUsers {
    /// Where the users are
    #[arg(long = "in", value_name = "FILE")]
    pub(crate) users: PathBuf,
    /// Print JSON lines, for programs; see docs/json.md
    #[arg(long)]
    pub(crate) json: bool,
}
