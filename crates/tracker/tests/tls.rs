//! HTTP and WebSocket within TLS, over loopback: who speaks it is served as in plain, who does not is told so. Threat E9

#![allow(clippy::unwrap_used)]

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned, SupportedProtocolVersion,
};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;
use tracker::{Certificate, CertificateError, Config, HttpRules, Listen, Tracker};
use tungstenite::Message;
use wire::tracker_http::{Announced, Reply};

/// Whoever does not answer within this does not answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A certificate that vouches for itself, and what a tracker reads of it.
struct Identity {
    der: CertificateDer<'static>,
    chain: String,
    key: String,
}

/// Binary data as text (RFC 7468).
fn pem(label: &str, bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = format!("-----BEGIN {label}-----");
    for (number, three) in bytes.chunks(3).enumerate() {
        if number % 16 == 0 {
            text.push('\n');
        }
        let bits = (0..3).fold(0, |bits, at| bits << 8 | usize::from(*three.get(at).unwrap_or(&0)));
        for digit in 0..4 {
            let is_there = digit <= three.len();
            text.push(if is_there { char::from(DIGITS[bits >> (18 - 6 * digit) & 63]) } else { '=' });
        }
    }
    format!("{text}\n-----END {label}-----\n")
}

impl Identity {
    fn new() -> Identity {
        let key = KeyPair::generate().unwrap();
        let names = ["tracker.test".to_owned(), "127.0.0.1".to_owned()];
        let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
        let chain = pem("CERTIFICATE", certificate.der());
        Identity { der: certificate.der().clone(), chain, key: pem("PRIVATE KEY", &key.serialize_der()) }
    }

    fn read(&self) -> Certificate {
        Certificate::read(self.chain.as_bytes(), self.key.as_bytes()).unwrap()
    }

    /// Who believes this certificate alone, and speaks this version alone.
    fn client(&self, version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]);
        let mut config = config.unwrap().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Arc::new(config)
    }
}

fn tracker(identity: &Identity, http: HttpRules) -> (Tracker, SocketAddr) {
    let listen = vec![Listen::https((Ipv4Addr::LOCALHOST, 0).into())];
    let certificate = Some(identity.read());
    let tracker = Tracker::start(Config { listen, certificate, http, ..Config::default() }).unwrap();
    let at = tracker.http_addr().unwrap();
    (tracker, at)
}

type Sealed = StreamOwned<ClientConnection, TcpStream>;

fn plain(at: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

fn sealed(stream: TcpStream, client: &Arc<ClientConfig>) -> Sealed {
    let name = ServerName::try_from("tracker.test").unwrap();
    StreamOwned::new(ClientConnection::new(Arc::clone(client), name).unwrap(), stream)
}

/// A connection whose answers are read one by one.
struct Link<S: Read + Write>(BufReader<S>);

impl Link<Sealed> {
    fn to(at: SocketAddr, client: &Arc<ClientConfig>) -> Link<Sealed> {
        Link(BufReader::new(sealed(plain(at), client)))
    }

    fn announces(&mut self, port: u16) -> Announced {
        self.say(&announce(port, ""));
        match Reply::decode(&self.hear().1).unwrap() {
            Reply::Peers(announced) => *announced,
            Reply::Refused { reason, .. } => panic!("{reason}"),
        }
    }
}

impl<S: Read + Write> Link<S> {
    fn say(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
    }

    /// The next answer: its head, in one text, and its body.
    fn hear(&mut self) -> (String, Vec<u8>) {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(self.0.read_line(&mut head).unwrap() > 0, "it ended: {head:?}");
        }
        let len = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
        let mut body = vec![0; len.parse().unwrap()];
        self.0.read_exact(&mut body).unwrap();
        (head, body)
    }
}

fn announce(port: u16, fields: &str) -> String {
    let (hash, id) = ("%07".repeat(20), "x".repeat(20));
    format!("GET /announce?info_hash={hash}&peer_id={id}&port={port}&left=5 HTTP/1.1\r\n{fields}\r\n")
}

#[test]
fn peers_meet_over_both_versions_and_the_end_is_announced() {
    let identity = Identity::new();
    let (tracker, at) = tracker(&identity, HttpRules::default());
    for (before, version) in [&TLS12, &TLS13].into_iter().enumerate() {
        let mut link = Link::to(at, &identity.client(version));
        let port = 1001 + u16::try_from(before).unwrap();
        assert_eq!(link.announces(port).peers.len(), before);
        // On the same connection, once more.
        assert_eq!(link.announces(port).external_ip, Some(Ipv4Addr::LOCALHOST.into()));
        let session = &link.0.get_ref().conn;
        assert_eq!(session.protocol_version(), Some(version.version));
        assert_eq!(session.alpn_protocol(), Some(&b"http/1.1"[..]));
        link.say(&announce(port, "Connection: close\r\n"));
        assert!(link.hear().0.contains("Connection: close"));
        // A connection that were cut off would be an error here.
        assert_eq!(link.0.read(&mut [0]).unwrap(), 0);
    }
    assert_eq!(tracker.figures().peers, 2);
}

#[test]
fn requests_that_come_together_are_answered_in_their_order_and_none_is_lost() {
    let identity = Identity::new();
    let (tracker, at) = tracker(&identity, HttpRules::default());
    let mut link = Link::to(at, &identity.client(&TLS13));
    const REQUESTS: u16 = 2_000;
    // As many as one side's kernel holds are written before anything is read.
    let mut told = 0;
    while told < REQUESTS {
        let together: String = (told..told + 400).map(|number| announce(1 + number, "")).collect();
        link.say(&together);
        for before in told..told + 400 {
            match Reply::decode(&link.hear().1).unwrap() {
                Reply::Peers(announced) => assert_eq!(announced.incomplete, Some(u32::from(before) + 1)),
                Reply::Refused { reason, .. } => panic!("{reason}"),
            }
        }
        told += 400;
    }
    assert_eq!(tracker.figures().announces, u64::from(REQUESTS));
}

#[test]
fn who_comes_again_resumes_though_nobody_was_remembered() {
    let identity = Identity::new();
    let (_tracker, at) = tracker(&identity, HttpRules::default());
    for version in [&TLS12, &TLS13] {
        let client = identity.client(version);
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let mut link = Link::to(at, &client);
            link.announces(1001);
            assert_eq!(link.0.get_ref().conn.handshake_kind(), Some(kind));
        }
    }
}

#[test]
fn browsers_speak_websocket_within_tls() {
    let identity = Identity::new();
    let (tracker, at) = tracker(&identity, HttpRules::default());
    let stream = sealed(plain(at), &identity.client(&TLS13));
    let (mut browser, _) = tungstenite::client("wss://tracker.test/announce", stream).unwrap();
    let hash = "x".repeat(20);
    for left in [5, 0] {
        let words = format!(
            r#"{{"action":"announce","info_hash":"{hash}","peer_id":"{hash}","left":{left},"offers":[]}}"#
        );
        browser.send(Message::text(words)).unwrap();
        let answer: serde_json::Value =
            serde_json::from_str(browser.read().unwrap().to_text().unwrap()).unwrap();
        assert_eq!((&answer["action"], &answer["complete"]), (&"announce".into(), &(1 - left / 5).into()));
    }
    assert_eq!(tracker.figures().peers, 1);
}

#[test]
fn who_speaks_plainly_where_tls_is_spoken_is_told_so_and_the_other_way_round_it_ends() {
    let identity = Identity::new();
    let (_tracker, at) = tracker(&identity, HttpRules::default());
    let mut link = Link(BufReader::new(plain(at)));
    link.say(&announce(1001, ""));
    let (head, body) = link.hear();
    assert!(head.starts_with("HTTP/1.1 400 ") && head.contains("Connection: close"), "{head}");
    assert!(String::from_utf8(body).unwrap().contains("begins with https://"));
    assert_eq!(link.0.read(&mut [0]).unwrap(), 0);
    // What is neither is closed with an alert at most.
    let mut link = plain(at);
    link.write_all(&[0x80; 64]).unwrap();
    let mut said = Vec::new();
    let _ = link.read_to_end(&mut said);
    assert!(said.len() <= 7, "{said:?}");

    let listen = vec![Listen::http((Ipv4Addr::LOCALHOST, 0).into())];
    let tracker = Tracker::start(Config { listen, ..Config::default() }).unwrap();
    let mut stream = sealed(plain(tracker.http_addr().unwrap()), &identity.client(&TLS13));
    let error = stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap_err();
    let ended = [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset];
    assert!(ended.contains(&error.kind()), "{error:?}");
}

#[test]
fn a_proxys_header_comes_before_tls() {
    let identity = Identity::new();
    let rules = HttpRules { proxied_by: vec!["127.0.0.1".parse().unwrap()], ..HttpRules::default() };
    let (_tracker, at) = tracker(&identity, rules);
    let mut stream = plain(at);
    stream.write_all(b"PROXY TCP4 192.0.2.7 192.0.2.1 5000 443\r\n").unwrap();
    let mut link = Link(BufReader::new(sealed(stream, &identity.client(&TLS13))));
    assert_eq!(link.announces(1001).external_ip, Some("192.0.2.7".parse().unwrap()));
    // And in one packet with what follows.
    let client = identity.client(&TLS13);
    let mut stream = plain(at);
    let mut session = ClientConnection::new(client, ServerName::try_from("tracker.test").unwrap()).unwrap();
    let mut first = b"PROXY TCP4 192.0.2.8 192.0.2.1 5000 443\r\n".to_vec();
    session.write_tls(&mut first).unwrap();
    stream.write_all(&first).unwrap();
    let mut link = Link(BufReader::new(StreamOwned::new(session, stream)));
    assert_eq!(link.announces(1002).external_ip, Some("192.0.2.8".parse().unwrap()));
}

#[test]
fn a_new_certificate_is_shown_to_newcomers_and_whoever_is_here_stays() {
    let [old, new] = [(); 2].map(|()| Identity::new());
    let (tracker, at) = tracker(&old, HttpRules::default());
    let mut link = Link::to(at, &old.client(&TLS13));
    link.announces(1001);
    tracker.set_certificate(&new.read()).unwrap();
    assert_eq!(link.announces(1002).incomplete, Some(2));
    Link::to(at, &new.client(&TLS13)).announces(1003);
    let mut late = sealed(plain(at), &old.client(&TLS13));
    assert_eq!(late.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap_err().kind(), ErrorKind::InvalidData);
}

#[test]
fn a_certificate_without_its_key_is_refused_with_a_reason() {
    let [one, other] = [(); 2].map(|()| Identity::new());
    assert_eq!(one.read().names(), ["tracker.test"]);
    let two = [&*one.chain, &other.chain].concat();
    assert!(Certificate::read(two.as_bytes(), one.key.as_bytes()).is_ok());
    let broken = one.chain.replace("\nM", "\nX");
    for (chain, key, wanted) in [
        (&*one.chain, &*other.key, "the key belongs to another certificate"),
        ("", &*one.key, "no certificate (nothing of the kind is there)"),
        (&*one.key, &*one.key, "no certificate (nothing of the kind is there)"),
        (&*broken, &*one.key, "no certificate ("),
        (&*one.chain, "", "no private key ("),
        (&*one.chain, &*one.chain, "no private key ("),
    ] {
        let error: CertificateError = Certificate::read(chain.as_bytes(), key.as_bytes()).unwrap_err();
        assert!(error.to_string().starts_with(wanted), "{error}");
    }
    let listen = vec![Listen::https((Ipv4Addr::LOCALHOST, 0).into())];
    assert!(Tracker::start(Config { listen, ..Config::default() }).is_err());
}
