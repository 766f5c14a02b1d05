//! Trim: emptying the cache gives back all of a device's memory where nothing is live or waiting, whatever the other
//! devices do.
//!
//! Judges a device by its own state: faults that fired on another one, blocks and pools there excuse nothing here.
//! Does not cover: devices with live or waiting blocks (the snapshot right after shows what was kept there), devices on which
//! requests are redirected or were to a pool that lives, and those where a planned fault fired in the step.

use super::cite::{ISO_02, TRIM_01, say};
use super::{Oracle, Seen};
use crate::op::stats::{Column, Key, Row};
use crate::op::{Family, Observation, Op, OracleName, TargetInfo, wording};
use crate::verdict::Violation;

pub(super) struct Trim {
    /// What is waiting is counted.
    active: bool,
    /// What each device had reserved before the first operation.
    first: Vec<i64>,
}

impl Trim {
    pub(super) fn new(info: &TargetInfo, first: &Observation) -> Self {
        let reserved = |d: &crate::op::DeviceView| d.stats.all(Family::ReservedBytes).current;
        Trim {
            active: info.shows(Family::ActiveBytes) || info.shows(Family::Active),
            first: first.devices.iter().map(reserved).collect(),
        }
    }

    fn judge_device(&self, seen: &Seen<'_>, device: usize, found: &mut Vec<Violation>) {
        let (Some(state), Some(view)) = (seen.model.device(device), seen.after.devices.get(device)) else { return };
        let pools = seen.model.pools();
        let waiting = view.stats.all(Family::Active).current | view.stats.all(Family::ActiveBytes).current;
        let held = state.live > 0 || waiting != 0 || pools.is_redirected(device) || pools.any_alive_on(device);
        let (was, is) = (self.first[device], view.stats.all(Family::ReservedBytes).current);
        if !self.active || held || seen.fired_on(device) || is <= was {
            return;
        }
        let key = Key::Family(Family::ReservedBytes, Row::All, Column::Current);
        let (was, is) = (wording::amount(key, was), wording::amount(key, is));
        let violation = if seen.reply.refusal().is_some() {
            let message = say!(
                "emptying the cache failed on another device, and device {device}, where nothing is in use, kept {is} reserved",
                "清空缓存在另一设备上失败，而没有使用中内存的设备 {device} 仍保留 {is}"
            );
            Violation::new(self.name(), Some(ISO_02), message)
        } else {
            let message = say!(
                "the cache was emptied, but device {device}, where nothing is in use, kept {is} reserved",
                "缓存已清空，而没有使用中内存的设备 {device} 仍保留 {is}"
            );
            Violation::new(self.name(), Some(TRIM_01), message)
        };
        found.push(violation.figure(wording::statistic(key, device), was, is));
    }
}

impl Oracle for Trim {
    fn name(&self) -> OracleName {
        OracleName::Trim
    }

    fn judge(&mut self, seen: &Seen<'_>, found: &mut Vec<Violation>) {
        // Whether a refusal without a failed call is honest is `refusal`'s.
        if matches!(seen.asked(), Some(Op::EmptyCache)) && (seen.reply.refusal().is_none() || seen.fault_fired()) {
            (0..self.first.len()).for_each(|device| self.judge_device(seen, device, found));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::{DeviceId, GraphName, PoolKind, RefusalClass, Reply, StreamId};
    use crate::oracle::fixture::{Bench, Judged};

    /// 20 MiB are cached on device 1.
    fn bench() -> Bench {
        let mut bench = Bench::new(OracleName::Trim);
        let keep = |o: &mut Observation| o.devices[1].stats.increase(Family::ReservedBytes, PoolKind::Large, 20 << 20);
        bench.step(Op::CycleEnd, Reply::Done, keep).passes();
        bench
    }

    fn give_back(o: &mut Observation) {
        o.devices[1].stats.decrease(Family::ReservedBytes, PoolKind::Large, 20 << 20);
    }

    #[test]
    fn what_is_cached_goes_back_unless_something_is_in_use_there() {
        bench().step(Op::EmptyCache, Reply::Done, give_back).passes();
        let found = bench().step(Op::EmptyCache, Reply::Done, |_| {}).convicts("TRIM-01");
        insta::assert_snapshot!(found.message.en, @"the cache was emptied, but device 1, where nothing is in use, kept 20 MiB reserved");
        let waits = |o: &mut Observation| o.devices[1].stats.increase(Family::Active, PoolKind::Large, 1);
        bench().step(Op::EmptyCache, Reply::Done, waits).passes();
    }

    /// The call failed because of a fault on that device.
    fn failed_on(device: usize, bench: &mut Bench) -> Judged {
        let refused = Reply::refused(RefusalClass::DeviceError, "failed");
        bench.step(Op::EmptyCache, refused, |o| o.devices[device].faults_fired = 1)
    }

    #[test]
    fn a_fault_excuses_its_own_device_alone() {
        failed_on(1, &mut bench()).passes();
        let found = failed_on(0, &mut bench()).convicts("ISO-02");
        insta::assert_snapshot!(found.message.en, @"emptying the cache failed on another device, and device 1, where nothing is in use, kept 20 MiB reserved");
    }

    #[test]
    fn a_pool_excuses_the_devices_that_it_was_used_on() {
        let captured_on = |device: i32| {
            let mut bench = bench();
            let (device, stream) = (DeviceId(device), StreamId(1));
            let begin = Op::CaptureBegin { graph: GraphName(0), device, stream, pool: None };
            bench.step(begin, Reply::Done, |_| {}).passes();
            bench.step(Op::CaptureEnd { graph: GraphName(0) }, Reply::Done, |_| {}).passes();
            bench
        };
        captured_on(1).step(Op::EmptyCache, Reply::Done, |_| {}).passes();
        captured_on(0).step(Op::EmptyCache, Reply::Done, |_| {}).convicts("TRIM-01");
    }
}
