//! What encryption costs: a handshake on each side, a refused one, and the stream.
//!
//! `cargo bench -p gannet-wire --bench mse`. Figures are processor time. From them `proto::door` has its budget for incoming handshakes.
//! Not a test: it asserts nothing and runs by hand.

use std::hint::black_box;
use std::time::Duration;
use wire::InfoHash;
use wire::mse::{Chance, Initiator, KEY_LEN, Method, Rc4, Responder, torrent_key};

const TORRENT: InfoHash = InfoHash([1; 20]);
const HANDSHAKES: u32 = 2_000;

fn main() {
    let (mut dialled, mut accepted) = (Duration::ZERO, Duration::ZERO);
    for n in 0..HANDSHAKES {
        let (initiator, responder) = handshake(n);
        dialled += initiator;
        accepted += responder;
    }
    println!("one handshake, who dialled:      {:>8.1} us", micros(dialled, HANDSHAKES));
    println!("one handshake, who was dialled:  {:>8.1} us", micros(accepted, HANDSHAKES));
    println!("a degenerate key refused:        {:>8.1} us", micros(refused(), HANDSHAKES));
    println!("noise instead of a handshake:    {:>8.1} us", micros(noise(), HANDSHAKES));
    for len in [68, 16 * 1024, 256 * 1024] {
        println!("RC4 over {len:>6} bytes at a time: {:>6.0} MB/s", stream(len));
    }
}

fn micros(time: Duration, count: u32) -> f64 {
    time.as_secs_f64() * 1e6 / f64::from(count)
}

fn chance(key: u32, pad: &[u8]) -> Chance<'_> {
    let mut private_key = [3; 20];
    private_key[..4].copy_from_slice(&key.to_be_bytes());
    Chance { private_key, pad, zeros: 0 }
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

/// Both sides of one handshake: what each spent. (Asking for the time costs some microseconds itself.)
fn handshake(n: u32) -> (Duration, Duration) {
    let find = |key: &[u8; 20]| (*key == torrent_key(&TORRENT)).then_some(TORRENT);
    let (mut a, mut b) = (Duration::ZERO, Duration::ZERO);
    let (mut forth, mut back, pad) = (Vec::new(), Vec::new(), [5; 256]);
    let methods = [Method::Rc4];
    let mut initiator =
        timed(&mut a, || Initiator::new(TORRENT, &methods, &[0; 68], chance(n, &pad), &mut forth));
    let mut responder = timed(&mut b, || Responder::new(&methods, chance(n + 7, &pad)));
    let mut done = 0;
    while done < 2 {
        let read = timed(&mut b, || responder.read(&forth, find, &mut back));
        let (taken, agreed) = read.unwrap_or_default();
        forth.drain(..taken);
        done += u32::from(agreed.is_some());
        let (taken, agreed) = timed(&mut a, || initiator.read(&back, &mut forth)).unwrap_or_default();
        back.drain(..taken);
        done += u32::from(agreed.is_some());
    }
    (a, b)
}

fn refused() -> Duration {
    let mut time = Duration::ZERO;
    for n in 0..HANDSHAKES {
        timed(&mut time, || {
            let mut responder = Responder::new(&[Method::Rc4], chance(n, &[]));
            black_box(responder.read(&[0; KEY_LEN], |_| None, &mut Vec::new()).is_err())
        });
    }
    time
}

/// What a stranger costs who sends random bytes until the search ends.
fn noise() -> Duration {
    let mut time = Duration::ZERO;
    let mut bytes = [0x55; KEY_LEN + 1024];
    for n in 0..HANDSHAKES {
        bytes[..4].copy_from_slice(&n.to_be_bytes());
        timed(&mut time, || {
            let mut responder = Responder::new(&[Method::Rc4], chance(n, &[1; 256]));
            black_box(responder.read(&bytes, |_| None, &mut Vec::new()).is_err())
        });
    }
    time
}

fn stream(len: usize) -> f64 {
    let (mut rc4, mut bytes) = (Rc4::new(b"some key"), vec![0; len]);
    let rounds = 256 * 1024 * 1024 / len;
    let began = processor_time();
    (0..rounds).for_each(|_| rc4.apply(black_box(&mut bytes)));
    (rounds * len) as f64 / 1e6 / (processor_time() - began).as_secs_f64()
}
