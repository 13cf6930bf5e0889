//! Inputs as bytes. Some borrow a list, so they are read into a type of their own; one list of variants makes both
//! directions, and a new variant of [`Input`] does not compile until it is listed.

use super::TraceError;
use super::code::{Put, Source, Take};
use crate::input::PeerSource;
use crate::{Input, LinkId, TorrentId};
use core::net::SocketAddr;

/// An input as it was read: it owns what [`Input`] borrows.
#[derive(Clone, Debug)]
pub enum OwnedInput {
    /// Any input that owns what it has.
    Plain(Input<'static>),
    /// [`Input::Haves`].
    Haves {
        /// From whom.
        link: LinkId,
        /// Which.
        pieces: Vec<u32>,
    },
    /// [`Input::FoundPeers`].
    FoundPeers {
        /// For which torrent.
        torrent: TorrentId,
        /// From where.
        source: PeerSource,
        /// Their addresses.
        peers: Vec<SocketAddr>,
    },
}

impl OwnedInput {
    /// The input, for [`crate::Session::handle`].
    pub fn as_input(&self) -> Input<'_> {
        match self {
            OwnedInput::Plain(input) => input.clone(),
            OwnedInput::Haves { link, pieces } => Input::Haves { link: *link, pieces },
            OwnedInput::FoundPeers { torrent, source, peers } => {
                Input::FoundPeers { torrent: *torrent, source: *source, peers }
            }
        }
    }
}

macro_rules! inputs {
    (
        plain { $($tag:literal $variant:ident $(($($item:ident),*))? $({ $($field:ident),* })?),* $(,)? }
        borrowed { $($list_tag:literal $list:ident { $($list_field:ident),* }),* $(,)? }
    ) => {
        impl Put for Input<'_> {
            fn put(&self, to: &mut Vec<u8>) {
                match self {
                    $(Input::$variant $(($($item),*))? $({ $($field),* })? => {
                        to.push($tag);
                        $($($item.put(to);)*)?
                        $($($field.put(to);)*)?
                    })*
                    $(Input::$list { $($list_field),* } => {
                        to.push($list_tag);
                        $($list_field.put(to);)*
                    })*
                }
            }
        }

        impl Take for OwnedInput {
            fn take(from: &mut Source<'_>) -> Result<OwnedInput, TraceError> {
                Ok(match from.tag()? {
                    $($tag => {
                        $($(let $item = Take::take(from)?;)*)?
                        $($(let $field = Take::take(from)?;)*)?
                        OwnedInput::Plain(Input::$variant $(($($item),*))? $({ $($field),* })?)
                    })*
                    $($list_tag => {
                        $(let $list_field = Take::take(from)?;)*
                        OwnedInput::$list { $($list_field),* }
                    })*
                    tag => return Err(TraceError::UnknownTag("Input", tag)),
                })
            }
        }

        /// The tags of all inputs.
        #[cfg(test)]
        pub(super) const TAGS: &[u8] = &[$($tag,)* $($list_tag,)*];
    };
}

inputs! {
    plain {
        0 Wake,
        1 Command(command),
        2 LinkUp(link),
        3 DialFailed { dial, why },
        4 LinkDown { link, why },
        5 Message { link, message },
        7 Block { link, block, payload },
        8 Progress { link, bytes },
        9 Overhead { link, received, sent },
        10 Sent { token },
        11 Unsent { token, why },
        12 Opened { torrent, found },
        13 CheckProgress { torrent, pieces },
        14 Checked { torrent, good },
        15 Verified { torrent, piece, attempt, good, digests },
        16 Written { torrent, piece, attempt },
        17 Spilled { torrent, piece, attempt, digests },
        18 Synced { torrent, epoch },
        19 SyncFailed { torrent, epoch, error },
        20 Committed { torrent, epoch },
        21 StorageFailed { torrent, operation, error },
        22 Closed { torrent },
        23 Announced { announce, outcome },
        42 Scraped { scrape, outcome },
        40 Fetched { fetch, block, payload },
        41 FetchEnded { fetch, outcome },
        25 MetadataPiece { link, piece, total, len, payload },
        26 MetadataReady { torrent, metainfo, priorities },
        27 MetadataFailed { torrent, size, why },
    }
    borrowed {
        6 Haves { link, pieces },
        24 FoundPeers { torrent, source, peers },
    }
}
