//! The receiving half of a link: bytes from the socket, cut into messages, the bodies of blocks left where they landed.
//!
//! One large read takes many messages; a link that fills its reads gets chunks twice as long, up to [`CHUNK_LEN_MAX`]. A link
//! that has read everything gives the rest of its chunk to the next one, so that an idle link holds nothing; what a slow link
//! has of an unfinished block moves to memory of exactly the block's length. Judges no message. BEP: 3
//!
//! Of a private link only whole records are read, so that of a block in the middle of its record no progress is told.
//!
//! Invariants: `chunk` begins with the first unread byte; at most one frame and one read lie in it; however a peer cuts what it
//! sends, a byte is copied a few times at most.

use super::records::Records;
use bytes::{Bytes, BytesMut};
use proto::input::LinkEnd;
use std::io;
use std::os::fd::AsFd;
use wire::frame::{self, Frame, FrameError, Limits};
use wire::message::BlockRequest;
use wire::private::{Opener, PrivateError, RECORD_OVERHEAD};
use wire::{Cipher, Message};

/// One read of a slow link, and the loop's scratch chunk: four blocks.
pub(crate) const CHUNK_LEN_MIN: usize = 64 * 1024;

/// One read of a fast link. Larger ones were measured to be slower: the bytes leave the cache before they are hashed.
pub(crate) const CHUNK_LEN_MAX: usize = 256 * 1024;

/// Room that makes a read worth its system call; with less, a new chunk is begun.
const SPARE_LEN_MIN: usize = 4 * 1024;

/// What the bytes said.
#[derive(Debug, PartialEq)]
pub(crate) enum Received {
    /// A message without payload.
    Message(Message),
    /// A whole block.
    Block(BlockRequest, Bytes),
}

/// Why the bytes of a link say nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum Garbled {
    /// They are no message.
    #[error("{0}")]
    Frame(#[from] FrameError),
    /// They are not what was sealed.
    #[error("{0}")]
    Private(#[from] PrivateError),
}

impl Garbled {
    /// Who altered records is somebody between us and the peer, who could not have sealed them otherwise: the peer is not to
    /// blame, and must not be shunned for it. What was sealed by the peer and is no message is the peer's.
    pub(crate) fn how_the_link_ends(self) -> LinkEnd {
        match self {
            Garbled::Frame(_) => LinkEnd::Malformed,
            Garbled::Private(_) => LinkEnd::Broken,
        }
    }
}

/// What the socket's bytes go through before anything else looks at them, in place.
#[derive(Debug)]
enum Opening {
    /// Byte by byte, as they come.
    Stream(Cipher),
    /// Record by record, as they are needed.
    Records(Box<Records>),
}

/// How a read went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fill {
    /// This many bytes came, and there may be more.
    Some(usize),
    /// This many bytes came, and the socket had no more.
    Last(usize),
    /// Nothing is there now.
    Nothing,
    /// The peer has finished sending.
    End,
}

/// What is left of chunks whose links have read everything: lent to the next link that reads.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// For slow links, of [`CHUNK_LEN_MIN`]: a single block of theirs may keep the whole chunk from being freed.
    slow: BytesMut,
    /// For fast ones, whose chunks are full of blocks that come and go together.
    fast: BytesMut,
}

/// The unread bytes of a link.
#[derive(Debug)]
pub(crate) struct Inbound {
    chunk: BytesMut,
    /// How long this link's reads are.
    read_len: usize,
    /// Length of the unfinished frame as far as it is known; 0 if none is begun.
    need: usize,
    /// Bytes of the unfinished block's body that are there.
    present: u32,
    /// Of those, bytes that were told as progress.
    told: u32,
    /// Bytes received since the last report that are no block's body.
    overhead: u32,
    opening: Opening,
}

impl Inbound {
    /// Nothing received yet.
    pub(crate) fn new() -> Inbound {
        Inbound {
            chunk: BytesMut::new(),
            read_len: CHUNK_LEN_MIN,
            need: 0,
            present: 0,
            told: 0,
            overhead: 0,
            opening: Opening::Stream(Cipher::Plaintext),
        }
    }

    /// Reads once. `scratch` is the loop's: lent to the link until [`Inbound::settle`].
    pub(crate) fn fill(&mut self, socket: &impl AsFd, scratch: &mut Scratch) -> io::Result<Fill> {
        self.make_room(scratch);
        let most = (self.chunk.capacity() - self.chunk.len()).min(self.read_len);
        let count = match os::net::read_into(socket, &mut self.chunk, most) {
            Ok(0) => return Ok(Fill::End),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Fill::Nothing),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(Fill::Some(0)),
            Err(error) => return Err(error),
        };
        let fresh = self.chunk.len() - count;
        if let Opening::Stream(cipher) = &mut self.opening {
            cipher.apply(&mut self.chunk[fresh..]);
        }
        if count == most && most > self.read_len / 2 {
            self.read_len = (self.read_len * 2).min(CHUNK_LEN_MAX);
        } else if count < most && count < self.read_len / 8 {
            self.read_len = (self.read_len / 2).max(CHUNK_LEN_MIN);
        }
        Ok(if count < most { Fill::Last(count) } else { Fill::Some(count) })
    }

    /// What stands next in the unread bytes, if it is whole.
    pub(crate) fn next(&mut self, limits: &Limits) -> Result<Option<Received>, Garbled> {
        loop {
            let unread = self.unread();
            if !unread.is_empty() {
                match frame::next(unread, limits)? {
                    Frame::Message { message, consumed } => {
                        self.skip(consumed);
                        return Ok(Some(Received::Message(message)));
                    }
                    Frame::Block { request, data } => {
                        self.skip(data.start);
                        let body = self.take(data.end - data.start).freeze();
                        return Ok(Some(Received::Block(request, body)));
                    }
                    Frame::Need { at_least, block } => {
                        self.need = at_least;
                        self.present = block.map_or(0, |block| block.present);
                    }
                }
            }
            if !self.open()? {
                return Ok(None);
            }
        }
    }

    /// Sees to it that so many bytes can be read as they are, if they are there.
    pub(crate) fn open_up_to(&mut self, len: usize) -> Result<(), PrivateError> {
        while self.unread().len() < len && self.open()? {}
        Ok(())
    }

    /// Opens the next record of a private link; false if none is whole, or the link has none.
    fn open(&mut self) -> Result<bool, PrivateError> {
        let Opening::Records(records) = &mut self.opening else { return Ok(false) };
        let opened = records.open(&mut self.chunk)?;
        if opened {
            self.overhead = self.overhead.saturating_add(RECORD_OVERHEAD as u32);
        }
        Ok(opened)
    }

    /// Bytes of the unfinished block that were not told yet.
    pub(crate) fn take_progress(&mut self) -> u32 {
        let news = self.present.saturating_sub(self.told);
        self.told += news;
        news
    }

    /// Bytes received since the last call that are no block's body.
    pub(crate) fn take_overhead(&mut self) -> u32 {
        std::mem::take(&mut self.overhead)
    }

    /// Ends a round of reading: gives the scratch chunk back, and keeps no more than what is unread.
    pub(crate) fn settle(&mut self, scratch: &mut Scratch) {
        let slow = self.read_len == CHUNK_LEN_MIN;
        if self.chunk.is_empty() {
            let chunk = std::mem::take(&mut self.chunk);
            let small = slow && chunk.capacity() <= CHUNK_LEN_MIN;
            let place = if small { &mut scratch.slow } else { &mut scratch.fast };
            if chunk.capacity() > place.capacity() {
                *place = chunk;
            }
        } else if slow && self.chunk.capacity() > self.wanted().max(SPARE_LEN_MIN) {
            // Exactly the frame: a block that trickles in pins no more memory than itself (and a record, on a private link).
            self.chunk = self.moved(self.wanted().max(self.chunk.len()));
        }
    }

    /// The unread bytes as they are: a handshake is read before there are messages.
    pub(crate) fn unread(&self) -> &[u8] {
        match &self.opening {
            Opening::Stream(_) => &self.chunk,
            Opening::Records(records) => &self.chunk[..records.clear()],
        }
    }

    /// Whether the peer has said anything since the last report.
    pub(crate) fn has_heard(&self) -> bool {
        self.overhead > 0 || !self.chunk.is_empty()
    }

    /// Everything from the first unread byte on goes through this.
    pub(crate) fn set_cipher(&mut self, mut cipher: Cipher) {
        cipher.apply(&mut self.chunk);
        self.opening = Opening::Stream(cipher);
    }

    /// Everything from the first unread byte on is records.
    pub(crate) fn set_records(&mut self, opener: Opener) {
        self.opening = Opening::Records(Box::new(Records::new(opener)));
    }

    /// Passes over bytes that are no block's body.
    pub(crate) fn skip(&mut self, len: usize) {
        (self.need, self.present, self.told) = (0, 0, 0);
        self.overhead = self.overhead.saturating_add(u32::try_from(len).unwrap_or(u32::MAX));
        drop(self.take(len));
    }

    /// Takes unread bytes off the front.
    fn take(&mut self, len: usize) -> BytesMut {
        let taken = self.chunk.split_to(len);
        if let Opening::Records(records) = &mut self.opening {
            records.taken(len, &mut self.chunk);
        }
        taken
    }

    /// How long the chunk must become before the link can go on, as far as that is known.
    fn wanted(&self) -> usize {
        match &self.opening {
            Opening::Stream(_) => self.need,
            Opening::Records(records) => records.wanted(self.need),
        }
    }

    fn make_room(&mut self, scratch: &mut Scratch) {
        if let Opening::Records(records) = &mut self.opening {
            let _moved = records.close_gap(&mut self.chunk);
            #[cfg(test)]
            tests::note_copied(_moved);
        }
        let spare = self.chunk.capacity() - self.chunk.len();
        let wanted = self.wanted();
        let missing = wanted.saturating_sub(self.chunk.len());
        if self.read_len > CHUNK_LEN_MIN {
            if spare < SPARE_LEN_MIN.max(missing) {
                if self.chunk.is_empty() && scratch.fast.capacity() >= self.read_len / 4 {
                    self.chunk = std::mem::take(&mut scratch.fast);
                } else {
                    self.chunk = self.moved(self.read_len.max(wanted + SPARE_LEN_MIN));
                }
            }
        } else if self.has_room_of_its_own(missing) {
            // It goes on where it is.
        } else if self.chunk.len() < SPARE_LEN_MIN && wanted <= CHUNK_LEN_MIN {
            if scratch.slow.capacity() < CHUNK_LEN_MIN / 2 {
                scratch.slow = BytesMut::with_capacity(CHUNK_LEN_MIN);
            }
            let unread = std::mem::replace(&mut self.chunk, std::mem::take(&mut scratch.slow));
            self.chunk.extend_from_slice(&unread);
            #[cfg(test)]
            tests::note_copied(unread.len());
        } else if spare == 0 || spare < missing {
            self.chunk = self.moved(wanted.max(self.chunk.len() + SPARE_LEN_MIN));
        }
    }

    /// Whether a private link waits for the rest of a message in memory that was made for it: there it is not moved again.
    fn has_room_of_its_own(&self, missing: usize) -> bool {
        let unfinished = matches!(&self.opening, Opening::Records(records) if records.clear() > 0);
        unfinished && self.chunk.capacity() - self.chunk.len() >= missing.max(1)
    }

    /// Fresh memory of this length that begins with the unread bytes: only such a tail is ever copied.
    fn moved(&self, len: usize) -> BytesMut {
        let mut fresh = BytesMut::with_capacity(len);
        fresh.extend_from_slice(&self.chunk);
        #[cfg(test)]
        tests::note_copied(self.chunk.len());
        fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::io::Write;
    use std::os::unix::net::UnixStream;
    use wire::layout::BLOCK_LEN;
    use wire::private::RECORD_CLEAR_MAX;

    thread_local! {
        /// Bytes that were copied from chunk to chunk, or within one to close a gap.
        static COPIED: Cell<usize> = const { Cell::new(0) };
    }

    pub(super) fn note_copied(len: usize) {
        COPIED.with(|copied| copied.set(copied.get() + len));
    }

    /// Feeds `bytes` to a link in writes of at most `step`; returns what it said, and the progress it told of.
    fn converse(bytes: &[u8], step: usize) -> (Vec<Received>, u64) {
        converse_with(Inbound::new(), bytes, step)
    }

    fn converse_with(mut inbound: Inbound, bytes: &[u8], step: usize) -> (Vec<Received>, u64) {
        let (mut theirs, ours) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let mut scratch = Scratch::default();
        let (mut said, mut progress) = (Vec::new(), 0);
        for part in bytes.chunks(step) {
            theirs.write_all(part).unwrap();
            loop {
                let fill = inbound.fill(&ours, &mut scratch).unwrap();
                while let Some(received) = inbound.next(&Limits::new(None)).unwrap() {
                    said.push(received);
                }
                progress += u64::from(inbound.take_progress());
                if matches!(fill, Fill::Last(_) | Fill::Nothing) {
                    break;
                }
            }
            inbound.settle(&mut scratch);
            let longest = CHUNK_LEN_MAX.max(frame::FRAME_LEN_MAX) + SPARE_LEN_MIN + RECORD_CLEAR_MAX;
            assert!(inbound.chunk.capacity() <= 2 * longest, "{}", inbound.chunk.capacity());
        }
        assert!(inbound.unread().is_empty() && inbound.chunk.capacity() == 0, "an idle link holds nothing");
        (said, progress)
    }

    fn conversation() -> (Vec<u8>, Vec<Received>) {
        let (mut bytes, mut said) = (Vec::new(), Vec::new());
        for number in 0..40u32 {
            let message = Message::Have(number);
            frame::encode(&message, &mut bytes);
            said.push(Received::Message(message));
            let len = if number % 3 == 0 { BLOCK_LEN } else { 1 + number * 97 };
            let request = BlockRequest { piece: number, offset: 0, len };
            let body = vec![number as u8; len as usize];
            bytes.extend_from_slice(&frame::block_head(request));
            bytes.extend_from_slice(&body);
            said.push(Received::Block(request, body.into()));
        }
        (bytes, said)
    }

    #[test]
    fn what_is_said_does_not_depend_on_how_the_bytes_are_cut() {
        let (bytes, expected) = conversation();
        for step in [1, 7, 100, 4_095, 16_397, 40_000, 100_000] {
            let (said, _) = converse(&bytes, step);
            assert_eq!(said, expected, "in steps of {step}");
        }
    }

    #[test]
    fn what_is_said_privately_does_not_depend_on_how_bytes_and_records_are_cut() {
        let (bytes, expected) = conversation();
        for record in [1_000, 5, 16_397, 16_512, 100_000] {
            for step in [7, 100, 4_095, 16_431, 40_000, 100_000] {
                let (mut ours, theirs) = super::super::records::tests::agreed();
                let mut sealed = Vec::new();
                bytes.chunks(record).for_each(|part| ours.send.seal([part], &mut sealed).unwrap());
                let mut inbound = Inbound::new();
                inbound.set_records(theirs.receive);
                let (said, _) = converse_with(inbound, &sealed, step);
                assert!(said == expected, "records of {record} in steps of {step}");
            }
        }
    }

    /// A member may cut what it says into records as it likes, and they may come in any steps: it costs the other no more than a
    /// few copies of what it received, and no more memory than the longest message, a read and a record.
    #[test]
    fn however_short_its_records_are_a_member_makes_nobody_copy_much() {
        let bitfield = Message::Bitfield(vec![0xff; 250_000].into());
        let request = BlockRequest { piece: 0, offset: 0, len: BLOCK_LEN };
        let block = [&frame::block_head(request)[..], &vec![7; BLOCK_LEN as usize]].concat();
        let mut long = Vec::new();
        frame::encode(&bitfield, &mut long);
        for (what, clear, record, step) in [
            ("a bitfield in bytes", &long, 1, 100_000),
            ("a bitfield in bytes that trickle in", &long, 1, 3_500),
            ("a bitfield in short records", &long, 100, 4_000),
            ("a block in bytes, a record a read", &block, 1, 1 + RECORD_OVERHEAD),
            ("a block in bytes, half a record a read", &block, 1, 18),
        ] {
            let (mut ours, theirs) = super::super::records::tests::agreed();
            let mut sealed = Vec::new();
            clear.chunks(record).for_each(|part| ours.send.seal([part], &mut sealed).unwrap());
            let mut inbound = Inbound::new();
            inbound.set_records(theirs.receive);
            COPIED.with(|copied| copied.set(0));
            let (said, _) = converse_with(inbound, &sealed, step);
            assert_eq!(said.len(), 1, "{what}");
            let copied = COPIED.with(Cell::get);
            assert!(copied <= 3 * sealed.len(), "{what}: {copied} bytes copied of {} received", sealed.len());
        }
    }

    #[test]
    fn what_was_changed_on_its_way_is_no_message() {
        let (mut ours, theirs) = super::super::records::tests::agreed();
        let (mut clear, mut sealed) = (Vec::new(), Vec::new());
        frame::encode(&Message::Have(1), &mut clear);
        ours.send.seal([&clear[..]], &mut sealed).unwrap();
        ours.send.seal([&clear[..]], &mut sealed).unwrap();
        sealed[50] ^= 1;
        let (mut theirs_end, our_end) = UnixStream::pair().unwrap();
        theirs_end.write_all(&sealed).unwrap();
        let (mut inbound, mut scratch) = (Inbound::new(), Scratch::default());
        inbound.set_records(theirs.receive);
        inbound.fill(&our_end, &mut scratch).unwrap();
        let limits = Limits::new(None);
        assert_eq!(inbound.next(&limits), Ok(Some(Received::Message(Message::Have(1)))));
        let altered = Garbled::Private(PrivateError::Altered);
        assert_eq!((inbound.next(&limits), altered.how_the_link_ends()), (Err(altered), LinkEnd::Broken));
        assert_eq!(inbound.next(&limits), Err(Garbled::Private(PrivateError::Over)));
    }

    #[test]
    fn a_block_that_trickles_in_is_told_as_it_comes() {
        let request = BlockRequest { piece: 0, offset: 0, len: BLOCK_LEN };
        let bytes = [&frame::block_head(request)[..], &vec![7; BLOCK_LEN as usize]].concat();
        let (_, progress) = converse(&bytes, 1_000);
        let last_step = bytes.len() % 1_000;
        assert_eq!(
            progress as usize,
            BLOCK_LEN as usize - last_step,
            "what came last is told as the whole block"
        );
    }

    #[test]
    fn an_impossible_length_is_refused_before_its_body_is_there() {
        let (mut theirs, ours) = UnixStream::pair().unwrap();
        let (mut inbound, mut scratch) = (Inbound::new(), Scratch::default());
        theirs.write_all(&[0xff, 0xff, 0xff, 0xff, 7]).unwrap();
        inbound.fill(&ours, &mut scratch).unwrap();
        let refused = inbound.next(&Limits::new(None)).unwrap_err();
        assert_eq!(refused.how_the_link_ends(), LinkEnd::Malformed);
    }
}
