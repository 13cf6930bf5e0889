//! The linked peers of one torrent: a table of slots. Finds; decides nothing.
//!
//! Invariant: a key names one peer for ever (until 65,536 peers have sat in the same slot), so a late word about a peer that
//! has gone never reaches the one that took its place.

use crate::peer::Peer;
use crate::{PeerKey, tight};
use core::net::SocketAddr;
use std::collections::VecDeque;

/// Links of one torrent, whatever the settings say: keys have 16 bits for the slot.
pub const PEERS_MAX: usize = 10_000;
/// Peers that went and that are remembered, so that others can be told (BEP 11): as many as two messages name.
const DEPARTED_MAX: usize = 100;

/// The table.
#[derive(Debug, Default)]
pub struct Peers {
    slots: Vec<Slot>,
    free: Vec<u16>,
    count: u32,
    /// Peers that want something from us.
    pub interested: u32,
    /// Peers that we serve.
    pub unchoked: u32,
    /// One of them, or a web seed, was asked for nothing because memory was short.
    pub wait_for_memory: bool,
    /// Who went of late, and where it listened.
    departed: Box<Departed>,
}

/// Peers that went, oldest first. Apart from the table, so that one without peers stays small.
#[derive(Debug, Default)]
struct Departed {
    list: VecDeque<(PeerKey, SocketAddr)>,
}

#[derive(Debug)]
struct Slot {
    generation: u16,
    peer: Option<Box<Peer>>,
}

impl Peers {
    /// Nobody.
    pub fn new() -> Peers {
        Peers::default()
    }

    /// How many.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Takes a peer in; `None` if the table is full.
    pub fn insert(&mut self, peer: Peer) -> Option<PeerKey> {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None if self.slots.len() < PEERS_MAX => {
                if self.slots.len() == self.slots.capacity() {
                    self.slots.reserve_exact(4 + self.slots.len() / 4);
                }
                self.slots.push(Slot { generation: 0, peer: None });
                (self.slots.len() - 1) as u16
            }
            None => return None,
        };
        let entry = &mut self.slots[usize::from(slot)];
        entry.peer = Some(Box::new(peer));
        self.count += 1;
        Some(PeerKey::new(slot, entry.generation))
    }

    /// Lets a peer go.
    pub fn remove(&mut self, key: PeerKey) -> Option<Box<Peer>> {
        let entry = self.slots.get_mut(key.slot()).filter(|entry| entry.generation == key.generation())?;
        let peer = entry.peer.take()?;
        entry.generation = entry.generation.wrapping_add(1);
        self.free.push(key.slot() as u16);
        self.count -= 1;
        if let Some(address) = peer.listens() {
            tight::make_room(&mut self.departed.list, 1);
            self.departed.list.push_back((key, address));
        }
        if self.departed.list.len() > DEPARTED_MAX {
            self.departed.list.pop_front();
        }
        Some(peer)
    }

    /// Where a peer listened that went of late.
    pub fn departed(&self, key: PeerKey) -> Option<SocketAddr> {
        self.departed.list.iter().find(|(departed, _)| *departed == key).map(|(_, address)| *address)
    }

    /// A peer.
    pub fn get(&self, key: PeerKey) -> Option<&Peer> {
        let entry = self.slots.get(key.slot()).filter(|entry| entry.generation == key.generation())?;
        entry.peer.as_deref()
    }

    /// A peer, to change.
    pub fn get_mut(&mut self, key: PeerKey) -> Option<&mut Peer> {
        let entry = self.slots.get_mut(key.slot()).filter(|entry| entry.generation == key.generation())?;
        entry.peer.as_deref_mut()
    }

    /// All of them, in the order of their slots.
    pub fn iter(&self) -> impl Iterator<Item = (PeerKey, &Peer)> {
        self.slots.iter().enumerate().filter_map(|(slot, entry)| {
            let peer = entry.peer.as_deref()?;
            Some((PeerKey::new(slot as u16, entry.generation), peer))
        })
    }

    /// All of them, to change.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (PeerKey, &mut Peer)> {
        self.slots.iter_mut().enumerate().filter_map(|(slot, entry)| {
            let peer = entry.peer.as_deref_mut()?;
            Some((PeerKey::new(slot as u16, entry.generation), peer))
        })
    }

    /// The keys of all of them.
    pub fn keys(&self) -> Vec<PeerKey> {
        self.iter().map(|(key, _)| key).collect()
    }
}
