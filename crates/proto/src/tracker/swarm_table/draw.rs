//! A fair choice of peers: everybody is as likely to be named as everybody else, and an answer costs as much as it names, however
//! large the swarm.
//!
//! A short array is shuffled in place as far as needed (its order means nothing). Of a hashed set some buckets are drawn, several so
//! that the same peers do not always come together, and from what they hold together just as many as are wanted. Buckets differ in
//! length, and peers of long ones would be named too seldom; so buckets that hold little together are more often drawn anew.

use super::buckets::{Buckets, Item};
use super::entry::Entry;
use super::means::Means;
use super::peers::Peers;

/// Peers taken from one bucket on average, where there are buckets enough. More would cost less, and mix less.
const FROM_ONE_BUCKET: u32 = 10;
/// Fewest buckets that an answer draws from, if there are as many: what four hold together varies little.
const BUCKETS_MIN: u32 = 4;

/// How often buckets are drawn anew, so that it ends. One in three times, on average.
const REDRAWS_MAX: u32 = 8;
/// Most buckets that one answer draws from.
const BUCKETS_MAX: usize = 48;

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

/// Names up to `want` of a short array, drawn at random from place `from` on; says up to which place it has drawn.
pub(super) fn from_slice<E: Entry>(
    pool: &mut [E],
    from: usize,
    wish: &mut Wish<'_, E>,
    most: u32,
    means: &mut Means,
    peers: &mut Peers,
) -> usize {
    let mut most = most.min(wish.want);
    let mut at = from;
    while most > 0 && at < pool.len() {
        let drawn = at + means.rng.index(pool.len() - at);
        pool.swap(at, drawn);
        let peer = &pool[at];
        at += 1;
        if !peer.is(wish.asker) && means.clock.is_fresh(peer.seen()) {
            peers.push(peer);
            wish.want -= 1;
            most -= 1;
        }
    }
    at
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
    let mut drawn = [(0, 0); BUCKETS_MAX];
    let count = buckets_for(wish.want, set);
    let drawn = &mut drawn[..count];
    let total = draw_buckets(drawn, set, means);
    // As many of each bucket as are its share, in whole numbers whose sum is right.
    let part = fraction(wish.want.min(total), total);
    let mut sum = u64::from(means.rng.next_u32());
    for (bucket, upto) in drawn.iter_mut() {
        let pool = set.bucket_mut(*bucket);
        let before = sum >> 32;
        sum += part * pool.len() as u64;
        let most = ((sum >> 32) - before) as u32;
        *upto = from_slice(pool, 0, wish, most, means, peers);
    }
    // Stale peers and the asker were left out: the same buckets have more.
    for (bucket, upto) in drawn.iter() {
        from_slice(set.bucket_mut(*bucket), *upto, wish, u32::MAX, means, peers);
    }
}

/// From how many buckets to draw.
fn buckets_for<E: Item>(want: u32, set: &Buckets<E>) -> usize {
    let mean = (set.len() / set.buckets()).max(1);
    // A quarter of what they hold may be stale.
    let enough = want.saturating_add(want / 4) / mean + 1;
    let count = want.div_ceil(FROM_ONE_BUCKET).max(BUCKETS_MIN).max(enough);
    // Where it is nearly all of them, all.
    let count = if count * 3 > set.buckets() * 2 { set.buckets() } else { count };
    (count as usize).min(BUCKETS_MAX)
}

/// Different buckets, each as likely as each other, but those that hold more together rather than others. Says how much they hold.
fn draw_buckets<E: Item>(drawn: &mut [(u32, usize)], set: &Buckets<E>, means: &mut Means) -> u32 {
    let (count, all) = (drawn.len() as u32, set.buckets());
    // What hardly any hold: half as much again as so many do on average.
    let bound = (u64::from(set.len()) * u64::from(count) * 3 / (u64::from(all) * 2)) as u32;
    let mut total = 0;
    for _ in 0..REDRAWS_MAX {
        total = 0;
        for n in 0..drawn.len() {
            let mut bucket = n as u32;
            if count < all {
                bucket = means.rng.below(all);
                // A neighbour instead of one that is drawn already; going round, nobody is favoured by that.
                while drawn[..n].iter().any(|(known, _)| *known == bucket) {
                    bucket = (bucket + 1) % all;
                }
            }
            drawn[n].0 = bucket;
            total += set.bucket(bucket).len() as u32;
        }
        if count == all || means.rng.below(bound) < total {
            break;
        }
    }
    total
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
