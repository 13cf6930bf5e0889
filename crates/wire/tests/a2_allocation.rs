//! Threat row A2: no claimed length is believed. A counting allocator sees how much a decoder takes: at most four times
//! what it was given, and nothing for a string that claims more than is there.
//!
//! The one `unsafe` of this crate's tests: Rust offers no other way to count allocations.

mod common;

use common::{Cases, Chance, many, single, torrent};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use wire::Metainfo;
use wire::bencode::{Bencode, BencodeFault, Limits, bytes, dict, int, list};
use wire::extension::ExtensionHandshake;
use wire::krpc::Packet;
use wire::tracker_http::Reply;

const CASES_MIN: usize = 400;

const WIDE: Limits = Limits { bytes: usize::MAX, tokens: usize::MAX, depth: usize::MAX };

thread_local! {
    /// Bytes that this thread holds, and the most it ever held, since the last reset.
    static HELD: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

struct Counting;

fn count(change: isize) {
    // A thread that ends may free after its locals are gone; nobody measures it then.
    let _ = HELD.try_with(|held| {
        let (now, most) = held.get();
        let now = now + change;
        held.set((now, most.max(now)));
    });
}

// SAFETY: every call is handed to the system's allocator unchanged; counting touches only a cell that needs no allocation.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most that `work` held at one time.
fn peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    HELD.set((0, 0));
    let result = work();
    (result, HELD.get().1 as usize)
}

/// Every power of two and of ten, one less and one more, up to 2^70.
fn claims() -> Vec<u128> {
    let twos = (0..=70).map(|power| 1_u128 << power);
    let tens = (0..=21).map(|power| 10_u128.pow(power));
    let mut claims: Vec<u128> = twos.chain(tens).flat_map(|claim| [claim - 1, claim, claim + 1]).collect();
    claims.sort_unstable();
    claims.dedup();
    claims.retain(|&claim| claim > 0);
    claims
}

#[test]
fn a_string_that_claims_more_than_is_there_costs_nothing() {
    let mut cases = Cases::of("A2, claimed lengths");
    for claim in claims() {
        // One byte less than claimed, or a few if the claim is large.
        let body = vec![b'x'; (claim - 1).min(40) as usize];
        let string = [format!("{claim}:").as_bytes(), &body].concat();
        let inputs = [
            string.clone(),
            [b"l".as_slice(), &string].concat(),
            [b"d".as_slice(), &string].concat(),
            [b"d4:infod4:name".as_slice(), &string].concat(),
            [b"d5:peers".as_slice(), &string].concat(),
        ];
        for input in inputs {
            let (refused, held) = peak(|| {
                let fault = Bencode::parse(&input, &Limits::TORRENT).map(|_| ()).unwrap_err().fault;
                let entries = [
                    Metainfo::parse(&input).is_err(),
                    Metainfo::from_info(&input).is_err(),
                    Reply::decode(&input).is_err(),
                    ExtensionHandshake::decode(&input).is_err(),
                    Bencode::parse_prefix(&input, &Limits::EXTENSION_HEAD).is_err(),
                    Packet::decode(&input).is_err(),
                ];
                fault == BencodeFault::StringPastEnd && entries == [true; 6]
            });
            assert!(refused, "{}", input.escape_ascii());
            assert_eq!(held, 0, "{}", input.escape_ascii());
            cases.add();
        }
    }
    cases.finish(CASES_MIN);
}

#[test]
fn a_tape_takes_at_most_four_times_its_input() {
    let mut inputs: Vec<Vec<u8>> = vec![
        [vec![b'l'; 100_000], vec![b'e'; 100_000]].concat(),
        [b"l".as_slice(), &b"0:".repeat(100_000), b"e"].concat(),
        [b"l".as_slice(), &b"le".repeat(100_000), b"e"].concat(),
        [b"d".as_slice(), &b"0:0:".repeat(100_000), b"e"].concat(),
        b"de".to_vec(),
        b"0:".to_vec(),
    ];
    let mut chance = Chance(0xA2);
    for _ in 0..100 {
        let items = (0..chance.below(300)).map(|_| match chance.below(4) {
            0 => int(chance.next() as i64),
            1 => bytes(vec![b'x'; chance.below(9)]),
            2 => list([]),
            _ => dict([("k", int(chance.below(10) as i64))]),
        });
        inputs.push(list(items.collect::<Vec<_>>()).into_bytes());
    }
    let mut cases = Cases::of("A2, tapes");
    for input in inputs {
        let (parsed, held) = peak(|| Bencode::parse(&input, &WIDE));
        assert!(parsed.is_ok());
        assert!(held <= 4 * input.len(), "{held} bytes for {}", input.len());
        // Cut anywhere, nothing at all.
        let cut = &input[..chance.below(input.len())];
        let (parsed, held) = peak(|| Bencode::parse(cut, &WIDE).is_err());
        assert!(parsed && held == 0);
        cases.add();
    }
    cases.finish(100);
}

/// Reading a torrent works out paths, so it takes more than a tape, but no more than this for the densest input there is.
const TORRENT_FACTOR_MAX: usize = 10;

#[test]
fn a_torrent_takes_memory_in_proportion_to_itself() {
    let one = |path: &[u8]| dict([("length", int(0)), ("path", list([bytes(path)]))]);
    let names = |count: usize| (0..count).map(|n| one(format!("{n:x}").as_bytes())).collect::<Vec<_>>();
    let mut full = names(20_000);
    full.push(dict([("length", int(1)), ("path", list([bytes("z")]))]));
    let mut deep: Vec<_> = (0..2_000)
        .map(|n: usize| {
            let elements = (0..60).map(|_| bytes("a")).chain([bytes(format!("{n}"))]);
            dict([("length", int(1)), ("path", list(elements.collect::<Vec<_>>()))])
        })
        .collect();
    let long_top = many(full.clone(), &[b'n'; 240]);
    deep.truncate(2_000);
    let inputs = [
        ("many tiny files", many(full, b"n")),
        ("a long top directory", long_top),
        ("deep files", many(deep, b"n")),
        ("one file", single(int(100_000), int(1), 100_000, vec![])),
    ];
    for (what, info) in inputs {
        let input = torrent(info);
        let (parsed, held) = peak(|| Metainfo::parse(&input).map(drop));
        assert_eq!(parsed, Ok(()), "{what}");
        println!(
            "{what}: {} bytes, at most {:.1} times that held",
            input.len(),
            held as f64 / input.len() as f64
        );
        assert!(held <= TORRENT_FACTOR_MAX * input.len(), "{what}: {held} for {}", input.len());
    }
}

/// What a datagram of the DHT may take at most for each of its bytes: a peer packed into six is kept in 32, beside the tape.
const DATAGRAM_FACTOR_MAX: usize = 10;

#[test]
fn a_datagram_takes_memory_in_proportion_to_itself() {
    let reply = |key: &str, value| {
        let said = dict([("id", bytes([1; 20])), (key, value)]);
        dict([("r", said), ("t", bytes("xy")), ("y", bytes("r"))]).into_bytes()
    };
    let inputs = [
        ("peers in one string", reply("values", list([bytes([7; 6 * 128])]))),
        ("peers in a list", reply("values", list((0..128).map(|_| bytes([7; 6]))))),
        ("nodes", reply("nodes", bytes([7; 26 * 60]))),
        ("samples", reply("samples", bytes([7; 20 * 90]))),
        ("a dense value", reply("v", list((0..449).map(|_| bytes([]))))),
        ("filters", reply("BFsd", bytes([7; 256]))),
    ];
    for (what, input) in inputs {
        let (read, held) = peak(|| Packet::decode(&input));
        assert!(read.is_ok(), "{what}: {read:?}");
        println!(
            "{what}: {} bytes, at most {:.1} times that held",
            input.len(),
            held as f64 / input.len() as f64
        );
        assert!(held <= DATAGRAM_FACTOR_MAX * input.len(), "{what}: {held} for {}", input.len());
    }
}
