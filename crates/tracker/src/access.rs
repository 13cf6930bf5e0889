//! Which torrents are served: all, those of a list, or all but those of a list.
//!
//! A list is a file as opentracker reads it: a line that begins with 40 hexadecimal digits, and no further one, names a torrent; whatever
//! stands behind is a remark, and every other line is one whole.

use crate::members::{Members, Unwelcome};
use proto::tracker::ledger::Member;
use std::collections::HashSet;
use std::sync::Arc;
use wire::{InfoHash, Passkey};

/// What is told to whoever asks for another torrent.
pub(crate) const REFUSAL: &str = "this tracker does not serve that torrent";

/// Which torrents are served.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Access {
    /// All.
    #[default]
    Open,
    /// Those that are listed.
    Allow(TorrentList),
    /// Those that are not listed.
    Deny(TorrentList),
}

impl Access {
    /// Whether this torrent is served.
    pub fn admits(&self, torrent: &InfoHash) -> bool {
        match self {
            Access::Open => true,
            Access::Allow(list) => list.0.contains(torrent),
            Access::Deny(list) => !list.0.contains(torrent),
        }
    }
}

/// Who is served with what.
#[derive(Clone, Debug, Default)]
pub(crate) struct Admission {
    /// Which torrents.
    pub(crate) access: Access,
    /// Whom, on a private tracker; everybody on an open one.
    pub(crate) members: Option<Arc<Members>>,
}

impl Admission {
    /// Whether this torrent is served.
    pub(crate) fn admits(&self, torrent: &InfoHash) -> bool {
        self.access.admits(torrent)
    }

    /// These members are served from now on; says whether others were before. An open tracker stays open.
    pub(crate) fn set_members(&mut self, members: Members) -> bool {
        match &mut self.members {
            Some(place) if !place.are(&members) => {
                *place = Arc::new(members.after(place));
                true
            }
            Some(_) | None => false,
        }
    }

    /// Whether only members are served.
    pub(crate) fn is_private(&self) -> bool {
        self.members.is_some()
    }

    /// Who visits with the passkey that is found so: a member, or anybody on an open tracker.
    pub(crate) fn who(&self, passkey: impl FnOnce() -> Option<Passkey>) -> Result<Option<Member>, Unwelcome> {
        self.members.as_ref().map(|members| members.find(passkey())).transpose()
    }
}

/// Torrents by their info-hashes. To clone it copies none of them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TorrentList(Arc<HashSet<InfoHash>>);

impl TorrentList {
    /// Reads a list. What names no torrent is passed over.
    pub fn read(text: &[u8]) -> TorrentList {
        TorrentList(Arc::new(text.split(|&byte| byte == b'\n').filter_map(named).collect()))
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn named(line: &[u8]) -> Option<InfoHash> {
    let (digits, rest) = line.split_at_checked(40)?;
    if rest.first().is_some_and(u8::is_ascii_hexdigit) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut hash = [0; 20];
    for (place, &[high, low]) in hash.iter_mut().zip(digits.as_chunks().0) {
        *place = (digit(high)? * 16 + digit(low)?) as u8;
    }
    Some(InfoHash(hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_as_opentracker_reads_it() {
        let one = "0123456789abcdefABCDEF0123456789abcdef01";
        let two = "f".repeat(40);
        let text = format!(
            "# remark\n\n{one}\n{two} a name\r\n-{one}\n {one}\n{}\n{}\n{}",
            &one[1..],
            "7".repeat(41),
            "0".repeat(40)
        );
        let list = TorrentList::read(text.as_bytes());
        let hash = |digits: &str| digits.parse::<InfoHash>().unwrap();
        let expected = [hash(one), hash(&two), InfoHash([0; 20])];
        assert_eq!(list, TorrentList(Arc::new(expected.into_iter().collect())));
        assert!(TorrentList::read(b"").is_empty());
        let [allow, deny] = [Access::Allow(list.clone()), Access::Deny(list)];
        for torrent in expected {
            assert!(allow.admits(&torrent) && !deny.admits(&torrent) && Access::Open.admits(&torrent));
        }
        let other = InfoHash([7; 20]);
        assert!(!allow.admits(&other) && deny.admits(&other) && Access::Open.admits(&other));
    }
}
