//! One browser's connection: messages in and out, how often it may speak, whether it is still there.

use super::Newcomer;
use super::allowance::Allowance;
use super::metered::Metered;
use mio::event::Event;
use mio::net::TcpStream;
use std::io::{ErrorKind, Write};
use std::net::IpAddr;
use std::time::{Duration, Instant};
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket};
use wire::tracker_ws::MESSAGE_LEN_MAX;

/// What waits for a browser to be read; with more it is cut off. Two dozen offers of a large kind.
pub(super) const OUTPUT_MAX: usize = 512 * 1024;

/// Bytes read at once.
const READ_LEN: usize = 4096;

/// Messages that may come together before it is asked to be slower: what a browser with many torrents says when it comes.
pub(super) const BURST: f64 = 200.0;

/// So many bytes that are read count as a further message: reading offers takes time by their length, and so does passing them on.
const BYTES_PER_MESSAGE: f64 = 4096.0;

/// Who has said nothing for so long is asked whether it is there.
const ASKED_AFTER: Duration = Duration::from_secs(50);

/// And is not, if it said nothing then.
const GONE_AFTER: Duration = Duration::from_secs(110);

/// A browser's connection.
pub(super) struct Link {
    socket: WebSocket<Metered>,
    ip: IpAddr,
    /// What is left of the answer to its request.
    answer: Vec<u8>,
    readable: bool,
    allowance: Allowance,
    held_back: bool,
    heard: Instant,
    asked: bool,
}

/// What became of a turn.
pub(super) enum Turn {
    /// It said this.
    Said(String),
    /// It has sent enough for this turn that is no word yet, and may have more.
    Continues,
    /// It says nothing now, or may not.
    Waits,
    /// It is gone.
    Over,
}

/// It cannot be spoken to any more.
#[derive(Debug)]
pub(super) struct Gone;

impl Link {
    /// One that may say so many messages at once.
    pub(super) fn new(newcomer: Newcomer, allowance: f64, now: Instant) -> Link {
        let Newcomer { stream, ip, came, answer } = newcomer;
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_LEN)
            .write_buffer_size(0)
            .max_write_buffer_size(OUTPUT_MAX)
            .max_message_size(Some(MESSAGE_LEN_MAX))
            .max_frame_size(Some(MESSAGE_LEN_MAX));
        let socket = WebSocket::from_partially_read(Metered::new(stream), came, Role::Server, Some(config));
        Link {
            socket,
            ip,
            answer,
            readable: true,
            allowance: Allowance::new(allowance, now),
            held_back: false,
            heard: now,
            asked: false,
        }
    }

    pub(super) fn socket_mut(&mut self) -> &mut TcpStream {
        self.socket.get_mut().stream_mut().socket_mut()
    }

    pub(super) fn ip(&self) -> IpAddr {
        self.ip
    }

    pub(super) fn set_ready(&mut self, event: &Event) {
        self.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
    }

    /// It has more to say than it may.
    pub(super) fn is_held_back(&self) -> bool {
        self.held_back
    }

    /// See [`Allowance::owes`].
    pub(super) fn owes(&self, now: Instant, messages_per_second: u32) -> f64 {
        self.allowance.owes(now, messages_per_second)
    }

    /// Writes what waits, and reads one message.
    pub(super) fn turn(&mut self, now: Instant, messages_per_second: u32) -> Turn {
        if self.write().is_err() {
            return Turn::Over;
        }
        if !self.answer.is_empty() || !self.readable {
            return Turn::Waits;
        }
        self.held_back = !self.allowance.refill(now, messages_per_second);
        if self.held_back {
            return Turn::Waits;
        }
        self.socket.get_mut().begin();
        let turn = self.read(now);
        self.allowance.spend(self.socket.get_ref().read_in_turn() as f64 / BYTES_PER_MESSAGE);
        turn
    }

    /// Reads one message, as far as it goes in this turn.
    fn read(&mut self, now: Instant) -> Turn {
        loop {
            let message = match self.socket.read() {
                Ok(message) => message,
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                    self.readable = false;
                    return Turn::Waits;
                }
                // Records or frames without content, or parts of a long message: they cost as much as words.
                Err(Error::Io(error)) if error.kind() == ErrorKind::Interrupted => {
                    self.allowance.spend(1.0);
                    return Turn::Continues;
                }
                Err(_) => return Turn::Over,
            };
            (self.heard, self.asked) = (now, false);
            // Pings and pongs cost as much as words.
            self.allowance.spend(1.0);
            match message {
                Message::Text(text) => return Turn::Said(text.as_str().to_owned()),
                Message::Binary(bytes) => match String::from_utf8(bytes.into()) {
                    Ok(text) => return Turn::Said(text),
                    Err(_) => return Turn::Over,
                },
                Message::Close(_) => return Turn::Over,
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {
                    if !self.allowance.has_some() {
                        self.held_back = true;
                        return Turn::Waits;
                    }
                }
            }
        }
    }

    /// Says something as soon as it can be said.
    pub(super) fn say(&mut self, text: String) -> Result<(), Gone> {
        // Its request is not answered whole: nothing can be said yet, and it has asked for nothing.
        if !self.answer.is_empty() {
            return Err(Gone);
        }
        self.socket.write(Message::text(text)).or_else(unless_it_blocks)?;
        self.write()
    }

    /// Asks whether it is there, if it was silent for long.
    pub(super) fn look_around(&mut self, now: Instant) -> Result<(), Gone> {
        let silent = now.saturating_duration_since(self.heard);
        if silent >= GONE_AFTER {
            return Err(Gone);
        }
        if silent >= ASKED_AFTER && !self.asked && self.answer.is_empty() {
            self.asked = true;
            self.socket.write(Message::Ping(Vec::new().into())).or_else(unless_it_blocks)?;
        }
        self.write()
    }

    fn write(&mut self) -> Result<(), Gone> {
        while !self.answer.is_empty() {
            match self.socket.get_mut().write(&self.answer) {
                Ok(0) => return Err(Gone),
                Ok(len) => drop(self.answer.drain(..len)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err(Gone),
            }
        }
        self.socket.flush().or_else(unless_it_blocks)
    }
}

fn unless_it_blocks(error: Error) -> Result<(), Gone> {
    match error {
        Error::Io(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
        _ => Err(Gone),
    }
}
