//! What the allocator shows: figures, segments and blocks, what it did to the devices.
//!
//! Decides how the shim's lists are read (`workers/c10/shim.cpp` says how they are written).

use super::C10Target;
use super::apply::{number, refused};
use crate::op::snapshot::{BlockState, BlockView, SegmentView, Snapshot};
use crate::op::stats::{Family, PoolKind};
use crate::op::trace::{Action, TraceEvent};
use crate::op::{DeviceView, Observation, Reply};
use crate::target::reference::ReplyResult;

/// Numbers that a segment takes before its blocks, a block, and an event.
const SEGMENT: usize = 12;
const BLOCK: usize = 4;
const EVENT: usize = 7;

impl C10Target {
    pub(super) fn show(&mut self, into: &mut Observation) {
        let count = self.info.devices.len();
        if into.devices.len() != count {
            into.devices.resize(count, DeviceView::default());
        }
        for (index, view) in into.devices.iter_mut().enumerate() {
            // What cannot be read stands as it stood.
            let _ = self.shim.stats(number(index), &mut view.stats);
            view.fraction = self.fraction(index);
            let reserved = view.stats.all(Family::ReservedBytes).current.max(0).unsigned_abs();
            C10Target::on(index, |device| {
                view.crowded = device.is_crowded();
                view.nvml = device.second_opinion(reserved);
                view.total_bytes = device.total_bytes();
                // A device that cannot tell any more is broken, which its next answer says; 0 would convict at once.
                view.free_bytes = device.look_at_free_bytes().unwrap_or(0);
                view.idle = device.idle_mask();
                view.faults_fired = device.faults_fired();
            });
        }
    }

    pub(super) fn snapshot(&mut self) -> ReplyResult {
        let mut rest = self.shim.snapshot().map_err(refused)?;
        let mut segments = Vec::new();
        while let Some((head, after)) = rest.split_first_chunk::<SEGMENT>() {
            let count = usize::try_from(head[11]).unwrap_or(0).saturating_mul(BLOCK).min(after.len());
            let (blocks, after) = after.split_at(count);
            segments.push(segment(head, blocks));
            rest = after;
        }
        segments.sort_by_key(|segment| (segment.device, segment.address));
        Ok(Reply::Snapshot(Box::new(Snapshot { segments })))
    }

    pub(super) fn tell(&mut self, into: &mut Vec<Vec<TraceEvent>>) -> bool {
        let count = self.info.devices.len();
        into.resize_with(count, Vec::new);
        into.iter_mut().for_each(Vec::clear);
        if !std::mem::replace(&mut self.tells, true) && self.shim.history(1).is_err() {
            return false;
        }
        let Ok(events) = self.shim.take_events() else { return false };
        for event in events.chunks_exact(EVENT) {
            let device = usize::try_from(event[0]).ok().filter(|&device| device < count);
            let action = usize::try_from(event[1]).ok().and_then(|action| Action::ALL.get(action));
            // That somebody looked is no doing of the allocator's.
            let action = action.filter(|&&action| action != Action::Snapshot);
            if let (Some(device), Some(&action)) = (device, action) {
                let [address, bytes, stream] = [event[2], event[3], event[4]].map(i64::cast_unsigned);
                into[device].push(TraceEvent { action, address, bytes, stream });
            }
        }
        true
    }
}

fn segment(head: &[i64; SEGMENT], blocks: &[i64]) -> SegmentView {
    let [
        device,
        address,
        total_size,
        allocated_size,
        active_size,
        requested_size,
        stream,
        is_large,
        first,
        second,
        is_expandable,
        _,
    ] = head.map(i64::cast_unsigned);
    SegmentView {
        device: u32::try_from(device).unwrap_or(u32::MAX),
        address,
        total_size,
        allocated_size,
        active_size,
        requested_size,
        stream,
        segment_type: if is_large == 0 { PoolKind::Small } else { PoolKind::Large },
        segment_pool_id: (first, second),
        is_expandable: is_expandable != 0,
        blocks: blocks.chunks_exact(BLOCK).map(block).collect(),
    }
}

fn block(numbers: &[i64]) -> BlockView {
    BlockView {
        address: numbers[0].cast_unsigned(),
        size: numbers[1].cast_unsigned(),
        requested_size: numbers[2].cast_unsigned(),
        state: match numbers[3] {
            0 => BlockState::Inactive,
            1 => BlockState::ActiveAllocated,
            _ => BlockState::ActivePendingFree,
        },
    }
}
