//! Strangers who try to be answered without having shown where they are: forged connection ids, and everything else that is sent
//! before one is known.
//!
//! Every batch ends with an honest connect, whose answer shows that everything before it was read, for a socket's queue keeps its
//! order and a batch fits into any. What comes in between was answered and should not have been. Threats: E5, E6. BEP: 15

use crate::population::mix;
use anyhow::{Context, Result, ensure};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};
use wire::tracker_udp::PROTOCOL_ID;

/// Datagrams between two fences: together less than a socket's usual buffer.
const BATCH: u64 = 32;
/// How long the answer to a fence is waited for, and how often it is sent anew.
const PATIENCE: Duration = Duration::from_secs(1);
const TRIES: u32 = 5;
/// Marks the fences' transactions.
const FENCE: u32 = 0xfe9c_0000;
const ANNOUNCE_LEN: usize = 98;

/// Somebody at an address, and what was sent and heard.
struct Stranger {
    socket: UdpSocket,
    server: SocketAddrV4,
    fences: u32,
    sent: u64,
    bytes_out: u64,
    answers: u64,
    bytes_in: u64,
    /// The fences' own, which are a connect each.
    fence_bytes: [u64; 2],
}

/// Tries so many ids; prints what came of it. An error if anything was answered that should not, or more bytes came than went.
pub(crate) fn run(server: SocketAddrV4, count: u64, seed: u64) -> Result<()> {
    let mut honest = Stranger::new(Ipv4Addr::new(127, 60, 0, 1), server)?;
    let mut forger = Stranger::new(Ipv4Addr::new(127, 61, 0, 1), server)?;
    let id = honest.id()?;
    let began = Instant::now();
    for turn in 0..count {
        // Near misses too: an id of somebody else as it is, and with each bit turned; those of nobody; the greatest and the least.
        let guess = match turn {
            0 => id,
            1..=64 => id ^ (1 << (turn - 1)),
            65 => 0,
            66 => u64::MAX,
            67 => PROTOCOL_ID,
            _ => mix(seed ^ turn << 16),
        };
        // One scrape among so many announces.
        if turn % 8 == 7 {
            forger.send(&scrape(guess, turn))?;
        } else {
            forger.send(&announce(guess, turn))?;
        }
        if turn % BATCH == BATCH - 1 {
            forger.fence()?;
        }
    }
    forger.fence()?;
    let seconds = began.elapsed().as_secs_f64();
    let forged = forger.answers;
    let oddities = oddities(&mut forger)?;
    // And all of this has not spoilt anything for who was there before.
    let still = honest.announce_is_answered(id)?;
    println!(
        "{{\"forged\":{count},\"answered\":{forged},\"seconds\":{seconds:.2},\"oddities\":{oddities},\"oddities_answered\":{},\
         \"bytes_sent\":{},\"bytes_received\":{},\"connect_bytes_sent\":{},\"connect_bytes_received\":{},\"honest_answered\":{still}}}",
        forger.answers - forged,
        forger.bytes_out,
        forger.bytes_in,
        forger.fence_bytes[0],
        forger.fence_bytes[1],
    );
    ensure!(forged == 0, "{forged} of {count} forged ids were answered");
    ensure!(forger.bytes_in <= forger.bytes_out, "more bytes came than went");
    ensure!(
        forger.fence_bytes[1] <= forger.fence_bytes[0],
        "a connect is answered with more bytes than it has"
    );
    ensure!(still, "who had an id before is not answered any more");
    Ok(())
}

/// Datagrams of every length and action that show no id; says how many. What is answered may be a connect alone, byte for byte no more.
fn oddities(stranger: &mut Stranger) -> Result<u64> {
    let before = stranger.sent;
    for len in (0..200usize).chain((200..1473).step_by(67)) {
        for action in [0u32, 1, 2, 3, 4, u32::MAX] {
            for id in [0, PROTOCOL_ID, mix(len as u64)] {
                let mut bytes = vec![0u8; len.max(16)];
                bytes[..8].copy_from_slice(&id.to_be_bytes());
                bytes[8..12].copy_from_slice(&action.to_be_bytes());
                bytes.truncate(len);
                let (answers, bytes_in) = (stranger.answers, stranger.bytes_in);
                stranger.send(&bytes)?;
                stranger.fence()?;
                let came = stranger.bytes_in - bytes_in;
                ensure!(came <= len as u64, "{came} bytes in answer to {len} with action {action}");
                ensure!(stranger.answers - answers <= 1, "several answers to one datagram");
            }
        }
    }
    Ok(stranger.sent - before)
}

impl Stranger {
    fn new(ip: Ipv4Addr, server: SocketAddrV4) -> Result<Stranger> {
        let socket = UdpSocket::bind((ip, 0)).with_context(|| ip.to_string())?;
        socket.connect(server)?;
        Ok(Stranger {
            socket,
            server,
            fences: 0,
            sent: 0,
            bytes_out: 0,
            answers: 0,
            bytes_in: 0,
            fence_bytes: [0; 2],
        })
    }

    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.socket.send(bytes)?;
        self.sent += 1;
        self.bytes_out += bytes.len() as u64;
        Ok(())
    }

    /// Connects, and hears everything that comes until that is answered; the id in the answer.
    fn fence(&mut self) -> Result<u64> {
        let mut buffer = [0; 2048];
        self.fences += 1;
        let transaction = FENCE | (self.fences & 0xffff);
        for _ in 0..TRIES {
            self.socket.send(&connect(transaction))?;
            self.fence_bytes[0] += 16;
            let end = Instant::now() + PATIENCE;
            while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
                self.socket.set_read_timeout(Some(left))?;
                let len = match self.socket.recv(&mut buffer) {
                    Ok(len) => len,
                    Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                        break;
                    }
                    // As the kernel tells of a server that is not there (yet).
                    Err(error) if error.kind() == ErrorKind::ConnectionRefused => break,
                    Err(error) => return Err(error.into()),
                };
                let number =
                    buffer.get(4..8).map(|bytes| u32::from_be_bytes(bytes.try_into().unwrap_or_default()));
                match number {
                    Some(number) if len >= 8 && number == transaction => {
                        self.fence_bytes[1] += len as u64;
                        return Ok(u64::from_be_bytes(buffer[8..16].try_into().unwrap_or_default()));
                    }
                    // An earlier fence's, which was sent twice.
                    Some(number) if len >= 8 && number & 0xffff_0000 == FENCE => {}
                    _ => {
                        self.answers += 1;
                        self.bytes_in += len as u64;
                    }
                }
            }
        }
        anyhow::bail!("{} does not answer a connect", self.server)
    }

    fn id(&mut self) -> Result<u64> {
        self.fence()
    }

    /// Whether an announce with this id is answered.
    fn announce_is_answered(&mut self, id: u64) -> Result<bool> {
        let before = self.answers;
        self.send(&announce(id, 1))?;
        self.fence()?;
        Ok(self.answers > before)
    }
}

fn connect(transaction: u32) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&PROTOCOL_ID.to_be_bytes());
    bytes[12..].copy_from_slice(&transaction.to_be_bytes());
    bytes
}

fn announce(id: u64, turn: u64) -> [u8; ANNOUNCE_LEN] {
    let mut bytes = [0; ANNOUNCE_LEN];
    bytes[..8].copy_from_slice(&id.to_be_bytes());
    bytes[11] = 1;
    bytes[12..16].copy_from_slice(&(turn as u32 & 0x7fff_ffff).to_be_bytes());
    bytes[16..24].copy_from_slice(&mix(turn).to_be_bytes());
    bytes[92..96].copy_from_slice(&50u32.to_be_bytes());
    bytes[96..98].copy_from_slice(&6881u16.to_be_bytes());
    bytes
}

fn scrape(id: u64, turn: u64) -> [u8; 36] {
    let mut bytes = [0; 36];
    bytes[..8].copy_from_slice(&id.to_be_bytes());
    bytes[11] = 2;
    bytes[12..16].copy_from_slice(&(turn as u32 & 0x7fff_ffff).to_be_bytes());
    bytes[16..24].copy_from_slice(&mix(turn).to_be_bytes());
    bytes
}
