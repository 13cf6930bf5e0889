//! Visitors over HTTPS: honest ones, and those who cost a tracker its signatures, by handshakes that are begun and left, begun and never
//! gone on with, or made whole for one question.
//!
//! One thread and one loop, each connection from an address of its own; who is thrown out dials again. Whoever stands there is believed to be
//! the tracker: only servers of this machine are visited. Threat: E9

use crate::flood::{begin_dial, questions_from};
use anyhow::Result;
use mio::{Events, Poll};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Addresses that they come from: those who mean ill, and the honest.
const FIRST_ILL: Ipv4Addr = Ipv4Addr::new(127, 32, 0, 1);
const FIRST_HONEST: Ipv4Addr = Ipv4Addr::new(127, 96, 0, 1);
const FIRST_TO_STAY: Ipv4Addr = Ipv4Addr::new(127, 97, 0, 1);
/// A pause when nobody could do anything.
const PAUSE: Duration = Duration::from_millis(1);
/// How often somebody who stays asks again.
const ASKS_EVERY: Duration = Duration::from_millis(10);
/// Whoever means ill and hears nothing for so long dials again.
const HEARS_WITHIN: Duration = Duration::from_secs(2);

/// A connection within TLS.
struct Sealed {
    stream: TcpStream,
    session: ClientConnection,
    heard: Vec<u8>,
}

impl Sealed {
    fn dial(source: Ipv4Addr, server: SocketAddrV4, config: &Arc<ClientConfig>) -> Result<Sealed> {
        let name = ServerName::from(IpAddr::V4(*server.ip()));
        let session = ClientConnection::new(Arc::clone(config), name)?;
        Ok(Sealed { stream: begin_dial(source, server)?, session, heard: Vec::new() })
    }

    /// One more question, which leaves as soon as the handshake is made.
    fn ask(&mut self) -> io::Result<()> {
        self.session.writer().write_all(questions_from(0))
    }

    /// Writes and reads as far as it goes. Says whether anything went.
    fn go_on(&mut self) -> io::Result<bool> {
        let mut went = false;
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.stream) {
                Ok(_) => went = true,
                Err(error) if not_now(&error) => break,
                Err(error) => return Err(error),
            }
        }
        match self.session.read_tls(&mut self.stream) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(_) => went = true,
            Err(error) if not_now(&error) => return Ok(went),
            Err(error) => return Err(error),
        }
        let state = self.session.process_new_packets().map_err(io::Error::other)?;
        let before = self.heard.len();
        self.heard.resize(before + state.plaintext_bytes_to_read(), 0);
        self.session.reader().read_exact(&mut self.heard[before..])?;
        Ok(went)
    }

    /// Takes a whole answer out of what was heard, if there is one. An error if it is none of those that were hoped for.
    fn answer(&mut self) -> io::Result<bool> {
        let Some(head) = self.heard.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(false) };
        let text = String::from_utf8_lossy(&self.heard[..head]);
        let len = text.lines().find_map(|line| line.strip_prefix("Content-Length: ")?.parse::<usize>().ok());
        let (Some(len), true) = (len, text.starts_with("HTTP/1.1 200 ")) else {
            return Err(ErrorKind::InvalidData.into());
        };
        if self.heard.len() < head + 4 + len {
            return Ok(false);
        }
        self.heard.drain(..head + 4 + len);
        Ok(true)
    }
}

/// The socket is not connected yet, or has nothing.
fn not_now(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected | ErrorKind::Interrupted)
}

/// How somebody means ill.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Habit {
    /// Begins, and hangs up when the server has signed.
    Leaves,
    /// Begins, and says nothing more.
    Stays,
    /// Makes it whole, asks once and hangs up.
    AsksOnce,
}

/// What they did.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    dials: u64,
    failed: u64,
    left: u64,
    asked: u64,
    thrown_out: u64,
}

struct Ill {
    source: Ipv4Addr,
    habit: Habit,
    /// And since when.
    line: Option<(Sealed, Instant)>,
}

/// How far somebody came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Came {
    Nowhere,
    Further,
    /// To what it came for.
    There,
}

/// So many who mean ill, for so long.
pub(crate) fn flood(server: SocketAddrV4, visitors: u32, span: Duration) -> Result<()> {
    let (config, mut tally) = (config()?, Tally::default());
    let habit = |number: u32| [Habit::Leaves, Habit::Stays, Habit::AsksOnce][number as usize % 3];
    let mut visitors: Vec<Ill> = (0..visitors)
        .map(|number| Ill { source: source(FIRST_ILL, number), habit: habit(number), line: None })
        .collect();
    println!("{{\"flooding\":true}}");
    for_so_long(span, &mut visitors, |visitor, now| visitor.act(server, &config, now, &mut tally))?;
    let held = visitors.iter().filter(|visitor| visitor.line.is_some()).count();
    let Tally { dials, failed, left, asked, thrown_out } = tally;
    println!(
        "{{\"dials\":{dials},\"failed\":{failed},\"left\":{left},\"asked_once\":{asked},\"thrown_out\":{thrown_out},\
         \"held_at_the_end\":{held}}}"
    );
    Ok(())
}

impl Ill {
    /// Whether it could do anything.
    fn act(
        &mut self,
        server: SocketAddrV4,
        config: &Arc<ClientConfig>,
        now: Instant,
        tally: &mut Tally,
    ) -> bool {
        let Some((sealed, since)) = &mut self.line else {
            tally.dials += 1;
            let dialled = Sealed::dial(self.source, server, config).and_then(|mut sealed| {
                if self.habit == Habit::AsksOnce {
                    sealed.ask()?;
                }
                Ok(sealed)
            });
            match dialled {
                Ok(sealed) => self.line = Some((sealed, now)),
                Err(_) => tally.failed += 1,
            }
            return true;
        };
        let is_late = self.habit != Habit::Stays && now.duration_since(*since) > HEARS_WITHIN;
        match go_on(sealed, self.habit) {
            Ok(Came::Nowhere) if !is_late => return false,
            Ok(Came::Further) if !is_late => return true,
            Ok(Came::There) if self.habit == Habit::AsksOnce => tally.asked += 1,
            Ok(Came::There) => tally.left += 1,
            Ok(Came::Nowhere | Came::Further) => tally.failed += 1,
            Err(_) => tally.thrown_out += 1,
        }
        self.line = None;
        true
    }
}

fn go_on(sealed: &mut Sealed, habit: Habit) -> io::Result<Came> {
    if habit == Habit::AsksOnce {
        let went = sealed.go_on()?;
        return Ok(match (sealed.answer()?, went) {
            (true, _) => Came::There,
            (false, true) => Came::Further,
            (false, false) => Came::Nowhere,
        });
    }
    let came = if sealed.session.wants_write() {
        sealed.session.write_tls(&mut sealed.stream).map(|_| Came::Further)
    } else {
        match sealed.stream.peek(&mut [0]) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            // It has signed. Who stays lets its bytes lie.
            Ok(_) if habit == Habit::Leaves => Ok(Came::There),
            Ok(_) => Ok(Came::Nowhere),
            Err(error) => Err(error),
        }
    };
    came.or_else(|error| if not_now(&error) { Ok(Came::Nowhere) } else { Err(error) })
}

/// What honest visitors met with.
#[derive(Clone, Copy, Debug, Default)]
struct Met {
    answered: u64,
    lost: u64,
    slowest: Duration,
}

struct Honest {
    source: Ipv4Addr,
    /// Its connection is kept, and it asks there again and again; others make a handshake for each question.
    stays: bool,
    line: Option<Sealed>,
    asked: Option<Instant>,
    next: Instant,
    met: Met,
}

/// So many honest visitors, for so long. If they stay, each keeps its connection and asks there again and again, and it is said when all have
/// one. Who is not answered in time dials again.
pub(crate) fn visit(
    server: SocketAddrV4,
    visitors: u32,
    stays: bool,
    span: Duration,
    in_time: Duration,
) -> Result<()> {
    let (config, began) = (config()?, Instant::now());
    let first = if stays { FIRST_TO_STAY } else { FIRST_HONEST };
    let visitor = |number| Honest {
        source: source(first, number),
        stays,
        line: None,
        asked: None,
        next: began,
        met: Met::default(),
    };
    let mut all: Vec<Honest> = (0..visitors).map(visitor).collect();
    let mut strangers = visitors;
    for_so_long(span, &mut all, |visitor, now| {
        let before = visitor.met.answered;
        let went = visitor.act(server, &config, now, in_time);
        if before == 0 && visitor.met.answered > 0 {
            strangers -= 1;
            if strangers == 0 {
                println!("{{\"all_were_answered\":true}}");
            }
        }
        went
    })?;
    let met = all.iter().fold(Met::default(), |all, Honest { met, .. }| Met {
        answered: all.answered + met.answered,
        lost: all.lost + met.lost,
        slowest: all.slowest.max(met.slowest),
    });
    println!(
        "{{\"seconds\":{:.3},\"answered\":{},\"lost\":{},\"slowest\":{:.3},\"never_answered\":{strangers}}}",
        began.elapsed().as_secs_f64(),
        met.answered,
        met.lost,
        met.slowest.as_secs_f64(),
    );
    Ok(())
}

impl Honest {
    fn act(
        &mut self,
        server: SocketAddrV4,
        config: &Arc<ClientConfig>,
        now: Instant,
        in_time: Duration,
    ) -> bool {
        let Some(asked) = self.asked else {
            if now < self.next {
                return false;
            }
            let dialled = match self.line.take() {
                Some(line) => Ok(line),
                None => Sealed::dial(self.source, server, config),
            };
            if let Ok(mut line) = dialled
                && line.ask().is_ok()
            {
                (self.line, self.asked) = (Some(line), Some(now));
            }
            return true;
        };
        let Some(line) = &mut self.line else { return false };
        let came = go_on(line, Habit::AsksOnce);
        let waited = now.duration_since(asked);
        match came {
            Ok(Came::There) => {
                self.met.answered += 1;
                self.met.slowest = self.met.slowest.max(waited);
                if !self.stays {
                    self.line = None;
                }
            }
            Ok(Came::Nowhere | Came::Further) if waited <= in_time => {
                return came.is_ok_and(|came| came == Came::Further);
            }
            Ok(_) | Err(_) => {
                self.met.lost += 1;
                self.line = None;
            }
        }
        (self.asked, self.next) = (None, now + ASKS_EVERY);
        true
    }
}

/// Gives each a turn after the other.
fn for_so_long<T>(span: Duration, all: &mut [T], mut act: impl FnMut(&mut T, Instant) -> bool) -> Result<()> {
    os::limits::raise_open_files();
    let (began, mut poll) = (Instant::now(), Poll::new()?);
    let mut events = Events::with_capacity(1);
    while began.elapsed() < span {
        let mut busy = false;
        for one in &mut *all {
            let now = Instant::now();
            if now.duration_since(began) >= span {
                break;
            }
            busy |= act(one, now);
        }
        if !busy {
            poll.poll(&mut events, Some(PAUSE))?;
        }
    }
    Ok(())
}

fn source(first: Ipv4Addr, number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(first.to_bits() + (number << 8))
}

fn config() -> Result<Arc<ClientConfig>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config =
        config.dangerous().with_custom_certificate_verifier(Arc::new(Anybody)).with_no_client_auth();
    // Who resumes costs no signature.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// Believes whoever is there.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
