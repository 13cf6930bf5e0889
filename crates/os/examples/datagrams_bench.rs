//! What a datagram costs, sent and received over loopback one by one and many by one call, in turns of the same run:
//! `cargo run --release -p gannet-os --example datagrams_bench`.

use os::datagrams::{self, BATCH_MAX, Inbox};
use std::net::UdpSocket;
use std::time::{Duration, Instant};

const ROUNDS: usize = 2_000;
/// As long as most words of DHT nodes.
const LEN: usize = 300;

fn main() -> std::io::Result<()> {
    let (one, other) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    one.set_nonblocking(true)?;
    other.set_nonblocking(true)?;
    let (to, bytes, mut buffer) = (other.local_addr()?, [7; LEN], [0; 2048]);
    let mut inbox = Inbox::new(2048);
    // Sent and received, singly and together.
    let mut spent = [[Duration::ZERO; 2]; 2];
    for _ in 0..ROUNDS {
        let began = Instant::now();
        for _ in 0..BATCH_MAX {
            one.send_to(&bytes, to)?;
        }
        spent[0][0] += began.elapsed();
        let began = Instant::now();
        for _ in 0..BATCH_MAX {
            other.recv_from(&mut buffer)?;
        }
        spent[1][0] += began.elapsed();
        let began = Instant::now();
        let sent = datagrams::send(&one, (0..BATCH_MAX).map(|_| (to, &bytes[..])))?;
        spent[0][1] += began.elapsed();
        let began = Instant::now();
        let came = inbox.receive(&other, BATCH_MAX)?;
        spent[1][1] += began.elapsed();
        assert_eq!((sent, came), (BATCH_MAX, BATCH_MAX));
    }
    for (what, [singly, together]) in ["sent", "received"].into_iter().zip(spent) {
        let each = |span: Duration| span.as_secs_f64() * 1e9 / (ROUNDS * BATCH_MAX) as f64;
        let (singly, together) = (each(singly), each(together));
        println!(
            "{what}: {singly:.0} ns each one by one, {together:.0} ns each {BATCH_MAX} at a time: {:.2}",
            together / singly
        );
    }
    Ok(())
}
