//! A connection of which only so much is read at once. What reads frames goes on for as long as there are any, and of those that are
//! empty, or parts of a message without end, there may always be more: here it is told to pause. Threat C13

use crate::stream::Stream;
use std::io::{self, ErrorKind, Read, Write};

/// Bytes read in one turn, after which others get theirs. Some sixteen usual messages.
const TURN_LEN_MAX: usize = 64 * 1024;

/// The connection.
pub(super) struct Metered {
    stream: Stream,
    left: usize,
}

impl Metered {
    pub(super) fn new(stream: Stream) -> Metered {
        Metered { stream, left: 0 }
    }

    pub(super) fn stream_mut(&mut self) -> &mut Stream {
        &mut self.stream
    }

    /// A turn begins.
    pub(super) fn begin(&mut self) {
        self.left = TURN_LEN_MAX;
    }

    /// Bytes read since it began.
    pub(super) fn read_in_turn(&self) -> usize {
        TURN_LEN_MAX - self.left
    }
}

impl Read for Metered {
    /// As the connection's; `Interrupted` too when enough was read in this turn.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = buffer.len().min(self.left);
        if room == 0 {
            return Err(ErrorKind::Interrupted.into());
        }
        let len = self.stream.read(&mut buffer[..room])?;
        self.left -= len;
        Ok(len)
    }
}

impl Write for Metered {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
