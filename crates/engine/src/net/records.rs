//! What lies in the chunk of a private link: clear bytes that are unread, then sealed ones. Between the two is a gap of what
//! records add to what they carry, if a record was opened behind clear bytes.
//!
//! A record is opened where it landed. Only if a message began in the one before are its bytes moved, by the gap, so that the
//! message stands in one piece; our own sender ends records with messages. A member that sends a byte a record has each moved
//! twice at most: once to the others, and once when the gap is closed for want of room.
//!
//! Invariants: without clear bytes the chunk begins with the next record; while a message is unfinished the chunk holds no more than
//! that message and one record.

use bytes::BytesMut;
use wire::handshake::HANDSHAKE_LEN;
use wire::private::{Opener, PrivateError, RECORD_CLEAR_MAX, RECORD_OVERHEAD};

/// See the module.
#[derive(Debug)]
pub(super) struct Records {
    opener: Opener,
    /// How many clear bytes the chunk begins with.
    clear: usize,
    /// Where the sealed ones begin.
    sealed_at: usize,
}

impl Records {
    /// Nothing opened yet: the chunk begins with the first record.
    pub(super) fn new(opener: Opener) -> Records {
        Records { opener, clear: 0, sealed_at: 0 }
    }

    /// Opens the next record, if it is whole.
    ///
    /// # Errors
    /// When it is not what the other side sealed.
    pub(super) fn open(&mut self, chunk: &mut BytesMut) -> Result<bool, PrivateError> {
        let Some(opened) = self.opener.open(&mut chunk[self.sealed_at..])? else { return Ok(false) };
        let len = opened.clear.len();
        if self.clear == 0 {
            drop(chunk.split_to(opened.clear.start));
            self.sealed_at = opened.taken - opened.clear.start;
        } else {
            let start = self.sealed_at + opened.clear.start;
            chunk.copy_within(start..start + len, self.clear);
            self.sealed_at += opened.taken;
        }
        self.clear += len;
        Ok(true)
    }

    /// So many clear bytes have been taken from the front of the chunk.
    pub(super) fn taken(&mut self, len: usize, chunk: &mut BytesMut) {
        self.clear -= len;
        self.sealed_at -= len;
        if self.clear == 0 {
            drop(chunk.split_to(self.sealed_at));
            self.sealed_at = 0;
        }
    }

    /// How many clear bytes the chunk begins with.
    pub(super) fn clear(&self) -> usize {
        self.clear
    }

    /// How long the chunk must become before the link can go on, as far as that is known: as long as the next record, and if a
    /// message is unfinished, of which `message` bytes must be there, long enough for it and any record, so that what is
    /// there of it is not moved again however short its records are.
    pub(super) fn wanted(&self, message: usize) -> usize {
        match self.clear {
            0 => self.opener.wanted(),
            clear => clear.max(message).max(HANDSHAKE_LEN) + RECORD_CLEAR_MAX + RECORD_OVERHEAD,
        }
    }

    /// Closes the gap if the next record does not find room behind it, or if that costs no more than was received to make it.
    /// Says how many bytes were moved.
    pub(super) fn close_gap(&mut self, chunk: &mut BytesMut) -> usize {
        let (gap, rest) = (self.sealed_at - self.clear, chunk.len() - self.sealed_at);
        let is_tight = self.sealed_at + self.opener.wanted() > chunk.capacity();
        if gap == 0 || gap < rest && !is_tight {
            return 0;
        }
        chunk.copy_within(self.sealed_at.., self.clear);
        chunk.truncate(self.clear + rest);
        self.sealed_at = self.clear;
        rest
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use wire::private::{Agreed, HEADER_LEN, Initiator, Responder, SwarmKey};

    const TAG_LEN: usize = RECORD_OVERHEAD - HEADER_LEN;

    /// Both ends of a private link.
    pub(in crate::net) fn agreed() -> (Agreed, Agreed) {
        let (key, mut forth, mut back) = (SwarmKey([1; 32]), Vec::new(), Vec::new());
        let mut initiator = Initiator::new(&key, [2; 32], &mut forth);
        let responder = Responder::recognise(&key, forth.first_chunk().unwrap()).unwrap();
        let theirs = responder.answer([3; 32], &mut back).unwrap();
        (initiator.read(&back).unwrap().1.unwrap(), theirs)
    }

    #[test]
    fn a_record_without_unread_bytes_before_it_is_not_moved() {
        let (mut ours, theirs) = agreed();
        let mut chunk = BytesMut::new();
        let mut sealed = Vec::new();
        ours.send.seal([&b"first"[..]], &mut sealed).unwrap();
        ours.send.seal([&b"second"[..]], &mut sealed).unwrap();
        chunk.extend_from_slice(&sealed);
        let place = chunk.as_ptr() as usize;
        let mut records = Records::new(theirs.receive);
        assert!(records.open(&mut chunk).unwrap());
        assert_eq!((&chunk[..records.clear()], chunk.as_ptr() as usize), (&b"first"[..], place + HEADER_LEN));
        let second = place + 5 + wire::private::RECORD_OVERHEAD + HEADER_LEN;
        drop(chunk.split_to(5));
        records.taken(5, &mut chunk);
        assert!(records.open(&mut chunk).unwrap());
        assert_eq!((&chunk[..records.clear()], chunk.as_ptr() as usize), (&b"second"[..], second));
        drop(chunk.split_to(6));
        records.taken(6, &mut chunk);
        assert!(chunk.is_empty() && !records.open(&mut chunk).unwrap());
    }

    #[test]
    fn unread_bytes_and_the_next_record_stand_in_one_piece() {
        let (mut ours, theirs) = agreed();
        let (mut chunk, mut sealed) = (BytesMut::new(), Vec::new());
        for part in [&b"be"[..], b"gi", b"n", b"ning, end"] {
            ours.send.seal([part], &mut sealed).unwrap();
        }
        chunk.extend_from_slice(&sealed);
        let mut records = Records::new(theirs.receive);
        assert!(records.open(&mut chunk).unwrap());
        drop(chunk.split_to(1));
        records.taken(1, &mut chunk);
        while records.open(&mut chunk).unwrap() {}
        assert_eq!(&chunk[..records.clear()], b"eginning, end");
        let gap = chunk.len() - records.clear();
        assert_eq!((gap, records.close_gap(&mut chunk), chunk.len()), (3 * RECORD_OVERHEAD + TAG_LEN, 0, 13));
        assert!(records.wanted(100) >= 100 + HEADER_LEN, "the header of the next is to come");
    }
}
