//! Divides limits that all loops share: rates, unchoke slots, links, dials, buffers. Pure: demand rows in, leases out.
//! Knows no loop, no torrent, no clock; the driver asks a few times a second.
//!
//! Invariants: what is dealt out never exceeds a limit; no loop gets less than a tenth of its even share, so that it can
//! begin something new before the next deal; nothing is withheld that somebody could use. What is not limited stays so.

use crate::Lease;
use crate::stats::Demand;

/// What all loops together may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Bytes per second out; `None` is without limit.
    pub up: Option<u64>,
    /// Bytes per second in; `None` is without limit.
    pub down: Option<u64>,
    /// Peers unchoked at once.
    pub unchoke_slots: u32,
    /// Links at once.
    pub links: u32,
    /// Dials begun per second.
    pub dials: u32,
    /// Bytes of unwritten payload at once.
    pub buffer: u64,
}

/// What one loop may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Deal {
    /// For its session.
    pub lease: Lease,
    /// For its door: dials begun per second.
    pub dials: u32,
}

/// Deals out limits by demand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Divider {
    limits: Limits,
}

impl Divider {
    /// A divider of these limits.
    pub fn new(limits: Limits) -> Divider {
        Divider { limits }
    }

    /// Other limits from the next deal on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// One deal per row, in the order of the rows.
    pub fn deal(&self, rows: &[Demand]) -> Vec<Deal> {
        let by = |limit: u64, demand: fn(&Demand) -> u64| {
            let demands: Vec<u64> = rows.iter().map(demand).collect();
            divide(limit, &demands)
        };
        let up = self.limits.up.map(|limit| by(limit, |row| row.up));
        let down = self.limits.down.map(|limit| by(limit, |row| row.down));
        let slots = by(self.limits.unchoke_slots.into(), |row| row.interested.into());
        let links = by(self.limits.links.into(), |row| u64::from(row.links) + u64::from(row.links_wanted));
        let dials = by(self.limits.dials.into(), |row| row.links_wanted.into());
        let buffer = by(self.limits.buffer, |row| row.buffered);
        let deal = |row: usize| Deal {
            lease: Lease {
                up: up.as_ref().map(|shares| shares[row]),
                down: down.as_ref().map(|shares| shares[row]),
                // A share is never above its limit, which is a u32 here.
                unchoke_slots: slots[row] as u32,
                links: links[row] as u32,
                buffer: buffer[row],
            },
            dials: dials[row] as u32,
        };
        (0..rows.len()).map(deal).collect()
    }
}

/// Max-min fair shares of `limit`: nobody's can grow but at the expense of somebody's that is no larger. What is left when
/// all have what they ask for is lent out evenly; the sum is the limit, if there is anybody.
fn divide(limit: u64, demands: &[u64]) -> Vec<u64> {
    let mut shares = vec![0; demands.len()];
    let Some(even) = limit.checked_div(demands.len() as u64) else { return shares };
    let floor = (even / 10).max(1).min(even);
    let mut order: Vec<usize> = (0..demands.len()).collect();
    order.sort_by_key(|&row| demands[row]);
    // The most modest first: what they leave raises the share of those who come after.
    let mut rest = limit;
    for (served, &row) in order.iter().enumerate() {
        let waiting = (demands.len() - served) as u64;
        shares[row] = demands[row].max(floor).min(rest / waiting);
        rest -= shares[row];
    }
    let waiting = demands.len() as u64;
    for (place, &row) in order.iter().rev().enumerate() {
        shares[row] += rest / waiting + u64::from((place as u64) < rest % waiting);
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Rng, Seed};

    #[test]
    fn shares_are_fair_by_demand_and_the_rest_is_lent_out() {
        for (limit, demands, expected) in [
            (100, &[][..], &[][..]),
            (100, &[0], &[100]),
            (100, &[500], &[100]),
            (100, &[500, 500], &[50, 50]),
            (100, &[10, 500], &[10, 90]),
            (100, &[0, 500], &[5, 95]),
            (90, &[10, 20, 500], &[10, 20, 60]),
            (100, &[10, 20], &[45, 55]),
            (8, &[100, 100, 100], &[2, 3, 3]),
            (2, &[5, 5, 5], &[0, 1, 1]),
            (1, &[0, 0, 9], &[0, 0, 1]),
            (0, &[5, 5], &[0, 0]),
            (u64::MAX, &[u64::MAX, u64::MAX], &[u64::MAX / 2, u64::MAX / 2 + 1]),
        ] {
            assert_eq!(divide(limit, demands), expected, "{limit} among {demands:?}");
        }
    }

    #[test]
    fn every_deal_is_whole_has_a_floor_and_is_max_min_fair() {
        for seed in 0..2_000 {
            let mut rng = Rng::new(Seed(seed));
            let mut number = |bits| rng.next_u64() >> (63 - u64::from(rng.below(bits)));
            let limit = number(63);
            let demands: Vec<u64> = (0..number(4)).map(|_| number(63)).collect();
            let shares = divide(limit, &demands);
            let context = format!("seed {seed}: {limit} among {demands:?} gives {shares:?}");
            if demands.is_empty() {
                assert!(shares.is_empty());
                continue;
            }
            let sum: u128 = shares.iter().map(|&share| u128::from(share)).sum();
            assert_eq!(sum, u128::from(limit), "{context}");
            let even = limit / demands.len() as u64;
            for (&share, &demand) in shares.iter().zip(&demands) {
                assert!(share >= even / 10, "{context}");
                assert!(share >= demand.min(even), "nobody modest goes short: {context}");
                // Whoever goes short has no less than anybody, but for what cannot be divided and the floor.
                let most = shares.iter().copied().max().unwrap_or(0);
                assert!(share >= demand || share + 1 >= most, "{context}");
            }
        }
    }

    #[test]
    fn what_is_not_limited_stays_so_and_each_limit_goes_by_its_own_demand() {
        let limits =
            Limits { up: None, down: Some(1_000), unchoke_slots: 8, links: 100, dials: 30, buffer: 1 << 20 };
        let busy =
            Demand { up: 9, down: 9_000, interested: 50, links: 40, links_wanted: 60, buffered: 1 << 30 };
        let deals = Divider::new(limits).deal(&[busy, Demand::default()]);
        assert_eq!(deals[0].lease.up, None);
        assert_eq!(deals[0].lease.down, Some(950));
        assert_eq!((deals[0].lease.unchoke_slots, deals[1].lease.unchoke_slots), (7, 1));
        assert_eq!((deals[0].lease.links, deals[1].lease.links), (95, 5));
        assert_eq!((deals[0].dials, deals[1].dials), (29, 1));
        assert_eq!(deals[0].lease.buffer + deals[1].lease.buffer, 1 << 20);
        let alone = Divider::new(limits).deal(&[Demand::default()]);
        assert_eq!((alone[0].lease.down, alone[0].lease.links), (Some(1_000), 100), "one loop has it all");
    }
}
