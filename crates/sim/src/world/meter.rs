//! Bytes of headers and control messages: counted as they come and go, and reported to sessions now and then, as a driver does.

use crate::happening::Happening;
use crate::world::World;
use core::time::Duration;
use proto::{Input, LinkId};

/// How often header and control bytes are reported.
const METER_EVERY: Duration = Duration::from_millis(250);

impl World {
    pub(crate) fn count_overhead(&mut self, index: u32, link: LinkId, received: u32, sent: u32) {
        let node = &mut self.nodes[index as usize];
        node.links.count(link, received, sent);
        if !node.links.metering {
            node.links.metering = true;
            let incarnation = node.incarnation;
            self.queue.push(self.now + METER_EVERY, index, Happening::Meter { incarnation });
        }
    }

    pub(super) fn report_overhead(&mut self, index: u32, incarnation: u32) {
        if !self.is_current(index, incarnation) {
            return;
        }
        let node = &mut self.nodes[index as usize];
        node.links.metering = false;
        for (link, received, sent) in node.links.take_counts() {
            self.feed(index, Input::Overhead { link, received, sent });
        }
    }
}
