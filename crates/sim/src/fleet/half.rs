//! A node's ends of its links. Both ends of a link are apart: each knows the other by number, and hears of its fate by letter.
//!
//! Always holds: an id names at most one tenant of its slot, so that what was meant for an earlier one reaches nobody.

use core::time::Duration;
use proto::LinkId;

/// An end of a link, as its own node names it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct HalfId {
    pub(super) slot: u16,
    /// Counts the slot's tenants, and may wrap: nothing is under way for that long.
    pub(super) generation: u16,
}

/// How far a link has come, seen from one end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// Nobody's.
    Free,
    /// A knock is on its way, or its answer; this is the dial's number.
    Dialing(u32),
    /// Both may talk.
    Open,
    /// This side has hung up, and has yet to hear of it itself.
    Closing,
}

/// One end of a link.
#[derive(Clone, Copy, Debug)]
pub(super) struct Half {
    pub(super) far: u32,
    /// The other end, as soon as it is known.
    pub(super) far_half: HalfId,
    pub(super) state: State,
    /// Microseconds from here to there.
    latency: u32,
    generation: u16,
}

/// All ends of a node's links.
#[derive(Debug, Default)]
pub(super) struct Halves {
    rows: Vec<Half>,
    free: Vec<u16>,
}

impl HalfId {
    /// The name that the session hears.
    pub(super) fn link(self) -> LinkId {
        LinkId { slot: self.slot.into(), generation: self.generation.into() }
    }

    /// The end of that name.
    pub(super) fn of(link: LinkId) -> HalfId {
        HalfId { slot: link.slot as u16, generation: link.generation as u16 }
    }
}

impl Half {
    pub(super) fn latency(&self) -> Duration {
        Duration::from_micros(self.latency.into())
    }
}

impl Halves {
    /// A new end, or nothing if there are 65,535 already.
    pub(super) fn open(&mut self, far: u32, latency: Duration, state: State) -> Option<HalfId> {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                let slot = u16::try_from(self.rows.len()).ok().filter(|&slot| slot < u16::MAX)?;
                // By a quarter: nobody has many more than it may.
                if self.rows.len() == self.rows.capacity() {
                    self.rows.reserve_exact(4 + self.rows.len() / 4);
                }
                self.rows.push(Half {
                    far: 0,
                    far_half: HalfId { slot: 0, generation: 0 },
                    state: State::Free,
                    latency: 0,
                    generation: 0,
                });
                slot
            }
        };
        let row = &mut self.rows[usize::from(slot)];
        let latency = u32::try_from(latency.as_micros()).unwrap_or(u32::MAX);
        *row = Half { far, state, latency, ..*row };
        Some(HalfId { slot, generation: row.generation })
    }

    /// The end of this name, if it is still there.
    pub(super) fn get(&self, id: HalfId) -> Option<&Half> {
        self.rows.get(usize::from(id.slot)).filter(|row| row.is(id))
    }

    pub(super) fn get_mut(&mut self, id: HalfId) -> Option<&mut Half> {
        self.rows.get_mut(usize::from(id.slot)).filter(|row| row.is(id))
    }

    /// The end is no more.
    pub(super) fn close(&mut self, id: HalfId) {
        if let Some(row) = self.get_mut(id) {
            row.state = State::Free;
            row.generation = row.generation.wrapping_add(1);
            self.free.push(id.slot);
        }
    }

    /// All that are there.
    pub(super) fn ids(&self) -> Vec<HalfId> {
        let used = (0..).zip(&self.rows).filter(|(_, row)| row.state != State::Free);
        used.map(|(slot, row)| HalfId { slot, generation: row.generation }).collect()
    }
}

impl Half {
    fn is(&self, id: HalfId) -> bool {
        self.generation == id.generation && self.state != State::Free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_that_is_no_more_is_not_taken_for_the_next_in_its_place() {
        let mut halves = Halves::default();
        let open =
            |halves: &mut Halves, far| halves.open(far, Duration::from_millis(3), State::Open).unwrap();
        let (first, other) = (open(&mut halves, 7), open(&mut halves, 8));
        halves.close(first);
        assert!(halves.get(first).is_none());
        let second = open(&mut halves, 9);
        assert_eq!((first.slot, first.generation + 1), (second.slot, second.generation));
        halves.close(first);
        assert_eq!(halves.get(second).map(|half| half.far), Some(9));
        assert_eq!(HalfId::of(second.link()), second);
        assert_eq!(halves.ids(), [second, other]);
    }
}
