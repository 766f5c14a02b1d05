//! One device before and after a step: what moved, and what that says happened.
//!
//! Decides how splits, merges, waits and growth show in figures. Reads nothing else.

use crate::op::{Counter, DeviceView, Family, Observation};

/// One device before and after a step.
#[derive(Clone, Copy)]
pub(super) struct Pair<'a> {
    pub before: &'a DeviceView,
    pub after: &'a DeviceView,
}

impl<'a> Pair<'a> {
    pub fn of(before: &'a Observation, after: &'a Observation, device: usize) -> Option<Self> {
        Some(Pair { before: before.devices.get(device)?, after: after.devices.get(device)? })
    }

    /// Every device.
    pub fn all(before: &'a Observation, after: &'a Observation) -> impl Iterator<Item = Pair<'a>> {
        before.devices.iter().zip(&after.devices).map(|(before, after)| Pair { before, after })
    }

    pub fn counter(&self, which: Counter) -> i64 {
        self.after.stats.counter(which) - self.before.stats.counter(which)
    }

    pub fn current(&self, family: Family) -> i64 {
        self.after.stats.all(family).current - self.before.stats.all(family).current
    }

    pub fn allocated(&self, family: Family) -> i64 {
        self.after.stats.all(family).allocated - self.before.stats.all(family).allocated
    }

    pub fn freed(&self, family: Family) -> i64 {
        self.after.stats.all(family).freed - self.before.stats.all(family).freed
    }

    /// Memory went back to the device.
    pub fn shrank(&self) -> bool {
        self.counter(Counter::NumDeviceFree) > 0 || self.current(Family::ReservedBytes) < 0
    }

    /// Memory was got from the device.
    pub fn grew(&self) -> bool {
        self.counter(Counter::NumDeviceAlloc) > 0 || self.current(Family::ReservedBytes) > 0
    }

    /// A retry after a flush was counted.
    pub fn retried(&self) -> bool {
        self.counter(Counter::NumAllocRetries) > 0
    }

    /// Memory went back, and memory was got.
    pub fn exchanged(&self) -> bool {
        self.grew() && self.counter(Counter::NumDeviceFree) > 0
    }

    /// A free part of a split segment appeared, or an existing one became smaller; only where no waiting block became
    /// free in the same step, which moves the same figures.
    pub fn split(&self) -> bool {
        let appeared = self.allocated(Family::InactiveSplit) > 0;
        let shrank = self.freed(Family::InactiveSplitBytes) > 0 && self.freed(Family::InactiveSplit) == 0;
        (appeared || shrank) && self.freed(Family::Active) == 0
    }

    /// A block became free, and a free part of a split segment went or grew.
    pub fn merged(&self) -> bool {
        let went = self.freed(Family::InactiveSplit) > 0;
        let grew = self.allocated(Family::InactiveSplitBytes) > 0 && self.allocated(Family::InactiveSplit) == 0;
        (went || grew) && self.freed(Family::Active) > 0
    }

    /// A block is no longer allocated but still active.
    pub fn waits(&self) -> bool {
        let allocated = self.freed(Family::Allocation);
        allocated > 0 && self.freed(Family::Active) < allocated
    }

    /// A planned fault fired.
    pub fn fired(&self) -> bool {
        self.after.faults_fired > self.before.faults_fired
    }
}
