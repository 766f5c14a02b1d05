//! Which unfinished work is finished now.
//!
//! Decides from an operation and what is seen after it, by calls of `unfinished`. Judges nothing.

use super::{Model, device};
use crate::model::Live;
use crate::op::{Counter, Observation, Op};

impl Model {
    /// Takes note of an operation and what was seen after it.
    pub(super) fn note_progress(&mut self, op: &Op, served: bool, after: &Observation) {
        if served {
            self.note_streams(op);
        }
        if let (Op::Neighbour { device, .. }, true) = (op, served) {
            self.note_neighbour(device.index(self.devices.len()), after);
        }
        self.note_room(op, served);
        let waited_for_all = matches!(op, Op::EmptyCache);
        for (device, view) in after.devices.iter().enumerate().take(self.devices.len()) {
            self.retired.settle(device, view.idle);
            let tells = self.counters || self.keeps_cached && self.devices[device].has_room();
            if !self.pools.is_empty() {
                self.pool_ownership.observe(device, view, tells);
            }
            let waits = device::waits(view);
            let state = &mut self.devices[device];
            state.free = Some(view.free_bytes);
            state.observe(view, tells);
            let calls = view.stats.counter(Counter::NumDeviceAlloc);
            state.grew = std::mem::replace(&mut state.calls, calls) != calls;
            let moved = std::mem::replace(&mut state.waits, waits) != waits;
            if moved || waited_for_all || !self.counters {
                self.retired.waited(device);
            }
        }
    }

    /// What an operation may have taken of its device, and after which memory may go back although it is promised to stay.
    fn note_room(&mut self, op: &Op, served: bool) {
        match *op {
            Op::Alloc { device, bytes, .. } if served => {
                let most = self.contract.growth.at_most(bytes);
                if let Some(device) = self.position(device) {
                    self.devices[device].note_taken(most);
                }
            }
            Op::Free { .. }
            | Op::RecordStream { .. }
            | Op::Use { .. }
            | Op::Fill { .. }
            | Op::Verify { .. }
            | Op::Occupy { .. }
            | Op::Finish { .. }
            | Op::WaitStream { .. }
            | Op::Synchronize { .. }
            | Op::Caller { .. }
            | Op::SetCurrent { .. }
            | Op::MemoryInfo { .. }
            | Op::PoolCreate { .. }
            | Op::PoolEnter { .. }
            | Op::PoolExit { .. } => {}
            // A refusal looks for room first; the cache is emptied, a pool is let go, a limit moves.
            _ => self.devices.iter_mut().for_each(|device| device.note_taken(u64::MAX)),
        }
    }

    /// Whatever is free no more, another process holds now. How much it should be is `oracle`'s to say.
    fn note_neighbour(&mut self, device: Option<usize>, after: &Observation) {
        let Some((at, view)) = device.and_then(|at| Some((at, after.devices.get(at)?))) else { return };
        let state = &mut self.devices[at];
        let free = state.free.unwrap_or(self.totals[at]);
        state.neighbour = state.neighbour.saturating_add(free).saturating_sub(view.free_bytes);
    }

    /// What an answered operation says of streams.
    fn note_streams(&mut self, op: &Op) {
        let count = self.devices.len();
        match *op {
            Op::Synchronize { device } => {
                if let Some(device) = device.index(count) {
                    self.retired.settle(device, u64::MAX);
                }
            }
            Op::Finish { device, stream } => {
                if let Some(device) = device.index(count) {
                    self.retired.finished(device, stream);
                }
            }
            Op::Occupy { device, stream } => {
                if let Some(device) = device.index(count) {
                    self.retired.occupied(device, stream);
                }
            }
            Op::WaitStream { device, stream, on } => {
                if let Some(device) = device.index(count) {
                    self.retired.waits_for(device, stream, on);
                }
            }
            Op::Use { .. } | Op::Fill { .. } => self.note_work(op),
            _ => {}
        }
    }

    /// A write to a block was put on a stream.
    pub fn note_work(&mut self, op: &Op) {
        let (block, stream) = match *op {
            Op::Use { block, stream } => (block, Some(stream)),
            Op::Fill { block } => (block, None),
            _ => return,
        };
        if let Some(&Live { device, stream: own, .. }) = self.block(block) {
            self.retired.enqueued(device, 1 << (stream.unwrap_or(own).0 & 63));
        }
    }
}
