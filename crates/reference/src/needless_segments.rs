//! What the planted defects of the last kind do: a segment that is legal whenever it is got, and got for no good reason.
//!
//! Decides when that happens. No promise about one run is broken by it; two runs that should come to the same do not.

use super::allocator::{DeviceAllocator, Request};
use super::defect::{Defect, Planting};
use super::rounding::SEGMENT_ROUND;
use crate::device::Device;
use crate::op::{Counter, Family};

/// What such defects go by, beside what the allocator keeps anyway. The sound allocator never reads it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct DefectState {
    /// Calls of `empty_cache` that found nothing reserved.
    pub trims: u32,
    /// The latest request of the process went to another device.
    pub visited: bool,
    /// A free was refused.
    pub refused: bool,
    /// How often memory had gone back to the device when it last refused some, and how much it was asked for.
    pub refused_since: Option<(i64, u64)>,
    /// What was free of the device when it was last asked.
    pub free: Option<u64>,
}

impl<D: Device, P: Planting> DeviceAllocator<D, P> {
    /// A segment of just the size asked for, where a planted defect has it so; `None` without one.
    #[inline]
    pub(super) fn uneven_segment(&self, request: &Request) -> Option<u64> {
        let is_uneven = self.planted.has(Defect::StreamHandleSizes) && request.stream.0 >> 6 & 1 == 1
            || self.planted.has(Defect::OddDeviceSizes) && self.index & 1 == 1
            || self.planted.has(Defect::ReleaseChangesSizes) && self.stats.counter(Counter::NumDeviceFree) > 0
            || self.planted.has(Defect::TrimsCounted) && self.habits.trims & 1 == 1
            || self.planted.has(Defect::LastDeviceSizes) && self.habits.visited
            || self.planted.has(Defect::OddBytesSizes) && request.bytes & 1 == 1
            || self.planted.has(Defect::RefusedFreeSizes) && self.habits.refused;
        is_uneven.then(|| request.size.next_multiple_of(SEGMENT_ROUND))
    }

    /// `empty_cache` was called.
    pub(super) fn note_trim(&mut self) {
        let finds_nothing = self.stats.all(Family::ReservedBytes).current == 0;
        self.habits.trims = self.habits.trims.wrapping_add(u32::from(finds_nothing));
    }

    /// A free was refused, on whichever device.
    pub(super) fn note_refused(&mut self) {
        self.habits.refused = true;
    }

    /// Whether the latest request of the process went to another device.
    pub fn note_visit(&mut self, visited: bool) {
        self.habits.visited = visited;
    }
}
