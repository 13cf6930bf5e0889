//! What an announce costs the tracker's table, what a peer takes, and what it costs to write all down and to take it in again, with as many peers as asked for in 100,000 swarms whose sizes are a
//! Zipf distribution.
//!
//! `cargo bench -p gannet-proto --bench tracker [-- MILLIONS...]`, one million and ten by default. Figures are nanoseconds of processor
//! time, and bytes by the table's own books and by what the system says is resident. Not a test: it asserts nothing and runs by hand.

use proto::tracker::SwarmTable;
use proto::tracker::swarm_table::{AHEAD_MAX, Peers, Progress, Rules, Visit};
use proto::{Instant, Rng, Seed};
use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use wire::InfoHash;
use wire::announce::AnnounceEvent;

const SWARMS: u32 = 100_000;
/// Announces per turn.
const ROUNDS: u32 = 200_000;
/// Turns per figure.
const TURNS: u32 = 7;
/// Peers and swarms in a slice of a snapshot.
const SLICE: u32 = 1024;
/// Peers wanted.
const WANT: u32 = 50;

fn main() {
    let named: Vec<u32> = std::env::args().skip(1).filter_map(|arg| arg.parse().ok()).collect();
    let millions = if named.is_empty() { vec![1, 10] } else { named };
    for millions in millions {
        measure(millions * 1_000_000);
    }
}

fn measure(peers: u32) {
    let before = resident();
    let mut bench = Bench::new(peers);
    let (took, longest) = bench.fill();
    let (held, books) = (resident() - before, bench.table.memory());
    println!("{peers} peers in {} swarms:", bench.table.swarms());
    let each = |bytes: u64| bytes as f64 / f64::from(peers);
    println!("  bytes a peer: {:.2} by the books, {:.2} resident", each(books), each(held));
    println!("  filling: {took} ns each, the longest {longest} ns of the clock");
    for (name, from, to) in [
        ("the Zipf mix", 0, peers),
        ("the largest swarm", 0, bench.ends[0]),
        ("swarms of 1,000 to 3,000", bench.first_below(3_000), bench.first_below(1_000)),
        ("swarms of 128 to 512", bench.first_below(512), bench.first_below(128)),
        ("swarms of 4 to 64", bench.first_below(64), bench.first_below(4)),
        ("swarms of 1 to 3", bench.first_below(4), peers),
    ] {
        if from < to {
            // In turn, so that both meet the same weather; the least of each is nearest to what it costs.
            let (mut alone, mut together) = (u64::MAX, u64::MAX);
            for _ in 0..TURNS {
                alone = alone.min(bench.announce(from, to, 1));
                together = together.min(bench.announce(from, to, AHEAD_MAX));
            }
            println!(
                "  announce in {name}: {alone} ns, {together} ns looked ahead, {} peers named",
                bench.named
            );
        }
    }
    println!("  churn (a third stop, a third come): {} ns", bench.churn());
    let (taken, took, longest) = bench.snapshot();
    let all = f64::from(bench.table.peers());
    println!(
        "  snapshot: {took:.1} ns a peer, the longest of its slices {longest} ns of the clock, {:.2} bytes a peer",
        taken.len() as f64 / all
    );
    println!("  restoring it: {:.1} ns a peer", bench.restore(&taken));
}

struct Bench {
    table: SwarmTable,
    /// Up to which peer each swarm reaches, the largest first.
    ends: Vec<u32>,
    rng: Rng,
    answer: Peers,
    now: Instant,
    /// Peers per answer in the last figure.
    named: u32,
}

impl Bench {
    fn new(peers: u32) -> Bench {
        let harmonic: f64 = (1..=SWARMS).map(|rank| 1.0 / f64::from(rank)).sum();
        let mut sum = 0.0;
        let ends = (1..=SWARMS).map(|rank| {
            sum += f64::from(peers) / harmonic / f64::from(rank);
            sum.round() as u32
        });
        let rules = Rules { peers_max: u32::MAX, swarms_max: u32::MAX, ..Rules::default() };
        Bench {
            table: SwarmTable::new(rules, Seed(1)),
            ends: ends.collect(),
            rng: Rng::new(Seed(2)),
            answer: Peers::new(),
            now: Instant::from_micros(1_000_000),
            named: 0,
        }
    }

    /// All come, in random order, as they would.
    #[expect(clippy::disallowed_types, reason = "a bench measures by the machine's clock")]
    fn fill(&mut self) -> (u64, u128) {
        let peers = *self.ends.last().expect("swarms");
        let mut order: Vec<u32> = (0..peers).collect();
        self.rng.shuffle(&mut order);
        let mut longest = 0;
        let begun = cpu_nanos();
        for n in order {
            let visit = self.visit(n, AnnounceEvent::Started);
            let called = std::time::Instant::now();
            self.table.announce(self.now, &visit, &mut self.answer);
            longest = longest.max(called.elapsed().as_nanos());
        }
        ((cpu_nanos() - begun) / u64::from(peers), longest)
    }

    /// Regular visits of peers that are known, of this range; the table looks ahead for so many together, if for several.
    fn announce(&mut self, from: u32, to: u32, together: usize) -> u64 {
        let visits = self.visits(from, to, AnnounceEvent::None);
        let begun = cpu_nanos();
        let mut named = 0;
        for visits in visits.chunks(together) {
            if together > 1 {
                self.table.look_ahead(visits.iter().map(|visit| (visit.info_hash, visit.peer)));
            }
            for visit in visits {
                // Ten million peers come 5,555 times a second.
                self.now += proto::Duration::from_micros(180);
                black_box(self.table.announce(self.now, visit, &mut self.answer));
                named += self.answer.len();
            }
        }
        self.named = named as u32 / ROUNDS;
        (cpu_nanos() - begun) / u64::from(ROUNDS)
    }

    fn churn(&mut self) -> u64 {
        let mut visits = self.visits(0, *self.ends.last().expect("swarms"), AnnounceEvent::None);
        for (n, visit) in visits.iter_mut().enumerate() {
            match n % 3 {
                0 => visit.event = AnnounceEvent::Stopped,
                1 => visit.peer.set_port(7_000),
                _ => {}
            }
        }
        let begun = cpu_nanos();
        for visit in &visits {
            black_box(self.table.announce(self.now, visit, &mut self.answer));
        }
        (cpu_nanos() - begun) / u64::from(ROUNDS)
    }

    /// All of it, in slices as a tracker takes them.
    #[expect(clippy::disallowed_types, reason = "a bench measures by the machine's clock")]
    fn snapshot(&mut self) -> (Vec<u8>, f64, u128) {
        let mut taken = Vec::with_capacity(16 * self.table.peers() as usize);
        let (begun, mut longest) = (cpu_nanos(), 0);
        let mut walk = self.table.begin_snapshot(self.now);
        loop {
            let called = std::time::Instant::now();
            let progress = self.table.snapshot(self.now, &mut walk, SLICE, &mut taken);
            longest = longest.max(called.elapsed().as_nanos());
            if progress == Progress::Done {
                let took = (cpu_nanos() - begun) as f64;
                return (taken, took / f64::from(self.table.peers()), longest);
            }
        }
    }

    /// Into a table that is empty.
    fn restore(&mut self, taken: &[u8]) -> f64 {
        let rules = Rules { peers_max: u32::MAX, swarms_max: u32::MAX, ..Rules::default() };
        let begun = cpu_nanos();
        let mut table = SwarmTable::new(rules, Seed(3));
        let restored = table.restore(Instant::ZERO, taken, proto::Duration::ZERO, |_| true);
        let took = (cpu_nanos() - begun) as f64;
        assert_eq!((restored.expect("what was written").stale, table.peers()), (0, self.table.peers()));
        took / f64::from(self.table.peers())
    }

    fn visits(&mut self, from: u32, to: u32, event: AnnounceEvent) -> Vec<Visit> {
        (0..ROUNDS)
            .map(|_| {
                let n = from + self.rng.below(to - from);
                self.visit(n, event)
            })
            .collect()
    }

    fn visit(&self, n: u32, event: AnnounceEvent) -> Visit {
        let swarm = self.ends.partition_point(|&end| end <= n) as u32;
        let mut info_hash = [0; 20];
        info_hash[..4].copy_from_slice(&swarm.wrapping_mul(0x9e37_79b9).to_be_bytes());
        info_hash[4..8].copy_from_slice(&swarm.to_be_bytes());
        // A fifth are seeds, all over the address space.
        let ip = Ipv4Addr::from(0x0b00_0000 | n.wrapping_mul(0x9e37_79b1) >> 1);
        let left = u64::from(!n.is_multiple_of(5));
        Visit {
            info_hash: InfoHash(info_hash),
            peer: SocketAddr::new(ip.into(), 6881),
            event,
            left,
            want: WANT,
        }
    }

    /// The first peer of the first swarm that is smaller than this.
    fn first_below(&self, size: u32) -> u32 {
        let small = (1..self.ends.len()).find(|&rank| self.ends[rank] - self.ends[rank - 1] < size);
        small.map_or(*self.ends.last().expect("swarms"), |rank| self.ends[rank - 1])
    }
}

/// Time this thread spent on a processor, so that a busy machine changes little. Linux only.
fn cpu_nanos() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux with schedstat");
    stat.split(' ').next().and_then(|nanos| nanos.parse().ok()).expect("nanoseconds come first")
}

/// Bytes of this process in memory. Linux only.
fn resident() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: u64 = stat.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("pages come second");
    pages * 4096
}
