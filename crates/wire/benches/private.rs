//! What a private link costs: a handshake on each side, a stranger refused, and its records beside RC4 and ChaCha20-Poly1305; and what
//! the exchange of a code costs each side.
//!
//! `cargo bench -p gannet-wire --bench private`. Figures are processor time. Not a test: it asserts nothing and runs by hand.

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use std::hint::black_box;
use std::time::Duration;
use wire::code::Code;
use wire::mse::Rc4;
use wire::pairing::{Hello, PAIRING_CHANCE_LEN, Receiver};
use wire::private::{Agreed, Initiator, Responder, SwarmKey};

const HANDSHAKES: u32 = 2_000;
const KEY: SwarmKey = SwarmKey([1; 32]);

/// A block with its head.
const BLOCK: usize = 16 * 1024 + 13;
const BYTES: usize = 512 * 1024 * 1024;

fn main() {
    let (mut dialled, mut accepted, mut refused) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    for n in 0..HANDSHAKES {
        handshake(n, &mut dialled, &mut accepted);
        timed(&mut refused, || black_box(Responder::recognise(&KEY, &[0x55; 48]).is_err()));
    }
    println!("one handshake, who dialled:      {:>8.1} us", micros(dialled));
    println!("one handshake, who was dialled:  {:>8.1} us", micros(accepted));
    println!("a stranger refused:              {:>8.1} us", micros(refused));
    let (receiver, sharer) = codes();
    println!("one code, who receives:          {:>8.1} us", micros(receiver));
    println!("one code, who shares:            {:>8.1} us", micros(sharer));
    for round in 1..=3 {
        let (seal, open) = records();
        println!("round {round}: copying a block:           {:>6.0} MB/s", copying());
        println!("round {round}: RC4:                       {:>6.0} MB/s", rc4());
        println!("round {round}: copied and sealed:         {seal:>6.0} MB/s");
        println!("round {round}: opened in place:           {open:>6.0} MB/s");
        println!("round {round}: ChaCha20-Poly1305 instead: {:>6.0} MB/s", chacha());
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6 / f64::from(HANDSHAKES)
}

fn chance(n: u32) -> [u8; 32] {
    let mut bytes = [3; 32];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    bytes
}

fn timed<T>(total: &mut Duration, work: impl FnOnce() -> T) -> T {
    let began = processor_time();
    let done = work();
    *total += processor_time() - began;
    done
}

/// What this thread has spent so far: figures do not depend on what else the machine does.
fn processor_time() -> Duration {
    let schedule = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = schedule.split(' ').next().and_then(|text| text.parse().ok());
    Duration::from_nanos(nanos.unwrap_or_default())
}

/// Both sides of one handshake.
fn handshake(n: u32, dialled: &mut Duration, accepted: &mut Duration) -> Option<(Agreed, Agreed)> {
    let (mut forth, mut back) = (Vec::new(), Vec::new());
    let mut initiator = timed(dialled, || Initiator::new(&KEY, chance(n), &mut forth));
    let first = forth.first_chunk()?;
    let theirs =
        timed(accepted, || Responder::recognise(&KEY, first)?.answer(chance(n + 7), &mut back)).ok()?;
    let (_, ours) = timed(dialled, || initiator.read(&back)).ok()?;
    Some((ours?, theirs))
}

/// Exchanges of a code, each side's part.
fn codes() -> (Duration, Duration) {
    let (mut receivers, mut sharers) = (Duration::ZERO, Duration::ZERO);
    let code = Code::draw([1, 2, 3, 4, 5, 6]);
    for n in 0..HANDSHAKES {
        let mut chance = [7; PAIRING_CHANCE_LEN];
        chance[..4].copy_from_slice(&n.to_be_bytes());
        let (mut forth, mut back, mut proof) = (Vec::new(), Vec::new(), Vec::new());
        let mut receiver = timed(&mut receivers, || Receiver::new(&code, chance, &mut forth));
        let sharer =
            timed(&mut sharers, || Hello::read(&forth).ok()??.answer(&code, [n as u8; 64], &mut back).ok());
        let heard = timed(&mut receivers, || receiver.read(&back, &mut proof).is_ok());
        let proof = proof.first_chunk().copied();
        let paired = timed(&mut sharers, || sharer?.claim(proof?).accept(&mut back).ok());
        black_box((heard, paired));
    }
    (receivers, sharers)
}

fn rate(time: Duration) -> f64 {
    BYTES as f64 / 1e6 / time.as_secs_f64()
}

/// Four blocks at a time, as links send them.
fn records() -> (f64, f64) {
    let (mut seal, mut open, mut unused) = (Duration::ZERO, Duration::ZERO, [Duration::ZERO; 2]);
    let [dialled, accepted] = &mut unused;
    let Some((mut ours, mut theirs)) = handshake(0, dialled, accepted) else {
        return (0.0, 0.0);
    };
    let (block, mut out) = (vec![7; BLOCK], Vec::new());
    for _ in 0..BYTES / BLOCK / 4 {
        out.clear();
        timed(&mut seal, || (0..4).for_each(|_| _ = ours.send.seal([black_box(&block[..])], &mut out)));
        timed(&mut open, || {
            let mut rest = &mut out[..];
            while let Ok(Some(opened)) = theirs.receive.open(rest) {
                rest = &mut rest[opened.taken..];
            }
            assert!(rest.is_empty());
        });
    }
    (rate(seal), rate(open))
}

fn copying() -> f64 {
    let (block, mut out, mut time) = (vec![7; BLOCK], Vec::new(), Duration::ZERO);
    timed(&mut time, || {
        for _ in 0..BYTES / BLOCK {
            out.clear();
            out.extend_from_slice(black_box(&block[..]));
            black_box(&mut out);
        }
    });
    rate(time)
}

fn rc4() -> f64 {
    let (mut rc4, mut block, mut time) = (Rc4::new(b"some key"), vec![7; BLOCK], Duration::ZERO);
    timed(&mut time, || (0..BYTES / BLOCK).for_each(|_| rc4.apply(black_box(&mut block))));
    rate(time)
}

fn chacha() -> f64 {
    let Ok(key) = UnboundKey::new(&CHACHA20_POLY1305, &[1; 32]).map(LessSafeKey::new) else { return 0.0 };
    let (mut block, mut time) = (vec![7; BLOCK], Duration::ZERO);
    timed(&mut time, || {
        for n in 0..(BYTES / BLOCK) as u64 {
            let mut nonce = [0; 12];
            nonce[4..].copy_from_slice(&n.to_be_bytes());
            let nonce = Nonce::assume_unique_for_key(nonce);
            black_box(key.seal_in_place_separate_tag(nonce, Aad::empty(), black_box(&mut block)).is_ok());
        }
    });
    rate(time)
}
