//! The settings of the doors by which an operator reaches a tracker at work.

use super::path_line;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// As a file says it.
#[derive(Deserialize, Default, Debug)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Table {
    socket: Option<PathBuf>,
    listen: Option<SocketAddr>,
    tokens: Option<PathBuf>,
}

/// Where the operator comes in; nowhere by default.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Admin {
    /// A Unix socket: whoever may open its file.
    pub(crate) socket: Option<PathBuf>,
    /// A loopback address: who shows a token.
    pub(crate) listen: Option<SocketAddr>,
    /// The tokens.
    pub(crate) tokens: Option<PathBuf>,
}

impl Table {
    pub(super) fn read(self, folder: &Path) -> Result<Admin, String> {
        match (self.listen, &self.tokens) {
            (Some(at), _) if !at.ip().is_loopback() => {
                Err("admin.listen: a loopback address, such as 127.0.0.1:6970; others come by SSH or a proxy"
                    .into())
            }
            (Some(_), None) => Err("admin.tokens: which file has the tokens?".into()),
            (None, Some(_)) => Err("admin.listen: where are tokens asked for?".into()),
            (Some(_), Some(_)) | (None, None) => Ok(Admin {
                socket: self.socket.map(|path| folder.join(path)),
                listen: self.listen,
                tokens: self.tokens.map(|path| folder.join(path)),
            }),
        }
    }
}

impl Admin {
    /// As a file says it, with what it means.
    pub(super) fn print(&self) -> String {
        let listen = match self.listen {
            Some(at) => format!("listen = \"{at}\""),
            None => "# listen = \"127.0.0.1:6970\"".into(),
        };
        format!(
            "\n\
[admin]
# A Unix socket by which its operator reaches the tracker at work (docs/tracker-admin.md): whoever may open the file may do everything.
{socket}
# The same at a loopback address, for who shows a token of this file: `token role name` a line; viewer, operator or admin.
{listen}
{tokens}
",
            socket = path_line("socket", self.socket.as_deref(), "tracker.sock"),
            tokens = path_line("tokens", self.tokens.as_deref(), "tokens"),
        )
    }
}
