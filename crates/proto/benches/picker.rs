//! What a block costs the picker, for torrents of 10,000 to 2,097,152 pieces: nothing may grow with their number.
//!
//! `cargo bench -p gannet-proto --bench picker`. Figures are nanoseconds of processor time; what matters is that the columns stay level.
//! Not a test: it asserts nothing and runs by hand.

use proto::pieces::{PickFor, PiecePicker, Received, RemotePieces, Speed};
use proto::{Instant, PeerKey, Rng, Seed};
use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::Arc;
use wire::{Bitfield, Block, Layout, PieceIndex};

const BLOCK: u32 = 16 * 1024;
const PEERS: u16 = 50;
const PIPELINE: u32 = 32;
const BLOCKS: u32 = 400_000;

struct Peer {
    key: PeerKey,
    pieces: RemotePieces,
    asked: VecDeque<Block>,
}

fn main() {
    println!(
        "ns per                    pieces: {:>9} {:>9} {:>9} {:>9}",
        10_000,
        100_000,
        1_000_000,
        1 << 21
    );
    let sizes = [10_000, 100_000, 1_000_000, 1 << 21];
    row("pick + received, seeds", sizes.map(|pieces| blocks(pieces, 4, |_| 100)));
    row(
        "pick + received, 10..90 %",
        sizes.map(|pieces| blocks(pieces, 4, |peer| 10 + u32::from(peer) * 8 / 5)),
    );
    row("pick + received, 1 % each", sizes.map(|pieces| blocks(pieces, 4, |_| 1)));
    row("pick + received, 1 block/piece", sizes.map(|pieces| blocks(pieces, 1, |_| 50)));
    row("have", sizes.map(haves));
    row("wants_from after each piece", sizes.map(interest));
    row("join + leave, per piece had", sizes.map(churn));
    println!("512 MiB pieces (32,768 blocks), pick + received: {}", blocks(64, 32_768, |_| 100));
}

fn row(name: &str, cells: [u64; 4]) {
    let cells: Vec<String> = cells.iter().map(|cell| format!("{cell:>9}")).collect();
    println!("{name:<34}{}", cells.join(" "));
}

fn nanos_per(count: u32, work: impl FnOnce()) -> u64 {
    let begun = cpu_nanos();
    work();
    (cpu_nanos() - begun) / u64::from(count)
}

/// Time this thread spent on a processor, so that a busy machine changes little. Linux only.
fn cpu_nanos() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux with schedstat");
    stat.split(' ').next().and_then(|nanos| nanos.parse().ok()).expect("nanoseconds come first")
}

fn picker(pieces: u32, blocks: u32) -> PiecePicker {
    let len = blocks * BLOCK;
    let layout = Layout::new(u64::from(pieces) * u64::from(len), len).expect("a layout within bounds");
    PiecePicker::new(Arc::new(layout), 4)
}

fn set(pieces: u32, percent: u32, rng: &mut Rng) -> RemotePieces {
    let mut set = Bitfield::new(pieces);
    (0..pieces).filter(|_| rng.below(100) < percent).for_each(|piece| {
        set.insert(PieceIndex(piece));
    });
    RemotePieces::from_bitfield(set)
}

/// A download's steady state: every peer keeps a pipeline full, one block asked for as one comes.
fn blocks(pieces: u32, blocks_in_piece: u32, percent: impl Fn(u16) -> u32) -> u64 {
    let mut rng = Rng::new(Seed(1));
    let mut picker = picker(pieces, blocks_in_piece);
    let mut peers: Vec<Peer> = (0..PEERS)
        .map(|slot| Peer {
            key: PeerKey::new(slot, 0),
            pieces: set(pieces, percent(slot), &mut rng),
            asked: VecDeque::new(),
        })
        .collect();
    peers.iter().for_each(|peer| picker.peer_joined(peer.key, &peer.pieces));
    let (mut out, mut cancel, mut received) = (Vec::new(), Vec::new(), 0);
    let total = BLOCKS.min(pieces * blocks_in_piece / 2);
    nanos_per(total, || {
        let mut idle = 0;
        for turn in 0.. {
            let peer = &mut peers[turn % usize::from(PEERS)];
            if let Some(block) = peer.asked.pop_front() {
                let got = picker.received(block, peer.key, Instant::ZERO, &mut cancel);
                if let Received::New { whole: Some(attempt) } = got {
                    picker.verified(block.piece, attempt, true);
                }
                (received, idle) = (received + 1, 0);
            }
            let want = PIPELINE - peer.asked.len() as u32;
            let speed = if turn % 3 == 0 { Speed::Fast } else { Speed::Medium };
            let ask = PickFor {
                peer: peer.key,
                pieces: &peer.pieces,
                want,
                now: Instant::ZERO,
                rescues: true,
                speed,
                only: None,
                suggested: &[],
                on_parole: false,
                open_bytes_max: u64::MAX,
            };
            picker.pick(&ask, &mut rng, &mut out);
            peer.asked.extend(out.drain(..));
            idle += 1;
            if received >= total || idle > 1_000 {
                break;
            }
        }
    })
}

fn haves(pieces: u32) -> u64 {
    let (mut rng, mut picker) = (Rng::new(Seed(2)), picker(pieces, 4));
    let mut theirs: Vec<RemotePieces> = (0..PEERS).map(|_| set(pieces, 50, &mut rng)).collect();
    for (slot, theirs) in (0..).zip(&theirs) {
        picker.peer_joined(PeerKey::new(slot, 0), theirs);
    }
    nanos_per(BLOCKS, || {
        for turn in 0..BLOCKS {
            let slot = turn as u16 % PEERS;
            let piece = PieceIndex(rng.below(pieces));
            if theirs[usize::from(slot)].insert(piece, pieces) {
                picker.peer_has(PeerKey::new(slot, 0), piece);
            }
        }
    })
}

/// One look per peer and piece of ours, as a torrent does to say when it is no longer interested.
fn interest(pieces: u32) -> u64 {
    let (mut rng, mut picker) = (Rng::new(Seed(3)), picker(pieces, 4));
    let theirs: Vec<RemotePieces> = (0..PEERS).map(|_| set(pieces, 50, &mut rng)).collect();
    let rounds = pieces.min(10_000);
    nanos_per(rounds * u32::from(PEERS), || {
        for piece in 0..rounds {
            picker.found(PieceIndex(piece));
            for (slot, theirs) in (0..).zip(&theirs) {
                black_box(picker.wants_from(PeerKey::new(slot, 0), theirs));
            }
        }
    })
}

fn churn(pieces: u32) -> u64 {
    let (mut rng, mut picker) = (Rng::new(Seed(4)), picker(pieces, 4));
    let theirs: Vec<RemotePieces> = (0..8).map(|_| set(pieces, 30, &mut rng)).collect();
    let had: u32 = theirs.iter().map(|theirs| theirs.count(pieces)).sum();
    nanos_per(2 * had, || {
        for (slot, theirs) in (0..).zip(&theirs) {
            picker.peer_joined(PeerKey::new(slot, 0), theirs);
        }
        for (slot, theirs) in (0..).zip(&theirs) {
            picker.peer_left(PeerKey::new(slot, 0), theirs);
        }
    })
}
