//! Connections to web servers, kept for the next request, to checked addresses only.
//!
//! Always: a redirect is followed under the same checks as the first request; credentials in a web seed's URL go to its own
//! origin and nowhere else; a name is looked up again after [`KEPT_FOR`]; a connection serves one request at a time, and waits for
//! the next no longer than [`IDLE_MAX`]. Threats: C14, E1

use super::super::guard::{self, Errand, Forbidden};
use super::super::http::{self, Bounds, Connection, Http, REDIRECTS_MAX, VisitError};
use super::super::resolve::resolve;
use super::nonsense;
use hyper::Response;
use hyper::body::Incoming;
use hyper::header::{ACCEPT_ENCODING, RANGE};
use proto::input::FetchFailure;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use url::{Origin, Url};

/// Origins of which something is kept: a few for each torrent that fetches.
const ORIGINS_MAX: usize = 64;

/// How long the addresses of a name are believed.
const KEPT_FOR: Duration = Duration::from_secs(300);

/// How long a connection is kept for the next request; servers commonly close it after 60 s or more.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// Connections of one origin that wait for the next request.
const WAITING_MAX: usize = 8;

/// All of them.
#[derive(Debug)]
pub(super) struct Clients {
    http: Http,
    kept: Arc<Mutex<Vec<Kept>>>,
}

/// What is kept of one origin.
#[derive(Debug)]
struct Kept {
    origin: Origin,
    way: Way,
    since: Instant,
    /// Connections that wait for the next request, those that waited least last.
    idle: Vec<(Connection, Instant)>,
    /// A task looks after them.
    watched: bool,
}

/// Where an origin is.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Way {
    /// As the name was looked up.
    found: Vec<SocketAddr>,
    /// Those of them that may be connected to.
    allowed: Vec<SocketAddr>,
    /// Where they really are: in tests, elsewhere.
    really: Vec<SocketAddr>,
}

/// An answer whose body has not been read, and the connection that it comes over.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) response: Response<Incoming>,
    pub(super) connection: Borrowed,
}

/// A connection in use.
#[derive(Debug)]
pub(super) struct Borrowed {
    connection: Connection,
    origin: Origin,
    way: Way,
    kept: Weak<Mutex<Vec<Kept>>>,
}

impl Clients {
    /// None yet.
    pub(super) fn new(http: Http) -> Clients {
        Clients { http, kept: Arc::default() }
    }

    /// Asks for bytes of a file, wherever redirects lead. The answer is not looked at.
    pub(super) async fn ask(&self, url: &Url, bytes: Range<u64>) -> Result<Answer, FetchFailure> {
        let (mut url, mut from) = (url.clone(), None);
        let range = format!("bytes={}-{}", bytes.start, bytes.end - 1);
        for _ in 0..=REDIRECTS_MAX {
            let way = self.way(&url, from).await?;
            let answer =
                self.ask_there(&url, way, &range).await.inspect_err(|_| self.forget(&url.origin()))?;
            let headers = answer.response.headers();
            http::check_headers(headers).map_err(|error| nonsense(error.to_string()))?;
            if !matches!(answer.response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(answer);
            }
            from = Some(answer.connection.connection.from());
            let target = http::redirected(&url, headers);
            let mut target = target.map_err(|error| nonsense(error.to_string()))?;
            keep_credentials(&url, &mut target);
            url = target;
        }
        Err(nonsense(format!("more than {REDIRECTS_MAX} redirects")))
    }

    /// One request to one origin: over a connection that waits, unless it turns out to have ended meanwhile, or over a new one.
    async fn ask_there(&self, url: &Url, way: Way, range: &str) -> Result<Answer, VisitError> {
        let request = || http::request(url, &[(ACCEPT_ENCODING, "identity"), (RANGE, range)]);
        let origin = url.origin();
        let lend = |connection| {
            let kept = Arc::downgrade(&self.kept);
            Borrowed { connection, origin: origin.clone(), way: way.clone(), kept }
        };
        while let Some(mut connection) = self.take_idle(&origin, &way) {
            if let Ok(response) = connection.ask(request()?).await {
                return Ok(Answer { response, connection: lend(connection) });
            }
        }
        let mut connection = self.http.connect(url, &way.really).await?;
        let response = connection.ask(request()?).await?;
        Ok(Answer { response, connection: lend(connection) })
    }

    /// The way to a URL's origin; `from` redirected to it.
    async fn way(&self, url: &Url, from: Option<IpAddr>) -> Result<Way, VisitError> {
        guard::check_url(url, Errand::WebSeed)?;
        let origin = url.origin();
        let known = self.known_way(&origin);
        let found = match &known {
            Some(known) => known.found.clone(),
            None => resolve(url).await.map_err(VisitError::Failed)?,
        };
        let bounds = Bounds { errand: Errand::WebSeed, family: None, body_len_max: 0 };
        let allowed = http::allowed(url, bounds, &found, from)?;
        // Looked for again: while a name was looked up for one, another may have done the same, and its connections are there.
        if let Some(known) = self.known_way(&origin).filter(|known| known.allowed == allowed) {
            return Ok(known);
        }
        let way = Way { found, really: allowed.clone(), allowed };
        self.keep(origin, way.clone());
        Ok(way)
    }

    /// Whether a URL may be visited, when `from` redirected to it.
    #[cfg(test)]
    pub(super) async fn check(&self, url: &Url, from: Option<IpAddr>) -> Result<(), VisitError> {
        self.way(url, from).await.map(drop)
    }

    /// A name that would be found at one address, and is served from another: no test has a server on the open network.
    #[cfg(test)]
    pub(super) fn pretend(&self, url: &Url, found: SocketAddr, really: SocketAddr) {
        let way = Way { found: vec![found], allowed: vec![found], really: vec![really] };
        self.keep(url.origin(), way);
    }

    fn known_way(&self, origin: &Origin) -> Option<Way> {
        let kept = locked(&self.kept);
        let known = kept.iter().find(|kept| kept.origin == *origin && kept.since.elapsed() < KEPT_FOR);
        known.map(|kept| kept.way.clone())
    }

    fn keep(&self, origin: Origin, way: Way) {
        let mut kept = locked(&self.kept);
        kept.retain(|kept| kept.origin != origin);
        if kept.len() >= ORIGINS_MAX {
            kept.remove(0);
        }
        kept.push(Kept { origin, way, since: Instant::now(), idle: Vec::new(), watched: false });
    }

    /// The connection that waited least.
    fn take_idle(&self, origin: &Origin, way: &Way) -> Option<Connection> {
        let mut kept = locked(&self.kept);
        let kept = kept.iter_mut().find(|kept| kept.origin == *origin && kept.way == *way)?;
        kept.idle.retain(|(connection, since)| !connection.is_closed() && since.elapsed() < IDLE_MAX);
        kept.idle.pop().map(|(connection, _)| connection)
    }

    /// Its addresses may have changed, or its connections be stale.
    fn forget(&self, origin: &Origin) {
        locked(&self.kept).retain(|kept| kept.origin != *origin);
    }
}

impl Borrowed {
    /// The next bytes of the answer's body; `None` at its end.
    pub(super) async fn chunk(&self, body: &mut Incoming) -> Result<Option<bytes::Bytes>, VisitError> {
        self.connection.chunk(body).await
    }

    /// The answer was read to its end: the connection waits for the next request.
    pub(super) fn give_back(self) {
        let Some(all) = self.kept.upgrade() else { return };
        let mut kept = locked(&all);
        let kept = kept.iter_mut().find(|kept| kept.origin == self.origin && kept.way == self.way);
        let Some(kept) = kept.filter(|_| !self.connection.is_closed()) else { return };
        if kept.idle.len() >= WAITING_MAX {
            kept.idle.remove(0);
        }
        kept.idle.push((self.connection, Instant::now()));
        if !std::mem::replace(&mut kept.watched, true) {
            tokio::spawn(close_idle(self.kept, self.origin));
        }
    }
}

/// Closes what waits for too long, until nothing waits.
async fn close_idle(all: Weak<Mutex<Vec<Kept>>>, origin: Origin) {
    loop {
        tokio::time::sleep(IDLE_MAX).await;
        let Some(all) = all.upgrade() else { return };
        let mut kept = locked(&all);
        let Some(kept) = kept.iter_mut().find(|kept| kept.origin == origin) else { return };
        kept.idle.retain(|(_, since)| since.elapsed() < IDLE_MAX);
        kept.watched = !kept.idle.is_empty();
        if !kept.watched {
            return;
        }
    }
}

fn locked(kept: &Mutex<Vec<Kept>>) -> MutexGuard<'_, Vec<Kept>> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
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
