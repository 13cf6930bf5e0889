//! The sending half of a link: control messages first, then blocks, many of each in one vectored write.
//!
//! A control message overtakes every block of which no byte has been given to the socket. Blocks leave in the order in which
//! their bytes are at hand. What may be sent, and how much, is the session's affair: it is here because it may. BEP: 3
//!
//! What is to be encrypted goes through [`Sealed`] on its way, some blocks at a time; "written" then means "sealed".
//!
//! Invariant: at most one block is partly written, and it is the first; control bytes are partly written only while none is.

use super::sealed::Sealed;
use crate::disk::job::Payload;
use bytes::Bytes;
use proto::SendToken;
use std::collections::VecDeque;
use std::io::{self, IoSlice, Write};
use wire::frame::{self, BLOCK_HEAD_LEN};
use wire::message::BlockRequest;
use wire::private::Sealer;
use wire::{Cipher, Message, PieceIndex};

/// Blocks in one write: 1 MiB. Beyond 64 a vectored write was measured to gain nothing.
const BLOCKS_PER_WRITE_MAX: usize = 64;

/// Slices in one write: head and two halves of each block, and the control bytes.
const SLICES_MAX: usize = 1 + 3 * BLOCKS_PER_WRITE_MAX;

/// Control bytes that may wait for a peer that does not read: four of the longest messages. More, and the link is given up.
pub(crate) const CONTROL_BYTES_MAX: usize = 1024 * 1024;

/// What is waiting to be sent over one link.
#[derive(Debug, Default)]
pub(crate) struct Outbound {
    control: Vec<u8>,
    /// Control bytes already written.
    control_at: usize,
    blocks: VecDeque<Ready>,
    /// Bytes of the first block's frame already written.
    block_at: usize,
    /// Bytes of all blocks' frames.
    block_bytes: usize,
    /// Blocks whose bytes are still being read.
    reading: Vec<(SendToken, BlockRequest)>,
    /// Bytes sent since the last report that are no block's body.
    overhead: u32,
    /// What leaves before everything else, as it stands there.
    sealed: Sealed,
}

/// A block whose bytes are at hand.
#[derive(Debug)]
struct Ready {
    token: SendToken,
    head: [u8; BLOCK_HEAD_LEN],
    body: Payload,
}

impl Ready {
    fn len(&self) -> usize {
        BLOCK_HEAD_LEN + self.body.len()
    }
}

/// What became of a wish not to send a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Recall {
    /// It will not be sent.
    Recalled,
    /// It is on its way, or was never here.
    TooLate,
}

/// How a write went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Flush {
    /// Nothing is left to write.
    Empty,
    /// The socket takes no more for now.
    Full,
    /// There is more, and the socket may take it.
    More,
}

impl Outbound {
    /// Appends a control message.
    pub(crate) fn message(&mut self, message: &Message) {
        frame::encode(message, &mut self.control);
    }

    /// Appends a have message for each piece.
    pub(crate) fn haves(&mut self, pieces: &[PieceIndex]) {
        frame::encode_haves(pieces, &mut self.control);
    }

    /// Appends bytes that are no message: the handshake.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.control.extend_from_slice(bytes);
    }

    /// Appends bytes of an encrypted handshake: they overtake everything, and no cipher turns them.
    pub(crate) fn handshake(&mut self, bytes: &[u8]) {
        self.sealed.raw(bytes);
        self.overhead = self.overhead.saturating_add(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    }

    /// The link will be private: nothing leaves but its handshake before it has keys.
    pub(crate) fn await_records(&mut self) {
        self.sealed.await_records();
    }

    /// Everything from the next byte on goes through this, after the handshake's own bytes.
    pub(crate) fn set_cipher(&mut self, cipher: Cipher) {
        self.sealed.set_cipher(cipher);
    }

    /// Everything from the next byte on leaves in records, after the handshake's own bytes.
    pub(crate) fn set_records(&mut self, sealer: Sealer) {
        self.sealed.set_records(sealer);
    }

    /// Announces a block whose bytes are being read.
    pub(crate) fn expect(&mut self, token: SendToken, request: BlockRequest) {
        self.reading.push((token, request));
    }

    /// What was announced under this token, unless it was recalled since. Forgets it: its bytes have come, or will not.
    pub(crate) fn read_ended(&mut self, token: SendToken) -> Option<BlockRequest> {
        let index = self.reading.iter().position(|&(other, _)| other == token)?;
        Some(self.reading.swap_remove(index).1)
    }

    /// Appends a block.
    pub(crate) fn block(&mut self, token: SendToken, request: BlockRequest, body: Payload) {
        let ready = Ready { token, head: frame::block_head(request), body };
        self.block_bytes += ready.len();
        self.blocks.push_back(ready);
    }

    /// Appends an extended message with a large body, which waits its turn like a block and is answered like one.
    pub(crate) fn extended(&mut self, token: SendToken, id: u8, bencoded: &[u8], body: Bytes) {
        let mut whole = frame::extended_head(id, bencoded.len() + body.len()).to_vec();
        whole.extend_from_slice(bencoded);
        // A block's head has room for the frame's and the beginning of the bencoded one, which has some 40 bytes.
        let Some((&head, rest)) = whole.split_first_chunk() else { return };
        let ready = Ready { token, head, body: Payload::two(Bytes::copy_from_slice(rest), body) };
        self.block_bytes += ready.len();
        self.blocks.push_back(ready);
    }

    /// Takes a block back, if no byte of it has left.
    pub(crate) fn recall(&mut self, token: SendToken) -> Recall {
        if self.read_ended(token).is_some() {
            return Recall::Recalled;
        }
        match self.blocks.iter().position(|ready| ready.token == token) {
            Some(0) if self.block_at > 0 => Recall::TooLate,
            Some(index) => {
                self.block_bytes -= self.blocks.remove(index).map_or(0, |ready| ready.len());
                Recall::Recalled
            }
            None => Recall::TooLate,
        }
    }

    /// The blocks that will not leave because the link is gone.
    pub(crate) fn abandon(&mut self) -> impl Iterator<Item = SendToken> + use<> {
        self.block_bytes = 0;
        let ready = std::mem::take(&mut self.blocks).into_iter().map(|ready| ready.token);
        let sealed = self.sealed.abandon();
        std::mem::take(&mut self.reading).into_iter().map(|(token, _)| token).chain(sealed).chain(ready)
    }

    /// Whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.control.is_empty() && self.blocks.is_empty() && self.sealed.is_empty()
    }

    /// Whether the peer reads so slowly that the link is to be given up.
    pub(crate) fn is_stuck(&self) -> bool {
        self.control.len() - self.control_at > CONTROL_BYTES_MAX
    }

    /// Bytes of blocks that wait: what the kernel's share should match.
    pub(crate) fn block_bytes(&self) -> usize {
        self.block_bytes
    }

    /// Bytes sent since the last call that are no block's body.
    pub(crate) fn take_overhead(&mut self) -> u32 {
        std::mem::take(&mut self.overhead)
    }

    /// Writes once; appends the tokens of the blocks that have now left whole.
    pub(crate) fn flush(&mut self, socket: &mut impl Write, sent: &mut Vec<SendToken>) -> io::Result<Flush> {
        if self.is_empty() {
            return Ok(Flush::Empty);
        }
        if self.sealed.turns() || !self.sealed.is_empty() {
            return self.flush_sealed(socket, sent);
        }
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let (count, offered) = self.gather(&mut slices);
        let written = match socket.write_vectored(&slices[..count]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Flush::Full),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(Flush::More),
            Err(error) => return Err(error),
        };
        self.note_written(written, sent);
        Ok(match self.is_empty() {
            true => Flush::Empty,
            false if written < offered => Flush::Full,
            false => Flush::More,
        })
    }

    /// Writes once of what is sealed; if nothing is, seals what leaves next.
    fn flush_sealed(&mut self, socket: &mut impl Write, sent: &mut Vec<SendToken>) -> io::Result<Flush> {
        if self.sealed.is_empty() {
            let mut sealed = std::mem::take(&mut self.sealed);
            let filled = sealed.fill(self.leaving());
            let Ok(taken) = filled else {
                self.sealed = sealed;
                return Err(io::Error::other("what a private link says cannot be sealed"));
            };
            self.note_written(taken, sealed.tokens());
            // What records add to what they carry.
            self.overhead = self.overhead.saturating_add((sealed.len() - taken) as u32);
            self.sealed = sealed;
        }
        let taken = self.sealed.flush(socket, sent)?;
        Ok(match self.is_empty() {
            true => Flush::Empty,
            false if taken => Flush::More,
            false => Flush::Full,
        })
    }

    /// Lays out what leaves next.
    fn gather<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES_MAX]) -> (usize, usize) {
        let (mut count, mut bytes) = (0, 0);
        let leaving = self.leaving().flatten().filter(|slice| !slice.is_empty());
        for (place, slice) in slices.iter_mut().zip(leaving) {
            *place = IoSlice::new(slice);
            count += 1;
            bytes += slice.len();
        }
        (count, bytes)
    }

    /// What leaves next, frame by frame: the block that is partly written, then control bytes, then blocks.
    fn leaving(&self) -> impl Iterator<Item = [&[u8]; 3]> {
        let begun = usize::from(self.block_at > 0);
        let first = self.blocks.iter().take(begun).map(|ready| slices_from(ready, self.block_at));
        let control = std::iter::once([&self.control[self.control_at..], &[], &[]]);
        let rest = self.blocks.iter().take(BLOCKS_PER_WRITE_MAX).skip(begun);
        first.chain(control).chain(rest.map(|ready| slices_from(ready, 0)))
    }

    fn note_written(&mut self, written: usize, sent: &mut Vec<SendToken>) {
        let mut rest = written;
        if self.block_at > 0 {
            self.note_block(&mut rest, sent);
        }
        if rest > 0 {
            let control = (self.control.len() - self.control_at).min(rest);
            self.control_at += control;
            self.overhead = self.overhead.saturating_add(u32::try_from(control).unwrap_or(u32::MAX));
            rest -= control;
        }
        if self.control_at == self.control.len() {
            self.control.clear();
            self.control_at = 0;
            // A long bitfield went out: its room is not kept for the haves that follow.
            self.control.shrink_to(4096);
        }
        while rest > 0 && !self.blocks.is_empty() {
            self.note_block(&mut rest, sent);
        }
    }

    /// Takes what was written of the first block off `rest`.
    fn note_block(&mut self, rest: &mut usize, sent: &mut Vec<SendToken>) {
        let Some(first) = self.blocks.front() else { return };
        let written = (first.len() - self.block_at).min(*rest);
        *rest -= written;
        self.block_at += written;
        if self.block_at == first.len() {
            sent.push(first.token);
            self.overhead = self.overhead.saturating_add(BLOCK_HEAD_LEN as u32);
            self.block_bytes -= first.len();
            self.blocks.pop_front();
            self.block_at = 0;
        }
    }
}

/// The slices of a block's frame from byte `at` on.
fn slices_from(ready: &Ready, at: usize) -> [&[u8]; 3] {
    let [head, tail] = ready.body.slices();
    let mut skip = at;
    [&ready.head[..], head, tail].map(|slice| {
        let skipped = skip.min(slice.len());
        skip -= skipped;
        &slice[skipped..]
    })
}

#[cfg(test)]
mod tests {
    use super::super::sealed::SEALED_LEN_MAX;
    use super::*;
    use proto::LinkId;
    use wire::frame::{Frame, Limits};

    /// A socket that takes at most so many bytes a write.
    struct Narrow {
        step: usize,
        taken: Vec<u8>,
    }

    impl Write for Narrow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(self.step);
            self.taken.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
            let bytes = slices.iter().flat_map(|slice| slice.iter().copied());
            let all: Vec<u8> = bytes.take(self.step).collect();
            self.write(&all)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn token(sequence: u32) -> SendToken {
        SendToken { link: LinkId { slot: 0, generation: 0 }, sequence }
    }

    fn give(outbound: &mut Outbound, number: u32, len: u32) {
        let body = Bytes::from(vec![number as u8; len as usize]);
        let split = (len / 3) as usize;
        let payload = Payload::two(body.slice(..split), body.slice(split..));
        outbound.block(token(number), BlockRequest { piece: number, offset: 0, len }, payload);
    }

    /// What a peer would hear: haves and blocks by number.
    fn heard(mut bytes: &[u8]) -> Vec<String> {
        let mut heard = Vec::new();
        while !bytes.is_empty() {
            let consumed = match frame::next(bytes, &Limits::new(None)).unwrap() {
                Frame::Message { message, consumed } => {
                    heard.push(format!("{message:?}"));
                    consumed
                }
                Frame::Block { request, data } => {
                    assert!(bytes[data.clone()].iter().all(|&byte| byte == request.piece as u8));
                    heard.push(format!("Block({})", request.piece));
                    data.end
                }
                Frame::Need { .. } => panic!("a frame is torn"),
            };
            bytes = &bytes[consumed..];
        }
        heard
    }

    #[test]
    fn nothing_but_its_handshake_leaves_a_private_link_before_it_has_keys() {
        let (mut outbound, mut socket, mut sent) = (Outbound::default(), Vec::new(), Vec::new());
        outbound.await_records();
        outbound.handshake(b"keys");
        outbound.raw(b"too early");
        outbound.message(&Message::Unchoke);
        give(&mut outbound, 1, 100);
        assert!(matches!(outbound.flush(&mut socket, &mut sent), Ok(Flush::More)));
        for _ in 0..2 {
            assert!(outbound.flush(&mut socket, &mut sent).is_err());
            assert_eq!((&socket[..], sent.len()), (&b"keys"[..], 0));
        }
        let (ours, mut theirs) = super::super::records::tests::agreed();
        outbound.set_records(ours.send);
        while outbound.flush(&mut socket, &mut sent).unwrap() != Flush::Empty {}
        assert!(records(&mut theirs.receive, &mut socket[4..]).concat().starts_with(b"too early"));
        assert_eq!(sent, [token(1)]);
    }

    fn rc4() -> Cipher {
        Cipher::Rc4(Box::new(wire::mse::Rc4::new(b"some key")))
    }

    #[test]
    fn a_piece_of_metadata_leaves_as_one_extended_message_and_is_answered_for() {
        let (mut outbound, mut sent, mut out) = (Outbound::default(), Vec::new(), Vec::new());
        let token = SendToken { link: LinkId { slot: 0, generation: 0 }, sequence: 1 << 31 };
        let bencoded =
            wire::metadata::MetadataMessage::Data { piece: 0, total_size: Some(5), at: 0 }.encode();
        outbound.extended(token, 7, &bencoded, Bytes::from_static(b"d1:x0"));
        outbound.message(&Message::Unchoke);
        while outbound.flush(&mut out, &mut sent).unwrap() != Flush::Empty {}
        assert_eq!(sent, [token]);
        let expected = Message::Extended { id: 7, body: [&bencoded[..], b"d1:x0"].concat().into() };
        let mut bytes = Vec::new();
        frame::encode(&Message::Unchoke, &mut bytes);
        frame::encode(&expected, &mut bytes);
        assert_eq!(out, bytes, "control messages overtake it");
    }

    #[test]
    fn every_frame_leaves_whole_and_is_told_once_however_the_socket_cuts() {
        for step in [5, 12, 13, 14, 1_000, 16_397, 70_000, usize::MAX] {
            for mut cipher in [Cipher::Plaintext, rc4()] {
                let (mut outbound, mut socket) = (Outbound::default(), Narrow { step, taken: Vec::new() });
                outbound.set_cipher(cipher.clone());
                outbound.handshake(b"keys");
                (0..70).for_each(|number| give(&mut outbound, number, 1 + number * 13));
                // More than is sealed at once.
                (70..80).for_each(|number| give(&mut outbound, number, 16_384));
                outbound.haves(&[PieceIndex(5), PieceIndex(6)]);
                let mut sent = Vec::new();
                while outbound.flush(&mut socket, &mut sent).unwrap() != Flush::Empty {}
                let expected: Vec<String> = ["Have(5)".to_string(), "Have(6)".to_string()]
                    .into_iter()
                    .chain((0..80).map(|number| format!("Block({number})")))
                    .collect();
                let (keys, frames) = socket.taken.split_at_mut(4);
                assert_eq!(keys, b"keys", "what belongs to the handshake is not turned");
                cipher.apply(frames);
                assert_eq!(heard(frames), expected, "in steps of {step}");
                assert_eq!(sent, (0..80).map(token).collect::<Vec<_>>());
                assert_eq!(outbound.take_overhead(), 4 + 18 + 80 * 13);
            }
        }
    }

    /// The clear bytes of each record.
    fn records(opener: &mut wire::private::Opener, mut sealed: &mut [u8]) -> Vec<Vec<u8>> {
        let mut records = Vec::new();
        while let Some(opened) = opener.open(sealed).unwrap() {
            records.push(sealed[opened.clear].to_vec());
            sealed = &mut sealed[opened.taken..];
        }
        assert!(sealed.is_empty(), "a record is torn");
        records
    }

    #[test]
    fn records_hold_whole_frames_however_the_socket_cuts() {
        for step in [5, 1_000, 16_397, 70_000, usize::MAX] {
            let (ours, mut theirs) = super::super::records::tests::agreed();
            let (mut outbound, mut socket) = (Outbound::default(), Narrow { step, taken: Vec::new() });
            outbound.handshake(b"keys");
            outbound.set_records(ours.send);
            (0..70).for_each(|number| give(&mut outbound, number, 1 + number * 13));
            (70..80).for_each(|number| give(&mut outbound, number, 16_384));
            outbound.haves(&[PieceIndex(5), PieceIndex(6)]);
            let mut sent = Vec::new();
            while outbound.flush(&mut socket, &mut sent).unwrap() != Flush::Empty {}
            let (keys, sealed) = socket.taken.split_at_mut(4);
            assert_eq!(keys, b"keys", "what belongs to the handshake is not sealed");
            let records = records(&mut theirs.receive, sealed);
            let expected: Vec<String> = ["Have(5)".to_string(), "Have(6)".to_string()]
                .into_iter()
                .chain((0..80).map(|number| format!("Block({number})")))
                .collect();
            // `heard` would say that a frame is torn.
            assert_eq!(records.iter().flat_map(|record| heard(record)).collect::<Vec<_>>(), expected);
            assert!(records.len() <= 13, "small frames share records: {}", records.len());
            assert_eq!(sent, (0..80).map(token).collect::<Vec<_>>());
            let added = records.len() * wire::private::RECORD_OVERHEAD;
            assert_eq!(outbound.take_overhead() as usize, 4 + 18 + 80 * 13 + added);
        }
    }

    #[test]
    fn a_long_row_of_control_messages_takes_several_records_and_blocks_wait_behind_it() {
        let (ours, mut theirs) = super::super::records::tests::agreed();
        let (mut outbound, mut socket) = (Outbound::default(), Vec::new());
        outbound.set_records(ours.send);
        give(&mut outbound, 1, 100);
        let haves: Vec<PieceIndex> = (0..20_000).map(PieceIndex).collect();
        outbound.haves(&haves);
        let mut sent = Vec::new();
        while outbound.flush(&mut socket, &mut sent).unwrap() != Flush::Empty {
            assert!(outbound.sealed.len() <= 66 * 1024);
        }
        let clear = records(&mut theirs.receive, &mut socket).concat();
        let expected = haves.iter().map(|piece| format!("Have({})", piece.0));
        assert_eq!(heard(&clear), expected.chain(["Block(1)".to_string()]).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_sealed_is_bounded_and_nothing_in_it_is_recalled_or_forgotten() {
        let (mut outbound, mut socket) = (Outbound::default(), Narrow { step: 20, taken: Vec::new() });
        outbound.set_cipher(rc4());
        (0..40).for_each(|number| give(&mut outbound, number, 16_384));
        let mut sent = Vec::new();
        outbound.flush(&mut socket, &mut sent).unwrap();
        assert_eq!((outbound.sealed.len(), sent.len()), (SEALED_LEN_MAX, 0));
        outbound.message(&Message::Choke);
        // Three blocks are sealed whole, the fourth in part; the fifth can be had back.
        let recalls = [0, 3, 4].map(|number| outbound.recall(token(number)));
        assert_eq!(recalls, [Recall::TooLate, Recall::TooLate, Recall::Recalled]);
        let left: Vec<_> = outbound.abandon().collect();
        assert_eq!(left, (0..40).filter(|number| *number != 4).map(token).collect::<Vec<_>>());
    }

    #[test]
    fn a_message_overtakes_blocks_but_not_the_one_that_is_partly_written() {
        let (mut outbound, mut socket) = (Outbound::default(), Narrow { step: 20, taken: Vec::new() });
        (1..4).for_each(|number| give(&mut outbound, number, 100));
        outbound.flush(&mut socket, &mut Vec::new()).unwrap();
        outbound.message(&Message::Choke);
        let mut sent = Vec::new();
        while outbound.flush(&mut socket, &mut sent).unwrap() != Flush::Empty {}
        assert_eq!(heard(&socket.taken), ["Block(1)", "Choke", "Block(2)", "Block(3)"]);
    }

    #[test]
    fn a_block_can_be_recalled_until_its_first_byte_leaves() {
        let (mut outbound, mut socket) = (Outbound::default(), Narrow { step: 20, taken: Vec::new() });
        (1..4).for_each(|number| give(&mut outbound, number, 100));
        outbound.expect(token(9), BlockRequest { piece: 9, offset: 0, len: 100 });
        outbound.flush(&mut socket, &mut Vec::new()).unwrap();
        assert_eq!(outbound.recall(token(1)), Recall::TooLate);
        assert_eq!(outbound.recall(token(2)), Recall::Recalled);
        assert_eq!(outbound.recall(token(9)), Recall::Recalled);
        assert_eq!(outbound.recall(token(7)), Recall::TooLate);
        assert_eq!(outbound.read_ended(token(9)), None, "its bytes come too late");
        assert_eq!(outbound.abandon().collect::<Vec<_>>(), [token(1), token(3)]);
    }
}
