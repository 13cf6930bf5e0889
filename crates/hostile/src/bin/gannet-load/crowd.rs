//! The population over UDP: one socket that speaks for all of its addresses, and a window of questions under way.
//!
//! Each slot of the window is one client at a time: it connects, announces with the id that it got, hears, and the next one takes its
//! place. Or, in an open loop, questions leave at a given rate whatever comes back, connects and announces in turn. Invariant: a
//! datagram counts only if it answers what its slot is waiting for, and comes from the server. BEP: 15

use crate::judge::{Answer, Judge};
use crate::population::{Peer, Population, mix};
use anyhow::{Context, Result, ensure};
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};
use os::datagrams::{EXCHANGE_MAX, Exchange};
use os::many_sources::Outbox;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longest answer that is taken: what a frame of Ethernet holds.
const ANSWER_MAX: usize = 1500;
const ANNOUNCE_LEN: usize = 98;
/// Answers that may wait for us: the window's, with what the kernel adds to each, many times over.
const RECEIVE_BUFFER: usize = 4 << 20;
/// Ids are good for two minutes by BEP 15, and are replaced when they are so old.
const ID_USED: Duration = Duration::from_secs(45);
/// How often slots are looked at whose answer does not come.
const LOOK_AROUND: Duration = Duration::from_millis(100);
/// Of a transaction's number so many bits say which slot; the others, which turn of it.
const SLOT_BITS: u32 = 20;
/// Batches heard in a row.
const HEARINGS_MAX: usize = 32;
/// Questions of an open loop sent in a row, and the part of a second by which it may be behind.
const BURST_MAX: u64 = 256;
const BEHIND_MAX: u64 = 4;
/// Slots of an open loop: as many as are asked in some seconds.
const OPEN_SLOTS: usize = 1 << SLOT_BITS;

/// What is asked, and how.
#[derive(Clone, Debug)]
pub(crate) struct Manner {
    pub(crate) server: SocketAddrV4,
    /// Peers asked for in an announce.
    pub(crate) want: u32,
    /// Announces with ids that are kept, instead of a connect before each.
    pub(crate) announce_only: bool,
    /// Questions under way.
    pub(crate) window: usize,
    /// Questions a second, in an open loop.
    pub(crate) rate: Option<u32>,
    /// Later than this an answer is lost.
    pub(crate) in_time: Duration,
    /// The server has no table: it is told how long its answers would be, and they are not looked at.
    pub(crate) echo: bool,
    /// Each announce names a torrent that nobody has named before, and its answer is not looked at: a flood (E8).
    pub(crate) random_hashes: bool,
}

/// What was asked and answered so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) asked: u64,
    pub(crate) connects: u64,
    pub(crate) announces: u64,
    /// Connections of TCP.
    pub(crate) dials: u64,
    pub(crate) lost: u64,
    pub(crate) refused: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
}

/// One question under way.
#[derive(Clone, Copy, Debug)]
struct Slot {
    asker: Peer,
    want: u32,
    serial: u16,
    waits: Waits,
    since: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Waits {
    No,
    ForId,
    ForPeers,
}

/// Whose turn is next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Next {
    /// All once, as they are put into an empty tracker.
    Turn(u32),
    Anybody,
}

/// All clients.
pub(crate) struct Crowd {
    population: Arc<Population>,
    manner: Manner,
    pub(crate) judge: Judge,
    pub(crate) tally: Tally,
    socket: UdpSocket,
    poll: Poll,
    inbox: Exchange,
    outbox: Outbox,
    slots: Vec<Slot>,
    /// The last id of each source.
    ids: Vec<Option<(u64, Instant)>>,
    next: Next,
    chance: u64,
    now: Instant,
}

impl Crowd {
    /// Nobody has asked yet.
    pub(crate) fn new(population: Arc<Population>, manner: Manner, strict: bool, seed: u64) -> Result<Crowd> {
        let mut socket = UdpSocket::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))?;
        let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER);
        let poll = Poll::new()?;
        poll.registry().register(&mut socket, Token(0), Interest::READABLE)?;
        let now = Instant::now();
        let nobody = Slot { asker: population.peer(0), want: 0, serial: 0, waits: Waits::No, since: now };
        let slots = if manner.rate.is_some() { OPEN_SLOTS } else { manner.window.clamp(1, OPEN_SLOTS) };
        Ok(Crowd {
            judge: Judge::new(Arc::clone(&population), strict),
            tally: Tally::default(),
            socket,
            poll,
            inbox: Exchange::new(ANSWER_MAX, 0),
            outbox: Outbox::new(ANNOUNCE_LEN),
            slots: vec![nobody; slots],
            ids: vec![None; population.sources() as usize],
            next: Next::Anybody,
            chance: mix(seed),
            now,
            population,
            manner,
        })
    }

    /// Announces everybody once, asking for nobody, and again whoever was not answered. Gives up when nothing is answered for long.
    pub(crate) fn fill(&mut self) -> Result<()> {
        let (want, announce_only) = (self.manner.want, self.manner.announce_only);
        (self.manner.want, self.manner.announce_only) = (0, true);
        self.next = Next::Turn(0);
        let window = self.manner.window.min(self.slots.len());
        (0..window).for_each(|slot| self.begin(slot));
        let mut look = Look::new(self.now);
        let mut heard = (0, self.now);
        while self.slots.iter().any(|slot| slot.waits != Waits::No) {
            self.turn(Duration::from_millis(20))?;
            if self.tally.announces != heard.0 {
                heard = (self.tally.announces, self.now);
            }
            ensure!(self.now - heard.1 < Duration::from_secs(10), "{} does not answer", self.manner.server);
            if look.is_due(self.now) {
                self.give_up_late();
            }
        }
        (self.manner.want, self.manner.announce_only) = (want, announce_only);
        self.next = Next::Anybody;
        Ok(())
    }

    /// Asks for so long, and lets `look` see what was done at any moment.
    pub(crate) fn ask(&mut self, span: Duration) -> Result<()> {
        self.now = Instant::now();
        let began = self.now;
        let mut look = Look::new(began);
        let mut sent = 0u64;
        if self.manner.rate.is_none() {
            for slot in 0..self.slots.len() {
                if self.slots[slot].waits == Waits::No {
                    self.begin(slot);
                }
            }
        }
        while self.now - began < span {
            if let Some(rate) = self.manner.rate {
                let due = (f64::from(rate) * (self.now - began).as_secs_f64()) as u64;
                // What a processor that is not ours for a while cannot send then is never sent: a burst would be another test.
                sent = sent.max(due.saturating_sub(u64::from(rate) / BEHIND_MAX));
                for _ in 0..due.saturating_sub(sent).min(BURST_MAX) {
                    self.ask_in_open_loop(sent);
                    sent += 1;
                }
            }
            self.turn(Duration::from_millis(if self.manner.rate.is_some() { 1 } else { 20 }))?;
            if look.is_due(self.now) {
                self.give_up_late();
            }
        }
        Ok(())
    }

    /// Hears what has come, sends what is to be said, waits if neither is the case.
    fn turn(&mut self, patience: Duration) -> Result<()> {
        // Answers first, all of them: a server is not to wait for who asks it.
        let mut heard = 0;
        for _ in 0..HEARINGS_MAX {
            let came = self.hear_batch()?;
            heard += came;
            if came < EXCHANGE_MAX {
                break;
            }
        }
        self.flush();
        if heard == 0 {
            let mut events = Events::with_capacity(4);
            match self.poll.poll(&mut events, Some(patience)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                polled => polled?,
            }
            self.now = Instant::now();
        }
        Ok(())
    }

    /// One batch; how many came.
    fn hear_batch(&mut self) -> Result<usize> {
        let heard = match self.inbox.receive(&self.socket) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) if error.kind() == ErrorKind::Interrupted => 0,
            Err(error) => return Err(error).context("receive"),
        };
        self.now = Instant::now();
        for number in 0..heard {
            self.hear(number);
        }
        Ok(heard)
    }

    fn hear(&mut self, number: usize) {
        let Some((from, bytes, _)) = self.inbox.question(number) else {
            self.judge.blame("an answer longer than a frame");
            return;
        };
        let (Some(action), Some(transaction)) = (word(bytes, 0), word(bytes, 4)) else { return };
        let at = (transaction & (OPEN_SLOTS as u32 - 1)) as usize;
        let Some(slot) = self.slots.get_mut(at) else { return };
        if from != SocketAddr::V4(self.manner.server) || slot.serial != (transaction >> SLOT_BITS) as u16 {
            return;
        }
        self.tally.bytes_in += bytes.len() as u64;
        match (slot.waits, action) {
            (Waits::ForId, 0) if bytes.len() >= 16 => {
                self.tally.connects += 1;
                slot.waits = Waits::No;
                let id =
                    u64::from(word(bytes, 8).unwrap_or(0)) << 32 | u64::from(word(bytes, 12).unwrap_or(0));
                let asker = slot.asker;
                self.ids[asker.source as usize] = Some((id, self.now));
                if self.manner.rate.is_none() {
                    self.announce(at, asker, id);
                }
            }
            (Waits::ForPeers, 1) if bytes.len() >= 20 => {
                self.tally.announces += 1;
                slot.waits = Waits::No;
                let (leechers, seeders) = (word(bytes, 12).unwrap_or(0), word(bytes, 16).unwrap_or(0));
                if !self.manner.echo && !self.manner.random_hashes {
                    self.judge.look(slot.asker, slot.want, Answer { seeders, leechers, peers: &bytes[20..] });
                }
                if self.manner.rate.is_none() {
                    self.begin(at);
                }
            }
            (Waits::No, _) => {}
            (Waits::ForId | Waits::ForPeers, _) => {
                // An error, most of all for an id that is too old: the next one connects.
                self.tally.refused += 1;
                slot.waits = Waits::No;
                let (asker, text) = (slot.asker, String::from_utf8_lossy(&bytes[8..]).into_owned());
                self.ids[asker.source as usize] = None;
                self.judge.blame(&format!("action {action} for peer {}: {text:?}", asker.number));
                if self.manner.rate.is_none() {
                    self.begin(at);
                }
            }
        }
    }

    /// The next client takes a slot.
    fn begin(&mut self, slot: usize) {
        if let Some(number) = self.choose() {
            self.approach(slot, self.population.peer(number));
        }
    }

    fn choose(&mut self) -> Option<u32> {
        let Next::Turn(turn) = &mut self.next else {
            self.chance = self.chance.wrapping_add(1);
            return Some(self.population.anybody(mix(self.chance)));
        };
        while *turn < self.population.turns() {
            *turn += 1;
            if let Some(number) = self.population.in_turn(*turn - 1) {
                return Some(number);
            }
        }
        None
    }

    /// A client asks for what it needs first.
    fn approach(&mut self, slot: usize, asker: Peer) {
        match self.ids[asker.source as usize] {
            Some((id, got)) if self.manner.announce_only && self.now - got < ID_USED => {
                self.announce(slot, asker, id);
            }
            _ => self.connect(slot, asker),
        }
    }

    fn ask_in_open_loop(&mut self, number: u64) {
        let slot = (number % OPEN_SLOTS as u64) as usize;
        if self.slots[slot].waits != Waits::No {
            self.tally.lost += 1;
        }
        let Some(asker) = self.choose() else { return };
        let asker = self.population.peer(asker);
        match self.ids[asker.source as usize] {
            Some((id, _)) if self.manner.announce_only || number % 2 == 1 => self.announce(slot, asker, id),
            _ => self.connect(slot, asker),
        }
    }

    fn connect(&mut self, at: usize, asker: Peer) {
        let transaction = self.wait(at, asker, Waits::ForId);
        self.push(asker, |place| {
            place[..8].copy_from_slice(&wire::tracker_udp::PROTOCOL_ID.to_be_bytes());
            place[8..12].fill(0);
            place[12..16].copy_from_slice(&transaction.to_be_bytes());
            16
        });
    }

    fn announce(&mut self, at: usize, asker: Peer, id: u64) {
        let transaction = self.wait(at, asker, Waits::ForPeers);
        let filling = self.next != Next::Anybody;
        let mut want = self.manner.want;
        if self.manner.echo {
            let (_, leechers) = self.population.counts(asker.torrent);
            let others = self.population.members(asker.torrent).len() as u32 - 1;
            want = want.min(if asker.is_seed { leechers } else { others });
        }
        self.slots[at].want = want;
        let mut info_hash = self.population.info_hash(asker.torrent);
        if self.manner.random_hashes {
            info_hash[..8].copy_from_slice(&mix(self.chance ^ 0xf100d).to_be_bytes());
        }
        self.push(asker, |place| {
            place[..8].copy_from_slice(&id.to_be_bytes());
            place[8..12].copy_from_slice(&1u32.to_be_bytes());
            place[12..16].copy_from_slice(&transaction.to_be_bytes());
            place[16..36].copy_from_slice(&info_hash);
            place[36..44].copy_from_slice(b"-GL0001-");
            place[44..56].fill(b'0');
            place[52..56].copy_from_slice(&asker.number.to_be_bytes());
            // Downloaded, left, uploaded.
            place[56..80].fill(0);
            place[70] = u8::from(!asker.is_seed);
            place[80..84].copy_from_slice(&(if filling { 2u32 } else { 0 }).to_be_bytes());
            place[84..88].fill(0);
            place[88..92].copy_from_slice(&asker.number.to_be_bytes());
            place[92..96].copy_from_slice(&want.to_be_bytes());
            place[96..98].copy_from_slice(&asker.port.to_be_bytes());
            ANNOUNCE_LEN
        });
    }

    /// A slot waits for this; returns the transaction's number.
    fn wait(&mut self, at: usize, asker: Peer, waits: Waits) -> u32 {
        let serial = (self.slots[at].serial + 1) & ((1 << (32 - SLOT_BITS)) - 1);
        self.slots[at] = Slot { asker, want: 0, serial, waits, since: self.now };
        u32::from(serial) << SLOT_BITS | at as u32
    }

    fn push(&mut self, asker: Peer, write: impl FnOnce(&mut [u8]) -> usize) {
        if self.outbox.is_full() {
            self.flush();
        }
        let source = self.population.source(asker.source);
        let tally = &mut self.tally;
        self.outbox.push(Some(source), self.manner.server, |place| {
            let len = write(place);
            tally.asked += 1;
            tally.bytes_out += len as u64;
            len
        });
    }

    fn flush(&mut self) {
        // What the kernel does not take is lost, as on any wire, and found missing.
        let _ = self.outbox.send(&self.socket);
    }

    /// Slots whose answer is late ask anew: the same client when filling, for all are to be there.
    fn give_up_late(&mut self) {
        let filling = self.next != Next::Anybody;
        for at in 0..self.slots.len() {
            let slot = &mut self.slots[at];
            if slot.waits == Waits::No || self.now - slot.since < self.manner.in_time {
                continue;
            }
            slot.waits = Waits::No;
            self.tally.lost += 1;
            let asker = slot.asker;
            self.ids[asker.source as usize] = None;
            if filling {
                self.approach(at, asker);
            } else if self.manner.rate.is_none() {
                self.begin(at);
            }
        }
        self.flush();
    }
}

/// Something to be done every now and then.
struct Look {
    next: Instant,
}

impl Look {
    fn new(now: Instant) -> Look {
        Look { next: now + LOOK_AROUND }
    }

    fn is_due(&mut self, now: Instant) -> bool {
        let due = now >= self.next;
        if due {
            self.next = now + LOOK_AROUND;
        }
        due
    }
}

/// The big-endian number at an offset.
fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}
