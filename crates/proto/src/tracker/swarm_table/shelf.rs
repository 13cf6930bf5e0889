//! Where swarms stand: records side by side, and an index that knows by a keyed hash of the info-hash which is where.
//!
//! Invariants: records are dense, the last takes the place of one that goes; the index holds one item per record. Both grow a piece
//! at a time, so no insertion copies all. Seeds and leechers of a swarm are in [`Family`]. BEP: 7, 48

use super::Counts;
use super::buckets::{Buckets, Item};
use super::entry::{V4, V6};
use super::family::Family;
use super::keyed::Key;
use super::means::Means;
use super::rows::Heap;
use wire::InfoHash;

/// Records allocated together: 16 KiB.
const TRAY: usize = 256;

/// A swarm. 64 bytes: one cache line, with three peers in it.
#[derive(Clone, Debug)]
pub(super) struct Swarm {
    pub(super) info_hash: InfoHash,
    /// Downloads completed, ever.
    pub(super) downloaded: u32,
    pub(super) v4: Family<V4>,
    /// Most swarms have nobody with IPv6, or several.
    pub(super) v6: Option<Box<Family<V6>>>,
}

const _: () = assert!(size_of::<Swarm>() == 64);

/// An item of the index: 32 bits of the hash above the number of a record.
#[derive(Clone, Copy, Debug)]
struct Label(u64);

impl Label {
    fn new(hash: u64, place: u32) -> Label {
        Label(hash >> 32 << 32 | u64::from(place))
    }

    fn place(self) -> u32 {
        self.0 as u32
    }
}

impl Item for Label {
    const FILL: u32 = 16;

    #[inline]
    fn hash(&self, _key: Key) -> u64 {
        self.0 >> 32
    }

    #[inline]
    fn look(&self) -> u64 {
        self.0
    }
}

/// All swarms of a table.
#[derive(Clone, Debug)]
pub(super) struct Shelf {
    trays: Vec<Vec<Swarm>>,
    len: u32,
    index: Buckets<Label>,
}

impl Shelf {
    pub(super) fn new(heap: &mut Heap) -> Shelf {
        Shelf { trays: Vec::new(), len: 0, index: Buckets::new(heap) }
    }

    /// How many swarms there are. Their places are the numbers below.
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    /// Where a swarm stands.
    #[inline]
    pub(super) fn find(&self, info_hash: &InfoHash, key: Key) -> Option<u32> {
        let hash = hash(info_hash, key);
        let fits =
            |label: &Label| label.0 >> 32 == hash >> 32 && self.get(label.place()).info_hash == *info_hash;
        let (bucket, at) = self.index.find(hash >> 32, fits)?;
        Some(self.index.bucket(bucket)[at].place())
    }

    /// Looks where in the index a swarm of this hash would be.
    #[inline]
    pub(super) fn look_for(&self, hash: u64) -> u64 {
        self.index.look_for(hash >> 32)
    }

    /// Where a swarm of this hash stands, if there is one, or another whose hash begins alike.
    #[inline]
    pub(super) fn guess(&self, hash: u64) -> Option<u32> {
        let (bucket, at) = self.index.find(hash >> 32, |label| label.0 >> 32 == hash >> 32)?;
        Some(self.index.bucket(bucket)[at].place())
    }

    /// A new swarm, which is not there yet; says where it stands.
    pub(super) fn insert(&mut self, info_hash: InfoHash, means: &mut Means) -> u32 {
        let heap = &mut means.heap;
        if self.len as usize == self.trays.len() * TRAY {
            heap.give::<Vec<Swarm>>(self.trays.capacity());
            self.trays.push(Vec::with_capacity(TRAY));
            heap.take::<Vec<Swarm>>(self.trays.capacity());
            heap.take::<Swarm>(TRAY);
        }
        let place = self.len;
        self.index.insert(Label::new(hash(&info_hash, means.key), place), means.key, heap);
        let swarm = Swarm { info_hash, downloaded: 0, v4: Family::NOBODY, v6: None };
        self.trays[place as usize / TRAY].push(swarm);
        self.len += 1;
        place
    }

    /// Takes a swarm without peers away; the last takes its place.
    pub(super) fn remove(&mut self, place: u32, means: &mut Means) {
        let last = self.len - 1;
        if let Some(found) = self.label(place, means.key) {
            self.index.remove(found, &mut means.heap);
        }
        if place != last
            && let Some((bucket, at)) = self.label(last, means.key)
        {
            let label = &mut self.index.bucket_mut(bucket)[at];
            *label = Label::new(label.0, place);
        }
        let tray = self.trays.len() - 1;
        if let Some(mut swarm) = self.trays[tray].pop() {
            if place != last {
                core::mem::swap(&mut swarm, self.get_mut(place));
            }
            if swarm.v6.is_some() {
                means.heap.give::<Family<V6>>(1);
            }
        }
        self.len = last;
        if self.trays[tray].is_empty() {
            self.trays.pop();
            means.heap.give::<Swarm>(TRAY);
        }
    }

    /// Where in the index this record's label is.
    fn label(&self, place: u32, key: Key) -> Option<(u32, usize)> {
        let hash = hash(&self.get(place).info_hash, key);
        self.index.find(hash >> 32, |label| label.place() == place)
    }

    #[inline]
    pub(super) fn get(&self, place: u32) -> &Swarm {
        &self.trays[place as usize / TRAY][place as usize % TRAY]
    }

    #[inline]
    pub(super) fn get_mut(&mut self, place: u32) -> &mut Swarm {
        &mut self.trays[place as usize / TRAY][place as usize % TRAY]
    }
}

impl Swarm {
    /// Peers of both families, and downloads.
    pub(super) fn counts(&self) -> Counts {
        let mut counts = self.v4.counts();
        if let Some(v6) = &self.v6 {
            counts.complete += v6.counts().complete;
            counts.incomplete += v6.counts().incomplete;
        }
        Counts { downloaded: self.downloaded, ..counts }
    }

    /// Whether nobody is there.
    pub(super) fn is_empty(&self) -> bool {
        let Counts { complete, incomplete, .. } = self.counts();
        complete + incomplete == 0
    }

    /// Its peers with IPv6; makes room for them if there is none.
    pub(super) fn v6_mut(&mut self, heap: &mut Heap) -> &mut Family<V6> {
        self.v6.get_or_insert_with(|| {
            heap.take::<Family<V6>>(1);
            Box::new(Family::NOBODY)
        })
    }

    /// Gives up the room for peers with IPv6, if there are none.
    pub(super) fn settle(&mut self, heap: &mut Heap) {
        if self.v6.as_ref().is_some_and(|v6| v6.is_empty()) {
            self.v6 = None;
            heap.give::<Family<V6>>(1);
        }
    }
}

/// Where a swarm falls in the index.
pub(super) fn hash(info_hash: &InfoHash, key: Key) -> u64 {
    let [a, b, c, d, e] = info_hash.0.as_chunks::<4>().0 else { return 0 };
    let word = |first: &[u8; 4], second: &[u8; 4]| {
        u64::from(u32::from_be_bytes(*first)) << 32 | u64::from(u32::from_be_bytes(*second))
    };
    key.hash([word(a, b), word(c, d), u32::from_be_bytes(*e).into()])
}

#[cfg(test)]
impl Shelf {
    /// What is allocated, counted anew.
    pub(super) fn heap(&self) -> u64 {
        let mut heap = Heap::default();
        heap.take::<Vec<Swarm>>(self.trays.capacity());
        self.trays.iter().for_each(|_| heap.take::<Swarm>(TRAY));
        let families = (0..self.len).map(|place| {
            let swarm = self.get(place);
            let mut heap = Heap::default();
            swarm.v6.iter().for_each(|_| heap.take::<Family<V6>>(1));
            heap.bytes() + swarm.v4.heap() + swarm.v6.as_ref().map_or(0, |v6| v6.heap())
        });
        heap.bytes() + self.index.heap() + families.sum::<u64>()
    }
}
