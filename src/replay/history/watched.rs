//! A trace lived again with somebody looking on.
//!
//! Decides what he is shown of each call.

use super::call_events::{Call, CallEvents};
use super::device_replay::DeviceReplay;
use crate::device::StreamHandle;
use crate::op::trace::Action;
use crate::replay::divergence::FilePosition;
use crate::replay::onlooker::{Onlooker, Put};

impl DeviceReplay<'_> {
    /// What stands at the start, and what the driver had free at each refusal to come.
    pub(super) fn show_start(&self, onlooker: &mut dyn Onlooker) {
        let refusals = self.events.iter().filter(|e| e.event.action == Action::Oom);
        onlooker.begins(self.device, self.allocator, refusals.map(|e| e.event.address).collect());
    }

    /// What stands after a call that came to what was recorded.
    pub(super) fn show(&self, moment: &CallEvents, onlooker: &mut dyn Onlooker) {
        let last = moment.end.saturating_sub(1);
        let put = match moment.call {
            Call::Alloc { bytes, stream, address } => {
                Some(Put { bytes, stream: StreamHandle(stream), address, pool: self.pools.get(last).copied() })
            }
            Call::Free { .. } | Call::End => None,
        };
        let index = self.events.get(last).map_or(0, |e| e.index);
        onlooker.saw(FilePosition::Event { device: self.device, index }, self.device, put.as_slice(), self.allocator);
    }
}
