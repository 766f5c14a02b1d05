//! Isolation: a call about one device leaves the figures, the free memory and the fraction of every other
//! device as they were, whatever the current device is.
//!
//! Does not cover: operations about all devices (`empty_cache`, `snapshot`, `pool_delete`), planted faults, how busy
//! streams are, blocks that waited for streams and became free, and a free figure that other processes move too.

use super::cite::{ISO_01, ISO_03, say};
use super::view::{difference, same_beside_statistics};
use super::{Oracle, Scope, Seen};
use crate::op::stats::Row;
use crate::op::{Capability, Family, Op, OracleName, Stats, TargetInfo};
use crate::verdict::Violation;

pub(super) struct Isolation {
    memory_info: bool,
}

impl Isolation {
    pub(super) fn new(info: &TargetInfo) -> Self {
        Isolation { memory_info: info.can(Capability::MemoryInfo) }
    }
}

/// A block that waited for streams may become free at any time, if the allocator asks for events on its own account:
/// what that moves is taken as it is, where blocks waited and none but such became free.
fn forgive_waiting(before: &mut Stats, after: &Stats) {
    use Family::{Active, ActiveBytes, InactiveSplit, InactiveSplitBytes, RequestedBytes};
    let (was, is) = (before.all(Active).current, after.all(Active).current);
    let waits = |stats: &Stats| stats.all(Active).current - stats.all(Family::Allocation).current;
    if is >= was || waits(after) < 0 || waits(before) < was - is {
        return;
    }
    for family in [Active, ActiveBytes, RequestedBytes, InactiveSplit, InactiveSplitBytes] {
        for row in [Row::All, Row::SmallPool, Row::LargePool] {
            *before.get_mut(family, row) = *after.get(family, row);
        }
    }
}

impl Oracle for Isolation {
    fn name(&self) -> OracleName {
        OracleName::Isolation
    }

    fn judge(&mut self, seen: &Seen<'_>, convictions: &mut Vec<Violation>) {
        if seen.is_unlawful_service() {
            return;
        }
        let Some(op) = seen.asked() else { return };
        if matches!(op, Op::EmptyCache | Op::Snapshot | Op::Fault { .. } | Op::PoolDelete { .. }) {
            return;
        }
        let about = if let Scope::One(device) = seen.scope() { Some(device) } else { None };
        for (device, (before, after)) in seen.before.devices.iter().zip(&seen.after.devices).enumerate() {
            if Some(device) == about {
                continue;
            }
            if seen.moved.on(device).is_empty() && same_beside_statistics(before, after) {
                continue; // nearly always
            }
            let mut before = *before;
            forgive_waiting(&mut before.stats, &after.stats);
            if !self.memory_info {
                before.free_bytes = after.free_bytes;
            }
            let Some(found) = difference(device, &before, after) else { continue };
            let (asked, what, b, a) = (op.to_line(), found.what, found.before, found.after);
            let current = seen.model.current_device();
            let took_current = about.is_some() && current.index(seen.after.devices.len()) == Some(device);
            let requirement = if took_current { ISO_03 } else { ISO_01 };
            let message = match about {
                Some(named) => say!(
                    "`{asked}` is about device {named}, but {what} of device {device} went from {b} to {a}",
                    "`{asked}` 针对设备 {named}，但设备 {device} 的 {what} 从 {b} 变为 {a}"
                ),
                None => say!(
                    "`{asked}` is about no device, but {what} of device {device} went from {b} to {a}",
                    "`{asked}` 不针对任何设备，但设备 {device} 的 {what} 从 {b} 变为 {a}"
                ),
            };
            let violation = Violation::new(self.name(), Some(requirement), message).figure(found.name, b, a);
            convictions.push(violation.with("current device of the caller", "调用者的当前设备", current.0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::{DeviceId, Observation, PoolKind, Reply};
    use crate::oracle::fixture::{Bench, alloc, free, hand_out, reset_peak, take_back};

    fn bench() -> Bench {
        let mut bench = Bench::new(OracleName::Isolation);
        bench.alloc(1, 0x1000, 600).passes();
        bench
    }

    #[test]
    fn calls_that_stay_on_their_device_pass() {
        let mut bench = bench();
        bench.free(1).passes();
        bench.step(Op::SetCurrent { device: DeviceId(1) }, Reply::Done, |_| {}).passes();
        bench.step(Op::EmptyCache, Reply::Done, |o| o.devices[1].free_bytes += 1).passes();
    }

    #[test]
    fn a_figure_of_another_device_convicts() {
        let both = |o: &mut crate::op::Observation| o.devices.iter_mut().for_each(|d| hand_out(d, 512));
        let found = bench().step(alloc(2, 512), Reply::Allocated { address: 0x2000 }, both).convicts("ISO-01");
        insta::assert_snapshot!(found.message.en, @"`alloc b2: 512 B on device 0, stream 0` is about device 0, but num_device_alloc of device 1 went from 0 to 1");
    }

    #[test]
    fn a_block_that_waited_on_another_device_may_become_free_meanwhile() {
        let mut bench = bench();
        let waits = |o: &mut Observation| {
            let stats = &mut o.devices[0].stats;
            stats.decrease(Family::Allocation, PoolKind::Small, 1);
            stats.decrease(Family::AllocatedBytes, PoolKind::Small, 1024);
        };
        bench.step(free(1), Reply::Done, waits).passes();
        let free_at_last = |o: &mut Observation| {
            let stats = &mut o.devices[0].stats;
            stats.decrease(Family::Active, PoolKind::Small, 1);
            stats.decrease(Family::ActiveBytes, PoolKind::Small, 1024);
            stats.decrease(Family::RequestedBytes, PoolKind::Small, 600);
        };
        let other = Op::Synchronize { device: DeviceId(1) };
        bench.step(other.clone(), Reply::Done, free_at_last).passes();
        bench.step(other, Reply::Done, free_at_last).convicts("ISO-03"); // nothing waits any more
    }

    #[test]
    fn a_free_counted_where_the_caller_is_convicts() {
        let mut bench = bench();
        bench.step(Op::SetCurrent { device: DeviceId(1) }, Reply::Done, |_| {}).passes();
        bench.step(free(1), Reply::Done, |o| take_back(&mut o.devices[1], 600)).convicts("ISO-03");
    }

    #[test]
    fn a_reset_of_the_wrong_device_convicts() {
        let mut bench = bench();
        bench.free(1).passes();
        let op = Op::ResetPeak { device: DeviceId(1) };
        bench.step(op, Reply::Done, |o| reset_peak(&mut o.devices[0].stats)).convicts("ISO-03");
        let op = Op::SetFraction { device: Some(DeviceId(0)), fraction: 0.5 };
        bench.step(op, Reply::Done, |o| o.devices[1].fraction = 0.5).convicts("ISO-01");
        let op = Op::Caller { caller: 1 };
        bench.step(op, Reply::Done, |o| o.devices[1].free_bytes -= 512).convicts("ISO-01");
    }
}
