//! A fair choice of peers: everybody is as likely to be named as everybody else, and an answer costs as much as it names, however
//! large the swarm.
//!
//! A short array is shuffled in place as far as needed (its order means nothing). Of a hashed set some buckets are drawn, each as likely
//! as it should be long, and of each the same part of what it should hold, side by side from a random place on: for what an answer costs
//! is the memory that it touches. So chance in the lengths of buckets, some 16 %, favours peers by 5 % at most, and several buckets make an answer,
//! so that the same peers do not always come together.

use super::buckets::{Buckets, Item};
use super::entry::Entry;
use super::means::Means;
use super::peers::Peers;

/// Peers taken from one bucket on average, where there are buckets enough. More would cost less, and mix less.
const FROM_ONE_BUCKET: u32 = 10;
/// Fewest: of three, chance in their lengths favours some peers by 5 %, of one by 16 %.
const BUCKETS_MIN: u32 = 3;
/// Most buckets that one answer draws from.
const BUCKETS_MAX: usize = 32;
/// How often a bucket is drawn that was drawn before, until a neighbour is taken.
const REDRAWS_MAX: u32 = 8;

/// Who asks, and what is still wanted.
pub(super) struct Wish<'a, E> {
    pub(super) asker: &'a E,
    pub(super) want: u32,
}

/// How many of `want` peers are taken from `first` and how many from `second` others, so that all are equally likely.
pub(super) fn shares(want: u32, first: u32, second: u32, means: &mut Means) -> (u32, u32) {
    if u64::from(want) >= u64::from(first) + u64::from(second) {
        return (first, second);
    }
    let part = fraction(first, first + second);
    let from_first = portion(want, part, means).min(first);
    let from_second = (want - from_first).min(second);
    (want - from_second, from_second)
}

/// Names up to `want` of a short array.
pub(super) fn from_slice<E: Entry>(
    pool: &mut [E],
    wish: &mut Wish<'_, E>,
    means: &mut Means,
    peers: &mut Peers,
) {
    // In registers for as long as the loop lasts.
    let (mut rng, clock, asker) = (means.rng.clone(), means.clock, *wish.asker);
    let (mut want, mut at) = (wish.want, 0);
    while want > 0 && at < pool.len() {
        let drawn = at + rng.index(pool.len() - at);
        pool.swap(at, drawn);
        let peer = &pool[at];
        at += 1;
        if !peer.is(&asker) && clock.is_fresh(peer.seen()) {
            peers.push(peer);
            want -= 1;
        }
    }
    wish.want = want;
    means.rng = rng;
}

/// Names up to `want` of a hashed set.
pub(super) fn from_buckets<E: Entry + Item>(
    set: &mut Buckets<E>,
    wish: &mut Wish<'_, E>,
    means: &mut Means,
    peers: &mut Peers,
) {
    if wish.want == 0 || set.len() == 0 {
        return;
    }
    if set.buckets() == 1 {
        return from_slice(set.bucket_mut(0), wish, means, peers);
    }
    let mut drawn = [Drawn { number: 0, pool: &[], from: 0, used: 0 }; BUCKETS_MAX];
    let count = buckets_for(wish.want, set);
    let drawn = &mut drawn[..count];
    let set = &*set;
    draw_buckets(drawn, set, means);
    fetch(drawn, set, means);
    // Of each bucket what its length is above or below what it should be, in whole numbers whose sum is right.
    let all = count == set.buckets() as usize;
    let of_all = fraction(wish.want.min(set.len()), set.len());
    let of_half = (f64::from(wish.want) * 4_294_967_296.0 / (count as f64 * set.expected_half())) as u64;
    let mut sum = u64::from(means.rng.next_u32());
    for bucket in drawn.iter_mut() {
        let before = sum >> 32;
        let part = match (all, set.is_half(bucket.number)) {
            (true, _) => of_all,
            (false, true) => of_half,
            (false, false) => of_half / 2,
        };
        sum += part * bucket.pool.len() as u64;
        bucket.used = run(bucket.pool, bucket.from, ((sum >> 32) - before) as u32, wish, means, peers);
    }
    // Chance, stale peers and the asker left some out: the same buckets have more, again from a random place on.
    for bucket in drawn.iter() {
        if wish.want == 0 {
            break;
        }
        let rest = (bucket.pool.len() as u32).saturating_sub(bucket.used);
        let skip = means.rng.below(rest);
        let from = bucket.from + bucket.used;
        run(bucket.pool, from + skip, rest - skip, wish, means, peers);
        run(bucket.pool, from, skip, wish, means, peers);
    }
}

/// A bucket that was drawn, and what of it was looked at.
#[derive(Clone, Copy)]
struct Drawn<'a, E> {
    number: u32,
    pool: &'a [E],
    from: u32,
    used: u32,
}

/// Finds all the buckets, then looks into all of them, before any is read: in a large table each of these steps waits for memory, and so
/// the processor waits for all of them at once.
fn fetch<'a, E: Entry + Item>(drawn: &mut [Drawn<'a, E>], set: &'a Buckets<E>, means: &mut Means) {
    for bucket in drawn.iter_mut() {
        bucket.pool = set.bucket(bucket.number);
    }
    let mut looked = 0;
    for bucket in drawn.iter_mut() {
        bucket.from = means.rng.index(bucket.pool.len()) as u32;
        looked ^= bucket.pool.get(bucket.from as usize).map_or(0, |peer| peer.seen().0);
    }
    core::hint::black_box(looked);
}

/// Names what lies side by side, from a place on and round, until `most` have been looked at. Says how many were.
fn run<E: Entry>(
    pool: &[E],
    from: u32,
    most: u32,
    wish: &mut Wish<'_, E>,
    means: &Means,
    peers: &mut Peers,
) -> u32 {
    let most = (most as usize).min(pool.len());
    let from = if pool.is_empty() { 0 } else { from as usize % pool.len() };
    let (end, start) = (&pool[from..], &pool[..from]);
    let mut used = 0;
    for peer in end.iter().chain(start).take(most) {
        if wish.want == 0 {
            break;
        }
        used += 1;
        if !peer.is(wish.asker) && means.clock.is_fresh(peer.seen()) {
            peers.push(peer);
            wish.want -= 1;
        }
    }
    used
}

/// From how many buckets to draw.
fn buckets_for<E: Item>(want: u32, set: &Buckets<E>) -> usize {
    let mean = (set.len() / set.buckets()).max(1);
    // A quarter of what they hold may be stale, and half of them may be half as long as others.
    let enough = want.saturating_mul(2) / mean + 1;
    let count = want.div_ceil(FROM_ONE_BUCKET).max(BUCKETS_MIN).max(enough);
    // Where it would be a large part of them, all.
    let count = if count.saturating_mul(3) > set.buckets() { set.buckets() } else { count };
    (count as usize).min(BUCKETS_MAX)
}

/// Different buckets, each as likely as it should be long; or all of them, in turn from anywhere.
fn draw_buckets<E: Item>(drawn: &mut [Drawn<'_, E>], set: &Buckets<E>, means: &mut Means) {
    let (count, all) = (drawn.len() as u32, set.buckets());
    if count == all {
        let first = means.rng.below(all);
        (0..count).for_each(|n| drawn[n as usize].number = (first + n) % all);
        return;
    }
    for n in 0..drawn.len() {
        let known = |number: u32| drawn[..n].iter().any(|known| known.number == number);
        let mut number = set.any(&mut means.rng);
        for _ in 0..REDRAWS_MAX {
            if known(number) {
                number = set.any(&mut means.rng);
            }
        }
        while known(number) {
            number = (number + 1) % all;
        }
        drawn[n].number = number;
    }
}

/// `part / whole` as a fixed-point number, 1 being 2^32.
fn fraction(part: u32, whole: u32) -> u64 {
    (u64::from(part) << 32) / u64::from(whole.max(1))
}

/// That part of a number, rounded up or down by chance so that it is right on average.
fn portion(of: u32, part: u64, means: &mut Means) -> u32 {
    let exact = u128::from(part) * u128::from(of) + u128::from(means.rng.next_u32());
    u32::try_from(exact >> 32).unwrap_or(u32::MAX)
}
