//! Telemetry: the device's own figures move with what is reserved.
//!
//! Where a device call fails and so does the one that should undo what went before it, the device keeps what the
//! allocator cannot count: that is owed from then on, may be given back at any time, and is `leak`'s if it is not.
//!
//! Does not cover: a constant difference between the two (contexts, other processes), other processes that
//! come and go while a sequence runs, and figures of the operating system.

use super::cite::{TELE_01, TELE_02, say};
use super::{Oracle, Seen};
use crate::op::{Family, Op, OracleName, Reply};
use crate::verdict::Violation;

#[derive(Default)]
pub(super) struct Telemetry {
    /// What each device keeps since two of its calls failed in one step.
    owed: Vec<i128>,
}

impl Telemetry {
    /// Whether the device lost what the step does not account for.
    fn is_amiss(&mut self, device: usize, lost: i128, faults: u32) -> bool {
        if self.owed.len() <= device {
            self.owed.resize(device + 1, 0);
        }
        let owed = &mut self.owed[device];
        let excused = if lost > 0 { faults > 1 } else { -lost <= *owed };
        if excused {
            *owed += lost;
        }
        !excused
    }
}

impl Oracle for Telemetry {
    fn name(&self) -> OracleName {
        OracleName::Telemetry
    }

    fn judge(&mut self, seen: &Seen<'_>, convictions: &mut Vec<Violation>) {
        let mut convict = |requirement, message| {
            convictions.push(Violation::new(OracleName::Telemetry, Some(requirement), message));
        };
        for (device, (before, after)) in seen.before.devices.iter().zip(&seen.after.devices).enumerate() {
            let reserved = |view: &crate::op::DeviceView| i128::from(view.stats.all(Family::ReservedBytes).current);
            let grew = reserved(after) - reserved(before);
            let (b, a) = (before.free_bytes, after.free_bytes);
            let fell = i128::from(b) - i128::from(a);
            let faults = after.faults_fired.saturating_sub(before.faults_fired);
            if self.is_amiss(device, fell - grew, faults) {
                let asked = seen.op.map_or_else(String::new, Op::to_line);
                let message = say!(
                    "in `{asked}` reserved memory of device {device} moved by {grew} B, but the device's free memory went from {b} B to {a} B",
                    "`{asked}` 使设备 {device} 的保留内存变化 {grew} B，但设备的空闲内存从 {b} B 变为 {a} B"
                );
                convict(TELE_01, message);
            }
            let (was, total) = (before.total_bytes, after.total_bytes);
            if was != total {
                let message = say!(
                    "the total memory of device {device} went from {was} B to {total} B",
                    "设备 {device} 的总内存从 {was} B 变为 {total} B"
                );
                convict(TELE_02, message);
            }
            if a > total {
                let message = say!(
                    "device {device} has {a} B free of {total} B",
                    "设备 {device} 的空闲内存 {a} B 多于总内存 {total} B"
                );
                convict(TELE_02, message);
            }
        }
        if let (Some(op), Reply::MemoryInfo(info)) = (seen.op, seen.reply)
            && let Some(device) = seen.model.device_of(op)
            && let Some(view) = seen.after.devices.get(device)
            && (info.free_bytes, info.total_bytes) != (view.free_bytes, view.total_bytes)
        {
            let (free, total, real, whole) = (info.free_bytes, info.total_bytes, view.free_bytes, view.total_bytes);
            let message = say!(
                "memory_info of device {device} answered {free} B free of {total} B, but the device has {real} B free of {whole} B",
                "设备 {device} 的 memory_info 应答空闲 {free} B、总量 {total} B，而设备实为空闲 {real} B、总量 {whole} B"
            );
            convict(TELE_02, message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::{DeviceId, MemoryInfo};
    use crate::oracle::fixture::{Bench, GIB, alloc, free, hand_out, take_back};

    fn bench() -> Bench {
        let mut bench = Bench::new(OracleName::Telemetry);
        bench.alloc(1, 0x1000, 600).passes();
        bench
    }

    fn info(free_bytes: u64) -> (Op, Reply) {
        let op = Op::MemoryInfo { device: DeviceId(0) };
        (op, Reply::MemoryInfo(MemoryInfo { free_bytes, total_bytes: GIB }))
    }

    #[test]
    fn figures_that_move_together_pass() {
        let mut bench = bench();
        let (op, reply) = info(GIB - 1024);
        bench.step(op, reply, |_| {}).passes();
        bench.free(1).passes();
    }

    #[test]
    fn memory_that_is_not_given_back_convicts() {
        let judged = bench().step(free(1), Reply::Done, |o| {
            take_back(&mut o.devices[0], 600);
            o.devices[0].free_bytes -= 1024;
        });
        let found = judged.convicts("TELE-01");
        insta::assert_snapshot!(found.message.en, @"in `free b1` reserved memory of device 0 moved by -1024 B, but the device's free memory went from 1073740800 B to 1073740800 B");
    }

    #[test]
    fn memory_that_is_not_accounted_for_convicts() {
        let judged = bench().step(alloc(2, 512), Reply::Allocated { address: 0x2000 }, |o| {
            hand_out(&mut o.devices[0], 512);
            o.devices[1].free_bytes -= 512;
        });
        judged.convicts("TELE-01");
        bench().step(Op::EmptyCache, Reply::Done, |o| o.devices[1].total_bytes -= 1).convicts("TELE-02");
        let (op, reply) = info(GIB);
        bench().step(op, reply, |_| {}).convicts("TELE-02");
    }

    #[test]
    fn what_two_failed_calls_leave_on_the_device_is_owed() {
        let lose = |faults: u32| {
            move |o: &mut crate::op::Observation| {
                o.devices[0].free_bytes -= 2 << 20;
                o.devices[0].faults_fired += faults;
            }
        };
        bench().step(Op::CycleEnd, Reply::Done, lose(1)).convicts("TELE-01");
        let mut bench = bench();
        bench.step(Op::CycleEnd, Reply::Done, lose(2)).passes();
        let back = |bytes: u64| move |o: &mut crate::op::Observation| o.devices[0].free_bytes += bytes;
        bench.step(Op::CycleEnd, Reply::Done, back(1 << 20)).passes();
        bench.step(Op::CycleEnd, Reply::Done, back(2 << 20)).convicts("TELE-01");
    }
}
