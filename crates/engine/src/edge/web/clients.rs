//! Connections to web servers, kept for the next request; one client per origin, which connects to checked addresses only.
//!
//! Always: a redirect is followed under the same checks as the first request; credentials in a web seed's URL go to its own
//! origin and nowhere else; a name is looked up again after [`KEPT_FOR`]. Threats: C14, E1

use super::super::guard::{self, Errand, Forbidden};
use super::super::http::{self, Bounds, Http, REDIRECTS_MAX, VisitError};
use super::super::resolve::resolve;
use super::nonsense;
use proto::input::FetchFailure;
use reqwest::header::{ACCEPT_ENCODING, RANGE};
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use url::{Origin, Url};

/// Origins whose clients are kept: a few for each torrent that fetches.
const CLIENTS_MAX: usize = 64;

/// How long the addresses of a name are believed.
const KEPT_FOR: Duration = Duration::from_secs(300);

/// Turns of this thread's other tasks after which a connection whose answer was read to its end is with the pool again: its own
/// task hands it on, perhaps in a second turn if the first was used up by reading, and then the pool's takes it.
const SETTLING_TURNS: u32 = 4;

/// Lets a connection whose answer was read to its end go back to the pool: who asks before that opens another one.
pub(super) async fn settle() {
    for _ in 0..SETTLING_TURNS {
        tokio::task::yield_now().await;
    }
}

/// All of them.
#[derive(Debug)]
pub(super) struct Clients {
    http: Http,
    kept: Mutex<Vec<Kept>>,
}

#[derive(Clone, Debug)]
struct Kept {
    origin: Origin,
    since: Instant,
    /// As the name was looked up.
    found: Vec<SocketAddr>,
    /// Those of them that the client may connect to.
    allowed: Vec<SocketAddr>,
    client: reqwest::Client,
}

impl Clients {
    /// None yet.
    pub(super) fn new(http: Http) -> Clients {
        Clients { http, kept: Mutex::default() }
    }

    /// Asks for bytes of a file, wherever redirects lead. The answer is not looked at.
    pub(super) async fn ask(&self, url: &Url, bytes: Range<u64>) -> Result<reqwest::Response, FetchFailure> {
        let (mut url, mut from) = (url.clone(), None);
        for _ in 0..=REDIRECTS_MAX {
            let client = self.client(&url, from).await?;
            let range = format!("bytes={}-{}", bytes.start, bytes.end - 1);
            let request = client.get(url.clone()).header(ACCEPT_ENCODING, "identity").header(RANGE, range);
            let response = request.send().await.map_err(|error| {
                self.forget(&url.origin());
                http::describe(error)
            })?;
            http::check_headers(response.headers()).map_err(|error| nonsense(error.to_string()))?;
            if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(response);
            }
            from = response.remote_addr().map(|address| address.ip());
            let target = http::redirected(&url, response.headers());
            let mut target = target.map_err(|error| nonsense(error.to_string()))?;
            keep_credentials(&url, &mut target);
            url = target;
        }
        Err(nonsense(format!("more than {REDIRECTS_MAX} redirects")))
    }

    /// A client for a URL's origin; `from` redirected to it.
    pub(super) async fn client(
        &self,
        url: &Url,
        from: Option<IpAddr>,
    ) -> Result<reqwest::Client, VisitError> {
        guard::check_url(url, Errand::WebSeed)?;
        let found = match self.find(&url.origin()) {
            Some(kept) => kept.found,
            None => resolve(url).await.map_err(VisitError::Failed)?,
        };
        let bounds = Bounds { errand: Errand::WebSeed, family: None, body_len_max: 0 };
        let allowed = http::allowed(url, bounds, &found, from)?;
        // Looked for again: while a name was looked up for one, another may have done the same, and its connections are there.
        if let Some(kept) = self.find(&url.origin()).filter(|kept| kept.allowed == allowed) {
            return Ok(kept.client);
        }
        let client = self.http.client(url, &allowed)?;
        self.keep(Kept {
            origin: url.origin(),
            since: Instant::now(),
            found,
            allowed,
            client: client.clone(),
        });
        Ok(client)
    }

    /// A name that would be found at one address, and is served from another: no test has a server on the open network.
    #[cfg(test)]
    pub(super) fn pretend(&self, url: &Url, found: SocketAddr, really: SocketAddr) {
        let client = self.http.client(url, &[really]).expect("a client");
        let (found, allowed) = (vec![found], vec![found]);
        self.keep(Kept { origin: url.origin(), since: Instant::now(), found, allowed, client });
    }

    fn find(&self, origin: &Origin) -> Option<Kept> {
        let kept = self.kept().iter().find(|kept| kept.origin == *origin).cloned();
        kept.filter(|kept| kept.since.elapsed() < KEPT_FOR)
    }

    fn keep(&self, new: Kept) {
        let mut kept = self.kept();
        kept.retain(|kept| kept.origin != new.origin);
        if kept.len() >= CLIENTS_MAX {
            kept.remove(0);
        }
        kept.push(new);
    }

    /// Its addresses may have changed, or its connections be stale.
    fn forget(&self, origin: &Origin) {
        self.kept().retain(|kept| kept.origin != *origin);
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A redirect within an origin keeps its credentials; one that leaves it has none, not even those that it names itself.
fn keep_credentials(from: &Url, to: &mut Url) {
    let same = from.origin() == to.origin();
    let (name, password) = if same { (from.username(), from.password()) } else { ("", None) };
    // Only URLs without a host refuse credentials, and those are refused a line later.
    let _ = to.set_username(name);
    let _ = to.set_password(password);
}

impl From<Forbidden> for FetchFailure {
    fn from(why: Forbidden) -> FetchFailure {
        VisitError::Forbidden(why).into()
    }
}
