//! Leak: when all is freed, waited for and emptied, nothing is reserved and the device has its memory back.
//!
//! Judged once, at the end of a sequence. Not judged where the closing `empty_cache` was refused, and not on a
//! device on which a planned fault fired in it (memory that the device would not take back is no leak) or
//! where a block could not be freed. Does not cover: what a target held before the first operation, memory
//! lost and found again earlier, and host memory.

use super::cite::{LEAK_01, LEAK_02, say};
use super::view::{free, off};
use super::{Oracle, Seen};
use crate::op::stats::{Column, Key, Row};
use crate::op::{Capability, DeviceView, Family, Observation, Op, OracleName, TargetInfo, wording};
use crate::verdict::Violation;

/// The figures that must be back where they were.
const FAMILIES: [Family; 9] = [
    Family::ReservedBytes,
    Family::Segment,
    Family::ActiveBytes,
    Family::AllocatedBytes,
    Family::Active,
    Family::Allocation,
    Family::RequestedBytes,
    Family::InactiveSplit,
    Family::InactiveSplitBytes,
];

pub(super) struct Leak {
    families: Vec<Family>,
    memory_info: bool,
    first: Vec<DeviceView>,
    /// On which devices the latest `empty_cache` did all that was asked of it.
    emptied: Vec<bool>,
}

impl Leak {
    pub(super) fn new(info: &TargetInfo, first: &Observation) -> Self {
        Leak {
            families: FAMILIES.into_iter().filter(|&f| info.shows(f)).collect(),
            memory_info: info.can(Capability::MemoryInfo),
            first: first.devices.clone(),
            // a target without a cache to empty must be clean without
            emptied: vec![!info.can(Capability::EmptyCache); first.devices.len()],
        }
    }

    fn judge_device(&self, seen: &Seen<'_>, device: usize, convictions: &mut Vec<Violation>) {
        let (Some(first), Some(last)) = (self.first.get(device), seen.after.devices.get(device)) else { return };
        let fired = last.faults_fired - first.faults_fired.min(last.faults_fired);
        let requirement = if fired > 0 { LEAK_02 } else { LEAK_01 };
        for &family in &self.families {
            let (was, is) = (first.stats.all(family).current, last.stats.all(family).current);
            if is > was {
                let key = Key::Family(family, Row::All, Column::Current);
                let [now, over] = [is, is - was].map(|value| wording::amount(key, value));
                let message = say!(
                    "with everything freed, waited for and emptied, {key} of device {device} was {now}: {over} more than at the start",
                    "全部释放、同步并清空后，设备 {device} 的 {key} 为 {now}：比开始时多 {over}"
                );
                let violation = off(Violation::new(self.name(), Some(requirement), message), device, key, was, is);
                convictions.push(violation.with("faults that fired on the device", "该设备上触发的故障数", fired));
                return;
            }
        }
        let (was, is) = (first.free_bytes, last.free_bytes.saturating_add(seen.model.held_by_others(device)));
        if self.memory_info && is < was {
            let [lost, was, is] = [was - is, was, is].map(wording::bytes);
            let message = say!(
                "with everything freed, waited for and emptied, device {device} had {is} free: {lost} less than at the start",
                "全部释放、同步并清空后，设备 {device} 空闲 {is}：比开始时少 {lost}"
            );
            let violation = Violation::new(self.name(), Some(requirement), message).figure(free(device), was, is);
            convictions.push(violation.with("faults that fired on the device", "该设备上触发的故障数", fired));
        }
    }
}

impl Oracle for Leak {
    fn name(&self) -> OracleName {
        OracleName::Leak
    }

    fn judge(&mut self, seen: &Seen<'_>, convictions: &mut Vec<Violation>) {
        if let Some(Op::EmptyCache) = seen.asked() {
            let served = seen.served().is_some();
            self.emptied = (0..self.first.len()).map(|device| served && !seen.fired_on(device)).collect();
        }
        if !seen.is_end {
            return;
        }
        for device in 0..self.first.len() {
            if self.emptied[device] && seen.model.device(device).is_some_and(|d| d.live == 0) {
                self.judge_device(seen, device, convictions);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::{PoolKind, RefusalClass, Reply};
    use crate::oracle::fixture::Bench;

    fn used() -> Bench {
        let mut bench = Bench::new(OracleName::Leak);
        bench.alloc(1, 0x1000, 600).passes();
        bench.free(1).passes();
        bench
    }

    fn keep(o: &mut Observation) {
        o.devices[0].stats.increase(Family::ReservedBytes, PoolKind::Large, 20 << 20);
        o.devices[0].free_bytes -= 20 << 20;
    }

    #[test]
    fn a_clean_end_passes() {
        let mut bench = used();
        bench.step(Op::EmptyCache, Reply::Done, |_| {}).passes();
        bench.end().passes();
    }

    #[test]
    fn reserved_memory_convicts() {
        let mut bench = used();
        bench.step(Op::EmptyCache, Reply::Done, keep).passes();
        let found = bench.end().convicts("LEAK-01");
        insta::assert_snapshot!(found.message.en, @"with everything freed, waited for and emptied, reserved_bytes.all.current of device 0 was 20 MiB: 20 MiB more than at the start");
    }

    #[test]
    fn memory_that_the_device_lost_convicts() {
        let mut bench = used();
        let lose = |o: &mut Observation| {
            o.devices[1].free_bytes -= 512;
            o.devices[1].faults_fired += 1;
        };
        bench.step(Op::CycleEnd, Reply::Done, lose).passes();
        bench.step(Op::EmptyCache, Reply::Done, |_| {}).passes();
        let found = bench.end().convicts("LEAK-02");
        insta::assert_snapshot!(found.message.zh, @"全部释放、同步并清空后，设备 1 空闲 1024 MiB (1073741312 B)：比开始时少 512 B");
    }

    #[test]
    fn what_another_process_holds_is_no_leak() {
        for lost in [0, 512] {
            let mut bench = used();
            let take = Op::Neighbour { device: crate::op::DeviceId(1), bytes: 2 << 20 };
            bench.step(take, Reply::Done, |o| o.devices[1].free_bytes -= 2 << 20).passes();
            bench.step(Op::EmptyCache, Reply::Done, |o| o.devices[1].free_bytes -= lost).passes();
            let judged = bench.end();
            if lost == 0 { judged.passes() } else { drop(judged.convicts("LEAK-01")) }
        }
    }

    #[test]
    fn memory_that_the_device_would_not_take_back_is_no_leak() {
        let mut bench = used();
        let refused = Reply::refused(RefusalClass::DeviceError, "release failed");
        bench.step(Op::EmptyCache, refused, keep).passes();
        bench.end().passes();
        let mut bench = used();
        bench
            .step(Op::EmptyCache, Reply::Done, |o| {
                keep(o);
                o.devices[0].faults_fired += 1;
            })
            .passes();
        bench.end().passes();
    }

    #[test]
    fn a_device_call_that_failed_elsewhere_excuses_no_leak() {
        let mut bench = used();
        let fail_elsewhere = |o: &mut Observation| {
            keep(o);
            o.devices[1].faults_fired += 1;
        };
        bench.step(Op::EmptyCache, Reply::Done, fail_elsewhere).passes();
        bench.end().convicts("LEAK-01");
    }
}
