//! Every way in which a web server is known to misbehave, as a table, for an announce, a scrape and a torrent file behind a
//! URL.
//! Each visit ends, in what is right or in an error that says why; none takes in more than its bound. Threats: A13

use super::super::fetch::fetch_within;
use super::super::http::Http;
use super::super::scrape::scrape;
use super::super::udp::UdpTrackers;
use super::{PEERS, edge, edge_that_counts, gzip, http, question, visit};
use crate::edge::{Edge, FetchError};
use crate::reply::Answer;
use proto::input::{AnnounceFailure, AnnounceReply};
use proto::output::AnnounceEvent;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use wire::tracker_udp::ScrapeCounts;

/// The kernel's buffer of a server's side. Small, so that what a server is rid of has left for the client.
const SEND_BUFFER: usize = 64 << 10;

/// A server says this much, and then listens for [`PAUSE`] whether the client has had enough: so a client that reads always
/// keeps up, and the kernel has no reason to give it the buffer of a fast bulk transfer.
const SAID_AT_ONCE: usize = 64 << 10;
const PAUSE: Duration = Duration::from_millis(1);

/// What may be under way on one connection besides what a visit takes in: Linux doubles the buffer that it was asked for, and the
/// client's begins at 128 KiB, and grows by 16 segments of loopback's 64 KiB once it has been read a few times.
const UNDER_WAY_MAX: u64 = 2 * SEND_BUFFER as u64 + (128 << 10) + 16 * (64 << 10);

/// How much the process may grow; a tenth of what the largest bomb here unpacks to, and that once for each visit.
const GROWTH_MAX: u64 = 400 << 20;

/// How a visit ends.
#[derive(Clone, Debug)]
enum Ends {
    /// In the answer that an honest server gives.
    Well,
    /// In this torrent file, which somebody else will find odd.
    In(Vec<u8>),
    /// In an error with these words.
    Badly(&'static str),
    /// When its time is over.
    Late,
}
use Ends::{Badly, In, Late, Well};

/// What a server does after it has said what it says.
#[derive(Clone)]
enum Then {
    /// Closes.
    Close,
    /// Closes without goodbye.
    Reset,
    /// Nothing.
    Hold,
    /// Says this until it is cut off.
    Repeat(Vec<u8>),
}

/// One connection, as the server plays it.
#[derive(Clone)]
struct Play {
    says: Vec<u8>,
    then: Then,
}

/// A server, connection by connection; the last play is played again and again.
struct Case {
    name: &'static str,
    plays: Vec<Play>,
    announce: Ends,
    torrent: Ends,
}

impl Case {
    fn then(mut self, then: Then) -> Case {
        self.plays.last_mut().unwrap().then = then;
        self
    }

    /// The server plays these first.
    fn after(mut self, first: &[Vec<u8>]) -> Case {
        let first = first.iter().map(|says| Play { says: says.clone(), then: Then::Close });
        self.plays = first.chain(self.plays).collect();
        self
    }

    fn is_late(&self) -> bool {
        matches!(self.announce, Late)
    }
}

fn case(name: &'static str, says: impl Into<Vec<u8>>, announce: Ends, torrent: Ends) -> Case {
    Case { name, plays: vec![Play { says: says.into(), then: Then::Close }], announce, torrent }
}

fn both(name: &'static str, says: impl Into<Vec<u8>>, ends: Ends) -> Case {
    case(name, says, ends.clone(), ends)
}

/// An honest body below this head.
fn head(head: &str) -> Vec<u8> {
    [head.as_bytes(), b"\r\n\r\n", PEERS].concat()
}

/// This body, which is no answer of a tracker, but somebody may call it a torrent file.
fn odd(name: &'static str, body: &[u8], why: &'static str) -> Case {
    case(name, http("200 OK", body), Badly(why), In(body.to_vec()))
}

fn status(name: &'static str, line: &str) -> Case {
    let words: &'static str = format!("HTTP status {}", &line[..3]).leak();
    both(name, http(line, b"<html>"), Badly(words))
}

fn moved(to: &str) -> Vec<u8> {
    http(&format!("302 Found\r\nLocation: {to}"), b"")
}

fn packed(body: &[u8]) -> Vec<u8> {
    http("200 OK\r\nContent-Encoding: gzip", body)
}

fn chunked(chunks: &[u8]) -> Vec<u8> {
    [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", chunks].concat()
}

/// The honest body in chunks of one byte.
fn crumbs() -> Vec<u8> {
    PEERS.iter().flat_map(|byte| [&b"1\r\n"[..], &[*byte], b"\r\n"].concat()).collect()
}

fn whole_chunk(extension: &str) -> Vec<u8> {
    [format!("{:x}{extension}\r\n", PEERS.len()).as_bytes(), PEERS, b"\r\n"].concat()
}

fn statuses() -> Vec<Case> {
    let hundred = b"HTTP/1.1 100 Continue\r\n\r\n";
    let hints = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n";
    let no = b"d14:failure reason4:no!!e";
    vec![
        both("status 100 first", [&hundred[..], &http("200 OK", PEERS)].concat(), Well),
        both("status 103 first", [&hints[..], &http("200 OK", PEERS)].concat(), Well),
        both("status 100 without end", &hundred[..], Badly("around the answer"))
            .then(Then::Repeat(hundred.to_vec())),
        both("status 100 and no more", &hundred[..], Badly("")),
        both(
            "status 101",
            head("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade"),
            Badly(""),
        ),
        case("status 201", http("201 Created", PEERS), Well, Badly("HTTP status 201")),
        status("status 204", "204 No Content"),
        case("status 206", http("206 Partial Content", PEERS), Well, Badly("HTTP status 206")),
        both("status 304", http("304 Not Modified", b""), Badly("nowhere")),
        status("status 401", "401 Unauthorized\r\nWWW-Authenticate: Basic"),
        case("status 403 with reason", http("403 Forbidden", no), Badly("no!!"), Badly("HTTP status 403")),
        status("status 404", "404 Not Found"),
        status("status 407", "407 Proxy Authentication Required\r\nProxy-Authenticate: Negotiate"),
        status("status 429", "429 Too Many Requests\r\nRetry-After: 99999999999999999999"),
        status("status 500", "500 Internal Server Error"),
        status("status 503", "503 Service Unavailable"),
        status("status 999", "999 Who Knows"),
        both("status 000", http("000 Null", PEERS), Badly("")),
        both("status of two digits", http("20 OK", PEERS), Badly("")),
        both("status of four digits", http("2000 OK", PEERS), Badly("")),
        both("status of letters", http("abc OK", PEERS), Badly("")),
        both("status below zero", http("-20 OK", PEERS), Badly("")),
    ]
}

fn redirects() -> Vec<Case> {
    let good = || http("200 OK", PEERS);
    let hops = |count| vec![moved("/announce"); count];
    let to = |name, location: &str, ends| both(name, good(), ends).after(&[moved(location)]);
    let elsewhere = |name, location: &str, why| both(name, moved(location), Badly(why));
    vec![
        to("redirect to an address", "http://SERVER/announce", Well),
        to("redirect to a path", "/announce2", Well),
        to("redirect without a scheme", "//SERVER/announce", Well),
        to("redirect to a query", "?x", Well),
        to("redirect to a dotted path", "../.././announce", Well),
        to("redirect to a fragment", "/announce#x", Well),
        to("redirect with a password", "http://user:word@SERVER/announce", Well),
        to("redirect of 60 kB", &format!("/announce?{}", "x".repeat(60_000)), Well),
        elsewhere("redirect of 70 kB", &format!("/announce?{}", "x".repeat(70_000)), ""),
        both("five redirects", good(), Well).after(&hops(5)),
        both("six redirects", good(), Badly("more than 5")).after(&hops(6)),
        elsewhere("redirect to itself", "/announce", "more than 5 redirects"),
        elsewhere("redirect to nothing", "", "more than 5 redirects"),
        both("redirect to nowhere", http("302 Found", b""), Badly("nowhere")),
        both("redirect with a huge body", good(), Well)
            .after(&[http("302 Found\r\nLocation: /announce", &vec![b'x'; 1 << 20])]),
        both(
            "redirect with an endless body",
            b"HTTP/1.1 302 Found\r\nLocation: /announce\r\n\r\n",
            Badly("more than 5"),
        )
        .then(Then::Repeat(vec![b'x'; 65_536])),
        elsewhere("redirect to half a URL", "http://[", "not a URL"),
        elsewhere("redirect to a port that is none", "http://127.0.0.1:99999/announce", "not a URL"),
        elsewhere("redirect beyond ASCII", "/announce\u{e9}", "nowhere"),
        elsewhere("redirect to port 0", "http://127.0.0.1:0/announce", "names no port"),
        elsewhere("redirect to a file", "file:///etc/passwd", "scheme"),
        elsewhere("redirect to FTP", "ftp://SERVER/announce", "scheme"),
        elsewhere("redirect to a script", "javascript:alert(1)", "scheme"),
        elsewhere("redirect to data", "data:,d8:intervali900ee", "scheme"),
        elsewhere("redirect to UDP", "udp://SERVER/announce", "scheme"),
        elsewhere("redirect to TLS that is none", "https://SERVER/announce", "error"),
        elsewhere("redirect to metadata", "http://169.254.169.254/announce", "metadata"),
        elsewhere("redirect to metadata as a number", "http://2852039166/announce", "metadata"),
        elsewhere("redirect to metadata over IPv6", "http://[fd00:ec2::254]/announce", ""),
        elsewhere("redirect to metadata mapped", "http://[::ffff:a9fe:a9fe]/announce", ""),
        elsewhere("redirect to no host's", "http://0.0.0.0/announce", "no host's"),
        elsewhere("redirect to many hosts", "http://224.0.0.1/announce", "no host's"),
        case("redirect to a service here", good(), Badly("does not begin with /announce"), Well)
            .after(&[moved("http://SERVER/admin")]),
    ]
}

fn heads() -> Vec<Case> {
    let line = |text: &str| http(&format!("200 OK\r\n{text}"), PEERS);
    let start = b"HTTP/1.1 200 OK\r\n";
    vec![
        both("header of 70 kB", line(&format!("X: {}", "x".repeat(70 * 1024))), Badly("headers of")),
        both("header without end", &b"HTTP/1.1 200 OK\r\nX: "[..], Badly(""))
            .then(Then::Repeat(vec![b'x'; 4096])),
        both("headers, 200 of them", line(&format!("{}Y: y", "X: x\r\n".repeat(200))), Badly("")),
        both("headers without end", &start[..], Badly("")).then(Then::Repeat(b"X: x\r\n".to_vec())),
        both("header without a colon", line("just text"), Badly("")),
        both("header without a name", line(": value"), Badly("")),
        both("header with a space in its name", line("A B: c"), Badly("")),
        both("header with a zero byte", line("X: a\0b"), Badly("")),
        both("header with a lone return", line("X: a\rb"), Badly("")),
        both("header folded", line("X: a\r\n b"), Badly("")),
        both("header beyond ASCII", line("X: \u{e9}"), Well),
        both("header of the wrong type", line("Content-Type: image/png"), Well),
        both("cookies", line("Set-Cookie: a=b; Domain=."), Well),
        both("line feeds alone", [b"HTTP/1.1 200 OK\nContent-Length: 79\n\n", PEERS].concat(), Well),
        both("HTTP/1.0", head("HTTP/1.0 200 OK"), Well),
        both("HTTP/0.9", PEERS, Badly("")),
        both("HTTP/2 unasked", &b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64"[..], Badly("")),
        both("HTTP/3.7", head("HTTP/3.7 200 OK"), Badly("")),
        both("http in small letters", head("http/1.1 200 OK"), Badly("")),
        both("no reason phrase", head("HTTP/1.1 200"), Well),
        both("another protocol", &b"SSH-2.0-OpenSSH_9.2\r\n"[..], Badly("")),
        both("another protocol first", [b"220 hello\r\n", &http("200 OK", PEERS)[..]].concat(), Badly("")),
        both("empty lines first", [b"\r\n\r\n", &http("200 OK", PEERS)[..]].concat(), Well),
        both("empty lines without end", &b""[..], Badly("")).then(Then::Repeat(b"\r\n".repeat(1000))),
        both("noise without end", &b""[..], Badly("")).then(Then::Repeat(vec![0x7f; 4096])),
    ]
}

fn lengths() -> Vec<Case> {
    let length = |text: &str| head(&format!("HTTP/1.1 200 OK\r\nContent-Length: {text}"));
    let long = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n";
    vec![
        both("no length", head("HTTP/1.1 200 OK"), Well),
        case("length too short", length("10"), Badly("tracker reply"), In(PEERS[..10].to_vec())),
        case("length of zero", length("0"), Badly("tracker reply"), In(Vec::new())),
        both("length too long", length("80"), Badly("")),
        both("length far too long", length("999999999999999999"), Badly("")),
        both("length beyond numbers", length("18446744073709551616"), Badly("")),
        both("length below zero", length("-1"), Badly("")),
        both("length with a sign", length("+79"), Badly("")),
        both("length in hexadecimal", length("0x4f"), Badly("")),
        both("length without digits", length(""), Badly("")),
        both("length twice", length("79\r\nContent-Length: 79"), Well),
        both("lengths that differ", length("79\r\nContent-Length: 10"), Badly("")),
        both(
            "length and chunks",
            [
                b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
                &whole_chunk("")[..],
                b"0\r\n\r\n",
            ]
            .concat(),
            Well,
        ),
        both("more than its length", [&http("200 OK", PEERS)[..], b"HTTP/1.1 500 No\r\n\r\n"].concat(), Well),
        both("a terabyte", &long[..], Badly("longer than")).then(Then::Repeat(vec![0; 65_536])),
        both("no length and no end", &b"HTTP/1.1 200 OK\r\n\r\n"[..], Badly("longer than"))
            .then(Then::Repeat(vec![0; 65_536])),
    ]
}

fn chunks() -> Vec<Case> {
    let end = |chunks: &[u8], rest: &str| chunked(&[chunks, rest.as_bytes()].concat());
    let te = |text: &str| [head(&format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: {text}"))].concat();
    vec![
        both("chunks of a byte", end(&crumbs(), "0\r\n\r\n"), Well),
        both("chunks with trailers", end(&crumbs(), "0\r\nX: y\r\n\r\n"), Well),
        both("chunks with noise after", end(&crumbs(), "0\r\n\r\nnoise"), Well),
        both("chunks with an extension", end(&whole_chunk(";a=b"), "0\r\n\r\n"), Well),
        both("chunks without the last", end(&crumbs(), ""), Badly("")),
        both("chunk size of letters", chunked(b"xyz\r\n"), Badly("")),
        both("chunk size missing", chunked(b"\r\n"), Badly("")),
        both("chunk size below zero", chunked(b"-1\r\nx"), Badly("")),
        both("chunk size beyond numbers", chunked(b"fffffffffffffffff\r\nx"), Badly("")),
        both("chunk size largest", chunked(b"ffffffffffffffff\r\nx"), Badly("")),
        // Zeros before a number mean nothing to HTTP; what they may cost is bounded by the bytes around an answer.
        both("chunk size without end", chunked(b""), Badly("around the answer"))
            .then(Then::Repeat(vec![b'0'; 4096])),
        both("chunk size without end after chunks", chunked(&crumbs()), Badly("around the answer"))
            .then(Then::Repeat(vec![b'0'; 4096])),
        both("chunk torn", chunked(b"26\r\nd8:inter"), Badly("")),
        both("chunk without its end", chunked(b"1\r\ndd1\r\n"), Badly("")),
        both("chunk extension without end", chunked(b"1;"), Badly("")).then(Then::Repeat(vec![b'x'; 4096])),
        both("chunks with extensions without end", chunked(b""), Badly(""))
            .then(Then::Repeat(format!("1;{}\r\nx\r\n", "x".repeat(4096)).into_bytes())),
        both("chunks without end", chunked(b""), Badly("longer than"))
            .then(Then::Repeat([b"1000\r\n", &[b'x'; 4096][..], b"\r\n"].concat())),
        both("trailers without end", end(&crumbs(), "0\r\n"), Badly(""))
            .then(Then::Repeat(b"X: y\r\n".repeat(100))),
        both("transfer packed, not chunked", te("gzip"), Well),
        both("transfer chunked, then packed", te("chunked, gzip"), Well),
    ]
}

fn encodings() -> Vec<Case> {
    let good = gzip(PEERS);
    let encoded = |name: &str, body: &[u8]| http(&format!("200 OK\r\nContent-Encoding: {name}"), body);
    let mut corrupt = good.clone();
    let crc = corrupt.len() - 8;
    corrupt[crc] ^= 1;
    // Members one after another are one file: 64 of 16 MiB are 1 GiB.
    let bomb = gzip(&vec![0; 16 << 20]).repeat(64);
    let endless = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n".to_vec();
    let named = [&endless[..], b"\x1f\x8b\x08\x08\0\0\0\0\0\x03"].concat();
    vec![
        both("gzip", packed(&good), Well),
        both("gzip in capitals", encoded("GZIP", &good), Well),
        both("gzip by its old name", encoded("x-gzip", &good), Well),
        both("gzip in two members", packed(&[gzip(&PEERS[..9]), gzip(&PEERS[9..])].concat()), Well),
        both("gzip bomb", packed(&bomb), Badly("longer than")),
        case("gzip in gzip", packed(&gzip(&good)), Badly("tracker reply"), In(good.clone())),
        both("gzip twice", encoded("gzip, gzip", &gzip(&good)), Badly("encoding")),
        both("gzip on two lines", encoded("gzip\r\nContent-Encoding: gzip", &gzip(&good)), Badly("encoding")),
        both("gzip torn", packed(&good[..20]), Badly("gzip")),
        both("gzip without its end", packed(&good[..good.len() - 8]), Badly("gzip")),
        both("gzip with a wrong sum", packed(&corrupt), Badly("gzip")),
        both("gzip that is none", packed(PEERS), Badly("gzip")),
        both("gzip of nothing", packed(b""), Badly("gzip")),
        both("gzip with noise after", packed(&[&good[..], b"noise"].concat()), Badly("gzip")),
        both("gzip of empty members without end", endless, Badly("longer than"))
            .then(Then::Repeat(gzip(b""))),
        both("gzip with a name without end", named, Badly("longer than"))
            .then(Then::Repeat(vec![b'x'; 65_536])),
        both("brotli", encoded("br", PEERS), Badly("encoding")),
        both("deflate", encoded("deflate", PEERS), Badly("encoding")),
        both("no encoding, by name", encoded("identity", PEERS), Well),
    ]
}

fn bodies() -> Vec<Case> {
    let most = vec![b'x'; 10_000_000];
    vec![
        odd("a web page", b"<html>", "tracker reply"),
        odd("nothing", b"", "tracker reply"),
        odd("a list 100,000 deep", &[b'l'; 100_000], "tracker reply"),
        odd("a text of 2^64 bytes", b"d18446744073709551616:", "tracker reply"),
        odd("a text longer than there is", b"d5:peers999:x", "tracker reply"),
        odd("half a dictionary", &PEERS[..20], "tracker reply"),
        odd("a dictionary of something else", b"d1:ai1ee", "tracker reply"),
        odd("a refusal", b"d14:failure reason4:no!!e", "no!!"),
        odd("a million numbers", &[&b"l"[..], &b"i1e".repeat(300_000), b"e"].concat(), "tracker reply"),
        case(
            "a megabyte more than nothing",
            http("200 OK", &most[..(1 << 20) + 1]),
            Badly("longer than"),
            In(most[..(1 << 20) + 1].to_vec()),
        ),
        case("ten megabytes", http("200 OK", &most), Badly("longer than"), In(most.clone())),
        both("a byte more", http("200 OK", &[&most[..], b"x"].concat()), Badly("longer than")),
    ]
}

fn ends() -> Vec<Case> {
    let part = http("200 OK", PEERS);
    let body = part.len() - PEERS.len();
    let cut = |name, len: usize| both(name, &part[..len], Badly(""));
    let hold = |name, says: Vec<u8>| both(name, says, Late).then(Then::Hold);
    vec![
        cut("end before the answer", 0),
        cut("end in the status", 12),
        cut("end in the headers", 30),
        cut("end after the headers", body),
        cut("end in the body", body + 10),
        cut("reset before the answer", 0).then(Then::Reset),
        cut("reset in the headers", 30).then(Then::Reset),
        cut("reset in the body", body + 10).then(Then::Reset),
        hold("silence", Vec::new()),
        hold("silence in the status", part[..12].to_vec()),
        hold("silence in the headers", part[..30].to_vec()),
        hold("silence after the headers", part[..body].to_vec()),
        hold("silence in the body", part[..body + 10].to_vec()),
        hold("silence in a chunk", chunked(b"26\r\nd8:inter")),
        hold("silence in a chunk's size", chunked(b"2")),
        hold("silence after all chunks but the last", chunked(&crumbs())),
        hold("silence after a redirect", Vec::new()).after(&[moved("/announce")]),
    ]
}

fn table() -> Vec<Case> {
    let families = [statuses, redirects, heads, lengths, chunks, encodings, bodies, ends];
    families.iter().flat_map(|family| family()).collect()
}

/// A server of one case; counts the bytes that it got rid of, beyond what each connection's buffers may hold.
struct Server {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<u64>,
}

impl Server {
    fn start(plays: Vec<Play>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        // Those that it accepts take after it.
        socket2::SockRef::from(&listener).set_send_buffer_size(SEND_BUFFER).unwrap();
        let (address, ended) = (listener.local_addr().unwrap(), Arc::new(AtomicBool::new(false)));
        let is_ended = Arc::clone(&ended);
        let thread = std::thread::spawn(move || {
            let (mut held, mut taken) = (Vec::new(), 0);
            for (turn, socket) in listener.incoming().flatten().enumerate() {
                if is_ended.load(Ordering::Relaxed) {
                    break;
                }
                let sent = perform(&plays[turn.min(plays.len() - 1)], &socket, address);
                taken += sent.saturating_sub(UNDER_WAY_MAX);
                held.extend(matches!(plays[turn.min(plays.len() - 1)].then, Then::Hold).then_some(socket));
            }
            taken
        });
        Server { address, ended, thread }
    }

    fn url(&self) -> String {
        format!("http://{}/announce", self.address)
    }

    fn end(self) -> u64 {
        self.ended.store(true, Ordering::Relaxed);
        let _last = TcpStream::connect(self.address).unwrap();
        self.thread.join().unwrap()
    }
}

/// Plays one connection to its end. A client that has heard enough closes; that is its right.
fn perform(play: &Play, socket: &TcpStream, address: SocketAddr) -> u64 {
    socket.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut request = BufReader::new(socket);
    // What does not begin like a request is TLS, which has no lines.
    if request.fill_buf().is_ok_and(|bytes| bytes.starts_with(b"G")) {
        let mut line = Vec::new();
        while request.read_until(b'\n', &mut line).is_ok_and(|len| len > 2) {}
    }
    let mut says = play.says.clone();
    if let Some(at) = says.windows(6).position(|window| window == b"SERVER") {
        says.splice(at..at + 6, address.to_string().into_bytes());
    }
    socket.set_read_timeout(Some(PAUSE)).unwrap();
    let mut taken = 0;
    let said = say(socket, &says, &mut taken);
    match &play.then {
        Then::Close | Then::Hold => {}
        Then::Reset => socket2::SockRef::from(socket).set_linger(Some(Duration::ZERO)).unwrap(),
        Then::Repeat(bytes) => {
            let bytes = bytes.repeat(SAID_AT_ONCE.div_ceil(bytes.len()));
            while said && say(socket, &bytes, &mut taken) {}
        }
    }
    taken
}

/// Says this at a pace, until it is cut off; counts every byte that it got rid of.
fn say(mut socket: &TcpStream, bytes: &[u8], taken: &mut u64) -> bool {
    let mut rest = bytes;
    while !rest.is_empty() {
        match socket.write(&rest[..rest.len().min(SAID_AT_ONCE)]) {
            Ok(len) if len > 0 => {
                *taken += len as u64;
                rest = &rest[len..];
            }
            Ok(_) | Err(_) => return false,
        }
        if bytes.len() >= SAID_AT_ONCE && matches!(socket.read(&mut [0; 512]), Ok(0)) {
            return false;
        }
    }
    true
}

/// How a visit ended, in words, and whether that is how it should have.
fn judge_announce(ends: &Ends, got: &Result<AnnounceReply, AnnounceFailure>) -> (bool, String) {
    match got {
        Ok(reply) => (matches!(ends, Well) && reply.peers.len() == 1, format!("{} peers", reply.peers.len())),
        Err(failure) => judge_failure(ends, failure),
    }
}

/// A scrape ends as an announce does: of the same servers, with the same words.
fn judge_scrape(ends: &Ends, got: &Result<ScrapeCounts, AnnounceFailure>) -> (bool, String) {
    match got {
        Ok(counts) => (matches!(ends, Well) && counts.seeders == 1, format!("{counts:?}")),
        Err(failure) => judge_failure(ends, failure),
    }
}

fn judge_failure(ends: &Ends, failure: &AnnounceFailure) -> (bool, String) {
    let (AnnounceFailure::Refused { reason: text, .. }
    | AnnounceFailure::Unreachable(text)
    | AnnounceFailure::Forbidden(text)) = failure;
    (is_said(ends, text, "no answer within"), text.to_string())
}

fn judge_torrent(ends: &Ends, got: &Result<Vec<u8>, FetchError>) -> (bool, String) {
    let right = match (ends, got) {
        (Well, Ok(body)) => body == PEERS,
        (In(wanted), Ok(body)) => body == wanted,
        (_, Ok(_)) => false,
        (ends, Err(why)) => is_said(ends, &why.to_string(), "took more than"),
    };
    let text = match got {
        Ok(body) => format!("{} bytes", body.len()),
        Err(why) => why.to_string(),
    };
    (right, text)
}

/// Whether these are the words in which the visit should end; the URL, where a passkey may be, is nobody's to read.
fn is_said(ends: &Ends, text: &str, late: &str) -> bool {
    let words = match ends {
        Well | In(_) => return false,
        Badly(words) => words,
        Late => late,
    };
    !text.is_empty() && text.contains(words) && !text.contains("info_hash")
}

/// Bytes from a line of what Linux says about this process.
fn memory(line: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let found = status.lines().find_map(|text| text.strip_prefix(line));
    let kib = found.and_then(|text| text.trim_matches(|c: char| !c.is_ascii_digit()).parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

#[test]
fn a_server_that_misbehaves_costs_one_visit_and_no_more_than_its_bound() {
    let table = table();
    let (edge, told, counted) = edge_that_counts();
    let before = memory("VmRSS:");
    let (mut wrong, mut cases, mut slowest) = (Vec::new(), 0, Duration::ZERO);
    for (sequence, case) in (0..).zip(&table).filter(|(_, case)| !case.is_late()) {
        let began = Instant::now();
        let server = Server::start(case.plays.clone());
        edge.announce(visit(&server.url(), sequence, AnnounceEvent::Started)).unwrap();
        let got = told.recv().unwrap();
        assert_eq!(got.0.sequence, sequence);
        let (right, text) = judge_announce(&case.announce, &got.1);
        let taken = server.end();
        if !right || taken > 1 << 20 {
            wrong.push(format!("announce, {}: {text}; {taken} bytes taken", case.name));
        }
        let server = Server::start(case.plays.clone());
        edge.scrape(question(&server.url(), sequence)).unwrap();
        let (right, text) = judge_scrape(&case.announce, &counted.recv().unwrap());
        let taken = server.end();
        if !right || taken > 1 << 20 {
            wrong.push(format!("scrape, {}: {text}; {taken} bytes taken", case.name));
        }
        let server = Server::start(case.plays.clone());
        let (right, text) = judge_torrent(&case.torrent, &fetch(&edge, server.url()));
        let taken = server.end();
        if !right || taken > 10_000_000 {
            wrong.push(format!("torrent, {}: {text}; {taken} bytes taken", case.name));
        }
        slowest = slowest.max(began.elapsed());
        cases += 3;
    }
    let growth = memory("VmHWM:").saturating_sub(before);
    let late: Vec<&Case> = table.iter().filter(|case| case.is_late()).collect();
    wrong.extend(late_visits(&late));
    cases += 3 * late.len();
    println!("misbehaving servers: {} ways, {cases} visits", table.len());
    println!("slowest three {slowest:?}, memory grew by {} KiB", growth / 1024);
    assert_eq!(wrong, Vec::<String>::new());
    assert!(table.len() >= 80 && cases >= 240, "{cases}");
    assert!(slowest < Duration::from_secs(20), "{slowest:?}");
    assert!(growth < GROWTH_MAX, "{growth}");
}

fn fetch(edge: &Edge, url: String) -> Result<Vec<u8>, FetchError> {
    let (answer, reply) = Answer::pair();
    edge.fetch(url, answer);
    reply.wait().unwrap()
}

/// Visits whose time passes, all at once: goodbyes, which have 2 s, and fetches in less time than users have.
fn late_visits(late: &[&Case]) -> Vec<String> {
    let servers = || late.iter().map(|case| Server::start(case.plays.clone())).collect::<Vec<_>>();
    let (trackers, sites) = (servers(), servers());
    let (edge, told) = edge();
    for (sequence, tracker) in (0..).zip(&trackers) {
        edge.announce(visit(&tracker.url(), sequence, AnnounceEvent::Stopped)).unwrap();
    }
    let http = Http::with_roots(rustls::RootCertStore::empty()).unwrap();
    let mut wrong = Vec::new();
    for (case, site) in late.iter().zip(sites) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let got = runtime.block_on(fetch_within(&http, &site.url(), Duration::from_millis(100)));
        let (right, text) = judge_torrent(&case.torrent, &got);
        wrong.extend((!right).then(|| format!("torrent, {}: {text}", case.name)));
        let server = Server::start(case.plays.clone());
        let (udp, question) = (UdpTrackers::new(|_, _| {}), question(&server.url(), 0));
        let asked = scrape(&http, &udp, &question);
        let in_time =
            runtime.block_on(async { tokio::time::timeout(Duration::from_millis(100), asked).await });
        wrong.extend(in_time.is_ok().then(|| format!("scrape, {}: {in_time:?}", case.name)));
        // A connection whose time is over is closed by the runtime, not by the visit.
        drop(runtime);
        site.end();
        server.end();
    }
    for _ in late {
        let (name, got) = told.recv().unwrap();
        let (right, text) = judge_announce(&Late, &got);
        wrong.extend((!right).then(|| format!("announce, {}: {text}", late[name.sequence as usize].name)));
    }
    drop(edge);
    for tracker in trackers {
        tracker.end();
    }
    wrong
}
