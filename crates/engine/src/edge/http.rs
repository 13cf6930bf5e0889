//! One GET: resolve, check, connect to what was checked, follow redirects under the same checks, read a bounded body.
//!
//! TLS is always verified against the system's roots; there is no way to turn that off. Each hop of a visit has a connection of
//! its own, so that no connection, cookie or credential outlives the visit; web seeds (`web`) keep theirs for a while. What a
//! server says around its answers is bounded on every connection (`line`). Threats: A11, A13, E1, E3

use super::credentials;
use super::guard::{self, Errand, Forbidden};
use super::line::{Allowance, Line};
use super::resolve::resolve;
use flate2::read::MultiGzDecoder;
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, HOST, HeaderMap, HeaderName, LOCATION,
    USER_AGENT,
};
use hyper::{Request, Response};
use std::future::poll_fn;
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use tokio::task::JoinSet;
use url::{Position, Url};
use wire::compact::Family;

/// Redirects that are followed.
pub(crate) const REDIRECTS_MAX: u32 = 5;

/// Bytes of the headers of one answer; trackers send a few hundred.
const HEADERS_LEN_MAX: usize = 64 * 1024;

/// Header lines of one answer.
const HEADERS_MAX: usize = 100;

/// What we call ourselves to servers.
const OUR_NAME: &str = concat!("Gannet/", env!("CARGO_PKG_VERSION"));

/// Why a visit came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VisitError {
    /// We do not go there.
    #[error("{0}")]
    Forbidden(#[from] Forbidden),
    /// The URL cannot be read.
    #[error("not a URL: {0}")]
    BadUrl(String),
    /// No address, no connection, no answer, or no sense in it.
    #[error("{0}")]
    Failed(String),
}

/// An answer, whatever its status.
#[derive(Debug)]
pub(crate) struct Answered {
    /// HTTP status.
    pub(crate) status: u16,
    /// The body, unpacked.
    pub(crate) body: Vec<u8>,
}

/// What bounds a visit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// What for.
    pub(crate) errand: Errand,
    /// Over which family, if not either.
    pub(crate) family: Option<Family>,
    /// Bytes of the body, packed and unpacked.
    pub(crate) body_len_max: usize,
}

/// A connection to one server, for one request after another.
#[derive(Debug)]
pub(crate) struct Connection {
    requests: SendRequest<String>,
    /// Who is there.
    from: IpAddr,
    /// For what comes around the bodies of answers.
    allowance: Allowance,
    /// The connection's own task, which ends with this.
    _task: JoinSet<()>,
}

/// One server's answer, whose body has not been read.
struct Hop {
    response: Response<Incoming>,
    /// Over which it comes.
    connection: Connection,
}

/// Visits servers over HTTP(S).
#[derive(Clone, Debug)]
pub(crate) struct Http {
    tls: Arc<rustls::ClientConfig>,
}

impl Http {
    /// Reads the system's root certificates; without any, every visit over TLS fails.
    pub(crate) fn new() -> Result<Http, rustls::Error> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = rustls::RootCertStore::empty();
        let (_, unreadable) = roots.add_parsable_certificates(found.certs);
        if roots.is_empty() || unreadable > 0 {
            tracing::warn!(roots = roots.len(), unreadable, "system root certificates");
        }
        Http::with_roots(roots)
    }

    /// Trusts these roots and no others.
    pub(crate) fn with_roots(roots: rustls::RootCertStore) -> Result<Http, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        Ok(Http { tls: Arc::new(builder.with_root_certificates(roots).with_no_client_auth()) })
    }

    /// Follows a URL to its answer.
    pub(crate) async fn get(&self, url: &Url, bounds: Bounds) -> Result<Answered, VisitError> {
        let (mut url, mut from) = (url.clone(), None);
        for _ in 0..=REDIRECTS_MAX {
            let hop = self.hop(&url, bounds, from).await?;
            check_headers(hop.response.headers())?;
            if !hop.response.status().is_redirection() {
                return read_body(hop, bounds.body_len_max).await;
            }
            from = Some(hop.connection.from);
            url = redirected(&url, hop.response.headers())?;
        }
        Err(VisitError::Failed(format!("more than {REDIRECTS_MAX} redirects")))
    }

    /// A connection to the first of these addresses that answers, under TLS if the URL says so.
    pub(crate) async fn connect(
        &self,
        url: &Url,
        addresses: &[SocketAddr],
    ) -> Result<Connection, VisitError> {
        let (line, address, allowance) = Line::connect(url, addresses, &self.tls).await?;
        let (requests, connection) =
            http1::Builder::new().max_headers(HEADERS_MAX).handshake(line).await.map_err(failed)?;
        let mut task = JoinSet::new();
        // What goes wrong there is told to whoever waits for the answer.
        task.spawn(async move { drop(connection.await) });
        Ok(Connection { requests, from: address.ip(), allowance, _task: task })
    }

    /// One request to one server, at an address that was checked.
    async fn hop(&self, url: &Url, bounds: Bounds, from: Option<IpAddr>) -> Result<Hop, VisitError> {
        guard::check_url(url, bounds.errand)?;
        // Trackers are reached over UDP too, but not from here: a redirect may name anything.
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Forbidden::Scheme.into());
        }
        let addresses = resolve(url).await.map_err(VisitError::Failed)?;
        let addresses = allowed(url, bounds, &addresses, from)?;
        let mut connection = self.connect(url, &addresses).await?;
        let response = connection.ask(request(url, &[(ACCEPT_ENCODING, "gzip")])?).await?;
        Ok(Hop { response, connection })
    }
}

impl Connection {
    /// Sends a request; the answer's body is not read yet. Whatever was said before, this answer has an allowance of its own.
    pub(crate) async fn ask(&mut self, request: Request<String>) -> Result<Response<Incoming>, VisitError> {
        self.allowance.renew();
        self.requests.ready().await.map_err(failed)?;
        self.requests.send_request(request).await.map_err(failed)
    }

    /// Who is there.
    pub(crate) fn from(&self) -> IpAddr {
        self.from
    }

    /// Whether it is known to have ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.requests.is_closed()
    }

    /// The next bytes of an answer's body; `None` at its end.
    pub(crate) async fn chunk(&self, body: &mut Incoming) -> Result<Option<Bytes>, VisitError> {
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
            // Trailers are of no use here.
            if let Ok(chunk) = frame.map_err(failed)?.into_data() {
                self.allowance.earn(chunk.len());
                return Ok(Some(chunk));
            }
        }
        Ok(None)
    }
}

/// Those of a host's addresses that we may visit; why not, if there is none.
pub(crate) fn allowed(
    url: &Url,
    bounds: Bounds,
    addresses: &[SocketAddr],
    from: Option<IpAddr>,
) -> Result<Vec<SocketAddr>, VisitError> {
    let mut refused = None;
    let mut allowed = Vec::new();
    for address in addresses.iter().filter(|address| bounds.family.is_none_or(|f| f == Family::of(address))) {
        match guard::check_address(url, bounds.errand, address.ip(), from) {
            Ok(_) => allowed.push(*address),
            Err(forbidden) => refused = Some(forbidden),
        }
    }
    match refused {
        Some(forbidden) if allowed.is_empty() => Err(forbidden.into()),
        _ if allowed.is_empty() => {
            Err(VisitError::Failed("the host has no address that we can reach".into()))
        }
        _ => Ok(allowed),
    }
}

/// Where an answer sends us. What TLS protected is not asked for again without it.
pub(crate) fn redirected(url: &Url, headers: &HeaderMap) -> Result<Url, VisitError> {
    let location = headers.get(LOCATION).and_then(|location| location.to_str().ok());
    let location = location.ok_or_else(|| VisitError::Failed("a redirect to nowhere".into()))?;
    let target = url.join(location).map_err(|error| VisitError::BadUrl(error.to_string()))?;
    if url.scheme() == "https" && target.scheme() != "https" {
        return Err(VisitError::Failed("a redirect from https to something weaker".into()));
    }
    Ok(target)
}

pub(crate) fn check_headers(headers: &HeaderMap) -> Result<(), VisitError> {
    let len: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if len > HEADERS_LEN_MAX {
        return Err(VisitError::Failed(format!("headers of {len} bytes")));
    }
    Ok(())
}

/// A GET without a body, with these headers besides the usual ones.
pub(crate) fn request(url: &Url, headers: &[(HeaderName, &str)]) -> Result<Request<String>, VisitError> {
    let mut host = url.host_str().unwrap_or_default().to_owned();
    if let Some(port) = url.port() {
        host = format!("{host}:{port}");
    }
    let mut request = Request::get(&url[Position::BeforePath..Position::AfterQuery])
        .header(HOST, host)
        .header(ACCEPT, "*/*")
        .header(USER_AGENT, OUR_NAME);
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    if let Some(words) = credentials::authorization(url) {
        request = request.header(AUTHORIZATION, words);
    }
    // Its words may quote the URL, which may hold a passkey.
    request.body(String::new()).map_err(|_| VisitError::BadUrl("it cannot be asked for over HTTP".into()))
}

async fn read_body(hop: Hop, most: usize) -> Result<Answered, VisitError> {
    let too_long = || VisitError::Failed(format!("an answer longer than {most} bytes"));
    let status = hop.response.status().as_u16();
    let packed = is_packed(hop.response.headers())?;
    let mut incoming = hop.response.into_body();
    let mut body = Vec::new();
    while let Some(chunk) = hop.connection.chunk(&mut incoming).await? {
        if body.len() + chunk.len() > most {
            return Err(too_long());
        }
        body.extend_from_slice(&chunk);
    }
    if packed {
        body = unpack(&body, most)?.ok_or_else(too_long)?;
    }
    Ok(Answered { status, body })
}

/// Whether a body is packed with gzip. Encodings have names without case, and may have been applied one after another.
fn is_packed(headers: &HeaderMap) -> Result<bool, VisitError> {
    let lines = headers.get_all(CONTENT_ENCODING).iter();
    let names =
        lines.flat_map(|line| line.as_bytes().split(|&byte| byte == b',')).map(|name| name.trim_ascii());
    let mut packed = false;
    for name in names.filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case(b"identity")) {
        let is_gzip = name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip");
        if !is_gzip || packed {
            return Err(VisitError::Failed("an encoding that we did not ask for".into()));
        }
        packed = true;
    }
    Ok(packed)
}

/// What gzip packed; `None` if it is longer than `most` bytes, of which no more is ever unpacked.
fn unpack(packed: &[u8], most: usize) -> Result<Option<Vec<u8>>, VisitError> {
    let mut body = Vec::new();
    let limit = most as u64 + 1;
    MultiGzDecoder::new(packed)
        .take(limit)
        .read_to_end(&mut body)
        .map_err(|error| VisitError::Failed(format!("gzip: {error}")))?;
    Ok((body.len() <= most).then_some(body))
}

/// What went wrong, with its causes. Nothing in it quotes the URL: that may hold a passkey.
fn failed(error: hyper::Error) -> VisitError {
    with_causes(&error)
}

fn with_causes(error: &dyn std::error::Error) -> VisitError {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    VisitError::Failed(text)
}
