//! Buffers for reading, used again: a block on its way out should cost a read and no allocation of fresh, zeroed memory.

use bytes::Bytes;
use std::sync::{Arc, Mutex, PoisonError};

/// Unused buffers kept per size: 16 of 1 MiB and 64 of 16 KiB are 17 MiB.
const KEPT_LARGE_MAX: usize = 16;
const KEPT_SMALL_MAX: usize = 64;

/// Most reads are of one block.
const SMALL_LEN: usize = 16 * 1024;

/// Unused buffers.
#[derive(Default)]
pub(crate) struct Buffers {
    small: Mutex<Vec<Vec<u8>>>,
    large: Mutex<Vec<Vec<u8>>>,
}

/// A buffer on loan; goes back when the last slice of it is dropped.
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    len: usize,
    home: Arc<Buffers>,
}

impl Buffers {
    /// A buffer of this length; what is in it is of no meaning.
    pub(crate) fn take(self: &Arc<Buffers>, len: usize) -> Buffer {
        let mut bytes =
            self.kept(len).lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        if bytes.len() < len {
            bytes.resize(len.max(SMALL_LEN), 0);
        }
        Buffer { bytes, len, home: Arc::clone(self) }
    }

    fn kept(&self, len: usize) -> &Mutex<Vec<Vec<u8>>> {
        if len <= SMALL_LEN { &self.small } else { &self.large }
    }
}

impl Buffer {
    /// The bytes, to be filled.
    pub(crate) fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.len]
    }

    /// The bytes, to be shared.
    pub(crate) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let max = if self.len <= SMALL_LEN { KEPT_SMALL_MAX } else { KEPT_LARGE_MAX };
        let mut kept = self.home.kept(self.len).lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < max {
            kept.push(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_when_its_last_slice_goes() {
        let buffers = Arc::new(Buffers::default());
        let mut buffer = buffers.take(100_000);
        buffer.as_mut().fill(7);
        let bytes = buffer.freeze();
        let slice = bytes.slice(5..10);
        drop(bytes);
        assert_eq!(buffers.large.lock().unwrap().len(), 0);
        assert_eq!(slice, [7; 5][..]);
        drop(slice);
        assert_eq!(buffers.large.lock().unwrap().len(), 1);
        assert_eq!(buffers.take(SMALL_LEN).as_ref().len(), SMALL_LEN);
        assert_eq!(buffers.large.lock().unwrap().len(), 1);
    }
}
