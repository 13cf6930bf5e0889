//! Where a web seed has a file: BEP 19's rules from a torrent's URL to a file's.
//!
//! Names go to the server as the torrent's maker wrote them, byte for byte and percent-encoded; what we call files on disk is
//! another matter. Always: no element of a path is empty, `.` or `..`, so that nobody climbs out of the URL's folder.

use super::{failure, nonsense};
use proto::input::{FetchFailure, FetchFault};
use url::Url;
use wire::{FileIndex, Metainfo};

/// A web seed of a torrent.
#[derive(Debug)]
pub(super) struct Place<'m> {
    url: Url,
    metainfo: &'m Metainfo,
}

impl<'m> Place<'m> {
    /// The web seed at this URL.
    pub(super) fn new(url: &str, metainfo: &'m Metainfo) -> Result<Place<'m>, FetchFailure> {
        let forbidden = |why: String| failure(FetchFault::Forbidden, why);
        let mut url = Url::parse(url).map_err(|error| forbidden(format!("not a URL: {error}")))?;
        if url.cannot_be_a_base() {
            return Err(forbidden("not a URL of a server".into()));
        }
        url.set_fragment(None);
        Ok(Place { url, metainfo })
    }

    /// The URL of a file. Of a single file it is the web seed's own, unless that is a folder's (BEP 19).
    pub(super) fn of(&self, file: FileIndex) -> Result<Url, FetchFailure> {
        let metainfo = self.metainfo;
        let folder = self.url.path().ends_with('/');
        if !metainfo.has_directory() && !folder {
            return Ok(self.url.clone());
        }
        let mut path = self.url.path().trim_end_matches('/').to_owned();
        let name = metainfo.name.original.raw();
        let beneath = metainfo.has_directory().then(|| metainfo.original_path(file));
        let elements =
            beneath.iter().flat_map(|path| path.raw().split(|&byte| byte == b'/').map(<[u8]>::to_vec));
        for element in std::iter::once(name.to_vec()).chain(elements) {
            if matches!(element.as_slice(), b"" | b"." | b"..") {
                return Err(nonsense("a file's name in the torrent cannot be asked for"));
            }
            path.push('/');
            encode(&element, &mut path);
        }
        let mut url = self.url.clone();
        url.set_path(&path);
        Ok(url)
    }
}

/// Percent-encodes all but what never needs it (RFC 3986, 2.3).
fn encode(element: &[u8], to: &mut String) {
    for &byte in element {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            to.push(char::from(byte));
        } else {
            to.push_str(&format!("%{byte:02X}"));
        }
    }
}
