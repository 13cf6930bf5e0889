//! Items that others put here: small values under their digest, or under a key that signs them (BEP 44).
//!
//! Knows no datagram and no token. Invariants: what is kept is genuine; a sequence number never goes back; at most [`ITEMS_MAX`] items are kept, few of
//! one block of addresses, the nearest to our id. Threats: D6, D7

use crate::{Duration, Instant, address};
use core::net::IpAddr;
use std::collections::BTreeMap;
use wire::item::{Item, ItemError};
use wire::krpc::{KrpcFault, Put, error_code};
use wire::node_id::{Distance, NodeId};

/// Items kept: a thousand bytes and some each, so 1.5 MB (libtorrent: 700 of either kind).
pub(super) const ITEMS_MAX: usize = 1_400;

/// Items of one /24 or /48.
pub(super) const ITEMS_PER_BLOCK_MAX: usize = 100;

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
    by: Option<IpAddr>,
    until: Instant,
}

/// The store.
#[derive(Clone, Debug)]
pub(super) struct ItemStore {
    own: NodeId,
    /// By distance from our id.
    items: BTreeMap<Distance, Stored>,
}

impl ItemStore {
    /// An empty store of a node with this id.
    pub(super) fn new(own: NodeId) -> ItemStore {
        ItemStore { own, items: BTreeMap::new() }
    }

    /// Somebody puts an item here.
    pub(super) fn put(&mut self, now: Instant, put: Put, by: IpAddr) -> Result<(), Refused> {
        check(&put.item)?;
        let at = put.item.target().distance(&self.own);
        let by = address::block(by);
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
        if known.is_none() {
            self.make_room(now, at, by)?;
        }
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
        self.items.retain(|_, stored| stored.until > now);
    }

    fn make_room(&mut self, now: Instant, at: Distance, by: Option<IpAddr>) -> Result<(), Refused> {
        let of_block = self.items.values().filter(|stored| by.is_some() && stored.by == by).count();
        if of_block >= ITEMS_PER_BLOCK_MAX {
            return Err(Refused::Full);
        }
        if self.items.len() >= ITEMS_MAX {
            self.sweep(now);
        }
        if self.items.len() >= ITEMS_MAX {
            match self.items.last_key_value() {
                Some((farthest, _)) if *farthest > at => self.items.pop_last(),
                Some(_) | None => return Err(Refused::Full),
            };
        }
        Ok(())
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
