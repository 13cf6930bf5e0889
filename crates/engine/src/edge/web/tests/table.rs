//! The table: what a server says when it is asked for the second piece of a file, and how the fetch ends.

use proto::input::FetchFault;
use proto::{Rng, Seed};
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::Duration;

pub(super) const FILE_LEN: u64 = 200_000;
/// What is asked for: two pieces of two blocks.
pub(super) const OFFSET: u64 = 32 * 1024;
pub(super) const PART_LEN: u64 = 64 * 1024;

const LAST: u64 = OFFSET + PART_LEN - 1;

static CONTENT: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut rng = Rng::new(Seed(19));
    (0..FILE_LEN).map(|_| rng.next_u32() as u8).collect()
});

/// The whole file.
pub(super) fn content() -> &'static [u8] {
    &CONTENT
}

fn part() -> &'static [u8] {
    &CONTENT[OFFSET as usize..=LAST as usize]
}

/// How a fetch ends.
#[derive(Clone, Debug)]
pub(super) enum Ends {
    /// In the bytes that were asked for.
    Well,
    /// In this fault, with these words, before all bytes were told.
    Badly(FetchFault, &'static str),
    /// When patience is over, or all bytes came and the end did not.
    Late(FetchFault),
}
use Ends::{Badly, Late, Well};
use FetchFault::{Absent, Busy, Forbidden, Nonsense, Refused, Unreachable};

/// What a server does after it has said what it says.
#[derive(Clone)]
pub(super) enum Then {
    /// Waits for the next request.
    GoOn,
    Close,
    Reset,
    /// Nothing.
    Hold,
    /// Says this until it is cut off.
    Repeat(Vec<u8>),
}

/// One answer.
#[derive(Clone)]
pub(super) struct Play {
    says: Vec<u8>,
    pub(super) then: Then,
}

impl Play {
    /// The answer of the server at this address.
    pub(super) fn says(&self, address: SocketAddr) -> Vec<u8> {
        // Addresses are named in heads alone.
        let head = self.says.windows(4).position(|end| end == b"\r\n\r\n").unwrap_or(0);
        let (head, body) = self.says.split_at(head);
        match str::from_utf8(head) {
            Ok(text) => [text.replace("SERVER", &address.to_string()).as_bytes(), body].concat(),
            Err(_) => self.says.clone(),
        }
    }
}

/// A server: answer by answer; the last is given again and again.
#[derive(Clone)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) plays: Vec<Play>,
    pub(super) ends: Ends,
}

impl Case {
    fn then(mut self, then: Then) -> Case {
        self.plays.last_mut().unwrap().then = then;
        self
    }

    fn after(mut self, first: Vec<Vec<u8>>) -> Case {
        let first = first.into_iter().map(|says| Play { says, then: Then::GoOn });
        self.plays = first.chain(self.plays).collect();
        self
    }
}

fn case(name: impl Into<String>, says: impl Into<Vec<u8>>, ends: Ends) -> Case {
    Case { name: name.into(), plays: vec![Play { says: says.into(), then: Then::Close }], ends }
}

fn answer(head: &str, body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
}

fn bare(head: &str, body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 {head}\r\n\r\n").as_bytes(), body].concat()
}

fn partial() -> String {
    format!("206 Partial Content\r\nContent-Range: bytes {OFFSET}-{LAST}/{FILE_LEN}")
}

/// As an honest server answers.
pub(super) fn good() -> Vec<u8> {
    answer(&partial(), part())
}

fn ranged(range: &str, ends: Ends) -> Case {
    case(
        format!("content range {range:?}"),
        answer(&format!("206 Partial\r\nContent-Range: {range}"), part()),
        ends,
    )
}

fn moved(to: &str) -> Vec<u8> {
    answer(&format!("302 Found\r\nLocation: {to}"), b"")
}

fn chunked(head: &str, chunks: &[&[u8]], end: &str) -> Vec<u8> {
    let mut says = format!("HTTP/1.1 {head}\r\nTransfer-Encoding: chunked\r\n\r\n").into_bytes();
    for chunk in chunks {
        says.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        says.extend_from_slice(chunk);
        says.extend_from_slice(b"\r\n");
    }
    [&says[..], end.as_bytes()].concat()
}

/// All cases, for a server over TLS or without.
pub(super) fn all(secure: bool) -> Vec<Case> {
    let mut all = vec![case("an honest server", good(), Well)];
    all.extend([statuses(), places(), lengths(), whole_files(), encodings(), heads(), ends()].concat());
    all.extend(redirects(secure));
    all
}

fn statuses() -> Vec<Case> {
    let absent = [404, 410, 416];
    let refused = [401, 403, 407, 451];
    let busy = [429, 503, 500, 501, 502, 504, 505, 507, 508, 511, 520, 599];
    let senseless = [
        201, 202, 203, 204, 205, 226, 300, 304, 305, 306, 400, 402, 405, 406, 408, 409, 411, 412, 413, 414,
        415, 417, 418, 421, 422, 425, 426, 428, 431,
    ];
    let of = |codes: &[u16], fault: FetchFault| -> Vec<Case> {
        let one = |code: &u16| {
            case(format!("status {code}"), answer(&format!("{code} Words"), b""), Badly(fault, ""))
        };
        codes.iter().map(one).collect()
    };
    let waits = [("7", 7), ("0", 0), ("99999999999", 99_999_999_999), (" 30 ", 30)];
    let wait = |(text, seconds): (&str, u64)| {
        let says = answer(&format!("503 Busy\r\nRetry-After: {text}"), b"");
        case(format!("busy for {text:?}"), says, Badly(Busy(Some(Duration::from_secs(seconds))), "busy"))
    };
    let dates = ["Fri, 31 Dec 1999 23:59:59 GMT", "-5", "soon", "1e9", "99999999999999999999999"];
    let date = |text: &str| {
        let says = answer(&format!("503 Busy\r\nRetry-After: {text}"), b"");
        case(format!("busy until {text:?}"), says, Badly(Busy(None), "busy"))
    };
    let mut cases =
        [of(&absent, Absent(0)), of(&refused, Refused), of(&busy, Busy(None)), of(&senseless, Nonsense)]
            .concat();
    cases.extend(waits.map(wait));
    cases.extend(dates.map(date));
    cases.push(case("status 100 first", [&b"HTTP/1.1 100 Continue\r\n\r\n"[..], &good()].concat(), Well));
    cases.push(case("status 000", bare("000 No", b""), Badly(Unreachable, "")));
    cases.push(case("status of letters", bare("abc No", b""), Badly(Unreachable, "")));
    cases
}

fn places() -> Vec<Case> {
    let exact = |from: u64, last: u64, total: &str| format!("bytes {from}-{last}/{total}");
    let (right, none) = (FILE_LEN.to_string(), "makes no sense");
    let mut cases = vec![
        case("a part without a place", answer("206 Partial", part()), Badly(Nonsense, "once which")),
        case(
            "a part with two places",
            answer(&format!("{}\r\nContent-Range: bytes 0-1/2", partial()), part()),
            Badly(Nonsense, "once which"),
        ),
        case(
            "parts in one body",
            answer("206 Partial\r\nContent-Type: multipart/byteranges; boundary=x", b"--x\r\n"),
            Badly(Nonsense, "once which"),
        ),
        ranged(&exact(OFFSET, LAST, "*"), Well),
        ranged(&exact(OFFSET, LAST, &right).to_uppercase(), Well),
        ranged(&format!("bytes 00{OFFSET}-{LAST}/{right}"), Well),
    ];
    let other = [
        (OFFSET - 1, LAST - 1),
        (OFFSET + 1, LAST + 1),
        (OFFSET, LAST - 1),
        (OFFSET, LAST + 1),
        (0, LAST),
        (0, FILE_LEN - 1),
        (LAST, OFFSET),
        (0, 0),
        (u64::MAX, u64::MAX),
    ];
    cases.extend(
        other.map(|(from, last)| ranged(&exact(from, last, &right), Badly(Nonsense, "another part"))),
    );
    let totals = ["0", "1", "199999", "200001", "18446744073709551615"];
    cases.extend(totals.map(|total| ranged(&exact(OFFSET, LAST, total), Badly(Absent(0), "another length"))));
    let senseless = [
        "",
        "bytes",
        "bytes */200000",
        "items 32768-98303/200000",
        "bytes=32768-98303/200000",
        "bytes 32768-98303",
        "bytes -98303/200000",
        "bytes 32768-/200000",
        "bytes 0x8000-98303/200000",
        "bytes +32768-98303/200000",
        "bytes 32768-98303/-1",
        "bytes 32768-98303/",
        "bytes a-b/c",
        "bytes 32768-18446744073709551616/200000",
        "bytes 32768-98303/200000/3",
        "bytes 32768-98303/**",
        "32768-98303/200000",
    ];
    cases.extend(senseless.map(|range| ranged(range, Badly(Nonsense, none))));
    cases
}

fn lengths() -> Vec<Case> {
    let said = |len: &str| bare(&format!("{}\r\nContent-Length: {len}", partial()), part());
    let short = || Badly(Nonsense, "less");
    let wrong = || Badly(Nonsense, "another length");
    let halves = [&part()[..20_000], &part()[20_000..]];
    vec![
        case("length one less", said("65535"), wrong()),
        case("length one more", said("65537"), wrong()),
        case("length of nothing", said("0"), wrong()),
        case("length of the whole file", said("200000"), wrong()),
        case("length beyond numbers", said("18446744073709551616"), Badly(Unreachable, "")),
        case("length below zero", said("-1"), Badly(Unreachable, "")),
        case("lengths that differ", said("65536\r\nContent-Length: 5"), Badly(Unreachable, "")),
        case("length twice", said("65536\r\nContent-Length: 65536"), Well),
        case("no length, to the end", bare(&format!("{}\r\nConnection: close", partial()), part()), Well),
        case(
            "no length, ended early",
            bare(&format!("{}\r\nConnection: close", partial()), &part()[..40_000]),
            short(),
        ),
        case(
            "no length, a byte more in the same breath",
            bare(&format!("{}\r\nConnection: close", partial()), &[part(), b"x"].concat()),
            Late(Nonsense),
        ),
        case(
            "no length and no end",
            bare(&format!("{}\r\nConnection: close", partial()), part()),
            Late(Nonsense),
        )
        .then(Then::Repeat(vec![b'x'; 65_536])),
        case("chunks", chunked(&partial(), &halves, "0\r\n\r\n"), Well),
        case("chunks of a byte first", chunked(&partial(), &[&part()[..1], &part()[1..]], "0\r\n\r\n"), Well),
        case("chunks, one too few", chunked(&partial(), &halves[..1], "0\r\n\r\n"), short()),
        case(
            "chunks, one too many",
            chunked(&partial(), &[halves[0], halves[1], b"x"], "0\r\n\r\n"),
            Late(Nonsense),
        ),
        case("chunks of nothing", chunked(&partial(), &[], "0\r\n\r\n"), short()),
        case("chunks without the last", chunked(&partial(), &halves[..1], ""), Badly(Unreachable, "")),
        case("chunks without end", chunked(&partial(), &halves, ""), Late(Nonsense))
            .then(Then::Repeat([b"1000\r\n", &[b'x'; 4096][..], b"\r\n"].concat())),
        case(
            "zeros without end before the size of a chunk",
            chunked(&partial(), &[], ""),
            Badly(Unreachable, "around the answer"),
        )
        .then(Then::Repeat(vec![b'0'; 64 << 10])),
        case("chunk of a size that is none", chunked(&partial(), &[], "xyz\r\n"), Badly(Unreachable, "")),
        case("chunk largest", chunked(&partial(), &[], "ffffffffffffffff\r\nx"), Badly(Unreachable, "")),
    ]
}

fn whole_files() -> Vec<Case> {
    let whole = |body: &[u8]| answer("200 OK", body);
    let other = || Badly(Absent(0), "another length");
    vec![
        case("the whole file", whole(content()), Well),
        case("the whole file, no length", bare("200 OK\r\nConnection: close", content()), Well),
        case("the whole file, in chunks", chunked("200 OK", &[content()], "0\r\n\r\n"), Well),
        case("a file one shorter", whole(&content()[1..]), other()),
        case("a file one longer", whole(&[content(), b"x"].concat()), other()),
        case("a web page", answer("200 OK\r\nContent-Type: text/html", b"<html>please log in"), other()),
        case("an empty file", whole(b""), other()),
        case(
            "a file that ends early",
            bare("200 OK\r\nConnection: close", &content()[..50_000]),
            Badly(Nonsense, "less"),
        ),
        case(
            "a file that never ends, after what we want",
            bare("200 OK\r\nConnection: close", content()),
            Well,
        )
        .then(Then::Repeat(vec![b'x'; 65_536])),
    ]
}

fn encodings() -> Vec<Case> {
    let packed = |name: &str| answer(&format!("{}\r\nContent-Encoding: {name}", partial()), part());
    let names = [
        "gzip",
        "GZIP",
        "x-gzip",
        "deflate",
        "br",
        "zstd",
        "compress",
        "gzip, gzip",
        "identity, gzip",
        "\u{1}x",
    ];
    let mut cases: Vec<Case> = names[..9]
        .iter()
        .map(|name| case(format!("packed with {name}"), packed(name), Badly(Nonsense, "packs")))
        .collect();
    cases.push(case("packed with a control", packed(names[9]), Badly(Unreachable, "")));
    cases.push(case("packed with identity", packed("identity"), Well));
    cases.push(case("packed with nothing", packed(""), Well));
    cases.push(case(
        "a whole file, packed",
        answer("200 OK\r\nContent-Encoding: gzip", content()),
        Badly(Nonsense, "packs"),
    ));
    cases
}

fn heads() -> Vec<Case> {
    let with = |line: &str| answer(&format!("{}\r\n{line}", partial()), part());
    let broken = || Badly(Unreachable, "");
    vec![
        case(
            "header of 70 kB",
            with(&format!("X: {}", "x".repeat(70 * 1024))),
            Badly(Nonsense, "headers of"),
        ),
        case("headers, 200 of them", with(&format!("{}Y: y", "X: x\r\n".repeat(200))), broken()),
        case("header without end", &b"HTTP/1.1 206 Partial\r\nX: "[..], broken())
            .then(Then::Repeat(vec![b'x'; 4096])),
        case("headers without end", &b"HTTP/1.1 206 Partial\r\n"[..], broken())
            .then(Then::Repeat(b"X: x\r\n".to_vec())),
        case("header without a colon", with("just text"), broken()),
        case("header with a zero byte", with("X: a\0b"), broken()),
        case("HTTP/1.0", [b"HTTP/1.0 ", &good()[9..]].concat(), Well),
        case("HTTP/0.9", part(), broken()),
        case("another protocol", &b"SSH-2.0-OpenSSH_9.2\r\n"[..], broken()),
        case("cookies", with("Set-Cookie: a=b; Domain=."), Well),
        case(
            "status 101",
            bare("101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade", b""),
            Badly(Nonsense, ""),
        ),
    ]
}

fn ends() -> Vec<Case> {
    let whole = good();
    let body = whole.len() - part().len();
    let cut = |name: &str, len: usize| case(name, &whole[..len], Badly(Unreachable, ""));
    let hold = |name: &str, len: usize| case(name, &whole[..len], Late(Unreachable)).then(Then::Hold);
    vec![
        cut("end before the answer", 0),
        cut("end in the status", 12),
        cut("end in the headers", 40),
        cut("end after the headers", body),
        cut("end in the first block", body + 10_000),
        cut("end in the last block", body + 60_000),
        cut("reset before the answer", 0).then(Then::Reset),
        cut("reset in the headers", 40).then(Then::Reset),
        cut("reset in the body", body + 40_000).then(Then::Reset),
        hold("silence", 0),
        hold("silence in the status", 12),
        hold("silence in the headers", 40),
        hold("silence after the headers", body),
        hold("silence in the first block", body + 10_000),
        hold("silence in the last block", body + 60_000),
        case("silence after all chunks but the last", chunked(&partial(), &[part()], ""), Late(Unreachable))
            .then(Then::Hold),
        case("silence after a redirect", Vec::new(), Late(Unreachable))
            .then(Then::Hold)
            .after(vec![moved("/x")]),
    ]
}

fn redirects(secure: bool) -> Vec<Case> {
    let scheme = if secure { "https" } else { "http" };
    let to = |location: &str| {
        let location = location.replace("SCHEME", scheme);
        case(format!("redirect to {location}"), good(), Well).after(vec![moved(&location)])
    };
    let refused = |location: &str, fault: FetchFault, why: &'static str| {
        let location = location.replace("SCHEME", scheme);
        case(format!("redirect to {location}"), moved(&location), Badly(fault, why)).then(Then::GoOn)
    };
    let hops = |count| case(format!("{count} redirects"), good(), Well).after(vec![moved("/file"); count]);
    let weaker = if secure { (Nonsense, "weaker") } else { (Unreachable, "") };
    let other = if secure { "http" } else { "https" };
    let mut cases = vec![
        to("SCHEME://SERVER/file"),
        to("/other"),
        to("//SERVER/file"),
        to("../.././file"),
        to("/file#x"),
        to("SCHEME://user:word@SERVER/file"),
        hops(5),
        Case { ends: Badly(Nonsense, "more than 5"), ..hops(6) },
        refused("/file", Nonsense, "more than 5"),
        refused("", Nonsense, "more than 5"),
        refused("http://[", Nonsense, "URL"),
        refused("SCHEME://127.0.0.1:99999/file", Nonsense, "URL"),
        refused("SCHEME://127.0.0.1:0/file", Forbidden, "port"),
        refused("SCHEME://SERVER/file?do=harm", Forbidden, "query"),
        refused("?do=harm", Forbidden, "query"),
        refused("SCHEME://169.254.169.254/file", Forbidden, "metadata"),
        refused("SCHEME://2852039166/file", Forbidden, "metadata"),
        refused("SCHEME://0.0.0.0/file", Forbidden, "no host's"),
        refused("SCHEME://[::]/file", Forbidden, "no host's"),
        refused("SCHEME://224.0.0.1/file", Forbidden, "no host's"),
        refused(&format!("{other}://SERVER/file"), weaker.0, weaker.1),
        case("redirect to nowhere", answer("302 Found", b""), Badly(Nonsense, "nowhere")),
        case("redirect beyond ASCII", moved("/\u{e9}"), Badly(Nonsense, "nowhere")),
    ];
    let codes = [301, 303, 307, 308].map(|code| {
        let says = answer(&format!("{code} Moved\r\nLocation: /x"), b"");
        case(format!("redirect with status {code}"), good(), Well).after(vec![says])
    });
    cases.extend(codes);
    for location in
        ["file:///etc/passwd", "ftp://SERVER/file", "javascript:alert(1)", "data:,x", "udp://SERVER/announce"]
    {
        // From TLS, anything else is weaker, whatever it is.
        let (fault, why) = if secure { (Nonsense, "weaker") } else { (Forbidden, "scheme") };
        cases.push(refused(location, fault, why));
    }
    cases
}
