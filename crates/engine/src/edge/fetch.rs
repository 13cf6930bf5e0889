//! A `.torrent` file behind a URL that the user gave. The user may mean a server beside us; a redirect may not.

use super::guard::{Errand, Forbidden};
use super::http::{Bounds, Http, VisitError};
use std::time::Duration;
use url::Url;

/// Longest torrent file that is fetched, packed and unpacked: as long as one that is read.
const TORRENT_LEN_MAX: usize = 10_000_000;

/// How long a fetch may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(60);

/// Why a torrent file was not fetched. The texts are ours but for what a server says; nothing here needs escaping.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// Not a URL.
    #[error("this is not a URL: {0}")]
    BadUrl(String),
    /// We do not go there.
    #[error("this URL is not visited: {0}")]
    Forbidden(Forbidden),
    /// The server says no.
    #[error("the server answered with HTTP status {0}")]
    Status(u16),
    /// No connection, no answer, or one that is too long.
    #[error("{0}")]
    Failed(String),
    /// Not in time.
    #[error("the server took more than {} s", FETCH_TIMEOUT.as_secs())]
    TimedOut,
}

/// Fetches it.
pub(crate) async fn fetch(http: &Http, url: &str) -> Result<Vec<u8>, FetchError> {
    fetch_within(http, url, FETCH_TIMEOUT).await
}

/// Fetches it if that takes no longer.
pub(super) async fn fetch_within(http: &Http, url: &str, most: Duration) -> Result<Vec<u8>, FetchError> {
    let url = Url::parse(url).map_err(|error| FetchError::BadUrl(error.to_string()))?;
    let bounds = Bounds { errand: Errand::TorrentFile, family: None, body_len_max: TORRENT_LEN_MAX };
    let answered = tokio::time::timeout(most, http.get(&url, bounds)).await;
    match answered.map_err(|_| FetchError::TimedOut)? {
        Ok(answered) if answered.status == 200 => Ok(answered.body),
        Ok(answered) => Err(FetchError::Status(answered.status)),
        Err(VisitError::Forbidden(why)) => Err(FetchError::Forbidden(why)),
        Err(VisitError::BadUrl(why)) => Err(FetchError::BadUrl(why)),
        Err(VisitError::Failed(why)) => Err(FetchError::Failed(wire::DisplaySafe::new(why).to_string())),
    }
}
