//! What is answered to a request: the page, a file or a part of it, or no.

use super::body::{Content, Part};
use super::line::Activity;
use super::range::{self, Asked};
use super::token::Token;
use super::{PAGE_FILES_MAX, PageContent, PageFile};
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use os::fs::{Access, Dir, File, Kind};
use std::convert::Infallible;
use std::fmt::Write as _;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use tokio::task::spawn_blocking;
use wire::DisplaySafe;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Nothing from elsewhere is loaded, nothing is kept, and no other site learns the address.
const ALWAYS: [(HeaderName, &str); 4] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ),
];

/// What is served.
pub(super) struct Offer {
    token: Token,
    html: Bytes,
    files: Vec<PageFile>,
    sent: Arc<AtomicU64>,
}

impl Offer {
    /// Under this token; `sent` counts the bytes of files that go out.
    pub(super) fn new(mut content: PageContent, token: Token, sent: Arc<AtomicU64>) -> Offer {
        let left_out = content.files.len().saturating_sub(PAGE_FILES_MAX);
        content.files.truncate(PAGE_FILES_MAX);
        let html = html(&content, left_out).into();
        Offer { token, html, files: content.files, sent }
    }

    fn file(&self, rest: &str) -> Option<&PageFile> {
        let (number, _name) = rest.strip_prefix('/')?.split_once('/')?;
        self.files.get(number.parse::<usize>().ok()?)
    }
}

/// Answers a request.
pub(super) async fn answer(
    offer: Arc<Offer>,
    activity: Activity,
    request: Request<Incoming>,
) -> Result<Response<Content>, Infallible> {
    let mut response = match *request.method() {
        Method::GET | Method::HEAD => found(&offer, &activity, &request).await,
        _ => {
            let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "Only GET and HEAD are answered here.\n");
            refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            refused
        }
    };
    for (name, value) in ALWAYS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}

async fn found(offer: &Offer, activity: &Activity, request: &Request<Incoming>) -> Response<Content> {
    let nothing = || text(StatusCode::NOT_FOUND, "There is nothing here.\n");
    let Some(rest) = offer.token.follow(request.uri().path()) else { return nothing() };
    activity.knows();
    match rest {
        "/" => of_type("text/html; charset=utf-8", offer.html.clone()),
        "/page.css" => of_type("text/css; charset=utf-8", STYLE.into()),
        "/page.js" => of_type("text/javascript; charset=utf-8", SCRIPT.into()),
        "/alive" => text(StatusCode::OK, "yes\n"),
        _ => match offer.file(rest).cloned() {
            Some(file) => part_of(offer, file, request).await,
            None => nothing(),
        },
    }
}

/// A file, or the part of it that is asked for.
async fn part_of(offer: &Offer, wanted: PageFile, request: &Request<Incoming>) -> Response<Content> {
    let len = wanted.len;
    let name = wanted.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let opened = spawn_blocking(move || open(&wanted)).await.map_err(io::Error::other).flatten();
    let (file, tag) = match opened {
        Ok(Some(opened)) => opened,
        Ok(None) => {
            let gone = "This file has changed since it was shared; ask whoever shares it to do so again.\n";
            return text(StatusCode::CONFLICT, gone);
        }
        Err(error) => {
            tracing::warn!(%error, name, "a file of the page cannot be read");
            return text(StatusCode::CONFLICT, "This file cannot be read any more.\n");
        }
    };
    let said = |name: HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok());
    // A part of what has changed meanwhile would fit nowhere: then all of it.
    let still = said(header::IF_RANGE).is_none_or(|known| known == tag);
    let asked = range::asked(said(header::RANGE).filter(|_| still), len);
    let (status, part) = match asked {
        Asked::All => (StatusCode::OK, 0..len),
        Asked::Part(part) => (StatusCode::PARTIAL_CONTENT, part),
        Asked::Beyond => {
            let mut refused = text(StatusCode::RANGE_NOT_SATISFIABLE, "The file is not that long.\n");
            set(&mut refused, header::CONTENT_RANGE, &format!("bytes */{len}"));
            return refused;
        }
    };
    let range = format!("bytes {}-{}/{len}", part.start, part.end.saturating_sub(1));
    let mut response = Response::new(Content::Part(Part::new(file, part, Arc::clone(&offer.sent))));
    *response.status_mut() = status;
    set(&mut response, header::CONTENT_TYPE, "application/octet-stream");
    set(&mut response, header::CONTENT_DISPOSITION, &disposition(&name));
    set(&mut response, header::ACCEPT_RANGES, "bytes");
    set(&mut response, header::ETAG, &tag);
    if status == StatusCode::PARTIAL_CONTENT {
        set(&mut response, header::CONTENT_RANGE, &range);
    }
    response
}

/// Opens a file beneath its folder; nothing if it is not what was shared. What it looks like is its tag.
fn open(wanted: &PageFile) -> io::Result<Option<(File, String)>> {
    let file = Dir::open(&wanted.root)?.file(&wanted.path, Access::Read)?;
    let stat = file.stat()?;
    let tag = format!("\"{:x}-{:x}\"", stat.size, stat.mtime);
    Ok((stat.kind == Kind::File && stat.size == wanted.len).then_some((file, tag)))
}

/// Saved under this name, whatever it contains. RFC 6266, RFC 8187
fn disposition(name: &str) -> String {
    let mut value = String::from("attachment; filename*=UTF-8''");
    encode(name, &mut value);
    value
}

/// As it may stand in a URL or an extended parameter.
fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => out.push(char::from(byte)),
            // Writing to a string cannot fail.
            _ => drop(write!(out, "%{byte:02X}")),
        }
    }
}

fn set(response: &mut Response<Content>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

fn text(status: StatusCode, words: &'static str) -> Response<Content> {
    let mut response = of_type("text/plain; charset=utf-8", words.into());
    *response.status_mut() = status;
    response
}

fn of_type(kind: &'static str, bytes: Bytes) -> Response<Content> {
    let mut response = Response::new(Content::Text(Some(bytes)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// The page itself. Names are strangers' words to a browser: shown as text, never as markup.
fn html(content: &PageContent, left_out: usize) -> String {
    let shown = |text: &str| DisplaySafe::from(text).html().to_string();
    let title = shown(&content.title);
    let total = content.files.iter().map(|file| file.len).sum();
    let mut rows = String::new();
    for (number, file) in content.files.iter().enumerate() {
        let path = file.path.to_string_lossy();
        let mut link = format!("{number}/");
        encode(&file.path.file_name().unwrap_or_default().to_string_lossy(), &mut link);
        let (path, size) = (shown(&path), size(file.len));
        rows += &format!("<li><a href=\"{link}\" download>{path}<span>{size}</span></a></li>\n");
    }
    let count = match content.files.len() {
        1 => "1 file".to_owned(),
        count => format!("{count} files"),
    };
    let rest = match left_out {
        0 => String::new(),
        more => format!("<p>{more} more are not on this page: they come with Gannet.</p>\n"),
    };
    format!(
        "<!doctype html>
<html lang=\"en\">
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">
<title>{title}</title>
<link rel=\"stylesheet\" href=\"page.css\">
<script src=\"page.js\" defer></script>
<body>
<h1>{title}</h1>
<p>{count}, {total}</p>
<div id=\"ended\" role=\"status\">This share has ended: whoever shared it has stopped. What you have downloaded whole is yours to keep.</div>
<ul>
{rows}</ul>
{rest}<footer>This page is plain HTTP: others on this network could read along. It ends with the share.</footer>
</body>
</html>
",
        total = size(total)
    )
}

/// A number of bytes for people.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    let mut shown = format!("{bytes} B");
    let mut value = bytes as f64;
    for unit in UNITS {
        if value < 1000.0 {
            break;
        }
        value /= 1000.0;
        shown = format!("{value:.1} {unit}");
    }
    shown
}
