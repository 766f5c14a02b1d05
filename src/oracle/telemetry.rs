//! Telemetry: the device's own figures move with what is reserved.
//!
//! Where a request cannot be met to its end and the device does not take back what it gave for it (a planned fault
//! in a call that returns memory), it keeps what the allocator cannot count: that is owed from then on, may be
//! given back at any time, and is `leak`'s if it is not.
//!
//! Does not cover: a constant difference between the two (contexts, other processes), other processes that
//! come and go while a sequence runs, and figures of the operating system.

use super::cite::{TELE_01, TELE_02, say};
use super::{Oracle, Seen};
use crate::op::{DeviceCall, Family, Op, OracleName, Reply};
use crate::verdict::Violation;

#[derive(Default)]
pub(super) struct Telemetry {
    devices: Vec<Debt>,
}

/// What a device keeps although it was to take it back.
#[derive(Debug, Clone, Copy, Default)]
struct Debt {
    /// A call that returns memory was told to fail.
    returns_fail: bool,
    owed: i128,
}

impl Telemetry {
    fn debt(&mut self, device: usize) -> &mut Debt {
        if self.devices.len() <= device {
            self.devices.resize(device + 1, Debt::default());
        }
        &mut self.devices[device]
    }

    /// Whether the device lost what the step does not account for.
    fn is_amiss(&mut self, device: usize, lost: i128, fault_fired: bool) -> bool {
        let debt = self.debt(device);
        let excused = if lost > 0 { fault_fired && debt.returns_fail } else { -lost <= debt.owed };
        if excused {
            debt.owed += lost;
        }
        !excused
    }
}

impl Oracle for Telemetry {
    fn name(&self) -> OracleName {
        OracleName::Telemetry
    }

    fn judge(&mut self, seen: &Seen<'_>, convictions: &mut Vec<Violation>) {
        if let Some(Op::Fault { device, call: DeviceCall::Unmap | DeviceCall::Release, .. }) = seen.served()
            && let Some(device) = device.index(seen.after.devices.len())
        {
            self.debt(device).returns_fail = true;
        }
        let mut convict = |requirement, message| {
            convictions.push(Violation::new(OracleName::Telemetry, Some(requirement), message));
        };
        for (device, (before, after)) in seen.before.devices.iter().zip(&seen.after.devices).enumerate() {
            let reserved = |view: &crate::op::DeviceView| i128::from(view.stats.all(Family::ReservedBytes).current);
            let grew = reserved(after) - reserved(before);
            let (b, a) = (before.free_bytes, after.free_bytes);
            let fell = i128::from(b) - i128::from(a);
            if self.is_amiss(device, fell - grew, after.faults_fired > before.faults_fired) {
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
    fn what_the_device_would_not_take_back_is_owed() {
        let lose = |o: &mut crate::op::Observation| {
            o.devices[0].free_bytes -= 2 << 20;
            o.devices[0].faults_fired += 1;
        };
        let fault = |call| Op::Fault { device: DeviceId(0), call, skip: 0, error: None };
        let mut other = bench();
        other.step(fault(DeviceCall::Map), Reply::Done, |_| {}).passes();
        other.step(Op::CycleEnd, Reply::Done, lose).convicts("TELE-01");
        let mut bench = bench();
        bench.step(fault(DeviceCall::Unmap), Reply::Done, |_| {}).passes();
        bench.step(Op::CycleEnd, Reply::Done, lose).passes();
        let back = |bytes: u64| move |o: &mut crate::op::Observation| o.devices[0].free_bytes += bytes;
        bench.step(Op::CycleEnd, Reply::Done, back(1 << 20)).passes();
        bench.step(Op::CycleEnd, Reply::Done, back(2 << 20)).convicts("TELE-01");
    }
}
