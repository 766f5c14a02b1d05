//! Limit: what is reserved never grows past the memory fraction, and the fraction is what was set.
//!
//! Does not cover: memory above the limit that was reserved before it was lowered, growth within one step
//! that ends below the limit, refusals that the limit does not explain (`exhaustion`; at a fraction of 1
//! they are judged here too), and limits of other kinds.

use super::cite::{FRAC_01, FRAC_03, FRAC_04, FRAC_05, FRAC_06, say};
use super::view::fraction;
use super::{Oracle, Seen};
use crate::model::{Effect, limit_bytes};
use crate::op::stats::{Column, Key, Row};
use crate::op::{Capability, Counter, DeviceView, Family, Op, OracleName, Reply, TargetInfo, Text, wording};
use crate::requirement::RequirementId;
use crate::verdict::Violation;

/// The most that may be reserved on a device now; `None` without a limit.
pub(super) fn limit_of(seen: &Seen<'_>, device: usize) -> Option<u64> {
    let set = seen.model.device(device).and_then(|d| d.fraction);
    let fraction = set.or_else(|| seen.after.devices.get(device).map(|d| d.fraction)).unwrap_or(1.0);
    limit_bytes(fraction, seen.model.total_bytes(device))
}

pub(super) struct Limit {
    counters: bool,
    memory_info: bool,
}

impl Limit {
    /// A limit can be set, or there is one from the start.
    pub(super) fn can_judge(info: &TargetInfo) -> bool {
        info.can(Capability::MemoryFraction) || info.devices.iter().any(|d| d.limit_bytes.is_some())
    }

    pub(super) fn new(info: &TargetInfo) -> Self {
        Limit { counters: info.can(Capability::Counters), memory_info: info.can(Capability::MemoryInfo) }
    }

    fn convict(&self, requirement: RequirementId, message: Text) -> Violation {
        Violation::new(self.name(), Some(requirement), message)
    }

    fn judge_growth(&self, seen: &Seen<'_>, device: usize, found: &mut Vec<Violation>) {
        let (before, after) = (&seen.before.devices[device].stats, &seen.after.devices[device].stats);
        let (was, is) = (before.all(Family::ReservedBytes).current, after.all(Family::ReservedBytes).current);
        let got = |stats: &crate::op::Stats| stats.counter(Counter::NumDeviceAlloc);
        if is <= was && !(self.counters && got(after) > got(before)) {
            return;
        }
        let Some(limit) = limit_of(seen, device) else { return };
        // a fraction that was only read back may have lost the last byte of its limit
        let set = seen.model.device(device).and_then(|d| d.fraction);
        let slack = u64::from(set.is_none());
        let reserved = u64::try_from(is).unwrap_or(0);
        if reserved > limit.saturating_add(slack) {
            let [now, over, most] = [reserved, reserved - limit, limit].map(wording::bytes);
            let requirement = if limit == 0 { FRAC_03 } else { FRAC_01 };
            let message = say!(
                "reserved memory of device {device} grew to {now}, {over} past the limit of {most}",
                "设备 {device} 的保留内存增长到 {now}，超过上限 {most} 达 {over}"
            );
            let fraction = set.unwrap_or(seen.after.devices[device].fraction);
            let violation = self.convict(requirement, message).with("fraction", "比例", fraction);
            let violation = violation.figure(reserved_of(device), say!("at most {most}", "至多 {most}"), now);
            found.push(violation.with("reserved before", "此前已保留", wording::bytes(was)));
        }
    }

    fn judge_whole(&self, seen: &Seen<'_>, device: usize, found: &mut Vec<Violation>) {
        let Some(Op::Alloc { bytes, .. }) = seen.op else { return };
        let set_to_one = seen.model.device(device).and_then(|d| d.fraction) == Some(1.0);
        let (free, most) = (seen.after.devices[device].free_bytes, seen.model.owed_from(*bytes));
        if self.memory_info && set_to_one && !seen.fired_on(device) && free >= most {
            let [asked, left, most] = [*bytes, free, most].map(wording::bytes);
            let message = say!(
                "at a fraction of 1, {asked} were refused although device {device} had {left} free and such a request costs at most {most}",
                "比例为 1 时申请 {asked} 被拒绝，但设备 {device} 尚有 {left} 空闲，而该申请至多需要 {most}"
            );
            let what = say!("free memory of device {device} at the refusal", "拒绝时设备 {device} 的空闲内存");
            found.push(self.convict(FRAC_04, message).figure(what, say!("less than {most}", "少于 {most}"), left));
        }
    }

    fn judge_set(
        &self,
        device: usize,
        wanted: f64,
        before: &DeviceView,
        after: &DeviceView,
        found: &mut Vec<Violation>,
    ) {
        let read = after.fraction;
        if !within_a_byte(wanted, read, after.total_bytes) {
            let message = say!(
                "the fraction of device {device} was set to {wanted} and reads back as {read}",
                "设备 {device} 的比例设为 {wanted}，读回却为 {read}"
            );
            let violation = self.convict(FRAC_05, message);
            found.push(violation.figure(fraction(device), wanted.to_string(), read.to_string()));
        }
        let reserved = |view: &DeviceView| view.stats.all(Family::ReservedBytes).current;
        let (was, is) = (reserved(before), reserved(after));
        if was != is {
            let [was, is] = [was, is].map(wording::bytes);
            let message = say!(
                "setting the fraction of device {device} to {wanted} moved reserved memory from {was} to {is}",
                "将设备 {device} 的比例设为 {wanted} 使保留内存从 {was} 变为 {is}"
            );
            found.push(self.convict(FRAC_06, message).figure(reserved_of(device), was, is));
        }
    }

    fn judge_kept(&self, seen: &Seen<'_>, set: Option<usize>, found: &mut Vec<Violation>) {
        for (device, (before, after)) in seen.before.devices.iter().zip(&seen.after.devices).enumerate() {
            let (was, is) = (before.fraction, after.fraction);
            if Some(device) != set && was.to_bits() != is.to_bits() {
                let asked = seen.op.map_or_else(String::new, Op::to_line);
                let message = say!(
                    "`{asked}` moved the fraction of device {device} from {was} to {is}",
                    "`{asked}` 使设备 {device} 的比例从 {was} 变为 {is}"
                );
                let violation = self.convict(FRAC_05, message);
                found.push(violation.figure(fraction(device), was.to_string(), is.to_string()));
            }
        }
    }
}

fn reserved_of(device: usize) -> Text {
    wording::statistic(Key::Family(Family::ReservedBytes, Row::All, Column::Current), device)
}

/// Whether a fraction reads back to within one byte of the device's memory.
pub(super) fn within_a_byte(wanted: f64, read: f64, total: u64) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "devices are far smaller than 2^53 bytes")]
    let bytes = (wanted - read).abs() * total as f64;
    bytes <= 1.000_001
}

impl Oracle for Limit {
    fn name(&self) -> OracleName {
        OracleName::Limit
    }

    fn judge(&mut self, seen: &Seen<'_>, found: &mut Vec<Violation>) {
        if seen.is_unlawful_service() {
            return;
        }
        let Some(op) = seen.asked() else { return };
        let count = seen.before.devices.len().min(seen.after.devices.len());
        for device in seen.scope().positions(count) {
            self.judge_growth(seen, device, found);
        }
        if let Effect::Refused { device } = seen.effect
            && device < count
        {
            self.judge_whole(seen, device, found);
        }
        let is_about_it = matches!(op, Op::SetFraction { .. }) || matches!(seen.reply, Reply::Fraction(_));
        let device = if is_about_it { seen.model.device_of(op).filter(|d| *d < count) } else { None };
        let set = match (seen.served(), device) {
            (Some(Op::SetFraction { fraction, .. }), Some(device)) => {
                self.judge_set(device, *fraction, &seen.before.devices[device], &seen.after.devices[device], found);
                Some(device)
            }
            _ => None,
        };
        if let (Reply::Fraction(answer), Some(device)) = (seen.reply, device) {
            let read = seen.after.devices[device].fraction;
            if !within_a_byte(*answer, read, seen.after.devices[device].total_bytes) {
                let message = say!(
                    "get_fraction of device {device} answered {answer}, but the device has {read}",
                    "设备 {device} 的 get_fraction 应答 {answer}，而该设备实为 {read}"
                );
                let what = say!("answer of get_fraction on device {device}", "设备 {device} 的 get_fraction 应答");
                let violation = self.convict(FRAC_05, message);
                found.push(violation.figure(what, read.to_string(), answer.to_string()));
            }
        }
        self.judge_kept(seen, set, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::{DeviceId, Observation, PoolKind};
    use crate::oracle::fixture::{Bench, GIB, alloc, hand_out, oom, refuse};

    fn set(fraction: f64) -> Op {
        Op::SetFraction { device: Some(DeviceId(0)), fraction }
    }

    /// A limit of a quarter GiB.
    fn bench() -> Bench {
        let mut bench = Bench::new(OracleName::Limit);
        bench.step(set(0.25), Reply::Done, |o| o.devices[0].fraction = 0.25).passes();
        bench
    }

    #[test]
    fn growth_up_to_the_limit_and_lowering_it_pass() {
        let mut bench = bench();
        bench.alloc(1, 0x20_0000, GIB / 4).passes();
        bench.step(set(0.1), Reply::Done, |o| o.devices[0].fraction = 0.099_999_999_9).passes();
        bench.step(alloc(2, 512), oom(), |o| refuse(&mut o.devices[0])).passes();
        bench.free(1).passes();
        let get = Op::GetFraction { device: Some(DeviceId(0)) };
        bench.step(get, Reply::Fraction(0.1), |_| {}).passes();
    }

    #[test]
    fn growth_past_the_limit_convicts() {
        let found = bench().alloc(1, 0x20_0000, GIB / 4 + 1).convicts("FRAC-01");
        insta::assert_snapshot!(found.message.en, @"reserved memory of device 0 grew to 256 MiB (268435968 B), 512 B past the limit of 256 MiB");
        let mut bench = bench();
        bench.step(set(0.0), Reply::Done, |o| o.devices[0].fraction = 0.0).passes();
        bench.alloc(1, 0x20_0000, 1).convicts("FRAC-03");
    }

    #[test]
    fn a_flush_does_not_hide_growth_past_the_limit() {
        let mut bench = bench();
        let cached = |o: &mut Observation| o.devices[0].stats.increase(Family::ReservedBytes, PoolKind::Small, 1 << 29);
        bench.step(Op::CycleEnd, Reply::Done, cached).passes();
        let judged = bench.step(alloc(1, 512), Reply::Allocated { address: 512 }, |o| {
            o.devices[0].stats.decrease(Family::ReservedBytes, PoolKind::Small, 1024);
            hand_out(&mut o.devices[0], 512);
        });
        judged.convicts("FRAC-01");
    }

    #[test]
    fn a_fraction_of_one_that_still_refuses_convicts() {
        let mut bench = bench();
        bench.step(set(1.0), Reply::Done, |o| o.devices[0].fraction = 1.0).passes();
        bench.step(alloc(1, GIB / 2), oom(), |o| refuse(&mut o.devices[0])).convicts("FRAC-04");
    }

    #[test]
    fn a_fraction_that_reads_back_otherwise_convicts() {
        let found = bench().step(set(0.5), Reply::Done, |_| {}).convicts("FRAC-05");
        insta::assert_snapshot!(found.message.zh, @"设备 0 的比例设为 0.5，读回却为 0.25");
        let get = Op::GetFraction { device: Some(DeviceId(0)) };
        bench().step(get, Reply::Fraction(1.0), |_| {}).convicts("FRAC-05");
        bench().step(Op::EmptyCache, Reply::Done, |o| o.devices[0].fraction = 1.0).convicts("FRAC-05");
    }

    #[test]
    fn lowering_that_frees_convicts() {
        let mut bench = bench();
        bench.alloc(1, 0x20_0000, 512).passes();
        let judged = bench.step(set(0.0), Reply::Done, |o| {
            o.devices[0].fraction = 0.0;
            o.devices[0].stats.decrease(Family::ReservedBytes, PoolKind::Small, 512);
        });
        judged.convicts("FRAC-06");
    }
}
