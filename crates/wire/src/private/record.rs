//! Records: what a private link carries after its handshake. Each says its length sealed, then its bytes sealed; the count of
//! all before it is part of both, so that nothing can be changed, left out, repeated or reordered unnoticed.
//!
//! A record ends where its sender wants: one that holds whole messages is opened where it landed and nothing of it is moved.
//! Invariants: no clear byte is shown before its record has proved whole; what cannot be sealed is not appended.

use super::PrivateError;
use super::noise::{CipherState, TAG_LEN};
use core::ops::Range;

/// Clear bytes in one record at most: a block of 16 KiB with its head, or a piece of metadata with its.
pub const RECORD_CLEAR_MAX: usize = 16 * 1024 + 128;

const LENGTH_LEN: usize = 2;

/// Before the clear bytes: their number and its tag.
pub const HEADER_LEN: usize = LENGTH_LEN + TAG_LEN;

/// What a record adds to its clear bytes: 0.2 % of a block.
pub const RECORD_OVERHEAD: usize = HEADER_LEN + TAG_LEN;

/// Seals what is sent.
#[derive(Debug)]
pub struct Sealer(Option<CipherState>);

impl Sealer {
    pub(super) fn new(cipher: CipherState) -> Sealer {
        Sealer(Some(cipher))
    }

    /// Seals under a key that was agreed upon otherwise, and that only the other side's [`Opener::of`] has.
    pub(crate) fn of(key: [u8; 32]) -> Sealer {
        Sealer(Some(CipherState::new(key)))
    }

    /// Appends these bytes, one after the other, as records: one if they fit, else as few as possible.
    ///
    /// # Errors
    /// When one cannot be sealed, and ever after: then nothing is appended of any.
    pub fn seal<'a>(
        &mut self,
        clear: impl IntoIterator<Item = &'a [u8]>,
        out: &mut Vec<u8>,
    ) -> Result<(), PrivateError> {
        let mut cipher = self.0.take().ok_or(PrivateError::Unsealed)?;
        let before = out.len();
        match seal(&mut cipher, clear, out) {
            Some(()) => {
                self.0 = Some(cipher);
                Ok(())
            }
            None => {
                out.truncate(before);
                Err(PrivateError::Unsealed)
            }
        }
    }
}

fn seal<'a>(
    cipher: &mut CipherState,
    clear: impl IntoIterator<Item = &'a [u8]>,
    out: &mut Vec<u8>,
) -> Option<()> {
    let mut start = begin(out);
    for mut slice in clear {
        while !slice.is_empty() {
            let room = (start + HEADER_LEN + RECORD_CLEAR_MAX).saturating_sub(out.len());
            if room == 0 {
                end(cipher, start, out)?;
                start = begin(out);
                continue;
            }
            let (now, later) = slice.split_at(slice.len().min(room));
            out.extend_from_slice(now);
            slice = later;
        }
    }
    end(cipher, start, out)
}

/// Leaves room for a header, and says where.
fn begin(out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_LEN]);
    start
}

/// Seals a record that is complete; one that carries nothing is left out.
fn end(cipher: &mut CipherState, start: usize, out: &mut Vec<u8>) -> Option<()> {
    let body = start + HEADER_LEN;
    let len = out.len().saturating_sub(body);
    if len == 0 {
        out.truncate(start);
        return Some(());
    }
    let mut length = (len as u16).to_be_bytes();
    let length_tag = cipher.seal(&[], &mut length)?;
    let head = out.get_mut(start..)?.iter_mut();
    head.zip(length.into_iter().chain(length_tag)).for_each(|(place, byte)| *place = byte);
    let tag = cipher.seal(&[], out.get_mut(body..)?)?;
    out.extend_from_slice(&tag);
    Some(())
}

/// Opens what is received.
#[derive(Debug)]
pub struct Opener {
    /// `None` after an error.
    cipher: Option<CipherState>,
    /// The length of the record that is coming, once its header was opened.
    len: Option<usize>,
}

/// A record that has proved whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Opened {
    /// Where its clear bytes stand now.
    pub clear: Range<usize>,
    /// How many bytes it took in all.
    pub taken: usize,
}

impl Opener {
    pub(super) fn new(cipher: CipherState) -> Opener {
        Opener { cipher: Some(cipher), len: None }
    }

    /// Opens what is sealed under this key by the other side's [`Sealer::of`].
    pub(crate) fn of(key: [u8; 32]) -> Opener {
        Opener::new(CipherState::new(key))
    }

    /// Opens, in place, the record that begins with the first of these bytes; `None` if it is not whole yet. The same bytes
    /// are to be shown again then, with more behind them.
    ///
    /// # Errors
    /// When it was not sealed by the other side, or not as the next one; then nothing more is opened.
    pub fn open(&mut self, bytes: &mut [u8]) -> Result<Option<Opened>, PrivateError> {
        let mut cipher = self.cipher.take().ok_or(PrivateError::Over)?;
        let len = match self.len {
            Some(len) => len,
            None => {
                let Some(header) = bytes.first_chunk::<HEADER_LEN>() else {
                    self.cipher = Some(cipher);
                    return Ok(None);
                };
                let len = open_length(&mut cipher, *header)?;
                self.len = Some(len);
                len
            }
        };
        let end = HEADER_LEN + len + TAG_LEN;
        if let Some(sealed) = bytes.get_mut(HEADER_LEN..end) {
            cipher.open(&[], sealed).ok_or(PrivateError::Altered)?;
            (self.cipher, self.len) = (Some(cipher), None);
            return Ok(Some(Opened { clear: HEADER_LEN..HEADER_LEN + len, taken: end }));
        }
        self.cipher = Some(cipher);
        Ok(None)
    }

    /// How many bytes must be there before [`Opener::open`] can go on: a header, or the whole record.
    pub fn wanted(&self) -> usize {
        self.len.map_or(HEADER_LEN, |len| len + RECORD_OVERHEAD)
    }
}

fn open_length(cipher: &mut CipherState, mut header: [u8; HEADER_LEN]) -> Result<usize, PrivateError> {
    cipher.open(&[], &mut header).ok_or(PrivateError::Altered)?;
    let [high, low, ..] = header;
    let len = u16::from_be_bytes([high, low]);
    match usize::from(len) {
        0 => Err(PrivateError::Length(0)),
        len @ 1..=RECORD_CLEAR_MAX => Ok(len),
        _ => Err(PrivateError::Length(len)),
    }
}
