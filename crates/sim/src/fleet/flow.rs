//! A node's uplink: the blocks that leave over it, side by side, as fluid, and what has yet to wait for them.
//!
//! One block of each link is in service at a time; the others of that link wait, and so do the control messages behind it. The uplink is
//! shared equally among the flows, as it stands at every moment; no flow is faster than what its receiver's downlink gives it, which is
//! dealt once a window, and what such a flow leaves of the uplink is the others'. Rates are bytes per second, which is also millionths of a byte per microsecond; what has yet to leave is
//! counted in millionths. Always holds: what leaves in any span is no more than the uplink carries in it.

use super::half::HalfId;
use super::mail::Letter;
use crate::network::{BLOCK_HEADER, micros};
use crate::sharing::Sharing;
use core::time::Duration;
use proto::{Instant, SendToken};
use std::collections::VecDeque;
use wire::message::BlockRequest;

/// How often the receiver of a slow block hears of the part that is here.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);
const PARTS: u64 = 1_000_000;

/// A block that is to leave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Outgoing {
    pub(super) token: SendToken,
    pub(super) block: BlockRequest,
}

impl Outgoing {
    pub(super) fn half(&self) -> HalfId {
        HalfId::of(self.token.link)
    }
}

/// A block in service.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) out: Outgoing,
    /// To whom.
    pub(super) far: u32,
    /// Control messages that wait until it has left, with their bytes.
    pub(super) behind: Vec<(Letter, u32)>,
    /// What its receiver's downlink gives it.
    down: u64,
    rest: u64,
    /// What of it the receiver's downlink has yet to be charged for.
    uncharged: u64,
    rate: u64,
    told: u32,
    told_at: Instant,
}

/// The blocks of a node on their way out.
#[derive(Debug, Default)]
pub(super) struct Uplink {
    flows: Vec<Flow>,
    waiting: VecDeque<Outgoing>,
    /// Bytes per second that blocks may take in this window.
    budget: u64,
    /// Bytes that control messages took and the flows have not yet paid for.
    debt: u64,
    /// When the window began for which the budget was dealt, if it was for any.
    dealt: Option<Instant>,
    since: Instant,
    sharing: Sharing,
}

impl Flow {
    /// What it has of the uplink, if that is less than what its receiver's downlink gives it.
    pub(super) fn held_by_uplink(&self) -> Option<u64> {
        (self.rate < self.down).then_some(self.rate)
    }

    /// Bytes that have left since this was asked last: what the receiver's downlink carried.
    pub(super) fn take_uncharged(&mut self) -> u64 {
        let whole = self.uncharged / PARTS;
        self.uncharged -= whole * PARTS;
        whole
    }
}

impl Uplink {
    /// Nothing in service yet.
    pub(super) fn new(sharing: Sharing) -> Uplink {
        Uplink { sharing, ..Uplink::default() }
    }

    /// Whether nothing is in service, and nothing is owed.
    pub(super) fn is_idle(&self) -> bool {
        self.flows.is_empty() && self.debt == 0
    }

    pub(super) fn flows(&self) -> &[Flow] {
        &self.flows
    }

    pub(super) fn flows_mut(&mut self) -> &mut [Flow] {
        &mut self.flows
    }

    /// A window begins: what the flows may take in it, and what each receiver's downlink gives.
    pub(super) fn deal(&mut self, now: Instant, up: u64, span: u64, mut down: impl FnMut(u32) -> u64) {
        self.settle(now);
        self.dealt = Some(now);
        let whole = up.saturating_mul(span) / PARTS;
        let paid = self.debt.min(whole);
        self.debt -= paid;
        self.budget = (whole - paid).saturating_mul(PARTS) / span;
        for flow in &mut self.flows {
            flow.down = down(flow.far);
        }
        self.share();
    }

    /// Whether the budget is that of the window that began then.
    pub(super) fn is_dealt(&self, begin: Instant) -> bool {
        self.dealt == Some(begin)
    }

    /// What receivers of slow blocks should hear now: whose, over which end of ours, and how many bytes.
    pub(super) fn news(&mut self, now: Instant) -> Vec<(u32, HalfId, u32)> {
        let mut news = Vec::new();
        for flow in self.flows.iter_mut().filter(|flow| now.since(flow.told_at) >= PROGRESS_EVERY) {
            let gone = flow.out.block.len.saturating_sub(flow.rest.div_ceil(PARTS) as u32);
            let bytes = gone.saturating_sub(flow.told);
            (flow.told, flow.told_at) = (gone.max(flow.told), now);
            if bytes > 0 {
                news.push((flow.far, flow.out.half(), bytes));
            }
        }
        news
    }

    /// A control message of so many bytes leaves.
    pub(super) fn charge(&mut self, bytes: u32) {
        self.debt += u64::from(bytes);
    }

    /// Whether a control message has to wait for a block of its own link.
    pub(super) fn is_busy(&self, half: HalfId) -> bool {
        self.flows.iter().any(|flow| flow.out.half() == half)
    }

    /// Lets a control message wait behind the block in service of its link.
    pub(super) fn queue_behind(&mut self, half: HalfId, letter: Letter, bytes: u32) {
        if let Some(flow) = self.flows.iter_mut().find(|flow| flow.out.half() == half) {
            flow.behind.push((letter, bytes));
        }
    }

    /// A block begins, or waits if one of its link is in service; says whether it begins.
    pub(super) fn add(&mut self, now: Instant, out: Outgoing, far: u32, down: u64) -> bool {
        if self.is_busy(out.half()) {
            self.waiting.push_back(out);
            return false;
        }
        self.settle(now);
        let rest = u64::from(out.block.len + BLOCK_HEADER) * PARTS;
        // As many as are served at once, and one more while slots change hands.
        if self.flows.len() == self.flows.capacity() {
            self.flows.reserve_exact(2);
        }
        self.flows.push(Flow {
            out,
            far,
            behind: Vec::new(),
            down,
            rest,
            uncharged: 0,
            rate: 0,
            told: 0,
            told_at: now,
        });
        self.share();
        true
    }

    /// Takes a block out that is not in service; says whether it was there to take.
    pub(super) fn recall(&mut self, token: SendToken) -> bool {
        let place = self.waiting.iter().position(|out| out.token == token);
        place.is_some_and(|place| self.waiting.remove(place).is_some())
    }

    /// When the first flow ends, if none changes before.
    pub(super) fn next_end(&self) -> Option<Instant> {
        let ends = self.flows.iter().filter(|flow| flow.rate > 0);
        ends.map(|flow| self.since + Duration::from_micros(flow.rest.div_ceil(flow.rate))).min()
    }

    /// Ends the first flow of those that end now, and begins the next block of its link, if one waits.
    pub(super) fn end(&mut self, now: Instant) -> Option<(Flow, Option<Outgoing>)> {
        self.settle(now);
        let place = self.flows.iter().position(|flow| flow.rest == 0)?;
        let flow = self.flows.remove(place);
        let next = self.waiting.iter().position(|out| out.half() == flow.out.half());
        let next = next.and_then(|place| self.waiting.remove(place));
        self.share();
        Some((flow, next))
    }

    /// Forgets what was to leave over a link: the flow in service, if there is one, and the tokens of all its blocks.
    pub(super) fn forget(&mut self, now: Instant, half: HalfId) -> (Option<Flow>, Vec<SendToken>) {
        self.settle(now);
        let place = self.flows.iter().position(|flow| flow.out.half() == half);
        let flow = place.map(|place| self.flows.remove(place));
        let mut tokens: Vec<SendToken> = flow.iter().map(|flow| flow.out.token).collect();
        tokens.extend(self.waiting.iter().filter(|out| out.half() == half).map(|out| out.token));
        self.waiting.retain(|out| out.half() != half);
        self.share();
        (flow, tokens)
    }

    /// Forgets everything; returns what was in service.
    pub(super) fn clear(&mut self, now: Instant) -> Vec<Flow> {
        self.settle(now);
        self.waiting = VecDeque::new();
        self.debt = 0;
        core::mem::take(&mut self.flows)
    }

    /// Counts what has left until now.
    pub(super) fn settle(&mut self, now: Instant) {
        let span = micros(now.since(self.since));
        self.since = now;
        for flow in &mut self.flows {
            let gone = flow.rest.min(flow.rate * span);
            flow.rest -= gone;
            flow.uncharged += gone;
        }
    }

    fn share(&mut self) {
        let share = match self.sharing {
            Sharing::Equal => self.budget.checked_div(self.flows.len() as u64).unwrap_or(0),
            Sharing::MaxMin => self.level(),
        };
        self.flows.iter_mut().for_each(|flow| flow.rate = share.min(flow.down));
    }

    /// An equal share for each, and what those leave whom their receivers hold is shared among the others.
    fn level(&self) -> u64 {
        let count = self.flows.len() as u64;
        let mut level = self.budget.checked_div(count).unwrap_or(0);
        loop {
            let held = self.flows.iter().filter(|flow| flow.down <= level);
            let (held, taken) = held.fold((0, 0), |(held, taken), flow| (held + 1, taken + flow.down));
            match (self.budget - taken).checked_div(count - held) {
                Some(more) if more > level => level = more,
                Some(_) | None => return level,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::{Rng, Seed};

    fn out(slot: u16, sequence: u32, len: u32) -> Outgoing {
        let link = HalfId { slot, generation: 0 }.link();
        Outgoing { token: SendToken { link, sequence }, block: BlockRequest { piece: 0, offset: 0, len } }
    }

    fn at(micros: u64) -> Instant {
        Instant::from_micros(micros)
    }

    #[test]
    fn two_flows_share_an_uplink_and_the_one_that_is_left_has_it_alone() {
        let mut uplink = Uplink::default();
        uplink.deal(at(0), 1_000_000, 100_000, |_| u64::MAX);
        assert!(uplink.add(at(0), out(1, 0, 99_987), 8, u64::MAX));
        assert!(uplink.add(at(0), out(2, 0, 199_987), 9, u64::MAX));
        // A hundred thousand bytes at half a million a second; then the other's second half at the full million.
        assert_eq!(uplink.next_end(), Some(at(200_000)));
        assert_eq!(uplink.end(at(200_000)).unwrap().0.far, 8);
        assert_eq!(uplink.next_end(), Some(at(300_000)));
    }

    #[test]
    fn what_slow_receivers_leave_goes_to_the_others_unless_shares_are_to_be_equal() {
        for (sharing, rates) in
            [(Sharing::MaxMin, [50, 150, 400, 400]), (Sharing::Equal, [50, 150, 250, 250])]
        {
            let mut uplink = Uplink::new(sharing);
            uplink.deal(at(0), 1000, 100_000, |_| 0);
            for (slot, down) in (0..).zip([50, 150, 500, 600]) {
                assert!(uplink.add(at(0), out(slot, 0, 1000), slot.into(), down));
            }
            let of = |of: fn(&Flow) -> Option<u64>| uplink.flows().iter().map(of).collect::<Vec<_>>();
            assert_eq!(of(|flow| Some(flow.rate)), rates.map(Some));
            assert_eq!(of(Flow::held_by_uplink), [None, None, Some(rates[2]), Some(rates[3])]);
        }
    }

    #[test]
    fn a_second_block_of_a_link_waits_for_the_first_and_so_do_words() {
        let mut uplink = Uplink::default();
        uplink.deal(at(0), 1_000_000, 100_000, |_| 100_000);
        assert!(uplink.add(at(0), out(1, 0, 99_987), 8, 100_000));
        assert!(!uplink.add(at(0), out(1, 1, 99_987), 8, 100_000));
        assert!(!uplink.add(at(0), out(1, 2, 99_987), 8, 100_000));
        assert!(uplink.recall(out(1, 1, 0).token) && !uplink.recall(out(1, 0, 0).token));
        uplink.queue_behind(HalfId { slot: 1, generation: 0 }, Letter::Progress(1), 5);
        assert_eq!(uplink.next_end(), Some(at(1_000_000)), "the downlink is what it takes");
        let news = uplink.news(at(600_000));
        assert!(news.is_empty(), "nothing was settled");
        uplink.deal(at(600_000), 1_000_000, 100_000, |_| 100_000);
        assert_eq!(uplink.news(at(600_001)), [], "half a second has not passed since");
        assert_eq!(uplink.news(at(1_100_000)), [(8, HalfId { slot: 1, generation: 0 }, 59_987)]);
        let (flow, next) = uplink.end(at(1_000_000)).unwrap();
        assert_eq!((flow.behind.len(), next), (1, Some(out(1, 2, 99_987))));
    }

    #[test]
    fn what_leaves_is_never_more_than_the_uplink_carries_and_all_of_it_when_receivers_are_fast() {
        for seed in 0..20 {
            let mut rng = Rng::new(Seed(seed));
            let (mut uplink, mut now, mut sent, mut sequence) = (Uplink::default(), 0, 0, 0);
            let (span, up) = (50_000, 2_000_000);
            let fast = seed % 2 == 0;
            let down = |far: u32| if fast { u64::MAX } else { 50_000 * u64::from(far + 1) };
            while now < 20_000_000 {
                uplink.deal(at(now), up, span, down);
                while uplink.flows().len() + uplink.waiting.len() < 8 {
                    let slot = rng.below(8) as u16;
                    let block = out(slot, sequence, 1 + rng.below(300_000));
                    sequence += 1;
                    uplink.add(at(now), block, slot.into(), down(slot.into()));
                }
                while let Some(end) = uplink.next_end().filter(|end| end.as_micros() < now + span) {
                    let (flow, next) = uplink.end(end).unwrap();
                    sent += u64::from(flow.out.block.len + BLOCK_HEADER);
                    if let Some(next) = next {
                        uplink.add(end, next, flow.far, down(flow.far));
                    }
                }
                now += span;
            }
            let carried = up * now / 1_000_000;
            assert!(sent <= carried, "seed {seed}: {sent} of {carried}");
            assert!(!fast || sent * 100 > carried * 90, "seed {seed}: {sent} of {carried}");
        }
    }
}
