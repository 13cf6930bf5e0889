//! The page as browsers and strangers see it, over sockets.

use super::*;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;

const PATIENCE: Duration = Duration::from_secs(30);

/// A page of these files, and what they hold.
fn page(dir: &Path, files: &[(&str, Vec<u8>)]) -> Page {
    let offered = files.iter().map(|(path, bytes)| {
        let whole = dir.join(path);
        std::fs::create_dir_all(whole.parent().unwrap()).unwrap();
        std::fs::write(whole, bytes).unwrap();
        PageFile { root: dir.into(), path: path.into(), len: bytes.len() as u64 }
    });
    let content = PageContent { title: "<i>holiday</i>".into(), files: offered.collect() };
    let listen = Listen { ports: 0..=0, ipv4: Some(Ipv4Addr::LOCALHOST), ipv6: None };
    Page::open(content, &listen).unwrap()
}

fn content(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}

/// An answer: its status, its headers in lower case, its body.
struct Told(u16, String, Vec<u8>);

impl Told {
    fn header(&self, name: &str) -> Option<&str> {
        self.1.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

fn connect(page: &Page) -> TcpStream {
    let stream = TcpStream::connect(page.local_addrs()[0]).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn ask(page: &Page, method: &str, path: &str, headers: &str) -> Told {
    let mut stream = connect(page);
    write!(stream, "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n").unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let (first, rest) = head.split_once("\r\n").unwrap();
    let headers = rest.lines().map(|line| {
        line.split_once(": ")
            .map_or(String::new(), |(name, value)| format!("{}: {value}\n", name.to_lowercase()))
    });
    Told(first.split(' ').nth(1).unwrap().parse().unwrap(), headers.collect(), bytes[end..].to_vec())
}

fn get(page: &Page, rest: &str, headers: &str) -> Told {
    ask(page, "GET", &format!("{}{rest}", page.path()), headers)
}

#[test]
fn the_page_names_the_files_as_text_and_each_can_be_fetched() {
    let dir = tempfile::tempdir().unwrap();
    let files = [("a/<b>&\"ü.txt", content(5)), ("empty", Vec::new()), ("big", content(1_000_000))];
    let page = page(dir.path(), &files);
    let Told(status, headers, html) = get(&page, "", "");
    let html = String::from_utf8(html).unwrap();
    assert_eq!(status, 200);
    assert!(headers.contains("content-security-policy: default-src 'none'"), "{headers}");
    assert!(headers.contains("referrer-policy: no-referrer"), "{headers}");
    assert!(html.contains("<h1>&lt;i&gt;holiday&lt;/i&gt;</h1>"), "{html}");
    assert!(html.contains("a/&lt;b&gt;&amp;"), "{html}");
    assert!(html.contains("3 files, 1.0 MB") && html.contains("plain HTTP"), "{html}");
    let links: Vec<&str> =
        html.split("href=\"").skip(2).map(|rest| rest.split('"').next().unwrap()).collect();
    assert_eq!(links, ["0/%3Cb%3E%26%22%C3%BC.txt", "1/empty", "2/big"]);
    for (link, (path, bytes)) in links.iter().zip(&files) {
        let told = get(&page, link, "");
        assert_eq!((told.0, &told.2), (200, bytes), "{path}");
        assert_eq!(told.header("content-length"), Some(&*bytes.len().to_string()));
        let name = link.split_once('/').unwrap().1;
        assert_eq!(
            told.header("content-disposition"),
            Some(&*format!("attachment; filename*=UTF-8''{name}"))
        );
    }
    assert_eq!(page.sent(), 1_000_005);
    assert_eq!(
        (get(&page, "page.css", "").0, get(&page, "page.js", "").0, get(&page, "alive", "").0),
        (200, 200, 200)
    );
}

#[test]
fn whoever_does_not_know_the_path_learns_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let page = page(dir.path(), &[("a", content(5))]);
    std::fs::write(dir.path().join("secret"), "s").unwrap();
    let wrong = ask(&page, "GET", "/00000000000000000000/", "");
    let root = ask(&page, "GET", "/", "");
    assert_eq!(
        (wrong.0, &wrong.1.replace(wrong.header("date").unwrap(), ""), &wrong.2),
        (404, &root.1.replace(root.header("date").unwrap(), ""), &root.2)
    );
    let inside = page.path().to_owned();
    for path in ["1/a", "0", "0x/a", "-1/a", "../secret", "0/../../secret", "a", "secret", "%2e%2e/secret"] {
        let told = get(&page, path, "");
        // The name after the number is for the browser alone.
        let is_the_file = path == "0/../../secret";
        assert_eq!(told.0, if is_the_file { 200 } else { 404 }, "{path}");
        assert!(!told.2.contains(&b's') || told.0 == 404, "{path}");
    }
    let posted = ask(&page, "POST", &inside, "content-length: 0\r\n");
    assert_eq!((posted.0, posted.header("allow")), (405, Some("GET, HEAD")));
}

#[test]
fn a_download_that_broke_off_goes_on_where_it_was_unless_the_file_has_changed() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = content(700_000);
    let page = page(dir.path(), &[("film", bytes.clone())]);
    let part = get(&page, "0/film", "range: bytes=600000-\r\n");
    assert_eq!((part.0, &part.2[..]), (206, &bytes[600_000..]));
    assert_eq!(part.header("content-range"), Some("bytes 600000-699999/700000"));
    let tag = part.header("etag").unwrap().to_owned();
    let still = get(&page, "0/film", &format!("range: bytes=0-9\r\nif-range: {tag}\r\n"));
    assert_eq!((still.0, &still.2[..]), (206, &bytes[..10]));
    let other = get(&page, "0/film", "range: bytes=0-9\r\nif-range: \"other\"\r\n");
    assert_eq!((other.0, other.2.len()), (200, 700_000));
    let beyond = get(&page, "0/film", "range: bytes=700000-\r\n");
    assert_eq!((beyond.0, beyond.header("content-range")), (416, Some("bytes */700000")));
    let head = ask(&page, "HEAD", &format!("{}0/film", page.path()), "");
    assert_eq!((head.0, head.header("content-length"), head.2.len()), (200, Some("700000"), 0));
    std::fs::write(dir.path().join("film"), &bytes[..5]).unwrap();
    let changed = get(&page, "0/film", "");
    assert_eq!(changed.0, 409);
    assert!(String::from_utf8(changed.2).unwrap().contains("has changed since it was shared"));
    std::fs::remove_file(dir.path().join("film")).unwrap();
    assert_eq!(get(&page, "0/film", "").0, 409);
}

#[test]
fn a_file_that_became_a_link_to_elsewhere_is_not_given() {
    let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let page = page(dir.path(), &[("a/b", content(5))]);
    std::fs::write(elsewhere.path().join("b"), b"12345").unwrap();
    std::fs::remove_dir_all(dir.path().join("a")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), dir.path().join("a")).unwrap();
    assert_eq!(get(&page, "0/b", "").0, 409);
    std::fs::remove_file(dir.path().join("a")).unwrap();
    std::fs::create_dir(dir.path().join("a")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path().join("b"), dir.path().join("a/b")).unwrap();
    assert_eq!(get(&page, "0/b", "").0, 409);
}

#[test]
fn a_crowd_that_says_nothing_keeps_nobody_out_for_good_and_the_end_cuts_all() {
    let dir = tempfile::tempdir().unwrap();
    let page = page(dir.path(), &[("a", content(5))]);
    // One address cannot take all places: of these most are hung up on.
    let silent: Vec<TcpStream> = (0..VISITORS_MAX).map(|_| connect(&page)).collect();
    let hung_up = |stream: &TcpStream| stream.peek(&mut [0]).is_ok_and(|count| count == 0);
    let waiting = silent.iter().skip(VISITORS_OF_A_HOST_MAX).filter(|stream| !hung_up(stream));
    assert_eq!(waiting.count(), 0);
    let from_elsewhere = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    from_elsewhere.bind(&SocketAddr::from(([127, 0, 0, 2], 0)).into()).unwrap();
    from_elsewhere.connect(&page.local_addrs()[0].into()).unwrap();
    let mut stream = TcpStream::from(from_elsewhere);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {}0/a HTTP/1.1\r\nhost: x\r\n\r\n", page.path()).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    let at = page.local_addrs()[0];
    drop(page);
    for mut stream in silent {
        // An end or a reset, but no waiting.
        let ended = stream.read(&mut [0]);
        assert!(
            !matches!(&ended, Ok(1..))
                && !ended.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
        );
    }
    assert!(TcpStream::connect(at).is_err(), "nobody listens any more");
}
