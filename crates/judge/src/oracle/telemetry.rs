//! Telemetry: the device's own figures move with what is reserved.
//!
//! Where a request cannot be met to its end and the device does not take back what it gave for it (a planned fault
//! in a call that returns memory), it keeps what the allocator cannot count: that is owed from then on, may be
//! given back at any time, and is `leak`'s if it is not.
//!
//! The figure of the device that is played is judged to the byte, or to less than one piece of the device a call where
//! segments are no whole pieces. On a card, what the driver and NVML say of the whole
//! of it is judged too, against a measured baseline within one granule and the baseline's own noise, and only while
//! nobody else is on it. Does not cover: a constant difference between the figures (contexts, other processes), the
//! allocator's share of a card with neighbours, an allocator whose segments are no whole granules, and figures of the
//! operating system.

use super::cite::{TELE_01, TELE_02, say};
use super::telemetry_card::{Convict, second_opinion};
use super::telemetry_neighbours as neighbours;
use super::telemetry_streams as streams;
use super::view::free;
use super::{Oracle, Seen};
use crate::model::Effect;
use crate::op::GRANULE;
use crate::op::{
    Capability, Contract, Counter, DeviceCall, DeviceView, Family, Op, OracleName, Reply, TargetInfo, Text, wording,
};
use crate::requirement::RequirementId;
use crate::verdict::Violation;

pub(super) struct Telemetry {
    devices: Vec<Debt>,
    /// Segments are whole pieces of those in which a device gives memory, so that figures agree to the byte.
    whole: bool,
    counters: bool,
    /// The sizes of the devices as the target stated them before the first operation.
    totals: Vec<u64>,
    streams: Option<u8>,
}

/// Whether what a contract allows to take is never rounded by the device.
fn is_whole(contract: &Contract) -> bool {
    let growth = contract.growth;
    let whole = [growth.least, growth.granule].iter().all(|bytes| bytes.is_multiple_of(GRANULE));
    // What is less than a piece of the device is not rounded to one by anybody.
    whole || growth.least < GRANULE && growth.granule < GRANULE
}

/// What a device keeps although it was to take it back.
#[derive(Debug, Clone, Copy, Default)]
struct Debt {
    /// A call that returns memory was told to fail.
    returns_fail: bool,
    owed: i128,
    /// What another process holds, by command.
    neighbour: u64,
    /// What blocks hold that came from the device itself: no figure of the allocator counts it.
    direct: i128,
}

impl Telemetry {
    pub(super) fn new(info: &TargetInfo) -> Self {
        Telemetry {
            devices: Vec::new(),
            whole: is_whole(&info.contract),
            counters: info.can(Capability::Counters),
            totals: info.devices.iter().map(|device| device.total_bytes).collect(),
            streams: info.can(Capability::StreamControl).then_some(info.streams),
        }
    }

    /// Whether the device's rounding of the segments that came and went in the step explains the difference.
    fn is_rounding(&self, before: &DeviceView, after: &DeviceView, lost: i128) -> bool {
        let calls = |which| i128::from(after.stats.counter(which) - before.stats.counter(which));
        let calls = calls(Counter::NumDeviceAlloc) + calls(Counter::NumDeviceFree);
        !self.whole && (!self.counters || lost.abs() < calls.saturating_mul(i128::from(GRANULE)))
    }

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
pub(super) fn reserved(view: &DeviceView) -> i128 {
    i128::from(view.stats.all(Family::ReservedBytes).current)
}

/// What the allocator answers of a device's memory is what the device shows.
fn memory_info(seen: &Seen<'_>, convict: &mut impl FnMut(RequirementId, Text, (Text, String, String))) {
    if let (Some(op), Reply::MemoryInfo(info)) = (seen.op, seen.reply)
        && let Some(device) = seen.model.device_of(op)
        && let Some(view) = seen.after.devices.get(device)
        && (info.total_bytes != view.total_bytes || info.free_bytes != view.free_bytes)
    {
        let figures = [info.free_bytes, info.total_bytes, view.free_bytes, view.total_bytes];
        let [free, total, real, whole] = figures.map(wording::bytes);
        let message = say!(
            "memory_info of device {device} answered {free} free of {total}, but the device has {real} free of {whole}",
            "设备 {device} 的 memory_info 应答空闲 {free}、总量 {total}，而设备实为空闲 {real}、总量 {whole}"
        );
        let (what, due, told) = if info.total_bytes == view.total_bytes {
            (
                say!("free memory of device {device} in memory_info", "memory_info 中设备 {device} 的空闲内存"),
                real,
                free,
            )
        } else {
            (
                say!("total memory of device {device} in memory_info", "memory_info 中设备 {device} 的总内存"),
                whole,
                total,
            )
        };
        convict(TELE_02, message, (what, due, told));
    }
}

impl Telemetry {
    /// What is reserved and what the device has free, where either moved or there is a second opinion.
    fn judge_moves(&mut self, seen: &Seen<'_>, device: usize, convict: Convict<'_>) {
        let (Some(before), Some(after)) = (seen.before.devices.get(device), seen.after.devices.get(device)) else {
            return;
        };
        let grew = reserved(after) - reserved(before);
        let (b, a) = (before.free_bytes, after.free_bytes);
        let fell = i128::from(b) - i128::from(a) - self.note_direct(seen, device);
        let rounded = self.is_rounding(before, after, fell - grew);
        if !rounded && self.is_amiss(device, fell - grew, after.faults_fired > before.faults_fired) {
            let asked = seen.op.map_or_else(String::new, Op::to_line);
            let (moved, due) = (wording::bytes(grew), wording::bytes(-grew));
            let (was, is, by) = (wording::bytes(b), wording::bytes(a), wording::bytes(-fell));
            let message = say!(
                "in `{asked}` reserved memory of device {device} moved by {moved}, but the device's free memory went from {was} to {is}",
                "`{asked}` 使设备 {device} 的保留内存变化 {moved}，但设备的空闲内存从 {was} 变为 {is}"
            );
            convict(TELE_01, message, (wording::change_of(&free(device)), due, by));
        } else if let Some(nvml) = after.nvml.as_ref().filter(|_| self.whole && self.debt(device).direct == 0) {
            second_opinion(device, after, (nvml, self.debt(device).owed), convict);
        }
    }

    /// What went to a block that comes from the device itself, or came from one.
    fn note_direct(&mut self, seen: &Seen<'_>, device: usize) -> i128 {
        let moved = match seen.effect {
            Effect::AllocatedDirect(_, live) if live.device == device => i128::from(live.bytes),
            Effect::FreedDirect(_, live) if live.device == device => -i128::from(live.bytes),
            _ => return 0,
        };
        self.debt(device).direct += moved;
        // A device may give whole pieces alone.
        let taken = |views: &crate::op::Observation| i128::from(views.devices[device].free_bytes);
        let fell = taken(seen.before) - taken(seen.after);
        let rest = fell.abs() - moved.abs();
        if (0..i128::from(GRANULE)).contains(&rest) && fell.signum() == moved.signum() { fell } else { moved }
    }

    /// From a planted fault on, memory may stay with the device that the allocator gave back.
    fn note_fault(&mut self, seen: &Seen<'_>) {
        if let Some(Op::Fault { device, call: DeviceCall::Unmap | DeviceCall::Release, .. }) = seen.served()
            && let Some(device) = device.index(seen.after.devices.len())
        {
            self.debt(device).returns_fail = true;
        }
    }
}

impl Oracle for Telemetry {
    fn name(&self) -> OracleName {
        OracleName::Telemetry
    }

    fn judge(&mut self, seen: &Seen<'_>, convictions: &mut Vec<Violation>) {
        self.note_fault(seen);
        if let Reply::Terms(contract) = seen.reply {
            self.whole &= is_whole(contract);
        }
        let mut convict = |requirement, message, (what, expected, actual): (Text, String, String)| {
            let violation = Violation::new(OracleName::Telemetry, Some(requirement), message);
            convictions.push(violation.figure(what, expected, actual));
        };
        let meets = neighbours::met(seen).inspect(|&device| {
            let holds = neighbours::judge(seen, device, self.debt(device).neighbour, &mut convict);
            self.debt(device).neighbour = holds;
        });
        for (device, (before, after)) in seen.before.devices.iter().zip(&seen.after.devices).enumerate() {
            let (b, a) = (before.free_bytes, after.free_bytes);
            // Where neither moves nothing is lost, whatever is owed.
            let stands = a == b && after.nvml.is_none() && reserved(after) == reserved(before);
            if !stands && meets != Some(device) {
                self.judge_moves(seen, device, &mut convict);
            }
            let (was, total) = (before.total_bytes, after.total_bytes);
            let was = self.totals.get(device).copied().filter(|_| was == total).unwrap_or(was);
            if was != total {
                let (was, total) = (wording::bytes(was), wording::bytes(total));
                let message = say!(
                    "the total memory of device {device} went from {was} to {total}",
                    "设备 {device} 的总内存从 {was} 变为 {total}"
                );
                let what = say!("total memory of device {device}", "设备 {device} 的总内存");
                convict(TELE_02, message, (what, was, total));
            }
            if a > total {
                let (left, total) = (wording::bytes(a), wording::bytes(total));
                let message = say!(
                    "device {device} has more free than there is: {left} of {total}",
                    "设备 {device} 的空闲内存 {left} 多于总内存 {total}"
                );
                convict(TELE_02, message, (free(device), format!("≤ {total}"), left));
            }
        }
        memory_info(seen, &mut convict);
        if let (Some(streams), Some(op)) = (self.streams, seen.served()) {
            convictions.extend(streams::judge(seen, op, streams));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::{Baseline, Company, DeviceId, MemoryInfo, NvmlMemory, NvmlView, Observation};
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
        insta::assert_snapshot!(found.message.en, @"in `free b1` reserved memory of device 0 moved by -1 KiB, but the device's free memory went from 1024 MiB (1073740800 B) to 1024 MiB (1073740800 B)");
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

    const MIB: u64 = 1 << 20;
    /// What the context and the driver hold of a real card before the allocator asks.
    const CONTEXT: u64 = 500 * MIB;

    /// A real card in honest hands: the driver counts granules, and NVML follows it.
    fn read(observed: &mut Observation, company: Company, noise: u64) {
        let view = &mut observed.devices[0];
        let taken = u64::try_from(reserved(view)).expect("not below zero").next_multiple_of(GRANULE);
        let memory = NvmlMemory {
            total_bytes: GIB + 100 * MIB,
            used_bytes: CONTEXT + taken,
            free_bytes: GIB - CONTEXT - taken,
            reserved_bytes: 100 * MIB,
        };
        let baseline =
            Baseline { free_bytes: GIB - CONTEXT, used_bytes: CONTEXT, reserved_bytes: 0, noise_bytes: noise };
        let driver_free_bytes = GIB - CONTEXT - taken;
        view.nvml = Some(NvmlView { memory, driver_free_bytes, baseline, company });
    }

    /// One allocation of 40 MiB on a real card whose figures are then doctored.
    fn real(
        company: Company,
        noise: u64,
        doctor: impl FnOnce(&mut u64, &mut NvmlMemory),
    ) -> crate::oracle::fixture::Judged {
        let mut bench = Bench::new(OracleName::Telemetry);
        read(&mut bench.now, company, noise);
        bench.step(alloc(1, 40 * MIB), Reply::Allocated { address: 0x1000 }, |o| {
            hand_out(&mut o.devices[0], 40 * MIB);
            read(o, company, noise);
            let nvml = o.devices[0].nvml.as_mut().expect("just read");
            doctor(&mut nvml.driver_free_bytes, &mut nvml.memory);
        })
    }

    #[test]
    fn a_real_card_is_given_its_granule_and_no_more() {
        real(Company::Alone, 0, |_, _| {}).passes();
        let more = |by: u64| {
            move |_: &mut u64, m: &mut NvmlMemory| {
                m.used_bytes += by;
                m.free_bytes -= by;
            }
        };
        real(Company::Alone, 0, more(2 * MIB)).passes();
        let found = real(Company::Alone, 0, more(2 * MIB + 1)).convicts("TELE-01");
        insta::assert_snapshot!(found.message.en, @"reserved memory of device 0 moved by 40 MiB since the baseline, but NVML's used memory by 42 MiB (44040193 B) (tolerance 2 MiB)");
        real(Company::Alone, 64, more(2 * MIB + 64)).passes();
        real(Company::Alone, 64, more(2 * MIB + 65)).convicts("TELE-01");
        real(Company::Alone, 0, |free, _| *free += 3 * MIB).convicts("TELE-01");
    }

    #[test]
    fn a_card_with_neighbours_is_not_judged_by_their_memory() {
        for company in [Company::Neighbours(1), Company::Unknown] {
            let theirs = |free: &mut u64, m: &mut NvmlMemory| {
                *free -= 300 * MIB;
                (m.used_bytes, m.free_bytes) = (m.used_bytes + 300 * MIB, m.free_bytes - 300 * MIB);
            };
            real(company, 0, theirs).passes();
        }
    }

    #[test]
    fn parts_that_are_not_the_whole_convict_whoever_is_there() {
        for company in [Company::Alone, Company::Neighbours(2)] {
            real(company, 0, |_, m| m.reserved_bytes -= 3 * MIB).convicts("TELE-02");
        }
    }

    #[test]
    fn what_a_card_would_not_take_back_may_still_be_there() {
        let lost = 20 * MIB;
        let fault = Op::Fault { device: DeviceId(0), call: DeviceCall::Unmap, skip: 0, error: None };
        for (kept, is_found) in [(lost, false), (0, false), (2 * lost, true)] {
            let mut bench = Bench::new(OracleName::Telemetry);
            read(&mut bench.now, Company::Alone, 0);
            bench.step(fault.clone(), Reply::Done, |_| {}).passes();
            let judged = bench.step(Op::CycleEnd, Reply::Done, |o| {
                o.devices[0].free_bytes -= lost;
                o.devices[0].faults_fired += 1;
                let nvml = o.devices[0].nvml.as_mut().expect("just read");
                nvml.driver_free_bytes -= kept;
                (nvml.memory.used_bytes, nvml.memory.free_bytes) =
                    (nvml.memory.used_bytes + kept, nvml.memory.free_bytes - kept);
            });
            assert_eq!(!judged.all().is_empty(), is_found, "{kept}");
        }
    }
}
