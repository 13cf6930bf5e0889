//! Seals of rows: 64 bits of SipHash over the other columns, so that a flipped bit is found. Against accidents, not people.

use super::record::Swarm;
use siphasher::sip128::SipHasher24;
use wire::InfoHash;

/// Gathers a row's columns, each with its length, so that no two rows look alike. Rows that hang on a torrent are sealed
/// with its info-hash: a flipped bit in a row number must not give one torrent's progress to another.
#[derive(Default)]
pub(super) struct Seal(Vec<u8>);

impl Seal {
    /// Over the columns that a torrent's row has had since version 1: its blobs, its numbers, and those that may be absent.
    pub(super) fn of_torrent(blobs: [&[u8]; 4], numbers: [i64; 3], absent: [Option<i64>; 2]) -> Seal {
        let sealed = blobs.into_iter().fold(Seal::default(), Seal::bytes).numbers(&numbers);
        absent.into_iter().fold(sealed, Seal::maybe)
    }

    /// Appends a column.
    pub(super) fn bytes(mut self, bytes: &[u8]) -> Seal {
        self.0.extend((bytes.len() as u64).to_le_bytes());
        self.0.extend(bytes);
        self
    }

    /// Appends columns.
    pub(super) fn numbers(mut self, numbers: &[i64]) -> Seal {
        self.0.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        self
    }

    fn maybe(mut self, number: Option<i64>) -> Seal {
        self.0.push(u8::from(number.is_some()));
        self.numbers(&[number.unwrap_or(0)])
    }

    /// What is written in the row. The key is fixed: a seal finds accidents.
    pub(super) fn end(self) -> i64 {
        SipHasher24::new_with_key(b"gannet state row").hash(&self.0).h1 as i64
    }
}

/// Among whom a torrent is kept, by what its row says.
pub(super) fn swarm_from(info_hash: InfoHash, mark: Vec<u8>, seal: i64) -> Swarm {
    if seal != swarm_seal(info_hash, &mark) {
        return Swarm::Unknown;
    }
    match (mark.is_empty(), mark.try_into()) {
        (true, _) => Swarm::Open,
        (false, Ok(mark)) => Swarm::Private(mark),
        (false, Err(_)) => Swarm::Unknown,
    }
}

/// The seal of that: it has one of its own, see `schema`.
pub(super) fn swarm_seal(info_hash: InfoHash, mark: &[u8]) -> i64 {
    Seal::default().bytes(&info_hash.0).bytes(mark).end()
}
