//! Items that others put here: small values under their digest, or under a key that signs them (BEP 44).
//!
//! Knows no datagram and no token. Invariants: what is kept is genuine; a sequence number never goes back; at most [`ITEMS_MAX`] items are kept, few of
//! one block or network of addresses, the nearest to our id. Threats: D6, D7

use super::shares::Shares;
use crate::{Duration, Instant};
use core::net::IpAddr;
use std::collections::BTreeMap;
use wire::item::{Item, ItemError};
use wire::krpc::{KrpcFault, Put, error_code};
use wire::node_id::{Distance, NodeId};

/// Items kept: a thousand bytes and some each, so 1.5 MB (libtorrent: 700 of either kind).
pub(super) const ITEMS_MAX: usize = 1_400;

/// Items of one /24 or /48.
pub(super) const ITEMS_PER_BLOCK_MAX: u32 = 100;

/// Items of one /8 or /32: half of what there is room for.
pub(super) const ITEMS_PER_NETWORK_MAX: u32 = 700;

/// How long an item is kept after it was last put (BEP 44: two hours; who wants it to stay puts it each hour).
pub(super) const ITEM_LIFE: Duration = Duration::from_secs(2 * 3600);

/// Why an item is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refused {
    /// It is none that nodes store.
    Invalid(ItemError),
    /// The signature is another's, or of something else.
    NotSigned,
    /// What is here has another sequence number than the putter thinks.
    NotAsExpected,
    /// What is here is newer.
    Older,
    /// There is no room for it.
    Full,
}

impl Refused {
    /// The error that says so (BEP 44).
    pub(super) fn fault(self) -> KrpcFault {
        match self {
            Refused::Invalid(error) => KrpcFault::new(error.code(), "not an item"),
            Refused::NotSigned => KrpcFault::new(error_code::BAD_SIGNATURE, "invalid signature"),
            Refused::NotAsExpected => {
                KrpcFault::new(error_code::CAS_MISMATCH, "another version is here than `cas` says")
            }
            Refused::Older => KrpcFault::new(error_code::SEQ_TOO_LOW, "a newer version is here"),
            Refused::Full => KrpcFault::new(error_code::SERVER, "no room"),
        }
    }
}

#[derive(Clone, Debug)]
struct Stored {
    item: Item,
    /// Who put it first; it counts against that one.
    by: IpAddr,
    until: Instant,
}

/// The store.
#[derive(Clone, Debug)]
pub(super) struct ItemStore {
    own: NodeId,
    /// By distance from our id.
    items: BTreeMap<Distance, Stored>,
    shares: Shares,
}

impl ItemStore {
    /// An empty store of a node with this id.
    pub(super) fn new(own: NodeId) -> ItemStore {
        ItemStore { own, items: BTreeMap::new(), shares: Shares::default() }
    }

    /// Somebody puts an item here.
    pub(super) fn put(&mut self, now: Instant, put: Put, by: IpAddr) -> Result<(), Refused> {
        check(&put.item)?;
        let at = put.item.target().distance(&self.own);
        let known = self.items.get(&at).filter(|stored| stored.until > now);
        if let (Item::Mutable(new), Some(Item::Mutable(old))) = (&put.item, known.map(|stored| &stored.item))
        {
            if put.cas.is_some_and(|cas| cas != old.seq) {
                return Err(Refused::NotAsExpected);
            }
            // The same number again keeps it alive, if it is the same value.
            if new.seq < old.seq || new.seq == old.seq && new.value != old.value {
                return Err(Refused::Older);
            }
        }
        let by = match known {
            Some(stored) => stored.by,
            None => {
                self.make_room(now, at, by)?;
                self.shares.take(by);
                by
            }
        };
        self.items.insert(at, Stored { item: put.item, by, until: now + ITEM_LIFE });
        Ok(())
    }

    /// The item under a target, if it is here.
    pub(super) fn get(&self, now: Instant, target: &NodeId) -> Option<&Item> {
        let stored = self.items.get(&target.distance(&self.own))?;
        (stored.until > now).then_some(&stored.item)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// Our id is another from now on.
    pub(super) fn move_to(&mut self, own: NodeId) {
        self.own = own;
        let items = core::mem::take(&mut self.items);
        self.items =
            items.into_values().map(|stored| (stored.item.target().distance(&own), stored)).collect();
    }

    /// Forgets whose time is over. O(items), which are few; called once in a while.
    pub(super) fn sweep(&mut self, now: Instant) {
        let shares = &mut self.shares;
        self.items.retain(|_, stored| {
            let keep = stored.until > now;
            if !keep {
                shares.leave(stored.by);
            }
            keep
        });
    }

    fn make_room(&mut self, now: Instant, at: Distance, by: IpAddr) -> Result<(), Refused> {
        // One whose time is over may lie at this very place.
        self.forget(at);
        let has_room =
            |store: &ItemStore| store.shares.has_room(by, ITEMS_PER_BLOCK_MAX, ITEMS_PER_NETWORK_MAX);
        if self.items.len() >= ITEMS_MAX || !has_room(self) {
            self.sweep(now);
        }
        if !has_room(self) {
            return Err(Refused::Full);
        }
        if self.items.len() >= ITEMS_MAX {
            match self.items.last_key_value() {
                Some((&farthest, _)) if farthest > at => self.forget(farthest),
                Some(_) | None => return Err(Refused::Full),
            }
        }
        Ok(())
    }

    fn forget(&mut self, at: Distance) {
        if let Some(stored) = self.items.remove(&at) {
            self.shares.leave(stored.by);
        }
    }
}

/// Whether an item is what it says, whoever gave it.
pub(super) fn check(item: &Item) -> Result<(), Refused> {
    item.check().map_err(Refused::Invalid)?;
    match item {
        Item::Mutable(item) if !item.is_genuine() => Err(Refused::NotSigned),
        Item::Mutable(_) | Item::Immutable { .. } => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: NodeId = NodeId([0; 20]);

    fn put(n: u32) -> Put {
        let value = format!("i{n}e").into_bytes();
        Put { item: Item::Immutable { value: value.into() }, cas: None }
    }

    #[test]
    fn items_of_one_block_or_network_find_room_as_long_as_others_do_too() {
        let at = |seconds: u64| Instant::ZERO + Duration::from_secs(seconds);
        let block = |n: u32| IpAddr::from((0x0909_0900 + n % 250).to_be_bytes());
        let network = |n: u32| IpAddr::from((0x0900_0000 + n % 2000 * 0x101).to_be_bytes());
        let prefix = |n: u32| IpAddr::from([0x2001, 0xdb8, n as u16 % 2000, 0, 0, 0, 0, 1]);
        let cases: [(&dyn Fn(u32) -> IpAddr, u32); 3] = [
            (&block, ITEMS_PER_BLOCK_MAX),
            (&network, ITEMS_PER_NETWORK_MAX),
            (&prefix, ITEMS_PER_NETWORK_MAX),
        ];
        for (flooder, kept) in cases {
            let mut store = ItemStore::new(OWN);
            let mut taken = 0;
            for n in 0..2000 {
                taken += u32::from(store.put(at(0), put(n), flooder(n)).is_ok());
            }
            assert_eq!((taken, store.len()), (kept, kept as usize));
            assert!(store.put(at(0), put(5000), IpAddr::from([77, 1, 1, 1])).is_ok(), "another finds room");
            assert!(
                store.put(at(7200), put(1999), flooder(1)).is_ok() || kept > 100,
                "in time they find room again"
            );
            store.sweep(at(20_000));
            assert!(store.len() == 0 && store.shares.is_empty(), "nothing is left");
        }
    }

    #[test]
    fn when_all_is_full_the_farthest_give_way_and_their_shares_with_them() {
        let by = |n: u32| IpAddr::from((0x0900_0000 + n * 0x0101_0001).to_be_bytes());
        let mut store = ItemStore::new(OWN);
        for n in 0..3 * ITEMS_MAX as u32 {
            let _ = store.put(Instant::ZERO, put(n), by(n % 100));
            assert!(store.len() <= ITEMS_MAX);
        }
        let farthest = store.items.last_key_value().map(|(at, _)| *at).unwrap();
        assert!((0..100).all(|n| store.get(Instant::ZERO, &put(n).item.target()).is_none()
            == (put(n).item.target().distance(&OWN) > farthest)));
        store.sweep(Instant::FAR);
        assert!(store.shares.is_empty());
    }
}
