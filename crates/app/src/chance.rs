//! Bytes that nobody can guess, from the operating system.

use crate::failure::Failure;
use crate::words::why;
use std::fs::File;
use std::io::Read;

/// So many of them.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    let read = File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut bytes));
    read.map_err(|error| Failure::plain(format!("the system gives no random bytes: {}", why(&error))))?;
    Ok(bytes)
}
