//! Browsers at a tracker, over WebSocket: pairs of honest ones that pass an offer and its answer to and fro and see each arrive; and those
//! who mean ill: a crowd that makes offers without end, frames that claim everything and end nowhere, ears that hear nothing, and one
//! who is in more swarms than there are.
//!
//! One thread and one loop, each browser from an address of its own. Says what it did at the end. Threat: C13

use anyhow::{Context, Result, bail, ensure};
use mio::{Events, Poll};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::time::{Duration, Instant};
use wire::announce::AnnounceEvent;
use wire::tracker_ws::{Announce, Answer, MESSAGE_LEN_MAX, OFFERS_MAX, Offer, OfferId, Request, SDP_LEN_MAX};
use wire::{InfoHash, PeerId};

/// Where the honest come from, and where the others do.
const FIRST_HONEST: Ipv4Addr = Ipv4Addr::new(127, 64, 0, 1);
const FIRST_OTHER: Ipv4Addr = Ipv4Addr::new(127, 96, 0, 1);
/// A pause when nobody could do anything.
const PAUSE: Duration = Duration::from_millis(2);
/// How often a pair begins anew: less often than a tracker lets a browser speak.
const ROUND: Duration = Duration::from_millis(400);
/// What is read at once, and kept of what was not understood yet.
const READ_LEN: usize = 64 * 1024;
const KEPT_MAX: usize = 1 << 20;
/// The crowd's own swarm.
const CROWDED: InfoHash = InfoHash([b'c'; 20]);

/// How they mean ill.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// As many and as long offers as a message holds, one message after the other; they read what comes.
    Offers,
    /// Messages that claim to be enormous, or are made of parts without end.
    Frames,
    /// Announces, many a second, and nothing is read: neither answers nor the others' offers.
    Deaf,
    /// One torrent after the other is announced, each a new one.
    Swarms,
}

impl Kind {
    /// By its name on the command line.
    pub(crate) fn named(name: &str) -> Result<Kind> {
        Ok(match name {
            "offers" => Kind::Offers,
            "frames" => Kind::Frames,
            "deaf" => Kind::Deaf,
            "swarms" => Kind::Swarms,
            other => bail!("--kind {other}: offers, frames, deaf or swarms"),
        })
    }
}

/// A connection that speaks WebSocket, or is about to.
struct Link {
    stream: TcpStream,
    out: Vec<u8>,
    written: usize,
    came: Vec<u8>,
    agreed: bool,
}

/// What became of reading.
enum Heard {
    Text(String),
    Nothing,
    Gone,
}

impl Link {
    fn dial(source: Ipv4Addr, server: SocketAddrV4) -> Result<Link> {
        let out = format!(
            "GET /announce HTTP/1.1\r\nHost: {server}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        let stream = crate::flood::dial(source, server)?;
        Ok(Link { stream, out: out.into_bytes(), written: 0, came: Vec::new(), agreed: false })
    }

    fn say(&mut self, request: &Request) {
        put_frame(0x81, request.encode().as_bytes(), &mut self.out);
    }

    /// Writes what it can. Whether everything is said; nothing if the connection is over.
    fn write(&mut self) -> Option<bool> {
        while self.written < self.out.len() {
            match self.stream.write(&self.out[self.written..]) {
                Ok(0) => return None,
                Ok(len) => self.written += len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Some(false),
                Err(_) => return None,
            }
        }
        self.out.clear();
        self.written = 0;
        Some(true)
    }

    /// Reads as far as the next message.
    fn hear(&mut self) -> Heard {
        loop {
            if let Some(text) = self.take() {
                return Heard::Text(text);
            }
            let before = self.came.len();
            if before >= KEPT_MAX {
                return Heard::Gone;
            }
            self.came.resize(before + READ_LEN, 0);
            let read = self.stream.read(&mut self.came[before..]);
            self.came.truncate(before + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) => return Heard::Gone,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Heard::Nothing,
                Err(_) => return Heard::Gone,
            }
        }
    }

    /// A whole text in what has come. Servers' frames bear no mask, and ours answers texts in one frame each.
    fn take(&mut self) -> Option<String> {
        if !self.agreed {
            let end = self.came.windows(4).position(|window| window == b"\r\n\r\n")?;
            self.agreed = self.came.starts_with(b"HTTP/1.1 101 ");
            self.came.drain(..end + 4);
        }
        loop {
            let [first, second, ..] = *self.came.first_chunk::<2>()?;
            let (head, len) = match second & 0x7f {
                126 => (4, usize::from(u16::from_be_bytes([*self.came.get(2)?, *self.came.get(3)?]))),
                127 => (10, usize::try_from(u64::from_be_bytes(*self.came.get(2..)?.first_chunk()?)).ok()?),
                len => (2, usize::from(len)),
            };
            let body = self.came.get(head..usize::checked_add(head, len)?)?.to_vec();
            self.came.drain(..head + len);
            match first & 0xf {
                1 => return String::from_utf8(body).ok(),
                9 => put_frame(0x8a, &body, &mut self.out),
                _ => {}
            }
        }
    }
}

/// A client's frame; its mask is 0, which changes nothing.
fn put_frame(first: u8, body: &[u8], out: &mut Vec<u8>) {
    put_head(first, body.len() as u64, out);
    out.extend_from_slice(body);
}

fn put_head(first: u8, len: u64, out: &mut Vec<u8>) {
    out.push(first);
    match len {
        0..126 => out.push(0x80 | len as u8),
        126..0x1_0000 => {
            out.push(0x80 | 126);
            out.extend((len as u16).to_be_bytes());
        }
        _ => {
            out.push(0x80 | 127);
            out.extend(len.to_be_bytes());
        }
    }
    out.extend([0; 4]);
}

/// Twenty letters that say a number, behind one that says of what.
fn letters(what: char, number: u64) -> [u8; 20] {
    let mut letters = [b'0'; 20];
    letters.copy_from_slice(format!("{what}{number:019}").as_bytes());
    letters
}

fn announce(info_hash: InfoHash, peer: u64, left: u64, offers: Vec<Offer>) -> Request {
    let (peer_id, event) = (PeerId(letters('p', peer)), AnnounceEvent::None);
    Request::Announce(Announce { info_hash, peer_id, left: Some(left), event, offers })
}

/// Two who meet again and again in a swarm of their own: one makes an offer, the other answers it.
struct Pair {
    number: u64,
    links: [Link; 2],
    round: u64,
    /// When it began, while it is under way.
    began: Option<Instant>,
    next: Instant,
}

/// How the honest fared.
#[derive(Clone, Copy, Debug, Default)]
struct Fared {
    rounds: u64,
    met: u64,
    lost: u64,
    broken: u64,
    slowest: Duration,
}

/// Honest pairs for so long.
pub(crate) fn meet(server: SocketAddrV4, pairs: u32, span: Duration, in_time: Duration) -> Result<()> {
    os::limits::raise_open_files();
    let began = Instant::now();
    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(1));
    let start = |number: u32| -> Result<Pair> {
        let at = |one: u32| Ipv4Addr::from_bits(FIRST_HONEST.to_bits() + ((2 * number + one) << 8));
        let mut links = [Link::dial(at(0), server)?, Link::dial(at(1), server)?];
        let number = u64::from(number);
        links[0].say(&announce(InfoHash(letters('s', number)), 2 * number, 5, Vec::new()));
        // In turn, or all would speak at the same moment.
        let next = began + ROUND + ROUND.mul_f64(number as f64 / f64::from(pairs));
        Ok(Pair { number, links, round: 0, began: None, next })
    };
    let mut all = (0..pairs).map(start).collect::<Result<Vec<_>>>().context("honest browsers")?;
    let mut fared = Fared::default();
    while began.elapsed() < span + in_time {
        let over = began.elapsed() >= span;
        if over && all.iter().all(|pair| pair.began.is_none()) {
            break;
        }
        let mut broken = Vec::new();
        for (at, pair) in all.iter_mut().enumerate() {
            if pair.act(Instant::now(), over, in_time, &mut fared).is_none() {
                broken.push(at);
            }
        }
        for at in broken.into_iter().rev() {
            all.swap_remove(at);
            fared.broken += 1;
        }
        poll.poll(&mut events, Some(PAUSE))?;
    }
    let Fared { rounds, met, lost, broken, slowest } = fared;
    println!(
        "{{\"rounds\":{rounds},\"met\":{met},\"lost\":{lost},\"broken\":{broken},\"slowest_seconds\":{:.3}}}",
        slowest.as_secs_f64()
    );
    ensure!(broken == 0, "{broken} honest browsers were thrown out");
    Ok(())
}

impl Pair {
    /// Goes on; nothing if a connection is over.
    fn act(&mut self, now: Instant, over: bool, in_time: Duration, fared: &mut Fared) -> Option<()> {
        let swarm = InfoHash(letters('s', self.number));
        let name = letters('o', self.number * 1_000_000 + self.round);
        let key = format!("\"offer_id\":\"{}\"", String::from_utf8_lossy(&name));
        let [waits, offers] = &mut self.links;
        while let Some(text) = waits.next_text()? {
            if text.contains(&key) && text.contains("\"offer\":{") {
                waits.say(&Request::Answer(Answer {
                    info_hash: swarm,
                    peer_id: PeerId(letters('p', 2 * self.number)),
                    to: PeerId(letters('p', 2 * self.number + 1)),
                    offer: OfferId(name),
                    sdp: "v=0".repeat(300).into(),
                }));
            }
        }
        let mut is_met = false;
        while let Some(text) = offers.next_text()? {
            is_met |= text.contains(&key) && text.contains("\"answer\":{");
        }
        match self.began {
            Some(began) if is_met => {
                fared.met += 1;
                fared.slowest = fared.slowest.max(now - began);
                (self.began, self.round) = (None, self.round + 1);
            }
            Some(began) if now - began >= in_time => {
                fared.lost += 1;
                (self.began, self.round) = (None, self.round + 1);
            }
            None if now >= self.next && !over && waits.agreed => {
                let offer = Offer { id: OfferId(name), sdp: "v=0".repeat(300).into() };
                offers.say(&announce(swarm, 2 * self.number + 1, 0, vec![offer]));
                fared.rounds += 1;
                (self.began, self.next) = (Some(now), now + ROUND);
            }
            _ => {}
        }
        waits.write().and(offers.write()).map(drop)
    }
}

impl Link {
    /// The next message, if there is one; nothing if the connection is over.
    fn next_text(&mut self) -> Option<Option<String>> {
        self.write()?;
        match self.hear() {
            Heard::Text(text) => Some(Some(text)),
            Heard::Nothing => Some(None),
            Heard::Gone => None,
        }
    }
}

/// What was done.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    dials: u64,
    failed: u64,
    said: u64,
    heard: u64,
    thrown_out: u64,
}

/// One who means ill.
struct Other {
    number: u32,
    link: Option<Link>,
    said: u64,
    next: Instant,
}

/// Goes on for so long.
pub(crate) fn flood(server: SocketAddrV4, kind: Kind, others: u32, span: Duration) -> Result<()> {
    os::limits::raise_open_files();
    let (began, mut tally) = (Instant::now(), Tally::default());
    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(1));
    let other = |number| Other { number, link: None, said: 0, next: began };
    let mut others: Vec<Other> = (0..others).map(other).collect();
    println!("{{\"flooding\":true}}");
    while began.elapsed() < span {
        let mut busy = false;
        for other in &mut others {
            let now = Instant::now();
            if now - began >= span {
                break;
            }
            busy |= other.act(server, kind, now, &mut tally);
        }
        if !busy {
            poll.poll(&mut events, Some(PAUSE))?;
        }
    }
    let held = others.iter().filter(|other| other.link.is_some()).count();
    let Tally { dials, failed, said, heard, thrown_out } = tally;
    println!(
        "{{\"dials\":{dials},\"failed\":{failed},\"messages\":{said},\"heard\":{heard},\"thrown_out\":{thrown_out},\
         \"held_at_the_end\":{held}}}"
    );
    Ok(())
}

impl Other {
    /// Says what it can; whether it could do anything.
    fn act(&mut self, server: SocketAddrV4, kind: Kind, now: Instant, tally: &mut Tally) -> bool {
        if now < self.next {
            return false;
        }
        let Some(link) = &mut self.link else {
            tally.dials += 1;
            let source = Ipv4Addr::from_bits(FIRST_OTHER.to_bits() + (self.number << 8));
            match Link::dial(source, server) {
                Ok(link) => self.link = Some(link),
                Err(_) => tally.failed += 1,
            }
            self.next = now + PAUSE;
            return true;
        };
        let mut gone = false;
        // Who is deaf hears that it was agreed with, and nothing behind it.
        if kind != Kind::Deaf || !link.agreed {
            loop {
                match link.hear() {
                    Heard::Text(_) => tally.heard += 1,
                    Heard::Nothing => break,
                    Heard::Gone => break gone = true,
                }
            }
        }
        let everything_said = link.write();
        if gone || everything_said.is_none() {
            tally.thrown_out += 1;
            self.link = None;
            return true;
        }
        if everything_said != Some(true) || !link.agreed {
            self.next = now + PAUSE;
            return false;
        }
        put_evil(kind, self.number, self.said, &mut link.out);
        self.said += 1;
        tally.said += 1;
        true
    }
}

/// The next thing that somebody says.
fn put_evil(kind: Kind, number: u32, said: u64, out: &mut Vec<u8>) {
    let peer = 1_000_000 + u64::from(number);
    match kind {
        Kind::Offers => {
            let sdp: Box<str> = "v=0".repeat(SDP_LEN_MAX / 3).into();
            let name = |at| OfferId(letters('e', said * OFFERS_MAX as u64 + at as u64));
            let offers = (0..OFFERS_MAX).map(|at| Offer { id: name(at), sdp: sdp.clone() }).collect();
            put_frame(0x81, announce(CROWDED, peer, 5, offers).encode().as_bytes(), out);
        }
        // A quarter claims more than anybody has, a quarter goes on in further parts, a quarter has empty parts without end, and a quarter is
        // always one byte short.
        Kind::Frames => match (number % 4, said) {
            (0, _) => put_head(0x81, 1 << 62, out),
            (1 | 2, 0) => put_frame(0x01, b" ", out),
            (1, _) => put_frame(0x00, &[b' '; 4096], out),
            (2, _) => (0..5_000).for_each(|_| put_frame(0x00, &[], out)),
            (_, 0) => {
                put_head(0x81, MESSAGE_LEN_MAX as u64, out);
                out.extend(std::iter::repeat_n(b' ', MESSAGE_LEN_MAX - 1));
            }
            _ => {}
        },
        Kind::Deaf => {
            let sdp: Box<str> = "v=0".repeat(1000).into();
            let name = |at: u64| OfferId(letters('d', said * 4 + at));
            let offers = (0..4).map(|at| Offer { id: name(at), sdp: sdp.clone() }).collect();
            put_frame(0x81, announce(CROWDED, peer, 5, offers).encode().as_bytes(), out);
        }
        Kind::Swarms => {
            let swarm = InfoHash(letters('w', u64::from(number) << 32 | said));
            put_frame(0x81, announce(swarm, peer, 5, Vec::new()).encode().as_bytes(), out);
        }
    }
}
