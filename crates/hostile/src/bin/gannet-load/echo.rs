//! The floor: what the kernel alone costs a UDP tracker. Datagrams of a tracker's sizes, many by one call, with no table behind them.
//!
//! It answers a connect with 16 bytes and an announce with as many peers' bytes as the announce asks for, so that who asks decides how
//! long answers are. Believes every connection id: not for any network but this machine's. BEP: 15

use anyhow::Result;
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};
use os::datagrams::{EXCHANGE_MAX, Exchange};
use std::io::ErrorKind;
use std::net::SocketAddrV4;

/// Longest datagram that comes; announces have 98 bytes.
const IN_MAX: usize = 128;
/// Longest answer: 200 peers.
const OUT_MAX: usize = 20 + 6 * 200;
/// Answers until it is killed; says on standard output when it listens.
pub(crate) fn run(at: SocketAddrV4) -> Result<()> {
    let mut socket = UdpSocket::bind(at.into())?;
    socket2::SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER)?;
    let mut poll = Poll::new()?;
    poll.registry().register(&mut socket, Token(0), Interest::READABLE)?;
    let mut events = Events::with_capacity(4);
    let mut exchange = Exchange::new(IN_MAX, OUT_MAX);
    println!("{{\"listening\":\"{}\"}}", socket.local_addr()?);
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            polled => polled?,
        }
        // Until nothing is there: the poll tells of a change alone.
        while serve(&socket, &mut exchange)? {}
    }
}

/// The same as a tracker of ours asks for.
const RECEIVE_BUFFER: usize = 1 << 20;

/// One batch, as large as a tracker's of ours; whether more may be waiting.
fn serve(socket: &UdpSocket, exchange: &mut Exchange) -> Result<bool> {
    let came = match exchange.receive(socket) {
        Ok(came) => came,
        Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
        Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(true),
        Err(error) => return Err(error.into()),
    };
    for number in 0..came {
        if let Some((_, question, place)) = exchange.question(number) {
            let len = answer(question, place);
            exchange.answer(number, len);
        }
    }
    exchange.send(socket);
    Ok(came == EXCHANGE_MAX)
}

/// Writes the answer; says how long it is.
fn answer(bytes: &[u8], place: &mut [u8]) -> usize {
    let Some(transaction) = bytes.get(12..16) else { return 0 };
    place[4..8].copy_from_slice(transaction);
    place[..4].copy_from_slice(&bytes[8..12]);
    match bytes.get(92..96).map(|want| u32::from_be_bytes(want.try_into().unwrap_or_default())) {
        Some(want) => (20 + 6 * want as usize).min(place.len()),
        None => 16,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_as_long_as_a_trackers() {
        let mut place = [0xff; OUT_MAX];
        let connect = [0, 0, 4, 0x17, 0x27, 0x10, 0x19, 0x80, 0, 0, 0, 0, 1, 2, 3, 4];
        assert_eq!(answer(&connect, &mut place), 16);
        assert_eq!(place[..8], [0, 0, 0, 0, 1, 2, 3, 4]);
        let mut announce = [0; 98];
        announce[11] = 1;
        announce[95] = 28;
        assert_eq!(answer(&announce, &mut place), 188);
        assert_eq!(place[..8], [0, 0, 0, 1, 0, 0, 0, 0]);
        assert_eq!(answer(&[0; 10], &mut place), 0);
    }
}
