//! One GET: resolve, check, connect to what was checked, follow redirects under the same checks, read a bounded body.
//!
//! TLS is always verified against the system's roots; there is no way to turn that off. Each hop of a visit has a connection of
//! its own (`line`), so that no connection, cookie or credential outlives the visit; web seeds (`web`) keep theirs for a while, in
//! clients that know how to. Threats: A11, A13, E1, E3

use super::credentials;
use super::guard::{self, Errand, Forbidden};
use super::line::{Allowance, Line};
use super::resolve::resolve;
use flate2::read::MultiGzDecoder;
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Request, Response};
use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, HOST, HeaderMap, LOCATION, USER_AGENT,
};
use std::future::poll_fn;
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use url::{Position, Url};
use wire::compact::Family;

/// Redirects that are followed.
pub(crate) const REDIRECTS_MAX: u32 = 5;

/// Bytes of the headers of one answer; trackers send a few hundred.
const HEADERS_LEN_MAX: usize = 64 * 1024;

/// Header lines of one answer.
const HEADERS_MAX: usize = 100;

/// How long a server may take to accept a connection, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection is kept for the next request; servers commonly close it after 60 s or more.
const IDLE_MAX: Duration = Duration::from_secs(30);

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

/// One server's answer, whose body has not been read.
struct Hop {
    response: Response<Incoming>,
    /// Who answered.
    from: IpAddr,
    /// For what comes around the body.
    allowance: Allowance,
    /// The connection's own task, which ends with this.
    _connection: JoinSet<()>,
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
            from = Some(hop.from);
            url = redirected(&url, hop.response.headers())?;
        }
        Err(VisitError::Failed(format!("more than {REDIRECTS_MAX} redirects")))
    }

    /// A client that knows this URL's host at these addresses and nowhere else, and follows no redirect.
    pub(crate) fn client(&self, url: &Url, addresses: &[SocketAddr]) -> Result<reqwest::Client, VisitError> {
        reqwest::Client::builder()
            .tls_backend_preconfigured(rustls::ClientConfig::clone(&self.tls))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .http1_max_headers(HEADERS_MAX)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_MAX)
            .user_agent(OUR_NAME)
            .resolve_to_addrs(url.host_str().unwrap_or_default(), addresses)
            .build()
            .map_err(describe)
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
        let (line, from, allowance) = Line::connect(url, &addresses, &self.tls).await?;
        let (mut requests, connection) =
            http1::Builder::new().max_headers(HEADERS_MAX).handshake(line).await.map_err(failed)?;
        let mut task = JoinSet::new();
        // What goes wrong there is told to whoever waits for the answer.
        task.spawn(async move { drop(connection.await) });
        let response = requests.send_request(request(url)?).await.map_err(failed)?;
        Ok(Hop { response, from: from.ip(), allowance, _connection: task })
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

/// A GET without a body.
fn request(url: &Url) -> Result<Request<String>, VisitError> {
    let mut host = url.host_str().unwrap_or_default().to_owned();
    if let Some(port) = url.port() {
        host = format!("{host}:{port}");
    }
    let mut request = Request::get(&url[Position::BeforePath..Position::AfterQuery])
        .header(HOST, host)
        .header(ACCEPT, "*/*")
        .header(ACCEPT_ENCODING, "gzip")
        .header(USER_AGENT, OUR_NAME);
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
    let mut incoming = pin!(hop.response.into_body());
    let mut body = Vec::new();
    while let Some(frame) = poll_fn(|cx| incoming.as_mut().poll_frame(cx)).await {
        // Trailers are of no use here.
        let chunk: Bytes = frame.map_err(failed)?.into_data().unwrap_or_default();
        if body.len() + chunk.len() > most {
            return Err(too_long());
        }
        body.extend_from_slice(&chunk);
        hop.allowance.earn(chunk.len());
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

/// What went wrong, with its causes but without the URL: that may hold a passkey.
pub(crate) fn describe(error: reqwest::Error) -> VisitError {
    with_causes(&error.without_url())
}

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
