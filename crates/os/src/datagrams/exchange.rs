//! Questions that come in datagrams and the answers to them: received by one call, answered where they lie, sent by one call.
//!
//! Invariants: nothing is allocated or cleared once it is made; an answer goes to where its question came from, and to nobody else; a
//! question is answered at most once.

use super::address_of;
use std::io;
use std::mem::{MaybeUninit, size_of, zeroed};
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr::null_mut;

/// Datagrams that one call moves at most. More would gain little: the call itself is by then a small share of its cost.
pub const EXCHANGE_MAX: usize = 64;

/// Questions and their answers, one batch at a time.
pub struct Exchange {
    questions: Box<[u8]>,
    question_len_max: usize,
    answers: Box<[u8]>,
    answer_len_max: usize,
    /// An IPv6 address is the longest that comes here.
    names: Box<[libc::sockaddr_in6]>,
    rows: Box<[Row]>,
    came: usize,
}

/// What is known of one question.
#[derive(Clone, Copy, Default)]
struct Row {
    /// Nothing if it was too long.
    question_len: Option<usize>,
    name_len: libc::socklen_t,
    /// 0: it is not answered.
    answer_len: usize,
}

/// What became of a batch's answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sent {
    /// Taken by the kernel.
    pub sent: usize,
    /// There was no room, or the kernel refused: the asker will ask again.
    pub dropped: usize,
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchange").field("came", &self.came).finish_non_exhaustive()
    }
}

impl Exchange {
    /// Places for [`EXCHANGE_MAX`] questions and answers of at most so many bytes each.
    pub fn new(question_len_max: usize, answer_len_max: usize) -> Exchange {
        // SAFETY: a plain C structure, for which zeroes are a value.
        let name: libc::sockaddr_in6 = unsafe { zeroed() };
        Exchange {
            questions: vec![0; question_len_max * EXCHANGE_MAX].into(),
            question_len_max,
            answers: vec![0; answer_len_max * EXCHANGE_MAX].into(),
            answer_len_max,
            names: vec![name; EXCHANGE_MAX].into(),
            rows: vec![Row::default(); EXCHANGE_MAX].into(),
            came: 0,
        }
    }

    /// Receives what is there; says how many. What came before, and answers that were not sent, are gone.
    ///
    /// # Errors
    /// As the kernel's; `WouldBlock` when nothing is there (of a socket that does not block).
    pub fn receive(&mut self, socket: &impl AsFd) -> io::Result<usize> {
        self.came = 0;
        let mut heads = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; EXCHANGE_MAX];
        let mut places = [const { MaybeUninit::<libc::iovec>::uninit() }; EXCHANGE_MAX];
        let parts = self.questions.chunks_exact_mut(self.question_len_max.max(1));
        for (((head, place), name), part) in
            heads.iter_mut().zip(&mut places).zip(self.names.iter_mut()).zip(parts)
        {
            let place = place.write(libc::iovec { iov_base: part.as_mut_ptr().cast(), iov_len: part.len() });
            head.write(head_of(place, name, size_of::<libc::sockaddr_in6>() as libc::socklen_t));
        }
        let fd = socket.as_fd().as_raw_fd();
        // SAFETY: all heads were written above, each with a place and a name of our own that outlive the call, under their true lengths; the
        // descriptor is open as long as it is borrowed.
        let count =
            unsafe { libc::recvmmsg(fd, heads.as_mut_ptr().cast(), EXCHANGE_MAX as u32, 0, null_mut()) };
        self.came = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        for (head, row) in heads.iter().zip(self.rows.iter_mut()).take(self.came) {
            // SAFETY: written above, and by the kernel since.
            let head = unsafe { head.assume_init_ref() };
            let whole = head.msg_hdr.msg_flags & libc::MSG_TRUNC == 0;
            let question_len = whole.then_some(head.msg_len as usize);
            *row = Row { question_len, name_len: head.msg_hdr.msg_namelen, answer_len: 0 };
        }
        Ok(self.came)
    }

    /// A question of the last batch, and from where it came; nothing if it was too long.
    pub fn peek(&self, number: usize) -> Option<(SocketAddr, &[u8])> {
        let (from, question) = self.asked(number)?;
        Some((from, self.questions.get(question)?))
    }

    /// The same, and the place for its answer.
    pub fn question(&mut self, number: usize) -> Option<(SocketAddr, &[u8], &mut [u8])> {
        let (from, question) = self.asked(number)?;
        let answer = number * self.answer_len_max;
        let answer = self.answers.get_mut(answer..answer + self.answer_len_max)?;
        Some((from, self.questions.get(question)?, answer))
    }

    /// From where a question came, and where it lies.
    fn asked(&self, number: usize) -> Option<(SocketAddr, Range<usize>)> {
        let row = self.rows.get(..self.came)?.get(number)?;
        let start = number * self.question_len_max;
        Some((address_of(self.names.get(number)?)?, start..start + row.question_len?))
    }

    /// The first so many bytes of its place are the answer; none if 0.
    pub fn answer(&mut self, number: usize, len: usize) {
        let len = len.min(self.answer_len_max);
        if let Some(row) = self.rows.get_mut(..self.came).and_then(|rows| rows.get_mut(number)) {
            row.answer_len = len;
        }
    }

    /// Sends the answers of this batch, in the order of their questions.
    pub fn send(&mut self, socket: &impl AsFd) -> Sent {
        let mut heads = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; EXCHANGE_MAX];
        let mut places = [const { MaybeUninit::<libc::iovec>::uninit() }; EXCHANGE_MAX];
        let parts = self.answers.chunks_exact_mut(self.answer_len_max.max(1));
        let rows = self.rows.iter_mut().zip(self.names.iter_mut()).zip(parts).take(self.came);
        let answered = rows.filter(|((row, _), _)| row.answer_len > 0);
        let mut count = 0;
        for (((row, name), part), (head, place)) in answered.zip(heads.iter_mut().zip(&mut places)) {
            let place =
                place.write(libc::iovec { iov_base: part.as_mut_ptr().cast(), iov_len: row.answer_len });
            head.write(head_of(place, name, row.name_len));
            row.answer_len = 0;
            count += 1;
        }
        let fd = socket.as_fd().as_raw_fd();
        let mut done = Sent::default();
        while done.sent + done.dropped < count {
            let from = done.sent + done.dropped;
            // SAFETY: the first `count` heads were written above, each with a place and a name of ours that outlive the call and that the kernel
            // only reads; `from < count`. The descriptor is open as long as it is borrowed.
            let taken =
                unsafe { libc::sendmmsg(fd, heads.as_mut_ptr().add(from).cast(), (count - from) as u32, 0) };
            match usize::try_from(taken) {
                Ok(taken) => done.sent += taken,
                Err(_) => match io::Error::last_os_error().kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock => done.dropped += count - from,
                    // That is about the first alone.
                    _ => done.dropped += 1,
                },
            }
        }
        done
    }
}

fn head_of(
    place: &mut libc::iovec,
    name: &mut libc::sockaddr_in6,
    name_len: libc::socklen_t,
) -> libc::mmsghdr {
    // SAFETY: a plain C structure, for which zeroes are a value.
    let mut head: libc::mmsghdr = unsafe { zeroed() };
    head.msg_hdr.msg_iov = place;
    head.msg_hdr.msg_iovlen = 1;
    head.msg_hdr.msg_name = (&raw mut *name).cast();
    head.msg_hdr.msg_namelen = name_len;
    head
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    fn pair(at: &str) -> (UdpSocket, UdpSocket) {
        let [server, client] = [(); 2].map(|()| UdpSocket::bind(at).unwrap());
        server.set_nonblocking(true).unwrap();
        client.set_nonblocking(true).unwrap();
        client.connect(server.local_addr().unwrap()).unwrap();
        (server, client)
    }

    fn heard(client: &UdpSocket) -> Vec<Vec<u8>> {
        let mut heard = Vec::new();
        let mut buffer = [0; 2048];
        while let Ok(len) = client.recv(&mut buffer) {
            heard.push(buffer[..len].to_vec());
        }
        heard
    }

    #[test]
    fn each_question_is_answered_where_it_came_from_and_those_that_need_no_answer_are_not() {
        for at in ["127.0.0.1:0", "[::1]:0"] {
            let (server, one) = pair(at);
            let other = UdpSocket::bind(at).unwrap();
            other.set_nonblocking(true).unwrap();
            other.connect(server.local_addr().unwrap()).unwrap();
            let asked = EXCHANGE_MAX as u8 + 12;
            for number in 0..asked {
                let client = if number % 2 == 0 { &one } else { &other };
                client.send(&vec![number; 1 + usize::from(number)]).unwrap();
            }
            let mut exchange = Exchange::new(200, 300);
            let mut batches = Vec::new();
            while let Ok(count) = exchange.receive(&server) {
                batches.push(count);
                for number in 0..count {
                    let peeked = exchange.peek(number).map(|(from, question)| (from, question.to_vec()));
                    let (from, question, answer) = exchange.question(number).unwrap();
                    assert_eq!(peeked, Some((from, question.to_vec())));
                    let name = question[0];
                    let client = if name % 2 == 0 { &one } else { &other };
                    assert_eq!(from, client.local_addr().unwrap());
                    assert_eq!(question, vec![name; 1 + usize::from(name)]);
                    answer[..2].copy_from_slice(&[name, 255]);
                    exchange.answer(number, if name % 4 < 2 { 2 } else { 0 });
                }
                assert!(exchange.question(count).is_none());
                let sent = exchange.send(&server);
                assert_eq!(sent, Sent { sent: count / 2, dropped: 0 });
                assert_eq!(exchange.send(&server), Sent::default());
            }
            assert_eq!(batches, [EXCHANGE_MAX, 12]);
            for (client, parity) in [(&one, 0), (&other, 1)] {
                let expected = (0..asked).filter(|name| name % 4 == parity).map(|name| vec![name, 255]);
                assert_eq!(heard(client), expected.collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn a_question_that_is_too_long_is_nobodys_and_concerns_no_other() {
        let (server, client) = pair("127.0.0.1:0");
        for len in [16, 17, 0, 3] {
            client.send(&vec![7; len]).unwrap();
        }
        let mut exchange = Exchange::new(16, 16);
        assert_eq!(exchange.receive(&server).unwrap(), 4);
        let lens: Vec<_> =
            (0..4).map(|number| exchange.question(number).map(|(_, question, _)| question.len())).collect();
        assert_eq!(lens, [Some(16), None, Some(0), Some(3)]);
        assert_eq!(exchange.receive(&server).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert!(exchange.question(0).is_none());
    }

    #[test]
    fn an_answer_is_never_longer_than_its_place() {
        let (server, client) = pair("127.0.0.1:0");
        client.send(b"?").unwrap();
        let mut exchange = Exchange::new(16, 4);
        exchange.receive(&server).unwrap();
        exchange.question(0).unwrap().2.copy_from_slice(b"much");
        exchange.answer(0, 99);
        exchange.answer(1, 4);
        assert_eq!(exchange.send(&server), Sent { sent: 1, dropped: 0 });
        assert_eq!(heard(&client), [b"much"]);
    }
}
