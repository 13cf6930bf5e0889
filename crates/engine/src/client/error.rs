//! What can go wrong when a client starts or a torrent is added: what happened, why, and what to do.

use std::io;
use std::path::PathBuf;
use wire::metainfo::MetainfoError;
use wire::{FileIndex, InfoHash};

/// Why a client did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state cannot be used.
    #[error("{0}")]
    State(String),
    /// No port can be listened at.
    #[error("cannot listen for peers: {0}; name another port or address, or listen nowhere")]
    Listen(io::Error),
    /// Nothing can be recorded to the file that was named for it.
    #[error("cannot record there: {0}; name a file that is new, or an earlier recording")]
    Record(io::Error),
    /// Links must be private, and there is no key that they could be sealed under.
    #[error("private links need the key of their swarm: set `swarm_key`, or another policy of encryption")]
    NoSwarmKey,
    /// The operating system gives no threads, sockets or random numbers.
    #[error("the system does not give what a client needs: {0}")]
    System(#[from] io::Error),
}

/// Why a torrent was not added.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    /// The bytes are no torrent that can be downloaded.
    #[error("{0}")]
    Metainfo(#[from] MetainfoError),
    /// This client already has it.
    #[error("torrent {0} was added before")]
    Known(InfoHash),
    /// A torrent that is being run, here or by another process with the same state, has a file of the same path: each would
    /// write over the other's.
    #[error(
        "{path} is also a file of the torrent {name:?} ({first}), which is running: choose another output directory (--output) for this one, or remove that one first",
        path = .path.display()
    )]
    SamePlace {
        /// The torrent that was there first.
        first: InfoHash,
        /// What that one is called.
        name: String,
        /// The file, or one of them.
        path: PathBuf,
    },
    /// There is not one priority for each file.
    #[error("{given} priorities for {files} files")]
    Priorities {
        /// How many were given.
        given: usize,
        /// How many files there are.
        files: usize,
    },
    /// There is not one range for each file of a torrent that is to be lent.
    #[error("{given} ranges for {files} files")]
    Ranges {
        /// How many were given.
        given: usize,
        /// How many files there are.
        files: usize,
    },
    /// A file of the torrent is said to be a range of a larger one, and is none: it would be longer than that one, has another length
    /// than the range, or none, or is named twice or out of order.
    #[error("file {} of the torrent is not the range of a larger file that it is said to be", .0.0)]
    Misplaced(FileIndex),
    /// Whoever was to choose the files did not.
    #[error("{0}")]
    Choice(String),
    /// There is no room for it, says whoever was asked ([`AddOptions::room`](crate::AddOptions::room)).
    #[error("{0}")]
    Room(String),
    /// The client's links are private, and this tracker or web seed, which the torrent names, would learn what it has.
    #[error(
        "{0} would learn which torrent this is, and this client keeps its torrents among those who hold the swarm's key: add the torrent without its trackers and web seeds"
    )]
    WouldTell(String),
    /// The client's links are private, and somebody who is asked where this host is, which a magnet link names as a peer, would
    /// learn of it.
    #[error(
        "whoever is asked where {0} is would learn of this swarm, and this client keeps it a secret: name its address instead"
    )]
    WouldLookUp(String),
    /// The torrent is remembered as one of a private swarm, and this client has not the key of that one. It is left as it is.
    #[error(
        "torrent {0} is kept among those who hold the key of a private swarm, which this client does not (or its record is damaged, and \
         nothing says so any more): it is left alone; to take part in it otherwise, name another state directory (--state)"
    )]
    Secret(InfoHash),
    /// The torrent is remembered as one that is in the open, and this client's links are private. It is left as it is.
    #[error(
        "torrent {0} is in the open in this state directory, and this client takes part in a private swarm alone: it is left alone; \
         name another state directory (--state)"
    )]
    NotSecret(InfoHash),
    /// The state cannot be used, or another client runs this torrent.
    #[error("{0}")]
    State(String),
    /// The client has stopped.
    #[error("the client has stopped")]
    Stopped,
}
