//! The two short strings that come back as they were given, kept without an allocation. BEP: 5

use core::fmt;

/// Longest transaction id that is read, in bytes. Clients use 2 to 8; what is longer is no client's.
pub const TRANSACTION_LEN_MAX: usize = 20;

/// Longest token that is read, in bytes: as long as the longest hash in use as one, SHA-1, twice over. Longer ones would have us
/// carry a stranger's bytes about (threat D4).
pub const TOKEN_LEN_MAX: usize = 40;

/// A string of at most `N` bytes; those behind its length are 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Short<const N: usize> {
    bytes: [u8; N],
    len: u8,
}

impl<const N: usize> Short<N> {
    fn from(from: &[u8]) -> Option<Short<N>> {
        let mut bytes = [0; N];
        bytes.get_mut(..from.len())?.copy_from_slice(from);
        Some(Short { bytes, len: u8::try_from(from.len()).ok()? })
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    fn fmt(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{name}(")?;
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

/// What a question is told apart by: 1 to [`TRANSACTION_LEN_MAX`] bytes that its answer bears too.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Transaction(Short<TRANSACTION_LEN_MAX>);

impl Transaction {
    /// These bytes; none if they are none or too many.
    pub fn from(bytes: &[u8]) -> Option<Transaction> {
        Short::from(bytes).filter(|short| short.len > 0).map(Transaction)
    }

    /// Two bytes, as most clients use.
    pub fn from_u16(number: u16) -> Transaction {
        let [a, b] = number.to_be_bytes();
        Transaction(of([a, b]))
    }

    /// Four bytes: harder to guess.
    pub fn from_u32(number: u32) -> Transaction {
        Transaction(of(number.to_be_bytes()))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The number, if it is one of two bytes.
    pub fn as_u16(&self) -> Option<u16> {
        self.as_bytes().try_into().ok().map(u16::from_be_bytes)
    }

    /// The number, if it is one of four bytes.
    pub fn as_u32(&self) -> Option<u32> {
        self.as_bytes().try_into().ok().map(u32::from_be_bytes)
    }
}

/// What a node gives to those who may store something with it: 0 to [`TOKEN_LEN_MAX`] bytes that only it understands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(Short<TOKEN_LEN_MAX>);

impl Token {
    /// These bytes; none if they are too many.
    pub fn from(bytes: &[u8]) -> Option<Token> {
        Short::from(bytes).map(Token)
    }

    /// As many bytes as there are, at most [`TOKEN_LEN_MAX`].
    pub fn from_array<const LEN: usize>(bytes: [u8; LEN]) -> Token {
        Token(of(bytes))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt("Transaction", f)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt("Token", f)
    }
}

/// Few bytes, as many as they are.
fn of<const LEN: usize, const N: usize>(from: [u8; LEN]) -> Short<N> {
    const { assert!(LEN <= N && N <= u8::MAX as usize) };
    let mut bytes = [0; N];
    bytes.iter_mut().zip(from).for_each(|(to, byte)| *to = byte);
    Short { bytes, len: LEN as u8 }
}
