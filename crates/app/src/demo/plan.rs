//! What is compared: how large the file is, who wants it, how fast everybody may send. Pure.

use std::time::Duration;

/// What the server and the seed may send each, in bytes per second: slow enough to watch.
pub(super) const ORIGIN_RATE: u64 = 1 << 20;

/// What each peer may send: a quarter of it, as home lines are slower than servers.
pub(super) const PEER_RATE: u64 = ORIGIN_RATE / 4;

/// Peers that each serves at once, by tit for tat, and one more on trial: with so few at hand, more would be everybody.
pub(super) const SLOTS: &str = "3";

/// How long the server takes for everybody: long enough to press keys, short enough to wait for.
const SERVER_TIME: Duration = Duration::from_secs(39);

/// Some hundred pieces, so that the map of pieces has something to show.
pub(super) const PIECE_LEN: u32 = 64 << 10;

/// What the file is called.
pub(super) const FILE_NAME: &str = "gannet-demo.bin";

/// Who takes part; those behind the first few come when they are called.
const NAMES: [&str; 16] = [
    "ann", "ben", "cat", "dan", "eva", "fay", "gus", "hal", "ida", "jan", "kim", "leo", "mia", "ned", "oda",
    "pia",
];

/// As many people as there are names.
pub(super) const PEOPLE_MAX: usize = NAMES.len();

/// The name of the person with this number.
pub(super) fn name(number: usize) -> &'static str {
    NAMES[number % NAMES.len()]
}

/// Bytes of the file for so many people, in whole pieces: the server's time is the same for any number.
pub(super) fn file_len(people: usize) -> u64 {
    let share = ORIGIN_RATE * SERVER_TIME.as_secs() / people.max(1) as u64;
    (share / u64::from(PIECE_LEN)).max(1) * u64::from(PIECE_LEN)
}

/// The content: bytes that look random, the same every time.
pub(super) fn content(len: u64) -> Vec<u8> {
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut bytes = Vec::with_capacity(len as usize + 8);
    while (bytes.len() as u64) < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(len as usize);
    bytes
}
