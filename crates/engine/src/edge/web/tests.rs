//! Every way in which a web seed is known to misbehave, as a table, over HTTP and HTTPS. Each fetch ends: in the bytes that were
//! asked for, or in the fault that says what is wrong; never more than its range is told, and always in order. Threats: C14

mod table;

use super::*;
use crate::edge::guard::{Errand, Forbidden};
use crate::edge::tests::tls::{Authority, signed};
use proto::TorrentId;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::Instant;
use table::{Case, Ends, FILE_LEN, OFFSET, PART_LEN, Play, Then, content};
use url::Url;
use wire::metainfo::MetainfoBuilder;

/// What the table of threats asks for.
const CASES_MIN: usize = 250;

/// Shorter than the real one, long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(3);

/// Fetches at once.
const BATCH: usize = 24;

/// How much an endless server may get rid of: what a window, a chunk and the kernel's buffers hold, and more than enough.
const TAKEN_MAX: usize = 32 << 20;

const FETCH: FetchId = FetchId { torrent: TorrentId { slot: 0, generation: 0 }, sequence: 1 };

trait Stream: Read + Write {
    /// Says goodbye, where that is a word of its own: without it, TLS takes an end for a cut.
    fn goodbye(&mut self);
}

impl Stream for TcpStream {
    fn goodbye(&mut self) {}
}

impl Stream for StreamOwned<ServerConnection, TcpStream> {
    fn goodbye(&mut self) {
        self.conn.send_close_notify();
        let _ = self.flush();
    }
}

/// A server that plays a case, over TLS if it has an identity.
fn serve(plays: Vec<Play>, tls: Option<Arc<ServerConfig>>) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (taken, turn) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&taken);
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let (plays, tls, count, turn) =
                (plays.clone(), tls.clone(), Arc::clone(&count), Arc::clone(&turn));
            std::thread::spawn(move || {
                let reset = socket.try_clone().unwrap();
                let stream: Box<dyn Stream> = match tls {
                    Some(tls) => Box::new(StreamOwned::new(ServerConnection::new(tls).unwrap(), socket)),
                    None => Box::new(socket),
                };
                perform(stream, &reset, &plays, address, &turn, &count);
            });
        }
    });
    (address, taken)
}

/// Answers requests on one connection, until a play ends it.
fn perform(
    stream: Box<dyn Stream>,
    socket: &TcpStream,
    plays: &[Play],
    address: SocketAddr,
    turn: &AtomicUsize,
    taken: &AtomicUsize,
) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = String::new();
        loop {
            line.clear();
            if stream.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let play = &plays[turn.fetch_add(1, Ordering::Relaxed).min(plays.len() - 1)];
        let stream = stream.get_mut();
        if stream.write_all(&play.says(address)).and_then(|()| stream.flush()).is_err() {
            return;
        }
        match &play.then {
            Then::GoOn => {}
            Then::Close => {
                stream.goodbye();
                let _ = socket.shutdown(std::net::Shutdown::Write);
                return;
            }
            Then::Reset => {
                socket2::SockRef::from(socket).set_linger(Some(Duration::ZERO)).unwrap();
                return;
            }
            // Until the client hangs up.
            Then::Hold => _ = stream.read(&mut [0]),
            Then::Repeat(bytes) => {
                while stream.write_all(bytes).is_ok() && taken.load(Ordering::Relaxed) < 2 * TAKEN_MAX {
                    taken.fetch_add(bytes.len(), Ordering::Relaxed);
                }
                return;
            }
        }
    }
}

fn torrent(url: &str) -> Arc<Metainfo> {
    let hashes = vec![[1; 20]; FILE_LEN.div_ceil(32 * 1024) as usize];
    let builder = MetainfoBuilder::single("file", FILE_LEN, 32 * 1024).web_seeds(vec![url.into()]);
    Arc::new(builder.build(&hashes).unwrap().1)
}

/// Fetches the middle of the file; what was told of it, as bytes, and how it ended.
async fn fetch(ranges: &Ranges, url: &str) -> (Vec<u8>, Result<(), FetchFailure>) {
    let (tell, told) = channel();
    let flow = Arc::new(Flow::default());
    let range = OFFSET..OFFSET + PART_LEN;
    let job =
        RangeJob { fetch: FETCH, url: url.into(), range, metainfo: torrent(url), flow: Arc::clone(&flow) };
    let take = move |fetched: Fetched| {
        if let Fetched::Block(_, _, bytes) = &fetched {
            flow.taken(bytes.len());
        }
        tell.send(fetched).unwrap();
    };
    ranges.fetch(job, &take).await;
    drop(take);
    let layout = &torrent(url).layout;
    let (mut bytes, mut end) = (Vec::new(), None);
    for fetched in told {
        assert!(end.is_none(), "something after the end");
        match fetched {
            Fetched::Block(id, block, slice) => {
                let expected = layout.block_at(OFFSET + bytes.len() as u64);
                assert_eq!((id, Some(block), block.len as usize), (FETCH, expected, slice.len()));
                bytes.extend_from_slice(&slice);
            }
            Fetched::Ended(id, outcome) => {
                assert_eq!(id, FETCH);
                end = Some(outcome);
            }
        }
    }
    assert!(bytes.len() as u64 <= PART_LEN, "more than was asked for");
    (bytes, end.expect("an end"))
}

fn judge(case: &Case, over: &str, bytes: &[u8], outcome: &Result<(), FetchFailure>) -> Result<(), String> {
    let right = &content()[OFFSET as usize..(OFFSET + PART_LEN) as usize];
    match (&case.ends, outcome) {
        (Ends::Well, Ok(())) if bytes == right => Ok(()),
        (Ends::Badly(fault, why), Err(failure))
            if failure.fault == *fault && failure.detail.contains(why) && bytes.len() < right.len() =>
        {
            Ok(())
        }
        (Ends::Late(fault), Err(failure)) if failure.fault == *fault => Ok(()),
        (expected, found) => {
            Err(format!("{} over {over}: {found:?} after {} bytes, not {expected:?}", case.name, bytes.len()))
        }
    }
}

fn tls(authority: &Authority) -> Arc<ServerConfig> {
    let (chain, key) = signed(authority, |_| {});
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let key = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
    let identity = SingleCertAndKey::from(CertifiedKey::new(chain, key));
    Arc::new(config.with_no_client_auth().with_cert_resolver(Arc::new(identity)))
}

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(tokio::task::LocalSet::new().run_until(work))
}

#[test]
fn every_misbehaving_web_seed_meets_its_end() {
    let authority = Authority::new("ours");
    let config = tls(&authority);
    let ranges = Arc::new(Ranges::with_patience(Http::with_roots(authority.roots()).unwrap(), PATIENCE));
    let (mut cases, mut faults, began) = (0, Vec::new(), Instant::now());
    run(async {
        for secure in [false, true] {
            let mut table = table::all(secure);
            // The patient ones together, so that their time passes once.
            table.sort_by_key(|case| matches!(case.ends, Ends::Late(_)));
            let mut rest = table.into_iter().peekable();
            while rest.peek().is_some() {
                let mut batch = tokio::task::JoinSet::new();
                for case in rest.by_ref().take(BATCH) {
                    let (ranges, tls) = (Arc::clone(&ranges), secure.then(|| Arc::clone(&config)));
                    batch.spawn_local(async move {
                        let over = if secure { "https" } else { "http" };
                        let (address, taken) = serve(case.plays.clone(), tls);
                        let (bytes, outcome) = fetch(&ranges, &format!("{over}://{address}/file")).await;
                        let taken = taken.load(Ordering::Relaxed);
                        assert!(taken <= TAKEN_MAX, "{}: took in {taken} bytes", case.name);
                        judge(&case, over, &bytes, &outcome)
                    });
                }
                for judged in batch.join_all().await {
                    cases += 1;
                    faults.extend(judged.err());
                }
            }
        }
    });
    println!("C14, misbehaving web seeds over http and https: {cases} cases in {:?}", began.elapsed());
    assert!(faults.is_empty(), "{} of {cases}:\n{}", faults.len(), faults.join("\n"));
    assert!(cases >= CASES_MIN, "{cases} cases, the table asks for {CASES_MIN}");
}

/// A server that remembers the heads of requests, and answers all alike.
fn listening(
    answer: impl Fn(usize) -> Vec<u8> + Send + 'static,
) -> (SocketAddr, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, (heard, hears)) = (listener.local_addr().unwrap(), channel());
    std::thread::spawn(move || {
        for (turn, socket) in listener.incoming().flatten().enumerate() {
            let (mut socket, mut head) = (BufReader::new(socket), String::new());
            while !head.ends_with("\r\n\r\n") && socket.read_line(&mut head).unwrap_or(0) > 0 {}
            let _ = heard.send(head);
            let _ = socket.get_mut().write_all(&answer(turn));
        }
    });
    (address, hears)
}

#[test]
fn credentials_go_to_their_own_origin_and_nowhere_else() {
    let good = || table::good();
    let ranges = Ranges::with_patience(Http::with_roots(RootCertStore::empty()).unwrap(), PATIENCE);
    let (other, other_hears) = listening(move |_| good());
    // In our own network nobody is given any: these names are outside.
    let outside = |name: &str, really: SocketAddr| {
        let url = format!("http://{name}:{}", really.port());
        let found = SocketAddr::from(([93, 184, 216, 34], really.port()));
        ranges.clients.pretend(&Url::parse(&url).unwrap(), found, really);
        url.trim_start_matches("http://").to_owned()
    };
    let other = outside("other.example", other);
    let moved = |to: String| {
        format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    };
    let basic = "authorization: basic dxnlcjp3b3jk";
    // To another path, to the same origin by its whole name, to another origin, and there with a name that it tells us to use.
    let targets = [
        ("/elsewhere".to_owned(), true),
        ("http://SERVER/elsewhere".into(), true),
        (format!("http://{other}/elsewhere"), false),
        (format!("http://eve:secret@{other}/elsewhere"), false),
    ];
    for (target, stays) in targets {
        let (tell_address, address_told) = channel::<String>();
        let address_told = std::sync::Mutex::new(address_told);
        let to = target.clone();
        let (server, hears) = listening(move |turn| {
            if turn > 0 {
                return table::good();
            }
            let own = address_told.lock().unwrap().recv().unwrap();
            moved(to.replace("SERVER", &own)).into_bytes()
        });
        let server = outside("web.example", server);
        tell_address.send(server.clone()).unwrap();
        let (_, outcome) = run(fetch(&ranges, &format!("http://user:word@{server}/file")));
        assert_eq!(outcome, Ok(()), "{target}");
        assert!(
            hears.recv().unwrap().to_lowercase().contains(basic),
            "{target}: the first request bears them"
        );
        let second = if stays { hears.recv() } else { other_hears.recv() }.unwrap().to_lowercase();
        assert_eq!(second.contains("authorization"), stays, "{target}: {second}");
    }
}

#[test]
fn a_server_outside_cannot_send_us_inside_and_nobody_here_is_told_to_do_things() {
    let inside = [
        "127.0.0.1",
        "127.9.9.9",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.1.1",
        "100.64.0.1",
        "[::1]",
        "[fe80::1]",
        "[fd00::1]",
        "[::ffff:10.0.0.1]",
        "[64:ff9b::a00:1]",
    ];
    let clients = Clients::new(Http::with_roots(RootCertStore::empty()).unwrap());
    let outside: [IpAddr; 2] = ["8.8.8.8".parse().unwrap(), "2001:4860:4860::8888".parse().unwrap()];
    let ask = |url: &str, from| run(clients.check(&Url::parse(url).unwrap(), from));
    let mut cases = 0;
    for host in inside {
        let url = format!("http://{host}:8080/file");
        assert!(ask(&url, None).is_ok(), "{url}: a file server of one's own");
        for from in outside {
            let refused = ask(&url, Some(from));
            assert!(matches!(refused, Err(VisitError::Forbidden(Forbidden::Inward))), "{url}: {refused:?}");
            cases += 1;
        }
        let query = ask(&format!("{url}?do=harm"), None);
        assert!(matches!(query, Err(VisitError::Forbidden(Forbidden::LocalQuery))), "{url}: {query:?}");
        for named in
            [url.replace("//", "//admin:admin@"), url.replace("//", "//admin@"), url.replace("//", "//:x@")]
        {
            let named = ask(&named, None);
            assert!(
                matches!(named, Err(VisitError::Forbidden(Forbidden::LocalCredentials))),
                "{url}: {named:?}"
            );
            cases += 1;
        }
        cases += 2;
    }
    for host in ["169.254.169.254", "[fd00:ec2::254]", "0.0.0.0", "224.0.0.1", "255.255.255.255", "[::]"] {
        let refused = ask(&format!("http://{host}/file"), None);
        assert!(matches!(refused, Err(VisitError::Forbidden(_))), "{host}: {refused:?}");
        cases += 1;
    }
    assert!(ask("http://8.8.8.8/file?x=y", None).is_ok(), "outside, a query is no matter");
    assert!(ask("http://user:word@8.8.8.8/file", None).is_ok(), "nor is a name");
    for url in ["ftp://8.8.8.8/file", "file:///etc/passwd", "udp://8.8.8.8:80/announce"] {
        assert!(crate::edge::guard::check_url(&Url::parse(url).unwrap(), Errand::WebSeed).is_err(), "{url}");
        cases += 1;
    }
    println!("C14, where web seeds may lead: {cases} cases");
}

#[test]
fn a_file_is_asked_for_by_the_rules_of_bep_19() {
    let file =
        |path: &str| wire::metainfo::NewFile { path: path.split('/').map(String::from).collect(), len: 10 };
    let single = MetainfoBuilder::single("a b?.bin", 10, 16_384).build(&[[1; 20]]).unwrap().1;
    let folder = MetainfoBuilder::directory("t#1", vec![file("x/ü%.z")], 16_384).build(&[[1; 20]]).unwrap().1;
    for (metainfo, url, expected) in [
        (&single, "http://h/f.bin", "http://h/f.bin"),
        (&single, "http://h/d/", "http://h/d/a%20b%3F.bin"),
        (&single, "http://h/get?id=1", "http://h/get?id=1"),
        (&single, "http://h", "http://h/a%20b%3F.bin"),
        (&folder, "http://h/d/", "http://h/d/t%231/x/%C3%BC%25.z"),
        (&folder, "http://h/d", "http://h/d/t%231/x/%C3%BC%25.z"),
        (&folder, "http://u:p@h:81/d%20e/?k=v#f", "http://u:p@h:81/d%20e/t%231/x/%C3%BC%25.z?k=v"),
    ] {
        let place = Place::new(url, metainfo).unwrap();
        assert_eq!(place.of(wire::FileIndex(0)).unwrap().as_str(), expected, "{url}");
    }
    for url in ["", "http://", "no url", "data:,x", "mailto:a@b"] {
        assert_eq!(Place::new(url, &single).unwrap_err().fault, FetchFault::Forbidden, "{url}");
    }
}

#[test]
fn names_that_climb_out_of_the_folder_are_not_asked_for() {
    use wire::bencode::{bytes, dict, int, list};
    for path in [&["..", "x"][..], &["."], &["a", "..", "b"], &["a/../../b"], &["", "x"]] {
        let file = dict([("length", int(10)), ("path", list(path.iter().map(bytes)))]);
        let info = [
            ("files", list([file])),
            ("name", bytes("t")),
            ("piece length", int(16_384)),
            ("pieces", bytes([7; 20])),
        ];
        let metainfo = Metainfo::parse(&dict([("info", dict(info))]).into_bytes()).unwrap();
        let asked = Place::new("http://h/d/", &metainfo).unwrap().of(wire::FileIndex(0));
        assert_eq!(asked.map_err(|failure| failure.fault), Err(FetchFault::Nonsense), "{path:?}");
    }
}
